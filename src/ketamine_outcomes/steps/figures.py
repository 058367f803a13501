"""Draw the figures of both pages."""

from __future__ import annotations

from ketamine_outcomes import estimates, files
from ketamine_outcomes.extract.tables import Extract
from ketamine_outcomes.release import figures
from ketamine_outcomes.release.timeline import patient_tables
from ketamine_outcomes.steps import Job


def run(job: Job) -> None:
    """Write figures/* of both rooms: the release shows patients only where the study lets it."""
    patients = {}
    if job.study.index.unit == "patient":
        patients = patient_tables(
            Extract.load(job.private / "extract", ("pain_scores", "stays")),
            files.read_parquet(job.private / "units.parquet"),
            files.read_parquet(job.private / "intervals.parquet"),
            {
                path.name.removesuffix(".parquet"): files.read_parquet(path)
                for path in sorted((job.private / "outcomes").glob("*.parquet"))
            },
            job.study,
        )
    open_to_all = job.study.disclosure.patient_level in ("consented", "open")
    for room, rows, private in job.rooms():
        shown = private or open_to_all
        with files.atomic_folder(room / "figures") as folder:
            figures.draw(
                estimates.read(rows),
                job.study,
                job.cohort_name,
                patients if shown else {},
                folder,
                shown,
                unsuppressed=private,
            )
