"""How sure the findings are, and what could not be answered."""

from __future__ import annotations

from ketamine_outcomes.release import wording
from ketamine_outcomes.release.rows import EVERYONE, Row, distinct, known, ok, where
from ketamine_outcomes.study import Study


def sure(rows: list[Row], study: Study) -> list[str]:
    """Return how sure the findings are: numbers of people, intervals, how the rung was chosen."""
    out = []
    unit = wording.unit_word(study)
    attrition = where(rows, analysis="attrition", level="remaining")
    last = attrition[-1] if attrition else None
    if last is not None:
        n = wording.count(last["estimate"]) if ok(last) else wording.missing(last)
        words = unit.removesuffix("s") if ok(last) and last["estimate"] == 1 else unit
        out.append(f"The results rest on {n} {words} after all steps.")
        if ok(last) and last["estimate"] == 1 and unit == "patients":
            out.append(
                "One patient: this is a description. It has no interval and no p value, and it "
                "cannot tell what would have happened otherwise."
            )
    methods = [
        m
        for m in distinct(
            [
                r
                for r in rows
                if r["kind"] in ("before_after", "trajectory", "hazard", "cumulative_incidence")
            ],
            "method",
        )
        if m
    ]
    if methods:
        out.append(f"Methods used: {'; '.join(methods)}.")
    if any(known(r["ci_low"]) for r in rows):
        out.append(
            "Intervals say how far chance alone could move a number. They do not cover "
            "confounding, selection, wrong records or hours that nobody observed."
        )
    if any(r["kind"] == "before_after" and ok(r) for r in rows):
        out.append(
            "Before and after are compared in the same patients. Values picked while high tend "
            "to fall by themselves (regression to the mean), so a fall is not proof of benefit."
        )
    scenarios = len(study.scenarios)
    compared = [r for r in rows if r["kind"] == "before_after" and r["outcome"].startswith("mme")]
    if scenarios and compared:
        word = "scenario" if scenarios == 1 else "scenarios"
        out.append(f"The change under {scenarios} other {word} of the definitions is in Table T6.")
    return out


def refused(rows: list[Row]) -> list[tuple[str, str, str]]:
    """Return (what, word, reason) of every row without a number that is not a small number."""
    out = []
    for row in rows:
        if row["status"] in ("refused", "not_estimable"):
            what = f"{wording.label(row['analysis'])}: {wording.words(row['outcome'])}"
            parts = [
                wording.contrast(row["contrast"]),
                wording.window(row["window"]) if row["window"] else "",
                "" if row["level"] in EVERYONE else wording.arm(row["level"]),
            ]
            parts = [part for part in parts if part]
            what += f" ({', '.join(parts)})" if parts else ""
            out.append((what, wording.missing(row), row["note"]))
    return list(dict.fromkeys(out))
