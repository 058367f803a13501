"""One way into the pipeline: read a cohort's source, check its tables, keep its patients."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ketamine_outcomes.errors import UserError, UserErrors
from ketamine_outcomes.extract import checks, identifiers, questions
from ketamine_outcomes.extract.faults import Fault, counted
from ketamine_outcomes.extract.tables import TABLES, Extract
from ketamine_outcomes.study import Covariate, Eligibility, SimulatedCohort, SourceCohort, Study

Columns = Mapping[str, Sequence[str]]


@dataclass
class Intake:
    """A cohort's cleaned extract and what was found on the way in."""

    extract: Extract
    faults: list[Fault]

    def report(self, study: str) -> dict[str, Any]:
        """Return what `check --json` prints and private/intake.json holds."""
        return questions.intake(self.extract, self.faults, study=study)

    def notes(self) -> list[str]:
        """Return assumptions, warnings and notes as sentences for the report."""
        found = [
            f"{fault.table or fault.file}: {fault.message}"
            for fault in self.faults
            if fault.severity != "error"
        ]
        return [*self.extract.notes, *found]


def declared_columns(study: Study) -> dict[str, list[str]]:
    """Return the columns beyond the contract that a study reads, by table."""
    found: dict[str, set[str]] = {}
    rules: list[Covariate | Eligibility] = [
        *study.covariates.values(),
        *study.eligibility.values(),
    ]
    for rule in rules:
        table, _, column = rule.reads.partition(".")
        if table in TABLES and table != "measurements" and column not in TABLES[table].names:
            found.setdefault(table, set()).add(column)
    return {table: sorted(columns) for table, columns in found.items()}


def read_cohort(
    cohort: SourceCohort | SimulatedCohort, folder: Path, extra_columns: Columns | None = None
) -> Intake:
    """Read, check and filter the source of a cohort; errors are among the faults.

    Raises
    ------
    UserError
        The folder is not there, or a declared patient is not in it.
    """
    if not folder.is_dir():
        raise UserError(
            "the source of the cohort is not there",
            where=str(folder),
            do="`path` is a folder, seen from where you run; check the spelling",
        )
    times = cohort.times if isinstance(cohort, SourceCohort) else "shifted"
    waivers = [(w.table, w.column) for w in getattr(cohort, "waivers", ())]
    files: dict[str, str] = {}
    if cohort.source in ("tabular", "simulated"):
        from ketamine_outcomes.extract.readers import tabular

        extract, faults = tabular.read(folder, times, extra_columns=extra_columns, waivers=waivers)
        files = tabular.file_names(folder)
    else:
        extract = _read_mimic(cohort.source, folder)
        faults = identifiers.check_identifiers(extract, times, waivers=waivers)
    if isinstance(cohort, SourceCohort) and cohort.patients is not None:
        _keep(extract, cohort.patients)
    cleaned, found = checks.clean(
        extract, cohort.max_bad_rows, times=times, files=files, earlier=faults
    )
    return Intake(cleaned, [*faults, *found])


def _read_mimic(source: str, folder: Path) -> Extract:
    if source == "mimic_iv":
        from ketamine_outcomes.extract.readers import mimic_iv

        return mimic_iv.read(folder)
    from ketamine_outcomes.extract.readers import mimic_iii

    return mimic_iii.read(folder)


def _keep(extract: Extract, patients: tuple[str, ...]) -> None:
    known = set(extract.rows("patients")["patient_id"])
    missing = sum(patient not in known for patient in patients)
    if missing:
        raise UserError(
            f"{missing} of the {len(patients)} patients of the cohort are not in its source",
            do="check `patients` of the cohort in the study file",
        )
    for name, table in extract.tables.items():
        extract.tables[name] = table[table["patient_id"].isin(list(patients))]


def check_study(path: Path, folder: Path | None = None) -> dict[str, Any]:
    """Check a study file and the extracts of its cohorts.

    Parameters
    ----------
    path
        Study file.
    folder
        Folder to read in place of each cohort's own path.

    Returns
    -------
    dict
        The object of the contract: study, exit, faults, tables, questions.
    """
    from ketamine_outcomes import study_file

    empty = {"study": path.stem, "exit": 2, "faults": [], "tables": {}, "questions": []}
    try:
        study = study_file.load(path)
    except UserErrors as error:
        return {**empty, "faults": [_study_fault(fault, path) for fault in error.faults]}
    except UserError as error:
        return {**empty, "faults": [_study_fault(error, path)]}
    results = []
    for name, cohort in study.cohorts.items():
        if isinstance(cohort, SimulatedCohort) and folder is None:
            results.append(_made_by_the_run(study.name, name))
            continue
        source = folder or Path(getattr(cohort, "path", ""))
        try:
            intake = read_cohort(cohort, source, declared_columns(study))
        except UserError as error:
            return {**empty, "study": study.name, "faults": [_study_fault(error, path)]}
        results.append(intake.report(study.name))
    return _merged(study.name, results)


def _made_by_the_run(study: str, cohort: str) -> dict[str, Any]:
    note = Fault("note", "simulated", message=f"the cohort {cohort} is made by the run itself")
    return {"study": study, "exit": 0, "faults": [note.to_json()], "tables": {}, "questions": []}


def _study_fault(error: UserError, path: Path) -> dict[str, Any]:
    fault = Fault("error", "study", file=error.where or str(path), message=error.what,
                  hint=error.do)  # fmt: skip
    return fault.to_json()


def _merged(name: str, results: list[dict[str, Any]]) -> dict[str, Any]:
    """Return one object for all cohorts: counts add up, faults stand one after the other."""
    whole: dict[str, Any] = {"study": name, "exit": 0, "faults": [], "tables": {}, "questions": []}
    for result in results:
        whole["exit"] = max(whole["exit"], result["exit"])
        whole["faults"] += result["faults"]
        for table, counts in result["tables"].items():
            sums = whole["tables"].setdefault(table, {"rows": 0, "patients": 0})
            for key in sums:
                sums[key] += counts[key]
        for question in result["questions"]:
            known = next((q for q in whole["questions"] if q["id"] == question["id"]), None)
            if known is None:
                whole["questions"].append(dict(question))
            elif question["answerable"]:
                known["answerable"], known["why"] = True, ""
                known["n_patients"] += question["n_patients"]
    return whole


def in_words(result: dict[str, Any]) -> str:
    """Return a check's result as lines to read."""
    lines = [f"{result['study']}:"]
    for table, counts in result["tables"].items():
        rows = counted(counts["rows"], "row")
        lines.append(f"  {table}: {rows}, {counted(counts['patients'], 'patient')}")
    for question in result["questions"]:
        answer = (
            counted(question["n_patients"], "patient")
            if question["answerable"]
            else f"cannot be answered: {question['why']}"
        )
        lines.append(f"  {question['id']}: {answer}")
    for fault in result["faults"]:
        shown = Fault(**{**fault, "first_rows": tuple(fault["first_rows"])}).to_error()
        lines.append(f"{fault['severity']}: {shown}")
    lines.append("nothing stands in the way of a run" if result["exit"] == 0 else "not usable yet")
    return "\n".join(lines)
