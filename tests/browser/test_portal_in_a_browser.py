"""The citizens' way in a real browser: by keyboard alone, on a phone, in the dark, without scripts; and what axe says of it.

Skipped, with the reason, where Chromium or playwright is absent. Pictures lie in ``tests/out`` afterwards.
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
from portal_way import BARE, BUILDING, DOG_TAX, HANAU, PDF, RESIDENCE, TAUNUSSTEIN, WIESBADEN, texts_of

from hub.forms.samples import completed

OUT = Path(__file__).parents[1] / "out"
_SWITCHES = ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run"]
_SCHEMAS = "https://schema.rathaus-hub.example"
DOG = f"{_SCHEMAS}/fim-hundesteuer/1.1/anmeldung.schema.json"
HOUSE = f"{_SCHEMAS}/bauantrag/1.1#bauantrag"
HOME = f"{_SCHEMAS}/fim-wohnsitz/1.1/anmeldung.schema.json"
FORMLESS = f"{_SCHEMAS}/fim-formloser-antrag/1.1/antrag.schema.json"
#: A service for which there is the form for everything.
BALLOT = "99128009012000"
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
def visit(browser: Any, way: Any) -> Iterator[Any]:
    """Open a page of the portal; what the browser complains about fails the test."""
    contexts, complaints = [], []

    def open_(path: str = "/", **more: Any) -> Any:
        context = browser.new_context(viewport={"width": 1280, "height": 900}, locale="de-DE", **more)
        context.set_default_timeout(30_000)
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: complaints.append(message.text) if _is_complaint(message) else None)
        page.on("request", lambda request: complaints.append(request.url) if _is_foreign(request, way) else None)
        page.goto(f"{way.base}{path}")
        return page

    yield open_
    for context in contexts:
        context.close()
    assert complaints == []


def _is_complaint(message: Any) -> bool:
    """Chromium reports every 4xx answer as an error; those are asked for here. CSP breaches and broken scripts are not."""
    return message.type == "error" and "Failed to load resource" not in message.text


def _is_foreign(request: Any, way: Any) -> bool:
    return not request.url.startswith((way.base, "data:"))


def looked_at(page: Any, name: str) -> None:
    """Take pictures of a page, wide and narrow, light and dark; nothing hangs over a phone's edge, and axe finds nothing."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe-playwright-python is not installed")
    for scheme in ("dark", "light"):
        page.emulate_media(color_scheme=scheme)
        for width in (360, 1280):
            page.set_viewport_size({"width": width, "height": 900})
            page.screenshot(path=str(OUT / f"portal-{name}-{width}-{scheme}.png"), full_page=True)
            wide = page.evaluate("document.documentElement.scrollWidth")
            assert wide <= width, (name, width, wide)
        found = axe.Axe().run(page).response["violations"]
        grave = [
            (each["id"], [node["target"] for node in each["nodes"]][:3])
            for each in found
            if each["impact"] in {"serious", "critical"}
        ]
        assert grave == [], (name, scheme)


def begin(page: Any, way: Any, service: str, ars: str) -> None:
    page.goto(f"{way.base}/leistung/{service}?ars={ars}")
    page.get_by_role("button", name="Antrag ausfüllen").or_(page.locator("form[action='/antrag'] button")).first.click()


def fill(page: Any, way: Any, schema: str, answers: Any, *, pictures: str = "") -> None:
    """Fill in all steps of a form, as somebody with a mouse does."""
    asked = way.asked(schema)
    for step in asked.open_steps(answers):
        page.wait_for_url(re.compile(f"/antrag/schritt/{step.id}"))
        pairs, files = texts_of(asked, step, answers)
        _grow(page, pairs, files)
        for name, value in pairs:
            _set(page, name, value)
        for name, (called, content, kind) in files:
            page.locator(f'[name="{name}"]').set_input_files({"name": called, "mimeType": kind, "buffer": content})
        if pictures:
            looked_at(page, f"{pictures}-{step.id}")
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


def test_a_dog_is_registered_with_the_keyboard_alone(visit, way):
    page = visit(f"/leistung/{DOG_TAX}?ars={WIESBADEN}")
    tab_to(page, page.locator("form[action='/antrag'] button").first)
    page.keyboard.press("Enter")
    page.wait_for_url(re.compile("/antrag/schritt/keeper"))
    asked = way.asked(DOG)
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
    assert answers["hunde"][0]["name"].encode() in way.arrived(page.locator("#reference").inner_text())[1]


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


def test_a_building_application_goes_out_as_xml_with_its_plan(visit, way):
    page = visit()
    begin(page, way, BUILDING, TAUNUSSTEIN)
    asked = way.asked(HOUSE)
    answers = completed(asked.form, Random(5), optional=0.2)
    answers["anlage"] = [{"@art": "lageplan", "bezeichnung": "Lageplan", "dateiname": "lageplan.pdf"}]
    answers = completed(asked.form, Random(5), answers, optional=0)
    fill(page, way, HOUSE, answers, pictures="house")
    looked_at(page, "house-files")
    page.get_by_role("button", name="Weiter", exact=True).click()
    looked_at(page, "house-review")
    page.get_by_role("link", name="Zurück").click()
    _, data, files = way.arrived(send(page))
    looked_at(page, "house-receipt")
    assert b"bauantrag.antrag.0100" in data
    assert files == {"lageplan.pdf": PDF}


def test_a_residence_is_registered_with_the_landlords_confirmation(visit, way):
    page = visit()
    begin(page, way, RESIDENCE, HANAU)
    asked = way.asked(HOME)
    answers = completed(asked.form, Random(7), optional=0)
    answers["wohnungsgeber"]["bestaetigungDatei"] = "bestätigung.pdf"
    answers["personen"][0]["vornamen"] = "Zoë"
    fill(page, way, HOME, answers)
    page.get_by_label(re.compile("Noch eine Datei")).set_input_files(
        {"name": "foto.png", "mimeType": "image/png", "buffer": _PIXEL}
    )
    page.get_by_role("button", name="Hochladen").click()
    page.get_by_role("img", name="Vorschau: foto.png").wait_for()
    assert page.evaluate("document.querySelector('img.preview').naturalWidth") == 1
    _, data, files = way.arrived(send(page))
    assert "Zoë".encode() in data
    assert files == {"bestätigung.pdf": PDF, "foto.png": _PIXEL}


def test_wrong_answers_are_led_to_and_can_be_mended(visit, way):
    page = visit()
    begin(page, way, RESIDENCE, HANAU)
    page.get_by_role("button", name="Weiter", exact=True).last.click()
    page.get_by_role("alert").first.wait_for()
    assert page.title().startswith("Fehler: ")
    looked_at(page, "wrong")
    first = page.locator("#errors a").first
    target = first.get_attribute("href").removeprefix("#")
    first.click()
    assert page.evaluate("document.activeElement.id") == target
    described = page.locator(f'[id="{target}"]').evaluate(
        "e => (e.getAttribute('aria-describedby') || e.closest('fieldset').getAttribute('aria-describedby'))"
    )
    assert f"e{target[1:]}" in described.split()


def test_an_application_without_a_form_needs_no_script_and_runs_none(visit, way):
    page = visit(java_script_enabled=False)
    begin(page, way, BALLOT, HANAU)
    asked = way.asked(FORMLESS)
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
    assert SCRIPT.encode() in way.arrived(reference)[1].replace(b"\\u003c", b"<")
    with page.expect_download() as saved:
        page.get_by_role("link", name="Ihr Antrag als Seite").click()
    assert "&lt;script&gt;" in Path(saved.value.path()).read_text()


def test_a_script_in_an_answer_is_shown_and_not_run(visit, way):
    page = visit()
    begin(page, way, BALLOT, HANAU)
    answers = completed(way.asked(FORMLESS).form, Random(9), optional=0)
    answers["anliegen"] |= {"betreff": SCRIPT, "text": "</textarea><img src=x onerror=\"document.title='x'\">"}
    fill(page, way, FORMLESS, answers)
    page.get_by_role("button", name="Weiter", exact=True).click()
    page.get_by_text("document.title='x'").first.wait_for()
    assert page.title() != "x"
    assert page.locator("main script, main img").count() == 0


def test_a_schema_without_a_form_file_is_a_form_all_the_same(visit, way):
    page = visit()
    begin(page, way, DOG_TAX, FRANKFURT)
    asked = way.asked(BARE)
    answers = completed(asked.form, Random(11), optional=0, forced={"/hunde/*/gefaehrlich": False})
    fill(page, way, BARE, answers)
    looked_at(page, "bare-files")
    assert answers["hunde"][0]["name"].encode() in way.arrived(send(page))[1]


#: One pixel, as PNG.
_PIXEL = bytes.fromhex(
    "89504e470d0a1a0a0000000d49484452000000010000000108060000001f15c4890000000d49444154789c6360606060000000050001a5f64540"
    "0000000049454e44ae426082"
)
