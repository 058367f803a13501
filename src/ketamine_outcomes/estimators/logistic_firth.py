"""Firth's penalised logistic likelihood: estimate, profile intervals, likelihood-ratio tests.

Log likelihood + log(det(information)) / 2 (Firth 1993, Biometrika 80:27-38); intervals and tests
from its profile (Heinze & Schemper 2002, Stat Med 21:2409-2419).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import linalg, optimize, special

from .results import Floats, NotEstimable

STEPS = 200
LONGEST = 5.0  # step of any row, on the logit scale
DECREMENT = 1e-20  # score' information^-1 score at the maximum
CLOSE = 1e-8


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


@dataclass(frozen=True)
class _Point:
    """Penalised log likelihood with its derivatives; `curvature` is minus the second."""

    value: float
    gradient: Floats
    information: Floats
    curvature: Floats


def _at(rows: Rows, beta: Floats) -> _Point | None:
    """None where the information is singular within rounding."""
    eta = rows.x @ beta + rows.offset
    share = special.expit(eta)
    spread = share * special.expit(-eta)
    weight = rows.trials * spread
    z = rows.x * np.sqrt(weight)[:, None]
    information = z.T @ z
    sign, log_determinant = np.linalg.slogdet(information)
    if sign <= 0 or not np.isfinite(log_determinant):
        return None
    inverse = np.linalg.inv(information)
    leverage = np.einsum("ij,ij->i", z @ inverse, z)
    gradient = rows.x.T @ (rows.trials * (rows.y - share) + leverage * (0.5 - share))
    log_likelihood = float(rows.trials @ (rows.y * eta - np.logaddexp(0, eta)))
    # the second derivative of log(det(information)) / 2
    bend = leverage * (1 - 6 * spread)
    skewed = rows.x * (1 - 2 * share)[:, None]
    turned = np.array([inverse @ ((z * column[:, None]).T @ z) for column in skewed.T])
    curvature = information - 0.5 * (
        (rows.x * bend[:, None]).T @ rows.x - np.einsum("aij,bji->ab", turned, turned)
    )
    value = log_likelihood + 0.5 * float(log_determinant)
    return _Point(value, gradient, information, curvature)


def _step(at: _Point, free: list[int]) -> Floats:
    """Newton's step, or Fisher's where the likelihood is not concave."""
    part = np.ix_(free, free)
    try:
        factor = linalg.cho_factor(at.curvature[part])
    except np.linalg.LinAlgError:
        factor = linalg.cho_factor(at.information[part])
    return np.asarray(linalg.cho_solve(factor, at.gradient[free]), float)


def maximise(rows: Rows, start: Floats, free: list[int]) -> Peak:
    """Maximise over the coefficients `free`, the others held at their start."""
    beta, at = start.copy(), _at(rows, start)
    for _ in range(STEPS):
        if at is None:
            break
        try:
            step = _step(at, free) if free else np.zeros(0)
        except np.linalg.LinAlgError:
            break
        climb = float(at.gradient[free] @ step)
        if climb <= DECREMENT:
            return Peak(beta, at.value, at.information)
        step = step * min(1.0, LONGEST / float(np.abs(rows.x[:, free] @ step).max()))
        for _halving in range(40):
            proposal = beta.copy()
            proposal[free] += step
            reached = _at(rows, proposal)
            # the climb of a short last step is lost in rounding
            slack = CLOSE if climb < CLOSE else 0.0
            if reached is not None and reached.value >= at.value - slack:
                break
            step = step / 2
        else:
            break
        beta, at = proposal, reached
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


def whole_model(rows: Rows, peak: Peak, intercept: list[int]) -> float:
    """Twice the fall of the penalised likelihood when all but the intercept are held at 0."""
    null = maximise(rows, np.zeros(peak.beta.size), intercept)
    return max(0.0, 2 * (peak.value - null.value))


class _Profile:
    """Root of twice the drop of the profile below its peak; nearly linear in the coefficient."""

    def __init__(self, rows: Rows, peak: Peak, j: int) -> None:
        self.rows, self.peak, self.j = rows, peak, j
        self.others = [i for i in range(peak.beta.size) if i != j]
        self.last = peak.beta
        # how the others follow j near the peak: far from 0, a covariate moves the intercept along
        column = np.linalg.inv(peak.information)[j]
        self.along = column / column[j]
        self.alone = np.eye(peak.beta.size)[j]

    def root(self, fixed: float) -> float:
        try:
            found = self._from(self.last, self.along, fixed)
        except NotEstimable:  # the last maximum is too far off
            try:
                found = self._from(self.peak.beta, self.along, fixed)
            except NotEstimable:
                found = self._from(self.peak.beta, self.alone, fixed)
        self.last = found.beta
        return float(np.sqrt(max(0.0, 2 * (self.peak.value - found.value))))

    def _from(self, origin: Floats, along: Floats, fixed: float) -> Peak:
        start = origin + along * (fixed - origin[self.j])
        start[self.j] = fixed
        return maximise(self.rows, start, self.others)

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
