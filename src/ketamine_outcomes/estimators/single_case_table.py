"""All that one patient's series says about an intervention, in one table."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from math import nan, sqrt
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from .results import (
    NotEstimable,
    Result,
    check_choice,
    check_level,
    check_whole,
    t_quantile,
    two_sided_p,
)
from .single_case_overlap import Effect, combine, mean_effects, overlap_effects, rank_sum_tests
from .single_case_phases import Series, design_rating, phase_permutation, read_series
from .single_case_trend import TrendFit, gls_ar1, newey_west, ordinary

TERMS = ["intercept", "slope", "level"]


@dataclass(frozen=True)
class _Row:
    measure: str
    method: str
    phases: str
    n: int
    estimate: float = nan
    std_error: float = nan
    statistic: float = nan
    df: float = nan
    p_value: float = nan
    p_less: float = nan
    p_greater: float = nan
    min_p: float = nan
    ci_low: float = nan
    ci_high: float = nan
    note: str = ""


def single_case(
    values: ArrayLike,
    phase: ArrayLike,
    time: ArrayLike | None = None,
    level: float = 0.95,
    *,
    improvement: Literal["decrease", "increase"] = "decrease",
    min_phase: int = 5,
    lag: int | None = None,
) -> Result:
    """Describe and test one series with baseline (A) and intervention (B) phases.

    Parameters
    ----------
    values
        Measured values of one person; missing ones are left out and counted.
    phase
        Two conditions, the baseline first: A, B, A, B or A1, B1, A2, B2 or 0, 1. A phase is a run
        of one condition.
    time
        Time of each value, all different; the order of the values (0, 1, 2 ...) if not given.
    level
        Confidence level of the intervals.
    improvement
        Whether lower ("decrease") or higher values are better; only the overlap measures use it.
    min_phase
        Shortest phase that the randomisation test allows (or the shortest that was observed).
    lag
        Largest lag of the Newey-West standard error; 4 (n / 100)^(2/9), rounded down, if not
        given.

    Returns
    -------
    Result
        `.table` with measure, method, phases, n, estimate, std_error, statistic, df, p_value,
        p_less, p_greater, min_p, ci_low, ci_high, note. `phases` is a pair such as A1-B1,
        "combined" (mean over the pairs, weighted by the pairs of values) or "all" (every A value
        against every B value, or the whole series). A number that the series cannot give is
        NaN and `note` says why.

        Per pair: nap (methods hanley_mcneil, delong, unbiased for the standard error),
        tau_A_vs_B, four tau_u_* that name what is added and the denominator, tau_trend_A,
        tau_trend_B, pnd_percent, pem, mean_A, mean_B, log_response_ratio,
        log_response_ratio_bias_corrected, within_case_smd_pooled. All: mann_whitney (estimate
        = share of improved pairs, statistic = U), phase_permutation (difference in means;
        min_p = smallest p value the design can give), intercept, slope and level by ols,
        newey_west (with and without n / (n - 3)), gls_ar1_ml and gls_ar1_reml, and
        design_rating (2 meets standards, 1 with reservations, 0 does not).

    Raises
    ------
    InvalidInput
        Lengths differ, more than two conditions, equal times, values that are not finite.
    NotEstimable
        The series has one phase only.

    Notes
    -----
    From one person these p values and intervals rest on a model that the person cannot check:
    Newey-West errs in 14 to 28 of 100 tests at 5 %. The analyses of this package therefore
    publish neither for level and slope; see docs/reference/estimators/single-case.md.
    R: `nlme::gls(y ~ trend + treated, correlation = corAR1(form = ~ time))` (its ML standard
    errors carry an extra sqrt(n / (n - 3))), `sandwich::NeweyWest(prewhite = FALSE)`,
    `wilcox.test`. Parker & Vannest (2009), Parker et al. (2011), Pustejovsky (2018), Onghena
    (1992), Kratochwill et al. (2010).

    Examples
    --------
    >>> table = single_case([7, 8, 7, 4, 3, 4], ["A", "A", "A", "B", "B", "B"]).table
    >>> table.loc[table["measure"] == "nap", "estimate"].tolist()
    [1.0, 1.0, 1.0]
    """
    check_level(level)
    check_choice(improvement, ("decrease", "increase"), "improvement")
    min_phase = check_whole(min_phase, "min_phase", 1)
    lag = None if lag is None else check_whole(lag, "lag", 0)
    series = read_series(values, phase, time)
    n = series.values.size
    shortest = min(min_phase, int(series.lengths.min()))
    rows = [
        *_effect_rows(series, level, 1.0 if improvement == "decrease" else -1.0),
        _permutation_row(series, shortest),
        *_trend_rows(series, int(4 * (n / 100) ** (2 / 9)) if lag is None else lag, level),
        _design_row(series),
    ]
    return Result(
        table=pd.DataFrame(rows),
        diagnostics={
            "level": level,
            "n_observations": n,
            "n_dropped": series.n_dropped,
            "phases": tuple(series.names),
            "phase_lengths": tuple(series.lengths.tolist()),
            "min_phase": shortest,
        },
    )


def _effect_rows(series: Series, level: float, direction: float) -> Iterable[_Row]:
    by_pair = []
    for first in range(0, len(series.names) - 1, 2):
        a, b = series.phase(first), series.phase(first + 1)
        effects = overlap_effects(direction * a, direction * b, level) + mean_effects(a, b)
        yield from _rows(effects, f"{series.names[first]}-{series.names[first + 1]}")
        by_pair.append(effects)
    if len(by_pair) > 1:
        yield from _rows(combine(by_pair), "combined")
    y = direction * series.values
    yield from _rows(rank_sum_tests(y[series.treated == 0], y[series.treated == 1]), "all")


def _rows(effects: list[Effect], phases: str) -> Iterable[_Row]:
    for e in effects:
        yield _Row(
            e.measure,
            e.method,
            phases,
            e.n,
            e.estimate,
            e.std_error,
            statistic=e.statistic,
            p_value=e.p_value,
            ci_low=e.ci_low,
            ci_high=e.ci_high,
            note=e.note,
        )


def _permutation_row(series: Series, min_phase: int) -> _Row:
    test = phase_permutation(series, min_phase)
    note = f"{test.assignments} places of the phase changes"
    if np.isnan(test.p_value):
        note += ": too many to enumerate"
    return _Row(
        "phase_permutation",
        f"at least {min_phase} values per phase",
        "all",
        series.values.size,
        test.observed,
        statistic=test.observed,
        p_value=test.p_value,
        p_less=test.p_less,
        p_greater=test.p_greater,
        min_p=test.min_p,
        note=note,
    )


def _trend_rows(series: Series, lag: int, level: float) -> Iterable[_Row]:
    y, time, n = series.values, series.time, series.values.size
    x = np.column_stack([np.ones(n), time - time[0], series.treated])
    fits: dict[str, Callable[[], TrendFit]] = {
        "ols": lambda: ordinary(x, y),
        f"newey_west_lag{lag}": lambda: newey_west(x, y, lag, adjust=False),
        f"newey_west_lag{lag}_adjusted": lambda: newey_west(x, y, lag, adjust=True),
        "gls_ar1_ml": lambda: gls_ar1(x, y, time, "ML"),
        "gls_ar1_reml": lambda: gls_ar1(x, y, time, "REML"),
    }
    for method, fit in fits.items():
        try:
            done = fit()
        except NotEstimable as reason:
            for term in TERMS:
                yield _Row(term, method, "all", n, note=str(reason))
            continue
        half = float(t_quantile(level, done.df))
        for i, term in enumerate(TERMS):
            estimate, error = float(done.estimate[i]), sqrt(max(0.0, float(done.covariance[i, i])))
            statistic = estimate / error if error > 0 else nan
            yield _Row(
                term,
                method,
                "all",
                n,
                estimate,
                error,
                statistic,
                done.df,
                float(two_sided_p(statistic, done.df)),
                ci_low=estimate - half * error,
                ci_high=estimate + half * error,
            )
        for name, value in done.extras.items():
            yield _Row(name, method, "all", n, value)


def _design_row(series: Series) -> _Row:
    rating, words = design_rating(series)
    return _Row(
        "design_rating", "What Works Clearinghouse", "all", series.values.size, rating, note=words
    )
