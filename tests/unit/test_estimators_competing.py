"""Properties and refusals of aalen_johansen, gray_test and fine_gray; R's numbers are golden."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest

from ketamine_outcomes.estimators import (
    EstimationError,
    InvalidInput,
    NotEstimable,
    aalen_johansen,
    fine_gray,
    gray_test,
)

VARIANCES = ("greenwood", "jackknife", "aalen")


@pytest.fixture
def rows() -> pd.DataFrame:
    rng = np.random.default_rng(5)
    n = 90
    x = rng.normal(size=n)
    time = np.ceil(rng.exponential(9 * np.exp(-0.5 * x))) + 1  # whole days: many ties
    return pd.DataFrame(
        {
            "id": np.arange(n),
            "time": time,
            "entry": np.floor(rng.uniform(0, 0.6, n) * time),
            "event": rng.integers(0, 3, n),
            "x": x,
            "arm": rng.integers(0, 3, n),
            "sex": rng.integers(0, 2, n),
            "site": rng.integers(0, 9, n),
            "copies": rng.integers(0, 4, n),
        }
    )


def same(a: pd.DataFrame, b: pd.DataFrame, rtol: float = 1e-9) -> None:
    pd.testing.assert_frame_equal(a, b, rtol=rtol, atol=1e-11, check_dtype=False)


CALLS: dict[str, Callable[[pd.DataFrame], pd.DataFrame]] = {
    "greenwood": lambda d: aalen_johansen(d, "time", "event", group="arm").curve,
    "aalen": lambda d: aalen_johansen(d, "time", "event", variance="aalen").curve,
    "jackknife": lambda d: (
        aalen_johansen(d, "time", "event", "entry", "sex", "copies", variance="jackknife").curve
    ),
    "by site": lambda d: aalen_johansen(d, "time", "event", entry="entry", cluster="site").curve,
    "gray": lambda d: gray_test(d, "time", "event", "arm", [1, 2], strata="sex").table,
    "crr": lambda d: fine_gray("x + C(arm)", d, "time", "event", cluster="site").coefficients,
    "crr all": lambda d: (
        fine_gray(
            "x", d, "time", "event", 2, weights="copies", strata="sex", censoring_group="arm"
        ).coefficients
    ),
    "late": lambda d: fine_gray("x", d, "time", "event", entry="entry").coefficients,
}


@pytest.mark.parametrize("name", CALLS)
def test_the_order_of_the_rows_does_not_matter(name: str, rows: pd.DataFrame) -> None:
    same(CALLS[name](rows), CALLS[name](rows.sample(frac=1, random_state=1)))


@pytest.mark.parametrize("name", CALLS)
def test_the_same_input_gives_the_same_bytes(name: str, rows: pd.DataFrame) -> None:
    pd.testing.assert_frame_equal(CALLS[name](rows), CALLS[name](rows.copy()), check_exact=True)


@pytest.mark.parametrize("name", CALLS)
def test_the_unit_of_time_does_not_matter(name: str, rows: pd.DataFrame) -> None:
    hours = rows.assign(time=rows["time"] * 24, entry=rows["entry"] * 24)
    a, b = CALLS[name](rows), CALLS[name](hours)
    same(a.drop(columns="time", errors="ignore"), b.drop(columns="time", errors="ignore"))


@pytest.mark.parametrize("name", CALLS)
def test_other_names_of_the_groups_do_not_matter(name: str, rows: pd.DataFrame) -> None:
    named = rows.assign(
        arm=rows["arm"].map({0: "a", 1: "b", 2: "c"}),
        sex=pd.Categorical(rows["sex"].map({0: "f", 1: "m"}), ["f", "m", "unused"]),
        site=rows["site"].map(lambda s: f"site {s}"),
    )
    a, b = CALLS[name](rows), CALLS[name](named)
    numbers = [c for c in a.select_dtypes("number") if c != "group"]
    same(a[numbers], b[numbers])


# ------------------------------------------------------------- cumulative incidence


@pytest.mark.parametrize("variance", VARIANCES)
def test_weights_are_numbers_of_equal_rows(variance: str, rows: pd.DataFrame) -> None:
    copied = rows.loc[rows.index.repeat(rows["copies"])]
    call = {"time": "time", "event": "event", "entry": "entry"}
    if variance == "jackknife":  # its unit is the row of weight w, so the copies are one unit
        once = aalen_johansen(rows, **call, weights="copies", variance=variance).curve
        many = aalen_johansen(copied, **call, cluster="id").curve
    else:
        once = aalen_johansen(rows, **call, weights="copies", variance=variance).curve
        many = aalen_johansen(copied, **call, variance=variance).curve
    shown = ["cause", "time", "estimate", "std_error", "ci_low", "ci_high"]
    same(once[shown], many[shown])


@pytest.mark.parametrize("variance", VARIANCES)
def test_rows_of_weight_0_are_left_out(variance: str, rows: pd.DataFrame) -> None:
    kept = rows.assign(w=(rows["copies"] > 0) * 1)
    with_zero = aalen_johansen(kept, "time", "event", weights="w", variance=variance)
    without = aalen_johansen(rows[rows["copies"] > 0], "time", "event", variance=variance)
    same(with_zero.curve, without.curve)
    assert with_zero.diagnostics["n_observations"] == (rows["copies"] > 0).sum()


def test_the_jackknife_does_not_see_the_scale_of_the_weights(rows: pd.DataFrame) -> None:
    d = rows.assign(w=0.3 + rows["copies"], v=1e-7 * (0.3 + rows["copies"]))
    call = {"time": "time", "event": "event", "group": "arm", "variance": "jackknife"}
    same(aalen_johansen(d, **call, weights="w").curve, aalen_johansen(d, **call, weights="v").curve)


def test_split_rows_of_a_subject_are_the_subject(rows: pd.DataFrame) -> None:
    cut = np.floor((rows["entry"] + rows["time"]) / 2)
    first = rows.assign(time=cut, event=0)
    split = pd.concat([first, rows.assign(entry=cut)])
    split = split[split["entry"] < split["time"]]
    whole = aalen_johansen(rows, "time", "event", entry="entry", variance="jackknife").curve
    pieces = aalen_johansen(split, "time", "event", entry="entry", cluster="id").curve
    pieces = pieces.merge(whole[["cause", "time"]])
    same(whole.drop(columns="n_at_risk"), pieces.drop(columns="n_at_risk"))


def in_pieces(rows: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    """Every subject in up to three (entry, time] rows that end on whole days, in no order."""
    for _ in range(2):
        length = rows["time"] - rows["entry"]
        cut = np.ceil(rows["entry"] + rng.uniform(size=len(rows)) * length)
        first = rows.assign(time=cut, event=0)
        rows = pd.concat(
            [first[cut < rows["time"]], rows.assign(entry=cut), rows[cut == rows["time"]]]
        )
        rows = rows[rows["entry"] < rows["time"]]
    return rows.sample(frac=1, random_state=1)


def few_rows(rows: pd.DataFrame, seed: int) -> pd.DataFrame:
    """Few subjects, one of each sex under observation throughout and often alone at risk."""
    few = rows.sample(16 + 4 * seed, random_state=seed)
    throughout = few.groupby("sex").head(1).assign(entry=0, time=80, event=0)
    return pd.concat([few.drop(throughout.index), throughout])


@pytest.mark.parametrize("late", [False, True])
@pytest.mark.parametrize("seed", range(12))
def test_fine_gray_joins_the_split_rows_of_a_subject(
    seed: int, late: bool, rows: pd.DataFrame
) -> None:
    few = few_rows(rows, seed)
    few = few if late else few.assign(entry=0.0)
    split = in_pieces(few, np.random.default_rng(seed))
    call = {"time": "time", "event": "event", "entry": "entry", "strata": "sex"}
    whole = fine_gray("x", few, **call)
    pieces = fine_gray("x", split, **call, cluster="id")
    same(whole.coefficients, pieces.coefficients)
    assert pieces.diagnostics["n_joined"] == len(split) - len(few) > 10
    new = pd.DataFrame({"x": [0.0, 1.0], "sex": [0, 1]})
    same(whole.predict_incidence(new, [3, 9]), pieces.predict_incidence(new, [3, 9]))


@pytest.mark.parametrize("seed", range(12))
def test_fine_gray_weighs_split_rows_as_the_subject(seed: int, rows: pd.DataFrame) -> None:
    few = few_rows(rows, seed)
    split = in_pieces(few, np.random.default_rng(seed))
    whole = fine_gray("x", few, "time", "event", entry="entry")
    pieces = fine_gray("x", split, "time", "event", entry="entry")  # who is who is not said
    same(whole.coefficients[["estimate"]], pieces.coefficients[["estimate"]])


@pytest.mark.parametrize("cluster", [None, "site"])
def test_jackknife_is_the_numerical_derivative(cluster: str | None, rows: pd.DataFrame) -> None:
    rows = rows.assign(w=0.5 + rows["copies"])
    call = {"time": "time", "event": "event", "entry": "entry", "weights": "w"}
    fit = aalen_johansen(rows, **call, variance="jackknife", cluster=cluster).curve
    unit = rows["id"] if cluster is None else rows[cluster]
    total, h = np.zeros(len(fit)), 1e-5
    for one in unit.unique():
        up, down = (
            aalen_johansen(rows.assign(w=rows["w"] * (1 + s * h * (unit == one))), **call).curve
            for s in (1, -1)
        )
        total += ((up["estimate"] - down["estimate"]) / (2 * h)) ** 2
    np.testing.assert_allclose(fit["std_error"], np.sqrt(total), rtol=1e-6, atol=1e-10)


def test_everybody_at_risk_has_the_event(rows: pd.DataFrame) -> None:
    d = pd.DataFrame({"t": [1, 1, 2, 3.0], "s": [0, 0, 1.5, 1.5], "e": [1, 2, 1, 2], "w": 0.1})
    for variance in ("greenwood", "jackknife"):
        curve = aalen_johansen(d, "t", "e", entry="s", weights="w", variance=variance).curve
        assert curve.loc[curve["cause"] == 1, "estimate"].tolist() == pytest.approx([0.5] * 3)
        assert curve["std_error"].nunique() == 1


def test_many_times_need_no_table_of_rows_by_times() -> None:
    n = 200_000
    time = np.arange(n, dtype=float)
    d = pd.DataFrame({"t": time, "e": np.arange(n) % 3, "c": np.arange(n) % 50_000})
    curve = aalen_johansen(d, "t", "e", cluster="c").curve  # 50,000 x 200,000 would be 80 GB
    assert len(curve) == 2 * n


def test_aalen_johansen_refuses(rows: pd.DataFrame) -> None:
    def call(d: pd.DataFrame = rows, **more: Any) -> None:
        aalen_johansen(d, "time", "event", **more)

    for text, bad in (
        ("variance", lambda: call(variance="robust")),
        ("ci must", lambda: call(ci="wald")),
        ("level", lambda: call(level=95)),
        ("no column 'w'", lambda: call(weights="w")),
        ("whole", lambda: call(rows.assign(w=0.5), weights="w", variance="aalen")),
        ("negative weights", lambda: call(rows.assign(w=-1), weights="w")),
        ("finite", lambda: call(rows.assign(w=np.inf), weights="w")),
        ("finite", lambda: call(rows.assign(time=np.inf))),
        ("negative times", lambda: call(rows.assign(time=-1))),
        ("at or after", lambda: call(rows.assign(entry=rows["time"]), entry="entry")),
        ("cause 1, 2", lambda: call(rows.assign(event=0.5))),
        ("cause 1, 2", lambda: call(rows.assign(event=1e30))),
        ("numbers", lambda: call(rows.assign(event="dead"))),
        ("no row is complete", lambda: call(rows[:0])),
    ):
        with pytest.raises(InvalidInput, match=text):
            bad()
    for text, bad in (
        ("weight in 'w' is 0", lambda: call(rows.assign(w=0), weights="w")),
        ("censored", lambda: call(rows.assign(event=0))),
        ("one cluster", lambda: call(rows.assign(c=1), cluster="c")),
    ):
        with pytest.raises(NotEstimable, match=text):
            bad()


def test_a_group_of_one_cluster_has_no_standard_error(rows: pd.DataFrame) -> None:
    curve = aalen_johansen(rows.assign(c=rows["arm"]), "time", "event", group="arm", cluster="c")
    assert curve.curve["std_error"].isna().all()
    assert curve.curve["estimate"].notna().all()


def test_only_causes_that_occur_are_shown(rows: pd.DataFrame) -> None:
    d = rows.assign(event=rows["event"].replace({2: 77}))
    assert aalen_johansen(d, "time", "event").curve["cause"].unique().tolist() == [1, 77]


# ---------------------------------------------------------------------- Gray's test


def test_the_groups_of_gray_may_change_places(rows: pd.DataFrame) -> None:
    turned = rows.assign(arm=(rows["arm"] + 1) % 3)
    a, b = (gray_test(d, "time", "event", "arm", [1, 2]).table for d in (rows, turned))
    same(a, b)


def test_equal_groups_score_0(rows: pd.DataFrame) -> None:
    twice = pd.concat([rows.assign(g=0), rows.assign(g=1)])
    assert gray_test(twice, "time", "event", "g").table["statistic"][0] == pytest.approx(0)


@pytest.mark.filterwarnings("error")
def test_log_log_limits_of_an_incidence_close_to_one() -> None:
    rows = pd.DataFrame({"t": [1, 2, 3], "e": [1, 1, 0], "w": [1, 1, 1e-6]})
    curve = aalen_johansen(rows, "t", "e", weights="w", ci="log-log").curve
    assert curve["ci_low"].between(0, 1).all() and curve["ci_high"].between(0, 1).all()


def test_gray_when_the_pooled_incidence_reaches_one() -> None:
    event, group = [1, 1, 1, 1, 2, 1, 1, 1], list("abbcbccc")
    rows = pd.DataFrame({"t": [1, 1, 1, 1, 1, 2, 2, 3], "e": event, "g": group})
    # R: cuminc(t, e, g)$Tests; at the last event only one group is at risk
    assert gray_test(rows, "t", "e", "g").table["statistic"][0] == pytest.approx(2.041666666666667)
    rows = rows.assign(t=[1, 1, 1, 1, 2, 2, 3, 3], e=1, g=list("aaaabcbc"))
    with pytest.raises(NotEstimable, match="reaches 1"):  # cuminc: NA/NaN/Inf in foreign call
        gray_test(rows, "t", "e", "g")


def test_gray_refuses(rows: pd.DataFrame) -> None:
    with pytest.raises(InvalidInput, match="one group"):
        gray_test(rows.assign(g=1), "time", "event", "g")
    for bad in ([], 0, 1.5, "1", None):
        with pytest.raises(InvalidInput, match="cause must"):
            gray_test(rows, "time", "event", "arm", bad)
    with pytest.raises(NotEstimable, match="no event of cause 9"):
        gray_test(rows, "time", "event", "arm", 9)
    apart = pd.DataFrame({"t": [1.0, 1, 5, 6], "e": [0, 0, 1, 1], "g": [0, 0, 1, 1]})
    with pytest.raises(NotEstimable, match="not at risk together"):
        gray_test(apart, "t", "e", "g")


# ------------------------------------------------------------------------ Fine-Gray


def test_fine_gray_weights_are_numbers_of_equal_rows(rows: pd.DataFrame) -> None:
    copied = rows.loc[rows.index.repeat(rows["copies"])]
    for more in ({}, {"strata": "sex"}, {"censoring_group": "arm"}, {"entry": "entry"}):
        once = fine_gray("x + sex" if not more else "x", rows, "time", "event", weights="copies",
                         **more)  # fmt: skip
        many = fine_gray("x + sex" if not more else "x", copied, "time", "event", cluster="id",
                         **more)  # fmt: skip
        same(once.coefficients, many.coefficients)
        assert once.log_likelihood == pytest.approx(many.log_likelihood)
        new = rows[:2]
        same(once.predict_incidence(new, [3, 9])[["estimate", "std_error"]],
             many.predict_incidence(new, [3, 9])[["estimate", "std_error"]])  # fmt: skip


@pytest.mark.parametrize("entry", [None, "entry"])
def test_fine_gray_does_not_see_the_scale_of_the_weights(
    entry: str | None, rows: pd.DataFrame
) -> None:
    small = rows.assign(w=rows["copies"] * 1e-9)
    one, other = (
        fine_gray("x", rows.assign(w=w), "time", "event", weights="w", entry=entry)
        for w in (rows["copies"], small["w"])
    )
    same(one.coefficients, other.coefficients)


def test_fine_gray_leaves_rows_of_weight_0_out(rows: pd.DataFrame) -> None:
    d = rows.assign(w=(rows["copies"] > 0) * 1, arm=np.where(rows["copies"] > 0, rows["sex"], 9))
    a = fine_gray("x + C(arm)", d, "time", "event", weights="w").coefficients
    same(a, fine_gray("x + C(arm)", d[d["w"] > 0], "time", "event").coefficients)


def test_early_entry_is_no_delayed_entry(rows: pd.DataFrame) -> None:
    a = fine_gray("x", rows.assign(zero=0.0), "time", "event", entry="zero")
    same(a.coefficients, fine_gray("x", rows, "time", "event").coefficients)


def test_covariates_may_be_scaled_and_moved(rows: pd.DataFrame) -> None:
    a = fine_gray("x + sex", rows, "time", "event").coefficients
    b = fine_gray("z + sex", rows.assign(z=1e6 + rows["x"] / 1e3), "time", "event").coefficients
    assert b["estimate"][0] == pytest.approx(1e3 * a["estimate"][0], rel=1e-6)
    assert b["statistic"].tolist() == pytest.approx(a["statistic"].tolist(), rel=1e-6)


def test_one_stratum_is_no_stratum(rows: pd.DataFrame) -> None:
    d = rows.assign(s="a")
    for more in ({"strata": "s"}, {"censoring_group": "s"}, {"strata": "s", "entry": "entry"}):
        plain = {k: v for k, v in more.items() if k == "entry"}
        a = fine_gray("x", d, "time", "event", **more).coefficients
        same(a, fine_gray("x", d, "time", "event", **plain).coefficients)


@pytest.mark.parametrize("strata", [None, "sex"])
def test_without_competing_events_it_is_a_cox_model(strata: str | None, rows: pd.DataFrame) -> None:
    from ketamine_outcomes.estimators import cox

    d = rows.assign(event=(rows["event"] == 1) * 1, w=1.5 + rows["copies"])
    call = {"formula": "x", "data": d, "time": "time", "event": "event", "strata": strata}
    for more in ({}, {"entry": "entry"}):
        a = fine_gray(**call, **more, weights="w", cluster="site")
        b = cox(**call, **more, weights="w", cluster="site", ties="breslow")
        same(a.coefficients, b.coefficients, 1e-8)
        assert a.log_likelihood == pytest.approx(b.log_likelihood)


def jackknife(d: pd.DataFrame, unit: pd.Series, new: pd.DataFrame, **call: Any) -> np.ndarray:
    """Standard errors of the coefficients and curves by numerical derivatives in the weights."""
    total, h = 0.0, 1e-5
    for one in unit.unique():
        moved = []
        for sign in (1, -1):
            w = d["w"] * (1 + sign * h * (unit == one))
            fit = fine_gray(data=d.assign(w=w), weights="w", **call)
            curve = fit.predict_incidence(new, [4, 8])
            moved.append(np.r_[fit.coefficients["estimate"], curve["estimate"]])
        total = total + ((moved[0] - moved[1]) / (2 * h)) ** 2
    return np.sqrt(total)


@pytest.mark.parametrize("censored", [False, True])
def test_standard_errors_are_the_numerical_jackknife(censored: bool, rows: pd.DataFrame) -> None:
    """Exact without censoring; with it, crr leaves out terms of the order of 1 / n."""
    event = rows["event"] if censored else rows["event"].replace({0: 2})
    d = rows.assign(event=event, w=0.5 + rows["copies"])
    call = {"formula": "x", "time": "time", "event": "event", "strata": "sex"}
    fit = fine_gray(data=d, weights="w", cluster="site", **call)
    curve = fit.predict_incidence(d[:3], [4, 8])
    mine = np.r_[fit.coefficients["std_error"], curve["std_error"]]
    theirs = jackknife(d, d["site"], d[:3], **call)
    np.testing.assert_allclose(mine, theirs, rtol=0.02 if censored else 1e-6)


def test_predicted_curves(rows: pd.DataFrame) -> None:
    fit = fine_gray("x + C(arm)", rows, "time", "event", strata="sex")
    new = rows[:4].set_index(pd.Index(list("abcd")))
    every = fit.predict_incidence(new)
    assert every["group"].unique().tolist() == list("abcd")
    assert every["std_error"].isna().all()  # only at asked times
    shown = fit.predict_incidence(new, [5, 2, -1, 1e6], ci="log-log", level=0.9)
    assert shown["time"].tolist() == [-1, 2, 5, 1e6] * 4
    assert (shown["estimate"][::4] == 0).all()
    assert (shown["std_error"][::4] == 0).all()
    late = shown[shown["time"] == 5]
    assert ((late["ci_low"] < late["estimate"]) & (late["estimate"] < late["ci_high"])).all()
    for name, curve in every.groupby("group"):
        at = curve.loc[curve["time"] <= 5, "estimate"].iloc[-1]
        assert at == pytest.approx(late.loc[late["group"] == name, "estimate"].iloc[0])
    assert every.groupby("group")["n_events"].sum().tolist() == [
        ((rows["event"] == 1) & (rows["sex"] == s)).sum() for s in rows["sex"][:4]
    ]


def test_prediction_refuses(rows: pd.DataFrame) -> None:
    fit = fine_gray("x + C(arm)", rows, "time", "event", strata="sex")
    for text, bad in (
        ("never saw", lambda: fit.predict_incidence(rows[:1].assign(arm=7))),
        ("never saw", lambda: fit.predict_incidence(rows[:1].assign(sex=7))),
        ("no column 'sex'", lambda: fit.predict_incidence(rows[["x", "arm"]])),
        ("lacks a column", lambda: fit.predict_incidence(rows[["x", "sex"]])),
        ("no row", lambda: fit.predict_incidence(rows[:0])),
        ("DataFrame", lambda: fit.predict_incidence(None)),
        ("finite", lambda: fit.predict_incidence(rows[:1], [np.nan])),
        ("times must", lambda: fit.predict_incidence(rows[:1], "soon")),
        ("finite", lambda: fit.predict_incidence(rows[:1].assign(x=np.inf))),
        ("ci must", lambda: fit.predict_incidence(rows[:1], ci="wald")),
        ("level", lambda: fit.predict_incidence(rows[:1], level=2)),
    ):
        with pytest.raises(InvalidInput, match=text):
            bad()


def test_fine_gray_refuses(rows: pd.DataFrame) -> None:
    def call(d: pd.DataFrame = rows, formula: str = "x", **more: Any) -> None:
        fine_gray(formula, d, "time", "event", **more)

    for text, bad in (
        ("cause must", lambda: call(cause=0)),
        ("cause must", lambda: call(cause=1.5)),
        ("no column 'w'", lambda: call(weights="w")),
        ("negative weights", lambda: call(rows.assign(w=-1.0), weights="w")),
        ("finite", lambda: call(rows.assign(x=np.inf))),
        ("no term", lambda: call(formula="1")),
        ("at or after", lambda: call(rows.assign(entry=rows["time"]), entry="entry")),
        ("no row is complete", lambda: call(rows[:0], weights="copies")),
    ):
        with pytest.raises(InvalidInput, match=text):
            bad()
    for text, bad in (
        ("no event of cause 3", lambda: call(cause=3)),
        ("does not vary", lambda: call(rows.assign(x=1.0))),
        ("does not vary", lambda: call(rows[rows["event"] == 1][:1])),
        ("does not vary among", lambda: call(strata="x2", d=rows.assign(x2=rows["x"] > 0,
                                             x=np.sign(rows["x"])))),
        ("collinear", lambda: call(formula="x + I(2 * x)")),
        ("monotone: 'x'", lambda: call(rows.assign(x=(rows["event"] == 1) * 1.0))),
        ("every weight", lambda: call(rows.assign(w=0.0), weights="w")),
        ("one cluster", lambda: call(rows.assign(c="a"), cluster="c")),
    ):  # fmt: skip
        with pytest.raises(NotEstimable, match=text):
            bad()


def test_all_events_at_one_time(rows: pd.DataFrame) -> None:
    d = rows.assign(time=4.0)
    fit = fine_gray("x", d, "time", "event")
    risk = np.exp(fit.coefficients["estimate"][0] * d["x"])
    mean = (risk * d["x"]).sum() / risk.sum()
    assert (d["x"] - mean)[d["event"] == 1].sum() == pytest.approx(0, abs=1e-9)
    curve = fit.predict_incidence(pd.DataFrame({"x": [0.0]}), [4])
    hazard = (d["event"] == 1).sum() / risk.sum()
    assert curve["estimate"][0] == pytest.approx(1 - np.exp(-hazard))


def test_a_gap_in_follow_up_needs_no_weight_across_it() -> None:
    d = pd.DataFrame(
        {
            "s": [0, 0, 5, 5, 5, 5, 5, 5.0],
            "t": [1, 2, 6, 7, 8, 9, 10, 11.0],
            "e": [1, 0, 2, 1, 0, 1, 1, 2],
            "x": [0.3, 1, 0, 1, 2, 0.5, 3, 1],
        }
    )
    fit = fine_gray("x", d, "t", "e", entry="s")
    assert np.isfinite(fit.coefficients["estimate"]).all()
    across = d.assign(e=[2, 0, 2, 1, 0, 1, 1, 2])
    with pytest.raises(NotEstimable, match="nobody is under observation"):
        fine_gray("x", across, "t", "e", entry="s")


def test_no_message_holds_a_value(rows: pd.DataFrame) -> None:
    secret = rows.assign(name=[f"SECRET{i % 2}" for i in range(len(rows))])
    for call in (
        lambda: aalen_johansen(secret, "time", "name"),
        lambda: aalen_johansen(secret, "time", "event", weights="name"),
        lambda: gray_test(secret, "name", "event", "arm"),
        lambda: fine_gray("x", secret, "time", "event", weights="name"),
        lambda: fine_gray("np.log(name)", secret, "time", "event"),
    ):
        with pytest.raises(EstimationError) as caught:
            call()
        assert "SECRET" not in str(caught.value)
        assert caught.value.__cause__ is None


def test_gray_leaves_strata_without_the_cause_out(rows: pd.DataFrame) -> None:
    extra = rows.head(8).assign(event=[0, 2] * 4)
    both = pd.concat([rows.assign(part=1), extra.assign(part=2)])
    want = gray_test(rows, "time", "event", "arm").table
    pd.testing.assert_frame_equal(
        gray_test(both, "time", "event", "arm", strata="part").table, want, rtol=1e-12
    )


def test_censorings_at_time_0_do_not_count() -> None:
    d = pd.DataFrame(
        {
            "t": [0, 0, 0, 0, 1, 2, 2, 3, 4, 5, 6, 7, 8, 9],
            "e": [0, 0, 2, 2, 1, 2, 0, 1, 1, 2, 1, 0, 1, 0],
            "x": [0, 1, 1, 3, 0, 2, 1, 2, 0, 1, 2, 0, 1, 0],
        }
    )
    fit = fine_gray("x", d, "t", "e")
    # cmprsk 2.2-11: crr(d$t, d$e, d$x): coef, sqrt(diag(var)), loglik
    row = fit.coefficients.iloc[0]
    assert row["estimate"] == pytest.approx(-0.163158241350336, rel=1e-8)
    assert row["std_error"] == pytest.approx(0.452151492319298, rel=1e-8)
    assert fit.log_likelihood == pytest.approx(-10.383227798860394, rel=1e-12)


def test_a_row_is_at_risk_of_a_prediction_after_its_entry(rows: pd.DataFrame) -> None:
    fit = fine_gray("x", rows, "time", "event", entry="entry")
    times = np.arange(1.0, 8.0)
    curve = fit.predict_incidence(rows[:1], times)
    assert rows["entry"].isin(times).any()
    seen = [((rows["entry"] < t) & (rows["time"] >= t)).sum() for t in times]
    assert curve["n_at_risk"].tolist() == seen


def test_rows_after_an_event_are_not_joined_to_it(rows: pd.DataFrame) -> None:
    hit = rows[rows["event"] == 1]
    after = hit.assign(entry=hit["time"], time=hit["time"] + 2, event=0)
    d = pd.concat([rows, after])
    fit = fine_gray("x", d, "time", "event", entry="entry", cluster="id")
    assert fit.diagnostics["n_joined"] == 0
    plain = fine_gray("x", d, "time", "event", entry="entry")
    assert fit.log_likelihood == plain.log_likelihood
