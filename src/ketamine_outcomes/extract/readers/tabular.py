"""Read canonical CSV, CSV.GZ or Parquet tables, one file per table.

Nothing is guessed: a cell that is not what its column says is missing and counted, a row whose
required cell cannot be read is set aside and counted, and a file that is not a table of the
contract is an error. DuckDB does the work on whole columns, out of core where it must.
"""

from __future__ import annotations

import csv
import gzip
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from io import TextIOWrapper
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

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

_BLANKS = "' \\t\\r\\n' || chr(9) || chr(10) || chr(13) || chr(160) || chr(65279)"
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

    def error(self, rule: str, name: str, file: str, message: str, hint: str = "",
              rows: Sequence[int] = ()) -> None:
        """Add an error about a whole file."""
        self.faults.append(
            Fault("error", rule, name, file, rows=len(rows), first_rows=tuple(rows[:5]),
                  message=message, hint=hint)
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
    >>> extract, faults = read(Path("registry"), "shifted")  # doctest: +SKIP
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
                connection, table.relation, table.name, table.kinds,
                times=times, waivers=waivers, file=table.file,
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
            reader.error("two_files", name, paths[1].name, f"{len(paths)} files for one table",
                         "keep one of " + ", ".join(path.name for path in paths))
        elif paths[0].stat().st_size == 0:
            reader.error("empty_file", name, paths[0].name, "the file has no bytes",
                         "a table that is known to be empty has its header; else leave it out")
        else:
            found[name] = paths[0]
    if not named:
        reader.error("no_tables", "", "", "the folder holds no table",
                     "name the files patients.csv, doses.csv ... (.csv, .csv.gz or .parquet)")
    used = {path for paths in named.values() for path in paths}
    for path in sorted(set(folder.iterdir()) - used):
        stem = path.name.lower().split(".")[0]
        if path.name.lower().endswith(SUFFIXES) and printable(stem):
            hint = did_you_mean(stem, TABLES).lstrip(", ")
            reader.faults.append(
                Fault("note", "unknown_file", file=path.name, hint=hint,
                      message="is not a table of the contract: not read")
            )
    return found


# --- text -------------------------------------------------------------------------------------


def _load(reader: _Reader, name: str, path: Path, declared: set[str]) -> _Loaded | None:
    """Load the mapped columns of a file as trimmed text, or say why it cannot be read."""
    import duckdb

    is_csv = not path.name.lower().endswith(".parquet")
    try:
        header, cells = _csv_header(path) if is_csv else _parquet_header(reader, path)
        columns = [column.strip(" \t\r\n\ufeff\xa0").lower() for column in header]
        if not _check_header(reader, name, path.name, columns, declared):
            return None
        mapped = {c: k for k, c in enumerate(columns) if c in TABLES[name].names or c in declared}
        source = _csv_source(reader, path, len(header)) if is_csv else _parquet_source(path)
        if source is None:
            return _diagnose(reader, name, path, header, mapped)
        return _store(reader, name, path.name, source, {c: cells[k] for c, k in mapped.items()})
    except UnicodeDecodeError:
        reader.error("undecodable", name, path.name, "the header is not UTF-8",
                     "save the file as UTF-8")
    except (duckdb.Error, OSError, EOFError, csv.Error):  # their texts may quote a cell
        reader.error("unreadable", name, path.name, "the file cannot be read",
                     "write it again: it may be cut short or of another format")
    return None
