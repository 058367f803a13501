"""Read doses, and what goes with them, for the engine alone: no study, no cohort.

The same reading as that of a registry extract (`readers`), into tables of one DuckDB connection,
so that a file of any length streams through.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from ketamine_outcomes.errors import UserError
from ketamine_outcomes.extract import checks
from ketamine_outcomes.extract.checks import Fault, counted
from ketamine_outcomes.extract.identifiers import guard
from ketamine_outcomes.extract.readers.cells import (
    HOURS,
    NUMBER,
    dose_fault,
    offset_minutes,
    settle_clock,
    value,
)
from ketamine_outcomes.extract.readers.text import Loaded, Reader, load, load_frame, quoted
from ketamine_outcomes.extract.tables import TABLES, Column, Table

if TYPE_CHECKING:
    import duckdb
    import pandas as pd

INDEX = Table(
    "index",
    ("patient_id",),
    "where the bins of a patient start",
    (
        Column("patient_id", "id", "pseudonym of the patient", required=True),
        Column("index_time", "time", "time zero", required=True),
    ),
)


@dataclass(frozen=True)
class Standalone:
    """What was read.

    Attributes
    ----------
    tables
        Relations that exist in the connection: doses and what was given beside it.
    times
        `shifted` or `relative_hours`.
    offset_minutes
        Offset from UTC of the clock that all times are on; None where none was written.
    moved
        Number of times that were written with another offset.
    notes
        What the reading found, as sentences with counts.
    """

    tables: frozenset[str]
    times: str
    offset_minutes: int | None
    moved: int
    notes: list[str] = field(default_factory=list)


def read(
    connection: duckdb.DuckDBPyConnection, given: Mapping[str, pd.DataFrame | Path | str]
) -> Standalone:
    """Read tables into a connection.

    Parameters
    ----------
    given
        `doses` and, where there are, `patients`, `stays`, `measurements`, `index`.

    Raises
    ------
    UserErrors
        A table cannot be read as what it says, an identifier, ids that collide or are unknown.
    """
    reader = Reader(connection, "shifted", {**TABLES, "index": INDEX})
    loaded = {name: _load(reader, name, source) for name, source in given.items()}
    checks.raise_errors(reader.faults)
    tables = {name: table for name, table in loaded.items() if table is not None}
    numbers = connection.execute(
        "SELECT bool_and(regexp_full_match(start, ?)) FROM raw_doses WHERE start IS NOT NULL",
        [NUMBER],
    ).fetchone()
    if numbers and numbers[0]:
        reader.times = "relative_hours"
    for table in tables.values():
        reader.faults += guard(connection, table.relation, table.name, table.kinds,
                               times=reader.times, file=table.file)  # fmt: skip
    offsets = _written_offsets(reader, tables)
    if reader.times not in HOURS:
        settle_clock(reader, list(tables.values()))
    checks.raise_errors(reader.faults)
    for name, table in tables.items():
        _make(reader, table, clocked=len(offsets) > 1 and name in ("doses", "stays"))
        connection.execute(f"DROP TABLE raw_{name}")
    _check_keys(reader, tables)
    checks.raise_errors(reader.faults)
    notes = [
        ": ".join(filter(None, (f.file or f.table, f.message)))
        for f in reader.faults
        if f.severity != "error"
    ]
    return Standalone(
        frozenset(tables), reader.times, reader.offset_minutes if offsets else None,
        sum(offsets.values()) - offsets.get(reader.offset_minutes, 0), notes,
    )  # fmt: skip


def _load(reader: Reader, name: str, source: pd.DataFrame | Path | str) -> Loaded | None:
    if isinstance(source, str):
        source = Path(source)
    if not isinstance(source, Path):
        return load_frame(reader, name, source)
    if not source.is_file():
        raise UserError(f"there is no such file of {name}", where=str(source), do="check the path")
    if source.stat().st_size == 0:
        raise UserError("the file has no bytes", where=str(source), do="a table has its header")
    return load(reader, name, source, set())


def _written_offsets(reader: Reader, tables: Mapping[str, Loaded]) -> dict[int, int]:
    """Return the offsets from UTC in which times are written, in minutes, with their counts."""
    found: dict[int, int] = {}
    if reader.times in HOURS:
        return found
    for table in tables.values():
        for column in (c for c, kind in table.kinds.items() if kind == "time"):
            rows = reader.connection.execute(
                f"SELECT {offset_minutes(quoted(column))} AS m, count(*) FROM {table.relation} "
                "GROUP BY 1 HAVING m IS NOT NULL"
            ).fetchall()
            for minutes, n in rows:
                found[minutes] = found.get(minutes, 0) + n
    return found


def _make(reader: Reader, table: Loaded, clocked: bool) -> None:
    """Make the typed table; what a cell is not, it is missing, and counted in a note."""
    schema = reader.tables[table.name]
    columns = []
    for column in schema.columns:
        if column.name not in table.kinds:
            kind = {"number": "DOUBLE", "time": "TIMESTAMP", "bool": "BOOLEAN"}
            cell = f"NULL::{kind.get(column.kind, 'VARCHAR')}"
        else:
            cell = _cell(reader, table, column)
        if (table.name, column.name) == ("doses", "dose_id"):
            cell = _made_up(reader, table)
        columns.append(f"{cell} AS {quoted(column.name)}")
    if table.name == "doses":
        columns += ["data_row AS row", f"{dose_fault(reader, table)} AS fault"]
    if clocked:
        ahead = f"coalesce({offset_minutes('start')}, {reader.offset_minutes})"
        columns.append(f"({ahead} - {reader.offset_minutes})::BIGINT * 60000000 AS clock")
    elif table.name in ("doses", "stays"):
        columns.append("0::BIGINT AS clock")
    reader.connection.execute(
        f"CREATE TABLE {quoted(table.name)} AS SELECT {', '.join(columns)} FROM {table.relation}"
    )
    _note_lost_cells(reader, table)
    if table.name != "doses":
        _set_aside(reader, table)


def _cell(reader: Reader, table: Loaded, column: Column) -> str:
    x = quoted(column.name)
    if column.kind == "word":
        words = ", ".join(f"'{word}'" for word in column.words)
        instead = "'unknown'" if "unknown" in column.words else "NULL"
        return f"CASE WHEN lower({x}) IN ({words}) THEN lower({x}) WHEN {x} IS NOT NULL " \
               f"THEN {instead} END"  # fmt: skip
    cell = value(reader, table, column.name, column.kind)
    if column.kind == "number" and (column.minimum is not None or column.maximum is not None):
        low = "-1e308" if column.minimum is None else str(column.minimum)
        high = "1e308" if column.maximum is None else str(column.maximum)
        return f"CASE WHEN ({cell}) BETWEEN {low} AND {high} THEN {cell} END"
    return cell


def _made_up(reader: Reader, table: Loaded) -> str:
    """Return the SQL of dose_id: the data row number where it is blank."""
    if "dose_id" not in table.kinds:
        return "CAST(data_row AS VARCHAR)"
    found = reader.connection.execute(f"SELECT count(dose_id) FROM {table.relation}").fetchone()
    # Beside given ids a bare number could be one of them.
    prefix = "row " if found and found[0] else ""
    return f"coalesce(dose_id, '{prefix}' || data_row)"


def _note_lost_cells(reader: Reader, table: Loaded) -> None:
    for name in table.kinds:
        column = reader.tables[table.name].column(name)
        if column.kind in ("id", "text"):
            continue
        x = quoted(name)
        lost = f"r.{x} IS NOT NULL AND t.{x} IS NULL"
        if column.kind == "word":
            words = ", ".join(f"'{word}'" for word in column.words)
            lost = f"r.{x} IS NOT NULL AND lower(r.{x}) NOT IN ({words})"
        # Both were written in one order: rows are matched by position.
        rows = reader.connection.execute(
            f"SELECT r.data_row FROM {table.relation} r POSITIONAL JOIN {quoted(table.name)} t "
            f"WHERE {lost} ORDER BY 1"
        ).fetchall()
        if rows:
            what = "a word that is not allowed" if column.kind == "word" else "no " + column.kind
            reader.faults.append(
                Fault("warning", "lost_cell", table.name, table.file, name, len(rows),
                      tuple(int(row) for (row,) in rows[:5]),
                      f"{counted(len(rows), 'cell')} of {name} with {what}: taken as missing")
            )  # fmt: skip


def _set_aside(reader: Reader, table: Loaded) -> None:
    """Drop rows whose required cells are blank, and stays that end before they start."""
    schema = reader.tables[table.name]
    bad = [f"{quoted(c)} IS NULL" for c in schema.required]
    if table.name == "stays":
        bad.append('"end" < start')
    condition = " OR ".join(bad)
    found = reader.connection.execute(
        f"SELECT count(*) FROM {quoted(table.name)} WHERE {condition}"
    ).fetchone()
    if found and found[0]:
        reader.connection.execute(f"DELETE FROM {quoted(table.name)} WHERE {condition}")
        reader.faults.append(
            Fault("warning", "set_aside", table.name, table.file, rows=int(found[0]),
                  message=f"{counted(int(found[0]), 'row')} set aside: a required cell is blank, "
                  "or the end is before the start")
        )  # fmt: skip


def _check_keys(reader: Reader, tables: Mapping[str, Loaded]) -> None:
    run = reader.connection.execute
    for name, key in (("doses", "dose_id"), ("patients", "patient_id"), ("index", "patient_id"),
                      ("stays", "stay_id")):  # fmt: skip
        if name not in tables:
            continue
        found = run(
            f"SELECT coalesce(sum(n), 0) FROM (SELECT count(*) AS n FROM {quoted(name)} "
            f"WHERE {key} IS NOT NULL GROUP BY {key} HAVING n > 1)"
        ).fetchone()
        if found and found[0]:
            reader.faults.append(
                Fault("error", "key_collides", name, tables[name].file, key, int(found[0]),
                      message=f"{counted(int(found[0]), 'row')} with a {key} that stands twice",
                      hint=f"each {key} may stand once")
            )  # fmt: skip
    if "patients" not in tables:
        return
    for name in tables:
        found = run(
            f"SELECT count(*) FROM {quoted(name)} t WHERE t.patient_id IS NOT NULL AND "
            "NOT EXISTS (SELECT 1 FROM patients p WHERE p.patient_id = t.patient_id)"
        ).fetchone()
        if found and found[0]:
            reader.faults.append(
                Fault("error", "unknown_patient", name, tables[name].file, "patient_id",
                      int(found[0]),
                      message=f"{counted(int(found[0]), 'row')} of patients who are not in the "
                      "table patients",
                      hint="add the patients, or check how the ids are written")
            )  # fmt: skip
