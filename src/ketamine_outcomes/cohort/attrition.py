"""From the extract to the analysis set, step by step, with numbers that add up."""

from __future__ import annotations

from dataclasses import dataclass, field

import pandas as pd


@dataclass
class Attrition:
    """Counts of units and patients after every step.

    Attributes
    ----------
    rows
        step, rule (in words), units, patients, excluded (units lost at this step), remark
        (True for a count beside the flow, which excludes nobody).
    """

    rows: list[dict[str, object]] = field(default_factory=list)

    def start(self, step: str, patient_ids: pd.Series, rule: str) -> None:
        """Record the units that there are at first."""
        self._add(step, patient_ids, rule, excluded=0)

    def keep(self, step: str, patient_ids: pd.Series, rule: str) -> None:
        """Record the units that a rule leaves."""
        before = [row for row in self.rows if not row["remark"]][-1]["units"]
        assert isinstance(before, int)
        self._add(step, patient_ids, rule, excluded=before - len(patient_ids))

    def remark(self, step: str, units: int, rule: str) -> None:
        """Record a count beside the flow."""
        self.rows.append(
            {"step": step, "rule": rule, "units": units, "patients": units, "excluded": 0,
             "remark": True}
        )  # fmt: skip

    def _add(self, step: str, patient_ids: pd.Series, rule: str, excluded: int) -> None:
        self.rows.append(
            {"step": step, "rule": rule, "units": len(patient_ids),
             "patients": int(patient_ids.nunique()), "excluded": excluded, "remark": False}
        )  # fmt: skip

    def table(self) -> pd.DataFrame:
        """Return the steps in order."""
        return pd.DataFrame(
            self.rows, columns=["step", "rule", "units", "patients", "excluded", "remark"]
        )
