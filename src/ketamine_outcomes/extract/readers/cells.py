"""The SQL of a cell's value: what a text of a column means, NULL for what it does not mean."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from ketamine_outcomes.extract.faults import Fault, counted
from ketamine_outcomes.extract.readers.text import Loaded, Reader, quoted
from ketamine_outcomes.extract.tables import ROUTE_SPELLINGS, TABLES

#: What hour 0 of relative times is called; no date of a patient.
ORIGIN = "TIMESTAMP '2000-01-01 00:00:00'"
HOURS = {"relative_hours": 1, "relative_days": 24}
_MAX_HOURS = 10_000_000  # a thousand years: beyond it a number is no time

NUMBER = r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?"
DATE = r"\d{4}-\d{2}-\d{2}"
_CLOCK = DATE + r"[Tt ]\d{2}:\d{2}(:\d{2}([.,]\d+)?)?"
_OFFSET = r"\s?([Zz]|[+-]\d{2}(:?\d{2})?)"
_TRUE, _FALSE = ("true", "t", "yes", "y", "1"), ("false", "f", "no", "n", "0")
#: Text that is compared like a word.
_LOWERED = {("measurements", "name")}


def settle_clock(reader: Reader, tables: Sequence[Loaded]) -> None:
    """Find out which tables are day-resolved and on which offset from UTC the times stand."""
    offsets: Counter[int] = Counter()
    with_offset, without = [], []
    for table in tables:
        days = moments = 0
        for column in (c for c, kind in table.kinds.items() if kind == "time"):
            x = quoted(column)
            found = reader.connection.execute(
                f"SELECT {offset_minutes(x)}, count(*) FILTER (regexp_full_match({x}, ?)), "
                f"count(*) FILTER (regexp_full_match({x}, ?)) FROM {table.relation} GROUP BY 1",
                [_CLOCK + f"({_OFFSET})?", DATE],
            ).fetchall()
            for minutes, clock, date in found:
                moments, days = moments + clock, days + date
                if minutes is not None:
                    offsets[minutes] += clock
                    with_offset.append(table)
                elif clock:
                    without.append(table)
        # Deaths are often known to the day, and none may be lost.
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


def offset_minutes(x: str) -> str:
    """Return the SQL of the offset in minutes, NULL without one."""
    part = f"regexp_extract({x}, '^{_CLOCK}\\s?([Zz]|[+-]\\d{{2}}(:?\\d{{2}})?)$', 3)"
    hours, minutes = f"TRY_CAST({part}[2:3] AS INTEGER)", f"TRY_CAST({part}[-2:] AS INTEGER)"
    return (
        f"CASE WHEN {part} IS NULL OR {part} = '' THEN NULL WHEN lower({part}) = 'z' THEN 0 "
        f"ELSE (CASE WHEN {part}[1] = '-' THEN -1 ELSE 1 END) * (60 * {hours} + "
        f"CASE WHEN length({part}) > 3 THEN {minutes} ELSE 0 END) END"
    )


def moment(reader: Reader, table: Loaded, x: str, date_ends: bool = False) -> str:
    """Return the SQL of a time: NULL for what is none. 24:00 and second 60 carry over.

    A date alone is the start of its day, or with `date_ends` its end.
    """
    if reader.times in HOURS:
        hours = f"{HOURS[reader.times]} * TRY_CAST({x} AS DOUBLE)"
        return (
            f"CASE WHEN regexp_full_match({x}, '{NUMBER}') AND abs({hours}) <= {_MAX_HOURS} "
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
        f" + to_minutes({reader.offset_minutes} - coalesce({offset_minutes(x)}, "
        f"{reader.offset_minutes})) END"
    )
    whole = f"{day} + to_days({int(date_ends)})"
    dates = f"WHEN regexp_full_match({x}, '{DATE}') THEN {whole} " if table.day_resolved else ""
    return f"CASE {dates}WHEN regexp_full_match({x}, '{_CLOCK}({_OFFSET})?') THEN {clock} END"


def value(reader: Reader, table: Loaded, column: str, kind: str) -> str:
    """Return the SQL of a cell's value."""
    x = quoted(column)
    if kind == "time":
        # Who died on a day lived and was treated up to some time of it.
        return moment(reader, table, x, date_ends=column == "death_time")
    if kind == "number":
        number = f"CASE WHEN regexp_full_match({x}, '{NUMBER}') THEN TRY_CAST({x} AS DOUBLE) END"
        return f"CASE WHEN isfinite({number}) THEN {number} END"
    if kind == "bool":
        words = [", ".join(f"'{word}'" for word in some) for some in (_TRUE, _FALSE)]
        return (
            f"CASE WHEN lower({x}) IN ({words[0]}) THEN true "
            f"WHEN lower({x}) IN ({words[1]}) THEN false END"
        )
    if (table.name, column) == ("doses", "route"):
        spellings = ", ".join(f"'{told}': '{word}'" for told, word in ROUTE_SPELLINGS.items())
        return f"coalesce(MAP {{{spellings}}}[lower({x})], lower({x}))"
    return f"lower({x})" if kind == "word" or (table.name, column) in _LOWERED else x


#: A dose that says from which to which amount.
RANGE = rf"{NUMBER}\s?(-|–|to)\s?{NUMBER}"


def dose_fault(reader: Reader, table: Loaded) -> str:
    """Return the SQL of why a dose row cannot be placed or measured as it stands, NULL if it can.

    Words: no_patient, no_start, date_only (the day is known), no_drug; unknown_basis (missing
    would mean given) and range (an amount from ... to).
    """
    cases = [
        "WHEN patient_id IS NULL THEN 'no_patient'",
        f"WHEN regexp_full_match(start, '{DATE}') AND ({moment(reader, table, 'start')}) IS NULL "
        "THEN 'date_only'",
        f"WHEN start IS NULL OR ({moment(reader, table, 'start')}) IS NULL THEN 'no_start'",
        "WHEN drug IS NULL THEN 'no_drug'",
    ]
    if "amount_basis" in table.kinds:
        words = ", ".join(f"'{word}'" for word in TABLES["doses"].column("amount_basis").words)
        cases.append(f"WHEN lower(amount_basis) NOT IN ({words}) THEN 'unknown_basis'")
    if "amount" in table.kinds:
        cases.append(f"WHEN regexp_full_match(amount, '{RANGE}') THEN 'range'")
    return f"CASE {' '.join(cases)} END"
