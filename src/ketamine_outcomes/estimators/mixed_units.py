"""Clusters, within outer groups when there are such, from columns of labels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from .inputs import coded
from .results import Ints


@dataclass(frozen=True)
class Units:
    """Cluster of every row, and what the clusters are called."""

    codes: Ints
    index: pd.Index[Any]
    outer_of: Ints | None = None
    outer_index: pd.Index[Any] | None = None
    shared: bool = False  # a label of `cluster` occurs in several outer groups

    @property
    def n(self) -> int:
        """Number of clusters."""
        return len(self.index)


def number_units(data: pd.DataFrame, cluster: str, outer: str | None) -> Units:
    """Number the clusters; within outer groups when there are such."""
    unit, labels = coded(data, cluster)
    if outer is None:
        return Units(unit, labels.rename(cluster))
    over, above = coded(data, outer)
    pair, pairs = pd.factorize(over * len(labels) + unit, sort=True)
    outer_of, unit_of = np.divmod(np.asarray(pairs, np.int64), len(labels))
    named = labels.rename(cluster).take(unit_of)
    outer_index = above.rename(outer)
    shared = not named.is_unique
    if shared:
        named = pd.MultiIndex.from_arrays([outer_index.take(outer_of), named])
    return Units(np.asarray(pair, np.int64), named, outer_of, outer_index, shared)
