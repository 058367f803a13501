"""What was known at index: the extract with its future cut away.

Eligibility and covariates receive this view and nothing else, so conditioning on the future is
impossible by construction. A row stamped exactly at index belongs to the future.
"""

from __future__ import annotations

import pandas as pd

from ketamine_outcomes.extract.tables import TABLES, Extract

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

    Ends of stays, doses and sites that lie after index are unknown and become the index; what
    came with them (end reasons, deaths) is removed. The site episode that is the unit itself is
    kept: its route, device and position are known on insertion.
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
            open_ = joined["end"].isna() | (joined["end"] >= joined["index_time"])
            joined = joined.assign(end=joined["end"].mask(open_, joined["index_time"]))
            if "end_reason" in joined:
                joined = joined.assign(end_reason=joined["end_reason"].mask(open_, None))
        tables[name] = joined
    return Extract(tables)
