"""Pain scores, events and measurements of one patient."""

from __future__ import annotations

from ketamine_outcomes.simulate.parameters import DAY, HOUR
from ketamine_outcomes.simulate.patient import Patient, choose


def latent_pain(p: Patient, time: int) -> float:
    """Return the patient's expected latent NRS at rest at `time` (minutes)."""
    m = p.parameters
    days = min(max((time - p.index) / DAY, -m.pain_drift_until_days), m.pain_drift_until_days)
    onset = min(1.0, max(0.0, (time - p.index) / (m.pain_onset_hours * HOUR)))
    kept = 1.0 if time < p.wear_off else m.effect_kept_after_wear_off
    return p.pain + m.pain_drift_per_day * days + m.pain_effect[p.arm] * onset * kept


def chart_pain(p: Patient) -> None:
    """Write scores about every 4 h while observed, and one at the last visit.

    A score is missing with a chance that depends on the patient's expected pain at that hour,
    not on the momentary deviation: scores are more often missing when pain is low, and yet a
    patient's mean within a window is unbiased. A raw mean over patients is not.
    """
    stays = [(p.charted_from, p.hospital[1])]
    if p.readmission:
        stays.append(p.readmission[:2])
    visit = p.tables["stays"][-1]
    if visit["end_reason"] == "censored" and visit["observes"] == "pain_scores":
        stays.append((int(visit["start"] or 0), int(visit["end"] or 0)))
    for start, end in stays:
        _chart_scores(p, start, end)


def _chart_scores(p: Patient, start: int, end: int) -> None:
    rng, m = p.rng, p.parameters
    first = start + int(rng.integers(0, min(4 * HOUR, end - start)))
    n = (end - first) // 200 + 1
    gaps = rng.integers(200, 281, n)
    z = rng.normal(size=n)
    u = rng.random((n, 5))
    time, deviation = first, float(z[0])
    for k in range(n):
        if time >= end:
            break
        if k:
            correlation = m.pain_correlation_4h ** (int(gaps[k - 1]) / 240)
            deviation = correlation * deviation + (1 - correlation**2) ** 0.5 * float(z[k])
        expected = latent_pain(p, time)
        pain = expected + m.pain_within_sd * deviation
        asleep = not 6 * HOUR <= p.clock(time) < 23 * HOUR and u[k, 0] < 0.75
        # 1 / (1 + (x/4.5)^8) falls from 1 to 0 around 4.5 points without an exponential.
        low = 1 / (1 + (max(expected, 0.0) / 4.5) ** 8)
        missing = u[k, 1] < 0.05 + 0.15 * low
        if missing:
            p.counts["scores_missing"] += 1
        elif asleep or u[k, 2] < 0.01:
            p.add(
                "pain_scores",
                time=time,
                scale="nrs",
                context="rest",
                state="asleep" if asleep else "unassessable",
            )
        else:
            p.add(
                "pain_scores",
                time=time,
                scale="nrs",
                score=_rounded(pain, 10),
                context="rest",
                state="scored",
            )
            if u[k, 3] < 0.10:
                p.add(
                    "pain_scores",
                    time=time,
                    scale="nrs",
                    score=_rounded(pain + m.pain_movement_points + float(u[k, 4]) - 0.5, 10),
                    context="movement",
                    state="scored",
                )
            elif u[k, 3] > 0.97:
                p.add(
                    "pain_scores",
                    time=time,
                    scale="vas",
                    score=_rounded(10 * pain + 6 * float(u[k, 4]) - 3, 100),
                    context="rest",
                    state="scored",
                )
        time += int(gaps[k])


def _rounded(value: float, top: int) -> int:
    return int(min(top, max(0, round(value))))


def chart_events(p: Patient) -> None:
    """Write adverse events and their looked-for absence, dialysis, procedures and hospice."""
    rng = p.rng
    end, reason = p.hospital[1:]
    attribution = "disease" if p.arm == "untreated" else "ketamine"
    for event, risk in p.parameters.adverse_risk.items():
        happens = rng.random() < risk[p.arm]
        time = p.index + int(rng.integers(0, 3 * DAY))
        if happens and time < end:
            p.counts[f"{event}_{p.arm}"] += 1
            p.add(
                "events",
                time=time,
                event=event,
                status="present",
                grade=1 + int(rng.random() < 0.35),
                attribution=attribution,
            )
        if event == "nausea":
            continue  # nobody asks for its absence: no row is not the same as none
        for day in range(3):
            asked = p.index + day * DAY + 8 * HOUR
            today = happens and 0 <= time - (p.index + day * DAY) < DAY
            if asked < end and not today:
                p.add("events", time=asked, event=event, status="assessed_absent")
    if p.dialysis == "hemodialysis":
        offset = int(rng.integers(0, 7))
        for day in range(end // DAY + 1):
            start = day * DAY + int(rng.integers(8 * HOUR, 12 * HOUR))
            if (day + offset) % 7 in (0, 2, 4) and start + 4 * HOUR < end:
                p.add("events", time=start, event="dialysis_start", status="present")
                p.add("events", time=start + 4 * HOUR, event="dialysis_end", status="present")
                if rng.random() < 0.5:
                    p.add(
                        "events",
                        time=start + 3 * HOUR,
                        event="sodium_thiosulfate",
                        status="present",
                    )
    elif p.dialysis == "crrt":
        p.add("events", time=0, event="dialysis_start", status="present")
    if rng.random() < 0.08:
        p.add(
            "events",
            time=int(rng.integers(0, end)),
            event="debridement",
            status="present",
            attribution="disease",
        )
    if reason == "hospice":
        p.add("events", time=end, event="hospice", status="present")


def chart_measurements(p: Patient) -> None:
    """Write weights, sedation, blood pressure and laboratory values of the first stay."""
    rng = p.rng
    end = p.hospital[1]
    p.add("measurements", time=0, name="dry_weight_kg", value=p.weight, unit="kg")
    dialysed = p.dialysis != "peritoneal"
    for time in range(30, end, 2 * DAY):
        excess = float(rng.uniform(0, 3 if dialysed else 1))
        p.add(
            "measurements",
            time=time,
            name="weight_kg",
            value=round(p.weight + excess, 1),
            unit="kg",
        )
    for time in range(60, end, 12 * HOUR):
        p.add(
            "measurements",
            time=time,
            name="sbp",
            value=round(float(rng.normal(138, 18))),
            unit="mmHg",
        )
        p.add(
            "measurements",
            time=time,
            name="rass",
            value=int(choose(rng, {"0": 0.75, "-1": 0.17, "-2": 0.04, "1": 0.04})),
            unit="score",
        )
    albumin, alt = float(rng.normal(2.9, 0.5)), float(rng.lognormal(3.0, 0.4))
    for time in range(90, end, 3 * DAY):
        for name, value, unit in (
            ("albumin", round(min(5.0, max(1.2, albumin + float(rng.normal(0, 0.1)))), 1), "g/dL"),
            ("alt", round(alt * float(rng.uniform(0.85, 1.2))), "U/L"),
            ("creatinine", round(float(rng.uniform(4.0, 9.5)), 1), "mg/dL"),
        ):
            p.add("measurements", time=time, name=name, value=value, unit=unit)
