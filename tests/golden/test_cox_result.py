"""What a fitted Cox model tells, against survival's survfit, basehaz, cox.zph and residuals."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from golden_support import CLOSED, OPTIMISED, agree, agree_log, at_times, frame, golden, r_name

from ketamine_outcomes.estimators import CoxResult, cox

TTE = {"time": "time", "event": "cause_1"}
LATE = {**TTE, "entry": "entry"}
LUNG = {"time": "time", "event": "died"}
PERSON = pd.DataFrame({"age": [70], "male": [1], "marker": [-0.5]})


def rows(name: str) -> pd.DataFrame:
    d = frame(name)
    if name == "tte":
        return d.assign(cause_1=(d["status"] == 1) * 1)
    if name in ("lung", "pbc"):
        return d.assign(died=(d["status"] == 2) * 1)
    return d


# ------------------------------------------------------------------- hazard and survival curves


@pytest.mark.parametrize("name", ["cox_basehaz_efron", "cox_basehaz_breslow"])
def test_baseline_hazard(name: str) -> None:
    r = golden(name)
    fit = cox("age + male + marker", rows("tte"), **TTE, ties=name.removeprefix("cox_basehaz_"))
    curve = fit.baseline_hazard()
    agree(curve["time"], r["time"], CLOSED)
    agree(curve["estimate"], r["cumhaz_at_zero"], OPTIMISED)
    # at the means of R the hazard is that at zero times exp(means' coefficients)
    at_means = fit.linear_predictor(pd.DataFrame([r["means"]]))["estimate"].iloc[0]
    agree(curve["estimate"] * np.exp(at_means), r["cumhaz_at_means"], OPTIMISED)


def test_baseline_hazard_by_stratum() -> None:
    r = golden("cox_basehaz_strata")
    curve = cox("age + marker", rows("tte"), **TTE, strata="stage").baseline_hazard()
    assert curve["group"].astype(str).tolist() == r["stratum"]
    agree(curve["time"], r["time"], CLOSED)
    agree(curve["estimate"], r["cumhaz_at_zero"], OPTIMISED)


PREDICTED = {
    "cox_predicted_survival_efron": (TTE, "efron"),
    "cox_predicted_survival_breslow": (TTE, "breslow"),
    "cox_predicted_survival_lefttrunc_efron": (LATE, "efron"),
    "cox_predicted_survival_lefttrunc_breslow": (LATE, "breslow"),
}


@pytest.mark.parametrize("name", PREDICTED)
def test_predicted_survival(name: str) -> None:
    columns, ties = PREDICTED[name]
    fit = cox("age + male + marker", rows("tte"), **columns, ties=ties)
    agree_survival(fit, PERSON, golden(name))


@pytest.mark.parametrize("name", ["lung_cox_predicted_efron", "lung_cox_predicted_breslow"])
def test_lung_curves(name: str) -> None:
    r = golden(name)
    fit = cox("age + sex", rows("lung"), **LUNG, ties=name.removeprefix("lung_cox_predicted_"))
    agree_survival(fit, pd.DataFrame({"age": [60], "sex": [2]}), r["predicted_age60_sex2"])
    curve = fit.baseline_hazard()
    agree(curve["time"], r["basehaz_uncentered"]["time"], CLOSED)
    agree(curve["estimate"], r["basehaz_uncentered"]["cumhaz"], OPTIMISED)


def agree_survival(fit: CoxResult, person: pd.DataFrame, r: dict[str, Any]) -> None:
    read = fit.predict_survival(person, r["time"], ci=r["conf_type"])
    whole = fit.predict_survival(person, ci=r["conf_type"])
    for ours, theirs in (
        ("estimate", "surv"),
        ("std_error", "se_surv"),
        ("ci_low", "lower95"),
        ("ci_high", "upper95"),
    ):
        agree(read[ours], r[theirs], OPTIMISED, ours)
        agree(at_times(whole, r["time"], ours), r[theirs], OPTIMISED, ours)
    agree(-np.log(read["estimate"]), r["cumhaz"], OPTIMISED)


# ------------------------------------------------------------------------- proportional hazards

START_STOP = {"time": "stop", "event": "event", "entry": "start"}
ZPH = {
    "coxzph_efron": ("tte", "age + male + stage + marker", TTE),
    "coxzph_breslow": ("tte", "age + male + stage + marker", {**TTE, "ties": "breslow"}),
    "coxzph_lefttrunc": ("tte", "age + male + stage + marker", LATE),
    "coxzph_strata": ("tte", "age + male + marker", {**TTE, "strata": "stage"}),
    "coxzph_tv": ("counting", "exposed + age + arm", START_STOP),
    "veteran_zph": (
        "veteran",
        "trt + karno + age + celltype",
        {"time": "time", "event": "status"},
    ),
    "lung_zph": ("lung", "age + sex + ph_ecog", LUNG),
    "heart_zph": ("heart", "age + surgery + transplant", START_STOP),
    "pbc_zph": ("pbc", "age + edema + log(bili) + log(albumin) + log(protime)", LUNG),
}


@pytest.mark.parametrize("transform", ["km", "rank", "identity", "log"])
@pytest.mark.parametrize("name", ZPH)
def test_proportional_hazards(name: str, transform: str) -> None:
    source, formula, columns = ZPH[name]
    fit = cox(formula, rows(source), **columns)
    for by, terms in (("by_term", True), ("by_coefficient", False)):
        r = golden(name)[f"{transform}_{by}"]
        table = fit.proportional_hazards_test(transform, terms=terms)
        expected = [r_name(t) for t in r["term"][:-1]]
        assert [r_name(t) for t in table["term"]] == [*expected, "global"]
        agree(table["statistic"], r["chisq"], OPTIMISED)
        assert table["df"].tolist() == r["df"]
        agree_log(table["p_value"], r["p"], OPTIMISED)


# ------------------------------------------------------------------------------------ residuals

RESIDUALS = {
    "cox_residuals": ("tte", "age + male + marker", TTE),
    "cox_residuals_lefttrunc_breslow": (
        "tte",
        "age + male + marker",
        {**LATE, "ties": "breslow"},
    ),
    "ovarian_residuals": ("ovarian", "age + rx", {"time": "futime", "event": "fustat"}),
}


@pytest.mark.parametrize("name", RESIDUALS)
def test_residuals(name: str) -> None:
    source, formula, columns = RESIDUALS[name]
    fit = cox(formula, rows(source), **columns)
    for kind, r in golden(name).items():
        if kind == "robust_variance_crossprod_dfbeta":
            agree(fit.residuals("dfbeta").T @ fit.residuals("dfbeta"), r["values"], OPTIMISED)
            continue
        mine = fit.residuals(kind)
        expected = r["values"] if isinstance(r, dict) else [[v] for v in r]
        if isinstance(r, dict):
            assert [r_name(c) for c in mine.columns] == r["cols"]
        agree(mine.iloc[: len(expected)], expected, OPTIMISED, kind)


@pytest.mark.parametrize(
    ("name", "formula", "time", "event"),
    [
        ("cox_concordance_lung", "age + sex + ph_ecog", "time", "died"),
        ("cox_concordance_veteran", "karno + celltype + age", "time", "status"),
        ("cox_concordance_ovarian", "rx + age", "futime", "fustat"),
        ("cox_concordance_kidney_cox", "age + sex + disease", "time", "status"),
    ],
)
def test_concordance(name: str, formula: str, time: str, event: str) -> None:
    rows = frame(name.removeprefix("cox_concordance_"))
    if event == "died":
        rows = rows.assign(died=(rows["status"] == 2).astype(int))
    agree(cox(formula, rows, time, event).concordance(), golden(name)["concordance"], CLOSED)
