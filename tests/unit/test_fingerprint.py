"""A fingerprint changes when a result could, and only then."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from ketamine_outcomes import fingerprint


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A copy of the package that a test may edit."""
    copy = tmp_path / "ketamine_outcomes"
    shutil.copytree(
        Path(fingerprint.__file__).parent, copy, ignore=shutil.ignore_patterns("__pycache__")
    )
    monkeypatch.setattr(fingerprint, "ROOT", copy)

    def value(module):
        for cached in (fingerprint.fingerprint, fingerprint._module, fingerprint._data_files):
            cached.cache_clear()
        return fingerprint.fingerprint(module)

    yield copy, value
    for cached in (fingerprint.fingerprint, fingerprint._module, fingerprint._data_files):
        cached.cache_clear()


def edit(path, old, new):
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")


def test_a_comment_or_a_docstring_changes_nothing(package):
    copy, value = package
    before = value("steps.outcomes")
    path = copy / "outcomes" / "opioid.py"
    path.write_text("# a comment\n" + path.read_text(encoding="utf-8"), encoding="utf-8")
    edit(
        path, "Return the mass of opioid in every window", "Give the mass of opioid in each window"
    )
    assert value("steps.outcomes") == before


def test_a_constant_imports_away_reaches_what_depends_on_it_and_nothing_else(package):
    copy, value = package
    steps = ("exposure", "cohort", "outcomes", "analyses", "release")
    before = {step: value(f"steps.{step}") for step in steps}
    edit(copy / "analyses" / "ladder.py", "(11, ", "(12, ")
    after = {step: value(f"steps.{step}") for step in steps}
    changed = {step for step in steps if before[step] != after[step]}
    assert changed == {"analyses"}


def test_a_lazy_import_counts(package):
    copy, value = package
    before = value("steps.analyses")
    edit(copy / "estimators" / "exact.py", "def exact_rate(", "def exact_rate_(")
    assert value("steps.analyses") != before


def test_a_factor_in_the_data_file_counts(package):
    copy, value = package
    before = value("steps.outcomes")
    edit(copy / "exposure" / "reference" / "conversion_factors.csv", "mg,20,10,22.5",
         "mg,21,10,22.5")  # fmt: skip
    assert value("steps.outcomes") != before


def test_the_reader_does_not_depend_on_figures(package):
    copy, value = package
    before = value("steps.extract")
    edit(copy / "release" / "figures" / "style.py", "import", "import os, ")
    assert value("steps.extract") == before
