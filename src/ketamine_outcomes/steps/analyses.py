"""Estimate: the study as written (scenario `base`)."""

from __future__ import annotations

import pandas as pd

from ketamine_outcomes import files
from ketamine_outcomes.analyses.common import Data
from ketamine_outcomes.analyses.run import run as run_analyses
from ketamine_outcomes.outcomes.build import ledger_counts
from ketamine_outcomes.steps import Job


def run(job: Job) -> None:
    """Write private/estimates_base.parquet."""
    ledger = pd.read_csv(
        job.private / "ledger.csv", usecols=["class", "reason"], dtype=str, keep_default_na=False
    )
    data = Data(
        files.read_parquet(job.private / "units.parquet"),
        files.read_parquet(job.private / "attrition.parquet"),
        ledger_counts(ledger),
        {
            path.name.removesuffix(".parquet"): files.read_parquet(path)
            for path in sorted((job.private / "outcomes").glob("*.parquet"))
        },
    )
    assert job.hashes is not None
    table = run_analyses(job.study, data, job.cohort_name, "base", job.hashes["base"])
    files.write_parquet(job.private / "estimates_base.parquet", table)
