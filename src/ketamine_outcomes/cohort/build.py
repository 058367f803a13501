"""The units of a study: time zero, eligibility, covariates, and the way there."""

from __future__ import annotations

import pandas as pd

from ketamine_outcomes.cohort import baseline, covariates, index
from ketamine_outcomes.cohort.attrition import Attrition
from ketamine_outcomes.errors import UserError
from ketamine_outcomes.extract.tables import Extract
from ketamine_outcomes.study import Study


def build_units(
    study: Study, extract: Extract, dose_rows: pd.DataFrame, pieces: pd.DataFrame
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the units with their covariates, and the attrition table.

    Raises
    ------
    UserError
        No unit is left.
    """
    attrition = Attrition()
    units = index.find(extract, dose_rows, pieces, study.index, attrition)
    units = baseline.add_baseline(study, extract, dose_rows, pieces, units)
    units = covariates.apply_eligibility(
        extract, units, study.eligibility, study.windows, attrition
    )
    if units.empty:
        steps = [row for row in attrition.rows if not row["remark"]]
        emptied = next(row for row in steps if row["units"] == 0)
        before = steps[max(0, steps.index(emptied) - 1)]["units"]
        raise UserError(
            f"the cohort is empty: the step {emptied['step']!r} ({emptied['rule']}) left 0 of "
            f"{before}",
            do="widen `index` or `eligibility`, or give a cohort that has such patients",
        )
    return (
        covariates.add_covariates(extract, units, study.covariates, study.windows),
        attrition.table(),
    )
