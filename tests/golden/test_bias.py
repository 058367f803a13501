"""Bias analyses against formulas and, for the tipping point, mice."""

from __future__ import annotations

import numpy as np
import pytest
from golden_support import CLOSED, agree, frame, golden

from ketamine_outcomes.estimators import (
    bounding_factor,
    e_value,
    probabilistic_bias,
    regression_to_mean,
    tipping_point,
)


@pytest.mark.parametrize(
    ("measure", "values", "expected"),
    [
        ("risk_ratio", "rr", "evalue_rr"),
        ("hazard_ratio_common", "hr_common", "evalue_hr_common"),
        ("hazard_ratio_rare", "hr_common", "evalue_hr_rare"),
        ("odds_ratio_common", "or_common", "evalue_or_common"),
        ("odds_ratio_rare", "rr", "evalue_rr"),
        ("standardised_mean_difference", "smd", "evalue_smd"),
    ],
)
def test_evalue_formula(measure: str, values: str, expected: str) -> None:
    r = golden("evalue_formula")
    ours = [e_value(x, measure=measure).table["estimate"].iloc[0] for x in r[values]]
    agree(ours, r[expected], CLOSED)


def test_evalue_formula_of_the_limit() -> None:
    r = golden("evalue_formula")
    calls = zip(r["rr"], r["ci_lower"], r["ci_upper"], strict=True)
    agree(
        [e_value(*call).table["estimate"].iloc[1] for call in calls], r["evalue_ci_limit"], CLOSED
    )


def test_tipping_delta() -> None:
    r, data = golden("tipping_delta"), frame("mi10")
    fits = []
    for _, d in data.groupby("imp"):
        x = np.column_stack([np.ones(len(d)), d["x1"], d["group"]])
        outcomes = np.column_stack([d["y"], d["y_was_missing"] * d["group"]])
        beta = np.linalg.lstsq(x, outcomes, rcond=None)[0]
        left = outcomes - x @ beta
        df = len(d) - 3
        variance = np.linalg.inv(x.T @ x)[2, 2] * (left.T @ left) / df
        fits.append([*beta[2], variance[0, 0], 2 * variance[0, 1], variance[1, 1]])
    estimate, scale, variance_0, linear, quadratic = np.transpose(fits)
    result = tipping_point(
        estimate,
        np.sqrt(variance_0),
        scale,
        deltas=r["delta"],
        variance_change=(linear, quadratic),
        df_complete=df,
    )
    rows = result.table[~result.table["tipping"]]
    agree(rows["delta"], r["delta"], CLOSED)
    for ours, key in (
        ("estimate", "estimate"),
        ("std_error", "se"),
        ("df", "df"),
        ("p_value", "p"),
        ("ci_low", "ci_lower"),
        ("ci_high", "ci_upper"),
    ):
        agree(rows[ours], r[key], CLOSED, key)
    agree(result.diagnostics["tipping_low"], r["tipping_delta_p_equals_0.05"], CLOSED)


def corrected(*arguments: float, **parameters: float) -> float:
    table = probabilistic_bias(*arguments, seed=1, n_draws=10, **parameters).table
    row = table.set_index("quantity").loc["systematic_error"]
    assert row["ci_low"] == pytest.approx(row["ci_high"])
    return float(row["estimate"])


def test_bias_formulas_confounder() -> None:
    r = golden("bias_formulas")["confounder"]
    p_1, p_2 = r["prevalence_exposed"], r["prevalence_unexposed"]
    for ratio, row in zip(
        r["rr_observed"], r["rr_adjusted_rows_rr_cols_confounder"]["values"], strict=True
    ):
        ours = [
            corrected(ratio, prevalence_2=p_2, prevalence_ratio=p_1 / p_2, confounder_ratio=g)
            for g in r["rr_confounder_outcome"]
        ]
        agree(ours, row, CLOSED)


def test_bias_formulas_misclassification() -> None:
    r = golden("bias_formulas")["misclassification"]
    risk_2 = r["events_0"] / r["n_0"]
    ratio = r["events_1"] / r["n_1"] / risk_2
    agree(ratio, r["risk_ratio_observed"], CLOSED)
    ours = corrected(
        ratio, sensitivity=r["sensitivity"], specificity=r["specificity"], risk_2=risk_2
    )
    agree(ours, r["risk_ratio_corrected"], CLOSED)
    by_count = (r["corrected_events_1"] / r["n_1"]) / (r["corrected_events_0"] / r["n_0"])
    agree(ours, by_count, CLOSED)


def test_bias_formulas_bounding_factor() -> None:
    r = golden("bias_formulas")["bounding_factor"]
    pairs = zip(r["rr_eu"], r["rr_ud"], strict=True)
    agree([bounding_factor(*pair).table["estimate"] for pair in pairs], r["value"], CLOSED)


def test_bias_formulas_regression_to_mean() -> None:
    r = golden("bias_formulas")["regression_to_mean"]
    between, within = r["sd_between"] ** 2, r["sd_within"] ** 2
    common = (r["mean"], between / (between + within))
    selected = {"cutoff": r["cutoff"], "std_dev": np.sqrt(between + within)}
    once = regression_to_mean(8, *common, **selected).table.set_index("quantity")["estimate"]
    agree(once["given_baseline_mean"], r["expected_change_given_baseline_8"], CLOSED)
    agree(once["selected_by_cutoff"], -r["expected_fall_selected_at_or_above_cutoff"], CLOSED)
    mean_of = r["with_mean_of_m_baseline"]
    often = regression_to_mean(None, *common, **selected, n_baseline=mean_of["m"]).table
    agree(often["estimate"], -mean_of["expected_fall"], CLOSED)
