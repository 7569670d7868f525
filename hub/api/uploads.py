"""Uploads over HTTP: ``/hub/v1/uploads``, TUS 1.0.0 with all of its extensions but ``concatenation-unfinished``.

Bodies are read from the request's stream, a segment at a time: while one is sealed and written in a thread, the next arrives.
Header fields are judged before the first byte. An upload's URL is a key: it stands in ``Location`` and nowhere else.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from email.utils import format_datetime
from typing import Any
from urllib.parse import urlsplit

from connexion.lifecycle import ConnexionResponse
from starlette.requests import ClientDisconnect, Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from hub.api.guards import arrival
from hub.api.operations import nothing, reservation, visit
from hub.api.threads import in_thread, over
from hub.errors import Malformed, Text
from hub.identity import Caller
from hub.intake.uploads import Chunk, ChunkWriter, HeldUpload, UploadDesk, UploadStanding
from hub.uploads import (
    ALGORITHMS,
    EXTENSIONS,
    SEGMENT,
    VERSION,
    Checksum,
    ConcatKind,
    read_checksum,
    read_concat,
    read_description,
    read_number,
)

_PATH = "/hub/v1/uploads"
#: Segments in memory at once: one that arrives, one that is sealed, its ciphertext.
_AT_ONCE = 3
_WRONG_VERSION = 412
#: A method other than the one that everybody on the way sees; TUS allows it, and this hub does not take it.
_OVERRIDE = "x-http-method-override"


class ResumableUploads:
    """Handlers of resumable uploads. ``rest`` is after how many seconds a slow sender's bytes are told of."""

    def __init__(self, desk: UploadDesk, *, caller: Callable[[], Caller], base_url: str) -> None:
        self._desk = desk
        self._caller = caller
        self._prefix = urlsplit(base_url).path.rstrip("/") + _PATH
        self._rest = desk.rules.pause / 3

    async def options(self) -> ConnexionResponse:
        """Say what this hub can do: 204."""
        return nothing(
            headers={
                "Tus-Version": VERSION,
                "Tus-Extension": ",".join(EXTENSIONS),
                "Tus-Max-Size": str(self._desk.rules.quota.largest),
                "Tus-Checksum-Algorithm": ",".join(ALGORITHMS),
            }
        )

    async def create(self) -> ConnexionResponse:
        """Begin an upload, with its first bytes if they came along: 201 with its URL."""
        request, client = _asked(), self._caller().client_id
        headers = request.headers
        concat, description = (
            read_concat(headers.get("upload-concat")),
            read_description(headers.get("upload-metadata")),
        )
        length, checksum = _length(request, concat.kind), read_checksum(headers.get("upload-checksum"))
        begin = self._desk.begin
        begun = await in_thread(begin, client, length=length, description=description, concat=concat)
        answer = {"Location": self._url(begun.key.text), "Upload-Expires": _date(begun)}
        if concat.kind is not ConcatKind.FINAL and arrival(request.scope).length != 0:
            chunk = _chunk(request, 0, checksum)
            try:
                answer["Upload-Offset"] = str(await self._receive(request, begun.key.text, client, chunk))
            except BaseException:
                with suppress(Exception):  # Nobody has heard of it, and nobody will.
                    await in_thread(self._desk.drop, begun.key.text, client)
                raise
        return nothing(201, headers=answer)

    async def show(self, upload: str) -> ConnexionResponse:
        """Say how far an upload is: 200 without a body."""
        _asked()
        found = await in_thread(self._desk.show, upload, self._caller().client_id)
        said = {"Upload-Offset": str(found.offset), "Upload-Expires": _date(found), "Cache-Control": "no-store"}
        if found.length is None:
            said["Upload-Defer-Length"] = "1"
        else:
            said["Upload-Length"] = str(found.length)
        if found.description.said is not None:
            said["Upload-Metadata"] = found.description.said
        if found.kind is ConcatKind.PARTIAL:
            said["Upload-Concat"] = "partial"
        elif found.kind is ConcatKind.FINAL:
            said["Upload-Concat"] = f"final;{' '.join(map(self._url, found.parts))}"
        return nothing(200, headers=said)

    async def append(self, upload: str) -> ConnexionResponse:
        """Take a chunk: 204 with the new offset, once it is durable."""
        request, client = _asked(), self._caller().client_id
        headers = request.headers
        offset, checksum = (
            read_number("Upload-Offset", headers["upload-offset"]),
            read_checksum(headers.get("upload-checksum")),
        )
        offset = await self._receive(request, upload, client, _chunk(request, offset, checksum))
        found = await in_thread(self._desk.show, upload, client)
        return nothing(headers={"Upload-Offset": str(offset), "Upload-Expires": _date(found)})

    async def drop(self, upload: str) -> ConnexionResponse:
        """Delete an upload: 204."""
        _asked()
        await in_thread(self._desk.drop, upload, self._caller().client_id)
        return nothing()

    async def _receive(self, request: Request, upload: str, client: str, chunk: Chunk) -> int:
        """Read a chunk into an upload; return the offset behind it."""
        reservation().grow(_AT_ONCE * SEGMENT)
        held: HeldUpload = await in_thread(self._desk.take, upload, client)
        try:
            writer = await in_thread(self._desk.receive, held, chunk)
            await _Stream(request, writer, rest=self._rest).run()
            return int(writer.offset)
        finally:
            await in_thread(held.release)

    def _url(self, secret: str) -> str:
        """Return the address of an upload without a host: by whatever name the hub is called, it leads back there."""
        return f"{self._prefix}/{secret}"


class _Stream:
    """Reads one chunk's body into a writer, segment by segment."""

    def __init__(self, request: Request, writer: ChunkWriter, *, rest: float) -> None:
        self._request = request
        self._writer = writer
        self._rest = rest
        self._segment = bytearray()
        self._errand: asyncio.Future[Any] | None = None
        self._rested = time.monotonic()

    async def run(self) -> None:
        """Read all of it; of what broke off as much is kept as came, unless a checksum was to judge the whole."""
        try:
            async for piece in self._request.stream():
                self._segment += piece
                await self._write_full()
            await self._do(self._writer.write, bytes(self._segment))
            await self._do(self._writer.finish)
            await self._done()
        except BaseException as error:
            await self._end(error)
            raise

    async def _write_full(self) -> None:
        while len(self._segment) >= SEGMENT:
            segment = bytes(memoryview(self._segment)[:SEGMENT])
            del self._segment[:SEGMENT]
            await self._do(self._writer.write, segment)
        if time.monotonic() - self._rested > self._rest:
            rest, self._segment = bytes(self._segment), bytearray()
            await self._do(self._writer.write, rest)
            await self._do(self._writer.rest)
            self._rested = time.monotonic()

    async def _do(self, work: Callable[..., Any], *args: Any) -> None:
        """Begin a step once the one before is over."""
        await self._done()
        self._errand = asyncio.ensure_future(in_thread(work, *args))

    async def _done(self) -> None:
        if self._errand is not None:
            errand, self._errand = self._errand, None
            await errand

    async def _end(self, error: BaseException) -> None:
        if self._errand is not None:
            await over(self._errand)
        broken = isinstance(error, ClientDisconnect) or getattr(error, "slug", "") == "request-timeout"
        if broken:
            with suppress(Exception):  # What ended the request is what is told; this was for the next one.
                await in_thread(self._writer.write, bytes(self._segment))
                await in_thread(self._writer.break_off)
        await in_thread(self._writer.give_up)


class TusHeaders:
    """An ASGI layer around the answers to everything below the uploads' path: TUS names its version in each of them."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: D102  # ASGI's own interface
        if scope["type"] != "http" or not scope["path"].startswith(_PATH):
            await self._app(scope, receive, send)
            return

        async def said(message: Message) -> None:
            if message["type"] == "http.response.start":
                more = [(b"tus-resumable", VERSION.encode()), (b"referrer-policy", b"no-referrer")]
                if message["status"] == _WRONG_VERSION:
                    more.append((b"tus-version", VERSION.encode()))
                message["headers"] = [*message.get("headers", ()), *more]
            await send(message)

        await self._app(scope, receive, said)


def _asked() -> Request:
    """Return the request, if it speaks a version of the protocol that this hub knows, and says what it means.

    Raises:
        Malformed: another version (slug ``tus-version``), or a method hidden in a header field.
    """
    request = visit()
    if request.headers.get("tus-resumable") != VERSION:
        raise _other_version()
    if _OVERRIDE in request.headers:
        raise Malformed(
            Text(
                "X-HTTP-Method-Override nimmt der Hub nicht an. Senden Sie die Methode selbst.",
                "The hub does not take X-HTTP-Method-Override. Send the method itself.",
            )
        )
    return request


def _other_version() -> Malformed:
    return Malformed(
        Text(
            f"Der Hub spricht TUS {VERSION}. Senden Sie die Kopfzeile Tus-Resumable: {VERSION}.",
            f"The hub speaks TUS {VERSION}. Send the header field Tus-Resumable: {VERSION}.",
        ),
        slug="tus-version",
    )


def _length(request: Request, kind: ConcatKind) -> int | None:
    """Return how long an upload will be, None where that is said later; raise ``Malformed``."""
    said, deferred = request.headers.get("upload-length"), request.headers.get("upload-defer-length")
    if kind is ConcatKind.FINAL:
        given = said is not None or deferred is not None
    else:
        given = (said is None) == (deferred is None) or deferred not in {None, "1"}
    if given:
        raise Malformed(
            Text(
                "Sagen Sie genau eines: Upload-Length, oder Upload-Defer-Length: 1; ein zusammengesetzter Upload sagt keines.",
                "Say exactly one: Upload-Length, or Upload-Defer-Length: 1; a final upload says neither.",
            ),
            field="Upload-Length",
        )
    return None if said is None else read_number("Upload-Length", said)


def _chunk(request: Request, offset: int, checksum: Checksum | None) -> Chunk:
    length = request.headers.get("upload-length") if request.method == "PATCH" else None
    return Chunk(
        offset=offset,
        announced=arrival(request.scope).length,
        length=None if length is None else read_number("Upload-Length", length),
        checksum=checksum,
    )


def _date(standing: UploadStanding) -> str:
    """Return when an upload's time is over, as HTTP writes dates (RFC 9110, section 5.6.7)."""
    return format_datetime(standing.expires_at.replace(microsecond=0), usegmt=True)
