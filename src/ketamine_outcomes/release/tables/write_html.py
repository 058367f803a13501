"""A table as an HTML fragment: escaped, with caption and scoped headers."""

from __future__ import annotations

from html import escape

from ketamine_outcomes.release.tables.layout import Cell, Table


def render(table: Table) -> str:
    """Return `<table>` and its footnotes; every text is escaped."""
    name = escape(table.name)
    heads = "".join(f'<th scope="col">{escape(head)}</th>' for head in table.headers)
    out = [
        f'<table class="estimates" id="{name}">',
        f'<caption><span class="cap"><strong>{escape(table.title)}.</strong> '
        f"{escape(table.caption)}</span></caption>",
        f"<thead><tr>{heads}</tr></thead>",
    ]
    opened = False
    for line in table.lines:
        if line.heading or not opened:
            out.append("</tbody><tbody>" if opened else "<tbody>")
            opened = True
        if line.heading:
            out.append(
                f'<tr class="section"><th scope="rowgroup" colspan="{len(table.headers)}">'
                f"{escape(line.label)}</th></tr>"
            )
            continue
        cells = "".join(f"<td>{_cell(cell, name)}</td>" for cell in line.cells)
        out.append(f'<tr><th scope="row">{escape(line.label)}</th>{cells}</tr>')
    out.append("</tbody></table>")
    if table.notes:
        items = "".join(
            f'<li id="{name}-{mark}"><sup>{mark}</sup> {escape(note)}</li>'
            for mark, note in table.notes.items()
        )
        out.append(f'<ul class="footnotes">{items}</ul>')
    return "\n".join(out) + "\n"


def _cell(cell: Cell, name: str) -> str:
    text = escape(cell.text)
    return f"{text}<sup>{cell.mark}</sup>" if cell.mark else text
