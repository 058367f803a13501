"""Every dose row to one class with a reason, and to the pieces of time in which it counts.

Works in DuckDB, out of core: a table of any length streams through. A row is first joined to
what its way of charting means (`charting.py`). Most rows then become a piece by themselves; only
those whose end depends on their neighbours (rates without an end, pump counters, patches) and
those that two feeds describe are sorted and looked at together (`neighbours.py`, `feeds.py`).

The order of the classes is that of the contract: non_opioid, excluded:status, marker,
excluded:outside_stay, duplicate, excluded, unconverted, converted. A piece is a mass of drug;
factors come later (`masses.py`), so that another factor set is a join.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

from ketamine_outcomes.exposure import charting, feeds, neighbours, units
from ketamine_outcomes.exposure.charting import Assumptions, Charting, Way
from ketamine_outcomes.exposure.flags import BIT
from ketamine_outcomes.exposure.masses import WHAT

if TYPE_CHECKING:
    import duckdb
    import pandas as pd

HOUR = 3_600_000_000  # microseconds
MINUTE = HOUR // 60
WEIGHT_LIMITS_KG = (20.0, 350.0)
#: What distinguishes a row beyond its number and its feed: equal in all this, two feeds mean one
#: dose.
SAME = (
    "d.patient_id", "w.words", "d.order_id", "d.infusion_id", "d.start", 'd."end"', "d.amount",
    "coalesce(d.wasted, 0)", "d.rate", "d.concentration", "lower(trim(d.site))",
    "d.site_episode_id",
)  # fmt: skip
COLUMNS = (
    "row", "dose_id", "fault", "source", "clock", "patient_id", "order_id", "infusion_id", "drug",
    "product", "route", "form", "start", '"end"', "amount", "amount_unit", "amount_basis",
    "wasted", "rate", "rate_unit", "concentration", "concentration_unit", "site",
    "site_episode_id", "status", "procedural", "indication",
)  # fmt: skip
TYPES = {
    **dict.fromkeys(("amount", "wasted", "rate", "concentration"), "DOUBLE"),
    **dict.fromkeys(("start", "end"), "TIMESTAMP"),
    "procedural": "BOOLEAN",
}
#: The meanings behind `WHAT`.
_WHAT = ("ingredient", "drug_class", "route", "form_class", "stratum")
_SQL_TYPES = {"bool": "BOOLEAN", "int": "INTEGER", "float": "DOUBLE", "float | None": "DOUBLE",
              "str": "VARCHAR", "str | None": "VARCHAR"}  # fmt: skip


@dataclass(frozen=True)
class Found:
    """What an engine run left in its connection.

    Attributes
    ----------
    ways
        The distinct ways of charting with their counts, and what they mean.
    pieces, verdicts
        Names of relations: pieces of time, and row, class, reason, flags of every dose row.
    """

    ways: pd.DataFrame
    pieces: str = "pieces"
    verdicts: str = "verdicts"


def run(
    connection: duckdb.DuckDBPyConnection,
    assume: Assumptions,
    index_drug: str | None = None,
    *,
    tables: frozenset[str] = frozenset(("doses",)),
    overlaps: bool = True,
) -> Found:
    """Classify the relation `doses` of a connection.

    Parameters
    ----------
    connection
        Holds a relation `doses` with typed columns of the contract (those that are not there
        count as empty) and, where `tables` says so, `patients`, `stays` and `measurements`. A
        column `row` numbers the data rows, `fault` holds what the intake found, `clock` how far
        the local clock was ahead of that of the table, in microseconds.
    assume
        What the cohort lets the engine assume.
    index_drug
        An ingredient beyond opioids and ketamine whose pieces are wanted.
    tables
        Names of the relations that exist.
    overlaps
        Whether to look for pumps that run together: it only flags, and costs a sort.

    Returns
    -------
    Found
        Temporary views `pieces` and `verdicts` now exist in the connection.
    """
    ways = _ways(connection, _doses(connection), assume, index_drug)
    _feeds(connection, assume)
    _deaths(connection, "patients" in tables)
    _stays(connection, "stays" in tables and assume.stays_complete)
    key = _join_key(ways)
    _weights(connection, key, bool(ways["needs_weight"].any()), tables)
    _same_rows(connection, key)
    _rows(connection, key, ways)
    alone = ways["lane"].eq("alone") & ways["has_end"]
    neighbours.run(connection, set(ways["lane"]), bool((alone & ways["has_rate"]).any()))
    feeds.run(connection, ways)
    _pieces(connection, overlaps and bool(alone.any()))
    return Found(ways)


# --- inputs -----------------------------------------------------------------------------------


def _doses(connection: duckdb.DuckDBPyConnection) -> list[str]:
    """Make `dose`: all columns of the contract, typed; absent ones empty. Return those there."""
    there = [row[0] for row in connection.execute("DESCRIBE doses").fetchall()]
    columns = []
    for name in COLUMNS:
        bare = name.strip('"')
        if bare in there:
            kind = TYPES.get(bare, "BIGINT" if bare in ("row", "clock") else "VARCHAR")
            columns.append(f"{name}::{kind} AS {name}")
        elif bare == "row":
            columns.append('row_number() OVER () AS "row"')
        elif bare == "clock":
            columns.append("0::BIGINT AS clock")
        else:
            columns.append(f"NULL::{TYPES.get(bare, 'VARCHAR')} AS {name}")
    connection.execute(
        f"CREATE OR REPLACE TEMP VIEW dose AS SELECT {', '.join(columns)} FROM doses"
    )
    return there


def _ways(
    connection: duckdb.DuckDBPyConnection,
    there: list[str],
    assume: Assumptions,
    index_drug: str | None,
) -> pd.DataFrame:
    """Make the tables `way`, every distinct way of charting and what it means, and `what`."""
    import pandas as pd

    words = ", ".join(
        name if name in there else f"NULL AS {name}"
        for name in charting.KEY
        if not name.startswith("has_")
    )
    given = [name for name in charting.KEY if name in there]
    given += ["has_amount", "has_rate", "has_end"]
    found = connection.execute(
        f"SELECT {words}, amount IS NOT NULL AS has_amount, rate IS NOT NULL AS has_rate, "
        f'"end" IS NOT NULL AS has_end, count(*) AS n FROM dose GROUP BY {", ".join(given)} '
        "ORDER BY ALL"
    ).fetchall()
    keys = [row[:-1] for row in found]
    meanings = [charting.resolve(Way(*key), assume, index_drug) for key in keys]
    table = pd.DataFrame(keys, columns=list(charting.KEY), dtype="object")
    table["n"] = [row[-1] for row in found]
    meant = pd.DataFrame([vars(m) for m in meanings], columns=[f.name for f in fields(Charting)])
    # The cells of the row keep their names; what they mean is `drug_` and so on beside them.
    both = pd.concat([table, meant.rename(columns=_meant)], axis=1)
    kinds = [tuple(getattr(m, name) for name in _WHAT) for m in meanings]
    numbers = {kind: n for n, kind in enumerate(sorted(set(kinds), key=repr), start=1)}
    both["what"] = [numbers[kind] for kind in kinds]
    whats = pd.DataFrame([[n, *kind] for kind, n in numbers.items()], columns=["what", *WHAT])
    connection.register("whats_found", whats)
    names = ", ".join(f"{name}::VARCHAR AS {name}" for name in WHAT)
    connection.execute(
        f"CREATE OR REPLACE TEMP TABLE what AS SELECT what::INTEGER AS what, {names} "
        "FROM whats_found"
    )
    connection.unregister("whats_found")
    connection.register("ways_found", both)
    types: dict[str, str] = {
        **dict.fromkeys(("has_amount", "has_rate", "has_end", "procedural"), "BOOLEAN"),
        "n": "BIGINT",
        "what": "INTEGER",
        **{_meant(field.name): _SQL_TYPES[str(field.type)] for field in fields(Charting)},
    }
    cast = ", ".join(f'"{c}"::{types.get(str(c), "VARCHAR")} AS "{c}"' for c in both)
    connection.execute(f"CREATE OR REPLACE TEMP TABLE way AS SELECT {cast} FROM ways_found")
    connection.unregister("ways_found")
    return both


def _meant(name: str) -> str:
    return f"{name}_" if name in (*charting.KEY, "flags") else name


def _join_key(ways: pd.DataFrame) -> str:
    """Return the condition that joins a dose to its way, by as few columns as tell ways apart."""
    cells = ways[list(charting.KEY)].astype("object")
    cells = cells.where(cells.notna(), "\0")
    needed = list(charting.KEY)
    for name in charting.KEY:
        fewer = [other for other in needed if other != name]
        if fewer and not cells.duplicated(fewer).any():
            needed = fewer
    conditions = []
    for name in needed if len(ways) > 1 else ():
        left = f"d.{name}"
        if name.startswith("has_"):
            column = {"has_end": '"end"'}.get(name, name.removeprefix("has_"))
            left = f"(d.{column} IS NOT NULL)"
        same = "IS NOT DISTINCT FROM" if ways[name].isna().any() else "="
        conditions.append(f"{left} {same} w.{name}")
    return " AND ".join(conditions) or "true"


def _feeds(connection: duckdb.DuckDBPyConnection, assume: Assumptions) -> None:
    connection.execute("CREATE OR REPLACE TEMP TABLE feed (source VARCHAR, rank INTEGER)")
    for rank, source in enumerate(assume.feed_priority):
        connection.execute("INSERT INTO feed VALUES (?, ?)", [source, rank])


def _stays(connection: duckdb.DuckDBPyConnection, complete: bool) -> None:
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
    connection.execute(
        f"""
        CREATE OR REPLACE TEMP TABLE island AS
        WITH stay AS ( -- one row per interval: rows that tie have no order
            SELECT patient_id, a, b, max(reason) AS reason FROM ({source}) GROUP BY ALL
        ),
        placed AS (
            SELECT *, max(b) OVER (
                PARTITION BY patient_id ORDER BY a, b
                ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS reach
            FROM stay
        ),
        numbered AS (
            SELECT *, count(*) FILTER (reach IS NULL OR a > reach)
                OVER (PARTITION BY patient_id ORDER BY a, b ROWS UNBOUNDED PRECEDING) AS n
            FROM placed
        )
        SELECT patient_id, min(a) AS a, max(b) AS b, max_by(reason, (b, reason)) AS reason
        FROM numbered GROUP BY patient_id, n
        """
    )
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


def _deaths(connection: duckdb.DuckDBPyConnection, known: bool) -> None:
    source = (
        "SELECT patient_id, min(epoch_us(death_time)) AS moment FROM patients "
        "WHERE death_time IS NOT NULL GROUP BY 1"
        if known
        else "SELECT '' AS patient_id, 0::BIGINT AS moment WHERE false"
    )
    connection.execute(f"CREATE OR REPLACE TEMP TABLE death AS {source}")


def _weights(
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


def _same_rows(connection: duckdb.DuckDBPyConnection, key: str) -> None:
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


# --- rows -------------------------------------------------------------------------------------


def _rows(connection: duckdb.DuckDBPyConnection, key: str, ways: pd.DataFrame) -> None:
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


def _pieces(connection: duckdb.DuckDBPyConnection, own_ends: bool) -> None:
    """Make the views `pieces` and `verdicts` from all lanes."""
    connection.execute("CREATE OR REPLACE TEMP TABLE concurrent (row BIGINT)")
    if own_ends:
        # Two pumps: intervals with ends of their own that overlap.
        pump = "PARTITION BY patient_id, drug, route, feed ORDER BY ps, pe, row"
        connection.execute(
            f"""
            INSERT INTO concurrent
            SELECT row FROM (
                SELECT row, ps, pe, lead(ps) OVER ({pump}) AS next, max(pe) OVER ({pump}
                    ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS reach
                FROM alone
                WHERE goes = 'alone' AND verdict = 'converted' AND pe > ps + {MINUTE})
            WHERE ps < reach OR next < pe
            """
        )
    settled = connection.execute("SELECT count(*) FROM contested").fetchone() != (0,)
    twice = connection.execute("SELECT count(*) FROM concurrent").fetchone() != (0,)
    unsettled = "ANTI JOIN contested USING (row)" if settled else ""
    flags = "piece_flags"
    if twice:
        flags += f" | CASE WHEN c.row IS NULL THEN 0 ELSE {BIT['concurrent_infusions']} END"
    also = "LEFT JOIN concurrent c ON c.row = p.row" if twice else ""
    more = f"UNION ALL SELECT {', '.join(neighbours.BESIDE)} FROM settled" if settled else ""
    connection.execute(
        f"""
        CREATE OR REPLACE TEMP VIEW pieces AS
        SELECT p.row, dose_id, patient_id, what, drug, drug_class, route, route_group, form,
            form_class, kind, ps AS s, pe AS e, mg, rate_mg_per_h, rate_mg_per_kg_h, rate_mcg_per_h,
            weight_kg, converts AND coalesce(mg, rate_mcg_per_h) IS NOT NULL AS counted,
            stratum, source, feed, clock, {flags} AS flags
        FROM (SELECT {", ".join(neighbours.BESIDE)} FROM piece_found {unsettled} {more}) p {also}
        WHERE kind IS NOT NULL
        """
    )
    names = (
        "row, dose_id, patient_id, s, clock, what, drug, drug_class, route, form_class, source, "
        "stratum, verdict, why"
    )
    every = f"""
        SELECT {names}, piece_flags FROM alone {unsettled}
        UNION ALL SELECT {names}, piece_flags FROM beside {unsettled}
        """
    if settled:
        every += f"""
        UNION ALL SELECT {names}, bit_or(piece_flags) AS piece_flags FROM settled GROUP BY ALL"""
    connection.execute(
        f"""
        CREATE OR REPLACE TEMP VIEW verdicts AS
        SELECT p.row, dose_id, patient_id, s, clock, what,
            CASE WHEN drug_class <> 'opioid' THEN 'non_opioid' ELSE verdict END AS class,
            CASE WHEN drug_class <> 'opioid' THEN drug_class ELSE why END AS reason,
            drug AS drug_resolved, drug_class, route AS route_resolved, form_class, source,
            stratum,
            {flags} AS flags
        FROM ({every}) p {also}
        """
    )
