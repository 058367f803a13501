"""Log-rank and G-rho tests between groups, with strata and delayed entry."""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy import special

from .inputs import codes, complete_rows, require_columns, survival_times
from .results import Bools, Floats, Ints, InvalidInput, NotEstimable, Result, as_float

ROUNDING = 1e-12  # a variance below it, relative to its parts, is 0
SINGULAR = 1e-9  # smallest eigenvalue of the correlation of observed - expected


def logrank(
    data: pd.DataFrame,
    time: str,
    event: str,
    group: str,
    entry: str | None = None,
    strata: str | None = None,
    rho: float = 0,
) -> Result:
    """Test of equal hazards between groups: log-rank (rho 0) or another G-rho test.

    A row is at risk in (entry, time]; any code above 0 in `event` is an event.

    Parameters
    ----------
    data
        One row per subject, or per interval of a subject.
    time, event, group, entry, strata
        Columns: end of follow-up, 0 = censored, groups compared, start of follow-up, strata
        within which they are compared.
    rho
        Each event time counts S(t-)^rho, with the Kaplan-Meier curve of all groups of the
        stratum: 0 is the log-rank test, 1 the Peto-Peto test. 0 or above.

    Returns
    -------
    Result
        `.table` with statistic (chi-square), df, p_value. `.covariance` of observed - expected,
        by group. `.diagnostics` holds n, observed and expected by group.

    Raises
    ------
    InvalidInput
        One group only, or columns that do not hold what is described.
    NotEstimable
        No event, or groups that are never at risk together at an event.

    Notes
    -----
    Mantel (1966) with the hypergeometric variance; Harrington & Fleming (1982) for rho. R:
    `survdiff(Surv(time, event > 0) ~ group + strata(strata), rho = rho)`, which refuses `entry`;
    with it the statistic is the score test of `coxph(Surv(entry, time, event > 0) ~ group,
    ties = "exact")` (equal for rho 0).

    Examples
    --------
    >>> rows = pd.DataFrame({"t": [1, 2, 3, 4], "e": [1, 1, 1, 1], "g": [0, 1, 0, 1]})
    >>> logrank(rows, "t", "e", "g").table["statistic"].round(4).tolist()
    [0.6154]
    """
    if not 0 <= as_float(rho) < np.inf:
        raise InvalidInput("rho must be 0 (log-rank) or above, for example 1 (Peto-Peto)")
    rows, dropped = complete_rows(data, require_columns(data, [time, event, group, entry, strata]))
    start, stop, cause = survival_times(rows, time, event, entry)
    label, levels = codes(rows, group)
    if len(levels) < 2:
        raise InvalidInput(f"column {group!r} holds one group: the log-rank test compares two")
    died = cause > 0
    if not died.any():
        raise NotEstimable("no event was observed: there is nothing to compare")
    stratum = codes(rows, strata)[0] if strata is not None else np.zeros(len(rows), np.int64)
    observed, expected, covariance = _scores(start, stop, died, label, stratum, len(levels), rho)
    statistic, df = _chi_square(observed - expected, expected > 0, covariance)
    return Result(
        table=pd.DataFrame(
            {
                "statistic": [statistic],
                "df": [df],
                "p_value": [float(special.chdtrc(df, statistic))],
            }
        ),
        covariance=pd.DataFrame(covariance, index=levels, columns=levels),
        diagnostics={
            "n_observations": len(rows),
            "n_dropped": dropped,
            "n_events": int(died.sum()),
            "n_groups": len(levels),
            "n": dict(zip(levels, np.bincount(label).tolist(), strict=True)),
            "observed": dict(zip(levels, observed.tolist(), strict=True)),
            "expected": dict(zip(levels, expected.tolist(), strict=True)),
        },
    )


def _scores(
    start: Floats,
    stop: Floats,
    died: Bools,
    label: Ints,
    stratum: Ints,
    n_groups: int,
    rho: float,
) -> tuple[Floats, Floats, Floats]:
    """Observed and expected events of each group, weighted, and their covariance.

    Every row becomes an interval of positions on one line: the event times of stratum 0, then
    those of stratum 1, ...
    """
    n_rows = stop.size
    values, rank = np.unique(np.concatenate((start, stop)), return_inverse=True)
    line, position = np.unique(np.tile(stratum, 2) * values.size + rank, return_inverse=True)
    begins, ends = position[:n_rows], position[n_rows:]
    has_event = np.zeros(line.size, bool)
    has_event[ends[died]] = True
    so_far = np.cumsum(has_event)
    m = int(so_far[-1])

    def by_group(place: Ints, which: Ints, size: int) -> Floats:
        flat = np.bincount(place * n_groups + which, minlength=size * n_groups)
        return flat.reshape(size, n_groups).astype(float)

    change = by_group(so_far[begins], label, m + 1) - by_group(so_far[ends], label, m + 1)
    at_risk = np.cumsum(change, axis=0)[:m]
    deaths = by_group(so_far[ends[died]] - 1, label[died], m)
    n, d = at_risk.sum(axis=1), deaths.sum(axis=1)
    share = at_risk / n[:, None]
    weight = _survival_before(line[has_event] // values.size, d / n) ** rho if rho else np.ones(m)
    spread = weight**2 * d * (n - d) / np.maximum(n - 1, 1)
    gross = spread @ share
    covariance = np.diag(gross) - (share * spread[:, None]).T @ share
    alone = np.diag(covariance) <= ROUNDING * gross  # at every event: what is left is rounding
    covariance[alone], covariance[:, alone] = 0.0, 0.0
    return weight @ deaths, (weight * d) @ share, covariance


def _survival_before(stratum: Ints, hazard: Floats) -> Floats:
    """Kaplan-Meier curve of each stratum just before each of its event times."""
    edges = np.flatnonzero(np.diff(stratum)) + 1
    curves = [np.cumprod(np.r_[1.0, 1 - part[:-1]]) for part in np.split(hazard, edges)]
    return np.concatenate(curves)


def _chi_square(difference: Floats, expects: Bools, covariance: Floats) -> tuple[float, int]:
    """Quadratic form of the groups that expect an event, the first left out."""
    kept = np.flatnonzero(expects)[1:]
    scale = np.sqrt(np.diag(covariance)[kept])
    if kept.size and (scale > 0).all():
        correlation = covariance[np.ix_(kept, kept)] / np.outer(scale, scale)
        if np.linalg.eigvalsh(correlation)[0] > SINGULAR:
            z = difference[kept] / scale
            return float(z @ np.linalg.solve(correlation, z)), int(kept.size)
    raise NotEstimable(
        "some groups are never at risk together at an event: there is nothing to compare them by"
    )
