"""The split between a user's mistake and a bug.

A `UserError` is shown without a traceback, at most eight lines, and ends the command with
exit code 2. Every other exception is a bug: full traceback, exit code 1. A message names the
place (file, line, table, column, row numbers) and what to do, and never a cell of the data.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class UserError(Exception):
    """A mistake that the user can mend.

    Parameters
    ----------
    what
        What is wrong, one sentence.
    where
        File and line, or table, column and row numbers.
    do
        What to do about it.
    """

    exit_code = 2

    def __init__(self, what: str, *, where: str = "", do: str = "") -> None:
        super().__init__(what)
        self.what, self.where, self.do = what, where, do

    def __str__(self) -> str:
        lines = [f"{self.where}: {self.what}" if self.where else self.what]
        if self.do:
            lines.append(f"  -> {self.do}")
        return "\n".join(lines)


class UserErrors(UserError):
    """Several mistakes found together, shown together."""

    def __init__(self, faults: Iterable[UserError], *, heading: str) -> None:
        self.faults = list(faults)
        super().__init__(heading)

    def __str__(self) -> str:
        return "\n".join([self.what, *(str(fault) for fault in self.faults)])


def did_you_mean(word: str, allowed: Iterable[str]) -> str:
    """Return `, did you mean X?` when a near word is allowed, else an empty string."""
    near = difflib.get_close_matches(word, list(allowed), n=1, cutoff=0.6)
    return f", did you mean {near[0]!r}?" if near else ""
