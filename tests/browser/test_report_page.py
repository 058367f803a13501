"""The report in a real browser: nothing loaded, nothing broken, readable on a phone."""

from __future__ import annotations

import os
import runpy
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ketamine_outcomes.release import disclosure, figures, page, tables

ROOT = Path(__file__).parents[1]
EXAMPLES = runpy.run_path(str(ROOT / "unit" / "test_release_examples.py"))
FACTS = {
    "notes": ["2 of 40 doses had no unit."],
    "definition_hash": "cd" * 32,
    "versions": {"pandas": "2.3.3"},
    "cohort_source": "tabular",
    "waivers": [],
}


def chromium() -> str | None:
    """Return the system's Chromium."""
    return next(
        filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
    )


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    path = chromium()
    if path is None:
        if os.environ.get("REQUIRE_PROGRAMS") == "1":
            pytest.fail("REQUIRE_PROGRAMS=1, but there is no chromium on the PATH")
        print("browser tests skipped: no chromium on the PATH")
        pytest.skip("no chromium on the PATH (set REQUIRE_PROGRAMS=1 to make this a failure)")
    sync_api = pytest.importorskip("playwright.sync_api")
    with sync_api.sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield running
        running.close()


def render(folder: Path, name: str) -> Path:
    policy, private = {
        "case": ("none", False),
        "private": ("none", True),
        "suppressed": ("cms", False),
    }[name]
    if name == "case":
        study, cohort = EXAMPLES["case_study"](), "demo"
        frame, rows = EXAMPLES["case_estimates"](), EXAMPLES["case_private"]()
    else:
        study, cohort = EXAMPLES["registry_study"](policy, policy == "none"), "registry"
        frame = disclosure.apply(EXAMPLES["registry_estimates"](), study.disclosure)
        rows = EXAMPLES["registry_private"]() if private else {}
    figures.draw(frame, study, cohort, rows, folder / "figures", bool(rows))
    tables.write(frame, study, cohort, folder / "tables")
    content = page.render(
        study, cohort, frame, folder / "figures", folder / "tables", FACTS, private
    )
    path = folder / "report.html"
    path.write_text(content, encoding="utf-8")
    return path


@pytest.fixture(scope="module", params=["case", "private", "suppressed"])
def report(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return render(tmp_path_factory.mktemp(request.param), request.param)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1200])
def test_report_in_a_browser(browser: Any, report: Path, width: int, scheme: str) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright")
    tab = browser.new_page(viewport={"width": width, "height": 800}, color_scheme=scheme)
    said: list[str] = []
    asked: list[str] = []
    tab.on("console", lambda message: said.append(message.text))
    tab.on("pageerror", lambda error: said.append(str(error)))
    tab.on("request", lambda request: asked.append(request.url))
    tab.goto(report.as_uri())
    assert said == []
    assert [url for url in asked if not url.startswith("data:")] == [report.as_uri()]
    assert tab.evaluate("document.documentElement.scrollWidth") <= width
    assert tab.evaluate("[...document.images].every(i => i.naturalWidth > 0)")
    # a wide table scrolls in its own box, which the keyboard can reach
    assert tab.evaluate(
        "[...document.querySelectorAll('.box,.picture')].every(b => b.tabIndex === 0)"
    )
    # axe is brought in by the test, after what the page itself did was looked at
    violations = axe.Axe().run(tab).response["violations"]
    assert [(v["id"], v["nodes"][0]["html"][:120]) for v in violations] == []
    tab.close()


def test_skip_link_is_the_first_stop_of_the_keyboard(browser: Any, report: Path) -> None:
    tab = browser.new_page()
    tab.goto(report.as_uri())
    tab.keyboard.press("Tab")
    assert tab.evaluate("document.activeElement.className") == "skip"
    tab.keyboard.press("Enter")
    assert tab.evaluate("document.activeElement.id") == "main"
    tab.close()


def test_print_makes_pages(browser: Any, report: Path) -> None:
    tab = browser.new_page()
    tab.goto(report.as_uri())
    assert tab.pdf(format="A4").startswith(b"%PDF")
    tab.emulate_media(media="print")
    assert tab.evaluate("getComputedStyle(document.querySelector('nav.contents')).display") == (
        "none"
    )
    tab.close()
