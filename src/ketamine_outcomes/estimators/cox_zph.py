"""Score test of proportional hazards."""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy import special

from . import cox_residuals
from .cox_fitted import Fitted
from .cox_likelihood import information
from .results import Floats, InvalidInput, NotEstimable, check_choice, check_flag

TRANSFORMS = ("km", "rank", "identity", "log")
ROUNDING = 1e-12  # an information below it, relative to that of the coefficients, is 0
SINGULAR = 1e-10  # smallest variance left by the coefficients, relative to that without them


def score_test(fitted: Fitted, transform: str, terms: bool) -> pd.DataFrame:
    """Test that each effect is constant against one linear in a function of time.

    The score of the products of covariates and the function, its variance given the fitted
    coefficients (Grambsch & Therneau 1994, without their approximation of equal variances).
    """
    check_choice(transform, TRANSFORMS, "transform")
    check_flag(terms, "terms")
    sets, at = fitted.sets, fitted.at
    g = _time_function(fitted, transform)
    g = g - np.average(g, weights=sets.n_died)
    spread = float(np.abs(g).max())
    if spread == 0:
        raise NotEstimable("all events are at one time: effects cannot change over time")
    g = g / spread
    per_cell = cox_residuals.event_sums(sets) - sets.event_weight[:, None] * (
        cox_residuals.event_mean(sets, at)
    )
    score = g @ per_cell
    plain = at.information
    mixed = information(sets, at, g)
    full = information(sets, at, g * g)
    variance = full - mixed @ np.linalg.solve(plain, mixed)
    if terms:
        groups = _columns_of_terms(fitted)
    else:
        groups = {t: [i] for i, t in enumerate(fitted.built.terms)}
    groups = groups | {"global": list(range(len(score)))}
    size = np.diag(full)
    told = size > ROUNDING * np.diag(plain)  # else g is level wherever the covariate varies
    unit = np.where(told, 1 / np.sqrt(np.where(told, size, 1.0)), 0.0)
    score, variance = score * unit, variance * np.outer(unit, unit)
    statistic = [_quadratic(score[c], variance[np.ix_(c, c)]) for c in groups.values()]
    df = [len(c) for c in groups.values()]
    return pd.DataFrame(
        {
            "term": list(groups),
            "statistic": statistic,
            "df": df,
            "p_value": special.chdtrc(df, statistic),
        }
    )


def _quadratic(score: Floats, variance: Floats) -> float:
    """Chi-square statistic; NaN where the event times are too few to tell a change."""
    if np.linalg.eigvalsh(variance)[0] <= SINGULAR:
        return float("nan")
    return float(score @ np.linalg.solve(variance, score))


def _time_function(fitted: Fitted, transform: str) -> Floats:
    """The transform at the event time of every cell."""
    time = fitted.sets.time
    if transform == "identity":
        return time
    if transform == "log":
        if (time <= 0).any():
            raise InvalidInput("an event at time 0 or before has no logarithm")
        return np.asarray(np.log(time), float)
    start, stop, died, _ = fitted.follow_up()
    if transform == "rank":
        below = np.searchsorted(np.sort(stop), time, side="left")
        upto = np.searchsorted(np.sort(stop), time, side="right")
        return np.asarray((below + upto + 1) / 2, float)
    times, events = np.unique(stop[died], return_counts=True)
    one = np.ones(stop.size)  # the curve only orders the times: weights have no part in it
    at_risk = weight_above(stop, one, times) - weight_above(start, one, times)
    before = np.r_[1.0, np.cumprod(1 - events / at_risk)[:-1]]
    return np.asarray(1 - before[np.searchsorted(times, time)], float)


def _columns_of_terms(fitted: Fitted) -> dict[str, list[int]]:
    """Coefficients that belong to each term of the formula."""
    built = fitted.built
    position = {t: i for i, t in enumerate(built.terms)}
    names = list(built.spec.column_names)
    groups = {}
    for term, places in built.spec.term_indices.items():
        columns = [position[names[i]] for i in places if names[i] in position]
        if columns:
            groups[str(term)] = columns
    return groups


def weight_above(values: Floats, weight: Floats, edges: Floats) -> Floats:
    """Sum of the weights of the values at or above each edge."""
    order = np.argsort(values, kind="stable")
    total = np.r_[0.0, np.cumsum(weight[order][::-1])]
    above = values.size - np.searchsorted(values[order], edges, side="left")
    return np.asarray(total[above], float)
