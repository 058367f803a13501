"""Statistical estimators that know nothing of ketamine.

Every call takes a DataFrame and column names, returns a frozen result object and raises
`EstimationError` with one sentence when no right answer exists. statsmodels, lifelines and
formulaic (seconds each) are loaded by the calls that need them, not by this import. The modules
are imported here at once: a later `import ...estimators.cox` would otherwise put the module in
the place of the function of that name.
"""

from __future__ import annotations

from .bias import bounding_factor, e_value, regression_to_mean
from .bias_simulation import probabilistic_bias
from .bias_tipping import tipping_point
from .competing import aalen_johansen
from .cox import cox
from .exact import exact_proportion, exact_rate, exact_rate_ratio
from .exact_paired import paired_exact
from .exact_two_by_two import two_by_two
from .linear_mixed import linear_mixed
from .marginal import gee
from .nonparametric import kaplan_meier, logrank
from .results import EstimationError, InvalidInput, NotEstimable, Result
from .single_case_table import single_case
from .weighting import (
    effective_sample_size,
    propensity_weights,
    standardised_mean_difference,
)

__all__ = [
    "EstimationError",
    "InvalidInput",
    "NotEstimable",
    "Result",
    "aalen_johansen",
    "bounding_factor",
    "cox",
    "e_value",
    "effective_sample_size",
    "exact_proportion",
    "exact_rate",
    "exact_rate_ratio",
    "gee",
    "kaplan_meier",
    "linear_mixed",
    "logrank",
    "paired_exact",
    "probabilistic_bias",
    "propensity_weights",
    "regression_to_mean",
    "single_case",
    "standardised_mean_difference",
    "tipping_point",
    "two_by_two",
]
