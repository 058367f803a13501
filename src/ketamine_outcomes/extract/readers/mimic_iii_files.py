"""Files of a MIMIC-III release as text."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import duckdb
import pandas as pd

from ketamine_outcomes.errors import UserError


def find(folder: Path, name: str) -> Path | None:
    """Return the file of a table, plain or compressed, whatever its case."""
    wanted = (f"{name}.csv", f"{name}.csv.gz")
    return next((p for p in sorted(folder.glob("*")) if p.name.lower() in wanted), None)


def chart_name(folder: Path) -> str:
    """Return the name of the charting table: the demo ships a selection of it."""
    names = ("chartevents", "chartevents_selected")
    return next((name for name in names if find(folder, name)), "")


def read_rows(
    folder: Path, name: str, *, required: bool = False, where_items: tuple[str, ...] = ()
) -> pd.DataFrame:
    """Return a file as text with lower-case headers; empty cells are None, words are kept.

    DuckDB reads it, for the full chartevents has 330 million rows and only some items matter.
    """
    path = find(folder, name)
    if path is None:
        raise UserError(
            f"{name}.csv.gz is missing",
            where=str(folder),
            do="put the files of the MIMIC-III release into this folder",
        )
    where = f" WHERE itemid IN ({','.join(map(str, where_items))})" if where_items else ""
    # the dialect is given: a sniffed one misses quotes that first appear far down the file
    query = (
        "SELECT * FROM read_csv(?, auto_detect = true, all_varchar = true, header = true, "
        "nullstr = '', delim = ',', quote = '\"', escape = '\"')"
    )
    with duckdb.connect() as connection:
        connection.execute("SET threads = 1")
        table = connection.execute(query + where, [str(path)]).df()
    cells: dict[str, Any] = {str(name).lower(): text for name, text in table.items()}
    return pd.DataFrame(
        {name: text.astype("object").where(text.notna(), None) for name, text in cells.items()}
    )
