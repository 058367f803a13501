"""What the schema refuses in a study file, in the words of the person who wrote it.

All faults are found at once: what is wrong is taken out of the tree (or mended, where what was
meant is plain) and the rest is checked again, until nothing more is refused.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, get_origin

from pydantic import ValidationError

from ketamine_outcomes import study_schema as schema
from ketamine_outcomes.study import Section, Study, Windows
from ketamine_outcomes.study_yaml import Fault, Node

#: Words that people write for a word of the study file.
SYNONYMS = {
    "intravenous": "iv",
    "subcutaneous": "sc",
    "intramuscular": "im",
    "per_os": "oral",
    "po": "oral",
    "csv": "tabular",
    "parquet": "tabular",
    "opioid": "mme",
    "opioids": "mme",
    "mortality": "death",
    "cox": "hazard",
    "kaplan_meier": "survival",
    "mixed_model": "trajectory",
    "numeric": "nrs",
}
#: Stands in for a required section that was taken out, so that the rest can be checked.
_STAND_IN: dict[str, Any] = {
    "name": "study",
    "title": "stands in",
    "cohorts": {"stand-in": {"source": "simulated"}},
    "index": {"unit": "site_episode"},
    "outcomes": {"stand-in": {"kind": "death"}},
    "analyses": {"stand-in": {"kind": "survival", "outcome": "stand-in"}},
    "disclosure": {"policy": "none"},
}


@dataclass
class Mended:
    """A study that the schema accepts, the faults on the way, and the sections they were in."""

    study: Study
    faults: list[Fault] = field(default_factory=list)
    touched: set[str] = field(default_factory=set)


def validate(plain: Any) -> Study:
    """Return the study of plain content; text is never taken for a number or a truth value."""
    return Study.model_validate_json(json.dumps(plain), strict=True)


def nearest(word: str, allowed: Iterable[str]) -> str:
    """Return the allowed word that `word` most likely stands for, or an empty string."""
    known = {_folded(name): name for name in allowed}
    folded = _folded(word)
    if SYNONYMS.get(folded) in known.values():
        return SYNONYMS[folded]
    near = difflib.get_close_matches(folded, list(known), n=1, cutoff=0.6)
    return known[near[0]] if near else ""


def did_you_mean(word: str, allowed: Iterable[str]) -> str:
    """Return `, did you mean X?`, or an empty string."""
    near = nearest(word, allowed)
    return f", did you mean {near!r}?" if near else ""


def listed(allowed: Iterable[str]) -> str:
    """Return the allowed words as a hint."""
    text = ", ".join(allowed)
    return f"allowed: {text}" if text else ""


def quoted(value: Any) -> str:
    """Return a value as a message may show it."""
    text = str(value)
    return repr(text if len(text) <= 60 else text[:57] + "...")


def _folded(word: str) -> str:
    return word.strip().lower().replace("-", "_").replace(" ", "_")


# --- finding all of them ----------------------------------------------------------------------


def collect(tree: Node) -> Mended:
    """Check a tree, taking out of it what is wrong, until the schema accepts the rest."""
    faults: list[Fault] = []
    touched: set[str] = set()
    while True:
        try:
            return Mended(validate(tree.plain()), faults, touched)
        except ValidationError as error:
            items = error.errors(include_url=False)
            texts = text_items(items, tree.find)
            rest = [found for found in items if found not in texts]
            for found in rest:
                faults += _fault_of(found, rest, tree)
            # From the end, so that the places of list items still to be mended stay right.
            for found in reversed(rest):
                touched.add(str(found["loc"][0]) if found["loc"] else "")
                _mend(found, rest, tree)


def text_items(items: Sequence[Any], find: Callable[[Sequence[str | int]], Node]) -> list[Any]:
    """Take numbers in lists of text (ids, words) as written; return the errors so settled."""
    settled = []
    for found in items:
        loc = found["loc"]
        number = isinstance(found["input"], int | float) and not isinstance(found["input"], bool)
        if found["type"] == "string_type" and number and isinstance(loc[-1], int):
            node = find(schema.spot(loc).path)
            node.value = node.text
            settled.append(found)
    return settled


def _fault_of(found: Any, beside: Sequence[Any], tree: Node) -> list[Fault]:
    here = schema.spot(found["loc"])
    parent = tree.find(here.path[:-1])
    if found["type"] == "missing":
        if here.path[-1] in parent.gone or _renamed(found, beside):
            return []
        if here.path[:-1] and not isinstance(here.path[-1], int):
            return [explain(found, parent)]
    if found["type"] == "extra_forbidden" and isinstance(found["loc"][-1], str):
        missing = _missing_beside(found, beside)
        near = nearest(found["loc"][-1], missing)
        if near:
            key = found["loc"][-1]
            what = f"unknown key {key!r} in {parent.where or 'the study'}, did you mean {near!r}?"
            hint = _meaning(near, schema.spot((*found["loc"][:-1], near)).field)
            return [Fault(tree.find(here.path).key_line, what, hint, "unknown_key")]
    faults = [explain(found, tree.find(here.path))]
    if found["type"] in ("union_tag_not_found", "union_tag_invalid"):
        faults += _keys_of_none(here, tree)
    return faults


def _keys_of_none(here: schema.Spot, tree: Node) -> list[Fault]:
    """Return the keys that no kind of section has, where the kind itself cannot be told."""
    node, allowed = tree.find(here.path), schema.keys(here.schema)
    key = schema.discriminator(here.schema)
    if not isinstance(node.value, dict) or _meant(here, node):
        return []
    misspelt = nearest_key(node, key)
    return [
        Fault(
            child.key_line,
            f"unknown key {name!r} in {node.where}{did_you_mean(name, allowed)}",
            listed(allowed),
            "unknown_key",
        )
        for name, child in node.value.items()
        if name not in allowed and name != misspelt
    ]


def nearest_key(node: Node, key: str) -> str:
    """Return the key of a mapping that is a misspelling of `key`, or an empty string."""
    return next((name for name in node.value if name != key and nearest(name, [key])), "")


def _meant(here: schema.Spot, node: Node) -> str:
    """Return the kind of section that a misspelt word (or key) most likely means."""
    key, tags = schema.discriminator(here.schema), schema.tags(here.schema)
    child = node.child(key) or node.child(nearest_key(node, key))
    return nearest(child.text, tags) if child is not None else ""


def _missing_beside(found: Any, beside: Sequence[Any]) -> list[str]:
    return [
        str(other["loc"][-1])
        for other in beside
        if other["type"] == "missing" and other["loc"][:-1] == found["loc"][:-1]
    ]


def _renamed(found: Any, beside: Sequence[Any]) -> bool:
    """Whether a missing key stands there misspelt: one fault, not two."""
    return any(
        other["type"] == "extra_forbidden"
        and other["loc"][:-1] == found["loc"][:-1]
        and nearest(str(other["loc"][-1]), _missing_beside(other, beside)) == found["loc"][-1]
        for other in beside
    )


def _mend(found: Any, beside: Sequence[Any], tree: Node) -> None:
    here = schema.spot(found["loc"])
    parent, last = tree.find(here.path[:-1]), here.path[-1] if here.path else ""
    kind = found["type"]
    if kind == "missing":
        if _renamed(found, beside):
            return
        if len(here.path) == 1:
            parent.value[last] = _node(_STAND_IN[str(last)])
        else:
            _drop(tree, here.path[:-1])
    elif kind == "extra_forbidden":
        child = parent.value.pop(last, None)
        near = nearest(str(last), _missing_beside(found, beside))
        if near and child is not None:
            parent.value.setdefault(near, child)
    elif kind in ("union_tag_invalid", "union_tag_not_found"):
        node, key = tree.find(here.path), schema.discriminator(here.schema)
        word = _meant(here, node)
        if not word:
            _drop(tree, here.path)
            return
        node.value.pop(nearest_key(node, key), None)
        node.value[key] = _node(word, node.key_line)
    else:
        _drop(tree, here.path)


def _drop(tree: Node, path: Sequence[str | int]) -> None:
    """Take a value out; an emptied or broken container goes with it."""
    parent = tree.find(path[:-1])
    # A part of something that was taken out already has nothing left to take out.
    if len(path) == 0 or parent.child(path[-1]) is None:
        return
    in_window = isinstance(path[-1], int) and schema.is_window(_schema_at(tree, path[:-1]))
    if len(path) > 1 and (in_window or len(parent.value) == 1):
        _drop(tree, path[:-1])
        return
    del parent.value[path[-1]]
    if isinstance(parent.value, dict):
        parent.gone.add(str(path[-1]))


def _schema_at(tree: Node, path: Sequence[str | int]) -> Any:
    """Return the type at a place of the document, choosing kinds by what stands there."""
    here: Any = Study
    node: Node | None = tree
    for part in path:
        key = schema.discriminator(here)
        if key and node is not None and (word := node.child(key)) is not None:
            here = schema.tags(here).get(word.text, here)
        found = schema.sections(here)
        if len(found) == 1:
            info = schema.fields(found[0]).get(str(part))
            here = info.annotation if info else None
        else:
            here = schema.item(here)
        node = node.child(part) if node is not None else None
    return here


def _node(plain: Any, line: int = 1) -> Node:
    value = {k: _node(v, line) for k, v in plain.items()} if isinstance(plain, dict) else plain
    return Node(value, line, line, text=str(plain))


# --- explaining one of them -------------------------------------------------------------------


def explain(found: Any, node: Node, where: str = "") -> Fault:
    """Turn one error of the schema into a fault in the user's words.

    Parameters
    ----------
    found
        Error of the schema.
    node
        What stands at its place, or around it.
    where
        Its place in words; the node's own when empty.
    """
    here = schema.spot(found["loc"])
    where = where or node.where or "the study"
    kind, context, value = found["type"], found.get("ctx", {}), found["input"]
    key = next((str(part) for part in reversed(here.path) if isinstance(part, str)), "")
    info = here.field or schema.spot(found["loc"][: _last_key(found["loc"])]).field
    write = schema.example(key, info)
    such = f"write e.g. {write}" if write else ""
    if kind == "extra_forbidden":
        around = schema.spot(found["loc"][:-1])
        allowed = schema.keys(around.schema)
        hint = listed(allowed)
        near = did_you_mean(key, allowed)
        other = "" if near else schema.section_of(key, str(around.path[0]) if around.path else "")
        if other:
            hint = f"{key} belongs to {other}; {hint} here"
        place = where.rpartition(".")[0] or "the study"
        return Fault(
            node.key_line, f"unknown key {key!r} in {place}{near}", hint, "unknown_key"
        )
    if schema.is_window(here.schema) or (here.path and schema.is_window(here.owner)):
        return _window_fault(kind, node, where, write)
    if kind == "missing":
        return Fault(
            node.key_line, f"{where} lacks the key {key!r}", _meaning(key, info), "missing_key"
        )
    if kind.startswith("union_tag"):
        return _kind_fault(here, node, where)
    if found["loc"][-1:] == ("[key]",):
        return _key_fault(here, node, where, key, kind)
    if kind == "literal_error" and isinstance(value, str):
        allowed = schema.words(here.schema)
        near = did_you_mean(value, allowed)
        return Fault(node.at, f"{where}: {quoted(value)} is not allowed{near}", listed(allowed))
    if kind == "value_error":
        reason = str(context["error"])
        if here.owner is Study or not schema.sections(here.schema):
            reason = f"{quoted(value)} does not fit: {reason}" if value != {} else reason
        return Fault(_guilty(here, node), f"{where}: {reason}", such)
    bound = {
        "greater_than": "more than {gt}",
        "greater_than_equal": "{ge} or more",
        "less_than": "less than {lt}",
        "less_than_equal": "{le} or less",
    }.get(kind)
    if bound:
        said = bound.format(**{name: f"{limit:g}" for name, limit in context.items()})
        return Fault(node.at, f"{where}: {value:g} is out of range, {said} is needed", such)
    if kind == "too_short":
        return Fault(node.at, f"{where} is empty: at least one entry is needed", such)
    if kind == "string_too_short":
        least = context["min_length"]
        return Fault(node.at, f"{where}: text of {least} characters or more is needed", such)
    return _wrong_type(here, info, key, node, where, value)


def _last_key(loc: Sequence[str | int]) -> int:
    """Return the length of a location up to the last key that is not a list index."""
    return max((i + 1 for i, part in enumerate(loc) if isinstance(part, str)), default=0)


def _guilty(here: schema.Spot, node: Node) -> int:
    """Return the line to name for a rule about a whole section: of the window, if it is one."""
    if here.schema is Windows:
        for path, side in (
            (("baseline",), 1),
            (("primary_mme", "before"), 1),
            (("primary_mme", "after"), 0),
        ):
            window = node.find(path)
            if isinstance(window.value, list):
                number = window.value[side].value
                if (number > 0) if side else (number < 0):
                    return window.key_line
        for window in node.find(("follow_up",)).value or []:
            if isinstance(window, Node) and window.value[0].value < 0:
                return window.key_line
    return node.at


def _window_fault(kind: str, node: Node, where: str, write: str) -> Fault:
    where = where.partition(" (item")[0] if not isinstance(node.value, list) else where
    hint = f"write e.g. {write}, in hours from time zero"
    if kind == "value_error":
        shown = schema.flow(node.plain())
        return Fault(node.at, f"{where}: {shown} does not run from earlier to later", hint)
    return Fault(node.at, f"{where}: a window is two numbers, from and to", hint)


def _kind_fault(here: schema.Spot, node: Node, where: str) -> Fault:
    key, allowed = schema.discriminator(here.schema), list(schema.tags(here.schema))
    child = node.child(key)
    if child is not None:
        near = did_you_mean(child.text, allowed)
        what = f"{where}.{key}: {quoted(child.text)} is not allowed{near}"
        return Fault(child.line, what, listed(allowed))
    misspelt = nearest_key(node, key)
    if misspelt:
        what = f"unknown key {misspelt!r} in {where}, did you mean {key!r}?"
        return Fault(node.value[misspelt].key_line, what, listed(allowed), "unknown_key")
    hint = f"write e.g. {key}: {allowed[0]}; {listed(allowed)}"
    return Fault(node.key_line, f"{where} lacks the key {key!r}", hint, "missing_key")


def _key_fault(here: schema.Spot, node: Node, where: str, key: str, kind: str) -> Fault:
    allowed = schema.keys(here.owner)
    place = where.rpartition(".")[0] or where
    if kind == "literal_error":
        what = f"unknown key {key!r} in {place}{did_you_mean(key, allowed)}"
        return Fault(node.key_line, what, listed(allowed), "unknown_key")
    better = "-".join(part for part in "".join(_letters(key)).split("-") if part)
    hint = f"lower-case letters and digits, joined by - or _, e.g. {better or 'my-name'}"
    return Fault(node.key_line, f"{place}: {quoted(key)} cannot be a name", hint, "name")


def _letters(key: str) -> Iterable[str]:
    return (c if c.isascii() and c.isalnum() else "-" for c in key.lower()[:60])


def _wrong_type(
    here: schema.Spot, info: Any, key: str, node: Node, where: str, value: Any
) -> Fault:
    needed = _needed(here.schema)
    write = schema.example(key, info)
    if value is None:
        hint = f"take the key out, or write e.g. {write}" if write else "take the key out"
        return Fault(node.at, f"{where}: {needed} is needed, and nothing is written", hint)
    said = {bool: f"`{str(value).lower()}`", list: "a list", dict: "a section of keys"}.get(
        type(value), ""
    )
    if isinstance(value, str):
        said = f"the text {quoted(value)}"
    elif isinstance(value, int | float) and not said:
        said = f"the number {node.text or value}"
    hint = f"write e.g. {write}" if write else ""
    plain = strip_number(value)
    if "number" in needed and plain is not None:
        hint = f"write {key}: {plain}, without quotation marks"
    elif needed == "true or false" and str(value).lower() in ("yes", "no", "on", "off", "1", "0"):
        hint = f"write {key}: {'true' if str(value).lower() in ('yes', 'on', '1') else 'false'}"
    elif needed == "a list" and isinstance(value, str | int | float):
        hint = f"write {key}: [{value}]"
    elif needed == "text" and isinstance(value, int | float | bool):
        hint = f'put it in quotation marks: "{node.text or value}"'
    elif schema.words(here.schema):
        hint = listed(schema.words(here.schema))
    return Fault(node.at, f"{where}: {needed} is needed, not {said}", hint)


def strip_number(value: Any) -> str | None:
    """Return text that is a number as that number, else None."""
    try:
        return f"{float(value):g}" if isinstance(value, str) else None
    except ValueError:
        return None


def _needed(wanted: Any) -> str:
    wanted = schema.strip(wanted)
    if schema.words(wanted):
        return "one of the allowed words"
    if schema.sections(wanted) or get_origin(wanted) is dict:
        return "a section of `key: value` lines"
    plain = {float: "a number", int: "a whole number", bool: "true or false", str: "text"}
    return plain.get(wanted, "a list")


def _meaning(key: str, info: Any) -> str:
    """Return what a key means, an example, and its words."""
    said = (info.description or "").rstrip(".") if info is not None else ""
    write = schema.example(key, info)
    allowed = schema.words(info.annotation) if info is not None else []
    parts = [said, f"e.g. {write}" if write else "", listed(allowed)]
    return "; ".join(part for part in parts if part)


__all__ = ["Mended", "Section", "collect", "did_you_mean", "explain", "listed", "nearest"]
