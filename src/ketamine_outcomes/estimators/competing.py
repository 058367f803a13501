"""Cumulative incidence under competing risks (Aalen-Johansen).

lifelines' AalenJohansenFitter moves tied times at random, so the estimator stands here: exact
ties, delayed entry, case weights and three kinds of standard error, all in linear time.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from .competing_variance import Steps, aalen, greenwood, jackknife
from .inputs import case_weights, codes, complete_rows, require_columns, survival_times
from .nonparametric import INTERVALS, probability_interval
from .results import (
    CURVE_COLUMNS,
    Floats,
    Ints,
    InvalidInput,
    NotEstimable,
    Result,
    check_choice,
    check_level,
)

VARIANCES = ("greenwood", "jackknife", "aalen")


@dataclass(frozen=True)
class RiskTable:
    """Rows at risk and events at the distinct ends of follow-up of one group.

    Shapes: `time`, `at_risk`, `n_at_risk` (m,); `events`, `n_events` (m, K).
    """

    time: Floats
    at_risk: Floats  # sum of weights
    events: Floats
    n_at_risk: Floats  # number of rows; the same array when there are no weights
    n_events: Floats
    first: Ints  # per row: index of the first time at which the row is at risk
    last: Ints  # per row: index of its own end


def risk_table(
    start: Floats, stop: Floats, cause: Ints, n_causes: int, weight: Floats | None = None
) -> RiskTable:
    """Sum the rows at risk in (start, stop] and the events of causes 1 ... K, exact ties."""
    if np.isfinite(start).any():
        values, rank = np.unique(np.r_[stop, start], return_inverse=True)
        is_end = np.zeros(values.size, bool)
        is_end[rank[: stop.size]] = True
        so_far = np.cumsum(is_end)
        time, last, first = values[is_end], so_far[rank[: stop.size]] - 1, so_far[rank[stop.size :]]
    else:
        time, last = np.unique(stop, return_inverse=True)
        first = np.zeros(stop.size, np.int64)
    m = time.size
    key = last * (n_causes + 1) + cause

    def sums(weight: Floats | None) -> tuple[Floats, Floats]:
        change = np.bincount(last, weight, minlength=m + 1).astype(float)
        change[:m] -= np.bincount(first, weight, minlength=m + 1)[1:]
        events = np.bincount(key, weight, minlength=m * (n_causes + 1)).reshape(m, -1)[:, 1:]
        return np.cumsum(change[m - 1 :: -1])[::-1], events.astype(float)

    n_at_risk, n_events = at_risk, events = sums(None)
    if weight is not None:
        at_risk, events = sums(weight)
        # rounding must not leave anybody behind when all who are at risk have their event
        ended = events.sum(axis=1)
        all_end = n_at_risk == n_events.sum(axis=1)
        at_risk = np.where(all_end, ended, np.maximum(at_risk, ended))
    return RiskTable(time, at_risk, events, n_at_risk, n_events, first, last)


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
    label, levels = codes(rows, group) if group else (np.zeros(len(rows), np.int64), ["all"])
    unit = codes(rows, cluster)[0] if cluster else None
    if unit is not None and int(unit.max()) == 0:
        raise NotEstimable(
            "one cluster only: a cluster-robust standard error needs several; leave cluster out"
        )
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
    order = np.argsort(label, kind="stable")
    parts = []
    for name, mine in zip(levels, np.split(order, np.cumsum(np.bincount(label))[:-1]), strict=True):
        weighted = None if weight is None else weight[mine]
        table = risk_table(start[mine], stop[mine], cause[mine], causes.size, weighted)
        steps = _steps(table)
        if model_based:
            spread = (aalen if variance == "aalen" else greenwood)(steps)
        else:
            spread = jackknife(
                steps,
                table.first,
                table.last,
                cause[mine],
                np.ones(mine.size) if weighted is None else weighted,
                None if unit is None else unit[mine],
            )
        std_error = np.sqrt(np.maximum(spread, 0.0))
        if unit is not None and np.ptp(unit[mine]) == 0:
            std_error[:] = np.nan
        for k, number in enumerate(causes):
            estimate = steps.incidence[:, k]
            low, high = probability_interval(estimate, std_error[:, k], ci, level)
            parts.append(
                pd.DataFrame(
                    {
                        "group": name,
                        "cause": int(number),
                        "time": table.time,
                        "estimate": estimate,
                        "std_error": std_error[:, k],
                        "ci_low": low,
                        "ci_high": high,
                        "n_at_risk": table.n_at_risk,
                        "n_events": table.n_events[:, k],
                    }
                )[CURVE_COLUMNS]
            )
    n_units = None if model_based else len(rows) if unit is None else int(unit.max()) + 1
    return Result(
        curve=pd.concat(parts, ignore_index=True),
        diagnostics={
            "n_observations": len(rows),
            "n_dropped": dropped,
            "n_clusters": n_units,
            "n_events": {int(k): int((code == k).sum()) for k in causes},
            "variance": "jackknife by cluster" if cluster else variance,
            "ci": ci,
            "level": level,
        },
    )


def _steps(table: RiskTable) -> Steps:
    """Cumulative incidence and what its variances need, at each time."""
    n = table.at_risk
    gone = table.events.sum(axis=1) / n
    after = np.cumprod(1 - gone)
    before = np.r_[1.0, after[:-1]]
    jump = table.events / n[:, None]
    return Steps(n, jump, gone, before, np.cumsum(before[:, None] * jump, axis=0))
