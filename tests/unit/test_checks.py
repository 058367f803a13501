"""The checks of an extract: what is an error, what is set aside, what becomes missing."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from ketamine_outcomes.errors import UserErrors
from ketamine_outcomes.extract.checks import check, clean
from ketamine_outcomes.extract.faults import Fault, printable, raise_errors
from ketamine_outcomes.extract.identifiers import check_identifiers
from ketamine_outcomes.extract.questions import intake
from ketamine_outcomes.extract.readers import mimic_iii, mimic_iv, tabular
from ketamine_outcomes.extract.tables import TABLES, Extract, conform
from ketamine_outcomes.simulate import simulate

DATA = Path(__file__).parents[2] / "data"
T = "2150-01-01T08:00"
DOSE = {"patient_id": "a", "dose_id": "1", "drug": "morphine", "start": T}
STAY = {"patient_id": "a", "stay_id": "s", "start": "2150-01-01", "end": "2150-01-03T01:00"}
SITE = {"patient_id": "a", "site_episode_id": "s1", "route": "iv", "start": T}
FINDING = {"patient_id": "a", "site_episode_id": "s1", "time": T, "sign": "pain"}
PAIN = {"patient_id": "a", "time": T, "scale": "nrs", "score": 5.0}
EVENT = {"patient_id": "a", "time": T, "event": "delirium"}
WEIGHT = {"patient_id": "a", "time": T, "name": "weight_kg", "value": 70.0, "unit": "kg"}


def make(**tables: list[dict[str, Any]]) -> Extract:
    """Make an extract; patients a and b are there unless they are given."""
    rows = {"patients": [{"patient_id": "a"}, {"patient_id": "b"}], **tables}
    return Extract({name: conform(name, pd.DataFrame(table)) for name, table in rows.items()})


def faults_of(extract: Extract, **known: Any) -> list[tuple[str, str, str, str, tuple[int, ...]]]:
    """Return what was found, whatever share of the rows it is."""
    return [
        (f.severity, f.rule, f.table, f.column, f.first_rows) for f in check(extract, 1.0, **known)
    ]


def test_simulated_registry_round_trip(tmp_path: Path) -> None:
    simulate(tmp_path, patients=20, seed=1)
    extract, faults = tabular.read(tmp_path, "shifted")
    cleaned, more = clean(extract, earlier=faults, files=tabular.file_names(tmp_path))
    assert [*faults, *more] == []
    for name, table in extract.tables.items():
        pd.testing.assert_frame_equal(cleaned.tables[name], table.reset_index(drop=True))
    cleaned.save(tmp_path / "saved")
    for name, table in Extract.load(tmp_path / "saved").tables.items():
        pd.testing.assert_frame_equal(table, cleaned.tables[name])


@pytest.mark.parametrize(
    ("read", "folder"),
    [(mimic_iv.read, "mimic-iv-demo-2.2"), (mimic_iii.read, "mimic-iii-demo-1.4")],
)
def test_real_extracts_hold_no_identifier_and_lose_no_row(read: Any, folder: str) -> None:
    extract = read(DATA / folder)
    assert check_identifiers(extract, "shifted") == []
    cleaned, faults = clean(extract)
    assert {f.rule for f in faults} == {"after_death"}
    for name, table in extract.tables.items():
        assert len(cleaned.tables[name]) == len(table)


@pytest.mark.parametrize(
    ("tables", "expected"),
    [
        (
            {"patients": [{"patient_id": "a"}, {"patient_id": "b"}, {"patient_id": "a"}]},
            ("error", "key_collides", "patients", "patient_id", (1, 3)),
        ),
        ({"stays": [STAY, STAY]}, ("error", "key_collides", "stays", "stay_id", (1, 2))),
        ({"doses": [DOSE, DOSE]}, ("error", "key_collides", "doses", "dose_id", (1, 2))),
        (
            {"infusion_sites": [SITE, SITE]},
            ("error", "key_collides", "infusion_sites", "site_episode_id", (1, 2)),
        ),
        (
            {"doses": [DOSE, {**DOSE, "dose_id": "2", "patient_id": "c"}]},
            ("error", "unknown_patient", "doses", "patient_id", (2,)),
        ),
        ({"events": [EVENT, EVENT]}, ("note", "identical_rows", "events", "", (2,))),
        (
            {"pain_scores": [PAIN, {**PAIN, "score": 6.0}, {**PAIN, "scale": "vas"}]},
            ("warning", "conflicting_rows", "pain_scores", "", (1, 2)),
        ),
        (
            {"pain_scores": [PAIN, {**PAIN, "score": 11.0, "context": "rest"}]},
            ("warning", "required_out_of_range", "pain_scores", "score", (2,)),
        ),
        (
            {"pain_scores": [{**PAIN, "scale": "cpot", "score": 9.0}]},
            ("warning", "required_out_of_range", "pain_scores", "score", (1,)),
        ),
        (
            {"pain_scores": [{**PAIN, "score": None}]},
            ("warning", "required_blank", "pain_scores", "score", (1,)),
        ),
        (
            {"pain_scores": [{**PAIN, "scale": "faces"}]},
            ("warning", "required_unknown_word", "pain_scores", "scale", (1,)),
        ),
        (
            {"stays": [{**STAY, "end": "2149-01-01"}]},
            ("warning", "end_before_start", "stays", "end", (1,)),
        ),
        (
            {"doses": [{**DOSE, "end": "2149-01-01"}]},
            ("warning", "dose_end_before_start", "doses", "end", (1,)),
        ),
        (
            {"infusion_sites": [SITE], "site_events": [{**FINDING, "patient_id": "b"}]},
            ("warning", "unknown_site_episode", "site_events", "site_episode_id", (1,)),
        ),
        (
            {"events": [{**EVENT, "status": "ruled out"}]},
            ("warning", "unknown_word_row", "events", "status", (1,)),
        ),
        (
            {"stays": [{**STAY, "end_reason": "died"}]},
            ("warning", "death_without_time", "stays", "end_reason", (1,)),
        ),
        ({"measurements": []}, None),
        ({"measurements": [WEIGHT, {**WEIGHT, "name": "albumin"}]}, None),
    ],
)
def test_planted_fault(tables: dict[str, Any], expected: tuple[Any, ...] | None) -> None:
    assert faults_of(make(**tables)) == ([] if expected is None else [expected])


def test_words_that_are_not_allowed_never_become_a_claim() -> None:
    odd = {**DOSE, "route": "by mouth", "status": "cancelled", "indication": "?"}
    cleaned, faults = clean(make(doses=[odd]))
    row = cleaned.tables["doses"].loc[0]
    assert (row["route"], row["status"], row["indication"]) == ("unknown", "unknown", None)
    assert [f.rule for f in faults] == ["unknown_word"] * 3
    cleaned, faults = clean(make(doses=[{**DOSE, "amount_basis": "asked for"}]), 1.0)
    assert cleaned.tables["doses"]["fault"].tolist() == ["unknown_basis"]  # for the ledger


def test_number_out_of_range_becomes_missing() -> None:
    extract = make(patients=[{"patient_id": "a", "weight_kg": 7000.0, "age_years": -1.0}])
    cleaned, faults = clean(extract)
    assert cleaned.tables["patients"][["weight_kg", "age_years"]].isna().all(axis=None)
    assert [f.column for f in faults] == ["age_years", "weight_kg"]
    assert extract.tables["patients"]["weight_kg"].tolist() == [7000.0], "the input is not changed"


def test_asleep_is_a_state_and_no_score() -> None:
    asleep = {**PAIN, "state": "asleep"}
    cleaned, faults = clean(
        make(pain_scores=[asleep, {**asleep, "score": None, "context": "rest"}])
    )
    assert cleaned.tables["pain_scores"]["score"].isna().tolist() == [True, True]
    assert [(f.rule, f.first_rows) for f in faults] == [("score_not_scored", (1,))]


def test_ids_are_made_up_from_data_rows() -> None:
    blank = {**DOSE, "dose_id": None}
    assert clean(make(doses=[blank, blank]))[0].tables["doses"]["dose_id"].tolist() == ["1", "2"]
    ids = clean(make(doses=[DOSE, blank]))[0].tables["doses"]["dose_id"].tolist()
    assert ids == ["1", "row 2"]


def test_several_rows_of_one_day_stay_when_times_are_days() -> None:
    day = {**WEIGHT, "time": "2150-01-01"}
    extract = make(measurements=[day, {**day, "value": 71.0}, {**day, "time": "2150-01-02"}])
    assert faults_of(extract) == []


def test_time_origin() -> None:
    stays = [STAY, {**STAY, "stay_id": "t", "patient_id": "b"}]
    away = {**DOSE, "dose_id": "2", "patient_id": "b", "start": "1990-01-01T08:00"}
    (fault,) = check(make(stays=stays, doses=[{**away, "patient_id": "a", "dose_id": "1"}, away]))
    assert (fault.severity, fault.rule, fault.table) == ("error", "time_origin", "doses")
    assert check(make(stays=stays, doses=[DOSE, away])) == [], "half of the patients are inside"
    at_end = {**DOSE, "start": STAY["end"]}
    assert check(make(stays=[STAY], doses=[at_end])) == []


def test_deaths() -> None:
    patients = [{"patient_id": "a", "death_time": "2150-01-02"}]
    late = {**DOSE, "dose_id": "2", "start": "2150-01-02T00:01"}
    assert faults_of(make(patients=patients, doses=[DOSE, late])) == [
        ("warning", "after_death", "doses", "start", (2,))
    ]
    assert ("warning", "death_before_first_record", "patients", "death_time", (1,)) in faults_of(
        make(patients=patients, doses=[late])
    )


def test_only_actual_times_can_lie_in_the_future() -> None:
    extract, today = make(doses=[DOSE]), datetime(2149, 1, 1)
    assert faults_of(extract, today=today) == []
    assert faults_of(extract, times="actual", today=today) == [
        ("warning", "future_time", "doses", "start", (1,))
    ]


def test_too_many_bad_rows_count_what_the_reader_set_aside() -> None:
    good = [{**PAIN, "time": f"2150-01-01T08:{k:02}"} for k in range(38)]
    extract = make(pain_scores=[*good, {**PAIN, "score": 99.0}])
    assert [f.severity for f in check(extract)] == ["warning"]
    earlier = [Fault("warning", "required_unreadable", "pain_scores", rows=2)]
    fault = check(extract, earlier=earlier)[-1]
    assert (fault.severity, fault.rule, fault.rows) == ("error", "too_many_bad_rows", 3)
    assert fault.message.startswith("3 of 41 rows (7.3%)")
    assert [f.severity for f in check(extract, 0.1, earlier=earlier)] == ["warning"]


def test_row_numbers_are_those_of_the_file(tmp_path: Path) -> None:
    (tmp_path / "patients.csv").write_text("patient_id\na\n")
    (tmp_path / "pain_scores.csv").write_text(
        f"patient_id,time,scale,score\na,soon,nrs,1\na,{T},nrs,12\n"
    )
    extract, faults = tabular.read(tmp_path, "shifted")
    found = check(extract, 1.0, earlier=faults, files=tabular.file_names(tmp_path))
    assert [(f.file, f.first_rows) for f in [*faults, *found]] == [
        ("pain_scores.csv", (1,)),
        ("pain_scores.csv", (2,)),
    ]


def test_errors_are_raised_together_in_few_lines() -> None:
    faults = check(make(patients=[{"patient_id": "a"}] * 9, doses=[{**DOSE, "patient_id": "z"}]))
    with pytest.raises(UserErrors) as raised:
        raise_errors([Fault("warning", "w", message="not raised"), *faults])
    assert str(raised.value).splitlines() == [
        "the extract cannot be used as it is (2 errors)",
        "patients, column patient_id, data rows 1, 2, 3, 4, 5 and 4 more: "
        "9 rows with a patient_id that stands twice",
        "  -> each patient_id may stand once",
        "doses, column patient_id, data row 1: 1 row of patients who are not in the table patients",
        "  -> add the patients, or check how the ids are written",
    ]
    assert all(len(str(error).splitlines()) <= 8 for error in raised.value.faults)
    raise_errors([Fault("note", "n")])


def test_without_patients() -> None:
    extract = make(doses=[DOSE])
    del extract.tables["patients"]
    assert [f.rule for f in check(extract)] == ["no_patients"]


def test_empty_tables_are_no_fault() -> None:
    tables: dict[str, Any] = {name: [] for name in TABLES}
    assert check(make(**tables)) == []


def test_intake_object() -> None:
    extract = make(doses=[DOSE], site_events=[], pain_scores=[{**PAIN, "score": None}])
    fault = Fault("error", "r", "doses", "doses.csv", "start", 7, (1, 2), "m", "h")
    found = intake(extract, [fault], study="s")
    assert list(found) == ["study", "exit", "faults", "tables", "questions"]
    assert (found["study"], found["exit"]) == ("s", 2)
    assert found["faults"] == [
        {
            "severity": "error",
            "rule": "r",
            "table": "doses",
            "file": "doses.csv",
            "column": "start",
            "rows": 7,
            "first_rows": [1, 2],
            "message": "m",
            "hint": "h",
        }
    ]
    assert found["tables"]["doses"] == {"rows": 1, "patients": 1}
    questions = {q["id"]: (q["answerable"], q["n_patients"], q["why"]) for q in found["questions"]}
    assert questions == {
        "mme": (True, 1, ""),
        "pain": (False, 0, "the table pain_scores holds nothing to analyse"),
        "sites": (False, 0, "no table infusion_sites: unknown"),
        "safety": (False, 0, "no table events: unknown"),
        "subgroups": (True, 1, ""),
    }
    assert intake(extract, [])["exit"] == 0


def test_header_names_that_may_be_printed() -> None:
    assert printable("smoking_status") == "smoking_status"
    for name in ("p10006532", "jane doe", "a@b.org", "x" * 41, "555-1234", "", "é"):
        assert printable(name) == ""
