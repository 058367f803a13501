"""The SQL engine and the plain reference agree to the last digit on charts of any disorder."""

from __future__ import annotations

import engine_support as support
import reference_engine as reference
from hypothesis import given, settings
from hypothesis import strategies as st

from ketamine_outcomes.exposure.factors import FactorTable

SETS = [
    FactorTable(name)
    for name in (
        "cdc2022+inpatient", "cdc2016+inpatient+low", "heal+inpatient", "cms+inpatient+high",
    )
]  # fmt: skip
ORIGIN = int(support.ZERO.value // 1000)
MINUTE = 60_000_000
WINDOWS = [(-600, 600), (0, 1440), (1440, 2880), (100, 5000)]


@settings(max_examples=150, deadline=None, derandomize=True)
@given(seed=st.integers(0, 10**6), rows=st.integers(1, 16))
def test_sql_is_the_reference(seed: int, rows: int) -> None:
    tables, assume = support.random_tables(seed, rows), support.assumptions(seed)
    expected = reference.classify(tables, assume)
    with support.run(tables, assume) as connection:
        assert support.verdicts(connection) == [
            (row.number, row.verdict, row.why, row.flags) for row in expected.rows
        ]
        pieces = [
            (p.row.number, p.s, p.e, p.mg, p.row.label, reference.counted(p))
            for p in expected.pieces
        ]
        assert sorted(support.pieces(connection), key=repr) == sorted(pieces, key=repr)
        for place, (low, high) in enumerate(WINDOWS):
            a, b = ORIGIN + low * MINUTE, ORIGIN + high * MINUTE
            factors = SETS[(seed + place) % len(SETS)]
            found = support.micro(connection, factors, a, b)
            for patient in ("p1", "p2"):
                told = reference.window(expected, factors, patient, a, b)
                assert found.get(patient, (0, False, 0, 0)) == told
