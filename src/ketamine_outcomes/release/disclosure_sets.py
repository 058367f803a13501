"""Sets of cells that sum to a published total: no hidden cell may be subtracted out.

In every set the hidden cells must be two or more and together exceed the threshold, else the
total less the visible cells is a small number. Cells are added smallest first, so that the
least is lost.
"""

from __future__ import annotations

from typing import Any

from ketamine_outcomes.release.rows import EVERYONE, PLACE, Row, groups, known


def complete(
    values: dict[Any, float], hidden: set[Any], limit: int, remainder: float = 0
) -> set[Any]:
    """Return the cells to hide beside `hidden` so that a known total gives nothing away.

    Parameters
    ----------
    values
        Cell to its number; together with `remainder` they make the published total.
    hidden
        Cells hidden already.
    remainder
        What the total holds beyond the cells: never published, so hidden from the start.

    Examples
    --------
    >>> complete({"f": 60, "m": 37, "x": 3}, {"x"}, 10)
    {'m'}
    """
    closed = {cell for cell in hidden if values.get(cell, 0) > 0}
    if not closed and not 0 < remainder <= limit:
        return set()
    count = len(closed) + (remainder > 0)
    together = sum(values[cell] for cell in closed) + max(0.0, remainder)
    added: set[Any] = set()
    visible = sorted(
        (cell for cell in values if cell not in closed and values[cell] > 0),
        key=lambda cell: (values[cell], str(cell)),
    )
    while visible and (count < 2 or together <= limit):
        cell = visible.pop(0)
        added.add(cell)
        count += 1
        together += values[cell]
    return added - hidden


def _counts(rows: list[Row]) -> list[int]:
    return [i for i, r in enumerate(rows) if r["measure"] == "count" and r["status"] == "ok"]


def words_of_a_covariate(rows: list[Row], hidden: set[int], limit: int) -> set[int]:
    """Words of one covariate in one arm, with those missing: they sum to the arm."""
    new: set[int] = set()
    chosen = [i for i in _counts(rows) if rows[i]["analysis"] == "characteristics"]
    for group in groups(rows, chosen, (*PLACE, "level", "window")):
        words = [i for i in group if rows[i]["term"] != "missing"]
        total = _published_total(rows, group)
        values = {i: float(rows[i]["estimate"]) for i in group}
        if not words and total is not None:  # a number: missing + given = patients
            for i in group:
                if 0 < total - values[i] <= limit:
                    new.add(i)
            continue
        rest = 0.0 if total is None else total - sum(values.values())
        new |= complete(values, hidden & set(group), limit, rest)
    return new


def counts_of_a_window(rows: list[Row], hidden: set[int], limit: int) -> set[int]:
    """Patients of a window with a value, too few scores or nothing known: they sum to all."""
    parts = ("with_value", "too_few_scores", "unknown")
    inside = ("incomplete", "under_12_hours", "observed_zero")
    new: set[int] = set()
    chosen = [i for i in _counts(rows) if rows[i]["term"] in (*parts, *inside)]
    for group in groups(rows, chosen, (*PLACE, "window", "level")):
        values = {i: float(rows[i]["estimate"]) for i in group if rows[i]["term"] in parts}
        new |= complete(values, hidden & set(values), limit)
        whole = next((v for i, v in values.items() if rows[i]["term"] == "with_value"), None)
        for i in group:
            if rows[i]["term"] in inside and whole is not None:
                rest = whole - float(rows[i]["estimate"])
                if 0 < rest <= limit:
                    new.add(i)
    return new - hidden


def reasons_of_the_ledger(rows: list[Row], hidden: set[int], limit: int) -> set[int]:
    """Reasons of the dose ledger: the number of rows in the extract is published too."""
    new: set[int] = set()
    chosen = [i for i in _counts(rows) if rows[i]["analysis"] == "ledger"]
    for group in groups(rows, chosen, ("study", "cohort", "scenario", "outcome")):
        for parts in groups(rows, group, ("term",)):  # a class with its own total
            totals = [i for i in parts if rows[i]["level"] in EVERYONE]
            if totals and len(parts) > 1:
                values = {i: float(rows[i]["estimate"]) for i in parts if i not in totals}
                new |= complete(values, hidden & set(values), limit)
        cells = [i for i in group if rows[i]["level"] not in EVERYONE] or group
        values = {i: float(rows[i]["estimate"]) for i in cells}
        new |= complete(values, (hidden | new) & set(values), limit)
    return new - hidden


def patients_by_arm(rows: list[Row]) -> dict[str, float]:
    """Return the patients of every arm as published with the characteristics ("" = all)."""
    found: dict[str, float] = {}
    for row in rows:
        if row["analysis"] == "characteristics" and known(row["n_patients"]):
            level = "" if row["level"] in EVERYONE else row["level"]
            found[level] = max(found.get(level, 0.0), float(row["n_patients"]))
    return found


def _published_total(rows: list[Row], group: list[int]) -> float | None:
    """Return the patients that the cells of a group are counted among."""
    return max(
        (float(rows[i]["n_patients"]) for i in group if known(rows[i]["n_patients"])),
        default=None,
    )


def arms_of_a_row(rows: list[Row], hidden: set[int], limit: int) -> set[int]:
    """The same count in every arm and in everyone: everyone less the visible arms."""
    new: set[int] = set()
    across = (*PLACE, "window", "term", "time_hours", "contrast", "measure", "method")
    for cell in ("estimate", "n_events"):
        chosen = [
            i
            for i, r in enumerate(rows)
            if r["status"] == "ok"
            and r["analysis"] not in ("attrition", "ledger")
            and known(r[cell])
            and (r["measure"] == "count") == (cell == "estimate")
        ]
        for group in groups(rows, chosen, across):
            total = [i for i in group if rows[i]["level"] in EVERYONE]
            values = {i: float(rows[i][cell]) for i in group if i not in total}
            if total and values and not set(total) & hidden:
                rest = float(rows[total[0]][cell]) - sum(values.values())
                new |= complete(values, hidden & set(values), limit, rest)
    return new - hidden


def arms_of_everyone(rows: list[Row], hidden: set[int], limit: int) -> set[int]:
    """Arms as a whole: a small arm, and enough others that it cannot be subtracted out."""
    new: set[int] = set()
    chosen = [
        i
        for i, r in enumerate(rows)
        if known(r["n_patients"]) and r["analysis"] not in ("attrition", "ledger")
    ]
    for group in groups(rows, chosen, ("study", "cohort", "scenario")):
        families: set[frozenset[str]] = set()
        for parts in groups(rows, group, ("analysis",)):
            names = {rows[i]["level"] for i in parts} - set(EVERYONE)
            if len(names) > 1:
                families.add(frozenset(names))
        patients = {
            name: max(float(rows[i]["n_patients"]) for i in group if rows[i]["level"] == name)
            for family in families
            for name in family
        }
        closed = {name for name, n in patients.items() if 0 < n <= limit}
        while True:
            more: set[str] = set()
            for family in sorted(families, key=sorted):
                members = {name: patients[name] for name in sorted(family)}
                more |= complete(members, closed & family, limit) - closed
            if not more:
                break
            closed |= more
        new |= {i for i in group if rows[i]["level"] in closed and rows[i]["status"] == "ok"}
    return new - hidden
