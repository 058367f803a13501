"""Read doses, and what goes with them, for the engine alone: no study, no cohort.

The same reading as that of a registry extract (`readers`), into tables of one DuckDB connection,
so that a file of any length streams through.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from ketamine_outcomes.errors import UserError
from ketamine_outcomes.exposure import units
from ketamine_outcomes.extract.faults import Fault, counted, raise_errors
from ketamine_outcomes.extract.identifiers import guard
from ketamine_outcomes.extract.readers.cells import (
    DATE,
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
    days
        Whether doses are dated to the day only.
    notes
        What the reading found, as sentences with counts.
    words
        Words that a closed vocabulary does not have, by column, with their rows.
    """

    tables: frozenset[str]
    times: str
    offset_minutes: int | None
    moved: int
    days: bool = False
    notes: list[str] = field(default_factory=list)
    words: Counter[tuple[str, str]] = field(default_factory=Counter)


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
    if "doses" not in given:
        raise UserError("no table of doses is given", do="give at least patient_id, drug, start "
                        "and a dose")  # fmt: skip
    reader = Reader(connection, "shifted", {**TABLES, "index": INDEX})
    words: Counter[tuple[str, str]] = Counter()
    loaded = {name: _load(reader, name, source) for name, source in given.items()}
    raise_errors(reader.faults)
    tables = {name: table for name, table in loaded.items() if table is not None}
    numbers = connection.execute(
        "SELECT bool_and(regexp_full_match(start, ?)) FROM raw_doses WHERE start IS NOT NULL",
        [NUMBER],
    ).fetchone()
    if numbers and numbers[0]:
        reader.times = "relative_hours"
    for table in tables.values():
        found = guard(connection, table.relation, table.name, table.kinds, times=reader.times,
                      file=table.file)  # fmt: skip
        reader.faults += [replace(fault, hint="leave the column out or replace it")
                          for fault in found]  # fmt: skip
    offsets = _written_offsets(reader, tables)
    if reader.times not in HOURS:
        settle_clock(reader, list(tables.values()))
    raise_errors(reader.faults)
    for name, table in tables.items():
        _make(reader, table, words, clocked=len(offsets) > 1 and name in ("doses", "stays"))
        connection.execute(f"DROP TABLE raw_{name}")
    _check_keys(reader, tables)
    _check_origin(reader, tables)
    raise_errors(reader.faults)
    notes = [
        "; ".join(filter(None, (": ".join(filter(None, (f.file or f.table, f.message))), f.hint)))
        for f in reader.faults
        if f.severity != "error"
    ]
    return Standalone(
        frozenset(tables), reader.times, reader.offset_minutes if offsets else None,
        sum(offsets.values()) - offsets.get(reader.offset_minutes, 0),
        tables["doses"].day_resolved, notes, words,
    )  # fmt: skip


def _load(reader: Reader, name: str, source: pd.DataFrame | Path | str) -> Loaded | None:
    if isinstance(source, str):
        source = Path(source)
    if not isinstance(source, Path):
        if not hasattr(source, "columns"):
            raise UserError(
                f"{name} is neither a table nor a file", do="give a DataFrame or a path"
            )
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


def _make(reader: Reader, table: Loaded, words: Counter[tuple[str, str]], clocked: bool) -> None:
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
        elif table.name == "doses" and column.name in ("start", "end"):
            cell = _or_day(reader, cell, column.name)
        columns.append(f"{cell} AS {quoted(column.name)}")
    if table.name == "doses":
        columns += ["data_row AS row", f"{dose_fault(reader, table)} AS fault"]
    if table.name in ("doses", "stays"):
        for column_name, name in (("start", "clock"), ("end", "clock_end")):
            own = offset_minutes(quoted(column_name)) if column_name in table.kinds else "NULL"
            ahead = f"coalesce({own}, {reader.offset_minutes}) - {reader.offset_minutes}"
            columns.append(f"{f'({ahead})' if clocked else '0'}::BIGINT * 60000000 AS {name}")
    reader.connection.execute(
        f"CREATE TABLE {quoted(table.name)} AS SELECT {', '.join(columns)} FROM {table.relation}"
    )
    _note_lost_cells(reader, table, words)
    if table.name != "doses":
        _set_aside(reader, table)


def _cell(reader: Reader, table: Loaded, column: Column) -> str:
    cell = value(reader, table, column.name, column.kind)
    if column.kind == "word":
        words = ", ".join(f"'{word}'" for word in column.words)
        instead = "'unknown'" if "unknown" in column.words else "NULL"
        return (
            f"CASE WHEN ({cell}) IN ({words}) THEN {cell} "
            f"WHEN {quoted(column.name)} IS NOT NULL THEN {instead} END"
        )
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


def _or_day(reader: Reader, cell: str, column: str) -> str:
    """Return the SQL of a time of a dose of which only the day is known: that whole day."""
    if reader.times in HOURS:
        return cell
    day = f"CASE WHEN regexp_full_match(start, '{DATE}') THEN TRY_CAST(start AS DATE) END"
    whole = f"({day})::TIMESTAMP" + (" + INTERVAL 1 DAY" if column == "end" else "")
    if column == "start":
        return f"coalesce({cell}, {whole})"
    return f"CASE WHEN regexp_full_match(start, '{DATE}') THEN {whole} ELSE {cell} END"


def _note_lost_cells(reader: Reader, table: Loaded, words: Counter[tuple[str, str]]) -> None:
    for name in table.kinds:
        column = reader.tables[table.name].column(name)
        if column.kind in ("id", "text"):
            continue
        x, meant = quoted(name), value(reader, table, name, column.kind)
        lost = f"{x} IS NOT NULL AND ({meant}) IS NULL"
        if column.kind == "word":
            allowed = ", ".join(f"'{word}'" for word in column.words)
            lost = f"{x} IS NOT NULL AND ({meant}) NOT IN ({allowed})"
        rows = reader.connection.execute(
            f"SELECT data_row FROM {table.relation} WHERE {lost} ORDER BY 1"
        ).fetchall()
        if not rows:
            continue
        what, hint = f"no {column.kind}: taken as missing", ""
        if column.kind == "word":
            what = "a word that is not allowed: taken as not recorded"
            hint = "allowed: " + ", ".join(column.words)
            for word, n in reader.connection.execute(
                f"SELECT {x}, count(*) FROM {table.relation} WHERE {lost} GROUP BY 1"
            ).fetchall():
                words[f"{table.name}.{name}", word] += n
        elif (table.name, name) == ("doses", "start"):
            what = "no time: see the ledger"
        reader.faults.append(
            Fault("warning", "lost_cell", table.name, table.file, name, len(rows),
                  tuple(int(row) for (row,) in rows[:5]),
                  f"{counted(len(rows), 'cell')} of {name} with {what}", hint)
        )  # fmt: skip
    if table.name == "measurements":
        _note_unknown_units(reader, table)


def _note_unknown_units(reader: Reader, table: Loaded) -> None:
    rows = 0
    for name, unit, n in reader.connection.execute(
        f"SELECT name, unit, count(*) FROM {table.relation} "
        "WHERE lower(name) IN ('weight_kg', 'dry_weight_kg') GROUP BY ALL"
    ).fetchall():
        found = units.find(unit)
        rows += n * (name is not None and units.kg_per(found) is None)
    if rows:
        reader.faults.append(
            Fault("warning", "unknown_unit", table.name, table.file, "unit", rows,
                  message=f"{counted(rows, 'weight')} in a unit that is not known: not used",
                  hint="write kg, g or lb")
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


def _check_origin(reader: Reader, tables: Mapping[str, Loaded]) -> None:
    """Say so when times of doses or weights are in no stay of most patients.

    With fewer than three patients it is a warning: the doses of one may really lie elsewhere.
    """
    if "stays" not in tables:
        return
    for name, moment in (("doses", "start"), ("measurements", "time")):
        if name not in tables:
            continue
        found = reader.connection.execute(
            f"""
            SELECT count(*), count(*) FILTER (NOT inside) FROM (
                SELECT t.patient_id, bool_or(t.{moment} >= y.start
                    AND t.{moment} <= y."end" + INTERVAL 1 DAY) AS inside
                FROM {name} t JOIN stays y ON y.patient_id = t.patient_id
                WHERE t.{moment} IS NOT NULL GROUP BY 1)
            """
        ).fetchone()
        assert found is not None
        patients, outside = found
        if outside * 2 > patients:
            reader.faults.append(
                Fault("error" if patients >= 3 else "warning", "time_origin", name,
                      tables[name].file, moment,
                      message=f"no time of {outside} of {counted(patients, 'patient')} is within "
                      "their stays: the tables seem to count from different origins",
                      hint="give all tables the same time origin, per patient")
            )  # fmt: skip
