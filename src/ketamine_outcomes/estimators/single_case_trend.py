"""Level and slope of one series: least squares and AR(1) errors.

Model: value = intercept + slope x (time - first time) + level x (1 in intervention phases).
"""

from __future__ import annotations

from dataclasses import dataclass
from math import log, nan, pi, sqrt
from typing import Any, Literal

import numpy as np
from scipy import optimize

from .results import Floats, NotEstimable

EXACT_FIT = 1e-12  # residual share of the variation that is rounding
LARGEST_CORRELATION = 0.99999


@dataclass(frozen=True)
class TrendFit:
    """Coefficients with their covariance; further numbers by name."""

    estimate: Floats
    covariance: Floats
    df: float
    extras: dict[str, float]


def ordinary(x: Floats, y: Floats) -> TrendFit:
    """Least squares with independent errors, Durbin-Watson, lag-1 autocorrelation."""
    from statsmodels.stats.stattools import durbin_watson  # lazy: 3 s

    fit, length = _fitted(x, y)
    residuals = np.asarray(fit.resid, float)
    return TrendFit(
        np.asarray(fit.params, float) / length,
        np.asarray(fit.cov_params(), float) / np.outer(length, length),
        float(fit.df_resid),
        {
            "residual_sd": sqrt(float(fit.scale)),
            "durbin_watson": float(durbin_watson(residuals)),
            "lag1_autocorrelation": float(residuals[1:] @ residuals[:-1]) / float(fit.ssr),
        },
    )


def newey_west(x: Floats, y: Floats, lag: int, adjust: bool) -> TrendFit:
    """Least squares with the Newey-West (1987) covariance, Bartlett weights, no prewhitening."""
    root, _, _ = _least_squares(x, y)
    if float(((x @ root) ** 2).sum(axis=1).max()) > 1 - 1e-9:
        raise NotEstimable("a value that is fitted exactly leaves no residual: its phase is short")
    fit, length = _fitted(x, y)
    robust = fit.get_robustcov_results("HAC", maxlags=min(lag, y.size - 1), use_correction=adjust)
    return TrendFit(
        np.asarray(fit.params, float) / length,
        np.asarray(robust.cov_params(), float) / np.outer(length, length),
        float(fit.df_resid),
        {},
    )


def _fitted(x: Floats, y: Floats) -> tuple[Any, Floats]:
    """Least squares by statsmodels on columns of unit length, and the lengths."""
    from statsmodels.regression.linear_model import OLS  # lazy: 3 s

    _least_squares(x, y)  # refuses what has no answer
    length = np.sqrt((x**2).sum(axis=0))
    return OLS(y, x / length).fit(), length


def gls_ar1(x: Floats, y: Floats, time: Floats, method: Literal["ML", "REML"]) -> TrendFit:
    """Generalised least squares with AR(1) errors, correlation phi ** gap.

    Gaps that are whole multiples of a smallest step may have a negative phi (per step);
    otherwise errors are continuous-time AR(1), phi above 0 per unit of time.
    """
    root, ols, residuals = _least_squares(x, y)
    gaps = np.diff(time)
    step = _common_step(gaps)
    if step:
        gaps = np.round(gaps / step)
    n, terms = x.shape
    df = n - (terms if method == "REML" else 0)
    # in an orthonormal basis of the terms, and beside the least squares fit, sums lose no digits
    both = np.column_stack([x @ root, residuals])
    distinct, counts, later, cross, earlier = _gap_sums(both, gaps)
    first = np.outer(both[0], both[0])
    basis = float(np.log(np.abs(np.linalg.det(root))))

    def fit(phi: float) -> tuple[float, Floats, Floats, float]:
        rho = phi**distinct
        left = 1 - rho**2
        by_gap = (later - rho * cross + rho**2 * earlier) / left
        try:
            top = np.linalg.cholesky(first + by_gap.sum(axis=2)).T
        except np.linalg.LinAlgError:
            raise NotEstimable("the errors are determined by the values before them") from None
        within, line = top[:terms, :terms], top[:terms, terms]
        variance = float(top[terms, terms] ** 2) / df
        deviance = df * (log(2 * pi * variance) + 1) + float(counts @ np.log(left))
        if method == "REML":
            deviance += 2 * (float(np.log(np.diag(within)).sum()) - basis)
        back = root @ np.linalg.inv(within)
        return -deviance / 2, ols + back @ line, variance * back @ back.T, variance

    def score(z: float) -> float:
        return fit(float(np.tanh(z)))[0]

    limit = float(np.arctanh(LARGEST_CORRELATION))
    grid = np.linspace(-limit if step else 0.0, limit, 61)
    scores = np.array([score(float(z)) for z in grid])
    best = int(np.argmax(scores))
    if best == grid.size - 1 or (step and best == 0):
        raise NotEstimable("the autocorrelation runs to its limit: take a longer series")
    found = optimize.minimize_scalar(
        lambda z: -score(z),
        bounds=(grid[max(0, best - 1)], grid[best + 1]),
        method="bounded",
        options={"xatol": 1e-10},
    )
    z = float(found.x) if -found.fun > scores[best] else float(grid[best])
    phi = float(np.tanh(z))
    log_likelihood, beta, covariance, variance = fit(phi)
    return TrendFit(
        beta,
        covariance,
        float(n - terms),
        {
            "autocorrelation": phi,
            "residual_variance": variance,
            "log_likelihood": log_likelihood,
            "autocorrelation_step": step or nan,
        },
    )


def _least_squares(x: Floats, y: Floats) -> tuple[Floats, Floats, Floats]:
    """A matrix that makes the columns of x orthonormal, coefficients and residuals."""
    n, terms = x.shape
    if n <= terms:
        raise NotEstimable(f"level and slope need more than {terms} values")
    length = np.sqrt((x**2).sum(axis=0))
    q, r = np.linalg.qr(x / length)
    if float(np.abs(np.diag(r)).min()) < 1e-9:
        raise NotEstimable("the phase change cannot be told from the trend")
    root = np.linalg.inv(r) / length[:, None]
    beta = root @ (q.T @ y)
    residuals = y - x @ beta
    if float(residuals @ residuals) <= EXACT_FIT**2 * float(y @ y):
        raise NotEstimable("the values lie exactly on the model: no error to estimate")
    return root, beta, residuals


def _gap_sums(z: Floats, gaps: Floats) -> tuple[Floats, Floats, Floats, Floats, Floats]:
    """Distinct gaps, how often, and the sums of products across each of them.

    Sums (column, column, gap) of: value after the gap with itself, both sides with each other
    (both ways), value before the gap with itself.
    """
    distinct, code, counts = np.unique(gaps, return_inverse=True, return_counts=True)
    before, after = z[:-1], z[1:]

    def total(one: Floats, other: Floats) -> Floats:
        return np.array(
            [
                [np.bincount(code, one[:, i] * other[:, j]) for j in range(z.shape[1])]
                for i in range(z.shape[1])
            ]
        )

    cross = total(before, after)
    return (
        distinct,
        counts.astype(float),
        total(after, after),
        cross + cross.transpose(1, 0, 2),
        total(before, before),
    )


def _common_step(gaps: Floats) -> float:
    """Largest step of which all gaps are multiples; 0 when there is none."""
    smallest = float(gaps.min())
    step = smallest
    for gap in np.unique(gaps).tolist():
        rest = abs(gap - round(gap / step) * step)
        while rest > 1e-6 * smallest:
            step, rest = rest, abs(step - round(step / rest) * rest)
        # a step far below every gap comes from rounding: the times are not on a grid
        if step < smallest / 10:
            return 0.0
    return step
