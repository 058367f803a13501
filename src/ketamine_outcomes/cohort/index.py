"""Time zero of every unit: a patient's first eligible course, or a site's insertion."""

from __future__ import annotations

import pandas as pd

from ketamine_outcomes.cohort.attrition import Attrition
from ketamine_outcomes.errors import UserError
from ketamine_outcomes.exposure.ketamine import courses
from ketamine_outcomes.extract.tables import Extract
from ketamine_outcomes.study import Index

COLUMNS = ("unit_id", "patient_id", "index_time", "index_end", "group", "route")


def find(extract: Extract, pieces: pd.DataFrame, index: Index, attrition: Attrition) -> pd.DataFrame:
    """Return one row per unit with its time zero.

    Parameters
    ----------
    extract
        Canonical tables.
    pieces
        Exposure intervals.
    index
        The study's definition of time zero.
    attrition
        Receives the steps from the extract to the units.

    Returns
    -------
    DataFrame
        unit_id, patient_id, index_time, index_end (end of the course or missing), group
        (treated, comparator or site), route.

    Raises
    ------
    UserError
        A table that the definition needs is absent, or no unit is left.
    """
    if index.unit == "site_episode":
        return _sites(extract, index, attrition)
    if "doses" not in extract.tables:
        raise UserError("the extract has no doses table: the index drug cannot be found",
                        do="add doses.csv, or use index.unit: site_episode")
    return _patients(extract, pieces, index, attrition)


def _sites(extract: Extract, index: Index, attrition: Attrition) -> pd.DataFrame:
    if "infusion_sites" not in extract.tables:
        raise UserError("the extract has no infusion_sites table: there are no site episodes",
                        do="add infusion_sites.csv, or use index.unit: patient")
    sites = extract.tables["infusion_sites"]
    attrition.start("in_extract", sites["patient_id"], "site episodes in the extract")
    chosen = sites[sites["route"].isin(list(index.routes))]
    attrition.keep("route", chosen["patient_id"], "route is " + " or ".join(index.routes))
    return pd.DataFrame(
        {
            "unit_id": chosen["site_episode_id"],
            "patient_id": chosen["patient_id"],
            "index_time": chosen["start"],
            "index_end": pd.Series(pd.NaT, index=chosen.index).astype("datetime64[us]"),
            "group": "site",
            "route": chosen["route"],
        }
    ).reset_index(drop=True)


def _patients(
    extract: Extract, pieces: pd.DataFrame, index: Index, attrition: Attrition
) -> pd.DataFrame:
    patients = extract.rows("patients")["patient_id"]
    attrition.start("in_extract", patients, "patients in the extract")
    drug = pieces[pieces["drug"] == index.drug]
    wanted = drug[drug["route"].isin(list(index.routes))]
    if index.sources is not None:
        wanted = wanted[wanted["source"].isin(list(index.sources))]
    found = courses(wanted, index.gap_hours)
    treated = _first_after_washout(found, drug, index.washout_days)
    units = pd.DataFrame(
        {
            "unit_id": treated["patient_id"],
            "patient_id": treated["patient_id"],
            "index_time": treated["start"],
            "index_end": treated["end"],
            "group": "treated",
            "route": treated["route"],
        }
    )
    by = " or ".join(index.routes)
    where = f" charted in {' or '.join(index.sources)}" if index.sources else ""
    comparators = pd.DataFrame(columns=units.columns)
    if index.comparator is not None:
        comparators = _comparators(extract, pieces, drug, index.comparator.at)
    ever = pd.concat([found["patient_id"].drop_duplicates(), comparators["patient_id"]])
    attrition.keep(
        "index_drug",
        ever,
        f"{index.drug} by {by}{where}"
        + ("" if index.comparator is None else ", or an untreated comparator"),
    )
    if index.washout_days > 0:
        attrition.keep(
            "washout",
            pd.concat([units["patient_id"], comparators["patient_id"]]),
            f"no {index.drug} in the {index.washout_days:g} days before the index course",
        )
    _note_earlier(drug, units, index, attrition)
    return (
        pd.concat([units, comparators])
        .astype({"index_time": "datetime64[us]", "index_end": "datetime64[us]"})
        .sort_values(["patient_id", "index_time"])
        .reset_index(drop=True)
    )


def _first_after_washout(
    found: pd.DataFrame, drug: pd.DataFrame, washout_days: float
) -> pd.DataFrame:
    """Return each patient's first course with no dose of the drug in the days before it."""
    if washout_days > 0:
        last = drug[["patient_id", "end"]].rename(columns={"end": "dose_end"})
        both = found[["patient_id", "course", "start"]].merge(last, on="patient_id")
        recent = both[
            (both["dose_end"] < both["start"])
            & (both["start"] - both["dose_end"] < pd.Timedelta(days=washout_days))
        ]
        keys = set(zip(recent["patient_id"], recent["course"], strict=True))
        found = found[
            [key not in keys for key in zip(found["patient_id"], found["course"], strict=True)]
        ]
    return found.drop_duplicates("patient_id")


def _comparators(
    extract: Extract, pieces: pd.DataFrame, drug: pd.DataFrame, at: str
) -> pd.DataFrame:
    """Return patients who never had the drug, at their first stay or first opioid."""
    untreated = extract.rows("patients")["patient_id"]
    untreated = untreated[~untreated.isin(drug["patient_id"])]
    if at == "stay_start":
        times = extract.rows("stays").groupby("patient_id")["start"].min()
    else:
        opioid = pieces[pieces["drug_class"] == "opioid"]
        times = opioid.groupby("patient_id")["start"].min()
    known = untreated[untreated.isin(times.index)]
    return pd.DataFrame(
        {
            "unit_id": known,
            "patient_id": known,
            "index_time": known.map(times),
            "index_end": pd.Series(pd.NaT, index=known.index).astype("datetime64[us]"),
            "group": "comparator",
            "route": "none",
        }
    )


def _note_earlier(
    drug: pd.DataFrame, units: pd.DataFrame, index: Index, attrition: Attrition
) -> None:
    """Count patients whose first dose of the drug is older than their time zero."""
    same_route = drug[drug["route"].isin(list(index.routes))]
    first = same_route.groupby("patient_id")["start"].min()
    earlier = units["patient_id"].map(first) < units["index_time"]
    if earlier.any():
        attrition.remark(
            "earlier_dose",
            int(earlier.sum()),
            f"patients with an earlier {index.drug} by the same route that time zero does not "
            "count (another feed, or before the washout)",
        )
