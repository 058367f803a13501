"""Pain per window, response and sustained relief, by the definitions."""

from __future__ import annotations

import pandas as pd
import pytest
from support import extract, units_at

from ketamine_outcomes.outcomes import pain
from ketamine_outcomes.study_outcomes import ReliefOutcome, ResponderOutcome

UNITS = units_at(24)


def scores(rows, hour=24):
    return pain.scores_from_index(units_at(hour), extract(pain=rows), "nrs")


def value(rows, window=(0, 24), summary="time_weighted_mean", needed=1):
    return pain.window_pain(UNITS, scores(rows), [window], summary, needed).iloc[0]


def test_a_score_holds_to_the_next_score_or_six_hours():
    # 10 holds 2 h, 4 holds 6 h (not 20)
    assert value([(24, 10), (26, 4)])["value"] == pytest.approx((10 * 2 + 4 * 6) / 8)


def test_a_score_holds_to_the_window_end():
    assert value([(24, 10), (46, 4)])["value"] == pytest.approx((10 * 6 + 4 * 2) / 8)


def test_a_score_at_index_belongs_after_it():
    assert value([(24, 7)], (-24, 0))["state"] == "unknown"
    assert value([(24, 7)])["value"] == 7


def test_asleep_is_not_a_score_of_zero():
    row = value([(24, None), (26, 6)], summary="mean")
    assert (row["value"], row["n_scores"]) == (6, 1)


def test_too_few_scores_are_no_value():
    row = value([(24, 7), (26, 5)], needed=3)
    assert row["state"] == "too_few_scores"
    assert pd.isna(row["value"])


def test_pain_on_movement_is_another_quantity():
    source = extract(pain=[(24, 7)])
    source.tables["pain_scores"]["context"] = "movement"
    assert pain.scores_from_index(UNITS, source, "nrs").empty


def window_values(before, after):
    return pd.DataFrame(
        {"unit_id": "p1", "window": ["[-24,0)", "[0,24)"], "value": [before, after]}
    )


@pytest.mark.parametrize(
    ("before", "after", "hit"), [(10, 7, True), (10, 7.1, False), (6, 4.2, True)]
)
def test_a_response_of_thirty_percent(before, after, hit):
    outcome = ResponderOutcome(kind="responder", fall_at_least=0.3)
    row = pain.response(window_values(before, after), "[-24,0)", outcome).iloc[0]
    assert bool(row["responded"]) is hit


def test_low_baseline_is_not_eligible_and_no_value_is_unknown():
    outcome = ResponderOutcome(kind="responder", points_at_least=2)
    assert not pain.response(window_values(3.9, 1), "[-24,0)", outcome).iloc[0]["eligible"]
    missing = pain.response(window_values(8, float("nan")), "[-24,0)", outcome).iloc[0]
    assert pd.isna(missing["responded"])


def relief(rows, stay=(0, 240), patient=None, end_reason="discharged"):
    source = extract(stays=[stay], pain=rows, patient=patient, stay={"end_reason": end_reason})
    found = pain.scores_from_index(UNITS, source, "nrs")
    outcome = ReliefOutcome(kind="sustained_relief")
    return pain.time_to_relief(UNITS, source, found, (-24, 0), "mean", 1, outcome)


def test_relief_is_the_end_of_the_second_window_with_relief():
    row = relief([(12, 10), (30, 7), (50, 9), (80, 6), (100, 5)]).iloc[0]
    # days from index: 0: 7, 1: 9, 2: 6, 3: 5 -> relief on days 2 and 3
    assert (row["time_hours"], row["cause"]) == (96, "event")


def test_one_good_day_is_not_relief():
    row = relief([(12, 10), (30, 2), (50, 9)]).iloc[0]
    assert (row["time_hours"], row["cause"]) == (216, "end_of_observation")


def test_death_competes():
    death = {"death_time": pd.Timestamp("2150-03-06T06:00")}
    row = relief([(12, 10), (30, 2), (50, 2)], patient=death).iloc[0]
    assert (row["time_hours"], row["cause"]) == (30, "death")


@pytest.mark.parametrize("death", [{}, {"death_time": pd.Timestamp("2150-03-07")}])
def test_a_stay_that_ended_in_death_says_when(death):
    row = relief([(12, 10), (30, 2), (50, 2)], (0, 55), death, "died").iloc[0]
    assert (row["time_hours"], row["cause"]) == (31, "death")


def test_observation_that_ends_before_the_second_window_cannot_confirm():
    row = relief([(12, 10), (30, 2), (50, 2)], stay=(0, 60)).iloc[0]
    assert (row["time_hours"], row["cause"]) == (36, "end_of_observation")


def test_low_baseline_is_not_at_risk():
    assert relief([(12, 3), (30, 1)]).empty
