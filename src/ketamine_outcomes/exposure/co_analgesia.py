"""Which classes of co-analgesics a unit received in a window: given, none, or unknown.

A class is a subclass of the drug dictionary (gabapentinoid, snri, alpha2_agonist ...). Only what
was given counts: a row with a status of not given, an order, a charted 0 do not.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from ketamine_outcomes import intervals
from ketamine_outcomes.exposure import subclasses

#: Statuses of rows that carry a dose and were not given.
NOT_GIVEN = ("not_given", "held", "refused", "missed", "attempt", "wasted")
ENDS = ("stopped", "removed")
#: A rate or patch without an end runs to the next row of the drug, at most this long (hours).
OPEN_HOURS = 24
#: Label wear of a patch, in hours, where it is not a day.
PATCH_HOURS = {"lidocaine": 12, "clonidine": 168}


def spans(doses: pd.DataFrame, dose_rows: pd.DataFrame) -> pd.DataFrame:
    """Return when each unit received which class.

    Parameters
    ----------
    doses
        Dose rows with unit_id: dose_id, drug, start, end, status, amount, amount_basis, rate.
    dose_rows
        The classified rows: dose_id, class, reason, drug_resolved, route_resolved, form_class.

    Returns
    -------
    DataFrame
        unit_id, subclass, start, end (equal for a dose at an instant), sure (False where the
        status is not known).
    """
    named = dose_rows[
        ["dose_id", "class", "reason", "drug_resolved", "route_resolved", "form_class"]
    ]
    named = named[named["dose_id"].isin(doses["dose_id"])]
    aside = named["class"].eq("excluded") & named["reason"].isin(["status", "outside_stay"])
    rows = _by_subclass(doses.merge(named[~aside], on="dose_id"))
    rows = rows[~rows["status"].isin(list(NOT_GIVEN)) & rows["amount_basis"].ne("ordered")]
    rows = rows.sort_values(["unit_id", "subclass", "start", "dose_id"], kind="stable")
    start, end = rows["start"], rows["end"]
    same_drug = rows.groupby(
        ["unit_id", "subclass", "drug_resolved", "route_resolved"], dropna=False
    )
    following = same_drug["start"].shift(-1)
    patch = rows["form_class"].eq("patch")
    hours = rows["drug_resolved"].map(PATCH_HOURS).where(patch).fillna(OPEN_HOURS)
    longest = start + pd.to_timedelta(hours, unit="h")
    runs = end.isna() & (patch | rows["rate"].notna()) & ~rows["status"].isin(list(ENDS))
    closed = following.where(following < longest, longest)
    end = end.where(~runs, closed).where(lambda known: known.notna(), start)
    # A row that says "stopped" tells that it ran until then.
    over = rows["status"].isin(list(ENDS))
    start = start.mask(over, start - pd.Timedelta(microseconds=1))
    end = end.mask(over, rows["start"])
    zero = (rows["amount"].eq(0) & ~(rows["rate"] > 0)) | (
        rows["rate"].eq(0) & ~(rows["amount"] > 0)
    )
    table = pd.DataFrame(
        {"unit_id": rows["unit_id"], "subclass": rows["subclass"], "start": start, "end": end,
         "sure": rows["status"].ne("unknown")}
    )  # fmt: skip
    return table[~zero | over].reset_index(drop=True)


def received(
    units: pd.DataFrame,
    found: pd.DataFrame,
    window: tuple[float, float],
    hours_observed: pd.Series,
    all_drugs: bool = True,
) -> pd.DataFrame:
    """Return one row per unit and one column `co_<subclass>` per class.

    Parameters
    ----------
    units
        unit_id, index_time.
    found
        What `spans` returned.
    window
        [from, to) in hours from index.
    hours_observed
        Hours of the window in which doses were observed, in the order of `units`.
    all_drugs
        False where the table holds opioids only: nothing is then known of what it lacks.

    Returns
    -------
    DataFrame
        In the order of `units`: given; none (nothing charted in a window with observed hours);
        unknown (not observed, or charted with an unknown status).
    """
    rows = found.merge(units[["unit_id", "index_time"]], on="unit_id")
    zero = intervals.microseconds(rows["index_time"])
    edges = [zero + round(hour * intervals.MICROSECONDS_PER_HOUR) for hour in window]
    start, end = intervals.microseconds(rows["start"]), intervals.microseconds(rows["end"])
    rows = rows[intervals.share(start, end, *edges) > 0]
    watched = (hours_observed > 0).to_numpy(dtype=bool) & all_drugs
    columns = {}
    for name in subclasses.names():
        mine = rows[rows["subclass"] == name]
        sure = units["unit_id"].isin(mine.loc[mine["sure"], "unit_id"])
        perhaps = units["unit_id"].isin(mine["unit_id"])
        columns[f"co_{name}"] = np.select(
            [sure, perhaps, watched], ["given", "unknown", "none"], "unknown"
        )
    return pd.DataFrame(columns, index=units.index).astype("object")


def holds_any(names: pd.Series) -> pd.Series:
    """Return which charted names hold a co-analgesic."""
    holds = {name: bool(subclasses.find(name, None, None)) for name in names.dropna().unique()}
    return names.map(holds).eq(True)


def _by_subclass(rows: pd.DataFrame) -> pd.DataFrame:
    """Return one row per dose and subclass that it holds."""
    key = ["drug", "drug_resolved", "route_resolved"]
    ways = rows[key].drop_duplicates()
    held = [
        sorted(subclasses.find(*(cell if isinstance(cell, str) else None for cell in way)))
        for way in ways.itertuples(index=False, name=None)
    ]
    ways = ways.assign(subclass=pd.Series(held, index=ways.index, dtype="object"))
    return rows.merge(ways.explode("subclass").dropna(subset=["subclass"]), on=key)
