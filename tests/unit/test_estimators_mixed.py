"""Edges and properties of linear_mixed; the R numbers are in tests/golden/test_linear_mixed.py."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from ketamine_outcomes.estimators import (
    EstimationError,
    InvalidInput,
    NotEstimable,
    linear_mixed,
    mixed_sums,
)
from ketamine_outcomes.estimators.linear_mixed import LinearMixedResult
from ketamine_outcomes.estimators.mixed_curvature import Moments, hessian
from ketamine_outcomes.estimators.mixed_likelihood import Criterion
from ketamine_outcomes.estimators.mixed_sums import cross_products, merged

NUMBERS = ["estimate", "std_error", "df", "ci_low", "ci_high"]


def trial(seed: int = 1, patients: int = 12) -> pd.DataFrame:
    """Patients in sites, of 3 to 6 visits at uneven weeks; no variance is estimated as 0."""
    rng = np.random.default_rng(seed)
    visits = rng.integers(3, 7, patients)
    patient = np.repeat(np.arange(patients), visits)
    site = np.arange(patients) % 4
    week = rng.uniform(0, 8, patient.size).round(1)
    pain = 6 - 0.4 * week + rng.normal(size=4)[site[patient]] + rng.normal(size=patients)[patient]
    pain = pain + 0.2 * week * rng.normal(size=patients)[patient] + rng.normal(size=patient.size)
    return pd.DataFrame(
        {
            "pain": pain,
            "week": week,
            "arm": np.where(rng.random(patient.size) < 0.5, "a", "b"),
            "patient": patient,
            "site": site[patient],
            "w": rng.uniform(0.5, 2, patient.size).round(2),
        }
    )


def same(a: LinearMixedResult, b: LinearMixedResult, rtol: float = 1e-7) -> None:
    np.testing.assert_allclose(
        a.coefficients[NUMBERS].to_numpy(float), b.coefficients[NUMBERS].to_numpy(float), rtol
    )
    np.testing.assert_allclose(a.table["estimate"], b.table["estimate"], rtol, 1e-12)


MODELS: list[dict[str, Any]] = [
    {"random": "1"},
    {"random": "1 + week"},
    {"random": "1 + week ||"},
    {"random": "0 + arm"},
    {"random": "1", "outer": "site"},
    {"random": "1 + week", "outer": "site"},
    {"random": "1 + week", "weights": "w"},
    {"random": "1 + week", "outer": "site", "weights": "w"},
]


# ------------------------------------------------------------------------------ the likelihood


def dense(d: pd.DataFrame, fit: LinearMixedResult, random: list[str]) -> float:
    """REML log likelihood from the whole covariance matrix of the rows."""
    x = np.column_stack([np.ones(len(d)), d["week"], d["arm"] == "b"]).astype(float)
    columns = {"1": np.ones(len(d)), "week": d["week"].to_numpy()}
    z = np.column_stack([columns[c] for c in random])
    v = np.diag(fit.diagnostics["residual_variance"] / d["w"].to_numpy())
    alike = d["patient"].to_numpy()[:, None] == d["patient"].to_numpy()
    v += alike * (z @ fit.diagnostics["random_covariance"].to_numpy() @ z.T)
    alike = d["site"].to_numpy()[:, None] == d["site"].to_numpy()
    v += alike * fit.diagnostics["outer_variance"]
    inverse = np.linalg.inv(v)
    information = x.T @ inverse @ x
    beta = np.linalg.solve(information, x.T @ inverse @ d["pain"].to_numpy())
    np.testing.assert_allclose(beta, fit.coefficients["estimate"], rtol=1e-9)
    rest = d["pain"].to_numpy() - x @ beta
    total = np.linalg.slogdet(v)[1] + np.linalg.slogdet(information)[1] + rest @ inverse @ rest
    return float(-0.5 * (total + (len(d) - 3) * np.log(2 * np.pi)))


@pytest.mark.parametrize("random", [["1"], ["1", "week"]])
def test_log_likelihood_is_that_of_the_whole_covariance_matrix(random: list[str]) -> None:
    d = trial()
    fit = linear_mixed(
        "pain ~ week + arm", d, "patient", " + ".join(random), outer="site", weights="w"
    )
    assert fit.log_likelihood == pytest.approx(dense(d, fit, random), rel=1e-12)


@pytest.mark.parametrize("reml", [True, False])
@pytest.mark.parametrize("outer", [True, False])
def test_gradient_and_hessian_are_exact(reml: bool, outer: bool) -> None:
    d = trial()
    x = np.column_stack([np.ones(len(d)), d["week"]])
    outer_of = np.sort(np.arange(12) % 4) if outer else None
    sums = cross_products(
        x, x, d["pain"].to_numpy(), d["patient"].to_numpy(), np.eye(2), np.eye(2), None, outer_of
    )
    criterion = Criterion(sums, np.tril(np.ones((2, 2), bool)), reml)
    theta = np.array([0.8, -0.1, 0.4, 0.7])[: 4 if outer else 3]
    at = criterion.at(theta)
    _, curved, _ = hessian(criterion, at, Moments(sums, at))
    for i in range(theta.size):
        step = np.where(np.arange(theta.size) == i, 1e-5, 0.0)
        up, down = criterion.at(theta + step), criterion.at(theta - step)
        slope = (criterion.deviance(up) - criterion.deviance(down)) / 2e-5
        assert criterion.gradient(at)[i] == pytest.approx(slope, rel=1e-6)
        change = (criterion.gradient(up) - criterion.gradient(down)) / 2e-5
        np.testing.assert_allclose(curved[:, i], change, rtol=1e-6, atol=1e-6)


def test_merged_clusters_give_the_same_likelihood() -> None:
    rng = np.random.default_rng(1)
    k, m = 400, 5
    x = np.column_stack([np.ones(k * m), np.tile(np.arange(5.0), k)])
    cluster = np.repeat(np.arange(k), m)
    keep = (rng.random(k * m) > 0.1) | (x[:, 1] < 2)  # missed visits
    y = rng.normal(size=k * m)
    _, cluster = np.unique(cluster[keep], return_inverse=True)
    sums = cross_products(x[keep], x[keep], y[keep], cluster, np.eye(2), np.eye(2))
    short = merged(sums)
    assert short.zz.shape[2] < k / 4
    assert short.counts.sum() == pytest.approx(k)
    theta = np.array([0.8, -0.1, 0.4])
    one, two = (Criterion(s, np.tril(np.ones((2, 2), bool)), True) for s in (sums, short))
    assert one.deviance(one.at(theta)) == pytest.approx(two.deviance(two.at(theta)), rel=1e-12)
    np.testing.assert_allclose(one.gradient(one.at(theta)), two.gradient(two.at(theta)), rtol=1e-9)
    a, b = (hessian(c, c.at(theta), Moments(c.sums, c.at(theta)))[1] for c in (one, two))
    np.testing.assert_allclose(a, b, rtol=1e-9)


@pytest.mark.parametrize("model", MODELS)
def test_work_in_blocks_changes_nothing(
    model: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    d = trial(patients=60)
    for data in (d, d.sample(frac=1, random_state=1)):
        with monkeypatch.context() as patch:
            a = linear_mixed("pain ~ week + arm", data, "patient", **model)
            patch.setattr(mixed_sums, "ROWS_AT_A_TIME", 100)
            patch.setattr(mixed_sums, "NUMBERS_AT_A_TIME", 1)
            b = linear_mixed("pain ~ week + arm", data, "patient", **model)
        same(a, b, 1e-6)
        np.testing.assert_allclose(a.random_effects, b.random_effects, rtol=1e-5, atol=1e-6)


# ------------------------------------------------------------------------------ properties


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("df", ["kenward_roger", "satterthwaite"])
def test_row_order_and_labels_do_not_matter(model: dict[str, Any], df: str) -> None:
    d = trial()
    a = linear_mixed("pain ~ week + arm", d, "patient", df=df, **model)
    mixed = d.sample(frac=1, random_state=2)
    mixed["patient"] = "p" + (99 - mixed["patient"]).astype(str)
    mixed["site"] = mixed["site"].map({0: "n", 1: "e", 2: "s", 3: "w"})
    same(a, linear_mixed("pain ~ week + arm", mixed, "patient", df=df, **model), 1e-6)


@pytest.mark.parametrize("model", MODELS)
def test_units_do_not_matter(model: dict[str, Any]) -> None:
    d = trial()
    a = linear_mixed("pain ~ week + arm", d, "patient", **model)
    other = d.assign(pain=d["pain"] * 1e5, week=d["week"] / 7)
    b = linear_mixed("pain ~ week + arm", other, "patient", **model)
    ratio = b.coefficients["estimate"] / a.coefficients["estimate"]
    np.testing.assert_allclose(ratio, [1e5, 7e5, 1e5], rtol=1e-6)
    np.testing.assert_allclose(b.coefficients["df"], a.coefficients["df"], rtol=1e-5)
    np.testing.assert_allclose(b.coefficients["p_value"], a.coefficients["p_value"], rtol=1e-5)


def test_same_input_same_bytes() -> None:
    a, b = (linear_mixed("pain ~ week", trial(), "patient", "1 + week") for _ in range(2))
    assert a.coefficients.equals(b.coefficients)
    assert a.random_effects.equals(b.random_effects)


def test_equal_weights_change_the_residual_variance_alone() -> None:
    d = trial()
    a = linear_mixed("pain ~ week", d, "patient", "1 + week")
    b = linear_mixed("pain ~ week", d.assign(w=4.0), "patient", "1 + week", weights="w")
    np.testing.assert_allclose(
        a.coefficients[NUMBERS].to_numpy(float), b.coefficients[NUMBERS].to_numpy(float), 1e-6
    )
    residual = (f.diagnostics["residual_variance"] for f in (b, a))
    assert next(residual) == pytest.approx(4 * next(residual), rel=1e-6)
    assert b.log_likelihood == pytest.approx(a.log_likelihood, abs=1e-8)


@pytest.mark.parametrize("df", ["kenward_roger", "satterthwaite"])
def test_a_row_of_weight_0_counts_for_nothing(df: str) -> None:
    d = trial()
    d.loc[::5, "w"] = 0.0
    d.loc[0, "arm"] = "only here"
    a = linear_mixed("pain ~ week + arm", d, "patient", df=df, weights="w")
    b = linear_mixed("pain ~ week + arm", d[d["w"] > 0], "patient", df=df, weights="w")
    assert a.coefficients.equals(b.coefficients)
    assert a.diagnostics["n_zero_weight"] == (d["w"] == 0).sum()


def test_missing_rows_are_left_out_and_counted() -> None:
    d = trial()
    holes = d.copy()
    for i, column in enumerate(["pain", "week", "patient", "site", "w"]):
        holes[column] = holes[column].astype(float)
        holes.loc[i, column] = np.nan
    call: dict[str, Any] = {"outer": "site", "weights": "w"}
    a = linear_mixed("pain ~ week", holes, "patient", **call)
    same(a, linear_mixed("pain ~ week", d.iloc[5:], "patient", **call))
    assert a.diagnostics["n_dropped"] == 5


def test_the_data_stay_as_they_were() -> None:
    d = trial().assign(arm=lambda t: pd.Categorical(t["arm"], ["a", "b", "never"]))
    before = d.copy(deep=True)
    fit = linear_mixed("pain ~ week + arm", d, "patient", "1 + week", outer="site", weights="w")
    pd.testing.assert_frame_equal(d, before)
    assert fit.coefficients["term"].tolist() == ["Intercept", "week", "arm[T.b]"]


def test_labels_are_nested_in_the_outer_group() -> None:
    d = trial()
    unique = linear_mixed("pain ~ week", d, "patient", outer="site")
    assert not unique.diagnostics["clusters_share_labels"]
    assert unique.random_effects.index.name == "patient"
    within = d.assign(patient=d["patient"] // 4)  # 0, 1, 2 in every site
    nested = linear_mixed("pain ~ week", within, "patient", outer="site")
    same(unique, nested)
    assert nested.diagnostics["clusters_share_labels"]
    assert nested.random_effects.index.names == ["site", "patient"]
    assert len(nested.outer_effects) == 4


def test_effects_of_the_outer_groups_and_clusters() -> None:
    # by their definition: covariance with the rows times the inverse covariance of the rows
    d = trial()
    fit = linear_mixed("pain ~ week", d, "patient", outer="site")
    one, two, residual = fit.table["estimate"]
    assert min(one, two) > 0.1
    patient = (d["patient"].to_numpy()[:, None] == d["patient"].to_numpy()) * one
    site = (d["site"].to_numpy()[:, None] == d["site"].to_numpy()) * two
    rest = d["pain"] - fit.predict(d, ci=False)["estimate"]
    toward = np.linalg.solve(patient + site + residual * np.eye(len(d)), rest)
    ours = fit.outer_effects["Intercept"].loc[d["site"]]
    np.testing.assert_allclose(ours, site @ toward, rtol=1e-8)
    ours = fit.random_effects["Intercept"].loc[d["patient"]]
    np.testing.assert_allclose(ours, patient @ toward, rtol=1e-8)


def test_level_reaches_every_interval() -> None:
    d = trial()
    wide, narrow = (
        linear_mixed("pain ~ week", d, "patient", outer="site", level=level)
        for level in (0.95, 0.9)
    )
    for table in ("coefficients", "contrast", "predict", "profile"):
        a, b = (
            {
                "coefficients": f.coefficients,
                "contrast": f.contrast([[0, 1]]),
                "predict": f.predict(d),
                "profile": f.profile_interval().iloc[[0, -1]],
            }[table]
            for f in (wide, narrow)
        )
        assert ((a["ci_high"] - a["ci_low"]) > (b["ci_high"] - b["ci_low"])).all(), table
    assert wide.contrast([[0, 1]], level=0.9).equals(narrow.contrast([[0, 1]]))


# ------------------------------------------------------------------------------ variances


def test_a_variance_of_0_is_said_and_tested() -> None:
    d = trial()
    means = d.groupby("patient")["pain"].transform("mean")
    fit = linear_mixed("pain ~ week", d.assign(pain=d["pain"] - means), "patient", outer="site")
    assert fit.diagnostics["singular"]
    assert fit.table["estimate"].tolist()[:2] == [0, 0]
    test = fit.variance_test()
    assert (test["statistic"] == 0).all()
    assert (test["p_value"] == 1).all()
    ends = fit.profile_interval().iloc[:2]
    assert (ends["ci_low"] == 0).all()
    assert (ends["ci_high"] > 0).all()
    assert (fit.random_effects == 0).all(axis=None)


def test_profile_ends_have_the_asked_deviance() -> None:
    d = trial()
    fit = linear_mixed("pain ~ week", d, "patient", reml=False, df="normal")
    low = fit.profile_interval().set_index("term").loc["week", "ci_low"]
    # week held at its lower end
    held = linear_mixed(
        "rest ~ 1", d.assign(rest=d["pain"] - low * d["week"]), "patient", reml=False, df="normal"
    )
    fall = 2 * (fit.log_likelihood - held.log_likelihood)
    assert fall == pytest.approx(3.841458820694124, rel=1e-6)


def test_fixed_effects_are_compared_by_full_likelihood_only() -> None:
    d = trial()
    small, large = (
        linear_mixed(f, d, "patient", reml=False, df="normal") for f in ("pain ~ 1", "pain ~ week")
    )
    table = large.likelihood_ratio_test(small)
    assert table["statistic"].item() == pytest.approx(
        2 * (large.log_likelihood - small.log_likelihood)
    )
    with pytest.raises(InvalidInput, match="fewer"):
        small.likelihood_ratio_test(large)
    with pytest.raises(InvalidInput, match="reml=False"):
        large.likelihood_ratio_test(linear_mixed("pain ~ 1", d, "patient"))
    with pytest.raises(InvalidInput, match="rows"):
        large.likelihood_ratio_test(
            linear_mixed("pain ~ 1", d.iloc[1:], "patient", reml=False, df="normal")
        )


# ------------------------------------------------------------------------------ refusals


HOSTILE: list[tuple[str, dict[str, Any], str]] = [
    ("no rows", {"data": trial().head(0)}, "no row"),
    ("one row", {"data": trial().head(1)}, "does not vary|collinear"),
    ("one cluster", {"data": trial().query("patient == 0")}, "one cluster"),
    ("one value per cluster", {"data": trial().drop_duplicates("patient")}, "residual"),
    ("constant response", {"data": trial().assign(pain=3.0)}, "fixed effects fit"),
    ("exact fit", {"data": trial().assign(pain=lambda t: t["week"] + t["patient"])}, "exactly"),
    ("huge response", {"data": trial().assign(pain=lambda t: t["pain"] * 1e200)}, "another unit"),
    ("all missing", {"data": trial().assign(pain=np.nan)}, "no row"),
    ("infinite response", {"data": trial().replace({"week": {0.0: np.inf}}).assign(
        pain=lambda t: t["pain"].where(t.index > 2, np.inf))}, "finite"),
    ("text response", {"formula": "arm ~ week"}, "numeric"),
    ("constant column", {"formula": "pain ~ week + one"}, "collinear"),
    ("collinear random columns", {"random": "1 + week + twice"}, "collinear"),
    ("cluster among the fixed effects", {"formula": "pain ~ C(patient)"}, "already hold"),
    ("outer among the fixed effects", {"formula": "pain ~ C(site)", "outer": "site"}, "already"),
    ("one outer group", {"outer": "one"}, "one outer group"),
    ("outer is the cluster", {"outer": "patient"}, "holds one cluster"),
    ("unknown outer", {"outer": "centre"}, "no column"),
    ("negative weights", {"weights": "minus"}, "negative"),
    ("weights all 0", {"weights": "zero"}, "every weight"),
    ("text weights", {"weights": "arm"}, "numbers"),
    ("infinite weights", {"data": trial().assign(w=np.inf), "weights": "w"}, "finite"),
    ("unknown df", {"df": "z"}, "one of"),
    ("random no text", {"random": 1}, "text"),
    ("random with a bar", {"random": "1 | patient"}, "cluster"),
    ("unreadable random", {"random": "1 + * week"}, "read"),
    ("level 1", {"level": 1.0}, "level"),
    ("no frame", {"data": [1, 2]}, "DataFrame"),
]  # fmt: skip


@pytest.mark.parametrize(("call", "message"), [h[1:] for h in HOSTILE], ids=[h[0] for h in HOSTILE])
def test_hostile_input_is_refused_in_a_sentence(call: dict[str, Any], message: str) -> None:
    full = {"formula": "pain ~ week", "data": trial(), "cluster": "patient", **call}
    if isinstance(full["data"], pd.DataFrame):
        extra = {"one": 1.0, "twice": full["data"]["week"] * 2, "minus": -1.0, "zero": 0.0}
        full["data"] = full["data"].assign(**extra)
    with pytest.raises(EstimationError, match=message):
        linear_mixed(**full)


def test_two_columns_of_one_name_are_refused() -> None:
    d = trial()
    with pytest.raises(InvalidInput, match="same name"):
        linear_mixed("pain ~ week", pd.concat([d, d[["week"]]], axis=1), "patient")


@pytest.mark.parametrize("rows", [4, 5, 6, 7, 8])
@pytest.mark.parametrize("df", ["kenward_roger", "satterthwaite", "normal"])
def test_a_handful_of_rows_gives_numbers_or_a_reason(rows: int, df: str) -> None:
    d = trial(patients=3).iloc[-rows:]
    try:
        fit = linear_mixed("pain ~ week", d, "patient", df=df)
    except NotEstimable:
        return
    assert np.isfinite(fit.coefficients[["estimate", "std_error", "p_value"]]).all(axis=None)


def test_contrasts_and_new_rows_are_checked() -> None:
    d = trial()
    fit = linear_mixed("pain ~ week + arm", d, "patient")
    with pytest.raises(InvalidInput, match="3 finite weights"):
        fit.contrast([[1, 0]])
    for wrong in ("week", {"a": {"week": "x"}}, {"week": 1}, {"a": {"week": np.nan}}, {}):
        with pytest.raises(InvalidInput, match="3 finite weights"):
            fit.contrast(wrong)
    with pytest.raises(InvalidInput, match="3 finite weights"):
        fit.joint_test(np.empty((0, 3)))
    with pytest.raises(InvalidInput, match="no term 'dose'"):
        fit.contrast({"a": {"dose": 1}})
    with pytest.raises(InvalidInput, match="depend"):
        fit.joint_test([[0, 1, 0], [0, 2, 0]])
    with pytest.raises(InvalidInput, match="never saw"):
        fit.predict(pd.DataFrame({"week": [1.0], "arm": ["new"]}))
    with pytest.raises(InvalidInput, match="lacks a column"):
        fit.predict(pd.DataFrame({"week": [1.0]}))
    with pytest.raises(InvalidInput, match="finite"):
        fit.predict(pd.DataFrame({"week": [np.inf], "arm": ["a"]}))
    with pytest.raises(InvalidInput, match="was not made"):
        LinearMixedResult().predict(d)
    with pytest.raises(InvalidInput, match="random effect"):
        LinearMixedResult().variance_test()
    # an interaction of new rows takes the levels of the fit, whatever the rows hold
    row = fit.predict(pd.DataFrame({"week": [2.0], "arm": ["b"]})).iloc[0]
    named = fit.contrast({"b at 2": {"Intercept": 1, "week": 2, "arm[T.b]": 1}}).iloc[0]
    assert row["estimate"] == pytest.approx(named["estimate"])


def test_a_maximum_likelihood_fit_takes_satterthwaite_and_says_so() -> None:
    rows = pd.DataFrame({"y": [1, 2, 3, 3, 4, 6.0], "x": [0, 1] * 3, "id": [1, 1, 2, 2, 3, 3]})
    fit = linear_mixed("y ~ x", rows, "id", reml=False)
    named = linear_mixed("y ~ x", rows, "id", reml=False, df="satterthwaite")
    assert fit.diagnostics["df_method"] == "satterthwaite"
    pd.testing.assert_frame_equal(fit.coefficients, named.coefficients)
