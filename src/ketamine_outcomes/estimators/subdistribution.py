"""Fine-Gray regression on the subdistribution hazard of one cause.

No Python library was right on all of: ties and the censoring term of the robust variance as
cmprsk::crr, delayed entry, clusters, strata and linear time; so the estimator stands here.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy import linalg, special

from .design_matrix import refuse_collinear, refuse_uninformed
from .formulas import design
from .inputs import (
    cluster_codes,
    codes,
    named,
    numbers,
    require_columns,
    sum_by,
    survival_times,
    without_zero_weights,
)
from .results import Floats, Ints, NotEstimable, check_level, check_whole, coefficient_table
from .subdistribution_likelihood import Moments, censoring_residuals, moments, score_residuals
from .subdistribution_result import FineGrayResult, Fitted
from .subdistribution_weights import RiskSets, risk_sets

MAX_STEPS = 60
FLAT = 1e-11  # relative gain below which the likelihood is flat
ENORMOUS = 10.0  # standard deviation of a linear predictor that separates rather than fits
STILL_MOVING = 1e-4  # step, in standard deviations of a covariate, that a flat likelihood allows


def fine_gray(
    formula: str,
    data: pd.DataFrame,
    time: str,
    event: str,
    cause: int = 1,
    entry: str | None = None,
    weights: str | None = None,
    strata: str | None = None,
    censoring_group: str | None = None,
    cluster: str | None = None,
    level: float = 0.95,
) -> FineGrayResult:
    """Proportional subdistribution hazards regression of one cause (Fine-Gray).

    Parameters
    ----------
    formula
        Right side only, such as "age + C(stage)"; the baseline hazard replaces the intercept.
    data
        One row per subject, with covariates as at time 0: after a competing event a subject
        stays at risk, so covariates that change have no meaning. `cluster` groups subjects.
        Rows (entry, time] of one cluster that continue each other unchanged are one row.
    time, event, entry
        Columns: end of follow-up, 0 = censored or cause 1, 2, ..., start of follow-up.
    cause
        The cause of interest; every other code above 0 competes with it.
    weights
        Column of case weights, also used in the censoring distribution; a row of weight 0 is
        left out.
    strata
        Column of strata with their own baseline hazard and censoring distribution.
    censoring_group
        Column of groups, within strata, with their own censoring distribution.
    cluster
        Column of the units that repeat.
    level
        Confidence level.

    Returns
    -------
    FineGrayResult
        `.coefficients` on the log subdistribution hazard scale with robust standard errors
        (summed by cluster, when given), `.table` with pseudo-likelihood-ratio and Wald tests of
        all coefficients, `.log_likelihood` of the pseudo-likelihood, `.predict_incidence`.

    Raises
    ------
    InvalidInput
        A column is missing or holds something else than its role needs.
    NotEstimable
        No event of the cause, a covariate that does not vary, a monotone likelihood, one
        cluster, or a time without anybody under observation (delayed entry).

    Notes
    -----
    Fine & Gray (1999), Breslow's ties. R: `cmprsk::crr(time, event, X, cengroup)` with its
    robust variance, whose censoring term counts, with censoring groups, the events of the
    subject's own group only. Clusters: Zhou et al. (2012); strata: Zhou et al. (2011), with the
    censoring of each stratum. With delayed entry the weights are those of Geskus (2011) and the
    standard error takes them as known: `finegray(Surv(entry, time, factor(event)) ~ ., id)` and
    `coxph(..., ties = "breslow", weights = fgwt, cluster = id)` of R's survival.

    Examples
    --------
    >>> rows = pd.DataFrame(
    ...     {"t": [1, 2, 3, 4, 5, 6], "e": [1, 2, 1, 0, 1, 1], "x": [1, 0, 0, 0, 1, 1]}
    ... )
    >>> fine_gray("x", rows, "t", "e").coefficients["estimate"].round(3).tolist()
    [0.901]
    """
    check_level(level)
    cause = check_whole(cause, "cause", 1)
    also = [time, event, entry, weights, strata, censoring_group, cluster]
    require_columns(data, also)
    data, n_zero_weight = without_zero_weights(data, weights)
    built = design(formula, data, also, response=False, intercept=False)
    rows, terms = built.data, built.terms
    start, stop, code = survival_times(rows, time, event, entry)
    n = len(rows)
    weight = numbers(rows, weights) if weights is not None else np.ones(n)
    if not (code == cause).any():
        raise NotEstimable(f"no event of cause {cause} was observed: nothing can be estimated")
    x, centre, scale = _standardised(built.x, weight, terms)
    stratum, levels = (
        codes(rows, strata) if strata is not None else (np.zeros(n, np.int64), ["all"])
    )
    group = (
        codes(rows, censoring_group)[0] if censoring_group is not None else np.zeros(n, np.int64)
    )
    unit = cluster_codes(rows, cluster) if cluster is not None else np.arange(n)
    kind = np.where(code == cause, 1, np.where(code > 0, 2, 0))
    last = np.arange(n)
    if cluster is not None and entry is not None:
        start, last = _joined(unit, start, stop, kind, [*x.T, weight, stratum, group])
    order = last[np.lexsort((stop[last], stratum[last]))]  # in the order of time sums are fast
    x, weight, unit = np.asfortranarray(x[order]), weight[order], unit[order]
    start, stop, kind = start[order], stop[order], kind[order]
    stratum, group = stratum[order], group[order]
    sets = risk_sets(start, stop, kind, stratum, group, weight)
    null = moments(sets, x, weight, np.zeros(len(terms)))
    refuse_uninformed(null.information, terms)
    beta, fit, steps = _newton(sets, x, weight, null, terms)
    residual = score_residuals(sets, x, fit)
    if not sets.delayed:
        residual += censoring_residuals(sets, x, weight, stop, fit)
    naive = linalg.inv(fit.information)
    by_row = (residual * weight[:, None]) @ naive
    influence = sum_by(unit, by_row)
    covariance = influence.T @ influence
    wald = float(beta @ linalg.pinvh(covariance) @ beta)
    tests = np.array([2 * (fit.log_likelihood - null.log_likelihood), wald])
    std_error = np.sqrt(np.diag(covariance)) / scale
    return FineGrayResult(
        coefficients=coefficient_table(terms, beta / scale, std_error, np.inf, level),
        table=pd.DataFrame(
            {
                "test": ["pseudo-likelihood ratio", "wald"],
                "statistic": tests,
                "df": len(terms),
                "p_value": special.chdtrc(len(terms), tests),
            }
        ),
        covariance=pd.DataFrame(covariance / np.outer(scale, scale), index=terms, columns=terms),
        log_likelihood=fit.log_likelihood,
        diagnostics={
            "n_observations": n,
            "n_dropped": built.n_dropped,
            "n_zero_weight": n_zero_weight,
            "n_joined": n - len(order),
            "n_events": int((kind == 1).sum()),
            "n_competing_events": int((kind == 2).sum()),
            "n_clusters": int(unit.max()) + 1,
            "cause": cause,
            "ties": "breslow",
            "level": level,
            "variance": ("robust by cluster" if cluster is not None else "robust by row")
            + (", weights as known" if sets.delayed else ", with the censoring term"),
            "std_error_information": dict(
                zip(terms, np.sqrt(np.diag(naive)) / scale, strict=True)
            ),
            "log_likelihood_null": null.log_likelihood,
            "converged": True,
            "iterations": steps,
            "max_gradient": float(np.abs(fit.score).max()),
        },
        _fitted=Fitted(
            built, x, centre, scale, weight, start, stop, unit, sets, fit, beta, by_row,
            cause, strata, levels, level,
        ),
    )  # fmt: skip


def _joined(
    unit: Ints, start: Floats, stop: Floats, kind: Ints, same: Sequence[Floats | Ints]
) -> tuple[Floats, Ints]:
    """Start of each row and the rows to keep, once those that go on with another are one.

    A row goes on with the next of its unit that starts where it ends without an event and has the
    `same` columns: nobody is censored and nobody enters there.
    """
    order = np.lexsort((start, *same, unit))
    before, after = order[:-1], order[1:]
    goes_on = (unit[before] == unit[after]) & (stop[before] == start[after]) & (kind[before] == 0)
    for column in same:
        goes_on &= column[before] == column[after]
    first = np.r_[True, ~goes_on]
    piece = np.cumsum(first) - 1
    since = start.copy()
    since[order] = start[order[first]][piece]
    return since, order[np.r_[~goes_on, True]]


def _standardised(x: Floats, weight: Floats, terms: list[str]) -> tuple[Floats, Floats, Floats]:
    """Covariates less their mean in standard deviations, with both; refuses flat ones."""
    centre = weight @ x / weight.sum()
    moved = x - centre
    scale = np.sqrt(weight @ moved**2 / weight.sum())
    largest = np.abs(x).max(axis=0, initial=1.0)
    flat = [t for t, s, c in zip(terms, scale, largest, strict=True) if s <= 1e-12 * c]
    if flat:
        raise NotEstimable(f"{named(flat)} does not vary: leave it out")
    refuse_collinear(moved, terms)
    return moved / scale, centre, scale


def _newton(
    sets: RiskSets, x: Floats, weight: Floats, null: Moments, terms: list[str]
) -> tuple[Floats, Moments, int]:
    """Maximise the pseudo-likelihood (covariates in standard deviations)."""
    beta, fit = np.zeros(len(terms)), null
    unit = float(weight[sets.events].mean())  # the likelihood scales with the weights
    for step_number in range(1, MAX_STEPS + 1):
        try:
            step = linalg.cho_solve(linalg.cho_factor(fit.information), fit.score)
        except linalg.LinAlgError:
            raise _monotone(beta, terms) from None
        proposed = moments(sets, x, weight, beta + step)
        slack = 1e-13 * (unit + abs(fit.log_likelihood))
        halvings = 0
        while not (
            proposed.log_likelihood >= fit.log_likelihood - slack
            and np.isfinite(proposed.information).all()
        ):
            halvings += 1
            if halvings > 30:
                raise NotEstimable(
                    "the pseudo-likelihood could not be climbed: check the scale of the covariates"
                )
            step = step / 2
            proposed = moments(sets, x, weight, beta + step)
        gain = proposed.log_likelihood - fit.log_likelihood
        beta, fit = beta + step, proposed
        moved = float(np.abs(step).max())
        if moved < 1e-10 * (1 + float(np.abs(beta).max())) or (gain <= 0 and moved < 1e-8):
            if float(np.std(x @ beta)) > ENORMOUS:
                raise _monotone(beta, terms)
            return beta, fit, step_number
        if gain <= FLAT * (unit + abs(fit.log_likelihood)) and moved > STILL_MOVING:
            raise _monotone(step, terms)
    raise _monotone(beta, terms)


def _monotone(direction: Floats, terms: list[str]) -> NotEstimable:
    share = np.abs(direction) / np.abs(direction).max()
    loud = named(t for t, s in zip(terms, share, strict=True) if s > 0.1)
    return NotEstimable(
        f"the pseudo-likelihood is monotone: {loud} separates the events from the others, so "
        "its estimate is infinite; leave it out or join categories"
    )
