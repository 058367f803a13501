"""The form of a product by the words of its text."""

from __future__ import annotations

import re

#: Words of a product that say its form. The first form of `FORM_RANK` that a text says wins:
#: a `tablet for oral suspension` is a tablet, an `oral syringe` is no injection.
PRODUCT_WORD_FORM = {
    **dict.fromkeys(("patch", "patches", "ptch", "transdermal"), "patch"),
    **dict.fromkeys(
        ("supp", "supps", "suppository", "suppositories", "supprette", "supprettes"), "suppository"
    ),
    **dict.fromkeys(
        ("loz", "lozenge", "lozenges", "lollipop", "lollipops", "troche", "troches"), "lozenge"
    ),
    **dict.fromkeys(("film", "films"), "film"),
    **dict.fromkeys(("spray", "sprays"), "spray"),
    **dict.fromkeys(("tab", "tabs", "tablet", "tablets", "caplet", "caplets", "odt"), "tablet"),
    **dict.fromkeys(("cap", "caps", "capsule", "capsules"), "capsule"),
    **dict.fromkeys(
        ("elixir", "syrup", "linctus", "tincture", "liquid", "suspension", "intensol"), "solution"
    ),
    **dict.fromkeys(("udcup", "cup"), "cup"),
    **dict.fromkeys(("bag", "bags", "infusion", "drip", "premix", "cadd", "cassette"), "infusion"),
    **dict.fromkeys(
        ("inj", "injection", "injectable", "vial", "vials", "syr", "syringe", "syringes", "ampul",
         "ampule", "ampoule", "ampoules", "amp", "amps", "carpuject", "cartridge", "injector"),
        "injection",
    ),
    **dict.fromkeys(("soln", "solution"), "bare_solution"),
    **dict.fromkeys(("chloride", "nacl", "ns", "dextrose"), "diluent"),
}  # fmt: skip
FORM_RANK = (
    "patch", "tablet", "capsule", "suppository", "lozenge", "film", "spray", "solution",
    "cup", "infusion", "injection", "bare_solution", "diluent",
)  # fmt: skip
#: What only holds a product, against what it is: a `tincture` in a `syringe` stays a tincture.
CONTAINERS = frozenset(("cup", "infusion", "injection", "bare_solution", "diluent"))
ORAL_LIQUID = re.compile(
    r"\boral[ ,/-]*(?:soln?|solution|conc|concentrate|concentrated|liquid|susp|syringe|syr|drops)\b"
)
EXTENDED = re.compile(
    r"\b(?:er|sr|xr|cr|mr|xl|la|sa|\w*contin|continus"
    r"|(?:extended|sustained|controlled|modified|prolonged|slow)[ -]?release)\b"
)
#: Drugs without an oral liquid: their bare `solution` is for the vein, the nose or the spine.
NO_ORAL_LIQUID = frozenset(
    ("fentanyl", "sufentanil", "remifentanil", "alfentanil", "carfentanil", "nalbuphine",
     "butorphanol", "buprenorphine", "oliceridine", "dezocine", "piritramide", "pentazocine",
     "ketamine", "esketamine")
)  # fmt: skip


def form_of(drug: str, product: str, ingredient: str) -> str:
    """Return the form that the texts say: what the product is before what only holds it."""
    of_product, of_drug = _said(product), _said(drug)
    content = [f for f in (*of_product, *of_drug) if f not in CONTAINERS]
    container = [f for f in (*of_product, *of_drug) if f in CONTAINERS]
    form = (content or container or ["unknown"])[0]
    if form in of_drug and form not in of_product and form not in CONTAINERS and of_product:
        # The product says no more than what it is in. An oral liquid in a cup or a syringe stays
        # one; a `patch` in a vial, or a `tablet` in a cup, cannot be believed.
        held = of_product[0] in ("cup", "bare_solution") or re.search(r"\bsyr", product)
        return form if form == "solution" and held else "unknown"
    if form == "unknown" and not product and ingredient not in NO_ORAL_LIQUID:
        # An extended release opioid is swallowed: a name that says so is a tablet's.
        return "tablet_er" if EXTENDED.search(drug) else form
    if form == "bare_solution" and ingredient in NO_ORAL_LIQUID:
        return "unknown"
    if form in ("tablet", "capsule") and EXTENDED.search(f"{drug} {product}"):
        return f"{form}_er"
    return {"cup": "solution", "bare_solution": "solution", "diluent": "infusion"}.get(form, form)


def _said(text: str) -> list[str]:
    """Return the forms that the words of a text say, the strongest first."""
    forms = {
        PRODUCT_WORD_FORM.get(word)
        for word in re.findall(r"[a-z]+", text.replace("d5w", "dextrose"))
    }
    if ORAL_LIQUID.search(text):
        forms = (forms - {"injection", "bare_solution"}) | {"solution"}
    return [form for form in FORM_RANK if form in forms]
