"""fine_gray against cmprsk::crr and, with delayed entry, finegray() + coxph of survival."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from golden_support import OPTIMISED, agree, agree_log, by_term, frame, golden

from ketamine_outcomes.estimators import fine_gray

STATUS = {"time": "time", "event": "status"}
TTE = {**STATUS, "formula": "age + male + stage + marker"}
MGUS2 = {"formula": "age + sex + hgb + mspike", "time": "etime", "event": "event"}
PBC = {
    "formula": "age + edema + np.log(bili) + np.log(albumin)",
    "time": "time",
    "event": "status",
    "cause": 2,
}


def data(name: str) -> pd.DataFrame:
    if name == "tte_untied":
        d = frame("tte")
        return d.assign(time=d["time"] + d["patient"] / 10000)
    if name == "tte_coarse":
        d = frame("tte")
        return d.assign(time=np.floor(d["time"] / 4))
    return frame(name)


CRR: dict[str, tuple[str, dict[str, Any]]] = {
    "crr_cause1": ("tte", TTE),
    "crr_cause2": ("tte", {**TTE, "cause": 2}),
    "crr_cengroup": (
        "tte",
        {**TTE, "formula": TTE["formula"] + " + arm", "censoring_group": "arm"},
    ),
    "crr_untied": ("tte_untied", TTE),
    "mgus2_crr_cause1": ("mgus2", MGUS2),
    "mgus2_crr_cause2": ("mgus2", {**MGUS2, "cause": 2}),
    "pbc_crr": ("pbc", PBC),
    "crr_coarse_times": (
        "tte_coarse",
        {**STATUS, "formula": "age + male + stage", "censoring_group": "arm"},
    ),
    "bmt_crr": ("bmt", {**STATUS, "formula": "disease + age * donor_age"}),
    "melanoma_crr_cengroup": (
        "melanoma",
        {**STATUS, "formula": "age + male + np.log(thickness)", "censoring_group": "ulcer"},
    ),
    "transplant_crr_cengroup": (
        "transplant",
        {**STATUS, "formula": "age + sex + year", "cause": 2, "censoring_group": "abo"},
    ),
}


def r_terms(values: dict[str, float], terms: Any) -> np.ndarray:
    """R's numbers in our order; `log(x)` of R is `np.log(x)` here."""
    return by_term(values, [t.replace("np.", "") for t in terms])


@pytest.mark.parametrize("name", CRR)
def test_crr(name: str) -> None:
    source, call = CRR[name]
    r = golden(name)
    rows = data(source)
    fit = fine_gray(**call, data=rows)
    table, terms = fit.coefficients, list(fit.coefficients["term"])
    assert fit.diagnostics["n_observations"] == r["n"]
    agree(table["estimate"], r_terms(r["coef"], terms), OPTIMISED)
    agree(np.exp(table["estimate"]), r_terms(r["subdistribution_hazard_ratio"], terms), OPTIMISED)
    agree(table["std_error"], r_terms(r["se_robust"], terms), OPTIMISED)
    agree(table["statistic"], r_terms(r["z"], terms), OPTIMISED)
    agree_log(table["p_value"], r_terms(r["p"], terms), OPTIMISED)
    agree(fit.covariance, r["vcov_robust"]["values"], OPTIMISED)
    naive = fit.diagnostics["std_error_information"]
    diagonal = np.diag(np.array(r["vcov_inverse_information"]["values"]))
    agree([naive[t] for t in terms], np.sqrt(diagonal), OPTIMISED)
    agree(fit.log_likelihood, r["log_pseudo_likelihood"], OPTIMISED)
    agree(fit.diagnostics["log_likelihood_null"], r["log_pseudo_likelihood_null"], OPTIMISED)
    times = r["baseline_event_times_first10"]
    agree(baseline_jumps(fit, rows, times), r["baseline_jumps_first10"], OPTIMISED)


def baseline_jumps(fit: Any, rows: pd.DataFrame, times: list[float]) -> np.ndarray:
    """Jumps of the baseline hazard, from curves of one subject and its log hazard ratio."""
    one = rows.dropna().iloc[:1]
    curve = fit.predict_incidence(one, times)
    linear = float(fit._fitted.built.new(one)[0] @ fit.coefficients["estimate"])
    return np.asarray(np.diff(np.r_[0.0, -np.log1p(-curve["estimate"])]) / np.exp(linear))


def test_predicted_incidence() -> None:
    r = golden("crr_predict")
    fit = fine_gray(**TTE, data=frame("tte"))
    new = pd.DataFrame({"age": [60, 70], "male": [1, 0], "stage": ["I", "II"], "marker": [0, -1]})
    curve = fit.predict_incidence(new, r["time"])
    for row in (0, 1):
        mine = curve[curve["group"] == row]
        agree(mine["time"], r["time"], OPTIMISED)
        agree(mine["estimate"], r[f"cif_subject{row + 1}"], OPTIMISED)


def test_frequency_weights_are_repeated_rows() -> None:
    r = golden("melanoma_crr_copies")
    formula = "age + male + np.log(thickness)"
    fit = fine_gray(formula, frame("melanoma"), **STATUS, weights="copies")
    terms = list(fit.coefficients["term"])
    agree(fit.coefficients["estimate"], r_terms(r["coef"], terms), OPTIMISED)
    agree(fit.log_likelihood, r["log_pseudo_likelihood"], OPTIMISED)
    agree(fit.diagnostics["log_likelihood_null"], r["log_pseudo_likelihood_null"], OPTIMISED)
    naive = fit.diagnostics["std_error_information"]
    diagonal = np.diag(np.array(r["vcov_inverse_information"]["values"]))
    agree([naive[t] for t in terms], np.sqrt(diagonal), OPTIMISED)
    # the robust standard error of repeated rows needs the rows: each is a unit of its own
    rows = frame("melanoma")
    rows = rows.loc[rows.index.repeat(rows["copies"])]
    again = fine_gray(formula, rows, **STATUS)
    agree(again.coefficients["std_error"], r_terms(r["se_robust"], terms), OPTIMISED)
    agree(again.covariance, r["vcov_robust"]["values"], OPTIMISED)


LATE = {**STATUS, "entry": "entry"}
ENTRY: dict[str, tuple[str, dict[str, Any]]] = {
    "finegray_coxph_lefttrunc": ("tte", {**LATE, "formula": "age + male + marker"}),
    "bmt_finegray_lefttrunc_cluster": (
        "bmt",
        {**LATE, "formula": "disease + age", "cluster": "site"},
    ),
    "transplant_finegray_lefttrunc": (
        "transplant",
        {**LATE, "formula": "age + sex + year", "cause": 2},
    ),
    "transplant_finegray_lefttrunc_strata": (
        "transplant",
        {**LATE, "formula": "age + year", "cause": 2, "strata": "sex"},
    ),
}


@pytest.mark.parametrize("name", ENTRY)
def test_delayed_entry(name: str) -> None:
    source, call = ENTRY[name]
    r = golden(name)
    fit = fine_gray(**call, data=frame(source))
    table, terms = fit.coefficients, list(fit.coefficients["term"])
    agree(table["estimate"], r_terms(r["coef"], terms), OPTIMISED)
    agree(np.exp(table["estimate"]), r_terms(r["hazard_ratio"], terms), OPTIMISED)
    agree(table["std_error"], r_terms(r["se_robust"], terms), OPTIMISED)
    agree(table["statistic"], r_terms(r["z"], terms), OPTIMISED)
    agree(table["p_value"], r_terms(r["p"], terms), OPTIMISED)
    agree(fit.covariance, r["vcov_robust"]["values"], OPTIMISED)
    naive = fit.diagnostics["std_error_information"]
    agree([naive[t] for t in terms], r_terms(r["se_model_based"], terms), OPTIMISED)
    agree(fit.log_likelihood, r["log_partial_likelihood"], OPTIMISED)
    agree(fit.diagnostics["log_likelihood_null"], r["log_partial_likelihood_null"], OPTIMISED)
    tests = fit.table.set_index("test")["statistic"]
    agree(tests["pseudo-likelihood ratio"], r["likelihood_ratio_test"], OPTIMISED)
    assert "weights as known" in fit.diagnostics["variance"]


def censored_after_events(rows: pd.DataFrame, time: str, event: str) -> pd.DataFrame:
    """Censorings moved behind the events at the same time, before any later time."""
    return rows.assign(**{time: rows[time] + np.where(rows[event] == 0, 1e-5, 0.0)})


@pytest.mark.parametrize(
    ("name", "source", "call", "std_error"),
    [
        ("finegray_coxph_untied", "tte_untied", TTE, 0.00086),
        ("finegray_coxph_breslow", "tte", TTE, 0.000891),
        ("mgus2_finegray_cause1_breslow", "mgus2", MGUS2, 0.00475),
        ("mgus2_finegray_cause2_breslow", "mgus2", {**MGUS2, "cause": 2}, 0.000867),
    ],
)
def test_finegray_and_crr_differ_by_ties_and_the_censoring_term_only(
    name: str, source: str, call: dict[str, Any], std_error: float
) -> None:
    """finegray() lets an event leave before a censoring at the same time, crr does not.

    Its robust standard error takes the weights as known: `std_error` is the largest relative
    difference.
    """
    r = golden(name)
    rows = censored_after_events(data(source), call["time"], call["event"])
    fit = fine_gray(**call, data=rows)
    table, terms = fit.coefficients, list(fit.coefficients["term"])
    agree(table["estimate"], r_terms(r["coef"], terms), 1e-9)
    agree(fit.log_likelihood, r["log_partial_likelihood"], 1e-9)
    agree(fit.diagnostics["log_likelihood_null"], r["log_partial_likelihood_null"], 1e-9)
    naive = fit.diagnostics["std_error_information"]
    agree([naive[t] for t in terms], r_terms(r["se_model_based"], terms), 1e-9)
    gap = np.abs(table["std_error"] / r_terms(r["se_robust"], terms) - 1)
    assert gap.max() == pytest.approx(std_error, rel=0.01)


@pytest.mark.parametrize(
    ("name", "source", "call", "coefficient", "std_error"),
    [
        ("finegray_coxph_efron", "tte", TTE, 0.0380, 0.01075),
        ("mgus2_finegray_cause1_efron", "mgus2", MGUS2, 0.00718, 0.00519),
        ("mgus2_finegray_cause2_efron", "mgus2", {**MGUS2, "cause": 2}, 0.0452, 0.00788),
    ],
)
def test_efron_ties_are_another_estimator(
    name: str, source: str, call: dict[str, Any], coefficient: float, std_error: float
) -> None:
    """Differences as between R's own two routes: in standard errors, and of these relatively."""
    r = golden(name)
    table = fine_gray(**call, data=data(source)).coefficients
    terms = list(table["term"])
    gap = np.abs((table["estimate"] - r_terms(r["coef"], terms)) / table["std_error"]).max()
    assert gap == pytest.approx(coefficient, rel=0.01)
    gap = np.abs(table["std_error"] / r_terms(r["se_robust"], terms) - 1).max()
    assert gap == pytest.approx(std_error, rel=0.01)
