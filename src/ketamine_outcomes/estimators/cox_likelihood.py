"""Partial likelihood of the Cox model by cumulative sums.

Risk-set sums come from one histogram per event time and a reverse cumulative sum, so that an
evaluation costs one pass over the rows and one matrix product, whatever the ties. `Pair` below
means one (event time, tie order) of Efron's approximation; Breslow has tie share 0.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .results import Floats, Ints, NotEstimable


@dataclass(frozen=True)
class RiskSets:
    """Bookkeeping of who is at risk when; built once per data set.

    `enter` and `leave` are event-time indices: row i is at risk at events enter <= j < leave.
    Event times of different strata have different indices, so strata need no loop.
    """

    x: Floats  # (n, p), centred
    weight: Floats  # (n,)
    offset: Floats  # (n,)
    died: Ints  # rows with an event
    at: Ints  # (n_died,) event-time index of those rows
    enter: Ints
    leave: Ints
    pair_time: Ints  # (pairs,) event-time index
    pair_share: Floats  # (pairs,) k / d, or 0 under Breslow
    pair_weight: Floats  # (pairs,) mean weight of the tied events
    n_times: int


@dataclass(frozen=True)
class Moments:
    """Log partial likelihood and what belongs to it at one coefficient vector."""

    log_likelihood: float
    score: Floats
    information: Floats
    risk: Floats  # exp(linear predictor), unweighted
    pair_sum: Floats  # (pairs,) weighted risk of the pair
    pair_mean: Floats  # (pairs, p) mean covariates of the pair


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
    """Sort out event times, risk intervals and tied events.

    Parameters
    ----------
    x
        Covariates (n, p); they are centred here.
    start, stop
        At risk in (start, stop]; start -inf without delayed entry.
    event
        1 for the event of interest, else 0.
    stratum
        0, 1, 2 ...
    weight, offset
        Case weights above 0 and fixed part of the linear predictor.
    ties
        efron or breslow.
    """
    n = stop.size
    died = np.flatnonzero(event == 1)
    if died.size == 0:
        raise NotEstimable("no event was observed: a hazard ratio cannot be estimated")
    # time ranks make (stratum, time) one integer key
    values, rank = np.unique(np.r_[start, stop], return_inverse=True)
    base = values.size + 1
    key = stratum.astype(np.int64) * base
    stop_key, start_key = key + rank[n:], key + rank[:n]
    times, at = np.unique(stop_key[died], return_inverse=True)
    leave = np.searchsorted(times, stop_key, side="right")
    enter = np.searchsorted(times, start_key, side="right")
    tied = np.bincount(at, minlength=times.size)
    total = np.bincount(at, weights=weight[died], minlength=times.size)
    pair_time = np.repeat(np.arange(times.size), tied)
    order = np.arange(died.size) - np.repeat(np.cumsum(tied) - tied, tied)
    share = order / tied[pair_time] if ties == "efron" else np.zeros(died.size)
    centre = np.average(x, axis=0, weights=weight) if x.shape[1] else np.zeros(0)
    return RiskSets(
        x=x - centre,
        weight=weight,
        offset=offset - float(np.average(offset, weights=weight)),
        died=died,
        at=at.astype(np.int64),
        enter=enter.astype(np.int64),
        leave=leave.astype(np.int64),
        pair_time=pair_time.astype(np.int64),
        pair_share=np.asarray(share, float),
        pair_weight=(total / tied)[pair_time],
        n_times=int(times.size),
    )


def at_risk_sums(sets: RiskSets, values: Floats) -> Floats:
    """Sum of `values` (n,) or (n, k) over the rows at risk at each event time."""
    flat = values.reshape(values.shape[0], -1)
    out = np.empty((sets.n_times, flat.shape[1]))
    m = sets.n_times
    for column in range(flat.shape[1]):
        change = np.bincount(sets.leave, weights=flat[:, column], minlength=m + 1)
        change -= np.bincount(sets.enter, weights=flat[:, column], minlength=m + 1)
        # rows leaving after j minus rows entering after j, from the last event time backwards
        out[:, column] = np.cumsum(change[::-1])[::-1][1:]
    return out.reshape((m, *values.shape[1:]))


def event_sums(sets: RiskSets, values: Floats) -> Floats:
    """Sum of `values` over the events of each event time."""
    flat = values[sets.died].reshape(sets.died.size, -1)
    out = np.column_stack([np.bincount(sets.at, weights=c, minlength=sets.n_times) for c in flat.T])
    return out.reshape((sets.n_times, *values.shape[1:]))


def _pairs(sets: RiskSets, values: Floats) -> Floats:
    """Risk-set sums of each pair: everybody less the tie share of the events."""
    everybody = at_risk_sums(sets, values)[sets.pair_time]
    share = sets.pair_share.reshape((-1, *(1,) * (values.ndim - 1)))
    if not sets.pair_share.any():
        return everybody
    return everybody - share * event_sums(sets, values)[sets.pair_time]


def moments(sets: RiskSets, beta: Floats) -> Moments:
    """Log partial likelihood, score and information at `beta`."""
    linear = sets.x @ beta + sets.offset
    top = float(linear.max())
    risk = np.exp(linear - top)
    weighted = sets.weight * risk
    pair_sum = _pairs(sets, weighted)
    pair_mean = _pairs(sets, weighted[:, None] * sets.x) / pair_sum[:, None]
    died, w = sets.died, sets.pair_weight
    log_likelihood = float(sets.weight[died] @ linear[died] - w @ (np.log(pair_sum) + top))
    score = sets.weight[died] @ sets.x[died] - w @ pair_mean
    exposure, tied = _exposure(sets, w / pair_sum)
    load = weighted * exposure
    load[died] -= weighted[died] * tied
    information = sets.x.T @ (load[:, None] * sets.x) - pair_mean.T @ (w[:, None] * pair_mean)
    return Moments(
        log_likelihood,
        score,
        (information + information.T) / 2,
        np.exp(linear),
        pair_sum * np.exp(top),
        pair_mean,
    )


def _exposure(sets: RiskSets, per_pair: Floats) -> tuple[Floats, Floats]:
    """Sum of a pair quantity over the event times of each row, and its tie share (events)."""
    m = sets.n_times
    flat = per_pair.reshape(per_pair.shape[0], -1)
    out = np.empty((sets.enter.size, flat.shape[1]))
    tied = np.empty((sets.died.size, flat.shape[1]))
    for column in range(flat.shape[1]):
        jump = np.bincount(sets.pair_time, weights=flat[:, column], minlength=m)
        total = np.r_[0.0, np.cumsum(jump)]
        out[:, column] = total[sets.leave] - total[sets.enter]
        shared = np.bincount(sets.pair_time, weights=sets.pair_share * flat[:, column], minlength=m)
        tied[:, column] = shared[sets.at]
    shape = per_pair.shape[1:]
    return out.reshape((-1, *shape)), tied.reshape((-1, *shape))


def score_residuals(sets: RiskSets, at: Moments) -> tuple[Floats, Floats]:
    """Score residuals (n, p) and martingale residuals (n,), per unit of weight.

    Exact under Efron's ties: an event takes part in its own risk set with the share that the
    approximation leaves it. R: `residuals(fit, type = "score")`.
    """
    hazard = sets.pair_weight / at.pair_sum
    h, h_tied = _exposure(sets, hazard)
    hx, hx_tied = _exposure(sets, hazard[:, None] * at.pair_mean)
    died = sets.died
    h[died] -= h_tied
    hx[died] -= hx_tied
    residual = -at.risk[:, None] * (sets.x * h[:, None] - hx)
    m = sets.n_times
    count = np.bincount(sets.pair_time, minlength=m)
    mean = np.column_stack(
        [np.bincount(sets.pair_time, weights=c, minlength=m) / count for c in at.pair_mean.T]
    )
    residual[died] += sets.x[died] - mean[sets.at]
    martingale = -at.risk * h
    martingale[died] += 1.0
    return residual, martingale


def firth_score(sets: RiskSets, at: Moments) -> Floats:
    """Gradient of half the log determinant of the information (Firth 1993).

    With L L' the inverse information and z = x L, each pair adds the weighted third central
    moment sum_a kappa3(z_a, z_a, x) to the trace of I^-1 dI/dbeta.
    """
    inverse = np.linalg.inv(at.information)
    z = sets.x @ np.linalg.cholesky((inverse + inverse.T) / 2)
    weighted = sets.weight * at.risk
    total = at.pair_sum
    mean_x, p = at.pair_mean, sets.x.shape[1]
    size = np.einsum("ij,ij->i", z, z)
    mean_z = _pairs(sets, weighted[:, None] * z) / total[:, None]
    mean_size = _pairs(sets, weighted * size) / total
    size_x = _pairs(sets, (weighted * size)[:, None] * sets.x) / total[:, None]
    cross = np.empty((total.size, p))
    for b in range(p):
        zx = _pairs(sets, (weighted * sets.x[:, b])[:, None] * z) / total[:, None]
        cross[:, b] = np.einsum("ij,ij->i", mean_z, zx - mean_z * mean_x[:, [b]])
    third = size_x - mean_size[:, None] * mean_x - 2 * cross
    return np.asarray(0.5 * sets.pair_weight @ third, float)
