"""The tables of standalone MME: windows laid along each patient's time, and what is written."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ketamine_outcomes.exposure import flags, masses
from ketamine_outcomes.exposure.charting import DIALYSED
from ketamine_outcomes.exposure.factors import FactorTable
from ketamine_outcomes.exposure.masses import DAY, HOUR, MICRO, SCALE
from ketamine_outcomes.exposure.surroundings import merged

if TYPE_CHECKING:
    import duckdb

#: Hour 0 of relative times on the engine's clock, in microseconds (2000-01-01).
ORIGIN = 946_684_800_000_000
UNDER_HOURS = 12


@dataclass(frozen=True)
class TimeAxis:
    """How time is cut into windows, and how it is written.

    Attributes
    ----------
    width_hours
        Width of the bins; 0 means calendar days.
    times
        `shifted` or `relative_hours`.
    offset_minutes
        Offset from UTC of the tables' clock, None where none was written.
    tables
        Tables that were given.
    """

    width_hours: float
    times: str
    offset_minutes: int | None
    tables: frozenset[str]

    def lay(self, connection: duckdb.DuckDBPyConnection, factors: FactorTable, moved: bool) -> None:
        """Make `mme` (one row per window), `by_drug` and `ledger`.

        `pieces` and `verdicts` of the engine must be there. With `moved`, times stand on
        several offsets from UTC: elapsed time counts, the written date gives the day.
        """
        self._origins(connection)
        days = self.width_hours == 0
        width = DAY if days else round(self.width_hours * HOUR)
        if days and moved:
            self._calendar(connection)
            parts, at = masses.listed("calendar"), ""
            where = "JOIN calendar c ON c.patient_id = t.patient_id AND c.a <= t.s AND t.s < c.b"
            placed = f"SELECT t.patient_id, c.win FROM ({_OPIOID_ROWS}) t {where}"
        else:
            at = "" if days else "o.moment"
            parts = masses.tiled(width, "" if days else "origin")
            start = f"t.s - {at}" if at else "t.s"
            placed = f"""
                SELECT t.patient_id, floor_div({start}, {width}) AS win
                FROM ({_OPIOID_ROWS}) t JOIN origin o ON o.patient_id = t.patient_id"""
        run = connection.execute
        by_day = masses.factor_tables(connection, factors)
        run(f"CREATE OR REPLACE TEMP TABLE mass AS {masses.masses(parts, by_day=by_day)}")
        run(
            "CREATE OR REPLACE TEMP TABLE by_drug AS SELECT m.*, k.* EXCLUDE (what) FROM "
            f"({masses.converted('mass', by_day=by_day)}) m JOIN what k ON k.what = m.what"
        )
        run("DROP TABLE mass")
        self._observed(connection, width, at, days and moved)
        self._dialysed(connection)
        bounds = (
            "SELECT patient_id, win, a, b FROM calendar"
            if days and moved
            else f"SELECT patient_id, win, {at or '0::BIGINT'} + win * {width} AS a, "
            f"{at or '0::BIGINT'} + (win + 1) * {width} AS b FROM shown "
            "JOIN origin o USING (patient_id)"
        )
        stays = "true" if "stays" in self.tables else "false"
        micro = "coalesce(s.micro, 0)"
        hours = f"CASE WHEN {stays} THEN coalesce(h.us, 0) END"
        bits = " | ".join(
            f"CASE WHEN {condition} THEN {flags.BIT[flag]} ELSE 0 END"
            for flag, condition in (
                ("observed_zero", f"{micro} = 0 AND NOT coalesce(s.incomplete, false) "
                                  "AND coalesce(h.us, 0) > 0"),
                ("partial_day", f"{hours} < least(b.b - b.a, {DAY})"),
                ("under_12_hours", f"{hours} < {UNDER_HOURS * HOUR}"),
                ("esrd", "x.patient_id IS NOT NULL"),
            )
        )  # fmt: skip
        run(
            f"""
            CREATE OR REPLACE TEMP TABLE mme AS
            WITH shown AS (
                SELECT DISTINCT patient_id, win FROM ({placed})
                UNION SELECT patient_id, win FROM hours
                UNION SELECT unit_id, win FROM by_drug WHERE drug_class = 'opioid'
            ),
            bound AS ({bounds}),
            summed AS (
                SELECT unit_id AS patient_id, win, sum(micro) AS micro,
                    sum(imputed_micro) AS imputed_micro, sum(low_micro) AS low_micro,
                    bool_or(drug_class = 'opioid' AND micro IS NULL) AS incomplete,
                    bool_or(drug_class = 'opioid') AS charted, bit_or(flags) AS flags
                FROM by_drug GROUP BY ALL
            )
            SELECT w.patient_id, w.win, b.a, b.b, b.a - o.moment AS from_origin,
                {micro} AS micro,
                coalesce(s.charted, false) OR coalesce(h.us, 0) > 0 AS known,
                {hours} AS us, coalesce(s.incomplete, false) AS incomplete,
                coalesce(s.imputed_micro, 0) AS imputed_micro,
                coalesce(s.low_micro, 0) AS low_micro, coalesce(s.flags, 0) | {bits} AS flags
            FROM shown w JOIN bound b ON b.patient_id = w.patient_id AND b.win = w.win
            JOIN origin o ON o.patient_id = w.patient_id
            LEFT JOIN summed s ON s.patient_id = w.patient_id AND s.win = w.win
            LEFT JOIN hours h ON h.patient_id = w.patient_id AND h.win = w.win
            LEFT JOIN dialysed x ON x.patient_id = w.patient_id
            """
        )
        run(f"CREATE OR REPLACE TEMP VIEW ledger AS {masses.ledger(factors)}")
        run("CREATE OR REPLACE TEMP TABLE flag_words (bits INTEGER, flag VARCHAR)")
        found = run("SELECT DISTINCT flags FROM mme UNION SELECT DISTINCT flags FROM ledger")
        words = [[bits, flags.words(bits)] for (bits,) in found.fetchall()]
        if words:
            connection.executemany("INSERT INTO flag_words VALUES (?, ?)", words)

    def _origins(self, connection: duckdb.DuckDBPyConnection) -> None:
        """Make `origin`: the index, else the first stay, else the first opioid row."""
        sources = []
        if "index" in self.tables:
            sources.append("SELECT patient_id, epoch_us(index_time) AS s, 0 AS place FROM index")
        if "stays" in self.tables:
            sources.append("SELECT patient_id, epoch_us(start) AS s, 1 AS place FROM stays")
        sources.append(f"SELECT patient_id, s, 2 AS place FROM ({_OPIOID_ROWS})")
        union = " UNION ALL ".join(sources).replace("FROM index", 'FROM "index"')
        connection.execute(
            "CREATE OR REPLACE TEMP TABLE origin AS "
            f"SELECT patient_id, min_by(s, (place, s)) AS moment FROM ({union}) GROUP BY 1"
        )

    def _calendar(self, connection: duckdb.DuckDBPyConnection) -> None:
        """Make `calendar`: days between the midnights of the clock that was written.

        Midnight of a day is taken on the clock of the last time written before it, or on that of
        the first time written on the day where the former would put that time a day too early.
        """
        stays = (
            "UNION ALL SELECT patient_id, epoch_us(start), clock FROM stays "
            'UNION ALL SELECT patient_id, epoch_us("end"), clock_end FROM stays'
            if "stays" in self.tables
            else ""
        )
        connection.execute(
            f"""
            CREATE OR REPLACE TEMP TABLE calendar AS
            WITH stamp AS (
                SELECT patient_id, epoch_us(start) AS t, clock FROM doses WHERE start IS NOT NULL
                UNION ALL SELECT patient_id, epoch_us("end"), clock_end FROM doses
                WHERE "end" IS NOT NULL
                {stays}
            ),
            local AS (SELECT patient_id, t, clock, t + clock AS told FROM stamp),
            reach AS (
                SELECT patient_id, min(told) AS low, max(told) AS high FROM (
                    SELECT patient_id, told FROM local
                    UNION ALL SELECT patient_id, e + clock FROM pieces) GROUP BY 1
            ),
            day AS (
                SELECT patient_id, unnest(range(
                    floor_div(low, {DAY}), floor_div(high, {DAY}) + 2)) AS win FROM reach
            ),
            midnight AS (
                SELECT d.patient_id, d.win,
                    max_by(l.clock, l.t) FILTER (l.told < d.win * {DAY}) AS before,
                    min(l.t) FILTER (l.told >= d.win * {DAY}) AS first,
                    min_by(l.clock, l.t) FILTER (l.told >= d.win * {DAY}) AS after
                FROM day d JOIN local l USING (patient_id) GROUP BY ALL
            ),
            bound AS (
                SELECT patient_id, win,
                    win * {DAY} - CASE WHEN first IS NULL OR win * {DAY} - before <= first
                        THEN before ELSE after END AS a
                FROM midnight
            )
            SELECT patient_id AS unit_id, patient_id, win, a,
                lead(a) OVER (PARTITION BY patient_id ORDER BY win) AS b
            FROM bound QUALIFY b IS NOT NULL
            """
        )

    def _observed(
        self, connection: duckdb.DuckDBPyConnection, width: int, at: str, calendar: bool
    ) -> None:
        """Make `hours`: microseconds in which doses were observed, per window."""
        if "stays" not in self.tables:
            connection.execute(
                "CREATE OR REPLACE TEMP TABLE hours (patient_id VARCHAR, win BIGINT, us BIGINT)"
            )
            return
        start = at or "0::BIGINT"
        tiles = f"""
            SELECT patient_id, win, a, b, start + win * {width} AS low,
                start + (win + 1) * {width} AS high
            FROM (SELECT patient_id, a, b, start, unnest(range(floor_div(a - start, {width}),
                    floor_div(b - 1 - start, {width}) + 1)) AS win
                FROM (SELECT m.*, {start} AS start FROM merged m
                    JOIN origin o ON o.patient_id = m.patient_id))
            """
        days = """
            SELECT m.patient_id, c.win, m.a, m.b, c.a AS low, c.b AS high
            FROM merged m JOIN calendar c
            ON c.patient_id = m.patient_id AND m.a < c.b AND m.b > c.a
            """
        stay = """
            SELECT DISTINCT y.patient_id, epoch_us(y.start) AS a,
                least(epoch_us(y."end"), coalesce(x.moment, epoch_us(y."end"))) AS b
            FROM stays y LEFT JOIN death x ON x.patient_id = y.patient_id
            WHERE coalesce(observes, 'all') IN ('all', 'doses') AND "end" > start
                AND (x.moment IS NULL OR x.moment > epoch_us(y.start))
            """
        connection.execute(
            f"""
            CREATE OR REPLACE TEMP TABLE hours AS
            WITH merged AS ({merged(stay, "patient_id")})
            SELECT patient_id, win, sum(least(b, high) - greatest(a, low))::BIGINT AS us
            FROM ({days if calendar else tiles}) GROUP BY ALL
            """
        )

    def _dialysed(self, connection: duckdb.DuckDBPyConnection) -> None:
        words = ", ".join(f"'{word}'" for word in sorted(DIALYSED))
        source = (
            f"SELECT patient_id FROM patients WHERE dialysis IN ({words})"
            if "patients" in self.tables
            else "SELECT NULL::VARCHAR AS patient_id WHERE false"
        )
        connection.execute(f"CREATE OR REPLACE TEMP TABLE dialysed AS {source}")

    def written(self, us: str, day: str = "") -> str:
        """Return the SQL of a moment as the tables write it; `day` is a local day's number."""
        if self.times == "relative_hours":
            return f"format('{{:.15g}}', ({us} - {ORIGIN})::DOUBLE / {HOUR})"
        suffix = "''"
        if self.offset_minutes is not None:
            minutes = str(self.offset_minutes)
            if self.width_hours == 0 and day:
                minutes = f"({self.offset_minutes} + (({day}) * {DAY} - {us}) // {HOUR // 60})"
                us = f"({day}) * {DAY}"
            suffix = (
                f"printf('%s%02d:%02d', CASE WHEN {minutes} < 0 THEN '-' ELSE '+' END, "
                f"abs({minutes}) // 60, abs({minutes}) % 60)"
            )
        return (
            f"strftime(make_timestamp({us}), '%Y-%m-%dT%H:%M:%S') || "
            f"CASE WHEN ({us}) % 1000000 = 0 THEN '' ELSE printf('.%06d', ({us}) % 1000000) END"
            f" || {suffix}"
        )


#: Opioid rows of any class: a window that holds one is written.
_OPIOID_ROWS = (
    "SELECT patient_id, s FROM verdicts WHERE drug_class = 'opioid' AND s IS NOT NULL "
    "AND patient_id IS NOT NULL"
)


def _number(x: str, digits: int, text: bool) -> str:
    return f"format('{{:.{digits}g}}', {x})" if text else x


def _word(x: str, text: bool) -> str:
    return f"nullif({x}, '')" if text else x


def _mme(axis: TimeAxis, text: bool) -> str:
    mme, hours = f"m.micro::DOUBLE / {MICRO}", f"m.us::DOUBLE / {HOUR}"
    return f"""
        SELECT patient_id, {axis.written("a", "win")} AS window_start,
            {axis.written("b", "win + 1")} AS window_end,
            {_number(f"from_origin::DOUBLE / {HOUR}", 15, text)} AS window_start_hours,
            {_number(mme, 15, text)} AS mme, {_number(hours, 15, text)} AS hours_observed,
            {_number(f"CASE WHEN us > 0 THEN {mme} / ({hours}) * 24 END", 9, text)} AS mme_per_24h,
            incomplete,
            {
        _number("CASE WHEN micro > 0 THEN imputed_micro::DOUBLE / micro::DOUBLE END", 9, text)
    } AS imputed_share,
            {_word("w.flag", text)} AS flags
        FROM mme m JOIN flag_words w ON w.bits = m.flags ORDER BY patient_id, win
        """


def _ledger(axis: TimeAxis, text: bool) -> str:
    return f"""
        SELECT dose_id, patient_id, class, {_word("reason", text)} AS reason,
            drug_resolved, route_resolved,
            {_number("factor", 15, text)} AS factor,
            {_number(f"micro::DOUBLE / {MICRO}", 15, text)} AS mme,
            {_word("w.flag", text)} AS flags
        FROM ledger v JOIN flag_words w ON w.bits = v.flags ORDER BY v.row
        """


def _by_drug(axis: TimeAxis, text: bool) -> str:
    mg = f"CASE WHEN d.form_class = 'patch' THEN d.quantity::DOUBLE / {SCALE * 1000} " \
         f"ELSE d.quantity::DOUBLE / {SCALE} END"  # fmt: skip
    return f"""
        SELECT m.patient_id, {axis.written("m.a", "m.win")} AS window_start, d.drug, d.route,
            d.form_class AS form, {_word("d.stratum", text)} AS stratum,
            {_number(mg, 15, text)} AS mg,
            {_number(f"d.micro::DOUBLE / {MICRO}", 15, text)} AS mme
        FROM by_drug d JOIN mme m ON m.patient_id = d.unit_id AND m.win = d.win
        WHERE d.drug_class = 'opioid'
        ORDER BY m.patient_id, m.win, d.drug, d.route, d.form_class, d.stratum, d.counted
        """


def _patients(axis: TimeAxis, text: bool) -> str:
    """Sum up: maximum and median over complete windows of 12 observed hours or more."""
    usable = f"known AND NOT incomplete AND coalesce(us, {DAY}) >= {UNDER_HOURS * HOUR}"
    total, hours = f"sum(micro)::DOUBLE / {MICRO}", f"sum(us)::DOUBLE / {HOUR}"
    columns = (
        ("mme", total, 15),
        ("hours_observed", hours, 15),
        ("mme_per_24h", f"CASE WHEN sum(us) > 0 THEN {total} / ({hours}) * 24 END", 9),
        ("mme_per_opioid_window", f"{total} / nullif(count(*) FILTER (micro > 0), 0)", 9),
        ("max_mme", f"max(micro) FILTER ({usable})::DOUBLE / {MICRO}", 15),
        ("median_mme", f"median(micro::DOUBLE) FILTER ({usable}) / {MICRO}", 15),
        ("imputed_share", "sum(imputed_micro)::DOUBLE / nullif(sum(micro), 0)::DOUBLE", 9),
        ("low_confidence_share", "sum(low_micro)::DOUBLE / nullif(sum(micro), 0)::DOUBLE", 9),
    )
    cells = ", ".join(f"{_number(x, digits, text)} AS {name}" for name, x, digits in columns)
    return f"""
        SELECT patient_id, count(*) AS windows,
            count(*) FILTER (micro > 0) AS opioid_windows,
            count(*) FILTER (incomplete) AS incomplete_windows, {cells}
        FROM mme GROUP BY patient_id ORDER BY patient_id
        """


#: What is written, by name of the file.
OUTPUTS: dict[str, Callable[..., str]] = {
    "mme": _mme,
    "ledger": _ledger,
    "by_drug": _by_drug,
    "patients": _patients,
}
