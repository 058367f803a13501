"""F9: opioid use per 24 h observed in every window, and which drugs it was made of."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ketamine_outcomes.release import wording
from ketamine_outcomes.release.figures import mme_drugs, style
from ketamine_outcomes.release.figures.style import FigureEntry
from ketamine_outcomes.release.rows import (
    EVERYONE,
    Row,
    arms,
    by_start,
    distinct,
    first,
    known,
    ok,
    source,
    where,
)
from ketamine_outcomes.study import Study

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def draw(
    rows: list[Row], study: Study, simulated: bool
) -> tuple[Figure, pd.DataFrame, FigureEntry] | None:
    """Draw opioid use by window, or nothing when no window has a value."""
    described = where(rows, kind="description")
    use = where(described, outcome="mme_per_24h", measure="mean")
    if not any(ok(row) for row in use):
        return None
    windows = by_start(distinct(use, "window"))
    levels = arms(use)
    drugs = [
        row
        for row in where(described, outcome="mme_by_drug", measure="mean")
        if row["level"] in EVERYONE
    ]
    hidden = {row["window"] for row in drugs if row["status"] == "suppressed"}
    drugs = [row for row in drugs if ok(row)]
    zeros = {
        row["window"]
        for row in where(described, outcome="mme_total", measure="mean")
        if row["level"] in EVERYONE and ok(row) and row["estimate"] == 0
    }
    width = 7.2 if len(windows) < 6 else 8.6
    lines = len(levels)
    figure = style.new_figure(width, 4.2 + 0.32 * lines + (2.6 if drugs else 0) + 0.25 * simulated)
    title = "Opioid use by window"
    style.stamp(figure, title, simulated)
    ratios = [2.9, 0.28 * lines + 0.75] + ([2.3] if drugs else [])
    panels = figure.subplots(len(ratios), 1, height_ratios=ratios, squeeze=False)[:, 0]
    used = _use(panels[0], described, use, windows, levels, study)
    used += _hours(panels[1], described, windows, levels)
    if drugs:
        used += mme_drugs.draw(panels[2], drugs, windows, hidden, zeros)
    entry = FigureEntry(
        "F9_mme", title, _caption(study, bool(drugs), bool(hidden)), _alt(use, windows)
    )
    return figure, source([*use, *used]), entry


def _use(
    axes: Axes,
    described: list[Row],
    use: list[Row],
    windows: list[str],
    levels: list[str],
    study: Study,
) -> list[Row]:
    colours = style.palette(len(levels))
    spread = min(0.16, 0.6 / len(levels))
    used: list[Row] = []
    one = all(row["n_patients"] == 1 for row in use if ok(row))
    for position, level in enumerate(levels):
        shift = (position - (len(levels) - 1) / 2) * spread
        xs, ys = [], []
        for place, window in enumerate(windows):
            row = first(use, window=window, level=level)
            x = place + shift
            if row is None or not ok(row):
                word = "unknown" if row is None else wording.missing(row)
                axes.annotate(
                    word,
                    (x, 0),
                    xytext=(0, 4),
                    textcoords="offset points",
                    ha="center",
                    va="bottom",
                    fontsize=7.5,
                    color=style.MUTED,
                    style="italic",
                    rotation=90 if len(levels) > 1 else 0,
                )
                continue
            low, high, more = _spread(described, row)
            used += more
            flagged = _flag(described, window, level)
            used += flagged
            if low is not None and high is not None:
                axes.plot(
                    [x, x],
                    [low, high],
                    color=colours[position],
                    lw=2,
                    zorder=2,
                    solid_capstyle="butt",
                    alpha=0.85,
                )
            axes.plot(
                x,
                row["estimate"],
                marker=style.MARKERS[position % 8],
                markersize=7.5,
                color=colours[position],
                markeredgewidth=1.6,
                zorder=3,
                clip_on=False,
                linestyle="none",
                markerfacecolor="white" if flagged else colours[position],
            )
            if one or len(levels) == 1:
                axes.annotate(
                    wording.number(row["estimate"]),
                    (x, row["estimate"]),
                    xytext=(9, 3),
                    textcoords="offset points",
                    va="bottom",
                    clip_on=False,
                    fontsize=9,
                )
            xs.append(x)
            ys.append(row["estimate"])
        axes.plot(
            xs,
            ys,
            color=colours[position],
            lw=1,
            alpha=0.6,
            zorder=1,
            linestyle=style.LINES[position % 5],
        )
        if len(levels) > 1:
            axes.plot(
                [],
                [],
                color=colours[position],
                marker=style.MARKERS[position % 8],
                lw=1,
                linestyle=style.LINES[position % 5],
                label=wording.arm(level),
            )
    if any(
        flag for window in windows for level in levels for flag in _flag(described, window, level)
    ):
        axes.plot(
            [],
            [],
            marker="o",
            color=style.INK,
            markerfacecolor="white",
            linestyle="none",
            markeredgewidth=1.6,
            label="hollow: under 12 h observed, or incomplete",
        )
    if axes.get_legend_handles_labels()[0]:
        axes.legend(
            loc="lower left",
            bbox_to_anchor=(0, 1.0),
            ncols=2,
            fontsize=8.5,
            borderaxespad=0.2,
            handlelength=2.6,
            columnspacing=1.6,
        )
    axes.axvline(_zero(windows), color=style.INK, lw=0.9)
    axes.annotate(
        wording.time_zero(study),
        (_zero(windows), 1),
        xycoords=("data", "axes fraction"),
        xytext=(4, -2),
        textcoords="offset points",
        va="top",
        fontsize=8,
        color=style.MUTED,
    )
    axes.set_ylim(bottom=0)
    axes.margins(y=0.12)
    axes.set_ylim(0, axes.get_ylim()[1] * 1.06)
    axes.set_ylabel("MME per 24 h observed")
    mme_drugs.windows_axis(axes, windows, labels=True)
    return used


def _zero(windows: list[str]) -> float:
    before = [w for w in windows if w.replace(" ", "").endswith(",0)") or w.startswith("[-")]
    return len(before) - 0.5


def _spread(described: list[Row], row: Row) -> tuple[float | None, float | None, list[Row]]:
    """Return the interval of a mean, else the quartiles beside it."""
    if known(row["ci_low"]) and known(row["ci_high"]):
        return row["ci_low"], row["ci_high"], []
    same = where(
        described,
        outcome=row["outcome"],
        window=row["window"],
        level=row["level"],
        measure="quantile",
    )
    low, high = first(same, term="q25"), first(same, term="q75")
    if low is not None and high is not None and ok(low) and ok(high):
        return low["estimate"], high["estimate"], [low, high]
    return None, None, []


def _flag(described: list[Row], window: str, level: str) -> list[Row]:
    """Return the rows that say that a window is a lower bound or hardly observed."""
    found = [
        row
        for row in where(
            described,
            window=window,
            level=level,
            measure="count",
            term=("under_12_hours", "incomplete"),
        )
        if ok(row) and row["estimate"] > 0 and row["outcome"].startswith("mme")
    ]
    with_value = first(
        described,
        window=window,
        level=level,
        measure="count",
        term="with_value",
        outcome=("mme_per_24h", "mme_total"),
    )
    if with_value is None or not ok(with_value):
        return found
    # a few patients of many do not make the mean doubtful: half of them do
    return [row for row in found if row["estimate"] >= with_value["estimate"] / 2]


def _hours(axes: Axes, described: list[Row], windows: list[str], levels: list[str]) -> list[Row]:
    """Write hours observed, patients, and flags under every window."""
    lines: list[tuple[str, list[str], Any]] = []
    used: list[Row] = []
    colours = style.palette(len(levels))
    for position, level in enumerate(levels):
        cells = []
        for window in windows:
            hours = first(
                described,
                outcome="hours_observed",
                measure="mean",
                window=window,
                level=level,
            )
            mean = first(
                described,
                outcome="mme_per_24h",
                measure="mean",
                window=window,
                level=level,
            )
            if hours is None or not ok(hours):
                cells.append("hours " + ("unknown" if hours is None else wording.missing(hours)))
                continue
            used.append(hours)
            n = mean["n_patients"] if mean is not None and ok(mean) else hours["n_patients"]
            text = f"{wording.hours(hours['estimate'])} h"
            if n == 1:
                cells.append(f"{text}, under 12 h" if hours["estimate"] < 12 else text)
            else:
                cells.append(f"{text}  (n = {wording.count(n) if known(n) else 'hidden'})")
        lines.append(
            (
                wording.arm(level) if len(levels) > 1 else "",
                cells,
                style.darker(colours[position]) if len(levels) > 1 else style.INK,
            )
        )
    style.grid_below(axes, range(len(windows)), lines, "Hours observed")
    axes.set_xlim(-0.6, len(windows) - 0.4)
    return used


def _caption(study: Study, drugs: bool, hidden: bool) -> str:
    parts = [
        (
            "Mean morphine milligram equivalents (MME) per 24 h observed in windows from the "
            f"{wording.time_zero(study)}; bars are the 95 % interval of the mean or, where none is "
            "given, the quartiles. Hours observed stand below: a value per 24 h that rests on "
            "under 12 h is an extrapolation and is drawn hollow, as is a window with an opioid "
            "that could not be counted (a lower bound)."
        )
    ]
    if drugs:
        parts.append("Lower panel: mean MME in the hours observed, by drug and route.")
    if drugs and hidden:
        parts.append("Drugs given to few patients are hidden: a stack is then below the total.")
    parts.append(f"Conversion factors: {study.exposure.factors}. {wording.policy(study)}")
    return " ".join(parts)


def _alt(use: list[Row], windows: list[str]) -> str:
    parts = []
    for window in windows:
        row = next((r for r in use if r["window"] == window and r["level"] in EVERYONE), None)
        if row is not None:
            value = wording.number(row["estimate"]) if ok(row) else wording.missing(row)
            parts.append(f"{wording.window(window)}: {value}")
    return "Mean opioid use, MME per 24 h observed, by window. " + "; ".join(parts) + "."
