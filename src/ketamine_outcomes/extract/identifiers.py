"""The identifier guard: no direct identifier may enter, whatever source it comes from.

It runs before anything else reads a column, on the text as it stands in the source. It looks at
shapes (digits are all made 0 first, so a million ids are a handful of shapes), at the names of
columns, and at whole columns that look like prose or like names. It errs towards refusing: a
column that is safe is let pass by a waiver of the cohort, which every page prints. It never says
what it found, only where.

The list follows the identifiers of the HIPAA Safe Harbor rule, 45 CFR 164.514(b)(2).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from ketamine_outcomes.extract.faults import SHOWN, Fault, Severity, counted, printable
from ketamine_outcomes.extract.tables import TABLES, Extract

if TYPE_CHECKING:
    import duckdb

# What may stand beside a number without being part of it; RE2 has no look-around.
_LEFT, _RIGHT = r"(?:^|[^0-9.\-])", r"(?:$|[^0-9\-])"
_RECORD = (
    r"(?:mrn|medical record|ssn|social security|nhs|medicare|medicaid|account|acct|passport"
    r"|insurance)"
)
# Words that begin many a pseudonym (patient-0001): a label only with `number` or the like.
_MAYBE_RECORD = r"(?:record|patient|chart|case|file|hospital|insured|policy|member|licen[cs]e)"
_NUMBER = r"(?:no|nr|num|number|id|identifier)"
_STREET = (
    r"(?:street|str|st|avenue|ave|road|rd|drive|lane|ln|boulevard|blvd|court|square|terrace"
    r"|parkway|highway|hwy)"
)

#: Rule, what it is called in a message, and its shape in lower case with every digit as 0.
PATTERNS: tuple[tuple[str, str, str], ...] = (
    ("email", "an e-mail address", r"[^\s@]+@[^\s@]+\.[a-z]{2,}"),
    (
        "telephone",
        "a telephone number",
        _LEFT
        + r"(?:\+?0[-. ])?(?:\(0{3}\) ?|0{3}[-. ])0{3}[-. ]0{4}"
        + _RIGHT
        + r"|(?:^|[^0-9])\+0{1,3}(?:[ .\-/()]{0,2}0{2,5}){2,5}"
        + _RIGHT
        + r"|\b(?:tel|telephone|phone|mobile|cell|fax|pager)\b[^0-9a-z]{0,4}[+(]?0[0 .\-/()]{5,}",
    ),
    ("social_security", "a number of the form ddd-dd-dddd", _LEFT + r"0{3}-0{2}-0{4}" + _RIGHT),
    (
        "record_number",
        "a labelled record or account number",
        rf"(?:^|[^a-z])(?:{_RECORD}[\s:#.=_\-]*{_NUMBER}?|{_MAYBE_RECORD}[\s_\-]*(?:{_NUMBER}|[:#]))"
        r"[\s:#.=_\-]*[a-z]{0,3}\-?0{4,}",
    ),
    ("zip_code", "a ZIP+4 code", _LEFT + r"0{5}-0{4}" + _RIGHT),
    (
        "street_address",
        "a street address",
        r"(?:^|[\s,;])0{1,5}[a-z]?\s+(?:[a-z][a-z'\-]+\.?\s+){1,3}" + _STREET + r"(?:[.,;\s]|$)"
        r"|\bp\.?\s?o\.?\s?box\s+0+|[a-zäöüß]{3,}(?:straße|strasse|str\.)\s*0{1,4}\b",
    ),
    ("url", "a web address", r"(?:https?|ftp)://|\bwww\.[a-z0]"),
    (
        "ip_address",
        "an IP address",
        r"(?:^|[^0-9.])0{1,3}(?:\.0{1,3}){3}(?:$|[^0-9.])|(?:^|[^0-9a-f:])(?:[0a-f]{1,4}:){5,7}"
        r"[0a-f]{1,4}(?:$|[^0-9a-f:])",
    ),
    (
        "device_serial",
        "a device serial number",
        r"\b(?:serial|s/n|udi)\b[\s:#.=\-]*(?:no|nr|number|num)?[\s:#.=\-]*[a-z\-]{0,4}0[0a-z\-]{3,}",
    ),
)
_DATE = (
    "full_date",
    "a full date although times are relative",
    r"(?:^|[^0-9])(?:0{4}[-/.]0{1,2}[-/.]0{1,2}|0{1,2}[-/.]0{1,2}[-/.]0{4})(?:$|[^0-9])",
)

_DENIED = re.compile(
    r"""(?:^|_)(?:first|last|given|family|middle|full|maiden|patient|birth|sur|fore|nick|mother
    |father|spouse|guardian|physician|doctor|provider|nurse|clinician|contact)_?names?(?:$|_)
    |^names?$|(?:^|_)(?:surname|initials|dob|birth|birthdate|birthday|birthdt|address|addr|street
    |city|town|village|county|zip|zipcode|zip_?code|postal|postcode|post_?code|phone|telephone
    |tel|mobile|cell|fax|pager|email|e_?mail|mail|contact|kin|guardian|mrn|medrec|ssn|insurance
    |passport|licen[cs]e|serial|url|website|ip|photo|picture|signature|fingerprint|lat|latitude
    |lon|longitude|geo|geocode)(?:$|_|no$|nr$|num$|id$|number$)
    |(?:^|_)(?:birth_?(?:day|date|time|place)|date_?of_?birth|medical_?record|record_?(?:no|number)
    |account_?(?:no|number|id)|social_?security|health_?plan|next_?of_?kin|e_?mail)""",
    re.VERBOSE,
)

#: Columns whose many or long distinct texts are their nature.
LONG_TEXT = frozenset({"drug", "product", "device"})
MIN_ROWS, MAX_DISTINCT, MIN_LENGTH, MIN_WORDS = 20, 0.5, 6, 4


def is_denied(name: str) -> bool:
    """Return whether a column is named for an identifier (schema columns never are).

    >>> is_denied("Date of Birth"), is_denied("zip3"), is_denied("centre_code")
    (True, False, False)
    """
    return bool(_DENIED.search(re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")))


def guard(
    connection: duckdb.DuckDBPyConnection,
    relation: str,
    name: str,
    columns: Mapping[str, str],
    *,
    times: str,
    waivers: Iterable[tuple[str, str]] = (),
    file: str = "",
) -> list[Fault]:
    """Look for identifiers in the columns of one table.

    Parameters
    ----------
    connection, relation
        Where the table is; it has a column `data_row` (1 = first after the header).
    name
        Table of the contract.
    columns
        Mapped columns and their kind (`id`, `text`, `word`, `number`, `bool`, `time`).
    times
        What the cohort declares: with relative times a full date is refused.
    waivers
        (table, column) pairs that the cohort lets pass.

    Returns
    -------
    list of Fault
        Errors, and a note for each waived column.
    """
    faults: list[Fault] = []
    waived = {(t.strip().lower(), c.strip().lower()) for t, c in waivers}
    patterns = (*PATTERNS, _DATE) if times.startswith("relative") else PATTERNS
    for number, (column, kind) in enumerate(columns.items(), start=1):
        shown = printable(column)
        called = shown or f"column {number}"

        def fault(
            rule: str,
            what: str,
            rows: list[int],
            severity: Severity = "error",
            hint: str = "leave it out or replace it; a waiver of the cohort lets a column pass",
            shown: str = shown,
        ) -> Fault:
            first = tuple(rows[:SHOWN])
            return Fault(severity, rule, name, file, shown, len(rows), first, what, hint)

        if (name, column) in waived:
            what = f"{called} is not searched for identifiers: waived by the cohort"
            faults.append(fault("waived", what, [], "note", ""))
            continue
        if (name not in TABLES or column not in TABLES[name].names) and is_denied(column):
            faults.append(fault("identifier_column", f"{called} is named for an identifier", []))
        cell = f'CAST("{column.replace(chr(34), chr(34) * 2)}" AS VARCHAR)'
        shape = f"translate(lower({cell}), '123456789', '000000000')"
        shapes = f"SELECT DISTINCT {shape} AS shape FROM {relation} WHERE {cell} IS NOT NULL"
        tests = ", ".join("bool_or(regexp_matches(shape, ?))" for _ in patterns)
        found = connection.execute(
            f"SELECT {tests} FROM ({shapes})", [pattern for _, _, pattern in patterns]
        ).fetchone()
        for (rule, what, pattern), hit in zip(patterns, found or (), strict=True):
            if hit:
                rows = connection.execute(
                    f"SELECT data_row FROM {relation} WHERE regexp_matches({shape}, ?) "
                    "ORDER BY data_row",
                    [pattern],
                ).fetchall()
                rows_found = [int(row) for (row,) in rows]
                said = f"{counted(len(rows_found), 'cell')} of {called} with {what}"
                faults.append(fault(f"identifier_{rule}", said, rows_found))
        if (name, column) == ("patients", "age_years"):
            rows = connection.execute(
                f"SELECT data_row FROM {relation} WHERE TRY_CAST({cell} AS DOUBLE) > 90 "
                "ORDER BY data_row"
            ).fetchall()
            if rows:
                said = f"{counted(len(rows), 'cell')} of {called} above 90"
                hint = "write 90 for every age of 90 and over"
                faults.append(fault("identifier_age", said, [int(r) for (r,) in rows], hint=hint))
        if kind in ("text", "word") and column not in LONG_TEXT:
            faults += [
                fault(f"identifier_{rule}", f"{called} {what}", [])
                for rule, what in _whole_column(connection, relation, cell)
            ]
    return faults


def _whole_column(
    connection: duckdb.DuckDBPyConnection, relation: str, cell: str
) -> list[tuple[str, str]]:
    """Return what is wrong with a column of text as a whole."""
    row = connection.execute(
        f"""SELECT count(*), count(DISTINCT cell), avg(length(cell)),
            avg(len(regexp_split_to_array(cell, '\\s+'))),
            count(*) FILTER (TRY_CAST(cell AS DOUBLE) IS NULL)
            FROM (SELECT trim({cell}) AS cell FROM {relation} WHERE {cell} IS NOT NULL)
            WHERE cell <> ''"""
    ).fetchone()
    assert row is not None
    rows, distinct, length, words, not_numbers = row
    if not rows or not not_numbers:
        return []
    found = []
    if words >= MIN_WORDS:
        found.append(("free_text", "holds free text (4 or more words on average)"))
    if rows >= MIN_ROWS and distinct > MAX_DISTINCT * rows and length > MIN_LENGTH:
        found.append(("near_unique", "tells nearly every row apart, as names do"))
    return found


def check_identifiers(
    extract: Extract,
    times: str,
    *,
    waivers: Iterable[tuple[str, str]] = (),
    files: Mapping[str, str] | None = None,
) -> list[Fault]:
    """Look for identifiers in an extract (a reader of canonical files runs `guard` on the text).

    Parameters
    ----------
    extract
        Tables of a reader; numbers, bools and times that were already read are not text.
    times
        What the cohort declares.
    waivers
        (table, column) pairs that the cohort lets pass.
    files
        Table to file name, for the messages.
    """
    import duckdb
    import pandas as pd

    faults: list[Fault] = []
    waivers = tuple(waivers)
    with duckdb.connect() as connection:
        for name, table in extract.tables.items():
            kinds = {column.name: str(column.kind) for column in TABLES[name].columns}
            columns = {
                column: kinds.get(column, "text")
                for column in table.columns
                if table[column].dtype == object or column == "age_years"
            }
            numbered = table[list(columns)].assign(
                data_row=table.index
                if table.index.name == "data_row"
                else pd.RangeIndex(1, len(table) + 1)
            )
            connection.register("guarded", numbered)
            faults += guard(
                connection,
                "guarded",
                name,
                columns,
                times=times,
                waivers=waivers,
                file=(files or {}).get(name, ""),
            )
            connection.unregister("guarded")
    return faults
