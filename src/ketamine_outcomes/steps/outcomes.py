"""Measure the outcomes; give the ledger its factors."""

from __future__ import annotations

from ketamine_outcomes import estimates, files
from ketamine_outcomes.extract.tables import Extract
from ketamine_outcomes.outcomes.build import build_outcomes, finish_ledger
from ketamine_outcomes.steps import Job


def run(job: Job) -> None:
    """Write private/outcomes/*.parquet and private/ledger.csv."""
    extract = Extract.load(job.private / "extract")
    pieces = files.read_parquet(job.private / "intervals.parquet")
    units = files.read_parquet(job.private / "units.parquet")
    dose_rows = files.read_parquet(job.private / "dose_rows.parquet")
    ledger = finish_ledger(job.study, extract, dose_rows, pieces)
    found = build_outcomes(job.study, extract, units, pieces)
    with files.atomic_folder(job.private / "outcomes") as folder:
        for name, table in found.items():
            files.write_parquet(folder / f"{name}.parquet", table)
    files.write_text(job.private / "ledger.csv", estimates.to_csv(ledger))
