"""MME per patient-day with the engine of this project: the adapter that `run.py` times."""

from __future__ import annotations

import tempfile
from pathlib import Path

import common
import duckdb

from ketamine_outcomes.exposure import engine, masses
from ketamine_outcomes.exposure.charting import Assumptions
from ketamine_outcomes.exposure.factors import FactorTable


def run(doses_parquet: Path, out_parquet: Path, threads: int, memory_limit: str) -> None:
    """Write patient_id, day (DATE), mme (DOUBLE), sorted by patient and day.

    Every row is classified with all rules of the engine; what only flags (pumps that run
    together) and the ledger are left out, as the peers have neither.

    Parameters
    ----------
    doses_parquet
        Dose rows in the canonical columns of the extract (see make_data.py).
    out_parquet
        The file to write; its bytes must not depend on `threads`.
    threads
        1 or 2.
    memory_limit
        What the engine may hold before it spills, such as ``2.5GB``.
    """
    factors = FactorTable("cdc2022+inpatient")
    with tempfile.TemporaryDirectory(dir=out_parquet.parent) as spill, duckdb.connect() as here:
        here.execute(f"SET threads = {threads}")
        here.execute(f"SET memory_limit = '{memory_limit}'")
        here.execute(f"SET temp_directory = '{spill}'")
        here.execute("SET preserve_insertion_order = false")
        here.execute(
            "CREATE VIEW doses AS SELECT * EXCLUDE (file_row_number), file_row_number + 1 AS row "
            f"FROM read_parquet('{doses_parquet}', file_row_number = true)"
        )
        engine.run(here, Assumptions(), overlaps=False)
        masses.prepare(here)
        by_day = masses.factor_tables(here, factors)
        mass = masses.masses(masses.tiled(masses.DAY), by_day=by_day, detail=False)
        mme = masses.converted(f"({mass})", by_day=by_day, detail=False)
        here.execute("SET preserve_insertion_order = true")
        here.execute(
            f"COPY (SELECT unit_id AS patient_id, DATE '1970-01-01' + win::INTEGER AS day, "
            f"sum(micro)::DOUBLE / {masses.MICRO} AS mme FROM ({mme}) "
            f"GROUP BY ALL ORDER BY patient_id, day) TO '{out_parquet}' "
            "(FORMAT parquet, COMPRESSION zstd)"
        )


if __name__ == "__main__":
    import ketamine_outcomes

    version = f"ketamine-outcomes {ketamine_outcomes.__version__}, duckdb {duckdb.__version__}"
    common.main(run, version)
