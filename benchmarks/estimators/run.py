"""Time the estimators, R and the Python libraries on the same rows; write the table of the docs.

    .venv/bin/python -m benchmarks.estimators.run --rows 1e3 1e4 1e5 1e6

Every engine is a process of its own, rounds alternate, and the ratio is taken inside a round.
Seconds are those of one whole call, data frame to result, after a first call on 200 rows that
pays for imports and compilation. Peak memory is that of the process, data included. The numbers
of every engine are compared with R's. Nothing here is a test: a slow number fails nothing.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import statistics
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.mme.run import PEERS, machine, spread

HERE = Path(__file__).resolve().parent
PAGE = HERE.parents[1] / "docs/reference/estimators/speed.md"
OURS, R = "ours", "R"
NOTHING = "-"
# task: what is fitted, engines beside ours; True = from the environment of the peers
TASKS: dict[str, tuple[str, dict[str, bool]]] = {
    "mixed": (
        "`linear_mixed`, random intercept and slope, 6 fixed effects, 10 rows per patient; "
        "R: lme4::lmer",
        {"mixedlm-rs": True, "statsmodels": False},
    ),
    "cox": (
        "`cox`, Efron, 10 covariates, about 1000 distinct times; R: survival::coxph",
        {"lifelines": False, "statsmodels": False},
    ),
    "cox_untied": (
        "`cox`, Efron, 10 covariates, all times distinct; R: survival::coxph",
        {"lifelines": False, "statsmodels": False},
    ),
    "cox_robust": (
        "`cox` with cluster-robust standard errors, 10 covariates; R: coxph(cluster = )",
        {"lifelines": False},
    ),
    "cox_counting": (
        "`cox` on (entry, time] rows, 6 covariates, cluster-robust; R: coxph(cluster = ), "
        "lifelines without robust errors",
        {"lifelines": False},
    ),
    "kaplan_meier": (
        "`kaplan_meier`, all times distinct; R: survival::survfit",
        {"lifelines": False},
    ),
    "aalen_johansen": (
        "`aalen_johansen`, infinitesimal jackknife, about 1000 distinct times; R: survfit, "
        "scikit-survival without standard errors",
        {"scikit-survival": True},
    ),
    "aalen_johansen_untied": (
        "`aalen_johansen`, infinitesimal jackknife, all times distinct; R: survfit, "
        "scikit-survival without standard errors",
        {"scikit-survival": True},
    ),
    "fine_gray": (
        "`fine_gray`, 5 covariates, robust errors; R: cmprsk::crr, and survival::finegray + coxph; "
        "crr and comprisk stop at their default tolerance (a tight crr agrees to 1e-9)",
        {"finegray + coxph": False, "comprisk": True},
    ),
}


@dataclass
class Cell:
    """All runs of one engine on one size, or why there is none."""

    runs: list[dict[str, Any]] = field(default_factory=list)
    reason: str = ""


def command(task: str, engine: str, folder: Path, peers: Path) -> list[str]:
    if engine == OURS:
        return [sys.executable, str(HERE / "ours.py"), task, str(folder)]
    if engine == R:
        return ["Rscript", str(HERE / "peers.R"), task, str(folder)]
    if engine == "finegray + coxph":
        return ["Rscript", str(HERE / "peers.R"), task, str(folder), "finegray"]
    python = str(peers) if TASKS[task][1][engine] else sys.executable
    return [python, str(HERE / "peers.py"), task, str(folder), engine]


def run_once(line: list[str], timeout: float) -> dict[str, Any]:
    """What the engine printed; raises RuntimeError with the reason when it gives nothing."""
    threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "RAYON_NUM_THREADS"), "1")
    try:
        done = subprocess.run(
            line,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
            env={**os.environ, **threads, "NUMBA_NUM_THREADS": "1"},
        )
    except subprocess.TimeoutExpired:
        raise RuntimeError(f"over {timeout:.0f} s") from None
    except FileNotFoundError:
        raise RuntimeError("not installed") from None
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["failed"])[-1]
        raise RuntimeError(last[:60])
    return dict(json.loads(done.stdout.strip().splitlines()[-1]))


def measure(
    task: str, rows: int, rounds: int, options: argparse.Namespace, hopeless: set[str]
) -> dict[str, Cell]:
    """Alternating rounds of every engine; one that fails or is late is not started again."""
    cells = {name: Cell() for name in (OURS, R, *TASKS[task][1])}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        subprocess.run([sys.executable, HERE / "make_data.py", task, str(rows), name], check=True)
        for _ in range(rounds):
            for engine, cell in cells.items():
                if engine in hopeless:
                    cell.reason = cell.reason or "late at a smaller size"
                if cell.reason:
                    continue
                try:
                    cell.runs.append(
                        run_once(
                            command(task, engine, folder, options.peers_python), options.timeout
                        )
                    )
                except RuntimeError as error:
                    cell.reason = str(error)
                    hopeless.add(engine)
                done = f"{cell.runs[-1]['seconds']:.3f} s" if cell.runs else cell.reason
                print(f"  {task} {rows:.0e} {engine}: {done}", flush=True)
    return cells


def difference(numbers: dict[str, float], reference: dict[str, float], kind: str) -> str:
    """Largest relative difference from R over the shared numbers of one kind."""
    shared = [k for k in numbers if kind in k and k in reference]
    if not shared:
        return NOTHING
    return f"{max(abs(numbers[k] - reference[k]) / abs(reference[k]) for k in shared):.0e}"


def table(task: str, sizes: dict[int, dict[str, Cell]]) -> list[str]:
    """Markdown of one task."""
    lines = [
        f"## {task.replace('_', ' ')}",
        "",
        f"{TASKS[task][0]}.",
        "",
        "| rows | engine | seconds | ours is faster by | peak MB | estimate from R | SE from R |",
        "|---|---|---|---|---|---|---|",
    ]
    for rows, cells in sizes.items():
        reference = cells[R].runs[0]["numbers"] if cells[R].runs else {}
        for engine, cell in cells.items():
            start = f"| {rows:.0e} | {engine} |".replace("e+0", "e")
            if not cell.runs:
                lines.append(f"{start} {cell.reason} | | | | |")
                continue
            seconds = spread([r["seconds"] for r in cell.runs], 3)
            pairs = zip(cell.runs, cells[OURS].runs, strict=False)
            ratios = [a["seconds"] / b["seconds"] for a, b in pairs]
            ratio = spread(ratios, 1) if ratios and engine != OURS else NOTHING
            peak = statistics.median(r["peak_mb"] for r in cell.runs)
            numbers = cell.runs[0]["numbers"]
            apart = [
                NOTHING if engine == R else difference(numbers, reference, kind)
                for kind in ("estimate", "std_error")
            ]
            lines.append(f"{start} {seconds} | {ratio} | {peak:.0f} | {' | '.join(apart)} |")
    return [*lines, ""]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument(
        "--rows", type=lambda t: int(float(t)), nargs="+", default=[10**3, 10**4, 10**5, 10**6]
    )
    parser.add_argument("--only", nargs="+", choices=list(TASKS), default=list(TASKS))
    parser.add_argument("--rounds", type=int, help="default: 5, at 1e5 rows 3, from 1e6 on 2")
    parser.add_argument("--timeout", type=float, default=150.0, help="seconds for one process")
    parser.add_argument("--peers-python", type=Path, default=PEERS)
    parser.add_argument("--page", type=Path, default=PAGE)
    options = parser.parse_args()
    load, body = os.getloadavg()[0], []
    versions: dict[str, None] = {}
    every: list[list[Any]] = []
    for task in options.only:
        sizes, hopeless = {}, set[str]()
        for rows in options.rows:
            rounds = options.rounds or (5 if rows < 10**5 else 3 if rows < 10**6 else 2)
            sizes[rows] = measure(task, rows, rounds, options, hopeless)
            for engine, cell in sizes[rows].items():
                for number, run in enumerate(cell.runs, 1):
                    versions[run["version"]] = None
                    every.append(
                        [task, rows, engine, number, f"{run['seconds']:.4f}",
                         f"{run['peak_mb']:.0f}", run["version"]]
                    )  # fmt: skip
        body += table(task, sizes)
        write(options.page, body, every, versions, load)  # after each task: a long run may be cut
    print(options.page.read_text(encoding="utf-8"))


def write(
    page: Path, body: list[str], every: list[list[Any]], versions: dict[str, None], load: float
) -> None:
    """The page of the documentation, and every single run."""
    head = (HERE / "page_head.md").read_text(encoding="utf-8").rstrip()
    conditions = f"{machine()}; load before {load:.1f}, after {os.getloadavg()[0]:.1f}."
    text = "\n".join([head, "", f"{conditions} {'; '.join(versions)}.", "", *body])
    page.write_text(text.rstrip() + "\n", encoding="utf-8")
    with (HERE / "results.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("task", "rows", "engine", "round", "seconds", "peak_mb", "version"))
        writer.writerows(every)


if __name__ == "__main__":
    main()
