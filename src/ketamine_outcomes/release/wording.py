"""Words and numbers as readers see them: one place, so that all artefacts agree."""

from __future__ import annotations

import math
from typing import Any

from ketamine_outcomes.release.rows import EVERYONE, Row, bounds, known
from ketamine_outcomes.study import Study

MINUS = "\N{MINUS SIGN}"
SIMULATED = "SIMULATED DATA"
UNDER_12 = "under 12 h observed"

OUTCOMES = {
    "mme_total": "Opioid total, MME",
    "mme_per_24h": "Opioid use, MME per 24 h observed",
    "hours_observed": "Hours observed",
    "mme_by_drug": "Opioid total by drug and route, MME",
    "course_hours": "Length of the course",
    "cumulative_mg_per_kg": "Cumulative dose",
    "max_mg_per_kg_h": "Highest rate",
    "route_switch": "Patients whose route was switched",
    "pain_nrs": "Pain (NRS, 0\N{EN DASH}10)",
    "pain_vas": "Pain (VAS, 0\N{EN DASH}100 mm)",
    "pain_vrs": "Pain (verbal rating)",
    "pain_cpot": "Pain (CPOT, 0\N{EN DASH}8)",
    "pain_bps": "Pain (BPS, 3\N{EN DASH}12)",
    "pain_painad": "Pain (PAINAD, 0\N{EN DASH}10)",
    "pain_flacc": "Pain (FLACC, 0\N{EN DASH}10)",
}
SCALE_RANGE = {
    "nrs": (0, 10),
    "vas": (0, 100),
    "cpot": (0, 8),
    "bps": (3, 12),
    "painad": (0, 10),
    "flacc": (0, 10),
    "vrs": (0, 10),
}
STATUS_WORDS = {"suppressed": "suppressed", "refused": "refused"}
_ACRONYMS = {
    "iv": "IV",
    "sc": "SC",
    "im": "IM",
    "mme": "MME",
    "nrs": "NRS",
    "icu": "ICU",
}


def label(name: str) -> str:
    """Return a name of the study as words: `site_pain` -> `Site pain`."""
    if name in OUTCOMES:
        return OUTCOMES[name]
    words = [_ACRONYMS.get(w, w) for w in name.replace("_", " ").split()]
    text = " ".join(words)
    return text[:1].upper() + text[1:]


def words(name: str) -> str:
    """Return a name as words inside a sentence: `end_of_observation` -> `end of observation`."""
    if name in OUTCOMES:
        return OUTCOMES[name]
    return " ".join(_ACRONYMS.get(w, w) for w in name.replace("_", " ").split())


def arm(level: str, unit: str = "patients") -> str:
    """Return the label of an arm."""
    return f"All {unit}" if level in EVERYONE else label(level)


def number(value: float, places: int | None = None) -> str:
    """Return a number for readers: three significant digits, whole numbers kept whole.

    >>> number(61.5), number(1234.6), number(-0.0312)
    ('61.5', '1,235', '−0.0312')
    """
    if not known(value):
        return "unknown"
    size = abs(value)
    if places is None:
        if size == 0 or size >= 100:
            places = 0
        else:
            places = max(0, 2 - math.floor(math.log10(size)))
        text = f"{size:,.{places}f}"
        if "." in text:
            text = text.rstrip("0").rstrip(".")
    else:
        text = f"{size:,.{places}f}"
    negative = value < 0 and any(digit in "123456789" for digit in text)
    return f"{MINUS}{text}" if negative else text


def count(value: float) -> str:
    """Return a count."""
    return number(value, 0)


def hours(value: float) -> str:
    """Return hours with one decimal where it says something."""
    return number(round(value, 1)) if known(value) else "unknown"


def percent(value: float) -> str:
    """Return a share as per cent with one decimal below 10 %, whole otherwise."""
    if not known(value):
        return "unknown"
    share = 100 * value
    places = 1 if (share < 10 or share > 90) and share not in (0, 100) else 0
    return f"{share:.{places}f} %"


def p_value(value: float) -> str:
    """Return a p value: never 0, never more than two digits of use."""
    if not known(value):
        return ""
    if value < 0.001:
        return "< 0.001"
    return f"{value:.3f}" if value < 0.1 else f"{value:.2f}"


def interval(row: Row, share: bool = False) -> str:
    """Return `a to b` of a row's interval, an empty string when it has none."""
    if not (known(row["ci_low"]) and known(row["ci_high"])):
        return ""
    show = percent if share else number
    low, high = show(row["ci_low"]), show(row["ci_high"])
    return f"{low.removesuffix(' %')} to {high}" if share else f"{low} to {high}"


def level_words(row: Row) -> str:
    """Return `95 % interval` from the row's ci_level."""
    share = row["ci_level"] if known(row["ci_level"]) else 0.95
    return f"{number(100 * share)} % interval"


def missing(row: Row) -> str:
    """Return the word for a row without a number: never 0, never blank.

    A row that could not be estimated because nothing was observed is `unknown`; a calculation
    that has no answer is `not estimable`.
    """
    if row["status"] == "not_estimable":
        descriptive = row["measure"] in (
            "count",
            "mean",
            "sd",
            "median",
            "quantile",
            "proportion",
        )
        return "unknown" if descriptive else "not estimable"
    return STATUS_WORDS.get(row["status"], "unknown")


def window(text: str) -> str:
    """Return a window as words: `[-24,0)` -> `−24 to 0 h`."""
    ends = bounds(text)
    if ends is None:
        return text
    low, high = ends
    if low >= 120 and low % 24 == 0 and high % 24 == 0:
        return f"day {number(low / 24)} to {number(high / 24)}"
    return f"{number(low)} to {number(high)} h"


def window_sentence(text: str) -> str:
    """Return a window inside a sentence: `[-24,0)` -> `the 24 h before`."""
    ends = bounds(text)
    if ends is None:
        return text
    low, high = ends
    if high == 0:
        return f"the {number(-low)} h before"
    if low == 0:
        return f"the first {number(high)} h after"
    side = "after" if low > 0 else "around"
    return f"the hours {number(low)} to {number(high)} {side}"


def contrast(text: str) -> str:
    """Return a contrast as words: `[24,72) vs [-72,0)` -> `24 to 72 h against −72 to 0 h`."""
    return " against ".join(window(side) for side in text.split(" vs "))


_SOURCES = {
    "mimic_iv": "MIMIC-IV",
    "mimic_iii": "MIMIC-III",
    "tabular": "tables of a registry",
    "simulated": "simulated patients",
}


def source(name: str) -> str:
    """Return the kind of source of a cohort as words."""
    return _SOURCES.get(name, name)


def time_zero(study: Study) -> str:
    """Return what hour 0 is."""
    if study.index.unit == "site_episode":
        return "insertion"
    return f"start of {words(study.index.drug or 'the index drug')}"


def clock(study: Study, outcome: str) -> str:
    """Return what hour 0 of a time-to-event outcome is: a site's clock starts at insertion."""
    definition = study.outcomes.get(outcome)
    if definition is not None and definition.kind == "site_complication":
        return "insertion"
    return time_zero(study)


def unit_word(study: Study) -> str:
    """Return what is counted: patients or site episodes."""
    return "site episodes" if study.index.unit == "site_episode" else "patients"


def plural(n: float, word: str) -> str:
    """Return `1 patient`, `2 patients`."""
    return f"{count(n)} {word if n == 1 else word + 's'}"


def is_simulated(study: Study, cohort: str) -> bool:
    """Whether anything on the page is made up."""
    chosen: Any = study.cohorts.get(cohort)
    return study.simulated if chosen is None else chosen.source == "simulated"


def unsuppressed(study: Study) -> Study:
    """Return the study with policy `none`, for captions of the private page."""
    plain = study.disclosure.model_copy(update={"policy": "none", "threshold": None})
    return study.model_copy(update={"disclosure": plain})


def policy(study: Study) -> str:
    """Return the suppression policy as a sentence for captions."""
    disclosure = study.disclosure
    if disclosure.policy == "none":
        return "No small numbers are hidden."
    if disclosure.policy == "cms":
        return "Counts from 1 to 10 are suppressed, with what they could be derived from."
    if disclosure.policy == "nhs":
        return "Counts from 1 to 7 are suppressed, other counts are rounded to 5."
    return (
        f"Counts from 1 to {disclosure.threshold} are suppressed, "
        "with what they could be derived from."
    )
