"""What submissions and replies have in common over HTTP: upload, submit, collect, download, and the log.

Attachments are streams in both directions and are never in memory as a whole.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any
from uuid import UUID

from connexion import context
from connexion.lifecycle import ConnexionResponse
from starlette.responses import Response, StreamingResponse

from hub.admission import Admission, Reservation
from hub.api.answers import FRESH, etag, json_answer, known_states, nothing, paged
from hub.api.fit_connect.versions import Dialect
from hub.api.limits import Limits
from hub.api.operations import reservation
from hub.api.readers import strict_json
from hub.api.threads import in_thread, over, until_stored
from hub.crypto.keyring import HubKeys
from hub.errors import Malformed, Text
from hub.fit_connect.collection import Cases, Collected, Collection, Unchanged
from hub.fit_connect.submissions import Announcing, Looked, Submitting, Upload, Uploading
from hub.identity.clients import Caller
from hub.model.events import Subject
from hub.model.parties import Callback
from hub.model.submission import Sealed
from hub.notifications.callbacks import at_rest
from hub.store import StoredMessage
from hub.transport.connection import Outbound

_JOSE = "application/jose"
#: Ciphertext is handed to the storing thread in pieces of about this size.
_PIECE = 1024 * 1024
#: … or of so many chunks, where a sender lets it trickle in.
_MOST_CHUNKS = 256
#: A JSON body is read, parsed and taken apart; each step holds it once more.
_COPIES = 3


@dataclass(frozen=True, kw_only=True, slots=True)
class Counter:
    """What the handlers of submissions and replies work with."""

    announcing: Announcing
    uploading: Uploading
    submitting: Submitting
    collection: Collection
    cases: Cases
    admission: Admission
    keys: HubKeys
    outbound: Outbound
    caller: Callable[[], Caller]
    clock: Callable[[], datetime]
    limits: Limits


class Messages:
    """What submissions and replies have in common, in one version of the API."""

    kind: Subject

    def __init__(self, counter: Counter, dialect: Dialect) -> None:
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
        body = await self._body(reservation())
        submission_id, now = UUID(message_id), self.counter.clock()
        # One look at the clock, one decision: what ages in between must not be read anew on the loop.
        looked = self.counter.submitting.at_hand(submission_id, len(body), now=now, kind=self.kind)
        submit = partial(self._submit, submission_id, body, self.counter.caller(), now=now, looked=looked)
        return await until_stored(submit, here=looked is not None)

    async def collect(self, message_id: str, written: Callable[[StoredMessage], dict[str, Any]]) -> ConnexionResponse:
        """Hand out a message as ``written``, with its sealed metadata and data; 304 to who has them (RFC 9110, 13.1.2)."""
        collected: Collected | Unchanged = await in_thread(
            self.counter.collection.collect,
            self.kind,
            UUID(message_id),
            caller=self.counter.caller(),
            known=known_states(),
            now=self.counter.clock(),
        )
        headers = {**FRESH, **etag(collected.state)}
        if isinstance(collected, Unchanged):
            return nothing(304, headers=headers)
        return json_answer(written(collected.message) | contents(collected), headers=headers)

    async def hand_out(self, message_id: str, attachment_id: str) -> Response:
        """Return an attachment as a stream."""
        sealed, chunks = await in_thread(
            self.counter.collection.attachment,
            self.kind,
            UUID(message_id),
            UUID(attachment_id),
            caller=self.counter.caller(),
            now=self.counter.clock(),
        )
        return StreamingResponse(chunks, media_type=_JOSE, headers=_facts(sealed))

    async def look_at(self, message_id: str, attachment_id: str) -> Response:
        """Return the header fields of an attachment."""
        sealed = await in_thread(
            self.counter.collection.attachment_facts,
            self.kind,
            UUID(message_id),
            UUID(attachment_id),
            caller=self.counter.caller(),
        )
        return Response(media_type=_JOSE, headers=_facts(sealed))

    async def log(self, message_id: str, offset: int, limit: int) -> ConnexionResponse:
        """Return the events of one message, oldest first."""
        page = await in_thread(
            self.counter.cases.message_log,
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
        self.counter.outbound.check(given["url"])
        return at_rest(Callback(url=given["url"], secret=given["secret"]), self.counter.keys)

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
        metadata, data = _parts(strict_json(body, self.counter.limits))
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


async def _pour(stream: AsyncIterator[bytes], upload: Upload, held: Reservation) -> None:
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


def _store(upload: Upload, chunks: Iterable[bytes]) -> None:
    for chunk in chunks:
        upload.write(chunk)


def _finish(upload: Upload, chunks: Iterable[bytes]) -> None:
    _store(upload, chunks)
    upload.finish()


def _declared() -> int | None:
    value = context.request.headers.get("content-length")
    return None if value is None else int(value)


def _facts(sealed: Sealed) -> dict[str, str]:
    return {"Content-Length": str(sealed.size), "Cache-Control": "no-store"}


def contents(collected: Collected) -> dict[str, Any]:
    """Write the sealed parts of a message; without data the member is left out."""
    document = {"encryptedMetadata": collected.metadata}
    if collected.data is not None:
        document["encryptedData"] = collected.data
    return document


def _parts(document: Any) -> tuple[str, str | None]:
    """Return metadata and data of a submit's body; null means absent (a public client writes it)."""
    metadata = document.get("encryptedMetadata") if isinstance(document, dict) else None
    if not isinstance(metadata, str):
        raise Malformed(
            Text(
                "Der Inhalt muss ein JSON-Objekt mit encryptedMetadata und encryptedData sein, beide als Text.",
                "The body must be a JSON object with encryptedMetadata and encryptedData, both as text.",
            ),
            slug="schema-violation",
        )
    data = document.get("encryptedData")
    if data is not None and not isinstance(data, str):
        raise Malformed(
            Text("encryptedData muss ein Text sein.", "encryptedData must be text."), slug="schema-violation"
        )
    return metadata, data
