"""The closed table of units: a spelling that is not in it is unknown, never guessed.

Base units: mg, mL, mg/h, mL/h, mg/kg, mg/kg/h, mg/mL, kg, and one piece. The rows are data
(`reference/units.csv`).
"""

from __future__ import annotations

import csv
import re
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from importlib import resources


@dataclass(frozen=True)
class Unit:
    """A unit.

    Attributes
    ----------
    name
        The canonical spelling, e.g. mcg/h.
    kind
        mass, volume, count, mass_rate, volume_rate, mass_per_kg, mass_rate_per_kg,
        concentration or body_mass.
    exact
        How many base units of its kind it holds: 1/24 for a day has no decimal.
    """

    name: str
    kind: str
    exact: Fraction

    @property
    def per_base(self) -> float:
        """Return how many base units it holds, as a number to multiply columns with."""
        return float(self.exact)


@lru_cache(maxsize=1)
def _table() -> dict[str, Unit]:
    text = (
        resources.files("ketamine_outcomes.exposure")
        .joinpath("reference/units.csv")
        .read_text(encoding="utf-8")
    )
    return {
        row["spelling"]: Unit(row["unit"], row["kind"], Fraction(row["per_base"]))
        for row in csv.DictReader(text.splitlines())
    }


@lru_cache(maxsize=4096)
def find(spelling: str | None) -> Unit | None:
    """Return the unit that a charted spelling means, or None when it is not in the table.

    Compared in lower case, trimmed, with single spaces and none around a slash.

    >>> find("MCG / Hour").name
    'mcg/h'
    >>> find("drop") is None
    True
    """
    if not spelling:
        return None
    return _table().get(re.sub(r" ?/ ?", "/", " ".join(spelling.lower().split())))


def kg_per(unit: Unit | None) -> float | None:
    """Return the kilograms of a unit in which bodies are weighed, or None.

    >>> kg_per(find("lb")), kg_per(find("g")), kg_per(find("mL"))
    (0.45359237, 0.001, None)
    """
    if unit is not None and unit.kind == "body_mass":
        return unit.per_base
    return 0.001 if unit is not None and unit.name == "g" else None
