"""A table as LaTeX with booktabs, every text escaped."""

from __future__ import annotations

from ketamine_outcomes.release.tables.layout import Cell, Table

_ESCAPES = {
    "\\": r"\textbackslash{}",
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': r"\textquotedbl{}",
    "\N{MINUS SIGN}": r"\ensuremath{-}",
    "\N{EN DASH}": "--",
    "\N{EM DASH}": "---",
    "\N{LESS-THAN OR EQUAL TO}": r"\ensuremath{\le}",
    "\N{GREATER-THAN OR EQUAL TO}": r"\ensuremath{\ge}",
    "\N{MICRO SIGN}": r"\ensuremath{\mu}",
    "\n": " ",
}


def escape(text: str) -> str:
    """Return text that LaTeX prints as it stands."""
    return "".join(_ESCAPES.get(character, character) for character in text)


def render(table: Table) -> str:
    """Return a `table` environment; needs \\usepackage{booktabs} and T1 fonts."""
    width = len(table.headers)
    out = [
        f"% {table.name}: needs \\usepackage{{booktabs}} and \\usepackage[T1]{{fontenc}}",
        r"\begin{table}[htbp]",
        r"\centering",
        f"\\caption{{\\textbf{{{escape(table.title)}.}} {escape(table.caption)}}}",
        f"\\label{{tab:{table.name.split('_')[0].lower()}}}",
        r"\small",
        f"\\begin{{tabular}}{{l{'r' * (width - 1)}}}",
        r"\toprule",
        " & ".join(escape(head) for head in table.headers) + r" \\",
        r"\midrule",
    ]
    for position, line in enumerate(table.lines):
        if line.heading:
            if position:
                out.append(r"\addlinespace")
            out.append(f"\\multicolumn{{{width}}}{{l}}{{\\textit{{{escape(line.label)}}}}} \\\\")
        else:
            cells = [rf"\quad {escape(line.label)}", *map(_cell, line.cells)]
            out.append(" & ".join(cells) + r" \\")
    out += [r"\bottomrule", r"\end{tabular}"]
    for mark, note in table.notes.items():
        out.append(f"\\par\\footnotesize\\textsuperscript{{{mark}}} {escape(note)}")
    out.append(r"\end{table}")
    return "\n".join(out) + "\n"


def _cell(cell: Cell) -> str:
    text = escape(cell.text)
    return rf"{text}\textsuperscript{{{cell.mark}}}" if cell.mark else text
