"""Outpatient MME: a day-by-day count in fractions beside the vectorised one, edges, refusals."""

from __future__ import annotations

import datetime
import doctest
import re
from collections import defaultdict
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ketamine_outcomes.errors import UserError
from ketamine_outcomes.exposure import outpatient

FIGURES = ["mme_per_supply_day", "mme_per_therapy_day", "mme_per_window_day", "mme_max_day"]
#: mg a day of methadone up to which a factor of 2016 holds.
TIERS = ((20, 4), (40, 8), (60, 10), (10**9, 12))


def table(rows: list[tuple[Any, ...]], **more: Any) -> pd.DataFrame:
    """patient, start, units, strength, days, and a factor or words of one kind for all."""
    names = ["patient_id", "start", "units", "strength", "days_supply"]
    names += ["factor"] if rows and len(rows[0]) == 6 else []
    return pd.DataFrame(rows, columns=names).assign(**more)


METHADONE: dict[str, Any] = {"drug": "methadone", "route": "oral", "strength_unit": "mg"}


# --- against a count by hand ------------------------------------------------------------------


def by_hand(
    rows: list[tuple[int, int, Fraction, int, Fraction | None]], first: int, last: int
) -> dict[str, dict[int, Fraction]]:
    """The figures, day by day in fractions. A row: patient, start, dose in all, days, factor.

    Without a factor the dose is methadone, by the tier of the patient's total of the day.
    """
    plain: dict[tuple[int, int], Fraction] = defaultdict(Fraction)
    methadone: dict[tuple[int, int], Fraction] = defaultdict(Fraction)
    for patient, start, dose, days, factor in rows:
        for day in range(start, start + days):
            if factor is None:
                methadone[patient, day] += dose / days
            else:
                plain[patient, day] += dose / days * factor

    def tier(patient: int, day: int) -> Fraction:
        return Fraction(next(f for top, f in TIERS if methadone[patient, day] <= top))

    def daily(patient: int, day: int) -> Fraction:
        return plain[patient, day] + methadone[patient, day] * tier(patient, day)

    def held(row: tuple[int, int, Fraction, int, Fraction | None], day: int) -> Fraction:
        patient, _, dose, days, factor = row
        return dose / days * (tier(patient, day) if factor is None else factor)

    result: dict[str, dict[int, Fraction]] = defaultdict(dict)
    for patient in {row[0] for row in rows}:
        mine = [row for row in rows if row[0] == patient]
        covered = {day for row in mine for day in range(row[1], row[1] + row[3])}
        total = sum((daily(patient, day) for day in covered), Fraction(0))
        result["total"][patient] = total
        result["supply"][patient] = total / sum(row[3] for row in mine)
        result["therapy"][patient] = total / len(covered)
        result["max"][patient] = max(daily(patient, day) for day in covered)
        inside = [daily(patient, day) for day in covered if first <= day <= last]
        result["prorated"][patient] = sum(inside, Fraction(0)) / (last - first + 1)
        result["whole"][patient] = sum(
            (
                held(row, day)
                for row in mine
                if first <= row[1] <= last
                for day in range(row[1], row[1] + row[3])
            ),
            Fraction(0),
        ) / (last - first + 1)
    return result


PRESCRIPTION = st.tuples(
    st.integers(1, 3),  # patient
    st.integers(-5, 40),  # start
    st.integers(1, 90),  # units
    st.sampled_from([2.5, 5, 7.5, 10, 15, 30]),
    st.integers(1, 30),  # days
    st.sampled_from([0.1, 0.15, 1.0, 1.5, 4.7, 5.0, None]),
)


@settings(max_examples=60, deadline=None)
@given(st.lists(PRESCRIPTION, min_size=1, max_size=12), st.integers(-3, 20), st.integers(1, 60))
def test_vectorised_equals_by_hand(
    prescriptions: list[tuple[Any, ...]], first: int, length: int
) -> None:
    rx = table(prescriptions, row=range(len(prescriptions)), **METHADONE)
    rx["factor"] = rx["factor"].astype("float64")
    last = first + length - 1
    rows = [
        (p, start, Fraction(str(units * strength)), days, None if f is None else Fraction(str(f)))
        for p, start, units, strength, days, f in prescriptions
    ]
    truth = by_hand(rows, first, last)
    got = outpatient.dated_mme(rx, "cdc2016", window=(first, last)).set_index("patient_id")
    cut = outpatient.dated_mme(rx, "cdc2016", window=(first, last), window_edge="prorated")
    cut = cut.set_index("patient_id")
    for patient in truth["total"]:
        for column, name in (
            ("total_mme", "total"), ("mme_per_supply_day", "supply"),
            ("mme_per_therapy_day", "therapy"), ("mme_max_day", "max"),
            ("mme_per_window_day", "whole"),
        ):  # fmt: skip
            assert got.loc[patient, column] == pytest.approx(
                float(truth[name][patient]), abs=1.01e-6
            ), column
        assert cut.loc[patient, "mme_per_window_day"] == pytest.approx(
            float(truth["prorated"][patient]), abs=1.01e-6
        )


@settings(max_examples=20, deadline=None)
@given(st.lists(PRESCRIPTION, min_size=2, max_size=10), st.randoms())
def test_neither_order_nor_index_matters(prescriptions: list[Any], random: Any) -> None:
    rx = table(prescriptions, row=range(len(prescriptions)), **METHADONE)
    rx["factor"] = rx["factor"].astype("float64")
    order = list(range(len(rx)))
    random.shuffle(order)
    shuffled = rx.iloc[order].set_axis([7] * len(rx))
    for edge in ("whole", "prorated"):
        pd.testing.assert_frame_equal(
            outpatient.dated_mme(rx, "cdc2016", window=(1, 30), window_edge=edge),
            outpatient.dated_mme(shuffled, "cdc2016", window=(1, 30), window_edge=edge),
        )


def test_windows_that_tile_the_time_add_up() -> None:
    rx = table([(1, 3, 60, 10, 30, 1.5), (1, 20, 14, 5, 7, 1.0)])
    parts = [
        outpatient.dated_mme(rx, window=window, window_edge="prorated")["mme_per_window_day"][0]
        * (window[1] - window[0] + 1)
        for window in ((1, 10), (11, 11), (12, 40))
    ]
    assert sum(parts) == pytest.approx(60 * 10 * 1.5 + 14 * 5)


# --- the four figures -------------------------------------------------------------------------


def test_the_published_example_of_four_values() -> None:
    """opioiddata.org, 'Equations for calculating MMEs': 31.2, 75.8, 93.5 and 105 mg a day."""
    rx = table([(1, 1, 60, 30, 30, 1.5), (1, 1, 14, 5, 7, 1.5)])
    got = outpatient.dated_mme(rx, window=(1, 90))
    assert got[FIGURES].round(1).values.tolist() == [[75.8, 93.5, 31.2, 105.0]]
    assert got[["total_mme", "total_days_supply", "on_therapy_days"]].values.tolist() == [
        [2805, 37, 30]
    ]


def test_the_end_of_a_prescription_is_inclusive() -> None:
    """Days 1-10 and 10-19 share day 10; days 1-10 and 11-20 share none."""
    touch = outpatient.dated_mme(table([(1, 1, 10, 10, 10, 1), (1, 10, 10, 10, 10, 1)]))
    apart = outpatient.dated_mme(table([(1, 1, 10, 10, 10, 1), (1, 11, 10, 10, 10, 1)]))
    assert touch.loc[0, ["on_therapy_days", "mme_max_day"]].tolist() == [19, 20]
    assert apart.loc[0, ["on_therapy_days", "mme_max_day"]].tolist() == [20, 10]


def test_an_early_refill_is_not_carried_over() -> None:
    """A refill five days early: the five days count twice in the dose and once in the days."""
    got = outpatient.dated_mme(table([(1, 1, 30, 10, 30, 1), (1, 26, 30, 10, 30, 1)]))
    assert got.loc[0, ["on_therapy_days", "mme_max_day"]].tolist() == [55, 20]
    assert got.loc[0, "mme_per_therapy_day"] == pytest.approx(600 / 55)
    assert got.loc[0, "mme_per_supply_day"] == 10


def test_a_gap_is_not_on_therapy_and_zero_days_count_in_the_window_only() -> None:
    got = outpatient.dated_mme(
        table([(1, 1, 10, 10, 5, 1), (1, 21, 10, 10, 5, 1)]), window=(1, 100)
    )
    assert got.loc[0, FIGURES].tolist() == [20, 20, 2, 20]


@pytest.mark.parametrize(
    ("window", "whole", "prorated"),
    [
        ((1, 30), 300 / 30, 100 / 30),  # filled on day 21, 30 days: 10 of them inside
        ((21, 50), 10, 10),
        ((22, 51), 0, 290 / 30),  # filled before: whole counts nothing
        ((51, 80), 0, 0),
        ((21, 21), 300, 10),
    ],
)
def test_window_edges(window: tuple[int, int], whole: float, prorated: float) -> None:
    rx = table([(1, 21, 30, 10, 30, 1)])
    for edge, value in (("whole", whole), ("prorated", prorated)):
        got = outpatient.dated_mme(rx, window=window, window_edge=edge)
        assert got.loc[0, "mme_per_window_day"] == pytest.approx(value, abs=1e-6)


def test_without_a_window_that_figure_is_missing() -> None:
    assert outpatient.dated_mme(table([(1, 1, 1, 1, 1, 1)]))["mme_per_window_day"].isna().all()


def test_ninety_is_ninety_at_a_threshold() -> None:
    """Thirds that add up to 90, and a dose that ended: no residue of the floating point."""
    rx = table(
        [(1, 1, 1, 100, 3, 0.9), (1, 1, 2, 100, 3, 0.9), (2, 1, 1, 0.1, 1, 1),
         (2, 1, 1, 0.2, 1, 1), (2, 2, 30, 30, 10, 1)]
    )  # fmt: skip
    most = outpatient.dated_mme(rx)["mme_max_day"]
    assert most.tolist() == [90, 90]
    assert outpatient.share_above(most) == 0
    assert outpatient.share_above(most, inclusive=True) == 1


def test_dates_and_day_numbers_agree() -> None:
    days = table([(1, 0, 60, 10, 30, 1.5), (1, 35, 14, 5, 7, 1.0), (2, 3, 4, 5, 2, 1)])
    base = pd.Timestamp("2021-02-20")
    stamps = days.assign(start=base + pd.to_timedelta(days["start"], unit="D"))
    dates = stamps.assign(start=stamps["start"].dt.date)
    evening = stamps.assign(start=stamps["start"] + pd.Timedelta("23h59m"))
    local = stamps.assign(start=stamps["start"].dt.tz_localize("America/New_York"))
    wanted = outpatient.dated_mme(days, window=(0, 29), window_edge="prorated")
    window = (base.date(), base.date() + datetime.timedelta(days=29))
    for other in (stamps, dates, evening, local):
        got = outpatient.dated_mme(other, window=window, window_edge="prorated")
        pd.testing.assert_frame_equal(got, wanted)


def test_one_window_for_days_relative_to_each_index() -> None:
    """The 90 days before index are -90 .. -1 for every patient."""
    rx = table([("a", -90, 90, 10, 90, 1), ("b", -30, 30, 10, 30, 1)])
    got = outpatient.dated_mme(rx, window=(-90, -1))
    assert got["mme_per_window_day"].round(6).tolist() == [10, 3.333333]


# --- methadone, patches, words ----------------------------------------------------------------


def test_methadone_tiers_act_on_the_total_of_the_day() -> None:
    """Two prescriptions of 15 mg a day: 15 x 4 alone, 30 x 8 together."""
    rx = table([(1, 1, 30, 5, 10), (1, 6, 30, 5, 10)], **METHADONE)
    got = outpatient.dated_mme(rx, "cdc2016")
    assert got.loc[0, "mme_max_day"] == 240
    assert got.loc[0, "total_mme"] == 5 * 60 + 5 * 240 + 5 * 60
    each = outpatient.convert_prescriptions(rx, "cdc2016")
    assert each["mme"].tolist() == [5 * 60 + 5 * 120, 5 * 120 + 5 * 60]
    flat = outpatient.dated_mme(rx, "cdc2022")
    assert flat.loc[0, "mme_max_day"] == pytest.approx(30 * 4.7)


def test_a_tier_is_not_crossed_by_rounding() -> None:
    """Three prescriptions of 200 mg in 30 days are 20 mg a day: the first tier."""
    rx = table([(1, 1, 20, 10, 30)] * 3, row=[1, 2, 3], **METHADONE)
    assert outpatient.dated_mme(rx, "cdc2016").loc[0, "mme_max_day"] == pytest.approx(80)


def test_two_conventions_of_a_patch_agree() -> None:
    patch: dict[str, Any] = {"route": "transdermal", "strength_unit": "mcg/h"}
    rows = [(1, 1, 10, 25, 30)]
    values = [
        outpatient.dated_mme(table(rows, drug="fentanyl", **patch), factors).loc[0, "mme_max_day"]
        for factors in ("cdc2022", "cdc2018_file", "cms", "openprescribing")
    ]
    literal = table([(1, 1, 10, 25, 30, 7.2)])
    named = table(rows, drug="fentanyl", factor=2.4, factor_unit="mcg/h", **patch)
    per_patch = table(rows, drug="fentanyl", factor=7.2, factor_unit="mcg/h_per_patch", **patch)
    values += [outpatient.dated_mme(rx).loc[0, "mme_max_day"] for rx in (literal, named, per_patch)]
    assert values == [60] * 7


def test_a_patch_that_is_changed_early() -> None:
    """15 patches in 30 days, each worn 48 h: still one patch of 25 mcg/h."""
    rx = table([(1, 1, 15, 25, 30)], drug="fentanyl", route="transdermal", strength_unit="mcg/h")
    assert outpatient.dated_mme(rx.assign(days_per_patch=2)).loc[0, "mme_max_day"] == 60
    assert outpatient.dated_mme(rx).loc[0, "mme_max_day"] == 90  # as the label: three days each
    one = outpatient.prescription_mme(
        "fentanyl", 25, "mcg/h", 15, 30, route="transdermal", days_per_patch=2
    )
    assert one.mme_per_day == 60


def test_a_factor_for_a_patch_must_say_its_convention() -> None:
    patch: dict[str, Any] = {"route": "transdermal", "strength_unit": "mcg/h", "drug": "fentanyl"}
    with pytest.raises(UserError, match="two conventions"):
        outpatient.prescription_mme(
            "fentanyl", 25, "mcg/h", 10, 30, route="transdermal", factor=2.4
        )
    with pytest.raises(UserError, match=r"row 1: .*two conventions"):
        outpatient.dated_mme(table([(1, 1, 10, 25, 30, 2.4)], **patch))


def test_a_supplied_factor_wins_row_by_row() -> None:
    rx = table([(1, 1, 10, 10, 10, 3.0), (2, 1, 10, 10, 10, np.nan)], drug="oxycodone",
               route="oral", strength_unit="mg")  # fmt: skip
    assert outpatient.dated_mme(rx)["mme_max_day"].tolist() == [30, 15]


def test_what_cannot_be_converted_is_counted_and_never_zero() -> None:
    rx = pd.DataFrame(
        {
            "patient_id": ["a", "a", "b", "c", "c", "d"],
            "start": [1, 1, 1, 1, 200, 1],
            "units": 10,
            "strength": 10,
            "days_supply": 10,
            "drug": ["oxycodone", "meperidine", "buprenorphine", "mystery", "oxycodone",
                     "ibuprofen"],
            "route": "oral",
            "strength_unit": "mg",
        }
    )  # fmt: skip
    reasons = outpatient.convert_prescriptions(rx)["reason"].tolist()
    assert reasons == ["", "no_factor", "no_factor", "unknown_drug", "", "not_an_opioid"]
    got = outpatient.dated_mme(rx, window=(1, 100)).set_index("patient_id")
    assert got["prescriptions"].tolist() == [1, 0, 1, 0]
    assert got["unconverted"].tolist() == [1, 1, 1, 0]
    assert got.loc["a", FIGURES].tolist() == [15, 15, 1.5, 15]
    assert got.loc["b", FIGURES].isna().all() and np.isnan(got.loc["b", "total_mme"])
    assert np.isnan(got.loc["c", "mme_per_window_day"])  # no zero beside an unknown drug
    assert got.loc["d", "mme_per_window_day"] == 0  # no opioid in the window, and nothing hidden
    equations = outpatient.notebook_equations(rx).set_index("patient_id")
    assert equations.loc["b", ["sum_days", "window", "unique_days", "mean_of_rx"]].isna().all()


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (("", "oral", "mg"), "unknown_drug"),
        (("tiotropium", "oral", "mg"), "unknown_drug"),
        (("gabapentin", "oral", "mg"), "not_an_opioid"),
        (("morphine", "by mouth", "mg"), "unknown_route"),
        (("morphine", None, "mg"), "unknown_route"),
        (("morphine", "oral", "tablet"), "unknown_unit"),
        (("morphine", "oral", "mcg/h"), "unit_not_for_route"),
        (("fentanyl", "transdermal", "mcg"), "unit_not_for_route"),
        (("morphine", "intrathecal", "mg"), "neuraxial"),
        (("morphine", "parenteral", "mg"), "no_factor"),
        (("remifentanil", "iv", "mcg"), "no_factor"),
    ],
)
def test_reasons(words: tuple[str, str | None, str], reason: str) -> None:
    drug, route, unit = words
    for factors in ("cdc2022+inpatient", "openprescribing"):
        got = outpatient.prescription_mme(drug, 10, unit, 10, 5, route=route, factors=factors)
        assert (got.mme_per_day, got.reason) == (None, reason)
        assert reason in outpatient.REASONS
    got = outpatient.prescription_mme("morphine", 1, "mg", 1, 1, route="oral", form="tabs")
    assert got.reason == "unknown_form"


def test_extended_release_and_liquids() -> None:
    rx = ("hydromorphone", 8, "mg", 30, 30)
    for form in ("tablet_er", "er", "capsule_er", "tablet", None):
        assert outpatient.prescription_mme(*rx, route="oral", form=form).mme_per_day == 40
    liquid = outpatient.prescription_mme("morphine", 2, "mg/mL", 300, 30, route="oral")
    assert (liquid.mme_per_day, liquid.mg_per_day) == (20, 20)


def test_units_of_mass_are_one_dose() -> None:
    for dose, unit in ((0.4, "mg"), (400, "mcg"), (Decimal("0.0004"), "g"), (400, "µg")):
        got = outpatient.regimen_mme(
            "fentanyl", dose, unit, 3, route="nasal", form="spray", factors="cdc2016_file"
        )
        assert got.mme_per_day == 192
    own = outpatient.regimen_mme(
        "fentanyl", 100, "mcg", 3, route="nasal", factor=160, factor_unit="mg"
    )
    assert (own.mme_per_day, own.factor_unit) == (48, "mg")


def test_the_result_says_which_factor_was_used() -> None:
    tier = outpatient.regimen_mme("methadone", 10, "mg", 3, route="oral", factors="cdc2016")
    assert (tier.factor, tier.mg_per_day, tier.mme_per_day) == (8, 30, 240)
    patch = outpatient.patch_mme("fentanyl", 25, factors="cdc2018_file")
    assert (patch.factor, patch.factor_unit, patch.mme_per_day) == (7.2, "mcg/h_per_patch", 60)


def test_two_patches_at_once_and_part_of_a_day() -> None:
    assert outpatient.patch_mme("fentanyl", 50, patches=2).mme_per_day == 240
    assert outpatient.patch_mme("fentanyl", 50, worn_hours=6).mme_per_day == 30


def test_products_by_their_name() -> None:
    got = outpatient.prescription_mme(
        "HYDROcodone-Acetaminophen (5mg-325mg)", 5, "mg", 120, 30, route="oral"
    )
    assert got.mme_per_day == 20


# --- HEAL -------------------------------------------------------------------------------------


def test_heal_names_are_those_of_the_factor_table() -> None:
    """Every name stands in a note of the factor table, with its unit and a factor."""
    notes = Path(outpatient.__file__).parents[1] / "reference" / "conversion_factors.csv"
    named = re.findall(r'API name ""(.+?)""', notes.read_text(encoding="utf-8"))
    assert tuple(named) == outpatient.heal_names()
    for name in named:
        course = {"name": name, "dose": 1, "doses_per_24h": 1, "days": 1}
        assert outpatient.heal_mme([course], 1, 1).with_buprenorphine.total_mme > 0


def test_heal_with_another_factor_set() -> None:
    course = {"name": "tapentadol (mg)", "dose": 100, "doses_per_24h": 1, "days": 1}
    assert outpatient.heal_mme([course], 1, 1, "cdc2022").with_buprenorphine.mme4 == 40
    opium = course | {"name": "Opium (mg)"}
    with pytest.raises(UserError, match=r"Opium \(mg\): the factor set has no factor"):
        outpatient.heal_mme([opium], 1, 1, "cdc2022")


def test_heal_refuses_tiers_that_need_a_calendar() -> None:
    course = {"name": "Methadone (mg)", "dose": 10, "doses_per_24h": 3, "days": 10}
    one = outpatient.heal_mme([course], 10, 10, "cdc2016").with_buprenorphine
    assert one.mme4 == 240
    with pytest.raises(UserError, match="depends on the total of the day, without dates"):
        outpatient.heal_mme([course, course], 10, 10, "cdc2016")


def test_heal_names_every_fault_at_once_and_no_cell() -> None:
    courses: list[dict[str, Any]] = [
        {"name": "oxycodone (mg)", "dose": "SECRET-1", "doses_per_24h": 2, "days": 5},
        {"name": "SECRET-2", "dose": 5, "doses_per_24h": 2, "day": 5},
    ]
    with pytest.raises(UserError) as raised:
        outpatient.heal_mme(courses, [1, 2, 3], -1)
    text = str(raised.value)
    for wanted in (
        "medication 1: the name is not on the HEAL list, did you mean 'Oxycodone (mg)'?",
        "medication 1: dose must be a number",
        "medication 2: a field that is not known, did you mean 'days'?",
        "medication 2: no days",
        "therapy_days holds 3 numbers",
        "observation_days must be a positive number",
    ):
        assert wanted in text
    assert "SECRET" not in text


def heal_rows(**columns: Any) -> pd.DataFrame:
    base = {
        "patient_id": ["p1", "p1", "p2"],
        "name": ["Oxycodone (mg)", "Codeine (mg)", "Buprenorphine patch (mcg/hr) transdermal"],
        "dose": [5.0, 30.0, 10.0],
        "doses_per_24h": [4, 2, 1],
        "days": [10, 5, 7],
        "therapy_days": [12, 12, 7],
        "observation_days": [30, 30, 14],
    }
    return pd.DataFrame(base | columns)


def test_heal_table() -> None:
    got = outpatient.heal_mme_table(heal_rows())
    assert got["buprenorphine"].tolist() == ["with", "without"] * 2
    assert got["total_mme"].tolist() == [345, 345, 154, 0]
    assert got["mme4"].tolist() == [39, 39, 22, 0]
    assert got["mme1"].isna().tolist() == [False, False, False, True]
    pairs = outpatient.heal_mme_table(
        heal_rows(therapy_days_without=[6, 6, 7], observation_days_without=[15, 15, 14])
    )
    assert pairs.loc[:1, "mme2"].tolist() == [345 / 12, 345 / 6]
    assert pairs.loc[:1, "mme3"].tolist() == [345 / 30, 345 / 15]


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"therapy_days": [12, 13, 7]}, "rows 1, 2: therapy_days differs"),
        ({"observation_days": [30, 31, 14]}, "rows 1, 2: observation_days differs"),
        ({"therapy_days_without": [6, 5, 7]}, "rows 1, 2: therapy_days_without differs"),
        ({"therapy_days": [12, None, 7]}, "rows 1, 2: therapy_days differs"),
        ({"dose": [5.0, np.nan, 10.0]}, "row 2: dose must be a positive number"),
        ({"dose": ["5", "30", "10"]}, "rows 1, 2, 3: dose must be a number"),
        ({"name": ["Oxycodone", "x", "x"]}, "row 1: the name is not on the HEAL list"),
        ({"patient_id": ["p1", "p1", None]}, "row 3: a course without patient_id"),
        ({"therapy_days": 0}, "rows 1, 3: therapy_days must be a positive number"),
    ],
)
def test_heal_table_refuses(columns: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError) as raised:
        outpatient.heal_mme_table(heal_rows(**columns))
    assert message in str(raised.value)
    assert "p1" not in str(raised.value)


def test_heal_table_names_rows_that_are_equal() -> None:
    twice = pd.concat([heal_rows(), heal_rows().iloc[[1]]])
    with pytest.raises(UserError, match="rows 2, 4: rows that are equal in every column"):
        outpatient.heal_mme_table(twice)
    told_apart = twice.assign(course=range(len(twice)))
    assert outpatient.heal_mme_table(told_apart).loc[0, "total_mme"] == 345 + 45


def test_heal_table_refuses_an_empty_table() -> None:
    with pytest.raises(UserError, match="has no rows"):
        outpatient.heal_mme_table(heal_rows().iloc[:0])


# --- refusals of the table of prescriptions ---------------------------------------------------


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"units": [0, 14]}, "row 1: units must be a positive number"),
        ({"units": ["60", "14"]}, "units must be numbers"),
        ({"units": [True, True]}, "units must be numbers"),
        ({"strength": [10, np.nan]}, "row 2: strength must be a positive number"),
        ({"strength": [np.inf, 5]}, "row 1: strength must be a positive number"),
        ({"days_supply": [30, -7]}, "row 2: days_supply must be a positive number"),
        ({"days_supply": [30, 7.5]}, "row 2: days_supply must be whole days"),
        ({"factor": [1.5, 0]}, "row 2: factor must be a positive number"),
        ({"factor": [1.5, np.nan]}, "columns missing: drug, route, strength_unit"),
        ({"start": ["2020-01-01", "2020-01-02"]}, "start must be dates or whole day numbers"),
        ({"start": [1.5, 2]}, "start must be dates or whole day numbers"),
        ({"start": [1, np.nan]}, "row 2: a prescription without start"),
        ({"patient_id": ["p1", None]}, "row 2: a prescription without patient_id"),
        ({"units": [9999999, 14]}, "row 1: more than a million MME a day"),
    ],
)
def test_dated_refuses(columns: dict[str, Any], message: str) -> None:
    rx = table([("p1", 1, 60, 10, 30, 1.5), ("p1", 3, 14, 5, 7, 1.5)]).assign(**columns)
    rx["strength"] = rx["strength"] * (10 if "9999999" in str(columns) else 1)
    for function in (
        outpatient.dated_mme, outpatient.notebook_equations, outpatient.convert_prescriptions
    ):  # fmt: skip
        with pytest.raises(UserError) as raised:
            function(rx)
        assert message in str(raised.value)
        assert "p1" not in str(raised.value)


def test_dated_names_rows_that_are_equal() -> None:
    rx = table([(1, 1, 60, 10, 30, 1.5), (1, 3, 14, 5, 7, 1.5), (1, 1, 60, 10, 30, 1.5)])
    with pytest.raises(UserError, match="rows 1, 3: rows that are equal in every column"):
        outpatient.dated_mme(rx)
    got = outpatient.dated_mme(rx.assign(prescription_id=range(3)))
    assert got.loc[0, "mme_max_day"] == 30 + 30 + 15


def test_dated_names_missing_columns_and_no_rows() -> None:
    rx = table([(1, 1, 60, 10, 30, 1.5)])
    with pytest.raises(UserError, match="columns missing: start, drug, route, strength_unit"):
        outpatient.dated_mme(rx.drop(columns=["start", "factor"]))
    with pytest.raises(UserError, match="no rows"):
        outpatient.dated_mme(rx.iloc[:0])


@pytest.mark.parametrize(
    ("window", "message"),
    [
        ((30, 1), "ends before it begins"),
        ((1, datetime.date(2020, 1, 30)), "must be a day number"),
        ((1, 2, 3), "a first and a last day"),
        (("1", "30"), "must be a day number"),
        ((True, 30), "must be a day number"),
    ],
)
def test_windows_that_are_none(window: Any, message: str) -> None:
    with pytest.raises(UserError, match=message):
        outpatient.dated_mme(table([(1, 1, 60, 10, 30, 1.5)]), window=window)


def test_edge_words() -> None:
    with pytest.raises(UserError, match="'whole' or 'prorated'"):
        outpatient.dated_mme(table([(1, 1, 6, 1, 3, 1)]), window_edge="half")  # type: ignore[arg-type]


def test_the_window_of_the_notebook() -> None:
    """As printed: last day of supply - first fill + 1; as coded: a last day; or a length."""
    rx = table([(1, 5, 14, 5, 7, 1.5), (1, 14, 14, 5, 7, 1.5)])
    total = 210
    for options, days in (({}, 16), ({"window_days": 30}, 30), ({"window_end": 30}, 26)):
        got = outpatient.notebook_equations(rx, **options)
        assert got.loc[0, "window"] == pytest.approx(total / days, abs=1e-6)
    with pytest.raises(UserError, match="a length or an end"):
        outpatient.notebook_equations(rx, window_days=30, window_end=30)
    with pytest.raises(UserError, match="ends before a first fill"):
        outpatient.notebook_equations(rx, window_end=4)


# --- small functions --------------------------------------------------------------------------


@pytest.mark.parametrize(
    "call",
    [
        lambda: outpatient.doses_per_day(1),
        lambda: outpatient.doses_per_day(1, per_hours=4, per_days=1),
        lambda: outpatient.doses_per_day(0, per_hours=4),
        lambda: outpatient.doses_per_day(1, per_days=float("nan")),
        lambda: outpatient.doses_per_day(1, per_hours="4"),  # type: ignore[arg-type]
        lambda: outpatient.share_above([]),
        lambda: outpatient.share_above([90, np.nan]),
        lambda: outpatient.share_above(["90"]),
        lambda: outpatient.share_above([90], threshold=-1),
        lambda: outpatient.regimen_mme("morphine", 10, "mg", route="oral"),
        lambda: outpatient.regimen_mme("morphine", 10, "mg", 2, every_hours=12, route="oral"),
        lambda: outpatient.regimen_mme("fentanyl", 25, "mcg/h", 1, route="transdermal"),
        lambda: outpatient.regimen_mme("morphine", "10", "mg", 1, route="oral"),  # type: ignore[arg-type]
        lambda: outpatient.prescription_mme("morphine", -1, "mg", 1, 1, route="oral"),
        lambda: outpatient.prescription_mme("morphine", 1, "mg", 0, 1, route="oral"),
        lambda: outpatient.prescription_mme("morphine", 1, "mg", 1, True, route="oral"),
        lambda: outpatient.prescription_mme("morphine", 1, "mg", 1, 1, route="oral", factor=-1),
        lambda: outpatient.prescription_mme(
            "morphine", 1, "mg", 1, 1, route="oral", factor=1, factor_unit="mcg/h"
        ),
        lambda: outpatient.prescription_mme(
            "mystery", 1, "mcg/h", 1, 1, route="transdermal", factor=2, factor_unit="mcg/h"
        ),
        lambda: outpatient.prescription_mme("morphine", 1, "mg", 1, 1, route="oral", factors="x"),
        lambda: outpatient.patch_mme("fentanyl", 25, worn_hours=25),
        lambda: outpatient.patch_mme("fentanyl", 25, "mg"),
    ],
)
def test_refusals(call: Any) -> None:
    with pytest.raises(UserError):
        call()


def test_public_names() -> None:
    assert all(hasattr(outpatient, name) for name in outpatient.__all__)


def test_the_examples_of_the_documentation() -> None:
    page = Path(__file__).parents[2] / "docs" / "reference" / "outpatient-mme.md"
    result = doctest.testfile(str(page), module_relative=False)
    assert result.attempted > 10 and result.failed == 0
