"""MME per patient-day as one plain DuckDB query: what the database itself needs for this job.

Integers throughout, so it is also the reference of the comparison: no float can hide a digit.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import common
import duckdb

DAY_US = 86_400_000_000

SQL = """
COPY (
  WITH dose AS NOT MATERIALIZED (
    SELECT patient_id, code, epoch_us(start) AS s, epoch_us("end") AS e,
           (amount * amount_nano)::BIGINT AS nano, (rate * rate_nano)::BIGINT AS nano_per_h
    FROM read_parquet('{doses}') d
    JOIN word w ON d.drug = w.drug AND d.route = w.route AND d.form = w.form
      AND d.amount_unit IS NOT DISTINCT FROM w.amount_unit
      AND d.rate_unit IS NOT DISTINCT FROM w.rate_unit
    WHERE d.status = 'given'
  ),
  -- a list only for the rows that cross midnight or could
  spread AS (
    SELECT *, unnest(CASE WHEN (e - 1) // {day} > s // {day}
                          THEN range(s // {day}, (e - 1) // {day} + 1)
                          ELSE [s // {day}] END) AS day
    FROM dose
  ),
  piece AS (
    SELECT patient_id, day::INTEGER AS day, code,
           CASE WHEN nano_per_h IS NULL THEN nano
                ELSE half_even(nano_per_h * ((least(e, (day + 1) * {day})
                                              - greatest(s, day * {day})) // 1000), 3600000)
           END AS nano
    FROM spread
  ),
  product_sum AS (
    SELECT patient_id, day, code, sum(nano)::BIGINT AS nano FROM piece
    GROUP BY patient_id, day, code
  ),
  day_sum AS (
    SELECT patient_id, day, sum(half_even(nano * factor_tenths, 10000)) AS micro
    FROM product_sum JOIN factor USING (code)
    GROUP BY patient_id, day
  )
  SELECT patient_id, DATE '1970-01-01' + day AS day, micro::DOUBLE / 1e6::DOUBLE AS mme
  FROM day_sum ORDER BY patient_id, day
) TO '{out}' (FORMAT parquet)
"""
HALF_EVEN = """
CREATE TEMP MACRO half_even(n, d) AS n // d
  + CASE WHEN 2 * (n % d) > d OR (2 * (n % d) = d AND (n // d) % 2 = 1) THEN 1 ELSE 0 END
"""


def run(doses: Path, out: Path, threads: int, memory_limit: str) -> None:
    forms = {form_class: form for form, form_class in common.FORM_CLASS.items()}
    words = []
    for code, (drug, route, form_class, _) in enumerate(common.FACTORS):
        for unit, nano in common.NANO_MG.items():
            pair = (None, nano) if form_class == "infusion" else (nano, None)
            units = (None, f"{unit}/h") if form_class == "infusion" else (unit, None)
            words.append((drug, route, forms[form_class], *units, code, *pair))
    with duckdb.connect() as connection, tempfile.TemporaryDirectory() as spill:
        connection.execute(f"SET threads = {int(threads)}")
        connection.execute(f"SET memory_limit = '{memory_limit}'")
        connection.execute(f"SET temp_directory = '{spill}'")
        connection.execute("SET preserve_insertion_order = false")
        connection.execute(HALF_EVEN)
        connection.execute(
            "CREATE TEMP TABLE word (drug VARCHAR, route VARCHAR, form VARCHAR,"
            " amount_unit VARCHAR, rate_unit VARCHAR, code UTINYINT,"
            " amount_nano DOUBLE, rate_nano DOUBLE)"
        )
        connection.executemany("INSERT INTO word VALUES (?, ?, ?, ?, ?, ?, ?, ?)", words)
        connection.execute("CREATE TEMP TABLE factor (code UTINYINT, factor_tenths BIGINT)")
        connection.executemany(
            "INSERT INTO factor VALUES (?, ?)",
            [(code, round(10 * row[3])) for code, row in enumerate(common.FACTORS)],
        )
        query = SQL.replace("{day}", str(DAY_US))
        query = query.replace("{doses}", str(doses).replace("'", "''"))
        connection.execute(query.replace("{out}", str(out).replace("'", "''")))


if __name__ == "__main__":
    common.main(run, f"duckdb {duckdb.__version__}")
