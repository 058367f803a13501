"""Faults planted in a study file: each is named with its line, its word and what to write."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

from ketamine_outcomes import study_file
from ketamine_outcomes.errors import UserError

STUDY = """\
# A study without a fault; the tests below plant one or more.
name: planted
title: A study without a fault
cohorts:
  registry:
    source: tabular
    path: data/registry
    times: shifted
    patients: ["1001", "1002"]
    assume_route: {parenteral: iv}
  made-up:
    source: simulated
    patients: 50
    null: false
index:
  unit: patient
  drug: ketamine
  routes: [iv, sc]
  gap_hours: 24
exposure:
  factors: cdc2022+inpatient
windows:
  baseline: [-24, 0]
  follow_up: [[0, 24], [24, 48]]
  primary_mme: {before: [-72, 0], after: [24, 72]}
  min_scores: 3
eligibility:
  adult: {from: patients.age_years, at_least: 18}
covariates:
  arm: {from: index.route, role: group}
  age: {from: patients.age_years, role: confounder}
  sedated: {from: measurements.rass, role: mediator}
outcomes:
  opioid: {kind: mme}
  pain:
    kind: pain
    scale: nrs
  relief: {kind: sustained_relief, at_most_ratio: 0.7}
  site:
    kind: site_complication
    event: {signs: [erythema, leak], scales: [consequence]}
  harm: {kind: adverse_event, events: [nausea]}
  death: {kind: death}
analyses:
  table: {kind: description, outcomes: [opioid, pain]}
  change: {kind: before_after, outcome: opioid, by: arm}
  course:
    kind: trajectory
    outcome: pain
    adjust: [age]
  hazard: {kind: hazard, outcome: relief, by: arm, adjust: [age]}
  curve: {kind: survival, outcome: death, at_hours: [24, 48]}
primary:
  mme: change
scenarios:
  - {name: high, set: {exposure.factors: cdc2022+inpatient+high}}
  - name: by-subcutaneous
    set: {cohorts.*.assume_route.parenteral: sc}
disclosure:
  policy: none
"""
#: Words of the libraries inside, which mean nothing to a clinician.
JARGON = re.compile(
    r"pydantic|Input should|union|\btags?\b|literal|\bdict\b|\btuple\b|NoneType|Traceback"
    r"|validat|discriminator|scalar|parsing|mapping|\bfloat\b|\bbool|\bstring\b|<class|Value error",
    re.IGNORECASE,
)


class Planted(NamedTuple):
    """`old` becomes `new`; the message names the line of `at` and says `says`."""

    id: str
    old: str
    new: str
    at: str
    says: tuple[str, ...]


def plant(text: str, old: str, new: str) -> str:
    assert text.count(old) == 1, f"{old!r} stands {text.count(old)} times in the study"
    return text.replace(old, new)


def faults(tmp_path: Path, text: str, name: str = "planted.yaml") -> list[study_file.Fault]:
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    with pytest.raises(study_file.StudyFaults) as caught:
        study_file.load(path)
    shown = str(caught.value)
    assert not JARGON.search(shown), shown
    assert shown.startswith(f"{len(caught.value.found)} fault")
    for fault, single in zip(caught.value.found, caught.value.faults, strict=True):
        assert str(single).startswith(f"{path}:{fault.line}: {fault.message}")
        assert len(str(single).split("\n")) <= 8
    return caught.value.found


def line_of(text: str, part: str) -> int:
    found = [i for i, line in enumerate(text.split("\n"), 1) if part in line]
    assert len(found) == 1, f"{part!r} is on lines {found}"
    return found[0]


UNKNOWN_KEYS = [
    Planted("top", "title: A", "titel: A", "titel", ("'titel'", "mean 'title'?")),
    Planted("top-section", "exposure:", "exposures:", "exposures", ("mean 'exposure'?",)),
    Planted("misplaced", "exposure:", "gap_hours: 12\nexposure:", "gap_hours: 12",
            ("gap_hours belongs to index",)),
    Planted("cohort", "    times: shifted", "    times: shifted\n    feed_prio: [icu]", "feed_prio",
            ("in cohorts.registry", "mean 'feed_priority'?", "max_bad_rows")),
    Planted("cohort-of-other-kind", "    null: false", "    doses_hold: opioids", "doses_hold",
            ("unknown key 'doses_hold' in cohorts.made-up", "seed")),
    Planted("cohort-required", "    path:", "    pathh:", "pathh", ("'pathh'", "mean 'path'?")),
    Planted("in-a-cohort", "{parenteral: iv}", "{parental: iv}", "parental",
            ("in cohorts.registry.assume_route", "mean 'parenteral'?")),
    Planted("index", "  gap_hours", "  gap_hour", "gap_hour:", ("mean 'gap_hours'?", "drug")),
    Planted("index-comparator", "  gap_hours: 24", "  comparator: {at: stay_start, when: 1}",
            "compar", ("unknown key 'when' in index.comparator", "at")),
    Planted("exposure", "  factors:", "  factor:", "  factor:", ("mean 'factors'?",)),
    Planted("windows", "  min_scores", "  min_score", "min_score:", ("mean 'min_scores'?",)),
    Planted("primary-mme", "{before: [-72", "{befor: [-72", "befor:", ("mean 'before'?",)),
    Planted("eligibility", "at_least: 18", "atleast: 18", "atleast", ("mean 'at_least'?",)),
    Planted("covariate", "role: group", "rule: group", "rule:", ("mean 'role'?", "groups")),
    Planted("outcome", "    scale: nrs", "    scael: nrs", "scael",
            ("unknown key 'scael' in outcomes.pain", "mean 'scale'?", "summary")),
    Planted("in-an-outcome", "{signs: [", "{sings: [", "sings",
            ("unknown key 'sings' in outcomes.site.event", "mean 'signs'?")),
    Planted("outcome-of-other-kind", "{kind: death}", "{kind: death, scale: nrs}", "kind: death,",
            ("unknown key 'scale' in outcomes.death",)),
    Planted("analysis", "by: arm, adjust", "bye: arm, adjust", "bye", ("mean 'by'?",)),
    Planted("primary", "  mme: change", "  mne: change", "mne", ("mean 'mme'?", "safety")),
    Planted("scenario", "- name: by-sub", "- nmae: by-sub", "nmae", ("mean 'name'?",)),
    Planted("disclosure", "  policy:", "  polices:", "polices", ("mean 'policy'?",)),
    Planted("yaml-null-as-key", "    null: false", "    ~: false", "    ~", ("'~'", "null")),
]  # fmt: skip
MISSING_KEYS = [
    Planted("top", "title: A study without a fault\n", "", "# A study",
            ("the study lacks the key 'title'", "e.g. title: ")),
    Planted("cohort", "    times: shifted\n", "", "  registry:",
            ("cohorts.registry lacks the key 'times'", "shifted, relative_hours")),
    Planted("eligibility", "{from: patients.age_years, at_least: 18}", "{at_least: 18}", "adult",
            ("eligibility.adult lacks the key 'from'", "patients.age_years")),
    Planted("analysis", "    outcome: pain\n", "", "  course:",
            ("analyses.course lacks the key 'outcome'", "A pain outcome")),
    Planted("kind-of-outcome", "    kind: pain\n", "", "  pain:",
            ("outcomes.pain lacks the key 'kind'", "mme, pain, responder")),
    Planted("kind-of-analysis", "{kind: before_after, ", "{", "change: {",
            ("analyses.change lacks the key 'kind'", "before_after")),
    Planted("source-of-cohort", "    source: simulated\n", "", "  made-up:",
            ("cohorts.made-up lacks the key 'source'", "tabular, mimic_iv")),
    Planted("kind-misspelt", "    kind: pain", "    kinds: pain", "kinds",
            ("unknown key 'kinds' in outcomes.pain", "mean 'kind'?")),
    Planted("scenario", "    set: {cohorts.*.assume_route.parenteral: sc}\n", "", "- name: by",
            ("lacks the key 'set'", "exposure.factors")),
    Planted("policy", "  policy: none", "  patient_level: open", "disclosure:",
            ("disclosure lacks the key 'policy'", "cms, nhs, custom, none")),
]  # fmt: skip
WRONG_WORDS = [
    Planted("kind", "{kind: mme}", "{kind: medel}", "medel",
            ("outcomes.opioid.kind: 'medel' is not allowed", "allowed: mme, pain, responder")),
    Planted("kind-near", "kind: trajectory", "kind: trajectori", "trajectori",
            ("analyses.course.kind", "mean 'trajectory'?")),
    Planted("kind-capital", "{kind: mme}", "{kind: MME}", "MME", ("mean 'mme'?",)),
    Planted("source", "source: tabular", "source: tabullar", "tabullar",
            ("cohorts.registry.source", "mean 'tabular'?", "mimic_iii")),
    Planted("times", "times: shifted", "times: shift", "times", ("mean 'shifted'?", "actual")),
    Planted("route", "routes: [iv, sc]", "routes: [iv, subcutaneous]", "routes",
            ("index.routes (item 2): 'subcutaneous'", "mean 'sc'?", "intrathecal")),
    Planted("role", "role: group", "role: confunder", "confunder", ("mean 'confounder'?",)),
    Planted("scale", "scale: nrs", "scale: NRS", "NRS", ("mean 'nrs'?", "flacc")),
    Planted("sign", "[erythema, leak]", "[erythema,\n      leek]", "leek",
            ("'leek' is no sign", "mean 'leak'?", "phlebitis")),
    Planted("scale-of-grades", "[consequence]", "[consequences]", "consequences",
            ("is no scale", "mean 'consequence'?", "vip")),
    Planted("event", "[nausea]", "[nausia]", "nausia", ("is no event", "mean 'nausea'?")),
    Planted("policy", "policy: none", "policy: no", "policy", ("'no' is not allowed", "none")),
    Planted("drug", "drug: ketamine", "drug: ketamin", "drug:", ("mean 'ketamine'?",)),
    Planted("drug-brand", "drug: ketamine", "drug: s-ketamine", "drug:", ("mean 'esketamine'?",)),
    Planted("factors", "factors: cdc2022+inpatient\n", "factors: cdc2023+inpatient\n", "cdc2023",
            ("exposure.factors", "'cdc2023'", "mean 'cdc2022'?", "route_consistent")),
    Planted("factors-low-alone", "factors: cdc2022+inpatient\n", "factors: low\n", "factors: low",
            ("unknown factor set", "joined by +")),
    Planted("covariate-table", "from: index.route", "from: patient.sex", "patient.sex",
            ("covariates.arm.from", "mean 'patients.sex'?", "measurements.NAME")),
    Planted("covariate-column-only", "from: index.route", "from: age_years", "from: age_years,",
            ("mean 'patients.age_years'?",)),
    Planted("covariate-of-index", "from: index.route", "from: index.rout", "index.rout,",
            ("no 'index.rout'", "mean 'index.route'?")),
    Planted("covariate-of-sites", "from: index.route", "from: infusion_sites.gauge", "gauge",
            ("no 'infusion_sites.gauge'", "infusion_sites.device")),
    Planted("covariate-of-scores", "from: index.route", "from: scores.pain", "scores.pain",
            ("no 'scores.pain'", "scores.nrs")),
    Planted("covariate-of-hours", "from: index.route", "from: hours_observed.dose",
            "hours_observed", ("mean 'hours_observed.doses'?",)),
]  # fmt: skip
WRONG_VALUES = [
    Planted("window-backwards", "baseline: [-24, 0]", "baseline: [0, -24]", "baseline",
            ("windows.baseline: [0, -24] does not run from earlier to later", "[-24, 0]")),
    Planted("window-of-three", "baseline: [-24, 0]", "baseline: [-24, 0, 24]", "baseline",
            ("windows.baseline: a window is two numbers", "baseline: [-24, 0]")),
    Planted("window-of-one", "[24, 48]]", "[24]]", "follow_up",
            ("windows.follow_up (item 2): a window is two numbers",)),
    Planted("window-of-words", "baseline: [-24, 0]", "baseline: [day before, 0]", "baseline",
            ("windows.baseline: a window is two numbers",)),
    Planted("window-no-list", "baseline: [-24, 0]", "baseline: 24", "baseline",
            ("windows.baseline: a window is two numbers",)),
    Planted("window-wrong-side", "baseline: [-24, 0]", "baseline: [-24, 5]", "baseline",
            ("end at 0 at the latest",)),
    Planted("window-after-wrong-side", "after: [24, 72]", "after: [-24, 72]", "primary_mme",
            ("start at 0 at the earliest",)),
    Planted("follow-up-one-level", "[[0, 24], [24, 48]]", "[0, 24]", "follow_up",
            ("windows.follow_up: a window is two numbers", "[[0, 24], [24, 48]")),
    Planted("number-as-text", "gap_hours: 24", 'gap_hours: "24"', "gap_hours",
            ("a number is needed, not the text '24'", "write gap_hours: 24, without quotation")),
    Planted("number-as-word", "gap_hours: 24", "gap_hours: one day", "gap_hours",
            ("a number is needed, not the text 'one day'", "gap_hours: 24")),
    Planted("whole-number", "min_scores: 3", "min_scores: 2.5", "min_scores",
            ("a whole number is needed, not the number 2.5",)),
    Planted("truth-for-number", "gap_hours: 24", "gap_hours: true", "gap_hours",
            ("a number is needed, not `true`",)),
    Planted("not-a-number", "gap_hours: 24", "gap_hours: .nan", "gap_hours",
            ("index.gap_hours", "number")),
    Planted("infinite", "at_least: 18", "at_least: .inf", "at_least", ("number",)),
    Planted("not-positive", "gap_hours: 24", "gap_hours: 0", "gap_hours",
            ("0 is out of range, more than 0",)),
    Planted("share", "at_most_ratio: 0.7", "at_most_ratio: 70", "at_most_ratio",
            ("70 is out of range, less than 1",)),
    Planted("at-hours", "at_hours: [24, 48]", "at_hours: [-24, 48]", "at_hours",
            ("analyses.curve.at_hours (item 1): -24 is out of range",)),
    Planted("yes-no", "null: false", "null: no", "null",
            ("true or false is needed, not the text 'no'", "write null: false")),
    Planted("word-for-list", "routes: [iv, sc]", "routes: iv", "routes",
            ("a list is needed, not the text 'iv'", "write routes: [iv]")),
    Planted("list-for-word", "drug: ketamine", "drug: [ketamine]", "drug",
            ("text is needed, not a list", "drug: ketamine")),
    Planted("number-for-text", "title: A study without a fault", "title: 2024", "title",
            ("text is needed, not the number 2024", '"2024"')),
    Planted("short-title", "title: A study without a fault", "title: Pain", "title",
            ("text of 8 characters or more",)),
    Planted("empty-list", "routes: [iv, sc]", "routes: []", "routes", ("at least one entry",)),
    Planted("text-for-section", "exposure:\n  factors: cdc2022+inpatient\n",
            "exposure: cdc2022\n", "exposure: ",
            ("a section of `key: value` lines is needed, not the text 'cdc2022'", "factors:")),
    Planted("nothing-in-section", "  adult: {from: patients.age_years, at_least: 18}\n", "",
            "eligibility", ("nothing is written", "take the key out")),
    Planted("list-for-names", "  mme: change", "  - change", "primary:",
            ("a section of `key: value` lines is needed, not a list",)),
    Planted("entry-no-section", "{kind: mme}", "mme", "opioid: mme",
            ("outcomes.opioid: a section of `key: value` lines", "not the text 'mme'")),
    Planted("name-capital", "  opioid: {", "  Opioid Use: {", "Opioid Use",
            ("outcomes: 'Opioid Use' cannot be a name", "lower-case", "opioid-use")),
    Planted("name-of-study", "name: planted", "name: Planted Study", "name: Pl",
            ("'Planted Study'", "lower-case letters")),
    Planted("name-of-file", "name: planted", "name: other", "name: other",
            ("'other' differs from the name of the file", "write name: planted")),
    Planted("rule-without-limit", ", at_least: 18}", "}", "adult",
            ("say at_least, at_most, any_of or equals",)),
    Planted("responder-without-rule", "{kind: death}", "{kind: responder}", "responder",
            ("say fall_at_least or points_at_least",)),
    Planted("drug-missing", "  drug: ketamine\n", "", "index:", ("unit patient needs `drug`",)),
    Planted("threshold", "policy: none", "policy: custom", "disclosure", ("threshold",)),
    Planted("private-type", "path: data/registry", "path: !!python/name:os.system x", "path:",
            ("has no place in a study",)),
    Planted("merge", "  made-up:\n", "  made-up:\n    <<: {seed: 1}\n", "<<", ("write the keys",)),
    Planted("twice", "  gap_hours: 24", "  drug: morphine\n  gap_hours: 24", "drug: morphine",
            ("'drug' stands twice in index", "line 17")),
]  # fmt: skip
REFERENCES = [
    Planted("outcome", "outcomes: [opioid, pain]", "outcomes: [opioid, pian]", "pian",
            ("no outcome has the name 'pian'", "mean 'pain'?", "opioid, pain, relief")),
    Planted("outcome-of-one", "    outcome: pain", "    outcome: nausea", "outcome: nausea",
            ("analyses.course.outcome: no outcome has the name 'nausea'",)),
    Planted("by", "opioid, by: arm", "opioid, by: arms", "by: arms",
            ("no covariate has the name 'arms'", "mean 'arm'?")),
    Planted("adjust", "    adjust: [age]", "    adjust: [agee]", "agee",
            ("no covariate has the name 'agee'", "mean 'age'?")),
    Planted("mediator", "    adjust: [age]", "    adjust:\n      - age\n      - sedated",
            "- sedated", ("'sedated' has the role mediator", "only a confounder")),
    Planted("primary", "  mme: change", "  mme: chang", "mme: chang",
            ("no analysis has the name 'chang'", "mean 'change'?")),
    Planted("kind-does-not-fit", "relief, by: arm", "pain, by: arm", "hazard:",
            ("kind hazard cannot take 'pain', an outcome of kind pain", "here: relief, site")),
    Planted("reserved", "  table: {", "  ledger: {", "ledger", ("always made", "another name")),
]  # fmt: skip
SCENARIOS = [
    Planted("unknown-key", "{exposure.factors:", "{exposure.factor:", "factor:",
            ("scenario 'high': there is no 'factor' in exposure", "mean 'factors'?")),
    Planted("unknown-section", "{exposure.factors:", "{exposures.factors:", "exposures",
            ("no 'exposures' in the study", "mean 'exposure'?")),
    Planted("unknown-entry", "{exposure.factors: cdc2022+inpatient+high}",
            "{outcomes.pian.summary: mean}", "pian", ("no 'pian' in outcomes", "mean 'pain'?")),
    Planted("key-of-other-kind", "{exposure.factors: cdc2022+inpatient+high}",
            "{outcomes.opioid.scale: nrs}", "opioid.scale", ("no 'scale' in outcomes.opioid",)),
    Planted("inside-a-value", "{exposure.factors:", "{exposure.factors.set:", "factors.set",
            ("exposure.factors is one value",)),
    Planted("name-taken", "- name: by-sub", "- name: high  #", "name: high  #",
            ("the scenario name 'high' is taken",)),
    Planted("name-base", "{name: high", "{name: base", "{name: base", ("'base' is taken",)),
    Planted("wrong-word", "parenteral: sc}", "parenteral: subcut}", "subcut}",
            ("scenario 'by-subcutaneous'", "'subcut' is not allowed", "intrathecal")),
    Planted("wrong-type", "{exposure.factors: cdc2022+inpatient+high}",
            '{index.gap_hours: "48"}', "index.gap_hours",
            ("scenario 'high'", "not the text '48'", "write gap_hours: 48")),
    Planted("bad-window", "{exposure.factors: cdc2022+inpatient+high}",
            "{windows.baseline: [0, -24]}", "windows.baseline", ("does not run from earlier",)),
    Planted("unknown-factors", "inpatient+high}", "inpatiant+high}", "inpatiant",
            ("unknown factor set 'inpatiant'", "mean 'inpatient'?")),
    Planted("breaks-a-reference", "{exposure.factors: cdc2022+inpatient+high}",
            "{analyses.change.outcome: opoid}", "opoid",
            ("scenario 'high'", "no outcome has the name 'opoid'", "mean 'opioid'?")),
    Planted("breaks-a-fit", "{exposure.factors: cdc2022+inpatient+high}",
            "{analyses.course.outcome: death}", "course.outcome",
            ("scenario 'high'", "cannot take 'death'", "here: pain")),
    Planted("breaks-a-role", "{exposure.factors: cdc2022+inpatient+high}",
            "{covariates.age.role: mediator}", "age.role",
            ("scenario 'high'", "role mediator")),
    Planted("second-of-two-keys", "{exposure.factors: cdc2022+inpatient+high}",
            "{exposure.factors: cdc2022,\n          index.drug: ketamin}", "index.drug",
            ("scenario 'high'", "mean 'ketamine'?")),
    Planted("whole-study", "{exposure.factors: cdc2022+inpatient+high}", "{title: Another title}",
            "Another", ("'title' is the same in all scenarios",)),
    Planted("one-cohort", "{cohorts.*.assume", "{cohorts.registry.assume", "cohorts.registry",
            ("does not name one key of all cohorts", "cohorts.*.parenteral")),
    Planted("read-once", "{cohorts.*.assume_route.parenteral: sc}", "{cohorts.*.path: data/other}",
            "data/other", ("'path' is used once", "a second cohort")),
    Planted("empty", "{cohorts.*.assume_route.parenteral: sc}", "{}", "    set: {}",
            ("at least one entry", "exposure.factors")),
]  # fmt: skip
ALL = {
    "unknown_key": UNKNOWN_KEYS,
    "missing_key": MISSING_KEYS,
    "word": WRONG_WORDS,
    "value": WRONG_VALUES,
    "reference": REFERENCES,
    "scenario": SCENARIOS,
}


@pytest.mark.parametrize(
    "planted",
    [pytest.param(one, id=f"{group}-{one.id}") for group, many in ALL.items() for one in many],
)
def test_a_planted_fault_is_named_once_with_its_line(tmp_path: Path, planted: Planted) -> None:
    text = plant(STUDY, planted.old, planted.new)
    found = faults(tmp_path, text)
    if planted.id == "name-of-study":  # it also differs from the name of the file
        found = [fault for fault in found if "differs" not in fault.message]
    if planted.id == "name-capital":  # what referred to the name finds it no longer
        found = [fault for fault in found if fault.rule == "name"]
    if planted.id == "breaks-a-role":  # of two analyses
        found = found[:1]
    assert len(found) == 1, [fault.message for fault in found]
    fault = found[0]
    expected = 1 if planted.at == "# A study" else line_of(text, planted.at)
    assert fault.line == expected, (fault, text.split("\n")[expected - 1])
    for words in planted.says:
        assert words in fault.message + "\n" + fault.hint


def test_the_study_without_a_fault_loads(tmp_path: Path) -> None:
    (tmp_path / "planted.yaml").write_text(STUDY)
    assert study_file.load(tmp_path / "planted.yaml").name == "planted"


#: Text that is not YAML, or no study at all: line, words.
BROKEN = {
    "tab": (STUDY.replace("  drug:", "\tdrug:"), 17, "indented with a tab"),
    "indent": (STUDY.replace("  drug:", "    drug:"), 17, "not indented like the lines"),
    "outdent": (STUDY.replace("    path:", "   path:"), 7, "not indented like the lines"),
    "bracket": (STUDY.replace("[iv, sc]", "[iv, sc"), 18, "a bracket is opened here"),
    "quote": (STUDY.replace('"1002"]', '"1002]'), 9, "a quotation mark is opened here"),
    "no-colon": (STUDY.replace("exposure:", "exposure"), 20, "no `key: value`"),
    "colon": (STUDY.replace("A study", "A study: one"), 3, "the text holds a colon"),
    "apostrophe": (STUDY.replace("A study", "'A study's'"), 3, "second apostrophe"),
    "backslash": (STUDY.replace("data/registry", '"C:\\data"'), 7, "a backslash"),
    "star": (STUDY.replace("A study without", "*A study without"), 3, "begins with *"),
    "sign": (STUDY.replace("A study without", "@A study without"), 3, "keeps for itself"),
    "two": (STUDY + "---\nname: second\n", STUDY.count("\n") + 1, "a second document"),
    "directive": ("%YAML 1.1\n---\n" + STUDY, 1, "begins with %"),
    "control": (STUDY.replace("without a fault\nc", "without \x07\nc"), 3, "control character"),
    "list": ("- name: planted\n", 1, "`key: value` lines"),
    "words": ("just some words\n", 1, "`key: value` lines"),
    "empty": ("", 1, "is empty"),
    "comment": ("# nothing yet\n", 1, "is empty"),
    "endless": ("name: &a [*a]\n", 1, "nested too deeply"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_what_is_not_yaml_is_said_in_plain_words(tmp_path: Path, case: str) -> None:
    text, line, words = BROKEN[case]
    found = [fault for fault in faults(tmp_path, text) if words in fault.message]
    assert [fault.line for fault in found] == [line]
    assert len(faults(tmp_path, text)) == 1


def test_a_bomb_of_references_ends_at_once(tmp_path: Path) -> None:
    rows = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    rows += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 12)]
    assert "nested too deeply" in faults(tmp_path, "\n".join(rows))[0].message


TEN = [
    ("title: A study without", "titel: A study without", "titel"),
    ("times: shifted", "times: shiffted", "times"),
    ("routes: [iv, sc]", "routes: iv", "routes"),
    ("gap_hours: 24", 'gap_hours: "24"', "gap_hours"),
    ("baseline: [-24, 0]", "baseline: [0, -24]", "baseline"),
    ("at_least: 18", "atleast: 18", "atleast"),
    ("{kind: mme}", "{kind: medel}", "medel"),
    ("outcomes: [opioid, pain]", "outcomes: [opioid, pian]", "pian"),
    ("    adjust: [age]", "    adjust: [sedated]", "adjust: [sedated]"),
    ("{cohorts.*.assume", "{cohorts.*.assumed", "cohorts"),
]


def test_ten_faults_are_ten(tmp_path: Path) -> None:
    text = STUDY
    for old, new, _ in TEN:
        text = plant(text, old, new)
    found = faults(tmp_path, text)
    expected = [line_of(text, at) for _, _, at in TEN[:-1]] + [line_of(text, "*.assumed_route")]
    assert [fault.line for fault in found] == sorted(expected)


def test_all_faults_of_all_kinds_are_found_together(tmp_path: Path) -> None:
    """Planting many at once loses none: what is wrong in one place hides nothing elsewhere."""
    chosen = [
        *(one for one in UNKNOWN_KEYS if one.id in ("cohort", "outcome", "analysis")),
        *(one for one in MISSING_KEYS if one.id in ("eligibility", "source-of-cohort")),
        *(one for one in WRONG_WORDS if one.id in ("sign", "event", "drug", "factors")),
        *(one for one in WRONG_VALUES if one.id in ("at-hours", "whole-number", "share")),
        *(one for one in REFERENCES if one.id in ("by", "primary")),
        *(one for one in SCENARIOS if one.id in ("unknown-factors", "wrong-word")),
    ]
    text = STUDY
    for one in chosen:
        text = plant(text, one.old, one.new)
    shown = [(fault.line, f"{fault.message}\n{fault.hint}") for fault in faults(tmp_path, text)]
    for one in chosen:
        if one.id == "source-of-cohort":
            assert any("made-up lacks the key 'source'" in said for _, said in shown)
            continue
        line = line_of(text, one.at)
        assert any(at == line and one.says[0] in said for at, said in shown), (one.id, shown)
    assert len(shown) == len(chosen)


def test_the_same_fault_of_several_entries_stays_several(tmp_path: Path) -> None:
    text = STUDY.replace("scale: nrs", "scale: nsr").replace("{kind: death}", "{kind: deaths}")
    assert [fault.line for fault in faults(tmp_path, text)] == [
        line_of(text, "nsr"), line_of(text, "deaths"),
    ]  # fmt: skip


def test_a_wrong_value_hides_no_rule_about_other_keys(tmp_path: Path) -> None:
    text = plant(STUDY, "policy: none", "policy: custom\n  patient_level: everyone")
    said = [fault.message for fault in faults(tmp_path, text)]
    assert len(said) == 2
    assert any("threshold" in message for message in said)


def test_patient_ids_are_not_echoed(tmp_path: Path) -> None:
    text = plant(STUDY, '["1001", "1002"]', '[["77001"], {id: "77002"}]')
    assert "7700" not in str([(f.message, f.hint) for f in faults(tmp_path, text)])
    text = plant(STUDY, '["1001", "1002"]', '"77001"')
    assert "7700" not in str([(f.message, f.hint) for f in faults(tmp_path, text)])


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda path: None, "no such study file"),
        (lambda path: path.mkdir(), "cannot be read"),
        (lambda path: path.write_bytes(STUDY.encode("utf-16")), "not UTF-8"),
        (lambda path: path.write_bytes(b"a: 1\n" * 300_000), "too large"),
    ],
    ids=["absent", "folder", "utf-16", "large"],
)
def test_a_file_that_cannot_be_read(tmp_path: Path, make, words: str) -> None:  # type: ignore[no-untyped-def]
    path = tmp_path / "planted.yaml"
    make(path)
    with pytest.raises(UserError, match=words) as caught:
        study_file.load(path)
    assert str(path) in str(caught.value)


def test_a_misspelt_path_is_answered_with_the_near_one(tmp_path: Path) -> None:
    (tmp_path / "planted.yaml").write_text(STUDY)
    with pytest.raises(UserError) as caught:
        study_file.load(tmp_path / "plantd.yaml")
    assert f"did you mean {tmp_path / 'planted.yaml'}?" in str(caught.value)


def test_the_command_ends_with_two_and_without_a_traceback(tmp_path: Path) -> None:
    path = tmp_path / "planted.yaml"
    path.write_text(plant(plant(STUDY, "times: shifted", "times: shiffted"), "[nausea]", "[naus]"))
    done = subprocess.run(
        [sys.executable, "-m", "ketamine_outcomes", "run", str(path)],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        timeout=60,
        check=False,
    )
    assert done.returncode == 2
    assert "Traceback" not in done.stdout + done.stderr
    assert f"{path}:8: cohorts.registry.times: 'shiffted' is not allowed" in done.stderr
    assert "2 faults" in done.stderr
