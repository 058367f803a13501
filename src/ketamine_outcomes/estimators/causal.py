"""Contrast of two treatments by propensity weights, alone or with an outcome model."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import special

from .balance import effective_sample_size, zero_one
from .design_matrix import refuse_collinear
from .formulas import design, formula_columns
from .inputs import codes, require_columns, sum_by
from .logistic import logistic
from .results import (
    Floats,
    Ints,
    InvalidInput,
    NotEstimable,
    Result,
    check_choice,
    check_level,
    coefficient_table,
    t_quantile,
)
from .weighting import Propensity, check_target, fit_propensity, weights_of

MEASURES = ("difference", "ratio", "odds_ratio")


def weighted_difference(
    formula: str,
    propensity: str,
    data: pd.DataFrame,
    target: str = "overlap",
    cluster: str | None = None,
    trim: float | None = None,
    measure: str = "difference",
    treated: str | None = None,
    level: float = 0.95,
) -> Result:
    """Contrast of propensity-weighted means.

    Parameters
    ----------
    formula
        "y ~ treated"; with covariates ("y ~ treated + x") the weights go into that regression
        (linear; logistic when y is 0 / 1) and the means are its predictions under each treatment,
        averaged over the target population. In a linear model without interactions the
        difference is the coefficient of the treatment.
    propensity
        Treatment (0 / 1) and confounders, such as "treated ~ age + stage".
    data
        One row per observation; rows that miss a value in a used column are left out.
    target
        overlap (patients for whom either treatment was likely), att (the treated) or ate
        (everybody).
    cluster
        Column of the units that are independent, when rows are not.
    trim
        As in `propensity_weights`; the standard error is for the patients who remain.
    measure
        difference, ratio or odds_ratio (both on the log scale).
    treated
        Name of the treatment column, when the left side of `propensity` is not a column.
    level
        Confidence level.

    Returns
    -------
    Result
        `.coefficients` with one row, the contrast; `.table` with the mean of each group (group,
        estimate, std_error, ci_low, ci_high, n, effective_sample_size); `.diagnostics` with
        std_error_weights_known, which takes the weights for given.

    Raises
    ------
    NotEstimable
        Groups without overlap, an outcome without variation, a mean of 0 (or 1) under a ratio,
        one cluster.

    Notes
    -----
    The score, the outcome model and the means are solved together as one set of estimating
    equations; the standard errors are its sandwich (Stefanski & Boos 2002; Lunceford & Davidian
    2004; Li, Morgan & Zaslavsky 2018), summed by cluster, with the normal distribution. R:
    `weighted.mean` by group, `lm(weights =)`; the standard errors equal the infinitesimal
    jackknife that refits everything.

    Examples
    --------
    >>> rows = pd.DataFrame(
    ...     {"t": [0, 1, 0, 1, 0, 1], "x": [1, 2, 3, 2, 1, 4], "y": [1, 3, 2, 4, 1, 5]}
    ... )
    >>> fit = weighted_difference("y ~ t", "t ~ x", rows)
    >>> fit.coefficients["estimate"].round(4).tolist()
    [2.0515]
    """
    return _contrast(
        formula, propensity, data, target, cluster, trim, measure, treated, level, augmented=False
    )


def aipw(
    formula: str,
    propensity: str,
    data: pd.DataFrame,
    target: str = "overlap",
    cluster: str | None = None,
    trim: float | None = None,
    measure: str = "difference",
    treated: str | None = None,
    level: float = 0.95,
) -> Result:
    """Contrast of means by augmented inverse probability weighting (doubly robust).

    Parameters
    ----------
    formula
        Outcome model: "y ~ treated + x" is one model for both groups, "y ~ treated * x" or
        "y ~ x" (without the treatment) one per group. Linear; logistic when y is 0 / 1.
    propensity, data, target, cluster, trim, measure, treated, level
        As in `weighted_difference`.

    Returns
    -------
    Result
        As `weighted_difference`.

    Raises
    ------
    NotEstimable
        As `weighted_difference`; also covariates that separate the outcomes 0 and 1.

    Notes
    -----
    The mean under treatment z is (sum h m_z + sum over group z of w (y - m_z)) / sum h, where m_z
    is the prediction, w the weight and h the target population: 1 (ate), the treated (att) or
    e (1 - e) (overlap). For ate and att it is consistent when either model is right (Robins,
    Rotnitzky & Zhao 1994; Bang & Robins 2005; Mercatanti & Li 2014). For overlap the second sum is
    divided by its own weights, and the score has to be right as it defines the population (Mao,
    Li & Greene 2019). Standard errors as in `weighted_difference`, with the outcome model fitted
    without weights.

    Examples
    --------
    >>> rows = pd.DataFrame(
    ...     {"t": [0, 1, 0, 1, 0, 1], "x": [1, 2, 3, 2, 1, 4], "y": [1, 3, 2, 4, 1, 5]}
    ... )
    >>> aipw("y ~ t + x", "t ~ x", rows, "ate").coefficients["estimate"].round(4).tolist()
    [2.0752]
    """
    return _contrast(
        formula, propensity, data, target, cluster, trim, measure, treated, level, augmented=True
    )


def _contrast(
    formula: str,
    propensity: str,
    data: pd.DataFrame,
    target: str,
    cluster: str | None,
    trim: float | None,
    measure: str,
    treated: str | None,
    level: float,
    augmented: bool,
) -> Result:
    check_level(level)
    check_target(target, trim)
    check_choice(measure, MEASURES, "measure")
    name = _treatment(propensity, data, treated)
    used = formula_columns(formula, response=True)
    score = fit_propensity(propensity, data, [name, *used, cluster], trim)
    if not np.array_equal(score.treated, zero_one(score.data[name].to_numpy(), f"column {name!r}")):
        raise InvalidInput(f"column {name!r} is not the treatment of the propensity model")
    weight, _ = weights_of(score.eta, score.treated, target)
    fit = _outcome(formula, score, name, None if augmented else weight)
    unit = None
    if cluster is not None:
        unit, units = codes(score.data, cluster)
        if len(units) < 2:
            raise NotEstimable("one cluster carries no information on the standard error")
    means, influence = _means(fit, score, target, score_known=False)
    covariance = _sandwich(influence, unit)
    covariance_known = _sandwich(_means(fit, score, target, score_known=True)[1], unit)
    binary = bool(np.isin(fit.y, (0.0, 1.0)).all())
    estimate, gradient = _measure(means, measure, binary)
    std_error = _std_error(gradient, covariance)
    if std_error <= 1e-10 * float(np.abs(gradient).sum() * np.abs(fit.y).max()):
        raise NotEstimable("the outcome does not vary inside the groups: no standard error exists")
    t = score.treated
    own = np.sqrt(np.diag(covariance))
    half = float(t_quantile(level, np.inf)) * own
    ess = [effective_sample_size(weight[t == arm]) for arm in (0, 1)]
    return Result(
        coefficients=coefficient_table(
            [name], np.array([estimate]), np.array([std_error]), np.inf, level
        ),
        covariance=pd.DataFrame([[std_error**2]], index=[name], columns=[name]),
        table=pd.DataFrame(
            {
                "group": [0, 1],
                "estimate": means,
                "std_error": own,
                "ci_low": means - half,
                "ci_high": means + half,
                "n": [int((t == arm).sum()) for arm in (0, 1)],
                "effective_sample_size": ess,
            }
        ),
        diagnostics={
            "n_observations": int(t.size),
            "n_dropped": score.n_dropped,
            "n_trimmed": score.n_trimmed,
            "n_treated": int(t.sum()),
            "n_clusters": int(t.size) if unit is None else len(units),
            "target": target,
            "measure": measure,
            "level": level,
            "outcome_model": "logistic" if fit.is_logistic else "linear",
            "std_error_weights_known": _std_error(gradient, covariance_known),
        },
    )


def _treatment(propensity: str, data: pd.DataFrame, treated: str | None) -> str:
    """Name of the treatment column."""
    if treated is None:
        if not isinstance(propensity, str):
            raise InvalidInput("propensity must be text such as 'treated ~ x1 + x2'")
        treated = propensity.split("~")[0].strip().strip("`")
        if isinstance(data, pd.DataFrame) and treated not in data.columns:
            raise InvalidInput(
                "the left side of the propensity formula is not a column: name the treatment "
                "column with treated="
            )
    require_columns(data, [treated])
    return treated


@dataclass(frozen=True)
class _Outcome:
    """Fitted outcome model: designs as observed (None) and with everybody in group 0 or 1."""

    y: Floats
    x: dict[int | None, Floats]
    beta: Floats
    is_weighted: bool
    is_logistic: bool

    def predict(self, arm: int | None = None) -> tuple[Floats, Floats]:
        """Means, and their derivatives by the linear predictor."""
        eta = self.x[arm] @ self.beta
        if not self.is_logistic:
            return eta, np.ones_like(eta)
        m = np.asarray(special.expit(eta))
        return m, m * special.expit(-eta)


def _outcome(formula: str, score: Propensity, name: str, weight: Floats | None) -> _Outcome:
    rows = score.data.assign(**{name: score.treated.astype(np.int64)})
    built = design(formula, rows)
    y = np.asarray(built.y)
    if np.ptp(y) == 0:
        raise NotEstimable("the outcome does not vary")
    right = set(formula_columns(formula.split("~", 1)[1]))
    if name in right:
        terms = built.terms
        x: dict[int | None, Floats] = {None: built.x}
        for arm in (0, 1):
            x[arm] = built.new(rows.assign(**{name: np.int64(arm)}))
    else:  # one model per group
        terms = [f"{term} (group {arm})" for arm in (0, 1) for term in built.terms]
        zero = np.zeros_like(built.x)
        x = {0: np.hstack([built.x, zero]), 1: np.hstack([zero, built.x])}
        x[None] = np.where((score.treated == 1)[:, None], x[1], x[0])
    refuse_collinear(x[None], terms)
    back = np.linalg.inv(np.linalg.qr(x[None], mode="r"))  # orthonormal columns: no digits lost
    x = {arm: z @ back for arm, z in x.items()}
    # without covariates both models give the group means, and the linear one allows means 0 and 1
    is_logistic = bool(np.isin(y, (0.0, 1.0)).all()) and bool(right - {name})
    if is_logistic:
        separated = "the covariates of the outcome model separate the outcomes 0 and 1"
        beta, _ = logistic(x[None], y, terms, separated, weight)
    else:
        root = np.ones(y.size) if weight is None else np.sqrt(weight)
        beta = np.linalg.lstsq(root[:, None] * x[None], root * y, rcond=None)[0]
    return _Outcome(y, x, beta, weight is not None, is_logistic)


def _population(score: Propensity, target: str) -> tuple[Floats, Floats]:
    """Share of each row in the target population, and its derivative by the log odds."""
    if target == "overlap":
        e, f = score.score, special.expit(-score.eta)
        return e * f, e * f * (f - e)
    none = np.zeros(score.treated.size)
    return (score.treated if target == "att" else none + 1), none


def _means(
    fit: _Outcome, score: Propensity, target: str, score_known: bool
) -> tuple[Floats, Floats]:
    """Mean of each group, and the influence of each row on it (rows, 2).

    Each block's influence is (its equation + what the blocks before it add) / its derivative.
    """
    x, z, t = np.asarray(np.linalg.qr(score.x)[0]), fit.x[None], score.treated
    weight, slope = weights_of(score.eta, t, target)
    m, d = fit.predict()
    residual = fit.y - m
    e = score.score
    information = x.T @ (x * (e * special.expit(-score.eta))[:, None])
    by_score = (x * (t - e)[:, None]) @ np.linalg.inv(information)
    if score_known:
        by_score = np.zeros_like(by_score)
    v, dv = (weight, slope) if fit.is_weighted else (np.ones_like(m), np.zeros_like(m))
    equation = z * (v * residual)[:, None] + by_score @ (x.T @ (z * (dv * residual)[:, None]))
    by_outcome = equation @ np.linalg.inv(z.T @ (z * (v * d)[:, None]))
    h, dh = _population(score, target)
    means, influence = np.empty(2), np.empty((m.size, 2))
    for arm in (0, 1):
        w, dw = (t == arm) * weight, (t == arm) * slope
        z_arm = fit.x[arm]
        m_arm, d_arm = fit.predict(arm)
        size = w.sum() if target == "overlap" else h.sum()
        standardised, added = h @ m_arm / h.sum(), w @ residual / size
        means[arm] = standardised + added
        if target == "overlap":
            gap, rest = m_arm - standardised, residual - added
        else:
            gap, rest = m_arm - means[arm], residual
        influence[:, arm] = (
            (h * gap + by_score @ (x.T @ (dh * gap)) + by_outcome @ (z_arm.T @ (h * d_arm)))
            / h.sum()
        ) + (w * rest + by_score @ (x.T @ (dw * rest)) - by_outcome @ (z.T @ (w * d))) / size
    return means, influence


def _sandwich(influence: Floats, unit: Ints | None) -> Floats:
    if unit is not None:
        influence = sum_by(unit, influence)
    return np.asarray(influence.T @ influence)


def _std_error(gradient: Floats, covariance: Floats) -> float:
    # rounding may leave a variance of 0 just below it
    return float(np.sqrt(max(0.0, float(gradient @ covariance @ gradient))))


def _measure(means: Floats, measure: str, binary: bool) -> tuple[float, Floats]:
    """The contrast and its gradient by the means of groups 0 and 1."""
    low, high = means
    if measure == "difference":
        return float(high - low), np.array([-1.0, 1.0])
    if measure == "odds_ratio" and not binary:
        raise InvalidInput("an odds ratio needs an outcome of 0 and 1")
    if means.min() <= 0:
        raise NotEstimable("a mean is not above 0: there is no ratio, take the difference")
    if measure == "ratio":
        return float(np.log(high / low)), np.array([-1 / low, 1 / high])
    if means.max() >= 1:
        raise NotEstimable("a proportion is not below 1: there are no odds, take the difference")
    gradient = np.array([-1.0, 1.0]) / (means * (1 - means))
    return float(special.logit(high) - special.logit(low)), gradient
