"""What several analyses share: arms, descriptions of values, paired changes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from ketamine_outcomes.analyses.ladder import REFUSED, rung
from ketamine_outcomes.estimates import Rows

QUANTILES = (("q25", 0.25), ("q75", 0.75))


@dataclass(frozen=True)
class Data:
    """What the analyses read.

    Attributes
    ----------
    units
        One row per unit of the cohort, with its covariates.
    attrition, ledger
        Steps of the cohort; counts of dose rows by class and reason.
    outcomes
        Outcome name to its table; `NAME.by_drug` for masses by drug.
    """

    units: pd.DataFrame
    attrition: pd.DataFrame
    ledger: pd.DataFrame
    outcomes: dict[str, pd.DataFrame] = field(default_factory=dict)


def arms(units: pd.DataFrame, by: str | None) -> Iterator[tuple[str, pd.Series]]:
    """Yield each arm's name and its unit ids; `all` when there are none."""
    yield "all", units["unit_id"]
    if by is not None:
        for word in sorted(units[by].dropna().astype(str).unique()):
            yield word, units.loc[units[by].astype(str) == word, "unit_id"]


def describe(
    rows: Rows,
    values: pd.Series,
    unit: str,
    unknown: str = "unknown: nothing was observed",
    **cells: object,
) -> None:
    """Add mean, sd, median and quartiles of one value per unit.

    One value is reported as a mean with n 1 and nothing else; none at all as not estimable,
    with the reason `unknown`.
    """
    known = values.dropna().astype(float)
    n = len(known)
    common = {"unit": unit, "n_patients": n, **cells}
    if n == 0:
        rows.unknown("mean", unknown, **{**common, "n_patients": None})
        return
    rows.add("mean", float(known.mean()), **common)
    if n < 2:
        return
    rows.add("sd", float(known.std(ddof=1)), **common)
    rows.add("median", float(known.median()), **common)
    for term, q in QUANTILES:
        rows.add("quantile", float(known.quantile(q)), **{**common, "term": term})


def count(rows: Rows, term: str, n: int, of: int, **cells: object) -> None:
    """Add a count of units among `of`."""
    rows.add("count", float(n), term=term, n_patients=of, n_events=n, unit="patients", **cells)


def paired_change(
    rows: Rows, before: pd.Series, after: pd.Series, unit: str, **cells: object
) -> None:
    """Add the mean change of paired values on the rung that their number can bear.

    Parameters
    ----------
    rows
        Receives mean_difference rows: paired t from 2 pairs on, with a p value from 6 on;
        sign-flip from 6 to 22.
    before, after
        One value per unit, aligned; pairs with a missing value are left out.
    """
    from ketamine_outcomes import estimators

    both = before.notna() & after.notna()
    change = (after[both] - before[both]).to_numpy(dtype=float)
    n = len(change)
    common = {"unit": unit, "n_patients": n, "n_observations": 2 * n, **cells}
    if n == 0:
        rows.refuse("mean_difference", REFUSED["none"], unit=unit, **cells)
        return
    step = rung(n)
    if step == "one":
        rows.refuse("mean_difference", REFUSED["one"], unit=unit, method="one patient", **cells)
        return
    table = estimators.paired_exact(change).table.set_index("test")
    if np.ptp(change) == 0:
        rows.add(
            "mean_difference", float(change.mean()), **common, method="paired t",
            note="all changes are equal: no interval",
        )  # fmt: skip
        return
    paired_t = table.loc["paired_t"]
    with_p = step != "two_to_five"
    rows.add(
        "mean_difference",
        float(paired_t["estimate"]),
        **common,
        std_error=float(change.std(ddof=1) / np.sqrt(n)),
        ci_low=float(paired_t["ci_low"]),
        ci_high=float(paired_t["ci_high"]),
        ci_level=0.95,
        df=float(paired_t["df"]),
        p_value=float(paired_t["p_value"]) if with_p else None,
        method="paired t",
        note="" if with_p else REFUSED["two_to_five"],
    )
    flip = table.loc["sign_flip"]
    if with_p and np.isfinite(float(flip["p_value"])):
        rows.add(
            "mean_difference", float(change.mean()), **common, method="sign flip",
            p_value=float(flip["p_value"]),
        )  # fmt: skip
