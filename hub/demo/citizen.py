"""A citizen of the demo: goes to the portal with a browser without scripts, fills in a form, and sends it.

Nothing but what a browser does: addresses, forms, one cookie, a file. What she answers is written here; what is asked, and in
which order, is the portal's.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from html import unescape
from typing import Any

import requests

from hub.errors import Text, Unavailable

_SECONDS = 60
_CSRF = re.compile(r'name="csrf" value="([^"]+)"')
_STAND = re.compile(r'name="stand" value="(\d+)"')
_REFERENCE = re.compile(r'id="reference">([0-9a-f-]{36})<')
_ERRORS = re.compile(r'id="errors".*?</div>', re.DOTALL)
_STEP = "/antrag/schritt/"
#: Pages that one form has at most here.
_PAGES = 20

#: A dog in Wiesbaden: what Erika Mustermann answers, by the place of each question.
DOG_TAX, WIESBADEN = "99102013000000", "064140000000"
DOG: Mapping[str, str] = {
    "/halter/vornamen": "Erika",
    "/halter/familienname": "Mustermann",
    "/halter/geburtsdatum": "12.08.1984",
    "/halter/anschrift/strasse": "Wilhelmstraße",
    "/halter/anschrift/hausnummer": "12a",
    "/halter/anschrift/postleitzahl": "65183",
    "/halter/anschrift/ort": "Wiesbaden",
    "/halter/kontakt/email": "erika.mustermann@example.org",
    "/hunde/0/name": "Bello",
    "/hunde/0/rasse": "Dackel",
    "/hunde/0/geschlecht": "m",
    "/hunde/0/haltungSeit": "01.10.2026",
    "/hunde/0/gefaehrlich": "false",
    "/?ermaessigung": "true",
    "/ermaessigung/grund": "tierheim",
    "/?lastschrift": "ueberweisung",
    "/erklaerungRichtig": "true",
}
DOG_FILE = "/ermaessigung/nachweisDatei"


@dataclass(frozen=True, kw_only=True, slots=True)
class SentByPortal:
    """What the receipt's page said, and how many pages of questions there were. ``token`` is the signed receipt."""

    submission_id: str
    pages: int
    token: str


def apply(portal: str, pdf: bytes) -> SentByPortal:
    """Register a dog at the portal of an address, with a PDF as proof; return what came of it.

    Raises:
        Unavailable: The portal did not take what it should have; the text says on which page, and what it said.
    """
    with requests.Session() as http:
        return _Browser(http, portal.rstrip("/")).apply(pdf)


class _Browser:
    def __init__(self, http: requests.Session, base: str) -> None:
        self._http = http
        self._base = base
        self._page = http.get(f"{base}/", timeout=_SECONDS)

    def apply(self, pdf: bytes) -> SentByPortal:
        self._get("/leistungen", ort="Wiesbaden", q="Hund anmelden")
        self._get(f"/leistung/{DOG_TAX}", ars=WIESBADEN)
        self._post("/antrag", {"service": DOG_TAX, "ars": WIESBADEN})
        pages = 0
        while self._path.startswith(_STEP) and pages < _PAGES:
            self._answer(pdf)
            pages += 1
        self._require(self._path == "/antrag/anlagen")
        self._post(self._path, {"weiter": "1"})
        self._require(self._path == "/antrag/pruefen" and _STAND.search(self._page.text) is not None)
        self._post("/antrag/senden", {"stand": self._found(_STAND), "erklaerung": "ja"})
        self._require(self._path == "/antrag/quittung")
        submission_id = self._found(_REFERENCE)
        token = self._http.get(f"{self._base}/antrag/quittung.jws", timeout=_SECONDS).text
        return SentByPortal(submission_id=submission_id, pages=pages, token=token)

    @property
    def _path(self) -> str:
        return self._page.url.removeprefix(self._base).partition("?")[0].partition("#")[0]

    def _answer(self, pdf: bytes) -> None:
        """Answer the questions of the page that is open; what comes up by the answers is answered by the next try."""
        before = self._path
        for _ in range(3):
            asked = {name: value for name, value in DOG.items() if f'name="{name}"' in self._page.text}
            file = (
                {DOG_FILE: ("tierheim.pdf", pdf, "application/pdf")}
                if f'name="{DOG_FILE}"' in self._page.text
                else None
            )
            self._post(self._path, {**asked, "weiter": "1"}, file)
            if self._path != before:
                return
        self._require(False)  # noqa: FBT003  # It is still the same page.

    def _get(self, path: str, **query: str) -> None:
        self._page = self._http.get(f"{self._base}{path}", params=query, timeout=_SECONDS)
        self._require(self._page.ok)

    def _post(self, path: str, fields: Mapping[str, str], files: Mapping[str, Any] | None = None) -> None:
        found = _CSRF.search(self._page.text)
        sent = {"csrf": found[1] if found else "", **fields}
        parts = None
        if files is not None:
            # The token first, as it stands in the page.
            parts = [*((name, (None, value)) for name, value in sent.items()), *files.items()]
        self._page = self._http.post(
            f"{self._base}{path}", data=sent if parts is None else None, files=parts, timeout=_SECONDS
        )

    def _found(self, pattern: re.Pattern[str]) -> str:
        found = pattern.search(self._page.text)
        return found[1] if found else ""

    def _require(self, happened: bool) -> None:  # noqa: FBT001  # what has to be so
        if happened:
            return
        said = _ERRORS.search(self._page.text) or re.search(r"<h1.*?</h1>", self._page.text, re.DOTALL)
        words = " ".join(unescape(re.sub(r"<[^>]*>", " ", said[0] if said else "")).split())
        raise Unavailable(
            Text(
                f"Das Portal geht auf {self._path} nicht weiter (HTTP {self._page.status_code}): {words}",
                f"The portal does not go on at {self._path} (HTTP {self._page.status_code}): {words}",
            )
        )
