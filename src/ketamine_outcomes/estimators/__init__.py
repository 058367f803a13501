"""Statistical estimators that know nothing of ketamine.

Every call takes a DataFrame and column names, returns a frozen result object and raises
`EstimationError` with one sentence when no right answer exists. Importing this package loads
nothing heavy: each name is fetched from its module when first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .competing import aalen_johansen
    from .cox import cox
    from .exact import exact_proportion, exact_rate, exact_rate_ratio, paired_exact
    from .linear_mixed import linear_mixed
    from .marginal import gee
    from .nonparametric import kaplan_meier, logrank
    from .results import EstimationError, InvalidInput, NotEstimable, Result
    from .weighting import (
        effective_sample_size,
        propensity_weights,
        standardised_mean_difference,
    )

_HOME = {
    "EstimationError": "results",
    "InvalidInput": "results",
    "NotEstimable": "results",
    "Result": "results",
    "aalen_johansen": "competing",
    "cox": "cox",
    "effective_sample_size": "weighting",
    "exact_proportion": "exact",
    "exact_rate": "exact",
    "exact_rate_ratio": "exact",
    "gee": "marginal",
    "kaplan_meier": "nonparametric",
    "linear_mixed": "linear_mixed",
    "logrank": "nonparametric",
    "paired_exact": "exact",
    "propensity_weights": "weighting",
    "standardised_mean_difference": "weighting",
}

__all__ = [
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
    "gee",
    "kaplan_meier",
    "linear_mixed",
    "logrank",
    "paired_exact",
    "propensity_weights",
    "standardised_mean_difference",
]


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    # `from .cox import cox` would be shadowed by the module of the same name, so the function
    # replaces the module attribute after the import.
    value = getattr(importlib.import_module(f".{_HOME[name]}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
