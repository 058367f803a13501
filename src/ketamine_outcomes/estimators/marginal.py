"""Population-averaged regression by generalised estimating equations.

statsmodels' GEE gives the fit and the sandwich covariances under working independence, where it
equals geepack and the Mancl-DeRouen formula; other working correlations use a different moment
estimator there and are not offered here. The reference distribution is t with
clusters - parameters degrees of freedom.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pandas as pd

from .inputs import codes, design, numbers, refuse_collinear
from .results import (
    Floats,
    InvalidInput,
    NotEstimable,
    Result,
    check_level,
    coefficient_table,
)

FAMILIES = {
    "gaussian": ("Gaussian", "identity"),
    "binomial": ("Binomial", "logit"),
    "poisson": ("Poisson", "log"),
    "quasipoisson": ("Poisson", "log"),
    "gamma": ("Gamma", "log"),
}
LINKS = {"identity": "Identity", "log": "Log", "logit": "Logit", "probit": "Probit"}
COVARIANCES = {"none": "robust", "mancl_derouen": "bias_reduced"}
EMPTY_CELL = 1e-7  # fitted mean, as a share of the overall mean, that means "no event here"


def gee(
    formula: str,
    data: pd.DataFrame,
    cluster: str | None,
    family: str,
    link: str | None = None,
    offset: str | None = None,
    corr: str = "independence",
    small_sample: str = "mancl_derouen",
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
        Column of the units that repeat; None for independent rows.
    family
        gaussian, binomial (response 0 / 1 or a share), poisson, quasipoisson (the robust
        standard error is that of poisson; the scale is reported), gamma.
    link
        identity, log, logit, probit; by default identity, logit, log, log, log.
    offset
        Column added to the linear predictor as it stands (log of the exposure for a log link).
    corr
        independence.
    small_sample
        mancl_derouen (Mancl & DeRouen 2001) or none (Liang & Zeger 1986).
    level
        Confidence level.

    Returns
    -------
    Result
        `.coefficients` on the scale of the link. `.diagnostics`: scale = sum of squared
        Pearson residuals / n (as geepack), n_clusters, std_error_none.

    Notes
    -----
    R: `geeglm(y ~ x, id = cluster, corstr = "independence")`; Mancl-DeRouen equals CR3 of
    clubSandwich for a linear model.

    Examples
    --------
    >>> rows = pd.DataFrame({"y": [1, 2, 3, 5], "id": [1, 1, 2, 2]})
    >>> gee("y ~ 1", rows, "id", "gaussian").coefficients["estimate"].round(6).tolist()
    [2.75]
    """
    check_level(level)
    _check_words(family, link, corr, small_sample)
    built = design(formula, data, [cluster, offset])
    if built.y is None:
        raise AssertionError("design() was asked for a response")
    x, y, terms = built.x, built.y, built.terms
    refuse_collinear(x, terms)
    unit = codes(built.data, cluster)[0] if cluster else np.arange(len(y))
    n_clusters = int(unit.max()) + 1
    df = n_clusters - x.shape[1]
    if df < 1:
        raise NotEstimable(
            f"{n_clusters} clusters cannot bear {x.shape[1]} parameters: take fewer terms"
        )
    _check_response(y, family)
    added = numbers(built.data, offset) if offset else None
    covariance, plain, fitted, beta = _fit(x, y, unit, family, link, added, small_sample)
    pearson = (y - fitted.fittedvalues) ** 2 / fitted.model.family.variance(fitted.fittedvalues)
    return Result(
        coefficients=coefficient_table(terms, beta, np.sqrt(np.diag(covariance)), df, level),
        covariance=pd.DataFrame(covariance, index=terms, columns=terms),
        diagnostics={
            "n_observations": len(y),
            "n_dropped": built.n_dropped,
            "n_clusters": n_clusters,
            "n_events": float(y.sum()) if family != "gaussian" else None,
            "family": family,
            "link": link or FAMILIES[family][1],
            "corr": corr,
            "small_sample": small_sample,
            "df_method": "clusters - parameters",
            "level": level,
            "scale": float(pearson.mean()),
            "std_error_none": dict(zip(terms, np.sqrt(np.diag(plain)), strict=True)),
            "converged": True,
        },
    )


def _check_words(family: str, link: str | None, corr: str, small_sample: str) -> None:
    if family not in FAMILIES:
        raise InvalidInput(f"family must be one of {', '.join(FAMILIES)}")
    if link is not None and link not in LINKS:
        raise InvalidInput(f"link must be one of {', '.join(LINKS)}")
    if corr != "independence":
        raise InvalidInput("corr must be independence")
    if small_sample not in COVARIANCES:
        raise InvalidInput(f"small_sample must be one of {', '.join(COVARIANCES)}")


def _check_response(y: Floats, family: str) -> None:
    if family == "binomial" and ((y < 0) | (y > 1)).any():
        raise InvalidInput("a binomial response must lie between 0 and 1")
    if family in ("poisson", "quasipoisson") and (y < 0).any():
        raise InvalidInput("a count response must be 0 or more")
    if family == "gamma" and (y <= 0).any():
        raise InvalidInput("a gamma response must be above 0: model the zeros apart")
    if np.ptp(y) == 0:
        raise NotEstimable("the response is constant: there is nothing to compare")


def _fit(
    x: Floats,
    y: Floats,
    unit: np.ndarray,
    family: str,
    link: str | None,
    offset: Floats | None,
    small_sample: str,
) -> tuple[Floats, Floats, Any, Floats]:
    import statsmodels.api as sm  # lazy: 4 s

    kind, usual = FAMILIES[family]
    chosen = getattr(sm.families.links, LINKS[link or usual])()
    scale = np.sqrt((x**2).mean(axis=0))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # convergence and domain are checked below
        model = sm.GEE(
            y,
            x / scale,
            groups=unit,
            family=getattr(sm.families, kind)(chosen),
            offset=offset,
            cov_struct=sm.cov_struct.Independence(),
        )
        try:
            fitted = model.fit(maxiter=200, ctol=1e-10, cov_type=COVARIANCES[small_sample])
        except (np.linalg.LinAlgError, ValueError, FloatingPointError):
            raise NotEstimable("the estimating equations have no solution here") from None
    beta = np.asarray(fitted.params, float)
    fit_mean = np.asarray(fitted.fittedvalues, float)
    empty = EMPTY_CELL * float(y.mean())
    separated = family != "gaussian" and bool((fit_mean < empty).any())
    separated |= family == "binomial" and bool((fit_mean > 1 - EMPTY_CELL).any())
    if separated:
        raise NotEstimable(
            "a combination of the terms has no events (or only events), so an estimate is "
            "infinite: merge groups, or give the group its exact bound"
        )
    if not fitted.converged or not np.isfinite(beta).all():
        raise NotEstimable("the estimating equations did not converge: take fewer terms")
    name = "cov_robust_bc" if small_sample == "mancl_derouen" else "cov_robust"
    rescale = np.outer(scale, scale)
    covariance = np.asarray(getattr(fitted, name), float) / rescale
    plain = np.asarray(fitted.cov_robust, float) / rescale
    if not np.isfinite(covariance).all():
        raise NotEstimable(
            "one cluster alone determines a term, so its bias-reduced standard error does not "
            "exist: leave the term out"
        )
    return covariance, plain, fitted, beta / scale
