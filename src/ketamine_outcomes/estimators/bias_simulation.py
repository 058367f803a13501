"""Probabilistic bias analysis: several biases at once, each with its uncertainty."""

from __future__ import annotations

from collections.abc import Callable
from math import isfinite

import numpy as np
import pandas as pd
from scipy import special

from .bias import finite, positive
from .results import Floats, InvalidInput, NotEstimable, Result, check_level, check_whole

MOST_DRAWS = 10**8  # 800 megabytes each time they are drawn

Distribution = float | tuple[str | float, ...]

# number of parameters, what they must satisfy, and how to draw
_FAMILIES: dict[str, tuple[int, str, Callable[..., bool], Callable[..., Floats]]] = {
    "uniform": (2, "low <= high", lambda a, b: a <= b, lambda g, n, a, b: g.uniform(a, b, n)),
    "triangular": (
        3,
        "low <= mode <= high, low < high",
        lambda a, c, b: a <= c <= b and a < b,
        lambda g, n, a, c, b: g.triangular(a, c, b, n),
    ),
    "trapezoidal": (
        4,
        "low <= first mode <= second mode <= high, low < high",
        lambda a, c, d, b: a <= c <= d <= b and a < b,
        lambda g, n, a, c, d, b: _trapezoid(g.uniform(size=n), a, c, d, b),
    ),
    "beta": (2, "both above 0", lambda a, b: a > 0 and b > 0, lambda g, n, a, b: g.beta(a, b, n)),
    "lognormal": (
        2,
        "mean and standard deviation of the logarithm, the latter 0 or more",
        lambda _, s: s >= 0,
        lambda g, n, m, s: g.lognormal(m, s, n),
    ),
}


def _trapezoid(u: Floats, low: float, first: float, second: float, high: float) -> Floats:
    """Quantiles of the trapezoidal distribution."""
    height = 2 / (high + second - first - low)
    rise, fall = height * (first - low) / 2, 1 - height * (high - second) / 2
    return np.where(
        u < rise,
        low + np.sqrt(np.maximum(0, 2 * u * (first - low) / height)),
        np.where(
            u <= fall,
            first + (u - rise) / height,
            high - np.sqrt(np.maximum(0, 2 * (1 - u) * (high - second) / height)),
        ),
    )


def _draw(given: Distribution, name: str, n: int, generator: np.random.Generator) -> Floats:
    """`n` draws of a distribution, or a constant."""
    if isinstance(given, tuple | list):
        family = given[0] if given else None
        if not isinstance(family, str) or family not in _FAMILIES:
            raise InvalidInput(f"{name} must be a number or one of {', '.join(_FAMILIES)}")
        size, rule, valid, draw = _FAMILIES[family]
        try:
            parameters = [float(p) for p in given[1:]]
        except (TypeError, ValueError, OverflowError):
            raise InvalidInput(f"the parameters of {name} must be numbers") from None
        if len(parameters) != size or not all(map(isfinite, parameters)):
            raise InvalidInput(f"{family} of {name} takes {size} finite parameters")
        if not valid(*parameters):
            raise InvalidInput(f"{family} of {name} needs {rule}")
        return draw(generator, n, *parameters)
    return np.full(n, finite(given, name))


def probabilistic_bias(
    ratio: float,
    *,
    seed: int,
    std_error: float | None = None,
    sensitivity: Distribution = 1.0,
    specificity: Distribution = 1.0,
    sensitivity_2: Distribution | None = None,
    specificity_2: Distribution | None = None,
    risk_2: float | None = None,
    prevalence_2: Distribution = 0.0,
    prevalence_ratio: Distribution = 1.0,
    confounder_ratio: Distribution = 1.0,
    n_draws: int = 100_000,
    level: float = 0.95,
) -> Result:
    """Risk ratio corrected for outcome misclassification and an unmeasured confounder.

    Every bias parameter is drawn from its distribution, the ratio is corrected, and the median
    and the central interval of the corrected ratios are given, without and with random error.

    Parameters
    ----------
    ratio
        Observed risk ratio, group 1 against group 2.
    seed
        Seed of the random numbers; the same seed gives the same result.
    std_error
        Standard error of log(ratio); None leaves random error out.
    sensitivity, specificity
        Of the outcome's measurement: a number, or ("beta", a, b), ("uniform", low, high),
        ("triangular", low, mode, high), ("trapezoidal", low, mode, mode, high), ("lognormal",
        mean, sd of the logarithm). In both groups the same draw (nondifferential) ...
    sensitivity_2, specificity_2
        ... unless group 2 has its own.
    risk_2
        Observed risk in group 2, 0 to 1; needed with a misclassified outcome.
    prevalence_2
        Prevalence of the unmeasured confounder in group 2.
    prevalence_ratio
        Its prevalence in group 1 over that in group 2.
    confounder_ratio
        Risk ratio of confounder and outcome within groups.
    n_draws
        Number of simulated corrections.
    level
        Share of the draws inside the interval.

    Returns
    -------
    Result
        `.table` with quantity (observed; systematic_error; systematic_and_random_error if
        std_error is given), estimate (median), ci_low, ci_high. `.diagnostics`: n_draws,
        n_impossible (draws that imply a risk or prevalence outside 0 to 1; left out).

    Raises
    ------
    InvalidInput
        A parameter that is no number or distribution; risk_2 missing.
    NotEstimable
        More than half of the draws are impossible: the parameters contradict the data.

    Notes
    -----
    Misclassification is corrected first, then confounding (reverse order of their origin):
    risk = (observed risk - (1 - Sp)) / (Se + Sp - 1);
    RR = RR* (1 + p_2 (g - 1)) / (1 + p_1 (g - 1)). Random error multiplies by exp(std_error z).
    Lash, Fox & Fink (2009); Greenland (1996); Schlesselman (1978).

    Examples
    --------
    >>> result = probabilistic_bias(
    ...     1.8, seed=1, prevalence_2=0.3, prevalence_ratio=2.0, confounder_ratio=2.0
    ... )
    >>> round(float(result.table["estimate"].iloc[-1]), 4)
    1.4625
    """
    check_level(level)
    observed = positive(ratio, "ratio")
    n = check_whole(n_draws, "n_draws", 1)
    if n > MOST_DRAWS:
        raise InvalidInput(f"n_draws must be {MOST_DRAWS} or less")
    if std_error is not None:
        std_error = finite(std_error, "std_error")
        if not 0 <= std_error < 100:
            raise InvalidInput("std_error, of the logarithm, must be 0 or more and less than 100")
    generator = np.random.default_rng(check_whole(seed, "seed", 0))

    def draw(given: Distribution, name: str) -> Floats:
        return _draw(given, name, n, generator)

    se_1, sp_1 = draw(sensitivity, "sensitivity"), draw(specificity, "specificity")
    se_2 = se_1 if sensitivity_2 is None else draw(sensitivity_2, "sensitivity_2")
    sp_2 = sp_1 if specificity_2 is None else draw(specificity_2, "specificity_2")
    p_2 = draw(prevalence_2, "prevalence_2")
    p_1 = p_2 * draw(prevalence_ratio, "prevalence_ratio")
    g = draw(confounder_ratio, "confounder_ratio")
    error = generator.standard_normal(n)

    possible = (p_1 >= 0) & (p_1 <= 1) & (p_2 >= 0) & (p_2 <= 1) & (g > 0)
    corrected = np.full(n, observed)
    if any((share != 1).any() for share in (se_1, sp_1, se_2, sp_2)):
        if risk_2 is None:
            raise InvalidInput("give risk_2, the observed risk in group 2, to correct the outcome")
        base = positive(risk_2, "risk_2")
        if max(base, base * observed) > 1:
            raise InvalidInput("risk_2 and ratio x risk_2 must lie between 0 and 1")
        with np.errstate(divide="ignore", invalid="ignore"):
            true_1 = (base * observed - (1 - sp_1)) / (se_1 + sp_1 - 1)
            true_2 = (base - (1 - sp_2)) / (se_2 + sp_2 - 1)
            corrected = true_1 / true_2
        for share in (se_1, sp_1, se_2, sp_2):
            possible &= (share >= 0) & (share <= 1)
        possible &= (se_1 + sp_1 > 1) & (se_2 + sp_2 > 1)
        possible &= (true_1 > 0) & (true_1 <= 1) & (true_2 > 0) & (true_2 <= 1)
    if possible.mean() < 0.5:
        raise NotEstimable(
            "more than half of the draws imply a risk or prevalence outside 0 to 1: the bias "
            "parameters contradict the observed ratio"
        )
    corrected = corrected[possible]
    corrected *= ((1 + p_2 * (g - 1)) / (1 + p_1 * (g - 1)))[possible]
    rows = [("observed", observed, *_wald(observed, std_error, level))]
    rows.append(("systematic_error", *_summary(corrected, level)))
    if std_error is not None:
        both = corrected * np.exp(std_error * error[possible])
        rows.append(("systematic_and_random_error", *_summary(both, level)))
    return Result(
        table=pd.DataFrame(rows, columns=["quantity", "estimate", "ci_low", "ci_high"]),
        diagnostics={
            "level": level,
            "seed": seed,
            "n_draws": n,
            "n_impossible": int((~possible).sum()),
        },
    )


def _wald(ratio: float, std_error: float | None, level: float) -> tuple[float, float]:
    half = np.exp(special.ndtri((1 + level) / 2) * (np.nan if std_error is None else std_error))
    return float(ratio / half), float(ratio * half)


def _summary(values: Floats, level: float) -> tuple[float, float, float]:
    tail = (1 - level) / 2
    low, middle, high = np.quantile(values, [tail, 0.5, 1 - tail])
    return float(middle), float(low), float(high)
