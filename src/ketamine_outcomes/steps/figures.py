"""Draw the figures of one page."""

from __future__ import annotations

from ketamine_outcomes import estimates, files
from ketamine_outcomes.extract.tables import Extract
from ketamine_outcomes.release import figures
from ketamine_outcomes.release.timeline import patient_tables
from ketamine_outcomes.steps import Job


def run(job: Job) -> None:
    """Write <room>/figures/*: patients are shown singly only where the study lets them."""
    shown = job.study.disclosure.patient_level in ("consented", "open")
    patient_level = shown or job.room == "private"
    private = {}
    if patient_level and job.study.index.unit == "patient":
        private = patient_tables(
            Extract.load(job.private / "extract", ("pain_scores", "stays")),
            files.read_parquet(job.private / "units.parquet"),
            files.read_parquet(job.private / "intervals.parquet"),
            {
                path.name.removesuffix(".parquet"): files.read_parquet(path)
                for path in sorted((job.private / "outcomes").glob("*.parquet"))
            },
            job.study,
        )
    with files.atomic_folder(job.folder / job.room / "figures") as folder:
        figures.draw(
            estimates.read(job.estimates), job.study, job.cohort_name, private, folder,
            patient_level, unsuppressed=job.room == "private",
        )  # fmt: skip
