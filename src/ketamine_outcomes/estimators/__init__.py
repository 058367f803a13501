"""Statistical estimators that know nothing of ketamine.

Every call takes a DataFrame and column names, returns a frozen result object and raises
`EstimationError` with one sentence when no right answer exists. Libraries that take seconds to
load are loaded by the calls that need them, not by this import: formulaic by a formula,
statsmodels by `gee` (families and links) and `single_case` (least squares), lifelines by the
concordance of a Cox model. The modules are imported here at once: a later `import
...estimators.cox` would otherwise put the module in the place of the function of that name.

A module is named after its call or its subject, the parts of a larger one after it
(cox_likelihood, meta_heterogeneity). What several share: inputs (rows and columns), formulas,
design_matrix (collinear columns), results (results, refusals, checks of arguments), risk_sets and
influence (curves), logistic.
"""

from __future__ import annotations

from .balance import balance, effective_sample_size, standardised_mean_difference
from .bias import bounding_factor, e_value, regression_to_mean
from .bias_simulation import probabilistic_bias
from .bias_tipping import tipping_point
from .causal import aipw, weighted_difference
from .competing import aalen_johansen
from .cox import cox
from .cox_result import CoxResult
from .exact import exact_proportion, exact_rate, exact_rate_ratio
from .exact_paired import paired_exact
from .exact_two_by_two import two_by_two
from .gray import gray_test
from .imputation import Imputations, impute_chained
from .kaplan_meier import kaplan_meier, survival_quantiles
from .linear_mixed import linear_mixed
from .logrank import logrank
from .marginal import gee
from .meta import MetaResult, meta_analysis
from .mixed_result import LinearMixedResult
from .pooling import pool_imputations
from .quantile import quantile_regression
from .recurrent import mean_cumulative_function
from .restricted_mean import restricted_mean_time_lost, rmst
from .results import EstimationError, InvalidInput, NotEstimable, Result
from .single_case_table import single_case
from .subdistribution import fine_gray
from .subdistribution_result import FineGrayResult
from .weighting import propensity_weights

__all__ = [
    "CoxResult",
    "EstimationError",
    "FineGrayResult",
    "Imputations",
    "InvalidInput",
    "LinearMixedResult",
    "MetaResult",
    "NotEstimable",
    "Result",
    "aalen_johansen",
    "aipw",
    "balance",
    "bounding_factor",
    "cox",
    "e_value",
    "effective_sample_size",
    "exact_proportion",
    "exact_rate",
    "exact_rate_ratio",
    "fine_gray",
    "gee",
    "gray_test",
    "impute_chained",
    "kaplan_meier",
    "linear_mixed",
    "logrank",
    "mean_cumulative_function",
    "meta_analysis",
    "paired_exact",
    "pool_imputations",
    "probabilistic_bias",
    "propensity_weights",
    "quantile_regression",
    "regression_to_mean",
    "restricted_mean_time_lost",
    "rmst",
    "single_case",
    "standardised_mean_difference",
    "survival_quantiles",
    "tipping_point",
    "two_by_two",
    "weighted_difference",
]
