"""Dead letters: what could not be delivered, split by who has to act, and sent again by people."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from hub.errors import Invalid, Text, not_found, overtaken
from hub.model import (
    DeadCause,
    Scope,
)
from hub.store import AuditEntry, DeliveryView, Page, Store

_ACTION = "delivery.redrive"


@dataclass(frozen=True, kw_only=True, slots=True)
class RedrivenBy:
    """Who redrives, when, and why, for the audit log."""

    actor: str
    now: datetime
    reason: str = ""


#: Dead letters of a window that are sent again at once.
MOST_REDRIVEN = 10_000


@dataclass(frozen=True, kw_only=True, slots=True)
class RedriveWindow:
    """Dead letters by when they were given up, from ``since`` to before ``until``, of one cause."""

    cause: DeadCause
    since: datetime
    until: datetime

    def __post_init__(self) -> None:
        """Raise ``Invalid`` for a window without a length."""
        if self.since >= self.until:
            raise Invalid(
                Text(
                    "Der Zeitraum endet, bevor er beginnt. Vertauschen Sie Anfang und Ende.",
                    "The time ends before it begins. Swap beginning and end.",
                )
            )


class DeadLetters:
    """Lists dead letters and redrives them, within a scope. ``within`` narrows it to some destinations; None: to none."""

    def __init__(self, *, store: Store) -> None:
        self._store = store
        self._overview = store.overview

    def list(
        self,
        cause: DeadCause | None,
        *,
        scope: Scope,
        within: Collection[UUID] | None = None,
        offset: int = 0,
        limit: int = 100,
    ) -> Page[DeliveryView]:
        """Return one page, the longest waiting first."""
        return self._store.deliveries.dead(cause, scope=scope, destination_ids=within, offset=offset, limit=limit)

    def reasons(self, page: Page[DeliveryView]) -> dict[UUID, str]:
        """Return why each of a page was given up, by its delivery: what its last attempt came to, in one line."""
        return self._store.deliveries.last_notes([each.delivery_id for each in page.items])

    def redrive(
        self, delivery_id: UUID, *, scope: Scope, within: Collection[UUID] | None = None, by: RedrivenBy
    ) -> bool:
        """Make one due again, audited; False where it is not dead (any more), so asking twice harms nothing.

        Raises:
            NotFound: no such delivery within what the caller may see.
            Conflict: its submission was answered or deleted meanwhile.
        """
        view = self._overview.delivery(delivery_id, scope=scope)
        if view is None or (within is not None and view.destination_id not in within):
            raise not_found("delivery-not-found", delivery_id)
        entry = _redriven(by, f"delivery:{delivery_id}", view.cause, 1)
        return self._store.deliveries.redrive(delivery_id, by.now, audit=entry)

    def redrive_all(
        self, cause: DeadCause | None, *, scope: Scope, within: Collection[UUID] | None = None, by: RedrivenBy
    ) -> int:
        """Make all of a cause due again, audited; return how many. What was answered meanwhile is left alone."""
        target = "deliveries" if within is None else f"destinations:{','.join(sorted(map(str, within)))[:400]}"
        return self._store.deliveries.redrive_all(
            by.now,
            scope=scope,
            cause=cause,
            destination_ids=within,
            audit=lambda number: _redriven(by, target, cause, number),
        )

    def found(
        self, wanted: RedriveWindow, *, scope: Scope, within: Collection[UUID] | None = None, now: datetime
    ) -> int:
        """Return how many dead letters were given up in a window and can be delivered again: what somebody confirms."""
        died = (wanted.since, min(wanted.until, now))
        return self._store.deliveries.revivable(scope=scope, cause=wanted.cause, destination_ids=within, died=died)

    def redrive_window(
        self,
        wanted: RedriveWindow,
        *,
        expected: int,
        scope: Scope,
        within: Collection[UUID] | None = None,
        by: RedrivenBy,
    ) -> int:
        """Make all of a window due again, from the first attempt and with all their time, audited; return how many.

        Raises:
            Conflict: there are more than were ``expected``, as :meth:`found` said to whoever confirmed.
            Invalid: there are more than :data:`MOST_REDRIVEN`, or the window has no length.
        """
        number = self.found(wanted, scope=scope, within=within, now=by.now)
        if number > expected:
            raise overtaken(
                Text("Diese Auswahl", "this selection"),
                Text(
                    f"Es sind jetzt {number} Zustellungen. Sehen Sie sie noch einmal an und bestätigen Sie neu.",
                    f"There are {number} deliveries now. Look at them again and confirm anew.",
                ),
            )
        if number > MOST_REDRIVEN:
            raise Invalid(
                Text(
                    f"Das sind {number} Zustellungen, auf einmal gehen {MOST_REDRIVEN}. Wählen Sie einen kürzeren Zeitraum.",
                    f"These are {number} deliveries, at most {MOST_REDRIVEN} go at once. Choose a shorter time.",
                )
            )
        span = f"{wanted.since.isoformat(timespec='seconds')}/{wanted.until.isoformat(timespec='seconds')}"
        target = f"given-up:{span}" if within is None else f"given-up:{span} {','.join(sorted(map(str, within)))[:300]}"
        return self._store.deliveries.redrive_all(
            by.now,
            scope=scope,
            cause=wanted.cause,
            destination_ids=within,
            audit=lambda each: _redriven(by, target, wanted.cause, each),
            died=(wanted.since, min(wanted.until, by.now)),
        )


def _redriven(by: RedrivenBy, target: str, cause: DeadCause | None, number: int) -> AuditEntry:
    before = {"cause": None if cause is None else cause.value}
    after = {"redriven": number} | ({"text": by.reason} if by.reason else {})
    return AuditEntry(at=by.now, actor=by.actor, action=_ACTION, target=target, before=before, after=after)
