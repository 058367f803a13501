"""Kaplan-Meier curves and their quantiles."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import special

from .influence import Influence, before_first
from .inputs import case_weights, codes, complete_rows, floats, require_columns, survival_times
from .results import (
    Bools,
    Floats,
    Ints,
    InvalidInput,
    NotEstimable,
    Result,
    check_choice,
    check_level,
)
from .risk_sets import RiskSets, curve_table, group_rows, risk_sets

INTERVALS = ("plain", "log", "log-log")
SAME_LEVEL = float(np.sqrt(np.finfo(float).eps))  # as quantile() of R's survival


def probability_interval(
    estimate: Floats, std_error: Floats, ci: str, level: float
) -> tuple[Floats, Floats]:
    """Pointwise interval of a probability, inside [0, 1], as survfit's conf.type.

    NaN where the transformation does not exist (estimate 0, or 1 under log-log).
    """
    check_choice(ci, INTERVALS, "ci")
    z = float(special.ndtri((1 + level) / 2))
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
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


@dataclass(frozen=True)
class SurvivalSteps:
    """Product-limit estimate at the distinct ends of follow-up of one group; all (m,)."""

    events: Floats
    estimate: Floats
    jump: Floats  # 1 / (n - d), by which one death lowers log S; 0 where the whole risk set dies
    path: Floats  # sum of d / (n (n - d)) so far: Greenwood's sum, and what being at risk adds

    def std_error(self) -> Floats:
        """Greenwood's standard error; NaN where the curve is 0."""
        return np.where(self.estimate > 0, self.estimate * np.sqrt(self.path), np.nan)


def survival_steps(sets: RiskSets, died: Bools) -> SurvivalSteps:
    """Product-limit estimate from the risk sets."""
    events, left = sets.events(died), sets.left(died)
    jump = np.where(left > 0, 1 / np.where(left > 0, left, 1.0), 0.0)
    path = np.cumsum(events / sets.at_risk * jump)
    return SurvivalSteps(events, np.cumprod(left / sets.at_risk, dtype=float), jump, path)


def late_rows(sets: RiskSets, estimate: Floats) -> int:
    """Rows that enter after the curve has reached 0, which then says nothing about them."""
    zero = np.flatnonzero(estimate == 0)
    return int((sets.first > zero[0]).sum()) if zero.size else 0


def robust_std_error(
    sets: RiskSets, steps: SurvivalSteps, died: Bools, unit: Ints | None
) -> Floats:
    """Infinitesimal jackknife by unit of the product-limit estimate.

    A row of weight w moves log S by w times what `path` gains while it is at risk, less `jump`
    if it dies.
    """
    ended = steps.path[sets.last] - np.where(died, steps.jump[sets.last], 0.0)
    w = sets.weight
    influence = Influence(sets.first, sets.last, unit)
    of_path = influence.state(-w * before_first(steps.path, sets.first), w * ended)
    basis = [steps.estimate, steps.estimate * steps.path]
    return np.sqrt(influence.variance(basis, [of_path, influence.state(w, -w)]))


def kaplan_meier(
    data: pd.DataFrame,
    time: str,
    event: str,
    entry: str | None = None,
    group: str | None = None,
    weights: str | None = None,
    cluster: str | None = None,
    ci: str = "log",
    level: float = 0.95,
) -> Result:
    """Kaplan-Meier survival curve, by group.

    A row is at risk in (entry, time]; any code above 0 in `event` is an event.

    Parameters
    ----------
    data
        One row per subject, or per interval of a subject.
    time, event, entry, group
        Columns: end of follow-up, 0 = censored, start of follow-up, group.
    weights
        Column of case weights. Whole numbers count copies of a row; with any other weight the
        standard error is the robust one, by row. Rows of weight 0 are left out.
    cluster
        Column of the units that repeat. When given, the standard error is the infinitesimal
        jackknife summed by cluster.
    ci
        plain, log or log-log (survfit's conf.type).
    level
        Confidence level.

    Returns
    -------
    Result
        `.curve` at every distinct end of follow-up. Where the curve reaches 0 Greenwood's
        standard error is not defined (NaN), as in survfit; the robust one is 0. With delayed
        entry a small early risk set may die out; `.diagnostics["n_after_zero"]` counts the rows
        that enter later and that the curve leaves out.

    Raises
    ------
    InvalidInput
        Columns that do not hold what is described; negative weights.
    NotEstimable
        A group with one cluster only.

    Notes
    -----
    R: `survfit(Surv(entry, time, event > 0) ~ group, weights = , cluster = , conf.type = ci)`.
    Greenwood (1926); Therneau & Grambsch (2000), infinitesimal jackknife.

    Examples
    --------
    >>> rows = pd.DataFrame({"t": [1, 2, 3], "e": [1, 0, 1]})
    >>> kaplan_meier(rows, "t", "e").curve["estimate"].round(3).tolist()
    [0.667, 0.667, 0.0]
    """
    check_level(level)
    check_choice(ci, INTERVALS, "ci")
    used = require_columns(data, [time, event, entry, group, weights, cluster])
    rows, dropped = complete_rows(data, used)
    rows, weight = case_weights(rows, weights)
    start, stop, cause = survival_times(rows, time, event, entry)
    died = cause > 0
    fractional = weight is not None and bool((weight != np.floor(weight)).any())
    unit = codes(rows, cluster)[0] if cluster is not None else None
    groups = group_rows(rows, group)
    parts = []
    late = 0
    for _, mine in groups:
        sets = risk_sets(start[mine], stop[mine], None if weight is None else weight[mine])
        steps = survival_steps(sets, died[mine])
        if unit is not None and np.ptp(unit[mine]) == 0:
            raise NotEstimable(
                f"a group holds one cluster of {cluster!r} only: its standard error cannot be "
                "estimated"
            )
        if unit is not None or fractional:
            own = None if unit is None else unit[mine]
            std_error = robust_std_error(sets, steps, died[mine], own)
        else:
            std_error = steps.std_error()
        late += late_rows(sets, steps.estimate)
        low, high = probability_interval(steps.estimate, std_error, ci, level)
        parts.append(
            {
                "time": sets.time,
                "estimate": steps.estimate,
                "std_error": std_error,
                "ci_low": low,
                "ci_high": high,
                "n_at_risk": sets.at_risk,
                "n_events": steps.events,
            }
        )
    return Result(
        curve=curve_table([name for name, _ in groups], parts),
        diagnostics={
            "n_observations": len(rows),
            "n_dropped": dropped,
            "n_clusters": None if unit is None else int(unit.max()) + 1,
            "n_events": int(died.sum()),
            "n_after_zero": late,
            "ci": ci,
            "level": level,
            "variance": "jackknife by cluster"
            if cluster is not None
            else "jackknife by row"
            if fractional
            else "greenwood",
        },
    )


def survival_quantiles(
    data: pd.DataFrame,
    time: str,
    event: str,
    q: Sequence[float] = (0.25, 0.5, 0.75),
    entry: str | None = None,
    group: str | None = None,
    ci: str = "log",
    level: float = 0.95,
) -> Result:
    """Times by which given shares of the subjects have had the event, from Kaplan-Meier.

    Parameters
    ----------
    data, time, event, entry, group, ci, level
        As in `kaplan_meier`.
    q
        Shares with the event, above 0 and up to 1; 0.5 is the median.

    Returns
    -------
    Result
        `.table` with group, q, estimate, ci_low, ci_high, in units of `time`. The estimate is
        the first time at which the curve is below 1 - q; where it equals 1 - q for a while, the
        middle of that time. The limits are the same times of the limits of the curve (Brookmeyer
        & Crowley 1982). NaN: not reached.

    Raises
    ------
    InvalidInput
        q outside (0, 1], columns that do not hold what is described.

    Notes
    -----
    R: `quantile(survfit(Surv(entry, time, event > 0) ~ group, conf.type = ci), q)`.

    Examples
    --------
    >>> rows = pd.DataFrame({"t": [1, 2, 3, 4], "e": [1, 1, 1, 0]})
    >>> survival_quantiles(rows, "t", "e").table["estimate"].tolist()
    [1.5, 2.5, 3.5]
    """
    share = np.atleast_1d(floats(q, "q"))
    if share.ndim != 1 or share.size == 0 or not ((share > 0) & (share <= 1)).all():
        raise InvalidInput("q must hold shares above 0 and up to 1, for example (0.25, 0.5, 0.75)")
    result = kaplan_meier(data, time, event, entry, group, ci=ci, level=level)
    return Result(table=curve_quantiles(result.curve, share), diagnostics=result.diagnostics)


def curve_quantiles(curve: pd.DataFrame, share: Floats) -> pd.DataFrame:
    """Quantiles of the curves of `kaplan_meier`, by group, with their limits."""
    parts = []
    for name, rows in curve.groupby("group", sort=False, observed=True):
        part = pd.DataFrame({"q": share})
        part.insert(0, "group", name)
        for column in ("estimate", "ci_low", "ci_high"):
            part[column] = _crossing(rows["time"].to_numpy(), 1 - rows[column].to_numpy(), share)
        parts.append(part)
    return pd.concat(parts, ignore_index=True)


def _crossing(time: Floats, gone: Floats, share: Floats) -> Floats:
    """Time at which `gone` reaches each share; the middle of a stretch that equals it.

    A limit of the curve may turn back for a while; as in R its points are then taken in the
    order of their level.
    """
    known = np.flatnonzero(~np.isnan(gone))
    flat = np.rint(gone[known] / SAME_LEVEL)  # robust limits carry rounding where they are level
    order = known[np.lexsort((time[known], flat))]
    when = np.r_[time[order], time[-1]]
    level = np.r_[np.maximum.accumulate(gone[order]), np.inf]
    first = np.searchsorted(level, share - SAME_LEVEL)
    after = np.searchsorted(level, share + SAME_LEVEL, side="right")
    middle = (when[first] + when[np.minimum(after, order.size)]) / 2
    return np.where(first < after, middle, np.where(first < order.size, when[first], np.nan))
