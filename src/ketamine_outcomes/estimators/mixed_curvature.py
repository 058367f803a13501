"""Second-order quantities of the mixed-model likelihood.

V/sigma2 = I + sum of g_i D_i is linear in the entries g of G and in tau. With H its inverse and
W = [X, residual], everything second-order is made of

    tr_i = tr(H D_i),  T_ij = tr(H D_i H D_j),  P_i = W'H D_i H W,  Q_ij = W'H D_i H D_j H W.

They give the Hessian of the criterion and the Kenward-Roger correction. For clusters k, l of one
outer group Z_k'H Z_l = (k = l) S_k - c v_k v_l', so that the sums over pairs of clusters fall
apart into sums over clusters. Terms of the residual (D = I) follow from H^-1 = I + sum g_i D_i.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .mixed_likelihood import Criterion, Evaluation, weighted_columns
from .mixed_sums import CrossProducts
from .results import Floats


@dataclass(frozen=True)
class Curvature:
    """tr (r,), t (r, r), p (r, P, P), q (r, r, P, P) along r directions; W = [X, residual]."""

    trace: Floats
    t: Floats
    p: Floats
    q: Floats


class Moments:
    """The four quantities for the elementary directions of G, and for tau.

    D_ab stands for the sum over clusters of Z e_a e_b' Z'.
    """

    def __init__(self, sums: CrossProducts, at: Evaluation) -> None:
        q, p1 = sums.q, sums.p + 1
        mix = np.eye(p1)
        mix[:, -1] = at.contrast
        self.trace = at.s @ sums.counts
        self.t = np.zeros((q, q, q, q))
        self.p = np.zeros((q, q, p1, p1))
        self.q = np.zeros((q, q, q, q, p1, p1))
        groups = at.a.size
        yv = np.zeros((q, q, p1, groups))  # sum over clusters of Y_a v_b
        for block in sums.blocks():
            y = weighted_columns(sums, at, block, mix)
            flat, s = y.reshape(q * p1, y.shape[2]), at.s[:, :, block]
            flat_s = s.reshape(q * q, y.shape[2])
            self.t += ((flat_s * sums.counts[block]) @ flat_s.T).reshape(q, q, q, q)  # s_ab s_cd
            self.p += (flat @ flat.T).reshape(q, p1, q, p1).swapaxes(1, 2)
            for b in range(q):
                for c in range(b + 1):
                    # Y_a s_bc Y_d'
                    gram = ((flat * s[b, c]) @ flat.T).reshape(q, p1, q, p1).swapaxes(1, 2)
                    self.q[:, b, c] += gram
                    if b != c:
                        self.q[:, c, b] += gram
        # T_ab,cd = sum of s_bc s_da
        self.t = np.einsum("bcda->abcd", self.t)
        if groups:
            self._outer(sums, at, mix, yv)

    def _outer(self, sums: CrossProducts, at: Evaluation, mix: Floats, yv: Floats) -> None:
        q, starts = sums.q, sums.outer_start
        if starts is None:
            return
        of, v, c = sums.outer_of, at.v, at.shrink
        shrunk = 1 / (1 + at.tau * at.a)
        kappa = np.empty((q, q, at.a.size))
        for a in range(q):
            y = np.concatenate(
                [weighted_columns(sums, at, block, mix)[a] for block in sums.blocks()], axis=1
            )
            for b in range(q):
                yv[a, b] = np.add.reduceat(y * v[b], starts, axis=1)
                kappa[a, b] = np.add.reduceat(v[a] * v[b], starts)
        vv = v[:, None] * v[None, :] * c[of]
        svv = np.einsum("abk,cdk->abcd", at.s, vv, optimize=True)
        self.trace = self.trace - vv.sum(axis=2)
        self.t = (
            self.t
            - np.einsum("bcda->abcd", svv)
            - np.einsum("dabc->abcd", svv)
            + np.einsum("abg,cdg->abcd", kappa * c**2, kappa, optimize=True)
        )
        self.q = self.q - np.einsum("abpg,dcrg->abcdpr", yv * c, yv, optimize=True)
        pull = (mix.T @ at.b) * shrunk  # W'H o
        self.trace_o = float((at.a * shrunk).sum())
        self.t_o = np.einsum("abg,g->ab", kappa, shrunk**2)
        self.t_oo = float(((at.a * shrunk) ** 2).sum())
        self.p_o = pull @ pull.T
        self.q_o = np.einsum("abpg,rg->abpr", yv * shrunk, pull, optimize=True)
        self.q_oo = (pull * (at.a * shrunk)) @ pull.T

    def along(self, directions: Floats, in_tau: Floats) -> Curvature:
        """For directions (r, q, q) in G and (r,) in tau."""
        d = directions
        t = np.einsum("iab,abcd,jcd->ij", d, self.t, d, optimize=True)
        q = np.einsum("iab,abcdpr,jcd->ijpr", d, self.q, d, optimize=True)
        p = np.einsum("iab,abpr->ipr", d, self.p)
        trace = np.einsum("iab,ab->i", d, self.trace)
        if in_tau.any():
            o = in_tau
            cross = np.einsum("iab,ab->i", d, self.t_o)
            t = t + np.outer(cross, o) + np.outer(o, cross) + np.outer(o, o) * self.t_oo
            mixed = np.einsum("iab,abpr->ipr", d, self.q_o)
            q = (
                q
                + mixed[:, None] * o[None, :, None, None]
                + mixed.swapaxes(1, 2)[None] * o[:, None, None, None]
                + np.outer(o, o)[:, :, None, None] * self.q_oo
            )
            p = p + o[:, None, None] * self.p_o
            trace = trace + o * self.trace_o
        return Curvature(trace, t, p, q)


def theta_directions(criterion: Criterion, at: Evaluation) -> tuple[Floats, Floats]:
    """Derivatives of G (r, q, q) and tau (r,) in theta."""
    r = criterion.diagonal.size
    directions, in_tau = np.zeros((r, criterion.q, criterion.q)), np.zeros(r)
    for i, (row, column) in enumerate(zip(criterion.rows, criterion.columns, strict=True)):
        directions[i, row] += at.factor[:, column]
        directions[i, :, row] += at.factor[:, column]
    if criterion.outer:
        in_tau[-1] = 2 * np.sqrt(at.tau)
    return directions, in_tau


def hessian(
    criterion: Criterion, at: Evaluation, moments: Moments
) -> tuple[Floats, Floats, Curvature]:
    """Hessian of the criterion in theta with the residual variance held, and profiled out.

    Also the curvature along theta that it is made of.
    """
    sigma2 = at.residual_ss / criterion.df
    c = at.inverse_information
    d = moments.along(*theta_directions(criterion, at))
    x = d.p[:, :-1, -1]
    held = -d.t + (2 / sigma2) * (d.q[:, :, -1, -1] - x @ c @ x.T)
    slope = moments.trace - moments.p[:, :, -1, -1] / sigma2
    if criterion.reml:
        cp = c @ d.p[:, :-1, :-1]
        held += 2 * np.einsum("ab,ijba->ij", c, d.q[:, :, :-1, :-1])
        held -= np.einsum("iab,jba->ij", cp, cp)
        slope = slope - np.einsum("pr,abpr->ab", c, moments.p[:, :, :-1, :-1])
    held = (held + held.T) / 2
    # G is quadratic in L, tau in its root
    same = criterion.columns[:, None] == criterion.columns[None, :]
    size = criterion.rows.size
    second = 2 * ((slope + slope.T) / 2)[np.ix_(criterion.rows, criterion.rows)]
    held[:size, :size] += np.where(same, second, 0.0)
    if criterion.outer:
        in_tau = moments.trace_o - moments.p_o[-1, -1] / sigma2
        if criterion.reml:
            in_tau -= float(np.sum(c * moments.p_o[:-1, :-1]))
        held[-1, -1] += 2 * in_tau
    rho = d.p[:, -1, -1]
    return held, held - np.outer(rho, rho) / (criterion.df * sigma2**2), d
