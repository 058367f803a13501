"""Windows around index and the hours observed in them."""

from __future__ import annotations

import numpy as np
import pandas as pd

from ketamine_outcomes import intervals
from ketamine_outcomes.extract.tables import Extract
from ketamine_outcomes.study import Windows


def label(window: tuple[float, float]) -> str:
    """Return the name of a window.

    >>> label((-24, 0))
    '[-24,0)'
    """
    return f"[{window[0]:g},{window[1]:g})"


def window_bounds(
    index_time: pd.Series, window: tuple[float, float]
) -> tuple[pd.Series, pd.Series]:
    """Return start and end of a window for every index time."""
    return (
        index_time + pd.Timedelta(hours=window[0]),
        index_time + pd.Timedelta(hours=window[1]),
    )


def observed_hours(
    extract: Extract, units: pd.DataFrame, domain: str, start: pd.Series, end: pd.Series
) -> pd.Series:
    """Return the hours of [start, end) in which a domain was observed, one value per unit.

    Overlapping stays count once, and nothing is observed after death. Without a stays table
    every value is missing: nothing is known to be zero.
    """
    if "stays" not in extract.tables:
        return pd.Series(float("nan"), index=units.index)
    spans = observed_spans(extract, domain)
    asked = pd.DataFrame(
        {"patient_id": units["patient_id"].to_numpy(), "row": range(len(units)),
         "low": intervals.microseconds(start), "high": intervals.microseconds(end)}
    )  # fmt: skip
    both = asked.merge(spans, on="patient_id")
    shared = intervals.overlap(
        intervals.microseconds(both["start"]),
        intervals.microseconds(both["end"]),
        both["low"].to_numpy(),
        both["high"].to_numpy(),
    )
    total = np.bincount(both["row"].to_numpy(), shared, minlength=len(units))
    return pd.Series(total / intervals.MICROSECONDS_PER_HOUR, index=units.index, dtype="float64")


def observed_spans(extract: Extract, domain: str) -> pd.DataFrame:
    """Return the union of each patient's stays that observe a domain: patient_id, start, end.

    A stay whose end was charted after death ends at death.
    """
    stays = extract.rows("stays")
    chosen = stays.loc[stays["observes"].isin([domain, "all"]), ["patient_id", "start", "end"]]
    death = chosen["patient_id"].map(
        extract.rows("patients").groupby("patient_id")["death_time"].min()
    )
    chosen = chosen.assign(end=chosen["end"].where(~(death < chosen["end"]), death))
    chosen = chosen[chosen["start"] <= chosen["end"]]
    chosen = chosen.sort_values(["patient_id", "start", "end"], kind="stable")
    by_patient = chosen["patient_id"]
    reach = chosen.groupby("patient_id")["end"].cummax().groupby(by_patient).shift()
    run = (reach.isna() | (chosen["start"] > reach)).cumsum()
    return (
        chosen.groupby(["patient_id", run.rename("run")])
        .agg(start=("start", "min"), end=("end", "max"))
        .reset_index()[["patient_id", "start", "end"]]
    )


def observed_intervals(extract: Extract, domain: str) -> dict[str, list[tuple[int, int]]]:
    """Return the union of each patient's stays that observe a domain, in microseconds."""
    spans = observed_spans(extract, domain)
    found: dict[str, list[tuple[int, int]]] = {}
    for patient, start, end in zip(
        spans["patient_id"],
        intervals.microseconds(spans["start"]).tolist(),
        intervals.microseconds(spans["end"]).tolist(),
        strict=True,
    ):
        if end > start:
            found.setdefault(patient, []).append((start, end))
    return found


def study_windows(windows: Windows) -> list[tuple[float, float]]:
    """Return all windows of a study once: baseline, follow-up, primary MME."""
    primary = windows.primary_mme
    every = [windows.baseline, *windows.follow_up, primary.before, primary.after]
    return list(dict.fromkeys(every))


def pain_windows(windows: Windows) -> list[tuple[float, float]]:
    """Return baseline and follow-up windows, in order."""
    return [windows.baseline, *windows.follow_up]
