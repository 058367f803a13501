"""Variance of a curve by the infinitesimal jackknife, summed by cluster, in linear time."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from .results import Floats, Ints

ROUNDING = 64 * float(np.finfo(float).eps)


class Influence:
    """Influence of every unit on a curve of m times.

    The influence of a unit at time j is the sum over k of `basis[k][j]` times its state k. States
    change only where a row of the unit begins or ends, so the sums over the units of products of
    states are kept, instead of an influence for every unit and time.

    Parameters
    ----------
    first, last
        (n,): index of the times at which a row begins and ends.
    unit
        (n,): 0, 1, 2 ...; None for rows that stand alone.
    """

    def __init__(self, first: Ints, last: Ints, unit: Ints | None) -> None:
        index = np.column_stack((first, last)).ravel()
        self.order = None
        self.opening = np.arange(0, index.size, 2)  # first change of each unit
        if unit is not None:
            owner = np.repeat(unit, 2)
            self.order = np.argsort(owner * (index.max() + 1) + index)
            index = index[self.order]
            self.opening = np.flatnonzero(np.diff(owner[self.order], prepend=-1))
        self.index = index

    def state(self, begin: Floats, end: Floats) -> Floats:
        """A state of the units after each of their changes.

        Parameters
        ----------
        begin, end
            (n,): by how much it changes where a row begins, and where it ends.
        """
        if self.order is None:
            return np.column_stack((begin, begin + end)).ravel()
        total = np.cumsum(np.column_stack((begin, end)).ravel()[self.order])
        before = np.concatenate(([0.0], total[self.opening[1:] - 1]))
        total -= np.repeat(before, np.diff(self.opening, append=total.size))
        return total

    def moments(self, one: Floats, other: Floats) -> Floats:
        """Sum over units of the product of two states at each time, (m,)."""
        product = one * other
        step = product.copy()
        step[1:] -= product[:-1]
        step[self.opening] = product[self.opening]
        return np.cumsum(np.bincount(self.index, step))

    def variance(self, basis: Sequence[Floats], states: Sequence[Floats]) -> Floats:
        """Sum over units of the squared influence, (m,), 0 or above."""
        return quadratic(
            ((1 if a == b else 2) * basis[a] * basis[b], self.moments(states[a], states[b]))
            for a in range(len(states))
            for b in range(a + 1)
        )


def quadratic(parts: Iterable[tuple[Floats | float, Floats]]) -> Floats:
    """Sum of factors times moments, a sum of squares; what rounding leaves of it counts as 0."""
    total: Floats | float = 0.0
    size: Floats | float = 0.0
    for factor, moments in parts:
        part = moments * factor
        total = total + part
        size = size + np.maximum.accumulate(abs(moments)) * abs(factor)
    return np.where(total > ROUNDING * size, total, 0.0)


def before_first(cumulated: Floats, first: Ints) -> Floats:
    """Value of a cumulated sum just before the index `first`."""
    return np.concatenate(([0.0], cumulated))[first]
