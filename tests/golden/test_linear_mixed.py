"""linear_mixed against lme4, lmerTest, pbkrtest, emmeans (R call in each JSON)."""

from __future__ import annotations

import numpy as np
import pytest
from golden_support import LOOSE, OPTIMISED, agree, agree_log, by_term, frame, golden, r_name

from ketamine_outcomes.estimators import linear_mixed

FITS = {
    "lmm_small_ri": ("pain_small", "pain ~ week + post", "patient", "1"),
    "lmm_small_ri_slope": ("pain_small", "pain ~ week + post", "patient", "1 + week"),
    "lmm_small_ri_post": ("pain_small", "pain ~ post", "patient", "1 + post"),
    "lmm_medium_ri": (
        "pain_medium",
        "pain ~ week + post + week_post + route:week_post + I(age - 60) + female + severity",
        "patient",
        "1",
    ),
    "lmm_medium_ri_slope": (
        "pain_medium",
        "pain ~ week + post + week_post + route:week_post + I(age - 60) + severity",
        "patient",
        "1 + week",
    ),
    "lmm_medium_ri_post": (
        "pain_medium",
        "pain ~ post * route + I(age - 60)",
        "patient",
        "1 + post",
    ),
    "lmm_medium_uncorrelated": (
        "pain_medium",
        "pain ~ week * route + post",
        "patient",
        "1 + week ||",
    ),
    "lmm_three_random_effects": ("pain_medium", "pain ~ week + post", "patient", "1 + week + post"),
    "lmm_boundary_ri": ("pain_boundary", "pain ~ week", "patient", "1"),
    "lmm_boundary_slope": ("pain_boundary", "pain ~ week", "patient", "1 + week"),
    "lmm_boundary_uncorrelated": ("pain_boundary", "pain ~ week", "patient", "1 + week ||"),
    "sleepstudy_ri": ("sleepstudy", "Reaction ~ Days", "Subject", "1"),
    "sleepstudy_ri_slope": ("sleepstudy", "Reaction ~ Days", "Subject", "1 + Days"),
    "sleepstudy_uncorrelated": ("sleepstudy", "Reaction ~ Days", "Subject", "1 + Days ||"),
    "orthodont_ri": ("orthodont", "distance ~ I(age - 8) * sex", "subject", "1"),
    "orthodont_ri_slope": ("orthodont", "distance ~ age", "subject", "1 + age"),
    "orthodont_sex": ("orthodont", "distance ~ age * sex", "subject", "1 + age"),
}


def variances(result: dict) -> tuple[dict[str, float], float]:
    parts = result["variance_components"]
    kept = {}
    for term, other, value in zip(
        parts["term1"], parts["term2"], parts["variance_or_covariance"], strict=True
    ):
        if not other and term.lower() != "residual":
            kept[term] = value
    return kept, result["residual_sd"] ** 2


@pytest.mark.parametrize("method", ["reml", "ml"])
@pytest.mark.parametrize("name", FITS)
def test_fit_and_satterthwaite(name: str, method: str) -> None:
    data, formula, cluster, random = FITS[name]
    r = golden(f"{name}_{method}")
    fit = linear_mixed(
        formula, frame(data), cluster, random, reml=method == "reml", df="satterthwaite"
    )
    c = fit.coefficients
    agree(c["estimate"], by_term(r["fixef"], c["term"]), OPTIMISED)
    agree(c["std_error"], by_term(r["se_model_based"], c["term"]), OPTIMISED)
    agree(fit.log_likelihood, r["log_likelihood"], 1e-10)
    agree(fit.diagnostics["aic"], r["aic"], 1e-10)
    agree(fit.diagnostics["bic"], r["bic"], 1e-10)
    agree(c["df"], by_term(r["satterthwaite"]["df"], c["term"]), LOOSE)
    agree(c["statistic"], by_term(r["satterthwaite"]["t"], c["term"]), OPTIMISED)
    agree_log(c["p_value"], by_term(r["satterthwaite"]["p"], c["term"]), LOOSE)
    expected, residual = variances(r)
    agree(fit.diagnostics["residual_variance"], residual, OPTIMISED)
    ours = fit.diagnostics["variance_components"]
    agree(list(ours.values()), by_term(expected, list(ours)), LOOSE)
    assert fit.diagnostics["singular"] == r["singular"]
    assert fit.diagnostics["max_gradient"] < 1e-8
    assert fit.diagnostics["boundary_slope"] > 0


@pytest.mark.parametrize("name", FITS)
def test_kenward_roger(name: str) -> None:
    data, formula, cluster, random = FITS[name]
    r = golden(f"{name}_reml")
    fit = linear_mixed(formula, frame(data), cluster, random)
    c, expected = fit.coefficients, r["kenward_roger"]
    agree(c["std_error"], by_term(expected["se_adjusted"], c["term"]), OPTIMISED)
    agree(c["df"], by_term(expected["df"], c["term"]), LOOSE)
    agree(c["statistic"], by_term(expected["t"], c["term"]), OPTIMISED)
    agree_log(c["p_value"], by_term(expected["p"], c["term"]), LOOSE)


def test_kenward_roger_own_formula() -> None:
    r = golden("lmm_kr_own_formula")
    c = linear_mixed("pain ~ week + post", frame("pain_small"), "patient", "1 + week").coefficients
    agree(c["std_error"], by_term(r["se_adjusted"], c["term"]), OPTIMISED)
    agree(c["df"], by_term(r["df"], c["term"]), LOOSE)


CONTRASTS = [
    ("emmeans_small_prepost", None, "pain_small", "pain ~ post", "patient", "1 + post"),
    ("emmeans_small_contrast", None, "pain_small", "pain ~ post", "patient", "1 + post"),
    ("emmeans_medium_times", None, "pain_medium", "pain ~ week * route", "patient", "1 + week"),
    ("emmeans_medium_contrasts", None, "pain_medium", "pain ~ week * route", "patient", "1 + week"),
    ("orthodont_emmeans", "means", "orthodont", "distance ~ age * sex", "subject", "1 + age"),
    ("orthodont_emmeans", "contrasts", "orthodont", "distance ~ age * sex", "subject", "1 + age"),
]


@pytest.mark.parametrize(
    ("r_word", "method"), [("kenward", "kenward_roger"), ("satterthwaite", "satterthwaite")]
)
@pytest.mark.parametrize(("name", "part", "data", "formula", "cluster", "random"), CONTRASTS)
def test_contrasts(
    name: str,
    part: str | None,
    data: str,
    formula: str,
    cluster: str,
    random: str,
    r_word: str,
    method: str,
) -> None:
    r = golden(f"{name}_{r_word}")
    r = r[part] if part else r
    fit = linear_mixed(formula, frame(data), cluster, random, df=method)
    matrix, table = r["contrast_matrix_on_fixef"], r["table"]
    position = {r_name(t): i for i, t in enumerate(matrix["cols"])}
    order = [position[r_name(t)] for t in fit.coefficients["term"]]
    ours = fit.contrast(np.array(matrix["values"], float)[:, order])
    agree(ours["estimate"], table.get("emmean", table.get("estimate")), OPTIMISED)
    agree(ours["std_error"], table["SE"], OPTIMISED)
    agree(ours["df"], table["df"], LOOSE)
    agree(ours["ci_low"], table["lower.CL"], LOOSE)
    agree(ours["ci_high"], table["upper.CL"], LOOSE)


@pytest.mark.parametrize("method", ["kenward_roger", "satterthwaite"])
def test_predict(method: str) -> None:
    r = golden("lmm_medium_predict")
    data = frame("pain_medium")
    fit = linear_mixed("pain ~ week + post + route", data, "patient", "1 + week", df=method)
    new = data.head(4).assign(
        week=[-1, 0, 1, 4], post=[0, 1, 1, 1], route=["epidural", "epidural", "oral", "oral"]
    )
    ours, expected = fit.predict(new), r[method]
    agree(ours["estimate"], r["estimate"], OPTIMISED)
    agree(ours["std_error"], expected["se"], OPTIMISED)
    agree(ours["df"], expected["df"], LOOSE)
    agree(ours["ci_low"], expected["lower"], LOOSE)
    agree(ours["ci_high"], expected["upper"], LOOSE)


def test_joint_test() -> None:
    r = golden("lmm_medium_kr_joint_test")
    contrast = np.array(r["contrast_matrix"]["values"], float)
    call = ("pain ~ week + post + week_post", frame("pain_medium"), "patient", "1 + week")
    kr = linear_mixed(*call).joint_test(contrast).iloc[0]
    agree(kr["statistic"], r["kenward_roger"]["F_scaled"], OPTIMISED)
    agree(kr["df_denominator"], r["kenward_roger"]["ddf"], LOOSE)
    agree(kr["p_value"], r["kenward_roger"]["p"], LOOSE)
    s = linear_mixed(*call, df="satterthwaite").joint_test(contrast).iloc[0]
    agree(s["statistic"], r["satterthwaite"]["F"], OPTIMISED)
    agree(s["df_denominator"], r["satterthwaite"]["ddf"], LOOSE)


def test_random_effects() -> None:
    r = golden("lmm_medium_blups")
    fit = linear_mixed("pain ~ week + post", frame("pain_medium"), "patient", "1 + week")
    ours = fit.random_effects.loc[r["patient"]]
    np.testing.assert_allclose(ours["Intercept"], r["intercept"], rtol=LOOSE, atol=1e-6)
    np.testing.assert_allclose(ours["week"], r["slope"], rtol=LOOSE, atol=1e-6)
    r = golden("sleepstudy_blups")
    fit = linear_mixed("Reaction ~ Days", frame("sleepstudy"), "Subject", "1 + Days")
    ours = fit.random_effects.loc[[int(s) for s in r["subject"]]]
    np.testing.assert_allclose(ours["Intercept"], r["intercept"], rtol=LOOSE, atol=1e-6)
    np.testing.assert_allclose(ours["Days"], r["slope"], rtol=LOOSE, atol=1e-6)
