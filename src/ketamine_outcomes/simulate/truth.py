"""The truth of a simulated registry: parameters, the estimands they answer, what was realised."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import asdict
from typing import Any

import numpy as np

from ketamine_outcomes.simulate.ketamine import cumulative_incidence
from ketamine_outcomes.simulate.parameters import ARMS, DAY, FACTORS, Parameters
from ketamine_outcomes.simulate.patient import arm_shares

WINDOWS = ((24, 48), (48, 72))


def expected_score(mean: float, sd: float) -> float:
    """Return the mean of a normal value rounded to whole points and clipped to 0-10."""
    # A whole number in 0..10 is the count of the thresholds 0.5, 1.5 ... 9.5 that it passes.
    return sum(0.5 * math.erfc((k - 0.5 - mean) / (sd * math.sqrt(2))) for k in range(1, 11))


def expected_change(parameters: Parameters) -> dict[str, Any]:
    """Expected change of the observed rest NRS from [-24,0), and who ends up in which arm.

    Integrates over centre, weight and baseline pain, because the arms differ in pain and the
    rounding and clipping of a score depend on where it lies.
    """
    m = parameters
    nodes, weights = np.polynomial.hermite_e.hermegauss(31)
    weights = weights / weights.sum()
    hours = [h + 0.5 for h in range(24)]
    shares = dict.fromkeys(ARMS, 0.0)
    pain = dict.fromkeys(ARMS, 0.0)
    score = {(arm, since): 0.0 for arm in ARMS for since in (-24, 24, 48)}
    for pain_z, pain_weight in zip(nodes, weights, strict=True):
        level = m.pain_mean + m.pain_between_sd * float(pain_z)
        seen = {
            (arm, since): sum(
                expected_score(
                    level
                    + m.pain_drift_per_day * (since + h) / 24
                    + (m.pain_effect[arm] if since > 0 else 0.0),
                    m.pain_within_sd,
                )
                for h in hours
            )
            / 24
            for arm, since in score
        }
        for centre, centre_share in enumerate(m.centre_shares):
            for weight_z, weight_weight in zip(nodes, weights, strict=True):
                chance = arm_shares(m, centre, float(weight_z), float(pain_z))
                for arm, share in zip(ARMS, chance, strict=True):
                    mass = float(pain_weight) * centre_share * float(weight_weight) * share
                    shares[arm] += mass
                    pain[arm] += mass * level
                    for since in (-24, 24, 48):
                        score[arm, since] += mass * seen[arm, since]
    return {
        "planned_arm_shares": shares,
        "baseline_latent_mean": {arm: pain[arm] / shares[arm] for arm in ARMS},
        "baseline_observed_mean": {arm: score[arm, -24] / shares[arm] for arm in ARMS},
        "change_observed": {
            f"[{a},{b})": {arm: (score[arm, a] - score[arm, -24]) / shares[arm] for arm in ARMS}
            for a, b in WINDOWS
        },
        "change_latent": {
            f"[{a},{b})": {
                arm: m.pain_effect[arm] + m.pain_drift_per_day * (a + 24) / 24 for arm in ARMS
            }
            for a, b in WINDOWS
        },
    }


def describe_truth(
    parameters: Parameters, *, patients: int, seed: int, counts: Counter[str]
) -> dict[str, Any]:
    """Return the content of truth.json."""
    m = parameters
    pain = expected_change(m)
    hazard = m.site_hazard
    competing = m.dislodged_or_occluded_per_site_day + m.disease_event_per_site_day
    years = counts["person_minutes"] / DAY / 365.25
    truth = {
        "simulated": True,
        "note": "No patient stands behind any row. Null: ketamine and route do nothing.",
        "patients": patients,
        "seed": seed,
        "null": m.null,
        "times": "shifted",
        "doses_hold": "all_drugs",
        "feed_priority": ["mar", "icu"],
        "arms": {
            "meaning": "route at index; a switch later does not change the arm",
            "mechanism": "multinomial logit on centre, weight and baseline pain (parameters)",
            "planned_shares": pain["planned_arm_shares"],
            "realised": {arm: counts[f"arm_{arm}"] for arm in ARMS},
            "planned_but_died_before_index": counts["died_before_index"],
        },
        "mme": {
            "estimand": "ratio over arms of expected MME per 24 h observed, [24,72) h over "
            "[-72,0) h from index, by route at index, treatment policy",
            "unit": "ratio",
            "ratio": m.mme_ratio,
            "ratio_in_[0,24)": {arm: (1 + r) / 2 for arm, r in m.mme_ratio.items()},
            "after": "half of the fall is lost after the later of 72 h and the planned stop",
            "exact": "in expectation: schedules have a uniform phase, pushes are Poisson, steps "
            "are rounded at random; independent of stay ends",
            "factors_mme_per_mg": {
                f"{drug} {route}"
                + (" per mcg" if (drug, route) == ("fentanyl", "iv") else "")
                + (" per day and mcg/h" if route == "transdermal" else ""): factor
                for (drug, route), factor in FACTORS.items()
            },
        },
        "pain": {
            "estimand": "mean over patients of (mean rest NRS in the window minus mean rest NRS "
            "in [-24,0) h); one mean per patient and window",
            "unit": "points of the NRS 0-10",
            "latent_effect": m.pain_effect,
            "natural_drift_per_day": m.pain_drift_per_day,
            "change_latent": pain["change_latent"],
            "change_observed": pain["change_observed"],
            "change_observed_both_windows": {
                arm: sum(w[arm] for w in pain["change_observed"].values()) / len(WINDOWS)
                for arm in ARMS
            },
            "difference_in_differences_iv_minus_sc_latent": m.pain_effect["iv"]
            - m.pain_effect["sc"],
            "baseline_latent_mean": pain["baseline_latent_mean"],
            "baseline_observed_mean": pain["baseline_observed_mean"],
            "missing": "the chance depends on the patient's expected pain at that hour, not on "
            "the momentary deviation: patient means are unbiased, pooled raw means are not",
            "untreated": "the change holds around any time zero: their need and pain have no "
            "event, only the drift (up to 14 days either side of the time drawn for them)",
        },
        "sites": {
            "estimand": "first >= C2 event (attribution infusion or unclear) per site-day from "
            "the first ketamine through the site to removal; route of the site",
            "unit": "events per site-day",
            "hazard": hazard,
            "hazard_ratio_sc_vs_iv": hazard["sc"] / hazard["iv"],
            "frailty": "gamma per patient, mean 1; the hazard ratio is conditional on it; events "
            "per site-day keep the ratio, the crude Cox ratio lies a little nearer to 1",
            "frailty_variance": m.frailty_variance,
            "c1_hazard": m.site_observe_hazard,
            "cumulative_hazard": {
                route: {f"{d} d": h * d for d in (1, 2, 3)} for route, h in hazard.items()
            },
            "cumulative_incidence_first_site": {
                "meaning": "mishaps and disease events compete; without deaths and switches",
                **{
                    route: {
                        f"{d} d": cumulative_incidence(h, m.frailty_variance, competing, d)
                        for d in (1, 2)
                    }
                    for route, h in hazard.items()
                },
            },
            "realised": {
                route: {
                    "episodes": counts[f"site_episodes_{route}"],
                    "events": counts[f"site_events_{route}"],
                    "c1_findings": counts[f"site_observed_{route}"],
                    "site_days": counts[f"site_minutes_{route}"] / DAY,
                }
                for route in ("iv", "sc")
            },
        },
        "deaths": {
            "estimand": "deaths per 100 patient-years from entry_time to death or last stay end",
            "unit": "per 100 patient-years",
            "rate": m.deaths_per_100_patient_years,
            "hazard_ratio_ketamine": 1.0,
            "left_truncation": "no death before entry_time; hours of a stay before it are "
            "charted and immortal",
            "realised": {"deaths": counts["deaths"], "patient_years": years},
        },
        "discharge": {
            "estimand": "hospital discharge alive per day from 48 h after index (cap 40 days)",
            "unit": "per day",
            "rate": m.discharge_per_day,
        },
        "adverse_events": {
            "estimand": "risk in [0,72) h from index by route at index, if observed throughout",
            "unit": "probability",
            "risk": m.adverse_risk,
            "realised": {
                event: {arm: counts[f"{event}_{arm}"] for arm in ARMS} for event in m.adverse_risk
            },
        },
        "realised_counts": {
            name: counts[name]
            for name in (
                "route_switches",
                "readmissions",
                "second_feed_rows",
                "out_of_stay_rows",
                "blank_unit_rows",
                "unknown_drug_rows",
                "naloxone_rows",
                "scores_missing",
            )
        },
        "parameters": asdict(m),
    }
    rounded: dict[str, Any] = _round(truth)
    return rounded


def _round(value: Any) -> Any:
    """Round every number, so that the last bits of a machine's arithmetic are not in the file."""
    if isinstance(value, float):
        return round(value, 6)
    if isinstance(value, dict):
        return {key: _round(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_round(item) for item in value]
    return value
