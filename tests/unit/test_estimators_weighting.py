"""Edges and properties of weighting; the R numbers are in tests/golden/test_weighting.py."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from ketamine_outcomes.estimators import (
    EstimationError,
    InvalidInput,
    NotEstimable,
    Result,
    aipw,
    balance,
    effective_sample_size,
    propensity_weights,
    standardised_mean_difference,
    weighted_difference,
)

TARGETS = ("overlap", "att", "ate")
CALLS = (weighted_difference, aipw)


@pytest.fixture
def patients() -> pd.DataFrame:
    rng = np.random.default_rng(3)
    n = 120
    x = rng.normal(size=n)
    t = (rng.random(n) < 1 / (1 + np.exp(-0.6 * x))).astype(int)
    y = 2 + 0.8 * x - 1.5 * t + rng.normal(size=n)
    return pd.DataFrame(
        {
            "t": t,
            "x": x,
            "stage": rng.choice(["a", "b", "c"], n),
            "y": y,
            "hit": (y > 2).astype(int),
            "site": rng.integers(0, 15, n),
        }
    )


def same(a: Result, b: Result, rtol: float = 1e-9) -> None:
    pd.testing.assert_frame_equal(a.coefficients, b.coefficients, rtol=rtol)
    pd.testing.assert_frame_equal(a.table, b.table, rtol=rtol)


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("outcome", ["y ~ t + x", "hit ~ t * x", "hit ~ x + stage"])
def test_row_order_does_not_matter(
    patients: pd.DataFrame, call: Any, target: str, outcome: str
) -> None:
    whole = call(outcome, "t ~ x + stage", patients, target, "site")
    mixed = patients.sample(frac=1, random_state=1)
    same(call(outcome, "t ~ x + stage", mixed, target, "site"), whole)


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("target", TARGETS)
def test_copies_of_rows_as_clusters_change_nothing(
    patients: pd.DataFrame, call: Any, target: str
) -> None:
    one = call("y ~ t + x", "t ~ x + stage", patients, target)
    twice = pd.concat([patients.assign(id=range(120))] * 2)
    two = call("y ~ t + x", "t ~ x + stage", twice, target, "id")
    pd.testing.assert_frame_equal(two.coefficients, one.coefficients, rtol=1e-9)


@pytest.mark.parametrize("call", CALLS)
def test_units_of_outcome_and_confounder(patients: pd.DataFrame, call: Any) -> None:
    one = call("y ~ t + x", "t ~ x + stage", patients, "ate").coefficients.iloc[0]
    moved = patients.assign(y=patients["y"] * 1e5 + 1e6, x=patients["x"] * 1e-4 + 2020)
    two = call("y ~ t + x", "t ~ x + stage", moved, "ate").coefficients.iloc[0]
    assert two["estimate"] == pytest.approx(1e5 * one["estimate"], rel=1e-6)
    assert two["std_error"] == pytest.approx(1e5 * one["std_error"], rel=1e-6)


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("target", ["overlap", "ate"])
def test_exchanged_groups_change_the_sign(patients: pd.DataFrame, call: Any, target: str) -> None:
    for measure in ("difference", "ratio", "odds_ratio"):
        one = call("hit ~ t + x", "t ~ x", patients, target, measure=measure).coefficients.iloc[0]
        other = patients.assign(t=1 - patients["t"])
        two = call("hit ~ t + x", "t ~ x", other, target, measure=measure).coefficients.iloc[0]
        assert two["estimate"] == pytest.approx(-one["estimate"], rel=1e-9)
        assert two["std_error"] == pytest.approx(one["std_error"], rel=1e-9)


def test_names_of_levels_do_not_matter(patients: pd.DataFrame) -> None:
    renamed = patients.assign(stage=patients["stage"].map({"a": "z", "b": "y", "c": "x"}))
    for call in CALLS:
        same(
            call("y ~ t + stage", "t ~ x + stage", renamed),
            call("y ~ t + stage", "t ~ x + stage", patients),
        )


def test_without_confounders_it_is_the_difference_of_means(patients: pd.DataFrame) -> None:
    row = weighted_difference("y ~ t", "t ~ 1", patients, "ate").coefficients.iloc[0]
    one, zero = (patients.loc[patients["t"] == arm, "y"] for arm in (1, 0))
    assert row["estimate"] == pytest.approx(one.mean() - zero.mean())
    variance = one.var(ddof=0) / len(one) + zero.var(ddof=0) / len(zero)
    assert row["std_error"] == pytest.approx(np.sqrt(variance))
    same(
        aipw("y ~ t", "t ~ 1", patients, "ate"),
        weighted_difference("y ~ t", "t ~ 1", patients, "ate"),
    )


def test_weighted_regression_gives_the_coefficient(patients: pd.DataFrame) -> None:
    w = propensity_weights("t ~ x + stage", patients, "att").table["weight"].to_numpy()
    x = np.column_stack([np.ones(120), patients["t"], patients["x"]])
    beta = np.linalg.solve(x.T @ (w[:, None] * x), x.T @ (w * patients["y"]))
    fit = weighted_difference("y ~ t + x", "t ~ x + stage", patients, "att")
    assert fit.coefficients["estimate"].iloc[0] == pytest.approx(beta[1])


def test_one_model_per_group_is_the_interaction(patients: pd.DataFrame) -> None:
    same(aipw("hit ~ x", "t ~ stage", patients), aipw("hit ~ t * x", "t ~ stage", patients))


@pytest.mark.parametrize("target", ["att", "ate"])
@pytest.mark.parametrize("wrong", ["outcome", "propensity"])
def test_doubly_robust(target: str, wrong: str) -> None:
    rng = np.random.default_rng(8)
    n = 40000
    x = rng.normal(size=n)
    t = (rng.random(n) < 1 / (1 + np.exp(-x))).astype(int)
    d = pd.DataFrame({"t": t, "x": x, "y": 1 + 2 * x + 3 * t + rng.normal(size=n)})
    outcome, score = ("y ~ t", "t ~ x") if wrong == "outcome" else ("y ~ t + x", "t ~ 1")
    row = aipw(outcome, score, d, target).coefficients.iloc[0]
    assert abs(row["estimate"] - 3) < 4 * row["std_error"] < 0.5


def test_treatment_that_is_no_left_side(patients: pd.DataFrame) -> None:
    d = patients.assign(arm=np.where(patients["t"] == 1, "k", "u"))
    fit = weighted_difference("y ~ t", "I(arm == 'k') ~ x", d, treated="t")
    same(fit, weighted_difference("y ~ t", "t ~ x", d))
    with pytest.raises(InvalidInput, match="treated="):
        weighted_difference("y ~ t", "I(arm == 'k') ~ x", d)
    with pytest.raises(InvalidInput, match="not the treatment"):
        weighted_difference("y ~ t", "I(arm == 'u') ~ x", d, treated="t")


def test_true_and_false_are_one_and_zero(patients: pd.DataFrame) -> None:
    words = patients.assign(t=patients["t"] == 1)
    for outcome in ("y ~ t + x", "y ~ C(t) + x", "hit ~ x"):
        same(aipw(outcome, "t ~ x", words), aipw(outcome, "t ~ x", patients))


def test_missing_rows_are_counted(patients: pd.DataFrame) -> None:
    d = patients.copy()
    d.loc[3, "y"], d.loc[5, "x"], d["site"] = np.nan, np.nan, d["site"].astype(float)
    d.loc[7, "site"] = np.nan
    fit = aipw("y ~ t", "t ~ x", d, cluster="site")
    assert fit.diagnostics["n_dropped"] == 3
    same(fit, aipw("y ~ t", "t ~ x", d.dropna(), cluster="site"))


def test_a_score_at_the_bound_is_trimmed(patients: pd.DataFrame) -> None:
    score = propensity_weights("t ~ x", patients).table["propensity"]
    for bound in (score.nsmallest(5).iloc[-1], 1 - score.nlargest(5).iloc[-1]):
        gone = ((score <= bound) | (score >= 1 - bound)).sum()
        assert gone > ((score < bound) | (score > 1 - bound)).sum()
        assert propensity_weights("t ~ x", patients, trim=bound).diagnostics["n_trimmed"] == gone


def test_a_level_that_trimming_removes_is_no_column(patients: pd.DataFrame) -> None:
    far = patients.head(40).assign(stage="far", x=0.0, t=[1] + [0] * 39)  # scores of about 1 in 40
    d = pd.concat([patients, far], ignore_index=True)
    fit = propensity_weights("t ~ x + stage", d, trim=0.05)
    assert fit.diagnostics["n_trimmed"] >= 40
    assert not fit.coefficients["term"].str.contains("far").any()
    assert np.isfinite(weighted_difference("y ~ t", "t ~ x + stage", d, trim=0.05).table).all(
        axis=None
    )


def test_arm_without_events_has_a_difference_but_no_ratio(patients: pd.DataFrame) -> None:
    d = patients.assign(hit=patients["hit"] * (1 - patients["t"]))
    fit = weighted_difference("hit ~ t", "t ~ x", d)
    assert fit.table["estimate"].iloc[1] == pytest.approx(0, abs=1e-12)
    with pytest.raises(NotEstimable, match="difference"):
        weighted_difference("hit ~ t", "t ~ x", d, measure="ratio")
    with pytest.raises(NotEstimable, match="separate"):
        aipw("hit ~ t + x", "t ~ x", d)


def test_scores_near_zero_are_not_separation() -> None:
    rng = np.random.default_rng(4)
    x = rng.normal(size=4000)
    t = (rng.random(4000) < 1 / (1 + np.exp(8 - 4 * x))).astype(int)
    x[0], t[0] = -8.0, 0  # a score of about 1e-17
    fit = propensity_weights("t ~ x", pd.DataFrame({"t": t, "x": x}))
    assert fit.table["propensity"].min() < 1e-12
    assert fit.coefficient("x")["estimate"] == pytest.approx(4, abs=0.8)


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize(
    ("change", "options", "message"),
    [
        ({"t": 1}, {}, "one group"),
        ({"t": 2}, {}, "0 \\(comparator\\)"),
        ({"y": 1.0}, {}, "not vary"),
        ({"y": np.inf}, {}, "not finite"),
        ({"y": lambda d: d["t"] * 1.0}, {}, "inside the groups"),
        ({"x": lambda d: d["t"] * 1.0}, {}, "separate"),
        ({"x": 3.0}, {}, "collinear"),
        ({"site": 1}, {"cluster": "site"}, "one cluster"),
        ({}, {"target": "atc"}, "target"),
        ({}, {"measure": "hazard"}, "measure"),
        ({}, {"measure": "odds_ratio"}, "0 and 1"),
        ({}, {"trim": 0.6}, "trim"),
        ({}, {"trim": 0.499999}, "nobody|one group|collinear|separate"),
        ({}, {"level": 95}, "level"),
        ({}, {"cluster": "nope"}, "nope"),
        ({}, {"treated": "nope"}, "nope"),
    ],
)
def test_refusals(
    patients: pd.DataFrame, call: Any, change: dict[str, Any], options: dict[str, Any], message: str
) -> None:
    with pytest.raises(EstimationError, match=message):
        call("y ~ t", "t ~ x", patients.assign(**change), **options)


@pytest.mark.parametrize("n", [0, 1, 2])
def test_few_rows(patients: pd.DataFrame, n: int) -> None:
    d = patients.sort_values("t").iloc[60 - n // 2 : 60 - n // 2 + n]
    for call in CALLS:
        with pytest.raises(EstimationError):
            call("y ~ t", "t ~ x", d)
    with pytest.raises(EstimationError):
        propensity_weights("t ~ x", d)
    with pytest.raises(EstimationError):
        balance(d.iloc[:2], ["x"], "t")


# ------------------------------------------------------------------------------------- balance


def test_overlap_weights_balance_exactly(patients: pd.DataFrame) -> None:
    w = propensity_weights("t ~ x + stage", patients).table["weight"]
    table = balance(patients, ["x", "stage"], "t", w).table
    np.testing.assert_allclose(table["smd_weighted"], 0, atol=1e-9)
    assert table["term"].tolist() == ["x", "stage", "stage", "stage", "stage"]
    assert table["level"].tolist() == ["", "", "a", "b", "c"]


def test_weight_zero_is_a_row_left_out(patients: pd.DataFrame) -> None:
    d = patients.assign(w=np.r_[np.zeros(20), np.arange(1.0, 101)])
    kept = d.iloc[20:]
    pd.testing.assert_frame_equal(
        balance(d, ["x", "stage"], "t", "w").table, balance(kept, ["x", "stage"], "t", "w").table
    )
    assert standardised_mean_difference(d["x"], d["t"], d["w"]) == pytest.approx(
        standardised_mean_difference(kept["x"], kept["t"], kept["w"])
    )


def test_variance_ratio_is_treated_over_comparator(patients: pd.DataFrame) -> None:
    table = balance(patients, ["x", "stage"], "t").table
    one, zero = (patients.loc[patients["t"] == arm, "x"].var() for arm in (1, 0))
    assert table["variance_ratio"].iloc[0] == pytest.approx(one / zero)
    assert table["variance_ratio"].iloc[1:].isna().all()


def test_weights_by_name_or_by_row(patients: pd.DataFrame) -> None:
    d = patients.assign(w=np.arange(120.0), x=lambda d: d["x"].where(d.index != 4))
    one, two = balance(d, ["x"], "t", "w"), balance(d, ["x"], "t", d["w"].to_numpy())
    pd.testing.assert_frame_equal(one.table, two.table)
    assert one.diagnostics["n_dropped"] == 1


def test_equal_weights_change_nothing(patients: pd.DataFrame) -> None:
    table = balance(patients, ["x", "stage"], "t", np.full(120, 7.0)).table
    for column in ("mean_treated", "mean_comparator", "smd", "variance_ratio"):
        np.testing.assert_allclose(table[f"{column}_weighted"], table[column], rtol=1e-12)


def test_groups_that_share_no_level_are_infinitely_apart() -> None:
    d = pd.DataFrame({"t": [0, 0, 1, 1], "sex": list("ffmm"), "x": [1, 1, 2, 2], "same": 5})
    table = balance(d, ["sex", "x", "same"], "t").table
    whole = table[table["level"] == ""].set_index("term")["smd"]
    assert whole.tolist() == [np.inf, np.inf, 0.0]
    with pytest.raises(NotEstimable, match="inside the groups"):
        standardised_mean_difference(d["x"], d["t"])


def test_an_empty_level_is_no_row() -> None:
    sex = pd.Categorical(list("fmfm"), categories=["f", "m", "x"])
    table = balance(pd.DataFrame({"t": [0, 0, 1, 1], "sex": sex}), ["sex"], "t").table
    assert table["level"].tolist() == ["", "f", "m"]


def test_balance_refusals(patients: pd.DataFrame) -> None:
    for covariates, group, weights, message in (
        ([], "t", None, "at least one"),
        (["nope"], "t", None, "nope"),
        (["x"], "stage", None, "0 \\(comparator\\)"),
        (["x"], "t", [1.0], "1 weights"),
        (["x"], "t", "stage", "numbers"),
        (["x"], "t", -np.ones(120), "0 or more"),
        (["x"], "t", np.zeros(120), "two rows"),
    ):
        with pytest.raises(EstimationError, match=message):
            balance(patients, covariates, group, weights)
    with pytest.raises(InvalidInput, match="finite"):
        balance(patients.assign(x=np.inf), ["x"], "t")


def test_effective_sample_size_edges() -> None:
    assert effective_sample_size([1e-300, 1e-300]) == pytest.approx(2)
    assert effective_sample_size([1e300, 0]) == pytest.approx(1)
    for bad in ([], [0, 0], [-1, 2], [np.nan], ["a"]):
        with pytest.raises(EstimationError):
            effective_sample_size(bad)


def test_no_message_holds_a_value(patients: pd.DataFrame) -> None:
    secret = patients.assign(name=[f"SECRET{i % 2}" for i in range(120)])
    for call in (
        lambda: weighted_difference("name ~ t", "t ~ x", secret),
        lambda: weighted_difference("y ~ name", "name ~ x", secret),
        lambda: aipw("y ~ np.log(name)", "t ~ x", secret),
        lambda: aipw("y ~ t", "t ~ x", secret, treated="name"),
        lambda: balance(secret, ["x"], "name"),
        lambda: balance(secret, ["x"], "t", "name"),
    ):
        with pytest.raises(EstimationError) as caught:
            call()
        assert "SECRET" not in str(caught.value)
        assert caught.value.__cause__ is None


def test_an_outcome_that_the_weights_balance_exactly_is_refused(patients: pd.DataFrame) -> None:
    exact = patients.assign(y=2 * patients["x"])
    with pytest.raises(NotEstimable, match="no standard error"):
        weighted_difference("y ~ t", "t ~ x", exact, "overlap", cluster="site")


def test_numbers_of_object_type_are_no_words_in_balance(patients: pd.DataFrame) -> None:
    want = balance(patients, ["x"], "t").table
    pd.testing.assert_frame_equal(
        balance(patients.assign(x=patients["x"].astype(object)), ["x"], "t").table, want
    )
    with pytest.raises(InvalidInput, match="'day' must hold numbers, words or categories"):
        balance(patients.assign(day=pd.Timestamp("2020-01-01")), ["day"], "t")
    with pytest.raises(InvalidInput, match="one number or word per row"):
        standardised_mean_difference(patients[["x", "x"]], patients["t"])
