"""Reading and writing files: whole or not at all, and the same bytes every time."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd


@contextlib.contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Give a temporary name beside `path`; it takes the place of `path` only on success."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.stem}-", suffix=path.suffix)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        os.chmod(temporary, 0o666 & ~_umask())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """Give an empty temporary folder beside `path`; it takes the place of `path` on success."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name}-"))
    try:
        yield temporary
        os.chmod(temporary, 0o777 & ~_umask())
        if path.exists():
            shutil.rmtree(path)
        os.replace(temporary, path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def write_bytes(path: Path, content: bytes) -> None:
    """Write bytes atomically."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(content)


def write_text(path: Path, content: str) -> None:
    """Write UTF-8 text with LF line ends atomically."""
    write_bytes(path, content.encode("utf-8"))


def write_json(path: Path, content: Any) -> None:
    """Write readable JSON with keys in the order given."""
    write_text(path, json.dumps(content, indent=2, ensure_ascii=False) + "\n")


def read_json(path: Path) -> Any:
    """Read a JSON file."""
    return json.loads(path.read_text(encoding="utf-8"))


def canonical_json(content: Any) -> str:
    """Return JSON with sorted keys and no spaces: equal content, equal text."""
    return json.dumps(
        content, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    )


def sha256_text(content: str) -> str:
    """Return the SHA-256 of UTF-8 text in hex."""
    return hashlib.sha256(content.encode("utf-8")).hexdigest()


def sha256_file(path: Path) -> str:
    """Return the SHA-256 of a file in hex."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def data_files(folder: Path) -> list[Path]:
    """Return the data files below a folder in order: not its licence, notes and checksums."""
    kinds = (".csv", ".csv.gz", ".parquet", ".json")
    return sorted(
        path for path in folder.rglob("*") if path.is_file() and path.name.endswith(kinds)
    )


def write_parquet(path: Path, table: pd.DataFrame) -> None:
    """Write a private table as Parquet, rows in their order."""
    import duckdb

    with atomic_path(path) as temporary, duckdb.connect() as connection:
        connection.execute("SET threads = 1")
        connection.register("private_table", table)
        # A text column without a single cell is text all the same.
        empty = [c for c in table if table[c].dtype == object and table[c].isna().all()]
        text = ", ".join(f'"{c}"::VARCHAR AS "{c}"' for c in empty)
        columns = f"* REPLACE ({text})" if empty else "*"
        connection.execute(
            f"COPY (SELECT {columns} FROM private_table) TO '{_quoted(temporary)}' (FORMAT parquet)"
        )


def read_parquet(path: Path) -> pd.DataFrame:
    """Read a private table: text as str or None, numbers as float64, times as datetime64[us]."""
    import duckdb

    with duckdb.connect() as connection:
        connection.execute("SET threads = 1")
        return connection.execute("SELECT * FROM read_parquet(?)", [str(path)]).df()


def _quoted(path: Path) -> str:
    return str(path).replace("'", "''")
