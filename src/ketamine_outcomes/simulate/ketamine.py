"""The ketamine course: site episodes with competing ends, and the pump that runs through them."""

from __future__ import annotations

import math
from dataclasses import dataclass

from ketamine_outcomes.simulate.parameters import DAY, HOUR
from ketamine_outcomes.simulate.patient import Cell, Patient, choose, exponential

DEVICES = {
    "iv": {"18G": 0.15, "20G": 0.50, "22G": 0.35},
    "sc": {"steel needle": 0.45, "soft cannula": 0.55},
}
POSITIONS = {
    "iv": {"left forearm": 0.4, "right forearm": 0.4, "left hand": 0.1, "right hand": 0.1},
    "sc": {"abdomen": 0.4, "left arm": 0.3, "right arm": 0.3},
}
# Signs of an event that made someone act (>= C2), and of one that was only observed (C1).
ACTED = {
    "iv": {
        "phlebitis": 0.35,
        "infiltration": 0.30,
        "erythema": 0.15,
        "swelling": 0.10,
        "extravasation": 0.05,
        "infection": 0.05,
    },
    "sc": {
        "induration": 0.35,
        "nodule": 0.20,
        "erythema": 0.20,
        "pain": 0.15,
        "swelling": 0.05,
        "abscess": 0.05,
    },
}
OBSERVED = {
    "iv": {"erythema": 0.5, "pain": 0.3, "leak": 0.2},
    "sc": {"erythema": 0.4, "induration": 0.3, "pain": 0.2, "bleeding": 0.1},
}


@dataclass(frozen=True)
class Run:
    """Ketamine through one site without a break."""

    route: str
    start: int
    stop: int
    site: str


def chart_ketamine(p: Patient) -> None:
    """Write the course of a treated patient: sites, their events and the pump's rows."""
    if p.course_end is None:
        return
    left = p.hospital[1]
    end = min(p.course_end, left)
    other = "sc" if p.arm == "iv" else "iv"
    legs = [(p.arm, p.index, end)]
    if p.switch_at is not None and p.switch_at < end - HOUR:
        p.counts["route_switches"] += 1
        legs = [(p.arm, p.index, p.switch_at), (other, p.switch_at + 30, end)]
    runs: list[Run] = []
    for route, start, stop in legs:
        runs += _chart_sites(p, route, start, stop)
    _chart_pump(p, runs)


def _chart_sites(p: Patient, route: str, start: int, stop: int) -> list[Run]:
    """Write site episodes that carry ketamine over [start, stop), one after the other."""
    rng, m = p.rng, p.parameters
    left, why_left = p.hospital[1:]
    runs: list[Run] = []
    time = start
    lead = int(rng.integers(1, 6)) * HOUR if route == "iv" else int(rng.integers(10, 31))
    while time < stop:
        p.counts["sites"] += 1
        site = f"{p.pid}-s{p.counts['sites']}"
        # From the first ketamine on, one of these ends the site; the first wins.
        ends = {
            "event": exponential(rng, m.site_hazard[route] * p.frailty),
            "disease": exponential(rng, m.disease_event_per_site_day),
            "mishap": exponential(rng, m.dislodged_or_occluded_per_site_day),
            "resited": int(rng.integers(3 * DAY, 4 * DAY)),
        }
        # After the stop the site stays in for some hours; a few stay until the patient leaves,
        # uncharted. They are at risk all the while.
        forgotten = rng.random() < 0.06
        tail = left if forgotten else min(left, stop + int(rng.integers(0, 6 * HOUR)))
        cause = min(ends, key=lambda name: ends[name])
        last = time + ends[cause]
        if last >= tail:
            cause, last = "tail", tail
        removed = last
        if cause in ("event", "disease") and rng.random() < 0.3:  # seen first, removed later
            removed = min(left, last + int(rng.integers(HOUR, 3 * HOUR)))
        reason = {
            "event": "complication",
            "disease": "complication",
            "resited": "resited",
            "mishap": "dislodged" if rng.random() < 0.5 else "occluded",
        }.get(cause)
        if reason is None:
            reason = "completed" if tail < left else why_left
            reason = reason if reason in ("completed", "died", "discharged") else "transferred"
            reason = "unknown" if forgotten else reason
        uncharted = cause == "tail" and tail == left
        p.add(
            "infusion_sites",
            site_episode_id=site,
            route=route,
            device=choose(rng, DEVICES[route]),
            position=choose(rng, POSITIONS[route]),
            start=max(p.charted_from, time - lead),
            end=None if uncharted else removed,
            end_reason=reason,
        )
        _chart_looks(p, route, site, time, last)
        if cause in ("event", "disease"):
            _chart_event(p, route, site, last, by_disease=cause == "disease")
        p.counts[f"site_minutes_{route}"] += last - time
        p.counts[f"site_events_{route}"] += cause == "event"
        p.counts[f"site_episodes_{route}"] += 1
        runs.append(Run(route, time, min(stop, last), site))
        time, lead = removed + int(rng.integers(15, 40)), 10
    return runs


def _chart_looks(p: Patient, route: str, site: str, start: int, end: int) -> None:
    """Inspections without a finding every 8-12 h, and findings that were only observed."""
    rng = p.rng
    seen: set[int] = {end}
    time = start + exponential(rng, p.parameters.site_observe_hazard[route])
    while time < end:
        seen.add(time)
        p.add(
            "site_events",
            site_episode_id=site,
            time=time,
            sign=choose(rng, OBSERVED[route]),
            grade=1,
            scale="consequence",
            attribution="infusion" if rng.random() < 0.8 else "unclear",
        )
        p.counts[f"site_observed_{route}"] += 1
        time += exponential(rng, p.parameters.site_observe_hazard[route])
    time = start + int(rng.integers(4 * HOUR, 12 * HOUR))
    while time < end:
        if time not in seen:
            p.add(
                "site_events",
                site_episode_id=site,
                time=time,
                sign="none",
                grade=0,
                scale="consequence",
            )
        time += int(rng.integers(8 * HOUR, 12 * HOUR + 1))


def _chart_event(p: Patient, route: str, site: str, time: int, *, by_disease: bool) -> None:
    rng = p.rng
    if by_disease:
        cells: dict[str, Cell] = {"sign": "ulcer", "grade": 2, "attribution": "disease"}
    else:
        cells = {
            "sign": choose(rng, ACTED[route]),
            "grade": int(choose(rng, {"2": 0.75, "3": 0.20, "4": 0.05})),
            "attribution": "infusion" if rng.random() < 0.87 else "unclear",
        }
    p.add("site_events", site_episode_id=site, time=time, **cells, scale="consequence")
    if cells["sign"] == "phlebitis" and rng.random() < 0.5:  # the ward's own scale beside it
        p.add(
            "site_events",
            site_episode_id=site,
            time=time,
            sign="phlebitis",
            grade=int(rng.integers(2, 5)),
            scale="ins_phlebitis",
            attribution=cells["attribution"],
        )


def _chart_pump(p: Patient, runs: list[Run]) -> None:
    """Rate rows: started, rate_change, verified, a new order under the running pump, stopped."""
    rng = p.rng
    left = p.hospital[1]
    style = rng.random()  # one unit per patient and route, as the pump library has it
    bolus = rng.random() < 0.15
    twice = p.arm == "iv" and rng.random() < 0.06
    iv_rate = float(rng.uniform(0.05, 0.15))  # mg/kg/h
    sc_rate = float(rng.choice([100, 200, 300])) / 24  # mg/h
    steps: list[tuple[int, float]] = []  # when, and the factor on the first rate
    time, factor = p.index, 1.0
    while time < runs[-1].stop and len(steps) < 4:
        steps.append((time, factor))
        time += int(rng.integers(10 * HOUR, 30 * HOUR))
        factor = min(2.0, factor * float(rng.choice([1.25, 1.5, 0.8])))
    if bolus:
        p.add(
            "doses",
            order_id=f"{p.pid}-kb",
            drug="ketamine",
            product="Inj vial 50 mg/mL",
            route=runs[0].route,
            form="injection",
            start=p.index,
            amount=round(p.weight * float(rng.uniform(0.1, 0.25))),
            amount_unit="mg",
            site_episode_id=runs[0].site,
            status="given",
            indication="pain",
            source="mar",
        )
    order = 1
    renewed = p.index + DAY
    for k, run in enumerate(runs, start=1):

        def rate_at(time: int, route: str = run.route) -> tuple[float, str, float | None]:
            factor = [f for since, f in steps if since <= time][-1]
            if route == "sc":
                mg_h = min(12.5, max(100 / 24, sc_rate * factor))
                if style < 0.1:
                    return round(mg_h / 10, 2), "mL/h", 10.0
                return round(mg_h, 1), "mg/h", None
            per_kg = min(0.3, max(0.05, iv_rate * factor))
            if style < 0.6:
                return round(per_kg, 2), "mg/kg/h", None
            return round(per_kg * p.weight, 1), "mg/h", None

        rows: list[tuple[int, str]] = [(run.start, "started")]
        rows += [(t, "rate_change") for t, _ in steps if run.start < t < run.stop]
        time = run.start + int(rng.integers(8 * HOUR, 12 * HOUR))
        while time < run.stop:
            rows.append((time, "verified"))
            time += int(rng.integers(8 * HOUR, 12 * HOUR))
        # A death or a discharge with the pump running leaves no stop row half of the time.
        if run.stop < left or rng.random() < 0.5:
            rows.append((run.stop, "stopped"))
        for time, status in sorted(rows):
            if status == "verified" and time >= renewed:
                order, renewed, status = order + 1, time + DAY, "started"
            elif status == "verified" and rng.random() < 0.15:
                status = "new_bag"
            rate, unit, concentration = rate_at(time)
            cells: dict[str, Cell] = {
                "drug": "ketamine",
                "product": "Inf syringe",
                "route": run.route,
                "form": "infusion",
                "start": time,
                "rate": 0 if status == "stopped" else rate,
                "rate_unit": unit,
                "concentration": concentration,
                "concentration_unit": None if concentration is None else "mg/mL",
                "site_episode_id": run.site,
                "status": status,
                "indication": "pain",
            }
            if status == "new_bag":  # the amount is what the bag holds, not what was given
                cells.update(amount=200, amount_unit="mg")
            p.add(
                "doses",
                **cells,
                order_id=f"{p.pid}-k{order}",
                infusion_id=f"{p.pid}-r{k}",
                source="mar",
            )
            if twice and status not in ("verified", "new_bag"):
                p.counts["second_feed_rows"] += 1
                p.add(
                    "doses",
                    **cells,
                    order_id=f"{p.pid}-j1",
                    infusion_id=f"{p.pid}-q{k}",
                    source="icu",
                )


def cumulative_incidence(
    hazard: float, variance: float, competing: float, days: float, steps: int = 2000
) -> float:
    """Return the risk of a first event by `days` under gamma frailty and competing removal.

    Simpson's rule on hazard x (1 + variance x hazard x u)^(-1/variance - 1) x exp(-competing u),
    the marginal density of the event among those whose site is still in.
    """

    def density(u: float) -> float:
        return float(
            hazard * (1 + variance * hazard * u) ** (-1 / variance - 1) * math.exp(-competing * u)
        )

    h = days / steps
    inner = sum((4 if k % 2 else 2) * density(k * h) for k in range(1, steps))
    return h / 3 * (density(0) + inner + density(days))
