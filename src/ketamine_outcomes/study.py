"""The study file: one complete YAML document, checked as a whole before anything runs.

This module holds what a study may say, with its outcomes and analyses in `study_outcomes.py` and
`study_analyses.py`. `study_file.py` reads the YAML, names every fault with
its line, and resolves scenarios. All sections are frozen and refuse unknown keys, so a typing
error cannot pass silently.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from ketamine_outcomes.study_analyses import Analysis
from ketamine_outcomes.study_outcomes import Outcome
from ketamine_outcomes.study_section import Name, Positive, Route, Section, Window

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
