"""Co-analgesics and dialysis around index: given, none and unknown are three answers."""

from __future__ import annotations

import pandas as pd
import pytest

from ketamine_outcomes.exposure import co_analgesia, dialysis, subclasses

ZERO = pd.Timestamp("2150-03-04")
UNITS = pd.DataFrame({"unit_id": ["p1"], "index_time": [ZERO]}).astype(
    {"index_time": "datetime64[us]"}
)


def moment(hour):
    return None if hour is None else ZERO + pd.Timedelta(hours=hour)


# --- co-analgesics ----------------------------------------------------------------------------


def received(*rows, hours=24.0, window=(-24, 0), all_drugs=True):
    """Return the classes of p1 in a window; a row is hour, drug and cells of either table."""
    doses, ledger = [], []
    for i, (hour, drug, cells) in enumerate(rows):
        doses.append(
            {"dose_id": str(i), "unit_id": "p1", "drug": drug, "start": moment(hour),
             "end": moment(cells.get("end")), "status": cells.get("status", "given"),
             "amount": cells.get("amount"), "rate": cells.get("rate"),
             "amount_basis": cells.get("amount_basis", "given")}
        )  # fmt: skip
        ledger.append(
            {"dose_id": str(i), "class": cells.get("class", "non_opioid"),
             "reason": cells.get("reason", "co_analgesic"),
             "drug_resolved": cells.get("drug_resolved", drug.lower()),
             "route_resolved": cells.get("route", "oral"), "form_class": cells.get("form", "ir")}
        )  # fmt: skip
    doses = pd.DataFrame(
        doses, columns=["dose_id", "unit_id", "drug", "start", "end", "status", "amount", "rate",
                        "amount_basis"],
    ).astype({"start": "datetime64[us]", "end": "datetime64[us]", "amount": "float64",
              "rate": "float64"})  # fmt: skip
    ledger = pd.DataFrame(
        ledger, columns=["dose_id", "class", "reason", "drug_resolved", "route_resolved",
                         "form_class"],
    )  # fmt: skip
    found = co_analgesia.spans(doses, ledger)
    return co_analgesia.received(UNITS, found, window, pd.Series([hours]), all_drugs).iloc[0]


def test_given_none_and_unknown():
    row = received((-8, "Gabapentin", {"amount": 300}))
    assert row["co_gabapentinoid"] == "given"
    assert row["co_snri"] == "none"
    assert received(hours=0.0)["co_snri"] == "unknown"
    assert received(hours=float("nan"))["co_snri"] == "unknown"
    # A given dose is known to be given, whatever else was observed.
    assert received((-8, "Gabapentin", {}), hours=0.0)["co_gabapentinoid"] == "given"


def test_a_table_of_opioids_only_tells_nothing_of_other_drugs():
    assert received(all_drugs=False)["co_gabapentinoid"] == "unknown"
    assert received((-8, "Gabapentin", {}), all_drugs=False)["co_gabapentinoid"] == "given"


@pytest.mark.parametrize("status", ["not_given", "held", "refused", "missed", "attempt", "wasted"])
def test_what_was_not_given_does_not_count(status):
    assert received((-8, "Gabapentin", {"status": status}))["co_gabapentinoid"] == "none"


@pytest.mark.parametrize(
    "cells",
    [{"class": "excluded", "reason": "status"}, {"class": "excluded", "reason": "outside_stay"},
     {"amount_basis": "ordered"}, {"amount": 0.0}],
)  # fmt: skip
def test_nor_does_what_the_ledger_sets_aside_an_order_or_a_charted_zero(cells):
    assert received((-8, "Gabapentin", cells))["co_gabapentinoid"] == "none"


def test_an_unknown_status_leaves_it_open():
    assert received((-8, "Gabapentin", {"status": "unknown"}))["co_gabapentinoid"] == "unknown"
    both = received((-8, "Gabapentin", {"status": "unknown"}), (-4, "Pregabalin", {}))
    assert both["co_gabapentinoid"] == "given"


def test_the_window_is_half_open():
    assert received((-24, "Gabapentin", {}))["co_gabapentinoid"] == "given"
    assert received((0, "Gabapentin", {}))["co_gabapentinoid"] == "none"
    assert received((0, "Gabapentin", {}), window=(0, 24))["co_gabapentinoid"] == "given"
    assert received((-24.001, "Gabapentin", {}))["co_gabapentinoid"] == "none"


def test_an_infusion_counts_while_it_runs():
    lidocaine = {"route": "iv", "form": "infusion", "rate": 60.0}
    started = (-30, "Lidocaine", {**lidocaine, "status": "started"})
    assert received(started)["co_lidocaine_systemic"] == "given"  # until a row says otherwise
    over = (-26, "Lidocaine", {**lidocaine, "status": "stopped", "rate": None})
    assert received(started, over)["co_lidocaine_systemic"] == "none"
    late = (-20, "Lidocaine", {**lidocaine, "status": "stopped", "rate": None})
    assert received(started, late)["co_lidocaine_systemic"] == "given"
    paused = (-26, "Lidocaine", {**lidocaine, "status": "rate_change", "rate": 0.0})
    assert received(started, paused)["co_lidocaine_systemic"] == "none"
    at_edge = (-24, "Lidocaine", {**lidocaine, "status": "stopped", "rate": None})
    assert received(started, at_edge)["co_lidocaine_systemic"] == "none"
    assert received((-60, "Lidocaine", lidocaine))["co_lidocaine_systemic"] == "none"  # capped
    own_end = (-60, "Lidocaine", {**lidocaine, "end": -23})
    assert received(own_end)["co_lidocaine_systemic"] == "given"


def test_a_patch_counts_while_it_is_worn():
    patch = {"route": "transdermal", "form": "patch", "status": "applied"}
    assert received((-100, "Clonidine", patch))["co_alpha2_agonist"] == "given"
    assert received((-170, "Clonidine", patch), hours=24)["co_alpha2_agonist"] == "given"
    removed = (-90, "Clonidine", {**patch, "status": "removed"})
    assert received((-100, "Clonidine", patch), removed)["co_alpha2_agonist"] == "none"
    assert received((-37, "Lidocaine", patch))["co_local_anaesthetic"] == "none"
    assert received((-35, "Lidocaine", patch))["co_local_anaesthetic"] == "given"


def test_lidocaine_is_systemic_by_vein_or_under_the_skin_only():
    assert subclasses.find("Lidocaine", "lidocaine", "iv") == {"lidocaine_systemic"}
    assert subclasses.find("Lidocaine", "lidocaine", "sc") == {"lidocaine_systemic"}
    assert subclasses.find("Lidocaine 5% Patch", "lidocaine", "transdermal") == {
        "local_anaesthetic"
    }


def test_the_co_analgesic_of_a_combination_counts_too():
    row = received(
        (-8, "HYDROcodone-Acetaminophen (5mg-325mg)",
         {"class": "converted", "reason": "", "drug_resolved": "hydrocodone"})
    )  # fmt: skip
    assert row["co_acetaminophen"] == "given"


def test_every_subclass_of_the_dictionary_has_a_column():
    row = received()
    assert list(row.index) == [f"co_{name}" for name in subclasses.names()]
    assert {"gabapentinoid", "snri", "tca", "alpha2_agonist", "benzodiazepine", "nsaid",
            "corticosteroid", "local_anaesthetic", "acetaminophen", "lidocaine_systemic"} <= set(
        subclasses.names()
    )  # fmt: skip


def test_no_unit_no_row():
    doses = pd.DataFrame(columns=["dose_id", "unit_id", "drug", "start", "end", "status",
                                  "amount", "rate", "amount_basis"])  # fmt: skip
    doses = doses.astype({"start": "datetime64[us]", "end": "datetime64[us]"})
    ledger = pd.DataFrame(columns=["dose_id", "class", "reason", "drug_resolved",
                                   "route_resolved", "form_class"])  # fmt: skip
    found = co_analgesia.spans(doses, ledger)
    assert found.empty
    nobody = UNITS.head(0)
    none = co_analgesia.received(nobody, found, (-24, 0), pd.Series([], dtype="float64"))
    assert none.empty


# --- dialysis ---------------------------------------------------------------------------------


def sessions(*rows, modality="hemodialysis"):
    """Return the sessions of p1 from (hour, start or end)."""
    events = pd.DataFrame(
        [{"unit_id": "p1", "time": moment(hour), "event": f"dialysis_{side}", "status": "present"}
         for hour, side in rows],
        columns=["unit_id", "time", "event", "status"],
    ).astype({"time": "datetime64[us]"})  # fmt: skip
    return dialysis.sessions(events, status(modality))


def status(modality):
    return pd.Series([modality], index=["p1"], dtype="object")


def day(found, modality="hemodialysis", hours=24.0):
    low, high = pd.Series([moment(-24)]), pd.Series([moment(0)])
    answer = dialysis.dialysis_day(UNITS, found, status(modality), low, high, pd.Series([hours]))
    return None if answer.isna().iloc[0] else bool(answer.iloc[0])


def since(found):
    return dialysis.hours_since_dialysis(UNITS, found).iloc[0]


def test_a_session_in_the_day_before_makes_a_dialysis_day():
    found = sessions((-10, "start"), (-6, "end"))
    assert day(found) is True
    assert since(found) == 6


def test_a_session_that_ended_before_the_day_does_not():
    found = sessions((-30, "start"), (-24, "end"))
    assert day(found) is False
    assert since(found) == 24
    assert day(sessions((-30, "start"), (-23.9, "end"))) is True


def test_without_the_whole_day_observed_its_absence_is_unknown():
    found = sessions((-60, "start"), (-56, "end"))
    assert day(found, hours=5.4) is None
    assert day(sessions((-10, "start"), (-6, "end")), hours=5.4) is True


def test_without_events_nothing_is_known():
    for modality in ("hemodialysis", "none", None):
        assert day(None, modality) is None
    assert pd.isna(since(None))


def test_who_is_not_on_dialysis_has_no_dialysis_day():
    nothing = sessions()
    assert day(nothing, "none", hours=5.4) is False
    assert day(nothing, "unknown", hours=5.4) is None
    assert day(nothing, None, hours=24.0) is False
    assert pd.isna(since(nothing))
    # A charted session beats the record on entry.
    assert day(sessions((-10, "start"), (-6, "end"), modality="none"), "none") is True


@pytest.mark.parametrize("modality", ["peritoneal", "crrt"])
def test_continuous_dialysis_is_never_taken_for_none(modality):
    assert day(sessions(modality=modality), modality) is None


def test_a_session_that_runs_at_index():
    assert since(sessions((-2, "start"))) == 0
    assert day(sessions((-2, "start"))) is True
    assert since(sessions((-2, "start"), (3, "end"))) == 0


def test_a_start_without_an_end_is_over_after_twelve_hours_but_nobody_knows_when():
    found = sessions((-30, "start"))
    assert pd.isna(since(found))
    assert day(found) is None  # it may have reached into the day
    assert day(sessions((-20, "start"))) is True
    assert day(sessions((-40, "start"))) is False
    crrt = sessions((-90, "start"), modality="crrt")
    assert (day(crrt, "crrt"), since(crrt)) == (True, 0)


def test_an_end_without_a_start():
    found = sessions((-6, "end"))
    assert (day(found), since(found)) == (True, 6)


def test_starts_and_ends_pair_in_order():
    found = sessions((-50, "start"), (-46, "end"), (-46, "start"), (-42, "start"), (-40, "end"))
    assert found["start"].tolist() == [moment(-50), moment(-46), moment(-42)]
    assert found["end"].tolist() == [moment(-46), moment(-42), moment(-40)]
    assert found["end_known"].tolist() == [True, False, True]
    assert since(found) == 40


def test_a_looked_for_and_absent_session_is_none():
    events = pd.DataFrame(
        {"unit_id": ["p1"], "time": [moment(-6)], "event": ["dialysis_start"],
         "status": ["assessed_absent"]}
    )  # fmt: skip
    assert dialysis.sessions(events, status("hemodialysis")).empty
