"""gee against geepack, clubSandwich, sandwich, glm, brglm2 and independent R implementations."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
from golden_support import OPTIMISED, agree, agree_log, by_term, frame, golden, r_name

from ketamine_outcomes.estimators import Result, gee, linear_mixed

MEDIUM = "week + post * route"
# CR2 of clubSandwich and Kauermann-Carroll take different square roots of the same matrix; they are
# the same only where the working covariance is constant and diagonal within a cluster.
CR2_OTHER_ROOT = 5e-3
CR = {"CR0": "none", "CR2": "kauermann_carroll", "CR3": "mancl_derouen"}
HC = {"HC0": "none", "HC2": "kauermann_carroll", "HC3": "mancl_derouen"}


def mme() -> pd.DataFrame:
    d = frame("mme_daily")
    return d.assign(log_hours=np.log(d["hours_at_risk"]), log_days=np.log(d["hours_at_risk"] / 24))


def opioid_days() -> pd.DataFrame:
    d = mme()
    return d[d["mme"] > 0]


def seizure() -> pd.DataFrame:
    d = frame("seizure_long")
    return d.assign(post=(d["period"] > 0) * 1, log_weeks=np.log(d["weeks"]))


def cbpp() -> pd.DataFrame:
    d = frame("cbpp")
    rows = d.loc[d.index.repeat(d["size"])].reset_index(drop=True)
    order = rows.groupby(["herd", "period"]).cumcount() + 1
    return rows.assign(y=(order <= rows["incidence"]) * 1)


def rare() -> pd.DataFrame:
    return frame("rare")


def named(name: str) -> Callable[[], pd.DataFrame]:
    return lambda: frame(name)


Call = tuple[Callable[[], pd.DataFrame], str, dict[str, Any]]
PATIENT = {"cluster": "patient"}
GEE: dict[str, Call] = {  # id without the ending _independence, _exchangeable or _ar1
    "gee_gaussian_small": (
        named("pain_small"), "pain ~ week + post", {**PATIENT, "family": "gaussian"},
    ),
    "gee_gaussian_medium": (
        named("pain_medium"), f"pain ~ {MEDIUM}", {**PATIENT, "family": "gaussian"},
    ),
    "gee_binomial_medium": (
        named("pain_medium"), f"pain_ge4 ~ {MEDIUM}", {**PATIENT, "family": "binomial"},
    ),
    "gee_binomial_medium_scalefix": (
        named("pain_medium"), f"pain_ge4 ~ {MEDIUM}",
        {**PATIENT, "family": "binomial", "scale": 1.0},
    ),
    "gee_binomial_opioid": (
        mme, "any_opioid ~ post + arm:post", {**PATIENT, "family": "binomial"},
    ),
    "gee_poisson_rescue": (
        mme, "rescue_doses ~ post + arm:post",
        {**PATIENT, "family": "poisson", "offset": "log_hours"},
    ),
    "gee_gamma_mme": (
        opioid_days, "mme ~ post + arm:post + I(age - 58)",
        {**PATIENT, "family": "gamma", "offset": "log_days"},
    ),
    "gee_ohio": (
        named("ohio"), "resp ~ age + smoke + age:smoke", {"cluster": "id", "family": "binomial"},
    ),
    "gee_seizure": (
        seizure, "count ~ post + trt + post:trt",
        {"cluster": "id", "family": "poisson", "offset": "log_weeks"},
    ),
    "gee_epil": (
        named("epil"), "y ~ log(base) + trt + log(age) + V4",
        {"cluster": "subject", "family": "poisson"},
    ),
    "gee_dietox": (
        named("dietox"), "Weight ~ Time + Cu", {"cluster": "Pig", "family": "gaussian"},
    ),
    "gee_cbpp": (cbpp, "y ~ C(period)", {"cluster": "herd", "family": "binomial"}),
}  # fmt: skip
GEEPACK = [
    "gee_gaussian_small_independence",
    "gee_gaussian_small_exchangeable",
    "gee_gaussian_small_ar1",
    "gee_gaussian_medium_independence",
    "gee_gaussian_medium_exchangeable",
    "gee_gaussian_medium_ar1",
    "gee_binomial_medium_independence",
    "gee_binomial_medium_exchangeable",
    "gee_binomial_medium_ar1",
    "gee_binomial_medium_scalefix_independence",
    "gee_binomial_medium_scalefix_exchangeable",
    "gee_binomial_medium_scalefix_ar1",
    "gee_binomial_opioid_independence",
    "gee_binomial_opioid_exchangeable",
    "gee_binomial_opioid_ar1",
    "gee_poisson_rescue_independence",
    "gee_poisson_rescue_exchangeable",
    "gee_poisson_rescue_ar1",
    "gee_gamma_mme_independence",
    "gee_gamma_mme_exchangeable",
    "gee_gamma_mme_ar1",
    "gee_ohio_independence",
    "gee_ohio_exchangeable",
    "gee_ohio_ar1",
    "gee_seizure_independence",
    "gee_seizure_exchangeable",
    "gee_seizure_ar1",
    "gee_epil_independence",
    "gee_epil_exchangeable",
    "gee_epil_ar1",
    "gee_dietox_independence",
    "gee_dietox_exchangeable",
    "gee_dietox_ar1",
    "gee_cbpp_independence",
    "gee_cbpp_exchangeable",
]


def method(fit: Result, name: str) -> pd.DataFrame:
    """The rows of one covariance in the table."""
    return fit.table[fit.table["method"] == name].reset_index(drop=True)


def agree_covariance(fit: Result, expected: dict[str, Any], atol: float = OPTIMISED) -> None:
    """The whole covariance matrix, by name, in units of R's standard errors."""
    rows = [r_name(t) for t in expected["rows"]]
    ours = fit.covariance.rename(index=r_name, columns=r_name).loc[rows, rows].to_numpy()
    theirs = np.array(expected["values"], float)
    size = np.sqrt(np.outer(np.diag(theirs), np.diag(theirs)))
    np.testing.assert_allclose(ours / size, theirs / size, rtol=0, atol=atol)


@pytest.mark.parametrize("name", GEEPACK)
def test_geepack(name: str) -> None:
    stem, _, corr = name.rpartition("_")
    data, formula, words = GEE[stem]
    r = golden(name)
    fit = gee(formula, data(), corr=corr, **words)
    c = fit.coefficients
    agree(c["estimate"], by_term(r["coef"], c["term"]), OPTIMISED)
    agree(c["std_error"], by_term(r["se_mancl_derouen_own"], c["term"]), OPTIMISED)
    agree_log(c["p_value"], by_term(r["p_mancl_derouen_t_K_minus_p"], c["term"]), OPTIMISED)
    assert (c["df"] == r["n_clusters_minus_p"]).all()
    assert fit.diagnostics["n_clusters"] == r["n_clusters"]
    agree(fit.diagnostics["scale"], r["scale_phi"], OPTIMISED)
    if corr == "independence":
        assert fit.diagnostics["alpha"] is None and r["alpha"] == "none"
    else:
        agree(fit.diagnostics["alpha"], r["alpha"], OPTIMISED)
    for ours, theirs in {
        "model_based": "se_model_based_own",
        "none": "se_robust_geepack",
        "kauermann_carroll": "se_kauermann_carroll_own",
        "mancl_derouen": "se_mancl_derouen_own",
    }.items():
        agree(method(fit, ours)["std_error"], by_term(r[theirs], c["term"]), OPTIMISED, ours)
    wald = method(fit, "none")["statistic"] ** 2
    agree(wald, by_term(r["wald_chisq"], c["term"]), OPTIMISED)
    for small_sample, theirs in {
        "none": "vcov_robust_geepack",
        "kauermann_carroll": "vcov_kauermann_carroll_own",
        "mancl_derouen": "vcov_mancl_derouen_own",
    }.items():
        again = gee(formula, data(), corr=corr, small_sample=small_sample, **words)
        agree_covariance(again, r[theirs])
        pd.testing.assert_frame_equal(
            again.coefficients, method(fit, small_sample).drop(columns="method")
        )


OWN = {
    "tweedie": (mme, "mme ~ post + arm:post", "tweedie(1.5)", "log_days"),
    "gamma": (opioid_days, "mme ~ post + arm:post", "gamma", "log_days"),
    "quasipoisson": (mme, "rescue_doses ~ post + arm:post", "quasipoisson", "log_hours"),
}


@pytest.mark.parametrize(
    "name",
    [
        "gee_own_tweedie_independence",
        "gee_own_tweedie_exchangeable",
        "gee_own_gamma_independence",
        "gee_own_gamma_exchangeable",
        "gee_own_quasipoisson_independence",
        "gee_own_quasipoisson_exchangeable",
    ],
)
def test_independent_gee_of_any_family(name: str) -> None:
    _, _, kind, corr = name.split("_")
    data, formula, family, offset = OWN[kind]
    r = golden(name)
    fit = gee(formula, data(), "patient", family, offset=offset, corr=corr)
    c = fit.coefficients
    agree(c["estimate"], by_term(r["coef"], c["term"]), OPTIMISED)
    agree(c["std_error"], by_term(r["se_mancl_derouen"], c["term"]), OPTIMISED)
    agree_log(c["p_value"], by_term(r["p_mancl_derouen_t"], c["term"]), OPTIMISED)
    assert (c["df"] == r["df_K_minus_p"]).all()
    assert fit.diagnostics["n_clusters"] == r["n_clusters"]
    agree(fit.diagnostics["scale"], r["scale_phi"], OPTIMISED)
    if corr == "exchangeable":
        agree(fit.diagnostics["alpha"], r["alpha"], OPTIMISED)
    else:
        assert fit.diagnostics["alpha"] is None
    for ours, theirs in {"none": "se_robust", "model_based": "se_model_based"}.items():
        agree(method(fit, ours)["std_error"], by_term(r[theirs], c["term"]), OPTIMISED, ours)


AGED = "post + arm:post + I(age - 58)"


@pytest.mark.parametrize(
    ("name", "data", "formula", "family", "offset"),
    [
        ("glm_tweedie_mme_p13", mme, f"mme ~ {AGED}", "tweedie(1.3)", "log_days"),
        ("glm_tweedie_mme_p15", mme, f"mme ~ {AGED}", "tweedie(1.5)", "log_days"),
        ("glm_tweedie_mme_p17", mme, f"mme ~ {AGED}", "tweedie(1.7)", "log_days"),
        ("glm_quasipoisson_rescue", mme, f"rescue_doses ~ {AGED}", "quasipoisson", "log_hours"),
        ("glm_gamma_mme", opioid_days, f"mme ~ {AGED}", "gamma", "log_days"),
        ("glm_logistic_opioid", mme, f"any_opioid ~ {AGED}", "binomial", None),
    ],
)
def test_independent_rows_equal_glm(
    name: str, data: Callable[[], pd.DataFrame], formula: str, family: str, offset: str | None
) -> None:
    r = golden(name)
    fit = gee(formula, data(), None, family, offset=offset)
    c = method(fit, "model_based")
    agree(c["estimate"], by_term(r["coef"], c["term"]), OPTIMISED)
    agree(c["std_error"], by_term(r["se"], c["term"]), OPTIMISED)
    agree(c["statistic"], by_term(r["statistic"], c["term"]), OPTIMISED)
    agree_log(c["p_value"], by_term(r["p"], c["term"]), OPTIMISED)
    agree(fit.diagnostics["deviance"], r["deviance"], OPTIMISED)
    rows = fit.diagnostics["n_observations"]
    assert rows - len(c) == r["df_residual"]
    if family != "binomial":
        assert (c["df"] == r["df_residual"]).all()
        scale = fit.diagnostics["scale"] * rows / r["df_residual"]
        agree(scale, r["dispersion_pearson"], OPTIMISED)


def test_tweedie_clustered_glm_equals_vcovcl() -> None:
    r = golden("glm_tweedie_mme_p15_cluster")
    fit = gee(
        f"mme ~ {AGED}", mme(), "patient", "tweedie(1.5)", offset="log_days", small_sample="none"
    )
    c, k = fit.coefficients, fit.diagnostics["n_clusters"]
    agree(c["estimate"], by_term(r["coef"], c["term"]), OPTIMISED)
    agree(c["std_error"], by_term(r["se_cluster_HC0"], c["term"]), OPTIMISED)
    agree(
        c["std_error"] * np.sqrt(k / (k - 1)),
        by_term(r["se_cluster_HC0_G_over_Gminus1"], c["term"]),
        OPTIMISED,
    )


def agree_clubsandwich(name: str, fits: dict[str, Result], cr2: float = OPTIMISED) -> None:
    """CR0, CR2 and CR3; R's degrees of freedom are others, so the p values are not compared."""
    r = golden(name)
    for cr, fit in fits.items():
        tolerance = cr2 if cr == "CR2" else OPTIMISED
        rows = next(v for k, v in r.items() if k.startswith(cr))
        c = fit.coefficients
        for ours, theirs in {"estimate": "beta", "std_error": "SE", "statistic": "tstat"}.items():
            expected = by_term(dict(zip(rows["term"], rows[theirs], strict=True)), c["term"])
            agree(c[ours], expected, tolerance, f"{cr} {ours}")
        agree_covariance(fit, r["vcov"][cr], tolerance)


@pytest.mark.parametrize(
    ("name", "data", "formula", "words"),
    [
        ("cr_ols_small", named("pain_small"), "pain ~ week + post",
         {"cluster": "patient", "family": "gaussian"}),
        ("cr_ols_medium", named("pain_medium"), "pain ~ week + post * route + age",
         {"cluster": "patient", "family": "gaussian"}),
        ("glm_poisson_rescue_CR2", mme, "rescue_doses ~ post + arm:post",
         {"cluster": "patient", "family": "poisson", "offset": "log_hours"}),
        ("glm_cbpp_cr", cbpp, "y ~ C(period)", {"cluster": "herd", "family": "binomial"}),
    ],
)  # fmt: skip
def test_clustered_glm_equals_clubsandwich(
    name: str, data: Callable[[], pd.DataFrame], formula: str, words: dict[str, Any]
) -> None:
    agree_clubsandwich(
        name,
        {cr: gee(formula, data(), small_sample=word, **words) for cr, word in CR.items()},
        cr2=CR2_OTHER_ROOT if words["family"] == "poisson" else OPTIMISED,
    )


def test_cluster_robust_mixed_model_is_gee_of_its_whitened_rows() -> None:
    """cr_lme_medium: no call gives it, but the sandwich of least squares on V^(-1/2) rows is it."""
    d = frame("pain_medium")
    mixed = linear_mixed("pain ~ week + post + route", d, "patient").diagnostics
    residual = mixed["residual_variance"]
    between = mixed["variance_components"]["Intercept"]
    size = d.groupby("patient")["pain"].transform("size")
    rows = d.assign(Intercept=1.0, routeoral=(d["route"] == "oral") * 1.0)
    columns = ["pain", "Intercept", "week", "post", "routeoral"]
    mean = rows.groupby("patient")[columns].transform("mean")
    shrink = 1 - np.sqrt(residual / (residual + size * between))
    white = (rows[columns] - mean.mul(shrink, axis=0)).assign(patient=d["patient"])
    formula = "pain ~ 0 + Intercept + week + post + routeoral"
    agree_clubsandwich(
        "cr_lme_medium",
        {
            cr: gee(formula, white, "patient", "gaussian", small_sample=word)
            for cr, word in CR.items()
        },
        cr2=CR2_OTHER_ROOT,
    )


def test_independent_rows_equal_sandwich() -> None:
    r = golden("ols_hc_medium")
    d = frame("pain_medium")
    for hc, word in HC.items():
        c = gee("pain ~ week + post", d, None, "gaussian", small_sample=word).coefficients
        agree(c["estimate"], by_term(r["coef"], c["term"]), OPTIMISED)
        agree(c["std_error"], by_term(r[hc], c["term"]), OPTIMISED, hc)
    fit = gee("pain ~ week + post", d, None, "gaussian", small_sample="none")
    agree(method(fit, "model_based")["std_error"], by_term(r["se_ols"], c["term"]), OPTIMISED)
    n, p = len(d), len(c)
    agree(
        fit.coefficients["std_error"] * np.sqrt(n / (n - p)),
        by_term(r["HC1"], c["term"]),
        OPTIMISED,
    )
    fit = gee("pain ~ week + post", d, "patient", "gaussian", small_sample="none")
    k = fit.diagnostics["n_clusters"]
    agree(fit.coefficients["std_error"], by_term(r["cluster_HC0"], c["term"]), OPTIMISED)
    agree(
        fit.coefficients["std_error"] * np.sqrt(k / (k - 1) * (n - 1) / (n - p)),
        by_term(r["cluster_HC1"], c["term"]),
        OPTIMISED,
    )


def test_firth_logistic() -> None:
    fit = gee("status ~ arm + age + biomarker", rare(), None, "binomial", firth=True)
    c = fit.coefficients
    brglm2 = golden("firth_logistic_rare_brglm2")
    agree(c["estimate"], by_term(brglm2["coef"], c["term"]), OPTIMISED)
    agree(c["std_error"], by_term(brglm2["se"], c["term"]), OPTIMISED)
    own = golden("firth_logistic_rare_own")
    for ours, theirs in {
        "estimate": "coef",
        "std_error": "se_inverse_information",
        "ci_low": "profile_ci95_lower",
        "ci_high": "profile_ci95_upper",
        "statistic": "penalized_lr_chisq",
        "p_value": "penalized_lr_p",
    }.items():
        values = {k.replace("intercept", "Intercept"): v for k, v in own[theirs].items()}
        agree(c[ours], by_term(values, c["term"]), OPTIMISED, ours)
    agree(fit.log_likelihood, own["penalized_log_likelihood"], OPTIMISED)


def respiratory() -> pd.DataFrame:
    return frame("respiratory").sample(frac=1, random_state=1)  # waves, not rows, order the visits


def dietox_gaps() -> pd.DataFrame:
    d = frame("dietox")
    return d[(d["Pig"] + d["Time"]) % 3 > 0].assign(w=lambda d: 1 + d["Time"] % 4)


def cbpp_shares() -> pd.DataFrame:
    return frame("cbpp").assign(share=lambda d: d["incidence"] / d["size"])


def epil_weights() -> pd.DataFrame:
    d = frame("epil")
    return d.assign(w=np.array([1, 2, 0.5])[np.arange(len(d)) % 3])


def quine_absent() -> pd.DataFrame:
    d = frame("quine")
    return d[d["Days"] > 0]


def menarche() -> pd.DataFrame:
    d = frame("menarche")
    return d.assign(share=d["Menarche"] / d["Total"])


RESPIRATORY = "outcome ~ treat + sex + age + baseline"
VISITS = {"cluster": "patient", "family": "binomial", "time": "visit"}
PIG = {"cluster": "Pig", "family": "gaussian", "weights": "w", "time": "Time"}
UNSEEN: dict[str, Call] = {
    "gee_respiratory_logit_exchangeable": (respiratory, RESPIRATORY, {**VISITS, "link": "logit"}),
    "gee_respiratory_logit_ar1": (respiratory, RESPIRATORY, {**VISITS, "link": "logit"}),
    "gee_respiratory_probit_exchangeable": (
        respiratory, RESPIRATORY, {**VISITS, "link": "probit"},
    ),
    "gee_respiratory_probit_ar1": (respiratory, RESPIRATORY, {**VISITS, "link": "probit"}),
    "gee_respiratory_cloglog_exchangeable": (
        respiratory, RESPIRATORY, {**VISITS, "link": "cloglog"},
    ),
    "gee_respiratory_cloglog_ar1": (respiratory, RESPIRATORY, {**VISITS, "link": "cloglog"}),
    "gee_bodyweight_log_ar1": (
        named("bodyweight"), "weight ~ day * C(diet)",
        {"cluster": "rat", "family": "gaussian", "link": "log", "time": "day"},
    ),
    "gee_dietox_gaps_weights_ar1": (dietox_gaps, "Weight ~ Time + Cu", PIG),
    "gee_dietox_gaps_weights_exchangeable": (dietox_gaps, "Weight ~ Time + Cu", PIG),
    "gee_cbpp_share_exchangeable": (
        cbpp_shares, "share ~ C(period)",
        {"cluster": "herd", "family": "binomial", "weights": "size"},
    ),
    "gee_epil_weights_scalefix_exchangeable": (
        epil_weights, "y ~ log(base) + trt + log(age) + V4",
        {"cluster": "subject", "family": "poisson", "weights": "w", "scale": 1.0},
    ),
    "gee_quine_gamma_inverse_exchangeable": (
        quine_absent, "Days ~ Lrn + Sex",
        {"cluster": "class", "family": "gamma", "link": "inverse"},
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", UNSEEN)
def test_geepack_links_weights_and_waves(name: str) -> None:
    data, formula, words = UNSEEN[name]
    r = golden(name)
    corr = name.rpartition("_")[2]
    fit = gee(formula, data(), corr=corr, small_sample="none", **words)
    c = fit.coefficients
    agree(c["estimate"], by_term(r["coef"], c["term"]), OPTIMISED)
    agree(c["std_error"], by_term(r["se_robust"], c["term"]), OPTIMISED)
    agree(fit.diagnostics["alpha"], r["alpha"], OPTIMISED)
    assert fit.diagnostics["n_clusters"] == r["n_clusters"]
    if "scale" not in words:
        agree(fit.diagnostics["scale"], r["scale_phi"], OPTIMISED)
        model = method(fit, "model_based")["std_error"]
        agree(model, by_term(r["se_model_based"], c["term"]), OPTIMISED)


@pytest.mark.parametrize(
    ("name", "data", "formula", "words"),
    [
        ("glm_birthwt_probit_hc", named("birthwt"), "low ~ age + lwt + smoke + C(race)",
         {"family": "binomial", "link": "probit"}),
        ("glm_menarche_cloglog_hc", menarche, "share ~ Age",
         {"family": "binomial", "link": "cloglog", "weights": "Total"}),
        ("ols_mtcars_weighted_hc", named("mtcars"), "mpg ~ wt + hp",
         {"family": "gaussian", "weights": "qsec"}),
    ],
)  # fmt: skip
def test_independent_rows_equal_sandwich_of_glm_and_weighted_lm(
    name: str, data: Callable[[], pd.DataFrame], formula: str, words: dict[str, Any]
) -> None:
    r = golden(name)
    fit = gee(formula, data(), None, **words)
    c = fit.coefficients
    agree(c["estimate"], by_term(r["coef"], c["term"]), OPTIMISED)
    for hc, word in HC.items():
        agree(method(fit, word)["std_error"], by_term(r[hc], c["term"]), OPTIMISED, hc)
    model = method(fit, "model_based")
    agree(model["std_error"], by_term(r["se_model_based"], c["term"]), OPTIMISED)
    agree(model["p_value"], by_term(r["p_model_based"], c["term"]), OPTIMISED)


def test_firth_logistic_under_separation() -> None:
    r = golden("firth_logistic_endometrial")
    fit = gee("HG ~ NV + PI + EH", frame("endometrial"), None, "binomial", firth=True)
    c = fit.coefficients
    for ours, theirs in {
        "estimate": "coef",
        "std_error": "se",
        "ci_low": "profile_ci95_lower",
        "ci_high": "profile_ci95_upper",
        "statistic": "lr_chisq",
    }.items():
        agree(c[ours], by_term(r[theirs], c["term"]), OPTIMISED, ours)
    agree(fit.log_likelihood, r["penalised_log_likelihood"], OPTIMISED)
