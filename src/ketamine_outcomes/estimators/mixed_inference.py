"""Small-sample degrees of freedom of a linear mixed model.

Satterthwaite as lmerTest: the covariance of (theta, sigma) is twice the inverse Hessian of the
criterion, theta the free entries of the relative factor. Kenward-Roger (1997) as pbkrtest:
the variance is linear in the entries of the covariance of the random effects and the residual
variance, so that no second-derivative term is left; expected information.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .mixed_curvature import hessian
from .mixed_likelihood import Criterion
from .mixed_optimise import Optimum
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


def uncorrected(plain: Floats) -> SmallSample:
    """The GLS covariance and the normal distribution."""
    return SmallSample("normal", plain, plain, np.empty((0, *plain.shape)), np.empty((0, 0)))


def satterthwaite(criterion: Criterion, best: Optimum) -> SmallSample:
    """Exact Hessian in (theta, sigma)."""
    at = best.at
    sigma2 = at.residual_ss / criterion.df
    sigma = float(np.sqrt(sigma2))
    k = best.theta.size
    full = np.empty((k + 1, k + 1))
    full[:k, :k], _, along = hessian(criterion, at, best.moments)
    full[:k, k] = full[k, :k] = -2 / sigma**3 * -along.p[:, -1, -1]
    full[k, k] = 4 * criterion.df / sigma2
    values, vectors = np.linalg.eigh(full)
    keep = values > EIGENVALUE_TOLERANCE
    parameter_covariance = 2 * (vectors[:, keep] / values[keep]) @ vectors[:, keep].T
    c = at.inverse_information
    slopes = np.concatenate([sigma2 * c @ along.p[:, :-1, :-1] @ c, 2 * sigma * c[None]])
    plain = sigma2 * c
    return SmallSample("satterthwaite", plain, plain, slopes, parameter_covariance)


def satterthwaite_df(
    contrast: Floats, plain: Floats, slopes: Floats, parameter_covariance: Floats
) -> float:
    """Two over the variance of the variance relative to its square, in any unit."""
    variance = float(contrast @ plain @ contrast)
    gradient = np.einsum("a,rab,b->r", contrast, slopes, contrast) / variance
    return float(2 / (gradient @ parameter_covariance @ gradient))


def kenward_roger(criterion: Criterion, best: Optimum) -> SmallSample:
    """Adjusted covariance of beta and the pieces of the degrees of freedom."""
    at, sums = best.at, criterion.sums
    sigma2 = at.residual_ss / criterion.df
    phi = sigma2 * at.inverse_information
    basis, in_tau = _directions(criterion)
    along = best.moments.along(basis, in_tau)
    # size of every component, to take the residual direction I = H^-1 - sum of g_i D_i
    g = np.r_[(at.factor @ at.factor.T)[criterion.rows, criterion.columns], at.tau]
    g = g[: len(basis)]
    r, p = len(basis), len(phi)
    pull, q = along.p[:, :-1, :-1], along.q[:, :, :-1, :-1]
    slopes = np.empty((r + 1, p, p))
    double = np.empty((r + 1, r + 1, p, p))
    trace = np.empty((r + 1, r + 1))
    slopes[:r], double[:r, :r], trace[:r, :r] = pull, q, along.t
    trace[:r, r] = trace[r, :r] = along.trace - along.t @ g
    trace[r, r] = sums.n - along.trace @ g - trace[r, :r] @ g
    slopes[r] = np.linalg.inv(at.inverse_information) - np.einsum("i,iab->ab", g, pull)
    double[:r, r] = pull - np.einsum("ijab,j->iab", q, g)
    double[r, :r] = double[:r, r].swapaxes(1, 2)
    double[r, r] = slopes[r] - np.einsum("iab,i->ab", double[:r, r], g)
    slopes, double, trace = -slopes / sigma2**2, double / sigma2**3, trace / sigma2**2

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


def _directions(criterion: Criterion) -> tuple[Floats, Floats]:
    """Symmetric basis of the free entries of G (r, q, q), and of tau (r,)."""
    r = criterion.diagonal.size
    out, in_tau = np.zeros((r, criterion.q, criterion.q)), np.zeros(r)
    for i, (row, column) in enumerate(zip(criterion.rows, criterion.columns, strict=True)):
        out[i, row, column] = out[i, column, row] = 1.0
    if criterion.outer:
        in_tau[-1] = 1.0
    return out, in_tau


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
    rho = ratio**2 * top / right / q if right else float("inf")  # df 4 exactly
    df = 4 + (q + 2) / (q * rho - 1)
    scaling = 1.0 if abs(df - 2) < 1e-2 else df * (1 - a2 / q) / (df - 2)
    return float(df), float(scaling)
