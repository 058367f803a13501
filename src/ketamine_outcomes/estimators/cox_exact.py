"""Exact ties of the Cox model: the discrete conditional logistic likelihood.

A set of d events among those at risk has the probability prod(risk of the events) / e_d, with
e_d the elementary symmetric polynomial of degree d of the risks (Cox 1972). Over prefixes of the
rows, e_k(i) = e_k(i - 1) + risk_i e_{k-1}(i - 1) (Gail, Lubin & Rubinstein 1981): one cumulative
sum per degree, in which every term is positive. Its derivatives obey the same recursion.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .results import Floats, Ints

if TYPE_CHECKING:
    from .cox_likelihood import RiskSets

SMALLEST, START, LARGEST = 1e-290, 1e-200, 1e300  # range of the recursion; e_0 is START


def tied_moments(sets: RiskSets, risk: Floats) -> tuple[float, Floats, Floats]:
    """Minus log e_d of the tied cells, and what it adds to the score and the information.

    `risk` is relative to the largest of the stratum. NaN where double precision does not hold e_d
    (about 1000 tied events, fewer when the risks are very unequal).
    """
    p = sets.x.shape[1]
    value, score, information = 0.0, np.zeros(p), np.zeros((p, p))
    ends = np.r_[sets.first, risk.size]
    of_stratum = np.searchsorted(sets.stratum_first, sets.tied, side="right") - 1
    for stratum in np.unique(of_stratum):
        cells = sets.tied[of_stratum == stratum]
        closing = int(ends[sets.stratum_first[stratum + 1]])
        for group in [cells] if not sets.late.size else [cells[[i]] for i in range(cells.size)]:
            # the latest rows first: without delayed entry every risk set is a prefix
            rows = np.arange(closing - 1, int(sets.first[group].min()) - 1, -1)
            rows = rows[sets.enter[rows] <= group.max()]
            sizes = closing - sets.first[group] if not sets.late.size else np.array([rows.size])
            log_e, mean, variance = _symmetric(risk[rows], sets.x[rows], sizes, sets.n_died[group])
            value -= float(log_e.sum())
            score -= mean.sum(axis=0)
            information += variance
    return value, score, information


def _symmetric(risk: Floats, x: Floats, sizes: Ints, degree: Ints) -> tuple[Floats, Floats, Floats]:
    """log e_d, mean and summed variance of the sum of x over d rows, for prefixes of the rows."""
    # risks are scaled so that e_d neither overflows nor vanishes where d is largest
    largest = int(np.argmax(degree))
    scale = risk[: sizes[largest]].sum() / degree[largest]
    e, mean, second = _recursion(risk / scale, x, sizes, degree)
    if sizes.size > 1 and not ((e > SMALLEST) & (e < LARGEST)).all():
        parts = [_symmetric(risk, x, sizes[[i]], degree[[i]]) for i in range(sizes.size)]
        return (
            np.concatenate([a for a, _, _ in parts]),
            np.concatenate([b for _, b, _ in parts]),
            np.sum([c for _, _, c in parts], axis=0),
        )
    upper = np.triu_indices(x.shape[1])
    half = (second - mean[:, upper[0]] * mean[:, upper[1]]).sum(axis=0)
    variance = np.zeros((x.shape[1], x.shape[1]))
    variance[upper] = half
    variance.T[upper] = half
    e = np.where((e > SMALLEST) & (e < LARGEST), e, np.nan)
    return np.log(e / START) + degree * np.log(scale), mean, variance


def _recursion(risk: Floats, x: Floats, sizes: Ints, degree: Ints) -> tuple[Floats, Floats, Floats]:
    """e_d of each prefix, and the means of sum(x) and of its products (upper triangle)."""
    a, b = np.triu_indices(x.shape[1])
    e_d = np.empty(sizes.size)
    m_d, q_d = np.empty((sizes.size, x.shape[1])), np.empty((sizes.size, a.size))
    n = int(sizes.max())
    e = np.full(n + 1, START)
    m = np.zeros((n + 1, x.shape[1]))
    q = np.zeros((n + 1, a.size))
    for k in range(1, int(degree.max()) + 1):
        n = int(sizes[degree >= k].max())
        r, z = risk[:n, None], x[:n]
        e0, m0, q0 = e[:n, None], m[:n], q[:n]
        e, m, q = np.zeros(n + 1), np.zeros((n + 1, z.shape[1])), np.zeros((n + 1, a.size))
        with np.errstate(over="ignore", invalid="ignore"):
            products = q0 + z[:, a] * m0[:, b] + z[:, b] * m0[:, a] + z[:, a] * z[:, b] * e0
            np.cumsum(r[:, 0] * e0[:, 0], out=e[1:])
            np.cumsum(r * (m0 + z * e0), axis=0, out=m[1:])
            np.cumsum(r * products, axis=0, out=q[1:])
            ready = np.flatnonzero(degree == k)
            at = sizes[ready]
            e_d[ready] = e[at]
            m_d[ready] = m[at] / e[at, None]
            q_d[ready] = q[at] / e[at, None]
    return e_d, m_d, q_d
