"""One dose in several records counts once.

What lies between two stays is cut out first. Then three things are resolved, in this order, each
by cutting out of a lesser record the time that a greater one covers:

- Records of one infusion. Where an infusion has amounts, its rates say the same again; an
  infusion id that stands in two feeds is one infusion. Without ids only a rate row and an amount
  row of exactly the same time are one infusion.
- Feeds. A row of a higher feed covers its drug and route group from 60 minutes before its start
  to 60 minutes after its end.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ketamine_outcomes.exposure.flags import BIT
from ketamine_outcomes.exposure.neighbours import BESIDE, CARRIED, HOUR
from ketamine_outcomes.exposure.surroundings import merged

if TYPE_CHECKING:
    import duckdb
    import pandas as pd


def run(connection: duckdb.DuckDBPyConnection, ways: pd.DataFrame) -> None:
    """Make `contested` (rows that were looked at) and `settled` (what is left of them).

    Parameters
    ----------
    connection
        Holds `alone`, `beside`, `feed`.
    ways
        Ways of charting, to see what can occur at all.
    """
    connection.execute(
        f"CREATE OR REPLACE TEMP VIEW piece_found AS "
        f"SELECT {', '.join(BESIDE)} FROM alone WHERE goes = 'alone' "
        f"UNION ALL SELECT {', '.join(BESIDE)} FROM beside"
    )
    for name in ("settled", "next_settled"):
        connection.execute(
            f"CREATE OR REPLACE TEMP TABLE {name} AS "
            f"SELECT {', '.join(BESIDE)} FROM piece_found WHERE false"
        )
    connection.execute("CREATE OR REPLACE TEMP TABLE contested (row BIGINT)")
    _between_stays(connection)
    lasting = ways["lane"].isin(["alone", "open"]) & ways["drug_class"].eq("opioid")
    both = (lasting & ways["has_rate"] & ~ways["amount_counts"]).any() and (
        lasting & ways["amount_counts"] & ways["has_end"]
    ).any()
    feeds = connection.execute("SELECT count(DISTINCT coalesce(source, '')) FROM dose").fetchone()
    many = feeds is not None and feeds[0] > 1
    if both or many:
        _records_of_one_infusion(connection)
    forms = set(ways.loc[ways["lane"] != "none", "form_"])
    if "pca_reading" in forms and forms & {"pca_demand", "pca_basal", "pca_loading"}:
        _counters_before_events(connection)
    ranked = connection.execute("SELECT count(*) FROM feed").fetchone()
    if many and ranked and ranked[0] > 1:
        _higher_feeds(connection)


def _between_stays(connection: duckdb.DuckDBPyConnection) -> None:
    """Cut out of intervals the time between the stays that they meet."""
    again = connection.execute(
        "SELECT count(*) > count(DISTINCT patient_id) FROM island"
    ).fetchone()
    if again != (True,):
        return
    carried = ", ".join(f"p.{name}" for name in CARRIED)
    connection.execute(
        f"""
        INSERT INTO settled
        WITH several AS (
            SELECT patient_id FROM island GROUP BY patient_id HAVING count(*) > 1
        ),
        met AS (
            SELECT p.*, i.a, i.b, count(*) OVER (PARTITION BY p.row) AS n
            FROM (SELECT * FROM piece_found WHERE kind IN ('interval', 'patch')) p
            SEMI JOIN several USING (patient_id)
            JOIN island i ON i.patient_id = p.patient_id AND i.a < p.pe AND i.b > p.ps
        )
        SELECT {carried}, p.verdict, p.why, p.converts, p.kind, greatest(p.ps, p.a) AS ps,
            least(p.pe, p.b) AS pe,
            p.mg * ((least(p.pe, p.b) - greatest(p.ps, p.a))::DOUBLE / (p.pe - p.ps)::DOUBLE)
                AS mg, p.piece_flags
        FROM met p WHERE p.n > 1
        """
    )
    connection.execute("INSERT INTO contested SELECT DISTINCT row FROM settled")


def _records_of_one_infusion(connection: duckdb.DuckDBPyConnection) -> None:
    ranked = "coalesce(f.rank, 2147483647)"
    connection.execute(
        f"""
        CREATE OR REPLACE TEMP TABLE level AS
        WITH lasting AS (
            SELECT p.row, p.patient_id || chr(31) || p.drug || chr(31) || coalesce(p.route, '')
                || chr(31) || CASE WHEN p.infusion_id IS NOT NULL THEN 'i' || p.infusion_id
                ELSE 'o' || coalesce(p.order_id, '') || chr(31) || p.form || chr(31) || p.ps
                    || chr(31) || p.pe END AS thing,
                [CASE WHEN p.amount_counts THEN 0 ELSE 1 END,
                    CASE WHEN p.infusion_id IS NULL THEN 0 ELSE {ranked} END] AS order_,
                CASE WHEN p.infusion_id IS NULL THEN '' ELSE coalesce(p.source, '') END AS name,
                p.converts
            FROM ({_now()}) p LEFT JOIN feed f ON f.source = p.source
            WHERE p.kind = 'interval' AND p.role <> 'bolus'
                AND p.form NOT IN ('pca_demand', 'pca_loading', 'pca_reading')
        ),
        placed AS (
            SELECT *, dense_rank() OVER (PARTITION BY thing ORDER BY order_, name) AS level
            FROM lasting
        ),
        several AS (SELECT thing FROM placed GROUP BY thing HAVING max(level) > 1)
        SELECT DISTINCT row, thing, level, converts AS covers
        FROM placed SEMI JOIN several USING (thing)
        """
    )
    _cut(connection, margin=0, reason="same_infusion", boluses=False)


def _counters_before_events(connection: duckdb.DuckDBPyConnection) -> None:
    """Where a pump's counter was read, what the pump charted dose by dose says the same again."""
    connection.execute(
        f"""
        CREATE OR REPLACE TEMP TABLE level AS
        SELECT DISTINCT row, patient_id || chr(31) || drug || chr(31) || coalesce(route, '')
            AS thing, CASE form WHEN 'pca_reading' THEN 0 ELSE 1 END AS level,
            form = 'pca_reading' AND converts AS covers
        FROM ({_now()})
        WHERE kind IS NOT NULL
            AND form IN ('pca_reading', 'pca_demand', 'pca_basal', 'pca_loading')
        """
    )
    _cut(connection, margin=0, reason="counted_by_reading", boluses=True)


def _higher_feeds(connection: duckdb.DuckDBPyConnection) -> None:
    connection.execute(
        """
        CREATE OR REPLACE TEMP TABLE level AS
        WITH placed AS (
            SELECT row, patient_id || chr(31) || drug || chr(31) || route_group AS thing,
                feed AS level, converts OR why IN ('procedural', 'oud') AS covers
            FROM now WHERE feed IS NOT NULL AND kind IS NOT NULL
        ),
        several AS (SELECT thing FROM placed GROUP BY thing HAVING count(DISTINCT level) > 1)
        SELECT DISTINCT row, thing, level, covers FROM placed SEMI JOIN several USING (thing)
        """.replace("FROM now", f"FROM ({_now()})")
    )
    _cut(connection, margin=HOUR, reason="lower_priority_feed", boluses=True)


def _now() -> str:
    """Return the SQL of the pieces as they stand."""
    return (
        "SELECT * FROM piece_found ANTI JOIN contested USING (row) UNION ALL SELECT * FROM settled"
    )


def _cut(connection: duckdb.DuckDBPyConnection, *, margin: int, reason: str, boluses: bool) -> None:
    """Cut out of the pieces of `level` what pieces of a lower level of the same thing cover."""
    carried = ", ".join(f"p.{name}" for name in CARRIED)
    apart = f"({BIT['clipped_by_feed']})"
    hit = "i.a < p.pe AND i.b > p.ps"
    at = "i.a <= p.ps AND p.ps <= i.b" if boluses else "false"
    connection.execute(
        f"""
        CREATE OR REPLACE TEMP TABLE next_settled AS
        WITH now AS ({_now()}),
        piece AS (SELECT now.*, l.thing, l.level, l.covers FROM now JOIN level l USING (row)),
        cover AS (
            SELECT DISTINCT t.thing, t.level, c.ps - {margin} AS a, c.pe + {margin} AS b
            FROM (SELECT DISTINCT thing, level FROM level) t
            JOIN piece c ON c.thing = t.thing AND c.level < t.level AND c.covers
        ),
        covered AS ({merged("SELECT * FROM cover", "thing, level")}),
        met AS (
            SELECT p.row, p.ps, p.pe, i.a, i.b,
                lag(i.b) OVER (PARTITION BY p.row, p.ps ORDER BY i.a) AS earlier,
                lead(i.a) OVER (PARTITION BY p.row, p.ps ORDER BY i.a) IS NULL AS last
            FROM piece p JOIN covered i ON i.thing = p.thing AND i.level = p.level
            WHERE CASE WHEN p.pe > p.ps THEN {hit} ELSE {at} END
        ),
        gap AS (
            SELECT row, ps, pe, greatest(ps, coalesce(earlier, ps)) AS low, least(pe, a) AS high
            FROM met
            UNION ALL SELECT row, ps, pe, greatest(ps, b) AS low, pe AS high FROM met WHERE last
        ),
        left_over AS (SELECT * FROM gap WHERE high > low AND pe > ps)
        SELECT {carried}, p.verdict, p.why, p.converts, p.kind, g.low AS ps, g.high AS pe,
            p.mg * ((g.high - g.low)::DOUBLE / (p.pe - p.ps)::DOUBLE) AS mg,
            p.piece_flags | {apart} AS piece_flags
        FROM left_over g JOIN piece p ON p.row = g.row AND p.ps = g.ps
        UNION ALL
        SELECT {carried}, 'duplicate' AS verdict, '{reason}' AS why, false AS converts,
            NULL AS kind, NULL AS ps,
            NULL AS pe, NULL AS mg, p.piece_flags
        FROM (SELECT DISTINCT ON (row) * FROM piece
            WHERE row IN (SELECT row FROM met) ORDER BY row, ps) p
        WHERE p.row NOT IN (SELECT row FROM left_over)
            AND p.row NOT IN (SELECT piece.row FROM piece LEFT JOIN met
                ON met.row = piece.row AND met.ps = piece.ps WHERE met.row IS NULL)
        UNION ALL
        SELECT {carried}, p.verdict, p.why, p.converts, p.kind, p.ps, p.pe, p.mg, p.piece_flags
        FROM piece p LEFT JOIN met m ON m.row = p.row AND m.ps = p.ps WHERE m.row IS NULL
        """
    )
    connection.execute(
        """
        INSERT INTO next_settled
        SELECT s.* FROM settled s ANTI JOIN next_settled n USING (row)
        """
    )
    connection.execute("INSERT INTO contested SELECT DISTINCT row FROM level ANTI JOIN contested "
                       "USING (row)")  # fmt: skip
    connection.execute("CREATE OR REPLACE TEMP TABLE settled AS SELECT * FROM next_settled")
