# ruff: noqa: F401, F811  # Fixtures are imported and used by name.
"""The page for clerks in a real browser: on a phone, by the keyboard, light and dark."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest
from say import CLERK, PASSWORD, apply, office
from stage import NOW
from test_connector_town import CANARY, LATER, Town, catalog, good_data, town, town_keys
from test_portal_in_a_browser import OUT, VIOLATIONS, browser

PLAN = b"\x89PNG\r\n\x1a\n"


def looked_at(page: Any, name: str) -> None:
    """Nothing hangs over an edge, and axe finds nothing, light and dark; pictures of both."""
    api = pytest.importorskip("axe_playwright_python.base", reason="axe-playwright-python is not installed")
    page.set_viewport_size({"width": 360, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth") <= 360, name
    page.evaluate(api.AXE_FILE_PATH.read_text())
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        page.screenshot(path=str(OUT / f"clerk-{name}-{scheme}.png"), full_page=True)
        rules = {"iframes": False} | ({} if scheme == "light" else {"runOnly": ["color-contrast"]})
        assert page.evaluate(VIOLATIONS, rules) == [], (name, scheme)


def test_a_clerk_works_on_a_phone_by_the_keyboard(browser, town, rsa_pair):
    application = apply(town, rsa_pair[0], attachments={uuid4(): PLAN}, names=[("Plan.png", "image/png")])
    connector = town.start(**CLERK)
    connector.run_once(NOW)
    place = office(town, connector.say.desk)
    context = browser.new_context(viewport={"width": 360, "height": 800}, locale="de-DE", bypass_csp=False)
    try:
        context.set_default_timeout(15_000)
        page, asked = context.new_page(), []
        page.on("request", lambda sent: asked.append(sent.url))
        base = f"http://127.0.0.1:{place.server.port}"
        page.goto(f"{base}/")
        looked_at(page, "login")
        page.get_by_label("Name").fill("anna")
        page.get_by_label("Passwort").fill(PASSWORD)
        page.keyboard.press("Enter")
        page.get_by_role("heading", name="Vorgänge").wait_for()
        looked_at(page, "list")
        page.get_by_role("link", name="Hundesteuer").focus()
        page.keyboard.press("Enter")
        page.frame_locator("iframe.reading").first.get_by_text(CANARY).first.wait_for()
        looked_at(page, "case")
        page.get_by_role("button", name="Annehmen").focus()
        page.keyboard.press("Enter")
        page.get_by_text("Angenommen. Der Absender erfährt es.").wait_for()
        page.get_by_label("Text (versiegelt für den Absender)").fill("Wo ist der Plan?")
        page.get_by_label("Frist").fill("2026-12-24")
        page.get_by_role("button", name="Senden").press("Enter")
        page.get_by_text("Geschrieben und versiegelt").wait_for()
        looked_at(page, "asked")
        page.goto(f"{base}/?lang=en")
        assert page.get_by_text("under way").count() > 0
        assert [url for url in asked if not url.startswith(base)] == []
    finally:
        context.close()
        place.server.close()
    connector.run_once(LATER)
    assert [claims["sub"] for claims in town.hub.posted] == [f"submission:{application}"]
    assert len(town.hub.sent_replies()) == 1
