"""Find time zero, apply eligibility, read covariates."""

from __future__ import annotations

import pandas as pd

from ketamine_outcomes import files
from ketamine_outcomes.cohort.baseline import co_analgesia_by_window
from ketamine_outcomes.cohort.build import build_units
from ketamine_outcomes.cohort.index import charted_rows
from ketamine_outcomes.exposure import ketamine
from ketamine_outcomes.extract.tables import Extract
from ketamine_outcomes.steps import Job


def run(job: Job) -> None:
    """Write private/units.parquet and attrition.parquet.

    Beside them stand courses.parquet (every course of ketamine or the index drug, by any route
    and feed), ketamine_profile.parquet (mg/kg/h over time), route_switches.parquet and
    co_analgesia.parquet (by window), for whoever looks into the private folder.
    """
    extract = Extract.load(job.private / "extract")
    pieces = files.read_parquet(job.private / "intervals.parquet")
    dose_rows = files.read_parquet(job.private / "dose_rows.parquet")
    units, attrition = build_units(job.study, extract, dose_rows, pieces)
    files.write_parquet(job.private / "units.parquet", units)
    files.write_parquet(job.private / "attrition.parquet", attrition)
    tables = _course_tables(job, extract, dose_rows, pieces)
    tables["co_analgesia"] = co_analgesia_by_window(job.study, extract, dose_rows, units)
    for name, table in tables.items():
        files.write_parquet(job.private / f"{name}.parquet", table)


def _course_tables(
    job: Job, extract: Extract, dose_rows: pd.DataFrame, pieces: pd.DataFrame
) -> dict[str, pd.DataFrame]:
    mine = pieces["drug_class"].eq("ketamine") | pieces["drug"].eq(job.study.index.drug or "")
    drug, gap = pieces[mine], job.study.index.gap_hours
    charted = charted_rows(extract, dose_rows[dose_rows["drug_resolved"].isin(drug["drug"])])
    stays = extract.tables.get("stays")
    return {
        "courses": ketamine.courses(drug, gap, charted, stays),
        "ketamine_profile": ketamine.profile(drug, gap),
        "route_switches": ketamine.route_switches(drug, gap),
    }
