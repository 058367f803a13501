"""Pain: described, its change, responders, the score-level mixed model."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from ketamine_outcomes.analyses.common import Data, arms, count, describe, paired_change
from ketamine_outcomes.analyses.ladder import REFUSED, rung
from ketamine_outcomes.cohort.windows import label, pain_windows
from ketamine_outcomes.estimates import Rows
from ketamine_outcomes.study import Study
from ketamine_outcomes.study_analyses import Trajectory
from ketamine_outcomes.study_outcomes import PainOutcome, ResponderOutcome

if TYPE_CHECKING:
    from ketamine_outcomes.estimators.linear_mixed import LinearMixedResult

UNIT = "points"


def outcome_name(outcome: PainOutcome) -> str:
    """Return the name of a pain outcome in the estimates table."""
    return f"pain_{outcome.scale}"


def description(
    study: Study, data: Data, analysis: str, name: str, outcome: PainOutcome, by: str | None
) -> Rows:
    """Describe window pain, and count windows without enough scores."""
    rows = Rows(analysis=analysis, outcome=outcome_name(outcome))
    table = data.outcomes[name]
    for arm, ids in arms(data.units, by):
        mine = table[table["unit_id"].isin(ids)]
        for window in pain_windows(study.windows):
            here = mine[mine["window"] == label(window)]
            cells = {"window": label(window), "level": arm}
            describe(
                rows,
                here["value"],
                UNIT,
                unknown=_why_unknown(study, here),
                method=outcome.summary.replace("_", " "),
                **cells,
            )
            n = len(here)
            for term, hit in (
                ("with_value", here["state"].eq("value")),
                ("with_score", here["n_scores"] > 0),
                ("too_few_scores", here["state"].eq("too_few_scores")),
                ("unknown", here["state"].eq("unknown")),
            ):
                count(rows, term, int(hit.sum()), n, **cells)
            rows.add("count", float(here["n_scores"].sum()), term="scores", unit="scores",
                     n_patients=n, n_observations=int(here["n_scores"].sum()), **cells)  # fmt: skip
    _with_both(rows, study, data, table)
    return rows


def _why_unknown(study: Study, here: pd.DataFrame) -> str:
    """Say why no unit has a value in a window."""
    scores = int(here["n_scores"].sum())
    if scores == 0:
        return "unknown: no score was charted"
    needed = study.windows.min_scores
    return f"unknown: {scores} charted, a window value needs {needed}"


def _with_both(rows: Rows, study: Study, data: Data, table: pd.DataFrame) -> None:
    """Count the units with a score in both baseline and each follow-up window."""
    scored = table[table["n_scores"] > 0]
    before = set(scored.loc[scored["window"].eq(label(study.windows.baseline)), "unit_id"])
    for window in study.windows.follow_up:
        after = set(scored.loc[scored["window"].eq(label(window)), "unit_id"])
        count(rows, "with_score_in_both", len(before & after), len(data.units), level="all",
              contrast=f"{label(window)} vs {label(study.windows.baseline)}")  # fmt: skip


def responders(
    study: Study, data: Data, analysis: str, name: str, outcome: ResponderOutcome, by: str | None
) -> Rows:
    """Return the share of eligible patients who responded, with its exact interval."""
    from ketamine_outcomes import estimators

    rows = Rows(analysis=analysis, outcome=name, unit="share")
    table = data.outcomes[name]
    for arm, ids in arms(data.units, by):
        for window in study.windows.follow_up:
            here = table[
                table["unit_id"].isin(ids)
                & table["window"].eq(label(window))
                & table["eligible"].astype(bool)
            ]
            known = here["responded"].dropna().astype(bool)
            cells = {"window": label(window), "level": arm}
            if known.empty:
                rows.unknown("proportion", "unknown: no eligible patient has a value", **cells)
                continue
            events, n = int(known.sum()), len(known)
            row = estimators.exact_proportion(events, n).table.iloc[0]
            rows.add(
                "proportion", events / n, ci_low=float(row["ci_low"]),
                ci_high=float(row["ci_high"]), ci_level=0.95, n_patients=n, n_events=events,
                method="Clopper-Pearson",
                note=f"{len(here) - n} eligible without a value" if len(here) > n else "", **cells,
            )  # fmt: skip
    return rows


def before_after(
    study: Study, data: Data, analysis: str, name: str, outcome: PainOutcome, by: str | None
) -> Rows:
    """Return the change of each follow-up window's pain from baseline, one value per patient."""
    rows = Rows(analysis=analysis, outcome=outcome_name(outcome))
    wide = data.outcomes[name].pivot(index="unit_id", columns="window", values="value")
    before = label(study.windows.baseline)
    for window in study.windows.follow_up:
        contrast = f"{label(window)} vs {before}"
        for arm, ids in arms(data.units, by):
            values = wide.reindex(index=ids, columns=[before, label(window)]).dropna()
            cells = {"contrast": contrast, "level": arm}
            for column in (before, label(window)):
                if len(values):
                    rows.add("mean", float(values[column].mean()), window=column, unit=UNIT,
                             n_patients=len(values), **cells)  # fmt: skip
            paired_change(rows, values[before], values[label(window)], UNIT, **cells)
    return rows


def trajectory(
    study: Study, data: Data, analysis: str, model: Trajectory, outcome: PainOutcome
) -> Rows:
    """Fit scores on window (by arm): random intercept and random POST per patient.

    Kenward-Roger degrees of freedom. The random part is never stepped down: a singular fit
    falls back to one value per patient and window.
    """
    from ketamine_outcomes import estimators

    rows = Rows(analysis=analysis, outcome=outcome_name(outcome))
    frame = _score_frame(study, data, model)
    patients = frame["unit_id"].nunique()
    method = "linear mixed model, random intercept and POST, Kenward-Roger"
    if patients < 12:
        why = REFUSED[rung(patients)] if patients else REFUSED["none"]
        rows.refuse("mean_difference", why, method=method)
        return rows
    windows = [label(w) for w in pain_windows(study.windows)]
    columns = {w: f"w{i}" for i, w in enumerate(windows[1:], 1)}
    terms = " + ".join(columns.values())
    names = sorted(frame["arm"].unique()) if model.by is not None else ["all"]
    interaction = " ".join(f"+ a{i} * ({terms})" for i in range(1, len(names)))
    adjust = " ".join(f"+ {name}" for name in model.adjust)
    try:
        fit = estimators.linear_mixed(
            f"score ~ {terms} {interaction} {adjust}", frame, "unit_id", random="1 + post"
        )
    except estimators.EstimationError as error:
        rows.unknown("mean_difference", str(error), method=method)
        return rows
    singular = bool(fit.diagnostics["singular"])
    sizes = {"n_patients": patients, "n_observations": len(frame)}
    if singular:
        rows.refuse(
            "mean_difference",
            "singular fit: a random-effect variance is estimated as 0; see the change of one "
            "value per patient and window",
            method=method,
        )
        return rows
    _model_rows(rows, fit, windows, columns, names, method, sizes)
    for component in _variances(fit):
        rows.add("variance", component[1], term=component[0], unit="points squared",
                 method=method, **sizes)  # fmt: skip
    rows.add("log_likelihood", float(fit.log_likelihood), method=f"{method} (REML)", **sizes)
    return rows


def _score_frame(study: Study, data: Data, model: Trajectory) -> pd.DataFrame:
    scores = data.outcomes[f"{model.outcome}.scores"]
    parts = []
    for i, window in enumerate(pain_windows(study.windows)):
        inside = scores[(scores["hour"] >= window[0]) & (scores["hour"] < window[1])]
        parts.append(inside.assign(window=label(window), post=float(i > 0)))
    frame = pd.concat(parts, ignore_index=True)
    # Patients with scores on one side only say nothing of a change, and their number would
    # overstate what the contrast rests on.
    both = frame.groupby("unit_id")["post"].transform("nunique") == 2
    frame = frame[both].reset_index(drop=True)
    windows = [label(w) for w in pain_windows(study.windows)]
    for i, name in enumerate(windows[1:], 1):
        frame[f"w{i}"] = frame["window"].eq(name).astype(float)
    units = data.units.set_index("unit_id")
    if model.by is not None:
        frame["arm"] = frame["unit_id"].map(units[model.by]).astype(object)
        frame = frame[frame["arm"].notna()].reset_index(drop=True)
        for i, name in enumerate(sorted(frame["arm"].unique())):
            frame[f"a{i}"] = frame["arm"].eq(name).astype(float)
    for name in model.adjust:
        frame[name] = frame["unit_id"].map(units[name])
    return frame


def _model_rows(
    rows: Rows,
    fit: LinearMixedResult,
    windows: list[str],
    columns: dict[str, str],
    names: list[str],
    method: str,
    sizes: dict[str, int],
) -> None:
    """Add model means per window and arm, changes from baseline, and differences of changes."""
    terms = list(fit.coefficients["term"])
    base = {"Intercept" if "Intercept" in terms else terms[0]: 1.0}
    middles = {w: _middle(w) for w in windows}
    for i, arm in enumerate(names):
        for window in windows:
            weights = dict(base)
            change: dict[str, float] = {}
            if window in columns:
                change[columns[window]] = 1.0
                if i:
                    change[f"a{i}:{columns[window]}"] = 1.0
            if i:
                weights[f"a{i}"] = 1.0
            level = arm if len(names) > 1 else "all"
            mean = fit.contrast({"m": {**weights, **change}}).iloc[0]
            rows.add("mean", float(mean["estimate"]), window=window, level=level, unit=UNIT,
                     time_hours=middles[window], std_error=float(mean["std_error"]),
                     ci_low=float(mean["ci_low"]), ci_high=float(mean["ci_high"]), ci_level=0.95,
                     df=float(mean["df"]), method=method, **sizes)  # fmt: skip
            if change:
                _contrast_row(
                    rows,
                    fit,
                    change,
                    method,
                    sizes,
                    level=level,
                    window=window,
                    contrast=f"{window} vs {windows[0]}",
                )
    for i, arm in enumerate(names[1:], 1):
        for window, column in columns.items():
            _contrast_row(
                rows,
                fit,
                {f"a{i}:{column}": 1.0},
                method,
                sizes,
                window=window,
                level=f"{arm} vs {names[0]}",
                term="difference of changes",
                contrast=f"{window} vs {windows[0]}",
            )


def _contrast_row(
    rows: Rows,
    fit: LinearMixedResult,
    weights: dict[str, float],
    method: str,
    sizes: dict[str, int],
    **cells: object,
) -> None:
    row = fit.contrast({"c": weights}).iloc[0]
    rows.add("mean_difference", float(row["estimate"]), std_error=float(row["std_error"]),
             ci_low=float(row["ci_low"]), ci_high=float(row["ci_high"]), ci_level=0.95,
             p_value=float(row["p_value"]), df=float(row["df"]), unit=UNIT, method=method,
             **sizes, **cells)  # fmt: skip


def _variances(fit: LinearMixedResult) -> list[tuple[str, float]]:
    components = fit.diagnostics["variance_components"]
    found = [(f"random {name}", float(value)) for name, value in dict(components).items()]
    return [*found, ("residual", float(fit.diagnostics["residual_variance"]))]


def _middle(window: str) -> float:
    low, high = window.strip("[)").split(",")
    return (float(low) + float(high)) / 2
