"""The command `mme`: files in, files out; what it says, and what it never says."""

from __future__ import annotations

import csv
import gzip
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

COLUMNS = {
    "mme": ["patient_id", "window_start", "window_end", "window_start_hours", "mme",
            "hours_observed", "mme_per_24h", "incomplete", "imputed_share", "flags"],
    "ledger": ["dose_id", "patient_id", "class", "reason", "drug_resolved", "route_resolved",
               "factor", "mme", "flags"],
}  # fmt: skip


def mme(folder: Path, *more: str, code: int = 0, **tables: str) -> str:
    """Run the command on tables given as text; return what it printed."""
    arguments = []
    for name, text in tables.items():
        path = folder / f"{name}.csv"
        path.write_text(text.strip().replace("\n        ", "\n") + "\n", encoding="utf-8")
        arguments += [str(path)] if name == "doses" else [f"--{name}", str(path)]
    done = subprocess.run(
        [sys.executable, "-m", "ketamine_outcomes", "mme", *arguments, *more, "--out",
         str(folder / "out")],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout + done.stderr


def rows(folder: Path, name: str) -> list[dict[str, Any]]:
    with (folder / "out" / f"{name}.csv").open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


DOSES = """
patient_id,drug,route,start,amount,amount_unit
a,oxycodone,oral,2150-01-01T08:00,5,mg
a,fentanyl,iv,2150-01-02T08:00,0.05,mg
"""


def test_the_tables_have_the_columns_of_the_contract_in_order(tmp_path: Path) -> None:
    said = mme(tmp_path, doses=DOSES)
    for name, columns in COLUMNS.items():
        header = (tmp_path / "out" / f"{name}.csv").read_text().split("\n")[0]
        assert header == ",".join(columns)
    assert [row["mme"] for row in rows(tmp_path, "mme")] == ["7.5", "15"]
    assert [row["dose_id"] for row in rows(tmp_path, "ledger")] == ["1", "2"]
    assert "converted: 2" in said
    assert "not for clinical dosing" in said


def test_windows_with_observed_hours_and_no_dose_are_there_with_0(tmp_path: Path) -> None:
    mme(tmp_path, doses=DOSES, stays="patient_id,start,end\na,2150-01-01T00:00,2150-01-04T12:00")
    found = rows(tmp_path, "mme")
    assert [row["mme"] for row in found] == ["7.5", "15", "0", "0"]
    assert [row["hours_observed"] for row in found] == ["24", "24", "24", "12"]
    assert [row["flags"] for row in found] == ["", "", "observed_zero",
                                               "observed_zero;partial_day"]  # fmt: skip
    assert {row["incomplete"] for row in found} == {"false"}


def test_bins_start_at_the_index_else_the_first_stay_else_the_first_dose(tmp_path: Path) -> None:
    doses = """
        patient_id,drug,route,start,amount,amount_unit
        a,morphine,oral,2150-01-02T08:00,5,mg
        b,morphine,oral,2150-01-02T08:00,5,mg
        c,morphine,oral,2150-01-02T08:00,5,mg
        """
    mme(tmp_path, "--windows", "bins:24h", doses=doses,
        stays="patient_id,start,end\na,2150-01-01T06:00,2150-01-03T06:00\n"
              "b,2150-01-01T06:00,2150-01-02T12:00",
        index="patient_id,index_time\na,2150-01-02T09:00")  # fmt: skip
    starts = {
        row["patient_id"]: (row["window_start"], row["window_start_hours"])
        for row in rows(tmp_path, "mme") if float(row["mme"]) > 0
    }  # fmt: skip
    assert starts == {
        "a": ("2150-01-01T09:00:00", "-24"),
        "b": ("2150-01-02T06:00:00", "24"),
    }
    # c has no stay: its dose lies outside, and its bin starts there
    (ledger,) = (row for row in rows(tmp_path, "ledger") if row["patient_id"] == "c")
    assert (ledger["class"], ledger["reason"]) == ("excluded", "outside_stay")


def test_json_is_one_object(tmp_path: Path) -> None:
    said = json.loads(mme(tmp_path, "--json", doses=DOSES))
    assert said["classes"] == [{"class": "converted", "reason": "", "rows": 2}]


def test_every_bad_row_is_in_the_ledger_and_in_the_summary(tmp_path: Path) -> None:
    doses = """
        patient_id,drug,route,start,end,amount,amount_unit,rate,rate_unit
        a,morphine,iv,2150-01-01T08:00,,4,,,
        a,morphine,iv,2150-01-01T08:00,,4,mL,,
        a,morphine,iv,2150-01-01T08:00,2150-01-01T09:00,,,1,mg/kg/h
        a,morphine,iv,2150-01-01T08:00,2150-01-01T07:00,4,mg,,
        a,morphine,iv,2150-01-01T08:00,,-4,mg,,
        a,morphine,iv,2150-01-01T08:00,,1e9,mg,,
        a,zebra,iv,2150-01-01T08:00,,4,mg,,
        """
    reasons = ["unknown_unit", "no_concentration", "no_weight", "end_before_start", "negative",
               "implausible_unit", "unknown_drug"]  # fmt: skip
    said = mme(tmp_path, doses=doses)
    assert [row["reason"] for row in rows(tmp_path, "ledger")] == reasons
    for reason in reasons:
        assert f"unconverted:{reason}: 1" in said
    (window,) = rows(tmp_path, "mme")
    assert (window["mme"], window["incomplete"]) == ("0", "true")
    assert "zebra" in (tmp_path / "out" / "unmapped.csv").read_text()
    assert "zebra" not in said


SECRET = "jane.doe@example.org"


@pytest.mark.parametrize(
    ("tables", "says"),
    [
        ({"doses": "patient_id,drug\na,morphine"}, "missing columns: start"),
        ({"doses": "patient_id,drug,start,start\na,morphine,1,1"}, "columns that stand twice"),
        ({"doses": f"patient_id,drug,start\na,{SECRET},1"}, "an e-mail address"),
        ({"doses": "patient_id,drug,start\na,morphine,1,9"}, "more or fewer cells"),
        ({"doses": DOSES, "patients": "patient_id\nz"}, "who are not in the table patients"),
        (
            {"doses": "patient_id,drug,start,dose_id\na,morphine,1,x7\na,morphine,2,x7"},
            "dose_id that stands twice",
        ),
        (
            {"doses": DOSES, "index": "patient_id,index_time\na,2150-01-01\na,2150-01-02"},
            "patient_id that stands",
        ),
    ],
)
def test_a_mistake_ends_with_2_and_shows_no_cell(
    tmp_path: Path, tables: dict[str, str], says: str
) -> None:
    said = mme(tmp_path, code=2, **tables)
    assert says in said
    assert SECRET not in said and "x7" not in said
    assert len(said.strip().split("\n")) <= 8
    assert "Traceback" not in said


def test_mistakes_of_the_command_line(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("a file")
    assert "cannot be made" in mme(tmp_path, doses=DOSES, code=2)
    (tmp_path / "out").unlink()
    assert "did you mean 'cdc2022'" in mme(tmp_path, "--factors", "cdc2020", doses=DOSES, code=2)
    assert "bins:24h" in mme(tmp_path, "--windows", "weeks", doses=DOSES, code=2)
    days = "patient_id,drug,route,start,amount,amount_unit\na,morphine,oral,2150-01-01,5,mg"
    said = mme(tmp_path, "--windows", "bins:24h", doses=days, code=2)
    assert "dated to the day" in said


def test_most_patients_away_from_their_stays_is_an_error(tmp_path: Path) -> None:
    doses = "patient_id,drug,route,start,amount,amount_unit\n" + "".join(
        f"{p},morphine,oral,2150-01-01T08:00,5,mg\n" for p in "abc"
    )
    stays = "patient_id,start,end\n" + "".join(
        f"{p},{year}-01-01T00:00,{year}-01-02T00:00\n"
        for p, year in zip("abc", (2170, 2170, 2150), strict=True)
    )
    assert "different origins" in mme(tmp_path, doses=doses, stays=stays, code=2)


def test_charts_spell_routes_in_their_own_way(tmp_path: Path) -> None:
    routes = ("NG", "PEG", "PO", "SubQ", "IVP", "SL", "PR")
    doses = "patient_id,drug,route,form,start,amount,amount_unit\n" + "".join(
        f"a,morphine,{route},,2150-01-01T08:00,5,mg\n" for route in routes
    )
    mme(tmp_path, doses=doses)
    assert [row["route_resolved"] for row in rows(tmp_path, "ledger")] == [
        "oral", "oral", "oral", "sc", "iv", "sublingual", "rectal"
    ]  # fmt: skip


def test_a_dose_of_a_known_day_and_unknown_hour_makes_the_day_incomplete(tmp_path: Path) -> None:
    doses = """
        patient_id,drug,route,start,amount,amount_unit
        a,morphine,oral,2150-01-01,5,mg
        a,morphine,oral,2150-01-01T08:00,5,mg
        a,morphine,oral,2150-01-02T08:00,5,mg
        """
    mme(tmp_path, doses=doses)
    assert [(row["mme"], row["incomplete"]) for row in rows(tmp_path, "mme")] == [
        ("5", "true"), ("5", "false")
    ]  # fmt: skip
    assert rows(tmp_path, "ledger")[0]["reason"] == "date_only"


def test_weights_in_grams_and_in_a_unit_that_is_none(tmp_path: Path) -> None:
    doses = """
        patient_id,drug,route,start,end,rate,rate_unit
        a,fentanyl,iv,2150-01-01T08:00,2150-01-01T10:00,1,mcg/kg/h
        b,fentanyl,iv,2150-01-01T08:00,2150-01-01T10:00,1,mcg/kg/h
        """
    weights = """
        patient_id,time,name,value,unit
        a,2150-01-01T07:00,weight_kg,70000,g
        b,2150-01-01T07:00,weight_kg,70,stone
        """
    said = mme(tmp_path, doses=doses, measurements=weights)
    assert [row["reason"] for row in rows(tmp_path, "ledger")] == ["", "no_weight"]
    assert rows(tmp_path, "mme")[0]["mme"] == "42"
    assert "a unit that is not known" in said and "stone" not in said


def test_files_of_all_kinds_read_alike(tmp_path: Path) -> None:
    import duckdb

    mme(tmp_path, doses=DOSES)
    plain = (tmp_path / "out" / "mme.csv").read_bytes()
    text = DOSES.strip() + "\n"
    (tmp_path / "doses.csv").write_bytes(b"\xef\xbb\xbf" + text.replace("\n", "\r\n").encode())
    with gzip.open(tmp_path / "packed.csv.gz", "wt") as stream:
        stream.write(text)
    duckdb.execute(
        f"COPY (FROM read_csv('{tmp_path}/packed.csv.gz')) TO '{tmp_path}/typed.parquet'"
    )
    for name in ("doses.csv", "packed.csv.gz", "typed.parquet"):
        subprocess.run(
            [sys.executable, "-m", "ketamine_outcomes", "mme", str(tmp_path / name), "--out",
             str(tmp_path / "out")], check=True, capture_output=True,
        )  # fmt: skip
        assert (tmp_path / "out" / "mme.csv").read_bytes() == plain


def test_many_rows_leave_no_false_notes(tmp_path: Path) -> None:
    lines = ["patient_id,drug,route,start,end,amount,amount_unit,rate,rate_unit"]
    for i in range(130_000):
        day = f"2150-01-{1 + i % 28:02d}"
        if i % 2:
            lines.append(f"p{i % 500},morphine,oral,{day}T08:00,,5,mg,,")
        else:
            lines.append(f"p{i % 500},fentanyl,iv,{day}T08:00,{day}T09:00,,,50,mcg/h")
    said = mme(tmp_path, doses="\n".join(lines))
    assert "note" not in said
    assert "converted: 130000" in said


def test_a_date_of_death_keeps_the_doses_of_that_day(tmp_path: Path) -> None:
    doses = """
        patient_id,drug,route,start,amount,amount_unit
        a,morphine,iv,2150-01-02T08:00,10,mg
        """
    stays = """
        patient_id,stay_id,start,end
        a,s,2150-01-01T00:00,2150-01-02T20:00
        """
    patients = """
        patient_id,death_time
        a,2150-01-02
        """
    mme(tmp_path, doses=doses, stays=stays, patients=patients)
    assert [(row["mme"], row["hours_observed"]) for row in rows(tmp_path, "mme")] == [
        ("0", "24"), ("30", "20")
    ]  # fmt: skip
