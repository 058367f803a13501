"""What a fitted Cox model hands to its result."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from .cox_likelihood import Moments
from .cox_risk_sets import RiskSets
from .formulas import Design
from .inputs import known_codes, numbers, require_columns, survival_times
from .results import Bools, Floats, Ints


@dataclass(frozen=True)
class Fitted:
    """The fit in working units: covariates less `centre`, divided by `scale`."""

    sets: RiskSets
    at: Moments
    beta: Floats
    centre: Floats
    scale: Floats
    covariance: Floats
    naive: Floats
    built: Design
    time: str
    event: str
    entry: str | None
    weights: str | None
    strata: str | None
    offset: str | None
    strata_levels: list[Any]
    offset_centre: float

    def follow_up(self) -> tuple[Floats, Floats, Bools, Floats]:
        """Entry, end, event and weight of the rows of the fit."""
        rows = self.built.data
        start, stop, cause = survival_times(rows, self.time, self.event, self.entry)
        weight = numbers(rows, self.weights) if self.weights else np.ones(len(rows))
        return start, stop, cause == 1, weight

    def stratum_of(self, data: pd.DataFrame) -> Ints:
        """Position of the stratum of each row among the levels of the fit."""
        return known_codes(data, self.strata, self.strata_levels)

    def working(self, new_data: pd.DataFrame) -> tuple[Floats, Floats]:
        """Covariates of new rows in working units, and their centred offset."""
        matrix = self.built.new(new_data)
        fixed = np.zeros(len(new_data))
        if self.offset:
            require_columns(new_data, [self.offset])
            fixed = numbers(new_data, self.offset) - self.offset_centre
        return (matrix - self.centre) / self.scale, fixed
