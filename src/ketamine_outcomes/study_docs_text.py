"""The texts and examples that stand between the generated parts of `study_docs.py`."""

from __future__ import annotations

#: A complete study, as short as one can be.
MINIMAL = """\
# yaml-language-server: $schema=../study.schema.json
name: minimal
title: Opioid need around the first ketamine course
cohorts:
  registry: {source: tabular, path: data/registry, times: shifted}
index: {drug: ketamine, routes: [iv, sc]}
outcomes:
  opioid: {kind: mme}
analyses:
  mme_change: {kind: before_after, outcome: opioid}
disclosure: {policy: cms}
"""

#: A short example for each section; each loads when it stands in the minimal study.
EXAMPLES: dict[str, str] = {
    "name": "name: ketamine-case\n",
    "title": "title: Opioid need around one ketamine infusion\n",
    "question": "question: What opioids were given in the day before and after ketamine?\n",
    "notes": "notes:\n  - One patient, so values are described and nothing is tested.\n",
    "cohorts": """\
cohorts:
  registry:
    source: tabular
    path: data/registry
    times: shifted
    doses_hold: opioids
    feed_priority: [icu, emar]
    assume_route: {parenteral: iv}
  made-up: {source: simulated, patients: 300, seed: 1}
""",
    "index": "index: {drug: ketamine, routes: [iv, sc], gap_hours: 24, washout_days: 30}\n",
    "exposure": "exposure: {factors: cdc2022+inpatient}\n",
    "windows": """\
windows:
  baseline: [-24, 0]
  follow_up: [[0, 24], [24, 48], [48, 72]]
  primary_mme: {before: [-72, 0], after: [24, 72]}
  min_scores: 3
""",
    "eligibility": """\
eligibility:
  adult: {from: patients.age_years, at_least: 18}
  on_dialysis: {from: patients.dialysis, any_of: [hemodialysis, peritoneal]}
""",
    "covariates": """\
covariates:
  arm: {from: index.route, role: group}
  age: {from: patients.age_years, role: confounder}
""",
    "outcomes": """\
outcomes:
  opioid: {kind: mme}
  pain: {kind: pain, scale: nrs}
  response: {kind: responder, fall_at_least: 0.3}
  relief: {kind: sustained_relief}
  complication: {kind: site_complication, event: {grade_at_least: 2}}
  death: {kind: death}
  harm: {kind: adverse_event, events: [hallucination, sedation]}
""",
    "analyses": """\
analyses:
  windows: {kind: description, outcomes: [opioid]}
  mme_change: {kind: before_after, outcome: opioid}
""",
    "primary": "primary: {mme: mme_change}\n",
    "scenarios": """\
scenarios:
  - {name: factors-high, set: {exposure.factors: cdc2022+inpatient+high}}
  - {name: as-subcutaneous, set: {cohorts.*.assume_route: {parenteral: sc}}}
""",
    "disclosure": "disclosure: {policy: cms, patient_level: none}\n",
}

INTRODUCTION = """\
# The study file

<!-- {made} -->

A study file is one YAML document that says everything about a study: where the patients come
from, what time zero is, how opioid doses become morphine milligram equivalents (MME), and what is
estimated. Check it with `ketamine-outcomes check config/studies/NAME.yaml`, where NAME is also its
`name`: every fault is shown at once, with its line, the words that are allowed and what to write.
Make `# yaml-language-server: $schema=../study.schema.json` its first line, and an editor with a
YAML language server (in VS Code the YAML extension) explains and completes every key as you type.

Keys are exactly those below; any other key is a fault. A key with a default can be left out. Text
needs quotation marks only where it begins with a sign such as `*` or `@`, or holds a colon followed
by a space. `NAME` is a name of your choice: lower-case letters and digits, joined by `-` or `_`,
60 characters at most.

## A complete minimal study

```yaml
{minimal}```
"""

MORE = {
    "exposure": "Factor sets: {sets}. An earlier set wins; a final `+low` or `+high` takes the "
    "published range.",
    "eligibility": "`from` reads `patients.COLUMN`, `measurements.NAME` (last value before time "
    "zero), `index.NAME`, `infusion_sites.COLUMN`, `hours_observed.DOMAIN` or `scores.SCALE` "
    "(hours and scores in the baseline window). NAME of `index` is what is known of a unit at time "
    "zero: `route` (`untreated` for comparators), `group` (treated or comparator), `molecule`, "
    "`opioid_tolerant`, `opioid_tolerant_flat`, `dialysis_day`, `hours_since_dialysis`, or "
    "`co_CLASS` for a class of co-analgesics ([what each means]"
    "(../docs/explanation/ketamine.md)). Rules apply in the order written.",
    "covariates": "`from` reads what it reads in `eligibility`. Only a covariate with the role "
    "`confounder` can stand in `adjust`.",
    "outcomes": "The words of signs, scales and events stand in the "
    "[data dictionary](../docs/reference/data-dictionary.md).",
    "analyses": "An analysis names outcomes and covariates of the study. `before_after` takes "
    "`mme` or `pain`; `trajectory` takes `pain`; `cumulative_incidence` and `hazard` take "
    "`sustained_relief` or `site_complication`; `survival` takes `death`.",
    "scenarios": "The study as written is the scenario `base`. A dotted key leads to what is "
    "changed; `cohorts.*.KEY` sets a key of every cohort. A list is set as a whole. `name`, "
    "`title`, `question`, `notes` and `disclosure` are the same in all scenarios, and so are the "
    "keys of a cohort that are used when it is read ({once}).",
}

DICTIONARY = """\
# Data dictionary: the tables of an extract

<!-- {made} -->

An extract is a folder with one file per table, `NAME.csv`, `NAME.csv.gz` or `NAME.parquet`; CSV has
a header row, commas and UTF-8 text. Only the columns marked as required must be there. Words and
headers are compared after trimming and lower-casing; ids are trimmed and keep their case; true or
false may be written `true`/`false`, `t`/`f`, `yes`/`no`, `y`/`n` or `1`/`0`. Further columns of
`patients` can be read as covariates.

## Absent is not zero

A table that is not there is unknown, while a table with a header and no rows is known to be empty.
Within a table, hours that no row of `stays` observes are unknown, and an observed hour without a
record is a confirmed none. A blank cell means not recorded (or the default named below), and a zero
never stands for unknown.
"""
