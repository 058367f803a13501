"""Dose rows to intervals: where an infusion ends, which feed counts, how long a patch is worn.

Works on one patient and drug at a time, in plain Python over integer microseconds: the rules
are read here as they are written in docs/explanation/mme.md.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from ketamine_outcomes import intervals

HOUR = intervals.MICROSECONDS_PER_HOUR
MINUTE = HOUR // 60
OPEN_CAP = 24 * HOUR
FEED_MARGIN = 60 * MINUTE
PATCH_WEAR_HOURS = {"fentanyl": 72, "buprenorphine": 168}
PARENTERAL = frozenset(("iv", "im", "sc", "epidural", "intrathecal"))
#: One row above this is not a dose but a wrong unit, in mg.
REFUSED_MG = {"fentanyl": 5.0, "sufentanil": 5.0, "remifentanil": 50.0}
REFUSED_MG_DEFAULT = 10_000.0


@dataclass
class Row:
    """A dose row with what `rows.describe` found; times in microseconds."""

    dose_id: str
    drug: str
    route: str | None
    form: str
    status: str
    start: int
    end: int | None
    amount_mg: float | None
    rate_mg_per_h: float | None
    rate_mcg_per_h: float | None
    rate_mg_per_kg_h: float | None
    fault: str
    source: str
    site: str | None
    infusion: str
    clinical_key: tuple[object, ...] = ()
    excluded: str = ""
    flags: set[str] = field(default_factory=set)
    # result
    row_class: str = ""
    reason: str = ""


@dataclass(frozen=True)
class Piece:
    """Part of a dose that counts: a bolus (end == start), an interval, or a patch worn."""

    dose_id: str
    kind: str
    start: int
    end: int
    mg: float | None
    rate_mg_per_h: float | None
    rate_mg_per_kg_h: float | None
    rate_mcg_per_h: float | None
    counted: bool = True


@dataclass(frozen=True)
class Stay:
    """An observed interval and why it ended."""

    start: int
    end: int
    end_reason: str


def route_group(route: str | None) -> str:
    """Return the group in which feeds and open infusions are matched."""
    if route in PARENTERAL:
        return "parenteral"
    return "patch" if route == "transdermal" else "oral"


def build(
    rows: list[Row],
    stays: list[Stay] | None,
    death: int | None,
    feed_priority: tuple[str, ...],
) -> list[Piece]:
    """Classify the rows of one patient and drug in place and return their pieces.

    Parameters
    ----------
    rows
        All rows of one patient and ingredient.
    stays
        Observed stays in which doses must lie, or None when they are not complete.
    death
        Time of death, or None.
    feed_priority
        Feeds, the most trusted first.
    """
    rows = sorted(rows, key=lambda row: (row.start, row.dose_id))
    live = [row for row in rows if not row.row_class]
    _set_aside_outside(live, stays)
    _drop_same_rows(live)
    live = [row for row in live if not row.row_class]
    pieces: list[Piece] = []
    for group in dict.fromkeys(route_group(row.route) for row in live):
        members = [row for row in live if route_group(row.route) == group]
        if group == "patch":
            pieces += _patches(members, stays, death)
            continue
        pieces += _readings([row for row in members if row.form == "pca_reading"])
        pieces += _infusions_and_boluses(
            [row for row in members if row.form != "pca_reading"], stays, death
        )
    pieces = _resolve_feeds({row.dose_id: row for row in live}, pieces, feed_priority)
    return sorted(pieces, key=lambda piece: (piece.start, piece.end, piece.dose_id))


def _close(row: Row, row_class: str, reason: str) -> None:
    row.row_class, row.reason = row_class, reason


def _set_aside_outside(rows: Iterable[Row], stays: list[Stay] | None) -> None:
    if stays is None:
        return
    for row in rows:
        if not any(stay.start <= row.start <= stay.end for stay in stays):
            _close(row, "excluded", "outside_stay")


def _drop_same_rows(rows: list[Row]) -> None:
    """Rows of two sources that are equal in all else are one dose."""
    seen: dict[tuple[object, ...], str] = {}
    for row in rows:
        if row.row_class:
            continue
        first = seen.setdefault(row.clinical_key, row.source)
        if first != row.source:
            _close(row, "duplicate", "same_row")


def _infusions_and_boluses(
    rows: list[Row], stays: list[Stay] | None, death: int | None
) -> list[Piece]:
    pieces: list[Piece] = []
    open_rows: list[Row] = []
    for row in rows:
        if row.status == "stopped":
            _close(row, "marker", "stop")
            open_rows.append(row)
        elif row.excluded or _is_confirmation(row, open_rows) or row.fault:
            _settle_uncounted(row, open_rows, pieces)
        elif row.end is not None and row.end < row.start:
            _uncounted(row, "end_before_start", pieces)
        elif row.end is not None:
            pieces += _with_own_end(row, stays)
        elif row.amount_mg is not None:
            pieces += _bolus(row, row.amount_mg)
        else:
            open_rows.append(row)
    return pieces + _close_open(open_rows, stays, death)


def _is_confirmation(row: Row, open_rows: list[Row]) -> bool:
    """verified, new_bag or assessed rows without a rate, or at the unchanged rate."""
    if row.status not in ("verified", "new_bag") or row.end is not None:
        return False
    if row.rate_mg_per_h is None and row.rate_mg_per_kg_h is None:
        return row.fault in ("no_dose", "")
    running = next(
        (r for r in reversed(open_rows) if r.row_class != "marker" or r.reason == "stop"), None
    )
    if running is None or running.reason == "stop":
        return False
    if row.rate_mg_per_kg_h is not None and running.rate_mg_per_kg_h is not None:
        return row.rate_mg_per_kg_h == running.rate_mg_per_kg_h
    return row.rate_mg_per_h == running.rate_mg_per_h


def _settle_uncounted(row: Row, open_rows: list[Row], pieces: list[Piece]) -> None:
    if row.excluded:
        _close(row, "excluded", row.excluded)
        end = row.end if row.end is not None and row.end > row.start else row.start
        pieces.append(_piece(row, "bolus", row.start, end, row.amount_mg, counted=False))
    elif _is_confirmation(row, open_rows):
        _close(row, "marker", "confirmation")
        open_rows.append(row)
    else:
        _uncounted(row, row.fault, pieces)


def _uncounted(row: Row, reason: str, pieces: list[Piece]) -> None:
    _close(row, "unconverted", reason)
    end = row.end if row.end is not None and row.end > row.start else row.start
    pieces.append(_piece(row, "bolus", row.start, end, None, counted=False))


def _piece(
    row: Row, kind: str, start: int, end: int, mg: float | None, counted: bool = True
) -> Piece:
    return Piece(
        row.dose_id,
        kind,
        start,
        end,
        mg,
        row.rate_mg_per_h,
        row.rate_mg_per_kg_h,
        row.rate_mcg_per_h,
        counted,
    )


def _accept(row: Row, mg: float) -> bool:
    """Set the class of a row whose mass is known; False when the mass is implausible."""
    if mg > REFUSED_MG.get(row.drug, REFUSED_MG_DEFAULT):
        row.flags.add("implausible_unit")
        return False
    _close(row, "converted", "")
    return True


def _bolus(row: Row, mg: float) -> list[Piece]:
    if not _accept(row, mg):
        pieces: list[Piece] = []
        _uncounted(row, "implausible_unit", pieces)
        return pieces
    return [_piece(row, "bolus", row.start, row.start, mg)]


def _with_own_end(row: Row, stays: list[Stay] | None) -> list[Piece]:
    assert row.end is not None
    length = row.end - row.start
    if length == 0 and row.amount_mg is None:
        pieces: list[Piece] = []
        _uncounted(row, "no_duration", pieces)
        return pieces
    mg = row.amount_mg
    if mg is None:
        assert row.rate_mg_per_h is not None
        mg = row.rate_mg_per_h * length / HOUR
    if length <= MINUTE and row.rate_mg_per_h is not None:
        row.flags.add("rate_as_bolus")
        return _bolus(row, mg)
    if length == 0 or route_group(row.route) != "parenteral":
        return _bolus(row, mg)
    if not _accept(row, mg):
        refused: list[Piece] = []
        _uncounted(row, "implausible_unit", refused)
        return refused
    end = min([row.end, *(s.end for s in stays or () if s.start <= row.start <= s.end)])
    end = max(end, row.start)
    return [_piece(row, "interval", row.start, end, mg * (end - row.start) / length)]


def _close_open(rows: list[Row], stays: list[Stay] | None, death: int | None) -> list[Piece]:
    """Close rate rows at the next rate row, a stop, the end of stay, death, or the cap."""
    pieces: list[Piece] = []
    for i, row in enumerate(rows):
        if row.row_class == "marker":
            continue
        assert row.rate_mg_per_h is not None or row.rate_mg_per_kg_h is not None
        last_confirmed, end, flag = row.start, None, "cap"
        for later in rows[i + 1 :]:
            if later.start > last_confirmed + OPEN_CAP:
                break
            if later.row_class == "marker" and later.reason == "confirmation":
                last_confirmed = later.start
                continue
            end = later.start
            flag = "" if later.row_class == "marker" else "next_row"
            break
        if end is None:
            end = last_confirmed + OPEN_CAP
        for stay in stays or ():
            if stay.start <= row.start <= stay.end and stay.end < end:
                words = {"died": "death", "transferred": "transfer"}
                end, flag = stay.end, words.get(stay.end_reason, "discharge")
        if death is not None and row.start <= death < end:
            end, flag = death, "death"
        if flag:
            row.flags.add(f"open_interval_closed_by_{flag}")
        rate = row.rate_mg_per_h
        mg = None if rate is None else rate * (end - row.start) / HOUR
        if rate is None and row.fault:
            _uncounted(row, row.fault, pieces)
            continue
        if not _accept(row, mg or 0.0):
            _uncounted(row, "implausible_unit", pieces)
            continue
        pieces.append(_piece(row, "interval", row.start, end, mg))
    return pieces


def _readings(rows: list[Row]) -> list[Piece]:
    """Cumulative pump counters: differences are spread; a fall is a new counter."""
    pieces: list[Piece] = []
    previous: dict[str, Row] = {}
    for row in rows:
        if row.excluded:
            _close(row, "excluded", row.excluded)
            pieces.append(_piece(row, "bolus", row.start, row.start, None, counted=False))
            continue
        if row.fault or row.amount_mg is None:
            _uncounted(row, row.fault or "no_dose", pieces)
            continue
        before = previous.get(row.infusion)
        previous[row.infusion] = row
        if before is None or before.amount_mg is None:
            _close(row, "marker", "first_reading")
            continue
        delta = row.amount_mg - before.amount_mg
        if delta < 0:
            delta = row.amount_mg
        if not _accept(row, delta):
            _uncounted(row, "implausible_unit", pieces)
            continue
        kind = "interval" if row.start > before.start else "bolus"
        pieces.append(_piece(row, kind, before.start, row.start, delta))
    return pieces


def _patches(rows: list[Row], stays: list[Stay] | None, death: int | None) -> list[Piece]:
    """A patch is worn to its removal, to the next application, or for its labelled time."""
    pieces: list[Piece] = []
    for i, row in enumerate(rows):
        if row.status in ("removed", "stopped"):
            _close(row, "marker", "removal")
            continue
        if row.excluded:
            _close(row, "excluded", row.excluded)
        elif row.status in ("verified", "new_bag"):
            _close(row, "marker", "confirmation")
            continue
        elif row.rate_mcg_per_h is None:
            _uncounted(row, row.fault or "no_dose", pieces)
            continue
        wear = PATCH_WEAR_HOURS.get(row.drug, 72)
        end, flag = row.start + wear * HOUR, f"patch_removal_imputed_{wear}h"
        for later in rows[i + 1 :]:
            if later.start >= end:
                break
            other_site = row.site and later.site and later.site != row.site
            if later.status in ("removed", "stopped") and not other_site:
                end, flag = later.start, ""
                break
            applied = later.rate_mcg_per_h is not None and later.status not in (
                "verified",
                "new_bag",
                "removed",
                "stopped",
            )
            if applied and later.start > row.start and not other_site:
                end, flag = later.start, "patch_removal_imputed_next_patch"
                break
        for stay in stays or ():
            if stay.start <= row.start <= stay.end:
                end = min(end, stay.end)
        if death is not None and row.start <= death:
            end = min(end, death)
        if row.row_class == "excluded":
            pieces.append(_piece(row, "bolus", row.start, end, None, counted=False))
            continue
        if flag:
            row.flags.add(flag)
        _close(row, "converted", "")
        pieces.append(_piece(row, "patch", row.start, end, None))
    return pieces


def _resolve_feeds(
    rows: dict[str, Row], pieces: list[Piece], feed_priority: tuple[str, ...]
) -> list[Piece]:
    """Let a higher feed cover its drug and route group an hour to either side."""
    rank = {feed: i for i, feed in enumerate(feed_priority)}
    if len({rows[piece.dose_id].source for piece in pieces} & rank.keys()) < 2:
        return pieces
    kept: list[Piece] = []
    ordered = sorted(pieces, key=lambda piece: rank.get(rows[piece.dose_id].source, len(rank)))
    covers: dict[str, list[tuple[str, int, int]]] = {}
    for piece in ordered:
        row = rows[piece.dose_id]
        own = rank.get(row.source)
        group = route_group(row.route)
        if own is None:
            kept.append(piece)
            continue
        cover = intervals.union(
            [(a, b) for feed, a, b in covers.get(group, []) if rank[feed] < own]
        )
        if piece.end == piece.start:
            covered = any(a <= piece.start <= b for a, b in cover)
            left = [] if covered else [(piece.start, piece.end)]
        else:
            left = intervals.subtract((piece.start, piece.end), cover)
        if not left:
            _close(row, "duplicate", "lower_priority_feed")
        elif left != [(piece.start, piece.end)]:
            row.flags.add("clipped_by_feed")
        for start, end in left:
            part = (end - start) / (piece.end - piece.start) if piece.end > piece.start else 1.0
            mg = None if piece.mg is None else piece.mg * part
            kept.append(replace(piece, start=start, end=end, mg=mg))
        if left and piece.counted:
            covers.setdefault(group, []).append(
                (row.source, piece.start - FEED_MARGIN, piece.end + FEED_MARGIN)
            )
    return kept
