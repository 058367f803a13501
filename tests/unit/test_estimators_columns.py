"""Names and types of columns as users have them: R's names with dots, pandas' string type."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from ketamine_outcomes.estimators import (
    InvalidInput,
    Result,
    balance,
    cox,
    gee,
    standardised_mean_difference,
)


@pytest.fixture
def rows() -> pd.DataFrame:
    rng = np.random.default_rng(5)
    n = 40
    return pd.DataFrame(
        {
            "y": rng.normal(size=n),
            "wt.loss": rng.gamma(2.0, size=n),
            "ph.ecog": rng.integers(0, 3, n),
            "arm": rng.choice(["a", "b", "c"], n),
            "time": rng.integers(1, 30, n),
            "event": rng.integers(0, 2, n),
        }
    )


def fit(formula: str, data: pd.DataFrame) -> Result:
    return gee(formula, data, None, "gaussian")


def test_a_dot_in_a_name(rows: pd.DataFrame) -> None:
    plain = rows.rename(columns=lambda c: c.replace(".", "_"))
    expected = fit("y ~ log(wt_loss) * C(ph_ecog) + wt_loss", plain).coefficients
    result = fit("y ~ log(`wt.loss`) * C(`ph.ecog`) + wt.loss", rows).coefficients
    assert result["estimate"].tolist() == expected["estimate"].tolist()
    assert "wt.loss" in result["term"].tolist()


def test_missing_values_behind_a_dot_or_a_function_are_left_out(rows: pd.DataFrame) -> None:
    rows.loc[[3, 8], "wt.loss"] = np.nan
    for formula in ("y ~ wt.loss", "y ~ poly(`wt.loss`, 2)", "y ~ np.abs(`wt.loss`)"):
        assert fit(formula, rows).diagnostics["n_dropped"] == 2


def test_a_wrong_name_with_a_dot_is_named(rows: pd.DataFrame) -> None:
    with pytest.raises(InvalidInput, match=r"no column 'wt\.los' in data$"):
        fit("y ~ wt.los", rows)
    with pytest.raises(InvalidInput, match=r"no column 'wt' in data: inside a function, write"):
        fit("y ~ log(wt.loss)", rows)


def test_prediction_with_a_dot_in_a_name(rows: pd.DataFrame) -> None:
    survival = cox("wt.loss + C(`ph.ecog`)", rows, "time", "event").predict_survival(
        rows.head(3), times=[10]
    )
    assert survival["estimate"].between(0, 1).all()


def test_bar_in_a_formula_says_where_groups_go(rows: pd.DataFrame) -> None:
    for formula in ("y ~ wt.loss + (1 | arm)", "y ~ wt.loss | arm"):
        with pytest.raises(InvalidInput, match="own argument"):
            fit(formula, rows)


@pytest.mark.parametrize(
    "held",
    [
        lambda d: d.convert_dtypes(),
        lambda d: d.astype({"arm": "string"}),
        lambda d: d.astype({"arm": "string"}).astype({"arm": "category"}),
        lambda d: d.astype(object),  # numbers stay numbers
    ],
    ids=["nullable", "string", "string_category", "object"],
)
def test_type_that_holds_the_values_changes_nothing(rows: pd.DataFrame, held: Any) -> None:
    other = held(rows)
    expected = cox("arm + wt.loss", rows, "time", "event")
    result = cox("arm + wt.loss", other, "time", "event")
    pd.testing.assert_frame_equal(result.coefficients, expected.coefficients, rtol=1e-12)
    pd.testing.assert_frame_equal(
        result.predict_survival(other.head(2), times=[5]),
        expected.predict_survival(rows.head(2), times=[5]),
        rtol=1e-12,
    )


@pytest.mark.parametrize("term", ["factor(arm)", "floor(time)", "strata(arm)"])
def test_functions_of_r_are_named_with_what_to_write(rows: pd.DataFrame, term: str) -> None:
    with pytest.raises(InvalidInput, match=rf"the formula calls {term.split('(')[0]}, which"):
        cox(f"wt.loss + {term}", rows, "time", "event")


@pytest.mark.parametrize("formula", ["0 + arm + y", "arm + y - 1"])
def test_a_hazard_has_no_intercept_to_leave_out(rows: pd.DataFrame, formula: str) -> None:
    result = cox(formula, rows, "time", "event").coefficients
    expected = cox("arm + y", rows, "time", "event").coefficients
    pd.testing.assert_frame_equal(result, expected)


def test_numbers_held_as_objects_are_balanced_as_numbers(rows: pd.DataFrame) -> None:
    held = rows.astype(object)
    expected = balance(rows, ["wt.loss", "arm"], "event").table
    pd.testing.assert_frame_equal(balance(held, ["wt.loss", "arm"], "event").table, expected)
    smd = standardised_mean_difference(held["wt.loss"], held["event"])
    assert smd == expected["smd"].iloc[0]
