"""Population-averaged regression by generalised estimating equations.

The equations are solved here (estimating_equations.py): statsmodels' GEE equals R's geepack only
under working independence; its moment estimates of the other working correlations subtract the
number of parameters, and its bias-reduced covariance inverts a matrix as large as the cluster.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
from scipy import special

from . import estimating_equations, logistic_firth
from .design_matrix import orthonormal, refuse_collinear
from .estimating_equations import POWERS, Clusters, Fit, Problem
from .families import check_response, find_family, find_link
from .formulas import Design, design
from .inputs import codes, numbers, without_zero_weights
from .results import (
    Floats,
    Ints,
    InvalidInput,
    NotEstimable,
    Result,
    as_float,
    check_choice,
    check_flag,
    check_level,
    coefficient_table,
)

ALONE = 1e-7  # robust over model-based error that only rounding keeps from 0
CORRELATIONS = ("independence", "exchangeable", "ar1")


def gee(
    formula: str,
    data: pd.DataFrame,
    cluster: str | None,
    family: str,
    link: str | None = None,
    offset: str | None = None,
    weights: str | None = None,
    time: str | None = None,
    scale: float | None = None,
    corr: str = "independence",
    small_sample: str = "mancl_derouen",
    firth: bool = False,
    level: float = 0.95,
) -> Result:
    """Fit a marginal model with cluster-robust, bias-reduced standard errors.

    Parameters
    ----------
    formula
        Response and terms, such as "count ~ post * arm".
    data
        One row per measurement.
    cluster
        Column of the units that repeat; None for independent rows (each its own cluster).
    family
        gaussian, binomial (response 0 / 1, or the share of events with the trials as weights),
        poisson, quasipoisson (poisson with a free scale), gamma, tweedie(1.5) (any power above 1).
    link
        identity, log, inverse, sqrt; binomial: logit, probit, cloglog, cauchit, log, identity. By
        default identity (gaussian), logit (binomial), log (the others, gamma too).
    offset
        Column added to the linear predictor as it stands (log of the exposure for a log link).
    weights
        Column of prior weights: the variance of a row is divided by its weight. Rows of weight 0
        are left out.
    time
        Column that orders the rows of a cluster under corr="ar1" (the order of the rows if None).
        Its distinct values are the waves 1, 2, ...; a wave that a cluster lacks leaves a gap.
    scale
        None estimates it as sum(weight * r^2) / sum(weight), r the Pearson residual; a number
        fixes it.
    corr
        independence, exchangeable or ar1: the working correlation within a cluster.
    small_sample
        mancl_derouen (Mancl & DeRouen 2001), kauermann_carroll (Kauermann & Carroll 2001) or none
        (Liang & Zeger 1986).
    firth
        Penalised logistic likelihood for rare events and separation: binomial, logit link,
        independent rows. The interval and the test are those of its profile.
    level
        Confidence level.

    Returns
    -------
    Result
        `.coefficients` on the scale of the link, t distribution with clusters - parameters degrees
        of freedom. `.table`: the same for every covariance (model_based, none, kauermann_carroll,
        mancl_derouen). `.diagnostics`: scale, alpha (working correlation), deviance, n_clusters.
        With firth: penalised likelihood-ratio tests (of all terms at once in `.table`).

    Raises
    ------
    InvalidInput
        Columns, words or combinations that do not exist, a response outside the family, two rows
        of a cluster in one wave.
    NotEstimable
        Fewer clusters than parameters + 1, a constant response, a cell without events, a working
        correlation outside its range, no convergence, a term that one cluster alone determines,
        clusters that are all alike.

    Notes
    -----
    R: `geeglm(y ~ x, id = cluster, corstr = corr, waves = time, scale.fix = ...)` of geepack.
    With independence, none / kauermann_carroll / mancl_derouen are CR0 / CR2 / CR3 of clubSandwich,
    and HC0 / HC2 / HC3 of sandwich for independent rows, where model_based is `summary(glm)`
    (normal when the scale is known: binomial, poisson, or a fixed scale). firth: `logistf`.

    Examples
    --------
    >>> rows = pd.DataFrame({"y": [1, 2, 3, 5], "id": [1, 1, 2, 2]})
    >>> gee("y ~ 1", rows, "id", "gaussian").coefficients["estimate"].round(6).tolist()
    [2.75]
    """
    check_level(level)
    check_flag(firth, "firth")
    kind = find_family(family)
    link_name, link_functions = find_link(link, kind)
    _check_words(corr, small_sample, cluster, scale)
    if firth and (kind.name != "binomial" or link_name != "logit" or cluster is not None):
        raise InvalidInput("firth=True is for binomial, logit and cluster=None only")
    waves = time if corr == "ar1" else None
    data, n_zero_weight = without_zero_weights(data, weights)
    built, y, prior, added = _read(formula, data, [cluster, waves], offset, weights)
    check_response(y, kind)
    refuse_collinear(built.x, built.terms)
    facts: dict[str, object] = {
        "n_observations": len(y),
        "n_dropped": built.n_dropped,
        "n_zero_weight": n_zero_weight,
        "n_events": float(prior @ y) if kind.low == 0 else None,
        "family": kind.name,
        "link": link_name,
        "level": level,
        "converged": True,
    }
    if firth:
        return _firth(built, logistic_firth.Rows(built.x, y, prior, added), level, facts)
    if np.ptp(y) == 0 and (np.ptp(added) == 0 or y[0] in (kind.low, kind.high)):
        raise NotEstimable("the response is constant: there is nothing to compare")
    order, clusters = _clusters(built.data, cluster, waves)
    n_clusters, p = len(clusters.first), built.x.shape[1]
    df = n_clusters - p
    if df < 1:
        raise NotEstimable(f"{n_clusters} clusters cannot bear {p} parameters: take fewer terms")
    back = orthonormal(built.x)
    x, y, prior, added = (built.x @ back)[order], y[order], prior[order], added[order]
    problem = Problem(x, y, prior, added, kind, link_functions, clusters, corr, scale)
    fit = estimating_equations.solve(problem)
    model = _model_based(problem, fit, independent=cluster is None)
    tables = {"model_based": _table(built.terms, back, fit.beta, *model, level)}
    for name, covariance in fit.covariance.items():
        tables[name] = _table(built.terms, back, fit.beta, covariance, df, level)
    usual = tables["model_based"]["std_error"]
    if small_sample not in tables or (tables[small_sample]["std_error"] < ALONE * usual).any():
        raise NotEstimable(
            "the cluster-robust standard error of a term does not exist: one cluster alone "
            "determines it, or all clusters are alike; leave the term out"
        )
    chosen = fit.covariance[small_sample]
    return Result(
        coefficients=tables[small_sample],
        table=pd.concat(
            [t.assign(method=name)[["method", *t.columns]] for name, t in tables.items()],
            ignore_index=True,
        ),
        covariance=pd.DataFrame(back @ chosen @ back.T, index=built.terms, columns=built.terms),
        diagnostics={
            **facts,
            "n_clusters": n_clusters,
            "corr": corr,
            "alpha": fit.alpha,
            "scale": fit.scale,
            "deviance": fit.deviance,
            "small_sample": small_sample,
            "df_method": "clusters - parameters",
        },
    )


def _check_words(corr: str, small_sample: str, cluster: str | None, scale: float | None) -> None:
    check_choice(corr, CORRELATIONS, "corr")
    if corr != "independence" and cluster is None:
        raise InvalidInput(f"corr={corr!r} needs cluster, the column of the units that repeat")
    check_choice(small_sample, POWERS, "small_sample")
    if scale is not None and (not 0 < as_float(scale) < np.inf):
        raise InvalidInput("scale must be a number above 0, or None to estimate it")


def _read(
    formula: str,
    data: pd.DataFrame,
    also: list[str | None],
    offset: str | None,
    weights: str | None,
) -> tuple[Design, Floats, Floats, Floats]:
    """Design, response, weights and offset of the rows that are complete."""
    built = design(formula, data, [*also, offset, weights])
    if built.y is None:
        raise AssertionError("design() was asked for a response")
    prior = numbers(built.data, weights) if weights is not None else np.ones(len(built.y))
    added = numbers(built.data, offset) if offset is not None else np.zeros(len(built.y))
    return built, built.y, prior, added


def _clusters(rows: pd.DataFrame, cluster: str | None, waves: str | None) -> tuple[Ints, Clusters]:
    """The order that sorts rows by cluster and wave, and the clusters in that order."""
    n = len(rows)
    if cluster is None:
        each = np.arange(n)
        return each, Clusters(each, np.ones(n, np.int64), np.zeros(n, np.int64))
    unit = codes(rows, cluster)[0]
    wave = codes(rows, waves)[0] if waves else np.arange(n)
    order = np.lexsort((wave, unit))
    unit, wave = unit[order], wave[order]
    first = np.flatnonzero(np.diff(unit, prepend=-1))
    size = np.diff(first, append=n)
    if waves is None:
        wave = np.arange(n) - np.repeat(first, size)
    elif ((np.diff(wave) == 0) & (np.diff(unit) == 0)).any():
        raise InvalidInput(f"two rows of one cluster have the same {waves!r}: ar1 needs one each")
    return order, Clusters(first, size, wave)


def _model_based(problem: Problem, fit: Fit, independent: bool) -> tuple[Floats, float]:
    """Covariance if the working variance is true, and degrees of freedom of its statistics."""
    df = float(len(problem.clusters.first) - problem.x.shape[1])
    if not independent:
        return fit.model_based * fit.scale, df
    if problem.scale is not None or problem.family.dispersion_one:
        return fit.model_based * (problem.scale or 1.0), np.inf
    return fit.model_based * fit.scale * problem.weights.sum() / df, df


def _table(
    terms: list[str], back: Floats, beta: Floats, covariance: Floats, df: float, level: float
) -> pd.DataFrame:
    error = np.sqrt(np.einsum("ij,jk,ik->i", back, covariance, back).clip(min=0.0))
    return coefficient_table(terms, back @ beta, error, df, level)


def _firth(
    built: Design, rows: logistic_firth.Rows, level: float, facts: dict[str, object]
) -> Result:
    size = np.sqrt((rows.x**2).mean(axis=0))
    rows = replace(rows, x=rows.x / size)
    fit = logistic_firth.fit(rows, level)
    terms, peak = built.terms, fit.peak
    covariance = np.linalg.inv(peak.information) / np.outer(size, size)
    table = coefficient_table(terms, peak.beta / size, np.sqrt(np.diag(covariance)), np.inf, level)
    table["statistic"] = fit.likelihood_ratio
    table["df"] = 1.0
    table["p_value"] = special.chdtrc(1, fit.likelihood_ratio)
    table["ci_low"], table["ci_high"] = fit.low / size, fit.high / size
    intercept = [i for i, term in enumerate(terms) if term == "Intercept"]
    df = len(terms) - len(intercept)
    whole = logistic_firth.whole_model(rows, peak, intercept)
    test = {"test": ["likelihood ratio"], "statistic": whole, "df": df}
    return Result(
        coefficients=table,
        table=pd.DataFrame({**test, "p_value": special.chdtrc(df, whole)} if df else {}),
        covariance=pd.DataFrame(covariance, index=terms, columns=terms),
        log_likelihood=peak.value + float(np.log(size).sum()),
        diagnostics={
            **facts,
            "penalty": "firth",
            "interval": "profile penalised likelihood",
            "statistic": "penalised likelihood ratio (chi-square, 1 df)",
        },
    )
