"""Who is at risk of the subdistribution hazard, and with what weight.

After an event of another cause a row stays at risk, with the probability that it would still
be under observation: its weight at t is W(t-) / W(X-) for its own end X, with W the share that
is not censored, times the share that has already entered when follow-up starts late. One set
of cumulative sums serves every sum over the risk sets, so nothing grows with the number of rows
times the number of event times.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .results import Bools, Floats, Ints, NotEstimable

ROUNDING = 1e-12  # a share below it is 0


@dataclass(frozen=True)
class Observed:
    """Product-limit estimate of the share that is under observation just before a time.

    Shapes: `time`, `at_risk`, `censored`, `keeps` (u,), at the distinct times of censoring and,
    with delayed entry, of entry.
    """

    time: Floats
    at_risk: Floats
    censored: Floats
    keeps: Floats  # factor of the share at each time; infinite when follow-up starts again
    end: float  # last end of follow-up: nobody is known to be observed after it

    def before(self, times: Floats, since: float, until: float) -> Floats:
        """Share W(t-) at each of `times`, up to a factor: only `since` <= t <= `until` matters."""
        counts = (self.time >= since) & (self.time < until)
        keeps = np.where(counts, self.keeps, 1.0)
        if np.isinf(keeps).any():
            raise NotEstimable(
                "nobody is under observation for a while, so that the weights after an event of "
                "another cause are not defined: start follow-up after the gap"
            )
        share = np.r_[1.0, np.cumprod(keeps)][np.searchsorted(self.time, times)]
        return np.asarray(np.where(times <= self.end, share, 0.0), float)


def observed(start: Floats | None, stop: Floats, censored: Bools, weight: Floats) -> Observed:
    """Estimate the censoring, and the entry when `start` is given.

    Without delayed entry an event tied with a censoring counts as at risk of it, and censorings
    up to time 0 do not count (cmprsk::crr takes G(0) for G(0-)).

    With delayed entry a tied event is not at risk (Geskus 2011 as in survival::finegray). Of y
    at risk d are censored and e enter, and the product of both estimates,
    (1 - d / y) / (1 - e / (y - d + e)), is (y - d + e) / y: where rows of one subject follow
    each other nothing changes, even when nobody else is there.
    """
    if start is None:
        time = np.unique(stop[censored])
        d = _sums_at(time, stop[censored], weight[censored])
        y = _sums_after(time, stop, weight) + _sums_at(time, stop, weight)
        left = np.where(time > 0, 1 - d / y, 1.0)
        return Observed(time, y, d, np.where(left > ROUNDING, left, 0.0), stop.max())
    time = np.unique(np.r_[stop[censored], start])
    counts, sizes = (_present(time, start, stop, censored, w) for w in (np.ones(stop.size), weight))
    with np.errstate(divide="ignore", invalid="ignore"):
        keeps = np.where(counts[1] == 0, np.inf, np.maximum(sizes[2], 0.0) / sizes[1])
    keeps[counts[2] == 0] = 0.0
    return Observed(time, sizes[1], sizes[0], keeps, stop.max())


def _present(
    time: Floats, start: Floats, stop: Floats, censored: Bools, weight: Floats
) -> tuple[Floats, Floats, Floats]:
    """Weight of the censored, of those at risk of it (without events), and of those after it."""
    d = _sums_at(time, stop[censored], weight[censored])
    after = _sums_after(time, stop, weight) - _sums_after(time, start, weight)
    return d, after - _sums_at(time, start, weight) + d, after


def _sums_at(time: Floats, values: Floats, weight: Floats) -> Floats:
    ends = np.searchsorted(time, values)
    known = ends < time.size
    known[known] = time[ends[known]] == values[known]
    return np.asarray(np.bincount(ends[known], weight[known], minlength=time.size), float)


def _sums_after(time: Floats, values: Floats, weight: Floats) -> Floats:
    order = np.argsort(values, kind="stable")
    running = np.r_[0.0, np.cumsum(weight[order][::-1])][::-1]
    return np.asarray(running[np.searchsorted(values[order], time, side="right")], float)


@dataclass(frozen=True)
class Cell:
    """Rows of one stratum whose censoring distribution is estimated together."""

    rows: Ints
    low: int  # the event times of its stratum are low ... high - 1
    high: int
    offset: int  # where its weights begin among the weights of all cells
    late: slice  # its rows among those with an event of another cause
    events: Floats  # weight of its events of the cause at the event times of its stratum
    censored: Bools  # which of its rows
    observed: Observed


@dataclass(frozen=True)
class RiskSets:
    """Weights of n rows at m event times of the cause (those of a stratum in one piece).

    Row i is at risk with weight 1 at times enter <= j < leave. After an event of another cause
    its weight is share * factor[position], factor[position + 1], ... to the end of its cell.
    """

    stratum: Ints  # per row
    time: Floats  # (m,)
    time_stratum: Ints
    delayed: bool  # somebody enters after somebody else has ended
    events: Ints  # rows with an event of the cause
    at: Ints  # their event-time index
    enter: Ints
    leave: Ints
    late: Ints  # rows with an event of another cause and events of the cause after it
    share: Floats  # 1 / W(X-) of those rows
    position: Ints
    factor: Floats  # W(t-) of each cell at the event times of its stratum
    factor_time: Ints  # event-time index of each
    factor_low: Ints  # first entry of the same cell
    factor_high: Ints  # first entry after the same cell
    cells: list[Cell]

    def sums(self, columns: Sequence[Floats]) -> Floats:
        """Weighted sums of k columns (n,) over the rows at risk at each event time, (m, k)."""
        m = self.time.size
        out = np.empty((m, len(columns)), order="F")
        for k, v in enumerate(columns):
            change = np.asarray(np.bincount(self.leave, v, minlength=m + 1), float)
            change -= np.bincount(self.enter, v, minlength=m + 1)
            out[:, k] = np.cumsum(change[::-1])[::-1][1:]
            if self.late.size:
                v_late = self.share * v[self.late]
                total = np.cumsum(np.bincount(self.position, v_late, minlength=self.factor.size))
                inside = total - np.r_[0.0, total][self.factor_low]
                out[:, k] += np.bincount(self.factor_time, self.factor * inside, minlength=m)
        return out

    def exposure(self, columns: Sequence[Floats]) -> list[Floats]:
        """Weighted sums of columns (m,) over the event times at which each row is at risk."""
        out = []
        for step in columns:
            total = np.r_[0.0, np.cumsum(step)]
            column = total[self.leave] - total[self.enter]
            if self.late.size:
                weighted = self.factor * step[self.factor_time]
                rest = np.r_[np.cumsum(weighted[::-1])[::-1], 0.0]
                column[self.late] += self.share * (
                    rest[self.position] - rest[self.factor_high[self.position]]
                )
            out.append(column)
        return out


def risk_sets(
    start: Floats, stop: Floats, kind: Ints, stratum: Ints, censoring: Ints, weight: Floats
) -> RiskSets:
    """Sort out event times, risk intervals and weights.

    Parameters
    ----------
    start, stop
        At risk in (start, stop].
    kind
        1 the cause, 2 another event, 0 censored.
    stratum, censoring
        0, 1, 2 ...; the censoring distribution is estimated by both.
    weight
        Case weights above 0.
    """
    delayed = bool(start.max() >= stop.min())  # else nobody enters after somebody has ended
    values, rank = np.unique(np.r_[stop, start], return_inverse=True)
    base = values.size + 1
    key = stratum * base + rank[: stop.size]
    events = np.flatnonzero(kind == 1)
    times, at = np.unique(key[events], return_inverse=True)
    leave = np.searchsorted(times, key, side="right")
    enter = np.searchsorted(times, stratum * base + rank[stop.size :], side="right")
    time = values[times % base]
    _, cell_of = np.unique(stratum * (censoring.max() + 1) + censoring, return_inverse=True)
    order = np.argsort(cell_of, kind="stable")
    cells: list[Cell] = []
    factors, late, share, position = [], [], [], []
    offset = n_late = 0
    for rows in np.split(order, np.cumsum(np.bincount(cell_of))[:-1]):
        own = int(stratum[rows[0]])
        low, high = (int(i) for i in np.searchsorted(times, [own * base, (own + 1) * base]))
        begin = start[rows] if delayed else None
        censored = kind[rows] == 0
        stays = observed(begin, stop[rows], censored, weight[rows])
        other = rows[(kind[rows] == 2) & (leave[rows] < high)]
        between = stop[other].min(initial=np.inf), time[low:high].max(initial=-np.inf)
        kept = stays.before(stop[other], *between)
        own_events = np.bincount(leave[rows] - low, weight[rows] * (kind[rows] == 1))
        counted = np.zeros(high - low)
        counted[: own_events.size - 1] = own_events[1:]
        those = slice(n_late, n_late + other.size)
        cells.append(Cell(rows, low, high, offset, those, counted, censored, stays))
        factors.append(stays.before(time[low:high], *between))
        late.append(other)
        share.append(1 / kept)
        position.append(offset + leave[other] - low)
        offset += high - low
        n_late += other.size
    first = np.array([c.offset for c in cells])
    size = np.array([c.high - c.low for c in cells])
    return RiskSets(
        stratum=stratum,
        time=time,
        time_stratum=times // base,
        delayed=delayed,
        events=events,
        at=at,
        enter=enter,
        leave=leave,
        late=np.concatenate(late),
        share=np.concatenate(share),
        position=np.concatenate(position),
        factor=np.concatenate(factors),
        factor_time=np.concatenate([np.arange(c.low, c.high) for c in cells]),
        factor_low=np.repeat(first, size),
        factor_high=np.repeat(first + size, size),
        cells=cells,
    )
