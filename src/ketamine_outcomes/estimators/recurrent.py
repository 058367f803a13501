"""Mean number of recurrent events, with or without a terminal event."""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy import special

from .influence import Influence, before_first
from .inputs import codes, complete_rows, require_columns, survival_times
from .kaplan_meier import survival_steps
from .results import (
    Bools,
    Floats,
    Ints,
    InvalidInput,
    NotEstimable,
    Result,
    check_level,
    check_whole,
)
from .risk_sets import RiskSets, curve_table, group_rows, risk_sets


def mean_cumulative_function(
    data: pd.DataFrame,
    time: str,
    event: str,
    cluster: str,
    entry: str | None = None,
    terminal: int | None = None,
    group: str | None = None,
    level: float = 0.95,
) -> Result:
    """Mean number of recurrences per subject by each time.

    Parameters
    ----------
    data
        One or more rows per subject, each ending in a recurrence, a terminal event or neither.
    time, event, entry, group
        Columns: end of the row, its event (1 = recurrence), start of the row, group. Without
        `entry` a subject is followed from 0 to its last row. Codes other than 1 and `terminal`
        end the row without an event.
    cluster
        Column of the subjects. Rows of a subject must not overlap.
    terminal
        Code of the event after which no recurrence is possible, such as death. Without it
        every end of follow-up counts as censoring.
    level
        Confidence level.

    Returns
    -------
    Result
        `.curve` at every distinct end of a row; n_events counts recurrences. The standard error
        is robust by subject (infinitesimal jackknife); the interval is symmetric on the log scale.

    Raises
    ------
    InvalidInput
        Rows of a subject overlap, or follow its terminal event.
    NotEstimable
        No recurrence; a group with one subject.

    Notes
    -----
    Without terminal event: sum of dN / n, Lawless & Nadeau (1995). R: `cumhaz`, `std.chaz` of
    `survfit(Surv(entry, time, event == 1) ~ group, id = cluster)`. With it: sum of
    S(t-) dN / n, S the Kaplan-Meier curve of the terminal event, Ghosh & Lin (2000).

    Examples
    --------
    >>> rows = pd.DataFrame({"id": [1, 1, 2], "t": [2, 5, 4], "e": [1, 0, 1]})
    >>> mean_cumulative_function(rows, "t", "e", "id").curve["estimate"].tolist()
    [0.5, 1.0, 1.0]
    """
    check_level(level)
    if terminal is not None:
        terminal = check_whole(terminal, "terminal, any code but 1 (the recurrence),", 2)
    used = require_columns(data, [time, event, cluster, entry, group])
    rows, dropped = complete_rows(data, used)
    start, stop, code = survival_times(rows, time, event, entry)
    again = code == 1
    ended = code == terminal if terminal is not None else np.zeros(len(rows), bool)
    if not again.any():
        raise NotEstimable("no recurrence (code 1) was observed: there is no mean to estimate")
    unit = codes(rows, cluster)[0]
    groups = group_rows(rows, group)
    if entry is None:
        if sum(np.unique(unit[mine]).size for _, mine in groups) > unit.max() + 1:
            raise InvalidInput("a subject lies in two groups: give entry, the start of each row")
        start = _one_after_the_other(stop, unit, ended)
    _check_rows(start, stop, ended, unit, cluster)
    z = float(special.ndtri((1 + level) / 2))
    parts = []
    for _, mine in groups:
        if np.ptp(unit[mine]) == 0:
            raise NotEstimable("a group holds one subject: its standard error cannot be estimated")
        sets = risk_sets(start[mine], stop[mine])
        mean, std_error = _marginal_mean(sets, again[mine], ended[mine], unit[mine])
        with np.errstate(divide="ignore", invalid="ignore"):
            width = np.exp(z * std_error / mean)
        parts.append(
            {
                "time": sets.time,
                "estimate": mean,
                "std_error": std_error,
                "ci_low": mean / width,
                "ci_high": mean * width,
                "n_at_risk": sets.at_risk,
                "n_events": sets.events(again[mine]),
            }
        )
    return Result(
        curve=curve_table([name for name, _ in groups], parts),
        diagnostics={
            "n_observations": len(rows),
            "n_dropped": dropped,
            "n_clusters": int(unit.max()) + 1,
            "n_events": int(again.sum()),
            "n_terminal": int(ended.sum()) if terminal is not None else None,
            "method": "Lawless-Nadeau" if terminal is None else "Ghosh-Lin",
            "variance": "jackknife by cluster",
            "level": level,
        },
    )


def _one_after_the_other(stop: Floats, unit: Ints, ended: Bools) -> Floats:
    """Start of every row: the end of the subject's row before it, else -inf."""
    order = np.lexsort((ended, stop, unit))
    start = np.empty_like(stop)
    start[order] = np.r_[-np.inf, stop[order][:-1]]
    start[order[np.diff(unit[order], prepend=-1) != 0]] = -np.inf
    return start


def _check_rows(start: Floats, stop: Floats, ended: Bools, unit: Ints, cluster: str) -> None:
    """Refuse rows of one subject that overlap or that follow its terminal event."""
    order = np.lexsort((ended, stop, unit))
    same = np.diff(unit[order]) == 0
    overlap = int((same & (start[order][1:] < stop[order][:-1])).sum())
    if overlap:
        raise InvalidInput(
            f"{overlap} rows begin before the row before them of the same {cluster!r} ends: a "
            "subject would count twice"
        )
    late = int((same & ended[order][:-1]).sum())
    if late:
        raise InvalidInput(f"{late} rows follow the terminal event of their {cluster!r}")


def _marginal_mean(sets: RiskSets, again: Bools, ended: Bools, unit: Ints) -> tuple[Floats, Floats]:
    """Sum of S(t-) dN / n with its infinitesimal jackknife by unit.

    S falls with the terminal event. A row moves the mean M(t) in two ways: by the recurrences it
    adds, S(v-) / n each, and by what its risk and its end do to S and so to all later increments,
    M(t) - M(v).
    """
    steps = survival_steps(sets, ended)
    size = np.r_[1.0, steps.estimate[:-1]] / sets.at_risk
    added = size * sets.events(again)
    mean = np.cumsum(added)
    at_risk = np.cumsum(added / sets.at_risk + mean * np.diff(steps.path, prepend=0.0))
    first, last = sets.first, sets.last
    one = np.ones(first.size)
    jump = np.where(ended, steps.jump[last], 0.0)
    gained = np.where(again, size[last], 0.0) + mean[last] * jump
    influence = Influence(np.minimum(first, last), last, unit)
    states = [
        influence.state(before_first(at_risk, first), gained - at_risk[last]),
        influence.state(-before_first(steps.path, first), steps.path[last] - jump),
        influence.state(one, -one),
    ]
    basis = [np.ones(mean.size), mean, mean * steps.path - at_risk]
    return mean, np.sqrt(influence.variance(basis, states))
