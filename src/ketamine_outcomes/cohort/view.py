"""What was known at index: the extract with its future cut away.

Eligibility and covariates receive this view and nothing else, so conditioning on the future is
impossible by construction. A row stamped exactly at index belongs to the future.
"""

from __future__ import annotations

import pandas as pd

from ketamine_outcomes.extract.tables import TABLES, Extract
from ketamine_outcomes.intervals import hours_between

#: Column that says when a row became known.
KNOWN_AT = {
    "stays": "start",
    "doses": "start",
    "pain_scores": "time",
    "site_events": "time",
    "events": "time",
    "measurements": "time",
}


def before_index(extract: Extract, units: pd.DataFrame) -> Extract:
    """Return the extract as it stood at each unit's index, with a unit_id column.

    Ends of stays, doses and sites that lie after index are unknown and become the index (a dose
    without an end stays one); what came with them (end reasons, deaths) is removed. The site
    episode that is the unit itself is kept: its route, device and position are known on
    insertion.
    """
    key = units[["unit_id", "patient_id", "index_time"]]
    tables: dict[str, pd.DataFrame] = {}
    for name, table in extract.tables.items():
        joined = table.merge(key, on="patient_id")
        if name == "patients":
            joined["death_time"] = pd.NaT
            tables[name] = joined
            continue
        if name == "infusion_sites":
            own = joined["site_episode_id"] == joined["unit_id"]
            joined = joined[own | (joined["start"] < joined["index_time"])]
        else:
            joined = joined[joined[KNOWN_AT[name]] < joined["index_time"]]
        if "end" in TABLES[name].names:
            open_ = joined["end"] >= joined["index_time"]
            if name != "doses":  # most doses have no end: they are given at an instant
                open_ |= joined["end"].isna()
            joined = joined.assign(end=joined["end"].mask(open_, joined["index_time"]))
            if "end_reason" in joined:
                joined = joined.assign(end_reason=joined["end_reason"].mask(open_, None))
        tables[name] = joined
    return Extract(tables)


def pieces_before_index(
    extract: Extract, units: pd.DataFrame, pieces: pd.DataFrame, hours: float
) -> pd.DataFrame:
    """Return the exposure intervals of the hours before each unit's index, as they stood then.

    An interval counts from the moment its dose row was charted, so a pump counter that was read
    after index tells nothing of the hours before it. Of an infusion that runs at index the mass
    so far follows from its rate; where only the amount of the whole is charted it is not known
    yet, and the interval does not count (`counted` is False).

    Parameters
    ----------
    extract
        Canonical tables.
    units
        unit_id, patient_id, index_time.
    pieces
        Exposure intervals.
    hours
        How far back.

    Returns
    -------
    DataFrame
        The columns of `pieces`, unit_id and index_time; nothing ends after index.
    """
    rows = pieces.merge(units[["unit_id", "patient_id", "index_time"]], on="patient_id")
    zero = rows["index_time"]
    rows = rows[(rows["start"] < zero) & (rows["end"] >= zero - pd.Timedelta(hours=hours))]
    # Only a counter is charted after its interval begins: with the reading that ends it.
    doses = extract.rows("doses")
    readings = doses.loc[doses["form"].eq("pca_reading"), ["dose_id", "start"]]
    charted = rows["dose_id"].map(readings.drop_duplicates("dose_id").set_index("dose_id")["start"])
    rows = rows[~(charted >= rows["index_time"])].copy()
    runs = rows["end"] >= rows["index_time"]
    by_mass = runs & rows["kind"].ne("patch")
    so_far = rows["rate_mg_per_h"] * hours_between(rows["start"], rows["index_time"])
    rows["mg"] = rows["mg"].mask(by_mass, so_far)
    rows["counted"] = rows["counted"].astype(bool) & ~(by_mass & rows["rate_mg_per_h"].isna())
    rows["end"] = rows["end"].mask(runs, rows["index_time"])
    return rows.reset_index(drop=True)
