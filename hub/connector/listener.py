"""Taking pushes: a small server, and the envelopes that arrive there.

Taking pushes: the envelope that the hub's https adapter posts, signed with a shared secret.

In this order, cheapest first: path, length, room in memory, the signature and its age, the envelope's form, the destination.
The answer is 202 only once ciphertext and journal entry are on disk, and 200 for what is known already.

The small HTTP servers of the municipal side: quiet, each request in a thread of its own, within bounds.

What a stranger may take up is bounded before anybody has looked at it: bytes and time of a request's head, the pace of a body,
and connections. Where there are too many, the one that has kept the server waiting longest for its bytes makes room.
"""

from __future__ import annotations

import hashlib
import io
import logging
import re
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Generic, TypeVar
from uuid import UUID

import orjson

from hub.admission import Admission
from hub.client.fit_connect import MOST_ATTACHMENTS, malformed, require_uuid
from hub.connector.envelope import require_jwe
from hub.connector.settings import LONGEST_SECRET, Listen, unusable
from hub.crypto import verify_callback
from hub.errors import HubError, Malformed, NotFound, Text, TooLarge
from hub.files import vault
from hub.model.adapter import VERSIONS
from hub.supervision import Loop, Supervisor
from hub.web.responses import POLICY, SAFE, status_of

D = TypeVar("D")
_POLL = 0.1
_PIECE = 256 * 1024
#: Bytes of a line around a chunk, and lines behind the last one (RFC 9112 section 7.1).
_LONGEST_LINE = 1024
_MOST_TRAILERS = 32
_CHUNK_SIZE = re.compile(rb"([0-9A-Fa-f]{1,16})[ \t]*(?:;[^\r\n]*)?\r\n")


@dataclass(frozen=True, kw_only=True, slots=True)
class ListenerBounds:
    """What strangers may take up. Times are seconds."""

    #: Bytes of request line and header section together.
    head_bytes: int = 64 * 1024
    #: From the connection, or the answer before, to the end of the header section.
    head_seconds: float = 10.0
    #: How long a body may pause, take in all, and how many bytes earn it another second.
    pause: float = 10.0
    body_seconds: float = 15.0
    body_rate: int = 8_000
    #: Connections at once: of everybody, and of one address.
    connections: int = 64
    connections_of_one: int = 32


class QuietServer(ThreadingHTTPServer, Generic[D]):
    """Listens from construction, answers from ``begin`` until ``close``; ``desk`` is what its handlers share.

    Raises:
        OSError: the address or port cannot be used.
    """

    daemon_threads = True
    request_queue_size = 64

    def __init__(
        self, address: str, port: int, handler: type[QuietHandler], desk: D, *, bounds: ListenerBounds | None = None
    ) -> None:
        super().__init__((address, port), handler)
        self.desk = desk
        self._bounds = bounds or ListenerBounds()
        self._lines: dict[Any, BoundedLine] = {}
        self._lock = threading.Lock()
        self._loop: Loop | None = None
        self.timeout = _POLL

    @property
    def port(self) -> int:
        """The port that it listens on."""
        return int(self.server_address[1])

    def begin(self, name: str, supervisor: Supervisor, tls: ssl.SSLContext | None = None) -> None:
        """Answer from now on, in a loop that is kept up under this name."""
        if tls is not None:
            # The handshake happens in the request's thread: a silent client must not stop the others.
            self.socket = tls.wrap_socket(self.socket, server_side=True, do_handshake_on_connect=False)
        self._loop = supervisor.begin(name, self._answer, daemon=True)

    def close(self) -> None:
        """Stop listening; requests that are being answered are finished."""
        if self._loop is not None:
            self._loop.end()
        self.server_close()

    def _answer(self, stop: threading.Event) -> None:
        while not stop.is_set():
            self.handle_request()

    def line(self, request: Any) -> BoundedLine:
        """Return what is known of a connection."""
        return self._lines[request]

    def process_request(self, request: Any, client_address: Any) -> None:
        """Begin to serve a connection, if there is room for it or room can be made."""
        with self._lock:
            taken = self._has_room(client_address[0])
            if taken:
                self._lines[request] = BoundedLine(request, client_address[0], self._bounds)
        if taken:
            super().process_request(request, client_address)
        else:
            super().shutdown_request(request)

    def shutdown_request(self, request: Any) -> None:
        """End a connection."""
        with self._lock:
            self._lines.pop(request, None)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing: broken connections are everyday, and the default prints a traceback."""

    def _has_room(self, address: str) -> bool:
        """Tell whether one more connection may begin; the slowest of those that would be too many ends for it."""
        lines = [line for line in self._lines.values() if not line.ended]
        own = [line for line in lines if line.address == address]
        crowd = own if len(own) >= self._bounds.connections_of_one else lines
        if crowd is lines and len(lines) < self._bounds.connections:
            return True
        waiting = [line for line in crowd if line.is_reading]
        if waiting:
            max(waiting, key=BoundedLine.overdue).end()
        return bool(waiting)


class BoundedLine(io.RawIOBase):
    """One connection as it is read: raises ``TimeoutError`` where bytes do not come in time, and ``TooLarge`` over a head."""

    def __init__(self, connection: socket.socket, address: str, bounds: ListenerBounds) -> None:
        super().__init__()
        self.address = address
        self.is_reading = False
        self.ended = False
        self._connection = connection
        self._bounds = bounds
        self.expect_head()

    def readable(self) -> bool:
        """Say that it can be read from."""
        return True

    def expect_head(self) -> None:
        """Bound what follows as the head of a request."""
        self._in_head, self._began, self._seen = True, time.monotonic(), 0

    def expect_body(self) -> None:
        """Bound what follows as a body."""
        self._in_head, self._began, self._seen = False, time.monotonic(), 0

    def overdue(self) -> float:
        """Return for how many seconds it has kept the server waiting, less those that its bytes have earned."""
        return time.monotonic() - self._began - self._seen / self._bounds.body_rate

    def end(self) -> None:
        """Have its thread find the connection closed."""
        self.ended = True
        with suppress(OSError):
            # Of a socket in TLS as well, and without a word to its other end.
            socket.socket.shutdown(self._connection, socket.SHUT_RDWR)

    def readinto(self, buffer: Any) -> int:
        """Read what comes next."""
        if self._in_head:
            left = self._bounds.head_seconds - (time.monotonic() - self._began)
        else:
            left = self._bounds.body_seconds - self.overdue()
        if left <= 0:
            raise TimeoutError
        self._connection.settimeout(left if self._in_head else min(left, self._bounds.pause))
        self.is_reading = True
        try:
            size = self._connection.recv_into(buffer)
        finally:
            self.is_reading = False
        self._seen += size
        if self._in_head and self._seen > self._bounds.head_bytes:
            raise TooLarge(_HEAD_TOO_LARGE)
        return size


_SAFE = {name.title(): value for name, value in SAFE.items()}


class QuietHandler(BaseHTTPRequestHandler):
    """Handles requests without a word about itself or them. ``Upgrade`` is passed over (RFC 9110 section 7.8)."""

    protocol_version = "HTTP/1.1"
    sys_version = ""
    disable_nagle_algorithm = True
    server: QuietServer[Any]

    def setup(self) -> None:
        """Read through the connection's bounds."""
        super().setup()
        self.rfile.close()
        self._line = self.server.line(self.request)
        self.rfile = io.BufferedReader(self._line)

    def handle_one_request(self) -> None:
        """Serve one request."""
        self._line.expect_head()
        self.requestline, self.request_version, self.command = "", self.protocol_version, ""
        try:
            super().handle_one_request()
        except TooLarge:
            self.close_connection = True
            self.send_error(431)

    def parse_request(self) -> bool:
        """Read the head; what follows is the body."""
        parsed = super().parse_request()
        if parsed:
            self._line.expect_body()
        return parsed

    def answer(self, status: int, body: bytes, fields: Mapping[str, str]) -> None:
        """Send an answer; ``fields`` are its own header fields, in the place of the ones that every answer carries."""
        self.send_response(status)
        for name, value in {"Content-Security-Policy": POLICY, **_SAFE, **fields}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def body(self, largest: int) -> Iterator[bytes]:
        """Yield the body piece by piece, whether its length was told or it comes in chunks.

        Raises:
            TooLarge: over ``largest`` bytes. TimeoutError: it comes too slowly.
            Malformed: no length, two of them, another coding than ``chunked``, or a body that breaks off.
        """
        lengths, codings = self.headers.get_all("Content-Length", []), self.headers.get_all("Transfer-Encoding", [])
        if codings:
            chunked = len(codings) == 1 and codings[0].strip().lower() == "chunked"
            if lengths or not chunked or self.request_version != self.protocol_version:
                raise Malformed(_FRAMING)
            yield from self._chunks(largest)
            return
        if len(lengths) != 1 or not re.fullmatch("[0-9]{1,19}", lengths[0]):
            raise Malformed(_FRAMING)
        _require(int(lengths[0]), largest)
        yield from self._exactly(int(lengths[0]))

    def log_message(self, *_args: Any) -> None:
        """Keep quiet: what came in stands elsewhere."""

    def _exactly(self, size: int) -> Iterator[bytes]:
        while size:
            piece = self.rfile.read1(min(_PIECE, size))
            if not piece:
                raise Malformed(_BROKE_OFF)
            size -= len(piece)
            yield piece

    def _chunks(self, largest: int) -> Iterator[bytes]:
        total = 0
        while size := self._chunk_size():
            total += size
            _require(total, largest)
            yield from self._exactly(size)
            if self.rfile.readline(3) != b"\r\n":
                raise Malformed(_FRAMING)
        for _ in range(_MOST_TRAILERS):
            line = self.rfile.readline(_LONGEST_LINE)
            if line == b"\r\n":
                return
            if not line.endswith(b"\r\n"):
                break
        raise Malformed(_FRAMING)

    def _chunk_size(self) -> int:
        line = _CHUNK_SIZE.fullmatch(self.rfile.readline(_LONGEST_LINE))
        if line is None:
            raise Malformed(_FRAMING)
        return int(line[1], 16)


def _require(size: int, largest: int) -> None:
    if size > largest:
        raise TooLarge(
            Text(f"Der Inhalt ist größer als {largest} Byte.", f"The body is larger than {largest} bytes."),
            limit=largest,
        )


_HEAD_TOO_LARGE = Text("Die Kopfzeilen sind zu groß.", "The header fields are too large.")
_FRAMING = Text(
    "Die Länge des Inhalts fehlt oder ist nicht eindeutig. Senden Sie Content-Length, oder chunked.",
    "The length of the body is missing or ambiguous. Send Content-Length, or chunks.",
)
_BROKE_OFF = Text("Der Inhalt kam nicht ganz an.", "The body did not arrive whole.")


_log = logging.getLogger(__name__)
PATH = "/deliveries"
_PLACES = 4  # Envelopes of the largest size that are in memory at the same time; of smaller ones so many more.


@dataclass(frozen=True, kw_only=True, slots=True)
class Push:
    """A push by who knows the secret. ``whole`` is False if an attachment is only offered by URL and has to be collected.

    ``proven`` says that a receipt came along, so that nothing else has to be.
    """

    submission_id: UUID
    case_id: UUID
    destination_id: UUID
    document: Mapping[str, Any]
    attachments: Mapping[UUID, Callable[[], Iterator[bytes]]]
    whole: bool
    proven: bool


#: Makes a push durable; tells whether it is news.
Taker = Callable[[Push], bool]


class Listener:
    """An HTTP server in threads of its own; listens from construction until ``close``."""

    def __init__(
        self,
        settings: Listen,
        take: Taker,
        now: Callable[[], datetime],
        *,
        supervisor: Supervisor | None = None,
        bounds: ListenerBounds | None = None,
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
        self._server.begin("pushes", supervisor or Supervisor(), tls)

    def close(self) -> None:
        """Stop listening; requests that are being answered are finished."""
        self._server.close()


def _tls(settings: Listen) -> ssl.SSLContext | None:
    if settings.certificate_file is None:
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    private = settings.key_file or settings.certificate_file
    vault.require_privacy(private)
    vault.require_place(private.parent)
    context.load_cert_chain(settings.certificate_file, settings.key_file)
    return context


def read_push(body: bytes) -> Push:
    """Read an envelope (version 1 or 2); ``Malformed`` names the field that cannot be used."""
    document = _document(body)
    attachments = _attachments(document.get("attachments"))
    service = document.get("publicService")
    if not isinstance(service, dict):
        raise malformed("publicService")
    proof = _tokens(document) if document["version"] == 1 else _receipt(document)
    ids = {name: require_uuid(document.get(name), name) for name in ("submissionId", "caseId", "destinationId")}
    kept = _kept(document, ids, attachments, proof)
    return Push(
        submission_id=ids["submissionId"],
        case_id=ids["caseId"],
        destination_id=ids["destinationId"],
        document=kept,
        attachments={one: partial(_once, jwe) for one, jwe in attachments.items() if jwe is not None},
        whole=None not in attachments.values(),
        proven="receipt" in proof,
    )


def _document(body: bytes) -> dict[str, Any]:
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError as exc:
        raise malformed("JSON") from exc
    if not isinstance(document, dict) or document.get("version") not in VERSIONS:
        raise malformed("version")
    return document


def _kept(
    document: Mapping[str, Any], ids: Mapping[str, UUID], attachments: Iterable[UUID], proof: Mapping[str, Any]
) -> dict[str, Any]:
    data, service = document.get("encryptedData"), document["publicService"]
    return {
        **{name: str(value) for name, value in ids.items()},
        "publicService": {name: str(service.get(name, "")) for name in ("identifier", "name")},
        "encryptedMetadata": require_jwe(document.get("encryptedMetadata"), "encryptedMetadata"),
        "encryptedData": None if data is None else require_jwe(data, "encryptedData"),
        "attachments": [str(one) for one in attachments],
        **proof,
    }


def _tokens(document: Mapping[str, Any]) -> dict[str, Any]:
    log = document.get("eventLog")
    if not _are_texts(log):
        raise malformed("eventLog")
    return {"eventLog": log}


def _receipt(document: Mapping[str, Any]) -> dict[str, Any]:
    """Return what proves an envelope of version 2, unjudged: whether it does is for whoever opens it."""
    receipt, log = document.get("receipt"), document.get("log")
    if not isinstance(receipt, str):
        raise malformed("receipt")
    if not isinstance(log, dict) or not isinstance(log.get("previous"), str) or not _are_texts(log.get("entries")):
        raise malformed("log")
    return {"receipt": receipt, "log": {"previous": log["previous"], "entries": log["entries"]}}


def _are_texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(one, str) for one in value)


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

    def do_POST(self) -> None:  # The name that http.server wants.
        try:
            status, answer = self._take()
        except HubError as exc:
            status = status_of(exc)
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
        fields = {"Content-Type": "application/json" if status < 400 else "application/problem+json"}  # noqa: PLR2004
        if status == 503:  # noqa: PLR2004  # Unavailable.
            fields["Retry-After"] = "10"
        self.answer(status, orjson.dumps(answer), fields)
