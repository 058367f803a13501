"""Morphine milligram equivalents per window: factors multiply here.

Mass per dose and window is rounded half-even to 1e-9 mg and summed exactly as integers per drug,
route and form; factor times sum is rounded half-even to 1e-6 MME. So a sum depends neither on
threads nor on row order, and another factor set is a join.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Any

import numpy as np
import pandas as pd

from ketamine_outcomes import intervals
from ketamine_outcomes.cohort.windows import label, observed_hours, window_bounds
from ketamine_outcomes.exposure.factors import FactorTable
from ketamine_outcomes.extract.tables import Extract

MASS_SCALE = 10**9
MICRO = Decimal("0.000001")
UNDER_HOURS = 12.0
IMPUTED_FLAGS = ("route_assumed", "open_interval_closed_by_", "patch_removal_")


def window_masses(
    units: pd.DataFrame, pieces: pd.DataFrame, windows: Sequence[tuple[float, float]]
) -> pd.DataFrame:
    """Return the mass of every counted opioid piece in every window.

    Parameters
    ----------
    units
        unit_id, patient_id, index_time.
    pieces
        Exposure intervals.
    windows
        [from, to) in hours from index.

    Returns
    -------
    DataFrame
        One row per unit, window and piece that touches it: unit_id, window, drug, route,
        form_class, kind, quantity (integer, 1e-9 mg; for patches 1e-9 mcg/h x h), counted,
        imputed, flags.
    """
    opioid = pieces[pieces["drug_class"] == "opioid"]
    rows = opioid.merge(units[["unit_id", "patient_id", "index_time"]], on="patient_id")
    found = []
    for window in windows:
        low, high = (intervals.microseconds(t) for t in window_bounds(rows["index_time"], window))
        start, end = intervals.microseconds(rows["start"]), intervals.microseconds(rows["end"])
        part = intervals.share(start, end, low, high)
        hours = intervals.overlap(start, end, low, high) / intervals.MICROSECONDS_PER_HOUR
        patch = rows["kind"].eq("patch")
        quantity = np.where(patch, rows["rate_mcg_per_h"] * hours, rows["mg"] * part)
        inside = rows.assign(
            window=label(window),
            quantity=np.rint(np.nan_to_num(quantity) * MASS_SCALE).astype(np.int64),
        )
        found.append(inside[part > 0])
    table = pd.concat(found) if found else rows.assign(window="", quantity=0).head(0)
    words = table["flags"].fillna("")
    imputed = np.zeros(len(table), dtype=bool)
    for flag in IMPUTED_FLAGS:
        imputed |= words.str.contains(flag, regex=False).to_numpy(dtype=bool)
    next_row_only = words.str.contains("closed_by_next_row", regex=False) & ~words.str.contains(
        "route_assumed|patch_removal|closed_by_(?:cap|discharge|death|transfer)", regex=True
    )
    table = table.assign(imputed=imputed & ~next_row_only.to_numpy(dtype=bool))
    return table[
        ["unit_id", "window", "dose_id", "drug", "route", "form_class", "kind", "quantity",
         "counted", "imputed", "flags"]
    ].reset_index(drop=True)  # fmt: skip


def convert(masses: pd.DataFrame, factors: FactorTable) -> pd.DataFrame:
    """Sum masses and multiply by factors.

    Returns
    -------
    DataFrame
        unit_id, window, drug, route, form_class, imputed, mg, mme (float; missing where no
        factor is listed), counted.
    """
    keys = ["unit_id", "window", "drug", "route", "form_class", "kind", "counted", "imputed"]
    summed = (
        masses.fillna({"route": "unknown", "form_class": "unknown"})
        .groupby(keys, sort=True, dropna=False)["quantity"]
        .sum()
        .reset_index()
    )
    mme, mg = [], []
    for row in intervals.each(summed):
        exact = Decimal(int(row.quantity)) / MASS_SCALE
        mg.append(float(exact) if row.kind != "patch" else float(exact) / 1000)
        mme.append(
            _mme(exact, row.drug, row.route, row.form_class, row.kind, factors)
            if row.counted
            else float("nan")
        )
    return summed.assign(mg=mg, mme=mme)


def _mme(
    quantity: Decimal, drug: str, route: str, form_class: str, kind: str, factors: FactorTable
) -> float:
    if drug == "morphine_equivalent":
        return float(quantity.quantize(MICRO, ROUND_HALF_EVEN))
    factor = factors.find(drug, route, form_class)
    if factor is None:
        return float("nan")
    if kind == "patch":
        per_quantity = factor.value / 24
    else:
        per_quantity = factor.value * (1000 if factor.unit == "mcg" else 1)
    return float((quantity * per_quantity).quantize(MICRO, ROUND_HALF_EVEN))


def window_mme(
    units: pd.DataFrame,
    extract: Extract,
    converted: pd.DataFrame,
    windows: Sequence[tuple[float, float]],
) -> pd.DataFrame:
    """Return MME and hours observed for every unit and window.

    Returns
    -------
    DataFrame
        unit_id, window, mme (counted part; missing when nothing was observed and nothing
        charted), hours_observed, mme_per_24h (missing without observed hours), incomplete,
        imputed_share, any_opioid, state (`value`, `observed_zero`, `incomplete`, `unknown`),
        flags (sorted, joined by `;`).
    """
    tables = []
    for window in windows:
        start, end = window_bounds(units["index_time"], window)
        hours = observed_hours(extract, units, "doses", start, end)
        here = converted[converted["window"] == label(window)]
        missing = here["mme"].isna()
        total = here.groupby("unit_id")["mme"].sum()
        imputed = here[here["imputed"]].groupby("unit_id")["mme"].sum()
        incomplete = missing.groupby(here["unit_id"]).any()
        unit = units["unit_id"]
        table = pd.DataFrame({"unit_id": unit, "window": label(window)})
        charted = unit.isin(here["unit_id"])
        known = charted | (hours > 0)
        table["mme"] = unit.map(total).fillna(0).where(known)
        table["hours_observed"] = hours
        table["mme_per_24h"] = (table["mme"] / hours * 24).where(hours > 0)
        table["incomplete"] = unit.isin(incomplete[incomplete].index)
        share = unit.map(imputed).fillna(0) / table["mme"]
        table["imputed_share"] = share.where(table["mme"] > 0)
        table["any_opioid"] = charted
        table["length_hours"] = window[1] - window[0]
        tables.append(table)
    result = pd.concat(tables, ignore_index=True)
    zero = result["mme"].eq(0) & ~result["incomplete"] & (result["hours_observed"] > 0)
    result["state"] = np.select(
        [~(result["hours_observed"] > 0), result["incomplete"], zero],
        ["unknown", "incomplete", "observed_zero"],
        "value",
    )
    result["flags"] = [";".join(sorted(_window_flags(row))) for row in intervals.each(result)]
    return result.drop(columns="length_hours")


def _window_flags(row: Any) -> list[str]:
    flags = []
    hours = row.hours_observed
    if row.state == "observed_zero":
        flags.append("observed_zero")
    if hours < min(24.0, row.length_hours):
        flags.append("partial_day")
    if hours < UNDER_HOURS:
        flags.append("under_12_hours")
    return flags


def finish_ledger(ledger: pd.DataFrame, pieces: pd.DataFrame, factors: FactorTable) -> pd.DataFrame:
    """Give the ledger its factors: the contract's columns, one row per dose row.

    A converted row whose drug, route and form have no factor becomes unconverted:no_factor.
    """
    found = [
        factors.find(drug, route, form)
        if row_class == "converted" and isinstance(route, str) and isinstance(form, str)
        else None
        for row_class, drug, route, form in zip(
            ledger["class"], ledger["drug_resolved"], ledger["route_resolved"],
            ledger["form_class"], strict=True,
        )
    ]  # fmt: skip
    table = ledger.copy()
    lacks = pd.Series([factor is None for factor in found], index=table.index)
    lacks &= table["class"].eq("converted") & table["drug_resolved"].ne("morphine_equivalent")
    table.loc[lacks, ["class", "reason"]] = ["unconverted", "no_factor"]
    table["factor"] = [float(factor.value) if factor else float("nan") for factor in found]
    counted = pieces[pieces["counted"] & pieces["drug_class"].eq("opioid")]
    hours = intervals.hours_between(counted["start"], counted["end"])
    patch = counted["kind"].eq("patch")
    quantity = np.where(patch, counted["rate_mcg_per_h"] * hours, counted["mg"])
    rounded = np.rint(np.nan_to_num(quantity) * MASS_SCALE).astype(np.int64)
    per_dose = pd.Series(rounded, index=counted["dose_id"]).groupby(level=0).sum()
    is_patch = set(counted.loc[patch, "dose_id"])
    table["mme"] = [
        float("nan")
        if factor is None or dose not in per_dose.index or row_class != "converted"
        else _mme(
            Decimal(int(per_dose[dose])) / MASS_SCALE, drug, route, form,
            "patch" if dose in is_patch else "mass", factors,
        )
        for dose, row_class, drug, route, form, factor in zip(
            table["dose_id"], table["class"], table["drug_resolved"], table["route_resolved"],
            table["form_class"], found, strict=True,
        )
    ]  # fmt: skip
    return table[
        ["dose_id", "patient_id", "class", "reason", "drug_resolved", "route_resolved", "factor",
         "mme", "flags"]
    ]  # fmt: skip
