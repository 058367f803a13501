"""The steps of the pipeline: one module each, called by one thin rule each.

A step receives the sections of the study that it needs and nothing else, as canonical JSON: a
change of another section cannot reach it and does not rerun it.
"""

from __future__ import annotations

import importlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from ketamine_outcomes import files
from ketamine_outcomes.fingerprint import fingerprint
from ketamine_outcomes.study import Cohort, SimulatedCohort, SourceCohort, Study

DEFINITION = (
    "name", "index", "exposure", "windows", "eligibility", "covariates", "outcomes", "analyses",
)  # fmt: skip
#: Sections of the study that each step receives. `cohort` is the one cohort of the job.
SECTIONS: dict[str, tuple[str, ...]] = {
    "simulate": ("cohort",),
    "extract": ("cohort",),
    "exposure": ("cohort", "index"),
    "cohort": ("cohort", "index", "windows", "eligibility", "covariates"),
    "outcomes": ("index", "exposure", "windows", "outcomes"),
    "analyses": (*DEFINITION,),
    "scenarios": (*DEFINITION, "cohort", "scenarios"),
    "release": ("disclosure",),
    "figures": (*DEFINITION, "title", "disclosure", "cohort"),
    "tables": (*DEFINITION, "title", "disclosure", "cohort"),
    "page": (*Study.model_fields,),
    "manifest": (*Study.model_fields,),
}  # fmt: skip


@dataclass(frozen=True)
class Job:
    """What a step works on.

    Attributes
    ----------
    study
        The sections that the step may see; another section is not there.
    cohort_name
        Name of the cohort.
    cohort
        The cohort section, when the step receives it.
    folder
        results/<study>/<cohort>.
    hashes
        Definition hashes by scenario.
    extra_columns
        Columns beyond the contract that the study reads, by table (step extract).
    code
        Fingerprint of the step's code (step scenarios).
    """

    study: Study
    cohort_name: str
    folder: Path
    cohort: SourceCohort | SimulatedCohort | None = None
    hashes: dict[str, str] | None = None
    extra_columns: dict[str, list[str]] | None = None
    code: str = ""

    @property
    def private(self) -> Path:
        """Folder of row-level tables."""
        return self.folder / "private"

    def rooms(self) -> list[tuple[Path, Path, bool]]:
        """Return folder, estimates and privacy of both pages: the private one, the release."""
        release = self.folder / "release"
        return [
            (self.private, self.private / "estimates.parquet", True),
            (release, release / "estimates.csv", False),
        ]


def settings(study: Study, cohort: str, step: str, *, hashes: dict[str, str] | None = None) -> str:
    """Return the canonical JSON that a rule passes to a step."""
    dump = study.model_dump(mode="json", by_alias=True)
    content: dict[str, Any] = {"cohort_name": cohort, "sections": {}}
    for section in SECTIONS[step]:
        if section == "cohort":
            content["cohort"] = dump["cohorts"][cohort]
        else:
            content["sections"][section] = dump[section]
    if step == "extract":
        from ketamine_outcomes.extract.intake import declared_columns

        content["extra_columns"] = declared_columns(study)
    if step == "analyses":
        content["hashes"] = {"base": (hashes or {})["base"]}
    elif step in ("scenarios", "page", "manifest"):
        content["hashes"] = hashes
    if step == "scenarios":
        content["code"] = fingerprint("steps.scenarios")
    return files.canonical_json(content)


def job(content: str, folder: Path) -> Job:
    """Return the job that settings describe."""
    raw = json.loads(content)
    fields = Study.model_fields
    sections = {
        name: _adapter(fields[name].annotation).validate_python(value)
        for name, value in raw["sections"].items()
    }
    cohort = TypeAdapter(Cohort).validate_python(raw["cohort"]) if "cohort" in raw else None
    if cohort is not None:
        sections.setdefault("cohorts", {raw["cohort_name"]: cohort})
    elif "cohorts" in sections:
        cohort = sections["cohorts"][raw["cohort_name"]]
    return Job(
        study=Study.model_construct(**sections),
        cohort_name=raw["cohort_name"],
        folder=folder,
        cohort=cohort,
        hashes=raw.get("hashes"),
        extra_columns=raw.get("extra_columns"),
        code=raw.get("code", ""),
    )


def _adapter(annotation: Any) -> TypeAdapter[Any]:
    return TypeAdapter(annotation)


def run(step: str, content: str, folder: Path) -> None:
    """Run one step in `folder`."""
    private = folder / "private"
    private.mkdir(parents=True, exist_ok=True)
    private.chmod(0o700)
    importlib.import_module(f"ketamine_outcomes.steps.{step}").run(job(content, folder))
