"""Edges and properties of gee and quantile_regression; the R numbers are in tests/golden."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

from ketamine_outcomes.estimators import (
    EstimationError,
    InvalidInput,
    NotEstimable,
    Result,
    estimating_equations,
    gee,
    quantile_regression,
)
from ketamine_outcomes.estimators.estimating_equations import Clusters

NUMBERS = ["estimate", "std_error", "statistic", "df", "p_value", "ci_low", "ci_high"]
FAMILIES = {
    "gaussian": "pain",
    "binomial": "hit",
    "poisson": "doses",
    "quasipoisson": "doses",
    "gamma": "hours",
    "tweedie(1.5)": "hours",
}
CORRELATIONS = ["independence", "exchangeable", "ar1"]


@pytest.fixture
def rows() -> pd.DataFrame:
    rng = np.random.default_rng(5)
    size = np.r_[np.full(12, 4), 1, 2, 7]
    patient = np.repeat(np.arange(15), size)
    n = len(patient)
    week = np.arange(n) - np.repeat(np.cumsum(size) - size, size)
    own = rng.normal(size=15)[patient]
    return pd.DataFrame(
        {
            "patient": patient,
            "week": week,
            "arm": np.where(patient % 2, "b", "a"),
            "x": rng.normal(size=n),
            "w": rng.integers(1, 4, n),
            "log_days": rng.normal(0, 0.2, n),
            "pain": 5 + own + rng.normal(size=n),
            "hit": (own + rng.normal(size=n) > 0) * 1,
            "doses": rng.poisson(np.exp(0.5 + 0.3 * own)),
            "hours": rng.gamma(2, 1 + own**2),
        }
    )


def same(one: Result, other: Result, rtol: float = 1e-8) -> None:
    np.testing.assert_allclose(
        one.coefficients[NUMBERS].to_numpy(float),
        other.coefficients[NUMBERS].to_numpy(float),
        rtol=rtol,
    )


# ------------------------------------------------------------------------------- properties


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("corr", CORRELATIONS)
def test_order_of_rows_and_names_of_clusters_do_not_matter(
    rows: pd.DataFrame, family: str, corr: str
) -> None:
    formula = f"{FAMILIES[family]} ~ x + arm"
    words = {"corr": corr, "time": "week", "weights": "w", "offset": "log_days"}
    fit = gee(formula, rows, "patient", family, **words)
    mixed = rows.sample(frac=1, random_state=2)
    mixed["patient"] = "patient " + (99 - mixed["patient"]).astype(str)
    same(fit, gee(formula, mixed, "patient", family, **words))
    assert (fit.coefficients["std_error"] > 0).all()


def test_same_input_gives_the_same_bytes(rows: pd.DataFrame) -> None:
    fits = [gee("hit ~ x + arm", rows, "patient", "binomial", corr="ar1") for _ in range(2)]
    assert fits[0].coefficients.to_csv() == fits[1].coefficients.to_csv()


@pytest.mark.parametrize("small_sample", ["none", "kauermann_carroll", "mancl_derouen"])
def test_a_weight_of_two_is_the_row_twice(rows: pd.DataFrame, small_sample: str) -> None:
    twice = rows.loc[rows.index.repeat(rows["w"])]
    one = gee("doses ~ x", rows, "patient", "poisson", weights="w", small_sample=small_sample)
    other = gee("doses ~ x", twice, "patient", "poisson", small_sample=small_sample)
    same(one, other)
    assert one.diagnostics["scale"] == pytest.approx(other.diagnostics["scale"])


@pytest.mark.parametrize("corr", CORRELATIONS)
def test_rows_of_weight_zero_count_for_nothing(rows: pd.DataFrame, corr: str) -> None:
    d = rows.assign(w=np.where(rows["week"] == 1, 0, rows["w"]), x2=rows["x"])
    d.loc[d["w"] == 0, "x2"] = 1e6
    words = {"weights": "w", "corr": corr, "time": "week"}
    one = gee("pain ~ x2", d, "patient", "gaussian", **words)
    other = gee("pain ~ x2", d[d["w"] > 0], "patient", "gaussian", **words)
    same(one, other)
    assert one.diagnostics["n_observations"] == (d["w"] > 0).sum()


def test_all_weights_times_ten_change_nothing(rows: pd.DataFrame) -> None:
    d = rows.assign(ten=10 * rows["w"])
    for corr in CORRELATIONS:
        same(
            gee("pain ~ x", d, "patient", "gaussian", weights="w", corr=corr),
            gee("pain ~ x", d, "patient", "gaussian", weights="ten", corr=corr),
        )


@pytest.mark.parametrize("corr", CORRELATIONS)
@pytest.mark.parametrize("unit", [1e-9, 1e9])
def test_units_scale_the_estimate(rows: pd.DataFrame, corr: str, unit: float) -> None:
    d = rows.assign(pain=rows["pain"] * unit, x=rows["x"] / unit)
    one = gee("pain ~ x", rows, "patient", "gaussian", corr=corr).coefficients
    other = gee("pain ~ x", d, "patient", "gaussian", corr=corr).coefficients
    factor = np.array([unit, unit**2])
    for column in ("estimate", "std_error", "ci_low", "ci_high"):
        np.testing.assert_allclose(other[column], one[column] * factor, rtol=1e-8)
    np.testing.assert_allclose(other["p_value"], one["p_value"], rtol=1e-6)


def test_relabelled_levels_turn_the_contrast(rows: pd.DataFrame) -> None:
    one = gee("hit ~ arm", rows, "patient", "binomial", corr="exchangeable")
    turned = rows.assign(arm=rows["arm"].map({"a": "z", "b": "b"}))
    other = gee("hit ~ arm", turned, "patient", "binomial", corr="exchangeable")
    a, b = one.coefficient("arm[T.b]"), other.coefficient("arm[T.z]")
    assert a["estimate"] == pytest.approx(-b["estimate"])
    assert a["std_error"] == pytest.approx(b["std_error"])


def test_ar1_without_gaps_is_the_row_order(rows: pd.DataFrame) -> None:
    one = gee("pain ~ x", rows, "patient", "gaussian", corr="ar1")
    dates = rows.assign(day=pd.Timestamp("2024-01-01") + pd.to_timedelta(rows["week"], unit="D"))
    same(one, gee("pain ~ x", dates, "patient", "gaussian", corr="ar1", time="day"))
    # waves are the distinct values in order, whatever their distance
    uneven = rows.assign(day=rows["week"] ** 2)
    same(one, gee("pain ~ x", uneven, "patient", "gaussian", corr="ar1", time="day"))


def test_pairs_give_the_same_exchangeable_and_ar1(rows: pd.DataFrame) -> None:
    d = rows[rows["week"] < 2]
    same(
        gee("pain ~ x", d, "patient", "gaussian", corr="exchangeable"),
        gee("pain ~ x", d, "patient", "gaussian", corr="ar1"),
    )


def test_exchangeable_ar1_and_corrections_equal_dense_matrices(rows: pd.DataFrame) -> None:
    """The closed forms against the textbook formulas with explicit working covariances."""
    d = rows.sort_values(["patient", "week"]).query("week != 2").reset_index(drop=True)
    x = np.c_[np.ones(len(d)), d["x"]]
    for corr in ("exchangeable", "ar1"):
        fit = gee("doses ~ x", d, "patient", "poisson", corr=corr, time="week")
        beta = fit.coefficients["estimate"].to_numpy()
        alpha, scale = fit.diagnostics["alpha"], fit.diagnostics["scale"]
        mean = np.exp(x @ beta)
        parts, score = [], np.zeros(2)
        for _, i in d.groupby("patient").indices.items():
            steps = np.abs(np.subtract.outer(*[pd.factorize(d["week"], sort=True)[0][i]] * 2))
            r = np.where(steps == 0, 1.0, alpha) if corr == "exchangeable" else alpha**steps
            v = scale * np.sqrt(np.outer(mean[i], mean[i])) * r
            slope = x[i] * mean[i][:, None]
            parts.append((slope, np.linalg.inv(v), d["doses"].to_numpy()[i] - mean[i]))
            score += slope.T @ parts[-1][1] @ parts[-1][2]
        np.testing.assert_allclose(score, 0, atol=1e-7)
        bread = np.linalg.inv(sum(s.T @ v @ s for s, v, _ in parts))
        meat = np.zeros((2, 2))
        for slope, inverse, residual in parts:
            hat = slope @ bread @ slope.T @ inverse
            u = slope.T @ inverse @ np.linalg.solve(np.eye(len(hat)) - hat, residual)
            meat += np.outer(u, u)
        np.testing.assert_allclose(fit.covariance, bread @ meat @ bread, rtol=1e-7)


def test_pairs_of_long_and_short_clusters_are_counted_by_their_steps() -> None:
    rng = np.random.default_rng(4)
    size = np.array([1, 64, 65, 150])
    wave = np.concatenate([np.sort(rng.choice(200, s, replace=False)) for s in size])
    first = np.cumsum(size) - size
    values = rng.normal(size=size.sum())
    expected = np.zeros(np.ptp(wave) + 1)
    for i, n in zip(first, size, strict=True):
        for j in range(i, i + n):
            for k in range(j + 1, i + n):
                expected[wave[k] - wave[j]] += values[j] * values[k]
    found = estimating_equations._pair_sums(Clusters(first, size, wave), values)
    np.testing.assert_allclose(found, expected, atol=1e-11)


def test_level_changes_the_interval_only(rows: pd.DataFrame) -> None:
    wide = gee("pain ~ x", rows, "patient", "gaussian", level=0.99).coefficients
    usual = gee("pain ~ x", rows, "patient", "gaussian").coefficients
    assert wide["p_value"].equals(usual["p_value"])
    assert (wide["ci_low"] < usual["ci_low"]).all()


def test_firth_of_a_two_by_two_table_adds_one_half() -> None:
    d = pd.DataFrame({"share": [0.0, 3 / 9], "n": [7, 9], "arm": [0.0, 1.0]})
    fit = gee("share ~ arm", d, None, "binomial", weights="n", firth=True)
    odds = np.log([0.5 / 7.5, 3.5 / 6.5])
    np.testing.assert_allclose(fit.coefficients["estimate"], [odds[0], odds[1] - odds[0]])
    long = pd.DataFrame(
        {"y": np.r_[np.zeros(7), np.ones(3), np.zeros(6)], "arm": [0] * 7 + [1] * 9}
    )
    same(fit, gee("y ~ arm", long, None, "binomial", firth=True))


def test_firth_bears_a_constant_outcome_and_separation() -> None:
    d = pd.DataFrame({"y": [0, 0, 0, 1, 1, 1], "x": [1.0, 2, 3, 4, 5, 6], "none": 0})
    for formula in ("y ~ x", "none ~ x"):
        c = gee(formula, d, None, "binomial", firth=True).coefficients
        assert np.isfinite(c[NUMBERS].to_numpy(float)).all()
        assert (c["ci_low"] < c["estimate"]).all() and (c["estimate"] < c["ci_high"]).all()


def test_large_counts_with_wide_exposures_are_not_taken_for_separation() -> None:
    rng = np.random.default_rng(3)
    days = np.repeat([1e-3, 1.0, 1e6], 20)
    d = pd.DataFrame({"log_days": np.log(days), "x": rng.normal(size=60)})
    d["y"] = rng.poisson(2 * days)
    fit = gee("y ~ x", d, None, "poisson", offset="log_days")
    assert fit.coefficient("Intercept")["estimate"] == pytest.approx(np.log(2), abs=0.01)


# ------------------------------------------------------------------------------- hostile inputs


def hostile() -> dict[str, Callable[[pd.DataFrame], pd.DataFrame]]:
    return {
        "no rows": lambda d: d.iloc[:0],
        "one row": lambda d: d.iloc[:1],
        "two rows": lambda d: d.iloc[:2],
        "three rows": lambda d: d.iloc[:3],
        "one cluster": lambda d: d.assign(patient=1),
        "clusters of one": lambda d: d.assign(patient=np.arange(len(d))),
        "nothing known": lambda d: d.assign(x=np.nan),
        "some unknown": lambda d: d.assign(x=d["x"].where(d["week"] != 1)),
        "infinite": lambda d: d.assign(x=np.where(d["week"] == 1, np.inf, d["x"])),
        "constant term": lambda d: d.assign(x=2.0),
        "zero term": lambda d: d.assign(x=0.0),
        "constant response": lambda d: d.assign(pain=1.0, hit=1, doses=1, hours=1.0),
        "nothing happened": lambda d: d.assign(pain=0.0, hit=0, doses=0, hours=0.0),
        "separated": lambda d: d.assign(hit=(d["x"] > 0) * 1, doses=(d["x"] > 0) * 3),
        "no events in one arm": lambda d: d.assign(
            x=(d["arm"] == "a") * 1.0,
            hit=np.where(d["arm"] == "a", 0, d["hit"]),
            doses=np.where(d["arm"] == "a", 0, d["doses"]),
        ),
        "exact": lambda d: d.assign(pain=1 + 2 * d["x"], hours=np.exp(d["x"])),
        "same within clusters": lambda d: d.assign(
            pain=d["patient"] * 1.0, hit=d["patient"] % 2, hours=d["patient"] + 1.0
        ),
        "alternating": lambda d: d.assign(pain=d["week"] % 2 + 0.001 * d["x"], hit=d["week"] % 2),
        "huge": lambda d: d.assign(pain=d["pain"] * 1e200, hours=d["hours"] * 1e200),
        "huge term": lambda d: d.assign(x=d["x"] * 1e12),
        "tiny": lambda d: d.assign(pain=d["pain"] * 1e-200, x=d["x"] * 1e-12),
        "weights zero": lambda d: d.assign(w=0),
        "weights negative": lambda d: d.assign(w=-1),
        "weights infinite": lambda d: d.assign(w=np.inf),
        "weights text": lambda d: d.assign(w="a"),
        "huge offset": lambda d: d.assign(log_days=800.0),
        "equal times": lambda d: d.assign(week=0),
        "empty level": lambda d: d.assign(
            x=pd.Categorical(d["arm"], categories=["a", "b", "never"])
        ),
        "text": lambda d: d.assign(pain="u", hit="u", doses="u", hours="u"),
        "index": lambda d: d.set_index(np.zeros(len(d), int)),
    }


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("kind", hostile())
def test_hostile_inputs_give_numbers_or_one_sentence(rows: pd.DataFrame, kind: str) -> None:
    d = hostile()[kind](rows)
    calls: list[Callable[[], Result]] = []
    for family, y in FAMILIES.items():
        calls.append(lambda f=family, y=y: gee(f"{y} ~ x", d, "patient", f))
        for corr in ("exchangeable", "ar1"):
            words = ("log_days", "w", "week", 2.0, corr, "none")
            calls.append(lambda f=family, y=y, w=words: gee(f"{y} ~ x", d, "patient", f, None, *w))
    for link in ("probit", "cloglog", "cauchit", "log", "identity"):
        calls.append(lambda link=link: gee("hit ~ x", d, None, "binomial", link))
    calls += [
        lambda: gee("hours ~ x", d, "patient", "gamma", "inverse"),
        lambda: gee("pain ~ x", d, "patient", "gaussian", "log"),
        lambda: gee("hit ~ x", d, None, "binomial", weights="w", firth=True),
        lambda: quantile_regression("pain ~ x", d, [0.2, 0.5]),
        lambda: quantile_regression("pain ~ x", d, 0.5, cluster="patient"),
    ]
    for call in calls:
        try:
            c = call().coefficients
        except EstimationError as error:
            assert str(error) and "\n" not in str(error)
            continue
        assert np.isfinite(c[NUMBERS].to_numpy(float)).all()
        assert (c["std_error"] > 0).all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"family": "normal"}, "family must be"),
        ({"family": "tweedie"}, "family must be"),
        ({"family": "tweedie(2)"}, "family must be"),
        ({"family": "tweedie(0.5)"}, "family must be"),
        ({"link": "logit"}, "link of gaussian must be"),
        ({"corr": "unstructured"}, "corr must be"),
        ({"corr": "ar1", "cluster": None}, "needs cluster"),
        ({"small_sample": "cr2"}, "small_sample must be"),
        ({"scale": 0.0}, "scale must be"),
        ({"firth": True}, "firth=True is for"),
        ({"level": 1.0}, "level must lie"),
        ({"weights": "nope"}, "no column 'nope'"),
        ({"time": "nope", "corr": "ar1"}, "no column 'nope'"),
        ({"formula": "~ x"}, "needs a response"),
        ({"formula": "arm ~ x"}, "one numeric column"),
        ({"formula": "hours ~ x", "family": "binomial"}, "between 0 and 1"),
        ({"formula": "I(pain - 50) ~ x", "family": "poisson"}, "0 or more"),
        ({"formula": "doses ~ x", "family": "gamma"}, "above 0"),
        ({"formula": "doses ~ x", "family": "tweedie(2.5)"}, "above 0"),
    ],
)
def test_wrong_words_are_refused(
    rows: pd.DataFrame, change: dict[str, object], message: str
) -> None:
    call = {"formula": "pain ~ x", "data": rows, "cluster": "patient", "family": "gaussian"}
    with pytest.raises(InvalidInput, match=message):
        gee(**{**call, **change})


def test_what_cannot_be_estimated_is_said(rows: pd.DataFrame) -> None:
    with pytest.raises(NotEstimable, match="no cluster has two rows"):
        gee("pain ~ x", rows.query("week == 0"), "patient", "gaussian", corr="exchangeable")
    alone = rows.assign(only=(rows["patient"] == 3) * 1.0)
    with pytest.raises(NotEstimable, match="one cluster alone"):
        gee("pain ~ only", alone, "patient", "gaussian")
    plain = gee("pain ~ only", alone, "patient", "gaussian", small_sample="none")
    assert set(plain.table["method"]) == {"model_based", "none"}
    with pytest.raises(NotEstimable, match="one cluster alone"):
        mean_of_one = "pain ~ 0 + only + I(1 - only)"
        gee(mean_of_one, alone, "patient", "gaussian", small_sample="none")
    with pytest.raises(InvalidInput, match="same 'week'"):
        gee("pain ~ x", rows.assign(week=1), "patient", "gaussian", corr="ar1", time="week")
    saw = rows.assign(pain=np.where(rows["week"] % 2 == 0, 1.0, -1.0) + 0.01 * rows["x"])
    with pytest.raises(NotEstimable, match="outside the range"):
        gee("pain ~ x", saw[saw["week"] < 2], "patient", "gaussian", corr="exchangeable")


# ------------------------------------------------------------------------------- quantiles


def test_quantile_of_one_group_is_the_order_statistic() -> None:
    d = pd.DataFrame({"y": np.r_[np.arange(1.0, 21), 50, 80]})
    for q, expected in ((0.1, 3.0), (0.5, 11.0), (0.75, 17.0)):
        fit = quantile_regression("y ~ 1", d, q)
        assert fit.coefficients["estimate"].tolist() == [pytest.approx(expected)]
    assert not quantile_regression("y ~ 1", d, 0.5).table["unique"][0]


def test_quantile_line_divides_the_rows(rows: pd.DataFrame) -> None:
    for q in (0.1, 0.37, 0.8):
        c = quantile_regression("pain ~ x", rows, q).coefficients["estimate"]
        below = (rows["pain"] < c[0] + c[1] * rows["x"] - 1e-9).sum()
        assert below <= q * len(rows) <= below + 2


def test_quantiles_follow_units_and_row_order(rows: pd.DataFrame) -> None:
    for cluster in (None, "patient"):
        one = quantile_regression("pain ~ x", rows, 0.4, cluster)
        same(one, quantile_regression("pain ~ x", rows.iloc[::-1], 0.4, cluster))
        large = rows.assign(pain=rows["pain"] * 1000)
        other = quantile_regression("pain ~ x", large, 0.4, cluster).coefficients
        np.testing.assert_allclose(other["estimate"], 1000 * one.coefficients["estimate"])
        np.testing.assert_allclose(other["std_error"], 1000 * one.coefficients["std_error"], 1e-6)


@pytest.mark.parametrize("q", [0.1, 0.3, 0.9])
def test_quantiles_of_many_rows_are_as_exact_as_of_few(q: float) -> None:
    """Rows held on their side of the line do not change the minimum."""
    rng = np.random.default_rng(8)
    d = pd.DataFrame({"x": rng.normal(size=60_000), "z": rng.exponential(size=60_000)})
    d["y"] = d["x"] + (1 + d["z"]) * rng.standard_t(3, size=60_000)
    fit = quantile_regression("y ~ x + z", d, q, cluster=None)
    beta = fit.coefficients["estimate"].to_numpy()
    x = np.c_[np.ones(len(d)), d["x"], d["z"]]
    residual = d["y"].to_numpy() - x @ beta
    on = np.abs(residual) < 1e-9
    assert on.sum() == 3
    # Koenker (2005), theorem 2.1: at the minimum these lie between q - 1 and q
    slope = np.linalg.solve(x[on].T, -x[~on].T @ (q - (residual[~on] < 0)))
    assert (slope > q - 1).all() and (slope < q).all()


def test_clusters_of_one_row_give_about_the_plain_error() -> None:
    rng = np.random.default_rng(9)
    d = pd.DataFrame({"x": rng.normal(size=2000), "id": np.arange(2000)})
    d["y"] = d["x"] + rng.normal(size=2000)
    plain = quantile_regression("y ~ x", d, 0.5).coefficients["std_error"]
    clustered = quantile_regression("y ~ x", d, 0.5, "id").coefficients["std_error"]
    np.testing.assert_allclose(plain, np.sqrt(np.pi / 2 / 2000), rtol=0.15)
    np.testing.assert_allclose(clustered, plain, rtol=0.15)


@pytest.mark.parametrize("q", [0.0, 1.0, -0.1, "half", [], [0.5, 0.5], [[0.5]], np.nan])
def test_wrong_quantiles_are_refused(rows: pd.DataFrame, q: object) -> None:
    with pytest.raises(InvalidInput, match="q "):
        quantile_regression("pain ~ x", rows, q)


def test_pairs_may_be_nearly_opposite() -> None:
    rng = np.random.default_rng(4)
    first = rng.normal(size=30)
    y = np.column_stack([first, -0.8 * first + 0.4 * rng.normal(size=30)])
    d = pd.DataFrame({"y": y.ravel(), "id": np.repeat(np.arange(30), 2)})
    fit = gee("y ~ 1", d, "id", "gaussian", corr="exchangeable")
    r = y - y.mean()
    alpha = (r[:, 0] * r[:, 1]).mean() / (r**2).mean()  # pairs may go down to -1
    assert -1 < alpha < -0.6
    assert fit.diagnostics["alpha"] == pytest.approx(alpha)
