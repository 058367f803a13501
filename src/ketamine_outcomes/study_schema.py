"""Questions to the model of the study file: what may stand at a place, and what it looks like.

The loader's messages, the JSON schema and the reference of the keys all ask here, so that they
cannot disagree with `study.py`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from ketamine_outcomes.study import Study
from ketamine_outcomes.study_section import Section

#: What a key can look like, where its default does not show it.
EXAMPLES: dict[str, str] = {
    "name": "my-study",
    "title": "Opioid need around intravenous ketamine",
    "notes": "[One patient only: values are described.]",
    "cohorts": "{registry: {source: tabular, path: data/registry, times: shifted}}",
    "index": "{drug: ketamine, routes: [iv, sc]}",
    "outcomes": "{opioid: {kind: mme}}",
    "analyses": "{windows: {kind: description, outcomes: [opioid]}}",
    "disclosure": "{policy: cms}",
    "scenarios": "[{name: factors-high, set: {exposure.factors: cdc2022+inpatient+high}}]",
    "set": "{exposure.factors: cdc2022+inpatient+high}",
    "primary": "{mme: mme_change}",
    "eligibility": "{adult: {from: patients.age_years, at_least: 18}}",
    "covariates": "{age: {from: patients.age_years, role: confounder}}",
    "path": "data/registry",
    "times": "shifted",
    "patients": '["1001", "1002"]',
    "drug": "ketamine",
    "sources": "[icu]",
    "from": "patients.age_years",
    "groups": "{on dialysis: [hemodialysis, peritoneal, crrt]}",
    "any_of": "[hemodialysis, peritoneal]",
    "at_least": "18",
    "at_most": "75",
    "equals": "true",
    "fall_at_least": "0.3",
    "points_at_least": "2",
    "signs": "[erythema, swelling, leak]",
    "grade_at_least": "2",
    "events": "[hallucination, sedation]",
    "outcome": "opioid",
    "by": "arm",
    "adjust": "[age]",
    "feed_priority": "[icu, emar]",
    "assume_route": "{parenteral: iv}",
    "waivers": "[{table: doses, column: product, reason: Product names without patient data}]",
    "table": "doses",
    "column": "product",
    "reason": "Product names without patient data",
    "comparator": "{at: stay_start}",
    "threshold": "10",
    "firth": "true",
    "event": "{grade_at_least: 2}",
    "question": "What opioids were given before and after ketamine?",
    "kind": "mme",
    "source": "tabular",
    "policy": "cms",
    "at": "stay_start",
    "assume_observed": "first_to_last_record",
}
#: Rules about a whole section: what obeys them, and the keys that they are about.
RULES: dict[str, tuple[str, frozenset[str]]] = {
    "Index": ("drug: ketamine", frozenset(("unit", "drug"))),
    "Windows": (
        "baseline: [-24, 0] and follow_up: [[0, 24], [24, 48]]",
        frozenset(("baseline", "follow_up", "primary_mme")),
    ),
    "Eligibility": (
        "{from: patients.age_years, at_least: 18}",
        frozenset(("at_least", "at_most", "any_of", "equals")),
    ),
    "ResponderOutcome": (
        "fall_at_least: 0.3",
        frozenset(("fall_at_least", "points_at_least")),
    ),
    "SiteEvent": ("grade_at_least: 2", frozenset(("signs", "grade_at_least"))),
    "Disclosure": ("policy: custom and threshold: 10", frozenset(("policy", "threshold"))),
}
#: A rule that is not in the list may be about any key.
NO_RULE: tuple[str, frozenset[str]] = ("", frozenset())


@dataclass(frozen=True)
class Spot:
    """A place in the study file and what the schema has there.

    `path` is its place in the document, `schema` its type, `field` the key's own description.
    """

    path: tuple[str | int, ...]
    schema: Any
    field: FieldInfo | None = None
    owner: Any = None


def strip(schema: Any) -> Any:
    """Return a type without its annotations and without `| None`."""
    while True:
        if get_origin(schema) is Annotated:
            schema = get_args(schema)[0]
        elif get_origin(schema) in (Union, UnionType) and NoneType in get_args(schema):
            rest = [arg for arg in get_args(schema) if arg is not NoneType]
            schema = rest[0] if len(rest) == 1 else Union[tuple(rest)]  # noqa: UP007
        else:
            return schema


def sections(schema: Any) -> list[type[Section]]:
    """Return the section or sections that may stand where `schema` is."""
    schema = strip(schema)
    if isinstance(schema, type) and issubclass(schema, Section):
        return [schema]
    if get_origin(schema) in (Union, UnionType):
        return [found for member in get_args(schema) for found in sections(member)]
    return []


def fields(section: type[Section]) -> dict[str, FieldInfo]:
    """Return the keys of a section, as they are written, with their fields."""
    return {info.alias or name: info for name, info in section.model_fields.items()}


def keys(schema: Any) -> list[str]:
    """Return the keys that a section, or any of several kinds of it, can have."""
    found = [key for section in sections(schema) for key in fields(section)]
    if not found and get_origin(strip(schema)) is dict:
        found = words(get_args(strip(schema))[0])
    return list(dict.fromkeys(found))


def discriminator(schema: Any) -> str:
    """Return the key that says which of several sections is meant, or an empty string."""
    if len(sections(schema)) < 2:
        return ""
    return "kind" if "kind" in fields(sections(schema)[0]) else "source"


def tags(schema: Any) -> dict[str, type[Section]]:
    """Return the words of the discriminator with the section that each stands for."""
    key = discriminator(schema)
    return {
        word: section
        for section in sections(schema)
        for word in words(fields(section)[key].annotation)
    }


def words(schema: Any) -> list[str]:
    """Return the words that a closed vocabulary allows, else nothing."""
    schema = strip(schema)
    return [str(word) for word in get_args(schema)] if get_origin(schema) is Literal else []


def rule(wanted: Any) -> tuple[str, frozenset[str]]:
    """Return what obeys the rule about a whole section, and the keys that it is about."""
    found = sections(wanted)
    return RULES.get(found[0].__name__, NO_RULE) if found else NO_RULE


def is_window(schema: Any) -> bool:
    """Whether a type is a pair of numbers [from, to)."""
    return bool(strip(schema) == tuple[float, float])


def item(schema: Any) -> Any:
    """Return the type of a list's items or of a mapping's values."""
    arguments = get_args(strip(schema))
    return arguments[-1 if get_origin(strip(schema)) is dict else 0] if arguments else None


def spot(loc: Sequence[str | int]) -> Spot:
    """Return the place that the location of a schema error means.

    The location names the kind of a section where it had to choose one; a document does not.
    """
    here = Spot((), Study)
    for part in loc:
        if part == "[key]":
            continue
        schema = strip(here.schema)
        found = sections(schema)
        if len(found) > 1 and part in tags(schema):
            here = Spot(here.path, tags(schema)[str(part)], here.field, here.owner)
            continue
        path = (*here.path, part)
        if len(found) == 1:
            field = fields(found[0]).get(str(part))
            here = Spot(path, field.annotation if field else None, field, found[0])
        else:
            here = Spot(path, item(schema), None, schema)
    return here


def flow(value: Any) -> str:
    """Return a value as it would stand on one line of a study file."""
    if isinstance(value, bool) or value is None:
        return json.dumps(value)
    if isinstance(value, int | float):
        return f"{value:g}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(flow, value)) + "]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {flow(item)}" for key, item in value.items()) + "}"
    text = str(value)
    plain = re.fullmatch(r"[A-Za-z][\w .+/*-]*", text) and text not in ("true", "false", "null")
    return text if plain else json.dumps(text, ensure_ascii=False)


def default(field: FieldInfo) -> Any:
    """Return the default of a key as it would be read from a file, None if there is none."""
    value = field.get_default(call_default_factory=True, validated_data={})
    if value is PydanticUndefined:
        return None
    if isinstance(value, Section):
        return value.model_dump(mode="json", by_alias=True, exclude_none=True)
    return value


def example(key: str, field: FieldInfo | None) -> str:
    """Return `key: value` as an example."""
    value = default(field) if field is not None else None
    if value is not None and value not in ((), {}, "") and key not in ("notes", "scenarios"):
        return f"{key}: {flow(value)}"
    if key in EXAMPLES:
        return f"{key}: {EXAMPLES[key]}"
    allowed = words(field.annotation) if field is not None else []
    return f"{key}: {allowed[0]}" if allowed else ""


def section_of(key: str, beside: str) -> str:
    """Return a top section, other than `beside`, that has a key of this name, or nothing."""
    if key in Study.model_fields:
        return "the top level"
    for name, field in Study.model_fields.items():
        found = sections(field.annotation)
        if name != beside and len(found) == 1 and key in fields(found[0]):
            return name
    return ""
