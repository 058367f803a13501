"""Mean time alive, and mean time lost to a cause, up to a horizon tau."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from .influence import before_first
from .inputs import complete_rows, require_columns, survival_times
from .kaplan_meier import SurvivalSteps, late_rows, survival_steps
from .results import (
    Bools,
    Floats,
    Ints,
    InvalidInput,
    NotEstimable,
    Result,
    as_float,
    check_level,
    check_whole,
    t_quantile,
    two_sided_p,
)
from .risk_sets import RiskSets, group_rows, risk_sets


def rmst(
    data: pd.DataFrame,
    time: str,
    event: str,
    tau: float,
    entry: str | None = None,
    group: str | None = None,
    level: float = 0.95,
) -> Result:
    """Restricted mean survival time: area under the Kaplan-Meier curve from 0 to tau.

    A row is at risk in (entry, time]; any code above 0 in `event` is an event.

    Parameters
    ----------
    data
        One row per subject, or per interval of a subject.
    time, event, entry, group
        Columns: end of follow-up, 0 = censored, start of follow-up, group.
    tau
        Horizon, in units of `time`, above 0.
    level
        Confidence level.

    Returns
    -------
    Result
        `.table` with measure, group, reference, estimate, std_error, statistic, df, p_value,
        ci_low, ci_high. Rows: `mean` of each group; `difference` and `ratio` of each further
        group to the first (`reference`). A ratio has its test and its std_error on the log
        scale, and is NaN where a mean is 0; a test is NaN where its std_error is 0. Groups are
        taken as independent.

    Raises
    ------
    NotEstimable
        A group is followed for less than tau while its curve is above 0: nothing is
        extrapolated.

    Notes
    -----
    Variance: sum over event times t of (area between t and tau)^2 d / (n (n - d)), Irwin (1949),
    Kaplan & Meier (1958); differences and ratios as Uno et al. (2014). R:
    `summary(survfit(Surv(entry, time, event > 0) ~ group), rmean = tau)$table`.

    Examples
    --------
    >>> rows = pd.DataFrame({"t": [1, 2, 3, 4], "e": [1, 1, 0, 0]})
    >>> rmst(rows, "t", "e", tau=3).table["estimate"].tolist()
    [2.25]
    """
    check_level(level)
    rows, dropped, start, stop, cause = _rows(data, time, event, tau, entry, group)
    groups = group_rows(rows, group)
    means, late = [], 0
    for _, mine in groups:
        sets = risk_sets(start[mine], stop[mine])
        died = cause[mine] > 0
        steps = survival_steps(sets, died)
        _refuse_extrapolation(sets, steps.estimate, tau)
        late += late_rows(sets, steps.estimate)
        mean, later = _areas(sets.time, steps.estimate, 1.0, tau)
        terms = steps.events / sets.at_risk * steps.jump
        means.append((mean, float(np.sqrt(later**2 @ terms))))
    return _result(groups, means, level, dropped, cause > 0, tau, late)


def restricted_mean_time_lost(
    data: pd.DataFrame,
    time: str,
    event: str,
    tau: float,
    cause: int = 1,
    entry: str | None = None,
    group: str | None = None,
    level: float = 0.95,
) -> Result:
    """Mean time lost to a cause up to tau: area under its cumulative incidence (Aalen-Johansen).

    Parameters
    ----------
    data
        One row per subject, at risk in (entry, time].
    time, event, tau, entry, group, level
        As in `rmst`; `event` holds 0 (censored) or the cause 1, 2, ...
    cause
        The cause to which time is lost.

    Returns
    -------
    Result
        `.table` as that of `rmst`; the `mean` is the mean time lost.

    Raises
    ------
    NotEstimable
        The cause never occurs, or a group is followed for less than tau while some of it is
        free of any event.

    Notes
    -----
    Andersen (2013). The standard error is the infinitesimal jackknife by row. R: with
    `fit <- survfit(Surv(entry, time, factor(event)) ~ 1, id = id)` for one group, the cause's
    row of `summary(fit, rmean = tau)$table` and column of
    `sqrt(colSums(residuals(fit, times = tau, type = "auc")^2))`.

    Examples
    --------
    >>> rows = pd.DataFrame({"t": [1, 2, 3, 4], "e": [1, 2, 0, 0]})
    >>> restricted_mean_time_lost(rows, "t", "e", tau=3).table["estimate"].tolist()
    [0.5]
    """
    check_level(level)
    rows, dropped, start, stop, code = _rows(data, time, event, tau, entry, group)
    cause = check_whole(cause, "cause", 1)
    if not (code == cause).any():
        raise NotEstimable("the cause never occurs in the rows: no time is lost to it")
    groups = group_rows(rows, group)
    means, late = [], 0
    for _, mine in groups:
        sets = risk_sets(start[mine], stop[mine])
        steps = survival_steps(sets, code[mine] > 0)
        _refuse_extrapolation(sets, steps.estimate, tau)
        late += late_rows(sets, steps.estimate)
        means.append(_time_lost(sets, steps, code[mine] > 0, code[mine] == cause, tau))
    return _result(groups, means, level, dropped, code == cause, tau, late)


def _time_lost(
    sets: RiskSets, steps: SurvivalSteps, ended: Bools, lost: Bools, tau: float
) -> tuple[float, float]:
    """Area under the cumulative incidence up to tau, and its standard error.

    A row at risk at v moves the area by the jump of the incidence it causes, S(v-) / n, for the
    rest of the time, and by the share of all later incidence that it prevents, 1 / (n - d).
    """
    before = np.r_[1.0, steps.estimate[:-1]]
    own = before / sets.at_risk
    incidence = np.cumsum(own * sets.events(lost))
    area, later = _areas(sets.time, incidence, 0.0, tau)
    rest = np.maximum(tau - sets.time, 0.0)
    prevented = (later - rest * incidence) * steps.jump
    path = np.cumsum(
        own * rest * sets.events(lost) / sets.at_risk - prevented * steps.events / sets.at_risk
    )
    influence = before_first(path, sets.first) - path[sets.last]
    influence += np.where(lost, (own * rest)[sets.last], 0.0)
    influence -= np.where(ended, prevented[sets.last], 0.0)
    return area, float(np.sqrt(influence @ influence))


def _rows(
    data: pd.DataFrame, time: str, event: str, tau: float, entry: str | None, group: str | None
) -> tuple[pd.DataFrame, int, Floats, Floats, Ints]:
    if not 0 < as_float(tau) < np.inf:
        raise InvalidInput("tau must be a time above 0")
    rows, dropped = complete_rows(data, require_columns(data, [time, event, entry, group]))
    start, stop, cause = survival_times(rows, time, event, entry)
    if (stop <= 0).any() and entry is not None:
        raise InvalidInput(
            f"{int((stop <= 0).sum())} rows end at or before time 0, from which the mean counts: "
            "leave them out first"
        )
    return rows, dropped, start, stop, cause


def _refuse_extrapolation(sets: RiskSets, event_free: Floats, tau: float) -> None:
    if tau > sets.time[-1] and event_free[-1] > 0:
        raise NotEstimable(
            "tau lies beyond the last follow-up of a group: take a tau that every group reaches"
        )


def _areas(time: Floats, height: Floats, start: float, tau: float) -> tuple[float, Floats]:
    """Area under a step function from 0 to tau, and from each of its times to tau."""
    ends = np.minimum(np.r_[time, max(tau, time[-1])], tau)
    pieces = height * np.diff(ends)
    later = np.cumsum(pieces[::-1])[::-1]
    return float(start * ends[0] + later[0]), later


def _result(
    groups: list[tuple[Any, Ints]],
    means: list[tuple[float, float]],
    level: float,
    dropped: int,
    hit: Bools,
    tau: float,
    late: int,
) -> Result:
    """Means of the groups, then differences and ratios to the first."""
    names = [name for name, _ in groups]
    mean, error = np.array(means, float).T
    further = len(names) - 1
    measure = np.repeat(["mean", "difference", "ratio"], [len(names), further, further])
    ratio = measure == "ratio"
    with np.errstate(divide="ignore", invalid="ignore"):
        relative = error / mean
        estimate = np.r_[mean, mean[1:] - mean[0], np.log(mean[1:] / mean[0])]
        std_error = np.r_[error, np.hypot(error[1:], error[0]), np.hypot(relative[1:], relative[0])]
        # no ratio to a mean of 0, no test where nothing varies
        estimate = np.where(ratio & ~np.isfinite(estimate), np.nan, estimate)
        std_error = np.where(np.isnan(estimate), np.nan, std_error)
        tested = (measure != "mean") & (std_error > 0)
        statistic = np.where(tested, estimate / std_error, np.nan)
    half = t_quantile(level, np.inf) * std_error

    def natural(values: Floats) -> Floats:
        return np.where(ratio, np.exp(np.where(ratio, values, 0.0)), values)

    table = pd.DataFrame(
        {
            "measure": measure.tolist(),
            "group": names + names[1:] * 2,
            "reference": np.array([None] * len(names) + [names[0]] * 2 * further, dtype=object),
            "estimate": natural(estimate),
            "std_error": std_error,
            "statistic": statistic,
            "df": np.inf,
            "p_value": two_sided_p(statistic, np.inf),
            "ci_low": natural(estimate - half),
            "ci_high": natural(estimate + half),
        }
    )
    return Result(
        table=table,
        diagnostics={
            "n_observations": sum(mine.size for _, mine in groups),
            "n_dropped": dropped,
            "n_events": int(hit.sum()),
            "n_after_zero": late,
            "tau": float(tau),
            "level": level,
        },
    )
