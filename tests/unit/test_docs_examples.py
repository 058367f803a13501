"""The worked examples of the documentation do what the pages say; figure and links are current."""

from __future__ import annotations

import doctest
import importlib.util
import json
import re
import sys
from pathlib import Path
from types import ModuleType

import pytest
from typer.testing import CliRunner

from ketamine_outcomes.cli import app
from ketamine_outcomes.cohort import known
from ketamine_outcomes.exposure.factors import FactorTable, known_sets
from ketamine_outcomes.exposure.flags import BIT, FLAGS, IMPUTED

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
PAGE = (DOCS / "how-to/mme-from-doses.md").read_text(encoding="utf-8")
MME = (DOCS / "explanation/mme.md").read_text(encoding="utf-8")
PAGES = sorted([ROOT / "README.md", ROOT / "config/README.md", *DOCS.rglob("*.md")])
COMMAND = ".venv/bin/ketamine-outcomes "


def blocks() -> list[tuple[str, str]]:
    """Return the fenced blocks of the page, each with the line before it."""
    found: list[tuple[str, str]] = []
    before = ""
    inside: list[str] | None = None
    for line in PAGE.splitlines():
        if inside is None and line.startswith("```"):
            inside = []
        elif inside is None:
            before = line
        elif line == "```":
            found.append((before, "".join(f"{each}\n" for each in inside)))
            before, inside = "", None
        else:
            inside.append(line)
    return found


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder `my-doses` with the tables that the page shows, one level down."""
    monkeypatch.chdir(tmp_path)
    for name, text in named(r"^`(\w+\.csv)`"):
        (tmp_path / "my-doses").mkdir(exist_ok=True)
        (tmp_path / "my-doses" / name).write_text(text, encoding="utf-8")
    return tmp_path / "my-doses"


def named(pattern: str) -> list[tuple[str, str]]:
    found = [(re.search(pattern, before), text) for before, text in blocks()]
    return [(match[1], text) for match, text in found if match]


def run(command: str) -> str:
    result = CliRunner().invoke(app, command.removeprefix(COMMAND).split())
    assert result.exit_code == 0, result.output
    return result.stdout


def commands() -> list[str]:
    return [text.strip() for _, text in blocks() if text.startswith(COMMAND)]


def test_the_page_shows_its_tables_and_commands() -> None:
    assert [name for name, _ in named(r"^`(\w+\.csv)`")] == [
        "doses.csv", "stays.csv", "index.csv", "mine.csv"
    ]  # fmt: skip
    assert len(commands()) == 3


def test_the_command_prints_what_the_page_shows(folder: Path) -> None:
    (printed,) = (text for before, text in blocks() if before == "prints")
    assert run(commands()[0]) == printed


@pytest.mark.parametrize(
    ("number", "shown", "written"),
    [(0, "out/mme.csv", "out/mme.csv"), (0, "out/ledger.csv", "out/ledger.csv"),
     (1, "bins/mme.csv", "bins/mme.csv")],
)  # fmt: skip
def test_the_tables_are_those_of_the_page(
    folder: Path, number: int, shown: str, written: str
) -> None:
    run(commands()[number])
    text = (folder / written).read_text(encoding="utf-8")
    section = PAGE[PAGE.index(f"`{shown}`") :]
    assert section[section.index("```\n") + 4 :].startswith(text + "```")


def test_a_file_of_factors_of_ones_own(folder: Path) -> None:
    run(commands()[2])
    ledger = (folder / "own/ledger.csv").read_text(encoding="utf-8").splitlines()
    assert ledger[2] == "2,a,converted,,hydromorphone,iv,11.46,11.46,"
    day = (folder / "own/mme.csv").read_text(encoding="utf-8").splitlines()[1].split(",")
    assert day[4] == "78.96"
    assert "row 2 is now 11.46 MME" in PAGE.replace("\n", " ")
    assert "first day of *a* 78.96 instead of 87.5" in PAGE.replace("\n", " ")


@pytest.mark.parametrize("page", ["how-to/mme-from-doses.md", "explanation/mme.md"])
def test_python_examples(folder: Path, page: str) -> None:
    text = (DOCS / page).read_text(encoding="utf-8")
    example = doctest.DocTestParser().get_doctest(text, {}, page, page, 0)
    assert len(example.examples) > 3
    printed: list[str] = []
    runner = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE)
    runner.run(example, out=printed.append)
    assert not runner.failures, "".join(printed)


# --- the estimators ---------------------------------------------------------------------------

ESTIMATOR_PAGES = sorted(
    p
    for p in [
        *(DOCS / "reference/estimators").glob("*.md"),
        DOCS / "how-to/use-the-estimators-alone.md",
    ]
    if p.name not in ("agreement.md", "speed.md", "README.md")
)


@pytest.mark.parametrize("page", ESTIMATOR_PAGES, ids=lambda p: p.stem)
def test_the_examples_of_the_estimators_print_what_the_page_shows(page: Path) -> None:
    text = re.sub(r"^```.*$", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE)
    example = doctest.DocTestParser().get_doctest(text, {}, page.name, str(page), 0)
    assert example.examples
    printed: list[str] = []
    runner = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS)
    runner.run(example, out=printed.append)
    assert not runner.failures, "".join(printed)


def test_every_estimator_has_its_page() -> None:
    from ketamine_outcomes import estimators

    pages = [p.read_text(encoding="utf-8") for p in ESTIMATOR_PAGES]
    heads = "\n".join(re.findall(r"^#+ .*$|^`.*$", "\n".join(pages), flags=re.MULTILINE))
    calls = [n for n in estimators.__all__ if n.islower()]
    assert [n for n in calls if not re.search(rf"\b{n}\b", heads)] == []


# --- the figure -------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def script() -> ModuleType:
    path = DOCS / "figures/factor_disagreement.py"
    spec = importlib.util.spec_from_file_location("factor_disagreement", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


def test_the_figure_draws_one_mark_per_row_of_the_evidence(script: ModuleType) -> None:
    drugs = script.read()
    with script.style.house_style():
        figure = script.draw(drugs)
    rows = script.factor_rows()
    for axes, (drug, unit) in zip(figure.axes, script.DRUGS, strict=True):
        found = script.evidence(drug, unit, rows)
        assert len(found) >= 12
        dots = [line for line in axes.lines if line.get_gid() == f"published-{drug}"]
        drawn = sorted(float(line.get_xdata()[0]) for line in dots)
        assert drawn == sorted(float(row["factor"]) for row in found if row["factor"])
        ranges = [line for line in axes.lines if line.get_gid() == f"range-{drug}"]
        assert len(ranges) == sum(1 for row in found if row["factor_low"])
        # no two sources under one name, each with a line of its own
        heights = [float(line.get_ydata()[0]) for line in dots]
        assert len(set(heights)) == len(heights)


def test_the_figure_shows_what_is_used(script: ModuleType) -> None:
    for drug in script.read():
        for bound, value in (("", drug.typical), ("+low", drug.low), ("+high", drug.high)):
            used = FactorTable(f"cdc2022+inpatient{bound}").find(drug.name, "iv", "infusion")
            assert used is not None and float(used.value) == value
        if drug.route_consistent is not None:
            same = FactorTable("route_consistent+cdc2022+inpatient")
            found = same.find(drug.name, "iv", "infusion")
            assert found is not None and float(found.value) == drug.route_consistent


def test_the_figure_is_written_and_that_of_the_page_is_current(
    script: ModuleType, tmp_path: Path
) -> None:
    script.write(tmp_path)
    assert (tmp_path / "mme-factors.png").read_bytes().startswith(b"\x89PNG")
    drawn = script.digest(script.read())
    for svg in (tmp_path / "mme-factors.svg", DOCS / "images/mme-factors.svg"):
        assert drawn in svg.read_text(encoding="utf-8"), "run docs/figures/factor_disagreement.py"
    assert "../images/mme-factors.png" in MME


# --- what the pages say -----------------------------------------------------------------------


def anchors(page: Path) -> set[str]:
    """Return the anchors of the headings of a page, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", each.lower()).replace(" ", "-") for each in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_every_link_leads_somewhere(page: Path) -> None:
    links = re.findall(r"\]\(([^)#\s]*)(?:#([\w-]+))?\)", page.read_text(encoding="utf-8"))
    for target, anchor in links:
        if "://" in target:
            continue
        path = (page.parent / target).resolve() if target else page
        assert path.exists(), target
        assert not anchor or anchor in anchors(path), f"{target}#{anchor}"


def test_every_page_is_on_the_map() -> None:
    there = (DOCS / "README.md").read_text(encoding="utf-8")
    for page in DOCS.glob("*/*.md"):
        assert page.relative_to(DOCS).as_posix() in there


def test_all_flags_are_explained() -> None:
    table = MME[MME.index("## Flags") : MME.index("## Renal failure")]
    assert sorted(re.findall(r"`(\w+)`", table)) == sorted(FLAGS)
    starred = re.findall(r"`(\w+)` \*", table)
    assert sorted(starred) == sorted(flag for flag in FLAGS if BIT[flag] & IMPUTED)


def test_what_an_index_may_tell_is_listed() -> None:
    page = (ROOT / "config/README.md").read_text(encoding="utf-8")
    for name in known.NAMES:
        assert f"`{name}`" in page or (name.startswith("co_") and "`co_CLASS`" in page)


def test_the_sets_of_the_table_are_those_that_may_be_listed() -> None:
    begin = MME.index("| set | source")
    rows = [line.split("|")[1] for line in MME[begin:].split("\n\n")[0].splitlines()[2:]]
    assert {name for row in rows for name in re.findall(r"`(\w+)`", row)} == set(known_sets())


def test_the_counts_of_tests_are_right() -> None:
    cases = json.loads((ROOT / "tests/golden/mme_cases.json").read_text(encoding="utf-8"))["cases"]
    engine = sum(case["group"] == "engine_spec" for case in cases)
    reference = (ROOT / "tests/engine/test_engine_reference.py").read_text(encoding="utf-8")
    properties = (ROOT / "tests/engine/test_engine_properties.py").read_text(encoding="utf-8")
    charts, each = (
        int(re.search(r"max_examples=(\d+)", text)[1])  # type: ignore[index]
        for text in (reference, properties)
    )
    text = MME.replace("\n", " ")
    assert f"**{engine} worked cases**" in text
    assert f"{len(cases) - engine} further cases" in text
    assert f"**{charts} random charts**" in text
    assert f"{each} random examples each" in text
    assert f"{properties.count('@given(')} properties" in text
