"""What stands in each table, from the estimates alone."""

from __future__ import annotations

from ketamine_outcomes.release import wording
from ketamine_outcomes.release.rows import Row, by_start, distinct, first, known, ok, where
from ketamine_outcomes.release.tables import layout
from ketamine_outcomes.release.tables.layout import Cell, Table, at, columns
from ketamine_outcomes.study import Study

_DASH = "\N{EN DASH}"


def characteristics(rows: list[Row], study: Study) -> Table | None:
    """T1: who the patients were, by arm; no p values."""
    found = where(rows, analysis="characteristics")
    return _describe(
        found,
        study,
        "T1_characteristics",
        f"Characteristics of the {wording.unit_word(study)} at index",
        "Values known before time zero.",
    )


def exposure(rows: list[Row], study: Study) -> Table | None:
    """T4: the index course itself: hours, dose, route, switches."""
    drug = wording.words(study.index.drug or "the index drug")
    found = where(rows, analysis="index_course")
    return _describe(found, study, "T4_exposure", f"Exposure to {drug}", "The index course.")


def _describe(found: list[Row], study: Study, name: str, title: str, what: str) -> Table | None:
    """Return covariates by arm as lines of words and numbers."""
    if not found:
        return None
    sizes = {r["level"]: r for r in where(found, outcome="units", measure="count") if ok(r)}
    found = [r for r in found if r["outcome"] != "units"]
    unit = wording.unit_word(study)
    differences = where(found, measure="smd")
    described = [r for r in found if r["measure"] != "smd"]
    arms = columns(described, unit)
    contrasts = distinct(differences, "contrast")
    heads = [
        f"{head}{_size(at(described, level), at(list(sizes.values()), level))}"
        for level, head in arms
    ]
    table = Table(
        name,
        title,
        f"{what} Numbers: mean (SD) and median (quartiles); words: n (per "
        "cent of those in the column). Missing values are counted, not filled in. "
        + ("SMD: standardised mean difference. " if contrasts else "")
        + layout.note_policy(study),
        ["Characteristic", *heads, *(f"SMD, {c}" for c in contrasts)],
    )
    for covariate in distinct(found, "outcome"):
        part = where(described, outcome=covariate)
        numeric = where(part, measure=("mean", "median"))
        unit_text = next((r["unit"] for r in numeric if r["unit"]), "")
        head = wording.label(
            covariate if covariate in wording.OUTCOMES else covariate.removesuffix(f"_{unit_text}")
        )
        table.heading(f"{head}, {unit_text}" if unit_text else head)
        gaps = [
            table.cell(first(differences, outcome=covariate, contrast=c), layout.estimate)
            for c in contrasts
        ]
        blank = [Cell("")] * len(contrasts)
        start = len(table.lines)
        table.line("Mean (SD)", [layout.mean_sd(table, _plain(at(part, a))) for a, _ in arms])
        table.line("Median (quartiles)", [layout.quartiles(table, at(part, a)) for a, _ in arms])
        counts = where(part, measure="count")
        for word in distinct([r for r in counts if r["term"] != "missing"], "term"):
            table.line(
                wording.label(word) or "n",
                [_count_share(table, at(part, a), word) for a, _ in arms],
            )
        table.line("Missing", [layout.counted(table, at(part, a), "missing") for a, _ in arms])
        for position in range(start, len(table.lines)):
            line = table.lines[position]
            extra = gaps if position == start else blank
            table.lines[position] = layout.Line(line.label, (*line.cells, *extra))
    return table.tidy()


def _plain(rows: list[Row]) -> list[Row]:
    return where(rows, term="")


def _size(rows: list[Row], units: list[Row]) -> str:
    if units:
        return f" (n = {wording.count(units[0]['estimate'])})"
    sizes = [r["n_patients"] for r in rows if r["status"] == "ok" and known(r["n_patients"])]
    return f" (n = {wording.count(max(sizes))})" if sizes else ""


def _count_share(table: Table, rows: list[Row], word: str) -> Cell:
    count = table.cell(first(rows, measure="count", term=word), layout.whole)
    part = first(rows, measure="proportion", term=word)
    if part is None:
        return count
    if count.text == _DASH:
        return table.cell(part, lambda row: wording.percent(row["estimate"]))
    table.source.append(part)
    return Cell(f"{count.text} ({wording.percent(part['estimate'])})") if ok(part) else count


def pain(rows: list[Row], study: Study) -> Table | None:
    """T5: pain in every window, change, responders."""
    described = where(rows, kind="description")
    outcomes = [o for o in distinct(described, "outcome") if o.startswith("pain_")]
    responders = [n for n, o in study.outcomes.items() if o.kind == "responder"]
    changes = [r for r in where(rows, kind="before_after") if r["outcome"].startswith("pain_")]
    found = [*where(described, outcome={*outcomes, *responders}), *changes]
    if not found:
        return None
    arms = columns(found)
    table = Table(
        "T5_pain",
        "Pain by window",
        f"Hours from the {wording.time_zero(study)}; windows are half-open. A window value needs "
        f"{study.windows.min_scores} scores; a window without observed scores is unknown, not "
        f"0. Scales are never added together. {layout.note_policy(study)}",
        ["Window and measure", *(head for _, head in arms)],
    )
    for outcome in outcomes:
        part = where(described, outcome=outcome)
        for window in by_start(distinct(part, "window")):
            here = where(part, window=window)
            when = wording.window(window) or "all windows together"
            table.heading(f"{wording.label(outcome)}: {when}")
            _numbers(table, here, arms)
            for term, words in (
                ("with_value", "Patients with a value"),
                ("too_few_scores", "Patients with too few scores"),
                ("unknown", "Patients with pain unknown"),
                ("scores", "Scores"),
            ):
                table.line(words, [layout.counted(table, at(here, a), term) for a, _ in arms])
    for outcome in distinct(changes, "outcome"):
        table.heading(f"Change: {wording.label(outcome)}")
        layout.change_lines(table, where(changes, outcome=outcome), arms)
    _shares(table, where(described, outcome=tuple(responders)), arms)
    return table.tidy()


def _numbers(table: Table, here: list[Row], arms: list[tuple[str, str]]) -> None:
    plain = [r for r in here if r["term"] == ""]
    table.line("Mean (SD)", [layout.mean_sd(table, at(plain, a)) for a, _ in arms])
    if any(known(r["ci_low"]) for r in plain if r["measure"] == "mean"):
        table.line("Mean (interval)", [layout.mean_sd(table, at(plain, a), True) for a, _ in arms])
    table.line("Median (quartiles)", [layout.quartiles(table, at(here, a)) for a, _ in arms])


def _shares(table: Table, rows: list[Row], arms: list[tuple[str, str]]) -> None:
    for outcome in distinct(rows, "outcome"):
        table.heading(f"{wording.label(outcome)}: n/N (per cent; exact interval)")
        part = where(rows, outcome=outcome, measure="proportion")
        for window in by_start(distinct(part, "window")):
            for term in distinct(where(part, window=window), "term"):
                words = [wording.label(term) if term else "", wording.window(window)]
                here = where(part, window=window, term=term)
                table.line(
                    ", ".join(w for w in words if w) or "After index",
                    [table.cell(first(at(here, a)), layout.share) for a, _ in arms],
                )


def mme(rows: list[Row], study: Study, scenarios: dict[str, list[Row]]) -> Table | None:
    """T6: opioid use in every window, always with its hours and flags; change; scenarios."""
    described = where(
        rows, kind="description", outcome=("mme_per_24h", "mme_total", "hours_observed")
    )
    changes = [r for r in where(rows, kind="before_after") if r["outcome"].startswith("mme")]
    if not described and not changes:
        return None
    arms = columns([*described, *changes])
    table = Table(
        "T6_mme",
        "Opioid use in morphine milligram equivalents (MME)",
        f"Hours from the {wording.time_zero(study)}; conversion factors "
        f"{study.exposure.factors}. MME per 24 h observed stands with the hours it rests on; "
        "under 12 h it is an extrapolation. Incomplete: an opioid was given that could not be "
        "counted, so the value is a lower bound. Hours without observation are unknown, not 0. "
        + layout.note_policy(study),
        ["Window and measure", *(head for _, head in arms)],
    )
    for window in by_start(distinct(described, "window")):
        here = where(described, window=window)
        table.heading(wording.window(window) or "All windows together")
        for outcome, words in (
            ("hours_observed", "Hours observed, mean"),
            ("mme_total", "Total MME in these hours, mean (SD)"),
        ):
            part = where(here, outcome=outcome, term="")
            table.line(words, [layout.mean_sd(table, at(part, a)) for a, _ in arms])
        part = where(here, outcome="mme_per_24h")
        tally = where(here, outcome=("mme_per_24h", "mme_total"))
        flags = {a: _short(at(tally, a), at(here, a)) for a, _ in arms}
        cells = []
        for a, _ in arms:
            cell = layout.mean_sd(table, _plain(at(part, a)))
            cells.append(
                Cell(cell.text, table.mark(flags[a])) if flags[a] and not cell.mark else cell
            )
        table.line("MME per 24 h observed, mean (SD)", cells)
        if any(known(r["ci_low"]) for r in part if r["measure"] == "mean"):
            table.line(
                "MME per 24 h observed, mean (interval)",
                [layout.mean_sd(table, _plain(at(part, a)), True) for a, _ in arms],
            )
        table.line(
            "MME per 24 h observed, median (quartiles)",
            [layout.quartiles(table, at(part, a)) for a, _ in arms],
        )
        for term, words in (
            ("with_value", "Patients with a value"),
            ("under_12_hours", "\N{EN DASH} under 12 h observed"),
            ("incomplete", "\N{EN DASH} incomplete (lower bound)"),
            ("observed_zero", "\N{EN DASH} observed, no opioid given"),
            ("with_opioid", "Patients given an opioid"),
            ("unknown", "Patients unknown (nothing observed)"),
        ):
            table.line(words, [layout.counted(table, at(tally, a), term) for a, _ in arms])
    for outcome in distinct(changes, "outcome"):
        table.heading(f"Change: {wording.label(outcome)}")
        layout.change_lines(table, where(changes, outcome=outcome), arms)
    for scenario, others in scenarios.items():
        part = [
            r
            for r in where(others, kind="before_after", measure="mean_difference")
            if r["outcome"].startswith("mme")
        ]
        for outcome in distinct(part, "outcome"):
            table.heading(f"Scenario {scenario}: {wording.label(outcome)}")
            table.line(
                "Difference (interval)",
                [
                    table.cell(first(at(where(part, outcome=outcome), a)), layout.with_interval)
                    for a, _ in arms
                ],
            )
    return table.tidy()


def _short(part: list[Row], here: list[Row]) -> str:
    """Return the flag of a window that rests on few hours, an empty string if it does not."""
    hours = first(here, outcome="hours_observed", measure="mean")
    under = first(part, measure="count", term="under_12_hours")
    incomplete = first(part, measure="count", term="incomplete")
    words = []
    if hours is not None and ok(hours) and hours["estimate"] < 12:
        words.append(f"rests on {wording.hours(hours['estimate'])} h observed (under 12 h)")
    elif under is not None and ok(under) and under["estimate"] > 0:
        words.append("some patients were observed for under 12 h in a window")
    if incomplete is not None and ok(incomplete) and incomplete["estimate"] > 0:
        words.append("a lower bound where an opioid could not be counted")
    return "; ".join(words)


def adverse_events(rows: list[Row], study: Study) -> Table | None:
    """T8: adverse events among those assessed, with the exact bound at zero."""
    names = [n for n, o in study.outcomes.items() if o.kind == "adverse_event"]
    found = where(rows, outcome=tuple(names), measure="proportion")
    if not found:
        return None
    arms = columns(found)
    table = Table(
        "T8_adverse_events",
        "Adverse events",
        "Patients with the event among those assessed for it; the exact interval stands at zero "
        f"as well, since no event seen is not no risk. {layout.note_policy(study)}",
        ["Event", *(head for _, head in arms)],
    )
    _shares(table, found, arms)
    return table.tidy()
