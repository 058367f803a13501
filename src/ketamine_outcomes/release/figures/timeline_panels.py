"""Panels of the timeline: pain, rate of the index drug, opioid doses, hours not observed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ketamine_outcomes.release import wording
from ketamine_outcomes.release.figures import style
from ketamine_outcomes.release.rows import known
from ketamine_outcomes.study import Study

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Record = dict[str, Any]
RIBBON = "#7b6aa8"
_DOMAIN = {"pain": ("all", "pain_scores"), "doses": ("all", "doses")}


@dataclass(frozen=True)
class Patient:
    """What is drawn of one patient; every record has `start` and `end` in hours from index."""

    label: str
    doses: list[Record]
    index_drug: list[Record]
    pain: list[Record]
    stays: list[Record]

    @property
    def scales(self) -> list[str]:
        """Pain scales of the patient in alphabetical order."""
        return sorted({str(row["scale"]) for row in self.pain})


def rate(row: Record) -> tuple[float, str]:
    """Return the rate per kg where the weight is known, else the plain rate, with its unit."""
    per_kg = row["rate_mg_per_kg_h"]
    if known(per_kg):
        return float(per_kg), "mg/kg/h"
    return float(row["rate_mg_per_h"]), "mg/h"


def pain(axes: Axes, patient: Patient, scales: list[str], compact: bool = False) -> None:
    """Draw scores by scale; asleep and unassessable are words, not numbers."""
    colours = style.palette(max(1, len(scales)))
    scored = [row for row in patient.pain if known(row["score"])]
    for position, scale in enumerate(scales):
        rows = [row for row in scored if row["scale"] == scale]
        axes.plot(
            [row["start"] for row in rows],
            [row["score"] for row in rows],
            lw=0.9,
            marker=style.MARKERS[position % 8],
            color=colours[position],
            clip_on=False,
            linestyle=style.LINES[position % 5],
            markersize=3.5 if compact else 5.5,
            zorder=4,
            markeredgecolor="white",
            markeredgewidth=0.5,
            label=scale.upper(),
        )
    others = [row for row in patient.pain if not known(row["score"])]
    if others:
        axes.plot(
            [row["start"] for row in others],
            [0.04] * len(others),
            "x",
            ms=4,
            color=style.MUTED,
            transform=axes.get_xaxis_transform(),
            zorder=4,
            label="asleep or not assessable",
        )
    top = max([wording.SCALE_RANGE.get(s, (0, 10))[1] for s in scales] + [10])
    axes.set_ylim(0, top)
    axes.set_yticks([0, top / 2, top])
    axes.set_ylabel("Pain" if compact else "Pain score", fontsize=8 if compact else None)
    if not scored:
        axes.annotate(
            "pain: unknown" if compact else "no pain score in these hours: unknown",
            (0.5, 0.5),
            xycoords="axes fraction",
            ha="center",
            va="center",
            fontsize=7 if compact else 8.5,
            style="italic",
            color=style.MUTED,
        )
    elif not compact:
        axes.legend(loc="upper right", fontsize=8, ncols=3, borderaxespad=0.1, handletextpad=0.4)
    not_observed(axes, patient, "pain")


def index_drug(axes: Axes, patient: Patient, drug: str, compact: bool = False) -> None:
    """Draw the rate of the index drug as a ribbon with its route."""
    steps = [(row, *rate(row)) for row in patient.index_drug]
    running = [s for s in steps if known(s[1]) and s[0]["end"] > s[0]["start"]]
    unit = running[0][2] if running else "mg/kg/h"
    drawn = [s for s in running if s[2] == unit]
    for row, height, _ in drawn:
        axes.fill_between(
            [row["start"], row["end"]],
            [0, 0],
            [height, height],
            color=RIBBON,
            alpha=0.45,
            lw=0,
            zorder=3,
        )
        axes.plot(
            [row["start"], row["end"]],
            [height, height],
            color=RIBBON,
            lw=1.6,
            zorder=3,
            solid_capstyle="butt",
        )
    top = max([height for _, height, _ in drawn], default=1.0)
    if not compact:
        _name_courses(axes, [(row, height) for row, height, _ in drawn], unit, top)
    boluses = [row for row in patient.index_drug if row["end"] <= row["start"]]
    if boluses:
        axes.plot(
            [row["start"] for row in boluses],
            [0.1] * len(boluses),
            "|",
            ms=9,
            mew=1.8,
            color=style.darker(RIBBON),
            transform=axes.get_xaxis_transform(),
            zorder=4,
        )
        for row in boluses if not compact else []:
            axes.annotate(
                f"{wording.number(float(row['amount_mg']))} mg {wording.words(str(row['route']))}",
                (row["start"], 0.16),
                xycoords=("data", "axes fraction"),
                fontsize=8,
                ha="left",
                color=style.darker(RIBBON),
            )
    axes.set_ylim(0, top * 1.45)
    if compact:
        axes.set_yticks([])
    else:
        axes.set_ylabel(f"{drug}\n{unit}")
        axes.set_yticks(sorted({0.0, *(height for _, height, _ in drawn)})[:5])
        if len(axes.get_yticks()) > 4:
            axes.set_yticks([0.0, top])
    if not running and not boluses:
        axes.annotate(
            f"no {drug.lower()} in these hours",
            (0.5, 0.5),
            xycoords="axes fraction",
            ha="center",
            va="center",
            fontsize=7 if compact else 8.5,
            style="italic",
            color=style.MUTED,
        )
    not_observed(axes, patient, "doses")


def _name_courses(axes: Axes, steps: list[tuple[Record, float]], unit: str, top: float) -> None:
    """Write route, rates and hours above every run of one route."""
    runs: list[list[tuple[Record, float]]] = []
    for step in steps:
        same = runs and runs[-1][-1][0]["route"] == step[0]["route"]
        if same and step[0]["start"] - runs[-1][-1][0]["end"] < 1:
            runs[-1].append(step)
        else:
            runs.append([step])
    for run in runs:
        heights = [height for _, height in run]
        rates = wording.number(min(heights))
        if max(heights) > min(heights):
            rates += f" to {wording.number(max(heights))}"
        length = run[-1][0]["end"] - run[0][0]["start"]
        axes.annotate(
            f"{wording.words(str(run[0][0]['route']))}, {rates} {unit}, {wording.hours(length)} h",
            (run[0][0]["start"], top),
            xytext=(2, 4),
            textcoords="offset points",
            fontsize=8,
            color=style.darker(RIBBON),
            zorder=5,
        )


def not_observed(axes: Axes, patient: Patient, domain: str) -> None:
    """Remember the hours of a domain that nobody recorded; `windows` hatches them."""
    seen = [
        (row["start"], row["end"])
        for row in patient.stays
        if str(row["observes"]) in _DOMAIN[domain]
    ]
    gaps: list[tuple[float, float]] = []
    at = float("-inf")
    for start, end in sorted(seen):
        if start > at:
            gaps.append((at, start))
        at = max(at, end)
    gaps.append((at, float("inf")))
    for start, end in gaps:
        low, high = max(start, -1e5), min(end, 1e5)
        axes.axvspan(
            low,
            high,
            facecolor="#f7f4ee",
            edgecolor="#b8ab93",
            hatch="////",
            lw=0,
            zorder=0.6,
        )


def windows(axes: Axes, study: Study, low: float, high: float, named: bool) -> None:
    """Shade baseline and follow-up windows and mark time zero."""
    chosen = [study.windows.baseline, *study.windows.follow_up]
    axes.set_xlim(low, high)
    for position, (start, end) in enumerate(chosen):
        if start >= high or end <= low:
            continue
        shade = "#dce8f2" if position == 0 else ("#eef3f6" if position % 2 else "#f8fafb")
        axes.axvspan(start, end, color=shade, lw=0, zorder=0.2)
        if named:
            text = "baseline" if position == 0 else wording.window(f"[{start:g},{end:g})")
            axes.annotate(
                text,
                ((max(start, low) + min(end, high)) / 2, 1.0),
                xycoords=("data", "axes fraction"),
                xytext=(0, 4),
                ha="center",
                textcoords="offset points",
                fontsize=8,
                color=style.MUTED,
            )
    axes.axvline(0, color=style.INK, lw=1, zorder=3.5)


def shading_key(axes: Axes) -> None:
    """Say below the last panel what hatching means."""
    from matplotlib.patches import Patch

    axes.legend(
        handles=[
            Patch(
                facecolor="#f7f4ee",
                edgecolor="#b8ab93",
                hatch="////",
                lw=0.5,
                label="not observed",
            )
        ],
        loc="upper left",
        bbox_to_anchor=(0, -0.16),
        fontsize=8,
        borderaxespad=0,
        frameon=False,
    )


def figure_key(figure: Figure, drugs: list[str], drug: str) -> None:
    """Write one legend for all small multiples."""
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    colours = style.palette(len(drugs))
    handles: list[Any] = [
        Line2D(
            [],
            [],
            color=colour,
            marker=style.MARKERS[i % 8],
            lw=1,
            ms=4,
            label=wording.label(name),
        )
        for i, (name, colour) in enumerate(zip(drugs, colours, strict=True))
    ]
    handles.append(Patch(color=RIBBON, alpha=0.45, lw=0, label=drug))
    handles.append(
        Patch(
            facecolor="#f7f4ee",
            edgecolor="#b8ab93",
            hatch="////",
            lw=0.5,
            label="not observed",
        )
    )
    figure.legend(handles=handles, loc="outside right upper", fontsize=8)
