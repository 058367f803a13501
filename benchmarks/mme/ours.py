"""MME per patient-day with the engine of this project: the adapter that `run.py` times."""

from __future__ import annotations

from pathlib import Path

import common


def run(doses_parquet: Path, out_parquet: Path, threads: int, memory_limit: str) -> None:
    """Write patient_id, day (DATE), mme (DOUBLE), sorted by patient and day.

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
    raise NotImplementedError("the adapter does not call the engine yet")


if __name__ == "__main__":
    import duckdb

    import ketamine_outcomes

    version = f"ketamine-outcomes {ketamine_outcomes.__version__}, duckdb {duckdb.__version__}"
    common.main(run, version)
