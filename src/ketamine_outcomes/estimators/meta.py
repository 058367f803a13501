"""Random-effects meta-analysis and meta-regression."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy import special

from .design_matrix import refuse_collinear
from .formulas import design
from .inputs import NO_NUMBERS, array, refuse_extreme, vector
from .meta_heterogeneity import Weighted, between_study_variance, q_profile, weighted
from .results import (
    COEFFICIENT_COLUMNS,
    Floats,
    InvalidInput,
    NotEstimable,
    Result,
    check_choice,
    check_level,
    coefficient_table,
    t_quantile,
    two_sided_p,
)

METHODS = ("REML", "DL", "PM")
INTERVALS = ("hartung_knapp", "modified_hartung_knapp", "z")
SMALLEST_RATIO = 1e-4  # of standard errors; beyond it the weights lose their digits
TABLE_COLUMNS = [
    "name",
    "estimate",
    "std_error",
    "statistic",
    "df",
    "df_denominator",
    "p_value",
    "ci_low",
    "ci_high",
]


@dataclass(frozen=True, eq=False)
class MetaResult(Result):
    """Result of `meta_analysis`.

    Attributes
    ----------
    studies
        Studies used: row (position in the input), estimate, std_error, weight_percent.
    """

    studies: pd.DataFrame = field(default_factory=pd.DataFrame)

    def leave_one_out(self) -> pd.DataFrame:
        """The pooled effect without each study in turn.

        Returns
        -------
        DataFrame
            row (of the study left out), estimate, std_error, statistic, df, p_value, ci_low,
            ci_high, tau2, I2_percent, H2, Q, Q_p_value. R: `leave1out`.
        """
        if len(self.coefficients) > 1:
            raise InvalidInput("leave_one_out is for an analysis without moderators")
        k = len(self.studies)
        if k < 3:
            raise NotEstimable("leaving one study out needs three studies")
        d = self.diagnostics
        y, s = (self.studies[c].to_numpy() for c in ("estimate", "std_error"))
        lines = []
        for i in range(k):
            keep = np.arange(k) != i
            fit = meta_analysis(y[keep], s[keep], d["method"], d["ci"], level=d["level"])
            about = fit.table.set_index("name")
            lines.append(
                {
                    "row": self.studies["row"].iloc[i],
                    **{c: fit.coefficients[c].iloc[0] for c in COEFFICIENT_COLUMNS[1:]},
                    **{n: about.loc[n, "estimate"] for n in ("tau2", "I2_percent", "H2")},
                    "Q": about.loc["Q", "statistic"],
                    "Q_p_value": about.loc["Q", "p_value"],
                }
            )
        return pd.DataFrame(lines)


def meta_analysis(
    estimate: ArrayLike,
    std_error: ArrayLike,
    method: str = "REML",
    ci: str = "hartung_knapp",
    moderators: pd.DataFrame | ArrayLike | None = None,
    level: float = 0.95,
) -> MetaResult:
    """Pool estimates of several studies with a variance between them.

    Parameters
    ----------
    estimate, std_error
        One per study, on a scale where the estimate is about normal (log ratios). Studies with a
        missing value are left out and counted.
    method
        Estimator of tau2: REML, DL (DerSimonian-Laird) or PM (Paule-Mandel).
    ci
        hartung_knapp (t with k - p degrees of freedom, variance times q, the weighted residual
        mean square), modified_hartung_knapp (q not below 1) or z (normal).
    moderators
        Columns that may explain the differences: a DataFrame (words become indicators of their
        levels) or an array of k rows.
    level
        Confidence level, also of prediction intervals.

    Returns
    -------
    MetaResult
        `.coefficients`: Intercept (the pooled effect) and one row per moderator. `.table`, by
        name: tau2 (its interval by Q profile), tau, I2_percent, H2, Q (heterogeneity left),
        common_effect (without tau2) and prediction_interval (t with k - 1 degrees of freedom, or
        normal under z), prediction_interval_hts (k - 2; Higgins, Thompson & Spiegelhalter 2009);
        with moderators instead of the last three QM (all moderators 0) and R2_percent.
        `.studies`, `.leave_one_out()`. `.log_likelihood` is restricted under REML.

    Raises
    ------
    InvalidInput
        Standard errors that are not above 0, infinite values, unequal lengths.
    NotEstimable
        No more studies than coefficients, or collinear moderators. One study can only be given
        as it is (`ci="z"`); its heterogeneity is missing.

    Notes
    -----
    Viechtbauer (2005, 2007); Hartung & Knapp (2001); Rover, Knapp & Friede (2015). R:
    `metafor::rma(yi, sei =, method =, test = "knha" | "adhoc" | "z", mods =)`, `confint`.

    Examples
    --------
    >>> fit = meta_analysis([0.1, 0.5, 0.9], [0.2, 0.2, 0.2])
    >>> fit.coefficients[["estimate", "std_error", "df"]].round(4).values.tolist()
    [[0.5, 0.2309, 2.0]]
    >>> fit.table["estimate"].head(2).round(4).tolist()  # tau2, tau
    [0.12, 0.3464]
    """
    check_level(level)
    check_choice(method, METHODS, "method")
    check_choice(ci, INTERVALS, "ci")
    y, s, x, terms, row, dropped = _studies(estimate, std_error, moderators)
    k, p = x.shape
    single = k == 1 and p == 1
    if single and ci != "z":
        raise NotEstimable('one study says nothing on heterogeneity: ci="z" gives its own interval')
    if k <= p and not single:
        raise NotEstimable(f"{k} studies cannot give {p} coefficients and a variance between them")
    refuse_collinear(x, terms)
    v = s**2
    tau2, se_tau2 = (0.0, np.nan) if single else between_study_variance(y, v, x, method)
    fit = weighted(y, v, x, tau2)
    scale, df = 1.0, np.inf
    if ci != "z":
        scale, df = fit.rss / (k - p), float(k - p)
        if ci == "modified_hartung_knapp":
            scale = max(1.0, scale)
        if scale <= 1e-24 * float((y**2 / v).max()):
            raise NotEstimable(
                "the estimates agree exactly, so hartung_knapp has no standard error: take "
                "modified_hartung_knapp"
            )
    covariance = scale * fit.covariance
    se = np.sqrt(np.diag(covariance))
    lines = [] if single else _heterogeneity(y, v, x, tau2, se_tau2, level)
    if p == 1:
        lines += _summary(y, v, float(fit.beta[0]), float(se[0]), tau2, df, level)
    else:
        lines += _moderators(y, v, fit, covariance, tau2, method, df)
    weight = 1 / (v + tau2)
    return MetaResult(
        coefficients=coefficient_table(terms, fit.beta, se, df, level),
        covariance=pd.DataFrame(covariance, index=terms, columns=terms),
        table=pd.DataFrame(lines, columns=TABLE_COLUMNS),
        log_likelihood=fit.log_restricted if method == "REML" else fit.log_likelihood,
        diagnostics={
            "n_studies": k,
            "n_dropped": dropped,
            "method": method,
            "ci": ci,
            "level": level,
            "q": fit.rss / (k - p) if k > p else np.nan,
        },
        studies=pd.DataFrame(
            {
                "row": row,
                "estimate": y,
                "std_error": s,
                "weight_percent": 100 * weight / weight.sum(),
            }
        ),
    )


def _studies(
    estimate: ArrayLike, std_error: ArrayLike, moderators: pd.DataFrame | ArrayLike | None
) -> tuple[Floats, Floats, Floats, list[str], Any, int]:
    """Checked estimates, standard errors, design, terms, row numbers and number left out."""
    given = vector(estimate, "estimate"), vector(std_error, "std_error")
    try:
        if any(a.dtype.kind in NO_NUMBERS for a in given):
            raise TypeError
        y, s = (pd.to_numeric(a.astype(object)).astype(float) for a in given)
    except (TypeError, ValueError, OverflowError):
        raise InvalidInput("estimate and std_error must be numbers") from None
    if y.size != s.size:
        raise InvalidInput(f"there are {y.size} estimates and {s.size} standard errors")
    frame = pd.DataFrame(index=range(y.size))
    if moderators is not None:
        frame = _frame(moderators)
        if len(frame) != y.size:
            raise InvalidInput(f"there are {y.size} estimates and {len(frame)} rows of moderators")
    keep = ~np.isnan(y) & ~np.isnan(s) & frame.notna().all(axis=1).to_numpy(dtype=bool)
    if not keep.any():
        raise InvalidInput("no study is complete")
    row, frame = np.flatnonzero(keep), frame[keep].reset_index(drop=True)
    y, s = y[keep], s[keep]
    if not np.isfinite(y).all() or not np.isfinite(s).all():
        raise InvalidInput("an estimate or standard error is not finite")
    refuse_extreme(y, "estimate")
    refuse_extreme(s, "std_error")
    if (s <= 0).any():
        raise InvalidInput(f"{int((s <= 0).sum())} standard errors are not above 0")
    if s.min() < s.max() * SMALLEST_RATIO:
        raise InvalidInput("the standard errors differ by a factor over 10 000: check the units")
    x, terms = np.ones((y.size, 1)), ["Intercept"]
    if moderators is not None:
        built = design(" + ".join(f"`{c}`" for c in frame.columns), frame, response=False)
        x, terms = built.x, built.terms
    return y, s, x, terms, row, int((~keep).sum())


def _frame(moderators: pd.DataFrame | ArrayLike) -> pd.DataFrame:
    if isinstance(moderators, pd.Series):
        moderators = moderators.to_frame(moderators.name or "moderator")
    if isinstance(moderators, pd.DataFrame):
        frame = moderators.reset_index(drop=True).rename(columns=str)
    else:
        values = array(moderators, "moderators")
        values = values.reshape(-1, 1) if values.ndim < 2 else values
        if values.ndim > 2:
            raise InvalidInput("moderators must be a DataFrame or an array of k rows")
        names = [f"moderator_{i + 1}" for i in range(values.shape[1])]
        frame = pd.DataFrame(values, columns=names if len(names) > 1 else ["moderator"])
    if frame.shape[1] == 0 or not frame.columns.is_unique or any("`" in c for c in frame.columns):
        raise InvalidInput("moderators must have one or more columns with names of their own")
    return frame


def _heterogeneity(
    y: Floats, v: Floats, x: Floats, tau2: float, se_tau2: float, level: float
) -> list[dict[str, Any]]:
    free = x.shape[0] - x.shape[1]
    plain = weighted(y, v, x, 0.0)
    typical = free / plain.trace  # typical variance inside studies (Higgins & Thompson 2002)
    values = np.array([tau2, *q_profile(y, v, x, level)])
    kinds = {
        "tau2": values,
        "tau": np.sqrt(values),
        "I2_percent": 100 * values / (values + typical),
        "H2": values / typical + 1,
    }
    lines: list[dict[str, Any]] = [
        {"name": n, "estimate": e, "ci_low": low, "ci_high": high}
        for n, (e, low, high) in kinds.items()
    ]
    lines[0]["std_error"] = se_tau2
    p = float(special.chdtrc(free, plain.rss))
    return [*lines, {"name": "Q", "statistic": plain.rss, "df": float(free), "p_value": p}]


def _summary(
    y: Floats, v: Floats, mean: float, se: float, tau2: float, df: float, level: float
) -> list[dict[str, Any]]:
    """The common effect, and where the effect of a new study would lie."""
    plain = weighted(y, v, np.ones((y.size, 1)), 0.0)
    common, own = float(plain.beta[0]), float(np.sqrt(plain.covariance[0, 0]))
    z = float(t_quantile(level, np.inf))
    lines: list[dict[str, Any]] = [
        {
            "name": "common_effect",
            "estimate": common,
            "std_error": own,
            "statistic": common / own,
            "df": np.inf,
            "p_value": float(two_sided_p(common / own, np.inf)),
            "ci_low": common - z * own,
            "ci_high": common + z * own,
        }
    ]
    spread = float(np.sqrt(se**2 + tau2))
    for name, free in (
        ("prediction_interval", df),
        ("prediction_interval_hts", float(y.size - 2)),
    ):
        half = float(t_quantile(level, free)) * spread if free > 0 and y.size > 1 else np.nan
        lines.append(
            {
                "name": name,
                "estimate": mean,
                "std_error": spread,
                "df": free,
                "ci_low": mean - half,
                "ci_high": mean + half,
            }
        )
    return lines


def _moderators(
    y: Floats,
    v: Floats,
    fit: Weighted,
    covariance: Floats,
    tau2: float,
    method: str,
    df: float,
) -> list[dict[str, Any]]:
    """Test of all moderators, and the share of tau2 that they explain."""
    beta, block = fit.beta[1:], covariance[1:, 1:]
    q = float(beta @ np.linalg.solve(block, beta))
    m = beta.size
    if np.isfinite(df):
        q, p = q / m, float(special.fdtrc(m, df, q / m))
    else:
        p = float(special.chdtrc(m, q))
    alone, _ = between_study_variance(y, v, np.ones((y.size, 1)), method)
    explained = max(0.0, 100 * (alone - tau2) / alone) if alone > 0 else 0.0
    return [
        {"name": "QM", "statistic": q, "df": float(m), "df_denominator": df, "p_value": p},
        {"name": "R2_percent", "estimate": explained},
    ]
