"""Opioid tolerance by the drug-specific rule of the FDA, on each of the seven days before zero.

The labelling of transmucosal immediate-release fentanyl (the TIRF REMS class) calls tolerant who
takes, for a week or longer, at least 60 mg of oral morphine a day, 30 mg of oral oxycodone, 8 mg
of oral hydromorphone, 25 mg of oral oxymorphone, 60 mg of oral hydrocodone, 25 mcg/h of
transdermal fentanyl, or an equianalgesic dose of another opioid. Here a day's doses are added as
shares of these thresholds (`reference/tolerance.csv`); another opioid or route counts as
MME / 60, the MME of the morphine threshold.
"""

from __future__ import annotations

import csv
from decimal import Decimal
from functools import lru_cache
from importlib import resources

import numpy as np
import pandas as pd

from ketamine_outcomes import intervals
from ketamine_outcomes.exposure.factors import Factor, FactorTable

#: Factors of MME / 60. Always these: whether a patient is tolerant is no matter of a scenario.
FACTORS = "cdc2022+inpatient"
#: Days before zero: day -1 is [-24, 0) h.
DAYS = tuple(range(-7, 0))
DAY = 24 * intervals.MICROSECONDS_PER_HOUR
#: MME that stand for one threshold.
MME_PER_DAY = 60.0
#: Quantities are summed as integers of 1e-9 mg (patch: 1e-9 mcg/h x h), as in the outcomes.
SCALE = 10**9
#: A sum of shares reaches 1 to this many decimals: 1/3 + 2/3 does.
DECIMALS = 9
QUANTITY_KEY = ["unit_id", "day", "drug", "route", "form_class", "kind"]


@lru_cache(maxsize=1)
def thresholds() -> dict[tuple[str, str, str], float]:
    """Return mg a day (patches: mcg/h) by drug, route and form class (`any`, `patch`)."""
    text = (
        resources.files("ketamine_outcomes.exposure")
        .joinpath("reference/tolerance.csv")
        .read_text(encoding="utf-8")
    )
    return {
        (row["drug"], row["route"], row["form"]): float(row["per_day"])
        for row in csv.DictReader(text.splitlines())
    }


def daily_doses(
    units: pd.DataFrame, pieces: pd.DataFrame, hours_observed: pd.DataFrame, factors: FactorTable
) -> pd.DataFrame:
    """Return the opioid dose of each of the seven 24-h days before zero.

    Parameters
    ----------
    units
        unit_id.
    pieces
        Opioid intervals as they were known at zero, with unit_id and index_time.
    hours_observed
        unit_id, day, hours_observed (of doses; missing where nothing is known of it).
    factors
        Factor sets of the study, for what has no threshold.

    Returns
    -------
    DataFrame
        One row per unit and day (-7 to -1): unit_id, day, fraction (sum of dose / threshold of
        what can be counted), mme, hours_observed, fda and flat (`met`, `not_met`, `unknown`).
        A day is met when what is known reaches the threshold; it is not met only when it was
        observed for all its hours and every opioid of it can be counted.
    """
    days = pd.MultiIndex.from_product([units["unit_id"], DAYS], names=["unit_id", "day"])
    table = pd.DataFrame(index=days).reset_index()
    doses = _convert(_quantities(pieces), factors)
    table = table.merge(doses, on=["unit_id", "day"], how="left")
    table = table.merge(hours_observed, on=["unit_id", "day"], how="left")
    for name in ("fraction", "mme"):
        table[name] = table[name].fillna(0.0)
    observed, whole = table["hours_observed"] > 0, table["hours_observed"] >= 24
    for rule, reached, incomplete in (
        ("fda", table["fraction"] >= 1, "fraction_incomplete"),
        ("flat", table["mme"] >= MME_PER_DAY, "mme_incomplete"),
    ):
        complete = ~table[incomplete].eq(True)
        table[rule] = np.select(
            [observed & reached, whole & complete], ["met", "not_met"], "unknown"
        )
    return table[["unit_id", "day", "fraction", "mme", "hours_observed", "fda", "flat"]]


def opioid_tolerance(days: pd.DataFrame) -> pd.DataFrame:
    """Return one row per unit from its seven days.

    Returns
    -------
    DataFrame
        unit_id, opioid_tolerant (tolerant: met on all seven days; unknown: any day unknown;
        not_tolerant), opioid_tolerant_flat (the same with 60 MME a day of any opioid),
        n_days_met, n_days_observed (days with any observed hour).
    """
    by_unit = days.assign(observed=days["hours_observed"] > 0)
    for rule in ("fda", "flat"):
        for word in ("met", "unknown"):
            by_unit[f"{rule}_{word}"] = days[rule].eq(word)
    counts = by_unit.groupby("unit_id", sort=False)[
        ["observed", "fda_met", "fda_unknown", "flat_met", "flat_unknown"]
    ].sum()
    words = {
        rule: np.select(
            [counts[f"{rule}_met"] == len(DAYS), counts[f"{rule}_unknown"] > 0],
            ["tolerant", "unknown"],
            "not_tolerant",
        )
        for rule in ("fda", "flat")
    }
    return pd.DataFrame(
        {
            "unit_id": counts.index,
            "opioid_tolerant": words["fda"],
            "opioid_tolerant_flat": words["flat"],
            "n_days_met": counts["fda_met"].to_numpy(dtype=np.int64),
            "n_days_observed": counts["observed"].to_numpy(dtype=np.int64),
        }
    )


# --- doses to days ----------------------------------------------------------------------------


def _quantities(pieces: pd.DataFrame) -> pd.DataFrame:
    """Return the quantity of every opioid by unit, day, drug, route and form."""
    rows = pieces[pieces["drug_class"] == "opioid"]
    zero = intervals.microseconds(rows["index_time"])
    start = intervals.microseconds(rows["start"]) - zero
    end = intervals.microseconds(rows["end"]) - zero
    first = np.maximum(start // DAY, DAYS[0])
    last = np.minimum(np.where(end > start, (end - 1) // DAY, start // DAY), DAYS[-1])
    times = np.maximum(last - first + 1, 0)
    at = np.repeat(np.arange(len(rows)), times)
    day = first[at] + np.arange(len(at)) - np.repeat(np.cumsum(times) - times, times)
    part = intervals.share(start[at], end[at], day * DAY, (day + 1) * DAY)
    shared = intervals.overlap(start[at], end[at], day * DAY, (day + 1) * DAY)
    spread = rows.iloc[at].assign(day=day)
    patch = spread["kind"].eq("patch")
    quantity = np.where(
        patch,
        spread["rate_mcg_per_h"].astype("float64") * (shared / intervals.MICROSECONDS_PER_HOUR),
        spread["mg"].astype("float64") * part,
    )
    unknown = np.isnan(quantity) | ~spread["counted"].to_numpy(dtype=bool)
    spread["quantity"] = np.rint(np.where(unknown, 0, quantity) * SCALE).astype(np.int64)
    spread["uncounted"] = unknown
    for name in ("route", "form_class"):  # an all-missing column has no kind
        spread[name] = spread[name].astype("object").fillna("unknown")
    return (
        spread.groupby(QUANTITY_KEY, sort=True)
        .agg(quantity=("quantity", "sum"), uncounted=("uncounted", "any"))
        .reset_index()
    )


def _convert(quantities: pd.DataFrame, factors: FactorTable) -> pd.DataFrame:
    """Return share of threshold and MME by unit and day, and whether either lacks a part."""
    table = quantities.copy()
    amount = table["quantity"] / SCALE
    keys = ["drug", "route", "form_class", "kind"]
    ways = [
        _way(way.drug, way.route, way.form_class, way.kind, factors)
        for way in intervals.each(table[keys].drop_duplicates())
    ]
    table = table.merge(pd.DataFrame(ways, columns=[*keys, "per_day", "mme_per", "tiers"]), on=keys)
    per = table["mme_per"].astype("float64")
    tiered = table["tiers"].notna()
    if tiered.any():
        # The tier of a day follows from all doses of it that carry a tier.
        day = [table["unit_id"], table["day"]]
        total = table["quantity"].where(tiered, 0).groupby(day).transform("sum")
        per = per.mask(
            tiered,
            pd.Series(
                [
                    float(factor.on_day(Decimal(mass) / SCALE).per_quantity)
                    if isinstance(factor, Factor)
                    else np.nan
                    for factor, mass in zip(table["tiers"], total.tolist(), strict=True)
                ],
                index=table.index,
            ),
        )
    table["mme"] = amount * per
    shares = amount / table["per_day"].astype("float64")
    table["fraction"] = shares.where(table["per_day"].notna(), table["mme"] / MME_PER_DAY)
    for name in ("fraction", "mme"):
        table[f"{name}_incomplete"] = table["uncounted"] | table[name].isna()
    grouped = table.groupby(["unit_id", "day"], sort=True)
    summed = grouped[["fraction", "mme"]].sum().round(DECIMALS)
    lacks = grouped[["fraction_incomplete", "mme_incomplete"]].any()
    return summed.join(lacks).reset_index()


def _way(
    drug: str, route: str, form: str, kind: str, factors: FactorTable
) -> tuple[str, str, str, str, float | None, float | None, Factor | None]:
    """Return threshold a day (patch: mcg/h x h), MME per quantity, and the tiers if there are."""
    patch = kind == "patch"
    per_day = thresholds().get((drug, route, "patch" if patch else "any"))
    factor = factors.find(drug, route, form)
    return (
        drug, route, form, kind,
        None if per_day is None else per_day * (24 if patch else 1),
        None if factor is None else float(factor.per_quantity),
        factor if factor is not None and factor.tiers else None,
    )  # fmt: skip
