"""What was known of each unit at index beyond the charted columns: columns of the units.

Opioid tolerance, dialysis and co-analgesics are read from the truncated view, as covariates are.
"""

from __future__ import annotations

import pandas as pd

from ketamine_outcomes.cohort.view import before_index, pieces_before_index
from ketamine_outcomes.cohort.windows import label, observed_hours, window_bounds
from ketamine_outcomes.exposure import co_analgesia, dialysis, drugs, tolerance
from ketamine_outcomes.exposure.factors import FactorTable
from ketamine_outcomes.extract.tables import Extract
from ketamine_outcomes.study import Study

DIALYSIS_WINDOW = (-24.0, 0.0)
#: What opioid tolerance reads of the exposure intervals.
OPIOID_COLUMNS = (
    "dose_id", "patient_id", "drug", "drug_class", "route", "form_class", "kind", "start", "end",
    "mg", "rate_mg_per_h", "rate_mcg_per_h", "counted",
)  # fmt: skip


def add_baseline(
    study: Study,
    extract: Extract,
    dose_rows: pd.DataFrame,
    pieces: pd.DataFrame,
    units: pd.DataFrame,
) -> pd.DataFrame:
    """Add what was known at index: opioid tolerance, dialysis, co-analgesics.

    Returns
    -------
    DataFrame
        `units` with opioid_tolerant and opioid_tolerant_flat (tolerant, not_tolerant, unknown),
        n_days_met and n_days_observed (of the seven days before), dialysis_day (in the 24 h
        before), hours_since_dialysis, and co_<subclass> in the baseline window (given, none,
        unknown).
    """
    units = units.reset_index(drop=True)
    view = before_index(_needed(extract), units)
    days = tolerance_days(extract, view, dose_rows, pieces, units)
    units = units.merge(tolerance.opioid_tolerance(days), on="unit_id", how="left")
    units = _add_dialysis(view, "events" in extract.tables, units)
    found = co_analgesia.spans(_doses(view), dose_rows)
    return units.join(_received(study, view, units, found, study.windows.baseline))


def tolerance_days(
    extract: Extract,
    view: Extract,
    dose_rows: pd.DataFrame,
    pieces: pd.DataFrame,
    units: pd.DataFrame,
) -> pd.DataFrame:
    """Return the opioid dose of each of the seven days before each unit's index."""
    hours = []
    for day in tolerance.DAYS:
        low, high = window_bounds(units["index_time"], (24.0 * day, 24.0 * (day + 1)))
        observed = observed_hours(view, units, "doses", low, high)
        hours.append(
            pd.DataFrame({"unit_id": units["unit_id"], "day": day, "hours_observed": observed})
        )
    opioids = pieces.loc[pieces["drug_class"] == "opioid", list(OPIOID_COLUMNS)]
    known = pieces_before_index(extract, units, opioids, 24.0 * len(tolerance.DAYS))
    running = _running_counters(view, dose_rows)
    if len(running):
        known = pd.concat([known, running], ignore_index=True)
    return tolerance.daily_doses(
        units, known, pd.concat(hours, ignore_index=True), FactorTable(tolerance.FACTORS)
    )


def co_analgesia_by_window(
    study: Study, extract: Extract, dose_rows: pd.DataFrame, units: pd.DataFrame
) -> pd.DataFrame:
    """Return unit_id, window and co_<subclass> in the baseline and every follow-up window.

    Follow-up is a description of what happened, for tables and figures: never a covariate.

    Parameters
    ----------
    units
        What `add_baseline` returned.
    """
    units = units.reset_index(drop=True)
    doses = (
        _needed(extract)
        .rows("doses")
        .merge(units[["unit_id", "patient_id", "index_time"]], on="patient_id")
    )
    found = co_analgesia.spans(doses, dose_rows)
    columns = [name for name in units if str(name).startswith("co_")]
    tables = {study.windows.baseline: units[columns]}
    for window in study.windows.follow_up:
        tables[window] = _received(study, extract, units, found, window)
    named = [
        pd.concat([units[["unit_id"]].assign(window=label(window)), table[columns]], axis=1)
        for window, table in tables.items()
    ]
    return pd.concat(named, ignore_index=True)


def _needed(extract: Extract) -> Extract:
    """Return the tables that are read here, and of the doses those that can matter."""
    names = ("patients", "stays", "events", "doses")
    tables = {name: extract.tables[name] for name in names if name in extract.tables}
    if "doses" in tables:
        doses = tables["doses"]
        wanted = co_analgesia.holds_any(doses["drug"]) | doses["form"].eq("pca_reading")
        tables["doses"] = doses[wanted]
    return Extract(tables)


def _doses(view: Extract) -> pd.DataFrame:
    doses = view.rows("doses")
    return doses if "unit_id" in doses else doses.assign(unit_id=doses["patient_id"])


def _received(
    study: Study,
    extract: Extract,
    units: pd.DataFrame,
    found: pd.DataFrame,
    window: tuple[float, float],
) -> pd.DataFrame:
    low, high = window_bounds(units["index_time"], window)
    hours = observed_hours(extract, units, "doses", low, high)
    # Where the table holds opioids only, what it lacks is not known to be absent.
    opioids_only = any(
        getattr(cohort, "doses_hold", "all_drugs") == "opioids" for cohort in study.cohorts.values()
    )
    return co_analgesia.received(
        units, found, window, hours, all_drugs="doses" in extract.tables and not opioids_only
    )


def _add_dialysis(view: Extract, has_events: bool, units: pd.DataFrame) -> pd.DataFrame:
    status = view.rows("patients")
    modality = (
        status.set_index("unit_id")["dialysis"]
        if "unit_id" in status
        else pd.Series(dtype="object")
    )
    found = dialysis.sessions(view.rows("events"), modality) if has_events else None
    low, high = window_bounds(units["index_time"], DIALYSIS_WINDOW)
    # Events have no hours of their own: they are kept where all is.
    hours = observed_hours(view, units, "events", low, high)
    return units.assign(
        dialysis_day=dialysis.dialysis_day(units, found, modality, low, high, hours),
        hours_since_dialysis=dialysis.hours_since_dialysis(units, found),
    )


def _running_counters(view: Extract, dose_rows: pd.DataFrame) -> pd.DataFrame:
    """Return a dose of unknown size where a pump counter was last read in the day before index.

    What ran from that reading to index stands in the next reading, which is not known at index:
    the sum of that day is a lower bound.
    """
    doses = _doses(view)
    doses = doses[doses["form"].eq("pca_reading") & doses["status"].isin(["given", "delivered"])]
    if doses.empty:
        return doses
    doses = doses.merge(dose_rows[["dose_id", "drug_resolved"]], on="dose_id")
    classes = {name: drugs.resolve(name) for name in doses["drug_resolved"].dropna().unique()}
    opioid = {name for name, drug in classes.items() if drug and drug.drug_class == "opioid"}
    last = doses[doses["drug_resolved"].isin(opioid)].sort_values("start", kind="stable")
    last = last.drop_duplicates(["unit_id", "drug_resolved"], keep="last")
    last = last[last["index_time"] - last["start"] <= pd.Timedelta(hours=24)]
    return pd.DataFrame(
        {"unit_id": last["unit_id"], "index_time": last["index_time"], "start": last["start"],
         "end": last["start"], "drug": last["drug_resolved"], "drug_class": "opioid",
         "route": "unknown", "form_class": "pca", "kind": "bolus", "mg": float("nan"),
         "rate_mcg_per_h": float("nan"), "counted": False}
    )  # fmt: skip
