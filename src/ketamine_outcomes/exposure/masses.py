"""Mass of drug per window, and MME by a list of factor sets.

The mass of a dose in a window is rounded half-even to 1e-9 mg (a patch: 1e-9 mcg/h x h) and
summed exactly, as integers, per drug, route and form; factor times sum is rounded half-even to
1e-6 MME. So a sum depends neither on threads nor on the order of rows, another list of factor
sets is a join, and the parts of any tiling add up.
"""

from __future__ import annotations

from collections.abc import Iterable
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


def prepare(connection: duckdb.DuckDBPyConnection) -> None:
    """Make the macros `half_even` (n / d to the nearest integer) and `floor_div`."""
    connection.execute(
        "CREATE OR REPLACE TEMP MACRO half_even(n, d) AS (n // d) + CASE WHEN 2 * (n % d) > d "
        "OR (2 * (n % d) = d AND (n // d) % 2 = 1) THEN 1 ELSE 0 END"
    )
    connection.execute(
        "CREATE OR REPLACE TEMP MACRO floor_div(x, w) AS "
        "CASE WHEN x >= 0 THEN x // w ELSE -((w - 1 - x) // w) END"
    )


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
    first, last = f"floor_div(s - moment, {width})", f"floor_div(e - 1 - moment, {width})"
    placed = f"SELECT p.*, {start} AS moment FROM pieces p {join} WHERE drug_class IN {_CLASSES}"
    return f"""
        SELECT patient_id AS unit_id, patient_id, {first} AS win, * EXCLUDE (patient_id, moment),
            {_quantity("s", "s")} AS quantity
        FROM ({placed}) WHERE e = s
        UNION ALL BY NAME
        SELECT patient_id AS unit_id, * EXCLUDE (moment),
            {_quantity(f"moment + win * {width}", f"moment + (win + 1) * {width}")} AS quantity
        FROM (SELECT *, unnest(range({first}, {last} + 1)) AS win FROM ({placed}) WHERE e > s)
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
            WHEN kind = 'patch' THEN rate_mcg_per_h * ({overlap} / {HOUR}) * {SCALE}
            WHEN e > s THEN mg * ({overlap} / (e - s)::DOUBLE) * {SCALE}
            ELSE mg * {SCALE} END AS BIGINT)"""


def masses(parts: str) -> str:
    """Return the SQL of mass per unit, window, drug, route and form.

    Returns
    -------
    str
        Query of unit_id, win, drug, drug_class, route, form_class, counted, stratum, day and
        day_quantity (oral methadone only: calendar day and its total), quantity, and what of it
        rests on an assumption (imputed_quantity) or deserves less trust (low_quantity), integers;
        flags (bits).
    """
    day = f"CASE WHEN {_TIERED} THEN floor_div(s + clock, {DAY}) END"
    return f"""
        WITH part AS ({parts}),
        grouped AS (
            SELECT unit_id, patient_id, win, drug, drug_class, route, form_class, counted, stratum,
                {day} AS day, sum(quantity) AS quantity,
                coalesce(sum(quantity) FILTER (flags & {IMPUTED} <> 0), 0) AS imputed_quantity,
                coalesce(sum(quantity) FILTER (flags & {LOW_CONFIDENCE} <> 0), 0) AS low_quantity,
                bit_or(flags) AS flags
            FROM part GROUP BY ALL
        ),
        whole_day AS (
            SELECT patient_id, floor_div(s + clock, {DAY}) AS day,
                sum({_quantity("s", "s")}) AS day_quantity
            FROM pieces WHERE counted AND {_TIERED} GROUP BY ALL
        )
        SELECT g.* EXCLUDE (patient_id), t.day_quantity FROM grouped g LEFT JOIN whole_day t
        ON t.patient_id = g.patient_id AND t.day = g.day
        """


#: Rows whose factor can depend on the total of their calendar day.
_TIERED = "drug = 'methadone' AND route = 'oral'"


def factor_tables(
    connection: duckdb.DuckDBPyConnection,
    factors: FactorTable,
    keys: Iterable[tuple[str | None, str | None, str | None]],
) -> None:
    """Make `factor`: MME of a unit of mass, by drug, route, form and total of the day.

    Parameters
    ----------
    keys
        The (drug, route, form_class) that occur.
    """
    connection.execute(
        "CREATE OR REPLACE TEMP TABLE factor (drug VARCHAR, route VARCHAR, form_class VARCHAR, "
        "above HUGEINT, up_to HUGEINT, value DOUBLE, n HUGEINT, d HUGEINT, tiered BOOLEAN)"
    )
    rows = []
    for drug, route, form in sorted(set(keys), key=repr):
        found = factors.find(drug, route, form) if drug and route and form else None
        if found is None:
            continue
        if not found.tiers:
            rows.append([drug, route, form, None, None, *_ratio(found), False])
        above = 0
        for upper, tier in found.tiers:
            up_to = None if upper is None else int(upper * SCALE)
            rows.append([drug, route, form, above, up_to, *_ratio(tier), True])
            above = up_to or 0
    if rows:
        connection.executemany("INSERT INTO factor VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", rows)


def _ratio(factor: Factor) -> tuple[float, int, int]:
    """Return the table's number, and micro-MME per unit of mass as numerator, denominator."""
    exact = factor.per_quantity * Fraction(MICRO, SCALE)
    return float(factor.value), exact.numerator, exact.denominator


def converted(relation: str) -> str:
    """Return the SQL of MME per unit, window, drug, route and form.

    Parameters
    ----------
    relation
        Relation as `masses` returns; `factor` must be there.

    Returns
    -------
    str
        Query of unit_id, win, drug, drug_class, route, form_class, counted, stratum, quantity,
        micro, imputed_micro and low_micro (millionths of an MME; NULL where it is not known),
        flags.
    """
    keys = "unit_id, win, drug, drug_class, route, form_class, counted, stratum"
    tiers = (
        "m.tiered AND m.day_quantity > f.above AND (f.up_to IS NULL OR m.day_quantity <= f.up_to)"
    )
    sums = ", ".join(
        f"CAST(sum(CASE WHEN m.counted THEN half_even(m.{part}quantity * f.n, f.d) END) "
        f"AS HUGEINT) AS {part}micro"
        for part in ("", "imputed_", "low_")
    )
    return f"""
        WITH known AS (
            SELECT m.*, coalesce(t.tiered, false) AS tiered FROM {relation} m
            LEFT JOIN (SELECT DISTINCT drug, route, form_class, tiered FROM factor) t
            ON t.drug = m.drug AND t.route = m.route AND t.form_class = m.form_class
        ),
        summed AS (
            SELECT {keys}, tiered, CASE WHEN tiered THEN day END AS day,
                CASE WHEN tiered THEN day_quantity END AS day_quantity,
                sum(quantity) AS quantity, sum(imputed_quantity) AS imputed_quantity,
                sum(low_quantity) AS low_quantity, bit_or(flags) AS flags
            FROM known GROUP BY ALL
        )
        SELECT {", ".join("m." + key for key in keys.split(", "))},
            CAST(sum(m.quantity) AS HUGEINT) AS quantity,
            {sums},
            bit_or(m.flags) AS flags
        FROM summed m LEFT JOIN factor f
        ON f.drug = m.drug AND f.route = m.route AND f.form_class = m.form_class
            AND (NOT m.tiered OR ({tiers}) OR (m.day_quantity = 0 AND f.above = 0))
        GROUP BY ALL
        """


def ledger(factors: FactorTable) -> str:
    """Return the SQL of the contract's ledger, one row per dose row, in no order.

    `verdicts`, `pieces`, `factor` and `dialysed` (patient_id) must be there; MME is that of the
    whole dose.
    """
    mass = f"""
        SELECT row, sum({_quantity("s", "e")}) AS quantity, min(s) AS s, any_value(clock) AS clock,
            any_value(patient_id) AS patient_id
        FROM pieces WHERE counted AND drug_class = 'opioid' GROUP BY row
        """
    whole_day = f"""
        SELECT patient_id, floor_div(s + clock, {DAY}) AS day, sum({_quantity("s", "s")}) AS total
        FROM pieces WHERE counted AND {_TIERED} GROUP BY ALL
        """
    no_factor = "v.class = 'converted' AND f.value IS NULL"
    bare = (
        ""
        if factors.has("buprenorphine")
        else (
            "WHEN v.drug_resolved = 'buprenorphine' AND v.class IN ('excluded', 'unconverted', "
            "'converted') AND v.reason NOT IN ('status', 'outside_stay') THEN "
        )
    )
    return f"""
        SELECT v.row, v.dose_id, v.patient_id,
            CASE {bare + "'excluded'" if bare else ""}
                WHEN {no_factor} THEN 'unconverted' ELSE v.class END AS class,
            CASE {bare + "'buprenorphine'" if bare else ""}
                WHEN {no_factor} THEN 'no_factor' ELSE v.reason END AS reason,
            nullif(v.drug_resolved, 'unknown') AS drug_resolved, v.route_resolved,
            CASE WHEN v.class = 'converted' THEN f.value END AS factor,
            CASE WHEN v.class = 'converted' THEN half_even(m.quantity * f.n, f.d) END AS micro,
            CASE WHEN x.patient_id IS NOT NULL AND v.drug_class = 'opioid'
                THEN v.flags | {BIT["esrd"]} ELSE v.flags END AS flags
        FROM verdicts v LEFT JOIN dialysed x ON x.patient_id = v.patient_id
        LEFT JOIN ({mass}) m ON m.row = v.row
        LEFT JOIN ({whole_day}) t
        ON v.drug_resolved = 'methadone' AND t.patient_id = m.patient_id
            AND t.day = floor_div(m.s + m.clock, {DAY})
        LEFT JOIN factor f
        ON f.drug = v.drug_resolved AND f.route = v.route_resolved AND f.form_class = v.form_class
            AND (NOT f.tiered OR (t.total > f.above AND (f.up_to IS NULL OR t.total <= f.up_to))
                OR (coalesce(t.total, 0) = 0 AND f.above = 0))
        """
