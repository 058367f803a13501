"""Distributions and links of generalised linear models (McCullagh & Nelder 1989)."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy import special

from .results import Floats, InvalidInput

Transform = Callable[[Floats], Floats]


@dataclass(frozen=True)
class Link:
    """A link: `eta` of the mean, the `mean` of eta and its `slope` d mean / d eta."""

    eta: Transform
    mean: Transform
    slope: Transform
    infinite: bool  # an empty cell sends eta to infinity, so its steps are judged in eta itself


LINKS = {
    "identity": Link(lambda m: m, lambda e: e, np.ones_like, False),
    "log": Link(np.log, np.exp, np.exp, True),
    "logit": Link(
        special.logit, special.expit, lambda e: special.expit(e) * special.expit(-e), True
    ),
    "probit": Link(
        special.ndtri, special.ndtr, lambda e: np.exp(-e * e / 2) / np.sqrt(2 * np.pi), True
    ),
    "cloglog": Link(
        lambda m: np.log(-np.log1p(-m)),
        lambda e: -np.expm1(-np.exp(e)),
        lambda e: np.exp(e - np.exp(e)),
        True,
    ),
    "cauchit": Link(
        lambda m: np.tan(np.pi * (m - 0.5)),
        lambda e: 0.5 + np.arctan(e) / np.pi,
        lambda e: 1 / (np.pi * (1 + e * e)),
        True,
    ),
    "inverse": Link(lambda m: 1 / m, lambda e: 1 / e, lambda e: -1 / (e * e), False),
    "sqrt": Link(np.sqrt, np.square, lambda e: 2 * e, False),
}


@dataclass(frozen=True)
class Family:
    """A distribution by its variance function and unit deviance.

    `low` and `high` bound the mean; `zero` says that the response may be 0, `dispersion_one` that
    the variance has no free scale.
    """

    name: str
    links: tuple[str, ...]  # the first is the default
    variance: Transform
    unit_deviance: Callable[[Floats, Floats], Floats]
    low: float
    high: float
    zero: bool = True
    dispersion_one: bool = False

    def valid(self, mean: Floats) -> bool:
        """Whether every mean lies inside the bounds."""
        return bool(
            np.isfinite(mean).all() and (mean > self.low).all() and (mean < self.high).all()
        )


def _xlogy_ratio(y: Floats, mean: Floats) -> Floats:
    return np.asarray(special.xlogy(y, y / mean), float)


def _binomial_deviance(y: Floats, mean: Floats) -> Floats:
    return 2 * (_xlogy_ratio(y, mean) + _xlogy_ratio(1 - y, 1 - mean))


def _poisson_deviance(y: Floats, mean: Floats) -> Floats:
    return 2 * (_xlogy_ratio(y, mean) - (y - mean))


def _gamma_deviance(y: Floats, mean: Floats) -> Floats:
    return 2 * ((y - mean) / mean - np.log(y / mean))


POSITIVE = ("log", "identity", "inverse", "sqrt")
FAMILIES = {
    "gaussian": Family(
        "gaussian",
        ("identity", "log", "inverse"),
        np.ones_like,
        lambda y, m: (y - m) ** 2,
        -np.inf,
        np.inf,
    ),
    "binomial": Family(
        "binomial",
        ("logit", "probit", "cloglog", "cauchit", "log", "identity"),
        lambda m: m * (1 - m),
        _binomial_deviance,
        0.0,
        1.0,
        dispersion_one=True,
    ),
    "poisson": Family(
        "poisson", POSITIVE, lambda m: m, _poisson_deviance, 0.0, np.inf, dispersion_one=True
    ),
    "quasipoisson": Family("quasipoisson", POSITIVE, lambda m: m, _poisson_deviance, 0.0, np.inf),
    "gamma": Family("gamma", POSITIVE, np.square, _gamma_deviance, 0.0, np.inf, zero=False),
}
TWEEDIE = re.compile(r"tweedie\(\s*([0-9]*\.?[0-9]+)\s*\)")


def tweedie(power: float) -> Family:
    """Variance mean ** power; between 1 and 2 a compound Poisson with exact zeros.

    Jorgensen (1987), J R Stat Soc B 49:127-162.
    """

    def deviance(y: Floats, mean: Floats) -> Floats:
        ends = np.power(y, 2 - power) / ((1 - power) * (2 - power))
        return np.asarray(
            2
            * (
                ends
                - y * np.power(mean, 1 - power) / (1 - power)
                + np.power(mean, 2 - power) / (2 - power)
            ),
            float,
        )

    return Family(
        f"tweedie({power:g})",
        POSITIVE,
        lambda m: np.power(m, power),
        deviance,
        0.0,
        np.inf,
        zero=power < 2,
    )


def find_family(text: str) -> Family:
    """The family of a word such as "poisson" or "tweedie(1.5)"."""
    if text in FAMILIES:
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
    chosen = name or family.links[0]
    if chosen not in family.links:
        raise InvalidInput(f"link of {family.name} must be one of {', '.join(family.links)}")
    return chosen, LINKS[chosen]


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
