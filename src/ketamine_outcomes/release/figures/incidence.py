"""F10: cumulative incidence by arm, its competing causes, and who was at risk."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING, Any

from ketamine_outcomes.release import wording
from ketamine_outcomes.release.figures import style
from ketamine_outcomes.release.figures.style import FigureEntry
from ketamine_outcomes.release.rows import EVERYONE, Row, arms, distinct, known, ok, source, where
from ketamine_outcomes.study import Study

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_MOST_PANELS = 4
Drawn = tuple["Figure", "pd.DataFrame", FigureEntry]


def draw(rows: list[Row], study: Study, simulated: bool) -> list[Drawn]:
    """Draw one figure per outcome with a curve; the study's primary one first."""
    incidence = where(rows, kind="cumulative_incidence")
    curves = [r for r in where(incidence, measure="cumulative_incidence", term="") if ok(r)]
    main = set(study.primary.values())
    places = list(
        dict.fromkeys((r["analysis"], r["outcome"]) for r in curves if ":" not in r["outcome"])
    )
    places.sort(key=lambda place: place[0] not in main)
    drawn = []
    for position, (analysis, outcome) in enumerate(places):
        name = "F10_incidence" if position == 0 else f"F10_incidence_{analysis}"
        here = where(incidence, analysis=analysis)
        several = len([place for place in places if place[1] == outcome]) > 1
        title = f"Cumulative incidence: {wording.words(outcome)}"
        title += f" ({wording.words(analysis)})" if several else ""
        drawn.append(_one(here, outcome, name, title, study, simulated))
    return drawn


def _one(
    rows: list[Row], outcome: str, name: str, title: str, study: Study, simulated: bool
) -> Drawn:
    curves = [r for r in where(rows, measure="cumulative_incidence", term="") if ok(r)]
    event = where(curves, outcome=outcome)
    causes = [o for o in distinct(curves, "outcome") if o.startswith(f"{outcome}:")]
    levels = arms(event)
    at_risk = where(rows, measure="count", term="at_risk", outcome=outcome)
    times = sorted({r["time_hours"] for r in at_risk if known(r["time_hours"])})
    end = max([*times, *(r["time_hours"] for r in curves)])
    if times:  # beyond twice the last reported time the curve rests on hardly anybody
        end = min(end, max(2 * times[-1], times[-1] + 24))
    all_rows = where(rows, measure="cumulative_incidence", term="")
    hidden = [r for r in all_rows if r["outcome"] == outcome and not ok(r)]
    thinned = {r["level"] for r in all_rows if not ok(r)}  # a stack with gaps would mislead
    panels = [
        level for level in levels if level not in thinned and _causes_of(curves, causes, level)
    ][:_MOST_PANELS]
    if len(levels) > _MOST_PANELS:  # too many to compare: everyone, or none
        panels = [level for level in panels if level in EVERYONE]
    lines = len(levels)
    height = 3.4 + 0.3 * lines + 0.5 + (2.6 if panels else 0) + 0.25 * simulated
    figure = style.new_figure(7.4, height)
    style.stamp(figure, title, simulated)
    grid = figure.add_gridspec(
        4 if panels else 2,
        max(1, len(panels)),
        height_ratios=[3.0, 0.28 * lines + 0.35] + ([0.25, 2.1] if panels else []),
    )
    axes = figure.add_subplot(grid[0, :])
    _curves(axes, event, hidden, levels, end, study)
    used = _risk_table(figure.add_subplot(grid[1, :]), at_risk, levels, times, end, study)
    first_panel = None
    for position, level in enumerate(panels):
        panel = figure.add_subplot(grid[3, position], sharey=first_panel)
        first_panel = first_panel or panel
        _stack(panel, curves, outcome, causes, level, end, study, position == 0)
    if panels and first_panel is not None:
        handles, labels = first_panel.get_legend_handles_labels()
        # in a row of its own: a legend wider than a panel would squeeze the panels
        row = figure.add_subplot(grid[2, :])
        style.bare(row)
        row.legend(
            handles,
            labels,
            loc="center left",
            ncols=4,
            fontsize=8,
            handlelength=1.5,
            handleheight=1.2,
            borderaxespad=0,
        )
    entry = FigureEntry(name, title, _caption(study, event, bool(panels)), _alt(event, levels))
    return figure, source([*curves, *used]), entry


def _causes_of(curves: list[Row], causes: list[str], level: str) -> list[Row]:
    return [r for r in curves if r["level"] == level and r["outcome"] in causes]


def _unit(study: Study) -> str:
    return wording.unit_word(study)


def _steps(rows: list[Row], end: float) -> tuple[list[float], list[Row]]:
    ordered = sorted(rows, key=lambda r: r["time_hours"])
    inside = [r for r in ordered if r["time_hours"] <= end]
    return [r["time_hours"] for r in inside], inside


def _hidden_before(hidden: list[Row], level: str, time: float) -> bool:
    return any(r["level"] == level and r["time_hours"] < time for r in hidden)


def _curves(
    axes: Axes, event: list[Row], hidden: list[Row], levels: list[str], end: float, study: Study
) -> None:
    import seaborn as sns
    from matplotlib.ticker import FuncFormatter

    colours = style.palette(len(levels))
    for position, level in enumerate(levels):
        times, rows = _steps(where(event, level=level), end)
        if not rows:
            continue
        xs = [*times, end]
        heights = [*(r["estimate"] for r in rows), rows[-1]["estimate"]]
        if not _hidden_before(hidden, level, times[0]):  # else the start is unknown, not 0
            xs, heights = [0.0, *xs], [0.0, *heights]
        sns.lineplot(
            x=xs,
            y=heights,
            estimator=None,
            errorbar=None,
            sort=False,
            ax=axes,
            lw=1.9,
            drawstyle="steps-post",
            color=colours[position],
            linestyle=style.LINES[position % 5],
            label=wording.arm(level, _unit(study)),
            zorder=3,
            legend=False,
        )
        axes.plot(
            end,
            heights[-1],
            marker=style.MARKERS[position % 8],
            markersize=5.5,
            color=colours[position],
            clip_on=False,
            zorder=4,
        )
        banded = [r for r in rows if known(r["ci_low"]) and known(r["ci_high"])]
        if banded and len(levels) <= 4:
            ts = [r["time_hours"] for r in banded]
            axes.fill_between(
                [*ts, end],
                [*(r["ci_low"] for r in banded), banded[-1]["ci_low"]],
                [*(r["ci_high"] for r in banded), banded[-1]["ci_high"]],
                step="post",
                color=colours[position],
                alpha=0.13,
                lw=0,
                zorder=2,
            )
    style.hours_axis(axes, 0, end, wording.clock(study, event[0]["outcome"]))
    drawn = [r for r in event if r["time_hours"] <= end]
    highs = [r["ci_high"] for r in drawn if known(r["ci_high"]) and len(levels) <= 4]
    top = max([r["estimate"] for r in drawn] + highs)
    axes.set_ylim(0, min(1.0, max(0.05, top * 1.08)))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{wording.number(100 * y)} %"))
    axes.set_ylabel("Cumulative incidence")
    if len(levels) > 1:
        axes.legend(
            loc="lower left",
            bbox_to_anchor=(0, 1.0),
            ncols=3,
            fontsize=8.5,
            borderaxespad=0.2,
            handlelength=3,
        )


def _risk_table(
    axes: Axes,
    at_risk: list[Row],
    levels: list[str],
    times: list[float],
    end: float,
    study: Study,
) -> list[Row]:
    colours = style.palette(len(levels))
    shown = [t for t in times if t <= end]
    used: list[Row] = []
    lines: list[tuple[str, list[str], Any]] = []
    for position, level in enumerate(levels):
        cells = []
        for time in shown:
            row = next(
                (r for r in where(at_risk, level=level) if r["time_hours"] == time),
                None,
            )
            if row is None:
                cells.append("unknown")
            elif ok(row):
                used.append(row)
                cells.append(wording.count(row["estimate"]))
            else:
                cells.append(wording.missing(row))
        label = "All" if level in EVERYONE else wording.arm(level)
        lines.append((label if len(levels) > 1 else "", cells, style.darker(colours[position])))
    if shown:
        style.grid_below(axes, shown, lines, "At risk")
    else:
        style.bare(axes)
    axes.set_xlim(0, end)
    return used


def _stack(
    axes: Axes,
    curves: list[Row],
    outcome: str,
    causes: list[str],
    level: str,
    end: float,
    study: Study,
    leftmost: bool,
) -> None:
    """Stack the event and its competing causes for one arm; the rest is still at risk."""
    from matplotlib.ticker import FuncFormatter

    parts = [outcome, *causes]
    inside = [r for r in curves if r["level"] == level and r["time_hours"] <= end]
    times = sorted({0.0, end, *(r["time_hours"] for r in inside)})
    base = [0.0] * len(times)
    colours = style.palette(len(parts))
    for position, part in enumerate(parts):
        heights = _on_grid(where(inside, outcome=part), times)
        tops = [b + h for b, h in zip(base, heights, strict=True)]
        axes.fill_between(
            times,
            base,
            tops,
            step="post",
            facecolor=(*colours[position], 0.75),
            lw=0.4,
            edgecolor="white",
            hatch=style.HATCHES[position % 9],
            label=wording.label(part.split(":")[-1]),
        )
        base = tops
    axes.set_ylim(0, 1)
    style.hours_axis(axes, 0, end, "zero")
    days = "Days" if end > 192 else "Hours"
    axes.set_xlabel(days)
    axes.xaxis.set_major_locator(_few(axes))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{wording.number(100 * y)} %"))
    axes.tick_params(labelleft=leftmost, labelsize=8)
    title = textwrap.shorten(
        wording.arm(level, _unit(study)), 24, placeholder="\N{HORIZONTAL ELLIPSIS}"
    )
    axes.set_title(title, fontsize=8.5, fontweight="normal")


def _few(axes: Axes) -> Any:
    from matplotlib.ticker import FixedLocator

    ticks = list(axes.get_xticks())
    return FixedLocator(ticks[:: max(1, -(-len(ticks) // 5))])


def _on_grid(rows: list[Row], times: list[float]) -> list[float]:
    """Return the height of a step curve at given times (its last value before each)."""
    ordered = sorted(rows, key=lambda r: r["time_hours"])
    heights, position, height = [], 0, 0.0
    for time in times:
        while position < len(ordered) and ordered[position]["time_hours"] <= time:
            height = ordered[position]["estimate"]
            position += 1
        heights.append(height)
    return heights


def _caption(study: Study, event: list[Row], panels: bool) -> str:
    parts = [
        (
            f"Aalen\N{EN DASH}Johansen cumulative incidence in time from "
            f"{wording.clock(study, event[0]['outcome'])}, with the number still at risk below; "
            "bands are 95 % intervals (drawn for up to four curves). Competing events are "
            "counted as such, not as censoring."
        )
    ]
    if event and event[0]["method"]:
        parts.append(f"Method: {event[0]['method']}.")
    if panels:
        parts.append("Small panels: the event and its competing causes stacked, by arm.")
    parts.append(wording.policy(study))
    if study.disclosure.policy != "none":
        parts.append(
            "Steps that rest on a small number are left out: a curve starts at its first "
            "published step, and what lies before it is hidden, not zero."
        )
    return " ".join(parts)


def _alt(event: list[Row], levels: list[str]) -> str:
    parts = []
    for level in levels:
        last = max(where(event, level=level), key=lambda r: r["time_hours"])
        parts.append(
            f"{wording.arm(level)}: {wording.percent(last['estimate'])} by "
            f"{wording.number(last['time_hours'])} h"
        )
    return "Step curves of cumulative incidence. " + "; ".join(parts) + "."
