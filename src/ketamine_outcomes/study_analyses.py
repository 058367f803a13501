"""What a study may estimate: the sections under `analyses`."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from ketamine_outcomes.study_section import Name, Positive, Section


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
