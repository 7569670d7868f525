"""Online services: send unlike applications, repeat with the same key until they are told, note every promise durably."""

from __future__ import annotations

import json
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Self
from uuid import uuid4

import requests

from benchmarks.crash.ledger import Ledger, Promise, digest
from benchmarks.payload import building_application
from hub.crypto.receipts import claims_of

_WHERE = {"service": "urn:de:fim:leika:leistung:99012008001000", "ars": "064390015015"}
#: Of a hundred promises, so many are asked for once more.
_ASK_AGAIN = 10
_TIMEOUT = 15.0


class Senders:
    """Some threads that send until ``stop``; ``urls`` is asked each time, for nodes come and go."""

    def __init__(
        self, urls: Callable[[], Sequence[str]], login: dict[str, str], ledger: Ledger, *, threads: int, rate: float
    ) -> None:
        self._urls = urls
        self._login = login
        self.ledger = ledger
        self._pause = threads / rate
        self._token: str | None = None
        self._stop = threading.Event()
        self._template = building_application()
        self._lock = threading.Lock()
        #: Every key that was ever sent, with the hash of its plaintext: also what was never acknowledged.
        self.sent: dict[str, str] = {}
        self.statuses: Counter[str] = Counter()
        #: Broken promises: another answer for the same key, or a 2xx without an id.
        self.broken: list[str] = []
        #: Attachment bytes that go with each application.
        self.ballast = 0
        self.retry_after_missing = 0
        self._threads = [threading.Thread(target=self._run, daemon=True) for _ in range(threads)]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Finish what is being sent, bounded, and stop."""
        self._stop.set()
        for thread in self._threads:
            thread.join(3 * _TIMEOUT)

    def _run(self) -> None:
        session = requests.Session()
        while not self._stop.is_set():
            started = time.monotonic()
            self.send(session, again=random.randrange(100) < _ASK_AGAIN)
            self._stop.wait(max(0.0, self._pause - (time.monotonic() - started)))

    def send(self, session: requests.Session, *, again: bool = False) -> None:
        """Send one application until it is answered, and enter what that promised; ``again``: a repeat promises the same."""
        key = uuid4().hex
        document = self._template.replace(b"<bau:familienname>Mustermann", f"<bau:familienname>M{key}".encode(), 1)
        with self._lock:
            self.sent[key] = digest(document)
        body = self._body(document)
        promise = self._until_answered(session, key, document, body)
        if promise is not None:
            self.ledger.add(promise)
            repeated = self._until_answered(session, key, document, body) if again else None
            if repeated is not None and repeated != promise:
                self.broken.append(f"key {key}: {promise.submission_id} became {repeated.submission_id}")

    def _until_answered(
        self, session: requests.Session, key: str, document: bytes, body: dict[str, Any]
    ) -> Promise | None:
        """Send, and send again with the same key while nobody says yes or no; None if all this ends before."""
        while True:
            answer = self._once(session, key, body)
            if answer is not None and answer.status_code == 202:
                return self._promise(key, document, answer.json())
            if self._stop.is_set():
                return None
            self._stop.wait(0.2)

    def _once(self, session: requests.Session, key: str, body: dict[str, Any]) -> requests.Response | None:
        urls = self._urls()
        if not urls:
            return None
        base = random.choice(urls)
        try:
            token = self._token or self._logged_in(session, base)
            headers = {"Authorization": f"Bearer {token}", "Idempotency-Key": key}
            if "files" not in body:
                headers["Content-Type"] = "application/xml"
            answer = session.post(
                f"{base}/hub/v1/applications", params=_WHERE, headers=headers, timeout=_TIMEOUT, **body
            )
        except (requests.RequestException, KeyError):
            self._count("no answer")
            return None
        self._count(str(answer.status_code))
        if answer.status_code == 401:
            self._token = None
        if answer.status_code == 503 and "Retry-After" not in answer.headers:
            self.retry_after_missing += 1
        return answer

    def _body(self, document: bytes) -> dict[str, Any]:
        if not self.ballast:
            return {"data": document}
        content = ("plan.pdf", b"%PDF-1.7 " + b"x" * self.ballast, "application/pdf")
        return {"files": {"data": ("antrag.xml", document, "application/xml"), "lageplan": content}}

    def _logged_in(self, session: requests.Session, base: str) -> str:
        login = {"grant_type": "client_credentials", **self._login}
        token: str = session.post(f"{base}/token", data=login, timeout=_TIMEOUT).json()["access_token"]
        self._token = token
        return token

    def _promise(self, key: str, document: bytes, body: dict[str, Any]) -> Promise:
        claims = claims_of(body["receipt"])
        return Promise(
            key=key,
            submission_id=body["submissionId"],
            plaintext=digest(document),
            sealed=claims["contents"]["data"]["sha512"],
        )

    def _count(self, what: str) -> None:
        with self._lock:
            self.statuses[what] += 1


def login_of(data: Path) -> dict[str, str]:
    """Return the demo sender's client id and secret."""
    found: dict[str, str] = json.loads((data / "demo.json").read_text(encoding="utf-8"))["sender"]
    return found
