"""Charted drug names to ingredients, by whole words.

`opium` does not match tiotropium, `fentanyl` does not match remifentanil. A name that is not in
the dictionary (`reference/drugs.csv`) is unknown; it is never taken for an opioid or for none.
"""

from __future__ import annotations

import csv
import re
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources

#: When a name holds several ingredients, the class that decides what the row is.
PRECEDENCE = ("opioid", "ketamine", "antagonist", "co_analgesic")


@dataclass(frozen=True)
class Drug:
    """An ingredient and its class."""

    ingredient: str
    drug_class: str


@lru_cache(maxsize=1)
def _dictionary() -> dict[tuple[str, ...], Drug]:
    text = (
        resources.files("ketamine_outcomes.exposure")
        .joinpath("reference/drugs.csv")
        .read_text(encoding="utf-8")
    )
    return {
        tuple(row["name"].split()): Drug(row["ingredient"], row["class"])
        for row in csv.DictReader(text.splitlines())
    }


def _words(name: str) -> list[str]:
    return re.findall(r"[a-z_]+", name.lower())


@lru_cache(maxsize=65536)
def resolve(name: str) -> Drug | None:
    """Return the ingredient that decides what a charted name is, or None when unknown.

    >>> resolve("HYDROcodone-Acetaminophen (5mg-325mg)").ingredient
    'hydrocodone'
    >>> resolve("Tiotropium Bromide") is None
    True
    """
    words, found = _words(name), []
    for length in (1, 2):
        for at in range(len(words) - length + 1):
            drug = _dictionary().get(tuple(words[at : at + length]))
            if drug is not None:
                found.append(drug)
    return min(found, key=lambda drug: PRECEDENCE.index(drug.drug_class), default=None)


@lru_cache(maxsize=65536)
def strength_mg(text: str, ingredient: str) -> float | None:
    """Return the mg of an ingredient per tablet or capsule that a name states, or None.

    In a combination the strengths stand in the order of the names: the opioid of
    `Hydrocodone-Acetaminophen (5mg-325mg)` is the first of both.

    >>> strength_mg("Oxycodone-Acetaminophen (5mg-325mg)", "oxycodone")
    5.0
    """
    strengths = re.findall(r"(\d+(?:\.\d+)?)\s*(mcg|mg)(?![a-z/])", text.lower())
    order = []
    for word in _words(text):
        drug = _dictionary().get((word,))
        if drug is not None and drug.ingredient not in order:
            order.append(drug.ingredient)
    if ingredient not in order:
        return None
    amounts = list(dict.fromkeys(strengths)) if len(order) == 1 else strengths
    if len(amounts) != len(order):
        return None
    value, unit = amounts[order.index(ingredient)]
    return float(value) * (0.001 if unit == "mcg" else 1)
