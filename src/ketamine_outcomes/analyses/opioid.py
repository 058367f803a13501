"""MME per window: described, and its change after index."""

from __future__ import annotations

from typing import Any, cast

import numpy as np
import pandas as pd

from ketamine_outcomes.analyses.common import Data, arms, count, describe, paired_change
from ketamine_outcomes.cohort.windows import label, pain_windows, study_windows
from ketamine_outcomes.estimates import Rows
from ketamine_outcomes.outcomes.opioid import UNDER_HOURS
from ketamine_outcomes.study import Study

#: A marginal model is fitted from this many patients on (the fourth rung).
MODEL_PATIENTS = 12
UNIT_24H = "MME per 24 h observed"


def description(study: Study, data: Data, analysis: str, outcome: str, by: str | None) -> Rows:
    """Describe MME, hours observed and MME per 24 h in every window."""
    rows = Rows(analysis=analysis)
    table = data.outcomes[outcome]
    by_drug = data.outcomes[f"{outcome}.by_drug"]
    for arm, ids in arms(data.units, by):
        for window in study_windows(study.windows):
            here = table[table["unit_id"].isin(ids) & table["window"].eq(label(window))]
            _window(rows, here, label(window), arm)
            drugs = by_drug[by_drug["unit_id"].isin(ids) & by_drug["window"].eq(label(window))]
            observed = here.loc[here["hours_observed"] > 0, "unit_id"]
            drugs = drugs[drugs["unit_id"].isin(observed)]
            if window in pain_windows(study.windows):
                # The long windows overlap these: their drugs would be shown twice.
                _by_drug(rows, drugs, len(observed), label(window), arm)
    first = study.windows.follow_up[0]
    both = table[table["window"].isin([label(study.windows.baseline), label(first)])]
    charted = both.groupby("unit_id")["any_opioid"].any()
    count(rows, "with_opioid", int(charted.sum()), len(charted), outcome="mme_total", level="all",
          contrast=f"{label(study.windows.baseline)} or {label(first)}")  # fmt: skip
    return rows


def _window(rows: Rows, here: pd.DataFrame, window: str, arm: str) -> None:
    cells = {"window": window, "level": arm}
    observed = here["hours_observed"] > 0
    note = _note(here)
    hours = here["hours_observed"].where(observed)
    describe(rows, hours, "hours", outcome="hours_observed", **cells)
    describe(rows, here["mme"].where(observed), "MME", outcome="mme_total", note=note, **cells)
    # A mean of many never rests on a few hours of one; a single patient's value is shown with
    # its hours and its flag.
    enough = observed & (here["hours_observed"] >= (0 if len(here) == 1 else UNDER_HOURS))
    describe(rows, here["mme_per_24h"].where(enough), UNIT_24H, outcome="mme_per_24h", note=note,
             **cells)  # fmt: skip
    n = len(here)
    for term, hit in (
        ("with_value", observed),
        ("observed_zero", here["state"].eq("observed_zero")),
        ("incomplete", here["incomplete"]),
        ("under_12_hours", observed & (here["hours_observed"] < UNDER_HOURS)),
        ("unknown", ~observed),
        ("with_opioid", here["any_opioid"]),
        # Another main route than before index: part of a change is then arithmetic of factors.
        ("route_switch", here["route_switch"]),
    ):
        count(rows, term, int(hit.sum()), n, outcome="mme_total", **cells)


def _note(here: pd.DataFrame) -> str:
    """Return the flags of a single patient's window with its hours, or counts for many."""
    hours = here["hours_observed"]
    if len(here) == 1:
        flags = here["flags"].iloc[0]
        parts = [f"{hours.iloc[0]:.3g} h observed", *([flags] if flags else [])]
        if here["incomplete"].iloc[0]:
            parts.append("incomplete: a lower bound")
        share = here["imputed_share"].iloc[0]
        if share > 0:
            parts.append(f"{100 * share:.3g} % of the MME rests on an assumed route or end")
        return "; ".join(parts)
    parts = []
    if here["incomplete"].any():
        parts.append(f"{int(here['incomplete'].sum())} windows are incomplete: lower bounds")
    short = (hours > 0) & (hours < UNDER_HOURS)
    if short.any():
        parts.append(f"{int(short.sum())} windows under 12 h enter no mean per 24 h")
    return "; ".join(parts)


def _by_drug(rows: Rows, drugs: pd.DataFrame, n: int, window: str, arm: str) -> None:
    if drugs.empty:
        return
    total = drugs.groupby(["drug", "route"], sort=True)["mme"].sum(min_count=1)
    users = drugs.groupby(["drug", "route"], sort=True)["unit_id"].nunique()
    for pair, mme in total.items():
        drug, route = cast("tuple[str, str]", pair)
        cells = {"outcome": "mme_by_drug", "window": window, "level": arm,
                 "term": f"{drug} {route}", "unit": "MME"}  # fmt: skip
        if np.isnan(mme):
            rows.unknown("mean", "given but not counted: no mass, route or factor", **cells)
            continue
        rows.add("mean", float(mme) / n, n_patients=n, n_events=int(users[(drug, route)]), **cells)


def before_after(study: Study, data: Data, analysis: str, outcome: str, by: str | None) -> Rows:
    """Return the change of MME per 24 h: the primary contrast, then each window against baseline.

    Only windows with 12 observed hours or more, and complete, enter.
    """
    rows = Rows(analysis=analysis, outcome="mme_per_24h")
    table = data.outcomes[outcome]
    usable = table[(table["hours_observed"] >= UNDER_HOURS) & ~table["incomplete"]]
    wide = usable.pivot(index="unit_id", columns="window", values="mme_per_24h")
    hours = usable.pivot(index="unit_id", columns="window", values="hours_observed")
    primary = study.windows.primary_mme
    pairs = [(primary.before, primary.after)]
    pairs += [(study.windows.baseline, window) for window in study.windows.follow_up]
    for before, after in dict.fromkeys(pairs):
        contrast = f"{label(after)} vs {label(before)}"
        for arm, ids in arms(data.units, by):
            values = wide.reindex(index=ids, columns=[label(before), label(after)])
            values = values.dropna()
            cells = {"contrast": contrast, "level": arm}
            for window in (before, after):
                if len(values):
                    rows.add("mean", float(values[label(window)].mean()), window=label(window),
                             n_patients=len(values), unit=UNIT_24H, **cells)  # fmt: skip
                    mean_hours = float(hours.loc[values.index, label(window)].mean())
                    rows.add("mean", mean_hours, window=label(window), outcome="hours_observed",
                             n_patients=len(values), unit="hours", **cells)  # fmt: skip
            paired_change(rows, values[label(before)], values[label(after)], UNIT_24H, **cells)
        ratios(rows, data, usable, before, after, by, contrast)
    return rows


def ratios(
    rows: Rows,
    data: Data,
    usable: pd.DataFrame,
    before: tuple[float, float],
    after: tuple[float, float],
    by: str | None,
    contrast: str,
) -> None:
    """Add the ratio of mean MME per 24 h after over before, from 12 patients on.

    Quasi-Poisson GEE with log link and log hours as offset: a ratio of means, legal with zeros;
    Mancl-DeRouen standard errors, t reference.
    """
    from ketamine_outcomes import estimators

    long = usable[usable["window"].isin([label(before), label(after)])]
    paired = long[long.groupby("unit_id")["window"].transform("nunique") == 2]
    frame = pd.DataFrame(
        {
            "unit_id": paired["unit_id"],
            "mme": paired["mme"],
            "post": paired["window"].eq(label(after)).astype(float),
            "log_days": np.log(paired["hours_observed"] / 24),
        }
    )
    method = "GEE quasi-Poisson, Mancl-DeRouen t"
    for arm, ids in arms(data.units, by):
        here = frame[frame["unit_id"].isin(ids)]
        n = here["unit_id"].nunique()
        cells = {"contrast": contrast, "level": arm, "unit": "ratio"}
        if n < MODEL_PATIENTS:
            rows.refuse(
                "ratio_of_means", f"a marginal model needs {MODEL_PATIENTS} patients", **cells
            )
            continue
        try:
            fit = estimators.gee("mme ~ post", here, "unit_id", "quasipoisson", offset="log_days")
        except estimators.EstimationError as error:
            rows.unknown("ratio_of_means", str(error), **cells)
            continue
        _ratio_row(rows, fit.coefficients.set_index("term").loc["post"], n, len(here), method,
                   **cells)  # fmt: skip
    if by is not None:
        _ratio_of_ratios(rows, data, frame, by, contrast, method)


def _ratio_of_ratios(
    rows: Rows, data: Data, frame: pd.DataFrame, by: str, contrast: str, method: str
) -> None:
    """Compare the arms: how the ratio differs between them."""
    from ketamine_outcomes import estimators

    arm = frame["unit_id"].map(data.units.set_index("unit_id")[by])
    joint = frame.assign(arm=arm).dropna()
    sizes = joint.groupby("arm")["unit_id"].nunique()
    joint = joint[joint["arm"].isin(sizes[sizes >= 12].index)]
    levels = sorted(joint["arm"].unique())
    for word in levels[1:]:
        two = joint[joint["arm"].isin([levels[0], word])]
        two = two.assign(other=two["arm"].eq(word).astype(float))
        try:
            fit = estimators.gee(
                "mme ~ post * other", two, "unit_id", "quasipoisson", offset="log_days"
            )
        except estimators.EstimationError as error:
            rows.unknown("ratio_of_means", str(error), contrast=contrast, term=f"{by}={word}",
                         level=f"{word} vs {levels[0]}")  # fmt: skip
            continue
        row = fit.coefficients.set_index("term").loc["post:other"]
        _ratio_row(
            rows,
            row,
            two["unit_id"].nunique(),
            len(two),
            method,
            contrast=contrast,
            term=f"{by}={word}",
            level=f"{word} vs {levels[0]}",
            unit="ratio of ratios",
        )


def _ratio_row(
    rows: Rows, row: Any, n: int, observations: int, method: str, **cells: object
) -> None:
    rows.add(
        "ratio_of_means",
        float(np.exp(row["estimate"])),
        std_error=float(row["std_error"]),
        ci_low=float(np.exp(row["ci_low"])),
        ci_high=float(np.exp(row["ci_high"])),
        ci_level=0.95,
        p_value=float(row["p_value"]),
        df=float(row["df"]),
        n_patients=n,
        n_observations=observations,
        method=method,
        **cells,
    )
