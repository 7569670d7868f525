"""How long things are kept, and what becomes of what does not arrive. Duties as functions of ``now``.

How long things are kept (FIT-Connect, section 15): duties as functions of ``now``, each safe to run again.

1. announced and never submitted: deleted after a day;
2. uncollected in a mailbox: the authority is reminded after 3 and after 9 days, at most once a day for each of both;
3. unanswered in a mailbox for 14 days: rejected by the hub, which ends the wait (a push that arrived is not rejected);
4. accepted, rejected or delivered: contents deleted after 7 days, so that day 21 ends what day 14 rejected; for some services
   after another time, if an operator says so;
5. a case: its log dropped 730 days after its last event. A signed tombstone stays, which says where the chain ended.

Pushed deliveries that do not arrive: notices on day 3 and 9 to the authority and the operators, and giving up at the end.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from typing import Any, TypeVar
from uuid import UUID, uuid4

import orjson

from hub.crypto import HubKeys, sign_ps512
from hub.errors import Conflict, NotFound, StoreUnavailable, Unavailable
from hub.model import EVENT_PREFIX, Event, EventKind, Schedule, State, canonical_service, own_event, service_names
from hub.notifications.callbacks import CallbackWriter
from hub.notifications.mail import Noticeboard
from hub.observability.metrics import Meters
from hub.store import Case, CaseHead, DeliveryView, MakeEvents, NoticeKind, Services, Store, StoredMessage, Telling

T = TypeVar("T")
_log = logging.getLogger(__name__)
#: Messages looked at in one go, and goes in one run: a run is bounded, the next one goes on.
_BATCH = 100
_GOES = 20
_TOMBSTONE = "case-tombstone+jwt"
_NOT_ANSWERED = {
    "type": f"{EVENT_PREFIX}problems/not-collected",
    "title": "Not collected in time",
    "instance": "other",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Periods:
    """How long things are kept."""

    incomplete: timedelta = timedelta(days=1)
    #: When the authority is reminded of what waits.
    reminders: tuple[timedelta, ...] = (timedelta(days=3), timedelta(days=9))
    unanswered: timedelta = timedelta(days=14)
    finished: timedelta = timedelta(days=7)
    case: timedelta = timedelta(days=730)
    #: How long the outboxes remember what became of callbacks and mails.
    outboxes: timedelta = timedelta(days=30)
    #: Services (URNs) whose contents are kept after their end for another time than ``finished``.
    by_service: Mapping[str, timedelta] = field(default_factory=dict)

    def finished_for(self, service: str) -> timedelta:
        """Return how long contents of a service are kept after their end."""
        return self.by_service.get(canonical_service(service), self.finished)

    def groups(self) -> Iterator[tuple[timedelta, Services]]:
        """Yield each time after the end, with the services that it holds for."""
        special = [name for service in self.by_service for name in service_names(service)]
        yield self.finished, Services(but=special)
        for period in sorted(set(self.by_service.values())):
            here = [service for service, kept in self.by_service.items() if kept == period]
            yield period, Services(only=[name for service in here for name in service_names(service)])


class RetentionJob:
    """Does what is due."""

    def __init__(
        self,
        *,
        store: Store,
        callback_writer: CallbackWriter,
        board: Noticeboard,
        keys: HubKeys,
        base_url: str,
        periods: Periods | None = None,
        meters: Meters | None = None,
    ) -> None:
        self._meters = meters or Meters()
        self._store = store
        self._callback_writer = callback_writer
        self._board = board
        self._keys = keys
        self._base_url = base_url
        self._periods = periods or Periods()

    def run(self, now: datetime) -> int:
        """Do all duties; return how many things were done."""
        duties = (
            self.delete_incomplete,
            self.remind,
            self.reject_unanswered,
            self.delete_finished,
            self.delete_delivered,
            self.bury_cases,
            self.forget_sent,
        )
        return sum(self._step(duty, now) for duty in duties)

    def _step(self, duty: Callable[[datetime], int], now: datetime) -> int:
        """Do one of them; one that fails keeps none of the others from its turn."""
        try:
            return duty(now)
        except Exception:  # noqa: BLE001  # whatever it is, it is logged and counted
            _log.exception("duty retention failed: %s", getattr(duty, "__name__", duty))
            self._meters.duty_failed("retention")
            return 0

    def delete_incomplete(self, now: datetime) -> int:
        """Delete what was announced and never submitted."""
        due = now - self._periods.incomplete
        return self._each(
            lambda skip: self._store.retention.incomplete(due, limit=_BATCH, skip=skip),
            lambda each: self._delete(each, now),
        )

    def remind(self, now: datetime) -> int:
        """Tell authorities what waits in their mailboxes; the later reminder first, so that what is very late has one."""
        noticed = 0
        for number, period in reversed(list(enumerate(self._periods.reminders, start=1))):
            before = now - period
            for lag in self._store.notices.lagging(NoticeKind.UNCOLLECTED, before, number=number):
                noticed += self._guarded(
                    f"destination {lag.destination_id}",
                    partial(self._remind_of, lag.destination_id, number, period, now),
                )
        return noticed

    def reject_unanswered(self, now: datetime) -> int:
        """Reject what lies in a mailbox unanswered for too long."""
        due = now - self._periods.unanswered
        return self._each(
            lambda skip: self._store.retention.unanswered(due, limit=_BATCH, skip=skip),
            lambda each: self._reject(each, now),
        )

    def delete_finished(self, now: datetime) -> int:
        """Delete contents of what was accepted or rejected."""
        return self._after_the_end(self._store.retention.finished, lambda each: self._delete(each, now), now)

    def delete_delivered(self, now: datetime) -> int:
        """Delete contents of what was delivered and never answered: the receiver has them, and nobody waits."""
        return self._after_the_end(self._store.retention.delivered, lambda each: self._forget(each, now), now)

    def bury_cases(self, now: datetime) -> int:
        """Drop the logs of cases whose proof need not be kept any longer."""
        due = now - self._periods.case
        return self._each(
            lambda skip: self._store.retention.stale_cases(due, limit=_BATCH, skip=skip),
            lambda case: self._bury(case, now),
            name=lambda case: f"case {case.case_id}",
        )

    def forget_sent(self, now: datetime) -> int:
        """Forget callbacks and mails that ended long ago."""
        due = now - self._periods.outboxes
        return self._store.callbacks.forget(due) + self._store.notices.forget(due)

    def _after_the_end(
        self, listed: Callable[..., Sequence[StoredMessage]], do: Callable[[StoredMessage], int], now: datetime
    ) -> int:
        """Do something to each message that is ``listed`` when its service's time after the end is over."""

        def due(period: timedelta, among: Services, skip: int) -> Sequence[StoredMessage]:
            return listed(now - period, among=among, limit=_BATCH, skip=skip)

        return sum(self._each(partial(due, period, among), do) for period, among in self._periods.groups())

    def _each(
        self,
        due: Callable[[int], Sequence[T]],
        do: Callable[[T], int],
        *,
        name: Callable[[T], str] = lambda message: f"submission {message.id}",  # type: ignore[attr-defined]
    ) -> int:
        """Do something to each thing that is due, batch by batch; what cannot be helped stays in front and is passed."""
        done = stuck = goes = 0
        while goes < _GOES:
            found = due(stuck)
            helped = sum(self._guarded(name(each), partial(do, each)) for each in found)
            done, stuck = done + helped, stuck + len(found) - helped
            # What is stuck is only looked at, and must never keep all that is behind it waiting.
            goes += helped > 0 or not found
            if len(found) < _BATCH:
                break
        return done

    def _guarded(self, name: str, do: Callable[[], int]) -> int:
        """Do something to one thing; 0 where it cannot be helped now, and the others go on."""
        try:
            return do()
        except (Conflict, NotFound):
            # It moved on since it was listed: answered, deleted, or submitted after all.
            return 0
        except StoreUnavailable:
            raise
        except Exception:  # noqa: BLE001  # whatever it is, it is one thing's
            _log.exception("%s: retention failed", name)
            self._meters.duty_failed("retention")
            return 0

    def _delete(self, message: StoredMessage, now: datetime) -> bool:
        make = self._one(message, EventKind.DELETE, now)
        self._store.retention.delete_contents(
            message.id, now, make, callbacks=self._callback_writer.ended(message, now=now)
        )
        return _log_end(message, "deleted")

    def _forget(self, message: StoredMessage, now: datetime) -> bool:
        """Delete without an event: the state stays what the receiver left it at."""
        self._store.retention.delete_contents(message.id, now)
        return _log_end(message, "deleted")

    def _reject(self, message: StoredMessage, now: datetime) -> bool:
        days = self._periods.unanswered.days
        problem = _NOT_ANSWERED | {"detail": f"The receiver did not answer within {days} days."}
        make = self._one(message, EventKind.REJECT, now, {"problems": [problem]})
        self._store.event_log.append(
            message.case_id, message.id, make, callbacks=self._callback_writer.ended(message, now=now)
        )
        return _log_end(message, "rejected")

    def _one(
        self, message: StoredMessage, kind: EventKind, now: datetime, payload: dict[str, Any] | None = None
    ) -> MakeEvents:
        jti = uuid4()

        def make(head: CaseHead, _state: State | None) -> Sequence[Event]:
            return (
                own_event(
                    kind,
                    case_id=head.case_id,
                    subject=(message.kind, message.id),
                    issuer=self._base_url,
                    now=now,
                    payload=payload,
                    jti=jti,
                ),
            )

        return make

    def _remind_of(self, destination_id: UUID, number: int, period: timedelta, now: datetime) -> int:
        """Give a destination one reminder of all that is due."""
        periods = self._periods
        noticed = self._board.tell_of_lag(
            NoticeKind.UNCOLLECTED,
            destination_id,
            number=number,
            period=period,
            then={"rejectedAfterDays": periods.unanswered, "deletedAfterDays": periods.finished},
            now=now,
        )
        if noticed:
            _log.warning(
                "destination %s: %d submissions wait for collection (reminder %d)", destination_id, noticed, number
            )
        return 1 if noticed else 0

    def _bury(self, case: Case, now: datetime) -> int:
        try:
            return int(self._store.retention.drop_case(case.case_id, self._tombstone(case, now)))
        except (Conflict, NotFound):
            _log.warning("case %s: its log is due, but contents still lie here", case.case_id)
            return 0

    def _tombstone(self, case: Case, now: datetime) -> str:
        """Sign where the chain ended: whoever kept the log can still prove that it was the hub's."""
        claims = {
            "iss": self._base_url,
            "jti": str(uuid4()),
            "iat": int(now.timestamp()),
            "txn": f"case:{case.case_id}",
            "seq": case.seq,
            "head": case.head,
            "createdAt": case.created_at.isoformat(),
            "lastEventAt": case.last_event_at.isoformat(),
        }
        return sign_ps512(self._keys.signing, orjson.dumps(claims), typ=_TOMBSTONE)


def _log_end(message: StoredMessage, outcome: str) -> bool:
    """Have the log say what became of a message; True, for it was done."""
    _log.info("%s: %s, its time is over", message.kind.value, outcome, extra=message.ids | {"outcome": outcome})
    return True


#: Deliveries given up in one go, and goes in one run: a run is bounded, the next one goes on.
_REMINDERS_AT_ONCE = 500
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
        over = self._store.deliveries.give_up(
            now - self._give_up,
            now,
            tell=lambda over: self._farewells(over, now, self._give_up),
            limit=_REMINDERS_AT_ONCE,
        )
        if over:
            self._meters.gave_up(len(over))
            _log.warning("%d deliveries given up after %d days", len(over), self._give_up.days)
        return len(over)

    def _buried_behind_fault(self, now: datetime) -> int:
        days = self._settings_give_up
        over = self._store.deliveries.give_up(
            now - days, now, tell=lambda over: self._farewells(over, now, days), limit=_REMINDERS_AT_ONCE, faulty=True
        )
        if over:
            self._meters.gave_up(len(over))
            _log.error("%d deliveries given up after %d days: settings are at fault", len(over), days.days)
        return len(over)

    def _farewells(self, over: Sequence[DeliveryView], now: datetime, after: timedelta) -> list[Telling]:
        for each in over:
            _log.info("delivery %s: given up after %d days", each.delivery_id, after.days, extra=_lost(each))
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
        kind, period, noticed = NoticeKind.OVERDUE, self._notices[number - 1], 0
        for lag in self._store.notices.lagging(kind, now - period, number=number):
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
            noticed += about
        return noticed

    def _each(self, work: Callable[[], int]) -> int:
        done = 0
        for _ in range(_GOES):
            found = work()
            done += found
            if found < _REMINDERS_AT_ONCE:
                break
        return done


def _lost(delivery: DeliveryView) -> dict[str, str]:
    """Return what a line of the log says of a delivery that was given up."""
    return {
        "submission": str(delivery.submission_id),
        "delivery": str(delivery.delivery_id),
        "destination": str(delivery.destination_id),
        "outcome": "given-up",
        "cause": "" if delivery.cause is None else delivery.cause.value,
    }
