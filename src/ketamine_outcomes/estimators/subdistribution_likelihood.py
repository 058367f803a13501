"""Pseudo-likelihood of the Fine-Gray model and the influence of each row on its coefficients."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .results import Floats
from .subdistribution_weights import Cell, RiskSets


@dataclass(frozen=True)
class Moments:
    """Log pseudo-likelihood and what belongs to it at one coefficient vector.

    Shapes: `total`, `events` (m,); `mean` (m, p); `risk` (n,).
    """

    log_likelihood: float
    score: Floats
    information: Floats
    risk: Floats  # exp(linear predictor - shift), unweighted
    shift: float
    total: Floats  # weighted risk at each event time, in units of exp(shift)
    mean: Floats  # mean covariates of those at risk
    events: Floats  # weight of the tied events

    @property
    def step(self) -> Floats:
        """Increment of the baseline cumulative hazard, in units of exp(-shift)."""
        return self.events / self.total


@np.errstate(all="ignore")  # a step too far overflows; the search then shortens it
def moments(sets: RiskSets, x: Floats, weight: Floats, beta: Floats) -> Moments:
    """Breslow's pseudo-likelihood, score and information at `beta`."""
    linear = x @ beta
    shift = float(linear.max())
    risk = np.exp(linear - shift)
    load = weight * risk
    sums = sets.sums([load, *(load * column for column in x.T)])
    total = sums[:, 0]
    mean = sums[:, 1:] / total[:, None]
    died = sets.events
    events = np.asarray(np.bincount(sets.at, weight[died], minlength=total.size), float)
    log_likelihood = float(weight[died] @ linear[died] - events @ (np.log(total) + shift))
    exposed = load * sets.exposure([events / total])[0]
    information = x.T @ (exposed[:, None] * x) - mean.T @ (events[:, None] * mean)
    return Moments(
        log_likelihood,
        weight[died] @ x[died] - events @ mean,
        (information + information.T) / 2,
        risk,
        shift,
        total,
        mean,
        events,
    )


def score_residuals(sets: RiskSets, x: Floats, at: Moments) -> Floats:
    """Score residuals (n, p) per unit of weight, with the weights after an event as known.

    eta_i = integral of (x_i - mean) w_i dM_i (Fine & Gray 1999).
    """
    hazard, *drift = sets.exposure([at.step, *(at.step * column for column in at.mean.T)])
    residual = np.empty_like(x)
    for k, (column, passed) in enumerate(zip(x.T, drift, strict=True)):
        residual[:, k] = at.risk * (passed - column * hazard)
    residual[sets.events] += x[sets.events] - at.mean[sets.at]
    return residual


def censoring_residuals(
    sets: RiskSets, x: Floats, weight: Floats, stop: Floats, at: Moments
) -> Floats:
    """What estimating the censoring adds to the score residuals (n, p), per unit of weight.

    psi_i = integral of q / y dM_i of the censoring, with y the weight at risk and q(u) the sum,
    over those with an event of another cause before u, of the integral of (x - mean) w dL from
    u on. As in crr, dL counts the events of the cell (all events without censoring groups).
    """
    out = np.zeros_like(x)
    for cell in sets.cells:
        kept, jump = kept_at_risk(sets, cell, x, weight, stop, at), cell_steps(sets, cell, at)
        means = jump[:, None] * at.mean[cell.low : cell.high]
        steps = from_zero(np.column_stack([jump, means])[::-1])[::-1]
        after = steps[np.searchsorted(sets.time[cell.low : cell.high], cell.observed.time)]
        q = kept[:, 1:] * after[:, [0]] - kept[:, [0]] * after[:, 1:]
        out[cell.rows] = censoring_martingale(cell, q, stop)
    return out


def kept_at_risk(
    sets: RiskSets, cell: Cell, x: Floats, weight: Floats, stop: Floats, at: Moments
) -> Floats:
    """Sums of 1 and x, times risk / W(X-), over the other events before each censoring."""
    late = np.arange(sets.late.size)[cell.late]
    late = late[np.argsort(stop[sets.late[late]], kind="stable")]
    who = sets.late[late]
    load = weight[who] * at.risk[who] * sets.share[late]
    sums = from_zero(np.column_stack([load, load[:, None] * x[who]]))
    return np.asarray(sums[np.searchsorted(stop[who], cell.observed.time)], float)


def cell_steps(sets: RiskSets, cell: Cell, at: Moments) -> Floats:
    """W(t-) dL at the event times of the cell's stratum, L the hazard from its own events."""
    size = cell.high - cell.low
    factor = sets.factor[cell.offset : cell.offset + size]
    return np.asarray(factor * cell.events / at.total[cell.low : cell.high], float)


def censoring_martingale(cell: Cell, q: Floats, stop: Floats) -> Floats:
    """Integral of q / y dM_i over the censoring times of a cell, for each of its rows."""
    seen = cell.observed
    per_censoring = q / seen.at_risk[:, None]
    walked = from_zero(per_censoring * (seen.censored / seen.at_risk)[:, None])
    ends = stop[cell.rows]
    out = -walked[np.searchsorted(seen.time, ends, side="right")]
    out[cell.censored] += per_censoring[np.searchsorted(seen.time, ends[cell.censored])]
    return np.asarray(out, float)


def from_zero(values: Floats) -> Floats:
    """Cumulative sums down the rows, with a first row of zeros."""
    return np.vstack([np.zeros(values.shape[1]), np.cumsum(values, axis=0)])
