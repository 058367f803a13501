"""One patient: who, which arm, when admitted, treated, discharged, dead or last seen."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import numpy as np

from ketamine_outcomes.extract.tables import TABLES
from ketamine_outcomes.simulate.parameters import ARMS, DAY, HOUR, Parameters

Cell = str | float | int | None
Row = dict[str, Cell]
COLUMNS = {name: table.names for name, table in TABLES.items()}


@dataclass
class Patient:
    """All that is decided before any charting; times are minutes from admission.

    `index` is the start of ketamine or, in the untreated, a moment drawn the same way that
    only the discharge hazard and the pain drift know (the extract does not show it).
    """

    pid: str
    origin: datetime
    rng: np.random.Generator
    parameters: Parameters
    centre: int
    age: int
    sex: str
    weight: float
    dialysis: str
    pain: float
    mme: float
    frailty: float
    planned: str
    arm: str
    index: int
    course_end: int | None
    switch_at: int | None
    entry: int
    death: int | None
    last_seen: int
    hospital: tuple[int, int, str]
    readmission: tuple[int, int, str] | None
    charted_from: int
    tables: dict[str, list[Row]] = field(default_factory=lambda: {name: [] for name in TABLES})
    counts: Counter[str] = field(default_factory=Counter)

    def add(self, table: str, **cells: Cell) -> Row:
        """Append a row; times are given in minutes and written when the file is."""
        row: Row = {"patient_id": self.pid, **cells}
        self.tables[table].append(row)
        return row

    def iso(self, minute: int) -> str:
        """Return the shifted date and time of a minute."""
        return (self.origin + timedelta(minutes=minute)).isoformat()

    def clock(self, minute: int) -> int:
        """Return the minute of the day, 0-1439."""
        return (self.origin.hour * HOUR + self.origin.minute + minute) % DAY

    @property
    def wear_off(self) -> int:
        """When the effects begin to be partly lost: the later of 72 h and the planned stop."""
        return max(self.index + 3 * DAY, self.course_end or 0)


def exponential(rng: np.random.Generator, per_day: float) -> int:
    """Return a waiting time in whole minutes, at least 1."""
    return max(1, math.ceil(float(rng.exponential(DAY / per_day))))


def choose(rng: np.random.Generator, weights: Mapping[str, float]) -> str:
    """Return one of the keys with probability proportional to its weight."""
    mark = float(rng.random()) * sum(weights.values())
    for word, weight in weights.items():
        mark -= weight
        if mark < 0:
            return word
    return word


def arm_shares(parameters: Parameters, centre: int, weight_z: float, pain_z: float) -> list[float]:
    """Return the probability of each planned arm; `*_z` are standardised covariates."""
    score = [
        math.exp(
            parameters.arm_intercept[arm]
            + parameters.arm_by_centre[arm][centre]
            + parameters.arm_per_sd_weight[arm] * weight_z
            + parameters.arm_per_point_pain[arm] * parameters.pain_between_sd * pain_z
        )
        for arm in ARMS
    ]
    return [value / sum(score) for value in score]


def draw_patient(seed: int, number: int, parameters: Parameters) -> Patient:
    """Draw patient `number` (from 1) of the registry with this seed."""
    rng = np.random.default_rng([seed, number])
    m = parameters
    origin = datetime(2120, 1, 1) + timedelta(
        days=int(rng.integers(0, 60 * 365)), minutes=int(rng.integers(0, DAY))
    )
    centre = int(choose(rng, {str(k): share for k, share in enumerate(m.centre_shares)}))
    weight = round(min(150.0, max(42.0, rng.normal(m.weight_mean_kg, m.weight_sd_kg))), 1)
    pain_z = float(rng.normal())
    mme = m.mme_median_per_day * math.exp(
        m.mme_log_per_point_pain * m.pain_between_sd * pain_z
        + m.mme_residual_sd_log * float(rng.normal())
    )
    shares = arm_shares(m, centre, (weight - m.weight_mean_kg) / m.weight_sd_kg, pain_z)
    planned = choose(rng, dict(zip(ARMS, shares, strict=True)))

    index = _draw_index(rng, origin.hour * HOUR + origin.minute)
    late = rng.random() < m.late_entry_share
    entry = int(rng.integers(6 * HOUR, 48 * HOUR)) if late else 0
    # Death is drawn from entry on: who is in the registry was alive when it began to look.
    dies = entry + exponential(rng, m.deaths_per_100_patient_years / 100 / 365.25)
    seen_until = entry + min(m.follow_up_days * DAY, exponential(rng, m.lost_per_day))

    leaves = min(index + 2 * DAY + exponential(rng, m.discharge_per_day), index + 40 * DAY)
    reason = choose(rng, {"discharged": 0.88, "hospice": 0.08, "transferred": 0.04})
    if dies <= leaves:
        leaves, reason = dies, "died"
    # Who plans ketamine and dies before it starts never had it: an untreated patient.
    arm = planned if dies > index else "untreated"
    course_end = switch_at = None
    if arm != "untreated":
        course_end = index + int(rng.integers(2 * DAY, 5 * DAY + 1))
        if rng.random() < m.switch_share:
            switch_at = index + int(rng.integers(DAY, 2 * DAY))

    last_seen = max(seen_until, leaves)
    readmission = None
    back = leaves + int(rng.integers(3 * DAY, 20 * DAY))
    if rng.random() < m.readmitted_share and reason == "discharged":
        again, reason_again = back + int(rng.integers(3 * DAY, 8 * DAY)), "discharged"
        if last_seen < again:
            again, reason_again = last_seen, "censored"
        if dies <= again:
            again, reason_again = dies, "died"
        if again - back >= 12 * HOUR:
            readmission = (back, again, reason_again)
    return Patient(
        pid=f"p{number}",
        origin=origin,
        rng=rng,
        parameters=m,
        centre=centre,
        age=int(min(90, max(25, round(float(rng.normal(60, 12)))))),
        sex=choose(rng, {"female": 0.60, "male": 0.39, "unknown": 0.01}),
        weight=weight,
        dialysis=choose(rng, {"hemodialysis": 0.85, "peritoneal": 0.13, "crrt": 0.02}),
        pain=m.pain_mean + m.pain_between_sd * pain_z,
        mme=mme,
        frailty=float(rng.gamma(1 / m.frailty_variance, m.frailty_variance)),
        planned=planned,
        arm=arm,
        index=index,
        course_end=course_end,
        switch_at=switch_at,
        entry=entry,
        death=dies if dies <= last_seen else None,
        last_seen=min(last_seen, dies),
        hospital=(0, leaves, reason),
        readmission=readmission,
        # One in ten came from a ward where doses were charted and pain and sites were not.
        charted_from=DAY if rng.random() < 0.10 and leaves > DAY else 0,
    )


def _draw_index(rng: np.random.Generator, admitted_clock: int) -> int:
    """Return the start of ketamine: day 3-5 after admission, in the working day."""
    earliest = 60 * HOUR if rng.random() < 0.10 else 72 * HOUR
    index = int(rng.integers(earliest, 108 * HOUR))
    clock = (admitted_clock + index) % DAY
    into_the_day = int(rng.integers(0, 2 * HOUR))
    if clock < 8 * HOUR:
        index += 8 * HOUR - clock + into_the_day
    elif clock >= 18 * HOUR:
        index += DAY - clock + 8 * HOUR + into_the_day
    return index


def chart_patient_and_stays(p: Patient) -> None:
    """Write the patient and the hours in which records were kept."""
    unknown_weight = p.rng.random() < 0.03
    p.add(
        "patients",
        centre_id=f"c{p.centre + 1}",
        entry_time=p.entry,
        age_years=p.age,
        sex=p.sex,
        weight_kg=None if unknown_weight else p.weight,
        dialysis=p.dialysis,
        calciphylaxis="true",
        death_time=p.death,
    )
    start, end, reason = p.hospital
    # Overlapping rows per domain, not adjoining ones: the stay itself has no seam.
    kept: Sequence[tuple[int, str]] = [(start, "all")]
    if p.charted_from:
        kept = [
            (start, "doses"),
            (p.charted_from, "pain_scores"),
            (p.charted_from, "infusion_sites"),
        ]
    rows = [(since, end, observes, reason) for since, observes in kept]
    if p.readmission:
        back, again, why = p.readmission
        rows.append((back, again, "all", why))
    ended = rows[-1][1]
    if p.death is None and p.last_seen - ended >= 2 * HOUR:
        # The last visit: a short look at pain only. Its end is the end of follow-up.
        rows.append((p.last_seen - 45, p.last_seen, "pain_scores", "censored"))
    for k, (since, until, observes, why) in enumerate(rows, start=1):
        p.add(
            "stays",
            stay_id=f"{p.pid}-v{k}",
            start=since,
            end=until,
            observes=observes,
            end_reason=why,
        )
