"""Write the tables of one page."""

from __future__ import annotations

from ketamine_outcomes import estimates, files
from ketamine_outcomes.release import tables
from ketamine_outcomes.steps import Job


def run(job: Job) -> None:
    """Write <room>/tables/*."""
    with files.atomic_folder(job.folder / job.room / "tables") as folder:
        tables.write(
            estimates.read(job.estimates), job.study, job.cohort_name, folder,
            unsuppressed=job.room == "private",
        )  # fmt: skip
