"""The classes of co-analgesics that the drug dictionary knows (light: names, no data)."""

from __future__ import annotations

from functools import lru_cache

from ketamine_outcomes.exposure import drugs

#: Lidocaine works systemically only where it is given into a vein or under the skin.
SYSTEMIC_ROUTES = ("iv", "sc")
SYSTEMIC, LOCAL = "lidocaine_systemic", "local_anaesthetic"


@lru_cache(maxsize=1)
def names() -> tuple[str, ...]:
    """Return the subclasses of co-analgesics, in alphabetical order."""
    found = drugs.INGREDIENTS.values()
    return tuple(sorted({drug.subclass for drug in found if drug.drug_class == "co_analgesic"}))


def find(name: str | None, ingredient: str | None, route: str | None) -> frozenset[str]:
    """Return the subclasses that a dose holds: those of all ingredients of its charted name.

    Parameters
    ----------
    name
        Drug as charted.
    ingredient
        What it was resolved to.
    route
        Resolved route.

    Examples
    --------
    >>> find("HYDROcodone-Acetaminophen (5mg-325mg)", "hydrocodone", "oral")
    frozenset({'acetaminophen'})
    >>> find("Lidocaine 5% patch", "lidocaine", "transdermal")
    frozenset({'local_anaesthetic'})
    """
    held = {ingredient or ""}
    if name and drugs.resolve(name) is not None:
        for mention in drugs.mentions(drugs.plain(name)):
            held.update(mention.ingredients)
    known = [drugs.INGREDIENTS[each] for each in held if each in drugs.INGREDIENTS]
    found = {drug.subclass for drug in known if drug.drug_class == "co_analgesic"}
    if SYSTEMIC in found and route not in SYSTEMIC_ROUTES:
        found = (found - {SYSTEMIC}) | {LOCAL}
    return frozenset(found)
