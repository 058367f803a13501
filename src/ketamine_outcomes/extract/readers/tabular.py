"""Read canonical CSV, CSV.GZ or Parquet tables, one file per table.

Nothing is guessed: a cell that is not what its column says is missing and counted, a row whose
required cell cannot be read is set aside and counted, and a file that is not a table of the
contract is an error. DuckDB does the work on whole columns, out of core where it must.
"""

from __future__ import annotations

import csv
import gzip
import re
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from io import TextIOWrapper
from itertools import islice
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, TextIO, cast

from ketamine_outcomes.errors import did_you_mean
from ketamine_outcomes.extract.checks import Fault, at_rows, counted, printable
from ketamine_outcomes.extract.identifiers import guard, is_denied
from ketamine_outcomes.extract.tables import TABLES, Extract, conform

if TYPE_CHECKING:
    import duckdb
    import pandas as pd

SUFFIXES = (".csv", ".csv.gz", ".parquet")
#: What hour 0 of relative times is called; no date of a patient.
ORIGIN = "TIMESTAMP '2000-01-01 00:00:00'"
_HOURS = {"relative_hours": 1, "relative_days": 24}
_MAX_HOURS = 10_000_000  # a thousand years: beyond it a number is no time

_BLANKS = " || ".join(f"chr({code})" for code in (32, 9, 10, 13, 160, 65279))
_NUMBER = r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?"
_DATE = r"\d{4}-\d{2}-\d{2}"
_CLOCK = _DATE + r"[Tt ]\d{2}:\d{2}(:\d{2}([.,]\d+)?)?"
_OFFSET = r"\s?([Zz]|[+-]\d{2}(:?\d{2})?)"
_TRUE, _FALSE = ("true", "t", "yes", "y", "1"), ("false", "f", "no", "n", "0")
#: Text that is compared like a word.
_LOWERED = {("measurements", "name")}


@dataclass
class _Loaded:
    """A table as text: `relation` in the connection, one column per mapped column."""

    name: str
    file: str
    kinds: dict[str, str]
    relation: str
    day_resolved: bool = False


@dataclass
class _Reader:
    """What is known while a folder is read."""

    connection: duckdb.DuckDBPyConnection
    times: str
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


def read(
    folder: Path,
    times: str,
    *,
    extra_columns: Mapping[str, Sequence[str]] | None = None,
    waivers: Iterable[tuple[str, str]] = (),
) -> tuple[Extract, list[Fault]]:
    """Read a folder of canonical tables.

    Parameters
    ----------
    folder
        Holds `patients.csv`, `doses.csv.gz`, `stays.parquet` ...: at most one file per table. A
        table without a file is unknown, one with a header only is known to be empty.
    times
        `shifted` or `actual` (ISO 8601), `relative_hours` or `relative_days` (numbers, put on a
        calendar that begins at 2000-01-01T00:00).
    extra_columns
        Table to further columns to keep (declared covariates); all else is ignored with a note.
    waivers
        (table, column) pairs that the identifier guard lets pass.

    Returns
    -------
    Extract
        Each table has an index `data_row` (1 = first row after the header) without the rows that
        were set aside; `checks.clean` makes it plain.
    list of Fault
        Nothing in it holds a cell. A table with an error of its own is not in the extract.

    Examples
    --------
    `extract, faults = read(Path("registry"), "shifted")`
    """
    import duckdb

    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        reader = _Reader(connection, times)
        declared = {
            table: {column.strip().lower() for column in columns}
            for table, columns in (extra_columns or {}).items()
        }
        loaded = [
            table
            for name, path in _find(reader, folder).items()
            if (table := _load(reader, name, path, declared.get(name, set()))) is not None
        ]
        waivers = tuple(waivers)
        for table in loaded:
            reader.faults += guard(
                connection,
                table.relation,
                table.name,
                table.kinds,
                times=times,
                waivers=waivers,
                file=table.file,
            )
        if times not in _HOURS:
            _settle_clock(reader, loaded)
        return Extract({table.name: _parse(reader, table) for table in loaded}), reader.faults


def file_names(folder: Path) -> dict[str, str]:
    """Return table to file name, for the messages of the checks."""
    return {name: paths[0].name for name, paths in _candidates(folder).items()}


def _candidates(folder: Path) -> dict[str, list[Path]]:
    files = sorted(path for path in folder.iterdir() if path.is_file())
    named: dict[str, list[Path]] = {}
    for name in TABLES:
        wanted = {name + suffix for suffix in SUFFIXES}
        if found := [path for path in files if path.name.lower() in wanted]:
            named[name] = found
    return named


def _find(reader: _Reader, folder: Path) -> dict[str, Path]:
    """Return the one file of each table."""
    found = {}
    named = _candidates(folder)
    for name, paths in named.items():
        if len(paths) > 1:
            reader.error(
                "two_files",
                name,
                paths[1].name,
                f"{len(paths)} files for one table",
                "keep one of " + ", ".join(path.name for path in paths),
            )
        elif paths[0].stat().st_size == 0:
            reader.error(
                "empty_file",
                name,
                paths[0].name,
                "the file has no bytes",
                "a table that is known to be empty has its header; else leave it out",
            )
        else:
            found[name] = paths[0]
    if not named:
        reader.error(
            "no_tables",
            "",
            "",
            "the folder holds no table",
            "name the files patients.csv, doses.csv ... (.csv, .csv.gz or .parquet)",
        )
    used = {path for paths in named.values() for path in paths}
    for path in sorted(set(folder.iterdir()) - used):
        suffix = next((s for s in SUFFIXES if path.name.lower().endswith(s)), "")
        stem = path.name.lower().removesuffix(suffix)
        if suffix and printable(stem):
            hint = did_you_mean(stem, TABLES).lstrip(", ")
            reader.faults.append(
                Fault(
                    "note",
                    "unknown_file",
                    file=path.name,
                    hint=hint,
                    message="is not a table of the contract: not read",
                )
            )
    return found


# --- text -------------------------------------------------------------------------------------


def _load(reader: _Reader, name: str, path: Path, declared: set[str]) -> _Loaded | None:
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
        kinds = {column.name: str(column.kind) for column in TABLES[name].columns}
        mapped = {c: cells[k] for k, c in enumerate(columns) if c in kinds or c in declared}
        table = _Loaded(name, file, {c: kinds.get(c, "extra") for c in mapped}, f"raw_{name}")
        try:
            if source:
                _store(reader, table, mapped, source, [_for_glob(path)])
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


def _check_header(
    reader: _Reader, name: str, file: str, columns: Sequence[str], declared: set[str]
) -> bool:
    """Say what is wrong with a header; return whether the table can be read."""
    named = [column for column in columns if column]
    if _is_undecodable(named):
        reader.error("undecodable", name, file, "the header is not UTF-8", "save it as UTF-8")
        return False
    twice = sorted({column for column in named if named.count(column) > 1})
    if twice:  # the header may be the first patient of a file without one: only known names
        known = [c for c in twice if c in TABLES[name].names or c in declared]
        shown = ", ".join(filter(None, map(printable, known))) or counted(len(twice), "column")
        reader.error(
            "duplicate_header",
            name,
            file,
            f"columns that stand twice: {shown}",
            "headers are compared in lower case without spaces around them",
        )
    missing = [c for c in (*TABLES[name].required, *sorted(declared)) if c not in named]
    if missing:
        hint = "columns of the table: " + ", ".join(TABLES[name].names)
        if len(columns) == 1 and any(mark in columns[0] for mark in ";\t|"):
            hint = "the file is not separated by commas"
        message = "missing columns: " + ", ".join(map(_called, missing))
        reader.error("missing_column", name, file, message, hint)
    if twice or missing:
        return False
    others = [c for c in columns if c not in TABLES[name].names and c not in declared]
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


def _for_glob(path: Path) -> str:
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


def _open_parquet(reader: _Reader, path: Path) -> tuple[list[str], list[str], str]:
    """As `_open_csv`; typed columns become text again, so that one path reads all."""
    found = reader.connection.execute(
        "DESCRIBE SELECT * FROM read_parquet(?)", [_for_glob(path)]
    ).fetchall()
    cells = []
    for column, kind, *_ in found:
        cell = f"CAST({_quoted(column)} AS VARCHAR)"
        cells.append(f"nullif({cell}, 'nan')" if kind in ("FLOAT", "DOUBLE") else cell)
    return [column for column, *_ in found], cells, "read_parquet(?)"


def _store(
    reader: _Reader, table: _Loaded, mapped: Mapping[str, str], source: str, arguments: list[str]
) -> None:
    cells = "".join(
        f", nullif(trim({cell}, {_BLANKS}), '') AS {_quoted(column)}"
        for column, cell in mapped.items()
    )
    reader.connection.execute(
        f"CREATE OR REPLACE TEMP TABLE {table.relation} AS "
        f"SELECT row_number() OVER () AS data_row{cells} FROM {source}",
        arguments,
    )


def _is_undecodable(cells: Sequence[str]) -> bool:
    return any("\udc80" <= mark <= "\udcff" for cell in cells for mark in cell)


def _rows_of_csv(reader: _Reader, name: str, path: Path, width: int) -> list[list[str]] | None:
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
    reader: _Reader, table: _Loaded, mapped: Mapping[str, str], rows: list[list[str]]
) -> None:
    import pandas as pd

    places = {cell: int(cell[1:]) for cell in mapped.values()}
    frame = pd.DataFrame({c: [row[k] for row in rows] for c, k in places.items()}, dtype=object)
    reader.connection.register("rows_read", frame.astype("str"))
    _store(reader, table, mapped, "rows_read", [])
    reader.connection.unregister("rows_read")


def _quoted(column: str) -> str:
    return '"' + column.replace('"', '""') + '"'


# --- values -----------------------------------------------------------------------------------


def _settle_clock(reader: _Reader, tables: Sequence[_Loaded]) -> None:
    """Find out which tables are day-resolved and on which offset from UTC the times stand."""
    offsets: Counter[int] = Counter()
    with_offset, without = [], []
    for table in tables:
        days = moments = 0
        for column in (c for c, kind in table.kinds.items() if kind == "time"):
            x = _quoted(column)
            found = reader.connection.execute(
                f"SELECT {_offset_minutes(x)}, count(*) FILTER (regexp_full_match({x}, ?)), "
                f"count(*) FILTER (regexp_full_match({x}, ?)) FROM {table.relation} GROUP BY 1",
                [_CLOCK + f"({_OFFSET})?", _DATE],
            ).fetchall()
            for minutes, clock, date in found:
                moments, days = moments + clock, days + date
                if minutes is not None:
                    offsets[minutes] += clock
                    with_offset.append(table)
                elif clock:
                    without.append(table)
        # Deaths are often known to the day; a death that is lost would be worse than one that
        # is placed at the start of its day.
        table.day_resolved = days * 2 > days + moments or (table.name == "patients" and days > 0)
        if table.day_resolved:
            reader.faults.append(
                Fault(
                    "note",
                    "day_resolved",
                    table.name,
                    table.file,
                    rows=days,
                    message=f"{counted(days, 'time')} without an hour: taken as days",
                )
            )
    if with_offset and without:
        named = sorted({t.name for t in without})
        reader.error(
            "mixed_offsets",
            with_offset[0].name,
            with_offset[0].file,
            "some times have an offset from UTC, others have none (" + ", ".join(named) + ")",
            "write all times of all tables in one way",
        )
    elif offsets:
        # Elapsed time counts, so all times go on one clock: the offset that most of them have.
        reader.offset_minutes = min(offsets, key=lambda m: (-offsets[m], m))
        moved = offsets.total() - offsets[reader.offset_minutes]
        message = "offsets from UTC left out"
        if moved:
            message += f"; {counted(moved, 'time')} moved to the offset that most have"
        reader.faults.append(Fault("note", "offsets", rows=moved, message=message))


def _offset_minutes(x: str) -> str:
    """Return the SQL of the offset in minutes, NULL without one."""
    part = f"regexp_extract({x}, '^{_CLOCK}\\s?([Zz]|[+-]\\d{{2}}(:?\\d{{2}})?)$', 3)"
    hours, minutes = f"TRY_CAST({part}[2:3] AS INTEGER)", f"TRY_CAST({part}[-2:] AS INTEGER)"
    return (
        f"CASE WHEN {part} IS NULL OR {part} = '' THEN NULL WHEN lower({part}) = 'z' THEN 0 "
        f"ELSE (CASE WHEN {part}[1] = '-' THEN -1 ELSE 1 END) * (60 * {hours} + "
        f"CASE WHEN length({part}) > 3 THEN {minutes} ELSE 0 END) END"
    )


def _moment(reader: _Reader, table: _Loaded, x: str) -> str:
    """Return the SQL of a time: NULL for what is none. 24:00 and second 60 carry over."""
    if reader.times in _HOURS:
        hours = f"{_HOURS[reader.times]} * TRY_CAST({x} AS DOUBLE)"
        return (
            f"CASE WHEN regexp_full_match({x}, '{_NUMBER}') AND abs({hours}) <= {_MAX_HOURS} "
            f"THEN {ORIGIN} + to_microseconds(CAST(round({hours} * 3600000000) AS BIGINT)) END"
        )
    day = f"CAST(TRY_CAST({x}[1:10] AS DATE) AS TIMESTAMP)"
    hour, minute = f"CAST({x}[12:13] AS INTEGER)", f"CAST({x}[15:16] AS INTEGER)"
    second = (
        f"coalesce(TRY_CAST(replace(regexp_extract({x}, ':\\d{{2}}:(\\d{{2}}([.,]\\d+)?)', 1), "
        "',', '.') AS DOUBLE), 0)"
    )
    micros = f"CAST(round(({hour} * 3600 + {minute} * 60 + {second}) * 1000000) AS BIGINT)"
    clock = (
        f"CASE WHEN ({hour} < 24 AND {minute} < 60 AND {second} < 61) "
        f"OR ({hour} = 24 AND {minute} = 0 AND {second} = 0) THEN {day} + to_microseconds({micros})"
        f" + to_minutes({reader.offset_minutes} - coalesce({_offset_minutes(x)}, "
        f"{reader.offset_minutes})) END"
    )
    dates = f"WHEN regexp_full_match({x}, '{_DATE}') THEN {day} " if table.day_resolved else ""
    return f"CASE {dates}WHEN regexp_full_match({x}, '{_CLOCK}({_OFFSET})?') THEN {clock} END"


def _value(reader: _Reader, table: _Loaded, column: str, kind: str) -> str:
    """Return the SQL of a cell's value."""
    x = _quoted(column)
    if kind == "time":
        return _moment(reader, table, x)
    if kind == "number":
        number = f"CASE WHEN regexp_full_match({x}, '{_NUMBER}') THEN TRY_CAST({x} AS DOUBLE) END"
        return f"CASE WHEN isfinite({number}) THEN {number} END"
    if kind == "bool":
        words = [", ".join(f"'{word}'" for word in some) for some in (_TRUE, _FALSE)]
        return (
            f"CASE WHEN lower({x}) IN ({words[0]}) THEN true "
            f"WHEN lower({x}) IN ({words[1]}) THEN false END"
        )
    return f"lower({x})" if kind == "word" or (table.name, column) in _LOWERED else x


def _parse(reader: _Reader, table: _Loaded) -> pd.DataFrame:
    """Return the table with its types; rows without a readable required cell are set aside."""
    import pandas as pd

    kinds = {c: _kind(reader, table, c) if k == "extra" else k for c, k in table.kinds.items()}
    values, states = [], []
    for column, kind in kinds.items():
        value, x = _value(reader, table, column, kind), _quoted(column)
        values.append(f"{value} AS {_quoted(column)}")
        if kind in ("time", "number", "bool"):  # 0 read or blank, 1 not read, 2 a date alone
            states.append(
                f"CASE WHEN {x} IS NULL OR ({value}) IS NOT NULL THEN 0 "
                f"WHEN regexp_full_match({x}, '{_DATE}') THEN 2 ELSE 1 END AS "
                + _quoted(f"state:{column}")
            )
    found = reader.connection.execute(
        f"SELECT {', '.join([*values, *states])} FROM {table.relation} ORDER BY data_row"
    ).df()
    rows = conform(table.name, found[list(kinds)])
    rows.index = pd.RangeIndex(1, len(rows) + 1, name="data_row")
    lost = pd.Series(False, index=rows.index)
    required = TABLES[table.name].required
    for column in sorted(kinds, key=lambda c: c not in required):
        if f"state:{column}" in found:
            kind, state = kinds[column], found[f"state:{column}"].set_axis(rows.index)
            date_only = state.eq(2) & (kind == "time") & (reader.times not in _HOURS)
            for rule, mask, why in (
                ("unreadable", state.gt(0) & ~date_only, f"is not a {_KIND[kind]}"),
                ("date_only", date_only, "is a date among times with hours"),
            ):
                _say(reader, table, column, rule, mask & ~lost, why, column in required)
                lost |= mask & (column in required)
        # Whether a score may be blank depends on its state: the checks know.
        if column in required and (table.name, column) != ("pain_scores", "score"):
            blank = rows[column].isna() & ~lost
            _say(reader, table, column, "blank", blank, "is blank", True)
            lost |= blank
    return rows[~lost]


_KIND = {"time": "time", "number": "number", "bool": "yes or no"}


def _kind(reader: _Reader, table: _Loaded, column: str) -> str:
    """Return `number` for a declared column whose every cell is one, else `text`."""
    found = reader.connection.execute(
        f"SELECT bool_and(regexp_full_match({_quoted(column)}, ?)) FROM {table.relation}",
        [_NUMBER],
    ).fetchone()
    return "number" if found and found[0] else "text"


def _say(
    reader: _Reader,
    table: _Loaded,
    column: str,
    rule: str,
    mask: pd.Series[bool],
    why: str,
    required: bool,
) -> None:
    at: dict[str, Any] = at_rows(mask)
    if at["rows"]:
        what = counted(at["rows"], "row")
        shown = printable(column)
        reader.faults.append(
            Fault(
                "warning",
                f"required_{rule}" if required else f"{rule}_cell",
                table.name,
                table.file,
                shown,
                **at,
                message=f"{what} set aside: {column} {why}"
                if required
                else f"{what}: {shown or 'a declared column'} {why}; taken as missing",
            )
        )
