"""How far bias could carry a result: E-value, bounding factor, tipping point, regression to mean.

The simulation of several biases at once is in bias_simulation.py.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import exp, inf, isfinite, nan, pi, sqrt
from typing import Literal, get_args

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy import optimize, special

from .results import (
    Floats,
    InvalidInput,
    NotEstimable,
    Result,
    check_level,
    t_quantile,
    two_sided_p,
)

Measure = Literal[
    "risk_ratio",
    "odds_ratio_rare",
    "odds_ratio_common",
    "hazard_ratio_rare",
    "hazard_ratio_common",
    "standardised_mean_difference",
]


def _finite(value: float, name: str) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError):
        raise InvalidInput(f"{name} must be a number") from None
    if not isfinite(number):
        raise InvalidInput(f"{name} must be finite")
    return number


def positive(value: float, name: str) -> float:
    """Return a finite number above 0, else raise."""
    number = _finite(value, name)
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
    if measure not in get_args(Measure):
        raise InvalidInput(f"measure must be one of {', '.join(get_args(Measure))}")
    difference = measure == "standardised_mean_difference"
    check, null = (_finite, 0.0) if difference else (positive, 1.0)
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
    centre, r = _finite(population_mean, "population_mean"), _finite(reliability, "reliability")
    if not 0 <= r <= 1:
        raise InvalidInput("reliability must lie between 0 and 1")
    if n_baseline != int(n_baseline) or n_baseline < 1:
        raise InvalidInput("n_baseline must be a whole number, 1 or more")
    if selected not in ("above", "below"):
        raise InvalidInput("selected must be 'above' or 'below'")
    if (cutoff is None) != (std_dev is None):
        raise InvalidInput("give cutoff and std_dev together")
    m = int(n_baseline)
    averaged = m * r / (1 + (m - 1) * r)
    rows = []
    if baseline_mean is not None:
        start = _finite(baseline_mean, "baseline_mean")
        rows.append(("given_baseline_mean", -(1 - averaged) * (start - centre), start))
    if cutoff is not None and std_dev is not None:
        one = positive(std_dev, "std_dev")
        spread = one * sqrt(r + (1 - r) / m)
        sign = 1.0 if selected == "above" else -1.0
        z = sign * (_finite(cutoff, "cutoff") - centre) / spread
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


# ---------------------------------------------------------------------------- tipping point


def tipping_point(
    estimate: ArrayLike,
    std_error: ArrayLike,
    delta_scale: ArrayLike,
    level: float = 0.95,
    *,
    deltas: Sequence[float] | None = None,
    variance_change: tuple[ArrayLike, ArrayLike] | None = None,
    df_complete: float = inf,
    null: float = 0.0,
) -> Result:
    """Departure from missing-at-random at which a conclusion turns.

    Missing values are taken to lie `delta` away from what was imputed (delta-adjusted, pattern
    mixture); the estimate is followed along delta until its interval reaches `null`.

    Parameters
    ----------
    estimate, std_error
        One number, or one per imputed data set; pooled by Rubin's rules.
    delta_scale
        Change of the estimate per unit of delta: one number or one per imputed data set. In a
        two-arm mean difference: the share of treated patients whose value is missing; in a
        linear model: the coefficient of the same regression with "delta is added here" (0, 1)
        as outcome.
    level
        Confidence level that counts as a conclusion.
    deltas
        Values of delta for the table; the tipping points are added.
    variance_change
        Linear and quadratic change of the squared standard error with delta, shaped like
        estimate (none: it stays).
    df_complete
        Residual degrees of freedom of the complete data (Barnard & Rubin 1999).
    null
        Value of no effect.

    Returns
    -------
    Result
        `.table` with delta, estimate, std_error, df, statistic, p_value, ci_low, ci_high,
        tipping (True where the interval just touches null). `.diagnostics`: tipping_low and
        tipping_high, the tipping points closest to 0 below and above it (NaN if none within
        1000 standard errors).

    Raises
    ------
    InvalidInput
        Shapes differ, a standard error is not above 0, a number is not finite.
    NotEstimable
        delta does not move the estimate.

    Notes
    -----
    R: `summary(pool(fits), conf.int = TRUE)` of mice on fits of shifted values. Rubin (1987),
    National Research Council (2010), Carpenter & Kenward (2013).

    Examples
    --------
    >>> result = tipping_point(-1.0, 0.4, 0.3)
    >>> round(result.diagnostics["tipping_high"], 4)
    0.7201
    """
    check_level(level)
    shape = np.shape(np.atleast_1d(np.asarray(estimate, object)))
    flat, curve = variance_change if variance_change is not None else (0.0, 0.0)
    est, se, scale, linear, quadratic = (
        _vector(values, name, shape)
        for values, name in (
            (estimate, "estimate"),
            (std_error, "std_error"),
            (delta_scale, "delta_scale"),
            (flat, "variance_change"),
            (curve, "variance_change"),
        )
    )
    if (se <= 0).any():
        raise InvalidInput("std_error must be above 0")
    if not df_complete > 0:
        raise InvalidInput("df_complete must be above 0")
    if (scale == 0).all():
        raise NotEstimable("delta does not move the estimate: no value is shifted")
    null = _finite(null, "null")

    def pooled(delta: float) -> tuple[float, float, float]:
        variance = se**2 + delta * linear + delta**2 * quadratic
        return _rubin(est + delta * scale, variance, df_complete)

    def distance(delta: float) -> float:
        """Standard errors between null and the near end of the interval; 0 at a tipping point."""
        middle, error, df = pooled(delta)
        return abs(middle - null) / error - float(t_quantile(level, df))

    unit = pooled(0.0)[1] / max(float(np.abs(scale.mean())), float(np.abs(scale).max()) / 1000)
    low, high = (_first_root(distance, side * unit) for side in (-1.0, 1.0))
    points = {float(_finite(d, "deltas")) for d in ([0.0] if deltas is None else deltas)}
    tipping = {d for d in (low, high) if isfinite(d)}
    rows = []
    for delta in sorted(points | tipping):
        middle, error, df = pooled(delta)
        if not error > 0:
            raise InvalidInput("variance_change makes a variance 0 or negative at a delta")
        half, t = float(t_quantile(level, df)) * error, (middle - null) / error
        p = float(two_sided_p(t, df))
        rows.append(
            (delta, middle, error, df, t, p, middle - half, middle + half, delta in tipping)
        )
    columns = ["delta", "estimate", "std_error", "df", "statistic", "p_value", "ci_low", "ci_high"]
    return Result(
        table=pd.DataFrame(rows, columns=[*columns, "tipping"]),
        diagnostics={
            "level": level,
            "n_imputations": int(est.size),
            "tipping_low": low,
            "tipping_high": high,
        },
    )


def _vector(values: ArrayLike, name: str, shape: tuple[int, ...]) -> Floats:
    try:
        array = np.atleast_1d(np.asarray(values, float))
    except (TypeError, ValueError):
        raise InvalidInput(f"{name} must be numbers") from None
    if len(shape) != 1 or shape[0] == 0 or array.shape not in (shape, (1,)):
        raise InvalidInput(f"{name} must be one number, or one per value of estimate")
    if not np.isfinite(array).all():
        raise InvalidInput(f"{name} must be finite")
    return np.broadcast_to(array, shape)


def _rubin(estimates: Floats, variances: Floats, df_complete: float) -> tuple[float, float, float]:
    """Pooled estimate, standard error and degrees of freedom (Barnard & Rubin 1999)."""
    m, middle, within = estimates.size, float(estimates.mean()), float(variances.mean())
    if m == 1:
        return middle, sqrt(within) if within > 0 else nan, df_complete
    between = float(estimates.var(ddof=1))
    total = within + (1 + 1 / m) * between
    if not within > 0:
        return middle, nan, nan
    share = (1 + 1 / m) * between / total
    old = (m - 1) / share**2 if share > 0 else inf
    observed = inf
    if isfinite(df_complete):
        observed = (df_complete + 1) / (df_complete + 3) * df_complete * (1 - share)
    return middle, sqrt(total), 1 / (1 / old + 1 / observed) if min(old, observed) < inf else inf


def _first_root(function: Callable[[float], float], unit: float) -> float:
    """Root closest to 0 on the side of `unit`, within 1000 units."""
    steps = np.concatenate([[0.0], np.geomspace(1e-6, 1e3, 2001)]) * unit
    before = function(0.0)
    for low, high in zip(steps[:-1], steps[1:], strict=True):
        after = function(float(high))
        if before == 0 or before * after < 0:
            return float(optimize.brentq(function, low, high, xtol=1e-15, rtol=1e-14))
        before = after
    return nan
