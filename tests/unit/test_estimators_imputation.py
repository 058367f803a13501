"""Edges and properties of imputation and pooling; recovery of known truth: tests/recovery."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import special

from ketamine_outcomes.estimators import (
    EstimationError,
    InvalidInput,
    NotEstimable,
    impute_chained,
    pool_imputations,
)
from ketamine_outcomes.estimators.imputation_draws import draw_number, draw_number_in_cluster


@pytest.fixture
def visits() -> pd.DataFrame:
    """Thirty patients with four visits each; every type of column."""
    rng = np.random.default_rng(2)
    n = 120
    patient = np.repeat(np.arange(30), 4)
    tendency = rng.normal(size=30)
    pain = np.clip(np.round(5 + tendency[patient] + rng.normal(size=n)), 0, 10)
    d = pd.DataFrame(
        {
            "patient": patient,
            "week": np.tile(np.arange(4), 30),
            "pain": pain,
            "count": pd.array(rng.poisson(3, n), dtype="Int64"),
            "opioid": pd.array(rng.random(n) < 0.5, dtype="boolean"),
            "route": rng.choice(["iv", "oral", "sc"], n).astype(object),
            "severity": pd.Categorical(
                rng.choice(["low", "mid", "high"], n), ["low", "mid", "high"], ordered=True
            ),
            "sex": pd.Categorical(rng.choice(["f", "m"], 30)[patient]),
            "age": np.round(rng.normal(60, 10, 30))[patient],
        },
        index=range(500, 500 + n),
    )
    for column in ("pain", "count", "opioid", "route", "severity"):
        d.loc[d.index[rng.random(n) < 0.2], column] = None
    for column in ("sex", "age"):
        lost = rng.random(30) < 0.2
        d.loc[d.index[lost[patient]], column] = None
    return d


@pytest.mark.parametrize("cluster", [None, "patient"])
def test_observed_values_types_and_rows_stay(visits: pd.DataFrame, cluster: str | None) -> None:
    d = visits if cluster else visits.drop(columns="patient")
    result = impute_chained(d, seed=1, cluster=cluster, m=2)
    for completed in result.data:
        assert not completed.isna().any(axis=None)
        assert (completed.dtypes == d.dtypes).all()
        pd.testing.assert_index_equal(completed.index, d.index)
        pd.testing.assert_index_equal(completed.columns, d.columns)
        pd.testing.assert_frame_equal(completed.where(d.notna()), d.where(d.notna()))
        for column in d:
            assert set(completed[column]) <= set(d[column].dropna())
    assert (
        result.table["n_missing"].tolist()
        == d.drop(columns="patient", errors="ignore").isna().sum().tolist()
    )


def test_the_input_is_not_changed(visits: pd.DataFrame) -> None:
    before = visits.copy(deep=True)
    impute_chained(visits, seed=1, cluster="patient", m=1)
    pd.testing.assert_frame_equal(visits, before)


def test_patient_values_are_the_same_on_all_rows(visits: pd.DataFrame) -> None:
    result = impute_chained(visits, seed=3, cluster="patient", m=3)
    for completed in result.data:
        assert (completed.groupby("patient")[["sex", "age"]].nunique() == 1).all(axis=None)
    levels = result.table.set_index("column")["level"]
    assert levels[["sex", "age"]].tolist() == ["cluster", "cluster"]
    assert levels[["pain", "route"]].tolist() == ["row", "row"]


def test_a_patient_value_seen_once_is_copied_to_the_other_rows(visits: pd.DataFrame) -> None:
    d = visits.copy()
    known = d.groupby("patient")["age"].first()
    d.loc[d["week"] > 0, "age"] = np.nan
    completed = impute_chained(d, seed=1, cluster="patient", m=1).data[0]
    ages = completed.groupby("patient")["age"].first()
    pd.testing.assert_series_equal(ages[known.notna()], known.dropna())


def test_same_seed_same_bytes(visits: pd.DataFrame) -> None:
    a = impute_chained(visits, seed=5, cluster="patient", m=3)
    b = impute_chained(visits, seed=5, cluster="patient", m=2)
    other = impute_chained(visits, seed=6, cluster="patient", m=1)
    for x, y in zip(a.data, b.data, strict=False):
        pd.testing.assert_frame_equal(x, y)
    assert a.trace.head(len(b.trace)).equals(b.trace)
    assert not a.data[0].equals(other.data[0])
    assert not a.data[0].equals(a.data[1])


def test_numpy_global_seed_is_left_alone(visits: pd.DataFrame) -> None:
    np.random.seed(1)
    expected = np.random.random()
    np.random.seed(1)
    impute_chained(visits, seed=5, cluster="patient", m=1)
    assert np.random.random() == expected


def test_nothing_missing_gives_copies() -> None:
    d = pd.DataFrame({"a": [1.0, 2.5, 3.0], "b": ["x", "y", "x"]})
    result = impute_chained(d, seed=1, m=2)
    for completed in result.data:
        pd.testing.assert_frame_equal(completed, d)
    assert result.trace.empty


def test_separation_gives_no_certain_answer() -> None:
    x = np.repeat([0.0, 1.0], 40)
    d = pd.DataFrame({"x": x, "hit": x})
    d.loc[[0, 1, 78, 79], "hit"] = np.nan
    result = impute_chained(d, seed=1, m=20)
    share = np.mean([completed.loc[[78, 79], "hit"].mean() for completed in result.data])
    assert 0.6 < share <= 1


def test_collinear_and_constant_predictors_do_no_harm(visits: pd.DataFrame) -> None:
    d = visits[["pain", "week", "opioid"]].assign(
        week2=visits["week"] * 2.0 + 1, one=1, big=visits["week"] + 1e6
    )
    assert not impute_chained(d, seed=1, m=1).data[0].isna().any(axis=None)


def test_more_predictors_than_rows() -> None:
    rng = np.random.default_rng(1)
    d = pd.DataFrame(rng.normal(size=(12, 20)), columns=[f"x{i}" for i in range(20)])
    d.loc[3:6, ["x0", "x5"]] = np.nan
    assert not impute_chained(d, seed=1, m=2).data[1].isna().any(axis=None)


def test_donors_with_equal_predictions_are_equally_likely() -> None:
    n = 2000
    d = pd.DataFrame({"x": np.arange(n, dtype=float) % 2, "y": np.arange(n, dtype=float) % 7})
    d.loc[: n // 2, "y"] = np.nan
    values = impute_chained(d, seed=1, m=1).data[0].loc[: n // 2, "y"]
    assert values.value_counts(normalize=True).max() < 0.25


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"pain": np.nan}, "no observed"),
        ({"pain": [np.nan] * 117 + [1.0, 2.0, 3.0]}, "3 observed"),
        ({"pain": [np.nan] * 60 + [4.0] * 60}, "one observed"),
        ({"pain": [np.inf] * 60 + [np.nan] * 60}, "infinite"),
        ({"mrn": np.arange(120) * 7 + 1000}, "identifiers"),
        ({"name": [f"SECRET{i}" for i in range(120)]}, "identifiers"),
        ({"day": pd.Timestamp("2020-01-01")}, "days since"),
        ({"mixed": [[1], [2]] * 60}, "mixes"),
        ({"patient": [np.nan] + [1.0] * 119}, "1 rows have no 'patient'"),
    ],
)
def test_refusals(visits: pd.DataFrame, change: dict[str, Any], message: str) -> None:
    with pytest.raises(EstimationError, match=message) as caught:
        impute_chained(visits.assign(**change), seed=1, cluster="patient", m=1)
    assert "SECRET" not in str(caught.value)


def test_call_refusals(visits: pd.DataFrame) -> None:
    d = visits[["pain"]]
    for call in (
        lambda: impute_chained(d, seed=1.5),
        lambda: impute_chained(d, seed=-1),
        lambda: impute_chained(d, seed=True),
        lambda: impute_chained(d, seed=1, m=0),
        lambda: impute_chained(d.head(0), seed=1),
        lambda: impute_chained(visits[["patient"]], seed=1, cluster="patient"),
        lambda: impute_chained(d, seed=1, cluster="nope"),
        lambda: impute_chained(d.set_axis([1], axis=1), seed=1),
        lambda: impute_chained(pd.concat([d, d], axis=1), seed=1),
        lambda: impute_chained([1, 2], seed=1),
    ):
        with pytest.raises(InvalidInput):
            call()


# ------------------------------------------------------------------------------------- pooling


def test_equal_estimates_have_no_variance_between() -> None:
    fit = pool_imputations([[1.0, 2.0]] * 5, [[0.1, 0.2]] * 5, 50)
    assert fit.table["between_variance"].tolist() == [0, 0]
    np.testing.assert_allclose(fit.coefficients["std_error"], [0.1, 0.2])
    np.testing.assert_allclose(fit.coefficients["df"], 51 / 53 * 50, rtol=1e-3)


def test_order_of_imputations_and_terms_does_not_matter() -> None:
    rng = np.random.default_rng(1)
    q = pd.DataFrame(rng.normal(size=(6, 3)), columns=["a", "b", "c"])
    s = pd.DataFrame(rng.uniform(1, 2, (6, 3)), columns=["a", "b", "c"])
    one = pool_imputations(q, s, 20).coefficients
    two = pool_imputations(q.iloc[::-1], s[["c", "a", "b"]].iloc[::-1], 20).coefficients
    pd.testing.assert_frame_equal(one, two, rtol=1e-12)


def test_joint_test_of_one_term_is_its_t_test() -> None:
    q, s = np.array([1.0, 1.4, 0.8, 1.1, 0.9, 1.3]), np.full(6, 0.5)
    fit = pool_imputations(q, s, None, (s**2).reshape(6, 1, 1))
    joint = fit.table.set_index("term").loc["joint"]
    assert joint["statistic"] == pytest.approx(fit.coefficients["statistic"].iloc[0] ** 2)


def test_joint_test_follows_a_change_of_basis() -> None:
    rng = np.random.default_rng(4)
    a = np.array([[2.0, 1.0], [0.5, -1.0]])
    q = rng.normal(size=(7, 2))
    root = rng.normal(size=(7, 2, 2))
    u = root @ root.transpose(0, 2, 1) + np.eye(2)
    moved = a @ u @ a.T

    def joint(q: np.ndarray, u: np.ndarray) -> Any:
        errors = np.sqrt(np.einsum("mii->mi", u))
        return pool_imputations(q, errors, 40, u).table.set_index("term").loc["joint"]

    np.testing.assert_allclose(
        joint(q @ a.T, moved).to_numpy(dtype=float), joint(q, u).to_numpy(dtype=float), rtol=1e-9
    )


@pytest.mark.parametrize("m", [2, 3, 5])
@pytest.mark.parametrize("df", [None, 4, 30])
def test_joint_degrees_of_freedom_are_positive(m: int, df: float | None) -> None:
    q = np.linspace(0, 1, m)[:, None] * [1.0, -1.0] + [1.0, 2.0]
    u = np.tile(np.eye(2), (m, 1, 1))
    row = pool_imputations(q, np.ones((m, 2)), df, u).table.iloc[-1]
    assert row["df_denominator"] > 0
    assert 0 < row["p_value"] < 1


def test_parameters_of_matching_are_drawn_from_their_posterior() -> None:
    # far out the drawn slope alone says from which end the donors come: its sign, a t variable
    x = np.r_[np.arange(10.0), 1e9]
    y = np.r_[3.0, 5, 2, 4, 6, 3, 7, 4, 5, 7, np.nan]
    seen = ~np.isnan(y)
    z = (x[seen] - x[seen].mean()) / x[seen].std()
    slope = z @ y[seen] / 10
    rest = y[seen] - y[seen].mean() - slope * z
    share = special.stdtr(8, slope / np.sqrt(rest @ rest / 8 / 10))
    rng = np.random.default_rng(1)
    upper = np.mean([draw_number(x[:, None], y, seen, rng)[0] >= 5 for _ in range(8000)])
    assert 0.9 < share < 0.98
    assert upper == pytest.approx(share, abs=0.008)


def test_the_nearest_observed_value_is_taken() -> None:
    # two far apart groups of patients: the wanted value lies in its own, so does the nearest
    rng = np.random.default_rng(2)
    cluster = np.repeat(np.arange(8), 6)
    y = 100.0 * (cluster >= 4) + rng.normal(size=48)
    seen = np.arange(48) % 6 > 0
    for _ in range(50):
        picked = draw_number_in_cluster(np.empty((48, 0)), y, seen, cluster, rng)
        assert ((cluster[picked] >= 4) == (cluster[~seen] >= 4)).all()


def test_joint_test_of_very_few_imputations() -> None:
    q = np.array([[1.0, 0.5], [1.2, 0.1], [0.7, 0.4]])
    u = np.array(
        [
            [[0.25, 0.05], [0.05, 0.16]],
            [[0.30, 0.04], [0.04, 0.18]],
            [[0.22, 0.06], [0.06, 0.15]],
        ]
    )
    row = pool_imputations(q, np.sqrt(np.einsum("mii->mi", u)), covariances=u).table.iloc[-1]
    # mitml 0.4-4: testConstraints(qhat, uhat, constraints = c("a", "b"), method = "D1")
    assert row["statistic"] == pytest.approx(1.330718819460365, rel=1e-8)
    assert row["df_denominator"] == pytest.approx(34.362664733464086, rel=1e-8)
    assert row["p_value"] == pytest.approx(0.277564738121029, rel=1e-8)


def test_pooling_refusals() -> None:
    q, s = np.ones((3, 2)), np.ones((3, 2))
    u = np.tile(np.eye(2), (3, 1, 1))
    for args, message in (
        ((q[:1], s[:1]), "two or more"),
        ((q, s[:2]), "std_errors"),
        ((q * np.nan, s), "missing or not finite"),
        ((q, s * 0), "not above 0"),
        ((q, -s), "not above 0"),
        ((["a"], ["b"]), "numbers"),
        (([], []), "m rows"),
        ((q, s, 0), "above 0"),
        ((q, s, [1, 2, 3]), "one number"),
        ((q, s, 5, u[:2]), "shape"),
        ((q, s, 5, u * 2), "diagonals"),
    ):
        with pytest.raises(InvalidInput, match=message):
            pool_imputations(*args)
    with pytest.raises(NotEstimable, match="singular"):
        pool_imputations(q, s, 5, np.ones((3, 2, 2)))
    with pytest.raises(InvalidInput, match="different terms"):
        pool_imputations(pd.DataFrame(q), pd.DataFrame(s, columns=["x", "y"]))
