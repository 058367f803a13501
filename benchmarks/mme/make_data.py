"""Make synthetic dose rows as Parquet: the same bytes on every machine.

    python make_data.py --rows 1000000 --out doses_1e6.parquet

Every value is a function of the row number (a 32-bit integer hash written out in SQL, never the
database's own random numbers or hash), so the file depends on neither threads nor version.
About 50 rows a patient: 75 % opioid boluses, 20 % intravenous opioid infusions of 1 to 18 h,
5 % other drugs; 95 % given. Rates are multiples of 12.5 mcg/h and times whole seconds: no part
of a dose then lies near a rounding tie of 1e-9 mg, so binary and exact arithmetic agree, while
ties of 1e-6 MME do occur (fentanyl 300/mg) and show who rounds half-even.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import duckdb

ROWS_PER_PATIENT = 50
ROW_GROUP = 122_880

# The mixer is lowbias32 (Wellons 2018): products of two 32-bit numbers fit UBIGINT.
SQL = """
CREATE TEMP MACRO step(x, shift, factor) AS
  (xor(x, x >> shift) * factor) & 4294967295::UBIGINT;
CREATE TEMP MACRO mix(x) AS
  xor(step(step(x, 16, 2146121005::UBIGINT), 15, 2221713035::UBIGINT),
      step(step(x, 16, 2146121005::UBIGINT), 15, 2221713035::UBIGINT) >> 16);
CREATE TEMP MACRO draw(x, salt) AS
  mix((mix(x::UBIGINT) + salt * 2654435769::UBIGINT) & 4294967295::UBIGINT);

COPY (
  WITH numbered AS (
    SELECT range AS i, {patient} AS p, draw(range, 2) AS a, draw(range, 3) AS b,
           draw(range, 4) AS c
    FROM range({rows})
  ),
  timed AS (
    SELECT i, p, b, c, a % 10000 AS kind,
           -- a stay of 4 to 14 days that begins on some day of three years
           (draw(p, 5) % 1095) * 86400 AS admitted,
           (4 + draw(p, 6) % 11) * 86400 AS stay_seconds
    FROM numbered
  ),
  placed AS (
    SELECT i, p, b, c, kind,
           CASE WHEN kind < 2000 THEN 'infusion'
                WHEN kind < 2500 THEN 'other' ELSE 'bolus' END AS what,
           -- pumps keep seconds, charted doses minutes
           CASE WHEN kind < 2000 THEN admitted + b % stay_seconds
                ELSE admitted + (b % stay_seconds) // 60 * 60 END AS second
    FROM timed
  ),
  typed AS (
    SELECT *,
      CASE
        WHEN kind <  800 THEN 1 WHEN kind < 1000 THEN 2    -- fentanyl mcg/h, mg/h
        WHEN kind < 1400 THEN 3                            -- morphine mg/h
        WHEN kind < 1800 THEN 4 WHEN kind < 2000 THEN 5    -- hydromorphone mg/h, mcg/h
        WHEN kind < 2250 THEN 6 WHEN kind < 2500 THEN 7    -- acetaminophen, heparin
        WHEN kind < 4700 THEN 8                            -- oxycodone tablet
        WHEN kind < 5500 THEN 9 WHEN kind < 6300 THEN 10   -- morphine, hydromorphone tablet
        WHEN kind < 7500 THEN 11 WHEN kind < 8800 THEN 12  -- morphine, hydromorphone injection
        WHEN kind < 9700 THEN 13 ELSE 14                   -- fentanyl injection mcg, mg
      END AS product
    FROM placed
  )
  SELECT
    'P' || lpad(p::VARCHAR, 8, '0') AS patient_id,
    'D' || lpad(i::VARCHAR, 9, '0') AS dose_id,
    CASE WHEN product IN (1, 2, 13, 14) THEN 'fentanyl'
         WHEN product IN (3, 9, 11) THEN 'morphine'
         WHEN product IN (4, 5, 10, 12) THEN 'hydromorphone'
         WHEN product = 6 THEN 'acetaminophen' WHEN product = 7 THEN 'heparin'
         ELSE 'oxycodone' END AS drug,
    CASE WHEN product IN (6, 8, 9, 10) THEN 'oral' ELSE 'iv' END AS route,
    CASE WHEN product <= 5 THEN 'infusion' WHEN product IN (6, 8, 9, 10) THEN 'tablet'
         ELSE 'injection' END AS form,
    TIMESTAMP '2021-01-01' + to_seconds(second::BIGINT) AS start,
    CASE WHEN product <= 5
         THEN TIMESTAMP '2021-01-01' + to_seconds((second + 3600 + (c >> 4) % 61201)::BIGINT)
    END AS "end",
    CASE product
      WHEN 6 THEN 650.0 WHEN 7 THEN 5000.0
      WHEN 8 THEN 5.0 * (1 + c % 4)
      WHEN 9 THEN 7.5 * (1 + c % 3)
      WHEN 10 THEN 2.0 * (1 + c % 3)
      WHEN 11 THEN 1.0 * (1 + c % 4)
      WHEN 12 THEN [0.2, 0.5, 1.0, 2.0][1 + (c % 4)::INTEGER]
      WHEN 13 THEN 12.5 * (1 + c % 8)
      WHEN 14 THEN [0.025, 0.05, 0.075, 0.1][1 + (c % 4)::INTEGER]
    END::DOUBLE AS amount,
    CASE WHEN product IN (6, 8, 9, 10, 11, 12, 14) THEN 'mg' WHEN product = 7 THEN 'unit'
         WHEN product = 13 THEN 'mcg' END AS amount_unit,
    CASE product
      WHEN 1 THEN 12.5 * (1 + c % 16)
      WHEN 2 THEN [0.025, 0.05, 0.1, 0.15][1 + (c % 4)::INTEGER]
      WHEN 3 THEN 0.5 * (1 + c % 10)
      WHEN 4 THEN [0.1, 0.2, 0.3, 0.5, 1.0][1 + (c % 5)::INTEGER]
      WHEN 5 THEN 100.0 * (1 + c % 10)
    END::DOUBLE AS rate,
    CASE WHEN product IN (1, 5) THEN 'mcg/h' WHEN product <= 5 THEN 'mg/h' END AS rate_unit,
    CASE draw(i, 7) % 40 WHEN 0 THEN 'held' WHEN 1 THEN 'not_given' ELSE 'given' END AS status
  FROM typed
) TO '{out}' (FORMAT parquet, COMPRESSION {compression}, ROW_GROUP_SIZE {row_group})
"""


def make(rows: int, out: Path, order: str = "scattered", compression: str = "zstd") -> None:
    """Write `rows` dose rows to `out`, patients scattered over the file or one after another."""
    patients = max(1, rows // ROWS_PER_PATIENT)
    patient = {
        "scattered": f"draw(range, 1) % {patients}::UBIGINT",
        "patient": f"(range::UBIGINT * {patients}::UBIGINT) // {rows}::UBIGINT",
    }[order]
    out.parent.mkdir(parents=True, exist_ok=True)
    partial = out.with_name(out.name + ".partial")
    with duckdb.connect() as connection:
        connection.execute("SET threads = 2")
        connection.execute(
            SQL.format(
                patient=patient,
                rows=rows,
                out=str(partial).replace("'", "''"),
                compression=compression,
                row_group=ROW_GROUP,
            )
        )
    partial.replace(out)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=lambda text: int(float(text)), required=True)
    parser.add_argument("--out", type=Path, help="default: doses.parquet in a new temporary folder")
    parser.add_argument("--order", choices=("scattered", "patient"), default="scattered")
    parser.add_argument("--compression", choices=("zstd", "snappy"), default="zstd")
    args = parser.parse_args()
    out = args.out or Path(tempfile.mkdtemp(prefix="mme_bench_")) / "doses.parquet"
    began = time.perf_counter()
    make(args.rows, out, args.order, args.compression)
    seconds = time.perf_counter() - began
    print(f"{out}: {args.rows} rows, {out.stat().st_size / 1e6:.0f} MB, {seconds:.1f} s")


if __name__ == "__main__":
    main()
