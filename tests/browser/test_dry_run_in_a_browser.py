"""The dry run in a real browser: readable at both widths, without barriers, without a word to anybody else."""

from __future__ import annotations

import shutil

import pytest
from stage import SCHEMAS

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe is not installed")
CHROMIUM = shutil.which("chromium")
BROKEN = SCHEMAS / "bauantrag/1.0/examples/bad-ohne-flurstueck.xml.element-missing.xml"


@pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed")
@pytest.mark.parametrize("width", [1280, 360])
def test_a_vendor_pastes_sees_corrects_and_finds_no_barrier(served, width):
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": width, "height": 900})
        foreign: list[str] = []
        page.on("request", lambda sent: foreign.append(sent.url) if not sent.url.startswith(served.base_url) else None)
        page.goto(f"{served.base_url}/validate")
        page.fill("#text", BROKEN.read_text(encoding="utf-8"))
        page.get_by_role("button", name="Prüfen / check").click()
        page.get_by_role("status").get_by_text("Ungültig").wait_for()
        line = page.locator("ol.findings a").first
        target = line.get_attribute("href")
        line.click()
        assert page.locator(f"ol.lines {target} .said").is_visible()
        assert page.input_value("#text").strip() == BROKEN.read_text(encoding="utf-8").strip()
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        for scheme in ("dark", "light"):
            page.emulate_media(color_scheme=scheme)
            assert axe.Axe().run(page).response["violations"] == [], scheme
        page.goto(f"{served.base_url}/ai?lang=en")
        page.get_by_role("heading", name="Register of AI systems").wait_for()
        assert page.get_by_text("Rule engine, no AI system").is_visible()
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        for scheme in ("dark", "light"):
            page.emulate_media(color_scheme=scheme)
            assert axe.Axe().run(page).response["violations"] == [], scheme
        assert foreign == []
        browser.close()
