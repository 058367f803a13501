"""Fit a linear mixed (or generalised least squares) model with serial correlation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from scipy import special

from .formulas import Design
from .inputs import numbers, readable
from .mixed_factor import SINGULAR
from .mixed_result import LinearMixedResult, variance_components
from .mixed_serial import SerialCriterion, Series
from .mixed_serial_inference import small_sample
from .mixed_serial_optimise import SerialOptimum, minimise
from .results import Bools, Floats, Ints, InvalidInput, NotEstimable, coefficient_table

SERIAL = ("ar1", "car1")


@dataclass(frozen=True)
class Rows:
    """Orthonormal fixed effects (n, p), response less their fit (n,), random effects (n, q).

    All are times `root`, the root of the weights (None: all 1). `template` (q, q) is True where
    the factor of the covariance of the random effects is free. `cluster` is 0, 1, 2 ... with
    every number in use, `time` None takes the order of the rows.
    """

    x: Floats
    y: Floats
    z: Floats
    template: Bools
    cluster: Ints
    time: Floats | None
    root: Floats | None
    residual: str


@dataclass(frozen=True)
class Scale:
    """How the rows were made: R of the fixed effects, its inverse, their fit, the unit of y.

    `triangle` T: the random effects are the columns of the data times the inverse of T.
    """

    r_x: Floats
    unmix: Floats
    fitted: Floats
    spread: float
    triangle: Floats


def is_serial(residual: str, time: str | None, outer: str | None) -> bool:
    """Whether the residuals are correlated; refuses what does not go together."""
    if not isinstance(residual, str) or residual not in ("independent", *SERIAL):
        raise InvalidInput(f"residual must be independent, {' or '.join(SERIAL)}")
    if residual == "independent":
        if time is not None:
            raise InvalidInput("`time` serves residual='ar1' or 'car1' only")
        return False
    if outer is not None:
        raise InvalidInput("`outer` does not go with serial correlation: take one of the two")
    if residual == "car1" and time is None:
        raise InvalidInput("residual='car1' needs `time`, the column of the times")
    return True


def times(data: pd.DataFrame, time: str | None) -> Floats | None:
    """The times as numbers."""
    if time is None:
        return None
    if not pd.api.types.is_numeric_dtype(readable(data[time])):
        raise InvalidInput(f"column {time!r} must hold the times as numbers")
    return numbers(data, time)


def serial_result(
    rows: Rows,
    scale: Scale,
    built: Design,
    effects: list[str],
    labels: pd.Index[Any],
    info: Mapping[str, Any],
) -> LinearMixedResult:
    """Fit y = X beta + Z b + e with correlation phi^|t_i - t_j| of e within a cluster."""
    n, p = rows.x.shape
    reml, df, level = info["reml"], info["df_method"], info["level"]
    if n <= p + 2:
        raise NotEstimable(f"{n} rows cannot bear {p} fixed effects, a variance and a correlation")
    w = np.column_stack([rows.x, rows.y])
    series = Series(rows.z, w, rows.cluster, rows.time, rows.residual)
    with np.errstate(all="ignore"):  # a search may try what cannot be; the proof is what counts
        criterion, best = minimise(SerialCriterion(series, rows.template, reml))
    small = small_sample(criterion, best, df)

    at, spread = best.at, scale.spread
    unscale = scale.unmix * spread
    shift = 2 * criterion.df * float(np.log(spread))
    shift += 2 * float(np.log(np.abs(np.diag(scale.r_x))).sum()) if reml else 0.0
    shift -= 0.0 if rows.root is None else 2 * float(np.log(rows.root).sum())
    log_likelihood = -0.5 * (best.deviance + shift)
    covariance = unscale @ small.covariance @ unscale.T
    ddf = np.array([small.df(row) for row in unscale])
    if not (np.isfinite(covariance).all() and (np.diag(covariance) > 0).all() and (ddf > 0).all()):
        raise NotEstimable(
            "the small-sample correction does not exist here, where the correlation is close to 1 "
            "or the clusters are few: take df='satterthwaite' or fewer terms"
        )
    sigma2 = float(at.residual_ss / criterion.df * spread**2)
    back = np.asarray(np.linalg.inv(scale.triangle), float)
    factor = back @ at.factor
    parts, table = variance_components(
        sigma2 * factor @ factor.T, sigma2, effects, str(labels.name), not criterion.uncorrelated
    )
    phi = _phi(criterion, best, rows.residual == "ar1", level)
    at_unit = 0.0 if best.independent else series.phi(float(best.theta[-1]))
    terms, k = built.terms, p + int(rows.template.sum()) + 2
    return LinearMixedResult(
        coefficients=coefficient_table(
            terms, scale.fitted + unscale @ at.beta, np.sqrt(np.diag(covariance)), ddf, level
        ),
        covariance=pd.DataFrame(covariance, index=terms, columns=terms),
        table=pd.concat([table, phi], ignore_index=True),
        log_likelihood=log_likelihood,
        diagnostics={
            **info,
            **parts,
            "residual": rows.residual,
            "phi": float(phi["estimate"].iloc[0]),
            "reference_gap": series.unit,
            "correlation_at_reference_gap": at_unit,
            "correlation_identified": not best.flat,
            "correlation_at_boundary": best.independent and not best.flat,
            "n_parameters": k,
            "aic": -2 * log_likelihood + 2 * k,
            "bic": -2 * log_likelihood + float(np.log(n)) * k,
            "std_error_gls": dict(
                zip(terms, np.sqrt(np.diag(unscale @ small.plain @ unscale.T)), strict=True)
            ),
            "converged": True,
            "singular": best.singular or best.flat or best.independent,
            "singular_tolerance": SINGULAR,
            "max_gradient": best.max_gradient,
            "decrement": best.decrement,
            "min_curvature": best.min_curvature,
            "boundary_slope": best.boundary_slope,
        },
        random_effects=pd.DataFrame(
            at.u @ (at.factor @ at.factor.T) @ back.T * spread, index=labels, columns=effects
        ),
        _new=replace(built, x=np.empty((0, 0)), y=None, data=pd.DataFrame()).new,
        _small=small,
        _unscale=unscale,
    )


def _phi(
    criterion: SerialCriterion, best: SerialOptimum, signed: bool, level: float
) -> pd.DataFrame:
    """Row of the table: correlation over one unit of time.

    Standard error by the delta method, interval normal on the scale atanh (AR(1)) or logit
    (CAR(1)) as nlme::intervals; none at the boundary 0 and where phi is not identified.
    """
    series = criterion.series
    phi, std_error, low, high = 0.0, *[float("nan")] * 3
    if not best.independent:
        eta = float(best.theta[-1])
        log_phi = float("nan") if series.signed else -float(np.exp(-eta)) / series.unit
        phi = series.phi(eta) if series.signed else float(np.exp(log_phi))
        if not best.flat:
            se_eta = float(np.sqrt(best.eta_variance))
            half = float(special.ndtri((1 + level) / 2)) * se_eta
            std_error = se_eta * (1 - phi**2 if series.signed else -phi * log_phi)
            if series.signed:
                low, high = np.tanh([eta - half, eta + half])
            elif signed:  # AR(1) with even gaps only
                half *= -phi * log_phi / -np.expm1(2 * log_phi)
                # arctanh(phi), also where phi is 1 in double precision
                centre = (np.log1p(phi) - np.log(-np.expm1(log_phi))) / 2
                low, high = np.tanh([centre - half, centre + half])
            else:
                half *= log_phi / np.expm1(log_phi)
                centre = log_phi - np.log(-np.expm1(log_phi))
                low, high = special.expit([centre - half, centre + half])
    return pd.DataFrame(
        {
            "group": ["residual"],
            "term": ["phi"],
            "measure": ["correlation"],
            "estimate": [phi],
            "std_error": [std_error],
            "ci_low": [float(low)],
            "ci_high": [float(high)],
        }
    )
