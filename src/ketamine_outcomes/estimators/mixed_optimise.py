"""Minimise the profiled criterion and prove that the minimum is one.

theta, the free entries of the relative factor L and the relative outer standard deviation, is
searched by Newton's method with the exact Hessian; where there are many clusters, from the fit
of the first few thousand. At the boundary the gradient in theta vanishes by symmetry, so the
proof is in G = L L' and tau: the slope of the criterion must vanish along G and must not fall
into the empty directions of G or tau (first-order conditions on the cone of covariance matrices).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from .mixed_curvature import Moments, hessian, theta_directions
from .mixed_factor import SINGULAR, VARIANCES
from .mixed_likelihood import Criterion, Evaluation
from .results import Floats, Ints, NotEstimable

ESCAPES = 6
STARTS = tuple(10.0 ** np.arange(-1.5, 3.5, 0.5))  # relative standard deviations
TRIES = 5
SLOPE = 1e-5  # smallest slope out of the boundary that counts as none, per sqrt(n)
DECREMENT = 1e-4  # distance to the minimum, in standard errors, that counts as converged
SEARCH_STEPS = 200
NEWTON_STEPS = 12
NUDGE = 0.03  # off the boundary, where slopes vanish by symmetry
STEP = 1e-11  # a Newton step shorter than this changes nothing
TURN = 1e-6  # a unit step in theta that changes G by less only turns L
EXACT = 1e6  # relative standard deviation beyond which the residual variance is 0
FLAT = 1e-7  # curvature in units of theta that says nothing is known of it


@dataclass(frozen=True)
class Optimum:
    """The minimum and its proof.

    `decrement` is the root of gradient' Hessian^-1 gradient: the distance to the minimum in
    units of the curvature. `min_curvature` is the smallest eigenvalue of the Hessian over the
    free theta, each in units of itself; `boundary_slope` the smallest slope into an empty
    direction (inf when there is none).
    """

    theta: Floats
    at: Evaluation
    moments: Moments
    deviance: float
    max_gradient: float
    decrement: float
    min_curvature: float
    boundary_slope: float
    singular: bool


def minimise(criterion: Criterion) -> Optimum:
    """Best of several starts; stops at the first that passes the proof."""
    with np.errstate(all="ignore"):  # a search may try what cannot be; the proof is what counts
        return _minimise(criterion)


def _minimise(criterion: Criterion) -> Optimum:
    tolerance = SLOPE * max(1.0, np.sqrt(criterion.sums.n) / 10)
    best: Optimum | None = None
    for start, ready in _starts(criterion):
        theta = start
        for _ in range(ESCAPES):
            try:
                if not ready:
                    theta = _search(criterion, theta)
                candidate = _polish(criterion, theta)
            except np.linalg.LinAlgError:
                break  # the next start
            if best is None or candidate.deviance < best.deviance:
                best = candidate
            if np.abs(best.theta).max(initial=0.0) > EXACT:
                raise NotEstimable(
                    "the random effects fit the response exactly: no residual variance is left"
                )
            flat = max(candidate.decrement / DECREMENT, candidate.max_gradient / tolerance) < 1
            if flat and candidate.boundary_slope > -tolerance:
                if abs(candidate.min_curvature) < FLAT:
                    raise NotEstimable(
                        "the data do not determine the variances of the random effects: the "
                        "fixed effects already hold them; take fewer terms or random effects"
                    )
                # as good as the best within rounding
                level = candidate.deviance <= best.deviance + 1e-8 * (1 + abs(best.deviance))
                if level and candidate.min_curvature > 0:
                    return candidate
                break
            if ready:
                break
            # the search ran into the boundary although the criterion falls away from it
            if candidate.boundary_slope > -tolerance:
                held = criterion.diagonal & (candidate.theta == 0)
                theta = np.where(held, NUDGE, candidate.theta)
            else:
                theta = _leave_boundary(criterion, candidate)
    raise NotEstimable(
        "the mixed model did not converge: take fewer random effects or rescale the covariates"
    )


def _starts(criterion: Criterion) -> Iterator[tuple[Floats, bool]]:
    """Starting values, and whether Newton steps can begin there at once."""
    if criterion.sums.head is not None:
        try:
            part = Criterion(criterion.sums.head, criterion.template, criterion.reml)
            yield minimise(part).theta, True
        except (NotEstimable, np.linalg.LinAlgError):
            pass  # the first clusters alone do not bear the model
    starts = [np.where(criterion.diagonal, start, 0.0) for start in STARTS]
    starts.sort(key=lambda theta: criterion.deviance(criterion.at(theta)))
    for theta in starts[:TRIES]:
        yield theta, False


def _search(criterion: Criterion, theta: Floats) -> Floats:
    """Newton's method in a trust region, with the absolute curvature where it is negative.

    Without bounds: the criterion is even in the columns of L and smooth through 0.
    """
    at = criterion.at(theta)
    value, radius, moved = criterion.deviance(at), 1.0, True
    for _ in range(SEARCH_STEPS):
        if moved:
            units = _units(criterion, at)[0]
            curved = hessian(criterion, at, Moments(criterion.sums, at))[1]
            values, vectors = np.linalg.eigh(curved * np.outer(units, units))
            along = vectors.T @ (criterion.gradient(at) * units)
            size = np.abs(values)
        if size.max() < FLAT:
            break
        # a box in the directions of the curvature, in units of theta itself
        step = np.clip(-along / np.maximum(size, 1e-8 * size.max()), -radius, radius)
        expected = -float(along @ step + 0.5 * size @ step**2)
        if expected < 1e-12 * (1 + abs(value)) or radius < 1e-6:
            break
        trial = theta + units * (vectors @ step)
        try:
            trial_at = criterion.at(trial)
            gain = (value - criterion.deviance(trial_at)) / expected
        except np.linalg.LinAlgError:
            gain = -1.0
        moved = gain > 0
        if moved:
            theta, at, value = trial, trial_at, criterion.deviance(trial_at)
        radius = 2 * radius if gain > 0.75 else radius if gain > 0.25 else radius / 4
    return theta


def _leave_boundary(criterion: Criterion, found: Optimum) -> Floats:
    """Add variance where the criterion falls most from it, as much as helps most."""
    at = found.at
    slope, in_tau = criterion.slope(at)
    lowest = criterion.lowest_slope(at.factor, slope)
    if criterion.outer and at.tau <= SINGULAR**2 and in_tau <= lowest:
        tried = [np.r_[found.theta[:-1], np.sqrt(variance)] for variance in VARIANCES]
    else:
        rest = found.theta[criterion.rows.size :]
        tried = [np.r_[free, rest] for free in criterion.widened(at.factor, slope)]
    return min(tried, key=lambda theta: criterion.deviance(criterion.at(theta)))


def _polish(criterion: Criterion, theta: Floats) -> Optimum:
    """Newton steps on the entries that are not held at 0."""
    at = criterion.at(theta)
    value = criterion.deviance(at)
    for i in np.flatnonzero(criterion.diagonal & (np.abs(theta) < 1e-3) & (theta != 0)):
        trial = np.where(np.arange(theta.size) == i, 0.0, theta)
        trial_at = criterion.at(trial)
        if criterion.deviance(trial_at) <= value + 1e-11 * abs(value):
            theta, at = trial, trial_at
            value = min(value, criterion.deviance(at))
    free = np.flatnonzero(~(criterion.diagonal & (theta == 0)))
    gradient = criterion.gradient(at)
    for _ in range(NEWTON_STEPS):
        moments = Moments(criterion.sums, at)
        units = _units(criterion, at)[0][free]
        curved = hessian(criterion, at, moments)[1][np.ix_(free, free)] * np.outer(units, units)
        values, vectors = np.linalg.eigh(curved) if free.size else (np.zeros(0), curved)
        usable = values > 1e-8 * max(float(values.max(initial=0.0)), 1e-300)
        along = vectors[:, usable].T @ (gradient[free] * units)
        decrement = float(np.sqrt((along**2 / values[usable]).sum()))
        move = -units * (vectors[:, usable] @ (along / values[usable]))
        if np.abs(move / units).max(initial=0.0) < STEP:
            break
        proposal = theta.copy()
        proposal[free] += move
        new_at = criterion.at(proposal)
        new_value, new_gradient = criterion.deviance(new_at), criterion.gradient(new_at)
        size, new_size = (np.abs(g[free] * units).max() for g in (gradient, new_gradient))
        if new_size >= size or new_value > value + 1e-9 * (1 + abs(value)):
            break
        theta, at, value, gradient = proposal, new_at, new_value, new_gradient
    flipped = np.r_[criterion.upright(theta), np.abs(theta[criterion.rows.size :])]
    if (flipped != theta).any():
        theta = flipped
        at = criterion.at(theta)
        moments = Moments(criterion.sums, at)
    return Optimum(
        theta=theta,
        at=at,
        moments=moments,
        deviance=criterion.deviance(at),
        max_gradient=float(np.abs(gradient).max()),
        decrement=decrement,
        min_curvature=_lowest(criterion, at, values, vectors, free),
        boundary_slope=_boundary_slope(criterion, at),
        singular=bool((np.abs(theta[criterion.diagonal]) < SINGULAR).any()),
    )


def _units(criterion: Criterion, at: Evaluation) -> tuple[Floats, Floats, float]:
    """Sizes that make a step in theta, in an effect and in the outer effect of order 1."""
    effects = np.maximum(1.0, np.sqrt((at.factor**2).sum(axis=1)))
    outer = max(1.0, float(np.sqrt(at.tau)))
    inner = effects[criterion.rows]
    return (np.r_[inner, outer] if criterion.outer else inner), effects, outer


def _lowest(
    criterion: Criterion, at: Evaluation, values: Floats, vectors: Floats, free: Ints
) -> float:
    """Smallest curvature among the directions that change G or tau; the others only turn L."""
    directions, in_tau = theta_directions(criterion, at)
    units, effects, outer = _units(criterion, at)
    steps = vectors * units[free][:, None]
    moved = np.einsum("if,iab->fab", steps, directions[free]) / np.outer(effects, effects)
    change = np.sqrt((moved**2).sum(axis=(1, 2)) + (in_tau[free] @ steps / outer**2) ** 2)
    return float(values[change > TURN].min(initial=np.inf))


def _boundary_slope(criterion: Criterion, at: Evaluation) -> float:
    slope, in_tau = criterion.slope(at)
    lowest = criterion.lowest_slope(at.factor, slope)
    return min(lowest, in_tau) if criterion.outer and at.tau <= SINGULAR**2 else lowest
