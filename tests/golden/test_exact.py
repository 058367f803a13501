"""Exact intervals and paired tests against R's poisson.test, binom.test and enumeration."""

from __future__ import annotations

import numpy as np
import pytest
from golden_support import CLOSED, agree, frame, golden

from ketamine_outcomes.estimators import (
    exact_proportion,
    exact_rate,
    exact_rate_ratio,
    paired_exact,
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


@pytest.mark.parametrize("case", range(5))
def test_paired_grid(case: int) -> None:
    r = golden("paired_exact_grid")["differences"][case]
    table = paired_exact(r["x"]).table.set_index("test")
    agree(table.loc["sign_flip", "statistic"], r["sign_flip"]["sum"], CLOSED)
    agree(table.loc["sign_flip", "p_value"], r["sign_flip"]["p_two_sided"], CLOSED)
    agree(table.loc["sign_flip", "min_p"], r["sign_flip"]["minimum_attainable_two_sided"], CLOSED)
    agree(table.loc["wilcoxon", "statistic"], r["wilcoxon"]["V"], CLOSED)
    agree(table.loc["wilcoxon", "p_value"], r["wilcoxon"]["p_two_sided_twice_smaller_tail"], CLOSED)
    agree(table.loc["sign_test", "p_value"], r["sign_test_p"], CLOSED)


def test_patient_means() -> None:
    r = golden("paired_patient_means")
    means = frame("pain_small").pivot_table(index="patient", columns="post", values="pain")
    result = paired_exact(means[1] - means[0])
    table = result.table.set_index("test")
    assert result.diagnostics["n_observations"] == r["n"]
    assert result.diagnostics["n_dropped"] == 1
    t, expected = table.loc["paired_t"], r["paired_t"]
    agree(
        [t["estimate"], t["statistic"], t["df"], t["p_value"]],
        [expected["mean"], expected["t"], expected["df"], expected["p"]],
        CLOSED,
    )
    agree([t["ci_low"], t["ci_high"]], expected["ci95"], CLOSED)
    agree(table.loc["wilcoxon", "p_value"], r["wilcoxon_p_exact"], CLOSED)
    agree(table.loc["sign_test", "p_value"], r["sign_test_p_exact"], CLOSED)
    r = golden("paired_sign_flip")["sign_flip"]
    agree(table.loc["sign_flip", "p_value"], r["p_two_sided"], CLOSED)
