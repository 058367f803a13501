"""Rubin's rules for estimates of completed data sets."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy import special

from .inputs import floats, refuse_extreme
from .results import Floats, InvalidInput, NotEstimable, Result, check_level, coefficient_table

SMALLEST_LAMBDA = 1e-4  # as mice: keeps the degrees of freedom finite without missing information


def pool_imputations(
    estimates: pd.DataFrame | ArrayLike,
    std_errors: pd.DataFrame | ArrayLike,
    df_complete: float | ArrayLike | None = None,
    covariances: ArrayLike | None = None,
    level: float = 0.95,
) -> Result:
    """Pool m estimates of k terms, one row per completed data set.

    Parameters
    ----------
    estimates, std_errors
        m rows, k columns; a DataFrame names the terms, one dimension is one term.
    df_complete
        Degrees of freedom that the complete data would have (residual df), one number or one per
        term; None is infinite.
    covariances
        m covariance matrices (m, k, k), for the joint test.
    level
        Confidence level.

    Returns
    -------
    Result
        `.coefficients` with t tests on Barnard-Rubin degrees of freedom. `.table` per term:
        within_variance, between_variance, total_variance, relative_increase, lambda (share of
        the total variance due to the missing values), fraction_missing; and with `covariances`
        one more row, joint: statistic (F), df, df_denominator, p_value of all terms but the
        intercept being 0 (D1), and the average relative_increase. `.covariance` is the total
        covariance, or its diagonal.

    Raises
    ------
    InvalidInput
        Fewer than 2 data sets, unequal shapes, values that are not finite, standard errors that
        are not above 0, covariances that disagree with them.

    Notes
    -----
    Rubin (1987); Barnard & Rubin (1999); joint test: Li, Raghunathan & Rubin (1991), with finite
    `df_complete` Reiter (2007). lambda below 1e-4 counts as 1e-4 in the degrees of freedom. R:
    `mice::pool`, `mice::D1`.

    Examples
    --------
    >>> fit = pool_imputations([1.0, 1.2, 1.1], [0.5, 0.5, 0.5], df_complete=30)
    >>> fit.coefficients[["estimate", "std_error", "df"]].round(3).values.tolist()
    [[1.1, 0.513, 25.868]]
    """
    check_level(level)
    q, terms = _matrix(estimates, "estimates")
    s, names = _matrix(std_errors, "std_errors")
    if q.shape != s.shape:
        raise InvalidInput(f"estimates are {q.shape} and std_errors {s.shape} (rows, terms)")
    if isinstance(estimates, pd.DataFrame) and isinstance(std_errors, pd.DataFrame):
        if set(terms) != set(names):
            raise InvalidInput("estimates and std_errors have different terms")
        s = s[:, [names.index(t) for t in terms]]
    m, k = q.shape
    if m < 2:
        raise InvalidInput("pooling needs two or more completed data sets")
    if (s <= 0).any():
        raise InvalidInput(f"{int((s <= 0).sum())} standard errors are not above 0")
    complete = _complete(df_complete, k)
    mean = q.mean(axis=0)
    within = np.asarray((s**2).mean(axis=0))
    between = np.asarray(q.var(axis=0, ddof=1))
    extra = (1 + 1 / m) * between
    total = within + extra
    share = extra / total
    df = _barnard_rubin(m, share, within / total, complete)
    increase = extra / within
    table = pd.DataFrame(
        {
            "term": terms,
            "within_variance": within,
            "between_variance": between,
            "total_variance": total,
            "relative_increase": increase,
            "lambda": share,
            "fraction_missing": (increase + 2 / (df + 3)) / (increase + 1),
        }
    )
    covariance = np.diag(total)
    if covariances is not None:
        u = _covariances(covariances, s)
        spread = np.cov(q, rowvar=False, ddof=1).reshape(k, k)
        covariance = u + (1 + 1 / m) * spread
        tested = [i for i, t in enumerate(terms) if t not in ("Intercept", "(Intercept)")]
        if tested:
            block = np.ix_(tested, tested)
            joint = _joint(mean[tested], u[block], spread[block], m, float(complete[tested].min()))
            table = pd.concat([table, pd.DataFrame([joint])], ignore_index=True)
    return Result(
        coefficients=coefficient_table(terms, mean, np.sqrt(total), df, level),
        covariance=pd.DataFrame(covariance, index=terms, columns=terms),
        table=table,
        diagnostics={"n_imputations": m, "level": level},
    )


def _matrix(values: pd.DataFrame | ArrayLike, what: str) -> tuple[Floats, list[str]]:
    a = floats(values, what)
    if a.ndim == 1:
        a = a.reshape(-1, 1)
    if a.ndim != 2 or a.size == 0:
        raise InvalidInput(f"{what} must have m rows and k columns")
    bad = int((~np.isfinite(a)).sum())
    if bad:
        raise InvalidInput(f"{what} holds {bad} values that are missing or not finite")
    for column in a.T:
        refuse_extreme(column, what)
    if isinstance(values, pd.DataFrame):
        names = [str(c) for c in values.columns]
        if len(set(names)) < len(names):
            raise InvalidInput(f"{what} has two columns of one name")
        return a, names
    return a, [f"term_{i + 1}" for i in range(a.shape[1])]


def _complete(df_complete: float | ArrayLike | None, k: int) -> Floats:
    try:
        v = np.asarray(np.inf if df_complete is None else df_complete, float)
        v = np.broadcast_to(v, (k,)).copy()
    except (TypeError, ValueError, OverflowError):
        raise InvalidInput("df_complete must be one number, or one per term") from None
    if np.isnan(v).any() or (v <= 0).any():
        raise InvalidInput("df_complete must be above 0")
    return v


def _covariances(covariances: ArrayLike, s: Floats) -> Floats:
    """Mean of the covariance matrices, checked against the standard errors."""
    m, k = s.shape
    try:
        u = np.asarray(covariances, float)
    except (TypeError, ValueError, OverflowError):
        raise InvalidInput("covariances must be m matrices of k rows and columns") from None
    if u.shape != (m, k, k) or not np.isfinite(u).all():
        raise InvalidInput(f"covariances must be finite and have the shape {(m, k, k)}")
    if not np.allclose(np.einsum("mii->mi", u), s**2, rtol=1e-6, atol=0):
        raise InvalidInput("the diagonals of covariances are not the squares of std_errors")
    return np.asarray(u.mean(axis=0))


def _barnard_rubin(m: int, share: Floats, kept: Floats, complete: Floats) -> Floats:
    share = np.maximum(share, SMALLEST_LAMBDA)
    kept = np.minimum(kept, 1 - SMALLEST_LAMBDA)
    large = (m - 1) / share**2
    finite = np.where(np.isfinite(complete), complete, 1.0)
    observed = (finite + 1) / (finite + 3) * finite * kept
    return np.where(np.isfinite(complete), large * observed / (large + observed), large)


def _joint(
    mean: Floats, within: Floats, between: Floats, m: int, complete: float
) -> dict[str, object]:
    """D1: all of `mean` is 0, when the share of missing information is the same for all terms."""
    k = mean.size
    size = np.sqrt(np.diag(within))
    if np.linalg.cond(within / np.outer(size, size)) > 1e12:
        raise NotEstimable("the covariances are singular: test fewer terms")
    inverse = np.linalg.inv(within)
    r = float((1 + 1 / m) * np.trace(between @ inverse) / k)
    f = float(mean @ inverse @ mean / (k * (1 + r)))
    df = _joint_df(k, m, r, complete)
    return {
        "term": "joint",
        "relative_increase": r,
        "statistic": f,
        "df": float(k),
        "df_denominator": df,
        "p_value": float(special.chdtrc(k, k * f) if np.isinf(df) else special.fdtrc(k, df, f)),
    }


def _joint_df(k: int, m: int, r: float, complete: float) -> float:
    """Denominator degrees of freedom of D1."""
    t = k * (m - 1)
    if np.isinf(complete) or t <= 4:  # Reiter's formula is for t > 4
        if r == 0:
            return np.inf
        if t > 4:
            return float(4 + (t - 4) * (1 + (1 - 2 / t) / r) ** 2)
        return float(t * (1 + 1 / k) * (1 + 1 / r) ** 2 / 2)
    a = r * t / (t - 2)
    v = (complete + 1) / (complete + 3) * complete
    c0, c1, c2 = 1 / (t - 4), v - 2 * (1 + a), v - 4 * (1 + a)
    z = 1 / c2 + c0 * (
        a**2 * c1 / ((1 + a) ** 2 * c2)
        + 8 * a**2 * c1 / ((1 + a) * c2**2)
        + 4 * a**2 / ((1 + a) * c2)
        + 4 * a**2 / (c2 * c1)
        + 16 * a**2 * c1 / c2**3
        + 8 * a**2 / c2**2
    )
    return float(4 + 1 / z)
