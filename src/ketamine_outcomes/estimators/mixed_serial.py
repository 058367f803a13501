"""Likelihood of a linear mixed model whose residuals within a cluster are serially correlated.

Successive residuals of a cluster have correlation r = phi^gap (AR(1) for whole-number times,
CAR(1) for continuous time). That process is Markov, so the rows of a cluster are made
uncorrelated in linear time: e_1, (e_i - r_i e_{i-1}) / sqrt(1 - r_i^2) (Pinheiro & Bates 2000,
Mixed-Effects Models in S and S-PLUS, section 5.3; Jones & Boadi-Boateng 1991, Biometrics 47,
161-175). What is left is a model with independent residuals: with G = L L' the covariance of
the random effects relative to the residual variance and M = L (I + L' Z'Z L)^-1 L', every form
A' V^-1 B follows from cross-products per cluster.
"""

from __future__ import annotations

from copy import copy
from dataclasses import dataclass

import numpy as np
from scipy import linalg

from .mixed_factor import RelativeFactor
from .results import Bools, Floats, Ints, InvalidInput, NotEstimable

HIGH = 1e100  # criterion where it cannot be evaluated


@dataclass(frozen=True)
class Sums:
    """Cross-products of Z and W = [X, y]: zz (K, q, q), zw (K, q, p + 1), ww (p + 1, p + 1)."""

    zz: Floats
    zw: Floats
    ww: Floats

    def __add__(self, other: Sums) -> Sums:
        return Sums(self.zz + other.zz, self.zw + other.zw, self.ww + other.ww)

    def __mul__(self, factor: float) -> Sums:
        return Sums(factor * self.zz, factor * self.zw, factor * self.ww)


@dataclass(frozen=True)
class Correlation:
    """Correlation of every row with the one before it in its cluster, and its derivatives.

    `r` is 0 in the first row of a cluster; `rest` is 1 - r^2; `log_det` that of the whole
    correlation matrix, `log_det_slope` its derivative.
    """

    r: Floats
    rest: Floats
    slope: Floats
    curvature: Floats

    @property
    def log_det(self) -> float:
        return float(np.log(self.rest).sum())

    @property
    def log_det_slope(self) -> float:
        return float(-2 * (self.r * self.slope / self.rest).sum())


class Series:
    """Rows in order of cluster and time, with the gap to the row before.

    Parameters
    ----------
    z, w
        Columns of the random effects (n, q) and of the fixed effects and the response
        (n, p + 1), already multiplied by the root of the weights.
    cluster
        0, 1, 2 ... per row, every number in use.
    time
        Time of each row; None takes the order of the rows.
    kind
        "ar1" (whole-number times, phi in (-1, 1)) or "car1" (phi in (0, 1)).

    Attributes
    ----------
    unit
        Gap to which the working parameter refers: 1 for AR(1), the median gap for CAR(1).
    """

    def __init__(self, z: Floats, w: Floats, cluster: Ints, time: Floats | None, kind: str) -> None:
        order = np.argsort(cluster, kind="stable") if time is None else np.lexsort((time, cluster))
        cluster = cluster[order]
        first = np.r_[True, np.diff(cluster) != 0]
        gap = np.r_[0.0, np.ones(len(w) - 1) if time is None else np.diff(time[order])]
        self.edges = np.flatnonzero(first)
        self.gap_levels, self.gap_code, gaps = _gaps(gap, first, kind)
        self.z = np.ascontiguousarray(z[order].T)
        self.w = np.ascontiguousarray(w[order].T)
        # even gaps only: phi and -phi are the same model, so phi is taken as positive
        self.signed = kind == "ar1" and bool((gaps % 2 == 1).any())
        self.unit = 1.0 if self.signed else float(np.median(gaps))
        self.gap_levels = self.gap_levels / self.unit

    def head(self, n: int) -> Series:
        """The first rows, as they would be read."""
        out = copy(self)
        out.z, out.w = self.z[:, :n], self.w[:, :n]
        out.edges = self.edges[self.edges < n]
        out.gap_code = self.gap_code[:n]
        return out

    def phi(self, eta: float) -> float:
        """Correlation over one `unit` at the search parameter."""
        return float(np.tanh(eta) if self.signed else np.exp(-np.exp(-eta)))

    def eta(self, phi: float) -> float:
        """The inverse of `phi`."""
        return float(np.arctanh(phi) if self.signed else -np.log(-np.log(phi)))

    def searched(self, eta: float) -> Correlation:
        """Derivatives in the search parameter (slope only)."""
        g = self.gap_levels
        if self.signed:
            phi = self.phi(eta)
            r, slope = phi**g, g * phi ** np.maximum(g - 1, 0) * (1 - phi**2)
            log_phi = np.log(max(abs(phi), 1e-300))
        else:
            log_phi = -np.exp(-eta)
            r = np.exp(g * log_phi)
            slope = -g * log_phi * r
        return self._rows(r, -np.expm1(2 * g * log_phi), slope, np.zeros_like(r))

    def natural(self, eta: float) -> Correlation:
        """Derivatives in phi; for CAR(1) in phi over its estimate, which cannot overflow."""
        g = self.gap_levels
        if self.signed:
            phi = self.phi(eta)
            r, slope = phi**g, g * phi ** np.maximum(g - 1, 0)
            curvature = g * (g - 1) * phi ** np.maximum(g - 2, 0)
            log_phi = np.log(max(abs(phi), 1e-300))
        else:
            log_phi = -np.exp(-eta)
            r = np.exp(g * log_phi)
            slope, curvature = g * r, g * (g - 1) * r
        return self._rows(r, -np.expm1(2 * g * log_phi), slope, curvature)

    def none(self) -> Correlation:
        """Independent residuals (phi = 0)."""
        zero = np.zeros(self.w.shape[1])
        return Correlation(zero, zero + 1, zero, zero)

    def _rows(self, r: Floats, rest: Floats, slope: Floats, curvature: Floats) -> Correlation:
        parts = [
            np.r_[first, values][self.gap_code]
            for first, values in ((0.0, r), (1.0, rest), (0.0, slope), (0.0, curvature))
        ]
        return Correlation(*parts)

    def sums(self, left: tuple[Floats, Floats], right: tuple[Floats, Floats]) -> Sums:
        """Symmetric part of the cross-products of two whitened pairs (z, w)."""
        (z1, w1), (z2, w2) = left, right
        same = z1 is z2
        q, k = len(z1), len(self.edges)
        zz, zw = np.empty((q, q, k)), np.empty((q, len(w1), k))
        for a in range(q):
            zz[a] = np.add.reduceat(z1[a] * z2, self.edges, axis=1)
            zw[a] = np.add.reduceat(z1[a] * w2, self.edges, axis=1)
            if not same:
                zw[a] += np.add.reduceat(z2[a] * w1, self.edges, axis=1)
        ww = w1 @ w2.T
        if not same:
            zz, zw = (zz + np.swapaxes(zz, 0, 1)) / 2, zw / 2
        return Sums(np.moveaxis(zz, 2, 0).copy(), np.moveaxis(zw, 2, 0).copy(), (ww + ww.T) / 2)

    def whitened(self, at: Correlation) -> tuple[Floats, Floats]:
        """Rows without serial correlation (z, w)."""
        return _whiten(self.z, at), _whiten(self.w, at)

    def whitened_slope(
        self, at: Correlation, white: tuple[Floats, Floats]
    ) -> tuple[Floats, Floats]:
        """Derivative of `whitened`."""
        z, w = white
        return at.slope * _move(self.z, z, at), at.slope * _move(self.w, w, at)

    def whitened_curvature(
        self, at: Correlation, white: tuple[Floats, Floats], slope: tuple[Floats, Floats]
    ) -> tuple[Floats, Floats]:
        """Second derivative of `whitened`."""
        out = []
        for rows, done, moved in zip((self.z, self.w), white, slope, strict=True):
            turn = at.slope * (1 + at.r**2) / at.rest**2 * done + at.r / at.rest * moved
            turn[:, 1:] -= (at.r * at.slope / at.rest**1.5)[1:] * rows[:, :-1]
            out.append(at.curvature * _move(rows, done, at) + at.slope * turn)
        return out[0], out[1]

    def pushed(
        self, at: Correlation, white: tuple[Floats, Floats], slope: tuple[Floats, Floats]
    ) -> tuple[Floats, Floats]:
        """U dR U^T times the whitened rows, where U R U^T = I and dR is the derivative of R.

        dR = -R (dU^T U + U^T dU) R, so that one bidiagonal solve does it.
        """
        n = at.r.size
        root = np.sqrt(at.rest)
        band = np.zeros((2, n))
        band[0, 1:] = -(at.r / root)[1:]
        band[1] = 1 / root
        out = []
        for done, moved in zip(white, slope, strict=True):
            right = at.r * at.slope / at.rest**1.5 * done
            right[:, :-1] -= (at.slope / at.rest**1.5)[1:] * done[:, 1:]
            solved = linalg.solve_banded((0, 1), band, right.T).T if len(done) else right
            out.append(-(solved + moved))
        return out[0], out[1]


def _whiten(rows: Floats, at: Correlation) -> Floats:
    root = np.sqrt(at.rest)
    out = rows / root
    out[:, 1:] -= (at.r / root)[1:] * rows[:, :-1]
    return out


def _move(rows: Floats, done: Floats, at: Correlation) -> Floats:
    """Derivative of the whitened rows in r."""
    out = at.r / at.rest * done
    out[:, 1:] -= (1 / np.sqrt(at.rest))[1:] * rows[:, :-1]
    out[:, 0] = 0.0
    return out


def _gaps(gap: Floats, first: Bools, kind: str) -> tuple[Floats, Ints, Floats]:
    """Distinct gaps; per row 0 (first of its cluster) or 1 + the number of its gap; all gaps."""
    inside = gap[~first]
    if inside.size == 0:
        raise NotEstimable("no cluster has two rows: a serial correlation cannot be estimated")
    if (inside <= 0).any():
        raise InvalidInput(
            f"{int((inside <= 0).sum())} rows have the same cluster and time as another row: "
            "serial correlation needs distinct times within a cluster"
        )
    if kind == "ar1":
        whole = np.rint(inside)
        if (np.abs(inside - whole) > 1e-8).any() or (whole == 0).any():
            raise InvalidInput(
                "residual='ar1' needs whole-number times (visit 1, 2, ...): use residual='car1' "
                "for continuous time"
            )
        inside = whole
    levels, code = np.unique(inside, return_inverse=True)
    out = np.zeros(gap.size, np.int64)
    out[~first] = code + 1
    return levels, out, inside


@dataclass(frozen=True)
class Evaluation:
    """Everything at one relative factor L (q, q) and one correlation.

    `t` = Z' H W and `mzw` = M Z'W (K, q, p + 1), `s` = Z' H Z, `u` = Z' H (y - X beta) per
    cluster, H = V^-1 times the residual variance.
    """

    factor: Floats
    m: Floats
    mzw: Floats
    s: Floats
    t: Floats
    u: Floats
    beta: Floats
    inverse_information: Floats
    log_det: float
    log_det_information: float
    residual_ss: float


def evaluate(sums: Sums, factor: Floats) -> Evaluation:
    """Solve for beta and the weighted residual sum of squares."""
    q = factor.shape[0]
    inner = np.eye(q) + factor.T @ sums.zz @ factor
    m = factor @ np.linalg.solve(inner, np.broadcast_to(factor.T, inner.shape))
    mzw = m @ sums.zw
    t = sums.zw - sums.zz @ mzw
    s = sums.zz - sums.zz @ m @ sums.zz
    forms = sums.ww - _folded(sums.zw, mzw)
    information, right = forms[:-1, :-1], forms[:-1, -1]
    inverse = np.linalg.inv((information + information.T) / 2)
    inverse = (inverse + inverse.T) / 2
    beta = np.asarray(np.linalg.solve(information, right), float)
    return Evaluation(
        factor=factor,
        m=m,
        mzw=mzw,
        s=(s + np.swapaxes(s, 1, 2)) / 2,
        t=t,
        u=t @ np.r_[-beta, 1.0],
        beta=beta,
        inverse_information=inverse,
        log_det=float(np.linalg.slogdet(inner)[1].sum()),
        log_det_information=float(np.linalg.slogdet(information)[1]),
        residual_ss=float(forms[-1, -1] - right @ beta),
    )


def _folded(left: Floats, right: Floats) -> Floats:
    """Sum over clusters and rows of left' right."""
    out = left.reshape(-1, left.shape[2]).T @ right.reshape(-1, right.shape[2])
    return np.asarray((out + out.T) / 2, float)


def moved_forms(slope: Sums, at: Evaluation) -> Floats:
    """Derivative of [X, y]' H [X, y] when the cross-products move by `slope`."""
    both = _folded(slope.zw, at.mzw)
    return np.asarray(slope.ww - 2 * both + _folded(at.mzw, slope.zz @ at.mzw), float)


class SerialCriterion(RelativeFactor):
    """-2 log likelihood, residual variance profiled out, over (free entries of L, eta).

    Parameters
    ----------
    series
        The rows.
    template
        Where L is free.
    reml
        Restricted likelihood.
    serial
        False holds phi at 0; then the parameters are the free entries of L only.
    """

    def __init__(self, series: Series, template: Bools, reml: bool, serial: bool = True) -> None:
        super().__init__(template)
        self.series, self.reml, self.serial = series, reml, serial
        self.p = len(series.w) - 1
        self.n = series.w.shape[1]
        self.df = self.n - self.p if reml else self.n
        self._held: tuple[float, Correlation, Sums, Sums | None] | None = None

    def sums(self, theta: Floats) -> tuple[Correlation, Sums, Sums | None]:
        """Cross-products at the correlation of `theta`, and their derivative in eta."""
        eta = float(theta[-1]) if self.serial else -np.inf
        if self._held is None or self._held[0] != eta:
            series = self.series
            at = series.searched(eta) if self.serial else series.none()
            white = series.whitened(at)
            moved = None
            if self.serial:
                moved = series.sums(white, series.whitened_slope(at, white)) * 2
            self._held = (eta, at, series.sums(white, white), moved)
        return self._held[1:]

    def evaluate(self, theta: Floats) -> Evaluation:
        """Everything at the parameters."""
        return evaluate(self.sums(theta)[1], self.factor(theta))

    def deviance(self, theta: Floats, at: Evaluation) -> float:
        """-2 log likelihood (x of unit determinant scale)."""
        value = self.sums(theta)[0].log_det + at.log_det
        value += self.df * (1 + np.log(2 * np.pi * at.residual_ss / self.df))
        return float(value + at.log_det_information) if self.reml else float(value)

    def slope_in_g(self, at: Evaluation, sigma2: float | None = None) -> Floats:
        """Derivative in G (q, q); the residual variance profiled out, or held at `sigma2`."""
        scale = at.residual_ss / self.df if sigma2 is None else sigma2
        slope = at.s.sum(axis=0) - at.u.T @ at.u / scale
        if self.reml:
            t = at.t[:, :, :-1]
            slope = slope - np.einsum("kqa,kra->qr", t @ at.inverse_information, t)
        return np.asarray((slope + slope.T) / 2, float)

    def gradient(self, theta: Floats, at: Evaluation, sigma2: float | None = None) -> Floats:
        """Derivative in the parameters."""
        full = 2 * self.slope_in_g(at, sigma2) @ at.factor
        out = full[self.rows, self.columns]
        correlation, _, moved = self.sums(theta)
        if moved is None:
            return np.asarray(out, float)
        scale = at.residual_ss / self.df if sigma2 is None else sigma2
        forms = moved_forms(moved, at)
        c = np.r_[-at.beta, 1.0]
        slope = correlation.log_det_slope + float(np.einsum("kqr,krq->", at.m, moved.zz))
        slope += float(c @ forms @ c) / scale
        if self.reml:
            slope += float((at.inverse_information * forms[:-1, :-1]).sum())
        return np.asarray(np.r_[out, slope], float)

    def value_and_gradient(self, theta: Floats) -> tuple[float, Floats]:
        """For the optimiser; a high value, flat, where rounding leaves no sum of squares."""
        try:
            at = self.evaluate(theta)
        except np.linalg.LinAlgError:
            return HIGH, np.zeros(theta.size)
        if not at.residual_ss > 0:
            return HIGH, np.zeros(theta.size)
        return self.deviance(theta, at), self.gradient(theta, at)
