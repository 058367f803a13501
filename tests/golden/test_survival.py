"""kaplan_meier and survival_quantiles against survfit."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from golden_support import CLOSED, agree, at_times, frame, golden

from ketamine_outcomes.estimators import kaplan_meier, survival_quantiles
from ketamine_outcomes.estimators.kaplan_meier import curve_quantiles, probability_interval

STATUS = {"time": "time", "event": "status"}
LATE = {**STATUS, "entry": "entry"}
ARM = {"group": "arm"}
LUNG = {"time": "time", "event": "died", "group": "sex"}
OVARIAN = {"time": "futime", "event": "fustat", "group": "rx"}
COUNTING = {"time": "stop", "event": "event", "entry": "start"}
AGE = {"time": "until", "event": "death", "entry": "age", "group": "sex"}
SITE = {"weights": "weight", "cluster": "site"}
KM: dict[str, tuple[str, dict[str, str]]] = {
    "km_right_plain": ("tte", {**STATUS, **ARM, "ci": "plain"}),
    "km_right_log": ("tte", {**STATUS, **ARM, "ci": "log"}),
    "km_right_loglog": ("tte", {**STATUS, **ARM, "ci": "log-log"}),
    "km_lefttrunc_plain": ("tte", {**LATE, "ci": "plain"}),
    "km_lefttrunc_log": ("tte", {**LATE, "ci": "log"}),
    "km_lefttrunc_loglog": ("tte", {**LATE, "ci": "log-log"}),
    "km_lefttrunc_arm_plain": ("tte", {**LATE, **ARM, "ci": "plain"}),
    "km_lefttrunc_arm_log": ("tte", {**LATE, **ARM, "ci": "log"}),
    "km_lefttrunc_arm_loglog": ("tte", {**LATE, **ARM, "ci": "log-log"}),
    "km_overall": ("tte", {**STATUS, "ci": "log-log"}),
    "km_weighted_robust": ("tte", {**STATUS, **ARM, "weights": "weight", "ci": "log-log"}),
    "km_weighted_lefttrunc_cluster": ("tte", {**LATE, **ARM, **SITE, "ci": "log-log"}),
    "km_frequency_weights": ("tte", {**STATUS, **ARM, "weights": "iweight", "ci": "log-log"}),
    "km_timevarying_exposure": ("counting", {**COUNTING, "group": "exposed", "ci": "log-log"}),
    "lung_km_plain": ("lung", {**LUNG, "ci": "plain"}),
    "lung_km_log": ("lung", {**LUNG, "ci": "log"}),
    "lung_km_loglog": ("lung", {**LUNG, "ci": "log-log"}),
    "ovarian_km_plain": ("ovarian", {**OVARIAN, "ci": "plain"}),
    "ovarian_km_log": ("ovarian", {**OVARIAN, "ci": "log"}),
    "ovarian_km_loglog": ("ovarian", {**OVARIAN, "ci": "log-log"}),
    "heart_km": ("heart", {**COUNTING, "group": "transplant", "ci": "log-log"}),
    "mgus2_km_age_scale": ("mgus2", {**AGE, "ci": "log"}),
}


def data(name: str) -> pd.DataFrame:
    d = frame(name)
    if name == "lung":
        return d.assign(died=d["status"] - 1)
    if name == "mgus2":  # conditional on being alive at 50
        d = d.assign(until=d["age"] + d["futime"] / 12)
        return d[(d["until"] > d["age"]) & (d["until"] >= 50)]
    return d


def level_of(stratum: str) -> str:
    return stratum.split("=")[-1].strip()


def curve_agrees(curve: pd.DataFrame, r: dict[str, Any], columns: tuple[str, ...]) -> None:
    """Every point of the curve, then the summary at chosen times."""
    full = r["full_curve"]
    assert curve["group"].astype(str).tolist() == [level_of(s) for s in full["stratum"]]
    agree(curve["time"], full["time"], CLOSED)
    agree(curve["n_at_risk"], full["n_risk"], CLOSED)
    agree(curve["n_events"], full["n_event"], CLOSED)
    agree(curve["estimate"], full["surv"], CLOSED)
    shown = pd.DataFrame(r["at_times"])
    known = {"std_error": "se_surv", "ci_low": "lower95", "ci_high": "upper95"}
    for stratum, rows in shown.groupby("stratum"):
        mine = curve[curve["group"].astype(str) == level_of(str(stratum))]
        agree(at_times(mine, rows["time"], "estimate", 1.0), rows["surv"], CLOSED)
        for ours in columns:
            before = 0.0 if ours == "std_error" else 1.0
            theirs = rows[known[ours]].to_numpy(dtype=float)
            agree(at_times(mine, rows["time"], ours, before), theirs, CLOSED, ours)


@pytest.mark.parametrize("name", KM)
def test_kaplan_meier(name: str) -> None:
    source, call = KM[name]
    r = golden(name)
    curve = kaplan_meier(data(source), **call).curve
    curve_agrees(curve, r, ("std_error", "ci_low", "ci_high"))
    # survfit keeps the error of log S, or that of S where it is robust
    scale = 1 if "weights" in call and "iweight" not in call.values() else curve["estimate"]
    known = np.array(r["full_curve"]["se_log_surv"], float)
    with np.errstate(invalid="ignore"):
        agree(curve["std_error"], np.where(np.isnan(known), np.nan, known * scale), CLOSED)


@pytest.mark.parametrize("name", KM)
def test_quantiles(name: str) -> None:
    source, call = KM[name]
    r = golden(name)
    if {"weights", "cluster"} & set(call):
        curve = kaplan_meier(data(source), **call).curve
        table = curve_quantiles(curve, np.array([0.25, 0.5, 0.75]))
    else:
        table = survival_quantiles(data(source), **call).table
    for ours, theirs in (
        ("estimate", "quantile_time"),
        ("ci_low", "quantile_lower95"),
        ("ci_high", "quantile_upper95"),
    ):
        assert list(dict.fromkeys(table["group"].astype(str))) == [
            level_of(s) for s in r[theirs]["rows"]
        ]
        agree(table[ours], r[theirs]["values"], CLOSED, ours)


MORE: dict[str, tuple[str, dict[str, Any]]] = {
    "cgd_km_weighted_cluster": (
        "cgd",
        {
            "time": "tstop",
            "event": "status",
            "entry": "tstart",
            "group": "treat",
            "weights": "weight",
            "cluster": "center",
            "ci": "log-log",
            "level": 0.9,
        },
    ),
    "cgd_km_weighted": (
        "cgd",
        {
            "time": "tstop",
            "event": "status",
            "entry": "tstart",
            "group": "sex",
            "weights": "weight",
            "ci": "plain",
        },
    ),
    "heart_km_cluster": ("heart", {**COUNTING, "group": "transplant", "cluster": "id"}),
    "retinopathy_km_cluster": (
        "retinopathy",
        {"time": "futime", "event": "status", "group": "type", "cluster": "id", "ci": "log-log"},
    ),
    "channing_km_lefttrunc": (
        "channing",
        {"time": "age", "event": "death", "entry": "ageentry", "group": "gender"},
    ),
}


@pytest.mark.parametrize("name", MORE)
def test_kaplan_meier_on_other_data(name: str) -> None:
    source, call = MORE[name]
    r = golden(name)
    curve = kaplan_meier(data(source), **call).curve
    assert curve["group"].astype(str).tolist() == r["group"]
    for ours, theirs in (
        ("time", "time"),
        ("n_at_risk", "n_risk"),
        ("n_events", "n_event"),
        ("estimate", "surv"),
        ("std_error", "se_surv"),
        ("ci_low", "lower"),
        ("ci_high", "upper"),
    ):
        agree(curve[ours], r[theirs], CLOSED, ours)
    table = curve_quantiles(curve, np.array(r["q"]))
    agree(table["estimate"], r["quantile_time"], CLOSED)
    agree(table["ci_low"], r["quantile_lower"], CLOSED)
    agree(table["ci_high"], r["quantile_upper"], CLOSED)


def test_greenwood_takes_weights_as_copies() -> None:
    # km_weighted_greenwood: survfit(robust = FALSE). Weights with three decimals are a thousandth
    # of whole numbers; Greenwood's sum falls with the scale of the weights.
    r = golden("km_weighted_greenwood")
    d = data("tte")
    d = d.assign(copies=(d["weight"] * 1000).round())
    assert np.allclose(d["copies"], d["weight"] * 1000)
    curve = kaplan_meier(d, **STATUS, **ARM, weights="copies").curve
    curve["std_error"] *= np.sqrt(1000)
    curve[["n_at_risk", "n_events"]] /= 1000
    low, high = probability_interval(
        curve["estimate"].to_numpy(), curve["std_error"].to_numpy(), "log-log", 0.95
    )
    curve_agrees(curve.assign(ci_low=low, ci_high=high), r, ("std_error", "ci_low", "ci_high"))
