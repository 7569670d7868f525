"""The receiver's side: what waits, what it holds, and the cases that it belongs to.

The receiver's side: what waits, and reading it. Whoever reads contents is recorded, once a day.

Cases and their event logs, for the parties of a case.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Container, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from hub.errors import NotFound, Text, not_found
from hub.identity import Caller, delegated_among, own_destination, reach, require_party
from hub.model import EVERYTHING, Contents, Form, Sealed, State, Subject
from hub.proof.evidence import Notary
from hub.store import Blobs, Case, Page, Store, StoredMessage

#: States in which contents may be read; after accept or reject they are gone for everybody.
_READABLE = frozenset({State.SUBMITTED, State.FORWARDED})


@dataclass(frozen=True, kw_only=True, slots=True)
class SealedParts:
    """A message with its metadata and data as compact JWEs."""

    message: StoredMessage
    metadata: str = field(repr=False)
    data: str | None = field(repr=False)
    state: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Unchanged:
    """A message of which the caller has the contents already."""

    state: str


def _at_its_start(_: Sealed) -> int:
    return 0


class Collection:
    """Lists and hands out messages to those that receive them."""

    def __init__(self, *, store: Store, blobs: Blobs, readable: Container[State] = _READABLE) -> None:
        """``readable`` are the states in which contents are handed out."""
        self._store = store
        self._blobs = blobs
        self._handed_out_in = readable

    def waiting(self, *, caller: Caller, destination_id: UUID | None, offset: int, limit: int) -> Page[StoredMessage]:
        """Return submitted submissions of one or all of the caller's destinations, oldest first; what is pushed only, not.

        Raises:
            NotFound, Forbidden: the destination named is unknown or somebody else's.
        """
        destination_ids = [destination_id] if destination_id else self._own_destinations(caller)
        if destination_id is not None:
            own_destination(self._store, destination_id, caller)
        return self._store.submissions.messages(
            Subject.SUBMISSION,
            destination_ids=destination_ids,
            state=State.SUBMITTED,
            form=Form.JOSE,
            offset=offset,
            limit=limit,
        )

    def replies(self, *, caller: Caller, case_id: UUID | None, offset: int, limit: int) -> Page[StoredMessage]:
        """Return submitted replies that are addressed to the caller, oldest first."""
        return self._store.submissions.messages(
            Subject.REPLY,
            addressee=caller.client_id,
            case_id=case_id,
            state=State.SUBMITTED,
            offset=offset,
            limit=limit,
        )

    def collect(
        self,
        kind: Subject,
        message_id: UUID,
        *,
        caller: Caller,
        known: Container[str] = (),
        now: datetime,
    ) -> SealedParts | Unchanged:
        """Return a message with metadata and data, and record that it was read.

        ``known`` are the states that the caller has already: if this is one of them nothing is handed out or recorded.

        Raises:
            NotFound: unknown, incomplete, or finished already (slug ``submission-not-found``), or sealed as something else
                than JWEs (slug ``submission-pushed-only``).
            Forbidden: the caller does not receive it.
        """
        message, contents = self._readable(kind, message_id, caller)
        state = _state(contents)
        if state in known:
            return Unchanged(state=state)
        metadata = self._text(contents.metadata)
        data = None if contents.data is None else self._text(contents.data)
        self._record(message, caller, now)
        return SealedParts(message=message, metadata=metadata, data=data, state=state)

    def whole(self, message_id: UUID, *, caller: Caller, now: datetime) -> StoredMessage:
        """Return a submission with what is known of its contents, to be read by chunk; record that it was read.

        Raises:
            NotFound, Forbidden: as :meth:`collect`.
        """
        message, _ = self._readable(Subject.SUBMISSION, message_id, caller)
        self._record(message, caller, now)
        return message

    def attachment(
        self,
        kind: Subject,
        message_id: UUID,
        attachment_id: UUID,
        *,
        caller: Caller,
        now: datetime,
        begin: Callable[[Sealed], int] = _at_its_start,
    ) -> tuple[Sealed, Iterator[bytes]]:
        """Return an attachment and its bytes in chunks, from the byte on that ``begin`` names; record that it was read.

        Raises:
            NotFound, Forbidden: as :meth:`collect`; or no such attachment (slug ``attachment-not-found``).
        """
        sealed = self.attachment_facts(kind, message_id, attachment_id, caller=caller)
        start = begin(sealed)
        self._store.audit.record_read(
            client=caller.client_id, message_id=message_id, what=f"attachment:{attachment_id}", now=now
        )
        return sealed, self._blobs.chunks(sealed, start=start)

    def attachment_facts(self, kind: Subject, message_id: UUID, attachment_id: UUID, *, caller: Caller) -> Sealed:
        """Return what is known of an attachment without reading it; errors as :meth:`attachment`."""
        _, contents = self._readable(kind, message_id, caller)
        sealed = contents.attachments.get(attachment_id)
        if sealed is None:
            raise not_found("attachment-not-found", attachment_id)
        return sealed

    def _readable(self, kind: Subject, message_id: UUID, caller: Caller) -> tuple[StoredMessage, Contents]:
        message = self._store.submissions.message(message_id, kind)
        if message is None:
            raise not_found("submission-not-found")
        self._require_receiver(message, caller)
        if message.state not in self._handed_out_in or message.contents is None:
            raise not_found("submission-not-found")
        if kind is Subject.SUBMISSION and self._store.deliveries.quarantined(message_id):
            raise not_found("submission-not-found")
        if message.contents.form is not Form.JOSE:
            raise _pushed_only()
        return message, message.contents

    def _require_receiver(self, message: StoredMessage, caller: Caller) -> None:
        if message.addressee is not None and message.addressee == caller.client_id:
            return
        destination = own_destination(self._store, message.destination_id, caller)
        if message.kind is Subject.REPLY and message.addressee != destination.owner:
            # A reply to the online service is not its author's to collect.
            raise not_found("submission-not-found")

    def _own_destinations(self, caller: Caller) -> frozenset[UUID]:
        owned = self._store.parties.destination_ids(scope=EVERYTHING, owner=caller.client_id, among=reach(caller))
        return delegated_among(self._store, caller.client_id, owned)

    def _text(self, sealed: Sealed) -> str:
        return b"".join(self._blobs.chunks(sealed)).decode("ascii")

    def _record(self, message: StoredMessage, caller: Caller, now: datetime) -> None:
        self._store.audit.record_read(client=caller.client_id, message_id=message.id, what="contents", now=now)
        if message.collected_at is None:
            self._store.submissions.mark_collected(message.id, now)


def _state(contents: Contents) -> str:
    """Name what is handed out by the hashes of its parts: they never change while it can be read."""
    parts = [contents.metadata.sha512, contents.data.sha512 if contents.data is not None else ""]
    return hashlib.sha256("|".join(parts).encode("ascii")).hexdigest()[:32]


def _pushed_only() -> NotFound:
    return NotFound(
        Text(
            "Diese Einreichung ist als CMS versiegelt und wird per Mail zugestellt; als JWE gibt es sie nicht. Sehen Sie im "
            "Postfach der Behörde nach.",
            "This submission is sealed as CMS and delivered by mail; it does not exist as JWEs. Look into the authority's "
            "mailbox.",
        ),
        slug="submission-pushed-only",
    )


#: Messages of one kind that the view of a case lists.
_MOST_MESSAGES = 500


@dataclass(frozen=True, kw_only=True, slots=True)
class CaseView:
    """A case and the ids of what was sent in it, in order."""

    case: Case
    submission_ids: Sequence[UUID]
    reply_ids: Sequence[UUID]


class Cases:
    """Reads cases."""

    def __init__(self, *, store: Store, notary: Notary) -> None:
        self._store = store
        self._notary = notary

    def of_party(self, *, caller: Caller, offset: int, limit: int) -> Page[Case]:
        """Return the cases in which the caller is a party, oldest first, as far as its token reaches."""
        return self._store.submissions.cases(caller.client_id, among=reach(caller), offset=offset, limit=limit)

    def show(self, case_id: UUID, *, caller: Caller) -> CaseView:
        """Return one case.

        Raises:
            NotFound: there is none. Forbidden: the caller is no party.
        """
        case = self._case(case_id, caller)
        return CaseView(
            case=case,
            submission_ids=self._ids(case_id, Subject.SUBMISSION),
            reply_ids=self._ids(case_id, Subject.REPLY),
        )

    def log(self, case_id: UUID, *, caller: Caller, offset: int, limit: int) -> Page[str]:
        """Return the case's event log as tokens, oldest first; errors as :meth:`show`.

        A log that was dropped at the end of its retention is empty; the case's view holds the signed tombstone.
        """
        case = self._case(case_id, caller)
        if case.tombstone is not None:
            return Page(items=(), offset=offset, total=0)
        return self._notary.tokens(case_id, offset=offset, limit=limit)

    def message_log(self, kind: Subject, message_id: UUID, *, caller: Caller, offset: int, limit: int) -> Page[str]:
        """Return the events of one submission or reply as tokens, oldest first.

        Raises:
            NotFound: no such message. Forbidden: the caller is no party.
        """
        message = self._store.submissions.message(message_id, kind)
        if message is None:
            raise not_found("submission-not-found")
        case = self._case(message.case_id, caller)
        if case.tombstone is not None:
            return Page(items=(), offset=offset, total=0)
        return self._notary.tokens(message.case_id, subject_id=message_id, offset=offset, limit=limit)

    def _case(self, case_id: UUID, caller: Caller) -> Case:
        case = self._store.submissions.case(case_id)
        if case is None:
            raise not_found("case-not-found")
        require_party(self._store, case, caller)
        return case

    def _ids(self, case_id: UUID, kind: Subject) -> list[UUID]:
        page = self._store.submissions.messages(kind, case_id=case_id, offset=0, limit=_MOST_MESSAGES)
        return [message.id for message in page.items]
