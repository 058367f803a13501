"""Say whether the outputs of the engines are the same, as one line of JSON.

    python compare.py reference.parquet other.parquet other.csv ...

Compared as whole numbers of 1e-6 MME, every patient-day: polars divides by 1e6 through the
reciprocal, so the last bit of its doubles may differ where the numbers do not.
"""

from __future__ import annotations

import json
import sys

import duckdb

LOAD = """
CREATE OR REPLACE TABLE {name} AS
SELECT patient_id, day::DATE AS day, round(mme * 1e6)::BIGINT AS micro, row_number() OVER () AS n
FROM query_table(?)
"""
COMPARE = """
SELECT count(o.n), count(*) FILTER (r.micro IS DISTINCT FROM o.micro),
       (SELECT count(*) FROM (SELECT (patient_id, day) <= lag((patient_id, day))
                              OVER (ORDER BY n) AS late FROM o) WHERE late)
FROM r FULL JOIN o USING (patient_id, day)
"""


def compare(reference: str, others: list[str]) -> dict[str, dict[str, int]]:
    """Return rows, differing or missing rows, and rows out of order of each file."""
    found = {}
    with duckdb.connect() as connection:
        connection.execute("SET threads = 2")
        connection.execute(LOAD.format(name="r"), [reference])
        for other in others:
            connection.execute(LOAD.format(name="o"), [other])
            counts = connection.execute(COMPARE).fetchone()
            found[other] = dict(
                zip(("rows", "different", "out_of_order"), counts or (), strict=True)
            )
    return found


if __name__ == "__main__":
    print(json.dumps(compare(sys.argv[1], sys.argv[2:])))
