"""Results of attempts to deliver: many are recorded at once, each as if it were alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Self
from uuid import UUID

from sqlalchemy import Connection

from hub.model import Event, Outcome, OutcomeKind, State, Step, StepKind, chain
from hub.store import tables
from hub.store.database import maybe_micros, micros
from hub.store.event_log import event_row, fitting, insert_events, lock_cases, move_all, move_heads
from hub.store.outboxes import write_callbacks
from hub.store.records import CaseHead, Claim, DeliveryState, OutgoingCallback
from hub.store.statements import Insert, Query, Update
from hub.store.writer import Joint

_DELIVERIES = tables.deliveries
INSERT_ATTEMPT = Insert(tables.attempts)
_LEAVE = Update(_DELIVERIES, changed=["leased_by", "attempts", "repeat", "lapses"], by=["delivery_id"])
_PROCEED = Update(
    _DELIVERIES,
    changed=["leased_by", "attempts", "repeat", "lapses", "state", "next_attempt_at", "cause", "finished_at"],
    by=["delivery_id"],
)
_NOW = """
SELECT d.delivery_id, d.fencing, d.leased_by, d.repeat, d.state, m.state
FROM deliveries d JOIN messages m ON m.message_id = d.submission_id WHERE d.delivery_id {ids}"""
_STANDING = Query(
    sqlite=_NOW,
    postgresql=_NOW + " ORDER BY d.delivery_id FOR UPDATE OF d",
    columns=["delivery_id", "fencing", "leased_by", "repeat", "state", "message_state"],
    several=["ids"],
)


@dataclass(frozen=True, kw_only=True, slots=True)
class AttemptResult(Joint):
    """One attempt to be recorded. The write's result says whether the claim was still ours; if not, nothing is written."""

    claim: Claim
    outcome: Outcome
    step: Step
    started_at: datetime
    ended_at: datetime
    events: Sequence[Event]
    callbacks: Sequence[OutgoingCallback]

    @classmethod
    def many(cls, connection: Connection, writes: Sequence[Self]) -> list[bool]:
        """Record what is still ours. Cases first, then deliveries: an answer of a receiver locks in this order, too."""
        heads = lock_cases(connection, {one.claim.submission.case_id for one in writes if one.events})
        standing = _standing(connection, writes)
        ours = [_owned(one, standing) for one in writes]
        kept = [one for one, is_ours in zip(writes, ours, strict=True) if is_ours]
        queued: list[tuple[Self, Any]] = []
        over: list[tuple[Self, Any]] = []
        for one in kept:
            row = standing[str(one.claim.delivery_id)]
            # A delivery that ended meanwhile, because the receiver answered, is not opened again.
            (queued if row.state == DeliveryState.QUEUED.value else over).append((one, row))
        _PROCEED.raw(connection, [(*_lease(one, row), *_progress(one), row.delivery_id) for one, row in queued])
        _LEAVE.raw(connection, [(*_lease(one, row), row.delivery_id) for one, row in over])
        INSERT_ATTEMPT.raw(connection, [INSERT_ATTEMPT.row(_attempt_row(one)) for one in kept])
        _write_news(connection, kept, heads, standing)
        write_callbacks(connection, [callback for one in kept for callback in one.callbacks])
        return ours


def _standing(connection: Connection, results: Sequence[AttemptResult]) -> dict[str, Any]:
    """Return how deliveries and their messages stand, held until the transaction's end, by delivery id."""
    ids = {str(one.claim.delivery_id) for one in results}
    return {row.delivery_id: row for row in _STANDING(connection, {"ids": ids})}


def _owned(result: AttemptResult, standing: dict[str, Any]) -> bool:
    row = standing.get(str(result.claim.delivery_id))
    return row is not None and row.leased_by is not None and row.fencing == result.claim.fencing


def _lease(result: AttemptResult, row: Any) -> tuple[Any, ...]:
    repeat = bool(row.repeat) or result.outcome.kind is OutcomeKind.UNKNOWN
    # Its worker lived to tell: lapses count in a row.
    return None, result.claim.attempt, repeat, 0


def _progress(result: AttemptResult) -> tuple[Any, ...]:
    step = result.step
    state = DeliveryState.QUEUED
    if step.kind is StepKind.BURY:
        state = DeliveryState.DEAD
    elif step.kind is StepKind.FINISH:
        waits = result.outcome.kind is OutcomeKind.WAITING
        state = DeliveryState.WAITING if waits else DeliveryState.DELIVERED
    over = state is not DeliveryState.QUEUED
    return (
        state.value,
        None if over else maybe_micros(step.due),
        None if step.cause is None else step.cause.value,
        micros(result.ended_at) if over else None,
    )


def _write_news(
    connection: Connection, results: Sequence[AttemptResult], heads: dict[UUID, CaseHead], standing: dict[str, Any]
) -> None:
    """Chain the events that still fit on to their cases, and move their submissions."""
    written: list[Event] = []
    last: dict[UUID, Event] = {}
    moves: list[tuple[UUID, State, Sequence[Event]]] = []
    for one in results:
        submission = one.claim.submission
        before = State(standing[str(one.claim.delivery_id)].message_state)
        after, events = fitting(before, one.events)
        if not events:
            continue
        head = heads[submission.case_id]
        chained = chain(events, head=head.hash, seq=head.seq)
        last[submission.case_id] = end = chained[-1]
        heads[submission.case_id] = CaseHead(case_id=submission.case_id, seq=end.seq, hash=end.hash)
        written += chained
        if after is not None and after is not before:
            moves.append((submission.submission_id, after, chained))
    move_all(connection, moves)
    insert_events(connection, [event_row(event) for event in written])
    move_heads(connection, list(last.values()))


def _attempt_row(result: AttemptResult) -> dict[str, Any]:
    return {
        "delivery_id": str(result.claim.delivery_id),
        "n": result.claim.attempt,
        "started_at": micros(result.started_at),
        "ended_at": micros(result.ended_at),
        "outcome": result.outcome.kind.value,
        "note": result.outcome.note,
        "node": result.claim.node,
        "repeat": result.claim.repeat,
        "proof": result.outcome.proof,
    }
