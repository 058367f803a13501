"""cox against survival::coxph and an independent Firth implementation in R."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
from golden_support import CLOSED, OPTIMISED, agree, agree_log, by_term, frame, golden, r_name

from ketamine_outcomes.estimators import NotEstimable, Result, cox

FULL = "age + male + stage + marker"
TTE = {"time": "time", "event": "cause_1"}
LATE = {**TTE, "entry": "entry"}


def tte() -> pd.DataFrame:
    d = frame("tte")
    return d.assign(cause_1=(d["status"] == 1) * 1, cause_2=(d["status"] == 2) * 1)


def lung() -> pd.DataFrame:
    d = frame("lung")
    return d.assign(died=d["status"] - 1)


def pbc() -> pd.DataFrame:
    d = frame("pbc")
    return d.assign(died=(d["status"] == 2) * 1)


def recurrent() -> pd.DataFrame:
    d = frame("recurrent")
    return d.assign(again=(d["status"] == 1) * 1, ended=(d["status"] == 2) * 1)


def first_three() -> pd.DataFrame:
    d = recurrent()
    d = d[d["event_number"] <= 3]
    begin = d.groupby(["patient", "event_number"])["tstart"].transform("min")
    return d.assign(gap_start=d["tstart"] - begin, gap_stop=d["tstop"] - begin)


def bladder2() -> pd.DataFrame:
    d = frame("bladder2")
    return d.assign(gap=d["stop"] - d["start"])


def named(name: str) -> Callable[[], pd.DataFrame]:
    return lambda: frame(name)


BOTH_TIES = {
    ("cox_efron", "cox_breslow"): (tte, FULL, TTE),
    ("cox_cluster_site_efron", "cox_cluster_site_breslow"): (tte, FULL, {**TTE, "cluster": "site"}),
    ("cox_frequency_weights_efron", "cox_frequency_weights_breslow"): (
        tte,
        FULL,
        {**TTE, "weights": "iweight"},
    ),
    ("cox_strata_efron", "cox_strata_breslow"): (
        tte,
        "age + male + marker",
        {**TTE, "strata": "stage"},
    ),
    ("cox_strata_cluster_efron", "cox_strata_cluster_breslow"): (
        tte,
        "age + male + marker",
        {**TTE, "strata": "stage", "cluster": "site"},
    ),
    ("cox_robust_efron", "cox_robust_breslow"): (tte, FULL, {**TTE, "cluster": "patient"}),
    ("cox_weighted_robust_efron", "cox_weighted_robust_breslow"): (
        tte,
        FULL,
        {**TTE, "weights": "weight"},
    ),
    ("cox_tv_efron", "cox_tv_breslow"): (
        named("counting"),
        "exposed + age + arm",
        {"time": "stop", "event": "event", "entry": "start"},
    ),
    ("cox_tv_robust_efron", "cox_tv_robust_breslow"): (
        named("counting"),
        "exposed + dose + age",
        {
            "time": "stop",
            "event": "event",
            "entry": "start",
            "strata": "arm",
            "cluster": "patient",
        },
    ),
    ("cox_lefttrunc_efron", "cox_lefttrunc_breslow"): (tte, FULL, LATE),
    ("cox_lefttrunc_cluster_efron", "cox_lefttrunc_cluster_breslow"): (
        tte,
        FULL,
        {**LATE, "cluster": "site"},
    ),
    ("cox_lefttrunc_weighted_cluster_efron", "cox_lefttrunc_weighted_cluster_breslow"): (
        tte,
        FULL,
        {**LATE, "weights": "weight", "cluster": "site"},
    ),
    ("recurrent_AG_efron", "recurrent_AG_breslow"): (
        recurrent,
        "arm + age + body_site",
        {"time": "tstop", "event": "again", "entry": "tstart", "cluster": "patient"},
    ),
    ("recurrent_PWP_total_efron", "recurrent_PWP_total_breslow"): (
        first_three,
        "arm + age",
        {
            "time": "tstop",
            "event": "again",
            "entry": "tstart",
            "cluster": "patient",
            "strata": "event_number",
        },
    ),
    ("recurrent_PWP_gap_efron", "recurrent_PWP_gap_breslow"): (
        first_three,
        "arm + age",
        {
            "time": "gap_stop",
            "event": "again",
            "entry": "gap_start",
            "cluster": "patient",
            "strata": "event_number",
        },
    ),
    ("heart_cox_efron", "heart_cox_breslow"): (
        named("heart"),
        "age + year + surgery + transplant",
        {"time": "stop", "event": "event", "entry": "start"},
    ),
    ("heart_cox_robust_efron", "heart_cox_robust_breslow"): (
        named("heart"),
        "(age + surgery) * transplant",
        {"time": "stop", "event": "event", "entry": "start", "cluster": "id"},
    ),
    ("lung_cox_efron", "lung_cox_breslow"): (
        lung,
        "age + sex + ph_ecog",
        {"time": "time", "event": "died"},
    ),
    ("lung_cox_cluster_efron", "lung_cox_cluster_breslow"): (
        lung,
        "age + sex + ph_ecog",
        {"time": "time", "event": "died", "cluster": "inst"},
    ),
    ("lung_cox_strata_efron", "lung_cox_strata_breslow"): (
        lung,
        "age + ph_ecog",
        {"time": "time", "event": "died", "strata": "sex"},
    ),
    ("ovarian_cox_efron", "ovarian_cox_breslow"): (
        named("ovarian"),
        "age + rx",
        {"time": "futime", "event": "fustat"},
    ),
    ("pbc_cox_efron", "pbc_cox_breslow"): (
        pbc,
        "age + edema + log(bili) + log(albumin) + log(protime)",
        {"time": "time", "event": "died"},
    ),
    ("rats_cox_cluster_efron", "rats_cox_cluster_breslow"): (
        named("rats"),
        "rx + sex",
        {"time": "time", "event": "status", "cluster": "litter"},
    ),
    ("retinopathy_cox_cluster_efron", "retinopathy_cox_cluster_breslow"): (
        named("retinopathy"),
        "trt * type",
        {"time": "futime", "event": "status", "cluster": "id"},
    ),
    ("veteran_cox_efron", "veteran_cox_breslow"): (
        named("veteran"),
        "trt + karno + age + celltype",
        {"time": "time", "event": "status"},
    ),
    ("bladder2_AG_efron", "bladder2_AG_breslow"): (
        bladder2,
        "rx + number + size",
        {"time": "stop", "event": "event", "entry": "start", "cluster": "id"},
    ),
    ("bladder2_PWP_total_efron", "bladder2_PWP_total_breslow"): (
        bladder2,
        "rx + number + size",
        {"time": "stop", "event": "event", "entry": "start", "cluster": "id", "strata": "enum"},
    ),
    ("bladder2_PWP_gap_efron", "bladder2_PWP_gap_breslow"): (
        bladder2,
        "rx + number + size",
        {"time": "gap", "event": "event", "cluster": "id", "strata": "enum"},
    ),
    ("bladder_WLW_efron", "bladder_WLW_breslow"): (
        named("bladder"),
        "rx + number + size",
        {"time": "stop", "event": "event", "cluster": "id", "strata": "enum"},
    ),
}
EFRON = {
    "cause_specific_cox1": (tte, FULL, TTE),
    "cause_specific_cox2": (tte, FULL, {"time": "time", "event": "cause_2"}),
    "cox_interaction_offset": (
        lambda: (d := tte()).assign(fixed=0.02 * d["age"]),
        "arm * marker",
        {**TTE, "offset": "fixed"},
    ),
    "recurrent_terminal_cox": (
        recurrent,
        "arm + age",
        {"time": "tstop", "event": "ended", "entry": "tstart"},
    ),
}
CASES = [
    (name, *rest, name.rpartition("_")[2]) for names, rest in BOTH_TIES.items() for name in names
]
CASES += [(name, *rest, "efron") for name, rest in EFRON.items()]
CASES += [("cox_exact", tte, FULL, TTE, "exact")]


def matrix(result: dict[str, object], terms: list[str]) -> list[list[float]]:
    """A matrix of R in the order of our terms."""
    place = [[r_name(c) for c in result["cols"]].index(r_name(t)) for t in terms]
    return [[result["values"][i][j] for j in place] for i in place]


@pytest.mark.parametrize(
    ("name", "data", "formula", "columns", "ties"), CASES, ids=[c[0] for c in CASES]
)
def test_coxph(
    name: str, data: Callable[[], pd.DataFrame], formula: str, columns: dict[str, str], ties: str
) -> None:
    r = golden(name)
    fit = cox(formula, data(), **columns, ties=ties)
    c = fit.coefficients
    assert fit.diagnostics["n_events"] == r["n_event"]
    assert fit.diagnostics["n_observations"] == r["n"]
    agree(c["estimate"], by_term(r["coef"], c["term"]), OPTIMISED)
    agree(np.exp(c["estimate"]), by_term(r["hazard_ratio"], c["term"]), OPTIMISED)
    agree(c["std_error"], by_term(r.get("se_robust", r["se_model_based"]), c["term"]), OPTIMISED)
    covariance = matrix(r.get("vcov_robust", r["vcov_model_based"]), list(c["term"]))
    agree(fit.covariance, covariance, OPTIMISED)
    agree(c["statistic"], by_term(r["z"], c["term"]), OPTIMISED)
    agree_log(c["p_value"], by_term(r["p"], c["term"]), OPTIMISED)
    agree_what_needs_no_robust_error(fit, r)
    agree(fit.table.set_index("test").loc["wald", "statistic"], r["wald_test"], OPTIMISED)


@pytest.mark.parametrize("name", ["cox_weighted_efron", "cox_weighted_breslow"])
def test_weights_with_the_information(name: str) -> None:
    # R with robust = FALSE; here the standard error is robust and this one a diagnostic
    fit = cox(FULL, tte(), **TTE, weights="weight", ties=name.removeprefix("cox_weighted_"))
    r, terms = golden(name), fit.coefficients["term"]
    agree(fit.coefficients["estimate"], by_term(r["coef"], terms), OPTIMISED)
    agree_what_needs_no_robust_error(fit, r)


def agree_what_needs_no_robust_error(fit: Result, r: dict[str, Any]) -> None:
    agree(
        list(fit.diagnostics["std_error_information"].values()),
        by_term(r["se_model_based"], fit.coefficients["term"]),
        OPTIMISED,
    )
    agree(fit.log_likelihood, r["log_partial_likelihood"], CLOSED)
    agree(fit.diagnostics["log_likelihood_null"], r["log_partial_likelihood_null"], CLOSED)
    agree(
        fit.table.set_index("test").loc[["likelihood ratio", "score"], "statistic"],
        [r["likelihood_ratio_test"], r["score_test"]],
        OPTIMISED,
    )


def test_monotone_likelihood_is_refused() -> None:
    # R warns and stops at a large number; the likelihood without the arm's effect is finite
    r = golden("cox_rare_monotone_unpenalised")
    assert r["arm_coefficient_diverges"]
    with pytest.raises(NotEstimable, match="'arm' separates the events"):
        cox("arm + age + biomarker", frame("rare"), "time", "status")


FIRTH = {
    ("heart_firth_efron", "heart_firth_breslow"): (
        "heart",
        "age + surgery + transplant",
        {"time": "stop", "event": "event", "entry": "start"},
    ),
    ("ovarian_firth_efron", "ovarian_firth_breslow"): (
        "ovarian",
        "age + rx",
        {"time": "futime", "event": "fustat"},
    ),
    ("firth_cox_rare_efron", "firth_cox_rare_breslow"): (
        "rare",
        "arm + age + biomarker",
        {"time": "time", "event": "status"},
    ),
    ("firth_cox_rare_arm_only_efron", "firth_cox_rare_arm_only_breslow"): (
        "rare",
        "arm",
        {"time": "time", "event": "status"},
    ),
    ("firth_cox_counting_efron", "firth_cox_counting_breslow"): (
        "counting",
        "exposed + age + arm",
        {"time": "stop", "event": "event", "entry": "start"},
    ),
}


@pytest.mark.parametrize(
    ("name", "call"), [(name, call) for names, call in FIRTH.items() for name in names]
)
def test_firth(name: str, call: tuple[str, str, dict[str, str]]) -> None:
    data, formula, columns = call
    r = golden(name)
    fit = cox(formula, frame(data), **columns, ties=name.rpartition("_")[2], firth=True)
    c = fit.coefficients
    agree(c["estimate"], by_term(r["coef"], c["term"]), OPTIMISED)
    agree(c["std_error"], by_term(r["se_inverse_information"], c["term"]), OPTIMISED)
    agree(c["ci_low"], by_term(r["profile_ci95_lower"], c["term"]), OPTIMISED)
    agree(c["ci_high"], by_term(r["profile_ci95_upper"], c["term"]), OPTIMISED)
    agree(c["statistic"], by_term(r["penalized_lr_chisq"], c["term"]), OPTIMISED)
    agree(c["p_value"], by_term(r["penalized_lr_p"], c["term"]), OPTIMISED)
    agree(fit.log_likelihood, r["penalized_log_likelihood"], CLOSED)
    agree(fit.table["statistic"], r["global_penalized_lr_chisq"], OPTIMISED)
