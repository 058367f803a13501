"""Outpatient MME against what published tools, tables and papers print: one test a case.

The name of each test is the id of the case with its source; `mme_cases.json` has the inputs.
"""

from __future__ import annotations

import re
from typing import Any

import mme_support as mme
import pytest

from ketamine_outcomes.errors import UserError
from ketamine_outcomes.exposure import outpatient


@pytest.mark.parametrize("case", mme.cases("heal_four_defs"))
def test_heal(case: mme.Case) -> None:
    mme.agree(mme.heal(case["inputs"]), case)


@pytest.mark.parametrize("case", mme.cases("heal_four_defs"))
def test_heal_table_is_strict_where_the_peer_takes_the_first_row(case: mme.Case) -> None:
    """One patient's days on therapy must agree; else the table equals the single call."""
    disagree = re.search(r"rows disagree \(([\d.,]+)\)", case["note"])
    if disagree is None:
        table = outpatient.heal_mme_table(mme.heal_table(case["inputs"]))
        row = table[table["buprenorphine"] == case["inputs"]["buprenorphine"]].iloc[0]
        values = {name: None if row[name] != row[name] else row[name] for name in case["expected"]}
        mme.agree(values, case)
        return
    days = [course["days"] for course in mme.courses(case["inputs"])]
    assert sorted(set(days)) == [float(value) for value in disagree[1].split(",")]
    with pytest.raises(UserError, match="therapy_days differs between the rows of one patient"):
        outpatient.heal_mme_table(mme.heal_table(case["inputs"], days))


def test_the_table_refuses_six_patients_of_the_peer() -> None:
    notes = [param.values[0]["note"] for param in mme.cases("heal_four_defs")]
    assert sum("rows disagree" in note for note in notes) == 6


@pytest.mark.parametrize("case", mme.cases("validation"))
def test_validation(case: mme.Case) -> None:
    assert case["expected"] == {"result": "error"}
    with pytest.raises(UserError) as raised:
        mme.invalid(case["inputs"])
    assert "->" in str(raised.value), "an error says what to do"


@pytest.mark.parametrize("case", mme.cases("published_examples"))
def test_published_example(case: mme.Case) -> None:
    mme.agree(mme.prescribed(case), case)


@pytest.mark.parametrize("case", mme.cases("product", "inpatient"))
def test_one_dose(case: mme.Case) -> None:
    mme.agree(mme.prescribed(case), case)


@pytest.mark.parametrize("case", mme.cases("rx_four_defs"))
def test_notebook_equations(case: mme.Case) -> None:
    mme.agree(mme.equations(case["inputs"]), case)


@pytest.mark.parametrize("case", mme.cases("frequency"))
def test_frequency(case: mme.Case) -> None:
    mme.agree(mme.frequency(case["inputs"]), case)


@pytest.mark.parametrize("case", mme.cases("cohort_summary"))
def test_share_above_90(case: mme.Case) -> None:
    mme.agree(mme.shares(case["inputs"]), case)


def test_every_case_of_these_groups_is_run() -> None:
    groups = (
        "heal_four_defs", "validation", "published_examples", "product", "inpatient",
        "rx_four_defs", "frequency", "cohort_summary",
    )  # fmt: skip
    assert len(mme.cases(*groups)) == 63
    assert len(mme.cases("engine_spec")) == 28


# --- unseen cases of the same kinds, computed by hand -----------------------------------------


def case(
    group: str, inputs: dict[str, Any], expected: dict[str, Any], source: str = "by hand"
) -> Any:
    """A case of our own: the value is written as the closed form that a reader can check."""
    words = " ".join(str(value) for value in inputs.values() if not isinstance(value, list))
    made = {
        "id": f"unseen-{group}", "group": group, "kind": "unseen", "source": source,
        "inputs": inputs, "expected": expected, "tolerance": 1e-6, "note": words,
    }  # fmt: skip
    return pytest.param(made, id=f"{group}: {words}"[:90])


#: Every name of the HEAL list with its factor, in the unit of the name.
HEAL = {
    "Buprenorphine buccal film (mcg) buccal": 0.039,
    "Buprenorphine patch (mcg/hr) transdermal": 2.2,
    "Buprenorphine tablet/film (mg) sublingual": 38.8,
    "butorphanol (mg)": 7,
    "Codeine (mg)": 0.15,
    "Dihydrocodeine (mg)": 0.25,
    "Fentanyl buccal (mcg)": 0.13,
    "Fentanyl nasal (mcg)": 0.16,
    "Fentanyl oral (mcg)": 0.18,
    "Fentanyl patch (mcg/hr)": 2.4,
    "Hydrocodone (mg)": 1,
    "Hydrocodone LA (mg)": 1,
    "Hydromorphone (mg)": 5,
    "Hydromorphone (mg) LA": 5,
    "Levorphanol tartrate (mg)": 11,
    "Meperidine HCL (mg)": 0.1,
    "Methadone (mg)": 4.7,
    "Morphine (mg)": 1,
    "Morphine (mg) LA": 1,
    "Opium (mg)": 1,
    "Oxycodone (mg)": 1.5,
    "Oxycodone (mg) LA": 1.5,
    "Oxymorphone (mg)": 3,
    "Oxymorphone (mg) LA": 3,
    "Pentazocine (mg)": 0.37,
    "tapentadol (mg)": 0.3,
    "tapentadol (mg) LA": 0.3,
    "tramadol (mg)": 0.2,
    "tramadol (mg) LA": 0.2,
}


def test_the_list_has_29_names() -> None:
    assert outpatient.heal_names() == tuple(HEAL) and len(HEAL) == 29


@pytest.mark.parametrize("name", HEAL)
def test_heal_every_name(name: str) -> None:
    """8 units, 3 times a day for 5 days, 4 days on therapy, a window of 20 days."""
    course = {"name": name, "dose": 8, "doses_per_24h": 3, "days": 5}
    result = outpatient.heal_mme([course], therapy_days=4, observation_days=20)
    day = 8 * 3 * HEAL[name]
    got = result.with_buprenorphine
    assert [got.total_mme, got.total_days, got.mme1, got.mme2, got.mme3, got.mme4] == pytest.approx(
        [5 * day, 5, day, 5 * day / 4, 5 * day / 20, day]
    )
    without = result.without_buprenorphine
    if name.startswith("Buprenorphine"):
        assert vars(without) == dict(total_mme=0, total_days=0, mme1=None, mme2=0, mme3=0, mme4=0)
    else:
        assert without == got


def test_heal_pairs_of_days_with_and_without_buprenorphine() -> None:
    """Morphine 30 mg x 2 for 10 days = 600; buprenorphine SL 8 mg x 2 x 38.8 for 4 days."""
    courses = [
        {"name": "Morphine (mg)", "dose": 30, "doses_per_24h": 2, "days": 10},
        {"name": "Buprenorphine tablet/film (mg) sublingual", "dose": 8, "doses_per_24h": 2,
         "days": 4},
    ]  # fmt: skip
    result = outpatient.heal_mme(courses, therapy_days=[12, 10], observation_days=(30, 20))
    both, alone = result.with_buprenorphine, result.without_buprenorphine
    total = 600 + 16 * 38.8 * 4
    assert [both.total_mme, both.mme1, both.mme2, both.mme3, both.mme4] == pytest.approx(
        [total, total / 14, total / 12, total / 30, 60 + 16 * 38.8]
    )
    assert [alone.total_mme, alone.mme1, alone.mme2, alone.mme3, alone.mme4] == pytest.approx(
        [600, 60, 60, 30, 60]
    )


UNSEEN = [
    # quantity x strength / days x factor
    case("rx", dict(set="cdc2022", drug="hydromorphone", strength=2, unit="mg", quantity=90,
                    days_supply=15), {"mme_per_day": 2 * 90 / 15 * 5}),
    case("rx", dict(set="cdc2018_file", drug="hydromorphone", strength=2, unit="mg", quantity=90,
                    days_supply=15), {"mme_per_day": 2 * 90 / 15 * 4}),
    case("rx", dict(set="cdc2022", drug="tramadol", strength=50, unit="mg", quantity=56,
                    days_supply=7), {"mme_per_day": 50 * 56 / 7 * 0.2}),
    case("rx", dict(set="cdc2018_file", drug="tramadol", strength=50, unit="mg", quantity=56,
                    days_supply=7), {"mme_per_day": 50 * 56 / 7 * 0.1}),
    case("rx", dict(set="cms", drug="codeine", strength=30, unit="mg", quantity=20,
                    days_supply=5), {"mme_per_day": 30 * 20 / 5 * 0.15}),
    case("rx liquid", dict(set="cdc2018_file", drug="morphine", route="oral", strength=2,
                           unit="mg/mL", quantity_ml=150, days_supply=10),
         {"mme_per_day": 2 * 150 / 10 * 1}),
    case("rx liquid", dict(set="cdc2018_file", drug="butorphanol", route="nasal", strength=10,
                           unit="mg/mL", quantity_ml=5, days_supply=10),
         {"mme_per_day": 10 * 5 / 10 * 7}),
    case("rx mcg", dict(set="cdc2018_file", drug="fentanyl", route="nasal", strength=100,
                        unit="mcg", quantity=20, days_supply=10),
         {"mme_per_day": 100 * 2 * 0.16}),
    case("own factor", dict(set="cdc2022", drug="oxycodone", strength=10, unit="mg", quantity=60,
                            days_supply=30, factor=2), {"mme_per_day": 10 * 60 / 30 * 2}),
    # patches: 7.2 a patch of three days, 2.4 a day worn; 12.6 a patch of seven, 1.8 a day
    case("patch", dict(set="cdc2018_file", drug="fentanyl", route="transdermal", strength=50,
                       unit="mcg/h", quantity=5, days_supply=15),
         {"mme_per_day": 50 * 7.2 * 5 / 15}),
    case("patch", dict(set="cdc2022", drug="fentanyl", route="transdermal", strength=50,
                       unit="mcg/h", quantity=5, days_supply=15),
         {"mme_per_day": 50 * 2.4}),
    case("patch", dict(set="cdc2022", drug="fentanyl", route="transdermal", strength=100,
                       unit="mcg/h", patch_every_hours=72), {"mme_per_day": 240}),
    case("patch", dict(set="cdc2022", drug="fentanyl", route="transdermal", strength=12,
                       unit="mcg/h", worn_hours=15), {"mme_per_day": 12 * 2.4 * 15 / 24}),
    case("patch", dict(set="openprescribing", drug="fentanyl", route="transdermal", strength=25,
                       unit="mcg/h"), {"mme_per_day": 25 * 24 / 1000 * 100}),
    case("patch", dict(set="anzca2021", drug="fentanyl", route="transdermal", strength=25,
                       unit="mcg/h"), {"mme_per_day": 75}),
    case("patch", dict(set="cdc2013_file", drug="buprenorphine", route="transdermal", strength=10,
                       unit="mcg/h", quantity=4, days_supply=28),
         {"mme_per_day": 10 * 42 * 4 / 28}),
    case("patch", dict(set="cdc2016_file", drug="buprenorphine", route="transdermal", strength=20,
                       unit="mcg/h"), {"mme_per_day": 20 * 1.8}),
    case("patch basis", dict(drug="fentanyl", rate_mcg_h=25, hours=24,
                             basis="1 mg parenteral fentanyl = 100 mg oral morphine"),
         {"fentanyl_mg_per_day": 0.6, "mme_per_day": 60}),
    # regimens
    case("regimen", dict(set="cdc2022", drug="morphine", form="ER", dose=60, unit="mg",
                         doses_per_day=2), {"mme_per_day": 120}),
    case("regimen", dict(set="cdc2022", drug="oxymorphone", dose=5, unit="mg", every_hours=6),
         {"mme_per_day": 60}),
    case("regimen", dict(set="cdc2022", drug="tapentadol", dose=100, unit="mg", doses_per_day=2),
         {"mme_per_day": 80}),
    case("regimen", dict(set="heal", drug="tapentadol", dose=100, unit="mg", doses_per_day=2),
         {"mme_per_day": 60}),
    case("regimen", dict(set="cdc2016_file", drug="fentanyl", route="nasal", dose=100, unit="mcg",
                         doses_per_day=4), {"mme_per_day": 64}),
    case("regimen", dict(set="cdc2016_file", drug="fentanyl", route="mucosal spray", dose=0.1,
                         unit="mg", doses_per_day=3), {"mme_per_day": 54}),
    case("product", dict(set="cdc2022", product="oxycodone-acetaminophen 7.5-325 mg",
                         units_per_dose=2, doses_per_day=3), {"mme_per_day": 7.5 * 2 * 3 * 1.5}),
    case("product", dict(set="cdc2022", product="acetaminophen-codeine 300-30 mg",
                         units_per_dose=1, doses_per_day=4), {"mme_per_day": 30 * 4 * 0.15}),
    case("product", dict(set="cdc2022", product="hydrocodone-ibuprofen 7.5-200 mg",
                         units_per_dose=1, doses_per_day=3), {"mme_per_day": 22.5}),
    case("product", dict(set="cdc2022", drug="tramadol", product="50 mg tablet", units=2),
         {"mme": 20}),
    # no factor: null with a reason, never 0
    case("null", dict(set="cdc2022", drug="meperidine", dose=50, unit="mg", doses_per_day=2),
         {"mme_per_day": None}),
    case("null", dict(set="cdc2016", drug="morphine", route="injection", dose=2, unit="mg"),
         {"mme_per_day": None}),
    case("null", dict(set="openprescribing", drug="morphine", route="injection", dose=2,
                      unit="mg"), {"mme_per_day": None}),
    case("null", dict(set="anzca2021", drug="morphine", route="epidural", dose=3, unit="mg"),
         {"mme_per_day": None}),
    case("null", dict(set="cdc2018_file", drug="buprenorphine", route="transdermal", strength=5,
                      unit="mcg/h", quantity=4, days_supply=28), {"mme_per_day": None}),
    case("null", dict(set="cdc2022", drug="tiotropium", dose=18, unit="mcg"),
         {"mme_per_day": None}),
    # one dose given
    case("inpatient", dict(drug="morphine", route="IV", dose=4, unit="mg"), {"mme": 12}),
    case("inpatient", dict(drug="hydromorphone", route="IV", dose=1.5, unit="mg"),
         {"oral_morphine_mg": 30}),
    case("inpatient", dict(drug="fentanyl", route="IV", dose=0.1, unit="mg"), {"mme": 30}),
    case("inpatient", dict(drug="fentanyl", route="SC", dose=100, unit="mcg"), {"mme": 15}),
    case("inpatient", dict(drug="hydromorphone", route="oral", dose=4, unit="mg"), {"mme": 20}),
    case("inpatient", dict(drug="morphine", route="SC", dose=24, unit="mg/day", factor=2),
         {"mme_per_day": 48}),
]  # fmt: skip
#: Methadone a day (mg) and its factor by the tiers of 2016, at and around every edge.
METHADONE = [
    (0.5, 4), (10, 4), (20, 4), (20.1, 8), (20.5, 8), (21, 8), (30, 8), (40, 8), (40.01, 10),
    (41, 10), (50, 10), (60, 10), (60.1, 12), (61, 12), (70, 12), (300, 12),
]  # fmt: skip
UNSEEN += [
    case("tier", dict(set=name, drug="methadone", daily_dose_mg=mg), {"factor": factor})
    for name in ("cdc2016", "cms")
    for mg, factor in METHADONE
]
UNSEEN += [
    case("tier", dict(set="cdc2016", drug="methadone", dose=mg / 4, unit="mg", doses_per_day=4),
         {"mme_per_day": mg * factor})
    for mg, factor in METHADONE
]  # fmt: skip


@pytest.mark.parametrize("case", UNSEEN)
def test_unseen(case: mme.Case) -> None:
    mme.agree(mme.prescribed(case), case)


#: The notebook's own experiments 1 and 4, as it prints them, then cases of our own.
DATED = [
    ([(1, 60, 30, 1.5, 30), (1, 14, 5, 1.5, 7)], (75.81081, 93.5, 93.5, 52.5)),
    ([(1, 14, 5, 1.5, 7), (3, 14, 5, 1.5, 7)], (15, 7, 210 / 9, 15)),
    # one prescription, a gap between two, three nested, back to back
    ([(1, 20, 10, 1, 10)], (20, 200 / 30, 20, 20)),
    ([(1, 10, 10, 1, 5), (21, 20, 10, 1, 5)], (300 / 10, 10, 30, (20 + 40) / 2)),
    ([(1, 30, 10, 1, 30), (5, 10, 5, 2, 10), (7, 4, 50, 0.1, 2)],
     (420 / 42, 14, 14, (10 + 10 + 10) / 3)),
    ([(1, 6, 5, 1, 3), (4, 6, 5, 1, 3)], (10, 2, 10, 10)),
]  # fmt: skip


@pytest.mark.parametrize(("rx", "values"), DATED)
def test_unseen_notebook_equations(rx: list[Any], values: tuple[float, ...]) -> None:
    names = ("start_day", "units", "strength_mg", "factor", "days_supply")
    inputs = {"rx": [dict(zip(names, row, strict=True)) for row in rx], "window_days": 30}
    expected = dict(zip(("sum_days", "window", "unique_days", "mean_of_rx"), values, strict=True))
    mme.agree(mme.equations(inputs), case("rx_four_defs", inputs, expected).values[0] | {
        "tolerance": 1e-5})  # fmt: skip


@pytest.mark.parametrize(
    ("inputs", "doses"),
    [
        (dict(times=1, per_hours=6), 4),
        (dict(times=1, per_hours=72), 1 / 3),
        (dict(times=3, per_days=1), 3),
        (dict(times=1, per_days=2), 0.5),
        (dict(times=1, per_days=7), 1 / 7),
    ],
)
def test_unseen_frequency(inputs: dict[str, float], doses: float) -> None:
    assert outpatient.doses_per_day(**inputs) == pytest.approx(doses, abs=1e-12)


@pytest.mark.parametrize(
    "change",
    [
        {"observation_days": 0}, {"observation_days": -1}, {"therapy_days": []},
        {"therapy_days": "7"}, {"therapy_days": [7, "7"]}, {"observation_days": [1, 2, 3]},
        {"therapy_days": True}, {"therapy_days": float("nan")}, {"therapy_days": float("inf")},
        {"therapy_days": None}, {"dose": 0}, {"dose": None}, {"dose": True},
        {"dose": float("nan")}, {"dose": float("inf")}, {"doses_per_24h": 0},
        {"doses_per_24h": "2"}, {"days": -5}, {"days": "5"}, {"name": "Oxycodone"},
        {"name": "oxycodone (mg)"}, {"name": 5}, {"name": "Tramadol (mg)"},
        {"med_missing": "name"}, {"med_missing": "dose"}, {"med_missing": "days"},
        {"meds": ()}, {"meds": "Oxycodone (mg)"}, {"meds": [3]},
        {"column_missing": "dose"}, {"column_missing": "therapy_days"},
        {"column_missing": "observation_days"}, {"column_missing": "name"},
    ],
    ids=str,
)  # fmt: skip
def test_unseen_validation(change: dict[str, Any]) -> None:
    with pytest.raises(UserError) as raised:
        mme.invalid(change)
    assert "->" in str(raised.value)


def test_the_right_call_is_not_refused() -> None:
    result = outpatient.heal_mme([mme.RIGHT], 10, 5)
    assert result.with_buprenorphine.total_mme == pytest.approx(19.5)


@pytest.mark.parametrize(
    ("threshold", "inclusive", "share"),
    [(90, False, 2 / 6), (90, True, 3 / 6), (50, False, 4 / 6), (50, True, 5 / 6), (200, True, 0)],
)
def test_unseen_share_above(threshold: float, inclusive: bool, share: float) -> None:
    daily = [20, 50, 89.999, 90, 90.001, 120]
    assert outpatient.share_above(daily, threshold, inclusive) == pytest.approx(share)
