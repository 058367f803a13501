"""Statistical estimators that know nothing of ketamine.

Every call takes a DataFrame and column names, returns a frozen result object and raises
`EstimationError` with one sentence when no right answer exists. statsmodels, lifelines and
formulaic (seconds each) are loaded by the calls that need them, not by this import. The modules
are imported here at once: a later `import ...estimators.cox` would otherwise put the module in
the place of the function of that name.
"""

from __future__ import annotations

from .competing import aalen_johansen
from .cox import cox
from .cox_result import CoxResult
from .exact import exact_proportion, exact_rate, exact_rate_ratio, paired_exact
from .gray import gray_test
from .linear_mixed import linear_mixed
from .logrank import logrank
from .marginal import gee
from .nonparametric import kaplan_meier, survival_quantiles
from .recurrent import mean_cumulative_function
from .restricted_mean import restricted_mean_time_lost, rmst
from .results import EstimationError, InvalidInput, NotEstimable, Result
from .subdistribution import fine_gray
from .weighting import (
    effective_sample_size,
    propensity_weights,
    standardised_mean_difference,
)

__all__ = [
    "CoxResult",
    "EstimationError",
    "InvalidInput",
    "NotEstimable",
    "Result",
    "aalen_johansen",
    "cox",
    "effective_sample_size",
    "exact_proportion",
    "exact_rate",
    "exact_rate_ratio",
    "fine_gray",
    "gee",
    "gray_test",
    "kaplan_meier",
    "linear_mixed",
    "logrank",
    "mean_cumulative_function",
    "paired_exact",
    "propensity_weights",
    "restricted_mean_time_lost",
    "rmst",
    "standardised_mean_difference",
    "survival_quantiles",
]
