"""Cases that were handed on: from which case each came, and whether the next authority has all of it.

A new case is begun and linked in one transaction, and linked back in another, under both cases' locks: what one log says of the
other is there with it, or not at all.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, delete, insert, select, update

from hub.errors import forwarded_already, not_found
from hub.model import MOST_FORWARDS, Event, ForwardLink, State
from hub.store import tables
from hub.store.database import Database, maybe_moment, micros, moment, reads
from hub.store.event_log import advance, lock_case, lock_cases, move, write_events
from hub.store.outboxes import write_callbacks
from hub.store.records import Announcement, CaseHead, MakeEvents, OutgoingCallback
from hub.store.submissions import announced_in
from hub.store.writer import nothing_written

_FORWARDINGS = tables.forwardings
_MESSAGES = tables.messages
_CONTENTS = tables.contents


class Forwardings:
    """Reads and writes them."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def begin(
        self, link: ForwardLink, message: Announcement, make: MakeEvents, *, forget: Callable[[ForwardLink], Event]
    ) -> ForwardLink:
        """Announce a message that opens the new case, and link it; ``make`` gives its first events. Return what counts.

        What was begun in the case before and never came is deleted, with the event that ``forget`` gives: nobody can
        complete it any more. What lies whole with the same authority already, and only the last word is missing, goes on
        under this request.

        Raises:
            NotFound: the old case is gone.
            Conflict: the case was handed on (``forwarded-already``), or lies whole with another authority; or an id is taken.
        """

        def write(connection: Connection) -> ForwardLink:
            with nothing_written():
                lock_case(connection, link.from_case_id)
                # Whoever completes holds both cases, but only of what came: nobody waits for these in a circle.
                due = [
                    each.case_id
                    for each, state in _under_way(connection, link.from_case_id)
                    if state is State.INCOMPLETE
                ]
                heads = lock_cases(connection, sorted(due, key=str)) if due else {}
                # Held, they say whether one was submitted in between.
                before = _under_way(connection, link.from_case_id)
                never = [each for each, state in before if state is State.INCOMPLETE]
                whole = next((each for each, state in before if state not in _NEVER_CAME), None)
                if _completed(connection, link.from_case_id) or (whole is not None and not _same_way(whole, link)):
                    raise forwarded_already()
            if whole is not None:
                renamed = update(_FORWARDINGS).where(_FORWARDINGS.c.submission_id == str(whole.submission_id))
                connection.execute(renamed.values(request_id=str(link.request_id)))
                return replace(whole, request_id=link.request_id)
            for each in never:
                _delete_incomplete(connection, each, heads[each.case_id], forget(each))
            stale = _FORWARDINGS.c.from_case_id == str(link.from_case_id)
            connection.execute(delete(_FORWARDINGS).where(stale))
            announced_in(connection, message, make)
            connection.execute(insert(_FORWARDINGS).values(_row(link)))
            return link

        return self._database.write(write)

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
            NotFound: no such link, or a case is gone. Conflict: the case went elsewhere meanwhile (``forwarded-already``).
        """
        old = str(link.from_submission_id)

        def write(connection: Connection) -> bool:
            heads = lock_cases(connection, sorted({link.from_case_id, link.case_id}, key=str))
            found = connection.execute(_of(submission_id=link.submission_id)).first()
            if found is None:
                raise not_found("case-not-found", link.case_id)
            if found.completed_at is not None:
                return False
            if _completed(connection, link.from_case_id):
                raise forwarded_already()
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

    def gone_to(self, case_id: UUID) -> ForwardLink | None:
        """Return the last link of the chain that a case began, where it goes on by now; None where it was not handed on."""
        last: ForwardLink | None = None
        for _ in range(MOST_FORWARDS):
            went = self.out_of(case_id if last is None else last.case_id)
            if not went:
                break
            last = went[-1]
        return last

    def earlier(self, case_id: UUID) -> list[UUID]:
        """Return the cases that a case was before it was handed on to where it is, the latest first."""
        found: list[UUID] = []
        link = self.into(case_id)
        while link is not None and len(found) < MOST_FORWARDS:
            found.append(link.from_case_id)
            link = self.into(link.from_case_id)
        return found


#: States of a new submission that nobody received.
_NEVER_CAME = frozenset({None, State.INCOMPLETE, State.DELETED})


def _under_way(connection: Connection, from_case: UUID) -> list[tuple[ForwardLink, State | None]]:
    """Return what of a case was begun to be handed on and not completed, with the state of each new submission."""
    begun = select(_FORWARDINGS).where(
        _FORWARDINGS.c.from_case_id == str(from_case), _FORWARDINGS.c.completed_at.is_(None)
    )
    links = [_link(row) for row in connection.execute(begun)]
    named = _MESSAGES.c.message_id.in_([str(each.submission_id) for each in links])
    messages = connection.execute(
        select(_MESSAGES.c.message_id, _MESSAGES.c.state, _MESSAGES.c.submitted_at).where(named)
    )
    # What was submitted and then ended is whole all the same: the next authority has had it.
    states = {row.message_id: State.SUBMITTED if row.submitted_at is not None else State(row.state) for row in messages}
    return [(each, states.get(str(each.submission_id))) for each in links]


def _same_way(whole: ForwardLink, link: ForwardLink) -> bool:
    """Whether a link leads one client's submission to the same authority as another one."""
    return (whole.client_id, whole.from_submission_id, whole.destination_id, whole.service, whole.reason) == (
        link.client_id,
        link.from_submission_id,
        link.destination_id,
        link.service,
        link.reason,
    )


def _delete_incomplete(connection: Connection, link: ForwardLink, head: CaseHead, event: Event) -> None:
    """Delete what was announced and never came; its blobs are left to the sweep, as after a crash."""
    new = str(link.submission_id)
    connection.execute(delete(_CONTENTS).where(_CONTENTS.c.message_id == new))
    state = advance(State.INCOMPLETE, [event])
    move(connection, link.submission_id, state, write_events(connection, head, [event]))
    gone = update(_MESSAGES).where(_MESSAGES.c.message_id == new)
    connection.execute(gone.values(deleted_at=micros(event.issued_at)))


def _completed(connection: Connection, from_case: UUID) -> bool:
    done = select(_FORWARDINGS.c.submission_id).where(
        _FORWARDINGS.c.from_case_id == str(from_case), _FORWARDINGS.c.completed_at.is_not(None)
    )
    return connection.execute(done.limit(1)).first() is not None


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
