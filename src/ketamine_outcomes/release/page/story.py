"""The findings as plain sentences, made from the primary rows; no causal words."""

from __future__ import annotations

from ketamine_outcomes.release import wording
from ketamine_outcomes.release.rows import (
    EVERYONE,
    Row,
    arms,
    bounds,
    by_start,
    distinct,
    first,
    known,
    ok,
    where,
)
from ketamine_outcomes.study import Study


def found(rows: list[Row], study: Study) -> list[str]:
    """Return what was found: primary analyses first, MME and pain descriptions if none."""
    names = list(
        dict.fromkeys(study.primary[d] for d in ("mme", "pain", "safety") if d in study.primary)
    )
    out: list[str] = []
    for name in names:
        out += _analysis(where(rows, analysis=name), rows, study)
    if not any("MME" in sentence for sentence in out):
        out = _mme_windows(where(rows, kind="description"), study) + out
    if not any(sentence.startswith("Pain") for sentence in out):
        out += _pain_windows(where(rows, kind="description"))
    if not out:
        out.append("No result could be shown: see below which analyses were refused and why.")
    return list(dict.fromkeys(out))


def _analysis(part: list[Row], rows: list[Row], study: Study) -> list[str]:
    kind = part[0]["kind"] if part else ""
    if kind == "description":
        return _mme_windows(part, study) + _pain_windows(part) + _shares(part, study)
    if kind == "before_after":
        return _change(part, rows)
    if kind == "trajectory":
        return _trajectory(part)
    if kind in ("cumulative_incidence", "survival"):
        return _incidence(part, study)
    return _ratios(part) if kind == "hazard" else []


def _who(row: Row) -> str:
    level = "" if row["level"] in EVERYONE else f" in {wording.arm(row['level'])}"
    n = f" among {wording.plural(row['n_patients'], 'patient')}" if known(row["n_patients"]) else ""
    return level + n


def _interval(row: Row, share: bool = False) -> str:
    text = wording.interval(row, share)
    return f" ({wording.level_words(row)} {text})" if text else ""


def hours_words(rows: list[Row], window: str, level: str) -> str:
    """Return on how many observed hours a window rests, with its flag."""
    hours = first(
        rows,
        outcome="hours_observed",
        measure="mean",
        window=window,
        level=EVERYONE if level in EVERYONE else (level,),
    )
    if hours is None or not ok(hours):
        return "hours observed unknown"
    mean = "" if hours["n_patients"] == 1 else "a mean of "
    text = f"{mean}{wording.hours(hours['estimate'])} h observed"
    return f"only {text} (under 12 h: read with care)" if hours["estimate"] < 12 else text


def _mme_windows(rows: list[Row], study: Study) -> list[str]:
    use = where(rows, outcome="mme_per_24h", measure="mean", term="")
    out = []
    for window in by_start(distinct(use, "window")):
        row = first(use, window=window, level=EVERYONE)
        if row is None:
            continue
        when = wording.window_sentence(window)
        start = f"In {when}"
        zero = wording.time_zero(study)
        if not ok(row):
            out.append(f"Opioid use in {when} the {zero}: {wording.missing(row)} ({row['note']}).")
            continue
        total = first(rows, outcome="mme_total", measure="mean", window=window, level=EVERYONE)
        hours = hours_words(rows, window, row["level"])
        rate = f"{wording.number(row['estimate'])} MME per 24 h observed{_interval(row)}"
        if total is not None and ok(total):
            amount = f"{wording.number(total['estimate'])} MME"
            amount = amount if row["n_patients"] == 1 else f"a mean of {amount}"
            lower = _incomplete(rows, window)
            out.append(f"{start} the {zero}, {amount} were counted in {hours} ({rate}){lower}.")
        else:
            out.append(f"{start} the {zero}: {rate}{_who(row)}, {hours}.")
    return out


def _incomplete(rows: list[Row], window: str) -> str:
    flag = first(
        rows,
        outcome=("mme_per_24h", "mme_total"),
        measure="count",
        term="incomplete",
        window=window,
        level=EVERYONE,
    )
    if flag is not None and ok(flag) and flag["estimate"] > 0:
        n = flag["n_patients"]
        who = "" if n == 1 else f" for {wording.plural(flag['estimate'], 'patient')}"
        return f"; a lower bound{who}, since an opioid was given that could not be counted"
    return ""


def _pain_windows(rows: list[Row]) -> list[str]:
    pain = [
        r
        for r in where(rows, measure="mean", term="", level=EVERYONE)
        if r["outcome"].startswith("pain_")
    ]
    out = []
    for row in sorted(pain, key=lambda r: (r["outcome"], bounds(r["window"]) or (0.0, 0.0))):
        when = wording.window_sentence(row["window"])
        label = wording.label(row["outcome"])
        if ok(row):
            value = f"mean {wording.number(row['estimate'])}{_interval(row)}{_who(row)}"
        else:
            word = wording.missing(row)
            value = f"{word} ({row['note'].removeprefix(f'{word}: ')})"
        out.append(f"{label} in {when} the start: {value}.")
    return out


def _shares(rows: list[Row], study: Study) -> list[str]:
    out = []
    kinds = {name: outcome.kind for name, outcome in study.outcomes.items()}
    for row in where(rows, measure="proportion"):
        if not ok(row) or kinds.get(row["outcome"]) not in ("responder", "adverse_event"):
            continue
        what = wording.label(row["outcome"])
        what += f", {wording.words(row['term'])}" if row["term"] else ""
        when = f" in {wording.window(row['window'])}" if bounds(row["window"]) else ""
        level = "" if row["level"] in EVERYONE else f", {wording.arm(row['level'])}"
        n = ""
        if known(row["n_events"]) and known(row["n_patients"]):
            n = f"{wording.count(row['n_events'])} of {wording.count(row['n_patients'])}, "
        out.append(
            f"{what}{when}{level}: {n}{wording.percent(row['estimate'])}"
            f"{_interval(row, share=True)}."
        )
    return out


def _change(part: list[Row], rows: list[Row]) -> list[str]:
    out = []
    done: set[tuple[str, ...]] = set()
    for difference in where(part, measure=("mean_difference", "median_difference")):
        place = tuple(difference[c] for c in ("measure", "outcome", "contrast", "level"))
        if place in done and ok(difference):  # another method for the same number
            if known(difference["p_value"]):
                out.append(f"The same difference by {difference['method']}: p {_p(difference)}.")
            continue
        done.add(place)
        label = wording.words(difference["outcome"])
        if not ok(difference):
            out.append(f"{label}, change: {wording.missing(difference)} ({difference['note']}).")
            continue
        sides = difference["contrast"].split(" vs ")
        means = where(
            part,
            measure="mean",
            outcome=difference["outcome"],
            level=difference["level"],
            contrast=difference["contrast"],
        )
        parts = []
        for side in reversed(sides):
            mean = first(means, window=side)
            if mean is not None and ok(mean):
                hours = ""
                if difference["outcome"].startswith("mme"):
                    hours = f", {_hours_of(part, rows, side, difference['level'])}"
                parts.append(f"{wording.number(mean['estimate'])} ({wording.window(side)}{hours})")
        start = f"{label}: the mean was {' and then '.join(parts)}" if parts else f"{label}"
        p = f", p {_p(difference)}" if known(difference["p_value"]) else ""
        out.append(
            f"{start}; the difference was {wording.number(difference['estimate'])}"
            f"{_interval(difference)}{_who(difference)}{p}. Method: {difference['method']}."
        )
        ratio = first(
            part, measure="ratio_of_means", outcome=difference["outcome"], level=difference["level"]
        )
        if ratio is not None and ok(ratio):
            out.append(
                f"As a ratio of means: {wording.number(ratio['estimate'])}{_interval(ratio)}."
            )
    return out


def _hours_of(part: list[Row], rows: list[Row], window: str, level: str) -> str:
    """Return the hours of the patients compared, else of everybody described, and which."""
    own = where(part, outcome="hours_observed", measure="mean", window=window)
    if own:
        return hours_words(own, window, level)
    row = first(rows, outcome="hours_observed", measure="mean", window=window)
    words = hours_words(rows, window, level)
    if row is None or not ok(row) or row["n_patients"] == 1 or not known(row["n_patients"]):
        return words
    return f"{words} in all {wording.plural(row['n_patients'], 'patient')}"


def _p(row: Row) -> str:
    text = wording.p_value(row["p_value"])
    return text if text.startswith("<") else f"= {text}"


def _coefficient(term: str) -> str:
    """Return the name of a coefficient as words."""
    parts = []
    for part in term.replace("*", ":").split(":"):
        known_words = {"post": "after against before", "intercept": "level before"}
        parts.append(known_words.get(part.lower(), wording.words(part.replace("=", " "))))
    return ", in addition for ".join(parts)


def _trajectory(part: list[Row]) -> list[str]:
    out = []
    for row in where(part, measure="mean_difference"):
        label = wording.label(row["outcome"])
        term = _coefficient(row["term"]) or wording.contrast(row["contrast"])
        if not ok(row):
            out.append(f"{label}, {term}: {wording.missing(row)} ({row['note']}).")
            continue
        p = f", p {_p(row)}" if known(row["p_value"]) else ""
        out.append(
            f"{label}, difference of means, {term}: {wording.number(row['estimate'])}"
            f"{_interval(row)}{_who(row)}{p}."
        )
    if not out:
        for row in part[:1]:
            if not ok(row):
                out.append(
                    f"{wording.label(row['outcome'])}: {wording.missing(row)} ({row['note']})."
                )
    return out


def _incidence(part: list[Row], study: Study) -> list[str]:
    measure = ("cumulative_incidence", "survival_probability")
    curves = [r for r in where(part, measure=measure) if ":" not in r["outcome"]]
    out = []
    for outcome in distinct(curves, "outcome"):
        analysis = study.analyses.get(part[0]["analysis"])
        limit = max(getattr(analysis, "at_hours", (0.0,)))
        here = where(curves, outcome=outcome)
        for level in arms(here):
            steps = [
                r
                for r in where(here, level=level)
                if r["time_hours"] <= limit and (r["term"] == "" or ok(r))
            ]
            if not steps:
                continue
            row = max(steps, key=lambda r: (r["time_hours"], r["term"]))
            who = wording.arm(level, wording.unit_word(study))
            value = (
                f"{wording.percent(row['estimate'])}{_interval(row, share=True)}"
                if ok(row)
                else f"{wording.missing(row)} ({row['note']})"
            )
            events = first(part, outcome=outcome, level=level, measure="count", term="events")
            episodes = first(part, outcome=outcome, level=level, measure="count", term="episodes")
            n = ""
            if events is not None and episodes is not None and ok(events) and ok(episodes):
                n = (
                    f"; {wording.plural(events['estimate'], 'event')} in "
                    f"{wording.plural(episodes['estimate'], 'episode')} in all"
                )
            word = "cumulative incidence" if "incidence" in row["measure"] else "survival"
            out.append(
                f"{wording.label(outcome)}, {who}: {word} {value} by {wording.number(limit)} h{n}."
            )
    for row in part:
        if row["status"] == "refused":
            out.append(f"{wording.label(row['outcome'])}: refused ({row['note']}).")
    return out


def _ratios(part: list[Row]) -> list[str]:
    out = []
    for row in where(part, measure=("hazard_ratio", "subdistribution_hazard_ratio")):
        term = row["term"].replace("_", " ").replace("=", " ")
        reference = f" against {row['contrast']}" if row["contrast"] else ""
        if " vs " in row["contrast"]:  # the contrast names the words itself
            term = f"{row['term'].split('=')[0].replace('_', ' ')}, "
            term += wording.contrast(row["contrast"])
            reference = ""
        elif row["contrast"].startswith("per "):
            reference = f" {row['contrast']}"
        name = f"{wording.label(row['outcome'])}, {wording.words(row['measure'])} for {term}"
        if not ok(row):
            out.append(f"{name}{reference}: {wording.missing(row)} ({row['note']}).")
            continue
        events = f", {wording.plural(row['n_events'], 'event')}" if known(row["n_events"]) else ""
        p = f", p {_p(row)}" if known(row["p_value"]) else ""
        out.append(
            f"{name}{reference}: {wording.number(row['estimate'])}{_interval(row)}"
            f"{_who(row)}{events}{p}."
        )
    return out
