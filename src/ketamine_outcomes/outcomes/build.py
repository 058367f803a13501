"""All outcome tables of a study, and its ledger."""

from __future__ import annotations

from typing import Any

import pandas as pd

from ketamine_outcomes.cohort.windows import label, pain_windows, study_windows
from ketamine_outcomes.errors import UserError
from ketamine_outcomes.exposure.factors import FactorTable
from ketamine_outcomes.extract.tables import Extract
from ketamine_outcomes.outcomes import opioid, pain, safety, sites
from ketamine_outcomes.study import Study
from ketamine_outcomes.study_outcomes import (
    AdverseEventOutcome,
    DeathOutcome,
    MMEOutcome,
    PainOutcome,
    ReliefOutcome,
    ResponderOutcome,
    SiteOutcome,
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
            windows = study_windows(study.windows)
            mass = opioid.window_masses(units, pieces, windows)
            converted = opioid.convert(mass, FactorTable(study.exposure.factors))
            found[name] = opioid.window_mme(units, extract, converted, windows)
            found[f"{name}.by_drug"] = converted
        elif isinstance(outcome, PainOutcome):
            scores = pain.scores_from_index(units, extract, outcome.scale)
            found[name] = pain.window_pain(
                units, scores, pain_windows(study.windows), outcome.summary, needed
            )
            found[f"{name}.scores"] = scores
        elif isinstance(outcome, ResponderOutcome):
            scores = pain.scores_from_index(units, extract, outcome.scale)
            values = pain.window_pain(
                units, scores, pain_windows(study.windows), _summary(study, outcome.scale), needed
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


def finish_ledger(
    study: Study, extract: Extract, dose_rows: pd.DataFrame, pieces: pd.DataFrame
) -> pd.DataFrame:
    """Return the ledger with the factors of the study's sets."""
    factors = FactorTable(study.exposure.factors)
    return opioid.finish_ledger(dose_rows, pieces, extract.rows("patients"), factors)


def ledger_counts(ledger: pd.DataFrame) -> pd.DataFrame:
    """Return the number of dose rows by class and reason."""
    counted = ledger.groupby(["class", "reason"], sort=True).size().reset_index(name="rows")
    return counted.rename(columns={"class": "row_class"})
