"""Partial likelihood of the Cox model by cumulative sums.

Rows are sorted once by stratum and end of follow-up. A *cell* is one event time of one stratum
and the time until the next; cells are numbered in time order, stratum after stratum. What is at
risk at a cell is then a cumulative sum of cells from the end of the stratum, less the rows that
enter later, so one evaluation is linear in the rows, whatever the ties.

Efron's approximation takes the l-th of d tied events out of a risk set reduced by the share
s = l / d of the tied events. With A the sum of the weighted risks, B that of the events, and
u = s B / (A - s B), the reduced sum is A / (1 + u) and the reduced mean of the covariates is
mean + u * gap, where gap is the mean at risk less the mean of the events: the sums of u and u^2
over l hold all that the ties change. Breslow has u = 0.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from scipy import sparse

from .cox_exact import accumulate, tied_moments
from .cox_risk_sets import RiskSets
from .results import Floats, Ints

BLOCK = 8192  # rows or cells at once: they stay in the processor's cache


@dataclass(frozen=True)
class Moments:
    """Log partial likelihood and what belongs to it at one coefficient vector.

    Risks are relative to the largest of the stratum, whose linear predictor is `shift`.
    """

    log_likelihood: float
    score: Floats
    information: Floats
    risk: Floats  # (n,) exp(linear predictor - shift), unweighted
    shift: Floats  # (strata,)
    total: Floats  # (m,) weighted risk at the cell (A)
    tied_mean: Floats  # (tied, p) mean covariates at the tied cells
    gap: Floats  # (tied, p) that less the mean of the events
    tied_total: Floats  # (tied,) weighted risk of the events (B)
    u1: Floats  # (tied,) sum of u
    u2: Floats  # (tied,) sum of u^2


def at_risk(sets: RiskSets, values: Floats) -> Floats:
    """Sum of `values` (n,) over the rows at risk at each cell (m,)."""
    cells = np.add.reduceat(values, sets.first)
    if sets.late.size:
        cells -= np.bincount(sets.before, weights=values[sets.late], minlength=cells.size)
    _from_the_end(cells, sets.stratum_first)
    return cells


def lost_digits(sets: RiskSets, at: Moments) -> float:
    """Largest relative rounding error of a risk set: rows that enter late are subtracted again."""
    if not sets.late.size:
        return 0.0
    gross = np.add.reduceat(sets.weight * at.risk, sets.first)
    _from_the_end(gross, sets.stratum_first)
    return float(np.finfo(float).eps * (gross / at.total).max())


def at_risk_products(sets: RiskSets, values: Floats, x: Floats) -> Floats:
    """Sum of `values` (n,) times rows of `x` (n, k) over the rows at risk at each cell (m, k)."""
    out = np.empty((sets.time.size, x.shape[1]))
    for cells, sums in _blocks(sets, values, x):
        out[cells] = sums
    return out


def _blocks(sets: RiskSets, values: Floats, x: Floats) -> Iterator[tuple[slice, Floats]]:
    """`at_risk_products` by blocks of cells, from the last to the first."""
    m = sets.time.size
    row = np.r_[sets.first, values.size]
    late = np.searchsorted(sets.before, np.arange(m + 1)) if sets.late.size else None
    starts = sets.stratum_first
    carry = np.zeros(x.shape[1])
    for begin in range((m - 1) // BLOCK * BLOCK, -1, -BLOCK):
        end = min(begin + BLOCK, m)
        a, b = row[begin], row[end]
        sums = grouped(values[a:b], np.arange(b - a), row[begin:end] - a, x[a:b])
        if late is not None:
            a, b = late[begin], late[end]
            rows = sets.late[a:b]
            sums -= grouped(values[rows], rows, late[begin:end] - a, x)
        # cumulative from the end of each stratum; the last one may go on in the block before
        cut = starts[np.searchsorted(starts, begin, side="right") : np.searchsorted(starts, end)]
        if starts[np.searchsorted(starts, end)] != end:
            sums[-1] += carry
        _from_the_end(sums, np.r_[begin, cut, end] - begin)
        carry = sums[0].copy()
        yield slice(begin, end), sums


def until(sets: RiskSets, per_cell: Floats) -> Floats:
    """Sum of a quantity of the cells (m,) or (m, k) over those at which each row is at risk."""
    total = per_cell.copy()
    accumulate(total, sets.stratum_first)
    out = np.repeat(total, sets.sizes, axis=0)
    if sets.late.size:
        out[sets.late] -= total[sets.before]
    return out


def _from_the_end(cells: Floats, edges: Ints) -> None:
    """Cumulative sums from the end of each segment, in place."""
    accumulate(cells[::-1], edges[-1] - edges[::-1])


def grouped(values: Floats, rows: Ints, first: Ints, x: Floats) -> Floats:
    """Sum of values[i] * x[rows[i]] over groups of i that begin at `first`."""
    pattern = np.asarray(rows, np.int32), np.r_[first, rows.size].astype(np.int32)
    matrix = sparse.csr_matrix((values, *pattern), shape=(first.size, x.shape[0]), copy=False)
    return np.asarray(matrix @ x)


def gram(x: Floats, load: Floats) -> Floats:
    """x' diag(load) x, by blocks of rows."""
    p = x.shape[1]
    out = np.zeros((p, p))
    for a in range(0, x.shape[0], BLOCK):
        block = x[a : a + BLOCK]
        out += block.T @ (block * load[a : a + BLOCK, None])
    return out


@np.errstate(over="ignore", under="ignore", divide="ignore", invalid="ignore")
def moments(sets: RiskSets, beta: Floats) -> Moments:
    """Log partial likelihood, score and information at `beta`.

    The log likelihood is NaN where double precision does not hold the risks.
    """
    linear = sets.x @ beta + sets.offset
    opening = sets.first[sets.stratum_first[:-1]]
    shift = np.maximum.reduceat(linear, opening)
    if shift.size == 1:
        linear -= shift[0]
    else:
        linear -= np.repeat(shift, np.diff(np.r_[opening, linear.size]))
    risk = np.exp(linear)
    weighted = sets.weight * risk
    total = at_risk(sets, weighted)
    exact = sets.ties == "exact"
    whole = sets.event_weight.copy()
    if exact:
        whole[sets.tied] = 0.0
    mean_sum, mean_gram, tied_mean = _mean_moments(sets, weighted, total, whole)
    log_likelihood = float(sets.weight[sets.died] @ linear[sets.died] - whole @ np.log(total))
    score = sets.died_x - mean_sum
    k, p = sets.tied.size, beta.size
    gap, tied_total, u1, u2 = np.zeros((k, p)), np.zeros(k), np.zeros(k), np.zeros(k)
    if k and not exact:
        w = weighted[sets.tied_rows]
        tied_total = np.add.reduceat(w, sets.tied_first)
        gap = tied_mean - grouped(w, sets.tied_rows, sets.tied_first, sets.x) / tied_total[:, None]
        part = sets.share * (tied_total / total[sets.tied])[sets.tied_at]
        mean_weight = sets.mean_weight[sets.tied]
        log_likelihood -= float(mean_weight[sets.tied_at] @ np.log1p(-part))
        u = part / (1 - part)
        u1, u2 = np.add.reduceat(u, sets.tied_first), np.add.reduceat(u * u, sets.tied_first)
        score -= (mean_weight * u1) @ gap
    at = Moments(
        log_likelihood, score, np.empty(0), risk, shift, total, tied_mean, gap, tied_total, u1, u2
    )
    if exact:
        tied_value, tied_score, tied_information = tied_moments(sets, risk)
        log_likelihood, score = log_likelihood + tied_value, score + tied_score
        untied = (sets.n_died == 1).astype(float)
        information = _information(sets, at, untied, mean_gram) + tied_information
    else:
        information = _information(sets, at, np.ones(total.size), mean_gram)
    if not np.isfinite(information).all():
        log_likelihood = float("nan")
    return replace(at, log_likelihood=log_likelihood, score=score, information=information)


def _mean_moments(
    sets: RiskSets, weighted: Floats, total: Floats, load: Floats
) -> tuple[Floats, Floats, Floats]:
    """Over the mean covariates at the cells: their sum and Gram matrix, loaded; the tied cells'."""
    p = sets.x.shape[1]
    summed, squared, tied = np.zeros(p), np.zeros((p, p)), np.empty((sets.tied.size, p))
    for cells, mean in _blocks(sets, weighted, sets.x):
        mean /= total[cells, None]
        summed += load[cells] @ mean
        squared += mean.T @ (mean * load[cells, None])
        a, b = np.searchsorted(sets.tied, [cells.start, cells.stop])
        tied[a:b] = mean[sets.tied[a:b] - cells.start]
    return summed, squared, tied


def means(sets: RiskSets, at: Moments) -> Floats:
    """Mean covariates at risk at each cell (m, p)."""
    out = at_risk_products(sets, sets.weight * at.risk, sets.x)
    out /= at.total[:, None]
    return out


def hazard(sets: RiskSets, at: Moments) -> Floats:
    """Increment of the baseline hazard at each cell (relative to the stratum's `shift`)."""
    jump = sets.event_weight / at.total
    jump[sets.tied] += (sets.mean_weight / at.total)[sets.tied] * at.u1
    return jump


def hazard_mean(sets: RiskSets, at: Moments) -> Floats:
    """Sum over the tied events of hazard increment times mean covariates (m, p)."""
    out = means(sets, at)
    out *= hazard(sets, at)[:, None]
    scale = (sets.mean_weight / at.total)[sets.tied]
    out[sets.tied] += (scale * (at.u1 + at.u2))[:, None] * at.gap
    return out


def hazard_variance(sets: RiskSets, at: Moments) -> Floats:
    """Increment of the variance of the baseline hazard at each cell, coefficients known."""
    out = sets.event_weight / at.total**2
    scale = (sets.mean_weight / at.total**2)[sets.tied]
    out[sets.tied] += scale * (2 * at.u1 + at.u2)
    return out


def information(sets: RiskSets, at: Moments, multiplier: Floats) -> Floats:
    """Sum over the event times of the variance of the covariates at risk, times `multiplier`."""
    weighted = sets.weight * at.risk
    gram_of_means = _mean_moments(sets, weighted, at.total, sets.event_weight * multiplier)[1]
    return _information(sets, at, multiplier, gram_of_means)


def _information(sets: RiskSets, at: Moments, multiplier: Floats, mean_gram: Floats) -> Floats:
    weighted = sets.weight * at.risk
    load = until(sets, hazard(sets, at) * multiplier)
    load *= weighted
    if not sets.tied.size or sets.ties == "exact":
        result = gram(sets.x, load) - mean_gram
        return (result + result.T) / 2
    scale = (sets.mean_weight * multiplier)[sets.tied]
    back = scale * at.u1 / at.tied_total
    load[sets.tied_rows] -= weighted[sets.tied_rows] * back[sets.tied_at]
    cross = (at.tied_mean * (scale * at.u1)[:, None]).T @ at.gap
    result = gram(sets.x, load) - mean_gram - gram(at.gap, scale * at.u2)
    result -= cross + cross.T
    return (result + result.T) / 2
