"""What is handed on to another authority, written down: wished for, approved where that takes two, begun, gone.

It lies in the journal's own file, beside the cases. A hand-on holds its case: until it is gone, refused or withdrawn, nothing
is decided there and nothing written. That it is gone is one transaction with what follows: what waited counts as accepted, the
sender's notice is written, and the case is closed.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from hub.connector.casebook import (
    CaseDecision,
    Deed,
    OutgoingReply,
    claim,
    insert_reply,
    note_deed,
    require_nothing_forwarded,
    required_case,
    required_entry,
)
from hub.connector.journal import Entry, Journal, JournalState
from hub.connector.refusals import case_is_closed, decided_already, no_such_case, nothing_to_decide, was_handed_on
from hub.errors import Forbidden, IdempotencyConflict, Text, needs_second_person

_COLUMNS = frozenset({"state", "next_name", "next_case", "next_submission", "tries", "due", "note"})
#: States of a submission that may be handed on: somebody is yet to decide, or it was accepted.
_ACCEPTED = frozenset({JournalState.HANDED, JournalState.ANSWERED})


class ForwardState(StrEnum):
    """How far a hand-on has come."""

    #: A second person has to agree.
    PROPOSED = "proposed"
    #: It is to go.
    WANTED = "wanted"
    #: The hub has opened the new case; its contents are on their way.
    BEGUN = "begun"
    #: The next authority has all of it, and both logs say so. Final.
    GONE = "gone"
    #: The hub will not have it. Final; a person should look.
    REFUSED = "refused"
    #: Who proposed it or a colleague took it back. Final.
    WITHDRAWN = "withdrawn"


#: What is still to be done by the connector.
TO_GO = frozenset({ForwardState.WANTED, ForwardState.BEGUN})


@dataclass(frozen=True, kw_only=True, slots=True)
class HandOn:
    """One hand-on. ``request_id`` is its author's, by which a repeat is known; ``sealed_text`` a JWE for the authority itself.

    ``next_…`` is known once the hub has opened the new case. ``note`` is the slug of what holds or refused it.
    """

    request_id: UUID
    case_id: UUID
    submission_id: UUID
    destination_id: UUID
    service: str
    area: str
    reason: str
    sealed_text: str = field(repr=False)
    digest: str
    author: str
    at: datetime
    state: ForwardState = ForwardState.WANTED
    second: str | None = None
    next_name: str = ""
    next_case: UUID | None = None
    next_submission: UUID | None = None
    tries: int = 0
    note: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class CameFrom:
    """Where a case came from, as the hub says it and a signed receipt proves it: ``received_at`` is the time that counts."""

    case_id: UUID
    from_case: UUID
    from_name: str
    reason: str
    handed_at: datetime
    received_at: datetime


class ForwardBook:
    """The book of hand-ons. Thread-safe, like the book of cases that it lies beside."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal

    def want(self, wish: HandOn, *, works: bool) -> HandOn:
        """Write down a hand-on; the same one again is the one that there is.

        Raises:
            NotFound: there is no such submission. IdempotencyConflict: the id came with another wish.
            Conflict: the case is closed, handed on, or a colleague's; the submission was turned down.
        """
        with self._journal.writing() as connection:
            known = _find(connection, wish.request_id)
            if known is not None:
                _require_same(known, wish)
                return known
            require_nothing_forwarded(connection, wish.case_id)
            entry, case = required_entry(connection, wish.submission_id), required_case(connection, wish.case_id)
            if _gone(connection, wish.case_id):
                raise was_handed_on()
            if case.closed_at is not None:
                raise case_is_closed()
            _require_fit(entry)
            claim(connection, case, wish.author, wish.at, works=works)
            _insert(connection, wish)
            what = "forward-proposed" if wish.state is ForwardState.PROPOSED else "forward-wanted"
            _deed(connection, wish, wish.author, what, wish.at)
            return wish

    def approve(self, request_id: UUID, who: str, now: datetime) -> HandOn:
        """Have a hand-on go that a colleague proposed, with all that came and was written by now.

        Raises:
            NotFound: there is none. Conflict: it is not proposed any more. Forbidden: whoever approves proposed it.
        """
        with self._journal.writing() as connection:
            wish = _proposed(connection, request_id)
            if wish.author == who:
                raise _own_proposal()
            connection.execute(
                "UPDATE forward SET state = 'wanted', second = ?, at = ?, due = ?, changed_at = ? WHERE request_id = ?",
                (who, now.isoformat(), now.timestamp(), now.isoformat(), str(request_id)),
            )
            _deed(connection, wish, who, "forward-approved", now)
        return self._existing(request_id)

    def withdraw(self, request_id: UUID, who: str, now: datetime) -> HandOn:
        """Take back what is only proposed; ``NotFound`` or ``Conflict`` as :meth:`approve`."""
        with self._journal.writing() as connection:
            wish = _proposed(connection, request_id)
            connection.execute(
                "UPDATE forward SET state = 'withdrawn', changed_at = ? WHERE request_id = ?",
                (now.isoformat(), str(request_id)),
            )
            _deed(connection, wish, who, "forward-withdrawn", now)
        return self._existing(request_id)

    def find(self, request_id: UUID) -> HandOn | None:
        """Return a hand-on by its author's id, or None."""
        rows = self._journal.rows("SELECT * FROM forward WHERE request_id = ?", (str(request_id),))
        return _hand_on(rows[0]) if rows else None

    def of_case(self, case_id: UUID) -> list[HandOn]:
        """Return the hand-ons of a case, the oldest first."""
        rows = self._journal.rows("SELECT * FROM forward WHERE case_id = ? ORDER BY at, rowid", (str(case_id),))
        return [_hand_on(row) for row in rows]

    def due(self, now: datetime) -> list[HandOn]:
        """Return those whose time to go has come, the oldest first."""
        rows = self._journal.rows(
            "SELECT * FROM forward WHERE state IN ('wanted', 'begun') AND due <= ? ORDER BY at, rowid",
            (now.timestamp(),),
        )
        return [_hand_on(row) for row in rows]

    def update(self, request_id: UUID, now: datetime, **changes: Any) -> HandOn:
        """Write down a step, durably; return the hand-on as it is now."""
        unknown = set(changes) - _COLUMNS
        if unknown:
            raise ValueError(unknown)
        if "due" in changes:
            changes["due"] = changes["due"].timestamp()
        values = [str(value) if isinstance(value, UUID) else value for value in changes.values()]
        assignments = ", ".join(f"{name} = ?" for name in changes)
        with self._journal.writing() as connection:
            connection.execute(
                f"UPDATE forward SET {assignments}, changed_at = ? WHERE request_id = ?",  # noqa: S608  # Names are from _COLUMNS.
                (*values, now.isoformat(), str(request_id)),
            )
        return self._existing(request_id)

    def finish(self, wish: HandOn, now: datetime, notice: OutgoingReply | None) -> HandOn:
        """Write down that a hand-on is gone, and what follows: what waited is accepted, the sender is told, the case closed."""
        accepted = CaseDecision(accept=True, who=wish.author, at=now).dumps()
        with self._journal.writing() as connection:
            known = _find(connection, wish.request_id)
            if known is None or known.state not in TO_GO:
                return known or wish
            connection.execute(
                "UPDATE submission SET state = 'handed', decision = ?, tries = 0, due = ?, note = '', changed_at = ?"
                " WHERE case_id = ? AND state = 'waiting' AND decision IS NULL AND seen_at <= ?",
                (accepted, now.timestamp(), now.isoformat(), str(wish.case_id), wish.at.isoformat()),
            )
            if notice is not None:
                insert_reply(connection, notice)
            connection.execute(
                "UPDATE forward SET state = 'gone', tries = 0, note = '', sealed_text = '', changed_at = ?"
                " WHERE request_id = ?",
                (now.isoformat(), str(wish.request_id)),
            )
            connection.execute(
                "UPDATE case_file SET closed_at = ? WHERE case_id = ?", (now.isoformat(), str(wish.case_id))
            )
            _deed(connection, wish, wish.author, "forwarded", now)
        return self._existing(wish.request_id)

    def came(self, origin: CameFrom) -> None:
        """Note where a case came from; said again it changes nothing."""
        with self._journal.writing() as connection:
            connection.execute(
                "INSERT INTO came_from (case_id, from_case, from_name, reason, handed_at, received_at)"
                " VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (case_id) DO NOTHING",
                (
                    str(origin.case_id),
                    str(origin.from_case),
                    origin.from_name,
                    origin.reason,
                    origin.handed_at.isoformat(),
                    origin.received_at.isoformat(),
                ),
            )

    def origin(self, case_id: UUID) -> CameFrom | None:
        """Return where a case came from, None where nobody handed it on."""
        rows = self._journal.rows("SELECT * FROM came_from WHERE case_id = ?", (str(case_id),))
        if not rows:
            return None
        row = rows[0]
        return CameFrom(
            case_id=case_id,
            from_case=UUID(row["from_case"]),
            from_name=row["from_name"],
            reason=row["reason"],
            handed_at=_time(row["handed_at"]),
            received_at=_time(row["received_at"]),
        )

    def _existing(self, request_id: UUID) -> HandOn:
        found = self.find(request_id)
        if found is None:
            raise no_such_case()
        return found


def _own_proposal() -> Forbidden:
    return needs_second_person(
        Forbidden,
        Text(
            "Diese Abgabe haben Sie selbst vorgeschlagen. Zustimmen muss eine Kollegin oder ein Kollege.",
            "You proposed this hand-on yourself. A colleague has to agree.",
        ),
    )


def _require_fit(entry: Entry) -> None:
    """Refuse a submission that was turned down, or of which nobody knows yet what it is."""
    decision = None if entry.decision is None else CaseDecision.loads(entry.decision)
    accepted = decision is not None and decision.accept and entry.state in _ACCEPTED
    if entry.state is not JournalState.WAITING and not accepted:
        raise nothing_to_decide(entry.state)


def _proposed(connection: sqlite3.Connection, request_id: UUID) -> HandOn:
    wish = _find(connection, request_id)
    if wish is None:
        raise no_such_case()
    if wish.state is not ForwardState.PROPOSED:
        raise decided_already(Text("Über diese Abgabe ist schon entschieden.", "This hand-on is decided already."))
    return wish


def _require_same(known: HandOn, wish: HandOn) -> None:
    if (known.submission_id, known.digest) != (wish.submission_id, wish.digest):
        raise IdempotencyConflict(
            Text(
                "Unter dieser Kennung wurde etwas anderes abgegeben. Nehmen Sie eine neue.",
                "Something else was handed on under this id. Take a new one.",
            )
        )


def _gone(connection: sqlite3.Connection, case_id: UUID) -> bool:
    found = connection.execute("SELECT 1 FROM forward WHERE case_id = ? AND state = 'gone'", (str(case_id),))
    return found.fetchone() is not None


def _find(connection: sqlite3.Connection, request_id: UUID) -> HandOn | None:
    cursor = connection.execute("SELECT * FROM forward WHERE request_id = ?", (str(request_id),))
    row = cursor.fetchone()
    return None if row is None else _hand_on(dict(zip([each[0] for each in cursor.description], row, strict=True)))


def _insert(connection: sqlite3.Connection, wish: HandOn) -> None:
    connection.execute(
        "INSERT INTO forward (request_id, case_id, submission_id, destination_id, service, area, reason, sealed_text, digest,"
        " author, at, state, due, changed_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            str(wish.request_id),
            str(wish.case_id),
            str(wish.submission_id),
            str(wish.destination_id),
            wish.service,
            wish.area,
            wish.reason,
            wish.sealed_text,
            wish.digest,
            wish.author,
            wish.at.isoformat(),
            wish.state,
            wish.at.timestamp(),
            wish.at.isoformat(),
        ),
    )


def _deed(connection: sqlite3.Connection, wish: HandOn, who: str, what: str, now: datetime) -> None:
    note_deed(connection, wish.case_id, Deed(at=now, who=who, what=what, about=str(wish.request_id)))


def _hand_on(row: Mapping[str, Any]) -> HandOn:
    return HandOn(
        request_id=UUID(row["request_id"]),
        case_id=UUID(row["case_id"]),
        submission_id=UUID(row["submission_id"]),
        destination_id=UUID(row["destination_id"]),
        service=row["service"],
        area=row["area"],
        reason=row["reason"],
        sealed_text=row["sealed_text"],
        digest=row["digest"],
        author=row["author"],
        at=_time(row["at"]),
        state=ForwardState(row["state"]),
        second=row["second"],
        next_name=row["next_name"],
        next_case=None if row["next_case"] is None else UUID(row["next_case"]),
        next_submission=None if row["next_submission"] is None else UUID(row["next_submission"]),
        tries=row["tries"],
        note=row["note"],
    )


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)
