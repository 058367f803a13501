"""Variance components: likelihood-ratio tests and profile-likelihood intervals.

Both refit on the cross-products alone. To profile the standard deviation of one random effect
its column comes first, so that it is sigma times the first entry of L; a correlation has its two
columns first. A fixed effect held at b adds (b - estimate)^2 / C to the weighted residual sum of
squares, C its variance relative to sigma2.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from scipy import optimize, special

from .mixed_likelihood import Criterion, Evaluation
from .mixed_optimise import NUDGE, Optimum, minimise
from .mixed_sums import CrossProducts
from .results import Floats, NotEstimable

ROUNDING = 1e-7  # smallest likelihood-ratio statistic that is told from 0
GRADIENT = 1e-6  # of the deviance per sqrt(n): its square is what the deviance misses
LOG_RANGE = 100.0  # of sigma, where a search may go
MOST_STEPS = 60

# value of the profiled parameter, free parameters -> deviance and its slope in the latter
Profile = Callable[[float, Floats], tuple[float, Floats]]


@dataclass(frozen=True)
class Fitted:
    """A fit on its working scales.

    `sums` and `each` have every cluster, those of `criterion` and `best` may be merged.
    `triangle` T: random columns are the working ones times T. `spread`: unit of the working
    response. `unscale`: fixed effects from working ones; `shift` (p,) what is added then.
    """

    criterion: Criterion
    best: Optimum
    sums: CrossProducts
    each: Evaluation
    triangle: Floats
    spread: float
    unscale: Floats
    shift: Floats
    terms: list[str]
    effects: list[str]
    cluster: str
    outer: str | None


def inverse(matrix: Floats) -> Floats:
    """Inverse, float."""
    return np.asarray(np.linalg.inv(matrix), float)


def triangular(gram: Floats) -> Floats:
    """Lower T with T'T = gram."""
    return np.asarray(np.linalg.cholesky(gram[::-1, ::-1]).T[::-1, ::-1], float)


def _raw_gram(fitted: Fitted) -> Floats:
    t, sums = fitted.triangle, fitted.criterion.sums
    return np.asarray(t.T @ (sums.zz @ sums.counts) @ t / sums.n, float)


def _keep(fitted: Fitted, columns: list[int], reml: bool) -> tuple[Criterion, Floats]:
    """Criterion with only these random columns, in this order, and their triangle."""
    c = fitted.criterion
    gram = _raw_gram(fitted)[np.ix_(columns, columns)]
    triangle = np.diag(np.sqrt(np.diag(gram))) if c.uncorrelated else triangular(gram)
    turn = fitted.triangle[:, columns] @ inverse(triangle)
    size = len(columns)
    template = np.eye(size, dtype=bool) if c.uncorrelated else np.tril(np.ones((size, size), bool))
    return Criterion(c.sums.turned(turn), template, reml), triangle


def without_outer(sums: CrossProducts) -> CrossProducts:
    """The same sums without the outer effect."""
    return replace(sums, zw=sums.zw[:, :-1], ww=sums.ww[:-1, :-1], outer_start=None, ow=None)


def conditional_covariance(fitted: Fitted, index: pd.Index[Any]) -> pd.DataFrame:
    """See `LinearMixedResult.random_effects_covariance`: sigma2 (G - G Z'HZ G)."""
    at, c = fitted.each, fitted.criterion
    s = at.s
    if c.outer:
        s = s - at.v[:, None] * at.v * at.shrink[fitted.sums.outer_of]
    g = at.factor @ at.factor.T
    back = inverse(fitted.triangle)
    inner = g[:, :, None] - np.einsum("ab,bck,cd->adk", g, s, g, optimize=True)
    sigma2 = at.residual_ss / c.df * fitted.spread**2
    raw = sigma2 * np.einsum("ab,bck,dc->adk", back, inner, back, optimize=True)
    columns = {}
    for j, effect in enumerate(fitted.effects):
        for i in range(j):
            columns[f"{fitted.effects[i]}, {effect}"] = raw[i, j]
        columns[effect] = raw[j, j]
    return pd.DataFrame(columns, index=index)


def _deviance(criterion: Criterion) -> float:
    if criterion.diagonal.size:
        return minimise(criterion).deviance
    return criterion.deviance(criterion.at(np.zeros(0)))


def variance_tests(fitted: Fitted) -> pd.DataFrame:
    """See `LinearMixedResult.variance_test`."""
    c = fitted.criterion
    rows: list[tuple[str, str, Criterion]] = []
    for i, effect in enumerate(fitted.effects):
        others = [j for j in range(c.q) if j != i]
        rows.append((fitted.cluster, effect, _keep(fitted, others, c.reml)[0]))
    if fitted.outer is not None:
        smaller = Criterion(without_outer(c.sums), c.template, c.reml)
        rows.append((fitted.outer, "Intercept", smaller))
    table = []
    for group, effect, smaller in rows:
        statistic = _deviance(smaller) - fitted.best.deviance
        statistic = statistic if statistic > ROUNDING else 0.0
        df = c.diagonal.size - smaller.diagonal.size
        naive = float(special.chdtrc(df, statistic))
        below = float(statistic == 0) if df == 1 else float(special.chdtrc(df - 1, statistic))
        table.append((group, effect, statistic, df, (naive + below) / 2, naive))
    names = ["group", "term", "statistic", "df", "p_value", "p_value_naive"]
    return pd.DataFrame(table, columns=names)


def profile_intervals(fitted: Fitted, level: float) -> pd.DataFrame:
    """See `LinearMixedResult.profile_interval`."""
    c = fitted.criterion
    if c.reml:
        c = Criterion(c.sums, c.template, False)
        fitted = replace(fitted, criterion=c, best=minimise(c))
    at, spread = fitted.best.at, fitted.spread
    sigma = float(np.sqrt(at.residual_ss / c.df))
    half = float(special.ndtri((1 + level) / 2))
    back = inverse(fitted.triangle) @ at.factor
    covariance = (sigma * spread) ** 2 * back @ back.T
    sd = np.sqrt(np.diag(covariance))
    table = []

    def add(group: str, term: str, measure: str, search: _Search) -> None:
        low, high = search.ends(half)
        table.append((group, term, measure, search.estimate, low, high))

    for i, effect in enumerate(fitted.effects):
        if c.uncorrelated:
            own, index, unit = c, i, float(fitted.triangle[i, i])
        else:
            order = [i, *(j for j in range(c.q) if j != i)]
            own, triangle = _keep(fitted, order, False)
            index, unit = 0, float(triangle[0, 0])
        profile = _held_sd(own, index, unit / spread)
        start = np.r_[_start(own, fitted, covariance, order if own is not c else None), 0.0]
        start = np.delete(start, index)
        start[-1] = np.log(sigma)
        search = _Search(profile, start, float(sd[i]), fitted, (0.0, np.inf))
        add(fitted.cluster, effect, "standard_deviation", search)
    for i in range(c.q):
        for j in range(i + 1, c.q):
            if not c.uncorrelated:
                pair = f"{fitted.effects[i]}, {fitted.effects[j]}"
                add(fitted.cluster, pair, "correlation", _correlation(fitted, covariance, i, j))
    if fitted.outer is not None:
        start = np.r_[fitted.best.theta[:-1], np.log(sigma)]
        profile = _held_sd(c, c.diagonal.size - 1, 1 / spread)
        estimate = float(fitted.best.theta[-1]) * sigma * spread
        search = _Search(profile, start, estimate, fitted, (0.0, np.inf))
        add(fitted.outer, "Intercept", "standard_deviation", search)

    def held_sigma(value: float, theta: Floats) -> tuple[float, Floats]:
        sigma2 = (value / spread) ** 2
        here = c.at(theta)
        return c.deviance(here, sigma2), c.gradient(here, sigma2)

    bounds = (1e-3 * sigma * spread, np.inf)
    search = _Search(held_sigma, fitted.best.theta, sigma * spread, fitted, bounds)
    add("residual", "residual", "standard_deviation", search)
    beta = fitted.unscale @ at.beta + fitted.shift
    for k, term in enumerate(fitted.terms):
        search = _Search(
            _held_effect(c, fitted.unscale[k], float(fitted.shift[k])),
            fitted.best.theta,
            float(beta[k]),
            fitted,
            (-np.inf, np.inf),
            2
            * sigma
            * float(np.sqrt(fitted.unscale[k] @ at.inverse_information @ fitted.unscale[k])),
        )
        add("fixed", term, "fixed_effect", search)
    names = ["group", "term", "measure", "estimate", "ci_low", "ci_high"]
    return pd.DataFrame(table, columns=names)


@dataclass(frozen=True)
class _Search:
    """Where the profiled deviance has risen by the squared normal quantile."""

    profile: Profile
    start: Floats
    estimate: float
    fitted: Fitted  # by full likelihood
    bounds: tuple[float, float]
    step: float = 0.0

    def ends(self, half: float) -> tuple[float, float]:
        if np.isnan(self.estimate):
            return float("nan"), float("nan")
        with np.errstate(all="ignore"):
            try:
                return self._end(-1.0, half), self._end(1.0, half)
            except (np.linalg.LinAlgError, ValueError):
                raise NotEstimable(
                    "the profile likelihood cannot be followed: take fewer random effects"
                ) from None

    def _end(self, side: float, half: float) -> float:
        bound = self.bounds[0] if side < 0 else self.bounds[1]
        if self.estimate == bound:
            return bound
        tolerance = GRADIENT * float(np.sqrt(self.fitted.sums.n))
        # value -> excess over the target, free parameters there; searches start at the nearest
        start = np.asarray(np.where(self.start == 0, NUDGE, self.start), float)
        known: dict[float, tuple[float, Floats]] = {self.estimate: (-half, start)}

        def excess(value: float) -> float:
            if value not in known:
                nearest = min(known, key=lambda v: abs(v - value))
                found = optimize.minimize(
                    partial(self.profile, value),
                    known[nearest][1],
                    jac=True,
                    method="BFGS",
                    options={"gtol": tolerance},
                )
                rise = np.sqrt(max(0.0, float(found.fun) - self.fitted.best.deviance))
                known[value] = (float(rise) - half, np.asarray(found.x, float))
            return known[value][0]

        inside, step = self.estimate, side * (self.step or 0.25 * max(self.estimate, 0.05))
        for tried in range(MOST_STEPS):
            outside = inside + step
            if side * (outside - bound) >= 0:
                if excess(bound) <= 0:
                    return bound
                outside = bound
            if excess(outside) > 0:
                root = optimize.brentq(excess, inside, outside, xtol=1e-9 * abs(step), rtol=1e-8)
                return float(root)
            # the excess is near linear in the value; bolder every time
            share = (excess(outside) + half) / half
            ahead = (outside - self.estimate) * (1 - share) / max(share, 0.1)
            inside, step = outside, ahead * (1.2 + 0.5 * tried)
        return float(side * np.inf)


def _start(own: Criterion, fitted: Fitted, covariance: Floats, order: list[int] | None) -> Floats:
    """theta of the fit for random columns in another order."""
    if order is None:
        return fitted.best.theta
    _, triangle = _keep(fitted, order, False)
    sigma = np.sqrt(fitted.best.at.residual_ss / own.df) * fitted.spread
    inner = triangle @ covariance[np.ix_(order, order)] @ triangle.T / sigma**2
    factor = _root(inner)
    theta = factor[own.rows, own.columns]
    return np.r_[theta, fitted.best.theta[-1]] if own.outer else np.asarray(theta, float)


def _root(matrix: Floats) -> Floats:
    """Lower triangular L with L L' = matrix, also where that is singular."""
    values, vectors = np.linalg.eigh((matrix + matrix.T) / 2)
    r = np.asarray(np.linalg.qr((vectors * np.sqrt(np.maximum(values, 0.0))).T, mode="r"))
    return np.asarray(r.T * np.where(np.diag(r) < 0, -1.0, 1.0), float)


def _held_sd(c: Criterion, index: int, unit: float) -> Profile:
    """A standard deviation held: theta[index] = value * unit / sigma; free: the rest, log sigma."""

    def profile(value: float, free: Floats) -> tuple[float, Floats]:
        sigma = float(np.exp(np.clip(free[-1], -LOG_RANGE, LOG_RANGE)))
        theta = np.insert(free[:-1], index, value * unit / sigma)
        at = c.at(theta)
        gradient = c.gradient(at, sigma**2)
        in_log_sigma = 2 * c.df - 2 * at.residual_ss / sigma**2 - gradient[index] * theta[index]
        return c.deviance(at, sigma**2), np.r_[np.delete(gradient, index), in_log_sigma]

    return profile


def _held_effect(c: Criterion, row: Floats, shift: float) -> Profile:
    """A fixed effect held: free theta."""

    def profile(value: float, theta: Floats) -> tuple[float, Floats]:
        at = c.at(theta)
        toward = at.inverse_information @ row
        relative = float(row @ toward)
        off = (value - shift - float(row @ at.beta)) / relative
        held = replace(at, residual_ss=at.residual_ss + off**2 * relative)
        contrast = np.r_[-(at.beta + toward * off), 1.0]
        slope = c.slope(held, contrast=contrast)
        return c.deviance(held), c.to_theta(at, *slope)

    return profile


def _correlation(fitted: Fitted, covariance: Floats, i: int, j: int) -> _Search:
    """L = [[a, 0], [d rho, d sqrt(1 - rho^2)], ...] on columns of unit length; free: a, d, rest."""
    c = fitted.criterion
    order = [i, j, *(m for m in range(c.q) if m not in (i, j))]
    units = np.sqrt(np.diag(_raw_gram(fitted)))[order]
    own = Criterion(
        c.sums.turned(fitted.triangle[:, order] / units), np.tril(np.ones((c.q, c.q), bool)), False
    )
    sigma2 = fitted.best.at.residual_ss / own.df * fitted.spread**2
    inner = covariance[np.ix_(order, order)] * np.outer(units, units) / sigma2
    factor = _root(inner)
    theta = np.asarray(factor[own.rows, own.columns])
    if own.outer:
        theta = np.r_[theta, fitted.best.theta[-1]]
    d = float(np.hypot(theta[1], theta[2]))

    def profile(rho: float, free: Floats) -> tuple[float, Floats]:
        rest = float(np.sqrt(1 - rho**2))
        at = own.at(np.r_[free[0], free[1] * rho, free[1] * rest, free[2:]])
        g = own.gradient(at)
        return own.deviance(at), np.r_[g[0], g[1] * rho + g[2] * rest, g[3:]]

    size = covariance[i, i] * covariance[j, j]
    estimate = float(covariance[i, j] / np.sqrt(size)) if size > 0 else float("nan")
    start = np.r_[theta[0], d, theta[3:]]
    return _Search(profile, start, estimate, fitted, (-1.0, 1.0), 0.1)
