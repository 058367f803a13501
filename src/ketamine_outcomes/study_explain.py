"""One fault of a study file in the words of the person who wrote it: what, and what to write."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from typing import Any, get_origin

from ketamine_outcomes import study_schema as schema
from ketamine_outcomes.study import Windows
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
    "reads": "from",
}


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


def nearest_key(node: Node, key: str) -> str:
    """Return the key of a mapping that is a misspelling of `key`, or an empty string."""
    return next((name for name in node.value if name != key and nearest(name, [key])), "")


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
            hint = f"{key} belongs to {other}; {hint.replace('allowed:', 'allowed here:')}"
        place = where.rpartition(".")[0] or "the study"
        return Fault(node.key_line, f"unknown key {key!r} in {place}{near}", hint, "unknown_key")
    if schema.is_window(here.schema) or (here.path and schema.is_window(here.owner)):
        return _window_fault(kind, node, where, write)
    if kind == "missing":
        return Fault(
            node.key_line, f"{where} lacks the key {key!r}", meaning(key, info), "missing_key"
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
        if not schema.sections(here.schema):
            return Fault(node.at, f"{where}: {quoted(value)} does not fit: {reason}", such)
        rule, _ = schema.rule(here.schema)
        hint = f"write e.g. {rule}" if rule else ""
        return Fault(_guilty(here, node), f"{where}: {reason}", hint)
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
    such = f"write e.g. {write}" if write else ""
    if value is None:
        hint = f"take the key out, or write e.g. {write}" if write else "take the key out"
        return Fault(node.at, f"{where}: {needed} is needed, and nothing is written", hint)
    said = {bool: f"`{str(value).lower()}`", list: "a list", dict: "a section of keys"}.get(
        type(value), ""
    )
    if key == "patients" and needed == "a list":  # an id is not repeated
        return Fault(node.at, f"{where}: a list is needed", such)
    if isinstance(value, str):
        said = f"the text {quoted(value)}"
    elif isinstance(value, int | float) and not said:
        said = f"the number {node.text or value}"
    hint = such
    plain = _as_number(value)
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


def _as_number(value: Any) -> str | None:
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


def meaning(key: str, info: Any) -> str:
    """Return what a key means, an example, and its words."""
    said = (info.description or "").rstrip(".") if info is not None else ""
    write = schema.example(key, info)
    allowed = schema.words(info.annotation) if info is not None else []
    parts = [said, f"e.g. {write}" if write else "", listed(allowed)]
    return "; ".join(part for part in parts if part)
