"""What must hold of exposure whatever was charted."""

from __future__ import annotations

import itertools
import random

import engine_support as support
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ketamine_outcomes.exposure.charting import Assumptions
from ketamine_outcomes.exposure.factors import FactorTable

FACTORS = FactorTable("cdc2022+inpatient")
ORIGIN = int(support.ZERO.value // 1000)
MINUTE = 60_000_000
DAY = 1440
LOW, HIGH = -2 * DAY, 12 * DAY
some = settings(max_examples=40, deadline=None, derandomize=True)
seeds = st.integers(0, 10**6)


def mme(
    tables: dict[str, pd.DataFrame], assume: Assumptions, low: int = LOW, high: int = HIGH
) -> dict[str, tuple[int, bool]]:
    """Return micro-MME and incomplete of each patient in [low, high) minutes."""
    with support.run(tables, assume) as connection:
        found = support.micro(connection, FACTORS, ORIGIN + low * MINUTE, ORIGIN + high * MINUTE)
    return {patient: (total, part) for patient, (total, part, *_) in found.items()}


@some
@given(
    seed=seeds, cuts=st.lists(st.integers(LOW + 1, HIGH - 1), min_size=1, max_size=6, unique=True)
)
def test_the_parts_of_any_tiling_add_up(seed: int, cuts: list[int]) -> None:
    tables, assume = support.random_tables(seed), support.assumptions(seed)
    edges = [LOW, *sorted(cuts), HIGH]
    with support.run(tables, assume) as connection:
        parts = [
            support.micro(connection, FACTORS, ORIGIN + a * MINUTE, ORIGIN + b * MINUTE)
            for a, b in itertools.pairwise(edges)
        ]
        whole = support.micro(connection, FACTORS, ORIGIN + LOW * MINUTE, ORIGIN + HIGH * MINUTE)
    for patient, (total, incomplete, *_) in whole.items():
        mine = [part[patient] for part in parts if patient in part]
        # 1e-6 MME for each drug, route and form of each piece of the tiling
        assert abs(sum(m for m, *_ in mine) - total) <= 12 * len(mine)
        assert any(part for _, part, *_ in mine) == incomplete


@some
@given(seed=seeds)
def test_the_order_of_rows_does_not_matter(seed: int) -> None:
    tables, assume = support.random_tables(seed), support.assumptions(seed)
    order = list(range(len(tables["doses"])))
    random.Random(seed).shuffle(order)
    shuffled = {**tables, "doses": tables["doses"].iloc[order].reset_index(drop=True)}
    assert mme(tables, assume) == mme(shuffled, assume)


@some
@given(seed=seeds)
def test_no_row_is_lost_and_each_has_one_class_with_its_reason(seed: int) -> None:
    tables, assume = support.random_tables(seed), support.assumptions(seed)
    with support.run(tables, assume) as connection:
        found = support.verdicts(connection)
    assert [row for row, *_ in found] == list(range(1, len(tables["doses"]) + 1))
    for _, row_class, reason, _ in found:
        assert row_class in (
            "converted", "non_opioid", "excluded", "unconverted", "duplicate", "marker"
        )  # fmt: skip
        assert (reason == "") == (row_class == "converted")


@some
@given(seed=seeds)
def test_mg_and_mcg_are_one_scale(seed: int) -> None:
    tables = support.random_tables(seed)
    assume = support.assumptions(seed)
    doses = tables["doses"].copy()
    mg = doses["amount_unit"].eq("mg") & doses["form"].ne("patch")
    doses.loc[mg, "amount"] *= 1000
    doses.loc[mg, "wasted"] *= 1000
    doses.loc[mg, "amount_unit"] = "mcg"
    hourly = doses["rate_unit"].eq("mcg/h") & doses["form"].ne("patch")
    doses.loc[hourly, "rate"] /= 1000
    doses.loc[hourly, "rate_unit"] = "mg/h"
    one, other = mme(tables, assume), mme({**tables, "doses": doses}, assume)
    assert one.keys() == other.keys()
    for patient, (total, incomplete) in one.items():
        assert abs(other[patient][0] - total) <= 12
        assert other[patient][1] == incomplete


@some
@given(seed=seeds, days=st.integers(-400, 400))
def test_a_shift_by_whole_days_changes_nothing(seed: int, days: int) -> None:
    tables, assume = support.random_tables(seed), support.assumptions(seed)
    moved = {}
    for name, table in tables.items():
        table = table.copy()
        for column in table.select_dtypes("datetime"):
            table[column] += pd.Timedelta(days=days)
        moved[name] = table
    shift = days * DAY
    assert mme(tables, assume, 0, 2 * DAY) == mme(moved, assume, shift, shift + 2 * DAY)


@some
@given(seed=seeds)
def test_a_feed_that_is_charted_twice_changes_nothing(seed: int) -> None:
    tables = support.random_tables(seed, odd=False)
    doses = tables["doses"].assign(source="a")
    again = doses.assign(source="b", dose_id="again " + doses["dose_id"])
    for assume in (Assumptions(), Assumptions(feed_priority=("a", "b"))):
        once = mme({**tables, "doses": doses}, assume)
        twice = mme({**tables, "doses": pd.concat([doses, again], ignore_index=True)}, assume)
        assert once == twice


@some
@given(
    length=st.integers(2, 3000), cut=st.floats(0.01, 0.99), rate=st.floats(0.001, 400),
    start=st.integers(0, 3000),
)  # fmt: skip
def test_an_interval_may_be_charted_in_two_parts(
    length: int, cut: float, rate: float, start: int
) -> None:
    middle = start + max(1, min(length - 1, round(length * cut)))
    row = {"patient_id": "p1", "drug": "Fentanyl", "route": "iv", "form": "infusion",
           "rate": rate, "rate_unit": "mcg/h"}  # fmt: skip

    def chart(*parts: tuple[int, int]) -> dict[str, pd.DataFrame]:
        rows = [
            {**row, "dose_id": f"d{i}", "start": support.at(a), "end": support.at(b)}
            for i, (a, b) in enumerate(parts)
        ]
        return {"doses": support.conform("doses", pd.DataFrame(rows))}

    whole = mme(chart((start, start + length)), Assumptions(), 0, 2 * DAY)
    parts = mme(chart((start, middle), (middle, start + length)), Assumptions(), 0, 2 * DAY)
    # one row of a minute or less is a bolus; its mass is the same
    assert abs(whole.get("p1", (0, False))[0] - parts.get("p1", (0, False))[0]) <= 2


@pytest.mark.parametrize("threads", [1, 2])
def test_sums_do_not_depend_on_threads(threads: int) -> None:
    tables, assume = support.random_tables(7, 16), support.assumptions(7)
    with support.connect(tables) as connection:
        connection.execute(f"SET threads = {threads}")
        support.engine.run(connection, assume, tables=frozenset(tables))
        support.masses.prepare(connection)
        found = support.micro(connection, FACTORS, ORIGIN, ORIGIN + 3 * DAY * MINUTE)
    assert found == {
        patient: value
        for patient, value in support.micro(
            support.run(tables, assume), FACTORS, ORIGIN, ORIGIN + 3 * DAY * MINUTE
        ).items()
    }
