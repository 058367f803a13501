"""The private tables behind patient-level figures: hours from index, patients by number.

No identifier and no date is in them. They are computed definitions (`outcomes`, `exposure`)
laid side by side; no statistic is made here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ketamine_outcomes.cohort.windows import study_windows
from ketamine_outcomes.exposure import flags
from ketamine_outcomes.exposure.factors import FactorTable
from ketamine_outcomes.intervals import hours_between
from ketamine_outcomes.study import Study
from ketamine_outcomes.study_outcomes import MMEOutcome, PainOutcome

if TYPE_CHECKING:
    import pandas as pd

    from ketamine_outcomes.extract.tables import Extract

#: A timeline of more patients than this cannot be read; see F5 and F9.
MOST_PATIENTS = 12
MARGIN_HOURS = 24.0


def patient_tables(
    extract: Extract,
    units: pd.DataFrame,
    pieces: pd.DataFrame,
    outcomes: dict[str, pd.DataFrame],
    study: Study,
) -> dict[str, pd.DataFrame]:
    """Return timeline_* tables (up to 12 patients) and pain_windows.

    Returns
    -------
    dict
        timeline_doses (patient_label, hour, hour_end, drug, route, mg, mme, flags),
        timeline_index_drug (patient_label, start_hour, end_hour, rate_mg_per_kg_h,
        rate_mg_per_h, route, amount_mg), timeline_pain (patient_label, hour, scale, score,
        state), timeline_stays (patient_label, start_hour, end_hour, observes), pain_windows
        (patient_label, window, middle_hour, value, n_scores).
    """
    labels = units[["unit_id", "patient_id", "index_time"]].assign(
        patient_label=[f"patient {i}" for i in range(1, len(units) + 1)]
    )
    found: dict[str, pd.DataFrame] = {}
    pain = next((n for n, o in study.outcomes.items() if isinstance(o, PainOutcome)), None)
    if pain is not None:
        found["pain_windows"] = _pain_windows(outcomes[pain], labels)
    if len(units) > MOST_PATIENTS:
        return found
    edges = [hour for window in study_windows(study.windows) for hour in window]
    low, high = min(edges) - MARGIN_HOURS, max(edges) + MARGIN_HOURS
    near = _hours(pieces.merge(labels, on="patient_id"), "start", "end")
    near = near[(near["end_hour"] >= low) & (near["start_hour"] < high)]
    if any(isinstance(outcome, MMEOutcome) for outcome in study.outcomes.values()):
        found["timeline_doses"] = _doses(near[near["drug_class"] == "opioid"], study)
    drug = near[near["drug"] == study.index.drug]
    found["timeline_index_drug"] = drug.rename(columns={"mg": "amount_mg"})[
        ["patient_label", "start_hour", "end_hour", "rate_mg_per_kg_h", "rate_mg_per_h", "route",
         "amount_mg"]
    ].reset_index(drop=True)  # fmt: skip
    if "pain_scores" in extract.tables:
        scores = _hours(extract.tables["pain_scores"].merge(labels, on="patient_id"), "time")
        scores = scores[scores["time_hour"].between(low, high)]
        found["timeline_pain"] = scores.rename(columns={"time_hour": "hour"})[
            ["patient_label", "hour", "scale", "score", "state"]
        ].reset_index(drop=True)
    if "stays" in extract.tables:
        stays = _hours(extract.tables["stays"].merge(labels, on="patient_id"), "start", "end")
        stays = stays[(stays["end_hour"] >= low) & (stays["start_hour"] <= high)]
        found["timeline_stays"] = stays[
            ["patient_label", "start_hour", "end_hour", "observes"]
        ].reset_index(drop=True)
    return found


def _hours(table: pd.DataFrame, *names: str) -> pd.DataFrame:
    """Add NAME_hour, hours from index, for time columns."""
    return table.assign(
        **{f"{name}_hour": hours_between(table["index_time"], table[name]) for name in names}
    )


def _doses(near: pd.DataFrame, study: Study) -> pd.DataFrame:
    factors = FactorTable(study.exposure.factors)
    mme: list[float] = []
    for row in near.to_dict("records"):
        found = row["counted"] and factors.find(row["drug"], row["route"], row["form_class"])
        hours = row["end_hour"] - row["start_hour"]
        quantity = row["rate_mcg_per_h"] * hours if row["kind"] == "patch" else row["mg"]
        mme.append(quantity * float(found.per_quantity) if found else np.nan)
    near = near.assign(flags=near["flags"].map(flags.words))
    table = near.assign(mme=mme, hour=near["start_hour"], hour_end=near["end_hour"])
    return table[
        ["patient_label", "hour", "hour_end", "drug", "route", "mg", "mme", "flags"]
    ].reset_index(drop=True)


def _pain_windows(table: pd.DataFrame, labels: pd.DataFrame) -> pd.DataFrame:
    joined = table.merge(labels[["unit_id", "patient_label"]], on="unit_id")
    edges = joined["window"].str.strip("[)").str.split(",", expand=True).astype(float)
    joined["middle_hour"] = edges.mean(axis=1)
    return joined[["patient_label", "window", "middle_hour", "value", "n_scores"]]
