"""Two proportions side by side: exact tests, exact odds ratio, score intervals."""

from __future__ import annotations

from collections.abc import Callable
from math import acos, cos, exp, inf, log, pi, sqrt

import numpy as np
import pandas as pd
from scipy import optimize, special

from .exact import binomial_interval, check_count
from .exact_masses import SAME, hypergeometric_log_masses, hypergeometric_masses, tails
from .results import Bools, Floats, NotEstimable, Result, check_level

BOSCHLOO_LIMIT = 1000  # people per group; all (n_1 + 1)(n_2 + 1) tables are held at once
NAN = float("nan")
_Row = tuple[str, str, *tuple[float, ...]]  # measure, method, numbers


def two_by_two(a: int, b: int, c: int, d: int, level: float = 0.95) -> Result:
    """Compare the proportion of events in two groups, exactly and safe with zero cells.

    Parameters
    ----------
    a, b
        People with and without the event in group 1.
    c, d
        The same in group 2.
    level
        Confidence level of all intervals.

    Returns
    -------
    Result
        `.table` with measure, method, estimate, ci_low, ci_high, p_value (two-sided), p_less,
        p_greater (against an odds ratio below, above 1). Rows: proportion_1, proportion_2
        (Clopper-Pearson); risk_difference, risk_ratio, odds_ratio (group 1 against 2;
        Miettinen-Nurminen score intervals: the three exclude "no difference" together);
        odds_ratio_conditional (conditional maximum likelihood, exact interval, Fisher p);
        fisher_mid_p and fisher_mid_p_doubled (twice the smaller tail); boschloo (ordered by the
        two-sided Fisher p) and boschloo_doubled (twice the smaller one-sided p). A ratio of
        0 / 0 is NaN with the interval 0 to inf; only the conditional odds ratio is then 0, as in
        fisher.test. Boschloo is NaN with more than 1000 people in a group.

    Raises
    ------
    InvalidInput
        A count is not a whole number of 0 or more.
    NotEstimable
        A group is empty.

    Notes
    -----
    R: `fisher.test(matrix(c(a, b, c, d), 2))` (which stops its search for the odds ratio at
    1e-4), `binom.test`; `Exact::exact.test(method = "Boschloo")`;
    SciPy: `boschloo_exact` is boschloo_doubled. Clopper & Pearson (1934), Boschloo (1970),
    Miettinen & Nurminen (1985).

    Examples
    --------
    >>> table = two_by_two(7, 25, 0, 32).table.set_index("measure")
    >>> round(float(table.loc["odds_ratio_conditional", "p_value"]), 6)
    0.010836
    """
    check_level(level)
    counts = zip("abcd", (a, b, c, d), strict=True)
    a, b, c, d = (check_count(value, name) for name, value in counts)
    n_1, n_2 = a + b, c + d
    for n, name in ((n_1, "group 1"), (n_2, "group 2")):
        if n == 0:
            raise NotEstimable(f"{name} has nobody: there is nothing to compare")
    rows = [
        ("proportion_1", "Clopper-Pearson", a / n_1, *binomial_interval(a, n_1, level, False)),
        ("proportion_2", "Clopper-Pearson", c / n_2, *binomial_interval(c, n_2, level, False)),
        *_score_rows(a, n_1, c, n_2, level),
        _conditional_row(a, b, c, d, level),
        *_mid_p_rows(a, n_1, c, n_2),
        *_boschloo_rows(a, n_1, c, n_2),
    ]
    columns = ["measure", "method", "estimate", "ci_low", "ci_high"]
    columns += ["p_value", "p_less", "p_greater"]
    padded = [[*row, *[NAN] * (len(columns) - len(row))] for row in rows]
    return Result(
        table=pd.DataFrame(padded, columns=columns),
        diagnostics={"level": level, "n_observations": n_1 + n_2, "n_events": a + c},
    )


# ------------------------------------------------------------------------ given all margins


def _fisher(a: int, n_1: int, c: int, n_2: int) -> tuple[float, float, float, float, float]:
    """P(less), P(greater), P(equal), two-sided p, and its mid-P version."""
    counts, masses = hypergeometric_masses(n_1, n_2, a + c)
    less, here, greater = tails(masses, a - int(counts[0]))
    equal = (masses <= here * SAME) & (masses >= here / SAME)
    rarer = float(masses[(masses < here) & ~equal].sum())
    ties = float(masses[equal].sum())
    return less, greater, here, min(1.0, rarer + ties), min(1.0, rarer + ties / 2)


def _mid_p_rows(a: int, n_1: int, c: int, n_2: int) -> list[_Row]:
    less, greater, here, _, mid = _fisher(a, n_1, c, n_2)
    one_sided = (less + here / 2, greater + here / 2)
    doubled = min(1.0, 2 * min(one_sided))
    no = (NAN, NAN, NAN)
    return [
        ("fisher_mid_p", "tables as rare or rarer", *no, mid, *one_sided),
        ("fisher_mid_p_doubled", "twice the smaller tail", *no, doubled, *one_sided),
    ]


def _conditional_row(a: int, b: int, c: int, d: int, level: float) -> _Row:
    less, greater, here, p, _ = _fisher(a, a + b, c, c + d)
    # centred at what was seen: the odds ratios of interest put their mass around it
    spread = sqrt(1 / sum(1 / (cell + 0.5) for cell in (a, b, c, d)))
    counts, logs = hypergeometric_log_masses(a + b, c + d, a + c, centre=a, spread=spread)
    centred = counts - a

    def masses(log_odds: float) -> Floats:
        tilted = logs + centred * log_odds
        weights = np.exp(tilted - tilted.max())
        return np.asarray(weights / weights.sum(), float)

    start = log((a + 0.5) * (d + 0.5) / ((b + 0.5) * (c + 0.5)))
    tail = (1 - level) / 2
    at_low, at_high = a == max(0, a - d), a == min(a + b, a + c)
    low = -inf if at_low else _root(lambda t: masses(t)[centred >= 0].sum() - tail, start)
    high = inf if at_high else _root(lambda t: tail - masses(t)[centred <= 0].sum(), start)
    if at_low or at_high:
        middle = -inf if at_low else inf
    else:
        middle = _root(lambda t: float(masses(t) @ centred), start)
    estimate, ci_low, ci_high = (exp(v) if v < inf else inf for v in (middle, low, high))
    one_sided = (min(1.0, less + here), min(1.0, greater + here))
    method = "conditional ML, Fisher"
    return ("odds_ratio_conditional", method, estimate, ci_low, ci_high, p, *one_sided)


def _root(rising: Callable[[float], float], start: float) -> float:
    """Where an increasing function is 0, searched outwards from `start`."""
    low, high = start - 1, start + 1
    while rising(low) > 0:
        low -= 2 * (start - low)
    while rising(high) < 0:
        high += 2 * (high - start)
    return float(optimize.brentq(rising, low, high, xtol=1e-14, rtol=1e-14))


# -------------------------------------------------------------------------------- Boschloo


def _boschloo_rows(a: int, n_1: int, c: int, n_2: int) -> list[_Row]:
    p = less = greater = NAN
    if max(n_1, n_2) <= BOSCHLOO_LIMIT:
        less, greater, p = (
            _supremum(table <= table[a, c] * (1 + 1e-9), n_1, n_2)
            for table in _fisher_of_all_tables(n_1, n_2)
        )
    no, doubled = (NAN, NAN, NAN), float(np.minimum(1.0, 2 * min(less, greater)))  # NaN stays NaN
    return [
        ("boschloo", "ordered by the two-sided Fisher p", *no, p, less, greater),
        ("boschloo_doubled", "twice the smaller tail", *no, doubled, less, greater),
    ]


def _fisher_of_all_tables(n_1: int, n_2: int) -> tuple[Floats, Floats, Floats]:
    """Fisher p (less, greater, two-sided) of x_1 of n_1 and x_2 of n_2, rows x_1."""
    less, greater, two = (np.empty((n_1 + 1, n_2 + 1)) for _ in range(3))
    for events in range(n_1 + n_2 + 1):
        counts, masses = hypergeometric_masses(n_1, n_2, events)
        x_1 = counts.astype(int)
        x_2 = events - x_1
        less[x_1, x_2] = np.cumsum(masses)
        greater[x_1, x_2] = np.cumsum(masses[::-1])[::-1]
        order = np.sort(masses)
        upto = np.searchsorted(order, masses * SAME, side="right")
        two[x_1, x_2] = np.cumsum(order)[upto - 1]
    return less, greater, two


def _binomial_table(n: int, p: Floats) -> Floats:
    k = np.arange(n + 1.0)
    log_choose = special.gammaln(n + 1) - special.gammaln(k + 1) - special.gammaln(n - k + 1)
    q = p[:, None]
    return np.asarray(np.exp(log_choose + special.xlogy(k, q) + special.xlog1py(n - k, -q)), float)


def _supremum(region: Bools, n_1: int, n_2: int) -> float:
    """Largest probability of the tables in `region` over a common proportion."""
    member = region.astype(float)

    def probability(angle: Floats) -> Floats:
        p = np.sin(angle) ** 2
        inside = _binomial_table(n_1, p) @ member
        return np.asarray((inside * _binomial_table(n_2, p)).sum(axis=1), float)

    # equal steps of the angle are equal steps in standard errors, so no peak is missed
    angles = np.linspace(0, pi / 2, 1001)
    values = probability(angles)
    inner = values[1:-1]
    peaks = np.flatnonzero((inner >= values[:-2]) & (inner >= values[2:])) + 1
    best = float(values.max())
    for i in peaks[np.argsort(-values[peaks])][:5]:
        found = optimize.minimize_scalar(
            lambda t: -probability(np.array([t]))[0],
            bounds=(angles[i - 1], angles[i + 1]),
            method="bounded",
            options={"xatol": 1e-12},
        )
        best = max(best, -float(found.fun))
    return min(1.0, best)


# -------------------------------------------------------------------------- score intervals


def _score_rows(a: int, n_1: int, c: int, n_2: int, level: float) -> list[_Row]:
    p_1, p_2, total, events = a / n_1, c / n_2, n_1 + n_2, a + c
    z = float(special.ndtri((1 + level) / 2)) * sqrt(total / (total - 1))

    def difference(delta: float) -> float:
        low = _restricted(a, n_1, c, n_2, delta)
        high = low + delta
        return _standard(p_1 - p_2 - delta, high * (1 - high) / n_1 + low * (1 - low) / n_2)

    def ratio(log_ratio: float) -> float:
        r = exp(log_ratio)
        linear = n_1 * r + a + n_2 + c * r
        low = 2 * events / (linear + sqrt(max(0.0, linear**2 - 4 * total * r * events)))
        high = min(1.0, r * low)
        return _standard(p_1 - r * p_2, high * (1 - high) / n_1 + r**2 * low * (1 - low) / n_2)

    delta_low = -1.0 if p_1 - p_2 == -1 else _crossing(difference, z, -1.0, p_1 - p_2)
    delta_high = 1.0 if p_1 - p_2 == 1 else _crossing(difference, -z, p_1 - p_2, 1.0)
    method = "Miettinen-Nurminen"
    rows: list[_Row] = [("risk_difference", method, p_1 - p_2, delta_low, delta_high)]
    low = _falls_to(ratio, z, a * n_2, c * n_1) if a else 0.0
    high = _falls_to(ratio, -z, a * n_2, c * n_1) if c else inf
    rows.append(("risk_ratio", method, _quotient(a * n_2, c * n_1), low, high))
    b, d = n_1 - a, n_2 - c
    rows.append(("odds_ratio", method, _quotient(a * d, b * c), *_score_odds_ratio(a, b, c, d, z)))
    return rows


def _quotient(up: int, down: int) -> float:
    return up / down if down else (inf if up else NAN)


def _score_odds_ratio(a: int, b: int, c: int, d: int, z: float) -> tuple[float, float]:
    """Odds ratios at which the cells, moved by m to fit them, lie z standard errors off."""

    def cells(m: float) -> tuple[float, float, float, float]:
        return a + m, b - m, c - m, d + m

    def limit(end: int) -> float:
        # m runs from 0 (score 0) to `end`, where a cell is empty and the score infinite
        share = optimize.brentq(
            lambda s: (s * end) ** 2 * sum(1 / cell for cell in cells(s * end)) - z**2,
            1e-300,
            1 - 1e-15,
            xtol=1e-300,
            rtol=1e-14,
        )
        one, two, three, four = cells(share * end)
        return one * four / (two * three)

    return (limit(-min(a, d)) if min(a, d) else 0.0, limit(min(b, c)) if min(b, c) else inf)


def _standard(distance: float, variance: float) -> float:
    if variance > 0:
        return distance / sqrt(variance)
    return 0.0 if distance == 0 else inf if distance > 0 else -inf


def _crossing(score: Callable[[float], float], target: float, low: float, high: float) -> float:
    """Where a falling score equals `target` on [low, high]; infinite scores are cut."""
    big = 1e6

    def gap(value: float) -> float:
        return float(np.clip(score(value), -big, big)) - target

    return float(optimize.brentq(gap, low, high, xtol=1e-15, rtol=1e-14))


def _falls_to(score: Callable[[float], float], target: float, up: int, down: int) -> float:
    """Ratio at which a score that falls with log(ratio) equals `target`."""
    start = log(up / down) if up and down else 0.0
    return exp(_root(lambda t: target - float(np.clip(score(t), -1e6, 1e6)), start))


def _restricted(a: int, n_1: int, c: int, n_2: int, delta: float) -> float:
    """Maximum likelihood proportion of group 2 when that of group 1 is `delta` more."""
    total, events = n_1 + n_2, a + c
    l_2 = ((n_1 + 2 * n_2) * delta - total - events) / (3 * total)
    l_1 = ((n_2 * delta - total - 2 * c) * delta + events) / total
    l_0 = c * delta * (1 - delta) / total
    q = l_2**3 - l_1 * l_2 / 2 + l_0 / 2
    p = sqrt(max(0.0, l_2**2 - l_1 / 3)) * (1 if q >= 0 else -1)
    angle = (pi + acos(min(1.0, max(-1.0, q / p**3)))) / 3 if p else 0.0
    root = 2 * p * cos(angle) - l_2
    return min(max(root, 0.0, -delta), 1.0, 1.0 - delta)
