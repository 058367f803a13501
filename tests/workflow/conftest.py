"""One finished demo, shared by the tests of one worker."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from support_workflow import command, workspace


@pytest.fixture(scope="session")
def demo(tmp_path_factory):
    """The folder of a finished `ketamine-outcomes demo`."""
    folder = workspace(tmp_path_factory.mktemp("demo") / "run")
    done = command("demo", "--cores", "2", cwd=folder)
    assert done.stdout.count("report.html") == 4, done.stdout
    return folder
