"""All analyses of a study on one cohort, in the study's order."""

from __future__ import annotations

import pandas as pd

from ketamine_outcomes import estimates
from ketamine_outcomes.analyses import opioid, pain, population, safety, survival
from ketamine_outcomes.analyses.common import Data
from ketamine_outcomes.estimates import Rows
from ketamine_outcomes.study import Study
from ketamine_outcomes.study_analyses import (
    BeforeAfter,
    Description,
    Hazard,
    Incidence,
    Survival,
    Trajectory,
)
from ketamine_outcomes.study_outcomes import (
    AdverseEventOutcome,
    MMEOutcome,
    PainOutcome,
    ResponderOutcome,
)


def run(study: Study, data: Data, cohort: str, scenario: str, definition: str) -> pd.DataFrame:
    """Return the estimates of one cohort and scenario.

    Parameters
    ----------
    study
        Resolved study of the scenario.
    data
        Units and outcome tables.
    cohort, scenario, definition
        Cells of every row.
    """
    made = [population.attrition(study, data), population.characteristics(study, data)]
    if study.index.unit == "patient":
        group = next((n for n, c in study.covariates.items() if c.role == "group"), None)
        made.append(population.index_courses(data, group))
    if len(data.ledger):
        made.append(population.ledger(data))
    for name, analysis in study.analyses.items():
        made += _one(study, data, name, analysis)
    rows = [row for part in made for row in part.rows]
    return estimates.table(
        rows,
        study=study.name,
        cohort=cohort,
        scenario=scenario,
        definition_hash=definition,
    )


def _one(study: Study, data: Data, name: str, analysis: object) -> list[Rows]:
    if isinstance(analysis, Description):
        return [_describe(study, data, name, outcome, analysis.by) for outcome in analysis.outcomes]
    if isinstance(analysis, BeforeAfter):
        outcome = study.outcomes[analysis.outcome]
        if isinstance(outcome, PainOutcome):
            return [pain.before_after(study, data, name, analysis.outcome, outcome, analysis.by)]
        return [opioid.before_after(study, data, name, analysis.outcome, analysis.by)]
    if isinstance(analysis, Trajectory):
        outcome = study.outcomes[analysis.outcome]
        assert isinstance(outcome, PainOutcome)
        return [pain.trajectory(study, data, name, analysis, outcome)]
    if isinstance(analysis, Incidence):
        return [survival.incidence(study, data, name, analysis)]
    if isinstance(analysis, Hazard):
        return [survival.hazard(study, data, name, analysis)]
    assert isinstance(analysis, Survival)
    return [survival.survival(study, data, name, analysis)]


def _describe(study: Study, data: Data, name: str, outcome_name: str, by: str | None) -> Rows:
    outcome = study.outcomes[outcome_name]
    if isinstance(outcome, MMEOutcome):
        return opioid.description(study, data, name, outcome_name, by)
    if isinstance(outcome, PainOutcome):
        return pain.description(study, data, name, outcome_name, outcome, by)
    if isinstance(outcome, ResponderOutcome):
        return pain.responders(study, data, name, outcome_name, outcome, by)
    assert isinstance(outcome, AdverseEventOutcome)
    return safety.description(data, name, outcome_name, outcome, by)
