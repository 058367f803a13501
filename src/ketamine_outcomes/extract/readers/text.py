"""Load the mapped columns of one file as trimmed text, or say why it cannot be read."""

from __future__ import annotations

import csv
import gzip
import re
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from io import TextIOWrapper
from itertools import islice
from pathlib import Path
from typing import IO, TYPE_CHECKING, TextIO, cast

from ketamine_outcomes.extract.faults import Fault, counted, printable
from ketamine_outcomes.extract.identifiers import is_denied
from ketamine_outcomes.extract.tables import TABLES, Table

if TYPE_CHECKING:
    import duckdb
    import pandas as pd

_BLANKS = " || ".join(f"chr({code})" for code in (32, 9, 10, 13, 160, 65279))


@dataclass
class Loaded:
    """A table as text: `relation` in the connection, one column per mapped column."""

    name: str
    file: str
    kinds: dict[str, str]
    relation: str
    day_resolved: bool = False


@dataclass
class Reader:
    """What is known while a folder is read."""

    connection: duckdb.DuckDBPyConnection
    times: str
    tables: Mapping[str, Table] = field(default_factory=lambda: TABLES)
    faults: list[Fault] = field(default_factory=list)
    offset_minutes: int = 0  # of the clock that all times are put on

    def error(
        self,
        rule: str,
        name: str,
        file: str,
        message: str,
        hint: str = "",
        rows: Sequence[int] = (),
    ) -> None:
        """Add an error about a whole file."""
        self.faults.append(
            Fault(
                "error",
                rule,
                name,
                file,
                rows=len(rows),
                first_rows=tuple(rows[:5]),
                message=message,
                hint=hint,
            )
        )


def load(reader: Reader, name: str, path: Path, declared: set[str]) -> Loaded | None:
    """Load the mapped columns of a file as trimmed text, or say why it cannot be read."""
    import duckdb

    file = path.name
    try:
        if file.lower().endswith(".parquet"):
            header, cells, source = _open_parquet(reader, path)
        else:
            header, cells, source = _open_csv(path)
        columns = [column.strip(" \t\r\n\ufeff\xa0").lower() for column in header]
        if not _check_header(reader, name, file, columns, declared):
            return None
        kinds = {column.name: str(column.kind) for column in reader.tables[name].columns}
        mapped = {c: cells[k] for k, c in enumerate(columns) if c in kinds or c in declared}
        table = Loaded(name, file, {c: kinds.get(c, "extra") for c in mapped}, f"raw_{name}")
        try:
            if source:
                store(reader, table, mapped, source, [for_glob(path)])
                return table
        except duckdb.Error:
            if file.lower().endswith(".parquet"):
                raise
        rows = _rows_of_csv(reader, name, path, len(columns))
        if rows is None:
            return None
        _store_rows(reader, table, mapped, rows)
        return table
    except (duckdb.Error, OSError, EOFError, csv.Error, zlib.error):  # they may quote a cell
        reader.error(
            "unreadable",
            name,
            file,
            "the file cannot be read as what its name says",
            "write it again: it may be cut short, or hold an open quote",
        )
    return None


def load_frame(reader: Reader, name: str, frame: pd.DataFrame) -> Loaded | None:
    """Load a table that is in memory, so that one path reads all."""
    columns = [str(column).strip().lower() for column in frame.columns]
    file = f"{name} (DataFrame)"
    if not _check_header(reader, name, file, columns, set()):
        return None
    kinds = {column.name: str(column.kind) for column in reader.tables[name].columns}
    named = frame.set_axis([f"c{k}" for k in range(len(columns))], axis=1)
    reader.connection.register("frame_given", named)
    types = reader.connection.execute("DESCRIBE frame_given").fetchall()
    cells = [_as_text(column, kind) for column, kind, *_ in types]
    mapped = {c: cells[k] for k, c in enumerate(columns) if c in kinds}
    table = Loaded(name, file, {c: kinds[c] for c in mapped}, f"raw_{name}")
    store(reader, table, mapped, "frame_given", [])
    reader.connection.unregister("frame_given")
    return table


def _check_header(
    reader: Reader, name: str, file: str, columns: Sequence[str], declared: set[str]
) -> bool:
    """Say what is wrong with a header; return whether the table can be read."""
    named = [column for column in columns if column]
    if _is_undecodable(named):
        reader.error("undecodable", name, file, "the header is not UTF-8", "save it as UTF-8")
        return False
    twice = sorted({column for column in named if named.count(column) > 1})
    if twice:  # the header may be the first patient of a file without one: only known names
        known = [c for c in twice if c in reader.tables[name].names or c in declared]
        shown = ", ".join(filter(None, map(printable, known))) or counted(len(twice), "column")
        reader.error(
            "duplicate_header",
            name,
            file,
            f"columns that stand twice: {shown}",
            "headers are compared in lower case without spaces around them",
        )
    missing = [c for c in (*reader.tables[name].required, *sorted(declared)) if c not in named]
    if missing:
        hint = "columns of the table: " + ", ".join(reader.tables[name].names)
        if len(columns) == 1 and any(mark in columns[0] for mark in ";\t|"):
            hint = "the file is not separated by commas"
        message = "missing columns: " + ", ".join(map(_called, missing))
        reader.error("missing_column", name, file, message, hint)
    if twice or missing:
        return False
    others = [c for c in columns if c not in reader.tables[name].names and c not in declared]
    denied = [column for column in others if is_denied(column)]
    for rule, some, why in (
        ("ignored_column", [c for c in others if c not in denied], "not in the contract: ignored"),
        ("denied_column", denied, "named for identifiers: never read"),
    ):
        if some:
            shown = ", ".join(filter(None, map(printable, some)))
            message = f"{counted(len(some), 'column')} {why}" + (f" ({shown})" if shown else "")
            reader.faults.append(Fault("note", rule, name, file, message=message))
    return True


def _called(column: str) -> str:
    return printable(column) or "a declared column"


def for_glob(path: Path) -> str:
    """Return the path so that DuckDB takes none of its characters for a pattern."""
    return re.sub(r"([*?\[])", r"[\1]", str(path))


def _open_csv(path: Path) -> tuple[list[str], list[str], str]:
    """Return the header, the name of each column in SQL, and the SQL of the source.

    The source is empty where blank lines would count as rows: that file is read slowly.
    """
    if path.name.lower().endswith(".gz"):
        with gzip.open(path) as packed:  # DuckDB takes what there is of a file that was cut short
            while packed.read(1 << 20):
                pass
    with _text(path) as stream:
        lines = list(islice(csv.reader(stream), 1)) or [[]]
        header = lines[0] or next((line for line in csv.reader(stream) if line), [])
    if not lines[0] or len(header) < 2:
        return header, [f"c{k}" for k in range(len(header))], ""
    cells = [f"c{k}" for k in range(len(header))]
    types = ", ".join(f"'{cell}': 'VARCHAR'" for cell in cells)
    source = (
        f"read_csv(?, columns = {{{types}}}, header = true, auto_detect = false, delim = ',', "
        "quote = '\"', escape = '\"', compression = "
        + ("'gzip')" if path.name.lower().endswith(".gz") else "'none')")
    )
    return header, cells, source


@contextmanager
def _text(path: Path) -> Iterator[TextIO]:
    """Open a CSV file as text; bytes that are not UTF-8 become marks that none of it can hold."""
    with path.open("rb") as stored:
        packed = path.name.lower().endswith(".gz")
        plain = cast("IO[bytes]", gzip.GzipFile(fileobj=stored)) if packed else stored
        with TextIOWrapper(plain, "utf-8-sig", "surrogateescape", newline="") as stream:
            yield stream


def _open_parquet(reader: Reader, path: Path) -> tuple[list[str], list[str], str]:
    """As `_open_csv`; typed columns become text again, so that one path reads all."""
    found = reader.connection.execute(
        "DESCRIBE SELECT * FROM read_parquet(?)", [for_glob(path)]
    ).fetchall()
    cells = [_as_text(column, kind) for column, kind, *_ in found]
    return [column for column, *_ in found], cells, "read_parquet(?)"


def _as_text(column: str, kind: str) -> str:
    cell = f"CAST({quoted(column)} AS VARCHAR)"
    return f"nullif({cell}, 'nan')" if kind in ("FLOAT", "DOUBLE") else cell


def store(
    reader: Reader, table: Loaded, mapped: Mapping[str, str], source: str, arguments: list[str]
) -> None:
    cells = "".join(
        f", nullif(trim({cell}, {_BLANKS}), '') AS {quoted(column)}"
        for column, cell in mapped.items()
    )
    reader.connection.execute(
        f"CREATE OR REPLACE TEMP TABLE {table.relation} AS "
        f"SELECT row_number() OVER () AS data_row{cells} FROM {source}",
        arguments,
    )


def _is_undecodable(cells: Sequence[str]) -> bool:
    return any("\udc80" <= mark <= "\udcff" for cell in cells for mark in cell)


def _rows_of_csv(reader: Reader, name: str, path: Path, width: int) -> list[list[str]] | None:
    """Read a file that the fast reader refused, slowly: name its faults, or return its rows.

    Mixed line ends are all that the fast reader refuses and this one takes.
    """
    ragged, undecodable, rows = [], [], []
    with _text(path) as stream:
        lines = (line for line in csv.reader(stream, strict=True) if line)
        next(lines)
        for number, row in enumerate(lines, start=1):
            if len(row) != width:
                ragged.append(number)
            if _is_undecodable(row):
                undecodable.append(number)
            rows.append(row)
    if ragged:
        reader.error(
            "ragged_rows",
            name,
            path.name,
            f"{counted(len(ragged), 'row')} with more or fewer cells than the header",
            "a cell that holds a comma needs double quotes around it",
            ragged,
        )
    if undecodable:
        reader.error(
            "undecodable",
            name,
            path.name,
            f"{counted(len(undecodable), 'row')} with bytes that are not UTF-8",
            "save the file as UTF-8",
            undecodable,
        )
    return None if ragged or undecodable else rows


def _store_rows(
    reader: Reader, table: Loaded, mapped: Mapping[str, str], rows: list[list[str]]
) -> None:
    import pandas as pd

    places = {cell: int(cell[1:]) for cell in mapped.values()}
    frame = pd.DataFrame({c: [row[k] for row in rows] for c, k in places.items()}, dtype=object)
    reader.connection.register("rows_read", frame.astype("str"))
    store(reader, table, mapped, "rows_read", [])
    reader.connection.unregister("rows_read")


def quoted(column: str) -> str:
    return '"' + column.replace('"', '""') + '"'
