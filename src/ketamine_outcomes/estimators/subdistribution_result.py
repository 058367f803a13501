"""What a fitted Fine-Gray model predicts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from .formulas import Design
from .inputs import floats, known_codes, require_columns, sum_by
from .kaplan_meier import INTERVALS, probability_interval
from .results import (
    Bools,
    Floats,
    Ints,
    InvalidInput,
    Result,
    check_choice,
    check_level,
)
from .risk_sets import curve_table
from .subdistribution_likelihood import Moments, censoring_martingale, from_zero, kept_at_risk
from .subdistribution_weights import RiskSets


@dataclass(frozen=True)
class Fitted:
    """The fit in working units: covariates less `centre`, divided by `scale`."""

    built: Design
    x: Floats
    centre: Floats
    scale: Floats
    weight: Floats
    start: Floats
    stop: Floats
    unit: Ints
    sets: RiskSets
    at: Moments
    beta: Floats
    influence: Floats  # (n, p) of each row on the coefficients, times its weight
    cause: int
    strata: str | None
    strata_levels: list[Any]
    level: float


@dataclass(frozen=True, eq=False)
class FineGrayResult(Result):
    """A fitted Fine-Gray model."""

    _fitted: Fitted | None = None

    def predict_incidence(
        self,
        new_data: pd.DataFrame,
        times: ArrayLike | None = None,
        ci: str = "plain",
        level: float | None = None,
    ) -> pd.DataFrame:
        """Cumulative incidence of the cause for each row of `new_data` (and its stratum).

        Parameters
        ----------
        new_data
            Rows with the columns of the formula.
        times
            Where to read the curves; by default every event time of the cause, without
            standard errors (each costs a pass over the rows of the fit).
        ci
            plain, log or log-log, of the cumulative incidence.

        Returns
        -------
        DataFrame
            The columns of a curve; `group` is the index label of the row. n_at_risk counts the
            rows of the stratum under observation without an event, n_events those with the
            cause since the time before.

        Notes
        -----
        1 - exp(-exp(x beta) H(t)) with Breslow's H. R: `predict(crr fit, cov1)`. The standard
        error sums the influence of each row (or cluster) through the coefficients, H and the
        censoring distribution (Fine & Gray 1999, section 5).
        """
        fitted = self._fitted
        if fitted is None:
            raise InvalidInput("this result was not made by fine_gray")
        check_choice(ci, INTERVALS, "ci")
        level = fitted.level if level is None else check_level(level)
        asked = _checked(times)
        z, stratum = _new_rows(fitted, new_data)
        sets, at = fitted.sets, fitted.at
        parts = {}
        for own in np.unique(stratum):
            low, high = np.searchsorted(sets.time_stratum, [own, own + 1])
            known = sets.time[low:high]
            when = known if asked is None else asked
            upto = np.searchsorted(known, when, side="right")
            base = np.r_[0.0, np.cumsum(at.step[low:high])][upto]
            square = None
            if asked is not None:
                square = _gram(fitted, int(own), int(low), low + upto, when)
            mine = sets.stratum == own
            counts = {
                "time": when,
                "n_at_risk": _at_risk(fitted, mine, when),
                "n_events": _events(fitted, mine, when),
            }
            for row in np.flatnonzero(stratum == own).tolist():
                with np.errstate(over="ignore", invalid="ignore"):
                    ratio = np.exp(z[row] @ fitted.beta - at.shift)
                    hazard = np.where(base > 0, ratio * base, 0.0)  # also where the ratio overflows
                    event_free, std_error = np.exp(-hazard), np.full(when.size, np.nan)
                    if square is not None:
                        along = np.column_stack([np.ones(when.size), base[:, None] * z[row]])
                        spread = np.einsum("ta,tab,tb->t", along, square, along)
                        std_error = event_free * ratio * np.sqrt(np.maximum(spread, 0.0))
                        std_error = np.where((event_free > 0) & (base > 0), std_error, 0.0)
                estimate = -np.expm1(-hazard)
                low_end, high_end = probability_interval(estimate, std_error, ci, level)
                parts[row] = {
                    "cause": np.full(when.size, fitted.cause),
                    **counts,
                    "estimate": estimate,
                    "std_error": std_error,
                    "ci_low": low_end,
                    "ci_high": high_end,
                }
        return curve_table(list(new_data.index), [parts[row] for row in sorted(parts)])


def _checked(times: ArrayLike | None) -> Floats | None:
    if times is None:
        return None
    asked = np.unique(floats(times, "times"))
    if not np.isfinite(asked).all():
        raise InvalidInput("times must be finite numbers")
    return asked


def _new_rows(fitted: Fitted, new_data: pd.DataFrame) -> tuple[Floats, Ints]:
    require_columns(new_data, [fitted.strata])
    matrix = fitted.built.new(new_data)
    stratum = known_codes(new_data, fitted.strata, fitted.strata_levels)
    return (matrix - fitted.centre) / fitted.scale, stratum


def _at_risk(fitted: Fitted, mine: Bools, times: Floats) -> Floats:
    ends, begins = np.sort(fitted.stop[mine]), np.sort(fitted.start[mine])
    left = np.searchsorted(ends, times)
    return np.asarray(np.searchsorted(begins, times) - left, float)


def _events(fitted: Fitted, mine: Bools, times: Floats) -> Floats:
    happened = np.sort(fitted.stop[fitted.sets.events[mine[fitted.sets.events]]])
    return np.asarray(np.diff(np.r_[0, np.searchsorted(happened, times, side="right")]), float)


def _gram(fitted: Fitted, own: int, low: int, upto: Ints, times: Floats) -> Floats:
    """Sums over units of products of the influences on H(t) and on the coefficients.

    Shape (t, 1 + p, 1 + p), in working units. `upto` is, for each t, the index of the first
    event time after it; those of the stratum begin at `low`.
    """
    sets, at, unit = fitted.sets, fitted.at, fitted.unit
    n, m = fitted.stop.size, sets.time.size
    square_step = at.step / at.total
    walked = np.r_[0.0, np.cumsum(square_step)]
    late_walked = np.r_[0.0, np.cumsum(sets.factor * square_step[sets.factor_time])]
    drift = from_zero(at.step[:, None] * at.mean)
    drift -= drift[low].copy()
    jump, jump_at = np.zeros(n), np.full(n, m)
    jump[sets.events], jump_at[sets.events] = 1 / at.total[sets.at], sets.at
    elsewhere = sets.stratum != own
    cells = [c for c in sets.cells if sets.stratum[c.rows[0]] == own]
    kept = [kept_at_risk(sets, c, fitted.x, fitted.weight, fitted.stop, at)[:, :1] for c in cells]
    known = sets.time[cells[0].low : cells[0].high]
    on_beta = sum_by(unit, fitted.influence)
    out = np.empty((times.size, on_beta.shape[1] + 1, on_beta.shape[1] + 1))
    for i, end in enumerate(upto):
        exposed = walked[np.minimum(sets.leave, end)] - walked[np.minimum(sets.enter, end)]
        for cell in cells:
            who, position = sets.late[cell.late], sets.position[cell.late]
            last = np.maximum(position, cell.offset + end - cell.low)
            exposed[who] += sets.share[cell.late] * (late_walked[last] - late_walked[position])
        on_hazard = np.where(jump_at < end, jump, 0.0) - at.risk * exposed
        on_hazard[elsewhere] = 0.0
        if not sets.delayed:
            for cell, sums in zip(cells, kept, strict=True):
                first = cell.offset + np.searchsorted(known, cell.observed.time)
                last = np.maximum(first, cell.offset + end - cell.low)
                q = sums * (late_walked[last] - late_walked[first])[:, None]
                on_hazard[cell.rows] += censoring_martingale(cell, q, fitted.stop)[:, 0]
        direct = np.bincount(unit, fitted.weight * on_hazard)
        both = np.column_stack([direct - on_beta @ drift[end], on_beta])
        out[i] = both.T @ both
    return out
