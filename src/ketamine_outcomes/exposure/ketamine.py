"""Courses of ketamine, or of another index drug: doses merged over gaps.

Low dose follows the consensus guidelines of ASRA, AAPM and ASA for acute pain (Schwenk et al.
2018, doi 10.1097/AAP.0000000000000806): bolus at most 0.35 mg/kg and infusion at most 1 mg/kg/h.
"""

from __future__ import annotations

import pandas as pd

from ketamine_outcomes.intervals import hours_between

LOW_DOSE_BOLUS_MG_PER_KG = 0.35
LOW_DOSE_INFUSION_MG_PER_KG_H = 1.0


def courses(pieces: pd.DataFrame, gap_hours: float) -> pd.DataFrame:
    """Merge the intervals of one drug into courses.

    Parameters
    ----------
    pieces
        Rows of the exposure intervals of the drug, already limited to the routes and feeds
        that count.
    gap_hours
        Doses at most this many hours apart belong to one course.

    Returns
    -------
    DataFrame
        patient_id, course (1 = first), start, end, route of the first dose, route_switch,
        cumulative_mg_per_kg, max_mg_per_kg_h (missing when unknown), dose_class (low, high,
        unknown).
    """
    rows = pieces.sort_values(["patient_id", "start", "end"], kind="stable").copy()
    reach = rows.groupby("patient_id")["end"].cummax().groupby(rows["patient_id"]).shift()
    new = reach.isna() | (rows["start"] - reach > pd.Timedelta(hours=gap_hours))
    rows["course"] = new.groupby(rows["patient_id"]).cumsum().astype("int64")
    hours = hours_between(rows["start"], rows["end"])
    per_kg = rows["rate_mg_per_kg_h"]
    # A bolus per kg needs the weight, which the row has only through its per-kg rate.
    rows["mg_per_kg"] = (per_kg * hours).where(rows["end"] > rows["start"])
    rows["infusion"] = per_kg.where(rows["end"] > rows["start"])
    grouped = rows.groupby(["patient_id", "course"], sort=True)
    table = grouped.agg(
        start=("start", "min"),
        end=("end", "max"),
        route=("route", "first"),
        routes=("route", "nunique"),
        pieces=("dose_id", "size"),
        known=("mg_per_kg", "count"),
        cumulative_mg_per_kg=("mg_per_kg", "sum"),
        max_mg_per_kg_h=("infusion", "max"),
    ).reset_index()
    known = table["known"] == table["pieces"]
    table["cumulative_mg_per_kg"] = table["cumulative_mg_per_kg"].where(known)
    low = table["max_mg_per_kg_h"] <= LOW_DOSE_INFUSION_MG_PER_KG_H
    table["dose_class"] = low.map({True: "low", False: "high"}).where(known, "unknown")
    table["route_switch"] = table["routes"] > 1
    return table.drop(columns=["routes", "pieces", "known"])
