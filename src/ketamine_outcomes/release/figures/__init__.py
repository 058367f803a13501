"""Figures of the release: each as PNG, SVG, PDF and the CSV that it was drawn from."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from ketamine_outcomes.release import wording
from ketamine_outcomes.release.figures import (
    flow,
    incidence,
    mme,
    pain,
    style,
    timeline,
)
from ketamine_outcomes.release.figures.style import FigureEntry
from ketamine_outcomes.release.rows import records
from ketamine_outcomes.study import Study

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["FigureEntry", "draw"]


def draw(
    estimates: pd.DataFrame,
    study: Study,
    cohort: str,
    private: dict[str, pd.DataFrame],
    folder: Path,
    patient_level: bool,
    unsuppressed: bool = False,
) -> list[FigureEntry]:
    """Draw every figure whose rows exist into `folder`, and `figures.json` about them.

    Parameters
    ----------
    estimates
        Rows that may be shown: after `disclosure.apply` for the release.
    study, cohort
        The resolved study and the cohort's name.
    private
        Row-level tables: timeline_doses, timeline_index_drug, timeline_pain, timeline_stays,
        pain_windows. Looked at only when `patient_level` is true.
    folder
        Where the files go.
    patient_level
        Whether single patients may be shown (consented or open data, or the private page).
    unsuppressed
        Whether the rows did not pass `disclosure.apply` (private page): captions then say so.

    Returns
    -------
    One entry per figure in reading order; a figure without rows is not drawn.
    """
    if unsuppressed:
        study = wording.unsuppressed(study)
    rows = records(estimates, study)
    simulated = wording.is_simulated(study, cohort)
    shown = private if patient_level else {}
    entries: list[FigureEntry] = []
    # The private page needs pictures only; what is published comes in every format.
    kinds = ("png",) if unsuppressed else ("png", "svg", "pdf")
    with style.house_style():
        drawn = [
            flow.draw(rows, study, simulated),
            timeline.draw(rows, study, shown, simulated),
            pain.draw(rows, study, shown, simulated),
            mme.draw(rows, study, simulated),
            *incidence.draw(rows, study, simulated),
        ]
        for item in drawn:
            if item is None:
                continue
            figure, source, entry = item
            if simulated:
                entry = replace(entry, caption=f"{wording.SIMULATED}. {entry.caption}")
            style.save(figure, source, entry, folder, kinds)
            entries.append(entry)
    style.write_index(entries, folder)
    return entries
