"""The closed table of units: a spelling that is not in it is unknown, never guessed.

Base units: mg, mL, mg/h, mL/h, mg/kg/h, mg/mL, kg. The rows are data
(`reference/units.csv`).
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources


@dataclass(frozen=True)
class Unit:
    """A unit: canonical name, kind, and how many base units it holds."""

    name: str
    kind: str
    per_base: float


@lru_cache(maxsize=1)
def _table() -> dict[str, Unit]:
    text = (
        resources.files("ketamine_outcomes.exposure")
        .joinpath("reference/units.csv")
        .read_text(encoding="utf-8")
    )
    return {
        row["spelling"]: Unit(row["unit"], row["kind"], float(row["per_base"]))
        for row in csv.DictReader(text.splitlines())
    }


def find(spelling: str | None) -> Unit | None:
    """Return the unit that a charted spelling means, or None when it is not in the table.

    >>> find("mcg/hour").name
    'mcg/h'
    """
    return _table().get(spelling.strip().lower()) if spelling else None
