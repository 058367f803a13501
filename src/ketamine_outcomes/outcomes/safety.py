"""Death after index, and adverse events among those assessed."""

from __future__ import annotations

import numpy as np
import pandas as pd

from ketamine_outcomes.extract.tables import Extract
from ketamine_outcomes.intervals import hours_between
from ketamine_outcomes.study_outcomes import AdverseEventOutcome


def time_to_death(units: pd.DataFrame, extract: Extract) -> pd.DataFrame:
    """Return time from index to death, or to the last time the patient was known alive.

    Returns
    -------
    DataFrame
        unit_id, patient_id, time_hours, cause (`event` or `censored`), entry_hours (registry
        entry after index: not at risk before it).
    """
    patients = extract.rows("patients").set_index("patient_id")
    death = units["patient_id"].map(patients["death_time"])
    last = units["patient_id"].map(extract.rows("stays").groupby("patient_id")["end"].max())
    last = last.fillna(units["index_time"])
    entry = units["patient_id"].map(patients["entry_time"]).fillna(units["index_time"])
    stop = death.fillna(last)
    table = pd.DataFrame(
        {
            "unit_id": units["unit_id"],
            "patient_id": units["patient_id"],
            "time_hours": hours_between(units["index_time"], stop),
            "cause": np.where(death.notna(), "event", "censored"),
            "entry_hours": hours_between(units["index_time"], entry).clip(lower=0),
        }
    )
    return table[table["time_hours"] > table["entry_hours"]].reset_index(drop=True)


def adverse_events(
    units: pd.DataFrame, extract: Extract, outcome: AdverseEventOutcome
) -> pd.DataFrame:
    """Return who had which event within the hours after index, among those assessed for it.

    Returns
    -------
    DataFrame
        unit_id, event, happened. A patient without any row for an event was not assessed and
        is not in the table: no record is not no event.
    """
    events = extract.rows("events")
    joined = events[events["event"].isin(list(outcome.events))].merge(
        units[["unit_id", "patient_id", "index_time"]], on="patient_id"
    )
    hour = hours_between(joined["index_time"], joined["time"])
    inside = joined[(hour >= 0) & (hour < outcome.within_hours)]
    present = inside.assign(happened=inside["status"].eq("present"))
    grouped = present.groupby(["unit_id", "event"], sort=True)
    table: pd.DataFrame = grouped["happened"].any().reset_index()
    return table
