"""Rows whose end depends on their neighbours: rates without an end, pump counters, patches.

Each lane is sorted by patient, drug and route and read with window functions; all of them end in
the table `beside`: one verdict and at most one piece per row.

Rates. A rate without an end of its own holds to the next rate row of that drug and route,
whatever its order (orders are renewed under a running pump), to a stop, to the end of the stay,
to death, or to 24 h after the last row that confirmed it. A confirmation is a verified or new_bag
row without a rate or at the unchanged rate; after a stop, or after 24 h of silence, it is a rate
row. A stop comes before what begins in the same moment.

Counters. A reading minus the one before was delivered evenly between the two; a fall is a new
counter.

Patches. A patch is worn to its removal, to the next application of the drug unless both body
sites are charted and differ, or for the time on its label (fentanyl 72 h, buprenorphine 168 h).
A removal with a body site closes the patch there if one was put on there last; else it closes
all of that drug. A removal that comes late, up to twice the time on the label, still ends the
wear.

What starts before a stay and runs into it counts from the stay on.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ketamine_outcomes.exposure.flags import BIT

if TYPE_CHECKING:
    import duckdb

HOUR = 3_600_000_000  # microseconds
MINUTE = HOUR // 60
CAP = 24 * HOUR
WEAR = f"CASE drug WHEN 'buprenorphine' THEN {168 * HOUR} ELSE {72 * HOUR} END"
FOREVER = 2**62

#: What a row of `faulted` carries through every lane.
CARRIED = (
    "row", "dose_id", "patient_id", "source", "clock", "s", "order_id", "infusion_id", "what",
    "drug", "drug_class", "route", "route_group", "form", "form_class", "feed", "role",
    "amount_counts",
    "rate_mg_per_h", "rate_mg_per_kg_h", "rate_mcg_per_h", "weight_kg", "stratum",
)  # fmt: skip
BESIDE = (*CARRIED, "verdict", "why", "converts", "kind", "ps", "pe", "mg", "piece_flags")
TIMELINE = (
    "PARTITION BY patient_id, drug, route, feed ORDER BY s, place, basis, value, dose_id, row"
)


def run(connection: duckdb.DuckDBPyConnection, lanes: set[str], own_ends: bool) -> None:
    """Make the table `beside`.

    Parameters
    ----------
    connection
        Holds `faulted`, `island`, `dose_stay`, `death`.
    lanes
        Lanes that occur.
    own_ends
        Whether there are rate rows with an end of their own.
    """
    connection.execute(
        f"CREATE OR REPLACE TEMP TABLE beside AS SELECT {', '.join(CARRIED)}, '' AS verdict, "
        "'' AS why, false AS converts, '' AS kind, 0::BIGINT AS ps, 0::BIGINT AS pe, "
        "0::DOUBLE AS mg, 0::INTEGER AS piece_flags FROM faulted WHERE false"
    )
    queries = {"open": _open(own_ends), "reading": _readings(), "patch": _patches()}
    for lane, query in queries.items():
        if lane in lanes:
            told = f"SELECT *, verdict = 'converted' AS converts FROM ({query})"
            connection.execute(f"INSERT INTO beside SELECT {', '.join(BESIDE)} FROM ({told})")


def decide(fault: str = "fault") -> str:
    """Return the SQL of class and reason of a row that is in a stay and in no other feed."""
    return f"""
        CASE WHEN stratum <> '' THEN 'excluded'
            WHEN {fault} <> '' THEN 'unconverted' ELSE 'converted' END AS verdict,
        CASE WHEN stratum <> '' THEN stratum ELSE {fault} END AS why"""


def _open(own_ends: bool) -> str:
    closers = f"""
        UNION ALL BY NAME
        SELECT f.*, false AS opens FROM faulted f SEMI JOIN opened o
        ON f.patient_id = o.patient_id AND f.drug = o.drug
            AND f.route IS NOT DISTINCT FROM o.route AND f.feed IS NOT DISTINCT FROM o.feed
        WHERE f.goes = 'alone' AND f.has_rate AND f.role <> 'bolus' AND f.e > f.s + {MINUTE}
        """
    per_hour = f"mass / greatest((pe - ps)::DOUBLE / {HOUR}, 1)"
    return f"""
        WITH opened AS (SELECT *, true AS opens FROM faulted WHERE goes = 'open'),
        event AS (
            SELECT *,
                CASE WHEN role = 'stop' THEN 0
                    WHEN opens AND role = 'confirm' THEN 2 ELSE 1 END AS place,
                CASE WHEN role = 'stop' THEN 'stop'
                    WHEN has_rate AND rate_per_kg THEN 'kg'
                    WHEN has_rate AND rate_mg_per_h IS NOT NULL THEN 'h'
                    WHEN has_rate THEN 'raw'
                    WHEN role <> 'confirm' THEN 'unknown' END AS basis,
                CASE WHEN role = 'stop' THEN 0
                    WHEN has_rate AND rate_per_kg THEN rate_mg_per_kg_h
                    WHEN has_rate THEN coalesce(rate_mg_per_h, rate_charted)
                    WHEN role <> 'confirm' THEN 0 END AS value
            FROM (SELECT * FROM opened {closers if own_ends else ""})
        ),
        silent AS (
            SELECT *, s - lag(s) OVER ({TIMELINE}) > {CAP} AS after_silence FROM event
        ),
        chained AS (
            SELECT *, count(*) FILTER (after_silence)
                OVER ({TIMELINE} ROWS UNBOUNDED PRECEDING) AS chain
            FROM silent
        ),
        running AS (
            SELECT *,
                last_value(basis IGNORE NULLS) OVER earlier AS basis_before,
                last_value(value IGNORE NULLS) OVER earlier AS value_before,
                last_value(CASE WHEN basis IS NOT NULL THEN chain END IGNORE NULLS)
                    OVER earlier AS chain_before,
                last_value(CASE WHEN basis IS NOT NULL THEN coalesce(e, {FOREVER}) END IGNORE NULLS)
                    OVER earlier AS end_before
            FROM chained
            WINDOW earlier AS ({TIMELINE} ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING)
        ),
        told AS (
            SELECT *, opens AND role = 'confirm' AND (basis IS NULL OR coalesce(
                basis = basis_before AND value = value_before AND chain = chain_before
                AND s <= end_before, false)) AS confirms
            FROM running
        ),
        segmented AS (
            SELECT *, count(*) FILTER (NOT confirms)
                OVER ({TIMELINE} ROWS UNBOUNDED PRECEDING) AS segment
            FROM told
        ),
        held AS (
            SELECT *, max(s) OVER (PARTITION BY patient_id, drug, route, feed, segment, chain)
                AS confirmed
            FROM segmented
        ),
        closed AS (
            SELECT *, lead(s) OVER ({TIMELINE}) AS next_s, lead(role) OVER ({TIMELINE}) AS next_role
            FROM held WHERE NOT confirms
        ),
        free AS (
            SELECT *, coalesce(next_s <= confirmed + {CAP}, false) AS by_next,
                CASE WHEN rate_mg_per_h = 0 THEN s
                    WHEN next_s <= confirmed + {CAP} THEN next_s
                    ELSE confirmed + {CAP} END AS free_end
            FROM closed WHERE opens AND role <> 'stop'
        ),
        met AS ({_met("free")}),
        in_stay AS (
            SELECT c.row, max(y.b) AS b, max_by(y.reason, (y.b, y.reason)) AS reason
            FROM met c JOIN dose_stay y
            ON y.patient_id = c.patient_id AND y.a <= c.ps AND c.ps <= y.b GROUP BY c.row
        ),
        ended AS (
            SELECT c.*, coalesce(y.b, c.first_b) AS stay_end,
                coalesce(y.reason, c.first_reason) AS stay_reason, x.moment AS death
            FROM met c LEFT JOIN in_stay y ON y.row = c.row
            LEFT JOIN death x ON x.patient_id = c.patient_id AND x.moment >= c.ps
        ),
        cut AS (
            SELECT * EXCLUDE (fault),
                least(free_end, coalesce(stay_end, free_end), coalesce(death, free_end)) AS pe,
                CASE WHEN death < least(free_end, coalesce(stay_end, free_end)) THEN 'death'
                    WHEN stay_end < free_end THEN stay_reason
                    WHEN NOT by_next THEN 'cap'
                    WHEN next_role = 'stop' THEN '' ELSE 'next_row' END AS how,
                fault AS fault_charted,
                rate_mg_per_h * ((least(free_end, coalesce(stay_end, free_end),
                    coalesce(death, free_end)) - ps)::DOUBLE / {HOUR}) AS mass
            FROM ended
        ),
        judged AS (
            SELECT *, CASE WHEN fault_charted <> '' AND fault_charted <> 'no_route'
                    THEN fault_charted
                WHEN {per_hour} > refuse_above OR mass > 10000 THEN 'implausible_unit'
                ELSE fault_charted END AS fault
            FROM cut
        )
        SELECT *, {decide()}, CASE WHEN pe > ps THEN 'interval' ELSE 'bolus' END AS kind,
            CASE WHEN fault = '' THEN mass END AS mg,
            flags | CASE WHEN fault <> '' OR rate_mg_per_h = 0 THEN 0
                    ELSE CASE how {_bits()} ELSE 0 END END
                | CASE WHEN fault = 'implausible_unit' OR (fault = '' AND {per_hour} > flag_above)
                    THEN {BIT["implausible_unit"]} ELSE 0 END AS piece_flags
        FROM judged
        UNION ALL BY NAME
        {_outside("free")}
        UNION ALL BY NAME
        SELECT *, 'marker' AS verdict, CASE WHEN role = 'stop' THEN 'stop' ELSE 'confirmation' END
            AS why, NULL AS kind, NULL AS ps, NULL AS pe, NULL AS mg, flags AS piece_flags
        FROM held WHERE opens AND (confirms OR role = 'stop')
        """


def _met(free: str) -> str:
    """Return the SQL of rows that run from `s` to `free_end`, with the stays that they meet.

    `ps` is where they are first in a stay, `first_b` and `last_b` where the first and the last
    run of stays that they meet end. Without complete stays every row is met from its start.
    """
    return f"""
            SELECT f.*, greatest(f.s, coalesce(j.a, f.s)) AS ps, j.first_b, j.first_reason,
                j.last_b, j.last_reason
            FROM {free} f LEFT JOIN (
                SELECT f.row, min(i.a) AS a, min_by(i.b, i.a) AS first_b,
                    min_by(i.reason, i.a) AS first_reason, max(i.b) AS last_b,
                    max_by(i.reason, i.b) AS last_reason
                FROM {free} f JOIN island i ON i.patient_id = f.patient_id
                    AND i.b >= f.s AND (i.a < f.free_end OR i.a <= f.s) GROUP BY f.row) j
            ON j.row = f.row
            WHERE (SELECT NOT stays FROM complete) OR j.row IS NOT NULL"""


def _outside(free: str) -> str:
    """Return the SQL of the verdict of rows that meet no stay."""
    return f"""
        SELECT *, 'excluded' AS verdict, 'outside_stay' AS why, NULL AS kind, NULL AS ps,
            NULL AS pe, NULL AS mg, flags AS piece_flags
        FROM {free} WHERE row NOT IN (SELECT row FROM met)"""


def _bits() -> str:
    return " ".join(
        f"WHEN '{how}' THEN {BIT[f'open_interval_closed_by_{how}']}"
        for how in ("next_row", "cap", "discharge", "death", "transfer")
    )


def _readings() -> str:
    per_hour = f"mass / greatest((pe - ps)::DOUBLE / {HOUR}, 1)"
    pump = (
        "PARTITION BY patient_id, drug, route, feed, coalesce(infusion_id, order_id, '') "
        "ORDER BY s, amount_mg, dose_id, row"
    )
    return f"""
        WITH reading AS (SELECT * FROM faulted WHERE goes = 'reading'),
        read AS (
            SELECT *, lag(s) OVER ({pump}) AS ps, lag(amount_mg) OVER ({pump}) AS before, s AS pe
            FROM reading WHERE fault IN ('', 'no_route')
        ),
        delivered AS (
            SELECT *, CASE WHEN amount_mg >= before THEN amount_mg - before ELSE amount_mg END
                AS mass
            FROM read WHERE ps IS NOT NULL
        ),
        judged AS (
            SELECT * EXCLUDE (fault), CASE WHEN {per_hour} > refuse_above OR mass > 10000
                THEN 'implausible_unit' ELSE fault END AS fault
            FROM delivered
        )
        SELECT *, {decide()}, CASE WHEN pe > ps THEN 'interval' ELSE 'bolus' END AS kind,
            CASE WHEN fault = '' THEN mass END AS mg,
            flags | CASE WHEN fault = 'implausible_unit' OR (fault = '' AND {per_hour} > flag_above)
                THEN {BIT["implausible_unit"]} ELSE 0 END AS piece_flags
        FROM judged
        UNION ALL BY NAME
        SELECT *, {decide()}, 'bolus' AS kind, s AS ps, s AS pe, NULL AS mg, flags AS piece_flags
        FROM reading WHERE fault NOT IN ('', 'no_route')
        UNION ALL BY NAME
        SELECT * EXCLUDE (ps, pe), 'marker' AS verdict, 'first_reading' AS why, NULL AS kind,
            NULL AS ps, NULL AS pe, NULL AS mg, flags AS piece_flags
        FROM read WHERE ps IS NULL
        """


def _patches() -> str:
    same = "p.patient_id = q.patient_id AND p.drug = q.drug AND p.feed IS NOT DISTINCT FROM q.feed"
    return f"""
        WITH patch AS (
            SELECT * EXCLUDE (site), lower(trim(site)) AS site, s + {WEAR} AS worn_out,
                s + 2 * ({WEAR}) AS too_late
            FROM faulted WHERE goes = 'patch'
        ),
        applied AS (SELECT * FROM patch WHERE row_class = ''),
        removed AS (SELECT * FROM patch WHERE role = 'stop'),
        put_on_there AS (
            SELECT DISTINCT q.row FROM removed q JOIN applied p ON {same}
            WHERE q.site IS NOT NULL AND p.site = q.site AND p.s < q.s AND q.s <= p.too_late
                AND NOT EXISTS (SELECT 1 FROM removed r WHERE r.patient_id = p.patient_id
                    AND r.drug = p.drug AND r.feed IS NOT DISTINCT FROM p.feed
                    AND r.s > p.s AND r.s < q.s AND (r.site IS NULL OR r.site = q.site))
                AND NOT EXISTS (SELECT 1 FROM applied r WHERE r.patient_id = p.patient_id
                    AND r.drug = p.drug AND r.feed IS NOT DISTINCT FROM p.feed
                    AND r.s > p.s AND r.s < q.s AND r.site IS NULL)
        ),
        taken_off AS (
            SELECT p.row, min(q.s) AS moment FROM applied p JOIN removed q ON {same}
            WHERE q.s > p.s AND q.s <= p.too_late
                AND (q.site IS NOT DISTINCT FROM p.site OR q.site IS NULL
                    OR q.row NOT IN (SELECT row FROM put_on_there))
            GROUP BY p.row
        ),
        replaced AS (
            SELECT p.row, min(q.s) AS moment FROM applied p JOIN applied q ON {same}
            WHERE q.s > p.s AND q.s <= p.worn_out
                AND (p.site IS NULL OR q.site IS NULL OR p.site = q.site)
            GROUP BY p.row
        ),
        free AS (
            SELECT p.*, t.moment AS off, n.moment AS next,
                CASE WHEN p.e > p.s THEN p.e
                    -- a removal that is charted ends the wear, be it late
                    WHEN t.moment <= coalesce(n.moment, p.too_late) THEN t.moment
                    ELSE least(p.worn_out, coalesce(n.moment, p.worn_out)) END AS free_end
            FROM applied p LEFT JOIN taken_off t ON t.row = p.row
            LEFT JOIN replaced n ON n.row = p.row
        ),
        met AS ({_met("free")}),
        judged AS (
            SELECT c.* EXCLUDE (fault), x.moment AS death,
                least(free_end, coalesce(last_b, free_end), coalesce(x.moment, free_end)) AS pe,
                CASE WHEN x.moment < least(free_end, coalesce(last_b, free_end)) THEN 'death'
                    WHEN last_b < free_end THEN last_reason
                    WHEN e > s OR free_end IS NOT DISTINCT FROM off THEN ''
                    WHEN free_end IS NOT DISTINCT FROM next THEN 'next_patch'
                    WHEN drug = 'buprenorphine' THEN '168h' ELSE '72h' END AS how,
                CASE WHEN fault <> '' AND fault <> 'no_route' THEN fault
                    WHEN e < s THEN 'end_before_start'
                    WHEN rate_mcg_per_h > refuse_above THEN 'implausible_unit'
                    ELSE fault END AS fault
            FROM met c LEFT JOIN death x ON x.patient_id = c.patient_id AND x.moment >= c.ps
        )
        SELECT *, {decide()}, 'patch' AS kind, NULL AS mg,
            flags | CASE WHEN fault <> '' THEN 0 ELSE CASE how {_bits()}
                WHEN 'next_patch' THEN {BIT["patch_removal_imputed_next_patch"]}
                WHEN '72h' THEN {BIT["patch_removal_imputed_72h"]}
                WHEN '168h' THEN {BIT["patch_removal_imputed_168h"]} ELSE 0 END END
                | CASE WHEN fault = 'implausible_unit' OR (fault = ''
                    AND rate_mcg_per_h > flag_above)
                    THEN {BIT["implausible_unit"]} ELSE 0 END AS piece_flags
        FROM judged
        UNION ALL BY NAME
        {_outside("free")}
        UNION ALL BY NAME
        SELECT *, 'marker' AS verdict, reason AS why, NULL AS kind, NULL AS ps, NULL AS pe,
            NULL AS mg, flags AS piece_flags
        FROM patch WHERE row_class <> ''
        """
