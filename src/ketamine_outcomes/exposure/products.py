"""What a charted product is: its form, and how much of the ingredient a piece or a mL holds.

The strength of a combination is found by the ingredient's name, never by its place alone:
codeine is the second of `acetaminophen-codeine 300-30 mg`. What a text does not say plainly is
None: two strengths that differ, a strength whose ingredient cannot be told, a volume, a range,
a percentage.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache

from ketamine_outcomes.exposure import drugs, forms, strengths, units

#: Forms that come in pieces, so that one piece has a strength. A patch is counted too, but its
#: content is not what it gives: it is known by its rate.
PIECES = frozenset(
    ("tablet", "tablet_er", "capsule", "capsule_er", "suppository", "lozenge", "film", "unknown")
)
#: What stands beside an opioid in combinations and is no analgesic: known here only, so that the
#: strengths of `guaifenesin-codeine 100-10 mg/5 mL` can be told apart.
PARTNERS = {
    name: name
    for name in (
        "atropine", "belladonna", "bromodiphenhydramine", "brompheniramine", "bupropion",
        "butalbital", "caffeine", "carbinoxamine", "chlorcyclizine", "chlorpheniramine",
        "cyclizine", "dexbrompheniramine", "dexchlorpheniramine", "diphenhydramine", "doxylamine",
        "droperidol", "epinephrine", "guaiacolsulfonate", "guaifenesin", "homatropine", "kaolin",
        "olanzapine", "phenylephrine", "promethazine", "pseudoephedrine", "pyrilamine",
        "triprolidine",
    )
} | {"adrenaline": "epinephrine", "caff": "caffeine"}  # fmt: skip
#: In every combination the opioid weighs less than these: a name in another order than its
#: strengths is found out by it.
HEAVIER = frozenset(("acetaminophen", "aspirin", "ibuprofen"))
#: `wonderdrug 4 mg / codeine` and `codeine / wonderdrug 4 mg`.
STRENGTH = r"[\d.,]+ *(?:mcg|μg|ug|mg|g)\b(?: */ *(?:[\d.]+ *)?ml)?[ )]*"
STRANGER_BEFORE = re.compile(r"[a-z]{4,}[^a-z0-9]+" + STRENGTH + r"(?:[/+&-]|with|and|w/) *$")
STRANGER_BEHIND = re.compile(r" *(?:[a-z]+ *)?(?:" + STRENGTH + r")?[/+&] *([a-z]{4,})")
NO_STRANGERS = frozenset(
    (*forms.PRODUCT_WORD_FORM, *strengths.ELSE, *strengths.HOURS, "sodium", "normal", "saline",
     "water", "oral", "tube", "feeding", "nasal", "buccal", "rectal", "sublingual")
)  # fmt: skip
#: Codeine in a tablet by the number that stands for it, in mg.
CODEINE_NUMBER = {"2": Fraction(15), "3": Fraction(30), "4": Fraction(60)}


@dataclass(frozen=True)
class Product:
    """What the texts of a dose say about the product.

    Attributes
    ----------
    form
        A word of the extract's forms, or unknown.
    mg_per_unit
        mg of the ingredient in one tablet, capsule, suppository, lozenge or film.
    mg_per_ml
        mg of the ingredient in one mL.
    patch_mcg_per_h
        Label rate of one patch in mcg/h.
    """

    form: str
    mg_per_unit: float | None
    mg_per_ml: float | None
    patch_mcg_per_h: float | None


#: Kinds of strengths that are masses.
KINDS = ("unit", "ml", "h")
NOTHING = Product("unknown", None, None, None)


@lru_cache(maxsize=65536)
def describe(drug: str, product: str, ingredient: str) -> Product:
    """Return what a drug name and a product text say together.

    Parameters
    ----------
    drug, product
        As charted; empty where nothing is charted.
    ingredient
        The ingredient whose strength is wanted (`drugs.resolve`).

    Examples
    --------
    >>> describe("acetaminophen-codeine 300-30 mg", "Tablet", "codeine")
    Product(form='tablet', mg_per_unit=30.0, mg_per_ml=None, patch_mcg_per_h=None)
    >>> describe("Morphine Sulfate (Oral Solution) 2 mg/mL", "10mg/5mL UDCUP", "morphine").mg_per_ml
    2.0
    >>> describe("Opium Tincture", "0.6 mL Syringe", "opium")
    Product(form='solution', mg_per_unit=None, mg_per_ml=None, patch_mcg_per_h=None)
    """
    texts = [drugs.plain(drug), drugs.plain(product)]
    named = [_named(text) for text in texts]
    if named[1] and not any(ingredient in each.ingredients for each in named[1]):
        return NOTHING  # the product is another drug's: nothing of it can be trusted
    form = forms.form_of(texts[0], texts[1], ingredient)
    groups = [strengths.read(text) for text in texts]
    found: dict[str, set[Fraction | None]] = {"unit": set(), "ml": set(), "h": set()}
    for text, names, stated in zip(texts, named, groups, strict=True):
        order = _order(names) or _order(named[0]) or (ingredient,)
        for kind, value in _statements(text, names, stated, order, ingredient):
            found[kind].add(value)
    liquid = any(group.kind == "ml" for stated in groups for group in stated)
    unit, ml, hour = (_agreed(found[kind]) for kind in ("unit", "ml", "h"))
    if form not in PIECES or (form == "unknown" and liquid) or _halved(" ".join(texts)):
        unit = None
    if form not in ("patch", "unknown"):
        hour = None
    return Product(form, unit, ml, None if hour is None else hour * 1000)


def _agreed(values: set[Fraction | None]) -> float | None:
    """Return the one value that all statements give, or None (a None among them is a doubt)."""
    if len(values) != 1:
        return None
    (value,) = values
    return float(value) if value else None


def _halved(text: str) -> bool:
    """Return whether a half piece is meant, so that the strength may be of it or of the whole."""
    return re.search(r"\bhalf\b|\b1 ?/ ?2 ?(?:tab|cap|supp)", text) is not None


def _named(text: str) -> list[drugs.Mention]:
    found = list(drugs.mentions(text))
    taken = [range(each.start, each.end) for each in found]
    for word in re.finditer(r"[a-z]+", text):
        partner = PARTNERS.get(word[0])
        if partner is not None and not any(word.start() in span for span in taken):
            found.append(drugs.Mention(word.start(), word.end(), (partner,)))
    return sorted(found, key=lambda each: each.start)


def _order(names: Iterable[drugs.Mention]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(each for found in names for each in found.ingredients))


def _statements(
    text: str,
    names: list[drugs.Mention],
    groups: list[strengths.Group],
    order: tuple[str, ...],
    ingredient: str,
) -> Iterable[tuple[str, Fraction | None]]:
    """Yield what a text states of an ingredient: kind and value, None where it is in doubt."""
    if ingredient not in order:
        return
    if len(order) == 1:
        masses = [group for group in groups if group.kind in KINDS]
        pieces = {group.values for group in masses if group.kind == "unit"}
        doubt = len(pieces) > 1 or _beside_a_stranger(text, names)
        for group in masses:  # of several values (a range) none is the strength
            yield group.kind, group.values[0] if len(group.values) == 1 and not doubt else None
        return
    for group in groups:
        if len(group.values) == len(order) and group.kind != "percent":
            # Numbers without a unit are strengths where they match the names one by one.
            kind = "unit" if group.kind == "number" else group.kind
            yield kind, _weighed(group.values, order, order.index(ingredient))
        elif len(group.values) > 1 and group.kind in KINDS:
            yield group.kind, None
    yield from _by_neighbour(groups, names, ingredient)
    number = re.search(r"\b(?:no[. ]*|tylenol )([234])\b(?! ?m[cg])", text)
    if number and ingredient == "codeine" and HEAVIER & set(order):
        yield "unit", CODEINE_NUMBER[number[1]]


def _beside_a_stranger(text: str, names: list[drugs.Mention]) -> bool:
    """Return whether a name that is not known shares the text: the strength may be its own."""
    if not names:
        return False
    other = STRANGER_BEHIND.match(text[names[-1].end :])
    behind = other is not None and other[1] not in NO_STRANGERS and units.find(other[1]) is None
    return behind or STRANGER_BEFORE.search(text[: names[0].start]) is not None


def _weighed(
    values: tuple[Fraction | None, ...], order: tuple[str, ...], place: int
) -> Fraction | None:
    """Return the strength at the ingredient's place, or None where the weights speak against it."""
    mine, drug = values[place], drugs.INGREDIENTS.get(order[place])
    if mine is None or drug is None or drug.drug_class != "opioid":
        return mine
    rest = [value for name, value in zip(order, values, strict=True) if name in HEAVIER]
    return mine if all(value is not None and value > mine for value in rest) else None


def _by_neighbour(
    groups: list[strengths.Group], names: list[drugs.Mention], ingredient: str
) -> Iterable[tuple[str, Fraction | None]]:
    """Yield single strengths of a combination: each belongs to the name beside it.

    `acetaminophen 325 mg / oxycodone 5 mg` and `5 mg oxycodone / 325 mg acetaminophen`: where
    the first of names and strengths is a name, a strength follows its name, else it precedes.
    """
    strong = [each for each in groups if each.kind != "number" or len(each.values) > 1]
    events: list[strengths.Group | drugs.Mention] = sorted(
        [*names, *strong], key=lambda each: each.start
    )
    if not strong:
        return
    first, last = (isinstance(events[at], strengths.Group) for at in (0, -1))
    if first and not last:
        events.reverse()
    beside: set[str] = set()  # the ingredients named since the last strength
    named = False
    for event in events:
        if isinstance(event, drugs.Mention):
            beside = beside | set(event.ingredients) if named else set(event.ingredients)
            named = True
            continue
        named = False
        if len(event.values) > 1 or event.kind not in KINDS:
            continue
        if first and last:
            yield event.kind, None  # strengths before and behind the names: whose are they?
        elif ingredient in beside:
            yield event.kind, event.values[0] if len(beside) == 1 else None
