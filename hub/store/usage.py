"""Usage: what each day's submissions came to, counted from their rows and kept when those are gone.

All figures of a submission belong to the day on which it was submitted; what comes later (a delivery, an answer) changes that
day's rows. So sums of outcomes are never more than what was accepted, and a past day stays open for late events:

1. :meth:`Usage.ask` finds the days of all that changed since the last look: every event of a case is put under a checkpoint,
   and those are numbered, so nothing is missed and nothing depends on a clock that others set;
2. :meth:`Usage.count` counts one day anew, in a snapshot beside the writer, and writes what differs in small commits.

A count says what is, it adds nothing: done twice, or begun anew after a crash, it comes to the same. Of two nodes that count
one day, the one that began later goes on. A day of which fewer submissions are left than were counted before is closed:
retention dropped the others, and what was counted stays.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import lru_cache
from typing import Any, NamedTuple, TypeVar
from uuid import uuid4

from sqlalchemy import ColumnElement, Connection, and_, delete, func, select, text, tuple_, update

from hub.model import Scope, State, Subject, canonical_service, oldest_id
from hub.model.usage import (
    BOUNDS,
    NO_BUCKET,
    OTHER_CAUSE,
    Month,
    UsageOutcome,
    bucket_of,
    cause_of,
    day_of,
    span_of,
)
from hub.store import tables
from hub.store.database import Database, from_json, maybe_moment, micros, moment
from hub.store.scopes import destination_within, within
from hub.store.statements import Insert

T = TypeVar("T")
_USAGE = tables.usage
_DAYS = tables.usage_days
_REFUSALS = tables.refusals
_REFUSED = tables.usage_refusals
_SETTINGS = tables.settings
_LEAVES = tables.checkpoint_leaves
_DELIVERIES = tables.deliveries
_MESSAGES = tables.messages

#: The number of the last checkpoint that was looked at, and when that was.
_SEEN, _SEEN_AT = "usage.checkpoint", "usage.looked-at"
#: Deliveries that a person may look for end without an event; those are found by their time, nodes' clocks included.
_OVERLAP = timedelta(hours=1)
#: A delivery's id begins with the time of its submission, give or take what lies between two lines of code and two clocks.
_SLACK = timedelta(minutes=10)
#: A delivery that began anew so long after its submission was sent again by a person.
_AGAIN = timedelta(minutes=1)
#: Days that a hub may have been away; who sets a clock back by years must not have thousands counted.
_MOST_PASSED = 400
#: Rows that share a commit: the writer has applications to accept in between.
_TOGETHER = 500
_HOUR = 3_600_000_000


class UsageKey(NamedTuple):
    """What a submission counts under."""

    destination_id: str
    area: str
    service: str
    sender: str
    vendor: str
    outcome: str
    cause: str
    delivery: int
    acceptance: int
    by_hand: bool


class UsageCount(NamedTuple):
    """How many, and how many sealed bytes."""

    number: int
    bytes: int


@dataclass(frozen=True, kw_only=True, slots=True)
class UsageLine:
    """Submissions that have in common what was asked for; what was not asked for is empty.

    ``delivery`` and ``acceptance`` are numbers of buckets (:data:`hub.model.usage.BOUNDS`).
    """

    day: str = ""
    area: str = ""
    service: str = ""
    sender: str = ""
    vendor: str = ""
    outcome: UsageOutcome
    cause: str
    delivery: int
    acceptance: int
    by_hand: bool
    number: int
    bytes: int


@dataclass(frozen=True, kw_only=True, slots=True)
class RefusalLine:
    """How often what a known sender sent was refused at the door, by the problem's slug."""

    sender: str
    slug: str
    number: int


@dataclass(frozen=True, kw_only=True, slots=True)
class UsageDay:
    """A day: when it was counted last, whether it is to be counted again, and whether it is closed for good."""

    day: date
    counted_at: datetime | None
    stale: bool
    closed: bool


#: What lines may be told apart by.
DIMENSIONS = ("day", "area", "service", "sender", "vendor")


def _bucket_sql(took: str) -> str:
    cases = " ".join(f"WHEN {took} < {bound * 1_000_000} THEN {bucket}" for bucket, bound in enumerate(BOUNDS))
    return f"CASE {cases} ELSE {len(BOUNDS)} END"


#: When the authority had it: what was collected before its answer was there at its collection.
_ARRIVED = """CASE WHEN m.collected_at IS NULL OR (d.state = 'delivered' AND d.finished_at < m.collected_at)
    THEN CASE WHEN d.state = 'delivered' THEN d.finished_at END ELSE m.collected_at END"""
_STATE = "CASE WHEN m.state = 'deleted' AND x.state IS NOT NULL THEN x.state ELSE m.state END"
#: One line for each submission of a day; those of whose answer only the event log knows are told by ``state``.
_EACH = f"""
SELECT m.message_id, m.case_id, m.destination_id, coalesce(m.area, p.tenant, '') AS area, m.service_identifier AS service,
    m.sender, coalesce(v.vendor_id || ' ' || v.product || '/' || v.version, '') AS vendor,
    {_STATE} AS state, {_ARRIVED} AS arrived, m.submitted_at, m.finished_at, d.state AS delivery_state,
    coalesce(d.cause, '') AS cause, d.accepted_at - m.submitted_at >= :again AS by_hand,
    coalesce(x.bytes, (SELECT sum(c.size) FROM contents c WHERE c.message_id = m.message_id), 0) AS bytes
FROM deliveries d JOIN messages m ON m.message_id = d.submission_id
LEFT JOIN destinations p ON p.destination_id = m.destination_id
LEFT JOIN deletions x ON x.message_id = m.message_id
LEFT JOIN client_software v ON v.client_id = m.sender AND v.since <= m.submitted_at
    AND (v.until IS NULL OR v.until > m.submitted_at)
WHERE d.delivery_id >= :first AND d.delivery_id < :last AND m.submitted_at >= :begin AND m.submitted_at < :end
"""  # noqa: S608  # our own words
#: What needs no look at an event, summed by the database.
_SUMS = text(f"""
SELECT destination_id, area, service, sender, vendor, outcome, cause, delivery, acceptance, by_hand, count(*) AS number,
    sum(bytes) AS bytes
FROM (
    SELECT destination_id, area, service, sender, vendor, bytes, by_hand,
        CASE WHEN state = 'accepted' THEN 'accepted' WHEN arrived IS NOT NULL THEN 'delivered'
            WHEN delivery_state = 'dead' THEN 'given-up' ELSE 'open' END AS outcome,
        CASE WHEN state <> 'accepted' AND arrived IS NULL AND delivery_state = 'dead' THEN cause ELSE '' END AS cause,
        CASE WHEN arrived IS NULL THEN {NO_BUCKET} ELSE {_bucket_sql("arrived - submitted_at")} END AS delivery,
        CASE WHEN state = 'accepted' THEN {_bucket_sql("finished_at - submitted_at")} ELSE {NO_BUCKET} END AS acceptance
    FROM ({_EACH}) sent WHERE state NOT IN ('rejected', 'deleted')
) judged GROUP BY destination_id, area, service, sender, vendor, outcome, cause, delivery, acceptance, by_hand
""")  # noqa: S608  # our own words
#: What was answered, and only the event log says how: rejected, or deleted by a program that left no word of it.
_ANSWERED = text(f"""
SELECT sent.*, e.kind, e.payload FROM ({_EACH}) sent
LEFT JOIN events e ON e.case_id = sent.case_id AND e.subject_id = sent.message_id AND e.kind IN ('accept', 'reject')
WHERE sent.state IN ('rejected', 'deleted')
""")  # noqa: S608  # our own words
_ASK = text("""
INSERT INTO usage_days (day, asked, counted, claimant, total, closed) VALUES (:day, 1, 0, '', 0, FALSE)
ON CONFLICT (day) DO UPDATE SET asked = usage_days.asked + 1
""")
_KEEP = text("""
INSERT INTO settings (name, value) VALUES (:name, :value) ON CONFLICT (name) DO UPDATE SET value = :value
""")
_PUT = Insert(
    _USAGE,
    "ON CONFLICT (day, destination_id, area, service, sender, vendor, outcome, cause, delivery, acceptance, by_hand) "
    "DO UPDATE SET number = excluded.number, bytes = excluded.bytes",
)
_ADD_REFUSED = Insert(
    _REFUSED, "ON CONFLICT (day, sender, slug) DO UPDATE SET number = usage_refusals.number + excluded.number"
)


class Usage:
    """Counts days, and reads what was counted."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def ask(self, now: datetime) -> int:
        """Note which days have to be counted because something of theirs changed; return how many.

        The first time these are all that have a submission. Today is always one, and so is the day of the last look.
        """
        seen, looked_at = self._setting(_SEEN), self._setting(_SEEN_AT)
        last = self._database.read(lambda connection: connection.execute(_last_checkpoint()).scalar())
        days = {day_of(now)}
        if seen is None or looked_at is None:
            days |= self._days_of(_ever())
        else:
            days |= self._days_of(_moved_since(int(seen), last or 0))
            before = moment(int(looked_at))
            days |= self._days_of(_ended_since(before - _OVERLAP))
            # A day that was not over at the last look has its last hours yet to be counted.
            passed = min((day_of(now) - day_of(before)).days, _MOST_PASSED)
            days |= {day_of(now) - timedelta(days=number) for number in range(passed + 1)}
        rows = [{"day": day.isoformat()} for day in sorted(days)]
        kept = [{"name": _SEEN, "value": str(last or 0)}, {"name": _SEEN_AT, "value": str(micros(now))}]

        def write(connection: Connection) -> int:
            for row in rows:
                connection.execute(_ASK, row)
            for row in kept:
                connection.execute(_KEEP, row)
            return len(rows)

        return self._database.write(write)

    def ask_again(self, days: Collection[date]) -> None:
        """Have days counted anew, whatever changed; closed ones stay as they are."""
        rows = [{"day": day.isoformat()} for day in sorted(days)]
        self._database.write(lambda connection: [connection.execute(_ASK, row).rowcount for row in rows])

    def due(self, *, counted_before: datetime, limit: int = 400) -> list[date]:
        """Return the days to count, newest first: new ones, and those whose last count is older than ``counted_before``."""
        columns = _DAYS.c
        late = columns.counted_at.is_(None) | (columns.counted_at < micros(counted_before))
        statement = (
            select(columns.day)
            .where(columns.asked > columns.counted, columns.closed.is_(False), late)
            .order_by(columns.day.desc())
            .limit(limit)
        )
        found = self._database.read(lambda connection: connection.execute(statement).scalars().all())
        return [date.fromisoformat(day) for day in found]

    def count(self, day: date, now: datetime) -> int:
        """Count a day; return how many submissions it has. A day that another node counts meanwhile is left to it."""
        claimant = str(uuid4())
        asked = self._database.write(lambda connection: _claim(connection, day, claimant))
        if asked is None:
            return 0
        found, stored, total = self._database.read(lambda connection: _look(connection, day))
        number = sum(each.number for each in found.values())
        if number < total:
            self._database.write(lambda connection: _close(connection, day, claimant))
            return 0
        for change in _changes(stored, found):
            if not self._database.write(lambda connection: _change(connection, day, claimant, change)):  # noqa: B023
                return 0
        done = {"counted": asked, "counted_at": micros(now), "total": number}
        ours = update(_DAYS).where(_DAYS.c.day == day.isoformat(), _DAYS.c.claimant == claimant).values(done)
        self._database.write(lambda connection: connection.execute(ours).rowcount)
        return number

    def lines(self, month: Month, *, scope: Scope, by: Collection[str] = ()) -> list[UsageLine]:
        """Return a month's submissions to destinations within a scope, told apart by ``by``."""
        wanted = [_USAGE.c[name] for name in DIMENSIONS if name in by]
        common = [_USAGE.c[name] for name in ("outcome", "cause", "delivery", "acceptance", "by_hand")]
        statement = (
            select(*wanted, *common, func.sum(_USAGE.c.number).label("number"), func.sum(_USAGE.c.bytes).label("bytes"))
            .where(*_in_month(_USAGE.c.day, month), destination_within(_USAGE.c.destination_id, scope))
            .group_by(*wanted, *common)
        )
        return self._database.read(
            lambda connection: self._database.unreadables.each("usage", connection.execute(statement), _line)
        )

    def refused(self, month: Month, *, scope: Scope) -> list[RefusalLine]:
        """Return a month's refusals at the door of senders within a scope; they count by the sender's own tenant."""
        columns = _REFUSED.c
        statement = select(columns.sender, columns.slug, func.sum(columns.number).label("number")).where(
            *_in_month(columns.day, month)
        )
        if not scope.is_everything:
            theirs = select(tables.clients.c.client_id).where(within(tables.clients, scope))
            statement = statement.where(columns.sender.in_(theirs))
        grouped = statement.group_by(columns.sender, columns.slug).order_by(columns.sender, columns.slug)
        rows = self._database.read(lambda connection: connection.execute(grouped).all())
        return [RefusalLine(sender=row.sender, slug=row.slug, number=int(row.number)) for row in rows]

    def days(self, month: Month) -> list[UsageDay]:
        """Return what is known of a month's days, in their order."""
        statement = select(_DAYS).where(*_in_month(_DAYS.c.day, month)).order_by(_DAYS.c.day)
        return self._database.all(statement, _DAYS, _day)

    def months(self) -> list[Month]:
        """Return the months that have figures, newest first."""
        part = func.substr(_USAGE.c.day, 1, 7).label("month")
        statement = select(part).distinct().order_by(part.desc())
        found = self._database.read(lambda connection: connection.execute(statement).scalars().all())
        return [Month.parse(each) for each in found]

    def note_refusals(self, counted: Mapping[tuple[str, str, str], int]) -> Future[int]:
        """Begin to store refusals by (day, sender, slug), without waiting."""
        rows = [
            dict(zip(("day", "sender", "slug"), key, strict=True), number=number) for key, number in counted.items()
        ]
        added = _REFUSALS.insert()
        return self._database.begin(lambda connection: len(rows) if connection.execute(added, rows) else 0)

    def add_refusals(self, *, limit: int = 1_000) -> int:
        """Add refusals to their days; return of how many rows. What was added is gone in the same commit."""
        first = select(_REFUSALS.c.seq).order_by(_REFUSALS.c.seq).limit(limit).with_for_update(skip_locked=True)

        def write(connection: Connection) -> int:
            taken = connection.execute(first).scalars().all()
            columns = (_REFUSALS.c.day, _REFUSALS.c.sender, _REFUSALS.c.slug, _REFUSALS.c.number)
            rows = connection.execute(delete(_REFUSALS).where(_REFUSALS.c.seq.in_(taken)).returning(*columns)).all()
            sums: Counter[tuple[str, str, str]] = Counter()
            for day, sender, slug, number in rows:
                sums[day, sender, slug] += number
            for (day, sender, slug), number in sorted(sums.items()):
                _ADD_REFUSED(connection, {"day": day, "sender": sender, "slug": slug, "number": number})
            return len(rows)

        return self._database.write(write)

    def _setting(self, name: str) -> str | None:
        statement = select(_SETTINGS.c.value).where(_SETTINGS.c.name == name)
        value: str | None = self._database.read(lambda connection: connection.execute(statement).scalar())
        return value

    def _days_of(self, hours: Any) -> set[date]:
        found = self._database.read(lambda connection: connection.execute(hours).scalars().all())
        # Hours of UTC begin and end with those of the authorities' calendars.
        return {day_of(moment(hour * _HOUR)) for hour in found if hour is not None}


def _last_checkpoint() -> Any:
    return select(func.max(tables.checkpoints.c.number))


def _ever() -> Any:
    """Return the hours in which any submission came."""
    ever = select(_whole_hours(_MESSAGES.c.submitted_at)).distinct()
    return ever.where(_MESSAGES.c.kind == Subject.SUBMISSION.value, _MESSAGES.c.submitted_at.is_not(None))


def _moved_since(seen: int, last: int) -> Any:
    """Return the hours in which submissions came whose cases moved within some checkpoints."""
    moved = select(_LEAVES.c.case_id).where(_LEAVES.c.number > seen, _LEAVES.c.number <= last)
    return (
        select(_whole_hours(_MESSAGES.c.submitted_at))
        .where(_MESSAGES.c.case_id.in_(moved), _MESSAGES.c.kind == Subject.SUBMISSION.value)
        .distinct()
    )


def _ended_since(since: datetime) -> Any:
    """Return the hours in which submissions came whose deliveries ended lately: giving up writes no event."""
    return (
        select(_whole_hours(_MESSAGES.c.submitted_at))
        .join(_DELIVERIES, _DELIVERIES.c.submission_id == _MESSAGES.c.message_id)
        .where(_DELIVERIES.c.finished_at >= micros(since))
        .distinct()
    )


def _whole_hours(column: Any) -> ColumnElement[int]:
    return column // _HOUR  # type: ignore[no-any-return]


def _claim(connection: Connection, day: date, claimant: str) -> int | None:
    """Take a day over, and return which request the count will answer; None for a closed day, or one that nobody asked for."""
    here = and_(_DAYS.c.day == day.isoformat(), _DAYS.c.closed.is_(False))
    claimed = update(_DAYS).where(here).values(claimant=claimant).returning(_DAYS.c.asked)
    asked: int | None = connection.execute(claimed).scalar()
    return asked


def _close(connection: Connection, day: date, claimant: str) -> int:
    ours = and_(_DAYS.c.day == day.isoformat(), _DAYS.c.claimant == claimant)
    return connection.execute(update(_DAYS).where(ours).values(closed=True)).rowcount


def _look(connection: Connection, day: date) -> tuple[dict[UsageKey, UsageCount], dict[UsageKey, UsageCount], int]:
    """Return what a day comes to, what is stored of it, and how many submissions it had at its last count."""
    begin, end = span_of(day)
    values = {
        "begin": micros(begin),
        "end": micros(end),
        "first": str(oldest_id(begin - _SLACK)),
        "last": str(oldest_id(end + _SLACK)),
        "again": _AGAIN // timedelta(microseconds=1),
    }
    found: dict[UsageKey, UsageCount] = {}
    # The columns are a key's, in its order, and then a count's: a busy day has hundreds of thousands of such rows.
    for *key, number, size in connection.execute(_SUMS, values):
        _count_in(found, UsageKey._make(key), UsageCount(int(number), int(size)))
    for row in connection.execute(_ANSWERED, values):
        _count_in(found, _answered(row), UsageCount(1, int(row.bytes)))
    rows = connection.execute(_STORED.where(_USAGE.c.day == day.isoformat()))
    stored = {_known(UsageKey._make(key)): UsageCount(number, size) for *key, number, size in rows}
    total = connection.execute(select(_DAYS.c.total).where(_DAYS.c.day == day.isoformat())).scalar_one()
    return found, stored, total


def _count_in(found: dict[UsageKey, UsageCount], key: UsageKey, more: UsageCount) -> None:
    known = _known(key)
    before = found.get(known)
    found[known] = more if before is None else UsageCount(before.number + more.number, before.bytes + more.bytes)


def _known(key: UsageKey) -> UsageKey:
    """Return a key as it is counted under, whatever the engine and the sender call its parts; the same one where it is that."""
    service, by_hand = _canonical(key.service), bool(key.by_hand)
    if service is key.service and by_hand is key.by_hand:
        return key
    return key._replace(service=service, by_hand=by_hand)


@lru_cache(maxsize=1_024)
def _canonical(service: str) -> str:
    return canonical_service(service)


def _answered(row: Any) -> UsageKey:
    """Return what a submission counts under of whose answer the event log knows."""
    accepted, rejected = row.kind == "accept", row.kind == "reject" or row.state == State.REJECTED.value
    gone = UsageOutcome.DELIVERED if row.arrived is not None else UsageOutcome.GIVEN_UP
    outcome = UsageOutcome.ACCEPTED if accepted else UsageOutcome.REJECTED if rejected else gone
    cause = _cause_of(row, outcome)
    return UsageKey(
        destination_id=row.destination_id,
        area=row.area,
        service=row.service,
        sender=row.sender,
        vendor=row.vendor,
        outcome=outcome.value,
        cause=cause,
        delivery=NO_BUCKET if row.arrived is None else _bucket(row.arrived - row.submitted_at),
        acceptance=_bucket(row.finished_at - row.submitted_at) if accepted and row.finished_at else NO_BUCKET,
        by_hand=bool(row.by_hand),
    )


def _cause_of(row: Any, outcome: UsageOutcome) -> str:
    cause = ""
    if outcome is UsageOutcome.REJECTED:
        cause = _cause(row.payload)
    elif outcome is UsageOutcome.GIVEN_UP:
        cause = row.cause
    return cause


def _bucket(took: int) -> int:
    return bucket_of(timedelta(microseconds=took))


def _cause(payload: Any) -> str:
    try:
        return cause_of(from_json(payload))
    except ValueError:
        return OTHER_CAUSE


_STORED = select(*(_USAGE.c[name] for name in (*UsageKey._fields, *UsageCount._fields)))
#: What one commit changes: keys that go, and counts that are written.
_Change = tuple[Sequence[UsageKey], Sequence[tuple[UsageKey, UsageCount]]]


def _changes(stored: Mapping[UsageKey, UsageCount], found: Mapping[UsageKey, UsageCount]) -> Iterator[_Change]:
    """Yield what leads from one to the other, what becomes less first: a reader in between may see too few, never too many."""
    for gone in _parts(sorted(stored.keys() - found.keys())):
        yield gone, ()
    changed = [(key, count) for key, count in sorted(found.items()) if stored.get(key) != count]
    less = [each for each in changed if each[1].number < stored.get(each[0], UsageCount(0, 0)).number]
    more = [each for each in changed if each[1].number >= stored.get(each[0], UsageCount(0, 0)).number]
    for some in _parts(less + more):
        yield (), some


def _parts(rows: Sequence[T]) -> Iterator[Sequence[T]]:
    for start in range(0, len(rows), _TOGETHER):
        yield rows[start : start + _TOGETHER]


def _change(connection: Connection, day: date, claimant: str, change: _Change) -> bool:
    """Write one part of a count; False if another node has taken the day over."""
    held = select(_DAYS.c.claimant).where(_DAYS.c.day == day.isoformat()).with_for_update()
    if connection.execute(held).scalar() != claimant:
        return False
    gone, put = change
    if gone:
        named = tuple_(*(_USAGE.c[name] for name in UsageKey._fields))
        connection.execute(delete(_USAGE).where(_USAGE.c.day == day.isoformat(), named.in_(map(tuple, gone))))
    if put:
        names = ("day", *UsageKey._fields, *UsageCount._fields)
        _PUT(connection, *(dict(zip(names, (day.isoformat(), *key, *count), strict=True)) for key, count in put))
    return True


def _in_month(day: Any, month: Month) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
    return day >= month.first.isoformat(), day < month.after.first.isoformat()


def _line(row: Any) -> UsageLine:
    asked_for = {name: getattr(row, name) for name in DIMENSIONS if name in row._fields}
    return UsageLine(
        **asked_for,
        outcome=UsageOutcome(row.outcome),
        cause=row.cause,
        delivery=row.delivery,
        acceptance=row.acceptance,
        by_hand=bool(row.by_hand),
        number=int(row.number),
        bytes=int(row.bytes),
    )


def _day(row: Any) -> UsageDay:
    return UsageDay(
        day=date.fromisoformat(row.day),
        counted_at=maybe_moment(row.counted_at),
        stale=row.asked > row.counted,
        closed=bool(row.closed),
    )


def remember_deletion(connection: Connection, message_id: str, state: str) -> None:
    """Note what usage has to know of a message whose contents are about to be deleted in this transaction."""
    connection.execute(_REMEMBER, {"message_id": message_id, "state": state})


_REMEMBER = text("""
INSERT INTO deletions (message_id, state, bytes)
SELECT :message_id, :state, coalesce(sum(size), 0) FROM contents WHERE message_id = :message_id
ON CONFLICT (message_id) DO NOTHING
""")
