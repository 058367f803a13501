"""Made-up estimates that cover every row convention, for the tests of the release.

The functions are imported by the other release tests; the tests here keep the examples honest.
"""

from __future__ import annotations

import itertools
import math
import random
from typing import Any

import pandas as pd
import pytest

from ketamine_outcomes import estimates
from ketamine_outcomes.study import Study

HASH = "ab" * 32
WINDOWS = ("[-24,0)", "[0,24)", "[24,48)", "[48,72)")


def case_study() -> Study:
    """One patient, open data."""
    return Study.model_validate(
        {
            "name": "fake-case",
            "title": "One patient around a ketamine infusion",
            "question": "How much opioid was given in the day before and after the infusion?",
            "notes": [
                "No route is recorded for the pushes: they are taken as intravenous.",
                "What recovery or theatre gave is not in the record: after is a lower bound.",
            ],
            "cohorts": {
                "demo": {
                    "source": "mimic_iv",
                    "path": "data/demo",
                    "times": "shifted",
                    "patients": ["10040025"],
                }
            },
            "index": {"drug": "ketamine", "routes": ["iv"]},
            "outcomes": {"opioid": {"kind": "mme"}, "pain": {"kind": "pain"}},
            "analyses": {
                "describe": {"kind": "description", "outcomes": ["opioid", "pain"]},
                "change": {"kind": "before_after", "outcome": "opioid"},
            },
            "primary": {"mme": "describe", "pain": "describe"},
            "disclosure": {"policy": "none", "patient_level": "open"},
        }
    )


def registry_study(policy: str = "none", simulated: bool = True) -> Study:
    """Three arms, every analysis."""
    cohort: dict[str, Any] = {"source": "simulated", "patients": 300}
    if not simulated:
        cohort = {"source": "tabular", "path": "data/registry", "times": "relative_hours"}
    return Study.model_validate(
        {
            "name": "fake-registry",
            "title": "Ketamine for pain in calciphylaxis: a registry",
            "question": "Do opioid need and pain fall after ketamine, and does route matter?",
            "cohorts": {"registry": cohort},
            "index": {
                "drug": "ketamine",
                "comparator": {"at": "stay_start"},
            },
            "eligibility": {"adult": {"from": "patients.age_years", "at_least": 18}},
            "covariates": {"route": {"from": "index.route", "role": "group"}},
            "outcomes": {
                "opioid": {"kind": "mme"},
                "pain": {"kind": "pain"},
                "responder_30": {"kind": "responder", "fall_at_least": 0.3},
                "site_complication": {"kind": "site_complication"},
                "adverse": {"kind": "adverse_event", "events": ["hallucination"]},
            },
            "analyses": {
                "describe": {
                    "kind": "description",
                    "outcomes": ["opioid", "pain", "responder_30", "adverse"],
                    "by": "route",
                },
                "change": {"kind": "before_after", "outcome": "opioid"},
                "pain_model": {"kind": "trajectory", "outcome": "pain", "by": "route"},
                "sites": {
                    "kind": "cumulative_incidence",
                    "outcome": "site_complication",
                    "by": "route",
                },
                "site_hazard": {"kind": "hazard", "outcome": "site_complication", "by": "route"},
            },
            "primary": {"mme": "change", "pain": "pain_model", "safety": "site_hazard"},
            "scenarios": [
                {"name": "low_factors", "set": {"exposure.factors": "cdc2022+inpatient+low"}}
            ],
            "disclosure": {"policy": policy},
        }
    )


def _flow(steps: list[tuple[str, int, str]], outcome: str = "patients") -> list[dict[str, Any]]:
    rows = []
    previous = steps[0][1]
    for term, n, note in steps:
        common = {
            "analysis": "attrition",
            "outcome": outcome,
            "term": term,
            "measure": "count",
            "note": note,
        }
        rows.append({**common, "level": "remaining", "estimate": n})
        rows.append({**common, "level": "excluded", "estimate": previous - n})
        previous = n
    return rows


def _ledger(counts: dict[tuple[str, str], int]) -> list[dict[str, Any]]:
    return [
        {
            "analysis": "ledger",
            "outcome": "dose_rows",
            "term": k[0],
            "level": k[1],
            "measure": "count",
            "estimate": n,
        }
        for k, n in counts.items()
    ]


def case_estimates() -> pd.DataFrame:
    """One patient: 61.5 MME in 5.4 h observed before, 15.5 after, pain unknown for 34 h."""
    rows = _flow(
        [
            ("in_extract", 1, "patients in the extract"),
            ("has_index", 1, "a ketamine course by intravenous route"),
        ]
    )
    rows += _ledger(
        {
            ("converted", "factor"): 8,
            ("non_opioid", "not_in_dictionary"): 402,
            ("marker", "rate change"): 3,
            ("excluded:status", "not given"): 12,
        }
    )
    rows += [
        {
            "analysis": "characteristics",
            "outcome": "age_years",
            "level": "all",
            "measure": "mean",
            "estimate": 51,
            "n_patients": 1,
            "unit": "years",
        },
        {
            "analysis": "characteristics",
            "outcome": "age_years",
            "level": "all",
            "measure": "count",
            "term": "missing",
            "estimate": 0,
            "n_patients": 1,
        },
        {
            "analysis": "characteristics",
            "outcome": "sex",
            "level": "all",
            "measure": "count",
            "term": "male",
            "estimate": 1,
            "n_patients": 1,
        },
        {
            "analysis": "characteristics",
            "outcome": "sex",
            "level": "all",
            "measure": "proportion",
            "term": "male",
            "estimate": 1,
            "n_patients": 1,
            "n_events": 1,
        },
    ]
    d = {"analysis": "describe", "population": "all"}
    values = {
        "[-24,0)": (61.5, 5.38),
        "[0,24)": (15.5, 24.0),
        "[24,48)": (7.5, 24.0),
        "[48,72)": (0.0, 12.4),
    }
    drugs = {
        "[-24,0)": {"hydromorphone iv": 30, "morphine iv": 24, "oxycodone oral": 7.5},
        "[0,24)": {"hydromorphone iv": 8, "oxycodone oral": 7.5},
        "[24,48)": {"oxycodone oral": 7.5},
    }
    for window, (total, hours) in values.items():
        common = {**d, "window": window, "n_patients": 1}
        rows += [
            {**common, "outcome": "mme_total", "measure": "mean", "estimate": total, "unit": "MME"},
            {
                **common,
                "outcome": "mme_per_24h",
                "measure": "mean",
                "estimate": total * 24 / hours,
                "unit": "MME per 24 h",
            },
            {
                **common,
                "outcome": "hours_observed",
                "measure": "mean",
                "estimate": hours,
                "unit": "h",
            },
            {
                **common,
                "outcome": "mme_per_24h",
                "measure": "count",
                "term": "under_12_hours",
                "estimate": int(hours < 12),
            },
            {
                **common,
                "outcome": "mme_per_24h",
                "measure": "count",
                "term": "with_value",
                "estimate": 1,
            },
            {
                **common,
                "outcome": "mme_per_24h",
                "measure": "count",
                "term": "incomplete",
                "estimate": 0,
            },
        ]
        for term, mme in drugs.get(window, {}).items():
            rows.append(
                {
                    **common,
                    "outcome": "mme_by_drug",
                    "measure": "mean",
                    "term": term,
                    "estimate": mme,
                    "unit": "MME",
                }
            )
    for window in WINDOWS[:2]:
        rows.append(
            {
                **d,
                "outcome": "pain_nrs",
                "window": window,
                "measure": "mean",
                "status": "not_estimable",
                "note": "no pain score in the window",
            }
        )
        rows.append(
            {
                **d,
                "outcome": "pain_nrs",
                "window": window,
                "measure": "count",
                "term": "unknown",
                "estimate": 1,
                "n_patients": 1,
            }
        )
    rows.append(
        {
            "analysis": "change",
            "outcome": "mme_per_24h",
            "measure": "mean_difference",
            "contrast": "[24,72) vs [-72,0)",
            "status": "refused",
            "note": "one patient: an interval or p value would not be valid",
        }
    )
    return _table(rows, "fake-case", "demo")


def case_private() -> dict[str, pd.DataFrame]:
    """The row-level tables of the one patient."""
    p = "patient 1"
    nan = math.nan
    doses = [
        (-4.9, nan, "morphine", "iv", 4, 12),
        (-4.4, nan, "hydromorphone", "iv", 1, 20),
        (-3.0, nan, "morphine", "iv", 4, 12),
        (-2.2, nan, "hydromorphone", "iv", 0.5, 10),
        (-1.0, nan, "oxycodone", "oral", 5, 7.5),
        (3.2, nan, "hydromorphone", "iv", 0.2, 4),
        (5.9, nan, "hydromorphone", "iv", 0.2, 4),
        (19.0, nan, "oxycodone", "oral", 5, 7.5),
        (33.0, nan, "oxycodone", "oral", 5, 7.5),
    ]
    return {
        "timeline_doses": pd.DataFrame(
            [(p, *dose, "") for dose in doses],
            columns=["patient_label", "hour", "hour_end", "drug", "route", "mg", "mme", "flags"],
        ),
        "timeline_index_drug": pd.DataFrame(
            [
                (p, 0.0, 0.8, 0.08, 6.0, "iv", 5.0),
                (p, 0.8, 3.5, 0.2, 15.0, "iv", 40.0),
                (p, 3.5, 15.3, 0.3, 22.5, "iv", 265.0),
            ],
            columns=[
                "patient_label",
                "start_hour",
                "end_hour",
                "rate_mg_per_kg_h",
                "rate_mg_per_h",
                "route",
                "amount_mg",
            ],
        ),
        "timeline_pain": pd.DataFrame(
            [
                (p, 34.6, "nrs", 3.0, "scored"),
                (p, 38.0, "nrs", 5.0, "scored"),
                (p, 41.5, "nrs", nan, "asleep"),
                (p, 47.0, "nrs", 2.0, "scored"),
                (p, 36.0, "cpot", 1.0, "scored"),
            ],
            columns=["patient_label", "hour", "scale", "score", "state"],
        ),
        "timeline_stays": pd.DataFrame(
            [(p, -5.4, 60.4, "all")],
            columns=["patient_label", "start_hour", "end_hour", "observes"],
        ),
        "pain_windows": pd.DataFrame(
            {
                "patient_label": [p],
                "window": ["[24,48)"],
                "middle_hour": [36.0],
                "value": [3.1],
                "n_scores": [3],
            }
        ),
    }


def registry_private(patients: int = 40) -> dict[str, pd.DataFrame]:
    """Window means of several patients and timelines of six."""
    draw = random.Random(4)
    pain, doses, index_drug, stays, scores = [], [], [], [], []
    for i in range(1, patients + 1):
        level = draw.gauss(6.2, 1.4)
        for k, window in enumerate(WINDOWS):
            value = min(10.0, max(0.0, level - 0.7 * k + draw.gauss(0, 0.8)))
            pain.append((f"patient {i}", window, -12 + 24.0 * k, value, 5))
        if i > 6:
            continue
        name = f"patient {i}"
        stays.append((name, draw.uniform(-30, -10), draw.uniform(40, 80), "all"))
        hour = stays[-1][1]
        for drug, route, mme in itertools.islice(
            itertools.cycle(
                [
                    ("oxycodone", "oral", 15.0),
                    ("hydromorphone", "iv", 10.0),
                    ("morphine", "iv", 12.0),
                ]
            ),
            9,
        ):
            hour += draw.uniform(2, 9)
            doses.append((name, hour, math.nan, drug, route, 1.0, mme, ""))
            scores.append((name, hour + 0.5, "nrs", float(draw.randint(1, 9)), "scored"))
        index_drug.append(
            (name, 0.0, draw.uniform(8, 40), 0.2, 14.0, "sc" if i % 2 else "iv", 99.0)
        )
    base = case_private()
    made = {
        "timeline_doses": doses,
        "timeline_index_drug": index_drug,
        "timeline_stays": stays,
        "timeline_pain": scores,
        "pain_windows": pain,
    }
    return {name: pd.DataFrame(rows, columns=base[name].columns) for name, rows in made.items()}


ARMS = {"iv": 120, "sc": 96, "untreated": 60}


def registry_estimates(arms: dict[str, int] | None = None) -> pd.DataFrame:
    """Three arms and everyone: every convention of the estimates table."""
    arms = arms or ARMS
    total = sum(arms.values())
    rows = _flow(
        [
            ("in_extract", total + 42, "patients in the extract"),
            ("adult", total + 38, "age_years at least 18"),
            ("calciphylaxis", total + 15, "calciphylaxis is recorded"),
            ("washout", total, "no ketamine in the 30 days before; <script>alert(1)</script>"),
        ]
    )
    rows += _ledger(
        {
            ("converted", "factor"): 8123,
            ("non_opioid", "not_in_dictionary"): 2210,
            ("unconverted", "no_factor"): 4,
            ("excluded:status", "not given"): 166,
        }
    )
    everyone = {"all": total, **arms}
    for level, n in everyone.items():
        rows += _characteristics(level, n)
        rows += _windows(level, n)
    rows += _change(total) + _model(arms) + _incidence(arms) + _refused()
    table = _table(rows, "fake-registry", "registry")
    low = _table(_change(total, 0.85), "fake-registry", "registry", scenario="low_factors")
    return pd.concat([table, low], ignore_index=True)


def _table(rows: list[dict[str, Any]], study: str, cohort: str, **more: str) -> pd.DataFrame:
    return estimates.table(rows, study=study, cohort=cohort, definition_hash=HASH, **more)


def _characteristics(level: str, n: int) -> list[dict[str, Any]]:
    c: dict[str, Any] = {"analysis": "characteristics", "level": level, "n_patients": n}
    age = {**c, "outcome": "age_years", "unit": "years"}
    rows = [
        {**age, "measure": "mean", "estimate": 61.234},
        {**age, "measure": "sd", "estimate": 12.9},
        {**age, "measure": "median", "estimate": 63.0},
        {**age, "measure": "quantile", "term": "q25", "estimate": 52.0},
        {**age, "measure": "quantile", "term": "q75", "estimate": 71.0},
        {**age, "measure": "count", "term": "missing", "estimate": 0, "unit": ""},
        {**c, "outcome": "albumin", "unit": "g/dL", "measure": "mean", "estimate": 2.91},
        {**c, "outcome": "albumin", "unit": "g/dL", "measure": "sd", "estimate": 0.55},
        {**c, "outcome": "albumin", "measure": "count", "term": "missing", "estimate": n // 4},
    ]
    female = round(n * 0.6)
    for term, count in (("female", female), ("male", n - female)):
        rows += [
            {**c, "outcome": "sex", "term": term, "measure": "count", "estimate": count},
            {
                **c,
                "outcome": "sex",
                "term": term,
                "measure": "proportion",
                "estimate": count / n,
                "n_events": count,
            },
        ]
    if level == "sc":
        rows += [
            {
                "analysis": "characteristics",
                "level": "sc",
                "outcome": name,
                "measure": "smd",
                "term": term,
                "contrast": "sc vs iv",
                "estimate": value,
            }
            for name, term, value in (
                ("age_years", "", 0.08),
                ("albumin", "", -0.21),
                ("sex", "", 0.012),
            )
        ]
    return rows


def _windows(level: str, n: int) -> list[dict[str, Any]]:
    rows = []
    d: dict[str, Any] = {"analysis": "describe", "level": level}
    for k, window in enumerate(WINDOWS):
        c = {**d, "window": window, "n_patients": n}
        mme = 180 - 30 * k - (15 if level == "iv" else 0)
        rows += [
            {
                **c,
                "outcome": "mme_per_24h",
                "measure": "mean",
                "estimate": mme,
                "ci_low": mme - 14,
                "ci_high": mme + 14,
                "ci_level": 0.95,
                "std_error": 7.1,
                "df": n - 1,
                "unit": "MME per 24 h",
            },
            {**c, "outcome": "mme_per_24h", "measure": "sd", "estimate": 75.0},
            {**c, "outcome": "mme_per_24h", "measure": "median", "estimate": mme - 20},
            {
                **c,
                "outcome": "mme_per_24h",
                "measure": "quantile",
                "term": "q25",
                "estimate": mme - 70,
            },
            {
                **c,
                "outcome": "mme_per_24h",
                "measure": "quantile",
                "term": "q75",
                "estimate": mme + 44,
            },
            {**c, "outcome": "mme_total", "measure": "mean", "estimate": mme * 0.9, "unit": "MME"},
            {
                **c,
                "outcome": "hours_observed",
                "measure": "mean",
                "estimate": 21.6 - k,
                "unit": "h",
            },
            {**c, "outcome": "pain_nrs", "measure": "mean", "estimate": 6.1 - 0.6 * k},
            {**c, "outcome": "pain_nrs", "measure": "sd", "estimate": 1.9},
            {**c, "outcome": "pain_nrs", "measure": "median", "estimate": 6.0 - 0.5 * k},
            {
                **c,
                "outcome": "pain_nrs",
                "measure": "count",
                "term": "with_value",
                "estimate": n - n // 5,
            },
            {
                **c,
                "outcome": "pain_nrs",
                "measure": "count",
                "term": "too_few_scores",
                "estimate": n // 5,
            },
            {**c, "outcome": "pain_nrs", "measure": "count", "term": "unknown", "estimate": 0},
        ]
        for term, count in (
            ("with_value", n),
            ("incomplete", n // 3),
            ("under_12_hours", n // 4),
            ("unknown", 0),
            ("observed_zero", 0),
        ):
            rows.append(
                {**c, "outcome": "mme_per_24h", "measure": "count", "term": term, "estimate": count}
            )
        for i, term in enumerate(
            ("hydromorphone iv", "oxycodone oral", "morphine iv", "fentanyl transdermal")
        ):
            rows.append(
                {
                    **c,
                    "outcome": "mme_by_drug",
                    "measure": "mean",
                    "term": term,
                    "estimate": mme * 0.9 * (0.4, 0.3, 0.2, 0.1)[i],
                    "unit": "MME",
                }
            )
        if k:
            events = round(n * (0.2 + 0.1 * k))
            rows.append(
                {
                    **c,
                    "outcome": "responder_30",
                    "measure": "proportion",
                    "n_patients": n,
                    "n_events": events,
                    "estimate": events / n,
                    "ci_low": max(0, events / n - 0.09),
                    "ci_high": events / n + 0.09,
                    "ci_level": 0.95,
                    "method": "Clopper-Pearson",
                }
            )
    rows.append(
        {
            **d,
            "outcome": "adverse",
            "term": "hallucination",
            "measure": "proportion",
            "n_patients": n,
            "n_events": 0,
            "estimate": 0,
            "ci_low": 0,
            "ci_high": 1 - 0.025 ** (1 / n),
            "ci_level": 0.95,
        }
    )
    return rows


def _change(n: int, factor: float = 1.0) -> list[dict[str, Any]]:
    c = {
        "analysis": "change",
        "outcome": "mme_per_24h",
        "n_patients": n,
        "contrast": "[24,72) vs [-72,0)",
        "method": "paired t",
        "ci_level": 0.95,
    }
    return [
        {**c, "measure": "mean", "window": "[-72,0)", "estimate": 171.2 * factor},
        {**c, "measure": "mean", "window": "[24,72)", "estimate": 118.0 * factor},
        {
            **c,
            "measure": "mean_difference",
            "estimate": -53.2 * factor,
            "std_error": 6.4,
            "ci_low": -65.9 * factor,
            "ci_high": -40.5 * factor,
            "p_value": 1.2e-12,
            "df": n - 1,
            "unit": "MME per 24 h",
        },
        {**c, "measure": "ratio_of_means", "estimate": 0.69, "ci_low": 0.62, "ci_high": 0.77},
    ]


def _model(arms: dict[str, int]) -> list[dict[str, Any]]:
    n = sum(arms.values())
    c = {
        "analysis": "pain_model",
        "outcome": "pain_nrs",
        "ci_level": 0.95,
        "method": "linear mixed model, Satterthwaite",
    }
    rows: list[dict[str, Any]] = []
    for level, size in arms.items():
        for k, window in enumerate(WINDOWS):
            mean = 6.3 - (0.9 if level != "untreated" else 0.3) * k
            rows.append(
                {
                    **c,
                    "measure": "mean",
                    "level": level,
                    "window": window,
                    "time_hours": -12 + 24 * k,
                    "estimate": mean,
                    "ci_low": mean - 0.4,
                    "ci_high": mean + 0.4,
                    "n_patients": size,
                }
            )
    m = {**c, "n_patients": n, "n_observations": n * 22}
    rows += [
        {
            **m,
            "measure": "mean_difference",
            "term": "post",
            "estimate": -1.48,
            "std_error": 0.12,
            "ci_low": -1.72,
            "ci_high": -1.24,
            "p_value": 1e-20,
            "df": 210.4,
            "unit": "points",
        },
        {
            **m,
            "measure": "mean_difference",
            "term": "post:sc",
            "estimate": 0.21,
            "std_error": 0.18,
            "ci_low": -0.14,
            "ci_high": 0.56,
            "p_value": 0.244,
            "df": 198.1,
        },
        {**m, "measure": "variance", "term": "residual", "estimate": 2.61},
        {**m, "measure": "variance", "term": "intercept", "estimate": 1.9},
    ]
    return rows


def _incidence(arms: dict[str, int]) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    c = {"analysis": "sites", "method": "Aalen-Johansen", "ci_level": 0.95}
    for level, size in arms.items():
        if level == "untreated":
            continue
        n = size * 2
        events = n // 4 if level == "sc" else n // 8
        plain = {**c, "level": level, "n_patients": size, "n_observations": n}
        for outcome, top in (
            ("site_complication", events),
            ("site_complication:removal", n // 2),
            ("site_complication:death", n // 12),
        ):
            for e in range(1, top + 1):
                share = e / n
                rows.append(
                    {
                        **plain,
                        "outcome": outcome,
                        "measure": "cumulative_incidence",
                        "time_hours": round(110 * (e / (top + 1)) ** 0.9, 3) + 1,
                        "estimate": share,
                        "ci_low": max(0.0, share - 0.03),
                        "ci_high": share + 0.04,
                        "n_events": 1,
                    }
                )
        for k, t in enumerate((24, 48, 72, 96)):
            rows.append(
                {
                    **plain,
                    "ci_level": None,
                    "outcome": "site_complication",
                    "measure": "count",
                    "term": "at_risk",
                    "time_hours": t,
                    "estimate": round(n * (0.8 - 0.19 * k)),
                }
            )
        plain.pop("ci_level")
        days = n * 2.2
        rows += [
            {
                **plain,
                "outcome": "site_complication",
                "measure": "rate",
                "n_events": events,
                "estimate": 100 * events / days,
                "ci_low": 80 * events / days,
                "ci_high": 125 * events / days,
                "ci_level": 0.95,
                "unit": "per 100 site-days",
            },
            *(
                {
                    **plain,
                    "outcome": "site_complication",
                    "measure": "count",
                    "term": term,
                    "estimate": value,
                }
                for term, value in (("events", events), ("episodes", n), ("site_days", days))
            ),
        ]
    h = {
        "analysis": "site_hazard",
        "outcome": "site_complication",
        "ci_level": 0.95,
        "method": "Cox, cause-specific, clustered by patient",
        "measure": "hazard_ratio",
    }
    rows.append(
        {
            **h,
            "term": "route=sc",
            "contrast": "iv",
            "estimate": 2.13,
            "std_error": 0.2,
            "ci_low": 1.44,
            "ci_high": 3.15,
            "p_value": 0.00015,
            "n_patients": 216,
            "n_observations": 432,
            "n_events": 78,
        }
    )
    return rows


def _refused() -> list[dict[str, Any]]:
    return [
        {
            "analysis": "site_hazard",
            "outcome": "site_complication",
            "measure": "hazard_ratio",
            "term": "route=other",
            "status": "refused",
            "note": "no event in the group: a hazard ratio cannot be estimated",
        }
    ]


@pytest.mark.parametrize("frame", [case_estimates(), registry_estimates()])
def test_the_examples_keep_the_contract(frame: pd.DataFrame) -> None:
    estimates.check(frame)
    assert {"attrition", "ledger", "characteristics"} <= set(frame["analysis"])
