"""House style of the figures, and how they are written: calm, greyscale-safe, same bytes.

Colour never carries meaning alone: every arm also has its line style and marker, every stack
its hatch. pyplot's global state is not used; figures are plain `Figure` objects.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from ketamine_outcomes import estimates, files
from ketamine_outcomes.release.wording import SIMULATED, number

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK = "#1f2933"
MUTED = "#5b6770"
FAINT = "#c9d1d6"
SHADE = "#eef2f4"
LINES: tuple[Any, ...] = (
    "-",
    (0, (5, 2)),
    (0, (1.2, 1.4)),
    (0, (6, 2, 1.2, 2)),
    (0, (3, 1)),
)
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<")
HATCHES = ("", "////", "....", "\\\\\\\\", "xx", "--", "oo", "++", "||")
#: Order in which seaborn's colourblind palette is used: neighbours differ in lightness too.
_ORDER = (0, 1, 2, 3, 4, 5, 7, 9, 8, 6)
DPI = 160


@dataclass(frozen=True)
class FigureEntry:
    """A figure that was drawn: file stem, title, caption and text alternative."""

    name: str
    title: str
    caption: str
    alt: str


def palette(count: int) -> list[Any]:
    """Return colours, repeating beyond ten (line styles and hatches then differ)."""
    import seaborn as sns

    colours = sns.color_palette("colorblind", 10)
    return [colours[_ORDER[i % len(_ORDER)]] for i in range(count)]


@contextlib.contextmanager
def house_style() -> Iterator[None]:
    """Apply the house style for the time of a drawing, and leave no trace of it."""
    import matplotlib

    matplotlib.use("Agg")
    import seaborn as sns

    settings: dict[str, Any] = {
        **sns.axes_style("ticks"),
        **sns.plotting_context("paper", font_scale=1.1),
        "font.family": "DejaVu Sans",
        "text.color": INK,
        "axes.labelcolor": INK,
        "axes.edgecolor": MUTED,
        "axes.linewidth": 0.8,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.titlesize": 9.5,
        "axes.titleweight": "bold",
        "axes.titlelocation": "left",
        "axes.titlepad": 8,
        "xtick.color": MUTED,
        "ytick.color": MUTED,
        "xtick.labelcolor": INK,
        "ytick.labelcolor": INK,
        "xtick.major.width": 0.8,
        "ytick.major.width": 0.8,
        "hatch.linewidth": 0.6,
        "legend.frameon": False,
        "lines.solid_capstyle": "round",
        "svg.fonttype": "path",
        "svg.hashsalt": "ketamine-outcomes",
        "pdf.fonttype": 42,
        "path.simplify": False,
    }
    with matplotlib.rc_context(cast("Any", settings)):
        yield


def new_figure(width: float, height: float) -> Figure:
    """Return an empty figure of a size in inches with a constrained layout."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def stamp(figure: Figure, title: str, simulated: bool) -> None:
    """Give the figure its title, and say so when nothing in it is real."""
    figure.suptitle(title, x=0.012, ha="left", fontsize=11.5, fontweight="bold", color=INK)
    if simulated:
        # set below the drawing: a text across it would hide data
        figure.supxlabel(
            f"{SIMULATED} \N{EM DASH} no real patients",
            x=0.988,
            ha="right",
            fontsize=8.5,
            fontweight="bold",
            color="#9b2c1f",
        )


def save(
    figure: Figure, source: pd.DataFrame, entry: FigureEntry, folder: Path, kinds: Sequence[str]
) -> None:
    """Write NAME.csv and NAME in each of `kinds`; the same drawing gives the same bytes."""
    metadata: dict[str, dict[str, Any]] = {
        "png": {"Software": None},
        "svg": {"Date": None, "Creator": None, "Title": entry.title},
        "pdf": {"CreationDate": None, "ModDate": None, "Title": entry.title},
    }
    for kind in kinds:
        out = io.BytesIO()
        figure.savefig(out, format=kind, dpi=DPI, metadata=metadata[kind], facecolor="white")
        files.write_bytes(folder / f"{entry.name}.{kind}", out.getvalue())
    files.write_text(folder / f"{entry.name}.csv", estimates.to_csv(source))


def write_index(entries: Sequence[FigureEntry], folder: Path) -> None:
    """Write figures.json, which the report reads."""
    files.write_json(folder / "figures.json", [asdict(entry) for entry in entries])


def bare(axes: Axes) -> None:
    """Take away frame and ticks."""
    axes.set_axis_off()


def hours_axis(axes: Axes, low: float, high: float, zero: str) -> None:
    """Set a time axis in hours, in days when it is longer than eight days."""
    from matplotlib.ticker import FixedLocator, FuncFormatter

    span = high - low
    days = span > 192
    unit = 24.0 if days else 1.0
    steps = (1, 2, 5, 7, 10, 14, 30, 60, 90, 180, 365) if days else (1, 2, 3, 4, 6, 12, 24, 48)
    step = next((s for s in steps if span / unit / s <= 10), steps[-1])
    start = -(-low // (step * unit)) * step * unit
    ticks = []
    while start <= high + 1e-9:
        ticks.append(start)
        start += step * unit
    axes.xaxis.set_major_locator(FixedLocator(ticks))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: number(x / unit)))
    axes.set_xlim(low, high)
    axes.set_xlabel(f"{'Days' if days else 'Hours'} from {zero}")


def grid_below(
    axes: Axes,
    x: Sequence[float],
    rows: Sequence[tuple[str, Sequence[str], Any]],
    title: str,
) -> None:
    """Draw a table of numbers whose columns stand under the x positions of the axes above."""
    axes.set_axis_off()
    if len(rows) == 1 and not rows[0][0]:  # one line needs no heading above it
        rows, title = [(title, rows[0][1], MUTED)], ""
    axes.set_ylim(len(rows) - 0.4, -1.3 if title else -0.6)
    axes.annotate(
        title,
        (0, -0.85),
        xycoords=("axes fraction", "data"),
        xytext=(-20, 0),
        textcoords="offset points",
        ha="right",
        va="center",
        fontsize=8,
        color=MUTED,
        annotation_clip=False,
    )
    for line, (label, cells, colour) in enumerate(rows):
        axes.annotate(
            label,
            (0, line),
            xycoords=("axes fraction", "data"),
            xytext=(-20, 0),
            textcoords="offset points",
            ha="right",
            va="center",
            fontsize=8,
            color=colour,
            annotation_clip=False,
            fontweight="bold",
        )
        for position, cell in zip(x, cells, strict=True):
            axes.text(position, line, cell, ha="center", va="center", fontsize=8, color=INK)


def darker(colour: Any, share: float = 0.25) -> Any:
    """Return a colour dark enough for text on white."""
    from matplotlib.colors import to_rgb

    return tuple(channel * (1 - share) for channel in to_rgb(colour))
