"""F2: who was left after every eligibility step, from the attrition rows."""

from __future__ import annotations

import math
import textwrap
from typing import TYPE_CHECKING

from ketamine_outcomes.release import wording
from ketamine_outcomes.release.figures import style
from ketamine_outcomes.release.figures.style import FigureEntry
from ketamine_outcomes.release.rows import (
    EVERYONE,
    Row,
    distinct,
    first,
    ok,
    source,
    where,
)
from ketamine_outcomes.study import Study

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_GAP = 0.34  # inches between boxes
_LINE = 0.165  # inches per line of text


def draw(
    rows: list[Row], study: Study, simulated: bool
) -> tuple[Figure, pd.DataFrame, FigureEntry] | None:
    """Draw the flow diagram, or nothing without attrition rows."""
    attrition = where(rows, analysis="attrition", measure="count", level=("remaining", "excluded"))
    outcomes = distinct(attrition, "outcome")
    if not outcomes:
        return None
    columns = [where(attrition, outcome=outcome) for outcome in outcomes]
    split = _arms(rows, study)
    heights = [_height(column) for column in columns]
    extra = 0.95 if split else 0.15
    figure = style.new_figure(7.2, max(heights) + extra + 0.55 + 0.25 * simulated)
    style.stamp(figure, "Flow of " + " and ".join(wording.words(o) for o in outcomes), simulated)
    panels = figure.subplots(1, len(columns), squeeze=False)[0]
    for position, (axes, column) in enumerate(zip(panels, columns, strict=True)):
        last = position == len(columns) - 1
        _column(
            axes,
            column,
            7.2 / len(columns),
            max(heights) + extra,
            split if last else [],
        )
    name = FigureEntry(
        "F2_flow",
        "Flow of " + " and ".join(wording.words(o) for o in outcomes),
        _caption(study),
        _alt(columns),
    )
    return figure, source([*attrition, *(row for _, row in split)]), name


def _arms(rows: list[Row], study: Study) -> list[tuple[str, Row]]:
    found = [r for r in where(rows, analysis="characteristics") if r["level"] not in EVERYONE]
    names = distinct(found, "level")
    if len(names) < 2 or len(names) > 4 or study.index.unit != "patient":
        return []
    best = []
    for name in names:
        members = where(found, level=name)
        visible = [row for row in members if row["status"] == "ok" and row["n_patients"] > 0]
        best.append((name, visible[0] if visible else members[0]))
    return best


def _number(row: Row | None) -> str:
    if row is None:
        return "n unknown"
    return f"n = {wording.count(row['estimate'])}" if ok(row) else f"n {wording.missing(row)}"


def _step_text(row: Row, width: int) -> str:
    words = "In the extract" if row["term"] == "in_extract" else wording.label(row["term"])
    return "\n".join([*textwrap.wrap(words, width), _number(row)])


def _rule(remaining: Row, excluded: Row | None, previous: float, width: int) -> str:
    reason = (excluded or remaining)["note"].split("; small number hidden")[0]
    lines = textwrap.wrap(f"rule: {reason or wording.words(remaining['term'])}", width)
    # a step that took nobody out may have no row of its own
    nobody = excluded is None and ok(remaining) and remaining["estimate"] == previous
    number = "0" if nobody else _number(excluded).removeprefix("n = ")
    return "\n".join([f"Excluded: {number}", *lines])


def _boxes(column: list[Row], wide: bool) -> list[tuple[str, str, float]]:
    """Return main text, side text and height in inches of every step."""
    out = []
    previous = math.nan
    for row in where(column, level="remaining"):
        excluded = first(column, level="excluded", term=row["term"])
        is_first = row["term"] == "in_extract"
        main = _step_text(row, 34 if wide else 20)
        side = "" if is_first else _rule(row, excluded, previous, 40 if wide else 22)
        previous = row["estimate"]
        out.append((main, side, _LINE * (main.count("\n") + 1) + 0.2))
    return out


def _height(column: list[Row]) -> float:
    boxes = _boxes(column, wide=True)
    return sum(
        height + max(_GAP, _LINE * (side.count("\n") + 1) + 0.3 if side else _GAP)
        for _, side, height in boxes
    )


def _column(
    axes: Axes,
    column: list[Row],
    width: float,
    height: float,
    split: list[tuple[str, Row]],
) -> None:
    style.bare(axes)
    axes.set_xlim(0, width)
    axes.set_ylim(height, 0)
    wide = width > 5
    middle, side_left = width * 0.27, width * 0.55
    main_width, side_width = width * 0.46, width * 0.44
    y = 0.05
    bottom = None
    for main, side, tall in _boxes(column, wide):
        if bottom is not None:
            gap = max(_GAP, _LINE * (side.count("\n") + 1) + 0.3)
            y = bottom + gap
            _arrow(axes, (middle, bottom), (middle, y))
            half = bottom + gap / 2
            _arrow(axes, (middle, half), (side_left, half))
            side_tall = _LINE * (side.count("\n") + 1) + 0.16
            _box(
                axes,
                side_left,
                half - side_tall / 2,
                side_width,
                side_tall,
                side,
                left=True,
            )
        _box(axes, middle - main_width / 2, y, main_width, tall, main)
        bottom = y + tall
    if split and bottom is not None:
        _split(axes, split, middle, bottom, width)


def _split(
    axes: Axes, split: list[tuple[str, Row]], middle: float, bottom: float, width: float
) -> None:
    each = (width - 0.2) / len(split)
    y, bar = bottom + 0.36, bottom + 0.16
    axes.plot([middle, middle], [bottom, bar], color=style.MUTED, lw=0.9)
    centres = [0.1 + each * (i + 0.5) for i in range(len(split))]
    axes.plot(
        [min(middle, centres[0]), max(middle, centres[-1])],
        [bar, bar],
        color=style.MUTED,
        lw=0.9,
    )
    for centre, (name, row) in zip(centres, split, strict=True):
        n = wording.count(row["n_patients"]) if row["n_patients"] > 0 else wording.missing(row)
        _arrow(axes, (centre, bar), (centre, y))
        _box(
            axes,
            centre - each * 0.46,
            y,
            each * 0.92,
            0.5,
            f"{wording.label(name)}\n{'n = ' if n[0].isdigit() else 'n '}{n}",
        )


def _box(
    axes: Axes,
    x: float,
    y: float,
    width: float,
    height: float,
    text: str,
    left: bool = False,
) -> None:
    from matplotlib.patches import FancyBboxPatch

    axes.add_patch(
        FancyBboxPatch(
            (x, y),
            width,
            height,
            boxstyle="round,pad=0,rounding_size=0.05",
            facecolor="white" if left else style.SHADE,
            edgecolor=style.MUTED,
            linewidth=0.8,
        )
    )
    axes.text(
        x + 0.1 if left else x + width / 2,
        y + height / 2,
        text,
        ha="left" if left else "center",
        va="center",
        fontsize=8,
        linespacing=1.35,
    )


def _arrow(axes: Axes, start: tuple[float, float], end: tuple[float, float]) -> None:
    axes.annotate(
        "",
        end,
        start,
        arrowprops={
            "arrowstyle": "-|>",
            "lw": 0.9,
            "color": style.MUTED,
            "shrinkA": 0,
            "shrinkB": 0,
            "mutation_scale": 8,
        },
    )


def _caption(study: Study) -> str:
    return (
        "Steps in the order in which they were applied; eligibility saw only what was recorded "
        f"before {wording.time_zero(study)}. {wording.policy(study)}"
    )


def _alt(columns: list[list[Row]]) -> str:
    parts = []
    for column in columns:
        unit = wording.words(column[0]["outcome"])
        remaining = where(column, level="remaining")
        if remaining:
            parts.append(
                f"{unit}: {_number(remaining[0])} in the extract, "
                f"{_number(remaining[-1])} after {len(remaining) - 1} steps"
            )
    return "Flow diagram. " + "; ".join(parts) + "."
