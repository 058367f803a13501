"""Who is at risk at which event of a Cox model, built once per data set.

Rows are sorted by stratum and end of follow-up. A *cell* is one event time of one stratum and the
time until the next; cells are numbered in time order, stratum after stratum.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .results import Floats, Ints, NotEstimable


@dataclass(frozen=True)
class RiskSets:
    """Who is at risk when; built once per data set. Rows that never are at risk are left out."""

    x: Floats  # (n, p), centred
    weight: Floats  # (n,)
    offset: Floats  # (n,), centred
    order: Ints  # (n,) row of the data
    n_rows: int  # rows of the data
    first: Ints  # (m,) first row of each cell
    enter: Ints  # (n,) first cell at which the row is at risk; its own cell is the last
    late: Ints  # rows that enter after the first cell of their stratum, by `before`
    before: Ints  # the last cell before they enter
    died: Ints  # rows with an event, by cell
    at: Ints  # their cell
    died_x: Floats  # (p,) weighted sum of their covariates
    n_died: Ints  # (m,)
    event_weight: Floats  # (m,) sum of the weights of the events
    stratum_first: Ints  # (strata + 1,) first cell of each stratum with an event, and m
    stratum: Ints  # (strata,) its code
    time: Floats  # (m,)
    ties: str
    tied: Ints  # cells with several events
    tied_rows: Ints  # rows of their events
    tied_first: Ints  # where each tied cell begins in tied_rows
    tied_at: Ints  # which tied cell an event belongs to
    share: Floats  # Efron's share l / d of each of them, in any order within the cell

    @property
    def sizes(self) -> Ints:
        """Rows of each cell."""
        return np.asarray(np.diff(np.r_[self.first, self.weight.size]), np.int64)

    @property
    def mean_weight(self) -> Floats:
        """Mean weight of the events of each cell."""
        return self.event_weight / self.n_died


def risk_sets(
    x: Floats,
    start: Floats,
    stop: Floats,
    event: Ints,
    stratum: Ints,
    weight: Floats,
    offset: Floats,
    ties: str,
) -> RiskSets:
    """Sort the rows and find event times, risk intervals and tied events.

    Parameters
    ----------
    x
        Covariates (n, p), centred.
    start, stop
        At risk in (start, stop]; start -inf without delayed entry.
    event
        1 for the event of interest, else 0.
    stratum
        0, 1, 2 ...
    weight, offset
        Case weights above 0 and fixed part of the linear predictor.
    ties
        efron, breslow or exact.
    """
    events = event == 1
    if not events.any():
        raise NotEstimable("no event was observed: a hazard ratio cannot be estimated")
    order = np.argsort(stop)
    if stratum.any():
        order = order[np.argsort(stratum[order], kind="stable")]
    stop, layer, hit = stop[order], stratum[order], events[order]
    is_new = np.r_[True, (stop[1:] != stop[:-1]) | (layer[1:] != layer[:-1])]
    groups = np.flatnonzero(is_new)  # rows of one stratum that end together
    with_event = np.logical_or.reduceat(hit, groups)
    cell_row = groups[with_event]
    leave = np.repeat(np.cumsum(with_event), np.diff(np.r_[groups, stop.size]))
    cell_time, cell_layer = stop[cell_row], layer[cell_row]
    # first cell of the stratum of each row
    opening = np.searchsorted(cell_layer, np.arange(layer[-1] + 1))[layer]
    enter = opening
    if np.isfinite(start).any():
        times, rank = np.unique(cell_time, return_inverse=True)
        keys = cell_layer * (times.size + 1) + rank + 1
        passed = np.searchsorted(times, start[order], side="right")
        enter = np.searchsorted(keys, layer * (times.size + 1) + passed, side="right")
    at_risk = enter < leave
    if not at_risk.all():
        order, leave, enter, opening = (a[at_risk] for a in (order, leave, enter, opening))
    own = leave - 1
    m = cell_time.size
    late = np.flatnonzero(enter > opening)
    late = late[np.argsort(enter[late], kind="stable")]
    died = np.flatnonzero(hit[at_risk])
    at = own[died]
    n_died = np.bincount(at, minlength=m)
    weight, offset, x = weight[order], offset[order], np.take(x, order, axis=0)
    several = n_died > 1
    if ties == "breslow":
        several[:] = False
    tied = np.flatnonzero(several)
    tied_rows = died[several[at]]
    counts = n_died[tied]
    tied_first = np.cumsum(counts) - counts
    tied_at = np.repeat(np.arange(tied.size), counts)
    stratum_first = np.flatnonzero(np.r_[True, cell_layer[1:] != cell_layer[:-1]])
    return RiskSets(
        x=x,
        weight=weight,
        offset=offset,
        order=order,
        n_rows=stop.size,
        first=np.flatnonzero(np.r_[True, own[1:] != own[:-1]]),
        enter=enter,
        late=late,
        before=enter[late] - 1,
        died=died,
        at=at,
        died_x=np.bincount(died, weights=weight[died], minlength=order.size) @ x,
        n_died=n_died,
        event_weight=np.asarray(np.bincount(at, weights=weight[died], minlength=m), float),
        stratum_first=np.r_[stratum_first, m],
        stratum=cell_layer[stratum_first],
        time=cell_time,
        ties=ties,
        tied=tied,
        tied_rows=tied_rows,
        tied_first=tied_first,
        tied_at=tied_at,
        share=(np.arange(tied_rows.size) - tied_first[tied_at]) / counts[tied_at],
    )
