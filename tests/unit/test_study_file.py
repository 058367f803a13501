"""The study file: what is read, what a scenario makes of it, and what its hash covers."""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from ruamel.yaml import YAML

from ketamine_outcomes import study_docs, study_docs_text, study_file
from ketamine_outcomes.errors import UserError
from ketamine_outcomes.exposure import factors
from ketamine_outcomes.extract import tables
from ketamine_outcomes.study import SimulatedCohort, SourceCohort, Study

ROOT = Path(__file__).parents[2]
SHIPPED = sorted((ROOT / "config" / "studies").glob("*.yaml"))
STUDY = """\
name: small
title: A small study for the tests
question: What is read?
cohorts:
  registry: {source: tabular, path: data/registry, times: shifted, patients: [1001, 007, a-1]}
  made-up: {source: simulated, patients: 20}
index: {drug: ketamine, gap_hours: 24}
windows:
  baseline: [-24, 0]
eligibility:
  dialysis: {from: patients.dialysis, any_of: [no, off, 12:30, 2024-01-31, 1e3, crrt]}
outcomes:
  opioid: {kind: mme}
analyses:
  table: {kind: description, outcomes: [opioid]}
scenarios:
  - {name: high, set: {exposure.factors: cdc2022+inpatient+high}}
  - {name: subcutaneous, set: {cohorts.*.assume_route: {parenteral: sc}}}
  - {name: wide, set: {windows.baseline: [-48, 0], eligibility.dialysis.any_of: [12, none]}}
disclosure: {policy: none}
"""


@pytest.fixture
def load(tmp_path: Path) -> Callable[[str], Study]:
    """Return a function that reads a study from text."""

    def read(text: str) -> Study:
        path = tmp_path / "small.yaml"
        path.write_bytes(text.encode("utf-8"))
        return study_file.load(path)

    return read


def changed(old: str, new: str) -> str:
    assert STUDY.count(old) == 1, old
    return STUDY.replace(old, new)


# --- reading ----------------------------------------------------------------------------------


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_the_shipped_studies_load(path: Path) -> None:
    study = study_file.load(path)
    assert study.name == path.stem
    for scenario in study.scenarios:
        assert study_file.resolve(study, scenario.name) != study


def test_there_are_shipped_studies() -> None:
    assert len(SHIPPED) >= 4


def test_ids_written_as_numbers_are_taken_as_written(load: Callable[[str], Study]) -> None:
    cohort = load(STUDY).cohorts["registry"]
    assert isinstance(cohort, SourceCohort)
    assert cohort.patients == ("1001", "007", "a-1")


def test_words_are_not_turned_into_something_else(load: Callable[[str], Study]) -> None:
    """YAML 1.1 reads these as false, false, 750 (base 60), a date and 1000."""
    words = load(STUDY).eligibility["dialysis"].any_of
    assert words == ("no", "off", "12:30", "2024-01-31", "1e3", "crrt")


def test_null_is_a_key_of_simulated_cohorts(load: Callable[[str], Study]) -> None:
    cohort = load(changed("patients: 20", "null: true")).cohorts["made-up"]
    assert isinstance(cohort, SimulatedCohort)
    assert cohort.null is True


@pytest.mark.parametrize(
    "text",
    [
        "\ufeff" + STUDY,
        STUDY.replace("\n", "\r\n"),
        "\ufeff---\r\n" + STUDY.replace("\n", "\r\n") + "...\r\n",
        STUDY.rstrip("\n"),
        STUDY.replace("gap_hours: 24", "gap_hours: 24.0").replace("20}", "20.0}"),
        STUDY.replace("gap_hours: 24", "gap_hours: 2.4e1"),
        STUDY.replace("[-24, 0]", "&base [-24, 0]"),
    ],
    ids=["bom", "crlf", "bom-crlf-markers", "no-last-newline", "decimals", "exponent", "anchor"],
)
def test_the_way_it_is_written_does_not_matter(load: Callable[[str], Study], text: str) -> None:
    assert load(text) == load(STUDY)


def test_lines_are_counted_with_windows_line_ends(load: Callable[[str], Study]) -> None:
    text = "\ufeff" + changed("gap_hours", "gap_hour").replace("\n", "\r\n")
    with pytest.raises(study_file.StudyFaults) as caught:
        load(text)
    assert [fault.line for fault in caught.value.found] == [7]


@pytest.mark.parametrize("junk", ["", "[]", "{}", "3", "true", "text", "[[1]]", "{kind: x}"])
def test_nothing_that_can_be_written_is_a_bug(load: Callable[[str], Study], junk: str) -> None:
    """Each value of the study in turn is replaced: a study or faults, never another error."""
    rows = STUDY.split("\n")
    for i, row in enumerate(rows):
        key, colon, _ = row.partition(":")
        if colon:
            try:
                load("\n".join([*rows[:i], f"{key}: {junk}", *rows[i + 1 :]]))
            except UserError as error:
                assert "Traceback" not in str(error)


def test_loading_is_quick_and_needs_no_pandas() -> None:
    """The Snakefile loads studies in every process that it starts."""
    code = (
        "import sys, time; start = time.perf_counter()\n"
        "from pathlib import Path\n"
        "from ketamine_outcomes import study_file\n"
        "before = time.perf_counter()\n"
        f"study_file.load(Path({str(SHIPPED[0])!r}))\n"
        "print(time.perf_counter() - before)\n"
        "print([m for m in ('pandas', 'numpy', 'duckdb', 'scipy') if m in sys.modules])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    seconds, heavy = done.stdout.split("\n")[:2]
    assert heavy == "[]"
    assert float(seconds) < 0.3


# --- scenarios --------------------------------------------------------------------------------


def test_base_is_the_study_as_written(load: Callable[[str], Study]) -> None:
    study = load(STUDY)
    assert study_file.resolve(study, "base") is study


def test_a_scenario_changes_what_it_names_and_nothing_else(load: Callable[[str], Study]) -> None:
    study = load(STUDY)
    wide = study_file.resolve(study, "wide")
    assert wide.windows.baseline == (-48, 0)
    assert wide.windows.follow_up == study.windows.follow_up
    assert wide.eligibility["dialysis"].any_of == ("12", "none")
    assert study.windows.baseline == (-24, 0)
    assert wide.outcomes == study.outcomes


def test_a_star_reaches_every_cohort(load: Callable[[str], Study]) -> None:
    resolved = study_file.resolve(load(STUDY), "subcutaneous")
    assert [cohort.assume_route for cohort in resolved.cohorts.values()] == [
        {"parenteral": "sc"},
        {"parenteral": "sc"},
    ]


def test_keys_that_only_fit_together_are_judged_together(load: Callable[[str], Study]) -> None:
    study = load(
        changed(
            "set: {exposure.factors: cdc2022+inpatient+high}",
            "set: {index.unit: site_episode, index.drug: null}",
        )
    )
    assert study_file.resolve(study, "high").index.unit == "site_episode"


# --- the definition hash ----------------------------------------------------------------------

SAME = {
    "title": ("title: A small study for the tests", "title: Another title of the study"),
    "question": ("question: What is read?", "question: Something else?"),
    "notes": ("question: What is read?", "notes: [A note for the reader]"),
    "comment": ("index: {", "# time zero\nindex: {"),
    "policy": ("policy: none", "policy: cms, patient_level: none"),
    "cohort-name": ("  made-up:", "  another:"),
    "cohort-path": ("data/registry", "elsewhere"),
    "cohort-patients": ("[1001, 007, a-1]", "[5]"),
    "key-order": ("{drug: ketamine, gap_hours: 24}", "{gap_hours: 24, drug: ketamine}"),
    "decimal": ("gap_hours: 24", "gap_hours: 24.0"),
    "decimal-window": ("baseline: [-24, 0]", "baseline: [-24.0, 0.0]"),
    "default-written": ("drug: ketamine,", "drug: ketamine, unit: patient, washout_days: 30,"),
    "section-order": (
        "windows:\n  baseline: [-24, 0]\n",
        "exposure: {factors: cdc2022+inpatient}\nwindows: {baseline: [-24, 0]}\n",
    ),
    "scenarios": ("  - {name: high, set: {exposure.factors: cdc2022+inpatient+high}}\n", ""),
}
OTHER = {
    "window": ("baseline: [-24, 0]", "baseline: [-25, 0]"),
    "factors": ("windows:", "exposure: {factors: cdc2022}\nwindows:"),
    "gap": ("gap_hours: 24", "gap_hours: 24.5"),
    "eligibility": ("crrt]", "peritoneal]"),
    "outcome-name": ("opioid: {kind: mme}", "opioid: {kind: mme}\n  pain: {kind: pain}"),
    "analysis": (
        "{kind: description, outcomes: [opioid]}",
        "{kind: before_after, outcome: opioid}",
    ),
    "primary": ("scenarios:", "primary: {mme: table}\nscenarios:"),
}


@pytest.mark.parametrize("case", SAME)
def test_what_is_no_definition_leaves_the_hash(load: Callable[[str], Study], case: str) -> None:
    before, after = load(STUDY), load(changed(*SAME[case]))
    assert study_file.definition(after) == study_file.definition(before)
    assert study_file.scenario_definition(after, "wide") == study_file.scenario_definition(
        before, "wide"
    )


@pytest.mark.parametrize("case", OTHER)
def test_what_is_a_definition_changes_the_hash(load: Callable[[str], Study], case: str) -> None:
    before, after = load(STUDY), load(changed(*OTHER[case]))
    assert study_file.definition(after) != study_file.definition(before)


def test_the_hash_is_that_of_the_contract(load: Callable[[str], Study]) -> None:
    """Sorted JSON without spaces, then the rows of the factor sets in list order."""
    study = load(STUDY)
    content = json.loads(study.model_dump_json(by_alias=True))
    for section in ("name", "title", "question", "notes", "cohorts", "disclosure", "scenarios"):
        del content[section]
    rows = [
        row
        for name in ("cdc2022", "inpatient_parenteral")
        for row in factors._shipped()
        if row["set"] == name
    ]
    text = "".join(
        json.dumps(part, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        for part in (content, rows)
    )
    assert '"gap_hours":24.0' in text
    assert study_file.definition(study) == hashlib.sha256(text.encode()).hexdigest()


def test_a_row_of_a_selected_factor_set_changes_the_hash(
    load: Callable[[str], Study], monkeypatch: pytest.MonkeyPatch
) -> None:
    study = load(STUDY)
    before = study_file.definition(study)
    rows = factors._shipped()

    def with_other_factor(name: str) -> tuple[dict[str, str], ...]:
        first = next(i for i, row in enumerate(rows) if row["set"] == name)
        return (*rows[:first], {**rows[first], "factor": "9.9"}, *rows[first + 1 :])

    monkeypatch.setattr(factors, "_shipped", lambda: with_other_factor("cdc2022"))
    assert study_file.definition(study) != before
    monkeypatch.setattr(factors, "_shipped", lambda: with_other_factor("cdc2016"))
    assert study_file.definition(study) == before


def test_the_order_of_factor_sets_is_part_of_the_hash(load: Callable[[str], Study]) -> None:
    one = load(changed("windows:", "exposure: {factors: cdc2022+inpatient}\nwindows:"))
    other = load(changed("windows:", "exposure: {factors: inpatient+cdc2022}\nwindows:"))
    assert study_file.definition(one) != study_file.definition(other)


def test_scenarios_have_their_own_hash(load: Callable[[str], Study]) -> None:
    study = load(STUDY)
    names = ("base", "high", "subcutaneous", "wide")
    assert len({study_file.scenario_definition(study, name) for name in names}) == 4
    assert study_file.scenario_definition(study, "base") == study_file.definition(study)


def test_a_cohort_key_enters_only_as_the_value_that_a_scenario_sets(
    load: Callable[[str], Study],
) -> None:
    study = load(STUDY)
    mine = study_file.scenario_definition(study, "subcutaneous")
    resolved = study_file.resolve(study, "subcutaneous")
    # Without the key the resolved study has the definition of the study as written.
    assert study_file.definition(resolved) == study_file.definition(study)
    assert mine != study_file.definition(study)
    other = load(changed("{parenteral: sc}", "{parenteral: iv}"))
    assert study_file.scenario_definition(other, "subcutaneous") != mine


def test_two_data_holders_agree_on_a_scenario_of_a_cohort_key(
    load: Callable[[str], Study],
) -> None:
    """Names, paths and number of cohorts are theirs; the value set is the study's."""
    here = load(STUDY)
    there = load(
        changed("  made-up: {source: simulated, patients: 20}\n", "").replace(
            "  registry: {source: tabular, path: data/registry",
            "  hospital: {source: mimic_iv, path: other",
        )
    )
    hashes = {study_file.scenario_definition(study, "subcutaneous") for study in (here, there)}
    assert len(hashes) == 1


def test_cohort_values_are_typed_too(load: Callable[[str], Study]) -> None:
    old = "{cohorts.*.assume_route: {parenteral: sc}}"
    one = load(changed(old, "{cohorts.*.max_bad_rows: 1}"))
    other = load(changed(old, "{cohorts.*.max_bad_rows: 1.0}"))
    assert study_file.scenario_definition(one, "subcutaneous") == study_file.scenario_definition(
        other, "subcutaneous"
    )


# --- the generated pages ----------------------------------------------------------------------


def read_yaml(text: str) -> Any:
    return YAML(typ="safe", pure=True).load(text)


@pytest.fixture(scope="module")
def validator() -> Draft202012Validator:
    """Return what an editor does with the schema."""
    content = json.loads(study_docs.schema_json())
    Draft202012Validator.check_schema(content)
    return Draft202012Validator(content)


def test_the_generated_pages_are_current() -> None:
    assert study_docs.stale(ROOT) == []


def test_the_generated_pages_hold_no_machine_path() -> None:
    for make in study_docs.PAGES.values():
        assert not re.search(r"(?<![\w.])/(home|work|tmp|root|usr|Users)/", make())


def test_check_names_the_page_that_is_not_current(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "config" / "studies").mkdir(parents=True)
    assert study_docs.main([], tmp_path) == 0
    assert study_docs.main(["--check"], tmp_path) == 0
    page = tmp_path / "config" / "README.md"
    page.write_text(page.read_text() + "a line by hand\n")
    capsys.readouterr()
    assert study_docs.main(["--check"], tmp_path) == 1
    said = capsys.readouterr().err
    assert "config/README.md" in said
    assert "schema" not in said and "dictionary" not in said
    assert page.read_text().endswith("a line by hand\n")
    (tmp_path / "config" / "study.schema.json").unlink()
    assert study_docs.main([], tmp_path) == 0
    assert study_docs.stale(tmp_path) == []


def test_the_pages_are_the_same_each_time() -> None:
    for make in study_docs.PAGES.values():
        assert make() == make()


def test_the_minimal_study_of_the_reference_loads(tmp_path: Path) -> None:
    path = tmp_path / "minimal.yaml"
    path.write_text(study_docs_text.MINIMAL)
    assert study_docs_text.MINIMAL in study_docs.config_reference()
    assert study_file.load(path).title == "Opioid need around the first ketamine course"


@pytest.mark.parametrize("section", study_docs_text.EXAMPLES)
def test_the_example_of_each_section_loads(tmp_path: Path, section: str) -> None:
    example = study_docs_text.EXAMPLES[section]
    own = example.partition(":")[0]
    assert own == section
    kept = read_yaml(study_docs_text.MINIMAL)
    kept.pop(section, None)
    name = kept.get("name") or read_yaml(example)["name"]
    path = tmp_path / f"{name}.yaml"
    # JSON is YAML: what is kept of the minimal study, then the example as printed.
    path.write_text("\n".join(f"{k}: {json.dumps(v)}" for k, v in kept.items()) + "\n" + example)
    assert section in study_file.load(path).model_fields_set
    assert example in study_docs.config_reference()


def test_the_reference_names_every_key() -> None:
    page = study_docs.config_reference()
    schema = json.loads(study_docs.schema_json())
    for definition in schema["$defs"].values():
        for key in definition["properties"]:
            assert re.search(rf"`[\w.\[\]]*\.{key}`", page), key
    for key in schema["properties"]:
        assert f"## `{key}`" in page
    assert set(study_docs_text.EXAMPLES) == set(schema["properties"])


def test_the_dictionary_names_every_column_and_word() -> None:
    page = study_docs.data_dictionary()
    for name, table in tables.TABLES.items():
        part = page.partition(f"## `{name}`")[2].partition("\n## ")[0]
        for column in table.columns:
            row = next(r for r in part.split("\n") if r.startswith(f"| `{column.name}` |"))
            assert ("**yes**" in row) == column.required
            assert all(f"`{word}`" in row for word in column.words)
            assert column.meaning in row
            assert column.unit in row
            assert len(re.findall(r"(?<!\\)\|", row)) == 7


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_an_editor_accepts_the_shipped_studies(validator: Draft202012Validator, path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert list(validator.iter_errors(read_yaml(text))) == []
    assert text.startswith("# yaml-language-server: $schema=../study.schema.json\n")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("title:", "titel:"),
        ("path: data", "pathh: data"),
        ("gap_hours: 24", "gap_hours: one day"),
        ("gap_hours: 24", "gap_hours: 0"),
        ("kind: mme", "kind: medel"),
        ("{kind: mme}", "{kind: mme, scale: nrs}"),
        ("[-24, 0]", "[-24, 0, 24]"),
        ("times: shifted", "times: shifft"),
        ("  opioid:", "  Opioid Use:"),
        ("outcomes: [opioid]", "outcomes: []"),
    ],
)
def test_an_editor_marks_a_fault(validator: Draft202012Validator, old: str, new: str) -> None:
    text = changed(" 2024-01-31,", "")  # a date only to this reader, text to YAML 1.2
    assert list(validator.iter_errors(read_yaml(text))) == []
    assert list(validator.iter_errors(read_yaml(text.replace(old, new))))
