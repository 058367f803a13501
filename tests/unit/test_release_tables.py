"""Tables: words instead of numbers that are not there, in every format, same bytes."""

from __future__ import annotations

import html.parser
import io
import json
import os
import re
import runpy
import shutil
import subprocess
import zipfile
from pathlib import Path

import docx
import pandas as pd
import pytest

from ketamine_outcomes import estimates
from ketamine_outcomes.release import disclosure, tables, wording
from ketamine_outcomes.release.tables.write_tex import escape

EXAMPLES = runpy.run_path(str(Path(__file__).with_name("test_release_examples.py")))
ALL = ["T1_characteristics", "T5_pain", "T6_mme", "T7_sites", "T8_adverse_events", "T9_models"]


def write_registry(folder: Path, policy: str = "none") -> list[str]:
    study = EXAMPLES["registry_study"](policy, policy == "none")
    table = disclosure.apply(EXAMPLES["registry_estimates"](), study.disclosure)
    return [e.name for e in tables.write(table, study, "registry", folder)]


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("registry")
    assert write_registry(folder) == ALL
    return folder


@pytest.fixture(scope="module")
def case(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("case")
    tables.write(EXAMPLES["case_estimates"](), EXAMPLES["case_study"](), "demo", folder)
    return folder


def text(folder: Path, name: str) -> str:
    content = (folder / f"{name}.html").read_text(encoding="utf-8")
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", content))


def test_every_format_is_written(registry: Path) -> None:
    for name in ALL:
        for kind in ("csv", "html", "docx", "tex"):
            assert (registry / f"{name}.{kind}").stat().st_size > 100
    assert [e["name"] for e in json.loads((registry / "tables.json").read_text())] == ALL


def test_same_rows_same_bytes(registry: Path, tmp_path: Path) -> None:
    write_registry(tmp_path)
    for path in sorted(registry.iterdir()):
        assert (tmp_path / path.name).read_bytes() == path.read_bytes(), path.name


def test_a_table_without_rows_is_not_written(case: Path) -> None:
    assert not (case / "T7_sites.html").exists()
    assert not (case / "T8_adverse_events.csv").exists()


def test_unknown_and_refused_are_words_with_a_reason(case: Path) -> None:
    pain = text(case, "T5_pain")
    assert "unknown" in pain
    assert "no pain score in the window" in pain
    assert "refused" in text(case, "T9_models")
    assert "an interval or p value would not be valid" in text(case, "T9_models")


def test_opioid_use_stands_with_its_hours_and_flag(case: Path) -> None:
    mme = text(case, "T6_mme")
    assert "Hours observed, mean 5.38" in mme
    assert re.search(r"MME per 24 h observed, mean \(SD\) 274 a", mme)
    assert "rests on 5.4 h observed (under 12 h)" in mme


def test_suppressed_cells_are_words_never_zero(tmp_path: Path) -> None:
    write_registry(tmp_path, "cms")
    sites = text(tmp_path, "T7_sites")
    assert "suppressed" in sites
    assert "small number hidden (policy cms)" in sites
    assert " nan" not in sites.lower()


def test_numbers_in_the_table_are_those_of_the_estimates(registry: Path) -> None:
    content = text(registry, "T9_models")
    assert "2.13 (1.44 to 3.15)" in content
    assert "\N{MINUS SIGN}53.2 (\N{MINUS SIGN}65.9 to \N{MINUS SIGN}40.5)" in content
    assert "< 0.001" in content.replace("&lt;", "<")
    frame = estimates.read_csv(registry / "T9_models.csv")
    assert 2.13 in set(frame["estimate"])


def test_scenarios_stand_beside_the_base(registry: Path) -> None:
    assert "Scenario low_factors" in text(registry, "T6_mme")


def test_html_is_escaped_and_headers_have_a_scope(tmp_path: Path) -> None:
    frame = EXAMPLES["case_estimates"]()
    frame.loc[frame["status"] != "ok", "note"] = "<img src=x onerror=alert(1)>"
    frame.loc[frame["term"] == "male", "term"] = "<b>male</b>"
    tables.write(frame, EXAMPLES["case_study"](), "demo", tmp_path)
    seen: list[tuple[str, dict[str, str | None]]] = []

    class Tags(html.parser.HTMLParser):
        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            seen.append((tag, dict(attrs)))

    for path in tmp_path.glob("*.html"):
        Tags().feed(path.read_text(encoding="utf-8"))
    tags = {tag for tag, _ in seen}
    assert not tags & {"img", "b", "script"}
    assert "caption" in tags
    assert all(attrs.get("scope") for tag, attrs in seen if tag == "th")


def test_word_files_hold_the_table_and_no_date(registry: Path) -> None:
    content = (registry / "T1_characteristics.docx").read_bytes()
    document = docx.Document(io.BytesIO(content))
    words = [cell.text for row in document.tables[0].rows for cell in row.cells]
    assert "Characteristic" in words and "61.2 (12.9)" in words
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        assert {info.date_time for info in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}


def test_tex_escapes_what_latex_reads() -> None:
    assert escape("5 % of a_b & {c} #1 $x$ \\ ^ ~") == (
        r"5 \% of a\_b \& \{c\} \#1 \$x\$ \textbackslash{} \textasciicircum{} \textasciitilde{}"
    )


def test_tex_compiles(registry: Path, tmp_path: Path) -> None:
    if shutil.which("pdflatex") is None and os.environ.get("REQUIRE_PROGRAMS") != "1":
        pytest.skip("no pdflatex on the PATH (REQUIRE_PROGRAMS=1 makes this a failure)")
    body = "".join((registry / f"{n}.tex").read_text(encoding="utf-8") for n in ALL)
    document = (
        "\\documentclass{article}\\usepackage[utf8]{inputenc}\\usepackage[T1]{fontenc}"
        "\\usepackage{booktabs}\\begin{document}" + body + "\\end{document}"
    )
    (tmp_path / "all.tex").write_text(document, encoding="utf-8")
    done = subprocess.run(
        ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "all.tex"],
        cwd=tmp_path,
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-800:]


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (0.0, "0"),
        (61.5, "61.5"),
        (7.50, "7.5"),
        (273.3, "273"),
        (1234.5, "1,234"),
        (-0.0312, "\N{MINUS SIGN}0.0312"),
        (float("nan"), "unknown"),
        (99.96, "100"),
    ],
)
def test_numbers_for_readers(value: float, shown: str) -> None:
    assert wording.number(value) == shown


def test_p_values_are_never_zero() -> None:
    assert wording.p_value(1e-20) == "< 0.001"
    assert wording.p_value(0.0421) == "0.042"
    assert wording.p_value(0.244) == "0.24"


def test_a_missing_row_has_a_word() -> None:
    frame = estimates.table(
        [{"analysis": "a", "measure": "hazard_ratio", "status": "not_estimable", "note": "x"}],
        study="s",
        cohort="c",
    )
    assert wording.missing(frame.iloc[0].to_dict()) == "not estimable"
    assert isinstance(frame, pd.DataFrame)
