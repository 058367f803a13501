"""The report: self-contained, escaped, honest; the manifest: same bytes, no machine path."""

from __future__ import annotations

import hashlib
import html
import html.parser
import itertools
import json
import re
import runpy
from pathlib import Path
from typing import Any

import pytest

from ketamine_outcomes.release import disclosure, figures, manifest, page, tables

EXAMPLES = runpy.run_path(str(Path(__file__).with_name("test_release_examples.py")))
EVIL = "<script>alert('x')</script>"
FACTS: dict[str, Any] = {
    "notes": [f"3 of 120 doses had no unit {EVIL}."],
    "definition_hash": "cd" * 32,
    "versions": {"pandas": "2.3.3"},
    "cohort_source": "mimic_iv",
    "waivers": [{"table": "patients", "column": "ward", "reason": "codes of wards"}],
}
CAUSAL = re.compile(
    r"\b(caus\w+|because of ketamine|due to|effective|efficac\w+|works?|reduced by|improv\w+|"
    r"led to|thanks to)\b",
    re.IGNORECASE,
)


def make(
    folder: Path, study: Any, cohort: str, frame: Any, private_tables: Any, private: bool
) -> str:
    figures.draw(frame, study, cohort, private_tables, folder / "figures", bool(private_tables))
    tables.write(frame, study, cohort, folder / "tables")
    return page.render(study, cohort, frame, folder / "figures", folder / "tables", FACTS, private)


@pytest.fixture(scope="module")
def case(tmp_path_factory: pytest.TempPathFactory) -> str:
    return make(
        tmp_path_factory.mktemp("case"),
        EXAMPLES["case_study"](),
        "demo",
        EXAMPLES["case_estimates"](),
        EXAMPLES["case_private"](),
        False,
    )


@pytest.fixture(scope="module")
def released(tmp_path_factory: pytest.TempPathFactory) -> str:
    study = EXAMPLES["registry_study"]("cms", False)
    frame = disclosure.apply(EXAMPLES["registry_estimates"](), study.disclosure)
    return make(tmp_path_factory.mktemp("released"), study, "registry", frame, {}, False)


def section(content: str, name: str) -> str:
    part = content.split(f'id="{name}"')[1].split("</section>")[0]
    return html.unescape(re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", part)))


def test_nothing_is_loaded_and_nothing_runs(case: str, released: str) -> None:
    for content in (case, released):
        assert "default-src 'none'; img-src data:; style-src 'unsafe-inline'" in content
        assert "<script" not in content
        assert not re.search(r"(?:src|href)=\"(?!#|data:)", content)
        assert not re.search(r"url\(|@import|<iframe|<object|<link| on\w+=\"", content)


def test_text_of_the_data_is_escaped(case: str) -> None:
    assert "&lt;script&gt;alert(" in case


def test_landmarks_headings_and_alt_texts(case: str) -> None:
    assert case.count("<h1>") == 1
    assert '<main id="main"' in case and 'class="skip" href="#main"' in case
    assert "<header" in case and "<footer>" in case and "<nav " in case
    images = re.findall(r"<img [^>]*>", case)
    assert images
    assert all(re.search(r'alt="[^"]{20,}"', image) for image in images)
    levels = [int(n) for n in re.findall(r"<h(\d)[ >]", case)]
    assert all(b - a <= 1 for a, b in itertools.pairwise(levels))


def test_the_story_comes_first_and_in_order(case: str) -> None:
    names = [
        "found",
        "sure",
        "wrong",
        "who",
        "exposure",
        "results",
        "definitions",
        "reproduce",
        "glossary",
    ]
    places = [case.index(f'<h2 id="{name}"') for name in names]
    assert places == sorted(places)


def test_one_patient_numbers_hours_flags_and_unknowns(case: str) -> None:
    found = section(case, "found")
    assert "61.5 MME were counted in only 5.4 h observed (under 12 h: read with care)" in found
    assert "274 MME per 24 h observed" in found
    assert "15.5 MME were counted in 24 h observed" in found
    assert found.count("unknown") == 2
    assert "no pain score in the window" in found
    assert not re.search(r"\bp [=<]", found)
    assert not CAUSAL.search(found)
    assert "One patient: this is a description" in section(case, "sure")


def test_no_causal_word_in_the_findings(released: str) -> None:
    found = section(released, "found")
    assert "95 % interval" in found
    assert not CAUSAL.search(found)


def test_refusals_notes_and_waivers_are_printed(case: str) -> None:
    wrong = section(case, "wrong")
    assert "an interval or p value would not be valid" in wrong
    assert "taken as intravenous" in wrong
    assert "patients.ward: codes of wards" in wrong


def test_small_counts_of_notes_do_not_leave(released: str) -> None:
    assert "(some) of 120 doses" in released
    assert "3 of 120" not in released


def test_patient_ids_and_paths_of_the_cohort_do_not_leave(case: str) -> None:
    assert "10040025" not in case
    assert "data/demo" not in case


def test_private_and_simulated_pages_say_so(tmp_path: Path) -> None:
    content = make(
        tmp_path,
        EXAMPLES["registry_study"](),
        "registry",
        EXAMPLES["registry_estimates"](),
        {},
        True,
    )
    top = content.split("<h1>")[0]
    assert "NOT FOR RELEASE" in top and "SIMULATED DATA" in top
    assert '@top-center{content:"NOT FOR RELEASE' in content
    assert content.count("SIMULATED DATA") > 5


def test_an_empty_study_still_makes_a_page(tmp_path: Path) -> None:
    empty = EXAMPLES["case_estimates"]().iloc[:0]
    content = make(tmp_path, EXAMPLES["case_study"](), "demo", empty, {}, False)
    assert "No result could be shown" in content


def test_same_input_same_page(tmp_path: Path, case: str) -> None:
    again = make(
        tmp_path,
        EXAMPLES["case_study"](),
        "demo",
        EXAMPLES["case_estimates"](),
        EXAMPLES["case_private"](),
        False,
    )
    assert again == case


def build(release: Path, **more: Any) -> dict[str, Any]:
    study = EXAMPLES["registry_study"]("cms", False)
    frame = disclosure.apply(EXAMPLES["registry_estimates"](), study.disclosure)
    cells: dict[str, Any] = {
        "definition_hashes": {"base": "ab"},
        "inputs": {"doses.csv": "00"},
        "tables": {"patients": 318, "events": 4},
        "notes": FACTS["notes"],
        **more,
    }
    return manifest.build(study, "registry", frame, release, **cells)


def test_manifest_lists_outputs_counts_and_hashes(tmp_path: Path) -> None:
    (tmp_path / "figures").mkdir()
    (tmp_path / "figures" / "F2_flow.csv").write_text("x")
    (tmp_path / "manifest.json").write_text("old")
    found = build(tmp_path)
    assert found["outputs"] == {"figures/F2_flow.csv": hashlib.sha256(b"x").hexdigest()}
    assert found["counts"]["tables"] == {"events": "suppressed", "patients": 318}
    assert {"of": "patients", "step": "washout", "what": "remaining", "count": 276} in (
        found["counts"]["attrition"]
    )
    assert found["versions"]["pandas"]
    assert json.dumps(found) == json.dumps(build(tmp_path))
    assert str(tmp_path) not in json.dumps(found)
    assert "3 of 120" not in json.dumps(found)


def test_manifest_hides_what_the_estimates_hide(tmp_path: Path) -> None:
    counts = build(tmp_path)["counts"]
    assert "suppressed" in {row["count"] for row in counts["attrition"]}
    assert all(
        isinstance(r["count"], str) or r["count"] > 10 or r["count"] == 0
        for r in counts["attrition"] + counts["ledger"]
    )


@pytest.mark.parametrize("name", ["/home/me/doses.csv", "../doses.csv"])
def test_manifest_refuses_paths_of_the_machine(tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match="relative"):
        build(tmp_path, inputs={name: "00"})


def test_manifest_without_a_checkout_has_no_commit(tmp_path: Path) -> None:
    assert build(tmp_path, checkout=tmp_path)["git_commit"] is None
