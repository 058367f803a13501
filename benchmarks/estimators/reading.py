"""What every Python engine of this benchmark does around its one timed call."""

from __future__ import annotations

import json
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

WARM_UP = 200  # rows of the first, untimed call: imports, caches, compilation
Numbers = dict[str, float]


def read(folder: Path) -> pd.DataFrame:
    names = json.loads((folder / "columns.json").read_text(encoding="utf-8"))
    values = np.fromfile(folder / "values.bin", "<f8").reshape(len(names), -1)
    whole = {"patient", "site", "event"}
    return pd.DataFrame(
        {n: v.astype(np.int64) if n in whole else v for n, v in zip(names, values, strict=True)}
    )


def memory_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def run(tasks: dict[str, Callable[[pd.DataFrame], Numbers]], version: str) -> None:
    """Warm up, time one call, print seconds, memory and the numbers to compare."""
    task, folder = sys.argv[1], Path(sys.argv[2])
    data = read(folder)
    fit: Any = tasks[task]
    fit(data.head(WARM_UP).copy())
    before = memory_mb()
    began = time.perf_counter()
    numbers = fit(data)
    seconds = time.perf_counter() - began
    print(
        json.dumps(
            {
                "seconds": seconds,
                "peak_mb": memory_mb(),
                "before_mb": before,
                "version": version,
                "numbers": {k: float(v) for k, v in numbers.items()},
            }
        )
    )
