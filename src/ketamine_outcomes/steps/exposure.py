"""Classify every dose row."""

from __future__ import annotations

from ketamine_outcomes import estimates, files
from ketamine_outcomes.errors import UserError
from ketamine_outcomes.exposure.charting import Assumptions
from ketamine_outcomes.exposure.classify import classify_files
from ketamine_outcomes.steps import Job


def run(job: Job) -> None:
    """Write private/dose_rows.parquet, intervals.parquet and unmapped.csv.

    Raises
    ------
    UserError
        More dose rows than the cohort allows cannot be converted.
    """
    assert job.cohort is not None
    assume = Assumptions.of(job.cohort)
    words = classify_files(job.private / "extract", job.private, assume, job.study.index.drug)
    files.write_text(job.private / "unmapped.csv", estimates.to_csv(words))
    _refuse_too_many_bad(job, job.cohort.max_bad_rows)


def _refuse_too_many_bad(job: Job, most: float) -> None:
    import duckdb

    counts = duckdb.execute(
        "SELECT class, reason, count(*) FROM read_parquet(?) GROUP BY ALL ORDER BY 3 DESC, 2",
        [str(job.private / "dose_rows.parquet")],
    ).fetchall()
    bad = [(reason, n) for row_class, reason, n in counts if row_class == "unconverted"]
    lost, total = sum(n for _, n in bad), sum(n for _, _, n in counts)
    if lost <= most * total:
        return
    reasons = ", ".join(f"{reason} {n}" for reason, n in bad)
    raise UserError(
        f"{lost} of {total} dose rows cannot be converted ({reasons}): "
        f"{lost / total:.1%}, and max_bad_rows is {most:.1%}",
        where="table doses",
        do="map the words of private/unmapped.csv, mend the source, or raise max_bad_rows",
    )
