"""T7 (site complications and other events over time) and T9 (models)."""

from __future__ import annotations

from ketamine_outcomes.release import wording
from ketamine_outcomes.release.rows import Row, distinct, first, known, ok, where
from ketamine_outcomes.release.tables import layout
from ketamine_outcomes.release.tables.layout import Cell, Table, at, columns
from ketamine_outcomes.study import Study

_MODELS = ("trajectory", "hazard", "before_after")
_MEASURES = (
    "mean_difference",
    "median_difference",
    "ratio_of_means",
    "hazard_ratio",
    "subdistribution_hazard_ratio",
    "odds_ratio",
    "rate_ratio",
    "variance",
    "correlation",
    "nap",
    "tau_u",
    "level_change",
    "slope",
)


def sites(rows: list[Row], study: Study) -> Table | None:
    """T7: episodes, events, rates and cumulative incidence by arm."""
    found = where(rows, kind=("cumulative_incidence", "survival"))
    found = [r for r in found if not (r["measure"] == "count" and r["term"] == "at_risk")]
    if not found:
        return None
    outcomes = [o for o in distinct(found, "outcome") if ":" not in o]
    kinds = {getattr(study.outcomes.get(o), "kind", "") for o in outcomes}
    unit = "site episodes" if "site_complication" in kinds else "patients"
    arms = columns(found, unit)
    only_sites = kinds <= {"site_complication"}
    table = Table(
        "T7_sites",
        "Infusion-site complications" if only_sites else "Events over time",
        "Rates have exact intervals. Cumulative incidence is Aalen\N{EN DASH}Johansen with the "
        "competing events of the study; its value at a time is the last step before it. "
        + layout.note_policy(study),
        ["Measure", *(head for _, head in arms)],
    )
    places = list(
        dict.fromkeys((r["analysis"], r["outcome"]) for r in found if ":" not in r["outcome"])
    )
    for analysis, outcome in places:
        here = where(found, analysis=analysis, outcome=outcome)
        several = len([p for p in places if p[1] == outcome]) > 1
        more = f" ({wording.words(analysis)})" if several else ""
        table.heading(f"{wording.label(outcome)}{more}")
        for term in distinct(where(here, measure="count"), "term"):
            table.line(
                wording.label(term).replace("Site days", "Site-days"),
                [layout.counted(table, at(here, a), term) for a, _ in arms],
            )
        for unit_text in distinct(where(here, measure="rate"), "unit"):
            part = where(here, measure="rate", unit=unit_text)
            words = f"Rate {unit_text}" if unit_text else "Rate per 100 site-days"
            table.line(
                f"{words} (interval)",
                [table.cell(first(at(part, a)), layout.with_interval) for a, _ in arms],
            )
        for hours in _times(here, study):
            for measure, words in (
                ("cumulative_incidence", "Cumulative incidence"),
                ("survival_probability", "Survival"),
            ):
                part = where(here, measure=measure)
                table.line(
                    f"{words} by {_time(hours)} (interval)",
                    [_step(table, at(part, a), hours) for a, _ in arms],
                )
    return table.tidy()


def _times(rows: list[Row], study: Study) -> tuple[float, ...]:
    analysis = study.analyses.get(rows[0]["analysis"]) if rows else None
    return tuple(getattr(analysis, "at_hours", ()))


def _time(hours: float) -> str:
    return f"{wording.number(hours)} h" if hours < 168 else f"day {wording.number(hours / 24)}"


def _step(table: Table, curve: list[Row], hours: float) -> Cell:
    """Return the height of a curve at a time: as reported, else its last step."""
    reported = first(curve, term="reported", time_hours=hours)
    if reported is not None:
        return table.cell(reported, _share)
    timed = [r for r in curve if known(r["time_hours"])]
    before = [r for r in timed if r["time_hours"] <= hours]
    if not timed:
        return Cell("\N{EN DASH}")
    if not before:
        return Cell("0 %", table.mark("no event before this time"))
    last = max(before, key=lambda r: r["time_hours"])
    return table.cell(last, _share)


def _share(row: Row) -> str:
    interval = wording.interval(row, share=True)
    text = wording.percent(row["estimate"])
    return f"{text} ({interval})" if interval else text


def models(rows: list[Row], study: Study) -> Table | None:
    """T9: every coefficient with its interval, degrees of freedom and numbers."""
    found = [r for r in where(rows, kind=_MODELS) if r["measure"] in _MEASURES]
    if not found:
        return None
    table = Table(
        "T9_models",
        "Models",
        "Ratios are on the natural scale. p values stand only where the number of patients "
        f"bears them. {layout.note_policy(study)}",
        [
            "Model and term",
            "Estimate (interval)",
            "Level",
            "p",
            "df",
            "Patients",
            "Observations",
            "Events",
        ],
    )
    for analysis in distinct(found, "analysis"):
        part = where(found, analysis=analysis)
        for outcome in distinct(part, "outcome"):
            here = where(part, outcome=outcome)
            method = next((r["method"] for r in here if r["method"]), "")
            head = f"{wording.label(analysis)}: {wording.words(outcome)}"
            table.heading(f"{head} ({method})" if method else head)
            for row in here:
                table.line(_term(row), _cells(table, row))
    return table.tidy()


def _term(row: Row) -> str:
    name = wording.words(row["measure"])
    parts = [name[:1].upper() + name[1:]]
    if row["term"]:
        # the contrast names the words itself
        term = row["term"].split("=")[0] if " vs " in row["contrast"] else row["term"]
        parts.append(term.replace("_", " "))
    text = ": ".join(parts)
    if " vs " in row["contrast"] and row["term"]:
        text += f", {wording.contrast(row['contrast'])}"
    elif row["contrast"].startswith("per "):
        text += f", {row['contrast']}"
    elif row["contrast"]:
        joiner = "against" if row["measure"].endswith("hazard_ratio") else "of"
        text += f" {joiner} {wording.contrast(row['contrast'])}"
    if row["level"] not in ("", "all"):
        text += f", {wording.arm(row['level'])}"
    if row["adjustment"] != "none":
        text += f" (adjusted: {row['adjustment']})"
    return f"{text}, {row['unit']}" if row["unit"] not in ("", "ratio") else text


def _cells(table: Table, row: Row) -> list[Cell]:
    main = table.cell(row, layout.with_interval)
    level = f"{wording.number(100 * row['ci_level'])} %" if known(row["ci_level"]) else ""
    dash = Cell("\N{EN DASH}")
    if not ok(row):
        return [main, *[dash] * 6]
    counts = [
        Cell(wording.count(row[c])) if known(row[c]) else dash
        for c in ("n_patients", "n_observations", "n_events")
    ]
    return [
        main,
        Cell(level) if level else dash,
        Cell(wording.p_value(row["p_value"])) if known(row["p_value"]) else dash,
        Cell(wording.number(row["df"])) if known(row["df"]) else dash,
        *counts,
    ]
