"""Edges and properties of the bias analyses; reference numbers are in tests/golden."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from scipy import stats

from ketamine_outcomes.estimators import (
    InvalidInput,
    NotEstimable,
    Result,
    bounding_factor,
    e_value,
    probabilistic_bias,
    regression_to_mean,
    tipping_point,
)
from ketamine_outcomes.estimators.bias_simulation import _trapezoid

# ----------------------------------------------------------------------------------- E-value


def test_confounder_as_strong_as_the_e_value_explains_the_effect() -> None:
    for ratio in (1.2, 2.0, 7.0):
        e = e_value(ratio).table["estimate"].iloc[0]
        assert bounding_factor(e, e).table["estimate"].iloc[0] == pytest.approx(ratio)


@pytest.mark.parametrize("measure", ["risk_ratio", "odds_ratio_common", "hazard_ratio_common"])
def test_e_value_turns_round_with_the_ratio(measure: str) -> None:
    one = e_value(0.4, 0.2, 0.9, measure=measure).table
    other = e_value(1 / 0.4, 1 / 0.9, 1 / 0.2, measure=measure).table
    np.testing.assert_allclose(one["estimate"], other["estimate"])


def test_interval_that_holds_no_effect_needs_no_confounder() -> None:
    assert e_value(1.3, 0.9, 1.9).table["estimate"].iloc[1] == 1
    assert e_value(1.0, 0.9, 1.1).table["estimate"].tolist() == [1, 1]
    d = e_value(-0.4, -0.9, 0.1, measure="standardised_mean_difference")
    assert d.table["estimate"].iloc[1] == 1


def test_one_limit_is_enough_if_it_is_the_near_one() -> None:
    assert len(e_value(2.0).table) == 1
    assert e_value(2.0, ci_low=1.5).table["estimate"].iloc[1] > 1
    with pytest.raises(InvalidInput, match="lies between"):
        e_value(2.0, ci_high=3.0)


@pytest.mark.parametrize(
    "call",
    [
        lambda: e_value(0),
        lambda: e_value(-1),
        lambda: e_value(float("nan")),
        lambda: e_value("a"),
        lambda: e_value(2, 2.5, 3),
        lambda: e_value(2, measure="rate"),
        lambda: bounding_factor(0.5, 2),
        lambda: regression_to_mean(8, 5, 1.2),
        lambda: regression_to_mean(None, 5, 0.5),
        lambda: regression_to_mean(8, 5, 0.5, cutoff=6),
        lambda: regression_to_mean(8, 5, 0.5, cutoff=6, std_dev=0),
        lambda: regression_to_mean(8, 5, 0.5, n_baseline=0),
        lambda: tipping_point([], [], 1),
        lambda: tipping_point([1, 2], [1, 1, 1], 1),
        lambda: tipping_point(1, 0, 1),
        lambda: tipping_point(1, "a", 1),
        lambda: tipping_point(float("nan"), 1, 1),
        lambda: tipping_point(1, 1, 1, df_complete=0),
        lambda: tipping_point(1, 1, 1, deltas=[float("inf")]),
        lambda: tipping_point(1, 1, 1, deltas=[9], variance_change=(-1, 0)),
        lambda: probabilistic_bias(0, seed=1),
        lambda: probabilistic_bias(2, seed=-1),
        lambda: probabilistic_bias(2, seed=1, n_draws=0),
        lambda: probabilistic_bias(2, seed=1, std_error=-1),
        lambda: probabilistic_bias(2, seed=1, sensitivity=0.9),
        lambda: probabilistic_bias(2, seed=1, sensitivity=0.9, risk_2=0.6),
        lambda: probabilistic_bias(2, seed=1, sensitivity=("gamma", 1, 2), risk_2=0.1),
        lambda: probabilistic_bias(2, seed=1, sensitivity=("beta", 1), risk_2=0.1),
        lambda: probabilistic_bias(2, seed=1, sensitivity=("beta", 0, 1), risk_2=0.1),
        lambda: probabilistic_bias(2, seed=1, sensitivity=("triangular", 1, 0, 2), risk_2=0.1),
        lambda: probabilistic_bias(2, seed=1, sensitivity=("uniform", "a", 1), risk_2=0.1),
        lambda: probabilistic_bias(2, seed=1, confounder_ratio=None),
    ],
)
def test_wrong_input_is_refused(call: Callable[[], Result]) -> None:
    with pytest.raises(InvalidInput):
        call()


# ------------------------------------------------------------------------ regression to mean


def test_perfect_measurement_does_not_regress() -> None:
    table = regression_to_mean(8, 5, 1.0, cutoff=6, std_dev=2).table
    assert table["estimate"].tolist() == [0, 0]


def test_selection_by_cutoff_is_what_simulated_patients_do() -> None:
    rng, n, r = np.random.default_rng(3), 400_000, 0.6
    truth = 5 + 2 * np.sqrt(r) * rng.normal(size=n)
    first, second = (truth + 2 * np.sqrt(1 - r) * rng.normal(size=n) for _ in range(2))
    for side, chosen in (("above", first >= 6), ("below", first <= 4)):
        cutoff = 6 if side == "above" else 4
        row = regression_to_mean(None, 5, r, cutoff=cutoff, std_dev=2, selected=side).table.iloc[0]
        change = (second - first)[chosen].mean()
        assert row["estimate"] == pytest.approx(change, abs=0.02)
        assert row["expected_follow_up"] == pytest.approx(second[chosen].mean(), abs=0.02)


def test_far_cutoff_stays_finite() -> None:
    row = regression_to_mean(None, 0, 0.5, cutoff=60, std_dev=1).table.iloc[0]
    assert row["estimate"] == pytest.approx(-30, rel=1e-3)


# ----------------------------------------------------------------------------- tipping point


def test_one_normal_estimate_has_a_closed_form() -> None:
    result = tipping_point(-1.0, 0.4, 0.3, deltas=[-1, 0, 1])
    z = stats.norm.ppf(0.975)
    assert result.diagnostics["tipping_high"] == pytest.approx((1 - z * 0.4) / 0.3)
    table = result.table.set_index("delta")
    assert table.loc[1, "estimate"] == pytest.approx(-0.7)
    tipped = result.table[result.table["tipping"]]
    np.testing.assert_allclose(tipped["ci_high"].iloc[0], 0, atol=1e-12)
    np.testing.assert_allclose(tipped["p_value"], 0.05)


@pytest.mark.parametrize("level", [0.8, 0.9, 0.99])
def test_interval_touches_null_at_every_tipping_point(level: float) -> None:
    result = tipping_point(
        [-1.0, -1.2, -0.7], [0.4, 0.5, 0.45], [0.2, 0.25, 0.3], level=level, null=-0.2,
        variance_change=([0.01, 0.0, 0.02], 0.005), df_complete=40,
    )  # fmt: skip
    tipped = result.table[result.table["tipping"]]
    assert len(tipped) > 0
    touched = np.minimum(abs(tipped["ci_low"] + 0.2), abs(tipped["ci_high"] + 0.2))
    np.testing.assert_allclose(touched, 0, atol=1e-9)


def test_equal_imputations_are_one_estimate() -> None:
    pooled = tipping_point([1.0] * 5, [0.3] * 5, 0.5).table.iloc[0]
    single = tipping_point(1.0, 0.3, 0.5).table.iloc[0]
    assert pooled["std_error"] == pytest.approx(single["std_error"])
    assert pooled["df"] == single["df"] == np.inf


def test_nothing_shifted_has_no_tipping_point() -> None:
    with pytest.raises(NotEstimable):
        tipping_point([1.0, 1.1], [0.3, 0.3], [0, 0])


# ------------------------------------------------------------------------- probabilistic bias


def systematic(result: Result) -> np.ndarray:
    table = result.table.set_index("quantity")
    return table.loc["systematic_error", ["estimate", "ci_low", "ci_high"]].to_numpy(float)


def test_no_bias_changes_nothing() -> None:
    result = probabilistic_bias(1.7, seed=1, std_error=0.2)
    np.testing.assert_allclose(systematic(result), 1.7)
    both = result.table.set_index("quantity").loc["systematic_and_random_error"]
    observed = result.table.set_index("quantity").loc["observed"]
    for column in ("estimate", "ci_low", "ci_high"):
        assert both[column] == pytest.approx(observed[column], rel=0.02)


def test_same_seed_same_bytes() -> None:
    def call(seed: int) -> str:
        return probabilistic_bias(
            1.7, seed=seed, specificity=("beta", 60, 2), risk_2=0.2, n_draws=500
        ).table.to_csv()

    assert call(1) == call(1)
    assert call(1) != call(2)


@pytest.mark.parametrize(
    ("given", "law"),
    [
        (("uniform", 1.5, 4), stats.uniform(1.5, 2.5)),
        (("triangular", 1.5, 2, 4), stats.triang(0.2, 1.5, 2.5)),
        (("trapezoidal", 1.5, 2, 3, 4), stats.trapezoid(0.2, 0.6, 1.5, 2.5)),
        (("lognormal", 0.5, 0.2), stats.lognorm(0.2, scale=np.exp(0.5))),
        (("beta", 3, 2), stats.beta(3, 2)),
    ],
)
def test_draws_follow_the_stated_distribution(
    given: tuple[str | float, ...], law: stats.rv_continuous
) -> None:
    # everybody in group 1 and nobody in group 2 has the confounder: RR = RR* / g
    result = probabilistic_bias(
        1.0, seed=1, prevalence_2=1.0, prevalence_ratio=0.0, confounder_ratio=given
    )
    expected = [law.median(), law.ppf(0.025), law.ppf(0.975)]
    np.testing.assert_allclose(systematic(result), expected, rtol=0.02)


def test_quantiles_of_the_trapezoid() -> None:
    share = np.linspace(0, 1, 101)
    law = stats.trapezoid(0.2, 0.6, 1.5, 2.5)
    np.testing.assert_allclose(_trapezoid(share, 1.5, 2, 3, 4), law.ppf(share), rtol=1e-12)


def test_misclassified_cohort_gives_its_true_ratio_back() -> None:
    risk_1, risk_2, se, sp = 0.3, 0.2, 0.8, 0.95
    seen_1, seen_2 = (p * se + (1 - p) * (1 - sp) for p in (risk_1, risk_2))
    result = probabilistic_bias(
        seen_1 / seen_2, seed=1, sensitivity=se, specificity=sp, risk_2=seen_2, n_draws=1
    )
    np.testing.assert_allclose(systematic(result), risk_1 / risk_2)


def test_differential_misclassification() -> None:
    seen_1, seen_2 = 0.3 * 0.9, 0.2 * 0.6
    result = probabilistic_bias(
        seen_1 / seen_2, seed=1, sensitivity=0.9, sensitivity_2=0.6, risk_2=seen_2, n_draws=1
    )
    np.testing.assert_allclose(systematic(result), 1.5)


def test_impossible_draws_are_counted_and_then_refused() -> None:
    some = probabilistic_bias(1.5, seed=1, specificity=("uniform", 0.88, 1), risk_2=0.1)
    assert 0 < some.diagnostics["n_impossible"] < some.diagnostics["n_draws"] / 2
    with pytest.raises(NotEstimable):
        probabilistic_bias(1.5, seed=1, specificity=("uniform", 0.5, 0.8), risk_2=0.1)
