"""What the schema alone cannot see in a study: references and words of the tables."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, get_args

from ketamine_outcomes import study_schema as schema
from ketamine_outcomes.cohort.known import NAMES as KNOWN_AT_INDEX
from ketamine_outcomes.errors import UserError
from ketamine_outcomes.exposure import drugs, factors
from ketamine_outcomes.extract import tables
from ketamine_outcomes.study import Covariate, Eligibility, Study
from ketamine_outcomes.study_analyses import (
    BeforeAfter,
    Description,
    Hazard,
    Incidence,
    Survival,
    Trajectory,
)
from ketamine_outcomes.study_explain import did_you_mean, listed, nearest
from ketamine_outcomes.study_outcomes import (
    AdverseEventOutcome,
    DeathOutcome,
    MMEOutcome,
    PainOutcome,
    ReliefOutcome,
    SiteOutcome,
)
from ketamine_outcomes.study_section import Domain, Scale
from ketamine_outcomes.study_yaml import Fault, Node

Path = tuple[str | int, ...]
#: Which outcomes an analysis can take.
FITS: dict[type, tuple[type, ...]] = {
    BeforeAfter: (MMEOutcome, PainOutcome),
    Trajectory: (PainOutcome,),
    Incidence: (ReliefOutcome, SiteOutcome),
    Hazard: (ReliefOutcome, SiteOutcome),
    Survival: (DeathOutcome,),
}
#: Tables that are made for every study, and so are no names for an analysis.
RESERVED = ("attrition", "ledger", "characteristics")
#: What a covariate or an inclusion rule can read, with the names behind the dot (none: any).
READS: dict[str, tuple[str, ...]] = {
    "patients": (),
    "measurements": (),
    "index": KNOWN_AT_INDEX,
    "infusion_sites": tables.INFUSION_SITES.names,
    "hours_observed": get_args(Domain),
    "scores": get_args(Scale),
}


@dataclass(frozen=True)
class Problem:
    """Something wrong at a place of a study."""

    path: Path
    message: str
    hint: str = ""


def names(tree: Node) -> dict[str, list[str]]:
    """Return the names that a study gives, by section, as written: right or wrong inside."""
    found = {}
    for section in ("outcomes", "covariates", "analyses"):
        node = tree.child(section)
        found[section] = list(node.value) if node and isinstance(node.value, dict) else []
    return found


def check_references(study: Study, tree: Node, known: Mapping[str, list[str]]) -> list[Fault]:
    """Return what a study names that does not exist or does not fit."""
    return [
        Fault(tree.find(found.path).at, found.message, found.hint, "reference")
        for found in problems(study, known)
    ]


def problems(study: Study, known: Mapping[str, list[str]]) -> Iterator[Problem]:
    try:
        factors.parse(study.exposure.factors)
    except UserError as error:
        yield Problem(("exposure", "factors"), f"exposure.factors: {error.what}", error.do)
    yield from _drug(study)
    rules: dict[str, dict[str, Eligibility] | dict[str, Covariate]] = {
        "eligibility": study.eligibility,
        "covariates": study.covariates,
    }
    for section, entries in rules.items():
        for name, rule in entries.items():
            yield from _reads((section, name, "from"), rule.reads)
    for name, outcome in study.outcomes.items():
        yield from _words(name, outcome)
    for name, analysis in study.analyses.items():
        if name in known["analyses"]:
            yield from _analysis(study, name, analysis, known)
    for domain, name in study.primary.items():
        yield from _refer(("primary", domain), name, known["analyses"], "analysis")


def _refer(path: Path, name: str, among: Sequence[str], what: str) -> Iterator[Problem]:
    if name not in among:
        hint = f"{what} names of this study: {', '.join(among)}" if among else ""
        where = ".".join(str(part) for part in path if isinstance(part, str))
        said = f"{where}: no {what} has the name {name!r}{did_you_mean(name, among)}"
        yield Problem(path, said, hint or f"this study has no {what} yet: add one")


def _analysis(
    study: Study, name: str, analysis: Any, known: Mapping[str, list[str]]
) -> Iterator[Problem]:
    here: Path = ("analyses", name)
    if name in RESERVED:
        said = f"analyses: {name!r} is the name of a table that is always made"
        yield Problem(here, said, f"choose another name, e.g. my-{name}")
    if isinstance(analysis, Description):
        for i, name_ in enumerate(analysis.outcomes):
            yield from _refer((*here, "outcomes", i), name_, known["outcomes"], "outcome")
    else:
        yield from _refer((*here, "outcome"), analysis.outcome, known["outcomes"], "outcome")
        outcome = study.outcomes.get(analysis.outcome)
        kinds = FITS[type(analysis)]
        if outcome is not None and not isinstance(outcome, kinds):
            fitting = [word for kind in kinds for word in _kind(kind)]
            mine = [key for key, value in study.outcomes.items() if value.kind in fitting]
            hint = f"it takes an outcome of kind {' or '.join(fitting)}"
            yield Problem(
                (*here, "outcome"),
                f"{'.'.join(map(str, here))}: an analysis of kind {analysis.kind} cannot take "
                f"{analysis.outcome!r}, an outcome of kind {outcome.kind}",
                hint + (f", here: {', '.join(mine)}" if mine else ""),
            )
    if analysis.by is not None:
        yield from _refer((*here, "by"), analysis.by, known["covariates"], "covariate")
    for i, name_ in enumerate(getattr(analysis, "adjust", ())):
        yield from _refer((*here, "adjust", i), name_, known["covariates"], "covariate")
        covariate = study.covariates.get(name_)
        if covariate is not None and covariate.role != "confounder":
            yield Problem(
                (*here, "adjust", i),
                f"{'.'.join(map(str, here))}.adjust: {name_!r} has the role {covariate.role}; "
                "only a confounder may be adjusted for",
                f"take it out, or write role: confounder at covariates.{name_} if it is one",
            )


def _kind(section: Any) -> list[str]:
    return schema.words(section.model_fields["kind"].annotation)


def _drug(study: Study) -> Iterator[Problem]:
    drug = study.index.drug
    if drug is None:
        return
    known = drugs.resolve(drug)
    if known is None or known.ingredient != drug:
        ingredients = sorted(drugs.INGREDIENTS)
        near = f", did you mean {known.ingredient!r}?" if known else did_you_mean(drug, ingredients)
        said = f"index.drug: {drug!r} is no ingredient of the drug dictionary{near}"
        yield Problem(("index", "drug"), said, "the ingredient in lower case, e.g. ketamine; "
                      "docs/reference/drugs.md says how a name is added")  # fmt: skip


def _reads(path: Path, reads: str) -> Iterator[Problem]:
    table, _, column = reads.partition(".")
    where = ".".join(map(str, path))
    if table not in READS or not column:
        near = nearest(table, READS) if column else _table_of(reads)
        better = f", did you mean {f'{near}.{column or reads}'!r}?" if near else ""
        yield Problem(
            path,
            f"{where}: {reads!r} cannot be read{better}",
            "write patients.COLUMN, measurements.NAME, index.NAME, infusion_sites.COLUMN, "
            "hours_observed.DOMAIN or scores.SCALE",
        )
    elif READS[table] and column not in READS[table]:
        near = nearest(column, READS[table])
        better = f", did you mean {f'{table}.{near}'!r}?" if near else ""
        allowed = [f"{table}.{name}" for name in READS[table]]
        yield Problem(path, f"{where}: there is no {reads!r}{better}", listed(allowed))


def _table_of(column: str) -> str:
    """Return the table that has this column and can be read, or an empty string."""
    return next((name for name in READS if column in _columns(name)), "")


def _columns(table: str) -> tuple[str, ...]:
    return tables.TABLES[table].names if table in tables.TABLES else READS[table]


def _words(name: str, outcome: Any) -> Iterator[Problem]:
    here: Path = ("outcomes", name)
    checks: list[tuple[Path, Sequence[str], tuple[str, ...], str]] = []
    if isinstance(outcome, SiteOutcome):
        signs = tables.SITE_EVENTS.column("sign").words
        scales = tables.SITE_EVENTS.column("scale").words
        checks.append(((*here, "event", "signs"), outcome.event.signs or (), signs, "sign"))
        checks.append(((*here, "event", "scales"), outcome.event.scales, scales, "scale"))
    if isinstance(outcome, AdverseEventOutcome):
        events = tables.EVENTS.column("event").words
        checks.append(((*here, "events"), outcome.events, events, "event"))
    for path, given, allowed, what in checks:
        for i, word in enumerate(given):
            if word not in allowed:
                said = f"{'.'.join(map(str, path))}: {word!r} is no {what} of the extract"
                hint = listed(allowed)
                yield Problem((*path, i), said + did_you_mean(word, allowed), hint)
