"""Residuals of the Cox model, per unit of weight, on the sorted rows of the risk sets."""

from __future__ import annotations

import numpy as np

from .cox_likelihood import Moments, grouped, hazard, hazard_mean, means, until
from .cox_risk_sets import RiskSets
from .results import Floats


def martingale_residuals(sets: RiskSets, at: Moments) -> Floats:
    """Events less expected events of each sorted row (n,), per unit of weight."""
    out = -at.risk * until(sets, hazard(sets, at))
    if sets.tied.size and sets.ties == "efron":
        back = sets.mean_weight[sets.tied] * at.u1 / at.tied_total
        out[sets.tied_rows] += at.risk[sets.tied_rows] * back[sets.tied_at]
    out[sets.died] += 1.0
    return out


def event_mean(sets: RiskSets, at: Moments) -> Floats:
    """Mean covariates at risk at each cell, averaged over its tied events (m, p)."""
    mean = means(sets, at)
    mean[sets.tied] += (at.u1 / sets.n_died[sets.tied])[:, None] * at.gap
    return mean


def event_sums(sets: RiskSets) -> Floats:
    """Weighted sum of the covariates of the events of each cell (m, p)."""
    begin = np.cumsum(sets.n_died) - sets.n_died
    return grouped(sets.weight[sets.died], sets.died, begin, sets.x)


def score_residuals(sets: RiskSets, at: Moments) -> Floats:
    """Score residuals of the sorted rows (n, p), per unit of weight.

    Exact under Efron's ties: an event takes part in its own risk set with the share that the
    approximation leaves it.
    """
    out = until(sets, hazard_mean(sets, at))
    out -= sets.x * until(sets, hazard(sets, at))[:, None]
    out *= at.risk[:, None]
    if sets.tied.size:
        rows, cell = sets.tied_rows, sets.tied_at
        scale = sets.mean_weight[sets.tied] / at.tied_total
        h = scale * at.u1
        hx = h[:, None] * at.tied_mean + (scale * at.u2)[:, None] * at.gap
        out[rows] += at.risk[rows, None] * (sets.x[rows] * h[cell, None] - hx[cell])
    out[sets.died] += sets.x[sets.died] - event_mean(sets, at)[sets.at]
    return out


def in_data_order(sets: RiskSets, values: Floats) -> Floats:
    """Values of the sorted rows in the order of the data; 0 for rows never at risk."""
    out = np.zeros((sets.n_rows, *values.shape[1:]))
    out[sets.order] = values
    return out
