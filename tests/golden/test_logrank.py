"""logrank against survdiff, and with delayed entry against the formula."""

from __future__ import annotations

import pandas as pd
import pytest
from golden_support import CLOSED, agree, frame, golden

from ketamine_outcomes.estimators import logrank

TTE = {"time": "time", "event": "status"}
LUNG = {"time": "time", "event": "died", "group": "sex"}
CELLS = {**TTE, "group": "celltype"}
CASES = {
    "logrank_grho_0": ("tte", {**TTE, "group": "arm"}, 0),
    "logrank_grho_5": ("tte", {**TTE, "group": "arm"}, 0.5),
    "logrank_grho_10": ("tte", {**TTE, "group": "arm"}, 1),
    "logrank_three_groups": ("tte", {**TTE, "group": "stage"}, 0),
    "logrank_stratified": ("tte", {**TTE, "group": "arm", "strata": "stage"}, 0),
    "logrank_peto_stratified": ("tte", {**TTE, "group": "arm", "strata": "stage"}, 1),
    "lung_logrank_rho0": ("lung", LUNG, 0),
    "lung_logrank_rho1": ("lung", LUNG, 1),
    "ovarian_logrank": ("ovarian", {"time": "futime", "event": "fustat", "group": "rx"}, 0),
    "veteran_logrank_celltype_rho0": ("veteran", CELLS, 0),
    "veteran_logrank_celltype_rho1": ("veteran", CELLS, 1),
    "veteran_logrank_stratified": (
        "veteran",
        {**TTE, "group": "trt", "strata": "celltype"},
        0,
    ),
    "retinopathy_logrank_paired": (
        "retinopathy",
        {"time": "futime", "event": "status", "group": "trt", "strata": "id"},
        0,
    ),
    "pbc_logrank_stage_rho": (
        "pbc",
        {"time": "time", "event": "died", "group": "stage", "strata": "sex"},
        0.5,
    ),
}


def data(name: str) -> pd.DataFrame:
    d = frame(name)
    if name == "lung":
        return d.assign(died=d["status"] - 1)
    return d.assign(died=d["status"] == 2) if name == "pbc" else d


@pytest.mark.parametrize("name", CASES)
def test_logrank(name: str) -> None:
    source, call, rho = CASES[name]
    r = golden(name)
    result = logrank(data(source), **call, rho=rho)
    row = result.table.iloc[0]
    agree(row["statistic"], r["chisq"], CLOSED)
    agree(row["p_value"], r["p"], CLOSED)
    assert row["df"] == r["df"]
    agree(list(result.diagnostics["n"].values()), r["n"], CLOSED)
    agree(list(result.diagnostics["observed"].values()), r["observed"], CLOSED)
    agree(list(result.diagnostics["expected"].values()), r["expected"], CLOSED)
    agree(result.covariance, r["variance"]["values"], CLOSED)


def test_delayed_entry() -> None:
    r = golden("logrank_lefttrunc_score")
    known = r["hypergeometric_variance_formula"]
    result = logrank(frame("tte"), "time", "status", "arm", entry="entry")
    row = result.table.iloc[0]
    agree(row["statistic"], known["chisq"], CLOSED)
    agree(row["p_value"], known["p"], CLOSED)
    assert row["df"] == known["df"]
    excess = result.diagnostics["observed"][1] - result.diagnostics["expected"][1]
    agree(excess, known["observed_minus_expected_arm1"], CLOSED)
    agree(result.covariance.loc[1, 1], known["variance"], CLOSED)


@pytest.mark.parametrize(
    ("name", "call"),
    [
        (
            "channing_logrank_exact",
            {"time": "age", "event": "death", "group": "gender", "entry": "ageentry"},
        ),
        (
            "cgd_logrank_exact",
            {
                "time": "tstop",
                "event": "status",
                "group": "hos_cat",
                "entry": "tstart",
                "strata": "sex",
            },
        ),
    ],
)
def test_delayed_entry_is_the_exact_score_test(name: str, call: dict[str, str]) -> None:
    r = golden(name)
    row = logrank(data(name.split("_")[0]), **call).table.iloc[0]
    agree(row["statistic"], r["chisq"], CLOSED)
    agree(row["p_value"], r["p"], CLOSED)
    assert row["df"] == r["df"]
