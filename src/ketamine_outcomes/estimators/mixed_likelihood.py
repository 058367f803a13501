"""Profiled likelihood of a linear mixed model, from sums per cluster.

The model is y = X beta + Z b + o a + e: random effects b per cluster, and with `outer` a random
intercept a per group of clusters. The data enter only through cross-products per cluster,
summed once; an evaluation costs one small factorisation per cluster, whatever the number of
rows. With G = L L' and tau the covariances of b and a relative to the residual variance, A = Z'Z
and W = [X, y, o],

    H1 = (I + Z G Z')^-1,  W'H1W = W'W - sum over clusters of (C^-1 L'Z'W)'(C^-1 L'Z'W),
    C C' = I + L'A L,      Z'H1W = E Z'W,  E = I - A L C^-T C^-1 L',

and the outer effect takes a term of rank one off per group: with v = Z'H1 o, a = o'H1 o and
b = W'H1 o, H = (H1^-1 + tau o o')^-1 gives W'HW = W'H1W - tau/(1 + tau a) b b'. (Henderson
1953; Bates et al. 2015, J Stat Softw 67(1), section 3, written per cluster.)
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .mixed_factor import RelativeFactor
from .mixed_sums import CrossProducts
from .results import Bools, Floats


@dataclass(frozen=True)
class Evaluation:
    """Everything at one relative factor L (q, q) and relative outer variance tau.

    `beta` and `inverse_information` belong to the working x; the covariance of beta is sigma2
    times `inverse_information`. `e`, `s` (q, q, K) are E and Z'H1Z; `v` (q, K), `a` (J,),
    `b` (P, J) belong to the outer effect and are empty without one.
    """

    factor: Floats
    tau: float
    e: Floats
    s: Floats
    v: Floats
    a: Floats
    b: Floats
    beta: Floats
    inverse_information: Floats
    log_det: float
    log_det_information: float
    residual_ss: float

    @property
    def shrink(self) -> Floats:
        """(J,) tau/(1 + tau a): what the outer effect takes off."""
        return np.asarray(self.tau / (1 + self.tau * self.a), float)

    @property
    def contrast(self) -> Floats:
        """(p + 1,) weights that turn [X, y] into the residual."""
        return np.append(-self.beta, 1.0)


def evaluate(sums: CrossProducts, factor: Floats, tau: float = 0.0) -> Evaluation:
    """Solve for beta and the weighted residual sum of squares at L and tau."""
    q, p, k = sums.q, sums.p, sums.zz.shape[2]
    outer = sums.outer_start is not None
    e, s = np.empty((q, q, k)), np.empty((q, q, k))
    taken = np.zeros_like(sums.ww)
    o_taken = np.empty((sums.ww.shape[0], k if outer else 0))
    log_det = 0.0
    g = factor @ factor.T
    for block in sums.blocks():
        a, w = sums.zz[:, :, block], sums.zw[:, :, block]
        c = _cholesky(np.einsum("ai,ajk->ijk", factor, np.einsum("abk,bj->ajk", a, factor)))
        for i in range(q):
            log_det += 2 * float(np.log(c[i, i]) @ sums.counts[block])
        half = _forward(c, factor.T)  # C^-1 L'
        h = np.einsum("abk,bpk->apk", half, w)
        for i in range(q):
            taken += h[i] @ h[i].T
        if outer:
            o_taken[:, block] = np.einsum("ak,apk->pk", h[:, -1], h)
        start = -np.einsum("abk,bck->ack", np.einsum("abk,cbk->ack", a, half), half)
        off = np.einsum("abk,bc->ack", a, g)  # I + A G, whose inverse E is
        for i in range(q):
            start[i, i] += 1.0
            off[i, i] += 1.0
        # one Newton step: a difference alone has no digits where G is large
        off = -np.einsum("abk,bck->ack", off, start)
        for i in range(q):
            off[i, i] += 2.0
        e[:, :, block] = np.einsum("abk,bck->ack", start, off)
        s[:, :, block] = np.einsum("abk,bck->ack", e[:, :, block], a)
    s += s.swapaxes(0, 1).copy()
    s /= 2
    ww = sums.ww - taken
    v, a_outer, b = np.empty((q, 0)), np.empty(0), np.empty((p + 1, 0))
    if sums.outer_start is not None and sums.ow is not None:
        at_outer = sums.ow - np.add.reduceat(o_taken, sums.outer_start, axis=1)
        a_outer, b = at_outer[-1], at_outer[:-1]
        v = np.einsum("abk,bk->ak", e, sums.zw[:, -1])
        log_det += float(np.log1p(tau * a_outer).sum())
        ww = ww[:-1, :-1] - (b * (tau / (1 + tau * a_outer))) @ b.T
    information, right = (ww[:p, :p] + ww[:p, :p].T) / 2, ww[:p, p]
    inverse = np.linalg.inv(information)
    inverse = (inverse + inverse.T) / 2
    beta = np.asarray(np.linalg.solve(information, right), float)
    return Evaluation(
        factor=factor,
        tau=tau,
        e=e,
        s=s,
        v=v,
        a=a_outer,
        b=b,
        beta=beta,
        inverse_information=inverse,
        log_det=log_det,
        log_det_information=float(np.linalg.slogdet(information)[1]),
        residual_ss=float(ww[p, p] - right @ beta),
    )


def _cholesky(inner: Floats) -> Floats:
    """Lower factor of I + inner (q, q, K), in place."""
    q = inner.shape[0]
    for j in range(q):
        inner[j, j] += 1.0
        for m in range(j):
            inner[j:, j] -= inner[j:, m] * inner[j, m]
        np.sqrt(inner[j, j], out=inner[j, j])
        inner[j + 1 :, j] /= inner[j, j]
    return inner


def _forward(c: Floats, right: Floats) -> Floats:
    """C^-1 right for lower factors c (q, q, K) and one matrix (q, r)."""
    out = np.empty((c.shape[0], right.shape[1], c.shape[2]))
    for i in range(c.shape[0]):
        out[i] = right[i][:, None]
        for j in range(i):
            out[i] -= c[i, j] * out[j]
        out[i] /= c[i, i]
    return out


def weighted_columns(sums: CrossProducts, at: Evaluation, block: slice, mix: Floats) -> Floats:
    """Z'H[X, y] mix (q, m, clusters of the block); `mix` (p + 1, m)."""
    e, w = at.e[:, :, block], sums.zw[:, : sums.p + 1, block]
    out = mix.T @ np.einsum("abk,bpk->apk", e, w)
    if sums.outer_start is not None:
        pull = (mix.T @ (at.b * at.shrink))[:, sums.outer_of[block]]
        out -= at.v[:, None, block] * pull
    return np.asarray(out, float)


class Criterion(RelativeFactor):
    """-2 log likelihood, residual variance profiled out, over theta.

    theta holds the free entries of L and, with an outer effect, the root of tau.

    Parameters
    ----------
    sums
        Cross-products.
    template
        Where L is free.
    reml
        Restricted likelihood.
    """

    def __init__(self, sums: CrossProducts, template: Bools, reml: bool) -> None:
        super().__init__(template)
        self.sums, self.reml = sums, reml
        self.outer = sums.outer_start is not None
        self.df = sums.n - sums.p if reml else sums.n
        # theta that are standard deviations: at least 0
        self.diagonal = np.r_[self.rows == self.columns, np.ones(int(self.outer), bool)]

    def tau(self, theta: Floats) -> float:
        """Relative outer variance."""
        return float(theta[-1] ** 2) if self.outer else 0.0

    def at(self, theta: Floats) -> Evaluation:
        """Evaluate there."""
        return evaluate(self.sums, self.factor(theta), self.tau(theta))

    def deviance(self, at: Evaluation, sigma2: float | None = None) -> float:
        """-2 log likelihood as lme4 gives it (x of unit determinant scale).

        With `sigma2` the residual variance is held there, else it is profiled out.
        """
        value = at.log_det - self.sums.log_weights
        if self.reml:
            value += at.log_det_information
        if sigma2 is None:
            return float(value + self.df * (1 + np.log(2 * np.pi * at.residual_ss / self.df)))
        return float(value + self.df * np.log(2 * np.pi * sigma2) + at.residual_ss / sigma2)

    def slope(
        self, at: Evaluation, sigma2: float | None = None, contrast: Floats | None = None
    ) -> tuple[Floats, float]:
        """Derivative of the criterion in G (q, q), symmetric, and in tau.

        `contrast` replaces the weights that turn [X, y] into the residual.
        """
        scale = at.residual_ss / self.df if sigma2 is None else sigma2
        weights = at.contrast if contrast is None else contrast
        mix = weights[:, None] / np.sqrt(scale)
        if self.reml:
            root = np.linalg.cholesky(at.inverse_information)
            mix = np.hstack([mix, np.vstack([root, np.zeros(len(root))])])
        slope = at.s @ self.sums.counts
        for block in self.sums.blocks():
            t = weighted_columns(self.sums, at, block, mix)
            t = t.reshape(self.q, t.shape[1] * t.shape[2])
            slope -= t @ t.T
        in_tau = 0.0
        if self.outer:
            shrunk = 1 / (1 + at.tau * at.a)
            slope -= (at.v * at.shrink[self.sums.outer_of]) @ at.v.T
            pull = (mix.T @ at.b) * shrunk
            in_tau = float((at.a * shrunk).sum() - (pull**2).sum())
        return (slope + slope.T) / 2, in_tau

    def to_theta(self, at: Evaluation, slope: Floats, in_tau: float) -> Floats:
        """Derivative in theta from that in G and tau."""
        full = 2 * slope @ at.factor
        inner = full[self.rows, self.columns]
        return np.r_[inner, 2 * np.sqrt(at.tau) * in_tau] if self.outer else np.asarray(inner)

    def gradient(self, at: Evaluation, sigma2: float | None = None) -> Floats:
        """Derivative in theta."""
        return self.to_theta(at, *self.slope(at, sigma2))
