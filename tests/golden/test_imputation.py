"""Rubin's rules against mice."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from golden_support import CLOSED, LOOSE, OPTIMISED, agree, frame, golden, r_name

from ketamine_outcomes.estimators import Result, cox, pool_imputations, propensity_weights

ROW = {
    "estimate": "estimate",
    "std_error": "se",
    "statistic": "statistic",
    "p_value": "p",
    "ci_low": "ci95_lower",
    "ci_high": "ci95_upper",
}
PARTS = {
    "within_variance": "within_variance_ubar",
    "between_variance": "between_variance_b",
    "total_variance": "total_variance_t",
    "relative_increase": "relative_increase_riv",
    "lambda": "lambda",
    "fraction_missing": "fraction_missing_information",
}


def fits(kind: str, formula: str, data: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame, Any]:
    """Estimates and standard errors per completed data set, and the covariances."""
    import statsmodels.formula.api as smf

    estimates, errors, covariances = [], [], []
    for _, d in data.groupby("imp"):
        if kind == "lm":
            fitted = smf.ols(formula, d).fit()
            values, covariance = fitted.params, fitted.cov_params()
        else:
            ours = (
                cox(formula, d, "time", "status")
                if kind == "cox"
                else propensity_weights(formula, d)
            )
            values = ours.coefficients.set_index("term")["estimate"]
            covariance = ours.covariance
        estimates.append(values)
        errors.append(pd.Series(np.sqrt(np.diag(covariance)), index=values.index))
        covariances.append(covariance.to_numpy())
    return pd.DataFrame(estimates), pd.DataFrame(errors), np.array(covariances)


@pytest.mark.parametrize(
    ("name", "kind", "formula", "data"),
    [
        ("mi_lm", "lm", "y ~ x1 + x2 + group", "mi10"),
        ("mi_lm_large_df", "lm", "y ~ x1 + x2 + group", "mi10"),
        ("mi_logistic", "logit", "z ~ x1 + x2 + group", "mi10"),
        ("mi_cox", "cox", "x1 + x2 + group", "mi10"),
        ("nhanes_mi_lm", "lm", "chl ~ age + bmi", "nhanes_imputed5"),
        ("nhanes_mi_lm_large_df", "lm", "chl ~ age + bmi", "nhanes_imputed5"),
        ("nhanes_mi_mean", "lm", "bmi ~ 1", "nhanes_imputed5"),
    ],
)
def test_rubin(name: str, kind: str, formula: str, data: str) -> None:
    r = golden(name)
    estimates, errors, _ = fits(kind, formula, frame(data))
    pooled = pool_imputations(estimates, errors, r["dfcom_complete_data"])
    assert pooled.diagnostics["n_imputations"] == r["m"]
    terms = np.atleast_1d(r["term"])
    assert [r_name(t) for t in pooled.coefficients["term"]] == [r_name(t) for t in terms]
    tolerance = CLOSED if kind == "lm" else OPTIMISED
    for column, key in ROW.items():
        agree(pooled.coefficients[column], r[key], tolerance, column)
    agree(pooled.coefficients["df"], r["df_barnard_rubin"], LOOSE)
    for column, key in PARTS.items():
        agree(pooled.table[column], r[key], tolerance, column)


def test_joint() -> None:
    r = golden("mi_d1_joint")
    estimates, errors, covariances = fits("lm", "y ~ x1 + x2 + group", frame("mi10"))
    pick = ["x2", "group"]
    where = [estimates.columns.get_loc(c) for c in pick]
    chosen = covariances[:, where][:, :, where]
    pooled = pool_imputations(estimates[pick], errors[pick], 56, chosen)
    check_joint(pooled, r)


def check_joint(pooled: Result, r: dict[str, float]) -> None:
    row = pooled.table.set_index("term").loc["joint"]
    agree(row["statistic"], r["F"], CLOSED)
    agree(row["df"], r["df1"], CLOSED)
    agree(row["df_denominator"], r["df2"], LOOSE)
    agree(row["p_value"], r["p"], OPTIMISED)
    agree(row["relative_increase"], r["riv"], CLOSED)


@pytest.mark.parametrize(
    "name",
    [
        "mice_boys_lm",
        "mice_boys_complete_term",
        "mice_nhanes2_logistic_level90",
        "mice_nhanes2_lm_small_df",
    ],
)
def test_stored_fits_of_mice(name: str) -> None:
    r = golden(name)
    terms = np.atleast_1d(r["term"])
    covariances = np.array(r["covariances"], float).reshape(r["m"], terms.size, terms.size)
    estimates = pd.DataFrame(np.reshape(r["estimates"], (r["m"], -1)), columns=terms)
    errors = np.sqrt(np.einsum("mii->mi", covariances))
    pooled = pool_imputations(estimates, errors, r["dfcom"], covariances, level=r["level"])
    for column, key in ROW.items():
        expected = r[key.replace("ci95_lower", "ci_low").replace("ci95_upper", "ci_high")]
        agree(pooled.coefficients[column], expected, CLOSED, column)
    agree(pooled.coefficients["df"], r["df"], LOOSE)
    parts = pooled.table[pooled.table["term"] != "joint"]
    for column, key in zip(PARTS, ("ubar", "b", "t", "riv", "lambda", "fmi"), strict=True):
        agree(parts[column], r[key], CLOSED, column)
    if "joint" in r:
        check_joint(pooled, r["joint"])
