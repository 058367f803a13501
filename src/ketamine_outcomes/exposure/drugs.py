"""Charted drug names to ingredients, by whole words.

`opium` does not match tiotropium, `fentanyl` does not match remifentanil. A name that is not in
the dictionary (`reference/drugs.csv`, of the ingredients in `reference/ingredients.csv`) is
unknown; it is never taken for an opioid or for none.
"""

from __future__ import annotations

import csv
import re
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources
from types import MappingProxyType

#: When a name holds several ingredients, the class that decides what the row is.
PRECEDENCE = ("opioid", "ketamine", "antagonist", "co_analgesic", "other")
#: Two ingredients of such a class in one name: the dose is of neither one alone.
NEVER_TWO = frozenset(("opioid", "ketamine"))
#: Words of the longest dictionary name.
LONGEST = 3


@dataclass(frozen=True)
class Drug:
    """An ingredient, its class, and what kind of that class it is.

    Attributes
    ----------
    ingredient
        Name in `reference/ingredients.csv`.
    drug_class
        opioid, ketamine, antagonist, co_analgesic, or other (known, and none of these).
    subclass
        E.g. agonist, gabapentinoid, nsaid.
    """

    ingredient: str
    drug_class: str
    subclass: str


@dataclass(frozen=True)
class Mention:
    """A dictionary name found in a text.

    Attributes
    ----------
    start, end
        Where it stands in the plain text.
    ingredients
        What it holds, in the order of the label.
    """

    start: int
    end: int
    ingredients: tuple[str, ...]


def _rows(name: str) -> list[dict[str, str]]:
    text = (
        resources.files("ketamine_outcomes.exposure")
        .joinpath(f"reference/{name}.csv")
        .read_text(encoding="utf-8")
    )
    return list(csv.DictReader(text.splitlines()))


_INGREDIENT_ROWS = _rows("ingredients")
#: Every ingredient by its name.
INGREDIENTS: Mapping[str, Drug] = MappingProxyType(
    {
        row["ingredient"]: Drug(row["ingredient"], row["class"], row["subclass"])
        for row in _INGREDIENT_ROWS
    }
)
#: What renal failure means for an opioid: a flag for the data, never a factor.
RENAL: Mapping[str, str] = MappingProxyType(
    {row["ingredient"]: row["renal"] for row in _INGREDIENT_ROWS if row["renal"]}
)
#: Ingredients by the codes of other vocabularies.
_CODES = {
    (system, row[column]): INGREDIENTS[row["ingredient"]]
    for system, column in (("rxnorm", "rxnorm"), ("rxcui", "rxnorm"), ("omop", "omop_concept_id"))
    for row in _INGREDIENT_ROWS
    if row[column]
}
#: A code needs the name of its vocabulary: 7052 alone may be anything.
_CODE = re.compile(r"(rxnorm|rxcui|omop)(?:[ _]?(?:code|concept|concept[ _]id))?[ :=|#/]+(\d+)")


def plain(text: str) -> str:
    """Return a text in lower case without accents, trade marks and typographic dashes.

    >>> plain("OxyContin® 10–20 µg, ½")
    'oxycontin 10-20 μg, 1/2'
    >>> plain("Tylenol #3")
    'tylenol  no 3'
    """
    kept = (c for c in text if c not in "®™℠©" and unicodedata.category(c) != "Cf")
    letters = []
    for c in unicodedata.normalize("NFKD", "".join(kept)):
        category = unicodedata.category(c)
        if category == "Pd" or c == "\u2212":
            letters.append("-")
        elif c in "\u2044\u2215":
            letters.append("/")
        elif category != "Mn":
            letters.append(c)
    return re.sub(r"#(?=\d)", " no ", "".join(letters).lower())


def _words(text: str) -> list[re.Match[str]]:
    return list(re.finditer(r"[a-z]+|\d+", text))


@lru_cache(maxsize=1)
def _names() -> dict[tuple[str, ...], tuple[str, ...]]:
    return {
        tuple(word[0] for word in _words(row["name"])): tuple(row["ingredient"].split("+"))
        for row in _rows("drugs")
    }


def mentions(text: str) -> Iterator[Mention]:
    """Yield the dictionary names in a plain text from left to right, the longest first.

    >>> [m.ingredients for m in mentions("morphine sr (ms contin)")]
    [('morphine',), ('morphine',)]
    """
    words, at = _words(text), 0
    while at < len(words):
        for length in range(min(LONGEST, len(words) - at), 0, -1):
            ingredients = _names().get(tuple(word[0] for word in words[at : at + length]))
            if ingredients is not None:
                break
        else:
            at += 1
            continue
        start, end = words[at].start(), words[at + length - 1].end()
        # `codeine-free` says what is not in the product; a free base is in it.
        if not re.match(r"[ -]free\b(?! base)", text[end:]):
            yield Mention(start, end, ingredients)
        at += length


def _ingredients(name: str) -> dict[str, None]:
    return dict.fromkeys(each for found in mentions(plain(name)) for each in found.ingredients)


def _decide(ingredients: tuple[str, ...] | dict[str, None]) -> Drug | None:
    known = [INGREDIENTS[each] for each in ingredients if each in INGREDIENTS]
    first = min(known, key=lambda drug: PRECEDENCE.index(drug.drug_class), default=None)
    if first is None or first.drug_class not in NEVER_TWO:
        return first
    rivals = [drug for drug in known if drug.drug_class == first.drug_class]
    return first if len(rivals) == 1 else None


def opioids(name: str) -> tuple[str, ...]:
    """Return every opioid that a charted name holds.

    More than one means that `resolve` does not say which: the row is an opioid all the same.

    >>> opioids("Fentanyl/Morphine")
    ('fentanyl', 'morphine')
    """
    return tuple(
        each
        for each in _ingredients(name)
        if each in INGREDIENTS and INGREDIENTS[each].drug_class == "opioid"
    )


@lru_cache(maxsize=65536)
def resolve(name: str) -> Drug | None:
    """Return the ingredient that decides what a charted name is, or None when unknown.

    A name that holds two opioids, or ketamine and an enantiomer, is unknown: its dose cannot be
    shared out. So is a name with the word placebo: nobody knows what was given.

    Parameters
    ----------
    name
        A name as charted, or a code with its vocabulary: `rxnorm:7052`, `omop:1110410`.

    Examples
    --------
    >>> resolve("HYDROcodone-Acetaminophen (5mg-325mg)").ingredient
    'hydrocodone'
    >>> resolve("RxNorm 7052").ingredient
    'morphine'
    >>> resolve("Tiotropium Bromide") is None
    True
    >>> resolve("Fentanyl/Morphine") is None
    True
    """
    code = _CODE.fullmatch(name.strip().lower())
    if code is not None:
        return _CODES.get((code[1], code[2]))
    if re.search(r"\bplacebo\b", name.lower()):
        return None
    return _decide(_ingredients(name))
