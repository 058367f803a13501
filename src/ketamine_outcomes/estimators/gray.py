"""Gray's test: equal cumulative incidence of one cause in several groups."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from scipy import linalg, special

from .inputs import codes, complete_rows, require_columns, survival_times
from .results import Bools, Floats, Ints, InvalidInput, NotEstimable, Result

SINGULAR = 1e-7  # as the tolerance of R's qr
ROUNDING = 1e-12  # a share below it is 0


def gray_test(
    data: pd.DataFrame,
    time: str,
    event: str,
    group: str,
    cause: int | Sequence[int] = 1,
    strata: str | None = None,
) -> Result:
    """Compare the cumulative incidence of a cause between groups, right-censored data.

    Parameters
    ----------
    data
        One row per subject. Delayed entry is not possible: the test weighs the numbers at risk
        by the event-free share since time 0. Leave late entries out, or use `fine_gray`.
    time, event, group
        Columns: end of follow-up, 0 = censored or cause 1, 2, ..., groups compared.
    cause
        The cause, or several, each tested against all the others together.
    strata
        Column; score and variance are summed over its values.

    Returns
    -------
    Result
        `.table` with cause, statistic (chi-square), df (groups - 1), p_value.

    Raises
    ------
    InvalidInput
        One group only.
    NotEstimable
        No event of the cause, or groups that are never at risk together.

    Notes
    -----
    Gray (1988), with rho = 0 and the variance for ties of R's
    `cmprsk::cuminc(time, event, group, strata)`.

    Examples
    --------
    >>> rows = pd.DataFrame({"t": [1, 2, 3, 4, 5, 6], "e": [1, 2, 1, 1, 0, 2], "g": [0, 1] * 3})
    >>> gray_test(rows, "t", "e", "g").table["df"].tolist()
    [1]
    """
    several = pd.api.types.is_list_like(cause)  # an array without dimensions is Iterable, too
    asked: list[Any] = pd.Series(cause, dtype=object).tolist() if several else [cause]
    if not asked or not all(isinstance(k, int | np.integer) and k >= 1 for k in asked):
        raise InvalidInput("cause must be a whole number from 1 on, or several of them")
    rows, dropped = complete_rows(data, require_columns(data, [time, event, group, strata]))
    _, stop, code = survival_times(rows, time, event, None)
    label, levels = codes(rows, group)
    if len(levels) < 2:
        raise InvalidInput(f"column {group!r} holds one group: the test compares two or more")
    stratum = codes(rows, strata)[0] if strata is not None else np.zeros(len(rows), np.int64)
    order = np.argsort(stratum, kind="stable")
    blocks = np.split(order, np.cumsum(np.bincount(stratum))[:-1])
    df = len(levels) - 1
    statistics = []
    for k in asked:
        if not (code == k).any():
            raise NotEstimable(f"no event of cause {k} was observed: there is nothing to compare")
        kind = np.where(code == k, 1, np.where(code > 0, 2, 0))
        score, variance = np.zeros(df), np.zeros((df, df))
        for mine in blocks:
            s, v = _score(stop[mine], kind[mine], label[mine], len(levels))
            score, variance = score + s[:df], variance + v[:df, :df]
        statistics.append(_chi_square(score, variance, k))
    statistic = np.array(statistics)
    return Result(
        table=pd.DataFrame(
            {
                "cause": [int(k) for k in asked],
                "statistic": statistic,
                "df": df,
                "p_value": special.chdtrc(df, statistic),
            }
        ),
        diagnostics={
            "n_observations": len(rows),
            "n_dropped": dropped,
            "n_events": {int(k): int((code == k).sum()) for k in asked},
            "n_groups": len(levels),
            "n_strata": len(blocks),
        },
    )


def _chi_square(score: Floats, variance: Floats, cause: int) -> float:
    spread = np.diag(variance)
    singular = not bool((spread > 0).all())
    if not singular:
        scale = np.sqrt(spread)
        unit = variance / np.outer(scale, scale)
        singular = np.linalg.eigvalsh(unit)[0] <= SINGULAR
    if singular:
        raise NotEstimable(
            f"the groups are not at risk together at the events of cause {cause}: no comparison "
            "can be made"
        )
    return float(score @ linalg.solve(variance, score, assume_a="pos"))


def _score(stop: Floats, kind: Ints, label: Ints, n_groups: int) -> tuple[Floats, Floats]:
    """Score (G,) and variance (G, G) of one stratum; `kind` 1 is the cause, 2 another event.

    With n, S, F each group's number at risk, event-free share and cumulative incidence,
    h = n / S(t-) estimates the number that the group would have without censoring, and
    h (1 - F(t-)) its number at risk of the subdistribution.
    """
    if not (kind == 1).any():
        return np.zeros(n_groups), np.zeros((n_groups, n_groups))
    times, at = np.unique(stop, return_inverse=True)
    m = times.size
    grid = at * n_groups + label

    def counts(chosen: Bools) -> Floats:
        found = np.bincount(grid[chosen], minlength=m * n_groups)
        return found.reshape(m, n_groups).astype(float)

    own, other = counts(kind == 1), counts(kind == 2)
    n = np.cumsum(counts(kind >= 0)[::-1], axis=0)[::-1]
    shown = (own + other).any(axis=1)
    n, own, other = n[shown], own[shown], other[shown]
    present = n > 0
    safe = np.where(present, n, 1.0)
    after = np.cumprod(1 - (own + other) / safe, axis=0)
    before = np.vstack([np.ones(n_groups), after[:-1]])
    incidence = np.cumsum(before * own / safe, axis=0)
    free = 1 - np.vstack([np.zeros(n_groups), incidence[:-1]])
    full = np.where(present, n / np.where(present, before, 1.0), 0.0)
    full_sum, at_risk_sum = full.sum(axis=1), (full * free).sum(axis=1)
    events = own.sum(axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        expected = np.where(at_risk_sum > 0, events / at_risk_sum, 0.0)
    score = (own - expected[:, None] * full * free).sum(axis=0)
    pooled = np.cumsum(events / full_sum)
    pooled_before = np.r_[0.0, pooled[:-1]]
    left = np.where((present.sum(axis=1) > 1) & (events > 0), 1 - pooled_before, 1.0)
    if (np.abs(left) <= ROUNDING).any():
        raise NotEstimable(
            "the incidence of all groups together reaches 1 while some are still compared, so "
            "that the test has no variance: end follow-up before"
        )
    hazard = events / full_sum / left  # one group alone is compared with nobody
    variance = np.zeros((n_groups, n_groups))
    share = full / full_sum[:, None]
    ratio = np.where(after > 0, (1 - pooled)[:, None] / np.where(after > 0, after, 1.0), 0.0)
    for r in range(n_groups):
        direct = np.where(present, -share, 0.0)
        direct[:, r] += 1.0
        direct *= full[:, [r]]
        path = np.cumsum(direct * hazard[:, None], axis=0)
        rest = path[-1] - path
        live = present[:, r]
        s, size = before[:, r], safe[:, r]
        several = live & (events > 1)
        tied = 1 - np.where(several, events - 1, 0) / np.where(several, full_sum * s - 1, 1)
        noise = np.where(live, tied * s * events / (full_sum * size), 0.0)
        by_cause = direct + (1 - ratio[:, [r]]) * rest
        variance += (by_cause * noise[:, None]).T @ by_cause
        d = other[:, r]
        tied = np.where(d > 1, 1 - (d - 1) / np.where(d > 1, size - 1, 1), 1.0)
        noise = np.where(live, tied * s**2 * d / size**2, 0.0)
        by_other = ratio[:, [r]] * rest
        variance += (by_other * noise[:, None]).T @ by_other
    return score, variance
