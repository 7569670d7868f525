"""HTTP requests of an adapter, and what their answers mean for a delivery.

A request goes out on a :class:`~hub.transport.connection.Line`: no redirect is followed, no proxy asked, no environment read.
No answer after the whole request went out is *unknown*, before that *unreachable*.

Connections to one receiver, kept from one request to the next, each request with a deadline of its own. What was kept and
turns out to be dead before the request was sent whole is dialled anew: the receiver cannot have acted on a part of it. Once
it went out whole nobody knows, and it is never sent again without a word: the next attempt says that it is a repeat.
"""

from __future__ import annotations

import contextlib
import http.client
import io
import math
import re
import select
import socket
import ssl
import threading
import time
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from functools import partial
from http import HTTPStatus
from typing import Any, Self, cast
from urllib.parse import SplitResult, urlsplit
from uuid import UUID

import orjson

from hub.errors import Invalid, Text
from hub.model import DeadCause, Outcome, OutcomeKind
from hub.model.adapter import require, require_privacy, unusable
from hub.model.reasons import CONNECTION_LOST, SILENT, SILENT_IN_TIME, http_note
from hub.transport.addresses import host_fault, url_parts
from hub.transport.connection import CONFIGURED, DEADLINES, Line, client_context, reason_for

_PORTS = {"http": 80, "https": 443}
_PIECE = 64 * 1024
#: Seconds that a connection is kept idle, and that it is used at all: names move, and certificates are withdrawn.
_IDLE, _LIFE = 60.0, 300.0
#: Connections that are kept idle of one receiver, and in the whole process: each takes two handles.
_MOST_KEPT = 16
ROOM = threading.BoundedSemaphore(128)
#: Of an answer's body nothing is wanted; so much of it is read, within so many seconds, to keep the connection.
_LONGEST_REST, _AT_HAND = 64 * 1024, 0.25
#: Of a conflict's body: which delivery it is about.
_LONGEST_CONFLICT = 4096
_SHORTEST = 0.001
_HTTP_1_1 = 11
_HUNG_UP = getattr(select, "POLLRDHUP", 0)
_KEEPS = re.compile(r"timeout=([0-9]{1,6})\b")
_LONGEST_WISH = timedelta(days=1)  # A receiver's Retry-After beyond this is capped.
#: What an answer means; a status that is not named counts by its class (a redirect is not followed).
_MEANINGS: Mapping[int, tuple[OutcomeKind, DeadCause | None]] = {
    **dict.fromkeys((400, 413, 415, 422), (OutcomeKind.REFUSED, DeadCause.PAYLOAD)),
    # Wrong credentials or path heal once somebody corrects either side.
    **dict.fromkeys((401, 403, 404, 407), (OutcomeKind.UNREACHABLE, DeadCause.CONFIGURATION)),
    **dict.fromkeys((408, 425, 429), (OutcomeKind.UNREACHABLE, None)),
    # Another attempt with this key is being worked on, or was.
    409: (OutcomeKind.UNKNOWN, None),
    410: (OutcomeKind.REFUSED, DeadCause.RECEIVER),
}
_CLASSES: Mapping[int, tuple[OutcomeKind, DeadCause | None]] = {
    1: (OutcomeKind.UNKNOWN, None),
    2: (OutcomeKind.DELIVERED, None),
    5: (OutcomeKind.UNREACHABLE, None),
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """What the other side said; of its body at most what was asked for."""

    status: int
    retry_after: str | None
    body: bytes = field(repr=False, default=b"")


class Silence(Exception):  # Names what happened; adapters turn it into an outcome at once.
    """No answer came. ``sent`` says whether the whole request had gone out; ``note`` is for operators."""

    def __init__(self, note: str, *, sent: bool, cause: DeadCause | None = None) -> None:
        super().__init__(note)
        self.note = note
        self.sent = sent
        self.cause = cause

    def outcome(self) -> Outcome:
        """Return what the silence means for a delivery that this request would have completed."""
        kind = OutcomeKind.UNKNOWN if self.sent else OutcomeKind.UNREACHABLE
        return Outcome(kind=kind, note=self.note, cause=self.cause)


def require_address(adapter: str, option: str, url: str | None, *, allow_http: bool) -> None:
    """Refuse a configured address that is not https (or http where allowed) with host and path alone; None passes.

    Raises:
        ConfigurationError: it is not.
    """
    fault = None if url is None else _address_fault(url, {"https", "http"} if allow_http else {"https"})
    require(
        adapter,
        fault is None,
        f"braucht in {option} eine https-Adresse nur aus Host und Pfad{'' if fault is None else _after(fault.de)}",
        f"needs an https address in {option}, of host and path alone{'' if fault is None else _after(fault.en)}",
    )


def require_host(adapter: str, host: str) -> None:
    """Refuse a configured ``host`` that no server can have.

    Raises:
        ConfigurationError: it is one.
    """
    fault = host_fault(host)
    if fault is not None:
        raise unusable(
            adapter, f"braucht in host einen Server{_after(fault.de)}", f"needs a server in host{_after(fault.en)}"
        )


def client_tls(
    adapter: str, ca_file: str | None, *, certificate: str | None = None, key: str | None = None
) -> ssl.SSLContext:
    """Return the client's side of TLS, trusting ``ca_file`` alone or, without one, the system's authorities.

    Who shows a ``certificate`` gets a context that is nobody else's; the others share theirs
    (:func:`~hub.transport.connection.client_context`). Without a ``key`` file of its own the key lies in the certificate's.

    Raises:
        ConfigurationError: a file cannot be read, or others may read the key.
    """
    try:
        tls = client_context(ca_file) if certificate is None else ssl.create_default_context(cafile=ca_file)
    except OSError as exc:
        raise unusable(adapter, "kann ca_file nicht lesen", "cannot read ca_file") from exc
    if certificate is not None:
        try:
            require_privacy(key or certificate)
            tls.load_cert_chain(certificate, key)
        except OSError as exc:
            raise unusable(
                adapter, "kann sein Zertifikat nicht verwenden", "cannot use its client certificate"
            ) from exc
    return tls


def require_timeout(adapter: str, timeout: float, longest: int) -> None:
    """Refuse a ``timeout`` that is not between 0 and ``longest`` seconds.

    Raises:
        ConfigurationError: it is not.
    """
    require(adapter, 0 < timeout <= longest, f"braucht 0 < timeout <= {longest}", f"needs 0 < timeout <= {longest}")


def _address_fault(url: str, schemes: Collection[str]) -> Text | None:
    try:
        parts = url_parts(url, schemes)
    except Invalid as exc:
        return exc.detail
    if parts.query:
        return Text("Sie enthält eine Abfrage (?).", "It holds a query (?).")
    return None


def _after(fault: str) -> str:
    """Return a fault as the end of a sentence whose full stop comes later."""
    return f": {fault.removesuffix('.')}"


def pieces(body: bytes) -> Iterator[bytes]:
    """Cut a body into what one send takes, so that it is known how far a broken request got."""
    return (body[start : start + _PIECE] for start in range(0, len(body), _PIECE))


def request(  # noqa: PLR0917  # Method, address, headers and content are a request's own order.
    line: Line,
    tls: ssl.SSLContext,
    method: str,
    url: str,
    headers: Mapping[str, str],
    content: Iterable[bytes],
    *,
    length: int,
    answer_limit: int = 0,
    fault_limit: int = 0,
) -> Answer:
    """Send one request of ``length`` body bytes and return the answer, with up to ``answer_limit`` bytes of its body.

    Of an answer that is no yes up to ``fault_limit`` bytes are read, where that is more: a yes counts without its body.

    Raises:
        Silence: no answer came. Whatever else ``content`` raises passes through.
    """
    with _Connection(tls, urlsplit(url)) as connection:
        try:
            connection.open(line)
            complete = connection.send_all(method, headers, content, length)
            return connection.hear(answer_limit, complete=complete, fault_limit=fault_limit)
        except (OSError, http.client.HTTPException, ValueError) as exc:  # ValueError: what the library cannot read.
            raise connection.silence(exc) from exc


def judge(answer: Answer, now: datetime) -> Outcome:
    """Say what an answer means for the delivery (RFC 9110 § 15, RFC 6585)."""
    status = answer.status
    kind, cause = _MEANINGS.get(status) or _CLASSES.get(status // 100, (OutcomeKind.REFUSED, DeadCause.CONFIGURATION))
    wish = _wish(answer.retry_after, now) if kind is OutcomeKind.UNREACHABLE else None
    return Outcome(kind=kind, note=http_note(status), retry_after=wish, disable=status == HTTPStatus.GONE, cause=cause)


def already_taken(answer: Answer, delivery_id: UUID) -> bool:
    """Tell whether a 409 says that this very delivery was taken before: its JSON names the delivery's id.

    With ``Retry-After`` it speaks of a request that is still being worked on, whatever it names.
    """
    if answer.status != HTTPStatus.CONFLICT or answer.retry_after is not None:
        return False
    try:
        said = orjson.loads(answer.body)
    except orjson.JSONDecodeError:
        return False
    named = said.values() if isinstance(said, dict) else ()
    return any(isinstance(each, str) and each.lower() == str(delivery_id) for each in named)


def _wish(value: str | None, now: datetime) -> timedelta | None:
    """Read Retry-After (seconds or HTTP date), capped; None if absent, unreadable or past."""
    try:
        if value is None:
            return None
        if value.isascii() and value.isdigit():
            return timedelta(seconds=min(int(value[:9]), _LONGEST_WISH.total_seconds()))
        wait = parsedate_to_datetime(value).astimezone(UTC) - now
    except (ValueError, OverflowError):
        return None
    return min(wait, _LONGEST_WISH) if wait > timedelta(0) else None


class Connections:
    """Posts to one URL, from several threads, over connections that are kept between requests.

    The owner closes it: at once what is idle, what is in use when it is over.
    """

    def __init__(self, url: str, *, idle: float = _IDLE, life: float = _LIFE) -> None:
        self._target = urlsplit(url)
        self._longest_idle = idle
        self._life = life
        self._lock = threading.Lock()
        #: Those that wait for the next request, the one that was used last at the end.
        self.idle: list[_Connection] = []
        self._closed = False

    def post(self, line: Line, tls: ssl.SSLContext, headers: Mapping[str, str], body: bytes) -> Answer:
        """Send one request on ``line``, which is hung up then, and return the answer; errors as :func:`request`.

        ``tls`` is the owner's own: nobody else's certificate or session comes near its connections.
        """
        kept = self._taken()
        if kept is not None:
            try:
                return self._exchange(line, kept, headers, body)
            except Silence:
                if not kept.unheard or line.late:
                    raise
        return self._exchange(line, _Connection(tls, self._target), headers, body)

    def close(self) -> None:
        """Close what is idle; what is in use is closed once its request is over."""
        with self._lock:
            self._closed = True
            kept = list(self.idle)
        for each in kept:
            self._drop(each)

    def _exchange(self, line: Line, connection: _Connection, headers: Mapping[str, str], body: bytes) -> Answer:
        keeps = False
        try:
            connection.open(line)
            complete = connection.send_all("POST", headers, pieces(body), len(body))
            answer = connection.hear(0, complete=complete, conflict_limit=_LONGEST_CONFLICT)
            keeps = complete and connection.finish()
        except (OSError, http.client.HTTPException, ValueError) as exc:
            raise connection.silence(exc) from exc
        else:
            return answer
        finally:
            if keeps:
                # From here on the deadline is nothing to the connection, which another request may use at once.
                line.hang_up()
            if not keeps or line.late or not self._keep(connection):
                connection.hang_up()

    def _taken(self) -> _Connection | None:
        """Return a connection that was kept and says nothing, the one that was used last; None where none is left."""
        while True:
            with self._lock:
                if not self.idle:
                    return None
                connection = self.idle.pop()
            ROOM.release()
            DEADLINES.take_back(connection)
            # What speaks without being asked, or has hung up, is of no use.
            if connection.quiet():
                return connection
            connection.hang_up()

    def _keep(self, connection: _Connection) -> bool:
        now = time.monotonic()
        until = min(now + min(self._longest_idle, connection.patience), connection.since + self._life)
        if until <= now:
            return False
        with self._lock:
            if self._closed or len(self.idle) >= _MOST_KEPT or not ROOM.acquire(blocking=False):
                return False
            self.idle.append(connection)
        with contextlib.suppress(OSError):
            DEADLINES.put(connection, until, partial(self._drop, connection))
            return True
        self._drop(connection)
        return True

    def _drop(self, connection: _Connection) -> None:
        with self._lock:
            if connection not in self.idle:
                return
            self.idle.remove(connection)
        ROOM.release()
        DEADLINES.take_back(connection)
        connection.hang_up()


class _Connection(http.client.HTTPConnection):
    """A connection to one server. Each request on it begins with :meth:`open`, on a line of its own."""

    auto_open = 0  # Nothing is dialled but by a line.

    def __init__(self, tls: ssl.SSLContext, target: SplitResult) -> None:
        super().__init__(target.hostname or "", target.port or _PORTS[target.scheme])
        self._line: Line
        self._tls = tls
        self._target = target
        self._watch: socket.socket | None = None
        self._response: _Response | None = None
        self._used = False
        self._began = False
        self._sent = False
        #: When it was dialled, and how many seconds its server keeps it idle.
        self.since = time.monotonic()
        self.patience = math.inf

    def __hash__(self) -> int:
        return id(self)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.hang_up()

    def response_class(self, sock: socket.socket, **named: Any) -> _Response:  # type: ignore[override]
        """Return what the library reads an answer with, and keep it: also one that it cannot read has begun."""
        self._response = _Response(sock, **named)
        return self._response

    def open(self, line: Line) -> None:
        """Begin a request on ``line``: dial, or go on with the connection that there is."""
        self._line = line
        self._began = self._sent = False
        self._response = None
        if self.sock is not None and self._watch is not None:
            self._used = True
            self.sock.settimeout(max(_SHORTEST, line.left()))
            line.watch(self._watch)
            return
        self.sock = line.dial(self.host, self.port)
        self._watch = self.sock.dup()
        if self._target.scheme == "https":
            self.sock = self._tls.wrap_socket(self.sock, server_hostname=self.host)

    def hang_up(self) -> None:
        """Close the connection and what reads from it."""
        if self._response is not None:
            self._response.close()
        self.close()

    def close(self) -> None:
        """Let go of the connection, as the library does before an answer is read that ends with it."""
        super().close()
        watch, self._watch = self._watch, None
        if watch is not None:
            watch.close()

    @property
    def unheard(self) -> bool:
        """Whether a connection that was kept broke before the request was sent whole, and without a byte of an answer."""
        return self._used and not self._sent and (self._response is None or not self._response.began)

    def quiet(self) -> bool:
        """Say whether the other side has neither hung up nor said anything."""
        if self.sock is None or self.sock.fileno() < 0:
            return False
        looking = select.poll()
        looking.register(self.sock, select.POLLIN | select.POLLPRI | _HUNG_UP)
        return not looking.poll(0) and not self._decrypted()

    def finish(self) -> bool:
        """Read the answer to its end if it is short and at hand; return whether the connection may be used again.

        Anything odd about its length, or anything behind it, says no: it might be taken for the next request's answer.
        """
        response = self._response
        if response is None or self.sock is None or self._line.late or not _is_framed(response):
            return False
        try:
            if not response.isclosed():
                response.hurry(self.sock, min(_AT_HAND, self._line.left()))
                response.read(_LONGEST_REST)
        except (OSError, http.client.HTTPException, ValueError):
            return False
        self.patience = _patience(response)
        return response.isclosed() and not response.spare and not self._decrypted()

    def _decrypted(self) -> bool:
        return isinstance(self.sock, ssl.SSLSocket) and self.sock.pending() > 0

    def send_all(self, method: str, headers: Mapping[str, str], content: Iterable[bytes], length: int) -> bool:
        """Send head and body; False where the other side stopped listening, which may still have an answer."""
        self.putrequest(method, self._target.path or "/", skip_accept_encoding=True)
        for name, value in {"Content-Length": str(length), "User-Agent": "rathaus-hub", **headers}.items():
            self.putheader(name, value)
        chunks = iter(content)
        try:
            self.endheaders()
            for chunk in chunks:
                self._began = True
                self.send(chunk)
        except (BrokenPipeError, ConnectionResetError, ssl.SSLError):
            if self._line.late:
                raise
            return False
        self._sent = True
        return True

    def hear(self, limit: int, *, complete: bool, fault_limit: int = 0, conflict_limit: int = 0) -> Answer:
        response = self.getresponse()
        if response.status >= HTTPStatus.MULTIPLE_CHOICES:
            limit = max(limit, fault_limit)
        if response.status == HTTPStatus.CONFLICT:
            limit = max(limit, conflict_limit)
        body = response.read(limit) if limit else b""
        # A head that was cut short by hanging up can look whole; a yes to half a request is none.
        if self._line.late or (not complete and response.status < HTTPStatus.MULTIPLE_CHOICES):
            raise http.client.HTTPException
        return Answer(status=response.status, retry_after=response.headers.get("Retry-After"), body=body)

    def silence(self, exc: Exception) -> Silence:
        """Say what a failed request means."""
        late = self._line.late
        reason = reason_for(exc, late=late)
        # With TLS 1.3 the refusal of a client certificate arrives as an alert after the request was sent.
        refused = reason in CONFIGURED and (not self._began or "ALERT" in str(exc).upper())
        if refused:
            return Silence(reason.note, sent=False, cause=DeadCause.CONFIGURATION)
        if self._sent:
            return Silence((SILENT_IN_TIME if late else SILENT).note, sent=True)
        return Silence((CONNECTION_LOST if reason in CONFIGURED else reason).note, sent=False)


class _Response(http.client.HTTPResponse):
    """An answer that knows what came behind its end. ``began``: a byte of it came."""

    def __init__(self, sock: socket.socket, *args: Any, **named: Any) -> None:
        super().__init__(sock, *args, **named)
        self._raw = _Bytes(self.fp.detach())
        self._reader = self.fp = _Reader(self._raw)

    @property
    def began(self) -> bool:
        return self._raw.began

    @property
    def spare(self) -> bool:
        """Whether bytes were read that are no part of the answer; known once it is closed."""
        return self._reader.spare

    def hurry(self, sock: socket.socket, within: float) -> None:
        """Let all further reading end ``within`` so many seconds, however slowly the bytes drip."""
        self._raw.end = (sock, time.monotonic() + within)


class _Bytes(io.RawIOBase):
    """The bytes of a connection for one answer."""

    def __init__(self, under: Any) -> None:
        self._under = under
        self.began = False
        self.over = False
        self.end: tuple[socket.socket, float] | None = None

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        if self.over:
            return 0
        if self.end is not None:
            sock, until = self.end
            sock.settimeout(max(_SHORTEST, until - time.monotonic()))
        number: int | None = self._under.readinto(buffer)
        self.began = self.began or bool(number)
        return number

    def close(self) -> None:
        self._under.close()
        super().close()


class _Reader(io.BufferedReader):
    """Notes when it is closed whether it has read more than anybody asked for."""

    spare = False

    def close(self) -> None:
        if not self.closed:
            raw = cast("_Bytes", self.raw)
            raw.over = True
            self.spare = bool(self.peek(1))
        super().close()


def _is_framed(response: http.client.HTTPResponse) -> bool:
    """Whether where an answer ends is beyond doubt (RFC 9112 section 6.3): one length, or chunks alone."""
    lengths = response.headers.get_all("Content-Length", [])
    codings = response.headers.get_all("Transfer-Encoding", [])
    if response.will_close or response.version != _HTTP_1_1 or response.status < HTTPStatus.OK:
        return False
    if codings:
        return not lengths and len(codings) == 1 and codings[0].strip().lower() == "chunked"
    if response.status in {HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED}:
        return not lengths
    return len(lengths) == 1 and lengths[0].isascii() and lengths[0].isdigit()


def _patience(response: http.client.HTTPResponse) -> float:
    """Return how many seconds the server keeps an idle connection, less what a request takes to get there."""
    said = _KEEPS.search(response.headers.get("Keep-Alive", ""))
    return math.inf if said is None else max(0.0, float(said[1]) - 1)
