"""From the text of a study file to a tree in which every key and value knows its line.

YAML 1.2: `no` stays a word and 12:30 stays text. Scalars keep the text as written beside their
value. A repeated key, a merge (`<<`) or a private YAML type is a fault; nothing is executed.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

#: More nested levels or values than any study needs; guards against files that unfold.
MAX_DEPTH, MAX_VALUES = 30, 50_000
_PLAIN = "tag:yaml.org,2002:"


@dataclass(frozen=True)
class Fault:
    """One fault of a study file at a 1-based line."""

    line: int
    message: str
    hint: str = ""
    rule: str = "value"


class NotYAML(Exception):
    """The text has no structure that could be checked further."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(fault.message)
        self.fault = fault


@dataclass
class Node:
    """A value of the document.

    Attributes
    ----------
    value
        `dict[str, Node]`, `list[Node]`, or the scalar.
    line, key_line
        Where the value begins and where its key stands.
    text
        A scalar as written.
    where
        Its place in words, e.g. `windows.follow_up (item 2)`.
    gone
        Keys that were taken out while faults were collected.
    """

    value: Any
    line: int
    key_line: int
    text: str = ""
    where: str = ""
    gone: set[str] = field(default_factory=set)

    def plain(self) -> Any:
        """Return the tree as dicts, lists and scalars; 3.0 is 3, the schema types it."""
        if isinstance(self.value, dict):
            return {key: child.plain() for key, child in self.value.items()}
        if isinstance(self.value, list):
            return [child.plain() for child in self.value]
        if isinstance(self.value, float) and self.value.is_integer() and abs(self.value) < 1e15:
            return int(self.value)
        return self.value

    def find(self, path: Sequence[str | int]) -> Node:
        """Return the node at `path`, or the deepest one on the way that is there."""
        node = self
        for part in path:
            child = node.child(part)
            if child is None:
                return node
            node = child
        return node

    def child(self, part: str | int) -> Node | None:
        """Return the value of a key or the item of a list, or None."""
        if isinstance(self.value, dict):
            return self.value.get(part)
        if isinstance(self.value, list) and isinstance(part, int) and part < len(self.value):
            return self.value[part]  # type: ignore[no-any-return]
        return None

    @property
    def at(self) -> int:
        """The line to name: of the value if it is a scalar, else of its key."""
        return self.key_line if isinstance(self.value, dict | list) else self.line


def parse(text: str) -> tuple[Node, list[Fault]]:
    """Return the tree of a YAML text and the faults of its keys.

    Raises
    ------
    NotYAML
        The text is not YAML, is empty, or is no mapping.
    """
    from ruamel.yaml import YAML
    from ruamel.yaml.error import MarkedYAMLError, YAMLError
    from ruamel.yaml.reader import ReaderError

    lines = text.split("\n")
    head = next((i for i, row in enumerate(lines) if row.strip() and row[0] != "#"), 0)
    if lines[head].startswith("%"):
        raise NotYAML(
            Fault(head + 1, "a line that begins with % has no place here", "take it out", "yaml")
        )
    try:
        root = YAML(typ="safe", pure=True).compose(text)
    except ReaderError as error:
        sign = error.character if isinstance(error.character, str) else chr(error.character)
        line = text.count("\n", 0, text.find(sign)) + 1
        what = "an invisible control character stands here"
        raise NotYAML(Fault(line, what, "type the line again", "yaml")) from None
    except MarkedYAMLError as error:
        raise NotYAML(_not_yaml(error, lines)) from None
    except (YAMLError, RecursionError):
        raise NotYAML(Fault(1, "this cannot be read as YAML", rule="yaml")) from None
    example = "begin with lines such as `name: my-study` and `title: What the study asks`"
    if root is None:
        raise NotYAML(Fault(1, "the study file is empty", example, "yaml"))
    if not isinstance(root.value, list) or root.tag != _PLAIN + "map":
        what = "a study is written as `key: value` lines, and this file is not"
        raise NotYAML(Fault(root.start_mark.line + 1, what, example, "yaml"))
    builder = _Builder()
    return builder.build(root, 1, "", 0), builder.faults


class _Builder:
    def __init__(self) -> None:
        self.faults: list[Fault] = []
        self.values = 0

    def build(self, node: Any, key_line: int, where: str, depth: int) -> Node:
        self.values += 1
        line = node.start_mark.line + 1
        if depth > MAX_DEPTH or self.values > MAX_VALUES:
            raise NotYAML(Fault(key_line, "this is nested too deeply for a study", rule="yaml"))
        kind = node.tag.removeprefix(_PLAIN)
        if node.tag.startswith("!") or kind.startswith("python"):
            written = node.tag.replace(_PLAIN, "!!")
            what = f"{where}: `{written}` has no place in a study"
            self.faults.append(Fault(line, what, "leave it out, or put the text in quotes", "yaml"))
        result = Node(None, line, key_line, where=where)
        if isinstance(node.value, str):
            result.value, result.text = _scalar(kind, node.value), node.value
            if result.value is None and not node.value:
                result.line = key_line  # nothing is written: YAML puts it on the next line
        elif node.value and isinstance(node.value[0], tuple):
            result.value = self._mapping(node, where, depth)
        elif kind == "map":
            result.value = {}
        else:
            result.value = [
                self.build(item, item.start_mark.line + 1, f"{where} (item {i})", depth + 1)
                for i, item in enumerate(node.value, 1)
            ]
        return result

    def _mapping(self, node: Any, where: str, depth: int) -> dict[str, Node]:
        found: dict[str, Node] = {}
        for key, value in node.value:
            line = key.start_mark.line + 1
            if not isinstance(key.value, str):
                what = f"{where or 'the study'}: a key is one word"
                hint = "text that begins with { or [ goes in quotes"
                self.faults.append(Fault(line, what, hint, "yaml"))
            elif key.tag == _PLAIN + "merge":
                what = f"{where or 'the study'}: `<<` has no place in a study"
                self.faults.append(Fault(line, what, "write the keys out", "yaml"))
            elif key.value in found:
                what = f"the key {key.value!r} stands twice in {where or 'the study'}"
                first = found[key.value].key_line
                hint = f"it is on line {first} already: keep one of the two"
                self.faults.append(Fault(line, what, hint, "duplicate_key"))
            else:
                place = f"{where}.{key.value}" if where else key.value
                found[key.value] = self.build(value, line, place, depth + 1)
        return found


def _scalar(kind: str, text: str) -> Any:
    if kind == "null":
        return None
    if kind == "bool":
        return text.lower() == "true"
    try:
        if kind == "int":
            return int(text.replace("_", ""), 0 if re.match(r"[-+]?0[xob]", text) else 10)
        if kind == "float":
            return float(re.sub(r"\.(inf|nan)", r"\1", text.replace("_", "").lower()))
    except ValueError:
        return text
    return text


#: What YAML says, then what it means, what to do, and whether the line where the part began
#: is the one to name.
_PROBLEMS = (
    (
        "unknown escape character",
        "a backslash stands inside double quotation marks",
        "use single quotation marks, or / in a path",
        False,
    ),
    (
        "sequence entries are not allowed",
        "a list cannot begin here",
        "begin it on the next line, or write [a, b]",
        False,
    ),
    (
        "could not find expected ':'",
        "this line is no `key: value`",
        "write a key, a colon, a space and a value",
        True,
    ),
    (
        "quoted scalar",
        "a quotation mark is opened here and never closed",
        "close it, or take it out",
        True,
    ),
    (
        "flow ",
        "a bracket is opened here and not closed",
        "close it with ] or }, and put a comma between items",
        True,
    ),
    (
        "undefined alias",
        "text that begins with * stands without quotes",
        "put it in quotation marks",
        False,
    ),
    (
        "expected a single document",
        "a second document begins here",
        "take out the line ---: a file holds one study",
        False,
    ),
    (
        "block",
        "this line is not indented like the lines around it",
        "keys of one level begin in the same column",
        False,
    ),
    (
        "cannot start any token",
        "text begins here with a sign that YAML keeps for itself",
        "put the text in quotation marks",
        False,
    ),
)


def _not_yaml(error: Any, lines: list[str]) -> Fault:
    said = f"{error.context or ''} | {error.problem or ''}"
    problem = error.problem_mark or error.context_mark
    line = problem.line if problem else 0
    for near in (line, line - 1):
        if 0 <= near < len(lines) and re.match(r" *\t", lines[near]):
            what = "this line is indented with a tab"
            return Fault(near + 1, what, "indent with spaces, two for each level", "yaml")
    before = lines[line][: problem.column] if problem and line < len(lines) else ""
    if "mapping values are not allowed" in said:
        what = "this line is not indented like the lines around it, or the one above lacks `: `"
        do = "keys of one level begin in the same column, each with a colon and a space"
        if re.search(r":\s", before):
            what, do = "the text holds a colon", "put the text in quotation marks"
        return Fault(line + 1, what, do, "yaml")
    if "block" in said and re.search(r":\s+'.*'", before):
        what = "the text ends at its second apostrophe"
        do = 'put text that holds an apostrophe in double quotation marks: "it\'s"'
        return Fault(line + 1, what, do, "yaml")
    for words, what, do, begins in _PROBLEMS:
        if words in said:
            mark = error.context_mark if begins and error.context_mark else problem
            return Fault(mark.line + 1 if mark else 1, what, do, "yaml")
    return Fault(line + 1, "this line cannot be read as YAML", "write `key: value`", "yaml")
