"""The rules of exposure in plain Python, one patient and drug at a time, to check the SQL against.

It shares with the product what is no engine: the meaning of words (`charting.resolve`), the
factor table, the names of flags. Everything that looks at numbers, times or neighbouring rows is
written here a second time, in loops, as the documentation says it.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import Any

import pandas as pd

from ketamine_outcomes.exposure import charting, units
from ketamine_outcomes.exposure.charting import Assumptions, Charting, Way
from ketamine_outcomes.exposure.factors import FactorTable
from ketamine_outcomes.exposure.flags import BIT, IMPUTED

HOUR = 3_600_000_000
MINUTE = HOUR // 60
DAY = 24 * HOUR
CAP = 24 * HOUR
WEAR_HOURS = {"buprenorphine": 168}


@dataclass
class Row:
    """A dose row: its cells, what they mean, and what becomes of it."""

    number: int
    cells: dict[str, Any]
    meaning: Charting
    s: int | None
    e: int | None
    weight: float | None = None
    amount_mg: float | None = None
    rate: float | None = None
    rate_kg: float | None = None
    label: float | None = None
    fault: str = ""
    verdict: str = ""
    why: str = ""
    flags: int = 0
    converts: bool = False

    @property
    def at(self) -> int:
        """When it starts: only rows without a start have none, and they are never placed."""
        assert self.s is not None
        return self.s

    @property
    def patient(self) -> str:
        return str(self.cells["patient_id"])

    @property
    def source(self) -> str:
        return self.cells["source"] or ""

    @property
    def id(self) -> tuple[str, int]:
        return (self.cells["dose_id"], self.number)


@dataclass
class Piece:
    row: Row
    kind: str
    s: int
    e: int
    mg: float | None
    flags: int = 0


@dataclass
class Stay:
    a: int
    b: int
    observes: str
    reason: str


@dataclass
class Result:
    rows: list[Row]
    pieces: list[Piece] = field(default_factory=list)


def _blank(value: Any) -> bool:
    return value is None or value is pd.NaT or (isinstance(value, float) and value != value)


def _us(value: Any) -> int | None:
    return None if _blank(value) else int(pd.Timestamp(value).value // 1000)


def classify(tables: dict[str, pd.DataFrame], assume: Assumptions, index_drug: str | None = None):
    """Return the rows with their verdicts, and the pieces."""
    doses = tables["doses"]
    rows = [
        _row(number, {k: None if _blank(v) else v for k, v in record.items()}, assume, index_drug)
        for number, record in enumerate(doses.to_dict("records"), start=1)
    ]
    deaths: dict[str, int] = {}
    if "patients" in tables:
        for record in tables["patients"].to_dict("records"):
            moment = _us(record["death_time"])
            if moment is not None:
                deaths[record["patient_id"]] = moment
    stays = _stays(tables.get("stays"), deaths) if assume.stays_complete else None
    for row in rows:
        _measure(row, tables)
    result = Result(rows)
    live = []
    for row in rows:
        m = row.meaning
        row.flags = m.flags
        here = None if stays is None else stays.get(row.patient, [])
        inside = row.s is not None and _placed(row, here)[0]
        antagonist = m.drug_class == "antagonist" and m.lane != "none" and inside
        if antagonist:
            row.verdict, row.why = m.row_class, m.reason
            live.append(row)
        elif m.lane == "none" or m.row_class not in ("", "marker"):
            row.verdict, row.why = m.row_class, m.reason
        elif m.row_class == "marker":
            row.verdict, row.why = m.row_class, m.reason
            live.append(row)
        elif not inside and m.lane not in ("open", "patch"):
            row.verdict, row.why = "excluded", "outside_stay"
        else:
            live.append(row)
    live = _drop_same(live, assume)
    groups: dict[tuple[Any, ...], list[Row]] = {}
    for row in live:
        key = (row.patient, row.meaning.ingredient, _feed(row, assume))
        groups.setdefault(key, []).append(row)
    for (patient, _drug, _feed_rank), members in sorted(groups.items(), key=repr):
        here = None if stays is None else stays.get(patient, [])
        result.pieces += _timeline(members, here, deaths.get(patient))
    _between_stays(result, stays)
    _one_infusion(result, assume)
    _counters(result)
    _feeds(result, assume)
    for row in rows:
        row.converts = row.verdict == "converted"
        drug_class = row.meaning.drug_class
        if drug_class is not None and drug_class != "opioid":
            row.verdict, row.why = "non_opioid", drug_class
    return result


def _feed(row: Row, assume: Assumptions) -> int:
    return assume.feed_priority.index(row.source) if row.source in assume.feed_priority else 10**9


def _row(number: int, cells: dict[str, Any], assume: Assumptions, index_drug: str | None) -> Row:
    words = {name: cells.get(name) for name in charting.KEY if not name.startswith("has_")}
    way = Way(
        **words,
        has_amount=cells["amount"] is not None,
        has_rate=cells["rate"] is not None,
        has_end=cells["end"] is not None,
    )
    return Row(
        number, {"source": None, **cells}, charting.resolve(way, assume, index_drug),
        _us(cells["start"]), _us(cells["end"]),
    )  # fmt: skip


# --- mass -------------------------------------------------------------------------------------


def _weight(row: Row, tables: dict[str, pd.DataFrame]) -> float | None:
    found: dict[str, tuple[int, float]] = {}
    if "measurements" in tables:
        for record in tables["measurements"].to_dict("records"):
            per, at = units.kg_per(units.find(record["unit"])), _us(record["time"])
            if record["patient_id"] != row.patient or per is None:
                continue
            kg = record["value"] * per
            if at is None or row.s is None or at > row.s or not 20 <= kg <= 350:
                continue
            name = record["name"]
            if name not in found or (at, -kg) > (found[name][0], -found[name][1]):
                found[name] = (at, kg)
    person = None
    if "patients" in tables:
        people = tables["patients"]
        person = people[people["patient_id"] == row.patient].iloc[0]
    if (
        person is not None
        and person["dialysis"] in ("hemodialysis", "peritoneal", "crrt")
        and "dry_weight_kg" in found
    ):
        return found["dry_weight_kg"][1]
    if "weight_kg" in found:
        return found["weight_kg"][1]
    if person is not None and 20 <= person["weight_kg"] <= 350:
        return float(person["weight_kg"])
    return None


def _measure(row: Row, tables: dict[str, pd.DataFrame]) -> None:
    m, c = row.meaning, row.cells
    row.weight = _weight(row, tables) if m.needs_weight and row.s is not None else None
    ml = None
    if c["concentration"] is not None and m.mg_per_concentration is not None:
        ml = c["concentration"] * m.mg_per_concentration
    elif m.mg_per_ml is not None:
        ml = m.mg_per_ml
    net = None
    if c["amount"] is not None:
        net = c["amount"] - ((c["wasted"] or 0) if m.dispensed else 0)

    def times(*parts: float | None) -> float | None:
        product: float | None = None
        for part in parts:
            if part is None:
                return None
            product = part if product is None else product * part
        return product

    if m.amount_counts:
        if m.amount_by_volume:
            row.amount_mg = times(net, ml)
        elif m.amount_per_kg:
            row.amount_mg = times(net, m.mg_per_amount, row.weight)
        else:
            row.amount_mg = times(net, m.mg_per_amount)
    has_rate = c["rate"] is not None
    if m.route_group == "patch":
        row.label = times(c["rate"], m.mcg_per_h_per_rate)
        if row.label is None and m.amount_counts:
            row.label = times(net, m.mcg_per_h_per_amount)
    elif has_rate:
        if m.rate_by_volume:
            row.rate = times(c["rate"], ml)
        elif m.rate_per_kg:
            row.rate = times(c["rate"], m.mg_per_rate, row.weight)
        else:
            row.rate = times(c["rate"], m.mg_per_rate)
    if m.rate_per_kg:
        row.rate_kg = times(c["rate"], m.mg_per_rate)
    row.fault = _fault(row, net, has_rate)


def _fault(row: Row, net: float | None, has_rate: bool) -> str:
    m = row.meaning
    if m.row_class == "marker" or m.drug_class == "antagonist":
        return ""
    if m.fault not in ("", "no_route"):
        return m.fault
    if (m.amount_counts and net is not None and net < 0) or (has_rate and row.cells["rate"] < 0):
        return "negative"
    if row.label is not None:
        return m.fault
    if m.amount_counts:
        if m.amount_by_volume and row.amount_mg is None:
            return "no_concentration"
        if m.amount_per_kg and row.amount_mg is None:
            return "no_weight"
        return m.fault
    if m.rate_by_volume and row.rate is None:
        return "no_concentration"
    if m.rate_per_kg and row.rate is None:
        return "no_weight"
    return m.fault


# --- stays ------------------------------------------------------------------------------------


def _stays(table: pd.DataFrame | None, deaths: dict[str, int]) -> dict[str, list[Stay]] | None:
    if table is None:
        return None
    found: dict[str, list[Stay]] = {}
    words = {"died": "death", "transferred": "transfer"}
    for r in table.to_dict("records"):
        a, b = _us(r["start"]), _us(r["end"])
        reason = words.get(r["end_reason"], "discharge")
        death = deaths.get(r["patient_id"])
        assert a is not None and b is not None
        if death is not None:
            if a > death:
                continue
            if death < b:
                b, reason = death, "death"
        stay = Stay(a, b, r["observes"] or "all", reason)
        found.setdefault(r["patient_id"], []).append(stay)
    return found


def _islands(stays: list[Stay]) -> list[Stay]:
    merged: list[Stay] = []
    for stay in sorted(stays, key=lambda y: (y.a, y.b)):
        if merged and stay.a <= merged[-1].b:
            last = merged[-1]
            if (stay.b, stay.reason) > (last.b, last.reason):
                last.b, last.reason = stay.b, stay.reason
        else:
            merged.append(replace(stay))
    return merged


def _placed(row: Row, stays: list[Stay] | None) -> tuple[bool, int | None, int | None]:
    """Return whether a row is in a stay, and the stays (first start, last end) that it meets."""
    if stays is None:
        return True, None, None
    assert row.s is not None
    containing = _island(stays, row.s)
    met: list[Stay] = []
    if row.e is not None and row.e > row.s:
        islands = _islands(stays)
        if not any(i.a <= row.s and row.e <= i.b for i in islands):
            met = [i for i in islands if i.a < row.e and i.b > row.s]
    spans = (
        row.meaning.route_group in ("parenteral", "neuraxial")
        and row.e is not None
        and row.e > row.s
        and not (row.cells["rate"] is not None and row.e - row.s <= MINUTE)
    )
    if spans:
        inside = bool(met) or (containing is not None and containing.b > row.s)
    else:
        inside = containing is not None
    if met:
        return inside, met[0].a, max(i.b for i in met)
    if containing is not None:
        return inside, containing.a, containing.b
    return inside, None, None


def _run(
    row: Row, stays: list[Stay] | None, free_end: int
) -> tuple[int, Stay | None, Stay | None] | None:
    """Return where a running row is first in a stay, and the first and last run of stays met."""
    assert row.s is not None
    if stays is None:
        return row.s, None, None
    met = [i for i in _islands(stays) if i.b >= row.s and (i.a < free_end or i.a <= row.s)]
    if not met:
        return None
    return max(row.s, met[0].a), met[0], max(met, key=lambda i: i.b)


def _island(stays: list[Stay] | None, at: int) -> Stay | None:
    return next((i for i in _islands(stays or []) if i.a <= at <= i.b), None)


def _stay_end(stays: list[Stay] | None, at: int) -> Stay | None:
    """Return the stay that bounds an open interval: where doses are observed, else any."""
    here = [y for y in stays or [] if y.observes in ("all", "doses") and y.a <= at <= y.b]
    if here:
        return max(here, key=lambda y: (y.b, y.reason))
    return None


# --- duplicates -------------------------------------------------------------------------------


def _drop_same(rows: list[Row], assume: Assumptions) -> list[Row]:
    """Rows of two feeds that are equal in all else are one dose."""
    alike: dict[tuple[Any, ...], dict[str, list[Row]]] = {}
    for row in rows:
        if row.verdict == "":
            c = row.cells
            site = c["site"]
            key = (
                row.patient, row.meaning.words, c["order_id"], c["infusion_id"], row.s, row.e,
                c["amount"], c["wasted"] or 0, c["rate"], c["concentration"],
                None if site is None else site.strip(" ").lower(), c["site_episode_id"],
            )  # fmt: skip
            alike.setdefault(key, {}).setdefault(row.source, []).append(row)
    for feeds in alike.values():
        order = sorted(feeds, key=lambda name: (_feed(feeds[name][0], assume), name))
        for i, name in enumerate(order):
            earlier = max((len(feeds[other]) for other in order[:i]), default=0)
            for copy, row in enumerate(sorted(feeds[name], key=lambda r: r.id)):
                if copy < earlier:
                    row.verdict, row.why = "duplicate", "same_row"
    return [row for row in rows if row.verdict != "duplicate"]


# --- timeline ---------------------------------------------------------------------------------


def _timeline(rows: list[Row], stays: list[Stay] | None, death: int | None) -> list[Piece]:
    pieces: list[Piece] = []
    alone = [row for row in rows if row.meaning.lane == "alone"]
    for row in alone:
        pieces += _alone(row, stays)
    _mark_concurrent([p for p in pieces if p.row.verdict == "converted"])
    by_route: dict[str | None, list[Row]] = {}
    for row in rows:
        by_route.setdefault(row.meaning.route, []).append(row)
    for members in by_route.values():
        pieces += _open(members, stays, death)
        pieces += _readings([row for row in members if row.meaning.lane == "reading"])
    pieces += _patches([row for row in rows if row.meaning.lane == "patch"], stays, death)
    return pieces


def _decide(row: Row, fault: str) -> None:
    row.fault = fault
    if row.meaning.stratum:
        row.verdict, row.why = "excluded", row.meaning.stratum
    elif fault:
        row.verdict, row.why = "unconverted", fault
    else:
        row.verdict, row.why = "converted", ""


def _limited(row: Row, fault: str, mass: float | None, length: int) -> str:
    """Return the fault with the limits of plausibility, and flag the row."""
    if fault not in ("", "no_route") or mass is None:
        return fault
    per_hour = mass / max(length / HOUR, 1)
    if per_hour > row.meaning.refuse_above or mass > 10000:
        row.flags |= BIT["implausible_unit"]
        return "implausible_unit"
    if fault == "" and per_hour > row.meaning.flag_above:
        row.flags |= BIT["implausible_unit"]
    return fault


def _alone(row: Row, stays: list[Stay] | None) -> list[Piece]:
    m = row.meaning
    s, e = row.s, row.e
    assert s is not None
    length = 0 if e is None else e - s
    has_rate = row.cells["rate"] is not None
    mass = row.amount_mg
    if not m.amount_counts:
        mass = None if row.rate is None or e is None else row.rate * (length / HOUR)
    minute = e is not None and 0 < length <= MINUTE and has_rate
    fault = row.fault
    antagonist = m.drug_class == "antagonist"
    if not antagonist and fault in ("", "no_route"):
        if length < 0:
            fault = "end_before_start"
        elif length == 0 and not m.amount_counts:
            fault = "no_duration"
        else:
            fault = _limited(row, fault, mass, length)
    if antagonist:
        fault = ""
    else:
        _decide(row, fault)
    if minute and fault == "":
        row.flags |= BIT["rate_as_bolus"]
    lasts = length > 0 and not minute
    if fault:
        last = s if e is None else max(s, e)
    elif lasts and m.route_group in ("parenteral", "neuraxial"):
        assert e is not None
        last = e
    else:
        last = s
    _, a, b = _placed(row, stays)
    start, end = s, last
    if last > s:
        start = max(s, s if a is None else a)
        end = max(s, last if b is None else min(last, b))
    if fault:
        mass = None
    elif mass is not None and last > s and a is not None and b is not None and (b < last or a > s):
        mass = mass * ((min(last, b) - max(s, a)) / (last - s))
    return [Piece(row, "interval" if last > s else "bolus", start, end, mass)]


def _mark_concurrent(pieces: list[Piece]) -> None:
    lasting = [p for p in pieces if p.e > p.s + MINUTE]
    for i, p in enumerate(lasting):
        for q in lasting[i + 1 :]:
            if p.row.meaning.route == q.row.meaning.route:
                first, second = sorted((p, q), key=lambda x: (x.s, x.e, x.row.number))
                if second.s < first.e:
                    for x in (p, q):
                        x.row.flags |= BIT["concurrent_infusions"]


@dataclass
class Event:
    row: Row
    place: int
    basis: str | None
    value: float | None


def _open(rows: list[Row], stays: list[Stay] | None, death: int | None) -> list[Piece]:
    opened = [row for row in rows if row.meaning.lane == "open"]
    events = [_event(row) for row in opened]
    if opened:
        for row in rows:
            if row.meaning.lane == "alone" and row.cells["rate"] is not None:
                assert row.s is not None
                if row.meaning.role != "bolus" and row.e is not None and row.e > row.s + MINUTE:
                    events.append(_event(row))
    events.sort(key=lambda v: (v.row.s, v.place, v.basis or "~", v.value or 0, v.row.id))
    closers: list[tuple[Event, int]] = []  # with the time of its last confirmation
    running: Event | None = None  # last event that told a rate or a stop
    last_time: int | None = None
    unbroken = True  # no silence of more than a day since `running`
    silent_since_closer = False
    for event in events:
        at = event.row.s
        assert at is not None
        silence = last_time is not None and at - last_time > CAP
        last_time = at
        if silence:
            unbroken = False
            silent_since_closer = True
        confirms = event.place == 2 and (
            event.basis is None
            or (
                running is not None
                and unbroken
                and (event.basis, event.value) == (running.basis, running.value)
                and (running.row.e is None or at <= running.row.e)
            )
        )
        if event.basis is not None:
            running, unbroken = event, True
        if confirms:
            event.row.verdict, event.row.why = "marker", "confirmation"
            if closers and not silent_since_closer:
                closers[-1] = (closers[-1][0], at)
        else:
            closers.append((event, at))
            silent_since_closer = False
    pieces = []
    for i, (event, confirmed) in enumerate(closers):
        row = event.row
        if row.meaning.lane != "open" or row.meaning.role == "stop":
            continue
        following = closers[i + 1][0] if i + 1 < len(closers) else None
        pieces += _close(row, confirmed, following, stays, death)
    return pieces


def _event(row: Row) -> Event:
    m, c = row.meaning, row.cells
    if m.role == "stop":
        return Event(row, 0, "stop", 0.0)
    place = 2 if m.role == "confirm" and m.lane == "open" else 1
    if c["rate"] is not None:
        if m.rate_per_kg:
            return Event(row, place, "kg", row.rate_kg)
        if row.rate is not None:
            return Event(row, place, "h", row.rate)
        return Event(row, place, "raw", c["rate"])
    return (
        Event(row, place, None, None) if m.role == "confirm" else Event(row, place, "unknown", 0.0)
    )


def _close(
    row: Row, confirmed: int, following: Event | None, stays: list[Stay] | None, death: int | None
) -> list[Piece]:
    assert row.s is not None
    end, how = confirmed + CAP, "cap"
    if following is not None:
        at = following.row.s
        assert at is not None
        if at <= end:
            end, how = at, "" if following.row.meaning.role == "stop" else "next_row"
    if row.rate == 0:
        end = row.s
    met = _run(row, stays, end)
    if met is None:
        row.verdict, row.why = "excluded", "outside_stay"
        return []
    start, first, _ = met
    stay = _stay_end(stays, start) or first
    if stay is not None and stay.b < end:
        end, how = stay.b, stay.reason
    if death is not None and start <= death < end:
        end, how = death, "death"
    mass = None if row.rate is None else row.rate * ((end - start) / HOUR)
    fault = _limited(row, row.fault, mass, end - start)
    _decide(row, fault)
    if how and row.rate != 0 and fault == "":
        row.flags |= BIT[f"open_interval_closed_by_{how}"]
    kind = "interval" if end > start else "bolus"
    return [Piece(row, kind, start, end, mass if fault == "" else None)]


def _readings(rows: list[Row]) -> list[Piece]:
    pieces = []
    counters: dict[str, list[Row]] = {}
    for row in rows:
        assert row.s is not None
        if row.fault not in ("", "no_route"):
            _decide(row, row.fault)
            pieces.append(Piece(row, "bolus", row.s, row.s, None))
        else:
            counter = row.cells["infusion_id"] or row.cells["order_id"] or ""
            counters.setdefault(counter, []).append(row)
    for members in counters.values():
        members.sort(key=lambda r: (r.s, r.amount_mg, r.id))
        first = members[0]
        first.verdict, first.why = "marker", "first_reading"
        for before, row in itertools.pairwise(members):
            assert row.amount_mg is not None and before.amount_mg is not None
            assert row.s is not None and before.s is not None
            rises = row.amount_mg >= before.amount_mg
            mass = row.amount_mg - before.amount_mg if rises else row.amount_mg
            fault = _limited(row, row.fault, mass, row.s - before.s)
            _decide(row, fault)
            kind = "interval" if row.s > before.s else "bolus"
            pieces.append(Piece(row, kind, before.s, row.s, mass if fault == "" else None))
    return pieces


def _patches(rows: list[Row], stays: list[Stay] | None, death: int | None) -> list[Piece]:
    applied = [row for row in rows if row.meaning.row_class == ""]
    removed = [row for row in rows if row.meaning.role == "stop"]

    def site(row: Row) -> str | None:
        text = row.cells["site"]
        return None if text is None else text.strip(" ").lower()

    def worn_out(row: Row) -> int:
        return row.at + WEAR_HOURS.get(row.meaning.ingredient or "", 72) * HOUR

    def too_late(row: Row) -> int:
        return row.at + 2 * (worn_out(row) - row.at)

    def put_on_there(removal: Row) -> bool:
        """Whether the drug was last put on at the body site of a removal."""
        for patch in applied:
            if site(removal) is None or site(patch) != site(removal):
                continue
            if not patch.at < removal.at <= too_late(patch):
                continue
            since = [r for r in removed if patch.at < r.at < removal.at]
            later = [a for a in applied if patch.at < a.at < removal.at]
            if not any(site(r) in (None, site(removal)) for r in since) and not any(
                site(a) is None for a in later
            ):
                return True
        return False

    elsewhere = {r.number for r in removed if site(r) is not None and put_on_there(r)}
    pieces = []
    for row in applied:
        wear = WEAR_HOURS.get(row.meaning.ingredient or "", 72)
        if row.e is not None and row.e > row.at:
            end, how = row.e, ""
        else:
            off = [
                r.at for r in removed
                if row.at < r.at <= too_late(row)
                and (site(r) in (None, site(row)) or r.number not in elsewhere)
            ]  # fmt: skip
            new = [
                a.at for a in applied
                if row.at < a.at <= worn_out(row)
                and (site(row) is None or site(a) is None or site(a) == site(row))
            ]  # fmt: skip
            end, how = worn_out(row), f"patch_removal_imputed_{wear}h"
            if new:
                end, how = min(new), "patch_removal_imputed_next_patch"
            if off and min(off) <= (min(new) if new else too_late(row)):
                end, how = min(off), ""
        met = _run(row, stays, end)
        if met is None:
            row.verdict, row.why = "excluded", "outside_stay"
            continue
        start, _, last = met
        if last is not None and last.b < end:
            end, how = last.b, f"open_interval_closed_by_{last.reason}"
        if death is not None and start <= death < end:
            end, how = death, "open_interval_closed_by_death"
        fault = row.fault
        if fault in ("", "no_route"):
            if row.e is not None and row.e < row.at:
                fault = "end_before_start"
            elif row.label is not None and row.label > row.meaning.refuse_above:
                fault = "implausible_unit"
                row.flags |= BIT["implausible_unit"]
            elif fault == "" and row.label is not None and row.label > row.meaning.flag_above:
                row.flags |= BIT["implausible_unit"]
        _decide(row, fault)
        if how and fault == "":
            row.flags |= BIT[how]
        pieces.append(Piece(row, "patch", start, end, None))
    return pieces


# --- one dose in several records --------------------------------------------------------------


def _covering(pieces: list[Piece], margin: int) -> list[tuple[int, int]]:
    merged: list[tuple[int, int]] = []
    for a, b in sorted((p.s - margin, p.e + margin) for p in pieces):
        if merged and a <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(b, merged[-1][1]))
        else:
            merged.append((a, b))
    return merged


def _cut(
    result: Result, things: dict[Any, list[tuple[Any, Piece, bool]]], margin: int, reason: str,
    boluses: bool,
) -> None:  # fmt: skip
    instead: dict[int, list[Piece]] = {}
    for members in things.values():
        if len({level for level, _, _ in members}) < 2:
            continue
        for level, piece, _ in members:
            cover = _covering([p for m, p, covers in members if covers and m < level], margin)
            if piece.e == piece.s:
                if boluses and any(a <= piece.s <= b for a, b in cover):
                    instead[id(piece)] = []
                continue
            met = [(a, b) for a, b in cover if a < piece.e and b > piece.s]
            if not met:
                continue
            left, at = [], piece.s
            for a, b in met:
                if min(a, piece.e) > at:
                    left.append((at, min(a, piece.e)))
                at = max(at, b)
            if at < piece.e:
                left.append((at, piece.e))
            length = piece.e - piece.s
            instead[id(piece)] = [
                replace(
                    piece, s=a, e=b,
                    mg=None if piece.mg is None else piece.mg * ((b - a) / length),
                    flags=piece.flags | BIT["clipped_by_feed"],
                )
                for a, b in left
            ]  # fmt: skip
    before = {id(p.row): p.row for p in result.pieces}
    result.pieces = [q for p in result.pieces for q in instead.get(id(p), [p])]
    for p in result.pieces:
        p.row.flags |= p.flags
        before.pop(id(p.row), None)
    for row in before.values():
        row.verdict, row.why = "duplicate", reason


def _between_stays(result: Result, stays: dict[str, list[Stay]] | None) -> None:
    if stays is None:
        return
    pieces = []
    for p in result.pieces:
        met = [
            i for i in _islands(stays.get(p.row.patient, []))
            if p.kind in ("interval", "patch") and i.a < p.e and i.b > p.s
        ]  # fmt: skip
        if len(met) < 2:
            pieces.append(p)
            continue
        for i in met:
            a, b = max(p.s, i.a), min(p.e, i.b)
            mg = None if p.mg is None else p.mg * ((b - a) / (p.e - p.s))
            pieces.append(replace(p, s=a, e=b, mg=mg))
    result.pieces = pieces


def _counters(result: Result) -> None:
    things: dict[Any, list[tuple[Any, Piece, bool]]] = {}
    for p in result.pieces:
        m = p.row.meaning
        if m.form in ("pca_reading", "pca_demand", "pca_basal", "pca_loading"):
            read = m.form == "pca_reading"
            key = (p.row.patient, m.ingredient, m.route)
            covers = read and p.row.verdict == "converted"
            things.setdefault(key, []).append((0 if read else 1, p, covers))
    _cut(result, things, 0, "counted_by_reading", boluses=True)


def _one_infusion(result: Result, assume: Assumptions) -> None:
    things: dict[Any, list[tuple[Any, Piece, bool]]] = {}
    for p in result.pieces:
        m, c = p.row.meaning, p.row.cells
        if p.kind != "interval" or m.role == "bolus":
            continue
        if m.form in ("pca_demand", "pca_loading", "pca_reading"):
            continue
        rate_only = 0 if m.amount_counts else 1
        key: tuple[Any, ...] = (p.row.patient, m.ingredient, m.route or "")
        if c["infusion_id"] is not None:
            key, level = (*key, c["infusion_id"]), (rate_only, _feed(p.row, assume), p.row.source)
        else:
            key = (*key, "", c["order_id"] or "", m.form, p.s, p.e)
            level = (rate_only, 0, "")
        things.setdefault(key, []).append((level, p, p.row.verdict == "converted"))
    _cut(result, things, 0, "same_infusion", boluses=False)


def _feeds(result: Result, assume: Assumptions) -> None:
    things: dict[Any, list[tuple[Any, Piece, bool]]] = {}
    for p in result.pieces:
        if p.row.source not in assume.feed_priority:
            continue
        m = p.row.meaning
        covers = p.row.verdict == "converted" or p.row.why in ("procedural", "oud")
        key = (p.row.patient, m.ingredient, m.route_group)
        things.setdefault(key, []).append((_feed(p.row, assume), p, covers))
    if len(assume.feed_priority) > 1:
        _cut(result, things, HOUR, "lower_priority_feed", boluses=True)


# --- MME --------------------------------------------------------------------------------------


def half_even(n: int, d: int) -> int:
    return round(Fraction(n, d))


def quantity(piece: Piece, a: int, b: int) -> int:
    """Return the mass of a piece in [a, b) in 1e-9 mg, for patches in 1e-9 mcg/h x h."""
    overlap = float(min(piece.e, b) - max(piece.s, a))
    if piece.kind == "patch":
        return 0 if piece.row.label is None else round(piece.row.label * (overlap / HOUR) * 10**9)
    if piece.mg is None:
        return 0
    if piece.e > piece.s:
        return round(piece.mg * (overlap / float(piece.e - piece.s)) * 10**9)
    return round(piece.mg * 10**9)


def touches(piece: Piece, a: int, b: int) -> bool:
    if piece.e > piece.s:
        return piece.s < b and piece.e > a
    return a <= piece.s < b


def counted(piece: Piece) -> bool:
    known = piece.mg is not None or piece.row.label is not None
    return piece.row.converts and known


def window(
    result: Result, factors: FactorTable, patient: str, a: int, b: int
) -> tuple[int, bool, int, int]:
    """Return micro-MME, incomplete, imputed micro-MME and flags of one patient in [a, b)."""
    sums: dict[tuple[Any, ...], list[int]] = {}
    days: dict[int, int] = {}
    incomplete, flags = False, 0
    for p in result.pieces:
        if p.row.patient != patient:
            continue
        m = p.row.meaning
        oral_methadone = (m.ingredient, m.route) == ("methadone", "oral")
        if oral_methadone and counted(p):
            days[p.s // DAY] = days.get(p.s // DAY, 0) + quantity(p, p.s, p.s)
    for p in result.pieces:
        m = p.row.meaning
        if p.row.patient != patient or not touches(p, a, b):
            continue
        if m.drug_class == "antagonist":
            flags |= p.row.flags
        if m.drug_class != "opioid":
            continue
        flags |= p.row.flags
        if not counted(p):
            incomplete = True
            continue
        assert m.ingredient is not None and m.route is not None
        factor = factors.find(m.ingredient, m.route, m.form_class)
        if factor is None:
            incomplete = True
            continue
        day = p.s // DAY if factor.tiers else None
        if factor.tiers:
            factor = factor.on_day(Fraction(days[p.s // DAY], 10**9))
        key = (m.ingredient, m.route, m.form_class, day, factor.per_quantity)
        entry = sums.setdefault(key, [0, 0])
        q = quantity(p, a, b)
        entry[0] += q
        entry[1] += q if p.row.flags & IMPUTED else 0
    total = imputed = 0
    for (*_, per), (q, share) in sums.items():
        per_micro = per / 1000
        total += half_even(q * per_micro.numerator, per_micro.denominator)
        imputed += half_even(share * per_micro.numerator, per_micro.denominator)
    return total, incomplete, imputed, flags
