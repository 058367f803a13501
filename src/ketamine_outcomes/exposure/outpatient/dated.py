"""MME per day from dated prescriptions, by the published definitions of a day."""

from __future__ import annotations

from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from ketamine_outcomes.errors import UserError
from ketamine_outcomes.exposure.outpatient.convert import (
    DEFAULT_FACTORS,
    Number,
    positive,
)
from ketamine_outcomes.exposure.outpatient.table import (
    DECIMALS,
    Day,
    Floats,
    Ints,
    day_of,
    prepare,
    window_of,
)

#: Daily doses are summed as integers of 1e-9 MME, so that what ends cancels exactly.
_NANO = 10**9


def convert_prescriptions(
    prescriptions: pd.DataFrame, factors: str = DEFAULT_FACTORS
) -> pd.DataFrame:
    """Return what each prescription holds in MME, or why it cannot be converted.

    Parameters
    ----------
    prescriptions
        As for `dated_mme`.
    factors
        Factor sets joined by `+`.

    Returns
    -------
    DataFrame
        Rows and index of the input: mme (M_i), mme_per_day (M_i / days supply), reason (a key of
        `REASONS`, empty when converted). A factor with tiers (methadone in cdc2016) is that of
        the patient's total of each day, so mme is the sum over the days of the prescription.

    Raises
    ------
    UserErrors
        As `dated_mme`.

    Examples
    --------
    >>> rx = pd.DataFrame({"patient_id": [1], "start": [1], "units": [120], "strength": [10],
    ...     "days_supply": [30], "drug": "oxycodone", "route": "oral", "strength_unit": "mg"})
    >>> convert_prescriptions(rx)[["mme", "mme_per_day"]].values.tolist()
    [[1800.0, 60.0]]
    """
    rx, _ = prepare(prescriptions, factors)
    return pd.DataFrame(
        {
            "mme": rx["mme"].round(DECIMALS).to_numpy(),
            "mme_per_day": (rx["mme"] / rx["days"]).round(DECIMALS).to_numpy(),
            "reason": rx["reason"].to_numpy(),
        },
        index=prescriptions.index,
    )


def dated_mme(
    prescriptions: pd.DataFrame,
    factors: str = DEFAULT_FACTORS,
    *,
    window: tuple[Day, Day] | None = None,
    window_edge: Literal["whole", "prorated"] = "whole",
) -> pd.DataFrame:
    """Return the four published MME/day figures of each patient from dated prescriptions.

    Parameters
    ----------
    prescriptions
        One row a prescription: patient_id; start (a date or a day number); units dispensed (mL
        of a liquid); strength of one unit; days_supply (whole days); and either drug, route and
        strength_unit (form if known) or `factor`, the MME of one unit of strength of one unit
        dispensed (7.2 for a fentanyl patch). Beside a strength_unit of mcg/h a factor needs its
        factor_unit. Where a row has both, its factor wins. Optional: days_per_patch.
    factors
        Factor sets joined by `+`.
    window
        First and last day of the fixed observation window, both inside it; day numbers may be
        relative to each patient's index. Without it that figure is missing.
    window_edge
        `whole`: a prescription counts wholly when it was filled in the window. `prorated`: its
        days in the window count, M_i x days inside / days supply.

    Returns
    -------
    DataFrame
        One row a patient, with M_i = units x strength x factor and d_i = days supply:

        - prescriptions (converted), unconverted (opioids without a value)
        - total_mme, total_days_supply, on_therapy_days
        - mme_per_supply_day: sum(M_i) / sum(d_i)
        - mme_per_therapy_day: sum(M_i) / number of days with any supply
        - mme_per_window_day: sum(M_i in the window) / length of the window
        - mme_max_day: the highest sum of M_i / d_i over the prescriptions of one day

        Unconverted prescriptions are in no numerator and no denominator. A patient who has
        some is incomplete: totals, the window and the maximum are lower bounds, and nothing of
        theirs is shown as 0.

    Raises
    ------
    UserErrors
        Every fault of the table with its rows: columns missing, numbers that are text, missing
        or not positive, days that are not whole, rows equal in every column, a filler number.

    Notes
    -----
    Dasgupta N et al. Clin J Pain 2021;37(8):565 (PMC8270512), definitions 1 to 4. Edge choices:

    - days: a prescription covers start .. start + days_supply - 1
    - refills: none is carried over; an early refill overlaps, counts twice in the first and
      fourth figure and once in the days of the second
    - gaps: no grace; a day without supply is not on therapy
    - days of zero dose count in the window only
    - the window decides the third figure only: give the others the prescriptions of the study
    - values are rounded to 1e-6 MME

    Examples
    --------
    Oxycodone 30 mg, 60 tablets for 30 days, and 5 mg, 14 tablets for 7 days, both on day 1,
    in a window of 90 days; the data lab of the paper prints 75.8, 93.5, 31.2 and 105:

    >>> rx = pd.DataFrame({"patient_id": 1, "start": 1, "units": [60, 14], "strength": [30, 5],
    ...     "days_supply": [30, 7], "factor": 1.5})
    >>> dated_mme(rx, window=(1, 90)).filter(like="mme_").round(1).values.tolist()
    [[75.8, 93.5, 31.2, 105.0]]
    """
    if window_edge not in ("whole", "prorated"):
        raise UserError("window_edge is 'whole' or 'prorated'", where="window_edge")
    rx, pieces = prepare(prescriptions, factors)
    result = _patients(rx, pieces)
    most = result.pop("mme_max_day")
    result["mme_per_window_day"] = np.nan
    if window is not None:
        first, last = window_of(window, prescriptions["start"])
        if window_edge == "whole":
            kept = rx[rx["reason"].eq("") & rx["start"].between(first, last)]
            summed = _sum(kept["code"], kept["mme"], len(result))
        else:
            end = (pieces["start"] + pieces["days"] - 1).clip(upper=last)
            inside = (end - pieces["start"].clip(lower=first) + 1).clip(lower=0)
            summed = _sum(pieces["code"], pieces["mme_per_day"] * inside, len(result))
        hidden = (summed == 0) & (result["unconverted"].to_numpy() > 0)
        value = (summed / (last - first + 1)).round(DECIMALS)
        result["mme_per_window_day"] = np.where(hidden, np.nan, value)
    return result.assign(mme_max_day=most)


def notebook_equations(
    prescriptions: pd.DataFrame,
    factors: str = DEFAULT_FACTORS,
    *,
    window_days: int | None = None,
    window_end: Day | None = None,
) -> pd.DataFrame:
    """Return the four equations of the working notebook of 2020, which differ from the paper's.

    Parameters
    ----------
    prescriptions, factors
        As for `dated_mme`.
    window_days
        Length of the window of the second equation.
    window_end
        Or its last day, as the notebook's code has it (30): the window begins at the patient's
        first fill. With neither, the window ends with the last day of supply, as printed.

    Returns
    -------
    DataFrame
        One row a patient: prescriptions, unconverted, sum_days (E1 = sum(M_i) / sum(d_i)),
        window (E2 = sum(M_i) / (max(end) - min(start) + 1)), unique_days (E3 = sum(M_i) / days
        with any supply), mean_of_rx (E4 = mean of M_i / d_i, which is no maximum).

    Notes
    -----
    Dasgupta N et al., opioiddatalab/MMEequations, 2020. The order is that of the printed
    results. The paper's fourth definition is the maximum of `dated_mme`, not this mean.

    Examples
    --------
    Experiment 3 of the notebook (15, 7, 15, 15):

    >>> rx = pd.DataFrame({"patient_id": 1, "start": [1, 10], "units": 14, "strength": 5,
    ...     "days_supply": 7, "factor": 1.5})
    >>> equations = notebook_equations(rx, window_days=30)
    >>> equations[["sum_days", "window", "unique_days", "mean_of_rx"]].values.tolist()
    [[15.0, 7.0, 15.0, 15.0]]
    """
    if window_days is not None and window_end is not None:
        raise UserError("a window has a length or an end", do="window_days or window_end")
    rx, pieces = prepare(prescriptions, factors)
    result = _patients(rx, pieces)
    kept = rx[rx["reason"].eq("")]
    by_patient = kept.groupby("code")
    first = by_patient["start"].min().reindex(result.index)
    if window_days is not None:
        length: float | pd.Series = float(positive(window_days, "window_days"))
    elif window_end is not None:
        length = day_of(window_end, prescriptions["start"], "window_end") - first + 1
        if (length < 1).any():
            raise UserError("the window ends before a first fill", where="window_end")
    else:
        last = (kept["start"] + kept["days"] - 1).groupby(kept["code"]).max()
        length = last.reindex(result.index) - first + 1
    each = (kept["mme"] / kept["days"]).groupby(kept["code"]).mean().reindex(result.index)
    return pd.DataFrame(
        {
            "patient_id": result["patient_id"],
            "prescriptions": result["prescriptions"],
            "unconverted": result["unconverted"],
            "sum_days": result["mme_per_supply_day"],
            "window": (result["total_mme"] / length).round(DECIMALS),
            "unique_days": result["mme_per_therapy_day"],
            "mean_of_rx": each.round(DECIMALS),
        }
    )


def share_above(daily_mme: ArrayLike, threshold: Number = 90, inclusive: bool = False) -> float:
    """Return the share of patients whose MME/day lies above a threshold.

    Parameters
    ----------
    daily_mme
        One value a patient; who is in the denominator is the caller's to say, so a missing value
        is refused.
    threshold
        MME per day, 0 or more.
    inclusive
        Whether a value at the threshold counts (>=).

    Returns
    -------
    float
        From 0 to 1.

    Notes
    -----
    CDC 2016 names 90 MME/day. Dasgupta et al. 2021 count > 90; >= 90 adds 14 to 34 patients per
    1,000 who are high-dose in Florida by three of the four definitions (draft tables).

    Examples
    --------
    >>> share_above([30, 90, 120, 60]), share_above([30, 90, 120, 60], inclusive=True)
    (0.25, 0.5)
    """
    values = np.asarray(daily_mme)
    if values.dtype.kind not in "iuf":
        raise UserError("MME/day must be numbers", where="daily_mme")
    if values.size == 0 or not np.isfinite(values).all():
        raise UserError(
            "MME/day is missing for some patient, or there is none",
            where="daily_mme",
            do="say who is in the denominator: drop or count them first",
        )
    limit = 0.0 if threshold == 0 else float(positive(threshold, "threshold"))
    return float(np.mean(values >= limit if inclusive else values > limit))


# --- patients ---------------------------------------------------------------------------------


def _patients(rx: pd.DataFrame, pieces: pd.DataFrame) -> pd.DataFrame:
    """Return one row a patient: counts, totals, and the figures that need no window."""
    counted = rx.assign(
        prescriptions=rx["reason"].eq(""), unconverted=~rx["reason"].isin(["", "not_an_opioid"])
    )
    by_patient = counted.groupby("code")
    result = by_patient[["prescriptions", "unconverted"]].sum().rename_axis(None)
    result.insert(0, "patient_id", by_patient["patient_id"].first().to_numpy())
    n, kept = len(result), rx[rx["reason"].eq("")]
    none = result["prescriptions"].to_numpy() == 0
    total = np.where(none, np.nan, _sum(kept["code"], kept["mme"], n))
    supply = _sum(kept["code"], kept["days"], n)
    covered, highest = _sweep(pieces, n)
    with np.errstate(invalid="ignore", divide="ignore"):
        return result.assign(
            total_mme=total.round(DECIMALS),
            total_days_supply=supply.astype(np.int64),
            on_therapy_days=covered,
            mme_per_supply_day=(total / supply).round(DECIMALS),
            mme_per_therapy_day=(total / covered).round(DECIMALS),
            mme_max_day=np.where(none, np.nan, (highest / _NANO).round(DECIMALS)),
        )


def _sum(code: pd.Series, values: pd.Series, n: int) -> Floats:
    return np.bincount(code.to_numpy(), values.to_numpy(), n).astype(np.float64)


def _sweep(pieces: pd.DataFrame, n: int) -> tuple[Ints, Ints]:
    """Return the days with any supply and the highest daily dose of n patients, day by day."""
    highest = np.zeros(n, np.int64)
    if pieces.empty:
        return highest, highest
    code, start, days = (pieces[name].to_numpy() for name in ("code", "start", "days"))
    rate = np.rint(pieces["mme_per_day"].to_numpy() * _NANO).astype(np.int64)
    who, at = np.concatenate([code, code]), np.concatenate([start, start + days])
    order = np.lexsort((at, who))
    who, at = who[order], at[order]
    level = np.cumsum(np.concatenate([rate, -rate])[order])
    running = np.cumsum(np.repeat([1, -1], len(code))[order])
    # The state of a day is that after its last change.
    last = np.append((who[1:] != who[:-1]) | (at[1:] != at[:-1]), True)
    who, at, level, running = who[last], at[last], level[last], running[last]
    np.maximum.at(highest, who, level)
    until_next = np.append(np.diff(at), 0)
    covered = np.bincount(who, until_next * (running > 0), n)
    return covered.astype(np.int64), highest
