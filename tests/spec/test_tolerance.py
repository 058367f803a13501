"""Opioid tolerance: at least one threshold of the FDA on each of the seven days before index."""

from __future__ import annotations

import pandas as pd
import pytest

from ketamine_outcomes.exposure.factors import FactorTable
from ketamine_outcomes.exposure.tolerance import DAYS, daily_doses, opioid_tolerance, thresholds

ZERO = pd.Timestamp("2150-03-04")
FACTORS = "cdc2022+inpatient"


def moment(hour):
    return ZERO + pd.Timedelta(hours=hour)


def dose(hour, drug, mg, route="oral", form_class="ir", **cells):
    """Return one dose, in hours from index."""
    row = {
        "unit_id": "p1",
        "index_time": ZERO,
        "drug": drug,
        "drug_class": "opioid",
        "route": route,
        "form_class": form_class,
        "kind": "bolus",
        "start": moment(hour),
        "end": moment(hour),
        "mg": float(mg),
        "rate_mcg_per_h": float("nan"),
        "counted": True,
    }
    return {**row, **cells}  # fmt: skip


def daily(drug, mg, **cells):
    """Return the same dose at noon of each of the seven days."""
    return [dose(24 * day + 12, drug, mg, **cells) for day in DAYS]


def patch(drug, mcg_per_h, start, end):
    return dose(start, drug, float("nan"), "transdermal", "patch", kind="patch", end=moment(end),
                rate_mcg_per_h=float(mcg_per_h))  # fmt: skip


def days(rows, hours=24.0, factors=FACTORS, units=("p1",)):
    """Return the seven days; `hours` observed, a number or by day."""
    units = pd.DataFrame({"unit_id": list(units)}, dtype="object")
    by_day = hours if isinstance(hours, dict) else dict.fromkeys(DAYS, hours)
    observed = pd.DataFrame(
        [{"unit_id": unit, "day": day, "hours_observed": by_day.get(day, 24.0)}
         for unit in units["unit_id"] for day in DAYS],
        columns=["unit_id", "day", "hours_observed"],
    ).astype({"day": "int64", "hours_observed": "float64"})  # fmt: skip
    pieces = pd.DataFrame(rows, columns=list(dose(0, "", 0)))
    pieces = pieces.astype({name: "datetime64[us]" for name in ("index_time", "start", "end")})
    return daily_doses(units, pieces, observed, FactorTable(factors))


def tolerant(rows, **more):
    return opioid_tolerance(days(rows, **more)).iloc[0]


def test_the_thresholds_of_the_labelling():
    assert thresholds() == {
        ("morphine", "oral", "any"): 60,
        ("oxycodone", "oral", "any"): 30,
        ("hydromorphone", "oral", "any"): 8,
        ("oxymorphone", "oral", "any"): 25,
        ("hydrocodone", "oral", "any"): 60,
        ("fentanyl", "transdermal", "patch"): 25,
    }


@pytest.mark.parametrize(
    ("drug", "mg"),
    [("morphine", 60), ("oxycodone", 30), ("hydromorphone", 8), ("oxymorphone", 25),
     ("hydrocodone", 60)],
)  # fmt: skip
@pytest.mark.parametrize("form_class", ["ir", "er"])
def test_each_threshold(drug, mg, form_class):
    assert tolerant(daily(drug, mg, form_class=form_class))["opioid_tolerant"] == "tolerant"
    below = tolerant(daily(drug, mg - 0.001, form_class=form_class))
    assert below["opioid_tolerant"] == "not_tolerant"
    assert (below["n_days_met"], below["n_days_observed"]) == (0, 7)


def test_the_rule_is_not_60_mme_a_day():
    # 30 mg of oxycodone are 45 MME, 8 mg of hydromorphone 40 MME.
    for drug, mg in (("oxycodone", 30), ("hydromorphone", 8)):
        found = tolerant(daily(drug, mg))
        assert found["opioid_tolerant"] == "tolerant"
        assert found["opioid_tolerant_flat"] == "not_tolerant"
    # 59 mg of hydrocodone and 1 mg of oxycodone more are 60.5 MME.
    found = tolerant(daily("hydrocodone", 58) + daily("oxycodone", 1.5))
    assert found["opioid_tolerant_flat"] == "tolerant"
    assert days(daily("hydrocodone", 58) + daily("oxycodone", 1.5))["mme"].tolist() == [60.25] * 7
    assert found["opioid_tolerant"] == "tolerant"  # 58/60 + 1.5/30 = 1.0167


def test_shares_of_several_drugs_add_to_exactly_one():
    rows = daily("morphine", 20) + daily("oxycodone", 10) + daily("hydromorphone", 8 / 3)
    assert days(rows)["fraction"].tolist() == [1] * 7
    assert tolerant(rows)["opioid_tolerant"] == "tolerant"


def test_a_patch_counts_by_its_label_rate_and_the_hours_worn():
    worn = days([patch("fentanyl", 25, -200, -12)])
    assert worn["fraction"].tolist() == [1] * 6 + [0.5]
    two = [patch("fentanyl", 25, -200, -12), patch("fentanyl", 50, -12, 40)]
    assert days(two)["fraction"].tolist() == [1] * 6 + [1.5]
    assert tolerant(two)["opioid_tolerant"] == "tolerant"
    assert days(two)["mme"].tolist() == [60] * 6 + [30 + 60]


def test_what_has_no_threshold_counts_as_mme_over_60():
    # Morphine by vein: 3 MME a mg; 20 mg a day are 60 MME.
    iv = daily("morphine", 20, route="iv", form_class="bolus")
    assert days(iv)["fraction"].tolist() == [1] * 7
    assert tolerant(iv)["opioid_tolerant"] == "tolerant"
    half = daily("morphine", 10, route="iv", form_class="bolus") + daily("oxycodone", 15)
    assert days(half)["fraction"].tolist() == [1] * 7


def test_an_infusion_is_shared_between_its_days():
    running = [dose(-60, "morphine", 48, "iv", "infusion", kind="interval", end=moment(-12))]
    assert days(running)["mme"].tolist() == [0, 0, 0, 0, 36, 72, 36]


def test_the_tier_of_methadone_follows_from_the_day():
    rows = daily("methadone", 15, form_class="ir") + daily("methadone", 15, form_class="er")
    assert days(rows, factors="cdc2016")["mme"].tolist() == [30 * 8] * 7
    assert days(daily("methadone", 15), factors="cdc2016")["mme"].tolist() == [15 * 4] * 7
    assert days(daily("methadone", 15))["fraction"].tolist() == [15 * 4.7 / 60] * 7


def test_a_day_begins_with_its_first_instant_and_index_belongs_to_none():
    rows = [dose(-168, "morphine", 60), dose(-24, "morphine", 60), dose(0, "morphine", 60),
            dose(-168.001, "morphine", 60)]  # fmt: skip
    assert days(rows)["fraction"].tolist() == [1, 0, 0, 0, 0, 0, 1]


# --- unknown ----------------------------------------------------------------------------------


def test_an_unobserved_day_makes_it_unknown_never_not_tolerant():
    rows = [row for row in daily("morphine", 60) if row["start"] < moment(-24)]
    found = tolerant(rows, hours={-1: 0.0})
    assert found["opioid_tolerant"] == "unknown"
    assert (found["n_days_met"], found["n_days_observed"]) == (6, 6)
    assert tolerant([], hours=float("nan"))["opioid_tolerant"] == "unknown"
    assert tolerant([], hours=0.0)["opioid_tolerant"] == "unknown"
    # A day below the threshold does not make the unobserved one known.
    assert tolerant([], hours={-1: 0.0})["opioid_tolerant"] == "unknown"
    # Nor do doses outside the hours observed make a day observed.
    assert tolerant(daily("morphine", 60), hours={-1: 0.0})["opioid_tolerant"] == "unknown"


def test_seven_observed_days_without_an_opioid_are_not_tolerant():
    found = tolerant([])
    assert found["opioid_tolerant"] == "not_tolerant"
    assert (found["n_days_met"], found["n_days_observed"]) == (0, 7)


def test_a_partial_day_counts_where_what_is_known_reaches_the_threshold():
    assert tolerant(daily("morphine", 60), hours={-7: 5.4})["opioid_tolerant"] == "tolerant"
    short = [row for row in daily("morphine", 60) if row["start"] > moment(-144)]
    found = tolerant([*short, dose(-150, "morphine", 59)], hours={-7: 5.4})
    assert found["opioid_tolerant"] == "unknown"
    assert (found["n_days_met"], found["n_days_observed"]) == (6, 7)


@pytest.mark.parametrize(
    "uncounted",
    [
        dose(-12, "oxycodone", float("nan"), counted=False),
        dose(-12, "meperidine", 50),  # no factor by mouth in the default sets
        dose(-12, "buprenorphine", 8, "sublingual", "film", counted=False),
        dose(-12, "morphine", float("nan"), None, None, counted=False),
        patch("fentanyl", float("nan"), -20, 0),
    ],
)
def test_an_opioid_that_cannot_be_counted_makes_its_day_a_lower_bound(uncounted):
    assert tolerant([*daily("morphine", 60), uncounted])["opioid_tolerant"] == "tolerant"
    rest = [row for row in daily("morphine", 60) if row["start"] < moment(-24)]
    assert tolerant([*rest, uncounted])["opioid_tolerant"] == "unknown"


def test_a_threshold_needs_no_factor():
    # No factor for oral hydromorphone in this set, and none is needed.
    rows = daily("hydromorphone", 8)
    found = tolerant(rows, factors="inpatient")
    assert found["opioid_tolerant"] == "tolerant"
    assert found["opioid_tolerant_flat"] == "unknown"


def test_other_drugs_are_no_opioids():
    rows = daily("ketamine", 60, drug_class="ketamine")
    assert tolerant(rows)["opioid_tolerant"] == "not_tolerant"


def test_no_patient_no_row():
    assert days([], units=()).empty
    assert opioid_tolerance(days([], units=())).empty


def test_units_do_not_mix():
    rows = [*daily("morphine", 60), *daily("morphine", 30, unit_id="p2")]
    found = opioid_tolerance(days(rows, units=("p1", "p2", "p3")))
    assert found.set_index("unit_id")["opioid_tolerant"].to_dict() == {
        "p1": "tolerant", "p2": "not_tolerant", "p3": "not_tolerant",
    }  # fmt: skip
