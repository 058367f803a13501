"""gee against geepack (plain sandwich) and the Mancl-DeRouen formula in R."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from golden_support import OPTIMISED, agree, agree_log, by_term, frame, golden

from ketamine_outcomes.estimators import gee

MEDIUM = "week + post * route"


def mme() -> pd.DataFrame:
    d = frame("mme_daily")
    return d.assign(log_hours=np.log(d["hours_at_risk"]), log_days=np.log(d["hours_at_risk"] / 24))


def seizure() -> pd.DataFrame:
    d = frame("seizure_long")
    return d.assign(post=(d["period"] > 0) * 1, log_weeks=np.log(d["weeks"]))


def cbpp() -> pd.DataFrame:
    d = frame("cbpp")
    rows = d.loc[d.index.repeat(d["size"])].reset_index(drop=True)
    order = rows.groupby(["herd", "period"]).cumcount() + 1
    return rows.assign(y=(order <= rows["incidence"]) * 1)


CASES: dict[str, tuple[Callable[[], pd.DataFrame], str, str, str, str | None]] = {
    "gee_gaussian_small_independence": (
        lambda: frame("pain_small"),
        "pain ~ week + post",
        "patient",
        "gaussian",
        None,
    ),
    "gee_gaussian_medium_independence": (
        lambda: frame("pain_medium"),
        f"pain ~ {MEDIUM}",
        "patient",
        "gaussian",
        None,
    ),
    "gee_binomial_medium_independence": (
        lambda: frame("pain_medium"),
        f"pain_ge4 ~ {MEDIUM}",
        "patient",
        "binomial",
        None,
    ),
    "gee_binomial_opioid_independence": (
        mme,
        "any_opioid ~ post + arm:post",
        "patient",
        "binomial",
        None,
    ),
    "gee_poisson_rescue_independence": (
        mme,
        "rescue_doses ~ post + arm:post",
        "patient",
        "poisson",
        "log_hours",
    ),
    "gee_gamma_mme_independence": (
        lambda: (d := mme())[d["mme"] > 0],
        "mme ~ post + arm:post + I(age - 58)",
        "patient",
        "gamma",
        "log_days",
    ),
    "gee_ohio_independence": (
        lambda: frame("ohio"),
        "resp ~ age + smoke + age:smoke",
        "id",
        "binomial",
        None,
    ),
    "gee_seizure_independence": (
        seizure,
        "count ~ post + trt + post:trt",
        "id",
        "poisson",
        "log_weeks",
    ),
    "gee_epil_independence": (
        lambda: frame("epil"),
        "y ~ log(base) + trt + log(age) + V4",
        "subject",
        "poisson",
        None,
    ),
    "gee_dietox_independence": (
        lambda: frame("dietox"),
        "Weight ~ Time + Cu",
        "Pig",
        "gaussian",
        None,
    ),
    "gee_cbpp_independence": (cbpp, "y ~ C(period)", "herd", "binomial", None),
}


@pytest.mark.parametrize("name", CASES)
def test_geepack_independence(name: str) -> None:
    data, formula, cluster, family, offset = CASES[name]
    r = golden(name)
    fit = gee(formula, data(), cluster, family, offset=offset)
    c = fit.coefficients
    agree(c["estimate"], by_term(r["coef"], c["term"]), OPTIMISED)
    agree(c["std_error"], by_term(r["se_mancl_derouen_own"], c["term"]), OPTIMISED)
    agree_log(c["p_value"], by_term(r["p_mancl_derouen_t_K_minus_p"], c["term"]), OPTIMISED)
    assert (c["df"] == r["n_clusters_minus_p"]).all()
    agree(fit.diagnostics["scale"], r["scale_phi"], OPTIMISED)
    plain = gee(formula, data(), cluster, family, offset=offset, small_sample="none")
    agree(plain.coefficients["std_error"], by_term(r["se_robust_geepack"], c["term"]), OPTIMISED)


def test_quasipoisson() -> None:
    r = golden("gee_own_quasipoisson_independence")
    fit = gee(
        "rescue_doses ~ post + arm:post", mme(), "patient", "quasipoisson", offset="log_hours"
    )
    c = fit.coefficients
    agree(c["estimate"], by_term(r["coef"], c["term"]), OPTIMISED)
    agree(c["std_error"], by_term(r["se_mancl_derouen"], c["term"]), OPTIMISED)
    agree(fit.diagnostics["scale"], r["scale_phi"], OPTIMISED)
    agree_log(c["p_value"], by_term(r["p_mancl_derouen_t"], c["term"]), OPTIMISED)


def test_linear_model_equals_cr3() -> None:
    r = golden("cr_ols_small")["CR3_naive_t"]
    c = gee("pain ~ week + post", frame("pain_small"), "patient", "gaussian").coefficients
    agree(c["std_error"], by_term(dict(zip(r["term"], r["SE"], strict=True)), c["term"]), OPTIMISED)


def test_independent_rows_equal_hc3() -> None:
    r = golden("ols_hc_medium")
    c = gee("pain ~ week + post", frame("pain_medium"), None, "gaussian").coefficients
    agree(c["std_error"], by_term(r["HC3"], c["term"]), OPTIMISED)
