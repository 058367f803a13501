"""Words and values that every section of a study file is made of."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

NAME_PATTERN = re.compile(r"[a-z][a-z0-9]*(?:[-_][a-z0-9]+)*")


def check_name(value: str) -> str:
    """Return a name as it is, or raise ValueError."""
    if not NAME_PATTERN.fullmatch(value) or len(value) > 60:
        raise ValueError(
            "a name is lower-case letters and digits, joined by - or _, 60 characters at most"
        )
    return value


Name = Annotated[str, AfterValidator(check_name)]
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
