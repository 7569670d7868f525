"""A portal with a provider of log-ins before a hub, all behind real servers, and people who log in.

A pytest plugin, loaded by ``conftest.py``. ``login_place`` is made once for a module; one service demands a log-in there.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import requests
from end_to_end.processes import free_port
from openid_provider import CLIENT_ID, SECRET, SmallProvider, running
from portal_way import DOG_TAX, RESIDENCE, WIESBADEN, PortalWay, Someone, Wire, offer_without_form, portal_on
from routing_book import APPROVER, EDITOR
from stage import serving, staged

from hub.portal.login import RETURN
from hub.portal.session import Running
from hub.portal.storage import FormKey
from hub.services import Assurance

DOG = "https://schema.rathaus-hub.example/fim-hundesteuer/1.2/anmeldung.schema.json"
#: A registration certificate (Meldebescheinigung): a service that demands a log-in here, and whose form asks for no file.
CERTIFICATE = "99115003012000"
CHOOSE, DEPART = "/antrag/anmelden", "/antrag/anmelden/los"
SUBSTANTIAL = "http://eidas.europa.eu/LoA/substantial"
CANARY = "Kanarowa"
ERIKA = {
    "sub": "p-1",
    "given_name": "Erika Łucja",
    "family_name": CANARY,
    "birthdate": "1964-08-12",
    "email": "erika@example.org",
    "acr": SUBSTANTIAL,
    "address": {"street_address": "Am Markt 12 a", "postal_code": "65183", "locality": "Wiesbaden"},
}


@dataclass
class LoginPlace(PortalWay):
    """A portal with a provider of log-ins."""

    provider: Any = None

    def at_form(self, service: str = DOG_TAX, ars: str = WIESBADEN) -> Someone:
        """Somebody who has begun a form and is asked whether to log in."""
        person = self.someone()
        person.begin(service, ars)
        assert person.path == CHOOSE
        return person

    def logged_in(self, **more: Any) -> Someone:
        """Somebody who has begun a form and logged in, and stands at its first question."""
        person = self.at_form(**more)
        assert "Sie sind angemeldet" in person.get(DEPART).text, person.page.text
        person.get(re.search(r'content="0;url=([^"]+)"', person.page.text)[1])
        return person

    def sent_away(self, person: Someone) -> str:
        """The provider's address to which somebody is sent."""
        answer = person.http.get(f"{self.base}{DEPART}", allow_redirects=False, timeout=10)
        assert answer.status_code == 303, answer.text
        return answer.headers["location"]

    def at_the_provider(self, address: str) -> str:
        """Log in there; return where the browser is sent back to."""
        return requests.get(address, timeout=10, allow_redirects=False).headers["location"]

    def form_of(self, person: Someone) -> Running | None:
        """What the storage has under somebody's cookie."""
        key = next((FormKey.read(each.value) for each in person.http.cookies if each.name.startswith("antrag")), None)
        kept = None if key is None else self.portal.storage.read(key, now=self.stage.clock())
        return None if kept is None else Running.read(kept.content, revision=kept.revision)


@pytest.fixture(scope="module")
def login_place(made_once: Path, tmp_path_factory: pytest.TempPathFactory, provider_key: Any) -> Iterator[LoginPlace]:
    folder = tmp_path_factory.mktemp("login")
    secret = folder / "provider.secret"
    secret.write_text(SECRET)
    port = free_port()
    with staged(made_once, folder, base_url=f"http://127.0.0.1:{port}", port=port) as stage:
        _demand(stage, Assurance.SUBSTANTIAL, RESIDENCE, CERTIFICATE)
        offer_without_form(stage)
        provider = SmallProvider(clock=stage.clock, keys=[provider_key], person=dict(ERIKA))
        with serving(stage, port=port) as served, running(provider):
            wire = Wire(port)
            tables = {
                "login": {
                    "issuer": provider.issuer,
                    "client_id": CLIENT_ID,
                    "client_secret_file": str(secret),
                    "name": "BundID",
                },
                "mail": {"host": "127.0.0.1", "port": free_port(), "security": "none", "sender": "portal@example.org"},
            }
            with portal_on(stage, wire.url, folder / "portal", tables=tables) as (portal, forms, base):
                provider.redirect_uri = f"{base}{RETURN}"
                made = LoginPlace(stage, served, wire, portal, forms, base, provider=provider)
                yield made
                for each in made.people:
                    each.http.close()
            wire.close()
    shutil.rmtree(folder, ignore_errors=True)


def _demand(stage: Any, level: Assurance, *services: str) -> None:
    """Publish that services are for people who are logged in alone."""
    book, now = stage.hub.service_book, stage.clock()
    changed = [replace(book.active(now).service(each), assurance=level) for each in services]
    draft = book.draft(EDITOR, title="Anmeldung", now=now)
    draft = book.add(draft.number, changed, EDITOR, revision=draft.revision, now=now)
    book.approve(draft.number, APPROVER, revision=draft.revision, now=now, text="geprüft")
    book.activate(draft.number, APPROVER, now=now)
