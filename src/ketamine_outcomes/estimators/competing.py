"""Cumulative incidence under competing risks (Aalen-Johansen).

lifelines' AalenJohansenFitter moves tied times at random, so the estimator stands here: exact
ties, delayed entry, Greenwood-type or (cluster-) robust standard errors.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from .inputs import codes, complete_rows, require_columns, survival_times
from .nonparametric import INTERVALS, probability_interval
from .results import (
    CURVE_COLUMNS,
    Floats,
    Ints,
    InvalidInput,
    NotEstimable,
    Result,
    check_level,
)

CELLS_PER_BLOCK = 4_000_000  # clusters x times held at once by the robust variance


@dataclass(frozen=True)
class RiskTable:
    """Counts at the distinct ends of follow-up of one group.

    Shapes: `time`, `at_risk` (m,); `events` (m, K).
    """

    time: Floats
    at_risk: Floats
    events: Floats
    first: Ints  # per row: index of the first time at which the row is at risk
    last: Ints  # per row: index of its own end


def risk_table(start: Floats, stop: Floats, cause: Ints, n_causes: int) -> RiskTable:
    """Count rows at risk in (start, stop] and events of each cause, exact ties."""
    time, last = np.unique(stop, return_inverse=True)
    first = np.searchsorted(time, start, side="right")
    m = time.size
    enters = np.bincount(first, minlength=m + 1)[:m]
    leaves = np.bincount(last, minlength=m)
    at_risk = np.cumsum(enters) - np.r_[0, np.cumsum(leaves)[:-1]]
    counts = np.bincount(last * (n_causes + 1) + cause, minlength=m * (n_causes + 1))
    events = counts.reshape(m, n_causes + 1)[:, 1:]
    return RiskTable(
        time, at_risk.astype(float), events.astype(float), first.astype(np.int64), last
    )


def aalen_johansen(
    data: pd.DataFrame,
    time: str,
    event: str,
    entry: str | None = None,
    group: str | None = None,
    cluster: str | None = None,
    variance: str = "greenwood",
    ci: str = "plain",
    level: float = 0.95,
) -> Result:
    """Cumulative incidence of every cause, by group.

    A row is at risk in (entry, time].

    Parameters
    ----------
    data
        One row per subject.
    time, event, entry, group
        Columns: end of follow-up, 0 = censored or cause 1, 2, ..., start of follow-up, group.
    cluster
        Column of the units that repeat. When given, the standard error is the infinitesimal
        jackknife summed by cluster, whatever `variance` says.
    variance
        greenwood (multinomial jumps, as R's etm and prodlim) or jackknife (infinitesimal
        jackknife by row, as survfit).
    ci
        plain, log or log-log, of the cumulative incidence itself.
    level
        Confidence level.

    Returns
    -------
    Result
        `.curve` at every distinct end of follow-up for each group and cause.

    Notes
    -----
    Andersen, Borgan, Gill & Keiding (1993), eq. 4.4.20, for greenwood. R:
    `survfit(Surv(entry, time, factor(event)) ~ group, id = , cluster = )` for jackknife.
    The Greenwood-type variance of cause k at t is the delta method on the multinomial jumps
    q_kj = d_kj / n_j: sum over t_j <= t of S^2 q_k (1 - q_k) / n + D^2 q / (n (1 - q))
    - 2 S D q_k / n with D = F_k(t) - F_k(t_j) and S the event-free share before t_j.

    Examples
    --------
    >>> rows = pd.DataFrame({"t": [1, 2, 2, 3], "e": [1, 2, 0, 1]})
    >>> curve = aalen_johansen(rows, "t", "e").curve
    >>> curve.loc[curve["cause"] == 2, "estimate"].tolist()
    [0.0, 0.25, 0.25]
    """
    check_level(level)
    if variance not in ("greenwood", "jackknife"):
        raise InvalidInput("variance must be greenwood or jackknife")
    if ci not in INTERVALS:
        raise InvalidInput(f"ci must be one of {', '.join(INTERVALS)}")
    rows, dropped = complete_rows(data, require_columns(data, [time, event, entry, group, cluster]))
    start, stop, cause = survival_times(rows, time, event, entry)
    n_causes = int(cause.max())
    if n_causes == 0:
        raise NotEstimable(
            "every row is censored: without an event there is no cause to show; use exact_rate "
            "for the bound"
        )
    label, levels = codes(rows, group) if group else (np.zeros(len(rows), np.int64), ["all"])
    unit = codes(rows, cluster)[0] if cluster else np.arange(len(rows))
    robust = cluster is not None or variance == "jackknife"
    parts = []
    for index, name in enumerate(levels):
        mine = np.flatnonzero(label == index)
        table = risk_table(start[mine], stop[mine], cause[mine], n_causes)
        incidence, before, gone = _incidence(table)
        if robust:
            spread = _robust_variance(table, incidence, before, gone, cause[mine], unit[mine])
        else:
            spread = _greenwood_variance(table, incidence, before, gone)
        std_error = np.sqrt(np.maximum(spread, 0.0))
        for k in range(n_causes):
            low, high = probability_interval(incidence[:, k], std_error[:, k], ci, level)
            parts.append(
                pd.DataFrame(
                    {
                        "group": name,
                        "cause": k + 1,
                        "time": table.time,
                        "estimate": incidence[:, k],
                        "std_error": std_error[:, k],
                        "ci_low": low,
                        "ci_high": high,
                        "n_at_risk": table.at_risk,
                        "n_events": table.events[:, k],
                    }
                )[CURVE_COLUMNS]
            )
    return Result(
        curve=pd.concat(parts, ignore_index=True),
        diagnostics={
            "n_observations": len(rows),
            "n_dropped": dropped,
            "n_clusters": int(np.unique(unit).size) if robust else None,
            "n_events": {k + 1: int((cause == k + 1).sum()) for k in range(n_causes)},
            "variance": "jackknife by cluster" if cluster else variance,
            "ci": ci,
            "level": level,
        },
    )


def _incidence(table: RiskTable) -> tuple[Floats, Floats, Floats]:
    """Cumulative incidence (m, K), event-free share before each time, all-cause jump q."""
    n = table.at_risk
    gone = table.events.sum(axis=1) / n
    after = np.cumprod(1 - gone)
    before = np.r_[1.0, after[:-1]]
    return np.cumsum(before[:, None] * table.events / n[:, None], axis=0), before, gone


def _odds(gone: Floats) -> Floats:
    """1 / (1 - q), and 0 where nobody is left (the curve is flat from there on)."""
    return np.where(gone < 1, 1 / np.where(gone < 1, 1 - gone, 1.0), 0.0)


def _greenwood_variance(
    table: RiskTable, incidence: Floats, before: Floats, gone: Floats
) -> Floats:
    n = table.at_risk[:, None]
    q = table.events / n
    s = before[:, None]
    a = gone[:, None] * _odds(gone)[:, None] / n
    own = s**2 * q * (1 - q) / n
    mixed = s * q / n

    def cumulated(values: Floats) -> Floats:
        return np.cumsum(values, axis=0)

    # sum over j of (F(t) - F_j)^2 a - 2 (F(t) - F_j) mixed, opened so that one pass is enough
    return (
        cumulated(own + incidence**2 * a + 2 * incidence * mixed)
        - 2 * incidence * cumulated(incidence * a + mixed)
        + incidence**2 * cumulated(a)
    )


def _robust_variance(
    table: RiskTable, incidence: Floats, before: Floats, gone: Floats, cause: Ints, unit: Ints
) -> Floats:
    """Sum over clusters of the squared influence on each cumulative incidence."""
    m, n_causes = incidence.shape
    _, compact = np.unique(unit, return_inverse=True)
    n_units = int(compact.max()) + 1
    order = np.argsort(compact, kind="stable")
    edges = np.searchsorted(compact[order], np.arange(n_units + 1))
    q = table.events / table.at_risk[:, None]
    weight = _odds(gone) / table.at_risk
    total = np.zeros((m, n_causes))
    block = max(1, CELLS_PER_BLOCK // m)
    for low in range(0, n_units, block):
        high = min(n_units, low + block)
        part = order[edges[low] : edges[high]]
        own = compact[part] - low
        size = (high - low) * (m + 1)
        enters = np.bincount(own * (m + 1) + table.first[part], minlength=size)
        leaves = np.bincount(own * (m + 1) + table.last[part] + 1, minlength=size)
        at_risk = np.cumsum((enters - leaves).reshape(-1, m + 1), axis=1)[:, :m]
        died = np.zeros((high - low, m))
        influence = []
        for k in range(n_causes):
            hit = part[cause[part] == k + 1]
            counts = np.bincount(
                (compact[hit] - low) * m + table.last[hit], minlength=(high - low) * m
            ).reshape(-1, m)
            died += counts
            influence.append(before / table.at_risk * (counts - at_risk * q[:, k]))
        later = weight * (died - at_risk * gone)
        reach = np.cumsum(later, axis=1)
        for k in range(n_causes):
            f = incidence[:, k]
            total[:, k] += ((np.cumsum(influence[k] + f * later, axis=1) - f * reach) ** 2).sum(
                axis=0
            )
    return total
