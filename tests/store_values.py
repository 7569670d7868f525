"""Values to store, for tests of the store and of what stands on it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

from hub.model.delivery import Step, StepKind
from hub.model.events import Event, EventKind, Subject, chain
from hub.model.parties import Callback, Client, ClientKind, Destination, OfferedService
from hub.model.submission import (
    Contents,
    DeadCause,
    Door,
    MediaType,
    Outcome,
    OutcomeKind,
    SchemaRef,
    Sealed,
    Service,
    State,
    Submission,
)
from hub.store import Announcement, CaseHead, Claim, MakeEvents, OutgoingCallback, Store

NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
LEASE = timedelta(minutes=2)
HUB = "https://hub.example.org"
RECEIVED = Outcome(kind=OutcomeKind.DELIVERED, note="201")
WAITS = Outcome(kind=OutcomeKind.WAITING, note="mailbox")
FINISHED = Step(kind=StepKind.FINISH)


class Instead:
    """What another object is, save for the attributes given: a store, or a noun of it, that does one thing differently."""

    def __init__(self, other: Any, **attributes: Any) -> None:
        self._other = other
        self.__dict__.update(attributes)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._other, name)


def sealed(text: str = "ciphertext", blob: str | None = None) -> Sealed:
    """A sealed content; what it says is told by its digest."""
    jwe = text.encode()
    digest = hashlib.sha512(jwe).hexdigest()
    return Sealed(tag="t" * 22, sha512=digest, size=len(jwe), jwe=None if blob else jwe, blob=blob)


def client(client_id: str = "online-service", **changes: Any) -> Client:
    made = Client(
        client_id=client_id,
        kind=ClientKind.SENDER,
        name="Bürgerportal",
        secret_hash="$argon2id$secret",
        scopes=("send",),
        created_at=NOW,
    )
    return replace(made, **changes)


def destination(**changes: Any) -> Destination:
    made = Destination(
        destination_id=uuid4(),
        name="Bauamt Musterstadt",
        status="active",
        owner="specialist-system",
        tenant="06439",
        services=(
            OfferedService(
                identifier="urn:de:fim:leika:leistung:99012008001000",
                regions=("DE06439",),
                schemas=(("urn:xoev-de:xbau", "application/xml"),),
            ),
        ),
        metadata_versions=("2.1.0",),
        encryption_kid="seal-1",
        contact={"legalName": "Musterstadt"},
        adapter="mailbox",
        adapter_config={"a": 1},
        reply_channels=None,
        callback=Callback(url="https://fv.example.org/cb", secret="sealed:secret"),
        created_at=NOW,
        updated_at=NOW,
    )
    return replace(made, **changes)


def known_destination(store: Store, **changes: Any) -> Destination:
    made = destination(**changes)
    store.parties.add_destination(made)
    return made


def submission(destination_id: UUID, **changes: Any) -> Submission:
    first, second = uuid4(), uuid4()
    made = Submission(
        submission_id=uuid4(),
        case_id=uuid4(),
        destination_id=destination_id,
        sender="online-service",
        door=Door.PLAIN,
        service=Service(identifier="urn:de:fim:leika:leistung:99012008001000", name="Bauantrag"),
        area="064390000000",
        contents=Contents(
            metadata=sealed("metadata"),
            data=sealed("data"),
            attachments={second: sealed("plan"), first: sealed("photo")},
        ),
        submitted_at=NOW,
        schema=SchemaRef(
            uri="urn:xoev-de:xbau", standard="xbau", version="2.6", sha256="0" * 64, media_type=MediaType.XML
        ),
        table_version="2026-11",
        callback=Callback(url="https://os.example.org/cb", secret="sealed:other"),
    )
    return replace(made, **changes)


def event(case_id: UUID, subject_id: UUID, kind: EventKind, **changes: Any) -> Event:
    made = Event(
        case_id=case_id,
        seq=0,
        jti=uuid4(),
        subject=Subject.SUBMISSION,
        subject_id=subject_id,
        kind=kind,
        issuer=HUB,
        by_hub=True,
        issued_at=NOW,
    )
    return replace(made, **changes)


def first_events(made: Submission, *kinds: EventKind) -> list[Event]:
    chosen = kinds or (EventKind.CREATE, EventKind.SUBMIT)
    return chain([event(made.case_id, made.submission_id, kind, issued_at=made.submitted_at) for kind in chosen])


def accept(store: Store, made: Submission, *, key: str | None = None, mac: str = "mac", due: datetime = NOW) -> Any:
    """Submit by the plain door and return the future."""
    return store.submissions.submit(
        made,
        events=first_events(made),
        receipt=f"receipt of {made.submission_id}",
        idempotency=(key, mac) if key is not None else None,
        first_attempt_at=due,
    )


def accept_in_case(store: Store, first: Submission, *, key: str | None = None) -> Any:
    """Submit by the plain door into the case of ``first`` and return the future."""
    made = submission(first.destination_id, case_id=first.case_id)
    events = [event(first.case_id, made.submission_id, kind) for kind in (EventKind.CREATE, EventKind.SUBMIT)]
    return store.submissions.submit_in_case(
        made,
        make=lambda head: (chain(events, head=head.hash, seq=head.seq), f"receipt of {made.submission_id}"),
        idempotency=(key, "mac") if key is not None else None,
        first_attempt_at=NOW,
    )


def accepted(store: Store, destination_id: UUID, *, due: datetime = NOW, **changes: Any) -> Submission:
    """A submission that is stored and queued."""
    made = submission(destination_id, **changes)
    assert accept(store, made, due=due).result(10) is None
    return made


def announcement(destination_id: UUID, *attachments: UUID, **changes: Any) -> Announcement:
    made = Announcement(
        kind=Subject.SUBMISSION,
        id=uuid4(),
        case_id=uuid4(),
        new_case=True,
        destination_id=destination_id,
        sender="online-service",
        door=Door.SEALED,
        service=Service(identifier="urn:de:fim:leika:leistung:99012008001000"),
        announced=attachments,
        created_at=NOW,
        callback=Callback(url="https://os.example.org/cb", secret="sealed:other"),
    )
    return replace(made, **changes)


def making(message: Announcement, *kinds: EventKind, **changes: Any) -> Callable[[CaseHead, Any], Sequence[Event]]:
    """Make events of the given kinds for a message, whatever the head is."""
    made = [event(message.case_id, message.id, kind, subject=message.kind, **changes) for kind in kinds]
    return lambda _head, _state: made


def announced(store: Store, destination_id: UUID, *attachments: UUID, **changes: Any) -> Announcement:
    made = announcement(destination_id, *attachments, **changes)
    store.submissions.announce(made, making(made, EventKind.CREATE)).result()
    return made


def completed(store: Store, message: Announcement, **changes: Any) -> bool:
    arguments: dict[str, Any] = {
        "metadata": sealed("metadata"),
        "data": sealed("data"),
        "make": making(message, EventKind.SUBMIT),
        "first_attempt_at": NOW if message.kind is Subject.SUBMISSION else None,
    }
    result: bool = store.submissions.complete(message.id, **(arguments | changes)).result(10)
    return result


def answer(kind: EventKind, case_id: UUID, subject_id: UUID, issuer: UUID, **changes: Any) -> MakeEvents:
    """A receiver's own token."""
    made = event(case_id, subject_id, kind, issuer=str(issuer), by_hub=False, jws="aaa.bbb.ccc", **changes)
    return lambda _head, _state: [made]


def claim(
    store: Store,
    *,
    now: datetime = NOW,
    node: str = "node-a",
    limit: int = 100,
    each: int = 100,
    suspects: bool = True,
) -> list[Claim]:
    return store.queue.claim(now, lease=LEASE, node=node, limit=limit, per_destination=each, suspects=suspects)


def record(store: Store, claimed: Claim, outcome: Outcome = RECEIVED, step: Step = FINISHED, **more: Any) -> bool:
    times = {"started_at": NOW, "ended_at": NOW} | more
    return store.queue.record(claimed, outcome, step, **times)


def buried(cause: DeadCause = DeadCause.RECEIVER, note: str = "no") -> tuple[Outcome, Step]:
    return Outcome(kind=OutcomeKind.REFUSED, note=note, cause=cause), Step(kind=StepKind.BURY, cause=cause)


def callback(**changes: Any) -> OutgoingCallback:
    made = OutgoingCallback(
        callback_id=uuid4(),
        party="online-service",
        url="https://os.example.org/cb",
        secret="sealed:other",
        body="{}",
        created_at=NOW,
    )
    return replace(made, **changes)


def state_of(store: Store, message_id: UUID) -> State:
    message = store.submissions.message(message_id)
    assert message is not None
    return message.state
