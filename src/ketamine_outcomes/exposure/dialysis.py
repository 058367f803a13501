"""On dialysis or not: sessions from their charted starts and ends.

A dialysis day is a window of 24 h that holds dialysis. Sessions that are not charted are not
absent: where nothing is known the answer is missing.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from ketamine_outcomes.intervals import hours_between

#: A start without an end: an intermittent session is over after this many hours at the latest.
OPEN_HOURS = 12
#: Modalities that run on for days, of which single sessions are often not charted.
CONTINUOUS = ("peritoneal", "crrt")


def sessions(events: pd.DataFrame, status: pd.Series) -> pd.DataFrame:
    """Return the sessions of each unit.

    Parameters
    ----------
    events
        Rows of the events table with unit_id.
    status
        `patients.dialysis` by unit_id.

    Returns
    -------
    DataFrame
        unit_id, start, end, end_known. An end without a start is a session of which the last
        instant is known. A start without an end ends at the next start, or after 12 h; under
        continuous renal replacement it has no end (missing).
    """
    rows = events[
        events["event"].isin(["dialysis_start", "dialysis_end"])
        & events["status"].ne("assessed_absent")
    ].copy()
    # At one instant the end of a session comes before the start of the next ("end" < "start").
    rows = rows.sort_values(["unit_id", "time", "event"], kind="stable").reset_index(drop=True)
    begins = rows["event"].eq("dialysis_start")
    by_unit = rows.groupby("unit_id")
    after, after_time = by_unit["event"].shift(-1), by_unit["time"].shift(-1)
    before = by_unit["event"].shift()
    ended = after.eq("dialysis_end")
    continuous = rows["unit_id"].map(status).eq("crrt")
    longest = rows["time"] + pd.Timedelta(hours=OPEN_HOURS)
    open_end = after_time.where(after_time < longest, longest)
    open_end = open_end.where(~(continuous & after_time.isna()))
    instant = rows["time"] - pd.Timedelta(microseconds=1)
    table = pd.DataFrame(
        {
            "unit_id": rows["unit_id"],
            "start": rows["time"].where(begins, instant),
            "end": rows["time"].where(~begins, after_time.where(ended, open_end)),
            "end_known": ~begins | ended,
        }
    )
    alone = ~begins & before.ne("dialysis_start")
    return table[begins | alone].reset_index(drop=True)


def dialysis_day(
    units: pd.DataFrame,
    found: pd.DataFrame | None,
    status: pd.Series,
    start: pd.Series,
    end: pd.Series,
    hours_observed: pd.Series,
) -> pd.Series:
    """Return whether [start, end) holds dialysis: True, False or missing, one value per unit.

    Parameters
    ----------
    units
        unit_id.
    found
        What `sessions` returned, or None where the extract has no events.
    status
        `patients.dialysis` by unit_id.
    start, end
        The window of each unit, in the order of `units`.
    hours_observed
        Hours of it in which events were observed.

    Returns
    -------
    Series
        True: a session lies in it, or part of one whose end is known. False: none does, and it
        was observed for all its hours, or the patient is recorded as not on dialysis and no
        session was ever charted. Peritoneal and continuous dialysis are never False, nor is a
        window into which a session without a charted end may reach.
    """
    unit = units["unit_id"]
    modality = unit.map(status)
    answer = pd.Series(pd.NA, index=units.index, dtype="boolean")
    if found is None:
        return answer
    windows = pd.DataFrame({"unit_id": unit, "from": start, "to": end})
    both = found.merge(windows, on="unit_id")
    inside = both[(both["start"] < both["to"]) & ~(both["end"] <= both["from"])]
    sure = inside["end_known"] | (inside["start"] >= inside["from"]) | inside["end"].isna()
    whole = hours_observed >= hours_between(start, end)
    never = modality.eq("none") & ~unit.isin(found["unit_id"])
    answer = answer.mask((whole & ~modality.isin(list(CONTINUOUS))) | never, False)
    answer = answer.mask(unit.isin(inside["unit_id"]), pd.NA)
    return answer.mask(unit.isin(inside.loc[sure, "unit_id"]), True)


def hours_since_dialysis(units: pd.DataFrame, found: pd.DataFrame | None) -> pd.Series:
    """Return hours from the end of the last session to index, one value per unit.

    0 while a session runs at index. Missing without a session before index, and where the end
    of the last one is not known.
    """
    if found is None:
        return pd.Series(np.nan, index=units.index)
    both = found.merge(units[["unit_id", "index_time"]], on="unit_id")
    both = both[both["start"] < both["index_time"]]
    last = both.sort_values(["unit_id", "start"], kind="stable").drop_duplicates(
        "unit_id", keep="last"
    )
    running = ~(last["end"] <= last["index_time"])
    hours = hours_between(last["end"], last["index_time"]).where(last["end_known"])
    hours = hours.mask(running, 0.0)
    return units["unit_id"].map(hours.set_axis(last["unit_id"])).astype("float64")
