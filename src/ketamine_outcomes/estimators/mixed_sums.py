"""Sums per cluster that are all a linear mixed model needs of its rows.

Arrays have the clusters on their last axis, and are worked through in blocks that stay in the
processor's cache.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import pandas as pd

from .results import Floats, Ints

ROWS_AT_A_TIME = 1 << 15
NUMBERS_AT_A_TIME = 1 << 15


@dataclass(frozen=True)
class CrossProducts:
    """Sums of a working design: zz (q, q, K), zw (q, P, K), ww (P, P), with W = [X, y(, o)].

    `counts` (K,) is how many clusters an entry stands for.
    `outer_start` (J,) is the first cluster of every outer group and `ow` (P, J) their o'W;
    `log_weights` the sum of the logarithms of the weights; `head` the sums of the first
    clusters alone, where there are many.
    """

    zz: Floats
    zw: Floats
    ww: Floats
    counts: Floats
    n: int
    log_weights: float = 0.0
    outer_start: Ints | None = None
    ow: Floats | None = None
    head: CrossProducts | None = None

    @property
    def q(self) -> int:
        """Number of random effects per cluster."""
        return int(self.zz.shape[0])

    @property
    def p(self) -> int:
        """Number of fixed effects."""
        return int(self.ww.shape[0]) - (1 if self.outer_start is None else 2)

    @cached_property
    def outer_of(self) -> Ints:
        """Outer group of every cluster."""
        if self.outer_start is None:
            return np.zeros(0, np.int64)
        ends = np.r_[self.outer_start[1:], self.zz.shape[2]]
        return np.repeat(np.arange(self.outer_start.size), ends - self.outer_start)

    def turned(self, matrix: Floats) -> CrossProducts:
        """Sums for random columns Z times `matrix` (q, r)."""
        return CrossProducts(
            zz=np.einsum("ai,abk,bj->ijk", matrix, self.zz, matrix, optimize=True),
            zw=np.einsum("ai,apk->ipk", matrix, self.zw),
            ww=self.ww,
            counts=self.counts,
            n=self.n,
            log_weights=self.log_weights,
            outer_start=self.outer_start,
            ow=self.ow,
        )

    def blocks(self) -> Iterator[slice]:
        """Runs of clusters whose sums fit the cache."""
        step = max(256, NUMBERS_AT_A_TIME // max(1, self.q * self.ww.shape[0]))
        for start in range(0, self.zz.shape[2], step):
            yield slice(start, start + step)


def cross_products(
    x: Floats,
    z: Floats,
    y: Floats,
    cluster: Ints,
    unmix_x: Floats,
    unmix_z: Floats,
    root_weights: Floats | None = None,
    outer_of: Ints | None = None,
) -> CrossProducts:
    """Sum the working columns x @ unmix_x and z @ unmix_z, block by block of rows.

    Parameters
    ----------
    x, z, y
        (n, p), (n, q), (n,); rows already times the root of their weight.
    cluster
        0, 1, 2 ..., every number used.
    root_weights
        Roots of the weights, None for 1.
    outer_of
        (K,) outer group 0, 1, 2 ... of every cluster, not decreasing; None without.
    """
    sizes = np.bincount(cluster)
    ends = np.cumsum(sizes)
    in_order = bool((cluster[1:] >= cluster[:-1]).all())
    order = None if in_order else np.argsort(cluster, kind="stable")
    p, q, k = unmix_x.shape[1], unmix_z.shape[1], sizes.size
    width = p + 1 + (outer_of is not None)
    zz, zw, ww = np.empty((q, q, k)), np.empty((q, width, k)), np.zeros((width, width))
    ow = None if outer_of is None else np.empty((width, k))
    first = 0
    while first < k:
        before = int(ends[first - 1]) if first else 0
        last = max(first + 1, int(np.searchsorted(ends, before + ROWS_AT_A_TIME, "right")))
        after = int(ends[last - 1])
        rows = slice(before, after) if order is None else order[before:after]
        starts = np.r_[0, ends[first : last - 1] - before]
        w = np.empty((width, after - before))
        np.matmul(unmix_x.T, x[rows].T, out=w[:p])
        w[p] = y[rows]
        if outer_of is not None:
            w[p + 1] = 1.0 if root_weights is None else root_weights[rows]
        columns = unmix_z.T @ z[rows].T
        for i in range(q):
            zw[i, :, first:last] = np.add.reduceat(columns[i] * w, starts, axis=1)
            zz[i, i:, first:last] = np.add.reduceat(columns[i] * columns[i:], starts, axis=1)
            zz[i:, i, first:last] = zz[i, i:, first:last]
        if ow is not None:
            ow[:, first:last] = np.add.reduceat(w[p + 1] * w, starts, axis=1)
        ww += w @ w.T
        first = last
    head, few = None, int(np.searchsorted(ends, ROWS_AT_A_TIME, "right"))
    if outer_of is not None and few < k:
        few = int(np.searchsorted(outer_of, outer_of[few]))  # whole outer groups
    if 0 < few < k / 2 and (outer_of is None or outer_of[few - 1] > 0):
        rows = slice(0, int(ends[few - 1])) if order is None else order[: ends[few - 1]]
        head = cross_products(
            x[rows],
            z[rows],
            y[rows],
            cluster[rows],
            unmix_x,
            unmix_z,
            None if root_weights is None else root_weights[rows],
            None if outer_of is None else outer_of[:few],
        )
    outer_start = None
    if ow is not None and outer_of is not None:
        outer_start = np.flatnonzero(np.r_[True, outer_of[1:] != outer_of[:-1]])
        ow = np.add.reduceat(ow, outer_start, axis=1)
    return CrossProducts(
        zz=zz,
        zw=zw,
        ww=ww,
        counts=np.ones(k),
        n=len(y),
        log_weights=0.0 if root_weights is None else 2 * float(np.log(root_weights).sum()),
        outer_start=outer_start,
        ow=ow,
        head=head,
    )


def merged(sums: CrossProducts) -> CrossProducts:
    """Clusters with the same Z'Z together, where that makes the sums much shorter.

    All but log determinants and traces is bilinear in the Z'W of such clusters, so that any
    columns with the same sum of outer products stand for them (scheduled visits: a handful of
    entries in place of all patients). The same sums come back where it does not pay.
    """
    q, width, k = sums.zw.shape
    if sums.outer_start is not None or k <= 4 * q * width:
        return sums
    flat = sums.zz.reshape(q * q, k)
    group = pd.factorize(np.sin(np.arange(1.0, q * q + 1)) @ flat)[0]
    sizes = np.bincount(group)
    if np.minimum(sizes, q * width).sum() > k / 4:
        return sums
    order = np.argsort(group, kind="stable")
    starts = np.cumsum(sizes) - sizes
    if (flat[:, order] != flat[:, order[starts]][:, group[order]]).any():
        return sums  # two different Z'Z have one key
    columns = sums.zw.reshape(q * width, k)[:, order]
    zw, counts, owner = [], [], []
    for start, size in zip(starts, sizes, strict=True):
        part = columns[:, start : start + size]
        if size > q * width:
            values, vectors = np.linalg.eigh(part @ part.T)
            part = vectors * np.sqrt(np.maximum(values, 0.0))
        zw.append(part)
        counts.append(np.full(part.shape[1], size / part.shape[1]))
        owner.append(np.full(part.shape[1], order[start]))
    return replace(
        sums,
        zz=sums.zz[:, :, np.concatenate(owner)],
        zw=np.concatenate(zw, axis=1).reshape(q, width, -1),
        counts=np.concatenate(counts),
        head=None,
    )
