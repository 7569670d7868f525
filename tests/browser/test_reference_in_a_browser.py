"""The reference in a real browser: what its form is filled with beforehand is accepted, and nothing comes from elsewhere."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from processes import free_port
from stage import Served, serving, staged

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
CHROMIUM = shutil.which("chromium")
OUT = Path(__file__).parents[1] / "out"

pytestmark = [
    pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed"),
    pytest.mark.timeout(300),
]


@pytest.fixture
def hub(made_once: Path, tmp_path: Path) -> Iterator[Served]:
    """A hub at its own address: that is where the page sends what is tried out."""
    port = free_port()
    with staged(made_once, tmp_path, port=port, listens=True) as stage, serving(stage, port=port) as hub:
        assert stage.hub.base_url == hub.base_url
        yield hub


def test_what_is_tried_out_as_it_stands_is_accepted(hub: Served):
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1280, "height": 1600})
        foreign: list[str] = []
        complaints: list[str] = []
        page.on("request", lambda sent: _note(foreign, sent.url, hub.base_url))
        page.on("console", lambda said: complaints.append(said.text) if said.type == "error" else None)
        page.set_default_timeout(60_000)
        page.goto(f"{hub.base_url}/docs")
        named = page.locator('[data-path="/hub/v1/applications"]')
        operation = page.locator(".opblock-post").filter(has=named)
        operation.locator(".opblock-summary").click()
        page.locator(".btn.authorize").first.click()
        form = page.locator(".auth-container").first
        sender = hub.stage.cast["sender"]
        form.locator("#client_id").fill(sender["client_id"])
        form.locator("#client_secret").fill(sender["client_secret"])
        form.locator("button.authorize").click()
        page.get_by_role("button", name="Logout").first.wait_for()
        page.locator(".btn-done").first.click()
        operation.get_by_role("button", name="Try it out").click()
        with page.expect_response(lambda answer: "/hub/v1/applications?" in answer.url) as answered:
            operation.get_by_role("button", name="Execute").click()
        assert answered.value.status == 202, answered.value.text()
        assert answered.value.request.headers.get("idempotency-key") is None
        _picture(browser, f"{hub.base_url}/docs")
        assert (foreign, complaints) == ([], [])
        browser.close()


def _picture(browser: Any, url: str) -> None:
    """Take pictures of the page as people meet it, for people; it is as wide as its window, the smallest one, too."""
    OUT.mkdir(exist_ok=True)
    for width in (1280, 360):
        for scheme in ("light", "dark"):
            page = browser.new_page(viewport={"width": width, "height": 800}, color_scheme=scheme)
            page.goto(url)
            page.locator(".opblock").first.wait_for()
            assert page.evaluate("document.documentElement.scrollWidth") <= width, (width, scheme)
            page.screenshot(path=OUT / f"reference-{width}-{scheme}.png")
            page.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_reference_can_be_read_by_day_and_by_night(hub: Served, scheme: str):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe is not installed").Axe()
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1280, "height": 1600}, color_scheme=scheme, reduced_motion="reduce")
        page.set_default_timeout(60_000)
        page.goto(f"{hub.base_url}/docs")
        opened = page.locator(".opblock-post").filter(has=page.locator('[data-path="/hub/v1/applications"]'))
        opened.locator(".opblock-summary").click()
        opened.locator(".opblock-body").wait_for()
        behind = page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert (sum(int(part) for part in re.findall(r"[0-9]+", behind)[:3]) < 150) == (scheme == "dark"), behind
        found = axe.run(page, options={"runOnly": {"type": "rule", "values": ["color-contrast"]}}).response[
            "violations"
        ]
        faults = [f"{node['html'][:160]} {node['any'][0]['message']}" for each in found for node in each["nodes"]]
        assert faults == [], faults[:10]
        browser.close()


def _note(foreign: list[Any], url: str, base_url: str) -> None:
    if not url.startswith((base_url, "data:", "blob:")):
        foreign.append(url)
