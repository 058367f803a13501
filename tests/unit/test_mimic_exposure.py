"""Exposure on the real charts: every dose row has one class, and the traps of the sources hold."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from ketamine_outcomes.exposure import drugs
from ketamine_outcomes.exposure.charting import Assumptions
from ketamine_outcomes.exposure.classify import Exposure, classify
from ketamine_outcomes.extract.readers import mimic_iii, mimic_iv
from ketamine_outcomes.extract.tables import Extract

DATA = Path(__file__).parents[2] / "data"
Chart = tuple[Extract, Exposure]
#: Opioid rows by class and reason: of 50 313 and 15 673 dose rows.
COUNTS_IV = {
    "converted": 2945,
    "duplicate:lower_priority_feed": 241,
    "excluded:neuraxial": 2,
    "excluded:outside_stay": 13,
    "excluded:status": 36,
    "marker:confirmation": 259,
    "marker:stop": 33,
    "unconverted:no_dose": 247,
    "unconverted:no_route": 34,
    "unconverted:unknown_unit": 37,
}
COUNTS_III = {
    "converted": 549,
    "excluded:outside_stay": 6,
    "excluded:status": 126,
    "marker:confirmation": 938,
    "marker:stop": 17,
}


@pytest.fixture(scope="module")
def fourth() -> Chart:
    extract = mimic_iv.read(DATA / "mimic-iv-demo-2.2")
    assume = Assumptions(parenteral_route="iv", feed_priority=("icu", "emar"))
    return extract, classify(extract, assume)


@pytest.fixture(scope="module")
def third() -> Chart:
    extract = mimic_iii.read(DATA / "mimic-iii-demo-1.4")
    return extract, classify(extract, Assumptions())


def charted(chart: Chart) -> pd.DataFrame:
    """Return the ledger with the cells of its rows."""
    extract, exposure = chart
    return exposure.ledger.merge(extract.tables["doses"], on=["dose_id", "patient_id"])


@pytest.mark.parametrize("name", ["third", "fourth"])
def test_every_row_is_in_the_ledger_once_and_every_opioid_has_its_class(
    name: str, request: pytest.FixtureRequest
) -> None:
    chart: Chart = request.getfixturevalue(name)
    extract, exposure = chart
    assert exposure.ledger["dose_id"].tolist() == extract.tables["doses"]["dose_id"].tolist()
    rows = charted(chart)
    for drug, row_class in zip(rows["drug"], rows["class"], strict=True):
        found = drugs.resolve(drug)
        opioid = found is not None and found.drug_class == "opioid"
        assert opioid == (row_class != "non_opioid")
    reasons = exposure.ledger.loc[exposure.ledger["class"] != "converted", "reason"]
    assert (reasons != "").all()


def counts(chart: Chart) -> dict[str, int]:
    ledger = chart[1].ledger
    opioid = ledger[ledger["drug_class"] == "opioid"]
    names = opioid["class"] + opioid["reason"].map(lambda word: f":{word}" if word else "")
    return {str(name): int(n) for name, n in names.value_counts().sort_index().items()}


def test_counts_of_the_fourth(fourth: Chart) -> None:
    assert counts(fourth) == COUNTS_IV


def test_counts_of_the_third(third: Chart) -> None:
    assert counts(third) == COUNTS_III


def test_a_pump_check_says_that_it_delivered_and_not_how_much(fourth: Chart) -> None:
    rows = charted(fourth)
    checks = rows[rows["form"].eq("pca_demand") & rows["amount"].isna()]
    given = checks[~checks["class"].isin(["excluded", "marker", "duplicate"])]
    assert len(given) > 200
    assert set(given["reason"]) == {"no_dose"}


def test_a_share_of_a_running_rate_is_no_dose(fourth: Chart) -> None:
    rows = charted(fourth)
    shares = rows[rows["amount_unit"].eq("% of current infusion rate")]
    shares = shares[shares["class"] != "non_opioid"]
    assert len(shares) > 0
    assert set(shares["class"]) <= {"unconverted", "duplicate", "excluded"}


def test_an_infusion_that_began_a_minute_before_admission_counts_from_admission(
    fourth: Chart,
) -> None:
    extract, exposure = fourth
    mine = exposure.intervals[
        exposure.intervals["patient_id"].eq("10022041") & exposure.intervals["drug"].eq("fentanyl")
    ]
    rows = extract.tables["doses"]
    (early,) = rows.loc[
        rows["patient_id"].eq("10022041") & rows["drug"].str.startswith("Fentanyl")
        & rows["start"].eq(pd.Timestamp("2187-05-18 18:38")) & rows["end"].notna(), "dose_id"
    ]  # fmt: skip
    (piece,) = mine[mine["dose_id"] == early].to_dict("records")
    assert piece["start"] == pd.Timestamp("2187-05-18 18:39")
    assert piece["counted"]
    assert 1.9 < piece["mg"] < 1.94


def test_no_long_infusion_is_refused_for_its_total(third: Chart) -> None:
    assert "implausible_unit" not in set(third[1].ledger["reason"])
    fentanyl = third[1].intervals.query("drug == 'fentanyl' and kind == 'interval'")
    assert (fentanyl["mg"] > 5).any()
