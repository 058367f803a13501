"""Variances of the Aalen-Johansen estimator, each one pass over the times.

All open a square whose unknown is the curve at the time asked about: the sum over s <= t of
(a_s - F(t) b_s)^2 is three cumulative sums, of a^2, of ab and of b^2.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .results import Floats, Ints

ROUNDING = 32 * float(np.finfo(float).eps)


@dataclass(frozen=True)
class Steps:
    """Steps of the estimator at m times for K causes.

    Shapes: `at_risk`, `gone`, `before` (m,); `jump`, `incidence` (m, K).
    """

    at_risk: Floats  # sum of weights
    jump: Floats  # cause-specific hazard q_k
    gone: Floats  # all-cause hazard q
    before: Floats  # event-free share S just before each time
    incidence: Floats  # cumulative incidence F_k


def _inverse(values: Floats) -> Floats:
    """1 / values, and 0 where nobody is left (the curves are flat from there on)."""
    left = values > 0
    return np.where(left, 1 / np.where(left, values, 1.0), 0.0)


def _quadratic(aa: Floats, ab: Floats, bb: Floats, curve: Floats) -> Floats:
    parts = np.cumsum(aa), -2 * curve * np.cumsum(ab), curve**2 * np.cumsum(bb)
    total = parts[0] + parts[1] + parts[2]
    # what the three parts leave over of each other when nothing varies is rounding
    return np.where(total > ROUNDING * (parts[0] + abs(parts[1]) + parts[2]), total, 0.0)


def greenwood(steps: Steps) -> Floats:
    """Delta method on multinomial jumps, shape (m, K).

    Sum over s <= t of S^2 q_k (1 - q_k) / n + D^2 q / (n (1 - q)) - 2 S D q_k / n with
    D = F_k(t) - F_k(s).
    """
    n, s = steps.at_risk, steps.before
    a = steps.gone * _inverse(1 - steps.gone) / n
    out = np.empty_like(steps.incidence)
    for k, (q, f) in enumerate(zip(steps.jump.T, steps.incidence.T, strict=True)):
        mixed = s * q / n
        own = s**2 * q * (1 - q) / n
        out[:, k] = _quadratic(own + f**2 * a + 2 * f * mixed, f * a + mixed, a, f)
    return out


def aalen(steps: Steps) -> Floats:
    """Delta method on independent counts d of the cause and of all the others, shape (m, K).

    Sum over s <= t and both kinds of S^2 V (1{own cause} - D / S(s))^2 with S(s) the event-free
    share after s and V = d (n - d) / (n^2 (n - 1)), which is 1 / n^2 for a single event.
    """
    n = steps.at_risk
    inverse = _inverse(steps.before * (1 - steps.gone))

    def noise(jump: Floats) -> Floats:
        deaths = jump * n
        tied = np.where(deaths > 1, 1 - (deaths - 1) / np.where(n > 1, n - 1, 1.0), 1.0)
        return np.asarray(steps.before**2 * tied * jump / n, float)

    out = np.empty_like(steps.incidence)
    for k, (q, f) in enumerate(zip(steps.jump.T, steps.incidence.T, strict=True)):
        own, share = noise(q), f * inverse
        every = own + noise(steps.gone - q)
        aa = own * (1 + 2 * share) + every * share**2
        out[:, k] = _quadratic(aa, (own + every * share) * inverse, every * inverse**2, f)
    return out


@dataclass(frozen=True)
class _Changes:
    """Where the weight at risk of a unit changes: one entry per unit and time index.

    The unit carries `weight` over the times `since` ... `at`, and `later` from `at` + 1 on.
    """

    since: Ints
    at: Ints
    weight: Floats
    later: Floats
    of_row: Ints | None  # per row: the entry of its own end; None for the row itself
    origin: Ints | None  # per entry: first entry of the unit; None when each stands alone
    squares: Floats  # (m,) sum over the units of the squared weight at risk


def _changes(first: Ints, last: Ints, weight: Floats, unit: Ints | None, m: int) -> _Changes:
    def summed(index: Ints, values: Floats, size: int) -> Floats:
        return np.asarray(np.bincount(index, values, minlength=size), float)

    if unit is None:
        squares = summed(first, weight**2, m + 1) - summed(last + 1, weight**2, m + 1)
        none = np.zeros_like(weight)
        return _Changes(first, last, weight, none, None, None, np.cumsum(squares)[:m])
    key = np.r_[unit * (m + 1) + first, unit * (m + 1) + last + 1]
    points, place = np.unique(key, return_inverse=True)
    owner, index = np.divmod(points, m + 1)
    new = np.r_[True, owner[1:] != owner[:-1]]
    origin = np.maximum.accumulate(np.where(new, np.arange(points.size), 0))
    change = summed(place, np.r_[weight, -weight], points.size)
    later = _cumulated_by(change, origin)
    before = np.where(new, 0.0, later - change)
    since = np.where(new, index, np.r_[0, index[:-1]])
    squares = np.cumsum(summed(index, later**2 - before**2, m + 1))[:m]
    return _Changes(since, index - 1, before, later, place[first.size :], origin, squares)


def _cumulated_by(values: Floats, origin: Ints | None) -> Floats:
    """Cumulative sum that starts anew at each unit's first entry."""
    if origin is None:
        return values
    total = np.cumsum(values)
    return total - (total - values)[origin]


def jackknife(
    steps: Steps, first: Ints, last: Ints, cause: Ints, weight: Floats, unit: Ints | None
) -> Floats:
    """Sum over units of their squared influence on each cumulative incidence, shape (m, K).

    The influence of a unit at t is a(t) + F_k(t) b(t). While a weight w of it is at risk, a
    falls by w A and b grows by w B at each time, with B = q / (n (1 - q)) and
    A = S q_k / n + F_k B; at an event of weight w, a grows by g = w (1{cause k} S / n +
    F_k / (n (1 - q))) and b falls by h = w / (n (1 - q)). So the sums over units of aa, ab and
    bb follow from the sums of w^2, w a and w b over who is at risk, and from a and b at the
    times where the weight at risk of a unit changes.

    Parameters
    ----------
    steps
        The estimator at m times.
    first, last, cause
        Per row: time index of the start and end at risk, 0 or the number of the cause.
    weight, unit
        Per row: case weight, number of its unit (None: each row is one).
    """
    m, n_causes = steps.incidence.shape
    n = steps.at_risk
    changes = _changes(first, last, weight, unit, m)
    at, w, shift = changes.at, changes.weight, changes.later - changes.weight
    after = at + 1
    events = np.flatnonzero(cause > 0)
    left = _inverse(1 - steps.gone) / n
    b_step = steps.gone * left

    def over_units(per_event: Floats) -> Floats:
        where = events if changes.of_row is None else changes.of_row[events]
        return np.asarray(np.bincount(where, weight[events] * per_event, minlength=at.size), float)

    def state(step: Floats, jump: Floats) -> Floats:
        """A unit's a or b right after each of its changes."""
        walked = np.r_[0.0, np.cumsum(step)]
        return _cumulated_by(jump - w * (walked[after] - walked[changes.since]), changes.origin)

    def per_time(values: Floats) -> Floats:
        return np.asarray(np.bincount(after, values, minlength=m + 1), float)

    def at_risk_sum(step: Floats, jump: Floats, value: Floats) -> Floats:
        """Sum over units of weight at risk times a (or b) just before each time."""
        moved = per_time(w * jump + shift * value)
        moved[1:] -= step * changes.squares
        return np.cumsum(moved)[:m]

    h = over_units(left[last[events]])
    b = -state(b_step, h)
    wb = at_risk_sum(-b_step, -h, b)
    bb = per_time(-h * (2 * b + h))[1:] + b_step * (2 * wb + b_step * changes.squares)
    out = np.empty_like(steps.incidence)
    for k in range(n_causes):
        f = steps.incidence[:, k]
        a_step = steps.before * steps.jump[:, k] / n + f * b_step
        own = np.where(cause[events] == k + 1, (steps.before / n)[last[events]], 0.0)
        g = over_units(own + (f * left)[last[events]])
        a = state(a_step, g)
        wa = at_risk_sum(a_step, g, a)
        aa = per_time(g * (2 * a - g))[1:] - a_step * (2 * wa - a_step * changes.squares)
        ab = per_time(g * b - h * a + g * h)[1:] - a_step * wb
        ab += b_step * (wa - a_step * changes.squares)
        total = _quadratic(aa, -ab, bb, f)
        out[:, k] = np.where(total > ROUNDING * np.cumsum(per_time(g * g)[1:]), total, 0.0)
    return out
