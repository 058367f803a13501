"""Read the cases of mme_cases.json and put each through the public functions.

The cases are inputs and values that published tools, tables and papers print (`source`), never
their code. A case of one of the groups below may be added to the file without touching a test.
"""

from __future__ import annotations

import json
import re
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from ketamine_outcomes.exposure import drugs, outpatient, products
from ketamine_outcomes.exposure.factors import FactorTable

HERE = Path(__file__).parent
Case = dict[str, Any]
#: What a case calls a route, as a route and a form of the factor table.
ROUTES = {
    "": ("oral", None),
    "oral": ("oral", None),
    "injection": ("parenteral", None),
    "transdermal": ("transdermal", "patch"),
    "nasal": ("nasal", "spray"),
    "mucosal spray": ("sublingual", "spray"),
}
#: Names of fields and columns that the HEAL calculator has for ours.
HEAL_FIELDS = {
    "medication_name": "name",
    "doses_per_24_hours": "doses_per_24h",
    "days_of_medication": "days",
    "observation_window_days": "observation_days",
}
#: A call that is right; a validation case changes one thing of it.
RIGHT = {
    "name": "Buprenorphine buccal film (mcg) buccal",
    "dose": 50,
    "doses_per_24h": 2,
    "days": 5,
}


def cases(*groups: str) -> list[Any]:
    """Return the cases of some groups as named parameters: the id, then the source."""
    content = json.loads((HERE / "mme_cases.json").read_text(encoding="utf-8"))
    return [
        pytest.param(case, id=f"{case['id']} ({case['source']})".replace("::", ":"))
        for case in content["cases"]
        if case["group"] in groups
    ]


def expected(case: Case) -> dict[str, Any]:
    """Return what a case expects; of a known gap of the peer, the value that its note gives."""
    values = dict(case["expected"])
    if case["kind"] == "peer_gap":
        wanted = re.search(r"should give (-?\d+(?:\.\d+)?)", case["note"])
        assert wanted is not None, "a peer_gap case without the value in its note"
        return {name: float(wanted[1]) for name in values}
    return values


def agree(actual: dict[str, Any], case: Case) -> None:
    """Compare with what the case expects, by name, within its tolerance."""
    for name, value in expected(case).items():
        assert name in actual, f"{case['id']}: nothing computes {name}"
        if value is None:
            assert actual[name] is None, f"{case['id']}: {name} must be null ({case['note']})"
            continue
        assert actual[name] is not None, f"{case['id']}: {name} is null"
        np.testing.assert_allclose(
            np.asarray(actual[name], float),
            np.asarray(value, float),
            rtol=0,
            atol=case["tolerance"],
            err_msg=f"{case['id']} {name}: {case['source']}; {case['note']}",
        )


# --- HEAL -------------------------------------------------------------------------------------


def courses(inputs: Case) -> list[dict[str, Any]]:
    """Return the medications of a HEAL case."""
    return [dict(zip(RIGHT, medication, strict=True)) for medication in inputs["meds"]]


def heal(inputs: Case) -> dict[str, Any]:
    """Return the figures of a HEAL case."""
    result = outpatient.heal_mme(
        courses(inputs), inputs["therapy_days"], inputs["observation_days"], inputs["set"]
    )
    return vars(getattr(result, inputs["buprenorphine"] + "_buprenorphine"))


def heal_table(inputs: Case, therapy_days: list[float] | None = None) -> pd.DataFrame:
    """Return a HEAL case as the table of one patient."""
    return pd.DataFrame(courses(inputs)).assign(
        patient_id=1,
        therapy_days=therapy_days or inputs["therapy_days"],
        observation_days=inputs["observation_days"],
    )


def invalid(inputs: Case) -> Any:
    """Make the call of a validation case, which must be refused."""
    ((what, value),) = inputs.items()
    days: dict[str, Any] = {"therapy_days": 10, "observation_days": 5}
    what = HEAL_FIELDS.get(what, what)
    if what == "column_missing":
        table = pd.DataFrame([RIGHT | days | {"patient_id": 1}])
        return outpatient.heal_mme_table(table.drop(columns=HEAL_FIELDS.get(value, value)))
    medications: Any = [dict(RIGHT)]
    if what == "meds":
        medications = value
    elif what == "med_missing":
        del medications[0][HEAL_FIELDS.get(value, value)]
    elif what in days:
        days[what] = value
    else:
        assert what in RIGHT, f"a validation case that changes {what}"
        medications[0][what] = value
    return outpatient.heal_mme(medications, **days)


# --- prescriptions ----------------------------------------------------------------------------


def prescribed(case: Case) -> dict[str, Any]:
    """Return MME per day (or of a dose) of a case, under every name that cases use."""
    given = case["inputs"]
    factors = given.get("set") or default_set(case)
    drug = given.get("drug") or given["product"]
    route, form = ROUTES.get(given.get("route", "").lower(), (given.get("route", "").lower(), None))
    if given.get("form", "").lower() in ("er", "la", "xr"):
        form = "er"
    words = {"route": route, "form": given.get("form", form) if form is None else form}
    own = own_factor(given)
    if "daily_dose_mg" in given:
        found = FactorTable(factors).find(drug, route, "ir")
        assert found is not None
        return {"factor": float(found.on_day(Decimal(str(given["daily_dose_mg"]))).value)}
    if "rate_mcg_h" in given:
        per_mg = float(re.search(r"= (\d+(?:\.\d+)?) mg oral morphine", given["basis"])[1])  # type: ignore[index]
        worn = outpatient.patch_mme(
            drug, given["rate_mcg_h"], worn_hours=given["hours"], factor=per_mg, factor_unit="mg"
        )
        return {"mme_per_day": worn.mme_per_day, f"{drug}_mg_per_day": worn.mg_per_day}
    if "quantity" in given or "quantity_ml" in given:
        if given["unit"] == "mcg/h" and own:
            own["factor_unit"] = "mcg/h_per_patch"  # the convention of the files
        daily = outpatient.prescription_mme(
            drug,
            given["strength"],
            given["unit"],
            given.get("quantity", given.get("quantity_ml")),
            given["days_supply"],
            factors=factors,
            **words,
            **own,
        )
    elif "strength" in given:
        daily = outpatient.patch_mme(
            drug,
            given["strength"],
            given["unit"],
            worn_hours=given.get("worn_hours", 24),
            factors=factors,
            **own,
        )
    else:
        dose, unit = one_dose(given, drug)
        times = given.get("doses_per_day", None if "every_hours" in given else 1)
        daily = outpatient.regimen_mme(
            drug,
            dose,
            unit,
            times,
            every_hours=given.get("every_hours"),
            factors=factors,
            **words,
            **own,
        )
    assert (daily.mme_per_day is None) == (daily.reason in outpatient.REASONS)
    return dict.fromkeys(("mme_per_day", "mme", "oral_morphine_mg"), daily.mme_per_day)


def one_dose(given: Case, drug: str) -> tuple[float, str]:
    """Return a dose in mg or mcg; of a product, units x the strength of its opioid."""
    if "product" in given:
        found = drugs.resolve(drug)
        assert found is not None, "no drug in the name of the product"
        product = given["product"] if "drug" in given else ""
        strength = products.describe(drug, product, found.ingredient).mg_per_unit
        assert strength is not None, "the product states no strength"
        return strength * given.get("units_per_dose", given.get("units", 1)), "mg"
    return given.get("dose", 1), given.get("unit", "mg").removesuffix("/day")


def own_factor(given: Case) -> dict[str, Any]:
    """Return the factor that a case supplies, which wins."""
    if "factor_per_mg" in given:
        return {"factor": given["factor_per_mg"], "factor_unit": "mg"}
    return {"factor": given["factor"]} if "factor" in given else {}


def default_set(case: Case) -> str:
    """Return the factor set of a case that names none: that of its source."""
    if "OralOpioids" in case["source"]:
        return "oralopioids"
    return "cdc2022+inpatient" if case["group"] == "inpatient" else "cdc2022"


# --- dated prescriptions, frequencies, cohorts ------------------------------------------------


def equations(inputs: Case) -> dict[str, Any]:
    """Return E1 to E4 of a case of dated prescriptions."""
    table = pd.DataFrame(inputs["rx"]).rename(
        columns={"start_day": "start", "strength_mg": "strength"}
    )
    table = table.assign(patient_id=1, row=range(len(table)))
    result = outpatient.notebook_equations(table, window_days=inputs["window_days"])
    return {str(name): value for name, value in result.iloc[0].items()}


def frequency(inputs: Case) -> dict[str, Any]:
    """Return doses per day of a case."""
    return {"doses_per_day": outpatient.doses_per_day(**inputs)}


def shares(inputs: Case) -> dict[str, Any]:
    """Return percentages above and at 90 MME/day from the counts of a published table."""
    above, at_least = inputs["high_dose_gt90"].values(), inputs["high_dose_ge90"].values()
    percent: dict[str, list[float]] = {"pct_gt90": [], "pct_ge90": []}
    for over, reached in zip(above, at_least, strict=True):
        daily = np.full(inputs["patients"], 89.9)
        daily[:reached], daily[:over] = 90.0, 90.1
        percent["pct_gt90"].append(100 * outpatient.share_above(daily))
        percent["pct_ge90"].append(100 * outpatient.share_above(daily, inclusive=True))
    return percent
