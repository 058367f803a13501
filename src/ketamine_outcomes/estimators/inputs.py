"""From columns of a DataFrame to checked arrays.

Rows with a missing value in any column that is used are left out and counted, as R does;
infinite values and wrong words are refused. No message holds a cell value.
"""

from __future__ import annotations

import re
from collections.abc import Hashable, Iterable, Sequence
from contextlib import suppress
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from .results import Bools, Floats, Ints, InvalidInput, NotEstimable

LARGEST = 1e100  # larger numbers have squares that overflow, those below 1 / LARGEST vanish
NO_NUMBERS = "mMc"  # kinds of dates, durations and complex numbers
TIME_TOLERANCE = float(np.sqrt(np.finfo(float).eps))  # as timefix of R's survival


def require_columns(data: pd.DataFrame, names: Sequence[str | None]) -> list[str]:
    """Return the given column names, or raise with the ones that do not exist."""
    if not isinstance(data, pd.DataFrame):
        raise InvalidInput("data must be a pandas DataFrame")
    used = [n for n in names if n is not None]
    if not all(isinstance(n, Hashable) for n in used):
        raise InvalidInput("a column is given by its name, one word")
    missing = [n for n in used if n not in data.columns]
    if missing:
        dotted = any(str(c).startswith(f"{n}.") for n in missing for c in data.columns)
        hint = ": inside a function, write a name with a dot as `a.b`" if dotted else ""
        raise InvalidInput(f"no column {', '.join(map(repr, missing))} in data{hint}")
    if not data.columns.is_unique and data.columns.duplicated()[data.columns.isin(used)].any():
        raise InvalidInput("two columns of data that are used have the same name")
    return list(dict.fromkeys(used))


def complete_rows(data: pd.DataFrame, columns: Sequence[str]) -> tuple[pd.DataFrame, int]:
    """Rows without a missing value in `columns`, re-indexed, and how many were left out."""
    complete = np.ones(len(data), bool)
    for name in columns:
        complete &= data[name].notna().to_numpy()
    # without a copy where no row goes: at a million rows it costs as much as a fit
    kept = (data if complete.all() else data.loc[complete]).copy(deep=False)
    if len(kept) == 0:
        raise InvalidInput("no row is complete in the columns that are used")
    kept.index = pd.RangeIndex(len(kept))
    return kept, len(data) - len(kept)


def _column(data: pd.DataFrame, name: str) -> pd.Series[Any]:
    if name not in data.columns:
        raise InvalidInput("a column that the call needs is not named (None)")
    return data[name]


def numbers(data: pd.DataFrame, name: str) -> Floats:
    """A column as finite floats."""
    column = _column(data, name)
    try:
        if _unusable(column):
            raise TypeError
        values = column.to_numpy(dtype=float, copy=True)
    except (TypeError, ValueError, OverflowError):
        raise InvalidInput(f"column {name!r} must hold numbers") from None
    bad = int((~np.isfinite(values)).sum())
    if bad:
        raise InvalidInput(f"column {name!r} holds {bad} values that are not finite")
    refuse_extreme(values, f"column {name!r}")
    return values


def array(values: ArrayLike, what: str) -> NDArray[Any]:
    """An array argument as it is; rows of unequal length are refused."""
    try:
        return np.asarray(values)
    except ValueError:
        raise InvalidInput(f"{what} must be one number or word per row") from None


def vector(values: ArrayLike, what: str) -> NDArray[Any]:
    """An array argument with one value per row; several columns are refused."""
    out = np.atleast_1d(array(values, what))
    if out.size != len(out):
        raise InvalidInput(f"{what} must be one number or word per row")
    return out.reshape(-1)


def floats(values: ArrayLike, what: str) -> Floats:
    """An array argument as floats; missing values stay NaN."""
    try:
        zoned = isinstance(getattr(values, "dtype", None), pd.DatetimeTZDtype)
        if zoned or np.asarray(values).dtype.kind in NO_NUMBERS:
            raise TypeError
        return np.asarray(values, float)
    except (TypeError, ValueError, OverflowError):
        raise InvalidInput(f"{what} must be numbers") from None


def refuse_extreme(values: Floats, what: str) -> None:
    """Refuse numbers whose squares are none in double precision."""
    size = max(float(values.max(initial=0.0)), -float(values.min(initial=0.0)))
    if size and not 1 / LARGEST < size < LARGEST:
        raise InvalidInput(
            f"{what} holds numbers that are too large or too small: take another unit"
        )


def _unusable(column: pd.Series[Any]) -> bool:
    """Whether numpy would silently turn what is no number into floats."""
    dtype = column.dtype
    if isinstance(dtype, pd.CategoricalDtype):
        dtype = dtype.categories.dtype
    return dtype.kind in NO_NUMBERS


def named(terms: Iterable[str]) -> str:
    """Terms for a message; the level of a factor is a cell value and stays out of it."""
    return ", ".join(dict.fromkeys(repr(re.sub(r"\[.*\]", "[...]", t, flags=re.S)) for t in terms))


def case_weights(rows: pd.DataFrame, name: str | None) -> tuple[pd.DataFrame, Floats | None]:
    """Rows of weight above 0 with their weights; all rows and None without a column."""
    if name is None:
        return rows, None
    weight = numbers(rows, name)
    kept = _not_zero(weight, name)
    return rows.loc[kept].reset_index(drop=True), weight[kept]


def without_zero_weights(data: pd.DataFrame, name: str | None) -> tuple[pd.DataFrame, int]:
    """Rows of another weight than 0, before a formula sees their levels; how many are left out.

    A weight that is missing or no number stays, for `design` and `numbers` to find.
    """
    require_columns(data, [name])
    if name is None or _unusable(data[name]):
        return data, 0
    try:
        weight = pd.to_numeric(data[name], errors="coerce").to_numpy(dtype=float, na_value=np.nan)
    except OverflowError:
        return data, 0
    kept = _not_zero(weight, name)
    return (data if kept.all() else data.loc[kept]), int((~kept).sum())


def _not_zero(weight: Floats, name: str) -> Bools:
    negative = int((weight < 0).sum())
    if negative:
        raise InvalidInput(f"column {name!r} holds {negative} negative weights")
    kept: Bools = weight != 0
    if kept.size and not kept.any():
        raise NotEstimable(f"every weight in {name!r} is 0: no row is left")
    return kept


def coded(data: pd.DataFrame, name: str) -> tuple[Ints, pd.Index[Any]]:
    """A column as 0, 1, 2 ... with the index of its sorted distinct values."""
    column = _column(data, name)
    if isinstance(column.dtype, pd.CategoricalDtype):
        column = column.cat.remove_unused_categories()
        return np.asarray(column.cat.codes, np.int64), column.cat.categories
    try:
        labels, levels = pd.factorize(column, sort=True)
    except TypeError:
        raise InvalidInput(f"column {name!r} mixes types that cannot be ordered") from None
    index = pd.Index(levels, dtype=levels.dtype)  # or pandas guesses dates, with a warning
    if index.dtype == object and any(isinstance(v, tuple) for v in index):
        raise InvalidInput(f"column {name!r} holds tuples: give each its own name")
    return np.asarray(labels, np.int64), index


def codes(data: pd.DataFrame, name: str) -> tuple[Ints, list[Any]]:
    """A column as 0, 1, 2 ... with its sorted distinct values."""
    labels, levels = coded(data, name)
    return labels, list(levels)


def cluster_codes(data: pd.DataFrame, name: str) -> Ints:
    """Number of the cluster of every row; one cluster alone is refused."""
    unit = codes(data, name)[0]
    if int(unit.max()) == 0:
        raise NotEstimable(
            "one cluster only: a cluster-robust standard error needs several; leave cluster out"
        )
    return unit


def known_codes(data: pd.DataFrame, name: str | None, levels: Sequence[Any]) -> Ints:
    """Position of the stratum of new rows among the levels of a fit; 0 without strata."""
    if name is None:
        return np.zeros(len(data), np.int64)
    require_columns(data, [name])
    try:
        position = pd.Index(levels).get_indexer(pd.Index(data[name]))
    except TypeError:
        raise InvalidInput(f"column {name!r} holds something else than names") from None
    if (position < 0).any():
        raise InvalidInput(f"column {name!r} holds a stratum that the fit never saw")
    return np.asarray(position, np.int64)


def sum_by(unit: Ints, values: Floats) -> Floats:
    """Sum the rows of every unit, (units, columns)."""
    return np.column_stack([np.bincount(unit, column) for column in values.T])


def snap_times(*arrays: Floats) -> tuple[Floats, ...]:
    """Make times that differ only by rounding equal (timefix of R's survival)."""
    pooled = np.sort(np.concatenate([a[np.isfinite(a)] for a in arrays]))
    pooled = pooled[np.diff(pooled, prepend=-np.inf) > 0]
    if pooled.size < 2:
        return arrays
    gap, scale = np.diff(pooled), float(np.mean(np.abs(pooled)))
    tied = (gap <= TIME_TOLERANCE) | (gap <= TIME_TOLERANCE * scale)
    if not tied.any():
        return arrays
    cuts = np.r_[True, ~tied]
    moved = pooled[~cuts]
    target = pooled[cuts][np.cumsum(cuts) - 1][~cuts]
    out = []
    for a in arrays:
        place = np.minimum(np.searchsorted(moved, a), moved.size - 1)
        out.append(np.where(moved[place] == a, target[place], a))
    return tuple(out)


def survival_times(
    data: pd.DataFrame, time: str, event: str, entry: str | None
) -> tuple[Floats, Floats, Ints]:
    """Entry (-inf without delayed entry), end and event code of every row, checked."""
    stop = numbers(data, time)
    coded = numbers(data, event)
    if (coded < 0).any() or (coded > 2**31).any() or (coded != np.floor(coded)).any():
        raise InvalidInput(f"column {event!r} must hold 0 (censored) or a cause 1, 2, ...")
    if entry is None:
        if (stop < 0).any():
            raise InvalidInput(f"column {time!r} holds {int((stop < 0).sum())} negative times")
        (stop,) = snap_times(stop)
        return np.full(stop.shape, -np.inf), stop, coded.astype(np.int64)
    start, stop = snap_times(numbers(data, entry), stop)
    bad = int((start >= stop).sum())
    if bad:
        raise InvalidInput(f"{bad} rows have {entry!r} at or after {time!r}: leave them out first")
    return start, stop, coded.astype(np.int64)


def readable(column: pd.Series[Any]) -> pd.Series[Any]:
    """A covariate whose type says what it is: numbers, words or categories."""
    if isinstance(column.dtype, pd.StringDtype):
        return column.astype(object)
    if isinstance(column.dtype, pd.CategoricalDtype):
        return column.cat.remove_unused_categories()
    if column.dtype == object:  # formulaic would take numbers for words
        with suppress(OverflowError):  # whole numbers of hundreds of digits: stay objects
            column = column.infer_objects()
    number = pd.api.types.is_numeric_dtype(column.dtype)
    words = column.dtype == object and pd.api.types.infer_dtype(column) == "string"
    if _unusable(column) or not (number or words):
        raise InvalidInput(f"column {column.name!r} must hold numbers, words or categories")
    return column
