"""What the tables of an extract must hold together: patients, sites, the clock, deaths."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

from ketamine_outcomes.extract.cleaner import Cleaner, day_resolved
from ketamine_outcomes.extract.faults import Fault
from ketamine_outcomes.extract.tables import TABLES

if TYPE_CHECKING:
    import pandas as pd

#: The time that places a row.
PLACED_BY = {
    "doses": "start",
    "pain_scores": "time",
    "infusion_sites": "start",
    "site_events": "time",
    "events": "time",
    "measurements": "time",
}


def check_ids(c: Cleaner) -> None:
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


def check_future(c: Cleaner, today: datetime) -> None:
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


def check_origin(c: Cleaner) -> None:
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


def check_deaths(c: Cleaner) -> None:
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
