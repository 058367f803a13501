"""Exact inference on counts and on few pairs.

Intervals invert the exact tail probabilities (Clopper & Pearson 1934; Garwood 1936) or their
mid-P version (Lancaster 1961; Berry & Armitage 1995), which is shorter but may cover a little
less than stated. A zero count always carries its bound.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy import optimize, special

from .results import Floats, InvalidInput, NotEstimable, Result, check_level, t_quantile

SIGN_FLIP_LIMIT = 22  # 2^22 sums of signs are held at once


def _count(value: float, name: str) -> int:
    if not np.isfinite(value) or value < 0 or value != int(value):
        raise InvalidInput(f"{name} must be a whole number, 0 or more")
    return int(value)


def _exposure(value: float, name: str) -> float:
    if not np.isfinite(value) or value <= 0:
        raise InvalidInput(f"{name} must be above 0")
    return float(value)


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

    Notes
    -----
    R: `poisson.test(events, exposure)$conf.int`. Garwood (1936).

    Examples
    --------
    >>> exact_rate(0, 100).table["ci_high"].round(6).tolist()
    [0.036889]
    """
    check_level(level)
    x, time = _count(events, "events"), _exposure(exposure, "exposure")
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

    Returns
    -------
    Result
        `.table` with events, n, estimate, ci_low, ci_high, method.

    Notes
    -----
    R: `binom.test(events, n)$conf.int`. Clopper & Pearson (1934).

    Examples
    --------
    >>> exact_proportion(0, 1).table["ci_high"].round(6).tolist()
    [0.975]
    """
    check_level(level)
    x, size = _count(events, "events"), _count(n, "n")
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

    Returns
    -------
    Result
        `.table` with events_1, exposure_1, events_2, exposure_2, estimate, p_value, ci_low,
        ci_high, method. The ratio is inf when group 2 has no event; the p value is the
        two-sided exact binomial one (smaller probabilities), under mid_p twice the smaller
        mid-P tail.

    Notes
    -----
    R: `poisson.test(c(events_1, events_2), c(exposure_1, exposure_2))`.

    Examples
    --------
    >>> exact_rate_ratio(3, 50, 3, 50).table["estimate"].tolist()
    [1.0]
    """
    check_level(level)
    a, b = _count(events_1, "events_1"), _count(events_2, "events_2")
    t1, t2 = _exposure(exposure_1, "exposure_1"), _exposure(exposure_2, "exposure_2")
    if a + b == 0:
        raise NotEstimable("no event in either group: give each rate its own bound (exact_rate)")
    low, high = binomial_interval(a, a + b, level, mid_p)
    share = t1 / (t1 + t2)
    return Result(
        table=pd.DataFrame(
            {
                "events_1": [a],
                "exposure_1": [t1],
                "events_2": [b],
                "exposure_2": [t2],
                "estimate": [(a / t1) / (b / t2) if b else float("inf")],
                "p_value": [_binomial_p(a, a + b, share, mid_p)],
                "ci_low": [low / (1 - low) * t2 / t1],
                "ci_high": [high / (1 - high) * t2 / t1 if high < 1 else float("inf")],
                "method": ["mid-P conditional" if mid_p else "exact conditional"],
            }
        ),
        diagnostics={"level": level, "n_events": a + b},
    )


def _binomial_p(x: int, n: int, p: float, mid_p: bool) -> float:
    k = np.arange(n + 1)
    log_pmf = (
        special.gammaln(n + 1)
        - special.gammaln(k + 1)
        - special.gammaln(n - k + 1)
        + special.xlogy(k, p)
        + special.xlog1py(n - k, -p)
    )
    pmf = np.exp(log_pmf)
    if mid_p:
        below, above = pmf[:x].sum() + pmf[x] / 2, pmf[x + 1 :].sum() + pmf[x] / 2
        return float(min(1.0, 2 * min(below, above)))
    return float(min(1.0, pmf[pmf <= pmf[x] * (1 + 1e-7)].sum()))


def paired_exact(differences: ArrayLike, level: float = 0.95) -> Result:
    """Tests that paired differences centre at 0: sign-flip, Wilcoxon, sign test, paired t.

    Parameters
    ----------
    differences
        One number per pair; missing values are left out and counted.
    level
        Confidence level of the t interval.

    Returns
    -------
    Result
        `.table` with one row per test: test, n, estimate (mean difference), statistic, df,
        p_value, min_p (smallest p value that this many pairs can give), ci_low, ci_high.
        Sign-flip: statistic = sum, all 2^n sign patterns up to 22 pairs. Wilcoxon: exact with
        midranks, zeros left out, twice the smaller tail. Paired t needs two pairs that differ.

    Notes
    -----
    R: enumeration of the signs; `wilcox.test(exact = TRUE)` without ties; `binom.test`;
    `t.test(differences)`.

    Examples
    --------
    >>> table = paired_exact([-1, -1, -1]).table
    >>> table.loc[table["test"] == "sign_flip", "p_value"].tolist()
    [0.25]
    """
    check_level(level)
    values = np.asarray(differences, float).reshape(-1)
    x = values[~np.isnan(values)]
    if x.size == 0:
        raise InvalidInput("no pair has both values")
    if not np.isfinite(x).all():
        raise InvalidInput("a difference is not finite")
    rows = [_sign_flip(x), _wilcoxon(x), _sign_test(x), _paired_t(x, level)]
    table = pd.DataFrame(rows)
    table.insert(2, "estimate", x.mean())
    return Result(
        table=table,
        diagnostics={
            "level": level,
            "n_observations": int(x.size),
            "n_dropped": int(values.size - x.size),
        },
    )


def _row(
    test: str,
    n: int,
    statistic: float,
    p_value: float,
    min_p: float = float("nan"),
    df: float = float("nan"),
    ci: tuple[float, float] = (float("nan"), float("nan")),
) -> dict[str, object]:
    return {
        "test": test,
        "n": n,
        "statistic": statistic,
        "df": df,
        "p_value": p_value,
        "min_p": min_p,
        "ci_low": ci[0],
        "ci_high": ci[1],
    }


def _sign_flip(x: Floats) -> dict[str, object]:
    n, total = x.size, float(x.sum())
    if n > SIGN_FLIP_LIMIT:
        return _row("sign_flip", n, total, float("nan"), 2.0 ** (1 - n))
    size = np.abs(x)
    sums = np.zeros(1)
    for s in size:
        sums = np.concatenate([sums - s, sums + s])
    # sums that are equal but for rounding count as equal
    p = float((np.abs(sums) >= abs(total) - 1e-9 * size.sum()).mean())
    return _row("sign_flip", n, total, p, 2.0 ** (1 - n))


def _wilcoxon(x: Floats) -> dict[str, object]:
    nonzero = x[x != 0]
    n = nonzero.size
    if n == 0:
        return _row("wilcoxon", 0, 0.0, 1.0, 1.0)
    _, inverse, counts = np.unique(np.abs(nonzero), return_inverse=True, return_counts=True)
    # doubled midranks are whole numbers
    doubled = (2 * np.cumsum(counts) - counts + 1)[inverse]
    observed = int(doubled[nonzero > 0].sum())
    ways = np.zeros(int(doubled.sum()) + 1)
    ways[0] = 1.0
    for d in doubled:
        shifted = np.zeros_like(ways)
        shifted[d:] = ways[: ways.size - d]
        ways = (ways + shifted) / 2
    p = min(1.0, 2 * min(float(ways[: observed + 1].sum()), float(ways[observed:].sum())))
    return _row("wilcoxon", n, observed / 2, p, 2.0 ** (1 - n))


def _sign_test(x: Floats) -> dict[str, object]:
    positive, n = int((x > 0).sum()), int((x != 0).sum())
    p = _binomial_p(positive, n, 0.5, False) if n else 1.0
    return _row("sign_test", n, float(positive), p, 2.0 ** (1 - n) if n else 1.0)


def _paired_t(x: Floats, level: float) -> dict[str, object]:
    n = x.size
    spread = float(x.std(ddof=1)) if n > 1 else float("nan")
    if not spread > 1e-12 * float(np.abs(x).max()):
        return _row("paired_t", n, float("nan"), float("nan"), df=float(n - 1))
    std_error = spread / float(np.sqrt(n))
    mean, t = float(x.mean()), float(x.mean()) / std_error
    half = float(t_quantile(level, n - 1)) * std_error
    p = float(2 * special.stdtr(n - 1, -abs(t)))
    return _row("paired_t", n, t, p, df=float(n - 1), ci=(mean - half, mean + half))
