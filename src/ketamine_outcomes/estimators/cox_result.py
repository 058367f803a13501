"""What a fitted Cox model can tell: hazards, survival, residuals, proportional hazards."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy import special

from . import cox_likelihood as likelihood
from . import cox_residuals, cox_zph
from .cox_fitted import Fitted
from .cox_zph import weight_above
from .inputs import floats
from .kaplan_meier import INTERVALS, probability_interval
from .results import (
    Floats,
    InvalidInput,
    NotEstimable,
    Result,
    check_choice,
    check_level,
    t_quantile,
)
from .risk_sets import curve_table

RESIDUALS = (
    "martingale",
    "deviance",
    "score",
    "schoenfeld",
    "scaled_schoenfeld",
    "dfbeta",
    "dfbetas",
)


@dataclass(frozen=True, eq=False)
class CoxResult(Result):
    """A fitted Cox model.

    Examples
    --------
    >>> from ketamine_outcomes.estimators import cox
    >>> rows = pd.DataFrame({"t": [1, 2, 3, 4, 5], "e": [1, 1, 0, 1, 1], "x": [1, 0, 1, 0, 1]})
    >>> fit = cox("x", rows, "t", "e")
    >>> fit.predict_survival(rows[["x"]].head(1), times=[2])["estimate"].round(3).tolist()
    [0.754]
    >>> fit.baseline_hazard()["estimate"].round(3).tolist()
    [0.303, 0.651, 0.651, 1.349, 3.651]
    >>> fit.proportional_hazards_test("rank")["statistic"].round(3).tolist()
    [1.421, 1.421]
    >>> fit.residuals("martingale")["martingale"].round(3).tolist()
    [0.869, 0.349, -0.283, -0.349, -0.586]
    """

    _fitted: Fitted | None = None

    def baseline_hazard(self, level: float | None = None) -> pd.DataFrame:
        """Cumulative baseline hazard: all covariates (and the offset) at 0.

        Returns
        -------
        DataFrame
            The columns of a curve at every distinct end of follow-up; `group` is the stratum,
            `estimate` the cumulative hazard. Efron's estimate when the ties are Efron's, else
            Breslow's. The interval is estimate -/+ quantile * std_error, cut at 0.

        Notes
        -----
        R: `basehaz(fit, centered = FALSE)`; the standard error is that of the log survival of
        `survfit(fit, newdata = <zeros>)` (Tsiatis 1981).
        """
        fitted = self._parts()
        z = float(t_quantile(self._level(level), np.inf))
        x = (-fitted.centre / fitted.scale)[None, :]
        parts = []
        for code in range(len(fitted.strata_levels)):
            curve = self._cumulative(code, x, np.array([-fitted.offset_centre]), None)
            estimate, std_error = curve.pop("hazard")[0], curve.pop("std_error")[0]
            with np.errstate(invalid="ignore"):
                low = np.maximum(estimate - z * std_error, 0.0)
            parts.append(
                {
                    **curve,
                    "estimate": estimate,
                    "std_error": std_error,
                    "ci_low": low,
                    "ci_high": estimate + z * std_error,
                }
            )
        return curve_table(fitted.strata_levels, parts)

    def predict_survival(
        self,
        new_data: pd.DataFrame,
        times: ArrayLike | None = None,
        ci: str = "log",
        level: float | None = None,
    ) -> pd.DataFrame:
        """Survival curve of each row of `new_data` (with its stratum and offset, if any).

        Parameters
        ----------
        new_data
            Rows with the columns of the formula.
        times
            Where to read the curves; by default every distinct end of follow-up.
        ci
            plain, log or log-log, as survfit's conf.type.

        Returns
        -------
        DataFrame
            The columns of a curve; `group` is the index label of the row. exp(-cumulative
            hazard), Efron or Breslow as the fit. The standard error holds that of the
            coefficients, robust if that of the fit is. n_at_risk and n_events (since the time
            before) are weighted counts of the stratum.

        Notes
        -----
        R: `survfit(fit, newdata, conf.type = ci)`; Tsiatis (1981).
        """
        fitted, level = self._parts(), self._level(level)
        check_choice(ci, INTERVALS, "ci")
        at = None if times is None else np.unique(floats(times, "times"))
        if at is not None and not np.isfinite(at).all():
            raise InvalidInput("times must be finite numbers")
        x, fixed = fitted.working(new_data)
        parts = {}
        code = fitted.stratum_of(new_data)
        for stratum in np.unique(code):
            mine = np.flatnonzero(code == stratum)
            curve = self._cumulative(int(stratum), x[mine], fixed[mine], at)
            hazard, error = curve.pop("hazard"), curve.pop("std_error")
            for i, row in enumerate(mine.tolist()):
                estimate = np.exp(-hazard[i])
                with np.errstate(over="ignore", invalid="ignore"):
                    # the limit where the hazard overflows
                    inside = (estimate > 0) & (hazard[i] > 0)
                    std_error = np.where(inside, estimate * error[i], 0.0)
                    low, high = probability_interval(estimate, std_error, ci, level)
                parts[row] = {
                    **curve,
                    "estimate": estimate,
                    "std_error": std_error,
                    "ci_low": low,
                    "ci_high": high,
                }
        return curve_table(list(new_data.index), [parts[row] for row in sorted(parts)])

    def linear_predictor(
        self,
        new_data: pd.DataFrame,
        reference: pd.DataFrame | None = None,
        level: float | None = None,
    ) -> pd.DataFrame:
        """Log hazard ratio of each row of `new_data` against a reference.

        Parameters
        ----------
        reference
            One row with the columns of the formula; by default all covariates (and the offset)
            at 0.

        Returns
        -------
        DataFrame
            estimate, std_error, ci_low, ci_high with the index of new_data; exp(estimate) is
            the hazard ratio.

        Notes
        -----
        R: `predict(fit, newdata, type = "lp", reference = "zero", se.fit = TRUE)`.
        """
        fitted = self._parts()
        z = float(t_quantile(self._level(level), np.inf))
        x, fixed = fitted.working(new_data)
        if reference is None:
            base, base_fixed = -fitted.centre / fitted.scale, -fitted.offset_centre
        else:
            if not isinstance(reference, pd.DataFrame) or len(reference) != 1:
                raise InvalidInput("reference must be a DataFrame of one row")
            matrix, offsets = fitted.working(reference)
            base, base_fixed = matrix[0], float(offsets[0])
        difference = x - base
        estimate = difference @ fitted.beta + fixed - base_fixed
        std_error = np.sqrt(
            np.einsum("ia,ab,ib->i", difference, fitted.covariance, difference).clip(min=0.0)
        )
        return pd.DataFrame(
            {
                "estimate": estimate,
                "std_error": std_error,
                "ci_low": estimate - z * std_error,
                "ci_high": estimate + z * std_error,
            },
            index=new_data.index,
        )

    def proportional_hazards_test(self, transform: str = "km", terms: bool = True) -> pd.DataFrame:
        """Score test that each effect is constant against one linear in a function of time.

        Parameters
        ----------
        transform
            The function of time: km (1 - Kaplan-Meier just before), rank (of all ends of
            follow-up), identity or log.
        terms
            True tests the columns of a factor or interaction together, False one by one.

        Returns
        -------
        DataFrame
            term, statistic (chi-square), df, p_value; the last row, "global", tests all terms.
            NaN where the event times are too few to tell a change.

        Notes
        -----
        R: `cox.zph(fit, transform, terms)` of survival >= 3; Grambsch & Therneau (1994). As
        there, the test uses the information, not the robust variance.
        """
        self._refuse_exact("test of proportional hazards")
        if "penalty" in self.diagnostics:
            raise InvalidInput("the test of proportional hazards needs a fit with firth=False")
        return cox_zph.score_test(self._parts(), transform, terms)

    def residuals(self, kind: str = "martingale") -> pd.DataFrame:
        """Residuals of the fit.

        Parameters
        ----------
        kind
            martingale, deviance (one column); score, dfbeta, dfbetas (a column per term, times
            the weight for the last two), one row per row of the fit with its index label;
            schoenfeld, scaled_schoenfeld: one row per event by stratum and time, indexed by
            time.

        Notes
        -----
        R: `residuals(fit, type)` (scaledsch for scaled_schoenfeld). Therneau, Grambsch & Fleming
        (1990); dfbeta is the score residual times the inverse information.
        """
        fitted = self._parts()
        check_choice(kind, RESIDUALS, "kind")
        sets, at, terms = fitted.sets, fitted.at, fitted.built.terms
        if kind in ("martingale", "deviance"):
            died = np.zeros(sets.n_rows)
            died[sets.order[sets.died]] = 1.0
            value = cox_residuals.in_data_order(sets, cox_residuals.martingale_residuals(sets, at))
            if kind == "deviance":
                value = np.sign(value) * np.sqrt(
                    -2 * (value + special.xlogy(died, died - value)).clip(max=0.0)
                )
            return pd.DataFrame({kind: value}, index=fitted.built.index)
        self._refuse_exact(f"{kind} residuals")
        if "schoenfeld" in kind:
            by_row = np.lexsort((sets.order[sets.died], sets.at))
            rows, cell = sets.died[by_row], sets.at[by_row]
            value = sets.x[rows] - cox_residuals.event_mean(sets, at)[cell]
            if kind == "scaled_schoenfeld":
                value = (fitted.beta + sets.died.size * value @ fitted.naive) / fitted.scale
            else:
                value = value * fitted.scale
            index = pd.Index(sets.time[cell], name="time")
            return pd.DataFrame(value, index=index, columns=terms)
        value = cox_residuals.in_data_order(sets, cox_residuals.score_residuals(sets, at))
        if kind == "score":
            value = value * fitted.scale
        else:
            weight = cox_residuals.in_data_order(sets, sets.weight)
            value = weight[:, None] * value @ fitted.naive
            value /= fitted.scale if kind == "dfbeta" else np.sqrt(np.diag(fitted.naive))
        return pd.DataFrame(value, index=fitted.built.index, columns=terms)

    def concordance(self) -> float:
        """Share of the comparable pairs in which the row of the higher hazard fails first.

        A tie in the hazard counts half. Computed by lifelines, which compares no pairs across
        delayed entries, strata or weights: a fit with one of them is refused.

        Notes
        -----
        Harrell, Lee & Mark (1996). R: `concordance(fit)$concordance`.
        """
        fitted = self._parts()
        if any(n is not None for n in (fitted.entry, fitted.strata, fitted.weights)):
            raise InvalidInput("concordance needs a fit without entry, strata and weights")
        from lifelines.utils import concordance_index  # lazy: 3 s

        _, stop, died, _ = fitted.follow_up()
        first = stop[died].min()
        if not ((stop > first) | ((stop == first) & ~died)).any():
            raise NotEstimable("no row is followed beyond an event: there are no pairs to compare")
        x, fixed = fitted.working(fitted.built.data)
        log_hazard = x @ fitted.beta + fixed
        # rows of equal covariates are ties, whatever the rounding of their sums
        step = 1e-12 * max(1.0, float(np.abs(log_hazard).max()))
        return float(concordance_index(stop, -np.rint(log_hazard / step), died))

    def _parts(self) -> Fitted:
        if self._fitted is None:
            raise InvalidInput("this result was not made by cox")
        return self._fitted

    def _level(self, level: float | None) -> float:
        return check_level(self.diagnostics["level"] if level is None else level)

    def _refuse_exact(self, what: str) -> None:
        if self._parts().sets.ties == "exact":
            raise InvalidInput(f"ties='exact' has no {what}: fit with ties='efron'")

    @np.errstate(over="ignore", invalid="ignore")
    def _cumulative(
        self, code: int, x: Floats, fixed: Floats, times: Floats | None
    ) -> dict[str, Any]:
        """Cumulative hazard of rows `x` in one stratum, its standard error, and the counts."""
        fitted = self._parts()
        sets, at = fitted.sets, fitted.at
        start, stop, died, weight = fitted.follow_up()
        mine = fitted.stratum_of(fitted.built.data) == code
        start, stop, died, weight = start[mine], stop[mine], died[mine], weight[mine]
        if times is None:
            times = np.unique(stop)
        n_at_risk = weight_above(stop, weight, times) - weight_above(start, weight, times)
        until_now = weight_above(-stop[died], weight[died], -times)
        counts = {
            "time": times,
            "n_at_risk": n_at_risk,
            "n_events": np.diff(np.r_[0.0, until_now]),
        }
        place = np.flatnonzero(sets.stratum == code)
        if not place.size:  # no event in this stratum
            nothing = np.zeros((len(x), times.size))
            return {**counts, "hazard": nothing, "std_error": nothing}
        cells = slice(*sets.stratum_first[place[0] : place[0] + 2])
        index = np.searchsorted(sets.time[cells], times, side="right")
        hazard, variance, mean = (
            np.concatenate([np.zeros((1, *a.shape[1:])), np.cumsum(a[cells], axis=0)])[index]
            for a in (
                likelihood.hazard(sets, at),
                likelihood.hazard_variance(sets, at),
                likelihood.hazard_mean(sets, at),
            )
        )
        risk = np.exp(x @ fitted.beta + fixed - at.shift[place[0]])
        error = np.empty((len(x), times.size))
        for i, row in enumerate(x):
            lean = mean - hazard[:, None] * row
            spread = np.einsum("ta,ab,tb->t", lean, fitted.covariance, lean)
            error[i] = risk[i] * np.sqrt(variance + spread)
        hazard = np.where(hazard > 0, risk[:, None] * hazard, 0.0)  # also where the risk overflows
        return {**counts, "hazard": hazard, "std_error": error}
