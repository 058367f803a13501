"""Meta-analysis against metafor."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from golden_support import CLOSED, LOOSE, OPTIMISED, agree, agree_log, by_term, frame, golden

from ketamine_outcomes.estimators import meta_analysis
from ketamine_outcomes.estimators.meta import MetaResult

METHODS = ("REML", "DL", "PM")
INTERVALS = ("z", "hartung_knapp", "modified_hartung_knapp")


def sites(name: str) -> pd.DataFrame:
    d = frame("meta_sites")
    return d[d["set"] == name]


def fit(d: pd.DataFrame, *args: Any, **options: Any) -> MetaResult:
    return meta_analysis(d["yi"], np.sqrt(d["vi"]), *args, **options)


def cell(result: MetaResult, name: str, column: str = "estimate") -> Any:
    return result.table.set_index("name").loc[name, column]


def interval(result: MetaResult, name: str) -> Any:
    return result.table.set_index("name").loc[name, ["ci_low", "ci_high"]].to_numpy(dtype=float)


SETS = {
    "bcg_meta": lambda: frame("bcg"),
    "meta_k2": lambda: sites("k3").head(2),
    "meta_k3": lambda: sites("k3"),
    "meta_k6": lambda: sites("k6"),
    "meta_k12": lambda: sites("k12"),
    "meta_k6_zero": lambda: sites("k6_zero"),
}


@pytest.mark.parametrize("name", SETS)
@pytest.mark.parametrize("method", METHODS)
def test_heterogeneity(name: str, method: str) -> None:
    d, r = SETS[name](), golden(name)
    part, z = r[method], fit(d, method, "z")
    assert z.diagnostics["n_studies"] == r["k"]
    agree(z.coefficients["estimate"], part["estimate"], OPTIMISED)
    agree(cell(z, "tau2"), part["tau2"], LOOSE)
    agree(cell(z, "tau2", "std_error"), part["se_tau2"], LOOSE)
    agree(cell(z, "I2_percent"), part["I2_percent"], LOOSE)
    agree(cell(z, "H2"), part["H2"], LOOSE)
    agree(cell(z, "Q", "statistic"), part["Q"], CLOSED)
    assert cell(z, "Q", "df") == part["Q_df"]
    agree_log(cell(z, "Q", "p_value"), part["Q_p"], CLOSED)
    agree(z.studies["weight_percent"], part["weights_percent"], OPTIMISED)
    fixed = r["fixed_effect"]
    agree(cell(z, "common_effect"), fixed["estimate"], CLOSED)
    agree(cell(z, "common_effect", "std_error"), fixed["se"], CLOSED)
    agree(cell(z, "common_effect", "p_value"), fixed["p"], CLOSED)
    agree(interval(z, "common_effect"), fixed["ci95"], CLOSED)
    profile = r["tau2_Q_profile_ci95"]
    # confint of metafor solves with uniroot to a tolerance of 1.2e-4 (absolute)
    np.testing.assert_allclose(
        interval(z, "tau2"), [profile["lower"], profile["upper"]], rtol=LOOSE, atol=2e-4
    )


@pytest.mark.parametrize("name", SETS)
@pytest.mark.parametrize("method", METHODS)
def test_intervals(name: str, method: str) -> None:
    d, r = SETS[name](), golden(name)
    part = r[method]
    z = fit(d, method, "z")
    row, expected = z.coefficients.iloc[0], part["z_test"]
    agree(row[["estimate", "std_error"]], [part["estimate"], expected["se"]], OPTIMISED)
    agree(row[["statistic", "p_value"]], [expected["z"], expected["p"]], OPTIMISED)
    agree(row[["ci_low", "ci_high"]], expected["ci95"], OPTIMISED)
    agree(interval(z, "prediction_interval"), expected["prediction_interval_normal"], OPTIMISED)
    hts = part["prediction_interval_higgins_thompson_spiegelhalter_formula"]

    for ci, key in (
        ("hartung_knapp", "hartung_knapp"),
        ("modified_hartung_knapp", "modified_hartung_knapp_formula"),
    ):
        hk, expected = fit(d, method, ci), part[key]
        row = hk.coefficients.iloc[0]
        agree(row[["std_error", "statistic"]], [expected["se"], expected["t"]], OPTIMISED)
        assert row["df"] == expected["df"]
        agree(row["p_value"], expected["p"], OPTIMISED)
        agree(row[["ci_low", "ci_high"]], expected["ci95"], OPTIMISED)
    hk = fit(d, method)
    expected = part["hartung_knapp"]
    agree(hk.diagnostics["q"], expected["q_scale_factor"], OPTIMISED)
    agree(
        interval(hk, "prediction_interval"),
        expected["prediction_interval_t_df_k_minus_1"],
        OPTIMISED,
    )
    if isinstance(hts, dict):
        assert cell(hk, "prediction_interval_hts", "df") == hts["df"]
        agree(interval(z, "prediction_interval_hts"), hts["interval"], OPTIMISED)
        agree(interval(hk, "prediction_interval_hts"), hts["interval_with_hk_se"], OPTIMISED)
    else:
        assert hts == "k < 3"
        assert np.isnan(interval(hk, "prediction_interval_hts")).all()


@pytest.mark.parametrize("name", [n for n in SETS if n not in ("meta_k2", "meta_k3")])
def test_leave_one_out(name: str) -> None:
    d, r = SETS[name](), golden(name)
    ours = fit(d, "DL", "z").leave_one_out()
    expected = r["leave_one_out_DL"]
    agree(ours["estimate"], expected["estimate"], CLOSED)
    agree(ours["std_error"], expected["se"], CLOSED)
    agree(ours["tau2"], expected["tau2"], CLOSED)
    ours = fit(d).leave_one_out()
    expected = r["leave_one_out_REML_hartung_knapp"]
    agree(ours["estimate"], expected["estimate"], OPTIMISED)
    agree(ours["std_error"], expected["se"], OPTIMISED)
    agree(ours["tau2"], expected["tau2"], LOOSE)
    agree(ours["ci_low"], expected["ci_lower"], OPTIMISED)
    agree(ours["ci_high"], expected["ci_upper"], OPTIMISED)


@pytest.mark.parametrize(
    ("name", "rows", "moderator"),
    [
        ("bcg_meta_regression", lambda: frame("bcg"), "ablat"),
        ("meta_regression_k12", lambda: sites("k12"), "dose"),
    ],
    ids=["bcg_meta_regression", "meta_regression_k12"],
)
def test_regression(name: str, rows: Any, moderator: str) -> None:
    d, r = rows(), golden(name)
    z = fit(d, "REML", "z", d[[moderator]])
    k = fit(d, "REML", "hartung_knapp", d[[moderator]])
    agree(z.coefficients["estimate"], list(r["coef"].values()), OPTIMISED)
    assert list(r["coef"])[1] == z.coefficients["term"][1]
    for result, kind in ((z, "z"), (k, "knha")):
        agree(result.coefficients["std_error"], r[f"se_{kind}"], OPTIMISED)
        agree(result.coefficients["p_value"], r[f"p_{kind}"], OPTIMISED)
    agree(cell(z, "tau2"), r["tau2"], LOOSE)
    agree(cell(z, "Q", "statistic"), r["QE"], CLOSED)
    agree(cell(z, "QM", "statistic"), r["QM_z"], OPTIMISED)
    if "R2_percent" in r:
        agree(cell(z, "R2_percent"), r["R2_percent"], OPTIMISED)
    if "QEp" in r:
        agree(cell(z, "Q", "p_value"), r["QEp"], CLOSED)
        agree(cell(z, "QM", "p_value"), r["QMp_z"], OPTIMISED)


# -------------------------------------------------------------------- trials of package metadat


@pytest.mark.parametrize(
    ("name", "level"),
    [("normand_meta", 0.95), ("raudenbush_meta_level90", 0.9), ("nielweise_meta", 0.95)],
)
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("ci", INTERVALS)
def test_trials(name: str, level: float, method: str, ci: str) -> None:
    part = golden(name)[method]
    result = fit(frame(name.split("_")[0]), method, ci, level=level)
    agree(cell(result, "tau2"), part["tau2"], LOOSE)
    agree(cell(result, "tau2", "std_error"), part["se_tau2"], LOOSE)
    agree([cell(result, "I2_percent"), cell(result, "H2")], [part["I2"], part["H2"]], LOOSE)
    agree(cell(result, "Q", "statistic"), part["QE"], CLOSED)
    agree_log(cell(result, "Q", "p_value"), part["QEp"], CLOSED)
    agree(result.log_likelihood, part["log_likelihood"], OPTIMISED)
    for ours, key in (("tau2", "tau2"), ("tau", "tau"), ("I2_percent", "I2"), ("H2", "H2")):
        agree(interval(result, ours), part["interval"][key], LOOSE)
    agree(result.studies["weight_percent"], part["weights"], OPTIMISED)
    expected, row = part[ci], result.coefficients.iloc[0]
    agree(
        row[["estimate", "std_error", "statistic", "p_value"]],
        [expected[c] for c in ("estimate", "se", "statistic", "p")],
        OPTIMISED,
    )
    agree(row[["ci_low", "ci_high"]], expected["ci"], OPTIMISED)
    agree(interval(result, "prediction_interval"), expected["prediction"], OPTIMISED)
    left, theirs = result.leave_one_out(), expected["leave_one_out"]
    for ours, key in (
        ("estimate", "estimate"),
        ("std_error", "se"),
        ("p_value", "pval"),
        ("ci_low", "ci.lb"),
        ("ci_high", "ci.ub"),
        ("Q", "Q"),
        ("Q_p_value", "Qp"),
    ):
        agree(left[ours], theirs[key], OPTIMISED, ours)
    for ours, key in (("tau2", "tau2"), ("I2_percent", "I2"), ("H2", "H2")):
        agree(left[ours], theirs[key], LOOSE, ours)


@pytest.mark.parametrize(
    ("name", "moderators"),
    [
        ("raudenbush_meta_regression", ["weeks", "setting"]),
        ("bangertdrowns_meta_regression", ["length", "wic", "feedback", "imag"]),
    ],
)
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("ci", INTERVALS)
def test_regression_of_trials(name: str, moderators: list[str], method: str, ci: str) -> None:
    d, part = frame(name.split("_")[0]), golden(name)[method][ci]
    result = fit(d, method, ci, d[moderators])
    terms = result.coefficients["term"]

    def named(values: dict[str, float]) -> np.ndarray:
        return by_term({k.replace("intrcpt", "Intercept"): v for k, v in values.items()}, terms)

    assert result.diagnostics["n_studies"] == part["k"]
    agree(result.coefficients["estimate"], named(part["coef"]), OPTIMISED)
    agree(result.coefficients["std_error"], named(part["se"]), OPTIMISED)
    agree(result.coefficients["p_value"], named(part["p"]), OPTIMISED)
    agree([cell(result, "tau2"), cell(result, "I2_percent")], [part["tau2"], part["I2"]], LOOSE)
    agree(cell(result, "tau2", "std_error"), part["se_tau2"], LOOSE)
    agree(cell(result, "R2_percent"), part["R2"], LOOSE)
    agree(cell(result, "Q", "statistic"), part["QE"], CLOSED)
    agree(cell(result, "Q", "p_value"), part["QEp"], CLOSED)
    agree(cell(result, "QM", "statistic"), part["QM"], OPTIMISED)
    agree(cell(result, "QM", "p_value"), part["QMp"], OPTIMISED)
    agree(result.log_likelihood, part["log_likelihood"], OPTIMISED)
