"""Probabilities of binomial and hypergeometric counts, small or very large.

Masses are built from the ratio of neighbours, which keeps their relative error near 1e-12 where
differences of log gamma functions lose digits. Only counts that can have a mass above the
smallest double are visited, so counts of 1e9 cost what their standard deviation costs.
"""

from __future__ import annotations

from collections.abc import Callable
from math import sqrt

import numpy as np
from scipy import special

from .results import Floats

SAME = 1 + 1e-7  # masses that differ by less are equal, as in fisher.test and binom.test


def log_masses(
    log_ratio: Callable[[Floats], Floats], centre: int, spread: float, low: int, high: int
) -> tuple[Floats, Floats]:
    """Counts around `centre` and their log masses up to a constant.

    Parameters
    ----------
    log_ratio
        log of P(k + 1) / P(k) for an array of k.
    centre, spread
        Where the masses peak, and their standard deviation.
    low, high
        First and last possible count.
    """
    reach = int(40 * spread) + 500
    counts = np.arange(max(low, centre - reach), min(high, centre + reach) + 1, dtype=float)
    logs = np.concatenate([[0.0], np.cumsum(log_ratio(counts[:-1]))])
    return counts, logs - logs.max()


def binomial_masses(n: int, log_odds: float) -> tuple[Floats, Floats]:
    """Counts and probabilities of a binomial variable; log odds of one trial."""
    p, q = float(special.expit(log_odds)), float(special.expit(-log_odds))
    counts, logs = log_masses(
        lambda k: np.log((n - k) / (k + 1)) + log_odds, int(n * p), sqrt(n * p * q), 0, n
    )
    masses = np.exp(logs)
    return counts, masses / masses.sum()


def hypergeometric_log_masses(
    n_1: int, n_2: int, events: int, centre: int | None = None, spread: float | None = None
) -> tuple[Floats, Floats]:
    """Number of events in group 1 when `events` of n_1 + n_2 have one, odds ratio 1."""
    total = n_1 + n_2
    low, high = max(0, events - n_2), min(n_1, events)
    if centre is None:
        centre = min(high, max(low, (n_1 + 1) * (events + 1) // (total + 2)))
    if spread is None:
        share = events / total
        spread = sqrt(n_1 * share * (1 - share) * n_2 / max(1, total - 1))

    def log_ratio(k: Floats) -> Floats:
        up, down = (n_1 - k) * (events - k), (k + 1) * (n_2 - events + k + 1)
        return np.asarray(np.log(up / down), float)

    return log_masses(log_ratio, centre, spread, low, high)


def hypergeometric_masses(n_1: int, n_2: int, events: int) -> tuple[Floats, Floats]:
    """Counts in group 1 and their probabilities given all margins."""
    counts, logs = hypergeometric_log_masses(n_1, n_2, events)
    masses = np.exp(logs)
    return counts, masses / masses.sum()


def tails(masses: Floats, at: int) -> tuple[float, float, float]:
    """Probability below, at and above one position; outside `masses` it is too small to hold."""
    if at < 0:
        return 0.0, 0.0, 1.0
    here = float(masses[at]) if at < masses.size else 0.0
    return float(masses[:at].sum()), here, float(masses[at + 1 :].sum())
