"""Courses of ketamine, or of another index drug: doses merged over gaps, and what they were.

Racemic ketamine and esketamine are different drugs here: a course holds one of them, and no mg
of the one is ever turned into mg of the other. The guideline behind the dose class speaks of
racemic ketamine by injection; what it does not speak of is `unknown`, not low.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from ketamine_outcomes.exposure.flags import BIT
from ketamine_outcomes.intervals import hours_between

#: What is read of the exposure intervals.
PIECE_COLUMNS = (
    "patient_id", "drug", "dose_id", "route", "start", "end", "mg", "rate_mg_per_h",
    "rate_mg_per_kg_h", "weight_kg", "counted", "flags",
)  # fmt: skip
COURSE_KEY = ["patient_id", "drug", "course"]
PROFILE_COLUMNS = (*COURSE_KEY, "start", "end", "mg_per_kg_h", "route")
MOLECULES = {"ketamine": "racemic", "esketamine": "esketamine"}
#: mg/kg and mg/kg/h are compared and shown to nine decimals: 0.1 + 0.2 is 0.3.
DECIMALS = 9
#: Stop reasons by the flag of the last interval, and by the reason why a stay ended.
CLOSED_BY = ("death", "transfer", "discharge", "cap")
STAY_ENDS = {
    "died": "death", "transferred": "transfer", "discharged": "discharge", "hospice": "discharge",
    "censored": "unknown",
}  # fmt: skip


@dataclass(frozen=True)
class Guideline:
    """A definition of low dose, and what it speaks of.

    Attributes
    ----------
    name
        Where it stands.
    drug, routes
        The drug and routes that it covers; for all else the class is `unknown`.
    bolus_mg_per_kg, infusion_mg_per_kg_h
        Largest bolus and largest rate of a low dose.
    """

    name: str
    drug: str
    routes: tuple[str, ...]
    bolus_mg_per_kg: float
    infusion_mg_per_kg_h: float


#: Schwenk et al. 2018, consensus guidelines on intravenous ketamine for acute pain.
LOW_DOSE = Guideline(
    "ASRA/AAPM/ASA 2018, doi 10.1097/AAP.0000000000000806", "ketamine", ("iv", "im", "sc"), 0.35, 1
)


def given(pieces: pd.DataFrame) -> pd.DataFrame:
    """Return the intervals in which something was given: a rate of 0 pauses an infusion."""
    mg, per_h, per_kg_h = (
        pieces[name] if name in pieces else pd.Series(np.nan, index=pieces.index)
        for name in ("mg", "rate_mg_per_h", "rate_mg_per_kg_h")
    )
    none = mg.eq(0) | (mg.isna() & (per_h.eq(0) | per_kg_h.eq(0)))
    return pieces[~none]


def courses(
    pieces: pd.DataFrame,
    gap_hours: float,
    charted: pd.DataFrame | None = None,
    stays: pd.DataFrame | None = None,
    guideline: Guideline = LOW_DOSE,
) -> pd.DataFrame:
    """Merge the intervals of each patient and drug into courses.

    Parameters
    ----------
    pieces
        Exposure intervals, already limited to the drugs, routes and feeds that count.
    gap_hours
        Doses at most this many hours apart belong to one course.
    charted
        The dose rows behind them (dose_id, patient_id, drug_resolved, start, end, status, rate):
        without them an end that was charted cannot be told from one that was not.
    stays
        Table of stays, for the reason why a stay ended.
    guideline
        Definition of low dose.

    Returns
    -------
    DataFrame
        One row per course: patient_id, drug, course (1 = first of the patient and drug),
        molecule, start, end, route (of the first dose), route_class (iv, sc, other), routes (in
        order, joined by `;`), route_switch, n_switches, n_doses, n_boluses, duration_hours,
        infusing_hours, cumulative_mg, cumulative_mg_per_kg, bolus_mg_per_kg (largest),
        max_mg_per_kg_h, dose_class (low, high, unknown), guideline (empty where it does not
        speak of the drug), stop_reason (charted_stop, own_end, discharge, death, transfer, cap,
        unknown). A sum or a maximum of which a part is unknown is missing, never partial.

    Examples
    --------
    >>> piece = {"patient_id": "1", "drug": "ketamine", "dose_id": "a", "route": "iv",
    ...          "start": pd.Timestamp("2150-01-01 08:00"), "end": pd.Timestamp("2150-01-01 18:00"),
    ...          "mg": 70.0, "weight_kg": 70.0}
    >>> course = courses(pd.DataFrame([piece]), gap_hours=24).iloc[0]
    >>> print(course["max_mg_per_kg_h"], course["cumulative_mg_per_kg"], course["dose_class"])
    0.1 1.0 low
    """
    rows = _assign(pieces, gap_hours)
    rows["bolus"] = (~rows["running"]).astype("int64")
    grouped = rows.groupby(COURSE_KEY, sort=True)
    table = grouped.agg(
        start=("start", "min"),
        end=("end", "max"),
        route=("route", "first"),
        n_doses=("dose_id", "nunique"),
        n_boluses=("bolus", "sum"),
        cumulative_mg=("mg", "sum"),
        cumulative_mg_per_kg=("mg_per_kg", "sum"),
    )
    for name, part in (("cumulative_mg", "mg"), ("cumulative_mg_per_kg", "mg_per_kg")):
        table[name] = table[name].where(grouped[part].count() == grouped.size()).round(DECIMALS)
    steps = _profile(rows)
    bolus, rate = _highest(_bolus_sizes(rows), "mg_per_kg"), _highest(steps, "mg_per_kg_h")
    table["bolus_mg_per_kg"] = bolus["highest"].where(bolus["all_known"].eq(True))
    table["max_mg_per_kg_h"] = rate["highest"].where(rate["all_known"].eq(True))
    table["duration_hours"] = hours_between(table["start"], table["end"])
    running = hours_between(steps["start"], steps["end"])
    table["infusing_hours"] = running.groupby([steps[name] for name in COURSE_KEY]).sum()
    table["infusing_hours"] = table["infusing_hours"].fillna(0.0)
    table["routes"] = _joined_routes(rows, COURSE_KEY)
    switches = _switches(rows).groupby(COURSE_KEY).size()
    table["n_switches"] = switches.reindex(table.index).fillna(0).astype("int64")
    table["route_switch"] = table["n_switches"] > 0
    table["dose_class"] = _dose_class(rows, guideline).reindex(table.index)
    table["stop_reason"] = _stop_reasons(rows, table, charted, stays)
    table = table.reset_index()
    table["molecule"] = table["drug"].map(lambda drug: MOLECULES.get(drug, drug))
    table["route_class"] = table["route"].where(table["route"].isin(["iv", "sc"]), "other")
    table["guideline"] = np.where(table["drug"].eq(guideline.drug), guideline.name, "")
    return table[
        [*COURSE_KEY, "molecule", "start", "end", "route", "route_class", "routes",
         "route_switch", "n_switches", "n_doses", "n_boluses", "duration_hours",
         "infusing_hours", "cumulative_mg", "cumulative_mg_per_kg", "bolus_mg_per_kg",
         "max_mg_per_kg_h", "dose_class", "guideline", "stop_reason"]
    ]  # fmt: skip


def profile(pieces: pd.DataFrame, gap_hours: float) -> pd.DataFrame:
    """Return the rate in mg/kg/h over time, one row per step of a course.

    Infusions that run at once add up; where the rate of one of them is unknown, so is the sum.
    Between two steps that do not touch nothing ran. Boluses are no rate and are not in it: steps
    times hours, and boluses, make the cumulative dose.

    Returns
    -------
    DataFrame
        patient_id, drug, course, start, end, mg_per_kg_h, route (joined by `;` where two run).
    """
    return _profile(_assign(pieces, gap_hours))


def route_switches(pieces: pd.DataFrame, gap_hours: float) -> pd.DataFrame:
    """Return every change of route inside a course: the doses in the order of their starts.

    Returns
    -------
    DataFrame
        patient_id, drug, course, time, from_route, to_route.
    """
    return _switches(_assign(pieces, gap_hours))


# --- doses to courses -------------------------------------------------------------------------


def _assign(pieces: pd.DataFrame, gap_hours: float) -> pd.DataFrame:
    """Return the given intervals with course, `running`, mg/kg and mg/kg/h."""
    rows = given(pieces).reindex(columns=list(PIECE_COLUMNS))
    rows = rows.astype({"start": "datetime64[us]", "end": "datetime64[us]"})
    rows["route"] = rows["route"].astype("object")  # an all-missing column has no kind
    numbers = ["mg", "rate_mg_per_h", "rate_mg_per_kg_h", "weight_kg"]
    rows[numbers] = rows[numbers].astype("float64")
    rows = rows.sort_values(["patient_id", "drug", "start", "end", "dose_id"], kind="stable")
    rows = rows.reset_index(drop=True)
    key = [rows["patient_id"], rows["drug"]]
    reach = rows.groupby(["patient_id", "drug"])["end"].cummax().groupby(key).shift()
    new = reach.isna() | (rows["start"] - reach > pd.Timedelta(hours=gap_hours))
    rows["course"] = new.groupby(key).cumsum().astype("int64")
    hours = hours_between(rows["start"], rows["end"])
    rows["running"] = hours > 0
    # A rate per kg is known without a weight; a mass that was refused is not.
    counts = rows["counted"].ne(False)
    rows["mg"] = rows["mg"].where(counts)
    by_rate = (rows["rate_mg_per_kg_h"] * hours).where(rows["running"])
    by_rate = by_rate.where(counts | rows["weight_kg"].isna())
    by_mass = rows["mg"] / rows["weight_kg"]
    rows["mg_per_kg"] = by_mass.where(by_mass.notna(), by_rate)
    rows["mg_per_kg_h"] = (rows["mg_per_kg"] / hours).where(rows["running"])
    return rows


def _profile(rows: pd.DataFrame) -> pd.DataFrame:
    """Cut the time of each course at every start and end, and add up what runs in each step."""
    running = rows[rows["running"]]
    if running.empty:
        return running.reindex(columns=list(PROFILE_COLUMNS))
    edges = pd.concat(
        [running[[*COURSE_KEY, side]].rename(columns={side: "start"}) for side in ("start", "end")]
    )
    edges = edges.drop_duplicates().sort_values([*COURSE_KEY, "start"]).reset_index(drop=True)
    edges["end"] = edges.groupby(COURSE_KEY)["start"].shift(-1)
    edges["step"] = np.arange(len(edges))
    first = running.merge(edges[[*COURSE_KEY, "start", "step"]], on=[*COURSE_KEY, "start"])
    last = edges[[*COURSE_KEY, "start", "step"]].rename(columns={"start": "end", "step": "stop"})
    spans = first.merge(last, on=[*COURSE_KEY, "end"])
    times = (spans["stop"] - spans["step"]).to_numpy()
    inside = spans.loc[spans.index.repeat(times), ["dose_id", "route", "mg_per_kg_h"]]
    ends = np.cumsum(times)
    inside["step"] = np.repeat(spans["step"].to_numpy(), times) + (
        np.arange(int(times.sum())) - np.repeat(ends - times, times)
    )
    inside = inside.sort_values(["step", "route", "mg_per_kg_h", "dose_id"], kind="stable")
    grouped = inside.groupby("step")
    total = grouped["mg_per_kg_h"].sum().where(grouped["mg_per_kg_h"].count() == grouped.size())
    steps = edges.set_index("step").loc[total.index]
    steps = steps.assign(mg_per_kg_h=total.round(DECIMALS), route=_joined_routes(inside, ["step"]))
    return _join_equal(steps.reset_index(drop=True))[list(PROFILE_COLUMNS)]


def _joined_routes(rows: pd.DataFrame, key: list[str]) -> pd.Series:
    """Return the routes of each group in their order, joined by `;` where there are several."""
    words = rows[key].assign(route=rows["route"].fillna("unknown")).drop_duplicates()
    several = words.duplicated(key, keep=False)
    one = words[~several].set_index(key)["route"]
    joined = words[several].groupby(key)["route"].agg(";".join)
    both: pd.Series = pd.concat([one, joined]) if len(joined) else one
    return both


def _join_equal(steps: pd.DataFrame) -> pd.DataFrame:
    """Make one step of two that touch and do not differ."""
    before = steps.shift()
    same = steps["start"].eq(before["end"]) & steps["route"].eq(before["route"])
    for name in COURSE_KEY:
        same &= steps[name].eq(before[name])
    rate, rate_before = steps["mg_per_kg_h"], before["mg_per_kg_h"]
    same &= rate.eq(rate_before) | (rate.isna() & rate_before.isna())
    run = (~same).cumsum()
    joined = steps[~same].assign(end=steps.groupby(run)["end"].max().to_numpy())
    return joined.reset_index(drop=True)


def _switches(rows: pd.DataFrame) -> pd.DataFrame:
    known = rows[rows["route"].notna()]
    before = known.groupby(COURSE_KEY)["route"].shift()
    changed = before.notna() & before.ne(known["route"])
    table = known.assign(time=known["start"], from_route=before, to_route=known["route"])
    return table.loc[changed, [*COURSE_KEY, "time", "from_route", "to_route"]].reset_index(
        drop=True
    )


# --- dose class -------------------------------------------------------------------------------


def _bolus_sizes(rows: pd.DataFrame) -> pd.DataFrame:
    """Return mg/kg of every bolus; rows of one instant are one bolus."""
    boluses = rows[~rows["running"]]
    grouped = boluses.groupby([*COURSE_KEY, "start"])["mg_per_kg"]
    size = grouped.sum().where(grouped.count() == grouped.size()).round(DECIMALS)
    return size.reset_index()


def _highest(table: pd.DataFrame, name: str) -> pd.DataFrame:
    """Return, by course, the largest known value and whether every value is known."""
    grouped = table.groupby(COURSE_KEY)[name]
    return pd.DataFrame({"highest": grouped.max(), "all_known": grouped.count() == grouped.size()})


def _dose_class(rows: pd.DataFrame, guideline: Guideline) -> pd.Series:
    """Return high where any known part is above the guideline, low where all is known and within.

    A part without a weight that was not charted per kg, or by a route or of a drug of which the
    guideline does not speak, cannot make a course low.
    """
    covered = rows["drug"].eq(guideline.drug) & rows["route"].isin(list(guideline.routes))
    known = (covered & rows["mg_per_kg"].notna()).groupby([rows[k] for k in COURSE_KEY]).all()
    judged = rows[covered & rows["mg_per_kg"].notna()]
    bolus = _highest(_bolus_sizes(judged), "mg_per_kg")["highest"].reindex(known.index)
    rate = _highest(_profile(judged), "mg_per_kg_h")["highest"].reindex(known.index)
    high = (bolus > guideline.bolus_mg_per_kg) | (rate > guideline.infusion_mg_per_kg_h)
    classes = np.select([high, known], ["high", "low"], "unknown")
    return pd.Series(classes, index=known.index, dtype="object")


# --- why it ended -----------------------------------------------------------------------------


def _stop_reasons(
    rows: pd.DataFrame,
    table: pd.DataFrame,
    charted: pd.DataFrame | None,
    stays: pd.DataFrame | None,
) -> pd.Series:
    """Return why each course ended, from its last interval: what the chart says comes first."""
    ends = table["end"].rename("course_end").reset_index()
    last = rows.merge(ends, on=COURSE_KEY)
    last = last[last["end"] == last["course_end"]]
    flags = last["flags"].fillna(0).astype("int64")
    found = {reason: flags & BIT[f"open_interval_closed_by_{reason}"] > 0 for reason in CLOSED_BY}
    # A dose at an instant ends by itself; an interval does so only where its end was charted.
    own_end = ~last["running"]
    stopped = clipped = pd.Series(False, index=last.index)
    if charted is not None:
        row_end = last["dose_id"].map(charted.set_index("dose_id")["end"])
        own_end = own_end | (row_end == last["end"])
        clipped = row_end > last["end"]
        stopped = _at_a_stop(last, charted)
    at_stay_end = pd.Series(index=last.index, dtype="object")
    if stays is not None:
        reasons = stays.dropna(subset=["end_reason"]).drop_duplicates(["patient_id", "end"])
        lookup = reasons.set_index(["patient_id", "end"])["end_reason"].map(STAY_ENDS)
        keys = pd.MultiIndex.from_frame(last[["patient_id", "end"]])
        at_stay_end = pd.Series(lookup.reindex(keys).to_numpy(), index=last.index, dtype="object")
    by_stay = (found["discharge"] | clipped) & at_stay_end.notna()
    words = np.select(
        [stopped, found["death"], found["transfer"], by_stay, found["discharge"], found["cap"],
         own_end],
        ["charted_stop", "death", "transfer", at_stay_end, "discharge", "cap", "own_end"],
        "unknown",
    )  # fmt: skip
    order = ["charted_stop", "death", "transfer", "discharge", "cap", "own_end", "unknown"]
    ranked = last[COURSE_KEY].assign(reason=words, rank=[order.index(word) for word in words])
    first = ranked.sort_values([*COURSE_KEY, "rank"], kind="stable").drop_duplicates(COURSE_KEY)
    return first.set_index(COURSE_KEY)["reason"].reindex(table.index)


def _at_a_stop(last: pd.DataFrame, charted: pd.DataFrame) -> pd.Series:
    """Return where a row says that it was stopped: by its status, or by a rate of 0 (a pause)."""
    says = charted["status"].isin(["stopped", "removed"]) | charted["rate"].eq(0)
    stops = charted.loc[says, ["patient_id", "drug_resolved", "start"]]
    ends = pd.MultiIndex.from_frame(last[["patient_id", "drug", "end"]])
    return pd.Series(ends.isin(pd.MultiIndex.from_frame(stops)), index=last.index)
