"""The simulated registry: same bytes, right words, and the truth that it says it holds."""

from __future__ import annotations

import csv
import json
from collections import defaultdict
from datetime import datetime
from pathlib import Path
from statistics import fmean

import pytest

from ketamine_outcomes.errors import UserError
from ketamine_outcomes.extract.tables import TABLES
from ketamine_outcomes.simulate import simulate
from ketamine_outcomes.simulate.parameters import ARMS, DAY, HOUR, Parameters
from ketamine_outcomes.simulate.patient import Patient
from ketamine_outcomes.simulate.registry import make_patient
from ketamine_outcomes.simulate.truth import expected_change, expected_score

Rows = list[dict[str, str]]


def read(folder: Path) -> dict[str, Rows]:
    """Read the CSV files with nothing but the standard library."""
    tables = {}
    for name in TABLES:
        with (folder / f"{name}.csv").open(encoding="utf-8", newline="") as stream:
            tables[name] = list(csv.DictReader(stream))
    return tables


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("registry")
    simulate(path, patients=150, seed=1)
    return path


@pytest.fixture(scope="module")
def extract(folder: Path) -> dict[str, Rows]:
    return read(folder)


@pytest.fixture(scope="module")
def truth(folder: Path) -> dict:
    return json.loads((folder / "truth.json").read_text())


@pytest.fixture(scope="module")
def cohort() -> list[Patient]:
    return [make_patient(11, i, Parameters()) for i in range(1, 2001)]


@pytest.fixture(scope="module")
def null_cohort() -> list[Patient]:
    return [make_patient(12, i, Parameters(null=True)) for i in range(1, 1201)]


def test_same_arguments_give_the_same_bytes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        simulate(tmp_path / name, patients=40, seed=7)
    files = sorted(path.name for path in (tmp_path / "a").iterdir())
    assert files == sorted([*(f"{name}.csv" for name in TABLES), "truth.json"])
    for name in files:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_another_seed_gives_another_registry(tmp_path: Path) -> None:
    for seed in (1, 2):
        simulate(tmp_path / str(seed), patients=5, seed=seed)
    assert (tmp_path / "1/doses.csv").read_bytes() != (tmp_path / "2/doses.csv").read_bytes()


def test_a_larger_registry_begins_with_the_smaller_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    simulate(tmp_path / "n50", patients=50, seed=3)
    # Another block size besides: blocks must leave no trace.
    monkeypatch.setattr("ketamine_outcomes.simulate.registry.BLOCK", 7)
    simulate(tmp_path / "n60", patients=60, seed=3)
    for name in TABLES:
        small = (tmp_path / "n50" / f"{name}.csv").read_bytes()
        assert (tmp_path / "n60" / f"{name}.csv").read_bytes().startswith(small)


def test_wrong_arguments_are_user_errors(tmp_path: Path) -> None:
    for arguments in ({"patients": 0}, {"seed": -1}):
        with pytest.raises(UserError):
            simulate(tmp_path / "x", **arguments)
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize("name", list(TABLES))
def test_columns_words_and_ranges_are_those_of_the_schema(
    name: str, extract: dict[str, Rows], folder: Path
) -> None:
    content = (folder / f"{name}.csv").read_bytes()
    assert b"\r" not in content and b'"' not in content
    schema, rows = TABLES[name], extract[name]
    assert rows and tuple(rows[0]) == schema.names
    for column in schema.columns:
        values = [row[column.name] for row in rows]
        filled = [value for value in values if value]
        if column.required and column.name != "score":
            assert len(filled) == len(values), column.name
        if column.words:
            assert set(filled) <= set(column.words), column.name
        if column.kind == "time":
            assert all(datetime.fromisoformat(v).tzinfo is None and len(v) == 19 for v in filled)
            assert all(2100 < int(value[:4]) < 2200 for value in filled)
        if column.kind == "bool":
            assert set(filled) <= {"true", "false"}
        if column.kind == "number":
            numbers = [float(value) for value in filled]
            assert all(column.minimum is None or n >= column.minimum for n in numbers)
            assert all(column.maximum is None or n <= column.maximum for n in numbers)


@pytest.mark.parametrize("name", list(TABLES))
def test_keys_are_unique_and_ids_are_known(name: str, extract: dict[str, Rows]) -> None:
    rows = extract[name]
    keys = [tuple(row[column] for column in TABLES[name].key) for row in rows]
    assert len(set(keys)) == len(keys)
    known = {row["patient_id"] for row in extract["patients"]}
    assert {row["patient_id"] for row in rows} <= known


def test_a_score_is_there_exactly_when_it_was_scored(extract: dict[str, Rows]) -> None:
    states = {row["state"] for row in extract["pain_scores"]}
    assert states == {"scored", "asleep", "unassessable"}
    for row in extract["pain_scores"]:
        assert bool(row["score"]) == (row["state"] == "scored")


def test_rows_lie_inside_the_stays_but_for_a_counted_handful(
    extract: dict[str, Rows], truth: dict
) -> None:
    observed = defaultdict(list)
    for row in extract["stays"]:
        assert row["start"] < row["end"]
        observed[row["patient_id"]].append((row["start"], row["end"], row["observes"]))
    outside = dict.fromkeys(TABLES, 0)
    for name, column, domain in (
        ("doses", "start", "doses"),
        ("pain_scores", "time", "pain_scores"),
        ("site_events", "time", "infusion_sites"),
        ("infusion_sites", "start", "infusion_sites"),
        ("events", "time", ""),
        ("measurements", "time", ""),
    ):
        for row in extract[name]:
            outside[name] += not any(
                start <= row[column] <= end and (not domain or observes in ("all", domain))
                for start, end, observes in observed[row["patient_id"]]
            )
    assert outside.pop("doses") == truth["realised_counts"]["out_of_stay_rows"]
    assert not any(outside.values())


def test_nothing_happens_after_death_and_deaths_agree(extract: dict[str, Rows]) -> None:
    death = {r["patient_id"]: r["death_time"] for r in extract["patients"] if r["death_time"]}
    assert death
    for name, table in TABLES.items():
        for column in table.columns:
            if column.kind == "time" and name != "patients":
                for row in extract[name]:
                    if row["patient_id"] in death and row[column.name]:
                        assert row[column.name] <= death[row["patient_id"]], (name, column.name)
    for row in extract["stays"]:
        dead = death.get(row["patient_id"]) == row["end"]
        assert (row["end_reason"] == "died") == dead
    for row in extract["patients"]:
        assert not row["death_time"] or row["entry_time"] < row["death_time"]


def test_site_episodes_end_after_they_start_and_carry_ketamine(extract: dict[str, Rows]) -> None:
    sites = {row["site_episode_id"]: row for row in extract["infusion_sites"]}
    assert any(not row["end"] for row in sites.values())
    complicated = {
        row["site_episode_id"]: row["time"]
        for row in extract["site_events"]
        if row["scale"] == "consequence" and float(row["grade"]) >= 2
    }
    for site, row in sites.items():
        assert not row["end"] or row["start"] < row["end"]
        assert (row["end_reason"] == "complication") == (site in complicated)
    for row in extract["site_events"]:
        site = sites[row["site_episode_id"]]
        assert site["start"] <= row["time"] and (not site["end"] or row["time"] <= site["end"])
        # No second first event: what comes after it in the same episode is part of it.
        assert row["time"] <= complicated.get(row["site_episode_id"], "9")
    fed = {row["site_episode_id"] for row in extract["doses"] if row["site_episode_id"]}
    assert fed == set(sites)
    for row in extract["doses"]:
        if row["site_episode_id"]:
            site = sites[row["site_episode_id"]]
            assert site["route"] == row["route"] and site["start"] <= row["start"]
            assert not site["end"] or row["start"] <= site["end"]


def test_charting_has_the_variety_that_readers_must_bear(extract: dict[str, Rows]) -> None:
    doses = extract["doses"]
    assert {r["status"] for r in doses} >= set(
        [
            "given",
            "started",
            "rate_change",
            "verified",
            "stopped",
            "new_bag",
            "applied",
            "removed",
            "delivered",
            "attempt",
            "not_given",
            "held",
            "refused",
        ]
    )
    assert {r["rate_unit"] for r in doses if r["drug"] == "ketamine"} >= {"mg/kg/h", "mg/h"}
    assert {r["source"] for r in doses} == {"mar", "icu"}
    assert {r["amount_unit"] for r in doses} >= {"mg", "mcg", ""}
    assert any(not r["route"] and r["product"].startswith("Tab") for r in doses)
    assert any(r["amount_basis"] == "dispensed" and r["wasted"] for r in doses)
    assert {r["scale"] for r in extract["pain_scores"]} == {"nrs", "vas"}
    assert {r["context"] for r in extract["pain_scores"]} == {"rest", "movement"}
    assert {r["status"] for r in extract["events"]} == {"present", "assessed_absent"}
    assert any(
        r["entry_time"] != s["start"]
        for r, s in zip(
            extract["patients"],
            [
                next(s for s in extract["stays"] if s["patient_id"] == r["patient_id"])
                for r in extract["patients"]
            ],
            strict=True,
        )
    )


def test_every_ketamine_rate_is_low_dose(cohort: list[Patient]) -> None:
    for p in cohort:
        for row in p.tables["doses"]:
            if row["drug"] == "ketamine" and row.get("rate"):
                rate = float(row["rate"])
                if row["rate_unit"] == "mL/h":
                    rate *= float(row["concentration"])
                if row["route"] == "iv":  # 0.05 to 0.3 mg/kg/h
                    per_kg = rate if row["rate_unit"] == "mg/kg/h" else rate / p.weight
                    assert 0.049 <= per_kg <= 0.302
                else:  # 100 to 300 mg per 24 h, give or take the pump's last digit
                    assert 99 <= rate * 24 <= 302


# --- recovery: what the truth says is what the rows hold ---------------------------------------

FACTOR = {
    "oxycodone": {"oral": 1.5},
    "hydromorphone": {"oral": 5.0, "iv": 20.0},
    "morphine": {"oral": 1.0, "iv": 3.0},
    "methadone": {"oral": 4.7},
    "fentanyl": {"iv": 300.0},
}


def mme_between(p: Patient, since: int, until: int) -> float:
    """Sum MME over [since, until) with a few plain loops, apart from the simulator's own sums."""
    total = 0.0
    pump: tuple[int, float] | None = None
    worn: dict[object, tuple[int, float]] = {}
    spans: list[tuple[int, int, float]] = []  # start, end, MME per hour
    end = p.hospital[1]
    for row in p.tables["doses"]:
        time, status, drug = int(row["start"]), row["status"], row["drug"]
        if row.get("source") == "icu" or drug == "ketamine" or drug not in FACTOR:
            continue
        if row.get("form") == "patch":
            if status == "applied":
                worn[row["site"]] = (time, float(row["rate"]))
            else:
                began, rate = worn.pop(row["site"])
                spans.append((began, time, rate * 0.1))
        elif row.get("form") == "infusion":
            if pump:
                spans.append((pump[0], time, pump[1] * 0.3))
            pump = None if status == "stopped" else (time, float(row["rate"]))
        elif status in ("given", "delivered") and row.get("amount_unit"):
            if not since <= time < until or not 0 <= time < end:
                continue
            mg = (float(row["amount"]) - float(row.get("wasted") or 0)) * (
                0.001 if row["amount_unit"] == "mcg" else 1
            )
            total += mg * FACTOR[drug][row["route"] or "oral"]
    spans += [(began, end, rate * 0.1) for began, rate in worn.values() if began < end]
    for began, stopped, rate in spans:
        total += max(0, min(stopped, until, end) - max(began, since)) / HOUR * rate
    return total


def mme_ratio(patients: list[Patient], arm: str, after: tuple[int, int] = (24, 72)) -> float:
    sums = [[0.0, 0.0], [0.0, 0.0]]
    for p in patients:
        if p.arm != arm or p.hospital[1] <= p.index:
            continue
        for k, (a, b) in enumerate(((-72, 0), after)):
            since = max(0, p.index + a * HOUR)
            until = min(p.hospital[1], p.index + b * HOUR)
            if until > since:
                sums[k][0] += mme_between(p, since, until) / p.mme
                sums[k][1] += (until - since) / DAY
    # Each patient's need is a common factor, so dividing by it costs no truth and much noise.
    return (sums[1][0] / sums[1][1]) / (sums[0][0] / sums[0][1])


@pytest.mark.parametrize(("arm", "ratio"), [("iv", 0.65), ("sc", 0.75), ("untreated", 1.0)])
def test_mme_ratio_is_recovered(cohort: list[Patient], arm: str, ratio: float) -> None:
    # The ratio's Monte Carlo SE is about 0.006 (iv), 0.008 (sc), 0.010 (untreated).
    assert mme_ratio(cohort, arm) == pytest.approx(ratio, abs=0.03)
    assert mme_ratio(cohort, arm, (0, 24)) == pytest.approx((1 + ratio) / 2, abs=0.04)


def test_mme_level_is_the_patients_need(cohort: list[Patient]) -> None:
    before = [
        mme_between(p, p.index - 3 * DAY, p.index) / 3 / p.mme
        for p in cohort
        if p.index >= 3 * DAY and p.hospital[1] >= p.index
    ]
    assert fmean(before) == pytest.approx(1.0, abs=0.015)


def pain_change(patients: list[Patient], arm: str, window: tuple[int, int]) -> float:
    changes = []
    for p in patients:
        if p.arm != arm:
            continue
        means = []
        for a, b in ((-24, 0), window):
            scores = [
                float(row["score"])
                for row in p.tables["pain_scores"]
                if row["state"] == "scored"
                and row["scale"] == "nrs"
                and row["context"] == "rest"
                and p.index + a * HOUR <= int(row["time"]) < p.index + b * HOUR
            ]
            if len(scores) >= 2:
                means.append(fmean(scores))
        if len(means) == 2:
            changes.append(means[1] - means[0])
    return fmean(changes)


@pytest.mark.parametrize("window", [(24, 48), (48, 72)])
def test_pain_change_is_recovered(cohort: list[Patient], window: tuple[int, int]) -> None:
    expected = expected_change(Parameters())["change_observed"][f"[{window[0]},{window[1]})"]
    for arm in ARMS:  # SE about 0.04 to 0.05
        assert pain_change(cohort, arm, window) == pytest.approx(expected[arm], abs=0.15)


def test_expected_score_is_the_mean_of_a_rounded_clipped_normal() -> None:
    assert expected_score(5.0, 1.2) == pytest.approx(5.0, abs=1e-4)
    assert expected_score(6.5, 1e-9) == pytest.approx(6.5)  # halfway: 6 or 7
    assert expected_score(30.0, 1.0) == pytest.approx(10.0)
    assert expected_score(-30.0, 1.0) == pytest.approx(0.0)


def site_rate(patients: list[Patient], route: str) -> tuple[float, int]:
    """Events per site-day from the rows alone: first ketamine to first event or removal."""
    days, events = 0.0, 0
    for p in patients:
        first: dict[object, int] = {}
        for row in p.tables["doses"]:
            if row.get("site_episode_id"):
                first.setdefault(row["site_episode_id"], int(row["start"]))
        acted = {
            row["site_episode_id"]: (int(row["time"]), row["attribution"])
            for row in p.tables["site_events"]
            if row["scale"] == "consequence" and int(row["grade"]) >= 2
        }
        for row in p.tables["infusion_sites"]:
            if row["route"] != route:
                continue
            site = row["site_episode_id"]
            removed = p.hospital[1] if row["end"] is None else int(row["end"])
            time, why = acted.get(site, (removed, None))
            days += (time - first[site]) / DAY
            events += why in ("infusion", "unclear")
    return events / days, events


def test_site_hazards_are_recovered(cohort: list[Patient]) -> None:
    for route, hazard in Parameters().site_hazard.items():
        rate, events = site_rate(cohort, route)
        assert events > 100
        assert abs(rate / hazard - 1) < 4 * events**-0.5


def test_mortality_is_recovered(cohort: list[Patient]) -> None:
    deaths = sum(p.death is not None for p in cohort)
    ends = []
    for p in cohort:
        end = max(int(row["end"]) for row in p.tables["stays"])
        ends.append((end if p.death is None else p.death) - p.entry)
    rate = deaths / (sum(ends) / DAY / 365.25) * 100
    assert abs(rate / 72 - 1) < 4 * deaths**-0.5
    assert 12 < deaths / len(cohort) * 100 < 20


def test_arms_have_the_planned_shares_and_are_confounded(cohort: list[Patient]) -> None:
    shares = expected_change(Parameters())["planned_arm_shares"]
    for arm, share in (("iv", 0.45), ("sc", 0.30), ("untreated", 0.25)):
        assert shares[arm] == pytest.approx(share, abs=0.002)
        assert sum(p.planned == arm for p in cohort) / len(cohort) == pytest.approx(share, abs=0.04)
    pain = {arm: fmean(p.pain for p in cohort if p.arm == arm) for arm in ARMS}
    assert pain["iv"] > pain["sc"] > pain["untreated"]
    switched = sum(p.counts["route_switches"] for p in cohort)
    treated = sum(p.arm != "untreated" for p in cohort)
    assert switched / treated == pytest.approx(0.08, abs=0.025)


def test_untreated_never_had_ketamine_and_the_others_started_at_index(
    cohort: list[Patient],
) -> None:
    for p in cohort:
        rows = [row for row in p.tables["doses"] if row["drug"] == "ketamine"]
        assert bool(rows) == (p.arm != "untreated")
        if rows:
            assert rows[0]["start"] == p.index and rows[0]["route"] == p.arm
            assert 2.5 * DAY <= p.index <= 5.5 * DAY


def test_null_registry_holds_no_effect(null_cohort: list[Patient]) -> None:
    m = Parameters(null=True)
    assert set(m.mme_ratio.values()) == {1.0} and set(m.pain_effect.values()) == {0.0}
    for arm in ARMS:
        assert mme_ratio(null_cohort, arm) == pytest.approx(1.0, abs=0.05)
        drift = expected_change(m)["change_observed"]["[24,48)"][arm]
        assert drift == pytest.approx(-0.1, abs=0.005)
        assert pain_change(null_cohort, arm, (24, 48)) == pytest.approx(drift, abs=0.2)
    for route in ("iv", "sc"):
        rate, events = site_rate(null_cohort, route)
        assert abs(rate / 0.05 - 1) < 4 * events**-0.5
    for risk in m.adverse_risk.values():
        assert len(set(risk.values())) == 1


def test_truth_says_what_it_is(truth: dict, extract: dict[str, Rows]) -> None:
    assert truth["simulated"] is True
    assert (truth["patients"], truth["seed"], truth["null"]) == (150, 1, False)
    assert sum(truth["arms"]["realised"].values()) == 150
    treated = {r["patient_id"] for r in extract["doses"] if r["drug"] == "ketamine"}
    assert truth["arms"]["realised"]["untreated"] == 150 - len(treated)
    assert truth["sites"]["hazard_ratio_sc_vs_iv"] == pytest.approx(3.0)
    deaths = sum(bool(r["death_time"]) for r in extract["patients"])
    assert truth["deaths"]["realised"]["deaths"] == deaths
