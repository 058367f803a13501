"""A table as a Word document, the same bytes every time."""

from __future__ import annotations

import io
import zipfile
from datetime import datetime
from typing import Any

from ketamine_outcomes.release.tables.layout import Table

_EPOCH = datetime(1980, 1, 1)  # the earliest time that a zip archive can hold


def render(table: Table) -> bytes:
    """Return a .docx with title, caption, table and footnotes."""
    import docx
    from docx.enum.section import WD_ORIENT
    from docx.shared import Pt

    document = docx.Document()
    style: Any = document.styles["Normal"]
    style.font.name, style.font.size = "Calibri", Pt(9)
    if len(table.headers) > 5:
        section = document.sections[0]
        section.orientation = WD_ORIENT.LANDSCAPE
        section.page_width, section.page_height = section.page_height, section.page_width
    caption = document.add_paragraph()
    caption.add_run(f"{table.title}. ").bold = True
    caption.add_run(table.caption)
    grid: Any = document.add_table(rows=1, cols=len(table.headers))
    grid.style = "Light List"
    for cell, head in zip(grid.rows[0].cells, table.headers, strict=True):
        cell.text = head
    _repeat(grid.rows[0])
    for line in table.lines:
        cells = grid.add_row().cells
        if line.heading:
            whole = cells[0].merge(cells[-1])
            _write(whole, line.label, "", bold=True)
            continue
        _write(cells[0], line.label, "", bold=False)
        for cell, content in zip(cells[1:], line.cells, strict=True):
            _write(cell, content.text, content.mark, bold=False)
    for mark, note in table.notes.items():
        paragraph = document.add_paragraph()
        paragraph.add_run(mark).font.superscript = True
        paragraph.add_run(f" {note}")
    properties = document.core_properties
    properties.author = properties.last_modified_by = "ketamine-outcomes"
    properties.title, properties.comments = table.title, ""
    properties.created = properties.modified = _EPOCH
    properties.revision = 1
    out = io.BytesIO()
    document.save(out)
    return _rezip(out.getvalue())


def _write(cell: Any, text: str, mark: str, bold: bool) -> None:
    paragraph = cell.paragraphs[0]
    paragraph.add_run(text).bold = bold
    if mark:
        paragraph.add_run(mark).font.superscript = True


def _repeat(row: Any) -> None:
    """Repeat the header row on every page (readers of screens need it as well)."""
    from docx.oxml import OxmlElement

    row._tr.get_or_add_trPr().append(OxmlElement("w:tblHeader"))


def _rezip(content: bytes) -> bytes:
    """Return the archive with constant dates and sorted members."""
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(out, "w") as new:
        for name in sorted(old.namelist(), key=lambda n: (n != "[Content_Types].xml", n)):
            info = zipfile.ZipInfo(name, date_time=_EPOCH.timetuple()[:6])
            info.compress_type = zipfile.ZIP_DEFLATED
            info.external_attr = 0o644 << 16
            info.create_system = 3
            new.writestr(info, old.read(name))
    return out.getvalue()
