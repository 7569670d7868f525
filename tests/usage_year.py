"""A year of submissions in a store, by a seed, and the same figures counted by hand from what was done."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from store_values import accept as submit
from store_values import answer, buried, claim, known_destination, record, submission

from hub.model import DeadCause, EventKind, Outcome, OutcomeKind, Scope, State, Step, StepKind
from hub.model.usage import Month, bucket_of, day_of
from hub.store import Store

SERVICES = ("urn:de:fim:leika:leistung:99012008001000", "urn:de:fim:leika:leistung:99115005104000")
AREAS = ("064390015015", "064390012012", "064140000000")
SENDERS = ("portal", "vendor-x")
#: When those that were tried in vain are tried again.
LATE = datetime(2027, 6, 1, tzinfo=UTC)
#: What authorities say of what they reject, and what that is called in figures.
CAUSES = {
    "https://schema.fitko.de/fit-connect/events/problems/encryption-issue": "encryption-issue",
    "kein Schlüssel": "other",
}


@dataclass
class Sent:
    """What was done with one submission."""

    id: UUID
    case_id: UUID
    destination_id: UUID
    at: datetime
    area: str
    service: str
    sender: str
    size: int
    outcome: str = "open"
    cause: str = ""
    arrived: datetime | None = None
    taken: datetime | None = None
    by_hand: bool = False


@dataclass
class SeededYear:
    """Submissions of one year."""

    store: Store
    places: dict[str, Any] = field(default_factory=dict)
    done: list[Sent] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.places = {area: known_destination(self.store, tenant=area[:8]) for area in AREAS}

    def submit(self, at: datetime, chance: random.Random) -> Sent:
        """Accept one, and take it as far as ``chance`` has it."""
        area, service, sender = chance.choice(AREAS), chance.choice(SERVICES), chance.choice(SENDERS)
        place = self.places[area].destination_id
        base = submission(place)
        made = submission(
            place,
            submitted_at=at,
            area=area,
            sender=sender,
            service=type(base.service)(identifier=service, name="Leistung"),
        )
        submit(self.store, made, due=at).result(10)
        contents = made.contents
        parts = [contents.metadata, contents.data, *contents.attachments.values()]
        sent = Sent(
            id=made.submission_id,
            case_id=made.case_id,
            destination_id=place,
            at=at,
            area=area,
            service=service,
            sender=sender,
            size=sum(part.size for part in parts if part is not None),
        )
        self.done.append(sent)
        self.go_on(
            sent,
            chance.choice(("open", "given-up", "delivered", "delivered", "accepted", "accepted", "rejected")),
            chance,
        )
        return sent

    def go_on(self, sent: Sent, outcome: str, chance: random.Random) -> None:
        """Take one further."""
        (claimed,) = claim(self.store, now=sent.at)
        arrived = sent.at + timedelta(seconds=chance.choice((0.2, 3, 40, 7200, 90_000)))
        if outcome == "open":
            failed = Outcome(kind=OutcomeKind.UNREACHABLE, note="connection refused")
            later = Step(kind=StepKind.RETRY, due=LATE)
            assert record(self.store, claimed, failed, later, started_at=sent.at, ended_at=sent.at)
            return
        if outcome == "given-up":
            refused, step = buried(DeadCause.PAYLOAD)
            assert record(self.store, claimed, refused, step, started_at=sent.at, ended_at=arrived)
            sent.outcome, sent.cause = outcome, "payload"
            return
        assert record(self.store, claimed, started_at=sent.at, ended_at=arrived)
        sent.outcome, sent.arrived = "delivered", arrived
        if outcome in ("accepted", "rejected"):
            self.answer(sent, outcome, arrived + timedelta(hours=chance.choice((1, 30, 400))), chance)

    def arrive_late(self, number: int) -> list[Sent]:
        """Deliver some of those that were tried in vain, months after they came."""
        claims = {one.submission.submission_id: one for one in claim(self.store, now=LATE)}
        late = [sent for sent in self.done if sent.outcome == "open"][:number]
        for sent in late:
            assert record(self.store, claims[sent.id], started_at=LATE, ended_at=LATE)
            sent.outcome, sent.arrived = "delivered", LATE
        return late

    def answer(self, sent: Sent, outcome: str, at: datetime, chance: random.Random) -> None:
        """Have the authority answer."""
        kind, payload = EventKind.ACCEPT, {}
        if outcome == "rejected":
            kind, uri = EventKind.REJECT, chance.choice(list(CAUSES))
            payload, sent.cause = {"problems": [{"type": uri}]}, CAUSES[uri]
        sent.outcome, sent.taken = outcome, at
        make = answer(kind, sent.case_id, sent.id, sent.destination_id, issued_at=at, payload=payload)
        self.store.event_log.append(sent.case_id, sent.id, make)

    def recounted(self, month: Month, *, tenant: str = "") -> Counter[tuple[Any, ...]]:
        """Return how many submissions and bytes of a month there are of each kind, by what was done."""
        found: Counter[tuple[Any, ...]] = Counter()
        for sent in self.done:
            if Month.of(day_of(sent.at)) != month or not sent.area.startswith(tenant):
                continue
            delivery = -1 if sent.arrived is None else bucket_of(sent.arrived - sent.at)
            acceptance = bucket_of(sent.taken - sent.at) if sent.outcome == "accepted" and sent.taken else -1
            key = (sent.area, sent.service, sent.sender, sent.outcome, sent.cause, delivery, acceptance, sent.by_hand)
            found[*key, "number"] += 1
            found[*key, "bytes"] += sent.size
        return found

    def counted(self, month: Month, *, tenant: str = "") -> Counter[tuple[Any, ...]]:
        """Return the same as the roll-up has it."""
        found: Counter[tuple[Any, ...]] = Counter()
        for line in self.store.usage.lines(month, by=("area", "service", "sender"), scope=Scope.of_area(tenant)):
            key = (line.area, line.service, line.sender, line.outcome.value, line.cause, line.delivery, line.acceptance)
            found[*key, line.by_hand, "number"] += line.number
            found[*key, line.by_hand, "bytes"] += line.bytes
        return found

    def checkpoint(self, number: int) -> None:
        """Have a checkpoint cover what moved, as the hub does every few seconds."""
        from hub.store import Checkpoint

        heads = self.store.checkpoints.uncovered(10_000)
        self.store.checkpoints.add(Checkpoint(number=number, made_at=self.done[-1].at, token="t"), heads)

    def delete(self, sent: Sent, now: datetime) -> None:
        """Delete the contents of one that is over."""
        kinds = EventKind.DELETE if sent.outcome in ("accepted", "rejected") else None
        from store_values import event

        made = [] if kinds is None else [event(sent.case_id, sent.id, kinds, issued_at=now)]
        self.store.retention.delete_contents(sent.id, now, lambda _head, _state: made)
        assert self.store.submissions.message(sent.id).state in (State.DELETED, State.SUBMITTED)
