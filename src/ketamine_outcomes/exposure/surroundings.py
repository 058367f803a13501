"""What surrounds a dose row: feeds, stays, death, weight, and the same row in another feed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ketamine_outcomes.exposure import charting, units
from ketamine_outcomes.exposure.charting import Assumptions

if TYPE_CHECKING:
    import duckdb

WEIGHT_LIMITS_KG = (20.0, 350.0)
#: What distinguishes a row beyond its number and its feed: equal in all this, two feeds mean one
#: dose.
SAME = (
    "d.patient_id", "w.words", "d.order_id", "d.infusion_id", "d.start", 'd."end"', "d.amount",
    "coalesce(d.wasted, 0)", "d.rate", "d.concentration", "lower(trim(d.site))",
    "d.site_episode_id",
)  # fmt: skip


def merged(source: str, keys: str, also: str = "") -> str:
    """Return the SQL of the union of intervals [a, b] per key: those that touch are one.

    Parameters
    ----------
    source
        Query of the keys, a, b and what `also` reads; rows that are equal in keys, a and b must
        be one row, for rows that tie have no order.
    keys
        Columns, joined by commas.
    also
        Further aggregates of each union, e.g. `, max(c) AS c`.
    """
    return f"""
        SELECT {keys}, min(a) AS a, max(b) AS b{also} FROM (
            SELECT *, count(*) FILTER (reach IS NULL OR a > reach)
                OVER (PARTITION BY {keys} ORDER BY a, b ROWS UNBOUNDED PRECEDING) AS n
            FROM (SELECT *, max(b) OVER (PARTITION BY {keys} ORDER BY a, b
                    ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS reach
                FROM ({source})))
        GROUP BY {keys}, n"""


def feeds(connection: duckdb.DuckDBPyConnection, assume: Assumptions) -> None:
    connection.execute("CREATE OR REPLACE TEMP TABLE feed (source VARCHAR, rank INTEGER)")
    for rank, source in enumerate(assume.feed_priority):
        connection.execute("INSERT INTO feed VALUES (?, ?)", [source, rank])


def deaths(connection: duckdb.DuckDBPyConnection, known: bool) -> None:
    source = (
        "SELECT patient_id, min(epoch_us(death_time)) AS moment FROM patients "
        "WHERE death_time IS NOT NULL GROUP BY 1"
        if known
        else "SELECT '' AS patient_id, 0::BIGINT AS moment WHERE false"
    )
    connection.execute(f"CREATE OR REPLACE TEMP TABLE death AS {source}")


def stays(connection: duckdb.DuckDBPyConnection, complete: bool) -> None:
    """Make `island` (stays that touch, as one) and `dose_stay` (stays that observe doses)."""
    source = (
        f"""
        SELECT y.patient_id, epoch_us(y.start) AS a,
            least(epoch_us(y."end"), coalesce(x.moment, {2**62})) AS b,
            coalesce(y.observes::VARCHAR, 'all') AS observes,
            CASE WHEN x.moment < epoch_us(y."end") THEN 'death'
                WHEN y.end_reason::VARCHAR = 'died' THEN 'death'
                WHEN y.end_reason::VARCHAR = 'transferred' THEN 'transfer'
                ELSE 'discharge' END AS reason
        FROM stays y LEFT JOIN death x ON x.patient_id = y.patient_id
        WHERE x.moment IS NULL OR epoch_us(y.start) <= x.moment
        """
        if complete
        else "SELECT '' AS patient_id, 0::BIGINT AS a, 0::BIGINT AS b, '' AS observes, "
        "'' AS reason WHERE false"
    )
    one_each = (
        f"SELECT patient_id, a, b, max(reason) AS reason FROM ({source}) GROUP BY patient_id, a, b"
    )
    island = merged(one_each, "patient_id", ", max_by(reason, (b, reason)) AS reason")
    connection.execute(f"CREATE OR REPLACE TEMP TABLE island AS {island}")
    connection.execute(
        f"CREATE OR REPLACE TEMP TABLE dose_stay AS SELECT patient_id, a, b, reason FROM ({source})"
        " WHERE observes IN ('all', 'doses')"
    )
    connection.execute(
        "CREATE OR REPLACE TEMP TABLE complete AS SELECT ?::BOOLEAN AS stays", [complete]
    )
    connection.execute(
        "CREATE OR REPLACE TEMP TABLE astray (row BIGINT, a BIGINT, b BIGINT, reason VARCHAR)"
    )
    if complete:
        # Intervals with an end of their own that are not within one stay: what lies in stays.
        connection.execute(
            """
            INSERT INTO astray
            SELECT row, min(i.a), max(i.b), max_by(i.reason, i.b)
            FROM (SELECT row, patient_id, epoch_us(start) AS s, epoch_us("end") AS e FROM dose
                WHERE "end" > start) d
            JOIN island i ON i.patient_id = d.patient_id AND i.a < d.e AND i.b > d.s
            WHERE NOT EXISTS (SELECT 1 FROM island k WHERE k.patient_id = d.patient_id
                AND k.a <= d.s AND d.e <= k.b)
            GROUP BY row
            """
        )


def weights(
    connection: duckdb.DuckDBPyConnection, key: str, wanted: bool, tables: frozenset[str]
) -> None:
    """Make `row_weight`: the last plausible weight at or before the rows that need one, in kg."""
    connection.execute("CREATE OR REPLACE TEMP TABLE row_weight (row BIGINT, kg DOUBLE)")
    if not wanted:
        return
    low, high = WEIGHT_LIMITS_KG
    connection.execute("CREATE OR REPLACE TEMP TABLE weight (patient_id VARCHAR, name VARCHAR, "
                       "moment TIMESTAMP, kg DOUBLE)")  # fmt: skip
    if "measurements" in tables:
        connection.execute("CREATE OR REPLACE TEMP TABLE per_kg (unit VARCHAR, factor DOUBLE)")
        for (word,) in connection.execute("SELECT DISTINCT unit FROM measurements").fetchall():
            kg = units.kg_per(units.find(word))
            if kg is not None:
                connection.execute("INSERT INTO per_kg VALUES (?, ?)", [word, kg])
        connection.execute(
            f"""
            INSERT INTO weight
            SELECT patient_id, name, time, min(value * factor)
            FROM measurements JOIN per_kg USING (unit)
            WHERE name IN ('weight_kg', 'dry_weight_kg')
                AND value * factor BETWEEN {low} AND {high}
            GROUP BY ALL
            """
        )
    people = (
        f"SELECT patient_id, weight_kg, dialysis::VARCHAR IN {tuple(sorted(charting.DIALYSED))} "
        "AS dry FROM patients"
        if "patients" in tables
        else "SELECT '' AS patient_id, NULL::DOUBLE AS weight_kg, false AS dry WHERE false"
    )
    connection.execute(
        f"""
        INSERT INTO row_weight
        WITH needing AS (
            SELECT d.row, d.patient_id, d.start FROM dose d JOIN way w ON {key}
            WHERE w.needs_weight AND d.start IS NOT NULL
        ),
        dry AS (
            SELECT n.row, k.kg FROM needing n ASOF JOIN
            (SELECT * FROM weight WHERE name = 'dry_weight_kg') k
            ON n.patient_id = k.patient_id AND n.start >= k.moment
        ),
        wet AS (
            SELECT n.row, k.kg FROM needing n ASOF JOIN
            (SELECT * FROM weight WHERE name = 'weight_kg') k
            ON n.patient_id = k.patient_id AND n.start >= k.moment
        )
        SELECT n.row, coalesce(
            CASE WHEN p.dry THEN dry.kg END, wet.kg,
            CASE WHEN p.weight_kg BETWEEN {low} AND {high} THEN p.weight_kg END)
        FROM needing n
        LEFT JOIN dry ON dry.row = n.row
        LEFT JOIN wet ON wet.row = n.row
        LEFT JOIN ({people}) p ON p.patient_id = n.patient_id
        """
    )


def same_rows(connection: duckdb.DuckDBPyConnection, key: str) -> None:
    """Make `same_row`: rows of another feed that are equal in all else to one that counts.

    The n-th such row of a feed goes with the n-th of the other: two doses charted twice are two.
    """
    connection.execute("CREATE OR REPLACE TEMP TABLE same_row (row BIGINT)")
    found = connection.execute("SELECT count(DISTINCT coalesce(source, '')) FROM dose").fetchone()
    if not found or found[0] < 2:
        return
    keys = [f"k{place}" for place in range(len(SAME))]
    same = ", ".join(keys)
    cells = ", ".join(f"{cell} AS {key}" for cell, key in zip(SAME, keys, strict=True))
    connection.execute(
        f"""
        INSERT INTO same_row
        WITH candidate AS (
            SELECT d.row, d.dose_id, {cells}, coalesce(d.source, '') AS feed_name,
                coalesce(f.rank, 2147483647) AS rank
            FROM dose d JOIN way w ON {key} LEFT JOIN feed f ON f.source = d.source
            WHERE w.lane <> 'none' AND w.row_class = ''
        ),
        twice AS (
            SELECT {same} FROM candidate GROUP BY ALL HAVING count(DISTINCT feed_name) > 1
        ),
        counted AS (
            SELECT c.*, row_number() OVER (
                PARTITION BY {", ".join("c." + k for k in keys)}, c.feed_name
                ORDER BY c.dose_id, c.row) AS copy
            FROM candidate c JOIN twice t
            ON {" AND ".join(f"c.{k} IS NOT DISTINCT FROM t.{k}" for k in keys)}
        )
        SELECT row FROM (
            SELECT row, row_number() OVER (
                PARTITION BY {same}, copy ORDER BY rank, feed_name) AS place
            FROM counted)
        WHERE place > 1
        """
    )
