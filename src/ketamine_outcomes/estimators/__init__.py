"""Statistical estimators that know nothing of ketamine.

Every call takes a DataFrame and column names, returns a frozen result object and raises
`EstimationError` with one sentence when no right answer exists. statsmodels, lifelines and
formulaic (seconds each) are loaded by the calls that need them, not by this import. The modules
are imported here at once: a later `import ...estimators.cox` would otherwise put the module in
the place of the function of that name.
"""

from __future__ import annotations

from .balance import balance, effective_sample_size, standardised_mean_difference
from .causal import aipw, weighted_difference
from .competing import aalen_johansen
from .cox import cox
from .exact import exact_proportion, exact_rate, exact_rate_ratio, paired_exact
from .imputation import Imputations, impute_chained
from .linear_mixed import linear_mixed
from .marginal import gee
from .meta import meta_analysis
from .nonparametric import kaplan_meier, logrank
from .pooling import pool_imputations
from .results import EstimationError, InvalidInput, NotEstimable, Result
from .weighting import propensity_weights

__all__ = [
    "EstimationError",
    "Imputations",
    "InvalidInput",
    "NotEstimable",
    "Result",
    "aalen_johansen",
    "aipw",
    "balance",
    "cox",
    "effective_sample_size",
    "exact_proportion",
    "exact_rate",
    "exact_rate_ratio",
    "gee",
    "impute_chained",
    "kaplan_meier",
    "linear_mixed",
    "logrank",
    "meta_analysis",
    "paired_exact",
    "pool_imputations",
    "propensity_weights",
    "standardised_mean_difference",
    "weighted_difference",
]
