"""Firth's penalised logistic likelihood: estimate, profile intervals, likelihood-ratio tests.

Log likelihood + log(det(information)) / 2 (Firth 1993, Biometrika 80:27-38); intervals and tests
from its profile (Heinze & Schemper 2002, Stat Med 21:2409-2419).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import optimize, special

from .results import Floats, NotEstimable

STEPS = 500
DECREMENT = 1e-20  # score' information^-1 score at the maximum


@dataclass(frozen=True)
class Rows:
    """Standardised design, share of events, trials and offset of every row."""

    x: Floats
    y: Floats
    trials: Floats
    offset: Floats


@dataclass(frozen=True)
class Peak:
    """A maximum, over some of the coefficients."""

    beta: Floats
    value: float
    information: Floats


@dataclass(frozen=True)
class FirthFit:
    """Estimate with profile interval and likelihood-ratio chi-square per term."""

    peak: Peak
    low: Floats
    high: Floats
    likelihood_ratio: Floats


def _value(rows: Rows, beta: Floats) -> tuple[float, Floats, Floats]:
    """Penalised log likelihood, its gradient and the information."""
    eta = rows.x @ beta + rows.offset
    share = special.expit(eta)
    root = np.sqrt(rows.trials * share * special.expit(-eta))
    z = rows.x * root[:, None]
    information = z.T @ z
    sign, log_determinant = np.linalg.slogdet(information)
    if sign <= 0 or not np.isfinite(log_determinant):
        return -np.inf, np.zeros_like(beta), information
    leverage = np.einsum("ij,ij->i", z @ np.linalg.inv(information), z)
    gradient = rows.x.T @ (rows.trials * (rows.y - share) + leverage * (0.5 - share))
    log_likelihood = float(rows.trials @ (rows.y * eta - np.logaddexp(0, eta)))
    return log_likelihood + 0.5 * float(log_determinant), gradient, information


def maximise(rows: Rows, start: Floats, free: list[int]) -> Peak:
    """Maximise over the coefficients `free`, the others held at their start."""
    beta = start.copy()
    value, gradient, information = _value(rows, beta)
    for _ in range(STEPS if free else 0):
        part = gradient[free]
        try:
            step = np.linalg.solve(information[np.ix_(free, free)], part)
        except np.linalg.LinAlgError:
            break
        decrement = float(part @ step)
        if decrement <= DECREMENT:
            return Peak(beta, value, information)
        step *= min(1.0, 3.0 / float(np.abs(step).max()))
        for _halving in range(40):
            proposal = beta.copy()
            proposal[free] += step
            new_value, new_gradient, new_information = _value(rows, proposal)
            if new_value >= value - 1e-14 * (1 + abs(value)):
                break
            step = step / 2
        else:
            if decrement < 1e-12:  # no climb is left within rounding
                return Peak(beta, value, information)
            break
        beta, value, gradient, information = proposal, new_value, new_gradient, new_information
    if not free and np.isfinite(value):
        return Peak(beta, value, information)
    raise NotEstimable("the penalised likelihood did not converge: use fewer terms")


def fit(rows: Rows, level: float) -> FirthFit:
    """Estimate, profile interval and penalised likelihood-ratio test of every term."""
    p = rows.x.shape[1]
    peak = maximise(rows, np.zeros(p), list(range(p)))
    error = np.sqrt(np.diag(np.linalg.inv(peak.information)))
    far = float(np.sqrt(special.chdtri(1, 1 - level)))
    low, high, ratio = np.empty(p), np.empty(p), np.empty(p)
    for j in range(p):
        profile = _Profile(rows, peak, j)
        ratio[j] = profile.root(0.0) ** 2
        low[j] = profile.cross(-float(error[j]), far)
        high[j] = profile.cross(float(error[j]), far)
    return FirthFit(peak, low, high, ratio)


class _Profile:
    """Root of twice the drop of the profile below its peak; nearly linear in the coefficient."""

    def __init__(self, rows: Rows, peak: Peak, j: int) -> None:
        self.rows, self.peak, self.j = rows, peak, j
        self.others = [i for i in range(peak.beta.size) if i != j]
        self.last = peak.beta

    def root(self, fixed: float) -> float:
        start = self.last.copy()
        start[self.j] = fixed
        try:
            found = maximise(self.rows, start, self.others)
        except NotEstimable:  # the last maximum is too far off: begin at the peak
            start = self.peak.beta.copy()
            start[self.j] = fixed
            found = maximise(self.rows, start, self.others)
        self.last = found.beta
        return float(np.sqrt(max(0.0, 2 * (self.peak.value - found.value))))

    def cross(self, reach: float, far: float) -> float:
        """Where the root reaches `far` on the side of `reach`."""
        centre = float(self.peak.beta[self.j])
        self.last, inner, edge = self.peak.beta, centre, centre + far * reach
        for _ in range(60):
            if self.root(edge) >= far:
                found = optimize.brentq(
                    lambda v: self.root(v) - far, inner, edge, xtol=1e-11, rtol=1e-11
                )
                return float(found)
            inner, edge = edge, edge + (edge - centre)
        return float(np.copysign(np.inf, reach))
