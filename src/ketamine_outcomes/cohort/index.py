"""Time zero of every unit: a patient's first eligible course, or a site's insertion."""

from __future__ import annotations

import pandas as pd

from ketamine_outcomes.cohort.attrition import Attrition
from ketamine_outcomes.errors import UserError
from ketamine_outcomes.exposure.ketamine import courses, given
from ketamine_outcomes.extract.tables import Extract
from ketamine_outcomes.study import Index

#: What is kept of the index course. But for the molecule, which its first dose shows, it is known
#: only afterwards: description of the exposure, never a covariate.
COURSE = (
    "molecule", "cumulative_mg_per_kg", "max_mg_per_kg_h", "dose_class", "route_switch",
    "stop_reason",
)  # fmt: skip


def find(
    extract: Extract,
    dose_rows: pd.DataFrame,
    pieces: pd.DataFrame,
    index: Index,
    attrition: Attrition,
) -> pd.DataFrame:
    """Return one row per unit with its time zero.

    Parameters
    ----------
    extract
        Canonical tables.
    dose_rows, pieces
        Classified dose rows and exposure intervals.
    index
        The study's definition of time zero.
    attrition
        Receives the steps from the extract to the units.

    Returns
    -------
    DataFrame
        unit_id, patient_id, index_time, index_end (end of the course or missing), group
        (treated, comparator or site), route (untreated for comparators), molecule (none where no
        drug makes time zero); for treated patients what the course was.

    Raises
    ------
    UserError
        A table that the definition needs is absent, or no unit is left.
    """
    if index.unit == "site_episode":
        return _sites(extract, index, attrition)
    if "doses" not in extract.tables:
        raise UserError(
            "the extract has no doses table: the index drug cannot be found",
            do="add doses.csv, or use index.unit: site_episode",
        )
    charted = charted_rows(extract, dose_rows[dose_rows["drug_resolved"] == index.drug])
    return _patients(extract, charted, pieces, index, attrition)


def charted_rows(extract: Extract, dose_rows: pd.DataFrame) -> pd.DataFrame:
    """Return classified dose rows with their charted start, end, status and rate."""
    doses = extract.rows("doses")[["dose_id", "start", "end", "status", "rate"]]
    return doses[doses["dose_id"].isin(dose_rows["dose_id"])].merge(dose_rows, on="dose_id")


def _sites(extract: Extract, index: Index, attrition: Attrition) -> pd.DataFrame:
    if "infusion_sites" not in extract.tables:
        raise UserError(
            "the extract has no infusion_sites table: there are no site episodes",
            do="add infusion_sites.csv, or use index.unit: patient",
        )
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
            "molecule": "none",
        }
    ).reset_index(drop=True)


def _patients(
    extract: Extract,
    charted: pd.DataFrame,
    pieces: pd.DataFrame,
    index: Index,
    attrition: Attrition,
) -> pd.DataFrame:
    patients = extract.rows("patients")["patient_id"]
    attrition.start("in_extract", patients, "patients in the extract")
    drug = given(pieces[pieces["drug"] == index.drug])
    wanted = drug[drug["route"].isin(list(index.routes))]
    if index.sources is not None:
        wanted = wanted[wanted["source"].isin(list(index.sources))]
    stays = extract.tables.get("stays")
    found = courses(wanted, index.gap_hours, charted, stays)
    treated = _first_after_washout(found, drug, index.washout_days)
    units = pd.DataFrame(
        {
            "unit_id": treated["patient_id"],
            "patient_id": treated["patient_id"],
            "index_time": treated["start"],
            "index_end": treated["end"],
            "group": "treated",
            "route": treated["route"],
            **{name: treated[name] for name in COURSE},
        }
    )
    by = " or ".join(index.routes)
    where = f" charted in {' or '.join(index.sources)}" if index.sources else ""
    groups = [units]
    if index.comparator is not None:
        groups.append(_comparators(extract, pieces, _treated(pieces, drug), index.comparator.at))
    untreated = [group["patient_id"] for group in groups[1:]]
    ever = pd.concat([found["patient_id"].drop_duplicates(), *untreated])
    attrition.keep(
        "index_drug",
        ever,
        f"{index.drug} by {by}{where}"
        + ("" if index.comparator is None else ", or an untreated comparator"),
    )
    if index.washout_days > 0:
        attrition.keep(
            "washout",
            pd.concat([units["patient_id"], *untreated]),
            f"no {index.drug} in the {index.washout_days:g} days before the index course",
        )
    _note_earlier(charted, units, index, attrition)
    return (
        pd.concat(groups)
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
        key = ["patient_id", "course"]
        found = found[
            ~pd.MultiIndex.from_frame(found[key]).isin(pd.MultiIndex.from_frame(recent[key]))
        ]
    return found.drop_duplicates("patient_id")


def _treated(pieces: pd.DataFrame, drug: pd.DataFrame) -> pd.Series:
    """Return the patients who had the drug; who had the other molecule of ketamine had it too."""
    if drug["drug_class"].eq("ketamine").any():
        return given(pieces[pieces["drug_class"] == "ketamine"])["patient_id"]
    return drug["patient_id"]


def _comparators(
    extract: Extract, pieces: pd.DataFrame, treated: pd.Series, at: str
) -> pd.DataFrame:
    """Return patients who never had the drug, at their first stay or first opioid."""
    untreated = extract.rows("patients")["patient_id"]
    untreated = untreated[~untreated.isin(treated)]
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
            "route": "untreated",
            "molecule": "none",
        }
    )


def _note_earlier(
    charted: pd.DataFrame, units: pd.DataFrame, index: Index, attrition: Attrition
) -> None:
    """Count patients with an earlier charted dose of the drug, by the same route, in any feed."""
    mine = charted[
        charted["drug_resolved"].eq(str(index.drug))
        & charted["route_resolved"].isin(list(index.routes))
        & ~charted["class"].isin(["excluded", "marker"])
    ]
    first = mine.groupby("patient_id")["start"].min()
    lead = units["index_time"] - units["patient_id"].map(first)
    earlier = lead > pd.Timedelta(0)
    if earlier.any():
        both = mine.merge(units[["patient_id", "index_time"]], on="patient_id")
        last = both[both["start"] < both["index_time"]].groupby("patient_id")["start"].max()
        gap = units["index_time"] - units["patient_id"].map(last)
        near = int((gap <= pd.Timedelta(hours=1)).sum())
        attrition.remark(
            "earlier_dose",
            int(earlier.sum()),
            f"patients with an earlier {index.drug} by the same route that time zero does not "
            f"count; in {near} of them the last one lies within the hour before (one dose "
            "charted in two feeds)",
        )
