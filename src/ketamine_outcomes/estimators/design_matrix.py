"""Collinear and silent columns of a design matrix."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .inputs import named
from .results import Floats, InvalidInput, NotEstimable

COLLINEAR = 1e-9  # smallest share of a column's length that is not explained by the others
WELL_CONDITIONED = 1e-3  # the same share, above which a Gram matrix is accurate enough


def orthonormal(x: Floats) -> Floats:
    """The matrix that gives x orthonormal columns: no information matrix is then near singular."""
    length = np.sqrt(np.einsum("ij,ij->j", x, x))
    return np.asarray(np.linalg.inv(np.linalg.qr(x / length, mode="r")) / length[:, None], float)


def upper_factor(x: Floats) -> Floats:
    """R of x = QR, from the Gram matrix where that loses few digits, else by Householder."""
    gram = x.T @ x
    length = np.sqrt(np.diag(gram))
    length = np.where(length > 0, length, 1.0)
    try:
        r = np.linalg.cholesky(gram / np.outer(length, length)).T
    except np.linalg.LinAlgError:
        r = np.zeros((1, 1))
    if np.abs(np.diag(r)).min() < WELL_CONDITIONED:
        r = np.asarray(np.linalg.qr(x / length, mode="r"))
    return np.asarray(r * length, float)


def refuse_collinear(x: Floats, terms: Sequence[str]) -> Floats:
    """R of x = QR; raises, naming the terms that the earlier ones determine."""
    if x.shape[1] == 0:
        raise InvalidInput("the formula has no term to estimate")
    r = upper_factor(x)
    length = np.sqrt(np.einsum("ij,ij->j", r, r))  # of the columns of x
    flat = [t for t, size in zip(terms, length, strict=True) if size == 0]
    if flat:
        raise NotEstimable(f"{named(flat)} does not vary: leave it out")
    # without pivoting the diagonal is what each column adds to the ones before it
    adds = np.zeros(x.shape[1])
    adds[: min(r.shape)] = np.abs(np.diag(r / length))
    bound = [t for t, a in zip(terms, adds, strict=True) if a <= COLLINEAR]
    if bound:
        raise NotEstimable(
            f"{named(bound)} is determined by the other terms (collinear, or more "
            "terms than rows): leave it out"
        )
    return r


def refuse_uninformed(information: Floats, terms: Sequence[str]) -> None:
    """Raise when the risk sets say nothing on a term.

    `information` (p, p) at no effect, of covariates in standard deviations.
    """
    diagonal = np.diag(information)
    silent = [t for t, d in zip(terms, diagonal, strict=True) if d <= 1e-12]
    if silent:
        raise NotEstimable(
            f"{named(silent)} does not vary among those at risk at any event: leave it out"
        )
    unit = 1 / np.sqrt(diagonal)
    if np.linalg.eigvalsh(information * np.outer(unit, unit))[0] <= 1e-11:
        raise NotEstimable(
            "the terms are collinear among those at risk at the events: leave one of them out"
        )
