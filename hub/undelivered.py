"""Pushed deliveries that do not arrive: notices to the operators on day 3 and 9, and giving up at the end."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable
from datetime import datetime, timedelta
from uuid import UUID

from hub.meters import Meters
from hub.store import AuditEntry, DeliveryView, Store

_log = logging.getLogger(__name__)
#: Deliveries looked at in one go, and goes in one run: a run is bounded, the next one goes on.
_BATCH = 500
_GOES = 20
NOTICES = (timedelta(days=3), timedelta(days=9))


class Undelivered:
    """The duty. ``give_up`` is the schedule's end: what no attempt gave up, because its circuit is open, is given up here."""

    def __init__(
        self, *, store: Store, meters: Meters, node: str, give_up: timedelta, notices: tuple[timedelta, ...] = NOTICES
    ) -> None:
        self._store = store
        self._meters = meters
        self._node = node
        self._give_up = give_up
        self._notices = notices

    def run(self, now: datetime) -> int:
        """Do what is due; return how many deliveries it concerned."""
        given_up = self._each(lambda: self._buried(now))
        return given_up + sum(self._notified(number, now) for number in range(len(self._notices), 0, -1))

    def _buried(self, now: datetime) -> list[DeliveryView]:
        over = self._store.give_up(now - self._give_up, now, limit=_BATCH)
        if over:
            self._meters.gave_up(len(over))
            self._tell("delivery.give-up", over, now, {"days": self._give_up.days})
        return over

    def _notified(self, number: int, now: datetime) -> int:
        """Give notice ``number`` (from 1); the later one first, so that what is very late is told of once."""
        before = now - self._notices[number - 1]

        def notice() -> list[DeliveryView]:
            late = self._store.overdue(before, notices_below=number, limit=_BATCH)
            if late:
                self._meters.noticed(number)
                self._tell("delivery.overdue", late, now, {"notice": number, "days": self._notices[number - 1].days})
            for each in late:
                self._store.mark_noticed(each.submission_id, number)
            return late

        return self._each(notice)

    def _each(self, work: Callable[[], list[DeliveryView]]) -> int:
        done = 0
        for _ in range(_GOES):
            found = len(work())
            done += found
            if found < _BATCH:
                break
        return done

    def _tell(self, action: str, found: list[DeliveryView], now: datetime, facts: dict[str, int]) -> None:
        """Write one entry and one line for each destination; ids and numbers only."""
        numbers: Counter[UUID] = Counter(each.destination_id for each in found)
        for destination_id, number in numbers.items():
            _log.warning("destination %s: %s, %d deliveries, %s", destination_id, action, number, facts)
            self._store.append_audit(
                AuditEntry(
                    at=now,
                    actor=f"hub:{self._node}",
                    action=action,
                    target=f"destination:{destination_id}",
                    after={"deliveries": number, **facts},
                )
            )
