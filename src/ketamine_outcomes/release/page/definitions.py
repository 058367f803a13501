"""The resolved study as readable keys and values."""

from __future__ import annotations

from typing import Any

from ketamine_outcomes.release import wording
from ketamine_outcomes.study import Study

_SECTIONS = (
    "index",
    "windows",
    "eligibility",
    "covariates",
    "exposure",
    "outcomes",
    "analyses",
    "primary",
    "disclosure",
)


def sections(study: Study) -> list[tuple[str, list[tuple[str, str]]]]:
    """Return (section, [(key, value)]) with every default filled in.

    Cohorts are left out: their paths and patient ids belong to the data holder.
    """
    content = study.model_dump(mode="json", by_alias=True, exclude_none=True)
    out = []
    for name in _SECTIONS:
        pairs = _flat(content.get(name, {}), "")
        if pairs:
            out.append((wording.label(name), pairs))
    if study.scenarios:
        out.append(
            (
                "Scenarios",
                [
                    (s.name, "; ".join(f"{k} = {_value(v)}" for k, v in s.set.items()))
                    for s in study.scenarios
                ],
            )
        )
    return out


def _flat(content: Any, prefix: str) -> list[tuple[str, str]]:
    if isinstance(content, dict):
        out = []
        for key, value in content.items():
            out += _flat(
                value,
                f"{prefix} \N{SINGLE RIGHT-POINTING ANGLE QUOTATION MARK} {key}"
                if prefix
                else str(key),
            )
        return out
    return [(prefix, _value(content))]


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        if len(value) == 2 and all(isinstance(v, int | float) for v in value):
            return wording.window(f"[{value[0]},{value[1]})")
        return ", ".join(_value(v) for v in value) or "none"
    if isinstance(value, int | float):
        return wording.number(value) if abs(value) < 1000 else f"{value:g}"
    return str(value)
