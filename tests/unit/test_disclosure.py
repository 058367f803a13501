"""Small numbers stay hidden, also from someone who subtracts."""

from __future__ import annotations

import itertools
import math
import runpy
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from ketamine_outcomes import estimates
from ketamine_outcomes.release import disclosure
from ketamine_outcomes.release.disclosure_sets import complete
from ketamine_outcomes.release.disclosure_steps import keep_steps
from ketamine_outcomes.study import Disclosure

_EXAMPLES = runpy.run_path(str(Path(__file__).with_name("test_release_examples.py")))
registry_estimates = _EXAMPLES["registry_estimates"]

CMS = Disclosure(policy="cms")
NHS = Disclosure(policy="nhs")
NONE = Disclosure(policy="none")


def frame(rows: list[dict[str, Any]]) -> pd.DataFrame:
    return estimates.table(rows, study="s", cohort="c", definition_hash="h")


def flow(*remaining: int) -> pd.DataFrame:
    rows = []
    for i, n in enumerate(remaining):
        common = {
            "analysis": "attrition",
            "outcome": "patients",
            "measure": "count",
            "term": "in_extract" if i == 0 else f"step_{i}",
            "note": f"rule {i}",
        }
        rows.append({**common, "level": "remaining", "estimate": n})
        rows.append({**common, "level": "excluded", "estimate": remaining[i - 1] - n if i else 0})
    return frame(rows)


def words(counts: dict[str, int], n: int, level: str = "all") -> list[dict[str, Any]]:
    c = {"analysis": "characteristics", "outcome": "sex", "level": level, "n_patients": n}
    rows: list[dict[str, Any]] = []
    for term, count in counts.items():
        rows.append({**c, "measure": "count", "term": term, "estimate": count})
        if term != "missing":
            rows.append(
                {
                    **c,
                    "measure": "proportion",
                    "term": term,
                    "estimate": count / n,
                    "n_events": count,
                }
            )
    return rows


def shown(table: pd.DataFrame, **cells: str) -> dict[str, float]:
    part = table[table["status"] == "ok"]
    for name, value in cells.items():
        part = part[part[name] == value]
    return dict(zip(part["term"], part["estimate"], strict=True))


def test_policy_none_changes_nothing() -> None:
    before = registry_estimates()
    pd.testing.assert_frame_equal(disclosure.apply(before, NONE), before)


@pytest.mark.parametrize(
    ("policy", "largest"),
    [(CMS, 10), (NHS, 7), (Disclosure(policy="custom", threshold=4), 4)],
)
def test_primary_suppression_at_the_threshold(policy: Disclosure, largest: int) -> None:
    sizes = (0, 1, largest, largest + 1)
    table = frame(
        [
            {
                "analysis": "describe",
                "outcome": f"x{n}",
                "measure": "mean",
                "estimate": 5.0,
                "n_patients": 200,
                "n_events": n,
            }
            for n in sizes
        ]
    )
    out = disclosure.apply(table, policy)
    assert list(out["status"]) == ["ok", "suppressed", "suppressed", "ok"]
    hidden = out[out["status"] == "suppressed"]
    assert hidden[list(estimates.RESULTS)].isna().all().all()
    assert hidden["ci_level"].isna().all()
    assert (hidden["note"] != "").all()


def test_the_complement_of_a_share_is_hidden() -> None:
    rows = [
        {
            "analysis": "describe",
            "outcome": "r",
            "measure": "proportion",
            "term": str(e),
            "estimate": e / 40,
            "n_patients": 40,
            "n_events": e,
        }
        for e in (0, 3, 20, 38, 40)
    ]
    out = disclosure.apply(frame(rows), CMS)
    assert shown(out) == {"0": 0, "20": 0.5, "40": 1}


def test_a_share_without_its_numerator_is_judged_by_what_it_implies() -> None:
    rows = [
        {
            "analysis": "describe",
            "outcome": "r",
            "measure": "proportion",
            "estimate": 3 / 40,
            "n_patients": 40,
        }
    ]
    assert set(disclosure.apply(frame(rows), CMS)["status"]) == {"suppressed"}


def test_a_sibling_goes_with_a_hidden_word_and_with_its_share() -> None:
    out = disclosure.apply(frame(words({"f": 60, "m": 37, "x": 3, "missing": 0}, 100)), CMS)
    assert shown(out, measure="count") == {"f": 60, "missing": 0}
    assert shown(out, measure="proportion") == {"f": 0.6}


def test_the_patients_of_a_window_cannot_be_subtracted() -> None:
    c = {
        "analysis": "describe",
        "outcome": "pain_nrs",
        "window": "[0,24)",
        "level": "all",
        "measure": "count",
        "n_patients": 250,
    }
    rows = [
        {**c, "term": term, "estimate": n}
        for term, n in (("with_value", 200), ("too_few_scores", 47), ("unknown", 3))
    ]
    assert shown(disclosure.apply(frame(rows), CMS)) == {"with_value": 200}


def test_missing_values_of_a_number_do_not_give_the_given_ones() -> None:
    rows = [
        {
            "analysis": "characteristics",
            "outcome": "age",
            "level": "all",
            "n_patients": 100,
            "measure": "count",
            "term": "missing",
            "estimate": 96,
        }
    ]
    assert set(disclosure.apply(frame(rows), CMS)["status"]) == {"suppressed"}


@pytest.mark.parametrize(
    "remaining", list(itertools.product((318, 300), (314, 300, 296), (291, 288), (276, 285, 30)))
)
def test_no_flow_box_can_be_differenced_to_a_small_number(remaining: tuple[int, ...]) -> None:
    ordered = tuple(sorted(remaining, reverse=True))
    out = disclosure.apply(flow(*ordered), CMS)
    visible = out[out["status"] == "ok"]
    kept = list(visible[visible["level"] == "remaining"]["estimate"])
    assert kept[-1] == ordered[-1], "the number analysed is published everywhere"
    for a, b in itertools.combinations(kept, 2):
        assert not 0 < a - b <= 10
    _attack_flow(out, ordered)


def _attack_flow(out: pd.DataFrame, truth: tuple[int, ...]) -> None:
    """Solve remaining[k-1] - excluded[k] = remaining[k] for every unknown, until stuck."""
    left = [
        v if s == "ok" else math.nan
        for v, s in out[out["level"] == "remaining"][["estimate", "status"]].itertuples(index=False)
    ]
    gone = [
        v if s == "ok" else math.nan
        for v, s in out[out["level"] == "excluded"][["estimate", "status"]].itertuples(index=False)
    ]
    for _ in truth:
        for k in range(1, len(truth)):
            if math.isnan(left[k]):
                left[k] = left[k - 1] - gone[k]
            if math.isnan(left[k - 1]):
                left[k - 1] = left[k] + gone[k]
            if math.isnan(gone[k]):
                gone[k] = left[k - 1] - left[k]
    for k in range(1, len(truth)):
        assert not 0 < gone[k] <= 10
    assert not [g for g in gone if g < 0]


@pytest.mark.parametrize(
    "arms",
    [{"iv": 120, "sc": 96, "none": 8}, {"iv": 120, "sc": 5}, {"iv": 14, "sc": 12, "none": 11}],
)
@pytest.mark.parametrize("policy", [CMS, NHS])
def test_attack_by_subtraction_on_a_whole_registry(
    arms: dict[str, int], policy: Disclosure
) -> None:
    """Whoever knows every published count must not reach a small one by plus and minus."""
    before = registry_estimates(arms)
    out = disclosure.apply(before, policy)
    limit = disclosure.threshold(policy)
    estimates.check(out)
    assert not out["n_patients"].between(1, limit).any()
    assert not out["n_events"].between(1, limit).any()
    counts = out[(out["measure"] == "count") & (out["status"] == "ok")]
    assert not counts["estimate"].between(1, limit).any()
    # everyone less the visible arms, for every count and every number of patients
    for column in ("estimate", "n_patients"):
        wide = _wide(counts if column == "estimate" else out[out["status"] == "ok"], column)
        truth = _wide(
            before[before["measure"] == "count"] if column == "estimate" else before, column
        )
        for key, cells in wide.items():
            missing = set(truth[key]) - set(cells) - {"all"}
            if "all" in cells and len(missing) == 1:
                rest = cells["all"] - sum(v for level, v in cells.items() if level != "all")
                assert not 0 < rest <= limit, (key, cells)


def _wide(table: pd.DataFrame, column: str) -> dict[Any, dict[str, float]]:
    part = table[~table["analysis"].isin(["attrition", "ledger"]) & table["level"].ne("")]
    out: dict[Any, dict[str, float]] = {}
    for row in part[part[column].notna()].to_dict("records"):
        time = row["time_hours"] if row["time_hours"] == row["time_hours"] else None
        cells = (row[c] for c in ("scenario", "analysis", "outcome", "window", "term", "measure"))
        key = (*cells, time)
        out.setdefault(key, {})[row["level"]] = row[column]
    return out


def test_the_ledger_hides_two_cells_or_none() -> None:
    rows = [
        {
            "analysis": "ledger",
            "outcome": "dose_rows",
            "term": t,
            "level": r,
            "measure": "count",
            "estimate": n,
        }
        for t, r, n in (
            ("converted", "factor", 900),
            ("marker", "rate", 40),
            ("unconverted", "no_factor", 4),
        )
    ]
    out = disclosure.apply(frame(rows), CMS)
    assert shown(out) == {"converted": 900}


@pytest.mark.parametrize("running_totals", [False, True])
def test_a_curve_keeps_only_steps_that_rest_on_enough_events(running_totals: bool) -> None:
    c = {
        "analysis": "sites",
        "outcome": "site",
        "level": "iv",
        "n_patients": 300,
        "measure": "cumulative_incidence",
    }
    rows = [
        {**c, "time_hours": float(e), "estimate": e / 300, "n_events": e if running_totals else 1}
        for e in range(1, 47)
    ]
    rows += [
        {**c, "term": "reported", "time_hours": t, "estimate": int(t) / 300, "n_events": int(t)}
        for t in (5.5, 30.5, 46.5)
    ]
    out = disclosure.apply(frame(rows), CMS)
    visible = out[out["status"] == "ok"]
    assert visible["n_events"].isna().all(), "the events of one step are a small number"
    kept = sorted({round(300 * height) for height in visible["estimate"]})
    assert kept, "a curve with many events is not lost"
    assert kept[-1] == 46
    assert kept[0] > 10
    assert all(b - a > 10 for a, b in itertools.pairwise(kept))


def test_a_remark_beside_the_flow_loses_its_small_counts() -> None:
    table = flow(300, 200)
    remark = {
        "analysis": "attrition",
        "outcome": "patients",
        "measure": "count",
        "term": "early",
        "level": "remark",
        "estimate": 40,
        "note": "an early dose; in 8 of them in one hour",
    }
    out = disclosure.apply(pd.concat([table, frame([remark])], ignore_index=True), CMS)
    assert "8 of them" not in " ".join(out["note"])


def test_a_curve_without_event_counts_is_judged_by_its_height() -> None:
    c = {"analysis": "sites", "outcome": "site", "measure": "survival_probability"}
    rows = [
        {**c, "time_hours": 1.0, "estimate": 0.99, "n_patients": 300},
        {**c, "time_hours": 9.0, "estimate": 0.5},
    ]
    assert set(disclosure.apply(frame(rows), CMS)["status"]) == {"suppressed"}


def test_at_risk_numbers_do_not_give_the_few_who_left() -> None:
    c = {
        "analysis": "sites",
        "outcome": "site",
        "level": "iv",
        "measure": "count",
        "term": "at_risk",
        "n_patients": 100,
    }
    rows = [
        {**c, "time_hours": float(t), "estimate": n}
        for t, n in ((24, 97), (48, 80), (72, 76), (96, 4))
    ]
    out = disclosure.apply(frame(rows), CMS)
    assert list(out["status"]) == ["suppressed", "ok", "suppressed", "suppressed"]


def test_a_rate_does_not_restate_hidden_events() -> None:
    c = {"analysis": "sites", "outcome": "site", "level": "iv"}
    rows = [
        {**c, "measure": "count", "term": "events", "estimate": 4},
        {**c, "measure": "count", "term": "site_days", "estimate": 400},
        {**c, "measure": "rate", "estimate": 1.0},
    ]
    out = disclosure.apply(frame(rows), CMS)
    assert list(out["status"]) == ["suppressed", "ok", "suppressed"]


def test_a_denominator_does_not_tell_how_few_were_left_out() -> None:
    rows = words({"f": 60, "m": 40}, 100)
    mean = {"analysis": "d", "outcome": "pain_nrs", "level": "all", "n_patients": 97}
    rows += [
        {
            **mean,
            "measure": "mean",
            "estimate": 5,
            "std_error": 0.2,
            "df": 96,
            "ci_low": 4.6,
            "ci_high": 5.4,
        },
        {**mean, "measure": "sd", "estimate": 2},
    ]
    out = disclosure.apply(frame(rows), CMS)
    row = out[out["measure"] == "mean"].iloc[0]
    assert row["status"] == "ok"
    assert row["estimate"] == 5
    assert math.isnan(row["n_patients"]) and math.isnan(row["df"])
    assert math.isnan(row["std_error"])
    assert out[out["measure"] == "sd"]["status"].item() == "suppressed"


def test_nhs_rounds_counts_to_five_and_shares_with_them() -> None:
    rows = words({"f": 61, "m": 36}, 97)
    out = disclosure.apply(frame(rows), NHS)
    assert set(out["n_patients"]) == {95.0}
    assert shown(out, measure="count") == {"f": 60.0, "m": 35.0}
    assert shown(out, measure="proportion") == {
        "f": pytest.approx(12 / 19),
        "m": pytest.approx(7 / 19),
    }


def test_nothing_is_ever_negative_or_turned_to_zero() -> None:
    before = registry_estimates({"iv": 30, "sc": 12, "none": 3})
    for policy in (CMS, NHS):
        out = disclosure.apply(before, policy)
        counts = out["measure"] == "count"
        assert not (out.loc[counts, "estimate"] < 0).any()
        became_zero = counts & (out["estimate"] == 0) & (before["estimate"] != 0)
        assert not became_zero.any()


def test_suppressing_twice_hides_no_more() -> None:
    once = disclosure.apply(registry_estimates(), CMS)
    pd.testing.assert_frame_equal(disclosure.apply(once, CMS), once)


def test_notes_lose_their_small_counts() -> None:
    text = "3 of 120 doses had no unit; 14 rows fell out; 6 patients left; 24 h windows"
    assert disclosure.scrub(text, CMS) == (
        "(some) of 120 doses had no unit; 14 rows fell out; (few) patients left; 24 h windows"
    )
    assert disclosure.scrub("117 of 120 doses", CMS) == "(some) of 120 doses"
    assert disclosure.scrub(text, NONE) == text


def test_complete_hides_enough_to_leave_doubt() -> None:
    assert complete({"a": 50, "b": 3}, {"b"}, 10) == {"a"}
    assert complete({"a": 50, "b": 3, "c": 4, "d": 20}, {"b", "c"}, 10) == {"d"}
    assert complete({"a": 50, "b": 40}, set(), 10) == set()
    assert complete({"a": 50, "b": 40}, set(), 10, remainder=5) == {"b"}


def test_keep_steps_walks_back_from_the_last_value() -> None:
    assert keep_steps([318, 314, 291, 276], 10, set()) == {1, 2, 3}
    assert keep_steps([300, 297], 10, set()) == {1}
    assert keep_steps([40, 40, 40], 10, set()) == {0, 1, 2}
