"""Minimise the check loss of quantile regression exactly.

The modified simplex of Barrodale & Roberts (1974), Commun ACM 17:319-320, for the loss of Koenker
& d'Orey (1987), Appl Stat 36:383-393: a step goes through as many rows as lower the loss. Its path,
and so the line it gives where several have the same loss, is that of `rq(method = "br")` of R's
quantreg: each number is rounded as there. Many rows: those far from a first line are held on their
side and checked afterwards (Portnoy & Koenker 1997, Stat Sci 12:279-300).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .results import Floats, Ints, NotEstimable

TOLERANCE = float(np.finfo(float).eps ** (2 / 3))
DIRECT = 5_000  # rows up to which all enter the tableau
PIVOTS = 50  # per parameter, beyond a thousand


@dataclass(frozen=True)
class Vertex:
    """Coefficients, the rows that the line goes through, and whether no other line is as good."""

    beta: Floats
    rows: Ints
    unique: bool


def minimise(x: Floats, y: Floats, q: float) -> Vertex:
    """The line with the smallest sum of r (q - 1[r < 0]), r = y - x beta."""
    n, p = x.shape
    if n <= DIRECT:
        return _polished(x, y, _simplex(x, y, q, np.zeros(p)))
    pick = np.random.default_rng(0).permutation(n)
    m = int((p * n) ** (2 / 3)) + DIRECT
    while m < n / 2:
        sample = np.sort(pick[:m])
        first = minimise(x[sample], y[sample], q).beta
        found = _held(x, y - x @ first, q, m / n / 4)
        if found is not None:
            return _polished(x, y, found)
        m *= 2
    return _polished(x, y, _simplex(x, y, q, np.zeros(p)))


def _polished(x: Floats, y: Floats, found: Vertex) -> Vertex:
    """Solve for the rows on the line, which gives it to the last digit."""
    beta = np.asarray(np.linalg.solve(x[found.rows], y[found.rows]), float)
    return Vertex(beta, found.rows, found.unique)


def _held(x: Floats, residual: Floats, q: float, band: float) -> Vertex | None:
    """Solve with the rows outside a band of residuals held on their side; None if that is wrong."""
    low, high = np.quantile(residual, [max(0.0, q - band), min(1.0, q + band)])
    above, free = residual > high, (residual >= low) & (residual <= high)
    for _ in range(20):
        slope = (1 - q) * x[~above & ~free].sum(axis=0) - q * x[above & ~free].sum(axis=0)
        rows = np.flatnonzero(free)
        try:
            found = _simplex(x[rows], residual[rows], q, slope)
        except NotEstimable:
            return None
        wrong = ~free & (above != (residual - x @ found.beta > 0))
        if not wrong.any():
            return Vertex(found.beta, rows[found.rows], found.unique)
        free |= wrong
    return None


class _Tableau:
    """Rows: observations, or parameters once they entered. Columns: what is at 0.

    An observation is its residual, turned so that it is positive: `side` 1 above the line, -1
    below. Labels from n on are the parameters. `gain` is twice the fall of the loss per unit of
    each column; of the opposite of a parameter it is -gain, of an observation -gain - 2.
    """

    def __init__(self, x: Floats, y: Floats, q: float, slope: Floats) -> None:
        self.n, self.p = x.shape
        # powers of two leave every digit as it is, so that ties stay ties
        self.size = 2.0 ** np.frexp(np.abs(x).max(axis=0))[1]
        self.unit = 2.0 ** float(np.frexp(np.abs(y).max())[1])
        self.side = np.where(y >= 0, 1.0, -1.0)
        self.body = np.c_[x / self.size, y / self.unit] * self.side[:, None]
        self.label, self.column = np.arange(self.n), np.arange(self.n, self.n + self.p)
        self.turn = np.ones(self.p)
        # one after the other: another order rounds otherwise
        below = np.cumsum(self.body[:, :-1] * (1 - self.side)[:, None], axis=0)[-1]
        within = np.cumsum(self.body[:, :-1] * self.side[:, None], axis=0)[-1]
        self.gain = below + 2 * within * q - 2 * slope / self.size

    def flip(self, j: int) -> None:
        """Take the opposite of a column."""
        self.body[:, j] *= -1
        self.gain[j] *= -1
        self.turn[j] *= -1

    def leaving(self, j: int) -> int:
        """The row at which column j stops; rows before it, where the loss still falls, turn."""
        steps = self.body[:, j]
        rows = np.flatnonzero((steps > TOLERANCE) & (self.label < self.n))
        reach = self.body[rows, self.p] / steps[rows]
        for last in range(len(rows) - 1, -1, -1):
            nearest = int(np.argmin(reach[: last + 1]))
            out = int(rows[nearest])
            reach[nearest], rows[nearest] = reach[last], rows[last]
            passed = self.body[out, : self.p]
            if self.gain[j] - passed[j] - passed[j] <= TOLERANCE:
                return out
            self.gain = self.gain - passed - passed
            self.body[out] *= -1
            self.side[out] *= -1
        raise NotEstimable("the check loss has no minimum")

    def pivot(self, out: int, j: int) -> None:
        """Exchange row `out` and column j."""
        centre = self.body[out, j]
        row, steps = self.body[out] / centre, self.body[:, j].copy()
        self.body -= np.outer(steps, row)
        self.body[out] = row
        self.body[:, j] = -steps / centre
        self.body[out, j] = 1 / centre
        gain = self.gain[j]
        self.gain = self.gain - gain * row[: self.p]
        self.gain[j] = -gain / centre
        self.label[out], self.column[j] = self.column[j], self.label[out]
        self.side[out], self.turn[j] = self.turn[j], self.side[out]

    def to_top(self, row: int, place: int) -> None:
        """Exchange two rows."""
        for array in (self.body, self.label, self.side):
            array[[row, place]] = array[[place, row]]


def _simplex(x: Floats, y: Floats, q: float, slope: Floats) -> Vertex:
    """Minimise the check loss plus slope' beta."""
    t = _Tableau(x, y, q, slope)
    for entered in range(t.p):  # every parameter enters, the steepest first
        waiting = np.flatnonzero(t.column >= t.n)
        steepness = np.abs(t.gain[waiting]) * t.size[t.column[waiting] - t.n]
        j = int(waiting[np.argmax(steepness)])
        if t.gain[j] < 0:
            t.flip(j)
        out = t.leaving(j)
        t.pivot(out, j)
        t.to_top(out, entered)
    for _ in range(PIVOTS * t.p + 1000):
        best = np.where(t.gain < 0, -t.gain - 2, t.gain)
        j = int(np.argmax(best))
        if best[j] <= TOLERANCE:
            beta = np.empty(t.p)
            beta[t.label[: t.p] - t.n] = t.side[: t.p] * t.body[: t.p, t.p] * t.unit
            return Vertex(beta / t.size, t.column.copy(), bool(best[j] < -2e-9))
        if t.gain[j] < 0:
            t.flip(j)
            t.gain[j] -= 2
        t.pivot(t.leaving(j), j)
    raise NotEstimable("the check loss was not minimised")
