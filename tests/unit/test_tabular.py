"""Canonical files: every fault is named with its exact data rows, and nothing is guessed."""

from __future__ import annotations

import gzip
from pathlib import Path

import pandas as pd
import pytest

from ketamine_outcomes.errors import UserErrors
from ketamine_outcomes.extract.checks import clean
from ketamine_outcomes.extract.faults import Fault, raise_errors
from ketamine_outcomes.extract.readers import tabular
from ketamine_outcomes.extract.tables import TABLES, Extract
from ketamine_outcomes.simulate import simulate

PATIENTS = "patient_id\na\nb\n"
DOSES = "patient_id,drug,start\n"
GOOD = "a,morphine,2150-01-01T08:00\n"


def read(
    folder: Path, times: str = "shifted", *, extra: dict[str, list[str]] | None = None, **files: str
) -> tuple[Extract, list[Fault]]:
    """Read tables given as text (name to CSV)."""
    for name, text in {"patients": PATIENTS, **files}.items():
        (folder / f"{name}.csv").write_bytes(text.encode())
    return tabular.read(folder, times, extra_columns=extra)


def found(faults: list[Fault], rule: str) -> Fault:
    """Return the one fault of a rule."""
    (fault,) = [fault for fault in faults if fault.rule == rule]
    return fault


def read_starts(folder: Path, *starts: str, times: str = "shifted") -> dict[int, str]:
    """Return data row -> time as it was read."""
    extract, _ = read(folder, times, doses=DOSES + "".join(f"a,morphine,{s}\n" for s in starts))
    return {row: str(time) for row, time in extract.tables["doses"]["start"].dropna().items()}


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("registry")
    simulate(folder, patients=8, seed=1)
    return folder


def test_simulated_registry_is_read_without_faults(registry: Path) -> None:
    extract, faults = tabular.read(registry, "shifted")
    assert faults == []
    assert set(extract.tables) == set(TABLES)
    for name, table in extract.tables.items():
        lines = (registry / f"{name}.csv").read_text().splitlines()
        assert len(table) == len(lines) - 1
        assert list(table.columns) == list(TABLES[name].names)
    assert extract.tables["doses"]["start"].dtype == "datetime64[us]"
    assert extract.tables["patients"]["calciphylaxis"].dtype == "boolean"


def test_parquet_and_gzip_give_the_same_tables(registry: Path, tmp_path: Path) -> None:
    extract, _ = tabular.read(registry, "shifted")
    extract.save(tmp_path / "parquet")
    (tmp_path / "gz").mkdir()
    for name in TABLES:
        packed = gzip.compress((registry / f"{name}.csv").read_bytes())
        (tmp_path / "gz" / f"{name}.csv.gz").write_bytes(packed)
    for folder in ("parquet", "gz"):
        again, faults = tabular.read(tmp_path / folder, "shifted")
        assert faults == []
        for name, table in extract.tables.items():
            pd.testing.assert_frame_equal(again.tables[name], table)


def test_absent_is_unknown_and_a_header_alone_is_known_to_be_empty(tmp_path: Path) -> None:
    extract, faults = read(tmp_path, doses=DOSES)
    assert faults == []
    assert set(extract.tables) == {"patients", "doses"}
    assert extract.tables["doses"].empty


def test_header_and_words_are_trimmed_and_lowered_and_ids_keep_their_case(tmp_path: Path) -> None:
    header = "\ufeff Patient_ID , DRUG,Start,route,procedural\r\n"
    text = header + " A1 , Morphine ,2150-01-01 08:00, IV ,Y\r\n"
    extract, _ = read(tmp_path, doses=text)
    row = extract.tables["doses"].loc[1]
    assert (row["patient_id"], row["drug"], row["route"], row["procedural"]) == (
        "A1",
        "Morphine",
        "iv",
        True,
    )


def test_mixed_line_ends_blank_lines_and_quotes(tmp_path: Path) -> None:
    rows = 'a,"tab, ""x""",2150-01-01T08:00\n\r\nb,"r\nt",2150-01-01T08:00\r\n'
    text = "\n patient_id,drug,start\r\n" + rows
    extract, faults = read(tmp_path, doses=text)
    assert faults == []
    assert extract.tables["doses"]["drug"].to_dict() == {1: 'tab, "x"', 2: "r\nt"}


def test_path_with_wildcards_is_no_pattern(tmp_path: Path) -> None:
    folder = tmp_path / "x[1]*?"
    folder.mkdir()
    assert len(read(folder, doses=DOSES + GOOD)[0].tables["doses"]) == 1


@pytest.mark.parametrize(
    ("text", "rule", "rows"),
    [
        ("", "empty_file", ()),
        ("patient_id,Drug,drug ,start\n", "duplicate_header", ()),
        ("patient_id,drgu,start\n", "missing_column", ()),
        ("patient_id;drug;start\n", "missing_column", ()),
        (DOSES + GOOD + "a,x\n" + GOOD + '"q\nq",1,2,3\n', "ragged_rows", (2, 4)),
        (DOSES + GOOD + 'a,"x,2150-01-01T08:00\n', "unreadable", ()),
    ],
)
def test_file_that_cannot_be_read_as_declared(
    tmp_path: Path, text: str, rule: str, rows: tuple[int, ...]
) -> None:
    extract, faults = read(tmp_path, doses=text)
    fault = found(faults, rule)
    assert (fault.severity, fault.table, fault.file) == ("error", "doses", "doses.csv")
    assert fault.first_rows == rows
    assert "doses" not in extract.tables


def test_undecodable_bytes(tmp_path: Path) -> None:
    (tmp_path / "doses.csv").write_bytes((DOSES + GOOD).encode() + b"a,\xff,2150-01-01T08:00\n")
    assert found(tabular.read(tmp_path, "shifted")[1], "undecodable").first_rows == (2,)
    (tmp_path / "doses.csv").write_bytes(DOSES.encode("utf-16"))
    assert found(tabular.read(tmp_path, "shifted")[1], "undecodable").rows == 0


def test_gzip_that_was_cut_short(tmp_path: Path) -> None:
    packed = gzip.compress((DOSES + GOOD * 1000).encode())
    (tmp_path / "doses.csv.gz").write_bytes(packed[:-9])
    assert found(tabular.read(tmp_path, "shifted")[1], "unreadable").table == "doses"


def test_two_files_for_one_table(tmp_path: Path) -> None:
    (tmp_path / "doses.csv.gz").write_bytes(gzip.compress(DOSES.encode()))
    extract, faults = read(tmp_path, doses=DOSES)
    assert found(faults, "two_files").severity == "error"
    assert "doses" not in extract.tables


def test_folder_without_tables_and_a_misspelt_one(tmp_path: Path) -> None:
    (tmp_path / "dose.csv").write_text(DOSES)
    faults = tabular.read(tmp_path, "shifted")[1]
    assert found(faults, "no_tables").severity == "error"
    assert found(faults, "unknown_file").hint == "did you mean 'doses'?"


def test_columns_that_are_ignored_declared_or_denied(tmp_path: Path) -> None:
    text = "patient_id,Smoker,albumin0,MRN,p10006532\na,yes,31,1,2\nb,no,,3,4\n"
    extract, faults = read(tmp_path, patients=text, extra={"patients": ["smoker", "albumin0"]})
    table = extract.tables["patients"]
    assert table["smoker"].tolist() == ["yes", "no"]
    assert table["albumin0"].dtype == "float64"
    assert "mrn" not in table
    assert "never read (mrn)" in found(faults, "denied_column").message
    # A header that holds a patient id (a file without a header) is counted, not shown.
    assert found(faults, "ignored_column").message == "1 column not in the contract: ignored"


def test_declared_column_that_is_not_there(tmp_path: Path) -> None:
    _, faults = read(tmp_path, extra={"patients": ["smoker"]})
    assert "smoker" in found(faults, "missing_column").message


def test_midnight_second_sixty_fractions_and_what_is_no_time(tmp_path: Path) -> None:
    starts = read_starts(
        tmp_path,
        "2150-01-01T24:00",
        "2150-01-01 23:59:60",
        "2150-01-01T24:01",
        "2150-02-30T00:00",
        "2150-01-01T10:00:00.25",
        "2150-01-01T1:00",
        "01/02/2150 10:00",
    )
    assert starts == {
        1: "2150-01-02 00:00:00",
        2: "2150-01-02 00:00:00",
        5: "2150-01-01 10:00:00.250000",
    }


def test_relative_times(tmp_path: Path) -> None:
    assert read_starts(tmp_path, "-24", "1.5", "1e9", "nan", times="relative_hours") == {
        1: "1999-12-31 00:00:00",
        2: "2000-01-01 01:30:00",
    }
    assert read_starts(tmp_path, "1.5", times="relative_days") == {1: "2000-01-02 12:00:00"}


def test_dates_among_times_are_set_aside_unless_they_are_most(tmp_path: Path) -> None:
    times = ["2150-01-01", "2150-01-02T10:00", "2150-01-02T11:00"]
    assert set(read_starts(tmp_path, *times)) == {2, 3}
    assert set(read_starts(tmp_path, *times, "2150-01-03", "2150-01-04")) == {1, 2, 3, 4, 5}


def test_date_of_death_is_the_end_of_that_day(tmp_path: Path) -> None:
    text = "patient_id,entry_time,death_time\na,2150-01-01T08:00,2150-02-01\nb,2150-01-01T08:00,\n"
    extract, _ = read(tmp_path, patients=text)
    assert str(extract.tables["patients"].loc[1, "death_time"]) == "2150-02-02 00:00:00"


def test_offsets_keep_elapsed_time(tmp_path: Path) -> None:
    starts = read_starts(
        tmp_path, "2150-01-01T10:00+01:00", "2150-01-01T11:00+0100", "2150-01-01T12:00+02"
    )
    assert list(starts.values()) == [
        "2150-01-01 10:00:00",
        "2150-01-01 11:00:00",
        "2150-01-01 11:00:00",
    ]


def test_offsets_west_of_greenwich(tmp_path: Path) -> None:
    starts = read_starts(
        tmp_path, "2150-01-01T10:00-03:30", "2150-01-01T10:00-03:30", "2150-01-01T10:00Z"
    )
    assert starts[1] == starts[2] == "2150-01-01 10:00:00"
    assert starts[3] == "2150-01-01 06:30:00"


@pytest.mark.parametrize("stays", ["2150-01-01T10:00", "2150-01-01T10:00Z"])
def test_offsets_in_some_rows_or_tables_only(tmp_path: Path, stays: str) -> None:
    _, faults = read(
        tmp_path, doses=DOSES + GOOD, stays=f"patient_id,start,end\na,{stays},2150-01-02T00:00Z\n"
    )
    assert found(faults, "mixed_offsets").severity == "error"


def test_bad_cells_and_rows_are_counted_with_their_numbers(tmp_path: Path) -> None:
    text = "patient_id,drug,start,amount,procedural\n" + "".join(
        f"{row}\n"
        for row in (
            "a,x,2150-01-01T08:00,5,1",
            "a,x,2150-01-01T08:00,five,maybe",
            "a,,2150-01-01T08:00,1_000,0",
            ",x,2150-01-01T08:00,5,0",
            "a,x,soon,5,",
            "a,,soon,5,",
        )
    )
    extract, faults = read(tmp_path, doses=text)
    assert [(f.rule, f.column, f.first_rows) for f in faults] == [
        ("required_blank", "patient_id", (4,)),
        ("required_blank", "drug", (3, 6)),
        ("required_unreadable", "start", (5,)),
        ("unreadable_cell", "amount", (2,)),
        ("unreadable_cell", "procedural", (2,)),
    ]
    doses = extract.tables["doses"]
    assert doses["amount"].isna().tolist() == [False, True, True, False, False, False]
    # no dose row is dropped: the ledger gives it a class and this reason
    faults = doses["fault"].where(doses["fault"].notna(), None).tolist()
    assert faults == [None, None, "no_drug", "no_patient", "no_start", "no_start"]


def test_blank_score_is_left_to_the_checks(tmp_path: Path) -> None:
    text = "patient_id,time,scale,score,state\na,2150-01-01T08:00,nrs,,asleep\n"
    extract, faults = read(tmp_path, pain_scores=text)
    assert faults == []
    assert extract.tables["pain_scores"]["state"].tolist() == ["asleep"]


def test_a_hundred_thousand_rows_keep_their_order(tmp_path: Path) -> None:
    rows = "".join(f"a,x{k},2150-01-01T08:00\n" for k in range(1, 100_001))
    extract, _ = read(tmp_path, doses=DOSES + rows)
    table = extract.tables["doses"]
    assert (table["drug"] == "x" + table.index.astype(str)).all()


SECRET = "jane.doe@example.org MRN 7654321"


@pytest.mark.parametrize("name", TABLES)
@pytest.mark.parametrize("place", ["cells", "first header", "last header"])
def test_no_message_holds_a_cell(registry: Path, tmp_path: Path, name: str, place: str) -> None:
    lines = [line.split(",") for line in (registry / f"{name}.csv").read_text().splitlines()[:40]]
    names = TABLES[name].names
    if place == "cells":  # each column in a row of its own
        lines += [list(lines[-1]) for _ in range(len(names) + 1 - len(lines))]
        for column in range(len(names)):
            lines[column + 1][column] = SECRET
    else:
        lines[0][0 if place == "first header" else -1] = SECRET
    text = "\n".join(",".join(line) for line in lines) + "\n"
    extract, faults = read(tmp_path, **{name: text})
    faults += clean(extract, earlier=faults)[1]
    said = str([fault.to_json() for fault in faults])
    with pytest.raises(UserErrors) as raised:
        raise_errors([*faults, Fault("error", "planted")])
    said += str(raised.value)
    assert not any(part in said for part in ("jane", "doe@", "7654321", "p1-"))
    if place == "cells":
        emails = {f.column: f.first_rows for f in faults if f.rule == "identifier_email"}
        assert emails == {column: (row,) for row, column in enumerate(names, start=1)}
