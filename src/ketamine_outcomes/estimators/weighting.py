"""Propensity weights and covariate balance."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from .inputs import design, refuse_collinear
from .results import Floats, InvalidInput, NotEstimable, Result, check_level, coefficient_table

TARGETS = ("overlap", "att", "ate")
MAX_STEPS = 60


def _pair(values: ArrayLike, group: ArrayLike) -> tuple[pd.Series[Any], Floats]:
    x: pd.Series[Any] = pd.Series(values).reset_index(drop=True)
    g = np.asarray(group, float).reshape(-1)
    if len(x) != g.size:
        raise InvalidInput("values and group differ in length")
    if not np.isin(g, (0.0, 1.0)).all():
        raise InvalidInput("group must hold 0 (comparator) and 1 (treated) only")
    if x.isna().any():
        raise InvalidInput(f"{int(x.isna().sum())} values are missing: leave the rows out first")
    if min((g == 0).sum(), (g == 1).sum()) < 2:
        raise NotEstimable("each group needs two rows")
    return x, g


def _weights(weights: ArrayLike | None, n: int) -> Floats:
    w = np.ones(n) if weights is None else np.asarray(weights, float).reshape(-1)
    if w.size != n:
        raise InvalidInput("weights and values differ in length")
    if not np.isfinite(w).all() or (w < 0).any():
        raise InvalidInput("weights must be finite and 0 or more")
    return w


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
        that weighting cannot improve balance by changing the ruler.

    Returns
    -------
    float
        (mean1 - mean0) / sqrt((var1 + var0) / 2) with sample variances; for words the
        Mahalanobis distance of the level shares, 0 or more.

    Notes
    -----
    Austin (2009); words: Yang & Dalton (2012).

    Examples
    --------
    >>> round(standardised_mean_difference([1, 2, 3, 4], [0, 0, 1, 1]), 6)
    2.828427
    """
    x, g = _pair(values, group)
    w = _weights(weights, g.size)
    one = g == 1
    if w[one].sum() <= 0 or w[~one].sum() <= 0:
        raise NotEstimable("a group has no weight")
    if not pd.api.types.is_numeric_dtype(x.dtype):
        return _multinomial_distance(x, one, w)
    v = x.to_numpy(dtype=float)
    if not np.isfinite(v).all():
        raise InvalidInput("values must be finite")
    difference = float(np.average(v[one], weights=w[one]) - np.average(v[~one], weights=w[~one]))
    spread = float(np.sqrt((v[one].var(ddof=1) + v[~one].var(ddof=1)) / 2))
    if spread == 0:
        if difference == 0:
            return 0.0
        raise NotEstimable("the values do not vary inside the groups: no standard deviation")
    return difference / spread


def _multinomial_distance(x: pd.Series[Any], one: np.ndarray, w: Floats) -> float:
    labels, levels = pd.factorize(x, sort=True)
    if len(levels) < 2:
        return 0.0
    dummies = (labels[:, None] == np.arange(1, len(levels))).astype(float)
    shares = [np.average(dummies[m], axis=0, weights=w[m]) for m in (one, ~one)]
    plain = [dummies[m].mean(axis=0) for m in (one, ~one)]
    spread = sum(np.diag(p) - np.outer(p, p) for p in plain) / 2
    gap = shares[0] - shares[1]
    return float(np.sqrt(gap @ np.linalg.pinv(np.asarray(spread), hermitian=True) @ gap))


def effective_sample_size(weights: ArrayLike) -> float:
    """Number of equally weighted rows that carry the same information (Kish 1965).

    Examples
    --------
    >>> effective_sample_size([1, 1, 2, 2])
    3.6
    """
    w = np.asarray(weights, float).reshape(-1)
    _weights(w, w.size)
    if w.sum() <= 0:
        raise NotEstimable("the weights sum to 0")
    return float(w.sum() ** 2 / (w @ w))


def propensity_weights(
    formula: str,
    data: pd.DataFrame,
    target: str = "overlap",
    trim: float | None = None,
    level: float = 0.95,
) -> Result:
    """Logistic propensity score and the weights of a target population.

    Parameters
    ----------
    formula
        Treatment (0 / 1) and confounders, such as "treated ~ age + stage".
    data
        One row per patient.
    target
        overlap (1 - e treated, e comparator), att (1, e / (1 - e)) or ate (1 / e, 1 / (1 - e)).
    trim
        Rows with a score at or below `trim`, or at or above 1 - `trim`, get no weight and the
        model is fitted once more without them.
    level
        Confidence level of the coefficients of the score.

    Returns
    -------
    Result
        `.table` with row (position in `data`), treated, propensity, weight for the rows kept;
        `.coefficients` of the score (log odds, information-based standard errors);
        `.diagnostics` with n_trimmed and the effective sample size per group.

    Notes
    -----
    Li, Morgan & Zaslavsky (2018). R: `glm(formula, binomial)`.

    Examples
    --------
    >>> rows = pd.DataFrame({"t": [0, 1, 0, 1, 0, 1], "x": [1, 2, 3, 2, 1, 4]})
    >>> len(propensity_weights("t ~ x", rows).table)
    6
    """
    check_level(level)
    if target not in TARGETS:
        raise InvalidInput(f"target must be one of {', '.join(TARGETS)}")
    if trim is not None and not 0 < trim < 0.5:
        raise InvalidInput("trim must lie between 0 and 0.5")
    numbered = data.assign(_row=np.arange(len(data)))
    built = design(formula, numbered, ["_row"])
    if built.y is None:
        raise AssertionError("design() was asked for a response")
    x, y, row = built.x, built.y, built.data["_row"].to_numpy(dtype=np.int64)
    if not np.isin(y, (0.0, 1.0)).all():
        raise InvalidInput("the treatment must hold 0 and 1 only")
    beta, covariance, e = _logistic(x, y, built.terms)
    kept = np.ones(y.size, bool)
    if trim is not None:
        kept = (e > trim) & (e < 1 - trim)
        if kept.sum() == 0:
            raise NotEstimable("trimming leaves nobody: the groups do not overlap")
        beta, covariance, e = _logistic(x[kept], y[kept], built.terms)
        y, row = y[kept], row[kept]
    tilt = {"overlap": e * (1 - e), "att": e, "ate": np.ones_like(e)}[target]
    weight = np.where(y == 1, tilt / e, tilt / (1 - e))
    return Result(
        coefficients=coefficient_table(
            built.terms, beta, np.sqrt(np.diag(covariance)), np.inf, level
        ),
        covariance=pd.DataFrame(covariance, index=built.terms, columns=built.terms),
        table=pd.DataFrame(
            {"row": row, "treated": y.astype(int), "propensity": e, "weight": weight}
        ),
        diagnostics={
            "n_observations": int(y.size),
            "n_dropped": built.n_dropped,
            "n_trimmed": int((~kept).sum()),
            "n_treated": int(y.sum()),
            "target": target,
            "effective_sample_size_treated": effective_sample_size(weight[y == 1]),
            "effective_sample_size_comparator": effective_sample_size(weight[y == 0]),
            "converged": True,
        },
    )


def _logistic(x: Floats, y: Floats, terms: list[str]) -> tuple[Floats, Floats, Floats]:
    """Maximum likelihood by Newton; refuses separated groups."""
    if np.ptp(y) == 0:
        raise NotEstimable("everybody is in one group: there is no propensity to estimate")
    refuse_collinear(x, terms)
    scale = np.sqrt((x**2).mean(axis=0))
    z = x / scale
    beta = np.zeros(z.shape[1])
    for _ in range(MAX_STEPS):
        e = 1 / (1 + np.exp(-(z @ beta)))
        information = z.T @ ((e * (1 - e))[:, None] * z)
        if min(e.min(), 1 - e.max()) < 1e-9 or np.linalg.cond(information) > 1e14:
            break
        step = np.linalg.solve(information, z.T @ (y - e))
        beta = beta + step
        if np.abs(step).max() < 1e-11 * (1 + np.abs(beta).max()):
            e = 1 / (1 + np.exp(-(z @ beta)))
            information = z.T @ ((e * (1 - e))[:, None] * z)
            return beta / scale, np.linalg.inv(information) / np.outer(scale, scale), e
    raise NotEstimable(
        "the confounders separate the groups: no patient of one group resembles the other, so "
        "weights do not exist"
    )
