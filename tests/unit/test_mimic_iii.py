"""The MIMIC-III reader on hand-made folders: one trap per test."""

from __future__ import annotations

import csv
import gzip
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from ketamine_outcomes.errors import UserError
from ketamine_outcomes.extract.readers import mimic_iii
from ketamine_outcomes.extract.tables import TABLES, Extract

COLUMNS = {
    "patients": "row_id subject_id gender dob dod",
    "admissions": "row_id subject_id hadm_id admittime dischtime deathtime edregtime",
    "icustays": "row_id subject_id hadm_id icustay_id intime outtime",
    "d_items": "itemid label category",
    "chartevents": "row_id subject_id hadm_id icustay_id itemid charttime value valuenum error",
    "procedureevents_mv": "row_id subject_id icustay_id starttime endtime itemid location "
    "cancelreason",
    "inputevents_mv": "row_id subject_id icustay_id starttime endtime itemid amount amountuom rate "
    "rateuom orderid linkorderid ordercategoryname ordercategorydescription cancelreason "
    "statusdescription",
    "inputevents_cv": "row_id subject_id icustay_id charttime itemid amount amountuom rate rateuom "
    "orderid linkorderid stopped originalroute",
}
BASE: dict[str, list[dict[str, Any]]] = {
    "patients": [{"subject_id": 1, "gender": "F", "dob": "2100-06-01", "dod": "2160-03-05"}],
    "admissions": [
        {
            "subject_id": 1,
            "hadm_id": 10,
            "admittime": "2150-01-01 10:00:00",
            "dischtime": "2150-02-01 10:00:00",
            "edregtime": "2150-01-01 04:00:00",
        }
    ],
    "icustays": [
        {
            "subject_id": 1,
            "hadm_id": 10,
            "icustay_id": 100,
            "intime": "2150-01-01 12:00:00",
            "outtime": "2150-01-20 12:00:00",
        }
    ],
    "d_items": [
        {"itemid": 221744, "label": "Fentanyl", "category": "Medications"},
        {"itemid": 225158, "label": "NaCl 0.9%", "category": "Fluids/Intake"},
        {"itemid": 30118, "label": "Fentanyl"},
    ],
}
G18, G20 = {"itemid": 225234}, {"itemid": 225231}
LINE18, LINE20 = {"itemid": 224277}, {"itemid": 224275}


def write(folder: Path, upper: bool = False, **more: list[dict[str, Any]]) -> Path:
    """Write CSV files; ids are filled in, row_id counts up in the order given."""
    for name, rows in {**BASE, **more}.items():
        header = COLUMNS[name.removesuffix("_selected")].split()
        path = folder / (f"{name.upper()}.csv.gz" if upper else f"{name}.csv")
        opener: Any = gzip.open if upper else open
        with opener(path, "wt", newline="", encoding="utf-8") as stream:
            writer = csv.writer(stream)
            writer.writerow([h.upper() for h in header] if upper else header)
            for number, row in enumerate(rows, start=1):
                full = {"row_id": number, "subject_id": 1, "icustay_id": 100, **row}
                writer.writerow([full.get(column, "") for column in header])
    return folder


def at(day: int, clock: str = "00:00") -> str:
    return f"2150-01-{day:02d} {clock}:00"


def chart(day: int, clock: str, item: int, value: str, number: str = "", **more: Any) -> Any:
    return {"charttime": at(day, clock), "itemid": item, "value": value, "valuenum": number, **more}


def line(item: dict[str, int], start: str, end: str, **more: Any) -> dict[str, Any]:
    return {**item, "starttime": start, "endtime": end, "cancelreason": 0, **more}


def slot(day: int, clock: str, site: str, size: str = "20 gauge", seen: str = "WNL") -> Any:
    parts = ((294, site), (8400, size), (324, seen))
    return [chart(day, clock, item, word) for item, word in parts if word]


def adverse(extract: Extract) -> pd.DataFrame:
    return extract.tables["site_events"].query("sign not in ('none', 'bleeding', 'other')")


# ---- patients and stays


def test_over_89_is_90_and_age_counts_birthdays(tmp_path: Path) -> None:
    people = [
        {"subject_id": 1, "gender": "F", "dob": "2100-06-01"},
        {"subject_id": 2, "gender": "M", "dob": "1850-01-01"},
    ]
    visits = [
        *BASE["admissions"],
        {
            "subject_id": 2,
            "hadm_id": 20,
            "admittime": at(2),
            "dischtime": at(4),
            "deathtime": at(4, "03:00"),
        },
    ]
    extract = mimic_iii.read(write(tmp_path, patients=people, admissions=visits))
    table = extract.tables["patients"]
    assert table["age_years"].tolist() == [49, 90]
    assert table["sex"].tolist() == ["female", "male"]
    assert table["entry_time"].tolist()[0] == pd.Timestamp(at(1, "04:00"))
    assert table["death_time"].isna().tolist() == [True, False]


def test_a_date_of_death_on_the_day_of_discharge_is_not_before_the_discharge(
    tmp_path: Path,
) -> None:
    people = [{"subject_id": 1, "gender": "F", "dob": "2100-06-01", "dod": "2150-02-01"}]
    table = mimic_iii.read(write(tmp_path, patients=people)).tables["patients"]
    assert table["death_time"].tolist() == [pd.Timestamp("2150-02-01 10:00")]


def test_only_the_icu_is_observed_and_absent_files_give_absent_tables(tmp_path: Path) -> None:
    extract = mimic_iii.read(write(tmp_path))
    stays = extract.tables["stays"]
    assert sorted(stays["observes"]) == ["doses", "infusion_sites", "pain_scores"]
    assert set(stays["start"]) == {pd.Timestamp(at(1, "12:00"))}
    assert set(stays["end_reason"]) == {"transferred"}
    assert set(extract.tables) == {"patients", "stays"}


def test_a_missing_file_is_a_users_mistake(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is missing"):
        mimic_iii.read(tmp_path)


def test_full_release_names_and_headers_in_capitals(tmp_path: Path) -> None:
    rows = [chart(2, "08:00", 223791, "Mild", "2")]
    extract = mimic_iii.read(write(tmp_path, upper=True, chartevents=rows))
    assert extract.tables["pain_scores"]["score"].tolist() == [2]


def test_chartevents_is_preferred_to_the_selection(tmp_path: Path) -> None:
    extract = mimic_iii.read(
        write(
            tmp_path,
            chartevents=[chart(2, "08:00", 223791, "Mild", "2")],
            chartevents_selected=[chart(2, "08:00", 223791, "Worst", "10")],
        )
    )
    assert extract.tables["pain_scores"]["score"].tolist() == [2]


# ---- pain and measurements


def test_unable_to_score_is_not_zero_and_the_word_none_is(tmp_path: Path) -> None:
    rows = [
        chart(2, "08:00", 223791, "Unable to Score", "0"),
        chart(2, "09:00", 223791, "None", "0"),
        chart(2, "10:00", 223791, "Severe", "9", error=1),
        chart(2, "11:00", 223791, "", ""),
    ]
    pain = mimic_iii.read(write(tmp_path, chartevents=rows)).tables["pain_scores"]
    assert pain["state"].tolist() == ["unassessable", "scored"]
    assert pd.isna(pain["score"][0])
    assert pain["score"][1] == 0


def test_carevue_levels_count_once(tmp_path: Path) -> None:
    rows = [
        chart(2, "08:00", 1044, "5-Moderate"),
        chart(2, "08:00", 524, "5-Moderate"),
        chart(2, "12:00", 524, "10-Worst"),
        chart(2, "16:00", 1044, "Unable to score"),
    ]
    pain = mimic_iii.read(write(tmp_path, chartevents=rows)).tables["pain_scores"]
    assert pain["score"].tolist()[:2] == [5, 10]
    assert pain["context"].tolist() == [None, "rest", None]
    assert pain["state"].tolist()[2] == "unassessable"


def test_goal_rass_is_no_measurement_and_pounds_become_kg_once(tmp_path: Path) -> None:
    rows = [
        chart(2, "08:00", 228096, "-1 Awakens to voice, briefly", "-1"),
        chart(2, "08:00", 228299, "0 Alert and calm", "0"),
        chart(2, "09:00", 226531, "220.5", "220.5"),
        chart(3, "09:00", 226531, "220.5", "220.5"),
        chart(3, "09:00", 226512, "100", "100"),
        chart(4, "09:00", 224639, "0", "0"),
    ]
    table = mimic_iii.read(write(tmp_path, chartevents=rows)).tables["measurements"]
    got = list(zip(table["name"], table["value"], table["unit"], strict=True))
    assert got == [("rass", -1, "score"), ("weight_kg", 100.02, "kg"), ("weight_kg", 100, "kg")]


# ---- doses


def test_rewritten_and_cancelled_rows_are_not_given(tmp_path: Path) -> None:
    row = {
        "itemid": 221744,
        "starttime": at(2, "08:00"),
        "endtime": at(2, "09:00"),
        "amount": "0.05",
        "amountuom": "mg",
        "rate": 50,
        "rateuom": "mcg/hour",
        "orderid": 7,
        "linkorderid": 5,
        "ordercategoryname": "01-Drips",
        "ordercategorydescription": "Continuous Med",
        "cancelreason": 0,
    }
    rows = [
        {**row, "statusdescription": "FinishedRunning"},
        {**row, "statusdescription": "Rewritten"},
        {**row, "statusdescription": "FinishedRunning", "cancelreason": 1},
        {**row, "itemid": 225158, "statusdescription": "FinishedRunning"},
    ]
    doses = mimic_iii.read(write(tmp_path, inputevents_mv=rows)).tables["doses"]
    assert doses["dose_id"].tolist() == ["mv-1", "mv-2", "mv-3"]
    assert doses["status"].tolist() == ["given", "not_given", "not_given"]
    first = doses.iloc[0]
    assert (first["rate"], first["rate_unit"], first["amount"], first["amount_unit"]) == (
        50,
        "mcg/h",
        0.05,
        "mg",
    )
    assert (first["route"], first["form"], first["source"]) == ("iv", "infusion", "icu_mv")


def test_carevue_amounts_of_a_pump_are_its_rates_once_more(tmp_path: Path) -> None:
    def row(clock: str, link: int, **more: Any) -> dict[str, Any]:
        return {
            "itemid": 30118,
            "charttime": at(2, clock),
            "linkorderid": link,
            "orderid": 1,
            "originalroute": "IV Drip",
            **more,
        }

    rate, mass = {"rateuom": "mcghr"}, {"amountuom": "mcg", "originalroute": "Intravenous Push"}
    rows = [
        row("08:00", 5, rate=50, **rate),
        row("09:00", 5, rate=50, **rate),
        row("09:00", 5, amount=50, **mass),
        row("10:00", 5, rate=75, **rate),
        row("11:00", 5, amount=75, stopped="D/C'd", **mass),
        row("12:00", 6, amount=100, **mass),
    ]
    doses = mimic_iii.read(write(tmp_path, inputevents_cv=rows)).tables["doses"]
    assert doses["dose_id"].tolist() == ["cv-1", "cv-2", "cv-4", "cv-5", "cv-6"]
    assert doses["status"].tolist() == ["started", "verified", "rate_change", "stopped", "given"]
    assert doses["amount"].dropna().tolist() == [100]
    assert set(doses["rate_unit"].dropna()) == {"mcg/h"}


# ---- carevue slots


def test_a_slot_is_split_where_site_or_size_changes(tmp_path: Path) -> None:
    rows = [
        *slot(2, "08:00", "Left Hand"),
        *slot(2, "12:00", "", "", "WNL"),
        *slot(2, "16:00", "Right Hand"),
        *slot(2, "20:00", "Right Hand", "18 gauge"),
    ]
    sites = mimic_iii.read(write(tmp_path, chartevents=rows)).tables["infusion_sites"]
    assert sites["position"].tolist() == ["Left Hand", "Right Hand", "Right Hand"]
    assert sites["device"].tolist() == ["20G", "20G", "18G"]
    assert sites["end"].tolist()[0] == pd.Timestamp(at(2, "12:00"))
    assert sites["end_inferred"].all()


@pytest.mark.parametrize(("clock", "episodes"), [("08:00", 1), ("08:01", 2)])
def test_a_slot_is_split_where_charting_pauses_over_24_hours(
    tmp_path: Path, clock: str, episodes: int
) -> None:
    rows = [*slot(2, "08:00", "Left Hand"), *slot(3, clock, "Left Hand")]
    sites = mimic_iii.read(write(tmp_path, chartevents=rows)).tables["infusion_sites"]
    assert len(sites) == episodes


def test_closing_a_slot_late_is_no_new_cannula(tmp_path: Path) -> None:
    rows = [*slot(2, "08:00", "Left Hand"), chart(5, "08:00", 294, "", stopped="D/C'd")]
    sites = mimic_iii.read(write(tmp_path, chartevents=rows)).tables["infusion_sites"]
    assert sites["end"].tolist() == [pd.Timestamp(at(2, "08:00"))]


def test_the_reason_of_removal_is_an_end_reason_and_an_injury_is_a_finding(tmp_path: Path) -> None:
    rows = [
        *slot(2, "08:00", "Left Hand"),
        chart(2, "12:00", 1479, "Infiltrated"),
        *slot(2, "16:00", "Right Hand"),
        chart(2, "20:00", 1479, "Routine Change"),
    ]
    extract = mimic_iii.read(write(tmp_path, chartevents=rows))
    assert extract.tables["infusion_sites"]["end_reason"].tolist() == ["complication", "resited"]
    found = adverse(extract)
    assert found["sign"].tolist() == ["infiltration"]
    assert found["time"].tolist() == extract.tables["infusion_sites"]["end"].tolist()[:1]


@pytest.mark.parametrize(
    ("word", "sign"),
    [
        ("WNL", "none"),
        ("Redness", "erythema"),
        ("Swelling", "swelling"),
        ("Pain", "pain"),
        ("Drainage", "leak"),
        ("Bleeding", "bleeding"),
        ("Other/Remarks", "other"),
        ("Infiltrated", "infiltration"),
    ],
)
def test_words_become_signs(tmp_path: Path, word: str, sign: str) -> None:
    rows = slot(2, "08:00", "Left Hand", seen=word)
    events = mimic_iii.read(write(tmp_path, chartevents=rows)).tables["site_events"]
    assert events["sign"].tolist() == [sign]


# ---- metavision lines


def test_findings_join_the_line_of_their_gauge_and_stay(tmp_path: Path) -> None:
    lines = [
        line(LINE18, at(2), at(4)),
        line(LINE20, at(2), at(4)),
        line(LINE20, at(2), at(4), icustay_id=101),
    ]
    rows = [chart(3, "08:00", 225231, "Infiltrated"), chart(3, "08:00", 225234, "WNL")]
    extract = mimic_iii.read(write(tmp_path, chartevents=rows, procedureevents_mv=lines))
    events = extract.tables["site_events"]
    got = dict(zip(events["site_episode_id"], events["sign"], strict=True))
    assert got == {"mv-1": "none", "mv-2": "infiltration"}
    assert extract.tables["infusion_sites"]["device"].tolist() == ["18G", "20G", "20G"]
    assert not extract.tables["infusion_sites"]["end_inferred"].any()


def test_a_finding_charted_after_removal_coincides_with_it(tmp_path: Path) -> None:
    rows = [chart(4, "00:30", 225234, "Redness"), chart(4, "00:30", 225233, "Phlebitis")]
    lines = [line(LINE18, at(2), at(4))]
    extract = mimic_iii.read(write(tmp_path, chartevents=rows, procedureevents_mv=lines))
    assert sorted(adverse(extract)["sign"]) == ["erythema", "phlebitis"]
    assert set(adverse(extract)["time"]) == {pd.Timestamp(at(4))}
    assert extract.tables["infusion_sites"]["end_reason"].tolist() == ["complication"]


def test_two_lines_of_one_gauge_share_inspections_but_not_injuries(tmp_path: Path) -> None:
    lines = [line(LINE20, at(2), at(6)), line(LINE20, at(2, "01:00"), at(4))]
    rows = [
        chart(3, "00:00", 225231, "WNL"),
        chart(3, "04:00", 225231, "Pain"),
        chart(4, "01:30", 225231, "Infiltrated"),
        chart(5, "00:00", 225231, "Swelling"),
    ]
    extract = mimic_iii.read(write(tmp_path, chartevents=rows, procedureevents_mv=lines))
    events = extract.tables["site_events"]
    assert sorted(events.query("sign == 'none'")["site_episode_id"]) == ["mv-1", "mv-2"]
    # pain: both run, the one that ends first; infiltration: the one just removed; then one is left
    assert dict(
        zip(adverse(extract)["sign"], adverse(extract)["site_episode_id"], strict=True)
    ) == {"pain": "mv-2", "infiltration": "mv-2", "swelling": "mv-1"}


def test_charting_without_a_line_is_an_inferred_episode(tmp_path: Path) -> None:
    rows = [
        chart(2, "08:00", 225231, "WNL"),
        chart(3, "08:00", 225231, "WNL"),
        chart(4, "08:01", 225231, "Oozing"),
        chart(8, "04:01", 225231, "WNL"),
        chart(7, "23:00", 225231, "WNL"),
    ]
    lines = [line(LINE20, at(7), at(8))]
    extract = mimic_iii.read(write(tmp_path, chartevents=rows, procedureevents_mv=lines))
    sites = extract.tables["infusion_sites"].set_index("site_episode_id")
    assert sites.index.tolist() == ["mvc-1", "mvc-3", "mv-1", "mvc-4"]
    assert sites["end_inferred"].tolist() == [True, True, False, True]
    assert sites.loc["mvc-1", "end"] == pd.Timestamp(at(3, "08:00"))


def test_a_scale_is_no_second_line(tmp_path: Path) -> None:
    lines = [line(LINE20, at(2), at(4))]
    rows = [
        chart(3, "08:00", 225231, "WNL"),
        chart(3, "08:00", 228013, "Grade 0"),
        chart(3, "08:00", 228014, "Grade 1"),
    ]
    extract = mimic_iii.read(write(tmp_path, chartevents=rows, procedureevents_mv=lines))
    assert len(extract.tables["infusion_sites"]) == 1
    events = extract.tables["site_events"]
    got = {
        (s, c): g for s, c, g in zip(events["sign"], events["scale"], events["grade"], strict=True)
    }
    assert got[("none", "ins_phlebitis")] == 0
    assert got[("infiltration", "ins_infiltration")] == 1
    assert pd.isna(got[("none", None)])


def test_a_wnl_beside_a_finding_of_the_same_minute_goes(tmp_path: Path) -> None:
    lines = [line(LINE18, at(2), at(4))]
    rows = [chart(3, "08:00", 225234, word) for word in ("WNL", "Redness", "Erythematous")]
    extract = mimic_iii.read(write(tmp_path, chartevents=rows, procedureevents_mv=lines))
    assert extract.tables["site_events"]["sign"].tolist() == ["erythema"]


def test_a_line_open_at_icu_exit_ends_with_the_stay_not_by_removal(tmp_path: Path) -> None:
    lines = [line(LINE18, at(2), at(20, "12:00")), line(LINE20, at(2), at(20, "11:00"))]
    extract = mimic_iii.read(write(tmp_path, chartevents=[], procedureevents_mv=lines))
    assert extract.tables["infusion_sites"]["end_reason"].tolist() == ["transferred", "unknown"]


def test_rows_without_a_stay_are_placed_by_time_or_set_aside(tmp_path: Path) -> None:
    lines = [line(LINE20, at(2), at(4))]
    rows = [
        chart(3, "08:00", 225231, "Redness", icustay_id=""),
        {**chart(3, "08:00", 225231, "Pain", icustay_id=""), "charttime": "2151-01-03 08:00:00"},
    ]
    extract = mimic_iii.read(write(tmp_path, chartevents=rows, procedureevents_mv=lines))
    assert adverse(extract)["sign"].tolist() == ["erythema"]


def test_order_of_the_source_rows_does_not_matter(tmp_path: Path) -> None:
    lines = [
        line(LINE20, at(2), at(6)),
        line(LINE20, at(2, "01:00"), at(4)),
        line(LINE18, at(2), at(4)),
    ]
    rows = [
        *slot(2, "08:00", "Left Hand"),
        *slot(4, "08:00", "Left Hand"),
        chart(3, "00:00", 225231, "WNL"),
        chart(3, "00:00", 225234, "Pain"),
        chart(12, "00:00", 225231, "WNL"),
    ]
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    one = mimic_iii.read(write(tmp_path / "a", chartevents=rows, procedureevents_mv=lines))
    numbered = [{"row_id": number, **row} for number, row in enumerate(rows, start=1)]
    ranked = [{"row_id": number, **row} for number, row in enumerate(lines, start=1)]
    two = mimic_iii.read(
        write(tmp_path / "b", chartevents=numbered[::-1], procedureevents_mv=ranked[::-1])
    )
    for name, table in one.tables.items():
        pd.testing.assert_frame_equal(table, two.tables[name])
        assert tuple(table.columns) == TABLES[name].names
