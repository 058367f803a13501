"""Time zero, the view before it, windows."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ketamine_outcomes import intervals
from ketamine_outcomes.cohort.view import before_index
from ketamine_outcomes.cohort.windows import label, observed_hours
from ketamine_outcomes.exposure.ketamine import courses
from ketamine_outcomes.extract.tables import Extract, conform
from ketamine_outcomes.simulate import simulate

ZERO = pd.Timestamp("2150-03-04")


def moment(hours):
    return ZERO + pd.to_timedelta(hours, unit="h")


def pieces(spans, rate=0.1):
    return pd.DataFrame(
        {
            "patient_id": "p1",
            "dose_id": [str(i) for i in range(len(spans))],
            "start": [moment(a) for a, _ in spans],
            "end": [moment(b) for _, b in spans],
            "route": "iv",
            "rate_mg_per_kg_h": rate,
        }
    )


def test_doses_closer_than_the_gap_are_one_course():
    table = courses(pieces([(0, 10), (34, 40), (64.1, 70)]), 24)
    assert table["start"].tolist() == [moment(0), moment(64.1)]
    assert table["end"].tolist() == [moment(40), moment(70)]
    assert table["cumulative_mg_per_kg"].round(9).tolist() == [1.6, 0.59]
    assert table["dose_class"].tolist() == ["low", "low"]


def test_a_rate_that_is_not_per_kg_has_no_dose_class():
    assert courses(pieces([(0, 10)], rate=np.nan), 24)["dose_class"].tolist() == ["unknown"]


def test_a_long_dose_bridges_short_ones():
    # The gap is measured from the end of all doses so far, not of the last one.
    assert len(courses(pieces([(0, 100), (10, 20), (110, 120)]), 24)) == 1


def test_hours_observed_take_the_union_of_stays():
    stays = conform(
        "stays",
        pd.DataFrame(
            {
                "patient_id": "p1",
                "stay_id": ["a", "b", "c"],
                "start": [moment(0), moment(10), moment(0)],
                "end": [moment(12), moment(20), moment(99)],
                "observes": ["doses", "all", "pain_scores"],
            }
        ),
    )
    units = pd.DataFrame({"unit_id": ["p1"], "patient_id": ["p1"]})
    start, end = pd.Series([moment(5)]), pd.Series([moment(30)])
    hours = observed_hours(Extract({"stays": stays}), units, "doses", start, end)
    assert hours.tolist() == [15]
    assert observed_hours(Extract({}), units, "doses", start, end).isna().all()


@pytest.fixture(scope="module")
def simulated(tmp_path_factory):
    from ketamine_outcomes.extract.intake import read_cohort
    from ketamine_outcomes.study import SimulatedCohort

    folder = tmp_path_factory.mktemp("simulated")
    simulate(folder, patients=40, seed=3)
    return read_cohort(SimulatedCohort(source="simulated"), folder).extract


def test_nothing_after_index_is_in_the_view(simulated):
    """Whatever happens at or after index may change without changing the view."""
    patients = simulated.tables["patients"]["patient_id"]
    first = simulated.tables["stays"].groupby("patient_id")["start"].min()
    units = pd.DataFrame({"unit_id": patients, "patient_id": patients})
    units["index_time"] = units["patient_id"].map(first) + pd.Timedelta(hours=60)
    zero = units.set_index("patient_id")["index_time"]
    mutated = {}
    for name, table in simulated.tables.items():
        when = "time" if "time" in table else "start"
        if name == "patients":
            mutated[name] = table.assign(death_time=ZERO)
            continue
        future = table[when] >= table["patient_id"].map(zero)
        kept = table[~future].copy()
        if "end" in kept:
            late = kept["end"].isna() | (kept["end"] >= kept["patient_id"].map(zero))
            kept.loc[late, "end"] = ZERO + pd.Timedelta(days=36500)
            if "end_reason" in kept:
                kept.loc[late, "end_reason"] = "died"
        mutated[name] = kept
    view, other = before_index(simulated, units), before_index(Extract(mutated), units)
    assert view.tables.keys() == other.tables.keys()
    for name in view.tables:
        pd.testing.assert_frame_equal(
            view.tables[name].reset_index(drop=True), other.tables[name].reset_index(drop=True)
        )


def test_labels():
    assert label((-24, 0)) == "[-24,0)"
    assert label((0, 0.5)) == "[0,0.5)"


@given(
    st.integers(0, 10**6),
    st.integers(0, 10**6),
    st.lists(st.integers(0, 2 * 10**6), min_size=1, max_size=6, unique=True),
)
def test_shares_over_any_tiling_add_up(start, length, cuts):
    edges = [-1, *sorted(cuts), 3 * 10**6]
    low, high = np.array(edges[:-1]), np.array(edges[1:])
    n = len(low)
    parts = intervals.share(np.full(n, start), np.full(n, start + length), low, high)
    assert parts.sum() == pytest.approx(1, abs=1e-9)


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(0, 50)), max_size=8),
       st.tuples(st.integers(0, 50), st.integers(0, 50)))  # fmt: skip
def test_subtraction_leaves_what_no_cover_holds(spans, interval):
    cover = intervals.union([(min(s), max(s)) for s in spans])
    whole = (min(interval), max(interval))
    left = {x for a, b in intervals.subtract(whole, cover) for x in range(a, b)}
    covered = {x for a, b in cover for x in range(a, b)}
    assert left == set(range(*whole)) - covered
