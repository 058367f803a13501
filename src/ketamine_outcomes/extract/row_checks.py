"""What the rows of one table must hold: words, numbers, required cells, order of times, keys."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ketamine_outcomes.extract.cleaner import Cleaner, day_resolved
from ketamine_outcomes.extract.tables import DEFAULT_WORDS, TABLES, Column

if TYPE_CHECKING:
    import pandas as pd

#: Tables in which a key stands for one thing that other rows point to: it may not collide.
KEYED = ("patients", "stays", "doses", "infusion_sites")
#: Ids that are made up from the data row number when they are not given.
MADE_UP = (("stays", "stay_id"), ("doses", "dose_id"))
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


def mark_doses(c: Cleaner) -> None:
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


def make_up_ids(c: Cleaner, name: str) -> None:
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


def check_words(c: Cleaner, name: str) -> None:
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


def check_numbers(c: Cleaner, name: str) -> None:
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


def check_required(c: Cleaner, name: str) -> None:
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


def check_end(c: Cleaner, name: str) -> None:
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


def check_keys(c: Cleaner, name: str) -> None:
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
