"""Taking pushes: the envelope that the hub's https adapter posts, signed with a shared secret.

In this order, cheapest first: path, length, room in memory, the signature and its age, the envelope's form, the destination.
The answer is 202 only once ciphertext and journal entry are on disk, and 200 for what is known already.
"""

from __future__ import annotations

import hashlib
import logging
import ssl
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import Any
from uuid import UUID

import orjson

from hub.admission import Admission
from hub.connector.envelope import MOST_ATTACHMENTS, malformed, require_jwe, require_uuid
from hub.connector.server import Bounds, QuietHandler, QuietServer
from hub.connector.settings import LONGEST_SECRET, Listen, unusable
from hub.crypto.hmacs import verify_callback
from hub.errors import Forbidden, HubError, NotFound, Text, TooLarge, Unauthenticated, Unavailable
from hub.files import vault

_log = logging.getLogger(__name__)
PATH = "/deliveries"
_PLACES = 4  # Envelopes of the largest size that are in memory at the same time; of smaller ones so many more.
_STATUS: tuple[tuple[type[HubError], int], ...] = (
    (Unauthenticated, 401),
    (Forbidden, 403),
    (NotFound, 404),
    (TooLarge, 413),
    (Unavailable, 503),
    (HubError, 400),
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Push:
    """A verified push. ``whole`` is False if an attachment is only offered by URL and all has to be collected."""

    submission_id: UUID
    case_id: UUID
    destination_id: UUID
    document: Mapping[str, Any]
    attachments: Mapping[UUID, Callable[[], Iterator[bytes]]]
    whole: bool


#: Makes a push durable; tells whether it is news.
Taker = Callable[[Push], bool]


class Listener:
    """An HTTP server in threads of its own; listens from construction until ``close``."""

    def __init__(
        self, settings: Listen, take: Taker, now: Callable[[], datetime], *, bounds: Bounds | None = None
    ) -> None:
        try:
            secret = vault.read_text(settings.secret_file, most=LONGEST_SECRET)
            room = Admission(memory_budget=_PLACES * settings.largest, free_bytes=lambda: 0, disk_watermark=0)
            desk = _Desk(secret=secret, largest=settings.largest, take=take, now=now, room=room)
            tls = _tls(settings)
            self._server = QuietServer(settings.address, settings.port, _Handler, desk, bounds=bounds)
        except (OSError, UnicodeDecodeError) as exc:
            raise unusable("listen", "lässt sich nicht öffnen", "cannot be opened") from exc
        self.port = self._server.port
        self._server.begin(tls)

    def close(self) -> None:
        """Stop listening; requests that are being answered are finished."""
        self._server.close()


def _tls(settings: Listen) -> ssl.SSLContext | None:
    if settings.certificate_file is None:
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    vault.insist_on_privacy(settings.key_file or settings.certificate_file)
    context.load_cert_chain(settings.certificate_file, settings.key_file)
    return context


def read_push(body: bytes) -> Push:
    """Read an envelope (version 1); ``Malformed`` names the field that cannot be used."""
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError as exc:
        raise malformed("JSON") from exc
    if not isinstance(document, dict) or document.get("version") != 1:
        raise malformed("version")
    attachments = _attachments(document.get("attachments"))
    data = document.get("encryptedData")
    service, log = document.get("publicService"), document.get("eventLog")
    if not isinstance(service, dict) or not isinstance(log, list) or not all(isinstance(one, str) for one in log):
        raise malformed("publicService, eventLog")
    ids = {name: require_uuid(document.get(name), name) for name in ("submissionId", "caseId", "destinationId")}
    kept = {
        **{name: str(value) for name, value in ids.items()},
        "publicService": {name: str(service.get(name, "")) for name in ("identifier", "name")},
        "encryptedMetadata": require_jwe(document.get("encryptedMetadata"), "encryptedMetadata"),
        "encryptedData": None if data is None else require_jwe(data, "encryptedData"),
        "attachments": [str(one) for one in attachments],
        "eventLog": log,
    }
    return Push(
        submission_id=ids["submissionId"],
        case_id=ids["caseId"],
        destination_id=ids["destinationId"],
        document=kept,
        attachments={one: partial(_once, jwe) for one, jwe in attachments.items() if jwe is not None},
        whole=None not in attachments.values(),
    )


def _attachments(entries: Any) -> dict[UUID, str | None]:
    if not isinstance(entries, list) or len(entries) > MOST_ATTACHMENTS:
        raise malformed("attachments")
    found: dict[UUID, str | None] = {}
    for entry in entries:
        if not isinstance(entry, dict):
            raise malformed("attachments")
        attachment_id = require_uuid(entry.get("attachmentId"), "attachmentId")
        found[attachment_id] = None
        if "jwe" in entry:
            jwe = require_jwe(entry["jwe"], "jwe")
            if hashlib.sha512(jwe.encode("ascii")).hexdigest() != entry.get("sha512"):
                raise malformed("sha512")
            found[attachment_id] = jwe
    if len(found) != len(entries):
        raise malformed("attachmentId")
    return found


def _once(jwe: str) -> Iterator[bytes]:
    yield jwe.encode("ascii")


@dataclass(frozen=True, kw_only=True, slots=True)
class _Desk:
    """What the handlers of one listener share."""

    secret: str = field(repr=False)
    largest: int
    take: Taker
    now: Callable[[], datetime]
    room: Admission


class _Handler(QuietHandler):
    server_version = "rathaus-hub-connector"
    server: QuietServer[_Desk]

    def do_POST(self) -> None:  # noqa: N802  # The name that http.server wants.
        try:
            status, answer = self._take()
        except HubError as exc:
            status = next(code for kind, code in _STATUS if isinstance(exc, kind))
            answer = {"title": exc.title.en, "detail": exc.detail.en, "status": status}
            # What was not read of the request would be taken for the next one.
            self.close_connection = True
        except TimeoutError:
            status, answer = 408, {"title": "Request Timeout", "detail": "The delivery came too slowly.", "status": 408}
            self.close_connection = True
        except OSError:
            raise  # The other end has gone, and nobody is there to be answered.
        except Exception:  # noqa: BLE001  # a bug of ours: said in the log, and to the hub, which tries again
            _log.exception("a delivery could not be taken")
            status, answer = 500, {"title": "Internal error", "detail": "See the connector's log.", "status": 500}
            self.close_connection = True
        self._answer(status, answer)

    def _take(self) -> tuple[int, dict[str, Any]]:
        desk = self.server.desk
        if self.path != PATH:
            raise NotFound(Text(f"Zustellungen gehen an {PATH}.", f"Deliveries go to {PATH}."))
        held = desk.room.reserve()
        try:
            # Room is taken as bytes come: who only says that there will be many holds up nobody.
            body = bytearray()
            for piece in self.body(desk.largest):
                held.grow(len(piece))
                body += piece
            whole = bytes(body)
            self._authenticate(whole, desk)
            push = read_push(whole)
            news = desk.take(push)
        finally:
            held.release()
        return (202 if news else 200), {"submissionId": str(push.submission_id), "repeat": not news}

    def _authenticate(self, body: bytes, desk: _Desk) -> None:
        timestamp = self.headers.get("Callback-Timestamp", "")
        seconds = int(timestamp) if timestamp.isascii() and timestamp.isdigit() and len(timestamp) < 12 else 0  # noqa: PLR2004
        verify_callback(desk.secret, seconds, body, self.headers.get("Callback-Authentication", ""), now=desk.now())

    def _answer(self, status: int, answer: Mapping[str, Any]) -> None:
        body = orjson.dumps(answer)
        self.send_response(status)
        self.send_header("Content-Type", "application/json" if status < 400 else "application/problem+json")  # noqa: PLR2004
        self.send_header("Content-Length", str(len(body)))
        if status == 503:  # noqa: PLR2004  # Unavailable.
            self.send_header("Retry-After", "10")
        self.end_headers()
        self.wfile.write(body)
