# ruff: noqa: F401, F811  # Fixtures are imported and used by name.
"""A whole case in a real browser: a citizen at the portal, a clerk of each of two authorities at their connectors' pages.

The hub, the portal and both pages serve on sockets; the connectors walk when the test says so.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from ai_room import SYSTEM, publish
from every_portal_page import DOG, answered, begin
from portal_way import DOG_TAX, HANAU, PDF, WIESBADEN, reply_pair
from say import PASSWORD
from stage import SCHEMAS
from test_connector_handing_on import Towns
from test_portal_in_a_browser import browser

from hub.connector.clerk.accounts import add_account
from hub.crypto import read_decryption_key
from hub.supervision import Supervisor
from hub.validation.catalog import SchemaCatalog

DECISION = b"%PDF-1.7 Bescheid"
PURPOSE = "Vollständigkeit der Angaben"
#: A name that a citizen's file may have.
SCRIPT = "<img src=x onerror=document.title='x'>.pdf"


class Clerks:
    """The clerk's page of one town, in a window of its own."""

    def __init__(self, towns: Towns, name: str, stack: ExitStack, context: Any) -> None:
        self.connector = towns.start(name, clerk={"port": 0})
        settings = self.connector.settings.clerk
        self.name = name.lower()
        add_account(settings.accounts_file, self.name, PASSWORD, full_name=name, now=towns.stage.clock())
        (server,) = self.connector.say.services(Supervisor())
        stack.callback(server.close)
        self.base, self.page = f"http://127.0.0.1:{server.port}", context.new_page()

    def log_in(self) -> None:
        self.page.goto(self.base)
        self.page.get_by_label("Name").fill(self.name)
        self.page.get_by_label("Passwort").fill(PASSWORD)
        self.page.keyboard.press("Enter")
        self.page.get_by_role("heading", name="Vorgänge").wait_for()

    def open_case(self) -> None:
        self.page.goto(self.base)
        self.page.get_by_role("link", name="Hundesteuer").click()
        self.page.get_by_role("heading", name="Künstliche Intelligenz").wait_for()

    def write(self, kind: str, text: str, *, deadline: str = "", file: tuple[str, bytes] | None = None) -> None:
        card = self.page.locator("section[aria-labelledby=answer]")
        card.locator("[name=kind]").select_option(kind)
        card.locator("[name=text]").fill(text)
        card.locator("[name=deadline]").fill(deadline)
        if file is not None:
            files = {"name": file[0], "mimeType": "application/pdf", "buffer": file[1]}
            card.locator("[name=files]").set_input_files(files)
        card.get_by_role("button", name="Senden").click()
        self.page.get_by_text("Geschrieben und versiegelt").wait_for()

    def record_a_step_of_ai(self) -> None:
        card = self.page.locator("section[aria-labelledby=ai]")
        card.get_by_text("KI-Schritt aufzeichnen").click()
        for name, value in {"system": SYSTEM.id, "version": "2.1", "purpose": PURPOSE}.items():
            card.locator(f"[name={name}]").fill(value)
        card.locator("[name=output]").select_option("classification")
        card.locator("[name=decided]").select_option("person")
        card.get_by_role("button", name="Aufzeichnen").click()
        card.get_by_text("wird gesendet").wait_for()

    def hand_on(self, ars: str) -> None:
        card = self.page.locator("section[aria-labelledby=forward]")
        card.locator("[name=ars]").fill(ars)
        card.locator("[name=why]").select_option("other-area")
        card.get_by_role("button", name="Zuständigkeit prüfen").click()
        card.get_by_text("Zuständig: ").wait_for()
        card.get_by_role("button", name="Jetzt abgeben").click()
        self.page.locator("h2", has_text="Abgabe").first.wait_for()

    def accept_all(self) -> None:
        buttons = self.page.get_by_role("button", name="Annehmen")
        while buttons.count():
            buttons.first.click()
            self.page.get_by_text("Angenommen.").wait_for()


@pytest.fixture
def window(browser: Any) -> Iterator[Any]:
    """A window in which no script of a stranger runs; whatever the browser complains of fails the test."""
    context = browser.new_context(viewport={"width": 360, "height": 800}, locale="de-DE")
    context.set_default_timeout(30_000)
    complaints: list[str] = []
    context.on("console", lambda said: complaints.append(said.text) if said.type == "error" else None)
    yield context
    context.close()
    assert complaints == []


def test_a_case_from_the_form_to_the_decision_of_the_next_authority(window, login_place):
    pair, stage = reply_pair(), login_place.stage
    publish(stage, replace(SYSTEM, services=(f"urn:de:fim:leika:leistung:{DOG_TAX}",)))
    key = read_decryption_key(dict(pair.private))
    towns = Towns(stage, login_place.served, key, dict(pair.public), SchemaCatalog.load(SCHEMAS), {})
    with ExitStack() as stack:
        for name in ("Wiesbaden", "Hanau"):
            stack.callback(lambda name=name: towns.running.pop(name).close())
        wiesbaden, hanau = (Clerks(towns, name, stack, window) for name in ("Wiesbaden", "Hanau"))

        # Applied for at the portal; the receipt says by what it is followed.
        citizen = window.new_page()
        begin(citizen, login_place, DOG_TAX, WIESBADEN)
        answers = answered(citizen, login_place, DOG, {"/hunde/*/gefaehrlich": False})
        citizen.goto(f"{login_place.base}/antrag/pruefen")
        citizen.get_by_label(re.compile("Ich habe alles geprüft")).check()
        citizen.get_by_role("button", name="Antrag senden").click()
        citizen.get_by_role("heading", name="Ihr Antrag ist angekommen").wait_for()
        reference, code = (citizen.locator(f"#follow-{each}").inner_text() for each in ("reference", "code"))

        # Read, asked back until a day, and a step of AI said to be one.
        towns.run("Wiesbaden")
        wiesbaden.log_in()
        wiesbaden.open_case()
        wiesbaden.page.frame_locator("iframe.reading").first.get_by_text(answers["hunde"][0]["name"]).wait_for()
        wiesbaden.write("question", "Wo ist der Impfpass?", deadline="2026-12-24")
        wiesbaden.record_a_step_of_ai()
        towns.run("Wiesbaden")

        # The citizen sees both, and answers with a file whose name is an attack.
        citizen.goto(f"{login_place.base}/stand/{reference}")
        citizen.get_by_label("Code").fill(code)
        citizen.keyboard.press("Enter")
        citizen.get_by_role("heading", name="Die Behörde hat Ihnen geschrieben").wait_for()
        assert citizen.get_by_text("Künstliche Intelligenz hat mitgewirkt").count() == 1
        assert citizen.get_by_text(PURPOSE).count() == 1
        citizen.get_by_role("button", name="Nachricht öffnen").click()
        citizen.get_by_text("Wo ist der Impfpass?").wait_for()
        citizen.get_by_text("24.12.2026").wait_for()
        citizen.locator("#answer-text").fill("Hier ist er.")
        citizen.locator("#answer-files").set_input_files({"name": SCRIPT, "mimeType": "application/pdf", "buffer": PDF})
        citizen.get_by_role("button", name="Antwort abschicken").click()
        citizen.get_by_text("Ihre Antwort ist abgeschickt").wait_for()

        # It comes into the same case, as text; the case goes on to Hanau.
        towns.run("Wiesbaden")
        wiesbaden.open_case()
        assert wiesbaden.page.get_by_text("Hier ist er.").count() == 1
        assert (wiesbaden.page.title() != "x", wiesbaden.page.locator("img[src=x]").count()) == (True, 0)
        assert wiesbaden.page.locator("section[aria-labelledby=ai] ol").get_by_text("steht im Protokoll").count() == 1
        wiesbaden.hand_on(HANAU)
        towns.run("Wiesbaden")

        # Decided there, with a file.
        towns.run("Hanau")
        hanau.log_in()
        hanau.open_case()
        assert hanau.page.get_by_text("Abgegeben von: ").count() == 1
        assert hanau.page.locator("img[src=x]").count() == 0
        hanau.accept_all()
        hanau.write("decision", "Genehmigt.", file=("Bescheid.pdf", DECISION))
        towns.run("Hanau")

        # The citizen follows it there, and opens the decision.
        citizen.get_by_role("button", name="Stand neu abrufen").click()
        citizen.get_by_text("an die zuständige Stelle abgegeben").first.wait_for()
        unread = citizen.get_by_role("button", name="Nachricht öffnen")
        assert unread.count() == 2, "that it was handed on, and the decision"
        unread.last.click()
        citizen.get_by_text("Genehmigt.").wait_for()
        with citizen.expect_download() as saved:
            citizen.get_by_role("button", name=re.compile("Bescheid.pdf")).click()
        assert Path(saved.value.path()).read_bytes() == DECISION
    cases = {each.case_id for each in stage.hub.store.submissions.messages(complete=True).items}
    assert (len(cases), stage.hub.notary.verify(sorted(cases)).findings) == (2, ())
