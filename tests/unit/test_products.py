"""Products: form and strength by the ingredient's name, and nothing guessed."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ketamine_outcomes.exposure import drugs, strengths, units
from ketamine_outcomes.exposure.products import CODEINE_NUMBER, Product, describe

DATA = Path(__file__).parents[2] / "data"
UNKNOWN = "unknown"


def said(drug: str, product: str = "", ingredient: str | None = None) -> Product:
    if ingredient is None:
        found = drugs.resolve(drug)
        assert found is not None
        ingredient = found.ingredient
    return describe(drug, product, ingredient)


# --- the texts of the open registries ---------------------------------------------------------


@pytest.mark.parametrize(
    ("drug", "product", "form", "unit", "ml", "patch"),
    [
        ("Acetaminophen w/Codeine", "300mg/30 mg Tablet", "tablet", 30, None, None),
        ("Acetaminophen w/Codeine", "300 mg / 30 mg Tab", "tablet", 30, None, None),
        ("Belladonna & Opium (16.2/30mg)", "1 Suppository", "suppository", 30, None, None),
        ("Bupivacaine 0.1%|HYDROmorphone (Dilaudid)",
         "HYDROmorphone 10 mcg/mL + Bupivacaine 0.1% 1 mg/mL ED (* Standard *)",
         UNKNOWN, None, 0.01, None),
        ("Codeine Sulfate", "30mg Tab", "tablet", 30, None, None),
        ("Fentanyl Citrate", "100mcg/2mL Amp", "injection", None, 0.05, None),
        ("Fentanyl Citrate", "500MCG/10ML AMP", "injection", None, 0.05, None),
        ("Fentanyl Citrate", "2500mcg/50mL Vial", "injection", None, 0.05, None),
        ("Fentanyl Citrate", "2.5mg / 50 mL Premix Bag", "infusion", None, 0.05, None),
        ("Fentanyl Citrate", "2.5mg/250mL NS", "infusion", None, 0.01, None),
        ("Fentanyl Citrate", "1mg/20mL Vial", "injection", None, 0.05, None),
        ("Fentanyl Citrate", "Fentanyl", UNKNOWN, None, None, None),
        ("Fentanyl Citrate", "Fentanyl 2.5 mg / 50 mL Soln  (Pharmacy Compounded)",
         UNKNOWN, None, 0.05, None),  # no oral liquid: not the oral route
        ("Fentanyl Patch", "25mcg/hr  Patch", "patch", None, None, 25),
        ("Fentanyl Patch *NF*", "12 mcg/hr Patch", "patch", None, None, 12),
        ("Fentanyl Patch", "100mcg/hr Patch", "patch", None, None, 100),
        ("Guaifenesin-CODEINE Phosphate", "10mL UD Cup", "solution", None, None, None),
        ("HYDROcodone-Acetaminophen (5mg-325mg)",
         "HYDROcodone-Acetaminophen (5mg-325mg) 5mg / 325mg Tablet", "tablet", 5, None, None),
        ("Hydrocodone-Acetaminophen (5mg-500mg)",
         "Hydrocodone-Acetaminophen (5mg-500mg) 5/500 Tablet", "tablet", 5, None, None),
        ("Hydrocodone-Acetaminophen", "5/500 Tablet", "tablet", 5, None, None),
        ("HYDROmorphone (Dilaudid)", "HYDROmorphone (Dilaudid) 1mg/1mL NS Syringe",
         "injection", None, 1, None),
        ("HYDROmorphone (Dilaudid)", "0.5 mg/0.5 mL Syringe", "injection", None, 1, None),
        ("HYDROmorphone (Dilaudid)", "HYDROmorphone (Dilaudid) 2mg Tablet",
         "tablet", 2, None, None),
        ("HYDROmorphone (Dilaudid)",
         "HYDROmorphone 20 mg / 100 mL 0.9% Sodium Chloride (*Standard*) - Pharmedium",
         "infusion", None, 0.2, None),
        ("HYDROmorphone (Dilaudid)",
         "HYDROmorphone 125 mg / 250 mL 0.9% Sodium Chloride (* For High Conc Infusion or Use"
         " Only *)", "infusion", None, 0.5, None),
        ("HYDROmorphone PCA", "12.5mg/50mL Syringe", "injection", None, 0.25, None),
        ("HYDROmorphone P.F.", "2000mcg/mL - 1mL Vial (Use this Package for Epidurals)",
         "injection", None, 2, None),
        ("HYDROmorphone-HP", "50mg/5mL Amp", "injection", None, 10, None),
        ("HYDROmorphone", "250 mL CADD Med Cassette", "infusion", None, None, None),
        ("Ketamine (For Intubation)", "50 mg/mL - 10 mL Vial", "injection", None, 50, None),
        ("Ketamine 100mg/50ml", "", UNKNOWN, None, 2, None),
        ("KETAMINE 200mgm 50ML", "", UNKNOWN, 200, None, None),
        ("Meperidine", "50 mg Syringe", "injection", None, None, None),
        ("Methadone HCl", "10mg/1mL Syringe", "injection", None, 10, None),
        ("Methadone", "Methadone 5 mg Tablet", "tablet", 5, None, None),
        ("Methylnaltrexone", "Methylnaltrexone 12 mg / 0.6 mL Vial",
         "injection", None, 20, None),
        ("Morphine SR (MS Contin)", "Morphine SR (MS Contin) 30mg Tablet",
         "tablet_er", 30, None, None),
        ("Morphine Sulfate", "100MG/4ML SY", UNKNOWN, None, 25, None),
        ("Morphine Sulfate", "Morphine 1 mL Vial", "injection", None, None, None),
        ("Morphine Sulfate", "Morphine 100 mg / 100 mL 5% Dextrose  (*Standard*) - Pharmedium",
         "infusion", None, 1, None),
        ("Morphine Sulfate (Syringe)", "2mg Syringe", "injection", None, None, None),
        ("Morphine Sulfate (2-8mg)", "2-8mg Range", UNKNOWN, None, None, None),
        ("Morphine Sulfate (1-10mg)", "1-10MG RANGE", UNKNOWN, None, None, None),
        ("Morphine Sulfate (Concentrated Oral Soln)", "20mg/1mL Conc. Oral Solution",
         "solution", None, 20, None),
        ("Morphine Sulfate (Oral Solution) 2 mg/mL",
         "Morphine Sulfate (Oral Soln.) 10mg/5mL UDCUP", "solution", None, 2, None),
        ("Morphine Sulfate IR", "Morphine Sulfate (Immediate Release)",
         UNKNOWN, None, None, None),
        ("Naloxone", "Naloxone 0.04mg/mL (10mL). Kit", UNKNOWN, None, 0.04, None),
        ("Naloxone", "3 mg Oral Syringe", "solution", None, None, None),
        ("Opium Tincture", "Opium Tincture 0.6 mL Syringe", "solution", None, None, None),
        ("Opium Tincture", "0.6mL Syringe", "solution", None, None, None),
        ("OxyCODONE (Immediate Release)", "OxycoDONE Liquid 5mg/5mL Cup",
         "solution", None, 1, None),
        ("OxyCODONE (Immediate Release)", "OxyCODONE (Immediate Release) 5mg Tablet",
         "tablet", 5, None, None),
        ("OxycoDONE Liquid", "5mg Tablet", "tablet", 5, None, None),
        ("OxyCODONE SR (OxyconTIN)", "OxyCODONE SR (OxyconTIN) 10mg Tablet",
         "tablet_er", 10, None, None),
        ("Oxycodone (Sustained Release)", "10mg Tablet", "tablet_er", 10, None, None),
        ("OxycoDONE-Acetaminophen Elixir", "5mL Cup", "solution", None, None, None),
        ("Oxycodone-Acetaminophen (5mg-325mg)", "5mL Cup", "solution", None, None, None),
        ("Propoxyphene Nap.-Apap (N-100)", "U/D TAB", "tablet", None, None, None),
        ("TraMADOL (Ultram)", "TraMADOL (Ultram) 50mg Tablet", "tablet", 50, None, None),
        ("Clonidine Patch 0.3 mg/24 hr", "", "patch", None, None, 12.5),
    ],
)  # fmt: skip
def test_products_of_the_demos(
    drug: str, product: str, form: str, unit: float | None, ml: float | None, patch: float | None
) -> None:
    assert said(drug, product) == Product(form, unit, ml, patch)


def test_strength_times_pieces_is_the_dose_that_was_charted() -> None:
    """The registry charts dose and product amount apart: their quotient is the strength."""
    folder = DATA / "mimic-iv-demo-2.2/hosp"
    detail = pd.read_csv(folder / "emar_detail.csv.gz", dtype=str)
    names = pd.read_csv(folder / "emar.csv.gz", dtype=str)
    rows = detail.merge(names[["emar_id", "emar_seq", "medication"]], on=["emar_id", "emar_seq"])
    rows = rows[rows["dose_given_unit"].isin(["mg", "mcg", "g"])]
    rows = rows.dropna(subset=["medication", "product_description", "product_unit"])
    dose = pd.to_numeric(rows["dose_given"], errors="coerce")
    pieces = pd.to_numeric(rows["product_amount_given"], errors="coerce")
    agree = differ = 0
    for row, charted, count in zip(rows.itertuples(), dose, pieces, strict=True):
        drug, unit = drugs.resolve(str(row.medication)), units.find(str(row.product_unit))
        mass = units.find(str(row.dose_given_unit))
        if drug is None or unit is None or mass is None or not (charted > 0 and count > 0):
            continue
        product = describe(str(row.medication), str(row.product_description), drug.ingredient)
        strength = product.mg_per_unit if unit.kind == "count" else product.mg_per_ml
        if strength is not None:
            # 0.13 mL of 2 mg/mL is charted for 0.25 mg: amounts are rounded to two places
            near = abs(strength * count - charted * mass.per_base) <= 0.0051 * strength
            agree, differ = agree + near, differ + (not near)
    assert (agree > 4000, differ) == (True, 0)


# --- strengths by name ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("drug", "unit"),
    [
        ("acetaminophen-codeine 300-30 mg", 30),  # the opioid is the second
        ("oxycodone-acetaminophen 5-325 mg", 5),
        ("oxycodone-acetaminophen 5/325", 5),
        ("oxycodone-acetaminophen 5 mg/325 mg", 5),
        ("oxycodone-acetaminophen 5mg-325", 5),
        ("hydrocodone-ibuprofen 7.5-200", 7.5),
        ("HYDROcodone-acetaminophen (NORCO) 5-325 MG per tablet", 5),
        ("Norco 5/325 (hydrocodone 5 mg-acetaminophen 325 mg)", 5),
        ("Percocet 10-325 mg", 10),
        ("Vicodin 5-500", 5),
        ("Suboxone 8-2 mg", 8),
        ("buprenorphine-naloxone 8 mg-2 mg", 8),
        ("Targin 10mg/5mg", 10),
        ("Co-codamol 8/500", 8),
        ("Co-codamol 30mg/500mg", 30),
        ("Seglentis 56-44 mg", 44),
        ("tramadol-acetaminophen 37.5-325 mg", 37.5),
        ("carisoprodol-aspirin-codeine 200-325-16 mg", 16),
        ("butalbital-acetaminophen-caffeine-codeine 50-325-40-30 mg", 30),
        ("acetaminophen 325 MG / oxycodone hydrochloride 5 MG Oral Tablet [Percocet]", 5),
        ("5 mg oxycodone / 325 mg acetaminophen tablet", 5),
        ("oxycodone 5 mg with acetaminophen 325 mg", 5),
        ("12 HR acetaminophen 325 MG / oxycodone hydrochloride 7.5 MG Extended Release Oral "
         "Tablet", 7.5),
        ("naloxone 0.5 MG / pentazocine 50 MG Oral Tablet", 50),
        ("Tylenol-Codeine No.3", 30),
        ("Tylenol #4", 60),
        ("acetaminophen-codeine (TYLENOL #3) 300-30 mg", 30),
        ("Oxycodone 5mg Tablet", 5),
        ("Oxycodone 5-mg tablet", 5),
        ("oxycodone 5 mg/1 tablet", 5),
        ("Fentanyl 200 mcg lozenge", 0.2),
        ("Fentanyl 200 µg lozenge", 0.2),  # micro sign
        ("Fentanyl 200 μg lozenge", 0.2),  # Greek mu
        ("Fentanyl 200 ug lozenge", 0.2),
        ("fentanyl 200 micrograms lozenge", 0.2),
        ("fentanyl 1,200 mcg lozenge", 1.2),
        ("Acetaminophen 1 g tablet", 1000),
        ("Acetaminophen 1,000 mg tablet", 1000),
        ("2 x oxycodone 5 mg tablets", 5),
    ],
)  # fmt: skip
def test_the_strength_of_a_piece(drug: str, unit: float) -> None:
    assert said(drug).mg_per_unit == pytest.approx(unit, rel=1e-12)


@pytest.mark.parametrize(
    ("drug", "ml"),
    [
        ("Morphine 20 mg/mL", 20),
        ("Morphine 10 mg/5 mL", 2),  # never 10 mg/mL
        ("Morphine 100 mg/5mL", 20),
        ("Morphine 10mg/0.5mL", 20),
        ("Morphine (10 mg/mL)", 10),
        ("Morphine 1 mg/1 mL", 1),
        ("Morphine 10 mg per 5 mL", 2),
        ("Morphine 10 mg in 1 mL", 10),
        ("Morphine 10 mg/5 mL (2 mg/mL) solution", 2),
        ("Fentanyl 2.5 mg / 50 mL", 0.05),
        ("Fentanyl 50 mcg/mL", 0.05),
        ("Fentanyl 1,000 mcg/20 mL vial", 0.05),
        ("fentanyl-bupivacaine (PF) 2 mcg/mL-0.125 % epidural", 0.002),
        ("bupivacaine-fentanyl 0.125%-2 mcg/mL", 0.002),
        ("Fentanyl 2 mcg/mL + bupivacaine 0.1 % in 0.9 % NaCl", 0.002),
        ("hydrocodone-acetaminophen 7.5-325 mg/15 mL", 0.5),
        ("acetaminophen-codeine 120 mg-12 mg/5 mL elixir", 2.4),
        ("guaifenesin-codeine 100-10 mg/5 mL", 2),
        ("promethazine-codeine 6.25-10 mg/5 mL syrup", 2),
        ("acetaminophen 21.7 MG/ML / hydrocodone bitartrate 0.5 MG/ML Oral Solution", 0.5),
        ("1 ML buprenorphine 0.3 MG/ML Injection [Buprenex]", 0.3),
        ("Hydromorphone HP 10 mg/mL", 10),
    ],
)
def test_the_strength_of_a_ml(drug: str, ml: float) -> None:
    product = said(drug)
    assert product.mg_per_ml == pytest.approx(ml, rel=1e-12)
    assert product.mg_per_unit is None


@pytest.mark.parametrize(
    ("drug", "rate"),
    [
        ("fentanyl 25 mcg/hr patch", 25),
        ("Fentanyl 12 mcg/h", 12),
        ("fentanyl 37.5 micrograms/hour transdermal patch", 37.5),
        ("72 HR fentanyl 0.075 MG/HR Transdermal System", 75),
        ("buprenorphine 10 mcg per hour weekly patch", 10),
    ],
)
def test_the_label_rate_of_a_patch(drug: str, rate: float) -> None:
    product = said(drug)
    assert product.patch_mcg_per_h == pytest.approx(rate, rel=1e-12)
    assert (product.mg_per_unit, product.mg_per_ml) == (None, None)


@pytest.mark.parametrize(
    ("drug", "product"),
    [
        ("Oxycodone 5 mg", "oxycodone 10 mg tablet"),  # the texts differ
        ("Oxycodone 5 mg tablet (10 mg)", ""),
        ("Morphine Sulfate (Oral Solution) 2 mg/mL", "20 mg/mL"),
        ("Morphine Sulfate (0.5-4mg)", "Tab"),  # a range
        ("Morphine 2 to 4 mg tablet", ""),
        ("Morphine 2,5 mg tablet", ""),  # comma: 2.5 or 25?
        ("Morphine 1,00 mg tablet", ""),
        ("Oxycodone-acetaminophen 5 mg tablet", ""),  # of which?
        ("Percocet 5 mg tablet", ""),
        ("oxycodone-acetaminophen 5-325-10 mg tablet", ""),
        ("acetaminophen-oxycodone 5-325 tablet", ""),  # names in another order
        ("oxycodone-acetaminophen 5-10 mcg-325 mg", ""),
        ("Oxycodone", "Acetaminophen 325 mg tablet"),  # another drug's product
        ("brompheniramine 4 mg / codeine", "tablet"),
        ("wonderdrug 4 mg / codeine tablet", ""),  # the strength of a stranger
        ("codeine / wonderdrug 4 mg tablet", ""),
        ("codeine + wonderdrug 10-4 mg tablet", ""),
        ("codeine 10 mg + wonderdrug 4 mg in 5 mL", ""),
        ("Oxycodone", "oxycodone 5 mg half tab"),
        ("Oxycodone 5 mg", "1/2 tab"),
        ("Oxycodone 5 mg", "½ tablet"),
        ("Fentanyl 100 mcg/kg", ""),
        ("Fentanyl 100 mcg/dose", ""),
        ("fentanyl 0.1 MG/ACTUAT Metered Dose Nasal Spray", ""),
        ("Fentanyl 1 mcg/kg/h", ""),
        ("Fentanyl 50 mcg/hr infusion", ""),  # a rate, and no patch
        ("Fentanyl 2,500 mcg in sodium chloride 0.9% 250 mL", ""),  # added to, or made up to?
        ("Morphine 5%", ""),
        ("Morphine 10 mg in 24 hours", ""),
        ("Morphine 10 mg/0 mL", ""),
        ("fentanyl-bupivacaine 0.1%-0.2%", ""),
        ("oxycodone-acetaminophen 5-325 mg/dose", ""),
        ("oxycodone-acetaminophen 5-325 mg/kg", ""),
        ("hydrocodone 7.5 mg / acetaminophen 325 mg per 15 mL", ""),  # 7.5 mg in what?
        ("Opium Tincture", "0.6 mL Syringe"),
        ("Morphine 30 mL", ""),
        ("Duragesic-25", "patch"),
        ("MS Contin 15", "tablet"),
        ("Morphine 2 tablets", ""),
        ("Morphine 0 mg tablet", ""),
    ],
)
def test_what_is_not_plain_is_not_guessed(drug: str, product: str) -> None:
    ingredient = drugs.opioids(drug)[0]
    found = describe(drug, product, ingredient)
    assert (found.mg_per_unit, found.mg_per_ml, found.patch_mcg_per_h) == (None, None, None)


def test_the_other_ingredient_has_its_own_strength() -> None:
    both = "acetaminophen-codeine 300-30 mg tablet"
    assert describe(both, "", "acetaminophen").mg_per_unit == 300
    assert describe(both, "", "codeine").mg_per_unit == 30
    assert describe(both, "", "morphine") == Product("tablet", None, None, None)


def test_a_code_for_a_name_leaves_the_strength_to_the_product() -> None:
    assert said("rxnorm:7804", "5 mg tablet") == Product("tablet", 5, None, None)


def test_texts_that_are_not_there() -> None:
    assert describe("", "", "morphine") == Product(UNKNOWN, None, None, None)


@pytest.mark.parametrize(("number", "mg"), [("2", 15), ("3", 30), ("4", 60)])
def test_codeine_by_number(number: str, mg: int) -> None:
    assert CODEINE_NUMBER[number] == mg
    assert said(f"Tylenol w/ Codeine #{number}", "tab").mg_per_unit == mg
    assert said(f"Tylenol w/ Codeine #{number}", "300-8 mg tab").mg_per_unit is None
    assert said("Codeine sulfate", f"bottle no {number}").mg_per_unit is None


@given(st.text(max_size=40), st.text(max_size=40))
def test_any_text_is_read_or_left_and_never_fails(drug: str, product: str) -> None:
    drugs.resolve(drug)
    found = describe(f"Morphine {drug}", product, "morphine")
    for value in (found.mg_per_unit, found.mg_per_ml, found.patch_mcg_per_h):
        assert value is None or value > 0


@given(
    opioid=st.sampled_from(["oxycodone", "HYDROcodone", "Codeine phosphate"]),
    mg=st.sampled_from(["2.5", "5", "7.5", "10", "30"]),
    other=st.sampled_from(["120", "300", "325", "1,000"]),
    joint=st.sampled_from(["-", " - ", "/", " / ", "\u2013", "+", " mg-", "mg/", " MG / "]),
    first=st.booleans(),
    dashed=st.sampled_from(["-", "/", " / ", " with ", " & ", "--"]),
    end=st.sampled_from([" mg", "mg", " MG tablet", "mg cap", " mg/5 mL", "mg per 5 ml syrup"]),
)
def test_a_combination_reads_the_same_however_it_is_written(
    opioid: str, mg: str, other: str, joint: str, first: bool, dashed: str, end: str
) -> None:
    names, values = [opioid, "acetaminophen"], [mg, other]
    if not first:
        names, values = names[::-1], values[::-1]
    found = said(f"{dashed.join(names)} {joint.join(values)}{end}")
    value = found.mg_per_ml if "5" in end else found.mg_per_unit
    assert value == pytest.approx(float(mg) / (5 if "5" in end else 1), rel=1e-12)


# --- forms ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("drug", "product", "form"),
    [
        ("Oxycodone", "TAB", "tablet"),
        ("Oxycodone ER", "tab", "tablet_er"),
        ("OxyContin", "tablet", "tablet_er"),
        ("OxyContin", "", "tablet_er"),
        ("MS Contin", "tabs", "tablet_er"),
        ("Morphine", "30MG SA TAB", "tablet_er"),
        ("Zomorph 10mg modified-release capsules", "", "capsule_er"),
        ("Oxycodone", "5 mg film-coated tablets", "tablet"),
        ("Oxycodone immediate release", "tablet", "tablet"),
        ("Oxycodone", "cap", "capsule"),
        ("Methadone", "40 mg tablet for oral suspension", "tablet"),
        ("Oxycodone", "5 mg/5 mL solution", "solution"),
        ("Oxycodone", "oral concentrate", "solution"),
        ("Oxycodone", "udcup", "solution"),
        ("Morphine", "elixir", "solution"),
        ("Morphine", "syrup", "solution"),
        ("Morphine", "oral syringe", "solution"),
        ("Morphine (Oral Solution)", "5 mL syringe", "solution"),
        ("Fentanyl", "lollipop", "lozenge"),
        ("Buprenorphine-naloxone", "sublingual film", "film"),
        ("Butorphanol", "nasal spray", "spray"),
        ("Hydromorphone", "3 mg supp", "suppository"),
        ("Morphine", "solution for injection ampoules", "injection"),
        ("Diamorphine", "5mg powder for solution for injection", "injection"),
        ("Morphine", "carpuject", "injection"),
        ("Morphine", "4 mg/mL vial", "injection"),
        ("Fentanyl", "premix", "infusion"),
        ("Hydromorphone", "CADD", "infusion"),
        ("Fentanyl Drip", "", "infusion"),
        ("Fentanyl", "1000 mcg/100 mL in NS bag", "infusion"),
        ("Fentanyl", "PTCH", "patch"),
        ("Fentanyl", "transdermal", "patch"),
        ("Fentanyl (Concentrate)", "", UNKNOWN),  # of a vial, not of an oral liquid
        ("Fentanyl", "50 mcg/mL solution", UNKNOWN),
        ("Ketamine", "50 mg/mL solution", UNKNOWN),
        ("Fentanyl Patch", "50 mcg/mL vial", UNKNOWN),  # the texts differ
        ("Oxycodone tablet", "5 mL cup", UNKNOWN),
        ("Morphine (Oral Solution)", "10 mg/mL vial", UNKNOWN),
        ("Morphine", "given in theatre", UNKNOWN),
        ("Morphine capacity table", "", UNKNOWN),  # whole words only
    ],
)
def test_forms(drug: str, product: str, form: str) -> None:
    assert said(drug, product).form == form


# --- strengths without a name -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "groups"),
    [
        ("5mg-325mg", [("unit", [5, 325])]),
        ("5/500", [("number", [5, 500])]),
        ("0.5 mg/ml - 10 ml vial", [("ml", ["1/2"])]),
        ("1 mg/ml-2 mg", [("ml", [1]), ("unit", [2])]),
        (".5 mg", [("unit", ["1/2"])]),
        ("0.9% nacl", [("percent", [None])]),
        ("25 mcg/hr", [("h", ["1/40"])]),
        ("0.1 mg/24 hr", [("h", ["1/240"])]),
        ("1 mcg/min", [("h", ["3/50"])]),
        ("5 mcg-10 mg-2", [("unit", ["1/200", 10, None])]),
        ("1.2.3 mg", [("unit", [None])]),
        ("10 ml", []),
        ("mg/ml", []),
        ("no.3", [("number", ["3/10"])]),
    ],
)
def test_groups_of_strengths(text: str, groups: list[tuple[str, list[object]]]) -> None:
    found = [(group.kind, list(group.values)) for group in strengths.read(text)]
    wanted = [
        (kind, [None if value is None else Fraction(str(value)) for value in values])
        for kind, values in groups
    ]
    assert found == wanted
