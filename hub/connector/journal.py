"""The connector's memory: one SQLite file that says of each submission how far it has come.

Every step is written down before it is taken, so that a process that dies at any point goes on from there. The journal
and the folder beside it hold ciphertext and identifiers only; both may be backed up like any other file.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Any
from uuid import UUID

from hub.connector.envelope import disk_trouble
from hub.connector.settings import unusable


class JournalState(StrEnum):
    """How far a submission has come; the order is the order of the walk."""

    #: Known and to be fetched, or its ciphertext already lies here.
    SEEN = "seen"
    #: Opened and judged once; the verdict stands in the journal, the plaintext nowhere.
    OPENED = "opened"
    #: People or the local system have it, and are yet to decide.
    WAITING = "waiting"
    #: It is decided, and handed over if it had to be; the hub is yet to be answered.
    HANDED = "handed"
    #: The hub has our accept or reject event. Final.
    ANSWERED = "answered"
    #: The case was closed by somebody else before our answer came. Final; a person should look.
    OVERRULED = "overruled"
    #: The hub no longer has it and nothing was fetched. Final unless the hub lists it again.
    GONE = "gone"


FINAL = frozenset({JournalState.ANSWERED, JournalState.OVERRULED, JournalState.GONE})

_SCHEMA = """
CREATE TABLE IF NOT EXISTS submission (
  submission_id  TEXT PRIMARY KEY,
  case_id        TEXT NOT NULL,
  destination_id TEXT NOT NULL,
  state          TEXT NOT NULL,
  verdict        TEXT,
  staged         INTEGER NOT NULL DEFAULT 0,
  unsure         INTEGER NOT NULL DEFAULT 0,
  doubted        INTEGER NOT NULL DEFAULT 0,
  jti            TEXT,
  token          TEXT,
  tries          INTEGER NOT NULL DEFAULT 0,
  due            REAL NOT NULL,
  note           TEXT NOT NULL DEFAULT '',
  seen_at        TEXT NOT NULL,
  changed_at     TEXT NOT NULL
) STRICT;
CREATE INDEX IF NOT EXISTS submission_case ON submission (case_id);
CREATE INDEX IF NOT EXISTS submission_due ON submission (due) WHERE state IN ('seen', 'opened', 'handed');
"""
#: What later versions know besides; a journal of before gets it when it is opened.
_ADDED = {
    "service": "TEXT NOT NULL DEFAULT ''",
    "service_name": "TEXT NOT NULL DEFAULT ''",
    "submitted_at": "TEXT NOT NULL DEFAULT ''",
    "decision": "TEXT",
    "kept": "INTEGER NOT NULL DEFAULT 0",
    "scan": "TEXT",
}
_COLUMNS = frozenset(
    {"state", "verdict", "staged", "unsure", "doubted", "jti", "token", "tries", "due", "note", *_ADDED}
)
_OPEN = "('seen', 'opened', 'handed')"


@dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
    """One submission as the journal knows it.

    ``verdict`` is JSON of what opening found (None until then). ``staged``: a complete copy waits in the hand-over
    folder for its final name. ``unsure``: an HTTP hand-over was begun and its end is not known. ``doubted``: a first copy
    was broken and thrown away. ``token`` is the signed answer, ``jti`` its id; both are written before the token is
    posted. ``tries`` counts failures since the last step. ``decision`` is JSON of what somebody decided. ``kept``: its
    ciphertext stays after the answer, for whoever works on its case. ``service`` and ``submitted_at`` are known once opened.
    ``scan`` is JSON of what a scan for malware found; while it is only seen, that keeps it back.
    """

    submission_id: UUID
    case_id: UUID
    destination_id: UUID
    state: JournalState
    verdict: str | None
    staged: bool
    unsure: bool
    doubted: bool
    jti: str | None
    token: str | None
    tries: int
    note: str
    seen_at: datetime
    changed_at: datetime
    service: str
    service_name: str
    submitted_at: str
    decision: str | None
    kept: bool
    scan: str | None = None


class Journal:
    """The file, opened for one process alone; usable from several threads."""

    def __init__(self, path: Path) -> None:
        self._lock = threading.Lock()
        try:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            path.touch(mode=0o600)
            self._connection = sqlite3.connect(path, timeout=0.2, isolation_level=None, check_same_thread=False)
        except (OSError, sqlite3.Error) as exc:
            raise unusable("journal", "lässt sich nicht öffnen", "cannot be opened") from exc
        try:
            # Two connectors on one journal would hand over twice: the file stays locked while this process lives.
            self._connection.execute("PRAGMA locking_mode=EXCLUSIVE")
            self._connection.execute("PRAGMA journal_mode=WAL")
            self._connection.execute("PRAGMA synchronous=FULL")
            self._connection.executescript(_SCHEMA)
            self._grow()
        except sqlite3.Error as exc:
            self._connection.close()
            raise unusable("journal", "ist kein Journal oder wird schon benutzt", "is no journal or is in use") from exc

    def _grow(self) -> None:
        """Add the columns that a journal of an earlier version lacks."""
        known = {row[1] for row in self._connection.execute("PRAGMA table_info(submission)")}
        for name, kind in _ADDED.items():
            if name not in known:
                self._connection.execute(f"ALTER TABLE submission ADD COLUMN {name} {kind}")

    def close(self) -> None:
        """Release the file."""
        self._connection.close()

    def see(self, submission_id: UUID, case_id: UUID, destination_id: UUID, now: datetime) -> bool:
        """Write down that a submission is to be handled; tell whether that is news."""
        stamp = now.isoformat()
        values = (
            str(submission_id),
            str(case_id),
            str(destination_id),
            JournalState.SEEN,
            now.timestamp(),
            stamp,
            stamp,
        )
        with self.writing() as connection:
            cursor = connection.execute(
                "INSERT INTO submission (submission_id, case_id, destination_id, state, due, seen_at, changed_at)"
                " VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (submission_id) DO UPDATE SET state = excluded.state,"
                " due = excluded.due, changed_at = excluded.changed_at, tries = 0, note = '' WHERE state = 'gone'",
                values,
            )
            return cursor.rowcount > 0

    def update(self, submission_id: UUID, now: datetime, **changes: Any) -> Entry:
        """Write down a step, durably; return the entry as it is now."""
        unknown = set(changes) - _COLUMNS
        if unknown:
            raise ValueError(unknown)
        if "due" in changes:
            changes["due"] = changes["due"].timestamp()
        assignments = ", ".join(f"{name} = ?" for name in changes)
        with self.writing() as connection:
            connection.execute(
                f"UPDATE submission SET {assignments}, changed_at = ? WHERE submission_id = ?",  # noqa: S608  # Names are from _COLUMNS.
                (*changes.values(), now.isoformat(), str(submission_id)),
            )
        entry = self.find(submission_id)
        if entry is None:
            raise KeyError(submission_id)
        return entry

    def find(self, submission_id: UUID) -> Entry | None:
        """Return one entry, or None."""
        found = self._query("SELECT * FROM submission WHERE submission_id = ?", (str(submission_id),))
        return found[0] if found else None

    def of_case(self, case_id: UUID) -> list[Entry]:
        """Return all that came in a case, the oldest first."""
        return self._query("SELECT * FROM submission WHERE case_id = ? ORDER BY seen_at, rowid", (str(case_id),))

    def due(self, now: datetime) -> list[Entry]:
        """Return the open entries whose time has come, the oldest first."""
        return self._query(
            f"SELECT * FROM submission WHERE state IN {_OPEN} AND due <= ? ORDER BY seen_at, rowid",  # noqa: S608  # of words of ours
            (now.timestamp(),),
        )

    def open_ids(self) -> frozenset[UUID]:
        """Return the ids of all open entries."""
        rows = self.rows(f"SELECT submission_id FROM submission WHERE state IN {_OPEN}")  # noqa: S608  # of words of ours
        return frozenset(UUID(row["submission_id"]) for row in rows)

    def lying_here(self) -> frozenset[UUID]:
        """Return the ids of all whose ciphertext has to lie on this disk: what is open, waits for a decision, or is kept."""
        lying = f"kept = 1 OR state = 'waiting' OR state IN {_OPEN}"
        rows = self.rows(f"SELECT submission_id FROM submission WHERE {lying}")  # noqa: S608  # of words of ours
        return frozenset(UUID(row["submission_id"]) for row in rows)

    def counts(self) -> Mapping[str, int]:
        """Return how many submissions are in each state."""
        rows = self.rows("SELECT state, count(*) AS number FROM submission GROUP BY state")
        return {row["state"]: row["number"] for row in rows}

    def _query(self, sql: str, values: tuple[Any, ...]) -> list[Entry]:
        return [entry_of(row) for row in self.rows(sql, values)]

    def extend(self, schema: str) -> None:
        """Make the tables of a book that lies in the same file, if they are missing."""
        with self._lock, _translated():
            self._connection.executescript(schema)

    def rows(self, sql: str, values: Sequence[Any] = ()) -> list[Mapping[str, Any]]:
        """Return what a query finds, each row by the names of its columns."""
        with self._lock, _translated():
            cursor = self._connection.execute(sql, tuple(values))
            names = [column[0] for column in cursor.description]
            return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """Hold one transaction, durable at its end and undone where it fails; ``Unavailable`` if the disk says no."""
        with self._lock, _translated():
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield self._connection
                self._connection.execute("COMMIT")
            finally:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as exc:
        raise disk_trouble() from exc


def entry_of(row: Mapping[str, Any]) -> Entry:
    """Return an entry of a row of ``submission``."""
    return Entry(
        submission_id=UUID(row["submission_id"]),
        case_id=UUID(row["case_id"]),
        destination_id=UUID(row["destination_id"]),
        state=JournalState(row["state"]),
        verdict=row["verdict"],
        staged=bool(row["staged"]),
        unsure=bool(row["unsure"]),
        doubted=bool(row["doubted"]),
        jti=row["jti"],
        token=row["token"],
        tries=row["tries"],
        note=row["note"],
        seen_at=datetime.fromisoformat(row["seen_at"]).astimezone(UTC),
        changed_at=datetime.fromisoformat(row["changed_at"]).astimezone(UTC),
        service=row["service"],
        service_name=row["service_name"],
        submitted_at=row["submitted_at"],
        decision=row["decision"],
        kept=bool(row["kept"]),
        scan=row["scan"],
    )
