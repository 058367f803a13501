"""Variances of the Aalen-Johansen estimator, each one pass over the times.

All open a square whose unknown is the curve at the time asked about: the sum over s <= t of
(a_s - F(t) b_s)^2 is three cumulative sums, of a^2, of ab and of b^2.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .influence import Influence, before_first, quadratic
from .results import Floats, Ints
from .risk_sets import RiskSets

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


def jackknife(steps: Steps, sets: RiskSets, cause: Ints, unit: Ints | None) -> Floats:
    """Infinitesimal jackknife by unit of each cumulative incidence, shape (m, K).

    A row of weight w moves F_k(t) by a + F_k(t) b. While it is at risk, a falls by w A and b
    grows by w B at each time, with B = q / (n (1 - q)) and A = S q_k / n + F_k B; at its event,
    a grows by w (1{cause k} S / n + F_k / (n (1 - q))) and b falls by w / (n (1 - q)).
    """
    first, last, w = sets.first, sets.last, sets.weight
    left = _inverse(1 - steps.gone) / steps.at_risk
    b_step = steps.gone * left
    b_path = np.cumsum(b_step)
    b_event = np.where(cause > 0, left[last], 0.0)
    share = steps.before / steps.at_risk
    influence = Influence(first, last, unit)
    of_b = influence.state(-w * before_first(b_path, first), w * (b_path[last] - b_event))
    at_risk = influence.state(w, -w)
    bb, br, rr = map(influence.moments, (of_b, of_b, at_risk), (of_b, at_risk, at_risk))
    out = np.empty_like(steps.incidence)
    for k, (q, f) in enumerate(zip(steps.jump.T, steps.incidence.T, strict=True)):
        a_path = np.cumsum(share * q + f * b_step)
        a_event = np.where(cause == k + 1, share[last], 0.0) + f[last] * b_event
        of_a = influence.state(w * before_first(a_path, first), w * (a_event - a_path[last]))
        aa, ab, ar = (influence.moments(of_a, other) for other in (of_a, of_b, at_risk))
        g = f * b_path - a_path
        out[:, k] = quadratic(
            [(1.0, aa), (2 * f, ab), (2 * g, ar), (f * f, bb), (2 * f * g, br), (g * g, rr)]
        )
    return out
