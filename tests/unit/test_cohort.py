"""Time zero, the view before it, windows."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ketamine_outcomes import intervals, study_checks
from ketamine_outcomes.cohort.baseline import add_baseline, tolerance_days
from ketamine_outcomes.cohort.known import NAMES
from ketamine_outcomes.cohort.view import before_index, pieces_before_index
from ketamine_outcomes.cohort.windows import label, observed_hours
from ketamine_outcomes.exposure.ketamine import courses
from ketamine_outcomes.extract.tables import Extract, conform
from ketamine_outcomes.simulate import simulate
from ketamine_outcomes.study import Exposure, Index, SourceCohort, Study, Windows

ZERO = pd.Timestamp("2150-03-04")


def study(**more):
    """Return the sections that the units need."""
    return Study.model_construct(
        **{"cohorts": {}, "index": Index(drug="ketamine"), "exposure": Exposure(),
           "windows": Windows(), "eligibility": {}, "covariates": {}, **more}
    )  # fmt: skip


def moment(hours):
    return ZERO + pd.to_timedelta(hours, unit="h")


def pieces(spans, rate=0.1):
    return pd.DataFrame(
        {
            "patient_id": "p1",
            "drug": "ketamine",
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
    patients = conform("patients", pd.DataFrame({"patient_id": ["p1"], "death_time": [moment(16)]}))
    extract = Extract({"stays": stays, "patients": patients})
    assert observed_hours(extract, units, "doses", start, end).tolist() == [11], "until death"


@pytest.fixture(scope="module")
def simulated(tmp_path_factory):
    from ketamine_outcomes.extract.intake import read_cohort
    from ketamine_outcomes.study import SimulatedCohort

    folder = tmp_path_factory.mktemp("simulated")
    simulate(folder, patients=40, seed=3)
    return read_cohort(SimulatedCohort(source="simulated"), folder).extract


@pytest.fixture(scope="module")
def two_futures(simulated):
    """The simulated extract, units 60 h into their stays, and another future for each of them."""
    patients = simulated.tables["patients"]["patient_id"]
    first = simulated.tables["stays"].groupby("patient_id")["start"].min()
    units = pd.DataFrame({"unit_id": patients, "patient_id": patients})
    units["index_time"] = units["patient_id"].map(first) + pd.Timedelta(hours=60)
    zero = units.set_index("patient_id")["index_time"]
    mutated = {}
    for name, table in simulated.tables.items():
        when = "time" if "time" in table else "start"
        if name == "patients":
            mutated[name] = table.assign(death_time=ZERO + pd.Timedelta(days=36500))
            continue
        future = table[when] >= table["patient_id"].map(zero)
        kept = table[~future].copy()
        if "end" in kept:
            late = kept["end"] >= kept["patient_id"].map(zero)
            if name != "doses":  # a dose without an end was given at an instant
                late |= kept["end"].isna()
            kept.loc[late, "end"] = ZERO + pd.Timedelta(days=36500)
            if "end_reason" in kept:
                kept.loc[late, "end_reason"] = "died"
        mutated[name] = kept
    return simulated, Extract(mutated), units


def test_nothing_after_index_is_in_the_view(two_futures):
    """Whatever happens at or after index may change without changing the view."""
    simulated, mutated, units = two_futures
    view, other = before_index(simulated, units), before_index(mutated, units)
    assert view.tables.keys() == other.tables.keys()
    for name in view.tables:
        pd.testing.assert_frame_equal(
            view.tables[name].reset_index(drop=True), other.tables[name].reset_index(drop=True)
        )


def test_what_was_known_at_index_does_not_change_with_the_future(two_futures):
    """Opioid tolerance, dialysis and co-analgesics at index see only what came before."""
    from ketamine_outcomes.exposure.charting import Assumptions
    from ketamine_outcomes.exposure.classify import classify

    found = []
    for extract in two_futures[:2]:
        exposure = classify(extract, Assumptions(feed_priority=("mar", "icu")))
        found.append(
            add_baseline(study(), extract, exposure.ledger, exposure.intervals, two_futures[2])
        )
    pd.testing.assert_frame_equal(found[0], found[1])
    assert found[0]["co_gabapentinoid"].isin(["given", "none"]).any()
    assert (found[0]["n_days_observed"] > 0).any()


# --- exposure as it was known at index --------------------------------------------------------


def known_at_zero(**cells):
    """Return one opioid interval from -2 h to +2 h as it stands at index (0 h)."""
    row = {"patient_id": "p1", "dose_id": "1", "start": moment(-2), "end": moment(2), "mg": 8.0,
           "rate_mg_per_h": 2.0, "rate_mcg_per_h": np.nan, "kind": "interval", "counted": True,
           **cells}  # fmt: skip
    doses = conform(
        "doses",
        pd.DataFrame([{"patient_id": "p1", "dose_id": "1", "drug": "x",
                       "form": "pca_reading" if "charted" in row else "infusion",
                       "start": row.pop("charted", row["start"])}]),
    )  # fmt: skip
    units = pd.DataFrame({"unit_id": ["u"], "patient_id": ["p1"], "index_time": [ZERO]})
    return pieces_before_index(Extract({"doses": doses}), units, pd.DataFrame([row]), hours=24)


def test_an_infusion_that_runs_at_index_counts_at_its_rate_until_then():
    row = known_at_zero().iloc[0]
    assert (row["end"], row["mg"], row["counted"]) == (ZERO, 4, True)


def test_an_amount_that_is_spread_beyond_index_is_not_known_yet():
    row = known_at_zero(rate_mg_per_h=np.nan).iloc[0]
    assert not row["counted"]


def test_a_patch_that_is_worn_at_index_counts_until_then():
    row = known_at_zero(kind="patch", mg=np.nan, rate_mcg_per_h=25.0).iloc[0]
    assert (row["end"], row["counted"]) == (ZERO, True)


def test_what_is_charted_at_index_or_later_is_not_known():
    assert known_at_zero(start=moment(0)).empty
    # A pump counter that is read at 2 h spreads what ran since -2 h.
    assert known_at_zero(charted=moment(2)).empty
    assert known_at_zero(charted=moment(0)).empty


def test_covariates_read_what_was_known_and_nothing_of_what_came_after():
    assert {"molecule", "opioid_tolerant", "dialysis_day", "hours_since_dialysis",
            "co_gabapentinoid"} <= set(NAMES)  # fmt: skip
    assert not {"dose_class", "cumulative_mg_per_kg", "max_mg_per_kg_h", "stop_reason",
                "route_switch", "index_end"} & set(NAMES)  # fmt: skip


@pytest.mark.parametrize(
    ("reads", "said"),
    [
        ("index.opioid_tolerent", "did you mean 'index.opioid_tolerant'?"),
        ("index.co_gabapentin", "did you mean 'index.co_gabapentinoid'?"),
        ("index.dose_class", "there is no 'index.dose_class'"),
        ("index.stop_reason", "there is no 'index.stop_reason'"),
        ("dialysis_day", "did you mean 'index.dialysis_day'?"),
    ],
)
def test_a_name_that_is_not_known_at_index_is_refused(reads, said):
    (problem,) = study_checks._reads(("covariates", "x", "from"), reads)
    assert said in problem.message


def test_every_name_that_is_offered_can_be_read():
    assert not [p for name in NAMES for p in study_checks._reads(("x",), f"index.{name}")]


def readings(*hours):
    """Return the tables of a patient whose pump counter is read at these hours (mg: the hour)."""
    rows = [
        {"patient_id": "p1", "dose_id": str(hour), "drug": "Morphine", "route": "iv",
         "form": "pca_reading", "start": moment(hour), "amount": 60.0 + hour, "amount_unit": "mg"}
        for hour in hours
    ]  # fmt: skip
    stays = {"patient_id": ["p1"], "stay_id": ["s"], "start": [moment(-200)], "end": [moment(99)]}
    return Extract(
        {
            "patients": conform("patients", pd.DataFrame({"patient_id": ["p1"]})),
            "doses": conform("doses", pd.DataFrame(rows)),
            "stays": conform("stays", pd.DataFrame(stays)),
        }
    )


def test_after_the_last_reading_of_a_counter_the_day_is_a_lower_bound():
    from ketamine_outcomes.exposure.charting import Assumptions
    from ketamine_outcomes.exposure.classify import classify

    units = pd.DataFrame({"unit_id": ["p1"], "patient_id": ["p1"], "index_time": [ZERO]})
    units = units.astype({"index_time": "datetime64[us]"})
    states = {}
    for hours in ((-40, -30), (-40, -10), (-40, -10, 5)):
        extract = readings(*hours)
        found = classify(extract, Assumptions())
        view = before_index(extract, units)
        days = tolerance_days(extract, view, found.ledger, found.intervals, units).set_index("day")
        states[hours] = (days.loc[-1, "fda"], round(days.loc[-1, "mme"], 6))
    # 30 mg over 30 h: 14 mg, 42 MME in [-24, -10); then nobody knows, whatever is read at 5 h.
    assert states == {
        (-40, -30): ("not_met", 0),
        (-40, -10): ("unknown", 42),
        (-40, -10, 5): ("unknown", 42),
    }


def test_a_table_of_opioids_only_knows_no_absent_co_analgesic():
    from ketamine_outcomes.exposure.charting import Assumptions
    from ketamine_outcomes.exposure.classify import classify

    units = pd.DataFrame({"unit_id": ["p1"], "patient_id": ["p1"], "index_time": [ZERO]})
    units = units.astype({"index_time": "datetime64[us]"})
    extract = readings(-40, -10)
    found = classify(extract, Assumptions())
    for doses_hold, state in (("opioids", "unknown"), ("all_drugs", "none")):
        cohort = SourceCohort(source="tabular", path="x", times="shifted", doses_hold=doses_hold)
        known = add_baseline(
            study(cohorts={"c": cohort}), extract, found.ledger, found.intervals, units
        )
        assert known["co_gabapentinoid"].tolist() == [state]


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
