"""Reader of the MIMIC-III clinical database, 1.4 (the open demo and the full release).

Observed is the intensive care unit only: doses, pain and lines are charted there and nowhere
else in these files, so every ICU stay gives three stays (doses, pain_scores, infusion_sites) and
a hospital admission gives none: its other hours are unknown, not empty. The first admission,
from the emergency department on, gives the entry time and the age. Prescriptions are orders with
dates only and are not read. Peripheral lines: see `mimic_iii_sites`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import duckdb
import pandas as pd

from ketamine_outcomes.errors import UserError
from ketamine_outcomes.extract.readers import mimic_iii_sites as lines
from ketamine_outcomes.extract.tables import Extract, conform

PAIN_MV, PAIN_CV, PAIN_CV_REST = "223791", "1044", "524"
WEIGHT_KG, WEIGHT_LB, RASS = ("226512", "224639", "763", "762"), "226531", "228096"
ITEMS = (PAIN_MV, PAIN_CV, PAIN_CV_REST, *WEIGHT_KG, WEIGHT_LB, RASS, *lines.ITEMS)
KG_PER_LB = 0.45359237
DOMAINS = ("doses", "infusion_sites", "pain_scores")
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


def read(folder: Path) -> Extract:
    """Read a folder of MIMIC-III files into canonical tables.

    Parameters
    ----------
    folder
        Holds PATIENTS, ADMISSIONS, ICUSTAYS (required) and D_ITEMS, CHARTEVENTS (or a selection
        of it named chartevents_selected), PROCEDUREEVENTS_MV, INPUTEVENTS_MV, INPUTEVENTS_CV as
        .csv or .csv.gz, names in either case.

    Returns
    -------
    Extract
        patients and stays always; the other tables when their source file is there.

    Raises
    ------
    UserError
        When a required file or column is missing.

    Notes
    -----
    Source: Johnson et al. 2016, MIMIC-III, doi 10.1038/sdata.2016.35.

    Examples
    --------
    `read(Path("data/mimic-iii-demo-1.4"))` holds 100 patients.
    """
    notes: list[str] = []
    admissions = _rows(folder, "admissions", required=True)
    people = read_patients(_rows(folder, "patients", required=True), admissions, notes)
    icu = read_icu_stays(_rows(folder, "icustays", required=True), admissions, people, notes)
    tables = {"patients": people, "stays": stays_by_domain(icu)}
    if _find(folder, "inputevents_mv") or _find(folder, "inputevents_cv"):
        tables["doses"] = read_doses(folder, notes)
    else:
        notes.append("No input events: doses are unknown.")
    if _chart_name(folder):
        chart = read_chart(folder, icu, notes)
        tables["pain_scores"] = read_pain(chart, notes)
        tables["measurements"] = read_measurements(chart, notes)
        charting = lines.read_charting(chart)
        charting = charting[charting["icustay_id"].notna()]
        sites, findings, site_notes = lines.build_sites(charting, _lines(folder, notes), icu)
        tables["infusion_sites"] = sites.drop(columns=["icustay_id", "system"])
        tables["site_events"] = findings.drop(columns="charted_as")
        notes += site_notes
    else:
        notes.append("No chart events: pain, measurements and lines are unknown.")
    return Extract({name: conform(name, table) for name, table in tables.items()}, notes)


def read_patients(people: pd.DataFrame, admissions: pd.DataFrame, notes: list[str]) -> pd.DataFrame:
    """Return one row per patient; age at the first admission, 90 for all over 89."""
    visits = pd.DataFrame(
        {
            "patient_id": admissions["subject_id"],
            "begin": admissions[["admittime", "edregtime"]].apply(pd.to_datetime).min(axis=1),
            "leave": pd.to_datetime(admissions["dischtime"]),
            "death": pd.to_datetime(admissions["deathtime"]),
        }
    )
    by = visits.groupby("patient_id")
    table = pd.DataFrame({"patient_id": people["subject_id"]})
    table["entry_time"] = table["patient_id"].map(by["begin"].min())
    born = pd.to_datetime(people["dob"])
    # dates of birth of the very old are shifted to 300 years before admission: no Timedelta
    entry = table["entry_time"]
    birthday_to_come = (entry.dt.month < born.dt.month) | (
        (entry.dt.month == born.dt.month) & (entry.dt.day < born.dt.day)
    )
    age = entry.dt.year - born.dt.year - birthday_to_come
    table["age_years"] = age.where(age <= 89, 90).where(age.notna())
    table["sex"] = people["gender"].map({"F": "female", "M": "male"}).fillna("unknown")
    exact = table["patient_id"].map(by["death"].max())
    day = pd.to_datetime(people["dod"]).dt.normalize()
    leave = table["patient_id"].map(by["leave"].max())
    # a date of death that is the day of the last discharge cannot lie before that discharge
    dated = day.where(leave.isna() | (leave.dt.normalize() != day), leave)
    table["death_time"] = exact.fillna(dated)
    notes.append(
        f"{int((exact.isna() & day.notna()).sum())} deaths are known by date only (start of the "
        f"day, or the last discharge if that day); {int((age > 89).sum())} patients are 90 or over."
    )
    return table.sort_values("patient_id", ignore_index=True)


def read_icu_stays(
    icu: pd.DataFrame, admissions: pd.DataFrame, people: pd.DataFrame, notes: list[str]
) -> pd.DataFrame:
    """Return ICU stays with why they ended; a stay ends with death at the latest."""
    leave = admissions.set_index("hadm_id")["dischtime"]
    table = pd.DataFrame(
        {
            "patient_id": icu["subject_id"],
            "icustay_id": icu["icustay_id"],
            "start": pd.to_datetime(icu["intime"]),
            "end": pd.to_datetime(icu["outtime"]),
            "discharge": pd.to_datetime(icu["hadm_id"].map(leave)),
        }
    )
    table["death"] = table["patient_id"].map(people.set_index("patient_id")["death_time"])
    open_end = table["end"].isna()
    table["end"] = table["end"].fillna(table["discharge"])
    # administrative times differ by minutes: the same hour is the same event
    hour = pd.Timedelta(hours=1)
    died = table["death"] <= table["end"] + hour
    discharged = table["discharge"] <= table["end"] + hour
    table["end_reason"] = "transferred"
    table.loc[discharged, "end_reason"] = "discharged"
    table.loc[died, "end_reason"] = "died"
    cut = died & (table["death"] < table["end"]) & (table["death"] > table["start"])
    table["end"] = table["end"].where(~cut, table["death"])
    notes.append(
        f"{len(table)} ICU stays are the observed time of doses, pain scores and lines; hospital "
        f"hours outside them are unknown. {int(cut.sum())} stays were ended at death, "
        f"{int(open_end.sum())} without an end at discharge."
    )
    return table.sort_values(["patient_id", "start", "icustay_id"], ignore_index=True)


def stays_by_domain(icu: pd.DataFrame) -> pd.DataFrame:
    """Return one canonical stay per ICU stay and domain charted there."""
    parts = [
        icu.assign(stay_id=f"icu-{domain}-" + icu["icustay_id"], observes=domain)
        for domain in DOMAINS
    ]
    table = pd.concat(parts)[["patient_id", "stay_id", "start", "end", "observes", "end_reason"]]
    return table.sort_values(["patient_id", "start", "stay_id"], ignore_index=True)


def read_chart(folder: Path, icu: pd.DataFrame, notes: list[str]) -> pd.DataFrame:
    """Return the chart rows that this reader uses, each in an ICU stay where there is one."""
    raw = _rows(folder, _chart_name(folder), where_items=ITEMS)
    wrong = raw["error"].eq("1")
    raw = raw[~wrong]
    chart = pd.DataFrame(
        {
            "patient_id": raw["subject_id"],
            "icustay_id": raw["icustay_id"],
            "row_id": raw["row_id"].astype("int64"),
            "itemid": raw["itemid"],
            "time": pd.to_datetime(raw["charttime"]),
            "value": raw["value"],
            "valuenum": pd.to_numeric(raw["valuenum"]),
        }
    )
    lost = chart["icustay_id"].isna()
    by_time = chart.loc[lost, ["patient_id", "row_id", "time"]].merge(icu, on="patient_id")
    inside = by_time[(by_time["start"] <= by_time["time"]) & (by_time["time"] <= by_time["end"])]
    found = inside.drop_duplicates("row_id").set_index("row_id")["icustay_id"]
    chart["icustay_id"] = chart["icustay_id"].fillna(chart["row_id"].map(found))
    notes.append(
        f"{int(wrong.sum())} chart rows marked as errors were dropped; of {int(lost.sum())} rows "
        f"without an ICU stay {len(found)} were placed by time; site charting among the "
        f"other {int(lost.sum()) - len(found)} was set aside."
    )
    return chart.sort_values(["patient_id", "time", "row_id"], ignore_index=True)


def read_pain(chart: pd.DataFrame, notes: list[str]) -> pd.DataFrame:
    """Return 0-10 pain levels.

    "Unable to Score" carries the number 0 but is no score, and the word "None" is level 0.
    Carevue items 1044 and 524 (at rest) hold the same rows: 524 counts only where 1044 is absent.
    """
    rows = chart[chart["itemid"].isin((PAIN_MV, PAIN_CV, PAIN_CV_REST))].copy()
    rows["main"] = rows["itemid"] != PAIN_CV_REST
    rows = rows.sort_values(["patient_id", "time", "row_id"])
    has_main = rows.groupby(["patient_id", "time"])["main"].transform("any")
    twice = ~rows["main"] & has_main
    rows = rows[~twice]
    word = rows["value"].fillna("").str.strip().str.lower()
    unable = word.str.startswith("unable")
    number = (
        rows["valuenum"]
        .where(rows["itemid"] == PAIN_MV)
        .fillna(pd.to_numeric(word.str.extract(r"^(\d+)")[0]))
    )
    usable = (word != "") & (unable | number.notna())
    table = pd.DataFrame(
        {
            "patient_id": rows["patient_id"],
            "time": rows["time"],
            "scale": "nrs",
            "score": number.where(~unable),
            "context": (~rows["main"]).map({True: "rest", False: None}),
            "state": unable.map({True: "unassessable", False: "scored"}),
        }
    )[usable]
    same = table.duplicated()
    notes.append(
        f"{int((unable & usable).sum())} pain rows say that no score could be given and have none; "
        f"{int(twice.sum())} copies of carevue levels, {int(same.sum())} repeated rows and "
        f"{int((~usable).sum())} rows without a level were dropped. Responses after treatment and "
        "baseline levels are not read."
    )
    return table[~same].sort_values(
        ["patient_id", "time", "state", "score"], ignore_index=True, kind="stable"
    )


def read_measurements(chart: pd.DataFrame, notes: list[str]) -> pd.DataFrame:
    """Return weights in kg and sedation (RASS); goals and carried-forward weights are not read."""
    rows = chart[chart["itemid"].isin((*WEIGHT_KG, WEIGHT_LB, RASS))].copy()
    pound = rows["itemid"] == WEIGHT_LB
    rows["name"] = rows["itemid"].eq(RASS).map({True: "rass", False: "weight_kg"})
    rows["value"] = rows["valuenum"].where(~pound, (rows["valuenum"] * KG_PER_LB).round(2))
    rows["unit"] = rows["name"].map({"rass": "score", "weight_kg": "kg"})
    usable = rows["value"].notna() & ((rows["name"] == "rass") | (rows["value"] > 0))
    key = ["patient_id", "time", "name"]
    rows = rows.assign(pound=pound)
    has_kg = (~rows["pound"]).groupby([rows[k] for k in key]).transform("any")
    twice = pound & has_kg
    table = rows[usable & ~twice].drop_duplicates([*key, "value"])
    notes.append(
        f"{int((pound & ~twice).sum())} weights in lb were converted to kg, {int(twice.sum())} "
        f"stood beside a weight in kg of that minute; {int((~usable).sum())} measurements without "
        "a usable number were dropped."
    )
    columns = ["patient_id", "time", "name", "value", "unit"]
    return table.sort_values([*key, "row_id"], ignore_index=True)[columns]


def read_doses(folder: Path, notes: list[str]) -> pd.DataFrame:
    """Return drugs of both charting systems (fluids, feeds and blood are not read)."""
    items = _rows(folder, "d_items", required=True).set_index("itemid")
    parts = [
        reader(_rows(folder, name), items, notes)
        for name, reader in (("inputevents_mv", _doses_mv), ("inputevents_cv", _doses_cv))
        if _find(folder, name)
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


def _lines(folder: Path, notes: list[str]) -> pd.DataFrame:
    columns = ["patient_id", "icustay_id", "row_id", "device", "position", "start", "end"]
    if not _find(folder, "procedureevents_mv"):
        notes.append("No procedureevents_mv: metavision lines come from charting only.")
        return pd.DataFrame(columns=columns).astype(
            {"start": "datetime64[us]", "end": "datetime64[us]"}
        )
    raw = _rows(folder, "procedureevents_mv", where_items=tuple(lines.LINE_MV))
    good = raw["cancelreason"].fillna("0").eq("0") & raw["starttime"].notna()
    good &= raw["endtime"].notna() & raw["icustay_id"].notna()
    notes.append(
        f"{int(good.sum())} charted peripheral lines; {int((~good).sum())} cancelled, or without "
        "stay, start or end, were dropped."
    )
    table = pd.DataFrame(
        {
            "patient_id": raw["subject_id"],
            "icustay_id": raw["icustay_id"],
            "row_id": raw["row_id"],
            "device": raw["itemid"].map(lines.LINE_MV),
            "position": raw["location"],
            "start": pd.to_datetime(raw["starttime"]),
            "end": pd.to_datetime(raw["endtime"]),
        }
    )[good]
    return table.sort_values(["patient_id", "start", "row_id"], ignore_index=True)


def _find(folder: Path, name: str) -> Path | None:
    wanted = (f"{name}.csv", f"{name}.csv.gz")
    return next((p for p in sorted(folder.glob("*")) if p.name.lower() in wanted), None)


def _chart_name(folder: Path) -> str:
    names = ("chartevents", "chartevents_selected")
    return next((name for name in names if _find(folder, name)), "")


def _rows(
    folder: Path, name: str, *, required: bool = False, where_items: tuple[str, ...] = ()
) -> pd.DataFrame:
    """Return a file as text with lower-case headers; empty cells are None, words are kept.

    DuckDB reads it, for the full chartevents has 330 million rows and only some items matter.
    """
    path = _find(folder, name)
    if path is None:
        raise UserError(
            f"{name}.csv.gz is missing",
            where=str(folder),
            do="put the files of the MIMIC-III release into this folder",
        )
    where = f" WHERE itemid IN ({','.join(map(str, where_items))})" if where_items else ""
    # the dialect is given: a sniffed one misses quotes that first appear far down the file
    query = (
        "SELECT * FROM read_csv(?, auto_detect = true, all_varchar = true, header = true, "
        "nullstr = '', delim = ',', quote = '\"', escape = '\"')"
    )
    with duckdb.connect() as connection:
        connection.execute("SET threads = 1")
        table = connection.execute(query + where, [str(path)]).df()
    cells: dict[str, Any] = {str(name).lower(): text for name, text in table.items()}
    return pd.DataFrame(
        {name: text.astype("object").where(text.notna(), None) for name, text in cells.items()}
    )
