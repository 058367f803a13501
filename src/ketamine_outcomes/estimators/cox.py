"""Cox proportional hazards regression.

Own Newton-Raphson because no Python library is right on all of: Efron ties with exact robust
standard errors, (entry, time] intervals, cluster-robust variance for time-varying covariates,
Firth's penalty with profile intervals.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import linalg, special

from . import cox_firth
from .cox_likelihood import Moments, RiskSets, moments, risk_sets, score_residuals
from .inputs import Design, codes, design, numbers, refuse_collinear, survival_times
from .results import (
    Floats,
    InvalidInput,
    NotEstimable,
    Result,
    check_level,
    coefficient_table,
)

MAX_STEPS = 60
FLAT = 1e-11  # relative gain below which the likelihood is flat
STILL_MOVING = 1e-4  # step, in standard deviations of a covariate, that a flat likelihood allows
MONOTONE = (
    "the likelihood is monotone: {terms} separates the events from the others, so its estimate "
    "is infinite; use firth=True"
)


@dataclass(frozen=True)
class _Problem:
    sets: RiskSets
    terms: list[str]
    scale: Floats
    built: Design
    robust_by: str | None
    unit: np.ndarray[tuple[int], np.dtype[np.int64]]


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
) -> Result:
    """Cox regression on right-censored, left-truncated or counting-process data.

    A row is at risk in (entry, time]; recurrent events (Andersen-Gill, PWP) are rows of one
    `cluster`.

    Parameters
    ----------
    formula
        Right side only, such as "age + C(stage)"; the baseline hazard replaces the intercept.
    data
        One row per subject or interval.
    time, event, entry
        Columns: end, 1 = event (any other code counts as censored: cause-specific hazards need
        a recoded column), start.
    weights, strata, cluster, offset
        Columns: case weights above 0, strata with their own baseline hazard, units that repeat,
        fixed part of the linear predictor.
    ties
        efron or breslow.
    firth
        Penalise with Jeffreys' prior (finite estimates under separation); p values are
        penalised likelihood ratios and intervals are profile intervals.
    level
        Confidence level.

    Returns
    -------
    Result
        `.coefficients` on the log hazard scale. The standard error is robust, summed by
        cluster, when `cluster` is given; robust by row when a weight is not a whole number;
        else from the information (as coxph). `.table` holds likelihood-ratio, Wald and score
        tests of all coefficients.

    Notes
    -----
    R: `coxph(Surv(entry, time, event == 1) ~ ..., ties, weights, cluster)`; robust variance of
    Lin & Wei (1989); Firth as Heinze & Schemper (2001), determinant of the full information.

    Examples
    --------
    >>> rows = pd.DataFrame({"t": [1, 2, 3, 4, 5], "e": [1, 1, 0, 1, 1], "x": [1, 0, 1, 0, 1]})
    >>> cox("x", rows, "t", "e").coefficients["term"].tolist()
    ['x']
    """
    check_level(level)
    if ties not in ("efron", "breslow"):
        raise InvalidInput("ties must be efron or breslow")
    if firth and (cluster or weights):
        raise InvalidInput("firth=True takes neither weights nor cluster: its likelihood has none")
    problem = _prepare(formula, data, time, event, entry, weights, strata, cluster, offset, ties)
    sets, scale = problem.sets, problem.scale
    null = moments(sets, np.zeros(len(scale)))
    _refuse_no_information(null, problem.terms)
    if firth:
        return _firth_result(problem, null, ties, level)
    beta, fit, steps = _newton(sets, null, problem.terms)
    naive = linalg.inv(fit.information)
    naive = (naive + naive.T) / 2
    covariance = naive
    if problem.robust_by is not None:
        residual = score_residuals(sets, fit)[0] * sets.weight[:, None]
        n_units = int(problem.unit.max()) + 1
        summed = np.column_stack(
            [np.bincount(problem.unit, weights=c, minlength=n_units) for c in residual.T]
        )
        influence = summed @ naive
        covariance = influence.T @ influence
    wald = float(beta @ linalg.pinvh(covariance) @ beta)
    score = float(null.score @ linalg.solve(null.information, null.score, assume_a="sym"))
    ratio = 2 * (fit.log_likelihood - null.log_likelihood)
    return Result(
        coefficients=coefficient_table(
            problem.terms,
            beta / scale,
            np.sqrt(np.diag(covariance)) / scale,
            np.inf,
            level,
        ),
        table=_tests([ratio, wald, score], len(beta)),
        covariance=_frame(covariance, scale, problem.terms),
        log_likelihood=fit.log_likelihood,
        diagnostics={
            **_counts(problem),
            "ties": ties,
            "level": level,
            "standard_error": problem.robust_by or "information",
            "std_error_information": dict(
                zip(problem.terms, np.sqrt(np.diag(naive)) / scale, strict=True)
            ),
            "log_likelihood_null": null.log_likelihood,
            "converged": True,
            "iterations": steps,
            "max_gradient": float(np.abs(fit.score).max()),
        },
    )


def _prepare(
    formula: str,
    data: pd.DataFrame,
    time: str,
    event: str,
    entry: str | None,
    weights: str | None,
    strata: str | None,
    cluster: str | None,
    offset: str | None,
    ties: str,
) -> _Problem:
    also = [time, event, entry, weights, strata, cluster, offset]
    built = design(formula, data, also, response=False, intercept=False)
    rows = built.data
    start, stop, cause = survival_times(rows, time, event, entry)
    n = len(rows)
    weight = numbers(rows, weights) if weights else np.ones(n)
    if (weight <= 0).any():
        raise InvalidInput(
            f"{int((weight <= 0).sum())} weights are not above 0: leave those rows out first"
        )
    x = built.x - (built.x.mean(axis=0) if n else 0.0)
    scale = x.std(axis=0)
    flat = [
        t
        for t, s, c in zip(built.terms, scale, built.x.T, strict=True)
        if s <= 1e-12 * max(1.0, float(np.abs(c).max()))
    ]
    if flat:
        raise NotEstimable(f"{', '.join(map(repr, flat))} does not vary: leave it out")
    refuse_collinear(x, built.terms)
    sets = risk_sets(
        x / scale,
        start,
        stop,
        (cause == 1).astype(np.int64),
        codes(rows, strata)[0] if strata else np.zeros(n, np.int64),
        weight,
        numbers(rows, offset) if offset else np.zeros(n),
        ties,
    )
    whole = bool((weight == np.floor(weight)).all())
    robust_by = "robust by cluster" if cluster else None if whole else "robust by row"
    unit = codes(rows, cluster)[0] if cluster else np.arange(n)
    if cluster and int(unit.max()) == 0:
        raise NotEstimable(
            "one cluster only: a cluster-robust standard error needs several; leave cluster out"
        )
    return _Problem(sets, built.terms, scale, built, robust_by, unit)


def _refuse_no_information(null: Moments, terms: list[str]) -> None:
    diagonal = np.diag(null.information)
    silent = [t for t, d in zip(terms, diagonal, strict=True) if d <= 1e-12]
    if silent:
        raise NotEstimable(
            f"{', '.join(map(repr, silent))} does not vary among those at risk at any event: "
            "leave it out"
        )
    unit = 1 / np.sqrt(diagonal)
    if np.linalg.eigvalsh(null.information * np.outer(unit, unit))[0] <= 1e-11:
        raise NotEstimable(
            "the terms are collinear among those at risk at the events: leave one of them out"
        )


def _newton(sets: RiskSets, null: Moments, terms: list[str]) -> tuple[Floats, Moments, int]:
    """Maximise the partial likelihood (covariates in standard deviations)."""
    beta, fit = np.zeros(len(terms)), null
    for step_number in range(1, MAX_STEPS + 1):
        try:
            step = linalg.solve(fit.information, fit.score, assume_a="pos")
        except linalg.LinAlgError:
            _monotone(beta, terms)
        proposed = moments(sets, beta + step)
        halvings = 0
        slack = 1e-13 * (1 + abs(fit.log_likelihood))
        while not proposed.log_likelihood >= fit.log_likelihood - slack:
            halvings += 1
            if halvings > 30:
                raise NotEstimable(
                    "the partial likelihood could not be climbed: check the scale of the covariates"
                )
            step = step / 2
            proposed = moments(sets, beta + step)
        gain = proposed.log_likelihood - fit.log_likelihood
        beta, fit = beta + step, proposed
        moved = float(np.abs(step).max())
        if moved < 1e-10 * (1 + float(np.abs(beta).max())):
            return beta, fit, step_number
        if gain <= FLAT * (1 + abs(fit.log_likelihood)) and moved > STILL_MOVING:
            _monotone(step, terms)
        if gain <= 0 and moved < 1e-8:
            return beta, fit, step_number
    _monotone(beta, terms)
    raise AssertionError("unreachable")


def _monotone(direction: Floats, terms: list[str]) -> None:
    share = np.abs(direction) / np.abs(direction).max()
    named = [t for t, s in zip(terms, share, strict=True) if s > 0.1]
    raise NotEstimable(MONOTONE.format(terms=", ".join(map(repr, named))))


def _firth_result(problem: _Problem, null: Moments, ties: str, level: float) -> Result:
    sets, scale, terms = problem.sets, problem.scale, problem.terms
    fit = cox_firth.fit(sets, level)
    shift = float(np.log(scale).sum())  # determinant of the information on the user's scale
    covariance = linalg.inv(fit.moments.information)
    table = coefficient_table(
        terms, fit.beta / scale, np.sqrt(np.diag(covariance)) / scale, np.inf, level
    )
    table["statistic"] = fit.likelihood_ratio
    table["df"] = 1.0
    table["p_value"] = special.chdtrc(1, fit.likelihood_ratio)
    table["ci_low"], table["ci_high"] = fit.low / scale, fit.high / scale
    null_penalised = cox_firth.penalised(null)
    return Result(
        coefficients=table,
        table=_tests([2 * (fit.penalised - null_penalised)], len(terms)),
        covariance=_frame(covariance, scale, terms),
        log_likelihood=fit.penalised + shift,
        diagnostics={
            **_counts(problem),
            "ties": ties,
            "level": level,
            "penalty": "firth",
            "interval": "profile penalised likelihood",
            "statistic": "penalised likelihood ratio (chi-square, 1 df)",
            "log_likelihood_unpenalised": fit.moments.log_likelihood,
            "log_likelihood_null": null_penalised + shift,
            "converged": True,
            "max_gradient": fit.max_gradient,
        },
    )


def _counts(problem: _Problem) -> dict[str, object]:
    return {
        "n_observations": len(problem.built.data),
        "n_dropped": problem.built.n_dropped,
        "n_events": int(problem.sets.died.size),
        "n_clusters": int(problem.unit.max()) + 1,
    }


def _tests(statistics: list[float], df: int) -> pd.DataFrame:
    names = ["likelihood ratio", "wald", "score"][: len(statistics)]
    return pd.DataFrame(
        {
            "test": names,
            "statistic": statistics,
            "df": df,
            "p_value": special.chdtrc(df, np.asarray(statistics)),
        }
    )


def _frame(covariance: Floats, scale: Floats, terms: list[str]) -> pd.DataFrame:
    return pd.DataFrame(covariance / np.outer(scale, scale), index=terms, columns=terms)
