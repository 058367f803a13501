"""The units table: every row means what it says, checked against pint, and nothing is guessed."""

from __future__ import annotations

import csv
import re
from fractions import Fraction
from importlib import resources
from typing import Any

import pytest

from ketamine_outcomes.exposure import units

ROWS = list(
    csv.DictReader(
        resources.files("ketamine_outcomes.exposure")
        .joinpath("reference/units.csv")
        .read_text(encoding="utf-8")
        .splitlines()
    )
)
#: The base unit of a kind, for pint.
BASES = {
    "mass": "milligram",
    "volume": "milliliter",
    "mass_rate": "milligram / hour",
    "volume_rate": "milliliter / hour",
    "mass_per_kg": "milligram / kilogram",
    "mass_rate_per_kg": "milligram / kilogram / hour",
    "concentration": "milligram / milliliter",
    "body_mass": "kilogram",
}
#: The words of spellings, for pint.
WORDS = {
    **dict.fromkeys(
        ("mg", "mgs", "mgm", "milligram", "milligrams", "milligramme", "milligrammes"), "milligram"
    ),
    **dict.fromkeys(
        ("mcg", "mcgs", "ug", "µg", "μg", "microgram", "micrograms", "microgramme",
         "microgrammes"),
        "microgram",
    ),
    **dict.fromkeys(("g", "gm", "gms", "gram", "grams", "gramme", "grammes"), "gram"),
    **dict.fromkeys(
        ("ng", "nanogram", "nanograms", "nanogramme", "nanogrammes"), "nanogram"
    ),
    **dict.fromkeys(
        ("ml", "mls", "ml(s)", "cc", "ccs", "milliliter", "milliliters", "millilitre",
         "millilitres"),
        "milliliter",
    ),
    **dict.fromkeys(("l", "liter", "liters", "litre", "litres"), "liter"),
    **dict.fromkeys(("h", "hr", "hrs", "hour", "hours"), "hour"),
    **dict.fromkeys(("min", "minute"), "minute"),
    "day": "day",
    **dict.fromkeys(("kg", "kgs", "kilogram", "kilograms"), "kilogram"),
    **dict.fromkeys(("lb", "lbs", "pound", "pounds"), "pound"),
}  # fmt: skip
#: One old charting system writes rates without strokes.
WITHOUT_STROKES = {
    "mghr": "mg/hr", "mcghr": "mcg/hr", "mgmin": "mg/min", "mcgmin": "mcg/min",
    "mgkghr": "mg/kg/hr", "mcgkghr": "mcg/kg/hr", "mgkgmin": "mg/kg/min",
    "mcgkgmin": "mcg/kg/min",
}  # fmt: skip
MEASURED = [row for row in ROWS if row["kind"] != "count"]


@pytest.fixture(scope="module")
def registry() -> Any:
    pint = pytest.importorskip("pint")
    return pint.UnitRegistry(non_int_type=Fraction)


def for_pint(text: str) -> str:
    """Return a spelling in the words of pint: `mg per 5 ml` is milligram / (5 milliliter)."""
    parts = []
    for part in re.split(r"/| per ", WITHOUT_STROKES.get(text, text)):
        number, word = re.fullmatch(r"([\d.]*) ?(.+)", part).groups()  # type: ignore[union-attr]
        parts.append(f"({number or 1} * {WORDS[word]})")
    return " / ".join(parts)


def in_base(registry: Any, text: str, kind: str) -> Fraction:
    quantity = registry.parse_expression(for_pint(text)).to(BASES[kind])
    return Fraction(quantity.magnitude)


@pytest.mark.parametrize("row", MEASURED, ids=lambda row: row["spelling"])
def test_every_spelling_and_its_unit_are_what_pint_says(registry: Any, row: dict[str, str]) -> None:
    exact = Fraction(row["per_base"])
    assert in_base(registry, row["spelling"], row["kind"]) == exact
    assert in_base(registry, row["unit"].lower(), row["kind"]) == exact


@pytest.mark.parametrize("kind", sorted({row["kind"] for row in ROWS}))
def test_a_kind_has_a_base_unit_of_one(kind: str) -> None:
    assert "1" in {row["per_base"] for row in ROWS if row["kind"] == kind}


def test_counts_are_pieces() -> None:
    pieces = [row for row in ROWS if row["kind"] == "count"]
    assert {(row["unit"], row["per_base"]) for row in pieces} == {("unit", "1")}


def test_spellings_are_single_and_written_as_they_are_compared() -> None:
    spellings = [row["spelling"] for row in ROWS]
    assert len(set(spellings)) == len(spellings)
    for spelling in spellings:
        assert spelling == re.sub(r" ?/ ?", "/", " ".join(spelling.lower().split()))


def test_a_unit_has_one_kind_and_one_size() -> None:
    for name in {row["unit"] for row in ROWS}:
        assert len({(r["kind"], r["per_base"]) for r in ROWS if r["unit"] == name}) == 1


def test_numbers_are_exact_decimals_except_where_there_is_none() -> None:
    for row in ROWS:
        if "/" in row["per_base"]:  # a third of a decimal: 24 h and 15 mL
            assert row["unit"].endswith(("/24h", "/15mL"))
        else:
            assert re.fullmatch(r"\d+(\.\d*[1-9])?", row["per_base"])


@pytest.mark.parametrize(
    ("spelling", "name", "kind", "per_base"),
    [
        ("mg", "mg", "mass", 1),
        ("  MG ", "mg", "mass", 1),
        ("ug", "mcg", "mass", 0.001),
        ("µg", "mcg", "mass", 0.001),  # micro sign
        ("μg", "mcg", "mass", 0.001),  # Greek mu
        ("gram", "g", "mass", 1000),
        ("gm", "g", "mass", 1000),
        ("ng", "ng", "mass", 1e-6),
        ("mL", "mL", "volume", 1),
        ("mL(s)", "mL", "volume", 1),
        ("cc", "mL", "volume", 1),
        ("L", "L", "volume", 1000),
        ("TAB", "unit", "count", 1),
        ("tab(s)", "unit", "count", 1),
        ("CAP", "unit", "count", 1),
        ("PTCH", "unit", "count", 1),
        ("patch", "unit", "count", 1),
        ("supp", "unit", "count", 1),
        ("LOZ", "unit", "count", 1),
        ("ea", "unit", "count", 1),
        ("UNIT", "unit", "count", 1),
        ("mcg/hour", "mcg/h", "mass_rate", 0.001),
        ("MCG / HR", "mcg/h", "mass_rate", 0.001),
        ("mcg/ h", "mcg/h", "mass_rate", 0.001),
        ("mg per  hour", "mg/h", "mass_rate", 1),
        ("mg/min", "mg/min", "mass_rate", 60),
        ("gm/hr", "g/h", "mass_rate", 1000),
        ("mg/24 h", "mg/24h", "mass_rate", 1 / 24),
        ("mg/day", "mg/24h", "mass_rate", 1 / 24),
        ("ml/hr", "mL/h", "volume_rate", 1),
        ("mL/min", "mL/min", "volume_rate", 60),
        ("ug/kg/min", "mcg/kg/min", "mass_rate_per_kg", 0.06),
        ("mcgkgmin", "mcg/kg/min", "mass_rate_per_kg", 0.06),
        ("mg/kg/hour", "mg/kg/h", "mass_rate_per_kg", 1),
        ("ng/kg/min", "ng/kg/min", "mass_rate_per_kg", 6e-5),
        ("mg/kg/24 hours", "mg/kg/24h", "mass_rate_per_kg", 1 / 24),
        ("mg/kg", "mg/kg", "mass_per_kg", 1),
        ("mcg/kg", "mcg/kg", "mass_per_kg", 0.001),
        ("mg/mL", "mg/mL", "concentration", 1),
        ("mcg/ml", "mcg/mL", "concentration", 0.001),
        ("mg / 5 mL", "mg/5mL", "concentration", 0.2),
        ("mg/15mL", "mg/15mL", "concentration", 1 / 15),
        ("lbs", "lb", "body_mass", 0.45359237),
    ],
)
def test_known_spellings(spelling: str, name: str, kind: str, per_base: float) -> None:
    unit = units.find(spelling)
    assert unit is not None
    assert (unit.name, unit.kind, unit.per_base) == (name, kind, per_base)


@pytest.mark.parametrize(
    "spelling",
    ["", None, "drop", "gtt", "DROP", "puff", "PUFF", "spray", "SPRY", "dose", "%", "mEq", "mmol",
     "Appl", "NEB", "INH", "PKT", "VIAL", "SYR", "BAG", "UDCUP", "HALF TAB", "units/hr", "UNIT/HR",
     "U", "Uhr", "million units", "mg PE", "gram/12 gram", "unit/mL", "in", "gr", "m", "mg/dose",
     "mg/m2", "mL/kg/hour", "% of current infusion rate", "mg mL", "mg/", "/h", "mcg/kg/"],
)  # fmt: skip
def test_what_is_not_in_the_table_is_never_guessed(spelling: str | None) -> None:
    assert units.find(spelling) is None
