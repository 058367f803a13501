"""Write the tables of both pages."""

from __future__ import annotations

from ketamine_outcomes import estimates, files
from ketamine_outcomes.release import tables
from ketamine_outcomes.steps import Job


def run(job: Job) -> None:
    """Write tables/* of both rooms."""
    for room, rows, private in job.rooms():
        with files.atomic_folder(room / "tables") as folder:
            tables.write(
                estimates.read(rows), job.study, job.cohort_name, folder, unsuppressed=private
            )
