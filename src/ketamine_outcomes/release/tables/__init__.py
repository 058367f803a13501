"""Tables of the release: each as CSV (its estimates), HTML, Word and LaTeX."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from ketamine_outcomes import estimates as contract
from ketamine_outcomes import files
from ketamine_outcomes.release import wording
from ketamine_outcomes.release.rows import records, source
from ketamine_outcomes.release.tables import contents, models, write_docx, write_html, write_tex
from ketamine_outcomes.release.tables.layout import Table, TableEntry
from ketamine_outcomes.study import Study

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["TableEntry", "write"]


def write(
    estimates: pd.DataFrame, study: Study, cohort: str, folder: Path, unsuppressed: bool = False
) -> list[TableEntry]:
    """Write every table that has rows into `folder`, and `tables.json` about them.

    Parameters
    ----------
    estimates
        Rows that may be shown: after `disclosure.apply` for the release.
    study, cohort
        The resolved study and the cohort's name.
    folder
        Where the files go: NAME.csv (the estimates behind the table, 9 digits), NAME.html (a
        fragment), NAME.docx, NAME.tex.
    unsuppressed
        Whether the rows did not pass `disclosure.apply` (private page): captions then say so.
    """
    if unsuppressed:
        study = wording.unsuppressed(study)
    rows = records(estimates, study)
    scenarios = {
        str(name): records(estimates, study, str(name))
        for name in dict.fromkeys(estimates["scenario"])
        if name != "base"
    }
    built = [
        contents.characteristics(rows, study),
        contents.exposure(rows, study),
        contents.pain(rows, study),
        contents.mme(rows, study, scenarios),
        models.sites(rows, study),
        contents.adverse_events(rows, study),
        models.models(rows, study),
    ]
    entries = []
    for table in built:
        if table is None:
            continue
        if wording.is_simulated(study, cohort):
            table.caption = f"{wording.SIMULATED}. {table.caption}"
        _write(table, folder)
        entries.append(TableEntry(table.name, table.title, table.caption))
    files.write_json(folder / "tables.json", [asdict(entry) for entry in entries])
    return entries


def _write(table: Table, folder: Path) -> None:
    files.write_text(folder / f"{table.name}.csv", contract.to_csv(source(table.source)))
    files.write_text(folder / f"{table.name}.html", write_html.render(table))
    files.write_text(folder / f"{table.name}.tex", write_tex.render(table))
    files.write_bytes(folder / f"{table.name}.docx", write_docx.render(table))
