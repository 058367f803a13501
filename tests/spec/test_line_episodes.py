"""What a line episode is: the counts of the open demo under each rule, and why they differ."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

import pandas as pd
import pytest

from ketamine_outcomes.extract.readers import mimic_iii, mimic_iii_charting, mimic_iii_sites
from ketamine_outcomes.extract.readers.mimic_iii_files import read_rows
from ketamine_outcomes.extract.tables import TABLES, Extract

DEMO = Path(__file__).parents[2] / "data" / "mimic-iii-demo-1.4"
ADVERSE = {"infiltration", "erythema", "swelling", "pain", "leak", "phlebitis"}


class Demo(NamedTuple):
    extract: Extract
    charting: pd.DataFrame
    sites: pd.DataFrame
    findings: pd.DataFrame


@pytest.fixture(scope="module")
def demo() -> Demo:
    extract = mimic_iii.read(DEMO)
    notes: list[str] = []
    admissions = read_rows(DEMO, "admissions")
    people = mimic_iii.read_patients(read_rows(DEMO, "patients"), admissions, notes)
    icu = mimic_iii.read_icu_stays(read_rows(DEMO, "icustays"), admissions, people, notes)
    charting = mimic_iii_charting.read_charting(mimic_iii.read_chart(DEMO, icu, notes))
    sites, findings, _ = mimic_iii_sites.build_sites(
        charting[charting["icustay_id"].notna()], mimic_iii._lines(DEMO, notes), icu
    )
    return Demo(extract, charting, sites, findings)


def count(rows: pd.DataFrame, unit: list[str]) -> tuple[int, int, int]:
    """Return units, units with an adverse finding, and those not adverse at first sight."""
    rows = rows.assign(adverse_time=rows["time"].where(rows["sign"].isin(ADVERSE)))
    by = rows.groupby(unit, dropna=False)
    first, adverse = by["time"].min(), by["adverse_time"].min()
    return len(first), int(adverse.notna().sum()), int((adverse > first).sum())


def inspections(charting: pd.DataFrame) -> pd.DataFrame:
    return charting[charting["charted_as"].isin(["appearance", "scale"])]


def test_the_independent_count_is_of_stay_and_gauge_or_slot(demo: Demo) -> None:
    seen = inspections(demo.charting)
    assert count(seen, ["patient_id", "icustay_id", "label"]) == (238, 37, 31)
    assert seen["patient_id"].nunique() == 95


def test_scale_rows_taken_as_lines_double_count(demo: Demo) -> None:
    seen = inspections(demo.charting)
    unit = ["patient_id", "icustay_id", "label", "scale"]
    assert count(seen, unit)[0] == 261


def test_one_of_the_238_is_a_single_row_outside_every_stay(demo: Demo) -> None:
    seen = inspections(demo.charting)
    assert int(seen["icustay_id"].isna().sum()) == 1
    assert count(seen[seen["icustay_id"].notna()], ["icustay_id", "label"]) == (237, 37, 31)


def test_cannulas_behind_the_groups(demo: Demo) -> None:
    sites = demo.extract.tables["infusion_sites"]
    assert (len(sites), sites["patient_id"].nunique()) == (325, 95)
    kinds = sites["site_episode_id"].str.split("-").str[0].value_counts().to_dict()
    assert kinds == {"mv": 176, "cv": 145, "mvc": 4}
    assert int(sites["end_inferred"].sum()) == 149
    assert demo.sites.groupby("system")["patient_id"].nunique().to_dict() == {
        "carevue": 46,
        "metavision": 49,
    }


def test_events_of_the_cannulas_without_reasons_of_removal(demo: Demo) -> None:
    findings = demo.findings[demo.findings["charted_as"] != "reason"]
    assert count(findings, ["site_episode_id"])[1:] == (38, 31)


def test_events_of_the_cannulas_as_delivered(demo: Demo) -> None:
    events = demo.extract.tables["site_events"]
    assert count(events, ["site_episode_id"]) == (321, 48, 40)  # four were never inspected
    adverse = events[events["sign"].isin(ADVERSE)]
    assert (len(adverse), adverse["patient_id"].nunique()) == (61, 28)
    sites = demo.extract.tables["infusion_sites"].set_index("site_episode_id")
    hurt = sites.loc[adverse["site_episode_id"].unique()]
    assert sites["device"].fillna("").value_counts().to_dict() == {
        "20G": 153,
        "18G": 120,
        "22G": 34,
        "16G": 13,
        "14G": 4,
        "": 1,
    }
    assert hurt["device"].fillna("").value_counts().to_dict() == {
        "20G": 21,
        "18G": 17,
        "22G": 7,
        "16G": 1,
        "14G": 1,
        "": 1,
    }


def test_sixteen_gauge_has_an_event_only_as_a_reason_of_removal(demo: Demo) -> None:
    gauge = demo.sites.set_index("site_episode_id")["device"]
    adverse = demo.findings[demo.findings["sign"].isin(ADVERSE)]
    sixteen = adverse[adverse["site_episode_id"].map(gauge) == "16G"]
    assert sixteen["charted_as"].tolist() == ["reason"]


def test_every_group_with_an_event_keeps_it_and_one_slot_has_two(demo: Demo) -> None:
    seen = inspections(demo.charting)
    groups = {
        tuple(key) for key in seen.loc[seen["sign"].isin(ADVERSE), ["icustay_id", "label"]].values
    }
    findings = demo.findings[demo.findings["charted_as"] != "reason"]
    hurt = set(findings.loc[findings["sign"].isin(ADVERSE), "site_episode_id"])
    sites = demo.sites[demo.sites["site_episode_id"].isin(hurt)]
    slot_of = demo.charting.set_index("row_id")["label"]
    labels = [
        device if name.startswith("mv") else slot_of[int(name.split("-")[1])]
        for name, device in zip(sites["site_episode_id"], sites["device"], strict=True)
    ]
    assert set(zip(sites["icustay_id"], labels, strict=True)) == groups
    assert len(sites) == len(groups) + 1


def test_half_of_the_charted_ends_are_icu_exits_not_removals(demo: Demo) -> None:
    sites = demo.sites[demo.sites["system"] == "metavision"]
    exits = sites["end_reason"].isin(["transferred", "discharged", "died"])
    assert int((exits & ~sites["end_inferred"].astype(bool)).sum()) == 93


def test_findings_lie_within_their_episode_and_keys_are_unique(demo: Demo) -> None:
    sites, events = (demo.extract.tables[n] for n in ("infusion_sites", "site_events"))
    both = events.merge(sites, on=["patient_id", "site_episode_id"], validate="many_to_one")
    assert len(both) == len(events)
    assert ((both["start"] <= both["time"]) & (both["time"] <= both["end"])).all()
    for name, table in demo.extract.tables.items():
        assert not table.duplicated(list(TABLES[name].key)).any(), name


def test_every_word_is_in_the_schema(demo: Demo) -> None:
    for name, table in demo.extract.tables.items():
        for column in TABLES[name].columns:
            values = table[column.name].dropna()
            if column.required and column.name != "score":
                assert len(values) == len(table), (name, column.name)
            if column.words:
                assert set(values) <= set(column.words), (name, column.name)


def test_the_other_domains(demo: Demo) -> None:
    tables = demo.extract.tables
    pain = tables["pain_scores"]
    assert pain["state"].value_counts().to_dict() == {"scored": 666, "unassessable": 498}
    assert int((pain["score"] == 0).sum()) == 359
    assert len(tables["stays"]) == 3 * 136
    opioid = tables["doses"]["drug"].str.contains(
        "fentanyl|morphine|hydromorphone|meperidine|methadone", case=False
    )
    assert tables["doses"].loc[opioid, "patient_id"].nunique() == 46


def test_notes_hold_counts_but_no_identifiers(demo: Demo) -> None:
    tables = demo.extract.tables
    text = " ".join(demo.extract.notes)
    found = set(re.findall(r"\d{5,}", text))
    people = set(tables["patients"]["patient_id"])
    assert demo.extract.notes
    assert not found & people
