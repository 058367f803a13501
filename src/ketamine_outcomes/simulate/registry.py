"""Writing a simulated registry: patient by patient, block by block."""

from __future__ import annotations

import contextlib
from collections import Counter
from pathlib import Path
from typing import TextIO

from ketamine_outcomes import files
from ketamine_outcomes.errors import UserError
from ketamine_outcomes.extract.tables import TABLES
from ketamine_outcomes.simulate.charting import chart_events, chart_measurements, chart_pain
from ketamine_outcomes.simulate.ketamine import chart_ketamine
from ketamine_outcomes.simulate.opioids import chart_opioids
from ketamine_outcomes.simulate.parameters import Parameters
from ketamine_outcomes.simulate.patient import (
    COLUMNS,
    Patient,
    Row,
    chart_patient_and_stays,
    draw_patient,
)
from ketamine_outcomes.simulate.truth import describe_truth

BLOCK = 500  # patients in memory at a time

_CELLS = {
    name: {column.name: (k, column.kind == "time") for k, column in enumerate(table.columns)}
    for name, table in TABLES.items()
}
_ORDER = {  # what the rows of one patient are sorted by
    "doses": "start",
    "pain_scores": "time",
    "site_events": "time",
    "events": "time",
    "measurements": "time",
}


def simulate(folder: Path, *, patients: int = 300, seed: int = 1, null: bool = False) -> None:
    """Write a simulated registry and its truth into `folder`.

    Parameters
    ----------
    folder
        Made if it is not there; files of the same names are replaced, whole or not at all.
    patients
        Number of patients. Patient i is the same in a registry of any size.
    seed
        Seed, 0 or more. Same arguments, same bytes.
    null
        If true, ketamine and route have no effect on anything: MME ratio 1, pain change only
        the drift, site hazard ratio 1, equal adverse risks. Confounding stays.

    Raises
    ------
    UserError
        If `patients` is below 1 or `seed` below 0.

    Examples
    --------
    `simulate(Path("registry"), patients=300, seed=1)` writes `registry/doses.csv` and seven more
    tables, and `registry/truth.json`.
    """
    if patients < 1:
        raise UserError("a registry needs at least one patient", where="--patients")
    if seed < 0:
        raise UserError("the seed must be 0 or more", where="--seed")
    parameters = Parameters(null=null)
    counts: Counter[str] = Counter()
    with contextlib.ExitStack() as stack:
        # Entered first, so put in place last: a truth never stands beside other tables.
        truth = stack.enter_context(files.atomic_path(folder / "truth.json"))
        streams: dict[str, TextIO] = {}
        for name in TABLES:
            path = stack.enter_context(files.atomic_path(folder / f"{name}.csv"))
            # Closed before the rename: the stack unwinds in reverse.
            stream = stack.enter_context(path.open("w", encoding="utf-8", newline="\n"))
            stream.write(",".join(COLUMNS[name]) + "\n")
            streams[name] = stream
        block: dict[str, list[str]] = {name: [] for name in TABLES}
        for number in range(1, patients + 1):
            patient = make_patient(seed, number, parameters)
            counts.update(patient.counts)
            for name in TABLES:
                block[name] += csv_lines(patient, name)
            if number % BLOCK == 0 or number == patients:
                for name, lines in block.items():
                    streams[name].write("".join(lines))
                    lines.clear()
        files.write_json(
            truth, describe_truth(parameters, patients=patients, seed=seed, counts=counts)
        )


def make_patient(seed: int, number: int, parameters: Parameters) -> Patient:
    """Return patient `number` with all rows, times still in minutes from admission."""
    p = draw_patient(seed, number, parameters)
    chart_patient_and_stays(p)
    chart_ketamine(p)
    chart_opioids(p)
    chart_pain(p)
    chart_events(p)
    chart_measurements(p)
    for name, key in _ORDER.items():
        p.tables[name].sort(key=lambda row: row[key])  # type: ignore[arg-type,return-value]
    for k, row in enumerate(p.tables["doses"], start=1):
        row["dose_id"] = f"{p.pid}-d{k}"
    p.counts[f"arm_{p.arm}"] += 1
    p.counts["died_before_index"] += p.arm != p.planned
    p.counts["readmissions"] += p.readmission is not None
    p.counts["deaths"] += p.death is not None
    p.counts["person_minutes"] += p.last_seen - p.entry
    return p


def csv_lines(p: Patient, name: str) -> list[str]:
    """Return the rows of one table as CSV lines (no word holds a comma or a quote)."""
    return [_line(p, row, _CELLS[name]) for row in p.tables[name]]


def _line(p: Patient, row: Row, columns: dict[str, tuple[int, bool]]) -> str:
    cells = [""] * len(columns)
    for column, value in row.items():
        if value is None:
            continue
        place, is_time = columns[column]
        if is_time:
            cells[place] = p.iso(int(value))
        elif isinstance(value, float):
            cells[place] = f"{value:.9g}"
        else:
            cells[place] = str(value)
    return ",".join(cells) + "\n"
