"""The outbox of callbacks: written with the events that cause them, sent later, under leases."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Index, delete, literal_column, select, text, update

from hub.store import tables
from hub.store.database import Database, maybe_moment, micros, moment, not_found
from hub.store.notices import write_telling
from hub.store.outboxes import Outbox, Tried, fresh
from hub.store.records import CallbackClaim, CallbackView, DeliveryState, OutgoingCallback, Page, Telling
from hub.store.statements import Insert
from hub.store.unreadable import reads

_CALLBACKS = tables.callbacks
Index("ix_callbacks_case_id", _CALLBACKS.c.case_id)
_DEAD = text("state = 'dead'")
Index(
    "ix_callbacks_dead",
    _CALLBACKS.c.party,
    _CALLBACKS.c.created_at,
    sqlite_where=_DEAD,
    postgresql_where=_DEAD,
)
_INSERT = Insert(_CALLBACKS)
_OUTBOX = Outbox(_CALLBACKS, "callback_id")
#: Callbacks of one case that are shown at once.
_SHOWN = 100


class Callbacks(Database):
    """Callbacks to send, and what came of them."""

    def add_callback(self, callback: OutgoingCallback) -> None:
        """Put a callback into the outbox, due at once."""
        self._write(lambda connection: write_callbacks(connection, [callback]))

    def claim_callbacks(
        self, now: datetime, *, lease: timedelta, node: str, limit: int, share: int | None = None
    ) -> list[CallbackClaim]:
        """Lease up to ``limit`` due callbacks to ``node``, the longest due first.

        With a ``share`` fair over parties, of each of which at most so many are under way on all nodes.
        """

        def write(connection: Connection) -> list[CallbackClaim]:
            rows = _OUTBOX.claim(connection, now, lease=lease, node=node, limit=limit, share=share)
            return _OUTBOX.readable(connection, rows, _claim, now, unreadables=self._unreadables)

        return self._write(write)

    def postpone_callbacks(self, claims: Sequence[CallbackClaim], until: datetime) -> int:
        """Give back callbacks that were not attempted; they are due again at ``until``, and no attempt is counted."""
        keys = {claim.callback.callback_id: claim.fencing for claim in claims}
        return self._write(lambda connection: _OUTBOX.postpone(connection, keys, until))

    def record_callback(
        self,
        claim: CallbackClaim,
        *,
        sent: bool,
        next_attempt_at: datetime | None,
        note: str,
        now: datetime,
        telling: Telling | None = None,
    ) -> bool:
        """Record an attempt: sent, again at ``next_attempt_at``, or (None) given up; False if the lease was lost.

        ``telling`` is written with it: what people are told of a callback that was given up.
        """
        tried = Tried(sent=sent, next_attempt_at=next_attempt_at, note=note, now=now)
        key = claim.callback.callback_id

        def write(connection: Connection) -> bool:
            kept = _OUTBOX.record(connection, key, fencing=claim.fencing, attempt=claim.attempt, tried=tried)
            if kept and telling is not None:
                write_telling(connection, telling)
            return kept

        return self._write(write)

    def dead_callbacks(self, *, party: str | None = None, offset: int = 0, limit: int = 100) -> Page[OutgoingCallback]:
        """Return one page of callbacks (to ``party``, if it is named) that were given up, oldest first."""
        statement = select(_CALLBACKS).where(_CALLBACKS.c.state == literal_column("'dead'"))
        if party is not None:
            statement = statement.where(_CALLBACKS.c.party == party)
        ordered = statement.order_by(_CALLBACKS.c.created_at, _CALLBACKS.c.callback_id)
        return self._page(ordered, _callback, offset=offset, limit=limit)

    def case_callbacks(self, case_id: UUID) -> list[CallbackView]:
        """Return what became of a case's callbacks, the newest first; the oldest of very many are left out."""
        here = _CALLBACKS.c.case_id == str(case_id)
        statement = select(_CALLBACKS).where(here).order_by(_CALLBACKS.c.created_at.desc()).limit(_SHOWN)
        return self._all(statement, _CALLBACKS, to_view)

    def redrive_callback(self, callback_id: UUID, now: datetime) -> bool:
        """Make a callback that was given up due again; False if it was not given up. ``NotFound`` for an unknown one."""
        here = _CALLBACKS.c.callback_id == str(callback_id)
        again = {"state": DeliveryState.QUEUED.value, "next_attempt_at": micros(now), "finished_at": None}

        def write(connection: Connection) -> bool:
            dead = _CALLBACKS.c.state == DeliveryState.DEAD.value
            if connection.execute(update(_CALLBACKS).where(here, dead).values(again)).rowcount:
                return True
            if connection.execute(select(_CALLBACKS.c.callback_id).where(here)).first() is None:
                raise not_found("callback-not-found", "Den Rückruf", "Callback", callback_id)
            return False

        return self._write(write)

    def forget_callbacks(self, before: datetime) -> int:
        """Delete callbacks that ended before ``before``; return how many."""
        old = delete(_CALLBACKS).where(_CALLBACKS.c.finished_at < micros(before))
        return self._write(lambda connection: connection.execute(old).rowcount)


def write_callbacks(connection: Connection, callbacks: Sequence[OutgoingCallback]) -> None:
    """Put callbacks into the outbox, due at once."""
    _INSERT(connection, *(_row(callback) for callback in callbacks))


def _row(callback: OutgoingCallback) -> dict[str, Any]:
    return fresh(callback.created_at) | {
        "callback_id": str(callback.callback_id),
        "party": callback.party,
        "case_id": None if callback.case_id is None else str(callback.case_id),
        "url": callback.url,
        "secret": callback.secret,
        "body": callback.body,
    }


@reads(_CALLBACKS)
def _callback(row: Any) -> OutgoingCallback:
    return OutgoingCallback(
        callback_id=UUID(row.callback_id),
        party=row.party,
        url=row.url,
        secret=row.secret,
        body=row.body,
        created_at=moment(row.created_at),
        case_id=None if row.case_id is None else UUID(row.case_id),
    )


def _claim(row: Any) -> CallbackClaim:
    return CallbackClaim(callback=_callback(row), node=row.leased_by, attempt=row.attempts + 1, fencing=row.fencing)


@reads(_CALLBACKS)
def to_view(row: Any) -> CallbackView:
    """Return a callback of a row, and what became of it."""
    return CallbackView(
        callback=_callback(row),
        state=DeliveryState(row.state),
        attempts=row.attempts,
        note=row.note,
        next_attempt_at=maybe_moment(row.next_attempt_at),
        finished_at=maybe_moment(row.finished_at),
    )
