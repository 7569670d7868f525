"""Dead letters: what could not be delivered, split by who has to act, and sending it again."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from hub.errors import not_found
from hub.model import DeadCause
from hub.store import AuditEntry, DeliveryView, Page, Store

_ACTION = "delivery.redrive"


@dataclass(frozen=True, kw_only=True, slots=True)
class RedrivenBy:
    """Who redrives, when, and why, for the audit log."""

    actor: str
    now: datetime
    reason: str = ""


class DeadLetters:
    """Lists dead letters and redrives them. ``within`` bounds what a caller may see and do; None means everything."""

    def __init__(self, *, store: Store) -> None:
        self._store = store
        self._overview = store.overview

    def list(
        self, cause: DeadCause | None, *, within: Collection[UUID] | None, offset: int = 0, limit: int = 100
    ) -> Page[DeliveryView]:
        """Return one page, the longest waiting first."""
        return self._store.deliveries.dead(cause, destination_ids=within, offset=offset, limit=limit)

    def reasons(self, page: Page[DeliveryView]) -> dict[UUID, str]:
        """Return why each of a page was given up, by its delivery: what its last attempt came to, in one line."""
        return self._store.deliveries.last_notes([each.delivery_id for each in page.items])

    def redrive(self, delivery_id: UUID, *, within: Collection[UUID] | None, by: RedrivenBy) -> bool:
        """Make one due again, audited; False where it is not dead (any more), so asking twice harms nothing.

        Raises:
            NotFound: no such delivery within what the caller may see.
            Conflict: its submission was answered or deleted meanwhile.
        """
        view = self._overview.delivery(delivery_id)
        if view is None or (within is not None and view.destination_id not in within):
            raise not_found("delivery-not-found", delivery_id)
        entry = _entry(by, f"delivery:{delivery_id}", view.cause, 1)
        return self._store.deliveries.redrive(delivery_id, by.now, audit=entry)

    def redrive_all(self, cause: DeadCause | None, *, within: Collection[UUID] | None, by: RedrivenBy) -> int:
        """Make all of a cause due again, audited; return how many. What was answered meanwhile is left alone."""
        target = "deliveries" if within is None else f"destinations:{','.join(sorted(map(str, within)))[:400]}"
        return self._store.deliveries.redrive_all(
            by.now,
            cause=cause,
            destination_ids=within,
            audit=lambda number: _entry(by, target, cause, number),
        )


def _entry(by: RedrivenBy, target: str, cause: DeadCause | None, number: int) -> AuditEntry:
    before = {"cause": None if cause is None else cause.value}
    after = {"redriven": number} | ({"text": by.reason} if by.reason else {})
    return AuditEntry(at=by.now, actor=by.actor, action=_ACTION, target=target, before=before, after=after)
