"""From a DataFrame and column names to checked arrays.

Rows with a missing value in any column that is used are left out and counted, as R does;
infinite values, wrong words and collinear columns are refused. No message holds a cell value.
"""

from __future__ import annotations

import ast
import re
import warnings
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from .results import Bools, Floats, Ints, InvalidInput, NotEstimable

COLLINEAR = 1e-9  # smallest share of a column's length that is not explained by the others
WELL_CONDITIONED = 1e-3  # the same share, above which a Gram matrix is accurate enough
# beside formulaic's own (log, exp, scale, bs, poly, C ...)
FUNCTIONS = {"sqrt": np.sqrt, "abs": np.abs, "sin": np.sin, "cos": np.cos}
BACKTICKS = re.compile("`([^`]*)`")  # around a column name that is no Python name
LARGEST = 1e100  # larger numbers have squares that overflow, those below 1 / LARGEST vanish
NO_NUMBERS = "mMc"  # kinds of dates, durations and complex numbers
TIME_TOLERANCE = float(np.sqrt(np.finfo(float).eps))  # as timefix of R's survival


@dataclass(frozen=True)
class Design:
    """Design matrix of a formula, with the rows of the data that it uses."""

    x: Floats
    terms: list[str]
    y: Floats | None
    data: pd.DataFrame
    n_dropped: int
    spec: Any
    index: pd.Index  # labels of these rows in the data that were given

    def new(self, data: pd.DataFrame) -> Floats:
        """Columns `terms` for other rows, with the levels and transforms of the fitted rows."""
        from formulaic.errors import DataMismatchWarning

        if not isinstance(data, pd.DataFrame) or len(data) == 0:
            raise InvalidInput("new_data is no DataFrame or holds no row")
        used = [v for v in _columns("", self.spec.formula) if v in data.columns]
        require_columns(data, used)
        data = data[used].assign(**{name: readable(data[name]) for name in used})
        try:
            with warnings.catch_warnings(), np.errstate(all="ignore"):
                # formulaic would take an unknown level for the reference level
                warnings.simplefilter("error", DataMismatchWarning)
                matrix = self.spec.get_model_matrix(data, na_action="raise", context=FUNCTIONS)
            values = np.asarray(matrix, float)
        except (*_formula_errors(), DataMismatchWarning) as error:
            raise InvalidInput(
                "new_data lacks a column of the formula, or holds a missing value or a level "
                f"that the fit never saw ({type(error).__name__})"
            ) from None
        if not np.isfinite(values).all():
            raise InvalidInput("new_data holds values that are not finite")
        refuse_extreme(values, "new_data")
        kept = [i for i, c in enumerate(self.spec.column_names) if str(c) in self.terms]
        return values[:, kept] if len(kept) < values.shape[1] else values


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


def floats(values: ArrayLike, what: str) -> Floats:
    """An array argument as floats; missing values stay NaN."""
    try:
        if np.asarray(values).dtype.kind in NO_NUMBERS:
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
    weight = pd.to_numeric(data[name], errors="coerce").to_numpy(dtype=float, na_value=np.nan)
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
    index = pd.Index(levels)
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


def orthonormal(x: Floats) -> Floats:
    """The matrix that gives x orthonormal columns: no information matrix is then near singular."""
    length = np.sqrt(np.einsum("ij,ij->j", x, x))
    return np.asarray(np.linalg.inv(np.linalg.qr(x / length, mode="r")) / length[:, None], float)


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


def _formula_errors() -> tuple[type[Exception], ...]:
    """What formulaic, or the functions inside a formula, may raise."""
    from formulaic.errors import FormulaicError

    return (
        FormulaicError,
        ArithmeticError,
        AttributeError,
        LookupError,
        NameError,
        SyntaxError,
        TypeError,
        ValueError,
    )


def _formula(formula: str, response: bool, intercept: bool = True) -> Any:
    from formulaic import Formula  # lazy: 1 s

    if not isinstance(formula, str) or not formula.strip():
        raise InvalidInput("the formula must be text such as 'y ~ x1 + x2'")
    try:
        # the baseline hazard is an intercept: "0 + arm" codes as "arm" there, as in coxph
        parsed = Formula(formula if intercept else f"{formula} + 1")
    except _formula_errors() as error:
        raise _unreadable(formula, error) from None
    two_sided = hasattr(parsed, "lhs")
    if response and not two_sided:
        raise InvalidInput("the formula needs a response, as in 'y ~ x'")
    if not response and two_sided:
        raise InvalidInput("the formula has no response here: write 'x1 + x2' only")
    return parsed


def _unreadable(formula: str, error: Exception) -> InvalidInput:
    where = ": groups and random effects have their own argument" if "|" in formula else ""
    return InvalidInput(f"the formula cannot be read ({type(error).__name__}){where}")


def _columns(formula: str, parsed: Any) -> list[str]:
    """Columns that a formula needs.

    formulaic's own list cuts a name at its first dot (`wt.loss` of R's data sets), as if the rest
    were an attribute, and is empty for functions such as poly.
    """
    from formulaic.transforms import TRANSFORMS

    known = {*TRANSFORMS, *FUNCTIONS}
    sides = [parsed.lhs, parsed.rhs] if hasattr(parsed, "lhs") else [parsed]
    names: set[str] = set()
    called: set[str] = set()
    flips = False
    try:
        for factor in {f for side in sides for term in side for f in term.factors}:
            if factor.eval_method.value == "lookup":
                names.add(factor.expr)
            elif factor.eval_method.value == "python":
                flips |= "^" in factor.expr
                names.update(BACKTICKS.findall(factor.expr))
                for node in ast.walk(ast.parse(BACKTICKS.sub("C", factor.expr), mode="eval")):
                    if isinstance(node, ast.Name) and node.id not in known:
                        names.add(node.id)
                    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                        called.add(node.func.id)
                        if node.func.id == "Q":
                            names.update(ast.literal_eval(a) for a in node.args)
    except _formula_errors() as error:
        raise _unreadable(formula, error) from None
    if flips:
        raise InvalidInput("inside a function ^ is no power (it flips bits): write x**2")
    unknown = sorted(called - known)
    if unknown:
        raise InvalidInput(
            f"the formula calls {', '.join(unknown)}, which it does not know: C(x) makes a factor, "
            "numpy gives functions such as np.floor(x); strata, cluster and offset are arguments"
        )
    return sorted(names)


def formula_columns(formula: str, response: bool = False) -> list[str]:
    """Columns that a formula needs."""
    return _columns(formula, _formula(formula, response))


def design(
    formula: str,
    data: pd.DataFrame,
    also: Sequence[str | None] = (),
    *,
    response: bool = True,
    intercept: bool = True,
) -> Design:
    """Evaluate a formula on the rows that are complete in it and in the columns `also`.

    Parameters
    ----------
    formula
        Wilkinson formula; treatment contrasts, levels in sorted order.
    also
        Further columns that must be complete (None is skipped).
    response
        Whether the formula has a left side.
    intercept
        False takes the intercept out after coding (hazard models).
    """
    extra = require_columns(data, also)
    parsed = _formula(formula, response, intercept)
    used = require_columns(data, _columns(formula, parsed))
    needed = list(dict.fromkeys([*used, *extra]))
    rows, dropped = complete_rows(data, needed)
    index = data.index[data[needed].notna().all(axis=1).to_numpy()] if dropped else data.index
    for name in used:
        rows[name] = readable(rows[name])
    try:
        with np.errstate(all="ignore"):  # what is not finite is refused
            matrices = parsed.get_model_matrix(rows, na_action="raise", context=FUNCTIONS)
    except _formula_errors() as error:
        raise InvalidInput(
            f"the formula cannot be evaluated on the data ({type(error).__name__})"
        ) from None
    right = matrices.rhs if response else matrices
    if not hasattr(right, "columns"):
        raise InvalidInput("the formula must have one right side, without '|'")
    y = None
    try:
        x = np.asarray(right, float)
        # a copy: the rows may be the caller's
        left = np.array(matrices.lhs, float) if response else None
    except (TypeError, ValueError, OverflowError):
        raise InvalidInput("the formula gives something else than numbers") from None
    if left is not None:
        if left.ndim == 2 and left.shape[1] != 1:
            raise InvalidInput("the response must be one numeric column")
        y = left.reshape(-1)
        if not np.isfinite(y).all():
            raise InvalidInput("the response holds values that are not finite")
        refuse_extreme(y, "the response")
    terms = [str(c) for c in right.columns]
    if not intercept and "Intercept" in terms:
        keep = [i for i, t in enumerate(terms) if t != "Intercept"]
        x, terms = x[:, keep], [terms[i] for i in keep]
    bad = [t for t, finite in zip(terms, np.isfinite(x).all(axis=0), strict=True) if not finite]
    if bad:
        raise InvalidInput(f"{named(bad)} holds values that are not finite")
    for term, column in zip(terms, x.T, strict=True):
        refuse_extreme(column, named([term]))
    return Design(x, terms, y, rows, dropped, right.model_spec, index)


def readable(column: pd.Series[Any]) -> pd.Series[Any]:
    """A covariate whose type says what it is: numbers, words or categories."""
    if isinstance(column.dtype, pd.StringDtype):
        return column.astype(object)
    if isinstance(column.dtype, pd.CategoricalDtype):
        return column.cat.remove_unused_categories()
    if column.dtype == object:  # formulaic would take numbers for words
        column = column.infer_objects()
    words = column.dtype != object or pd.api.types.infer_dtype(column) == "string"
    if _unusable(column) or not words:
        raise InvalidInput(f"column {column.name!r} must hold numbers, words or categories")
    return column


def upper_factor(x: Floats) -> Floats:
    """R of x = QR, from the Gram matrix where that loses few digits, else by Householder."""
    gram = x.T @ x
    length = np.sqrt(np.diag(gram))
    length = np.where(length > 0, length, 1.0)
    try:
        r = np.linalg.cholesky(gram / np.outer(length, length)).T
    except np.linalg.LinAlgError:
        r = np.zeros((1, 1))
    if np.abs(np.diag(r)).min() < WELL_CONDITIONED:
        r = np.asarray(np.linalg.qr(x / length, mode="r"))
    return np.asarray(r * length, float)


def refuse_collinear(x: Floats, terms: Sequence[str]) -> Floats:
    """R of x = QR; raises, naming the terms that the earlier ones determine."""
    if x.shape[1] == 0:
        raise InvalidInput("the formula has no term to estimate")
    r = upper_factor(x)
    length = np.sqrt(np.einsum("ij,ij->j", r, r))  # of the columns of x
    flat = [t for t, size in zip(terms, length, strict=True) if size == 0]
    if flat:
        raise NotEstimable(f"{named(flat)} does not vary: leave it out")
    # without pivoting the diagonal is what each column adds to the ones before it
    adds = np.zeros(x.shape[1])
    adds[: min(r.shape)] = np.abs(np.diag(r / length))
    bound = [t for t, a in zip(terms, adds, strict=True) if a <= COLLINEAR]
    if bound:
        raise NotEstimable(
            f"{named(bound)} is determined by the other terms (collinear, or more "
            "terms than rows): leave it out"
        )
    return r


def refuse_uninformed(information: Floats, terms: Sequence[str]) -> None:
    """Raise when the risk sets say nothing on a term.

    `information` (p, p) at no effect, of covariates in standard deviations.
    """
    diagonal = np.diag(information)
    silent = [t for t, d in zip(terms, diagonal, strict=True) if d <= 1e-12]
    if silent:
        raise NotEstimable(
            f"{named(silent)} does not vary among those at risk at any event: leave it out"
        )
    unit = 1 / np.sqrt(diagonal)
    if np.linalg.eigvalsh(information * np.outer(unit, unit))[0] <= 1e-11:
        raise NotEstimable(
            "the terms are collinear among those at risk at the events: leave one of them out"
        )
