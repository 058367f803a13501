"""Exact ties of the Cox model: the discrete conditional logistic likelihood.

A set of d events among those at risk has the probability prod(risk of the events) / e_d, with
e_d the elementary symmetric polynomial of degree d of the risks (Cox 1972). Over prefixes of the
rows, e_k(i) = e_k(i - 1) + risk_i e_{k-1}(i - 1) (Gail, Lubin & Rubinstein 1981): one cumulative
sum per degree, in which every term is positive. Its derivatives obey the same recursion.

Rows stand in segments, the latest first. Without delayed entry a segment is a stratum, and every
risk set of it is a prefix; with delayed entry every risk set is a segment of its own.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy import special

from .cox_risk_sets import RiskSets
from .results import Floats, Ints

SMALLEST, START, LARGEST = 1e-290, 1e-200, 1e300  # range of the recursion; e_0 is START
FEW = 64  # segments that are summed one by one
ROWS_AT_ONCE = 200_000  # of risk sets that are built one by one


@dataclass(frozen=True)
class _Segments:
    rows: Ints
    edges: Ints  # (segments + 1,) where they begin in `rows`
    segment: Ints  # (risk sets,) the segment of each
    size: Ints  # (risk sets,) its rows, the first ones of the segment
    degree: Ints  # (risk sets,) its tied events


def accumulate(values: Floats, edges: Ints) -> None:
    """Cumulative sums along the first axis within the segments that begin at `edges`, in place."""
    sizes = np.diff(edges)
    if sizes.size <= FEW:
        for a, b in zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True):
            if b - a > 1:
                np.cumsum(values[a:b], axis=0, out=values[a:b])
        return
    label = np.repeat(np.arange(sizes.size), sizes)
    step, largest = 1, int(sizes.max())
    while step < largest:  # each sum reaches twice as far back as before
        same = (label[step:] == label[:-step]).reshape((-1, *(1,) * (values.ndim - 1)))
        values[step:] += np.where(same, values[:-step], 0.0)
        step *= 2


def tied_moments(sets: RiskSets, risk: Floats) -> tuple[float, Floats, Floats]:
    """Minus log e_d of the tied cells, and what it adds to the score and the information.

    `risk` is relative to the largest of the stratum. NaN where double precision does not hold e_d
    (about 1000 tied events, fewer when the risks are very unequal).
    """
    p = sets.x.shape[1]
    value, score, second = 0.0, np.zeros(p), np.zeros(p * (p + 1) // 2)
    upper = np.triu_indices(p)
    for segments in _nested(sets) if not sets.late.size else _separate(sets):
        log_e, mean, products = _symmetric(segments, risk, sets.x)
        value -= float(log_e.sum())
        score -= mean.sum(axis=0)
        second += (products - mean[:, upper[0]] * mean[:, upper[1]]).sum(axis=0)
    information = np.zeros((p, p))
    information[upper] = second
    information.T[upper] = second
    return value, score, information


def _nested(sets: RiskSets) -> Iterator[_Segments]:
    """All strata with tied events at once."""
    if not sets.tied.size:
        return
    row = np.r_[sets.first, sets.weight.size]
    stratum, lowest, segment = np.unique(
        np.searchsorted(sets.stratum_first, sets.tied, side="right") - 1,
        return_index=True,
        return_inverse=True,
    )
    closing = row[sets.stratum_first[stratum + 1]]
    sizes = closing - row[sets.tied[lowest]]
    edges = np.r_[0, np.cumsum(sizes)]
    rows = np.repeat(closing - 1 + edges[:-1], sizes) - np.arange(edges[-1])
    size = closing[segment] - row[sets.tied]
    yield _Segments(rows, edges, segment, size, sets.n_died[sets.tied])


def _separate(sets: RiskSets) -> Iterator[_Segments]:
    """One segment per risk set."""
    row = np.r_[sets.first, sets.weight.size]
    last = np.searchsorted(sets.stratum_first, sets.tied, side="right")
    closing = row[sets.stratum_first[last]]
    waiting: list[Ints] = []
    for i, (cell, end) in enumerate(zip(sets.tied.tolist(), closing.tolist(), strict=True)):
        begin = int(row[cell])
        waiting.append(begin + np.flatnonzero(sets.enter[begin:end] <= cell))
        if sum(map(len, waiting)) >= ROWS_AT_ONCE or i == sets.tied.size - 1:
            degree = sets.n_died[sets.tied[i + 1 - len(waiting) : i + 1]]
            yield _one_each(waiting, degree)
            waiting = []


def _one_each(rows: list[Ints], degree: Ints) -> _Segments:
    size = np.array([len(r) for r in rows])
    edges = np.r_[0, np.cumsum(size)]
    return _Segments(np.concatenate(rows), edges, np.arange(len(rows)), size, degree)


def _symmetric(s: _Segments, risk: Floats, x: Floats) -> tuple[Floats, Floats, Floats]:
    """log e_d, mean of the sum of x over d rows, and mean of its products (upper triangle)."""
    # risks are scaled so that e_d neither overflows nor vanishes where d is largest
    position = s.edges[s.segment] + s.size - 1
    summed = risk[s.rows]
    accumulate(summed, s.edges)
    scale = np.empty(s.edges.size - 1)
    by_degree = np.argsort(s.degree, kind="stable")
    scale[s.segment[by_degree]] = (summed[position] / s.degree)[by_degree]
    if _too_many(s, risk):
        nothing = np.full((s.degree.size, x.shape[1] * (x.shape[1] + 1) // 2), np.nan)
        return nothing[:, 0], nothing[:, : x.shape[1]], nothing
    relative = risk[s.rows] / np.repeat(scale, np.diff(s.edges))
    e, mean, products = _recursion(s, relative, x[s.rows], position)
    log_e = np.log(np.where((e > SMALLEST) & (e < LARGEST), e, np.nan)) - np.log(START)
    log_e += s.degree * np.log(scale[s.segment])
    lost = np.flatnonzero(np.isnan(log_e))
    if s.segment.size > s.edges.size - 1:  # a scale of their own may save them
        for i in lost:
            begin = s.edges[s.segment[i]]
            alone = _one_each([s.rows[begin : begin + s.size[i]]], s.degree[[i]])
            (log_e[i],), (mean[i],), (products[i],) = _symmetric(alone, risk, x)
    return log_e, mean, products


def _too_many(s: _Segments, risk: Floats) -> bool:
    """Whether equal risks, as at the start of the search, already make an e_d that overflows."""
    if risk.min() < risk.max():
        return False
    n, d = s.size.astype(float), s.degree.astype(float)
    log_e = special.gammaln(n + 1) - special.gammaln(d + 1) - special.gammaln(n - d + 1)
    return bool((log_e + d * np.log(d / n) > np.log(LARGEST) - np.log(START)).any())


def _recursion(
    s: _Segments, risk: Floats, x: Floats, position: Ints
) -> tuple[Floats, Floats, Floats]:
    a, b = np.triu_indices(x.shape[1])
    n = s.degree.size
    e_d, m_d, q_d = np.empty(n), np.empty((n, x.shape[1])), np.empty((n, a.size))
    edges, segment = s.edges, s.segment
    needed = np.zeros(edges.size - 1, np.int64)
    np.maximum.at(needed, segment, s.degree)
    e, m, q = np.full(risk.size, START), np.zeros(x.shape), np.zeros((risk.size, a.size))
    for k in range(1, int(s.degree.max()) + 1):
        if k > 1:
            e, m, q = (_before(z, edges) for z in (e, m, q))
        z, r = x, risk[:, None]
        q = r * (q + z[:, a] * m[:, b] + z[:, b] * m[:, a] + z[:, a] * z[:, b] * e[:, None])
        m = r * (m + z * e[:, None])
        e = risk * e
        for sums in (e, m, q):
            accumulate(sums, edges)
        ready = np.flatnonzero(s.degree == k)
        at = position[ready]
        e_d[ready] = e[at]
        m_d[ready] = m[at] / e[at, None]
        q_d[ready] = q[at] / e[at, None]
        going_on = needed > k
        if not going_on.all():  # drop the segments that are done
            sizes = np.diff(edges)
            keep = np.repeat(going_on, sizes)
            e, m, q, x, risk = e[keep], m[keep], q[keep], x[keep], risk[keep]
            position = np.cumsum(keep)[position] - 1
            edges, needed = np.r_[0, np.cumsum(sizes[going_on])], needed[going_on]
    return e_d, m_d, q_d


def _before(values: Floats, edges: Ints) -> Floats:
    """The value of the row before in the same segment, else 0."""
    out = np.zeros_like(values)
    out[1:] = values[:-1]
    out[edges[:-1]] = 0.0
    return out
