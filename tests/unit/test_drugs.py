"""The drug dictionary: what resolves, what never does, and that its tables agree."""

from __future__ import annotations

import csv
import re
from importlib import resources
from pathlib import Path

import pandas as pd
import pytest

from ketamine_outcomes.exposure import drugs, products

DATA = Path(__file__).parents[2] / "data"
OPIOID, KETAMINE, ANTAGONIST = "opioid", "ketamine", "antagonist"


def table(name: str) -> list[dict[str, str]]:
    text = (
        resources.files("ketamine_outcomes.exposure")
        .joinpath(f"reference/{name}.csv")
        .read_text(encoding="utf-8")
    )
    return list(csv.DictReader(text.splitlines()))


INGREDIENTS, NAMES = table("ingredients"), table("drugs")


def ingredient(name: str) -> str | None:
    drug = drugs.resolve(name)
    return drug.ingredient if drug else None


# --- the tables -------------------------------------------------------------------------------


def test_every_ingredient_resolves_to_itself() -> None:
    for row in INGREDIENTS:
        assert ingredient(row["ingredient"]) == row["ingredient"]


@pytest.mark.parametrize("row", NAMES, ids=lambda row: row["name"])
def test_every_name_resolves_to_the_first_class_of_its_ingredients(row: dict[str, str]) -> None:
    held = row["ingredient"].split("+")
    ranks = {
        each: drugs.PRECEDENCE.index(drugs.INGREDIENTS[each].drug_class)
        for each in held
        if each in drugs.INGREDIENTS
    }
    assert all(each in ranks or each in products.PARTNERS for each in held)
    for name in (row["name"], row["name"].upper(), f"*NF* {row['name'].title()}®, 5 mg"):
        assert ingredient(name) == min(ranks, key=lambda each: ranks[each])


def test_names_are_single_lower_case_and_short() -> None:
    words = [tuple(re.findall(r"[a-z]+|\d+", row["name"])) for row in NAMES]
    assert len(set(words)) == len(words)
    assert all(1 <= len(each) <= drugs.LONGEST for each in words)
    assert all(row["name"] == row["name"].lower().strip() for row in NAMES)


def test_classes_subclasses_and_codes_are_well_formed() -> None:
    assert {row["class"] for row in INGREDIENTS} == set(drugs.PRECEDENCE)
    for row in INGREDIENTS:
        assert re.fullmatch(r"[a-z_0-9]+", row["subclass"])
        assert re.fullmatch(r"\d*", row["rxnorm"]) and re.fullmatch(r"\d*", row["omop_concept_id"])
        assert bool(row["omop_concept_id"]) == bool(row["rxnorm"])
    for column in ("ingredient", "rxnorm", "omop_concept_id"):
        known = [row[column] for row in INGREDIENTS if row[column]]
        assert len(set(known)) == len(known)


def test_codes_agree_with_the_factor_table() -> None:
    """Both tables carry RxNorm codes, written down independently of each other."""
    own = {row["ingredient"]: row["rxnorm"] for row in INGREDIENTS}
    seen = 0
    for row in table("conversion_factors"):
        if row["rxnorm_ingredient"] and "|" not in row["drug"]:
            name = row["drug"].removesuffix(" in solution")
            assert own[name] == row["rxnorm_ingredient"]
            seen += 1
    assert seen > 100


def test_every_factor_is_of_an_opioid_of_the_dictionary() -> None:
    for row in table("conversion_factors"):
        if row["factor"] not in ("", "0"):
            for name in row["drug"].split("|"):
                assert drugs.INGREDIENTS[name].drug_class == OPIOID


def test_renal_flags_are_those_of_the_definitions() -> None:
    assert drugs.RENAL == {
        "morphine": "esrd_active_metabolite", "codeine": "esrd_active_metabolite",
        "dihydrocodeine": "esrd_active_metabolite", "meperidine": "esrd_contraindicated",
        "tramadol": "esrd_active_metabolite", "tapentadol": "esrd_no_data",
        "hydromorphone": "esrd_caution", "oxycodone": "esrd_caution",
        "hydrocodone": "esrd_caution", "fentanyl": "esrd_preferred",
        "methadone": "esrd_preferred_with_ECG", "buprenorphine": "esrd_preferred",
    }  # fmt: skip


def test_the_mapping_is_one_of_ingredients() -> None:
    assert "morphine" in drugs.INGREDIENTS
    assert "Percocet" not in drugs.INGREDIENTS
    assert drugs.INGREDIENTS["morphine"] == drugs.Drug("morphine", "opioid", "agonist")
    with pytest.raises(TypeError):
        drugs.INGREDIENTS["x"] = drugs.INGREDIENTS["morphine"]  # type: ignore[index]
    assert {drugs.resolve(name) for name in drugs.INGREDIENTS} == set(drugs.INGREDIENTS.values())


def test_the_page_shows_the_classes_as_they_are() -> None:
    held: dict[tuple[str, str], list[str]] = {}
    for row in INGREDIENTS:
        held.setdefault((row["class"], row["subclass"]), []).append(row["ingredient"])
    page = (Path(__file__).parents[2] / "docs/reference/drugs.md").read_text(encoding="utf-8")
    shown = [line for line in page.splitlines() if line.startswith(tuple(f"| {c} |" for c in
             drugs.PRECEDENCE))]  # fmt: skip
    assert shown == [
        f"| {group} | {kind} | {', '.join(names)} |" for (group, kind), names in held.items()
    ]


@pytest.mark.parametrize(
    ("charted", "held"),
    [
        ("HYDROcodone-Acetaminophen (5mg-325mg)", "hydrocodone"),
        ("(S)-Ketamine", "esketamine"),
        ("7052", None),
        ("Tylenol #3", "codeine"),
    ],
)
def test_the_page_is_right(charted: str, held: str | None) -> None:
    assert ingredient(charted) == held


# --- names ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("HYDROmorphone-HP", "hydromorphone"),
        ("HYDROcodone-Acetaminophen (5mg-325mg)", "hydrocodone"),
        ("OxyCODONE--Acetaminophen (5mg-325mg)", "oxycodone"),
        ("Morphine Sulfate (Oral Solution) 2 mg/mL", "morphine"),
        ("Morphine Infusion – Comfort Care Guidelines", "morphine"),  # en dash
        ("Fentanyl\u2011bupivacaine", "fentanyl"),  # non-breaking hyphen
        ("HYDRO\u00admorphone", "hydromorphone"),  # soft hyphen
        ("OxyContin™", "oxycodone"),
        ("CODÉINE", "codeine"),
        ("fentanyl_citrate", "fentanyl"),
        ("Fentanyl100mcg", "fentanyl"),
        ("Dilaudid", "hydromorphone"),
        ("DILAUDID/BUPIV.", "hydromorphone"),
        ("MS Contin", "morphine"),
        ("MS-Contin 15", "morphine"),
        ("ms04 pca", "morphine"),  # charted so: a zero for the letter
        ("MSO4", "morphine"),
        ("MSO₄", "morphine"),
        ("methodone", "methadone"),
        ("Pethidine", "meperidine"),
        ("heroin", "diamorphine"),
        ("Tylenol-Codeine No.3", "codeine"),
        ("Tylenol #3", "codeine"),
        ("Tylenol w/ Codeine", "codeine"),
        ("Tylenol 650 mg", "acetaminophen"),
        ("Co-codamol 30/500", "codeine"),
        ("Percocet", "oxycodone"),
        ("Vicodin ES", "hydrocodone"),
        ("Suboxone", "buprenorphine"),
        ("Targin", "oxycodone"),
        ("oxycodone-naloxone", "oxycodone"),
        ("buprenorphine/naloxone", "buprenorphine"),
        ("Embeda", "morphine"),
        ("Talwin NX", "pentazocine"),
        ("Belladonna & Opium (16.2/30mg)", "opium"),
        ("Bupivacaine 0.1%|HYDROmorphone (Dilaudid)", "hydromorphone"),
        ("Propoxyphene Nap.-Apap (N-100)", "propoxyphene"),
        ("Fentanyl free base", "fentanyl"),
        ("Ketamine/Midazolam", "ketamine"),
        ("S-Ketamine", "esketamine"),
        ("(S)-ketamine hydrochloride", "esketamine"),
        ("Spravato", "esketamine"),
        ("R-ketamine", "arketamine"),
        ("Naloxone (Narcan)", "naloxone"),
        ("Methylnaltrexone", "methylnaltrexone"),
        ("methyl naltrexone", "methylnaltrexone"),
        ("Acetaminophen-Caff-Butalbital", "acetaminophen"),
        ("Maalox/Diphenhydramine/Lidocaine", "lidocaine"),
        ("morphine_equivalent", "morphine_equivalent"),
        ("Morphine milligram equivalents", "morphine_equivalent"),
        ("rxnorm:7052", "morphine"),
        ("RxNorm 7052", "morphine"),
        ("RXCUI: 7052", "morphine"),
        ("omop:1110410", "morphine"),
        ("OMOP concept_id 785649", "ketamine"),
    ],
)
def test_names_that_resolve(name: str, expected: str) -> None:
    assert ingredient(name) == expected


@pytest.mark.parametrize(
    "name",
    [
        "Tiotropium Bromide", "Ipratropium Bromide MDI", "Europium", "LevETIRAcetam", "Wonderdrug",
        "", "7052", "1110410", "rxnorm:", "rxnorm:999999999", "omop:7052", "MS", "MS 4 mg",
        "Morphinan", "Codeinone", "norfentanyl", "acetylfentanyl", "Guaifenesin",
        "codeine-free guaifenesin", "Codeine free cough syrup", "Dextrose", "Magnesium Oxide",
        "Aluminum-Magnesium Hydrox.-Simethicone", "Bismuth Subsalicylate", "Fendolapam",
        "Ketamine or placebo", "Placebo (morphine study)", "PCA carrier", "Blue CADD Cassette",
        "Epidural", "Hydroxyzine", "Levophed",
    ],
)  # fmt: skip
def test_names_that_never_resolve(name: str) -> None:
    assert drugs.resolve(name) is None


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("sufentanil", "sufentanil"),
        ("alfentanil", "alfentanil"),
        ("remifentanil", "remifentanil"),
        ("carfentanil", "carfentanil"),
        ("apomorphine", "apomorphine"),
        ("oxymorphone", "oxymorphone"),
        ("dihydrocodeine", "dihydrocodeine"),
        ("levomethadone", "levomethadone"),
        ("hydrocortisone", "hydrocortisone"),
        ("naltrexone", "naltrexone"),
    ],
)
def test_a_name_inside_another_is_not_that_name(name: str, expected: str) -> None:
    assert ingredient(name) == expected


@pytest.mark.parametrize(
    ("name", "held"),
    [
        ("Fentanyl/Morphine", ("fentanyl", "morphine")),
        ("oxycodone or hydromorphone PRN", ("oxycodone", "hydromorphone")),
        ("Opium tincture (morphine 10 mg/mL)", ("opium", "morphine")),
        ("Percocet / Vicodin", ("oxycodone", "hydrocodone")),
    ],
)
def test_two_opioids_are_unknown_yet_opioids(name: str, held: tuple[str, ...]) -> None:
    assert drugs.resolve(name) is None
    assert drugs.opioids(name) == held


def test_ketamine_with_its_enantiomer_is_unknown() -> None:
    assert drugs.resolve("ketamine or esketamine") is None


def test_one_opioid_named_twice_is_one() -> None:
    assert ingredient("Oxycodone SR (OxyconTIN)") == "oxycodone"
    assert drugs.opioids("HYDROcodone-acetaminophen (NORCO)") == ("hydrocodone",)
    assert drugs.opioids("Naloxone") == ()


@pytest.mark.parametrize(
    ("name", "drug_class", "subclass"),
    [
        ("gabapentin", "co_analgesic", "gabapentinoid"),
        ("duloxetine", "co_analgesic", "snri"),
        ("amitriptyline", "co_analgesic", "tca"),
        ("lidocaine", "co_analgesic", "lidocaine_systemic"),
        ("bupivacaine", "co_analgesic", "local_anaesthetic"),
        ("dexmedetomidine", "co_analgesic", "alpha2_agonist"),
        ("lorazepam", "co_analgesic", "benzodiazepine"),
        ("paracetamol", "co_analgesic", "acetaminophen"),
        ("ketorolac", "co_analgesic", "nsaid"),
        ("dexamethasone", "co_analgesic", "corticosteroid"),
        ("baclofen", "co_analgesic", "muscle_relaxant"),
        ("memantine", "co_analgesic", "nmda_other"),
        ("dronabinol", "co_analgesic", "cannabinoid"),
        ("capsaicin", "co_analgesic", "topical"),
        ("Magnesium Sulfate", "other", "nmda_other"),
        ("loperamide", "other", "peripheral_opioid"),
        ("diphenoxylate-atropine", "other", "peripheral_opioid"),
        ("Korsuva", "other", "peripheral_opioid"),
        ("eluxadoline", "other", "peripheral_opioid"),
        ("apomorphine", "other", "dopamine_agonist"),
        ("naloxegol", "antagonist", "peripheral"),
        ("nalmefene", "antagonist", "central"),
        ("buprenorphine", "opioid", "partial_agonist"),
        ("dezocine", "opioid", "agonist_antagonist"),
        ("remifentanil", "opioid", "ultrashort"),
        ("morphine_equivalent", "opioid", "preconverted"),
        ("esketamine", "ketamine", "enantiomer"),
    ],
)
def test_classes_and_subclasses(name: str, drug_class: str, subclass: str) -> None:
    drug = drugs.resolve(name)
    assert drug is not None
    assert (drug.drug_class, drug.subclass) == (drug_class, subclass)


# --- every name of the open registries ----------------------------------------------------------

#: Every drug name of the two MIMIC demos (eMAR, prescriptions, ICU items) that is an opioid,
#: ketamine, an antagonist, a co-analgesic or `other`, in lower case.
DEMO = {
    "codeine": (
        "acetaminophen w/codeine", "codeine", "codeine sulfate",
        "guaifenesin-codeine phosphate",
    ),
    "fentanyl": (
        "fentanyl", "fentanyl (conc)", "fentanyl (concentrate)", "fentanyl (push)",
        "fentanyl base", "fentanyl bolus:", "fentanyl citrate", "fentanyl drip",
        "fentanyl patch", "fentanyl patch *nf*", "fentanyl pca",
    ),
    "hydrocodone": (
        "hydrocodone-acetaminophen", "hydrocodone-acetaminophen (5mg-325mg)",
        "hydrocodone-acetaminophen (5mg-500mg)",
    ),
    "hydromorphone": (
        "bupivacaine 0.1%|hydromorphone (dilaudid)", "dilaudid", "dilaudid epidural",
        "dilaudid/bupiv.", "hydromorphone", "hydromorphone (dilaudid)", "hydromorphone hcl",
        "hydromorphone infusion – comfort care guidelines", "hydromorphone p.f.",
        "hydromorphone pca", "hydromorphone-hp",
    ),
    "meperidine": (
        "demerol", "meperidine", "meperidine (demerol)", "meperidine cc/hr",
    ),
    "methadone": (
        "methadone", "methadone hcl", "methadone hydrochloride", "methodone",
    ),
    "morphine": (
        "morphine", "morphine infusion – comfort care guidelines", "morphine pca",
        "morphine sr (ms contin)", "morphine sulfate", "morphine sulfate (0.5-4mg)",
        "morphine sulfate (1-10mg)", "morphine sulfate (1-5mg)", "morphine sulfate (2-4mg)",
        "morphine sulfate (2-6mg)", "morphine sulfate (2-8mg)",
        "morphine sulfate (concentrated oral soln)", "morphine sulfate (immediate release)",
        "morphine sulfate (oral soln.)", "morphine sulfate (oral solution) 2 mg/ml",
        "morphine sulfate (syringe)", "morphine sulfate ir", "ms04 pca",
    ),
    "opium": (
        "belladonna & opium (16.2/30mg)", "opium tincture",
    ),
    "oxycodone": (
        "oxycodone", "oxycodone (immediate release)", "oxycodone (sustained release)",
        "oxycodone liquid", "oxycodone sr (oxycontin)", "oxycodone--acetaminophen (5mg-325mg)",
        "oxycodone-acetaminophen", "oxycodone-acetaminophen (5mg-325mg)",
        "oxycodone-acetaminophen elixir",
    ),
    "propoxyphene": (
        "propoxyphene nap.-apap (n-100)",
    ),
    "tramadol": (
        "tramadol", "tramadol (ultram)",
    ),
    "ketamine": (
        "ketamine", "ketamine (for intubation)", "ketamine 100mg/50ml", "ketamine 200mgm 50ml",
        "ketamine mg/hr",
    ),
    "methylnaltrexone": (
        "methylnaltrexone",
    ),
    "naloxone": (
        "naloxone", "naloxone (narcan)", "naloxone oral soln", "narcan",
    ),
    "acetaminophen": (
        "acetaminophen", "acetaminophen (liquid)", "acetaminophen (rectal)",
        "acetaminophen iv", "acetaminophen-caff-butalbital", "acetaminophen-iv",
        "butalbital-acet-caffeine",
    ),
    "alprazolam": (
        "alprazolam",
    ),
    "amantadine": (
        "amantadine",
    ),
    "amitriptyline": (
        "amitriptyline",
    ),
    "aspirin": (
        "aspirin", "aspirin (buffered)", "aspirin (rectal)", "aspirin 81 mg", "aspirin ec",
    ),
    "baclofen": (
        "baclofen",
    ),
    "benzocaine": (
        "benzocaine 20% spray",
    ),
    "bupivacaine": (
        "bupivacaine", "bupivacaine .50%", "bupivacaine 0.1%", "bupivacaine 0.75%",
        "bupivacaine.1% popli", "bupivacaine.1% r axi", "bupivicaine", "bupivicaine .1%",
        "bupivicaine 1%", "bupivicaine/epidural", "epidural-marcaine", "marcaine left",
        "marcaine right",
    ),
    "capsaicin": (
        "capsaicin 0.025%",
    ),
    "clonazepam": (
        "clonazepam",
    ),
    "clonidine": (
        "clonidine", "clonidine hcl", "clonidine patch 0.1 mg/24 hr",
        "clonidine patch 0.2 mg/24 hr", "clonidine patch 0.3 mg/24 hr",
    ),
    "cyclobenzaprine": (
        "cyclobenzaprine",
    ),
    "dexamethasone": (
        "dexamethasone", "dexamethasone ophthalmic soln 0.1%",
        "dexamethasone ophthalmic susp 0.1%", "dexamethasone sod phosphate",
    ),
    "dexmedetomidine": (
        "dexmedetomide", "dexmedetomidine", "dexmedetomidine (precedex)", "precedex",
        "precedex (mcg/kg/hr)", "precedex cc/hr", "precedex mcg/kg/hr",
    ),
    "dextromethorphan": (
        "dextromethorphan-guaifenesin (sugar free)", "guaifenesin-dextromethorphan",
    ),
    "diazepam": (
        "diazepam", "diazepam (valium)", "diazepam - ciwa protocol", "valium",
    ),
    "dronabinol": (
        "dronabinol",
    ),
    "duloxetine": (
        "duloxetine",
    ),
    "flurbiprofen": (
        "flurbiprofen 0.03%",
    ),
    "gabapentin": (
        "gabapentin", "gabapentin (liquid)",
    ),
    "hydrocortisone": (
        "hydrocortisone", "hydrocortisone (rectal) 2.5% cream", "hydrocortisone cream 2.5%",
        "hydrocortisone na succ", "hydrocortisone na succ.", "hydrocortisone na succinate",
    ),
    "ibuprofen": (
        "ibuprofen", "ibuprofen suspension",
    ),
    "imipramine": (
        "imipramine",
    ),
    "indomethacin": (
        "indomethacin",
    ),
    "ketorolac": (
        "*nf* ketorolac 0.5% ophth soln", "acular", "ketorolac", "ketorolac (toradol)",
    ),
    "lidocaine": (
        "lidocaine", "lidocaine 0.5%", "lidocaine 1%",
        "lidocaine 1% (for picc/midline insertions)", "lidocaine 1% pf",
        "lidocaine 1%/epinephrine 1:100000", "lidocaine 2%", "lidocaine 2% p.f.",
        "lidocaine 5% ointment", "lidocaine 5% patch", "lidocaine jelly 2%",
        "lidocaine jelly 2% (glydo)", "lidocaine jelly 2% (urojet)", "lidocaine viscous 2%",
        "lidocaine-prilocaine", "maalox/diphenhydramine/lidocaine", "maalox/lidocaine",
    ),
    "lorazepam": (
        "ativan", "lorazepam", "lorazepam (ativan)",
    ),
    "memantine": (
        "*nf* memantine", "namenda",
    ),
    "methocarbamol": (
        "methocarbamol",
    ),
    "methyl_salicylate": (
        "bengay cream",
    ),
    "methylprednisolone": (
        "methylpred", "methylpred 450mg/hr", "methylprednisolone",
        "methylprednisolone na succ", "methylprednisolone na succ.",
        "methylprednisolone sod succ", "methylprednisolone sodium succ", "methylprednisone",
        "methylprednisone gtt", "solu-medrol", "solumederol gtt", "solumedrol",
        "solumedrol 10575/500", "solumedrol drip", "solumedrol drip.", "solumedrol dripmg/hr",
        "solumedrol gtt", "solumedrol mg/kg/hr", "solumedrol mg/kg/min",
    ),
    "midazolam": (
        "midazolam", "midazolam (versed)", "midazolam hcl", "midazolam(versed)",
        "versed 20mg/50ml d5", "versed drip",
    ),
    "naproxen": (
        "naproxen",
    ),
    "nortriptyline": (
        "nortriptyline", "nortriptyline hcl",
    ),
    "phenazopyridine": (
        "phenazopyridine", "phenazopyridine hcl",
    ),
    "prednisolone": (
        "prednisolone acetate 1% ophth. susp.",
    ),
    "prednisone": (
        "prednisone",
    ),
    "pregabalin": (
        "pregabalin",
    ),
    "ropivacaine": (
        "ropivacaine 0.2%",
    ),
    "tetracaine": (
        "tetracaine 0.5% ophth soln",
    ),
    "tizanidine": (
        "tizanidine", "tizanidine hcl",
    ),
    "venlafaxine": (
        "venlafaxine xr",
    ),
    "loperamide": (
        "loperamide", "loperamide hcl",
    ),
    "magnesium_sulfate": (
        "magnesium sulfate", "magnesium sulfate (bolus)", "magnesium sulfate (ob-gyn)",
        "magnesium sulfate replacement (critical care and oncology)",
        "magnesium sulfate replacement (oncology)", "mgso4", "mgso4     20gm/500cc",
        "mgso4 gtt",
    ),
}  # fmt: skip
EXPECTED = {name: each for each, names in DEMO.items() for name in names}


@pytest.mark.parametrize("name", sorted(EXPECTED))
def test_names_of_the_demos(name: str) -> None:
    assert ingredient(name) == EXPECTED[name]


def demo_names() -> set[str]:
    """Return the names in the demos that ship here: eMAR and the items of ICU input tables."""
    four, three = DATA / "mimic-iv-demo-2.2", DATA / "mimic-iii-demo-1.4"
    found = set(pd.read_csv(four / "hosp/emar.csv.gz", dtype=str)["medication"].dropna())
    for path in (four / "icu/d_items.csv.gz", three / "d_items.csv.gz"):
        items = pd.read_csv(path, dtype=str)
        inputs = items["linksto"].isin(
            ["inputevents", "inputevents_mv", "inputevents_cv", "ingredientevents"]
        )
        found |= set(items.loc[inputs, "label"].dropna())
    return found


def test_nothing_else_of_the_demos_resolves() -> None:
    names = demo_names()
    assert len(names) > 3000
    resolved = {name: each for name in names if (each := ingredient(name))}
    assert resolved == {n: EXPECTED[n.lower().strip()] for n in resolved}
    assert len(resolved) > 150


#: Parts of words that opioids, ketamine and antagonists are written with.
STEMS = re.compile(
    r"morph|code?ine|cod[eo]n|fent|methad|method|tramad|tapent|meper|pethid|bupren|opi(?:um|oid)"
    r"|pentaz|nalb|butorph|levorph|propox|demer|dilaud|percoc|vicod|oxyco|hydroc|ketam|nalox|naltr"
    r"|narc|ultram|msir|mso|ms04|roxan|roxic|duram|paregor"
)
#: What those parts also stand in.
NO_STEMS = re.compile(
    r"hydroch|hydrocortisone|hydrocerin|potassium|\bipratropium|tiotropium|naphazoline"
)


def test_no_name_of_the_demos_that_looks_like_one_is_missed() -> None:
    missed = {
        name
        for name in demo_names()
        if STEMS.search(name.lower()) and not NO_STEMS.search(name.lower())
        and drugs.resolve(name) is None
    }  # fmt: skip
    assert missed == set()
