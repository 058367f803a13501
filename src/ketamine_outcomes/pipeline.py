"""From extract and exposure to estimates: what the steps and the scenarios share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd

from ketamine_outcomes.analyses.common import Data
from ketamine_outcomes.analyses.opioid import study_windows
from ketamine_outcomes.analyses.pain import pain_windows
from ketamine_outcomes.cohort import covariates, index
from ketamine_outcomes.cohort.attrition import Attrition
from ketamine_outcomes.cohort.windows import label
from ketamine_outcomes.errors import UserError
from ketamine_outcomes.exposure.factors import FactorTable
from ketamine_outcomes.exposure.rows import Assumptions
from ketamine_outcomes.outcomes import opioid, pain, safety, sites
from ketamine_outcomes.study import (
    AdverseEventOutcome,
    DeathOutcome,
    MMEOutcome,
    PainOutcome,
    ReliefOutcome,
    ResponderOutcome,
    SimulatedCohort,
    SiteOutcome,
    SourceCohort,
    Study,
)

if TYPE_CHECKING:
    from ketamine_outcomes.extract.tables import Extract


def assumptions(cohort: SourceCohort | SimulatedCohort) -> Assumptions:
    """Return what a cohort lets the exposure engine assume."""
    return Assumptions(
        parenteral_route=cohort.assume_route.get("parenteral"),
        unknown_is_opioid=getattr(cohort, "doses_hold", "all_drugs") == "opioids",
        feed_priority=cohort.feed_priority,
        stays_complete=getattr(cohort, "stays_complete", True),
    )


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


def build_outcomes(
    study: Study, extract: Extract, units: pd.DataFrame, pieces: pd.DataFrame
) -> dict[str, pd.DataFrame]:
    """Return one table per outcome of the study (`NAME.by_drug`, `NAME.scores` beside some).

    Raises
    ------
    UserError
        An outcome needs a table that the extract does not have.
    """
    found: dict[str, pd.DataFrame] = {}
    baseline, needed = study.windows.baseline, study.windows.min_scores
    for name, outcome in study.outcomes.items():
        _require(extract, name, outcome)
        if isinstance(outcome, MMEOutcome):
            windows = study_windows(study)
            masses = opioid.window_masses(units, pieces, windows)
            converted = opioid.convert(masses, FactorTable(study.exposure.factors))
            found[name] = opioid.window_mme(units, extract, converted, windows)
            found[f"{name}.by_drug"] = converted
        elif isinstance(outcome, PainOutcome):
            scores = pain.scores_from_index(units, extract, outcome.scale)
            found[name] = pain.window_pain(
                units, scores, pain_windows(study), outcome.summary, needed
            )
            found[f"{name}.scores"] = scores
        elif isinstance(outcome, ResponderOutcome):
            scores = pain.scores_from_index(units, extract, outcome.scale)
            values = pain.window_pain(
                units, scores, pain_windows(study), _summary(study, outcome.scale), needed
            )
            found[name] = pain.response(values, label(baseline), outcome)
        elif isinstance(outcome, ReliefOutcome):
            scores = pain.scores_from_index(units, extract, outcome.scale)
            found[name] = pain.time_to_relief(
                units, extract, scores, baseline, _summary(study, outcome.scale), needed, outcome
            )
        elif isinstance(outcome, SiteOutcome):
            drug = study.index.drug if study.index.unit == "patient" else None
            found[name] = sites.episodes(units, extract, outcome, drug, pieces)
        elif isinstance(outcome, DeathOutcome):
            found[name] = safety.time_to_death(units, extract)
        else:
            found[name] = safety.adverse_events(units, extract, outcome)
    return found


def _summary(study: Study, scale: str) -> str:
    """Return how the study summarises a scale, so that response and pain agree."""
    for outcome in study.outcomes.values():
        if isinstance(outcome, PainOutcome) and outcome.scale == scale:
            return outcome.summary
    return "time_weighted_mean"


def _require(extract: Extract, name: str, outcome: object) -> None:
    tables: dict[Any, tuple[str, ...]] = {
        MMEOutcome: ("doses",),
        PainOutcome: ("pain_scores",),
        ResponderOutcome: ("pain_scores",),
        ReliefOutcome: ("pain_scores", "stays"),
        SiteOutcome: ("infusion_sites", "site_events"),
        DeathOutcome: ("patients", "stays"),
        AdverseEventOutcome: ("events",),
    }
    missing = [table for table in tables[type(outcome)] if table not in extract.tables]
    if missing:
        raise UserError(
            f"the outcome {name!r} needs the table {' and '.join(missing)}, which the extract "
            "does not have",
            do=f"add {', '.join(f'{table}.csv' for table in missing)}, or drop the outcome",
        )


def ledger_counts(ledger: pd.DataFrame) -> pd.DataFrame:
    """Return the number of dose rows by class and reason."""
    counted = ledger.groupby(["class", "reason"], sort=True).size().reset_index(name="rows")
    return counted.rename(columns={"class": "row_class"})


def finish_ledger(study: Study, dose_rows: pd.DataFrame, pieces: pd.DataFrame) -> pd.DataFrame:
    """Return the ledger with the factors of the study's sets."""
    return opioid.finish_ledger(dose_rows, pieces, FactorTable(study.exposure.factors))


def assemble(study: Study, extract: Extract, dose_rows: pd.DataFrame, pieces: pd.DataFrame) -> Data:
    """Return all that the analyses read, made afresh: what a scenario needs."""
    units, attrition = build_units(study, extract, dose_rows, pieces)
    ledger = finish_ledger(study, dose_rows, pieces)
    return Data(
        units, attrition, ledger_counts(ledger), build_outcomes(study, extract, units, pieces)
    )
