"""The tables of an extract as far as they are clean, and what was found in them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ketamine_outcomes.extract.faults import Fault, Severity, at_rows, counted

if TYPE_CHECKING:
    import pandas as pd


@dataclass
class Cleaner:
    """The tables as far as they are clean, and what was found."""

    tables: dict[str, pd.DataFrame]
    files: dict[str, str]
    faults: list[Fault] = field(default_factory=list)

    def report(
        self,
        severity: Severity,
        rule: str,
        name: str,
        mask: pd.Series[bool],
        message: str,
        column: str = "",
        hint: str = "",
    ) -> bool:
        """Add a fault if any row is meant; `{n}` in the message is the number of rows."""
        at = at_rows(mask)
        if not at["rows"]:
            return False
        message = message.format(n=counted(at["rows"], "row"))
        self.faults.append(
            Fault(
                severity,
                rule,
                name,
                self.files.get(name, ""),
                column,
                **at,
                message=message,
                hint=hint,
            )
        )
        return True

    def set_aside(
        self,
        rule: str,
        name: str,
        mask: pd.Series[bool],
        why: str,
        column: str = "",
        hint: str = "",
    ) -> None:
        """Drop the rows and say so."""
        if self.report("warning", rule, name, mask, "{n} set aside: " + why, column, hint):
            self.tables[name] = self.tables[name][~mask]

    def replace(
        self,
        rule: str,
        name: str,
        column: str,
        mask: pd.Series[bool],
        why: str,
        value: Any = None,
        hint: str = "",
    ) -> None:
        """Make the cells of a column missing, or `value`, and say so."""
        became = f"{column} taken as {value}" if value else f"{column} taken as missing"
        if self.report("warning", rule, name, mask, f"{{n}}: {why}; {became}", column, hint):
            table = self.tables[name]
            self.tables[name] = table.assign(**{column: table[column].mask(mask, value)})


def day_resolved(table: pd.DataFrame) -> bool:
    """Return whether more than half of the times of a table are whole days."""
    times = table.select_dtypes("datetime")
    known = int(times.notna().to_numpy().sum())
    days = sum(int((times[c] == times[c].dt.floor("D")).sum()) for c in times)
    return days * 2 > known
