"""Minimise the criterion of a serially correlated mixed model and prove the minimum.

The free entries of the relative factor L and the correlation are searched together, from the
local minima of a grid of correlations, and polished by Newton steps. Proved are: a vanishing
gradient, a criterion that does not fall into the empty directions of G = L L', no better fit
without serial correlation, and a Hessian without flat directions (reported where it has one).
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, replace

import numpy as np
from scipy import optimize

from .mixed_factor import SINGULAR
from .mixed_serial import Evaluation, SerialCriterion
from .results import Floats, Ints, NotEstimable

GRADIENT = 1e-5  # of -2 log likelihood, per sqrt(n) above 100 rows
DECREMENT = 1e-5  # distance to the minimum in standard errors that counts as converged too
FLAT = 1e-5  # curvature of -2 log likelihood: a standard error above 400 on a log or ratio scale
ESCAPES = 5
SIGNED_GRID = (-0.9, -0.6, -0.3, 0.0, 0.3, 0.6, 0.85, 0.95)
POSITIVE_GRID = (0.001, 0.03, 0.15, 0.4, 0.65, 0.85, 0.95, 0.99)
SIZES = (1.0, 0.25, 4.0, 0.05)
SMALL = 3_000  # rows up to which all of them are tried
HEAD = 10_000  # rows whose fit is the start for many more
NEAR_ONE = 1e-6
NEAR_ZERO = 0.01  # correlation over the shortest gap below which phi = 0 may fit as well


@dataclass(frozen=True)
class SerialOptimum:
    """The minimum and its proof.

    `theta` holds the free entries of L and, unless `independent`, eta. `max_gradient` and
    `min_curvature` are in units of the size of L, `decrement` is the root of gradient' Hessian^-1
    gradient, `boundary_slope` the smallest slope into an empty direction of G (inf when there is
    none). `flat`: the criterion does not tell the variances from the correlation (phi is 0 where
    that fits as well). `eta_variance`: inverse information of eta (inf when flat, NaN when
    independent). `singular`: a variance, or a combination of random effects, is estimated as 0.
    """

    theta: Floats
    at: Evaluation
    deviance: float
    max_gradient: float
    decrement: float
    boundary_slope: float
    min_curvature: float
    eta_variance: float
    singular: bool
    flat: bool
    independent: bool

    def proved(self, tolerance: float) -> bool:
        """Whether the first-order conditions hold, on the cone of covariance matrices."""
        near = self.max_gradient <= tolerance or self.decrement <= DECREMENT
        return near and self.boundary_slope >= -tolerance


def minimise(criterion: SerialCriterion) -> tuple[SerialCriterion, SerialOptimum]:
    """The best fit, and the criterion it belongs to (phi held at 0 where that fits best)."""
    tolerance = GRADIENT * max(1.0, np.sqrt(criterion.n) / 10)
    best = _from_head(criterion, tolerance)
    if best is None:
        best = _best(criterion, tolerance)
    series = criterion.series
    shortest = series.phi(float(best.theta[-1])) ** series.gap_levels[0]
    vanishes = not series.signed and shortest < NEAR_ZERO
    if vanishes or best.flat:
        alone = SerialCriterion(series, criterion.template, criterion.reml, serial=False)
        held = _best(alone, tolerance)
        if held.deviance <= best.deviance + 1e-9 * (1 + abs(best.deviance)):
            criterion, best = alone, replace(held, flat=not vanishes)
    if not best.independent and 1 - abs(series.phi(float(best.theta[-1]))) < NEAR_ONE:
        raise NotEstimable(
            "the residual correlation tends to 1 (or -1), where the residuals have no finite "
            "variance: model the trend, or take fewer fixed effects that are constant within a "
            "cluster"
        )
    if not best.proved(tolerance):
        raise NotEstimable(
            "the mixed model with serial correlation did not converge: take fewer random effects "
            "or rescale the covariates"
        )
    return criterion, best


def _best(criterion: SerialCriterion, tolerance: float) -> SerialOptimum:
    """The lowest of the minima from all starts."""
    fits = []
    for start in _starts(criterion):
        with suppress(np.linalg.LinAlgError):
            fits.append(_descend(criterion, start, tolerance))
    fits = [fit for fit in fits if np.isfinite(fit.deviance)]
    if not fits:
        raise NotEstimable(
            "the likelihood cannot be evaluated: the variances of the random effects and of the "
            "residuals are too far apart"
        )
    return min(fits, key=lambda fit: fit.deviance)


def _from_head(criterion: SerialCriterion, tolerance: float) -> SerialOptimum | None:
    """The minimum that the fit of the first rows leads to, if it is proved."""
    if criterion.n <= 2 * HEAD:
        return None
    head = SerialCriterion(criterion.series.head(HEAD), criterion.template, criterion.reml)
    try:
        _, first = minimise(head)
    except (NotEstimable, np.linalg.LinAlgError):
        return None  # a term that does not vary there, for example
    if first.independent or first.flat:
        return None
    theta = first.theta.copy()
    if not first.singular:
        best = _polish(criterion, theta)
        if best.proved(tolerance):
            return best
    diagonal = np.flatnonzero(criterion.rows == criterion.columns)
    theta[diagonal] = np.maximum(theta[diagonal], 0.05)
    best = _descend(criterion, theta, tolerance)
    return best if best.proved(tolerance) else None


def _starts(criterion: SerialCriterion) -> list[Floats]:
    """Local minima along a grid of correlations, with the best few sizes of L (all if small)."""
    sizes = _sizes(criterion)
    several = len(sizes) if criterion.n <= SMALL else 1

    def best(eta: Floats) -> tuple[float, list[Floats]]:
        tried = [np.r_[size, eta] for size in sizes]
        values = [criterion.value_and_gradient(theta)[0] for theta in tried]
        order = np.argsort(values, kind="stable")[:several]
        return min(values), [tried[i] for i in order]

    if not criterion.serial:
        return best(np.empty(0))[1]
    series = criterion.series
    grid = [series.eta(phi) for phi in (SIGNED_GRID if series.signed else POSITIVE_GRID)]
    if not series.signed and series.gap_levels[0] < 0.5:
        # much shorter gaps than the median: they may carry a correlation of their own
        grid = [series.eta(0.3) + np.log(series.gap_levels[0]), *grid]
    found = [best(np.array([eta])) for eta in sorted(grid)]
    values = np.r_[np.inf, [value for value, _ in found], np.inf]
    low = (values[1:-1] <= values[:-2]) & (values[1:-1] <= values[2:])
    return [start for i in np.flatnonzero(low) for start in found[i][1]]


def _sizes(criterion: SerialCriterion) -> list[Floats]:
    """Starting values of the free entries of L: diagonal, of one or of different sizes."""
    diagonal = criterion.rows == criterion.columns
    if not diagonal.size:
        return [np.empty(0)]
    out = [np.where(diagonal, size, 0.0) for size in SIZES]
    if criterion.q > 1:
        for large in range(criterion.q):
            size = np.where(criterion.rows == large, 2.0, 0.1)
            out.append(np.where(diagonal, size, 0.0))
    # from least squares in every cluster, where that is larger
    series = criterion.series
    white = series.whitened(series.none())
    plain = series.sums(white, white)
    ridge = plain.zz + 1e-6 * np.eye(criterion.q)
    own = np.linalg.solve(ridge, plain.zw[:, :, -1:])[:, :, 0]
    within = plain.ww[-1, -1] - float((own * plain.zw[:, :, -1]).sum())
    spread = np.sqrt((own**2).mean(axis=0) * criterion.n / max(within, 1e-300))
    if (spread > max(SIZES)).any():
        out.append(np.where(diagonal, np.maximum(spread, 0.1)[criterion.rows], 0.0))
    return out


def _bounds(criterion: SerialCriterion, above: bool) -> list[tuple[float | None, float | None]]:
    """Of the search; `above` keeps the diagonal of L at 0 or more."""
    diagonal = criterion.rows == criterion.columns
    out: list[tuple[float | None, float | None]] = [
        (0.0, None) if d and above else (None, None) for d in diagonal
    ]
    if criterion.serial:
        series = criterion.series
        shortest = float(series.gap_levels[0])
        out.append((-9.0, 9.0) if series.signed else (-float(np.log(40 / shortest)), 18.0))
    return out


def units(criterion: SerialCriterion, theta: Floats) -> Floats:
    """Sizes that make a step in a parameter of order 1: of the row of L where that is above 1."""
    size = np.maximum(1.0, np.sqrt((criterion.factor(theta) ** 2).sum(axis=1)))
    rest = np.ones(theta.size - criterion.rows.size)
    return np.asarray(np.r_[size[criterion.rows], rest], float)


def _descend(criterion: SerialCriterion, theta: Floats, tolerance: float) -> SerialOptimum:
    best: SerialOptimum | None = None
    above = True
    for _ in range(ESCAPES):
        if theta.size:
            theta = _search(criterion, theta, above)
        candidate = _polish(criterion, theta)
        if best is None or candidate.deviance < best.deviance:
            best = candidate
        if candidate.boundary_slope >= -tolerance:
            break
        # the search ran into the boundary although the criterion falls away from it
        theta, above = _leave_boundary(criterion, candidate), False
    assert best is not None
    return best


def _search(criterion: SerialCriterion, theta: Floats, above: bool) -> Floats:
    """L-BFGS-B in units of the start."""
    unit = units(criterion, theta)

    def scaled(t: Floats) -> tuple[float, Floats]:
        value, gradient = criterion.value_and_gradient(t * unit)
        return value, gradient * unit

    found = optimize.minimize(
        scaled,
        theta / unit,
        jac=True,
        method="L-BFGS-B",
        bounds=_bounds(criterion, above),
        options={"maxiter": 500, "maxfun": 1000, "ftol": 1e-14, "gtol": 1e-8},
    )
    return np.asarray(found.x * unit, float)


def _free(criterion: SerialCriterion, theta: Floats) -> Ints:
    """Numbers of the parameters that are not held at 0."""
    diagonal = np.zeros(theta.size, bool)
    diagonal[: criterion.rows.size] = criterion.rows == criterion.columns
    return np.flatnonzero(~(diagonal & (theta == 0)))


def hessian(
    criterion: SerialCriterion, theta: Floats, sigma2: float | None = None, fine: bool = True
) -> Floats:
    """Central differences of the gradient; `fine` extrapolates them (Richardson)."""
    out = np.empty((theta.size, theta.size))
    unit = units(criterion, theta)
    for i in range(theta.size):
        h = (1e-3 if fine else 1e-4) * max(abs(float(theta[i])), 0.1 * unit[i])
        central = []
        for width in (h, h / 2) if fine else (h,):
            step = np.zeros(theta.size)
            step[i] = width
            up, down = (
                criterion.gradient(moved, criterion.evaluate(moved), sigma2)
                for moved in (theta + step, theta - step)
            )
            central.append((up - down) / (2 * width))
        out[:, i] = (4 * central[1] - central[0]) / 3 if fine else central[0]
    return (out + out.T) / 2


def _polish(criterion: SerialCriterion, theta: Floats) -> SerialOptimum:
    """Newton steps on the entries that are not held at 0."""
    theta = theta.copy()
    value, gradient = criterion.value_and_gradient(theta)
    for i in np.flatnonzero(criterion.rows == criterion.columns):
        if abs(theta[i]) < 1e-3:
            trial = theta.copy()
            trial[i] = 0.0
            trial_value, trial_gradient = criterion.value_and_gradient(trial)
            if trial_value <= value + 1e-11 * abs(value):
                theta, value, gradient = trial, min(value, trial_value), trial_gradient
    free = _free(criterion, theta)
    unit = units(criterion, theta)[free]
    curvature, vectors, decrement = np.full(1, np.inf), np.zeros((1, 1)), 0.0
    for _ in range(12 if free.size else 0):
        h = hessian(criterion, theta, fine=False)[np.ix_(free, free)]
        curvature, vectors = np.linalg.eigh(h * np.outer(unit, unit))
        usable = curvature > 1e-8 * max(float(curvature.max()), 1e-300)
        along = vectors[:, usable].T @ (gradient[free] * unit)
        decrement = float(np.sqrt((along**2 / curvature[usable]).sum()))
        size = float(np.abs(gradient[free] * unit).max())
        if size < 1e-10:
            break
        proposal = theta.copy()
        proposal[free] -= unit * (vectors[:, usable] @ (along / curvature[usable]))
        if criterion.serial:
            proposal[-1] = np.clip(proposal[-1], *_bounds(criterion, False)[-1])
        new_value, new_gradient = criterion.value_and_gradient(proposal)
        better = float(np.abs(new_gradient[free] * unit).max()) < size
        if not better or new_value > value + 1e-9 * (1 + abs(value)):
            break
        theta, value, gradient = proposal, new_value, new_gradient
    theta = np.r_[criterion.upright(theta), theta[criterion.rows.size :]]
    at = criterion.evaluate(theta)
    gradient = criterion.gradient(theta, at) * units(criterion, theta)
    return SerialOptimum(
        theta=theta,
        at=at,
        deviance=criterion.deviance(theta, at),
        max_gradient=float(np.abs(gradient).max(initial=0.0)),
        decrement=decrement,
        boundary_slope=criterion.lowest_slope(at.factor, criterion.slope_in_g(at)),
        min_curvature=float(curvature.min()),
        eta_variance=_last_variance(curvature, vectors) if criterion.serial else float("nan"),
        singular=bool((np.diag(at.factor) < SINGULAR).any()),
        flat=bool(curvature.min() < FLAT),
        independent=not criterion.serial,
    )


def _last_variance(curvature: Floats, vectors: Floats) -> float:
    """Of the last parameter: twice the inverse Hessian of -2 log likelihood."""
    if curvature.min() < FLAT:
        return float("inf")
    return float(2 * (vectors[-1] ** 2 / curvature).sum())


def _leave_boundary(criterion: SerialCriterion, held: SerialOptimum) -> Floats:
    """Add variance along the steepest empty direction, as much as helps most."""
    rest = held.theta[criterion.rows.size :]
    wider = criterion.widened(held.at.factor, criterion.slope_in_g(held.at))
    tried = [np.r_[free, rest] for free in wider]
    return min(tried, key=lambda theta: criterion.value_and_gradient(theta)[0])
