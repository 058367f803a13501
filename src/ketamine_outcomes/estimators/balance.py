"""Covariate balance between two groups, and what weighting costs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from .inputs import (
    array,
    codes,
    complete_rows,
    floats,
    readable,
    refuse_extreme,
    require_columns,
    vector,
)
from .results import Bools, Floats, InvalidInput, NotEstimable, Result


def check_weights(weights: ArrayLike | None, n: int) -> Floats:
    """Weights as floats; 1 for everybody when there are none."""
    if weights is None:
        return np.ones(n)
    w = floats(vector(weights, "weights"), "weights")
    if w.size != n:
        raise InvalidInput(f"there are {w.size} weights for {n} rows")
    if not np.isfinite(w).all() or (w < 0).any():
        raise InvalidInput("weights must be finite and 0 or more")
    return w


def zero_one(values: ArrayLike, what: str) -> Floats:
    """A treatment or group as 0.0 and 1.0, or raise."""
    try:
        g = floats(vector(values, what), what)
    except InvalidInput:
        raise InvalidInput(f"{what} must hold 0 (comparator) and 1 (treated) only") from None
    if not np.isin(g, (0.0, 1.0)).all():
        raise InvalidInput(f"{what} must hold 0 (comparator) and 1 (treated) only")
    return g


def _two_groups(one: Bools) -> None:
    if min(one.sum(), (~one).sum()) < 2:
        raise NotEstimable("each group needs two rows with a weight above 0")


def standardised_mean_difference(
    values: ArrayLike, group: ArrayLike, weights: ArrayLike | None = None
) -> float:
    """Difference of means (group 1 less group 0) in standard deviations.

    Parameters
    ----------
    values
        Numbers; or words (object or categorical), which give the multinomial distance.
    group
        0 or 1 per row.
    weights
        Weights of the means. The standard deviation stays that of the unweighted groups, so
        that weighting cannot improve balance by changing the ruler. Rows with weight 0 are left
        out of both.

    Returns
    -------
    float
        (mean1 - mean0) / sqrt((var1 + var0) / 2) with sample variances; for words the
        Mahalanobis distance of the level shares, 0 or more.

    Raises
    ------
    InvalidInput
        Missing or infinite values, a group other than 0 and 1, negative weights.
    NotEstimable
        A group with fewer than two rows, or values that differ between but not inside groups.

    Notes
    -----
    Austin (2009); words: Yang & Dalton (2012).

    Examples
    --------
    >>> round(standardised_mean_difference([1, 2, 3, 4], [0, 0, 1, 1]), 6)
    2.828427
    """
    if array(values, "values").ndim != 1:
        raise InvalidInput("values must be one number or word per row")
    x: pd.Series[Any] = pd.Series(values).reset_index(drop=True)
    g = zero_one(group, "group")
    if len(x) != g.size:
        raise InvalidInput("values and group differ in length")
    if x.isna().any():
        raise InvalidInput(f"{int(x.isna().sum())} values are missing: leave the rows out first")
    w = check_weights(weights, g.size)
    x, one, w = x[w > 0].reset_index(drop=True), g[w > 0] == 1, w[w > 0]
    _two_groups(one)
    difference = _distance(x, one, w)
    if not np.isfinite(difference):
        raise NotEstimable("the values do not vary inside the groups: no standard deviation")
    return difference


def _distance(x: pd.Series[Any], one: Bools, w: Floats) -> float:
    """Standardised difference; infinite when the values vary between the groups only."""
    x = readable(x)
    if not pd.api.types.is_numeric_dtype(x.dtype):
        return _multinomial_distance(_dummies(x)[0], one, w)
    v = x.to_numpy(dtype=float)
    if not np.isfinite(v).all():
        raise InvalidInput("values must be finite")
    refuse_extreme(v, "values")
    difference = float(np.average(v[one], weights=w[one]) - np.average(v[~one], weights=w[~one]))
    spread = float(np.sqrt((v[one].var(ddof=1) + v[~one].var(ddof=1)) / 2))
    if spread > 1e-12 * np.abs(v).max(initial=0.0):  # else a constant, up to rounding
        return difference / spread
    same = abs(difference) <= 1e-12 * np.abs(v).max(initial=0.0)
    return 0.0 if same else float(np.copysign(np.inf, difference))


def _dummies(x: pd.Series[Any]) -> tuple[Floats, list[Any]]:
    labels, levels = codes(x.to_frame("values"), "values")
    return (labels[:, None] == np.arange(len(levels))).astype(float), levels


def _multinomial_distance(dummies: Floats, one: Bools, w: Floats) -> float:
    shares = [np.average(dummies[m], axis=0, weights=w[m]) for m in (one, ~one)]
    plain = [dummies[m].mean(axis=0) for m in (one, ~one)]
    # shares sum to 1, so all levels with the pseudo-inverse give what any K - 1 of them give
    spread = np.mean([np.diag(p) - np.outer(p, p) for p in plain], axis=0)
    gap = shares[0] - shares[1]
    inverse = np.linalg.pinv(spread, hermitian=True)
    if np.abs(spread @ inverse @ gap - gap).max() > 1e-9:
        return float("inf")
    squared = float(gap @ inverse @ gap)
    return float(np.sqrt(max(squared, 0.0)))


def effective_sample_size(weights: ArrayLike) -> float:
    """Number of equally weighted rows that carry the same information (Kish 1965).

    Raises
    ------
    InvalidInput
        Weights below 0 or not finite.
    NotEstimable
        Weights that sum to 0.

    Examples
    --------
    >>> effective_sample_size([1, 1, 2, 2])
    3.6
    """
    if weights is None:
        raise InvalidInput("weights must be numbers, one per row")
    w = check_weights(weights, vector(weights, "weights").size)
    if w.sum() <= 0:
        raise NotEstimable("the weights sum to 0")
    w = w / w.max()  # no overflow
    return float(w.sum() ** 2 / (w @ w))


def balance(
    data: pd.DataFrame,
    covariates: Sequence[str],
    group: str,
    weights: str | ArrayLike | None = None,
) -> Result:
    """Balance of covariates between two groups before and after weighting.

    Parameters
    ----------
    data
        One row per patient; rows with a missing value in a used column are left out and counted,
        rows with weight 0 too.
    covariates
        Columns. Numbers give a mean; words and categories give the share of each level.
    group
        Column with 0 (comparator) and 1 (treated).
    weights
        Column with the weights, or one number per row of `data`.

    Returns
    -------
    Result
        `.table` with one row per number; for words one row for the whole variable (level empty,
        multinomial distance) and one per level: term, level, mean_treated, mean_comparator, smd,
        variance_ratio (treated over comparator; numbers only), and the same after weighting as
        mean_treated_weighted, mean_comparator_weighted, smd_weighted, variance_ratio_weighted.
        An infinite smd means that the groups differ and do not vary inside.
        `.diagnostics` with the rows and the effective sample size of each group.

    Notes
    -----
    Standard deviations are those of the unweighted groups (Austin 2009). Weighted variances are
    sum w (x - mean)^2 / (sum w - sum w^2 / sum w).

    Examples
    --------
    >>> rows = pd.DataFrame({"t": [0, 0, 1, 1], "age": [1, 2, 3, 4], "sex": list("fmfm")})
    >>> balance(rows, ["age", "sex"], "t").table["smd"].round(3).tolist()
    [2.828, 0.0, 0.0, 0.0]
    """
    names = [covariates] if isinstance(covariates, str) else covariates
    if not isinstance(names, Sequence) or not names or group is None:
        raise InvalidInput("name at least one covariate, and the column of the group")
    column = weights if isinstance(weights, str) else None
    used = require_columns(data, [*names, group, column])
    if column is None:
        values = None if weights is None else vector(weights, "weights")
        if values is not None and values.size != len(data):
            raise InvalidInput(f"there are {values.size} weights for {len(data)} rows")
        column = "weights"
        while column in used:
            column += "_"
        data = data[used].assign(**{column: 1.0 if values is None else values})
        used.append(column)
    rows, dropped = complete_rows(data, used)
    w = check_weights(rows[column].to_numpy(), len(rows))
    rows, w = rows[w > 0].infer_objects().reset_index(drop=True), w[w > 0]
    one = zero_one(rows[group].to_numpy(), f"column {group!r}") == 1
    _two_groups(one)
    w = w / w.max()  # no overflow
    return Result(
        table=pd.DataFrame([line for name in names for line in _lines(rows[name], one, w)]),
        diagnostics={
            "n_observations": len(rows),
            "n_dropped": dropped,
            "n_treated": int(one.sum()),
            "effective_sample_size_treated": effective_sample_size(w[one]),
            "effective_sample_size_comparator": effective_sample_size(w[~one]),
        },
    )


def _lines(x: pd.Series[Any], one: Bools, w: Floats) -> list[dict[str, Any]]:
    """Rows of the balance table of one covariate."""
    name, x = str(x.name), readable(x)
    if pd.api.types.is_numeric_dtype(x.dtype):
        return [_line(name, "", x.astype(float), one, w, ratio=True)]
    dummies, levels = _dummies(x)
    plain = np.ones(w.size)
    whole = _line(name, "", None, one, w) | {
        "smd": _multinomial_distance(dummies, one, plain),
        "smd_weighted": _multinomial_distance(dummies, one, w),
    }
    parts = (
        _line(name, str(level), pd.Series(dummies[:, i]), one, w) for i, level in enumerate(levels)
    )
    return [whole, *parts]


def _line(
    name: str, level: str, x: pd.Series[Any] | None, one: Bools, w: Floats, ratio: bool = False
) -> dict[str, Any]:
    line: dict[str, Any] = {"term": name, "level": level}
    for suffix, weight in (("", np.ones(w.size)), ("_weighted", w)):
        means, smd, variances = [np.nan, np.nan], np.nan, np.nan
        if x is not None:
            v = x.to_numpy(dtype=float)
            means = [float(np.average(v[m], weights=weight[m])) for m in (one, ~one)]
            smd = _distance(x, one, weight)
            if ratio:
                top, bottom = (_variance(v[m], weight[m]) for m in (one, ~one))
                variances = top / bottom if bottom > 0 else np.nan
        line |= {
            f"mean_treated{suffix}": means[0],
            f"mean_comparator{suffix}": means[1],
            f"smd{suffix}": smd,
            f"variance_ratio{suffix}": variances,
        }
    return line


def _variance(v: Floats, w: Floats) -> float:
    total = w.sum()
    mean = (w @ v) / total
    free = total - (w @ w) / total
    return float(w @ (v - mean) ** 2 / free) if free > 0 else np.nan
