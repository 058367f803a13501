"""F3: what single patients were given and how they felt, hour by hour (patient-level)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from ketamine_outcomes.release import wording
from ketamine_outcomes.release.figures import style, timeline_opioids, timeline_panels
from ketamine_outcomes.release.figures.style import FigureEntry
from ketamine_outcomes.release.rows import Row, known
from ketamine_outcomes.study import Study

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

_MOST_PATIENTS = 12
_TABLES = ("doses", "index_drug", "pain", "stays")
_SOURCE = (
    "patient_label",
    "record",
    "start_hour",
    "end_hour",
    "what",
    "route",
    "value",
    "unit",
)


def draw(
    rows: list[Row], study: Study, private: dict[str, pd.DataFrame], simulated: bool
) -> tuple[Figure, pd.DataFrame, FigureEntry] | None:
    """Draw the timeline of one to twelve patients; nothing without the private tables."""
    tables = {name: private.get(f"timeline_{name}") for name in _TABLES}
    drug_rows, doses = tables["index_drug"], tables["doses"]
    if drug_rows is None and doses is None:
        return None
    patients = _patients(tables)
    if not 0 < len(patients) <= _MOST_PATIENTS:
        return None
    low, high = _span(study, tables["stays"])
    drug = wording.label(study.index.drug or "index drug")
    title = "Timeline of the patient" if len(patients) == 1 else "Timelines of the patients"
    cut = {
        patient: timeline_panels.Patient(
            patient,
            **{name: _of(table, patient, low, high) for name, table in tables.items()},
        )
        for patient in patients
    }
    scales = sorted({str(s) for p in cut.values() for s in p.scales})
    if len(patients) == 1:
        patient = cut[patients[0]]
        lanes = timeline_opioids.lanes(patient)
        figure = style.new_figure(8.4, 3.9 + 0.5 * max(1, len(lanes)) + 0.25 * simulated)
        axes = figure.subplots(
            3,
            1,
            sharex=True,
            height_ratios=[1.55, 1.15, 0.5 * max(1, len(lanes)) + 0.2],
        )
        timeline_panels.pain(axes[0], patient, scales)
        timeline_panels.index_drug(axes[1], patient, drug)
        timeline_opioids.opioid_lanes(axes[2], patient, lanes)
        for panel in axes:
            timeline_panels.windows(panel, study, low, high, panel is axes[0])
        style.hours_axis(axes[2], low, high, wording.time_zero(study))
        timeline_panels.shading_key(axes[2])
    else:
        figure = _small_multiples(list(cut.values()), study, scales, drug, low, high, simulated)
    style.stamp(figure, title, simulated)
    entry = FigureEntry(
        "F3_timeline",
        title,
        _caption(study, drug, len(patients)),
        _alt(list(cut.values()), drug),
    )
    return figure, _source(list(cut.values()), drug), entry


def _patients(tables: dict[str, Any]) -> list[str]:
    labels = {str(p) for t in tables.values() if t is not None for p in t["patient_label"]}

    def order(label: str) -> tuple[int, str]:
        found = re.search(r"\d+", label)
        return int(found[0]) if found else 0, label

    return sorted(labels, key=order)


def _span(study: Study, stays: Any) -> tuple[float, float]:
    ends = [study.windows.baseline, *study.windows.follow_up]
    if any(analysis.kind == "before_after" for analysis in study.analyses.values()):
        ends += [study.windows.primary_mme.before, study.windows.primary_mme.after]
    # a window months away would leave nothing to see of the hours around the start
    near = [end for end in ends if end[1] <= 168] or ends
    low, high = min(end[0] for end in near), max(end[1] for end in near)
    if stays is not None and len(stays):  # no page of hatching outside every stay
        low = max(low, min(study.windows.baseline[0], float(stays["start_hour"].min())))
        high = min(high, max(study.windows.follow_up[0][1], float(stays["end_hour"].max()) + 6))
    return low, high


def _of(table: Any, patient: str, low: float, high: float) -> list[dict[str, Any]]:
    """Return the rows of a patient that touch [low, high], as dictionaries."""
    if table is None:
        return []
    out = []
    for row in table[table["patient_label"] == patient].to_dict("records"):
        start = row.get("start_hour", row.get("hour"))
        end = row.get("end_hour", row.get("hour_end"))
        end = start if not known(end) else end
        if end >= low and start < high:
            out.append({**row, "start": float(start), "end": float(end)})
    return sorted(out, key=lambda row: (row["start"], row["end"]))


def _small_multiples(
    patients: list[timeline_panels.Patient],
    study: Study,
    scales: list[str],
    drug: str,
    low: float,
    high: float,
    simulated: bool,
) -> Figure:
    columns = min(3, len(patients))
    lines = -(-len(patients) // columns)
    figure = style.new_figure(3.1 * columns + 0.6, 2.5 * lines + 0.6 + 0.25 * simulated)
    top = max([d["mme"] for p in patients for d in p.doses if known(d["mme"])] + [1.0])
    drugs = sorted({str(d["drug"]) for p in patients for d in p.doses})
    grid = figure.add_gridspec(lines, columns)
    for position, patient in enumerate(patients):
        inner = grid[position // columns, position % columns].subgridspec(
            3, 1, height_ratios=[1.3, 0.35, 1.2], hspace=0.08
        )
        axes = [figure.add_subplot(inner[i]) for i in range(3)]
        timeline_panels.pain(axes[0], patient, scales, compact=True)
        timeline_panels.index_drug(axes[1], patient, drug, compact=True)
        timeline_opioids.opioid_stems(axes[2], patient, drugs, top)
        for panel in axes:
            timeline_panels.windows(panel, study, low, high, False)
            style.hours_axis(panel, low, high, wording.time_zero(study))
            panel.tick_params(labelsize=7, labelbottom=panel is axes[2])
            panel.tick_params(axis="x", length=3 if panel is axes[2] else 0)
            panel.set_xlabel("")
            if position % columns:
                panel.set_ylabel("")
        axes[0].set_title(wording.label(patient.label), fontsize=8.5, pad=3)
        if position // columns == lines - 1 or position + columns >= len(patients):
            axes[2].set_xlabel("Hours", fontsize=8)
    timeline_panels.figure_key(figure, drugs, drug)
    return figure


def _caption(study: Study, drug: str, count: int) -> str:
    who = "the patient" if count == 1 else "each patient"
    return (
        f"What {who} was given and how pain was scored, in hours from the "
        f"{wording.time_zero(study)}. Opioid doses are in morphine milligram equivalents "
        f"(MME, factors {study.exposure.factors}); {drug.lower()} is drawn as its rate. Hatched "
        "hours were not observed: nothing is known there, which is not the same as nothing "
        "given. Shaded bands are the windows of the study. " + _why_shown(study)
    )


def _why_shown(study: Study) -> str:
    if study.disclosure.patient_level == "none":
        return "Patient-level: not for release under this study."
    return f"Shown because patient-level display is {study.disclosure.patient_level}."


def _alt(patients: list[timeline_panels.Patient], drug: str) -> str:
    parts = []
    for patient in patients:
        before = sum(d["mme"] for d in patient.doses if d["start"] < 0 and known(d["mme"]))
        after = sum(d["mme"] for d in patient.doses if d["start"] >= 0 and known(d["mme"]))
        scored = [s for s in patient.pain if known(s["score"])]
        text = (
            f"{wording.label(patient.label)}: opioid doses drawn make {wording.number(before)} "
            f"MME before and {wording.number(after)} MME after the start"
        )
        text += f"; {wording.plural(len(scored), 'pain score')}"
        if patient.index_drug:
            hours = patient.index_drug[-1]["end"] - patient.index_drug[0]["start"]
            text += f"; {drug.lower()} over {wording.number(hours)} h"
        parts.append(text)
    return "Timeline. " + ". ".join(parts) + "."


def _source(patients: list[timeline_panels.Patient], drug: str) -> pd.DataFrame:
    """Return everything that was drawn as one table."""
    import pandas as pd

    out: list[tuple[Any, ...]] = []
    for p in patients:
        for d in p.doses:
            out.append(
                (
                    p.label,
                    "opioid dose",
                    d["start"],
                    d["end"],
                    d["drug"],
                    d["route"],
                    d["mme"],
                    "MME",
                )
            )
        for k in p.index_drug:
            value, unit = timeline_panels.rate(k)
            out.append(
                (
                    p.label,
                    "index drug",
                    k["start"],
                    k["end"],
                    drug.lower(),
                    k["route"],
                    value,
                    unit,
                )
            )
        for s in p.pain:
            out.append(
                (
                    p.label,
                    "pain",
                    s["start"],
                    s["end"],
                    s["scale"],
                    "",
                    s["score"],
                    s["state"],
                )
            )
        for o in p.stays:
            out.append(
                (
                    p.label,
                    "observed",
                    o["start"],
                    o["end"],
                    o["observes"],
                    "",
                    float("nan"),
                    "",
                )
            )
    frame = pd.DataFrame(out, columns=list(_SOURCE))
    for column in ("start_hour", "end_hour", "value"):
        frame[column] = frame[column].astype("float64")
    return frame
