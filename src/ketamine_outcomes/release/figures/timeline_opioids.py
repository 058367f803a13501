"""Opioid panels of the timeline: lanes of doses, or stems in small multiples."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ketamine_outcomes.release import wording
from ketamine_outcomes.release.figures import style
from ketamine_outcomes.release.figures.timeline_panels import Patient, not_observed
from ketamine_outcomes.release.rows import known

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def lanes(patient: Patient) -> list[tuple[str, str]]:
    """Return drug and route of every lane, the largest total first."""
    totals: dict[tuple[str, str], float] = {}
    for dose in patient.doses:
        lane = (str(dose["drug"]), str(dose["route"]))
        mme = float(dose["mme"])
        totals[lane] = totals.get(lane, 0.0) + (mme if known(mme) else 0.0)
    return sorted(totals, key=lambda lane: (-totals[lane], lane))


def opioid_lanes(axes: Axes, patient: Patient, lanes_: list[tuple[str, str]]) -> None:
    """Draw every dose in the lane of its drug and route, with its MME."""
    colours = style.palette(len(lanes_))
    for position, lane in enumerate(lanes_):
        rows = [d for d in patient.doses if (str(d["drug"]), str(d["route"])) == lane]
        merged: dict[tuple[float, float], float] = {}
        for dose in rows:
            place = (dose["start"], dose["end"])
            merged[place] = merged.get(place, 0.0) + float(dose["mme"])
        axes.axhline(position, color=style.FAINT, lw=0.6, zorder=1)
        previous = -1e9
        up = False
        span = axes.get_xlim()[1] - axes.get_xlim()[0]
        for (start, end), mme in merged.items():
            counted = known(mme)
            if end > start:
                axes.plot(
                    [start, end],
                    [position, position],
                    color=colours[position],
                    lw=6,
                    solid_capstyle="butt",
                    alpha=0.75,
                    zorder=3,
                )
            axes.plot(
                start,
                position,
                marker=style.MARKERS[position % 8],
                linestyle="none",
                zorder=4,
                color=colours[position],
                markerfacecolor=colours[position] if counted else "white",
                markersize=5 + min(7.0, (mme if counted else 0) ** 0.5),
                markeredgecolor="white" if counted else colours[position],
                markeredgewidth=0.8,
                clip_on=False,
            )
            up = not up if start - previous < span * 0.04 else True
            axes.annotate(
                wording.number(mme) if counted else "not counted",
                (start, position),
                xytext=(0, 8 if up else -8),
                textcoords="offset points",
                fontsize=7.5,
                ha="center",
                va="bottom" if up else "top",
                zorder=5,
            )
            previous = start
    names = [f"{wording.label(drug)}, {wording.words(route)}" for drug, route in lanes_]
    axes.set_yticks(range(len(lanes_)), names)
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    axes.set_ylim(max(0, len(lanes_) - 1) + 0.75, -0.75)
    axes.set_title("Opioid doses (MME of each)", fontsize=8.5, fontweight="normal", pad=4)
    if not lanes_:
        axes.annotate(
            "no opioid dose recorded in the hours observed",
            (0.5, 0.5),
            xycoords="axes fraction",
            ha="center",
            va="center",
            fontsize=8.5,
            style="italic",
            color=style.MUTED,
        )
    not_observed(axes, patient, "doses")


def opioid_stems(axes: Axes, patient: Patient, drugs: list[str], top: float) -> None:
    """Draw doses as stems whose height is the MME (small multiples)."""
    colours = dict(zip(drugs, style.palette(len(drugs)), strict=True))
    for dose in patient.doses:
        mme = float(dose["mme"])
        drug = str(dose["drug"])
        height = mme if known(mme) else 0.0
        if dose["end"] > dose["start"]:
            axes.plot(
                [dose["start"], dose["end"]],
                [height, height],
                lw=2.2,
                color=colours[drug],
                solid_capstyle="butt",
                zorder=3,
            )
        axes.plot([dose["start"]] * 2, [0, height], color=colours[drug], lw=0.9, zorder=3)
        axes.plot(
            dose["start"],
            height,
            marker=style.MARKERS[drugs.index(drug) % 8],
            ms=3.5,
            color=colours[drug],
            zorder=4,
            markerfacecolor=colours[drug] if known(mme) else "white",
        )
    axes.set_ylim(0, top * 1.1)
    axes.set_ylabel("MME", fontsize=8)
    not_observed(axes, patient, "doses")
