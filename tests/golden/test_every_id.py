"""No stored R number without a test that bears its name or names it."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
# kept as a reference for readers: no call of the estimators gives these numbers
NO_CALL = {"cox_frailty_gamma_site"}


def test_every_stored_analysis_is_a_named_test() -> None:
    listing = subprocess.run(
        [sys.executable, "-m", "pytest", "--collect-only", str(HERE)],
        check=True,
        capture_output=True,
        text=True,
        cwd=HERE.parents[1],
    ).stdout
    tests = [line.split("::", 1)[1] for line in listing.splitlines() if "::" in line]
    words = {w.removeprefix("test_") for t in tests for w in re.split(r"[^A-Za-z0-9_.]+", t)}
    sources = "".join(p.read_text(encoding="utf-8") for p in HERE.glob("test_*.py"))
    words |= set(re.findall(r'"(\w+)"', sources))
    stored = {p.stem for p in (HERE / "json").glob("*.json")}
    assert stored - NO_CALL <= words, sorted(stored - NO_CALL - words)
