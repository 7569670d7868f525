"""The municipality's say, written down: who works on which case, what was decided, and what is to be written to whom.

The book lies in the journal's own file, so that a decision and the reply that goes with it are one transaction. It holds
identifiers, names of clerks and times; what a reply says is sealed and lies elsewhere (:mod:`hub.connector.replies`).

A case is *new* while something in it waits for a decision, *open* until it is closed, and closed by a decision, or by turning
down all that came; what comes later opens it again.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from enum import StrEnum
from typing import Any, Self
from uuid import UUID

from hub.connector.journal import Entry, Journal, JournalState, entry_of
from hub.connector.refusals import (
    case_is_closed,
    decided_already,
    forward_under_way,
    no_such_case,
    nothing_to_decide,
    taken_by,
)
from hub.errors import IdempotencyConflict, Text

_SCHEMA = """
CREATE TABLE IF NOT EXISTS case_file (
  case_id        TEXT PRIMARY KEY,
  destination_id TEXT NOT NULL,
  reply_key      TEXT,
  worker         TEXT,
  worker_since   TEXT,
  closed_at      TEXT,
  opened_at      TEXT NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS reply (
  request_id     TEXT PRIMARY KEY,
  case_id        TEXT NOT NULL,
  submission_id  TEXT NOT NULL,
  destination_id TEXT NOT NULL,
  kind           TEXT NOT NULL,
  deadline       TEXT,
  author         TEXT NOT NULL,
  digest         TEXT NOT NULL,
  at             TEXT NOT NULL,
  state          TEXT NOT NULL,
  reply_id       TEXT,
  tries          INTEGER NOT NULL DEFAULT 0,
  due            REAL NOT NULL,
  note           TEXT NOT NULL DEFAULT '',
  changed_at     TEXT NOT NULL
) STRICT;
CREATE INDEX IF NOT EXISTS reply_case ON reply (case_id);
CREATE INDEX IF NOT EXISTS reply_due ON reply (due) WHERE state IN ('written', 'announced');
CREATE TABLE IF NOT EXISTS deed (
  number         INTEGER PRIMARY KEY,
  case_id        TEXT NOT NULL,
  at             TEXT NOT NULL,
  who            TEXT NOT NULL,
  what           TEXT NOT NULL,
  about          TEXT NOT NULL DEFAULT ''
) STRICT;
CREATE INDEX IF NOT EXISTS deed_case ON deed (case_id);
CREATE TABLE IF NOT EXISTS forward (
  request_id      TEXT PRIMARY KEY,
  case_id         TEXT NOT NULL,
  submission_id   TEXT NOT NULL,
  destination_id  TEXT NOT NULL,
  service         TEXT NOT NULL,
  area            TEXT NOT NULL,
  reason          TEXT NOT NULL,
  sealed_text     TEXT NOT NULL,
  digest          TEXT NOT NULL,
  author          TEXT NOT NULL,
  second          TEXT,
  at              TEXT NOT NULL,
  state           TEXT NOT NULL,
  next_name       TEXT NOT NULL DEFAULT '',
  next_case       TEXT,
  next_submission TEXT,
  tries           INTEGER NOT NULL DEFAULT 0,
  due             REAL NOT NULL,
  note            TEXT NOT NULL DEFAULT '',
  changed_at      TEXT NOT NULL
) STRICT;
CREATE INDEX IF NOT EXISTS forward_case ON forward (case_id);
CREATE TABLE IF NOT EXISTS came_from (
  case_id        TEXT PRIMARY KEY,
  from_case      TEXT NOT NULL,
  from_name      TEXT NOT NULL,
  reason         TEXT NOT NULL,
  handed_at      TEXT NOT NULL,
  received_at    TEXT NOT NULL
) STRICT;
"""
_REPLY_COLUMNS = frozenset({"state", "reply_id", "tries", "due", "note"})


class ReplyState(StrEnum):
    """How far a reply has come."""

    #: Sealed on this disk; the hub does not know of it.
    WRITTEN = "written"
    #: The hub has given it an id; nobody sees it before all of it is there.
    ANNOUNCED = "announced"
    #: The hub has all of it. Final.
    SENT = "sent"
    #: The hub will not have it. Final; a person should look.
    REFUSED = "refused"


@dataclass(frozen=True, kw_only=True, slots=True)
class CaseDecision:
    """What somebody decided on a submission; ``reasons`` are names of :data:`hub.connector.desk.REASONS`."""

    accept: bool
    who: str
    at: datetime
    reasons: tuple[str, ...] = ()

    def dumps(self) -> str:
        """Return it for the journal."""
        said = {"accept": self.accept, "who": self.who, "at": self.at.isoformat(), "reasons": list(self.reasons)}
        return json.dumps(said)

    @classmethod
    def loads(cls, text: str) -> Self:
        """Read it back from the journal."""
        said = json.loads(text)
        at = datetime.fromisoformat(said["at"]).astimezone(UTC)
        return cls(accept=said["accept"], who=said["who"], at=at, reasons=tuple(said["reasons"]))


@dataclass(frozen=True, kw_only=True, slots=True)
class CaseFile:
    """One case. ``reply_key`` is the sender's public key as JSON, None where it named none that is of use."""

    case_id: UUID
    destination_id: UUID
    reply_key: str | None
    worker: str | None
    worker_since: datetime | None
    closed_at: datetime | None
    opened_at: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class OutgoingReply:
    """One reply. ``request_id`` is the author's, by which a repeat is known; ``reply_id`` the hub's, once it has given one."""

    request_id: UUID
    case_id: UUID
    submission_id: UUID
    destination_id: UUID
    kind: str
    deadline: date | None
    author: str
    digest: str
    at: datetime
    state: ReplyState = ReplyState.WRITTEN
    reply_id: UUID | None = None
    tries: int = 0
    note: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Deed:
    """Something that somebody did in a case; ``about`` is a submission's or a reply's id, or a colleague's name."""

    at: datetime
    who: str
    what: str
    about: str


class CaseStage(StrEnum):
    """Where a case stands, for lists."""

    NEW = "new"
    OPEN = "open"
    CLOSED = "closed"


@dataclass(frozen=True, kw_only=True, slots=True)
class CaseQuery:
    """What a list is asked for. ``text``: an id, or its beginning or end; ``workers``: of these names; "-": nobody's."""

    stage: CaseStage | None = None
    service: str = ""
    text: str = ""
    workers: tuple[str, ...] | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class CaseRow:
    """One case in a list. ``deadline``: the earliest not answered; ``pending``: something is yet to reach the hub."""

    case: CaseFile
    stage: CaseStage
    first: Entry
    messages: int
    last_at: datetime
    deadline: date | None
    pending: bool


class CaseBook:
    """The book. Thread-safe; whatever is decided is decided within one transaction, so that of two clerks one is told."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        journal.extend(_SCHEMA)

    # ---------------------------------------------------------------------------------------------- what came

    def receive(self, entry: Entry, reply_key: str | None, now: datetime) -> None:
        """Note that something came in a case, which is open from now on; a key that it names takes an earlier one's place."""
        values = (str(entry.case_id), str(entry.destination_id), reply_key, now.isoformat())
        with self._journal.writing() as connection:
            connection.execute(
                "INSERT INTO case_file (case_id, destination_id, reply_key, opened_at) VALUES (?, ?, ?, ?)"
                " ON CONFLICT (case_id) DO UPDATE SET closed_at = NULL,"
                " reply_key = coalesce(excluded.reply_key, reply_key)",
                values,
            )

    def find(self, case_id: UUID) -> CaseFile:
        """Return a case; ``NotFound`` if nothing of it came here."""
        rows = self._journal.rows("SELECT * FROM case_file WHERE case_id = ?", (str(case_id),))
        if not rows:
            raise no_such_case()
        return _case(rows[0])

    def submissions(self, case_id: UUID) -> list[Entry]:
        """Return all that came in a case, the oldest first."""
        return self._journal.of_case(case_id)

    def cases(self, query: CaseQuery, *, offset: int, limit: int) -> tuple[list[CaseRow], int]:
        """Return one page of cases, those in which something happened last before others, and how many there are."""
        where, values = _where(query)
        total = self._journal.rows(f"SELECT count(*) AS number FROM ({_LIST}) {where}", values)[0]["number"]  # noqa: S608  # of words of ours
        rows = self._journal.rows(
            f"SELECT * FROM ({_LIST}) {where} ORDER BY last_at DESC, case_id LIMIT ? OFFSET ?",  # noqa: S608  # of words of ours
            (*values, limit, offset),
        )
        return [self._row(row) for row in rows], total

    def services(self) -> list[tuple[str, str]]:
        """Return identifier and name of the services that there are cases of, by name."""
        rows = self._journal.rows(
            "SELECT service, max(service_name) AS name FROM submission WHERE service <> ''"
            " AND case_id IN (SELECT case_id FROM case_file) GROUP BY service ORDER BY name, service LIMIT 500"
        )
        return [(row["service"], row["name"] or row["service"]) for row in rows]

    def _row(self, row: Mapping[str, Any]) -> CaseRow:
        first = self._journal.of_case(UUID(row["case_id"]))[0]
        deadline = row["deadline"]
        return CaseRow(
            case=_case(row),
            stage=CaseStage(row["stage"]),
            first=first,
            messages=row["messages"],
            last_at=_time(row["last_at"]),
            deadline=None if deadline is None else date.fromisoformat(deadline),
            pending=bool(row["pending"]),
        )

    # ---------------------------------------------------------------------------------------------- who works on it

    def take(self, case_id: UUID, who: str, now: datetime, *, from_colleague: bool = False) -> None:
        """Note that somebody works on a case; ``Conflict`` where a colleague does, unless it is taken from the colleague."""
        with self._journal.writing() as connection:
            case = required_case(connection, case_id)
            if case.worker == who:
                return
            if case.worker is not None and not from_colleague:
                raise taken_by(case.worker)
            _take(connection, case, who, now)

    def release(self, case_id: UUID, who: str, now: datetime) -> None:
        """Note that somebody no longer works on a case; nothing to do where somebody else does, or nobody."""
        with self._journal.writing() as connection:
            changed = connection.execute(
                "UPDATE case_file SET worker = NULL, worker_since = NULL WHERE case_id = ? AND worker = ?",
                (str(case_id), who),
            )
            if changed.rowcount:
                note_deed(connection, case_id, Deed(at=now, who=who, what="released", about=""))

    # ---------------------------------------------------------------------------------------------- what is said

    def decide(
        self,
        submission_id: UUID,
        decision: CaseDecision,
        *,
        next_state: JournalState,
        works: bool,
        with_reply: OutgoingReply | None = None,
    ) -> Entry:
        """Write down a decision, and the reply that goes with it; the same one again changes nothing.

        ``works``: whoever decides works on the case from then on, and is refused where a colleague does.

        Raises:
            NotFound: there is no such submission. Conflict: it is decided otherwise, or a colleague works on the case.
        """
        with self._journal.writing() as connection:
            entry = required_entry(connection, submission_id)
            if entry.decision is not None or entry.state is not JournalState.WAITING:
                _require_same(entry, decision)
                return entry
            require_nothing_forwarded(connection, entry.case_id)
            case = required_case(connection, entry.case_id)
            claim(connection, case, decision.who, decision.at, works=works)
            connection.execute(
                "UPDATE submission SET state = ?, decision = ?, tries = 0, due = ?, note = '', changed_at = ?"
                " WHERE submission_id = ?",
                (
                    next_state,
                    decision.dumps(),
                    decision.at.timestamp(),
                    decision.at.isoformat(),
                    str(submission_id),
                ),
            )
            what = "accepted" if decision.accept else "rejected"
            note_deed(
                connection, case.case_id, Deed(at=decision.at, who=decision.who, what=what, about=str(submission_id))
            )
            if with_reply is not None:
                insert_reply(connection, with_reply)
            if not decision.accept:
                _close_if_all_rejected(connection, case.case_id, decision.at)
            return required_entry(connection, submission_id)

    def write(self, reply: OutgoingReply, *, closes: bool, works: bool) -> OutgoingReply:
        """Write down a reply that is sealed and lies on this disk; the same one again is the one that there is.

        Raises:
            NotFound: there is no such case. IdempotencyConflict: the id came with another reply.
            Conflict: the case is closed, or a colleague works on it.
        """
        with self._journal.writing() as connection:
            known = _reply_row(connection, reply.request_id)
            if known is not None:
                _require_same_reply(known, reply)
                return known
            require_nothing_forwarded(connection, reply.case_id)
            case = required_case(connection, reply.case_id)
            if case.closed_at is not None:
                raise case_is_closed()
            claim(connection, case, reply.author, reply.at, works=works)
            insert_reply(connection, reply)
            if closes:
                connection.execute(
                    "UPDATE case_file SET closed_at = ? WHERE case_id = ?",
                    (reply.at.isoformat(), str(reply.case_id)),
                )
            return reply

    def reply(self, request_id: UUID) -> OutgoingReply | None:
        """Return a reply by its author's id, or None."""
        rows = self._journal.rows("SELECT * FROM reply WHERE request_id = ?", (str(request_id),))
        return _reply(rows[0]) if rows else None

    def replies(self, case_id: UUID) -> list[OutgoingReply]:
        """Return the replies in a case, the oldest first."""
        rows = self._journal.rows("SELECT * FROM reply WHERE case_id = ? ORDER BY at, rowid", (str(case_id),))
        return [_reply(row) for row in rows]

    def due(self, now: datetime) -> list[OutgoingReply]:
        """Return the replies whose time to go out has come, the oldest first: in a case they go in the order of writing."""
        rows = self._journal.rows(
            "SELECT * FROM reply WHERE state IN ('written', 'announced') AND due <= ? ORDER BY at, rowid",
            (now.timestamp(),),
        )
        return [_reply(row) for row in rows]

    def reply_ids(self) -> frozenset[UUID]:
        """Return the authors' ids of all replies."""
        return frozenset(UUID(row["request_id"]) for row in self._journal.rows("SELECT request_id FROM reply"))

    def update(self, request_id: UUID, now: datetime, **changes: Any) -> OutgoingReply:
        """Write down a step of a reply, durably; return it as it is now."""
        unknown = set(changes) - _REPLY_COLUMNS
        if unknown:
            raise ValueError(unknown)
        if "due" in changes:
            changes["due"] = changes["due"].timestamp()
        if changes.get("reply_id") is not None:
            changes["reply_id"] = str(changes["reply_id"])
        assignments = ", ".join(f"{name} = ?" for name in changes)
        with self._journal.writing() as connection:
            connection.execute(
                f"UPDATE reply SET {assignments}, changed_at = ? WHERE request_id = ?",  # noqa: S608  # Names are from _REPLY_COLUMNS.
                (*changes.values(), now.isoformat(), str(request_id)),
            )
        found = self.reply(request_id)
        if found is None:
            raise KeyError(request_id)
        return found

    def deeds(self, case_id: UUID) -> list[Deed]:
        """Return what was done in a case, the oldest first."""
        rows = self._journal.rows("SELECT * FROM deed WHERE case_id = ? ORDER BY number", (str(case_id),))
        return [Deed(at=_time(row["at"]), who=row["who"], what=row["what"], about=row["about"]) for row in rows]

    def note(self, case_id: UUID, deed: Deed) -> None:
        """Note something that somebody did in a case."""
        with self._journal.writing() as connection:
            note_deed(connection, case_id, deed)

    def forget(self, before: datetime) -> tuple[list[UUID], list[UUID]]:
        """Forget cases closed before then, of which nothing is under way; return the ids of their submissions and replies."""
        with self._journal.writing() as connection:
            found = connection.execute(_OVER, (before.isoformat(),)).fetchall()
            submissions: list[UUID] = []
            replies: list[UUID] = []
            for (case_id,) in found:
                for table, column, ids in (
                    ("submission", "submission_id", submissions),
                    ("reply", "request_id", replies),
                ):
                    rows = connection.execute(f"SELECT {column} FROM {table} WHERE case_id = ?", (case_id,))  # noqa: S608  # of words of ours
                    ids += [UUID(row[0]) for row in rows.fetchall()]
                connection.execute("UPDATE submission SET kept = 0 WHERE case_id = ?", (case_id,))
                for table in ("reply", "deed", "forward", "came_from", "case_file"):
                    connection.execute(f"DELETE FROM {table} WHERE case_id = ?", (case_id,))  # noqa: S608  # of words of ours
        return submissions, replies


_PENDING = (
    "EXISTS (SELECT 1 FROM reply p WHERE p.case_id = c.case_id AND p.state IN ('written', 'announced'))"
    " OR EXISTS (SELECT 1 FROM forward p WHERE p.case_id = c.case_id AND p.state IN ('proposed', 'wanted', 'begun'))"
    " OR EXISTS (SELECT 1 FROM submission p WHERE p.case_id = c.case_id AND p.decision IS NOT NULL"
    " AND p.state IN ('opened', 'handed'))"
)
#: Each case with what a list shows of it.
_LIST = (
    f"SELECT c.*, ({_PENDING}) AS pending,"  # noqa: S608  # of words of ours
    " (SELECT count(*) FROM submission s WHERE s.case_id = c.case_id) AS messages,"
    " (SELECT max(s.seen_at) FROM submission s WHERE s.case_id = c.case_id) AS last_at,"
    " (SELECT min(r.deadline) FROM reply r WHERE r.case_id = c.case_id AND r.deadline IS NOT NULL AND NOT EXISTS"
    " (SELECT 1 FROM submission s WHERE s.case_id = c.case_id AND s.seen_at > r.at)) AS deadline,"
    " (SELECT s.service FROM submission s WHERE s.case_id = c.case_id ORDER BY s.seen_at, s.rowid LIMIT 1) AS service,"
    " CASE WHEN EXISTS (SELECT 1 FROM submission s WHERE s.case_id = c.case_id AND s.state = 'waiting') THEN 'new'"
    " WHEN c.closed_at IS NOT NULL THEN 'closed' ELSE 'open' END AS stage FROM case_file c"
)
#: Cases that were closed before a moment, and of which nothing is under way.
_OVER = (
    f"SELECT c.case_id FROM case_file c WHERE c.closed_at < ? AND NOT ({_PENDING})"  # noqa: S608  # of words of ours
    " AND NOT EXISTS (SELECT 1 FROM submission s WHERE s.case_id = c.case_id"
    " AND s.state IN ('seen', 'opened', 'waiting', 'handed'))"
)


def _where(query: CaseQuery) -> tuple[str, list[Any]]:
    conditions, values = ["1 = 1"], list[Any]()
    if query.stage is not None:
        conditions.append("stage = ?")
        values.append(query.stage)
    if query.service:
        conditions.append("service = ?")
        values.append(query.service)
    if query.workers == ("-",):
        conditions.append("worker IS NULL")
    elif query.workers is not None:
        conditions.append("worker IN (SELECT value FROM json_each(?))")
        values.append(json.dumps(query.workers))
    if query.text:
        # Only letters, digits and hyphens come here: nothing in it means anything to LIKE.
        conditions.append(
            "case_id IN (SELECT case_id FROM submission WHERE submission_id LIKE ? OR submission_id LIKE ?"
            " OR case_id LIKE ? OR case_id LIKE ?)"
        )
        values += [f"{query.text}%", f"%{query.text}"] * 2
    return "WHERE " + " AND ".join(conditions), values


def required_entry(connection: sqlite3.Connection, submission_id: UUID) -> Entry:
    """Return a submission as it stands in this transaction; ``NotFound``."""
    cursor = connection.execute("SELECT * FROM submission WHERE submission_id = ?", (str(submission_id),))
    row = _first(cursor)
    if row is None:
        raise no_such_case()
    return entry_of(row)


def required_case(connection: sqlite3.Connection, case_id: UUID) -> CaseFile:
    """Return a case as it stands in this transaction; ``NotFound``."""
    row = _first(connection.execute("SELECT * FROM case_file WHERE case_id = ?", (str(case_id),)))
    if row is None:
        raise no_such_case()
    return _case(row)


def _reply_row(connection: sqlite3.Connection, request_id: UUID) -> OutgoingReply | None:
    row = _first(connection.execute("SELECT * FROM reply WHERE request_id = ?", (str(request_id),)))
    return None if row is None else _reply(row)


def _first(cursor: sqlite3.Cursor) -> Mapping[str, Any] | None:
    row = cursor.fetchone()
    return None if row is None else dict(zip([each[0] for each in cursor.description], row, strict=True))


def claim(connection: sqlite3.Connection, case: CaseFile, who: str, now: datetime, *, works: bool) -> None:
    """Have whoever acts work on the case, where people do; refuse it where a colleague works on it."""
    if not works or case.worker == who:
        return
    if case.worker is not None:
        raise taken_by(case.worker)
    _take(connection, case, who, now)


def require_nothing_forwarded(connection: sqlite3.Connection, case_id: UUID) -> None:
    """Refuse what is said in a case that is just being handed on."""
    found = connection.execute(
        "SELECT 1 FROM forward WHERE case_id = ? AND state IN ('proposed', 'wanted', 'begun')",
        (str(case_id),),
    )
    if found.fetchone() is not None:
        raise forward_under_way()


def _take(connection: sqlite3.Connection, case: CaseFile, who: str, now: datetime) -> None:
    connection.execute(
        "UPDATE case_file SET worker = ?, worker_since = ? WHERE case_id = ?", (who, now.isoformat(), str(case.case_id))
    )
    note_deed(connection, case.case_id, Deed(at=now, who=who, what="taken", about=case.worker or ""))


def note_deed(connection: sqlite3.Connection, case_id: UUID, deed: Deed) -> None:
    """Note something that somebody did, within a transaction."""
    connection.execute(
        "INSERT INTO deed (case_id, at, who, what, about) VALUES (?, ?, ?, ?, ?)",
        (str(case_id), deed.at.isoformat(), deed.who, deed.what, deed.about),
    )


def insert_reply(connection: sqlite3.Connection, reply: OutgoingReply) -> None:
    """Write a reply down, and who wrote it, within a transaction."""
    connection.execute(
        "INSERT INTO reply (request_id, case_id, submission_id, destination_id, kind, deadline, author, digest, at, state,"
        " due, changed_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            str(reply.request_id),
            str(reply.case_id),
            str(reply.submission_id),
            str(reply.destination_id),
            reply.kind,
            None if reply.deadline is None else reply.deadline.isoformat(),
            reply.author,
            reply.digest,
            reply.at.isoformat(),
            reply.state,
            reply.at.timestamp(),
            reply.at.isoformat(),
        ),
    )
    note_deed(
        connection,
        reply.case_id,
        Deed(at=reply.at, who=reply.author, what=f"wrote:{reply.kind}", about=str(reply.request_id)),
    )


def _close_if_all_rejected(connection: sqlite3.Connection, case_id: UUID, now: datetime) -> None:
    rows = connection.execute("SELECT decision FROM submission WHERE case_id = ?", (str(case_id),)).fetchall()
    if all(row[0] is not None and not CaseDecision.loads(row[0]).accept for row in rows):
        connection.execute("UPDATE case_file SET closed_at = ? WHERE case_id = ?", (now.isoformat(), str(case_id)))


def _require_same(entry: Entry, decision: CaseDecision) -> None:
    """Pass over a repeat of a decision; refuse another one, and any where there is nothing to decide."""
    if entry.decision is None:
        raise nothing_to_decide(entry.state)
    known = CaseDecision.loads(entry.decision)
    if (known.accept, known.reasons) != (decision.accept, decision.reasons):
        said = ("angenommen", "accepted") if known.accept else ("abgelehnt", "rejected")
        raise decided_already(
            Text(
                f"{known.who} hat das schon {said[0]} ({known.at:%d.%m.%Y %H:%M} UTC).",
                f"{known.who} has {said[1]} that already ({known.at:%Y-%m-%d %H:%M} UTC).",
            )
        )


def _require_same_reply(known: OutgoingReply, reply: OutgoingReply) -> None:
    if (known.case_id, known.digest) != (reply.case_id, reply.digest):
        raise IdempotencyConflict(
            Text(
                "Unter dieser Kennung gibt es schon eine andere Antwort. Nehmen Sie für eine neue Antwort eine neue Kennung.",
                "There is another reply under this id already. Take a new id for a new reply.",
            )
        )


def _case(row: Mapping[str, Any]) -> CaseFile:
    return CaseFile(
        case_id=UUID(row["case_id"]),
        destination_id=UUID(row["destination_id"]),
        reply_key=row["reply_key"],
        worker=row["worker"],
        worker_since=None if row["worker_since"] is None else _time(row["worker_since"]),
        closed_at=None if row["closed_at"] is None else _time(row["closed_at"]),
        opened_at=_time(row["opened_at"]),
    )


def _reply(row: Mapping[str, Any]) -> OutgoingReply:
    return OutgoingReply(
        request_id=UUID(row["request_id"]),
        case_id=UUID(row["case_id"]),
        submission_id=UUID(row["submission_id"]),
        destination_id=UUID(row["destination_id"]),
        kind=row["kind"],
        deadline=None if row["deadline"] is None else date.fromisoformat(row["deadline"]),
        author=row["author"],
        digest=row["digest"],
        at=_time(row["at"]),
        state=ReplyState(row["state"]),
        reply_id=None if row["reply_id"] is None else UUID(row["reply_id"]),
        tries=row["tries"],
        note=row["note"],
    )


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)
