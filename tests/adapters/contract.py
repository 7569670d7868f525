"""What every adapter has to get right: one table of situations, run against each adapter where they apply.

An adapter joins by a :class:`Rig`: it builds the adapter against a real (simulated or installed) receiving system,
brings that system into a :class:`Trouble`, and counts what the receiver durably holds. ``check`` then runs one sentence
of ``CASES``. Adapters that live elsewhere reuse all of this.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from enum import Enum, auto
from typing import Any, Protocol
from uuid import UUID, uuid4

import pytest

from hub.delivery import Adapter
from hub.errors import StoreUnavailable, Text
from hub.parties import Destination
from hub.submission import (
    Contents,
    DeadCause,
    Door,
    Outcome,
    OutcomeKind,
    Package,
    Sealed,
    Service,
    Submission,
)

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
D, R, U, X = OutcomeKind.DELIVERED, OutcomeKind.REFUSED, OutcomeKind.UNREACHABLE, OutcomeKind.UNKNOWN


class Trouble(Enum):
    """The state of the receiving system when the attempt is made."""

    NONE = auto()
    GONE = auto()
    NO_SUCH_NAME = auto()
    HANG = auto()
    DRIP = auto()
    DRIP_AFTER_YES = auto()
    RESET_EARLY = auto()
    RESET_LATE = auto()
    SILENT_CLOSE = auto()
    HALF_ANSWER = auto()
    NOISE = auto()
    HUGE_BODY = auto()
    HUGE_HEADER = auto()
    REDIRECT = auto()
    PAYLOAD_REFUSED = auto()
    TOO_LARGE = auto()
    WRONG_MEDIA = auto()
    MALFORMED = auto()
    BAD_CREDENTIALS = auto()
    FORBIDDEN = auto()
    WRONG_PATH = auto()
    METHOD_REFUSED = auto()
    IN_PROGRESS = auto()
    CLOSED_FOR_GOOD = auto()
    TOO_MANY_SECONDS = auto()
    TOO_MANY_DATE = auto()
    TOO_MANY_NONSENSE = auto()
    TOO_MANY_FOREVER = auto()
    MAINTENANCE = auto()
    BROKEN = auto()
    GATEWAY_TIMEOUT = auto()
    UNTRUSTED_CERTIFICATE = auto()
    WRONG_NAME_IN_CERTIFICATE = auto()
    NO_TLS = auto()
    CLIENT_CERTIFICATE_WANTED = auto()
    NO_SPACE = auto()
    CUT_MID_WRITE = auto()


class Rig(Protocol):
    """One adapter and its receiving system; ``troubles`` are those that can happen to it."""

    troubles: frozenset[Trouble]

    def arrange(self, trouble: Trouble) -> Adapter:
        """Return an opened adapter facing the trouble."""

    def held(self) -> list[UUID]:
        """Return the ids of the deliveries that the receiver durably has, one entry for each copy."""


@dataclass(frozen=True, kw_only=True)
class Case:
    """A situation and what may come of it; ``copies`` is what the receiver holds afterwards (None: either is right)."""

    trouble: Trouble = Trouble.NONE
    kinds: frozenset[OutcomeKind]
    cause: DeadCause | None = None
    copies: int | None = None
    wish: Callable[[timedelta | None], bool] = lambda _wish: True
    disable: bool = False
    change: Callable[[Package], Package] = lambda package: package
    times: int = 1


def case(trouble: Trouble, *kinds: OutcomeKind, **more: Any) -> Case:
    return Case(trouble=trouble, kinds=frozenset(kinds), **more)


def _swapped(package: Package) -> Package:
    """The store hands out another content than the submission names."""
    return replace(package, read=lambda _sealed: iter([b"x" * 900]))


def _store_away(package: Package) -> Package:
    def read(_sealed: Sealed) -> Iterator[bytes]:
        raise StoreUnavailable(Text("Blobspeicher fort.", "Blob store away."))

    return replace(package, read=read)


def without(package: Package, *, data: bool = False) -> Package:
    """The same package without attachments, or without data as well."""
    contents = package.submission.contents
    lean = replace(contents, attachments={}, data=None if data else contents.data)
    return replace(package, submission=replace(package.submission, contents=lean))


def bulky(package: Package) -> Package:
    """The same package with more data than the buffers of a connection hold."""
    contents = replace(package.submission.contents, data=seal("a" * 8_000_000))
    return replace(package, submission=replace(package.submission, contents=contents))


CASES: Mapping[str, Case] = {
    # Well.
    "a delivery arrives once": case(Trouble.NONE, D, copies=1),
    "an empty attachment list is fine": case(Trouble.NONE, D, copies=1, change=without),
    "a submission without data is fine": case(
        Trouble.NONE, D, copies=1, change=lambda package: without(package, data=True)
    ),
    # Nobody there.
    "a receiver that is down is unreachable": case(Trouble.GONE, U, copies=0),
    "a name that does not resolve is unreachable": case(Trouble.NO_SUCH_NAME, U, copies=0),
    # Answers that never come.
    "silence after the whole body is unknown": case(Trouble.HANG, X),
    "one byte a second does not outlast the deadline": case(Trouble.DRIP, X),
    "a yes counts although its body drips": case(Trouble.DRIP_AFTER_YES, D, copies=1),
    "a reset in the middle of the body is unreachable": case(Trouble.RESET_EARLY, U, copies=0, change=bulky),
    "a reset after the body is unknown": case(Trouble.RESET_LATE, X),
    "a polite close without an answer is unknown": case(Trouble.SILENT_CLOSE, X),
    "half an answer is unknown": case(Trouble.HALF_ANSWER, X),
    "an answer in another protocol is unknown": case(Trouble.NOISE, X),
    "a yes counts although its body is huge": case(Trouble.HUGE_BODY, D, copies=1),
    "a header without end is unknown": case(Trouble.HUGE_HEADER, X),
    # A clear no.
    "a redirect is not followed": case(Trouble.REDIRECT, R, cause=DeadCause.CONFIGURATION, copies=0),
    "a refused payload blames the payload": case(Trouble.PAYLOAD_REFUSED, R, cause=DeadCause.PAYLOAD),
    "too large blames the payload": case(Trouble.TOO_LARGE, R, cause=DeadCause.PAYLOAD),
    "a wrong media type blames the payload": case(Trouble.WRONG_MEDIA, R, cause=DeadCause.PAYLOAD),
    "malformed blames the payload": case(Trouble.MALFORMED, R, cause=DeadCause.PAYLOAD),
    "a method that is not taken blames the configuration": case(
        Trouble.METHOD_REFUSED, R, cause=DeadCause.CONFIGURATION
    ),
    "gone for good disables the destination": case(Trouble.CLOSED_FOR_GOOD, R, cause=DeadCause.RECEIVER, disable=True),
    # Not now.
    "bad credentials may heal": case(Trouble.BAD_CREDENTIALS, U, cause=DeadCause.CONFIGURATION),
    "forbidden may heal": case(Trouble.FORBIDDEN, U, cause=DeadCause.CONFIGURATION),
    "a wrong path may heal": case(Trouble.WRONG_PATH, U, cause=DeadCause.CONFIGURATION),
    "work in progress is unknown": case(Trouble.IN_PROGRESS, X),
    "a wish in seconds is heard": case(Trouble.TOO_MANY_SECONDS, U, wish=lambda w: w == timedelta(seconds=120)),
    "a wish as a date is heard": case(
        Trouble.TOO_MANY_DATE, U, wish=lambda w: w is not None and timedelta(minutes=4) < w <= timedelta(minutes=5)
    ),
    "a nonsense wish is ignored": case(Trouble.TOO_MANY_NONSENSE, U, wish=lambda w: w is None),
    "an endless wish is capped": case(Trouble.TOO_MANY_FOREVER, U, wish=lambda w: w == timedelta(days=1)),
    "maintenance is unreachable": case(Trouble.MAINTENANCE, U, wish=lambda w: w == timedelta(seconds=7)),
    "a broken receiver is unreachable": case(Trouble.BROKEN, U),
    "a gateway timeout is unreachable": case(Trouble.GATEWAY_TIMEOUT, U),
    "no space is unreachable and leaves nothing half": case(Trouble.NO_SPACE, U, copies=0),
    "what a crash left behind does not disturb": case(Trouble.CUT_MID_WRITE, D, copies=1),
    # Trust.
    "an untrusted certificate gets nothing": case(
        Trouble.UNTRUSTED_CERTIFICATE, U, cause=DeadCause.CONFIGURATION, copies=0
    ),
    "a certificate for another name gets nothing": case(
        Trouble.WRONG_NAME_IN_CERTIFICATE, U, cause=DeadCause.CONFIGURATION, copies=0
    ),
    "a receiver without TLS gets nothing": case(Trouble.NO_TLS, U, cause=DeadCause.CONFIGURATION, copies=0),
    # With TLS 1.3 the refusal comes after the request, and a reset on its heels may swallow it.
    "a missing client certificate blames the configuration, if that can be told": case(
        Trouble.CLIENT_CERTIFICATE_WANTED, U, X, cause=DeadCause.CONFIGURATION, copies=0
    ),
    # The hub's own side.
    "a mixed-up content is never delivered": case(Trouble.NONE, R, cause=DeadCause.HUB, copies=0, change=_swapped),
    "a store that is away delays": case(Trouble.NONE, U, cause=DeadCause.HUB, copies=0, change=_store_away),
}


def sentences(troubles: frozenset[Trouble]) -> list[str]:
    """Return the sentences that apply to an adapter to which ``troubles`` can happen."""
    return [sentence for sentence, situation in CASES.items() if situation.trouble in troubles]


def check(sentence: str, rig: Rig) -> None:
    """Run one sentence of ``CASES`` against a rig."""
    wanted = CASES[sentence]
    adapter = rig.arrange(wanted.trouble)
    package = wanted.change(make_package())
    try:
        outcome = adapter.deliver(package)
    finally:
        adapter.close()
    assert outcome.kind in wanted.kinds, outcome
    assert outcome.cause is (None if outcome.kind is X else wanted.cause), outcome
    assert outcome.disable is wanted.disable
    assert wanted.wish(outcome.retry_after), outcome
    assert_note_is_clean(outcome, package)
    if wanted.copies is not None:
        assert rig.held() == [package.delivery_id] * wanted.copies


def check_repeat(rig: Rig) -> None:
    """The same delivery twice makes one copy, or copies that the receiver can tell by their id and flag."""
    adapter = rig.arrange(Trouble.NONE)
    package = make_package()
    first = adapter.deliver(package)
    second = adapter.deliver(replace(package, attempt=2, repeat=True))
    adapter.close()
    assert (first.kind, second.kind) == (D, D)
    assert set(rig.held()) == {package.delivery_id}


def check_strictness(adapter: type[Adapter], good: Mapping[str, Any]) -> None:
    """An option that nobody knows stops the start."""
    from hub.errors import ConfigurationError

    with pytest.raises(ConfigurationError, match="surprise"):
        adapter({**good, "surprise": 1})
    adapter(good)


def assert_note_is_clean(outcome: Outcome, package: Package) -> None:
    assert len(outcome.note) < 200
    for _name, sealed in package.submission.contents.parts():
        assert (sealed.jwe or b"-").decode() not in outcome.note


def seal(text: str) -> Sealed:
    """A sealed content in form only: adapters never open one."""
    tag = hashlib.sha256(text.encode()).hexdigest()[:22]
    jwe = f"eyJhbGciOiJSU0EtT0FFUC0yNTYifQ.{'k' * 683}.aXZpdml2aXZpdml2aQ.{text.encode().hex()}.{tag}".encode()
    return Sealed(tag=tag, sha512=hashlib.sha512(jwe).hexdigest(), size=len(jwe), jwe=jwe)


def read(sealed: Sealed) -> Iterator[bytes]:
    assert sealed.jwe is not None
    for start in range(0, len(sealed.jwe), 65536):
        yield sealed.jwe[start : start + 65536]


def make_package(*, attachments: int = 2, text: str = "data") -> Package:
    destination_id = uuid4()
    contents = Contents(
        metadata=seal("metadata"),
        data=seal(text),
        attachments={uuid4(): seal(f"attachment {number}") for number in range(attachments)},
    )
    submission = Submission(
        submission_id=uuid4(),
        case_id=uuid4(),
        destination_id=destination_id,
        sender="sender",
        door=Door.PLAIN,
        service=Service(identifier="urn:de:fim:leika:leistung:99012008001000", name="Bauantrag"),
        area="064390000000",
        contents=contents,
        submitted_at=NOON,
    )
    destination = Destination(
        destination_id=destination_id,
        name="Bauamt",
        status="active",
        owner=None,
        tenant="06",
        services=(),
        metadata_versions=("2.1.0",),
        encryption_kid="kid",
        contact={},
        adapter="any",
        adapter_config={},
        created_at=NOON,
        updated_at=NOON,
    )
    return Package(
        delivery_id=uuid4(),
        attempt=1,
        repeat=False,
        submission=submission,
        destination=destination,
        event_log=["e30.e30.c2ln"],
        read=read,
        base_url="https://hub.example.org",
    )
