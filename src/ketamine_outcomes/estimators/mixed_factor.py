"""The relative factor L of the random effects, G = L L', and the boundary of the cone of G."""

from __future__ import annotations

import numpy as np

from .results import Bools, Floats

SINGULAR = 1e-4  # relative standard deviation, random columns of unit length, as lme4's isSingular
VARIANCES = tuple(10.0 ** np.arange(-6, 5))  # tried when an empty direction takes some


class RelativeFactor:
    """Lower triangular L (q, q) of which some entries are free; theta begins with these.

    Parameters
    ----------
    template
        (q, q) True where L is free: the lower triangle, or its diagonal for uncorrelated
        effects.
    """

    def __init__(self, template: Bools) -> None:
        self.template = template
        self.rows, self.columns = np.nonzero(template)
        self.q = int(template.shape[0])

    @property
    def uncorrelated(self) -> bool:
        """Only the diagonal of L is free."""
        return self.rows.size == self.q

    def factor(self, theta: Floats) -> Floats:
        """L from its free entries."""
        out = np.zeros((self.q, self.q))
        out[self.rows, self.columns] = theta[: self.rows.size]
        return out

    def upright(self, theta: Floats) -> Floats:
        """Free entries once columns of L with a negative diagonal are flipped; G stays the same."""
        factor = self.factor(theta)
        factor = factor * np.where(np.diag(factor) < 0, -1.0, 1.0)
        return np.asarray(factor[self.rows, self.columns], float)

    def empty_directions(self, factor: Floats) -> Floats:
        """Columns: unit directions without variance (coordinates when effects are uncorrelated)."""
        if self.uncorrelated:
            return np.eye(self.q)[:, np.diag(factor) <= SINGULAR]
        values, vectors = np.linalg.eigh(factor @ factor.T)
        return np.asarray(vectors[:, values <= SINGULAR**2], float)

    def lowest_slope(self, factor: Floats, slope: Floats) -> float:
        """Smallest derivative into an empty direction, from that in G (inf when none is empty)."""
        empty = self.empty_directions(factor)
        if not empty.shape[1]:
            return float("inf")
        inside = empty.T @ slope @ empty
        return float((np.diag(inside) if self.uncorrelated else np.linalg.eigvalsh(inside)).min())

    def widened(self, factor: Floats, slope: Floats) -> list[Floats]:
        """Free entries with more and more variance along the steepest empty direction."""
        empty = self.empty_directions(factor)
        inside = empty.T @ slope @ empty
        if self.uncorrelated:
            direction = empty[:, int(np.argmin(np.diag(inside)))]
        else:
            direction = empty @ np.linalg.eigh(inside)[1][:, 0]
        out = []
        for variance in VARIANCES:
            # L L' + variance d d' = A A' with A = [L, sqrt(variance) d]; QR makes A triangular
            wide = np.column_stack([factor, np.sqrt(variance) * direction])
            r = np.asarray(np.linalg.qr(wide.T, mode="r"))
            moved = r.T * np.where(np.diag(r) < 0, -1.0, 1.0)
            out.append(np.asarray(moved[self.rows, self.columns], float))
        return out
