"""The one interval engine: how much of [start, end) lies in half-open windows.

A point (end == start) lies in a window when from <= start < to. Overlap is exact to the
microsecond, the resolution of all times.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import pandas as pd

MICROSECONDS_PER_HOUR = 3_600_000_000


def microseconds(values: pd.Series) -> NDArray[np.int64]:
    """Return times as integer microseconds since 1970."""
    times: NDArray[np.int64] = values.to_numpy().astype("datetime64[us]").astype(np.int64)
    return times


def hours_between(start: pd.Series, end: pd.Series) -> pd.Series:
    """Return hours from start to end (missing where either is)."""
    return (end - start).dt.total_seconds() / 3600


def each(table: pd.DataFrame) -> Iterator[Any]:
    """Yield the rows of a table as named tuples."""
    yield from table.itertuples(index=False)


def overlap(
    start: NDArray[np.int64],
    end: NDArray[np.int64],
    window_start: NDArray[np.int64],
    window_end: NDArray[np.int64],
) -> NDArray[np.int64]:
    """Return the microseconds that [start, end) and [window_start, window_end) share."""
    shared = np.minimum(end, window_end) - np.maximum(start, window_start)
    positive: NDArray[np.int64] = np.maximum(shared, 0)
    return positive


def share(
    start: NDArray[np.int64],
    end: NDArray[np.int64],
    window_start: NDArray[np.int64],
    window_end: NDArray[np.int64],
) -> NDArray[np.float64]:
    """Return the share of each interval that lies in its window; a point counts 0 or 1."""
    length = end - start
    inside = overlap(start, end, window_start, window_end)
    point = (start >= window_start) & (start < window_end)
    return np.where(length > 0, inside / np.maximum(length, 1), point.astype(np.float64))
