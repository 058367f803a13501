"""Profiled likelihood of a linear mixed model with one grouping factor.

The criterion depends on the data only through per-cluster cross-products, computed once; an
evaluation costs one small factorisation per cluster, whatever the number of rows. With
H = (I + Z G Z')^-1, G = L L' the covariance of the random effects relative to the residual
variance, and M = L (I + L' Z'Z L)^-1 L', everything follows from Z'HZ = A - A M A and its kin
(Bates et al. 2015, J Stat Softw 67(1), section 3, written per cluster).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .results import Floats, Ints


@dataclass(frozen=True)
class CrossProducts:
    """Sums per cluster: zz (K, q, q), zx (K, q, p), zy (K, q); totals xx, xy, yy; sizes (K,).

    `xx_each` (K, p, p) serves the small-sample corrections.
    """

    zz: Floats
    zx: Floats
    zy: Floats
    xx: Floats
    xy: Floats
    yy: float
    xx_each: Floats
    sizes: Floats

    @property
    def n(self) -> int:
        """Number of rows."""
        return int(self.sizes.sum())


def cross_products(x: Floats, z: Floats, y: Floats, cluster: Ints) -> CrossProducts:
    """One pass over the rows; `cluster` is 0, 1, 2 ..."""
    order = np.argsort(cluster, kind="stable")
    sizes = np.bincount(cluster)
    edges = np.r_[0, np.cumsum(sizes)[:-1]]
    x, z, y = x[order], z[order], y[order]

    def summed(left: Floats, right: Floats) -> Floats:
        out = np.empty((sizes.size, left.shape[1], right.shape[1]))
        for a in range(left.shape[1]):
            out[:, a, :] = np.add.reduceat(left[:, [a]] * right, edges, axis=0)
        return out

    xx = summed(x, x)
    return CrossProducts(
        zz=summed(z, z),
        zx=summed(z, x),
        zy=summed(z, y[:, None])[:, :, 0],
        xx=x.T @ x,
        xy=x.T @ y,
        yy=float(y @ y),
        xx_each=xx,
        sizes=sizes.astype(float),
    )


@dataclass(frozen=True)
class Evaluation:
    """Everything at one relative factor L (q, q).

    `beta` and `inverse_information` are on the scale of the given x; the covariance of beta is
    sigma2 times `inverse_information`. `s` = Z'HZ, `t` = Z'HX, `u` = Z'H(y - X beta) per
    cluster.
    """

    factor: Floats
    m: Floats
    s: Floats
    t: Floats
    u: Floats
    beta: Floats
    inverse_information: Floats
    log_det: float
    log_det_information: float
    residual_ss: float


def evaluate(sums: CrossProducts, factor: Floats) -> Evaluation:
    """Solve for beta and the weighted residual sum of squares at L."""
    q = factor.shape[0]
    inner = np.eye(q) + factor.T @ sums.zz @ factor
    chol = np.linalg.cholesky(inner)
    log_det = 2 * float(np.log(np.diagonal(chol, axis1=1, axis2=2)).sum())
    m = factor @ np.linalg.solve(inner, np.broadcast_to(factor.T, inner.shape))
    am = sums.zz @ m
    s = sums.zz - am @ sums.zz
    t = sums.zx - am @ sums.zx
    zy = sums.zy[:, :, None]
    hy = (zy - am @ zy)[:, :, 0]
    mzx = m @ sums.zx
    information = sums.xx - np.einsum("kqa,kqb->ab", sums.zx, mzx, optimize=True)
    right = sums.xy - np.einsum("kqa,kq->a", mzx, sums.zy, optimize=True)
    inverse = np.linalg.inv((information + information.T) / 2)
    beta = np.linalg.solve(information, right)
    yhy = sums.yy - float(np.einsum("kq,kqr,kr->", sums.zy, m, sums.zy, optimize=True))
    return Evaluation(
        factor=factor,
        m=m,
        s=(s + np.swapaxes(s, 1, 2)) / 2,
        t=t,
        u=hy - t @ beta,
        beta=beta,
        inverse_information=(inverse + inverse.T) / 2,
        log_det=log_det,
        log_det_information=float(np.linalg.slogdet(information)[1]),
        residual_ss=yhy - float(right @ beta),
    )


class Criterion:
    """-2 log likelihood, residual variance profiled out, over the free entries of L.

    Parameters
    ----------
    sums
        Cross-products.
    template
        (q, q) True where L is free: the lower triangle, or its diagonal for uncorrelated
        effects.
    reml
        Restricted likelihood.
    """

    def __init__(self, sums: CrossProducts, template: np.ndarray, reml: bool) -> None:
        self.sums, self.reml = sums, reml
        self.rows, self.columns = np.nonzero(template)
        self.q = int(template.shape[0])
        p = sums.xx.shape[0]
        self.df = sums.n - p if reml else sums.n

    def factor(self, theta: Floats) -> Floats:
        """L from its free entries."""
        out = np.zeros((self.q, self.q))
        out[self.rows, self.columns] = theta
        return out

    def deviance(self, at: Evaluation) -> float:
        """-2 log likelihood as lme4 gives it (x of unit determinant scale)."""
        value = at.log_det + self.df * (1 + np.log(2 * np.pi * at.residual_ss / self.df))
        return float(value + at.log_det_information) if self.reml else float(value)

    def slope_in_g(self, at: Evaluation, sigma2: float | None = None) -> Floats:
        """Derivative of the criterion in G (q, q), symmetric.

        With `sigma2` the residual variance is held there, else it is profiled out.
        """
        scale = at.residual_ss / self.df if sigma2 is None else sigma2
        slope = at.s.sum(axis=0) - np.einsum("kq,kr->qr", at.u, at.u) / scale
        if self.reml:
            slope = slope - np.einsum(
                "kqa,ab,krb->qr", at.t, at.inverse_information, at.t, optimize=True
            )
        return np.asarray((slope + slope.T) / 2, float)

    def gradient(self, at: Evaluation, sigma2: float | None = None) -> Floats:
        """Derivative in the free entries of L."""
        full = 2 * self.slope_in_g(at, sigma2) @ at.factor
        return np.asarray(full[self.rows, self.columns], float)

    def value_and_gradient(self, theta: Floats) -> tuple[float, Floats]:
        """For the optimiser."""
        at = evaluate(self.sums, self.factor(theta))
        return self.deviance(at), self.gradient(at)
