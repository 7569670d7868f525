"""The citizens' way in a real browser: by keyboard alone, on a phone, in the dark, without scripts; and what axe says of it.

Skipped, with the reason, where Chromium or playwright is absent. ``make portal-pictures`` looks at every page in full and
leaves pictures in ``tests/out``; the suite looks at the same pages shortly.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest
from every_portal_page import BALLOT, FORMLESS, begin, walk
from portal_way import BARE, BUILDING, DOG_TAX, HANAU, PDF, RESIDENCE, TAUNUSSTEIN, WIESBADEN, texts_of

from hub.forms.samples import completed

OUT = Path(__file__).parents[1] / "out"
_SWITCHES = ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run"]
_SCHEMAS = "https://schema.rathaus-hub.example"
#: Every page in full, with pictures; the suite has no time for that.
FULL = os.environ.get("PORTAL_PICTURES") == "full"
DOG = f"{_SCHEMAS}/fim-hundesteuer/1.2/anmeldung.schema.json"
HOUSE = f"{_SCHEMAS}/bauantrag/1.2#bauantrag"
HOME = f"{_SCHEMAS}/fim-wohnsitz/1.2/anmeldung.schema.json"
FRANKFURT = "064120000000"
#: A person whose name is an attack.
SCRIPT = "<script>document.title='x'</script>"


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """The system's browser, started once for this module."""
    api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    found = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if found is None:
        pytest.skip("no Chromium on this machine")
    OUT.mkdir(exist_ok=True)
    with api.sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=found, args=_SWITCHES, env={**os.environ, "HOME": "/tmp"})
        yield chromium
        chromium.close()


@pytest.fixture
def visit(browser: Any, login_place: Any) -> Iterator[Any]:
    """Open a page of the portal; what the browser complains about, and what it asks of others, fails the test."""
    contexts, complaints = [], []
    known = (login_place.base, login_place.provider.issuer, "data:")

    def open_(path: str = "/", **more: Any) -> Any:
        context = browser.new_context(**{"viewport": {"width": 1280, "height": 900}, "locale": "de-DE", **more})
        context.set_default_timeout(30_000)
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: complaints.append(message.text) if _is_complaint(message) else None)
        page.on("request", lambda sent: None if sent.url.startswith(known) else complaints.append(sent.url))
        page.goto(f"{login_place.base}{path}")
        return page

    yield open_
    for context in contexts:
        context.close()
    assert complaints == []


def _is_complaint(message: Any) -> bool:
    """Chromium reports every 4xx answer as an error; those are asked for here. CSP breaches and broken scripts are not."""
    return message.type == "error" and "Failed to load resource" not in message.text


def looked_at(page: Any, name: str) -> None:
    """Nothing hangs over an edge, and axe finds nothing, light and dark; in full with pictures, and at both widths."""
    api = pytest.importorskip("axe_playwright_python.base", reason="axe-playwright-python is not installed")
    page.evaluate(api.AXE_FILE_PATH.read_text())
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        for width in (1280, 360) if FULL else (360,):
            page.set_viewport_size({"width": width, "height": 800})
            assert page.evaluate("document.documentElement.scrollWidth") <= width, (name, width)
            if FULL:
                page.screenshot(path=str(OUT / f"portal-{name}-{width}-{scheme}.png"), full_page=True)
        # What is dark differs in its colours alone.
        rules = {} if FULL or scheme == "light" else {"runOnly": ["color-contrast"]}
        found = page.evaluate(VIOLATIONS, rules)
        assert found == [], (name, scheme)


VIOLATIONS = """async rules => (await axe.run(document, {...rules, resultTypes: ["violations"]})).violations.map(
    each => [each.id, each.nodes.slice(0, 3).map(node => node.target)])"""


def test_every_page_is_readable_on_a_phone_and_in_the_dark(visit, login_place):
    page = visit(viewport={"width": 360, "height": 800})
    seen = []
    for name in walk(page, login_place):
        looked_at(page, name)
        seen.append(name)
    assert len(seen) == len(set(seen)) > 25


def begin_unknown(page: Any, place: Any, service: str, ars: str) -> None:
    begin(page, place, service, ars)
    page.get_by_role("link", name="Ohne Anmeldung weiter").click()


def fill(page: Any, place: Any, schema: str, answers: Any) -> None:
    """Fill in all steps of a form, as somebody with a mouse does."""
    asked = place.asked(schema)
    for step in asked.open_steps(answers):
        page.wait_for_url(re.compile(f"/antrag/schritt/{step.id}"))
        pairs, files = texts_of(asked, step, answers)
        _grow(page, pairs, files)
        for name, value in pairs:
            _set(page, name, value)
        for name, (called, content, kind) in files:
            page.locator(f'[name="{name}"]').set_input_files({"name": called, "mimeType": kind, "buffer": content})
        page.get_by_role("button", name="Weiter", exact=True).last.click()
    page.wait_for_url(re.compile("/antrag/anlagen"))


def _grow(page: Any, pairs: Any, files: Any) -> None:
    """Press what makes lists as long as the answers are, until every question is there."""
    for _ in range(8):
        names = [name for name, *_ in (*pairs, *files)]
        missing = next((name for name in names if page.locator(f'[name="{name}"]').count() == 0), None)
        if missing is None:
            return
        buttons = page.locator('button[name="add"]')
        places = [buttons.nth(number).get_attribute("value") for number in range(buttons.count())]
        wanted = [place for place in places if missing.startswith(f"{place}/") and not _has_item(page, place, missing)]
        if not wanted:
            _choose_before(page, pairs)
            page.get_by_role("button", name="Weiter", exact=True).last.click()
            continue
        page.locator(f'button[name="add"][value="{wanted[-1]}"]').click()


def _has_item(page: Any, place: str, name: str) -> bool:
    number = name.removeprefix(f"{place}/").partition("/")[0]
    return bool(page.locator(f'[name^="{place}/{number}/"], [name="{place}/{number}"]').count())


def _choose_before(page: Any, pairs: Any) -> None:
    """Answer what is there: some questions come up by the answers to others."""
    for name, value in pairs:
        if page.locator(f'[name="{name}"]').count():
            _set(page, name, value)


def _set(page: Any, name: str, value: str) -> None:
    found = page.locator(f'[name="{name}"]')
    kind = found.first.evaluate("e => e.type || e.tagName")
    if kind == "radio":
        page.locator(f'[name="{name}"][value="{value}"]').check()
    elif kind == "checkbox":
        found.set_checked(value == "true")
    elif kind == "select-one":
        found.select_option(value)
    else:
        found.fill(value)


def send(page: Any) -> str:
    """Go on from the files to the receipt; return the reference."""
    page.get_by_role("button", name="Weiter", exact=True).click()
    page.get_by_label(re.compile("Ich habe alles geprüft")).check()
    page.get_by_role("button", name="Antrag senden").click()
    page.get_by_role("heading", name="Ihr Antrag ist angekommen").wait_for()
    return page.locator("#reference").inner_text()


def tab_to(page: Any, found: Any) -> None:
    """Press Tab until something has the focus."""
    for _ in range(60):
        if found.evaluate("e => e === document.activeElement"):
            return
        page.keyboard.press("Tab")
    raise AssertionError("the keyboard does not lead there")


def test_a_dog_is_registered_with_the_keyboard_alone(visit, login_place):
    page = visit(f"/leistung/{DOG_TAX}?ars={WIESBADEN}")
    tab_to(page, page.locator("form[action='/antrag'] button").first)
    page.keyboard.press("Enter")
    page.wait_for_url(re.compile("/antrag/anmelden"))
    tab_to(page, page.get_by_role("link", name="Ohne Anmeldung weiter"))
    page.keyboard.press("Enter")
    page.wait_for_url(re.compile("/antrag/schritt/keeper"))
    asked = login_place.asked(DOG)
    choices = {"/hunde/*/gefaehrlich": False, "/?ermaessigung": False, "/?lastschrift": "ueberweisung"}
    answers = completed(asked.form, Random(4), optional=0, forced=choices)
    for step in asked.open_steps(answers):
        page.wait_for_url(re.compile(f"/antrag/schritt/{step.id}"))
        for name, value in texts_of(asked, step, answers)[0]:
            _type(page, name, value)
        page.keyboard.press("Enter")
    page.wait_for_url(re.compile("/antrag/anlagen"))
    tab_to(page, page.get_by_role("button", name="Weiter", exact=True))
    page.keyboard.press("Enter")
    tab_to(page, page.locator("#erklaerung"))
    page.keyboard.press("Space")
    tab_to(page, page.get_by_role("button", name="Antrag senden"))
    page.keyboard.press("Enter")
    page.get_by_role("heading", name="Ihr Antrag ist angekommen").wait_for()
    assert answers["hunde"][0]["name"].encode() in login_place.arrived(page.locator("#reference").inner_text())[1]


def _type(page: Any, name: str, value: str) -> None:
    """Answer one question by keys."""
    found = page.locator(f'[name="{name}"]')
    kind = found.first.evaluate("e => e.type || e.tagName")
    if kind == "radio":
        # The group has one stop; arrows choose.
        tab_to(page, found.first)
        page.keyboard.press("Space")
        for _ in range(found.count()):
            if page.locator(f'[name="{name}"][value="{value}"]').is_checked():
                return
            page.keyboard.press("ArrowDown")
        raise AssertionError(name)
    tab_to(page, found)
    if kind == "checkbox":
        page.keyboard.press("Space")
    elif kind == "select-one":
        found.select_option(value)
    else:
        page.keyboard.insert_text(value)


def test_a_building_application_goes_out_as_xml_with_its_plan(visit, login_place):
    page = visit()
    begin_unknown(page, login_place, BUILDING, TAUNUSSTEIN)
    asked = login_place.asked(HOUSE)
    answers = completed(asked.form, Random(5), optional=0.2)
    answers["anlage"] = [{"@art": "lageplan", "bezeichnung": "Lageplan", "dateiname": "lageplan.pdf"}]
    answers = completed(asked.form, Random(5), answers, optional=0)
    fill(page, login_place, HOUSE, answers)
    page.get_by_role("button", name="Weiter", exact=True).click()
    page.get_by_role("link", name="Zurück").click()
    _, data, files = login_place.arrived(send(page))
    assert b"bauantrag.antrag.0100" in data
    assert files == {"lageplan.pdf": PDF}


def test_a_residence_is_registered_by_who_is_logged_in_with_the_landlords_confirmation(visit, login_place):
    """The provider is another site, and asks: the form's strict cookie is not sent on the way back, and is there after it."""
    login_place.provider.asks = True
    page = visit()
    begin(page, login_place, RESIDENCE, HANAU)
    page.get_by_role("link", name="Mit BundID anmelden").click()
    page.get_by_role("button", name="Ich bin es").click()
    page.wait_for_url("**/antrag/schritt/*")
    login_place.provider.asks = False
    cookies = {each["name"]: each for each in page.context.cookies() if each["domain"] == "127.0.0.1"}
    assert {name: each["sameSite"] for name, each in cookies.items()} == {"antrag-development": "Strict"}
    page.get_by_role("button", name="Weiter", exact=True).last.click()
    page.get_by_role("alert").first.wait_for()
    assert page.title().startswith("Fehler: ")
    first = page.locator("#errors a").first
    target = first.get_attribute("href").removeprefix("#")
    first.click()
    assert page.evaluate("document.activeElement.id") == target
    described = page.locator(f'[id="{target}"]').evaluate(
        "e => (e.getAttribute('aria-describedby') || e.closest('fieldset').getAttribute('aria-describedby'))"
    )
    assert f"e{target[1:]}" in described.split()
    answers = completed(login_place.asked(HOME).form, Random(7), optional=0)
    answers["wohnungsgeber"]["bestaetigungDatei"] = "bestätigung.pdf"
    answers["personen"][0]["vornamen"] = "Zoë"
    fill(page, login_place, HOME, answers)
    page.get_by_label(re.compile("Noch eine Datei")).set_input_files(
        {"name": "foto.png", "mimeType": "image/png", "buffer": _PIXEL}
    )
    page.get_by_role("button", name="Hochladen").click()
    page.get_by_role("img", name="Vorschau: foto.png").wait_for()
    assert page.evaluate("document.querySelector('img.preview').naturalWidth") == 1
    metadata, data, files = login_place.arrived(send(page))
    assert metadata["author"]["authentication"]["level"] == "substantial"
    assert "Zoë".encode() in data
    assert files == {"bestätigung.pdf": PDF, "foto.png": _PIXEL}


def test_an_application_without_a_form_needs_no_script_and_runs_none(visit, login_place):
    page = visit(java_script_enabled=False)
    begin_unknown(page, login_place, BALLOT, HANAU)
    asked = login_place.asked(FORMLESS)
    answers = completed(asked.form, Random(8), optional=0)
    answers["anliegen"] |= {"betreff": SCRIPT, "text": f"{SCRIPT}\n</textarea>{SCRIPT}"}
    for step in asked.open_steps(answers):
        page.wait_for_url(re.compile(f"/antrag/schritt/{step.id}"))
        for name, value in texts_of(asked, step, answers)[0]:
            found = page.locator(f'[name="{name}"]')
            found.check() if value == "true" else found.fill(value)
        page.get_by_role("button", name="Weiter", exact=True).last.click()
    page.wait_for_url(re.compile("/antrag/anlagen"))
    reference = send(page)
    assert SCRIPT.encode() in login_place.arrived(reference)[1].replace(b"\\u003c", b"<")
    with page.expect_download() as saved:
        page.get_by_role("link", name="Ihr Antrag als Seite").click()
    assert "&lt;script&gt;" in Path(saved.value.path()).read_text()


def test_a_script_in_an_answer_is_shown_and_not_run(visit, login_place):
    page = visit()
    begin_unknown(page, login_place, BALLOT, HANAU)
    page.locator("[name='/antragsteller/vornamen']").fill(SCRIPT)
    page.get_by_role("button", name="Weiter", exact=True).last.click()
    page.locator("#errors").wait_for()
    page.goto(f"{login_place.base}/antrag/pruefen")
    page.get_by_text("document.title='x'").first.wait_for()
    assert page.title() != "x"
    assert page.locator("main script, main img").count() == 0


def test_a_schema_without_a_form_file_is_a_form_all_the_same(visit, login_place):
    page = visit()
    begin_unknown(page, login_place, DOG_TAX, FRANKFURT)
    asked = login_place.asked(BARE)
    answers = completed(asked.form, Random(11), optional=0, forced={"/hunde/*/gefaehrlich": False})
    fill(page, login_place, BARE, answers)
    assert answers["hunde"][0]["name"].encode() in login_place.arrived(send(page))[1]


#: One pixel, as PNG.
_PIXEL = bytes.fromhex(
    "89504e470d0a1a0a0000000d49484452000000010000000108060000001f15c4890000000d49444154789c6360606060000000050001a5f64540"
    "0000000049454e44ae426082"
)


NAME, FIELD = "Łucja Šćepanović", "[name='/halter/vornamen']"


def test_what_was_saved_on_a_phone_goes_on_at_another_device(visit, login_place):
    phone = visit(java_script_enabled=False, viewport={"width": 360, "height": 740})
    begin_unknown(phone, login_place, DOG_TAX, WIESBADEN)
    phone.locator(FIELD).fill(NAME)
    phone.locator("button[name=speichern]").click()
    phone.get_by_role("button", name="Jetzt sichern").click()
    reference, code = phone.locator("#reference").inner_text(), phone.locator("#code").inner_text()
    address = phone.locator("#address").get_attribute("href")
    assert code.replace("-", "") not in address
    phone.get_by_role("button", name="Hier beenden").click()
    assert phone.context.cookies() == []
    other = visit(address.removeprefix(login_place.base))
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
    assert other.locator("#code").inner_text() == code


def test_people_find_what_they_need_by_keyboard_and_without_scripts(visit):
    page = visit(java_script_enabled=False, viewport={"width": 360, "height": 800})
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
