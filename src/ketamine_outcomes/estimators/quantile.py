"""Quantile regression: the exact minimum of the check loss, with sandwich standard errors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import linalg, optimize, special

from .inputs import codes, design, refuse_collinear
from .results import (
    Floats,
    Ints,
    InvalidInput,
    NotEstimable,
    Result,
    check_level,
    coefficient_table,
)

DIRECT = 10_000  # rows up to which all enter one linear program
ON_LINE = 1e-9  # residual, in units of the response, of a row that the quantile goes through
NUDGE = 1e-6  # of q, to choose among lines with the same loss
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

    Notes
    -----
    The estimate is a vertex of the linear program of Koenker & Bassett (1978), Econometrica
    46:33-50; from 10,000 rows on, rows far from the line are held on their side and checked
    (Portnoy & Koenker 1997, Stat Sci 12:279-300).

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
    unit = codes(built.data, cluster)[0] if cluster else None
    units = len(y) if unit is None else int(unit.max()) + 1
    df = units - len(terms)
    if df < 1:
        what = "rows" if unit is None else "clusters"
        raise NotEstimable(f"{units} {what} cannot bear {len(terms)} parameters: take fewer terms")
    if np.ptp(y) == 0:
        raise NotEstimable("the response is constant: there is nothing to compare")
    program = _Program.of(x, y)
    if not 1 / LARGE < program.unit < LARGE:
        raise NotEstimable("the numbers are too large or too small: change the units")
    tables, covariances, rows = [], {}, []
    for wanted in quantiles:
        line = program.line(wanted)
        width = _bandwidth(wanted, len(y))
        if unit is None:
            covariance = _independent(program, wanted, width)
        else:
            covariance = _clustered(program, line, wanted, width, unit)
        covariance = program.back @ covariance @ program.back.T
        error = np.sqrt(np.diag(covariance))
        tables.append(coefficient_table(terms, line.beta, error, df, level).assign(q=wanted))
        covariances[wanted] = pd.DataFrame(covariance, index=terms, columns=terms)
        rows.append({"q": wanted, "loss": line.loss, "bandwidth": width, "unique": line.unique})
    single = len(quantiles) == 1
    return Result(
        coefficients=pd.concat(tables, ignore_index=True),
        table=pd.DataFrame(rows),
        covariance=covariances[quantiles[0]] if single else pd.concat(covariances, names=["q"]),
        diagnostics={
            "n_observations": len(y),
            "n_dropped": built.n_dropped,
            "n_clusters": units,
            "std_error": "nid" if unit is None else "cluster-robust",
            "level": level,
            "converged": True,
        },
    )


def _quantiles(q: float | Sequence[float]) -> list[float]:
    try:
        wanted = np.atleast_1d(np.asarray(q, float))
    except (TypeError, ValueError):
        raise InvalidInput("q must be a number between 0 and 1, or several") from None
    if wanted.ndim != 1 or not len(wanted) or not ((wanted > 0) & (wanted < 1)).all():
        raise InvalidInput("q must lie between 0 and 1, for example 0.5 or [0.25, 0.5, 0.75]")
    if len(np.unique(wanted)) < len(wanted):
        raise InvalidInput("q names a quantile twice")
    return [float(v) for v in wanted]


@dataclass(frozen=True)
class _Line:
    beta: Floats
    residual: Floats
    loss: float
    unique: bool


@dataclass(frozen=True)
class _Program:
    """The check-loss problem: `x` has orthonormal columns, original coefficients = back @ beta."""

    design: Floats
    y: Floats
    x: Floats
    back: Floats
    unit: float  # size of the response

    @property
    def near(self) -> float:
        """Largest residual of a row that the line goes through."""
        return ON_LINE * self.unit

    @classmethod
    def of(cls, x: Floats, y: Floats) -> _Program:
        length = np.sqrt(np.einsum("ij,ij->j", x, x))
        back = np.linalg.inv(np.linalg.qr(x / length, mode="r")) / length[:, None]
        return cls(x, y, x @ back, back, float(np.abs(y - np.median(y)).max()))

    def line(self, q: float) -> _Line:
        """The vertex with the smallest check loss; of several, that of a slightly smaller q."""
        line = self._vertex(q)
        if not line.unique and q > NUDGE:
            lower = self._vertex(q - NUDGE)
            loss = _loss(lower.residual, q)
            if loss <= line.loss * (1 + 1e-10):
                return _Line(lower.beta, lower.residual, loss, False)
        return line

    def _vertex(self, q: float) -> _Line:
        beta, share = self._solve(q)
        inside = np.flatnonzero((share > SMALL) & (share < 1 - SMALL))
        basis = self._basis(np.abs(self.y - self.x @ beta), inside)
        # solving for the rows that the line goes through gives it to the last digit
        original = np.asarray(np.linalg.solve(self.design[basis], self.y[basis]), float)
        residual = self.y - self.design @ original
        residual[np.abs(residual) <= self.near] = 0.0
        return _Line(original, residual, _loss(residual, q), len(inside) == len(basis))

    def _basis(self, size: Floats, inside: Ints) -> Ints:
        """As many independent rows as parameters, of those nearest the line.

        Rows whose share is strictly between 0 and 1 come first; enough of them make it unique.
        """
        p = self.x.shape[1]
        order = np.argsort(size, kind="stable")
        order = np.r_[inside, order[~np.isin(order, inside)]]
        taken = max(p, int((size <= self.near).sum()))
        while True:
            r, pivots = linalg.qr(self.x[order[:taken]].T, pivoting=True, mode="r")
            depth = np.abs(np.diag(r))
            if depth[-1] > SMALL * depth[0] or taken >= len(order):
                return np.asarray(order[pivots[:p]], np.int64)
            taken *= 2

    def _solve(self, q: float) -> tuple[Floats, Floats]:
        """Coefficients, and for every row its share above the line (1, 0, or between on it)."""
        n, p = self.x.shape
        if n <= DIRECT:
            return self._linear_program(q, np.arange(n), np.zeros(p))
        pick = np.random.default_rng(0).permutation(n)
        m = int((p * n) ** (2 / 3)) + 1
        while m < n / 2:
            rows = np.sort(pick[:m])
            rest = (1 - q) * (self.x.sum(axis=0) - self.x[rows].sum(axis=0))
            beta, _ = self._linear_program(q, rows, rest)
            found = self._globbed(q, self.y - self.x @ beta, m)
            if found is not None:
                return found
            m *= 2
        return self._linear_program(q, np.arange(n), np.zeros(p))

    def _globbed(self, q: float, residual: Floats, m: int) -> tuple[Floats, Floats] | None:
        """Solve with the rows far from a first line held on their side; None if that was wrong."""
        n = len(self.y)
        low, high = np.quantile(residual, [max(0.0, q - m / 4 / n), min(1.0, q + m / 4 / n)])
        above, free = residual > high, (residual >= low) & (residual <= high)
        for _ in range(10):
            rows = np.flatnonzero(free)
            held = self.x[above & ~free].sum(axis=0)
            try:
                beta, share = self._linear_program(q, rows, held)
            except NotEstimable:
                return None
            now = self.y - self.x @ beta
            wrong = ~free & (above != (now > 0))
            if not wrong.any():
                whole = (above & ~free).astype(float)
                whole[rows] = share
                return beta, whole
            free |= wrong
        return None

    def _linear_program(self, q: float, rows: Ints, held: Floats) -> tuple[Floats, Floats]:
        """Dual program: maximise y'a, 0 <= a <= 1, x'a = (1 - q) x'1 - held."""
        x, y = self.x[rows], self.y[rows] / self.unit
        target = (1 - q) * self.x.sum(axis=0) - held
        found = optimize.linprog(
            -y,
            A_eq=x.T,
            b_eq=target,
            bounds=(0, 1),
            method="highs-ds",
            options={"presolve": False},  # nothing to find, and half of the time
        )
        if found.status != 0:
            raise NotEstimable("the linear program of the quantile was not solved")
        return -np.asarray(found.eqlin.marginals, float) * self.unit, np.asarray(found.x, float)


def _loss(residual: Floats, q: float) -> float:
    return float(residual @ (q - (residual < 0)))


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


def _independent(program: _Program, q: float, width: float) -> Floats:
    rise = program.design @ (program.line(q + width).beta - program.line(q - width).beta)
    # quantreg's guard against lines that meet; smaller where the response is far below 1
    density = np.maximum(0, 2 * width / (rise - SMALL * min(1.0, 100 * program.unit)))
    bread = _inverse((program.x * density[:, None]).T @ program.x)
    return q * (1 - q) * bread @ bread  # x'x = 1


def _clustered(program: _Program, line: _Line, q: float, width: float, unit: Ints) -> Floats:
    r = line.residual
    z = special.ndtri([q - width, q + width])
    spread = float(np.median(np.abs(r - np.median(r))))
    reach = spread * float(z[1] - z[0])
    near = np.abs(r) <= reach
    if reach <= 0:
        return _inverse(np.full_like(program.back, np.nan))
    bread = _inverse(program.x[near].T @ program.x[near] / (2 * reach))
    score = program.x * (q - (r < 0))[:, None]
    order = np.argsort(unit, kind="stable")
    first = np.flatnonzero(np.diff(unit[order], prepend=-1))
    sums = np.add.reduceat(score[order], first, axis=0)
    return np.asarray(bread @ (sums.T @ sums) @ bread, float)
