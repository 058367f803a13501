"""Edges and properties of the single-case table; the R numbers are in tests/golden."""

from __future__ import annotations

from collections.abc import Callable
from itertools import combinations

import numpy as np
import pandas as pd
import pytest

from ketamine_outcomes.estimators import InvalidInput, NotEstimable, Result, single_case

AB = ["A"] * 6 + ["B"] * 8
Y = np.array([7.0, 8, 6, 7, 9, 7, 5, 4, 6, 4, 3, 5, 7, 3])
KEYS = ["measure", "method", "phases"]


def rows(result: Result) -> pd.DataFrame:
    return result.table.set_index(KEYS).sort_index()


def one(result: Result, measure: str, method: str | None = None) -> pd.Series:
    table = result.table
    found = table[(table["measure"] == measure) & (table["method"].eq(method) | (method is None))]
    assert len(found) == 1
    return found.iloc[0]


# --------------------------------------------------------------------------------- the input


@pytest.mark.parametrize(
    ("labels", "names"),
    [
        (["A", "A", "B", "B", "A", "A", "B", "B"], ("A1", "B1", "A2", "B2")),
        (["A1", "A1", "B1", "B1", "A2", "A2", "B2", "B2"], ("A1", "B1", "A2", "B2")),
        ([0, 0, 1, 1, 0, 0, 1, 1], ("A1", "B1", "A2", "B2")),
        ([True] * 4 + [False] * 4, ("A1", "B1")),
        (["off"] * 3 + ["on"] * 3 + ["off"] * 2, ("A1", "B1", "A2")),
        (pd.Categorical(["x"] * 4 + ["a"] * 4, ["a", "unused", "x"]), ("A1", "B1")),
    ],
)
def test_phases_are_runs_of_two_conditions_baseline_first(
    labels: list[object], names: tuple[str, ...]
) -> None:
    assert single_case(Y[:8], labels).diagnostics["phases"] == names


def test_time_order_not_row_order_counts() -> None:
    time = np.array([3.0, 5, 6, 8, 13, 14, 20, 21, 22, 29, 30, 33, 40, 41])
    shuffled = np.random.default_rng(2).permutation(14)
    given = pd.DataFrame({"y": Y, "phase": AB, "t": time}).iloc[shuffled]
    pd.testing.assert_frame_equal(
        single_case(given["y"], given["phase"], given["t"]).table,
        single_case(Y, AB, time).table,
    )


def test_missing_values_are_left_out_but_keep_their_place() -> None:
    y = Y.copy()
    y[[2, 9]] = np.nan
    result = single_case(y, AB)
    assert result.diagnostics["n_dropped"] == 2
    kept = ~np.isnan(y)
    same = single_case(Y[kept], np.array(AB)[kept], np.flatnonzero(kept))
    pd.testing.assert_frame_equal(result.table, same.table)


@pytest.mark.parametrize(
    "call",
    [
        lambda: single_case([], []),
        lambda: single_case([np.nan] * 14, AB),
        lambda: single_case([np.inf] * 14, AB),
        lambda: single_case([1e200] * 14, AB),
        lambda: single_case(["secret"] * 14, AB),
        lambda: single_case(Y, AB[:13]),
        lambda: single_case(Y, AB, [1] * 14),
        lambda: single_case(Y, AB, np.arange(14).astype("datetime64[D]")),
        lambda: single_case(Y, list("ABCABCABCABCAB")),
        lambda: single_case(Y, AB, level=0),
        lambda: single_case(Y, AB, improvement="up"),
        lambda: single_case(Y, AB, min_phase=0),
        lambda: single_case(Y, AB, lag=-1),
        lambda: single_case(Y, AB, lag="x"),
    ],
)
def test_wrong_input_is_refused_without_showing_values(call: Callable[[], Result]) -> None:
    with pytest.raises(InvalidInput) as error:
        call()
    assert "secret" not in str(error.value)


@pytest.mark.parametrize("labels", [["A"], ["A", "A"]])
def test_one_phase_is_not_estimable(labels: list[str]) -> None:
    with pytest.raises(NotEstimable):
        single_case(Y[: len(labels)], labels)


# ------------------------------------------------------------------------------- the numbers


def test_two_values_give_what_two_values_can() -> None:
    result = single_case([7, 4], ["A", "B"])
    assert one(result, "tau_A_vs_B")["estimate"] == 1
    nap = one(result, "nap", "hanley_mcneil")
    assert 0 < nap["ci_low"] < 0.5 and nap["ci_high"] == 1
    level = one(result, "level", "gls_ar1_reml")
    assert np.isnan(level["estimate"]) and "more than 3 values" in level["note"]
    assert one(result, "phase_permutation")["p_value"] == 1


@pytest.mark.parametrize("y", [[3.0] * 14, [3.0] * 6 + [1.0] * 8, list(range(14))])
def test_an_exact_fit_has_no_standard_error(y: list[float]) -> None:
    result = single_case(y, AB)
    for method in ("ols", "newey_west_lag2", "gls_ar1_ml", "gls_ar1_reml"):
        row = one(result, "level", method)
        assert np.isnan(row["std_error"]) and row["note"]


def test_every_missing_number_has_its_reason() -> None:
    for y in (Y, -Y, np.zeros(14), np.r_[np.full(6, 7.1), np.full(8, 3.3)]):
        table = single_case(y, AB).table
        missing = table[table["estimate"].isna()]
        assert (missing["note"] != "").all()


def test_perfect_separation_keeps_an_interval() -> None:
    row = one(single_case(np.r_[np.full(6, 8.0), np.full(8, 3.0)], AB), "nap", "hanley_mcneil")
    assert row["estimate"] == row["ci_high"] == 1
    assert 0.5 < row["ci_low"] < 1


def test_increase_turns_overlap_round_and_nothing_else() -> None:
    down, up = single_case(Y, AB), single_case(-Y, AB, improvement="increase")
    for measure in ("nap", "tau_A_vs_B", "tau_u_A_vs_B_plus_trend_B", "pem", "pnd_percent"):
        a, b = (r.table.loc[r.table["measure"] == measure, "estimate"] for r in (down, up))
        np.testing.assert_allclose(a, b)
    assert one(up, "level", "ols")["estimate"] == pytest.approx(
        -one(down, "level", "ols")["estimate"]
    )


def test_combined_error_is_that_of_a_weighted_mean_of_independent_pairs() -> None:
    y = [7.0, 6, 8, 7, 5, 6, 7, 8, 7, 9, 8, 6, 4, 7]
    labels = ["A"] * 4 + ["B"] * 3 + ["A"] * 2 + ["B"] * 5
    table = rows(single_case(y, labels))
    share = np.array([12, 10]) / 22
    for measure, method in (
        ("nap", "delong"),
        ("log_response_ratio", "log of the ratio of means"),
    ):
        errors = [table.loc[(measure, method, pair), "std_error"] for pair in ("A1-B1", "A2-B2")]
        assert min(errors) > 0
        whole = table.loc[(measure, method, "combined"), "std_error"]
        assert whole == pytest.approx(np.sqrt((share**2) @ np.square(errors)), rel=1e-12)


def test_scale_and_shift() -> None:
    base, moved = rows(single_case(Y, AB)), rows(single_case(100 + 10 * Y, AB))
    for measure in ("nap", "tau_A_vs_B", "mann_whitney"):
        np.testing.assert_allclose(base.loc[measure, "estimate"], moved.loc[measure, "estimate"])
    for method in ("ols", "newey_west_lag2_adjusted", "gls_ar1_ml", "gls_ar1_reml"):
        for column in ("estimate", "std_error"):
            np.testing.assert_allclose(
                10 * base.loc[("level", method), column],
                moved.loc[("level", method), column],
                rtol=1e-6,
            )


def test_time_unit_scales_the_slope_only() -> None:
    days, hours = rows(single_case(Y, AB)), rows(single_case(Y, AB, 24.0 * np.arange(14)))
    for method in ("ols", "gls_ar1_reml"):
        np.testing.assert_allclose(
            days.loc[("slope", method), "estimate"],
            24 * hours.loc[("slope", method), "estimate"],
            rtol=1e-6,
        )
        np.testing.assert_allclose(
            days.loc[("level", method), "std_error"],
            hours.loc[("level", method), "std_error"],
            rtol=1e-6,
        )


@pytest.mark.parametrize("n", [2, 3, 7, 40])
def test_kendall_s_is_the_plain_count(n: int) -> None:
    y = np.random.default_rng(n).integers(0, 9, n).astype(float)
    plain = sum(np.sign(y[i] - y[j]) for i, j in combinations(range(n), 2))
    result = single_case(np.r_[y, y], ["A"] * n + ["B"] * n)
    assert one(result, "tau_trend_A")["statistic"] == plain


def test_exact_rank_test_is_the_plain_enumeration() -> None:
    y = np.array([3.0, 5, 5, 2, 1, 3, 2, 2])
    ranks, means = pd.Series(y).rank().to_numpy(), []
    for chosen in combinations(range(8), 3):
        means.append(ranks[list(chosen)].sum() - 3 * ranks.mean())
    p = np.mean(np.abs(means) >= abs(ranks[:3].sum() - 3 * ranks.mean()) - 1e-9)
    row = one(single_case(y, ["A"] * 3 + ["B"] * 5), "mann_whitney", "exact")
    assert row["p_value"] == pytest.approx(p)


@pytest.mark.parametrize("phases", [2, 3, 4])
def test_permutation_counts_every_place_once(phases: int) -> None:
    n, shortest = 14, 3
    labels = np.repeat(list("ABAB")[:phases], [3, 4, 3, 4][:phases])
    labels = np.r_[labels, [labels[-1]] * (n - labels.size)]
    places = [
        cut
        for cut in combinations(range(1, n), phases - 1)
        if np.diff([0, *cut, n]).min() >= shortest
    ]

    def difference(cut: tuple[int, ...]) -> float:
        treated = np.searchsorted(cut, np.arange(n), side="right") % 2 == 1
        return float(Y[treated].mean() - Y[~treated].mean())

    values = np.array([difference(cut) for cut in places])
    row = one(single_case(Y, labels, min_phase=shortest), "phase_permutation")
    assert row["note"] == f"{len(places)} places of the phase changes"
    assert row["p_less"] == pytest.approx((values <= row["statistic"] + 1e-9).mean())
    assert row["min_p"] == 1 / len(places)


def test_too_many_places_give_no_p_value() -> None:
    y = np.random.default_rng(1).normal(size=200)
    row = one(single_case(y, np.repeat(["A", "B"] * 5, 20)), "phase_permutation")
    assert np.isnan(row["p_value"]) and "too many" in row["note"]


@pytest.mark.parametrize(
    ("lengths", "rating"), [((9, 9), 0), ((5, 5, 5), 0), ((5, 4, 5, 5), 1), ((5, 2, 5, 5), 0)]
)
def test_design_rating(lengths: tuple[int, ...], rating: int) -> None:
    labels = np.repeat(list("ABAB")[: len(lengths)], lengths)
    y = np.random.default_rng(1).normal(size=labels.size)
    assert one(single_case(y, labels), "design_rating")["estimate"] == rating


def test_a_phase_of_one_value_has_no_newey_west_error() -> None:
    table = single_case(Y, ["A"] + ["B"] * 13)
    assert np.isfinite(one(table, "level", "ols")["std_error"])
    row = one(table, "level", "newey_west_lag2")
    assert np.isnan(row["std_error"]) and "fitted exactly" in row["note"]


def test_a_correlation_at_its_limit_is_refused_not_guessed() -> None:
    alternating = np.tile([1.0, -1.0], 20) + 5.0 * (np.arange(40) >= 20)
    row = one(single_case(alternating, ["A"] * 20 + ["B"] * 20), "level", "gls_ar1_ml")
    assert np.isnan(row["estimate"]) and row["note"]


@pytest.mark.parametrize("seed", range(30))
def test_short_series_never_give_another_error(seed: int) -> None:
    rng = np.random.default_rng(seed)
    n = int(rng.integers(2, 13))
    y = rng.integers(0, 4, n).astype(float)
    labels = np.where(np.arange(n) >= rng.integers(1, n), "B", "A")
    table = single_case(y, labels, np.sort(rng.choice(50, n, replace=False))).table
    assert table["p_value"].dropna().between(0, 1).all()
    assert (table["std_error"].dropna() >= 0).all()


def test_gls_recovers_known_errors() -> None:
    rng, hits = np.random.default_rng(5), []
    for _ in range(40):
        noise = rng.normal(size=120)
        for i in range(1, 120):
            noise[i] = 0.5 * noise[i - 1] + np.sqrt(0.75) * noise[i]
        result = single_case(noise + 2.0 * (np.arange(120) >= 60), ["A"] * 60 + ["B"] * 60)
        hits.append(
            [
                one(result, "level", "gls_ar1_reml")["estimate"],
                one(result, "autocorrelation", "gls_ar1_reml")["estimate"],
            ]
        )
    level, correlation = np.mean(hits, axis=0)
    assert level == pytest.approx(2.0, abs=0.25)
    assert correlation == pytest.approx(0.5, abs=0.07)
