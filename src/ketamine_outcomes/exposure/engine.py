"""Every dose row to one class with a reason, and to the pieces of time in which it counts.

Works in DuckDB, out of core: a table of any length streams through. A row is first joined to
what its way of charting means (`charting.py`) and to what surrounds it: stays, weights, other feeds
(`surroundings.py`). Most rows then become a piece by themselves (`rows.py`); only those whose end
depends on their neighbours (rates without an end, pump counters, patches) and those that two
records describe are sorted and looked at together (`neighbours.py`, `feeds.py`).

The order of the classes is that of the contract: non_opioid, excluded:status, marker,
excluded:outside_stay, duplicate, excluded, unconverted, converted. A piece is a mass of drug;
factors come later (`masses.py`), so that another factor set is a join.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

from ketamine_outcomes.exposure import charting, feeds, neighbours, rows, surroundings
from ketamine_outcomes.exposure.charting import Assumptions, Charting, Way
from ketamine_outcomes.exposure.flags import BIT
from ketamine_outcomes.exposure.masses import WHAT

if TYPE_CHECKING:
    import duckdb
    import pandas as pd

MINUTE = 60_000_000  # microseconds
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
    surroundings.feeds(connection, assume)
    surroundings.deaths(connection, "patients" in tables)
    surroundings.stays(connection, "stays" in tables and assume.stays_complete)
    key = _join_key(ways)
    surroundings.weights(connection, key, bool(ways["needs_weight"].any()), tables)
    surroundings.same_rows(connection, key)
    rows.make(connection, key, ways)
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
