"""Every dose row ends in exactly one class with a reason: the ledger, and the intervals that count.

The order of the classes is that of the contract: non_opioid, excluded:status, marker,
excluded:outside_stay, duplicate, excluded, unconverted, converted. Intervals are drug masses;
factors come later (`outcomes/opioid.py`), so that another factor set is a join.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from ketamine_outcomes import intervals
from ketamine_outcomes.exposure import factors, rows, timeline
from ketamine_outcomes.exposure.rows import Assumptions
from ketamine_outcomes.extract.tables import Extract

#: What `_row` reads of a described row.
ROW_COLUMNS = (
    "patient_id", "dose_id", "order_id", "infusion_id", "start", "end", "amount", "amount_unit",
    "amount_basis", "rate", "rate_unit", "site", "status", "procedural", "indication", "source",
    "drug_resolved", "drug_class", "route_resolved", "route_assumed", "form", "amount_mg",
    "rate_mg_per_h", "rate_mcg_per_h", "rate_mg_per_kg_h", "has_amount", "fault",
)  # fmt: skip
#: Ingredient of a name that is not in the dictionary.
UNKNOWN = "unknown"
NEURAXIAL = frozenset(("epidural", "intrathecal"))
INTERVAL_COLUMNS = (
    "dose_id", "patient_id", "drug", "drug_class", "route", "form", "form_class", "kind",
    "start", "end", "mg", "rate_mg_per_h", "rate_mg_per_kg_h", "rate_mcg_per_h", "counted",
    "source", "flags",
)  # fmt: skip


@dataclass(frozen=True)
class Exposure:
    """The classified rows of a cohort.

    Attributes
    ----------
    ledger
        One row per dose row: dose_id, patient_id, class, reason, drug_resolved, route_resolved,
        form_class, flags.
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
    described = rows.describe(
        extract.rows("doses"), extract.rows("patients"), extract.rows("measurements"), assume
    )
    described["unknown_name"] = described["drug_class"].isna()
    if assume.unknown_is_opioid:
        # Where the table holds opioids only, a name that is not in the dictionary is an opioid
        # that was given and cannot be counted.
        described.loc[described["unknown_name"], ["drug_resolved", "drug_class"]] = [
            UNKNOWN,
            "opioid",
        ]
    wanted = described["drug_class"].isin(["opioid", "ketamine"])
    if index_drug is not None:
        wanted |= described["drug_resolved"].eq(index_drug)
    described["class"], described["reason"], described["flags"] = "", "", ""
    _class_bystanders(described, wanted)
    stays = _stays(extract) if assume.stays_complete else None
    deaths = intervals_of(extract.rows("patients").set_index("patient_id")["death_time"])
    pieces: list[dict[str, Any]] = []
    members: dict[tuple[str, str], list[tuple[Any, timeline.Row]]] = {}
    needed = described.loc[wanted, list(ROW_COLUMNS)]
    for at, record in zip(needed.index, needed.to_dict("records"), strict=True):
        key = (record["patient_id"], record["drug_resolved"])
        members.setdefault(key, []).append(
            (at, _row({str(name): cell for name, cell in record.items()}))
        )
    decided: dict[Any, tuple[str, str, str]] = {}
    for (patient, _drug), group in sorted(members.items()):
        built = timeline.build(
            [row for _, row in group],
            None if stays is None else stays.get(patient, []),
            deaths.get(patient),
            assume.feed_priority,
        )
        place = {row.dose_id: at for at, row in group}
        pieces += [{"row": place[piece.dose_id], **vars(piece)} for piece in built]
        for at, row in group:
            decided[at] = (row.row_class, row.reason, ";".join(sorted(row.flags)))
    if decided:
        described.loc[list(decided), ["class", "reason", "flags"]] = list(decided.values())
    table = _interval_table(pieces, described)
    opioid = described["drug_class"].eq("opioid")
    bystander = wanted & ~opioid
    described.loc[bystander, "reason"] = described.loc[bystander, "drug_class"]
    described.loc[bystander, "class"] = "non_opioid"
    described["form_class"] = _form_classes(described)
    ledger = described[
        ["dose_id", "patient_id", "class", "reason", "drug_resolved", "route_resolved",
         "form_class", "source", "flags"]
    ]  # fmt: skip
    return Exposure(ledger.reset_index(drop=True), table, _unmapped(described))


def intervals_of(times: pd.Series) -> dict[str, int]:
    """Return known times as microseconds by the index of the series."""
    known = times.dropna()
    return dict(zip(known.index.astype(str), intervals.microseconds(known).tolist(), strict=True))


def _class_bystanders(described: pd.DataFrame, wanted: pd.Series) -> None:
    unknown = described["drug_class"].isna()
    rest = ~wanted & ~unknown
    described.loc[rest, "class"] = "non_opioid"
    described.loc[rest, "reason"] = described.loc[rest, "drug_class"]
    described.loc[described["drug_class"].eq("antagonist"), "flags"] = "antagonist"
    described.loc[unknown, ["class", "reason"]] = ["non_opioid", "not_in_dictionary"]


def _row(record: dict[str, Any]) -> timeline.Row:
    def number(name: str) -> float | None:
        value = record[name]
        return None if value is None or np.isnan(value) else float(value)

    def word(name: str) -> str | None:
        value = record[name]
        return value if isinstance(value, str) else None

    def moment(name: str) -> int | None:
        value = record[name]
        return None if pd.isna(value) else int(np.datetime64(value, "us").astype(np.int64))

    start = moment("start")
    assert start is not None
    row = timeline.Row(
        dose_id=record["dose_id"],
        drug=record["drug_resolved"],
        route=word("route_resolved"),
        form=record["form"],
        status=record["status"],
        start=start,
        end=moment("end"),
        amount_mg=number("amount_mg") if record["has_amount"] else None,
        rate_mg_per_h=number("rate_mg_per_h"),
        rate_mcg_per_h=number("rate_mcg_per_h"),
        rate_mg_per_kg_h=number("rate_mg_per_kg_h"),
        fault=record["fault"],
        source=word("source") or "",
        site=word("site"),
        infusion=word("infusion_id") or word("order_id") or "",
    )
    row.clinical_key = tuple(
        str(record[name])
        for name in ("drug_resolved", "route_resolved", "form", "status", "start", "end",
                     "amount", "amount_unit", "rate", "rate_unit", "order_id")
    )  # fmt: skip
    if record["route_assumed"]:
        row.flags.add("route_assumed")
    if row.status in rows.NOT_GIVEN:
        row.row_class, row.reason = "excluded", "status"
    elif row.status == "unknown":
        row.fault = "unknown_status"
    row.excluded = _exclusion(record, row)
    if row.excluded == "neuraxial":
        row.flags.add("neuraxial_excluded")
    if row.excluded == "ultrashort":
        row.flags.add("intraop_ultrashort_excluded")
    elif row.drug == UNKNOWN:
        row.fault = "unknown_drug"
    if row.route is None and not row.fault:
        row.fault = "no_route"
    # A per-kg rate without a weight is no mass, but the profile in mg/kg/h is known.
    if record["drug_class"] == "ketamine" and row.fault == "no_weight":
        row.fault = ""
    return row


def _exclusion(record: dict[str, Any], row: timeline.Row) -> str:
    if record["drug_class"] != "opioid":
        return ""
    if row.drug == "buprenorphine":
        return "buprenorphine"
    if row.route in NEURAXIAL:
        return "neuraxial"
    if row.drug == "remifentanil":
        return "ultrashort"
    if record["procedural"] is True:
        return "procedural"
    if record["indication"] == "oud":
        return "oud"
    return "ordered" if record["amount_basis"] == "ordered" else ""


def _stays(extract: Extract) -> dict[str, list[timeline.Stay]] | None:
    if "stays" not in extract.tables:
        return None
    table = extract.tables["stays"]
    found: dict[str, list[timeline.Stay]] = {}
    for patient, start, end, reason in zip(
        table["patient_id"],
        intervals.microseconds(table["start"]),
        intervals.microseconds(table["end"]),
        table["end_reason"],
        strict=True,
    ):
        found.setdefault(patient, []).append(timeline.Stay(int(start), int(end), reason or ""))
    return found


def _form_classes(described: pd.DataFrame) -> pd.Series:
    return pd.Series(
        [
            factors.form_class(route, form, rate) if isinstance(route, str) else None
            for route, form, rate in zip(
                described["route_resolved"], described["form"], described["has_rate"], strict=True
            )
        ],
        index=described.index,
        dtype="object",
    )


def _interval_table(pieces: list[dict[str, Any]], described: pd.DataFrame) -> pd.DataFrame:
    table = pd.DataFrame(
        pieces,
        columns=["row", "dose_id", "kind", "start", "end", "mg", "rate_mg_per_h",
                 "rate_mg_per_kg_h", "rate_mcg_per_h", "counted"],
    )  # fmt: skip
    for name in ("start", "end"):
        table[name] = table[name].astype("int64").astype("datetime64[us]")
    for name in ("mg", "rate_mg_per_h", "rate_mg_per_kg_h", "rate_mcg_per_h"):
        table[name] = table[name].astype("float64")
    origin = described.loc[table["row"]]
    table["patient_id"] = origin["patient_id"].to_numpy()
    table["drug"] = origin["drug_resolved"].to_numpy()
    table["drug_class"] = origin["drug_class"].to_numpy()
    table["route"] = origin["route_resolved"].to_numpy()
    table["form"] = origin["form"].to_numpy()
    table["form_class"] = _form_classes(origin).to_numpy()
    table["source"] = origin["source"].to_numpy()
    table["flags"] = origin["flags"].to_numpy()
    table["counted"] = table["counted"].astype("bool")
    order = ["patient_id", "start", "end", "dose_id"]
    return table[list(INTERVAL_COLUMNS)].sort_values(order, kind="stable").reset_index(drop=True)


def _unmapped(described: pd.DataFrame) -> pd.DataFrame:
    unknown = described.loc[described["unknown_name"], "drug"].value_counts()
    unit = described.loc[
        described["fault"].eq("unknown_unit") & described["drug_class"].eq("opioid"), "amount_unit"
    ].value_counts()
    table = pd.concat(
        [
            pd.DataFrame({"column": "doses.drug", "word": unknown.index, "rows": unknown.values}),
            pd.DataFrame({"column": "doses.amount_unit", "word": unit.index, "rows": unit.values}),
        ]
    )
    return table.sort_values(["column", "rows", "word"], ascending=[True, False, True]).reset_index(
        drop=True
    )
