"""Pain per window, response, and time to sustained relief.

Scales are never stacked. Only scores at rest (or without a stated context) enter window values:
pain on movement, at dressing changes and on dialysis is another quantity. Asleep is a state,
not a score of 0.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from ketamine_outcomes import intervals
from ketamine_outcomes.cohort.windows import label, observed_intervals
from ketamine_outcomes.extract.tables import Extract
from ketamine_outcomes.study_outcomes import ReliefOutcome, ResponderOutcome

HOLD_HOURS = 6.0
DAY = 24.0


def scores_from_index(units: pd.DataFrame, extract: Extract, scale: str) -> pd.DataFrame:
    """Return resting scores of one scale: unit_id, patient_id, hour (from index), score."""
    scores = extract.rows("pain_scores")
    scores = scores[
        scores["scale"].eq(scale)
        & scores["score"].notna()
        & (scores["context"].isna() | scores["context"].eq("rest"))
    ]
    joined = scores.merge(units[["unit_id", "patient_id", "index_time"]], on="patient_id")
    hour = intervals.hours_between(joined["index_time"], joined["time"])
    table = joined.assign(hour=hour)[["unit_id", "patient_id", "hour", "score"]]
    return table.sort_values(["unit_id", "hour"], kind="stable").reset_index(drop=True)


def window_pain(
    units: pd.DataFrame,
    scores: pd.DataFrame,
    windows: Sequence[tuple[float, float]],
    summary: str,
    min_scores: int,
) -> pd.DataFrame:
    """Return the pain of every unit and window.

    Parameters
    ----------
    units, scores
        As of `scores_from_index`.
    windows
        [from, to) in hours from index.
    summary
        time_weighted_mean: a score holds to the next score, the window end or 6 h; or mean.
    min_scores
        Scores that a window needs for a value.

    Returns
    -------
    DataFrame
        unit_id, window, value (missing when too few scores), n_scores, state (`value`,
        `too_few_scores`, `unknown`).
    """
    tables = []
    for window in windows:
        inside = scores[(scores["hour"] >= window[0]) & (scores["hour"] < window[1])]
        following = inside.groupby("unit_id")["hour"].shift(-1).fillna(window[1])
        held = (following - inside["hour"]).clip(upper=HOLD_HOURS)
        if summary == "mean":
            held = pd.Series(1.0, index=inside.index)
        weight = held.groupby(inside["unit_id"]).sum()
        value = (inside["score"] * held).groupby(inside["unit_id"]).sum() / weight
        n = units["unit_id"].map(inside.groupby("unit_id").size()).fillna(0).astype("int64")
        tables.append(
            pd.DataFrame(
                {
                    "unit_id": units["unit_id"],
                    "window": label(window),
                    "value": units["unit_id"].map(value).where(n >= min_scores),
                    "n_scores": n,
                    "state": np.select([n == 0, n < min_scores], ["unknown", "too_few_scores"],
                                       "value"),
                }
            )
        )  # fmt: skip
    return pd.concat(tables, ignore_index=True)


def response(pain: pd.DataFrame, baseline: str, outcome: ResponderOutcome) -> pd.DataFrame:
    """Return who responded per follow-up window.

    Returns
    -------
    DataFrame
        unit_id, window, eligible (baseline value known and high enough), responded (missing
        when the window has no value).
    """
    base = pain[pain["window"] == baseline].set_index("unit_id")["value"]
    after = pain[pain["window"] != baseline].copy()
    before = after["unit_id"].map(base)
    after["eligible"] = (before >= outcome.baseline_at_least).fillna(False)
    if outcome.fall_at_least is not None:
        # A tolerance below the resolution of any scale keeps 0.7 x 10 <= 7 true in binary.
        hit = after["value"] <= before * (1 - outcome.fall_at_least) + 1e-9
    else:
        assert outcome.points_at_least is not None
        hit = before - after["value"] >= outcome.points_at_least - 1e-9
    after["responded"] = hit.astype("boolean").mask(after["value"].isna() | before.isna())
    return after[["unit_id", "window", "eligible", "responded"]]


def time_to_relief(
    units: pd.DataFrame,
    extract: Extract,
    scores: pd.DataFrame,
    baseline: tuple[float, float],
    summary: str,
    min_scores: int,
    outcome: ReliefOutcome,
) -> pd.DataFrame:
    """Return the time to the end of the second of two consecutive 24-h windows with relief.

    Returns
    -------
    DataFrame
        One row per unit whose baseline value is high enough: unit_id, patient_id, time_hours,
        cause (`event`, `death`, `end_of_observation`), entry_hours (0).
    """
    base = window_pain(units, scores, [baseline], summary, min_scores).set_index("unit_id")["value"]
    eligible = units[(units["unit_id"].map(base) >= outcome.baseline_at_least).to_numpy()]
    ends = _observation_ends(eligible, extract)
    horizon = int(max([0.0, *ends["end_hours"]]) // DAY) + 1
    days = [(DAY * k, DAY * (k + 1)) for k in range(horizon + 1)]
    window_values = window_pain(eligible, scores, days, summary, min_scores)
    relieved = window_values["value"] <= (
        window_values["unit_id"].map(base) * outcome.at_most_ratio + 1e-9
    )
    by_unit = {
        unit: dict(zip(group["window"], relieved[group.index], strict=True))
        for unit, group in window_values.groupby("unit_id")
    }
    rows = []
    for unit, patient, end, cause in intervals.each(ends):
        time, why = end, cause
        for k in range(horizon):
            second_end = DAY * (k + 2)
            if second_end > end:
                break
            if by_unit[unit][label(days[k])] and by_unit[unit][label(days[k + 1])]:
                time, why = second_end, "event"
                break
        rows.append((unit, patient, time, why, 0.0))
    return pd.DataFrame(
        rows, columns=["unit_id", "patient_id", "time_hours", "cause", "entry_hours"]
    )


def _observation_ends(units: pd.DataFrame, extract: Extract) -> pd.DataFrame:
    """Return when and why the observation of pain that holds index ended, in hours."""
    spans = observed_intervals(extract, "pain_scores")
    stays = extract.rows("stays")
    died = stays.loc[stays["end_reason"].eq("died"), ["patient_id", "end"]]
    ended_in_death = set(
        zip(died["patient_id"], intervals.microseconds(died["end"]).tolist(), strict=True)
    )
    deaths = extract.rows("patients").set_index("patient_id")["death_time"]
    rows = []
    index = intervals.microseconds(units["index_time"]).tolist()
    for unit, patient, zero in zip(units["unit_id"], units["patient_id"], index, strict=True):
        end = next((b for a, b in spans.get(patient, []) if a <= zero <= b), zero)
        cause = "end_of_observation"
        death = deaths.get(patient)
        known = death is not None and not pd.isna(death)
        at = int(np.datetime64(death, "us").astype(np.int64)) if known else end
        # A stay that ends in death is charted to the minute, sometimes a few minutes later.
        if known and at <= end + intervals.MICROSECONDS_PER_HOUR:
            end, cause = at, "death"
        # Where death is known to the day, or not at all, the stay says when.
        elif (patient, end) in ended_in_death and at <= end + 24 * intervals.MICROSECONDS_PER_HOUR:
            cause = "death"
        rows.append((unit, patient, max(0, end - zero) / intervals.MICROSECONDS_PER_HOUR, cause))
    return pd.DataFrame(rows, columns=["unit_id", "patient_id", "end_hours", "cause"])
