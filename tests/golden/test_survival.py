"""kaplan_meier, aalen_johansen and logrank against survival and an etm-type formula in R."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from golden_support import CLOSED, agree, at_times, frame, golden

from ketamine_outcomes.estimators import aalen_johansen, kaplan_meier, logrank

STATUS = {"time": "time", "event": "status"}
KM = {}
for _ci in ("plain", "log", "log-log"):
    _r = _ci.replace("-", "")
    KM[f"km_right_{_r}"] = ("tte", {**STATUS, "group": "arm", "ci": _ci})
    KM[f"km_lefttrunc_{_r}"] = ("tte", {**STATUS, "entry": "entry", "ci": _ci})
    KM[f"km_lefttrunc_arm_{_r}"] = ("tte", {**STATUS, "entry": "entry", "group": "arm", "ci": _ci})
    KM[f"lung_km_{_r}"] = ("lung", {"time": "time", "event": "died", "group": "sex", "ci": _ci})
    KM[f"ovarian_km_{_r}"] = (
        "ovarian",
        {"time": "futime", "event": "fustat", "group": "rx", "ci": _ci},
    )
KM["km_overall"] = ("tte", {**STATUS, "ci": "log-log"})
KM["km_timevarying_exposure"] = (
    "counting",
    {"time": "stop", "event": "event", "entry": "start", "group": "exposed", "ci": "log-log"},
)


def data(name: str) -> pd.DataFrame:
    d = frame(name)
    return d.assign(died=d["status"] - 1) if name == "lung" else d


@pytest.mark.parametrize("name", KM)
def test_kaplan_meier(name: str) -> None:
    source, call = KM[name]
    r = golden(name)
    curve = kaplan_meier(data(source), **call).curve
    full = r["full_curve"]
    agree(curve["time"], full["time"], CLOSED)
    agree(curve["n_at_risk"], full["n_risk"], CLOSED)
    agree(curve["n_events"], full["n_event"], CLOSED)
    agree(curve["estimate"], full["surv"], CLOSED)
    alive = curve["estimate"].to_numpy() > 0
    agree(
        (curve["std_error"] / curve["estimate"])[alive],
        np.array(full["se_log_surv"], object)[alive],
        CLOSED,
    )
    shown = pd.DataFrame({k: v for k, v in r["at_times"].items()})
    for stratum, rows in shown.groupby("stratum"):
        level = str(stratum).split("=")[-1].strip()
        mine = curve[(curve["group"].astype(str) == level)]
        agree(at_times(mine, rows["time"], "std_error"), rows["se_surv"], CLOSED)
        agree(at_times(mine, rows["time"], "ci_low", 1.0), rows["lower95"], CLOSED)
        agree(at_times(mine, rows["time"], "ci_high", 1.0), rows["upper95"], CLOSED)


@pytest.mark.parametrize(
    ("name", "source", "call", "where"),
    [
        ("aj_greenwood", "tte", {}, None),
        ("aj_greenwood_lefttrunc", "tte", {"entry": "entry"}, None),
        ("mgus2_aj_greenwood_F", "mgus2", {"group": "sex"}, "F"),
        ("mgus2_aj_greenwood_M", "mgus2", {"group": "sex"}, "M"),
        ("mgus2_aj_lefttrunc", "mgus2_age", {"entry": "age"}, None),
    ],
)
def test_greenwood(name: str, source: str, call: dict[str, str], where: str | None) -> None:
    r = golden(name)
    if source == "tte":
        rows, columns = frame("tte"), STATUS
    else:
        d = frame("mgus2")
        rows, columns = d, {"time": "etime", "event": "event"}
        if source == "mgus2_age":
            d = d.assign(until=d["age"] + d["etime"] / 12)
            rows = d[(d["until"] > d["age"]) & (d["age"] >= 50)]
            columns = {"time": "until", "event": "event"}
    curve = aalen_johansen(rows, **columns, **call).curve
    if where:
        curve = curve[curve["group"] == where]
    for cause in (1, 2):
        mine = curve[curve["cause"] == cause]
        agree(at_times(mine, r["times"], "estimate"), r[f"cause_{cause}"]["estimate"], CLOSED)
        agree(at_times(mine, r["times"], "std_error"), r[f"cause_{cause}"]["se_greenwood"], CLOSED)


JACKKNIFE = {
    "aj_right": ("tte", {**STATUS, "ci": "log"}),
    "aj_by_arm": ("tte", {**STATUS, "group": "arm", "ci": "log"}),
    "aj_loglog": ("tte", {**STATUS, "group": "arm", "ci": "log-log"}),
    "aj_lefttrunc": ("tte", {**STATUS, "entry": "entry", "ci": "log"}),
    "aj_lefttrunc_by_arm": ("tte", {**STATUS, "entry": "entry", "group": "arm", "ci": "log"}),
    "mgus2_aj": ("mgus2", {"time": "etime", "event": "event", "group": "sex", "ci": "log"}),
    "mgus2_aj_loglog": ("mgus2", {"time": "etime", "event": "event", "ci": "log-log"}),
}


@pytest.mark.parametrize("name", JACKKNIFE)
def test_infinitesimal_jackknife(name: str) -> None:
    source, call = JACKKNIFE[name]
    r = golden(name)["at_times"]
    curve = aalen_johansen(frame(source), **call, variance="jackknife").curve
    for stratum in dict.fromkeys(r["stratum"]):
        rows = [i for i, s in enumerate(r["stratum"]) if s == stratum]
        times = [r["time"][i] for i in rows]
        mine = curve[curve["group"].astype(str) == stratum.split("=")[-1]]
        for cause in (1, 2):
            part = mine[mine["cause"] == cause]
            for ours, theirs in (
                ("estimate", "probability_in_state"),
                ("std_error", "se_infinitesimal_jackknife"),
                ("ci_low", "lower95"),
                ("ci_high", "upper95"),
            ):
                expected = [r[theirs]["values"][i][cause] for i in rows]
                agree(at_times(part, times, ours), expected, CLOSED, f"{ours} {stratum}")


@pytest.mark.parametrize(
    ("name", "source", "call"),
    [
        ("logrank_grho_0", "tte", {**STATUS, "group": "arm"}),
        ("logrank_three_groups", "tte", {**STATUS, "group": "stage"}),
        ("lung_logrank_rho0", "lung", {"time": "time", "event": "died", "group": "sex"}),
        ("ovarian_logrank", "ovarian", {"time": "futime", "event": "fustat", "group": "rx"}),
        ("veteran_logrank_celltype_rho0", "veteran", {**STATUS, "group": "celltype"}),
    ],
)
def test_logrank(name: str, source: str, call: dict[str, str]) -> None:
    r = golden(name)
    row = logrank(data(source), **call).table.iloc[0]
    agree(row["statistic"], r["chisq"], CLOSED)
    agree(row["p_value"], r["p"], CLOSED)
    assert row["df"] == r["df"]
