"""mean_cumulative_function against survfit and two independent formulas in R."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from golden_support import CLOSED, agree, at_times, frame, golden

from ketamine_outcomes.estimators import mean_cumulative_function

DAILY = {"time": "tstop", "event": "status", "entry": "tstart", "cluster": "patient"}
BLADDER = {"time": "stop", "entry": "start", "cluster": "id"}
MCF: dict[str, tuple[str, dict[str, str]]] = {
    "recurrent_mcf": ("recurrent", DAILY),
    "recurrent_mcf_by_arm": ("recurrent", {**DAILY, "group": "arm"}),
    "bladder1_mcf": ("bladder1", {**BLADDER, "event": "code", "group": "treatment"}),
    "bladder2_mcf": ("bladder2", {**BLADDER, "event": "event", "group": "rx"}),
}


def data(name: str) -> pd.DataFrame:
    d = frame(name)
    if name == "bladder1":  # 2 and 3 are deaths
        d = d[d["stop"] > d["start"]]
        d = d.assign(code=d["status"].clip(upper=2))
    return d


@pytest.mark.parametrize("name", MCF)
def test_mean_cumulative_function(name: str) -> None:
    source, call = MCF[name]
    r = golden(name)
    curve = mean_cumulative_function(data(source), **call).curve
    known = pd.DataFrame(r)
    for stratum, rows in known.groupby("stratum"):
        mine = curve[curve["group"].astype(str) == str(stratum).split("=")[-1]]
        times = rows["time"].to_numpy(dtype=float)
        agree(at_times(mine, times, "estimate"), rows["mean_cumulative_function"], CLOSED)
        agree(at_times(mine, times, "std_error"), rows["se_robust"], CLOSED)
        # survfit shows who is at risk at the next time of its curve, 0 after the last
        after = np.searchsorted(mine["time"].to_numpy(), times)
        at_risk = np.r_[mine["n_at_risk"].to_numpy(), 0][after]
        agree(at_risk, rows["n_risk"], CLOSED)


def test_lawless_nadeau_by_formula() -> None:
    r = golden("recurrent_mcf_lawless_nadeau")
    curve = mean_cumulative_function(data("recurrent"), **DAILY).curve
    agree(at_times(curve, r["time"], "estimate"), r["mean_cumulative_function"], CLOSED)
    agree(at_times(curve, r["time"], "std_error"), r["se_robust"], CLOSED)
    events = curve[curve["n_events"] > 0]
    agree(at_times(events, r["time"], "n_at_risk"), r["n_risk_at_last_event"], CLOSED)


def ghosh_lin_agrees(curve: pd.DataFrame, r: dict[str, Any]) -> None:
    agree(at_times(curve, r["time"], "estimate"), r["mean_cumulative_function"], CLOSED)
    agree(at_times(curve, r["time"], "std_error"), r["se_infinitesimal_jackknife"], CLOSED)


@pytest.mark.parametrize(
    ("name", "arm"),
    [
        ("recurrent_ghosh_lin_all", None),
        ("recurrent_ghosh_lin_0", 0),
        ("recurrent_ghosh_lin_1", 1),
    ],
)
def test_ghosh_lin(name: str, arm: int | None) -> None:
    r = golden(name)
    d = data("recurrent")
    group = None if arm is None else "arm"
    result = mean_cumulative_function(d, **DAILY, terminal=2, group=group)
    curve = result.curve
    if arm is not None:
        curve, d = curve[curve["group"] == arm], d[d["arm"] == arm]
        result = mean_cumulative_function(d, **DAILY, terminal=2)
    ghosh_lin_agrees(curve, r)
    assert result.diagnostics["n_clusters"] == r["n_patients"]


def test_ghosh_lin_bladder() -> None:
    known = golden("bladder1_ghosh_lin")
    curve = mean_cumulative_function(
        data("bladder1"), **BLADDER, event="code", terminal=2, group="treatment"
    ).curve
    assert list(dict.fromkeys(curve["group"])) == list(known)
    for arm, r in known.items():
        ghosh_lin_agrees(curve[curve["group"] == arm], r)


def test_infections_by_treatment() -> None:
    r = golden("cgd_mcf")
    curve = mean_cumulative_function(
        data("cgd"), "tstop", "status", "id", entry="tstart", group="treat"
    ).curve
    assert curve["group"].tolist() == r["group"]
    agree(curve["time"], r["time"], CLOSED)
    agree(curve["n_at_risk"], r["n_risk"], CLOSED)
    agree(curve["estimate"], r["mean_cumulative_function"], CLOSED)
    agree(curve["std_error"], r["se_robust"], CLOSED)
