"""The four MME/day figures of the NIH HEAL calculator, for one patient or a table of patients.

The figures have no calendar: the days on therapy and the window are what the caller says they
are. With dated prescriptions use `outpatient.dated_mme`. Not for clinical dosing.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from fractions import Fraction
from functools import lru_cache
from importlib import resources

import numpy as np
import pandas as pd

from ketamine_outcomes.errors import UserError, UserErrors, did_you_mean
from ketamine_outcomes.exposure.factors import FactorTable
from ketamine_outcomes.exposure.outpatient.convert import (
    Conversion,
    Number,
    find_conversion,
    positive,
    row_numbers,
)

FIELDS = ("name", "dose", "doses_per_24h", "days")
_ALLOWED = "a mapping with the fields " + ", ".join(FIELDS)
Days = Number | Sequence[Number]
Medication = Mapping[str, object]


@dataclass(frozen=True)
class HealMme:
    """Totals and the four figures.

    Attributes
    ----------
    total_mme, total_days
        Sums over the courses; days that overlap count twice.
    mme1
        total_mme / total_days; None where no course is left (a mean over no days).
    mme2
        total_mme / therapy_days.
    mme3
        total_mme / observation_days.
    mme4
        Sum of the daily doses of all courses, as if all were taken on one day.
    """

    total_mme: float
    total_days: float
    mme1: float | None
    mme2: float
    mme3: float
    mme4: float


@dataclass(frozen=True)
class HealResult:
    """The figures with every course, and without the courses of buprenorphine."""

    with_buprenorphine: HealMme
    without_buprenorphine: HealMme


@dataclass(frozen=True)
class _Course:
    buprenorphine: bool
    single_day: Fraction
    days: Fraction


class _Faults(dict[tuple[str, str], list[str]]):
    """Faults with their places: the same fault of many rows is shown once."""

    def add(self, what: str, where: str, do: str) -> None:
        self.setdefault((what, do), []).append(where)

    def stop(self, heading: str) -> None:
        """Raise if there is any fault."""
        if not self:
            return
        shown = []
        for (what, do), places in self.items():
            rows = [int(place[4:]) - 1 for place in places if place.startswith("row ")]
            where = row_numbers(rows) if rows else ", ".join(dict.fromkeys(places))
            shown.append(UserError(what, where=where, do=do))
        raise UserErrors(shown, heading=heading)


def heal_names() -> tuple[str, ...]:
    """Return the medication names of the HEAL list, spelled as the calculator wants them."""
    return tuple(_names())


def heal_mme(
    medications: Sequence[Medication],
    therapy_days: Days,
    observation_days: Days,
    factors: str = "heal",
) -> HealResult:
    """Return the four HEAL figures of one patient, with and without buprenorphine.

    Parameters
    ----------
    medications
        One mapping a course with the fields `name` (exactly as in `heal_names()`), `dose` (in the
        unit of the name; a patch by its mcg/h), `doses_per_24h` (of a patch: patches worn at
        once) and `days`.
    therapy_days
        Unique days on therapy, as the caller knows them: one number, or two (with and without
        buprenorphine).
    observation_days
        Length of the observation window in days, one number or two.
    factors
        Factor sets; those of the calculator unless said otherwise.

    Returns
    -------
    HealResult

    Raises
    ------
    UserErrors
        Every fault together: no medication, a field missing or unknown, a name that is not on the
        list, a number that is text, missing, infinite, zero or negative, more than two days.

    Notes
    -----
    NIH HEAL MME Online Calculator: Adams MCB, Sward KA, Perkins ML, Hurley RW. PAIN 2025, doi
    10.1097/j.pain.0000000000003529. Definitions: Dasgupta et al. 2021 (PMC8270512).

    A factor with tiers (methadone in cdc2016) depends on the total of the day. Without dates that
    is known for one course only; two such courses are refused.

    Examples
    --------
    Hydrocodone 10 mg four times a day for 7 days and oxycodone 5 mg twice a day for 5 days:

    >>> courses = [
    ...     {"name": "Hydrocodone (mg)", "dose": 10, "doses_per_24h": 4, "days": 7},
    ...     {"name": "Oxycodone (mg)", "dose": 5, "doses_per_24h": 2, "days": 5},
    ... ]
    >>> figures = heal_mme(courses, therapy_days=7, observation_days=14).with_buprenorphine
    >>> figures.total_mme, round(figures.mme1, 2), round(figures.mme3, 2), figures.mme4
    (355.0, 29.58, 25.36, 55.0)
    """
    faults = _Faults()
    courses = _courses(medications, _conversions(factors), faults)
    therapy = _pair(therapy_days, "therapy_days", faults)
    observed = _pair(observation_days, "observation_days", faults)
    faults.stop("the HEAL figures cannot be computed")
    kept = [course for course in courses if not course.buprenorphine]
    return HealResult(
        _figures(courses, therapy[0], observed[0]), _figures(kept, therapy[1], observed[1])
    )


def heal_mme_table(courses: pd.DataFrame, factors: str = "heal") -> pd.DataFrame:
    """Return the four HEAL figures of a table of patients.

    Parameters
    ----------
    courses
        One row a course: patient_id, name, dose, doses_per_24h, days, therapy_days,
        observation_days; optional therapy_days_without, observation_days_without (the days
        without buprenorphine). Days on therapy and window belong to the patient: they must be
        equal in all rows of one.
    factors
        Factor sets.

    Returns
    -------
    DataFrame
        Two rows a patient, `buprenorphine` = with, without; total_mme, total_days, mme1 .. mme4
        (mme1 missing where no course is left).

    Raises
    ------
    UserErrors
        What `heal_mme` refuses; a column missing; rows of one patient that disagree on
        therapy_days or observation_days (the table method of mmequiv, a peer, takes the first row
        silently); rows that are equal in every column.

    Notes
    -----
    Source as `heal_mme`.

    Examples
    --------
    >>> rows = pd.DataFrame([{"patient_id": 1, "name": "Codeine (mg)", "dose": 45,
    ...     "doses_per_24h": 1, "days": 7, "therapy_days": 7, "observation_days": 30}])
    >>> heal_mme_table(rows)[["buprenorphine", "total_mme", "mme1", "mme3"]].values.tolist()
    [['with', 47.25, 6.75, 1.575], ['without', 47.25, 6.75, 1.575]]
    """
    heading = "the table of courses cannot be used"
    _check_table(courses).stop(heading)
    faults, conversions = _Faults(), _conversions(factors)
    results: list[dict[str, object]] = []
    records = courses.to_dict("records")
    for patient, places in courses.groupby("patient_id", sort=True).indices.items():
        mine = [{str(name): cell for name, cell in records[at].items()} for at in places]
        where = [f"row {at + 1}" for at in places]
        given = [{field: row[field] for field in FIELDS} for row in mine]
        found = _courses(given, conversions, faults, where)
        therapy, observed = (
            _pair([mine[0][n], mine[0].get(f"{n}_without", mine[0][n])], n, faults, where[0])
            for n in ("therapy_days", "observation_days")
        )
        if faults:
            continue
        kept = [course for course in found if not course.buprenorphine]
        for at, (word, chosen) in enumerate((("with", found), ("without", kept))):
            figures = _figures(chosen, therapy[at], observed[at])
            results.append({"patient_id": patient, "buprenorphine": word, **asdict(figures)})
    faults.stop(heading)
    return pd.DataFrame(results).astype({name: "float64" for name in HealMme.__annotations__})


# --- parts ------------------------------------------------------------------------------------


@lru_cache(maxsize=1)
def _names() -> dict[str, dict[str, str]]:
    text = (
        resources.files("ketamine_outcomes.exposure")
        .joinpath("reference/heal_names.csv")
        .read_text(encoding="utf-8")
    )
    return {row["name"]: row for row in csv.DictReader(text.splitlines())}


def _conversions(factors: str) -> dict[str, Conversion]:
    """Return what one unit of each name of the list means."""
    table = FactorTable(factors)
    return {
        name: find_conversion(row["drug"], row["route"], row["form"], row["unit"], table)
        for name, row in _names().items()
    }


def _figures(courses: Sequence[_Course], therapy: Fraction, observed: Fraction) -> HealMme:
    total = sum((course.single_day * course.days for course in courses), Fraction(0))
    days = sum((course.days for course in courses), Fraction(0))
    return HealMme(
        total_mme=float(total),
        total_days=float(days),
        mme1=float(total / days) if days else None,
        mme2=float(total / therapy),
        mme3=float(total / observed),
        mme4=float(sum((course.single_day for course in courses), Fraction(0))),
    )


def _number(value: object, name: str, faults: _Faults, where: str) -> Fraction:
    try:
        return positive(value, name)
    except UserError as fault:
        faults.add(fault.what, where, fault.do)
        return Fraction(1)


def _pair(days: object, name: str, faults: _Faults, where: str = "") -> tuple[Fraction, Fraction]:
    """Return days with and without buprenorphine from one number or two."""
    given: list[object] = [days]
    if isinstance(days, Sequence | np.ndarray | pd.Series) and not isinstance(days, str):
        given = list(days)
    if len(given) not in (1, 2):
        do = "give one, or two: with and without buprenorphine"
        faults.add(f"{name} holds {len(given)} numbers", where, do)
        return Fraction(1), Fraction(1)
    numbers = [_number(value, name, faults, where) for value in given]
    return numbers[0], numbers[-1]


def _courses(
    medications: object,
    conversions: Mapping[str, Conversion],
    faults: _Faults,
    where: Sequence[str] = (),
) -> list[_Course]:
    if isinstance(medications, str) or not isinstance(medications, Sequence) or not medications:
        faults.add("no medication is given", "", "give a list with one mapping a course")
        return []
    courses, tiered = [], 0
    for at, medication in enumerate(medications):
        place = where[at] if where else f"medication {at + 1}"
        given = medication if isinstance(medication, Mapping) else {}
        missing = [field for field in FIELDS if field not in given]
        for field in given:
            if field not in FIELDS:
                near = did_you_mean(str(field), missing)
                faults.add(f"a field that is not known{near}", place, _ALLOWED)
        if missing:
            faults.add("no " + ", ".join(missing), place, _ALLOWED)
            continue
        course, has_tiers = _course(given, conversions, faults, place)
        courses.append(course)
        tiered += has_tiers
    if tiered > 1:
        faults.add(
            "several courses whose factor depends on the total of the day, without dates",
            where[0] if where else "",
            "use dated_mme with dates, or a factor set without tiers",
        )
    return courses


def _course(
    medication: Medication, conversions: Mapping[str, Conversion], faults: _Faults, where: str
) -> tuple[_Course, bool]:
    """Return a course, and whether its factor has tiers."""
    dose, times, days = (_number(medication[f], f, faults, where) for f in FIELDS[1:])
    name = medication["name"]
    if not isinstance(name, str) or name not in conversions:
        near = did_you_mean(name, conversions) if isinstance(name, str) else ""
        do = "names are exact; heal_names() lists them"
        faults.add(f"the name is not on the HEAL list{near}", where, do)
        return _Course(False, Fraction(0), days), False
    found = conversions[name]
    if found.mme_per_unit is None or found.mg_per_unit is None:
        do = "use factors='heal', or join it: 'NAME+heal'"
        faults.add(f"{name}: the factor set has no factor", where, do)
        return _Course(False, Fraction(0), days), False
    mme = dose * times * found.mme_per_unit * (24 if found.patch else 1)
    if found.tiers:
        mg = dose * times * found.mg_per_unit
        mme = mg * found.tiers.on_day(mg).per_quantity
    is_buprenorphine = _names()[name]["drug"] == "buprenorphine"
    return _Course(is_buprenorphine, mme, days), found.tiers is not None


def _check_table(courses: pd.DataFrame) -> _Faults:
    """Return the faults of a table that are not those of one course."""
    faults = _Faults()
    wanted = ("patient_id", *FIELDS, "therapy_days", "observation_days")
    missing = [name for name in wanted if name not in courses.columns]
    if missing or courses.empty:
        what = "columns missing: " + ", ".join(missing) if missing else "the table has no rows"
        faults.add(what, "", "one row a course, columns: " + ", ".join(wanted))
        return faults
    rows = courses.reset_index(drop=True)

    def blame(marked: pd.Series, what: str, do: str) -> None:
        for at in np.flatnonzero(marked):
            faults.add(what, f"row {at + 1}", do)

    blame(rows["patient_id"].isna(), "a course without patient_id", "fill it in")
    blame(
        rows.duplicated(keep=False),
        "rows that are equal in every column: one course twice, or two courses?",
        "drop the copy, or add a column that tells them apart",
    )
    for name in ("therapy_days", "observation_days"):
        for column in (name, f"{name}_without"):
            if column in rows:
                kinds = rows.groupby("patient_id")[column].transform("nunique", dropna=False)
                blame(
                    kinds > 1,
                    f"{column} differs between the rows of one patient",
                    f"{column} belongs to the patient: write one value in all its rows",
                )
    return faults
