"""MIMIC-IV (2.x) hospital and ICU tables to the canonical extract.

What this source does that no other does, and what is made of it:

* An eMAR event is one parent row (dose due, rate, often a range) and child rows (dose given per
  product scanned). Children are summed; a parent's due dose is never a dose.
* `pharmacy_id` is reused across decades: nothing is joined on it. Drug names come from `emar`.
* `route` is empty for injections and for everything given in the emergency department. The
  reader states the form that the product shows (TAB = tablet, code ending V, SYR or I with unit
  mL = injection, bag = infusion) and leaves the route empty; the cohort's `assume_route` decides.
* The hospital stay begins in the emergency department: transfers of one admission, its ED rows
  included, are one stay. ED visits without an admission are stays of their own. Rows charted in
  the ED carry no hadm_id, so nothing is joined on it.
* eMAR exists for some admissions only. A hospital stay observes doses when at least one eMAR row
  lies in it; hours without eMAR are unknown, not without opioids.
* Pain and site charting belong to the ICU: ICU stays observe pain_scores.
* ICU continuous infusions carry both the amount of the interval and its rate; rates of a minute
  are boluses charted as rates.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from ketamine_outcomes.errors import UserError
from ketamine_outcomes.extract.tables import Extract, conform

STATUS = {
    "": "given",
    "administered": "given",
    "administered bolus from iv drip": "bolus_from_bag",
    "applied": "applied",
    "removed existing / applied new": "applied",
    "assessed": "verified",
    "confirmed": "verified",
    "infusion reconciliation": "verified",
    "read": "verified",
    "flushed": "given",
    "partial administered": "partial",
    "rate change": "rate_change",
    "removed": "removed",
    "restarted": "started",
    "started": "started",
    "stopped": "stopped",
    "stopped - unscheduled": "stopped",
    "stopped as directed": "stopped",
    "hold dose": "held",
    "not given": "not_given",
    "not given per sliding scale": "not_given",
    "not applied": "not_given",
    "not assessed": "not_given",
    "not confirmed": "not_given",
    "not flushed": "not_given",
    "not removed": "not_given",
    "not started": "not_given",
    "not stopped": "not_given",
    "infusion reconciliation not done": "not_given",
}
ROUTE = {"PO": "oral", "NG": "oral", "SC": "sc", "IM": "im", "PR": "rectal"}
PRODUCT_UNIT_FORM = {
    "TAB": "tablet",
    "CAP": "capsule",
    "UDCUP": "solution",
    "LOZ": "lozenge",
    "PTCH": "patch",
    "SUPP": "suppository",
    "SYR": "injection",
    "VIAL": "injection",
    "BAG": "infusion",
    "CADD": "infusion",
}
TYPE_FORM = {
    "Transdermal Patch": "patch",
    "IV Infusion": "infusion",
    "Medication Infusion": "infusion",
    "Heparin IV Infusion": "infusion",
    "Insulin Infusion (IV Drip)": "infusion",
    "Bolus Dose from IV Drip": "injection",
    "PCA": "pca_demand",
}
TYPE_ROUTE = {
    "Transdermal Patch": "transdermal",
    "IV Infusion": "iv",
    "Bolus Dose from IV Drip": "iv",
    "Heparin IV Infusion": "iv",
    "Insulin Infusion (IV Drip)": "iv",
    "PCA": "iv",
    "Epidural": "epidural",
}
#: Order categories of ICU inputs that are drugs (the others are fluids, blood, food).
ICU_DRUG_CATEGORIES = {
    "01-Drips": "iv",
    "05-Med Bolus": "iv",
    "08-Antibiotics (IV)": "iv",
    "10-Prophylaxis (IV)": "iv",
    "06-Insulin (Non IV)": "sc",
    "09-Antibiotics (Non IV)": "oral",
    "11-Prophylaxis (Non IV)": None,
}
WEIGHT_ITEMS = {226512: "kg", 224639: "kg", 226531: "lb"}
PAIN_ITEM = 223791
RASS_ITEM = 228096


def read(folder: Path) -> Extract:
    """Read the folder that holds `hosp/` and `icu/` of a MIMIC-IV release.

    Returns
    -------
    Extract
        patients, stays, doses, pain_scores, measurements (the release has no adverse-event
        table; site tables are not read).

    Raises
    ------
    UserError
        A file of the release is missing.
    """
    notes: list[str] = []
    admissions = _load(folder, "hosp/admissions")
    transfers = _load(folder, "hosp/transfers")
    emar = _load(folder, "hosp/emar")
    icustays = _load(folder, "icu/icustays")
    chart = _load(folder, "icu/chartevents_selected", "icu/chartevents")
    chart["itemid"] = pd.to_numeric(chart["itemid"])
    chart["charttime"] = _time(chart["charttime"])
    stays = _stays(transfers, admissions, icustays, emar, notes)
    return Extract(
        {
            "patients": _patients(_load(folder, "hosp/patients"), admissions),
            "stays": stays,
            "doses": conform(
                "doses",
                pd.concat(
                    [
                        _emar_doses(emar, _load(folder, "hosp/emar_detail"), notes),
                        _icu_doses(
                            _load(folder, "icu/inputevents"), _load(folder, "icu/d_items"), notes
                        ),
                    ]
                ).sort_values(["patient_id", "start", "dose_id"], kind="stable"),
            ),
            "pain_scores": _pain(chart, notes),
            "measurements": _measurements(chart, _load(folder, "hosp/omr")),
        },
        notes,
    )


def _load(folder: Path, *names: str) -> pd.DataFrame:
    for name in names:
        for suffix in (".csv.gz", ".csv"):
            path = folder / f"{name}{suffix}"
            if path.exists():
                # Every cell as text: only empty cells are missing, a word like None is a word.
                return pd.read_csv(path, dtype=str, keep_default_na=False)
    raise UserError(
        f"the MIMIC-IV file {names[0]}.csv.gz is not there",
        where=str(folder),
        do="`path` is the folder that holds hosp/ and icu/",
    )


def _time(values: pd.Series) -> pd.Series:
    return pd.to_datetime(values.replace("", None)).astype("datetime64[us]")


def _number(values: pd.Series) -> pd.Series:
    return pd.to_numeric(values, errors="coerce").astype("float64")


def _patients(patients: pd.DataFrame, admissions: pd.DataFrame) -> pd.DataFrame:
    first_year = _time(admissions["admittime"]).dt.year.groupby(admissions["subject_id"]).min()
    death = _time(admissions["deathtime"]).groupby(admissions["subject_id"]).min()
    anchor_year, anchor_age = _number(patients["anchor_year"]), _number(patients["anchor_age"])
    age = anchor_age + patients["subject_id"].map(first_year) - anchor_year
    # dod is a date: the last instant that fits it, so that no record of that day is later.
    last_instant = _time(patients["dod"]) + pd.Timedelta(days=1)
    table = pd.DataFrame(
        {
            "patient_id": patients["subject_id"],
            "age_years": age.clip(0, 90),
            "sex": patients["gender"].map({"F": "female", "M": "male"}),
            "death_time": patients["subject_id"].map(death).fillna(last_instant),
        }
    )
    return conform("patients", table.sort_values("patient_id"))


def _stays(
    transfers: pd.DataFrame,
    admissions: pd.DataFrame,
    icustays: pd.DataFrame,
    emar: pd.DataFrame,
    notes: list[str],
) -> pd.DataFrame:
    unit = transfers[transfers["outtime"] != ""].copy()
    unit["start"], unit["end"] = _time(unit["intime"]), _time(unit["outtime"])
    unit["stay_id"] = np.where(
        unit["hadm_id"] != "", "hosp-" + unit["hadm_id"], "ed-" + unit["transfer_id"]
    )
    hospital = unit.groupby("stay_id", sort=True).agg(
        patient_id=("subject_id", "first"),
        hadm_id=("hadm_id", "first"),
        start=("start", "min"),
        end=("end", "max"),
    )
    hospital = hospital.reset_index()
    left = admissions.set_index("hadm_id")
    dead = hospital["hadm_id"].map(left["deathtime"].ne(""))
    hospice = hospital["hadm_id"].map(left["discharge_location"].eq("HOSPICE"))
    hospital["end_reason"] = np.select(
        [dead.eq(True), hospice.eq(True)], ["died", "hospice"], "discharged"
    )
    charted = pd.DataFrame({"patient_id": emar["subject_id"], "at": _time(emar["charttime"])})
    both = hospital[["stay_id", "patient_id", "start", "end"]].merge(charted, on="patient_id")
    inside = both[(both["at"] >= both["start"]) & (both["at"] <= both["end"])]
    observed = hospital["stay_id"].isin(inside["stay_id"])
    notes.append(
        f"eMAR covers {int(observed.sum())} of {len(hospital)} hospital stays and "
        f"{emar['subject_id'].nunique()} of {admissions['subject_id'].nunique()} patients; "
        "opioid exposure in the other hours is unknown"
    )
    icu = pd.DataFrame(
        {
            "patient_id": icustays["subject_id"],
            "stay_id": "icu-" + icustays["stay_id"],
            "start": _time(icustays["intime"]),
            "end": _time(icustays["outtime"]),
            "observes": "pain_scores",
            "end_reason": "transferred",
        }
    )
    died = icustays["hadm_id"].map(left["deathtime"]).replace("", None)
    icu.loc[(_time(died) <= icu["end"] + pd.Timedelta(hours=1)).to_numpy(), "end_reason"] = "died"
    table = pd.concat([hospital[observed].assign(observes="doses"), icu])
    order = ["patient_id", "start", "stay_id"]
    return conform("stays", table.drop(columns="hadm_id").sort_values(order))


def _emar_doses(emar: pd.DataFrame, detail: pd.DataFrame, notes: list[str]) -> pd.DataFrame:
    is_parent = detail["parent_field_ordinal"] == ""
    parent = detail[is_parent].drop_duplicates("emar_id").set_index("emar_id")
    child = detail[~is_parent].copy()
    child["dose"] = _number(child["dose_given"])
    masked = int((child["dose_given"].ne("") & child["dose"].isna()).sum())
    if masked:
        notes.append(f"{masked} eMAR product rows hold a masked or ranged dose: dose missing")
    # A dose is summed only over products of one unit; a second unit is a row of its own. A
    # product without a readable dose leaves the event's amount missing: a part is not the whole.
    dosed = child[child["dose_given"] != ""]
    grouped = dosed.groupby(["emar_id", "dose_given_unit"], sort=True)["dose"]
    parts = grouped.agg(["sum", "size", "count"]).reset_index()
    parts["dose"] = parts["sum"].where(parts["size"] == parts["count"])
    summed = parts[["emar_id", "dose_given_unit", "dose"]]
    # The first scanned product that says what it is (`first` passes over missing cells).
    described = child.replace("", None).groupby("emar_id", sort=True)
    product = described[["product_code", "product_unit", "product_description"]].first()
    product = product.fillna("").set_axis(["code", "product_unit", "description"], axis=1)
    rows = emar[["subject_id", "emar_id", "poe_id", "charttime", "medication", "event_txt"]]
    rows = rows.merge(summed, on="emar_id", how="left").join(product, on="emar_id")
    columns = [
        "administration_type",
        "infusion_rate",
        "infusion_rate_unit",
        "route",
        "infusion_rate_adjustment",
        "new_iv_bag_hung",
        "dose_given",
        "dose_given_unit",
    ]
    rows = rows.join(parent[columns].add_prefix("parent_"), on="emar_id").fillna(
        {f"parent_{name}": "" for name in columns}
        | {"code": "", "product_unit": "", "description": "", "dose_given_unit": ""}
    )
    event = rows["event_txt"].str.strip().str.lower()
    elsewhere = event.str.removesuffix("in other location").str.strip()
    status = elsewhere.str.removeprefix("delayed").str.strip().map(STATUS).fillna("unknown")
    kind = rows["parent_administration_type"]
    rate = _number(rows["parent_infusion_rate"])
    changed = rows["parent_infusion_rate_adjustment"].isin(["Rate Changed", "Increase", "Decrease"])
    running = kind.isin(["IV Infusion", "Medication Infusion", "Epidural"])
    status = status.mask(status.eq("verified") & changed, "rate_change")
    status = status.mask(status.eq("verified") & rows["parent_new_iv_bag_hung"].eq("Y"), "new_bag")
    # An event without a word is a dose when one was charted, else it confirms what runs.
    status = status.mask(event.eq("") & running, "verified")
    # PCA checks say that the pump delivered, not how much: a dose that is not known.
    status = status.mask(kind.eq("PCA") & status.isin(["verified", "started"]), "delivered")
    form = rows["product_unit"].map(PRODUCT_UNIT_FORM)
    code = rows["code"]
    injected = code.str.match(r".*(?:V|SYR|SYRNS|\dI)$") & rows["product_unit"].isin(["mL", "SYR"])
    form = form.mask(form.isna() & injected, "injection")
    bag = code.str.contains("/", regex=False) & rows["product_unit"].eq("mL")
    form = form.mask(form.isna() & bag, "infusion")
    form = kind.map(TYPE_FORM).where(kind.isin(list(TYPE_FORM)), form)
    slow = rows["medication"].str.contains(r"\b(?:SR|ER|XR|CR|Contin|OxyconTIN)\b", regex=True)
    form = form.mask(slow & form.isin(["tablet"]), "tablet_er")
    form = form.mask(slow & form.isin(["capsule"]), "capsule_er")
    name = rows["medication"].str.strip()
    route = rows["parent_route"].map(ROUTE)
    route = route.where(route.notna(), kind.map(TYPE_ROUTE))
    # "Acetaminophen IV" and the like say their route in the name.
    route = route.mask(route.isna() & name.str.contains(r"\bIV$", regex=True), "iv")
    second = rows.duplicated("emar_id")
    sequence = rows.groupby("emar_id").cumcount() + 1
    return pd.DataFrame(
        {
            "patient_id": rows["subject_id"],
            "dose_id": "emar-" + rows["emar_id"] + np.where(second, "-" + sequence.astype(str), ""),
            "order_id": rows["poe_id"].replace("", None),
            "drug": name,
            "product": (code + " " + rows["product_unit"] + " " + rows["description"]).str.strip(),
            "route": route,
            "form": form,
            "start": _time(rows["charttime"]),
            "amount": rows["dose"],
            "amount_unit": rows["dose_given_unit"].replace("", None),
            "rate": rate,
            "rate_unit": rows["parent_infusion_rate_unit"].replace("", None).where(rate.notna()),
            "status": status,
            "source": "emar",
        }
    )


def _icu_doses(inputs: pd.DataFrame, items: pd.DataFrame, notes: list[str]) -> pd.DataFrame:
    drug = inputs["ordercategoryname"].isin(list(ICU_DRUG_CATEGORIES))
    notes.append(
        f"{int((~drug).sum())} of {len(inputs)} ICU input rows are fluids, blood or food: not read"
    )
    rows = inputs[drug]
    label = items.drop_duplicates("itemid").set_index("itemid")["label"]
    amount = _number(rows["amount"])
    continuous = rows["ordercategorydescription"].eq("Continuous Med")
    status = rows["statusdescription"].map({"Bolus": "bolus_from_bag"}).fillna("given")
    return pd.DataFrame(
        {
            "patient_id": rows["subject_id"],
            "dose_id": "icu-"
            + rows["orderid"]
            + "-"
            + rows["itemid"]
            + "-"
            + (rows.groupby(["orderid", "itemid"]).cumcount() + 1).astype(str),
            "order_id": rows["orderid"],
            "infusion_id": rows["linkorderid"],
            "drug": rows["itemid"].map(label),
            "route": rows["ordercategoryname"].map(ICU_DRUG_CATEGORIES),
            "form": np.where(continuous, "infusion", "injection"),
            "start": _time(rows["starttime"]),
            "end": _time(rows["endtime"]).where(continuous),
            "amount": amount,
            "amount_unit": rows["amountuom"].replace("", None),
            "rate": _number(rows["rate"]),
            "rate_unit": rows["rateuom"].replace("", None),
            "status": status,
            "source": "icu",
        }
    )


def _pain(chart: pd.DataFrame, notes: list[str]) -> pd.DataFrame:
    rows = chart[chart["itemid"] == PAIN_ITEM]
    score = _number(rows["valuenum"])
    notes.append(
        f"{int(score.isna().sum())} of {len(rows)} pain assessments hold no number: unassessable"
    )
    table = pd.DataFrame(
        {
            "patient_id": rows["subject_id"],
            "time": rows["charttime"],
            "scale": "nrs",
            "score": score,
            "state": np.where(score.notna(), "scored", "unassessable"),
        }
    )
    table = table.sort_values(["patient_id", "time", "score"], kind="stable")
    return conform("pain_scores", table.drop_duplicates(["patient_id", "time"]))


def _measurements(chart: pd.DataFrame, omr: pd.DataFrame) -> pd.DataFrame:
    weight = chart[chart["itemid"].isin(list(WEIGHT_ITEMS))]
    rass = chart[chart["itemid"] == RASS_ITEM]
    clinic = omr[omr["result_name"] == "Weight (Lbs)"]
    table = pd.concat(
        [
            pd.DataFrame(
                {
                    "patient_id": weight["subject_id"],
                    "time": weight["charttime"],
                    "name": "weight_kg",
                    "value": _number(weight["valuenum"]),
                    "unit": weight["itemid"].map(WEIGHT_ITEMS),
                }
            ),
            pd.DataFrame(
                {
                    "patient_id": clinic["subject_id"],
                    # A date: known for certain only when that day is over.
                    "time": _time(clinic["chartdate"]) + pd.Timedelta(days=1),
                    "name": "weight_kg",
                    "value": _number(clinic["result_value"]),
                    "unit": "lb",
                }
            ),
            pd.DataFrame(
                {
                    "patient_id": rass["subject_id"],
                    "time": rass["charttime"],
                    "name": "rass",
                    "value": _number(rass["valuenum"]),
                    "unit": "score",
                }
            ),
        ]
    ).dropna(subset=["value"])
    order = ["patient_id", "time", "name", "unit", "value"]
    table = table.sort_values(order).drop_duplicates(["patient_id", "time", "name"])
    return conform("measurements", table)
