"""Morphine milligram equivalents per window around index: factors multiply here.

The arithmetic is that of `exposure/masses.py`; here windows are laid around the units, and hours
observed, states and flags join the sums.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from ketamine_outcomes import intervals
from ketamine_outcomes.cohort.windows import label, observed_hours, window_bounds
from ketamine_outcomes.exposure import flags, masses
from ketamine_outcomes.exposure.charting import DIALYSED, route_group
from ketamine_outcomes.exposure.factors import FactorTable
from ketamine_outcomes.extract.tables import Extract

if TYPE_CHECKING:
    import duckdb

UNDER_HOURS = 12.0
MASS_COLUMNS = (
    "unit_id", "window", *masses.WHAT, "counted", "day", "day_quantity", "quantity",
    "imputed_quantity", "low_quantity", "flags",
)  # fmt: skip


def window_masses(
    units: pd.DataFrame, pieces: pd.DataFrame, windows: Sequence[tuple[float, float]]
) -> pd.DataFrame:
    """Return the mass of opioid in every window, by drug, route and form.

    Parameters
    ----------
    units
        unit_id, patient_id, index_time.
    pieces
        Exposure intervals.
    windows
        [from, to) in hours from index.

    Returns
    -------
    DataFrame
        One row per unit, window, drug, route, form_class, counted and stratum that touch:
        quantity and imputed_quantity (integers of 1e-9 mg; for patches of 1e-9 mcg/h x h), flags
        (bits); day and day_quantity for drugs whose factor depends on the total of the day.
    """
    with _connect() as connection:
        _register_pieces(connection, pieces)
        listed = []
        for window in windows:
            start, end = window_bounds(units["index_time"], window)
            listed.append(
                pd.DataFrame(
                    {
                        "unit_id": units["unit_id"],
                        "patient_id": units["patient_id"],
                        "win": label(window),
                        "a": intervals.microseconds(start),
                        "b": intervals.microseconds(end),
                    }
                )
            )
        connection.register("win", pd.concat(listed).astype({"a": "int64", "b": "int64"}))
        whole = ", ".join(
            f"CAST({name} AS BIGINT) AS {name}"
            for name in ("quantity", "imputed_quantity", "low_quantity", "day_quantity")
        )
        found = connection.execute(
            f"SELECT m.* REPLACE ({whole}), k.* EXCLUDE (what) "
            f"FROM ({masses.masses(masses.listed('win'))}) m JOIN what k ON k.what = m.what "
            "ORDER BY ALL"
        ).df()
    return found.rename(columns={"win": "window"})[list(MASS_COLUMNS)]


def convert(mass: pd.DataFrame, factors: FactorTable) -> pd.DataFrame:
    """Multiply sums of mass by factors.

    Returns
    -------
    DataFrame
        unit_id, window, drug, drug_class, route, form_class, counted, stratum, mg, mme and what
        of it is imputed_mme and low_confidence_mme (missing where the mass is not counted or no
        factor is listed), flags (bits).
    """
    with _connect() as connection:
        connection.register("mass_given", mass.rename(columns={"window": "win"}))
        masses.number(connection, "mass_given")
        whole = ", ".join(
            f"CAST({name} AS BIGINT)::HUGEINT AS {name}"
            for name in ("quantity", "imputed_quantity", "low_quantity", "day_quantity")
        )
        connection.execute(
            f"CREATE TEMP TABLE mass AS SELECT * REPLACE ({whole}, CAST(day AS BIGINT) AS day) "
            f"FROM ({masses.numbered('mass_given')})"
        )
        masses.factor_tables(connection, factors)
        table = connection.execute(
            f"""
            SELECT unit_id, win AS window, drug, drug_class, route, form_class, counted, stratum,
                quantity::DOUBLE / CASE WHEN form_class = 'patch' THEN {masses.SCALE * 1000}
                    ELSE {masses.SCALE} END AS mg,
                micro::DOUBLE / {masses.MICRO} AS mme,
                imputed_micro::DOUBLE / {masses.MICRO} AS imputed_mme,
                low_micro::DOUBLE / {masses.MICRO} AS low_confidence_mme, flags::INTEGER AS flags
            FROM ({masses.converted("mass")}) JOIN what USING (what) ORDER BY ALL
            """
        ).df()
    return table.astype(
        dict.fromkeys(("mg", "mme", "imputed_mme", "low_confidence_mme"), "float64")
    )


def window_mme(
    units: pd.DataFrame,
    extract: Extract,
    converted: pd.DataFrame,
    windows: Sequence[tuple[float, float]],
) -> pd.DataFrame:
    """Return MME and hours observed for every unit and window.

    Returns
    -------
    DataFrame
        unit_id, window, mme (counted part; missing when nothing was observed and nothing
        charted), hours_observed, mme_per_24h (missing without observed hours), incomplete,
        imputed_share, low_confidence_share, any_opioid, main_route (route group with most MME,
        or empty), route_switch (another main route than before index), state (`value`,
        `observed_zero`, `incomplete`, `unknown`), flags (sorted, joined by `;`).
    """
    patients = extract.rows("patients").set_index("patient_id")["dialysis"]
    dialysed = units["patient_id"].map(patients).isin(list(DIALYSED)).to_numpy(dtype=bool)
    opioid = converted[converted["drug_class"] == "opioid"]
    tables = []
    for window in windows:
        start, end = window_bounds(units["index_time"], window)
        hours = observed_hours(extract, units, "doses", start, end)
        here = opioid[opioid["window"] == label(window)]
        unit = units["unit_id"]
        sums = here.groupby("unit_id")[["mme", "imputed_mme", "low_confidence_mme"]].sum()
        charted = unit.isin(here["unit_id"])
        known = charted | (hours > 0)
        table = pd.DataFrame({"unit_id": unit, "window": label(window)})
        table["mme"] = unit.map(sums["mme"]).fillna(0).where(known)
        table["hours_observed"] = hours
        table["mme_per_24h"] = (table["mme"] / hours * 24).where(hours > 0)
        table["incomplete"] = unit.isin(here.loc[here["mme"].isna(), "unit_id"])
        for name in ("imputed", "low_confidence"):
            share = unit.map(sums[f"{name}_mme"]).fillna(0) / table["mme"]
            table[f"{name}_share"] = share.where(table["mme"] > 0)
        table["any_opioid"] = charted
        table["main_route"] = unit.map(_main_route(here)).fillna("").astype("object")
        marks = converted[converted["window"] == label(window)].groupby("unit_id")["flags"]
        bits = unit.map(marks.agg(np.bitwise_or.reduce)).fillna(0).astype("int64")
        table["flags"] = bits | np.where(dialysed, flags.BIT["esrd"], 0)
        table["length_hours"] = window[1] - window[0]
        tables.append(table)
    result = pd.concat(tables, ignore_index=True)
    hours = result["hours_observed"]
    zero = result["mme"].eq(0) & ~result["incomplete"] & (hours > 0)
    result["state"] = np.select(
        [~(hours > 0), result["incomplete"], zero],
        ["unknown", "incomplete", "observed_zero"],
        "value",
    )
    words = result["flags"].to_numpy(dtype=np.int64)
    for flag, where in (
        ("observed_zero", zero),
        ("partial_day", hours < np.minimum(24.0, result["length_hours"])),
        ("under_12_hours", hours < UNDER_HOURS),
    ):
        words = words | np.where(where, flags.BIT[flag], 0)
    result["flags"] = pd.Series([flags.words(int(bits)) for bits in words], dtype="object")
    first = result[result["window"] == label(windows[0])].set_index("unit_id")["main_route"]
    switched = result["main_route"].ne(result["unit_id"].map(first)) & result["main_route"].ne("")
    result["route_switch"] = switched & result["unit_id"].map(first).ne("")
    return result.drop(columns="length_hours")


def _main_route(here: pd.DataFrame) -> pd.Series:
    """Return the route group with most MME of every unit; a tie goes to the first by name."""
    grouped = here.assign(group=here["route"].map(route_group))
    sums = grouped[grouped["mme"] > 0].groupby(["unit_id", "group"])["mme"].sum().reset_index()
    order = sums.sort_values(["unit_id", "mme", "group"], ascending=[True, False, True])
    return order.drop_duplicates("unit_id").set_index("unit_id")["group"]


def finish_ledger(
    ledger: pd.DataFrame, pieces: pd.DataFrame, patients: pd.DataFrame, factors: FactorTable
) -> pd.DataFrame:
    """Give the ledger its factors: the contract's columns, one row per dose row.

    A converted row whose drug, route and form have no factor becomes unconverted:no_factor;
    buprenorphine is excluded when no listed set has a factor for it.
    """
    with _connect() as connection:
        _register_pieces(connection, pieces)
        connection.register("ledger_given", ledger.assign(row=np.arange(1, len(ledger) + 1)))
        connection.execute(
            "CREATE TEMP VIEW verdict_given AS SELECT *, drug_resolved AS drug, "
            "route_resolved AS route FROM ledger_given"
        )
        masses.number(connection, "piece_given", "verdict_given")
        connection.execute(f"CREATE TEMP VIEW verdicts AS {masses.numbered('verdict_given')}")
        connection.execute(
            "CREATE OR REPLACE TEMP VIEW pieces AS SELECT v.row, p.* FROM "
            f"({masses.numbered('piece_given')}) p JOIN ledger_given v USING (dose_id)"
        )
        masses.factor_tables(connection, factors)
        dialysed = patients.loc[patients["dialysis"].isin(list(DIALYSED)), ["patient_id"]]
        connection.register("dialysed", dialysed.astype("string"))
        table = connection.execute(
            f"SELECT dose_id, patient_id, class, reason, drug_resolved, route_resolved, factor, "
            f"micro::DOUBLE / {masses.MICRO} AS mme, flags FROM ({masses.ledger(factors)}) "
            "ORDER BY row"
        ).df()
    table["flags"] = table["flags"].map(flags.words).astype("object")
    return table.astype({"factor": "float64", "mme": "float64"})


def _connect() -> duckdb.DuckDBPyConnection:
    import duckdb

    connection = duckdb.connect()
    connection.execute("SET threads = 1")
    masses.prepare(connection)
    return connection


def _register_pieces(connection: duckdb.DuckDBPyConnection, pieces: pd.DataFrame) -> None:
    connection.register("times_given", pieces)
    connection.execute(
        'CREATE TEMP VIEW piece_given AS SELECT * EXCLUDE (start, "end"), '
        'epoch_us(start) AS s, epoch_us("end") AS e FROM times_given'
    )
    masses.number(connection, "piece_given")
    connection.execute(f"CREATE TEMP VIEW pieces AS {masses.numbered('piece_given')}")
