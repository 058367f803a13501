"""Read a source into the canonical tables."""

from __future__ import annotations

from pathlib import Path

from ketamine_outcomes import files
from ketamine_outcomes.extract.faults import raise_errors
from ketamine_outcomes.extract.intake import read_cohort
from ketamine_outcomes.steps import Job


def run(job: Job) -> None:
    """Write private/extract/*.parquet and private/intake.json.

    Raises
    ------
    UserError
        The source cannot be read as declared, or its tables break the contract.
    """
    assert job.cohort is not None
    source = job.private / "source" if job.cohort.source == "simulated" else Path(job.cohort.path)
    intake = read_cohort(job.cohort, source, job.extra_columns)
    raise_errors(intake.faults)
    with files.atomic_folder(job.private / "extract") as folder:
        intake.extract.save(folder)
    report = intake.report(job.cohort_name)
    files.write_json(job.private / "intake.json", {**report, "notes": intake.notes()})
