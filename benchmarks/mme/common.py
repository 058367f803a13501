"""What every engine of this benchmark shares: the factors, the units, and the command line.

The job, in words. Keep rows of four opioids that were given. Mass of a bolus = amount; mass of
an infusion on a calendar day = rate x hours of [start, end) on that day. Each mass is rounded
half-even to 1e-9 mg and summed exactly per patient, day, drug, route and form class; the sum
times its factor is rounded half-even to 1e-6 MME; these are summed per patient and day. Output:
patient_id, day, mme, sorted.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path

OPIOIDS = ("fentanyl", "hydromorphone", "morphine", "oxycodone")
#: (drug, route, form class) and MME per mg. The place in the list is the product code.
FACTORS = (
    ("fentanyl", "iv", "bolus", 300.0),
    ("fentanyl", "iv", "infusion", 300.0),
    ("morphine", "iv", "bolus", 3.0),
    ("morphine", "iv", "infusion", 3.0),
    ("hydromorphone", "iv", "bolus", 20.0),
    ("hydromorphone", "iv", "infusion", 20.0),
    ("morphine", "oral", "ir", 1.0),
    ("oxycodone", "oral", "ir", 1.5),
    ("hydromorphone", "oral", "ir", 5.0),
)
#: Form of the extract to form class.
FORM_CLASS = {"injection": "bolus", "infusion": "infusion", "tablet": "ir"}
#: 1e-9 mg per unit of mass.
NANO_MG = {"mg": 1e9, "mcg": 1e6}
COLUMNS = (
    "patient_id", "drug", "route", "form", "start", "end", "amount", "amount_unit", "rate",
    "rate_unit", "status",
)  # fmt: skip

Run = Callable[[Path, Path, int, str], None]


def main(run: Run, version: str) -> None:
    """Run one engine from the command line and print its seconds as one line of JSON.

    The seconds hold reading, the job and writing, not the start of Python or the imports.
    """
    parser = argparse.ArgumentParser()
    parser.add_argument("doses", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--memory-limit", default="2.5GB", help="ignored where there is none")
    args = parser.parse_args()
    began = time.perf_counter()
    run(args.doses, args.out, args.threads, args.memory_limit)
    print(json.dumps({"job_seconds": time.perf_counter() - began, "version": version}))
