"""Effect sizes of a baseline phase A against an intervention phase B.

A pair of one A and one B value counts as improvement when the B value is the better one.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import isnan, log, nan, sqrt

import numpy as np
from scipy import optimize, special

from .results import Floats, Ints

EXACT_RANK_LIMIT = 200  # values; the exact rank sum distribution costs their third power


@dataclass(frozen=True)
class Effect:
    """One effect size; `weight` is its share when phase pairs are combined."""

    measure: str
    method: str
    n: int
    estimate: float
    std_error: float = nan
    statistic: float = nan
    p_value: float = nan
    ci_low: float = nan
    ci_high: float = nan
    weight: float = 0.0
    note: str = ""


def overlap_effects(a: Floats, b: Floats, level: float) -> list[Effect]:
    """Overlap and mean based effect sizes; lower values are better."""
    m, n = a.size, b.size
    pairs, total = float(m * n), m + n
    wins, ties = _placements(a, b)
    nap = float((wins + ties / 2).sum()) / pairs
    low, high = _nap_interval(nap, m, n, level)
    effects = [
        Effect("nap", "hanley_mcneil", total, nap, _nap_error(nap, m, n), ci_low=low, ci_high=high,
               weight=pairs),
    ]  # fmt: skip
    for method, error in (("delong", _nap_delong(a, b)), ("unbiased", _nap_unbiased(a, b))):
        few = "needs two values per phase" if min(m, n) < 2 else "the variance comes out negative"
        note = few if isnan(error) else ""
        effects.append(Effect("nap", method, total, nap, error, weight=pairs, note=note))
    trend_a, trend_b = _falls(a), _falls(b)
    pairs_a, pairs_b = m * (m - 1) / 2, n * (n - 1) / 2
    between = float((2 * wins + ties - n).sum())
    for name, falls, out_of in (
        ("tau_A_vs_B", between, pairs),
        ("tau_u_A_vs_B_minus_trend_A_over_AB_pairs", between - trend_a, pairs),
        ("tau_u_A_vs_B_minus_trend_A_over_AB_and_A_pairs", between - trend_a, pairs + pairs_a),
        ("tau_u_A_vs_B_plus_trend_B", between + trend_b, pairs + pairs_b),
        (
            "tau_u_A_vs_B_plus_trend_B_minus_trend_A",
            between + trend_b - trend_a,
            pairs + pairs_a + pairs_b,
        ),
        ("tau_trend_A", trend_a, pairs_a),
        ("tau_trend_B", trend_b, pairs_b),
    ):
        tau = falls / out_of if out_of else nan
        note = "" if out_of else "one value has no trend"
        effects.append(
            Effect(name, "S / pairs", total, tau, statistic=falls, weight=out_of, note=note)
        )
    median = float(np.median(a))
    pnd = 100 * float((b < a.min()).mean())
    pem = float((b < median).mean() + 0.5 * (b == median).mean())
    effects.append(Effect("pnd_percent", "beyond the best A", total, pnd, weight=pairs))
    effects.append(Effect("pem", "beyond the median of A", total, pem, weight=pairs))
    return effects


def mean_effects(a: Floats, b: Floats) -> list[Effect]:
    """Log response ratio and standardised mean difference, B against A."""
    m, n = a.size, b.size
    mean_a, mean_b = float(a.mean()), float(b.mean())
    var_a = float(a.var(ddof=1)) if m > 1 else nan
    var_b = float(b.var(ddof=1)) if n > 1 else nan
    ratio = corrected = error = nan
    if mean_a > 0 and mean_b > 0:
        share_a, share_b = var_a / (m * mean_a**2), var_b / (n * mean_b**2)
        ratio = log(mean_b / mean_a)
        corrected = ratio + (share_b - share_a) / 2
        error = sqrt(share_a + share_b)
    pooled = sqrt(((m - 1) * var_a + (n - 1) * var_b) / (m + n - 2)) if m > 1 and n > 1 else nan
    # the variance of equal values is 0 but for rounding
    varies = pooled > 1e-12 * max(float(np.abs(a).max()), float(np.abs(b).max()))
    smd = (mean_b - mean_a) / pooled if varies else nan
    few = "needs two values per phase" if min(m, n) < 2 else ""
    no_ratio = "" if mean_a > 0 and mean_b > 0 else "both means must be above 0"
    pairs, total = float(m * n), m + n
    return [
        Effect("mean_A", "mean", m, mean_a, weight=pairs),
        Effect("mean_B", "mean", n, mean_b, weight=pairs),
        Effect("log_response_ratio", "log of the ratio of means", total, ratio, error,
               weight=pairs, note=no_ratio or few),
        Effect("log_response_ratio_bias_corrected", "delta method", total, corrected, error,
               weight=pairs, note=no_ratio or few),
        Effect("within_case_smd_pooled", "pooled standard deviation", total, smd, weight=pairs,
               note=few or ("" if varies else "the values do not vary within phases")),
    ]  # fmt: skip


def combine(by_pair: list[list[Effect]]) -> list[Effect]:
    """Mean of each effect over the phase pairs, weighted by the pairs of values behind it.

    Standard errors treat the phase pairs as independent.
    """
    combined = []
    for same in zip(*by_pair, strict=True):
        weights = np.array([effect.weight for effect in same])
        share = weights / weights.sum() if weights.sum() else np.full(weights.shape, nan)
        estimates = np.array([effect.estimate for effect in same])
        errors = np.array([effect.std_error for effect in same])
        used = share > 0
        combined.append(
            Effect(
                same[0].measure,
                same[0].method,
                sum(effect.n for effect in same),
                float(share[used] @ estimates[used]) if used.any() else nan,
                sqrt(float(share[used] ** 2 @ errors[used] ** 2)) if used.any() else nan,
                statistic=float(np.sum([effect.statistic for effect in same])),
            )
        )
    return combined


def rank_sum_tests(a: Floats, b: Floats) -> list[Effect]:
    """Mann-Whitney test: normal (ties, continuity corrected) and exact given the ties."""
    m, n = a.size, b.size
    total = m + n
    _, inverse, counts = np.unique(np.concatenate([a, b]), return_inverse=True, return_counts=True)
    doubled = (2 * np.cumsum(counts) - counts + 1)[inverse]
    u = float(doubled[:m].sum()) / 2 - m * (m + 1) / 2
    share = u / (m * n)
    ties = float((counts.astype(float) ** 3 - counts).sum())
    variance = m * n / 12 * (total + 1 - ties / (total * (total - 1)))
    distance = abs(u - m * n / 2)
    normal = nan
    if variance > 0:
        z = (distance - 0.5 if distance > 0 else 0.0) / sqrt(variance)
        normal = min(1.0, 2 * float(special.ndtr(-z)))
    exact = _rank_sum_exact(doubled, m) if total <= EXACT_RANK_LIMIT else nan
    return [
        Effect("mann_whitney", "normal", total, share, statistic=u, p_value=normal,
               note="all values are equal" if isnan(normal) else ""),
        Effect("mann_whitney", "exact", total, share, statistic=u, p_value=exact,
               note=f"more than {EXACT_RANK_LIMIT} values" if isnan(exact) else ""),
    ]  # fmt: skip


def _rank_sum_exact(ranks: Ints, m: int) -> float:
    """Share of all choices of m values whose rank sum is as far from its mean."""
    ways = np.zeros((m + 1, int(ranks.sum()) + 1))
    ways[0, 0] = 1.0
    for i, rank in enumerate(ranks):
        for k in range(min(i + 1, m), 0, -1):
            ways[k, rank:] += ways[k - 1, : ways.shape[1] - rank]
    masses = ways[m] / ways[m].sum()
    sums = np.arange(masses.size)
    observed, mean = int(ranks[:m].sum()), m * float(ranks.sum()) / ranks.size
    far = np.abs(sums - mean) >= abs(observed - mean) - 1e-9
    return min(1.0, float(masses[far].sum()))


def _placements(a: Floats, b: Floats) -> tuple[Floats, Floats]:
    """For each value of `a`: how many of `b` lie below it, how many are equal."""
    ordered = np.sort(b)
    below = np.searchsorted(ordered, a, side="left")
    upto = np.searchsorted(ordered, a, side="right")
    return below.astype(float), (upto - below).astype(float)


def _falls(x: Floats) -> float:
    """Kendall's S of a phase: pairs that fall in time less pairs that rise.

    Counted between the halves of ever larger blocks: n log(n)^2 steps.
    """
    _, ranks = np.unique(x, return_inverse=True)
    index, total, width, span = np.arange(x.size), 0, 1, int(ranks.max()) + 1
    while width < x.size:
        block, second = index // (2 * width), index // width % 2 == 1
        keys = block * span + ranks
        later, earlier = np.sort(keys[second]), keys[~second]
        edge = block[~second] * span
        below = np.searchsorted(later, earlier, "left") - np.searchsorted(later, edge, "left")
        end = np.searchsorted(later, edge + span, "left")
        total += int((below - (end - np.searchsorted(later, earlier, "right"))).sum())
        width *= 2
    return float(total)


def _nap_variance(nap: float, m: int, n: int) -> float:
    """Variance under exponential scores (Hanley & McNeil 1982)."""
    one, two = nap / (2 - nap) - nap**2, 2 * nap**2 / (1 + nap) - nap**2
    return (nap * (1 - nap) + (n - 1) * one + (m - 1) * two) / (m * n)


def _nap_error(nap: float, m: int, n: int) -> float:
    return sqrt(max(0.0, _nap_variance(nap, m, n)))


def _nap_interval(nap: float, m: int, n: int, level: float) -> tuple[float, float]:
    """Score interval with pooled group sizes (Newcombe 2006, method 5); not empty at 0 or 1."""
    z2 = float(special.ndtri((1 + level) / 2)) ** 2
    half, edge = (m + n) / 2 - 1, 1e-15

    def excess(p: float) -> float:  # squared distance less z^2 variance, over p (1 - p)
        spread = (1 + half * ((1 - p) / (2 - p) + p / (1 + p))) / (m * n)
        return (nap - p) ** 2 / (p * (1 - p)) - z2 * spread

    low = optimize.brentq(excess, edge, min(nap, 1 - edge), xtol=1e-15) if nap > edge else 0.0
    high = optimize.brentq(excess, max(nap, edge), 1 - edge, xtol=1e-15) if nap < 1 else 1.0
    return float(low), float(high)


def _nap_shares(a: Floats, b: Floats) -> tuple[Floats, Floats, float]:
    """Share of improved pairs per A value and per B value, and the number of ties."""
    wins, ties = _placements(a, b)
    losses, ties_b = _placements(b, a)
    of_a, of_b = (wins + ties / 2) / b.size, 1 - (losses + ties_b / 2) / a.size
    return of_a, of_b, float(ties.sum())


def _nap_delong(a: Floats, b: Floats) -> float:
    """DeLong, DeLong & Clarke-Pearson (1988)."""
    if min(a.size, b.size) < 2:
        return nan
    of_a, of_b, _ = _nap_shares(a, b)
    return sqrt(float(of_a.var(ddof=1)) / a.size + float(of_b.var(ddof=1)) / b.size)


def _nap_unbiased(a: Floats, b: Floats) -> float:
    """Unbiased variance (Mee 1990); NaN when that estimate is negative."""
    m, n = a.size, b.size
    if min(m, n) < 2:
        return nan
    of_a, of_b, ties = _nap_shares(a, b)
    nap = float(of_a.mean())
    rows, columns = float(((of_a - nap) ** 2).sum()), float(((of_b - nap) ** 2).sum())
    # pairs count 1, 1/2 or 0: their squares are the pairs less a quarter of the ties
    pairs = m * n * nap * (1 - nap) - ties / 4
    variance = (n**2 * rows + m**2 * columns - pairs) / (m * n * (m - 1) * (n - 1))
    return sqrt(variance) if variance >= 0 else nan
