"""What a linear mixed model returns."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy import special

from .mixed_inference import SmallSample
from .mixed_profile import Fitted, conditional_covariance, profile_intervals, variance_tests
from .results import Floats, InvalidInput, Result, check_level, coefficient_table


@dataclass(frozen=True, eq=False)
class LinearMixedResult(Result):
    """A fitted linear mixed model.

    Attributes
    ----------
    table
        Variance components: group, term, measure (variance or covariance), estimate.
    random_effects
        Conditional modes (BLUPs): one row per cluster, one column per random term.
    outer_effects
        Conditional modes of the outer groups; no rows without `outer`.
    """

    random_effects: pd.DataFrame = field(default_factory=pd.DataFrame)
    outer_effects: pd.DataFrame = field(default_factory=pd.DataFrame)
    _new: Callable[[pd.DataFrame], Floats] | None = None  # design matrix of new rows
    _small: SmallSample | None = None
    _unscale: Floats | None = None  # beta = _unscale @ (coefficients of the working design)
    _fitted: Fitted | None = None

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

    def joint_test(self, weights: ArrayLike | Mapping[str, Mapping[str, float]]) -> pd.DataFrame:
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
        if self._new is None:
            raise InvalidInput("this result was not made by linear_mixed")
        matrix = self._new(new_data)
        if not ci:
            estimate = matrix @ self.coefficients["estimate"].to_numpy(float)
            return pd.DataFrame({"estimate": estimate}, index=new_data.index)
        table = self.contrast(matrix, level)
        table.index = new_data.index
        return table[["estimate", "std_error", "df", "ci_low", "ci_high"]]

    def random_effects_covariance(self) -> pd.DataFrame:
        """Conditional variances and covariances of the random effects, given all parameters.

        Returns
        -------
        DataFrame
            The rows of `.random_effects`; one column per term and per pair of terms.

        Notes
        -----
        R: `attr(ranef(m, condVar = TRUE)[[1]], "postVar")`.
        """
        return conditional_covariance(self._model(), self.random_effects.index)

    def variance_test(self) -> pd.DataFrame:
        """Likelihood-ratio test of every random term: the model against the one without it.

        The term goes with its covariances. The fixed effects stay, so REML fits compare too.

        Returns
        -------
        DataFrame
            group, term, statistic (2 times the difference of log likelihoods), df (parameters
            taken away), p_value and p_value_naive. A variance of 0 lies on the boundary: the
            reference is the even mixture of chi-squared with df - 1 and df degrees of freedom
            (Stram & Lee 1994); the naive value takes df and is too large.

        Notes
        -----
        R: `anova(m1, m0, refit = FALSE)` for the naive value, `nlme::gls` for no random effect.
        """
        return variance_tests(self._model())

    def profile_interval(self, level: float | None = None) -> pd.DataFrame:
        """Profile-likelihood intervals of standard deviations, correlations and fixed effects.

        By the full likelihood: a REML fit is refitted by maximum likelihood first, as R does.

        Returns
        -------
        DataFrame
            group, term, measure (standard_deviation, correlation or fixed_effect), estimate
            (maximum likelihood), ci_low, ci_high. A standard deviation that may be 0 has
            ci_low 0.

        Notes
        -----
        R: `confint(m, method = "profile")`, there interpolated by splines, to about 4 digits.
        """
        return profile_intervals(self._model(), self._level(level))

    def likelihood_ratio_test(self, smaller: LinearMixedResult) -> pd.DataFrame:
        """Chi-squared test against a fit of the same rows with fewer fixed effects.

        Returns
        -------
        DataFrame
            statistic, df, p_value.

        Notes
        -----
        Both fits by full likelihood (`reml=False`). R: `anova(m0, m1)`.
        """
        if (
            self.diagnostics.get("reml") is not False
            or smaller.diagnostics.get("reml") is not False
        ):
            raise InvalidInput("fixed effects are compared by full likelihood: fit with reml=False")
        if self.diagnostics["n_observations"] != smaller.diagnostics["n_observations"]:
            raise InvalidInput("the two fits use different rows")
        df = self.diagnostics["n_parameters"] - smaller.diagnostics["n_parameters"]
        if df < 1:
            raise InvalidInput("the other fit must have fewer parameters")
        statistic = max(0.0, 2 * (self.log_likelihood - smaller.log_likelihood))
        p = float(special.chdtrc(df, statistic))
        return pd.DataFrame({"statistic": [statistic], "df": [df], "p_value": [p]})

    def _model(self) -> Fitted:
        if self._fitted is None:
            raise InvalidInput(
                "variance tests and profile intervals exist for independent residuals with at "
                "least one random effect"
            )
        return self._fitted

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
        names: Sequence[str] | None = None
        try:
            if isinstance(weights, Mapping):
                unknown = sorted({t for w in weights.values() for t in w} - set(terms))
                names = list(weights)
                weights = [[w.get(t, 0.0) for t in terms] for w in weights.values()]
            else:
                unknown = []
            matrix = np.atleast_2d(np.asarray(weights, float))
        except (AttributeError, TypeError, ValueError):
            matrix, unknown = np.empty((0, 0)), []
        if unknown:
            raise InvalidInput(f"no term {', '.join(map(repr, unknown))} in the model")
        if matrix.shape[1:] != (len(terms),) or not len(matrix) or not np.isfinite(matrix).all():
            raise InvalidInput(
                f"a contrast needs {len(terms)} finite weights, one per term, or "
                "{name: {term: weight}}"
            )
        return matrix, names or [str(i + 1) for i in range(len(matrix))]


def _fai_cornelius(df: Floats) -> float:
    if np.ptp(df) < 1e-8:
        return float(df.mean())
    if (df <= 2).any():
        return 2.0
    total = float((df / (df - 2)).sum())
    return 2 * total / (total - df.size)


def variance_components(
    covariance: Floats,
    residual: float,
    effects: list[str],
    cluster: str,
    correlated: bool,
    outer: tuple[str, float] | None = None,
) -> tuple[dict[str, Any], pd.DataFrame]:
    """Variance components of a fit, for its diagnostics and as its table.

    Parameters
    ----------
    covariance
        Of the random effects, (q, q), in units of the response.
    residual
        Residual variance.
    effects
        Names of the random effects.
    cluster
        Name of the grouping.
    correlated
        Whether the covariances were estimated.
    outer
        Name and variance of the outer grouping.
    """
    variances = np.diag(covariance)
    rows = [(cluster, e, "variance", v) for e, v in zip(effects, variances, strict=True)]
    correlations = {}
    for j in range(len(effects)):
        for i in range(j if correlated else 0):
            size = float(np.sqrt(variances[i]) * np.sqrt(variances[j]))
            pair = f"{effects[i]}, {effects[j]}"
            correlations[pair] = float(covariance[i, j]) / size if size > 0 else float("nan")
            rows.append((cluster, pair, "covariance", float(covariance[i, j])))
    parts: dict[str, Any] = {
        "variance_components": dict(zip(effects, variances.tolist(), strict=True)),
        "random_covariance": pd.DataFrame(covariance, index=effects, columns=effects),
        "correlations": correlations,
        "residual_variance": residual,
    }
    if outer is not None:
        parts["outer_variance"] = outer[1]
        rows.append((outer[0], "Intercept", "variance", outer[1]))
    rows.append(("residual", "residual", "variance", residual))
    return parts, pd.DataFrame(rows, columns=["group", "term", "measure", "estimate"])
