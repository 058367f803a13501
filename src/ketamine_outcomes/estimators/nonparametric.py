"""Kaplan-Meier curves and the log-rank test.

lifelines gives the risk table and the survival estimate (equal to R's survfit to 14 digits)
and the log-rank statistic (equal to survdiff); standard errors and intervals are computed here
because lifelines offers the log-log interval only.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from scipy import special

from .inputs import codes, complete_rows, require_columns, survival_times
from .results import (
    CURVE_COLUMNS,
    Floats,
    InvalidInput,
    NotEstimable,
    Result,
    check_level,
)

INTERVALS = ("plain", "log", "log-log")


def probability_interval(
    estimate: Floats, std_error: Floats, ci: str, level: float
) -> tuple[Floats, Floats]:
    """Pointwise interval of a probability, inside [0, 1], as survfit's conf.type.

    NaN where the transformation does not exist (estimate 0, or 1 under log-log).
    """
    if ci not in INTERVALS:
        raise InvalidInput(f"ci must be one of {', '.join(INTERVALS)}")
    z = float(special.ndtri((1 + level) / 2))
    with np.errstate(divide="ignore", invalid="ignore"):
        if ci == "plain":
            low, high = estimate - z * std_error, estimate + z * std_error
        elif ci == "log":
            width = z * std_error / estimate
            low, high = estimate * np.exp(-width), estimate * np.exp(width)
        else:
            log_p = np.log(estimate)
            width = z * std_error / (estimate * log_p)
            low = np.exp(-np.exp(np.log(-log_p) - width))
            high = np.exp(-np.exp(np.log(-log_p) + width))
    return np.maximum(low, 0.0), np.minimum(high, 1.0)


def kaplan_meier(
    data: pd.DataFrame,
    time: str,
    event: str,
    entry: str | None = None,
    group: str | None = None,
    ci: str = "log",
    level: float = 0.95,
) -> Result:
    """Kaplan-Meier survival curve with Greenwood standard errors.

    A row is at risk in (entry, time]; any code above 0 in `event` is an event.

    Parameters
    ----------
    data
        One row per subject, or per interval of a subject.
    time, event, entry, group
        Columns: end of follow-up, 0 = censored, start of follow-up, group.
    ci
        plain, log or log-log (survfit's conf.type).
    level
        Confidence level.

    Returns
    -------
    Result
        `.curve` at every distinct end of follow-up. Where the curve reaches 0 its standard
        error is not defined (NaN), as in survfit.

    Notes
    -----
    R: `survfit(Surv(entry, time, event > 0) ~ group, conf.type = ci)`. Greenwood (1926).

    Examples
    --------
    >>> rows = pd.DataFrame({"t": [1, 2, 3], "e": [1, 0, 1]})
    >>> kaplan_meier(rows, "t", "e").curve["estimate"].round(3).tolist()
    [0.667, 0.667, 0.0]
    """
    check_level(level)
    if ci not in INTERVALS:
        raise InvalidInput(f"ci must be one of {', '.join(INTERVALS)}")
    used = require_columns(data, [time, event, entry, group])
    rows, dropped = complete_rows(data, used)
    start, stop, cause = survival_times(rows, time, event, entry)
    label, levels = codes(rows, group) if group else (np.zeros(len(rows), np.int64), ["all"])
    parts = []
    for index, name in enumerate(levels):
        mine = label == index
        table = _lifelines_table(start[mine], stop[mine], cause[mine] > 0)
        low, high = probability_interval(table["estimate"], table["std_error"], ci, level)
        parts.append(
            pd.DataFrame(table).assign(group=name, cause=1, ci_low=low, ci_high=high)[CURVE_COLUMNS]
        )
    return Result(
        curve=pd.concat(parts, ignore_index=True),
        diagnostics={
            "n_observations": len(rows),
            "n_dropped": dropped,
            "n_events": int((cause > 0).sum()),
            "ci": ci,
            "level": level,
            "variance": "greenwood",
        },
    )


def _lifelines_table(start: Floats, stop: Floats, died: Any) -> dict[str, Floats]:
    """Risk table and survival by lifelines, Greenwood standard error."""
    from lifelines import KaplanMeierFitter  # lazy: 4 s

    delayed = bool(np.isfinite(start).any())
    times, inverse = np.unique(np.r_[start, stop] if delayed else stop, return_inverse=True)
    # ranks instead of times: lifelines adds a row at 0 and cannot take entries before 0
    rank = inverse.astype(float) + 1
    n = stop.size
    fitter = KaplanMeierFitter()
    if delayed:
        import warnings

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a risk set that empties early is the user's to see
            fitter.fit(rank[n:], died, entry=rank[:n])
    else:
        fitter.fit(rank, died)
    events = fitter.event_table
    shown = (events["removed"] > 0).to_numpy()
    # lifelines counts who enters at t as at risk at t; R's (entry, time] does not
    late = events["entrance"].to_numpy(dtype=float) if delayed else 0.0
    at_risk = (events["at_risk"].to_numpy(dtype=float) - late)[shown]
    n_events = events["observed"].to_numpy(dtype=float)[shown]
    estimate = (
        fitter.survival_function_.iloc[:, 0]
        .reindex(events.index[shown])
        .to_numpy(dtype=float, copy=True)
    )
    with np.errstate(divide="ignore", invalid="ignore"):
        share = np.cumsum(n_events / (at_risk * (at_risk - n_events)))
        std_error = estimate * np.sqrt(share)
    return {
        "time": times[events.index.to_numpy(dtype=float)[shown].astype(int) - 1],
        "estimate": estimate,
        "std_error": std_error,
        "n_at_risk": at_risk,
        "n_events": n_events,
    }


def logrank(data: pd.DataFrame, time: str, event: str, group: str) -> Result:
    """Log-rank test of equal hazards between groups, right-censored data.

    Returns
    -------
    Result
        `.table` with statistic (chi-square), df, p_value.

    Notes
    -----
    R: `survdiff(Surv(time, event > 0) ~ group)`. Computed by lifelines.

    Examples
    --------
    >>> rows = pd.DataFrame({"t": [1, 2, 3, 4], "e": [1, 1, 1, 1], "g": [0, 1, 0, 1]})
    >>> int(logrank(rows, "t", "e", "g").table["df"].iloc[0])
    1
    """
    from lifelines.statistics import multivariate_logrank_test  # lazy: 4 s

    rows, dropped = complete_rows(data, require_columns(data, [time, event, group]))
    _, stop, cause = survival_times(rows, time, event, None)
    label, levels = codes(rows, group)
    if len(levels) < 2:
        raise InvalidInput(f"column {group!r} holds one group: the log-rank test compares two")
    if not (cause > 0).any():
        raise NotEstimable("no event was observed: there is nothing to compare")
    test = multivariate_logrank_test(stop, label, cause > 0)
    statistic, df = float(test.test_statistic), len(levels) - 1
    return Result(
        table=pd.DataFrame(
            {
                "statistic": [statistic],
                "df": [df],
                "p_value": [float(special.chdtrc(df, statistic))],
            }
        ),
        diagnostics={
            "n_observations": len(rows),
            "n_dropped": dropped,
            "n_events": int((cause > 0).sum()),
            "n_groups": len(levels),
        },
    )
