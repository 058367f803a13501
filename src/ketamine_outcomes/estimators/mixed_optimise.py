"""Minimise the profiled criterion and prove that the minimum is one.

The free entries of the relative factor L are searched with L-BFGS-B (diagonal at least 0) and
polished by Newton steps. At the boundary the gradient in L vanishes by symmetry, so the proof
is in G = L L': the slope of the criterion must vanish along G and must not fall into the empty
directions of G (first-order conditions on the cone of covariance matrices).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import optimize

from .mixed_likelihood import Criterion, Evaluation, evaluate
from .results import Floats, NotEstimable

SINGULAR = 1e-4  # as lme4's isSingular, on random columns of unit length
ESCAPES = 6
STARTS = (1.0, 0.2, 4.0, 0.03, 20.0)
GRADIENT = 1e-5  # largest gradient of -2 log likelihood that counts as converged, per sqrt(n)


@dataclass(frozen=True)
class Optimum:
    """The minimum and its proof.

    `boundary_slope` is the smallest slope into an empty direction (inf when there is none).
    """

    theta: Floats
    at: Evaluation
    deviance: float
    max_gradient: float
    boundary_slope: float
    singular: bool


def minimise(criterion: Criterion) -> Optimum:
    """Best of several starts; stops at the first that passes the proof."""
    diagonal = criterion.rows == criterion.columns
    tolerance = GRADIENT * max(1.0, np.sqrt(criterion.sums.n) / 10)
    best: Optimum | None = None
    for start in STARTS:
        theta, bounded = np.where(diagonal, start, 0.0), True
        for _ in range(ESCAPES):
            theta = _search(criterion, theta, diagonal if bounded else None)
            candidate = _polish(criterion, theta, diagonal)
            if best is None or candidate.deviance < best.deviance:
                best = candidate
            if candidate.boundary_slope > -tolerance:
                # as good as the best within rounding, and proved
                level = candidate.deviance <= best.deviance + 1e-8 * (1 + abs(best.deviance))
                if level and candidate.max_gradient < tolerance:
                    return candidate
                break
            # the search ran into the boundary although the criterion falls away from it
            theta, bounded = _leave_boundary(criterion, candidate), False
    raise NotEstimable(
        "the mixed model did not converge: take fewer random effects or rescale the covariates"
    )


def _search(criterion: Criterion, theta: Floats, diagonal: np.ndarray | None) -> Floats:
    """L-BFGS-B; with `diagonal` its entries stay at 0 or above."""
    bounds = None if diagonal is None else [(0.0, None) if d else (None, None) for d in diagonal]
    found = optimize.minimize(
        criterion.value_and_gradient,
        theta,
        jac=True,
        method="L-BFGS-B",
        bounds=bounds,
        options={"maxiter": 500, "maxfun": 1000, "ftol": 1e-15, "gtol": 1e-9},
    )
    return np.asarray(found.x, float)


def _leave_boundary(criterion: Criterion, at: Optimum) -> Floats:
    """Add variance along the steepest empty direction, as much as helps most."""
    slope, factor = criterion.slope_in_g(at.at), at.at.factor
    empty = _empty_directions(criterion, factor)
    values, vectors = np.linalg.eigh(empty.T @ slope @ empty)
    if criterion.rows.size == criterion.q:
        direction = empty[:, int(np.argmin(np.diag(empty.T @ slope @ empty)))]
    else:
        direction = empty @ vectors[:, int(np.argmin(values))]
    tried = []
    for variance in 10.0 ** np.arange(-6, 5):
        # L L' + variance d d' = A A' with A = [L, sqrt(variance) d]; QR makes A triangular
        wide = np.column_stack([factor, np.sqrt(variance) * direction])
        r = np.asarray(np.linalg.qr(wide.T, mode="r"))
        moved = r.T * np.where(np.diag(r) < 0, -1.0, 1.0)
        theta = np.asarray(moved[criterion.rows, criterion.columns], float)
        tried.append((criterion.value_and_gradient(theta)[0], theta))
    return min(tried, key=lambda pair: pair[0])[1]


def _polish(criterion: Criterion, theta: Floats, diagonal: np.ndarray) -> Optimum:
    """Newton steps on the entries that are not held at 0."""
    theta = theta.copy()
    value, gradient = criterion.value_and_gradient(theta)
    for i in np.flatnonzero(diagonal & (np.abs(theta) < 1e-3)):
        trial = theta.copy()
        trial[i] = 0.0
        trial_value, trial_gradient = criterion.value_and_gradient(trial)
        if trial_value <= value + 1e-11 * abs(value):
            theta, value, gradient = trial, min(value, trial_value), trial_gradient
    free = np.flatnonzero(~(diagonal & (theta == 0)))
    for _ in range(12):
        size = float(np.abs(gradient[free]).max()) if free.size else 0.0
        if size < 1e-10:
            break
        hessian = np.empty((free.size, free.size))
        for column, i in enumerate(free):
            step = np.zeros(theta.size)
            step[i] = 1e-5 * max(1.0, abs(float(theta[i])))
            up = criterion.value_and_gradient(theta + step)[1]
            down = criterion.value_and_gradient(theta - step)[1]
            hessian[:, column] = (up - down)[free] / (2 * step[i])
        values, vectors = np.linalg.eigh((hessian + hessian.T) / 2)
        usable = values > 1e-8 * max(float(values.max()), 1e-300)
        move = -vectors[:, usable] @ (vectors[:, usable].T @ gradient[free] / values[usable])
        proposal = theta.copy()
        proposal[free] += move
        new_value, new_gradient = criterion.value_and_gradient(proposal)
        better = float(np.abs(new_gradient[free]).max()) < size
        if not better or new_value > value + 1e-9 * (1 + abs(value)):
            break
        theta, value, gradient = proposal, new_value, new_gradient
    theta = _positive_columns(criterion, theta)
    at = evaluate(criterion.sums, criterion.factor(theta))
    return Optimum(
        theta=theta,
        at=at,
        deviance=criterion.deviance(at),
        max_gradient=float(np.abs(criterion.gradient(at)).max()),
        boundary_slope=_boundary_slope(criterion, at),
        singular=bool((np.diag(at.factor) < SINGULAR).any()),
    )


def _positive_columns(criterion: Criterion, theta: Floats) -> Floats:
    """Flip columns of L with a negative diagonal; G stays the same."""
    factor = criterion.factor(theta)
    factor = factor * np.where(np.diag(factor) < 0, -1.0, 1.0)
    return np.asarray(factor[criterion.rows, criterion.columns], float)


def _empty_directions(criterion: Criterion, factor: Floats) -> Floats:
    """Columns: unit directions without variance (coordinates when effects are uncorrelated)."""
    if criterion.rows.size == criterion.q:
        return np.eye(criterion.q)[:, np.diag(factor) <= SINGULAR]
    values, vectors = np.linalg.eigh(factor @ factor.T)
    return np.asarray(vectors[:, values <= SINGULAR**2], float)


def _boundary_slope(criterion: Criterion, at: Evaluation) -> float:
    empty = _empty_directions(criterion, at.factor)
    if empty.shape[1] == 0:
        return float("inf")
    slope = empty.T @ criterion.slope_in_g(at) @ empty
    if criterion.rows.size == criterion.q:
        return float(np.diag(slope).min())
    return float(np.linalg.eigvalsh(slope)[0])
