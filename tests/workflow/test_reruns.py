"""Reruns are right: what changed is computed again, and a killed run ends the same."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from hashlib import sha256
from pathlib import Path

import pytest
from support_workflow import ROOT, command, workspace

STUDY = "studies/ketamine-case.yaml"
RESULTS = Path("results/ketamine-case/mimic-iv-demo")


def planned(folder):
    """Return the steps that a run would take."""
    text = command("plan", STUDY, cwd=folder).stdout
    return set(re.findall(r"^(?:local)?rule (\w+):", text, re.M)) - {"all"}


def release_bytes(folder):
    root = folder / RESULTS / "release"
    return {
        path.relative_to(root).as_posix(): sha256(path.read_bytes()).hexdigest()
        for path in sorted(root.rglob("*"))
        if path.is_file()
    }


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = workspace(tmp_path_factory.mktemp("reruns") / "run")
    text = (ROOT / "config" / STUDY).read_text(encoding="utf-8")
    (folder / STUDY).write_text(text, encoding="utf-8")
    command("run", STUDY, "--cores", "2", cwd=folder)
    return folder


@pytest.fixture
def study(finished):
    """The study file of the finished run; what a test writes there is undone."""
    path = finished / STUDY
    text = path.read_text(encoding="utf-8")
    yield path
    path.write_text(text, encoding="utf-8")


def test_nothing_to_do_after_a_run(finished):
    assert planned(finished) == set()


def change(path, old, new):
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")


def test_a_comment_or_the_order_of_keys_reruns_nothing(finished, study):
    change(study, "name: ketamine-case\n", "# a remark\nname: ketamine-case\n")
    change(study, "  drug: ketamine\n  routes: [iv]\n", "  routes: [iv]\n  drug: ketamine\n")
    assert planned(finished) == set()


def test_the_title_reaches_the_pages_only(finished, study):
    change(study, "title: Opioid need", "title: Opioids")
    assert planned(finished) <= {"figures", "tables", "page", "manifest"}


def test_the_factor_set_leaves_reading_and_classifying_alone(finished, study):
    change(study, "factors: cdc2022+inpatient\n", "factors: cdc2022+inpatient+low\n")
    steps = planned(finished)
    assert {"outcomes", "analyses"} <= steps
    assert not steps & {"extract", "exposure", "cohort"}


def test_a_window_leaves_the_exposure_alone(finished, study):
    change(study, "min_scores: 3", "min_scores: 2")
    steps = planned(finished)
    assert {"outcomes", "analyses"} <= steps
    assert not steps & {"extract", "exposure"}


def test_snakemake_itself_writes_the_same_files(finished, tmp_path):
    folder = workspace(tmp_path / "run")
    text = (finished / STUDY).read_text(encoding="utf-8")
    (folder / STUDY).write_text(text, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "snakemake", "-s", str(ROOT / "Snakefile"), "-c2", "--config",
         f"study={STUDY}"],
        cwd=folder, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    assert release_bytes(folder) == release_bytes(finished)


@pytest.mark.parametrize("marker", ["private/estimates_base.parquet"])
def test_a_killed_run_resumes_and_ends_identical(finished, tmp_path, marker):
    folder = workspace(tmp_path / "run")
    text = (finished / STUDY).read_text(encoding="utf-8")
    (folder / STUDY).write_text(text, encoding="utf-8")
    running = subprocess.Popen(
        [sys.executable, "-m", "ketamine_outcomes", "run", STUDY, "--cores", "2"],
        cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip
    deadline = time.monotonic() + 120
    while not (folder / RESULTS / marker).exists() and time.monotonic() < deadline:
        assert running.poll() is None, "the run ended before it could be killed"
        time.sleep(0.05)
    time.sleep(0.3)  # into the next step
    os.killpg(running.pid, signal.SIGKILL)
    running.wait()
    assert not (folder / RESULTS / "release" / "manifest.json").exists()
    command("run", STUDY, "--cores", "2", cwd=folder)
    assert release_bytes(folder) == release_bytes(finished)


def test_two_runs_at_once_in_one_folder_are_refused(finished):
    import fcntl

    with (finished / "results" / ".lock").open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        done = command("run", STUDY, cwd=finished, check=False)
    assert done.returncode == 2
    assert "another run works in this folder" in done.stderr
