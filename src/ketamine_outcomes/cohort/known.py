"""What is known of a unit at index: the names behind `index.` in covariates and eligibility.

What the course turned out to be (cumulative dose, dose class, stop reason) and what was given
after index are columns of the units too, but are not offered here: they are the future.
"""

from __future__ import annotations

from ketamine_outcomes.exposure import subclasses

#: Columns of the units that covariates and eligibility may read, as index.NAME.
NAMES: tuple[str, ...] = (
    "route", "group", "molecule", "opioid_tolerant", "opioid_tolerant_flat", "dialysis_day",
    "hours_since_dialysis", *(f"co_{name}" for name in subclasses.names()),
)  # fmt: skip
