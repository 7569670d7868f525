"""A walk through all pages of the portal, for whoever looks at each: one person from the first page to the last message."""

from __future__ import annotations

import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from random import Random
from typing import Any
from uuid import UUID

import orjson
from people import write_reply
from portal_login import DOG, LoginPlace
from portal_way import DOG_TAX, HANAU, PDF, RESIDENCE, WIESBADEN, reply_pair
from sealed_door import Door

from hub.forms.samples import completed
from hub.portal.session import FormSession, Running
from hub.portal.storage import FormKey

FORMLESS = "https://schema.rathaus-hub.example/fim-formloser-antrag/1.2/antrag.schema.json"
#: A service for which there is the form for everything.
BALLOT = "99128009012000"
CANARY = "Łucja Šćepanović"


def walk(page: Any, place: LoginPlace) -> Iterator[str]:
    """Yield a name for each page as it is there to be looked at."""
    yield from _finding(page, place)
    yield from _logging_in(page, place)
    yield from _sending(page, place)
    yield from _following(page, place)
    yield from _releasing(page, place)


def _finding(page: Any, place: LoginPlace) -> Iterator[str]:
    for name, path in {
        "start": "/",
        "places": "/orte?q=Neu&was=hund",
        "services": f"/leistungen?q=hund&ars={WIESBADEN}",
        "service-without-place": f"/leistung/{DOG_TAX}?lang=easy",
        "service-with-log-in": f"/leistung/{RESIDENCE}?ars={HANAU}",
        "imprint": "/impressum?lang=en",
        "nothing": "/nichts",
        "notice": f"/benachrichtigung/{'x' * 43}",
    }.items():
        page.goto(f"{place.base}{path}")
        yield name


def _logging_in(page: Any, place: LoginPlace) -> Iterator[str]:
    begin(page, place, DOG_TAX, WIESBADEN)
    yield "log-in"
    page.get_by_role("link", name="Mit BundID anmelden").click()
    page.wait_for_url("**/antrag/schritt/keeper")
    yield "step-logged-in"
    page.locator("[name='/halter/anschrift/ort']").fill("")
    page.get_by_role("button", name="Weiter", exact=True).last.click()
    page.locator("#errors").wait_for()
    yield "wrong"
    page.get_by_role("button", name="Abmelden").click()
    page.get_by_role("heading", name="Sie sind abgemeldet").wait_for()
    yield "logged-out"
    page.goto(f"{place.base}/antrag/anmelden/zurueck?code=x&state=x")
    yield "log-in-failed"


def _sending(page: Any, place: LoginPlace) -> Iterator[str]:
    answers = answered(page, place, DOG, {"/hunde/*/gefaehrlich": False})
    page.goto(f"{place.base}/antrag/schritt/dogs")
    yield "step-list"
    page.goto(f"{place.base}/antrag/anlagen")
    page.locator("#datei").set_input_files({"name": "plan.pdf", "mimeType": "application/pdf", "buffer": PDF})
    page.get_by_role("button", name="Hochladen").click()
    page.get_by_text("plan.pdf").first.wait_for()
    yield "files"
    page.goto(f"{place.base}/antrag/speichern")
    yield "save"
    page.get_by_role("button", name="Jetzt sichern").click()
    page.locator("#code").wait_for()
    yield "saved"
    code = page.locator("#code").inner_text()
    page.goto(page.locator("#address").get_attribute("href"))
    yield "resume"
    page.get_by_label("Code").fill(code)
    page.get_by_role("button", name="löschen").click()
    yield "delete-saved"
    page.goto(f"{place.base}/antrag/pruefen")
    page.get_by_text(answers["hunde"][0]["name"]).first.wait_for()
    yield "review"
    page.get_by_label(re.compile("Ich habe alles geprüft")).check()
    place.wire.cut()
    page.get_by_role("button", name="Antrag senden").click()
    page.get_by_role("button", name="Noch einmal senden").wait_for()
    place.wire.mend()
    yield "waiting"
    page.get_by_role("button", name="Noch einmal senden").click()
    page.get_by_role("heading", name="Ihr Antrag ist angekommen").wait_for()
    yield "receipt"


def _following(page: Any, place: LoginPlace) -> Iterator[str]:
    submission, code = page.locator("#reference").inner_text(), page.locator("#follow-code").inner_text()
    page.goto(f"{place.base}/stand/{page.locator('#follow-reference').inner_text()}")
    yield "status-ask"
    case_id = str(place.stage.hub.store.submissions.message(UUID(submission)).case_id)
    data = orjson.dumps({"kind": "question", "text": f"Guten Tag {CANARY},\n\nwo ist der Plan?", "frist": "2026-12-24"})
    with ThreadPoolExecutor(1) as elsewhere:  # The browser has an event loop in this thread.
        file = "Nachforderung.pdf", b"%PDF-1.7"
        elsewhere.submit(
            lambda: write_reply(Door(place.stage), case_id, dict(reply_pair().public), data, file)
        ).result()
    page.get_by_label("Code").fill(code)
    page.keyboard.press("Enter")
    page.get_by_role("heading", name="Die Behörde hat Ihnen geschrieben").wait_for()
    yield "status"
    page.get_by_role("button", name="Nachricht öffnen").click()
    page.get_by_text(CANARY).wait_for()
    yield "message"
    page.get_by_role("button", name="Zurück").click()
    page.get_by_role("button", name="Antrag zurücknehmen").click()
    yield "withdraw"
    page.get_by_role("button", name="Nein").click()
    page.get_by_role("button", name="Alles hier löschen").click()
    yield "delete-status"


def _releasing(page: Any, place: LoginPlace) -> Iterator[str]:
    begin(page, place, BALLOT, HANAU)
    answered(page, place, FORMLESS, {})
    page.goto(f"{place.base}/freigabe/personen")
    page.locator("[name=role]").first.fill("Bauherrin")
    yield "release-people"
    page.locator("main form button[type=submit]").last.click()
    page.goto(f"{place.base}/antrag/pruefen")
    page.get_by_label(re.compile("Ich habe alles geprüft")).check()
    page.get_by_role("button", name="Antrag senden").click()
    page.wait_for_url("**/freigabe/links*")
    yield "release-links"
    address, code = (each.inner_text() for each in page.locator("section.card dd").all()[:2])
    page.goto(f"{place.base}/freigabe/{address.rpartition('/')[2]}")
    yield "release-ask"
    page.get_by_label("Code").fill(code)
    page.keyboard.press("Enter")
    page.locator("[name=name]").wait_for()
    yield "release"
    page.locator("[name=name]").fill(CANARY)
    page.locator("button[value=release]").click()
    page.get_by_role("heading", name="Der Antrag ist gesendet").wait_for()
    yield "release-sent"


def begin(page: Any, place: LoginPlace, service: str, ars: str) -> None:
    """Begin an application; the page that asks whether to log in is there then."""
    page.goto(f"{place.base}/leistung/{service}?ars={ars}")
    page.locator("form[action='/antrag'] button").first.click()
    page.wait_for_url("**/antrag/anmelden*")


def answered(page: Any, place: LoginPlace, schema: str, forced: dict[str, Any]) -> dict[str, Any]:
    """Put a form's answers where typing would, which other tests do."""
    cookie = next(each["value"] for each in page.context.cookies() if each["name"].startswith("antrag"))
    key, now = FormKey.read(cookie), place.stage.clock()
    kept = place.portal.storage.read(key, now=now)
    form = Running.read(kept.content, revision=kept.revision)
    answers = completed(place.asked(schema).form, Random(3), optional=0, forced=forced)
    place.portal.sessions.write(FormSession(key=key, running=form), replace(form, answers=answers), now)
    return answers
