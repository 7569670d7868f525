"""An authority's mailbox as XTA has it: what waits is listed and handed out as messages; closing one takes it over.

A message is a submission: its id is the submission's, its first part is the manifest that folders have, with the receipt and
the log's entries, and its attachments are the sealed contents as they lie here. All of it goes the way of the sealed door:
:class:`Collection` says what may be read and notes who did, :class:`Acknowledgement` writes the last word. What was never
handed out cannot be closed, for closing deletes; closing twice is closing once.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Protocol
from urllib.parse import urlsplit
from uuid import UUID

from hub.errors import Conflict, not_found
from hub.fit_connect.collection import Collection
from hub.fit_connect.messages import Acknowledgement
from hub.identity import Caller
from hub.identity.certificates import CertificateHolder
from hub.model import Package, State, Subject
from hub.model.adapter import MANIFEST, NEWEST, checked, file_name, manifest
from hub.notifications.callbacks import CallbackWriter
from hub.observability.crashes import reach
from hub.proof.evidence import Evidences
from hub.soap import xta
from hub.store import Blobs, Store, StoredMessage, all_items

_PREFIX = "urn:de:xta:messageid:rathaus-hub:"
_KIND = "xoev"
#: What a message of ours is, in the words of XTA's meta data.
_SCENARIO = xta.XtaCode(code="Antrag", list_uri="urn:rathaus-hub:xta:scenarios", list_version="1")
_TYPE = xta.XtaCode(code="submission", list_uri="urn:rathaus-hub:xta:messages", list_version="1")
_SCHEMA = "urn:rathaus-hub:manifest:2"


class BoxTools(Protocol):
    """What a mailbox needs of the hub."""

    store: Store
    blobs: Blobs
    evidences: Evidences
    callback_writer: CallbackWriter
    base_url: str


@dataclass(frozen=True, kw_only=True, slots=True)
class BoxPage:
    """What waits behind a place in a mailbox: as much as was asked for, oldest first, and how many come after it."""

    messages: Sequence[StoredMessage]
    pending: int


class MessageBoxes:
    """Lists, hands out and closes."""

    def __init__(self, hub: BoxTools) -> None:
        self._store = hub.store
        self._blobs = hub.blobs
        self._evidences = hub.evidences
        self._base_url = hub.base_url
        self._collection = Collection(store=hub.store, blobs=hub.blobs)
        self._acknowledgement = Acknowledgement(store=hub.store, callback_writer=hub.callback_writer)

    @property
    def identity(self) -> str:
        """How this server calls itself."""
        return self._base_url

    def waiting(self, holder: CertificateHolder, *, after: UUID | None, most: int, fresh: bool = False) -> BoxPage:
        """Return what waits, behind the message ``after``; ``fresh``: only what was never handed out."""
        all_waiting = [
            each
            for each in self._all(holder.caller, holder.destination.destination_id)
            if not fresh or each.collected_at is None
        ]
        there = [place for place, each in enumerate(all_waiting) if each.id == after]
        first = there[0] + 1 if there else 0
        if after is not None and not there:
            # It was closed meanwhile: what came in later than it did is behind it.
            closed = self._store.submissions.message(after, Subject.SUBMISSION)
            at = None if closed is None else closed.submitted_at
            behind = [each for each in all_waiting if at is None or (each.submitted_at or each.created_at) > at]
            first = len(all_waiting) - len(behind)
        return BoxPage(messages=all_waiting[first : first + most], pending=max(0, len(all_waiting) - first - most))

    def _all(self, caller: Caller, destination_id: UUID) -> Iterator[StoredMessage]:
        return all_items(
            lambda start: self._collection.waiting(
                caller=caller, destination_id=destination_id, offset=start, limit=500
            )
        )

    def size(self, message: StoredMessage) -> int:
        """Return the bytes of a message's contents."""
        whole = self._store.submissions.message(message.id, Subject.SUBMISSION)
        if whole is None or whole.contents is None:
            return 0
        return sum(sealed.size for _part, sealed in whole.contents.parts())

    def about(self, holder: CertificateHolder, message: StoredMessage) -> xta.XtaMessage:
        """Return what stands around a message."""
        return xta.XtaMessage(
            message_id=f"{_PREFIX}{message.id}",
            author=xta.Party(identifier=f"hub:{urlsplit(self._base_url).hostname}", kind=_KIND),
            reader=xta.Party(identifier=holder.identifier, kind=_KIND),
            service=message.service.identifier,
            scenario=_SCENARIO,
            message_type=_TYPE,
            payload_schema=_SCHEMA,
            initial_send=message.submitted_at or message.created_at,
            delivered=message.submitted_at,
            fetched=message.collected_at,
        )

    def hand_out(
        self, holder: CertificateHolder, submission_id: UUID, *, now: datetime
    ) -> tuple[StoredMessage, Sequence[xta.XtaPart]]:
        """Return a message with its parts, each read when it is its turn; it is recorded as read.

        Raises:
            NotFound: nothing waits under this id for this destination. Unavailable: what proves it contradicts itself.
        """
        self._mine(holder, submission_id)
        message = self._collection.whole(submission_id, caller=holder.caller, now=now)
        package = self._package(holder, message, now)
        first = manifest(package, version=NEWEST)
        contents = package.submission.contents
        head = xta.XtaPart(name=MANIFEST, media_type="application/json", size=len(first), chunks=[first])
        return message, [head] + [
            xta.XtaPart(
                name=file_name(part),
                media_type="application/jose",
                size=sealed.size,
                chunks=checked(package, sealed),
            )
            for part, sealed in contents.parts()
        ]

    def close(self, holder: CertificateHolder, submission_ids: Sequence[UUID], *, now: datetime) -> None:
        """Take messages over, each in a commit of its own; who died in between closes them all again.

        Raises:
            NotFound: one of them is not here, was rejected, or was never handed out; then none is closed.
        """
        messages = [self._mine(holder, each) for each in submission_ids]
        if any(each.collected_at is None or each.state is State.REJECTED for each in messages):
            raise not_found("submission-not-found")
        for message in messages:
            if message.state is not State.ACCEPTED:
                self._close(message, now)

    def _close(self, message: StoredMessage, now: datetime) -> None:
        reach("box-closing")
        try:
            self._acknowledgement.take(message, issuer=self._base_url, now=now)
        except Conflict:
            again = self._store.submissions.message(message.id, Subject.SUBMISSION)
            if again is None or again.state is not State.ACCEPTED:
                raise
        reach("box-closed")

    def found(self, holder: CertificateHolder, submission_id: UUID) -> StoredMessage:
        """Return a message of the mailbox, whatever became of it; errors as :meth:`close`."""
        return self._mine(holder, submission_id)

    def _mine(self, holder: CertificateHolder, submission_id: UUID) -> StoredMessage:
        message = self._store.submissions.message(submission_id, Subject.SUBMISSION)
        here = message is not None and message.destination_id == holder.destination.destination_id
        if message is None or not here or message.submitted_at is None:
            raise not_found("submission-not-found")
        if self._store.deliveries.quarantined(submission_id):
            raise not_found("submission-not-found")
        return message

    def _package(self, holder: CertificateHolder, message: StoredMessage, now: datetime) -> Package:
        submission = message.submission()
        delivery = self._store.deliveries.of(message.id)
        if submission is None or delivery is None:
            raise not_found("submission-not-found")
        return Package(
            delivery_id=delivery.delivery_id,
            attempt=1,
            repeat=False,
            submission=submission,
            destination=holder.destination,
            event_log=(),
            evidence=partial(
                self._evidences.of, submission, receipt=message.receipt, destination=holder.destination.name, now=now
            ),
            read=self._blobs.chunks,
            base_url=self._base_url,
        )


def submission_of(message_id: str) -> UUID:
    """Return the submission that a message id names.

    Raises:
        NotFound: it is none of this hub's.
    """
    try:
        if message_id.startswith(_PREFIX):
            return UUID(message_id.removeprefix(_PREFIX))
    except ValueError:
        pass
    raise not_found("submission-not-found")
