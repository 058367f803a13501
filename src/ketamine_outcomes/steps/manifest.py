"""Say what the release was made from, to the byte."""

from __future__ import annotations

from pathlib import Path

from ketamine_outcomes import estimates, files
from ketamine_outcomes.release import manifest
from ketamine_outcomes.run_snakemake import root
from ketamine_outcomes.steps import Job


def run(job: Job) -> None:
    """Write release/manifest.json."""
    assert job.hashes is not None and job.cohort is not None
    intake = files.read_json(job.private / "intake.json")
    source = job.private / "source" if job.cohort.source == "simulated" else Path(job.cohort.path)
    inputs = {
        path.relative_to(source).as_posix(): files.sha256_file(path)
        for path in files.data_files(source)
    }
    home = root()
    content = manifest.build(
        job.study,
        job.cohort_name,
        estimates.read(job.folder / "release" / "estimates.csv"),
        job.folder / "release",
        definition_hashes=job.hashes,
        inputs=inputs,
        tables={name: table["rows"] for name, table in intake["tables"].items()},
        notes=intake["notes"],
        lock=home / "requirements.lock",
        checkout=home,
    )
    files.write_json(job.folder / "release" / "manifest.json", content)
