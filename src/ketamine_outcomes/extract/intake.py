"""One way into the pipeline: read a cohort's source, keep its patients, check the tables."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ketamine_outcomes.errors import UserError
from ketamine_outcomes.extract.tables import Extract
from ketamine_outcomes.study import SimulatedCohort, SourceCohort


@dataclass
class Intake:
    """A cohort's extract and what was found on the way in."""

    extract: Extract
    faults: list[object]

    def report(self, cohort_name: str) -> dict[str, object]:
        """Return what private/intake.json holds."""
        return {
            "cohort": cohort_name,
            "notes": self.extract.notes,
            "tables": {
                name: {"rows": len(t), "patients": int(t["patient_id"].nunique())}
                for name, t in self.extract.tables.items()
            },
        }


def read_cohort(cohort: SourceCohort | SimulatedCohort, folder: Path) -> Intake:
    """Read, filter and check the source of a cohort.

    Raises
    ------
    UserError
        The folder is not there, the source cannot be read as declared, a declared patient is not
        in it, or its tables break the contract.
    """
    if not folder.is_dir():
        raise UserError(
            "the source of the cohort is not there",
            where=str(folder),
            do="`path` is a folder, seen from where you run; check the spelling",
        )
    extract = _read(cohort, folder)
    if isinstance(cohort, SourceCohort) and cohort.patients is not None:
        _keep(extract, cohort.patients)
    return Intake(extract, [])


def _read(cohort: SourceCohort | SimulatedCohort, folder: Path) -> Extract:
    if cohort.source == "mimic_iv":
        from ketamine_outcomes.extract.readers import mimic_iv

        return mimic_iv.read(folder)
    if cohort.source == "mimic_iii":
        from ketamine_outcomes.extract.readers import mimic_iii

        return mimic_iii.read(folder)
    raise NotImplementedError


def _keep(extract: Extract, patients: tuple[str, ...]) -> None:
    known = set(extract.rows("patients")["patient_id"])
    missing = sum(patient not in known for patient in patients)
    if missing:
        raise UserError(
            f"{missing} of the {len(patients)} patients of the cohort are not in its source",
            do="check `patients` of the cohort in the study file",
        )
    for name, table in extract.tables.items():
        kept = table[table["patient_id"].isin(list(patients))].reset_index(drop=True)
        extract.tables[name] = kept


def check_study(path: Path, folder: Path | None = None) -> dict[str, Any]:
    """Check a study file and the extracts of its cohorts."""
    raise NotImplementedError


def in_words(result: dict[str, Any]) -> str:
    """Return a check's result as lines to read."""
    raise NotImplementedError
