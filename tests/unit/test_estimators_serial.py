"""Serial correlation of the residuals in linear_mixed: properties, hostile input, dense check."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import special

from ketamine_outcomes.estimators import InvalidInput, NotEstimable, linear_mixed
from ketamine_outcomes.estimators import mixed_serial_optimise as search
from ketamine_outcomes.estimators.mixed_inference import kenward_roger_df, satterthwaite_df
from ketamine_outcomes.estimators.mixed_serial import SerialCriterion, Series
from ketamine_outcomes.estimators.mixed_serial_inference import kenward_roger, satterthwaite


def rows(
    clusters: int = 12,
    each: int = 6,
    phi: float = 0.6,
    between: float = 0.7,
    continuous: bool = False,
    seed: int = 1,
) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    time = np.tile(np.arange(each, dtype=float), (clusters, 1))
    if continuous:
        time = np.sort(rng.uniform(0, each, time.shape), axis=1)
    residual = rng.normal(size=time.shape)
    for j in range(1, each):
        r = phi ** (time[:, j] - time[:, j - 1])
        residual[:, j] = r * residual[:, j - 1] + np.sqrt(1 - r**2) * residual[:, j]
    patient = np.repeat(np.arange(clusters), each)
    x = rng.normal(size=patient.size)
    return pd.DataFrame(
        {
            "patient": patient,
            "week": time.ravel(),
            "x": x,
            "arm": np.where(patient % 2, "a", "b"),
            "w": rng.uniform(0.5, 2.0, patient.size),
            "y": 1 + 0.5 * x + residual.ravel() + between * rng.normal(size=clusters)[patient],
        }
    )


def fit(data: pd.DataFrame, **options: Any) -> Any:
    call = {"formula": "y ~ x + arm", "cluster": "patient", "residual": "ar1", "time": "week"}
    return linear_mixed(data=data, **{**call, **options})


def same(first: Any, second: Any, rtol: float = 1e-7) -> None:
    columns = ["estimate", "std_error", "df", "p_value"]
    np.testing.assert_allclose(
        first.coefficients[columns].to_numpy(float),
        second.coefficients[columns].to_numpy(float),
        rtol=rtol,
        atol=1e-12,
    )


# ---- the likelihood and its inference, against dense matrices ----


def dense_model(
    kind: str, q: int, seed: int
) -> tuple[Series, np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    data = rows(10, 5, continuous=kind == "car1", seed=seed)
    kept = np.random.default_rng(seed).random(len(data)) > 0.15
    data = data[kept]
    x = np.column_stack([np.ones(len(data)), data["x"], data["patient"] % 2])
    z = np.column_stack([np.ones(len(data)), data["x"]])[:, :q]
    y, unit, time = (data[c].to_numpy() for c in ("y", "patient", "week"))
    series = Series(z, np.column_stack([x, y]), unit, time, kind)
    return series, x, y, z, unit, time


@pytest.mark.parametrize("kind", ["ar1", "car1"])
@pytest.mark.parametrize("q", [0, 1, 2])
@pytest.mark.parametrize("reml", [True, False])
def test_likelihood_and_gradient_are_those_of_the_dense_model(
    kind: str, q: int, reml: bool
) -> None:
    series, x, y, z, unit, time = dense_model(kind, q, 3)
    criterion = SerialCriterion(series, np.tril(np.ones((q, q), bool)), reml)
    theta = np.r_[np.linspace(0.4, 0.9, criterion.rows.size), -0.3 if kind == "ar1" else 0.4]
    value, gradient = criterion.value_and_gradient(theta)

    factor = criterion.factor(theta)
    phi = series.phi(float(theta[-1]))
    lag = np.abs(np.subtract.outer(time, time)) / series.unit
    near = np.equal.outer(unit, unit)
    v = near * (np.sign(phi) ** lag * np.abs(phi) ** lag + z @ factor @ factor.T @ z.T)
    inverse = np.linalg.inv(v)
    information = x.T @ inverse @ x
    rest = y - x @ np.linalg.solve(information, x.T @ inverse @ y)
    df = len(y) - x.shape[1] if reml else len(y)
    expected = np.linalg.slogdet(v)[1] + df * (1 + np.log(2 * np.pi * rest @ inverse @ rest / df))
    expected += np.linalg.slogdet(information)[1] if reml else 0.0
    np.testing.assert_allclose(value, expected, rtol=1e-12)

    def difference(i: int) -> float:
        step = np.zeros(theta.size)
        step[i] = 1e-6
        up, down = (criterion.value_and_gradient(theta + d)[0] for d in (step, -step))
        return (up - down) / 2e-6

    numeric = [difference(i) for i in range(theta.size)]
    np.testing.assert_allclose(gradient, numeric, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(("kind", "q", "seed"), [("ar1", 0, 3), ("ar1", 1, 5), ("car1", 0, 3)])
@pytest.mark.parametrize("second", ["kenward_roger", "satterthwaite"])
def test_small_sample_by_brute_force(kind: str, q: int, seed: int, second: str) -> None:
    """Every derivative of V taken numerically, every matrix dense."""
    series, x, y, z, unit, time = dense_model(kind, q, seed)
    template = np.tril(np.ones((q, q), bool))
    criterion, best = search.minimise(SerialCriterion(series, template, True))
    assert not best.singular
    sigma2 = best.at.residual_ss / criterion.df
    g = sigma2 * best.at.factor @ best.at.factor.T
    at = np.r_[g[criterion.rows, criterion.columns], sigma2, series.phi(float(best.theta[-1]))]
    lag = np.abs(np.subtract.outer(time, time)) / series.unit
    near = np.equal.outer(unit, unit)
    steps = np.diag(1e-3 * np.maximum(np.abs(at), 0.1))
    k = at.size

    def v(parameters: np.ndarray) -> np.ndarray:
        inner = np.zeros((q, q))
        inner[criterion.rows, criterion.columns] = parameters[:-2]
        inner[criterion.columns, criterion.rows] = parameters[:-2]
        serial = np.sign(parameters[-1]) ** lag * np.abs(parameters[-1]) ** lag
        return np.asarray(near * (parameters[-2] * serial + z @ inner @ z.T))

    def cross(f: Any, i: int, j: int) -> Any:
        """Mixed second difference, extrapolated."""
        out = []
        for half in (1.0, 0.5):
            a, b = half * steps[i], half * steps[j]
            total = f(at + a + b) - f(at + a - b) - f(at - a + b) + f(at - a - b)
            out.append(total / (4 * a[i] * b[j]))
        return (4 * out[1] - out[0]) / 3

    def first(i: int) -> np.ndarray:
        one, two = (v(at + m * steps[i]) - v(at - m * steps[i]) for m in (1, 2))
        return np.asarray((8 * one - two) / (12 * steps[i, i]))

    inverse = np.linalg.inv(v(at))
    plain = np.linalg.inv(x.T @ inverse @ x)
    moved = [first(i) for i in range(k)]
    p = np.array([-x.T @ inverse @ m @ inverse @ x for m in moved])
    if second == "satterthwaite":

        def deviance(parameters: np.ndarray) -> float:
            inv = np.linalg.inv(v(parameters))
            information = x.T @ inv @ x
            rest = y - x @ np.linalg.solve(information, x.T @ inv @ y)
            logs = np.linalg.slogdet(information)[1] - np.linalg.slogdet(inv)[1]
            return float(logs + rest @ inv @ rest)

        curvature = np.array([[cross(deviance, i, j) for j in range(k)] for i in range(k)])
        ours = satterthwaite(criterion, best)
        for contrast in np.eye(x.shape[1]):
            expected = satterthwaite_df(
                contrast, plain, -plain @ p @ plain, 2 * np.linalg.inv(curvature)
            )
            np.testing.assert_allclose(ours.df(contrast), expected, rtol=1e-5)
        return
    q_ij = np.array([[x.T @ inverse @ a @ inverse @ b @ inverse @ x for b in moved] for a in moved])
    r_ij = np.array(
        [[x.T @ inverse @ cross(v, i, j) @ inverse @ x for j in range(k)] for i in range(k)]
    )
    information = np.array(
        [
            [
                np.trace(inverse @ moved[i] @ inverse @ moved[j])
                - 2 * np.trace(plain @ q_ij[i, j])
                + np.trace(plain @ p[i] @ plain @ p[j])
                for j in range(k)
            ]
            for i in range(k)
        ]
    )
    w = 2 * np.linalg.inv(information)
    inner = sum(
        w[i, j] * (q_ij[i, j] - p[i] @ plain @ p[j] - r_ij[i, j] / 4)
        for i in range(k)
        for j in range(k)
    )
    kr = kenward_roger(criterion, best)
    np.testing.assert_allclose(kr.covariance, plain + 2 * plain @ inner @ plain, rtol=1e-5)
    for contrast in (np.eye(3)[:1], np.eye(3)[1:2], np.eye(3)[1:]):
        df, scaling = kenward_roger_df(contrast, plain, p, w)
        np.testing.assert_allclose(kr.joint_df(contrast), (df, scaling), rtol=1e-6)


# ---- properties ----

CALLS = [
    {"residual": "ar1", "random": "1"},
    {"residual": "ar1", "random": "0"},
    {"residual": "car1", "random": "1"},
    {"residual": "car1", "random": "1 + x ||", "weights": "w"},
]


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("df", ["kenward_roger", "satterthwaite"])
def test_order_of_rows_labels_and_scales_do_not_matter(call: dict[str, str], df: str) -> None:
    data = rows(16, 6, continuous=call["residual"] == "car1", seed=4)
    one = fit(data, df=df, **call)
    same(one, fit(data.sample(frac=1, random_state=2), df=df, **call))
    same(one, fit(data.assign(patient="p" + (99 - data["patient"]).astype(str)), df=df, **call))
    same(one, fit(data.assign(week=data["week"] + 7), df=df, **call), 1e-6)
    scaled = fit(data.assign(y=1000 * data["y"]), df=df, **call)
    np.testing.assert_allclose(
        scaled.coefficients["estimate"], 1000 * one.coefficients["estimate"], rtol=1e-7
    )
    np.testing.assert_allclose(scaled.coefficients["df"], one.coefficients["df"], rtol=1e-6)
    np.testing.assert_allclose(scaled.diagnostics["phi"], one.diagnostics["phi"], rtol=1e-6)


@pytest.mark.parametrize("df", ["kenward_roger", "satterthwaite", "normal"])
def test_unit_of_time_does_not_matter_for_car1(df: str) -> None:
    data = rows(continuous=True)
    days = data.assign(week=7 * data["week"])
    one, other = (fit(d, residual="car1", df=df) for d in (data, days))
    same(one, other, 1e-6)
    np.testing.assert_allclose(other.diagnostics["phi"] ** 7, one.diagnostics["phi"], rtol=1e-6)
    np.testing.assert_allclose(other.log_likelihood, one.log_likelihood, rtol=1e-10)


def test_ar1_equals_car1_at_whole_times_and_the_order_of_rows() -> None:
    data = rows()
    one = fit(data)
    same(one, fit(data, residual="car1"), 1e-6)
    same(one, fit(data, time=None))
    even = fit(data.assign(week=2 * data["week"]))  # phi and -phi are the same model
    same(one, even, 1e-6)
    np.testing.assert_allclose(even.diagnostics["phi"] ** 2, one.diagnostics["phi"], rtol=1e-6)
    # its error by the delta method from that over two units, its interval on the scale atanh
    phi, error, low, high = even.table.iloc[-1][["estimate", "std_error", "ci_low", "ci_high"]]
    assert error == pytest.approx(one.table["std_error"].iloc[-1] / (2 * phi), rel=1e-5)
    half = special.ndtri(0.975) * error / (1 - phi**2)
    assert [low, high] == pytest.approx(np.tanh(np.arctanh(phi) + np.array([-half, half])))


def test_times_that_are_whole_but_for_rounding() -> None:
    data = rows()
    same(fit(data), fit(data.assign(week=(0.1 + data["week"] * 0.3) / 0.3)))


def test_gaps_in_time_count() -> None:
    data = rows(20, 8, seed=6)
    gone = data[data["week"] != 3]
    by_time, by_order = fit(gone), fit(gone, time=None)
    assert abs(by_time.diagnostics["phi"] - by_order.diagnostics["phi"]) > 1e-3


def test_negative_correlation() -> None:
    data = rows(30, 8, phi=-0.4, seed=2)
    ar1 = fit(data)
    assert ar1.diagnostics["phi"] < -0.2
    low, high = ar1.table.iloc[-1][["ci_low", "ci_high"]]
    assert -1 < low < ar1.diagnostics["phi"] < high < 0
    car1 = fit(data, residual="car1")
    assert car1.diagnostics["correlation_at_boundary"] and car1.diagnostics["singular"]
    assert car1.log_likelihood < ar1.log_likelihood


@pytest.mark.parametrize("df", ["kenward_roger", "satterthwaite"])
def test_correlation_at_0_gives_the_model_of_independent_residuals(df: str) -> None:
    data = rows(30, 8, phi=-0.4, between=1.0, seed=2)
    serial = fit(data, residual="car1", df=df)
    independent = linear_mixed("y ~ x + arm", data, "patient", df=df)
    same(serial, independent, 1e-6)
    np.testing.assert_allclose(serial.log_likelihood, independent.log_likelihood, rtol=1e-10)
    np.testing.assert_allclose(serial.random_effects, independent.random_effects, rtol=1e-6)
    assert np.isnan(serial.table.iloc[-1]["std_error"])


def test_variance_0_gives_generalised_least_squares() -> None:
    data = rows(20, 8, between=0.0, seed=1)
    mixed, gls = fit(data), fit(data, random="0")
    assert mixed.diagnostics["variance_components"]["Intercept"] == 0
    assert mixed.diagnostics["singular"] and not gls.diagnostics["singular"]
    same(mixed, gls, 1e-6)
    assert gls.random_effects.shape == (20, 0)


def test_pairs_do_not_tell_the_correlation_from_the_variance() -> None:
    data = rows(40, 2, phi=0.5, seed=1)
    serial = fit(data)
    assert serial.diagnostics["singular"] and not serial.diagnostics["correlation_identified"]
    assert serial.table.iloc[-1][["std_error", "ci_low", "ci_high"]].isna().all()
    assert serial.diagnostics["phi"] == 0 and not serial.diagnostics["correlation_at_boundary"]
    plain = linear_mixed("y ~ x + arm", data, "patient")
    np.testing.assert_allclose(serial.log_likelihood, plain.log_likelihood, rtol=1e-9)
    same(serial, plain, 1e-6)


def test_pairs_that_differ_more_than_strangers() -> None:
    """Without an equal fit at phi = 0 one of many solutions is given, and it is said."""
    data = rows(40, 2, phi=-0.6, between=0.0, seed=1)
    serial, gls = fit(data), fit(data, random="0")
    assert not serial.diagnostics["correlation_identified"] or serial.diagnostics["singular"]
    np.testing.assert_allclose(serial.log_likelihood, gls.log_likelihood, rtol=1e-9)
    np.testing.assert_allclose(
        serial.coefficients["estimate"], gls.coefficients["estimate"], rtol=1e-6
    )


def test_weights_of_0_and_rows_with_missing_values_are_left_out() -> None:
    data = rows(seed=3)
    short = data.drop(index=[3, 4, 20])
    same(
        fit(data.assign(w=data["w"].where(data.index.isin(short.index), 0.0)), weights="w"),
        fit(short, weights="w"),
    )
    holes = data.assign(week=data["week"].where(data.index.isin(short.index)))
    same(fit(holes), fit(short))
    assert fit(holes).diagnostics["n_dropped"] == 3


def test_common_factor_of_the_weights_goes_to_the_variance() -> None:
    data = rows(seed=3)
    one = fit(data, weights="w")
    other = fit(data.assign(w=4 * data["w"]), weights="w")
    same(one, other, 1e-6)
    np.testing.assert_allclose(
        other.diagnostics["residual_variance"], 4 * one.diagnostics["residual_variance"], rtol=1e-6
    )
    np.testing.assert_allclose(other.log_likelihood, one.log_likelihood, rtol=1e-10)


def test_contrasts_predictions_and_level() -> None:
    data = rows()
    result = fit(data, level=0.9)
    contrast = result.contrast(np.eye(3))
    same(result, type("Named", (), {"coefficients": contrast}))
    predicted = result.predict(data.head(2))
    assert predicted["ci_low"].lt(predicted["estimate"]).all()
    joint = result.joint_test(np.eye(3)[1:2])
    np.testing.assert_allclose(joint["p_value"], result.coefficients["p_value"][1], rtol=1e-6)
    wide = fit(data).table.iloc[-1]
    assert wide["ci_low"] < result.table.iloc[-1]["ci_low"] < result.diagnostics["phi"]
    with pytest.raises(InvalidInput, match="independent residuals"):
        result.variance_test()


def test_large_fits_start_from_their_first_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    data = rows(60, 8, seed=8)
    whole = fit(data)
    monkeypatch.setattr(search, "HEAD", 120)
    same(whole, fit(data), 1e-6)
    # the first rows do not vary in the arm: the whole is searched
    data = data.assign(arm=np.where(data["patient"] < 30, "a", "b"))
    started = fit(data)
    monkeypatch.undo()
    same(fit(data), started, 1e-6)


# ---- hostile input ----

HOSTILE: dict[str, tuple[dict[str, Any], dict[str, Any], type[Exception], str]] = {
    "two rows at one time": ({"week": 1.0}, {}, InvalidInput, "distinct times"),
    "fractions for ar1": ({"week": lambda d: d["week"] / 2}, {}, InvalidInput, "whole-number"),
    "times as text": ({"week": lambda d: d["week"].astype(str)}, {}, InvalidInput, "numbers"),
    "dates": (
        {"week": lambda d: pd.Timestamp("2020-01-01") + pd.to_timedelta(d["week"], "D")},
        {"residual": "car1"},
        InvalidInput,
        "numbers",
    ),
    "infinite time": (
        {"week": lambda d: d["week"].where(d["week"] > 0, np.inf)},
        {"residual": "car1"},
        InvalidInput,
        "finite",
    ),
    "no such column": ({}, {"time": "day"}, InvalidInput, "no column"),
    "car1 without time": ({}, {"residual": "car1", "time": None}, InvalidInput, "needs `time`"),
    "unknown residual": ({}, {"residual": "ar2"}, InvalidInput, "must be independent"),
    "time without a use": ({}, {"residual": "independent"}, InvalidInput, "`time` serves"),
    "no random effect, no correlation": (
        {},
        {"residual": "independent", "time": None, "random": "0"},
        InvalidInput,
        "at least one effect",
    ),
    "outer": ({}, {"outer": "arm"}, InvalidInput, "`outer`"),
    "negative weights": ({"w": -1.0}, {"weights": "w"}, InvalidInput, "negative"),
    "no weight": ({"w": 0.0}, {"weights": "w"}, NotEstimable, "every weight"),
    "one row per cluster": ({"patient": lambda d: d.index}, {"random": "0"}, NotEstimable, "two"),
    "one cluster": ({"patient": 1, "week": lambda d: d.index}, {}, NotEstimable, "one cluster"),
    "constant response": ({"y": 3.0}, {}, NotEstimable, "exactly"),
    "collinear": ({}, {"formula": "y ~ x + I(2 * x)"}, NotEstimable, "collinear"),
    "constant in the cluster": (
        {"y": lambda d: d["patient"] * 1.0},
        {"random": "0", "formula": "y ~ 1"},
        NotEstimable,
        "tends to 1",
    ),
    "alternating": (
        {"y": lambda d: (-1.0) ** d["week"]},
        {"random": "0", "formula": "y ~ 1"},
        NotEstimable,
        "tends to 1",
    ),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_refused(name: str) -> None:
    columns, options, error, words = HOSTILE[name]
    with pytest.raises(error, match=words):
        fit(rows().assign(**columns), **options)


@pytest.mark.parametrize("n", [0, 1, 2, 3, 4, 5])
def test_few_rows(n: int) -> None:
    data = rows(1, 6).head(n)
    try:
        result = fit(data, formula="y ~ 1", random="0")
    except (InvalidInput, NotEstimable):
        return
    assert np.isfinite(result.coefficients.to_numpy()[:, 1:].astype(float)).all()


def test_random_walk_of_one_series() -> None:
    """The likelihood rises up to phi = 1: refused, or a proved maximum below."""
    for seed in range(8):
        walk = rows(1, 12).assign(y=np.random.default_rng(seed).normal(size=12).cumsum())
        try:
            result = fit(walk, formula="y ~ x", random="0", df="satterthwaite")
        except NotEstimable:
            continue
        assert result.diagnostics["phi"] < 1
        assert result.diagnostics["max_gradient"] < 1e-5


def test_same_input_same_bytes() -> None:
    data = rows(continuous=True)
    first, second = (fit(data, residual="car1") for _ in range(2))
    assert first.coefficients.equals(second.coefficients) and first.table.equals(second.table)
