"""rmst and restricted_mean_time_lost against survfit."""

from __future__ import annotations

import pandas as pd
import pytest
from golden_support import CLOSED, agree, frame, golden

from ketamine_outcomes.estimators import restricted_mean_time_lost, rmst

TTE = {"time": "time", "event": "status"}
RMST = {
    "rmst": ("tte", {**TTE, "group": "arm"}),
    "rmst_lefttrunc": ("tte", {**TTE, "entry": "entry", "group": "arm"}),
    "rmst_formula": ("tte", {**TTE, "group": "arm"}),
    "lung_rmst": ("lung", {"time": "time", "event": "died", "group": "sex"}),
    "veteran_rmst": ("veteran", {**TTE, "group": "trt"}),
}


def data(name: str) -> pd.DataFrame:
    d = frame(name)
    return d.assign(died=d["status"] - 1) if name == "lung" else d


@pytest.mark.parametrize("name", RMST)
def test_restricted_mean_survival(name: str) -> None:
    source, call = RMST[name]
    for horizon, r in golden(name).items():
        table = rmst(data(source), **call, tau=float(horizon.split("_")[1])).table
        table = table.set_index("measure")
        agree(table.loc["mean", "estimate"], r["rmst"], CLOSED)
        agree(table.loc["mean", "std_error"], r["se"], CLOSED)
        if "difference_se" in r:
            row = table.loc["difference"]
            agree(row["estimate"], r["difference_second_minus_first"], CLOSED)
            agree(row["std_error"], r["difference_se"], CLOSED)
            agree([row["ci_low"], row["ci_high"]], r["difference_ci95"], CLOSED)
            agree(row["p_value"], r["difference_p"], CLOSED)


@pytest.mark.parametrize(
    ("name", "call"),
    [
        ("veteran_rmst_celltype", {**TTE, "group": "celltype"}),
        (
            "channing_rmst_lefttrunc",
            {"time": "age", "event": "death", "entry": "ageentry", "group": "gender"},
        ),
    ],
)
def test_restricted_mean_on_other_data(name: str, call: dict[str, str]) -> None:
    r = golden(name)
    table = rmst(data(name.split("_")[0]), **call, tau=r["tau"]).table
    table = table[table["measure"] == "mean"]
    agree(table["estimate"], r["rmst"], CLOSED)
    agree(table["std_error"], r["se"], CLOSED)


TIME_LOST = {
    "aj_right": ("tte", TTE),
    "aj_by_arm": ("tte", {**TTE, "group": "arm"}),
    "mgus2_aj": ("mgus2", {"time": "etime", "event": "event", "group": "sex"}),
}


@pytest.mark.parametrize("cause", [1, 2])
@pytest.mark.parametrize("name", TIME_LOST)
def test_restricted_mean_time_lost(name: str, cause: int) -> None:
    source, call = TIME_LOST[name]
    r = golden(name)["time_in_state"]
    table = restricted_mean_time_lost(data(source), **call, tau=r["tau"], cause=cause).table
    table = table[table["measure"] == "mean"]
    k = len(table)  # R: all groups of a state, then the next state; state 0 is event-free
    agree(table["estimate"], r["mean"][cause * k : cause * k + k], CLOSED)
    known = r["se_infinitesimal_jackknife"][cause * k : cause * k + k]
    agree(table["std_error"], known, CLOSED)


@pytest.mark.parametrize("cause", [1, 2])
@pytest.mark.parametrize("name", ["pbc_time_lost", "mgus2_time_lost_lefttrunc"])
def test_time_lost_on_other_data(name: str, cause: int) -> None:
    r = golden(name)
    if name == "pbc_time_lost":
        d = data("pbc")
        d, columns = d[d["sex"] == "f"], {"time": "time", "event": "status"}
    else:
        d = data("mgus2").query("age >= 45 and etime > 0")
        d = d.assign(from_month=12 * d["age"], to_month=12 * d["age"] + d["etime"])
        columns = {"time": "to_month", "event": "event", "entry": "from_month"}
    row = restricted_mean_time_lost(d, **columns, tau=r["tau"], cause=cause).table.iloc[0]
    agree(row["estimate"], r["cause_1_2"][cause - 1], CLOSED)
    agree(row["std_error"], r["se_infinitesimal_jackknife"][cause - 1], CLOSED)
