"""Saved on a phone without scripts, gone on with elsewhere, and followed until the authority writes: in a real browser."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import orjson
import pytest
from people import answered, begun, sent_by, write_reply
from portal_way import DOG_TAX, WIESBADEN
from sealed_door import Door
from stage import CANARY
from test_portal_in_a_browser import browser, looked_at  # noqa: F401  # browser is a fixture

from hub.portal import following

NAME, FIELD = "Łucja Šćepanović", "[name='/halter/vornamen']"
PHONE = {"width": 360, "height": 740}


@pytest.fixture
def device(browser: Any, portal_site: Any) -> Any:  # noqa: F811
    """Somebody's device: a browser that knows nothing of the others."""
    contexts = []

    def open_(path: str, **more: Any) -> Any:
        context = browser.new_context(**{"viewport": {"width": 1280, "height": 900}, "locale": "de-DE", **more})
        context.set_default_timeout(15_000)
        contexts.append(context)
        page = context.new_page()
        page.goto(f"{portal_site.base}{path}")
        return page

    yield open_
    for context in contexts:
        context.close()


def test_what_was_saved_on_a_phone_goes_on_at_another_device(device):
    phone = device(f"/leistung/{DOG_TAX}?ars={WIESBADEN}", java_script_enabled=False, viewport=PHONE)
    phone.locator("form[action='/antrag'] button").first.click()
    phone.locator(FIELD).fill(NAME)
    phone.locator("button[name=speichern]").click()
    phone.get_by_role("button", name="Jetzt sichern").click()
    reference, code = phone.locator("#reference").inner_text(), phone.locator("#code").inner_text()
    address = phone.locator("#address").get_attribute("href")
    assert code.replace("-", "") not in address
    phone.get_by_role("button", name="Hier beenden").click()
    assert phone.context.cookies() == []

    other = device(address.partition("/weiter")[1] + address.partition("/weiter")[2])
    looked_at(other, "resume")
    assert other.get_by_label("Nummer").input_value() == reference
    other.get_by_label("Code").fill("0000 0000 0000")
    other.keyboard.press("Enter")
    other.get_by_role("alert").get_by_text("Nummer und Code passen nicht").wait_for()
    other.get_by_label("Code").fill(code.lower().replace("-", " "))
    other.keyboard.press("Enter")
    other.wait_for_url("**/antrag/schritt/**")
    assert other.locator(FIELD).input_value() == NAME
    other.locator("button[name=speichern]").click()
    other.get_by_role("button", name="Jetzt sichern").click()
    looked_at(other, "saved")
    assert other.locator("#code").inner_text() == code


def test_a_reply_is_opened_and_its_file_saved_by_who_has_reference_and_code(device, portal_site, rsa_pair):
    running, sent = sent_by(portal_site, answered(portal_site, begun(portal_site)), rsa_pair)
    known = following.begin(portal_site.portal, running, sent, portal_site.clock())
    data = orjson.dumps({"kind": "question", "text": f"Guten Tag {CANARY},\n\nwo ist der Lageplan?"})
    file = "Nachforderung.pdf", b"%PDF-1.7"
    with ThreadPoolExecutor(1) as elsewhere:  # The browser has an event loop in this thread.
        elsewhere.submit(lambda: write_reply(Door(portal_site.hub), sent["caseId"], rsa_pair[0], data, file)).result()
    page = device(f"/stand/{known['reference']}")
    page.get_by_label("Code").fill(known["code"])
    page.keyboard.press("Enter")
    page.get_by_role("heading", name="Die Behörde hat Ihnen geschrieben").wait_for()
    assert known["code"].replace("-", "") not in page.url
    looked_at(page, "status")
    page.get_by_role("button", name="Nachricht öffnen").click()
    page.get_by_text(CANARY).wait_for()
    looked_at(page, "reply")
    with page.expect_download() as waiting:
        page.get_by_role("button", name="Nachforderung.pdf").click()
    assert waiting.value.suggested_filename == "Nachforderung.pdf"
    assert page.context.cookies() == []
