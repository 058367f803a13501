"""Drugs of both charting systems of MIMIC-III."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from ketamine_outcomes.extract.readers.mimic_iii_files import find, read_rows
from ketamine_outcomes.extract.tables import conform

DRUG_CATEGORIES = ("Medications", "Antibiotics")
DRUG_UNITS = ("mg", "mcg", "g", "unit", "dose")
UNITS = {
    "ml": "mL",
    "cc": "mL",
    "grams": "g",
    "gm": "g",
    "units": "unit",
    "u": "unit",
    "meq.": "mEq",
    "meq": "mEq",
    "mcg/hour": "mcg/h",
    "mg/hour": "mg/h",
    "ml/hour": "mL/h",
    "units/hour": "unit/h",
    "grams/hour": "g/h",
    "grams/min": "g/min",
    "meq./hour": "mEq/h",
    "mg/kg/hour": "mg/kg/h",
    "mcg/kg/hour": "mcg/kg/h",
    "ml/kg/hour": "mL/kg/h",
    "units/min": "unit/min",
    "mcghr": "mcg/h",
    "mghr": "mg/h",
    "mgmin": "mg/min",
    "mcgmin": "mcg/min",
    "mcgkgmin": "mcg/kg/min",
    "mcgkghr": "mcg/kg/h",
    "mgkghr": "mg/kg/h",
    "mgkgmin": "mg/kg/min",
    "uhr": "unit/h",
    "umin": "unit/min",
    "mlhr": "mL/h",
    "gmhr": "g/h",
}
ROUTE_CV = {
    "Intravenous Push": ("iv", "injection"),
    "IV Drip": ("iv", "infusion"),
    "Intravenous Infusion": ("iv", "infusion"),
    "Drip": ("iv", "infusion"),
    "Oral": ("oral", None),
    "Nasogastric": ("oral", None),
    "Gastric/Feeding Tube": ("oral", None),
    "GU": ("other", None),
}


def read_doses(folder: Path, notes: list[str]) -> pd.DataFrame:
    """Return drugs of both charting systems (fluids, feeds and blood are not read)."""
    items = read_rows(folder, "d_items", required=True).set_index("itemid")
    parts = [
        reader(read_rows(folder, name), items, notes)
        for name, reader in (("inputevents_mv", _doses_mv), ("inputevents_cv", _doses_cv))
        if find(folder, name)
    ]
    table = pd.concat([conform("doses", part) for part in parts])
    return table.sort_values(["patient_id", "start", "dose_id"], ignore_index=True)


def _doses_mv(raw: pd.DataFrame, items: pd.DataFrame, notes: list[str]) -> pd.DataFrame:
    rows = raw[raw["itemid"].map(items["category"]).isin(DRUG_CATEGORIES)]
    table = _dose_columns(rows, items, "mv", rows["starttime"])
    end = pd.to_datetime(rows["endtime"])
    table["end"] = end.where(end >= table["start"])
    non_iv = rows["ordercategoryname"].fillna("").str.contains("Non IV", case=False)
    non_iv |= rows["ordercategorydescription"].eq("Non Iv Meds")
    table["route"] = non_iv.map({True: None, False: "iv"})
    running = rows["ordercategorydescription"].fillna("").str.startswith("Continuous")
    table["form"] = running.map({True: "infusion", False: "injection"}).where(~non_iv)
    # a rewritten row was replaced by another one; the others are pieces really given
    gone = rows["statusdescription"].eq("Rewritten") | ~rows["cancelreason"].fillna("0").eq("0")
    table["status"] = gone.map({True: "not_given", False: "given"})
    notes.append(
        f"inputevents_mv: {len(rows)} drug rows of {len(raw)}; {int(gone.sum())} rewritten or "
        f"cancelled rows were not given; {int((end < table['start']).sum())} ends before the start "
        "were dropped."
    )
    return table


def _doses_cv(raw: pd.DataFrame, items: pd.DataFrame, notes: list[str]) -> pd.DataFrame:
    table = _dose_columns(raw, items, "cv", raw["charttime"])
    table["stopped"] = raw["stopped"].str.lower().isin(["stopped", "d/c'd"])
    how = raw["originalroute"].map(ROUTE_CV)
    table["route"] = how.map(lambda pair: pair[0], na_action="ignore")
    table["form"] = how.map(lambda pair: pair[1], na_action="ignore")
    rated = table["rate"].notna()
    # amounts of a pump are rate times hours since the last charting: the rate rows once more
    pump = pd.MultiIndex.from_frame(table[["patient_id", "drug", "infusion_id"]])
    pumped = pd.Series(pump.isin(pump[rated]), index=table.index)
    again = ~rated & pumped & table["amount"].notna()
    # a stop charted on such an amount is kept, without the amount, unless the drug still runs
    moment = pd.MultiIndex.from_frame(table[["patient_id", "drug", "start"]])
    running = moment.isin(moment[table["rate"].gt(0) & ~table["stopped"]])
    stop = ~rated & pumped & table["stopped"] & ~running
    table.loc[stop, "amount"] = None
    bolus = ~pumped & table["amount"].notna() & table["amount_unit"].isin(DRUG_UNITS)
    table["stopped"] &= pumped
    keep = rated | stop | bolus
    notes.append(
        f"inputevents_cv: {int(keep.sum())} drug rows of {len(raw)}; {int(again.sum())} amounts "
        "that sum up the charted rates of their infusion were not counted; rates hold to the next "
        "row."
    )
    table = table[keep].sort_values(["patient_id", "drug", "infusion_id", "start", "dose_id"])
    rated = table["rate"].notna()
    same = [table[c] for c in ("patient_id", "drug", "infusion_id")]
    before = table["rate"].groupby(same).shift()
    table["status"] = "given"
    table.loc[rated, "status"] = "rate_change"
    table.loc[rated & before.isna(), "status"] = "started"
    table.loc[rated & (before == table["rate"]), "status"] = "verified"
    table.loc[table["stopped"], "status"] = "stopped"
    return table.drop(columns="stopped")


def _dose_columns(
    rows: pd.DataFrame, items: pd.DataFrame, feed: str, start: pd.Series
) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "patient_id": rows["subject_id"],
            "dose_id": f"{feed}-" + rows["row_id"],
            "order_id": f"{feed}-" + rows["orderid"],
            "infusion_id": f"{feed}-" + rows["linkorderid"],
            "drug": rows["itemid"].map(items["label"]),
            "start": pd.to_datetime(start),
            "amount": pd.to_numeric(rows["amount"]),
            "amount_unit": _units(rows["amountuom"]),
            "rate": pd.to_numeric(rows["rate"]),
            "rate_unit": _units(rows["rateuom"]),
            "source": f"icu_{feed}",
        }
    )


def _units(words: pd.Series) -> pd.Series:
    lower = words.str.strip().str.lower()
    return lower.map(UNITS).fillna(lower)
