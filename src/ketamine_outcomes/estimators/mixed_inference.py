"""Small-sample degrees of freedom of a linear mixed model.

Satterthwaite as lmerTest: the covariance of (theta, sigma) is twice the inverse Hessian of the
criterion, theta the free entries of the relative factor. Kenward-Roger (1997) as pbkrtest:
the variance is linear in the entries of the covariance of the random effects and the residual
variance, so that no second-derivative term is left; expected information.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .mixed_likelihood import Criterion, Evaluation, evaluate
from .results import Floats

EIGENVALUE_TOLERANCE = 1e-8  # of lmerTest: flatter directions of the criterion are left out


@dataclass(frozen=True)
class SmallSample:
    """Covariance of beta and what the degrees of freedom of a contrast need."""

    method: str
    covariance: Floats  # reported: adjusted under Kenward-Roger
    plain: Floats  # (X' V^-1 X)^-1
    slopes: Floats  # (r, p, p): Satterthwaite dC/d(parameter); Kenward-Roger P_r
    parameter_covariance: Floats  # (r, r)

    def df(self, contrast: Floats) -> float:
        """Degrees of freedom of one linear combination of beta."""
        if self.method == "normal":
            return float("inf")
        if self.method == "satterthwaite":
            return satterthwaite_df(contrast, self.plain, self.slopes, self.parameter_covariance)
        return self.joint_df(contrast[None, :])[0]

    def joint_df(self, contrast: Floats) -> tuple[float, float]:
        """Kenward-Roger denominator degrees of freedom and scaling of the F statistic."""
        return kenward_roger_df(contrast, self.plain, self.slopes, self.parameter_covariance)


def satterthwaite(criterion: Criterion, theta: Floats, at: Evaluation) -> SmallSample:
    """Hessian in (theta, sigma) by differences of the analytic gradient."""
    sigma2 = at.residual_ss / criterion.df
    sigma = float(np.sqrt(sigma2))
    k = theta.size
    hessian = np.empty((k + 1, k + 1))
    for i in range(k):
        hessian[:k, i] = _difference(criterion, theta, i, sigma2)
    hessian[:k, :k] = (hessian[:k, :k] + hessian[:k, :k].T) / 2
    pull = -2 * np.einsum("kq,kr->qr", at.u, at.u) @ at.factor
    hessian[:k, k] = hessian[k, :k] = -2 / sigma**3 * pull[criterion.rows, criterion.columns]
    hessian[k, k] = 4 * criterion.df / sigma2
    values, vectors = np.linalg.eigh(hessian)
    keep = values > EIGENVALUE_TOLERANCE
    parameter_covariance = 2 * (vectors[:, keep] / values[keep]) @ vectors[:, keep].T
    c = at.inverse_information
    slopes = np.empty((k + 1, *c.shape))
    for i, (row, column) in enumerate(zip(criterion.rows, criterion.columns, strict=True)):
        # dG = e_row L_column' + L_column e_row'
        left = at.t[:, row, :]
        right = np.einsum("q,kqa->ka", at.factor[:, column], at.t)
        push = left.T @ right
        slopes[i] = sigma2 * c @ (push + push.T) @ c
    slopes[k] = 2 * sigma * c
    plain = sigma2 * c
    return SmallSample("satterthwaite", plain, plain, slopes, parameter_covariance)


def _difference(criterion: Criterion, theta: Floats, i: int, sigma2: float) -> Floats:
    """Richardson-extrapolated central difference of the gradient, residual variance held."""

    def central(h: float) -> Floats:
        step = np.zeros(theta.size)
        step[i] = h
        up, down = (
            criterion.gradient(evaluate(criterion.sums, criterion.factor(theta + d)), sigma2)
            for d in (step, -step)
        )
        return (up - down) / (2 * h)

    h = 1e-3 * max(abs(float(theta[i])), 0.1)
    return (4 * central(h / 2) - central(h)) / 3


def satterthwaite_df(
    contrast: Floats, plain: Floats, slopes: Floats, parameter_covariance: Floats
) -> float:
    """Two times the squared variance over the variance of the variance."""
    variance = float(contrast @ plain @ contrast)
    gradient = np.einsum("a,rab,b->r", contrast, slopes, contrast)
    return float(2 * variance**2 / (gradient @ parameter_covariance @ gradient))


def kenward_roger(criterion: Criterion, at: Evaluation) -> SmallSample:
    """Adjusted covariance of beta and the pieces of the degrees of freedom."""
    sums = criterion.sums
    sigma2 = at.residual_ss / criterion.df
    phi = sigma2 * at.inverse_information
    m, s, t = at.m, at.s, at.t
    turn = np.eye(criterion.q) - sums.zz @ m
    zh2z, zh2x = turn @ s, turn @ t
    xzx = np.swapaxes(sums.zx, 1, 2) @ m @ sums.zx
    xhx = sums.xx_each - xzx
    xh2x = xhx - np.swapaxes(t, 1, 2) @ m @ sums.zx
    xh3x = xh2x - np.swapaxes(t, 1, 2) @ m @ t
    zm = np.einsum("kqr,krq->k", sums.zz, m)
    zmzm = np.einsum("kqr,krs,kst,ktq->k", sums.zz, m, sums.zz, m, optimize=True)
    trace_h2 = float((sums.sizes - 2 * zm + zmzm).sum())

    basis = _directions(criterion)
    r = len(basis)
    p = phi.shape[0]
    slopes = np.empty((r + 1, p, p))
    double = np.empty((r + 1, r + 1, p, p))
    trace = np.empty((r + 1, r + 1))
    t_transposed = np.swapaxes(t, 1, 2)
    for i, e in enumerate(basis):
        slopes[i] = -(t_transposed @ e @ t).sum(axis=0) / sigma2**2
        for j, f in enumerate(basis):
            double[i, j] = (t_transposed @ e @ s @ f @ t).sum(axis=0) / sigma2**3
            trace[i, j] = np.einsum("qr,krs,st,ktq->", e, s, f, s, optimize=True) / sigma2**2
        mixed = (t_transposed @ e @ zh2x).sum(axis=0) / sigma2**3
        double[i, r], double[r, i] = mixed, mixed.T
        trace[i, r] = trace[r, i] = np.einsum("qr,krq->", e, zh2z) / sigma2**2
    slopes[r] = -xh2x.sum(axis=0) / sigma2**2
    double[r, r] = xh3x.sum(axis=0) / sigma2**3
    trace[r, r] = trace_h2 / sigma2**2

    phi_p = phi @ slopes
    information = (
        trace - 2 * np.einsum("ab,ijba->ij", phi, double) + np.einsum("iab,jba->ij", phi_p, phi_p)
    )
    information = (information + information.T) / 2
    # parameters of very different size: scale before inverting
    unit = 1 / np.sqrt(np.abs(np.diag(information)))
    w = 2 * np.linalg.pinv(information * np.outer(unit, unit), hermitian=True)
    w *= np.outer(unit, unit)
    correction = np.einsum("ij,ijab->ab", w, double) - np.einsum(
        "ij,iab,bc,jcd->ad", w, slopes, phi, slopes, optimize=True
    )
    adjusted = phi + 2 * phi @ correction @ phi
    return SmallSample("kenward_roger", (adjusted + adjusted.T) / 2, phi, slopes, w)


def _directions(criterion: Criterion) -> list[Floats]:
    """Symmetric basis of the free entries of the covariance of the random effects."""
    out = []
    for row, column in zip(criterion.rows, criterion.columns, strict=True):
        e = np.zeros((criterion.q, criterion.q))
        e[row, column] = e[column, row] = 1.0
        out.append(e)
    return out


def kenward_roger_df(
    contrast: Floats, plain: Floats, slopes: Floats, w: Floats
) -> tuple[float, float]:
    """Denominator degrees of freedom and F scaling of a contrast matrix (rows, p)."""
    q = contrast.shape[0]
    theta = contrast.T @ np.linalg.solve(contrast @ plain @ contrast.T, contrast)
    tp = theta @ plain @ slopes @ plain
    a = np.einsum("iaa->i", tp)
    a1 = float(a @ w @ a)
    a2 = float(np.einsum("ij,iab,jba->", w, tp, tp, optimize=True))
    if a2 <= 0:
        return float("inf"), 1.0
    b = (a1 + 6 * a2) / (2 * q)
    g = ((q + 1) * a1 - (q + 4) * a2) / ((q + 2) * a2)
    base = 3 * q + 2 * (1 - g)
    c1, c2, c3 = g / base, (q - g) / base, (q + 2 - g) / base
    top, left, right = 1 + c1 * b, 1 - c2 * b, 1 - c3 * b
    top = 0.0 if abs(top) < 1e-10 else top
    ratio = (1 - a2 / q) / left if abs(1 - a2 / q) >= 1e-14 or abs(left) >= 1e-14 else 1.0
    rho = ratio**2 * top / right / q
    df = 4 + (q + 2) / (q * rho - 1)
    scaling = 1.0 if abs(df - 2) < 1e-2 else df * (1 - a2 / q) / (df - 2)
    return float(df), float(scaling)
