"""The phases of one series: what they are, how strong the design is, what chance could give."""

from __future__ import annotations

import re
from collections.abc import Hashable
from dataclasses import dataclass
from itertools import chain, combinations
from math import comb

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from .inputs import NO_NUMBERS, refuse_extreme, vector
from .results import Floats, Ints, InvalidInput, NotEstimable

PERMUTATION_LIMIT = 2_000_000  # ways to place the phase changes that are enumerated
LARGEST = 1e100  # squares of larger numbers overflow
NUMBERED = re.compile(r"(.*\D)\d+")


@dataclass(frozen=True)
class Series:
    """One series in time order.

    Attributes
    ----------
    values, time
        One number per observation; time strictly increases.
    treated
        0 in baseline phases, 1 in intervention phases.
    run
        Number of the phase, 0, 1, 2 ...
    names
        Name of each phase: A1, B1, A2 ...
    n_dropped
        Observations left out because something was missing.
    """

    values: Floats
    time: Floats
    treated: Ints
    run: Ints
    names: list[str]
    n_dropped: int

    def phase(self, number: int) -> Floats:
        """Values of one phase."""
        return np.asarray(self.values[self.run == number], float)

    @property
    def lengths(self) -> Ints:
        """Observations per phase."""
        return np.bincount(self.run).astype(np.int64)


def read_series(values: ArrayLike, phase: ArrayLike, time: ArrayLike | None) -> Series:
    """Check and sort one series; the first phase in time is a baseline."""
    y = _floats(values, "values")
    labels = np.asarray(pd.Series(vector(phase, "phase")), object)
    t = np.arange(y.size, dtype=float) if time is None else _floats(time, "time")
    if not y.size == labels.size == t.size:
        raise InvalidInput("values, phase and time must have the same length")
    kept = ~(np.isnan(y) | np.isnan(t) | np.asarray(pd.isna(labels), bool))
    if any(isinstance(label, list | tuple) for label in labels):
        raise InvalidInput("phase must hold one word or number per value")
    if not kept.any():
        raise InvalidInput("no observation has a value, a phase and a time")
    n_dropped = int((~kept).sum())
    y, labels, t = y[kept], labels[kept], t[kept]
    if not ((np.abs(y) < LARGEST).all() and (np.abs(t) < LARGEST).all()):
        raise InvalidInput("values and time must be finite and below 1e100")
    refuse_extreme(y, "values")
    refuse_extreme(t, "time")
    order = np.argsort(t, kind="stable")
    y, labels, t = y[order], labels[order], t[order]
    if (np.diff(t) == 0).any():
        raise InvalidInput("two values have the same time: give one value per time")
    conditions = _conditions(list(labels))
    treated = (conditions != conditions[0]).astype(np.int64)
    run = np.concatenate([[0], np.cumsum(np.diff(treated) != 0)]).astype(np.int64)
    names = [f"{'AB'[k % 2]}{k // 2 + 1}" for k in range(int(run[-1]) + 1)]
    if len(names) == 1:
        raise NotEstimable("the series has one phase only: there is nothing to compare")
    return Series(y, t, treated, run, names, n_dropped)


def _floats(values: ArrayLike, name: str) -> Floats:
    raw = vector(values, name)
    if raw.dtype.kind in NO_NUMBERS + "U":
        raise InvalidInput(f"{name} must be numbers")
    try:
        return np.asarray(pd.to_numeric(pd.Series(raw, dtype=raw.dtype)), float)
    except (TypeError, ValueError, OverflowError):
        raise InvalidInput(f"{name} must be numbers") from None


def _conditions(labels: list[Hashable]) -> Ints:
    """0, 1 ... per label; phase numbers (A1, B1, A2, B2) are taken off if needed."""
    codes, levels = pd.factorize(np.asarray(labels, object))
    if len(levels) > 2:
        stems = [m[1] if (m := NUMBERED.fullmatch(str(label))) else str(label) for label in labels]
        codes, levels = pd.factorize(np.asarray(stems, object))
    if len(levels) > 2:
        raise InvalidInput(
            f"phase has {len(levels)} conditions: give two, such as A, B, A, B or A1, B1, A2, B2"
        )
    return np.asarray(codes, np.int64)


def design_rating(series: Series) -> tuple[float, str]:
    """Rating 0, 1 or 2 of a reversal design and what it says.

    What Works Clearinghouse, single-case design standards (Kratochwill et al. 2010): an effect
    must be shown at three points in time, so at least four phases (A, B, A, B); with five
    observations in each phase the design meets the standards, with three it meets them with
    reservations, otherwise it does not.
    """
    phases, shortest = len(series.names), int(series.lengths.min())
    if phases < 4:
        return 0.0, f"does not meet standards: {phases - 1} of 3 phase changes"
    if shortest < 3:
        return 0.0, f"does not meet standards: shortest phase has {shortest} of 3 values"
    if shortest < 5:
        return 1.0, f"meets standards with reservations: shortest phase has {shortest} of 5 values"
    return 2.0, "meets standards"


@dataclass(frozen=True)
class PhasePermutation:
    """Difference in means over all places that the phase changes could have had."""

    observed: float
    assignments: int
    p_value: float
    p_less: float
    p_greater: float
    min_p: float


def phase_permutation(series: Series, min_phase: int) -> PhasePermutation:
    """Randomisation test over the places of all phase changes.

    Statistic: mean of the intervention values less mean of the baseline values. The p values
    hold when the places were drawn at random (Edgington 1975; Onghena 1992). Too many places to
    enumerate give NaN p values.
    """
    n, phases = series.values.size, len(series.names)
    changes = phases - 1
    slots = n - phases * min_phase + changes
    assignments = comb(slots, changes)
    treated = series.treated == 1
    observed = float(series.values[treated].mean() - series.values[~treated].mean())
    if assignments > PERMUTATION_LIMIT:
        nan = float("nan")
        return PhasePermutation(observed, assignments, nan, nan, nan, 1 / assignments)
    # each choice of slots is one choice of phase lengths
    chosen = chain.from_iterable(combinations(range(slots), changes))
    places = np.fromiter(chosen, np.int64, assignments * changes).reshape(-1, changes)
    starts = places - np.arange(changes) + min_phase * np.arange(1, phases)
    sums = np.concatenate([[0.0], np.cumsum(series.values)])
    edges = np.column_stack([starts, np.full(assignments, n)])
    inside, size = np.zeros(assignments), np.zeros(assignments)
    for k in range(0, changes, 2):  # phases 1, 3, 5 ... are the intervention
        inside += sums[edges[:, k + 1]] - sums[edges[:, k]]
        size += edges[:, k + 1] - edges[:, k]
    values = inside / size - (sums[-1] - inside) / (n - size)
    tie = 1e-10 * float(np.abs(series.values).max())
    return PhasePermutation(
        observed,
        assignments,
        p_value=float((np.abs(values) >= abs(observed) - tie).mean()),
        p_less=float((values <= observed + tie).mean()),
        p_greater=float((values >= observed - tie).mean()),
        min_p=1 / assignments,
    )
