"""Cox proportional hazards regression.

Own Newton-Raphson because no Python library is right on all of: Efron ties with exact robust
standard errors, (entry, time] intervals, cluster-robust variance for time-varying covariates,
Firth's penalty with profile intervals.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
from scipy import linalg, special

from . import cox_firth
from .cox_fitted import Fitted
from .cox_likelihood import Moments, gram, lost_digits, moments
from .cox_residuals import in_data_order, score_residuals
from .cox_result import CoxResult
from .cox_risk_sets import RiskSets, risk_sets
from .design_matrix import refuse_collinear, refuse_uninformed
from .formulas import design
from .inputs import (
    cluster_codes,
    codes,
    named,
    numbers,
    sum_by,
    survival_times,
    without_zero_weights,
)
from .results import (
    Bools,
    Floats,
    Ints,
    InvalidInput,
    NotEstimable,
    check_choice,
    check_flag,
    check_level,
    coefficient_table,
)

TIES = ("efron", "breslow", "exact")
MAX_STEPS, MAX_HALVINGS = 60, 30
FLAT = 1e-11  # relative gain below which the likelihood is flat
STILL_MOVING = 1e-4  # change of the linear predictor (standard deviation) that a maximum allows
ENOUGH = 1e-12  # squared length in standard errors of the last step but for rounding
ENORMOUS = 10.0  # standard deviation of a linear predictor that separates rather than fits
LOST = 1e-8  # relative rounding error of a risk set that is still accepted
MONOTONE = (
    "the likelihood is monotone: {terms} separates the events from the others, so its estimate "
    "is infinite; use firth=True"
)


def cox(
    formula: str,
    data: pd.DataFrame,
    time: str,
    event: str,
    entry: str | None = None,
    weights: str | None = None,
    strata: str | None = None,
    cluster: str | None = None,
    offset: str | None = None,
    ties: str = "efron",
    firth: bool = False,
    level: float = 0.95,
) -> CoxResult:
    """Cox regression on right-censored, left-truncated or counting-process data.

    A row is at risk in (entry, time]. Recurrent events are rows of one `cluster`: Andersen-Gill
    / LWYY as they are, Prentice-Williams-Peterson and Wei-Lin-Weissfeld with the number of the
    event as `strata`.

    Parameters
    ----------
    formula
        Right side only, such as "age + C(stage)"; the baseline hazard replaces the intercept.
    data
        One row per subject or interval.
    time, event, entry
        Columns: end, 1 = event (any other code counts as censored: another cause needs a
        recoded column), start.
    weights, strata, cluster, offset
        Columns: case weights (a row of weight 0 is left out), strata with their own baseline
        hazard, units that repeat, fixed part of the linear predictor.
    ties
        efron, breslow, or exact (discrete conditional logistic likelihood; with one stratum per
        matched set it is conditional logistic regression).
    firth
        Penalise with Jeffreys' prior (finite estimates under separation); p values are
        penalised likelihood ratios and intervals are profile intervals.
    level
        Confidence level.

    Returns
    -------
    CoxResult
        `.coefficients` on the log hazard scale. The standard error is robust, summed by
        cluster, when `cluster` is given; robust by row when a weight is not a whole number;
        else from the information (as coxph). `.table` holds likelihood-ratio, Wald and score
        tests of all coefficients, and the robust score test when the standard error is robust.

    Raises
    ------
    NotEstimable
        No event, terms that do not vary or are collinear at the event times, monotone
        likelihood, one cluster.
    InvalidInput
        Columns, options or combinations that do not exist: neither exact ties nor Firth's
        penalty takes weights or a cluster.

    Notes
    -----
    R: `coxph(Surv(entry, time, event == 1) ~ ..., ties, weights, cluster)`. Cox (1972), Efron
    (1977), robust variance of Lin & Wei (1989); Firth as Heinze & Schemper (2001), determinant
    of the full information.

    Examples
    --------
    >>> rows = pd.DataFrame({"t": [1, 2, 3, 4, 5], "e": [1, 1, 0, 1, 1], "x": [1, 0, 1, 0, 1]})
    >>> cox("x", rows, "t", "e").coefficients["estimate"].round(4).tolist()
    [-0.8341]
    """
    check_level(level)
    check_flag(firth, "firth")
    _check_options(ties, firth, weights, cluster)
    data, n_zero_weight = without_zero_weights(data, weights)
    built = design(
        formula,
        data,
        [time, event, entry, weights, strata, cluster, offset],
        response=False,
        intercept=False,
    )
    rows, terms = built.data, built.terms
    start, stop, cause = survival_times(rows, time, event, entry)
    weight = numbers(rows, weights) if weights is not None else np.ones(len(rows))
    fixed = numbers(rows, offset) if offset is not None else np.zeros(len(rows))
    stratum, strata_levels = (
        codes(rows, strata) if strata is not None else (np.zeros(len(rows), np.int64), ["all"])
    )
    x, centre, scale = _standardised(built.x, terms)
    built = replace(built, x=np.empty((0, len(terms))))  # the result keeps the sorted covariates
    fixed_centre = float(fixed.mean())
    sets = risk_sets(
        x, start, stop, (cause == 1).astype(np.int64), stratum, weight, fixed - fixed_centre, ties
    )
    del x, start, stop, cause, stratum
    unit, robust_by = _units(rows, cluster, weight, ties)
    null = moments(sets, np.zeros(len(terms)))
    _refuse_no_information(null, terms)
    _refuse_lost_digits(sets, null)
    fit = cox_firth.fit(sets, level) if firth else None
    if fit is None:
        beta, at, steps = _newton(sets, null, terms)
    else:
        beta, at, steps = fit.beta, fit.moments, fit.steps
    _refuse_lost_digits(sets, at)
    naive = linalg.inv(at.information)
    naive = (naive + naive.T) / 2
    covariance = naive
    tests = {
        "likelihood ratio": 2 * (at.log_likelihood - null.log_likelihood),
        "wald": float(beta @ at.information @ beta),
        "score": float(null.score @ _solve(null.information, null.score)),
    }
    if robust_by:
        covariance, robust_tests = _robust(sets, null, at, beta, naive, unit, terms)
        tests |= robust_tests
    coefficients = coefficient_table(
        terms, beta / scale, np.sqrt(np.diag(covariance)) / scale, np.inf, level
    )
    diagnostics: dict[str, object] = {
        "n_observations": len(rows),
        "n_dropped": built.n_dropped,
        "n_zero_weight": n_zero_weight,
        "n_events": int(sets.died.size),
        "n_clusters": int(unit.max()) + 1,
        "ties": ties,
        "level": level,
        "variance": robust_by or "information",
        "std_error_information": dict(zip(terms, np.sqrt(np.diag(naive)) / scale, strict=True)),
        "log_likelihood_null": null.log_likelihood,
        "converged": True,
        "iterations": steps,
        "max_gradient": float(np.abs(at.score).max()),
    }
    log_likelihood = at.log_likelihood
    if fit is not None:
        shift = float(np.log(scale).sum())  # determinant of the information on the user's scale
        log_likelihood = fit.penalised + shift
        null_penalised = cox_firth.penalised(null)
        tests = {"likelihood ratio": 2 * (fit.penalised - null_penalised)}
        coefficients["statistic"], coefficients["df"] = fit.likelihood_ratio, 1.0
        coefficients["p_value"] = special.chdtrc(1, fit.likelihood_ratio)
        coefficients["ci_low"], coefficients["ci_high"] = fit.low / scale, fit.high / scale
        diagnostics |= {
            "penalty": "firth",
            "interval": "profile penalised likelihood",
            "statistic": "penalised likelihood ratio (chi-square, 1 df)",
            "log_likelihood_unpenalised": at.log_likelihood,
            "log_likelihood_null": null_penalised + shift,
            "max_gradient": fit.max_gradient,
        }
    return CoxResult(
        coefficients=coefficients,
        table=_tests(tests, len(beta)),
        covariance=pd.DataFrame(covariance / np.outer(scale, scale), index=terms, columns=terms),
        log_likelihood=log_likelihood,
        diagnostics=diagnostics,
        _fitted=Fitted(
            sets=sets,
            at=at,
            beta=beta,
            centre=centre,
            scale=scale,
            covariance=covariance,
            naive=naive,
            built=built,
            time=time,
            event=event,
            entry=entry,
            weights=weights,
            strata=strata,
            offset=offset,
            strata_levels=strata_levels,
            offset_centre=fixed_centre,
        ),
    )


def _check_options(ties: str, firth: bool, weights: str | None, cluster: str | None) -> None:
    check_choice(ties, TIES, "ties")
    if firth and (cluster is not None or weights is not None):
        raise InvalidInput("firth=True takes neither weights nor cluster: its likelihood has none")
    if firth and ties == "exact":
        raise InvalidInput("firth=True takes ties='efron' or 'breslow'")
    if ties == "exact" and (cluster is not None or weights is not None):
        raise InvalidInput(
            "ties='exact' takes neither weights nor cluster: use ties='efron' with them"
        )


def _standardised(x: Floats, terms: list[str]) -> tuple[Floats, Floats, Floats]:
    """Covariates less their mean, in standard deviations; the mean; the standard deviation."""
    if not terms:
        raise InvalidInput("the formula has no term to estimate")
    size = np.maximum(x.max(axis=0), -x.min(axis=0))
    centre = x.mean(axis=0)
    x = np.array(x, order="C")
    x -= centre
    scale = np.sqrt(np.einsum("ij,ij->j", x, x) / len(x))
    flat = scale <= 1e-12 * size
    if flat.any():
        raise NotEstimable(f"{_quoted(terms, flat)} does not vary: leave it out")
    x /= scale
    refuse_collinear(x, terms)
    return x, centre, scale


def _units(
    rows: pd.DataFrame, cluster: str | None, weight: Floats, ties: str
) -> tuple[Ints, str | None]:
    """Unit of the robust variance of each row, and what it is called (None: not robust)."""
    if cluster is None:
        whole = ties == "exact" or bool((weight == np.floor(weight)).all())
        return np.arange(len(rows)), None if whole else "robust by row"
    return cluster_codes(rows, cluster), "robust by cluster"


def _robust(
    sets: RiskSets,
    null: Moments,
    at: Moments,
    beta: Floats,
    naive: Floats,
    unit: Ints,
    terms: list[str],
) -> tuple[Floats, dict[str, float]]:
    """Sandwich covariance with the scores summed by unit, and the tests that rest on it."""
    scores = _summed_scores(sets, at, unit)
    covariance = naive @ (scores.T @ scores) @ naive
    none = np.diag(covariance) <= 1e-20 * np.diag(naive)
    if none.any():
        raise NotEstimable(
            f"the robust variance of {_quoted(terms, none)} is zero: too few clusters or rows "
            "carry it"
        )
    wald = _quadratic(beta, covariance, len(scores) - 1)
    scores = _summed_scores(sets, null, unit)
    score = _quadratic(scores.sum(axis=0), scores.T @ scores, len(scores))
    return covariance, {"wald": wald, "robust score": score}


def _summed_scores(sets: RiskSets, at: Moments, unit: Ints) -> Floats:
    """Weighted score residuals summed by unit (units, p)."""
    residual = in_data_order(sets, score_residuals(sets, at) * sets.weight[:, None])
    return residual if int(unit.max()) + 1 == len(residual) else sum_by(unit, residual)


def _quadratic(vector: Floats, covariance: Floats, rank: int) -> float:
    """Wald-type statistic; NaN when so few units cannot carry a test of all terms."""
    if rank < len(vector):
        return float("nan")
    return float(vector @ linalg.pinvh(covariance) @ vector)


def _refuse_no_information(null: Moments, terms: list[str]) -> None:
    diagonal = np.diag(null.information)
    if not np.isfinite(null.log_likelihood) or not np.isfinite(diagonal).all():
        raise NotEstimable(
            "the likelihood cannot be computed in double precision: check the scale of the offset, "
            "or use ties='efron' for so many exact ties"
        )
    refuse_uninformed(null.information, terms)


def _refuse_lost_digits(sets: RiskSets, at: Moments) -> None:
    if lost_digits(sets, at) > LOST:
        raise NotEstimable(
            "the hazards of some rows are so large that other risk sets lose their digits: check "
            "the covariates and the offset for outliers"
        )


def _newton(sets: RiskSets, null: Moments, terms: list[str]) -> tuple[Floats, Moments, int]:
    """Maximise the partial likelihood.

    Near a maximum each step is the square of the one before. Where the likelihood is monotone
    the steps keep their length and only the gain dies out.
    """
    beta, fit, moved = np.zeros(len(terms)), null, np.inf
    spread = gram(sets.x, np.full(len(sets.x), 1 / len(sets.x)))
    unit = float(sets.weight[sets.died].mean())  # the likelihood scales with the weights
    for step_number in range(1, MAX_STEPS + 1):
        try:
            step = _solve(fit.information, fit.score)
        except linalg.LinAlgError:
            _monotone(beta, terms)
        length = float(step @ fit.score)  # squared, in standard errors
        proposed = moments(sets, beta + step)
        halvings = 0
        slack = 1e-13 * (unit + abs(fit.log_likelihood))
        while not proposed.log_likelihood >= fit.log_likelihood - slack and halvings < MAX_HALVINGS:
            halvings += 1
            step = step / 2
            proposed = moments(sets, beta + step)
        if halvings == MAX_HALVINGS:
            break
        gain = proposed.log_likelihood - fit.log_likelihood
        beta, fit = beta + step, proposed
        before, moved = moved, float(np.sqrt(step @ spread @ step))
        if moved > STILL_MOVING:
            if gain <= FLAT * (unit + abs(fit.log_likelihood)) and moved > before / 4:
                _monotone(step, terms)
        elif length <= ENOUGH * unit and not halvings:
            _refuse_separation(beta, spread, terms)
            return beta, fit, step_number
    _refuse_separation(beta, spread, terms)
    raise NotEstimable(
        "the partial likelihood could not be climbed: check the scale of the covariates"
    )


def _solve(information: Floats, score: Floats) -> Floats:
    return np.asarray(linalg.cho_solve(linalg.cho_factor(information), score), float)


def _refuse_separation(beta: Floats, spread: Floats, terms: list[str]) -> None:
    if float(np.sqrt(beta @ spread @ beta)) > ENORMOUS:
        _monotone(beta, terms)


def _monotone(direction: Floats, terms: list[str]) -> None:
    main = np.abs(direction) > 0.1 * np.abs(direction).max()
    raise NotEstimable(MONOTONE.format(terms=_quoted(terms, main)))


def _quoted(terms: list[str], which: Bools) -> str:
    return named(t for t, w in zip(terms, which, strict=True) if w)


def _tests(statistics: dict[str, float], df: int) -> pd.DataFrame:
    values = np.array(list(statistics.values()))
    return pd.DataFrame(
        {
            "test": list(statistics),
            "statistic": values,
            "df": df,
            "p_value": special.chdtrc(df, values),
        }
    )
