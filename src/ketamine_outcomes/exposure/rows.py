"""Each dose row in plain terms: ingredient, route, form, mass, rate, or why it has none.

Vectorised over the rows of the drugs that matter (opioids, ketamine, the index drug). What is
known only from neighbouring rows (ends of infusions, duplicates, patches) is in `timeline.py`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
import pandas as pd

from ketamine_outcomes.exposure import drugs, units
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
PRODUCT_WORD_FORM = {
    "tab": "tablet",
    "tablet": "tablet",
    "tablets": "tablet",
    "cap": "capsule",
    "capsule": "capsule",
    "patch": "patch",
    "vial": "injection",
    "syr": "injection",
    "syringe": "injection",
    "ampul": "injection",
    "ampule": "injection",
    "inj": "injection",
    "bag": "infusion",
    "supp": "suppository",
    "suppository": "suppository",
}
NOT_GIVEN = frozenset(("not_given", "held", "refused", "missed", "attempt", "wasted"))
#: The amount on these rows is the bag or syringe, not a dose.
BAG_STATUSES = frozenset(("started", "new_bag", "rate_change", "verified"))
WEIGHT_LIMITS_KG = (20.0, 350.0)


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


def describe(
    doses: pd.DataFrame, patients: pd.DataFrame, measurements: pd.DataFrame, assume: Assumptions
) -> pd.DataFrame:
    """Add ingredient, class, resolved route and form, mass and rate to dose rows.

    Returns
    -------
    DataFrame
        The rows with drug_resolved, drug_class, route_resolved, route_assumed, form, amount_mg
        (mg), rate_mg_per_h, rate_mg_per_kg_h, and `fault`, the reason why mass or rate cannot be
        computed (empty when they can).
    """
    rows = doses.copy()
    found = {name: drugs.resolve(name) for name in rows["drug"].dropna().unique()}
    for column, cells in (
        ("drug_resolved", {name: drug.ingredient for name, drug in found.items() if drug}),
        ("drug_class", {name: drug.drug_class for name, drug in found.items() if drug}),
    ):
        rows[column] = rows["drug"].map(cells).astype("object")
    rows["form"] = rows["form"].fillna("unknown")
    blank = rows["form"].eq("unknown") & rows["product"].notna()
    rows.loc[blank, "form"] = rows.loc[blank, "product"].map(_form_of_product)
    _add_route(rows, assume)
    rows["weight_kg"] = _weights(rows, patients, measurements)
    _add_mass(rows)
    return rows


def _form_of_product(product: str) -> str:
    for word in re.findall(r"[a-z]+", product.lower()):
        if word in PRODUCT_WORD_FORM:
            return PRODUCT_WORD_FORM[word]
    return "unknown"


def _add_route(rows: pd.DataFrame, assume: Assumptions) -> None:
    route = rows["route"].where(~rows["route"].isin(["unknown"]))
    route = route.where(route.notna(), rows["form"].map(FORM_ROUTE))
    parenteral = route.isna() & rows["form"].isin(list(PARENTERAL_FORMS))
    rows["route_assumed"] = parenteral & (assume.parenteral_route is not None)
    if assume.parenteral_route is not None:
        route = route.mask(parenteral, assume.parenteral_route)
    rows["route_resolved"] = route.astype("object")


def _weights(rows: pd.DataFrame, patients: pd.DataFrame, measurements: pd.DataFrame) -> pd.Series:
    """Return the last plausible weight at or before each row, in kg."""
    dialysed = patients.set_index("patient_id")["dialysis"]
    on_dialysis = rows["patient_id"].map(dialysed).isin(["hemodialysis", "peritoneal", "crrt"])
    entry = rows["patient_id"].map(patients.set_index("patient_id")["weight_kg"])
    known = pd.Series(np.nan, index=rows.index)
    for name, chosen in (("dry_weight_kg", on_dialysis), ("weight_kg", known.isna())):
        table = measurements[measurements["name"] == name]
        per_kg = {spelling: units.find(spelling) for spelling in table["unit"].unique()}
        factor = table["unit"].map(
            {s: u.per_base for s, u in per_kg.items() if u and u.kind == "body_mass"}
        )
        table = table.assign(kg=table["value"] * factor)
        table = table[table["kg"].between(*WEIGHT_LIMITS_KG)].sort_values("time", kind="stable")
        left = rows[["patient_id", "start"]].reset_index().sort_values("start", kind="stable")
        joined = pd.merge_asof(
            left,
            table[["patient_id", "time", "kg"]],
            left_on="start",
            right_on="time",
            by="patient_id",
        ).set_index("index")["kg"]
        known = known.where(known.notna() | ~chosen, joined.reindex(rows.index))
    return known.where(known.notna(), entry.where(entry.between(*WEIGHT_LIMITS_KG)))


def _add_mass(rows: pd.DataFrame) -> None:
    amount_unit, rate_unit, concentration_unit = (
        rows[name].map({s: units.find(s) for s in rows[name].dropna().unique()})
        for name in ("amount_unit", "rate_unit", "concentration_unit")
    )

    def kind(found: pd.Series) -> pd.Series:
        return found.map(lambda unit: unit.kind if isinstance(unit, units.Unit) else "")

    def base(found: pd.Series) -> pd.Series:
        return found.map(
            lambda unit: unit.per_base if isinstance(unit, units.Unit) else np.nan
        ).astype("float64")

    fault = pd.Series("", index=rows.index)
    amount_kind, rate_kind = kind(amount_unit), kind(rate_unit)
    mg_per_ml = rows["concentration"] * base(concentration_unit)
    mg_per_ml = mg_per_ml.where(kind(concentration_unit).eq("concentration"))
    counted = amount_kind.eq("count")
    strength = pd.Series(
        [
            drugs.strength_mg(drug, ingredient) or drugs.strength_mg(product or "", ingredient)
            if is_count and isinstance(ingredient, str)
            else None
            for drug, product, ingredient, is_count in zip(
                rows["drug"], rows["product"], rows["drug_resolved"], counted, strict=True
            )
        ],
        index=rows.index,
        dtype="float64",
    )
    net = rows["amount"] - rows["wasted"].where(rows["amount_basis"].eq("dispensed"), 0).fillna(0)
    amount = net * np.select(
        [amount_kind.eq("mass"), amount_kind.eq("volume"), counted],
        [base(amount_unit), mg_per_ml, strength],
        np.nan,
    )
    has_amount, has_rate = rows["amount"].notna(), rows["rate"].notna()
    bag = rows["status"].isin(list(BAG_STATUSES))
    has_amount &= ~(bag & (has_rate | rows["form"].isin(["infusion", "pca_basal"])))
    amount = amount.where(has_amount)
    per_kg = rate_kind.eq("mass_rate_per_kg")
    rate = rows["rate"] * np.select(
        [rate_kind.eq("mass_rate"), rate_kind.eq("volume_rate"), per_kg],
        [base(rate_unit), mg_per_ml, base(rate_unit) * rows["weight_kg"]],
        np.nan,
    )
    patch = rows["form"].eq("patch") & rate_kind.eq("mass_rate")

    def blame(where: pd.Series, reason: str) -> None:
        fault.loc[where & fault.eq("")] = reason

    blame(~has_amount & ~has_rate, "no_dose")
    blame((rows["amount"] < 0) & has_amount | (rows["rate"] < 0), "negative")
    volume = has_amount & amount_kind.eq("volume") & mg_per_ml.isna()
    blame(volume, "no_concentration")
    blame(has_amount & amount.isna(), "unknown_unit")
    alone = has_rate & ~has_amount
    blame(alone & rate_kind.eq("volume_rate") & mg_per_ml.isna(), "no_concentration")
    blame(alone & per_kg & rows["weight_kg"].isna(), "no_weight")
    blame(alone & rate.isna(), "unknown_unit")
    rows["amount_mg"] = amount
    rows["rate_mg_per_h"] = rate.where(~patch)
    rows["rate_mcg_per_h"] = (rate * 1000).where(patch)
    rows["rate_mg_per_kg_h"] = np.where(
        per_kg, rows["rate"] * base(rate_unit), rate / rows["weight_kg"]
    )
    rows["has_amount"], rows["has_rate"], rows["fault"] = has_amount, has_rate, fault
