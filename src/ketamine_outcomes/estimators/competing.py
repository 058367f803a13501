"""Cumulative incidence under competing risks (Aalen-Johansen).

lifelines' AalenJohansenFitter moves tied times at random, so the estimator stands here: exact
ties, delayed entry, case weights and three kinds of standard error, all in linear time.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from .competing_variance import Steps, aalen, greenwood, jackknife
from .inputs import case_weights, cluster_codes, complete_rows, require_columns, survival_times
from .kaplan_meier import INTERVALS, probability_interval
from .results import Floats, Ints, InvalidInput, NotEstimable, Result, check_choice, check_level
from .risk_sets import RiskSets, curve_table, group_rows, risk_sets

VARIANCES = ("greenwood", "jackknife", "aalen")


def aalen_johansen(
    data: pd.DataFrame,
    time: str,
    event: str,
    entry: str | None = None,
    group: str | None = None,
    weights: str | None = None,
    cluster: str | None = None,
    variance: str = "greenwood",
    ci: str = "plain",
    level: float = 0.95,
) -> Result:
    """Cumulative incidence of every cause that occurs, by group.

    A row is at risk in (entry, time].

    Parameters
    ----------
    data
        One row per subject.
    time, event, entry, group
        Columns: end of follow-up, 0 = censored or cause 1, 2, ..., start of follow-up, group.
    weights
        Column of case weights; a row of weight 0 is left out. The model-based standard errors
        (greenwood, aalen) take a weight as a number of equal rows; for sampling or inverse
        probability weights use jackknife.
    cluster
        Column of the units that repeat. When given, the standard error is the infinitesimal
        jackknife summed by cluster, whatever `variance` says; NaN in a group of one cluster.
    variance
        greenwood (multinomial jumps, as R's etm and prodlim), jackknife (infinitesimal
        jackknife by row, as survfit) or aalen (as cmprsk::cuminc).
    ci
        plain, log or log-log, of the cumulative incidence itself.
    level
        Confidence level.

    Returns
    -------
    Result
        `.curve` at every distinct end of follow-up for each group and cause. `n_at_risk` and
        `n_events` count rows, also under weights (as survfit does for several causes).

    Raises
    ------
    InvalidInput
        A column is missing or holds something else than its role needs.
    NotEstimable
        Every row is censored, or has weight 0; one cluster only.

    Notes
    -----
    Andersen, Borgan, Gill & Keiding (1993), eq. 4.4.20, for greenwood; Aalen (1978) for aalen.
    R: `survfit(Surv(entry, time, factor(event)) ~ group, id = , weights = )` for jackknife,
    `cmprsk::cuminc(time, event, group)` for aalen.

    Examples
    --------
    >>> rows = pd.DataFrame({"t": [1, 2, 2, 3], "e": [1, 2, 0, 1]})
    >>> curve = aalen_johansen(rows, "t", "e").curve
    >>> curve.loc[curve["cause"] == 2, "estimate"].tolist()
    [0.0, 0.25, 0.25]
    """
    check_level(level)
    check_choice(variance, VARIANCES, "variance")
    check_choice(ci, INTERVALS, "ci")
    used = require_columns(data, [time, event, entry, group, weights, cluster])
    rows, dropped = complete_rows(data, used)
    rows, weight = case_weights(rows, weights)
    start, stop, code = survival_times(rows, time, event, entry)
    unit = cluster_codes(rows, cluster) if cluster is not None else None
    model_based = variance != "jackknife" and unit is None
    if variance == "aalen" and model_based and weight is not None and (weight % 1 != 0).any():
        raise InvalidInput(
            f"variance aalen counts rows, but {weights!r} holds weights that are not whole "
            "numbers: use variance jackknife"
        )
    causes = np.unique(code[code > 0])
    if causes.size == 0:
        raise NotEstimable(
            "every row is censored: without an event there is no cause to show; use exact_rate "
            "for the bound"
        )
    cause = np.where(code > 0, np.searchsorted(causes, code) + 1, 0)
    names, parts = [], []
    for name, mine in group_rows(rows, group):
        sets = risk_sets(start[mine], stop[mine], None if weight is None else weight[mine])
        steps, n_events = _steps(sets, cause[mine], causes.size)
        if model_based:
            spread = (aalen if variance == "aalen" else greenwood)(steps)
        else:
            own = None if unit is None else unit[mine]
            spread = jackknife(steps, sets, cause[mine], own)
        std_error = np.sqrt(np.maximum(spread, 0.0))
        if unit is not None and np.ptp(unit[mine]) == 0:
            std_error[:] = np.nan
        for k, number in enumerate(causes):
            estimate = steps.incidence[:, k]
            low, high = probability_interval(estimate, std_error[:, k], ci, level)
            names.append(name)
            parts.append(
                {
                    "cause": np.full(estimate.size, number),
                    "time": sets.time,
                    "estimate": estimate,
                    "std_error": std_error[:, k],
                    "ci_low": low,
                    "ci_high": high,
                    "n_at_risk": sets.rows_at_risk.astype(float),
                    "n_events": n_events[:, k],
                }
            )
    n_units = None if model_based else len(rows) if unit is None else int(unit.max()) + 1
    return Result(
        curve=curve_table(names, parts),
        diagnostics={
            "n_observations": len(rows),
            "n_dropped": dropped,
            "n_clusters": n_units,
            "n_events": {int(k): int((code == k).sum()) for k in causes},
            "variance": "jackknife by cluster" if cluster is not None else variance,
            "ci": ci,
            "level": level,
        },
    )


def _steps(sets: RiskSets, cause: Ints, n_causes: int) -> tuple[Steps, Floats]:
    """Cumulative incidence and what its variances need; number of rows with each event (m, K)."""
    m, n = sets.time.size, sets.at_risk
    key = sets.last * (n_causes + 1) + cause

    def by_cause(weight: Floats | None) -> Floats:
        counts = np.bincount(key, weight, minlength=m * (n_causes + 1))
        return counts.reshape(m, -1)[:, 1:].astype(float)

    events = by_cause(sets.weight)
    # rounding must not leave anybody behind when all who are at risk have their event
    gone = np.where(sets.left(cause > 0) > 0, events.sum(axis=1) / n, 1.0)
    before = np.r_[1.0, np.cumprod(1 - gone)[:-1]]
    jump = events / n[:, None]
    incidence = np.cumsum(before[:, None] * jump, axis=0)
    return Steps(n, jump, gone, before, incidence), by_cause(None)
