"""manifest.json: what a release was made from, and the hash of every file in it.

Deterministic: no time, no path of the machine, keys in a fixed order.
"""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ketamine_outcomes import __version__, files
from ketamine_outcomes.fingerprint import versions
from ketamine_outcomes.release import disclosure
from ketamine_outcomes.release.rows import known
from ketamine_outcomes.study import Study

if TYPE_CHECKING:
    import pandas as pd


def git_commit(checkout: Path | None) -> str | None:
    """Return the commit of a checkout, None outside one or before the first commit."""
    if checkout is None or not (checkout / ".git").exists():
        return None
    try:
        done = subprocess.run(
            ["git", "-C", str(checkout), "rev-parse", "--verify", "HEAD"],
            capture_output=True,
            text=True,
            timeout=20,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() or None if done.returncode == 0 else None


def study_hash(study: Study) -> str:
    """Return the SHA-256 of the study as written, defaults filled in."""
    content = study.model_dump(mode="json", by_alias=True)
    return files.sha256_text(files.canonical_json(content))


def build(
    study: Study,
    cohort: str,
    estimates: pd.DataFrame,
    release: Path,
    *,
    definition_hashes: Mapping[str, str],
    inputs: Mapping[str, str],
    tables: Mapping[str, int],
    notes: Sequence[str],
    lock: Path | None = None,
    checkout: Path | None = None,
) -> dict[str, Any]:
    """Return the manifest of one release.

    Parameters
    ----------
    study, cohort
        The study and the cohort's name.
    estimates
        The released rows: suppressed counts stay suppressed here.
    release
        The release folder; every file below it but manifest.json itself is hashed.
    definition_hashes
        Scenario to definition hash.
    inputs
        Relative name of every input file to its SHA-256.
    tables
        Table of the extract to its number of rows.
    notes
        Warnings and notes of the intake, as sentences.
    lock, checkout
        requirements.lock and the folder of a git checkout, when there are such.

    Raises
    ------
    ValueError
        An input name that is a path of the machine: a bug of the caller.
    """
    for name in inputs:
        if Path(name).is_absolute() or ".." in Path(name).parts:
            raise ValueError("input names of the manifest must be relative")
    chosen = study.cohorts.get(cohort)
    return {
        "study": study.name,
        "cohort": cohort,
        "study_hash": study_hash(study),
        "definition_hashes": dict(sorted(definition_hashes.items())),
        "simulated": getattr(chosen, "source", "") == "simulated",
        "seed": getattr(chosen, "seed", None),
        "disclosure": study.disclosure.model_dump(mode="json", exclude_none=True),
        "inputs": dict(sorted(inputs.items())),
        "versions": {"ketamine-outcomes": __version__, **versions()},
        "lock_hash": files.sha256_file(lock) if lock is not None and lock.exists() else None,
        "git_commit": git_commit(checkout),
        "counts": {
            "tables": {
                name: disclosure.hide_count(int(n), study.disclosure)
                for name, n in sorted(tables.items())
            },
            "attrition": _counts(estimates, "attrition"),
            "ledger": _counts(estimates, "ledger"),
        },
        "notes": [disclosure.scrub(str(note), study.disclosure) for note in notes],
        "outputs": {
            path.relative_to(release).as_posix(): files.sha256_file(path)
            for path in sorted(release.rglob("*"))
            if path.is_file() and path.relative_to(release).as_posix() != "manifest.json"
        },
    }


def _counts(estimates: pd.DataFrame, analysis: str) -> list[dict[str, Any]]:
    """Return the counts of a step; a hidden one as the word of its status."""
    rows = estimates[(estimates["analysis"] == analysis) & (estimates["scenario"] == "base")]
    return [
        {
            "of": row["outcome"],
            "step": row["term"],
            "what": row["level"],
            "count": int(row["estimate"]) if known(row["estimate"]) else row["status"],
        }
        for row in rows[rows["measure"] == "count"].to_dict("records")
    ]
