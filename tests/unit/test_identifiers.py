"""The identifier guard: what it refuses, what it lets pass, and that it never repeats it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from ketamine_outcomes.extract.faults import Fault
from ketamine_outcomes.extract.identifiers import check_identifiers, is_denied
from ketamine_outcomes.extract.readers import tabular
from ketamine_outcomes.extract.tables import Extract, conform
from ketamine_outcomes.simulate import simulate


def patients(column: str, *cells: Any) -> Extract:
    """Make an extract with one column of patients filled in."""
    table = pd.DataFrame({"patient_id": [f"p{k}" for k in range(len(cells))], column: list(cells)})
    return Extract({"patients": conform("patients", table)})


def rules(extract: Extract, times: str = "shifted", **known: Any) -> list[str]:
    return [f.rule for f in check_identifiers(extract, times, **known)]


@pytest.mark.parametrize(
    ("cell", "rule"),
    [
        ("see jane@x-y.example.org", "email"),
        ("555-123-4567", "telephone"),
        ("(555) 123-4567", "telephone"),
        ("+49 30 1234567", "telephone"),
        ("Tel. 030/123456", "telephone"),
        ("123-45-6789", "social_security"),
        ("MRN: 0012345", "record_number"),
        ("mrn0012345", "record_number"),
        ("Patient ID 123456", "record_number"),
        ("acct #99887", "record_number"),
        ("02139-4307", "zip_code"),
        ("12 Old Mill Road", "street_address"),
        ("Hauptstraße 5", "street_address"),
        ("PO Box 12", "street_address"),
        ("https://example.org", "url"),
        ("www.example.org/x", "url"),
        ("10.0.12.7", "ip_address"),
        ("2001:db8:0:0:0:0:0:1", "ip_address"),
        ("serial no. AB12345", "device_serial"),
    ],
)
def test_shapes_are_refused_wherever_they_stand(cell: str, rule: str) -> None:
    for column in ("centre_id", "ward"):
        (fault,) = check_identifiers(patients(column, "north", cell, None), "shifted")
        assert (fault.severity, fault.rule) == ("error", f"identifier_{rule}")
        assert (fault.table, fault.column, fault.first_rows) == ("patients", column, (2,))
        assert cell not in str(fault.to_json())


@pytest.mark.parametrize(
    "cell",
    [
        "10000032-36",
        "hosp-22595853",
        "00409-2051-05",
        "0409-2051-05",
        "patient-00123",
        "case0001",
        "Hydrocodone-Acetaminophen (5mg-325mg)",
        "0.9% Sodium Chloride 500 mL Bag",
        "30 mg capsule DR",
        "1.2.3",
        "2150-01-01T08:00:00",
        "mg/kg/h",
        "20G",
        "a1b2c3d4-e5f6-7890-abcd-ef1234567890",
    ],
)
def test_ordinary_cells_pass(cell: str) -> None:
    assert rules(patients("centre_id", cell)) == []


def test_simulated_registry_passes(tmp_path: Path) -> None:
    simulate(tmp_path, patients=20, seed=1)
    extract, faults = tabular.read(tmp_path, "shifted")
    assert [*faults, *check_identifiers(extract, "shifted")] == []


def test_rows_are_counted_and_the_first_five_are_shown() -> None:
    (fault,) = check_identifiers(patients("ward", "north", *["a@b.example"] * 7), "shifted")
    assert (fault.rows, fault.first_rows) == (7, (2, 3, 4, 5, 6))


def test_age_above_ninety() -> None:
    (fault,) = check_identifiers(patients("age_years", 90.0, 91.0, None), "shifted")
    assert (fault.rule, fault.first_rows) == ("identifier_age", (2,))
    assert "91" not in str(fault.to_json())


def test_full_date_only_where_times_are_relative() -> None:
    for cell in ("2021-03-04", "seen 3.4.2021", "03/04/2021"):
        assert rules(patients("ward", cell)) == []
        assert rules(patients("ward", cell), "relative_hours") == ["identifier_full_date"]


def test_date_in_a_relative_file_is_refused_with_its_row(tmp_path: Path) -> None:
    (tmp_path / "patients.csv").write_text("patient_id,death_time\na,12\nb,2021-03-04\n")
    _, faults = tabular.read(tmp_path, "relative_hours")
    assert (faults[0].rule, faults[0].first_rows) == ("identifier_full_date", (2,))


def test_free_text_and_near_unique_text() -> None:
    names = [f"Surname{chr(65 + k)}" for k in range(20)]
    assert rules(patients("ward", "seen by us in the ward")) == ["identifier_free_text"]
    assert rules(patients("ward", *names)) == ["identifier_near_unique"]
    assert rules(patients("ward", *names[:19])) == [], "under 20 rows nothing can be told"
    assert rules(patients("ward", *(name[-2:] for name in names))) == [], "short codes"
    assert rules(patients("ward", *["north wing"] * 11, *names[:9])) == []


def test_ids_numbers_drugs_and_products_may_be_long_and_distinct() -> None:
    rows = 25
    table = pd.DataFrame(
        {
            "patient_id": [f"pseudonym{chr(65 + k)}" for k in range(rows)],
            "drug": [f"drug {chr(65 + k)} in a very long name" for k in range(rows)],
            "product": [f"product {chr(65 + k)} with many words in it" for k in range(rows)],
            "start": ["2150-01-01T08:00"] * rows,
            "score_sum": [f"{k}.123456789" for k in range(rows)],
        }
    )
    assert rules(Extract({"doses": conform("doses", table)})) == []


@pytest.mark.parametrize(
    "name",
    [
        "name",
        "first_name",
        "Last-Name",
        "surname",
        "DOB",
        "birth_date",
        "date_of_birth",
        "Address",
        "street",
        "zip",
        "zip_code",
        "postal_code",
        "postcode",
        "phone",
        "phone_no",
        "email",
        "e-mail",
        "contact",
        "next_of_kin",
        "mrn",
        "ssn",
    ],
)
def test_denied_names(name: str) -> None:
    assert is_denied(name)


@pytest.mark.parametrize(
    "name",
    [
        "centre_code",
        "smoker",
        "drug_name",
        "address_change_pct",
        "x",
        "diabetes",
        "latency",
        "lonely",
    ],
)
def test_names_that_are_not_denied(name: str) -> None:
    assert is_denied(name) == (name == "address_change_pct")


def test_mapped_column_with_a_denied_name_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "patients.csv").write_text("patient_id,zip\na,x\n")
    _, faults = tabular.read(tmp_path, "shifted", extra_columns={"patients": ["zip"]})
    assert [(f.severity, f.rule, f.column) for f in faults] == [
        ("error", "identifier_column", "zip")
    ]


def test_waiver_lets_one_column_pass_and_says_so() -> None:
    extract = patients("ward", "a@b.example")
    faults: list[Fault] = check_identifiers(extract, "shifted", waivers=[("patients", "Ward")])
    assert [(f.severity, f.rule, f.column) for f in faults] == [("note", "waived", "ward")]
    assert rules(extract, waivers=[("doses", "ward")]) == ["identifier_email"]
