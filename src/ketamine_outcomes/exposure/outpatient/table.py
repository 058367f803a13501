"""Tables of dated prescriptions: checked, converted, cut into stretches of constant daily dose."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ketamine_outcomes.errors import UserError, UserErrors
from ketamine_outcomes.exposure.factors import FactorTable
from ketamine_outcomes.exposure.outpatient.convert import (
    Conversion,
    find_conversion,
    positive,
    row_numbers,
)

Day = int | datetime.date
Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
REQUIRED = ("patient_id", "start", "units", "strength", "days_supply")
WORDS = ("drug", "route", "strength_unit")
#: Results are rounded to 1e-6 MME, and totals to 1e-6 mg before a tier is looked up.
DECIMALS = 6
_KEY = ("drug", "route", "form", "strength_unit", "factor", "factor_unit", "days_per_patch")
_TEXT = frozenset(("drug", "route", "form", "strength_unit", "factor_unit"))
#: More than this in a day of one prescription is a filler number such as 9999999.
_IMPLAUSIBLE_MME = 1e6


def prepare(table: pd.DataFrame, factors: str) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Check and convert a table of prescriptions.

    Returns
    -------
    tuple of DataFrame
        The prescriptions (code of the patient, patient_id, start, days, mme, reason), and the
        stretches of constant daily dose of what was converted (code, start, days, mme_per_day).

    Raises
    ------
    UserErrors
        Every fault of the table with its rows.
    """
    faults = _faults(table)
    if faults:
        raise UserErrors(faults, heading="the table of prescriptions cannot be used")
    known, words = FactorTable(factors), _words(table)
    group = words.groupby(list(_KEY), dropna=False, sort=False).ngroup().to_numpy().astype(np.int64)
    first = words.iloc[np.unique(group, return_index=True)[1]]
    found: list[Conversion] = []
    for place, row in zip(first.index, first.itertuples(index=False), strict=True):
        cells = [None if pd.isna(cell) else cell for cell in row]
        try:
            found.append(_convert(known, *cells))
        except UserError as fault:
            where = row_numbers(np.flatnonzero(group == group[place]))
            faults.append(UserError(fault.what, where=f"{fault.where}, {where}", do=fault.do))
    if faults:
        raise UserErrors(faults, heading="the table of prescriptions cannot be used")
    code, patients = pd.factorize(table["patient_id"], sort=True)
    amount = (table["units"] * table["strength"]).to_numpy(np.float64)
    rx = pd.DataFrame(
        {
            "code": code,
            "patient_id": patients.take(code),
            "start": days_of(table["start"]),
            "days": table["days_supply"].to_numpy(np.int64),
            "mme": amount * _each(found, group, "mme"),
            "mg": amount * _each(found, group, "mg"),
            "reason": np.array([c.reason for c in found], dtype=object)[group],
            "tiers": np.array([c.tiers for c in found], dtype=object)[group],
        }
    )
    rows = np.flatnonzero(rx["mme"] / rx["days"] > _IMPLAUSIBLE_MME)
    if rows.size:
        raise UserError(
            "more than a million MME a day", where=row_numbers(rows), do="is it a filler number?"
        )
    plain = rx[rx["reason"].eq("") & rx["tiers"].isna()]
    pieces = plain[["code", "start", "days"]].assign(mme_per_day=plain["mme"] / plain["days"])
    by_day = _tier_days(rx)
    if len(by_day):
        rx.loc[np.unique(by_day["row"]), "mme"] = by_day.groupby("row")["mme_per_day"].sum()
        pieces = pd.concat([pieces, by_day[list(pieces.columns)]])
    return rx, pieces


def _convert(table: FactorTable, *cells: Any) -> Conversion:
    """Return the conversion of one distinct set of words."""
    drug, route, form, unit, factor, factor_unit, days = cells
    if factor is not None and unit is None:
        return Conversion(mme_per_unit=positive(factor, "factor"))
    found = find_conversion(drug, route, form, unit, table, factor, factor_unit, days)
    found.dispensed()  # a patch without days is a fault of its rows
    return found


def _each(found: Sequence[Conversion], group: Ints, what: str) -> Floats:
    """Return MME or mg of one unit of strength of one unit dispensed, for each row."""
    parts = (c.mme_per_unit if what == "mme" else c.mg_per_unit for c in found)
    values = [
        np.nan if part is None or c.reason else float(part * c.dispensed())
        for c, part in zip(found, parts, strict=True)
    ]
    return np.array(values)[group]


def _tier_days(rx: pd.DataFrame) -> pd.DataFrame:
    """Return one row a day of each prescription whose factor has tiers: row, day, mme_per_day."""
    tiered = rx[rx["tiers"].notna()]
    at = np.repeat(np.arange(len(tiered)), tiered["days"])
    before = (tiered["days"].cumsum() - tiered["days"]).to_numpy()
    offset = np.arange(len(at)) - before[at]
    days = pd.DataFrame(
        {
            "row": tiered.index.to_numpy()[at],
            "code": tiered["code"].to_numpy()[at],
            "start": tiered["start"].to_numpy()[at] + offset,
            "mg": (tiered["mg"] / tiered["days"]).to_numpy()[at],
            "tiers": tiered["tiers"].to_numpy()[at],
        }
    )
    total = days.groupby(["code", "start"])["mg"].transform("sum").round(DECIMALS)
    steps: dict[tuple[Any, float], float] = {}
    for factor, mg in set(zip(days["tiers"], total, strict=True)):
        steps[factor, mg] = float(factor.on_day(Fraction(str(mg))).per_quantity)
    chosen = [steps[pair] for pair in zip(days["tiers"], total, strict=True)]
    return days.assign(days=1, mme_per_day=days["mg"] * np.array(chosen, dtype=np.float64))


# --- checks -----------------------------------------------------------------------------------


def _faults(table: pd.DataFrame) -> list[UserError]:
    supplied = "factor" in table.columns and table["factor"].notna().all()
    wanted = [*REQUIRED, *(() if supplied else WORDS)]
    missing = [name for name in wanted if name not in table.columns]
    if missing or table.empty:
        what = "columns missing: " + ", ".join(missing) if missing else "the table has no rows"
        allowed = ", ".join(REQUIRED) + "; drug, route, strength_unit or factor"
        return [UserError(what, do="columns: " + allowed)]
    faults = []

    def blame(what: str, rows: Any, do: str = "") -> None:
        places = np.flatnonzero(rows)
        if places.size:
            faults.append(UserError(what, where=row_numbers(places), do=do))

    for name in ("units", "strength", "days_supply", "factor", "days_per_patch"):
        if name not in table.columns:
            continue
        column = table[name]
        if not pd.api.types.is_numeric_dtype(column) or pd.api.types.is_bool_dtype(column):
            faults.append(UserError(f"{name} must be numbers", do="give numbers, not text"))
            continue
        numbers = column.to_numpy(np.float64, na_value=np.nan)
        empty = np.isnan(numbers) & (name in ("factor", "days_per_patch"))
        blame(
            f"{name} must be a positive number", ~(empty | (np.isfinite(numbers) & (numbers > 0)))
        )
        if name == "days_supply":
            blame("days_supply must be whole days", numbers % 1 != 0)
    blame("a prescription without patient_id", table["patient_id"].isna())
    blame("a prescription without start", table["start"].isna())
    if not _is_dates(table["start"]) and not _is_whole(table["start"]):
        faults.append(
            UserError("start must be dates or whole day numbers", do="pandas.to_datetime")
        )
    blame(
        "rows that are equal in every column: one prescription twice, or two?",
        table.duplicated(keep=False),
        "drop the copy, or add a column that tells them apart",
    )
    return faults


def _words(table: pd.DataFrame) -> pd.DataFrame:
    """Return the cells that decide a conversion; what is no text is no word."""
    columns: dict[str, Any] = {}
    for name in _KEY:
        column = table.get(name)
        if column is not None and name in _TEXT:
            column = column.astype(object).where(column.map(lambda cell: isinstance(cell, str)))
        columns[name] = None if column is None else column.to_numpy()
    return pd.DataFrame(columns, index=range(len(table)))


def _is_dates(start: pd.Series) -> bool:
    if pd.api.types.is_datetime64_any_dtype(start):
        return True
    return start.dtype == object and all(isinstance(day, datetime.date) for day in start.dropna())


def _is_whole(start: pd.Series) -> bool:
    numeric = pd.api.types.is_numeric_dtype(start) and not pd.api.types.is_bool_dtype(start)
    return bool(numeric and (start.dropna() % 1 == 0).all())


def days_of(start: pd.Series) -> Ints:
    """Return day numbers; of a date with a time zone, those of its local calendar."""
    if not _is_dates(start):
        return start.to_numpy(np.int64)
    dates = pd.to_datetime(start)
    if dates.dt.tz is not None:
        dates = dates.dt.tz_localize(None)
    return dates.to_numpy().astype("datetime64[D]").astype(np.int64)


def day_of(day: Any, start: pd.Series, name: str) -> int:
    """Return a day as a number, of the kind that the table has."""
    dates = _is_dates(start)
    right = isinstance(day, datetime.date) if dates else isinstance(day, int | np.integer)
    if not right or isinstance(day, bool):
        kind = "a date" if dates else "a day number"
        raise UserError(f"{name} must be {kind}, as start is", where=name)
    return int(days_of(pd.Series([day]))[0])


def window_of(window: tuple[Day, Day], start: pd.Series) -> tuple[int, int]:
    if len(window) != 2:
        raise UserError("a window has a first and a last day", where="window")
    first, last = (day_of(day, start, "window") for day in window)
    if last < first:
        raise UserError("the window ends before it begins", where="window")
    return first, last
