"""Rows in mg and microseconds: why one cannot be measured, and the piece that it is by itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ketamine_outcomes.exposure.flags import BIT

if TYPE_CHECKING:
    import duckdb
    import pandas as pd

HOUR = 3_600_000_000  # microseconds
MINUTE = HOUR // 60


def make(connection: duckdb.DuckDBPyConnection, key: str, ways: pd.DataFrame) -> None:
    """Make `faulted` (rows in mg and microseconds with their fault) and `alone` from it.

    Rows with and without an end of their own go apart: most have none, and what depends on an
    end is then no work at all.
    """
    weights = bool(ways["needs_weight"].any())
    complete = connection.execute("SELECT stays FROM complete").fetchone() == (True,)
    twice = connection.execute("SELECT count(*) FROM same_row").fetchone() != (0,)
    ranked = connection.execute("SELECT count(*) FROM feed").fetchone() != (0,)
    kg = "k.kg" if weights else "NULL::DOUBLE"
    ml = "coalesce(d.concentration * w.mg_per_concentration, w.mg_per_ml)"
    net = "(d.amount - CASE WHEN w.dispensed THEN coalesce(d.wasted, 0) ELSE 0 END)"
    parts = [ends for ends in (False, True) if (ways["has_end"] == ends).any()]
    for ends in parts or [False]:
        island = (
            "NULL::BIGINT AS island_start, NULL::BIGINT AS island_end, "
            "NULL::VARCHAR AS island_reason, true AS inside"
        )
        if complete and not ends:
            island = (
                "i.a AS island_start, i.b AS island_end, i.reason AS island_reason, "
                "i.b IS NOT NULL AS inside"
            )
        in_stay = (
            "LEFT JOIN island i ON i.patient_id = d.patient_id "
            "AND i.a <= epoch_us(d.start) AND epoch_us(d.start) <= i.b"
        )
        if not complete:
            in_stay = ""
        elif ends:
            in_stay += " LEFT JOIN astray y ON y.row = d.row"
            island = f"""
            coalesce(y.a, i.a) AS island_start, coalesce(y.b, i.b) AS island_end,
            coalesce(y.reason, i.reason) AS island_reason,
            CASE WHEN w.route_group IN ('parenteral', 'neuraxial') AND d."end" > d.start
                    AND NOT (w.has_rate
                        AND epoch_us(d."end") - epoch_us(d.start) <= {MINUTE})
                THEN y.row IS NOT NULL OR coalesce(i.b > epoch_us(d.start), false)
                ELSE i.b IS NOT NULL END AS inside"""
        connection.execute(
            f"""
        CREATE OR REPLACE TEMP VIEW charted_{int(ends)} AS
        SELECT d.row, d.dose_id, d.patient_id, d.source, d.clock, d.order_id, d.infusion_id, d.site,
            d.rate AS rate_charted, w.what, w.ingredient AS drug, w.drug_class, w.route_ AS route,
            w.route_group, w.form_ AS form, w.form_class, w.lane, w.role, w.row_class, w.reason,
            w.stratum, w.flags_ AS flags, w.amount_counts, w.has_rate, w.lane_inside, w.plain,
            w.fault_ AS fault_words,
            w.rate_per_kg, w.flag_above, w.refuse_above,
            w.amount_by_volume, w.rate_by_volume, w.amount_per_kg,
            epoch_us(d.start) AS s, {'epoch_us(d."end")' if ends else "NULL::BIGINT"} AS e,
            {kg} AS weight_kg, {net} AS net,
            CASE WHEN NOT w.amount_counts THEN NULL
                WHEN w.amount_by_volume THEN {net} * {ml}
                WHEN w.amount_per_kg THEN {net} * w.mg_per_amount * {kg}
                ELSE {net} * w.mg_per_amount END AS amount_mg,
            CASE WHEN NOT w.has_rate OR w.route_group = 'patch' THEN NULL
                WHEN w.rate_by_volume THEN d.rate * {ml}
                WHEN w.rate_per_kg THEN d.rate * w.mg_per_rate * {kg}
                ELSE d.rate * w.mg_per_rate END AS rate_mg_per_h,
            CASE WHEN w.rate_per_kg THEN d.rate * w.mg_per_rate
                WHEN w.rate_by_volume THEN d.rate * {ml} / {kg}
                ELSE d.rate * w.mg_per_rate / {kg} END AS rate_mg_per_kg_h,
            CASE WHEN w.route_group <> 'patch' THEN NULL
                ELSE coalesce(d.rate * w.mcg_per_h_per_rate,
                    CASE WHEN w.amount_counts THEN {net} * w.mcg_per_h_per_amount END)
                END AS rate_mcg_per_h,
            {"f.rank" if ranked else "NULL::INTEGER"} AS feed,
            {"t.row IS NOT NULL" if twice else "false"} AS twice,
            {island}
        FROM dose d JOIN way w ON {key}
        {"LEFT JOIN row_weight k ON k.row = d.row" if weights else ""}
        {"LEFT JOIN feed f ON f.source = d.source" if ranked else ""}
        {"LEFT JOIN same_row t ON t.row = d.row" if twice else ""}
        {in_stay}
        WHERE d."end" IS {"NOT NULL" if ends else "NULL"}
        """
        )
        connection.execute(_faulted(ends, not complete and not twice))
        connection.execute(_alone(ends))
    for name in ("faulted", "alone"):
        columns = "* EXCLUDE (length, mass, fine)" if name == "faulted" else "*"
        union = " UNION ALL ".join(
            f"SELECT {columns} FROM {name}_{int(ends)}" for ends in parts or [False]
        )
        connection.execute(f"CREATE OR REPLACE TEMP VIEW {name} AS {union}")


def _faulted(ends: bool, everywhere: bool) -> str:
    """Return the SQL of `faulted`: why a row cannot be measured, and the lane that it takes.

    `fine` rows need no rule at all: they are most, and are told first by numbers alone. Where no
    row can lie outside a stay or stand in two feeds (`everywhere`), the way decides the lane.
    """
    goes = """CASE WHEN fine THEN 'alone'
                WHEN lane_inside = 'aside' OR (inside AND NOT twice) THEN lane_inside
                WHEN row_class = 'marker' THEN lane
                WHEN drug_class = 'antagonist' THEN CASE WHEN inside THEN lane ELSE 'aside' END
                WHEN NOT inside AND lane NOT IN ('open', 'patch') THEN 'outside'
                WHEN twice THEN 'twice'
                ELSE lane END"""
    return f"""
        CREATE OR REPLACE TEMP VIEW faulted_{int(ends)} AS
        WITH sized AS (
            SELECT *, coalesce(e - s, 0) AS length,
                CASE WHEN amount_counts THEN amount_mg
                    ELSE rate_mg_per_h * ((e - s)::DOUBLE / {HOUR}) END AS mass
            FROM charted_{int(ends)}
        ),
        told AS (
            SELECT *, coalesce(plain AND inside AND NOT twice AND mass >= 0
                AND mass <= refuse_above AND (e IS NULL OR length > {MINUTE}), false) AS fine
            FROM sized
        )
        SELECT * EXCLUDE (fault_words, net),
            CASE WHEN fine OR row_class = 'marker' OR drug_class = 'antagonist' THEN ''
                WHEN fault_words <> '' AND fault_words <> 'no_route' THEN fault_words
                WHEN (amount_counts AND net < 0) OR (has_rate AND rate_charted < 0)
                    THEN 'negative'
                WHEN rate_mcg_per_h IS NOT NULL THEN fault_words
                WHEN amount_counts AND amount_by_volume AND amount_mg IS NULL
                    THEN 'no_concentration'
                WHEN amount_counts AND amount_per_kg AND amount_mg IS NULL THEN 'no_weight'
                WHEN amount_counts THEN fault_words
                WHEN rate_by_volume AND rate_mg_per_h IS NULL THEN 'no_concentration'
                WHEN rate_per_kg AND rate_mg_per_h IS NULL THEN 'no_weight'
                ELSE fault_words END AS fault,
            {"lane_inside" if everywhere else goes} AS goes
        FROM told
        """


def _alone(ends: bool) -> str:
    """Return the SQL of `alone`: rows that become a piece by themselves, and rows that become none.

    A rate of a minute or less is a bolus judged by its amount. An amount with its own end is
    spread over it on parenteral rows, else it is a bolus at its start.
    """
    per_hour = f"mass / greatest(length::DOUBLE / {HOUR}, 1)"
    return f"""
        CREATE OR REPLACE TEMP VIEW alone_{int(ends)} AS
        WITH blamed AS (
            SELECT * EXCLUDE (fault), CASE
                WHEN fine OR drug_class = 'antagonist' THEN ''
                WHEN fault <> '' AND fault <> 'no_route' THEN fault
                WHEN length < 0 THEN 'end_before_start'
                WHEN length = 0 AND NOT amount_counts AND goes = 'alone' THEN 'no_duration'
                WHEN {per_hour} > refuse_above OR mass > 10000 THEN 'implausible_unit'
                ELSE fault END AS fault,
                length > 0 AND has_rate AND length <= {MINUTE} AS minute
            FROM faulted_{int(ends)} WHERE goes IN ('aside', 'outside', 'twice', 'alone')
        ),
        shaped AS (
            SELECT *, {_verdict()},
                CASE WHEN NOT fine AND fault <> '' THEN greatest(coalesce(e, s), s)
                    WHEN length > 0 AND NOT minute AND route_group IN ('parenteral', 'neuraxial')
                    THEN e ELSE s END AS last
            FROM blamed
        )
        SELECT *, CASE WHEN last > s THEN 'interval' ELSE 'bolus' END AS kind,
            CASE WHEN last > s THEN greatest(s, coalesce(island_start, s)) ELSE s END AS ps,
            CASE WHEN last > s THEN greatest(s, least(last, coalesce(island_end, last)))
                ELSE s END AS pe,
            CASE WHEN NOT fine AND fault <> '' THEN NULL
                WHEN last > s AND (island_end < last OR island_start > s)
                    THEN mass * ((least(last, island_end) - greatest(s, island_start))::DOUBLE
                        / (last - s)::DOUBLE)
                ELSE mass END AS mg,
            CASE WHEN goes <> 'alone' THEN flags ELSE flags
                | CASE WHEN minute AND fault = '' THEN {BIT["rate_as_bolus"]} ELSE 0 END
                | CASE WHEN fault = 'implausible_unit' OR (fault = '' AND drug_class <> 'antagonist'
                    AND {per_hour} > flag_above)
                    THEN {BIT["implausible_unit"]} ELSE 0 END END AS piece_flags
        FROM shaped
        """


def _verdict() -> str:
    """Return the SQL of class and reason of a row, in the order of the contract."""
    return """
        CASE WHEN fine THEN 'converted'
            WHEN row_class <> '' THEN row_class
            WHEN goes = 'outside' THEN 'excluded'
            WHEN goes = 'twice' THEN 'duplicate'
            WHEN stratum <> '' THEN 'excluded'
            WHEN fault <> '' THEN 'unconverted'
            ELSE 'converted' END AS verdict,
        fine OR (row_class = '' AND goes = 'alone' AND stratum = '' AND fault = '') AS converts,
        CASE WHEN fine THEN ''
            WHEN row_class <> '' THEN reason
            WHEN goes = 'outside' THEN 'outside_stay'
            WHEN goes = 'twice' THEN 'same_row'
            WHEN stratum <> '' THEN stratum
            ELSE fault END AS why"""
