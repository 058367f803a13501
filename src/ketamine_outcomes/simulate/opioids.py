"""Opioids and other drugs: doses whose expected MME is the patient's need, exactly.

Every part is stationary inside a phase: schedules start at a uniform offset, pushes come as a
Poisson stream, tablets and pump steps are rounded up or down at random with the right mean.
So the expected MME of any observed stretch of a phase is its length times the need, whatever
the stretch, and the ratio of two phases is the ratio of their needs.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from ketamine_outcomes.simulate.parameters import DAY, FACTORS, HOUR
from ketamine_outcomes.simulate.patient import Cell, Patient, choose

GIVEN_SHARE = 0.95  # of scheduled doses; ordered doses are larger by its inverse

ORAL = {  # drug, product, form, smallest step in mg, hours between doses; weight
    "oxycodone": ("oxycodone", "Tab 5 mg", "tablet", 2.5, 6, 0.45),
    "oxycodone_er": ("oxycodone", "Tab ER 10 mg", "tablet_er", 5.0, 12, 0.15),
    "hydromorphone": ("hydromorphone", "Tab 2 mg", "tablet", 1.0, 6, 0.25),
    "morphine": ("morphine", "Oral solution 10 mg/5 mL", "solution", 2.5, 4, 0.05),
    "methadone": ("methadone", "Tab 5 mg", "tablet", 2.5, 8, 0.10),
}
PUSHES = {  # drug, dose choices, unit; weight
    "hydromorphone": ((0.5, 1.0), "mg", 0.60),
    "morphine": ((2.0, 4.0), "mg", 0.15),
    "fentanyl": ((25.0, 50.0), "mcg", 0.15),
    "pca": ((0.2,), "mg", 0.10),
}
PATCH_LABELS = (12, 25, 50, 75, 100)


@dataclass(frozen=True)
class Phase:
    """A stretch of time with a constant multiple of the patient's baseline need."""

    start: int
    end: int
    multiple: float


def need_phases(p: Patient, start: int, end: int) -> list[Phase]:
    """Cut [start, end) where the need changes: at index, 24 h later and at the wearing off."""
    ratio = p.parameters.mme_ratio[p.arm]
    half = (1 + ratio) / 2
    marks = [(-(10**9), 1.0), (p.index, half), (p.index + DAY, ratio), (p.wear_off, half)]
    until = [mark for mark, _ in marks[1:]] + [10**9]
    return [
        Phase(max(start, since), min(end, to), multiple)
        for (since, multiple), to in zip(marks, until, strict=True)
        if max(start, since) < min(end, to)
    ]


def round_at_random(p: Patient, value: float, step: float) -> float:
    """Round to a multiple of `step`, up or down, so that the mean is `value`."""
    whole = math.floor(value / step)
    up = p.rng.random() < value / step - whole
    return round((whole + up) * step, 6)


def chart_opioids(p: Patient) -> None:
    """Write the opioids of both stays, and the other drugs."""
    rng = p.rng
    drug = choose(rng, {k: v[-1] for k, v in ORAL.items()})
    push = choose(rng, {k: v[-1] for k, v in PUSHES.items()})
    wants_patch, wants_pump = rng.random() < 0.12, rng.random() < 0.25
    scheduled = 0.0 if rng.random() < 0.08 else 0.6
    no_route = rng.random() < 0.03
    # The patch carries at most 40 % of the need, so the rest can fall far enough for the ratio.
    labels = [label for label in PATCH_LABELS if 2.4 * label <= 0.4 * p.mme]
    patch = labels[-1] if wants_patch and labels else 0
    pump = wants_pump and p.mme > 160 and not patch
    if pump and push == "fentanyl":
        push = "hydromorphone"  # one drug by one feed: pushes must not hide behind the pump

    stays = [p.hospital[:2]] + ([p.readmission[:2]] if p.readmission else [])
    for number, (start, end) in enumerate(stays):
        if patch:
            _chart_patch(p, patch, start, end)
        offset = float(rng.random())
        pump_end = min(end, p.index + 4 * DAY) if pump and number == 0 else start
        rates: list[tuple[int, float]] = []
        for phase in need_phases(p, start, end):
            need = p.mme * phase.multiple - 2.4 * patch
            parts = [
                (phase.start, min(phase.end, pump_end)),
                (max(phase.start, pump_end), phase.end),
            ]
            for running, (since, until) in zip((True, False), parts, strict=True):
                if since >= until:
                    continue
                rest = need
                if running:
                    rate = round_at_random(p, 0.5 * need / FACTORS["fentanyl", "iv"] / 24, 0.5)
                    rates.append((since, rate))
                    rest = 0.5 * need
                _chart_scheduled(
                    p, drug, rest * scheduled, (since, until), (start, offset), no_route
                )
                _chart_pushes(p, push, rest * (1 - scheduled), since, until)
        if rates:
            _chart_pump(p, rates, pump_end)
        _chart_other_drugs(p, start, end)
    _chart_odd_rows(p)


def _chart_scheduled(
    p: Patient,
    key: str,
    mme: float,
    window: tuple[int, int],
    clock: tuple[int, float],
    no_route: bool,
) -> None:
    drug, product, form, step, hours, _ = ORAL[key]
    every = hours * HOUR
    mg = round_at_random(p, mme / FACTORS[drug, "oral"] * hours / 24 / GIVEN_SHARE, step)
    if mg == 0:
        return
    since, until = window
    first = clock[0] + int(clock[1] * every)
    k = (since - first) // every - 1
    order = _new_order(p)
    while (due := first + k * every) < until + HOUR:
        # Jitter moves a dose by the same law everywhere, so the stream stays stationary; it is
        # a function of the dose, not of the phase, or a dose near a seam could count twice.
        time = due + (k * 37 + int(clock[1] * 1000)) % 41 - 20
        k += 1
        if not since <= time < until:
            continue
        given = p.rng.random() < GIVEN_SHARE
        status = "given" if given else choose(p.rng, {"refused": 1, "held": 1, "not_given": 1})
        p.add(
            "doses",
            order_id=order,
            drug=drug,
            product=product,
            route=None if no_route else "oral",
            form=None if no_route else form,
            start=time,
            amount=mg,
            amount_unit="mg",
            amount_basis="given",
            status=status,
            indication="pain",
            source="mar",
        )


def _chart_pushes(p: Patient, key: str, mme: float, since: int, until: int) -> None:
    drug = "hydromorphone" if key == "pca" else key
    doses, unit, _ = PUSHES[key]
    amount = doses[int(p.rng.integers(0, len(doses)))]
    per_day = mme / (FACTORS[drug, "iv"] * amount)
    # A Poisson stream: its expected count in any stretch is the rate times the length.
    n = int(p.rng.poisson(per_day * (until - since) / DAY))
    times = sorted(int(since + u * (until - since)) for u in p.rng.random(n))
    how = p.rng.random(n)
    order = _new_order(p)
    for time, u in zip(times, how, strict=True):
        row = p.add(
            "doses",
            order_id=order,
            drug=drug,
            product="PCA syringe" if key == "pca" else "Inj vial",
            route="iv",
            form="pca_demand" if key == "pca" else "injection",
            start=time,
            amount=amount,
            amount_unit=unit,
            amount_basis="given",
            status="delivered" if key == "pca" else "given",
            indication="pain",
            source="mar",
        )
        if key == "pca" and u < 0.10:  # a press in the lock-out: an attempt, nothing delivered
            p.add(
                "doses",
                **{
                    **row,
                    "patient_id": p.pid,
                    "start": min(time + 4, until - 1),
                    "status": "attempt",
                },
            )
        elif key != "pca" and u < 0.03:  # the same mass in the other unit
            other = amount / 1000 if unit == "mcg" else amount * 1000
            row.update(amount=round(other, 6), amount_unit="mg" if unit == "mcg" else "mcg")
        elif key != "pca" and u < 0.06:  # a whole vial taken, half of it thrown away
            row.update(amount=2 * amount, wasted=amount, amount_basis="dispensed")
        elif key != "pca" and u < 0.09:  # drawn up, not given: on top of what was needed
            p.add("doses", **{**row, "start": min(time + 7, until - 1), "status": "not_given"})


def _chart_patch(p: Patient, label: int, start: int, end: int) -> None:
    """A patch is worn for the whole stay and changed every 72 h; a stay's end is not a removal."""
    order = _new_order(p)
    sites = ("left arm", "right arm")
    common: dict[str, Cell] = {
        "order_id": order,
        "drug": "fentanyl",
        "product": f"Patch {label} mcg/h",
        "route": "transdermal",
        "form": "patch",
        "rate": label,
        "rate_unit": "mcg/h",
        "source": "mar",
    }
    for k, time in enumerate(range(start, end, 3 * DAY)):
        if k:
            p.add("doses", **common, start=time, site=sites[(k - 1) % 2], status="removed")
        p.add("doses", **common, start=time, site=sites[k % 2], status="applied")


def _chart_pump(p: Patient, rates: list[tuple[int, float]], stop: int) -> None:
    """A fentanyl infusion as rate rows, with renewals under the running pump and its stop."""
    twice = p.rng.random() < 0.5  # the intensive care flowsheet charts the same pump
    order, pump = _new_order(p), f"{p.pid}-f1"
    ends = [time for time, _ in rates[1:]] + [stop]
    rows: list[tuple[int, float, str]] = []
    for k, ((since, rate), until) in enumerate(zip(rates, ends, strict=True)):
        rows.append((since, rate, "rate_change" if k else "started"))
        time = since + int(p.rng.integers(7 * HOUR, 10 * HOUR))
        while time < until:
            rows.append((time, rate, "verified"))
            time += int(p.rng.integers(7 * HOUR, 10 * HOUR))
    rows.append((stop, 0.0, "stopped"))
    renewed = rates[0][0] + DAY
    for time, rate, status in rows:
        if time >= renewed and status == "verified":
            order, renewed, status = _new_order(p), time + DAY, "started"
        cells: dict[str, Cell] = {
            "drug": "fentanyl",
            "product": "Inf bag 2500 mcg/250 mL",
            "route": "iv",
            "form": "infusion",
            "start": time,
            "rate": rate,
            "rate_unit": "mcg/h",
            "status": status,
        }
        p.add("doses", **cells, order_id=order, infusion_id=pump, source="mar")
        if twice and status != "verified":
            p.counts["second_feed_rows"] += 1
            p.add("doses", **cells, order_id=f"{p.pid}-i1", infusion_id=f"{p.pid}-g1", source="icu")


def _chart_other_drugs(p: Patient, start: int, end: int) -> None:
    for drug, product, amount, hours, share in (
        ("gabapentin", "Cap 100 mg", 100, 24, 0.45),
        ("acetaminophen", "Tab 500 mg", 1000, 8, 0.60),
    ):
        if p.rng.random() >= share:
            continue
        order = _new_order(p)
        every = hours * HOUR
        for time in range(start + int(p.rng.integers(0, every)), end, every):
            p.add(
                "doses",
                order_id=order,
                drug=drug,
                product=product,
                route="oral",
                form="capsule" if drug == "gabapentin" else "tablet",
                start=time,
                amount=amount,
                amount_unit="mg",
                status="given",
                source="mar",
            )


def _chart_odd_rows(p: Patient) -> None:
    """Rows that charting really holds. They come on top of the need, in a few patients.

    Whether a patient has one depends on nothing else, so leaving these patients' windows out
    as incomplete, or keeping them as lower bounds, does not move the expected ratio.
    """
    start, end, reason = p.hospital
    base: dict[str, Cell] = {
        "product": "Inj vial",
        "route": "iv",
        "form": "injection",
        "status": "given",
        "source": "mar",
    }

    def somewhere() -> int:
        return int(p.rng.integers(start, end))

    if p.rng.random() < 0.015:
        p.counts["blank_unit_rows"] += 1
        p.add(
            "doses",
            **base,
            order_id=_new_order(p),
            drug="hydromorphone",
            start=somewhere(),
            amount=0.5,
        )
    if p.rng.random() < 0.015:
        p.counts["unknown_drug_rows"] += 1
        p.add(
            "doses",
            **base,
            order_id=_new_order(p),
            drug="pain cocktail",
            start=somewhere(),
            amount=1,
            amount_unit="mL",
        )
    if p.rng.random() < 0.015:
        p.counts["naloxone_rows"] += 1
        p.add(
            "doses",
            **base,
            order_id=_new_order(p),
            drug="naloxone",
            start=somewhere(),
            amount=0.1,
            amount_unit="mg",
            indication="other",
        )
    outside: dict[str, Cell] = {**base, "route": "oral", "form": "tablet", "product": "Tab 5 mg"}
    if p.rng.random() < 0.01:  # the emergency department, before observation began
        p.counts["out_of_stay_rows"] += 1
        p.add(
            "doses",
            **outside,
            order_id=_new_order(p),
            drug="oxycodone",
            start=-int(p.rng.integers(HOUR, 5 * HOUR)),
            amount=5,
            amount_unit="mg",
        )
    if p.rng.random() < 0.01 and reason == "discharged":  # charted after the patient had left
        time = end + int(p.rng.integers(HOUR, 5 * HOUR))
        if time < p.last_seen:
            p.counts["out_of_stay_rows"] += 1
            p.add(
                "doses",
                **outside,
                order_id=_new_order(p),
                drug="oxycodone",
                start=time,
                amount=5,
                amount_unit="mg",
            )


def _new_order(p: Patient) -> str:
    p.counts["orders"] += 1
    return f"{p.pid}-o{p.counts['orders']}"
