"""The plain door: from plaintext in memory to a sealed, stored and queued submission.

The order is part of the contract, cheap refusals first:

1. admission: enough disk, enough memory, a callback address that may be called;
2. the responsible authority and its key (both must be known before the first attachment byte is sealed);
3. attachments, sealed while they arrive;
4. idempotency: the same key and body get the same receipt, another body is a conflict;
5. the payload against its schema, and the destination offers that schema;
6. sealing: plaintext ends here;
7. one transaction: case, submission, events, delivery due. The receipt is valid once its future resolves.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from datetime import datetime
from types import TracebackType
from typing import Any, Self
from uuid import UUID, uuid4

import orjson

from hub import __version__
from hub.admission import Admission, Reservation
from hub.areas import Area
from hub.callbacks import at_rest
from hub.crypto.hmacs import idempotency_mac
from hub.crypto.jwe import JweWriter, Seal
from hub.crypto.keyring import HubKeys
from hub.crypto.keys import EncryptionKey
from hub.crypto.receipts import make_receipt
from hub.directory import Directory
from hub.errors import IdempotencyConflict, Invalid, InvalidPayload, Malformed, NoRoute, Text, TooLarge
from hub.events import Event, EventKind, Subject, chain
from hub.outbound import Outbound
from hub.parties import Destination
from hub.routing import Route, RoutingTable
from hub.store import Blobs, Remembered, SpillingSink, Store
from hub.submission import Application, Contents, Cover, Door, MediaType, SchemaRef, Sealed, Service, Submission
from hub.validation.catalog import SchemaCatalog
from hub.validation.report import Report

#: FIT-Connect section 15.
MOST_ATTACHMENTS = 100
_METADATA_SCHEMA = "https://schema.fitko.de/fit-connect/metadata/2.1.0/metadata.schema.json"
#: What a sender may say of FIT-Connect metadata; the hub writes the rest.
_SENDER_MAY_SAY = frozenset(
    {"replyChannel", "author", "additionalReferenceInfo", "paymentInformation", "dataSets", "attachments"}
)
_ATTACHMENT_MAY_SAY = frozenset({"purpose", "filename", "description"})


@dataclass(frozen=True, kw_only=True, slots=True)
class SealedAttachment:
    """One attachment after sealing: what the metadata will say of it, and the sealed content."""

    attachment_id: UUID
    part_name: str
    filename: str | None
    media_type: str
    plaintext_sha512: str
    sealed: Sealed


class AttachmentSealer:
    """Takes one attachment's bytes as they arrive; only ciphertext leaves it."""

    def __init__(
        self, *, key: EncryptionKey, blobs: Blobs, name: str, filename: str | None, media_type: str, limit: int
    ) -> None:
        self._sink = SpillingSink(blobs)
        self._writer = JweWriter(key, content_type=media_type, sink=self._sink.write)
        self._name = name
        self._filename = filename
        self._media_type = media_type
        self._left = limit

    def write(self, chunk: bytes) -> None:
        """Seal a further chunk.

        Raises:
            TooLarge: the attachment is larger than allowed.
        """
        self._left -= len(chunk)
        if self._left < 0:
            raise TooLarge(
                Text(
                    "Eine Anlage ist zu groß. Erlaubt sind 375 MB unverschlüsselt; teilen Sie die Datei.",
                    "An attachment is too large. 375 MB of plaintext are allowed; split the file.",
                )
            )
        self._writer.write(chunk)

    def finish(self) -> SealedAttachment:
        """Close the seal and return the result."""
        seal = self._writer.finish()
        return SealedAttachment(
            attachment_id=uuid4(),
            part_name=self._name,
            filename=self._filename,
            media_type=self._media_type,
            plaintext_sha512=seal.plaintext_sha512,
            sealed=_sealed(seal, self._sink),
        )

    def abort(self) -> None:
        """Drop what was written so far."""
        self._sink.abort()


@dataclass(frozen=True, kw_only=True, slots=True)
class Accepted:
    """What the sender gets: the signed receipt; ``again`` says that an earlier request had already been accepted."""

    receipt: str = field(repr=False)
    again: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Tools:
    """What the plain door works with. ``catalog`` and ``table`` are asked anew each time, so a reload drops no request."""

    store: Store
    blobs: Blobs
    keys: HubKeys
    directory: Directory
    catalog: Callable[[], SchemaCatalog]
    table: Callable[[], RoutingTable]
    admission: Admission
    outbound: Outbound
    base_url: str
    attachment_limit: int


class Intake:
    """Opens a reception for each application."""

    def __init__(self, tools: Tools) -> None:
        self._tools = tools

    def open(self, cover: Cover, *, now: datetime) -> Reception:
        """Admit one application and find who is responsible.

        Raises:
            StoreUnavailable: the disk is nearly full.
            NoRoute: nobody, or more than one, is responsible.
            KeyUnavailable: the responsible authority has no usable key.
        """
        self._tools.admission.check_disk()
        if cover.callback is not None:
            self._tools.outbound.check(cover.callback.url)
        route = self._tools.table().route(Area.from_ars(cover.area), cover.service, now)
        destination = self._destination(route, cover, now)
        key = self._tools.directory.encryption_key(destination, now=now)
        return Reception(self._tools, cover, route, destination, key)

    def check(
        self, application_data: bytes, *, media_type: Any, schema: str | None, service: str | None, now: datetime
    ) -> Report:
        """Validate only; nothing is stored."""
        return self._tools.catalog().check(
            media_type=media_type, data=application_data, schema=schema, service=service, on=now.date()
        )

    def _destination(self, route: Route, cover: Cover, now: datetime) -> Destination:
        destination = self._tools.directory.destination(route.destination_id, now=now)
        if destination is None or destination.status != "active":
            raise NoRoute(
                Text(
                    "Die zuständige Stelle nimmt zurzeit keine Anträge über den Hub an. Wenden Sie sich an den "
                    "Betrieb des Hubs.",
                    "The responsible authority does not take applications through the hub at present. Ask the "
                    "hub's operators.",
                ),
                destinationId=str(route.destination_id),
                nearest=[],
            )
        if not any(offered.identifier == cover.service for offered in destination.services):
            raise NoRoute(
                Text(
                    f"{destination.name} ist zuständig, bietet die Leistung {cover.service} aber nicht über den Hub "
                    "an.",
                    f"{destination.name} is responsible, but does not offer service {cover.service} through the hub.",
                ),
                destinationId=str(route.destination_id),
                nearest=[],
            )
        return destination


class Reception:
    """One application on its way in. A context manager: what was not accepted when it ends is dropped."""

    def __init__(self, tools: Tools, cover: Cover, route: Route, destination: Destination, key: EncryptionKey) -> None:
        self._tools = tools
        self._cover = cover
        self._route = route
        self._destination = destination
        self._key = key
        self._attachments: list[SealedAttachment] = []
        self._open: list[AttachmentSealer] = []
        self._reservation: Reservation = tools.admission.reserve()
        self._kept = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._reservation.release()
        if not self._kept:
            self._drop()

    def take(self, size: int) -> None:
        """Reserve memory for ``size`` further bytes of plaintext.

        Raises:
            Overloaded: too much plaintext is in memory already.
        """
        self._reservation.grow(size)

    def attach(self, *, name: str, filename: str | None, media_type: str) -> AttachmentSealer:
        """Begin an attachment; feed the sealer, then hand it to :meth:`attached`."""
        if len(self._attachments) + len(self._open) >= MOST_ATTACHMENTS:
            raise TooLarge(
                Text(
                    f"Mehr als {MOST_ATTACHMENTS} Anlagen sind nicht erlaubt.",
                    f"More than {MOST_ATTACHMENTS} attachments are not allowed.",
                )
            )
        sealer = AttachmentSealer(
            key=self._key,
            blobs=self._tools.blobs,
            name=name,
            filename=filename,
            media_type=media_type,
            limit=self._tools.attachment_limit,
        )
        self._open.append(sealer)
        return sealer

    def attached(self, sealer: AttachmentSealer) -> None:
        """Finish an attachment."""
        self._attachments.append(sealer.finish())
        self._open.remove(sealer)

    def accept(self, application: Application, *, now: datetime) -> Future[Accepted]:
        """Validate, seal and store. The future resolves after the commit, or fails with what went wrong.

        Raises:
            IdempotencyConflict: the key was used with another body.
            InvalidPayload, Malformed, UnknownSchema: the payload is not acceptable.
        """
        mac = self._mac(application)
        known = self._remembered(mac)
        if known is not None:
            return _done(known)
        schema = self._validated(application, now)
        submission = self._submission(application, schema, now)
        events = _first_events(submission, issuer=self._tools.base_url)
        receipt = make_receipt(self._tools.keys.receipt, self._claims(submission, events))
        idempotency = (self._cover.idempotency_key, mac) if self._cover.idempotency_key else None
        stored = self._tools.store.submit(
            submission, events=events, receipt=receipt, idempotency=idempotency, first_attempt_at=now
        )
        self._kept = True
        return self._when_stored(stored, receipt, mac)

    def _when_stored(self, stored: Future[Remembered | None], receipt: str, mac: str) -> Future[Accepted]:
        accepted: Future[Accepted] = Future()

        def settle(done: Future[Remembered | None]) -> None:
            error = done.exception()
            if error is not None:
                accepted.set_exception(error)
                return
            earlier = done.result()
            if earlier is None:
                accepted.set_result(Accepted(receipt=receipt))
                return
            self._drop()  # A twin was faster; its contents count, ours are dropped.
            if earlier.mac == mac:
                accepted.set_result(Accepted(receipt=earlier.receipt, again=True))
            else:
                accepted.set_exception(_other_body())

        stored.add_done_callback(settle)
        return accepted

    def _remembered(self, mac: str) -> Accepted | None:
        if self._cover.idempotency_key is None:
            return None
        known = self._tools.store.remembered(self._cover.sender, self._cover.idempotency_key)
        if known is None:
            return None
        if known.mac != mac:
            raise _other_body()
        return Accepted(receipt=known.receipt, again=True)

    def _mac(self, application: Application) -> str:
        """Compare bodies by parameters and the hashes of all parts: a multipart boundary changes on every retry."""
        if self._cover.idempotency_key is None:
            return ""
        callback = application.cover.callback
        parts = [
            self._cover.service,
            self._cover.area,
            self._cover.schema or "",
            callback.url if callback else "",
            application.media_type.value,
            hashlib.sha512(application.data).hexdigest(),
            hashlib.sha512(orjson.dumps(dict(application.metadata), option=orjson.OPT_SORT_KEYS)).hexdigest(),
        ]
        for attachment in self._attachments:
            parts += [
                attachment.part_name,
                attachment.filename or "",
                attachment.media_type,
                attachment.plaintext_sha512,
            ]
        return idempotency_mac(self._tools.keys.idempotency, [part.encode() for part in parts])

    def _validated(self, application: Application, now: datetime) -> SchemaRef:
        report = self._tools.catalog().check(
            media_type=application.media_type,
            data=application.data,
            schema=self._cover.schema,
            service=self._cover.service,
            on=now.date(),
        )
        if not report.valid:
            raise InvalidPayload(
                Text(
                    f"Der Antrag verletzt sein Schema an {report.total} Stelle(n). Beheben Sie die genannten "
                    "Verstöße und senden Sie ihn neu.",
                    f"The application violates its schema in {report.total} place(s). Mend what is listed and send "
                    "it again.",
                ),
                violations=[violation.as_json() for violation in report.violations],
                total=report.total,
                schema={"uri": report.schema.uri, "version": report.schema.version},
            )
        self._refuse_if_not_offered(report.schema)
        return report.schema

    def _refuse_if_not_offered(self, schema: SchemaRef) -> None:
        offered = {
            uri
            for service in self._destination.services
            if service.identifier == self._cover.service
            for uri, _ in service.schemas
        }
        if schema.uri not in offered:
            raise Invalid(
                Text(
                    f"{self._destination.name} nimmt für diese Leistung das Schema {schema.uri} nicht an. "
                    f"Angenommen werden: {', '.join(sorted(offered))}.",
                    f"{self._destination.name} does not take schema {schema.uri} for this service. Taken are: "
                    f"{', '.join(sorted(offered))}.",
                ),
                slug="schema-not-offered",
                offered=sorted(offered),
            )

    def _submission(self, application: Application, schema: SchemaRef, now: datetime) -> Submission:
        data, data_hash = self._seal(application.data, application.media_type.value)
        metadata = self._metadata(application, schema, data_hash, now)
        contents = Contents(
            metadata=self._seal(metadata, "application/json")[0],
            data=data,
            attachments={each.attachment_id: each.sealed for each in self._attachments},
        )
        return Submission(
            submission_id=uuid4(),
            case_id=uuid4(),
            destination_id=self._destination.destination_id,
            sender=self._cover.sender,
            door=Door.PLAIN,
            service=Service(identifier=self._cover.service, name=self._route.table.services.name(self._cover.service)),
            area=self._cover.area,
            contents=contents,
            submitted_at=now,
            schema=schema,
            table_version=self._route.table_version,
            callback=at_rest(application.cover.callback, self._tools.keys),
        )

    def _seal(self, plaintext: bytes, content_type: str) -> tuple[Sealed, str]:
        sink = SpillingSink(self._tools.blobs)
        writer = JweWriter(self._key, content_type=content_type, sink=sink.write)
        writer.write(plaintext)
        seal = writer.finish()
        return _sealed(seal, sink), seal.plaintext_sha512

    def _metadata(self, application: Application, schema: SchemaRef, data_hash: str, now: datetime) -> bytes:
        """Write FIT-Connect metadata 2.1.0 and check what the sender contributed to it."""
        said = _sender_metadata(application.metadata, {each.part_name for each in self._attachments})
        notes = said.pop("attachments", {})
        document = {
            "$schema": _METADATA_SCHEMA,
            "contentStructure": {
                "data": {
                    "hash": {"type": "sha512", "content": data_hash},
                    "submissionSchema": {"schemaUri": schema.uri, "mimeType": schema.media_type.value},
                },
                "attachments": [
                    _attachment_metadata(each, notes.get(each.part_name, {})) for each in self._attachments
                ],
            },
            **said,
        }
        document.setdefault(
            "author",
            {
                "name": self._cover.sender,
                "product": {"name": "Rathaus-Hub", "version": __version__, "manufacturer": "Rathaus-Hub"},
            },
        )
        encoded = orjson.dumps(document)
        if application.metadata:
            self._refuse_bad_metadata(encoded, now)
        return encoded

    def _refuse_bad_metadata(self, encoded: bytes, now: datetime) -> None:
        report = self._tools.catalog().check(
            media_type=MediaType.JSON, data=encoded, schema=_METADATA_SCHEMA, service=None, on=now.date()
        )
        if not report.valid:
            raise InvalidPayload(
                Text(
                    "Der Teil „metadata“ verletzt das FIT-Connect-Metadatenschema 2.1.0.",
                    "The 'metadata' part violates FIT-Connect's metadata schema 2.1.0.",
                ),
                violations=[violation.as_json() for violation in report.violations],
                total=report.total,
            )

    def _claims(self, submission: Submission, events: Sequence[Event]) -> dict[str, Any]:
        schema = submission.schema
        return {
            "iss": self._tools.base_url,
            "jti": str(uuid4()),
            "iat": int(submission.submitted_at.timestamp()),
            "sub": f"submission:{submission.submission_id}",
            "txn": f"case:{submission.case_id}",
            "acceptedAt": submission.submitted_at.isoformat(timespec="milliseconds"),
            "sender": submission.sender,
            "destination": {"destinationId": str(submission.destination_id), "name": self._destination.name},
            "publicService": submission.service.identifier,
            "area": submission.area,
            "route": {"table": self._route.table_version, "rule": self._route.rule.id},
            "schema": schema
            and {"uri": schema.uri, "standard": schema.standard, "version": schema.version, "sha256": schema.sha256},
            "encryptionKid": self._key.kid,
            "contents": {
                part: {"sha512": sealed.sha512, "size": sealed.size, "authenticationTag": sealed.tag}
                for part, sealed in submission.contents.parts()
            },
            "eventLog": {"seq": events[-1].seq, "hash": events[-1].hash},
        }

    def _drop(self) -> None:
        for sealer in self._open:
            sealer.abort()
        for attachment in self._attachments:
            if attachment.sealed.blob is not None:
                self._tools.blobs.delete(attachment.sealed.blob)


def _sealed(seal: Seal, sink: SpillingSink) -> Sealed:
    jwe, blob = sink.finish()
    return Sealed(tag=seal.tag, sha512=seal.sha512, size=seal.size, jwe=jwe, blob=blob)


def _first_events(submission: Submission, *, issuer: str) -> list[Event]:
    """Return the chained create and submit events of a new case."""

    def event(kind: EventKind, **more: Any) -> Event:
        return Event(
            case_id=submission.case_id,
            seq=0,
            jti=uuid4(),
            subject=Subject.SUBMISSION,
            subject_id=submission.submission_id,
            kind=kind,
            issuer=issuer,
            by_hub=True,
            issued_at=submission.submitted_at,
            **more,
        )

    submitted = event(
        EventKind.SUBMIT,
        payload={"authenticationTags": submission.contents.authentication_tags()},
        digests={part: sealed.sha512 for part, sealed in submission.contents.parts()},
    )
    return chain([event(EventKind.CREATE), submitted])


def _sender_metadata(metadata: Mapping[str, Any], part_names: set[str]) -> dict[str, Any]:
    """Return what the sender may say; refuse the rest by name of the allowed, never by name of the given."""
    if set(metadata) - _SENDER_MAY_SAY:
        raise Malformed(
            Text(
                f"Der Teil „metadata“ darf nur {', '.join(sorted(_SENDER_MAY_SAY))} enthalten; den Rest schreibt "
                "der Hub.",
                f"The 'metadata' part may hold {', '.join(sorted(_SENDER_MAY_SAY))} only; the hub writes the rest.",
            )
        )
    notes = metadata.get("attachments", {})
    shaped = isinstance(notes, dict) and all(isinstance(note, dict) for note in notes.values())
    if not shaped or set(notes) - part_names or any(set(note) - _ATTACHMENT_MAY_SAY for note in notes.values()):
        raise Malformed(
            Text(
                "metadata.attachments ordnet den Namen von Anlagen-Teilen purpose, filename und description zu; "
                "mindestens ein Eintrag passt nicht.",
                "metadata.attachments maps names of attachment parts to purpose, filename and description; at "
                "least one entry does not fit.",
            )
        )
    return dict(metadata)


def _attachment_metadata(attachment: SealedAttachment, note: Mapping[str, Any]) -> dict[str, Any]:
    described = {
        "attachmentId": str(attachment.attachment_id),
        "purpose": "attachment",
        "mimeType": attachment.media_type,
        "hash": {"type": "sha512", "content": attachment.plaintext_sha512},
    }
    if attachment.filename:
        described["filename"] = attachment.filename
    return {**described, **note}


def _done(accepted: Accepted) -> Future[Accepted]:
    future: Future[Accepted] = Future()
    future.set_result(accepted)
    return future


def _other_body() -> IdempotencyConflict:
    return IdempotencyConflict(
        Text(
            "Dieser Idempotency-Key wurde schon mit einem anderen Inhalt verwendet. Nehmen Sie für einen neuen "
            "Antrag einen neuen.",
            "This Idempotency-Key was already used with another body. Use a new one for a new application.",
        )
    )
