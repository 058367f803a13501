"""The exposure of a cohort: the ledger of its dose rows, and the pieces of time they fill."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from ketamine_outcomes import files
from ketamine_outcomes.exposure import engine, units
from ketamine_outcomes.exposure.charting import UNKNOWN, Assumptions
from ketamine_outcomes.extract.tables import Extract

if TYPE_CHECKING:
    import duckdb

#: Tables that the engine reads.
TABLES = ("doses", "patients", "stays", "measurements")
LEDGER = """
    SELECT dose_id, patient_id, class, reason, drug_resolved, drug_class, route_resolved,
        form_class, stratum, source, flags
    FROM verdicts ORDER BY row
    """
INTERVALS = """
    SELECT dose_id, patient_id, drug, drug_class, route, form, form_class, kind,
        make_timestamp(s) AS start, make_timestamp(e) AS "end", mg, rate_mg_per_h,
        rate_mg_per_kg_h, rate_mcg_per_h, weight_kg, counted, stratum, source, clock, flags
    FROM pieces ORDER BY patient_id, start, "end", dose_id, row
    """


@dataclass(frozen=True)
class Exposure:
    """The classified rows of a cohort.

    Attributes
    ----------
    ledger
        One row per dose row: dose_id, patient_id, class, reason, drug_resolved, drug_class,
        route_resolved, form_class, stratum, source, flags (bits, see `flags.py`).
    intervals
        One row per piece of a dose that counts, or that was given but cannot be counted.
    unmapped
        Distinct unknown drug names and units with their counts, ready to map.
    """

    ledger: pd.DataFrame
    intervals: pd.DataFrame
    unmapped: pd.DataFrame


def classify(extract: Extract, assume: Assumptions, index_drug: str | None = None) -> Exposure:
    """Classify all dose rows of an extract.

    Parameters
    ----------
    extract
        Canonical tables; stays, measurements and patients are used when they are there.
    assume
        What the cohort lets the engine assume.
    index_drug
        An ingredient beyond opioids and ketamine whose intervals are wanted.
    """
    import duckdb

    with duckdb.connect() as connection:
        connection.execute("SET threads = 1")
        there = frozenset(extract.tables) & set(TABLES) | {"doses"}
        for name in there:
            connection.register(name, extract.rows(name))
        found = engine.run(connection, assume, index_drug, tables=frozenset(there))
        return Exposure(
            _plain(connection.execute(LEDGER).df()),
            _plain(connection.execute(INTERVALS).df()),
            unmapped(found.ways),
        )


def classify_files(
    extract: Path, out: Path, assume: Assumptions, index_drug: str | None = None
) -> pd.DataFrame:
    """Classify the dose rows of a saved extract, out of core.

    Writes dose_rows.parquet and intervals.parquet (columns as in `Exposure`) into `out`.

    Returns
    -------
    DataFrame
        The unmapped words.
    """
    import duckdb

    with duckdb.connect() as connection:
        there = {name for name in TABLES if (extract / f"{name}.parquet").exists()}
        for name in there:
            path = str(extract / f"{name}.parquet").replace("'", "''")
            # A row number that the file gives needs no pass of its own.
            connection.execute(
                f"CREATE VIEW {name} AS SELECT * EXCLUDE (file_row_number), file_row_number + 1 "
                f"AS row FROM read_parquet('{path}', file_row_number = true)"
            )
        if "doses" not in there:
            connection.register("doses", Extract({}).rows("doses"))
        found = engine.run(connection, assume, index_drug, tables=frozenset(there | {"doses"}))
        _copy(connection, LEDGER, out / "dose_rows.parquet")
        _copy(connection, INTERVALS, out / "intervals.parquet")
    return unmapped(found.ways)


def _copy(connection: duckdb.DuckDBPyConnection, query: str, path: Path) -> None:
    # One thread writes: the same rows, the same bytes.
    connection.execute("SET threads = 1")
    with files.atomic_path(path) as temporary:
        name = str(temporary).replace("'", "''")
        connection.execute(f"COPY ({query}) TO '{name}' (FORMAT parquet)")


def _plain(table: pd.DataFrame) -> pd.DataFrame:
    """Give text columns str or None: DuckDB leaves an all-missing column without a kind."""
    for name in table.columns:
        if table[name].dtype == "object" or name in ("route_resolved", "form_class", "source"):
            cells = table[name].astype("object")
            table[name] = cells.mask(cells.isna(), None)
    return table


def unmapped(ways: pd.DataFrame, words: Counter[tuple[str, str]] | None = None) -> pd.DataFrame:
    """Return distinct unknown drug names and units of opioids with their rows.

    Parameters
    ----------
    ways
        Ways of charting of an engine run.
    words
        Unknown words of closed vocabularies that the reading found, by column.

    Returns
    -------
    DataFrame
        column (doses.drug, doses.amount_unit, doses.rate_unit), word, rows.
    """
    counts: Counter[tuple[str, str]] = Counter(words or {})
    for way in ways.to_dict("records"):
        drug = way["drug"]
        if drug and (way["drug_class"] is None or way["ingredient"] == UNKNOWN):
            counts["doses.drug", drug] += way["n"]
        if way["drug_class"] != "opioid":
            continue
        for column in ("amount_unit", "rate_unit", "concentration_unit"):
            if way[column] and units.find(way[column]) is None:
                counts[f"doses.{column}", way[column]] += way["n"]
    rows = sorted(counts.items(), key=lambda item: (item[0][0], -item[1], item[0][1]))
    return pd.DataFrame(
        {
            "column": pd.Series([key[0] for key, _ in rows], dtype="object"),
            "word": pd.Series([key[1] for key, _ in rows], dtype="object"),
            "rows": pd.Series([n for _, n in rows], dtype="int64"),
        }
    )
