"""Suppression in series: boxes of the flow diagram, steps of curves, at-risk tables.

Neighbouring numbers of a series can be subtracted; what stays must differ by nothing or by
more than the threshold.
"""

from __future__ import annotations

import itertools
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
        # a height reported at a round time belongs to the same curve as the steps around it
        ordered = sorted(group, key=lambda i: (rows[i]["time_hours"], rows[i]["term"] != ""))
        row = rows[ordered[0]]
        key = (*(row[c] for c in PLACE if c != "outcome"), _event(row), row["level"])
        end = small_from.get(key, math.inf)
        closed = {p for p, i in enumerate(ordered) if rows[i]["time_hours"] >= end}
        events = _cumulative([rows[i] for i in ordered])
        kept = keep_steps(events, limit, closed)
        new |= {i for p, i in enumerate(ordered) if p not in kept}
        heights = [(events[p], rows[ordered[p]]["estimate"]) for p in sorted(kept)]
        for p, (before, after) in zip(sorted(kept)[1:], itertools.pairwise(heights), strict=True):
            if before[0] == after[0] and before[1] != after[1]:
                new.add(ordered[p])  # the curve moves while its count stands still
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


def _cumulative(rows: list[Row]) -> list[float]:
    """Return the events up to every point of a curve, NaN where they cannot be judged.

    `n_events` of a curve row is the events of its step. Summed up, it is held against what
    the height implies, so that rows which carry running totals are not taken for more events
    than there were.
    """
    out: list[float] = []
    total = 0.0
    for row in rows:
        n = row["n_observations"] if known(row["n_observations"]) else row["n_patients"]
        share = row["estimate"]
        if row["measure"] == "survival_probability":
            share = 1 - share
        implied = float(round(share * n)) if known(n) and known(share) else math.nan
        step = row["n_events"] if row["term"] == "" else math.nan
        if known(step):
            total += float(step)
            out.append(min(total, max(implied, float(step))) if known(implied) else float(step))
        elif total > 0 and row["term"] != "":
            out.append(out[-1])
        else:
            out.append(implied)
    return out
