"""Edges and properties of the estimators; the R numbers are in tests/golden."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from ketamine_outcomes import estimators as est
from ketamine_outcomes.estimators import EstimationError, InvalidInput, NotEstimable


@pytest.fixture
def survival() -> pd.DataFrame:
    rng = np.random.default_rng(7)
    n = 60
    x = rng.normal(size=n)
    time = np.ceil(rng.exponential(8 * np.exp(-0.4 * x)))  # whole days: many ties
    return pd.DataFrame(
        {
            "time": time,
            "entry": np.floor(rng.uniform(0, 0.9, n) * time),
            "event": rng.integers(0, 3, n),
            "x": x,
            "z": rng.integers(0, 2, n),
            "site": rng.integers(0, 6, n),
        }
    ).assign(hit=lambda d: (d["event"] == 1) * 1)


@pytest.fixture
def repeated() -> pd.DataFrame:
    rng = np.random.default_rng(11)
    patient = np.repeat(np.arange(12), 5)
    week = np.tile(np.arange(5.0), 12)
    pain = 6 - 0.4 * week + rng.normal(size=12)[patient] + rng.normal(size=60)
    return pd.DataFrame({"patient": patient, "week": week, "pain": pain})


def test_import_is_light() -> None:
    code = (
        "import sys, ketamine_outcomes.estimators as e; e.Result; "
        "assert not {'statsmodels', 'lifelines', 'formulaic'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_modules_do_not_hide_their_functions() -> None:
    code = (
        "import ketamine_outcomes.estimators.cox as a, ketamine_outcomes.estimators.linear_mixed; "
        "from ketamine_outcomes.estimators import cox, linear_mixed; "
        "assert callable(cox) and callable(linear_mixed)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_nothing_else_of_the_package_is_imported() -> None:
    folder = Path(est.__file__).parent
    for path in folder.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom):
                assert node.level <= 1, path.name
                assert not (node.module or "").startswith("ketamine_outcomes"), path.name
            if isinstance(node, ast.Import):
                assert not any(a.name.startswith("ketamine_outcomes") for a in node.names)


def test_every_public_name_exists() -> None:
    for name in est.__all__:
        assert callable(getattr(est, name))


def test_results_cannot_be_changed() -> None:
    result = est.exact_rate(1, 10)
    with pytest.raises(AttributeError):
        result.log_likelihood = 0.0
    with pytest.raises(TypeError):
        result.diagnostics["level"] = 0.5


# ---------------------------------------------------------------- Aalen-Johansen, Kaplan-Meier


def weighted_incidence(d: pd.DataFrame, weight: np.ndarray, cause: int, until: float) -> float:
    """Cumulative incidence with case weights, written as a plain loop."""
    free, total = 1.0, 0.0
    for t in np.sort(d.loc[d["event"] > 0, "time"].unique()):
        if t > until:
            break
        n = weight[(d["entry"] < t) & (d["time"] >= t)].sum()
        now = (d["time"] == t).to_numpy()
        total += free * weight[now & (d["event"] == cause)].sum() / n
        free *= 1 - weight[now & (d["event"] > 0)].sum() / n
    return total


@pytest.mark.parametrize("cause", [1, 2])
def test_cluster_robust_incidence_is_the_numerical_jackknife(
    survival: pd.DataFrame, cause: int
) -> None:
    curve = est.aalen_johansen(survival, "time", "event", entry="entry", cluster="site").curve
    mine = curve[curve["cause"] == cause]
    for until in (2.0, 5.0, 12.0):
        total, h = 0.0, 1e-5
        for site in survival["site"].unique():
            moved = np.where(survival["site"] == site, h, 0.0)
            up = weighted_incidence(survival, 1 + moved, cause, until)
            down = weighted_incidence(survival, 1 - moved, cause, until)
            total += ((up - down) / (2 * h)) ** 2
        row = mine[mine["time"] <= until].iloc[-1]
        assert row["std_error"] == pytest.approx(np.sqrt(total), rel=1e-7)


def test_copies_of_rows_as_clusters_change_nothing(survival: pd.DataFrame) -> None:
    once = est.aalen_johansen(survival, "time", "event", variance="jackknife").curve
    twice = pd.concat([survival, survival]).assign(id=np.tile(np.arange(60), 2))
    again = est.aalen_johansen(twice, "time", "event", cluster="id").curve
    np.testing.assert_allclose(again["std_error"], once["std_error"], rtol=1e-12)
    np.testing.assert_allclose(again["estimate"], once["estimate"], rtol=1e-12)


def test_one_cause_is_one_minus_kaplan_meier(survival: pd.DataFrame) -> None:
    d = survival.assign(event=(survival["event"] > 0) * 1)
    incidence = est.aalen_johansen(d, "time", "event", entry="entry").curve
    curve = est.kaplan_meier(d, "time", "event", entry="entry").curve
    np.testing.assert_allclose(incidence["estimate"], 1 - curve["estimate"], atol=1e-12)
    inside = curve["estimate"] > 1e-9
    np.testing.assert_allclose(
        incidence.loc[inside, "std_error"], curve.loc[inside, "std_error"], rtol=1e-9, atol=1e-14
    )


def test_row_order_does_not_matter(survival: pd.DataFrame) -> None:
    shuffled = survival.sample(frac=1, random_state=3)
    for call in (
        lambda d: est.aalen_johansen(d, "time", "event", group="z", cluster="site").curve,
        lambda d: est.kaplan_meier(d, "time", "event", entry="entry").curve,
        lambda d: est.cox("x + z", d, "time", "hit", entry="entry", cluster="site").coefficients,
    ):
        pd.testing.assert_frame_equal(call(survival), call(shuffled), rtol=1e-10)


def test_all_events_at_one_time() -> None:
    d = pd.DataFrame({"t": [4.0] * 5, "e": [1, 1, 2, 0, 0]})
    curve = est.aalen_johansen(d, "t", "e").curve
    assert curve["estimate"].tolist() == pytest.approx([0.4, 0.2])
    assert curve["std_error"].tolist() == pytest.approx(
        [np.sqrt(0.4 * 0.6 / 5), np.sqrt(0.2 * 0.8 / 5)]
    )
    assert est.kaplan_meier(d, "t", "e").curve["estimate"].tolist() == pytest.approx([0.4])


def test_one_patient_curve() -> None:
    d = pd.DataFrame({"t": [3.0], "e": [1]})
    row = est.kaplan_meier(d, "t", "e").curve.iloc[0]
    assert row["estimate"] == 0
    assert np.isnan(row["std_error"])
    assert est.aalen_johansen(d, "t", "e").curve["std_error"].tolist() == [0.0]


def test_all_censored(survival: pd.DataFrame) -> None:
    d = survival.assign(event=0, hit=0)
    curve = est.kaplan_meier(d, "time", "event").curve
    assert (curve[["estimate", "ci_low", "ci_high"]] == 1).all(axis=None)
    assert (curve["std_error"] == 0).all()
    with pytest.raises(NotEstimable, match="censored"):
        est.aalen_johansen(d, "time", "event")
    with pytest.raises(NotEstimable, match="no event"):
        est.cox("x", d, "time", "hit")
    with pytest.raises(NotEstimable, match="no event"):
        est.logrank(d, "time", "event", "z")


def test_one_group(survival: pd.DataFrame) -> None:
    with pytest.raises(InvalidInput, match="one group"):
        est.logrank(survival.assign(z=1), "time", "event", "z")


# ------------------------------------------------------------------------------------------ Cox


def test_splitting_rows_changes_nothing(survival: pd.DataFrame) -> None:
    whole = est.cox("x + z", survival.assign(id=range(60)), "time", "hit", cluster="id")
    d = survival.assign(id=range(60), begin=0.0)
    late = d[d["time"] > 3]
    parts = pd.concat(
        [
            d[d["time"] <= 3],
            late.assign(time=3.0, hit=0),
            late.assign(begin=3.0),
        ]
    )
    split = est.cox("x + z", parts, "time", "hit", entry="begin", cluster="id")
    pd.testing.assert_frame_equal(split.coefficients, whole.coefficients, rtol=1e-9)


@pytest.mark.parametrize("ties", ["efron", "breslow"])
def test_scale_of_a_covariate(survival: pd.DataFrame, ties: str) -> None:
    small = est.cox("x", survival, "time", "hit", ties=ties).coefficients.iloc[0]
    big = est.cox(
        "x", survival.assign(x=survival["x"] * 1e6 + 1e8), "time", "hit", ties=ties
    ).coefficients.iloc[0]
    assert big["estimate"] * 1e6 == pytest.approx(small["estimate"], rel=1e-7)
    assert big["std_error"] * 1e6 == pytest.approx(small["std_error"], rel=1e-7)


def test_whole_weights_are_copies(survival: pd.DataFrame) -> None:
    d = survival.assign(copies=1 + survival.index % 3)
    weighted = est.cox("x", d, "time", "hit", weights="copies", ties="breslow")
    copied = est.cox("x", d.loc[d.index.repeat(d["copies"])], "time", "hit", ties="breslow")
    pd.testing.assert_frame_equal(weighted.coefficients, copied.coefficients, rtol=1e-9)


def test_monotone_likelihood_points_to_firth() -> None:
    d = pd.DataFrame({"t": range(1, 13), "e": [1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0]})
    d["arm"] = [1] * 6 + [0] * 6
    with pytest.raises(NotEstimable, match="firth=True") as caught:
        est.cox("arm", d, "t", "e")
    assert "'arm'" in str(caught.value)
    row = est.cox("arm", d, "t", "e", firth=True).coefficients.iloc[0]
    assert np.isfinite(row["estimate"])
    assert row["ci_low"] > 0


def test_a_large_but_finite_hazard_ratio_is_given() -> None:
    rng = np.random.default_rng(5)
    n = 4000
    arm = np.arange(n) % 2
    time = rng.exponential(np.exp(-5.0 * arm))
    d = pd.DataFrame({"t": time, "e": 1, "arm": arm})
    assert est.cox("arm", d, "t", "e").coefficients["estimate"].iloc[0] == pytest.approx(5, abs=0.4)


def test_cox_refusals(survival: pd.DataFrame) -> None:
    d = survival.assign(twice=2 * survival["x"], same=1)
    for formula, message in (("x + twice", "collinear"), ("x + same", "vary"), ("x ~ z", "resp")):
        with pytest.raises(EstimationError, match=message):
            est.cox(formula, d, "time", "hit")
    with pytest.raises(NotEstimable, match="one cluster"):
        est.cox("x", d, "time", "hit", cluster="same")
    with pytest.raises(InvalidInput, match="at or after"):
        est.cox("x", d.assign(entry=d["time"]), "time", "hit", entry="entry")
    with pytest.raises(NotEstimable, match="every weight"):
        est.cox("x", d.assign(w=0.0), "time", "hit", weights="w")
    with pytest.raises(InvalidInput, match="not finite"):
        est.cox("x", d.assign(x=np.inf), "time", "hit")
    with pytest.raises(InvalidInput, match="no column 'nope'"):
        est.cox("nope", d, "time", "hit")


def test_missing_rows_are_counted(survival: pd.DataFrame) -> None:
    d = survival.copy()
    d.loc[[1, 5], "x"] = np.nan
    fit = est.cox("x", d, "time", "hit")
    assert fit.diagnostics["n_dropped"] == 2
    kept = est.cox("x", d.dropna(), "time", "hit")
    pd.testing.assert_frame_equal(fit.coefficients, kept.coefficients)


def test_an_empty_level_is_no_column(survival: pd.DataFrame) -> None:
    arm = pd.Categorical(np.where(survival["z"] == 1, "b", "a"), categories=["a", "b", "c"])
    terms = est.cox("arm", survival.assign(arm=arm), "time", "hit").coefficients["term"]
    assert terms.tolist() == ["arm[T.b]"]


# ---------------------------------------------------------------------------------- mixed models


def test_balanced_mixed_model_is_the_paired_t_test() -> None:
    rng = np.random.default_rng(3)
    base = rng.normal(size=9) * 2
    before, after = base + rng.normal(size=9), base - 1 + rng.normal(size=9)
    d = pd.DataFrame(
        {"y": np.r_[before, after], "post": np.repeat([0, 1], 9), "id": np.tile(range(9), 2)}
    )
    row = est.linear_mixed("y ~ post", d, "id").coefficient("post")
    t = est.paired_exact(after - before).table.set_index("test").loc["paired_t"]
    assert row["df"] == pytest.approx(8, rel=1e-6)
    assert row["p_value"] == pytest.approx(t["p_value"], rel=1e-6)
    assert row["ci_low"] == pytest.approx(t["ci_low"], rel=1e-6)


def test_mixed_model_follows_the_units(repeated: pd.DataFrame) -> None:
    a = est.linear_mixed("pain ~ week", repeated, "patient", "1 + week")
    d = repeated.assign(pain=repeated["pain"] * 1e4, week=repeated["week"] * 1e-3)
    b = est.linear_mixed("pain ~ week", d, "patient", "1 + week")
    factor = np.array([1e4, 1e7])
    for column in ("estimate", "std_error"):
        np.testing.assert_allclose(b.coefficients[column], a.coefficients[column] * factor, 1e-6)
    np.testing.assert_allclose(b.coefficients["df"], a.coefficients["df"], rtol=1e-6)


def test_week_in_calendar_years_is_no_trouble(repeated: pd.DataFrame) -> None:
    a = est.linear_mixed("pain ~ week", repeated, "patient").coefficient("week")
    d = repeated.assign(week=repeated["week"] + 2020)
    b = est.linear_mixed("pain ~ week", d, "patient").coefficient("week")
    np.testing.assert_allclose(
        b.drop("term").astype(float), a.drop("term").astype(float), rtol=1e-7
    )


def test_no_variance_between_clusters_is_reported(repeated: pd.DataFrame) -> None:
    means = repeated.groupby("patient")["pain"].transform("mean")
    fit = est.linear_mixed("pain ~ week", repeated.assign(pain=repeated["pain"] - means), "patient")
    assert fit.diagnostics["singular"]
    assert fit.diagnostics["variance_components"]["Intercept"] == 0
    assert fit.diagnostics["boundary_slope"] > 0


@pytest.mark.parametrize("seed", [*range(30), 68, 100, 103, 109, 123, 125, 143])
def test_boundary_fits_are_proved(seed: int) -> None:
    # the later seeds are those where a bounded search stops at a variance of 0 too early
    rng = np.random.default_rng(seed)
    k, m = rng.integers(4, 12), rng.integers(2, 6)
    unit = np.repeat(np.arange(k), m + 1)
    x = rng.normal(size=unit.size)
    noise = rng.normal(size=unit.size) * 10.0 ** rng.integers(-3, 4)
    y = noise + rng.normal(size=k)[unit] * rng.choice([0, 1, 5])
    random = str(rng.choice(["1", "1 + x", "1 + x ||"]))
    d = pd.DataFrame({"y": y, "x": x, "id": unit})
    fit = est.linear_mixed("y ~ x", d, "id", random)
    assert fit.diagnostics["boundary_slope"] > -1e-5
    assert fit.diagnostics["max_gradient"] < 1e-5
    if random != "1":
        simple = est.linear_mixed("y ~ x", d, "id")
        assert fit.log_likelihood >= simple.log_likelihood - 1e-7
    table = fit.coefficients
    assert np.isfinite(table[["estimate", "std_error", "df", "p_value"]]).all(axis=None)


def test_mixed_refusals(repeated: pd.DataFrame) -> None:
    d = repeated.assign(one=1, copy=repeated["week"] * 2, flat=3.0)
    cases: list[tuple[dict[str, Any], str]] = [
        ({"formula": "pain ~ week + copy"}, "collinear"),
        ({"formula": "pain ~ week", "cluster": "one"}, "one cluster"),
        ({"formula": "flat ~ week"}, "exactly"),
        ({"formula": "pain ~ week", "random": "1 | patient"}, "cluster"),
        ({"formula": "pain ~ week", "random": "0"}, "at least one"),
        ({"formula": "week"}, "response"),
        ({"formula": "pain ~ week", "df": "z"}, "one of"),
    ]
    for call, message in cases:
        with pytest.raises(EstimationError, match=message):
            est.linear_mixed(**{"data": d, "cluster": "patient", **call})
    with pytest.raises(NotEstimable, match="fewer terms"):
        est.linear_mixed("pain ~ week + C(patient)", d, "patient")
    with pytest.raises(NotEstimable, match="random effects"):
        est.linear_mixed("pain ~ week", d[d["week"] < 2], "patient", "1 + week")


def test_contrast_by_name(repeated: pd.DataFrame) -> None:
    fit = est.linear_mixed("pain ~ week", repeated, "patient")
    named = fit.contrast({"change at 4": {"week": 4.0}}).iloc[0]
    plain = fit.coefficient("week")
    assert named["estimate"] == pytest.approx(4 * plain["estimate"])
    assert named["p_value"] == pytest.approx(plain["p_value"])
    with pytest.raises(InvalidInput, match="no term 'nope'"):
        fit.contrast({"x": {"nope": 1.0}})


# ------------------------------------------------------------------------------------ the others


def test_gee_refusals(repeated: pd.DataFrame) -> None:
    d = repeated.assign(arm=repeated["patient"] % 2, flat=1.0)
    d["hit"] = (d["arm"] == 1) & (d["week"] > 2)
    d["hit"] = d["hit"].astype(int)
    with pytest.raises(NotEstimable, match="no events"):
        est.gee("hit ~ arm", d, "patient", "binomial")
    with pytest.raises(NotEstimable, match="no events"):
        est.gee("hit ~ arm", d, "patient", "poisson")
    with pytest.raises(NotEstimable, match="constant"):
        est.gee("flat ~ week", d, "patient", "gaussian")
    with pytest.raises(NotEstimable, match="2 clusters cannot"):
        est.gee("pain ~ week", d, "arm", "gaussian")
    with pytest.raises(InvalidInput, match="above 0"):
        est.gee("hit ~ week", d, "patient", "gamma")
    with pytest.raises(NotEstimable, match="collinear"):
        est.gee("pain ~ week + I(2 * week)", d, "patient", "gaussian")
    with pytest.raises(InvalidInput, match="independence"):
        est.gee("pain ~ week", d, "patient", "gaussian", corr="toeplitz")


def test_exact_refusals() -> None:
    for bad in (
        lambda: est.exact_rate(1.5, 10),
        lambda: est.exact_rate(1, 0),
        lambda: est.exact_proportion(3, 2),
        lambda: est.exact_proportion(0, 0),
        lambda: est.exact_rate_ratio(0, 1, 0, 1),
        lambda: est.exact_rate(1, 1, level=95),
        lambda: est.paired_exact([]),
    ):
        with pytest.raises(EstimationError):
            bad()


def test_rate_ratio_turns_round() -> None:
    a = est.exact_rate_ratio(5, 300, 12, 280).table.iloc[0]
    b = est.exact_rate_ratio(12, 280, 5, 300).table.iloc[0]
    assert b["ci_low"] == pytest.approx(1 / a["ci_high"])
    assert b["p_value"] == pytest.approx(a["p_value"])


def test_huge_counts() -> None:
    row = est.exact_proportion(10**6, 2 * 10**6).table.iloc[0]
    assert row["ci_low"] == pytest.approx(0.5 - 1.96 * np.sqrt(0.25 / 2e6), abs=1e-5)


def test_many_pairs_have_no_sign_flip() -> None:
    table = est.paired_exact(np.arange(41) - 10.0).table.set_index("test")
    assert np.isnan(table.loc["sign_flip", "p_value"])
    assert table.loc["wilcoxon", "p_value"] < 0.01


def test_weighting_refusals() -> None:
    d = pd.DataFrame({"t": [0, 0, 0, 1, 1, 1], "x": [1, 2, 3, 4, 5, 6.0]})
    with pytest.raises(NotEstimable, match="separate"):
        est.propensity_weights("t ~ x", d)
    with pytest.raises(InvalidInput, match="0 \\(comparator\\)"):
        est.standardised_mean_difference([1, 2], [0, 2])
    with pytest.raises(NotEstimable):
        est.effective_sample_size([0, 0])


def test_no_message_holds_a_value(survival: pd.DataFrame) -> None:
    secret = survival.assign(name=[f"SECRET{i % 2}" for i in range(60)])
    for call in (
        lambda: est.cox("x", secret, "name", "hit"),
        lambda: est.cox("np.log(name)", secret, "time", "hit"),
        lambda: est.kaplan_meier(secret, "time", "name"),
        lambda: est.linear_mixed("name ~ x", secret, "site"),
        lambda: est.standardised_mean_difference([1, 2, 3], secret["name"][:3] == 1),
    ):
        with pytest.raises(EstimationError) as caught:
            call()
        assert "SECRET" not in str(caught.value)
        assert caught.value.__cause__ is None


# ------------------------------------------------------------------------------------ formulas


def test_powers_inside_functions_are_not_read_as_bits(repeated: pd.DataFrame) -> None:
    with pytest.raises(InvalidInput, match=r"\*\*2"):
        est.gee("pain ~ I(week^2)", repeated, "patient", "gaussian")
    assert len(est.gee("pain ~ I(week**2)", repeated, "patient", "gaussian").coefficients) == 2


@pytest.mark.parametrize(
    "term", ["scale(week)", "bs(week, df=3)", "poly(week, 2)", "sqrt(abs(week))", "log(week + 1)"]
)
def test_rows_missing_inside_a_function_are_left_out(repeated: pd.DataFrame, term: str) -> None:
    holes = repeated.assign(week=repeated["week"].where(repeated.index != 7))
    fit = est.gee(f"pain ~ {term}", holes, "patient", "gaussian")
    assert fit.diagnostics["n_dropped"] == 1
    same = est.gee(f"pain ~ {term}", repeated.drop(index=7), "patient", "gaussian")
    pd.testing.assert_frame_equal(fit.coefficients, same.coefficients)


def test_names_with_spaces_stand_in_backticks(repeated: pd.DataFrame) -> None:
    spaced = repeated.rename(columns={"week": "the week"})
    fit = est.gee("pain ~ scale(`the week`)", spaced, "patient", "gaussian")
    same = est.gee("pain ~ scale(week)", repeated, "patient", "gaussian")
    np.testing.assert_allclose(fit.coefficients["estimate"], same.coefficients["estimate"])


@pytest.mark.parametrize(
    ("column", "message"),
    [
        (pd.date_range("2020-01-01", periods=60), "must hold numbers"),
        (pd.to_timedelta(np.arange(1, 61), unit="D"), "must hold numbers"),
        (np.arange(1, 61) + 1j, "must hold numbers"),
        (np.arange(1, 61) * 1e160, "too large or too small"),
        (np.arange(1, 61) * 1e-160, "too large or too small"),
    ],
    ids=["dates", "durations", "complex", "huge", "tiny"],
)
def test_what_floats_cannot_hold_is_refused(
    survival: pd.DataFrame, column: Any, message: str
) -> None:
    bad = survival.assign(bad=column)
    for call in (
        lambda: est.kaplan_meier(bad, "bad", "event"),
        lambda: est.kaplan_meier(bad, "time", "event", weights="bad"),
        lambda: est.cox("bad", bad, "time", "hit"),
        lambda: est.cox("x", bad, "time", "hit", offset="bad"),
        lambda: est.gee("bad ~ x", bad, "site", "gaussian"),
        lambda: est.meta_analysis(bad["bad"], bad["time"]),
        lambda: est.tipping_point(bad["x"], bad["time"], bad["bad"]),
        lambda: est.pool_imputations(bad[["bad"]], bad[["time"]]),
    ):
        with pytest.raises(InvalidInput, match=f"{message}|must be numbers|hold numbers, words"):
            call()


@pytest.mark.parametrize("dtype", [object, "Float64", "float32"])
def test_numbers_stay_numbers_in_a_formula(survival: pd.DataFrame, dtype: Any) -> None:
    plain = survival.assign(x=survival["x"].astype("float32").astype(float))
    want = est.cox("x", plain, "time", "hit").coefficients
    got = est.cox("x", plain.assign(x=plain["x"].astype(dtype)), "time", "hit").coefficients
    pd.testing.assert_frame_equal(got, want, rtol=1e-12)


def test_words_of_every_type_are_one_factor(survival: pd.DataFrame) -> None:
    word = survival["site"].map({0: "a", 1: "a", 2: "b", 3: "b", 4: "c", 5: "c"})
    want = est.cox("w", survival.assign(w=word.astype(object)), "time", "hit")
    for dtype in ("string", "category"):
        other = survival.assign(w=word.astype(dtype))
        got = est.cox("w", other, "time", "hit")
        pd.testing.assert_frame_equal(got.coefficients, want.coefficients)
        new = got.predict_survival(other.head(2), times=[3.0])
        pd.testing.assert_frame_equal(
            new, want.predict_survival(survival.assign(w=word).head(2), times=[3.0])
        )


def test_covariates_of_mixed_type_are_refused(survival: pd.DataFrame) -> None:
    for values in ([(1, 2)] * 60, [["a"]] * 60):
        mixed = survival.assign(mixed=pd.Series(values, dtype=object))
        with pytest.raises(InvalidInput, match="'mixed' must hold numbers, words or categories"):
            est.cox("mixed", mixed, "time", "hit")
        with pytest.raises(InvalidInput, match="'mixed'"):
            est.kaplan_meier(mixed, "time", "event", group="mixed")


def test_messages_on_terms_hold_no_level(survival: pd.DataFrame) -> None:
    secret = survival.assign(name=[f"Miller]{i}" for i in range(60)], same="Miller", one=1.0)
    secret.loc[0, "same"] = "Meyer [x]"
    for call in (
        lambda: est.cox("name", secret, "time", "hit"),
        lambda: est.fine_gray("name", secret, "time", "event"),
        lambda: est.gee("x ~ name:z", secret, None, "gaussian"),
        lambda: est.cox("same", secret.assign(hit=secret.index == 0), "time", "hit"),
        lambda: est.gee("x ~ same", secret, "site", "gaussian").coefficient("name"),
    ):
        with pytest.raises(EstimationError) as refused:
            call()
        assert not any(word in str(refused.value) for word in ("Miller", "Meyer"))


def test_prediction_takes_any_index_and_refuses_no_rows(survival: pd.DataFrame) -> None:
    fits = (est.cox("x", survival, "time", "hit"), est.fine_gray("x", survival, "time", "event"))
    two = survival.head(2)[["x"]].set_index(pd.MultiIndex.from_tuples([("a", 1), ("b", 2)]))
    for predict in (fits[0].predict_survival, fits[1].predict_incidence):
        curve = predict(two, times=[2.0])
        assert curve["group"].tolist() == [("a", 1), ("b", 2)]
        with pytest.raises(InvalidInput, match="no row"):
            predict(two[:0])
        with pytest.raises(InvalidInput, match="times must be"):
            predict(two, times="tomorrow")


ODD: list[Any] = [
    pd.NA,
    pd.NaT,
    np.array([1, 2]),
    ["nope"],
    {},
    "nope",
    np.nan,
    1 + 2j,
    b"x",
    object(),
]


@pytest.mark.parametrize("odd", ODD, ids=[type(v).__name__ for v in ODD])
def test_options_of_another_type_are_refused(survival: pd.DataFrame, odd: Any) -> None:
    d = survival
    for call in (
        lambda: est.kaplan_meier(d, odd, "event"),
        lambda: est.kaplan_meier(d, "time", "event", group=odd),
        lambda: est.kaplan_meier(d, "time", "event", ci=odd),
        lambda: est.kaplan_meier(d, "time", "event", level=odd),
        lambda: est.rmst(d, "time", "event", tau=odd),
        lambda: est.restricted_mean_time_lost(d, "time", "event", 3, cause=odd),
        lambda: est.logrank(d, "time", "hit", "z", rho=odd),
        lambda: est.mean_cumulative_function(d, "time", "hit", "site", terminal=odd),
        lambda: est.cox("x", d, "time", "hit", ties=odd),
        lambda: est.cox("x", d, "time", "hit", firth=odd),
        lambda: est.gee("x ~ z", d, "site", odd),
        lambda: est.gee("x ~ z", d, "site", "gaussian", scale=odd),
        lambda: est.propensity_weights("z ~ x", d, trim=odd),
        lambda: est.balance(d, odd, "z"),
        lambda: est.exact_rate(1, 2, mid_p=odd),
        lambda: est.exact_proportion(odd, 2),
        lambda: est.regression_to_mean(8, 4, 0.5, n_baseline=odd),
        lambda: est.probabilistic_bias(2, seed=odd),
        lambda: est.probabilistic_bias(2, seed=1, n_draws=odd),
        lambda: est.probabilistic_bias(2, seed=1, std_error=odd),
        lambda: est.probabilistic_bias(2, seed=1, sensitivity=odd, risk_2=0.1),
        lambda: est.tipping_point(1, 1, 1, df_complete=odd),
    ):
        with pytest.raises(InvalidInput):
            call()
    for call in (
        lambda: est.kaplan_meier(d, None, "event"),
        lambda: est.logrank(d, "time", "hit", None),
        lambda: est.balance(d, ["x"], None),
        lambda: est.probabilistic_bias(2, seed=None),
        lambda: est.exact_rate(10**400, 1),
        lambda: est.cox("x | z", d, "time", "hit"),
        lambda: est.gee("x ~ z | site", d, "site", "gaussian"),
    ):
        with pytest.raises(InvalidInput):
            call()


@pytest.mark.parametrize("dtype", ["object", "Float64", "boolean", "string"])
def test_weights_of_any_type_may_miss_values(survival: pd.DataFrame, dtype: Any) -> None:
    weight = pd.Series([1.0, 0.0, 1.0, 1.0] * 15)
    plain = survival.assign(w=weight.mask(np.arange(60) < 2))
    text = weight.astype(int).astype(str) if dtype == "string" else weight
    other = survival.assign(w=text.astype(dtype).mask(np.arange(60) < 2))
    for call in (
        lambda d: est.cox("x", d, "time", "hit", weights="w"),
        lambda d: est.fine_gray("x", d, "time", "event", weights="w"),
        lambda d: est.gee("x ~ z", d, "site", "gaussian", weights="w"),
    ):
        want, got = call(plain), call(other)
        pd.testing.assert_frame_equal(got.coefficients, want.coefficients)
        assert got.diagnostics["n_observations"] == want.diagnostics["n_observations"]


def test_concordance_without_pairs_is_refused(survival: pd.DataFrame) -> None:
    fit = est.cox("x", survival.assign(time=3, hit=1), "time", "hit", ties="breslow")
    with pytest.raises(NotEstimable, match="no pairs"):
        fit.concordance()


def test_predictions_far_outside_the_fit_are_limits(survival: pd.DataFrame) -> None:
    cox = est.cox("x", survival, "time", "hit", strata="z")
    gray = est.fine_gray("x", survival, "time", "event", strata="z")
    effects = [fit.coefficients["estimate"].iloc[0] for fit in (cox, gray)]
    for sign, event_free in ((1.0, 0.0), (-1.0, 1.0)):
        near = [pd.DataFrame({"x": [sign * np.sign(b) * 1e12], "z": [0]}) for b in effects]
        curve = cox.predict_survival(near[0], times=[0.0, 9.0])
        assert curve["estimate"].tolist() == [1.0, event_free]
        assert curve["std_error"].tolist() == [0.0, 0.0]
        curve = gray.predict_incidence(near[1], times=[0.0, 9.0])
        assert curve["estimate"].tolist() == [0.0, 1 - event_free]
        assert curve["std_error"].tolist() == [0.0, 0.0]
    for predict in (cox.predict_survival, gray.predict_incidence):
        for odd in ({"x": [1e200], "z": [0]}, {"x": [1.0], "z": [[0]]}):
            with pytest.raises(InvalidInput):
                predict(pd.DataFrame(odd))
    with pytest.raises(InvalidInput, match="no term"):
        cox.coefficient(["x"])
    with pytest.raises(InvalidInput, match="terms must be True or False"):
        cox.proportional_hazards_test("km", terms="no")


@pytest.mark.parametrize("term", ["bs(x, df=4)", "center(x)", "poly(x, 2)", "log(x + 9)"])
def test_rows_that_miss_a_value_inside_a_transform_are_left_out(
    survival: pd.DataFrame, term: str
) -> None:
    holes = survival.assign(x=survival["x"].mask(np.arange(60) < 3))
    want = est.cox(term, holes[3:], "time", "hit")
    got = est.cox(term, holes, "time", "hit")
    assert got.diagnostics["n_dropped"] == 3
    pd.testing.assert_frame_equal(got.coefficients, want.coefficients)
    text = holes[3:].assign(x=holes["x"].astype(object))
    pd.testing.assert_frame_equal(
        est.cox(term, text, "time", "hit").coefficients, want.coefficients, rtol=1e-9
    )
    assert len(got.predict_survival(survival.iloc[5:6], times=[2.0])) == 1


def test_each_pooled_column_and_each_phase_is_checked() -> None:
    tiny = pd.DataFrame({"a": [1.0, 1.1, 0.9], "b": [1e-300, 2e-300, 3e-300]})
    with pytest.raises(InvalidInput, match="too large or too small"):
        est.pool_imputations(tiny, tiny)
    phases = pd.Series([("A", 1)] * 5 + [("B", 1)] * 5)
    with pytest.raises(InvalidInput, match="phase must hold one word"):
        est.single_case(np.arange(10.0) % 3, phases)
