"""Reading a study file: every fault at once, each with its line and what is allowed.

YAML 1.2 (so `no` stays a word and 12:30 stays text); a repeated key is a fault. Nothing is
merged in from elsewhere: the file is the whole study.
"""

from __future__ import annotations

import datetime
import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from ketamine_outcomes import files
from ketamine_outcomes.errors import UserError, UserErrors
from ketamine_outcomes.exposure import factors
from ketamine_outcomes.extract import tables
from ketamine_outcomes.study import (
    AdverseEventOutcome,
    BeforeAfter,
    DeathOutcome,
    Description,
    Hazard,
    Incidence,
    MMEOutcome,
    PainOutcome,
    ReliefOutcome,
    SiteOutcome,
    Study,
    Survival,
    Trajectory,
)

#: Sections that belong to the data holder or the reader, not to the definition of the numbers.
NOT_DEFINITION = ("name", "title", "question", "notes", "cohorts", "disclosure", "scenarios")
COVARIATE_SOURCES = ("patients", "measurements", "index", "infusion_sites", "hours_observed", "scores")


@dataclass(frozen=True)
class Fault:
    """One fault of a study file at a 1-based line."""

    line: int
    message: str
    hint: str = ""


class StudyFaults(UserErrors):
    """All faults of one study file."""

    def __init__(self, path: Path, found: list[Fault]) -> None:
        self.found = sorted(dict.fromkeys(found), key=lambda fault: (fault.line, fault.message))
        noun = "fault" if len(self.found) == 1 else "faults"
        super().__init__(
            (
                UserError(fault.message, where=f"{path}:{fault.line}", do=fault.hint)
                for fault in self.found
            ),
            heading=f"{len(self.found)} {noun} in {path}",
        )


def load(path: Path) -> Study:
    """Read and check a study file.

    Raises
    ------
    UserError
        The file cannot be read, or `StudyFaults` with all its faults.
    """
    document = _parse(path)
    found: list[Fault] = []
    plain = _plain(document)
    study = None
    try:
        study = Study.model_validate(plain)
    except ValidationError as error:
        found += [_explain(document, plain, item) for item in error.errors(include_url=False)]
    if plain.get("name") and plain["name"] != path.stem:
        found.append(
            Fault(
                _line(document, ("name",)),
                "the name of the study differs from the name of its file",
                f"write name: {path.stem}, or rename the file",
            )
        )
    if study is not None:
        found += _cross_check(document, study)
        found += _check_scenarios(document, plain)
    if found:
        raise StudyFaults(path, found)
    assert study is not None
    return study


def resolve(study: Study, scenario: str) -> Study:
    """Return the study as a scenario defines it; `base` is the study as written."""
    if scenario == "base":
        return study
    chosen = next(item for item in study.scenarios if item.name == scenario)
    return Study.model_validate(_overlay(study.model_dump(mode="json", by_alias=True), chosen.set))


def definition(study: Study, changed: Sequence[str] = ()) -> str:
    """Return the SHA-256 of a resolved study's definitions and of its factor rows.

    Parameters
    ----------
    study
        Resolved study.
    changed
        Dotted keys that the scenario sets: values under `cohorts` enter the hash only then.
    """
    dump = study.model_dump(mode="json", by_alias=True)
    content = {key: value for key, value in dump.items() if key not in NOT_DEFINITION}
    content["cohorts"] = {key: _get(dump, key) for key in changed if key.startswith("cohorts.")}
    if not content["cohorts"]:
        del content["cohorts"]
    rows = factors.selected_rows(study.exposure.factors)
    return files.sha256_text(files.canonical_json(content) + files.canonical_json(rows))


def scenario_definition(study: Study, scenario: str) -> str:
    """Return the definition hash of one scenario of a study."""
    changed = next((tuple(item.set) for item in study.scenarios if item.name == scenario), ())
    return definition(resolve(study, scenario), changed)


# --- reading ----------------------------------------------------------------------------------


def _parse(path: Path) -> Any:
    from ruamel.yaml import YAML
    from ruamel.yaml.error import MarkedYAMLError

    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        near = difflib.get_close_matches(path.name, [p.name for p in path.parent.glob("*.yaml")], 1)
        hint = f"did you mean {path.parent / near[0]}?" if near else "give the path of a study file"
        raise UserError("there is no such study file", where=str(path), do=hint) from None
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(
            f"the study file cannot be read ({type(error).__name__})",
            where=str(path),
            do="a study is one UTF-8 YAML file",
        ) from None
    try:
        document = YAML(typ="rt").load(text)
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        problem = (error.problem or "this is not YAML").split("\n")[0]
        raise StudyFaults(
            path, [Fault(mark.line + 1 if mark else 1, f"not readable as YAML: {problem}")]
        ) from None
    if not isinstance(document, Mapping):
        raise StudyFaults(path, [Fault(1, "a study is a mapping of keys, e.g. name: my-study")])
    return document


def _plain(node: Any) -> Any:
    if isinstance(node, Mapping):
        return {str(key): _plain(value) for key, value in node.items()}
    if isinstance(node, bool) or node is None:
        return node
    if isinstance(node, int):
        return int(node)
    if isinstance(node, float):
        return float(node)
    if isinstance(node, datetime.date):
        return node.isoformat()
    if isinstance(node, Sequence) and not isinstance(node, str):
        return [_plain(value) for value in node]
    return str(node)


def _line(document: Any, loc: Sequence[str | int]) -> int:
    """Return the 1-based line of the deepest part of `loc` that stands in the document."""
    node, line = document, 1
    for part in loc:
        try:
            if isinstance(node, Mapping):
                line = node.lc.key(part)[0] + 1  # type: ignore[attr-defined]
            elif isinstance(node, Sequence) and not isinstance(node, str):
                line = node.lc.item(part)[0] + 1  # type: ignore[attr-defined]
            node = node[part]
        except (KeyError, IndexError, TypeError, AttributeError):
            break
    return line


# --- explaining -------------------------------------------------------------------------------


def _explain(document: Any, plain: Any, item: Any) -> Fault:
    """Turn one error of the schema into a fault in the user's words."""
    kind, context = item["type"], item.get("ctx", {})
    loc = _in_document(plain, item["loc"])
    key = str(loc[-1]) if loc else ""
    where = ".".join(str(part) for part in loc)
    line = _line(document, loc)
    if kind == "extra_forbidden":
        allowed = _allowed_keys(item["loc"][:-1])
        return Fault(line, f"unknown key {key!r}{_near(key, allowed)}", _list(allowed))
    if kind == "missing":
        missing = str(item["loc"][-1])
        return Fault(
            _line(document, loc),
            f"{where or 'the study'} lacks the key {missing!r}",
            _meaning(item["loc"]),
        )
    if kind in ("literal_error", "enum"):
        allowed = [word.strip(" '") for word in context["expected"].replace(" or ", ",").split(",")]
        value = str(item["input"])
        return Fault(line, f"{where}: {value!r} is not allowed{_near(value, allowed)}", _list(allowed))
    if kind == "union_tag_invalid":
        allowed = [word.strip(" '") for word in context["expected_tags"].split(",")]
        tag = context["discriminator"].strip("'")
        value = context["tag"]
        return Fault(
            _line(document, (*loc, tag)),
            f"{where}.{tag}: {value!r} is not allowed{_near(value, allowed)}",
            _list(allowed),
        )
    if kind == "union_tag_not_found":
        tag = context["discriminator"].strip("'")
        return Fault(line, f"{where} lacks the key {tag!r}", _list(_tags(item["loc"])))
    message = item["msg"].removeprefix("Value error, ").removeprefix("Input should be ")
    if kind != "value_error":
        message = f"should be {message}" if not message.startswith("should") else message
    return Fault(line, f"{where or 'the study'}: {message}", _meaning(item["loc"]))


def _in_document(plain: Any, loc: Sequence[str | int]) -> tuple[str | int, ...]:
    """Drop the parts of an error's location that are names of union members, not keys."""
    path: list[str | int] = []
    node = plain
    for part in loc:
        if isinstance(node, dict) and part in node:
            path.append(part)
            node = node[part]
        elif isinstance(node, list) and isinstance(part, int) and part < len(node):
            path.append(part)
            node = node[part]
    return tuple(path)


def _model_at(loc: Sequence[str | int]) -> Any:
    """Return the model (or annotation) that the schema has at a location."""
    node: Any = Study
    for part in loc:
        node = _step(node, part)
    return node


def _step(node: Any, part: str | int) -> Any:
    if isinstance(node, type) and issubclass(node, BaseModel):
        for name, info in node.model_fields.items():
            if part in (name, info.alias):
                return info.annotation
        return None
    members = [m for m in get_args(node) if isinstance(m, type) and issubclass(m, BaseModel)]
    for member in members:
        for tag in ("kind", "source"):
            if tag in member.model_fields and part in get_args(member.model_fields[tag].annotation):
                return member
    arguments = [a for a in get_args(node) if a is not type(None)]
    if not arguments:
        return node
    if members and len(members) == 1 and part in _field_names(members[0]):
        return _step(members[0], part)
    last = arguments[-1] if arguments[-1] is not Ellipsis else arguments[0]
    return _unwrap(last)


def _unwrap(node: Any) -> Any:
    while hasattr(node, "__metadata__"):
        node = get_args(node)[0]
    return node


def _field_names(model: type[BaseModel]) -> list[str]:
    return [info.alias or name for name, info in model.model_fields.items()]


def _allowed_keys(loc: Sequence[str | int]) -> list[str]:
    model = _model_at(loc)
    if isinstance(model, type) and issubclass(model, BaseModel):
        return _field_names(model)
    found = [m for m in get_args(model) if isinstance(m, type) and issubclass(m, BaseModel)]
    return list(dict.fromkeys(name for member in found for name in _field_names(member)))


def _tags(loc: Sequence[str | int]) -> list[str]:
    words: list[str] = []
    for member in get_args(_unwrap(_model_at(loc))):
        for tag in ("kind", "source"):
            if hasattr(member, "model_fields") and tag in member.model_fields:
                words += get_args(member.model_fields[tag].annotation)
    return words


def _meaning(loc: Sequence[str | int]) -> str:
    model = _model_at(loc[:-1])
    for member in (model, *get_args(model)):
        if isinstance(member, type) and issubclass(member, BaseModel):
            for name, info in member.model_fields.items():
                if loc and loc[-1] in (name, info.alias) and info.description:
                    return info.description
    return ""


def _near(word: str, allowed: Sequence[str]) -> str:
    near = difflib.get_close_matches(word, allowed, n=1, cutoff=0.6)
    return f", did you mean {near[0]!r}?" if near else ""


def _list(allowed: Sequence[str]) -> str:
    return "allowed: " + ", ".join(allowed) if allowed else ""


# --- what the schema alone cannot see ---------------------------------------------------------


def _cross_check(document: Any, study: Study) -> list[Fault]:
    found: list[Fault] = []

    def fault(loc: Sequence[str | int], message: str, hint: str = "") -> None:
        found.append(Fault(_line(document, loc), message, hint))

    def refer(loc: tuple[str | int, ...], name: str, among: Sequence[str], what: str) -> bool:
        if name in among:
            return True
        fault(loc, f"{name!r} is no {what} of this study{_near(name, among)}", _list(among))
        return False

    try:
        factors.parse(study.exposure.factors)
    except UserError as error:
        fault(("exposure", "factors"), error.what, error.do)
    for name, rule in study.eligibility.items():
        _check_source(("eligibility", name, "from"), rule.reads, fault)
    for name, covariate in study.covariates.items():
        _check_source(("covariates", name, "from"), covariate.reads, fault)
    _check_words(study, fault)
    fits: dict[type, tuple[type, ...]] = {
        BeforeAfter: (MMEOutcome, PainOutcome),
        Trajectory: (PainOutcome,),
        Incidence: (ReliefOutcome, SiteOutcome),
        Hazard: (ReliefOutcome, SiteOutcome),
        Survival: (DeathOutcome,),
    }
    for name, analysis in study.analyses.items():
        here = ("analyses", name)
        if name in ("attrition", "ledger", "characteristics"):
            fault(here, f"{name!r} is the name of a table that is always made", "choose another")
        if isinstance(analysis, Description):
            for i, outcome in enumerate(analysis.outcomes):
                refer((*here, "outcomes", i), outcome, list(study.outcomes), "outcome")
        elif refer((*here, "outcome"), analysis.outcome, list(study.outcomes), "outcome"):
            kinds = fits[type(analysis)]
            if not isinstance(study.outcomes[analysis.outcome], kinds):
                words = [k.model_fields["kind"].annotation for k in kinds]  # type: ignore[attr-defined]
                fault(
                    (*here, "outcome"),
                    f"a {analysis.kind} analysis cannot take an outcome of kind "
                    f"{study.outcomes[analysis.outcome].kind}",
                    _list([word for annotation in words for word in get_args(annotation)]),
                )
        if analysis.by is not None:
            refer((*here, "by"), analysis.by, list(study.covariates), "covariate")
        for i, covariate in enumerate(getattr(analysis, "adjust", ())):
            if refer((*here, "adjust", i), covariate, list(study.covariates), "covariate"):
                role = study.covariates[covariate].role
                if role != "confounder":
                    fault(
                        (*here, "adjust", i),
                        f"{covariate!r} has the role {role}: only a confounder may be adjusted for",
                        "change its role, or leave it out",
                    )
    for domain, name in study.primary.items():
        refer(("primary", domain), name, list(study.analyses), "analysis")
    if study.disclosure.policy == "none" and study.disclosure.patient_level == "none":
        pass  # open aggregate data without patient-level figures is a fair choice
    return found


def _check_source(loc: tuple[str, ...], reads: str, fault: Any) -> None:
    table, _, column = reads.partition(".")
    if table not in COVARIATE_SOURCES or not column:
        fault(
            loc,
            f"cannot read {reads!r}{_near(table, COVARIATE_SOURCES)}",
            "write patients.COLUMN, measurements.NAME, index.route, infusion_sites.COLUMN, "
            "hours_observed.DOMAIN or scores.SCALE",
        )
    elif table in ("patients", "infusion_sites"):
        names = tables.TABLES[table].names
        if table == "infusion_sites" and column not in names:
            fault(loc, f"{table} has no column {column!r}{_near(column, names)}", _list(names))
    elif table == "index" and column not in ("route", "group"):
        fault(loc, f"the index has no {column!r}", "allowed: index.route, index.group")


def _check_words(study: Study, fault: Any) -> None:
    signs = tables.SITE_EVENTS.column("sign").words
    scales = tables.SITE_EVENTS.column("scale").words
    events = tables.EVENTS.column("event").words
    for name, outcome in study.outcomes.items():
        if isinstance(outcome, SiteOutcome):
            for i, sign in enumerate(outcome.event.signs or ()):
                if sign not in signs:
                    fault(
                        ("outcomes", name, "event", "signs", i),
                        f"{sign!r} is no sign{_near(sign, signs)}",
                        _list(signs),
                    )
            for i, scale in enumerate(outcome.event.scales):
                if scale not in scales:
                    fault(
                        ("outcomes", name, "event", "scales", i),
                        f"{scale!r} is no scale of grades{_near(scale, scales)}",
                        _list(scales),
                    )
        if isinstance(outcome, AdverseEventOutcome):
            for i, event in enumerate(outcome.events):
                if event not in events:
                    fault(
                        ("outcomes", name, "events", i),
                        f"{event!r} is no event{_near(event, events)}",
                        _list(events),
                    )


def _check_scenarios(document: Any, plain: dict[str, Any]) -> list[Fault]:
    found: list[Fault] = []
    names: set[str] = {"base"}
    base = Study.model_validate(plain).model_dump(mode="json", by_alias=True)
    for i, scenario in enumerate(plain.get("scenarios", [])):
        if scenario["name"] in names:
            found.append(
                Fault(
                    _line(document, ("scenarios", i, "name")),
                    f"the scenario name {scenario['name']!r} is taken",
                    "`base` is the study as written; every other name once",
                )
            )
        names.add(scenario["name"])
        for key, value in scenario["set"].items():
            line = _line(document, ("scenarios", i, "set", key))
            if key.split(".")[0] in ("name", "title", "question", "notes", "scenarios", "disclosure"):
                found.append(Fault(line, f"a scenario cannot set {key!r}"))
                continue
            missing = _missing_part(base, key)
            if missing is not None:
                part, allowed = missing
                found.append(
                    Fault(line, f"{key!r}: no key {part!r}{_near(part, allowed)}", _list(allowed))
                )
                continue
            try:
                changed = Study.model_validate(_overlay(base, {key: value}))
                factors.parse(changed.exposure.factors)
            except ValidationError as error:
                for item in error.errors(include_url=False):
                    explained = _explain(document, _overlay(plain, {key: value}), item)
                    found.append(Fault(line, explained.message, explained.hint))
            except UserError as error:
                found.append(Fault(line, error.what, error.do))
    return found


def _missing_part(base: dict[str, Any], key: str) -> tuple[str, list[str]] | None:
    node: Any = base
    for part in key.split("."):
        if isinstance(node, dict) and part == "*":
            node = next(iter(node.values()))
        elif isinstance(node, dict) and part in node:
            node = node[part]
        else:
            return part, list(node) if isinstance(node, dict) else []
    return None


def _overlay(content: dict[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Return a copy of `content` with dotted keys set; `*` stands for every entry."""
    result: dict[str, Any] = _plain(content)
    for key, value in changes.items():
        nodes: list[Any] = [result]
        *parents, last = key.split(".")
        for part in parents:
            nodes = [
                child
                for node in nodes
                for child in (node.values() if part == "*" else [node.setdefault(part, {})])
            ]
        for node in nodes:
            node[last] = _plain(value)
    return result


def _get(content: dict[str, Any], key: str) -> Any:
    node: Any = content
    for i, part in enumerate(parts := key.split(".")):
        if part == "*":
            return {name: _get(child, ".".join(parts[i + 1 :])) for name, child in node.items()}
        node = node.get(part)
    return node
