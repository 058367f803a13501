"""Adverse events: proportions among those assessed, with exact bounds also at zero."""

from __future__ import annotations

from ketamine_outcomes.analyses.common import Data, arms
from ketamine_outcomes.estimates import Rows
from ketamine_outcomes.study_outcomes import AdverseEventOutcome


def description(
    data: Data, analysis: str, name: str, outcome: AdverseEventOutcome, by: str | None
) -> Rows:
    """Return the share with each event among patients assessed for it."""
    from ketamine_outcomes import estimators

    rows = Rows(analysis=analysis, outcome=name, unit="share")
    table = data.outcomes[name]
    window = f"[0,{outcome.within_hours:g})"
    for arm, ids in arms(data.units, by):
        for event in outcome.events:
            here = table[table["unit_id"].isin(ids) & table["event"].eq(event)]
            cells = {"window": window, "level": arm, "term": event}
            if here.empty:
                rows.unknown("proportion", "unknown: nobody was assessed", **cells)
                continue
            events, n = int(here["happened"].sum()), len(here)
            row = estimators.exact_proportion(events, n).table.iloc[0]
            rows.add("proportion", events / n, ci_low=float(row["ci_low"]),
                     ci_high=float(row["ci_high"]), ci_level=0.95, n_patients=n, n_events=events,
                     method="Clopper-Pearson", **cells)  # fmt: skip
    return rows
