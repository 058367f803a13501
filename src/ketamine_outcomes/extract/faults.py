"""One thing found in an extract, and how it is said: counts, places and names, never a cell."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from ketamine_outcomes.errors import UserError, UserErrors

if TYPE_CHECKING:
    import pandas as pd

Severity = Literal["error", "warning", "note"]
SHOWN = 5  # row numbers in a message


@dataclass(frozen=True)
class Fault:
    """One thing found in an extract; the JSON object that `check` prints."""

    severity: Severity
    rule: str
    table: str = ""
    file: str = ""
    column: str = ""
    rows: int = 0
    first_rows: tuple[int, ...] = ()
    message: str = ""
    hint: str = ""

    def to_json(self) -> dict[str, Any]:
        """Return the fault as a JSON object with its keys in the order of the contract."""
        return {**vars(self), "first_rows": list(self.first_rows)}

    def to_error(self) -> UserError:
        """Return the fault as a mistake to show: two lines, what and where, then what to do."""
        where = self.file or self.table
        if self.column:
            where += f", column {self.column}"
        if self.first_rows:
            numbers = ", ".join(str(row) for row in self.first_rows)
            more = self.rows - len(self.first_rows)
            where += f", data row{'s' * (self.rows > 1)} {numbers}"
            where += f" and {more} more" if more > 0 else ""
        return UserError(self.message, where=where, do=self.hint)


def raise_errors(faults: Iterable[Fault]) -> None:
    """Raise all errors among `faults` together.

    Raises
    ------
    UserErrors
        There is at least one error.
    """
    errors = [fault.to_error() for fault in faults if fault.severity == "error"]
    if errors:
        heading = f"the extract cannot be used as it is ({counted(len(errors), 'error')})"
        raise UserErrors(errors, heading=heading)


def counted(n: int, thing: str) -> str:
    """Return `1 row`, `2 rows`."""
    return f"{n} {thing}" if n == 1 else f"{n} {thing}s"


def printable(name: str) -> str:
    """Return a column name that looks like a name, else an empty string.

    The header of a file without a header is its first patient, so long digits are no name.

    >>> printable("site_code"), printable("p10006532"), printable("a@b.org")
    ('site_code', '', '')
    """
    named = re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]{0,39}", name) and not re.search(r"\d{4}", name)
    return name if named else ""


def at_rows(mask: pd.Series[bool]) -> dict[str, Any]:
    """Return `rows` and `first_rows` of a fault; the index of `mask` holds data row numbers."""
    found = mask.index[mask.to_numpy(dtype=bool)]
    return {"rows": len(found), "first_rows": tuple(int(row) for row in found[:SHOWN])}
