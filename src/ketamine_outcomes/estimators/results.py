"""What every estimator returns, and how it refuses.

Columns are the same everywhere: coefficients (term, estimate, std_error, statistic, df,
p_value, ci_low, ci_high), curves (group, cause, time, estimate, std_error, ci_low, ci_high,
n_at_risk, n_events).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from numbers import Real
from types import MappingProxyType
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy import special

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

COEFFICIENT_COLUMNS = [
    "term",
    "estimate",
    "std_error",
    "statistic",
    "df",
    "p_value",
    "ci_low",
    "ci_high",
]
CURVE_COLUMNS = [
    "group",
    "cause",
    "time",
    "estimate",
    "std_error",
    "ci_low",
    "ci_high",
    "n_at_risk",
    "n_events",
]


class EstimationError(ValueError):
    """The estimator cannot give a right answer; the message says why and what to do."""


class InvalidInput(EstimationError):
    """The call or the data are not what the estimator needs."""


class NotEstimable(EstimationError):
    """The data are well formed but carry no information on what was asked."""


def _no_coefficients() -> pd.DataFrame:
    return pd.DataFrame(columns=COEFFICIENT_COLUMNS)


def _no_curve() -> pd.DataFrame:
    return pd.DataFrame(columns=CURVE_COLUMNS)


@dataclass(frozen=True, eq=False)
class Result:
    """Numbers of one fit.

    Attributes
    ----------
    coefficients
        One row per term, in the natural order of the formula; log scale for hazards, odds and
        rates. `df` is inf where the reference distribution is normal.
    curve
        One row per group, cause and distinct time.
    table
        Tests and summaries.
    covariance
        Covariance matrix that belongs to `coefficients.std_error`.
    log_likelihood
        NaN when the method has none.
    diagnostics
        Read only. Where they make sense: n_observations (rows used), n_dropped (rows with a
        missing value), n_zero_weight, n_clusters, n_events, level, variance (how the standard
        errors were had), converged; and what the estimator adds.
    """

    coefficients: pd.DataFrame = field(default_factory=_no_coefficients)
    curve: pd.DataFrame = field(default_factory=_no_curve)
    table: pd.DataFrame = field(default_factory=pd.DataFrame)
    covariance: pd.DataFrame = field(default_factory=pd.DataFrame)
    log_likelihood: float = float("nan")
    diagnostics: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "diagnostics", MappingProxyType(dict(self.diagnostics)))

    def coefficient(self, term: str) -> pd.Series[Any]:
        """Return the row of one term."""
        rows = self.coefficients[[t == term for t in self.coefficients["term"]]]
        if len(rows) != 1:
            raise InvalidInput(f"no term {term!r}: their names stand in .coefficients['term']")
        return rows.iloc[0]


def check_level(level: float) -> float:
    """Return `level` when it is a confidence level between 0 and 1, else raise."""
    if not isinstance(level, Real) or not 0 < level < 1:
        raise InvalidInput("level must lie between 0 and 1, for example 0.95")
    return float(level)


def check_choice(value: str, choices: Collection[str], name: str) -> None:
    """Raise unless `value` is one of the words of an option."""
    if not isinstance(value, str) or value not in choices:
        raise InvalidInput(f"{name} must be one of {', '.join(choices)}")


def check_flag(value: bool, name: str) -> None:
    """Raise unless `value` is True or False: any other word would count as True."""
    if not isinstance(value, bool | np.bool_):
        raise InvalidInput(f"{name} must be True or False")


def as_float(value: Any) -> float:
    """A number as float; NaN for what is none, or too large to be one."""
    try:
        return float(value) if isinstance(value, Real) else float("nan")
    except OverflowError:
        return float("nan")


def check_whole(value: float, name: str, least: int) -> int:
    """Return a whole number of `least` or more as int, else raise."""
    number = abs(as_float(value)) < 1e300 and not isinstance(value, bool)
    if not number or value != int(value) or value < least:
        raise InvalidInput(f"{name} must be a whole number, {least} or more")
    return int(value)


def two_sided_p(statistic: ArrayLike, df: ArrayLike) -> Floats:
    """Two-sided p value of a t statistic; `df` inf means the normal distribution."""
    z, v = np.broadcast_arrays(np.abs(np.asarray(statistic, float)), np.asarray(df, float))
    finite = np.isfinite(v)
    p: Floats = 2 * special.ndtr(-z)
    if finite.any():
        p = np.where(finite, 2 * special.stdtr(np.where(finite, v, 1.0), -z), p)
    return np.asarray(p, float)


def t_quantile(level: float, df: ArrayLike) -> Floats:
    """Half width of a central interval in standard errors."""
    upper = (1 + level) / 2
    v = np.asarray(df, float)
    finite = np.isfinite(v)
    q = special.stdtrit(np.where(finite, v, 1.0), upper)
    return np.where(finite, q, np.where(np.isnan(v), np.nan, special.ndtri(upper)))


def coefficient_table(
    terms: Sequence[str],
    estimate: Floats,
    std_error: Floats,
    df: ArrayLike,
    level: float,
) -> pd.DataFrame:
    """Build a coefficients table with Wald statistics and intervals."""
    v = np.broadcast_to(np.asarray(df, float), estimate.shape)
    with np.errstate(divide="ignore", invalid="ignore"):
        statistic = estimate / std_error
    half = t_quantile(level, v) * std_error
    return pd.DataFrame(
        {
            "term": list(terms),
            "estimate": estimate,
            "std_error": std_error,
            "statistic": statistic,
            "df": v,
            "p_value": two_sided_p(statistic, v),
            "ci_low": estimate - half,
            "ci_high": estimate + half,
        }
    )
