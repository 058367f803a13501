"""Classify every dose row."""

from __future__ import annotations

from ketamine_outcomes import estimates, files
from ketamine_outcomes.exposure.classify import classify
from ketamine_outcomes.exposure.rows import Assumptions
from ketamine_outcomes.extract.tables import Extract
from ketamine_outcomes.steps import Job


def run(job: Job) -> None:
    """Write private/dose_rows.parquet, intervals.parquet and unmapped.csv."""
    assert job.cohort is not None
    extract = Extract.load(job.private / "extract", ("patients", "stays", "doses", "measurements"))
    exposure = classify(extract, Assumptions.of(job.cohort), job.study.index.drug)
    files.write_parquet(job.private / "dose_rows.parquet", exposure.ledger)
    files.write_parquet(job.private / "intervals.parquet", exposure.intervals)
    files.write_text(job.private / "unmapped.csv", estimates.to_csv(exposure.unmapped))
