"""What the Snakefile needs: which studies, which files, which settings. Imports stay light."""

from __future__ import annotations

import fcntl
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ketamine_outcomes import files, steps, study_file
from ketamine_outcomes.errors import UserError
from ketamine_outcomes.exposure.factors import files as factors_of
from ketamine_outcomes.fingerprint import fingerprint
from ketamine_outcomes.study import Study

#: Held for the life of the process: two runs in one folder would overwrite each other.
_LOCKS: list[Any] = []


class Plan:
    """The studies of one run and what their rules pass to the steps.

    Parameters
    ----------
    config
        Snakemake's config: `study` is the path of one study file; without it all shipped
        studies run.
    root
        Folder of the Snakefile.
    """

    def __init__(self, config: dict[str, Any], root: Path) -> None:
        unknown = sorted(config.keys() - {"study"})
        if unknown:
            raise UserError(
                f"unknown --config key {unknown[0]!r}",
                do="the one key is study: --config study=config/studies/NAME.yaml",
            )
        if "study" in config:
            paths = [Path(str(config["study"]))]
        else:
            paths = sorted((root / "config" / "studies").glob("*.yaml"))
        self.studies: dict[str, Study] = {}
        for path in paths:
            study = study_file.load(path)
            self.studies[study.name] = study
        self._hashes = {
            study.name: {
                name: study_file.scenario_definition(study, name)
                for name in ("base", *(scenario.name for scenario in study.scenarios))
            }
            for study in self.studies.values()
        }

    def targets(self) -> list[str]:
        """Return the files that a whole run makes."""
        return [
            f"results/{study.name}/{cohort}/{file}"
            for study in self.studies.values()
            for cohort in study.cohorts
            for file in ("release/manifest.json", "private/report.html")
        ]

    def settings(self, step: str) -> Callable[[Any], str]:
        """Return the function with which a rule asks for the settings of a step."""

        def ask(wildcards: Any) -> str:
            study = self.studies[wildcards.study]
            return steps.settings(
                study,
                wildcards.cohort,
                step,
                hashes=self._hashes[study.name],
            )

        return ask

    def code(self, step: str) -> str:
        """Return the fingerprint of a step's code."""
        return fingerprint(f"steps.{step}")

    def source(self, wildcards: Any) -> list[str]:
        """Return the files of a cohort's source, so that new data rerun the reader."""
        cohort = self.studies[wildcards.study].cohorts[wildcards.cohort]
        if cohort.source == "simulated":
            return [f"results/{wildcards.study}/{wildcards.cohort}/private/source/truth.json"]
        return [str(path) for path in files.data_files(Path(cohort.path))]

    def factor_files(self, wildcards: Any) -> list[str]:
        """Return the user's own factor files of a study, so that an edit reruns what uses them."""
        study = self.studies[wildcards.study]
        lists = [study.exposure.factors]
        lists += [str(s.set["exposure.factors"]) for s in study.scenarios
                  if "exposure.factors" in s.set]  # fmt: skip
        return [str(path) for path in dict.fromkeys(
            path for factors in lists for path in factors_of(factors))]  # fmt: skip


def load(config: dict[str, Any], root: Path, main_process: bool) -> Plan:
    """Return the plan, or end the process with the user's mistakes and exit code 2.

    Parameters
    ----------
    config, root
        As of `Plan`.
    main_process
        Whether this process runs the workflow (and not one job of it): it takes the lock.
    """
    try:
        if main_process:
            _lock()
        return Plan(config, root)
    except UserError as error:
        print(error, file=sys.stderr, flush=True)
        # Snakemake turns every exception of a Snakefile into a traceback of its own.
        os._exit(error.exit_code)


def _lock() -> None:
    """Let one run at a time work in this folder; the lock dies with the process."""
    folder = Path("results")
    folder.mkdir(exist_ok=True)
    handle = (folder / ".lock").open("w")
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        raise UserError(
            "another run works in this folder",
            where=str(folder.resolve()),
            do="wait for it to end, or run in another folder",
        ) from None
    _LOCKS.append(handle)
