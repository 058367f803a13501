"""Reader of the MIMIC-III clinical database, 1.4 (the open demo and the full release).

Observed is the intensive care unit only: doses, pain and lines are charted there and nowhere
else in these files, so every ICU stay gives three stays (doses, pain_scores, infusion_sites) and
a hospital admission gives none: its other hours are unknown, not empty. The first admission,
from the emergency department on, gives the entry time and the age. Prescriptions are orders with
dates only and are not read. Peripheral lines: see `mimic_iii_sites`.
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from ketamine_outcomes.extract.readers import mimic_iii_charting as charted
from ketamine_outcomes.extract.readers import mimic_iii_sites as lines
from ketamine_outcomes.extract.readers.mimic_iii_doses import read_doses
from ketamine_outcomes.extract.readers.mimic_iii_files import chart_name, find, read_rows
from ketamine_outcomes.extract.tables import Extract, conform

PAIN_MV, PAIN_CV, PAIN_CV_REST = "223791", "1044", "524"
WEIGHT_KG, WEIGHT_LB, RASS = ("226512", "224639", "763", "762"), "226531", "228096"
ITEMS = (PAIN_MV, PAIN_CV, PAIN_CV_REST, *WEIGHT_KG, WEIGHT_LB, RASS, *charted.ITEMS)
KG_PER_LB = 0.45359237
DOMAINS = ("doses", "infusion_sites", "pain_scores")


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
    admissions = read_rows(folder, "admissions", required=True)
    people = read_patients(read_rows(folder, "patients", required=True), admissions, notes)
    icu = read_icu_stays(read_rows(folder, "icustays", required=True), admissions, people, notes)
    tables = {"patients": people, "stays": stays_by_domain(icu)}
    if find(folder, "inputevents_mv") or find(folder, "inputevents_cv"):
        tables["doses"] = read_doses(folder, notes)
    else:
        notes.append("No input events: doses are unknown.")
    if chart_name(folder):
        chart = read_chart(folder, icu, notes)
        tables["pain_scores"] = read_pain(chart, notes)
        tables["measurements"] = read_measurements(chart, notes)
        charting = charted.read_charting(chart)
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
    raw = read_rows(folder, chart_name(folder), where_items=ITEMS)
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


def _lines(folder: Path, notes: list[str]) -> pd.DataFrame:
    columns = ["patient_id", "icustay_id", "row_id", "device", "position", "start", "end"]
    if not find(folder, "procedureevents_mv"):
        notes.append("No procedureevents_mv: metavision lines come from charting only.")
        return pd.DataFrame(columns=columns).astype(
            {"start": "datetime64[us]", "end": "datetime64[us]"}
        )
    raw = read_rows(folder, "procedureevents_mv", where_items=tuple(charted.LINE_MV))
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
            "device": raw["itemid"].map(charted.LINE_MV),
            "position": raw["location"],
            "start": pd.to_datetime(raw["starttime"]),
            "end": pd.to_datetime(raw["endtime"]),
        }
    )[good]
    return table.sort_values(["patient_id", "start", "row_id"], ignore_index=True)
