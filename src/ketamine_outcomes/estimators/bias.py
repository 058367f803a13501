"""How far bias could carry a result: E-value, bounding factor, regression to the mean."""

from __future__ import annotations

from math import exp, isfinite, pi, sqrt
from typing import Literal, get_args

import numpy as np
import pandas as pd
from scipy import special

from .results import InvalidInput, Result, check_choice, check_whole

Measure = Literal[
    "risk_ratio",
    "odds_ratio_rare",
    "odds_ratio_common",
    "hazard_ratio_rare",
    "hazard_ratio_common",
    "standardised_mean_difference",
]


def finite(value: float, name: str) -> float:
    """Return a finite number, else raise."""
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        raise InvalidInput(f"{name} must be a number") from None
    if not isfinite(number):
        raise InvalidInput(f"{name} must be finite")
    return number


def positive(value: float, name: str) -> float:
    """Return a finite number above 0, else raise."""
    number = finite(value, name)
    if number <= 0:
        raise InvalidInput(f"{name} must be above 0")
    return number


# --------------------------------------------------------------------------------- E-value


def _risk_ratio(value: float, measure: Measure) -> float:
    """An effect on the scale of risk ratios, 1 or more."""
    if measure == "standardised_mean_difference":
        return exp(0.91 * abs(value))
    ratio = value if value >= 1 else 1 / value
    if measure == "odds_ratio_common":
        return sqrt(ratio)
    if measure == "hazard_ratio_common":
        return float((1 - 0.5 ** sqrt(ratio)) / (1 - 0.5 ** sqrt(1 / ratio)))
    return ratio


def e_value(
    ratio: float,
    ci_low: float | None = None,
    ci_high: float | None = None,
    measure: Measure = "risk_ratio",
) -> Result:
    """Confounding strength that could explain an effect away.

    The E-value is the smallest risk ratio that an unmeasured confounder needs with both the
    exposure and the outcome: E = RR + sqrt(RR (RR - 1)), RR taken as 1 / RR below 1.

    Parameters
    ----------
    ratio
        Observed effect; for `standardised_mean_difference` the difference d itself.
    ci_low, ci_high
        Limits of its interval, on the same scale; the limit closer to no effect is used.
    measure
        Scale of the effect. "rare": outcome below 15 % at the end of follow-up, the ratio is
        taken as a risk ratio; "common": sqrt(OR), and (1 - 0.5^sqrt(HR)) / (1 - 0.5^sqrt(1/HR));
        a standardised mean difference: exp(0.91 d).

    Returns
    -------
    Result
        `.table` with quantity (e_value; e_value_limit if a limit was given), measure, estimate
        (the E-value, 1 where the interval holds no effect), risk_ratio (1 or more).

    Raises
    ------
    InvalidInput
        A ratio is not above 0, limits do not hold the estimate, an unknown measure.

    Notes
    -----
    R: `EValue::evalues.RR`, `.OR`, `.HR`. VanderWeele & Ding (2017).

    Examples
    --------
    >>> e_value(3.9, 1.8, 8.5).table["estimate"].round(3).tolist()
    [7.263, 3.0]
    """
    check_choice(measure, get_args(Measure), "measure")
    difference = measure == "standardised_mean_difference"
    check, null = (finite, 0.0) if difference else (positive, 1.0)
    effect = check(ratio, "ratio")
    low = None if ci_low is None else check(ci_low, "ci_low")
    high = None if ci_high is None else check(ci_high, "ci_high")
    if (low is not None and low > effect) or (high is not None and high < effect):
        raise InvalidInput("ci_low and ci_high must lie below and above the ratio")
    rows = [("e_value", effect)]
    if low is not None or high is not None:
        nearest = low if effect > null else high
        if effect == null:
            nearest = null
        if nearest is None:
            raise InvalidInput("give the limit that lies between the ratio and no effect")
        rows.append(("e_value_limit", max(nearest, null) if effect > null else min(nearest, null)))
    table = pd.DataFrame(rows, columns=["quantity", "value"])
    table["measure"] = measure
    table["risk_ratio"] = [_risk_ratio(value, measure) for value in table.pop("value")]
    rr = table["risk_ratio"]
    table["estimate"] = rr + np.sqrt(rr * (rr - 1))
    return Result(table=table[["quantity", "measure", "estimate", "risk_ratio"]])


def bounding_factor(exposure_ratio: float, outcome_ratio: float) -> Result:
    """Largest factor by which one unmeasured confounder can move a risk ratio.

    Parameters
    ----------
    exposure_ratio
        Risk ratio of exposure and confounder, 1 or more.
    outcome_ratio
        Risk ratio of confounder and outcome, 1 or more.

    Returns
    -------
    Result
        `.table` with quantity (bounding_factor), estimate = E U / (E + U - 1): divide a risk
        ratio above 1 by it, multiply one below 1.

    Raises
    ------
    InvalidInput
        A ratio below 1.

    Notes
    -----
    Ding & VanderWeele (2016).

    Examples
    --------
    >>> bounding_factor(2, 3).table["estimate"].tolist()
    [1.5]
    """
    e, u = positive(exposure_ratio, "exposure_ratio"), positive(outcome_ratio, "outcome_ratio")
    if e < 1 or u < 1:
        raise InvalidInput("both ratios must be 1 or more: take 1 / ratio for a smaller one")
    return Result(
        table=pd.DataFrame({"quantity": ["bounding_factor"], "estimate": [e * u / (e + u - 1)]})
    )


# ----------------------------------------------------------------------- regression to mean


def regression_to_mean(
    baseline_mean: float | None,
    population_mean: float,
    reliability: float,
    *,
    cutoff: float | None = None,
    std_dev: float | None = None,
    n_baseline: int = 1,
    selected: Literal["above", "below"] = "above",
) -> Result:
    """Change from baseline to follow-up that no treatment explains.

    Parameters
    ----------
    baseline_mean
        Mean of the selected patients at baseline; None if only the cutoff is known.
    population_mean
        Mean of the population they come from.
    reliability
        Share of the variance of one measurement that lies between patients, 0 to 1.
    cutoff, std_dev
        Entry threshold and standard deviation of one measurement in the population: the
        expected change of patients selected by the threshold (normal distribution).
    n_baseline
        Measurements averaged at baseline; r becomes m r / (1 + (m - 1) r).
    selected
        Side of the cutoff that enters.

    Returns
    -------
    Result
        `.table` with quantity, estimate (expected change), expected_baseline,
        expected_follow_up. Rows: given_baseline_mean, change
        -(1 - r) (baseline - population); selected_by_cutoff, change -(1 - r) s h(z) with s the
        standard deviation of the baseline (mean), z = (cutoff - population) / s and h the
        normal hazard (signs reversed for "below"). `.diagnostics` has the reliability used.

    Raises
    ------
    InvalidInput
        Neither a baseline mean nor a cutoff with std_dev; reliability outside 0 to 1.

    Notes
    -----
    Davis (1976); Barnett, van der Pols & Dobson (2005).

    Examples
    --------
    >>> regression_to_mean(8, 4.5, 0.64).table["estimate"].round(6).tolist()
    [-1.26]
    """
    centre, r = finite(population_mean, "population_mean"), finite(reliability, "reliability")
    if not 0 <= r <= 1:
        raise InvalidInput("reliability must lie between 0 and 1")
    check_choice(selected, ("above", "below"), "selected")
    if (cutoff is None) != (std_dev is None):
        raise InvalidInput("give cutoff and std_dev together")
    m = check_whole(n_baseline, "n_baseline", 1)
    averaged = m * r / (1 + (m - 1) * r)
    rows = []
    if baseline_mean is not None:
        start = finite(baseline_mean, "baseline_mean")
        rows.append(("given_baseline_mean", -(1 - averaged) * (start - centre), start))
    if cutoff is not None and std_dev is not None:
        one = positive(std_dev, "std_dev")
        spread = one * sqrt(r + (1 - r) / m)
        sign = 1.0 if selected == "above" else -1.0
        z = sign * (finite(cutoff, "cutoff") - centre) / spread
        hazard = sqrt(2 / pi) / float(special.erfcx(z / sqrt(2)))  # density over upper tail
        rows.append(
            (
                "selected_by_cutoff",
                -sign * (1 - averaged) * spread * hazard,
                centre + sign * spread * hazard,
            )
        )
    if not rows:
        raise InvalidInput("give baseline_mean, or cutoff and std_dev")
    table = pd.DataFrame(rows, columns=["quantity", "estimate", "expected_baseline"])
    table["expected_follow_up"] = table["expected_baseline"] + table["estimate"]
    return Result(table=table, diagnostics={"reliability": averaged})
