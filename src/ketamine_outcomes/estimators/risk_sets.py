"""Who is at risk when: the counts that every life-table estimator starts from.

A row is at risk in (entry, time]. Times that are equal are ties; nothing is moved.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from .inputs import codes
from .results import CURVE_COLUMNS, Bools, Floats, Ints, NotEstimable

DIGITS = 1e-10  # smallest share of a later weight at risk that keeps six digits


@dataclass(frozen=True)
class RiskSets:
    """Risk sets at the distinct ends of follow-up of one group.

    Shapes: `time`, `at_risk`, `rows_at_risk` (m,); `first`, `last`, `weight` (n,).
    """

    time: Floats
    at_risk: Floats  # sum of weights
    rows_at_risk: Ints
    first: Ints  # per row: index of the first time at which the row is at risk
    last: Ints  # per row: index of its own end
    weight: Floats

    def events(self, hit: Bools) -> Floats:
        """Sum of the weights of the rows in `hit` at each time."""
        return np.bincount(self.last[hit], self.weight[hit], self.time.size).astype(float)

    def left(self, hit: Bools) -> Floats:
        """Weight at risk without the event at each time; exactly 0 where every row has it."""
        rows = np.bincount(self.last[hit], minlength=self.time.size)
        rest = np.maximum(self.at_risk - self.events(hit), 0.0)
        return np.where(rows == self.rows_at_risk, 0.0, rest)


def risk_sets(start: Floats, stop: Floats, weight: Floats | None = None) -> RiskSets:
    """Count the rows at risk at every distinct `stop`."""
    n = stop.size
    if np.isfinite(start).any():
        values, rank = np.unique(np.concatenate((start, stop)), return_inverse=True)
        is_end = np.zeros(values.size, bool)
        is_end[rank[n:]] = True
        so_far = np.cumsum(is_end)
        time, first, last = values[is_end], so_far[rank[:n]], so_far[rank[n:]] - 1
    else:
        time, last = np.unique(stop, return_inverse=True)
        first = np.zeros(n, np.int64)
    w = np.ones(n) if weight is None else weight
    m = time.size

    def open_rows(weights: Floats | None) -> Any:
        # summed from the last time backwards: late, small risk sets keep their digits
        change = np.bincount(last, weights, m) - np.bincount(first, weights, m + 1)[1:]
        return np.cumsum(change[::-1])[::-1]

    rows = open_rows(None)
    at_risk = rows.astype(float) if weight is None else open_rows(w)
    if (at_risk < DIGITS * np.maximum.accumulate(at_risk[::-1])[::-1]).any():
        raise NotEstimable(
            "the weights differ so much in size that delayed entry leaves no digits of the weight "
            "at risk: take weights of similar size"
        )
    return RiskSets(time, at_risk, rows, first, last.astype(np.int64), w)


def group_rows(data: pd.DataFrame, group: str | None) -> list[tuple[Any, Ints]]:
    """Level and row numbers of every group, in the order of the levels."""
    if group is None:
        return [("all", np.arange(len(data)))]
    label, levels = codes(data, group)
    order = np.argsort(label, kind="stable")
    edges = np.searchsorted(label[order], np.arange(1, len(levels)))
    return list(zip(levels, np.split(order, edges), strict=True))


def curve_table(levels: Sequence[Any], parts: Sequence[dict[str, Floats]]) -> pd.DataFrame:
    """Curves below each other, one part per level; of cause 1 where a part does not name it."""
    sizes = [part["time"].size for part in parts]
    columns: dict[str, Any] = {"group": pd.Series(list(levels)).array.repeat(sizes), "cause": 1}
    columns |= {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    return pd.DataFrame({name: columns[name] for name in CURVE_COLUMNS})
