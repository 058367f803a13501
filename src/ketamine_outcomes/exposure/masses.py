"""Mass of drug per window, and MME by a list of factor sets.

The mass of a dose in a window is rounded half-even to 1e-9 mg (a patch: 1e-9 mcg/h x h) and
summed exactly, as integers, per drug, route and form; factor times sum is rounded half-even to
1e-6 MME. So a sum depends neither on threads nor on the order of rows, another list of factor
sets is a join, and the parts of any tiling add up.
"""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING

from ketamine_outcomes.exposure.factors import Factor, FactorTable
from ketamine_outcomes.exposure.flags import BIT, IMPUTED, LOW_CONFIDENCE

if TYPE_CHECKING:
    import duckdb

HOUR = 3_600_000_000  # microseconds
DAY = 24 * HOUR
#: Units of mass in one mg; for patches in one mcg/h x h.
SCALE = 10**9
#: Units of MME in which a window's MME is exact.
MICRO = 10**6


#: What tells masses apart that are never added: one number, `what`, stands for it.
WHAT = ("drug", "drug_class", "route", "form_class", "stratum")
#: Rows whose factor can depend on the total of their calendar day.
_BY_DAY = "drug = 'methadone' AND route = 'oral'"


def prepare(connection: duckdb.DuckDBPyConnection) -> None:
    """Make the macros `half_even` (q x n / d to the nearest integer) and `floor_div`."""
    nearest = (
        "({x} // d) + CASE WHEN 2 * ({x} % d) > d "
        "OR (2 * ({x} % d) = d AND ({x} // d) % 2 = 1) THEN 1 ELSE 0 END"
    )
    # 64 bits are twenty times faster than 128, and nearly always enough.
    connection.execute(
        f"CREATE OR REPLACE TEMP MACRO half_even(q, n, d) AS CASE WHEN q <= {2**61} // n "
        f"THEN {nearest.format(x='(q::BIGINT * n)')} "
        f"ELSE ({nearest.format(x='(q::HUGEINT * n)')})::BIGINT END"
    )
    connection.execute(
        "CREATE OR REPLACE TEMP MACRO floor_div(x, w) AS "
        "CASE WHEN x >= 0 THEN x // w ELSE -((w - 1 - x) // w) END"
    )


def number(connection: duckdb.DuckDBPyConnection, *relations: str) -> None:
    """Make `what`, a number for each combination of `WHAT` that occurs in relations."""
    names = ", ".join(f"{name}::VARCHAR AS {name}" for name in WHAT)
    union = " UNION ".join(f"SELECT DISTINCT {names} FROM {relation}" for relation in relations)
    connection.execute(
        "CREATE OR REPLACE TEMP TABLE what AS SELECT "
        f"(row_number() OVER (ORDER BY {', '.join(WHAT)}))::INTEGER AS what, * FROM ({union})"
    )


def numbered(relation: str) -> str:
    """Return the SQL of a relation with its `what`."""
    same = " AND ".join(f"k.{name} IS NOT DISTINCT FROM r.{name}" for name in WHAT)
    return f"SELECT r.*, k.what FROM {relation} r JOIN what k ON {same}"


def tiled(width: int, origin: str = "") -> str:
    """Return the SQL of the parts of all pieces in windows of equal width, microseconds.

    Parameters
    ----------
    width
        Width of a window.
    origin
        Relation (patient_id, moment) of where each patient's window 0 starts; empty: at 0.
    """
    start = "o.moment" if origin else "0::BIGINT"
    join = f"JOIN {origin} o ON o.patient_id = p.patient_id" if origin else ""
    first = f"floor_div(s - moment, {width})"
    last = f"floor_div(greatest(e - 1, s) - moment, {width})"
    return f"""
        SELECT patient_id AS unit_id, * REPLACE (win::INTEGER AS win),
            {_quantity(f"moment + win * {width}", f"moment + (win + 1) * {width}")} AS quantity
        FROM (
            SELECT *, unnest(CASE WHEN {last} > {first} THEN range({first}, {last} + 1)
                ELSE [{first}] END) AS win
            FROM (SELECT p.*, {start} AS moment FROM pieces p {join}
                WHERE drug_class IN {_CLASSES}))
        """


def listed(windows: str) -> str:
    """Return the SQL of the parts of all pieces in given windows.

    Parameters
    ----------
    windows
        Relation (unit_id, patient_id, win, a, b): [a, b) in microseconds.
    """
    return f"""
        SELECT w.unit_id, p.*, w.win, {_quantity("w.a", "w.b")} AS quantity
        FROM pieces p JOIN {windows} w ON w.patient_id = p.patient_id AND p.s < w.b
            AND CASE WHEN p.e > p.s THEN p.e > w.a ELSE p.s >= w.a END
        WHERE p.drug_class IN {_CLASSES}
        """


#: Opioids have mass; antagonists only mark their window.
_CLASSES = "('opioid', 'antagonist')"


def _quantity(a: str, b: str) -> str:
    """Return the SQL of the rounded mass of a piece in [a, b); a point lies in it whole."""
    overlap = f"(least(e, {b}) - greatest(s, {a}))::DOUBLE"
    return f"""CAST(CASE
            WHEN e = s THEN CASE WHEN kind = 'patch' THEN 0 ELSE mg * {SCALE} END
            WHEN kind = 'patch' THEN rate_mcg_per_h * ({overlap} / {HOUR}) * {SCALE}
            ELSE mg * ({overlap} / (e - s)::DOUBLE) * {SCALE} END AS BIGINT)"""


def masses(parts: str, *, by_day: bool = True, detail: bool = True) -> str:
    """Return the SQL of mass per unit, window and what it is of.

    Parameters
    ----------
    parts
        As `tiled` or `listed` return; `pieces` must be there.
    by_day
        Whether calendar days are kept apart where a factor can depend on the day's total.
    detail
        Whether to add flags, what rests on assumptions, and what is not counted.

    Returns
    -------
    str
        Query of unit_id, win, what, counted, by day also day and day_quantity (oral methadone
        only: calendar day and its total), quantity and, in detail, what of it rests on an
        assumption (imputed_quantity) or deserves less trust (low_quantity), integers, and flags
        (bits).
    """
    more = f""",
                coalesce(sum(quantity) FILTER (flags & {IMPUTED} <> 0), 0) AS imputed_quantity,
                coalesce(sum(quantity) FILTER (flags & {LOW_CONFIDENCE} <> 0), 0) AS low_quantity,
                bit_or(flags) AS flags"""
    sums = f"sum(quantity) AS quantity{more if detail else ''}"
    if not by_day and not detail:  # what is not counted has nothing to add
        return f"""
            SELECT unit_id, win, what, true AS counted, {sums} FROM ({parts})
            WHERE counted GROUP BY unit_id, win, what
            """
    if not by_day:
        return f"""
            SELECT unit_id, win, what, counted, {sums} FROM ({parts})
            GROUP BY unit_id, win, what, counted
            """
    return f"""
        WITH grouped AS (
            SELECT unit_id, patient_id, win, what, counted,
                CASE WHEN {_BY_DAY} THEN floor_div(s + clock, {DAY}) END AS day, {sums}
            FROM ({parts}) GROUP BY ALL
        )
        SELECT g.* EXCLUDE (patient_id), t.day_quantity FROM grouped g
        LEFT JOIN ({_whole_days()}) t ON t.patient_id = g.patient_id AND t.day = g.day
        """


def _whole_days() -> str:
    """Return the SQL of the total of each patient's calendar days, as tiers see it."""
    return f"""
        SELECT patient_id, floor_div(s + clock, {DAY}) AS day,
            sum({_quantity("s", "s")}) AS day_quantity
        FROM pieces WHERE counted AND {_BY_DAY} GROUP BY ALL
        """


def factor_tables(connection: duckdb.DuckDBPyConnection, factors: FactorTable) -> bool:
    """Make `factor`: MME of a unit of mass by `what`, and by the total of the day.

    Returns
    -------
    bool
        Whether any factor depends on the total of the day.
    """
    connection.execute(
        "CREATE OR REPLACE TEMP TABLE factor (what INTEGER, above HUGEINT, up_to HUGEINT, "
        "value DOUBLE, n BIGINT, d BIGINT, tiered BOOLEAN)"
    )
    rows: list[list[object]] = []
    whats = connection.execute(
        "SELECT what, drug, coalesce(route, ''), coalesce(form_class, '') FROM what "
        "WHERE drug_class = 'opioid' ORDER BY what"
    ).fetchall()
    for what, drug, route, form in whats:
        found = factors.find(drug, route, form)
        if found is None:
            continue
        if not found.tiers:
            rows.append([what, None, None, *_ratio(found), False])
        above = 0
        for upper, tier in found.tiers:
            up_to = None if upper is None else int(upper * SCALE)
            rows.append([what, above, up_to, *_ratio(tier), True])
            above = up_to or 0
    if rows:
        connection.executemany("INSERT INTO factor VALUES (?, ?, ?, ?, ?, ?, ?)", rows)
    return any(row[-1] for row in rows)


def _ratio(factor: Factor) -> tuple[float, int, int]:
    """Return the table's number, and micro-MME per unit of mass as numerator, denominator."""
    exact = factor.per_quantity * Fraction(MICRO, SCALE)
    return float(factor.value), exact.numerator, exact.denominator


def converted(relation: str, *, by_day: bool = True, detail: bool = True) -> str:
    """Return the SQL of MME per unit, window and what it is of.

    Parameters
    ----------
    relation
        Relation as `masses` returns with the same arguments; `factor` must be there.

    Returns
    -------
    str
        Query of unit_id, win, what, counted, quantity, micro and, in detail, imputed_micro and
        low_micro (millionths of an MME; NULL where it is not known), flags.
    """
    parts = ("", "imputed_", "low_") if detail else ("",)
    micro = {
        part: f"CASE WHEN m.counted THEN half_even(m.{part}quantity, f.n, f.d) END"
        for part in parts
    }
    if not by_day:
        sums = ", ".join(f"{x} AS {part}micro" for part, x in micro.items())
        return f"""
            SELECT m.unit_id, m.win, m.what, m.counted, m.quantity, {sums}
                {", m.flags" if detail else ""}
            FROM {relation} m LEFT JOIN factor f ON f.what = m.what
            """
    keys = "unit_id, win, what, counted"
    sums = ", ".join(f"CAST(sum({x}) AS HUGEINT) AS {part}micro" for part, x in micro.items())
    quantities = ", ".join(f"sum({part}quantity) AS {part}quantity" for part in parts)
    return f"""
        WITH known AS (
            SELECT m.*, coalesce(t.tiered, false) AS tiered FROM {relation} m
            LEFT JOIN (SELECT DISTINCT what, tiered FROM factor) t ON t.what = m.what
        ),
        summed AS (
            SELECT {keys}, tiered, CASE WHEN tiered THEN day END AS day,
                CASE WHEN tiered THEN day_quantity END AS day_quantity, {quantities}
                {", bit_or(flags) AS flags" if detail else ""}
            FROM known GROUP BY ALL
        )
        SELECT {", ".join("m." + key for key in keys.split(", "))},
            CAST(sum(m.quantity) AS HUGEINT) AS quantity, {sums}
            {", bit_or(m.flags) AS flags" if detail else ""}
        FROM summed m LEFT JOIN factor f
        ON f.what = m.what AND (NOT m.tiered OR {_in_tier("m.day_quantity")})
        GROUP BY ALL
        """


def _in_tier(total: str) -> str:
    return (
        f"(({total} > f.above OR ({total} = 0 AND f.above = 0)) "
        f"AND (f.up_to IS NULL OR {total} <= f.up_to))"
    )


def ledger(factors: FactorTable) -> str:
    """Return the SQL of the contract's ledger, one row per dose row, in no order.

    `verdicts`, `pieces`, `factor` and `dialysed` (patient_id) must be there; MME is that of the
    whole dose.
    """
    mass = f"""
        SELECT row, sum({_quantity("s", "e")}) AS quantity, min(s + clock) AS s
        FROM pieces WHERE counted AND drug_class = 'opioid' GROUP BY row
        """
    no_factor = "v.class = 'converted' AND f.value IS NULL"
    bare = ""
    if not factors.has("buprenorphine"):
        bare = (
            "WHEN v.drug_resolved = 'buprenorphine' AND v.class IN ('excluded', 'unconverted', "
            "'converted') AND v.reason NOT IN ('status', 'outside_stay') THEN "
        )
    return f"""
        SELECT v.row, v.dose_id, v.patient_id,
            CASE {bare + "'excluded'" if bare else ""}
                WHEN {no_factor} THEN 'unconverted' ELSE v.class END AS class,
            CASE {bare + "'buprenorphine'" if bare else ""}
                WHEN {no_factor} THEN 'no_factor' ELSE v.reason END AS reason,
            nullif(v.drug_resolved, 'unknown') AS drug_resolved, v.route_resolved,
            CASE WHEN v.class = 'converted' THEN f.value END AS factor,
            CASE WHEN v.class = 'converted' THEN half_even(m.quantity, f.n, f.d) END AS micro,
            CASE WHEN x.patient_id IS NOT NULL AND v.drug_class = 'opioid'
                THEN v.flags | {BIT["esrd"]} ELSE v.flags END AS flags
        FROM verdicts v LEFT JOIN dialysed x ON x.patient_id = v.patient_id
        LEFT JOIN ({mass}) m ON m.row = v.row
        LEFT JOIN ({_whole_days()}) t
        ON v.drug_resolved = 'methadone' AND t.patient_id = v.patient_id
            AND t.day = floor_div(m.s, {DAY})
        LEFT JOIN factor f ON f.what = v.what
            AND (NOT f.tiered OR {_in_tier("coalesce(t.day_quantity, 0)")})
        """
