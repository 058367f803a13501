"""What is true in the simulated registry: every parameter, with its unit."""

from __future__ import annotations

from dataclasses import dataclass, field

DAY = 1440  # minutes; all times inside the simulator are whole minutes from admission
HOUR = 60

ARMS = ("iv", "sc", "untreated")

# MME per mg (per mcg for IV fentanyl; per day and mcg/h for the patch).
FACTORS = {
    ("oxycodone", "oral"): 1.5,
    ("hydromorphone", "oral"): 5.0,
    ("morphine", "oral"): 1.0,
    ("methadone", "oral"): 4.7,
    ("morphine", "iv"): 3.0,
    ("hydromorphone", "iv"): 20.0,
    ("fentanyl", "iv"): 0.3,
    ("fentanyl", "transdermal"): 2.4,
}


@dataclass(frozen=True)
class Parameters:
    """The model behind one registry; `null` sets every effect of ketamine and of route to none.

    All rates are per day unless the name says otherwise; `arm` is the route at index.
    """

    null: bool = False
    # Who gets what: a multinomial logit against `untreated` (confounding by indication).
    arm_intercept: dict[str, float] = field(
        default_factory=lambda: {"iv": 0.387, "sc": 0.247, "untreated": 0.0}
    )
    arm_per_sd_weight: dict[str, float] = field(
        default_factory=lambda: {"iv": 0.20, "sc": -0.25, "untreated": 0.0}
    )
    arm_per_point_pain: dict[str, float] = field(
        default_factory=lambda: {"iv": 0.50, "sc": 0.20, "untreated": 0.0}
    )
    arm_by_centre: dict[str, tuple[float, ...]] = field(
        default_factory=lambda: {
            "iv": (0.6, 0.3, 0.0, -0.3, -0.6),
            "sc": (-0.6, -0.3, 0.0, 0.3, 0.6),
            "untreated": (0.0, 0.0, 0.0, 0.0, 0.0),
        }
    )
    centre_shares: tuple[float, ...] = (0.30, 0.25, 0.20, 0.15, 0.10)
    weight_mean_kg: float = 84.0
    weight_sd_kg: float = 16.0
    # Pain on the latent NRS scale.
    pain_mean: float = 6.5
    pain_between_sd: float = 1.0
    pain_within_sd: float = 1.2
    pain_correlation_4h: float = 0.4
    pain_drift_per_day: float = -0.05
    pain_drift_until_days: float = 14.0
    pain_onset_hours: float = 6.0
    pain_movement_points: float = 1.0
    effect_kept_after_wear_off: float = 0.5
    # Opioid need.
    mme_median_per_day: float = 120.0
    mme_sd_log: float = 0.5
    mme_log_per_point_pain: float = 0.15
    # Vital status, discharge, switches.
    deaths_per_100_patient_years: float = 72.0
    discharge_per_day: float = 0.15
    lost_per_day: float = 0.001
    follow_up_days: int = 90
    late_entry_share: float = 0.20
    switch_share: float = 0.08
    readmitted_share: float = 0.12
    # Infusion sites, per day from the first ketamine through a site to its removal.
    frailty_variance: float = 0.1
    disease_event_per_site_day: float = 0.005
    dislodged_or_occluded_per_site_day: float = 0.08

    @property
    def mme_ratio(self) -> dict[str, float]:
        """Ratio of expected MME per day, [24,72) h over [-72,0) h from index."""
        return dict.fromkeys(ARMS, 1.0) if self.null else {"iv": 0.65, "sc": 0.75, "untreated": 1.0}

    @property
    def pain_effect(self) -> dict[str, float]:
        """Points on the latent scale, in full from 6 h to the later of 72 h and the stop."""
        return dict.fromkeys(ARMS, 0.0) if self.null else {"iv": -2.0, "sc": -1.5, "untreated": 0.0}

    @property
    def site_hazard(self) -> dict[str, float]:
        """First >= C2 event put down to infusion or unclear, per site-day."""
        return {"iv": 0.05, "sc": 0.05 if self.null else 0.15}

    @property
    def site_observe_hazard(self) -> dict[str, float]:
        """C1 findings (observe only), per site-day; they do not end the site episode."""
        return {"iv": 0.10, "sc": 0.10 if self.null else 0.20}

    @property
    def adverse_risk(self) -> dict[str, dict[str, float]]:
        """Risk in [0,72) h from index of those observed for all of it, event by arm."""
        untreated = {
            "hallucination": 0.02,
            "dissociation": 0.01,
            "nausea": 0.12,
            "hypertension": 0.05,
            "sedation": 0.05,
        }
        iv = {
            "hallucination": 0.12,
            "dissociation": 0.10,
            "nausea": 0.20,
            "hypertension": 0.15,
            "sedation": 0.10,
        }
        sc = {
            "hallucination": 0.09,
            "dissociation": 0.07,
            "nausea": 0.18,
            "hypertension": 0.10,
            "sedation": 0.08,
        }
        if self.null:
            iv = sc = untreated
        return {e: {"iv": iv[e], "sc": sc[e], "untreated": untreated[e]} for e in untreated}

    @property
    def mme_residual_sd_log(self) -> float:
        """SD of log MME that baseline pain does not explain."""
        explained = self.mme_log_per_point_pain * self.pain_between_sd
        return float((self.mme_sd_log**2 - explained**2) ** 0.5)
