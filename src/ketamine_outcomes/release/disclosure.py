"""Suppression of small numbers: what stands between the estimates and everything released.

The only switch is the policy of the study. Primary suppression hides every row that rests on
1 to `threshold` people, events or records, or on all but so few. Secondary suppression hides
what a hidden cell could be derived from: boxes of the flow diagram whose difference is small,
a sibling in every set that sums to a published total, steps of curves. A hidden row keeps its
key and says why; it is never 0 and never negative.

References: CMS cell size suppression policy (1-10); NHS England disclosure control (1-7,
others rounded to 5); cell suppression after Hundepool et al., Statistical Disclosure Control
(2012), chapter 4.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ketamine_outcomes import estimates as contract
from ketamine_outcomes.release import disclosure_sets, disclosure_steps
from ketamine_outcomes.release.disclosure_steps import CURVES, is_small
from ketamine_outcomes.release.rows import EVERYONE, PLACE, Row, known
from ketamine_outcomes.study import Disclosure

if TYPE_CHECKING:
    import pandas as pd

ROUNDING = 5  # base of the nhs policy
_COUNTED = ("n_patients", "n_observations", "n_events")
_NOUNS = (
    "patients? persons? people rows? doses? records? scores? episodes? sites? events? lines? "
    "cells? values? findings? stays? windows? infusions? courses? intervals? deaths?"
)
_COUNT_IN_TEXT = re.compile(
    r"(?<![\w.\-\[(/])(\d{1,6})(?=(?:\s+[\w-]+){0,3}?\s+(?:" + "|".join(_NOUNS.split()) + r")\b)",
    re.IGNORECASE,
)
_OF_THEM = re.compile(r"(?<![\w.\-])(\d{1,6})(?=\s+of\s+(?:them|these|those|which|whom)\b)")
_SHARE_IN_TEXT = re.compile(r"(?<![\w.\-])(\d{1,6})(\s+of\s+(?:the\s+)?)(\d{1,7})(?![\w.])")


def threshold(disclosure: Disclosure) -> int:
    """Return the largest count that is hidden; 0 hides nothing (policy none)."""
    if disclosure.policy == "custom":
        return int(disclosure.threshold or 0)
    return {"cms": 10, "nhs": 7, "none": 0}[disclosure.policy]


def apply(estimates: pd.DataFrame, disclosure: Disclosure) -> pd.DataFrame:
    """Return the estimates that may leave under the study's policy.

    Parameters
    ----------
    estimates
        Rows of CONTRACTS §3, of one cohort and any number of scenarios.
    disclosure
        Policy: `none` returns the rows unchanged, `cms` hides 1-10, `nhs` hides 1-7 and rounds
        other counts to 5, `custom` hides 1-threshold.

    Returns
    -------
    The same rows in the same order; hidden ones have status `suppressed`, no number, and a
    note that does not tell primary from secondary suppression (that alone would narrow the
    range of a hidden cell).

    Examples
    --------
    Of 40 patients 3 have an event: the row is hidden. Of 40 patients 38 have it: hidden too,
    since 40 - 38 = 2.
    """
    limit = threshold(disclosure)
    if limit == 0:
        return estimates
    rows: list[Row] = [{str(k): v for k, v in row.items()} for row in estimates.to_dict("records")]
    hidden = {i for i, row in enumerate(rows) if row["status"] == "ok" and _small(row, limit)}
    while True:  # one rule can open what another closed: until nothing changes
        before = len(hidden)
        for rule in (
            disclosure_steps.flow_boxes,
            disclosure_steps.curves,
            disclosure_sets.words_of_a_covariate,
            disclosure_sets.counts_of_a_window,
            disclosure_sets.reasons_of_the_ledger,
            disclosure_sets.arms_of_everyone,
            disclosure_sets.arms_of_a_row,
            _siblings,
        ):
            hidden |= rule(rows, hidden, limit)
        if len(hidden) == before:
            break
    patients = disclosure_sets.patients_by_arm(rows)
    out = [
        _hide(row, disclosure) if i in hidden else _soften(row, patients, disclosure)
        for i, row in enumerate(rows)
    ]
    frame = estimates.copy()
    for column in (*contract.RESULTS, "ci_level", "status", "note"):
        frame[column] = [row[column] for row in out]
    # Why an analysis was refused tells how few patients there are.
    refused = frame["status"] == "refused"
    frame.loc[refused, "note"] = "too few patients for this analysis"
    frame.loc[refused, "method"] = ""
    for column in contract.NUMBERS:
        frame[column] = frame[column].astype("float64")
    contract.check(frame)
    return frame


def scrub(text: str, disclosure: Disclosure) -> str:
    """Return a sentence whose small counts of people or records read `(few)`.

    Notes of intake and of models carry counts in words ("3 of 120 doses ..."): they are
    released on the page and in the manifest, so they fall under the policy too.
    """
    limit = threshold(disclosure)
    if limit == 0:
        return text

    def share(match: re.Match[str]) -> str:
        part, whole = int(match[1]), int(match[3])
        if 1 <= part <= limit or 1 <= whole - part <= limit:
            return f"(some){match[2]}{_shown(whole, limit)}"
        return f"{_shown(part, limit)}{match[2]}{_shown(whole, limit)}"

    def alone(match: re.Match[str]) -> str:
        return _shown(int(match[1]), limit)

    return _COUNT_IN_TEXT.sub(alone, _OF_THEM.sub(alone, _SHARE_IN_TEXT.sub(share, text)))


def hide_count(value: int, disclosure: Disclosure) -> int | str:
    """Return a count as it may leave: itself, rounded, or the word `suppressed`."""
    limit = threshold(disclosure)
    if 1 <= value <= limit:
        return "suppressed"
    return int(_round(value)) if disclosure.policy == "nhs" else value


# --- primary ----------------------------------------------------------------------------------


def _small(row: Row, limit: int) -> bool:
    curve = row["measure"] in CURVES  # its n_events is one step: judged as a series
    if any(is_small(row[c], limit) for c in _COUNTED if not (curve and c == "n_events")):
        return True
    if row["measure"] == "count" and is_small(row["estimate"], limit):
        return True
    n, events = row["n_patients"], row["n_events"]
    if row["measure"] not in ("proportion", "count") or not known(n):
        return False
    is_part = row["measure"] == "count" and row["term"] != "at_risk"  # a series, see curves
    if is_part and is_small(n - row["estimate"], limit):
        return True
    if known(events):
        return is_small(n - events, limit)
    if row["measure"] == "proportion":
        # without its numerator a share is judged by the count it implies
        implied = row["estimate"] * n
        return is_small(round(implied), limit) or is_small(round(n - implied), limit)
    return False


# --- secondary --------------------------------------------------------------------------------


def _siblings(rows: list[Row], hidden: set[int], limit: int) -> set[int]:
    """Rows that restate a hidden count: shares of the same word, rates of the same events."""
    new: set[int] = set()
    place = (*PLACE, "window", "level")
    counts: set[tuple[Any, ...]] = set()
    for i in hidden:
        row = rows[i]
        if row["measure"] == "count":
            counts.add((*(row[c] for c in place), row["term"]))
        if row["measure"] == "count" and "events" in row["term"]:
            counts.add((*(row[c] for c in place), "rate"))
    for i, row in enumerate(rows):
        if row["status"] != "ok" or i in hidden:
            continue
        key = tuple(row[c] for c in place)
        if row["measure"] == "proportion" and (*key, row["term"]) in counts:
            new.add(i)
        if row["measure"] == "rate" and (*key, "rate") in counts:
            new.add(i)
    return new


# --- what a row becomes -----------------------------------------------------------------------


def _hide(row: Row, disclosure: Disclosure) -> Row:
    out = dict(row)
    for column in (*contract.RESULTS, "ci_level"):
        out[column] = math.nan
    out["status"] = "suppressed"
    why = f"small number hidden (policy {disclosure.policy})"
    # the rule of a flow box is text of the study, not of the data: the diagram needs it
    keep = row["analysis"] == "attrition" and row["note"]
    out["note"] = f"{scrub(row['note'], disclosure)}; {why}" if keep else why
    return out


def _denominator_tells(row: Row, patients: dict[str, float], limit: int) -> bool:
    """Whether n_patients, beside the patients of the arm, gives a small number left out."""
    if row["analysis"] in ("attrition", "ledger") or not known(row["n_patients"]):
        return False
    level = "" if row["level"] in EVERYONE else row["level"]
    return level in patients and is_small(patients[level] - row["n_patients"], limit)


def _soften(row: Row, patients: dict[str, float], disclosure: Disclosure) -> Row:
    """Return a published row without what would give a hidden count away."""
    out = dict(row)
    out["note"] = scrub(row["note"], disclosure)
    if row["status"] != "ok":
        return out
    if row["measure"] in CURVES:
        out["n_events"] = math.nan  # the events of one step, after steps were left out
    if disclosure.policy == "nhs":
        _round_row(out)
    elif _denominator_tells(row, patients, threshold(disclosure)):
        if row["measure"] in ("sd", "proportion", "count", "variance"):
            return _hide(row, disclosure)  # these give the number of patients back
        for column in ("n_patients", "df", "std_error"):
            out[column] = math.nan
    return out


def _round(value: float) -> float:
    return ROUNDING * math.floor(value / ROUNDING + 0.5)


def _round_row(row: Row) -> None:
    """Round the counts of a row, and the share and interval that restate them."""
    n = row["n_patients"]
    for column in _COUNTED:
        if known(row[column]):
            row[column] = _round(row[column])
    row["df"] = math.nan
    if row["measure"] == "count":
        row["estimate"] = _round(row["estimate"])
    if row["measure"] in ("proportion", *CURVES) and known(n) and row["n_patients"] > 0:
        rounded = row["n_patients"]
        step = min(1.0, ROUNDING / rounded)
        row["std_error"] = math.nan
        row["estimate"] = min(1.0, _to(row["estimate"], step, _nearest))
        # outwards: the published interval holds the one that was estimated
        row["ci_low"] = max(0.0, _to(row["ci_low"], step, math.floor))
        row["ci_high"] = min(1.0, _to(row["ci_high"], step, math.ceil))
    elif row["measure"] in ("mean", "proportion", *CURVES):
        row["std_error"] = math.nan


def _nearest(value: float) -> float:
    return math.floor(value + 0.5)


def _to(value: float, step: float, how: Callable[[float], float]) -> float:
    return how(value / step) * step if known(value) else math.nan


def _shown(value: int, limit: int) -> str:
    return "(few)" if 1 <= value <= limit else str(value)
