"""What an extract must hold before anything is computed from it, whatever source it came from.

Three severities. An *error* ends the run: the tables cannot be read as they were declared. A
*warning* is a cell or a row that cannot be used: the cell becomes missing, or the row is set
aside, and both are counted. A *note* says what was ignored or assumed. Nothing said here holds a
cell of the data: counts, data row numbers (1 = first after the header) and column names only.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from ketamine_outcomes.extract.cleaner import Cleaner
from ketamine_outcomes.extract.faults import Fault, counted
from ketamine_outcomes.extract.row_checks import (
    check_end,
    check_keys,
    check_numbers,
    check_required,
    check_words,
    make_up_ids,
    mark_doses,
)
from ketamine_outcomes.extract.table_checks import (
    check_deaths,
    check_future,
    check_ids,
    check_origin,
)
from ketamine_outcomes.extract.tables import Extract

if TYPE_CHECKING:
    import pandas as pd

#: Rules that set a row aside, and so count towards `max_bad_rows`.
SET_ASIDE = frozenset(
    {
        "required_blank",
        "required_unreadable",
        "required_date_only",
        "required_unknown_word",
        "required_out_of_range",
        "unknown_word_row",
        "end_before_start",
        "conflicting_rows",
        "unknown_site_episode",
        "future_time",
    }
)


def check(extract: Extract, max_bad_rows: float = 0.05, **known: Any) -> list[Fault]:
    """Return what is wrong with an extract (arguments as for `clean`)."""
    return clean(extract, max_bad_rows, **known)[1]


def clean(
    extract: Extract,
    max_bad_rows: float = 0.05,
    *,
    times: str = "shifted",
    files: Mapping[str, str] | None = None,
    earlier: Sequence[Fault] = (),
    today: datetime | None = None,
) -> tuple[Extract, list[Fault]]:
    """Check an extract and leave out what cannot be used.

    Parameters
    ----------
    extract
        Tables of any reader. If the index of a table is called `data_row`, it holds the row
        numbers to print; else the position counts.
    max_bad_rows
        Share of the rows of one table (0 to 1) that may be set aside before it is an error.
    times
        What the cohort declares; only `actual` times can lie in the future.
    files
        Table to file name, for the messages.
    earlier
        Faults of the reader: rows that it set aside count as well.
    today
        The moment after which an actual time is in the future (default: now).

    Returns
    -------
    Extract
        New tables with a plain index; the ones given are not changed.
    list of Fault
        What was found here, without `earlier`.
    """
    c = Cleaner({n: _numbered(t) for n, t in extract.tables.items()}, dict(files or {}))
    sizes = {name: len(table) for name, table in c.tables.items()}
    if "patients" not in c.tables:
        c.faults.append(
            Fault(
                "error",
                "no_patients",
                "patients",
                message="there is no table of patients",
                hint="add patients.csv: one row per patient, at least patient_id",
            )
        )
    mark_doses(c)
    for name in c.tables:
        make_up_ids(c, name)
        check_words(c, name)
        check_numbers(c, name)
        check_required(c, name)
        check_end(c, name)
        check_keys(c, name)
    check_ids(c)
    if times == "actual":
        check_future(c, today or datetime.now())
    check_origin(c)
    check_deaths(c)
    _check_limit(c, sizes, earlier, max_bad_rows)
    cleaned = {name: table.reset_index(drop=True) for name, table in c.tables.items()}
    return Extract(cleaned, list(extract.notes)), c.faults


def _numbered(table: pd.DataFrame) -> pd.DataFrame:
    import pandas as pd

    if table.index.name == "data_row":
        return table
    return table.set_axis(pd.RangeIndex(1, len(table) + 1, name="data_row"), axis=0)


def _check_limit(
    c: Cleaner, sizes: Mapping[str, int], earlier: Sequence[Fault], max_bad_rows: float
) -> None:
    lost = Counter[str]()
    before = Counter[str]()
    for fault in earlier:
        before[fault.table] += fault.rows * (fault.rule in SET_ASIDE)
    for fault in c.faults:
        lost[fault.table] += fault.rows * (fault.rule in SET_ASIDE)
    for name, size in sizes.items():
        if name == "doses":  # judged once it is known which feed counts: step exposure
            continue
        bad, total = lost[name] + before[name], size + before[name]
        if bad > max_bad_rows * total:
            c.faults.append(
                Fault(
                    "error",
                    "too_many_bad_rows",
                    name,
                    c.files.get(name, ""),
                    rows=bad,
                    message=f"{bad} of {counted(total, 'row')} ({bad / total:.1%}) cannot be "
                    f"used; max_bad_rows allows {max_bad_rows:.1%}",
                    hint="the warnings of this table say why; mend the source, or raise "
                    "max_bad_rows of the cohort",
                )
            )
