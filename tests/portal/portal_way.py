"""A portal before a hub, both behind real servers, and people who fill in forms as a browser without scripts does.

A pytest plugin, loaded by ``conftest.py``. ``way`` is made once for a module; the hub's clock is the portal's.
"""

from __future__ import annotations

import json
import re
import shutil
import socket
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from functools import cache
from html import unescape
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
import requests
import uvicorn
from end_to_end.processes import free_port
from stage import Stage, serving, staged

from hub.crypto import make_rsa_pair
from hub.forms.outline import FieldKind, is_given
from hub.forms.page import page_of

DOG_TAX = "99102013000000"
BUILDING = "99012008001000"
RESIDENCE = "99115005104000"
WIESBADEN, TAUNUSSTEIN, HANAU = "064140000000", "064390015015", "064150000000"
PDF = (
    b"%PDF-1.4\n1 0 obj<</Type/Catalog/Pages 2 0 R>>endobj\n2 0 obj<</Type/Pages/Kids[3 0 R]/Count 1>>endobj\n"
    b"3 0 obj<</Type/Page/Parent 2 0 R/MediaBox[0 0 595 842]>>endobj\nxref\n0 4\n0000000000 65535 f \n"
    b"0000000009 00000 n \n0000000052 00000 n \n0000000101 00000 n \ntrailer<</Size 4/Root 1 0 R>>\nstartxref\n163\n%%EOF\n"
)
_CSRF = re.compile(r'name="csrf" value="([^"]+)"')
_STAND = re.compile(r'name="stand" value="(\d+)"')


@dataclass
class Someone:
    """One person's browser, without scripts: it knows the page that it is on, and sends its form."""

    base: str
    http: requests.Session = field(default_factory=requests.Session)
    page: Any = None

    def get(self, path: str, **more: Any) -> requests.Response:
        self.page = self.http.get(f"{self.base}{path}", timeout=30, **more)
        return self.page

    def begin(self, service: str, ars: str) -> requests.Response:
        self.get(f"/leistung/{service}", params={"ars": ars})
        return self.post("/antrag", [("service", service), ("ars", ars), ("ersetzen", "ja")])

    @property
    def csrf(self) -> str:
        found = _CSRF.search(self.page.text)
        return found[1] if found else ""

    @property
    def path(self) -> str:
        return self.page.url.removeprefix(self.base).partition("?")[0]

    @property
    def errors(self) -> dict[str, str]:
        """What the summary of errors says, by the place it leads to."""
        found = re.search(r'id="errors".*?</div>', self.page.text, re.DOTALL)
        links = re.findall(r'<a href="([^"]*)">(.*?)</a>', found[0] if found else "", re.DOTALL)
        return {unescape(link).rpartition("#")[2].removeprefix("f"): unescape(words) for link, words in links}

    def post(self, path: str, pairs: Sequence[tuple[str, str]], *, files: Any = None, csrf: str | None = None) -> Any:
        sent = [("csrf", self.csrf if csrf is None else csrf), *pairs]
        if files is not None:
            # One list: the token comes first, as it does in our pages.
            parts = [(name, (None, value)) for name, value in sent]
            self.page = self.http.post(f"{self.base}{path}", files=[*parts, *files], timeout=60)
        else:
            self.page = self.http.post(f"{self.base}{path}", data=sent, timeout=60)
        return self.page

    def answer(self, *pairs: tuple[str, str], files: Any = None) -> requests.Response:
        """Send the form of the page that is open, to its own address."""
        return self.post(self.page.url.removeprefix(self.base), pairs, files=files)

    def declare(self) -> requests.Response:
        stand = _STAND.search(self.page.text)
        assert self.csrf, f"{self.path} ({self.page.status_code}) has no form to send: is the hub away?"
        return self.post("/antrag/senden", [("stand", stand[1] if stand else ""), ("erklaerung", "ja")])


def texts_of(asked: Any, step: Any, answers: Any) -> tuple[list[tuple[str, str]], list[Any]]:
    """Return what a browser sends for a step to give some answers: texts, and files with the names that stand there."""
    pairs: list[tuple[str, str]] = []
    files: list[Any] = []

    def walk(items: Any) -> None:
        for item in items:
            if not item.field.is_leaf:
                walk(item.items)
            elif item.field.widget == "file" and is_given(item.value):
                files.append((item.at, (str(item.value), PDF, "application/pdf")))
            elif is_given(item.value) and item.field.kind is not FieldKind.FIXED:
                value = str(item.value).lower() if isinstance(item.value, bool) else str(item.value)
                pairs.append((item.at, value))

    walk(page_of(step, answers).items)
    return pairs, files


class Wire:
    """The line between portal and hub, which can be cut: before anything goes out, or before the answer comes back."""

    def __init__(self, port: int) -> None:
        self.lets_out = self.lets_in = True
        self._hub = ("127.0.0.1", port)
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listening.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self, *, after_sending: bool = False) -> None:
        self.lets_out, self.lets_in = after_sending, False

    def mend(self) -> None:
        self.lets_out = self.lets_in = True

    def close(self) -> None:
        with suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()

    def _accept(self) -> None:
        while True:
            try:
                near = self._listening.accept()[0]
            except OSError:
                return
            try:
                far = socket.create_connection(self._hub)
            except OSError:
                near.close()
                continue
            for source, target, is_answer in ((near, far, False), (far, near, True)):
                threading.Thread(target=self._carry, args=(source, target, is_answer), daemon=True).start()

    def _carry(self, source: socket.socket, target: socket.socket, is_answer: bool) -> None:
        with source, suppress(OSError):
            while data := source.recv(65_536):
                if not (self.lets_in if is_answer else self.lets_out):
                    break
                target.sendall(data)
            for each in (source, target):
                with suppress(OSError):
                    each.shutdown(socket.SHUT_RDWR)


@dataclass
class PortalWay:
    """What the fixture ``way`` hands out."""

    stage: Stage
    served: Any
    wire: Wire
    portal: Any
    forms: Any
    base: str
    people: list[Someone] = field(default_factory=list)

    def someone(self) -> Someone:
        made = Someone(base=self.base)
        self.people.append(made)
        return made

    def asked(self, schema: str) -> Any:
        return self.forms.of(schema)

    def filled(self, someone: Someone, service: str, ars: str, answers: Any, *, named: str) -> Any:
        """Have somebody fill in a whole form; they stand before the summary afterwards."""
        someone.begin(service, ars)
        asked = self.forms.of(named)
        for step in asked.open_steps(answers):
            assert someone.path == f"/antrag/schritt/{step.id}", (someone.path, someone.errors)
            pairs, files = texts_of(asked, step, answers)
            someone.answer(*pairs, files=files or None)
            assert someone.page.status_code == 200, (step.id, someone.errors)
        assert someone.path == "/antrag/anlagen", someone.errors
        someone.answer(("weiter", "1"))
        return asked

    def arrived(self, submission_id: str) -> tuple[dict[str, Any], bytes, dict[str, bytes]]:
        """What the authority reads of a submission: metadata, data, attachments by name."""
        from hub.crypto import decrypt, read_decryption_key

        message = self.stage.hub.store.submissions.message(UUID(submission_id))
        known = next(
            each for each in self.stage.cast["destinations"] if each["destination_id"] == str(message.destination_id)
        )
        keys = [read_decryption_key(known["private_decryption_jwk"], written_by_us=True)]
        metadata = json.loads(decrypt(message.contents.metadata.jwe, keys, max_output=10**6))
        files = {
            each["filename"]: decrypt(
                b"".join(self.stage.hub.blobs.chunks(message.contents.attachments[UUID(each["attachmentId"])])),
                keys,
                max_output=10**8,
            )
            for each in metadata["contentStructure"]["attachments"]
        }
        return metadata, decrypt(message.contents.data.jwe, keys, max_output=10**7), files


@contextmanager
def portal_on(
    stage: Stage, base_url: str, folder: Path, *, tables: Any = None, **limits: Any
) -> Iterator[tuple[Any, Any, str]]:
    """A portal in this process, before the hub at an address; ``tables`` are further ones of its settings."""
    from hub.portal.application import build
    from hub.portal.asking import AskedForms
    from hub.portal.composition import opened
    from hub.portal.settings import PortalSettings

    folder.mkdir(mode=0o700, exist_ok=True)
    secret = folder / "client.secret"
    secret.touch(mode=0o600)
    secret.write_text(stage.cast["sender"]["client_secret"])
    port = free_port()
    settings = PortalSettings.parse(
        {
            "hub": {
                "base_url": base_url,
                "client_id": stage.cast["sender"]["client_id"],
                "client_secret_file": str(secret),
            },
            "serve": {"port": port, "public_url": f"http://127.0.0.1:{port}"},
            "limits": {"requests_per_minute": 10_000, **limits},
            **(tables or {}),
        },
        folder,
    )
    with opened(settings, clock=stage.clock) as made:
        portal = replace(made, keys=OneKey())
        server = uvicorn.Server(
            uvicorn.Config(build(portal), port=port, log_config=None, log_level="error", lifespan="on")
        )
        thread = threading.Thread(target=server.run)
        thread.start()
        try:
            while not server.started:
                assert thread.is_alive(), "the portal did not begin"
                time.sleep(0.01)
            yield portal, AskedForms(portal.doors.schema), f"http://127.0.0.1:{port}"
        finally:
            server.should_exit = True
            thread.join()


@cache
def reply_pair() -> Any:
    """The pair with which every application of these portals goes out."""
    from hub.portal.reply_keys import ReplyPair

    public, private = make_rsa_pair("encryption", kid_prefix="reply-")
    return ReplyPair(public=public, private=private)


class OneKey:
    """A pair for everybody, made once in a run: each takes a second here, and nobody's reply is opened."""

    def expect(self) -> None:
        pass

    def take(self, *, wait: float) -> Any:
        return reply_pair()


@pytest.fixture(scope="module")
def way(made_once: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[PortalWay]:
    folder = tmp_path_factory.mktemp("way")
    port = free_port()
    with staged(made_once, folder, base_url=f"http://127.0.0.1:{port}", port=port) as stage:
        offer_without_form(stage)
        with serving(stage, port=port) as served:
            wire = Wire(port)
            with portal_on(stage, wire.url, folder / "portal") as (portal, forms, base):
                found = PortalWay(stage=stage, served=served, wire=wire, portal=portal, forms=forms, base=base)
                yield found
                for each in found.people:
                    each.http.close()
            wire.close()
    shutil.rmtree(folder, ignore_errors=True)


#: A schema that nobody wrote a form for, taken in Frankfurt.
BARE = "https://schema.rathaus-hub.example/fim-hundesteuer/1.0/anmeldung.schema.json"


def offer_without_form(stage: Stage) -> None:
    """Have one town take its dog tax by a schema that has no form file."""
    town = stage.hub.store.parties.destination(stage.destination_id("Frankfurt"))
    services = tuple(
        replace(each, schemas=((BARE, "application/json"),)) if each.identifier.endswith(DOG_TAX) else each
        for each in town.services
    )
    stage.hub.store.parties.replace_destination(replace(town, services=services))
