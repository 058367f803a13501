"""Time every engine on the same rows, check that they agree, write a table.

    .venv/bin/python benchmarks/mme/run.py --rows 1e6 1e7

Each engine is a process of its own, in alternating rounds. Wall seconds are those of the whole
process; job seconds leave out the start of the interpreter and the imports. CPU seconds and
peak memory are the kernel's for that process (wait4: ru_utime + ru_stime, ru_maxrss, which
counts mapped file pages too). On a machine with other load read ratios and CPU seconds.
Nothing here is a test: no number makes it fail, only outputs that differ do.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

HERE = Path(__file__).resolve().parent
PEERS = HERE.parent / ".venv/bin/python"
BASELINE = "polars streaming"


@dataclass(frozen=True)
class Engine:
    """How to start one engine, and the memory it is known to need in bytes per row."""

    name: str
    script: str
    interpreter: str
    threads: int = 2
    bytes_per_row: int = 0


@dataclass
class Result:
    """What one run of one engine used."""

    wall: float
    cpu: float
    peak_mb: float
    job: float
    read: float
    version: str


@dataclass
class Table:
    """Every run of one size."""

    rows: int
    order: str
    runs: dict[str, list[Result]] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)
    agreement: list[str] = field(default_factory=list)


def engines(peers: Path) -> list[Engine]:
    return [
        Engine("ours", "ours.py", sys.executable),
        Engine("ours, 1 thread", "ours.py", sys.executable, threads=1),
        Engine(BASELINE, "polars_streaming.py", str(peers)),
        Engine("duckdb, plain SQL", "duckdb_plain.py", sys.executable),
        Engine("pandas", "pandas_vectorised.py", str(peers), bytes_per_row=330),
        Engine("data.table", "data_table.R", "Rscript", bytes_per_row=210),
    ]


def memory_available() -> int:
    """Return the bytes that a new process may take (Linux)."""
    for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines():
        if line.startswith("MemAvailable"):
            return int(line.split()[1]) * 1024
    return 0


def reason_to_skip(engine: Engine, rows: int) -> str:
    """Return why an engine cannot run here, or nothing."""
    if engine.script.endswith(".R"):
        if not shutil.which("Rscript"):
            return "R is not installed"
        probe = subprocess.run(
            ["Rscript", "-e", "packageVersion('data.table')"], capture_output=True, check=False
        )
        if probe.returncode:
            return "the R package data.table is not installed"
    elif not Path(engine.interpreter).exists():
        return "the peers' environment is not there (see benchmarks/README.md)"
    need, free = engine.bytes_per_row * rows, memory_available()
    if need > 0.8 * free:
        return f"needs about {need / 1e9:.0f} GB, {free / 1e9:.0f} GB are free"
    return ""


def run_once(engine: Engine, doses: Path, out: Path, memory_limit: str, timeout: float) -> Result:
    """Start one engine, wait, and return what it used."""
    command = [engine.interpreter, str(HERE / engine.script), str(doses), str(out)]
    if engine.script.endswith(".R"):
        command += [str(engine.threads)]
    else:
        command += [f"--threads={engine.threads}", f"--memory-limit={memory_limit}"]
    count = str(engine.threads)
    environment = {**os.environ, "POLARS_MAX_THREADS": count, "OMP_NUM_THREADS": count}
    with tempfile.TemporaryFile("w+", encoding="utf-8") as log:
        began = time.perf_counter()
        process = subprocess.Popen(
            command, env=environment, stdout=log, stderr=subprocess.STDOUT, cwd=doses.parent
        )
        while True:
            done, status, usage = os.wait4(process.pid, os.WNOHANG)
            wall = time.perf_counter() - began
            if done:
                break
            if wall > timeout:
                process.kill()
            time.sleep(0.005)
        process.returncode = os.waitstatus_to_exitcode(status)
        log.seek(0)
        printed = log.read().strip().splitlines() or [""]
    if process.returncode:
        late = wall > timeout
        raise RuntimeError(f"stopped after {timeout:.0f} s" if late else printed[-1])
    said = json.loads(printed[-1])
    return Result(
        wall,
        usage.ru_utime + usage.ru_stime,
        usage.ru_maxrss / 1024,
        said["job_seconds"],
        said.get("read_seconds", 0.0),
        said["version"],
    )


def make_doses(rows: int, order: str, folder: Path) -> Path:
    """Return the dose file, made unless this very generator has made it before."""
    maker = HERE / "make_data.py"
    stamp = hashlib.sha256(maker.read_bytes()).hexdigest()[:8]
    doses = folder / f"doses_{rows}_{order}_{stamp}.parquet"
    if not doses.exists():
        subprocess.run(
            [sys.executable, maker, f"--rows={rows}", f"--order={order}", f"--out={doses}"],
            check=True,
        )
    return doses


def export_csv(doses: Path) -> Path:
    """Write the columns that R reads; times as whole seconds."""
    path = doses.with_suffix(".csv")
    if not path.exists():
        columns = "patient_id, drug, route, form, epoch(start)::BIGINT AS start, "
        columns += 'epoch("end")::BIGINT AS "end", amount, amount_unit, rate, rate_unit, status'
        partial = path.with_suffix(".partial")
        statement = f"COPY (SELECT {columns} FROM '{doses}') TO '{partial}' (FORMAT csv, HEADER)"
        subprocess.run(
            [
                sys.executable,
                "-c",
                "import duckdb, sys; duckdb.connect().execute(sys.argv[1])",
                statement,
            ],
            check=True,
        )
        partial.replace(path)
    return path


def measure(
    rows: int,
    order: str,
    rounds: int,
    folder: Path,
    chosen: list[Engine],
    options: argparse.Namespace,
) -> Table:
    """Run all engines in alternating rounds and compare what they wrote."""
    table = Table(rows, order)
    doses = make_doses(rows, order, folder)
    outputs: dict[str, Path] = {}
    for number in range(rounds):
        shift = number % len(chosen)
        for engine in chosen[shift:] + chosen[:shift]:
            if engine.name in table.skipped:
                continue
            reason = reason_to_skip(engine, rows)
            is_r = engine.script.endswith(".R")
            suffix = ".csv" if is_r else ".parquet"
            out = folder / f"out_{engine.name.replace(', ', '_').replace(' ', '_')}{suffix}"
            try:
                if reason:
                    raise RuntimeError(reason)
                source = export_csv(doses) if is_r else doses
                result = run_once(engine, source, out, options.memory_limit, options.timeout)
            except RuntimeError as error:
                table.skipped[engine.name] = str(error)
                print(f"  {engine.name}: not run: {error}", flush=True)
                continue
            outputs[engine.name] = out
            table.runs.setdefault(engine.name, []).append(result)
            print(
                f"  round {number + 1} {engine.name}: {result.wall:.2f} s, "
                f"CPU {result.cpu:.2f} s, {result.peak_mb:.0f} MB",
                flush=True,
            )
    table.agreement = agree(outputs)
    for path in outputs.values():
        path.unlink()
    return table


def agree(outputs: dict[str, Path]) -> list[str]:
    """Return one sentence per comparison; the word DIFFERENT marks a fault."""
    sentences = []
    reference = BASELINE if BASELINE in outputs else next(iter(outputs), "")
    others = {name: path for name, path in outputs.items() if name != reference}
    if others:
        command = [sys.executable, HERE / "compare.py", outputs[reference], *others.values()]
        printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        for name, counts in zip(others, json.loads(printed).values(), strict=True):
            same = counts["different"] == counts["out_of_order"] == 0
            sentences.append(
                f"{name} and {reference}: "
                + ("equal to the last 1e-6 MME" if same else "DIFFERENT")
                + f" ({counts['rows']} patient-days, {counts['different']} differ, "
                f"{counts['out_of_order']} out of order)"
            )
    if {"ours", "ours, 1 thread"} <= outputs.keys():
        sums = {file_sha256(outputs[name]) for name in ("ours", "ours, 1 thread")}
        same_bytes = "the same bytes" if len(sums) == 1 else "DIFFERENT bytes"
        sentences.append(f"ours at 1 and 2 threads: {same_bytes}")
    return sentences


def file_sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def machine() -> str:
    model = next(
        (
            line.split(":")[1].strip()
            for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
            if line.startswith("model name")
        ),
        platform.machine(),
    )
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9
    return f"{model}, {os.cpu_count()} cores, {memory:.0f} GB, {platform.system()}"


def spread(values: list[float], digits: int) -> str:
    middle = f"{statistics.median(values):.{digits}f}"
    if len(values) == 1:
        return middle
    return f"{middle} ({min(values):.{digits}f}-{max(values):.{digits}f})"


def render(table: Table, memory_limit: str, load: tuple[float, float]) -> str:
    """Return the table of one size as Markdown."""
    lines = [
        f"## {table.rows:.0e} rows, {table.order} order".replace("e+0", "e"),
        "",
        "| engine | wall s | ratio to polars | job s | CPU s | CPU ratio | peak MB | rows/s |",
        "|---|---|---|---|---|---|---|---|",
    ]
    base = table.runs.get(BASELINE, [])
    for name, runs in table.runs.items():
        pairs = list(zip(runs, base, strict=False))
        wall_ratio = spread([a.wall / b.wall for a, b in pairs], 2) if pairs else ""
        cpu_ratio = spread([a.cpu / b.cpu for a, b in pairs], 2) if pairs else ""
        job = spread([run.job for run in runs], 2)
        if any(run.read for run in runs):
            job += f" + {statistics.median(run.read for run in runs):.2f} reading CSV"
        lines.append(
            f"| {name} | {spread([run.wall for run in runs], 2)} | {wall_ratio} | {job} | "
            f"{spread([run.cpu for run in runs], 2)} | {cpu_ratio} | "
            f"{max(run.peak_mb for run in runs):.0f} | "
            f"{table.rows / statistics.median(run.wall for run in runs):.2g} |".replace("e+0", "e")
        )
    lines += [""]
    lines += [f"- {name}: not run: {reason}" for name, reason in table.skipped.items()]
    lines += [f"- {sentence}" for sentence in table.agreement]
    versions = dict.fromkeys(run.version for runs in table.runs.values() for run in runs)
    lines += [
        f"- {'; '.join(versions)}; Python {platform.python_version()}",
        f"- {machine()}; load before {load[0]:.1f}, after {load[1]:.1f}; "
        f"DuckDB memory limit {memory_limit}",
        "",
    ]
    return "\n".join(lines)


def write(table: Table, text: str, folder: Path) -> None:
    """Write the table and every single run beside it."""
    folder.mkdir(parents=True, exist_ok=True)
    stem = f"mme_{table.rows:.0e}_{table.order}".replace("e+0", "e")
    (folder / f"{stem}.md").write_text(text, encoding="utf-8")
    with (folder / f"{stem}.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(
            ("rows", "order", "engine", "round", "wall_s", "job_s", "read_s", "cpu_s", "peak_mb",
             "version")
        )  # fmt: skip
        for name, runs in table.runs.items():
            for number, run in enumerate(runs, 1):
                numbers = (f"{x:.3f}" for x in (run.wall, run.job, run.read, run.cpu))
                writer.writerow(
                    (table.rows, table.order, name, number, *numbers, f"{run.peak_mb:.0f}",
                     run.version)
                )  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--rows", type=lambda text: int(float(text)), nargs="+", default=[10**6, 10**7]
    )
    parser.add_argument("--order", choices=("scattered", "patient"), default="scattered")
    parser.add_argument("--rounds", type=int, help="default: 3, from 5e7 rows on 2")
    parser.add_argument("--only", nargs="+", metavar="ENGINE", help="names as in the table")
    parser.add_argument("--memory-limit", default="2.5GB", help="for DuckDB; it spills beyond")
    parser.add_argument("--timeout", type=float, default=900.0, help="seconds for one run")
    parser.add_argument("--data", type=Path, help="folder for data, default a temporary one")
    parser.add_argument("--peers-python", type=Path, default=PEERS)
    parser.add_argument("--results", type=Path, default=HERE / "results")
    options = parser.parse_args()
    folder = (options.data or Path(tempfile.gettempdir()) / "mme_benchmark").resolve()
    folder.mkdir(parents=True, exist_ok=True)
    everyone = engines(options.peers_python.absolute())
    chosen = [e for e in everyone if not options.only or e.name in options.only]
    if not chosen:
        parser.error("--only takes: " + "; ".join(engine.name for engine in everyone))
    different = False
    for rows in options.rows:
        print(f"{rows:.0e} rows, {options.order} order", flush=True)
        rounds = options.rounds or (2 if rows >= 5 * 10**7 else 3)
        before = os.getloadavg()[0]
        table = measure(rows, options.order, rounds, folder, chosen, options)
        text = render(table, options.memory_limit, (before, os.getloadavg()[0]))
        write(table, text, options.results)
        print("\n" + text, flush=True)
        different |= any("DIFFERENT" in sentence for sentence in table.agreement)
    sys.exit("the engines do not agree" if different else 0)


if __name__ == "__main__":
    main()
