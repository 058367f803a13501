"""Solve generalised estimating equations and their sandwich covariances.

Working covariance of cluster i: scale * A R A, A = diag(sqrt(variance / weight)), R the working
correlation. R is undone row by row in closed form (`whiten`): the equations then are those of
independent rows, and every matrix of the sandwich has the size of the parameters or of the
cluster, whichever is smaller. Liang & Zeger (1986), Biometrika 73:13-22.

The moment estimates are those of R's geepack, with r the Pearson residual and w the weight:
scale = sum(w r^2) / sum(w); exchangeable alpha = sum(w_j w_k r_j r_k) / sum(w_j w_k) / scale over
all pairs j < k of a cluster; AR(1) alpha solves
sum_pairs w_j w_k d alpha^(d-1) (r_j r_k / scale - alpha^d) = 0 with d the steps between j and k.
No degrees of freedom are taken off. Under a fixed scale, alpha is divided by the mean of r^2 in the
independence fit, as geepack does with scale.fix (geepack 1.3.9 leaves the offset out of that mean;
here it is kept).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import fft, linalg

from .families import Family, Link, start_mean
from .results import Floats, Ints, NotEstimable

STEPS = 100  # of the independence fit
ROUNDS = 500  # of beta and alpha in turn
CONVERGED = 1e-11  # length of the next step over the length of the residual
STILL = 1e-6  # largest last step of eta on an unbounded scale
EMPTY_CELL = 1e-7  # fitted mean, as a share of the overall mean, that means "no event here"
ROUNDING = 1e-14  # of the response; a hundred times that is "fitted without error"
LEVERAGE_ONE = 1e-8
EDGE = 1e-6  # distance from a singular working correlation
LONG = 64  # rows of a cluster whose pairs are summed one by one
NO_PAIR = 1e-12  # share of the sum of squares that is rounding
BLOCK = 2**22  # numbers held at once in the sandwich
POWERS = {"none": 0.0, "kauermann_carroll": 0.5, "mancl_derouen": 1.0}

SEPARATED = (
    "a combination of the terms has no events (or only events), so an estimate is infinite: "
    "merge groups, or give the group its exact bound"
)
NO_CONVERGENCE = "the estimating equations did not converge: take fewer terms or another link"
NO_ERROR = "the terms fit the response without error: no standard error can be computed"
NO_CORRELATION = (
    "the working correlation is outside the range that its structure allows: use "
    'corr="independence", which is valid whatever the correlation'
)


@dataclass(frozen=True)
class Clusters:
    """Rows sorted by cluster: the first row of each, its size, and the wave of each row."""

    first: Ints
    size: Ints
    wave: Ints

    def sum(self, values: Floats) -> Floats:
        """Sum over the rows of each cluster."""
        return np.asarray(np.add.reduceat(values, self.first, axis=0), float)

    def spread(self, values: Floats) -> Floats:
        """Give every row the value of its cluster."""
        return np.repeat(values, self.size, axis=0)


@dataclass(frozen=True)
class Problem:
    """Rows of the fit; `x` has orthonormal columns."""

    x: Floats
    y: Floats
    weights: Floats
    offset: Floats
    family: Family
    link: Link
    clusters: Clusters
    corr: str = "independence"
    scale: float | None = None


@dataclass(frozen=True)
class State:
    """Mean and slopes at one value of the coefficients."""

    beta: Floats
    mean: Floats
    slope: Floats
    deviance: float


@dataclass(frozen=True)
class Fit:
    """Solution; `covariance` by small-sample correction, where that exists."""

    beta: Floats
    deviance: float
    scale: float
    alpha: float | None
    model_based: Floats  # to be multiplied by the scale
    covariance: dict[str, Floats]


def _at(problem: Problem, beta: Floats) -> State | None:
    """The state at `beta`, None where a mean leaves its bounds."""
    eta = problem.x @ beta + problem.offset
    mean = problem.link.mean(eta)
    slope = problem.link.slope(eta)
    if not problem.family.valid(mean) or not np.isfinite(slope).all():
        return None
    deviance = problem.family.deviance(problem.y, mean, problem.weights)
    return State(beta, mean, slope, deviance) if np.isfinite(deviance) else None


def _standardised(problem: Problem, at: State) -> tuple[Floats, Floats]:
    """Gradient rows and residuals over their standard deviations (without the scale)."""
    root = np.sqrt(problem.weights / problem.family.variance(at.mean))
    return problem.x * (root * at.slope)[:, None], root * (problem.y - at.mean)


def _solve(z: Floats, e: Floats) -> Floats:
    try:
        return np.asarray(linalg.cho_solve(linalg.cho_factor(z.T @ z), z.T @ e), float)
    except (np.linalg.LinAlgError, ValueError):
        raise NotEstimable(NO_CONVERGENCE) from None


def _empty(problem: Problem, at: State) -> bool:
    if problem.family.low != 0:
        return False
    usual = float(np.average(problem.y, weights=problem.weights))
    empty = bool((at.mean < EMPTY_CELL * usual).any())
    return empty or (problem.family.high == 1 and bool((at.mean > 1 - EMPTY_CELL).any()))


def _give_up(problem: Problem, at: State) -> NotEstimable:
    separated = problem.link.infinite and _empty(problem, at)
    return NotEstimable(SEPARATED if separated else NO_CONVERGENCE)


def _start(problem: Problem) -> State:
    """One least-squares step from means near the responses; else a mean common to all rows."""
    y, w, link = problem.y, problem.weights, problem.link
    mean = start_mean(y, w, problem.family)
    eta = link.eta(mean)
    slope = link.slope(eta)
    root = np.sqrt(w / problem.family.variance(mean)) * slope
    target = root * (eta - problem.offset + (y - mean) / slope)
    common = link.eta(np.full(y.shape, np.average(y, weights=w))) - problem.offset
    if np.isfinite(target).all() and np.isfinite(root).all():
        z = problem.x * root[:, None]
        beta = np.asarray(np.linalg.lstsq(z, target, rcond=None)[0], float)
        at = _at(problem, beta)
        if at is not None:
            return at
    at = _at(problem, problem.x.T @ common) if np.isfinite(common).all() else None
    if at is None:
        raise NotEstimable(
            "no starting value keeps every fitted mean inside the bounds of the family: take "
            "another link"
        )
    return at


def _rounding(problem: Problem, at: State, e: Floats) -> float:
    """Share of the residuals that is rounding of the response and the mean."""
    root = np.sqrt(problem.weights / problem.family.variance(at.mean))
    size = np.linalg.norm(root * (np.abs(problem.y) + np.abs(at.mean)))
    return float(ROUNDING * size / np.linalg.norm(e))


def _refuse_exact(problem: Problem, e: Floats, at: State) -> None:
    if not _rounding(problem, at, e) < 0.01:
        separated = problem.link.infinite and _empty(problem, at)
        raise NotEstimable(SEPARATED if separated else NO_ERROR)


def _settled(problem: Problem, at: State, z: Floats, e: Floats, step: Floats) -> bool:
    """Whether the step is nothing beside the residual and, on a log-like scale, in itself."""
    small = max(CONVERGED, _rounding(problem, at, e))
    if np.linalg.norm(z @ step) > small * np.linalg.norm(e):
        return False
    return not problem.link.infinite or bool(np.abs(problem.x @ step).max() <= STILL)


def _independence(problem: Problem) -> State:
    """Iteratively reweighted least squares; a step that raises the deviance is halved."""
    at = _start(problem)
    for _ in range(STEPS):
        z, e = _standardised(problem, at)
        _refuse_exact(problem, e, at)
        try:
            step = _solve(z, e)
        except NotEstimable:
            raise _give_up(problem, at) from None
        if _settled(problem, at, z, e, step):
            return at
        limit = at.deviance + 1e-9 * abs(at.deviance)
        for _halving in range(30):
            reached = _at(problem, at.beta + step)
            if reached is not None and reached.deviance <= limit:
                break
            step = step / 2
        else:
            raise _give_up(problem, at)
        at = reached
    raise _give_up(problem, at)


def _scale(problem: Problem, e: Floats) -> float:
    return float(e @ e / problem.weights.sum())


def _pair_sums(clusters: Clusters, values: Floats) -> Floats:
    """Sum of v_j v_k over the pairs of all clusters, by the steps between their waves."""
    wave = clusters.wave
    by_step = np.zeros(int(np.ptp(wave)) + 1)
    place = np.arange(len(values)) - np.repeat(clusters.first, clusters.size)
    rows = np.flatnonzero(np.repeat(clusters.size, clusters.size) <= LONG)
    for back in range(1, LONG):
        rows = rows[place[rows] >= back]
        if not rows.size:
            break
        products = values[rows] * values[rows - back]
        by_step += np.bincount(wave[rows] - wave[rows - back], products, by_step.size)
    for i in np.flatnonzero(clusters.size > LONG):  # many pairs: their sums by Fourier transform
        part = slice(clusters.first[i], clusters.first[i] + clusters.size[i])
        line = np.bincount(wave[part] - wave[part].min(), values[part])
        length = fft.next_fast_len(2 * line.size)
        sums = fft.irfft(np.abs(fft.rfft(line, length)) ** 2, length)[: line.size]
        sums[np.abs(sums) < NO_PAIR * sums[0]] = 0.0
        by_step[1 : line.size] += sums[1:]
    return by_step


class Correlation:
    """Moment estimate and inverse square root of one working correlation."""

    def __init__(self, problem: Problem) -> None:
        self.kind, self.clusters = problem.corr, problem.clusters
        self.weights = problem.weights
        largest = int(self.clusters.size.max())
        if largest < 2:
            raise NotEstimable(
                "no cluster has two rows, so there is no working correlation: use "
                'corr="independence"'
            )
        if self.kind == "exchangeable":
            self.pairs = self._all_pairs(self.weights)
            self.lowest = -1 / (largest - 1)
        else:
            self.pairs_by_step = _pair_sums(self.clusters, self.weights)
            self.lowest = -1.0

    def _all_pairs(self, values: Floats) -> float:
        total = self.clusters.sum(values)
        return float(total @ total - values @ values) / 2

    def estimate(self, residual: Floats, scale: float, alpha: float) -> float:
        """Moment estimate from the Pearson residuals; AR(1) starts at `alpha`."""
        weighted = self.weights * residual
        if self.kind == "exchangeable":
            return self._all_pairs(weighted) / self.pairs / scale
        products = _pair_sums(self.clusters, weighted) / scale
        step = np.flatnonzero(self.pairs_by_step)
        pairs, products = self.pairs_by_step[step], products[step]
        if step[0] > 1 and alpha == 0:
            alpha = 0.5  # 0 is a root when no two waves follow each other
        for _ in range(200):
            slope = step * alpha ** (step - 1.0)
            change = float(slope @ (products - pairs * alpha**step) / (pairs @ slope**2))
            alpha = float(np.clip(alpha + change, -1, 1))
            if abs(change) < 1e-14:
                break
        return alpha

    def inside(self, alpha: float) -> float:
        """The nearest value at which the working correlation is positive definite."""
        return float(np.clip(alpha, self.lowest * (1 - EDGE), 1 - EDGE))

    def whiten(self, values: Floats, alpha: float) -> Floats:
        """Multiply the rows of every cluster by R^(-1/2)."""
        if self.kind == "exchangeable":
            size = self.clusters.size.astype(float)
            shrink = 1 - np.sqrt((1 - alpha) / (1 + (size - 1) * alpha))
            mean = self.clusters.sum(values) * self._column(shrink / size, values)
            return np.asarray((values - self.clusters.spread(mean)) / np.sqrt(1 - alpha), float)
        step = np.diff(self.clusters.wave, prepend=0)
        rho = np.power(alpha, np.abs(step).astype(float))
        rho[self.clusters.first] = 0.0  # no memory of another cluster
        out = values.copy()
        out[1:] -= self._column(rho[1:], values) * values[:-1]
        return np.asarray(out / self._column(np.sqrt(1 - rho**2), values), float)

    @staticmethod
    def _column(by_row: Floats, values: Floats) -> Floats:
        return by_row if values.ndim == 1 else by_row[:, None]


def _correlated(problem: Problem, at: State) -> tuple[State, float, Floats, Floats]:
    """Beta and alpha in turn, from the independence fit."""
    correlation = Correlation(problem)
    root = np.sqrt(problem.weights)
    start = float(np.mean((_standardised(problem, at)[1] / root) ** 2))
    alpha = 0.0
    for _ in range(ROUNDS):
        z, e = _standardised(problem, at)
        scale = _scale(problem, e) if problem.scale is None else start
        raw = correlation.estimate(e / root, scale, alpha)
        before, alpha = alpha, correlation.inside(raw)
        steady = abs(alpha - before) <= max(CONVERGED, _rounding(problem, at, e))
        white, turned = correlation.whiten(z, alpha), correlation.whiten(e, alpha)
        step = _solve(white, turned)
        if steady and _settled(problem, at, z, e, step):
            if raw != alpha:
                raise NotEstimable(NO_CORRELATION)
            return at, alpha, white, turned
        for _halving in range(30):
            reached = _at(problem, at.beta + step)
            if reached is not None:
                break
            step = step / 2
        else:
            raise _give_up(problem, at)
        at = reached
    raise _give_up(problem, at)


def solve(problem: Problem) -> Fit:
    """Fit and all its covariances; coefficients belong to the orthonormal `x`."""
    with np.errstate(all="ignore"):  # what is not finite is refused
        fit = _solved(problem)
    variances = np.concatenate([np.diag(c) for c in (fit.model_based, *fit.covariance.values())])
    numbers = np.r_[fit.beta, fit.scale, variances]
    if not np.isfinite(numbers).all() or not (variances > 0).all():
        raise NotEstimable("the numbers are too large or too small: change the units")
    return fit


def _solved(problem: Problem) -> Fit:
    at = _independence(problem)
    z, e = _standardised(problem, at)
    alpha = None
    if problem.corr != "independence":
        at, alpha, z, e = _correlated(problem, at)
    scale = problem.scale or _scale(problem, _standardised(problem, at)[1])
    upper = linalg.cholesky(z.T @ z)
    back = linalg.solve_triangular(upper, np.eye(len(upper)))
    meats = _meats(z @ back, e, problem.clusters)
    return Fit(
        at.beta,
        at.deviance,
        scale,
        alpha,
        back @ back.T,
        {name: back @ meat @ back.T for name, meat in meats.items()},
    )


def _meats(z: Floats, e: Floats, clusters: Clusters) -> dict[str, Floats]:
    """Sum over clusters of s s', s = z' (I - H)^(-a) e with H = z z', for each correction.

    z has orthonormal columns, so (I - H)^(-a) is found from the eigenvalues of z z' or of z' z,
    whichever is smaller. a = 1: Mancl & DeRouen (2001), Biometrics 57:126-134; a = 1/2: Kauermann
    & Carroll (2001), JASA 96:1387-1396. Both act as matrix functions of H, so that any square
    root of the working covariance gives the same value.
    """
    p = z.shape[1]
    meats = {name: np.zeros((p, p)) for name in POWERS}
    determined = False
    for size in np.unique(clusters.size):
        first = clusters.first[clusters.size == size]
        held = max(1, BLOCK // (int(size) * p + min(int(size), p) ** 2))
        for i in range(0, len(first), held):
            rows = first[i : i + held, None] + np.arange(size)
            zi, ei = z[rows], e[rows][..., None]
            turned = zi.transpose(0, 2, 1)
            if size <= p:
                values, vectors = np.linalg.eigh(zi @ turned)
                right, left = vectors.transpose(0, 2, 1) @ ei, turned @ vectors
            else:
                values, vectors = np.linalg.eigh(turned @ zi)
                right, left = vectors.transpose(0, 2, 1) @ (turned @ ei), vectors
            rest = 1 - values
            determined |= bool((rest < LEVERAGE_ONE).any())
            rest = np.maximum(rest, LEVERAGE_ONE)[..., None]
            for name, power in POWERS.items():
                s = (left @ (right * rest**-power))[..., 0]
                meats[name] += s.T @ s
    return {name: m for name, m in meats.items() if name == "none" or not determined}
