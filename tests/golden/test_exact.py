"""Exact intervals, paired tests and two by two tables against R and enumeration."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from golden_support import CLOSED, OPTIMISED, agree, frame, golden

from ketamine_outcomes.estimators import (
    exact_proportion,
    exact_rate,
    exact_rate_ratio,
    paired_exact,
    two_by_two,
)


def interval(result: object) -> list[float]:
    row = result.table.iloc[0]  # type: ignore[attr-defined]
    return [row["ci_low"], row["ci_high"]]


def bounds(values: list[float | None]) -> list[float]:
    return [np.inf if v is None else v for v in values]


def test_rates_grid() -> None:
    r = golden("exact_rates_grid")
    n = r["denominator_n"]
    for i, x in enumerate(r["count"]):
        for ours, key in (
            (exact_rate(x, 1), "poisson_exact"),
            (exact_rate(x, 1, mid_p=True), "poisson_midp"),
            (exact_proportion(x, n), "clopper_pearson"),
            (exact_proportion(x, n, mid_p=True), "binomial_midp"),
        ):
            agree(interval(ours), [r[f"{key}_lower"][i], r[f"{key}_upper"][i]], CLOSED, key)


def test_rate_grid() -> None:
    r = golden("exact_rate_grid")
    for q in r["one_sample"]:
        call = (q["events"], q["time"])
        agree(exact_rate(*call).table["estimate"], [q["rate"]], CLOSED)
        agree(interval(exact_rate(*call)), q["exact_ci95"], CLOSED)
        agree(interval(exact_rate(*call, mid_p=True)), q["midp_ci95"], CLOSED)
        agree(interval(exact_rate(*call, level=0.9))[1], q["one_sided_upper_95"], CLOSED)
    for q in r["rate_ratio"]:
        ratio = (q["events_1"], q["time_1"], q["events_0"], q["time_0"])
        result = exact_rate_ratio(*ratio)
        agree(result.table["estimate"], bounds([q["rate_ratio"]]), CLOSED)
        agree(result.table["p_value"], [q["p_exact"]], CLOSED)
        agree(interval(result), bounds(q["exact_ci95"]), CLOSED)
        agree(interval(exact_rate_ratio(*ratio, mid_p=True)), bounds(q["midp_ci95"]), CLOSED)


def test_proportion_grid() -> None:
    for q in golden("exact_proportion_grid"):
        call = (q["events"], q["n"])
        agree(interval(exact_proportion(*call)), q["clopper_pearson_ci95"], CLOSED)
        agree(interval(exact_proportion(*call, mid_p=True)), q["midp_ci95"], CLOSED)


def test_ovarian_rates() -> None:
    r = golden("ovarian_exact_rate")
    e, t = r["events"], r["time_1000_days"]
    for arm in ("1", "2"):
        agree(interval(exact_rate(e[arm], t[arm])), r[f"exact_ci95_rx{arm}"], CLOSED)
        agree(interval(exact_rate(e[arm], t[arm], mid_p=True)), r[f"midp_ci95_rx{arm}"], CLOSED)
    result = exact_rate_ratio(e["2"], t["2"], e["1"], t["1"])
    agree(result.table["estimate"], [r["rate_ratio_rx2_vs_rx1"]], CLOSED)
    agree(interval(result), r["rate_ratio_ci95"], CLOSED)
    agree(result.table["p_value"], [r["p"]["2"]], CLOSED)


def test_recurrent_rates_exact() -> None:
    r = golden("recurrent_rates_exact")
    data = frame("recurrent")
    events = data["status"].eq(1).groupby(data["arm"]).sum()
    days = (data["tstop"] - data["tstart"]).groupby(data["arm"]).sum()
    for arm in (0, 1):
        q, call = r[f"arm{arm}"], (int(events[arm]), days[arm] / 1000)
        assert [call[0], days[arm]] == [q["events"], q["days"]]
        agree(exact_rate(*call).table["estimate"], [q["rate_per_1000_days"]], CLOSED)
        agree(interval(exact_rate(*call)), q["exact_ci95"], CLOSED)
        agree(interval(exact_rate(*call, mid_p=True)), q["midp_ci95"], CLOSED)
    q = r["rate_ratio_arm1_vs_arm0"]
    result = exact_rate_ratio(events[1], days[1], events[0], days[0])
    agree(result.table["estimate"], [q["estimate"]], CLOSED)
    agree(interval(result), q["exact_ci95"], CLOSED)
    agree(result.table["p_value"], [q["p"]["1"]], CLOSED)


# ------------------------------------------------------------------------- two by two tables

# fisher.test looks for an odds ratio below 1, or for 1 / odds ratio, until it is right to this
FISHER_TEST_STEP = np.finfo(float).eps ** 0.25


def below_one(values: Any) -> np.ndarray:
    values = np.array([np.inf if v is None else v for v in np.ravel(values)], float)
    with np.errstate(divide="ignore"):
        return np.where(values > 1, 1 / values, values)


def agree_odds_ratio(row: pd.Series, estimate: float | None, ci: list[float | None]) -> None:
    ours = row[["estimate", "ci_low", "ci_high"]].to_numpy(float)
    np.testing.assert_allclose(
        below_one(ours), below_one([estimate, *ci]), rtol=0, atol=2 * FISHER_TEST_STEP
    )


def agree_p_values(table: pd.DataFrame, r: dict[str, Any]) -> None:
    agree(table.loc["odds_ratio_conditional", "p_value"], r["fisher_p"], CLOSED)
    agree(table.loc["fisher_mid_p", "p_value"], r["fisher_midp"], CLOSED)
    b = r["boschloo"]
    for measure, column, key in (
        ("odds_ratio_conditional", "p_value", "fisher_p_two_sided"),
        ("odds_ratio_conditional", "p_less", "fisher_p_less"),
        ("odds_ratio_conditional", "p_greater", "fisher_p_greater"),
        ("boschloo", "p_less", "boschloo_p_less"),
        ("boschloo", "p_greater", "boschloo_p_greater"),
        ("boschloo", "p_value", "boschloo_p_two_sided_ordering_by_two_sided_fisher"),
        ("boschloo_doubled", "p_value", "boschloo_p_two_sided_twice_smaller_one_sided"),
    ):
        agree(table.loc[measure, column], b[key], CLOSED, key)


@pytest.mark.parametrize("case", range(7))
def test_two_by_two_grid(case: int) -> None:
    r = golden("exact_two_by_two_grid")[case]
    a, c = r["events_1"], r["events_0"]
    table = two_by_two(a, r["n_1"] - a, c, r["n_0"] - c).table.set_index("measure")
    agree_p_values(table, r)
    doubled = table.loc["fisher_mid_p_doubled", "p_value"]
    agree(doubled, r["fisher_midp_twice_smaller_tail"], CLOSED)
    agree_odds_ratio(
        table.loc["odds_ratio_conditional"],
        r["odds_ratio_conditional_mle"],
        r["odds_ratio_exact_ci95"],
    )


def test_ovarian_deaths() -> None:
    r = golden("ovarian_exact_2x2")
    deaths = frame("ovarian").groupby("rx")["fustat"].agg(["sum", "size"])
    a, c = deaths.loc[2, "sum"], deaths.loc[1, "sum"]
    table = two_by_two(a, deaths.loc[2, "size"] - a, c, deaths.loc[1, "size"] - c).table
    table = table.set_index("measure")
    agree_p_values(table, r)
    agree_odds_ratio(
        table.loc["odds_ratio_conditional"], r["odds_ratio_conditional_mle"], r["odds_ratio_ci95"]
    )
    for row, key in (
        ("proportion_1", "clopper_pearson_rx2"),
        ("proportion_2", "clopper_pearson_rx1"),
    ):
        agree(table.loc[row, ["ci_low", "ci_high"]], r[key], CLOSED, key)


def test_exact_2x2_rare() -> None:
    r = golden("exact_2x2_rare")
    rare = frame("rare").groupby("arm")["status"].agg(["sum", "size"])
    events, n = rare["sum"], rare["size"]
    without_0, with_0, without_1, with_1 = np.ravel(r["table_rows_arm_cols_status"]["values"])
    assert [n[0] - events[0], events[0], n[1] - events[1], events[1]] == [
        without_0, with_0, without_1, with_1
    ]  # fmt: skip
    table = two_by_two(without_0, with_0, without_1, with_1).table.set_index("measure")
    agree(table.loc["odds_ratio_conditional", "p_value"], r["fisher_p"], CLOSED)
    agree_odds_ratio(
        table.loc["odds_ratio_conditional"], r["fisher_odds_ratio_cmle"], r["fisher_ci95"]
    )
    for arm in (0, 1):
        q, call = r[f"arm{arm}"], (int(events[arm]), int(n[arm]))
        agree(interval(exact_proportion(*call)), q["clopper_pearson_ci95"], CLOSED)
        if "midp_ci95" in q:
            agree(interval(exact_proportion(*call, mid_p=True)), q["midp_ci95"], CLOSED)


# ------------------------------------------------------------------------ paired differences


@pytest.mark.parametrize("case", range(5))
def test_paired_grid(case: int) -> None:
    r = golden("paired_exact_grid")["differences"][case]
    table = paired_exact(r["x"]).table.set_index("test")
    agree_sign_flip(table.loc["sign_flip"], r["sign_flip"])
    agree_wilcoxon(table.loc["wilcoxon"], r["wilcoxon"])
    agree(table.loc["sign_test", "p_value"], r["sign_test_p"], CLOSED)


def agree_sign_flip(row: pd.Series, r: dict[str, float]) -> None:
    agree(row["n"], r["n"], CLOSED)
    agree(row["statistic"], r["sum"], CLOSED)
    agree(
        row[["p_value", "p_less", "p_greater", "min_p"]],
        [r["p_two_sided"], r["p_less"], r["p_greater"], r["minimum_attainable_two_sided"]],
        CLOSED,
    )


def agree_wilcoxon(row: pd.Series, r: dict[str, float]) -> None:
    agree(
        row[["n", "statistic", "p_value", "mid_p"]],
        [r["n_nonzero"], r["V"], r["p_two_sided_twice_smaller_tail"], r["midp_two_sided"]],
        CLOSED,
    )


@pytest.mark.parametrize("case", range(3))
def test_sign_test_is_mcnemar(case: int) -> None:
    r = golden("paired_exact_grid")["mcnemar_exact"][case]
    row = paired_exact([1] * r["b"] + [-1] * r["c"]).table.set_index("test").loc["sign_test"]
    agree(row[["p_value", "mid_p"]], [r["p"], r["midp"]], CLOSED)


def test_patient_means() -> None:
    r = golden("paired_patient_means")
    means = frame("pain_small").pivot_table(index="patient", columns="post", values="pain")
    result = paired_exact(means[1] - means[0])
    table = result.table.set_index("test")
    assert result.diagnostics["n_observations"] == r["n"]
    assert result.diagnostics["n_dropped"] == 1
    t, expected = table.loc["paired_t"], r["paired_t"]
    agree(
        t[["estimate", "statistic", "df", "p_value"]],
        [expected["mean"], expected["t"], expected["df"], expected["p"]],
        CLOSED,
    )
    agree(t[["ci_low", "ci_high"]], expected["ci95"], CLOSED)
    agree(
        table.loc["wilcoxon", ["estimate", "statistic", "p_value", "ci_low", "ci_high"]],
        [r["hodges_lehmann"], r["wilcoxon_V"], r["wilcoxon_p_exact"], *r["wilcoxon_exact_ci"]],
        CLOSED,
    )
    agree(
        table.loc["sign_test", ["statistic", "p_value"]],
        [r["sign_test_n_positive"], r["sign_test_p_exact"]],
        CLOSED,
    )


def test_paired_sign_flip() -> None:
    r = golden("paired_sign_flip")
    table = paired_exact([np.nan if x is None else x for x in r["difference"]]).table
    table = table.set_index("test")
    agree_sign_flip(table.loc["sign_flip"], r["sign_flip"])
    agree_wilcoxon(table.loc["wilcoxon"], r["wilcoxon"])


# ------------------------------------------------- public data (tests/golden/r/golden_exact.R)


@pytest.mark.parametrize("case", range(14))
def test_exact_two_by_two_public(case: int) -> None:
    r, q = golden("exact_two_by_two_public")[case], frame("two_by_two_public").iloc[case]
    assert r["name"] == q["name"]
    table = two_by_two(q["a"], q["b"], q["c"], q["d"], level=0.9).table.set_index("measure")
    row = table.loc["odds_ratio_conditional"]
    agree(
        row[["p_value", "p_less", "p_greater"]],
        [r["p_two_sided"], r["p_less"], r["p_greater"]],
        CLOSED,
    )
    agree(
        row[["estimate", "ci_low", "ci_high"]],
        bounds([r["odds_ratio"], *r["odds_ratio_ci90"]]),
        CLOSED,
    )
    for measure, ci in r.get("score_ci90", {}).items():
        agree(table.loc[measure, ["ci_low", "ci_high"]], ci, OPTIMISED, measure)


def test_exact_large_counts() -> None:
    r = golden("exact_large_counts")
    for q in r["proportion"]:
        agree(interval(exact_proportion(q["events"], q["n"], level=0.99)), q["ci99"], CLOSED)
    for q in r["rate"]:
        agree(interval(exact_rate(q["events"], q["exposure"], level=0.8)), q["ci80"], CLOSED)
    for q in r["ratio"]:
        call = (q["events_1"], q["exposure_1"], q["events_2"], q["exposure_2"])
        result = exact_rate_ratio(*call, level=0.8)
        agree(result.table["estimate"], bounds([q["estimate"]]), CLOSED)
        agree(interval(result), bounds(q["ci80"]), CLOSED)
        agree(result.table["p_value"], [q["p"]], CLOSED)


@pytest.mark.parametrize(
    "name", ["sleep", "darwin", "shoes", "anorexia_FT", "anorexia_CBT", "immer"]
)
def test_paired_public(name: str) -> None:
    r, data = golden("paired_public")[name], frame("paired_public")
    x = data.loc[data["set"] == name, "difference"]
    table = paired_exact(x, level=0.9).table.set_index("test")
    w, t = table.loc["wilcoxon"], table.loc["paired_t"]
    agree(w[["statistic", "p_less", "p_greater"]], [r["V"], r["p_less"], r["p_greater"]], CLOSED)
    agree(table.loc["sign_flip", ["n", "p_value"]], [r["n"], r["sign_flip_p"]], CLOSED)
    agree(table.loc["sign_test", "p_value"], r["sign_p"], CLOSED)
    agree(
        t[["estimate", "statistic", "p_value", "p_less", "ci_low", "ci_high"]],
        [*(r["t"][k] for k in ("estimate", "statistic", "p", "p_less")), *r["t"]["ci90"]],
        CLOSED,
    )
    if "hodges_lehmann" in r:
        agree(
            w[["estimate", "ci_low", "ci_high", "p_value"]],
            [r["hodges_lehmann"], *r["hodges_lehmann_ci90"], r["wilcoxon_p"]],
            CLOSED,
        )
