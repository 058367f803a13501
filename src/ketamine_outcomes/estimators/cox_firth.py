"""Firth's penalised partial likelihood: estimate, profile intervals, likelihood-ratio tests."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import special

from .cox_likelihood import Moments, at_risk_products, moments
from .cox_risk_sets import RiskSets
from .results import Floats, NotEstimable

MAX_STEPS = 400
MAX_CROSSING = 60
FAR = 1e4  # half widths after which an interval has no end


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

    p = z.shape[1]
    size = np.einsum("ij,ij->i", z, z)[:, None]
    squares = (sets.x[:, :, None] * z[:, None, :]).reshape(-1, p * p)
    columns = np.hstack([np.ones((len(z), 1)), sets.x, z, size, size * sets.x, squares])
    # at risk at each event, less Efron's share of the tied events
    tied = np.add.reduceat((weighted[:, None] * columns)[sets.died], begin, axis=0)
    sums = at_risk_products(sets, weighted, columns)[sets.at] - share[:, None] * tied[sets.at]
    mean = sums[:, 1:] / sums[:, :1]
    mean_x, mean_z, mean_size, third, products = np.split(mean, np.cumsum([p, p, 1, p]), axis=1)
    third = third - mean_size * mean_x
    spread = products.reshape(-1, p, p) - mean_x[:, :, None] * mean_z[:, None, :]
    third -= 2 * np.einsum("ia,iba->ib", mean_z, spread)
    return np.asarray(0.5 * sets.mean_weight[sets.at] @ third, float)


@np.errstate(all="ignore")  # what is not finite is refused
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
        try:
            gradient = (at.score + firth_score(sets, at))[free]
            step = np.linalg.solve(at.information[np.ix_(free, free)], gradient)
        except np.linalg.LinAlgError:
            worst = np.inf
            break
        worst = float(np.abs(gradient).max())
        if worst < 1e-10:
            break
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
    if not worst <= 1e-6:
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
        others = [i for i in range(p) if i != j]
        held = beta.copy()
        held[j] = 0.0
        ratio[j] = max(0.0, 2 * (top - penalised(maximise(sets, held, others)[1])))
        reach = float(np.sqrt(2 * drop) * wald[j])
        low[j] = _cross(sets, beta, j, -reach, top, top - drop)
        high[j] = _cross(sets, beta, j, reach, top, top - drop)
    return FirthFit(beta, at, top, low, high, ratio, worst, steps)


def _cross(sets: RiskSets, beta: Floats, j: int, reach: float, top: float, target: float) -> float:
    """Where the profile of coefficient j falls to `target`; infinite when it never does.

    Newton's method on the square root of the fall, which is nearly a straight line, kept between
    the nearest points known to lie inside and outside.
    """
    others = [i for i in range(beta.size) if i != j]
    here = beta.copy()
    here[j] += reach
    inside, outside = float(beta[j]), float("inf") * reach
    goal = np.sqrt(top - target)
    for _ in range(MAX_CROSSING):
        here, at, _, _ = maximise(sets, here, others)
        fall = np.sqrt(max(top - penalised(at), 0.0))
        v = float(here[j])
        if fall > goal:
            outside = v
        else:
            inside = v
            if abs(v - beta[j]) > FAR * abs(reach):
                return float(np.copysign(np.inf, reach))
        # no information is left: the point lies outside, and has no slope
        slope = float((at.score + firth_score(sets, at))[j]) if np.isfinite(fall) else 0.0
        step = 2 * fall * (goal - fall) / -slope if slope else float("nan")
        if abs(step) <= 1e-11 * (abs(reach) + abs(v)):
            return v + step
        low, high = min(inside, outside), max(inside, outside)
        if not low < v + step < high or abs(step) > 3 * abs(reach):
            # a bracket is halved; without one the search goes on outwards
            step = (inside + outside) / 2 - v if np.isfinite(outside) else 2 * (v - beta[j])
        here = here.copy()
        here[j] = v + step
    raise NotEstimable("the profile likelihood interval did not converge: use fewer terms")
