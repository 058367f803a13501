"""Edges and properties of meta-analysis; the R numbers are in tests/golden/test_meta.py."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from ketamine_outcomes.estimators import EstimationError, InvalidInput, NotEstimable, meta_analysis

METHODS = ("REML", "DL", "PM")
Y = np.array([0.3, -0.2, 0.9, 0.4, 1.2, 0.1])
S = np.array([0.2, 0.25, 0.3, 0.15, 0.4, 0.2])


def table(*args: Any, **options: Any) -> pd.DataFrame:
    return meta_analysis(*args, **options).table.set_index("name")


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("ci", ["z", "hartung_knapp", "modified_hartung_knapp"])
def test_order_shift_and_scale(method: str, ci: str) -> None:
    one = meta_analysis(Y, S, method, ci).coefficients.iloc[0, 1:].astype(float)
    order = [3, 1, 5, 0, 2, 4]
    two = meta_analysis(Y[order], S[order], method, ci).coefficients.iloc[0, 1:].astype(float)
    np.testing.assert_allclose(two, one, rtol=1e-9)
    moved = meta_analysis(Y * 1e4 + 5e4, S * 1e4, method, ci).coefficients.iloc[0]
    assert moved["estimate"] == pytest.approx(one["estimate"] * 1e4 + 5e4, rel=1e-9)
    assert moved["std_error"] == pytest.approx(one["std_error"] * 1e4, rel=1e-9)


def test_restricted_likelihood_is_at_its_maximum() -> None:
    from ketamine_outcomes.estimators.meta_heterogeneity import weighted

    tau2 = table(Y, S).loc["tau2", "estimate"]
    x = np.ones((6, 1))
    top = weighted(Y, S**2, x, tau2).log_restricted
    for other in np.r_[0.0, np.geomspace(1e-4, 10, 400)]:
        assert weighted(Y, S**2, x, other).log_restricted <= top + 1e-12


def test_the_higher_of_two_maxima_is_taken() -> None:
    from ketamine_outcomes.estimators.meta_heterogeneity import between_study_variance, weighted

    rng = np.random.default_rng(0)
    for _ in range(60):
        k = int(rng.integers(2, 6))
        y, v = rng.normal(size=k) * 3, rng.chisquare(1, k) ** 3 + 1e-6
        x = np.ones((k, 1))
        tau2, _ = between_study_variance(y, v, x, "REML")
        top = weighted(y, v, x, tau2).log_restricted
        grid = [
            weighted(y, v, x, t).log_restricted for t in np.r_[0.0, np.geomspace(1e-9, 1e3, 300)]
        ]
        assert max(grid) <= top + 1e-9


def test_one_study_is_given_as_it_is() -> None:
    with pytest.raises(NotEstimable, match="one study"):
        meta_analysis([0.3], [0.1])
    fit = meta_analysis(0.3, 0.1, ci="z")
    row = fit.coefficients.iloc[0]
    assert row[["estimate", "std_error"]].tolist() == pytest.approx([0.3, 0.1])
    assert "tau2" not in fit.table["name"].tolist()
    assert np.isnan(fit.table.set_index("name").loc["prediction_interval", "ci_low"])


def test_two_studies() -> None:
    t = table([0.1, 0.9], [0.2, 0.2])
    assert t.loc["tau2", "estimate"] == pytest.approx(0.28)
    assert np.isnan(t.loc["prediction_interval_hts", "ci_low"])
    with pytest.raises(NotEstimable, match="three studies"):
        meta_analysis([0.1, 0.9], [0.2, 0.2]).leave_one_out()


@pytest.mark.parametrize("method", METHODS)
def test_equal_estimates(method: str) -> None:
    with pytest.raises(NotEstimable, match="modified_hartung_knapp"):
        meta_analysis([0.5] * 4, [0.1, 0.2, 0.3, 0.4], method)
    fit = meta_analysis([0.5] * 4, [0.1, 0.2, 0.3, 0.4], method, "modified_hartung_knapp")
    assert fit.table.set_index("name").loc["tau2", "estimate"] == 0
    assert fit.coefficients["estimate"].iloc[0] == pytest.approx(0.5)


def test_studies_with_missing_values_are_left_out() -> None:
    y = pd.Series([*Y, None, 2.0], dtype="Float64")
    dose = [*np.arange(6.0), 1.0, np.nan]
    fit = meta_analysis(y, [*S, 0.1, 0.1], moderators=pd.DataFrame({"dose": dose}))
    assert fit.diagnostics["n_dropped"] == 2
    assert fit.studies["row"].tolist() == list(range(6))
    plain = meta_analysis(Y, S, moderators=np.arange(6.0)).coefficients
    np.testing.assert_allclose(fit.coefficients["estimate"], plain["estimate"])


def test_moderators_of_words_are_indicators() -> None:
    frame = pd.DataFrame({"kind of site": list("abcabc")})
    fit = meta_analysis(Y, S, moderators=frame)
    assert fit.coefficients["term"].tolist()[0] == "Intercept"
    assert len(fit.coefficients) == 3
    assert fit.table.set_index("name").loc["QM", "df"] == 2
    with pytest.raises(InvalidInput, match="without moderators"):
        fit.leave_one_out()


def test_level_widens_everything() -> None:
    low, high = table(Y, S, level=0.8), table(Y, S, level=0.99)
    for name in ("tau2", "I2_percent", "common_effect", "prediction_interval"):
        assert high.loc[name, "ci_high"] > low.loc[name, "ci_high"]


@pytest.mark.parametrize(
    ("args", "options", "message"),
    [
        ((Y, S[:3]), {}, "6 estimates"),
        ((Y, S * 0), {}, "not above 0"),
        ((Y, -S), {}, "not above 0"),
        ((Y * np.inf, S), {}, "not finite"),
        (([], []), {}, "no study"),
        ((["a"], ["b"]), {}, "numbers"),
        ((Y * np.nan, S), {}, "no study"),
        ((Y, S, "ML"), {}, "method"),
        ((Y, S, "DL", "t"), {}, "ci"),
        ((Y, S), {"level": 2}, "level"),
        ((Y, S), {"moderators": np.ones(6)}, "collinear"),
        ((Y, S), {"moderators": np.ones(5)}, "5 rows"),
        ((Y, S), {"moderators": pd.DataFrame({"a": np.full(6, np.inf)})}, "not finite"),
        ((Y[:2], S[:2]), {"moderators": [1.0, 2.0]}, "2 studies"),
        ((Y[:1], S[:1], "REML", "z"), {"moderators": [1.0]}, "1 studies"),
    ],
)
def test_refusals(args: Any, options: Any, message: str) -> None:
    with pytest.raises(EstimationError, match=message):
        meta_analysis(*args, **options)


def test_extreme_sizes() -> None:
    fit = meta_analysis(Y * 1e-8, S * 1e-8)
    assert fit.coefficients["p_value"].iloc[0] == pytest.approx(
        meta_analysis(Y, S).coefficients["p_value"].iloc[0]
    )
    one = table(np.r_[Y, 50.0], np.r_[S, 1e-4])
    assert np.isfinite(one.loc["tau2", "estimate"])
