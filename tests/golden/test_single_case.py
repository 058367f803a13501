"""One patient's series against R: formulas of golden_lib.R, nlme, sandwich, enumeration."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from golden_support import CLOSED, LOOSE, OPTIMISED, agree, agree_log, frame, golden

from ketamine_outcomes.estimators import single_case

TERMS = {"intercept": "(Intercept)", "slope": "trend", "level": "treated"}


def series(name: str) -> pd.DataFrame:
    data = frame("single_case")
    return data[data["series"] == name.upper()]


def fit(name: str, **options: Any) -> pd.DataFrame:
    d = series(name)
    table = single_case(d["pain"], d["phase"], d["day"], **options).table
    return table.set_index(["phases", "measure", "method"]).sort_index()


def agree_overlap(table: pd.DataFrame, pair: str, r: dict[str, float]) -> None:
    rows = table.loc[pair]
    agree(rows.loc[("mean_A", "mean"), ["n", "estimate"]], [r["n_A"], r["mean_A"]], CLOSED)
    agree(rows.loc[("mean_B", "mean"), ["n", "estimate"]], [r["n_B"], r["mean_B"]], CLOSED)
    nap = rows.loc["nap"]
    agree(nap["estimate"], [r["nap"]] * 3, CLOSED)
    agree(nap["estimate"].iloc[0] * r["pairs_AB"], r["mann_whitney_U"], CLOSED)
    agree(
        nap.loc[["hanley_mcneil", "delong", "unbiased"], "std_error"],
        [
            r["nap_se_hanley_mcneil_exponential"],
            r["nap_se_delong"],
            np.sqrt(r["nap_variance_unbiased"]),
        ],
        CLOSED,
    )
    for of, falls, pairs in (
        ("tau_A_vs_B", "S_AB", "pairs_AB"),
        ("tau_trend_A", "S_trend_A", "pairs_A"),
        ("tau_trend_B", "S_trend_B", "pairs_B"),
    ):
        agree(rows.loc[of, "statistic"], r[falls], CLOSED, falls)
        agree(rows.loc[of, "statistic"] / rows.loc[of, "estimate"], r[pairs], CLOSED, pairs)
    for measure in (
        *(key for key in r if key.startswith("tau_")),
        "pnd_percent",
        "pem",
        "log_response_ratio",
        "log_response_ratio_bias_corrected",
        "within_case_smd_pooled",
    ):
        agree(rows.loc[measure, "estimate"], r[measure], CLOSED, measure)
    agree(rows.loc["log_response_ratio", "std_error"], r["log_response_ratio_se"], CLOSED)


def test_single_ab_overlap() -> None:
    agree_overlap(fit("ab"), "A1-B1", golden("single_ab_overlap"))


@pytest.mark.parametrize("pair", ["A1_B1", "A2_B2"])
def test_single_abab_overlap_by_pair(pair: str) -> None:
    r = golden("single_abab_overlap_by_pair")[pair]
    agree_overlap(fit("abab"), pair.replace("_", "-"), r)


def test_combined_tau_is_total_s_over_total_pairs() -> None:
    r, table = golden("single_abab_overlap_by_pair"), fit("abab").loc["combined"]
    total = sum(pair["S_AB"] - pair["S_trend_A"] for pair in r.values())
    out_of = sum(pair["pairs_AB"] + pair["pairs_A"] for pair in r.values())
    measure = "tau_u_A_vs_B_minus_trend_A_over_AB_and_A_pairs"
    agree(table.loc[measure, "estimate"], total / out_of, CLOSED)


@pytest.mark.parametrize("id_", ["single_ab_rank_tests", "single_abab_rank_tests"])
def test_rank_tests(id_: str) -> None:
    r, name = golden(id_), id_.split("_")[1]
    row = fit(name).loc[("all", "mann_whitney", "normal")]
    agree(row["statistic"], r["mann_whitney_U_a"], CLOSED)
    agree_log(row["p_value"], r["p_normal_ties_continuity"], CLOSED)
    agree(row["estimate"], r["nonoverlap_all_pairs"], CLOSED)
    agree(2 * row["estimate"] - 1, r["tau_nonoverlap"], CLOSED)
    d = series(name)
    for phase, mean in r["mean_by_phase"].items():
        agree(d.loc[d["phase"] == phase, "pain"].mean(), mean, CLOSED)


@pytest.mark.parametrize("id_", ["single_ab_permutation", "single_abab_permutation"])
def test_permutation(id_: str) -> None:
    r, name = golden(id_), id_.split("_")[1]
    row = fit(name, min_phase=r["min_phase_length"]).loc[("all", "phase_permutation")].iloc[0]
    agree(
        row[["statistic", "p_less", "p_value", "min_p"]],
        [r["observed"], r["p_less"], r["p_two_sided"], r["minimum_attainable_p"]],
        CLOSED,
    )
    assert row["note"] == f"{r['n_assignments']} places of the phase changes"


@pytest.mark.parametrize("id_", ["single_ab_ols_neweywest", "single_abab_ols_neweywest"])
def test_ols_and_newey_west(id_: str) -> None:
    r, name = golden(id_), id_.split("_")[1]
    for lag in (1, 3, 7):
        table = fit(name, lag=lag).loc["all"]
        for term, r_term in TERMS.items():
            ols = table.loc[(term, "ols")]
            agree(ols[["estimate", "std_error"]], [r["coef"][r_term], r["se_ols"][r_term]], CLOSED)
            for method, key in (
                (f"newey_west_lag{lag}", "newey_west_se"),
                (f"newey_west_lag{lag}_adjusted", "newey_west_se_small_sample_adjusted"),
            ):
                row = table.loc[(term, method)]
                agree(row["estimate"], r["coef"][r_term], CLOSED)
                agree(row["std_error"], r[key][f"lag{lag}"][r_term], CLOSED)
    for measure, key in (
        ("residual_sd", "residual_sd"),
        ("durbin_watson", "durbin_watson"),
        ("lag1_autocorrelation", "lag1_residual_autocorrelation"),
    ):
        agree(table.loc[(measure, "ols"), "estimate"], r[key], CLOSED, key)


@pytest.mark.parametrize(
    "id_",
    [
        "single_ab_gls_ar1_dense_ml",
        "single_ab_gls_ar1_dense_reml",
        "single_abab_gls_ar1_dense_ml",
        "single_abab_gls_ar1_dense_reml",
    ],
)
def test_gls_ar1_dense(id_: str) -> None:
    r = golden(id_)
    _, name, _, _, _, kind = id_.split("_")
    table, method = fit(name).loc["all"], f"gls_ar1_{kind}"
    for term, r_term in TERMS.items():
        row = table.loc[(term, method)]
        agree(row["estimate"], r["fixef"][r_term], OPTIMISED)
        agree(row["std_error"], r["se_exact_gls"][r_term], OPTIMISED)
    agree(table.loc[("autocorrelation", method), "estimate"], r["correlation_parameter"], LOOSE)
    agree(table.loc[("residual_variance", method), "estimate"], r["residual_variance"], LOOSE)
    agree(table.loc[("log_likelihood", method), "estimate"], r["log_likelihood"], CLOSED)


@pytest.mark.parametrize(
    "id_",
    [
        "single_ab_gls_ar1_ml",
        "single_ab_gls_ar1_reml",
        "single_abab_gls_ar1_ml",
        "single_abab_gls_ar1_reml",
    ],
)
def test_gls_ar1_nlme(id_: str) -> None:
    r = golden(id_)
    _, name, _, _, kind = id_.split("_")
    table, method, n = fit(name).loc["all"], f"gls_ar1_{kind}", len(series(name))
    times = np.sqrt(n / (n - 3)) if kind == "ml" else 1.0  # nlme inflates its ML errors
    for term, r_term in TERMS.items():
        row = table.loc[(term, method)]
        agree(row["estimate"], r["fixef"][r_term], OPTIMISED)
        agree(row["std_error"] * times, r["se"][r_term], OPTIMISED)
        agree(row["statistic"] / times, r["t"][r_term], OPTIMISED)
        if kind == "reml":
            # nlme stops early (correlation 7e-6 off); a p of 1e-20 multiplies that by 24
            agree(row["p_value"], r["p_nlme"][r_term], LOOSE)
    variance = table.loc[("residual_variance", method), "estimate"]
    agree(np.sqrt(variance), r["residual_sd"], LOOSE)
    agree(table.loc[("log_likelihood", method), "estimate"], r["log_likelihood"], CLOSED)
    agree(table.loc[("autocorrelation", method), "estimate"], r["correlation_parameter"], LOOSE)


# ------------------------------------------------- public data (tests/golden/r/golden_exact.R)

PUBLIC = ["nile", "huron", "huron_gaps", "lh", "beaver", "bod"]


def agree_gls(table: pd.DataFrame, r: dict[str, Any]) -> None:
    for kind in ("ML", "REML"):
        method, q = f"gls_ar1_{kind.lower()}", r[kind]
        times = np.sqrt(r["n"] / (r["n"] - 3)) if kind == "ML" else 1.0
        for term, r_term in TERMS.items():
            row = table.loc[(term, method)]
            agree(row["estimate"], q["coef"][r_term], OPTIMISED)
            agree(row["std_error"] * times, q["se"][r_term], OPTIMISED)
        agree(table.loc[("log_likelihood", method), "estimate"], q["log_likelihood"], CLOSED)
        agree(table.loc[("autocorrelation", method), "estimate"], q["correlation"], LOOSE)


def fit_public(name: str, **options: Any) -> pd.DataFrame:
    d = frame("series_public")
    d = d[d["series"] == name]
    table = single_case(d["value"], d["phase"], d["time"], **options).table
    return table.set_index(["phases", "measure", "method"]).sort_index().loc["all"]


@pytest.mark.parametrize("name", PUBLIC)
def test_single_public_gls_ar1(name: str) -> None:
    agree_gls(fit_public(name), golden("single_public_gls_ar1")[name])


def test_single_irregular_gls_car1() -> None:
    d = frame("series_irregular")
    table = single_case(d["value"], d["treated"], d["time"]).table.set_index(["measure", "method"])
    agree_gls(table.sort_index(), golden("single_irregular_gls_car1"))


@pytest.mark.parametrize("name", PUBLIC)
def test_single_public_ols(name: str) -> None:
    r = golden("single_public_ols")[name]
    for lag in (0, 2, 5):
        table = fit_public(name, lag=lag)
        for term, r_term in TERMS.items():
            ols = table.loc[(term, "ols")]
            agree(ols[["estimate", "std_error"]], [r["coef"][r_term], r["se"][r_term]], CLOSED)
            newey_west = table.loc[(term, f"newey_west_lag{lag}"), "std_error"]
            agree(newey_west, r[f"newey_west_lag{lag}"][r_term], CLOSED)
    ranks = table.loc["mann_whitney"]
    agree(ranks["statistic"], [r["U"]] * 2, CLOSED)
    agree_log(ranks.loc["normal", "p_value"], r["p_normal"], CLOSED)
    if "p_exact" in r:
        agree(ranks.loc["exact", "p_value"], r["p_exact"], CLOSED)
