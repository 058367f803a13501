"""Random charts, and the product's answer in the words of the reference."""

from __future__ import annotations

import random
from typing import Any

import duckdb
import pandas as pd

from ketamine_outcomes.exposure import engine, masses
from ketamine_outcomes.exposure.charting import Assumptions
from ketamine_outcomes.exposure.factors import FactorTable
from ketamine_outcomes.extract.tables import conform

ZERO = pd.Timestamp("2150-03-04")
MINUTES = [0, 1, 5, 30, 60, 60, 90, 120, 240, 480, 720, 1440, 1500, 2880, 4320]
DRUGS = ["Fentanyl", "HYDROmorphone", "Morphine", "Methadone", "Buprenorphine", "Oxycodone",
         "Ketamine", "Naloxone", "Remifentanil", "Acetaminophen", "Wonderdrug"]  # fmt: skip


def at(minutes: float) -> pd.Timestamp:
    return ZERO + pd.Timedelta(minutes=minutes)


def random_tables(seed: int, rows: int = 12, odd: bool = True) -> dict[str, pd.DataFrame]:
    """Return a chart of up to two patients in which much collides in time."""
    pick = random.Random(seed)
    drugs = pick.sample(DRUGS, pick.choice([1, 1, 2, 4]))
    times = sorted({pick.randrange(0, 6000, pick.choice([5, 60])) for _ in range(8)})
    style = pick.choice(["infusion", "infusion", "patch", "pca", "mixed", "mixed"])
    doses = [_dose(pick, i, drugs, times, style, odd) for i in range(1, rows + 1)]
    if pick.random() < 0.3:
        doses += [
            {**dose, "dose_id": f"x{dose['dose_id']}", "source": "b"}
            for dose in doses if pick.random() < 0.7
        ]  # fmt: skip
    patients = pd.DataFrame(
        [
            {"patient_id": p, "weight_kg": pick.choice([None, 70.0, 15.0]),
             "dialysis": pick.choice(["none", "hemodialysis", None]),
             "death_time": at(pick.choice([1000, 4000])) if pick.random() < 0.2 else None}
            for p in ("p1", "p2")
        ]
    )  # fmt: skip
    tables = {"doses": conform("doses", pd.DataFrame(doses)),
              "patients": conform("patients", patients)}  # fmt: skip
    if pick.random() < 0.7:
        tables["stays"] = conform("stays", pd.DataFrame(_stays(pick)))
    if pick.random() < 0.5:
        tables["measurements"] = conform(
            "measurements",
            pd.DataFrame(
                [
                    {"patient_id": pick.choice(["p1", "p2"]), "time": at(60 * i),
                     "name": pick.choice(["weight_kg", "dry_weight_kg"]),
                     "value": pick.choice([60.0, 82.5, 7000.0, 150.0]),
                     "unit": pick.choice(["kg", "lb"])}
                    for i in range(0, 60, 7)
                ]
            ),
        )  # fmt: skip
    return tables


def _stays(pick: random.Random) -> list[dict[str, Any]]:
    stays = []
    for patient in ("p1", "p2"):
        start = pick.choice([0, 300])
        for i in range(pick.choice([1, 1, 2, 3])):
            end = start + pick.choice([600, 1440, 3000])
            stays.append(
                {"patient_id": patient, "stay_id": f"{patient}{i}", "start": at(start),
                 "end": at(end), "observes": pick.choice(["all", "doses", "pain_scores", None]),
                 "end_reason": pick.choice(["discharged", "died", "transferred", None])}
            )  # fmt: skip
            if pick.random() < 0.4:  # one stay per domain, as sources write them
                stays.append({**stays[-1], "stay_id": f"{patient}{i}x", "observes": "doses"})
            start = end + pick.choice([0, 0, 120, -60])
    return stays


def _dose(
    pick: random.Random, i: int, drugs: list[str], times: list[int], style: str, odd: bool
) -> dict[str, Any]:
    kind = style if style != "mixed" else pick.choice(["infusion", "patch", "pca", "bolus"])
    start = pick.choice(times) if pick.random() < 0.7 else pick.randrange(6000)
    dose: dict[str, Any] = {
        "patient_id": pick.choice(["p1", "p1", "p1", "p2"]), "dose_id": f"d{i}",
        "drug": pick.choice(drugs), "start": at(start),
        "source": pick.choice([None, "a", "b"]) if odd else None,
        "order_id": pick.choice([None, "o1", "o2"]), "infusion_id": pick.choice([None, None, "i1"]),
    }  # fmt: skip
    if kind == "infusion":
        dose |= {
            "route": pick.choice(["iv", "iv", "iv", "sc", "epidural"]),
            "form": pick.choice(["infusion", "infusion", "injection", "pca_basal", None]),
            "status": pick.choice(
                ["started", "rate_change", "verified", "verified", "new_bag", "stopped", "given",
                 None]
            ),
        }  # fmt: skip
        if pick.random() < 0.75:
            dose |= {"rate": pick.choice([0.0, 25.0, 50.0, 50.0, 33.3]),
                     "rate_unit": pick.choice(["mcg/h", "mcg/h", "mcg/kg/h", "mL/h"])}  # fmt: skip
        if pick.random() < 0.25:
            dose |= {"amount": pick.choice([50.0, 100.0]), "amount_unit": "mcg"}
        if pick.random() < 0.3:
            dose["end"] = at(start + pick.choice(MINUTES))
        if pick.random() < 0.1:
            dose |= {"concentration": 10.0, "concentration_unit": "mcg/mL"}
    elif kind == "patch":
        dose |= {
            "route": pick.choice(["transdermal", "transdermal", None]), "form": "patch",
            "rate": pick.choice([25.0, 12.5, 50.0, None]), "rate_unit": "mcg/h",
            "site": pick.choice([None, "left arm", "Left arm ", "back"]),
            "status": pick.choice(["applied", "given", "applied", "removed", "verified"]),
        }  # fmt: skip
        if pick.random() < 0.15:
            dose["end"] = at(start + pick.choice([-60, 60, 3000]))
    elif kind == "pca":
        dose |= {
            "route": "iv", "form": pick.choice(["pca_reading", "pca_reading", "pca_demand"]),
            "amount": pick.choice([0.0, 1.0, 1.3, 4.0, 2.2, None]), "amount_unit": "mg",
            "status": pick.choice(["given", "delivered", "new_bag", "stopped", "attempt", None]),
        }  # fmt: skip
    else:
        dose |= {
            "route": pick.choice(["oral", "iv", "nasal", "sublingual", None]),
            "form": pick.choice(["tablet", "injection", "tablet_er", None]),
            "amount": pick.choice([5.0, 10.0, 0.1, 12.5]),
            "amount_unit": pick.choice(["mg", "mcg"]),
            "status": pick.choice(["given", "given", "held", "partial", "bolus_from_bag"]),
        }  # fmt: skip
    if odd and pick.random() < 0.25:
        dose |= pick.choice(
            [
                {"status": "unknown"}, {"amount": -4.0}, {"amount": 1e9, "amount_unit": "mg"},
                {"end": at(start - 5)}, {"amount_unit": "puff"}, {"rate": -3.0},
                {"procedural": True}, {"indication": "oud"}, {"amount_basis": "ordered"},
                {"amount_basis": "dispensed", "wasted": 2.0}, {"amount_unit": "mL"},
                {"amount": 7.0, "amount_unit": "mg"}, {"route": None}, {"status": "refused"},
            ]
        )  # fmt: skip
    return dose


def assumptions(seed: int) -> Assumptions:
    pick = random.Random(seed + 10**6)
    return Assumptions(
        parenteral_route=pick.choice([None, "iv"]),
        unknown_is_opioid=pick.random() < 0.5,
        feed_priority=pick.choice([(), (), ("a", "b"), ("b", "a")]),
        stays_complete=pick.random() < 0.85,
    )


def connect(tables: dict[str, pd.DataFrame]) -> duckdb.DuckDBPyConnection:
    connection = duckdb.connect()
    connection.execute("SET threads = 1")
    for name, table in tables.items():
        connection.register(name, table)
    return connection


def run(tables: dict[str, pd.DataFrame], assume: Assumptions) -> duckdb.DuckDBPyConnection:
    connection = connect(tables)
    engine.run(connection, assume, tables=frozenset(tables))
    masses.prepare(connection)
    return connection


def verdicts(connection: duckdb.DuckDBPyConnection) -> list[tuple[Any, ...]]:
    return connection.execute(
        "SELECT row, class, reason, flags FROM verdicts ORDER BY row"
    ).fetchall()


def pieces(connection: duckdb.DuckDBPyConnection) -> list[tuple[Any, ...]]:
    return connection.execute(
        "SELECT row, s, e, mg, rate_mcg_per_h, counted FROM pieces ORDER BY ALL"
    ).fetchall()


def micro(
    connection: duckdb.DuckDBPyConnection, factors: FactorTable, a: int, b: int
) -> dict[str, tuple[int, bool, int, int]]:
    """Return micro-MME, incomplete, imputed micro-MME and flags of each patient in [a, b)."""
    connection.execute(
        "CREATE OR REPLACE TEMP TABLE win AS SELECT DISTINCT patient_id AS unit_id, patient_id, "
        f"0 AS win, {a}::BIGINT AS a, {b}::BIGINT AS b FROM dose WHERE patient_id IS NOT NULL"
    )
    by_day = masses.factor_tables(connection, factors)
    mass = masses.masses(masses.listed("win"), by_day=by_day)
    connection.execute(f"CREATE OR REPLACE TEMP TABLE mass AS {mass}")
    found = connection.execute(
        "SELECT unit_id, coalesce(sum(micro), 0)::HUGEINT, "
        "bool_or(drug_class = 'opioid' AND micro IS NULL), "
        "coalesce(sum(imputed_micro), 0)::HUGEINT, bit_or(flags) "
        f"FROM ({masses.converted('mass', by_day=by_day)}) JOIN what USING (what) GROUP BY 1"
    ).fetchall()
    return {unit: (total, part, imputed, flags) for unit, total, part, imputed, flags in found}
