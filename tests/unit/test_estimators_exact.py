"""Edges and properties of exact counts, two by two tables and paired tests."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product

import numpy as np
import pandas as pd
import pytest
from scipy import optimize, stats
from statsmodels.stats.proportion import confint_proportions_2indep

from ketamine_outcomes.estimators import (
    InvalidInput,
    NotEstimable,
    Result,
    exact_proportion,
    exact_rate,
    exact_rate_ratio,
    paired_exact,
    two_by_two,
)

SMALL = [q for q in product((0, 1, 3, 8), repeat=4) if q[0] + q[1] and q[2] + q[3]]


def rows(result: Result, key: str = "measure") -> pd.DataFrame:
    return result.table.set_index(key)


# ---------------------------------------------------------------------------------- counts


@pytest.mark.parametrize("mid_p", [False, True])
@pytest.mark.parametrize("events", [0, 1, 7, 250, 10**6, 10**9])
def test_rate_interval_has_the_stated_tails(events: int, mid_p: bool) -> None:
    row = exact_rate(events, 2.0, level=0.9, mid_p=mid_p).table.iloc[0]
    half = 0.5 if mid_p else 0.0
    law = stats.poisson(2.0 * row["ci_high"])
    assert law.cdf(events) - half * law.pmf(events) == pytest.approx(0.05, rel=1e-5)
    if events:
        law = stats.poisson(2.0 * row["ci_low"])
        assert law.sf(events - 1) - half * law.pmf(events) == pytest.approx(0.05, rel=1e-5)


@pytest.mark.parametrize("mid_p", [False, True])
@pytest.mark.parametrize(("events", "n"), [(0, 1), (1, 1), (3, 8), (8, 8), (17, 10**6)])
def test_proportion_of_non_events_mirrors_the_interval(events: int, n: int, mid_p: bool) -> None:
    one = exact_proportion(events, n, mid_p=mid_p).table.iloc[0]
    other = exact_proportion(n - events, n, mid_p=mid_p).table.iloc[0]
    assert one["ci_low"] == pytest.approx(1 - other["ci_high"], rel=1e-9, abs=1e-15)
    assert 0 <= one["ci_low"] <= one["estimate"] <= one["ci_high"] <= 1


def test_zero_events_always_carry_their_bound() -> None:
    assert exact_proportion(0, 1).table["ci_high"].iloc[0] == pytest.approx(0.975)
    assert exact_rate(0, 10).table["ci_high"].iloc[0] == pytest.approx(-np.log(0.025) / 10)
    row = exact_rate_ratio(0, 10, 4, 10).table.iloc[0]
    assert row["ci_low"] == 0 and np.isfinite(row["ci_high"])


def test_rate_ratio_turns_round_with_the_groups() -> None:
    one = exact_rate_ratio(3, 50, 9, 20).table.iloc[0]
    other = exact_rate_ratio(9, 20, 3, 50).table.iloc[0]
    assert one["estimate"] == pytest.approx(1 / other["estimate"])
    assert one["ci_low"] == pytest.approx(1 / other["ci_high"])
    assert one["p_value"] == pytest.approx(other["p_value"])


def test_rate_ratio_survives_extreme_exposures() -> None:
    row = exact_rate_ratio(5, 1e-300, 3, 1e300).table.iloc[0]
    assert row["p_value"] == 0 or row["p_value"] < 1e-300


@pytest.mark.parametrize(
    "call",
    [
        lambda: exact_rate(-1, 1),
        lambda: exact_rate(1.5, 1),
        lambda: exact_rate(float("nan"), 1),
        lambda: exact_rate("x", 1),
        lambda: exact_rate(1, 0),
        lambda: exact_rate(1, float("inf")),
        lambda: exact_rate(1, 1, level=1),
        lambda: exact_rate(1, 1, level="a"),
        lambda: exact_proportion(2, 1),
        lambda: exact_proportion(1, 10**10),
        lambda: two_by_two(1.5, 1, 1, 1),
        lambda: two_by_two(None, 1, 1, 1),
        lambda: two_by_two(1, 1, 1, -1),
        lambda: paired_exact([]),
        lambda: paired_exact([np.nan]),
        lambda: paired_exact([np.inf]),
        lambda: paired_exact([1e200]),
        lambda: paired_exact(["a"]),
        lambda: paired_exact([[7, 5], [8, 4]]),
    ],
)
def test_wrong_input_is_refused(call: Callable[[], Result]) -> None:
    with pytest.raises(InvalidInput):
        call()


@pytest.mark.parametrize(
    "call",
    [
        lambda: exact_proportion(0, 0),
        lambda: exact_rate_ratio(0, 1, 0, 1),
        lambda: two_by_two(0, 0, 1, 1),
        lambda: two_by_two(1, 1, 0, 0),
    ],
)
def test_nothing_observed_is_not_estimable(call: Callable[[], Result]) -> None:
    with pytest.raises(NotEstimable):
        call()


# ------------------------------------------------------------------------ two by two tables


@pytest.mark.parametrize("cells", SMALL)
def test_two_by_two_is_coherent(cells: tuple[int, int, int, int]) -> None:
    table = rows(two_by_two(*cells))
    seen = table.dropna(subset=["estimate", "ci_low"])
    assert (seen["ci_low"] <= seen["estimate"] + 1e-12).all()
    assert (seen["estimate"] <= seen["ci_high"] + 1e-12).all()
    p = table[["p_value", "p_less", "p_greater"]].stack()
    assert ((p >= 0) & (p <= 1)).all()
    # the three score intervals tell "no difference" alike
    out = [
        table.loc[m, "ci_low"] > null or table.loc[m, "ci_high"] < null
        for m, null in (("risk_difference", 0), ("risk_ratio", 1), ("odds_ratio", 1))
    ]
    assert len(set(out)) == 1
    # Boschloo's test is never less powerful than Fisher's
    assert table.loc["boschloo", "p_value"] <= table.loc["odds_ratio_conditional", "p_value"] + 1e-9


@pytest.mark.parametrize("cells", SMALL[::7])
def test_exchanging_groups_turns_the_table_round(cells: tuple[int, int, int, int]) -> None:
    a, b, c, d = cells
    one, other = rows(two_by_two(a, b, c, d)), rows(two_by_two(c, d, a, b))
    difference = "risk_difference"
    assert one.loc[difference, "ci_low"] == pytest.approx(-other.loc[difference, "ci_high"])
    for tested in ("odds_ratio_conditional", "fisher_mid_p", "boschloo", "boschloo_doubled"):
        assert one.loc[tested, "p_value"] == pytest.approx(other.loc[tested, "p_value"])
        assert one.loc[tested, "p_less"] == pytest.approx(other.loc[tested, "p_greater"])
    for ratio in ("risk_ratio", "odds_ratio", "odds_ratio_conditional"):
        with np.errstate(divide="ignore"):
            turned = 1 / np.float64(other.loc[ratio, "ci_high"])
        assert one.loc[ratio, "ci_low"] == pytest.approx(turned, rel=1e-9)


@pytest.mark.parametrize("cells", [(7, 5, 1, 9), (0, 8, 4, 5), (3, 17, 9, 9), (20, 3, 11, 19)])
def test_boschloo_doubled_is_that_of_scipy(cells: tuple[int, int, int, int]) -> None:
    a, b, c, d = cells
    scipy = stats.boschloo_exact(np.array([[a, c], [b, d]]), n=128).pvalue
    assert rows(two_by_two(*cells)).loc["boschloo_doubled", "p_value"] == pytest.approx(
        scipy, rel=1e-6
    )


@pytest.mark.parametrize("cells", [(7, 5, 1, 9), (3, 17, 9, 9), (200, 31, 110, 190), (0, 9, 2, 7)])
def test_score_interval_of_the_difference_has_the_stated_score(
    cells: tuple[int, int, int, int],
) -> None:
    a, b, c, d = cells
    n_1, n_2 = a + b, c + d
    row = rows(two_by_two(*cells)).loc["risk_difference"]
    for delta in (row["ci_low"], row["ci_high"]):

        def loss(q: float, delta: float = delta) -> float:
            return -stats.binom.logpmf(a, n_1, q + delta) - stats.binom.logpmf(c, n_2, q)

        bounds = (max(0, -delta), min(1, 1 - delta))
        q = optimize.minimize_scalar(
            loss, bounds=bounds, method="bounded", options={"xatol": 1e-12}
        )
        p_1, p_2 = q.x + delta, q.x
        variance = p_1 * (1 - p_1) / n_1 + p_2 * (1 - p_2) / n_2
        variance *= (n_1 + n_2) / (n_1 + n_2 - 1)
        z = (a / n_1 - c / n_2 - delta) / np.sqrt(variance)
        assert abs(z) == pytest.approx(stats.norm.ppf(0.975), rel=1e-5)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # of statsmodels
@pytest.mark.parametrize("cells", [(7, 5, 1, 9), (3, 17, 9, 9), (200, 31, 110, 190)])
def test_score_intervals_of_ratios_are_those_of_statsmodels(
    cells: tuple[int, int, int, int],
) -> None:
    a, b, c, d = cells
    table = rows(two_by_two(*cells))
    for measure, compare in (("risk_ratio", "ratio"), ("odds_ratio", "odds-ratio")):
        expected = confint_proportions_2indep(a, a + b, c, c + d, method="score", compare=compare)
        ours = table.loc[measure, ["ci_low", "ci_high"]].to_numpy(float)
        np.testing.assert_allclose(ours, expected, rtol=1e-5)


def test_no_event_in_either_group() -> None:
    table = rows(two_by_two(0, 5, 0, 6))
    assert table.loc["risk_difference", ["ci_low", "ci_high"]].between(-1, 1).all()
    for ratio in ("risk_ratio", "odds_ratio"):
        assert np.isnan(table.loc[ratio, "estimate"])
        assert table.loc[ratio, ["ci_low", "ci_high"]].tolist() == [0, np.inf]
    assert table.loc["boschloo", "p_value"] == 1


@pytest.mark.parametrize(
    "cells",
    [(10**9, 5, 2, 10**9), (3, 10**8, 4, 10**9), (10**7, 0, 0, 10**7), (0, 10**9, 5, 10**9)],
)
def test_very_large_counts(cells: tuple[int, int, int, int]) -> None:
    table = rows(two_by_two(*cells))
    row = table.loc["odds_ratio_conditional"]
    assert row["ci_low"] <= row["estimate"] <= row["ci_high"]
    boschloo = table.loc[["boschloo", "boschloo_doubled"], ["p_value", "p_less", "p_greater"]]
    assert boschloo.isna().all(axis=None)


def test_fisher_p_of_rare_events_is_binomial() -> None:
    table = rows(two_by_two(1, 10**9, 5, 10**9))
    assert table.loc["odds_ratio_conditional", "p_value"] == pytest.approx(
        stats.binomtest(1, 6).pvalue, rel=1e-6
    )


# ------------------------------------------------------------------------------------ pairs


def test_pair_order_and_scale_do_not_matter() -> None:
    x = np.array([1.5, -0.5, 2.5, 3.0, 3.0, 0.0, -1.0])
    p = ["p_value", "p_less", "p_greater", "mid_p"]
    one, other = paired_exact(x).table, paired_exact(1000 * x[::-1]).table
    np.testing.assert_allclose(one[p], other[p], rtol=1e-12)
    turned = paired_exact(-x).table
    np.testing.assert_allclose(one["p_less"], turned["p_greater"], rtol=1e-12)
    np.testing.assert_allclose(one["ci_low"], -turned["ci_high"], rtol=1e-12)


@pytest.mark.parametrize("n", [1, 2, 5, 13])
def test_sign_flip_is_the_plain_enumeration(n: int) -> None:
    x = np.round(np.random.default_rng(n).normal(0.5, 1, n), 1)
    signs = np.array(list(product((-1, 1), repeat=n)))
    sums, total = signs @ np.abs(x), x.sum()
    row = rows(paired_exact(x), "test").loc["sign_flip"]
    assert row["p_value"] == pytest.approx((np.abs(sums) >= abs(total) - 1e-9).mean())
    assert row["p_less"] == pytest.approx((sums <= total + 1e-9).mean())
    assert row["p_greater"] == pytest.approx((sums >= total - 1e-9).mean())


def test_sign_flip_says_nothing_beyond_its_limit() -> None:
    x = np.random.default_rng(0).normal(size=41)
    assert np.isfinite(rows(paired_exact(x[:24]), "test").loc["sign_flip", "p_value"])
    assert np.isnan(rows(paired_exact(x), "test").loc["sign_flip", "p_value"])


@pytest.mark.parametrize("level", [0.8, 0.9, 0.95, 0.99])
@pytest.mark.parametrize("n", [4, 6, 9, 20])
def test_wilcoxon_interval_and_test_agree(n: int, level: float) -> None:
    x = np.random.default_rng(n).normal(0.7, 1, n)
    row = rows(paired_exact(x, level=level), "test").loc["wilcoxon"]
    excluded = row["ci_low"] > 0 or row["ci_high"] < 0
    assert excluded == (row["p_value"] <= 1 - level + 1e-12)


def test_five_pairs_have_no_finite_wilcoxon_interval_at_95_percent() -> None:
    row = rows(paired_exact([1, 2, 3, 4, 5]), "test").loc["wilcoxon"]
    assert row["p_value"] == row["min_p"] == 0.0625
    assert [row["ci_low"], row["ci_high"]] == [-np.inf, np.inf]


def test_no_difference_at_all() -> None:
    table = rows(paired_exact([0, 0, 0]), "test")
    assert table.loc[["sign_flip", "wilcoxon", "sign_test"], "p_value"].tolist() == [1, 1, 1]
    assert np.isnan(table.loc["paired_t", "p_value"])


def test_same_input_same_bytes() -> None:
    calls = (
        lambda: two_by_two(7, 5, 1, 9).table,
        lambda: paired_exact([1.5, -0.5, 2.5]).table,
        lambda: exact_rate(3, 7).table,
    )
    for call in calls:
        assert call().to_csv() == call().to_csv()


def test_mid_p_counts_half_of_what_was_seen() -> None:
    ratio = exact_rate_ratio(3, 1, 9, 1, mid_p=True).table["p_value"].item()
    assert ratio == pytest.approx((2 * (1 + 12 + 66) + 220) / 2**12)  # 3 of 12 by a coin
    signs = paired_exact([3, 2, -1]).table.set_index("test").loc["sign_flip"]
    assert signs["p_value"] == pytest.approx(4 / 8)  # the sums 4 and 6 of eight, and below 0
    assert signs["mid_p"] == pytest.approx(3 / 8)
