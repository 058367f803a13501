"""Read canonical CSV, CSV.GZ or Parquet tables, one file per table.

Nothing is guessed: a cell that is not what its column says is missing and counted, a row whose
required cell cannot be read is set aside and counted, and a file that is not a table of the
contract is an error. DuckDB does the work on whole columns, out of core where it must.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ketamine_outcomes.errors import did_you_mean
from ketamine_outcomes.extract.faults import Fault, at_rows, counted, printable
from ketamine_outcomes.extract.identifiers import guard
from ketamine_outcomes.extract.readers.cells import (
    DATE,
    HOURS,
    NUMBER,
    dose_fault,
    settle_clock,
    value,
)
from ketamine_outcomes.extract.readers.text import Loaded, Reader, load, quoted
from ketamine_outcomes.extract.tables import TABLES, Extract, conform

if TYPE_CHECKING:
    import pandas as pd

SUFFIXES = (".csv", ".csv.gz", ".parquet")


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
        reader = Reader(connection, times)
        declared = {
            table: {column.strip().lower() for column in columns}
            for table, columns in (extra_columns or {}).items()
        }
        loaded = [
            table
            for name, path in _find(reader, folder).items()
            if (table := load(reader, name, path, declared.get(name, set()))) is not None
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
        if times not in HOURS:
            settle_clock(reader, loaded)
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


def _find(reader: Reader, folder: Path) -> dict[str, Path]:
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


def _parse(reader: Reader, table: Loaded) -> pd.DataFrame:
    """Return the table with its types; rows without a readable required cell are set aside."""
    import pandas as pd

    kinds = {c: kind_of(reader, table, c) if k == "extra" else k for c, k in table.kinds.items()}
    values, states = [], []
    for column, kind in kinds.items():
        meant, x = value(reader, table, column, kind), quoted(column)
        values.append(f"{meant} AS {quoted(column)}")
        if kind in ("time", "number", "bool"):  # 0 read or blank, 1 not read, 2 a date alone
            states.append(
                f"CASE WHEN {x} IS NULL OR ({meant}) IS NOT NULL THEN 0 "
                f"WHEN regexp_full_match({x}, '{DATE}') THEN 2 ELSE 1 END AS "
                + quoted(f"state:{column}")
            )
    doses = table.name == "doses"
    if doses:  # none is dropped: the ledger says what could not be placed or measured
        values.append(f"{dose_fault(reader, table)} AS fault")
    found = reader.connection.execute(
        f"SELECT {', '.join([*values, *states])} FROM {table.relation} ORDER BY data_row"
    ).df()
    faulty = ["fault"] if doses and found["fault"].notna().any() else []
    rows = conform(table.name, found[[*kinds, *faulty]])
    rows.index = pd.RangeIndex(1, len(rows) + 1, name="data_row")
    lost = pd.Series(False, index=rows.index)
    required = TABLES[table.name].required
    for column in sorted(kinds, key=lambda c: c not in required):
        if f"state:{column}" in found:
            kind, state = kinds[column], found[f"state:{column}"].set_axis(rows.index)
            date_only = state.eq(2) & (kind == "time") & (reader.times not in HOURS)
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
    return rows if doses else rows[~lost]


_KIND = {"time": "time", "number": "number", "bool": "yes or no"}


def kind_of(reader: Reader, table: Loaded, column: str) -> str:
    """Return `number` for a declared column whose every cell is one, else `text`."""
    found = reader.connection.execute(
        f"SELECT bool_and(regexp_full_match({quoted(column)}, ?)) FROM {table.relation}",
        [NUMBER],
    ).fetchone()
    return "number" if found and found[0] else "text"


def _say(
    reader: Reader,
    table: Loaded,
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
                message=f"{what} {'unconverted' if table.name == 'doses' else 'set aside'}: "
                f"{column} {why}"
                if required
                else f"{what}: {shown or 'a declared column'} {why}; taken as missing",
            )
        )
