"""The command `ketamine-outcomes`.

Exit codes: 0 done, 1 a bug (full traceback), 2 a mistake of the user (what, where, what to do).
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from ketamine_outcomes import __version__
from ketamine_outcomes.errors import UserError

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Opioid exposure, pain relief and infusion-site complications around ketamine.",
)
StudyPath = Annotated[Path, typer.Argument(help="Study file (YAML).", metavar="STUDY.yaml")]
Cores = Annotated[int, typer.Option("--cores", "-c", min=1, help="Processor cores to use.")]
ALL_CORES = os.cpu_count() or 1


def main() -> None:
    """Run the command; a user's mistake ends with its message and exit code 2."""
    try:
        app()
    except UserError as error:
        print(error, file=sys.stderr)
        sys.exit(error.exit_code)


@app.callback(invoke_without_command=True)
def _version(
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    if version:
        print(__version__)
        raise typer.Exit


@app.command()
def demo(cores: Cores = ALL_CORES) -> None:
    """Run the shipped studies and say where their reports are."""
    from ketamine_outcomes import run_snakemake

    run_snakemake.demo(cores)


@app.command()
def run(study: StudyPath, cores: Cores = ALL_CORES) -> None:
    """Check a study, then run it: only what is new or changed is computed."""
    from ketamine_outcomes import run_snakemake

    run_snakemake.run(study, cores)


@app.command()
def plan(study: StudyPath) -> None:
    """Show which steps a run would take, and why, without running any."""
    from ketamine_outcomes import run_snakemake

    run_snakemake.plan(study)


@app.command()
def check(
    study: StudyPath,
    extract: Annotated[
        Path | None, typer.Option(help="Folder to check in place of the cohort's own.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Check a study file and the extracts of its cohorts."""
    from ketamine_outcomes.extract import intake

    result = intake.check_study(study, extract)
    print(json.dumps(result, indent=2) if as_json else intake.in_words(result))
    raise typer.Exit(result["exit"])


@app.command()
def simulate(
    out: Annotated[Path, typer.Argument(help="Folder to write to.", metavar="OUT")],
    patients: Annotated[int, typer.Option(min=1, help="Number of patients.")] = 300,
    seed: Annotated[int, typer.Option(min=0, help="Same seed, same patients.")] = 1,
    null: Annotated[bool, typer.Option("--null", help="Every ketamine effect is nil.")] = False,
) -> None:
    """Write a simulated registry extract and its truth.json."""
    from ketamine_outcomes.simulate import simulate as make

    make(out, patients=patients, seed=seed, null=null)
    print(f"{patients} simulated patients in {out} (truth.json holds the true effects)")


@app.command()
def mme(
    doses: Annotated[
        Path, typer.Argument(help="Administered doses (CSV or Parquet).", metavar="DOSES.csv")
    ],
    out: Annotated[Path, typer.Option(help="Folder to write to.")],
    patients: Annotated[Path | None, typer.Option(help="Weight, dialysis, death.")] = None,
    stays: Annotated[Path | None, typer.Option(help="When doses were observed.")] = None,
    measurements: Annotated[Path | None, typer.Option(help="Weights over time.")] = None,
    index: Annotated[Path | None, typer.Option(help="patient_id, index_time.")] = None,
    factors: Annotated[
        str, typer.Option(help="Factor sets joined by +, or a file of your own.")
    ] = "cdc2022+inpatient",
    windows: Annotated[str, typer.Option(help="days, or bins:24h from the index.")] = "days",
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Derive morphine milligram equivalents from doses, without a study."""
    from ketamine_outcomes import mme as alone

    summary = alone.write_mme(out, doses, patients=patients, stays=stays,
                                   measurements=measurements, index=index, factors=factors,
                                   windows=windows)  # fmt: skip
    print(json.dumps(summary, indent=2) if as_json else alone.in_words(summary))


@app.command(hidden=True)
def step(name: str, folder: Path, settings: str) -> None:
    """Run one step of the pipeline (called by the rules)."""
    from ketamine_outcomes import run_snakemake, steps

    if name not in steps.SECTIONS:
        raise UserError(f"no step {name!r}", do="allowed: " + ", ".join(steps.SECTIONS))
    try:
        steps.run(name, settings, folder)
    except UserError as error:
        run_snakemake.remember_mistake(folder, name, error)
        raise
