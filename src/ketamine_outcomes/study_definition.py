"""What a study defines: its scenarios resolved, and the hash of the definitions.

Kept apart from the reading of the file, so that a step that resolves a scenario does not depend
on the wording of faults.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from ketamine_outcomes import files
from ketamine_outcomes.exposure import factors
from ketamine_outcomes.study import Study

#: Sections that belong to the data holder or the reader, not to the definition of the numbers.
NOT_DEFINITION = ("name", "title", "question", "notes", "cohorts", "disclosure", "scenarios")


def validate(plain: Any) -> Study:
    """Return the study of plain content; text is never taken for a number or a truth value."""
    return Study.model_validate_json(json.dumps(plain), strict=True)


def resolve(study: Study, scenario: str) -> Study:
    """Return the study as a scenario defines it; `base` is the study as written."""
    if scenario == "base":
        return study
    chosen = next(item for item in study.scenarios if item.name == scenario)
    dump = study.model_dump(mode="json", by_alias=True)
    return validate(overlay(dump, chosen.set))


def definition(study: Study, changed: Sequence[str] = ()) -> str:
    """Return the SHA-256 of a resolved study's definitions and of its factor rows.

    Parameters
    ----------
    study
        Resolved study.
    changed
        Dotted keys that the scenario sets: values under `cohorts` enter the hash only then,
        once and without the names of the cohorts, so that data holders agree on it.
    """
    dump = study.model_dump(mode="json", by_alias=True)
    content = {key: value for key, value in dump.items() if key not in NOT_DEFINITION}
    cohorts = {key: _value_set(dump, key) for key in changed if key.startswith("cohorts.")}
    if cohorts:
        content["cohorts"] = cohorts
    rows = factors.selected_rows(study.exposure.factors)
    return files.sha256_text(files.canonical_json(content) + files.canonical_json(rows))


def scenario_definition(study: Study, scenario: str) -> str:
    """Return the definition hash of one scenario of a study."""
    changed = next((tuple(item.set) for item in study.scenarios if item.name == scenario), ())
    return definition(resolve(study, scenario), changed)


def _value_set(dump: dict[str, Any], key: str) -> Any:
    """Return the value that a scenario gave to `cohorts.*.KEY`, typed by the schema."""
    nodes: list[Any] = [dump]
    for part in key.split("."):
        nodes = [
            child
            for node in nodes
            if isinstance(node, dict)
            for child in (node.values() if part == "*" else [node.get(part)])
        ]
    return nodes[0] if nodes else None


def overlay(content: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Return a copy of `content` with dotted keys set; `*` stands for every entry."""
    result: dict[str, Any] = json.loads(json.dumps(content))
    for key, value in changes.items():
        nodes: list[Any] = [result]
        *parents, last = key.split(".")
        for part in parents:
            nodes = [
                child
                for node in nodes
                for child in (list(node.values()) if part == "*" else [_inside(node, part)])
            ]
        for node in nodes:
            for name in list(node) if last == "*" else [last]:
                node[name] = json.loads(json.dumps(value))
    return result


def _inside(node: dict[str, Any], part: str) -> Any:
    if node.get(part) is None:
        node[part] = {}
    return node[part]
