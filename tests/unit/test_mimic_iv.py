"""The traps of the MIMIC-IV tables, each on a few made-up rows in its format."""

from __future__ import annotations

import pandas as pd
import pytest

from ketamine_outcomes.errors import UserError
from ketamine_outcomes.extract.readers import mimic_iv

DETAIL = [
    "subject_id", "emar_id", "parent_field_ordinal", "administration_type", "dose_due",
    "dose_due_unit", "dose_given", "dose_given_unit", "product_unit", "product_code",
    "product_description", "infusion_rate", "infusion_rate_unit", "infusion_rate_adjustment",
    "new_iv_bag_hung", "route", "pharmacy_id",
]  # fmt: skip


class Folder:
    """A folder in the format of the release, filled by the test."""

    def __init__(self, path):
        self.path = path
        self.events, self.details, self.inputs, self.chart = [], [], [], []
        self.transfers = [
            ("1", "10", "100", "ED", "2150-01-01 10:00:00", "2150-01-01 20:00:00"),
            ("1", "10", "101", "admit", "2150-01-01 20:00:00", "2150-01-03 12:00:00"),
            ("1", "10", "102", "discharge", "2150-01-03 12:00:00", ""),
        ]

    def event(self, name, text, at="2150-01-01 12:00:00", order="1-1", pharmacy=""):
        emar = f"1-{len(self.events) + 1}"
        self.events.append(
            {"subject_id": "1", "hadm_id": "", "emar_id": emar, "poe_id": order,
             "pharmacy_id": pharmacy, "charttime": at, "medication": name, "event_txt": text}
        )  # fmt: skip
        return emar

    def detail(self, emar, **cells):
        self.details.append({"subject_id": "1", "emar_id": emar, **cells})

    def read(self):
        def write(name, rows, columns):
            file = self.path / f"{name}.csv.gz"
            file.parent.mkdir(exist_ok=True, parents=True)
            pd.DataFrame(rows, columns=columns).fillna("").to_csv(file, index=False)

        write("hosp/patients", [("1", "F", 95, 2150, "2150-02-01")],
              ["subject_id", "gender", "anchor_age", "anchor_year", "dod"])  # fmt: skip
        write("hosp/admissions", [("1", "10", "2150-01-01 20:00:00", "2150-01-03 12:00:00", "",
                                   "HOME")],
              ["subject_id", "hadm_id", "admittime", "dischtime", "deathtime",
               "discharge_location"])  # fmt: skip
        write("hosp/transfers", self.transfers,
              ["subject_id", "hadm_id", "transfer_id", "eventtype", "intime",
               "outtime"])  # fmt: skip
        write("hosp/emar", self.events,
              ["subject_id", "hadm_id", "emar_id", "poe_id", "pharmacy_id", "charttime",
               "medication", "event_txt"])  # fmt: skip
        write("hosp/emar_detail", self.details, DETAIL)
        write("hosp/omr", [("1", "2149-12-30", "Weight (Lbs)", "150")],
              ["subject_id", "chartdate", "result_name", "result_value"])  # fmt: skip
        write("icu/icustays", [("1", "10", "9", "2150-01-02 00:00:00", "2150-01-03 00:00:00")],
              ["subject_id", "hadm_id", "stay_id", "intime", "outtime"])  # fmt: skip
        write("icu/d_items", [("221744", "Fentanyl (Concentrate)"), ("7", "NaCl 0.9%")],
              ["itemid", "label"])  # fmt: skip
        write("icu/inputevents", self.inputs,
              ["subject_id", "starttime", "endtime", "itemid", "amount", "amountuom", "rate",
               "rateuom", "orderid", "linkorderid", "ordercategoryname",
               "ordercategorydescription", "statusdescription"])  # fmt: skip
        write("icu/chartevents_selected", self.chart,
              ["subject_id", "charttime", "itemid", "valuenum"])  # fmt: skip
        return mimic_iv.read(self.path)


@pytest.fixture
def folder(tmp_path):
    made = Folder(tmp_path)
    made.event("Senna", "Administered")  # eMAR exists for the stay
    return made


def dose(folder):
    return folder.read().tables["doses"].iloc[-1]


def test_children_are_summed_and_the_dose_due_is_never_a_dose(folder):
    emar = folder.event("OxyCODONE (Immediate Release)", "Administered", "2150-01-01 13:00:00")
    folder.detail(emar, administration_type="Standard Maintenance Medication", dose_due="5-20",
                  dose_due_unit="mg", route="PO")  # fmt: skip
    for ordinal in ("1.1", "1.2"):
        folder.detail(emar, parent_field_ordinal=ordinal, dose_given="5", dose_given_unit="mg",
                      product_unit="TAB", product_code="OXYC5")  # fmt: skip
    row = dose(folder)
    assert (row["amount"], row["amount_unit"], row["route"], row["form"]) == (
        10, "mg", "oral", "tablet",
    )  # fmt: skip


@pytest.mark.parametrize("text", ["Not Given", "Hold Dose"])
def test_rows_that_were_not_given_keep_their_dose_and_their_status(folder, text):
    emar = folder.event("Morphine Sulfate", text, "2150-01-01 13:00:00")
    folder.detail(emar, parent_field_ordinal="1.1", dose_given="4", dose_given_unit="mg")
    row = dose(folder)
    assert row["amount"] == 4
    assert row["status"] in ("not_given", "held")


@pytest.mark.parametrize("masked", ["___", "1-2"])
def test_a_masked_or_ranged_product_leaves_the_whole_dose_missing(folder, masked):
    emar = folder.event("Morphine Sulfate", "Administered", "2150-01-01 13:00:00")
    folder.detail(emar, parent_field_ordinal="1.1", dose_given=masked, dose_given_unit="mg")
    folder.detail(emar, parent_field_ordinal="1.2", dose_given="4", dose_given_unit="mg")
    extract = folder.read()
    assert pd.isna(extract.tables["doses"]["amount"].iloc[-1])
    assert any("1 eMAR product rows hold a masked" in note for note in extract.notes)


@pytest.mark.parametrize(
    ("code", "unit", "form"),
    [("MORP4V", "mL", "injection"), ("HYDR1SYR", "mL", "injection"), ("OXYC5", "TAB", "tablet"),
     ("HYDR20/100NS", "mL", "infusion"), ("OXYCO5L", "UDCUP", "solution")],
)  # fmt: skip
def test_the_product_shows_the_form_and_the_route_stays_open(folder, code, unit, form):
    emar = folder.event("Morphine Sulfate", "Administered", "2150-01-01 13:00:00")
    folder.detail(emar, parent_field_ordinal="1.1", dose_given="4", dose_given_unit="mg",
                  product_code=code, product_unit=unit)  # fmt: skip
    row = dose(folder)
    assert (row["form"], row["route"]) == (form, None)


def test_a_confirmed_row_with_another_rate_is_a_rate_change(folder):
    emar = folder.event("Ketamine", "Confirmed", "2150-01-01 13:00:00")
    folder.detail(emar, administration_type="IV Infusion", dose_due="0.1-0.3",
                  dose_due_unit="mg/kg/hr", infusion_rate="0.2", infusion_rate_unit="mg/kg/hr",
                  infusion_rate_adjustment="Rate Changed")  # fmt: skip
    row = dose(folder)
    assert (row["status"], row["rate"], row["rate_unit"]) == ("rate_change", 0.2, "mg/kg/hr")
    assert pd.isna(row["amount"])


def test_a_reused_pharmacy_id_does_not_change_the_drug(folder):
    folder.event("Nitroglycerin SL", "Administered", "2143-01-01 13:00:00", pharmacy="77")
    emar = folder.event("Ketamine", "Started", "2150-01-01 13:00:00", pharmacy="77")
    folder.detail(emar, administration_type="IV Infusion", pharmacy_id="77", infusion_rate=".08",
                  infusion_rate_unit="mg/kg/hr")  # fmt: skip
    assert dose(folder)["drug"] == "Ketamine"


def test_the_stay_begins_in_the_emergency_department(folder):
    stays = folder.read().tables["stays"]
    hospital = stays[stays["observes"] == "doses"].iloc[0]
    assert hospital["start"] == pd.Timestamp("2150-01-01 10:00")
    assert hospital["end"] == pd.Timestamp("2150-01-03 12:00")


def test_a_stay_without_the_medication_record_observes_no_doses(tmp_path):
    stays = Folder(tmp_path).read().tables["stays"]
    assert stays["observes"].tolist() == ["pain_scores"]


def test_fluids_are_not_drugs_and_a_drip_keeps_amount_and_rate(folder):
    common = ("2150-01-02 01:00:00", "2150-01-02 02:00:00")
    folder.inputs += [
        ("1", *common, "221744", "0.05", "mg", "50", "mcg/hour", "5", "4", "01-Drips",
         "Continuous Med", "ChangeDose/Rate"),
        ("1", *common, "7", "100", "ml", "100", "mL/hour", "6", "6", "02-Fluids (Crystalloids)",
         "Continuous IV", "FinishedRunning"),
    ]  # fmt: skip
    doses = folder.read().tables["doses"]
    row = doses[doses["source"] == "icu"]
    assert len(row) == 1
    assert row[["amount", "rate", "route", "infusion_id"]].iloc[0].tolist() == [0.05, 50, "iv", "4"]


def test_pain_without_a_number_is_unassessable_and_the_goal_rass_is_not_a_score(folder):
    at = "2150-01-02 01:00:00"
    folder.chart += [
        ("1", at, "223791", ""),
        ("1", "2150-01-02 05:00:00", "223791", "0"),
        ("1", at, "228299", "0"),
        ("1", at, "228096", "-2"),
        ("1", at, "226531", "154"),
    ]
    tables = folder.read().tables
    assert tables["pain_scores"]["state"].tolist() == ["unassessable", "scored"]
    assert tables["pain_scores"]["score"].isna().tolist() == [True, False]
    measured = tables["measurements"]
    assert measured.loc[measured["name"] == "rass", "value"].tolist() == [-2]
    assert measured.loc[measured["name"] == "weight_kg", "unit"].tolist() == ["lb", "lb"]


def test_age_is_capped_and_a_dated_death_is_the_end_of_its_day(folder):
    patient = folder.read().tables["patients"].iloc[0]
    assert patient["age_years"] == 90
    assert patient["death_time"] == pd.Timestamp("2150-02-02")


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(UserError, match=r"admissions\.csv\.gz is not there"):
        mimic_iv.read(tmp_path)
