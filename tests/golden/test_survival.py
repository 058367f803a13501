"""kaplan_meier and logrank against survival in R."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from golden_support import CLOSED, agree, at_times, frame, golden

from ketamine_outcomes.estimators import kaplan_meier, logrank

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
