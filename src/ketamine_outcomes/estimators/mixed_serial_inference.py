"""Small-sample inference of a mixed model with serial correlation.

Satterthwaite as lmerTest does it, over (L, correlation, sigma). Kenward & Roger (1997,
Biometrics 53, 983-997) in full: the variance is not linear in the correlation, so that the
terms in its second derivatives stay. That correction depends on the parameters chosen: here
the variances and covariances of the random effects, the residual variance and the correlation
over one unit (AR(1): over one step of time; CAR(1): over the median gap, so that the unit of
time does not matter). Parameters estimated at their boundary are held there: a correlation of 0
(CAR(1)), and next to a correlation the random effects of variance 0, which it nearly takes the
place of (the second-order terms then grow beyond use). Where the correlation
cannot be told from the variances, the first-order terms alone are left: they do not depend on
which of the equivalent parameters is taken, and such a variance is linear in what is identified.
"""

from __future__ import annotations

import numpy as np

from .mixed_factor import SINGULAR
from .mixed_inference import EIGENVALUE_TOLERANCE, SmallSample, uncorrected
from .mixed_serial import Correlation, SerialCriterion, Sums, moved_forms
from .mixed_serial_optimise import SerialOptimum, hessian, units
from .results import Floats


def small_sample(criterion: SerialCriterion, best: SerialOptimum, method: str) -> SmallSample:
    """Covariance of beta and the pieces of its degrees of freedom."""
    if method == "kenward_roger":
        return kenward_roger(criterion, best)
    if method == "satterthwaite":
        return satterthwaite(criterion, best)
    return uncorrected(best.at.inverse_information * best.at.residual_ss / criterion.df)


def satterthwaite(criterion: SerialCriterion, best: SerialOptimum) -> SmallSample:
    """Hessian in (theta, sigma) by differences of the analytic gradient."""
    at, theta = best.at, best.theta
    sigma2 = at.residual_ss / criterion.df
    sigma = float(np.sqrt(sigma2))
    k = theta.size
    joint = np.empty((k + 1, k + 1))
    joint[:k, :k] = hessian(criterion, theta, sigma2)
    # only the weighted residual sum of squares over sigma2 ties sigma to the others
    pull = criterion.gradient(theta, at, sigma2) - criterion.gradient(theta, at, 2 * sigma2)
    joint[:k, k] = joint[k, :k] = -4 / sigma * pull
    joint[k, k] = 4 * criterion.df / sigma2
    unit = np.r_[units(criterion, theta), sigma]
    values, vectors = np.linalg.eigh(joint * np.outer(unit, unit))
    keep = values > EIGENVALUE_TOLERANCE
    parameter_covariance = 2 * (vectors[:, keep] / values[keep]) @ vectors[:, keep].T
    parameter_covariance *= np.outer(unit, unit)
    c = at.inverse_information
    t = at.t[:, :, :-1]
    slopes = np.empty((k + 1, *c.shape))
    for i, (row, column) in enumerate(zip(criterion.rows, criterion.columns, strict=True)):
        # dG = e_row L_column' + L_column e_row'
        push = t[:, row, :].T @ np.einsum("q,kqa->ka", at.factor[:, column], t)
        slopes[i] = sigma2 * c @ (push + push.T) @ c
    moved = criterion.sums(theta)[2]
    if moved is not None:
        slopes[k - 1] = -sigma2 * c @ moved_forms(moved, at)[:-1, :-1] @ c
    slopes[k] = 2 * sigma * c
    return SmallSample("satterthwaite", sigma2 * c, sigma2 * c, slopes, parameter_covariance)


def kenward_roger(criterion: SerialCriterion, best: SerialOptimum) -> SmallSample:
    """Adjusted covariance of beta; expected information.

    With the rows whitened, V = sigma2 (I + Z G Z'), its derivatives are Z E Z' (entries of the
    covariance of the random effects), V / sigma2 (the residual part: I) and sigma2 A (the
    correlation), A = U R' U'. All forms are cross-products of Z and X with I, A and A A.
    """
    at, series = best.at, criterion.series
    sigma2 = at.residual_ss / criterion.df
    c = at.inverse_information
    p, q = criterion.p, criterion.q
    basis = _directions(criterion, best)
    last = len(basis)  # residual variance; the correlation follows
    r = last + 1 + (not best.independent)
    correlation = series.none() if best.independent else series.natural(float(best.theta[-1]))
    white = series.whitened(correlation)
    plain = series.sums(white, white)
    m, t, s = at.m, at.t[:, :, :p], at.s
    mt = m @ t
    mzx = at.mzw[:, :, :p]
    zm = plain.zz @ m
    turn = np.eye(q) - zm
    zh2x, zh2z = t - plain.zz @ mt, turn @ s
    xh2x = plain.ww[:p, :p] - _fold(plain.zw[:, :, :p], mzx) - _fold(t, mzx)
    xh3x = xh2x - _fold(t, mt)

    slopes = np.zeros((r, p, p))
    double = np.zeros((r, r, p, p))
    second = np.zeros((r, r, p, p))
    trace = np.zeros((r, r))
    for i, e in enumerate(basis):
        slopes[i] = -_fold(t, e @ t) / sigma2**2
        for j, f in enumerate(basis):
            double[i, j] = _fold(t, e @ s @ f @ t) / sigma2**3
            trace[i, j] = np.einsum("qr,krs,st,ktq->", e, s, f, s, optimize=True) / sigma2**2
        double[i, last] = _fold(t, e @ zh2x) / sigma2**3
        double[last, i] = double[i, last].T
        trace[i, last] = trace[last, i] = np.einsum("qr,krq->", e, zh2z) / sigma2**2
    slopes[last] = -xh2x / sigma2**2
    double[last, last] = xh3x / sigma2**3
    trace[last, last] = (
        criterion.n - 2 * np.einsum("kqq->", zm) + np.einsum("kqr,krq->", zm, zm)
    ) / sigma2**2
    if not best.independent:
        phi = last + 1
        moved = series.whitened_slope(correlation, white)
        pushed = series.pushed(correlation, white, moved)
        curved = series.whitened_curvature(correlation, white, moved)
        once = series.sums(white, moved) * -2.0  # B' A B
        twice = series.sums(pushed, pushed)  # B' A A B
        bend = (series.sums(white, curved) + series.sums(moved, moved)) * 2.0
        # H X = X - Z (M Z'X) and H H X = H X - Z (M Z'H X), as columns of (X, Z)
        hh = mzx + mt
        za_hx = once.zw[:, :, :p] - once.zz @ mzx  # Z'A H X
        za_hz = once.zz - once.zz @ m @ plain.zz  # Z'A H Z
        hza_hx = za_hx - plain.zz @ (m @ za_hx)  # Z'H A H X
        slopes[phi] = -_form(once, mzx, mzx, p) / sigma2
        double[phi, phi] = (_form(twice, mzx, mzx, p) - _fold(za_hx, m @ za_hx)) / sigma2
        if not best.flat:
            second[phi, phi] = _form(twice * 2.0 + bend * -1.0, mzx, mzx, p) / sigma2
            second[phi, last] = second[last, phi] = -slopes[phi] / sigma2
        double[phi, last] = _form(once, mzx, hh, p) / sigma2**2
        double[last, phi] = double[phi, last].T
        for i, e in enumerate(basis):
            double[i, phi] = _fold(t, e @ hza_hx) / sigma2**2
            double[phi, i] = double[i, phi].T
            hza_hz = za_hz - plain.zz @ (m @ za_hz)
            trace[i, phi] = trace[phi, i] = np.einsum("qr,krq->", e, hza_hz) / sigma2
        am = once.zz @ m
        trace[phi, phi] = (
            _trace_of_square(correlation)
            - 2 * np.einsum("kqr,krq->", m, twice.zz)
            + np.einsum("kqr,krq->", am, am)
        )
        trace[phi, last] = trace[last, phi] = (
            correlation.log_det_slope - 2 * np.einsum("kqq->", am) + np.einsum("kqr,krq->", zm, am)
        ) / sigma2

    covariance = sigma2 * c
    turned = covariance @ slopes
    information = (
        trace
        - 2 * np.einsum("ab,ijba->ij", covariance, double)
        + np.einsum("iab,jba->ij", turned, turned)
    )
    information = (information + information.T) / 2
    # parameters of very different size: scale before inverting
    unit = 1 / np.sqrt(np.maximum(np.abs(np.diag(information)), 1e-300))
    w = 2 * np.linalg.pinv(information * np.outer(unit, unit), hermitian=True, rcond=1e-10)
    w *= np.outer(unit, unit)
    correction = np.einsum("ij,ijab->ab", w, double - second / 4) - np.einsum(
        "ij,iab,bc,jcd->ad", w, slopes, covariance, slopes, optimize=True
    )
    adjusted = covariance + 2 * covariance @ correction @ covariance
    return SmallSample("kenward_roger", (adjusted + adjusted.T) / 2, covariance, slopes, w)


def _fold(left: Floats, right: Floats) -> Floats:
    """Sum over clusters of left' right."""
    return left.reshape(-1, left.shape[2]).T @ right.reshape(-1, right.shape[2])


def _form(sums: Sums, left: Floats, right: Floats, p: int) -> Floats:
    """(X - Z left)' B (X - Z right), from the cross-products through B."""
    zx = sums.zw[:, :, :p]
    return np.asarray(
        sums.ww[:p, :p] - _fold(left, zx) - _fold(zx, right) + _fold(left, sums.zz @ right), float
    )


def _trace_of_square(at: Correlation) -> float:
    """Trace of R^-1 R' R^-1 R': twice the information of a Gaussian Markov chain."""
    return float((2 * (1 + at.r**2) * at.slope**2 / at.rest**2).sum())


def _directions(criterion: SerialCriterion, best: SerialOptimum) -> list[Floats]:
    """Symmetric basis of the covariances of the random effects, of the directions that vary."""
    q, factor = criterion.q, best.at.factor
    if criterion.rows.size == q:
        values, vectors = np.diag(factor) ** 2, np.eye(q)
    else:
        values, vectors = np.linalg.eigh(factor @ factor.T)
    kept = vectors if best.independent else vectors[:, values > SINGULAR**2]
    out = []
    for j in range(kept.shape[1]):
        for i in range(j if criterion.rows.size == q else 0, j + 1):
            pair = np.outer(kept[:, i], kept[:, j])
            out.append((pair + pair.T) / 2)
    return out
