"""The connector as a client of the hub: asks for a token, lists, collects, reads event logs and posts answers.

Speaks FIT-Connect's Submission API v2 and nothing else, so any FIT-Connect delivery service would do. Whatever may heal
by itself (network, 5xx, 429, a token or a right that is missing) is ``Unavailable``; it never turns into a rejection.
"""

from __future__ import annotations

import ssl
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote
from uuid import UUID

import orjson
import requests

from hub.connector.settings import LONGEST_SECRET, Hub, unusable
from hub.errors import Conflict, NotFound, Refused, Text, TooLarge, Unavailable
from hub.files import vault

_TIMEOUT = (10, 60)  # Seconds to connect, and between two pieces of an answer.
_LARGEST_ANSWER = 256 * 1024 * 1024  # Bytes: metadata and data as JWE of 100 MB plaintext, with room.
_PAGE = 100
_MOST_PAGES = 100
_CHUNK = 256 * 1024
#: The slug of what never reached the hub.
UNREACHABLE = "hub-unreachable"


class HubClient:
    """One subscriber client at the hub; usable from several threads.

    Raises:
        ConfigurationError: the secret's file or ``ca_file`` cannot be used.
    """

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._api = hub.base_url + hub.submission_api
        self._lock = threading.Lock()
        self._token: tuple[str, datetime] | None = None
        try:
            self._secret = vault.read_text(hub.client_secret_file, most=LONGEST_SECRET)
        except (OSError, UnicodeDecodeError) as exc:
            raise unusable("hub.client_secret_file", "ist nicht lesbar", "cannot be read") from exc
        _require_certificates(hub.ca_file)

    def waiting(self, destination_id: UUID, now: datetime) -> Iterator[Mapping[str, Any]]:
        """Yield what waits for collection: mappings with submissionId, caseId and destinationId."""
        for entry in self._pages("/v2/submissions", "submissions", now, destinationId=str(destination_id)):
            if isinstance(entry, dict):
                yield entry

    def submission(self, submission_id: UUID, now: datetime) -> Mapping[str, Any]:
        """Return one submission; ``NotFound`` if the hub no longer has it."""
        return self._json(f"/v2/submissions/{submission_id}", now)

    def attachment(self, submission_id: UUID, attachment_id: UUID, now: datetime) -> Iterator[bytes]:
        """Stream one sealed attachment."""
        path = f"/v2/submissions/{submission_id}/attachments/{attachment_id}"
        with self._call("GET", path, now) as answer, _translated():
            yield from answer.iter_content(_CHUNK)

    def event_log(self, case_id: UUID, now: datetime) -> list[str]:
        """Return the case's event log, the oldest token first."""
        log = self._pages(f"/v2/cases/{case_id}/events", "eventLog", now)
        return [entry for entry in log if isinstance(entry, str)]

    def service_keys(self, now: datetime) -> list[Mapping[str, Any]]:
        """Return the public keys with which the hub signs events."""
        keys = _list(self._json("/.well-known/jwks.json", now), "keys")
        return [key for key in keys if isinstance(key, dict)]

    def destination_key(self, destination_id: UUID, kid: str, now: datetime) -> Mapping[str, Any]:
        """Return a destination's public key."""
        return self._json(f"/v2/destinations/{destination_id}/keys/{quote(kid, safe='')}", now)

    def post_event(self, case_id: UUID, token: str, now: datetime) -> None:
        """Post a signed event; ``Conflict`` if the case's state does not allow it (any more)."""
        headers = {"Content-Type": "application/jose"}
        with self._call("POST", f"/v2/cases/{case_id}/events", now, body=token.encode("ascii"), headers=headers):
            return

    def _pages(self, path: str, name: str, now: datetime, **query: str) -> Iterator[Any]:
        """Yield the entries of a list, page by page; a service may make its pages shorter than asked."""
        offset = 0
        for _page in range(_MOST_PAGES):
            answer = self._json(path, now, {**query, "limit": str(_PAGE), "offset": str(offset)})
            entries = _list(answer, name)
            yield from entries
            offset += len(entries)
            total = answer.get("totalCount")
            last = offset >= total if isinstance(total, int) else len(entries) < _PAGE
            if last or not entries:
                return

    def _json(self, path: str, now: datetime, query: Mapping[str, str] | None = None) -> Mapping[str, Any]:
        with self._call("GET", path, now, query=query) as answer:
            document = _read_json(answer)
        if not isinstance(document, dict):
            raise _unreadable()
        return document

    @contextmanager
    def _call(
        self,
        method: str,
        path: str,
        now: datetime,
        *,
        query: Mapping[str, str] | None = None,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Iterator[requests.Response]:
        with self._session() as session:
            sent = {**(headers or {}), "Authorization": f"Bearer {self._bearer(session, now)}"}
            with _translated():
                answer = session.request(
                    method,
                    self._api + path,
                    params=query,
                    data=body,
                    headers=sent,
                    timeout=_TIMEOUT,
                    stream=True,
                    allow_redirects=False,
                )
            with answer:
                if answer.status_code == requests.codes.unauthorized:
                    self._token = None
                _require_success(answer)
                yield answer

    def _session(self) -> requests.Session:
        session = requests.Session()
        session.trust_env = False  # What the settings say is all there is: no proxy, no .netrc.
        session.headers["User-Agent"] = "rathaus-hub-connector"
        if self._hub.ca_file is not None:
            session.verify = str(self._hub.ca_file)
        return session

    def _bearer(self, session: requests.Session, now: datetime) -> str:
        with self._lock:
            if self._token is None or self._token[1] <= now:
                self._token = self._fetch_token(session, now)
            return self._token[0]

    def _fetch_token(self, session: requests.Session, now: datetime) -> tuple[str, datetime]:
        form = {
            "grant_type": "client_credentials",
            "client_id": self._hub.client_id,
            "client_secret": self._secret,
        }
        with (
            _translated(),
            session.post(
                self._hub.token_url, data=form, timeout=_TIMEOUT, stream=True, allow_redirects=False
            ) as answer,
        ):
            if answer.status_code != requests.codes.ok:
                raise _later(answer)
            document = _read_json(answer)
        token = document.get("access_token") if isinstance(document, dict) else None
        if not isinstance(token, str) or not token.isascii() or not token.isprintable():
            raise _unreadable()
        lifetime = document.get("expires_in")
        seconds = lifetime if isinstance(lifetime, int) and 0 < lifetime <= 86_400 else 300  # noqa: PLR2004  # A day.
        return token, now + timedelta(seconds=max(0, seconds - 30))


def _require_certificates(file: Path | None) -> None:
    """Try what every request will do with the file, which else would end in an error of the library's."""
    try:
        if file is not None:
            ssl.create_default_context(cafile=str(file))
    except OSError as exc:  # ``ssl.SSLError`` is one.
        raise unusable(
            "hub.ca_file", "ist keine PEM-Datei mit Zertifikaten", "is no PEM file with certificates"
        ) from exc


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except requests.exceptions.SSLError as exc:
        raise Unavailable(_tls_trouble(exc), slug=UNREACHABLE) from exc
    except requests.RequestException as exc:
        text = Text(
            "Der Hub ist nicht erreichbar. Prüfen Sie, ob er läuft, und hub.base_url und hub.token_url.",
            "The hub cannot be reached. Check that it runs, and hub.base_url and hub.token_url.",
        )
        raise Unavailable(text, slug=UNREACHABLE) from exc


def _tls_trouble(error: BaseException) -> Text:
    """Say what came between here and the hub in TLS; OpenSSL's words on a certificate quote nothing but the host."""
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, ssl.SSLCertVerificationError):
        cause = cause.__cause__ or cause.__context__
    if cause is None:
        return Text(
            "Mit dem Hub kommt keine TLS-Verbindung zustande. Prüfen Sie hub.base_url und hub.token_url, auch den Port.",
            "No TLS connection to the hub comes about. Check hub.base_url and hub.token_url, the port as well.",
        )
    why = cause.verify_message.rstrip(".")
    return Text(
        f"Dem TLS-Zertifikat des Hubs wird nicht vertraut ({why}). Nennen Sie in hub.ca_file die Datei mit dem Zertifikat "
        "seiner Zertifizierungsstelle (PEM), oder berichtigen Sie den Hostnamen in hub.base_url und hub.token_url.",
        f"The TLS certificate of the hub is not trusted ({why}). Name in hub.ca_file the file with its authority's "
        "certificate (PEM), or correct the host name in hub.base_url and hub.token_url.",
    )


def _require_success(answer: requests.Response) -> None:
    status = answer.status_code
    if 200 <= status < 300:  # noqa: PLR2004  # The success class of RFC 9110.
        return
    said = Text(f"Der Hub antwortet mit HTTP {status}.", f"The hub answers HTTP {status}.")
    if status == requests.codes.not_found:
        raise NotFound(said)
    if status == requests.codes.conflict:
        raise Conflict(said)
    if status in {400, 413, 415, 422}:
        raise Refused(said)
    raise _later(answer)


def _later(answer: requests.Response) -> Unavailable:
    wish = answer.headers.get("Retry-After", "")
    seconds = min(int(wish), 3600) if wish.isascii() and wish.isdigit() and len(wish) < 10 else 30  # noqa: PLR2004  # Digits.
    status = answer.status_code
    return Unavailable(
        Text(f"Der Hub antwortet mit HTTP {status}.", f"The hub answers HTTP {status}."),
        retry_after=timedelta(seconds=seconds),
    )


def _read_json(answer: requests.Response) -> Any:
    body = bytearray()
    with _translated():
        for chunk in answer.iter_content(_CHUNK):
            body += chunk
            if len(body) > _LARGEST_ANSWER:
                raise TooLarge(Text("Die Antwort des Hubs ist zu groß.", "The hub's answer is too large."))
    try:
        return orjson.loads(bytes(body))
    except orjson.JSONDecodeError as exc:
        raise _unreadable() from exc


def _list(document: Mapping[str, Any], name: str) -> list[Any]:
    value = document.get(name)
    if not isinstance(value, list):
        raise _unreadable()
    return value


def _unreadable() -> Unavailable:
    return Unavailable(
        Text(
            "Die Antwort des Hubs ist nicht lesbar. Prüfen Sie hub.base_url und hub.token_url.",
            "The hub's answer cannot be read. Check hub.base_url and hub.token_url.",
        )
    )
