"""Suppression in series: boxes of the flow diagram, steps of curves, at-risk tables.

Neighbouring numbers of a series can be subtracted; what stays must differ by nothing or by
more than the threshold.
"""

from __future__ import annotations

import math
from typing import Any

from ketamine_outcomes.release.rows import EVERYONE, PLACE, Row, groups, known

CURVES = ("cumulative_incidence", "survival_probability", "mean_cumulative_count")


def is_small(value: Any, limit: int) -> bool:
    """Whether a number is 1 to `limit` (0 is not small: nobody is identified by it)."""
    return known(value) and 0 < value <= limit


def keep_steps(
    values: list[float], limit: int, closed: set[int], reference: float | None = None
) -> set[int]:
    """Return the positions of a falling or rising series that may be published.

    The last value is published elsewhere as well (patients analysed), so the walk starts
    there; a value stays only when it differs from the one kept before by 0 or by more than
    `limit`, and is itself 0 or above `limit`. `reference` is a number beyond the last value
    that readers know as well.
    """
    kept: set[int] = set()
    for i in reversed(range(len(values))):
        value = values[i]
        if i in closed or not known(value) or is_small(value, limit):
            continue
        if reference is None or not is_small(abs(value - reference), limit):
            kept.add(i)
            reference = value
    return kept


def flow_boxes(rows: list[Row], hidden: set[int], limit: int) -> set[int]:
    """Boxes of the flow diagram whose difference would give a small number of excluded."""
    new: set[int] = set()
    chosen = [i for i, r in enumerate(rows) if r["analysis"] == "attrition" and r["status"] == "ok"]
    for group in groups(rows, chosen, PLACE):
        remaining = [i for i in group if rows[i]["level"] == "remaining"]
        values = [rows[i]["estimate"] for i in remaining]
        closed = {p for p, i in enumerate(remaining) if i in hidden}
        kept = keep_steps(values, limit, closed)
        shown = {rows[i]["term"]: p in kept for p, i in enumerate(remaining)}
        order = [rows[i]["term"] for i in remaining]
        new |= {i for p, i in enumerate(remaining) if p not in kept}
        for i in group:
            row = rows[i]
            if row["level"] == "remaining" or row["estimate"] == 0:
                continue
            if row["term"] not in order:
                new |= {i}  # a box without its neighbours cannot be judged
                continue
            step = order.index(row["term"])
            neighbours = shown[order[step]] and (step == 0 or shown[order[step - 1]])
            if not neighbours:
                new.add(i)
    return new - hidden


def curves(rows: list[Row], hidden: set[int], limit: int) -> set[int]:
    """Steps of curves and rows of at-risk tables that single out a few people."""
    new: set[int] = set()
    at_risk = [
        i
        for i, r in enumerate(rows)
        if r["measure"] == "count" and r["term"] == "at_risk" and r["status"] == "ok"
    ]
    small_from: dict[tuple[Any, ...], float] = {}
    for group in groups(rows, at_risk, (*PLACE, "level")):
        ordered = sorted(group, key=lambda i: rows[i]["time_hours"])
        values = [rows[i]["estimate"] for i in ordered]
        # from the start: here all patients are what readers know
        start = rows[ordered[0]]["n_patients"]
        kept = keep_steps(values[::-1], limit, set(), start if known(start) else None)
        open_ = {ordered[len(ordered) - 1 - p] for p in kept}
        new |= set(ordered) - open_
        thin = [rows[i]["time_hours"] for i in ordered if is_small(rows[i]["estimate"], limit)]
        if thin:
            row = rows[ordered[0]]
            key = (
                *(row[c] for c in PLACE if c != "outcome"),
                _event(row),
                row["level"],
            )
            small_from[key] = min(thin)
    chosen = [i for i, r in enumerate(rows) if r["measure"] in CURVES and r["status"] == "ok"]
    for group in groups(rows, chosen, (*PLACE, "level", "measure")):
        ordered = sorted(group, key=lambda i: rows[i]["time_hours"])
        row = rows[ordered[0]]
        key = (*(row[c] for c in PLACE if c != "outcome"), _event(row), row["level"])
        end = small_from.get(key, math.inf)
        closed = {p for p, i in enumerate(ordered) if rows[i]["time_hours"] >= end}
        kept = keep_steps([_cumulative(rows[i]) for i in ordered], limit, closed)
        kept = {p for p in kept if _new_level(rows, ordered, p, kept)}
        new |= {i for p, i in enumerate(ordered) if p not in kept}
    # the curve of everyone less those of the arms would give what an arm hides
    thinned = {
        tuple(rows[i][c] for c in PLACE)
        for i in chosen
        if rows[i]["level"] not in EVERYONE and (i in new or i in hidden)
    }
    for i in chosen:
        if rows[i]["level"] in EVERYONE and tuple(rows[i][c] for c in PLACE) in thinned:
            new.add(i)
    return new - hidden


def _event(row: Row) -> str:
    return str(row["outcome"]).split(":")[0]


def _cumulative(row: Row) -> float:
    """Return the events up to a point of a curve; without them, what the height implies."""
    if known(row["n_events"]):
        return float(row["n_events"])
    if not known(row["n_patients"]) or not known(row["estimate"]):
        return math.nan  # cannot be judged: hidden
    share = row["estimate"]
    if row["measure"] == "survival_probability":
        share = 1 - share
    return float(round(share * row["n_patients"]))


def _new_level(rows: list[Row], ordered: list[int], p: int, kept: set[int]) -> bool:
    """Whether a kept point does not move the curve while its event count stands still."""
    earlier = [q for q in kept if q < p]
    if not earlier:
        return True
    a, b = rows[ordered[max(earlier)]], rows[ordered[p]]
    return not (_cumulative(a) == _cumulative(b) and a["estimate"] != b["estimate"])
