"""A way through the one dialler for a library that dials by itself: a proxy on loopback that leads to one server.

The client of a bucket (object_store) looks names up and connects out of our sight: an address judged before could be another
one when it connects, and a name server that hangs knows no deadline. So it is given a proxy: this one, which dials by
:mod:`hub.transport.connection` and then only carries bytes. For https it asks for a tunnel (CONNECT, RFC 9110 section
9.3.6), and TLS stays between the client and the server, whose real name the client checks. For http, which development
servers speak, it sends the absolute form (RFC 9112 section 3.2.2): one request a connection, whose head goes on in the
origin form.

Others on the same machine can reach loopback, too: whoever does not show the process's random credential gets nothing, and
whoever does gets to the one server alone, so that no redirect leads elsewhere.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hmac
import secrets
import socket
import struct
import threading
from collections.abc import Callable
from concurrent.futures import Future, InvalidStateError
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from typing import TYPE_CHECKING, Self, TypeAlias
from urllib.parse import urlsplit

from hub.supervision import Supervisor

if TYPE_CHECKING:
    from obstore.store import (
        ClientConfig,
    )  # Only a type; the library has no such name when it runs, and may be missing.

#: Connects to a host and port within bounds of its own; raises ``OSError`` where that comes to nothing.
Dial: TypeAlias = Callable[[str, int], socket.socket]

_PORTS = {"http": 80, "https": 443}
_LOOPBACK = "127.0.0.1"
#: Bytes and seconds for a head; the client writes one at once.
_LONGEST_HEAD = 16 * 1024
_HEAD_WITHIN = 5.0
#: Connections that have not shown the credential: beyond, the oldest is cut, so that nobody shuts the client out.
_MOST_STRANGERS = 64
#: Connections that have, with a thread each while they are dialled.
_MOST = 256
_PIECE = 64 * 1024
#: Seconds for what one side still has to say when the other has closed, and for look-ups under way at the end.
_PARTING = 1.0
#: A socket that is closed with this is reset: what was cut off must not look like an end.
_RESET = struct.pack("ii", 1, 0)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Head:
    """A request's head, and what came after it."""

    method: str
    target: str
    version: bytes
    fields: tuple[bytes, ...]
    rest: bytes

    def field(self, name: bytes) -> bytes:
        """Return a field's value; empty where there is none, or more than one."""
        found = [
            value.strip() for named, _, value in (each.partition(b":") for each in self.fields) if named.lower() == name
        ]
        return found[0] if len(found) == 1 else b""


class _Refused(Exception):
    """The client is told by a status."""

    def __init__(self, status: HTTPStatus) -> None:
        super().__init__(status.phrase)
        self.status = status


class Relay:
    """Leads to the server of ``url``; usable as a context manager that closes it.

    ``url`` is an http or https URL whose form was judged (:func:`hub.transport.addresses.url_parts`). ``failure`` is why
    the last attempt to dial that came to nothing did; the client learns a status only. ``client`` is what object_store's
    client has to be told.
    """

    def __init__(self, url: str, dial: Dial, *, supervisor: Supervisor | None = None) -> None:
        """Listen. ``supervisor`` keeps up the loop; without one it is nobody else's business.

        Raises:
            OSError: there is no port, or no thread, to be had.
        """
        target = urlsplit(url)
        self._secure = target.scheme == "https"
        self._host, self._port = target.hostname or "", target.port or _PORTS[target.scheme]
        self._dial = dial
        self.failure: Exception | None = None
        credential = f"hub:{secrets.token_hex(32)}"
        self._proof = b"Basic " + base64.b64encode(credential.encode())
        self._door = socket.create_server((_LOOPBACK, 0), backlog=_MOST_STRANGERS)
        self._door.settimeout(0)
        self._bell, self._cord = socket.socketpair()
        self._bell.settimeout(0)
        self.client: ClientConfig = {
            "proxy_url": f"http://{credential}@{_LOOPBACK}:{self._door.getsockname()[1]}",
            "proxy_excludes": "",  # What the environment excludes would go round the relay.
        }
        if not self._secure:
            self.client["pool_max_idle_per_host"] = "0"  # A second request would carry the credential on.
        self._strangers: dict[asyncio.Task[None], None] = {}
        self._known: set[asyncio.Task[None]] = set()
        self._dialling: set[asyncio.Future[socket.socket]] = set()
        try:
            self._loop = (supervisor or Supervisor()).begin("bucket-relay", self._run, daemon=True)
        except RuntimeError as exc:
            self._let_go()
            raise OSError("no thread") from exc

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Cut all connections and stop listening; a look-up under way may still say what came of it."""
        self._loop.stop.set()
        with contextlib.suppress(OSError):  # It was closed before.
            self._cord.send(b".")
        self._loop.end()
        self._let_go()

    def _let_go(self) -> None:
        for each in (self._door, self._bell, self._cord):
            each.close()

    def _run(self, stop: threading.Event) -> None:
        # Not the loop that the process may have chosen for serving: its own calls of sockets are what this needs.
        with asyncio.Runner(loop_factory=asyncio.SelectorEventLoop) as runner:
            self._strangers, self._known, self._dialling = {}, set(), set()
            runner.run(self._serve(stop))

    async def _serve(self, stop: threading.Event) -> None:
        accepting = asyncio.create_task(self._accept())
        rung = asyncio.create_task(asyncio.get_running_loop().sock_recv(self._bell, 1))
        await asyncio.wait([accepting, rung], return_when=asyncio.FIRST_COMPLETED)
        if not stop.is_set():
            await accepting  # It does not end by itself: its error goes to who keeps the loop up.
        accepting.cancel()
        if self._dialling:
            await asyncio.wait(self._dialling, timeout=_PARTING)

    async def _accept(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                near, _ = await loop.sock_accept(self._door)
            except OSError:  # No descriptor left, or it hung up at once.
                await asyncio.sleep(0.1)
                continue
            if len(self._strangers) >= _MOST_STRANGERS:
                next(iter(self._strangers)).cancel()
            task = asyncio.create_task(self._attend(near))
            self._strangers[task] = None
            task.add_done_callback(partial(self._gone, near))

    def _gone(self, near: socket.socket, task: asyncio.Task[None]) -> None:
        near.close()  # Here: a task that is cut before it began never came to it.
        self._strangers.pop(task, None)
        self._known.discard(task)

    async def _attend(self, near: socket.socket) -> None:
        with contextlib.suppress(OSError):  # Whoever hung up wants to know no more.
            near.settimeout(0)
            near.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            try:
                async with asyncio.timeout(_HEAD_WITHIN):
                    head = await _read_head(near)
                self._recognise(head)
                ahead = self._onward(head)
                far = await self._dialled()
            except _Refused as refused:
                await _answer(near, refused.status)
                return
            with far:
                far.settimeout(0)
                if self._secure:
                    await _answer(near, HTTPStatus.OK)
                await asyncio.get_running_loop().sock_sendall(far, ahead)
                await _carry_both(near, far)

    def _recognise(self, head: _Head) -> None:
        if not hmac.compare_digest(head.field(b"proxy-authorization"), self._proof):
            raise _Refused(HTTPStatus.PROXY_AUTHENTICATION_REQUIRED)
        task = asyncio.current_task()
        if task is None or len(self._known) >= _MOST:
            raise _Refused(HTTPStatus.SERVICE_UNAVAILABLE)
        self._strangers.pop(task, None)
        self._known.add(task)

    def _onward(self, head: _Head) -> bytes:
        """Return what the server is sent first; refuse whatever does not lead to it."""
        if (head.method == "CONNECT") is not self._secure:
            raise _Refused(HTTPStatus.FORBIDDEN)
        try:
            target = urlsplit(f"//{head.target}" if self._secure else head.target)
            named = (target.scheme, target.hostname, target.port or _PORTS.get(target.scheme))
        except ValueError as exc:
            raise _Refused(HTTPStatus.BAD_REQUEST) from exc
        if named != ("" if self._secure else "http", self._host, self._port):
            raise _Refused(HTTPStatus.FORBIDDEN)
        if self._secure:
            return head.rest
        path = (target.path or "/") + (f"?{target.query}" if target.query else "")
        kept = [each for each in head.fields if not each.lower().startswith(b"proxy-")]
        line = b" ".join((head.method.encode(), path.encode(), head.version))
        return b"\r\n".join((line, *kept, b"", head.rest))

    async def _dialled(self) -> socket.socket:
        asked: Future[socket.socket] = Future()
        try:
            # A daemon: a look-up that hangs must not keep the process from ending.
            threading.Thread(target=self._dial_for, args=[asked], name="relay-dial", daemon=True).start()
        except RuntimeError as exc:  # No thread to be had.
            self.failure = exc
            raise _Refused(HTTPStatus.SERVICE_UNAVAILABLE) from exc
        waiting = asyncio.wrap_future(asked)
        self._dialling.add(waiting)
        waiting.add_done_callback(self._dialling.discard)
        try:
            return await waiting
        except asyncio.CancelledError:
            asked.add_done_callback(_hang_up)
            raise
        except Exception as exc:
            raise _Refused(HTTPStatus.BAD_GATEWAY) from exc

    def _dial_for(self, asked: Future[socket.socket]) -> None:
        try:
            dialled = self._dial(self._host, self._port)
        except Exception as exc:  # noqa: BLE001  # whatever it is, it is why there is no connection
            self.failure = exc
            with contextlib.suppress(InvalidStateError):
                asked.set_exception(exc)
            return
        try:
            asked.set_result(dialled)
        except InvalidStateError:  # Nobody waits for it any more.
            dialled.close()


def _hang_up(asked: Future[socket.socket]) -> None:
    if not asked.cancelled() and asked.exception() is None:
        asked.result().close()


async def _read_head(near: socket.socket) -> _Head:
    loop, gathered = asyncio.get_running_loop(), b""
    while b"\r\n\r\n" not in gathered:
        if len(gathered) > _LONGEST_HEAD:
            raise _Refused(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)
        piece = await loop.sock_recv(near, 4096)
        if not piece:
            raise ConnectionAbortedError
        gathered += piece
    written, _, rest = gathered.partition(b"\r\n\r\n")
    line, *fields = written.split(b"\r\n")
    try:
        method, target, version = line.split(b" ")
        return _Head(
            method=method.decode("ascii"),
            target=target.decode("ascii"),
            version=version,
            fields=tuple(fields),
            rest=rest,
        )
    except ValueError as exc:
        raise _Refused(HTTPStatus.BAD_REQUEST) from exc


async def _answer(near: socket.socket, status: HTTPStatus) -> None:
    # A tunnel's yes has no length (RFC 9110 section 9.3.6).
    fields = "" if status is HTTPStatus.OK else "Content-Length: 0\r\nConnection: close\r\n"
    said = f"HTTP/1.1 {status.value} {status.phrase}\r\n{fields}\r\n"
    await asyncio.get_running_loop().sock_sendall(near, said.encode())


async def _carry_both(near: socket.socket, far: socket.socket) -> None:
    ways = [asyncio.create_task(_carry(near, far)), asyncio.create_task(_carry(far, near))]
    try:
        await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        # A server that refuses closes before it has read all: its answer is still on the way.
        await asyncio.wait(ways, timeout=_PARTING)
    finally:
        for way in ways:
            way.cancel()
        await asyncio.gather(*ways, return_exceptions=True)


async def _carry(source: socket.socket, sink: socket.socket) -> None:
    loop = asyncio.get_running_loop()
    while True:
        try:
            piece = await loop.sock_recv(source, _PIECE)
        except OSError:
            sink.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            return
        with contextlib.suppress(OSError):
            if not piece:
                sink.shutdown(socket.SHUT_WR)
                return
            await loop.sock_sendall(sink, piece)
            await asyncio.sleep(0)  # What is ready is taken without waiting, and others want their turn.
            continue
        return
