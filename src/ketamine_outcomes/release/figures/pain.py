"""F5: pain over time: single patients (where allowed) behind the means of the model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ketamine_outcomes.release import wording
from ketamine_outcomes.release.figures import style
from ketamine_outcomes.release.figures.style import FigureEntry
from ketamine_outcomes.release.rows import (
    Row,
    arms,
    bounds,
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

_MOST_PATIENTS = 60


def draw(
    rows: list[Row], study: Study, private: dict[str, pd.DataFrame], simulated: bool
) -> tuple[Figure, pd.DataFrame, FigureEntry] | None:
    """Draw the pain trajectory, or nothing when no mean is there to draw."""
    means, modelled = _means(rows)
    if not means:
        return None
    outcome = means[0]["outcome"]
    levels = arms(means)
    patients = private.get("pain_windows")
    if patients is not None and not 0 < patients["patient_label"].nunique() <= _MOST_PATIENTS:
        patients = None
    figure = style.new_figure(7.2, 4.1 + 0.3 * len(levels) + 0.25 * simulated)
    title = f"{wording.label(outcome)} over time"
    style.stamp(figure, title, simulated)
    axes, table = figure.subplots(2, 1, height_ratios=[3.4, 0.28 * len(levels) + 0.4])
    if patients is not None:
        _spaghetti(axes, patients)
    _draw_means(axes, means, levels)
    low, high = _span(means)
    style.hours_axis(axes, low, high, wording.time_zero(study))
    axes.axvline(0, color=style.INK, lw=0.9)
    scale = outcome.removeprefix("pain_")
    axes.set_ylim(*wording.SCALE_RANGE.get(scale, (0, None)))
    axes.set_ylabel(wording.label(outcome))
    handles, labels = axes.get_legend_handles_labels()
    if handles and (len(levels) > 1 or patients is not None):
        axes.legend(
            handles,
            labels,
            loc="lower left",
            bbox_to_anchor=(0, 1.0),
            ncols=4,
            fontsize=8.5,
            borderaxespad=0.2,
            handlelength=2.6,
        )
    used = _numbers(table, rows, means, levels, low, high)
    entry = FigureEntry(
        "F5_pain",
        title,
        _caption(study, means, modelled, patients is not None),
        _alt(means, levels),
    )
    return figure, source([*means, *used]), entry


def _means(rows: list[Row]) -> tuple[list[Row], bool]:
    """Return the model means of the first pain outcome, else the means of the windows."""
    pain = [r for r in rows if r["outcome"].startswith("pain_") and r["measure"] == "mean"]
    model = [r for r in where(pain, kind="trajectory") if ok(r) and known(r["time_hours"])]
    found = model or [
        r for r in where(pain, kind="description") if ok(r) and bounds(r["window"]) is not None
    ]
    if not found:
        return [], False
    chosen = where(found, outcome=found[0]["outcome"], analysis=found[0]["analysis"])
    return chosen, bool(model)


def _time(row: Row) -> float:
    if known(row["time_hours"]):
        return float(row["time_hours"])
    ends = bounds(row["window"]) or (0.0, 0.0)
    return (ends[0] + ends[1]) / 2


def _span(means: list[Row]) -> tuple[float, float]:
    ends = [e for row in means if (e := bounds(row["window"])) is not None]
    times = [_time(row) for row in means]
    low = min([*times, *(e[0] for e in ends)])
    high = max([*times, *(e[1] for e in ends)])
    return low, high if high > low else low + 24


def _spaghetti(axes: Axes, patients: pd.DataFrame) -> None:
    import seaborn as sns

    known_ = patients.dropna(subset=["value"]).sort_values(["patient_label", "middle_hour"])
    sns.lineplot(
        data=known_,
        x="middle_hour",
        y="value",
        units="patient_label",
        estimator=None,
        ax=axes,
        color=style.MUTED,
        linewidth=0.8,
        alpha=0.35,
        zorder=1,
    )
    sns.scatterplot(
        data=known_,
        x="middle_hour",
        y="value",
        ax=axes,
        color=style.MUTED,
        s=9,
        alpha=0.4,
        linewidth=0,
        zorder=1,
        legend=False,
    )
    axes.plot([], [], color=style.MUTED, lw=0.8, alpha=0.6, label="one patient")


def _draw_means(axes: Axes, means: list[Row], levels: list[str]) -> None:
    colours = style.palette(len(levels))
    for position, level in enumerate(levels):
        rows = sorted(where(means, level=level), key=_time)
        xs = [_time(row) for row in rows]
        with_band = [row for row in rows if known(row["ci_low"]) and known(row["ci_high"])]
        if with_band:
            axes.fill_between(
                [_time(row) for row in with_band],
                [row["ci_low"] for row in with_band],
                [row["ci_high"] for row in with_band],
                color=colours[position],
                alpha=0.16,
                lw=0,
                zorder=2,
            )
        axes.plot(
            xs,
            [row["estimate"] for row in rows],
            color=colours[position],
            lw=2,
            markersize=6,
            linestyle=style.LINES[position % 5],
            marker=style.MARKERS[position % 8],
            markeredgecolor="white",
            markeredgewidth=0.8,
            zorder=3,
            label="mean" if len(levels) == 1 else wording.arm(level),
        )


def _numbers(
    table: Axes,
    rows: list[Row],
    means: list[Row],
    levels: list[str],
    low: float,
    high: float,
) -> list[Row]:
    """Write the patients behind every mean under it."""
    colours = style.palette(len(levels))
    outcome = means[0]["outcome"]
    windows = by_start(distinct(means, "window"))
    places = [_time(next(r for r in means if r["window"] == w)) for w in windows]
    lines: list[tuple[str, list[str], Any]] = []
    used: list[Row] = []
    for position, level in enumerate(levels):
        cells = []
        for window in windows:
            row = first(means, window=window, level=level)
            described = first(
                where(rows, kind="description", outcome=outcome, measure="mean"),
                window=window,
                level=level,
            )
            # the patients with a value in the window, not those of the whole model
            best = described if described is not None and ok(described) else row
            if best is None or not known(best["n_patients"]):
                cells.append(
                    "unknown"
                    if described is None
                    else wording.missing(described)
                    if described["status"] != "ok"
                    else "hidden"
                )
                continue
            used.append(best)
            cells.append(wording.count(best["n_patients"]))
        lines.append(
            (
                wording.arm(level) if len(levels) > 1 else "",
                cells,
                style.darker(colours[position]) if len(levels) > 1 else style.INK,
            )
        )
    style.grid_below(table, places, lines, "Patients")
    table.set_xlim(low, high)
    return used


def _caption(study: Study, means: list[Row], modelled: bool, single: bool) -> str:
    what = (
        f"Means of the model ({means[0]['method']}) with their 95 % interval (band)"
        if modelled
        else "Means of the patients' window values with their interval where one is given"
    )
    parts = [
        (
            f"{what}, at the middle of each window, in hours from the {wording.time_zero(study)}. "
            "Below: patients with a value in the window."
        )
    ]
    if single:
        parts.append("Grey lines: window values of single patients.")
    parts.append(f"A window value needs {study.windows.min_scores} scores. {wording.policy(study)}")
    return " ".join(parts)


def _alt(means: list[Row], levels: list[str]) -> str:
    parts = []
    for level in levels:
        rows = sorted(where(means, level=level), key=_time)
        parts.append(
            f"{wording.arm(level)}: {wording.number(rows[0]['estimate'])} at "
            f"{wording.number(_time(rows[0]))} h, {wording.number(rows[-1]['estimate'])} at "
            f"{wording.number(_time(rows[-1]))} h"
        )
    return f"Mean {wording.label(means[0]['outcome'])} over time. " + "; ".join(parts) + "."
