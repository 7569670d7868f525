"""What the tests of the municipality's say share: who decides in a town, and a way back to the sender."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any
from uuid import UUID, uuid4

import orjson
import requests
from stage import NOW
from test_connector_town import Town, good_data, metadata

from hub.connector.clerk.accounts import add_account
from hub.connector.clerk.site import ClerkServer
from hub.connector.desk import Desk, WantedReply
from hub.connector.local_api import LocalApi
from hub.connector.replies import ReplyFile
from hub.connector.settings import ConnectorSettings

PASSWORD = "Rathausturm-ohne-Uhr"
TOKEN = "api-token-0123456789abcdef"
DEADLINE = date(2026, 12, 24)
CLERK = {"handover": {"mode": "clerk"}, "clerk": {"port": 0}}
_CSRF = re.compile(r'name="csrf" value="([^"]*)"')
_ONCE = re.compile(r'name="once" value="([^"]*)"')


def system(folder: Any, url: str = "") -> dict[str, Any]:
    """Settings under which the local system decides: over HTTP at ``url``, else by the folder and its outbox."""
    (folder / "token").touch(mode=0o600)
    (folder / "token").write_text(TOKEN)
    way = {"kind": "http", "url": url} if url else {"kind": "folder", "path": "in", "outbox": "out"}
    return {"handover": {"mode": "system", **way}, "api": {"port": 0, "token_file": "token"}}


def apply(town: Town, public: dict[str, Any] | None, *, data: bytes | None = None, **more: Any) -> UUID:
    """Submit an application that names ``public`` as the key for replies; ``more`` as of ``FakeHub.submit``."""
    data = good_data() if data is None else data
    attachments = more.pop("attachments", {})
    described = orjson.loads(metadata(data, attachments, **more.pop("described", {})))
    for item, name in zip(described["contentStructure"]["attachments"], more.pop("names", ()), strict=False):
        item["filename"], item["mimeType"] = name
    if public is not None:
        described["replyChannel"] = {
            "fitConnect": {"processStandards": ["urn:x:y"], "encryptionPublicKey": public},
        }
    return town.hub.submit(now=NOW, metadata=orjson.dumps(described), data=data, attachments=attachments, **more)


def wish(submission_id: UUID, **changes: Any) -> WantedReply:
    """A question with a deadline, unless ``changes`` say otherwise."""
    said = {"request_id": uuid4(), "kind": "question", "text": "Wo ist der Plan?", "deadline": DEADLINE, **changes}
    return WantedReply(submission_id=submission_id, **said)


def pdf(name: str = "Bescheid.pdf", content: bytes = b"%PDF-1.7 Bescheid") -> ReplyFile:
    return ReplyFile(name=name, media_type="application/pdf", content=content)


@dataclass
class Browser:
    """A clerk's browser that knows no scripts."""

    base: str
    http: requests.Session = field(default_factory=requests.Session)

    def get(self, path: str, **more: Any) -> requests.Response:
        return self.http.get(self.base + path, timeout=30, **more)

    def post(self, path: str, *, at: str = "/", csrf: str | None = None, files: Any = None, **fields: Any) -> Any:
        """Send a form from the page ``at``, with its token unless another is named."""
        page = self.get(at).text
        if csrf is None:
            found = _CSRF.search(page)
            csrf = found[1] if found else ""
        headers = {"Origin": self.base, "Sec-Fetch-Site": "same-origin", **fields.pop("headers", {})}
        more = {"allow_redirects": fields.pop("allow_redirects", True), "timeout": 30}
        once = _ONCE.search(page)
        sent = {"csrf": csrf, **({"once": once[1]} if once else {}), **fields}
        return self.http.post(self.base + path, data=sent, files=files, headers=headers, **more)

    def log_in(self, name: str, password: str = PASSWORD) -> Any:
        return self.http.post(self.base + "/login", data={"name": name, "password": password}, timeout=30)


@dataclass
class Office:
    """A page for clerks that serves, with two clerks."""

    server: ClerkServer

    def browser(self, name: str | None = None) -> Browser:
        browser = Browser(f"http://127.0.0.1:{self.server.port}")
        if name is not None:
            assert browser.log_in(name).status_code == 200
        return browser


def office(town: Town, desk: Desk) -> Office:
    """Open the page of a town whose connector runs in clerk mode."""
    settings = ConnectorSettings.parse({**town.document, **CLERK}, town.folder)
    for name in ("anna", "bert"):
        if not settings.clerk.accounts_file.exists() or name == "bert":
            add_account(settings.clerk.accounts_file, name, PASSWORD, full_name=name.title(), now=NOW, replace=True)
    return Office(ClerkServer(settings.clerk, desk))


@dataclass
class Local:
    """The loopback interface, and what a specialist system says there."""

    api: LocalApi

    @property
    def base(self) -> str:
        return f"http://127.0.0.1:{self.api.port}"

    def get(self, path: str, **headers: str) -> requests.Response:
        return requests.get(self.base + path, headers=self._headers(headers), timeout=10)

    def post(self, path: str, document: Any = None, *, key: UUID | None = None, **headers: str) -> requests.Response:
        more = {} if key is None else {"Idempotency-Key": str(key)}
        return requests.post(self.base + path, json=document or {}, headers=self._headers(more | headers), timeout=10)

    def _headers(self, headers: dict[str, str]) -> dict[str, str]:
        return {"Authorization": f"Bearer {TOKEN}", **headers}


def local(town: Town, desk: Desk) -> Local:
    """Open the loopback interface of a town whose connector runs in system mode."""
    settings = ConnectorSettings.parse({**town.document, **system(town.folder, "http://127.0.0.1:9/")}, town.folder)
    return Local(LocalApi(settings.local, desk))


AN_HOUR = timedelta(hours=1)
