"""Multiple imputation by chained equations, for one row per patient or repeated rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import numpy as np
import pandas as pd

from .imputation_draws import draw_level, draw_number, draw_number_in_cluster
from .inputs import codes, require_columns
from .results import Bools, Floats, Ints, InvalidInput, NotEstimable, check_whole

ITERATIONS = 10
FEWEST = 4  # observed values that a column needs
MOST_LEVELS = 30
IDENTIFIER_ROWS = 20  # from here on a column of different whole numbers is taken for an identifier


@dataclass(frozen=True, eq=False)
class Imputations:
    """Completed data sets.

    Attributes
    ----------
    data
        m DataFrames with the rows, columns, index and types of the input and nothing missing.
    table
        One row per column: column, level (row or cluster), method, n_missing.
    trace
        Mean and standard deviation of the imputed values (levels count 0, 1, 2, ...) by
        imputation, iteration and column; lines that run level and mix show convergence.
    diagnostics
        n_imputations, n_iterations, n_observations, n_clusters, seed; read only.
    """

    data: tuple[pd.DataFrame, ...]
    table: pd.DataFrame
    trace: pd.DataFrame
    diagnostics: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "diagnostics", MappingProxyType(dict(self.diagnostics)))


@dataclass(frozen=True, eq=False)
class _Column:
    """A column as numbers at its level (rows, or clusters when it is constant inside them)."""

    name: str
    of_cluster: bool  # one value per cluster
    in_cluster: bool  # varies inside clusters
    levels: int  # 0 for numbers
    values: Floats  # NaN where missing
    place: Ints  # row of the data that holds each observed value, -1 where missing

    @property
    def observed(self) -> Bools:
        return self.place >= 0

    @property
    def method(self) -> str:
        if self.observed.all():
            return ""
        number = "random intercept" if self.in_cluster else "predictive mean matching"
        return {0: number, 2: "logistic"}.get(self.levels, "multinomial")

    def expand(self, values: Floats) -> Floats:
        """Predictor columns: the number, or indicators of all levels but the first."""
        if self.levels == 0:
            return values[:, None]
        return np.asarray(values[:, None] == np.arange(1, self.levels), float)


def impute_chained(
    data: pd.DataFrame, *, seed: int, cluster: str | None = None, m: int = 20
) -> Imputations:
    """Impute every missing value m times by chained equations.

    Parameters
    ----------
    data
        The columns of the analysis (outcome and event included) and those that predict missing
        values; each is a predictor of all others. No identifiers and no dates.
    seed
        Whole number; with the same rows in the same order it gives the same data sets. Imputation
        i does not depend on m.
    cluster
        Column of the units (patients) that have several rows. Columns that are constant inside
        the units are imputed once per unit, from the others and from the unit means of the
        varying ones. Varying columns get the unit means of the others as predictors, and either a
        random intercept (numbers) or the share of each level in the other rows of the unit.
    m
        Number of data sets: at least the percentage of incomplete rows (White, Royston & Wood
        2011).

    Returns
    -------
    Imputations
        `.data` (tuple of m DataFrames), `.table`, `.trace`, `.diagnostics`.

    Raises
    ------
    InvalidInput
        Identifiers (words of more than 30 kinds or mostly different, different whole numbers in
        all rows), dates, infinite values, a missing value in `cluster`, a seed that is not whole.
    NotEstimable
        A column with missing values and fewer than 4 observed values, or one value only.

    Notes
    -----
    van Buuren & Groothuis-Oudshoorn (2011). Numbers and ordered categories: predictive mean
    matching with 5 donors, or with a random intercept the observed value nearest to a draw, so
    that imputed values are values that occur. Two values: logistic; more levels: multinomial
    regression, augmented where a level is separated (White, Daniel & Royston 2010). Parameters
    are drawn each time. With more predictors than half the observed rows their leading principal
    components are used. R: `mice::mice`, not number by number.

    Examples
    --------
    >>> rows = pd.DataFrame({"age": [50, 60, 70, 80, 90, 40], "pain": [3, 4, 5, None, 7, 2]})
    >>> completed = impute_chained(rows, seed=1, m=3).data
    >>> len(completed), int(completed[0].isna().sum().sum())
    (3, 0)
    """
    m, seed = check_whole(m, "m", 1), check_whole(seed, "seed", 0)
    group, units, columns = _columns(data, cluster)
    used = [c for c in columns if len(np.unique(c.values[c.observed])) > 1]
    open_columns = sorted(
        (c for c in used if not c.observed.all()), key=lambda c: int((~c.observed).sum())
    )
    completed, traces = [], []
    for i, stream in enumerate(np.random.SeedSequence(seed).spawn(m)):
        rng = np.random.default_rng(stream)
        sources, trace = _chain(used, open_columns, group, units, rng)
        completed.append(_complete(data, columns, sources, group))
        traces += [(i, *line) for line in trace]
    return Imputations(
        data=tuple(completed),
        table=pd.DataFrame(
            {
                "column": [c.name for c in columns],
                "level": ["cluster" if c.of_cluster else "row" for c in columns],
                "method": [c.method for c in columns],
                "n_missing": [int(data[c.name].isna().sum()) for c in columns],
            }
        ),
        trace=pd.DataFrame(traces, columns=["imputation", "iteration", "column", "mean", "sd"]),
        diagnostics={
            "n_imputations": m,
            "n_iterations": ITERATIONS if open_columns else 0,
            "n_observations": len(data),
            "n_clusters": units if cluster is not None else None,
            "seed": seed,
        },
    )


def _columns(data: pd.DataFrame, cluster: str | None) -> tuple[Ints | None, int, list[_Column]]:
    require_columns(data, [cluster])
    if not data.columns.is_unique:
        raise InvalidInput("two columns of data have one name")
    if not all(isinstance(n, str) for n in data.columns):
        raise InvalidInput("the names of the columns must be text")
    names = [n for n in data.columns if n != cluster]
    if not names or data.empty:
        raise InvalidInput("data must have rows, and a column besides the cluster")
    group, units = None, 0
    if cluster is not None:
        if data[cluster].isna().any():
            raise InvalidInput(f"{int(data[cluster].isna().sum())} rows have no {cluster!r}")
        group, labels = codes(data, cluster)
        units = len(labels)
    return group, units, [_column(data[n], group, units) for n in names]


def _column(series: pd.Series[Any], group: Ints | None, units: int) -> _Column:
    name, kind = str(series.name), series.dtype
    seen = series.notna().to_numpy(dtype=bool)
    if not seen.any():
        raise NotEstimable(f"column {name!r} has no observed value: leave it out")
    if kind.kind in "mMc" or isinstance(kind, pd.PeriodDtype | pd.IntervalDtype):
        raise InvalidInput(
            f"column {name!r} must hold numbers or words: turn dates into days since a start"
        )
    values = np.full(len(series), np.nan)
    number = pd.api.types.is_numeric_dtype(kind) and not pd.api.types.is_bool_dtype(kind)
    if number:
        values = series.to_numpy(dtype=float, na_value=np.nan)
        if not np.isfinite(values[seen]).all():
            raise InvalidInput(f"column {name!r} holds infinite values")
        distinct, labels = np.unique(values[seen], return_inverse=True)
        levels = 2 if distinct.size == 2 else 0
        if levels:
            values[seen] = labels
    else:
        coded, words = codes(series[seen].to_frame("values"), "values")
        values[seen] = coded
        ordered = isinstance(kind, pd.CategoricalDtype) and kind.ordered and len(words) > 2
        levels = 0 if ordered else len(words)
    place = np.where(seen, np.arange(len(series)), -1)
    of_cluster = False
    if group is not None and _constant(values, group, units):
        of_cluster = True
        first = pd.Series(place[seen]).groupby(group[seen]).first()
        place = np.full(units, -1)
        place[first.index] = first
        values = np.where(place >= 0, values[place], np.nan)
    in_cluster = group is not None and not of_cluster
    column = _Column(name, of_cluster, in_cluster, levels, values, place)
    _refuse_unfit(column, whole=pd.api.types.is_integer_dtype(kind))
    return column


def _constant(values: Floats, group: Ints, units: int) -> bool:
    """Whether no unit has two different observed values."""
    seen = ~np.isnan(values)
    low, high = np.full(units, np.inf), np.full(units, -np.inf)
    np.minimum.at(low, group[seen], values[seen])
    np.maximum.at(high, group[seen], values[seen])
    return bool((high <= low).all())


def _refuse_unfit(column: _Column, whole: bool) -> None:
    seen = column.values[column.observed]
    n, distinct = seen.size, np.unique(seen).size
    name = column.name
    if column.levels > MOST_LEVELS or column.levels > max(2.0, n / 2):
        raise InvalidInput(
            f"column {name!r} has {column.levels} kinds of words in {n} values: leave "
            "identifiers out, and join rare levels"
        )
    if whole and column.observed.all() and distinct == n >= IDENTIFIER_ROWS:
        raise InvalidInput(
            f"column {name!r} has a different whole number everywhere, as identifiers have: leave "
            "it out, or turn measurements into float"
        )
    if column.observed.all():
        return
    if distinct == 1:
        raise NotEstimable(f"column {name!r} has one observed value only: leave it out")
    if n < FEWEST:
        raise NotEstimable(f"column {name!r} has {n} observed values: too few to impute from")


def _chain(
    used: list[_Column],
    open_columns: list[_Column],
    group: Ints | None,
    units: int,
    rng: np.random.Generator,
) -> tuple[dict[str, Ints], list[tuple[int, str, float, float]]]:
    """One imputation: the row of the data that each missing value is copied from, and the trace."""
    now = {c.name: c.values.copy() for c in used}
    source: dict[str, Ints] = {}
    for c in open_columns:  # start from random observed values
        source[c.name] = rng.choice(np.flatnonzero(c.observed), int((~c.observed).sum()))
        now[c.name][~c.observed] = c.values[source[c.name]]
    trace = []
    for iteration in range(ITERATIONS):
        for c in open_columns:
            x = _predictors(c, used, now, group, units)
            picked = _draw(c, x, group, rng)
            source[c.name] = picked
            imputed = c.values[picked]
            now[c.name][~c.observed] = imputed
            trace.append((iteration, c.name, float(imputed.mean()), float(imputed.std())))
    return {c.name: c.place[source[c.name]] for c in open_columns}, trace


def _draw(c: _Column, x: Floats, group: Ints | None, rng: np.random.Generator) -> Ints:
    """Position (at the level of the column) of the value for each missing place."""
    observed = c.observed
    if c.levels:
        labels = np.where(observed, c.values, 0).astype(np.int64)
        first = np.array([np.argmax(observed & (c.values == i)) for i in range(c.levels)])
        return np.asarray(first[draw_level(x, labels, c.levels, observed, rng)])
    if group is not None and c.in_cluster:
        return draw_number_in_cluster(x, c.values, observed, group, rng)
    return draw_number(x, c.values, observed, rng)


def _predictors(
    target: _Column,
    used: list[_Column],
    now: dict[str, Floats],
    group: Ints | None,
    units: int,
) -> Floats:
    """All other columns at the level of `target`."""
    own, means = [], []
    size = None if group is None else np.bincount(group, minlength=units).astype(float)
    for c in used:
        x = c.expand(now[c.name])
        if group is None or size is None:
            if c is not target:
                own.append(x)
            continue
        if c.of_cluster:
            if c is not target:
                own.append(x if target.of_cluster else x[group])
            continue
        total = np.column_stack([np.bincount(group, column, units) for column in x.T])
        if c is target:
            if c.levels:  # share in the other rows of the unit, with one row of the average
                others = total[group] - x + x.mean(axis=0)
                means.append(others / size[group][:, None])
            continue
        mean = total / size[:, None]
        means.append(mean if target.of_cluster else mean[group])
        if not target.of_cluster:
            own.append(x)
    rows = target.values.size
    return np.column_stack([np.empty((rows, 0)), *own, *means])


def _complete(
    data: pd.DataFrame, columns: list[_Column], sources: dict[str, Ints], group: Ints | None
) -> pd.DataFrame:
    """Copy of the data with values copied into the missing places."""
    out = data.copy()
    for c in columns:
        missing = np.flatnonzero(data[c.name].isna().to_numpy())
        if not missing.size:
            continue
        place = c.place.copy()
        if c.name in sources:
            place[~c.observed] = sources[c.name]
        rows = place[missing] if group is None or not c.of_cluster else place[group[missing]]
        filled = data[c.name].array.copy()
        filled[missing] = filled.take(rows)
        out[c.name] = pd.Series(filled, index=data.index, dtype=data[c.name].dtype)
    return out
