"""The factor sets: what each supplies, how they join, and files of the user's own."""

from __future__ import annotations

import csv
from decimal import Decimal
from fractions import Fraction
from pathlib import Path

import pytest

from ketamine_outcomes.errors import UserError, UserErrors
from ketamine_outcomes.exposure import factors
from ketamine_outcomes.exposure.factors import FactorTable


def value(name: str, drug: str, route: str, form: str) -> Decimal | None:
    found = FactorTable(name).find(drug, route, form)
    return None if found is None else found.value


def per_quantity(name: str, drug: str, route: str, form: str) -> Fraction | None:
    found = FactorTable(name).find(drug, route, form)
    return None if found is None else found.per_quantity


# --- shipped sets -----------------------------------------------------------------------------


@pytest.mark.parametrize("name", [*factors.known_sets(), "inpatient_parenteral", "anzca2021"])
def test_every_shipped_set_passes_the_check_of_a_users_own_file(name: str) -> None:
    rows = factors.selected_rows(name)
    assert rows
    factors.check(rows, name)


def test_the_evidence_passes_the_check_and_is_no_set() -> None:
    rows = [row for row in factors._shipped() if row["set"] in factors.EVIDENCE_ONLY]
    factors.check(rows, "evidence")
    assert not factors.EVIDENCE_ONLY & set(factors.known_sets())
    with pytest.raises(UserError, match="unknown factor set"):
        FactorTable("inpatient_source")


@pytest.mark.parametrize(
    ("name", "drug", "route", "form", "wanted"),
    [
        ("cdc2022", "hydromorphone", "oral", "ir", "5"),
        ("cdc2016", "hydromorphone", "oral", "ir", "4"),
        ("cdc2022", "tramadol", "oral", "er", "0.2"),
        ("cdc2016_file", "tramadol", "oral", "er", "0.1"),
        ("cdc2022", "methadone", "oral", "ir", "4.7"),
        ("cdc2018_file", "methadone", "oral", "ir", "3"),
        ("cdc2013_file", "tapentadol", "oral", "ir", "1"),
        ("cdc2014_file", "tapentadol", "oral", "ir", "0.4"),
        ("heal", "tapentadol", "oral", "er", "0.3"),
        ("heal", "levorphanol", "oral", "ir", "11"),
        ("cms", "opium", "rectal", "suppository", "1"),
        ("oralopioids", "morphine", "rectal", "suppository", "3"),
        ("anzca", "oxycodone", "sc", "bolus", "3"),
        ("inpatient", "hydromorphone", "iv", "pca", "20"),
        ("inpatient", "fentanyl", "iv", "infusion", "0.3"),
        ("inpatient", "fentanyl", "sc", "infusion", "0.15"),
        ("inpatient", "fentanyl", "nasal", "atomised_injection", "0.16"),
        ("route_consistent", "fentanyl", "iv", "infusion", "0.1"),
        ("cdc2022+inpatient", "hydromorphone", "oral", "ir", "5"),
    ],
)
def test_values(name: str, drug: str, route: str, form: str, wanted: str) -> None:
    assert value(name, drug, route, form) == Decimal(wanted)


@pytest.mark.parametrize(
    ("name", "drug", "route", "form"),
    [
        ("cdc2022", "morphine", "iv", "bolus"),
        ("cdc2022+inpatient", "meperidine", "oral", "ir"),
        ("cdc2022+inpatient", "codeine", "sc", "bolus"),
        ("cdc2022+inpatient", "buprenorphine", "sublingual", "tablet"),
        ("cdc2022+inpatient", "buprenorphine", "transdermal", "patch"),
        ("cdc2018_file", "buprenorphine", "transdermal", "patch"),
        ("oralopioids", "methadone", "oral", "ir"),
        ("inpatient", "sufentanil", "sublingual", "tablet"),
        ("cdc2022", "naloxone", "iv", "bolus"),
        ("cdc2022+inpatient", "ketamine", "iv", "infusion"),
    ],
)
def test_excluded_has_no_factor(name: str, drug: str, route: str, form: str) -> None:
    assert value(name, drug, route, form) is None


@pytest.mark.parametrize("name", factors.known_sets())
@pytest.mark.parametrize("bound", ["", "+low", "+high"])
def test_neuraxial_and_remifentanil_are_never_converted(name: str, bound: str) -> None:
    table = FactorTable(name + bound)
    for drug in ("morphine", "hydromorphone", "fentanyl", "sufentanil", "codeine", "butorphanol"):
        for route in ("epidural", "intrathecal"):
            for form in ("bolus", "infusion", "pca", "any"):
                assert table.find(drug, route, form) is None
    for route in ("iv", "im", "sc", "any"):
        for form in ("bolus", "infusion", "pca", "any"):
            assert table.find("remifentanil", route, form) is None


@pytest.mark.parametrize(
    "drug", ["morphine", "fentanyl", "hydromorphone", "oxycodone", "tramadol", "methadone"]
)
@pytest.mark.parametrize("route", ["iv", "im", "sc"])
def test_parenteral_supplies_no_factor(drug: str, route: str) -> None:
    """A source that does not tell iv, im and sc apart."""
    for form in ("bolus", "infusion", "pca"):
        assert value("openprescribing", drug, route, form) is None
        assert value("cdc2013_file", drug, route, form) is None


def test_nothing_is_found_by_asking_for_parenteral() -> None:
    for name in ("openprescribing", "cdc2013_file", "cdc2014_file"):
        assert value(name, "morphine", "parenteral", "bolus") is None


def test_rows_that_are_evidence_are_no_factor() -> None:
    """What a file states as its basis, a base beside tiers, implants."""
    assert value("cdc2014_file", "fentanyl", "iv", "bolus") is None
    assert value("cdc2016_file", "buprenorphine", "sc", "implant") is None
    found = FactorTable("cms").find("methadone", "oral", "ir")
    assert found is not None and found.value == 4 and len(found.tiers) == 4


def test_a_dose_in_mme_is_its_own() -> None:
    for name in ("cdc2022", "heal+low"):
        assert value(name, "morphine_equivalent", "oral", "ir") == 1


# --- joining ----------------------------------------------------------------------------------


def test_the_default_joins_oral_and_parenteral() -> None:
    table = FactorTable("cdc2022+inpatient")
    oral, vein = table.find("morphine", "oral", "ir"), table.find("morphine", "iv", "bolus")
    assert oral is not None and oral.set_name == "cdc2022"
    assert vein is not None and vein.set_name == "inpatient_parenteral"


def test_an_earlier_set_wins() -> None:
    assert value("cdc2016+cdc2022", "hydromorphone", "oral", "ir") == 4
    assert value("cdc2022+cdc2016", "hydromorphone", "oral", "ir") == 5
    assert value("route_consistent+cdc2022+inpatient", "fentanyl", "iv", "pca") == Decimal("0.1")
    assert value("route_consistent+cdc2022+inpatient", "hydromorphone", "iv", "pca") == 20


@pytest.mark.parametrize(
    ("name", "drug", "form", "wanted"),
    [
        ("cdc2022+cdc2018_file", "tramadol", "ir", "0.2"),
        ("cdc2022+cdc2018_file", "hydromorphone", "er", "5"),
        ("cdc2022+cdc2018_file", "methadone", "ir", "4.7"),
        ("cdc2022+cdc2016", "methadone", "ir", "4.7"),
        ("cdc2022+heal", "tapentadol", "ir", "0.4"),
        ("cdc2022+heal", "tapentadol", "er", "0.4"),
        ("cdc2018_file+cdc2022", "tramadol", "ir", "0.1"),
        ("cdc2016_file+heal", "tapentadol", "er", "0.4"),
    ],
)
def test_an_earlier_set_wins_over_a_more_specific_form_of_a_later_one(
    name: str, drug: str, form: str, wanted: str
) -> None:
    """cdc2022 gives one number for every oral form; a supplement must not replace it."""
    assert value(name, drug, "oral", form) == Decimal(wanted)


def test_a_factor_anywhere_beats_an_exclusion() -> None:
    assert value("cdc2022", "levorphanol", "oral", "ir") is None
    assert value("cdc2022+heal", "levorphanol", "oral", "ir") == 11
    assert value("cdc2022+heal", "buprenorphine", "transdermal", "patch") == Decimal("2.2")
    assert value("cdc2022+cdc2018_file", "meperidine", "oral", "ir") == Decimal("0.1")


def test_low_and_high() -> None:
    name = "cdc2022+inpatient"
    for drug, low, typical, high in (
        ("hydromorphone", "10", "20", "22.5"),
        ("fentanyl", "0.1", "0.3", "0.3"),
        ("morphine", "2", "3", "3"),
        ("methadone", "3", "9.4", "13.5"),
        ("tramadol", "0.2", "0.2", "0.375"),
    ):
        assert value(f"{name}+low", drug, "iv", "bolus") == Decimal(low)
        assert value(name, drug, "iv", "bolus") == Decimal(typical)
        assert value(f"{name}+high", drug, "iv", "bolus") == Decimal(high)


def test_rows_without_a_range_keep_the_typical_value() -> None:
    for bound in ("+low", "+high"):
        assert value("cdc2022+inpatient" + bound, "oxycodone", "oral", "ir") == Decimal("1.5")
        assert value("inpatient" + bound, "fentanyl", "buccal", "film") == Decimal("0.18")


def test_aliases() -> None:
    assert factors.parse("inpatient+anzca") == (("inpatient_parenteral", "anzca2021"), "typical")
    assert factors.parse("cdc2022+inpatient+low") == (("cdc2022", "inpatient_parenteral"), "low")
    assert factors.parse(" cdc2022 + heal ") == (("cdc2022", "heal"), "typical")
    assert factors.selected_rows("anzca") == factors.selected_rows("anzca2021")
    assert (
        "inpatient" in factors.known_sets() and "inpatient_parenteral" not in factors.known_sets()
    )


@pytest.mark.parametrize("name", ["", "low", "cdc2023", "cdc2022+", "cdc2022+low+heal", "+"])
def test_unknown_sets(name: str) -> None:
    with pytest.raises(UserError, match="unknown factor set"):
        FactorTable(name)


def test_unknown_set_is_answered_with_a_near_one() -> None:
    with pytest.raises(UserError, match="did you mean 'cdc2022'"):
        FactorTable("cdc202")


def test_has() -> None:
    assert FactorTable("heal").has("buprenorphine")
    assert not FactorTable("cdc2022").has("buprenorphine")


# --- forms ------------------------------------------------------------------------------------


def test_the_specific_form_wins_over_any() -> None:
    for name in ("cdc2013_file", "cdc2014_file"):
        assert value(name, "fentanyl", "buccal", "film") == Decimal("0.18")
        assert value(name, "fentanyl", "sublingual", "tablet") == Decimal("0.13")


@pytest.mark.parametrize(
    ("name", "drug", "route", "wanted"),
    [
        ("heal", "buprenorphine", "sublingual", "38.8"),
        ("cdc2016_file", "buprenorphine", "sublingual", "30"),
        ("cdc2018_file", "fentanyl", "buccal", "0.13"),
        ("cms", "fentanyl", "sublingual", "0.13"),
        ("cdc2022+inpatient", "fentanyl", "buccal", "0.13"),
    ],
)
def test_buccal_and_sublingual_tablets(name: str, drug: str, route: str, wanted: str) -> None:
    """A tablet in the cheek is no oral tablet: its form stays `tablet`."""
    form = factors.form_class(route, "tablet", has_rate=False)
    assert value(name, drug, route, form) == Decimal(wanted)


def test_unknown_form_of_the_mouth_has_no_factor() -> None:
    for name in ("cdc2022+inpatient", "cdc2014_file", "heal", "cms"):
        for route in ("buccal", "sublingual"):
            form = factors.form_class(route, "unknown", has_rate=False)
            assert value(name, "fentanyl", route, form) is None


def test_a_lozenge_is_buccal_whatever_the_route() -> None:
    for name in ("cdc2018_file", "cms", "cdc2022+inpatient"):
        for route in ("oral", "buccal", "sublingual"):
            form = factors.form_class(route, "lozenge", has_rate=False)
            assert form == "lozenge"
            assert value(name, "fentanyl", route, form) == Decimal("0.13")


def test_extended_release_falls_back() -> None:
    assert value("heal", "hydrocodone", "oral", "er") == 1  # its own row
    assert value("heal", "codeine", "oral", "er") == Decimal("0.15")  # ir
    assert value("cdc2022", "morphine", "oral", "er") == 1  # any


@pytest.mark.parametrize(
    ("route", "form", "has_rate", "wanted"),
    [
        ("iv", "injection", False, "bolus"),
        ("iv", "unknown", False, "bolus"),
        ("iv", "infusion", True, "infusion"),
        ("sc", "pca_demand", False, "pca"),
        ("iv", "pca_basal", True, "pca"),
        ("epidural", "infusion", True, "infusion"),
        ("oral", "tablet", False, "ir"),
        ("oral", "capsule", False, "ir"),
        ("oral", "solution", False, "ir"),
        ("oral", "unknown", False, "ir"),
        ("oral", "tablet_er", False, "er"),
        ("oral", "capsule_er", False, "er"),
        ("oral", "lozenge", False, "lozenge"),
        ("nasal", "solution", False, "atomised_injection"),
        ("nasal", "injection", False, "atomised_injection"),
        ("nasal", "spray", False, "spray"),
        ("rectal", "unknown", False, "suppository"),
        ("transdermal", "unknown", False, "patch"),
        ("buccal", "film", False, "film"),
        ("sublingual", "unknown", False, "unknown"),
    ],
)
def test_form_class(route: str, form: str, has_rate: bool, wanted: str) -> None:
    assert factors.form_class(route, form, has_rate) == wanted


@pytest.mark.parametrize("form", sorted(factors.ORAL_FORMS))
def test_oral_products_are_immediate_or_extended(form: str) -> None:
    """What a file lists as an oral tablet, capsule or liquid is found by `ir`, ER by `er`."""
    assert factors.ORAL_FORMS[form] == ("er" if form.endswith("_er") else "ir")
    assert factors.form_class("oral", form, False) == factors.ORAL_FORMS[form]


def test_oral_forms_of_the_cdc_files() -> None:
    assert value("cdc2018_file", "oxycodone", "oral", "ir") == Decimal("1.5")
    assert value("cdc2018_file", "oxycodone", "oral", "er") == Decimal("1.5")
    assert value("cdc2018_file", "levorphanol", "oral", "er") == 11  # only tablets are listed
    assert value("cdc2018_file", "codeine", "oral", "ir") == Decimal("0.15")


# --- units ------------------------------------------------------------------------------------


def test_mass_is_per_mg() -> None:
    assert per_quantity("cdc2022", "oxycodone", "oral", "ir") == Fraction(3, 2)
    assert per_quantity("inpatient", "fentanyl", "iv", "bolus") == 300
    assert per_quantity("cdc2018_file", "fentanyl", "nasal", "spray") == 160


@pytest.mark.parametrize(
    ("name", "drug", "number", "unit", "per_day"),
    [
        ("cdc2022", "fentanyl", "2.4", "mcg/h", "2.4"),
        ("cdc2018_file", "fentanyl", "7.2", "mcg/h_per_patch", "2.4"),
        ("cdc2013_file", "fentanyl", "7.2", "mcg/h_per_patch", "2.4"),
        ("cms", "fentanyl", "7.2", "mcg/h_per_patch", "2.4"),
        ("oralopioids", "fentanyl", "2.4", "mcg/h", "2.4"),
        ("anzca", "fentanyl", "3", "mcg/h", "3"),
        ("openprescribing", "fentanyl", "100", "mg", "2.4"),
        ("heal", "buprenorphine", "2.2", "mcg/h", "2.2"),
        ("cdc2016_file", "buprenorphine", "12.6", "mcg/h_per_patch", "1.8"),
        ("cdc2013_file", "buprenorphine", "42", "mcg/h_per_patch", "6"),
        ("openprescribing", "buprenorphine", "100", "mg", "2.4"),
    ],
)
def test_patches_are_per_mcg_per_h_and_hour(
    name: str, drug: str, number: str, unit: str, per_day: str
) -> None:
    """The table's number stays; what is multiplied is per mcg/h x hour, whatever its unit."""
    found = FactorTable(name).find(drug, "transdermal", "patch")
    assert found is not None
    assert (found.value, found.unit) == (Decimal(number), unit)
    assert found.per_quantity * 24 == Fraction(per_day)


def test_a_rate_factor_serves_patches_only() -> None:
    """inpatient has IV fentanyl per mcg/h too: infusions go by mass all the same."""
    found = FactorTable("inpatient").find("fentanyl", "iv", "infusion")
    assert found is not None and found.unit == "mcg"
    assert value("cdc2022", "fentanyl", "transdermal", "ir") is None


# --- tiers ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["cdc2016", "cms"])
@pytest.mark.parametrize("form", ["ir", "er", "any"])
@pytest.mark.parametrize(
    ("mg", "wanted"),
    [
        ("0.5", 4), ("19.999", 4), ("20", 4), ("20.000001", 8), ("20.5", 8), ("21", 8), ("40", 8),
        ("40.5", 10), ("60", 10), ("60.1", 12), ("1000", 12),
    ],
)  # fmt: skip
def test_tiers_have_no_gap(name: str, form: str, mg: str, wanted: int) -> None:
    found = FactorTable(name).find("methadone", "oral", form)
    assert found is not None
    for total in (Decimal(mg), Fraction(mg)):
        assert found.on_day(total).value == wanted
        assert found.on_day(total).per_quantity == wanted


def test_tiers_are_in_order_and_the_last_is_open() -> None:
    found = FactorTable("cdc2016").find("methadone", "oral", "ir")
    assert found is not None and found.value == 4
    assert [upper for upper, _ in found.tiers] == [20, 40, 60, None]


def test_a_factor_without_tiers_is_that_of_every_day() -> None:
    found = FactorTable("cdc2022").find("methadone", "oral", "ir")
    assert found is not None and found.on_day(Decimal(1000)) is found


def test_parenteral_methadone_has_no_tier() -> None:
    found = FactorTable("cdc2016+inpatient").find("methadone", "iv", "bolus")
    assert found is not None and found.value == Decimal("9.4") and not found.tiers


# --- a file of the user's own -----------------------------------------------------------------

ROW = {
    "set": "ours", "drug": "morphine", "rxnorm_ingredient": "7052", "route": "iv", "form": "any",
    "dose_unit": "mg", "factor": "2.5", "factor_low": "2", "factor_high": "3",
    "source": "our pharmacy, 2026", "note": "", "evidence": "",
}  # fmt: skip


def write(path: Path, *rows: dict[str, str], columns: tuple[str, ...] = factors.COLUMNS) -> str:
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, columns, extrasaction="ignore")
        writer.writeheader()
        writer.writerows(rows)
    return str(path)


def test_own_file(tmp_path: Path) -> None:
    patch = ROW | {"drug": "buprenorphine", "route": "transdermal", "form": "patch",
                   "dose_unit": "mcg/h_per_patch", "factor": "14", "factor_low": "",
                   "factor_high": ""}  # fmt: skip
    name = write(tmp_path / "hospital.csv", ROW, patch)
    table = FactorTable(f"{name}+cdc2022+inpatient")
    found = table.find("morphine", "iv", "bolus")
    assert found is not None
    assert (found.value, found.set_name) == (Decimal("2.5"), "hospital")
    assert found.source == "our pharmacy, 2026"
    assert value(f"{name}+inpatient+high", "morphine", "iv", "bolus") == 3
    assert value(f"inpatient+{name}", "morphine", "iv", "bolus") == 3  # the earlier set
    assert value(f"{name}+cdc2022", "oxycodone", "oral", "ir") == Decimal("1.5")
    worn = table.find("buprenorphine", "transdermal", "patch")
    assert worn is not None and worn.per_quantity * 24 == 2
    assert factors.files(f"{name}+cdc2022") == (Path(name),)
    assert len(factors.selected_rows(name)) == 2


def test_own_file_with_tiers(tmp_path: Path) -> None:
    tiers = [
        ROW | {"drug": "methadone", "route": "oral", "form": form, "factor": number,
               "factor_low": "", "factor_high": ""}
        for form, number in (("tier_gt60", "9"), ("tier_gt0_le20", "3"), ("tier_gt20_le40", "5"),
                             ("tier_gt40_le60", "7"))
    ]  # fmt: skip
    found = FactorTable(write(tmp_path / "t.csv", *tiers)).find("methadone", "oral", "ir")
    assert found is not None
    assert [found.on_day(Decimal(mg)).value for mg in (20, 21, 60, 61)] == [3, 5, 7, 9]


def test_own_tiers_without_the_last_are_a_fault(tmp_path: Path) -> None:
    """50 mg a day must not fall back to the factor of the first tier."""
    tiers = [
        ROW | {"drug": "methadone", "route": "oral", "form": form, "factor": number,
               "factor_low": "", "factor_high": ""}
        for form, number in (("tier_gt0_le20", "4"), ("tier_gt20_le40", "8"))
    ]  # fmt: skip
    with pytest.raises(UserErrors, match="tier"):
        FactorTable(write(tmp_path / "t.csv", *tiers))


def test_own_file_is_read_again_when_it_changes(tmp_path: Path) -> None:
    import os

    path = tmp_path / "hospital.csv"
    assert value(write(path, ROW), "morphine", "iv", "bolus") == Decimal("2.5")
    write(path, ROW | {"factor": "2.75"})
    os.utime(path, ns=(1, 10**18))
    assert value(str(path), "morphine", "iv", "bolus") == Decimal("2.75")


def test_own_file_of_a_spreadsheet(tmp_path: Path) -> None:
    """With a byte order mark, blanks around cells, and without the column `set`."""
    name = write(tmp_path / "x.csv", {k: f" {v} " for k, v in ROW.items()},
                 columns=factors.COLUMNS[1:])  # fmt: skip
    path = Path(name)
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert value(name, "morphine", "iv", "bolus") == Decimal("2.5")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"dose_unit": "milligram"}, "dose_unit 'milligram'"),
        ({"dose_unit": ""}, "a factor without its dose_unit"),
        ({"source": ""}, "a factor without its source"),
        ({"factor": "2,5"}, "a factor that is no number"),
        ({"factor": "-2", "factor_low": "", "factor_high": ""}, "negative or no number"),
        ({"factor": "NaN", "factor_low": "", "factor_high": ""}, "negative or no number"),
        ({"factor": "Infinity", "factor_low": "", "factor_high": ""}, "negative or no number"),
        ({"factor_low": "2.6"}, "not in order"),
        ({"factor_high": "2.4"}, "not in order"),
        ({"route": "by mouth"}, "route 'by mouth' is not known"),
        ({"route": "iv|intravenus"}, "route 'intravenus' is not known"),
        ({"form": "tablett"}, "form 'tablett' is not known, did you mean 'tablet'?"),
        ({"drug": "morphin"}, "drug 'morphin' is no ingredient, did you mean 'morphine'?"),
        ({"drug": "Morphine"}, "drug 'Morphine' is no ingredient"),
        ({"route": "transdermal", "dose_unit": "mcg/h_per_patch"}, "whose days a patch are not"),
    ],
)
def test_faults_of_an_own_file(tmp_path: Path, change: dict[str, str], message: str) -> None:
    good = ROW | {"drug": "oxycodone"}
    name = write(tmp_path / "own.csv", good, ROW | change)
    with pytest.raises(UserErrors) as raised:
        FactorTable(name)
    assert message in str(raised.value)
    assert "own.csv, data row 2" in str(raised.value)
    assert "data row 1" not in str(raised.value)


def test_doubles_of_an_own_file(tmp_path: Path) -> None:
    name = write(tmp_path / "own.csv", ROW, ROW | {"route": "sc|iv", "factor": "2.6"})
    with pytest.raises(UserErrors, match="morphine iv any stands in data row 1 already"):
        FactorTable(name)


def test_every_fault_at_once(tmp_path: Path) -> None:
    name = write(tmp_path / "own.csv", ROW | {"source": ""}, ROW | {"drug": "x", "route": "y"})
    with pytest.raises(UserErrors) as raised:
        FactorTable(name)
    assert len(raised.value.faults) == 3


def test_an_own_file_without_columns_or_without_a_file(tmp_path: Path) -> None:
    short = tuple(c for c in factors.COLUMNS if c not in ("form", "source"))
    with pytest.raises(UserError, match="without the columns form, source"):
        FactorTable(write(tmp_path / "own.csv", ROW, columns=short))
    with pytest.raises(UserError, match="no such file"):
        FactorTable(str(tmp_path / "none.csv"))
    with pytest.raises(UserError, match="without the columns"):
        path = tmp_path / "empty.csv"
        path.write_text("", encoding="utf-8")
        FactorTable(str(path))


def test_an_own_exclusion_and_zero_supply_nothing(tmp_path: Path) -> None:
    excluded = ROW | {"factor": "", "dose_unit": "", "factor_low": "", "factor_high": ""}
    zero = ROW | {"drug": "naloxone", "factor": "0", "factor_low": "", "factor_high": ""}
    name = write(tmp_path / "own.csv", excluded, zero)
    assert value(name, "morphine", "iv", "bolus") is None
    assert value(name, "naloxone", "iv", "bolus") is None
    assert value(f"{name}+inpatient", "morphine", "iv", "bolus") == 3


@pytest.mark.parametrize(
    ("bound", "form", "route", "expected"),
    [
        ("low", "tablet", "sublingual", "30"),
        ("high", "tablet", "sublingual", "60"),
        ("low", "patch", "transdermal", "1.8"),
        ("high", "bolus", "iv", "111"),
    ],
)
def test_a_row_that_is_excluded_in_its_typical_reading_counts_with_its_bounds(
    bound: str, form: str, route: str, expected: str
) -> None:
    assert value("cdc2022+inpatient", "buprenorphine", route, form) is None
    assert value(f"cdc2022+inpatient+{bound}", "buprenorphine", route, form) == Decimal(expected)


@pytest.mark.parametrize("bound", ["low", "high"])
def test_what_is_never_converted_has_no_bounds_either(bound: str) -> None:
    name = f"cdc2022+inpatient+{bound}"
    assert value(name, "remifentanil", "iv", "infusion") is None
    assert value(name, "morphine", "epidural", "bolus") is None
