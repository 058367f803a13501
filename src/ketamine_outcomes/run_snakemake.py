"""Starting Snakemake, and turning what it reports into the user's words."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from ketamine_outcomes import files, study_file
from ketamine_outcomes.errors import UserError
from ketamine_outcomes.study import Study

MISTAKES = "mistakes"


def root() -> Path:
    """Return the folder of the Snakefile: the checkout, or its copy inside the package."""
    here = Path(__file__).resolve()
    checkout = here.parents[2]
    return checkout if (checkout / "Snakefile").exists() else here.parent / "_workflow"


def remember_mistake(folder: Path, step: str, error: UserError) -> None:
    """Keep a step's user error where `run` finds it after Snakemake has ended."""
    files.write_text(folder / "private" / MISTAKES / f"{step}.txt", f"{error}\n")


def run(path: Path, cores: int) -> None:
    """Check a study and run it.

    Raises
    ------
    UserError
        Faults of the study or of its extracts.
    """
    study = study_file.load(path)
    _check_sources(study)
    _clear([study])
    code = _snakemake(["--config", f"study={path}", "--cores", str(cores)])
    _explain(code, [study])
    _say_where([study])


def demo(cores: int) -> None:
    """Run the shipped studies whose data are here."""
    paths = sorted((root() / "config" / "studies").glob("*.yaml"))
    studies = {path: study_file.load(path) for path in paths}
    ready = {path: study for path, study in studies.items() if not _missing(study)}
    if len(ready) == len(studies):
        _clear(list(studies.values()))
        code = _snakemake(["--cores", str(cores)])
        _explain(code, list(studies.values()))
    else:
        for path in ready:
            run(path, cores)
        for study in (study for path, study in studies.items() if path not in ready):
            print(f"not run: {study.name} (its data are not in this folder)")
    _say_where(list(ready.values()))


def plan(path: Path) -> None:
    """Print what a run would do."""
    study = study_file.load(path)
    _check_sources(study)
    code = _snakemake(["--config", f"study={path}", "--cores", "1", "--dry-run"], quiet=False)
    if code:
        raise UserError("the plan could not be made; see above")


def _snakemake(arguments: list[str], quiet: bool = True) -> int:
    folder = root()
    command = [
        sys.executable,
        "-m",
        "snakemake",
        "--snakefile",
        str(folder / "Snakefile"),
        "--workflow-profile",
        str(folder / "workflow" / "profiles" / "default"),
        *arguments,
    ]
    if quiet and sys.stderr.isatty():
        command += ["--logger", "rich"]
    elif quiet:
        command += ["--quiet", "rules", "host"]
    return subprocess.run(command, check=False).returncode


def _missing(study: Study) -> list[tuple[str, str]]:
    return [
        (name, cohort.path)
        for name, cohort in study.cohorts.items()
        if cohort.source != "simulated" and not Path(cohort.path).is_dir()
    ]


def _check_sources(study: Study) -> None:
    for name, path in _missing(study):
        raise UserError(
            f"the source of the cohort {name!r} is not there",
            where=path,
            do="`path` is a folder, seen from where you run; go to that place or change the path",
        )


def _folders(studies: list[Study]) -> list[tuple[str, Path]]:
    return [
        (f"{study.name} / {cohort}", Path("results") / study.name / cohort)
        for study in studies
        for cohort in study.cohorts
    ]


def _clear(studies: list[Study]) -> None:
    for _, folder in _folders(studies):
        for note in (folder / "private" / MISTAKES).glob("*.txt"):
            note.unlink()


def _explain(code: int, studies: list[Study]) -> None:
    """Raise the mistakes that steps left, or end with 1 when Snakemake failed otherwise."""
    if code == 0:
        return
    found = [
        f"{name}: {note.read_text(encoding='utf-8').rstrip()}"
        for name, folder in _folders(studies)
        for note in sorted((folder / "private" / MISTAKES).glob("*.txt"))
    ]
    if found:
        raise UserError("\n".join(found))
    if code == UserError.exit_code:
        raise SystemExit(code)
    print("a step failed; its log is shown above", file=sys.stderr)
    raise SystemExit(1)


def _say_where(studies: list[Study]) -> None:
    print("Reports:")
    for name, folder in _folders(studies):
        print(f"  {name}: {folder / 'release' / 'report.html'}")
