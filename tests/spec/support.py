"""Tiny extracts for the specifications: times are hours after midnight of one day."""

from __future__ import annotations

import pandas as pd

from ketamine_outcomes.extract.tables import Extract, conform

ZERO = pd.Timestamp("2150-03-04")


def at(hour: float | None) -> pd.Timestamp | None:
    """Return the moment `hour` hours after midnight."""
    return None if hour is None else ZERO + pd.Timedelta(hours=hour)


def extract(
    doses: list[dict[str, object]] | None = None,
    stays: list[tuple[float, float]] | None = None,
    pain: list[tuple[float, float | None]] | None = None,
    patient: dict[str, object] | None = None,
    weights: list[tuple[float, float]] | None = None,
    stay: dict[str, object] | None = None,
) -> Extract:
    """Return an extract of one patient, `p1`."""
    tables = {
        "patients": conform(
            "patients",
            pd.DataFrame([{"patient_id": "p1", **{k: v for k, v in (patient or {}).items()}}]),
        )
    }
    if doses is not None:
        rows = []
        for i, dose in enumerate(doses, 1):
            row = {"patient_id": "p1", "dose_id": f"d{i}", **dose}
            row["start"], row["end"] = at(row["start"]), at(row.get("end"))  # type: ignore[arg-type]
            rows.append(row)
        tables["doses"] = conform("doses", pd.DataFrame(rows))
    if stays is not None:
        tables["stays"] = conform(
            "stays",
            pd.DataFrame(
                [
                    {"patient_id": "p1", "stay_id": f"s{i}", "start": at(a), "end": at(b),
                     "end_reason": "discharged", **(stay or {})}
                    for i, (a, b) in enumerate(stays)
                ]
            ),
        )  # fmt: skip
    if pain is not None:
        tables["pain_scores"] = conform(
            "pain_scores",
            pd.DataFrame(
                [
                    {"patient_id": "p1", "time": at(hour), "scale": "nrs", "score": score,
                     "state": "scored" if score is not None else "asleep"}
                    for hour, score in pain
                ]
            ),
        )  # fmt: skip
    if weights is not None:
        tables["measurements"] = conform(
            "measurements",
            pd.DataFrame(
                [
                    {"patient_id": "p1", "time": at(hour), "name": "weight_kg", "value": kg,
                     "unit": "kg"}
                    for hour, kg in weights
                ]
            ),
        )  # fmt: skip
    return Extract(tables)


def units_at(hour: float) -> pd.DataFrame:
    """Return the cohort of `p1` with time zero at `hour`."""
    return pd.DataFrame(
        {"unit_id": ["p1"], "patient_id": ["p1"], "index_time": [at(hour)], "index_end": [pd.NaT],
         "group": ["treated"], "route": ["iv"]}
    ).astype({"index_time": "datetime64[us]", "index_end": "datetime64[us]"})  # fmt: skip
