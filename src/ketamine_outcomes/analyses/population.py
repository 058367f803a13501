"""Who: attrition, the fate of the dose rows, characteristics at index."""

from __future__ import annotations

from typing import Any

import pandas as pd

from ketamine_outcomes.analyses.common import Data, arms, describe
from ketamine_outcomes.estimates import Rows
from ketamine_outcomes.intervals import each, hours_between
from ketamine_outcomes.study import Study


def attrition(study: Study, data: Data) -> Rows:
    """Return the steps from the extract to the analysis set."""
    unit = "patients" if study.index.unit == "patient" else "site_episodes"
    rows = Rows(analysis="attrition", outcome=unit, unit=unit.replace("_", " "))
    for step in each(data.attrition):
        rows.add(
            "count", float(step.units), term=step.step, n_patients=step.patients, note=step.rule,
            level="remark" if step.remark else "remaining",
        )  # fmt: skip
        if step.excluded:
            rows.add("count", float(step.excluded), term=step.step, level="excluded",
                     note=step.rule)  # fmt: skip
    return rows


def ledger(data: Data) -> Rows:
    """Return how many dose rows ended in which class, and why."""
    rows = Rows(analysis="ledger", outcome="dose_rows", unit="rows")
    for line in each(data.ledger):
        rows.add("count", float(line.rows), term=line.row_class, level=line.reason,
                 n_observations=line.rows)  # fmt: skip
    return rows


def characteristics(study: Study, data: Data) -> Rows:
    """Return the covariates at index, all units and by arm where a study has arms."""
    rows = Rows(analysis="characteristics")
    unit = "patients" if study.index.unit == "patient" else "site episodes"
    group = next((n for n, c in study.covariates.items() if c.role == "group"), None)
    for arm, ids in arms(data.units, group):
        table = data.units[data.units["unit_id"].isin(ids)]
        patients = int(table["patient_id"].nunique())
        rows.add("count", float(len(table)), outcome="units", level=arm, unit=unit,
                 n_patients=patients)  # fmt: skip
        for name in study.covariates:
            values = table[name]
            if values.dropna().empty:
                rows.unknown("count", "not recorded", outcome=name, level=arm, unit=unit)
                continue
            if pd.api.types.is_float_dtype(values):
                describe(rows, values, _unit_of(name), outcome=name, level=arm,
                         **_sizes(table[values.notna()]))  # fmt: skip
            else:
                _words(rows, table, name, arm, unit)
            rows.add("count", float(values.isna().sum()), outcome=name, term="missing",
                     level=arm, unit=unit, **_sizes(table))  # fmt: skip
    return rows


def index_courses(data: Data, by: str | None) -> Rows:
    """Describe the index courses: duration, cumulative dose, highest rate, dose class."""
    rows = Rows(analysis="index_course")
    treated = data.units[data.units["group"] == "treated"]
    for arm, ids in arms(treated, by):
        table = treated[treated["unit_id"].isin(ids)]
        hours = hours_between(table["index_time"], table["index_end"])
        describe(rows, hours, "hours", outcome="course_hours", level=arm)
        for name, unit in (("cumulative_mg_per_kg", "mg/kg"), ("max_mg_per_kg_h", "mg/kg/h")):
            if table[name].notna().any():
                describe(rows, table[name], unit, outcome=name, level=arm)
        for name in ("dose_class", "route"):
            _words(rows, table, name, arm, "patients")
        switched = int(table["route_switch"].astype(bool).sum())
        rows.add("count", float(switched), outcome="route_switch", level=arm, unit="patients",
                 n_patients=len(table), n_events=switched)  # fmt: skip
    return rows


def _sizes(table: pd.DataFrame) -> dict[str, Any]:
    """Return how many patients and units a row rests on."""
    return {"n_patients": int(table["patient_id"].nunique()), "n_observations": len(table)}


def _words(rows: Rows, table: pd.DataFrame, name: str, arm: str, unit: str) -> None:
    known = table[name].dropna().astype(str)
    sizes = _sizes(table[table[name].notna()])
    for word, n in known.value_counts().sort_index().items():
        cells = {"outcome": name, "term": str(word), "level": arm, "n_events": n, **sizes}
        rows.add("count", float(n), unit=unit, **cells)
        rows.add("proportion", n / len(known), unit="share", **cells)


def _unit_of(name: str) -> str:
    for suffix, unit in (("_years", "years"), ("_kg", "kg"), ("_hours", "hours")):
        if name.endswith(suffix):
            return unit
    return ""
