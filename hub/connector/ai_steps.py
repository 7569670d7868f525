"""Steps of AI systems on their way to the hub: written down with their signed token first, then sent until the hub has them.

A step is made by the authority's own system or a clerk; it says which system took part, for what, what came out and who decided
by it, and nothing of what people sent. The token is signed once, so that a repeat after a lost answer is the same token, which
the hub takes once.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any
from uuid import UUID

from hub.client.fit_connect import Named, signed_answer
from hub.client.forwarding import Forwarder
from hub.connector.journal import Entry, Journal
from hub.connector.opening import Keys
from hub.connector.refusals import no_such_case
from hub.errors import HubError, IdempotencyConflict, Invalid, Text, Unavailable
from hub.model import EventKind, Subject
from hub.model.ai_step import AiStep

_log = logging.getLogger(__name__)
_SCHEMA = """
CREATE TABLE IF NOT EXISTS ai_step (
  request_id     TEXT PRIMARY KEY,
  case_id        TEXT NOT NULL,
  submission_id  TEXT NOT NULL,
  said           TEXT NOT NULL,
  author         TEXT NOT NULL,
  at             TEXT NOT NULL,
  token          TEXT NOT NULL,
  state          TEXT NOT NULL,
  tries          INTEGER NOT NULL DEFAULT 0,
  due            REAL NOT NULL,
  note           TEXT NOT NULL DEFAULT ''
) STRICT;
CREATE INDEX IF NOT EXISTS ai_step_case ON ai_step (case_id);
"""
_FIRST_WAIT, _LONGEST_WAIT, _HELD_WAIT = timedelta(seconds=5), timedelta(hours=1), timedelta(minutes=10)
#: Statuses that speak of the step itself: an unregistered system, a closed case, one too many.
_FINAL = frozenset({409, 413, 422})
_MOST_AT_ONCE = 50


class StepState(StrEnum):
    """How far a step has come."""

    #: Signed and on this disk; the hub may have it already.
    WRITTEN = "written"
    #: It stands in the case's log. Final.
    SENT = "sent"
    #: The hub will not have it. Final; a person should look.
    REFUSED = "refused"


@dataclass(frozen=True, kw_only=True, slots=True)
class WrittenStep:
    """A step in this connector's book; ``note`` is the hub's reason where it will not have it."""

    request_id: UUID
    case_id: UUID
    submission_id: UUID
    step: AiStep
    author: str
    at: datetime
    state: StepState
    note: str


class AiStepBook:
    """Writes steps down, and sends them. Thread-safe, but for :meth:`run_once`, which is for one thread."""

    def __init__(self, journal: Journal, *, keys: Mapping[UUID, Keys], door: Forwarder) -> None:
        self._journal = journal
        self._keys = keys
        self._door = door
        journal.extend(_SCHEMA)

    def write(
        self, submission_id: UUID, request_id: UUID, said: Mapping[str, Any], *, who: str, now: datetime
    ) -> WrittenStep:
        """Write a step down, signed; the same one with the same id again is the one that there is.

        Raises:
            NotFound: no such submission came here. Invalid: it is no step; ``field`` names the member.
            IdempotencyConflict: the id came with another step.
        """
        entry = self._journal.find(submission_id)
        if entry is None:
            raise no_such_case()
        step = _read(said)
        message = Named(subject=Subject.SUBMISSION, message_id=submission_id, case_id=entry.case_id)
        key = self._keys[entry.destination_id].signing
        _, token = signed_answer(message, entry.destination_id, key, EventKind.AI_STEP, step.payload(), now)
        text = json.dumps(step.payload(), sort_keys=True)
        self._insert(entry, request_id, text, token, who=who, now=now)
        found = self.find(request_id)
        if found is None or (found.submission_id, found.step) != (submission_id, step):
            raise _another_step()
        return found

    def _insert(self, entry: Entry, request_id: UUID, text: str, token: str, *, who: str, now: datetime) -> None:
        with self._journal.writing() as connection:
            connection.execute(
                "INSERT INTO ai_step (request_id, case_id, submission_id, said, author, at, token, state, due)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (request_id) DO NOTHING",
                (
                    *(str(request_id), str(entry.case_id), str(entry.submission_id), text, who, now.isoformat(), token),
                    *(StepState.WRITTEN, now.timestamp()),
                ),
            )

    def find(self, request_id: UUID) -> WrittenStep | None:
        """Return a step by its author's id, or None."""
        rows = self._journal.rows("SELECT * FROM ai_step WHERE request_id = ?", (str(request_id),))
        return _written(rows[0]) if rows else None

    def of_case(self, case_id: UUID) -> list[WrittenStep]:
        """Return the steps that were written here in a case, the oldest first."""
        rows = self._journal.rows("SELECT * FROM ai_step WHERE case_id = ? ORDER BY at, request_id", (str(case_id),))
        return [_written(row) for row in rows]

    def run_once(self, now: datetime) -> int:
        """Send what is due; return how many steps the hub has now."""
        due = self._journal.rows(
            "SELECT * FROM ai_step WHERE state = ? AND due <= ? ORDER BY due LIMIT ?",
            (StepState.WRITTEN, now.timestamp(), _MOST_AT_ONCE),
        )
        return sum(self._sent(row, now) for row in due)

    def _sent(self, row: Mapping[str, Any], now: datetime) -> bool:
        request_id: str = row["request_id"]
        try:
            self._door.post_ai_step(UUID(row["case_id"]), row["token"])
        except HubError as error:
            self._hold(row, error, now)
            return False
        self._update(request_id, StepState.SENT, tries=0, due=now, note="")
        return True

    def _hold(self, row: Mapping[str, Any], error: HubError, now: datetime) -> None:
        request_id: str = row["request_id"]
        if error.members.get("status") in _FINAL:
            _log.error("ai step %s: the hub will not have it (%s)", request_id, error.slug)
            self._update(request_id, StepState.REFUSED, tries=row["tries"], due=now, note=error.slug)
            return
        if row["note"] != error.slug:
            _log.warning("ai step %s is held: %s", request_id, error.slug)
        wish = error.retry_after if isinstance(error, Unavailable) else _HELD_WAIT
        wait = min(max(_FIRST_WAIT * 2 ** min(row["tries"], 20), wish), _LONGEST_WAIT)
        self._update(request_id, StepState.WRITTEN, tries=row["tries"] + 1, due=now + wait, note=error.slug)

    def _update(self, request_id: str, state: StepState, *, tries: int, due: datetime, note: str) -> None:
        with self._journal.writing() as connection:
            connection.execute(
                "UPDATE ai_step SET state = ?, tries = ?, due = ?, note = ? WHERE request_id = ?",
                (state, tries, due.timestamp(), note, request_id),
            )


def _read(said: Mapping[str, Any]) -> AiStep:
    try:
        step = AiStep.read(said)
    except ValueError as exc:
        raise _no_step(str(exc)) from exc
    return step


def _another_step() -> IdempotencyConflict:
    return IdempotencyConflict(
        Text("Diese Kennung gehört zu einem anderen KI-Schritt.", "This id belongs to another AI step.")
    )


def _written(row: Mapping[str, Any]) -> WrittenStep:
    return WrittenStep(
        request_id=UUID(row["request_id"]),
        case_id=UUID(row["case_id"]),
        submission_id=UUID(row["submission_id"]),
        step=AiStep.read(json.loads(row["said"])),
        author=row["author"],
        at=datetime.fromisoformat(row["at"]).astimezone(UTC),
        state=StepState(row["state"]),
        note=row["note"],
    )


def _no_step(field: str) -> Invalid:
    return Invalid(
        Text(
            f"Das Feld {field} fehlt, ist zu lang oder nicht so, wie der Vertrag es hat.",
            f"{field} is missing, too long, or not as the contract has it.",
        ),
        field=field,
    )
