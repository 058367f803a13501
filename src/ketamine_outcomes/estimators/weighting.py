"""Propensity scores and the weights of a target population."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Real

import numpy as np
import pandas as pd
from scipy import special

from .balance import effective_sample_size, zero_one
from .formulas import design
from .logistic import logistic
from .results import (
    Floats,
    InvalidInput,
    NotEstimable,
    Result,
    check_choice,
    check_level,
    coefficient_table,
)

TARGETS = ("overlap", "att", "ate")
SEPARATED = (
    "the confounders separate the groups: no patient of one group resembles the other, so "
    "weights do not exist"
)


@dataclass(frozen=True)
class Propensity:
    """Fitted propensity score of the rows that are kept."""

    x: Floats
    terms: list[str]
    treated: Floats
    beta: Floats
    covariance: Floats
    data: pd.DataFrame
    n_dropped: int
    n_trimmed: int

    @property
    def eta(self) -> Floats:
        """Log odds of treatment."""
        return self.x @ self.beta

    @property
    def score(self) -> Floats:
        """Probability of treatment."""
        return np.asarray(special.expit(self.eta))


def check_target(target: str, trim: float | None) -> None:
    """Raise unless the target is known and the trimming possible."""
    check_choice(target, TARGETS, "target")
    if trim is not None and (not isinstance(trim, Real) or not 0 < trim < 0.5):
        raise InvalidInput("trim must lie between 0 and 0.5")


def fit_propensity(
    formula: str, data: pd.DataFrame, also: Sequence[str | None], trim: float | None
) -> Propensity:
    """Fit the score on rows complete in the formula and in `also`; once more after trimming."""
    fit = _fit(formula, data, also)
    if trim is None:
        return fit
    kept = (fit.score > trim) & (fit.score < 1 - trim)
    if not kept.any():
        raise NotEstimable("trimming leaves nobody: the groups do not overlap")
    again = _fit(formula, fit.data[kept], also)
    return Propensity(
        again.x,
        again.terms,
        again.treated,
        again.beta,
        again.covariance,
        again.data,
        fit.n_dropped,
        int((~kept).sum()),
    )


def _fit(formula: str, data: pd.DataFrame, also: Sequence[str | None]) -> Propensity:
    built = design(formula, data, also)
    t = zero_one(np.asarray(built.y), "the treatment")
    if np.ptp(t) == 0:
        raise NotEstimable("everybody is in one group: there is no propensity to estimate")
    beta, covariance = logistic(built.x, t, built.terms, SEPARATED)
    return Propensity(built.x, built.terms, t, beta, covariance, built.data, built.n_dropped, 0)


def weights_of(eta: Floats, treated: Floats, target: str) -> tuple[Floats, Floats]:
    """Weights, and their derivatives by the log odds `eta`."""
    one = treated == 1
    e, f = special.expit(eta), special.expit(-eta)
    if target == "overlap":
        return np.where(one, f, e), np.where(one, -e * f, e * f)
    up, down = np.exp(np.where(one, 0, eta)), np.exp(np.where(one, -eta, 0))
    if target == "att":
        return np.where(one, 1.0, up), np.where(one, 0.0, up)
    return np.where(one, 1 + down, 1 + up), np.where(one, -down, up)


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

    Raises
    ------
    NotEstimable
        One group only, collinear confounders, or confounders that separate the groups.

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
    check_target(target, trim)
    if not isinstance(data, pd.DataFrame):
        raise InvalidInput("data must be a pandas DataFrame")
    fit = fit_propensity(formula, data.assign(_row=np.arange(len(data))), ["_row"], trim)
    t = fit.treated
    weight, _ = weights_of(fit.eta, t, target)
    std_error = np.sqrt(np.diag(fit.covariance))
    return Result(
        coefficients=coefficient_table(fit.terms, fit.beta, std_error, np.inf, level),
        covariance=pd.DataFrame(fit.covariance, index=fit.terms, columns=fit.terms),
        table=pd.DataFrame(
            {
                "row": fit.data["_row"].to_numpy(dtype=np.int64),
                "treated": t.astype(int),
                "propensity": fit.score,
                "weight": weight,
            }
        ),
        diagnostics={
            "n_observations": int(t.size),
            "n_dropped": fit.n_dropped,
            "n_trimmed": fit.n_trimmed,
            "n_treated": int(t.sum()),
            "target": target,
            "level": level,
            "effective_sample_size_treated": effective_sample_size(weight[t == 1]),
            "effective_sample_size_comparator": effective_sample_size(weight[t == 0]),
            "converged": True,
        },
    )
