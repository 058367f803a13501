"""Variance of a curve by the infinitesimal jackknife, summed by cluster, in linear time."""

from __future__ import annotations

import numpy as np

from .results import Floats, Ints

ROUNDING = 64 * float(np.finfo(float).eps)


def cluster_variance(basis: Floats, unit: Ints, index: Ints, change: Floats) -> Floats:
    """Sum over units of the squared influence on each point of a curve.

    The influence of a unit at time j is `basis[j] @ state`, where the state is the sum of the
    unit's changes at times up to j. It changes only where a row of the unit begins or ends, so
    the sum of `outer(state, state)` over the units is kept instead of units times times.

    Parameters
    ----------
    basis
        (m, p) functions of time.
    unit, index, change
        (c,), (c,), (c, p): whose state changes, at which time, by how much.

    Returns
    -------
    Floats
        (m,) variances, 0 or above.
    """
    m, p = basis.shape
    order = np.lexsort((index, unit))
    unit, index = unit[order], index[order]
    state = np.cumsum(change[order], axis=0)
    begins = np.flatnonzero(np.r_[True, unit[1:] != unit[:-1]])
    sizes = np.diff(np.r_[begins, unit.size])
    before = np.vstack([np.zeros(p), state[begins[1:] - 1]])
    state -= np.repeat(before, sizes, axis=0)
    total, size = np.zeros(m), np.zeros(m)
    for a in range(p):
        for b in range(a + 1):
            product = state[:, a] * state[:, b]
            step = np.diff(product, prepend=0.0)
            step[begins] = product[begins]
            moments = np.cumsum(np.bincount(index, step, m))
            both = (1 if a == b else 2) * basis[:, a] * basis[:, b]
            total += moments * both
            size += np.maximum.accumulate(abs(moments)) * abs(both)
    # what the parts leave over of each other when nothing varies is rounding
    return np.where(total > ROUNDING * size, total, 0.0)


def before_first(cumulated: Floats, first: Ints) -> Floats:
    """Value of a cumulated sum just before the index `first`."""
    return np.concatenate(([0.0], cumulated))[first]
