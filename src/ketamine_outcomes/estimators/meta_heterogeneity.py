"""Variance between studies (tau2): restricted likelihood, moments, and its interval.

With W = diag(1 / (v + tau2)) and P = W - W X (X'WX)^-1 X'W, all that is needed are traces and
quadratic forms of P, which cost k p^2 (k studies, p coefficients).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import optimize, special

from .results import Floats

GRID = 60  # points at which the score is looked at for sign changes


@dataclass(frozen=True)
class Weighted:
    """Weighted least squares at one tau2."""

    beta: Floats
    covariance: Floats
    rss: float  # y'Py
    y_pp_y: float
    trace: float  # tr P
    trace_pp: float
    log_restricted: float
    log_likelihood: float


def weighted(y: Floats, v: Floats, x: Floats, tau2: float) -> Weighted:
    """Fit at `tau2`, given estimates, their variances and the design."""
    w = 1 / (v + tau2)
    root = np.sqrt(w)
    basis, triangle = np.linalg.qr(root[:, None] * x)
    scaled = root * y
    residual = scaled - basis @ (basis.T @ scaled)
    back = np.linalg.inv(triangle)
    leverage = np.einsum("ij,ij->i", basis, basis)
    rss = float(residual @ residual)
    k, p = x.shape
    log_det = 2 * float(np.log(np.abs(np.diag(triangle))).sum())
    log_det_x = 2 * float(np.log(np.abs(np.diag(np.linalg.qr(x, mode="r")))).sum())
    log_w = float(np.log(w).sum())
    inner = basis.T @ (w[:, None] * basis)
    trace = float(w @ (1 - leverage))
    trace_pp = float(w**2 @ (1 - 2 * leverage) + (inner**2).sum())
    # its lower bound, so that rounding leaves no 0
    trace_pp = max(trace_pp, trace**2 / (k - p)) if k > p else 0.0
    return Weighted(
        beta=back @ (basis.T @ scaled),
        covariance=back @ back.T,
        rss=rss,
        y_pp_y=float(w @ residual**2),
        trace=trace,
        trace_pp=trace_pp,
        log_restricted=0.5 * (-(k - p) * np.log(2 * np.pi) + log_det_x + log_w - log_det - rss),
        log_likelihood=0.5 * (-k * np.log(2 * np.pi) + log_w - rss),
    )


def between_study_variance(y: Floats, v: Floats, x: Floats, method: str) -> tuple[float, float]:
    """tau2 and its standard error by method REML, DL or PM.

    REML (Viechtbauer 2005): highest of all maxima, 0 included. DL (DerSimonian & Laird 1986):
    the moment estimator with weights 1 / v. PM (Paule & Mandel 1982): tau2 at which the residual
    sum of squares equals its degrees of freedom; its standard error takes every leverage for the
    average one, so tr P is (k - p) / k times the sum of the weights (as metafor does).
    """
    free = x.shape[0] - x.shape[1]
    plain = weighted(y, v, x, 0.0)
    if method == "DL":
        tau2 = max(0.0, (plain.rss - free) / plain.trace)
        variance = 2 * free + 4 * tau2 * plain.trace + 2 * tau2**2 * plain.trace_pp
        return tau2, float(np.sqrt(variance)) / plain.trace
    if method == "PM":
        tau2 = _solve_rss(y, v, x, float(free))
        return tau2, y.size * float(np.sqrt(2 / free) / (1 / (v + tau2)).sum())
    tau2 = _restricted(y, v, x)
    return tau2, float(np.sqrt(2 / weighted(y, v, x, tau2).trace_pp))


def _least_squares_variance(y: Floats, x: Floats) -> float:
    residual = y - x @ np.linalg.lstsq(x, y, rcond=None)[0]
    return float(residual @ residual / (x.shape[0] - x.shape[1]))


def _solve_rss(y: Floats, v: Floats, x: Floats, target: float) -> float:
    """tau2 at which y'Py, which falls with tau2, equals `target`; 0 when it never does."""
    if weighted(y, v, x, 0.0).rss <= target:
        return 0.0
    free = x.shape[0] - x.shape[1]
    high = 1.01 * _least_squares_variance(y, x) * free / target  # y'Py <= rss / tau2
    return float(
        optimize.brentq(
            lambda t: weighted(y, v, x, t).rss - target, 0.0, high, xtol=1e-15 * high, rtol=1e-14
        )
    )


def _restricted(y: Floats, v: Floats, x: Floats) -> float:
    def score(tau2: float) -> float:
        fit = weighted(y, v, x, tau2)
        return fit.y_pp_y - fit.trace

    s2 = _least_squares_variance(y, x)
    # beyond this the score is negative: y'PPy <= rss / tau2^2 and tr P >= (k - p) / (v + tau2)
    high = 1.01 * (s2 + np.sqrt(s2**2 + 4 * s2 * v.max())) / 2
    if high == 0:
        return 0.0
    grid = np.r_[0.0, np.geomspace(high * 1e-8, high, GRID)]
    slopes = np.array([score(t) for t in grid])
    candidates = [0.0] if slopes[0] <= 0 else []
    for i in np.flatnonzero((slopes[:-1] > 0) & (slopes[1:] <= 0)):
        root = optimize.brentq(score, grid[i], grid[i + 1], xtol=1e-15 * high, rtol=1e-14)
        candidates.append(float(root))
    heights = [weighted(y, v, x, t).log_restricted for t in candidates]
    return candidates[int(np.argmax(heights))]


def q_profile(y: Floats, v: Floats, x: Floats, level: float) -> tuple[float, float]:
    """Interval of tau2: all values that the Q statistic does not reject (Viechtbauer 2007)."""
    free = x.shape[0] - x.shape[1]
    tails = ((1 - level) / 2, (1 + level) / 2)  # upper tail areas
    high, low = (_solve_rss(y, v, x, float(special.chdtri(free, 1 - tail))) for tail in tails)
    return low, high
