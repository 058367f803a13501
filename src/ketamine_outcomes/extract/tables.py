"""The eight tables of an extract: the single source of their columns, words, units and meaning.

The checks, the data dictionary, the Table Schema, the templates and the simulator are made
from what stands here. Absence has three states: given, confirmed none (observed, nothing
recorded) and unknown (not observed). An absent table is unknown; an empty one is known to be
empty. A zero never stands for unknown.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from ketamine_outcomes import files

if TYPE_CHECKING:
    import pandas as pd

Kind = Literal["id", "text", "word", "number", "bool", "time"]


@dataclass(frozen=True)
class Column:
    """One column: its kind, whether it must be there, and what it means."""

    name: str
    kind: Kind
    meaning: str
    required: bool = False
    words: tuple[str, ...] = ()
    unit: str = ""
    minimum: float | None = None
    maximum: float | None = None


@dataclass(frozen=True)
class Table:
    """One table: its key and its columns in order."""

    name: str
    key: tuple[str, ...]
    meaning: str
    columns: tuple[Column, ...]

    def column(self, name: str) -> Column:
        """Return the column called `name` (KeyError if there is none)."""
        for column in self.columns:
            if column.name == name:
                return column
        raise KeyError(name)

    @property
    def names(self) -> tuple[str, ...]:
        """Column names in order."""
        return tuple(column.name for column in self.columns)

    @property
    def required(self) -> tuple[str, ...]:
        """Names of the columns that must be there."""
        return tuple(column.name for column in self.columns if column.required)


def _id(name: str, meaning: str, required: bool = False) -> Column:
    return Column(name, "id", meaning, required)


def _text(name: str, meaning: str, required: bool = False) -> Column:
    return Column(name, "text", meaning, required)


def _word(name: str, meaning: str, words: str, required: bool = False) -> Column:
    return Column(name, "word", meaning, required, tuple(words.split()))


def _time(name: str, meaning: str, required: bool = False) -> Column:
    return Column(name, "time", meaning, required)


def _bool(name: str, meaning: str) -> Column:
    return Column(name, "bool", meaning)


def _number(
    name: str,
    meaning: str,
    unit: str = "",
    required: bool = False,
    minimum: float | None = None,
    maximum: float | None = None,
) -> Column:
    return Column(name, "number", meaning, required, (), unit, minimum, maximum)


_PATIENT = _id("patient_id", "pseudonym of the patient", required=True)

PATIENTS = Table(
    "patients",
    ("patient_id",),
    "one row per patient",
    (
        _PATIENT,
        _id("centre_id", "hospital or unit of the patient"),
        _time("entry_time", "when the registry began to observe the patient (left truncation)"),
        _number("age_years", "age; 90 stands for 90 and over", "years", minimum=0, maximum=90),
        _word("sex", "sex", "female male other unknown"),
        _number("weight_kg", "weight on entry", "kg", minimum=1, maximum=500),
        _word("dialysis", "dialysis at entry", "none hemodialysis peritoneal crrt unknown"),
        _bool("calciphylaxis", "calciphylaxis diagnosed"),
        _time(
            "death_time", "time of death (of a date alone, the end of that day); empty while alive"
        ),
    ),
)

STAYS = Table(
    "stays",
    ("stay_id",),
    "intervals in which records of a domain were kept; hours outside them are unknown",
    (
        _PATIENT,
        _id("stay_id", "the stay"),
        _time("start", "start of observation", required=True),
        _time("end", "end of observation", required=True),
        _word(
            "observes",
            "what was recorded in these hours (default all)",
            "all doses pain_scores infusion_sites",
        ),
        _word("end_reason", "why it ended", "discharged died hospice transferred censored"),
    ),
)

ROUTES = (
    "oral rectal buccal sublingual nasal transdermal iv im sc epidural intrathecal other unknown"
)
#: How charts spell the routes of doses; a tube into the stomach is oral.
ROUTE_SPELLINGS = {
    **dict.fromkeys(
        ("po", "by mouth", "per os", "ng", "og", "peg", "pej", "nj", "ng tube", "og tube",
         "peg tube", "g-tube", "g tube", "gt", "j-tube", "nasogastric", "orogastric", "enteral",
         "feeding tube"), "oral"
    ),
    **dict.fromkeys(("ivp", "ivpb", "iv push", "iv drip", "iv bolus", "iv infusion",
                     "intravenous"), "iv"),
    **dict.fromkeys(("intramuscular",), "im"),
    **dict.fromkeys(("subq", "subcut", "subcutaneous", "sq", "s.c.", "sub-q", "csci"), "sc"),
    **dict.fromkeys(("sl",), "sublingual"),
    **dict.fromkeys(("pr",), "rectal"),
    **dict.fromkeys(("td", "transderm", "topical patch"), "transdermal"),
    **dict.fromkeys(("intranasal", "in"), "nasal"),
    **dict.fromkeys(("ep", "peridural"), "epidural"),
    **dict.fromkeys(("it", "spinal"), "intrathecal"),
}  # fmt: skip
FORMS = (
    "tablet tablet_er capsule capsule_er solution lozenge film spray suppository injection "
    "infusion patch pca_reading pca_demand pca_basal pca_loading unknown"
)
STATUSES = (
    "given partial started rate_change new_bag verified bolus_from_bag delivered stopped applied "
    "removed attempt wasted not_given held refused missed unknown"
)

DOSES = Table(
    "doses",
    ("dose_id",),
    "one row per charted dose, rate or status; a dose is amount + unit or rate + unit",
    (
        _PATIENT,
        _id("dose_id", "the row"),
        _id("order_id", "the order"),
        _id("infusion_id", "the infusion (rows of one pump)"),
        _text("drug", "drug name as charted", required=True),
        _text("product", "product as charted"),
        _word("route", "route as charted", ROUTES),
        _word("form", "pharmaceutical form", FORMS),
        _time("start", "when it was given or began", required=True),
        _time("end", "when it ended"),
        _number("amount", "amount", "amount_unit"),
        _text("amount_unit", "unit of amount"),
        _word(
            "amount_basis",
            "what amount counts (default given)",
            "given dispensed ordered",
        ),
        _number("wasted", "part of a dispensed amount that was wasted", "amount_unit", minimum=0),
        _number("rate", "rate; for patches the label rate", "rate_unit"),
        _text("rate_unit", "unit of rate"),
        _number("concentration", "concentration", "concentration_unit", minimum=0),
        _text("concentration_unit", "unit of concentration"),
        _text("site", "body site of a patch"),
        _id("site_episode_id", "the line or site it ran through"),
        _word("status", "what happened (default given)", STATUSES),
        _bool("procedural", "given for a procedure"),
        _word("indication", "why it was given", "pain oud other"),
        _text("source", "feed the row comes from"),
    ),
)

PAIN_SCORES = Table(
    "pain_scores",
    ("patient_id", "time", "scale", "context"),
    "one row per assessment of pain",
    (
        _PATIENT,
        _time("time", "when it was assessed", required=True),
        _word(
            "scale",
            "scale (nrs 0-10; vas 0-100 mm)",
            "nrs vas vrs cpot bps painad flacc",
            required=True,
        ),
        Column(
            "score", "number", "score; empty unless scored", True, (), "points of the scale", 0, 100
        ),
        _word("context", "what the patient was doing", "rest movement dressing dialysis"),
        _word("state", "whether it could be scored (default scored)", "scored asleep unassessable"),
    ),
)

INFUSION_SITES = Table(
    "infusion_sites",
    ("site_episode_id",),
    "one row per site episode: one cannula or infusion site from insertion to removal",
    (
        _PATIENT,
        _id("site_episode_id", "the site episode", required=True),
        _word("route", "route", "iv sc", required=True),
        _text("device", "cannula or needle, e.g. 20G"),
        _text("position", "body position"),
        _time("start", "insertion", required=True),
        _time("end", "removal; empty = ends with the stay"),
        _word(
            "end_reason",
            "why it ended",
            "completed resited complication dislodged occluded transferred discharged died unknown",
        ),
        _bool("end_inferred", "the end was not charted but inferred"),
    ),
)

SIGNS = (
    "none erythema swelling pain induration nodule leak bleeding infiltration extravasation "
    "phlebitis occlusion thrombosis infection abscess necrosis ulcer dislodgement pump_failure "
    "other"
)

SITE_EVENTS = Table(
    "site_events",
    ("site_episode_id", "time", "sign", "scale"),
    "one row per inspection or finding at a site; sign none = inspected, nothing found",
    (
        _PATIENT,
        _id("site_episode_id", "the site episode", required=True),
        _time("time", "when it was seen", required=True),
        _word("sign", "what was seen", SIGNS, required=True),
        _number("grade", "grade on `scale`", "scale", minimum=0, maximum=5),
        _word(
            "scale",
            "scale of the grade",
            "consequence ins_phlebitis ins_infiltration vip ctcae",
        ),
        _word("attribution", "what it is put down to", "infusion disease unclear"),
    ),
)

EVENTS = Table(
    "events",
    ("patient_id", "time", "event"),
    "one row per adverse or other clinical event, or its assessed absence",
    (
        _PATIENT,
        _time("time", "when it happened or was assessed", required=True),
        _word(
            "event",
            "the event",
            "hallucination dissociation nightmare delirium sedation respiratory_depression nausea "
            "vomiting hypersalivation hypertension tachycardia liver_injury cystitis seizure fall "
            "dialysis_start dialysis_end debridement amputation nerve_block transplant hospice "
            "sodium_thiosulfate hyperbaric_oxygen other",
            required=True,
        ),
        _word("status", "present or looked for and absent", "present assessed_absent"),
        _number("grade", "CTCAE grade", "grade", minimum=1, maximum=5),
        _word("attribution", "what it is put down to", "ketamine opioid disease other unclear"),
    ),
)

MEASUREMENTS = Table(
    "measurements",
    ("patient_id", "time", "name"),
    "one row per measurement",
    (
        _PATIENT,
        _time("time", "when it was measured", required=True),
        _text("name", "what was measured, e.g. weight_kg, albumin", required=True),
        _number("value", "value", "unit", required=True),
        _text("unit", "unit", required=True),
    ),
)

TABLES: dict[str, Table] = {
    table.name: table
    for table in (
        PATIENTS,
        STAYS,
        DOSES,
        PAIN_SCORES,
        INFUSION_SITES,
        SITE_EVENTS,
        EVENTS,
        MEASUREMENTS,
    )
}

DEFAULT_WORDS = {
    ("stays", "observes"): "all",
    ("doses", "status"): "given",
    ("doses", "amount_basis"): "given",
    ("pain_scores", "state"): "scored",
    ("events", "status"): "present",
}


@dataclass
class Extract:
    """The canonical tables of one cohort.

    Attributes
    ----------
    tables
        Name to rows; a table that the source does not have is not in it. Every table has all
        columns of its schema in order (then declared extra ones): ids, text and words as `str`
        or None, numbers float64, bools pandas `boolean`, times datetime64[us].
    notes
        What a reader assumed, dropped or found, as sentences with counts, never with cells.
    """

    tables: dict[str, pd.DataFrame]
    notes: list[str] = field(default_factory=list)

    def save(self, folder: Path) -> None:
        """Write every given table as Parquet into `folder`."""
        folder.mkdir(parents=True, exist_ok=True)
        for name, table in self.tables.items():
            files.write_parquet(folder / f"{name}.parquet", table)

    @classmethod
    def load(cls, folder: Path, names: tuple[str, ...] = tuple(TABLES)) -> Extract:
        """Read the tables `names` that are there (notes are not kept on disk)."""
        found = [name for name in names if (folder / f"{name}.parquet").exists()]
        return cls(
            {name: conform(name, files.read_parquet(folder / f"{name}.parquet")) for name in found}
        )

    def rows(self, name: str) -> pd.DataFrame:
        """Return the table, or one without rows when it is absent."""
        import pandas as pd

        return self.tables[name] if name in self.tables else conform(name, pd.DataFrame())


def conform(name: str, table: pd.DataFrame) -> pd.DataFrame:
    """Give `table` the columns, order and dtypes of the schema; extra columns come last.

    The cells must already be of the right kind: this casts dtypes, it does not parse.
    """
    import pandas as pd

    schema = TABLES[name]
    columns: dict[str, pd.Series] = {}
    for column in schema.columns:
        values = (
            table[column.name]
            if column.name in table
            else pd.Series([None] * len(table), index=table.index, dtype="object")
        )
        if column.kind == "number":
            columns[column.name] = pd.to_numeric(values).astype("float64")
        elif column.kind == "bool":
            columns[column.name] = values.astype("boolean")
        elif column.kind == "time":
            columns[column.name] = pd.to_datetime(values).astype("datetime64[us]")
        else:
            text = values.astype("object")
            columns[column.name] = text.mask(text.isna(), None)
            default = DEFAULT_WORDS.get((name, column.name))
            if default is not None:
                columns[column.name] = columns[column.name].fillna(default)
    extra = {
        # Parquet leaves a column without a single cell no kind: it is text that is missing.
        c: pd.Series([None] * len(table), index=table.index, dtype="object")
        if table[c].isna().all()
        else table[c]
        for c in table.columns
        if c not in schema.names
    }
    return pd.DataFrame({**columns, **extra}, index=table.index).reset_index(drop=True)
