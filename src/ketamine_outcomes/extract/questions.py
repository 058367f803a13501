"""Which questions an extract can answer, and for how many patients."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ketamine_outcomes.extract.faults import Fault
from ketamine_outcomes.extract.tables import TABLES, Extract


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
