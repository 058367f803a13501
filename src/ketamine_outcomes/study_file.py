"""Reading a study file: every fault at once, each with its line and what is allowed.

Nothing is merged in from elsewhere: the file is the whole study. `study_yaml.py` reads the text,
`study_faults.py` collects what the schema refuses, `study_checks.py` and `study_scenarios.py`
see what the schema alone cannot.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ketamine_outcomes import study_checks, study_faults, study_scenarios, study_yaml
from ketamine_outcomes.errors import UserError, UserErrors
from ketamine_outcomes.study import Study
from ketamine_outcomes.study_definition import (
    definition,
    resolve,
    scenario_definition,
    validate,
)
from ketamine_outcomes.study_explain import nearest
from ketamine_outcomes.study_yaml import Fault

__all__ = ["Fault", "StudyFaults", "definition", "load", "resolve", "scenario_definition"]

#: A study is a page or two of text; a larger file is something else.
MAX_BYTES = 1_000_000


class StudyFaults(UserErrors):
    """All faults of one study file, by line."""

    def __init__(self, path: Path, found: Sequence[Fault]) -> None:
        self.found = sorted(dict.fromkeys(found), key=lambda fault: (fault.line, fault.message))
        noun = "fault" if len(self.found) == 1 else "faults"
        super().__init__(
            (
                UserError(fault.message, where=f"{path}:{fault.line}", do=fault.hint)
                for fault in self.found
            ),
            heading=f"{len(self.found)} {noun} in {path}",
        )


def load(path: Path) -> Study:
    """Read and check a study file.

    Raises
    ------
    UserError
        The file cannot be read, or `StudyFaults` with all its faults.
    """
    try:
        tree, found = study_yaml.parse(_text(path))
    except study_yaml.NotYAML as error:
        raise StudyFaults(path, [error.fault]) from None
    found += _file_name(tree, path)
    names = study_checks.names(tree)
    mended = study_faults.collect(tree)
    found += mended.faults
    found += study_checks.check_references(mended.study, tree, names)
    found += study_scenarios.check(mended.study, tree, names)
    if found:
        raise StudyFaults(path, found)
    # Scenario values may have been typed while they were checked (ids written as numbers).
    return validate(tree.plain())


def _file_name(tree: study_yaml.Node, path: Path) -> list[Fault]:
    written = tree.child("name")
    if written is None or not isinstance(written.value, str) or written.value == path.stem:
        return []
    name = written.value[:60]
    what = f"the name {name!r} differs from the name of the file"
    hint = f"write name: {path.stem}, or rename the file to {name}.yaml"
    return [Fault(written.line, what, hint, "name")]


def _text(path: Path) -> str:
    try:
        if path.stat().st_size > MAX_BYTES:
            raise UserError(
                "this file is too large for a study",
                where=str(path),
                do="give the YAML file that describes the study, not its data",
            )
        return path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        near = nearest(path.name, [beside.name for beside in sorted(path.parent.glob("*.y*ml"))])
        raise UserError(
            "there is no such study file",
            where=str(path),
            do=f"did you mean {path.parent / near}?" if near else "give the path of a study file",
        ) from None
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise UserError(
            "the study file is not UTF-8 text",
            where=f"{path}:{line}",
            do="save it as UTF-8 in your editor",
        ) from None
    except OSError as error:
        raise UserError(
            f"the study file cannot be read: {(error.strerror or 'no access').lower()}",
            where=str(path),
            do="give the path of a study file that you may read",
        ) from None
