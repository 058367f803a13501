"""A table as rows of cells, before it becomes HTML, Word or LaTeX."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from ketamine_outcomes.release import wording
from ketamine_outcomes.release.rows import EVERYONE, Row, distinct, first, known, ok, where
from ketamine_outcomes.study import Study


@dataclass(frozen=True)
class TableEntry:
    """A table that was written: file stem, title and caption."""

    name: str
    title: str
    caption: str


@dataclass(frozen=True)
class Cell:
    """Text of a cell and the letter of its footnote."""

    text: str
    mark: str = ""


@dataclass(frozen=True)
class Line:
    """A line of the table; a heading has a label only."""

    label: str
    cells: tuple[Cell, ...] = ()
    heading: bool = False


@dataclass
class Table:
    """Headings, lines and footnotes; `source` are the estimates behind it."""

    name: str
    title: str
    caption: str
    headers: list[str]
    lines: list[Line] = field(default_factory=list)
    notes: dict[str, str] = field(default_factory=dict)
    source: list[Row] = field(default_factory=list)

    def heading(self, label: str) -> None:
        """Begin a section."""
        self.lines.append(Line(label, heading=True))

    def line(self, label: str, cells: Sequence[Cell]) -> None:
        """Add a line; one without any filled cell is left out."""
        if any(cell.text not in ("", "\N{EN DASH}") for cell in cells):
            self.lines.append(Line(label, tuple(cells)))

    def mark(self, note: str) -> str:
        """Return the letter of a footnote, the same letter for the same words."""
        for letter, text in self.notes.items():
            if text == note:
                return letter
        letter = _letter(len(self.notes))
        self.notes[letter] = note
        return letter

    def cell(self, row: Row | None, show: Callable[[Row], str]) -> Cell:
        """Return the cell of a row: its number, or the word for why there is none."""
        if row is None:
            return Cell("\N{EN DASH}")
        self.source.append(row)
        if ok(row):
            return Cell(show(row))
        return Cell(wording.missing(row), self.mark(row["note"]))

    def tidy(self) -> Table | None:
        """Drop headings without lines; a table without lines is no table."""
        kept: list[Line] = []
        for line in self.lines:
            if kept and kept[-1].heading and line.heading:
                kept.pop()
            kept.append(line)
        if kept and kept[-1].heading:
            kept.pop()
        self.lines = kept
        return self if kept else None


def _letter(position: int) -> str:
    letters = "abcdefghijklmnopqrstuvwxyz"
    return letters[position % 26] * (position // 26 + 1)


def estimate(row: Row) -> str:
    """Show a number."""
    return wording.number(row["estimate"])


def whole(row: Row) -> str:
    """Show a count."""
    return wording.count(row["estimate"])


def with_interval(row: Row) -> str:
    """Show a number with its interval when it has one."""
    interval = wording.interval(row)
    return f"{estimate(row)} ({interval})" if interval else estimate(row)


def share(row: Row) -> str:
    """Show `events/patients (per cent; interval)` of a proportion."""
    text = wording.percent(row["estimate"])
    if known(row["n_events"]) and known(row["n_patients"]):
        text = f"{wording.count(row['n_events'])}/{wording.count(row['n_patients'])} ({text}"
        interval = wording.interval(row, share=True)
        return f"{text}; {interval})" if interval else f"{text})"
    interval = wording.interval(row, share=True)
    return f"{text} ({interval})" if interval else text


def mean_sd(table: Table, rows: list[Row], interval: bool = False) -> Cell:
    """Return `mean (SD)` of the rows of one place."""
    mean, sd = first(rows, measure="mean"), first(rows, measure="sd")
    show = with_interval if interval else estimate
    if mean is None or not ok(mean) or sd is None or interval:
        return table.cell(mean, show)
    spread = table.cell(sd, estimate)
    table.source.append(mean)
    return Cell(f"{estimate(mean)} ({spread.text})", spread.mark)


def quartiles(table: Table, rows: list[Row]) -> Cell:
    """Return `median (q25 to q75)` of the rows of one place."""
    median = first(rows, measure="median")
    low, high = (first(rows, measure="quantile", term=term) for term in ("q25", "q75"))
    cell = table.cell(median, estimate)
    if not ok(median) or low is None or high is None:
        return cell
    table.source += [low, high]
    if not (ok(low) and ok(high)):
        return cell
    return Cell(f"{cell.text} ({estimate(low)} to {estimate(high)})")


def counted(table: Table, rows: list[Row], term: str) -> Cell:
    """Return a count of the rows of one place."""
    return table.cell(first(rows, measure="count", term=term), whole)


def columns(rows: list[Row], unit: str = "patients") -> list[tuple[str, str]]:
    """Return (level, heading) of every arm, everyone first; `` and `all` are one column."""
    levels = distinct(rows, "level")
    named = [level for level in levels if level not in EVERYONE]
    out = [("all", wording.arm("all", unit))] if len(named) < len(levels) or not named else []
    return [*out, *((level, wording.arm(level)) for level in named)]


def at(rows: list[Row], level: str) -> list[Row]:
    """Return the rows of one column."""
    return where(rows, level=EVERYONE if level in EVERYONE else (level,))


def change_lines(table: Table, rows: list[Row], arms: list[tuple[str, str]]) -> None:
    """Add the lines of a before-after analysis of one outcome."""
    for contrast in distinct(rows, "contrast"):
        part = where(rows, contrast=contrast)
        sides = contrast.split(" vs ")
        words = " minus ".join(wording.window(side) for side in sides)
        for window in distinct(where(part, measure="mean"), "window"):
            table.line(
                f"Mean, {wording.window(window)} (paired patients)",
                [
                    table.cell(first(at(part, a), measure="mean", window=window), with_interval)
                    for a, _ in arms
                ],
            )
        for measure, name in (
            ("mean_difference", f"Difference, {words} (interval)"),
            ("median_difference", f"Median difference, {words} (interval)"),
            ("ratio_of_means", f"Ratio of means, {words.replace(' minus ', ' over ')} (interval)"),
        ):
            table.line(
                name,
                [table.cell(first(at(part, a), measure=measure), with_interval) for a, _ in arms],
            )


def note_policy(study: Study) -> str:
    """Return what every caption says about hidden numbers."""
    return wording.policy(study)
