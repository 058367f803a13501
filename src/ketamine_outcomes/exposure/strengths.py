"""The strengths that a plain product text states, before anyone asks whose they are.

`5 mg-325 mg/5 mL` is one group of two values per mL. A number that cannot be read for certain
(`2,5 mg`) gives a group without its value, so that nobody takes the rest for the whole.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

from ketamine_outcomes.exposure import units

TOKEN = re.compile(r"(?P<number>\.?\d[\d.,]*\d|\.?\d)|(?P<word>[a-zμ]+|%)|(?P<other>[^\s])")
THOUSANDS = re.compile(r"\d{1,3}(,\d{3})+(\.\d+)?")
PLAIN_NUMBER = re.compile(r"\d*\.?\d+")
JOINTS = frozenset(("/", "-", "+", "&", "to"))
HOURS = {
    **dict.fromkeys(("h", "hr", "hrs", "hour", "hours"), Fraction(1)),
    **dict.fromkeys(("min", "minute"), Fraction(1, 60)),
    **dict.fromkeys(("day", "days"), Fraction(24)),
}
#: A mass per one of these is no strength of a piece, a mL or an hour.
ELSE = frozenset(
    ("kg", "dose", "doses", "actuat", "actuation", "spray", "sprays", "puff", "inhalation",
     "drop", "drops", "application", "m", "kilogram")
)  # fmt: skip


@dataclass(frozen=True)
class Group:
    """Strengths that belong together.

    Attributes
    ----------
    start
        Where it stands in the text.
    kind
        unit (mg in one piece), ml (mg/mL), h (mg/h), percent, or number (no unit at all).
    values
        In the order of the text; None for a percentage or a number that cannot be read.
    """

    start: int
    kind: str
    values: tuple[Fraction | None, ...]


@dataclass
class _Member:
    value: Fraction | None
    mg: Fraction | None  # mg in its unit; None where it has none
    percent: bool
    per: tuple[str, Fraction] | None  # what it is the mass in: kind and how many


def read(text: str) -> list[Group]:
    """Return the strengths of a text made plain (`drugs.plain`), from left to right.

    >>> [(g.kind, [float(v) for v in g.values]) for g in read("7.5-325 mg/15 ml, 10 ml cup")]
    [('ml', [0.5, 21.666666666666668])]
    >>> read("0.6 ml syringe")
    []
    """
    return list(_Reader(text).groups())


def _number(text: str) -> Fraction | None:
    if THOUSANDS.fullmatch(text):
        return Fraction(text.replace(",", ""))
    return Fraction(text) if PLAIN_NUMBER.fullmatch(text) else None


class _Reader:
    def __init__(self, text: str) -> None:
        self.tokens = list(TOKEN.finditer(text))

    def groups(self) -> Iterator[Group]:
        at = 0
        while at < len(self.tokens):
            start, members = self.tokens[at].start(), []
            member, after = self._member(at, alone=True)
            while member is not None:
                members.append(member)
                at = after
                if self._text(at) not in JOINTS:
                    break
                member, after = self._member(at + 1, alone=False)
            at = at if members else max(after, at + 1)
            yield from _grouped(start, members)

    def _text(self, at: int) -> str:
        return self.tokens[at][0] if at < len(self.tokens) else ""

    def _is_number(self, at: int) -> bool:
        return at < len(self.tokens) and self.tokens[at]["number"] is not None

    def _member(self, at: int, alone: bool) -> tuple[_Member | None, int]:
        """Read a number with its unit; None for what is no strength, with where to go on.

        `500 tablets` alone is a count; in `5/500 tablet` the number is a strength.
        """
        if not self._is_number(at):
            return None, at
        value = _number(self._text(at))
        at += 1
        unit = units.find(self._text(at))
        if unit is None and self._text(at) == "-":  # `5-mg tablet`
            next_unit = units.find(self._text(at + 1))
            if next_unit is not None and next_unit.kind == "mass":
                at, unit = at + 1, next_unit
        if self._text(at) == "%":
            return _Member(None, None, True, None), at + 1
        if unit is None or (unit.kind == "count" and not alone):
            return _Member(value, None, False, None), at
        if unit.kind != "mass":
            return None, at + 1  # a volume, or a count of pieces
        per, at = self._per(at + 1)
        return _Member(value, unit.exact, False, per), at

    def _per(self, at: int) -> tuple[tuple[str, Fraction] | None, int]:
        """Read `/mL`, `/5 mL`, `per tablet`, `in 1 mL`, `/24 hr` after a mass."""
        joint, where = self._text(at), at + 1
        if joint not in ("/", "per", "in"):
            return None, at
        amount: Fraction | None = Fraction(1)
        if numbered := self._is_number(where):
            amount, where = _number(self._text(where)), where + 1
        word = self._text(where)
        unit = units.find(word)
        if unit is not None and unit.kind in ("volume", "count"):
            kind, size = ("ml", unit.exact) if unit.kind == "volume" else ("unit", Fraction(1))
        elif word in HOURS:  # `in 24 hours` is a dose, not the rate of a patch
            kind, size = ("else" if joint == "in" else "h"), HOURS[word]
        elif word in ELSE or (joint == "per" and not numbered):
            kind, size = "else", Fraction(1)
        else:
            return None, at
        where += 1
        if self._text(where) == "/" and self._text(where + 1) in HOURS:
            kind, where = "else", where + 2  # mg/kg/h, mg/mL/h
        return (kind, size * amount) if amount else ("else", size), where


def _grouped(start: int, members: list[_Member]) -> Iterator[Group]:
    """Yield members as groups: what stands behind a joint lends its unit and its `per`."""
    if not members:
        return
    sizes = {each.mg for each in members if each.mg is not None}
    if not sizes:
        if all(each.percent for each in members):
            yield Group(start, "percent", (None,) * len(members))
        elif not any(each.percent for each in members):
            yield Group(start, "number", tuple(each.value for each in members))
        return
    per: tuple[str, Fraction] | None = None
    for each in reversed(members):
        if each.mg is None and not each.percent:
            if len(sizes) == 1:
                (each.mg,) = sizes
            else:
                each.value = None  # 5-325 mg-50 mcg: of which unit is the first?
        per = each.per = each.per or per
    kinds: list[tuple[str, list[Fraction | None]]] = []
    for each in members:
        kind, size = each.per or ("unit", Fraction(1))
        value = None
        if each.value is not None and each.mg is not None:
            value = each.value * each.mg / size
        if kinds and (each.percent or kinds[-1][0] in (kind, "percent")):
            kinds[-1] = (kinds[-1][0] if each.percent else kind, [*kinds[-1][1], value])
        else:
            kinds.append(("percent" if each.percent else kind, [value]))
    yield from (Group(start, kind, tuple(values)) for kind, values in kinds if kind != "else")
