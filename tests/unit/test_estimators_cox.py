"""Edges and properties of cox; the R numbers are in tests/golden."""

from __future__ import annotations

import warnings
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import special

from ketamine_outcomes.estimators import (
    CoxResult,
    EstimationError,
    InvalidInput,
    NotEstimable,
    cox,
)

ALL = {"entry": "entry", "weights": "w", "strata": "s", "cluster": "site", "offset": "fixed"}
NUMBERS = ["estimate", "std_error", "p_value", "ci_low", "ci_high"]


@pytest.fixture
def rows() -> pd.DataFrame:
    rng = np.random.default_rng(7)
    n = 80
    x = rng.normal(size=n)
    time = np.ceil(rng.exponential(8 * np.exp(-0.4 * x)))  # whole days: many ties
    return pd.DataFrame(
        {
            "time": time,
            "entry": np.floor(rng.uniform(0, 0.9, n) * time),
            "hit": rng.integers(0, 2, n),
            "x": x,
            "z": rng.integers(0, 2, n),
            "arm": rng.choice(["a", "b", "c"], n),
            "site": rng.integers(0, 9, n),
            "s": rng.integers(0, 3, n),
            "w": rng.uniform(0.5, 2, n),
            "fixed": rng.normal(size=n) / 4,
        }
    )


def fit(rows: pd.DataFrame, formula: str = "x + arm", **columns: Any) -> CoxResult:
    return cox(formula, rows, "time", "hit", **columns)


def same(a: CoxResult, b: CoxResult, rtol: float = 1e-9) -> None:
    pd.testing.assert_frame_equal(a.coefficients, b.coefficients, rtol=rtol)
    assert a.log_likelihood == pytest.approx(b.log_likelihood, rel=rtol)


# ------------------------------------------------------------- what the likelihood is, by a loop


def plain_log_likelihood(d: pd.DataFrame, eta: np.ndarray, ties: str) -> float:
    """Weighted, stratified, left-truncated log partial likelihood, term by term."""
    total = 0.0
    for (_, t), tied in d[d["hit"] == 1].groupby(["s", "time"]):
        stratum = d["s"] == tied["s"].iloc[0]
        at_risk = (stratum & (d["entry"] < t) & (d["time"] >= t)).to_numpy()
        events = d.index.isin(tied.index)
        risk, count = np.exp(eta), len(tied)
        w = d["w"].to_numpy()
        total += (w * eta)[events].sum()
        if ties == "exact":
            sets = combinations(np.flatnonzero(at_risk), count)
            total -= np.log(sum(risk[list(members)].prod() for members in sets))
            continue
        for k in range(count):
            share = k / count if ties == "efron" else 0.0
            reduced = (w * risk)[at_risk].sum() - share * (w * risk)[events].sum()
            total -= w[events].mean() * np.log(reduced)
    return total


@pytest.mark.parametrize("ties", ["efron", "breslow", "exact"])
@pytest.mark.parametrize("late", [True, False])
def test_likelihood_is_the_plain_sum_and_its_maximum(
    rows: pd.DataFrame, ties: str, late: bool
) -> None:
    d = rows.iloc[:30].assign(w=1.0) if ties == "exact" else rows
    d = d if late else d.assign(entry=-1.0)
    columns = {k: v for k, v in ALL.items() if k in ("entry", "strata", "offset")}
    if ties != "exact":
        columns["weights"] = "w"
    model = fit(d, "x + z", **columns, ties=ties)
    beta = model.coefficients["estimate"].to_numpy()
    x = d[["x", "z"]].to_numpy(float)

    def value(b: np.ndarray) -> float:
        return plain_log_likelihood(d, x @ b + d["fixed"].to_numpy(), ties)

    assert model.log_likelihood == pytest.approx(value(beta), rel=1e-10)
    assert model.diagnostics["log_likelihood_null"] == pytest.approx(value(0 * beta), rel=1e-10)
    step = 1e-4
    for direction in np.eye(2) * step:
        slope = (value(beta + direction) - value(beta - direction)) / (2 * step)
        assert abs(slope) < 1e-5
    error = np.array(list(model.diagnostics["std_error_information"].values()))
    curve = -np.array(
        [
            [
                (
                    value(beta + a + b)
                    - value(beta + a - b)
                    - value(beta - a + b)
                    + value(beta - a - b)
                )
                / (4 * step**2)
                for b in np.eye(2) * step
            ]
            for a in np.eye(2) * step
        ]
    )
    np.testing.assert_allclose(error, np.sqrt(np.diag(np.linalg.inv(curve))), rtol=1e-4)


# ----------------------------------------------------------------------------------- properties


@pytest.mark.parametrize("ties", ["efron", "breslow"])
def test_row_order_does_not_matter(rows: pd.DataFrame, ties: str) -> None:
    shuffled = rows.sample(frac=1, random_state=3)
    a, b = fit(rows, **ALL, ties=ties), fit(shuffled, **ALL, ties=ties)
    same(a, b)
    pd.testing.assert_frame_equal(a.table, b.table, rtol=1e-8)
    for kind in ("martingale", "score", "dfbeta"):
        pd.testing.assert_frame_equal(
            a.residuals(kind), b.residuals(kind).sort_index(), rtol=1e-7, atol=1e-10
        )
    pd.testing.assert_frame_equal(
        a.proportional_hazards_test("rank"), b.proportional_hazards_test("rank"), rtol=1e-8
    )


def test_exact_ties_of_any_row_order(rows: pd.DataFrame) -> None:
    for columns in ({}, {"entry": "entry"}):
        same(
            fit(rows, ties="exact", **columns),
            fit(rows.sample(frac=1, random_state=1), ties="exact", **columns),
        )


def test_without_ties_all_approximations_are_one(rows: pd.DataFrame) -> None:
    d = rows.assign(time=rows["time"] + np.arange(len(rows)) / 1000)
    same(fit(d), fit(d, ties="breslow"))
    same(fit(d), fit(d, ties="exact"))


def test_exact_ties_with_entry_equal_those_of_nested_risk_sets(rows: pd.DataFrame) -> None:
    # one row that enters late turns the other route on; it leaves before the next event time
    late = rows.iloc[[0]].assign(entry=3.2, time=3.4, hit=0)
    d = pd.concat([rows.assign(entry=-1.0), late], ignore_index=True)
    beyond = late.assign(entry=1.5, time=2.5)  # really at risk: at the time 2
    same(fit(d, ties="exact", entry="entry"), fit(rows, ties="exact"))
    more = pd.concat([rows.assign(entry=-1.0), beyond], ignore_index=True)
    less = fit(more, ties="exact", entry="entry").log_likelihood
    assert less < fit(rows, ties="exact").log_likelihood


def test_many_small_strata_equal_one_by_one_sums() -> None:
    rng = np.random.default_rng(2)
    n = 900
    d = pd.DataFrame(
        {
            "time": rng.integers(1, 4, n),
            "hit": rng.integers(0, 2, n),
            "x": rng.normal(size=n),
            "z": rng.normal(size=n),
            "s": np.arange(n) // 5,
        }
    )
    for ties in ("efron", "exact"):
        whole = fit(d, "x + z", strata="s", ties=ties)
        parts = 0.0
        for _, few in d.groupby(d["s"] // 30):  # the likelihood of strata is a sum
            eta = few.assign(fixed=few[["x", "z"]] @ whole.coefficients["estimate"].to_numpy())
            parts += fit(eta, "x", strata="s", ties=ties, offset="fixed").diagnostics[
                "log_likelihood_null"
            ]
        assert whole.log_likelihood == pytest.approx(parts, rel=1e-12)


def test_weight_zero_is_no_row(rows: pd.DataFrame) -> None:
    d = rows.assign(w=np.where(rows.index % 4 == 0, 0.0, rows["w"]), arm="a")
    d.loc[d["w"] > 0, "arm"] = rows["arm"]
    d.loc[0, "arm"] = "only here"
    model = fit(d, weights="w", cluster="site")
    same(model, fit(d[d["w"] > 0], weights="w", cluster="site"))
    assert model.diagnostics["n_zero_weight"] == 20
    assert len(model.residuals("martingale")) == 60


def test_whole_weights_are_copies_of_rows(rows: pd.DataFrame) -> None:
    d = rows.assign(copies=1.0 + rows.index % 3)
    copied = rows.loc[rows.index.repeat(d["copies"])]
    for columns in ({}, {"entry": "entry", "strata": "s"}):
        same(
            fit(d, weights="copies", ties="breslow", **columns),
            fit(copied, ties="breslow", **columns),
        )


def test_splitting_rows_changes_nothing(rows: pd.DataFrame) -> None:
    d = rows.assign(id=rows.index, begin=rows["entry"])
    late = d[(d["entry"] < 3) & (d["time"] > 3)]
    parts = pd.concat(
        [
            d.drop(late.index),
            late.assign(time=3.0, hit=0),
            late.assign(begin=3.0),
        ]
    )
    a = fit(d, entry="entry", cluster="id", strata="s")
    b = fit(parts, entry="begin", cluster="id", strata="s")
    same(a, b)
    x = pd.DataFrame({"x": [0.3], "arm": ["b"], "s": [1]})
    times = [2, 5, 9]
    pd.testing.assert_frame_equal(
        a.predict_survival(x, times), b.predict_survival(x, times), rtol=1e-9
    )


def test_units_of_covariate_and_time(rows: pd.DataFrame) -> None:
    a = fit(rows, **ALL)
    d = rows.assign(x=rows["x"] * 1e-9 + 1e-5, time=rows["time"] * 7, entry=rows["entry"] * 7)
    b = fit(d, **ALL)
    factor = np.array([1e-9, 1, 1])
    for column in ("estimate", "std_error"):
        np.testing.assert_allclose(
            b.coefficients[column] * factor, a.coefficients[column], rtol=1e-6
        )


def test_other_reference_level(rows: pd.DataFrame) -> None:
    a, b = fit(rows), fit(rows.assign(arm=rows["arm"].map({"a": "z", "b": "b", "c": "c"})))
    gain = a.coefficient("arm[T.c]")["estimate"] - a.coefficient("arm[T.b]")["estimate"]
    assert b.coefficient("arm[T.c]")["estimate"] == pytest.approx(gain, rel=1e-9)
    new = rows[["x", "arm"]].head()
    other = new.assign(arm=new["arm"].map({"a": "z", "b": "b", "c": "c"}))
    pd.testing.assert_frame_equal(
        a.predict_survival(new), b.predict_survival(other), rtol=1e-9, atol=1e-12
    )


def test_same_input_same_bytes(rows: pd.DataFrame) -> None:
    a, b = fit(rows, **ALL), fit(rows, **ALL)
    assert a.coefficients.to_csv() == b.coefficients.to_csv()


def test_robust_variance_of_rows_is_the_jackknife(rows: pd.DataFrame) -> None:
    # the derivative of the estimate with respect to the weight of each cluster
    model = fit(rows, "x + z", **ALL)
    total, h = np.zeros((2, 2)), 1e-4
    for site in rows["site"].unique():
        moved = []
        for sign in (1, -1):
            w = rows["w"] * np.where(rows["site"] == site, 1 + sign * h, 1.0)
            moved.append(fit(rows.assign(w=w), "x + z", **ALL).coefficients["estimate"])
        change = ((moved[0] - moved[1]) / (2 * h)).to_numpy()
        total += np.outer(change, change)
    np.testing.assert_allclose(model.covariance, total, rtol=1e-5)


# ---------------------------------------------------------------------- what comes after the fit


def test_residuals_add_up(rows: pd.DataFrame) -> None:
    model = fit(rows, entry="entry", strata="s")
    assert model.residuals("martingale").to_numpy().sum() == pytest.approx(0, abs=1e-9)
    assert np.abs(model.residuals("score").sum()).max() < 1e-8
    assert np.abs(model.residuals("schoenfeld").sum()).max() < 1e-8
    assert model.residuals("deviance").shape == (80, 1)
    with pytest.raises(InvalidInput, match="kind must be"):
        model.residuals("pearson")


def test_rows_of_residuals_have_the_labels_of_the_data(rows: pd.DataFrame) -> None:
    d = rows.set_index(rows.index + 100)
    d.loc[[103, 110], "x"] = np.nan
    model = fit(d)
    assert model.residuals("score").index.equals(d.index.drop([103, 110]))
    assert len(model.residuals("schoenfeld")) == model.diagnostics["n_events"]


def test_survival_at_zero_is_the_baseline(rows: pd.DataFrame) -> None:
    model = fit(rows, "x + z", entry="entry", strata="s", offset="fixed", level=0.8)
    zero = pd.DataFrame({"x": 0.0, "z": 0, "fixed": 0.0, "s": [0, 1, 2]})
    curve = model.predict_survival(zero)
    base = model.baseline_hazard()
    np.testing.assert_allclose(-np.log(curve["estimate"]), base["estimate"], rtol=1e-9)
    error = curve["std_error"] / curve["estimate"]
    np.testing.assert_allclose(error, base["std_error"], rtol=1e-9)
    high = -np.log(curve["ci_low"])
    np.testing.assert_allclose(high, base["ci_high"], rtol=1e-9)
    low = 2 * base["estimate"] - base["ci_high"]  # as far below, but for the cut at 0
    assert (low < 0).any()
    np.testing.assert_allclose(base["ci_low"], low.clip(lower=0), rtol=1e-9, atol=1e-12)
    assert base["group"].tolist() == sorted(base["group"])


def test_survival_is_read_between_its_times(rows: pd.DataFrame) -> None:
    model = fit(rows)
    new = rows[["x", "arm"]].head(3)
    whole = model.predict_survival(new, ci="log-log")
    read = model.predict_survival(new, times=[5.5, 0.5, 5.0], ci="log-log")
    assert read["time"].tolist() == [0.5, 5.0, 5.5] * 3
    for label in new.index:
        mine = read[read["group"] == label].reset_index()
        at_five = whole[(whole["group"] == label) & (whole["time"] == 5)].iloc[0]
        assert mine.loc[0, "estimate"] == 1
        assert mine.loc[1, "estimate"] == at_five["estimate"] == mine.loc[2, "estimate"]
        assert mine.loc[1, "n_at_risk"] == at_five["n_at_risk"] > mine.loc[2, "n_at_risk"]
        assert (
            mine["n_events"].sum()
            == whole[(whole["group"] == label)].query("time <= 5.5")["n_events"].sum()
        )


def test_hazard_ratio_against_a_reference(rows: pd.DataFrame) -> None:
    model = fit(rows)
    new = pd.DataFrame({"x": [0.0, 0.0], "arm": ["b", "a"]})
    table = model.linear_predictor(new, reference=new.iloc[[1]])
    row = model.coefficient("arm[T.b]")
    assert table.loc[0].tolist() == pytest.approx(
        row[["estimate", "std_error", "ci_low", "ci_high"]].tolist()
    )
    assert table.loc[1].tolist() == [0, 0, 0, 0]


def test_a_stratum_without_events_has_no_hazard(rows: pd.DataFrame) -> None:
    d = rows.assign(hit=np.where(rows["s"] == 2, 0, rows["hit"]))
    base = fit(d, strata="s").baseline_hazard()
    assert (base.loc[base["group"] == 2, "estimate"] == 0).all()


def test_new_data_are_checked(rows: pd.DataFrame) -> None:
    model = fit(rows, strata="s", offset="fixed")
    good = pd.DataFrame({"x": [0.1], "arm": ["a"], "s": [0], "fixed": [0.0]})
    for change, message in (
        ({"arm": "unseen"}, "never saw"),
        ({"x": np.nan}, "missing"),
        ({"x": np.inf}, "not finite"),
        ({"s": 9}, "stratum that the fit never saw"),
        ({"fixed": np.nan}, "not finite"),
    ):
        with pytest.raises(InvalidInput, match=message) as caught:
            model.predict_survival(good.assign(**change))
        assert "unseen" not in str(caught.value)
    for missing in ("x", "s", "fixed"):
        with pytest.raises(InvalidInput):
            model.predict_survival(good.drop(columns=missing))
    with pytest.raises(InvalidInput, match="ci must be"):
        model.predict_survival(good, ci="wald")
    with pytest.raises(InvalidInput, match="times must be"):
        model.predict_survival(good, times=[1, np.nan])
    with pytest.raises(InvalidInput, match="one row"):
        model.linear_predictor(good, reference=pd.concat([good, good]))


def test_proportional_hazards_options(rows: pd.DataFrame) -> None:
    model = fit(rows, "x * arm")
    together, apart = (model.proportional_hazards_test("km", terms=t) for t in (True, False))
    assert together["term"].tolist() == ["x", "arm", "x:arm", "global"]
    assert together["df"].tolist() == [1, 2, 2, 5]
    assert len(apart) == 6
    assert together["statistic"].iloc[-1] == apart["statistic"].iloc[-1]
    with pytest.raises(InvalidInput, match="transform must be"):
        model.proportional_hazards_test("sqrt")
    with pytest.raises(InvalidInput, match="logarithm"):
        fit(rows.assign(time=rows["time"] - 1)).proportional_hazards_test("log")
    with pytest.raises(InvalidInput, match="exact"):
        fit(rows, ties="exact").proportional_hazards_test()
    with pytest.raises(InvalidInput, match="firth=False"):
        fit(rows, firth=True).proportional_hazards_test()
    with pytest.raises(InvalidInput, match="exact"):
        fit(rows, ties="exact").residuals("score")


# ------------------------------------------------------------------------------- hostile inputs


@pytest.mark.parametrize("n", [0, 1])
def test_no_row_and_one_row(rows: pd.DataFrame, n: int) -> None:
    with pytest.raises(EstimationError):
        fit(rows.head(n), "x")


def test_two_rows() -> None:
    d = pd.DataFrame({"time": [1.0, 2.0], "hit": [1, 1], "x": [0.0, 1.0]})
    with pytest.raises(NotEstimable, match="monotone"):
        fit(d, "x")
    with pytest.raises(NotEstimable, match="does not vary among those at risk"):
        fit(d.assign(hit=[0, 1]), "x")


@pytest.mark.parametrize("ties", ["efron", "breslow", "exact"])
def test_all_events_at_one_time(rows: pd.DataFrame, ties: str) -> None:
    d = rows.assign(time=4.0)
    model = fit(d, "x", ties=ties)
    assert np.isfinite(model.coefficients[NUMBERS]).all(axis=None)
    if ties != "exact":
        with pytest.raises(NotEstimable, match="one time"):
            model.proportional_hazards_test()


def test_everybody_dies_at_one_time(rows: pd.DataFrame) -> None:
    d = rows.assign(time=4.0, hit=1)
    with pytest.raises(NotEstimable):  # the exact likelihood is constant: all of them died
        fit(d, "x", ties="exact")
    # Breslow's and Efron's are not; both are finite
    assert np.isfinite(fit(d, "x").coefficients[NUMBERS]).all(axis=None)


def test_covariates_without_information(rows: pd.DataFrame) -> None:
    d = rows.assign(same=1.0, twice=2 * rows["x"], tiny=rows["x"] * 1e-14)
    d["almost"] = d["x"] + 1e-13 * d["fixed"]
    for formula, message in (
        ("x + same", "'same' does not vary"),
        ("x + twice", "collinear"),
        ("x + almost", "collinear"),
        ("1", "no term"),
        ("arm + C(arm)", "collinear"),
    ):
        with pytest.raises(EstimationError, match=message):
            fit(d, formula)
    tiny, x = fit(d, "tiny").coefficients.iloc[0], fit(d, "x").coefficients.iloc[0]
    assert tiny["statistic"] == pytest.approx(x["statistic"], rel=1e-9)


def test_collinear_only_at_the_event_times(rows: pd.DataFrame) -> None:
    d = pd.concat([rows, rows.assign(time=0.5, entry=0.1, hit=0)], ignore_index=True)
    d["double"] = 2 * d["x"]
    d.loc[80:, "double"] = 0.0
    with pytest.raises(NotEstimable, match="collinear"):
        fit(d, "x + double")


def test_values_that_are_not_finite(rows: pd.DataFrame) -> None:
    for column in ("x", "time", "w", "fixed", "entry"):
        d = rows.copy()
        d[column] = d[column].astype(float)
        d.loc[2, column] = np.inf
        with pytest.raises(InvalidInput, match="finite"):
            fit(d, **ALL)
        d.loc[2, column] = np.nan
        assert fit(d, **ALL).diagnostics["n_dropped"] == 1


def test_hostile_calls(rows: pd.DataFrame) -> None:
    cases: list[tuple[dict[str, Any], str]] = [
        ({"weights": "negative"}, "negative weights"),
        ({"weights": "none"}, "every weight"),
        ({"entry": "time"}, "at or after"),
        ({"ties": "exact", "weights": "w"}, "exact"),
        ({"ties": "exact", "cluster": "site"}, "exact"),
        ({"ties": "exact", "firth": True}, "efron"),
        ({"firth": True, "weights": "w"}, "firth"),
        ({"firth": True, "cluster": "site"}, "firth"),
        ({"ties": "discrete"}, "ties must be"),
        ({"level": 95}, "level"),
        ({"cluster": "nowhere"}, "no column"),
        ({"strata": "nowhere"}, "no column"),
        ({"weights": "nowhere"}, "no column"),
        ({"weights": "arm"}, "numbers"),
        ({"offset": "huge"}, "double precision"),
    ]
    d = rows.assign(negative=-1.0, none=0.0, huge=rows["fixed"] * 1e5)
    for columns, message in cases:
        with pytest.raises(EstimationError, match=message):
            fit(d, **columns)
    with pytest.raises(InvalidInput, match="0 \\(censored\\)"):
        fit(d.assign(hit=0.5))


def test_other_codes_are_censored(rows: pd.DataFrame) -> None:
    other = rows.assign(hit=np.where((rows["hit"] == 0) & (rows["z"] == 1), 2, rows["hit"]))
    same(fit(rows), fit(other))


def test_one_outlier_does_not_eat_the_digits_of_the_others(rows: pd.DataFrame) -> None:
    d = rows.assign(fixed=0.0)
    d.loc[d.index[-1], ["entry", "time", "fixed"]] = [9.0, 12.0, 25.0]
    with pytest.raises(NotEstimable, match="digits"):
        fit(d, "x", entry="entry", offset="fixed")
    # without delayed entry nothing is subtracted
    assert np.isfinite(fit(d, "x", offset="fixed").coefficients[NUMBERS]).all(axis=None)


def test_many_exact_ties() -> None:
    n = 1200
    d = pd.DataFrame({"time": 1.0, "hit": np.arange(n) % 2, "x": np.sin(np.arange(n))})
    exact, efron = (fit(d, "x", ties=t).coefficients.iloc[0] for t in ("exact", "efron"))
    assert np.isfinite(exact["estimate"])
    # a logistic regression without its intercept: twice the information of the sum
    assert abs(exact["statistic"]) < 1
    assert abs(efron["statistic"]) < 1
    with pytest.raises(NotEstimable, match="exact ties"):
        fit(pd.concat([d] * 4), "x", ties="exact")


def test_the_scale_of_the_weights_does_not_end_the_climb_early(rows: pd.DataFrame) -> None:
    def at(scale: float) -> pd.DataFrame:
        scaled = rows.assign(w=rows["w"] * scale)
        return fit(scaled, "x * arm", entry="entry", weights="w", ties="breslow").coefficients

    np.testing.assert_allclose(at(1)[NUMBERS], at(1e-9)[NUMBERS], rtol=1e-10)


def test_monotone_in_a_combination_of_terms() -> None:
    d = pd.DataFrame(
        {
            "time": range(1, 13),
            "hit": [1] * 6 + [0] * 6,
            "a": [1, 0, 1, 0, 1, 0, 0, 0, 0, 0, 0, 0],
            "b": [0, 1, 0, 1, 0, 1, 0, 0, 0, 0, 0, 0],
        }
    )
    with pytest.raises(NotEstimable, match="firth=True"):
        fit(d, "a + b")
    penalised = fit(d, "a + b", firth=True)
    assert np.isfinite(penalised.coefficients["estimate"]).all()
    assert (penalised.coefficients["ci_low"] > 0).all()


def test_profile_interval_ends_where_the_likelihood_says(rows: pd.DataFrame) -> None:
    model = fit(rows, "x + z", firth=True, level=0.9)
    assert model.coefficients["p_value"].between(0, 1).all()
    inside = model.coefficients.eval("ci_low < estimate < ci_high")
    assert inside.all()
    wide = fit(rows, "x + z", firth=True, level=0.99).coefficients
    assert (wide["ci_low"] < model.coefficients["ci_low"]).all()
    rejects = model.coefficients["p_value"] < 0.1
    excludes = (model.coefficients["ci_low"] > 0) | (model.coefficients["ci_high"] < 0)
    assert rejects.equals(excludes)


def test_few_clusters_have_no_joint_test(rows: pd.DataFrame) -> None:
    d = rows.assign(site=rows.index % 3)
    tests = fit(d, cluster="site").table.set_index("test")["statistic"]
    assert np.isnan(tests["wald"])
    assert np.isfinite(tests["robust score"])


def test_results_without_a_fit_say_so() -> None:
    for call in (
        CoxResult().baseline_hazard,
        CoxResult().residuals,
        CoxResult().proportional_hazards_test,
    ):
        with pytest.raises(InvalidInput, match="not made by cox"):
            call()


def test_concordance_is_refused_where_pairs_cannot_be_compared() -> None:
    rows = pd.DataFrame(
        {"t": [1, 2, 3, 4, 5], "e": [1, 1, 0, 1, 1], "x": [1, 0, 1, 0, 1], "s": [0, 0, 0, 1, 1]}
    )
    assert cox("x", rows, "t", "e").concordance() == pytest.approx(4.5 / 8)  # 3 right, 3 ties
    with pytest.raises(InvalidInput, match="strata"):
        cox("x", rows, "t", "e", strata="s").concordance()


def test_firth_that_runs_away_is_refused_without_a_warning() -> None:
    rng = np.random.default_rng(0)
    time = np.round(rng.exponential(5, 36) + 1, 1)
    rows = pd.DataFrame({"t": time, "e": rng.integers(0, 2, 36), "x": -time})
    rows["arm"] = np.array(["a", "b", "c"])[rng.integers(0, 3, 36)]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            fit = cox("x + arm", rows, "t", "e", firth=True)
        except NotEstimable:
            return
    assert np.isfinite(fit.coefficients[["estimate", "std_error", "p_value"]]).all(axis=None)


@pytest.mark.filterwarnings("error")
def test_proportional_hazards_at_one_informative_time() -> None:
    d = pd.DataFrame(
        {
            "t": [0, 1, 1, 1, 1, 2, 2],
            "from": [-1, 0, -2, -1, -2, -1, 1],
            "e": [1, 0, 1, 0, 1, 1, 0],
            "s": [2, 1, 1, 1, 1, 2, 2],
            "x": [0, 2, 1, 1, 2, 0, 0],
            "w": [2.3, 0.01, 0.5, 1.0, 1.0, 1.0, 0.01],
        }
    )
    model = cox("x", d, "t", "e", "from", "w", "s")
    for transform in ("km", "rank", "identity"):
        assert model.proportional_hazards_test(transform)["statistic"].isna().all()


def test_a_monotone_likelihood_is_seen_behind_weights_a_million_apart() -> None:
    rows = pd.DataFrame(
        {
            "time": [0, 1, 2, 0, 1, 2],
            "entry": [-1, 0, -3, -1, -2, -3],
            "event": [1, 1, 1, 0, 0, 0],
            "stratum": [1, 1, 1, 2, 2, 2],
            "x": [1, 2, 2, 0, 0, 2],
            "weight": [1e-6, 1e-6, 1, 1, 1, 1e-6],
        }
    )
    with pytest.raises(NotEstimable, match="monotone"):
        cox("x", rows, "time", "event", "entry", weights="weight", strata="stratum")


def tied_at_once(n: int, died: int) -> pd.DataFrame:
    x = np.random.default_rng(4).normal(size=n)
    return pd.DataFrame({"t": 1, "e": (np.arange(n) < died) * 1, "x": x})


@pytest.mark.parametrize(("n", "died"), [(1500, 777), (20_000, 1100)])
def test_exact_ties_hold_a_thousand_events_at_one_time(n: int, died: int) -> None:
    fit = cox("x", tied_at_once(n, died), "t", "e", ties="exact")
    none = special.gammaln([died + 1, n - died + 1]).sum() - special.gammaln(n + 1)
    assert fit.diagnostics["log_likelihood_null"] == pytest.approx(none, rel=1e-12)


def test_exact_ties_choose_the_events_or_the_others() -> None:
    rows = tied_at_once(1500, 777)
    turned = cox("x", rows.assign(e=1 - rows["e"]), "t", "e", ties="exact").coefficients
    fit = cox("x", rows, "t", "e", ties="exact").coefficients
    assert fit["estimate"][0] == pytest.approx(-turned["estimate"][0], rel=1e-9)
    assert fit["std_error"][0] == pytest.approx(turned["std_error"][0], rel=1e-9)


def test_more_exact_ties_than_double_precision_holds_are_refused_at_once() -> None:
    rows = pd.DataFrame({"t": 1, "e": np.arange(40_000) % 2, "x": np.arange(40_000) % 7})
    with pytest.raises(NotEstimable, match="use ties='efron' for so many exact ties"):
        cox("x", rows, "t", "e", ties="exact")
