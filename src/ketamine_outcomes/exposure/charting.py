"""How a dose row is charted, in plain terms: ingredient, route, form, unit, role.

A table has few distinct ways of charting (drug, product, route, form, units, status ...) and
many rows. Each way is resolved here once, by plain code over small tables; what is left for the
rows is arithmetic in SQL (`engine.py`).
"""

from __future__ import annotations

from dataclasses import dataclass, fields

from ketamine_outcomes.exposure import drugs, products, units
from ketamine_outcomes.exposure.factors import NEURAXIAL, PARENTERAL, form_class
from ketamine_outcomes.exposure.flags import BIT
from ketamine_outcomes.exposure.limits import plausible
from ketamine_outcomes.study import SimulatedCohort, SourceCohort

ORAL_FORMS = frozenset(("tablet", "tablet_er", "capsule", "capsule_er", "solution"))
PARENTERAL_FORMS = frozenset(
    ("injection", "infusion", "pca_reading", "pca_demand", "pca_basal", "pca_loading")
)
FORM_ROUTE = {
    **dict.fromkeys(ORAL_FORMS, "oral"),
    "patch": "transdermal",
    "suppository": "rectal",
    "lozenge": "buccal",
}
#: Words of patients.dialysis that mean that the dry weight counts and the kidneys do not.
DIALYSED = frozenset(("hemodialysis", "peritoneal", "crrt"))
NOT_GIVEN = frozenset(("not_given", "held", "refused", "missed", "attempt", "wasted"))
#: The amount on these rows is the bag or syringe, not a dose.
BAG = frozenset(("started", "new_bag", "rate_change", "verified"))
#: Rows that say that something still runs.
CONFIRMING = frozenset(("verified", "new_bag"))
#: Faults of the intake that leave no patient or time at which the dose could make a difference.
UNPLACED = frozenset(("no_patient", "no_start", "no_drug"))
#: Ingredient of a name that is not in the dictionary, where the table holds opioids only.
UNKNOWN = "unknown"


@dataclass(frozen=True)
class Assumptions:
    """What the cohort lets the engine assume.

    Attributes
    ----------
    parenteral_route
        Route of a parenteral product whose route is not recorded, or None.
    unknown_is_opioid
        Whether the doses table holds opioids only (`doses_hold: opioids`).
    feed_priority
        Feeds, the most trusted first.
    stays_complete
        Whether a dose outside every stay is set aside.
    """

    parenteral_route: str | None = None
    unknown_is_opioid: bool = False
    feed_priority: tuple[str, ...] = ()
    stays_complete: bool = True

    @classmethod
    def of(cls, cohort: SourceCohort | SimulatedCohort) -> Assumptions:
        """Return what a cohort section lets the engine assume."""
        return cls(
            parenteral_route=cohort.assume_route.get("parenteral"),
            unknown_is_opioid=getattr(cohort, "doses_hold", "all_drugs") == "opioids",
            feed_priority=cohort.feed_priority,
            stays_complete=getattr(cohort, "stays_complete", True),
        )


@dataclass(frozen=True)
class Way:
    """One distinct way of charting: cells of the doses table that are words, not numbers."""

    drug: str | None
    product: str | None
    route: str | None
    form: str | None
    amount_unit: str | None
    rate_unit: str | None
    concentration_unit: str | None
    amount_basis: str | None
    status: str | None
    procedural: bool | None
    indication: str | None
    fault: str | None
    has_amount: bool
    has_rate: bool
    has_end: bool


KEY = tuple(field.name for field in fields(Way))


@dataclass(frozen=True)
class Charting:
    """What a way of charting means for its rows.

    Attributes
    ----------
    ingredient, drug_class
        From the dictionary; None when the name is not in it and may be no opioid.
    route, route_group, form, form_class
        Resolved; `route_group` (oral, parenteral, neuraxial, patch) is where feeds are matched.
    lane
        How the row becomes a piece: `none` (no piece), `alone` (from the row itself), `open`
        (from its neighbours: rates without end, stops, confirmations), `reading`, `patch`.
    lane_inside
        The same, with `aside` for a row that becomes no piece even inside a stay.
    plain
        Whether a mass within the limits is all that its rows need to count.
    role
        dose, change (a rate begins), bolus (from the bag), confirm, stop.
    row_class, reason
        The class where the way decides it, else empty.
    stratum
        Why the dose is given but kept apart (neuraxial, remifentanil, procedural, oud, ordered),
        or empty.
    fault
        Why mass and rate cannot be known, or empty.
    flags
        Bits.
    amount_counts, dispensed
        Whether the amount is a dose, and whether waste is to be taken from it.
    mg_per_amount, mg_per_rate
        Mass of one unit in mg, or mg/h; None where it goes by volume. Per kg where `..._per_kg`.
    mg_per_concentration, mg_per_ml
        mg/mL of one unit of `concentration`; mg/mL that the product states.
    mcg_per_h_per_amount, mcg_per_h_per_rate
        Label rate of a patch for one unit of amount or rate.
    needs_weight
        Whether the weight valid at the row is wanted.
    words
        All words of the row in one form, to compare rows of two feeds by.
    flag_above, refuse_above
        Limits of plausibility in mg a row (an hour for longer ones), or mcg/h of a patch.
    """

    ingredient: str | None
    drug_class: str | None
    route: str | None
    route_group: str
    form: str
    form_class: str | None
    lane: str
    lane_inside: str
    plain: bool
    role: str
    row_class: str
    reason: str
    stratum: str
    fault: str
    flags: int
    amount_counts: bool
    dispensed: bool
    mg_per_amount: float | None
    amount_by_volume: bool
    amount_per_kg: bool
    mg_per_rate: float | None
    rate_by_volume: bool
    rate_per_kg: bool
    mg_per_concentration: float | None
    mg_per_ml: float | None
    mcg_per_h_per_amount: float | None
    mcg_per_h_per_rate: float | None
    needs_weight: bool
    flag_above: float
    refuse_above: float
    words: str


def resolve(way: Way, assume: Assumptions, index_drug: str | None = None) -> Charting:
    """Return what a way of charting means.

    Parameters
    ----------
    way
        The cells of the row that are words.
    assume
        What the cohort lets the engine assume.
    index_drug
        An ingredient beyond opioids and ketamine whose rows become pieces.
    """
    drug = drugs.resolve(way.drug) if way.drug else None
    ingredient = drug.ingredient if drug else None
    drug_class = drug.drug_class if drug else None
    unnamed = drug is None and (assume.unknown_is_opioid or bool(drugs.opioids(way.drug or "")))
    if unnamed:
        # Where the table holds opioids only, a name that is not in the dictionary is an opioid
        # that was given and cannot be counted; and so is everywhere a name with two opioids.
        ingredient, drug_class = UNKNOWN, "opioid"
    product = products.describe(way.drug or "", way.product or "", ingredient or "")
    form = way.form if way.form and way.form != "unknown" else product.form
    route, assumed = _route(way.route, form, assume)
    group = route_group(route)
    status = way.status or "given"
    wanted = drug_class in ("opioid", "ketamine") or (
        ingredient is not None and ingredient == index_drug
    )
    amount_counts = way.has_amount and (status not in BAG or form == "pca_reading")
    role = _role(status)
    lane = _lane(way, role, group, form, amount_counts, status) if wanted else "none"
    stratum = _stratum(way, ingredient, drug_class, group)
    flags = (
        (assumed and wanted and BIT["route_assumed"])
        | (stratum == "neuraxial" and BIT["neuraxial_excluded"])
        | (stratum == "remifentanil" and BIT["intraop_ultrashort_excluded"])
        | (ingredient == "morphine_equivalent" and BIT["preconverted"])
        | (drug_class == "antagonist" and BIT["antagonist"])
    )
    unplaced = way.fault in UNPLACED and not (unnamed and way.fault == "no_drug")
    row_class, reason = _class(way, drug_class, wanted, unplaced, status, lane, role)
    if drug_class == "antagonist" and status not in NOT_GIVEN and not unplaced:
        lane = "alone"  # a mark in time, so that its window can say so
    aside = row_class == "excluded" or unplaced or lane == "none"
    if row_class not in ("", "marker") and drug_class != "antagonist":
        aside = True
    amount, rate = _Unit.of(way.amount_unit), _Unit.of(way.rate_unit)
    concentration = units.find(way.concentration_unit)
    by_volume = concentration is not None and concentration.kind == "concentration"
    patch_amount, patch_rate = _patch(group, amount, rate, product)
    limit = plausible(ingredient, group)
    charting = Charting(
        ingredient=ingredient,
        drug_class=drug_class,
        route=route,
        route_group=group,
        form=form,
        form_class=form_class(route, form, way.has_rate) if route else None,
        lane="none" if row_class == "excluded" or unplaced else lane,
        lane_inside="aside" if aside else lane,
        plain=False,
        role=role,
        row_class=row_class,
        reason=reason,
        stratum=stratum,
        fault="",
        flags=int(flags),
        amount_counts=amount_counts,
        dispensed=way.amount_basis == "dispensed",
        mg_per_amount=product.mg_per_unit if amount.kind == "count" else amount.mass,
        amount_by_volume=amount.kind == "volume",
        amount_per_kg=amount.kind == "mass_per_kg",
        mg_per_rate=rate.mass,
        rate_by_volume=rate.kind == "volume_rate",
        rate_per_kg=rate.kind == "mass_rate_per_kg",
        mg_per_concentration=concentration.per_base if concentration and by_volume else None,
        mg_per_ml=product.mg_per_ml,
        mcg_per_h_per_amount=patch_amount,
        mcg_per_h_per_rate=patch_rate,
        needs_weight=wanted
        and (
            drug_class != "opioid"
            or (way.has_rate and rate.kind == "mass_rate_per_kg")
            or amount.kind == "mass_per_kg"
        ),
        flag_above=limit[0],
        refuse_above=limit[1],
        words=_words(way, ingredient, route, form),
    )
    fault = _fault(way, charting, "unknown_drug" if unnamed else "", amount, rate)
    plain = (
        charting.lane_inside == "alone"
        and drug_class == "opioid"
        and not (row_class or stratum or fault)
        and group != "patch"
        and way.has_amount != way.has_rate
        and not (charting.amount_by_volume or charting.amount_per_kg)
        and not (charting.rate_by_volume or charting.rate_per_kg)
    )
    return Charting(**{**vars(charting), "fault": fault, "plain": plain})


def route_group(route: str | None) -> str:
    """Return the group in which feeds are matched; an epidural is none of the veins."""
    if route in PARENTERAL:
        return "parenteral"
    if route in NEURAXIAL:
        return "neuraxial"
    return "patch" if route == "transdermal" else "oral"


@dataclass(frozen=True)
class _Unit:
    """What a charted unit is: its kind (empty: not known) and its mass in mg or mg/h."""

    kind: str
    mass: float | None

    @classmethod
    def of(cls, spelling: str | None) -> _Unit:
        found = units.find(spelling)
        if found is None:
            return cls("", None)
        massive = found.kind in ("mass", "mass_rate", "mass_per_kg", "mass_rate_per_kg")
        return cls(found.kind, found.per_base if massive else None)


def _route(charted: str | None, form: str, assume: Assumptions) -> tuple[str | None, bool]:
    if charted and charted != "unknown":
        return charted, False
    if form in FORM_ROUTE:
        return FORM_ROUTE[form], False
    if form in PARENTERAL_FORMS and assume.parenteral_route:
        return assume.parenteral_route, True
    return None, False


def _words(way: Way, ingredient: str | None, route: str | None, form: str) -> str:
    """Return the words of a row as they are compared: spellings and defaults make no difference."""

    def unit(spelling: str | None) -> str:
        found = units.find(spelling)
        return found.name if found else (spelling or "").strip().lower()

    drug = ingredient if ingredient and ingredient != UNKNOWN else (way.drug or "").lower()
    return "\x1f".join(
        (
            drug,
            (way.product or "").lower(),
            route or "",
            form,
            unit(way.amount_unit),
            unit(way.rate_unit),
            unit(way.concentration_unit),
            way.amount_basis or "given",
            way.status or "given",
            "procedural" if way.procedural else "",
            way.indication or "",
        )
    )


def _role(status: str) -> str:
    if status in ("stopped", "removed"):
        return "stop"
    if status in CONFIRMING:
        return "confirm"
    if status in ("started", "rate_change"):
        return "change"
    return "bolus" if status == "bolus_from_bag" else "dose"


def _lane(way: Way, role: str, group: str, form: str, amount_counts: bool, status: str) -> str:
    if group == "patch":
        return "patch"
    if role == "stop":
        return "open"
    if form == "pca_reading":
        return "open" if role == "confirm" and not amount_counts else "reading"
    if way.has_end or status == "unknown":
        return "alone"
    if role == "confirm" or (way.has_rate and not amount_counts):
        return "open"
    runs = group in ("parenteral", "neuraxial") and not form.startswith(("pca_demand", "pca_load"))
    return "open" if role == "change" and runs else "alone"


def _stratum(way: Way, ingredient: str | None, drug_class: str | None, group: str) -> str:
    if drug_class != "opioid":
        return ""
    if group == "neuraxial":
        return "neuraxial"
    if ingredient == "remifentanil":
        return "remifentanil"
    if way.procedural is True:
        return "procedural"
    if way.indication == "oud":
        return "oud"
    return "ordered" if way.amount_basis == "ordered" else ""


def _class(
    way: Way,
    drug_class: str | None,
    wanted: bool,
    unplaced: bool,
    status: str,
    lane: str,
    role: str,
) -> tuple[str, str]:
    """Return class and reason where they do not depend on the numbers or the neighbours."""
    if drug_class is None and way.fault != "no_drug":
        return "non_opioid", "not_in_dictionary"
    if drug_class is not None and drug_class != "opioid" and not wanted:
        return "non_opioid", drug_class
    if unplaced:
        return "unconverted", way.fault or ""
    if status in NOT_GIVEN:
        return "excluded", "status"
    if role == "stop":
        return "marker", "removal" if lane == "patch" else "stop"
    if role == "confirm" and (lane == "patch" or (lane == "open" and not way.has_rate)):
        return "marker", "confirmation"
    return "", ""


def _patch(
    group: str, amount: _Unit, rate: _Unit, product: products.Product
) -> tuple[float | None, float | None]:
    """Return the label rate of a patch, in mcg/h, for one unit of amount and of rate."""
    if group != "patch":
        return None, None

    def label(unit: _Unit) -> float | None:
        return unit.mass * 1000 if unit.kind == "mass_rate" and unit.mass is not None else None

    per_amount = product.patch_mcg_per_h if amount.kind == "count" else label(amount)
    return per_amount, label(rate)


def _fault(way: Way, c: Charting, unknown_drug: str, amount: _Unit, rate: _Unit) -> str:
    """Return why neither mass nor rate can be known, as far as the words tell."""
    if unknown_drug:
        return unknown_drug
    if (way.status or "given") == "unknown":
        return "unknown_status"
    if c.row_class == "marker" or c.lane == "none":
        return ""
    if c.drug_class == "antagonist":
        return ""
    if way.fault in ("unknown_basis", "date_only"):
        return way.fault
    if not c.amount_counts and not way.has_rate:
        return "range" if way.fault == "range" else "no_dose"
    if c.route_group == "patch":
        usable = (way.has_rate and c.mcg_per_h_per_rate is not None) or (
            c.amount_counts and c.mcg_per_h_per_amount is not None
        )
        return "" if usable else "unknown_unit"
    if c.amount_counts:
        known = c.mg_per_amount is not None or c.amount_by_volume
        known = known and amount.kind not in ("mass_rate", "mass_rate_per_kg")
    else:
        known = (c.mg_per_rate is not None or c.rate_by_volume) and rate.kind not in (
            "mass",
            "mass_per_kg",
        )
    if not known:
        return "unknown_unit"
    return "" if c.route or c.ingredient == "morphine_equivalent" else "no_route"
