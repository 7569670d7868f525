"""The door for access points of AS4: ``POST /as4`` takes a signed, encrypted user message as an application.

Beside the contract, for ebMS is a protocol of its own. In this order, and nothing later before what stands above it:

1. the envelope, which comes first: size, shape, what it says of itself (:mod:`hub.soap.as4_reader`);
2. the P-Mode that these claims name, and the signature by its certificate: until here nobody is known, no part is read, and a
   refusal is unsigned and repeats nothing;
3. the client that the P-Mode names, as the plain door knows it; a reception at the plain door, which looks a repeat up by the
   message's id in the store, so that another node or a restart knows it too;
4. the parts as they come: opened, compared with what was signed, unpacked within bounds, and sealed at once;
5. acceptance; then a signed receipt that repeats what the message's signature covered. A repeat gets a receipt again.

The first part is the application, the others are its attachments. The message's properties name ``ars``, ``schema`` and
``externalReference``; its service is the public service. What passes (no room, no store) is told by HTTP's 503, so that the
sender repeats it; what does not is a signed error.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from uuid import uuid4

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from hub.admission import Admission
from hub.api.operations import area_of
from hub.api.threads import in_thread, until_stored
from hub.areas import Gazetteer
from hub.errors import HubError, IdempotencyConflict, Unavailable
from hub.identity import Caller, Directory, ScopeRight, require_sending
from hub.intake import IncomingAttachment, Intake, Reception, Replay
from hub.model import Application, Cover, MediaType, canonical_service
from hub.soap.as4 import MessageParts, PartReader, write_error, write_receipt, write_unsigned_error
from hub.soap.as4_reader import ENVELOPE_LIMIT, SignedMessage, read_envelope
from hub.soap.ebms import MOST_PARTS, Flaw, PartInfo, Unacceptable, UserMessage
from hub.soap.pmode import Agreements, PMode
from hub.web.multipart import Part, related_parts, safe_filename

PATH = "/as4"
#: Sealed bytes are handed to a thread in pieces of about this size.
_PIECE = 1024 * 1024
_ANSWER = "application/soap+xml; charset=UTF-8"


@dataclass(frozen=True, kw_only=True, slots=True)
class PartLimits:
    """Bytes of the application and of each attachment, once they are unpacked."""

    data: int
    attachment: int


class As4Door:
    """Answers ``/as4`` and hands everything else on."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        agreements: Agreements,
        intake: Intake,
        directory: Directory,
        admission: Admission,
        gazetteer: Gazetteer,
        clock: Callable[[], datetime],
        limits: PartLimits,
    ) -> None:
        self._app = app
        self._agreements = agreements
        self._intake = intake
        self._directory = directory
        self._admission = admission
        self._gazetteer = gazetteer
        self._clock = clock
        self._limits = limits

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: D102  # ASGI's own interface
        if scope["type"] != "http" or scope["path"] != PATH:
            await self._app(scope, receive, send)
            return
        noted = scope.setdefault("extensions", {})
        noted["connexion_routing"] = {"operation_id": "as4.receive"}  # What the metrics group requests by.
        if scope["method"] != "POST":
            answer = Response(status_code=405, headers={"Allow": "POST"})
        else:
            answer = await self._answer(Request(scope, receive), noted)
        await answer(scope, receive, send)

    async def _answer(self, request: Request, noted: dict[str, object]) -> Response:
        parts = related_parts(request.stream(), request.headers.get("content-type", ""), cap=MOST_PARTS + 1)
        try:
            agreement, message = await self._identified(parts)
        except Unavailable as error:
            return _later(error, noted)
        except (Unacceptable, HubError) as error:
            noted["problem"] = "as4-unproven"
            flaw = error.flaw if isinstance(error, Unacceptable) else Flaw.PARTS
            return _said(write_unsigned_error(_new_id(), self._clock(), flaw=flaw), 400)
        return await self._answer_proven(parts, agreement, message, noted)

    async def _identified(self, parts: AsyncIterator[Part]) -> tuple[PMode, SignedMessage]:
        held = self._admission.reserve()
        try:
            held.grow(ENVELOPE_LIMIT)
            proven: tuple[PMode, SignedMessage] = await in_thread(self._proven, await _root(parts))
            return proven
        finally:
            held.release()

    async def _answer_proven(
        self, parts: AsyncIterator[Part], agreement: PMode, message: SignedMessage, noted: dict[str, object]
    ) -> Response:
        refers_to = message.message.message_id
        error = partial(write_error, _new_id(), self._clock(), refers_to=refers_to, key=agreement.key)
        try:
            await self._taken(parts, agreement, message)
        except Unavailable as refused:
            return _later(refused, noted)
        except Unacceptable as refused:
            noted["problem"] = "as4-refused"
            return _said(await in_thread(error, flaw=refused.flaw))
        except IdempotencyConflict as refused:
            noted["problem"] = refused.slug
            return _said(await in_thread(error, flaw=Flaw.USED_ID))
        except HubError as refused:
            noted["problem"] = refused.slug
            said = f"{refused.slug}: {refused.detail.en}"
            return _said(await in_thread(error, flaw=Flaw.CONTENT, said=said))
        receipt = partial(write_receipt, refers_to=refers_to, references=message.references, key=agreement.key)
        return _said(await in_thread(receipt, _new_id(), self._clock()))

    def _proven(self, content: bytes) -> tuple[PMode, SignedMessage]:
        envelope = read_envelope(content)
        agreement = self._agreements.found(envelope.claims())
        if agreement is None:
            raise Unacceptable(Flaw.PROCESSING_MODE)
        return agreement, envelope.message(agreement.certificate, now=self._clock())

    async def _taken(self, parts: AsyncIterator[Part], agreement: PMode, message: SignedMessage) -> None:
        said = message.message
        cover = await in_thread(self._cover, agreement, said)
        kind = MediaType.meant_by(said.parts[0].media_type)
        if kind is None:
            raise Unacceptable(Flaw.CONTENT)
        largest = max(self._limits.data, self._limits.attachment)
        opened: MessageParts = await in_thread(message.open, agreement.key, limit=largest)
        reception = await in_thread(self._intake.open, cover, now=self._clock())
        with reception:
            data = await self._read_parts(parts, opened, said.parts, reception)
            application = Application(cover=cover, media_type=kind, data=data)
            await until_stored(partial(reception.accept, application, now=self._clock()))

    async def _read_parts(
        self,
        parts: AsyncIterator[Part],
        opened: MessageParts,
        infos: tuple[PartInfo, ...],
        reception: Reception | Replay,
    ) -> bytes:
        """Take all parts, each once and none besides; return the application."""
        data = _Data(reception, self._limits.data)
        by_cid = {info.cid: (number, info) for number, info in enumerate(infos)}
        async for part in parts:
            reader = opened.reader(part.name)
            number, info = by_cid[part.name]
            target = data if number == 0 else _attachment(reception, number, info)
            await _poured(part, reader, target)
        opened.finish()
        return bytes(data.content)

    def _cover(self, agreement: PMode, said: UserMessage) -> Cover:
        now = self._clock()
        client = self._directory.client(agreement.client, now=now)
        caller = None
        if client is not None and client.disabled_at is None:
            caller = Caller(client_id=client.client_id, kind=client.kind, scopes=client.scopes, expires_at=now)
        if caller is None or ScopeRight.SEND not in caller.rights:
            raise Unacceptable(Flaw.PROCESSING_MODE)
        area = area_of(said.properties.get("ars") or agreement.area or None, None, self._gazetteer).ars
        require_sending(caller, service=said.service, areas=[area])
        return Cover(
            sender=caller.client_id,
            service=canonical_service(said.service),
            area=area,
            schema=said.properties.get("schema"),
            idempotency_key=f"as4:{said.message_id}",
            external_reference=said.properties.get("externalReference"),
        )


class _Data:
    """The application itself, in memory, counted as it grows."""

    def __init__(self, reception: Reception | Replay, limit: int) -> None:
        self.content = bytearray()
        self._reception = reception
        self._limit = limit

    def write(self, piece: bytes) -> None:
        if len(self.content) + len(piece) > self._limit:
            raise Unacceptable(Flaw.NOT_DECOMPRESSED)
        self._reception.take(len(piece))
        self.content += piece

    def finish(self) -> None:
        pass


def _attachment(reception: Reception | Replay, number: int, info: PartInfo) -> IncomingAttachment:
    """Begin an attachment. Its name follows from its place: content ids change from one attempt to the next."""
    named = next((value for name, value in info.properties.items() if name.lower() == "filename"), None)
    return reception.attach(
        name=f"part-{number}",
        filename=None if named is None else safe_filename(named),
        media_type=info.media_type,
    )


async def _root(parts: AsyncIterator[Part]) -> bytes:
    root = await anext(parts, None)
    if root is None or root.content_type.partition(";")[0].strip().lower() != "application/soap+xml":
        raise Unacceptable(Flaw.PARTS)
    content = bytearray()
    async for chunk in root.chunks():
        content += chunk
        if len(content) > ENVELOPE_LIMIT:
            raise Unacceptable(Flaw.TOO_LARGE)
    return bytes(content)


async def _poured(part: Part, reader: PartReader, target: IncomingAttachment | _Data) -> None:
    """Open a part into what takes it. What a part yields is proven at its end: who is not, is refused, and nothing stays."""

    def more(sealed: bytes) -> None:
        for piece in reader.write(sealed):
            target.write(piece)

    def last(sealed: bytes) -> None:
        more(sealed)
        for piece in reader.finish():
            target.write(piece)
        target.finish()

    waiting = bytearray()
    async for chunk in part.chunks():
        waiting += chunk
        if len(waiting) >= _PIECE:
            await in_thread(more, bytes(waiting))
            waiting.clear()
    await in_thread(last, bytes(waiting))


def _said(content: bytes, status: int = 200) -> Response:
    return Response(content, status_code=status, headers={"Content-Type": _ANSWER})


def _later(error: Unavailable, noted: dict[str, object]) -> Response:
    noted["problem"] = error.slug
    return Response(status_code=503, headers={"Retry-After": str(max(1, int(error.retry_after.total_seconds())))})


def _new_id() -> str:
    return f"{uuid4()}@rathaus-hub"


__all__ = ["PATH", "As4Door", "PartLimits"]
