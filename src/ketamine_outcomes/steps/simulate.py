"""Make the patients of a simulated cohort."""

from __future__ import annotations

from ketamine_outcomes import files
from ketamine_outcomes.simulate import simulate
from ketamine_outcomes.steps import Job
from ketamine_outcomes.study import SimulatedCohort


def run(job: Job) -> None:
    """Write the extract and its truth to private/source."""
    assert isinstance(job.cohort, SimulatedCohort)
    with files.atomic_folder(job.private / "source") as folder:
        simulate(folder, patients=job.cohort.patients, seed=job.cohort.seed, null=job.cohort.null)
