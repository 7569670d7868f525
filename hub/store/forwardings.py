"""Cases that were handed on: from which case each came, and whether the next authority has all of it.

A new case is begun and linked in one transaction, and linked back in another, under both cases' locks: what one log says of the
other is there with it, or not at all.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, delete, insert, select, update

from hub.errors import not_found
from hub.model import Event, ForwardLink, State
from hub.store import tables
from hub.store.database import Database, maybe_moment, micros, moment, reads
from hub.store.event_log import advance, lock_cases, move, write_events
from hub.store.outboxes import write_callbacks
from hub.store.records import Announcement, CaseHead, MakeEvents, OutgoingCallback
from hub.store.submissions import announced_in

_FORWARDINGS = tables.forwardings
_MESSAGES = tables.messages


class Forwardings:
    """Reads and writes them."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def begin(self, link: ForwardLink, message: Announcement, make: MakeEvents) -> None:
        """Announce a message that opens the new case, and link it; ``make`` gives its first events.

        What the same submission was begun with before, and what never came, is forgotten.

        Raises:
            Conflict: an id is taken.
        """
        stale = (
            _FORWARDINGS.c.from_submission_id == str(link.from_submission_id),
            _FORWARDINGS.c.completed_at.is_(None),
        )

        def write(connection: Connection) -> None:
            connection.execute(delete(_FORWARDINGS).where(*stale))
            announced_in(connection, message, make)
            connection.execute(insert(_FORWARDINGS).values(_row(link)))

        self._database.write(write)

    def complete(
        self,
        link: ForwardLink,
        make: Callable[[CaseHead, State], Sequence[Event]],
        *,
        sender: str,
        now: datetime,
        callbacks: Sequence[OutgoingCallback] = (),
    ) -> bool:
        """Write into the old case's log that it was handed on, and give the new submission to ``sender``, whose case it is.

        Return False where that was done before: then nothing was written.

        Raises:
            NotFound: no such link, or a case is gone.
        """
        old = str(link.from_submission_id)

        def write(connection: Connection) -> bool:
            heads = lock_cases(connection, sorted({link.from_case_id, link.case_id}, key=str))
            found = connection.execute(_of(submission_id=link.submission_id)).first()
            if found is None:
                raise not_found("case-not-found", link.case_id)
            if found.completed_at is not None:
                return False
            state = connection.execute(select(_MESSAGES.c.state).where(_MESSAGES.c.message_id == old)).scalar()
            if state is None:
                raise not_found("submission-not-found", link.from_submission_id)
            events = make(heads[link.from_case_id], State(state))
            after = advance(State(state), events)
            move(connection, link.from_submission_id, after, write_events(connection, heads[link.from_case_id], events))
            new = str(link.submission_id)
            connection.execute(update(_MESSAGES).where(_MESSAGES.c.message_id == new).values(sender=sender))
            done = update(_FORWARDINGS).where(_FORWARDINGS.c.submission_id == new)
            connection.execute(done.values(completed_at=micros(now)))
            write_callbacks(connection, callbacks)
            return True

        return self._database.write(write)

    def asked(self, client_id: str, request_id: UUID) -> ForwardLink | None:
        """Return what a client's request led to."""
        return self._database.one(_of(client_id=client_id, request_id=request_id), _link)

    def begun(self, submission_id: UUID) -> ForwardLink | None:
        """Return the link of a new submission."""
        return self._database.one(_of(submission_id=submission_id), _link)

    def into(self, case_id: UUID) -> ForwardLink | None:
        """Return where a case came from, None where it was not handed on."""
        return self._database.one(_of(case_id=case_id), _link)

    def out_of(self, case_id: UUID, *, complete: bool = True) -> list[ForwardLink]:
        """Return where a case, or a submission of it, went, the oldest first; only what went whole, if ``complete``."""
        statement = _of(from_case_id=case_id).order_by(_FORWARDINGS.c.begun_at, _FORWARDINGS.c.submission_id)
        if complete:
            statement = statement.where(_FORWARDINGS.c.completed_at.is_not(None))
        return self._database.all(statement, _FORWARDINGS, _link)


def _of(**wanted: Any) -> Any:
    """Return the statement that finds rows by columns."""
    conditions = [_FORWARDINGS.c[name] == str(value) for name, value in wanted.items()]
    return select(_FORWARDINGS).where(*conditions)


def _row(link: ForwardLink) -> dict[str, Any]:
    return {
        "submission_id": str(link.submission_id),
        "case_id": str(link.case_id),
        "destination_id": str(link.destination_id),
        "from_submission_id": str(link.from_submission_id),
        "from_case_id": str(link.from_case_id),
        "from_destination_id": str(link.from_destination_id),
        "client_id": link.client_id,
        "request_id": str(link.request_id),
        "service": link.service,
        "area": link.area,
        "reason": link.reason,
        "depth": link.depth,
        "received_at": micros(link.received_at),
        "begun_at": micros(link.begun_at),
        "completed_at": None,
    }


@reads(_FORWARDINGS)
def _link(row: Any) -> ForwardLink:
    return ForwardLink(
        submission_id=UUID(row.submission_id),
        case_id=UUID(row.case_id),
        destination_id=UUID(row.destination_id),
        from_submission_id=UUID(row.from_submission_id),
        from_case_id=UUID(row.from_case_id),
        from_destination_id=UUID(row.from_destination_id),
        client_id=row.client_id,
        request_id=UUID(row.request_id),
        service=row.service,
        area=row.area,
        reason=row.reason,
        depth=row.depth,
        received_at=moment(row.received_at),
        begun_at=moment(row.begun_at),
        completed_at=maybe_moment(row.completed_at),
    )
