"""cox against survival::coxph and an independent Firth implementation in R."""

from __future__ import annotations

from collections.abc import Callable

import pandas as pd
import pytest
from golden_support import CLOSED, OPTIMISED, agree, agree_log, by_term, frame, golden

from ketamine_outcomes.estimators import cox

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


EVERY_TIE = {  # id without the ending _efron or _breslow
    "cox": (tte, FULL, TTE),
    "cox_cluster_site": (tte, FULL, {**TTE, "cluster": "site"}),
    "cox_frequency_weights": (tte, FULL, {**TTE, "weights": "iweight"}),
    "cox_lefttrunc": (tte, FULL, LATE),
    "cox_lefttrunc_cluster": (tte, FULL, {**LATE, "cluster": "site"}),
    "cox_lefttrunc_weighted_cluster": (tte, FULL, {**LATE, "weights": "weight", "cluster": "site"}),
    "recurrent_AG": (
        recurrent,
        "arm + age + body_site",
        {"time": "tstop", "event": "again", "entry": "tstart", "cluster": "patient"},
    ),
    "recurrent_PWP_total": (
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
    "recurrent_PWP_gap": (
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
    "heart_cox": (
        named("heart"),
        "age + year + surgery + transplant",
        {"time": "stop", "event": "event", "entry": "start"},
    ),
    "heart_cox_robust": (
        named("heart"),
        "(age + surgery) * transplant",
        {"time": "stop", "event": "event", "entry": "start", "cluster": "id"},
    ),
    "lung_cox": (lung, "age + sex + ph_ecog", {"time": "time", "event": "died"}),
    "lung_cox_cluster": (
        lung,
        "age + sex + ph_ecog",
        {"time": "time", "event": "died", "cluster": "inst"},
    ),
    "lung_cox_strata": (lung, "age + ph_ecog", {"time": "time", "event": "died", "strata": "sex"}),
    "ovarian_cox": (named("ovarian"), "age + rx", {"time": "futime", "event": "fustat"}),
    "pbc_cox": (
        pbc,
        "age + edema + log(bili) + log(albumin) + log(protime)",
        {"time": "time", "event": "died"},
    ),
    "rats_cox_cluster": (
        named("rats"),
        "rx + sex",
        {"time": "time", "event": "status", "cluster": "litter"},
    ),
    "retinopathy_cox_cluster": (
        named("retinopathy"),
        "trt * type",
        {"time": "futime", "event": "status", "cluster": "id"},
    ),
    "veteran_cox": (
        named("veteran"),
        "trt + karno + age + celltype",
        {"time": "time", "event": "status"},
    ),
    "bladder2_AG": (
        bladder2,
        "rx + number + size",
        {"time": "stop", "event": "event", "entry": "start", "cluster": "id"},
    ),
    "bladder2_PWP_total": (
        bladder2,
        "rx + number + size",
        {"time": "stop", "event": "event", "entry": "start", "cluster": "id", "strata": "enum"},
    ),
    "bladder2_PWP_gap": (
        bladder2,
        "rx + number + size",
        {"time": "gap", "event": "event", "cluster": "id", "strata": "enum"},
    ),
    "bladder_WLW": (
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
    (f"{name}_{ties}", *rest, ties)
    for name, rest in EVERY_TIE.items()
    for ties in ("efron", "breslow")
] + [(name, *rest, "efron") for name, rest in EFRON.items()]


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
    agree(c["std_error"], by_term(r.get("se_robust", r["se_model_based"]), c["term"]), OPTIMISED)
    agree(
        list(fit.diagnostics["std_error_information"].values()),
        by_term(r["se_model_based"], c["term"]),
        OPTIMISED,
    )
    agree(c["statistic"], by_term(r["z"], c["term"]), OPTIMISED)
    agree_log(c["p_value"], by_term(r["p"], c["term"]), OPTIMISED)
    agree(fit.log_likelihood, r["log_partial_likelihood"], CLOSED)
    agree(fit.diagnostics["log_likelihood_null"], r["log_partial_likelihood_null"], CLOSED)
    tests = fit.table.set_index("test")["statistic"]
    agree(
        tests[["likelihood ratio", "wald", "score"]],
        [r["likelihood_ratio_test"], r["wald_test"], r["score_test"]],
        OPTIMISED,
    )


FIRTH = {
    "heart_firth": (
        "heart",
        "age + surgery + transplant",
        {"time": "stop", "event": "event", "entry": "start"},
    ),
    "ovarian_firth": ("ovarian", "age + rx", {"time": "futime", "event": "fustat"}),
    "firth_cox_rare": ("rare", "arm + age + biomarker", {"time": "time", "event": "status"}),
    "firth_cox_rare_arm_only": ("rare", "arm", {"time": "time", "event": "status"}),
    "firth_cox_counting": (
        "counting",
        "exposed + age + arm",
        {"time": "stop", "event": "event", "entry": "start"},
    ),
}


@pytest.mark.parametrize("ties", ["efron", "breslow"])
@pytest.mark.parametrize("name", FIRTH)
def test_firth(name: str, ties: str) -> None:
    data, formula, columns = FIRTH[name]
    r = golden(f"{name}_{ties}")
    fit = cox(formula, frame(data), **columns, ties=ties, firth=True)
    c = fit.coefficients
    agree(c["estimate"], by_term(r["coef"], c["term"]), OPTIMISED)
    agree(c["std_error"], by_term(r["se_inverse_information"], c["term"]), OPTIMISED)
    agree(c["ci_low"], by_term(r["profile_ci95_lower"], c["term"]), OPTIMISED)
    agree(c["ci_high"], by_term(r["profile_ci95_upper"], c["term"]), OPTIMISED)
    agree(c["statistic"], by_term(r["penalized_lr_chisq"], c["term"]), OPTIMISED)
    agree(c["p_value"], by_term(r["penalized_lr_p"], c["term"]), OPTIMISED)
    agree(fit.log_likelihood, r["penalized_log_likelihood"], CLOSED)
    agree(fit.table["statistic"], r["global_penalized_lr_chisq"], OPTIMISED)
