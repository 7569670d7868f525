"""HTTP/1.1 on one connection: uvicorn's protocol with bounds on what a stranger may send before anybody has looked at it.

The parser gathers a request line and a header section until they are complete, however long that takes. So bytes and time are
bounded here, before the application: of request line and header section (RFC 9112 sections 3 and 5), of chunk extensions and
trailers (section 7.1), of requests that wait behind an answer (section 9.3.2), and of connections. A connection on which no
answer is being made must complete its next request head in time, however it spends that time: silent, with half a head, or
with what is left of a body that nobody wants.

``Upgrade`` is never taken up (RFC 9110 section 7.8), and a request that offers it is served as if it had not.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from typing import Any, NamedTuple, Protocol, TypeAlias

import httptools
import uvicorn
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from hub.errors import HubError, Malformed, Overloaded, Text, TooLarge, too_slow
from hub.web.responses import SAFE, status_of

__all__ = [
    "BoundedProtocol",
    "ConnectionBounds",
    "LastWords",
    "Listener",
    "SharingServer",
    "SteadyServer",
    "headers_too_large",
    "server_options",
    "uri_too_long",
]

#: Bytes of a request line. Paths and queries over the caps of the application are refused with better words.
_LONGEST_LINE = 16 * 1024
#: Requests that may wait behind an answer on one connection. Nothing that the hub talks to sends more than one ahead.
_MOST_AHEAD = 16
#: Bytes around chunks that each byte of a body pays for: a client may send every byte as a chunk of its own.
_FRAMING = 16
#: Seconds for which a refused client is still listened to, so that it comes to read the answer.
_PARTING = 2.0
#: Connections over the bound that are still told so; more are cut without a word.
_SURPLUS = 64


@dataclass(frozen=True, kw_only=True, slots=True)
class ConnectionBounds:
    """What strangers may take up. Times are seconds, sizes bytes."""

    #: Request line and header section together.
    head_bytes: int = 64 * 1024
    #: From the connection, or the answer before, to the end of the header section.
    head_seconds: float = 15.0
    #: Connections of one process; at the bound, those without a request make room for new ones.
    connections: int = 800
    #: How long a client may leave an answer unread.
    unread_seconds: float = 60.0


#: The refusal of whoever comes by a connection too many.
FULL = Overloaded(
    Text(
        "Gerade sind hier zu viele Verbindungen offen. Bitte gleich noch einmal versuchen.",
        "Too many connections are open here just now. Please try again shortly.",
    )
)
#: Seconds between two ticks of a server, each of which renews the ``Date`` of answers.
_TICK = 1.0
#: Seconds for which a connection is left to a process that has fewer of them.
_GIVE_WAY = 0.002
#: Seconds without new connections where the system has no room for another one.
_EXHAUSTED = 1.0
_NO_ROOM = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})

_log = logging.getLogger(__name__)


class SteadyServer(uvicorn.Server):
    """Ticks once a second, and is told when it is to end; the library looks ten times: most of what an idle hub would do."""

    def __init__(self, config: uvicorn.Config) -> None:
        self._ends = False
        self._pause: asyncio.Future[None] | None = None
        super().__init__(config)

    @property
    def should_exit(self) -> bool:
        """Whether it is to end. The library's signal handlers say so, and any thread may."""
        return self._ends

    @should_exit.setter
    def should_exit(self, ends: bool) -> None:
        self._ends = ends
        pause = self._pause
        if ends and pause is not None:
            with suppress(RuntimeError):  # The loop is closed: it has ended.
                pause.get_loop().call_soon_threadsafe(_end, pause)

    async def main_loop(self) -> None:
        """Tick until it is to end; each tick of number 0 renews the date, too."""
        loop = asyncio.get_running_loop()
        while not await self.on_tick(0):
            self._pause = loop.create_future()
            timer = loop.call_later(_TICK, _end, self._pause)
            await self._pause
            timer.cancel()


def _end(pause: asyncio.Future[None]) -> None:
    if not pause.done():
        pause.set_result(None)


Listener: TypeAlias = socket.socket


class Siblings(Protocol):
    """Who else takes connections from the same socket."""

    def begun(self) -> None:
        """Note that this process takes some now."""

    def note_connections(self, number: int) -> None:
        """Note how many this process has."""

    def busier(self) -> bool:
        """Say whether another process has fewer of them."""

    def orphaned(self) -> bool:
        """Say whether whoever started this process is gone."""


class _Counted(set[Any]):
    """Connections, whose number is told at each change."""

    def __init__(self, siblings: Siblings) -> None:
        super().__init__()
        self._siblings = siblings

    def add(self, connection: Any) -> None:
        super().add(connection)
        self._siblings.note_connections(len(self))

    def discard(self, connection: Any) -> None:
        super().discard(connection)
        self._siblings.note_connections(len(self))


class SharingServer(SteadyServer):
    """Takes connections from a socket that other processes share, one at a time, and leaves them to who has fewer.

    The library takes all that wait at once; whoever is woken first would have all of them for as long as they last.
    """

    def __init__(self, config: uvicorn.Config, *, listener: Listener, siblings: Siblings) -> None:
        super().__init__(config)
        self._listener = listener
        self._siblings = siblings
        self.server_state.connections = _Counted(siblings)
        self._taking: set[asyncio.Task[Any]] = set()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to take connections, once the application has begun."""
        del sockets
        await super().startup(sockets=[])
        self._listener.setblocking(False)  # noqa: FBT003  # its only parameter
        self._listen()
        self._siblings.begun()

    async def on_tick(self, counter: int) -> bool:
        """Renew the date; say whether it is to end, as also where nobody is left to say so."""
        return await super().on_tick(counter) or self._siblings.orphaned()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Take no more, and finish what was begun."""
        asyncio.get_running_loop().remove_reader(self._listener)
        self._listener.close()
        await super().shutdown(sockets)

    def _listen(self) -> None:
        if self._listener.fileno() >= 0:
            asyncio.get_running_loop().add_reader(self._listener, self._waiting)

    def _waiting(self) -> None:
        """A connection waits: take it, or leave it for a moment to who has fewer."""
        if not self._siblings.busier():
            self._take()
            return
        loop = asyncio.get_running_loop()
        loop.remove_reader(self._listener)
        loop.call_later(_GIVE_WAY, self._left)

    def _left(self) -> None:
        """Take what nobody else did, and go on as before."""
        if self._listener.fileno() >= 0:
            self._listen()
            self._take()

    def _take(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            connection, _ = self._listener.accept()
        except (BlockingIOError, InterruptedError, ConnectionAbortedError):
            return  # Somebody else has it, or nobody wants it any more.
        except OSError as error:
            if error.errno not in _NO_ROOM:
                raise
            _log.error("no further connection can be taken: %s", error)
            loop.remove_reader(self._listener)
            loop.call_later(_EXHAUSTED, self._listen)
            return
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.setblocking(False)  # noqa: FBT003
        task = loop.create_task(loop.connect_accepted_socket(self._protocol, connection))
        self._taking.add(task)
        task.add_done_callback(self._taking.discard)

    def _protocol(self) -> asyncio.Protocol:
        made: asyncio.Protocol = self.config.http_protocol_class(  # type: ignore[call-arg]  # as the library does
            config=self.config, server_state=self.server_state, app_state=self.lifespan.state
        )
        return made


class LastWords(NamedTuple):
    """How a server answers what is refused before it is a request, and what comes by a connection too many."""

    #: Returns the answer for the wire (RFC 9112), the last of its connection; path and headers are as far as they came.
    spoken: Callable[[HubError, str, list[tuple[bytes, bytes]]], bytes]
    #: Answers that there are too many connections.
    full: ASGIApp


def _plainly(error: HubError, path: str, headers: list[tuple[bytes, bytes]]) -> bytes:
    """Return a refusal in words for people: nothing of what came is in it."""
    del path, headers
    body = f"{error.detail.de}\n{error.detail.en}\n".encode()
    status = status_of(error)
    fields = {
        "content-type": "text/plain; charset=utf-8",
        "content-length": str(len(body)),
        "connection": "close",
        **SAFE,
    }
    lines = [f"HTTP/1.1 {status} {HTTPStatus(status).phrase}", *(f"{name}: {value}" for name, value in fields.items())]
    return "\r\n".join([*lines, "", ""]).encode() + body


async def _plainly_full(scope: Scope, receive: Receive, send: Send) -> None:
    words = f"{FULL.detail.de}\n{FULL.detail.en}\n"
    await PlainTextResponse(words, status_code=status_of(FULL), headers=SAFE)(scope, receive, send)


_PLAIN = LastWords(spoken=_plainly, full=_plainly_full)


def server_options(bounds: ConnectionBounds, *, words: LastWords = _PLAIN) -> dict[str, Any]:
    """Return what uvicorn is told wherever we serve; host, port and life are for the caller to add."""
    return {
        "http": partial(BoundedProtocol, bounds=bounds, words=words),
        "ws": "none",
        "access_log": False,
        "log_level": "warning",
        "log_config": None,  # Its lines are written as all others are.
        "server_header": False,
    }


class BoundedProtocol(HttpToolsProtocol):
    """One connection within ``bounds``."""

    def __init__(self, *arguments: Any, bounds: ConnectionBounds, words: LastWords = _PLAIN, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._bounds = bounds
        self._words = words
        self.url = b""
        self.headers = []
        self.since = self.loop.time()
        self._timer: asyncio.TimerHandle | None = None
        self._unread: asyncio.TimerHandle | None = None
        self._running: RequestResponseCycle | None = None
        self._surplus = False  # Over the bound on connections: what it asks for is refused.
        self._begun = False  # Whether a head has begun and not ended.
        self._heads = 0  # Header sections that were completed.
        self._gathered = 0  # Bytes that came since the last complete one, as far as no callback has told of them.
        self._size = 0  # Bytes of this request's head that callbacks told of.
        self._in_body = False
        self._body = 0
        self._framing = 0
        self._codings: list[bytes] = []
        self._offers = False
        self._reason: HubError | None = None
        self._parting: bytes | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as in uvicorn
        """Begin to wait for a request."""
        super().connection_made(transport)
        self.since = self.loop.time()
        self._timer = self.loop.call_later(self._bounds.head_seconds, self._look)
        if len(self.connections) > self._bounds.connections:
            self._make_room()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait for nothing any more."""
        super().connection_lost(exc)
        if self._running is not None and not self._running.response_complete:
            self._running.disconnected = True
            self._running.message_event.set()
        for timer in (self._timer, self._unread):
            if timer is not None:
                timer.cancel()

    def pause_writing(self) -> None:
        """Hold the answer back, for as long as its reader may take to go on."""
        super().pause_writing()
        self._unread = self.loop.call_later(self._bounds.unread_seconds, self.transport.abort)

    def resume_writing(self) -> None:
        """Go on with the answer."""
        if self._unread is not None:
            self._unread.cancel()
        super().resume_writing()

    def data_received(self, data: bytes) -> None:
        """Take what came, up to the bounds."""
        self._unset_keepalive_if_required()
        while data and self._parting is None:
            heads, in_body, body = self._heads, self._in_body, self._body
            try:
                self.parser.feed_data(data)
            except httptools.HttpParserUpgrade as paused:
                data = self._without_offer() + data[paused.args[0] :]
                continue
            except httptools.HttpParserError:
                self._refuse(self._reason or _BROKEN)
                return
            self._account(len(data), heads=heads, in_body=in_body, body=body)
            return

    def _account(self, size: int, *, heads: int, in_body: bool, body: int) -> None:
        """Count what the parser holds, or has skipped, without a callback that would have told."""
        if self._heads != heads:
            return
        if in_body and self._in_body:
            self._framing += size - (self._body - body)
            if self._framing > self._bounds.head_bytes + _FRAMING * self._body:
                self._refuse(headers_too_large(self._bounds.head_bytes))
        elif not in_body:
            self._gathered += size
            if self._gathered > self._bounds.head_bytes:
                self._refuse(headers_too_large(self._bounds.head_bytes))

    def on_message_begin(self) -> None:
        """Begin a request, unless too many wait already."""
        if len(self.pipeline) >= _MOST_AHEAD:
            raise self._stop(_TOO_FAR_AHEAD)
        self._begun = True
        self._size = 0
        self._codings = []
        super().on_message_begin()

    def on_url(self, url: bytes) -> None:
        """Take a piece of the request's target."""
        self._size += len(url)
        if self._size > min(_LONGEST_LINE, self._bounds.head_bytes):
            raise self._stop(_LINE_TOO_LONG)
        self.url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header field. Fields behind a body are none of the request's (RFC 9110 section 6.5.1)."""
        if self._in_body:
            return
        self._size += len(name) + len(value) + 4
        if self._size > self._bounds.head_bytes:
            raise self._stop(headers_too_large(self._bounds.head_bytes))
        name = name.lower()
        if name == b"expect":
            self.expect_100_continue = value.lower() == b"100-continue"
        elif name == b"transfer-encoding":
            self._codings.append(value)
        self.headers.append((name, value))

    def on_headers_complete(self) -> None:
        """Start the request, if its framing can be read in one way."""
        self._heads += 1
        self._gathered = self._body = self._framing = 0
        if self.parser.should_upgrade():
            if self.parser.get_method() == b"CONNECT":
                raise self._stop(_BROKEN)
            self._offers = True
            return
        if self._codings and not self._is_chunked():
            raise self._stop(_CODED)
        super().on_headers_complete()
        self._begun, self._in_body = False, True

    def on_body(self, body: bytes) -> None:
        """Take a piece of the body."""
        self._body += len(body)
        super().on_body(body)

    def on_message_complete(self) -> None:
        """End a request."""
        self._in_body = False
        if not self._offers:
            super().on_message_complete()

    def on_response_complete(self) -> None:
        """Begin to wait for the next request."""
        self.since = self.loop.time()
        if self._timer is None and not self.transport.is_closing():
            self._timer = self.loop.call_later(self._bounds.head_seconds, self._look)
        super().on_response_complete()
        if self._parting is not None and not self.is_busy():
            self._part()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        self._running = cycle
        if self._surplus:
            cycle.keep_alive = False
            app = self._words.full
        super()._start_asgi_task(cycle, app)

    def _is_chunked(self) -> bool:
        one = len(self._codings) == 1 and self._codings[0].strip(b" \t").lower() == b"chunked"
        return one and self.parser.get_http_version() == "1.1"

    def is_busy(self) -> bool:
        """Tell whether an answer is being made."""
        return bool(self.pipeline) or (self._running is not None and not self._running.response_complete)

    def _without_offer(self) -> bytes:
        """Return the head of the request that offered an upgrade without the offer, for a parser that saw none of it."""
        self._offers = self._in_body = False
        version = self.parser.get_http_version().encode()
        lines = [b"%b %b HTTP/%b" % (self.parser.get_method(), self.url, version)]
        for name, value in self.headers:
            if name == b"connection":
                kept = [option for option in value.split(b",") if option.strip().lower() not in _OFFER]
                lines.append(b"connection: " + b",".join(kept))
            elif name not in _OFFER:
                lines.append(name + b": " + value)
        self.parser = httptools.HttpRequestParser(self)
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)
        return b"\r\n".join(lines) + b"\r\n\r\n"

    def _make_room(self) -> None:
        """Close the connection that has gone longest without a request; without one, this one is too many."""
        idle = [each for each in self.connections if isinstance(each, BoundedProtocol) and not each.is_busy()]
        idle = [each for each in idle if each is not self and not each.transport.is_closing()]
        if idle:
            longest = min(idle, key=lambda each: each.since)
            longest.transport.abort()
            return
        self._surplus = True
        if len(self.connections) > self._bounds.connections + _SURPLUS:
            self.transport.abort()

    def _look(self) -> None:
        """End a connection that keeps its next request waiting; look again later at any other."""
        self._timer = None
        if self.transport.is_closing() or self.is_busy():
            return  # The end of the answer looks again.
        left = self.since + self._bounds.head_seconds - self.loop.time()
        if left > 0:
            self._timer = self.loop.call_later(left, self._look)
        elif self._begun or self._gathered:
            self._refuse(_HEAD_TOO_SLOW)
        else:
            self.transport.close()

    def _stop(self, reason: HubError) -> _StopError:
        """Return what a callback raises to stop the parser."""
        self._reason = reason
        return _StopError()

    def _refuse(self, reason: HubError) -> None:
        """Take nothing more; tell why, after the answers that are due before it, and close."""
        self._parting = self._words.spoken(reason, self.url.decode("latin-1"), self.headers)
        if self._in_body:
            self._give_up(self.cycle)
        if not self.is_busy():
            self._part()

    def _give_up(self, cycle: RequestResponseCycle) -> None:
        """End the request whose body cannot be taken, as if its sender had gone."""
        if self.pipeline:
            self.pipeline.popleft()  # It still waits for its turn.
            return
        if cycle.response_started:
            self._parting = b""  # Its answer is out, at least in part.
        cycle.disconnected = cycle.response_complete = True
        cycle.message_event.set()

    def _part(self) -> None:
        """Say the last word. Closing at once would take it back where the client still sends (TCP resets)."""
        if self.transport.is_closing():
            return
        self.flow.resume_reading()
        self.transport.write(self._parting or b"")
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self.loop.call_later(_PARTING, self.transport.close)


def uri_too_long(most: int) -> TooLarge:
    """Return the refusal of an address, its query or a request line of more than ``most`` bytes (RFC 9110 section 15.5.15)."""
    return TooLarge(
        Text(
            f"Die Adresse oder ihr Abfrageteil ist zu lang: erlaubt sind {most} Byte.",
            f"The address or its query is too long: {most} bytes are allowed.",
        ),
        slug="uri-too-long",
    )


def headers_too_large(most: int, fields: int | None = None) -> TooLarge:
    """Return the refusal of header fields over ``most`` bytes or, if it is bounded, their number (RFC 6585 section 5)."""
    number = ("", "") if fields is None else (f"{fields} mit zusammen ", f"{fields} of together ")
    return TooLarge(
        Text(
            f"Kopfzeilen, Trailer oder Chunk-Erweiterungen sind zu groß: erlaubt sind {number[0]}{most} Byte.",
            f"Header fields, trailers or chunk extensions are too large: {number[1]}{most} bytes are allowed.",
        ),
        slug="headers-too-large",
    )


class _StopError(Exception):
    """Stops the parser from within a callback."""


_OFFER = frozenset({b"upgrade", b"http2-settings"})
_BROKEN = Malformed(
    Text(
        "Das ist keine HTTP-Anfrage, wie RFC 9112 sie beschreibt. Prüfen Sie Anfragezeile, Kopfzeilen und Länge.",
        "This is no HTTP request as RFC 9112 has it. Check request line, header fields and length.",
    )
)
_CODED = Malformed(
    Text(
        "Transfer-Encoding darf nur „chunked“ sein, einmal, in HTTP/1.1. Senden Sie den Inhalt unkomprimiert.",
        "Transfer-Encoding may only be 'chunked', once, in HTTP/1.1. Send the body as it is.",
    )
)
_TOO_FAR_AHEAD = Malformed(
    Text(
        f"Höchstens {_MOST_AHEAD} Anfragen dürfen auf ihre Antwort warten. Senden Sie die übrigen noch einmal.",
        f"At most {_MOST_AHEAD} requests may wait for their answers. Send the others again.",
    )
)
_LINE_TOO_LONG = uri_too_long(_LONGEST_LINE)
_HEAD_TOO_SLOW = too_slow(
    Text("Die Kopfzeilen kamen nicht rechtzeitig an.", "The header fields did not arrive in time.")
)
