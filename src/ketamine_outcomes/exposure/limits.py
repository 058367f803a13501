"""What one dose can plausibly be, per drug and group of routes: beyond it a row is flagged."""

from __future__ import annotations

import csv
from functools import lru_cache
from importlib import resources


@lru_cache(maxsize=1)
def _table() -> dict[tuple[str, str], tuple[float, float]]:
    text = (
        resources.files("ketamine_outcomes.exposure")
        .joinpath("reference/limits.csv")
        .read_text(encoding="utf-8")
    )
    return {
        (row["drug"], row["group"]): (float(row["flag_above"]), float(row["refuse_above"]))
        for row in csv.DictReader(text.splitlines())
    }


def plausible(ingredient: str | None, group: str) -> tuple[float, float]:
    """Return the dose above which a row is flagged, and above which it is refused.

    In mg, of patches in mcg/h. The row of the drug holds, then that of any drug in the group,
    then that of any.

    >>> plausible("hydromorphone", "parenteral")
    (20.0, 10000.0)
    """
    table = _table()
    keys = [(ingredient or "", group), ("any", group), ("any", "any")]
    return next(table[key] for key in keys if key in table)
