"""Estimate: every named variation of the study.

One process reads the extract once. Each scenario is kept under its definition hash and the
code's fingerprint, so that a new scenario computes only itself.
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from ketamine_outcomes import estimates, files, study_definition
from ketamine_outcomes.analyses.common import Data
from ketamine_outcomes.analyses.run import run as run_analyses
from ketamine_outcomes.cohort.build import build_units
from ketamine_outcomes.exposure.charting import Assumptions
from ketamine_outcomes.exposure.classify import classify
from ketamine_outcomes.extract.tables import Extract
from ketamine_outcomes.outcomes.build import build_outcomes, finish_ledger, ledger_counts
from ketamine_outcomes.steps import Job
from ketamine_outcomes.study import Study

#: Sections that a definition does not depend on, and that this step therefore does not see.
UNSEEN = {"title": "as in the study", "disclosure": {"policy": "none"}}


def run(job: Job) -> None:
    """Write private/estimates_scenarios.parquet (no rows without scenarios)."""
    assert job.hashes is not None
    whole = Study.model_validate({**UNSEEN, **job.study.model_dump(mode="json", by_alias=True)})
    source = files.sha256_text("".join(map(files.sha256_file, _inputs(job))) + job.code)
    parts = [estimates.table([])]
    kept = job.private / "scenarios"
    wanted = set()
    for scenario in whole.scenarios:
        definition = job.hashes[scenario.name]
        cache = kept / f"{definition[:16]}-{source[:16]}.parquet"
        wanted.add(cache.name)
        if not cache.exists():
            files.write_parquet(cache, _estimate(job, whole, scenario.name, definition))
        part = files.read_parquet(cache)
        # Two scenarios of one definition share a file; the name is not part of the definition.
        parts.append(part.assign(scenario=scenario.name))
    if kept.exists():
        for old in kept.glob("*.parquet"):
            if old.name not in wanted:
                old.unlink()
    table = pd.concat([part for part in parts if len(part)] or parts[:1], ignore_index=True)
    files.write_parquet(job.private / "estimates_scenarios.parquet", table)


def _inputs(job: Job) -> list[Path]:
    return [*sorted((job.private / "extract").glob("*.parquet")),
            job.private / "intervals.parquet", job.private / "dose_rows.parquet"]  # fmt: skip


def _estimate(job: Job, study: Study, name: str, definition: str) -> pd.DataFrame:
    changed = study_definition.resolve(study, name)
    extract = Extract.load(job.private / "extract")
    cohort = changed.cohorts[job.cohort_name]
    before = study.cohorts[job.cohort_name]
    if cohort != before or changed.index.drug != study.index.drug:
        exposure = classify(extract, Assumptions.of(cohort), changed.index.drug)
        dose_rows, pieces = exposure.ledger, exposure.intervals
    else:
        dose_rows = files.read_parquet(job.private / "dose_rows.parquet")
        pieces = files.read_parquet(job.private / "intervals.parquet")
    units, attrition = build_units(changed, extract, dose_rows, pieces)
    data = Data(
        units,
        attrition,
        ledger_counts(finish_ledger(changed, extract, dose_rows, pieces)),
        build_outcomes(changed, extract, units, pieces),
    )
    return run_analyses(changed, data, job.cohort_name, name, definition)
