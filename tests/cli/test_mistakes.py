"""A user's mistake ends in a sentence and exit code 2; a cell of the data is never shown."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from ketamine_outcomes.simulate import simulate

STUDY = """
name: mine
title: A study with a mistake
cohorts:
  registry: {{source: tabular, path: registry, times: shifted, feed_priority: [mar, icu]}}
index: {{drug: ketamine, routes: [iv, sc], washout_days: 0}}
eligibility: {eligibility}
outcomes: {outcomes}
analyses: {analyses}
disclosure: {{policy: none}}
"""
OPIOID = {
    "eligibility": "{}",
    "outcomes": "{opioid: {kind: mme}}",
    "analyses": "{windows: {kind: description, outcomes: [opioid]}}",
}


def command(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "ketamine_outcomes", *words],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def folder(tmp_path):
    simulate(tmp_path / "registry", patients=12, seed=5)
    write(tmp_path)
    return tmp_path


def write(folder: Path, **parts: str) -> None:
    (folder / "mine.yaml").write_text(STUDY.format(**{**OPIOID, **parts}), encoding="utf-8")


def check_json(folder):
    done = command(folder, "check", "mine.yaml", "--json")
    return done, json.loads(done.stdout)


def test_check_of_a_good_extract(folder):
    done, found = check_json(folder)
    assert done.returncode == found["exit"] == 0
    assert set(found) == {"study", "exit", "faults", "tables", "questions"}
    assert found["tables"]["patients"] == {"rows": 12, "patients": 12}
    assert {q["id"]: q["answerable"] for q in found["questions"]}["sites"]


def test_an_empty_cohort_ends_in_a_sentence(folder):
    write(folder, eligibility="{old: {from: patients.age_years, at_most: 1}}")
    done = command(folder, "run", "mine.yaml", "--cores", "2")
    assert done.returncode == 2
    assert "the cohort is empty: the step 'old' (patients.age_years: at most 1) left 0" in (
        done.stderr
    )
    assert "Traceback" not in done.stdout + done.stderr


def test_a_missing_table_ends_in_a_sentence(folder):
    (folder / "registry" / "infusion_sites.csv").unlink()
    (folder / "registry" / "site_events.csv").unlink()
    write(
        folder,
        outcomes="{harm: {kind: site_complication}}",
        analyses="{harm: {kind: cumulative_incidence, outcome: harm}}",
    )
    done = command(folder, "run", "mine.yaml", "--cores", "2")
    assert done.returncode == 2
    assert "needs the table infusion_sites and site_events" in done.stderr
    assert "Traceback" not in done.stdout + done.stderr


def test_a_missing_source_is_named_before_anything_runs(folder):
    (folder / "registry").rename(folder / "elsewhere")
    done = command(folder, "run", "mine.yaml")
    assert done.returncode == 2
    assert done.stderr.startswith("registry: the source of the cohort 'registry' is not there")


def test_an_identifier_is_refused_and_never_shown(folder):
    path = folder / "registry" / "doses.csv"
    secret = "jane.doe@example.org"
    header, *rows = path.read_text(encoding="utf-8").splitlines()
    at = header.split(",").index("drug")
    cells = rows[0].split(",")
    cells[at] = secret
    path.write_text("\n".join([header, ",".join(cells), *rows[1:]]) + "\n", encoding="utf-8")
    done, found = check_json(folder)
    assert done.returncode == found["exit"] == 2
    fault = next(f for f in found["faults"] if f["severity"] == "error")
    assert (fault["table"], fault["column"], fault["first_rows"]) == ("doses", "drug", [1])
    assert secret not in done.stdout + done.stderr


def test_too_many_doses_without_a_meaning_are_an_error(folder):
    path = folder / "registry" / "doses.csv"
    text = path.read_text(encoding="utf-8").replace(",oxycodone,", ",oxycodonee,")
    path.write_text(text, encoding="utf-8")
    study = (folder / "mine.yaml").read_text(encoding="utf-8")
    (folder / "mine.yaml").write_text(
        study.replace("times: shifted", "times: shifted, doses_hold: opioids"), encoding="utf-8"
    )
    done = command(folder, "run", "mine.yaml", "--cores", "2")
    assert done.returncode == 2
    assert "dose rows cannot be converted (unknown_drug" in done.stderr
    assert "oxycodonee" not in done.stdout + done.stderr
    unmapped = folder / "results" / "mine" / "registry" / "private" / "unmapped.csv"
    assert "oxycodonee" in unmapped.read_text(encoding="utf-8")


def test_version():
    done = command(Path.cwd(), "--version")
    assert done.stdout.strip() == "0.1.0"
