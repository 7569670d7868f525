"""Submissions and replies: the plain door's one transaction, the sealed door's steps, and what is read of either door's."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from concurrent.futures import Future
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Column, ColumnElement, Connection, Select, delete, insert, or_, select, update
from sqlalchemy.exc import IntegrityError

from hub.errors import Invalid, Text, already_submitted, attachment_not_announced, not_found
from hub.model import Callback, Contents, Door, Event, Form, Sealed, State, Subject, Submission, chain
from hub.store import tables
from hub.store.database import Database, Page, in_postgresql, micros, moment, reads
from hub.store.deliveries import delivery_row
from hub.store.event_log import (
    advance,
    event_row,
    insert_events,
    lock_case,
    move,
    move_heads,
    require_kept,
    write_events,
)
from hub.store.outboxes import write_callbacks
from hub.store.plain_door import (
    INSERT_CASE,
    INSERT_CONTENT,
    INSERT_DELIVERY,
    INSERT_MESSAGE,
    KNOWN_KEY,
    Filed,
    MakeFiled,
    SubmitInCase,
    SubmitNew,
    remembered,
    taken,
)
from hub.store.records import (
    Announcement,
    Case,
    CaseHead,
    MakeCompletion,
    MakeEvents,
    OutgoingCallback,
    Remembered,
    SentFilter,
    StoredMessage,
)
from hub.store.rows import (
    announced_of,
    announced_row,
    attachment_part,
    attachments_of,
    contents_of,
    read_parts_of,
    sealed_row,
    to_callback,
    to_message,
)
from hub.store.statements import Lookup, Query, Update
from hub.store.writer import nothing_written

_MESSAGES = tables.messages

_CASES = tables.cases
_CONTENTS = tables.contents
_DESTINATIONS = tables.destinations
_COLUMNS = [column.name for column in _MESSAGES.columns]
_MESSAGE = Lookup(_MESSAGES, columns=_COLUMNS, by=["message_id"])
_KEEP_RECEIPT = Update(_MESSAGES, changed=["receipt"], by=["message_id"], unset=["receipt"])
_HELD_MESSAGE = Lookup(_MESSAGES, columns=_COLUMNS, by=["message_id"], lock=True)
_CASE = Lookup(_CASES, columns=[column.name for column in _CASES.columns], by=["case_id"])
_OPENED_BY = Lookup(_CASES, columns=["sender"], by=["case_id"])
_LAST_CALLBACK = """
SELECT callback_url, callback_secret FROM messages
WHERE case_id = :case_id AND kind = 'submission' AND sender = :sender AND callback_url IS NOT NULL
ORDER BY created_at DESC, message_id DESC LIMIT 1"""
_CALLBACK = Query(sqlite=_LAST_CALLBACK, postgresql=_LAST_CALLBACK, columns=["callback_url", "callback_secret"])


class Submissions:
    """What was sent, in either direction and by either door, and the cases that it belongs to."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def remembered(self, sender: str, key: str) -> Remembered | None:
        """Return what a sender's idempotency key stands for."""
        if self._database.glance(KNOWN_KEY, sender, key) is None:
            return None
        return self._database.read(lambda connection: remembered(connection, sender, key))

    def submit(
        self,
        submission: Submission,
        *,
        events: Sequence[Event],
        receipt: str,
        reference: str | None = None,
        idempotency: tuple[str, str] | None,
        first_attempt_at: datetime,
        callbacks: Sequence[OutgoingCallback] = (),
        quarantine: bool = False,
    ) -> Future[Remembered | None]:
        """Store a complete submission in a new case, and its delivery, in one transaction.

        ``reference`` is what the sender calls it, as the receipt says. ``events`` are the case's first, chained from GENESIS;
        ``idempotency`` is (key, mac of the request). The future holds None after the durable commit, or what the key stands
        for already: then nothing was written. With ``quarantine`` the delivery is born a dead letter of cause payload, which
        the receiver does not see.

        Errors in the future: ``Conflict`` where an id is taken, ``StoreUnavailable``.
        """
        write = SubmitNew(
            submission,
            events=events,
            receipt=receipt,
            reference=reference,
            idempotency=idempotency,
            first_attempt_at=first_attempt_at,
            callbacks=callbacks,
            quarantine=quarantine,
        )
        return self._database.begin(write, wakes=True)

    def submit_in_case(
        self,
        submission: Submission,
        *,
        make: MakeFiled,
        reference: str | None = None,
        idempotency: tuple[str, str] | None,
        first_attempt_at: datetime,
        callbacks: Sequence[OutgoingCallback] = (),
        quarantine: bool = False,
    ) -> Future[Filed]:
        """Store a complete submission in its case, which there is, and its delivery, in one transaction.

        ``make(end of the case's log)`` returns the submission's events, chained on, and the receipt, which names them; it is
        pure and may run twice. The rest as :meth:`submit`.

        Errors in the future: ``NotFound``, no such case, or its log was dropped; ``Conflict`` where an id is taken or the case
        is closed (``case-closed``); ``StoreUnavailable``.
        """
        write = SubmitInCase(
            submission,
            make=make,
            reference=reference,
            idempotency=idempotency,
            first_attempt_at=first_attempt_at,
            callbacks=callbacks,
            quarantine=quarantine,
        )
        return self._database.begin(write, wakes=True)

    def announce(
        self, message: Announcement, make: MakeEvents, *, callbacks: Sequence[OutgoingCallback] = ()
    ) -> Future[Announcement]:
        """Store a message to come, and its case if it is new; ``make(head, None)`` gives the create event.

        The future holds ``message`` after the durable commit.

        Errors in the future: ``NotFound``, no such case (``new_case`` is False); ``Conflict``, an id is taken.
        """

        def write(connection: Connection) -> Announcement:
            announced_in(connection, message, make)
            write_callbacks(connection, callbacks)
            return message

        return self._database.begin(write)

    def put_attachment(self, message_id: UUID, attachment_id: UUID, sealed: Sealed) -> str | None:
        """Store an attachment in place of an earlier one; return the name of the blob that nothing refers to any more.

        Raises:
            NotFound: no such message.
            Conflict: it is submitted already.
            Invalid: the attachment was not announced.
        """
        part = attachment_part(attachment_id)
        here = (_CONTENTS.c.message_id == str(message_id), _CONTENTS.c.part == part)

        def write(connection: Connection) -> str | None:
            with nothing_written():
                row = _locked(connection, message_id)
                if row.state != State.INCOMPLETE:
                    raise already_submitted()
                if attachment_id not in announced_of(row):
                    raise attachment_not_announced(attachment_id)
            replaced: str | None = connection.execute(select(_CONTENTS.c.blob).where(*here)).scalar()
            connection.execute(delete(_CONTENTS).where(*here))
            connection.execute(insert(_CONTENTS), sealed_row(str(message_id), part, sealed))
            return replaced if replaced != sealed.blob else None

        return self._database.write(write)

    def complete(
        self,
        message_id: UUID,
        *,
        metadata: Sealed,
        data: Sealed | None,
        make: MakeCompletion,
        first_attempt_at: datetime | None,
        callbacks: Sequence[OutgoingCallback] = (),
    ) -> Future[bool]:
        """Complete an announced message in one transaction: contents, ``make(head, contents)``'s events, delivery.

        ``first_attempt_at`` None makes no delivery (replies lie in the mailbox). The future holds True after the durable
        commit, False where the very same parts were submitted before: then nothing was written. ``make`` is
        pure and may run twice.

        Errors in the future: ``NotFound``; ``Conflict`` (not *incomplete* any more, and other parts); ``Invalid`` with
        ``attachments`` (announced, but missing), or where the case was handed on since (``case-goes-on``);
        ``StoreUnavailable``.
        """

        def write(connection: Connection) -> bool:
            with nothing_written():
                head, row = _open_message(connection, message_id)
                stored = read_parts_of(connection, row.message_id)
                announced = announced_of(row)
                if row.state != State.INCOMPLETE:
                    _require_same(contents_of(row, stored, announced), metadata, data)
                    return False
                # The first message of a case comes before anybody could hand it on.
                if head.seq > 1 and _is_of_sender(connection, row):
                    require_kept(connection, head.case_id)
                attachments = attachments_of(stored, announced)
                _require_all(announced, attachments)
                contents = Contents(metadata=metadata, data=data, attachments=attachments)
                events = make(head, contents)
                state = advance(State.INCOMPLETE, events)
            new = ("metadata", metadata), ("data", data)
            INSERT_CONTENT(connection, *(sealed_row(row.message_id, part, one) for part, one in new if one))
            chained = write_events(connection, head, events)
            move(connection, message_id, state, chained)
            if first_attempt_at is not None:
                INSERT_DELIVERY(connection, delivery_row(row.message_id, row.destination_id, first_attempt_at))
            write_callbacks(connection, callbacks)
            return True

        return self._database.begin(write, wakes=True)

    def keep_receipt(self, message_id: UUID, receipt: str) -> str:
        """Store the receipt of a message that has none; return the one that counts, the first stored.

        Raises:
            NotFound: no such message.
        """

        def write(connection: Connection) -> str:
            if _KEEP_RECEIPT.raw(connection, [(receipt, str(message_id))]) == 1:
                return receipt
            row = _MESSAGE.row(connection, str(message_id))
            if row is None:
                raise not_found("submission-not-found", message_id)
            # Another node was faster.
            first: str = row.receipt
            return first

        return self._database.write(write)

    def message(self, message_id: UUID, kind: Subject | None = None) -> StoredMessage | None:
        """Return a submission or reply with its contents."""

        def read(connection: Connection) -> StoredMessage | None:
            row = _MESSAGE.row(connection, str(message_id))
            if row is None or (kind is not None and row.kind != kind):
                return None
            return to_message(row, read_parts_of(connection, row.message_id))

        return self._database.read(read)

    def messages(
        self,
        kind: Subject | None = None,
        *,
        destination_ids: Collection[UUID] | None = None,
        addressee: str | None = None,
        sender: str | None = None,
        case_id: UUID | None = None,
        state: State | None = None,
        form: Form | None = None,
        complete: bool = False,
        offset: int = 0,
        limit: int = 100,
    ) -> Page[StoredMessage]:
        """Return one page of messages without contents, oldest first. An empty ``destination_ids`` means none.

        With ``destination_ids``, the receivers' view, quarantined submissions are left out. ``complete``: only what was
        submitted, whatever became of it.
        """
        table = _MESSAGES
        wanted = {
            table.c.kind: None if kind is None else kind.value,
            table.c.addressee: addressee,
            table.c.sender: sender,
            table.c.case_id: None if case_id is None else str(case_id),
            table.c.state: None if state is None else state.value,
            table.c.form: None if form is None else form.value,
        }
        conditions = [column == value for column, value in wanted.items() if value is not None]
        if destination_ids is not None:
            conditions.append(table.c.destination_id.in_([str(one) for one in destination_ids]))
            conditions.append(~_kept_back())
        if state in {State.SUBMITTED, State.FORWARDED}:
            conditions.append(tables.waiting())
        if kind is Subject.REPLY and state is State.SUBMITTED:
            conditions.append(tables.replies_waiting())
        if complete:
            conditions.append(table.c.submitted_at.is_not(None))
        announced = state in {None, State.INCOMPLETE} and not complete
        age = table.c.created_at if announced else table.c.submitted_at
        statement = select(table).where(*conditions).order_by(age, table.c.message_id)
        return self._database.page(statement, to_message, offset=offset, limit=limit)

    def fingerprints(self, message_id: UUID) -> list[tuple[str, datetime]]:
        """Return of which requests that led to a submission a fingerprint is kept: their sender, and when."""
        columns = tables.idempotency.c
        here = select(columns.sender, columns.created_at).where(columns.submission_id == str(message_id))
        rows = self._database.read(lambda connection: connection.execute(here).all())
        return [(sender, moment(at)) for sender, at in rows]

    def sent(
        self, sender: str, wanted: SentFilter, *, before: tuple[datetime, UUID] | None = None, limit: int = 100
    ) -> list[tuple[datetime, StoredMessage]]:
        """Return complete submissions of a sender without contents and when their cases began, newest first, ``limit`` at most.

        ``before``: only those that follow the one of this beginning and id in that order.
        """
        return self._listed(sent_by(sender, wanted, before=before), limit)

    def untold(
        self, sender: str, wanted: SentFilter, *, before: tuple[datetime, UUID] | None = None, limit: int = 100
    ) -> list[tuple[datetime, StoredMessage]]:
        """Return such submissions of programs of before: only their receipts say what the sender calls them."""
        return self._listed(untold_of(sender, wanted, before=before), limit)

    def _listed(self, statement: Select[Any], limit: int) -> list[tuple[datetime, StoredMessage]]:
        def read(row: Any) -> tuple[datetime, StoredMessage]:
            return moment(row.begun_at), to_message(row)

        return self._database.readable(statement, _MESSAGES, read, limit=limit)

    def mark_collected(self, message_id: UUID, now: datetime) -> None:
        """Note that the receiver has read a message; the first time counts."""
        statement = (
            update(_MESSAGES)
            .where(_MESSAGES.c.message_id == str(message_id), _MESSAGES.c.collected_at.is_(None))
            .values(collected_at=micros(now))
        )
        self._database.write(lambda connection: connection.execute(statement).rowcount)

    def case(self, case_id: UUID) -> Case | None:
        """Return a case, also one whose log was dropped."""

        def read(connection: Connection) -> Case | None:
            row = _CASE.row(connection, str(case_id))
            return None if row is None else read_case(row)

        return self._database.read(read)

    def callback(self, case_id: UUID, sender: str) -> Callback | None:
        """Return the callback that a sender named last in a case, None where it named none."""
        named = {"case_id": str(case_id), "sender": sender}
        rows = self._database.read(lambda connection: _CALLBACK(connection, named))
        return to_callback(rows[0]) if rows else None

    def cases(
        self,
        party: str | None = None,
        *,
        among: Collection[UUID] | None = None,
        offset: int = 0,
        limit: int = 100,
    ) -> Page[Case]:
        """Return one page of cases, oldest first: those whose sender or whose destination's owner is ``party``, else all.

        ``among``: as owner only of these destinations.
        """
        statement = select(_CASES).order_by(_CASES.c.created_at, _CASES.c.case_id)
        if party is not None:
            owned = select(_DESTINATIONS.c.destination_id).where(_DESTINATIONS.c.owner == party)
            if among is not None:
                owned = owned.where(_DESTINATIONS.c.destination_id.in_(sorted(map(str, among))))
            statement = statement.where(or_(_CASES.c.sender == party, _CASES.c.destination_id.in_(owned)))
        return self._database.page(statement, read_case, offset=offset, limit=limit)


def sent_by(sender: str, wanted: SentFilter, *, before: tuple[datetime, UUID] | None = None) -> Select[Any]:
    """Return the question for a sender's complete submissions, newest first; see :meth:`Submissions.sent`.

    It goes by the index of a sender's cases, whose beginning is that of the first submission in each; or else by the one of
    references, which there are at the plain door alone, and then each submission counts from its own beginning.
    """
    if wanted.reference is not None:
        called = (_MESSAGES.c.reference == wanted.reference, tables.called())
        return _of_plain_door(sender, wanted, before).where(*called)
    begun = _CASES.c.created_at
    joined = select(_MESSAGES, begun.label("begun_at")).join(_CASES, _CASES.c.case_id == _MESSAGES.c.case_id)
    return _newest_first(joined.where(_CASES.c.sender == sender), begun, sender, wanted, before)


def untold_of(sender: str, wanted: SentFilter, *, before: tuple[datetime, UUID] | None = None) -> Select[Any]:
    """Return the question for those of which only their receipts say what the sender calls them."""
    return _of_plain_door(sender, wanted, before).where(tables.untold())


def _of_plain_door(sender: str, wanted: SentFilter, before: tuple[datetime, UUID] | None) -> Select[Any]:
    begun = _MESSAGES.c.created_at
    chosen = select(_MESSAGES, begun.label("begun_at")).where(_MESSAGES.c.door == Door.PLAIN.value)
    return _newest_first(chosen, begun, sender, wanted, before)


def _newest_first(
    chosen: Select[Any], begun: Column[int], sender: str, wanted: SentFilter, before: tuple[datetime, UUID] | None
) -> Select[Any]:
    table = _MESSAGES
    conditions = [table.c.sender == sender, table.c.kind == Subject.SUBMISSION.value, table.c.submitted_at.is_not(None)]
    if wanted.since is not None:
        conditions.append(begun >= micros(wanted.since))
    if wanted.until is not None:
        conditions.append(begun < micros(wanted.until))
    if wanted.state is not None:
        conditions.append(table.c.state == wanted.state.value)
    if wanted.services is not None:
        conditions.append(table.c.service_identifier.in_(sorted(wanted.services)))
    if before is not None:
        at, message_id = micros(before[0]), str(before[1])
        # The first half bounds the index, the second says which of one moment are left.
        conditions.append(begun <= at)
        conditions.append(or_(begun < at, table.c.message_id < message_id))
    return chosen.where(*conditions).order_by(begun.desc(), table.c.message_id.desc())


def announced_in(connection: Connection, message: Announcement, make: MakeEvents) -> None:
    """Write a message to come, and its case if it is new, with the events that ``make(head, None)`` gives.

    Raises:
        NotFound: no such case (``new_case`` is False). Conflict: an id is taken.
    """
    head = CaseHead(case_id=message.case_id)
    if not message.new_case:
        with nothing_written():
            head = lock_case(connection, message.case_id)
    events = chain(make(head, None), head=head.hash, seq=head.seq)
    state = advance(None, events)
    end = CaseHead(case_id=message.case_id, seq=events[-1].seq, hash=events[-1].hash)
    if message.new_case:
        _open_case(connection, message, end, events[-1].issued_at)
    else:
        move_heads(connection, events[-1:])
    try:
        INSERT_MESSAGE(connection, announced_row(message, state or State.INCOMPLETE))
    except IntegrityError as exc:
        raise taken(exc, "Die Einreichung", "Submission", message.id) from exc
    insert_events(connection, [event_row(event) for event in events])


def _open_case(connection: Connection, message: Announcement, end: CaseHead, at: datetime) -> None:
    """Insert the case that begins with ``message``; its chain ends with ``end``, of ``at``."""
    row = {
        "case_id": str(message.case_id),
        "destination_id": str(message.destination_id),
        "sender": message.opened_for or message.sender,
        "seq": end.seq,
        "head": end.hash,
        "created_at": micros(message.created_at),
        "last_event_at": micros(at),
        "tombstone": None,
        "covered": 0,
    }
    try:
        INSERT_CASE(connection, row)
    except IntegrityError as exc:
        raise taken(exc, "Den Vorgang", "Case", message.case_id) from exc


def _kept_back() -> ColumnElement[bool]:
    """The condition that a message is in quarantine: its receiver does not know of it."""
    here = tables.deliveries.c.submission_id == _MESSAGES.c.message_id
    return select(tables.deliveries.c.delivery_id).where(here, tables.quarantined()).exists()


def _locked(connection: Connection, message_id: UUID) -> Any:
    row = _HELD_MESSAGE.row(connection, str(message_id))
    if row is None:
        raise not_found("submission-not-found", message_id)
    return row


def _open_message(connection: Connection, message_id: UUID) -> tuple[CaseHead, Any]:
    """Lock a message's case, then the message: everybody locks in this order, so nobody waits in a circle."""
    row = _MESSAGE.row(connection, str(message_id))
    if row is None:
        raise not_found("submission-not-found", message_id)
    head = lock_case(connection, UUID(row.case_id))
    # Where others write, too, what was read before the lock is of yesterday.
    return head, _locked(connection, message_id) if in_postgresql(connection) else row


def _is_of_sender(connection: Connection, row: Any) -> bool:
    """Whether who opened a message's case says it, and not the authority."""
    if row.kind == Subject.SUBMISSION.value:
        return True
    return bool(_OPENED_BY.row(connection, row.case_id).sender == row.sender)


def _require_same(stored: Contents | None, metadata: Sealed, data: Sealed | None) -> None:
    if stored is None or _digest(stored.metadata) != _digest(metadata) or _digest(stored.data) != _digest(data):
        raise already_submitted()


def _digest(sealed: Sealed | None) -> str | None:
    return None if sealed is None else sealed.sha512


def _require_all(announced: Collection[UUID], uploaded: Collection[UUID]) -> None:
    missing = [str(one) for one in announced if one not in uploaded]
    if missing:
        raise Invalid(
            Text(
                "Angekündigte Anlagen fehlen. Laden Sie diese hoch und reichen Sie dann erneut ein.",
                "Announced attachments are missing. Upload them, then submit again.",
            ),
            slug="attachment-missing",
            attachments=missing,
        )


@reads(_CASES)
def read_case(row: Any) -> Case:
    """Return the case of a row."""
    return Case(
        case_id=UUID(row.case_id),
        destination_id=UUID(row.destination_id),
        sender=row.sender,
        seq=row.seq,
        head=row.head,
        created_at=moment(row.created_at),
        last_event_at=moment(row.last_event_at),
        tombstone=row.tombstone,
    )
