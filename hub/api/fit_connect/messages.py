"""FIT-Connect's submissions, replies and cases over HTTP.

What submissions and replies have in common over HTTP: upload, submit, collect, download, and the log.

Attachments are streams in both directions and are never in memory as a whole.

FIT-Connect's Submission API: announce, upload, submit; list, collect, download; the log of one submission.

FIT-Connect's replies: messages in either direction inside a case (section 7 of its wire).

FIT-Connect's cases: the list, one case, its event log, and events that receivers write.

Proof of a case for its parties: the signed checkpoint that holds it, and the way there.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from concurrent.futures import Future
from datetime import datetime
from functools import partial
from typing import Any, Protocol
from uuid import UUID

from connexion import context
from connexion.lifecycle import ConnexionResponse
from starlette.responses import Response

from hub.admission import Reservation
from hub.api import (
    FRESH,
    RequestLimits,
    etag,
    ids,
    in_thread,
    json_answer,
    known_states,
    note,
    nothing,
    over,
    paged,
    reservation,
    schema_violation,
    strict_json,
    until_stored,
    violation,
    visit,
)
from hub.api.downloads import Download, facts_of
from hub.api.fit_connect.versions import WireVersion, case_row, reply, reply_row, submission_row
from hub.crypto import HubKeys
from hub.errors import Malformed, Text
from hub.fit_connect.collection import Cases, CaseView, Collection, SealedParts, Unchanged
from hub.fit_connect.messages import Acknowledgement, Sending, SendingTools
from hub.fit_connect.submissions import (
    Announcing,
    AttachmentUpload,
    Looked,
    ReplyWish,
    SubmissionWish,
    Submitting,
    Uploading,
)
from hub.identity import Caller
from hub.model import Callback, Service, Subject
from hub.notifications.callbacks import at_rest
from hub.proof.checkpoints import Checkpoints
from hub.store import StoredMessage
from hub.transport.connection import Outbound

_log = logging.getLogger(__name__)
_JOSE = "application/jose"
#: Ciphertext is handed to the storing thread in pieces of about this size.
_PIECE = 1024 * 1024
#: … or of so many chunks, where a sender lets it trickle in.
_MOST_CHUNKS = 256
_LIMITS = RequestLimits()
#: A JSON body is read, parsed and taken apart; each step holds it once more.
_COPIES = 3


class Exchange(Sending, Protocol):
    """What submissions, replies and cases need of the hub."""

    cases: Cases
    keys: HubKeys
    outbound: Outbound

    def clock(self) -> datetime:
        """Return the time."""


class Counter:
    """What the handlers of submissions and replies work with."""

    def __init__(self, hub: Exchange, *, caller: Callable[[], Caller]) -> None:
        tools = SendingTools(hub)
        self.hub = hub
        self.caller = caller
        self.announcing = Announcing(tools)
        self.uploading = Uploading(tools)
        self.submitting = Submitting(tools)
        self.collection = Collection(store=hub.store, blobs=hub.blobs)


class Messages:
    """What submissions and replies have in common, in one version of the API."""

    kind: Subject

    def __init__(self, counter: Counter, dialect: WireVersion) -> None:
        self.counter = counter
        self.dialect = dialect

    async def take_attachment(self, message_id: str, attachment_id: str) -> ConnexionResponse:
        """Store an attachment while it arrives: 204."""
        upload = await in_thread(
            self.counter.uploading.begin,
            self.kind,
            UUID(message_id),
            UUID(attachment_id),
            declared=_declared(),
            caller=self.counter.caller(),
            profile=self.dialect.profile,
        )
        try:
            await _pour(context.request.stream(), upload, reservation())
        except BaseException:
            # Whatever ends the request, a client that hangs up included, leaves no half blob behind.
            upload.abort()
            raise
        return nothing()

    async def complete(self, message_id: str) -> StoredMessage:
        """Submit: wait for the commit, and return the message as announced."""
        note(**{self.kind.value: message_id})
        body = await self._body(reservation())
        submission_id, now = UUID(message_id), self.counter.hub.clock()
        # One look at the clock, one decision: what ages in between must not be read anew on the loop.
        looked = self.counter.submitting.at_hand(submission_id, len(body), now=now, kind=self.kind)
        submit = partial(self._submit, submission_id, body, self.counter.caller(), now=now, looked=looked)
        message = await until_stored(submit, here=looked is not None)
        note(**message.ids)
        return message

    async def collect(self, message_id: str, written: Callable[[StoredMessage], dict[str, Any]]) -> ConnexionResponse:
        """Hand out a message as ``written``, with its sealed metadata and data; 304 to who has them (RFC 9110, 13.1.2)."""
        collected: SealedParts | Unchanged = await in_thread(
            self.counter.collection.collect,
            self.kind,
            UUID(message_id),
            caller=self.counter.caller(),
            known=known_states(),
            now=self.counter.hub.clock(),
        )
        headers = {**FRESH, **etag(collected.state)}
        if isinstance(collected, Unchanged):
            return nothing(304, headers=headers)
        _log.info("%s collected", self.kind.value, extra=collected.message.ids | {"outcome": "collected"})
        return json_answer(written(collected.message) | contents(collected), headers=headers)

    async def hand_out(self, message_id: str, attachment_id: str) -> Response:
        """Return an attachment as a stream."""
        download = Download(visit().headers)
        sealed, chunks = await in_thread(
            self.counter.collection.attachment,
            self.kind,
            UUID(message_id),
            UUID(attachment_id),
            caller=self.counter.caller(),
            now=self.counter.hub.clock(),
            begin=download.begin,
        )
        return download.answer(sealed, chunks)

    async def look_at(self, message_id: str, attachment_id: str) -> Response:
        """Return the header fields of an attachment."""
        sealed = await in_thread(
            self.counter.collection.attachment_facts,
            self.kind,
            UUID(message_id),
            UUID(attachment_id),
            caller=self.counter.caller(),
        )
        return Response(media_type=_JOSE, headers=facts_of(sealed))

    async def log(self, message_id: str, offset: int, limit: int) -> ConnexionResponse:
        """Return the events of one message, oldest first."""
        page = await in_thread(
            self.counter.hub.cases.message_log,
            self.kind,
            UUID(message_id),
            caller=self.counter.caller(),
            offset=offset,
            limit=limit,
        )
        return json_answer(paged("eventLog", page, page.items))

    def callback(self, body: Mapping[str, Any]) -> Callback | None:
        """Return the callback of a body, judged, and with its secret encrypted for rest."""
        given = body.get("callback")
        if given is None:
            return None
        self.counter.hub.outbound.require_url(given["url"])
        return at_rest(Callback(url=given["url"], secret=given["secret"]), self.counter.hub.keys)

    async def _body(self, held: Reservation) -> bytes:
        body = bytearray()
        async for chunk in context.request.stream():
            held.grow(_COPIES * len(chunk))
            body += chunk
        return bytes(body)

    def _submit(
        self, message_id: UUID, body: bytes, caller: Caller, *, now: datetime, looked: Looked | None
    ) -> Future[StoredMessage]:
        """Parse and submit in one go: a change of thread costs as much as either."""
        metadata, data = _parts(strict_json(body, _LIMITS))
        return self.counter.submitting.submit(
            self.kind,
            message_id,
            metadata=metadata,
            data=data,
            caller=caller,
            profile=self.dialect.profile,
            now=now,
            looked=looked,
        )


async def _pour(stream: AsyncIterator[bytes], upload: AttachmentUpload, held: Reservation) -> None:
    """Store a body while it arrives: some chunks are being stored, the next ones collected. They are never copied together.

    Room is held for the most that was collected at any time, twice.

    Many small ones are stored early, for each is a Python object, far larger than a few bytes.
    """
    storing: asyncio.Future[None] | None = None
    chunks: list[bytes] = []
    size = most = 0
    try:
        async for chunk in stream:
            chunks.append(chunk)
            size += len(chunk)
            if size > most:
                held.grow(2 * (size - most))
                most = size
            if size >= _PIECE or len(chunks) >= _MOST_CHUNKS:
                if storing is not None:
                    await storing
                storing = asyncio.ensure_future(in_thread(_store, upload, chunks))
                chunks, size = [], 0
        if storing is not None:
            await storing
    except BaseException:
        if storing is not None:
            await over(storing)  # What ended the request is told, not what became of this piece.
        raise
    await in_thread(_finish, upload, chunks)


def _store(upload: AttachmentUpload, chunks: Iterable[bytes]) -> None:
    for chunk in chunks:
        upload.write(chunk)


def _finish(upload: AttachmentUpload, chunks: Iterable[bytes]) -> None:
    _store(upload, chunks)
    upload.finish()


def _declared() -> int | None:
    value = context.request.headers.get("content-length")
    return None if value is None else int(value)


def contents(collected: SealedParts) -> dict[str, Any]:
    """Write the sealed parts of a message; without data the member is left out."""
    document = {"encryptedMetadata": collected.metadata}
    if collected.data is not None:
        document["encryptedData"] = collected.data
    return document


def _parts(document: Any) -> tuple[str, str | None]:
    """Return metadata and data of a submit's body; null means absent (a public client writes it)."""
    metadata = document.get("encryptedMetadata") if isinstance(document, dict) else None
    if not isinstance(metadata, str):
        raise schema_violation(violation("type", "/encryptedMetadata", "json-pointer", "string"))
    data = document.get("encryptedData")
    if data is not None and not isinstance(data, str):
        raise schema_violation(violation("type", "/encryptedData", "json-pointer", "string"))
    return metadata, data


class SubmissionHandlers(Messages):
    """Handlers of ``/v1/submissions`` or ``/v2/submissions``."""

    kind = Subject.SUBMISSION

    async def announce(self, body: dict[str, Any]) -> ConnexionResponse:
        """Announce a submission: 201 with its ids."""
        wish = self._wish(body)
        announcing, now = self.counter.announcing, self.counter.hub.clock()
        caller = self.counter.caller()
        destination = announcing.at_hand(wish, caller=caller, now=now)
        announce = partial(announcing.announce, wish, caller=caller, now=now, destination=destination)
        message = await until_stored(announce, here=destination is not None)
        _log.info("submission announced", extra=message.ids | {"outcome": "announced"})
        answer = {
            "destinationId": str(message.destination_id),
            "submissionId": str(message.id),
            "caseId": str(message.case_id),
        }
        echoed = body.get("senderDestinationId")
        if echoed is not None and self.dialect.profile.require_data:
            answer["senderDestinationId"] = echoed
        return json_answer(answer, 201)

    async def upload(self, submissionId: str, attachmentId: str) -> ConnexionResponse:  # noqa: N803  # the contract's names
        """Take an attachment: 204, also where it replaces an earlier one."""
        return await self.take_attachment(submissionId, attachmentId)

    async def submit(self, submissionId: str) -> ConnexionResponse:  # noqa: N803
        """Complete a submission; the same once more is answered as the first time."""
        message = await self.complete(submissionId)
        return json_answer(self.dialect.submission(message), self.dialect.submitted)

    async def waiting(
        self,
        destinationId: str | None = None,  # noqa: N803
        offset: int = 0,
        limit: int = 100,
    ) -> ConnexionResponse:
        """List submitted submissions of own destinations."""
        page = await in_thread(
            self.counter.collection.waiting,
            caller=self.counter.caller(),
            destination_id=UUID(destinationId) if destinationId else None,
            offset=offset,
            limit=limit,
        )
        return json_answer(paged("submissions", page, [submission_row(message) for message in page.items]))

    async def show(self, submissionId: str) -> ConnexionResponse:  # noqa: N803
        """Hand out a submission."""
        return await self.collect(submissionId, self.dialect.submission)

    async def attachment(self, submissionId: str, attachmentId: str) -> Response:  # noqa: N803
        """Hand out an attachment, byte for byte as it was uploaded."""
        return await self.hand_out(submissionId, attachmentId)

    async def attachment_facts(self, submissionId: str, attachmentId: str) -> Response:  # noqa: N803
        """Tell an attachment's size."""
        return await self.look_at(submissionId, attachmentId)

    async def events(self, submissionId: str, offset: int = 0, limit: int = 100) -> ConnexionResponse:  # noqa: N803
        """Return the events of one submission, oldest first."""
        return await self.log(submissionId, offset, limit)

    def _wish(self, body: Mapping[str, Any]) -> SubmissionWish:
        """Read an announcement; either name of the service is understood in either version."""
        service = body.get("publicService") or body.get("serviceType")
        if service is None:
            raise schema_violation(violation("required", "", "json-pointer", "publicService, serviceType"))
        region, case_id = body.get("region"), body.get("caseId")
        return SubmissionWish(
            destination_id=UUID(body["destinationId"]),
            service=Service(
                identifier=service["identifier"],
                name=service.get("name") or "",
                description=service.get("description"),
            ),
            announced=tuple(UUID(each) for each in body["announcedAttachments"]),
            region=None if region is None else region.removeprefix("DE"),
            case_id=None if case_id is None else UUID(case_id),
            callback=self.callback(body),
        )


class Replies(Messages):
    """Handlers of ``/v1/replies`` or ``/v2/replies``: messages in either direction inside a case."""

    kind = Subject.REPLY

    async def announce(self, body: dict[str, Any]) -> ConnexionResponse:
        """Announce a reply to the other party of a case: 201 with its ids."""
        wish = ReplyWish(
            case_id=UUID(body["caseId"]),
            announced=tuple(UUID(each) for each in body.get("announcedAttachments") or ()),
            callback=self.callback(body),
        )
        announce = self.counter.announcing.announce_reply
        message = await until_stored(
            partial(announce, wish, caller=self.counter.caller(), now=self.counter.hub.clock())
        )
        answer = {
            "destinationId": str(message.destination_id),
            "replyId": str(message.id),
            "caseId": str(message.case_id),
        }
        return json_answer(answer, 201)

    async def upload(self, replyId: str, attachmentId: str) -> ConnexionResponse:  # noqa: N803
        """Take an attachment: 204, also where it replaces an earlier one."""
        return await self.take_attachment(replyId, attachmentId)

    async def submit(self, replyId: str) -> ConnexionResponse:  # noqa: N803
        """Complete a reply; the same once more is answered as the first time."""
        return json_answer(reply(await self.complete(replyId)), self.dialect.submitted)

    async def waiting(
        self,
        caseId: str | None = None,  # noqa: N803
        offset: int = 0,
        limit: int = 100,
    ) -> ConnexionResponse:
        """List replies that wait for the caller."""
        page = await in_thread(
            self.counter.collection.replies,
            caller=self.counter.caller(),
            case_id=UUID(caseId) if caseId else None,
            offset=offset,
            limit=limit,
        )
        return json_answer(paged("replies", page, [reply_row(message) for message in page.items]))

    async def show(self, replyId: str) -> ConnexionResponse:  # noqa: N803
        """Hand out a reply."""
        return await self.collect(replyId, reply)

    async def attachment(self, replyId: str, attachmentId: str) -> Response:  # noqa: N803
        """Hand out an attachment, byte for byte as it was uploaded."""
        return await self.hand_out(replyId, attachmentId)

    async def attachment_facts(self, replyId: str, attachmentId: str) -> Response:  # noqa: N803
        """Tell an attachment's size."""
        return await self.look_at(replyId, attachmentId)

    async def events(self, replyId: str, offset: int = 0, limit: int = 100) -> ConnexionResponse:  # noqa: N803
        """Return the events of one reply, oldest first."""
        return await self.log(replyId, offset, limit)


class CaseFiles:
    """Handlers of ``/v1/cases`` or ``/v2/cases``."""

    def __init__(
        self,
        *,
        cases: Cases,
        acknowledgement: Acknowledgement,
        dialect: WireVersion,
        caller: Callable[[], Caller],
        clock: Callable[[], datetime],
    ) -> None:
        self._cases = cases
        self._acknowledgement = acknowledgement
        self._dialect = dialect
        self._caller = caller
        self._clock = clock

    async def list(self, offset: int = 0, limit: int = 100) -> ConnexionResponse:
        """List the caller's cases."""
        page = await in_thread(self._cases.of_party, caller=self._caller(), offset=offset, limit=limit)
        return json_answer(paged("cases", page, [case_row(case) for case in page.items]))

    async def show(self, caseId: str) -> ConnexionResponse:  # noqa: N803  # the contract's name
        """Show one case and what was sent in it."""
        view: CaseView = await in_thread(self._cases.show, UUID(caseId), caller=self._caller())
        body: dict[str, Any] = {
            **case_row(view.case),
            "submissions": [{"submissionId": each} for each in ids(view.submission_ids)],
            "replies": [{"replyId": each} for each in ids(view.reply_ids)],
        }
        if view.case.tombstone is not None:
            body["tombstone"] = view.case.tombstone
        return json_answer(body)

    async def events(self, caseId: str, offset: int = 0, limit: int = 100) -> ConnexionResponse:  # noqa: N803
        """Return the case's event log, oldest first."""
        page = await in_thread(self._cases.log, UUID(caseId), caller=self._caller(), offset=offset, limit=limit)
        return json_answer(paged("eventLog", page, page.items))

    async def post_event(self, caseId: str) -> ConnexionResponse:  # noqa: N803
        """Take an event token of a receiver into the log: 204."""
        token = await token_body()
        await in_thread(
            self._acknowledgement.post,
            UUID(caseId),
            token,
            caller=self._caller(),
            profile=self._dialect.profile,
            now=self._clock(),
        )
        return nothing()


async def token_body() -> str:
    """Read a compact token; the edge has counted its bytes."""
    body = b"".join([chunk async for chunk in context.request.stream()])
    try:
        # Some clients end the body with a line break; it is no part of the token.
        return body.strip(b"\r\n").decode("ascii")
    except UnicodeDecodeError as exc:
        raise Malformed(
            Text(
                "Der Inhalt muss ein kompaktes JWS sein, ohne Anführungszeichen.",
                "The body must be a compact JWS, without quotes.",
            )
        ) from exc


class Proofs:
    """Handler of ``/hub/v1/cases/{caseId}/proof``."""

    def __init__(self, *, cases: Cases, checkpoints: Checkpoints, caller: Callable[[], Caller]) -> None:
        self._cases = cases
        self._checkpoints = checkpoints
        self._caller = caller

    async def show(self, caseId: str) -> ConnexionResponse:  # noqa: N803  # the parameter's name in openapi.yaml
        """Return the proof as JSON."""
        return json_answer(await in_thread(self._proof, UUID(caseId), self._caller()))

    def _proof(self, case_id: UUID, caller: Caller) -> dict[str, Any]:
        self._cases.show(case_id, caller=caller)  # Refuses whoever is no party.
        return self._checkpoints.proof(case_id)
