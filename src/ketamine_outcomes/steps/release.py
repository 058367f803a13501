"""The border: what may leave."""

from __future__ import annotations

import pandas as pd

from ketamine_outcomes import estimates, files
from ketamine_outcomes.release import disclosure
from ketamine_outcomes.steps import Job


def run(job: Job) -> None:
    """Write private/estimates.parquet (all) and release/estimates.csv (what may leave)."""
    base = files.read_parquet(job.private / "estimates_base.parquet")
    scenarios = files.read_parquet(job.private / "estimates_scenarios.parquet")
    together = pd.concat([base, scenarios], ignore_index=True) if len(scenarios) else base
    estimates.write(together, job.private / "estimates.parquet")
    released = disclosure.apply(together, job.study.disclosure)
    estimates.write(released, job.folder / "release" / "estimates.csv")
