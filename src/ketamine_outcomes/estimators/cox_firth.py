"""Firth's penalised partial likelihood: estimate, profile intervals, likelihood-ratio tests."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy import optimize, special

from .cox_likelihood import Moments, RiskSets, at_risk_products, moments
from .results import Floats, NotEstimable

MAX_STEPS = 400


@dataclass(frozen=True)
class FirthFit:
    """Estimate in standardised covariates; likelihood-ratio chi-square per term."""

    beta: Floats
    moments: Moments
    penalised: float
    low: Floats
    high: Floats
    likelihood_ratio: Floats
    max_gradient: float
    steps: int


def penalised(at: Moments) -> float:
    """Log partial likelihood plus half the log determinant of the information."""
    sign, log_determinant = np.linalg.slogdet(at.information)
    return at.log_likelihood + 0.5 * float(log_determinant) if sign > 0 else -np.inf


def firth_score(sets: RiskSets, at: Moments) -> Floats:
    """Gradient of half the log determinant of the information (Firth 1993).

    With L L' the inverse information and z = x L, each event adds the weighted third central
    moment sum_a kappa3(z_a, z_a, x) of those at risk to the trace of I^-1 dI/dbeta.
    """
    inverse = np.linalg.inv(at.information)
    z = sets.x @ np.linalg.cholesky((inverse + inverse.T) / 2)
    weighted = sets.weight * at.risk
    share = np.zeros(sets.died.size)
    share[np.isin(sets.died, sets.tied_rows)] = sets.share
    begin = np.cumsum(sets.n_died) - sets.n_died

    def at_each_event(values: Floats) -> Floats:
        """Sum over those at risk, less Efron's share of the tied events; one row per event."""
        everybody = at_risk_products(sets, weighted, values)[sets.at]
        tied = (weighted[:, None] * values)[sets.died]
        return everybody - share[:, None] * np.add.reduceat(tied, begin, axis=0)[sets.at]

    total = at_each_event(np.ones((weighted.size, 1)))
    mean_x = at_each_event(sets.x) / total
    mean_z = at_each_event(z) / total
    size = np.einsum("ij,ij->i", z, z)[:, None]
    mean_size = at_each_event(size) / total
    third = at_each_event(size * sets.x) / total - mean_size * mean_x
    for b in range(third.shape[1]):
        zx = at_each_event(sets.x[:, [b]] * z) / total
        third[:, b] -= 2 * np.einsum("ij,ij->i", mean_z, zx - mean_z * mean_x[:, [b]])
    return np.asarray(0.5 * sets.mean_weight[sets.at] @ third, float)


def maximise(sets: RiskSets, start: Floats, free: list[int]) -> tuple[Floats, Moments, float, int]:
    """Maximise over the coefficients `free`, the others held.

    Returns the coefficients, the moments there, the largest gradient left and the steps taken.
    """
    beta = start.copy()
    at = moments(sets, beta)
    value = penalised(at)
    if not free:
        return beta, at, 0.0, 0
    worst, steps = np.inf, 0
    while steps < MAX_STEPS:
        gradient = (at.score + firth_score(sets, at))[free]
        worst = float(np.abs(gradient).max())
        if worst < 1e-10:
            break
        step = np.linalg.solve(at.information[np.ix_(free, free)], gradient)
        step *= min(1.0, 2.0 / max(float(np.abs(step).max()), 1e-300))
        for _halving in range(40):
            proposal = beta.copy()
            proposal[free] += step
            reached = moments(sets, proposal)
            new_value = penalised(reached)
            if new_value >= value - 1e-13 * (1 + abs(value)):
                break
            step = step / 2
        else:
            break  # no climb is left within rounding; the gradient tells how good it is
        beta, at, value = proposal, reached, new_value
        steps += 1
    if worst > 1e-6:
        raise NotEstimable("the penalised likelihood did not converge: use fewer terms")
    return beta, at, worst, steps


def fit(sets: RiskSets, level: float) -> FirthFit:
    """Estimate with profile intervals and a penalised likelihood-ratio test per term."""
    p = sets.x.shape[1]
    beta, at, worst, steps = maximise(sets, np.zeros(p), list(range(p)))
    top = penalised(at)
    drop = float(special.chdtri(1, 1 - level)) / 2
    wald = np.sqrt(np.diag(np.linalg.inv(at.information)))
    low, high, ratio = np.empty(p), np.empty(p), np.empty(p)
    for j in range(p):
        profile = _profile(sets, beta, j)
        ratio[j] = max(0.0, 2 * (top - profile(0.0)))
        low[j] = _cross(profile, float(beta[j]), -float(wald[j]), top - drop)
        high[j] = _cross(profile, float(beta[j]), float(wald[j]), top - drop)
    return FirthFit(beta, at, top, low, high, ratio, worst, steps)


def _profile(sets: RiskSets, beta: Floats, j: int) -> Callable[[float], float]:
    others = [i for i in range(beta.size) if i != j]

    def value(fixed: float) -> float:
        start = beta.copy()
        start[j] = fixed
        return penalised(maximise(sets, start, others)[1])

    return value


def _cross(profile: Callable[[float], float], centre: float, reach: float, target: float) -> float:
    """Where the profile falls to `target`; infinite when it never does."""
    for widen in range(1, 41):
        edge = centre + 2 * widen * reach
        if profile(edge) < target:
            root = optimize.brentq(
                lambda v: profile(v) - target, centre, edge, xtol=1e-12, rtol=1e-12
            )
            return float(root)
    return float(np.copysign(np.inf, reach))
