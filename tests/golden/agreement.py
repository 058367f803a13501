"""Write docs/reference/estimators/agreement.md: digits of agreement with R, per stored analysis.

    python tests/golden/agreement.py

Runs the tests of this folder with GOLDEN_RECORD set, so the table can hold nothing that a test
does not compare.
"""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).parent
PAGE = HERE.parents[1] / "docs/reference/estimators/agreement.md"
MOST = 15  # digits that a double holds for certain
HEAD = """# Digits of agreement with R

Every analysis in `tests/golden/json`, the R call that gave its numbers, how many numbers the
tests compare, and the digits that agree in the worst of them (minus log10 of the largest
relative difference; {most} = equal to rounding). Written by `python tests/golden/agreement.py`
from the comparisons that the tests make; few digits have their reason in the test and in
[the pages of the calls](README.md).

| id | R (package, version) | numbers | digits in the worst |
|---|---|---|---|
"""


def record() -> dict[str, list[dict[str, float]]]:
    """Comparisons of every test, by id."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "record.jsonl"
        path.touch()
        tests = [str(p) for p in sorted(HERE.glob("test_*.py")) if "_mme_" not in p.name]
        subprocess.run(
            [sys.executable, "-m", "pytest", "-q", "-x", *tests],
            check=True,
            env={**os.environ, "GOLDEN_RECORD": str(path)},
        )
        found: dict[str, list[dict[str, float]]] = {}
        for line in path.read_text(encoding="utf-8").splitlines():
            said = json.loads(line)
            found.setdefault(said["id"], []).append(said)
    return found


def digits(worst: float) -> int:
    return MOST if worst == 0 else min(MOST, math.floor(-math.log10(worst)))


def main() -> None:
    lines = []
    for name, said in sorted(record().items()):
        stored = json.loads((HERE / "json" / f"{name}.json").read_text(encoding="utf-8"))
        worst = max(s["worst"] for s in said)
        values = sum(int(s["values"]) for s in said)
        lines.append(f"| {name} | {stored['oracle']} | {values} | {digits(worst)} |")
    PAGE.parent.mkdir(parents=True, exist_ok=True)
    PAGE.write_text(HEAD.format(most=MOST) + "\n".join(lines) + "\n", encoding="utf-8")
    print(f"{PAGE.name}: {len(lines)} analyses")


if __name__ == "__main__":
    main()
