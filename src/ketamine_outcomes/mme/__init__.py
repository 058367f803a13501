"""Opioid exposure by itself: doses in, morphine milligram equivalents per window out.

The same engine as the pipeline's, without a study: for people who have doses and want MME. Not
for clinical dosing.
"""

from __future__ import annotations

import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ketamine_outcomes import files
from ketamine_outcomes.errors import UserError
from ketamine_outcomes.exposure import classify, engine, masses
from ketamine_outcomes.exposure.charting import Assumptions
from ketamine_outcomes.exposure.factors import FactorTable
from ketamine_outcomes.extract.faults import counted
from ketamine_outcomes.mme.intake import read
from ketamine_outcomes.mme.tables import OUTPUTS, TimeAxis

if TYPE_CHECKING:
    import duckdb
    import pandas as pd

    Given = pd.DataFrame | Path | str

MEMORY = "2GB"
NOTICE = "MME serve research on groups; they are not for clinical dosing or opioid rotation."


@dataclass(frozen=True)
class DerivedMME:
    """What `derive_mme` returns.

    Attributes
    ----------
    mme
        patient_id, window_start, window_end, window_start_hours, mme, hours_observed,
        mme_per_24h, incomplete, imputed_share, flags.
    ledger
        dose_id, patient_id, class, reason, drug_resolved, route_resolved, factor, mme, flags.
    by_drug
        patient_id, window_start, drug, route, form, stratum, mg, mme: the mix of each window,
        with what is kept apart (neuraxial, procedural ...) as mass without MME.
    patients
        patient_id and its windows summed up: total, per 24 h observed, per window with opioid,
        maximum, median with zeros, shares of imputed and low-confidence MME.
    unmapped
        Drug names and units that are not known, with their counts.
    summary
        Counts by class and reason, and what the reading found.
    """

    mme: pd.DataFrame
    ledger: pd.DataFrame
    by_drug: pd.DataFrame
    patients: pd.DataFrame
    unmapped: pd.DataFrame
    summary: Mapping[str, Any] = field(default_factory=dict)


def derive_mme(
    doses: Given,
    *,
    patients: Given | None = None,
    stays: Given | None = None,
    measurements: Given | None = None,
    index: Given | None = None,
    factors: str = "cdc2022+inpatient",
    windows: str = "days",
    assume: Assumptions | None = None,
) -> DerivedMME:
    """Derive morphine milligram equivalents from administered doses.

    Parameters
    ----------
    doses
        Table or file (CSV, CSV.GZ, Parquet) with the canonical columns; required are
        patient_id, drug, start and a dose (amount and amount_unit, or rate and rate_unit).
        Times are ISO 8601, or numbers: hours from an origin of the patient.
    patients, stays, measurements
        Canonical tables: death, dialysis and weight; hours observed; weights.
    index
        patient_id, index_time: where bins start.
    factors
        Factor sets joined by +, or a file of your own.
    windows
        `days` (calendar days) or `bins:24h` (from the index, else the first stay, else the first
        opioid row).
    assume
        Route of parenteral products without one, priority of feeds; by default nothing, and a
        name that is not known is an opioid that cannot be counted.

    Raises
    ------
    UserError
        A table cannot be read as what it says, or an identifier is in it.

    Examples
    --------
    >>> import pandas as pd
    >>> doses = pd.DataFrame({"patient_id": ["a", "a"], "drug": ["oxycodone", "fentanyl"],
    ...     "route": ["oral", "iv"], "start": ["2150-03-04T08:00", "2150-03-04T20:00"],
    ...     "end": [None, "2150-03-05T04:00"], "amount": [5, None], "amount_unit": ["mg", None],
    ...     "rate": [None, 50], "rate_unit": [None, "mcg/h"]})
    >>> derive_mme(doses).mme[["window_start", "mme"]].to_dict("list")
    {'window_start': ['2150-03-04T00:00:00', '2150-03-05T00:00:00'], 'mme': [67.5, 60.0]}
    """
    given = dict(doses=doses, patients=patients, stays=stays, measurements=measurements,
                 index=index)  # fmt: skip
    with _derived(given, factors, windows, assume) as run:
        tables = {
            name: run.connection.execute(OUTPUTS[name](run.axis, text=False)).df()
            for name in OUTPUTS
        }
        return DerivedMME(
            **tables,
            unmapped=run.unmapped,
            summary=run.summary(),
        )


def write_mme(
    out: Path,
    doses: Path,
    *,
    patients: Path | None = None,
    stays: Path | None = None,
    measurements: Path | None = None,
    index: Path | None = None,
    factors: str = "cdc2022+inpatient",
    windows: str = "days",
) -> dict[str, Any]:
    """Derive MME from files and write mme.csv, ledger.csv, by_drug.csv and patients.csv.

    Tables of any length stream through; unmapped.csv is written where a word is not known.

    Returns
    -------
    dict
        The summary.
    """
    given = dict(doses=doses, patients=patients, stays=stays, measurements=measurements,
                 index=index)  # fmt: skip
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError:
        raise UserError("the folder to write to cannot be made", where=str(out),
                        do="it may be a file, or you may not write there") from None  # fmt: skip
    with _derived(given, factors, windows, None) as run:
        for name in OUTPUTS:
            with files.atomic_path(out / f"{name}.csv") as temporary:
                target = str(temporary).replace("'", "''")
                run.connection.execute(
                    f"COPY ({OUTPUTS[name](run.axis, text=True)}) TO '{target}' (HEADER)"
                )
        words = out / "unmapped.csv"
        words.unlink(missing_ok=True)
        if len(run.unmapped):
            files.write_text(words, run.unmapped.to_csv(index=False, lineterminator="\n"))
        return run.summary()


@dataclass(frozen=True)
class _Run:
    connection: duckdb.DuckDBPyConnection
    axis: TimeAxis
    factors: FactorTable
    notes: list[str]
    unmapped: pd.DataFrame

    def summary(self) -> dict[str, Any]:
        counts = self.connection.execute(
            "SELECT class, reason, count(*) AS n FROM ledger GROUP BY ALL ORDER BY class, reason"
        ).fetchall()
        windows = self.connection.execute(
            "SELECT count(*), count(*) FILTER (incomplete), count(DISTINCT patient_id) FROM mme"
        ).fetchone()
        assert windows is not None
        return {
            "factors": self.factors.name,
            "dose_rows": sum(n for *_, n in counts),
            "classes": [{"class": c, "reason": r, "rows": n} for c, r, n in counts],
            "patients": windows[2],
            "windows": windows[0],
            "incomplete_windows": windows[1],
            "unmapped": len(self.unmapped),
            "notes": self.notes,
        }


@contextmanager
def _derived(
    given: Mapping[str, Given | None], factors: str, windows: str, assume: Assumptions | None
) -> Iterator[_Run]:
    import duckdb

    table = FactorTable(factors)
    width = window_hours(windows)
    folder = Path(tempfile.mkdtemp(prefix="ketamine-outcomes-"))
    try:
        with duckdb.connect(str(folder / "work.duckdb")) as connection:
            connection.execute("SET TimeZone = 'UTC'")
            connection.execute(f"SET memory_limit = '{MEMORY}'")
            connection.execute(f"SET temp_directory = '{folder}'")
            intake = read(
                connection, {name: source for name, source in given.items() if source is not None}
            )
            if intake.days and width:
                raise UserError("the doses are dated to the day: bins of hours cannot be told",
                                do="use --windows days")  # fmt: skip
            found = engine.run(
                connection, assume or Assumptions(unknown_is_opioid=True), tables=intake.tables
            )
            masses.prepare(connection)
            axis = TimeAxis(width, intake.times, intake.offset_minutes, intake.tables)
            axis.lay(connection, table, bool(intake.moved))
            yield _Run(
                connection, axis, table, intake.notes, classify.unmapped(found.ways, intake.words)
            )
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def window_hours(windows: str) -> float:
    """Return the width of bins in hours, or 0 for calendar days.

    >>> window_hours("days"), window_hours("bins:24h")
    (0.0, 24.0)
    """
    if windows == "days":
        return 0.0
    found = re.fullmatch(r"bins:(\d+(?:\.\d+)?)h", windows)
    if not found or float(found[1]) <= 0:
        raise UserError("`windows` is neither `days` nor `bins:24h`", do="write days or bins:24h")
    return float(found[1])


def in_words(summary: Mapping[str, Any]) -> str:
    """Return the summary as lines to read."""
    lines = [f"{summary['dose_rows']} dose rows, factors {summary['factors']}"]
    for entry in summary["classes"]:
        name = ":".join(filter(None, (entry["class"], entry["reason"])))
        lines.append(f"  {name}: {entry['rows']}")
    patients, windows = summary["patients"], summary["windows"]
    lines.append(f"{counted(windows, 'window')} of {counted(patients, 'patient')}")
    if summary["incomplete_windows"]:
        lines.append(f"{summary['incomplete_windows']} incomplete: an opioid given there is not "
                     "counted, so that the MME is a lower bound")  # fmt: skip
    if summary["unmapped"]:
        lines.append(f"{counted(summary['unmapped'], 'word')} not known: see unmapped.csv (for a "
                     "chart of all drugs use a study with doses_hold: all_drugs)")  # fmt: skip
    lines += [f"note: {note}" for note in summary["notes"]]
    return "\n".join([*lines, NOTICE])
