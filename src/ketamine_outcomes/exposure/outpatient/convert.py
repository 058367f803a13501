"""From drug, route, form and unit to MME per unit of a strength, for outpatient sources.

Words that are not known (drug, route, unit) or that have no factor give no value and a reason,
never 0. Numbers that are none are the caller's mistake and raise. Not for clinical dosing.
"""

from __future__ import annotations

import math
import numbers
from collections.abc import Iterable
from dataclasses import dataclass, replace
from decimal import Decimal
from fractions import Fraction

from ketamine_outcomes.errors import UserError
from ketamine_outcomes.exposure import drugs, units
from ketamine_outcomes.exposure.factors import (
    FORMS,
    NEURAXIAL,
    PATCH_DAYS,
    ROUTES,
    TIERS,
    UNUSED_FORMS,
    Factor,
    FactorTable,
    form_class,
)

Number = int | float | Decimal | Fraction
#: Factors of an outpatient source unless said otherwise (MMWR Recomm Rep 2022;71(3)).
DEFAULT_FACTORS = "cdc2022"
#: Why a prescription has no value.
REASONS = {
    "unknown_drug": "the name is not in the dictionary of drugs",
    "not_an_opioid": "the drug is no opioid",
    "unknown_route": "the route is not one of the factor table",
    "unknown_form": "the form is not one of the factor table",
    "unknown_unit": "the unit of the strength is not in the table of units",
    "unit_not_for_route": "mcg/h is for patches, and a patch is given by its mcg/h",
    "neuraxial": "what goes into the neuraxis is never converted",
    "no_factor": "the factor set has none for the drug by this route and form",
}
_ROUTES = ROUTES - {"any", "oromucosal"}
_FORMS = (FORMS - UNUSED_FORMS - frozenset(TIERS)) | {"unknown", "injection"}
NO_PATCH_DAYS = "a patch whose days are not known"


@dataclass(frozen=True)
class DailyMme:
    """MME per day, or the reason why there is none.

    Attributes
    ----------
    mme_per_day
        MME per day, None when the dose cannot be converted.
    mg_per_day
        Drug mass per day in mg, None when the unit is not known.
    factor, factor_unit
        The number that was used and its unit; for tiers that of the day's dose.
    reason
        A key of `REASONS`, empty when converted.
    """

    mme_per_day: float | None
    mg_per_day: float | None
    factor: float | None
    factor_unit: str
    reason: str


@dataclass(frozen=True)
class Conversion:
    """What one unit of a strength means.

    Attributes
    ----------
    mme_per_unit, mg_per_unit
        MME and mg of one unit of the strength; of a patch, of its rate x hour. None: unknown.
    patch, hours_per_unit
        Whether it is a patch, and the hours that one is worn (None: not known).
    found
        The row of the factor table, None for a factor of the caller's own.
    factor, factor_unit
        The number that was used.
    reason
        Why there is no value.
    """

    mme_per_unit: Fraction | None = None
    mg_per_unit: Fraction | None = None
    patch: bool = False
    hours_per_unit: Fraction | None = None
    found: Factor | None = None
    factor: float | None = None
    factor_unit: str = ""
    reason: str = ""

    @property
    def quantity_per_unit(self) -> Fraction:
        """Return mg of one unit, or mcg/h x h of a patch: what `Factor.per_quantity` is for."""
        return (self.mg_per_unit or Fraction(0)) * (1000 if self.patch else 1)

    @property
    def tiers(self) -> Factor | None:
        """Return the factor if it depends on the patient's total of the day."""
        return self.found if self.found and self.found.tiers else None

    def dispensed(self) -> Fraction:
        """Return units of the strength, or rate x hours, that one unit dispensed holds."""
        if not self.patch or self.reason:
            return Fraction(1)
        if self.hours_per_unit is None:
            raise UserError(NO_PATCH_DAYS, where="days_per_patch", do="give the days worn")
        return self.hours_per_unit

    def daily(self, amount: Fraction) -> DailyMme:
        """Return the MME of a day's amount in the unit of the strength (patch: rate x hours)."""
        mg = None if self.mg_per_unit is None else amount * self.mg_per_unit
        if mg is None or self.mme_per_unit is None:
            return DailyMme(None, None if mg is None else float(mg), None, "", self.reason)
        if self.tiers:
            tier = self.tiers.on_day(mg)
            mme = float(mg * tier.per_quantity)
            return DailyMme(mme, float(mg), float(tier.value), tier.unit, "")
        mme = float(amount * self.mme_per_unit)
        return DailyMme(mme, float(mg), self.factor, self.factor_unit, "")


# --- numbers ----------------------------------------------------------------------------------


def positive(value: object, name: str, where: str = "") -> Fraction:
    """Return a positive number as the decimal that it is written as.

    Raises
    ------
    UserError
        Text, a truth value, something missing, infinite, zero or negative.

    Examples
    --------
    >>> positive(0.1, "dose")
    Fraction(1, 10)
    """
    if isinstance(value, bool) or not isinstance(value, numbers.Real | Decimal):
        raise UserError(f"{name} must be a number", where=where, do="give a number, not text")
    if not math.isfinite(value) or value <= 0:
        raise UserError(f"{name} must be a positive number", where=where, do="above 0, finite")
    return value if isinstance(value, Fraction) else Fraction(str(value))


def row_numbers(at: Iterable[int]) -> str:
    """Return the numbers of rows by their places, the first row being 1; at most five.

    >>> row_numbers([0, 4])
    'rows 1, 5'
    """
    row_no = sorted({int(place) + 1 for place in at})
    more = f" and {len(row_no) - 5} more" if len(row_no) > 5 else ""
    word = "row " if len(row_no) == 1 else "rows "
    return word + ", ".join(map(str, row_no[:5])) + more


# --- words ------------------------------------------------------------------------------------


def find_conversion(
    drug: str | None,
    route: str | None,
    form: str | None,
    unit: str | None,
    table: FactorTable,
    factor: Number | None = None,
    factor_unit: str | None = None,
    days_per_patch: Number | None = None,
) -> Conversion:
    """Return what one unit of a strength means; a factor of the caller's own wins.

    Parameters
    ----------
    drug, route, form
        Words; not needed beside a factor of the caller's own.
    unit
        Unit of the strength: mg, mcg, g, mg/mL, mcg/mL, or mcg/h of a patch.
    table
        The factors.
    factor, factor_unit
        A factor of the caller's own; by mass its unit may be left out (that of the strength).
    days_per_patch
        Days that one patch is worn; as the label says (fentanyl 3, buprenorphine 7) if None.

    Raises
    ------
    UserError
        A factor of the caller's own that is not positive, or whose unit does not fit.
    """
    known = units.find(unit)
    if known is None or known.kind not in ("mass", "concentration", "mass_rate"):
        return Conversion(reason="unknown_unit")
    ingredient, reason = _ingredient(drug)
    patch = known.kind == "mass_rate"
    label = PATCH_DAYS.get(ingredient)
    worn = label if days_per_patch is None else positive(days_per_patch, "days_per_patch")
    base = Conversion(
        mg_per_unit=Fraction(str(known.per_base)),
        patch=patch,
        hours_per_unit=Fraction(24 * worn) if patch and worn else None,
    )
    if factor is not None:
        return _own(base, positive(factor, "factor"), factor_unit, known.name, label or worn)
    where, shape = _word(route), _word(form)
    if not reason and where not in _ROUTES:
        reason = "unknown_route"
    elif not reason and shape not in _FORMS:
        reason = "unknown_form"
    elif not reason and where in NEURAXIAL:
        reason = "neuraxial"
    elif not reason and patch != (where == "transdermal"):
        reason = "unit_not_for_route"
    # A source that does not tell iv, im and sc apart supplies no factor.
    if reason or where == "parenteral":
        return replace(base, reason=reason or "no_factor")
    if not (where == "oral" and shape in ("ir", "er")):
        shape = form_class(where, shape, has_rate=False)
    found = table.find(ingredient, where, shape)
    if found is None:
        return replace(base, reason="no_factor")
    mme = found.per_quantity * base.quantity_per_unit
    return replace(
        base, mme_per_unit=mme, found=found, factor=float(found.value), factor_unit=found.unit
    )


def _own(
    base: Conversion, factor: Fraction, unit: str | None, strength: str, label: Number | None
) -> Conversion:
    """Return the meaning of a factor of the caller's own."""
    if base.patch and unit is None:
        raise UserError(
            "a factor for a patch needs its unit: two conventions are published",
            where="factor_unit",
            do="'mcg/h_per_patch' (fentanyl 7.2, with patches / days supply) or 'mcg/h' (fentanyl "
            "2.4, a day worn)",
        )
    unit = unit or strength.split("/")[0]
    mass = units.find(unit)
    if base.patch and unit == "mcg/h":
        mme = factor * base.quantity_per_unit / 24
    elif base.patch and unit == "mcg/h_per_patch":
        if label is None:
            raise UserError(NO_PATCH_DAYS, where="days_per_patch", do="give the days worn")
        mme = factor * base.quantity_per_unit / (24 * Fraction(label))
    elif mass is not None and mass.kind == "mass" and base.mg_per_unit is not None:
        mme = factor * base.mg_per_unit / Fraction(str(mass.per_base))
    else:
        raise UserError(
            "the unit of the factor does not fit the strength",
            where="factor_unit",
            do="allowed: mg, mcg, g; for patches also mcg/h and mcg/h_per_patch",
        )
    return replace(base, mme_per_unit=mme, factor=float(factor), factor_unit=unit)


def _word(word: str | None) -> str:
    return word.strip().lower() if word else "unknown"


def _ingredient(drug: str | None) -> tuple[str, str]:
    """Return the ingredient of a name and, where it has none, the reason."""
    found = drugs.resolve(drug) if drug else None
    if found is None:
        return "", "unknown_drug"
    return found.ingredient, "" if found.drug_class == "opioid" else "not_an_opioid"
