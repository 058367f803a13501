"""Linear mixed models: random effects per cluster, clusters within an outer grouping.

statsmodels MixedLM has no small-sample degrees of freedom, standard errors that are not the
GLS ones, and a default optimiser that can stop far from the maximum; this fit equals lme4,
lmerTest and pbkrtest.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from .design_matrix import refuse_collinear
from .formulas import Design, design, formula_columns
from .inputs import numbers, require_columns, without_zero_weights
from .mixed_factor import SINGULAR
from .mixed_inference import SmallSample, kenward_roger, satterthwaite, uncorrected
from .mixed_likelihood import Criterion, evaluate, weighted_columns
from .mixed_optimise import Optimum, minimise
from .mixed_profile import Fitted, inverse, triangular
from .mixed_result import LinearMixedResult, variance_components
from .mixed_serial_fit import Rows, Scale, is_serial, serial_result, times
from .mixed_sums import cross_products, merged
from .mixed_units import Units, number_units
from .results import (
    Floats,
    InvalidInput,
    NotEstimable,
    check_choice,
    check_flag,
    check_level,
    coefficient_table,
)

__all__ = ["LinearMixedResult", "linear_mixed"]

NO_EFFECT = (
    "random needs at least one effect, such as '1': without one, use gee(), a linear model, or "
    "random='0' with residual='ar1' or 'car1'"
)
LARGEST = 1e150  # of the response, for variances to stay numbers
METHODS = ("kenward_roger", "satterthwaite", "normal")


def linear_mixed(
    formula: str,
    data: pd.DataFrame,
    cluster: str,
    random: str = "1",
    outer: str | None = None,
    reml: bool = True,
    df: str = "kenward_roger",
    weights: str | None = None,
    residual: str = "independent",
    time: str | None = None,
    level: float = 0.95,
) -> LinearMixedResult:
    """Fit y = X beta + Z b + a + e by restricted (or full) maximum likelihood.

    Parameters
    ----------
    formula
        Fixed effects with the response, such as "pain ~ week * route".
    data
        One row per measurement; rows with a missing value are left out and counted.
    cluster
        Column of the units that repeat (patients).
    random
        Random effects b per cluster: "1", "1 + x" (correlated), "1 + x ||" (uncorrelated); "0",
        with serial correlation only: generalised least squares.
    outer
        Column of a grouping above the clusters (centres), which takes a random intercept a. A
        cluster is one label of `cluster` within one of `outer`: the same label in two outer
        groups counts as two clusters, and is reported.
    reml
        Restricted likelihood.
    df
        kenward_roger (adjusts the standard errors too; REML only: a fit by maximum likelihood
        takes satterthwaite, as `.diagnostics["df_method"]` says), satterthwaite or normal.
    weights
        Column of prior weights: the residual variance of a row is sigma2 / weight. Rows of
        weight 0 are left out.
    residual
        independent, ar1 or car1: the residuals of a cluster have correlation phi^|difference of
        their times|; ar1 for whole-number times and phi in (-1, 1), car1 for continuous time and
        phi in (0, 1). Not together with `outer`.
    time
        Column of the times, distinct within a cluster; ar1 without it takes the order of the rows.
    level
        Confidence level.

    Returns
    -------
    LinearMixedResult
        `.table` has the variance components in squared units of the response. `.log_likelihood`
        as lme4 (restricted when `reml`). `.diagnostics`: `variance_components`, `correlations`,
        `outer_variance`, `residual_variance`, `singular` (a variance or a combination of effects
        is estimated as 0), `max_gradient`, `decrement` (distance to the minimum in standard
        errors), `min_curvature` and `boundary_slope` that prove the minimum, aic, bic. With
        serial correlation also `phi` (over one unit of time; its interval is in `.table`),
        `correlation_identified` and `correlation_at_boundary`.

    Raises
    ------
    InvalidInput
        Unknown column or word, values that are not finite, negative weights.
    NotEstimable
        One cluster, not more rows than random effects, collinear terms, an exact fit, or no
        convergence.

    Notes
    -----
    R: `lmer(y ~ x + (1 | outer) + (1 + x | outer:cluster), REML = reml, weights = w)`; Kenward &
    Roger (1997) as pbkrtest (with weights: of the rows times the root of their weight),
    Satterthwaite as lmerTest. With serial correlation: `nlme::lme(y ~ x, random = ~ 1 + x |
    cluster, correlation = corAR1(form = ~ time | cluster))`, corCAR1, or `nlme::gls`; without the
    factor sqrt(n / (n - p)) that nlme puts on the standard errors of an ML fit.

    Examples
    --------
    >>> rows = pd.DataFrame({"y": [1, 2, 3, 3, 4, 6.0], "x": [0, 1] * 3, "id": [1, 1, 2, 2, 3, 3]})
    >>> linear_mixed("y ~ x", rows, "id").coefficients["df"].round(6).tolist()
    [2.322206, 2.0]
    """
    check_level(level)
    check_choice(df, METHODS, "df")
    check_flag(reml, "reml")
    if df == "kenward_roger" and not reml:
        df = "satterthwaite"  # Kenward-Roger does not exist by maximum likelihood
    serial = is_serial(residual, time, outer)
    text, correlated = _random(random, serial)
    require_columns(data, [cluster, outer, weights, time])
    data, n_zero = without_zero_weights(data, weights)
    built = design(formula, data, [cluster, outer, weights, time, *formula_columns(text)])
    x, y, z, effects = built.x, built.y, *_random_columns(text, built.data)
    if y is None:
        raise AssertionError("design() was asked for a response")
    units = number_units(built.data, cluster, outer)
    root = None
    if weights is not None:
        root = np.sqrt(numbers(built.data, weights))
        x, y, z = x * root[:, None], y * root, z * root[:, None]
    info = {
        "n_observations": len(y),
        "n_dropped": built.n_dropped,
        "n_zero_weight": n_zero,
        "n_clusters": units.n,
        "n_outer": 0 if units.outer_index is None else len(units.outer_index),
        "clusters_share_labels": units.shared,
        "reml": reml,
        "df_method": df,
        "level": level,
    }
    r_x, r_z = refuse_collinear(x, built.terms), _random_factor(z, effects)
    _check_sizes(x, z, units, correlated)

    # working scales: near-orthonormal fixed effects, response less its OLS fit in units of its
    # own spread, random columns orthonormal too; all undone below
    unmix = inverse(r_x)
    ols, rest, spread = _ols(x, y, unmix)
    template = np.eye(z.shape[1], dtype=bool)
    gram = r_z.T @ r_z / len(y)
    triangle = np.diag(np.sqrt(np.diag(gram)))
    if correlated:
        template, triangle = np.tril(np.ones_like(template)), triangular(gram)
    if serial:
        scale = Scale(r_x, unmix, ols, spread, triangle)
        when, z = times(built.data, time), z @ inverse(triangle)
        rows = Rows(x @ unmix, rest, z, template, units.codes, when, root, residual)
        return serial_result(rows, scale, built, effects, units.index, info)
    sums = cross_products(x, z, rest, units.codes, unmix, inverse(triangle), root, units.outer_of)
    criterion = Criterion(merged(sums), template, reml)
    best = minimise(criterion)
    alike = criterion.sums is sums
    fitted = Fitted(
        criterion=criterion,
        best=best,
        sums=sums,
        each=best.at if alike else evaluate(sums, best.at.factor, best.at.tau),
        triangle=triangle,
        spread=spread,
        unscale=unmix * spread,
        shift=ols,
        terms=built.terms,
        effects=effects,
        cluster=cluster,
        outer=outer,
    )
    return _result(fitted, _small_sample(criterion, best, df), built, units, r_x, info)


def _random(random: str, serial: bool) -> tuple[str, bool]:
    if not isinstance(random, str):
        raise InvalidInput("random must be text such as '1' or '1 + x'")
    text = random.strip()
    if serial and text in ("0", "-1"):
        return "0", False
    correlated = not text.endswith("||")
    text = text if correlated else text[:-2].strip()
    if text in ("", "0", "-1"):
        raise InvalidInput(NO_EFFECT)
    if "|" in text:
        raise InvalidInput("random is '1', '1 + x' or '1 + x ||'; the group goes to `cluster`")
    return text, correlated


def _random_columns(text: str, data: pd.DataFrame) -> tuple[Floats, list[str]]:
    if text == "0":
        return np.empty((len(data), 0)), []
    if text == "1":
        return np.ones((len(data), 1)), ["Intercept"]
    built = design(text, data, response=False)
    if not built.terms:
        raise InvalidInput(NO_EFFECT)
    return built.x, built.terms


def _random_factor(z: Floats, effects: list[str]) -> Floats:
    return refuse_collinear(z, effects) if effects else np.empty((0, 0))


def _check_sizes(x: Floats, z: Floats, units: Units, correlated: bool) -> None:
    n, q = z.shape
    if q and units.n < 2:
        raise NotEstimable("one cluster only: a variance between clusters needs several")
    each = q if correlated else 1
    if q and n <= units.n * each:
        raise NotEstimable(
            f"{n} rows for {units.n} clusters with {each} random effects each: they cannot be "
            "told from the residual; take fewer random effects or one value per cluster"
        )
    if n <= x.shape[1] + 1:
        raise NotEstimable(f"{n} rows cannot bear {x.shape[1]} fixed effects and a variance")
    if units.outer_index is not None:
        if len(units.outer_index) < 2:
            raise NotEstimable("one outer group only: a variance between them needs several")
        if len(units.outer_index) == units.n:
            raise NotEstimable(
                "every outer group holds one cluster: leave `outer` out, the two variances "
                "cannot be told apart"
            )


def _ols(x: Floats, y: Floats, unmix: Floats) -> tuple[Floats, Floats, float]:
    """Least-squares coefficients, residuals over their root mean square, and the latter."""
    size = float(np.abs(y).max())
    if size > LARGEST or 0 < size < 1 / LARGEST:
        raise InvalidInput("the square of the response is not a number: take another unit")
    y = y / (size or 1.0)
    beta = unmix @ (unmix.T @ (x.T @ y))
    rest = y - x @ beta
    spread = float(np.sqrt(rest @ rest / len(y)))
    if spread <= 1e-6:  # rounding matters: once more
        more = unmix @ (unmix.T @ (x.T @ rest))
        beta, rest = beta + more, rest - x @ more
        spread = float(np.sqrt(rest @ rest / len(y)))
    if spread <= 1e-10:
        raise NotEstimable("the fixed effects fit the response exactly: no variance is left")
    return beta * size, rest / spread, spread * size


def _small_sample(criterion: Criterion, best: Optimum, method: str) -> SmallSample:
    if method == "kenward_roger":
        return kenward_roger(criterion, best)
    if method == "satterthwaite":
        return satterthwaite(criterion, best)
    return uncorrected(best.at.inverse_information * best.at.residual_ss / criterion.df)


def _result(
    fitted: Fitted,
    small: SmallSample,
    built: Design,
    units: Units,
    r_x: Floats,
    info: dict[str, Any],
) -> LinearMixedResult:
    """Undo the working scales."""
    criterion, best, unscale = fitted.criterion, fitted.best, fitted.unscale
    at, terms, spread = best.at, fitted.terms, fitted.spread
    shift = 2 * float(np.log(np.abs(np.diag(r_x))).sum()) if criterion.reml else 0.0
    shift += 2 * criterion.df * float(np.log(spread))
    log_likelihood = -0.5 * (criterion.deviance(at) + shift)
    beta = unscale @ at.beta + fitted.shift
    covariance = unscale @ small.covariance @ unscale.T
    ddf = np.array([small.df(row) for row in unscale])
    if not (np.isfinite(covariance).all() and (np.diag(covariance) > 0).all() and (ddf > 0).all()):
        raise NotEstimable(
            "the small-sample correction does not exist here: too few clusters for these terms, "
            "or a term that is constant inside every cluster; take fewer terms"
        )
    back = inverse(fitted.triangle)
    modes, outer_modes = _modes(fitted)
    outer_effects = pd.DataFrame()
    if units.outer_index is not None:
        outer_effects = pd.DataFrame({"Intercept": outer_modes * spread}, index=units.outer_index)
    n, k = info["n_observations"], len(beta) + best.theta.size + 1
    residual, factor = float(at.residual_ss / criterion.df * spread**2), back @ at.factor
    parts, table = variance_components(
        residual * factor @ factor.T, residual, fitted.effects, fitted.cluster,
        not criterion.uncorrelated,
        None if fitted.outer is None else (fitted.outer, at.tau * residual),
    )  # fmt: skip
    return LinearMixedResult(
        coefficients=coefficient_table(
            terms, beta, np.sqrt(np.diag(covariance)), ddf, info["level"]
        ),
        covariance=pd.DataFrame(covariance, index=terms, columns=terms),
        table=table,
        log_likelihood=log_likelihood,
        diagnostics={
            **info,
            **parts,
            "n_parameters": k,
            "aic": -2 * log_likelihood + 2 * k,
            "bic": -2 * log_likelihood + float(np.log(n)) * k,
            "std_error_gls": dict(
                zip(terms, np.sqrt(np.diag(unscale @ small.plain @ unscale.T)), strict=True)
            ),
            "converged": True,
            "singular": best.singular,
            "singular_tolerance": SINGULAR,
            "max_gradient": best.max_gradient,
            "decrement": best.decrement,
            "min_curvature": best.min_curvature,
            "boundary_slope": best.boundary_slope,
        },
        random_effects=pd.DataFrame(
            modes @ (back.T * spread), index=units.index, columns=fitted.effects
        ),
        outer_effects=outer_effects,
        # the rows themselves are not kept
        _new=replace(built, x=np.empty((0, 0)), y=None, data=pd.DataFrame()).new,
        _small=small,
        _unscale=unscale,
        _fitted=fitted,
    )


def _modes(fitted: Fitted) -> tuple[Floats, Floats]:
    """Conditional modes of the clusters (K, q) and the outer groups (J,), working scales."""
    at, sums = fitted.each, fitted.sums
    mix = at.contrast[:, None]
    u = np.concatenate(
        [weighted_columns(sums, at, block, mix)[:, 0] for block in sums.blocks()], axis=1
    )
    outer = at.tau * (at.contrast @ at.b) / (1 + at.tau * at.a)
    return u.T @ (at.factor @ at.factor.T), outer
