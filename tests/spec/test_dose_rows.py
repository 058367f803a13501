"""Every dose row ends in one class with a reason, and only what was given counts."""

from __future__ import annotations

import pytest
from support import extract, units_at

from ketamine_outcomes.exposure import flags
from ketamine_outcomes.exposure.charting import Assumptions
from ketamine_outcomes.exposure.classify import Exposure, classify
from ketamine_outcomes.exposure.factors import FactorTable
from ketamine_outcomes.outcomes import opioid

IV_MORPHINE = {"drug": "Morphine Sulfate", "route": "iv", "form": "injection", "amount_unit": "mg"}
IV_RATE = {"drug": "Fentanyl", "route": "iv", "form": "infusion", "rate_unit": "mcg/hr"}
ORAL = {"drug": "OxyCODONE (Immediate Release)", "route": "oral", "form": "tablet",
        "amount_unit": "mg"}  # fmt: skip


def ledger(doses, stays=None, assume=None, **more):
    found = classify(extract(doses, stays, **more), assume or Assumptions())
    return found, list(zip(found.ledger["class"], found.ledger["reason"], strict=True))


def mme(found: Exposure, low: float, high: float, stays=None, factors="cdc2022+inpatient"):
    """Return MME of [low, high) hours after midnight."""
    units = units_at(0)
    masses = opioid.window_masses(units, found.intervals, [(low, high)])
    converted = opioid.convert(masses, FactorTable(factors))
    source = extract([], stays or [(0, 240)])
    return opioid.window_mme(units, source, converted, [(low, high)]).iloc[0]


def test_given_bolus_counts_with_its_factor():
    found, classes = ledger([{**IV_MORPHINE, "start": 8, "amount": 4}])
    assert classes == [("converted", "")]
    assert mme(found, 0, 24)["mme"] == 12


@pytest.mark.parametrize("status", ["not_given", "held", "refused", "missed", "attempt"])
def test_not_given_rows_carry_a_dose_and_do_not_count(status):
    found, classes = ledger([{**IV_MORPHINE, "start": 8, "amount": 4, "status": status}])
    assert classes == [("excluded", "status")]
    row = mme(found, 0, 24)
    assert (row["mme"], row["state"]) == (0, "observed_zero")


def test_a_dose_that_is_not_known_makes_the_window_incomplete_never_zero():
    found, classes = ledger([{**IV_MORPHINE, "start": 8}])
    assert classes == [("unconverted", "no_dose")]
    row = mme(found, 0, 24)
    assert (row["mme"], row["incomplete"], row["state"]) == (0, True, "incomplete")


def test_route_not_recorded_needs_the_cohorts_assumption():
    dose = {**IV_MORPHINE, "route": None, "start": 8, "amount": 4}
    _, classes = ledger([dose])
    assert classes == [("unconverted", "no_route")]
    found, classes = ledger([dose], assume=Assumptions(parenteral_route="iv"))
    assert classes == [("converted", "")]
    assert flags.words(found.ledger["flags"].iloc[0]) == "route_assumed"
    assert mme(found, 0, 24)["imputed_share"] == 1


def test_tablet_without_route_is_oral():
    found, _ = ledger([{**ORAL, "route": None, "start": 8, "amount": 5}])
    assert found.ledger["route_resolved"].iloc[0] == "oral"
    assert mme(found, 0, 24)["mme"] == 7.5


def test_rate_rows_close_at_the_next_rate_row_whatever_its_order_and_at_a_stop():
    found, classes = ledger(
        [
            {**IV_RATE, "start": 8, "rate": 50, "status": "started", "order_id": "a"},
            {**IV_RATE, "start": 10, "rate": 100, "status": "rate_change", "order_id": "b"},
            {**IV_RATE, "start": 11, "rate": 100, "status": "verified", "order_id": "b"},
            {**IV_RATE, "start": 12, "status": "stopped", "order_id": "b"},
        ]
    )
    assert [c for c, _ in classes] == ["converted", "converted", "marker", "marker"]
    # 50 x 2 h + 100 x 2 h = 300 mcg, 0.3 MME a microgram
    assert mme(found, 0, 24)["mme"] == pytest.approx(90, abs=1e-6)


def test_an_open_infusion_ends_with_the_stay_and_says_so():
    found, _ = ledger([{**IV_RATE, "start": 8, "rate": 50, "status": "started"}], stays=[(0, 12)])
    assert flags.words(found.ledger["flags"].iloc[0]) == "open_interval_closed_by_discharge"
    assert mme(found, 0, 48, stays=[(0, 12)])["mme"] == pytest.approx(60, abs=1e-6)


def test_an_open_infusion_is_capped_a_day_after_its_last_confirmation():
    found, _ = ledger(
        [
            {**IV_RATE, "start": 0, "rate": 10, "status": "started"},
            {**IV_RATE, "start": 20, "status": "verified"},
        ]
    )
    assert flags.words(found.ledger["flags"].iloc[0]) == "open_interval_closed_by_cap"
    assert mme(found, 0, 96)["mme"] == pytest.approx(10 * 44 * 0.3, abs=1e-6)


def test_a_rate_of_one_minute_is_a_bolus_judged_by_its_amount():
    minute = 1 / 60
    found, classes = ledger(
        [{**IV_RATE, "start": 8, "end": 8 + minute, "rate": 75000, "amount": 1.25,
          "amount_unit": "mg"}]
    )  # fmt: skip
    assert classes == [("converted", "")]
    assert flags.words(found.ledger["flags"].iloc[0]) == "rate_as_bolus"
    assert mme(found, 0, 24)["mme"] == pytest.approx(375, abs=1e-6)


def test_amount_wins_over_rate_and_is_spread_over_its_interval():
    found, _ = ledger(
        [{**IV_RATE, "start": 22, "end": 26, "rate": 1, "amount": 0.4, "amount_unit": "mg"}]
    )
    first, second = mme(found, 0, 24), mme(found, 24, 48)
    assert (first["mme"], second["mme"]) == (60, 60)


def test_the_bag_is_not_a_dose():
    found, _ = ledger(
        [
            {**IV_RATE, "start": 8, "rate": 50, "status": "started", "amount": 2500,
             "amount_unit": "mcg"},
            {**IV_RATE, "start": 9, "status": "stopped"},
        ]
    )  # fmt: skip
    assert mme(found, 0, 24)["mme"] == pytest.approx(15, abs=1e-6)


def test_a_dose_outside_every_stay_is_set_aside():
    found, classes = ledger([{**IV_MORPHINE, "start": 30, "amount": 4}], stays=[(0, 24)])
    assert classes == [("excluded", "outside_stay")]
    assert not mme(found, 24, 48)["incomplete"]


def test_a_dose_exactly_at_stay_end_belongs_inside():
    _, classes = ledger([{**IV_MORPHINE, "start": 24, "amount": 4}], stays=[(0, 24)])
    assert classes == [("converted", "")]


def test_two_feeds_of_one_infusion_count_once():
    feeds = Assumptions(feed_priority=("icu", "emar"))
    found, classes = ledger(
        [
            {**IV_RATE, "start": 8, "end": 12, "rate": 50, "source": "icu"},
            {**IV_RATE, "start": 8, "rate": 50, "status": "started", "source": "emar"},
            {**IV_RATE, "start": 12, "status": "stopped", "source": "emar"},
        ],
        assume=feeds,
    )
    assert classes[1] == ("duplicate", "lower_priority_feed")
    assert mme(found, 0, 24)["mme"] == pytest.approx(60, abs=1e-6)


def test_a_lower_feed_counts_where_the_higher_one_is_silent():
    feeds = Assumptions(feed_priority=("icu", "emar"))
    _, classes = ledger(
        [
            {**IV_MORPHINE, "start": 8, "amount": 4, "source": "icu"},
            {**IV_MORPHINE, "start": 8.5, "amount": 4, "source": "emar"},
            {**IV_MORPHINE, "start": 12, "amount": 4, "source": "emar"},
        ],
        assume=feeds,
    )
    assert classes == [("converted", ""), ("duplicate", "lower_priority_feed"), ("converted", "")]


def test_different_doses_of_one_feed_are_different_doses():
    _, classes = ledger([{**IV_MORPHINE, "start": 8, "amount": 4}] * 2)
    assert classes == [("converted", "")] * 2


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"amount": 4, "amount_unit": "puff"}, "unknown_unit"),
        ({"amount": 4, "amount_unit": None}, "unknown_unit"),
        ({"amount": 4, "amount_unit": "mL"}, "no_concentration"),
        ({"amount": -4}, "negative"),
        ({"amount": 1e9}, "implausible_unit"),
        ({"amount": 4, "end": 7}, "end_before_start"),
        ({"rate": 0.1, "rate_unit": "mg/kg/h"}, "no_weight"),
        ({"rate": 2, "rate_unit": "mL/h"}, "no_concentration"),
        ({"rate": 2, "rate_unit": "mg/h", "end": 8}, "no_duration"),
        ({"amount": 4, "status": "unknown"}, "unknown_status"),
    ],
)
def test_bad_rows_are_named_and_nothing_is_guessed(row, reason):
    found, classes = ledger([{**IV_MORPHINE, "start": 8, **row}])
    assert classes == [("unconverted", reason)]
    assert mme(found, 0, 24)["incomplete"]


def test_per_kg_uses_the_last_plausible_weight_at_or_before():
    found, classes = ledger(
        [{**IV_MORPHINE, "start": 8, "end": 10, "rate": 0.1, "rate_unit": "mg/kg/h"}],
        weights=[(1, 80), (7, 7000), (9, 60)],
    )
    assert classes == [("converted", "")]
    assert mme(found, 0, 24)["mme"] == pytest.approx(0.1 * 80 * 2 * 3, abs=1e-6)


def test_mL_with_concentration():
    found, _ = ledger(
        [{**IV_MORPHINE, "start": 8, "amount": 2, "amount_unit": "mL", "concentration": 5,
          "concentration_unit": "mg/mL"}]
    )  # fmt: skip
    assert mme(found, 0, 24)["mme"] == 30


def test_waste_is_taken_from_a_dispensed_amount_only():
    dose = {**IV_MORPHINE, "start": 8, "amount": 10, "wasted": 6}
    assert mme(ledger([{**dose, "amount_basis": "dispensed"}])[0], 0, 24)["mme"] == 12
    assert mme(ledger([dose])[0], 0, 24)["mme"] == 30


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"drug": "HYDROmorphone", "route": "epidural"}, "neuraxial"),
        ({"drug": "Remifentanil", "route": "iv"}, "remifentanil"),
        ({"drug": "Fentanyl", "route": "iv", "procedural": True}, "procedural"),
        ({"drug": "Methadone", "route": "oral", "indication": "oud"}, "oud"),
        ({"drug": "Morphine", "route": "iv", "amount_basis": "ordered"}, "ordered"),
    ],
)
def test_a_rotation_never_looks_like_sparing(row, reason):
    found, classes = ledger([{"start": 8, "amount": 1, "amount_unit": "mg", **row}])
    assert classes == [("excluded", reason)]
    assert mme(found, 0, 24)["incomplete"]


def test_names_match_by_whole_words():
    _, classes = ledger(
        [
            {"drug": "Tiotropium Bromide", "start": 1, "amount": 1, "amount_unit": "mg"},
            {"drug": "LevETIRAcetam", "start": 1, "amount": 1, "amount_unit": "mg"},
            {"drug": "Methylnaltrexone", "start": 1, "amount": 1, "amount_unit": "mg"},
            {"drug": "Ketamine", "route": "iv", "start": 1, "amount": 1, "amount_unit": "mg"},
        ]
    )
    assert classes == [
        ("non_opioid", "not_in_dictionary"),
        ("non_opioid", "not_in_dictionary"),
        ("non_opioid", "antagonist"),
        ("non_opioid", "ketamine"),
    ]


def test_an_unknown_name_is_a_fault_where_the_table_holds_opioids_only():
    found, classes = ledger(
        [{"drug": "Wonderdrug", "start": 1, "amount": 1, "amount_unit": "mg"}],
        assume=Assumptions(unknown_is_opioid=True),
    )
    assert classes == [("unconverted", "unknown_drug")]
    assert mme(found, 0, 24)["incomplete"]
    assert found.unmapped[["word", "rows"]].values.tolist() == [["Wonderdrug", 1]]


def test_combination_tablets_count_their_opioid():
    found, _ = ledger(
        [{"drug": "Oxycodone-Acetaminophen (5mg-325mg)", "route": "oral", "form": "tablet",
          "start": 8, "amount": 2, "amount_unit": "TAB"}]
    )  # fmt: skip
    assert mme(found, 0, 24)["mme"] == 15


def test_a_patch_is_worn_to_its_removal_or_for_its_label():
    patch = {"drug": "Fentanyl", "route": "transdermal", "form": "patch", "rate": 25,
             "rate_unit": "mcg/h", "status": "applied"}  # fmt: skip
    found, _ = ledger([{**patch, "start": 9}])
    assert flags.words(found.ledger["flags"].iloc[0]) == "patch_removal_imputed_72h"
    assert mme(found, 0, 24)["mme"] == pytest.approx(37.5, abs=1e-6)
    assert mme(found, 24, 48)["mme"] == pytest.approx(60, abs=1e-6)
    assert mme(found, 72, 96)["mme"] == pytest.approx(22.5, abs=1e-6)
    removed, _ = ledger([{**patch, "start": 9}, {**patch, "start": 21, "status": "removed"}])
    assert mme(removed, 0, 96)["mme"] == pytest.approx(30, abs=1e-6)


def test_pump_counter_differences_with_a_reset():
    reading = {"drug": "Hydromorphone", "route": "iv", "form": "pca_reading",
               "amount_unit": "mg", "infusion_id": "pump"}  # fmt: skip
    found, classes = ledger(
        [{**reading, "start": h, "amount": a} for h, a in ((8, 3), (10, 5), (12, 1))]
    )
    assert classes == [("marker", "first_reading"), ("converted", ""), ("converted", "")]
    assert mme(found, 0, 24)["mme"] == pytest.approx((2 + 1) * 20, abs=1e-6)


def test_what_is_stamped_at_index_is_after_it():
    found, _ = ledger([{**IV_MORPHINE, "start": 0, "amount": 4}])
    assert mme(found, -24, 0, stays=[(-48, 48)])["mme"] == 0
    assert mme(found, 0, 24)["mme"] == 12


def test_no_observed_time_is_unknown_not_zero():
    found, _ = ledger([])
    row = mme(found, 24, 48, stays=[(0, 12)])
    assert row["state"] == "unknown"
    assert row["mme"] != row["mme"]  # missing


def test_low_and_high_factor_ranges():
    found, _ = ledger([{**IV_MORPHINE, "drug": "Hydromorphone", "start": 8, "amount": 1}])
    values = [
        mme(found, 0, 24, factors=f"cdc2022+inpatient{x}")["mme"] for x in ("+low", "", "+high")
    ]
    assert values == [10, 20, 22.5]


def test_an_earlier_set_wins():
    found, _ = ledger([{"drug": "Fentanyl", "route": "iv", "start": 8, "amount": 100,
                        "amount_unit": "mcg"}])  # fmt: skip
    assert mme(found, 0, 24)["mme"] == 30
    assert mme(found, 0, 24, factors="route_consistent+cdc2022+inpatient")["mme"] == 10
