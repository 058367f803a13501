"""The scenarios of a study: keys that may be set, and the study as each one changes it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from ketamine_outcomes import study_schema as schema
from ketamine_outcomes.study import Study
from ketamine_outcomes.study_checks import Path, Problem, problems
from ketamine_outcomes.study_definition import overlay, validate
from ketamine_outcomes.study_explain import did_you_mean, explain, listed
from ketamine_outcomes.study_faults import first_causes, text_items
from ketamine_outcomes.study_yaml import Fault, Node

#: Sections that name or publish a study, and keys that are used before scenarios part.
NOT_IN_SCENARIO = ("name", "title", "question", "notes", "scenarios", "disclosure")
READ_ONCE = ("source", "path", "times", "patients", "seed", "null", "waivers")


def check(study: Study, tree: Node, known: Mapping[str, list[str]]) -> list[Fault]:
    """Return what is wrong with the scenarios of a study that is otherwise as mended.

    What a scenario sets in a part that was taken out cannot be judged, and is left alone.
    """
    found: list[Fault] = []
    dump = study.model_dump(mode="json", by_alias=True)
    before = {(p.path, p.message) for p in problems(study, known)}
    taken = {"base": 0}
    scenarios = tree.child("scenarios")
    for node in scenarios.value if scenarios and isinstance(scenarios.value, list) else []:
        name, changes = node.value["name"], node.value["set"].value
        if name.value in taken:
            line = taken[name.value]
            what = f"the scenario name {name.value!r} is taken"
            said = f"line {line} has it" if line else "`base` is the study as written"
            found.append(Fault(name.line, what, f"choose another name: {said}", "scenario"))
        taken.setdefault(name.value, name.line)
        usable = {}
        for key, value in changes.items():
            if _is_out(tree, key):
                continue
            problem = _unsettable(dump, key)
            if problem is None:
                usable[key] = value
            else:
                what = f"scenario {name.value!r}: {problem.message}"
                found.append(Fault(value.key_line, what, problem.hint, "scenario"))
        if usable:
            found += _try(dump, usable, name.value, known, before)
    return found


def _is_out(tree: Node, key: str) -> bool:
    """Whether a dotted key leads to something that was taken out because of a fault."""
    node: Node | None = tree
    for part in key.split("."):
        if node is None:
            return False
        if part in node.gone:
            return True
        node = node.child(part)
    return False


def _unsettable(dump: dict[str, Any], key: str) -> Problem | None:
    """Return why a scenario cannot set a key, or None."""
    parts = key.split(".")
    if parts[0] in NOT_IN_SCENARIO:
        allowed = [name for name in Study.model_fields if name not in NOT_IN_SCENARIO]
        return Problem((), f"{parts[0]!r} is the same in all scenarios", listed(allowed))
    if parts[0] == "cohorts":
        if len(parts) < 3 or parts[1] != "*":
            said = f"{key!r} does not name one key of all cohorts"
            last = parts[-1] if len(parts) > 2 else "assume_route"
            return Problem((), said, f"write cohorts.*.{last}")
        if parts[2] in READ_ONCE:
            said = f"{parts[2]!r} is used once, before scenarios part"
            return Problem((), said, "add a second cohort, or write a second study")
    return _missing(Study, dump, parts, [])


def _missing(wanted: Any, content: Any, parts: Sequence[str], way: list[str]) -> Problem | None:
    """Follow a dotted key through the schema and the study."""
    if not parts:
        return None
    part, rest = parts[0], parts[1:]
    place = ".".join(way) or "the study"
    key = schema.discriminator(wanted)
    if key and isinstance(content, dict) and content.get(key) in schema.tags(wanted):
        wanted = schema.tags(wanted)[content[key]]
    found = schema.sections(wanted)
    if len(found) == 1:
        inside = schema.fields(found[0])
        if part in inside:
            child = content.get(part) if isinstance(content, dict) else None
            return _missing(inside[part].annotation, child, rest, [*way, part])
        allowed = list(inside)
    elif isinstance(content, dict):
        if part == "*":
            for child in content.values():
                problem = _missing(schema.item(wanted), child, rest, [*way, part])
                if problem is not None:
                    return problem
            return None
        allowed = schema.keys(wanted) or list(content)
        if part in allowed:
            return _missing(schema.item(wanted), content.get(part), rest, [*way, part])
    else:
        said = f"{place} is one value: nothing is inside it to set"
        return Problem((), said, f"set {place} as a whole")
    said = f"there is no {part!r} in {place}{did_you_mean(part, allowed)}"
    return Problem((), said, listed(allowed))


def _try(
    dump: dict[str, Any],
    changes: dict[str, Node],
    name: str,
    known: Mapping[str, list[str]],
    before: set[tuple[Path, str]],
) -> list[Fault]:
    """Check the study as a scenario changes it."""

    def culprit(path: Sequence[str | int]) -> tuple[Node, Sequence[str | int]]:
        """Return the value set that `path` lies in (else the first), and the way inside it."""
        for key, value in changes.items():
            parts = key.split(".")
            same = zip(parts, path, strict=False)
            if len(parts) <= len(path) and all(a in ("*", str(b)) for a, b in same):
                return value, path[len(parts) :]
        for key, value in changes.items():
            if key.split(".")[: len(path)] == [str(part) for part in path]:
                return value, ()
        return next(iter(changes.values())), ()

    def find(path: Sequence[str | int]) -> Node:
        value, inside = culprit(path)
        return value.find(inside)

    while True:
        plain = overlay(dump, {key: value.plain() for key, value in changes.items()})
        try:
            changed = validate(plain)
        except ValidationError as error:
            items = first_causes(error.errors(include_url=False))
            if text_items(items, find):
                continue
            found: dict[tuple[int, str], Fault] = {}
            for item in items:
                path = schema.spot(item["loc"]).path
                value, inside = culprit(path)
                fault = explain(item, value.find(inside), ".".join(map(str, path)))
                line = value.find(inside).at
                said = f"scenario {name!r}: {fault.message}"
                # `*` makes the same fault in every entry: one line is enough.
                found.setdefault((line, fault.hint), Fault(line, said, fault.hint, "scenario"))
            return list(found.values())
        return [
            Fault(find(p.path).at, f"scenario {name!r}: {p.message}", p.hint, "scenario")
            for p in problems(changed, known)
            if (p.path, p.message) not in before
        ]
