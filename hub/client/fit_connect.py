"""FIT-Connect's Submission API from both sides: a sender announces, uploads and submits; a subscriber collects and answers.

Nothing here is the hub's own: any FIT-Connect delivery service of version 1 or 2 will do. What is written is sealed for a key
that the caller has judged; what is read is verified against the keys that the service and the destinations publish.

The whole steps (``send``, ``collect``, ``verify``, ``accept`` …) are made of small ones, which stand beside them for whoever
keeps a journal between two of them.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote
from uuid import UUID, uuid4

import orjson

from hub.client import event_tokens, verification
from hub.client.contents import Message, Opened, open_message, sealed_file
from hub.client.session import JSON, Session, listed
from hub.client.transport import Content
from hub.client.verification import Problem
from hub.crypto import DecryptionKey, EncryptionKey, KeyPolicy, Seal, SigningKey, judge_encryption_key
from hub.errors import Malformed, NotFound, SealBroken, Text, TooLarge
from hub.model import Callback, Event, EventKind, Service, State, Subject, utc_now

#: Where the API stands below the address of a hub.
SUBMISSION_API = "/submission-api"
_JOSE = "application/jose"
_KEYS_LAST = timedelta(minutes=5)
#: FIT-Connect's limit for one message.
MOST_ATTACHMENTS = 100
#: FIT-Connect's limit: bytes of one sealed attachment (500 MB in base64url).
LARGEST_ATTACHMENT = 700 * 1024 * 1024
#: Bytes at the end of a compact JWE that surely hold its fifth part.
_TAIL = 64
_CHUNK = 1024 * 1024


class Dialect(StrEnum):
    """The version of the API, as it stands in paths."""

    V1 = "v1"
    V2 = "v2"

    def service(self, service: Service, region: str | None) -> dict[str, Any]:
        """Return a service, and in version 2 its region, as members of an announcement."""
        named = {"identifier": service.identifier, "name": service.name}
        if self is Dialect.V1:
            return {"serviceType": named}
        return {"publicService": named} | ({} if region is None else {"region": region})


@dataclass(frozen=True, kw_only=True, slots=True)
class Destination:
    """What a destination publishes. ``services`` are mappings with identifier, regions and submissionSchemas."""

    destination_id: UUID
    status: str
    encryption_kid: str
    metadata_versions: tuple[str, ...]
    services: tuple[Mapping[str, Any], ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Named:
    """A message by its ids, as announcements and lists give them; ``destination_id`` is None where they do not say."""

    subject: Subject
    message_id: UUID
    case_id: UUID
    destination_id: UUID | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Sent:
    """A message that went out. ``tags``: its ``authenticationTags``, by which it is known again in the event log."""

    message: Named
    tags: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True, slots=True)
class Collected:
    """A sealed message as it was collected. ``attachments`` open the ciphertext anew at each call."""

    message: Named
    service: Mapping[str, Any]
    metadata: str = field(repr=False)
    data: str | None = field(repr=False)
    attachments: Mapping[UUID, Callable[[], Iterator[bytes]]] = field(repr=False)
    tags: Mapping[str, Any]
    event_log: Sequence[str] = field(repr=False)

    def open(self, keys: Sequence[DecryptionKey]) -> Opened:
        """Open it with private keys; errors as :func:`hub.client.contents.open_message`. Verify it before."""
        return open_message(self.metadata, self.data, self.attachments, keys)


class _Party:
    """What both sides do. ``session`` leads to the API without its version; ``issuers`` are the names that it signs as."""

    def __init__(
        self,
        session: Session,
        *,
        issuers: frozenset[str],
        dialect: Dialect = Dialect.V2,
        clock: Callable[[], datetime] = utc_now,
    ) -> None:
        self._session = session
        self._issuers = issuers
        self._dialect = dialect
        self._clock = clock
        self._service_keys: tuple[datetime, dict[str, Mapping[str, Any]]] = (datetime.min.replace(tzinfo=UTC), {})

    # ------------------------------------------------------------------------------------------- reading

    def submission(self, submission_id: UUID) -> Mapping[str, Any]:
        """Return one submission as the service writes it; ``NotFound`` if it no longer has it."""
        return self._message(Subject.SUBMISSION, submission_id)

    def attachment(
        self, message_id: UUID, attachment_id: UUID, subject: Subject = Subject.SUBMISSION
    ) -> Iterator[bytes]:
        """Stream one sealed attachment; ``TooLarge`` where it goes on beyond FIT-Connect's limit."""
        return sealed_stream(self._session, f"{self._path(subject)}/{message_id}/attachments/{attachment_id}")

    def event_log(self, case_id: UUID) -> list[str]:
        """Return the case's event log, the oldest token first; nothing of it is verified."""
        log = self._session.pages(f"/{self._dialect}/cases/{case_id}/events", "eventLog")
        return [entry for entry in log if isinstance(entry, str)]

    def find_key(self, issuer: str, kid: str) -> Mapping[str, Any]:
        """Return the public key of an issuer of events: the service itself, or a destination by its id.

        Raises:
            Unavailable: it is not published, or cannot be fetched now. Malformed: the issuer is neither.
        """
        if issuer not in self._issuers:
            try:
                return self.destination_key(require_uuid(issuer, "iss"), kid)
            except NotFound as exc:
                raise verification.no_such_key(issuer) from exc
        read_at, keys = self._service_keys
        now = self._clock()
        if kid not in keys or now - read_at > _KEYS_LAST:
            document = self._session.json("GET", "/.well-known/jwks.json")
            keys = {str(key.get("kid")): key for key in listed(document, "keys") if isinstance(key, dict)}
            self._service_keys = now, keys
        if kid not in keys:
            raise verification.no_such_key(issuer)
        return keys[kid]

    def destination_key(self, destination_id: UUID, kid: str) -> Mapping[str, Any]:
        """Return a destination's public key, unjudged."""
        return self._session.json("GET", f"/{self._dialect}/destinations/{destination_id}/keys/{quote(kid, safe='')}")

    def verified_log(self, case_id: UUID, log: Sequence[str] | None = None) -> list[Mapping[str, Any]]:
        """Return the claims of a case's events, each verified (:func:`hub.client.verification.read_log`)."""
        return verification.read_log(self.event_log(case_id) if log is None else log, case_id, self.find_key)

    def submit_event(self, message: Named, log: Sequence[str] | None = None) -> Mapping[str, Any]:
        """Return the claims of a message's one submit event from its verified log; ``SealBroken`` if that proves none."""
        entries = self.verified_log(message.case_id, log)
        return verification.submit_event(entries, message.message_id, self._issuers, subject=message.subject)

    def _collect(self, message: Named) -> AbstractContextManager[Collected]:
        """Collect a message into a temporary folder, ciphertext only, which goes when the context ends."""
        return self.collected_as(
            message,
            self._message(message.subject, message.message_id),
            lambda one: self.attachment(message.message_id, one, message.subject),
        )

    @contextmanager
    def collected_as(
        self, message: Named, found: Mapping[str, Any], fetch: Callable[[UUID], Iterator[bytes]]
    ) -> Iterator[Collected]:
        """Hold what was ``found`` of a message, its attachments as ``fetch`` brings them, and its case's event log."""
        ids = attachment_ids(found)
        case_id = require_uuid(found.get("caseId"), "caseId")
        metadata, data = found.get("encryptedMetadata"), found.get("encryptedData")
        if not isinstance(metadata, str) or not isinstance(data, str | None) or case_id != message.case_id:
            raise malformed("encryptedMetadata, encryptedData, caseId")
        with tempfile.TemporaryDirectory() as folder:
            files = {one: Path(folder) / str(one) for one in ids}
            for one, path in files.items():
                with path.open("wb") as file:
                    file.writelines(fetch(one))
            yield Collected(
                message=message,
                service=found.get("publicService") or found.get("serviceType") or {},
                metadata=metadata,
                data=data,
                attachments={one: partial(_read, path) for one, path in files.items()},
                tags=verification.tags_of(metadata, data, {one: last_part(path) for one, path in files.items()}),
                event_log=self.event_log(case_id),
            )

    def verify(self, collected: Collected) -> datetime:
        """Verify that the log proves what was collected (:mod:`hub.client.verification`); return when it was submitted.

        Raises:
            SealBroken: the log proves nothing (``invalid-event-log``); or what came is not what was submitted, then
                ``problems`` in its members are what a rejection says.
            Unavailable: a key cannot be fetched now.
        """
        claims = self.submit_event(collected.message, collected.event_log)
        problems = verification.differences(claims, collected.tags)
        if problems:
            raise SealBroken(
                Text(
                    "Was geholt wurde, ist nicht, was eingereicht wurde. Holen Sie es noch einmal, dann weisen Sie es zurück.",
                    "What was collected is not what was submitted. Collect it once more, then reject it.",
                ),
                slug="incorrect-authentication-tag",
                problems=problems,
            )
        return datetime.fromtimestamp(claims["iat"], UTC)

    def _waiting(self, subject: Subject, **query: str) -> Iterator[Named]:
        for entry in self._session.pages(self._path(subject), f"{_plural(subject)}", **query):
            if isinstance(entry, dict):
                yield _named(entry, subject)

    def _message(self, subject: Subject, message_id: UUID) -> Mapping[str, Any]:
        return self._session.json("GET", f"{self._path(subject)}/{message_id}")

    def _path(self, subject: Subject) -> str:
        return f"/{self._dialect}/{_plural(subject)}"

    # ------------------------------------------------------------------------------------------- writing

    def _announce(self, subject: Subject, document: Mapping[str, Any]) -> Named:
        answer = self._session.json("POST", self._path(subject), body=document)
        return _named(answer, subject)

    def upload(
        self,
        message_id: UUID,
        attachment_id: UUID,
        sealed: Content,
        *,
        length: int | None = None,
        subject: Subject = Subject.SUBMISSION,
    ) -> None:
        """Upload one announced attachment, a compact JWE; a repeat replaces it."""
        path = f"{self._path(subject)}/{message_id}/attachments/{attachment_id}"
        self._session.send("PUT", path, content=sealed, length=length, headers={"Content-Type": _JOSE})

    def submit(
        self, message_id: UUID, *, metadata: str, data: str | None, subject: Subject = Subject.SUBMISSION
    ) -> None:
        """Complete a message with compact JWEs; a repeat changes nothing."""
        document = {"encryptedMetadata": metadata} | ({} if data is None else {"encryptedData": data})
        path = f"{self._path(subject)}/{message_id}"
        self._session.send("PUT", path, content=orjson.dumps(document), headers={"Content-Type": JSON})

    def _write(self, named: Named, message: Message, key: EncryptionKey, versions: Sequence[str]) -> Sent:
        """Seal, upload and submit what was announced."""
        seals: dict[UUID, Seal] = {}
        for each in message.attachments:
            with sealed_file(key, each) as (content, seal):
                self.upload(named.message_id, each.attachment_id, content, length=seal.size, subject=named.subject)
            seals[each.attachment_id] = seal
        metadata, data = message.sealed(key, seals, versions)
        self.submit(named.message_id, metadata=metadata, data=data, subject=named.subject)
        tags = verification.tags_of(metadata, data, {one: seal.tag for one, seal in seals.items()})
        return Sent(message=named, tags=tags)

    def write_reply(self, case_id: UUID, message: Message, key: EncryptionKey) -> Sent:
        """Write into a case: sealed for ``key``, which is the other side's (a sender's stands in its metadata)."""
        named = self.announce_reply(case_id, [each.attachment_id for each in message.attachments])
        return self._write(named, message, key, ())

    def announce_reply(self, case_id: UUID, attachments: Sequence[UUID]) -> Named:
        """Announce a reply in a case; what is not submitted the service deletes after a day, and nobody sees it before."""
        document = {"caseId": str(case_id), "announcedAttachments": [str(one) for one in attachments]}
        return self._announce(Subject.REPLY, document)

    def replies(self, case_id: UUID | None = None) -> Iterator[Named]:
        """Yield the replies that wait for this client."""
        return self._waiting(Subject.REPLY, **({} if case_id is None else {"caseId": str(case_id)}))

    def collect_reply(self, reply: Named) -> AbstractContextManager[Collected]:
        """Collect a reply; a context manager like :meth:`Subscriber.collect`."""
        return self._collect(reply)


class Sender(_Party):
    """An online service."""

    def state(self, message: Named) -> State:
        """Return where a message stands by its verified log; ``SealBroken`` if that proves nothing."""
        return verification.state_of(self.verified_log(message.case_id), message.message_id, message.subject)

    def destination(self, destination_id: UUID) -> Destination:
        """Return what a destination publishes; ``NotFound``."""
        found = self._session.json("GET", f"/{self._dialect}/destinations/{destination_id}")
        kid, versions = found.get("encryptionKid"), found.get("metadataVersions", [])
        services = found.get("publicServices", found.get("services", []))
        if not isinstance(kid, str) or not isinstance(versions, list) or not isinstance(services, list):
            raise malformed("encryptionKid, metadataVersions, services")
        return Destination(
            destination_id=destination_id,
            status=str(found.get("status", "")),
            encryption_kid=kid,
            metadata_versions=tuple(str(version) for version in versions),
            services=tuple(service for service in services if isinstance(service, dict)),
        )

    def encryption_key(self, destination: Destination, *, policy: KeyPolicy) -> EncryptionKey:
        """Return a destination's key, judged now by ``policy``; ``KeyRefused`` if it is not good to encrypt with."""
        jwk = self.destination_key(destination.destination_id, destination.encryption_kid)
        return judge_encryption_key(jwk, now=self._clock(), policy=policy)

    def send(
        self,
        message: Message,
        *,
        destination: Destination,
        key: EncryptionKey,
        service: Service,
        region: str | None = None,
        case_id: UUID | None = None,
        callback: Callback | None = None,
    ) -> Sent:
        """Announce, seal, upload and submit.

        ``region``: DE and an ARS (version 2); ``case_id``: write into a case that there is; ``callback``: where the service
        tells of news.
        """
        named = self.announce(
            destination.destination_id,
            [each.attachment_id for each in message.attachments],
            service=service,
            region=region,
            case_id=case_id,
            callback=callback,
        )
        return self._write(named, message, key, destination.metadata_versions)

    def announce(
        self,
        destination_id: UUID,
        attachments: Sequence[UUID],
        *,
        service: Service,
        region: str | None = None,
        case_id: UUID | None = None,
        callback: Callback | None = None,
    ) -> Named:
        """Announce a submission; what is not submitted the service deletes after a day."""
        document: dict[str, Any] = {
            "destinationId": str(destination_id),
            "announcedAttachments": [str(one) for one in attachments],
            **self._dialect.service(service, region),
        }
        if case_id is not None:
            document["caseId"] = str(case_id)
        if callback is not None:
            document["callback"] = {"url": callback.url, "secret": callback.secret}
        return self._announce(Subject.SUBMISSION, document)


class Subscriber(_Party):
    """A receiving system."""

    def waiting(self, destination_id: UUID | None = None) -> Iterator[Named]:
        """Yield what waits for collection, at all destinations of the client where none is named."""
        return self._waiting(
            Subject.SUBMISSION, **({} if destination_id is None else {"destinationId": str(destination_id)})
        )

    def collect(self, message: Named) -> AbstractContextManager[Collected]:
        """Collect a message: ``with subscriber.collect(message) as collected``; its ciphertext is gone after that."""
        return self._collect(message)

    def accept(self, collected: Collected, key: SigningKey) -> None:
        """Take a message over for good, as its destination: the event repeats the tags of what was collected.

        Raises:
            Conflict: the case's state does not allow it (any more).
        """
        self._answer(collected.message, key, EventKind.ACCEPT, {"authenticationTags": dict(collected.tags)})

    def reject(self, message: Named, problems: Sequence[Problem], key: SigningKey) -> None:
        """Turn a message down for good and say why; errors as :meth:`accept`."""
        self._answer(message, key, EventKind.REJECT, {"problems": [problem.as_event() for problem in problems]})

    def post_event(self, case_id: UUID, token: str) -> None:
        """Post a signed event; ``Conflict`` if the case's state does not allow it (any more)."""
        path = f"/{self._dialect}/cases/{case_id}/events"
        self._session.send("POST", path, content=token.encode("ascii"), headers={"Content-Type": _JOSE})

    def _answer(self, message: Named, key: SigningKey, kind: EventKind, payload: Mapping[str, Any]) -> None:
        if message.destination_id is None:
            raise malformed("destinationId")
        _jti, token = signed_answer(message, message.destination_id, key, kind, payload, self._clock())
        self.post_event(message.case_id, token)


def signed_answer(  # noqa: PLR0917  # What an event says, in its order.
    message: Named,
    destination_id: UUID,
    key: SigningKey,
    kind: EventKind,
    payload: Mapping[str, Any],
    now: datetime,
) -> tuple[UUID, str]:
    """Return the id and the compact token of a receiver's event (FIT-Connect, sections 9.1, 9.2 and 9.6)."""
    event = Event(
        case_id=message.case_id,
        seq=0,
        jti=uuid4(),
        subject=message.subject,
        subject_id=message.message_id,
        kind=kind,
        issuer=str(destination_id),
        by_hub=False,
        issued_at=now,
        payload=payload,
    )
    return event.jti, event_tokens.sign(key, event)


def sealed_stream(session: Session, path: str) -> Iterator[bytes]:
    """Yield one sealed attachment; ``TooLarge`` where it goes on beyond FIT-Connect's limit."""
    left = LARGEST_ATTACHMENT
    with session.call("GET", path) as response:
        for chunk in response.chunks:
            left -= len(chunk)
            if left < 0:
                raise TooLarge(Text("Eine Anlage ist zu groß.", "An attachment is too large."))
            yield chunk


def attachment_ids(found: Mapping[str, Any]) -> list[UUID]:
    """Return the ids of a message's attachments; ``Malformed`` if they are none, or more than FIT-Connect allows."""
    attachments = found.get("attachments", [])
    if not isinstance(attachments, list) or len(attachments) > MOST_ATTACHMENTS:
        raise malformed("attachments")
    return [require_uuid(one, "attachments") for one in attachments]


def require_uuid(value: Any, name: str) -> UUID:
    """Return a UUID; ``Malformed`` names the field that holds something else."""
    try:
        return UUID(value)
    except (ValueError, TypeError, AttributeError):
        raise malformed(name) from None


def malformed(name: str) -> Malformed:
    """Say which field of a submission cannot be used."""
    return Malformed(
        Text(f"Das Feld {name} der Einreichung ist nicht lesbar.", f"Field {name} of the submission cannot be read."),
        field=name,
    )


def last_part(path: Path) -> str:
    """Return a compact JWE's fifth part, its tag, without reading the file whole."""
    with path.open("rb") as file:
        file.seek(0, 2)
        file.seek(max(0, file.tell() - _TAIL))
        return file.read().decode("ascii", "replace").rpartition(".")[2]


def _read(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        yield from iter(partial(file.read, _CHUNK), b"")


def _named(document: Mapping[str, Any], subject: Subject) -> Named:
    destination_id = document.get("destinationId")
    return Named(
        subject=subject,
        message_id=require_uuid(document.get(f"{subject}Id"), f"{subject}Id"),
        case_id=require_uuid(document.get("caseId"), "caseId"),
        destination_id=None if destination_id is None else require_uuid(destination_id, "destinationId"),
    )


def _plural(subject: Subject) -> str:
    return "submissions" if subject is Subject.SUBMISSION else "replies"
