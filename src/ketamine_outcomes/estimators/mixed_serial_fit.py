"""Fit a linear mixed (or generalised least squares) model with serial correlation."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import linalg, special

from .mixed_inference import SmallSample
from .mixed_serial import SerialCriterion, Series
from .mixed_serial_inference import small_sample
from .mixed_serial_optimise import SerialOptimum, minimise
from .results import Floats, Ints, NotEstimable

RESIDUALS = ("ar1", "car1")


@dataclass(frozen=True)
class SerialFit:
    """Estimates in the units of the data; `unscale` turns the working coefficients into beta.

    `phi` is the correlation over one unit of time; its standard error is by the delta method,
    its interval normal on the scale atanh (AR(1)) or logit (CAR(1)), all NaN at a boundary and
    where phi is not identified.
    """

    beta: Floats
    small: SmallSample
    unscale: Floats
    single_terms: Floats
    log_likelihood: float
    random_covariance: Floats
    residual_variance: float
    random_effects: Floats
    phi: float
    phi_std_error: float
    phi_ci: tuple[float, float]
    reference_gap: float
    reference_correlation: float
    n_covariance_parameters: int
    optimum: SerialOptimum


def fit_serial(
    x: Floats,
    y: Floats,
    z: Floats,
    cluster: Ints,
    time: Floats | None,
    weights: Floats | None,
    kind: str,
    correlated: bool,
    reml: bool,
    df: str,
    level: float,
) -> SerialFit:
    """Fit y = X beta + Z b + e, corr(e_i, e_j) = phi^|t_i - t_j| within a cluster.

    Parameters
    ----------
    x, y, z
        Fixed effects (n, p), response (n,), random effects (n, q), q = 0 for generalised
        least squares.
    cluster
        0, 1, 2 ... per row, every number in use.
    time
        Time per row; None takes the order of the rows ("ar1").
    weights
        Positive; the variance of e_i is sigma2 / weight.
    correlated
        Whether the random effects of a cluster are correlated with each other.
    """
    if weights is None:
        weights = np.ones(len(y))
    root = np.sqrt(weights)[:, None]
    # working scales: orthonormal fixed effects, response less its OLS fit in units of its own
    # spread, random columns of unit length
    q_x, r_x = np.linalg.qr(x * root)
    y_w = y * root[:, 0]
    ols = q_x.T @ y_w
    residual = y_w - q_x @ ols
    spread = float(np.sqrt(residual @ residual / len(y)))
    if spread <= 1e-10 * max(1e-300, float(np.abs(y_w).max())):
        raise NotEstimable("the fixed effects fit the response exactly: no variance is left")
    z_w = z * root
    z_scale = np.sqrt((z_w**2).mean(axis=0))
    series = Series(z_w / z_scale, np.column_stack([q_x, residual / spread]), cluster, time, kind)
    q = z.shape[1]
    template = np.tril(np.ones((q, q), bool)) if correlated else np.eye(q, dtype=bool)
    criterion, best = minimise(SerialCriterion(series, template, reml))
    at = best.at

    shift = 2 * criterion.df * float(np.log(spread)) - float(np.log(weights).sum())
    shift += 2 * float(np.log(np.abs(np.diag(r_x))).sum()) if reml else 0.0
    identity = np.eye(len(r_x))
    residual_variance = at.residual_ss / criterion.df * spread**2
    factor = at.factor / z_scale[:, None]
    phi, std_error, ci = _phi(criterion, best, kind == "ar1", level)
    return SerialFit(
        beta=linalg.solve_triangular(r_x, ols + at.beta * spread),
        small=small_sample(criterion, best, df),
        unscale=linalg.solve_triangular(r_x, identity) * spread,
        single_terms=np.linalg.solve(r_x.T, identity).T * spread,
        log_likelihood=-0.5 * (best.deviance + shift),
        random_covariance=residual_variance * factor @ factor.T,
        residual_variance=float(residual_variance),
        random_effects=at.u @ (at.factor @ at.factor.T) * spread / z_scale,
        phi=phi,
        phi_std_error=std_error,
        phi_ci=ci,
        reference_gap=series.unit,
        reference_correlation=0.0 if best.independent else series.phi(float(best.theta[-1])),
        n_covariance_parameters=int(template.sum()) + 2,
        optimum=best,
    )


def _phi(
    criterion: SerialCriterion, best: SerialOptimum, signed: bool, level: float
) -> tuple[float, float, tuple[float, float]]:
    """Correlation over one unit of time, its standard error and interval."""
    nan = float("nan")
    if best.independent:
        return 0.0, nan, (nan, nan)
    eta, unit = float(best.theta[-1]), criterion.series.unit
    if criterion.series.signed:
        log_phi, phi = nan, criterion.series.phi(eta)
        slope = 1 - phi**2
    else:
        log_phi = -float(np.exp(-eta)) / unit
        phi = float(np.exp(log_phi))
        slope = -phi * log_phi
    if best.flat:
        return phi, nan, (nan, nan)
    se_eta = float(np.sqrt(best.eta_variance))
    half = float(special.ndtri((1 + level) / 2)) * se_eta
    if signed:
        centre = float(np.arctanh(phi))
        half *= slope / (1 - phi**2)
        return phi, se_eta * slope, (float(np.tanh(centre - half)), float(np.tanh(centre + half)))
    centre = log_phi - float(np.log(-np.expm1(log_phi)))
    half *= -log_phi / -float(np.expm1(log_phi))
    low, high = special.expit([centre - half, centre + half])
    return phi, se_eta * slope, (float(low), float(high))
