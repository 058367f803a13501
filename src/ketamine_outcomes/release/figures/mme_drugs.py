"""The lower panel of F9: which drugs and routes the opioid use was made of."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ketamine_outcomes.release import wording
from ketamine_outcomes.release.figures import style
from ketamine_outcomes.release.rows import Row

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_MOST_DRUGS = 8


def windows_axis(axes: Axes, windows: list[str], labels: bool) -> None:
    """Put one place per window on the x axis."""
    axes.set_xlim(-0.6, len(windows) - 0.4)
    axes.set_xticks(range(len(windows)), [wording.window(w) if labels else "" for w in windows])
    axes.tick_params(axis="x", length=0)


def draw(
    axes: Axes, drugs: list[Row], windows: list[str], hidden: set[str], zeros: set[str]
) -> list[Row]:
    """Stack mean MME per window by drug and route; the many small ones become `other`.

    A window without rows is 0 only when it is in `zeros` (observed, nothing given).
    """
    split = {row["window"] for row in drugs}
    sums: dict[str, float] = {}
    for row in drugs:
        sums[row["term"]] = sums.get(row["term"], 0.0) + row["estimate"]
    ranked = sorted(sums, key=lambda term: (-sums[term], term))
    named = ranked if len(ranked) <= _MOST_DRUGS else ranked[: _MOST_DRUGS - 1]
    names = [*named, "other"] if len(named) < len(ranked) else named
    colours = style.palette(len(names))
    base = [0.0] * len(windows)
    for position, name in enumerate(names):
        heights = [
            sum(
                row["estimate"]
                for row in drugs
                if row["window"] == window
                and (row["term"] == name or (name == "other" and row["term"] not in named))
            )
            for window in windows
        ]
        axes.bar(
            range(len(windows)),
            heights,
            0.52,
            bottom=base,
            color=colours[position],
            edgecolor="white",
            linewidth=0.8,
            hatch=style.HATCHES[position % 9],
            label=wording.label(name),
        )
        base = [b + h for b, h in zip(base, heights, strict=True)]
    axes.legend(
        loc="lower left",
        bbox_to_anchor=(0, 1.02),
        ncols=4,
        fontsize=8.5,
        handlelength=1.6,
        handleheight=1.3,
        columnspacing=1.4,
        borderaxespad=0,
    )
    top = max(base, default=0.0)
    for place, height in enumerate(base):
        if windows[place] in hidden:
            continue  # the height is not the total
        if windows[place] not in split | zeros:
            axes.text(place, 0, " not split", rotation=90, ha="center", va="bottom",
                      fontsize=7.5, fontstyle="italic", color=style.MUTED)  # fmt: skip
            continue
        axes.annotate(
            wording.number(height),
            (place, height),
            xytext=(0, 3),
            textcoords="offset points",
            ha="center",
            fontsize=8.5,
        )
    axes.set_ylim(0, top * 1.15 or 1)
    axes.set_ylabel("MME by drug and route")
    windows_axis(axes, windows, labels=True)
    return drugs
