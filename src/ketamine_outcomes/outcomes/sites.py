"""First complication of a site episode, with removal, death and the end of observation competing.

The clock starts at insertion. With an index drug, an episode enters the risk set when the drug
first runs through it. An event that coincides with removal counts as an event.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from ketamine_outcomes.extract.tables import Extract
from ketamine_outcomes.intervals import hours_between
from ketamine_outcomes.study_outcomes import SiteOutcome

COINCIDES = pd.Timedelta(minutes=1)
END_CAUSE = {
    "transferred": "end_of_observation",
    "discharged": "end_of_observation",
    "died": "death",
}


def episodes(
    units: pd.DataFrame,
    extract: Extract,
    outcome: SiteOutcome,
    index_drug: str | None,
    pieces: pd.DataFrame,
) -> pd.DataFrame:
    """Return one row per site episode of the units.

    Parameters
    ----------
    units
        Units of the cohort: site episodes themselves, or patients.
    extract
        Canonical tables.
    outcome
        What counts as a complication.
    index_drug
        With a drug, only sites through which it ran, entering when it first did.
    pieces
        Exposure intervals (dose_id, start, drug).

    Returns
    -------
    DataFrame
        site_episode_id, unit_id, patient_id, route, device, start, entry_hours, time_hours,
        cause (`event`, `removal`, `death`, `end_of_observation`), prevalent (adverse at the
        first inspection or before entry), inspected (number of inspections), end_inferred.
    """
    sites = _units_sites(units, extract, index_drug, pieces)
    findings = extract.rows("site_events")
    findings = findings[findings["site_episode_id"].isin(sites["site_episode_id"])]
    adverse = findings[_is_event(findings, outcome)]
    end = _ends(sites, extract)
    sites = sites.assign(stop=end["stop"], cause=end["cause"])
    first_seen = sites["site_episode_id"].map(findings.groupby("site_episode_id")["time"].min())
    first_event = sites["site_episode_id"].map(adverse.groupby("site_episode_id")["time"].min())
    prevalent = first_event.notna() & ((first_event <= first_seen) | (first_event < sites["entry"]))
    # First sight is prevalent only while nothing was seen before: a finding on the first look
    # hours after a charted insertion is still the first thing known of the site.
    happened = first_event.notna() & (first_event <= sites["stop"] + COINCIDES)
    time = sites["stop"].mask(happened & (first_event < sites["stop"]), first_event)
    return pd.DataFrame(
        {
            "site_episode_id": sites["site_episode_id"],
            "unit_id": sites["unit_id"],
            "patient_id": sites["patient_id"],
            "route": sites["route"],
            "device": sites["device"],
            "start": sites["start"],
            "entry_hours": hours_between(sites["start"], sites["entry"]),
            "time_hours": hours_between(sites["start"], time),
            "cause": sites["cause"].mask(happened, "event"),
            "prevalent": prevalent,
            "inspected": sites["site_episode_id"]
            .map(findings.groupby("site_episode_id").size())
            .fillna(0)
            .astype("int64"),
            "end_inferred": sites["end_inferred"].astype("boolean").fillna(False).astype(bool),
        }
    ).reset_index(drop=True)


def _units_sites(
    units: pd.DataFrame, extract: Extract, index_drug: str | None, pieces: pd.DataFrame
) -> pd.DataFrame:
    sites = extract.rows("infusion_sites")
    if index_drug is None:
        joined = sites.merge(
            units[["unit_id", "patient_id"]],
            left_on=["site_episode_id", "patient_id"],
            right_on=["unit_id", "patient_id"],
        )
        return joined.assign(entry=joined["start"])
    ran = pieces.loc[pieces["drug"] == index_drug, ["dose_id", "start"]].merge(
        extract.rows("doses")[["dose_id", "site_episode_id"]], on="dose_id"
    )
    first_run = ran.dropna().groupby("site_episode_id")["start"].min()
    joined = sites.merge(units[["unit_id", "patient_id"]], on="patient_id")
    joined = joined[joined["site_episode_id"].isin(first_run.index)]
    entry = joined["site_episode_id"].map(first_run)
    return joined.assign(entry=np.maximum(entry, joined["start"]))


def _is_event(findings: pd.DataFrame, outcome: SiteOutcome) -> pd.Series:
    event = outcome.event
    counts = pd.Series(False, index=findings.index)
    if event.signs is not None:
        counts |= findings["sign"].isin(list(event.signs))
    if event.grade_at_least is not None:
        counts |= findings["scale"].isin(list(event.scales)) & (
            findings["grade"] >= event.grade_at_least
        )
    return counts & findings["attribution"].fillna("unclear").isin(list(event.attribution))


def _ends(sites: pd.DataFrame, extract: Extract) -> pd.DataFrame:
    """Return when and why each episode ended; one without an end ends with its stay."""
    death = sites["patient_id"].map(extract.rows("patients").set_index("patient_id")["death_time"])
    stop = sites["end"]
    cause = sites["end_reason"].map(END_CAUSE).fillna("removal")
    if stop.isna().any():
        stays = extract.rows("stays")
        stays = stays[stays["observes"].isin(["all", "infusion_sites"])]
        around = sites[["site_episode_id", "patient_id", "start"]].merge(
            stays, on="patient_id", suffixes=("", "_stay")
        )
        around = around[
            (around["start_stay"] <= around["start"]) & (around["end"] >= around["start"])
        ]
        last = around.groupby("site_episode_id")["end"].max()
        by_stay = sites["site_episode_id"].map(last)
        cause = cause.mask(stop.isna(), "end_of_observation")
        stop = stop.fillna(by_stay).fillna(sites["start"])
    died = death.notna() & (death <= stop)
    stop, cause = stop.mask(died, death), cause.mask(died, "death")
    # A stay that ends in death ends at it, charted a little before or after.
    near = death.notna() & ((death - stop).abs() <= pd.Timedelta(hours=1))
    return pd.DataFrame({"stop": stop, "cause": cause.mask(near & cause.ne("removal"), "death")})
