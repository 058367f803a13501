"""Time to an event: cumulative incidence, cause-specific hazards, survival.

Competing events are never censoring. Kaplan-Meier is for death only.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from ketamine_outcomes.analyses.common import Data, arms
from ketamine_outcomes.estimates import Rows
from ketamine_outcomes.intervals import each
from ketamine_outcomes.study import Study
from ketamine_outcomes.study_analyses import Hazard, Incidence, Survival
from ketamine_outcomes.study_outcomes import SiteOutcome

HOURS_PER_DAY = 24.0
EVENTS_PER_TERM = 10
MINIMUM_EVENTS = 5


def _at_risk_set(study: Study, data: Data, outcome: str) -> pd.DataFrame:
    """Return the rows at risk: incident episodes (or units) with follow-up after entry."""
    table = data.outcomes[outcome]
    definition = study.outcomes[outcome]
    if isinstance(definition, SiteOutcome):
        if definition.incident_only:
            table = table[~table["prevalent"]]
        covariates = data.units.drop(columns=["patient_id", "route"], errors="ignore")
        if study.index.unit == "patient" and "route" in table:
            covariates = covariates.assign()
        table = table.merge(covariates, on="unit_id", how="left")
    else:
        table = table.merge(data.units.drop(columns="patient_id"), on="unit_id", how="left")
    return table[table["time_hours"] > table["entry_hours"]].reset_index(drop=True)


def _causes(study: Study, outcome: str, table: pd.DataFrame) -> dict[str, int]:
    competing = getattr(study.outcomes[outcome], "competing", ())
    return {"event": 1} | {cause: i for i, cause in enumerate(competing, 2)}


def incidence(study: Study, data: Data, analysis: str, model: Incidence) -> Rows:
    """Return cumulative incidence by arm with its competing events, rates and numbers at risk."""
    from ketamine_outcomes import estimators

    rows = Rows(analysis=analysis)
    _episode_counts(rows, study, data, model)
    table = _at_risk_set(study, data, model.outcome)
    causes = _causes(study, model.outcome, table)
    table = table.assign(code=table["cause"].map(causes).fillna(0).astype("int64"))
    for arm, ids in arms(_arm_units(table, model.by), model.by):
        here = (
            table[table["unit_id"].isin(ids)]
            if arm == "all"
            else table[table[model.by].astype(str) == arm]
        )
        if here.empty:
            continue
        patients = int(here["patient_id"].nunique())
        sizes = {"n_patients": patients, "n_observations": len(here), "level": arm}
        _rate(rows, here, model.outcome, study, sizes)
        cluster = "patient_id" if len(here) > patients else None
        method = "Aalen-Johansen" + (", patients as clusters" if cluster else "")
        try:
            curve = estimators.aalen_johansen(
                here, "time_hours", "code", entry="entry_hours", cluster=cluster
            ).curve
        except estimators.EstimationError as error:
            rows.unknown("cumulative_incidence", str(error), outcome=model.outcome, level=arm,
                         method=method)  # fmt: skip
            continue
        for cause, code in causes.items():
            name = model.outcome if cause == "event" else f"{model.outcome}:{cause}"
            steps = curve[curve["cause"] == code]
            _curve_rows(rows, steps, name, method, sizes)
            _reported(rows, steps, here, name, model.at_hours, method, sizes,
                      at_risk=cause == "event")  # fmt: skip
    return rows


def _arm_units(table: pd.DataFrame, by: str | None) -> pd.DataFrame:
    return table[["unit_id", *([by] if by else [])]]


def _episode_counts(rows: Rows, study: Study, data: Data, model: Incidence) -> None:
    """Say how many episodes there are, how many were adverse at first sight, how many inferred."""
    if not isinstance(study.outcomes[model.outcome], SiteOutcome):
        table = data.outcomes[model.outcome]
        rows.add("count", float(len(table)), outcome=model.outcome, term="eligible", level="all",
                 unit="patients", n_patients=int(table["patient_id"].nunique()))  # fmt: skip
        return
    table = data.outcomes[model.outcome]
    for term, hit in (
        ("episodes", pd.Series(True, index=table.index)),
        ("events", table["cause"].eq("event")),
        ("adverse_at_first_sight", table["prevalent"]),
        ("incident_events", table["cause"].eq("event") & ~table["prevalent"]),
        ("end_inferred", table["end_inferred"]),
        ("never_inspected", table["inspected"].eq(0)),
        ("without_follow_up", ~(table["time_hours"] > table["entry_hours"])),
    ):
        chosen = table[hit]
        rows.add("count", float(len(chosen)), outcome=model.outcome, term=term, level="all",
                 unit="site episodes", n_patients=int(chosen["patient_id"].nunique()))  # fmt: skip


def _rate(
    rows: Rows, here: pd.DataFrame, outcome: str, study: Study, sizes: dict[str, object]
) -> None:
    from ketamine_outcomes import estimators

    days = float((here["time_hours"] - here["entry_hours"]).sum()) / HOURS_PER_DAY
    events = int(here["cause"].eq("event").sum())
    site = isinstance(study.outcomes[outcome], SiteOutcome)
    of = "site-days" if site else "patient-days"
    row = estimators.exact_rate(events, days / 100).table.iloc[0]
    rows.add("rate", float(row["estimate"]), outcome=outcome, unit=f"per 100 {of}",
             ci_low=float(row["ci_low"]), ci_high=float(row["ci_high"]), ci_level=0.95,
             n_events=events, method="exact Poisson", **sizes)  # fmt: skip
    for term, value in (
        ("events_at_risk", float(events)),
        ("at_risk_units", float(len(here))),
        (of.replace("-", "_"), days),
    ):
        unit = of if term.endswith("days") else ("site episodes" if site else "patients")
        rows.add("count", value, outcome=outcome, term=term, unit=unit, **sizes)


def _curve_rows(
    rows: Rows, steps: pd.DataFrame, name: str, method: str, sizes: dict[str, object]
) -> None:
    for step in each(steps[steps["n_events"] > 0]):
        rows.add(
            "cumulative_incidence", float(step.estimate), outcome=name,
            time_hours=float(step.time), std_error=float(step.std_error),
            ci_low=max(0.0, float(step.ci_low)), ci_high=min(1.0, float(step.ci_high)),
            ci_level=0.95, n_events=int(step.n_events), unit="share", method=method, **sizes,
        )  # fmt: skip


def _reported(
    rows: Rows,
    steps: pd.DataFrame,
    here: pd.DataFrame,
    name: str,
    at_hours: tuple[float, ...],
    method: str,
    sizes: dict[str, object],
    at_risk: bool,
) -> None:
    """Add the curve and the number at risk at the reported times, while any are at risk."""
    last = float(here["time_hours"].max())
    for hour in (0.0, *at_hours) if at_risk else at_hours:
        waiting = int(((here["entry_hours"] <= hour) & (here["time_hours"] > hour)).sum())
        if at_risk:
            rows.add("count", float(waiting), outcome=name, term="at_risk", time_hours=hour,
                     unit="at risk", **sizes)  # fmt: skip
        if hour == 0 or hour > last:
            continue
        passed = steps[steps["time"] <= hour]
        cells = {"outcome": name, "term": "reported", "time_hours": hour, "unit": "share",
                 "method": method, **sizes}  # fmt: skip
        if passed.empty or not (passed["n_events"] > 0).any():
            rows.add("cumulative_incidence", 0.0, note="no event so far: no interval", **cells)
            continue
        step = passed.iloc[-1]
        rows.add("cumulative_incidence", float(step["estimate"]),
                 std_error=float(step["std_error"]), ci_low=max(0.0, float(step["ci_low"])),
                 ci_high=min(1.0, float(step["ci_high"])), ci_level=0.95,
                 n_events=int(passed["n_events"].sum()), **cells)  # fmt: skip


def hazard(study: Study, data: Data, analysis: str, model: Hazard) -> Rows:
    """Return the cause-specific hazard ratio of a covariate, patients as clusters.

    Below 10 events per term Firth's penalised likelihood with profile intervals takes the place
    of the partial likelihood; below 5 events nothing is fitted.
    """
    from ketamine_outcomes import estimators

    rows = Rows(analysis=analysis, outcome=model.outcome)
    table = _at_risk_set(study, data, model.outcome)
    used = [model.by, *model.adjust]
    table = table.dropna(subset=used)
    table = table.assign(event=table["cause"].eq("event").astype("int64"))
    events, patients = int(table["event"].sum()), int(table["patient_id"].nunique())
    sizes = {"n_patients": patients, "n_observations": len(table), "n_events": events}
    words = _words(table, model.by)
    if events < MINIMUM_EVENTS or len(words) < 2:
        rows.refuse(
            "hazard_ratio",
            f"{events} events in {len(words)} groups: described, not regressed",
            adjustment="covariates" if model.adjust else "none",
        )
        return rows
    formula, columns, table = _design(table, model, words)
    firth = model.firth if model.firth is not None else events < EVENTS_PER_TERM * len(columns)
    method = (
        "Cox, Efron ties, Firth, profile likelihood interval"
        if firth
        else ("Cox, Efron ties, standard errors by patient")
    )
    try:
        fit = estimators.cox(
            formula, table, "time_hours", "event", entry="entry_hours",
            cluster=None if firth else "patient_id", firth=firth,
        )  # fmt: skip
    except estimators.EstimationError as error:
        rows.unknown("hazard_ratio", str(error), method=method)
        return rows
    repeated = len(table) > patients
    note = (
        "Firth's interval takes episodes of one patient as independent"
        if (firth and repeated)
        else ""
    )
    for row in each(fit.coefficients):
        name, word, reference = columns[row.term]
        rows.add(
            "hazard_ratio",
            float(np.exp(row.estimate)),
            term=f"{name}={word}" if word else name,
            contrast=f"{word} vs {reference}" if word else "per unit",
            adjustment="covariates" if model.adjust else "none",
            std_error=float(row.std_error),
            ci_low=float(np.exp(row.ci_low)),
            ci_high=float(np.exp(row.ci_high)),
            ci_level=0.95,
            p_value=float(row.p_value),
            unit="ratio",
            method=method,
            note=note,
            **sizes,
        )
    return rows


def _words(table: pd.DataFrame, name: str) -> list[str]:
    """Return the words of a covariate, the most frequent (the reference) first."""
    counts = table[name].astype(str).value_counts()
    return sorted(counts.index, key=lambda word: (-counts[word], word))


def _design(
    table: pd.DataFrame, model: Hazard, words: list[str]
) -> tuple[str, dict[str, tuple[str, str, str]], pd.DataFrame]:
    """Return a formula over indicator columns, what each column is, and the table with them."""
    columns: dict[str, tuple[str, str, str]] = {}
    made: dict[str, pd.Series] = {}
    for name in (model.by, *model.adjust):
        if pd.api.types.is_float_dtype(table[name]):
            columns[f"x{len(columns)}"] = (name, "", "")
            made[f"x{len(columns) - 1}"] = table[name]
            continue
        levels = words if name == model.by else _words(table, name)
        for word in levels[1:]:
            key = f"x{len(columns)}"
            columns[key] = (name, word, levels[0])
            made[key] = table[name].astype(str).eq(word).astype(float)
    return " + ".join(columns), columns, table.assign(**made)


def survival(study: Study, data: Data, analysis: str, model: Survival) -> Rows:
    """Return Kaplan-Meier survival after index by arm."""
    from ketamine_outcomes import estimators

    rows = Rows(analysis=analysis, outcome=model.outcome)
    table = _at_risk_set(study, data, model.outcome)
    table = table.assign(event=table["cause"].eq("event").astype("int64"))
    method = "Kaplan-Meier, log interval"
    for arm, ids in arms(data.units, model.by):
        here = table[table["unit_id"].isin(ids)]
        if here.empty:
            continue
        sizes = {"n_patients": len(here), "n_observations": len(here), "level": arm}
        days = float((here["time_hours"] - here["entry_hours"]).sum()) / HOURS_PER_DAY
        events = int(here["event"].sum())
        row = estimators.exact_rate(events, days / 365.25 / 100).table.iloc[0]
        rows.add("rate", float(row["estimate"]), unit="per 100 patient-years", n_events=events,
                 ci_low=float(row["ci_low"]), ci_high=float(row["ci_high"]), ci_level=0.95,
                 method="exact Poisson", **sizes)  # fmt: skip
        curve = estimators.kaplan_meier(here, "time_hours", "event", entry="entry_hours").curve
        for step in each(curve[curve["n_events"] > 0]):
            rows.add("survival_probability", float(step.estimate), time_hours=float(step.time),
                     std_error=float(step.std_error), ci_low=float(step.ci_low),
                     ci_high=float(step.ci_high), ci_level=0.95, n_events=int(step.n_events),
                     unit="share", method=method, **sizes)  # fmt: skip
        for hour in (0.0, *model.at_hours):
            waiting = int(((here["entry_hours"] <= hour) & (here["time_hours"] > hour)).sum())
            rows.add("count", float(waiting), term="at_risk", time_hours=hour, unit="at risk",
                     **sizes)  # fmt: skip
    return rows
