"""Read the stored R numbers and compare by name."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

HERE = Path(__file__).parent
CLOSED = 1e-6  # closed forms
OPTIMISED = 1e-5  # iterative fits
LOOSE = 1e-4  # degrees of freedom and variance parameters
NEAR_ZERO = 1e-8  # absolute, for numbers that are 0 in R
RECORD = os.environ.get("GOLDEN_RECORD")  # file that collects every comparison (agreement.py)
_last_read = ""


def document(name: str) -> Any:
    """Everything that is stored of an analysis."""
    global _last_read
    _last_read = name
    return json.loads((HERE / "json" / f"{name}.json").read_text(encoding="utf-8"))


def golden(name: str) -> Any:
    """The result that R gave."""
    return document(name)["result"]


def frame(name: str) -> pd.DataFrame:
    """A data set, with dots of R names turned into underscores."""
    data = pd.read_csv(HERE / "data" / f"{name}.csv")
    return data.rename(columns=lambda c: c.replace(".", "_"))


def r_name(term: str) -> str:
    """One spelling for a term of R and of formulaic; interactions in any order."""
    term = term.replace("(Intercept)", "Intercept").replace(".", "_").replace(" ", "")
    term = re.sub(r"\[T\.?_?([^\]]*)\]", r"\1", term)
    term = re.sub(r"(?:C|factor)\((\w+)\)", r"\1", term)
    return ":".join(sorted(term.split(":")))


def by_term(values: dict[str, float], terms: Any) -> np.ndarray:
    """R's named numbers in the order of our terms; both must have the same names."""
    known = {r_name(k): v for k, v in values.items()}
    assert set(known) == {r_name(t) for t in terms}
    return np.array([known[r_name(t)] for t in terms], float)


def agree(actual: Any, expected: Any, rtol: float, what: str = "") -> None:
    """Relative agreement; missing in R must be missing here."""
    expected = [np.nan if v is None else v for v in np.ravel(np.asarray(expected, object))]
    mine, theirs = np.ravel(np.asarray(actual, float)), np.asarray(expected, float)
    if RECORD:
        _record(RECORD, mine, theirs, rtol)
    np.testing.assert_allclose(
        mine,
        theirs,
        rtol=rtol,
        atol=NEAR_ZERO * rtol,
        equal_nan=True,
        err_msg=what,
    )


def _record(path: str, actual: np.ndarray, expected: np.ndarray, rtol: float) -> None:
    """One line: id of the R numbers, how many were compared, the largest relative difference."""
    known = np.isfinite(expected) & (actual != expected)
    gap = np.abs(actual[known] - expected[known]) / np.maximum(np.abs(expected[known]), NEAR_ZERO)
    worst = float(gap.max()) if gap.size else 0.0
    line = {"id": _last_read, "values": int(expected.size), "worst": worst, "allowed": rtol}
    with Path(path).open("a", encoding="utf-8") as file:
        file.write(json.dumps(line) + "\n")


def agree_log(actual: Any, expected: Any, rtol: float, what: str = "") -> None:
    """p values: those below 1e-12 by their logarithm."""
    a, e = np.ravel(np.asarray(actual, float)), np.ravel(np.asarray(expected, float))
    tiny, gone = (e < 1e-12) & (e > 0), e == 0  # below what a double holds
    rest = ~(tiny | gone)
    agree(a[rest], e[rest], rtol, what)
    agree(np.log(a[tiny]), np.log(e[tiny]), rtol, what)
    assert (a[gone] < 1e-300).all(), what


def at_times(curve: pd.DataFrame, times: Any, column: str, before: float = 0.0) -> np.ndarray:
    """Value of a step function at given times; `before` holds before its first row."""
    index = np.searchsorted(curve["time"].to_numpy(), times, side="right")
    return np.r_[before, curve[column].to_numpy()][index]
