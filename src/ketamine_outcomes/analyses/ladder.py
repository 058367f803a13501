"""The rung: what a number of patients can bear (measured by simulation, docs/explanation)."""

from __future__ import annotations

from typing import Literal

Rung = Literal["one", "two_to_five", "six_to_eleven", "twelve_to_39", "forty_and_more"]

REFUSED = {
    "one": "one patient: values are described; no interval, p value or model",
    "two_to_five": "2-5 patients: a t interval of the mean change; no p value",
    "six_to_eleven": "6-11 patients: one value per patient and window; a mixed model of repeated "
    "scores would count scores as patients",
    "none": "no patient has a value in both windows",
}


def rung(patients: int) -> Rung:
    """Return the rung of a number of patients in the analysis.

    Raises
    ------
    ValueError
        No patient at all.
    """
    if patients < 1:
        raise ValueError("no patient")
    steps: tuple[tuple[int, Rung], ...] = (
        (1, "one"),
        (5, "two_to_five"),
        (11, "six_to_eleven"),
        (39, "twelve_to_39"),
    )
    for limit, name in steps:
        if patients <= limit:
            return name
    return "forty_and_more"
