"""Logistic regression by maximum likelihood."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import special

from .design_matrix import refuse_collinear
from .results import Floats, NotEstimable

MAX_STEPS = 100
NO_INFORMATION = 1e-14  # of a weight of 1, in a direction of length 1
STEP_TOLERANCE = 1e-11  # largest move of a linear predictor, relative


def logistic(
    x: Floats, y: Floats, terms: Sequence[str], separated: str, weights: Floats | None = None
) -> tuple[Floats, Floats]:
    """Log odds and their information-based covariance.

    Parameters
    ----------
    x, y
        Design (rows, terms) and response 0 / 1.
    terms
        Names of the columns, for messages.
    separated
        Message when the estimates are infinite.
    weights
        Weight of each row, 0 or more.

    Raises
    ------
    NotEstimable
        Collinear terms, or terms that separate 0 from 1.

    Notes
    -----
    Newton's method on an orthonormal basis of the columns. When a direction separates the
    responses, its linear predictor grows by about 1 per step without end, until the information
    on it is gone and the fit is refused (Albert & Anderson 1984).
    """
    refuse_collinear(x, terms)
    w = np.ones(y.size) if weights is None else weights
    basis, triangle = np.linalg.qr(x)
    gamma = np.zeros(x.shape[1])
    eta = np.zeros(y.size)
    fit = _log_likelihood(eta, y, w)
    for _ in range(MAX_STEPS):
        e = special.expit(eta)
        information = basis.T @ ((w * e * special.expit(-eta))[:, None] * basis)
        if np.linalg.eigvalsh(information)[0] < NO_INFORMATION * w.max():
            break
        step = np.linalg.solve(information, basis.T @ (w * (y - e)))
        move = basis @ step
        small = np.abs(move).max() <= STEP_TOLERANCE * (1 + np.abs(eta).max())
        while not small and _log_likelihood(eta + move, y, w) < fit - 1e-9 * (1 + abs(fit)):
            step, move = step / 2, move / 2
        gamma, eta = gamma + step, eta + move
        fit = _log_likelihood(eta, y, w)
        if small:
            back = np.linalg.inv(triangle)
            return back @ gamma, back @ np.linalg.inv(information) @ back.T
    raise NotEstimable(separated)


def _log_likelihood(eta: Floats, y: Floats, w: Floats) -> float:
    return -float(w @ np.logaddexp(0, np.where(y == 1, -eta, eta)))
