"""Linear mixed models with one grouping factor.

statsmodels MixedLM has no small-sample degrees of freedom, standard errors that are not the
GLS ones, and a default optimiser that can stop far from the maximum; this fit equals lme4,
lmerTest and pbkrtest.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy import linalg, special

from .inputs import Design, codes, design, formula_columns, refuse_collinear
from .mixed_inference import SmallSample, kenward_roger, satterthwaite
from .mixed_likelihood import Criterion, Evaluation, cross_products
from .mixed_optimise import SINGULAR, Optimum, minimise
from .results import (
    Floats,
    InvalidInput,
    NotEstimable,
    Result,
    check_level,
    coefficient_table,
)

METHODS = ("kenward_roger", "satterthwaite", "normal")


@dataclass(frozen=True, eq=False)
class LinearMixedResult(Result):
    """A fitted linear mixed model.

    Attributes
    ----------
    random_effects
        Conditional modes (BLUPs): one row per cluster, one column per random term.
    """

    random_effects: pd.DataFrame = field(default_factory=pd.DataFrame)
    _built: Design | None = None
    _small: SmallSample | None = None
    _unscale: Floats | None = None  # beta = _unscale @ (coefficients of the working design)

    def contrast(
        self, weights: ArrayLike | Mapping[str, Mapping[str, float]], level: float | None = None
    ) -> pd.DataFrame:
        """Linear combinations of the fixed effects.

        Parameters
        ----------
        weights
            One row of numbers per contrast, in the order of `.coefficients`; or
            {name: {term: weight}}.
        level
            Confidence level; that of the fit by default.

        Returns
        -------
        DataFrame
            The columns of `.coefficients`; `term` is the name or number of the contrast.
        """
        matrix, names = self._matrix(weights)
        small, unscale = self._parts()
        estimate = matrix @ self.coefficients["estimate"].to_numpy(float)
        working = matrix @ unscale
        std_error = np.sqrt(np.einsum("ia,ab,ib->i", working, small.covariance, working))
        df = np.array([small.df(row) if row.any() else np.nan for row in working])
        return coefficient_table(names, estimate, std_error, df, self._level(level))

    def joint_test(self, weights: ArrayLike) -> pd.DataFrame:
        """F test that all rows of a contrast matrix are zero.

        Returns
        -------
        DataFrame
            statistic (F; scaled under Kenward-Roger), df, df_denominator, p_value.

        Notes
        -----
        R: `pbkrtest::KRmodcomp(m, L)`; `lmerTest::contest(m, L)` (Fai & Cornelius 1996).
        """
        matrix, _ = self._matrix(weights)
        small, unscale = self._parts()
        working = matrix @ unscale
        q = len(matrix)
        if np.linalg.matrix_rank(working) < q:
            raise InvalidInput("the rows of the contrast matrix depend on each other")
        estimate = matrix @ self.coefficients["estimate"].to_numpy(float)
        covariance = working @ small.covariance @ working.T
        f = float(estimate @ np.linalg.solve(covariance, estimate)) / q
        if small.method == "kenward_roger":
            df, scaling = small.joint_df(working)
            f *= scaling
        elif small.method == "satterthwaite":
            _, vectors = np.linalg.eigh(covariance)
            df = _fai_cornelius(np.array([small.df(row) for row in vectors.T @ working]))
        else:
            df = float("inf")
        p = special.fdtrc(q, df, f) if np.isfinite(df) else special.chdtrc(q, q * f)
        return pd.DataFrame(
            {"statistic": [f], "df": [q], "df_denominator": [df], "p_value": [float(p)]}
        )

    def predict(
        self, new_data: pd.DataFrame, ci: bool = True, level: float | None = None
    ) -> pd.DataFrame:
        """Population mean (random effects at 0) for new rows.

        Returns
        -------
        DataFrame
            estimate, and with `ci` also std_error, df, ci_low, ci_high; the index of new_data.
        """
        if self._built is None:
            raise InvalidInput("this result was not made by linear_mixed")
        table = self.contrast(self._built.new(new_data), level)
        table.index = new_data.index
        columns = ["estimate", "std_error", "df", "ci_low", "ci_high"] if ci else ["estimate"]
        return table[columns]

    def _parts(self) -> tuple[SmallSample, Floats]:
        if self._small is None or self._unscale is None:
            raise InvalidInput("this result was not made by linear_mixed")
        return self._small, self._unscale

    def _level(self, level: float | None) -> float:
        return check_level(self.diagnostics["level"] if level is None else level)

    def _matrix(
        self, weights: ArrayLike | Mapping[str, Mapping[str, float]]
    ) -> tuple[Floats, Sequence[str]]:
        terms = list(self.coefficients["term"])
        if isinstance(weights, Mapping):
            unknown = sorted({t for w in weights.values() for t in w} - set(terms))
            if unknown:
                raise InvalidInput(f"no term {', '.join(map(repr, unknown))} in the model")
            rows = [[float(w.get(t, 0.0)) for t in terms] for w in weights.values()]
            return np.array(rows).reshape(-1, len(terms)), list(weights)
        matrix = np.atleast_2d(np.asarray(weights, float))
        if matrix.shape[1] != len(terms):
            raise InvalidInput(f"a contrast needs {len(terms)} weights, one per term")
        return matrix, [str(i + 1) for i in range(len(matrix))]


def _fai_cornelius(df: Floats) -> float:
    if np.ptp(df) < 1e-8:
        return float(df.mean())
    if (df <= 2).any():
        return 2.0
    total = float((df / (df - 2)).sum())
    return 2 * total / (total - df.size)


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
    """Fit y = X beta + Z b + e by restricted (or full) maximum likelihood.

    Parameters
    ----------
    formula
        Fixed effects with the response, such as "pain ~ week * route".
    data
        One row per measurement; rows with a missing value are left out and counted.
    cluster
        Column of the units that repeat (patients).
    random
        Random effects per cluster: "1", "1 + x" (correlated), "1 + x ||" (uncorrelated).
    reml
        Restricted likelihood. Kenward-Roger needs it.
    df
        kenward_roger (adjusts the standard errors too), satterthwaite or normal.
    level
        Confidence level.

    Returns
    -------
    LinearMixedResult
        `.log_likelihood` as lme4 (restricted when `reml`). `.diagnostics`: variance components
        (`variance_components` in squared units of the response, `correlations`,
        `residual_variance`), `singular` (a variance or a combination of effects is estimated
        as 0), `max_gradient` and `boundary_slope` of the converged criterion, aic, bic.

    Notes
    -----
    R: `lmer(y ~ x + (1 + x | cluster), REML = reml)`; Kenward & Roger (1997) as pbkrtest,
    Satterthwaite as lmerTest.

    Examples
    --------
    >>> rows = pd.DataFrame({"y": [1, 2, 3, 3, 4, 6.0], "x": [0, 1] * 3, "id": [1, 1, 2, 2, 3, 3]})
    >>> linear_mixed("y ~ x", rows, "id").coefficients["df"].round(6).tolist()
    [2.322206, 2.0]
    """
    check_level(level)
    if residual != "independent" or time is not None:
        raise InvalidInput("residual must be 'independent'")
    if outer is not None or weights is not None:
        raise InvalidInput("outer and weights are not available yet")
    if df not in METHODS:
        raise InvalidInput(f"df must be one of {', '.join(METHODS)}")
    if df == "kenward_roger" and not reml:
        raise InvalidInput("Kenward-Roger is defined for REML fits: use df='satterthwaite'")
    text, correlated = _random(random)
    built = design(formula, data, [cluster, *formula_columns(text)])
    unit, labels = codes(built.data, cluster)
    effects = design(text, built.data, [cluster], response=False)
    x, y, z = built.x, built.y, effects.x
    if y is None:
        raise AssertionError("design() was asked for a response")
    _check_sizes(x, z, len(labels), built.terms, effects.terms)

    # working scales: orthonormal fixed effects, response less its OLS fit in units of its own
    # spread, random columns of unit length; all undone below
    q_x, r_x = np.linalg.qr(x)
    ols = q_x.T @ y
    residual = y - q_x @ ols
    spread = float(np.sqrt(residual @ residual / len(y)))
    if spread <= 1e-10 * max(1e-300, float(np.abs(y).max())):
        raise NotEstimable("the fixed effects fit the response exactly: no variance is left")
    z_scale = np.sqrt((z**2).mean(axis=0))
    sums = cross_products(q_x, z / z_scale, residual / spread, unit)
    template = (
        np.tril(np.ones((z.shape[1],) * 2, bool)) if correlated else np.eye(z.shape[1], dtype=bool)
    )
    criterion = Criterion(sums, template, reml)
    best = minimise(criterion)
    small = _small_sample(criterion, best, df)
    unscale = linalg.solve_triangular(r_x, np.eye(len(r_x))) * spread
    shift = 2 * float(np.log(np.abs(np.diag(r_x))).sum()) if reml else 0.0
    shift += 2 * criterion.df * float(np.log(spread))
    log_likelihood = -0.5 * (criterion.deviance(best.at) + shift)

    beta = linalg.solve_triangular(r_x, ols + best.at.beta * spread)
    covariance = unscale @ small.covariance @ unscale.T
    rows = np.linalg.solve(r_x.T, np.eye(len(r_x))).T * spread  # contrasts of single terms
    ddf = np.array([small.df(row) for row in rows])
    terms = built.terms
    if not (np.isfinite(covariance).all() and (np.diag(covariance) > 0).all() and (ddf > 0).all()):
        raise NotEstimable(
            "the small-sample correction does not exist here: too few clusters for these terms, "
            "or a term that is constant inside every cluster; take fewer terms"
        )
    return LinearMixedResult(
        coefficients=coefficient_table(terms, beta, np.sqrt(np.diag(covariance)), ddf, level),
        covariance=pd.DataFrame(covariance, index=terms, columns=terms),
        log_likelihood=log_likelihood,
        diagnostics={
            "n_observations": len(y),
            "n_dropped": built.n_dropped,
            "n_clusters": len(labels),
            "reml": reml,
            "df_method": df,
            "level": level,
            **_variances(best, criterion, effects.terms, z_scale, spread),
            **_information(log_likelihood, len(beta), len(best.theta) + 1, len(y)),
            "std_error_gls": dict(
                zip(terms, np.sqrt(np.diag(unscale @ small.plain @ unscale.T)), strict=True)
            ),
            "converged": True,
            "singular": best.singular,
            "max_gradient": best.max_gradient,
            "boundary_slope": best.boundary_slope,
        },
        random_effects=pd.DataFrame(
            best.at.u @ (best.at.factor @ best.at.factor.T) * spread / z_scale,
            index=pd.Index(labels, name=cluster),
            columns=effects.terms,
        ),
        _built=built,
        _small=small,
        _unscale=unscale,
    )


def _random(random: str) -> tuple[str, bool]:
    text = random.strip()
    correlated = not text.endswith("||")
    text = text if correlated else text[:-2].strip()
    if text in ("", "0", "-1"):
        raise InvalidInput(
            "random needs at least one effect, such as '1': without one, use gee() or a linear "
            "model"
        )
    if "|" in text:
        raise InvalidInput("random is '1', '1 + x' or '1 + x ||'; the group goes to `cluster`")
    return text, correlated


def _check_sizes(
    x: Floats, z: Floats, n_clusters: int, terms: list[str], effects: list[str]
) -> None:
    refuse_collinear(x, terms)
    refuse_collinear(z, effects)
    if n_clusters < 2:
        raise NotEstimable("one cluster only: a variance between clusters needs several")
    n, q = z.shape
    if n <= n_clusters * q:
        raise NotEstimable(
            f"{n} rows for {n_clusters} clusters with {q} random effects each: they cannot be "
            "told from the residual; take fewer random effects or one value per cluster"
        )
    if n <= x.shape[1] + 1:
        raise NotEstimable(f"{n} rows cannot bear {x.shape[1]} fixed effects and a variance")


def _small_sample(criterion: Criterion, best: Optimum, method: str) -> SmallSample:
    if method == "kenward_roger":
        return kenward_roger(criterion, best.at)
    if method == "satterthwaite":
        return satterthwaite(criterion, best.theta, best.at)
    plain = best.at.inverse_information * best.at.residual_ss / criterion.df
    return SmallSample("normal", plain, plain, np.empty((0, *plain.shape)), np.empty((0, 0)))


def _variances(
    best: Optimum, criterion: Criterion, effects: list[str], z_scale: Floats, spread: float
) -> dict[str, Any]:
    at: Evaluation = best.at
    residual = at.residual_ss / criterion.df * spread**2
    factor = at.factor / z_scale[:, None]
    covariance = residual * factor @ factor.T
    sd = np.sqrt(np.diag(covariance))
    correlations = {}
    for j in range(len(effects)):
        for i in range(j):
            if criterion.rows.size > len(effects):
                known = sd[i] > 0 and sd[j] > 0
                correlations[f"{effects[i]}, {effects[j]}"] = (
                    float(covariance[i, j] / (sd[i] * sd[j])) if known else float("nan")
                )
    return {
        "variance_components": dict(zip(effects, np.diag(covariance).tolist(), strict=True)),
        "random_covariance": pd.DataFrame(covariance, index=effects, columns=effects),
        "correlations": correlations,
        "residual_variance": float(residual),
        "singular_tolerance": SINGULAR,
    }


def _information(log_likelihood: float, p: int, k: int, n: int) -> dict[str, float]:
    return {
        "n_parameters": p + k,
        "aic": -2 * log_likelihood + 2 * (p + k),
        "bic": -2 * log_likelihood + float(np.log(n)) * (p + k),
    }
