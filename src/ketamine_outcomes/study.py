"""The study file: one complete YAML document, checked as a whole before anything runs.

This module holds what a study may say. `study_file.py` reads the YAML, names every fault with
its line, and resolves scenarios. All sections are frozen and refuse unknown keys, so a typing
error cannot pass silently.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

NAME_PATTERN = re.compile(r"[a-z][a-z0-9]*(?:[-_][a-z0-9]+)*")


def _check_name(value: str) -> str:
    if not NAME_PATTERN.fullmatch(value) or len(value) > 60:
        raise ValueError(
            "a name is lower-case letters and digits, joined by - or _, 60 characters at most"
        )
    return value


Name = Annotated[str, AfterValidator(_check_name)]
Route = Literal[
    "oral",
    "rectal",
    "buccal",
    "sublingual",
    "nasal",
    "transdermal",
    "iv",
    "im",
    "sc",
    "epidural",
    "intrathecal",
    "other",
]
Domain = Literal["doses", "pain_scores", "infusion_sites"]
Scale = Literal["nrs", "vas", "vrs", "cpot", "bps", "painad", "flacc"]
Positive = Annotated[float, Field(gt=0)]


def _check_window(value: tuple[float, float]) -> tuple[float, float]:
    if not value[0] < value[1]:
        raise ValueError("a window is [from, to) in hours from index, from before to")
    return value


Window = Annotated[tuple[float, float], AfterValidator(_check_window)]


class Section(BaseModel):
    """A part of the study: frozen, and unknown keys are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


# --- cohorts: what belongs to a data holder ---------------------------------------------------


class Waiver(Section):
    """One column that the identifier guard would refuse and the data holder lets pass."""

    table: str = Field(description="Table of the extract.")
    column: str = Field(description="Column of that table.")
    reason: str = Field(min_length=8, description="Why it is safe; printed on every page.")


class SourceCohort(Section):
    """A registry extract on disk."""

    source: Literal["tabular", "mimic_iv", "mimic_iii"] = Field(
        description="Kind of source: canonical CSV or Parquet tables, or a MIMIC release."
    )
    path: str = Field(description="Folder of the source, from the folder where it is run.")
    times: Literal["shifted", "relative_hours", "relative_days", "actual"] = Field(
        description="What the times are. `actual` (a limited data set) is logged."
    )
    patients: tuple[str, ...] | None = Field(
        default=None, min_length=1, description="Only these patient ids; all when absent."
    )
    doses_hold: Literal["opioids", "all_drugs"] = Field(
        default="all_drugs",
        description="Whether an unknown drug name is a fault (opioids) or not an opioid.",
    )
    feed_priority: tuple[str, ...] = Field(
        default=(), description="Feeds of `doses.source`, the most trusted first."
    )
    assume_route: dict[Literal["parenteral"], Route] = Field(
        default_factory=dict,
        description="Route taken for parenteral products without a recorded route (flagged).",
    )
    assume_observed: Literal["first_to_last_record"] | None = Field(
        default=None, description="Hours taken as observed without a stays table (flagged)."
    )
    stays_complete: bool = Field(
        default=True, description="Whether a dose outside every stay is set aside."
    )
    max_bad_rows: float = Field(
        default=0.05, ge=0, le=1, description="Share of unusable rows of a table that is an error."
    )
    waivers: tuple[Waiver, ...] = Field(default=(), description="Columns let pass by name.")


class SimulatedCohort(Section):
    """Made-up patients with known effects; said so on every page."""

    source: Literal["simulated"] = Field(description="Simulated patients.")
    patients: int = Field(default=300, ge=1, description="Number of patients.")
    seed: int = Field(default=1, ge=0, description="Seed: same seed, same patients.")
    null: bool = Field(default=False, description="True makes every ketamine effect nil.")
    feed_priority: tuple[str, ...] = Field(
        default=("mar", "icu"), description="Feeds of `doses.source`, the most trusted first."
    )
    assume_route: dict[Literal["parenteral"], Route] = Field(
        default_factory=dict,
        description="Route taken for parenteral products without a recorded route (flagged).",
    )
    max_bad_rows: float = Field(
        default=0.05, ge=0, le=1, description="Share of unusable rows of a table that is an error."
    )


Cohort = Annotated[SourceCohort | SimulatedCohort, Field(discriminator="source")]


# --- definitions ------------------------------------------------------------------------------


class Comparator(Section):
    """Untreated patients and their time zero."""

    at: Literal["stay_start", "first_opioid"] = Field(description="Time zero of the untreated.")


class Index(Section):
    """Time zero."""

    unit: Literal["patient", "site_episode"] = Field(
        default="patient", description="A patient's first course, or each site's insertion."
    )
    drug: Name | None = Field(default=None, description="Index drug (unit patient).")
    routes: tuple[Route, ...] = Field(
        default=("iv", "sc"), min_length=1, description="Routes that count."
    )
    sources: tuple[str, ...] | None = Field(
        default=None, description="Feeds in which the index dose must stand; all when absent."
    )
    gap_hours: Positive = Field(
        default=24, description="Doses closer than this belong to one course."
    )
    washout_days: float = Field(
        default=30, ge=0, description="Days without the drug before the index course."
    )
    comparator: Comparator | None = Field(default=None, description="Untreated comparators.")

    @model_validator(mode="after")
    def _drug_fits_unit(self) -> Index:
        if self.unit == "patient" and self.drug is None:
            raise ValueError("unit patient needs `drug`, the drug whose first course is time zero")
        if self.unit == "site_episode" and self.drug is not None:
            raise ValueError("unit site_episode has no drug: time zero is the insertion")
        return self


class Exposure(Section):
    """How doses become morphine milligram equivalents."""

    factors: str = Field(
        default="cdc2022+inpatient",
        description="Factor sets joined by +, an earlier one wins; end with +low or +high.",
    )


class PrimaryMME(Section):
    """The two windows of the primary MME contrast, in hours from index."""

    before: Window = Field(default=(-72, 0), description="Before index.")
    after: Window = Field(default=(24, 72), description="After index.")


class Windows(Section):
    """Half-open windows [from, to) in hours from index."""

    baseline: Window = Field(default=(-24, 0), description="Before index.")
    follow_up: tuple[Window, ...] = Field(
        default=((0, 24), (24, 48), (48, 72)), min_length=1, description="After index, in order."
    )
    primary_mme: PrimaryMME = Field(default=PrimaryMME(), description="Primary MME contrast.")
    min_scores: int = Field(
        default=3, ge=1, description="Pain scores that a window needs for a mean."
    )

    @model_validator(mode="after")
    def _sides(self) -> Windows:
        if self.baseline[1] > 0 or self.primary_mme.before[1] > 0:
            raise ValueError("windows before index end at 0 at the latest")
        if any(window[0] < 0 for window in (*self.follow_up, self.primary_mme.after)):
            raise ValueError("windows after index start at 0 at the earliest")
        return self


class Eligibility(Section):
    """One inclusion rule on what is known at index."""

    reads: str = Field(
        alias="from",
        description="patients.COLUMN, measurements.NAME (last before index), index.NAME (what is "
        "known of the unit at index), infusion_sites.COLUMN, or hours_observed.DOMAIN / "
        "scores.SCALE in the baseline window.",
    )
    at_least: float | None = Field(default=None, description="Smallest value that passes.")
    at_most: float | None = Field(default=None, description="Largest value that passes.")
    any_of: tuple[str, ...] | None = Field(default=None, description="Words that pass.")
    equals: bool | None = Field(default=None, description="Truth value that passes.")

    @model_validator(mode="after")
    def _one_rule(self) -> Eligibility:
        if all(v is None for v in (self.at_least, self.at_most, self.any_of, self.equals)):
            raise ValueError("say at_least, at_most, any_of or equals")
        return self


class Covariate(Section):
    """A value known at index."""

    reads: str = Field(
        alias="from",
        description="patients.COLUMN, measurements.NAME (last before index), index.NAME (what is "
        "known of the unit at index), infusion_sites.COLUMN, or hours_observed.DOMAIN / "
        "scores.SCALE in the baseline window.",
    )
    groups: dict[str, tuple[str, ...]] | None = Field(
        default=None, description="Pools words: {group: [words]}."
    )
    role: Literal["confounder", "mediator", "collider", "group", "description"] = Field(
        default="description",
        description="What it is to the question; only confounders enter adjusted models.",
    )


class MMEOutcome(Section):
    """Opioid exposure in every window."""

    kind: Literal["mme"] = Field(description="Morphine milligram equivalents.")


class PainOutcome(Section):
    """Pain in every window."""

    kind: Literal["pain"] = Field(description="Pain on one scale; scales are never stacked.")
    scale: Scale = Field(default="nrs", description="Scale of the scores.")
    summary: Literal["time_weighted_mean", "mean"] = Field(
        default="time_weighted_mean",
        description="Window value: a score holds to the next, the window end or 6 h; or the mean.",
    )


class ResponderOutcome(Section):
    """Share of patients whose window pain fell far enough."""

    kind: Literal["responder"] = Field(description="Response of the window mean to baseline.")
    scale: Scale = Field(default="nrs", description="Scale of the scores.")
    fall_at_least: float | None = Field(
        default=None, gt=0, lt=1, description="Share of the baseline mean, e.g. 0.3."
    )
    points_at_least: Positive | None = Field(default=None, description="Points of the scale.")
    baseline_at_least: float = Field(default=4, description="Baseline mean of the eligible.")

    @model_validator(mode="after")
    def _one_rule(self) -> ResponderOutcome:
        if (self.fall_at_least is None) == (self.points_at_least is None):
            raise ValueError("say fall_at_least or points_at_least, one of them")
        return self


class ReliefOutcome(Section):
    """Time to sustained relief: the end of the second of two 24-h windows with relief."""

    kind: Literal["sustained_relief"] = Field(description="Time to sustained relief.")
    scale: Scale = Field(default="nrs", description="Scale of the scores.")
    at_most_ratio: Annotated[float, Field(gt=0, lt=1)] = Field(
        default=0.7, description="Window mean over baseline mean that counts as relief."
    )
    baseline_at_least: float = Field(default=4, description="Baseline mean of the eligible.")
    competing: tuple[Literal["death", "end_of_observation"], ...] = Field(
        default=("death", "end_of_observation"),
        description="Events after which relief cannot be seen: competing, never censoring.",
    )


class SiteEvent(Section):
    """What counts as a site complication."""

    signs: tuple[str, ...] | None = Field(default=None, description="Signs that count.")
    grade_at_least: float | None = Field(default=None, description="Smallest grade that counts.")
    scales: tuple[str, ...] = Field(
        default=("consequence",), description="Scales on which the grade is read."
    )
    attribution: tuple[Literal["infusion", "disease", "unclear"], ...] = Field(
        default=("infusion", "unclear"),
        description="What a finding is put down to; a blank one is unclear.",
    )

    @model_validator(mode="after")
    def _one_rule(self) -> SiteEvent:
        if self.signs is None and self.grade_at_least is None:
            raise ValueError("say signs, grade_at_least or both (either then counts)")
        return self


class SiteOutcome(Section):
    """First complication of a site episode, from insertion."""

    kind: Literal["site_complication"] = Field(description="First complication per site episode.")
    event: SiteEvent = Field(
        default=SiteEvent(grade_at_least=2), description="What counts; default grade >= C2."
    )
    competing: tuple[Literal["removal", "death", "end_of_observation"], ...] = Field(
        default=("removal", "death", "end_of_observation"),
        description="Other ends of the episode: competing, never censoring.",
    )
    incident_only: bool = Field(
        default=True, description="Leave out episodes already adverse when first seen."
    )


class DeathOutcome(Section):
    """Time to death from index."""

    kind: Literal["death"] = Field(description="Death from any cause.")


class AdverseEventOutcome(Section):
    """Patients with an adverse event among those assessed."""

    kind: Literal["adverse_event"] = Field(description="Adverse events after index.")
    events: tuple[str, ...] = Field(min_length=1, description="Words of the events table.")
    within_hours: Positive = Field(default=72, description="Hours after index.")


Outcome = Annotated[
    MMEOutcome
    | PainOutcome
    | ResponderOutcome
    | ReliefOutcome
    | SiteOutcome
    | DeathOutcome
    | AdverseEventOutcome,
    Field(discriminator="kind"),
]


class Description(Section):
    """Values per window as counts, means and quantiles: no test, no cause."""

    kind: Literal["description"] = Field(description="Window values described.")
    outcomes: tuple[Name, ...] = Field(min_length=1, description="Outcomes to describe.")
    by: Name | None = Field(default=None, description="Covariate that makes the arms.")


class BeforeAfter(Section):
    """Change from before to after index, on the rung that the number of patients can bear."""

    kind: Literal["before_after"] = Field(description="Change after index.")
    outcome: Name = Field(description="An mme or pain outcome.")
    by: Name | None = Field(default=None, description="Covariate that makes the arms.")


class Trajectory(Section):
    """Score-level mixed model of pain, random intercept and random POST per patient."""

    kind: Literal["trajectory"] = Field(description="Mixed model of pain scores.")
    outcome: Name = Field(description="A pain outcome.")
    by: Name | None = Field(default=None, description="Covariate that makes the arms.")
    adjust: tuple[Name, ...] = Field(default=(), description="Confounders in the model.")


class Incidence(Section):
    """Cumulative incidence with its competing events (Aalen-Johansen)."""

    kind: Literal["cumulative_incidence"] = Field(description="Cumulative incidence.")
    outcome: Name = Field(description="A time-to-event outcome.")
    by: Name | None = Field(default=None, description="Covariate that makes the arms.")
    at_hours: tuple[Positive, ...] = Field(
        default=(24, 48, 72, 96), min_length=1, description="Times to report, in hours."
    )


class Hazard(Section):
    """Cause-specific Cox model, patients as clusters."""

    kind: Literal["hazard"] = Field(description="Cause-specific hazard ratio.")
    outcome: Name = Field(description="A time-to-event outcome.")
    by: Name = Field(description="Covariate of interest.")
    adjust: tuple[Name, ...] = Field(default=(), description="Confounders in the model.")
    firth: bool | None = Field(
        default=None, description="Firth's penalty; when absent, below 10 events per term."
    )


class Survival(Section):
    """Kaplan-Meier survival; death only."""

    kind: Literal["survival"] = Field(description="Survival after index.")
    outcome: Name = Field(description="A death outcome.")
    by: Name | None = Field(default=None, description="Covariate that makes the arms.")
    at_hours: tuple[Positive, ...] = Field(
        default=(168, 720, 2160), min_length=1, description="Times to report, in hours."
    )


Analysis = Annotated[
    Description | BeforeAfter | Trajectory | Incidence | Hazard | Survival,
    Field(discriminator="kind"),
]


class Scenario(Section):
    """The study with some keys changed, under a name."""

    name: Name = Field(description="Name in the `scenario` column.")
    set: dict[str, Any] = Field(
        min_length=1, description="Dotted key of the study to value, e.g. exposure.factors."
    )


class Disclosure(Section):
    """What may leave the data holder."""

    policy: Literal["cms", "nhs", "custom", "none"] = Field(
        description="Small-number policy: cms hides 1-10, nhs hides 1-7 and rounds to 5, "
        "none only for open or simulated data."
    )
    threshold: int | None = Field(
        default=None, ge=1, description="Largest hidden count (policy custom)."
    )
    patient_level: Literal["none", "consented", "open"] = Field(
        default="none", description="Whether figures may show single patients."
    )

    @model_validator(mode="after")
    def _threshold(self) -> Disclosure:
        if (self.policy == "custom") != (self.threshold is not None):
            raise ValueError("`threshold` goes with policy custom, and only with it")
        return self


class Study(Section):
    """A study: question, cohorts, definitions, analyses, scenarios."""

    name: Name = Field(description="Name of the study and of its folder in results/.")
    title: str = Field(min_length=8, description="Title of the report.")
    question: str = Field(default="", description="The question in one or two sentences.")
    notes: tuple[str, ...] = Field(
        default=(), description="Choices and limits that every reader must see; printed first."
    )
    cohorts: dict[Name, Cohort] = Field(min_length=1, description="Registry extracts.")
    index: Index = Field(description="Time zero.")
    exposure: Exposure = Field(default=Exposure(), description="Doses to MME.")
    windows: Windows = Field(default=Windows(), description="Windows around time zero.")
    eligibility: dict[Name, Eligibility] = Field(default={}, description="Inclusion rules.")
    covariates: dict[Name, Covariate] = Field(default={}, description="Values known at index.")
    outcomes: dict[Name, Outcome] = Field(min_length=1, description="What is measured.")
    analyses: dict[Name, Analysis] = Field(min_length=1, description="What is estimated.")
    primary: dict[Literal["pain", "mme", "safety"], Name] = Field(
        default={}, description="The primary analysis of each domain."
    )
    scenarios: tuple[Scenario, ...] = Field(default=(), description="Named variations.")
    disclosure: Disclosure = Field(description="What may leave.")

    @property
    def simulated(self) -> bool:
        """Whether any cohort is made up."""
        return any(cohort.source == "simulated" for cohort in self.cohorts.values())
