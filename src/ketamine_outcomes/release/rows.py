"""Looking rows up in the estimates table: the only way in for figures, tables and page."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from ketamine_outcomes import estimates as contract
from ketamine_outcomes.study import Study

if TYPE_CHECKING:
    import pandas as pd

Row = dict[str, Any]

#: What the rows of one analysis of one outcome share.
PLACE = (
    "study",
    "cohort",
    "scenario",
    "analysis",
    "outcome",
    "population",
    "adjustment",
)
EVERYONE = ("", "all")  # levels that stand for the whole population
_WINDOW = re.compile(r"\[\s*([^,\s]+)\s*,\s*([^)\s]+)\s*\)")


def records(estimates: pd.DataFrame, study: Study, scenario: str = "base") -> list[Row]:
    """Return the rows of one scenario as dictionaries, each with the `kind` of its analysis.

    `kind` is the kind of the analysis in the study, or the analysis name itself for the rows
    that every study has (attrition, ledger, characteristics).
    """
    kinds = {name: analysis.kind for name, analysis in study.analyses.items()}
    frame = estimates[estimates["scenario"] == scenario]
    rows: list[Row] = [
        {str(key): value for key, value in row.items()} for row in frame.to_dict("records")
    ]
    for position, row in enumerate(rows):
        row["kind"] = kinds.get(row["analysis"], row["analysis"])
        row["position"] = position
    return rows


def where(rows: Iterable[Row], **cells: Any) -> list[Row]:
    """Return the rows whose cells equal the given values; a tuple or set allows several."""
    tests: list[tuple[str, Callable[[Any], bool]]] = []
    for name, wanted in cells.items():
        if isinstance(wanted, tuple | set | frozenset | list):
            tests.append((name, set(wanted).__contains__))
        else:
            tests.append((name, wanted.__eq__))
    return [row for row in rows if all(test(row[name]) for name, test in tests)]


def first(rows: Iterable[Row], **cells: Any) -> Row | None:
    """Return the first matching row, or None."""
    found = where(rows, **cells)
    return found[0] if found else None


def ok(row: Row | None) -> bool:
    """Whether a row is there and holds a number."""
    return row is not None and row["status"] == "ok" and known(row["estimate"])


def known(value: Any) -> bool:
    """Whether a numeric cell is filled."""
    return value is not None and not math.isnan(value)


def distinct(rows: Iterable[Row], column: str) -> list[Any]:
    """Return the distinct values of a column in the order of the rows."""
    return list(dict.fromkeys(row[column] for row in rows))


def groups(rows: list[Row], chosen: Iterable[int], columns: tuple[str, ...]) -> list[list[int]]:
    """Return the positions `chosen`, grouped by the given cells, in their order."""
    found: dict[tuple[Any, ...], list[int]] = {}
    for i in chosen:
        cells = (rows[i][column] for column in columns)
        # NaN never equals NaN: an empty cell is one value, not many
        key = tuple(None if isinstance(c, float) and math.isnan(c) else c for c in cells)
        found.setdefault(key, []).append(i)
    return list(found.values())


def arms(rows: Iterable[Row]) -> list[str]:
    """Return the levels in order, the whole population first."""
    levels = distinct(rows, "level")
    return sorted(levels, key=lambda level: level not in EVERYONE)


def bounds(window: str) -> tuple[float, float] | None:
    """Return the ends of a window written `[a,b)` in hours, None for other words."""
    match = _WINDOW.fullmatch(window.strip())
    if match is None:
        return None
    try:
        return float(match[1]), float(match[2])
    except ValueError:
        return None


def by_start(windows: Iterable[str]) -> list[str]:
    """Return windows ordered by their start, then by their end."""
    return sorted(windows, key=lambda w: bounds(w) or (math.inf, math.inf))


def source(rows: Iterable[Row]) -> pd.DataFrame:
    """Return rows as estimates again (contract columns, original order), for a source CSV."""
    import pandas as pd

    unique = {row["position"]: row for row in rows}
    ordered = [unique[position] for position in sorted(unique)]
    frame = pd.DataFrame(ordered, columns=list(contract.COLUMNS))
    for column in contract.NUMBERS:
        frame[column] = frame[column].astype("float64")
    return frame
