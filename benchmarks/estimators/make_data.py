"""Simulated rows for one benchmark, the same bytes everywhere.

    python make_data.py TASK ROWS FOLDER

Writes FOLDER/columns.json (names in order) and FOLDER/values.bin: the columns one after another
as little-endian doubles, which R reads with readBin and Python with fromfile, so that no parser
is timed.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np

Columns = dict[str, np.ndarray]


def mixed(n: int, rng: np.random.Generator) -> Columns:
    """Ten rows per patient, random intercept and slope, six fixed effects."""
    patients = n // 10
    patient = np.repeat(np.arange(patients), 10)
    time = np.tile(np.arange(10.0), patients) + rng.uniform(0, 0.5, n)
    a = rng.normal(0, 1.5, patients)
    b = 0.2 * a + rng.normal(0, 0.3, patients)
    x = {f"x{j}": rng.normal(size=n) for j in range(1, 5)}
    y = 6 + a[patient] + (b[patient] - 0.3) * time + rng.normal(0, 1, n)
    y += sum(0.1 * j * x[f"x{j}"] for j in range(1, 5))
    return {"patient": patient, "time": time, **x, "y": y}


def survival(n: int, rng: np.random.Generator, tied: bool, covariates: int = 10) -> Columns:
    """Exponential times, about 60 % events; `tied`: whole days, about 1000 distinct."""
    x = {f"x{j}": rng.normal(size=n) for j in range(covariates)}
    risk = np.zeros(n) + sum(0.1 * (j - covariates / 2) * x[f"x{j}"] for j in range(covariates))
    death = rng.exponential(150 * np.exp(-risk))
    censoring = np.minimum(rng.exponential(400, n), 1000)
    time = np.minimum(death, censoring)
    time = np.ceil(time) if tied else time
    return {"time": time, "event": death <= censoring, **x, "site": rng.integers(0, n // 20, n)}


def counting(n: int, rng: np.random.Generator) -> Columns:
    """(start, stop] rows of patients followed in pieces; whole days."""
    pieces = rng.integers(1, 17, max(n // 8, 4))
    patient = np.repeat(np.arange(pieces.size), pieces)[:n]
    n = patient.size
    order = np.arange(n) - np.searchsorted(patient, patient)
    length = rng.integers(5, 60, n)
    total = np.cumsum(length)
    first = total - length
    start = first - first[np.searchsorted(patient, patient)]
    x = {f"x{j}": rng.normal(size=n) for j in range(6)}
    risk = 0.2 * x["x0"] - 0.3 * x["x1"] + 0.01 * order
    event = rng.uniform(size=n) < 0.06 * np.exp(risk)
    return {"start": start, "stop": start + length, "event": event, **x, "patient": patient}


def competing(n: int, rng: np.random.Generator, tied: bool) -> Columns:
    """Two causes and censoring, five covariates; `tied`: whole days."""
    x = {f"x{j}": rng.normal(size=n) for j in range(5)}
    risk = 0.3 * x["x0"] - 0.2 * x["x1"]
    times = np.column_stack(
        [
            rng.exponential(200 * np.exp(-risk)),
            rng.exponential(300, n),
            np.minimum(rng.exponential(500, n), 1000),
        ]
    )
    which = times.argmin(axis=1)
    time = times.min(axis=1)
    return {
        "time": np.ceil(time) if tied else time,
        "event": np.array([1, 2, 0])[which],
        **x,
    }


TASKS = {
    "mixed": mixed,
    "cox": lambda n, rng: survival(n, rng, True),
    "cox_untied": lambda n, rng: survival(n, rng, False),
    "cox_robust": lambda n, rng: survival(n, rng, True),
    "cox_counting": counting,
    "kaplan_meier": lambda n, rng: survival(n, rng, False, 0),
    "aalen_johansen": lambda n, rng: competing(n, rng, True),
    "aalen_johansen_untied": lambda n, rng: competing(n, rng, False),
    "fine_gray": lambda n, rng: competing(n, rng, False),
}


def main(task: str, rows: int, folder: Path) -> None:
    columns = TASKS[task](rows, np.random.default_rng(rows))
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "values.bin").open("wb") as file:
        for values in columns.values():
            file.write(np.ascontiguousarray(values, "<f8").tobytes())
    (folder / "columns.json").write_text(json.dumps(list(columns)), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1], int(float(sys.argv[2])), Path(sys.argv[3]))
