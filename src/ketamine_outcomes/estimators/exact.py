"""Exact inference on one or two counts.

Intervals invert the exact tail probabilities (Clopper & Pearson 1934; Garwood 1936) or their
mid-P version (Lancaster 1961; Berry & Armitage 1995), which is shorter but may cover a little
less than stated. A zero count always carries its bound.
"""

from __future__ import annotations

from collections.abc import Callable
from math import log

import numpy as np
import pandas as pd
from scipy import optimize, special

from .exact_masses import SAME, binomial_masses, tails
from .results import InvalidInput, NotEstimable, Result, check_flag, check_level

LARGEST = 10**9  # the incomplete beta function loses digits above it


def check_count(value: float, name: str) -> int:
    """Return a whole number of 0 or more as int, else raise."""
    try:
        count = float(value)
    except (TypeError, ValueError, OverflowError):
        raise InvalidInput(f"{name} must be a number") from None
    if not 0 <= count <= LARGEST or count != int(count):
        raise InvalidInput(f"{name} must be a whole number from 0 to 1e9")
    return int(count)


def _exposure(value: float, name: str) -> float:
    try:
        exposure = float(value)
    except (TypeError, ValueError, OverflowError):
        raise InvalidInput(f"{name} must be a number") from None
    if not np.isfinite(exposure) or exposure <= 0:
        raise InvalidInput(f"{name} must be above 0")
    return exposure


def _root(function: Callable[[float], float], low: float, high: float) -> float:
    if function(low) == 0:
        return low
    return float(optimize.brentq(function, low, high, xtol=1e-300, rtol=1e-14, maxiter=500))


def poisson_interval(events: int, level: float, mid_p: bool) -> tuple[float, float]:
    """Interval of a Poisson mean from one count."""
    tail = (1 - level) / 2
    low = 0.0 if events == 0 else float(special.gammaincinv(events, tail))
    high = float(special.gammainccinv(events + 1, tail))
    if not mid_p:
        return low, high

    def below(mean: float) -> float:  # P(X < events) + P(X = events) / 2
        lower = special.pdtr(events - 1, mean) if events > 0 else 0.0
        return float(0.5 * (lower + special.pdtr(events, mean)))

    middle = max(float(events), 1e-9)
    mid_low = 0.0 if events == 0 else _root(lambda m: below(m) - (1 - tail), low, middle + 1)
    return mid_low, _root(lambda m: below(m) - tail, 1e-12 if events == 0 else low, high)


def binomial_interval(events: int, n: int, level: float, mid_p: bool) -> tuple[float, float]:
    """Interval of a proportion from `events` of `n`."""
    tail = (1 - level) / 2
    low = 0.0 if events == 0 else float(special.betaincinv(events, n - events + 1, tail))
    high = 1.0 if events == n else float(special.betainccinv(events + 1, n - events, tail))
    if not mid_p:
        return low, high

    def below(p: float) -> float:  # P(X < events) + P(X = events) / 2
        lower = special.betainc(n - events + 1, events, 1 - p) if events > 0 else 0.0
        upto = special.betainc(n - events, events + 1, 1 - p) if events < n else 1.0
        return float(0.5 * (lower + upto))

    mid_low = 0.0 if events == 0 else _root(lambda p: below(p) - (1 - tail), low, high)
    mid_high = 1.0 if events == n else _root(lambda p: below(p) - tail, low, high)
    return mid_low, mid_high


def exact_rate(events: int, exposure: float, level: float = 0.95, mid_p: bool = False) -> Result:
    """Rate with its exact Poisson interval.

    Parameters
    ----------
    events
        Number of events.
    exposure
        Time or amount at risk, above 0; the rate is per unit of it.
    level, mid_p
        Confidence level; mid-P instead of the exact interval.

    Returns
    -------
    Result
        `.table` with events, exposure, estimate, ci_low, ci_high, method.

    Raises
    ------
    InvalidInput
        events is no whole number of 0 or more, exposure not above 0.

    Notes
    -----
    R: `poisson.test(events, exposure)$conf.int`. Garwood (1936).

    Examples
    --------
    >>> exact_rate(0, 100).table["ci_high"].round(6).tolist()
    [0.036889]
    """
    check_level(level)
    check_flag(mid_p, "mid_p")
    x, time = check_count(events, "events"), _exposure(exposure, "exposure")
    low, high = poisson_interval(x, level, mid_p)
    return Result(
        table=pd.DataFrame(
            {
                "events": [x],
                "exposure": [time],
                "estimate": [x / time],
                "ci_low": [low / time],
                "ci_high": [high / time],
                "method": ["mid-P Poisson" if mid_p else "exact Poisson"],
            }
        ),
        diagnostics={"level": level, "n_events": x},
    )


def exact_proportion(events: int, n: int, level: float = 0.95, mid_p: bool = False) -> Result:
    """Proportion with its Clopper-Pearson or mid-P interval.

    Parameters
    ----------
    events, n
        Number of people with the event, and of all.
    level, mid_p
        Confidence level; mid-P instead of the exact interval.

    Returns
    -------
    Result
        `.table` with events, n, estimate, ci_low, ci_high, method.

    Raises
    ------
    InvalidInput
        A count is no whole number of 0 or more, or events exceed n.
    NotEstimable
        n is 0.

    Notes
    -----
    R: `binom.test(events, n)$conf.int`. Clopper & Pearson (1934).

    Examples
    --------
    >>> exact_proportion(0, 1).table["ci_high"].round(6).tolist()
    [0.975]
    """
    check_level(level)
    check_flag(mid_p, "mid_p")
    x, size = check_count(events, "events"), check_count(n, "n")
    if size == 0:
        raise NotEstimable("n is 0: there is no proportion of nothing")
    if x > size:
        raise InvalidInput("events cannot exceed n")
    low, high = binomial_interval(x, size, level, mid_p)
    return Result(
        table=pd.DataFrame(
            {
                "events": [x],
                "n": [size],
                "estimate": [x / size],
                "ci_low": [low],
                "ci_high": [high],
                "method": ["mid-P binomial" if mid_p else "Clopper-Pearson"],
            }
        ),
        diagnostics={"level": level, "n_observations": size, "n_events": x},
    )


def exact_rate_ratio(
    events_1: int,
    exposure_1: float,
    events_2: int,
    exposure_2: float,
    level: float = 0.95,
    mid_p: bool = False,
) -> Result:
    """Ratio of rate 1 to rate 2, exact given the total number of events.

    Parameters
    ----------
    events_1, exposure_1, events_2, exposure_2
        Number of events and time (or amount) at risk of each group, in one unit.
    level, mid_p
        Confidence level; mid-P instead of the exact interval and p value.

    Returns
    -------
    Result
        `.table` with events_1, exposure_1, events_2, exposure_2, estimate, p_value, ci_low,
        ci_high, method. The ratio is inf when group 2 has no event; the p value is the
        two-sided exact binomial one (smaller probabilities), under mid_p twice the smaller
        mid-P tail.

    Raises
    ------
    InvalidInput
        A count is no whole number of 0 or more, an exposure not above 0.
    NotEstimable
        No event in either group.

    Notes
    -----
    R: `poisson.test(c(events_1, events_2), c(exposure_1, exposure_2))`.

    Examples
    --------
    >>> exact_rate_ratio(3, 50, 3, 50).table["estimate"].tolist()
    [1.0]
    """
    check_level(level)
    check_flag(mid_p, "mid_p")
    a, b = check_count(events_1, "events_1"), check_count(events_2, "events_2")
    t1, t2 = _exposure(exposure_1, "exposure_1"), _exposure(exposure_2, "exposure_2")
    if a + b == 0:
        raise NotEstimable("no event in either group: give each rate its own bound (exact_rate)")
    low_a, high_a = binomial_interval(a, a + b, level, mid_p)
    # the interval of the other share: 1 - high_a would lose digits when high_a is close to 1
    low_b, high_b = binomial_interval(b, a + b, level, mid_p)
    return Result(
        table=pd.DataFrame(
            {
                "events_1": [a],
                "exposure_1": [t1],
                "events_2": [b],
                "exposure_2": [t2],
                "estimate": [(a / t1) / (b / t2) if b else float("inf")],
                "p_value": [binomial_p(a, a + b, log(t1) - log(t2), mid_p)],
                "ci_low": [low_a / high_b * t2 / t1],
                "ci_high": [high_a / low_b * t2 / t1 if low_b > 0 else float("inf")],
                "method": ["mid-P conditional" if mid_p else "exact conditional"],
            }
        ),
        diagnostics={"level": level, "n_events": a + b},
    )


def binomial_p(x: int, n: int, log_odds: float, mid_p: bool) -> float:
    """Two-sided p value of x of n against a proportion, as `binom.test`.

    Under mid_p twice the smaller mid-P tail.
    """
    counts, masses = binomial_masses(n, log_odds)
    below, here, above = tails(masses, x - int(counts[0]))
    if mid_p:
        return min(1.0, 2 * min(below, above) + here)
    return min(1.0, float(masses[masses <= here * SAME].sum()))
