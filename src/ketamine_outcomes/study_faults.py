"""What the schema refuses in a study file, in the words of the person who wrote it.

All faults are found at once: what is wrong is taken out of the tree (or mended, where what was
meant is plain) and the rest is checked again, until nothing more is refused.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from ketamine_outcomes import study_schema as schema
from ketamine_outcomes.study import Study
from ketamine_outcomes.study_definition import validate
from ketamine_outcomes.study_explain import (
    did_you_mean,
    explain,
    listed,
    meaning,
    nearest,
    nearest_key,
)
from ketamine_outcomes.study_yaml import Fault, Node

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
    """A study that the schema accepts, and the faults on the way to it."""

    study: Study
    faults: list[Fault]


# --- finding all of them ----------------------------------------------------------------------


def collect(tree: Node) -> Mended:
    """Check a tree, taking out of it what is wrong, until the schema accepts the rest."""
    faults: list[Fault] = []
    while True:
        try:
            return Mended(validate(tree.plain()), faults)
        except ValidationError as error:
            items = first_causes(error.errors(include_url=False))
            texts = text_items(items, tree.find)
            rest = [found for found in items if found not in texts]
            for found in rest:
                faults += _fault_of(found, rest, tree)
            # From the end, so that the places of list items still to be mended stay right.
            for found in reversed(rest):
                _mend(found, rest, tree)


def first_causes(items: Sequence[Any]) -> list[Any]:
    """Leave out `too short` where that is so only because the items themselves are refused."""
    return [
        found
        for found in items
        if found["type"] != "too_short"
        or not any(
            other is not found and other["loc"][: len(found["loc"])] == found["loc"]
            for other in items
        )
    ]


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
    if found["type"] == "extra_forbidden" and _renamed_to(found, beside):
        key, better = here.path[-1], _renamed_to(found, beside)
        what = f"unknown key {key!r} in {parent.where or 'the study'}, did you mean {better!r}?"
        hint = meaning(better, schema.spot((*found["loc"][:-1], better)).field)
        return [Fault(tree.find(here.path).key_line, what, hint, "unknown_key")]
    if found["type"] == "value_error":
        # A rule about a whole section cannot be judged while a key that it is about is out.
        gone, (_, about) = tree.find(here.path).gone, schema.rule(here.schema)
        if gone & (about or gone):
            return []
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


def _renamed_to(found: Any, beside: Sequence[Any]) -> str:
    """Return the missing key that an unknown one most likely means, or an empty string."""
    return nearest(str(found["loc"][-1]), _missing_beside(found, beside))


def _renamed(found: Any, beside: Sequence[Any]) -> bool:
    """Whether a missing key stands there misspelt: one fault, not two."""
    return any(
        other["type"] == "extra_forbidden"
        and other["loc"][:-1] == found["loc"][:-1]
        and _renamed_to(other, beside) == found["loc"][-1]
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
            parent.gone.add(str(last))
        else:
            _drop(tree, here.path[:-1])
    elif kind == "extra_forbidden":
        child = parent.value.pop(last, None)
        known = schema.keys(schema.spot(found["loc"][:-1]).schema)
        better = _renamed_to(found, beside) or nearest(str(last), known)
        if better and child is not None:
            parent.value.setdefault(better, child)
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
