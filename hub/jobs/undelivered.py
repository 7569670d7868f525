"""Pushed deliveries that do not arrive: notices on day 3 and 9 to the authority and the operators, and giving up at the end."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from functools import partial
from uuid import UUID

from hub.errors import Unavailable
from hub.model.delivery import Schedule
from hub.notifications.mail import Noticeboard
from hub.observability.metrics import Meters
from hub.store import DeliveryView, NoticeKind, Store, Telling

_log = logging.getLogger(__name__)
#: Deliveries given up in one go, and goes in one run: a run is bounded, the next one goes on.
_BATCH = 500
_GOES = 20
_SETTINGS_GIVE_UP = Schedule().settings_give_up
NOTICES = (timedelta(days=3), timedelta(days=9))


class Undelivered:
    """The duty. ``give_up`` is the schedule's end: what no attempt gave up, because its circuit is open, is given up here.

    What waits for a destination's settings to be mended is given up after ``settings_give_up``.
    """

    def __init__(
        self,
        *,
        store: Store,
        board: Noticeboard,
        meters: Meters,
        give_up: timedelta,
        settings_give_up: timedelta = _SETTINGS_GIVE_UP,
        notices: tuple[timedelta, ...] = NOTICES,
    ) -> None:
        self._store = store
        self._board = board
        self._meters = meters
        self._give_up = give_up
        self._settings_give_up = settings_give_up
        self._notices = notices

    def run(self, now: datetime) -> int:
        """Do what is due; return how many deliveries it concerned."""
        steps = [
            partial(self._each, partial(self._buried, now)),
            partial(self._each, partial(self._buried_behind_fault, now)),
        ]
        # The later notice first, so that what is very late is told of once.
        steps += [partial(self._notified, number, now) for number in range(len(self._notices), 0, -1)]
        return sum(map(self._guarded, steps))

    def _guarded(self, step: Callable[[], int]) -> int:
        """Do one step; one that fails is logged and counted, and keeps none of the others from its turn."""
        try:
            return step()
        except Unavailable:
            raise
        except Exception:  # noqa: BLE001  # whatever it is, it is one step's
            _log.exception("duty undelivered failed")
            self._meters.duty_failed("undelivered")
            return 0

    def _buried(self, now: datetime) -> int:
        over = self._store.give_up(
            now - self._give_up, now, tell=lambda over: self._farewells(over, now, self._give_up), limit=_BATCH
        )
        if over:
            self._meters.gave_up(len(over))
            _log.warning("%d deliveries given up after %d days", len(over), self._give_up.days)
        return len(over)

    def _buried_behind_fault(self, now: datetime) -> int:
        days = self._settings_give_up
        over = self._store.give_up(
            now - days, now, tell=lambda over: self._farewells(over, now, days), limit=_BATCH, faulty=True
        )
        if over:
            self._meters.gave_up(len(over))
            _log.error("%d deliveries given up after %d days: settings are at fault", len(over), days.days)
        return len(over)

    def _farewells(self, over: Sequence[DeliveryView], now: datetime, after: timedelta) -> list[Telling]:
        numbers: Counter[UUID] = Counter(each.destination_id for each in over)
        return [
            self._board.telling(
                NoticeKind.GIVEN_UP,
                str(destination_id),
                {"deliveries": number, "days": after.days},
                occasion=now.isoformat(),
                now=now,
            )
            for destination_id, number in numbers.items()
        ]

    def _notified(self, number: int, now: datetime) -> int:
        """Give notice ``number`` (from 1) to each destination that is due one."""
        kind, period, told = NoticeKind.OVERDUE, self._notices[number - 1], 0
        for lag in self._store.lagging(kind, now - period, number=number):
            about = self._guarded(
                partial(
                    self._board.tell_of_lag,
                    kind,
                    lag.destination_id,
                    number=number,
                    period=period,
                    then={"givenUpAfterDays": self._give_up},
                    now=now,
                )
            )
            if about:
                self._meters.noticed(number)
                _log.warning("destination %s: %d deliveries overdue (notice %d)", lag.destination_id, about, number)
            told += about
        return told

    def _each(self, work: Callable[[], int]) -> int:
        done = 0
        for _ in range(_GOES):
            found = work()
            done += found
            if found < _BATCH:
                break
        return done
