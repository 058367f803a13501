"""Courses of ketamine: what was given, how fast, by which route, and why it ended."""

from __future__ import annotations

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support import at, extract

from ketamine_outcomes.cohort.build import build_units
from ketamine_outcomes.errors import UserError
from ketamine_outcomes.exposure.charting import Assumptions
from ketamine_outcomes.exposure.classify import classify
from ketamine_outcomes.exposure.flags import BIT
from ketamine_outcomes.exposure.ketamine import LOW_DOSE, courses, profile, route_switches
from ketamine_outcomes.extract.tables import Extract, conform
from ketamine_outcomes.study import (
    Comparator,
    Covariate,
    Eligibility,
    Exposure,
    Index,
    Study,
    Windows,
)

KG = 70.0


def piece(start, end=None, **cells):
    """Return one exposure interval; hours after midnight, 70 kg."""
    row = {"patient_id": "p1", "drug": "ketamine", "dose_id": f"{start}-{end}", "route": "iv",
           "start": at(start), "end": at(start if end is None else end), "mg": float("nan"),
           "rate_mg_per_h": float("nan"), "rate_mg_per_kg_h": float("nan"), "weight_kg": KG,
           "counted": True, "flags": 0}  # fmt: skip
    row.update(cells)
    return row


def bolus(hour, mg, **cells):
    return piece(hour, mg=float(mg), **cells)


def infusion(start, end, mg_per_h, **cells):
    return piece(start, end, **{"mg": mg_per_h * (end - start), "rate_mg_per_h": mg_per_h, **cells})


def table(*rows):
    return pd.DataFrame(list(rows))


def one(*rows, **more):
    found = courses(table(*rows), 24, **more)
    assert len(found) == 1
    return found.iloc[0]


#: 0.3 mg/kg, then 0.1 and 0.2 mg/kg/h, then 0.15 mg/kg/h under the skin: one course.
COURSE = (
    bolus(8, 21),
    infusion(8, 18, 7),
    infusion(18, 28, 14),
    infusion(30, 40, 10.5, route="sc"),
)


def test_a_bolus_an_infusion_a_change_of_rate_and_a_switch():
    course = one(*COURSE)
    assert (course["start"], course["end"]) == (at(8), at(40))
    assert (course["route"], course["routes"], course["route_class"]) == ("iv", "iv;sc", "iv")
    assert course["molecule"] == "racemic"
    assert (course["n_doses"], course["n_boluses"]) == (4, 1)
    assert course["bolus_mg_per_kg"] == 0.3
    assert course["max_mg_per_kg_h"] == 0.2
    assert course["cumulative_mg"] == 21 + 70 + 140 + 105
    assert course["cumulative_mg_per_kg"] == 0.3 + 1 + 2 + 1.5
    assert (course["duration_hours"], course["infusing_hours"]) == (32, 30)
    assert (course["route_switch"], course["n_switches"]) == (True, 1)
    assert course["dose_class"] == "low"
    assert "10.1097/AAP.0000000000000806" in course["guideline"]


def test_the_list_of_switches():
    found = route_switches(table(*COURSE), 24)
    assert found[["time", "from_route", "to_route"]].values.tolist() == [[at(30), "iv", "sc"]]
    back = route_switches(table(*COURSE, infusion(41, 42, 7)), 24)
    assert back["to_route"].tolist() == ["sc", "iv"]


def test_the_profile_is_a_step_function_of_mg_per_kg_per_hour():
    steps = profile(table(*COURSE), 24)
    assert steps[["start", "end", "mg_per_kg_h", "route"]].values.tolist() == [
        [at(8), at(18), 0.1, "iv"],
        [at(18), at(28), 0.2, "iv"],
        [at(30), at(40), 0.15, "sc"],
    ]


def test_infusions_that_run_at_once_add_up():
    rows = table(infusion(0, 10, 7, dose_id="a"), infusion(4, 6, 14, dose_id="b", route="sc"))
    steps = profile(rows, 24)
    assert steps[["start", "end", "mg_per_kg_h", "route"]].values.tolist() == [
        [at(0), at(4), 0.1, "iv"],
        [at(4), at(6), 0.3, "iv;sc"],
        [at(6), at(10), 0.1, "iv"],
    ]
    course = courses(rows, 24).iloc[0]
    assert course["max_mg_per_kg_h"] == 0.3
    assert course["infusing_hours"] == 10


def test_an_order_that_is_renewed_at_the_same_rate_is_no_step():
    steps = profile(table(infusion(0, 5, 7, dose_id="a"), infusion(5, 9, 7, dose_id="b")), 24)
    assert steps[["start", "end", "mg_per_kg_h"]].values.tolist() == [[at(0), at(9), 0.1]]


def test_where_one_of_two_rates_is_unknown_so_is_their_sum():
    steps = profile(
        table(infusion(0, 10, 7, dose_id="a"),
              infusion(4, 6, 14, dose_id="b", weight_kg=float("nan"))),
        24,
    )  # fmt: skip
    assert steps["mg_per_kg_h"].isna().tolist() == [False, True, False]


@given(
    st.lists(
        st.tuples(st.integers(0, 48), st.integers(0, 12), st.integers(1, 40)), min_size=1,
        max_size=8,
    )
)  # fmt: skip
@settings(max_examples=60, deadline=None)
def test_steps_and_boluses_make_the_cumulative_dose(doses):
    rows = table(
        *(
            bolus(start, mg, dose_id=str(i)) if hours == 0
            else piece(start, start + hours, mg=float(mg), dose_id=str(i))
            for i, (start, hours, mg) in enumerate(doses)
        )
    )  # fmt: skip
    steps = profile(rows, 24)
    hours = (steps["end"] - steps["start"]).dt.total_seconds() / 3600
    boluses = sum(mg for _, hours_, mg in doses if hours_ == 0) / KG
    found = courses(rows, 24)
    assert (steps["mg_per_kg_h"] * hours).sum() + boluses == pytest.approx(
        found["cumulative_mg_per_kg"].sum(), abs=1e-6
    )
    assert found["cumulative_mg"].sum() == sum(mg for *_, mg in doses)


# --- courses ----------------------------------------------------------------------------------


def test_a_gap_of_exactly_a_day_joins_and_a_minute_more_does_not():
    minute = 1 / 60
    joined = courses(table(infusion(0, 2, 7), infusion(26, 30, 7)), 24)
    assert joined["course"].tolist() == [1]
    parted = courses(table(infusion(0, 2, 7), infusion(26 + minute, 30, 7)), 24)
    assert parted["course"].tolist() == [1, 2]
    assert parted["start"].tolist() == [at(0), at(26 + minute)]


def test_esketamine_beside_racemic_ketamine_is_another_course():
    found = courses(
        table(infusion(0, 10, 7), infusion(5, 12, 7, drug="esketamine", dose_id="s")), 24
    ).set_index("molecule")
    assert found.loc["racemic", "cumulative_mg"] == 70
    assert found.loc["esketamine", "cumulative_mg"] == 49
    assert found["max_mg_per_kg_h"].tolist() == [0.1, 0.1]
    # The guideline speaks of racemic ketamine; esketamine is the stronger half of it.
    assert found["dose_class"].to_dict() == {"esketamine": "unknown", "racemic": "low"}
    assert found.loc["esketamine", "guideline"] == ""


def test_a_rate_of_zero_pauses_and_ends_a_course():
    found = courses(table(infusion(0, 4, 7), infusion(4, 28, 0), infusion(40, 41, 7)), 24)
    assert found["course"].tolist() == [1, 2]
    assert found["end"].tolist() == [at(4), at(41)]


def test_no_dose_no_course():
    nothing = table(bolus(0, 5)).head(0)
    assert courses(nothing, 24).empty
    assert profile(nothing, 24).empty
    assert route_switches(nothing, 24).empty
    assert list(courses(nothing, 24).columns) == list(courses(table(bolus(0, 5)), 24).columns)


def test_other_routes_are_other():
    assert one(bolus(0, 56, route="nasal"))["route_class"] == "other"


# --- unknown parts ----------------------------------------------------------------------------


def test_without_a_weight_nothing_per_kg_is_known():
    course = one(bolus(0, 20, weight_kg=float("nan")), infusion(0, 5, 7, weight_kg=float("nan")))
    assert course["cumulative_mg"] == 55
    assert course[["cumulative_mg_per_kg", "bolus_mg_per_kg", "max_mg_per_kg_h"]].isna().all()
    assert course["dose_class"] == "unknown"


def test_a_rate_per_kg_needs_no_weight():
    course = one(piece(0, 5, rate_mg_per_kg_h=0.2, weight_kg=float("nan"), counted=False))
    assert course["cumulative_mg_per_kg"] == 1
    assert pd.isna(course["cumulative_mg"])
    assert (course["max_mg_per_kg_h"], course["dose_class"]) == (0.2, "low")


def test_a_sum_of_which_a_part_is_unknown_is_no_sum():
    course = one(infusion(0, 5, 7), piece(6, dose_id="unreadable", counted=False))
    assert pd.isna(course["cumulative_mg"])
    assert pd.isna(course["cumulative_mg_per_kg"])
    assert course["max_mg_per_kg_h"] == 0.1
    assert course["dose_class"] == "unknown"


def test_a_refused_mass_counts_for_nothing():
    course = one(
        piece(0, 5, mg=float("nan"), rate_mg_per_kg_h=900.0, counted=False), infusion(5, 6, 7)
    )
    assert course["dose_class"] == "unknown"
    assert pd.isna(course["max_mg_per_kg_h"])


@pytest.mark.parametrize(
    ("rows", "dose_class"),
    [
        ([bolus(0, 24.5)], "low"),  # 0.35 mg/kg
        ([bolus(0, 24.6)], "high"),
        ([infusion(0, 1, 70)], "low"),  # 1 mg/kg/h
        ([infusion(0, 1, 71)], "high"),
        ([infusion(0, 9, 7, dose_id="a"), infusion(2, 3, 14, dose_id="b"),
          infusion(2, 4, 49, dose_id="c")], "low"),  # 0.1 + 0.2 + 0.7
        ([infusion(0, 9, 7.7, dose_id="a"), infusion(2, 3, 63, dose_id="b")], "high"),
        ([bolus(0, 20, dose_id="a"), bolus(0, 20, dose_id="b")], "high"),  # one bolus in two rows
        ([bolus(0, 20, dose_id="a"), bolus(1, 20, dose_id="b")], "low"),
        ([bolus(0, 30), infusion(1, 2, 7, weight_kg=float("nan"))], "high"),
        ([bolus(0, 20), infusion(1, 2, 7, weight_kg=float("nan"))], "unknown"),
        ([bolus(0, 50, route="oral")], "unknown"),
        ([bolus(0, 50, route="oral"), bolus(1, 30)], "high"),
    ],
)  # fmt: skip
def test_low_dose_is_bolus_and_infusion_within_the_guideline(rows, dose_class):
    assert one(*rows)["dose_class"] == dose_class


def test_the_guideline_that_is_shipped():
    assert (LOW_DOSE.bolus_mg_per_kg, LOW_DOSE.infusion_mg_per_kg_h) == (0.35, 1)


def test_another_index_drug_has_no_dose_class():
    course = one(bolus(0, 1000, drug="acetaminophen"))
    assert (course["molecule"], course["dose_class"]) == ("acetaminophen", "unknown")
    assert course["guideline"] == ""


# --- why it ended -----------------------------------------------------------------------------


def bits(*flags):
    return sum(BIT[flag] for flag in flags)


def charted(*rows):
    columns = ["dose_id", "start", "end", "status", "rate"]
    made = pd.DataFrame([dict(zip(columns, row, strict=True)) for row in rows], columns=columns)
    for name in ("start", "end"):
        made[name] = pd.to_datetime(made[name].map(at)).astype("datetime64[us]")
    return made.assign(patient_id="p1", drug_resolved="ketamine")


@pytest.mark.parametrize(
    ("flags", "reason"),
    [
        (["open_interval_closed_by_death"], "death"),
        (["open_interval_closed_by_transfer"], "transfer"),
        (["open_interval_closed_by_discharge"], "discharge"),
        (["open_interval_closed_by_cap", "route_assumed"], "cap"),
        (["open_interval_closed_by_next_row"], "unknown"),
        ([], "unknown"),
    ],
)
def test_stop_reason_by_the_flag_of_the_last_interval(flags, reason):
    assert one(infusion(0, 5, 7, flags=bits(*flags)))["stop_reason"] == reason


def test_a_stopped_row_is_a_charted_stop():
    rows = charted(("a", 0, None, "started", 7.0), ("b", 5, None, "stopped", None))
    assert one(infusion(0, 5, 7, dose_id="a"), charted=rows)["stop_reason"] == "charted_stop"


def test_a_rate_of_zero_is_a_charted_stop():
    rows = charted(("a", 0, None, "started", 7.0), ("b", 5, None, "rate_change", 0.0))
    course = one(
        infusion(0, 5, 7, dose_id="a", flags=bits("open_interval_closed_by_next_row")), charted=rows
    )
    assert course["stop_reason"] == "charted_stop"


def test_a_dose_with_its_own_end_ends_by_itself_unless_the_stay_cut_it():
    rows = charted(("a", 0, 5, "given", 7.0))
    assert one(infusion(0, 5, 7, dose_id="a"), charted=rows)["stop_reason"] == "own_end"
    assert one(bolus(0, 5), charted=charted())["stop_reason"] == "own_end"
    rows = charted(("a", 0, 9, "given", 7.0))
    for end_reason, reason in (("died", "death"), ("transferred", "transfer"),
                               ("hospice", "discharge"), ("censored", "unknown")):  # fmt: skip
        stays = extract([], [(0, 5)], stay={"end_reason": end_reason}).tables["stays"]
        course = one(infusion(0, 5, 7, dose_id="a"), charted=rows, stays=stays)
        assert course["stop_reason"] == reason


def test_the_end_of_the_extract_is_no_discharge():
    stays = extract([], [(0, 5)], stay={"end_reason": "censored"}).tables["stays"]
    course = one(infusion(0, 5, 7, flags=bits("open_interval_closed_by_discharge")), stays=stays)
    assert course["stop_reason"] == "unknown"


# --- from dose rows to units ------------------------------------------------------------------


def table_of(name, rows):
    return conform(name, pd.DataFrame(rows))


def registry(doses, events=(), dialysis=None, doses_from=-180, stays=True):
    """Return an extract in hours from index: p1 is treated, p2 had esketamine, p3 nothing."""
    people = ("p1", "p2", "p3")
    rows = [
        {"patient_id": who, "dose_id": f"{who}-{i}", "route": "iv", "form": "injection",
         "amount_unit": "mg", **cells, "start": at(cells["start"]), "end": at(cells.get("end"))}
        for i, (who, cells) in enumerate(doses)
    ]  # fmt: skip
    tables = {
        "patients": table_of(
            "patients", [{"patient_id": who, "weight_kg": KG, "dialysis": dialysis}
                         for who in people],
        ),
        "doses": table_of("doses", rows),
        "events": table_of(
            "events", [{"patient_id": "p1", "time": at(hour), "event": event}
                       for hour, event in events],
        ) if events else table_of("events", []),
    }  # fmt: skip
    if stays:
        tables["stays"] = table_of(
            "stays", [{"patient_id": who, "stay_id": who, "start": at(doses_from), "end": at(200)}
                      for who in people],
        )  # fmt: skip
    return Extract(tables)


KETAMINE = {"drug": "Ketamine", "form": "infusion", "start": 0, "end": 5, "rate": 0.1,
            "rate_unit": "mg/kg/h"}  # fmt: skip
#: 30 mg of oxycodone by mouth at noon of each of the seven days before.
OPIOIDS = [
    ("p1", {"drug": "Oxycodone", "route": "oral", "form": "tablet", "start": 24 * day + 12,
            "amount": 30})
    for day in range(-7, 0)
]  # fmt: skip


def sections(**more):
    return Study.model_construct(
        **{"cohorts": {}, "index": Index(drug="ketamine"), "exposure": Exposure(),
           "windows": Windows(), "eligibility": {}, "covariates": {}, **more}
    )  # fmt: skip


def units(source, **more):
    exposure = classify(source, Assumptions())
    found, _ = build_units(sections(**more), source, exposure.ledger, exposure.intervals)
    return found.set_index("patient_id")


def test_a_unit_says_what_was_known_at_index():
    source = registry(
        [("p1", KETAMINE), *OPIOIDS,
         ("p1", {"drug": "Gabapentin", "route": "oral", "form": "capsule", "start": -3,
                 "amount": 300})],
        events=[(-10, "dialysis_start"), (-6, "dialysis_end")], dialysis="hemodialysis",
    )  # fmt: skip
    unit = units(source).loc["p1"]
    assert unit["molecule"] == "racemic"
    assert unit["opioid_tolerant"] == "tolerant"
    assert (unit["n_days_met"], unit["n_days_observed"]) == (7, 7)
    assert unit["opioid_tolerant_flat"] == "not_tolerant"  # 45 MME a day
    assert (unit["dialysis_day"], unit["hours_since_dialysis"]) == (True, 6)
    assert (unit["co_gabapentinoid"], unit["co_snri"]) == ("given", "none")
    assert (unit["dose_class"], unit["stop_reason"]) == ("low", "own_end")


def test_without_a_stay_before_index_it_is_unknown():
    unit = units(registry([("p1", KETAMINE), *OPIOIDS], doses_from=-60)).loc["p1"]
    assert unit["opioid_tolerant"] == "unknown"
    assert unit["n_days_observed"] == 3


def test_eligibility_and_covariates_read_it():
    source = registry([("p1", KETAMINE), *OPIOIDS])
    found = units(
        source,
        eligibility={
            "tolerant": Eligibility.model_validate(
                {"from": "index.opioid_tolerant", "any_of": ["tolerant"]}
            )
        },
        covariates={"gaba": Covariate.model_validate({"from": "index.co_gabapentinoid"})},
    )
    assert found["gaba"].to_dict() == {"p1": "none"}
    with pytest.raises(UserError, match="the cohort is empty"):
        units(
            source,
            eligibility={
                "naive": Eligibility.model_validate(
                    {"from": "index.opioid_tolerant", "any_of": ["not_tolerant"]}
                )
            },
        )


def test_who_had_the_other_molecule_is_no_untreated_comparator():
    source = registry([("p1", KETAMINE), ("p2", {**KETAMINE, "drug": "Esketamine"})])
    found = units(source, index=Index(drug="ketamine", comparator=Comparator(at="stay_start")))
    assert found["group"].to_dict() == {"p1": "treated", "p3": "comparator"}
    assert found["molecule"].to_dict() == {"p1": "racemic", "p3": "none"}
    assert found["route"].to_dict() == {"p1": "iv", "p3": "untreated"}  # the arm that readers see


def test_no_patient_with_the_drug_says_so():
    with pytest.raises(UserError, match="the cohort is empty"):
        units(registry(OPIOIDS))
