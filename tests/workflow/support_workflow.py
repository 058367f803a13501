"""Starting real runs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def command(*words: str, cwd: Path, check: bool = True) -> subprocess.CompletedProcess[str]:
    """Run `ketamine-outcomes WORDS` in a folder."""
    done = subprocess.run(
        [sys.executable, "-m", "ketamine_outcomes", *words],
        cwd=cwd,
        capture_output=True,
        text=True,
        check=False,
    )
    if check:
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done


def workspace(folder: Path) -> Path:
    """Return a folder in which studies can run: it sees the bundled data."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "data").symlink_to(ROOT / "data")
    (folder / "studies").mkdir()
    return folder
