"""linear_mixed with serially correlated residuals against nlme and a dense likelihood in R.

`*_dense_*`: optimum of the dense likelihood, proved by gradient and Hessian (R call in each
JSON). nlme stops by a tolerance of its own and multiplies the standard errors of an ML fit by
sqrt(n / (n - p)), which is undone here.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from golden_support import LOOSE, OPTIMISED, agree, by_term, document, frame, golden

from ketamine_outcomes.estimators import linear_mixed


def pain_medium() -> pd.DataFrame:
    return frame("pain_medium")


def pain_medium_days() -> pd.DataFrame:
    """One row per patient and day, as the R call."""
    data = frame("pain_medium")
    return data[~data.duplicated(["patient", "day"])]


def pain_medium_wave() -> pd.DataFrame:
    data = pain_medium_days()
    number = data["patient"].rank(method="dense")
    return data.assign(y=data["pain"] + 1.5 * np.sin(data["day"] / 3 + number))


def orthodont() -> pd.DataFrame:
    data = frame("orthodont")
    return data.assign(visit=((data["age"] - 6) / 2).astype(int))


def sleepstudy() -> pd.DataFrame:
    return frame("sleepstudy")


def single(series: str) -> pd.DataFrame:
    data = frame("single_case")
    data = data[data["series"] == series]
    return data.assign(trend=data["day"] - 1)


def single_ab() -> pd.DataFrame:
    return single("AB")


def single_abab() -> pd.DataFrame:
    return single("ABAB")


MEDIUM = "pain ~ week + post + route"
GROWTH = "distance ~ age * sex"
SERIES = "pain ~ trend + treated"
# data, formula, cluster, random, residual, time
AR1_MEDIUM = (pain_medium, MEDIUM, "patient", "1", "ar1", "visit")
CAR1_MEDIUM = (pain_medium_days, MEDIUM, "patient", "1", "car1", "day")
CAR1_GLS = (pain_medium_days, MEDIUM, "patient", "0", "car1", "day")
CAR1_WAVE = (pain_medium_wave, "y ~ week + post + route", "patient", "1", "car1", "day")
ORTHODONT = (orthodont, GROWTH, "subject", "1", "ar1", "visit")
ORTHODONT_GLS = (orthodont, GROWTH, "subject", "0", "ar1", "visit")
SLEEP = (sleepstudy, "Reaction ~ Days", "Subject", "1", "car1", "Days")
SINGLE_AB = (single_ab, SERIES, "series", "0", "ar1", "day")
SINGLE_ABAB = (single_abab, SERIES, "series", "0", "ar1", "day")

DENSE = {
    "ar1_dense_ri_reml": AR1_MEDIUM,
    "ar1_dense_ri_ml": AR1_MEDIUM,
    "car1_dense_ri_reml": CAR1_MEDIUM,
    "car1_dense_ri_ml": CAR1_MEDIUM,
    "car1_dense_no_ri_reml": CAR1_GLS,
    "car1_dense_no_ri_ml": CAR1_GLS,
    "car1_dense_interior_ri_reml": CAR1_WAVE,
    "car1_dense_interior_ri_ml": CAR1_WAVE,
    "orthodont_ri_ar1_dense_reml": ORTHODONT,
    "orthodont_ri_ar1_dense_ml": ORTHODONT,
    "orthodont_gls_ar1_dense_reml": ORTHODONT_GLS,
    "orthodont_gls_ar1_dense_ml": ORTHODONT_GLS,
    "sleepstudy_ri_car1_dense_reml": SLEEP,
    "sleepstudy_ri_car1_dense_ml": SLEEP,
    "single_ab_gls_ar1_dense_reml": SINGLE_AB,
    "single_ab_gls_ar1_dense_ml": SINGLE_AB,
    "single_abab_gls_ar1_dense_reml": SINGLE_ABAB,
    "single_abab_gls_ar1_dense_ml": SINGLE_ABAB,
}
NLME = {
    "nlme_medium_ar1_reml": AR1_MEDIUM,
    "nlme_medium_ar1_ml": AR1_MEDIUM,
    "nlme_car1_interior_ri_reml": CAR1_WAVE,
    "nlme_car1_interior_ri_ml": CAR1_WAVE,
    "gls_medium_car1_reml": CAR1_GLS,
    "gls_medium_car1_ml": CAR1_GLS,
    "orthodont_lme_ar1_reml": ORTHODONT,
    "orthodont_lme_ar1_ml": ORTHODONT,
    "orthodont_gls_ar1_reml": ORTHODONT_GLS,
    "orthodont_gls_ar1_ml": ORTHODONT_GLS,
    "sleepstudy_lme_car1_reml": SLEEP,
    "sleepstudy_lme_car1_ml": SLEEP,
    "single_ab_gls_ar1_reml": SINGLE_AB,
    "single_ab_gls_ar1_ml": SINGLE_AB,
    "single_abab_gls_ar1_reml": SINGLE_ABAB,
    "single_abab_gls_ar1_ml": SINGLE_ABAB,
}


def fitted(call: tuple[Any, ...], name: str, df: str = "normal") -> Any:
    data, formula, cluster, random, residual, time = call
    return linear_mixed(
        formula,
        data(),
        cluster,
        random,
        reml=name.endswith("_reml"),
        df=df,
        residual=residual,
        time=time,
    )


@pytest.mark.parametrize("name", DENSE)
def test_dense_optimum(name: str) -> None:
    r = golden(name)
    fit = fitted(DENSE[name], name)
    c, d = fit.coefficients, fit.diagnostics
    agree(c["estimate"], by_term(r["fixef"], c["term"]), OPTIMISED, "beta")
    agree(c["std_error"], by_term(r["se_exact_gls"], c["term"]), OPTIMISED, "standard error")
    agree(fit.log_likelihood, r["log_likelihood"], 1e-10, "log likelihood")
    agree(d["residual_variance"], r["residual_variance"], OPTIMISED, "residual variance")
    intercept = d["variance_components"].get("Intercept", 0.0)
    agree(intercept, r["random_intercept_variance"], LOOSE, "random intercept")
    if abs(r["correlation_parameter"]) < 1e-80:  # boundary: R's number is where the search stopped
        assert d["phi"] == 0 and d["correlation_at_boundary"] and d["singular"]
    else:
        agree(d["phi"], r["correlation_parameter"], LOOSE, "phi")
        assert not d["correlation_at_boundary"] and not d["singular"]
    assert d["max_gradient"] < 1e-6
    assert d["min_curvature"] > 0


@pytest.mark.parametrize("name", NLME)
def test_nlme(name: str) -> None:
    r = golden(name)
    fit = fitted(NLME[name], name)
    c, d = fit.coefficients, fit.diagnostics
    n, p = d["n_observations"], len(c)
    nlme_scale = 1.0 if name.endswith("_reml") else np.sqrt(n / (n - p))
    agree(c["estimate"], by_term(r["fixef"], c["term"]), OPTIMISED, "beta")
    agree(c["std_error"] * nlme_scale, by_term(r["se"], c["term"]), OPTIMISED, "standard error")
    agree(fit.log_likelihood, r["log_likelihood"], 1e-10, "log likelihood")
    agree(d["aic"], r["aic"], 1e-10, "aic")
    agree(np.sqrt(d["residual_variance"]), r["residual_sd"], OPTIMISED, "residual sd")
    # nlme stops by its own tolerance: its phi is off in the 6th or 7th digit
    agree(d["phi"], r["correlation_parameter"], LOOSE, "phi")
    order = [list(r["vcov"]["rows"]).index(t) for t in r["fixef"]]
    assert order == list(range(p))
    expected = np.array(r["vcov"]["values"], float)
    gls = "random_effect_covariance" not in r  # vcov() of an lme is not multiplied, of a gls it is
    scale = nlme_scale if gls else 1.0
    agree(fit.covariance.to_numpy() * scale**2, expected, 2 * OPTIMISED, "covariance")
    if not gls:
        agree(
            d["random_covariance"].to_numpy(),
            r["random_effect_covariance"]["values"],
            LOOSE,
            "random effects",
        )
        blups = fit.random_effects["Intercept"]
        blups.index = blups.index.astype(str)
        np.testing.assert_allclose(
            blups.loc[r["blup"]["level"]], r["blup"]["intercept"], rtol=LOOSE, atol=1e-6
        )


@pytest.mark.parametrize("name", ["nlme_medium_car1_reml", "nlme_medium_car1_ml"])
def test_nlme_that_stops_short_of_the_boundary(name: str) -> None:
    """nlme stops 4e-4 log likelihood units before phi = 0; ours is higher and close to it."""
    r = golden(name)
    fit = fitted(CAR1_MEDIUM, name)
    assert r["log_likelihood"] < fit.log_likelihood < r["log_likelihood"] + 1e-3
    assert fit.diagnostics["correlation_at_boundary"]
    agree(
        fit.coefficients["estimate"],
        by_term(r["fixef"], fit.coefficients["term"]),
        1e-4,  # the distance that 4e-4 units of log likelihood make
    )


PUBLIC = (
    "serial_ovary_gls_ar1_reml",
    "serial_ovary_gls_ar1_ml",
    "serial_ovary_ri_ar1_reml",
    "serial_ovary_ri_ar1_ml",
    "serial_ovary_uncorrelated_ar1_reml",
    "serial_ovary_uncorrelated_ar1_ml",
    "serial_ovary_ri_car1_reml",
    "serial_ovary_ri_car1_ml",
    "serial_bodyweight_slope_car1_reml",
    "serial_bodyweight_slope_car1_ml",
    "serial_bodyweight_gls_car1_reml",
    "serial_bodyweight_gls_car1_ml",
    "serial_soybean_weighted_car1_reml",
    "serial_soybean_weighted_car1_ml",
    "serial_milk_slope_ar1_reml",
    "serial_milk_slope_ar1_ml",
    "serial_orange_ri_car1_reml",
    "serial_orange_ri_car1_ml",
    "serial_orange_gls_car1_reml",
    "serial_orange_gls_car1_ml",
    "serial_lake_huron_ar1_reml",
    "serial_lake_huron_ar1_ml",
)
# the intercept variance and phi of five trees are hardly told apart: the curvature is 3e-5 log
# likelihood units, so that R's numerical derivatives bear fewer digits
WEAK = {"serial_orange_ri_car1_reml": 1e-3}


def public_fit(name: str, df: str) -> tuple[Any, Any]:
    stored = document(name)
    model, r = stored["model"], stored["result"]
    fit = linear_mixed(
        model["formula"],
        frame(stored["data_file"].removeprefix("data/").removesuffix(".csv")),
        model["cluster"],
        model["random"],
        reml=r["method"] == "REML",
        df=df,
        weights=model["weights"] or None,
        residual=model["residual"],
        time=model["time"],
    )
    return fit, r


@pytest.mark.parametrize("name", PUBLIC)
def test_public_data(name: str) -> None:
    fit, r = public_fit(name, "satterthwaite")
    c, d = fit.coefficients, fit.diagnostics
    variance = WEAK.get(name, LOOSE)
    agree(c["estimate"], by_term(r["fixef"], c["term"]), OPTIMISED, "beta")
    agree(c["std_error"], by_term(r["se_exact_gls"], c["term"]), OPTIMISED, "standard error")
    agree(fit.log_likelihood, r["log_likelihood"], 1e-10, "log likelihood")
    agree(d["residual_variance"], r["residual_variance"], variance, "residual variance")
    agree(d["phi"], r["correlation_parameter"], variance, "phi")
    agree(d["reference_gap"], r["unit"], 1e-12, "reference gap")
    interval = fit.table.iloc[-1]
    assert interval["term"] == "phi"
    agree(interval[["ci_low", "ci_high"]], r["phi_wald_ci95"], variance, "interval of phi")
    if d["variance_components"]:
        free = np.tril_indices(len(d["variance_components"]))
        ours = d["random_covariance"].to_numpy().T[free]
        if d["correlations"] == {}:
            ours = np.diag(d["random_covariance"])
        agree(ours, r["random_effect_covariance"], variance, "random effects")
    agree(c["df"], by_term(r["satterthwaite_df"], c["term"]), max(LOOSE, variance), "df")


@pytest.mark.parametrize("name", [n for n in PUBLIC if n.endswith("_reml")])
def test_public_data_kenward_roger(name: str) -> None:
    fit, r = public_fit(name, "kenward_roger")
    c, expected = fit.coefficients, r["kenward_roger"]
    agree(c["std_error"], by_term(expected["se_adjusted"], c["term"]), OPTIMISED)
    agree(c["df"], by_term(expected["df"], c["term"]), LOOSE)


@pytest.mark.parametrize("name", [n for n in PUBLIC if "orange" not in n])
def test_public_data_nlme(name: str) -> None:
    fit, result = public_fit(name, "normal")
    r = result["nlme"]
    c, d = fit.coefficients, fit.diagnostics
    n, p = d["n_observations"], len(c)
    scale = 1.0 if name.endswith("_reml") else np.sqrt(n / (n - p))
    agree(c["estimate"], by_term(r["fixef"], c["term"]), OPTIMISED, "beta")
    agree(c["std_error"] * scale, by_term(r["se"], c["term"]), OPTIMISED, "standard error")
    agree(fit.log_likelihood, r["log_likelihood"], 1e-9, "log likelihood")
    agree(d["aic"], r["aic"], 1e-9, "aic")
    agree(np.sqrt(d["residual_variance"]), r["residual_sd"], LOOSE, "residual sd")
    agree(d["phi"], r["correlation_parameter"], LOOSE, "phi")
    if "blup" in r:
        ours = fit.random_effects.loc[r["blup"]["level"]]
        for term in ours.columns:
            expected = r["blup"]["(Intercept)" if term == "Intercept" else term]
            np.testing.assert_allclose(ours[term], expected, rtol=LOOSE, atol=1e-4)
