"""Windows around index and the hours observed in them."""

from __future__ import annotations

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

    Overlapping stays count once. Without a stays table every value is missing: nothing is known
    to be zero.
    """
    if "stays" not in extract.tables:
        return pd.Series(float("nan"), index=units.index)
    merged = observed_intervals(extract.tables["stays"], domain)
    hours = []
    for patient, low, high in zip(
        units["patient_id"], intervals.microseconds(start), intervals.microseconds(end), strict=True
    ):
        total = sum(
            max(0, min(b, int(high)) - max(a, int(low))) for a, b in merged.get(patient, [])
        )
        hours.append(total / intervals.MICROSECONDS_PER_HOUR)
    return pd.Series(hours, index=units.index, dtype="float64")


def observed_intervals(stays: pd.DataFrame, domain: str) -> dict[str, list[tuple[int, int]]]:
    """Return the union of each patient's stays that observe a domain, in microseconds."""
    chosen = stays[stays["observes"].isin([domain, "all"])]
    found: dict[str, list[tuple[int, int]]] = {}
    for patient, start, end in zip(
        chosen["patient_id"],
        intervals.microseconds(chosen["start"]).tolist(),
        intervals.microseconds(chosen["end"]).tolist(),
        strict=True,
    ):
        found.setdefault(patient, []).append((start, end))
    return {patient: intervals.union(spans) for patient, spans in found.items()}


def study_windows(windows: Windows) -> list[tuple[float, float]]:
    """Return all windows of a study once: baseline, follow-up, primary MME."""
    primary = windows.primary_mme
    every = [windows.baseline, *windows.follow_up, primary.before, primary.after]
    return list(dict.fromkeys(every))


def pain_windows(windows: Windows) -> list[tuple[float, float]]:
    """Return baseline and follow-up windows, in order."""
    return [windows.baseline, *windows.follow_up]
