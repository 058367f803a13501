"""Values known at index, read from the truncated view, and the rules of eligibility on them."""

from __future__ import annotations

import pandas as pd

from ketamine_outcomes.cohort.attrition import Attrition
from ketamine_outcomes.cohort.view import before_index
from ketamine_outcomes.cohort.windows import observed_hours, window_bounds
from ketamine_outcomes.errors import UserError
from ketamine_outcomes.extract.tables import Extract
from ketamine_outcomes.intervals import hours_between
from ketamine_outcomes.study import Covariate, Eligibility, Windows


def apply_eligibility(
    extract: Extract,
    units: pd.DataFrame,
    rules: dict[str, Eligibility],
    windows: Windows,
    attrition: Attrition,
) -> pd.DataFrame:
    """Keep the units that pass every rule, one attrition step a rule, in the study's order."""
    for name, rule in rules.items():
        values = read(before_index(extract, units), units, rule.reads, windows)
        passed = pd.Series(True, index=units.index)
        if rule.at_least is not None:
            passed &= pd.to_numeric(values) >= rule.at_least
        if rule.at_most is not None:
            passed &= pd.to_numeric(values) <= rule.at_most
        if rule.any_of is not None:
            passed &= values.isin(list(rule.any_of))
        if rule.equals is not None:
            passed &= values.astype("boolean").eq(rule.equals).fillna(False)
        units = units[passed.to_numpy(dtype=bool)].reset_index(drop=True)
        attrition.keep(name, units["patient_id"], _in_words(rule))
    return units


def add_covariates(
    extract: Extract, units: pd.DataFrame, covariates: dict[str, Covariate], windows: Windows
) -> pd.DataFrame:
    """Add one column per covariate; words that no group names are left out with a count."""
    if not covariates:
        return units
    view = before_index(extract, units)
    columns = {}
    for name, covariate in covariates.items():
        values = read(view, units, covariate.reads, windows)
        if covariate.groups is not None:
            pool = {word: group for group, words in covariate.groups.items() for word in words}
            values = values.map(pool)
        columns[name] = values
    return units.assign(**columns)


def read(view: Extract, units: pd.DataFrame, reads: str, windows: Windows) -> pd.Series:
    """Return one value per unit, in the order of `units`, from the truncated view.

    Raises
    ------
    UserError
        The column is not in the extract.
    """
    table, _, column = reads.partition(".")
    unit = units["unit_id"]
    if table == "index":
        return units[column].reset_index(drop=True)
    if table == "patients":
        rows = view.rows("patients")
        if column not in rows:
            raise UserError(
                f"the patients table has no column {column!r}", do="add it, or drop the rule"
            )
        return unit.map(rows.set_index("unit_id")[column])
    if table == "measurements":
        rows = view.rows("measurements")
        if "unit_id" not in rows:
            return pd.Series(float("nan"), index=units.index)
        rows = rows[rows["name"] == column].sort_values("time", kind="stable")
        return unit.map(rows.drop_duplicates("unit_id", keep="last").set_index("unit_id")["value"])
    if table == "infusion_sites":
        rows = view.rows("infusion_sites")
        own = rows[rows["site_episode_id"] == rows["unit_id"]]
        return unit.map(own.set_index("unit_id")[column])
    start, end = window_bounds(units["index_time"], windows.baseline)
    if table == "hours_observed":
        return observed_hours(view, units, column, start, end)
    scores = view.rows("pain_scores")
    if "unit_id" not in scores:
        return pd.Series(0, index=units.index)
    chosen = scores[scores["score"].notna() & (scores["scale"] == column)]
    from_hour = hours_between(chosen["index_time"], chosen["time"])
    inside = chosen[(from_hour >= windows.baseline[0]) & (from_hour < windows.baseline[1])]
    return unit.map(inside.groupby("unit_id").size()).fillna(0)


def _in_words(rule: Eligibility) -> str:
    parts = []
    if rule.at_least is not None:
        parts.append(f"at least {rule.at_least:g}")
    if rule.at_most is not None:
        parts.append(f"at most {rule.at_most:g}")
    if rule.any_of is not None:
        parts.append("one of " + ", ".join(rule.any_of))
    if rule.equals is not None:
        parts.append("yes" if rule.equals else "no")
    return f"{rule.reads}: {' and '.join(parts)}"
