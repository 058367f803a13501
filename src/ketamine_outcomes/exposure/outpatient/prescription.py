"""MME per day of one prescription, one regimen or the patches worn.

What cannot be converted has no value and a reason, never 0. Not for clinical dosing.
"""

from __future__ import annotations

from ketamine_outcomes.errors import UserError
from ketamine_outcomes.exposure import units
from ketamine_outcomes.exposure.factors import FactorTable
from ketamine_outcomes.exposure.outpatient.convert import (
    DEFAULT_FACTORS,
    DailyMme,
    Number,
    find_conversion,
    positive,
)


def doses_per_day(
    times: Number, per_hours: Number | None = None, per_days: Number | None = None
) -> float:
    """Return how many doses a day a frequency means.

    Parameters
    ----------
    times
        Doses in the period.
    per_hours, per_days
        Length of the period; exactly one of them.

    Notes
    -----
    The timing of HL7 FHIR R4 (frequency, period, periodUnit), as opioid-mme-r4 (2018-) reads it.

    Examples
    --------
    >>> doses_per_day(1, per_hours=6)
    4.0
    """
    if (per_hours is None) == (per_days is None):
        raise UserError("a frequency has one period", do="give either per_hours or per_days")
    count = positive(times, "times")
    if per_hours is not None:
        return float(count * 24 / positive(per_hours, "per_hours"))
    return float(count / positive(per_days, "per_days"))


def prescription_mme(
    drug: str | None,
    strength: Number,
    unit: str,
    quantity: Number,
    days_supply: Number,
    *,
    route: str | None,
    form: str | None = None,
    factors: str = DEFAULT_FACTORS,
    factor: Number | None = None,
    factor_unit: str | None = None,
    days_per_patch: Number | None = None,
) -> DailyMme:
    """Return the MME per day of a prescription: strength x (quantity / days supply) x factor.

    Parameters
    ----------
    drug
        Ingredient or product name.
    strength, unit
        Strength of one unit dispensed: mg or mcg a tablet, mg/mL of a liquid, mcg/h of a patch.
    quantity
        Units dispensed; mL where the strength is per mL.
    days_supply
        Days that they are meant to last.
    route, form
        As in the factor table; a form that is not given is `unknown`.
    factors
        Sets joined by `+`.
    factor, factor_unit
        A factor of the caller's own, which wins. For a patch its unit must be said:
        `mcg/h_per_patch` or `mcg/h`.
    days_per_patch
        Days that one patch is worn; the label's days if None.

    Returns
    -------
    DailyMme
        Without a value and with a reason where drug, route or unit have no factor.

    Raises
    ------
    UserError
        Numbers that are not positive, an unknown factor set.

    Notes
    -----
    The formula of the CDC files of opioid oral morphine equivalents (2014, 2016, 2018). A patch
    counts for the days it is worn, so 7.2 per patch and 2.4 per mcg/h worn agree. Methadone tiers
    (2016) act on the prescription's own daily dose.

    Examples
    --------
    Ten fentanyl patches of 25 mcg/h for 30 days, by either convention:

    >>> rx = ("fentanyl", 25, "mcg/h", 10, 30)
    >>> prescription_mme(*rx, route="transdermal").mme_per_day
    60.0
    >>> prescription_mme(*rx, route="transdermal", factors="cdc2018_file").mme_per_day
    60.0
    """
    found = find_conversion(
        drug, route, form, unit, FactorTable(factors), factor, factor_unit, days_per_patch
    )
    amount = positive(strength, "strength") * positive(quantity, "quantity")
    amount *= found.dispensed()
    return found.daily(amount / positive(days_supply, "days_supply"))


def regimen_mme(
    drug: str | None,
    dose: Number,
    unit: str,
    doses_per_day: Number | None = None,
    *,
    every_hours: Number | None = None,
    route: str | None,
    form: str | None = None,
    factors: str = DEFAULT_FACTORS,
    factor: Number | None = None,
    factor_unit: str | None = None,
) -> DailyMme:
    """Return the MME per day of a dose taken so many times a day, or every so many hours.

    Parameters
    ----------
    drug, route, form, factors, factor, factor_unit
        As in `prescription_mme`.
    dose, unit
        One dose by mass (two tablets of 10 mg are 20 mg); a patch goes to `patch_mme`.
    doses_per_day, every_hours
        Exactly one of them; 1 a day is the dose itself.

    Notes
    -----
    CDC Guideline 2022 (MMWR Recomm Rep 71(3)), dosage box. Methadone tiers (2016) act on the
    regimen's daily dose, with continuous edges: 20.5 mg a day is in the second.

    Examples
    --------
    Methadone 20 mg three times a day is 60 mg, third tier, factor 10:

    >>> regimen_mme("methadone", 20, "mg", 3, route="oral", factors="cdc2016").mme_per_day
    600.0
    """
    if (doses_per_day is None) == (every_hours is None):
        raise UserError("a regimen has one frequency", do="give doses_per_day or every_hours")
    if every_hours is not None:
        times = 24 / positive(every_hours, "every_hours")
    else:
        times = positive(doses_per_day, "doses_per_day")
    known = units.find(unit)
    if known is not None and known.kind != "mass":
        raise UserError("a dose is a mass", where="unit", do="mg, mcg or g; patches: patch_mme")
    found = find_conversion(drug, route, form, unit, FactorTable(factors), factor, factor_unit)
    return found.daily(positive(dose, "dose") * times)


def patch_mme(
    drug: str | None,
    rate: Number,
    unit: str = "mcg/h",
    *,
    patches: Number = 1,
    worn_hours: Number = 24,
    factors: str = DEFAULT_FACTORS,
    factor: Number | None = None,
    factor_unit: str = "mcg/h",
) -> DailyMme:
    """Return the MME per day of patches that are worn.

    Parameters
    ----------
    drug, factors, factor
        As in `prescription_mme`.
    rate, unit
        Label rate of one patch.
    patches
        Patches worn at once.
    worn_hours
        Hours of the day that they are worn; 24 when each is replaced as it comes off.
    factor_unit
        Of a factor of the caller's own: `mcg/h` (a day worn), `mcg/h_per_patch`, mg or mcg.

    Notes
    -----
    CDC Guideline 2016 and 2022: fentanyl 2.4 MME a day for each mcg/h.

    Examples
    --------
    >>> patch_mme("fentanyl", 75).mme_per_day
    180.0
    """
    hours = positive(worn_hours, "worn_hours")
    if hours > 24:
        raise UserError("a day has 24 hours", where="worn_hours", do="give the hours of one day")
    known = units.find(unit)
    if known is None or known.kind != "mass_rate":
        raise UserError("a patch is given by its rate", where="unit", do="mcg/h")
    found = find_conversion(
        drug, "transdermal", "patch", unit, FactorTable(factors), factor, factor_unit
    )
    return found.daily(positive(rate, "rate") * positive(patches, "patches") * hours)
