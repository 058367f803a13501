"""What an extract must hold before anything is computed from it, whatever source it came from.

Three severities. An *error* ends the run: the tables cannot be read as they were declared. A
*warning* is a cell or a row that cannot be used: the cell becomes missing, or the row is set
aside, and both are counted. A *note* says what was ignored or assumed. Nothing said here holds a
cell of the data: counts, data row numbers (1 = first after the header) and column names only.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

from ketamine_outcomes.extract.faults import Fault, Severity, at_rows, counted
from ketamine_outcomes.extract.tables import DEFAULT_WORDS, TABLES, Column, Extract

if TYPE_CHECKING:
    import pandas as pd

#: Tables in which a key stands for one thing that other rows point to: it may not collide.
KEYED = ("patients", "stays", "doses", "infusion_sites")
#: Ids that are made up from the data row number when they are not given.
MADE_UP = (("stays", "stay_id"), ("doses", "dose_id"))
#: The time that places a row.
PLACED_BY = {
    "doses": "start",
    "pain_scores": "time",
    "infusion_sites": "start",
    "site_events": "time",
    "events": "time",
    "measurements": "time",
}
#: Lowest and highest value of each pain scale and of each grade.
SCORES = {
    "nrs": (0, 10),
    "vas": (0, 100),
    "vrs": (0, 10),
    "cpot": (0, 8),
    "bps": (3, 12),
    "painad": (0, 10),
    "flacc": (0, 10),
}
GRADES = {
    "consequence": (0, 4),
    "ins_phlebitis": (0, 4),
    "ins_infiltration": (0, 4),
    "vip": (0, 5),
    "ctcae": (1, 5),
}
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
    c = _Cleaner({n: _numbered(t) for n, t in extract.tables.items()}, dict(files or {}))
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
    _mark_doses(c)
    for name in c.tables:
        _make_up_ids(c, name)
        _check_words(c, name)
        _check_numbers(c, name)
        _check_required(c, name)
        _check_end(c, name)
        _check_keys(c, name)
    _check_ids(c)
    if times == "actual":
        _check_future(c, today or datetime.now())
    _check_origin(c)
    _check_deaths(c)
    _check_limit(c, sizes, earlier, max_bad_rows)
    cleaned = {name: table.reset_index(drop=True) for name, table in c.tables.items()}
    return Extract(cleaned, list(extract.notes)), c.faults


def _numbered(table: pd.DataFrame) -> pd.DataFrame:
    import pandas as pd

    if table.index.name == "data_row":
        return table
    return table.set_axis(pd.RangeIndex(1, len(table) + 1, name="data_row"), axis=0)


@dataclass
class _Cleaner:
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


def _mark_doses(c: _Cleaner) -> None:
    """Give every dose row a `fault`: none is dropped, the ledger says what became of it."""
    if "doses" not in c.tables:
        return
    table = c.tables["doses"]
    fault = table["fault"] if "fault" in table else table["drug"].mask(table["drug"].notna())
    unknown = table["amount_basis"].notna() & ~table["amount_basis"].isin(
        TABLES["doses"].column("amount_basis").words
    )
    for column, word in (("patient_id", "no_patient"), ("start", "no_start"), ("drug", "no_drug")):
        fault = fault.mask(fault.isna() & table[column].isna(), word)
    fault = fault.mask(fault.isna() & unknown, "unknown_basis").astype("object")
    if fault.isna().all():
        return
    c.tables["doses"] = table.assign(
        fault=fault.mask(fault.isna(), None),
        amount_basis=table["amount_basis"].mask(unknown, "given"),
    )
    message = "{n} unconverted: a word that is not allowed, and missing would mean given"
    hint = "allowed: " + ", ".join(TABLES["doses"].column("amount_basis").words)
    c.report("warning", "unknown_word_row", "doses", unknown, message, "amount_basis", hint)


def _make_up_ids(c: _Cleaner, name: str) -> None:
    for of, column in MADE_UP:
        if of != name:
            continue
        table = c.tables[name]
        blank = table[column].isna()
        message = "{n} without " + column + ": the data row number is taken"
        if c.report("note", "id_made_up", name, blank, message, column):
            # Beside given ids a bare number could be one of them.
            prefix = "" if blank.all() else "row "
            numbers = prefix + table.index.astype(str).to_series(index=table.index)
            c.tables[name] = table.assign(**{column: table[column].mask(blank, numbers)})


def _check_words(c: _Cleaner, name: str) -> None:
    for column in TABLES[name].columns:
        if column.kind != "word":
            continue
        values = c.tables[name][column.name]
        unknown = values.notna() & ~values.isin(column.words)
        hint, why = "allowed: " + ", ".join(column.words), "a word that is not allowed"
        if column.required:
            c.set_aside(
                "required_unknown_word", name, unknown, f"{why} in {column.name}", column.name, hint
            )
        elif "unknown" in column.words:
            c.replace("unknown_word", name, column.name, unknown, why, "unknown", hint)
        elif (name, column.name) in DEFAULT_WORDS:
            # Missing would be read as the default, which may be the opposite of what was meant:
            # an event that was ruled out would become present.
            c.set_aside(
                "unknown_word_row",
                name,
                unknown,
                f"{why} in {column.name}, and missing would mean "
                f"{DEFAULT_WORDS[name, column.name]}",
                column.name,
                hint,
            )
        else:
            c.replace("unknown_word", name, column.name, unknown, why, None, hint)


def _check_numbers(c: _Cleaner, name: str) -> None:
    for column in TABLES[name].columns:
        if column.kind == "number":
            low, high = _limits(c.tables[name], name, column)
            values = c.tables[name][column.name]
            outside = (values < low) | (values > high)
            hint = f"unit: {column.unit}" if column.unit else ""
            if column.required:
                c.set_aside(
                    "required_out_of_range",
                    name,
                    outside,
                    f"{column.name} outside the range that it can have",
                    column.name,
                    hint,
                )
            else:
                c.replace(
                    "out_of_range",
                    name,
                    column.name,
                    outside,
                    "outside the range that it can have",
                    hint=hint,
                )


def _limits(table: pd.DataFrame, name: str, column: Column) -> tuple[pd.Series, pd.Series]:
    """Return the lowest and highest possible value of each row."""
    import pandas as pd

    inf = float("inf")
    low = -inf if column.minimum is None else column.minimum
    high = inf if column.maximum is None else column.maximum
    by_scale = {("pain_scores", "score"): SCORES, ("site_events", "grade"): GRADES}
    known = by_scale.get((name, column.name), {})
    bounds = [
        pd.to_numeric(table["scale"].map({s: pair[k] for s, pair in known.items()})).fillna(default)
        if known
        else pd.Series(default, index=table.index)
        for k, default in enumerate((low, high))
    ]
    return bounds[0], bounds[1]


def _check_required(c: _Cleaner, name: str) -> None:
    for column in () if name == "doses" else TABLES[name].required:
        table = c.tables[name]
        blank = table[column].isna()
        if (name, column) == ("pain_scores", "score"):
            c.replace(
                "score_not_scored",
                name,
                column,
                ~blank & table["state"].ne("scored"),
                "a score although the patient was not scored",
            )
            blank &= table["state"].eq("scored")
        c.set_aside("required_blank", name, blank, f"{column} is blank", column)


def _check_end(c: _Cleaner, name: str) -> None:
    table = c.tables[name]
    if "end" not in TABLES[name].names:
        return
    reversed_ = table["end"] < table["start"]
    if name == "doses":  # the ledger gives such rows their reason: no dose is lost unseen
        c.report(
            "warning",
            "dose_end_before_start",
            name,
            reversed_,
            "{n} with end before start: see the ledger",
            "end",
        )
    else:
        c.set_aside("end_before_start", name, reversed_, "end is before start", "end")


def _check_keys(c: _Cleaner, name: str) -> None:
    table, key = c.tables[name], list(TABLES[name].key)
    alike = table.duplicated(key, keep=False)
    if not alike.any():
        return
    if name in KEYED:
        c.report(
            "error",
            "key_collides",
            name,
            alike,
            f"{{n}} with a {key[0]} that stands twice",
            key[0],
            f"each {key[0]} may stand once",
        )
        return
    again = alike & alike.index.isin(table.index[alike][table[alike].duplicated()])
    if c.report("note", "identical_rows", name, again, "{n} repeated in every cell, counted once"):
        c.tables[name] = table = table[~again]
    if not day_resolved(table):  # several rows of one day are no conflict
        conflict = table.duplicated(key, keep=False)
        c.set_aside(
            "conflicting_rows",
            name,
            conflict,
            "rows of the same " + ", ".join(key) + " that say different things",
        )


def day_resolved(table: pd.DataFrame) -> bool:
    """Return whether more than half of the times of a table are whole days."""
    times = table.select_dtypes("datetime")
    known = int(times.notna().to_numpy().sum())
    days = sum(int((times[c] == times[c].dt.floor("D")).sum()) for c in times)
    return days * 2 > known


def _check_ids(c: _Cleaner) -> None:
    if "patients" in c.tables:
        known = c.tables["patients"]["patient_id"]
        for name, table in c.tables.items():
            c.report(
                "error",
                "unknown_patient",
                name,
                ~table["patient_id"].isin(known) & table["patient_id"].notna(),
                "{n} of patients who are not in the table patients",
                "patient_id",
                "add the patients, or check how the ids are written",
            )
    if "infusion_sites" not in c.tables:
        return
    sites = c.tables["infusion_sites"].drop_duplicates("site_episode_id")
    owner = sites.set_index("site_episode_id")["patient_id"]
    for name in ("site_events", "doses"):
        if name in c.tables:
            table = c.tables[name]
            site, why = table["site_episode_id"], "no such site episode of this patient"
            lost = site.notna() & site.map(owner).ne(table["patient_id"])
            if name == "site_events":
                c.set_aside("unknown_site_episode", name, lost, why, "site_episode_id")
            else:
                c.replace("unknown_site_of_dose", name, "site_episode_id", lost, why)


def _check_future(c: _Cleaner, today: datetime) -> None:
    for name in list(c.tables):
        for column in TABLES[name].columns:
            if column.kind == "time":
                future = c.tables[name][column.name] > today
                if column.required:
                    c.set_aside(
                        "future_time", name, future, f"{column.name} is in the future", column.name
                    )
                else:
                    c.replace("future_cell", name, column.name, future, "in the future")


def _check_origin(c: _Cleaner) -> None:
    """Two tables on different time origins show as records that are in no stay at all."""
    import pandas as pd

    stays = c.tables.get("stays")
    if stays is None or stays.empty:
        return
    spans = stays[["patient_id", "start", "end"]].sort_values("start", kind="stable")
    if day_resolved(stays):
        spans["end"] += pd.Timedelta(days=1)
    spans["end"] = spans.groupby("patient_id")["end"].cummax()
    for name, column in PLACED_BY.items():
        table = c.tables.get(name)
        if table is None:
            continue
        rows = table.loc[table["patient_id"].isin(spans["patient_id"]), ["patient_id", column]]
        rows = rows.rename(columns={column: "at"}).dropna().sort_values("at", kind="stable")
        if rows.empty:
            continue
        days = day_resolved(table)
        opened = spans.assign(start=spans["start"].dt.floor("D")) if days else spans
        placed = pd.merge_asof(rows, opened, left_on="at", right_on="start", by="patient_id")
        inside = (placed["at"] <= placed["end"]).groupby(placed["patient_id"]).any()
        outside = int((~inside).sum())
        if outside * 2 > len(inside):
            c.faults.append(
                Fault(
                    "error",
                    "time_origin",
                    name,
                    c.files.get(name, ""),
                    column,
                    message=f"no time of {outside} of {len(inside)} patients is within their "
                    "stays: the tables seem to count from different origins",
                    hint="give all tables the same time origin, per patient",
                )
            )


def _check_deaths(c: _Cleaner) -> None:
    import pandas as pd

    if "patients" not in c.tables:
        return
    patients = c.tables["patients"].drop_duplicates("patient_id").set_index("patient_id")
    death = patients["death_time"].dropna()
    placed = {**PLACED_BY, "stays": "start"}
    first: pd.Series[Any] = pd.Series(dtype="datetime64[us]")
    for name, column in placed.items():
        if name in c.tables:
            table = c.tables[name]
            c.report(
                "warning",
                "after_death",
                name,
                table[column] > table["patient_id"].map(death).astype("datetime64[us]"),
                "{n} after the death of the patient",
                column,
            )
            starts = table.groupby("patient_id")[column].min().astype("datetime64[us]")
            first = starts if first.empty else pd.concat([first, starts]).groupby(level=0).min()
    whose = c.tables["patients"]["patient_id"]
    never = whose.map(first).astype("datetime64[us]") > whose.map(death).astype("datetime64[us]")
    c.report(
        "warning",
        "death_before_first_record",
        "patients",
        never,
        "{n} with death before the first record",
        "death_time",
    )
    if "stays" in c.tables:
        stays = c.tables["stays"]
        died = stays["end_reason"].eq("died") & ~stays["patient_id"].isin(death.index)
        c.report(
            "warning",
            "death_without_time",
            "stays",
            died,
            "{n} that ended in death although patients has no death_time",
            "end_reason",
            "death_time is believed where both are given",
        )


def _check_limit(
    c: _Cleaner, sizes: Mapping[str, int], earlier: Sequence[Fault], max_bad_rows: float
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


def intake(extract: Extract, faults: Sequence[Fault], *, study: str = "") -> dict[str, Any]:
    """Return the object that `check --json` prints and intake.json holds."""
    return {
        "study": study,
        "exit": 2 if any(fault.severity == "error" for fault in faults) else 0,
        "faults": [fault.to_json() for fault in faults],
        "tables": {
            name: {"rows": len(table), "patients": int(table["patient_id"].nunique())}
            for name, table in extract.tables.items()
        },
        "questions": [
            {"id": name, "answerable": not why, "n_patients": 0 if why else n, "why": why}
            for name, (n, why) in _questions(extract).items()
        ],
    }


def _questions(extract: Extract) -> dict[str, tuple[int, str]]:
    """Return how many patients each question has, and why it cannot be answered (or empty)."""
    t = {name: extract.rows(name) for name in TABLES}
    scored = t["pain_scores"].loc[t["pain_scores"]["score"].notna(), "patient_id"]
    kidneys = t["patients"].loc[~t["patients"]["dialysis"].isin(["unknown", None]), "patient_id"]
    has = {
        "doses": t["doses"]["patient_id"],
        "pain_scores": scored,
        "infusion_sites": t["infusion_sites"]["patient_id"],
    }
    dosed, hurting, lines = (int(ids.nunique()) for ids in has.values())
    absent = {
        name: f"no table {name}: unknown"
        if name not in extract.tables
        else f"the table {name} holds nothing to analyse"
        for name in TABLES
    }
    observed = t["stays"] if len(t["stays"]) else t["patients"]
    safety = int(observed["patient_id"].nunique()) if "events" in extract.tables else 0
    outcome = {*has["doses"], *scored}
    return {
        "mme": (dosed, "" if dosed else absent["doses"]),
        "pain": (hurting, "" if hurting else absent["pain_scores"]),
        "sites": (
            lines,
            absent["infusion_sites"]
            if not lines
            else ""
            if "site_events" in extract.tables
            else absent["site_events"],
        ),
        "safety": (safety, "" if safety else absent["events"]),
        "subgroups": (
            len(outcome & {*has["doses"], *kidneys}),
            ""
            if outcome & {*has["doses"], *kidneys}
            else "neither doses nor dialysis, or no outcome, of any patient",
        ),
    }
