"""A sender's own cases at the plain door: what it sent, and the replies that came back to it.

Whoever did not open a case is told that there is none, as at the plain door everywhere. Replies lie where the sealed door put
them, sealed for the key that the sender named in its metadata (FIT-Connect, section 7); the hub opens none.

A sender at the plain door has no destination and so no key to sign events with. It says to the hub whether it took a reply, and
the hub writes that into the log. What it accepted it may read until the contents are deleted: a citizen opens a letter twice.
"""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from hub.errors import not_found
from hub.fit_connect.collection import Collection, SealedParts, Unchanged
from hub.fit_connect.messages import write_answer
from hub.identity import Caller
from hub.model import EventKind, Sealed, State, Subject
from hub.notifications.callbacks import CallbackWriter
from hub.store import Blobs, Case, Page, Store, StoredMessage

#: States in which a sender may read a reply, as long as its contents lie here.
READABLE = frozenset({State.SUBMITTED, State.FORWARDED, State.ACCEPTED})
#: Messages of one kind that the view of a case lists.
_MOST_MESSAGES = 500


@dataclass(frozen=True, kw_only=True, slots=True)
class SenderCase:
    """A case with what its sender sent in it and what came back, the oldest first, without contents."""

    case: Case
    submissions: Sequence[StoredMessage]
    replies: Sequence[StoredMessage]


class SenderCases:
    """Reads cases for the senders that opened them. ``issuer`` is the hub's address, as which it signs."""

    def __init__(self, *, store: Store, blobs: Blobs, callback_writer: CallbackWriter, issuer: str) -> None:
        self._store = store
        self._collection = Collection(store=store, blobs=blobs, readable=READABLE)
        self._callback_writer = callback_writer
        self._issuer = issuer

    def show(self, case_id: UUID, *, caller: Caller) -> SenderCase:
        """Return a case, the first 500 submissions and replies of it.

        Raises:
            NotFound: there is none, or another sender opened it (``case-not-found``).
        """
        case = self._own(case_id, caller)
        sent = self._store.submissions.messages(
            Subject.SUBMISSION, case_id=case_id, sender=caller.client_id, complete=True, limit=_MOST_MESSAGES
        )
        replies = self.replies(case_id, caller=caller, offset=0, limit=_MOST_MESSAGES)
        return SenderCase(case=case, submissions=sent.items, replies=replies.items)

    def replies(self, case_id: UUID, *, caller: Caller, offset: int, limit: int) -> Page[StoredMessage]:
        """Return complete replies to the sender in one of its cases, oldest first; errors as :meth:`show`."""
        self._own(case_id, caller)
        return self._store.submissions.messages(
            Subject.REPLY, case_id=case_id, addressee=caller.client_id, complete=True, offset=offset, limit=limit
        )

    def collect(
        self, case_id: UUID, reply_id: UUID, *, caller: Caller, known: Container[str] = (), now: datetime
    ) -> SealedParts | Unchanged:
        """Return a reply with metadata and data, sealed, and record that it was read; ``known`` as :meth:`Collection.collect`.

        Raises:
            NotFound: as :meth:`show`; or no such reply to this sender in this case, or its contents are gone.
        """
        self._reply(case_id, reply_id, caller)
        return self._collection.collect(Subject.REPLY, reply_id, caller=caller, known=known, now=now)

    def attachment(
        self, case_id: UUID, reply_id: UUID, attachment_id: UUID, *, caller: Caller, **more: Any
    ) -> tuple[Sealed, Iterator[bytes]]:
        """Return an attachment of a reply; errors as :meth:`collect`. ``more`` as of :meth:`Collection.attachment`."""
        self._reply(case_id, reply_id, caller)
        return self._collection.attachment(Subject.REPLY, reply_id, attachment_id, caller=caller, **more)

    def acknowledge(
        self,
        case_id: UUID,
        reply_id: UUID,
        *,
        problems: Sequence[Mapping[str, Any]] | None = None,
        caller: Caller,
        now: datetime,
    ) -> None:
        """Write into the log that the sender took a reply, or, with ``problems``, why it did not; the author is told.

        Raises:
            NotFound: as :meth:`collect`. Conflict: the reply was answered before.
        """
        message = self._reply(case_id, reply_id, caller)
        kind = EventKind.ACCEPT if problems is None else EventKind.REJECT
        write_answer(
            self._store,
            self._callback_writer,
            message,
            kind,
            issuer=self._issuer,
            now=now,
            problems=problems or (),
        )

    def _own(self, case_id: UUID, caller: Caller) -> Case:
        case = self._store.submissions.case(case_id)
        if case is None or case.sender != caller.client_id:
            raise not_found("case-not-found")
        return case

    def _reply(self, case_id: UUID, reply_id: UUID, caller: Caller) -> StoredMessage:
        """Return a complete reply to the sender; one of another case does not exist, whoever's it is."""
        self._own(case_id, caller)
        message = self._store.submissions.message(reply_id, Subject.REPLY)
        here = message is not None and message.case_id == case_id and message.addressee == caller.client_id
        if message is None or not here or message.submitted_at is None:
            raise not_found("reply-not-found")
        return message
