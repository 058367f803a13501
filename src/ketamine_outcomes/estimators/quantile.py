"""Quantile regression: the exact minimum of the check loss, with sandwich standard errors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import special

from .check_loss import minimise
from .design_matrix import orthonormal, refuse_collinear
from .formulas import design
from .inputs import codes, floats
from .results import (
    Floats,
    Ints,
    InvalidInput,
    NotEstimable,
    Result,
    check_level,
    coefficient_table,
)

ON_LINE = 1e-9  # residual over the spread of the response of a row that the line goes through
SMALL = float(np.sqrt(np.finfo(float).eps))
LARGE = 1e150  # whose square is still a number
SIDE_LEVEL = 0.95  # of the bandwidth of Hall & Sheather


def quantile_regression(
    formula: str,
    data: pd.DataFrame,
    q: float | Sequence[float],
    cluster: str | None = None,
    level: float = 0.95,
) -> Result:
    """Fit conditional quantiles of a response.

    Parameters
    ----------
    formula
        Response and terms, such as "pain ~ arm + week".
    data
        One row per measurement.
    q
        The quantile, between 0 and 1, or several of them.
    cluster
        Column of the units that repeat; None for independent rows.
    level
        Confidence level.

    Returns
    -------
    Result
        `.coefficients` with a column q, in the units of the response; t distribution with
        rows - parameters (clusters - parameters with cluster) degrees of freedom. `.table`: q,
        loss (sum of the check function), bandwidth, unique (False when other coefficients have the
        same loss). `.covariance` has one block per q.

    Raises
    ------
    InvalidInput
        q outside 0 to 1, columns that do not exist or hold no finite numbers.
    NotEstimable
        A constant response, fewer rows (clusters) than parameters + 1, collinear terms, a density
        that cannot be estimated at q.

    Notes
    -----
    The estimate is a vertex of the linear program of Koenker & Bassett (1978), Econometrica
    46:33-50, found as check_loss.py says: `rq(y ~ x, tau = q)`.

    Independent rows: V = q(1-q) A^-1 X'X A^-1, A = sum_i f_i x_i x_i', density
    f_i = 2h / x_i'(b(q+h) - b(q-h)) (Hendricks & Koenker 1992, JASA 87:58-68), h of Hall &
    Sheather (1988). R: `summary(rq(y ~ x, tau = q), se = "nid")` of quantreg.

    Clusters: V = A^-1 (sum_g s_g s_g') A^-1, s_g = sum_i x_i (q - 1[r_i < 0]) over the rows of g,
    A = sum_i 1[|r_i| <= c] x_i x_i' / (2c), c = MAD(r) (z(q+h) - z(q-h)) (Parente &
    Santos Silva 2016, J Econom Methods 5:1-15).

    Examples
    --------
    >>> rows = pd.DataFrame({"y": [1, 2, 4, 8, 9.0]})
    >>> quantile_regression("y ~ 1", rows, 0.5).coefficients["estimate"].round(6).tolist()
    [4.0]
    """
    check_level(level)
    quantiles = _quantiles(q)
    built = design(formula, data, [cluster])
    if built.y is None:
        raise AssertionError("design() was asked for a response")
    x, y, terms = built.x, built.y, built.terms
    refuse_collinear(x, terms)
    unit = codes(built.data, cluster)[0] if cluster is not None else None
    units = len(y) if unit is None else int(unit.max()) + 1
    df = units - len(terms)
    if df < 1:
        what = "rows" if unit is None else "clusters"
        raise NotEstimable(f"{units} {what} cannot bear {len(terms)} parameters: take fewer terms")
    if np.ptp(y) == 0:
        raise NotEstimable("the response is constant: there is nothing to compare")
    problem = _Problem.of(x, y)
    tables, covariances, rows = [], {}, []
    for wanted in quantiles:
        line = problem.line(wanted)
        width = _bandwidth(wanted, len(y))
        if unit is None:
            half = _independent(problem, wanted, width)
        else:
            half = _clustered(problem, line, wanted, width, unit)
        half = problem.back @ half
        covariance, error = half @ half.T, np.linalg.norm(half, axis=1)
        tables.append(coefficient_table(terms, line.beta, error, df, level).assign(q=wanted))
        covariances[wanted] = pd.DataFrame(covariance, index=terms, columns=terms)
        loss = float(line.residual @ (wanted - (line.residual < 0)))
        rows.append({"q": wanted, "loss": loss, "bandwidth": width, "unique": line.unique})
    single = len(quantiles) == 1
    return Result(
        coefficients=pd.concat(tables, ignore_index=True),
        table=pd.DataFrame(rows),
        covariance=covariances[quantiles[0]] if single else pd.concat(covariances, names=["q"]),
        diagnostics={
            "n_observations": len(y),
            "n_dropped": built.n_dropped,
            "n_clusters": units,
            "variance": "nid" if unit is None else "cluster-robust",
            "level": level,
            "converged": True,
        },
    )


def _quantiles(q: float | Sequence[float]) -> list[float]:
    wanted = np.atleast_1d(floats(q, "q"))
    if wanted.ndim != 1 or not len(wanted) or not ((wanted > 0) & (wanted < 1)).all():
        raise InvalidInput("q must lie between 0 and 1, for example 0.5 or [0.25, 0.5, 0.75]")
    if len(np.unique(wanted)) < len(wanted):
        raise InvalidInput("q names a quantile twice")
    return [float(v) for v in wanted]


@dataclass(frozen=True)
class _Line:
    beta: Floats
    residual: Floats
    unique: bool


@dataclass(frozen=True)
class _Problem:
    """`design` as given; `x` = design @ back has orthonormal columns."""

    design: Floats
    y: Floats
    x: Floats
    back: Floats
    spread: float  # largest distance of a response from the median

    @classmethod
    def of(cls, design: Floats, y: Floats) -> _Problem:
        back = orthonormal(design)
        spread = float(np.abs(y - np.median(y)).max())
        if not 1 / LARGE < spread < LARGE:
            raise NotEstimable("the numbers are too large or too small: change the units")
        return cls(design, y, design @ back, back, spread)

    def line(self, q: float) -> _Line:
        found = minimise(self.design, self.y, q)
        residual = self.y - self.design @ found.beta
        residual[found.rows] = 0.0
        residual[np.abs(residual) <= ON_LINE * self.spread] = 0.0
        return _Line(found.beta, residual, found.unique)


def _bandwidth(q: float, n: int) -> float:
    """Hall & Sheather (1988), halved until both sides lie inside 0 and 1."""
    z = float(special.ndtri(q))
    density = np.exp(-z * z / 2) / np.sqrt(2 * np.pi)
    side = float(special.ndtri((1 + SIDE_LEVEL) / 2))
    width = n ** (-1 / 3) * side ** (2 / 3) * (1.5 * density**2 / (2 * z * z + 1)) ** (1 / 3)
    while q - width < 0 or q + width > 1:
        width /= 2
    return float(width)


def _inverse(bread: Floats) -> Floats:
    if not np.isfinite(bread).all() or np.linalg.cond(bread) > 1e12:
        raise NotEstimable(
            "the density of the response at the quantile cannot be estimated: too few rows or too "
            "many ties, or take a quantile nearer the middle"
        )
    return np.asarray(np.linalg.inv(bread), float)


def _independent(problem: _Problem, q: float, width: float) -> Floats:
    """A root of the covariance in terms of `x`, Hendricks & Koenker."""
    rise = problem.design @ (problem.line(q + width).beta - problem.line(q - width).beta)
    # quantreg's guard against lines that meet; smaller where the response is far below 1
    density = np.maximum(0, 2 * width / (rise - SMALL * min(1.0, 100 * problem.spread)))
    bread = _inverse((problem.x * density[:, None]).T @ problem.x)
    return float(np.sqrt(q * (1 - q))) * bread  # x'x = 1


def _clustered(problem: _Problem, line: _Line, q: float, width: float, unit: Ints) -> Floats:
    """A root of the covariance in terms of `x`, Parente & Santos Silva."""
    r = line.residual
    z = special.ndtri([q - width, q + width])
    spread = float(np.median(np.abs(r - np.median(r))))
    reach = spread * float(z[1] - z[0])
    near = np.abs(r) <= reach
    if reach <= 0:
        return _inverse(np.full_like(problem.back, np.nan))
    bread = _inverse(problem.x[near].T @ problem.x[near] / (2 * reach))
    score = problem.x * (q - (r < 0))[:, None]
    order = np.argsort(unit, kind="stable")
    first = np.flatnonzero(np.diff(unit[order], prepend=-1))
    sums = np.add.reduceat(score[order], first, axis=0)
    half: Floats = bread @ np.asarray(np.linalg.qr(sums, mode="r"), float).T
    plain = np.linalg.norm(problem.back @ bread, axis=1)
    if (np.linalg.norm(problem.back @ half, axis=1) <= SMALL * plain).any():
        raise NotEstimable(
            "the rows of every cluster balance at the quantile, so a standard error is 0: too few "
            "clusters, leave cluster out"
        )
    return half
