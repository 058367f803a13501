"""Find time zero, apply eligibility, read covariates."""

from __future__ import annotations

from ketamine_outcomes import files
from ketamine_outcomes.cohort.build import build_units
from ketamine_outcomes.extract.tables import Extract
from ketamine_outcomes.steps import Job


def run(job: Job) -> None:
    """Write private/units.parquet and attrition.parquet."""
    extract = Extract.load(job.private / "extract")
    pieces = files.read_parquet(job.private / "intervals.parquet")
    dose_rows = files.read_parquet(job.private / "dose_rows.parquet")
    units, attrition = build_units(job.study, extract, dose_rows, pieces)
    files.write_parquet(job.private / "units.parquet", units)
    files.write_parquet(job.private / "attrition.parquet", attrition)
