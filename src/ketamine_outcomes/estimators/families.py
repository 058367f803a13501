"""Distributions and links of generalised linear models, by statsmodels.

McCullagh & Nelder (1989). What is kept here beside them: which words go together, and which
responses and means a distribution allows.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import numpy as np

from .results import Floats, InvalidInput, check_choice

# word: class of statsmodels, and whether an empty cell sends eta to infinity, so that its steps
# are judged in eta itself
LINKS = {
    "identity": ("Identity", False),
    "log": ("Log", True),
    "logit": ("Logit", True),
    "probit": ("Probit", True),
    "cloglog": ("CLogLog", True),
    "cauchit": ("Cauchy", True),
    "inverse": ("InversePower", False),
    "sqrt": ("Sqrt", False),
}


SIGMOID = ("logit", "probit", "cloglog", "cauchit")
NEAR = float(np.finfo(float).eps)  # closest that a fitted probability comes to 0 and 1, as in glm


@dataclass(frozen=True)
class Link:
    """A link of statsmodels; a sigmoid one gives probabilities, kept off 0 and 1."""

    of: Any
    infinite: bool
    sigmoid: bool = False

    def eta(self, mean: Floats) -> Floats:
        """The linear predictor of a mean."""
        return np.asarray(self.of(mean), float)

    def mean(self, eta: Floats) -> Floats:
        """The mean of a linear predictor."""
        mean = np.asarray(self.of.inverse(eta), float)
        return np.clip(mean, NEAR, 1 - NEAR) if self.sigmoid else mean

    def slope(self, eta: Floats) -> Floats:
        """d mean / d eta."""
        slope = np.asarray(self.of.inverse_deriv(eta), float)
        return np.maximum(slope, NEAR) if self.sigmoid else slope


@dataclass(frozen=True)
class Family:
    """A distribution of statsmodels.

    `low` and `high` bound the mean; `zero` says that the response may be 0, `dispersion_one` that
    the variance has no free scale.
    """

    name: str
    kind: str  # class of statsmodels
    links: tuple[str, ...]  # the first is the default
    low: float
    high: float
    zero: bool = True
    dispersion_one: bool = False
    power: float | None = None  # of the variance, for Tweedie

    @property
    def of(self) -> Any:
        """The distribution; its link is never used."""
        from statsmodels.genmod import families  # lazy: 2.5 s

        options = {} if self.power is None else {"var_power": self.power}
        return getattr(families, self.kind)(**options)

    def variance(self, mean: Floats) -> Floats:
        """Variance function of the mean."""
        return np.asarray(self.of.variance(mean), float)

    def deviance(self, y: Floats, mean: Floats, weights: Floats) -> float:
        """Weighted sum of the unit deviances."""
        return float(self.of.deviance(y, mean, var_weights=weights))

    def valid(self, mean: Floats) -> bool:
        """Whether every mean lies inside the bounds."""
        return bool(
            np.isfinite(mean).all() and (mean > self.low).all() and (mean < self.high).all()
        )


POSITIVE = ("log", "identity", "inverse", "sqrt")
BINARY = ("logit", "probit", "cloglog", "cauchit", "log", "identity")
FAMILIES = {
    "gaussian": Family("gaussian", "Gaussian", ("identity", "log", "inverse"), -np.inf, np.inf),
    "binomial": Family("binomial", "Binomial", BINARY, 0.0, 1.0, dispersion_one=True),
    "poisson": Family("poisson", "Poisson", POSITIVE, 0.0, np.inf, dispersion_one=True),
    "quasipoisson": Family("quasipoisson", "Poisson", POSITIVE, 0.0, np.inf),
    "gamma": Family("gamma", "Gamma", POSITIVE, 0.0, np.inf, zero=False),
}
TWEEDIE = re.compile(r"tweedie\(\s*([0-9]*\.?[0-9]+)\s*\)")


def tweedie(power: float) -> Family:
    """Variance mean ** power; between 1 and 2 a compound Poisson with exact zeros.

    Jorgensen (1987), J R Stat Soc B 49:127-162.
    """
    return Family(
        f"tweedie({power:g})", "Tweedie", POSITIVE, 0.0, np.inf, zero=power < 2, power=power
    )


def find_family(text: str) -> Family:
    """The family of a word such as "poisson" or "tweedie(1.5)"."""
    if isinstance(text, str) and text in FAMILIES:
        return FAMILIES[text]
    found = TWEEDIE.fullmatch(text) if isinstance(text, str) else None
    if found and 1 < float(found[1]) != 2:
        return tweedie(float(found[1]))
    raise InvalidInput(
        f"family must be one of {', '.join(FAMILIES)}, or tweedie(1.5) with another power above 1 "
        "(2 is gamma)"
    )


def find_link(name: str | None, family: Family) -> tuple[str, Link]:
    """The named link, or the usual one of the family."""
    chosen = family.links[0] if name is None else name
    check_choice(chosen, family.links, f"link of {family.name}")
    from statsmodels.genmod.families import links  # lazy: 2.5 s

    kind, infinite = LINKS[chosen]
    return chosen, Link(getattr(links, kind)(), infinite, chosen in SIGMOID)


def check_response(y: Floats, family: Family) -> None:
    """Refuse a response outside the family."""
    if family.name == "binomial" and ((y < 0) | (y > 1)).any():
        raise InvalidInput("a binomial response must lie between 0 and 1")
    if family.low == 0 and (y < 0).any():
        raise InvalidInput(f"a {family.name} response must be 0 or more")
    if not family.zero and (y <= 0).any():
        raise InvalidInput(f"a {family.name} response must be above 0: model the zeros apart")


def start_mean(y: Floats, weights: Floats, family: Family) -> Floats:
    """A mean inside the bounds near every response, as the first step of iterated least squares."""
    if family.name == "binomial":
        return (weights * y + 0.5) / (weights + 1)
    if family.low == 0:
        return np.where(y > 0, y, 0.1 * float(np.average(y, weights=weights)))
    return y
