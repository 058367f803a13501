"""Tipping point of a result under values that are missing not at random."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from math import inf, isfinite, nan, sqrt

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy import optimize

from .bias import finite
from .inputs import floats, refuse_extreme
from .results import (
    Floats,
    InvalidInput,
    NotEstimable,
    Result,
    as_float,
    check_level,
    t_quantile,
    two_sided_p,
)


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
    0.72
    """
    check_level(level)
    shape = np.shape(np.atleast_1d(np.asarray(estimate, object)))
    try:
        flat, curve = variance_change if variance_change is not None else (0.0, 0.0)
        given = [0.0] if deltas is None else list(deltas)
    except (TypeError, ValueError):
        raise InvalidInput("deltas takes several numbers, variance_change a pair") from None
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
    if not as_float(df_complete) > 0:
        raise InvalidInput("df_complete must be above 0")
    if (scale == 0).all():
        raise NotEstimable("delta does not move the estimate: no value is shifted")
    null = finite(null, "null")

    def pooled(delta: float) -> tuple[float, float, float]:
        variance = se**2 + delta * linear + delta**2 * quadratic
        return _rubin(est + delta * scale, variance, df_complete)

    def distance(delta: float) -> float:
        """Standard errors between null and the near end of the interval; 0 at a tipping point."""
        middle, error, df = pooled(delta)
        return abs(middle - null) / error - float(t_quantile(level, df))

    unit = pooled(0.0)[1] / max(float(np.abs(scale.mean())), float(np.abs(scale).max()) / 1000)
    low, high = (_first_root(distance, side * unit) for side in (-1.0, 1.0))
    points = {float(finite(d, "deltas")) for d in given}
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
    array = np.atleast_1d(floats(values, name))
    if len(shape) != 1 or shape[0] == 0 or array.shape not in (shape, (1,)):
        raise InvalidInput(f"{name} must be one number, or one per value of estimate")
    if not np.isfinite(array).all():
        raise InvalidInput(f"{name} must be finite")
    refuse_extreme(array, name)
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
    for low, high in pairwise(steps.tolist()):
        after = function(float(high))
        if before == 0 or before * after < 0:
            return float(optimize.brentq(function, low, high, xtol=1e-15, rtol=1e-14))
        before = after
    return nan
