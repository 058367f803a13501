"""aalen_johansen and gray_test against survival, cmprsk and an etm-type formula in R."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from golden_support import CLOSED, agree, at_times, frame, golden

from ketamine_outcomes.estimators import aalen_johansen, gray_test

TTE = {"time": "time", "event": "status"}
LATE = {"entry": "entry"}
MGUS2 = {"time": "etime", "event": "event"}


def data(name: str) -> pd.DataFrame:
    if name == "mgus2_age":
        d = frame("mgus2")
        d = d.assign(until=d["age"] + d["etime"] / 12)
        return d[(d["until"] > d["age"]) & (d["age"] >= 50)]
    if name == "pbc":
        d = frame("pbc")
        return d.assign(years=d["time"] / 365.25)
    d = frame(name)
    return d.assign(both=d["arm"].astype(str) + " " + d["male"].astype(str)) if name == "tte" else d


@pytest.mark.parametrize(
    ("name", "source", "call", "where"),
    [
        ("aj_greenwood", "tte", TTE, None),
        ("aj_greenwood_lefttrunc", "tte", {**TTE, **LATE}, None),
        ("mgus2_aj_greenwood_F", "mgus2", {**MGUS2, "group": "sex"}, "F"),
        ("mgus2_aj_greenwood_M", "mgus2", {**MGUS2, "group": "sex"}, "M"),
        (
            "mgus2_aj_lefttrunc",
            "mgus2_age",
            {"time": "until", "event": "event", "entry": "age"},
            None,
        ),
    ],
)
def test_greenwood(name: str, source: str, call: dict[str, str], where: str | None) -> None:
    r = golden(name)
    curve = aalen_johansen(data(source), **call).curve
    if where:
        curve = curve[curve["group"] == where]
    event_free = np.ones(len(r["times"]))
    for cause in (1, 2):
        mine = curve[curve["cause"] == cause]
        agree(at_times(mine, r["times"], "estimate"), r[f"cause_{cause}"]["estimate"], CLOSED)
        agree(at_times(mine, r["times"], "std_error"), r[f"cause_{cause}"]["se_greenwood"], CLOSED)
        event_free -= at_times(mine, r["times"], "estimate")
    agree(event_free, r["event_free"]["estimate"], CLOSED)


JACKKNIFE: dict[str, tuple[str, dict[str, Any]]] = {
    "aj_right": ("tte", {**TTE, "ci": "log"}),
    "aj_by_arm": ("tte", {**TTE, "group": "arm", "ci": "log"}),
    "aj_loglog": ("tte", {**TTE, "group": "arm", "ci": "log-log"}),
    "aj_lefttrunc": ("tte", {**TTE, **LATE, "ci": "log"}),
    "aj_lefttrunc_by_arm": ("tte", {**TTE, **LATE, "group": "arm", "ci": "log"}),
    "aj_weighted": ("tte", {**TTE, "group": "arm", "weights": "weight", "ci": "log"}),
    # survfit 3.5-3 ignores `cluster` in a curve of several states: these are its numbers by row
    "aj_cluster": ("tte", {**TTE, "group": "arm", "ci": "log"}),
    "mgus2_aj": ("mgus2", {**MGUS2, "group": "sex", "ci": "log"}),
    "mgus2_aj_loglog": ("mgus2", {**MGUS2, "ci": "log-log"}),
    "transplant_aj_weighted_lefttrunc": (
        "transplant",
        {**TTE, **LATE, "group": "abo", "weights": "weight", "ci": "log-log", "level": 0.9},
    ),
    "melanoma_aj_zero_weights": (
        "melanoma",
        {**TTE, "group": "ulcer", "weights": "copies", "ci": "plain"},
    ),
}


@pytest.mark.parametrize("name", JACKKNIFE)
def test_infinitesimal_jackknife(name: str) -> None:
    source, call = JACKKNIFE[name]
    r = golden(name)
    shown, hazard = r["at_times"], r["cumulative_hazard"]["values"]
    curve = aalen_johansen(data(source), **call, variance="jackknife").curve
    for stratum in dict.fromkeys(shown["stratum"]):
        rows = [i for i, s in enumerate(shown["stratum"]) if s == stratum]
        times = [shown["time"][i] for i in rows]
        mine = curve[curve["group"].astype(str) == stratum.split("=")[-1]]
        for cause in range(1, len(r["states"])):
            part = mine[mine["cause"] == cause]
            for ours, theirs in (
                ("estimate", "probability_in_state"),
                ("std_error", "se_infinitesimal_jackknife"),
                ("ci_low", "lower95"),
                ("ci_high", "upper95"),
            ):
                expected = [shown[theirs]["values"][i][cause] for i in rows]
                agree(at_times(part, times, ours), expected, CLOSED, f"{ours} {stratum}")
            if "weights" not in call:
                walked = (part["n_events"] / part["n_at_risk"]).cumsum()
                step = at_times(part.assign(walked=walked), times, "walked")
                agree(step, [hazard[i][cause - 1] for i in rows], CLOSED, "cumulative hazard")
        if call.get("weights") != "copies":  # R counts the rows of weight 0 too
            at_risk = part["n_at_risk"].to_numpy()[np.searchsorted(part["time"], times)]
            agree(at_risk, [shown["n_risk"]["values"][i][0] for i in rows], CLOSED)


def test_cluster_robust_by_summed_influence() -> None:
    r = golden("aj_cluster_influence")
    curve = aalen_johansen(data("tte"), **TTE, group="arm", cluster="site").curve
    for arm in (0, 1):
        known = r[f"arm_{arm}"]
        for cause in (1, 2):
            mine = curve[(curve["group"] == arm) & (curve["cause"] == cause)]
            agree(at_times(mine, known["times"], "estimate"), known[f"estimate_{cause}"], CLOSED)
            agree(at_times(mine, known["times"], "std_error"), known[f"se_{cause}"], CLOSED)


def test_etm_with_delayed_entry() -> None:
    r = golden("bmt_etm_lefttrunc")
    curve = aalen_johansen(data("bmt"), **TTE, **LATE).curve
    for cause in (1, 2):
        mine = curve[curve["cause"] == cause]
        agree(at_times(mine, r["times"], "estimate"), r[f"estimate_{cause}"], CLOSED)
        agree(at_times(mine, r["times"], "std_error"), r[f"se_{cause}"], CLOSED)


CUMINC: dict[str, tuple[str, dict[str, str], str | None]] = {
    "cuminc_gray_arm": ("tte", {**TTE, "group": "arm"}, None),
    "cuminc_gray_stage": ("tte", {**TTE, "group": "stage"}, None),
    "cuminc_gray_stratified": ("tte", {**TTE, "group": "arm"}, "stage"),
    "gray_three_causes": ("tte", {**TTE, "group": "both"}, None),
    "mgus2_gray": ("mgus2", {**MGUS2, "group": "sex"}, None),
    "pbc_gray": ("pbc", {"time": "years", "event": "status", "group": "stage"}, None),
    "transplant_cuminc": ("transplant", {**TTE, "group": "abo"}, "sex"),
    "bmt_cuminc": ("bmt", {**TTE, "group": "disease"}, "mtx"),
}


@pytest.mark.parametrize("name", CUMINC)
def test_gray(name: str) -> None:
    source, call, strata = CUMINC[name]
    r = golden(name)["gray_test"]
    causes = [int(k) for k in r["cause"]]
    table = gray_test(data(source), **call, cause=causes, strata=strata).table
    assert table["cause"].tolist() == causes
    agree(table["statistic"], r["chisq"], CLOSED)
    agree(table["df"], r["df"], CLOSED)
    # cuminc takes 1 - pchisq(x), which has no digit below 1e-16
    large = table["p_value"].to_numpy() > 1e-9
    agree(table["p_value"][large], np.array(r["p"])[large], CLOSED)
    np.testing.assert_allclose(table["p_value"], r["p"], rtol=CLOSED, atol=2e-16)


@pytest.mark.parametrize("name", CUMINC)
def test_aalen_variance(name: str) -> None:
    source, call, _ = CUMINC[name]
    r = golden(name)
    curve = aalen_johansen(data(source), **call, variance="aalen").curve
    level = curve["group"].map(lambda g: f"{g:g}" if isinstance(g, float) else str(g))
    for i, row in enumerate(r["estimate"]["rows"]):
        group, cause = row.rsplit(" ", 1)
        mine = curve[(level == group) & (curve["cause"] == int(cause))]
        # cuminc gives a group no value after its last time
        known = [j for j, v in enumerate(r["estimate"]["values"][i]) if v is not None]
        times = [r["times"][j] for j in known]
        for ours, theirs in (("estimate", "estimate"), ("std_error", "se_aalen_delta")):
            expected = [r[theirs]["values"][i][j] for j in known]
            agree(at_times(mine, times, ours), expected, CLOSED, f"{ours} {row}")
