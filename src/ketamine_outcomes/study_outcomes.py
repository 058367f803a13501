"""What a study may measure: the sections under `outcomes`."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from ketamine_outcomes.study_section import Positive, Scale, Section


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
