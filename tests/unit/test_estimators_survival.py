"""Survival curves, log-rank tests, restricted means and recurrent events: edges and properties."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest

from ketamine_outcomes import estimators as est
from ketamine_outcomes.estimators import InvalidInput, NotEstimable, Result

Call = Callable[[pd.DataFrame], pd.DataFrame]


@pytest.fixture
def cohort() -> pd.DataFrame:
    """Delayed entries, whole days (many ties), two causes, weights, six sites, three arms."""
    rng = np.random.default_rng(20)
    n = 90
    time = np.ceil(rng.exponential(9, n))
    return pd.DataFrame(
        {
            "time": time,
            "entry": np.where(rng.random(n) < 0.5, 0, np.floor(rng.uniform(0, 0.9, n) * time)),
            "event": rng.integers(0, 3, n),
            "arm": rng.choice(["a", "b", "c"], n),
            "site": rng.integers(0, 6, n),
            "weight": rng.uniform(0.3, 3, n).round(2),
            "copies": rng.integers(0, 4, n),
        }
    )


@pytest.fixture
def recurrences() -> pd.DataFrame:
    """Forty subjects with up to four rows, some of whom die (code 2)."""
    rng = np.random.default_rng(21)
    rows = []
    for subject in range(40):
        ends = np.cumsum(rng.integers(1, 6, rng.integers(1, 5)))
        event = np.ones(ends.size, int)
        event[-1] = rng.integers(0, 3)
        starts = np.r_[0, ends[:-1]]
        rows.append(
            pd.DataFrame(
                {"id": subject, "entry": starts, "time": ends, "event": event, "arm": subject % 2}
            )
        )
    return pd.concat(rows, ignore_index=True)


LATE = {"time": "time", "event": "event", "entry": "entry"}
CALLS: dict[str, Call] = {
    "kaplan_meier": lambda d: est.kaplan_meier(d, **LATE, group="arm").curve,
    "kaplan_meier robust": lambda d: (
        est.kaplan_meier(d, **LATE, group="arm", weights="weight", cluster="site").curve
    ),
    "survival_quantiles": lambda d: est.survival_quantiles(d, **LATE, group="arm").table,
    "logrank": lambda d: est.logrank(d, **LATE, group="arm", strata="site", rho=1).table,
    "rmst": lambda d: est.rmst(d, **LATE, tau=12, group="arm").table,
    "time lost": lambda d: (
        est.restricted_mean_time_lost(d, **LATE, tau=12, cause=2, group="arm").table
    ),
}


def numbers(table: pd.DataFrame) -> np.ndarray:
    return table.select_dtypes("number").to_numpy(dtype=float)


def same(a: pd.DataFrame, b: pd.DataFrame, rtol: float = 1e-10) -> None:
    np.testing.assert_allclose(numbers(a), numbers(b), rtol=rtol, atol=1e-12)


# ---------------------------------------------------------------------------------- properties


@pytest.mark.parametrize("name", CALLS)
def test_row_order_does_not_matter(cohort: pd.DataFrame, name: str) -> None:
    same(CALLS[name](cohort), CALLS[name](cohort.sample(frac=1, random_state=1)))


@pytest.mark.parametrize("name", CALLS)
def test_same_input_gives_same_bytes(cohort: pd.DataFrame, name: str) -> None:
    once, again = CALLS[name](cohort), CALLS[name](cohort.copy())
    pd.testing.assert_frame_equal(once, again, check_exact=True)


@pytest.mark.parametrize("name", CALLS)
def test_names_of_the_groups_do_not_matter(cohort: pd.DataFrame, name: str) -> None:
    renamed = cohort.assign(arm=cohort["arm"].map({"a": 3, "b": 10, "c": 20}))
    a, b = CALLS[name](cohort), CALLS[name](renamed)
    same(a, b[a.columns.difference(["group", "reference"], sort=False)])


@pytest.mark.parametrize("name", CALLS)
def test_an_empty_level_is_no_group(cohort: pd.DataFrame, name: str) -> None:
    arm = pd.Categorical(cohort["arm"], categories=["a", "b", "c", "never"])
    same(CALLS[name](cohort), CALLS[name](cohort.assign(arm=arm)))


@pytest.mark.parametrize("name", CALLS)
def test_rows_with_missing_values_are_left_out(cohort: pd.DataFrame, name: str) -> None:
    holes = cohort.copy()
    holes.loc[[3, 40], "arm"] = None
    holes.loc[7, "time"] = np.nan
    same(CALLS[name](holes), CALLS[name](cohort.drop([3, 7, 40])))


@pytest.mark.parametrize("scale", [1e-6, 365.25, 1e9])
def test_unit_of_time(cohort: pd.DataFrame, scale: float) -> None:
    d = cohort.assign(time=cohort["time"] * scale, entry=cohort["entry"] * scale)
    a, b = CALLS["kaplan_meier robust"](cohort), CALLS["kaplan_meier robust"](d)
    same(a.drop(columns="time"), b.drop(columns="time"))
    for call in (est.rmst, est.restricted_mean_time_lost):
        short = call(cohort, **LATE, tau=12.0, group="arm").table.set_index("measure")
        long = call(d, **LATE, tau=12.0 * scale, group="arm").table.set_index("measure")
        for column in ("estimate", "std_error", "ci_low", "ci_high"):
            for measure in ("mean", "difference"):
                np.testing.assert_allclose(
                    long.loc[measure, column], short.loc[measure, column] * scale, rtol=1e-9
                )
        same(long.loc[["ratio"]], short.loc[["ratio"]])


def split(d: pd.DataFrame, at: float) -> pd.DataFrame:
    """Every row that crosses `at` in two rows of the same subject."""
    d = d.assign(id=np.arange(len(d)))
    crosses = (d["entry"] < at) & (d["time"] > at)
    return pd.concat(
        [
            d[~crosses],
            d[crosses].assign(time=at, event=0),
            d[crosses].assign(entry=at),
        ]
    )


def test_splitting_rows_changes_nothing(cohort: pd.DataFrame) -> None:
    whole, parts = cohort.assign(id=np.arange(len(cohort))), split(cohort, 4.0)
    for robust in ({}, {"cluster": "id"}, {"cluster": "id", "weights": "weight"}):
        call = {**LATE, "group": "arm", **robust}
        a, b = est.kaplan_meier(whole, **call).curve, est.kaplan_meier(parts, **call).curve
        same(a, b.drop(columns="group").merge(a[["time"]].drop_duplicates()).iloc[: len(a)])
    same(CALLS["rmst"](whole), CALLS["rmst"](parts))
    same(CALLS["logrank"](whole), CALLS["logrank"](parts))


def test_whole_weights_are_copies(cohort: pd.DataFrame) -> None:
    copied = cohort.loc[cohort.index.repeat(cohort["copies"])]
    a = est.kaplan_meier(cohort, **LATE, group="arm", weights="copies")
    same(a.curve, est.kaplan_meier(copied, **LATE, group="arm").curve)
    assert a.diagnostics["variance"] == "greenwood"


def test_robust_error_does_not_know_the_scale_of_the_weights(cohort: pd.DataFrame) -> None:
    d = cohort.assign(heavy=cohort["weight"] * 1000.5)
    a = est.kaplan_meier(d, **LATE, weights="weight").curve.drop(columns=["n_at_risk", "n_events"])
    b = est.kaplan_meier(d, **LATE, weights="heavy").curve
    same(a, b[a.columns])


def test_a_row_of_weight_0_is_no_row(cohort: pd.DataFrame) -> None:
    d = cohort.assign(weight=np.where(cohort.index % 4 == 0, 0.0, cohort["weight"]))
    for robust in ({}, {"cluster": "site"}):
        call = {**LATE, "group": "arm", "weights": "weight", **robust}
        same(
            est.kaplan_meier(d, **call).curve,
            est.kaplan_meier(d[d["weight"] > 0], **call).curve,
        )


def test_robust_error_of_rows_is_greenwood_without_delayed_entry(cohort: pd.DataFrame) -> None:
    d = cohort.assign(id=np.arange(len(cohort)))
    a = est.kaplan_meier(d, "time", "event").curve
    b = est.kaplan_meier(d, "time", "event", cluster="id").curve
    same(a[a["estimate"] > 0], b[b["estimate"] > 0])


# ---------------------------------------------- against plain loops and a numerical jackknife


def survival_by_loop(d: pd.DataFrame, weight: np.ndarray, until: float) -> float:
    curve = 1.0
    for t in np.sort(d.loc[d["event"] > 0, "time"].unique()):
        if t <= until:
            n = weight[(d["entry"] < t) & (d["time"] >= t)].sum()
            curve *= 1 - weight[(d["time"] == t) & (d["event"] > 0)].sum() / n
    return curve


def time_lost_by_loop(d: pd.DataFrame, weight: np.ndarray, tau: float, cause: int) -> float:
    free, area = 1.0, 0.0
    for t in np.sort(d.loc[d["event"] > 0, "time"].unique()):
        if t < tau:
            n = weight[(d["entry"] < t) & (d["time"] >= t)].sum()
            now = (d["time"] == t).to_numpy()
            area += free * weight[now & (d["event"] == cause)].sum() / n * (tau - t)
            free *= 1 - weight[now & (d["event"] > 0)].sum() / n
    return area


def jackknife(
    statistic: Callable[[np.ndarray], float], weight: np.ndarray, unit: np.ndarray
) -> float:
    """Root of the summed squares of the numerical derivatives by unit."""
    total, h = 0.0, 1e-5
    for one in np.unique(unit):
        moved = np.where(unit == one, h, 0.0)
        up, down = statistic(weight * (1 + moved)), statistic(weight * (1 - moved))
        total += ((up - down) / (2 * h)) ** 2
    return float(np.sqrt(total))


def test_kaplan_meier_by_cluster_is_the_numerical_jackknife(cohort: pd.DataFrame) -> None:
    curve = est.kaplan_meier(cohort, **LATE, weights="weight", cluster="site").curve
    weight, site = cohort["weight"].to_numpy(), cohort["site"].to_numpy()
    for until in (2.0, 5.0, 12.0, 20.0):
        row = curve[curve["time"] <= until].iloc[-1]
        assert row["estimate"] == pytest.approx(survival_by_loop(cohort, weight, until))
        known = jackknife(lambda w, t=until: survival_by_loop(cohort, w, t), weight, site)
        assert row["std_error"] == pytest.approx(known, rel=1e-7)


@pytest.mark.parametrize("cause", [1, 2])
def test_time_lost_is_the_numerical_jackknife(cohort: pd.DataFrame, cause: int) -> None:
    one = np.ones(len(cohort))
    for tau in (3.5, 12.0):
        row = est.restricted_mean_time_lost(cohort, **LATE, tau=tau, cause=cause).table.iloc[0]
        assert row["estimate"] == pytest.approx(time_lost_by_loop(cohort, one, tau, cause))
        known = jackknife(
            lambda w, t=tau: time_lost_by_loop(cohort, w, t, cause), one, np.arange(len(cohort))
        )
        assert row["std_error"] == pytest.approx(known, rel=1e-7)


def test_time_alive_and_time_lost_add_up(cohort: pd.DataFrame) -> None:
    for tau in (3.5, 12.0, 15.0):
        alive = est.rmst(cohort, **LATE, tau=tau, group="arm").table
        lost = [
            est.restricted_mean_time_lost(cohort, **LATE, tau=tau, cause=c, group="arm").table
            for c in (1, 2)
        ]
        total = sum(table["estimate"] for table in (alive, *lost))
        np.testing.assert_allclose(total[alive["measure"] == "mean"], tau)
        np.testing.assert_allclose(total[alive["measure"] == "difference"], 0, atol=1e-12)


def test_kaplan_meier_and_logrank_agree_with_lifelines(cohort: pd.DataFrame) -> None:
    from lifelines import KaplanMeierFitter
    from lifelines.statistics import multivariate_logrank_test

    d = cohort.assign(hit=cohort["event"] > 0)
    curve = est.kaplan_meier(d, "time", "event").curve
    theirs = KaplanMeierFitter().fit(d["time"], d["hit"]).survival_function_.iloc[1:, 0]
    np.testing.assert_allclose(curve["estimate"], theirs, rtol=1e-12)
    test = multivariate_logrank_test(d["time"], d["arm"], d["hit"])
    row = est.logrank(d, "time", "event", "arm").table.iloc[0]
    assert row["statistic"] == pytest.approx(test.test_statistic, rel=1e-10)
    assert row["p_value"] == pytest.approx(test.p_value, rel=1e-10)


# --------------------------------------------------------------------------------- Kaplan-Meier


def test_events_all_at_one_time_leave_exactly_nobody() -> None:
    # the weights do not sum exactly; the curve must still be exactly 0, not a rounding error
    d = pd.DataFrame({"t": [1.0, 2.0, 2.0, 2.0], "e": [0, 1, 1, 1], "w": [0.7, 0.1, 0.2, 0.3]})
    curve = est.kaplan_meier(d, "t", "e", weights="w").curve
    assert curve["estimate"].tolist() == [1.0, 0.0]
    assert curve["std_error"].tolist() == [0.0, 0.0]


def test_clusters_that_do_not_vary_have_no_error() -> None:
    d = pd.DataFrame({"t": [1.0, 2.0, 1.0, 2.0], "e": [1, 0, 1, 0], "id": [1, 1, 2, 2]})
    assert est.kaplan_meier(d, "t", "e", cluster="id").curve["std_error"].tolist() == [0.0, 0.0]


def test_a_curve_that_dies_out_early_says_so() -> None:
    d = pd.DataFrame({"a": [0.0, 2.0, 2.0], "t": [1.0, 3.0, 4.0], "e": [1, 1, 0]})
    result = est.kaplan_meier(d, "t", "e", entry="a")
    assert (result.curve["estimate"] == 0).all()
    assert result.diagnostics["n_after_zero"] == 2
    assert est.rmst(d, "t", "e", 3, entry="a").diagnostics["n_after_zero"] == 2


def test_weights_that_are_refused(cohort: pd.DataFrame) -> None:
    for weight, message in ((-1.0, "negative"), (np.inf, "not finite")):
        with pytest.raises(InvalidInput, match=message):
            est.kaplan_meier(cohort.assign(w=weight), "time", "event", weights="w")
    with pytest.raises(NotEstimable, match="0"):
        est.kaplan_meier(cohort.assign(w=0), "time", "event", weights="w")


def test_one_cluster_in_a_group_has_no_robust_error(cohort: pd.DataFrame) -> None:
    d = cohort.assign(site=np.where(cohort["arm"] == "a", 0, cohort["site"]))
    with pytest.raises(NotEstimable, match="one cluster"):
        est.kaplan_meier(d, "time", "event", group="arm", cluster="site")


# ------------------------------------------------------------------------------------ quantiles


@pytest.mark.parametrize(
    ("events", "known"),
    [
        ([1, 1, 1, 1], [1.5, 2.5, 3.5]),
        ([1, 1, 0, 0], [1.5, 3.0, np.nan]),  # the flat stretch at 1/2 ends with follow-up
        ([1, 0, 1, 0], [2.0, 3.0, np.nan]),
        ([0, 0, 0, 0], [np.nan, np.nan, np.nan]),
    ],
)
def test_quantiles_at_a_flat_stretch(events: list[int], known: list[float]) -> None:
    d = pd.DataFrame({"t": [1, 2, 3, 4], "e": events})
    table = est.survival_quantiles(d, "t", "e").table
    np.testing.assert_array_equal(table["estimate"], known)


def test_median_of_a_curve_that_reaches_0() -> None:
    table = est.survival_quantiles(pd.DataFrame({"t": [3], "e": [1]}), "t", "e", q=(0.5, 1)).table
    assert table["estimate"].tolist() == [3.0, 3.0]
    assert table[["ci_low", "ci_high"]].isna().all(axis=None)


@pytest.mark.parametrize("q", [(), (0,), (1.1,), (np.nan,), ((0.1, 0.2), (0.3, 0.4))])
def test_shares_that_are_refused(cohort: pd.DataFrame, q: Any) -> None:
    with pytest.raises(InvalidInput, match="q must hold"):
        est.survival_quantiles(cohort, "time", "event", q)


# ------------------------------------------------------------------------------------- log-rank


def test_equal_groups_do_not_differ(cohort: pd.DataFrame) -> None:
    d = pd.concat([cohort.assign(arm=0), cohort.assign(arm=1)])
    row = est.logrank(d, **LATE, group="arm", strata="site").table.iloc[0]
    assert row["statistic"] == pytest.approx(0, abs=1e-20)
    assert row["p_value"] == pytest.approx(1)


def test_one_stratum_is_no_stratum(cohort: pd.DataFrame) -> None:
    for rho in (0, 0.5, 1):
        plain = est.logrank(cohort, **LATE, group="arm", rho=rho)
        strata = est.logrank(cohort.assign(s=1), **LATE, group="arm", strata="s", rho=rho)
        same(plain.table, strata.table)
        same(plain.covariance, strata.covariance)


def test_strata_add_up(cohort: pd.DataFrame) -> None:
    whole = est.logrank(cohort, **LATE, group="arm", strata="site", rho=1)
    parts = [est.logrank(d, **LATE, group="arm", rho=1) for _, d in cohort.groupby("site")]
    same(whole.covariance, sum(part.covariance for part in parts))
    for arm in "abc":
        for what in ("observed", "expected"):
            total = sum(part.diagnostics[what][arm] for part in parts)
            assert whole.diagnostics[what][arm] == pytest.approx(total)


def test_a_group_that_leaves_before_any_event_costs_no_df() -> None:
    d = pd.DataFrame({"t": [1, 1, 2, 3, 4, 5], "e": [0, 0, 1, 1, 1, 0], "g": list("aabbcc")})
    assert est.logrank(d, "t", "e", "g").table["df"].tolist() == [1]


def test_logrank_refusals(cohort: pd.DataFrame) -> None:
    apart = pd.DataFrame({"t": [1, 2, 3, 4], "e": 1, "g": list("aabb"), "s": [1, 1, 2, 2]})
    with pytest.raises(NotEstimable, match="never at risk together"):
        est.logrank(apart, "t", "e", "g", strata="s")
    with pytest.raises(NotEstimable, match="no event"):
        est.logrank(cohort.assign(event=0), "time", "event", "arm")
    with pytest.raises(InvalidInput, match="one group"):
        est.logrank(cohort.assign(arm="a"), "time", "event", "arm")
    for rho in (-1, np.nan, np.inf):
        with pytest.raises(InvalidInput, match="rho"):
            est.logrank(cohort, "time", "event", "arm", rho=rho)


# ------------------------------------------------------------------------------ restricted means


def test_no_extrapolation() -> None:
    d = pd.DataFrame({"t": [1, 2, 3, 1, 2, 3], "e": [1, 1, 1, 1, 0, 0], "g": [0, 0, 0, 1, 1, 1]})
    for call in (est.rmst, est.restricted_mean_time_lost):
        with pytest.raises(NotEstimable, match="beyond the last follow-up"):
            call(d, "t", "e", 3.1, group="g")
        # a curve that has ended holds for any later time
        known = call(d[d["g"] == 0], "t", "e", 10).table["estimate"].iloc[0]
        assert known == pytest.approx(2 if call is est.rmst else 8)


def test_tau_before_the_first_event() -> None:
    d = pd.DataFrame({"t": [5, 6], "e": [1, 1], "g": [0, 1]})
    table = est.rmst(d, "t", "e", 4, group="g").table
    assert table["estimate"].tolist() == [4, 4, 0, 1]
    assert table["std_error"].tolist() == [0, 0, 0, 0]
    assert table["p_value"].isna().all()  # nothing varies: no test


def test_restricted_mean_refusals(cohort: pd.DataFrame) -> None:
    for tau in (0, -1, np.nan, np.inf):
        for call in (est.rmst, est.restricted_mean_time_lost):
            with pytest.raises(InvalidInput, match="tau"):
                call(cohort, "time", "event", tau)
    with pytest.raises(InvalidInput, match="cause"):
        est.restricted_mean_time_lost(cohort, "time", "event", 5, cause=0)
    with pytest.raises(NotEstimable, match="never occurs"):
        est.restricted_mean_time_lost(cohort, "time", "event", 5, cause=3)
    shifted = cohort.assign(time=cohort["time"] - 5, entry=cohort["entry"] - 5)
    with pytest.raises(InvalidInput, match="time 0"):
        est.rmst(shifted, **LATE, tau=2)


# ---------------------------------------------------------------------------- recurrent events

MCF = {"time": "time", "event": "event", "cluster": "id"}


def test_recurrences_in_any_order(recurrences: pd.DataFrame) -> None:
    for terminal in (None, 2):
        for entry in (None, "entry"):
            call = {**MCF, "entry": entry, "terminal": terminal, "group": "arm"}
            shuffled = recurrences.sample(frac=1, random_state=2)
            a = est.mean_cumulative_function(recurrences, **call).curve
            same(a, est.mean_cumulative_function(shuffled, **call).curve)


def test_rows_without_entry_follow_each_other(recurrences: pd.DataFrame) -> None:
    for terminal in (None, 2):
        a = est.mean_cumulative_function(recurrences, **MCF, entry="entry", terminal=terminal)
        b = est.mean_cumulative_function(recurrences, **MCF, terminal=terminal)
        pd.testing.assert_frame_equal(a.curve, b.curve)


def test_two_recurrences_of_a_subject_at_one_time_count_twice() -> None:
    d = pd.DataFrame({"id": [1, 1, 1, 2], "time": [2, 2, 5, 4], "event": [1, 1, 0, 0]})
    curve = est.mean_cumulative_function(d, **MCF).curve
    assert curve["estimate"].tolist() == [1.0, 1.0, 1.0]
    assert curve["n_at_risk"].tolist() == [2, 2, 1]
    assert curve["std_error"].iloc[0] == pytest.approx(np.sqrt(2 * (1 / 2) ** 2))


def test_splitting_a_subject_changes_no_mean(recurrences: pd.DataFrame) -> None:
    at = 3.0
    crosses = (recurrences["entry"] < at) & (recurrences["time"] > at)
    parts = pd.concat(
        [
            recurrences[~crosses],
            recurrences[crosses].assign(time=at, event=0),
            recurrences[crosses].assign(entry=at),
        ]
    )
    for terminal in (None, 2):
        call = {**MCF, "entry": "entry", "terminal": terminal}
        a = est.mean_cumulative_function(recurrences, **call).curve
        b = est.mean_cumulative_function(parts, **call).curve
        same(a, b[b["time"].isin(a["time"])])


def test_without_deaths_ghosh_lin_is_lawless_nadeau(recurrences: pd.DataFrame) -> None:
    d = recurrences.assign(event=recurrences["event"] % 2)
    a = est.mean_cumulative_function(d, **MCF, terminal=2).curve
    same(a, est.mean_cumulative_function(d, **MCF).curve)


def test_one_recurrence_each_is_the_nelson_aalen_sum(cohort: pd.DataFrame) -> None:
    d = cohort.assign(id=np.arange(len(cohort)), event=(cohort["event"] > 0) * 1)
    curve = est.mean_cumulative_function(d, **MCF, entry="entry").curve
    table = est.kaplan_meier(d, **LATE).curve
    np.testing.assert_allclose(
        curve["estimate"], np.cumsum(table["n_events"] / table["n_at_risk"]), rtol=1e-12
    )


def test_recurrent_refusals(recurrences: pd.DataFrame) -> None:
    d = recurrences
    cases: list[tuple[pd.DataFrame, dict[str, Any], type[Exception], str]] = [
        (pd.concat([d, d]), {"entry": "entry"}, InvalidInput, "begin before"),
        (d.assign(event=2), {"terminal": 2}, NotEstimable, "no recurrence"),
        (d.assign(arm=d.index), {"group": "arm"}, InvalidInput, "two groups"),
        (d.assign(id=d["arm"]), {"group": "arm"}, NotEstimable, "one subject"),
        (d, {"terminal": 1}, InvalidInput, "terminal"),
        (d, {"terminal": 2.5}, InvalidInput, "terminal"),
        (d.assign(time=d["entry"]), {"entry": "entry"}, InvalidInput, "at or after"),
    ]
    for data, call, error, message in cases:
        with pytest.raises(error, match=message):
            est.mean_cumulative_function(data, **MCF, **call)
    late = pd.concat([d, pd.DataFrame({"id": [0, 0], "time": [98, 99], "event": [2, 0]})])
    with pytest.raises(InvalidInput, match="terminal event"):
        est.mean_cumulative_function(late, **MCF, terminal=2)


# -------------------------------------------------------------------------------- hostile inputs


def test_the_module_of_the_logrank_test_does_not_hide_it() -> None:
    importlib.import_module("ketamine_outcomes.estimators.logrank")
    assert callable(est.logrank)


EVERY: dict[str, Callable[[pd.DataFrame], Result]] = {
    "kaplan_meier": lambda d: est.kaplan_meier(d, "t", "e", entry="a", cluster="id", weights="w"),
    "survival_quantiles": lambda d: est.survival_quantiles(d, "t", "e", entry="a", group="g"),
    "logrank": lambda d: est.logrank(d, "t", "e", "g", entry="a"),
    "rmst": lambda d: est.rmst(d, "t", "e", 1.0, entry="a", group="g"),
    "time lost": lambda d: est.restricted_mean_time_lost(d, "t", "e", 1.0, entry="a", group="g"),
    "mcf": lambda d: est.mean_cumulative_function(d, "t", "e", "id", entry="a", group="g"),
    "ghosh-lin": lambda d: est.mean_cumulative_function(d, "t", "e", "id", "a", terminal=2),
}
ROWS = pd.DataFrame(
    {
        "a": [0.0, 0.0, 1.0, 0.0, 0.5, 0.0],
        "t": [3.0, 4.0, 3.0, 4.0, 5.0, 6.0],
        "e": [1, 2, 0, 1, 2, 0],
        "g": list("ababab"),
        "id": range(6),
        "w": 1.5,
    }
)
HOSTILE: dict[str, pd.DataFrame] = {
    "no row": ROWS.iloc[:0],
    "one row": ROWS.iloc[:1],
    "two rows": ROWS.iloc[:2],
    "all missing": ROWS.assign(t=np.nan),
    "infinite time": ROWS.assign(t=np.inf),
    "text time": ROWS.assign(t="SECRET"),
    "text event": ROWS.assign(e="SECRET"),
    "negative event": ROWS.assign(e=-1),
    "half event": ROWS.assign(e=0.5),
    "entry at time": ROWS.assign(a=ROWS["t"]),
    "no event": ROWS.assign(e=0),
    "events at one time": ROWS.assign(t=4.0, e=1),
    "deaths at one time": ROWS.assign(t=4.0, e=2),
    "one group": ROWS.assign(g="SECRET"),
    "one cluster": ROWS.assign(id=7),
    "mixed group": ROWS.assign(g=["SECRET", 1, 2.0, "x", 3, 4]),
    "weight 0": ROWS.assign(w=0),
    "negative weight": ROWS.assign(w=-1),
    "no such column": ROWS[["a", "t", "e"]],
    "huge times": ROWS.assign(t=ROWS["t"] * 1e300),
    "tiny times": ROWS.assign(t=ROWS["t"] * 1e-300, a=-1.0),
    "boolean events": ROWS.assign(e=ROWS["e"] > 0),
    "nullable": ROWS.convert_dtypes(),
}


@pytest.mark.parametrize("data", HOSTILE)
@pytest.mark.parametrize("call", EVERY)
def test_a_right_answer_or_one_sentence(call: str, data: str) -> None:
    try:
        result = EVERY[call](HOSTILE[data])
    except est.EstimationError as refusal:
        assert "SECRET" not in str(refusal)
        assert refusal.__cause__ is None
        return
    table = result.table if result.curve.empty else result.curve
    if "measure" in table:
        table = table[table["measure"] != "ratio"]  # no ratio to a mean of 0
    if "estimate" in table and call != "survival_quantiles":  # a quantile may lie beyond the end
        assert np.isfinite(table["estimate"].to_numpy(dtype=float)).all()


def test_bad_level_and_interval(cohort: pd.DataFrame) -> None:
    for level in (0, 1, 95, np.nan):
        with pytest.raises(InvalidInput, match="level"):
            est.kaplan_meier(cohort, "time", "event", level=level)
        with pytest.raises(InvalidInput, match="level"):
            est.rmst(cohort, "time", "event", 5, level=level)
        with pytest.raises(InvalidInput, match="level"):
            est.mean_cumulative_function(cohort, "time", "event", "site", level=level)
    with pytest.raises(InvalidInput, match="ci must"):
        est.survival_quantiles(cohort, "time", "event", ci="logit")


def test_wider_level_wider_interval(cohort: pd.DataFrame) -> None:
    narrow = est.rmst(cohort, "time", "event", 5, group="arm", level=0.8).table
    wide = est.rmst(cohort, "time", "event", 5, group="arm", level=0.99).table
    assert (wide["ci_low"] < narrow["ci_low"]).all()
    assert (wide["ci_high"] > narrow["ci_high"]).all()


def test_rmst_has_no_ratio_to_zero_and_no_test_without_variation() -> None:
    rows = pd.DataFrame({"t": [5, 6, 7, 5, 6, 7], "e": [0, 0, 0, 0, 0, 0], "g": list("aaabbb")})
    table = est.rmst(rows, "t", "e", 4, group="g").table
    assert table["p_value"].isna().all() and table["statistic"].isna().all()
    rows["e"] = [0, 0, 0, 1, 1, 1]
    rows.loc[[3, 4, 5], "t"] = [1, 2, 3]
    table = est.restricted_mean_time_lost(rows, "t", "e", 4, group="g").table.set_index("measure")
    assert table.loc["difference", "estimate"] == pytest.approx(2)
    ratio = table.loc["ratio", ["estimate", "std_error", "p_value", "ci_low", "ci_high"]]
    assert ratio.isna().all()


@pytest.mark.parametrize(("gap", "surviving"), [(0.001, [0.5, 0.25]), (0.1, [0.75, 0.5, 0.25])])
def test_rounding_is_relative_to_the_size_of_the_times(gap: float, surviving: list[float]) -> None:
    # survfit(Surv(c(1e6, 1e6 + gap, 2e6, 3e6), c(1, 1, 1, 0)) ~ 1)$surv of survival 3.5-3
    d = pd.DataFrame({"t": [1e6, 1e6 + gap, 2e6, 3e6], "e": [1, 1, 1, 0]})
    assert est.kaplan_meier(d, "t", "e").curve["estimate"].tolist()[:-1] == surviving


def test_a_recurrence_at_the_time_of_death_comes_before_it() -> None:
    d = pd.DataFrame({"id": [1, 1, 1, 2, 3], "day": [3, 5, 5, 4, 6], "event": [1, 2, 1, 0, 2]})
    curve = est.mean_cumulative_function(d, "day", "event", "id", terminal=2).curve
    assert curve["estimate"].tolist() == pytest.approx([1 / 3, 1 / 3, 1 / 3 + 1 / 2, 5 / 6])
    assert curve["n_at_risk"].tolist() == [3, 3, 2, 1]


def test_logrank_of_groups_that_are_strata_is_refused_whatever_the_rounding() -> None:
    rows = pd.DataFrame(
        {"t": [1, 3, 3, 1, 3, 2, 3], "e": [1, 0, 0, 1, 1, 1, 1], "s": [3, 1, 3, 1, 3, 3, 3]}
    )
    with pytest.raises(NotEstimable, match="never at risk together"):
        est.logrank(rows, "t", "e", "s", strata="s", rho=0.7)
