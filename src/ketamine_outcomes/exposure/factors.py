"""Factor sets: morphine milligram equivalents per unit of drug, by route and form.

The factors are versioned data with their sources (`reference/conversion_factors.csv`), never
code. A list of sets is names joined by `+`: an earlier set wins, a factor anywhere beats an
exclusion row, and a final `+low` or `+high` takes the published range where one is given.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache
from importlib import resources

from ketamine_outcomes.errors import UserError, did_you_mean

#: Short names that a study may use.
ALIASES = {"inpatient": "inpatient_parenteral", "anzca": "anzca2021"}
#: Sets that gather evidence (one row per published value) and are not usable as factors.
EVIDENCE_ONLY = frozenset(("inpatient_source",))
PATCH_DAYS = {"fentanyl": 3, "buprenorphine": 7}
PARENTERAL = frozenset(("iv", "im", "sc"))


@dataclass(frozen=True)
class Factor:
    """One usable row: `value` MME per `unit` (mg, mcg, or mcg/h worn for a day)."""

    value: Decimal
    unit: str
    set_name: str
    source: str


def known_sets() -> tuple[str, ...]:
    """Return the names that a study may join."""
    names = dict.fromkeys(row["set"] for row in _rows())
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
        if name not in known_sets() and name not in ALIASES.values():
            raise UserError(
                f"unknown factor set {name!r}{did_you_mean(name, known_sets())}",
                do="allowed: " + ", ".join(known_sets()) + "; joined by +, last +low or +high",
            )
    return tuple(ALIASES.get(name, name) for name in names), bound


def selected_rows(factors: str) -> list[dict[str, str]]:
    """Return the rows of the selected sets in list order, for the definition hash."""
    names, _ = parse(factors)
    return [row for name in names for row in _rows() if row["set"] == name]


class FactorTable:
    """The factors of one list of sets.

    Parameters
    ----------
    factors
        Names joined by `+`, e.g. `cdc2022+inpatient`.
    """

    def __init__(self, factors: str) -> None:
        names, self.bound = parse(factors)
        self.name = factors
        self._by_key: dict[tuple[str, str, str, bool], Factor] = {}
        for name in names:
            for row in _rows():
                if row["set"] == name:
                    self._add(row)

    def _add(self, row: dict[str, str]) -> None:
        value = row["factor"]
        if self.bound != "typical" and row[f"factor_{self.bound}"]:
            # A row that is excluded in its typical reading stays excluded: its range is for
            # sensitivity analyses that name the drug.
            value = row[f"factor_{self.bound}"] if value else ""
        if not value or row["form"] == "basis_statement" or "DEFECT" in row["note"]:
            return
        for drug in row["drug"].split("|"):
            for route in row["route"].split("|"):
                for form in row["form"].split("|"):
                    factor, unit = Decimal(value), row["dose_unit"]
                    if unit == "mcg/h_per_patch":
                        factor, unit = factor / PATCH_DAYS[drug], "mcg/h"
                    if unit == "mcg/h" and form != "patch":
                        continue  # the same factor stands in the set per mcg
                    key = (drug, route, form, unit == "mcg/h")
                    self._by_key.setdefault(key, Factor(factor, unit, row["set"], row["source"]))

    def find(self, drug: str, route: str, form: str) -> Factor | None:
        """Return the factor of a drug by its resolved route and form class, or None.

        The more specific form wins over `any`; `er` falls back to `ir`.
        """
        patch = form == "patch"
        forms = {"er": ("er", "ir", "any")}.get(form, (form, "any"))
        for wanted in forms:
            for on_route in (route, "any"):
                found = self._by_key.get((drug, on_route, wanted, patch))
                if found is not None:
                    return found
        return None


def form_class(route: str, form: str, has_rate: bool) -> str:
    """Return the form of the factor table that a resolved route and charted form mean.

    Parenteral with a rate is an infusion, PCA rows are pca, other parenteral rows a bolus; oral
    extended release is er, other oral ir; nasal liquid is an atomised injection.
    """
    if route in PARENTERAL or route in ("epidural", "intrathecal"):
        if form.startswith("pca_"):
            return "pca"
        return "infusion" if has_rate else "bolus"
    if route == "oral":
        return "er" if form in ("tablet_er", "capsule_er") else "ir"
    if route == "nasal" and form in ("solution", "injection"):
        return "atomised_injection"
    if route == "rectal" and form == "unknown":
        return "suppository"
    if route == "transdermal":
        return "patch"
    return form


@lru_cache(maxsize=1)
def _rows() -> tuple[dict[str, str], ...]:
    text = (
        resources.files("ketamine_outcomes.exposure")
        .joinpath("reference/conversion_factors.csv")
        .read_text(encoding="utf-8")
    )
    return tuple(csv.DictReader(text.splitlines()))
