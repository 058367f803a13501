"""The worked cases of the inpatient engine, each by its id and source, and more of their kinds.

The rows of a case are charted here as the contract charts them; the expected values are read
from the case. Every case goes through `derive_mme`, as a user would go.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import mme_support
import pandas as pd
import pytest

from ketamine_outcomes.exposure.charting import Assumptions
from ketamine_outcomes.mme import DerivedMME, derive_mme

CASES = {param.values[0]["id"]: param.values[0] for param in mme_support.cases("engine_spec")}
FENTANYL = {"drug": "fentanyl", "route": "iv", "form": "infusion", "rate_unit": "mcg/h"}
PATCH = {"drug": "fentanyl", "route": "transdermal", "form": "patch", "rate_unit": "mcg/h"}
STAY = [("D1 00:00", "D9 00:00")]


def at(text: str | None) -> str | None:
    """Return `D2 04:00` as a date of 2150."""
    if text is None:
        return None
    day, clock = text.split()
    return f"2150-03-{int(day[1:]) + 9:02d}T{clock}"


def derive(*rows: dict[str, Any], stays: Any = None, **more: Any) -> DerivedMME:
    table = pd.DataFrame([{"patient_id": "p", **row} for row in rows])
    for column in ("start", "end"):
        if column in table:
            table[column] = [at(cell) if isinstance(cell, str) else None for cell in table[column]]
    if stays is not None:
        more["stays"] = pd.DataFrame(
            [
                {"patient_id": "p", "start": at(a), "end": at(b), "end_reason": "discharged"}
                for a, b, *_ in stays
            ]
        )
    if "index" in more:
        more["index"] = pd.DataFrame([{"patient_id": "p", "index_time": at(more["index"])}])
    return derive_mme(table, **more)


def days(found: DerivedMME) -> dict[str, float]:
    """Return MME by day (D1 ...) with any."""
    table = found.mme[found.mme["mme"] > 0]
    return {
        f"D{int(start[8:10]) - 9}": mme
        for start, mme in zip(table["window_start"], table["mme"], strict=True)
    }


def total(found: DerivedMME) -> float:
    return float(found.mme["mme"].sum())


def expect(case_id: str, key: str) -> Any:
    return CASES[case_id]["expected"][key]


def close(value: float) -> Any:
    return pytest.approx(value, abs=1e-6)


INFUSION_OVER_MIDNIGHT = {**FENTANYL, "start": "D1 20:00", "end": "D2 04:00", "rate": 50}


def spec_01() -> None:
    found = days(derive(INFUSION_OVER_MIDNIGHT))
    assert found == {"D1": close(expect("spec-01", "D1")), "D2": close(expect("spec-01", "D2"))}
    assert sum(found.values()) == close(expect("spec-01", "total"))


def spec_02() -> None:
    found = derive(INFUSION_OVER_MIDNIGHT, index="D1 22:00", windows="bins:24h").mme
    bins = dict(zip(found["window_start_hours"], found["mme"], strict=True))
    assert bins == {-24: close(expect("spec-02", "bin_-1")), 0: close(expect("spec-02", "bin_0"))}


def spec_03() -> None:
    found = derive(
        {**FENTANYL, "start": "D1 12:00", "status": "new_bag"},
        {**FENTANYL, "start": "D1 12:00", "status": "started", "rate": 25},
        {**FENTANYL, "start": "D1 18:00", "status": "rate_change", "rate": 50},
        {**FENTANYL, "start": "D1 20:00", "status": "new_bag", "rate": 50},
        {**FENTANYL, "start": "D2 00:00", "status": "stopped"},
    )
    assert days(found) == {"D1": close(expect("spec-03", "D1"))}
    assert found.ledger["class"].tolist() == [
        "marker", "converted", "converted", "marker", "marker"
    ]  # fmt: skip


def spec_04() -> None:
    found = derive(
        {**FENTANYL, "start": "D1 12:00", "status": "started", "rate": 25},
        stays=[("D1 00:00", "D1 18:00")],
    )
    assert days(found)["D1"] == close(expect("spec-04", "D1"))
    assert expect("spec-04", "flag") in found.mme["flags"].iloc[0].split(";")
    assert expect("spec-04", "flag") in found.ledger["flags"].iloc[0].split(";")


def spec_05() -> None:
    found = derive(
        {**FENTANYL, "start": "D1 10:00", "status": "started", "rate": 50},
        {**FENTANYL, "start": "D1 11:00", "status": "bolus_from_bag", "amount": 50,
         "amount_unit": "mcg"},
        {**FENTANYL, "start": "D1 12:00", "status": "stopped"},
    )  # fmt: skip
    assert days(found) == {"D1": close(expect("spec-05", "D1"))}


def spec_06() -> None:
    pca = {"drug": "hydromorphone", "route": "iv", "form": "pca_demand", "amount_unit": "mg"}
    demands = [
        {**pca, "start": f"D1 {8 + i // 2:02d}:{30 * (i % 2):02d}", "amount": 0.2,
         "status": "delivered"}
        for i in range(15)
    ]  # fmt: skip
    attempts = [{**row, "status": "attempt"} for row in demands[:10]]
    basal = {**pca, "form": "pca_basal", "start": "D1 08:00", "end": "D1 16:00", "rate": 0.1,
             "rate_unit": "mg/h"}  # fmt: skip
    found = derive(*demands, *attempts, basal)
    assert days(found) == {"D1": close(expect("spec-06", "D1"))}


def spec_07() -> None:
    reading = {"drug": "hydromorphone", "route": "iv", "form": "pca_reading", "amount_unit": "mg"}
    found = derive(
        {**reading, "start": "D1 08:00", "amount": 1.0},
        {**reading, "start": "D1 16:00", "amount": 4.0},
        {**reading, "start": "D1 16:05", "amount": 0.0},
        {**reading, "start": "D1 20:00", "amount": 2.0},
    )
    assert total(found) == close(expect("spec-07", "mme_08_20"))


def spec_08() -> None:
    found = days(
        derive(
            {**PATCH, "start": "D1 09:00", "rate": 25, "status": "applied"},
            {**PATCH, "start": "D4 09:00", "status": "removed"},
        )
    )
    for day in ("D1", "D2", "D3", "D4"):
        assert found[day] == close(expect("spec-08", day))
    assert sum(found.values()) == close(expect("spec-08", "total"))


def spec_09() -> None:
    found = derive({**PATCH, "start": "D1 09:00", "rate": 25, "status": "applied"})
    assert total(found) == close(expect("spec-09", "total"))
    assert found.ledger["flags"].iloc[0] == expect("spec-09", "flag")


def spec_10() -> None:
    found = derive(
        {**PATCH, "start": "D1 09:00", "rate": 25, "status": "applied"},
        {**PATCH, "start": "D3 09:00", "rate": 50, "status": "applied"},
        {**PATCH, "start": "D5 09:00", "status": "removed"},
    )
    assert total(found) == close(expect("spec-10", "total"))


def spec_11() -> None:
    found = derive(
        {**PATCH, "start": "D1 09:00", "rate": 25, "status": "applied", "site": "left arm"},
        {**PATCH, "start": "D3 09:00", "rate": 50, "status": "applied", "site": "right arm"},
        {**PATCH, "start": "D5 09:00", "status": "removed", "site": "right arm"},
    )
    assert total(found) == close(expect("spec-11", "total"))


def spec_12() -> None:
    tablet = {"drug": "hydrocodone-acetaminophen 5-325 mg", "route": "oral", "form": "tablet",
              "amount": 1, "amount_unit": "tablet", "start": "D1 08:00"}  # fmt: skip
    found = derive(tablet, {**tablet, "status": "refused"})
    assert total(found) == close(expect("spec-12", "mme"))
    partial = derive({**tablet, "status": "partial"})
    assert total(partial) == close(expect("spec-12", "mme"))


def spec_13() -> None:
    found = derive({"drug": "morphine 20 mg/mL oral solution", "route": "oral", "amount": 0.5,
                    "amount_unit": "mL", "start": "D1 08:00"})  # fmt: skip
    assert total(found) == close(expect("spec-13", "mme"))


def spec_14() -> None:
    dose = {"drug": "oxycodone", "product": "oxycodone 5-10 mg range order", "route": "oral",
            "form": "tablet", "amount_unit": "mg", "start": "D1 08:00"}  # fmt: skip
    assert total(derive({**dose, "amount": 10})) == close(expect("spec-14", "mme"))
    ranged = derive({**dose, "amount": "5-10"})
    assert ranged.ledger[["class", "reason"]].values.tolist() == [["unconverted", "range"]]
    assert ranged.mme["incomplete"].tolist() == [True]


def spec_15() -> None:
    dose = {"drug": "morphine", "route": "iv", "amount_unit": "mg", "start": "D1 08:00"}
    given = derive({**dose, "amount": 2, "wasted": 2, "amount_basis": "given"})
    dispensed = derive({**dose, "amount": 4, "wasted": 2, "amount_basis": "dispensed"})
    assert total(given) == total(dispensed) == close(expect("spec-15", "mme"))


def spec_16() -> None:
    dose = {"drug": "hydromorphone", "route": "iv", "amount": 1, "amount_unit": "mg",
            "start": "D1 08:00"}  # fmt: skip
    found = derive(*({**dose, "status": word} for word in ("not_given", "held", "given")))
    assert total(found) == close(expect("spec-16", "mme"))
    assert found.mme["incomplete"].tolist() == [False]


def spec_17() -> None:
    found = derive({"drug": "fentanyl", "route": "iv", "amount": 50, "amount_unit": "mg",
                    "start": "D1 08:00"})  # fmt: skip
    row = found.ledger.iloc[0]
    assert (row["class"], row["reason"]) == ("unconverted", "implausible_unit")
    assert pd.isna(row["mme"])
    assert expect("spec-17", "flag") in row["flags"].split(";")
    assert (found.mme["mme"].iloc[0], found.mme["incomplete"].iloc[0]) == (0, True)


def spec_18() -> None:
    found = derive({"drug": "fentanyl", "route": "iv", "amount": 0.05, "amount_unit": "mg",
                    "start": "D1 08:00"})  # fmt: skip
    assert total(found) == close(expect("spec-18", "mme"))


def spec_19() -> None:
    row = {**FENTANYL, "rate": 1, "rate_unit": "mcg/kg/h", "start": "D1 08:00", "end": "D1 10:00"}
    people = pd.DataFrame([{"patient_id": "p", "weight_kg": 70}])
    assert total(derive(row, patients=people)) == close(expect("spec-19", "mme"))
    unknown = derive(row)
    assert unknown.ledger["reason"].tolist() == ["no_weight"]
    assert unknown.mme["incomplete"].tolist() == [True]


def spec_20() -> None:
    found = derive({"drug": "morphine", "route": "epidural", "amount": 3, "amount_unit": "mg",
                    "start": "D1 08:00"})  # fmt: skip
    row = found.ledger.iloc[0]
    assert (row["class"], row["reason"]) == ("excluded", expect("spec-20", "stratum"))
    assert pd.isna(row["mme"])
    assert row["flags"] == expect("spec-20", "flag")
    kept = found.by_drug[["stratum", "mg", "mme"]]
    assert kept.values.tolist()[0][:2] == ["neuraxial", 3.0]
    assert kept["mme"].isna().all()


def _methadone(*clocks: str) -> list[dict[str, Any]]:
    return [
        {"drug": "methadone", "route": "oral", "form": "tablet", "amount": 10,
         "amount_unit": "mg", "start": f"D1 {clock}"}
        for clock in clocks
    ]  # fmt: skip


def spec_21() -> None:
    found = derive(*_methadone("08:00", "14:00", "22:00"), factors="cdc2016")
    assert total(found) == close(expect("spec-21", "mme"))


def spec_22() -> None:
    found = derive(*_methadone("08:00", "14:00", "22:00"), factors="cdc2022")
    assert total(found) == close(expect("spec-22", "mme"))


def spec_23() -> None:
    found = derive(
        {"drug": "oxycodone", "route": "oral", "amount": 10, "amount_unit": "mg",
         "start": "D2 02:00"},
        stays=[("D1 00:00", "D2 06:00")],
    )  # fmt: skip
    row = found.mme.iloc[1]
    assert (row["mme"], row["hours_observed"], row["mme_per_24h"]) == (
        close(expect("spec-23", "mme_total")),
        expect("spec-23", "hours_observed"),
        close(expect("spec-23", "mme_per_24h")),
    )
    assert expect("spec-23", "flag") in row["flags"].split(";")


def spec_24() -> None:
    found = derive(
        {"drug": "oxycodone", "route": "oral", "amount": 10, "amount_unit": "mg",
         "start": "D1 02:00"},
        stays=[("D1 00:00", "D3 00:00")],
    )  # fmt: skip
    assert found.mme["mme"].tolist() == [15, expect("spec-24", "mme")]
    assert found.mme["flags"].tolist() == ["", expect("spec-24", "flag")]


def spec_25() -> None:
    rows = (
        {**PATCH, "start": "D1 00:00", "rate": 25, "status": "applied"},
        {**PATCH, "start": "D2 00:00", "status": "removed"},
        {**FENTANYL, "start": "D2 00:00", "end": "D3 00:00", "rate": 25},
    )
    found = days(derive(*rows))
    assert found["D1"] == close(expect("spec-25", "before_per_day"))
    assert found["D2"] == close(expect("spec-25", "after_per_day"))
    same = days(derive(*rows, factors="route_consistent+cdc2022+inpatient"))
    assert same["D2"] == close(expect("spec-25", "route_consistent_after"))


def spec_26() -> None:
    found = derive(
        {"drug": "remifentanil", "route": "iv", "form": "infusion", "rate": 0.1,
         "rate_unit": "mcg/kg/min", "start": "D1 08:00", "end": "D1 10:00"},
        patients=pd.DataFrame([{"patient_id": "p", "weight_kg": 70}]),
    )  # fmt: skip
    row = found.ledger.iloc[0]
    assert (row["class"], row["reason"]) == ("excluded", "remifentanil")
    assert row["flags"] == expect("spec-26", "flag")
    assert found.mme["incomplete"].tolist() == [True]


def spec_27() -> None:
    row = {**FENTANYL, "start": "D1 08:00", "end": "D1 09:00", "infusion_id": "i"}
    rate = {**row, "rate": 50}
    amount = {**row, "rate_unit": None, "amount": 50, "amount_unit": "mcg"}
    for rows in ((rate, amount), (amount, rate)):
        found = derive(*rows)
        assert total(found) == close(expect("spec-27", "mme"))
        assert sorted(found.ledger["class"]) == ["converted", "duplicate"]
    both = derive({**rate, "amount": 50, "amount_unit": "mcg"})
    assert total(both) == close(expect("spec-27", "mme"))


def spec_28() -> None:
    row = {"patient_id": "p", **FENTANYL, "rate": 50}
    known = pd.DataFrame(
        [{**row, "start": "2024-03-10T01:00:00-05:00", "end": "2024-03-10T04:00:00-04:00"}]
    )
    assert total(derive_mme(known)) == close(expect("spec-28", "mme"))
    wall = pd.DataFrame([{**row, "start": "2024-03-10T01:00:00", "end": "2024-03-10T04:00:00"}])
    assert total(derive_mme(wall)) == close(45)


TESTED = {name: check for name, check in globals().items() if name.startswith("spec_")}


@pytest.mark.parametrize("case", mme_support.cases("engine_spec"))
def test_worked_case(case: dict[str, Any]) -> None:
    TESTED[case["id"].replace("-", "_")]()


# --- more of the same kinds -------------------------------------------------------------------


def test_a_rate_of_zero_pauses_an_infusion():
    found = derive(
        {**FENTANYL, "start": "D1 08:00", "status": "started", "rate": 50},
        {**FENTANYL, "start": "D1 10:00", "status": "rate_change", "rate": 0},
        {**FENTANYL, "start": "D1 12:00", "status": "rate_change", "rate": 20},
        {**FENTANYL, "start": "D1 13:00", "status": "stopped"},
    )
    assert days(found) == {"D1": close((100 + 20) * 0.3)}
    assert found.ledger["mme"].tolist()[:3] == [close(30), 0, close(6)]


def test_a_charted_zero_is_a_real_zero():
    found = derive(
        {"drug": "morphine", "route": "oral", "amount": 0, "amount_unit": "mg",
         "start": "D1 08:00"}, stays=[("D1 00:00", "D2 00:00")],
    )  # fmt: skip
    assert found.ledger[["class", "mme"]].values.tolist() == [["converted", 0]]
    assert found.mme["flags"].tolist() == ["observed_zero"]


def test_an_unknown_rate_makes_every_window_in_which_it_runs_incomplete():
    found = derive(
        {**FENTANYL, "start": "D1 12:00", "status": "started", "rate": 5, "rate_unit": "mL/h"},
        {**FENTANYL, "start": "D2 06:00", "status": "rate_change", "rate": 50},
        {**FENTANYL, "start": "D2 08:00", "status": "stopped"},
    )
    assert found.ledger["reason"].tolist() == ["no_concentration", "", "stop"]
    assert found.mme["incomplete"].tolist() == [True, True]
    assert found.mme["mme"].tolist() == [0, close(30)]


def test_a_counter_that_falls_without_a_zero_is_a_new_counter():
    reading = {"drug": "hydromorphone", "route": "iv", "form": "pca_reading", "amount_unit": "mg"}
    clocks, amounts = ("08:00", "12:00", "16:00", "20:00"), (3.0, 7.5, 1.5, 2.0)
    found = derive(
        *(
            {**reading, "start": f"D1 {c}", "amount": a}
            for c, a in zip(clocks, amounts, strict=True)
        )
    )
    assert total(found) == close((4.5 + 1.5 + 0.5) * 20)


def test_readings_are_spread_over_midnight():
    reading = {"drug": "hydromorphone", "route": "iv", "form": "pca_reading", "amount_unit": "mg"}
    found = derive(
        {**reading, "start": "D1 22:00", "amount": 1.0},
        {**reading, "start": "D2 04:00", "amount": 4.0},
    )
    assert days(found) == {"D1": close(20), "D2": close(40)}


def test_a_buprenorphine_patch_is_worn_a_week_and_counts_only_where_a_set_says_so():
    patch = {"drug": "buprenorphine", "route": "transdermal", "form": "patch", "rate": 10,
             "rate_unit": "mcg/h", "start": "D1 00:00", "status": "applied"}  # fmt: skip
    found = derive(patch)
    assert found.ledger[["class", "reason"]].values.tolist() == [["excluded", "buprenorphine"]]
    assert found.mme["incomplete"].tolist() == [True] * 7
    counted = derive(patch, factors="heal")
    assert total(counted) == close(7 * 10 * 2.2)
    assert counted.ledger["flags"].tolist() == ["patch_removal_imputed_168h"]


def test_a_removal_without_a_site_closes_all_patches_of_the_drug():
    found = derive(
        {**PATCH, "start": "D1 00:00", "rate": 25, "status": "applied", "site": "left arm"},
        {**PATCH, "start": "D1 12:00", "rate": 50, "status": "applied", "site": "right arm"},
        {**PATCH, "start": "D2 00:00", "status": "removed"},
    )
    assert total(found) == close(25 * 2.4 + 50 * 1.2)


def test_two_patches_put_on_together_add():
    found = derive(
        {**PATCH, "start": "D1 00:00", "rate": 25, "status": "applied"},
        {**PATCH, "start": "D1 00:00", "rate": 50, "status": "applied"},
        {**PATCH, "start": "D2 00:00", "status": "removed"},
    )
    assert total(found) == close(75 * 2.4)


@pytest.mark.parametrize(
    ("doses", "per_mg"), [((20,), 4), ((20, 0.5), 8), ((40,), 8), ((60,), 10), ((60, 0.1), 12)]
)
def test_methadone_tiers_are_continuous_in_the_total_of_the_day(doses, per_mg):
    rows = [
        {"drug": "methadone", "route": "oral", "amount": mg, "amount_unit": "mg",
         "start": f"D1 {8 + i:02d}:00"}
        for i, mg in enumerate(doses)
    ]  # fmt: skip
    found = derive(*rows, factors="cdc2016")
    assert total(found) == close(sum(doses) * per_mg)
    assert found.ledger["factor"].tolist() == [per_mg] * len(doses)


def test_a_tier_is_that_of_the_calendar_day_also_in_bins():
    rows = [
        {"drug": "methadone", "route": "oral", "amount": 15, "amount_unit": "mg", "start": start}
        for start in ("D1 06:00", "D1 18:00", "D2 06:00")
    ]
    found = derive(*rows, factors="cdc2016", index="D1 12:00", windows="bins:24h").mme
    # D1 holds 30 mg (factor 8), D2 15 mg (factor 4); the bin from D1 12:00 holds one of each
    assert found["mme"].tolist() == [close(15 * 8), close(15 * 8 + 15 * 4)]


def test_dry_weight_counts_in_dialysis_and_an_implausible_weight_never():
    row = {**FENTANYL, "rate": 1, "rate_unit": "mcg/kg/h", "start": "D1 08:00", "end": "D1 10:00"}
    weights = pd.DataFrame(
        [
            {"patient_id": "p", "time": at(f"D1 0{i}:00"), "name": name, "value": kg, "unit": unit}
            for i, (name, kg, unit) in enumerate(
                [
                    ("dry_weight_kg", 60, "kg"),
                    ("weight_kg", 7000, "kg"),
                    ("weight_kg", 176.37, "lb"),
                ]
            )
        ]
    )
    people = {"patient_id": "p", "weight_kg": 50}
    dry = derive(row, measurements=weights,
                 patients=pd.DataFrame([{**people, "dialysis": "hemodialysis"}]))  # fmt: skip
    wet = derive(row, measurements=weights,
                 patients=pd.DataFrame([{**people, "dialysis": "none"}]))  # fmt: skip
    assert total(dry) == close(2 * 60 * 0.3)
    assert total(wet) == pytest.approx(2 * 176.37 * 0.45359237 * 0.3, abs=1e-6)
    assert "esrd" in dry.mme["flags"].iloc[0].split(";")
    assert "esrd" in dry.ledger["flags"].iloc[0].split(";")


def test_death_closes_an_open_infusion_before_the_stay_does():
    found = derive(
        {**FENTANYL, "start": "D1 12:00", "status": "started", "rate": 50},
        stays=[("D1 00:00", "D2 00:00")],
        patients=pd.DataFrame([{"patient_id": "p", "death_time": at("D1 14:00")}]),
    )
    assert total(found) == close(30)
    assert found.ledger["flags"].tolist() == ["open_interval_closed_by_death"]
    assert found.mme["imputed_share"].tolist() == [1]


def test_an_infusion_that_nobody_confirms_is_capped_after_a_day():
    found = derive(
        {**FENTANYL, "start": "D1 00:00", "status": "started", "rate": 10},
        {**FENTANYL, "start": "D1 20:00", "status": "verified"},
    )
    assert total(found) == close(10 * 44 * 0.3)
    assert found.ledger["flags"].iloc[0] == "open_interval_closed_by_cap"


def test_a_check_after_a_day_of_silence_starts_the_infusion_again():
    found = derive(
        {**FENTANYL, "start": "D1 00:00", "status": "started", "rate": 10},
        {**FENTANYL, "start": "D3 00:00", "status": "verified", "rate": 10},
        {**FENTANYL, "start": "D3 02:00", "status": "stopped"},
    )
    assert found.ledger["class"].tolist() == ["converted", "converted", "marker"]
    assert total(found) == close((240 + 20) * 0.3)


def test_two_pumps_with_ends_of_their_own_both_count():
    found = derive(
        {**FENTANYL, "start": "D1 08:00", "end": "D1 12:00", "rate": 50, "infusion_id": "1"},
        {**FENTANYL, "start": "D1 10:00", "end": "D1 14:00", "rate": 20, "infusion_id": "2"},
    )
    assert total(found) == close((200 + 80) * 0.3)
    assert found.ledger["flags"].tolist() == ["concurrent_infusions"] * 2


def test_one_infusion_in_two_feeds_is_the_union_of_its_times():
    row = {**FENTANYL, "rate": 50, "infusion_id": "1"}
    found = derive(
        {**row, "start": "D1 08:00", "end": "D1 12:00", "source": "a"},
        {**row, "start": "D1 10:00", "end": "D1 14:00", "source": "b"},
    )
    assert total(found) == close(50 * 6 * 0.3)


def test_a_long_infusion_is_judged_by_its_rate_not_by_its_total():
    found = derive({**FENTANYL, "start": "D1 00:00", "end": "D2 12:00", "rate": 200})
    assert total(found) == close(200 * 36 * 0.3)  # 7.2 mg in one row, 0.2 mg an hour


def test_an_index_on_a_bin_edge_belongs_to_the_bin_that_starts_there():
    dose = {"drug": "morphine", "route": "oral", "amount": 10, "amount_unit": "mg"}
    found = derive({**dose, "start": "D1 12:00"}, {**dose, "start": "D2 12:00"},
                   index="D1 12:00", windows="bins:24h").mme  # fmt: skip
    assert found["window_start_hours"].tolist() == [0, 24]
    assert found["mme"].tolist() == [10, 10]


def test_no_stay_is_no_observed_zero():
    found = derive({"drug": "morphine", "route": "oral", "amount": 10, "amount_unit": "mg",
                    "status": "held", "start": "D1 12:00"})  # fmt: skip
    assert found.mme["mme"].tolist() == [0]  # the counted part
    assert found.mme[["hours_observed", "mme_per_24h"]].isna().all(axis=None)
    assert found.mme["flags"].tolist() == [""]
    assert found.patients["median_mme"].isna().all()


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"amount": 4}, "unknown_unit"),
        ({"amount": 2, "amount_unit": "mL"}, "no_concentration"),
        ({"rate": 1, "rate_unit": "mcg/kg/h", "end": "D1 10:00"}, "no_weight"),
        ({"amount": 4, "amount_unit": "mg", "end": "D1 07:00"}, "end_before_start"),
        ({"amount": -4, "amount_unit": "mg"}, "negative"),
        ({"amount": 1e9, "amount_unit": "mg"}, "implausible_unit"),
        ({"amount": "___", "amount_unit": "mg"}, "no_dose"),
        ({"amount": "1-2", "amount_unit": "mg"}, "range"),
        ({"amount": 4, "amount_unit": "drops"}, "unknown_unit"),
        ({"drug": "wonderdrug", "amount": 4, "amount_unit": "mg"}, "unknown_drug"),
        ({"drug": "meperidine", "route": "oral", "amount": 4, "amount_unit": "mg"}, "no_factor"),
        ({"route": None, "amount": 4, "amount_unit": "mg"}, "no_route"),
        ({"start": "D1 25:00", "amount": 4, "amount_unit": "mg"}, "no_start"),
        ({"amount": 4, "amount_unit": "mg", "status": "perhaps"}, "unknown_status"),
        ({"amount": 4, "amount_unit": "mg", "amount_basis": "asked"}, "unknown_basis"),
        ({"rate": 4, "rate_unit": "mg/h", "end": "D1 08:00"}, "no_duration"),
    ],
)
def test_bad_input_is_named_and_nothing_is_lost_or_guessed(row, reason):
    good = {"drug": "morphine", "route": "iv", "start": "D1 08:00", "amount": 1,
            "amount_unit": "mg"}  # fmt: skip
    bad = {"drug": "morphine", "route": "iv", "start": "D1 08:00", **row}
    found = derive(good, bad)
    assert found.ledger[["class", "reason"]].values.tolist() == [
        ["converted", ""],
        ["unconverted", reason],
    ]
    assert {"class": "unconverted", "reason": reason, "rows": 1} in found.summary["classes"]
    assert found.mme["mme"].tolist() == [3]
    assert found.mme["incomplete"].tolist() == [reason != "no_start"]


def test_the_route_of_a_vial_is_the_cohorts_to_assume():
    dose = {"drug": "morphine", "product": "Morphine 4 mg/mL vial", "amount": 4,
            "amount_unit": "mg", "start": "D1 08:00"}  # fmt: skip
    assert derive(dose).ledger["reason"].tolist() == ["no_route"]
    assumed = derive(dose, assume=Assumptions(parenteral_route="iv", unknown_is_opioid=True))
    assert total(assumed) == close(12)
    assert assumed.ledger["flags"].tolist() == ["route_assumed"]
    assert assumed.mme["imputed_share"].tolist() == [1]


def test_antagonists_flag_their_window_and_have_no_mme():
    found = derive(
        {"drug": "morphine", "route": "iv", "amount": 4, "amount_unit": "mg", "start": "D1 08:00"},
        {"drug": "Naloxone", "route": "iv", "amount": 0.4, "amount_unit": "mg",
         "start": "D1 09:00"},
    )  # fmt: skip
    assert found.mme["flags"].tolist() == ["antagonist"]
    assert found.mme["incomplete"].tolist() == [False]
    assert found.ledger["reason"].tolist() == ["", "antagonist"]


def test_a_preconverted_dose_is_untouched_by_factor_sets():
    dose = {"drug": "morphine_equivalent", "route": "oral", "amount": 12, "amount_unit": "mg",
            "start": "D1 08:00"}  # fmt: skip
    for factors in ("cdc2022+inpatient", "cdc2022+inpatient+low", "heal"):
        found = derive(dose, factors=factors)
        assert total(found) == 12
        assert found.ledger["flags"].tolist() == ["preconverted"]


def test_own_factors(tmp_path: Path):
    file = tmp_path / "mine.csv"
    file.write_text(
        "set,drug,rxnorm_ingredient,route,form,dose_unit,factor,factor_low,factor_high,source,"
        "note,evidence\nmine,hydromorphone,,iv,any,mg,11.46,9.84,13,Reddy 2017,,\n"
    )
    dose = {"drug": "hydromorphone", "route": "iv", "amount": 24, "amount_unit": "mg",
            "start": "D1 08:00"}  # fmt: skip
    assert total(derive(dose, factors=f"{file}+inpatient")) == close(275.04)
    assert total(derive(dose, factors=f"{file}+inpatient+low")) == close(24 * 9.84)
