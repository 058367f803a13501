"""The report: one self-contained page that tells the story first, then the detail."""

from __future__ import annotations

import base64
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ketamine_outcomes import files
from ketamine_outcomes.release import disclosure, wording
from ketamine_outcomes.release.page import definitions, limits, story
from ketamine_outcomes.release.page.glossary import GLOSSARY
from ketamine_outcomes.release.rows import Row, ok, records, where
from ketamine_outcomes.study import Study

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["render"]

_CONTENTS = (
    ("found", "What was found"),
    ("sure", "How sure"),
    ("wrong", "What could be wrong"),
    ("who", "Who"),
    ("exposure", "Exposure"),
    ("results", "Results"),
    ("definitions", "Definitions"),
    ("reproduce", "How to reproduce"),
    ("glossary", "Glossary"),
)
_RESULTS = (
    ("Opioid use", ("F9_mme",), ("T6_mme",)),
    ("Pain", ("F5_pain",), ("T5_pain",)),
    ("Events over time", ("F10_incidence",), ("T7_sites",)),
    ("Safety", (), ("T8_adverse_events",)),
    ("Models", (), ("T9_models",)),
)


def render(
    study: Study,
    cohort: str,
    estimates: pd.DataFrame,
    figures_folder: Path,
    tables_folder: Path,
    facts: dict[str, Any],
    private: bool,
) -> str:
    """Return the report as one HTML text without any outside request or script.

    Parameters
    ----------
    study, cohort
        The resolved study and the cohort's name.
    estimates
        The same rows that figures and tables were made from.
    figures_folder, tables_folder
        Folders that `figures.draw` and `tables.write` filled.
    facts
        `notes` (sentences of the intake), `definition_hash`, `versions` (name to version),
        `cohort_source`, `waivers` (of the identifier guard).
    private
        Whether this is the unsuppressed page that must not leave the data holder.
    """
    import jinja2
    from markupsafe import Markup

    rows = records(estimates, study)
    figures = {e["name"]: e for e in _index(figures_folder / "figures.json")}
    tables = {e["name"]: e for e in _index(tables_folder / "tables.json")}
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )

    def pictures(names: list[str]) -> Markup:
        return Markup("").join(
            _figure(figures[name], figures_folder) for name in names if name in figures
        )

    def grids(names: list[str]) -> Markup:
        return Markup("").join(
            _table(tables[name], tables_folder) for name in names if name in tables
        )

    simulated = wording.is_simulated(study, cohort)
    banners, sentences = _banners(simulated, private)
    template = environment.from_string(_resource("page.html.j2"))
    return template.render(
        study=study,
        cohort=cohort,
        simulated=simulated,
        banners=banners,
        banner_sentences=sentences,
        contents=_CONTENTS,
        css=Markup(_resource("page.css")),
        found=story.found(rows, study),
        sure=limits.sure(rows, study),
        refused=limits.refused(rows),
        notes=[*_remarks(rows), *_notes(facts, study, private)],
        waivers=_waivers(facts, study, cohort),
        policy=_policy(study, private),
        source=_source(facts, study, cohort),
        ledger=_ledger(rows),
        results=_results(figures, tables),
        definitions=definitions.sections(study),
        facts_shown=_facts(facts, study),
        glossary=GLOSSARY,
        pictures=pictures,
        grids=grids,
    )


def _resource(name: str) -> str:
    return resources.files(__package__).joinpath(name).read_text(encoding="utf-8")


def _index(path: Path) -> list[dict[str, str]]:
    entries: list[dict[str, str]] = files.read_json(path) if path.exists() else []
    return entries


def _figure(entry: dict[str, str], folder: Path) -> Any:
    from markupsafe import Markup

    image = base64.b64encode((folder / f"{entry['name']}.png").read_bytes()).decode("ascii")
    number = entry["name"].split("_")[0]
    return Markup(
        '<figure id="{name}"><div class="picture" tabindex="0" role="region" '
        'aria-label="Figure {number}: {title} ({name})">'
        '<img alt="{alt}" src="data:image/png;base64,{image}"></div>'
        "<figcaption><strong>Figure {number}. {title}.</strong> {caption}</figcaption></figure>"
    ).format(**entry, number=number, image=image)


def _table(entry: dict[str, str], folder: Path) -> Any:
    from markupsafe import Markup

    # the fragment was escaped when it was written
    fragment = Markup((folder / f"{entry['name']}.html").read_text(encoding="utf-8"))
    number = entry["name"].split("_")[0]
    return Markup(
        '<div class="box" tabindex="0" role="region" aria-label="Table {}">{}</div>'
    ).format(number, fragment)


def _banners(simulated: bool, private: bool) -> tuple[list[str], list[str]]:
    short, long = [], []
    if private:
        short.append("NOT FOR RELEASE")
        long.append("NOT FOR RELEASE: unsuppressed page for the data holder only.")
    if simulated:
        short.append(wording.SIMULATED)
        long.append(f"{wording.SIMULATED}: no real patient stands behind any number on this page.")
    return short, long


def _notes(facts: dict[str, Any], study: Study, private: bool) -> list[str]:
    notes = [str(note) for note in facts["notes"]]
    return notes if private else [disclosure.scrub(note, study.disclosure) for note in notes]


def _remarks(rows: list[Row]) -> list[str]:
    """Return what was counted beside the flow without taking anybody out."""
    return [
        f"{wording.count(row['estimate'])} {row['note']}."
        for row in where(rows, analysis="attrition", level="remark")
        if ok(row)
    ]


def _waivers(facts: dict[str, Any], study: Study, cohort: str) -> list[str]:
    """Return the waivers as sentences, from the facts or else from the study."""
    given = facts["waivers"] or getattr(study.cohorts.get(cohort), "waivers", ())
    out = []
    for waiver in given:
        if isinstance(waiver, str):
            out.append(waiver)
            continue
        cells = waiver if isinstance(waiver, dict) else waiver.model_dump()
        out.append(f"{cells['table']}.{cells['column']}: {cells['reason']}")
    return out


def _policy(study: Study, private: bool) -> str:
    if private:
        return "Nothing is hidden on this page; the released one follows the study's policy."
    return wording.policy(study)


def _source(facts: dict[str, Any], study: Study, cohort: str) -> str:
    unit = wording.unit_word(study)
    return (
        f"Cohort {cohort}, from {wording.source(str(facts['cohort_source']))}. "
        f"What is counted are {unit}; time zero is the {wording.time_zero(study)}."
    )


def _ledger(rows: list[Row]) -> list[tuple[str, str, str]]:
    return [
        (
            wording.label(row["term"].replace(":", ": ")),
            wording.words(row["level"]) or "all",
            wording.count(row["estimate"]) if ok(row) else wording.missing(row),
        )
        for row in where(rows, analysis="ledger", measure="count")
    ]


def _results(
    figures: dict[str, dict[str, str]], tables: dict[str, dict[str, str]]
) -> list[tuple[str, list[str], list[str]]]:
    out = []
    for heading, figure_stems, table_stems in _RESULTS:
        drawn = [name for stem in figure_stems for name in figures if name.startswith(stem)]
        written = [name for name in table_stems if name in tables]
        if drawn or written:
            out.append((heading, drawn, written))
    return out


def _facts(facts: dict[str, Any], study: Study) -> list[tuple[str, str]]:
    content = study.model_dump(mode="json", by_alias=True)
    return [
        ("Study hash (SHA-256)", files.sha256_text(files.canonical_json(content))),
        ("Definition hash (SHA-256)", str(facts["definition_hash"])),
        *((str(name), str(version)) for name, version in sorted(facts["versions"].items())),
    ]
