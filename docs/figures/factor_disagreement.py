"""Draw how far published factors of IV hydromorphone and IV fentanyl lie apart.

    .venv/bin/python docs/figures/factor_disagreement.py [FOLDER]

Reads the project's own factor table: the evidence set `inpatient_source` (one row per published
value), the set `inpatient_parenteral` that is used, and `route_consistent`. Writes
mme-factors.png and mme-factors.svg to FOLDER, docs/images unless said otherwise.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import sys
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ketamine_outcomes import files
from ketamine_outcomes.release.figures import style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

IMAGES = Path(__file__).resolve().parents[1] / "images"
NAME = "mme-factors"
TITLE = "One dose, up to three times the MME: published IV factors disagree"
NOTE = (
    "Dot: a published value. Line: the range that its source gives. Shaded: low to high of the "
    "set inpatient.\nDashed: its typical value, used unless a study says otherwise. For research, "
    "not for clinical dosing."
)
#: Lines above the published values, by their height.
USED = {-3: "used here: low, typical, high", -2: "set route_consistent"}
#: Drug, unit of its factor.
DRUGS = (("hydromorphone", "mg"), ("fentanyl", "mcg"))
#: How a source is called in the figure, by the words with which it begins.
SHORT = {
    "UpToDate table": "UpToDate",
    "McPherson ML": "McPherson 2018",
    "Nielsen S et al. NDARC": "NDARC report 329",
    "Stanford STRIDE": "Stanford STRIDE",
    "bgulbis/mbohelpr": "mbohelpr (software)",
    "Reddy A et al. 2017": "Reddy 2017, rotation",
    "Dinges HC": "Dinges 2022, PCA trials",
    "MSD Manual 2023": "MSD Manual, AAFP",
    "BMC Palliat Care": "BMC Palliat Care 2010",
    "AccessAnesthesiology": "AccessAnesthesiology",
    "Perioperative research": "perioperative app",
    "CDC NDC file": "CDC 2014, basis of patch",
    "Reddy A et al. Opioid rotation": "Reddy 2022, survey",
    "Review table of ratios": "J Pain Res 2018, review",
    "PMC4874752": "PMC4874752, Table 2",
}


@dataclass(frozen=True)
class Published:
    """A published value of one drug into a vein; a survey has a range only."""

    source: str
    value: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True)
class Drug:
    """What is drawn of a drug: published values, what is used, the route-consistent value."""

    name: str
    unit: str
    published: tuple[Published, ...]
    low: float
    typical: float
    high: float
    route_consistent: float | None


def factor_rows() -> list[dict[str, str]]:
    """Return the rows of the factor table."""
    table = resources.files("ketamine_outcomes.exposure") / "reference/conversion_factors.csv"
    return list(csv.DictReader(table.read_text(encoding="utf-8").splitlines()))


def evidence(drug: str, unit: str, rows: list[dict[str, str]]) -> list[dict[str, str]]:
    """Return the rows of the evidence set for a drug into a vein."""
    return [
        row
        for row in rows
        if row["set"] == "inpatient_source"
        and row["drug"] == drug
        and row["dose_unit"] == unit
        and "iv" in row["route"].split("|")
    ]


def read() -> tuple[Drug, ...]:
    """Return what is drawn, from the factor table."""
    rows = factor_rows()
    return tuple(_drug(name, unit, rows) for name, unit in DRUGS)


def _drug(name: str, unit: str, rows: list[dict[str, str]]) -> Drug:
    found = [
        Published(_short(row["source"]), *(_number(row[c]) for c in
                  ("factor", "factor_low", "factor_high")))
        for row in evidence(name, unit, rows)
    ]  # fmt: skip

    def chosen(factor_set: str) -> dict[str, str]:
        (row,) = (
            row
            for row in rows
            if row["set"] == factor_set
            and (row["drug"], row["dose_unit"]) == (name, unit)
            and "iv" in row["route"].split("|")
        )
        return row

    used = chosen("inpatient_parenteral")
    consistent = float(chosen("route_consistent")["factor"]) if name == "fentanyl" else None
    return Drug(
        name, unit, tuple(found), float(used["factor_low"]), float(used["factor"]),
        float(used["factor_high"]), consistent,
    )  # fmt: skip


def _number(cell: str) -> float | None:
    return float(cell) if cell else None


def _short(source: str) -> str:
    return next(short for begins, short in SHORT.items() if source.startswith(begins))


def digest(drugs: tuple[Drug, ...]) -> str:
    """Return a hash of what is drawn: it stands in the SVG, so that a stale one is noticed."""
    content = json.dumps([repr(drug) for drug in drugs])
    return hashlib.sha256(content.encode()).hexdigest()


def draw(drugs: tuple[Drug, ...]) -> Figure:
    """Return the figure: one panel per drug, one line per source, in the same order."""
    order = _order(drugs)
    figure = style.new_figure(7.0, 6.0)
    panels = figure.subplots(1, len(drugs), sharey=True)
    for axes, drug, colour in zip(panels, drugs, style.palette(2), strict=True):
        _lines(axes, order)
        _used(axes, drug)
        _published(axes, drug, order, style.darker(colour, 0.1))
    panels[0].set_yticks([*USED, *range(len(order))], [*USED.values(), *order])
    figure.supxlabel(NOTE, x=0.012, ha="left", fontsize=8, color=style.MUTED)
    style.stamp(figure, TITLE, simulated=False)
    return figure


def _order(drugs: tuple[Drug, ...]) -> list[str]:
    """Return the sources from the highest value to the lowest, as shares of what is used."""
    shares: dict[str, list[float]] = {}
    for drug in drugs:
        for row in drug.published:
            value = row.value if row.value is not None else row.low
            shares.setdefault(row.source, []).append((value or 0) / drug.typical)
    return sorted(shares, key=lambda name: (-sum(shares[name]) / len(shares[name]), name))


def _lines(axes: Axes, order: list[str]) -> None:
    """Draw what the eye follows from a source to its values."""
    for y in (*USED, *range(len(order))):
        axes.axhline(y, color=style.FAINT, linewidth=0.4, zorder=0.5)
    axes.set_ylim(len(order) - 0.4, min(USED) - 0.9)
    axes.tick_params(axis="y", length=0, labelsize=8.5)
    axes.spines["left"].set_visible(False)


def _used(axes: Axes, drug: Drug) -> None:
    """Draw low, typical and high of the set that is used, and the route-consistent value."""
    y, y_consistent = USED
    axes.axvspan(drug.low, drug.high, color=style.SHADE, zorder=0, linewidth=0)
    bottom = axes.get_ylim()[0]
    axes.plot([drug.typical] * 2, [y, bottom], color=style.MUTED, linewidth=0.9,
              linestyle=(0, (4, 3)), zorder=1)  # fmt: skip
    axes.plot([drug.low, drug.high], [y, y], "|-", color=style.INK, linewidth=1.6, markersize=9)
    axes.plot([drug.typical], [y], "D", color=style.INK, markersize=6.5)
    for value in sorted({drug.low, drug.typical, drug.high}):
        close = drug.typical < value < drug.typical * 1.2  # aside, or the numbers touch
        axes.annotate(
            f"{value:g}",
            (value, y),
            xytext=(-4 if close else 0, 7),
            textcoords="offset points",
            ha="left" if close else "center",
            va="bottom",
            fontsize=8,
            fontweight="bold" if value == drug.typical else "normal",
        )
    if drug.route_consistent is None:
        _text(axes, drug, "no change", (drug.low, y_consistent), (2, 0), color=style.MUTED)
    else:
        axes.plot([drug.route_consistent], [y_consistent], "s", color=style.INK, markersize=6,
                  markerfacecolor="white", markeredgewidth=1.4)  # fmt: skip
        _text(axes, drug, f"{drug.route_consistent:g}", (drug.route_consistent, y_consistent))


def _published(axes: Axes, drug: Drug, order: list[str], colour: Any) -> None:
    """Draw one dot per published value, and the range that a source gives as a line."""
    for row in drug.published:
        y = order.index(row.source)
        if row.low is not None and row.high is not None:
            axes.plot([row.low, row.high], [y, y], color=colour, linewidth=1.8, zorder=2,
                      solid_capstyle="butt", gid=f"range-{drug.name}")  # fmt: skip
        above = (6.5, 0.0 if row.low is None else 6.0)
        if row.value is not None:
            axes.plot([row.value], [y], "o", color=colour, markersize=6.5, zorder=3,
                      gid=f"published-{drug.name}")  # fmt: skip
            _text(axes, drug, f"{row.value:g}", (row.value, y), above)
        elif row.low is not None:
            _text(axes, drug, "a range only", (row.low, y), above, color=style.MUTED)
    values = [row.value for row in drug.published if row.value is not None]
    axes.set_title(
        f"{drug.name.capitalize()} IV\n{min(values):g} to {max(values):g}, "
        f"{max(values) / min(values):.3g}-fold"
    )
    axes.set_xlim(0, drug.high * 1.24)
    axes.set_xlabel(f"MME per {drug.unit} given", fontsize=9)
    axes.tick_params(axis="x", labelsize=8.5)


def _text(
    axes: Axes,
    drug: Drug,
    text: str,
    at: tuple[float, float],
    offset: tuple[float, float] = (6.5, 0),
    color: str = style.INK,
) -> None:
    """Write beside a mark; where the dashed line would cross the text, on a ground of its own."""
    crossed = at[0] < drug.typical < at[0] + 0.2 * drug.high
    ground = {"facecolor": style.SHADE, "edgecolor": "none", "pad": 0.4} if crossed else None
    axes.annotate(text, at, xytext=offset, textcoords="offset points", fontsize=8, color=color,
                  va="center_baseline", zorder=1.5, bbox=ground)  # fmt: skip


def write(folder: Path = IMAGES) -> None:
    """Write the figure as PNG and SVG; the same table gives the same bytes."""
    drugs = read()
    with style.house_style():
        figure = draw(drugs)
        for kind, metadata in (
            ("png", {"Software": None}),
            ("svg", {"Date": None, "Creator": None, "Title": TITLE,
                     "Description": f"sha256 of the values drawn: {digest(drugs)}"}),
        ):  # fmt: skip
            out = io.BytesIO()
            figure.savefig(out, format=kind, dpi=style.DPI, metadata=metadata, facecolor="white")
            files.write_bytes(folder / f"{NAME}.{kind}", out.getvalue())


if __name__ == "__main__":
    write(Path(sys.argv[1]) if len(sys.argv) > 1 else IMAGES)
