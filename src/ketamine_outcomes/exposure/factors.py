"""Factor sets: morphine milligram equivalents per unit of drug, by route and form.

The factors are versioned data with their sources (`reference/conversion_factors.csv`), never
code. A list of sets is names joined by `+`: an earlier set wins, a factor anywhere beats an
exclusion row, and a final `+low` or `+high` takes the published range where one is given. An
item that ends in `.csv` is a file of the user's own with the same columns.
"""

from __future__ import annotations

import csv
import itertools
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from fractions import Fraction
from functools import lru_cache
from importlib import resources
from pathlib import Path

from ketamine_outcomes.errors import UserError, UserErrors, did_you_mean
from ketamine_outcomes.exposure.drugs import INGREDIENTS

COLUMNS = (
    "set", "drug", "rxnorm_ingredient", "route", "form", "dose_unit", "factor", "factor_low",
    "factor_high", "source", "note", "evidence",
)  # fmt: skip
#: Short names that a study may use.
ALIASES = {"inpatient": "inpatient_parenteral", "anzca": "anzca2021"}
#: Sets that gather evidence (one row per published value) and are not usable as factors.
EVIDENCE_ONLY = frozenset(("inpatient_source",))
#: Days that the label counts for one patch: a factor per patch is divided by them.
PATCH_DAYS = {"fentanyl": 3, "buprenorphine": 7}
PARENTERAL = frozenset(("iv", "im", "sc"))
NEURAXIAL = frozenset(("epidural", "intrathecal"))
#: Daily dose of methadone (mg) up to which a tier holds; the last has no end.
TIERS = {
    "tier_gt0_le20": Decimal(20),
    "tier_gt20_le40": Decimal(40),
    "tier_gt40_le60": Decimal(60),
    "tier_gt60": None,
}
#: A source that does not tell iv, im and sc apart (`parenteral`) supplies no factor, and
#: `oromucosal` is no route of the extract.
ROUTES = frozenset(
    ("oral", "rectal", "buccal", "sublingual", "nasal", "transdermal", "iv", "im", "sc",
     "epidural", "intrathecal", "any", "parenteral", "oromucosal")
)  # fmt: skip
#: Words of the sources that are no route of a dose.
NO_ROUTE = frozenset(("any", "parenteral", "oromucosal"))
#: Oral products of the source tables, as the two forms that factors know.
ORAL_FORMS = {
    **dict.fromkeys(
        ("tablet", "tablet_odt", "tablet_for_suspension", "capsule", "solution", "suspension"), "ir"
    ),
    **dict.fromkeys(("tablet_er", "capsule_er"), "er"),
}
FORMS = frozenset(
    ("any", "ir", "er", "lozenge", "film", "spray", "suppository", "patch", "implant",
     "injection_er", "atomised_injection", "bolus", "infusion", "pca", "base",
     "basis_statement", *ORAL_FORMS, *TIERS)
)  # fmt: skip
#: Rows that state an assumption behind a factor, or a product that the extract does not know.
UNUSED_FORMS = frozenset(("basis_statement", "base", "implant", "injection_er"))
UNITS = frozenset(("mg", "mcg", "mcg/h", "mcg/h_per_patch", ""))


@dataclass(frozen=True)
class Factor:
    """One usable row of a set.

    Attributes
    ----------
    value
        The number of the table, MME per `unit`.
    unit
        mg, mcg, mcg/h (worn for a day) or mcg/h_per_patch (for the label's days).
    per_quantity
        MME per mg; for patches MME per mcg/h x hour.
    set_name, source
        Where it comes from.
    tiers
        For a drug whose factor depends on the patient's total of the day: pairs of the dose in
        mg up to which a factor holds (None: without end) and that factor, in order. `value` is
        then that of the first tier.
    """

    value: Decimal
    unit: str
    per_quantity: Fraction
    set_name: str
    source: str
    tiers: tuple[tuple[Decimal | None, Factor], ...] = ()

    def on_day(self, total_mg: Decimal | Fraction) -> Factor:
        """Return the factor for a day's total of the rows that carry a tier, in mg."""
        for upper, factor in self.tiers:
            if upper is None or total_mg <= upper:
                return factor
        return self


def known_sets() -> tuple[str, ...]:
    """Return the names that a study may join."""
    names = dict.fromkeys(row["set"] for row in _shipped())
    aliases = {full: short for short, full in ALIASES.items()}
    return tuple(aliases.get(name, name) for name in names if name not in EVIDENCE_ONLY)


def parse(factors: str) -> tuple[tuple[str, ...], str]:
    """Split `cdc2022+inpatient+low` into full set names and `low`, `high` or `typical`.

    Raises
    ------
    UserError
        An unknown set, or low/high without a set before it.
    """
    names = [name.strip() for name in factors.split("+")]
    bound = names.pop() if names[-1] in ("low", "high") else "typical"
    for name in names or [""]:
        if name.endswith(".csv") or name in known_sets() or name in ALIASES.values():
            continue
        raise UserError(
            f"unknown factor set {name!r}{did_you_mean(name, known_sets())}",
            do="allowed: " + ", ".join(known_sets()) + ", or a file NAME.csv with the same "
            "columns; joined by +, last +low or +high",
        )
    return tuple(ALIASES.get(name, name) for name in names), bound


def files(factors: str) -> tuple[Path, ...]:
    """Return the files of the user's own in a list of sets."""
    return tuple(Path(name) for name in parse(factors)[0] if name.endswith(".csv"))


def selected_rows(factors: str) -> list[dict[str, str]]:
    """Return the rows of the selected sets in list order, for the definition hash."""
    return [row for name in parse(factors)[0] for row in _set(name)]


class FactorTable:
    """The factors of one list of sets.

    Parameters
    ----------
    factors
        Names joined by `+`, e.g. `cdc2022+inpatient`.

    Raises
    ------
    UserError
        An unknown set, or a file of the user's own that cannot be used.

    Examples
    --------
    >>> table = FactorTable("cdc2022+inpatient")
    >>> table.find("hydromorphone", "iv", "bolus").value
    Decimal('20')
    >>> table.find("meperidine", "oral", "ir") is None
    True
    """

    def __init__(self, factors: str) -> None:
        names, self.bound = parse(factors)
        self.name = factors
        self._sets = [_usable(_set(name), self.bound) for name in names]

    def find(self, drug: str, route: str, form: str) -> Factor | None:
        """Return the factor of a drug by its resolved route and form class, or None.

        An earlier set wins; within a set the more specific form and route win over `any`, `er`
        falls back to `ir` and `pca` to `infusion`. What goes into the neuraxis is never
        converted, nor is remifentanil.
        """
        if drug == "morphine_equivalent":
            return PRECONVERTED
        if route in NEURAXIAL or route in NO_ROUTE or drug == "remifentanil":
            return None
        if form == "unknown" and route in ("buccal", "sublingual"):
            return None  # film and tablet differ: not told apart, not converted
        if form == "lozenge":
            route = "buccal"  # it is sucked, whatever route was charted
        instead = {"er": ("er", "ir"), "pca": ("pca", "infusion")}
        forms = (*instead.get(form, (form,)), "any")
        for factors in self._sets:
            for wanted in forms:
                for on_route in (route, "any"):
                    found = factors.get((drug, on_route, wanted))
                    if found is not None and (
                        form == "patch" or not found.unit.startswith("mcg/h")
                    ):
                        return found
        return None

    def has(self, drug: str) -> bool:
        """Return whether any route and form of a drug has a factor."""
        return any(key[0] == drug for factors in self._sets for key in factors)


#: A dose that the source charts in MME already.
PRECONVERTED = Factor(Decimal(1), "mg", Fraction(1), "", "converted by the source")


def form_class(route: str, form: str, has_rate: bool) -> str:
    """Return the form of the factor table that a resolved route and charted form mean.

    Parenteral with a rate is an infusion, PCA rows are pca, other parenteral rows a bolus; oral
    extended release is er, other oral ir; nasal liquid is an atomised injection.
    """
    if route in PARENTERAL or route in NEURAXIAL:
        if form.startswith("pca_"):
            return "pca"
        return "infusion" if has_rate else "bolus"
    if form == "lozenge":
        return form
    if route == "oral":
        return "er" if form in ("tablet_er", "capsule_er") else "ir"
    if route == "nasal" and form in ("solution", "injection"):
        return "atomised_injection"
    if route == "rectal" and form == "unknown":
        return "suppository"
    if route == "transdermal":
        return "patch"
    return form


# --- rows -------------------------------------------------------------------------------------


def _usable(rows: Iterable[dict[str, str]], bound: str) -> dict[tuple[str, str, str], Factor]:
    """Return the factors of one set by drug, route and form; tiers beat base rows."""
    found: dict[tuple[str, str, str], Factor] = {}
    tiers: dict[tuple[str, str], list[tuple[Decimal | None, Factor]]] = {}
    for row in rows:
        # A row that is excluded in its typical reading (buprenorphine) counts with its bounds.
        value = row["factor"] if bound == "typical" else row[f"factor_{bound}"] or row["factor"]
        if not value or Decimal(value) == 0 or row["form"] in UNUSED_FORMS:
            continue
        if "DEFECT" in row["note"] or "SUSPECT" in row["note"]:
            continue
        for drug, route, form in _expand(row):
            if row["dose_unit"].startswith("mcg/h") and route != "transdermal":
                continue  # the same factor stands in the set per mcg
            factor = _factor(Decimal(value), row, drug, form)
            if form in TIERS:
                tiers.setdefault((drug, route), []).append((TIERS[form], factor))
            else:
                if route == "oral":
                    form = ORAL_FORMS.get(form, form)
                found.setdefault((drug, route, form), factor)
                if route == "transdermal" and form == "any":
                    found.setdefault((drug, route, "patch"), factor)
    for (drug, route), steps in tiers.items():
        steps.sort(key=lambda step: (step[0] is None, step[0]))
        first = steps[0][1]
        for form in ("ir", "er", "any"):
            found[drug, route, form] = Factor(
                first.value, first.unit, first.per_quantity, first.set_name, first.source,
                tuple(steps),
            )  # fmt: skip
    return found


def _factor(value: Decimal, row: dict[str, str], drug: str, form: str) -> Factor:
    unit, exact = row["dose_unit"], Fraction(value)
    if unit == "mcg/h_per_patch":
        exact /= PATCH_DAYS[drug]
    if unit.startswith("mcg/h"):
        exact /= 24
    elif unit == "mcg" and row["route"] != "transdermal":
        exact *= 1000
    elif unit == "mg" and row["route"] == "transdermal":
        exact /= 1000  # a mass factor serves a patch through rate x hours in mcg
    return Factor(value, unit, exact, row["set"], row["source"])


def _expand(row: dict[str, str]) -> Iterable[tuple[str, str, str]]:
    parts = (row[name].split("|") for name in ("drug", "route", "form"))
    yield from itertools.product(*parts)


def _set(name: str) -> tuple[dict[str, str], ...]:
    if name.endswith(".csv"):
        return _own(name, Path(name).stat().st_mtime_ns if Path(name).is_file() else 0)
    return tuple(row for row in _shipped() if row["set"] == name)


@lru_cache(maxsize=8)
def _own(name: str, _changed: int) -> tuple[dict[str, str], ...]:
    path = Path(name)
    if not path.is_file():
        raise UserError("there is no such file of factors", where=name, do="check the path")
    with path.open(encoding="utf-8-sig", newline="") as stream:
        reader = csv.DictReader(stream)
        missing = [c for c in COLUMNS[1:] if c not in (reader.fieldnames or ())]
        if missing:
            raise UserError(
                "a file of factors without the columns " + ", ".join(missing),
                where=name,
                do="columns: " + ", ".join(COLUMNS),
            )
        rows = tuple(
            {c: (row.get(c) or "").strip() if c != "set" else path.stem for c in COLUMNS}
            for row in reader
        )
    check(rows, name)
    return rows


@lru_cache(maxsize=1)
def _shipped() -> tuple[dict[str, str], ...]:
    text = (
        resources.files("ketamine_outcomes.exposure")
        .joinpath("reference/conversion_factors.csv")
        .read_text(encoding="utf-8")
    )
    return tuple(csv.DictReader(text.splitlines()))


def check(rows: Iterable[dict[str, str]], where: str) -> None:
    """Check rows of a factor table: words, units, numbers, provenance, doubles.

    Raises
    ------
    UserErrors
        Every fault of the table, each with its data row.
    """
    faults: list[UserError] = []
    seen: dict[tuple[object, ...], int] = {}
    tiers: dict[tuple[str, str], set[str]] = {}

    def blame(number: int, what: str, do: str = "") -> None:
        faults.append(UserError(what, where=f"{where}, data row {number}", do=do))

    for number, row in enumerate(rows, start=1):
        if row["dose_unit"] not in UNITS:
            blame(number, f"dose_unit {row['dose_unit']!r}", "allowed: mg, mcg, mcg/h, "
                  "mcg/h_per_patch; empty for an exclusion")  # fmt: skip
        if not row["source"]:
            blame(number, "a factor without its source", "say where the number was published")
        values = [row[c] for c in ("factor_low", "factor", "factor_high") if row[c]]
        try:
            numbers = [Decimal(value) for value in values]
            if any(not n.is_finite() or n < 0 for n in numbers):
                blame(number, "a factor that is negative or no number")
            elif any(n != round(n, 9) or n > 10**6 for n in numbers):
                blame(number, "a factor above a million or with more than 9 decimals")
            elif row["factor"] and numbers != sorted(numbers):
                blame(number, "factor_low, factor, factor_high are not in order")
        except InvalidOperation:
            blame(number, "a factor that is no number", "write it with a decimal point")
        if row["factor"] not in ("", "0") and not row["dose_unit"]:
            blame(number, "a factor without its dose_unit")
        for drug, route, form in _expand(row):
            for what, word, allowed in (("route", route, ROUTES), ("form", form, FORMS)):
                if word not in allowed:
                    near = did_you_mean(word, allowed)
                    blame(number, f"{what} {word!r} is not known{near}",
                          "allowed: " + ", ".join(sorted(allowed)))  # fmt: skip
            if row["factor"] not in ("", "0") and drug not in INGREDIENTS:
                blame(number, f"drug {drug!r} is no ingredient{did_you_mean(drug, INGREDIENTS)}",
                      "use the ingredient's name in lower case")  # fmt: skip
            if row["dose_unit"] == "mcg/h_per_patch" and row["factor"] and drug not in PATCH_DAYS:
                blame(number, "a factor per patch of a drug whose days a patch are not known",
                      "give it per mcg/h")  # fmt: skip
            if form in TIERS:
                tiers.setdefault((drug, route), set()).add(form)
                if (drug, route) != ("methadone", "oral"):
                    blame(number, "a factor by the day's total of another drug than oral methadone",
                          "give one factor")  # fmt: skip
            key = (row["set"], drug, route, form, row["dose_unit"], row["factor"] == "")
            if key in seen and row["set"] not in EVIDENCE_ONLY:
                blame(number, f"{drug} {route} {form} stands in data row {seen[key]} already")
            seen.setdefault(key, number)
    for drug, route in tiers:
        missing = [form for form in TIERS if form not in tiers[drug, route]]
        if missing:
            faults.append(UserError(f"{drug} {route} lacks the tiers {', '.join(missing)}",
                                    where=where, do="give all tiers, to the last"))  # fmt: skip
    if faults:
        raise UserErrors(faults, heading=f"the factors of {where} cannot be used as they are")
