"""Variance of a curve by the infinitesimal jackknife, summed by cluster, in linear time."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .results import Floats, Ints

ROUNDING = 64 * float(np.finfo(float).eps)


def cluster_variance(
    basis: Sequence[Floats], unit: Ints, index: Ints, change: Sequence[Floats]
) -> Floats:
    """Sum over units of the squared influence on each point of a curve.

    The influence of a unit at time j is the sum over k of `basis[k][j]` times its state k, which
    is the sum of the unit's changes at times up to j. States change only where a row of the unit
    begins or ends, so the sums over the units of products of states are kept, instead of an
    influence for every unit and time.

    Parameters
    ----------
    basis
        p functions of time, (m,) each.
    unit, index
        (c,): whose states change, at which time.
    change
        p arrays (c,): by how much each state changes.

    Returns
    -------
    Floats
        (m,) variances, 0 or above.
    """
    m = basis[0].size
    order = np.argsort(unit * m + index)
    unit, index = unit[order], index[order]
    begins = np.flatnonzero(np.diff(unit, prepend=-1))
    sizes = np.diff(begins, append=unit.size)
    states = []
    for values in change:
        total = np.cumsum(values[order])
        before = np.concatenate(([0.0], total[begins[1:] - 1]))
        states.append(total - np.repeat(before, sizes))
    variance, size = np.zeros(m), np.zeros(m)
    for a in range(len(states)):
        for b in range(a + 1):
            product = states[a] * states[b]
            step = np.diff(product, prepend=0.0)
            step[begins] = product[begins]
            moments = np.cumsum(np.bincount(index, step, m))
            both = (1 if a == b else 2) * basis[a] * basis[b]
            variance += moments * both
            size += np.maximum.accumulate(abs(moments)) * abs(both)
    # what the parts leave over of each other when nothing varies is rounding
    return np.where(variance > ROUNDING * size, variance, 0.0)


def before_first(cumulated: Floats, first: Ints) -> Floats:
    """Value of a cumulated sum just before the index `first`."""
    return np.concatenate(([0.0], cumulated))[first]
