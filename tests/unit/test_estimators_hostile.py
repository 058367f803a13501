"""Arguments and columns that no analysis should hold, and units far from 1."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pandas as pd
import pytest

from ketamine_outcomes import estimators as est
from ketamine_outcomes.estimators import EstimationError, InvalidInput, NotEstimable

HUGE = 10**400  # no float holds it
ZONED = pd.Series(pd.date_range("2020-01-01", periods=6, tz="UTC"))


@pytest.fixture(autouse=True)
def _warnings_are_errors() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


@pytest.fixture
def rows() -> pd.DataFrame:
    rng = np.random.default_rng(7)
    n = 60
    time = np.ceil(rng.exponential(8, n))
    return pd.DataFrame(
        {
            "x": rng.normal(size=n),
            "b": rng.integers(0, 2, n),
            "arm": rng.choice(["a", "b", "c"], n),
            "site": np.arange(n) % 8,
            "visit": np.arange(n) // 8,
            "time": time,
            "entry": np.floor(rng.uniform(0, 0.9, n) * time),
            "event": rng.integers(0, 3, n),
            "y": rng.normal(size=n) + rng.normal(size=8)[np.arange(n) % 8],
        }
    ).assign(hit=lambda d: (d["event"] == 1) * 1)


CALLS: dict[str, Callable[[pd.DataFrame], Any]] = {
    "gee": lambda d: est.gee("y ~ x", d, "site", "gaussian", scale=HUGE),
    "logrank": lambda d: est.logrank(d, "time", "event", "b", rho=HUGE),
    "rmst": lambda d: est.rmst(d, "time", "event", HUGE),
    "tipping_point": lambda d: est.tipping_point(1, 1, 1, df_complete=HUGE),
    "column": lambda d: est.cox(
        "x", d.assign(x=pd.Series([HUGE] * 60, dtype=object)), "time", "hit"
    ),
    "weights": lambda d: est.cox(
        "x", d.assign(w=pd.Series([HUGE] * 60, dtype=object)), "time", "hit", weights="w"
    ),
    "residual": lambda d: est.linear_mixed("y ~ x", d, "site", residual=np.array(["ar1", "x"])),
    "random": lambda d: est.linear_mixed("y ~ x", d, "site", "1 - 1"),
    "cause": lambda d: est.gray_test(d, "time", "event", "b", cause=np.array(1.5)),
    "ragged weights": lambda d: est.balance(d, ["x"], "b", [[1], [1, 2]]),
    "ragged values": lambda d: est.standardised_mean_difference([[1], [1, 2]], [0, 1]),
    "ragged series": lambda d: est.single_case([[1], [1, 2]], ["a", "b"]),
    "ragged moderators": lambda d: est.meta_analysis([1, 2], [1, 1], moderators=[[1], [1, 2]]),
    "no weights": lambda d: est.effective_sample_size(None),
    "pairs": lambda d: est.paired_exact(np.ones((4, 2))),
    "percent": lambda d: est.probabilistic_bias(2, seed=1, sensitivity=95, specificity=99),
    "error": lambda d: est.probabilistic_bias(2, seed=1, std_error=1e300),
    "levels": lambda d: est.gee("y ~ C(arm, levels=['a', 'b'])", d, None, "gaussian"),
    "one word": lambda d: est.gee("b ~ x", d.assign(b="yes"), None, "binomial", firth=True),
    "zoned": lambda d: est.effective_sample_size(ZONED),
    "zoned series": lambda d: est.single_case(ZONED, ["a"] * 3 + ["b"] * 3),
    "periods": lambda d: est.balance(d.assign(x=pd.period_range("2020", periods=60)), ["x"], "b"),
}  # fmt: skip


@pytest.mark.parametrize("name", CALLS)
def test_refused_in_one_sentence(rows: pd.DataFrame, name: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        CALLS[name](rows)
    assert "\n" not in str(refused.value)


def test_a_level_left_out_of_a_formula_is_not_repeated(rows: pd.DataFrame) -> None:
    secret = rows.assign(arm=rows["arm"].replace("c", "Miller"))
    with pytest.raises(InvalidInput) as refused:
        est.cox("C(arm, levels=['a', 'b'])", secret, "time", "hit")
    assert "Miller" not in str(refused.value)


def test_numbers_of_single_precision_are_numbers() -> None:
    want = est.probabilistic_bias(2, seed=1, n_draws=5).table
    got = est.probabilistic_bias(2, seed=np.float32(1), n_draws=np.float32(5)).table
    pd.testing.assert_frame_equal(got, want)


def test_a_sensitivity_above_1_is_no_perfect_measurement() -> None:
    with pytest.raises(NotEstimable, match="outside 0 to 1"):
        est.probabilistic_bias(2, seed=1, sensitivity=95, risk_2=0.2)


@pytest.mark.parametrize("held", ["object", "Int64", "uint8"])
def test_times_of_any_type_are_numbers(rows: pd.DataFrame, held: str) -> None:
    def fit(data: pd.DataFrame) -> pd.DataFrame:
        return est.linear_mixed(
            "y ~ x", data, "site", "0", residual="ar1", time="visit"
        ).coefficients

    pd.testing.assert_frame_equal(fit(rows.assign(visit=rows["visit"].astype(held))), fit(rows))


def test_timestamps_as_labels_do_not_warn(rows: pd.DataFrame) -> None:
    day = pd.Series([pd.Timestamp("2020-01-01") + pd.Timedelta(i % 3, "D") for i in range(60)])
    dated = rows.assign(arm=day.astype(object))
    assert est.logrank(dated, "time", "event", "arm").table["df"].tolist() == [2]


@pytest.mark.parametrize("unit", [1e90, 1e-90])
def test_mixed_models_follow_enormous_units(rows: pd.DataFrame, unit: float) -> None:
    def fit(data: pd.DataFrame) -> Any:
        return est.linear_mixed("y ~ x", data, "site", "1 + x", df="satterthwaite")

    want, got = fit(rows), fit(rows.assign(y=rows["y"] * unit))
    np.testing.assert_allclose(got.coefficients["df"], want.coefficients["df"], rtol=1e-5)
    np.testing.assert_allclose(
        got.coefficients["std_error"] / unit, want.coefficients["std_error"], rtol=1e-6
    )


def test_ar1_over_enormous_gaps_warns_of_nothing(rows: pd.DataFrame) -> None:
    far = rows.assign(visit=rows["visit"] * 2.0**300)
    near = rows.assign(visit=rows["visit"] * 2.0)
    want, got = (
        est.linear_mixed("y ~ x", d, "site", "0", residual="ar1", time="visit").coefficients
        for d in (near, far)
    )
    np.testing.assert_allclose(got["estimate"], want["estimate"], rtol=1e-5)


def test_weights_that_lose_the_risk_set_are_refused() -> None:
    uneven = pd.DataFrame({"b": [0, 0, 5], "t": [2, 3, 9], "e": 1, "w": [1, 1, 1e40]})
    for call in (est.kaplan_meier, est.aalen_johansen):
        with pytest.raises(NotEstimable, match="weights differ so much"):
            call(uneven, "t", "e", entry="b", weights="w")
        call(uneven, "t", "e", weights="w")  # right without delayed entry


def test_one_weight_above_all_others_has_no_variance(rows: pd.DataFrame) -> None:
    weight = np.where(rows.index == 0, 1e40, 1.0)
    table = est.balance(rows, ["x"], "b", weight).table
    assert np.isnan(table["variance_ratio_weighted"].iloc[0])


def test_subdistribution_that_separates_is_refused() -> None:
    rows = pd.DataFrame(
        {
            "x": [0.125730, -0.132105, 0.640423, 0.104900, -0.535669],
            "arm": ["c", "a", "a", "c", "a"],
            "t": [13.0, 6.0, 5.0, 22.0, 61.0],
            "e": [1, 1, 1, 0, 1],
        }
    )
    with pytest.raises(NotEstimable, match="monotone"):
        est.fine_gray("x + arm", rows, "t", "e")


def test_firth_interval_where_no_information_is_left() -> None:
    rows = pd.DataFrame(
        {
            "x": [1.053116, 1.776491, -2.553292, -0.137965, 1.013719, 1.352142, 0.653788],
            "entry": [0.0, 0.0, 13.0, 0.0, 3.0, 2.0, 1.0],
            "t": [1.0, 1.0, 33.0, 1.0, 12.0, 6.0, 2.0],
            "e": [0, 0, 1, 0, 1, 1, 0],
        }
    )
    try:
        row = est.cox("x", rows, "t", "e", entry="entry", firth=True).coefficients.iloc[0]
    except EstimationError as refused:
        assert "did not converge" in str(refused)
    else:
        assert row["ci_low"] < row["estimate"] < row["ci_high"]


@pytest.mark.parametrize("shift", [1000, 2020])
def test_firth_does_not_mind_where_a_covariate_lies(rows: pd.DataFrame, shift: float) -> None:
    def fit(data: pd.DataFrame) -> pd.Series[Any]:
        return est.gee("b ~ x + hit", data, None, "binomial", firth=True).coefficient("x")

    want, got = fit(rows), fit(rows.assign(x=rows["x"] + shift))
    np.testing.assert_allclose(
        got.drop("term").astype(float), want.drop("term").astype(float), rtol=1e-6
    )


@pytest.mark.parametrize("name", ["1", "0", "", "Intercept"])
def test_a_column_is_not_taken_for_the_intercept(rows: pd.DataFrame, name: str) -> None:
    with pytest.raises(InvalidInput, match="rename it"):
        est.gee(f"y ~ `{name}`", rows.rename(columns={"x": name}), "site", "gaussian")


@pytest.mark.parametrize("option", ["weights", "strata", "cluster", "offset"])
def test_a_column_named_0_is_not_left_out(rows: pd.DataFrame, option: str) -> None:
    column = {"weights": "entry", "strata": "b", "cluster": "site", "offset": "y"}[option]
    data = rows.assign(entry=rows["entry"] + 0.5)
    want = est.cox("x", data, "time", "hit", **{option: column})
    zero = data.rename(columns={column: 0})
    got = est.cox("x", zero, "time", "hit", **{option: 0})
    pd.testing.assert_frame_equal(got.coefficients, want.coefficients)


@pytest.mark.parametrize(
    "call",
    [
        lambda two: est.paired_exact(two),
        lambda two: est.meta_analysis(two, [1.0, 1, 1, 1]),
        lambda two: est.meta_analysis([1.0, 2, 3, 4], two),
        lambda two: est.single_case(two, list("AABB")),
        lambda two: est.single_case([1, 2, 3, 4], list("AABB"), two),
        lambda two: est.standardised_mean_difference(two, [0, 0, 1, 1]),
        lambda two: est.standardised_mean_difference([1, 2, 3, 4], [0, 0, 1, 1], two),
        lambda two: est.effective_sample_size(two),
    ],
)
def test_columns_are_not_strung_together(call: Callable[[Any], Any]) -> None:
    with pytest.raises(InvalidInput, match="one number or word per row"):
        call([[1.0, 2], [3, 4]])


def test_odds_of_a_continuous_outcome_are_refused_as_such(rows: pd.DataFrame) -> None:
    below = rows.assign(y=rows["x"] - 5)
    with pytest.raises(InvalidInput, match="an odds ratio needs an outcome of 0 and 1"):
        est.weighted_difference("y ~ b", "b ~ x", below, measure="odds_ratio")


def test_clusters_that_are_all_alike_have_no_robust_error() -> None:
    alike = pd.DataFrame({"id": np.repeat(range(12), 5), "t": np.tile(range(5), 12)})
    alike["share"] = 0.3 + alike["t"] / 20
    with pytest.raises(NotEstimable, match="all clusters are alike"):
        est.gee("share ~ t", alike, "id", "binomial")
