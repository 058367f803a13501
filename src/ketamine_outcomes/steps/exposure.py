"""Classify every dose row."""

from __future__ import annotations

from ketamine_outcomes import estimates, files
from ketamine_outcomes.errors import UserError
from ketamine_outcomes.exposure.classify import Exposure, classify
from ketamine_outcomes.exposure.rows import Assumptions
from ketamine_outcomes.extract.tables import Extract
from ketamine_outcomes.steps import Job


def run(job: Job) -> None:
    """Write private/dose_rows.parquet, intervals.parquet and unmapped.csv.

    Raises
    ------
    UserError
        More dose rows than the cohort allows cannot be converted.
    """
    assert job.cohort is not None
    extract = Extract.load(job.private / "extract", ("patients", "stays", "doses", "measurements"))
    exposure = classify(extract, Assumptions.of(job.cohort), job.study.index.drug)
    files.write_text(job.private / "unmapped.csv", estimates.to_csv(exposure.unmapped))
    _refuse_too_many_bad(exposure, job.cohort.max_bad_rows)
    files.write_parquet(job.private / "dose_rows.parquet", exposure.ledger)
    files.write_parquet(job.private / "intervals.parquet", exposure.intervals)


def _refuse_too_many_bad(exposure: Exposure, most: float) -> None:
    bad = exposure.ledger[exposure.ledger["class"] == "unconverted"]
    share = len(bad) / max(1, len(exposure.ledger))
    if share <= most:
        return
    reasons = ", ".join(f"{reason} {n}" for reason, n in bad["reason"].value_counts().items())
    raise UserError(
        f"{len(bad)} of {len(exposure.ledger)} dose rows cannot be converted ({reasons}): "
        f"{share:.1%}, and max_bad_rows is {most:.1%}",
        where="table doses",
        do="map the words of private/unmapped.csv, mend the source, or raise max_bad_rows",
    )
