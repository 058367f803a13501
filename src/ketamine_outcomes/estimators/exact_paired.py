"""Exact tests on few paired differences."""

from __future__ import annotations

from dataclasses import dataclass, fields
from math import sqrt

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy import special

from .exact_masses import binomial_masses, tails
from .inputs import floats, vector
from .results import Floats, InvalidInput, Result, check_level, t_quantile

SIGN_FLIP_LIMIT = 40  # two halves of 2^20 sums each
WILCOXON_LIMIT = 500  # pairs; the exact distribution costs their third power
LARGEST = 1e100  # squares and sums of larger differences overflow
NAN = float("nan")


@dataclass(frozen=True)
class _Row:
    test: str
    n: int
    estimate: float
    statistic: float = NAN
    df: float = NAN
    p_value: float = NAN
    p_less: float = NAN
    p_greater: float = NAN
    mid_p: float = NAN
    min_p: float = NAN
    ci_low: float = NAN
    ci_high: float = NAN


def paired_exact(differences: ArrayLike, level: float = 0.95) -> Result:
    """Tests that paired differences centre at 0: sign-flip, Wilcoxon, sign test, paired t.

    Parameters
    ----------
    differences
        One number per pair; missing values are left out and counted.
    level
        Confidence level of the Wilcoxon and t intervals.

    Returns
    -------
    Result
        `.table` with one row per test: test, n, estimate, statistic, df, p_value (two-sided),
        p_less and p_greater (against differences below, above 0), mid_p (two-sided), min_p
        (smallest p value that this many pairs can give), ci_low, ci_high.
        sign_flip: mean and sum of the differences, all 2^n sign patterns, up to 40 pairs (NaN
        beyond). wilcoxon: Hodges-Lehmann estimate (median of all pairwise means) with its exact
        interval, midranks, zeros left out of the test, twice the smaller tail, up to 500 pairs;
        the interval is infinite where so few pairs cannot reach the level. sign_test: median
        and number of positive differences; it is McNemar's exact test for differences of -1, 0
        and 1. paired_t needs two pairs that differ.

    Raises
    ------
    InvalidInput
        No pair is complete, two values per pair, or a difference is infinite or not a number.

    Notes
    -----
    R: enumeration of the signs; `wilcox.test(x, exact = TRUE, conf.int = TRUE)` without ties,
    `exactRankTests::wilcox.exact` with ties; `binom.test`; `t.test(x)`. Pitman (1937), Wilcoxon
    (1945), Hodges & Lehmann (1963); with ties the interval covers at least the stated level
    (Noether 1967).

    Examples
    --------
    >>> table = paired_exact([-1, -1, -1]).table
    >>> table.loc[table["test"] == "sign_flip", "p_value"].tolist()
    [0.25]
    """
    check_level(level)
    values = floats(vector(differences, "differences"), "differences")
    x = values[~np.isnan(values)]
    if x.size == 0:
        raise InvalidInput("no pair has both values")
    if not (np.abs(x) < LARGEST).all():
        raise InvalidInput("a difference is not finite, or above 1e100")
    rows = [_sign_flip(x), _wilcoxon(x, level), _sign_test(x), _paired_t(x, level)]
    columns = [field.name for field in fields(_Row)]
    return Result(
        table=pd.DataFrame([[getattr(row, c) for c in columns] for row in rows], columns=columns),
        diagnostics={
            "level": level,
            "n_observations": int(x.size),
            "n_dropped": int(values.size - x.size),
        },
    )


def _signed_sums(size: Floats) -> Floats:
    """All sums of `size` with free signs, sorted."""
    sums = np.zeros(1)
    for s in size:
        sums = np.concatenate([sums - s, sums + s])
    return np.sort(sums)


def _sign_flip(x: Floats) -> _Row:
    n, mean, total = x.size, float(x.mean()), float(x.sum())
    min_p = 2.0 ** (1 - n)
    if n > SIGN_FLIP_LIMIT:
        return _Row("sign_flip", n, mean, total, min_p=min_p)
    size = np.abs(x)
    one, other = _signed_sums(size[: n // 2]), _signed_sums(size[n // 2 :])

    def at_least(t: float) -> float:
        found = other.size - np.searchsorted(other, t - one, side="left")
        return float(found.sum()) / (one.size * other.size)

    tie = 1e-9 * float(size.sum())  # sums that are equal but for rounding count as equal
    outside, beyond = at_least(abs(total) - tie), at_least(abs(total) + tie)
    return _Row(
        "sign_flip",
        n,
        mean,
        total,
        p_value=min(1.0, 2 * outside) if abs(total) > tie else 1.0,
        p_less=at_least(-total - tie),
        p_greater=at_least(total - tie),
        mid_p=min(1.0, outside + beyond),
        min_p=min_p,
    )


def _rank_sum_masses(ranks: Floats) -> Floats:
    """Probabilities of 0, 1, 2 ... as the sum of whole-number ranks, each in or out by a coin."""
    masses = np.zeros(int(ranks.sum()) + 1)
    masses[0], end = 1.0, 1
    for rank in np.sort(ranks).astype(int):
        masses[rank : end + rank] += masses[:end].copy()
        end += rank
        masses[:end] /= 2
    return masses


def _p_values(masses: Floats, at: int) -> dict[str, float]:
    below, here, above = tails(masses, at)
    return {
        "p_value": min(1.0, 2 * (min(below, above) + here)),
        "p_less": min(1.0, below + here),
        "p_greater": min(1.0, above + here),
        "mid_p": min(1.0, 2 * min(below, above) + here),
    }


def _wilcoxon(x: Floats, level: float) -> _Row:
    nonzero = x[x != 0]
    n = nonzero.size
    _, inverse, counts = np.unique(np.abs(nonzero), return_inverse=True, return_counts=True)
    # doubled midranks are whole numbers
    doubled = (2 * np.cumsum(counts) - counts + 1.0)[inverse]
    observed = int(doubled[nonzero > 0].sum())
    min_p = min(1.0, 2.0 ** (1 - n))
    if x.size > WILCOXON_LIMIT:
        return _Row("wilcoxon", n, NAN, observed / 2, min_p=min_p)
    i, j = np.triu_indices(x.size)
    means = np.sort((x[i] + x[j]) / 2)
    low, high = _walsh_interval(means, x.size, level)
    return _Row(
        "wilcoxon",
        n,
        float(np.median(means)),
        observed / 2,
        **_p_values(_rank_sum_masses(np.asarray(doubled, float)), observed),
        min_p=min_p,
        ci_low=low,
        ci_high=high,
    )


def _walsh_interval(means: Floats, n: int, level: float) -> tuple[float, float]:
    """Interval between two order statistics of the pairwise means."""
    tail = (1 - level) / 2
    below = np.cumsum(_rank_sum_masses(np.asarray(np.arange(n) + 1, float)))
    if below[0] > tail * (1 + 1e-12):  # even all signs alike are not rare enough
        return -np.inf, np.inf
    rank = max(1, int(np.searchsorted(below, tail * (1 - 1e-12))))
    return float(means[rank - 1]), float(means[means.size - rank])


def _sign_test(x: Floats) -> _Row:
    positive, n = int((x > 0).sum()), int((x != 0).sum())
    counts, masses = binomial_masses(n, 0.0)
    p = _p_values(masses, positive - int(counts[0]))
    return _Row(
        "sign_test", n, float(np.median(x)), float(positive), **p, min_p=min(1.0, 2.0 ** (1 - n))
    )


def _paired_t(x: Floats, level: float) -> _Row:
    n, mean = x.size, float(x.mean())
    spread = float(x.std(ddof=1)) if n > 1 else NAN
    if not spread > 1e-12 * float(np.abs(x).max()):
        return _Row("paired_t", n, mean, df=float(n - 1))
    std_error = spread / sqrt(n)
    t = mean / std_error
    half = float(t_quantile(level, n - 1)) * std_error
    less, greater = float(special.stdtr(n - 1, t)), float(special.stdtr(n - 1, -t))
    return _Row(
        "paired_t",
        n,
        mean,
        t,
        df=float(n - 1),
        p_value=2 * min(less, greater),
        p_less=less,
        p_greater=greater,
        ci_low=mean - half,
        ci_high=mean + half,
    )
