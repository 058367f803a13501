"""The estimates table keeps its contract."""

from __future__ import annotations

import pytest

from ketamine_outcomes import estimates
from ketamine_outcomes.estimates import Rows


def made(**cells):
    rows = Rows(analysis="a", outcome="o")
    rows.add("mean", 1.23456789012, n_patients=3, **cells)
    return estimates.table(rows.rows, study="s", cohort="c", definition_hash="h")


def test_columns_stand_in_the_order_of_the_contract():
    assert ",".join(made().columns) == (
        "study,cohort,scenario,analysis,outcome,population,contrast,adjustment,window,term,level,"
        "time_hours,measure,estimate,std_error,ci_low,ci_high,ci_level,p_value,df,n_patients,"
        "n_observations,n_events,unit,method,status,note,definition_hash"
    )


def test_released_numbers_have_nine_digits_and_come_back(tmp_path):
    path = tmp_path / "estimates.csv"
    estimates.write(made(), path)
    assert "1.23456789," in path.read_text()
    assert estimates.read(path)["n_patients"].iloc[0] == 3


@pytest.mark.parametrize("text", ["=1+1", "+1", "-x", "@x"])
def test_a_text_that_looks_like_a_formula_is_neutralised(text):
    assert f"'{text}" in estimates.to_csv(made(note=text))


def test_negative_numbers_stay_numbers():
    rows = Rows(analysis="a")
    rows.add("mean_difference", -2.5)
    frame = estimates.table(rows.rows, study="s")
    assert ",-2.5," in estimates.to_csv(frame)


def test_a_key_stands_once():
    rows = Rows(analysis="a")
    rows.add("mean", 1.0)
    rows.add("mean", 2.0)
    with pytest.raises(ValueError, match="not unique"):
        estimates.table(rows.rows)


def test_a_row_without_a_number_says_why_and_holds_none():
    rows = Rows(analysis="a")
    rows.refuse("mean", "one patient")
    frame = estimates.table(rows.rows)
    assert frame["status"].iloc[0] == "refused"
    assert frame[list(estimates.RESULTS)].isna().all(axis=None)
    with pytest.raises(ValueError, match="must say why"):
        estimates.table([{"measure": "mean", "status": "refused"}])


def test_words_outside_the_contract_are_refused():
    with pytest.raises(ValueError, match="measure"):
        estimates.table([{"measure": "average", "estimate": 1.0}])
    with pytest.raises(ValueError, match="not a column"):
        estimates.table([{"measure": "mean", "p": 1.0}])
