"""The words of the hub as frozen values: Application, Submission, Package, Outcome and what they hold.

Two families that never mix: ``Application`` holds plaintext, in memory only; ``Submission`` and
everything behind it hold only :class:`Sealed` values. The store and every adapter accept sealed values
alone, so storing or sending plaintext is a type error.
"""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any
from urllib.parse import quote
from uuid import UUID

from hub.model.parties import Callback, Destination

#: A sealed content up to this many bytes stays in the database row; a larger one goes to the blob store.
INLINE_LIMIT = 64 * 1024
#: The schema of a data set that is what an OpenID Connect provider signed of somebody who logged in (Core 1.0, section 2).
ID_TOKEN = "https://openid.net/specs/openid-connect-core-1_0.html#IDToken"  # noqa: S105  # an address


class MediaType(StrEnum):
    """Media types of application data (FIT-Connect: only these two)."""

    JSON = "application/json"
    XML = "application/xml"

    @classmethod
    def meant_by(cls, label: str) -> MediaType | None:
        """Return what a media type is at heart, parameters aside: ``text/xml`` and ``…+xml`` are XML, ``…+json`` is JSON.

        RFC 7303 (sections 4.1, 9.2) and RFC 6839 (section 3.1).
        """
        kind = label.partition(";")[0].strip().lower()
        if kind in (cls.XML, "text/xml") or (kind.endswith("+xml") and "/" in kind):
            return cls.XML
        return cls.JSON if kind == cls.JSON or (kind.endswith("+json") and "/" in kind) else None


#: What a file without a name may be called by, RFC 2046 and IANA's registry of media types: nothing that runs where it is
#: opened, HTML and SVG included.
_SUFFIXES = {
    "application/json": ".json",
    "application/pdf": ".pdf",
    "application/xml": ".xml",
    "image/jpeg": ".jpg",
    "image/png": ".png",
    "image/tiff": ".tif",
    "text/csv": ".csv",
    "text/plain": ".txt",
    "text/xml": ".xml",
}


def suffix_of(media_type: str) -> str:
    """Return the suffix of a file that has no name of its own; ``.bin`` for what is not well known."""
    return _SUFFIXES.get(media_type.partition(";")[0].strip().lower(), ".bin")


class Door(StrEnum):
    """By which door a submission came in."""

    #: The hub saw the plaintext, validated and sealed it.
    PLAIN = "plain"
    #: The sender sealed it; the hub has only ever seen ciphertext.
    SEALED = "sealed"


class Form(StrEnum):
    """How the contents of a submission are sealed."""

    #: Each part a compact JWE (RFC 7516): FIT-Connect's own form.
    JOSE = "jose"
    #: Each part a file in CMS EnvelopedData (RFC 5652, RFC 8551), in DER: what mail programs and ``openssl cms`` open.
    CMS = "cms"


class State(StrEnum):
    """FIT-Connect's state of a submission or reply (the case's event log decides it)."""

    #: Announced, not yet submitted.
    INCOMPLETE = "incomplete"
    #: Complete; waits for the receiver.
    SUBMITTED = "submitted"
    #: An intermediate system has taken it over (API v1 only).
    FORWARDED = "forwarded"
    #: The receiver took it over for good.
    ACCEPTED = "accepted"
    #: The receiver, or the hub on timeout, turned it down.
    REJECTED = "rejected"
    #: Contents are gone; history stays.
    DELETED = "deleted"


class OutcomeKind(StrEnum):
    """What an adapter reports of one attempt."""

    #: The receiver has it, durably, and said so.
    DELIVERED = "delivered"
    #: It lies in the mailbox for collection; the hub's part is done.
    WAITING = "waiting"
    #: The receiver said no for good; trying again unchanged is useless.
    REFUSED = "refused"
    #: The receiver could not be reached or said "later"; it certainly does not have it.
    UNREACHABLE = "unreachable"
    #: No answer came; the receiver may or may not have it.
    UNKNOWN = "unknown"


class DeadCause(StrEnum):
    """Why a delivery ended in the dead letters; who has to act."""

    #: The content itself is not acceptable to the receiver.
    PAYLOAD = "payload"
    #: The destination's adapter settings or key are wrong.
    CONFIGURATION = "configuration"
    #: The receiving system does not work or is gone.
    RECEIVER = "receiver"
    #: The hub itself failed, repeatedly.
    HUB = "hub"


class _Randomness(threading.local):
    """The operating system's random bytes, fetched for many ids at once, and apart for each thread.

    Asking for each id alone would let go of the interpreter each time, and getting it back costs more than the id.
    For names only: what must stay secret is asked for when it is needed.
    """

    left = b""

    def bits(self) -> int:
        """Return 128 random bits."""
        if not self.left:
            self.left = os.urandom(_RANDOM_STOCK)
        taken, self.left = self.left[:16], self.left[16:]
        return int.from_bytes(taken, "big")

    def forget(self) -> None:
        """Drop the stock: a forked process must not name things as its parent does."""
        self.left = b""


_RANDOM_STOCK = 16 * 64
_randomness = _Randomness()
os.register_at_fork(after_in_child=_randomness.forget)


def random_id() -> UUID:
    """Return a fresh version 4 UUID (RFC 9562 section 5.4)."""
    random = _randomness.bits() & ~((0xF << 76) | (0b11 << 62))
    return UUID(int=random | (0x4 << 76) | (0b10 << 62))


def new_id(now: datetime) -> UUID:
    """Return a fresh version 7 UUID (RFC 9562 section 5.7): neighbours in time are neighbours in the index."""
    milliseconds = int(now.timestamp() * 1000) & ((1 << 48) - 1)
    random = _randomness.bits() & ((0xFFF << 64) | ((1 << 62) - 1))
    return UUID(int=(milliseconds << 80) | (0x7 << 76) | (0b10 << 62) | random)


def oldest_id(since: datetime) -> UUID:
    """Return what every :func:`new_id` made at ``since`` or later is not below: ids made then can be found by their index."""
    return UUID(int=(int(since.timestamp() * 1000) & ((1 << 48) - 1)) << 80)


@dataclass(frozen=True, kw_only=True, slots=True)
class Cover:
    """What stands on the envelope of an application: everything but its contents.

    ``service`` is the identifier (URN), ``area`` an ARS of 2, 3, 5, 9 or 12 digits, ``schema`` the schema's URI
    if the sender names one. ``metadata`` is what a sender may say of FIT-Connect metadata 2.1.0. ``external_reference`` is what
    the sender calls the application; the receipt repeats it. ``case_id`` is the case that it goes into, None for a new one;
    ``replaces`` an earlier submission in that case whose place it takes.
    """

    sender: str
    service: str
    area: str
    schema: str | None = None
    idempotency_key: str | None = None
    callback: Callback | None = None
    external_reference: str | None = None
    case_id: UUID | None = None
    replaces: UUID | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Application:
    """Cover and plaintext data, in memory only, never at rest."""

    cover: Cover
    media_type: MediaType
    data: bytes = field(repr=False)
    metadata: Mapping[str, Any] = field(repr=False, default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class Sealed:
    """One sealed part as stored and delivered, a compact JWE (RFC 7516) or CMS in DER (:class:`Form`); never plaintext.

    ``tag`` is a JWE's fifth part (22 base64url characters) and empty for CMS, which has none; ``sha512`` the lower-case
    hex digest of the sealed bytes, ``size`` their number. Exactly one of ``jwe`` (the bytes, in the row) and ``blob``
    (their name in the blob store) is set.
    """

    tag: str
    sha512: str
    size: int
    jwe: bytes | None = field(repr=False, default=None)
    blob: str | None = None

    def __post_init__(self) -> None:
        if (self.jwe is None) == (self.blob is None):
            raise ValueError("a sealed content lies in the row or in the blob store, never both or neither")


@dataclass(frozen=True, kw_only=True, slots=True)
class Contents:
    """The sealed parts of one submission or reply, all in one form. Attachment order is the order of announcement."""

    metadata: Sealed
    data: Sealed | None
    attachments: Mapping[UUID, Sealed] = field(default_factory=dict)
    form: Form = Form.JOSE

    def parts(self) -> Iterator[tuple[str, Sealed]]:
        """Yield every part under its stored name: ``metadata``, ``data``, ``attachment:<uuid>``."""
        yield "metadata", self.metadata
        if self.data is not None:
            yield "data", self.data
        for attachment_id, sealed in self.attachments.items():
            yield f"attachment:{attachment_id}", sealed

    def authentication_tags(self) -> dict[str, Any]:
        """Return FIT-Connect's ``authenticationTags``: each part's GCM tag, empty groups left out; CMS has none."""
        if self.form is Form.CMS:
            return {}
        tags: dict[str, Any] = {"metadata": self.metadata.tag}
        if self.data is not None:
            tags["data"] = self.data.tag
        if self.attachments:
            tags["attachments"] = {str(key): sealed.tag for key, sealed in self.attachments.items()}
        return tags


@dataclass(frozen=True, kw_only=True, slots=True)
class SchemaRef:
    """Which schema, in which version and with which pinned hash, a payload was checked against."""

    uri: str
    standard: str
    version: str
    sha256: str
    media_type: MediaType


#: FIM names a service by its LeiKa key in two ways; the second is what some FIT-Connect clients send.
LEIKA_PREFIX = "urn:de:fim:leika:leistung:"
_ALSO_PREFIX = "urn:de:fim:leistung:"
_ALSO_LEIKA = re.compile(rf"{_ALSO_PREFIX}(99[0-9]{{12}})")


_URI_CHARACTER = r"(?:[A-Za-z0-9._~:/?@!$&'()*+,;=\[\]-]|%[0-9A-Fa-f]{2})"
_URI = re.compile(rf"[A-Za-z][A-Za-z0-9+.-]*:{_URI_CHARACTER}+(?:#{_URI_CHARACTER}*)?")
_LONGEST_URI = 2048
#: What stands in a URI as it is (RFC 3986, sections 2.2 and 2.3), and what encodes the rest.
_IN_A_URI = "!$&'()*+,;=:@/?-._~%#"


def is_uri(text: str) -> bool:
    """Tell whether this is a URI (RFC 3986), as metadata and destinations must name a schema: no blank, no umlaut."""
    return len(text) <= _LONGEST_URI and _URI.fullmatch(text) is not None


def as_uri(text: str) -> str:
    """Return a URI as it is, and what earlier releases made of file names as one: the rest is percent-encoded."""
    return text if is_uri(text) else quote(text, safe=_IN_A_URI)


def canonical_service(identifier: str) -> str:
    """Return the one name of a service, under which rules and offers know it; what is no other name stays as it is."""
    found = _ALSO_LEIKA.fullmatch(identifier)
    return identifier if found is None else LEIKA_PREFIX + found[1]


def service_names(identifier: str) -> tuple[str, ...]:
    """Return all names of a service: the one that the hub knows it under, and what senders may have called it."""
    known = canonical_service(identifier)
    also = known.replace(LEIKA_PREFIX, _ALSO_PREFIX, 1)
    return (known,) if canonical_service(also) == also else (known, also)


@dataclass(frozen=True, kw_only=True, slots=True)
class Service:
    """A public service: identifier (LeiKa URN or another lower-case URN) and name (may be empty)."""

    identifier: str
    name: str = ""
    description: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Submission:
    """The sealed form of an application: what is stored, proven and delivered."""

    submission_id: UUID
    case_id: UUID
    destination_id: UUID
    sender: str
    door: Door
    service: Service
    area: str | None
    contents: Contents
    submitted_at: datetime
    schema: SchemaRef | None = None
    table_version: str | None = None
    callback: Callback | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Evidence:
    """What proves a submission beside its case's signed tokens, and costs no signature at each push.

    ``receipt`` is the hub's signed word (JWS, Ed25519). ``entries`` are those of the case's log from the submission's create
    event to its submit event, without a gap, as the chain's hash covers them; ``previous`` is the hash before the first.
    """

    receipt: str = field(repr=False)
    previous: str
    entries: tuple[str, ...] = field(repr=False)


def _kept_by_nobody(_known_as: str | None) -> None:
    """Forget it: what is no delivery has no second attempt."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Package:
    """What an adapter gets: one submission for one destination, sealed, with what proves it.

    ``delivery_id`` stays the same over all attempts; ``attempt`` counts from 1; ``repeat`` says that an earlier attempt
    may have reached the receiver. ``read`` opens a sealed content as an iterator of chunks. ``base_url`` is the hub's
    canonical address, for contents that are offered by link.

    ``event_log`` is the case's log so far as signed tokens, which are signed once they are looked at; ``evidence`` brings
    what proves the submission without them, and raises ``Unavailable`` where the log contradicts itself.

    ``known_as`` is how the receiver knows the delivery, where an attempt had ``keep`` write that down: before it sends, so that
    whoever attempts next uses the same, whatever died in between. ``keep`` raises ``Unavailable`` where that cannot be written,
    or the delivery is somebody else's by now.
    """

    delivery_id: UUID
    attempt: int
    repeat: bool
    submission: Submission
    destination: Destination
    event_log: Sequence[str]
    evidence: Callable[[], Evidence] = field(repr=False)
    read: Callable[[Sealed], Iterator[bytes]] = field(repr=False)
    base_url: str
    known_as: str | None = None
    keep: Callable[[str | None], None] = field(default=_kept_by_nobody, repr=False)


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """What came of one attempt. ``note`` is for operators: short, no payload, no secret.

    ``retry_after`` is the receiver's own wish; ``disable`` says that the destination should get nothing more (HTTP 410);
    ``cause`` is set on refusals. ``proof`` is what the receiver signed about what it took (an AS4 receipt), at most 256 KiB.
    """

    kind: OutcomeKind
    note: str
    retry_after: timedelta | None = None
    disable: bool = False
    cause: DeadCause | None = None
    proof: bytes | None = field(repr=False, default=None)
