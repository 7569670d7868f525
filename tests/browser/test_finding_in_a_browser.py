"""Where citizens begin, in a real browser: readable on a phone and in the dark, without barriers, scripts or anybody else."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from stage import BAUEN, TAUNUSSTEIN, WIESBADEN

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe is not installed")
CHROMIUM = shutil.which("chromium")
OUT = Path(__file__).parents[1] / "out"
PAGES = {
    "start": "/",
    "places": "/orte?q=Neu&was=hund",
    "services": f"/leistungen?q=hund&ars={WIESBADEN}",
    "service": f"/leistung/{BAUEN[-14:]}?ars={TAUNUSSTEIN}",
    "service-without-place": f"/leistung/{BAUEN[-14:]}?lang=easy",
    "imprint": "/impressum?lang=en",
    "nothing": "/nichts",
}


@pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed")
def test_people_find_what_they_need_on_a_phone_in_the_dark_and_without_scripts(portal_site):
    OUT.mkdir(exist_ok=True)
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 360, "height": 800}, locale="de-DE")
        foreign: list[str] = []
        page.on("request", lambda sent: None if sent.url.startswith(portal_site.base) else foreign.append(sent.url))
        for name, path in PAGES.items():
            page.goto(f"{portal_site.base}{path}")
            for scheme in ("dark", "light"):
                page.emulate_media(color_scheme=scheme)
                assert axe.Axe().run(page).response["violations"] == [], (name, scheme)
                for width in (1280, 360):
                    page.set_viewport_size({"width": width, "height": 800})
                    assert page.evaluate("document.documentElement.scrollWidth") <= width, (name, width)
                    page.screenshot(path=str(OUT / f"portal-{name}-{width}-{scheme}.png"), full_page=True)
        assert foreign == []
        bare = browser.new_context(java_script_enabled=False, locale="de-DE", viewport={"width": 360, "height": 800})
        page = bare.new_page()
        page.goto(portal_site.base)
        page.keyboard.press("Tab")
        assert page.locator(":focus").inner_text() == "Zum Inhalt springen"
        page.get_by_label("Wo wohnen Sie?").fill("taunusstein")
        page.get_by_label("Was brauchen Sie?").fill("Haus bauen")
        page.keyboard.press("Enter")
        page.get_by_role("link", name="Baugenehmigung").first.focus()
        page.keyboard.press("Enter")
        page.get_by_role("button", name="Antrag ausfüllen").focus()
        page.keyboard.press("Enter")
        page.wait_for_url("**/antrag/**")
        assert page.locator("h1").count() == 1
        browser.close()
