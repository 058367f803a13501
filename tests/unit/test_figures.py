"""Figures: drawn only from rows that exist, the same bytes every time, honest about unknowns."""

from __future__ import annotations

import csv
import json
import re
import runpy
from pathlib import Path
from typing import Any

import matplotlib
import pytest

from ketamine_outcomes.release import disclosure, figures

EXAMPLES = runpy.run_path(str(Path(__file__).with_name("test_release_examples.py")))
KINDS = ("png", "svg", "pdf", "csv")


def draw_case(folder: Path, **more: Any) -> list[figures.FigureEntry]:
    cells = {"private": EXAMPLES["case_private"](), "patient_level": True, **more}
    return figures.draw(
        EXAMPLES["case_estimates"](),
        EXAMPLES["case_study"](),
        "demo",
        cells["private"],
        folder,
        cells["patient_level"],
    )


def draw_registry(
    folder: Path, policy: str = "none", patient_level: bool = True, patients: int = 40
) -> list[figures.FigureEntry]:
    study = EXAMPLES["registry_study"](policy, policy == "none")
    table = disclosure.apply(EXAMPLES["registry_estimates"](), study.disclosure)
    return figures.draw(
        table, study, "registry", EXAMPLES["registry_private"](patients), folder, patient_level
    )


@pytest.fixture(scope="module")
def case(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[figures.FigureEntry]]:
    folder = tmp_path_factory.mktemp("case")
    return folder, draw_case(folder)


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[figures.FigureEntry]]:
    folder = tmp_path_factory.mktemp("registry")
    return folder, draw_registry(folder)


def names(entries: list[figures.FigureEntry]) -> list[str]:
    return [entry.name for entry in entries]


def source(folder: Path, name: str) -> list[dict[str, str]]:
    with (folder / f"{name}.csv").open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def test_one_patient_has_flow_timeline_and_opioid_use(
    case: tuple[Path, list[figures.FigureEntry]],
) -> None:
    folder, entries = case
    assert names(entries) == ["F2_flow", "F3_timeline", "F9_mme"]
    for name in names(entries):
        for kind in KINDS:
            assert (folder / f"{name}.{kind}").stat().st_size > 100
    assert json.loads((folder / "figures.json").read_text())[0]["name"] == "F2_flow"


def test_a_registry_has_every_figure(registry: tuple[Path, list[figures.FigureEntry]]) -> None:
    assert names(registry[1]) == ["F2_flow", "F3_timeline", "F5_pain", "F9_mme", "F10_incidence"]
    assert all(entry.caption and entry.alt and entry.title for entry in registry[1])


def test_same_rows_same_bytes(
    tmp_path: Path, registry: tuple[Path, list[figures.FigureEntry]]
) -> None:
    matplotlib.rcParams["axes.titlesize"] = 31  # what a caller set must not matter
    draw_registry(tmp_path)
    matplotlib.rcParams["axes.titlesize"] = "large"
    for path in sorted(registry[0].iterdir()):
        assert (tmp_path / path.name).read_bytes() == path.read_bytes(), path.name


def test_no_date_and_no_program_in_the_files(case: tuple[Path, list[figures.FigureEntry]]) -> None:
    for path in case[0].iterdir():
        content = path.read_bytes()
        assert not re.search(rb"CreationDate|ModDate|dc:date|tEXtSoftware|/tmp/|/home/", content)


def test_house_style_leaves_no_trace(tmp_path: Path) -> None:
    before = dict(matplotlib.rcParams)
    draw_case(tmp_path)
    after = dict(matplotlib.rcParams)
    before.pop("backend"), after.pop("backend")
    assert after == before


def test_patient_level_figures_need_leave(tmp_path: Path) -> None:
    entries = draw_registry(tmp_path, patient_level=False)
    assert "F3_timeline" not in names(entries)
    assert "F5_pain" in names(entries)
    everything = b"".join(p.read_bytes() for p in tmp_path.glob("*.csv"))
    assert b"patient 1" not in everything
    assert "Grey lines" not in next(e for e in entries if e.name == "F5_pain").caption


def test_more_than_sixty_patients_make_no_spaghetti(tmp_path: Path) -> None:
    entries = draw_registry(tmp_path, patients=61)
    assert "Grey lines" not in next(e for e in entries if e.name == "F5_pain").caption


def test_no_rows_no_figure(tmp_path: Path) -> None:
    empty = EXAMPLES["case_estimates"]().iloc[:0]
    assert figures.draw(empty, EXAMPLES["case_study"](), "demo", {}, tmp_path, True) == []
    assert [p.name for p in tmp_path.iterdir()] == ["figures.json"]


def test_pain_that_is_unknown_is_not_drawn(case: tuple[Path, list[figures.FigureEntry]]) -> None:
    assert "F5_pain" not in names(case[1])


def test_the_source_of_a_figure_holds_its_numbers(
    case: tuple[Path, list[figures.FigureEntry]],
) -> None:
    rows = source(case[0], "F9_mme")
    use = {
        r["window"]: float(r["estimate"])
        for r in rows
        if r["outcome"] == "mme_per_24h" and r["measure"] == "mean"
    }
    assert use["[-24,0)"] == pytest.approx(61.5 * 24 / 5.38)
    hours = {r["window"]: float(r["estimate"]) for r in rows if r["outcome"] == "hours_observed"}
    assert hours["[-24,0)"] == pytest.approx(5.38)
    drugs = sum(
        float(r["estimate"])
        for r in rows
        if r["outcome"] == "mme_by_drug" and r["window"] == "[-24,0)"
    )
    assert drugs == pytest.approx(61.5)
    assert any(r["term"] == "under_12_hours" for r in rows), "the flag belongs to the figure"


def test_the_timeline_says_what_was_given(case: tuple[Path, list[figures.FigureEntry]]) -> None:
    rows = source(case[0], "F3_timeline")
    before = [r for r in rows if r["record"] == "opioid dose" and float(r["start_hour"]) < 0]
    assert sum(float(r["value"]) for r in before) == pytest.approx(61.5)
    alt = next(e.alt for e in case[1] if e.name == "F3_timeline")
    assert "61.5 MME before" in alt


def test_simulated_data_are_called_so_in_every_figure(
    registry: tuple[Path, list[figures.FigureEntry]], case: tuple[Path, list[figures.FigureEntry]]
) -> None:
    from matplotlib.figure import Figure

    from ketamine_outcomes.release.figures import style

    with style.house_style():
        for simulated in (True, False):
            figure: Figure = style.new_figure(4, 3)
            style.stamp(figure, "A title", simulated)
            texts = [t.get_text() for t in figure.findobj(match=matplotlib.text.Text)]
            assert any("SIMULATED DATA" in text for text in texts) is simulated


def test_a_hidden_start_of_a_curve_is_not_drawn_at_zero(tmp_path: Path) -> None:
    entries = draw_registry(tmp_path, policy="cms", patient_level=False)
    entry = next(e for e in entries if e.name == "F10_incidence")
    assert "hidden, not zero" in entry.caption
    rows = source(tmp_path, "F10_incidence")
    assert all(r["status"] == "ok" for r in rows)
    curves = [r for r in rows if r["measure"] == "cumulative_incidence"]
    assert curves and not any(r["n_events"] for r in curves)
    assert min(float(r["estimate"]) * float(r["n_observations"]) for r in curves) > 10


def test_text_of_the_data_cannot_run_as_a_formula(tmp_path: Path) -> None:
    private = EXAMPLES["case_private"]()
    private["timeline_doses"].loc[0, "drug"] = "=cmd()"
    draw_case(tmp_path, private=private)
    assert "'=cmd()" in (tmp_path / "F3_timeline.csv").read_text()


def test_captions_of_the_private_page_do_not_claim_suppression(tmp_path: Path) -> None:
    study = EXAMPLES["registry_study"]("cms", False)
    table = EXAMPLES["registry_estimates"]()
    for unsuppressed in (False, True):
        entries = figures.draw(table, study, "registry", {}, tmp_path, False, unsuppressed)
        captions = " ".join(entry.caption for entry in entries)
        assert ("are suppressed" in captions) is not unsuppressed


def test_a_window_without_drug_rows_is_never_drawn_as_zero() -> None:
    from ketamine_outcomes.release.figures import mme_drugs, style

    axes = style.new_figure(4, 3).subplots()
    drugs = [{"window": "[0,24)", "term": "morphine iv", "estimate": 12.0}]
    windows = ["[-72,0)", "[-24,0)", "[0,24)"]
    mme_drugs.draw(axes, drugs, windows, hidden=set(), zeros={"[-24,0)"})
    assert [text.get_text().strip() for text in axes.texts] == ["not split", "0", "12"]
