"""The door: opens a reception for each application.

Receiving one application: a reception that seals and stores it, or a replay that recognises a repeat.

What the plain door works with.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import replace
from datetime import datetime
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Any, Protocol, Self

import orjson

from hub.admission import Admission, Reservation
from hub.areas import Area
from hub.crypto import EncryptionKey, HubKeys, claims_of, make_receipt
from hub.errors import ConfigurationError, HubError, InvalidPayload, Text
from hub.identity import Directory, require_delegation
from hub.intake.case_messages import CaseDesk, require_case_for_message
from hub.intake.metadata import METADATA_SCHEMA, compose, file_names, rendered, require_reply_key
from hub.intake.refusals import schema_not_offered, service_not_offered, takes_nothing
from hub.intake.repeats import Accepted, MacOf, again, fingerprint
from hub.intake.screening import PartScreen, Screening
from hub.intake.sealing import (
    MOST_ATTACHMENTS,
    AttachmentFacts,
    AttachmentHasher,
    AttachmentSealer,
    IncomingAttachment,
    OwnAttachment,
    SealedAttachment,
    sealed_whole,
    sealer_for,
    too_many_attachments,
)
from hub.intake.shadow import Shadow
from hub.intake.status import (
    content_claim,
    content_salt_of,
    first_events,
    own_json,
    receipt_of,
    refusal,
    sealed_page,
    sealed_report,
    verdict,
)
from hub.model import (
    MESSAGE_FILENAME,
    MESSAGE_SCHEMA,
    Application,
    CaseMessage,
    CaseMessageKind,
    Contents,
    Cover,
    Destination,
    Door,
    Event,
    Form,
    InCase,
    MediaType,
    SchemaRef,
    Sealed,
    Sealing,
    Service,
    Submission,
    canonical_service,
    new_id,
)
from hub.notifications.callbacks import CallbackWriter, at_rest
from hub.observability.crashes import reach
from hub.observability.legal_time import SystemClock
from hub.routing import OnInvalid, Route, RoutingTable
from hub.services import ServiceCatalogue
from hub.store import Blobs, CaseHead, Filed, OutgoingCallback, Provisional, Remembered, Store
from hub.transport.connection import Outbound
from hub.validation.catalog import SchemaCatalog, SchemaEntry
from hub.validation.report import Report

if TYPE_CHECKING:
    from hub.forms.clerk_pages import ClerkPages


class IntakeTools(Protocol):
    """What the plain door works with. Catalogue and table are asked for anew each time, so a reload drops no request."""

    store: Store
    blobs: Blobs
    keys: HubKeys
    directory: Directory
    admission: Admission
    outbound: Outbound
    callback_writer: CallbackWriter
    base_url: str
    attachment_limit: int
    screening: Screening
    shadow: Shadow
    system_clock: SystemClock
    #: What every receipt of this instance says besides.
    receipt_marks: Mapping[str, Any]

    def catalogs(self) -> SchemaCatalog:
        """Return the schema catalogue of the moment."""

    def table(self) -> RoutingTable:
        """Return the routing table in force."""

    def services(self) -> ServiceCatalogue:
        """Return the public services of the moment."""

    def sealing(self, destination: Destination) -> Sealing:
        """Return how the destination's adapter wants its contents sealed."""


#: Places that a fault of the hub's own names.
_PLACES = 5


class _Opened:
    """What a reception and a replay have in common: contents and a share of the memory budget.

    Both are the request's until ``accept`` begins: if the request ends before, nothing stays. From then on they are the
    acceptance's, which may go on in its thread when nobody waits any more: what it comes to says whether they stay.
    """

    def __init__(self, tools: IntakeTools, cover: Cover) -> None:
        self._tools = tools
        self._cover = cover
        self._reservation: Reservation = tools.admission.reserve()
        self._contents = Provisional(tools.blobs)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._contents.abandon():
            self._let_go()

    def accept(self, application: Application, *, now: datetime) -> Future[Accepted]:
        """Take the application over from the request; the future resolves once it is stored, or known to be already.

        Raises:
            StoreUnavailable: the request has ended before.
        """
        self._contents.own()
        try:
            accepted = self._accepted(application, now)
        except BaseException:
            self._contents.give_up()
            self._let_go()
            raise
        accepted.add_done_callback(lambda _: self._reservation.release())
        return accepted

    def _let_go(self) -> None:
        """Give back what is held besides contents."""
        self._reservation.release()

    def _accepted(self, application: Application, now: datetime) -> Future[Accepted]:
        raise NotImplementedError

    def take(self, size: int) -> None:
        """Reserve memory for ``size`` further bytes of plaintext.

        Raises:
            Overloaded: too much plaintext is in memory already.
        """
        self._reservation.grow(size)


class Replay(_Opened):
    """A request whose idempotency key is known: nothing is sealed or stored, only compared."""

    def __init__(self, tools: IntakeTools, cover: Cover, known: Remembered) -> None:
        super().__init__(tools, cover)
        self._known = known
        self._attachments: list[AttachmentFacts] = []

    def attach(self, *, name: str, filename: str | None, media_type: str) -> IncomingAttachment:
        """Begin an attachment; feed it, then finish it."""
        if len(self._attachments) >= MOST_ATTACHMENTS:
            raise too_many_attachments()
        return AttachmentHasher(name=name, filename=filename, media_type=media_type, done=self._attachments.append)

    def recall(self, facts: AttachmentFacts) -> None:
        """Take the word of an earlier request for an attachment: its upload went into that one, and is no more."""
        self._attachments.append(facts)

    def _accepted(self, application: Application, now: datetime) -> Future[Accepted]:  # noqa: ARG002  # see below
        """Return the earlier receipt: that of back then, whatever has become of schema, route or key since.

        Raises:
            IdempotencyConflict: the key was used with another body.
        """
        settled: Future[Accepted] = Future()
        data_sha512 = hashlib.sha512(application.data).hexdigest()
        mac_of = partial(fingerprint, self._tools.keys, application, self._attachments, data_sha512=data_sha512)
        settled.set_result(again(self._known, application.cover, mac_of))
        return settled


class Reception(_Opened):
    """One new application on its way in. A context manager: what was not taken over by ``accept`` when it ends is dropped."""

    def __init__(  # noqa: PLR0917  # what is known of it, in the order in which it was found
        self,
        tools: IntakeTools,
        cover: Cover,
        route: Route,
        destination: Destination,
        key: EncryptionKey,
        pages: Callable[[], ClerkPages],
        desk: CaseDesk | None = None,
    ) -> None:
        """``desk`` is that of the case which it goes into; without one it opens a case."""
        super().__init__(tools, cover)
        self._desk = desk
        self._in_case: InCase | None = None
        self._route = route
        self._destination = destination
        self._key = key
        self._pages = pages
        sealing = tools.sealing(destination)
        self._sealer = sealer_for(sealing, key, self._reservation)
        self._screen = tools.screening.open(cover.service, destination.tenant)
        self._wants_page = sealing.readable
        self._attachments: list[SealedAttachment] = []
        self._begun = 0
        #: What the hub itself encloses.
        self._content: Mapping[str, Any] | None = None
        self._own: list[OwnAttachment] = []
        #: The URI under which the destination offers the schema; known once the application is validated.
        self._offered_as = ""

    def take(self, size: int) -> None:
        """Reserve memory for ``size`` further bytes of plaintext.

        Raises:
            Overloaded: too much plaintext is in memory already. TooLarge: more than the destination takes.
        """
        self._sealer.expect(size)

    def attach(self, *, name: str, filename: str | None, media_type: str) -> IncomingAttachment:
        """Begin an attachment; feed it, then finish it."""
        if self._begun >= MOST_ATTACHMENTS:
            raise too_many_attachments()
        self._begun += 1
        return AttachmentSealer(
            sealer=self._sealer,
            blobs=self._contents,
            name=name,
            filename=filename,
            media_type=media_type,
            limit=self._tools.attachment_limit,
            done=self._attachments.append,
            screen=None if self._screen is None else self._screen.attachment(media_type),
        )

    def _let_go(self) -> None:
        super()._let_go()
        if self._screen is not None:
            self._screen.close()

    def prepare(self, application: Application, *, now: datetime) -> tuple[Submission, Report, str]:
        """Validate and seal: return what is to be stored, the report of its check, and the SHA-512 (hex) of its data.

        Raises:
            InvalidPayload, Malformed, UnknownSchema: the payload is not acceptable.
        """
        reach("after-read")
        scan = None if self._screen is None else self._screen.data(application.data)
        report = self._validated(application, now, scan)
        self._judge_in_case(report, application)
        reach("after-validate")
        data, data_sha512 = self._seal(application.data, application.media_type.value, "antrag")
        if self._wants_page:
            self._add_page(application, report)
        submission = self._submission(application, report.schema, data, data_sha512, now)
        sent = {f"attachment:{each.attachment_id}": each.facts.plaintext_sha512 for each in self._attachments}
        self._content = content_claim(self._tools.keys, submission.submission_id, {"data": data_sha512, **sent})
        reach("after-seal")
        return submission, report, data_sha512

    def _accepted(self, application: Application, now: datetime) -> Future[Accepted]:
        """Validate, seal and store. The future resolves after the commit, or fails with what went wrong.

        Raises:
            InvalidPayload, Malformed, UnknownSchema: the payload is not acceptable.
        """
        submission, report, data_sha512 = self.prepare(application, now=now)
        facts = [each.facts for each in self._attachments]
        mac_of = partial(fingerprint, self._tools.keys, application, facts, data_sha512=data_sha512)
        key = self._cover.idempotency_key
        quarantine = not report.valid and self._route.rule.on_invalid is OnInvalid.QUARANTINE
        quarantine = quarantine or (self._screen is not None and self._screen.quarantined)
        kept: dict[str, Any] = {
            "reference": self._cover.external_reference,
            "idempotency": None if key is None else (key, mac_of(self._cover)),
            "first_attempt_at": now,
            "callbacks": [] if quarantine or submission.contents.form is not Form.JOSE else self._news(submission, now),
            "quarantine": quarantine,
        }
        if self._desk is not None:
            return self._into_case(submission, report, mac_of, kept)
        events, receipt, claims = self._proof(submission, report)
        stored = self._tools.store.submissions.submit(submission, events=events, receipt=receipt, **kept)
        return self._when_stored(stored, Accepted(receipt=receipt, claims=claims), mac_of)

    def _proof(
        self, submission: Submission, report: Report, head: CaseHead | None = None
    ) -> tuple[Sequence[Event], str, Mapping[str, Any]]:
        """Return the events of a submission, chained on from ``head``, its receipt, and what that says."""
        events = first_events(submission, issuer=self._tools.base_url, head=head)
        claims = self._claims(submission, events, report) | dict(self._tools.receipt_marks)
        return events, make_receipt(self._tools.keys.receipt, claims), claims

    def _into_case(
        self, submission: Submission, report: Report, mac_of: MacOf, kept: Mapping[str, Any]
    ) -> Future[Accepted]:
        """Store what goes into a case that there is: where its log ends is known when it is written."""
        stored = self._tools.store.submissions.submit_in_case(
            submission, make=lambda head: self._proof(submission, report, head)[:2], **kept
        )

        def answer(filed: Filed) -> Accepted:
            reach("after-commit")
            if filed.earlier is not None:
                return again(filed.earlier, self._cover, mac_of)
            return Accepted(receipt=filed.receipt, claims=claims_of(filed.receipt))

        return self._contents.follow(stored, answer, repeated=lambda filed: filed.earlier is not None)

    def _when_stored(self, stored: Future[Remembered | None], new: Accepted, mac_of: MacOf) -> Future[Accepted]:
        """Return what the sender gets. If a twin was faster its contents count, and ours are given up."""

        def answer(earlier: Remembered | None) -> Accepted:
            reach("after-commit")
            return new if earlier is None else again(earlier, self._cover, mac_of)

        return self._contents.follow(stored, answer, repeated=lambda earlier: earlier is not None)

    def _news(self, submission: Submission, now: datetime) -> list[OutgoingCallback]:
        return self._tools.callback_writer.submitted(
            submission_id=submission.submission_id,
            case_id=submission.case_id,
            destination=self._destination,
            now=now,
        )

    def _validated(self, application: Application, now: datetime, scan: PartScreen | None) -> Report:
        """Return the report of a check; an invalid application passes only if the rule that routes it lets it.

        The scanner has its time while the data are validated.
        """
        catalog = self._tools.catalogs()
        report = catalog.check(
            media_type=application.media_type,
            data=application.data,
            schema=self._cover.schema,
            service=self._cover.service,
            on=now.date(),
            sent=file_names(application.metadata, self._attachments),
        )
        message = report.schema.uri == MESSAGE_SCHEMA
        # What nobody can read the kind of is no message, whatever the rule says of applications.
        if not report.valid and (message or self._route.rule.on_invalid is OnInvalid.REJECT):
            raise refusal(report)
        schema = catalog.entry(report.schema.uri)
        self._offered_as = self._offered_name(schema)
        if self._screen is not None and scan is not None:
            scan.finish()
            report = self._screen.reported(report)
        self._add_report(report)
        if not message:
            names = file_names(application.metadata, self._attachments)
            self._tools.shadow.offer(application, schema, self._destination.destination_id, sent=names, at=now)
        return report

    def _judge_in_case(self, report: Report, application: Application) -> None:
        """Judge what it is in its case, if it goes into one; a correction tells the authority what it replaces."""
        require_case_for_message(report.schema.uri, self._desk)
        if self._desk is None:
            return
        service = self._tools.services().find(self._cover.service)
        self._in_case = self._desk.judged(report.schema.uri, application.data, service)
        if self._in_case.kind is not CaseMessageKind.CORRECTION or self._in_case.about is None:
            return
        if len(self._attachments) + len(self._own) >= MOST_ATTACHMENTS:
            raise too_many_attachments()
        note = CaseMessage(kind=CaseMessageKind.CORRECTION, about=self._in_case.about)
        self._own.append(own_json(note.content(), MESSAGE_FILENAME, sealer=self._sealer, blobs=self._contents))

    def _add_report(self, report: Report) -> None:
        """Enclose the report where the policy wants it, or where the authority would not know what is unchecked or missing."""
        wanting = not report.complete or report.missing_attachments > 0
        unsaid = wanting if report.valid else self._route.rule.on_invalid is OnInvalid.DELIVER_WITH_REPORT
        if not unsaid:
            return
        if len(self._attachments) < MOST_ATTACHMENTS:
            self._own.append(sealed_report(report, sealer=self._sealer, blobs=self._contents))
        elif not report.valid:
            raise refusal(report)  # There is no room for the report, so the policy cannot be kept.

    def _add_page(self, application: Application, report: Report) -> None:
        """Enclose what a clerk can read, where it can be drawn and has room: the data are there all the same."""
        if len(self._attachments) + len(self._own) >= MOST_ATTACHMENTS:
            return
        entry = self._tools.catalogs().entry(report.schema.uri)
        names = sorted(file_names(application.metadata, self._attachments))
        page = self._pages().draw(entry, application.data, attachments=names, strange=not report.valid)
        if page is not None and self._sealer.has_room(len(page)):
            self._own.append(sealed_page(page, sealer=self._sealer, blobs=self._contents))

    def _offered_name(self, schema: SchemaEntry) -> str:
        """Return the URI under which the destination offers a schema: that stands in the metadata, for it looks for it.

        A schema has several names: its own, aliases, and the URI of its standard's version. Messages in a case need no offer.
        """
        if schema.uri == MESSAGE_SCHEMA:
            return MESSAGE_SCHEMA
        offered = {
            uri
            for service in self._destination.services
            if canonical_service(service.identifier) == self._cover.service
            for uri, _ in service.schemas
        }
        named = next((uri for uri in schema.uris if uri in offered), None)
        if named is None and not offered and self._route.rule.is_catch_all:
            return schema.uri  # Whoever takes what nobody else does need not have offered it.
        if named is None:
            raise schema_not_offered(self._destination.name, schema.uri, offered)
        return named

    def _submission(
        self, application: Application, schema: SchemaRef, data: Sealed, data_sha512: str, now: datetime
    ) -> Submission:
        metadata = self._metadata(application, schema, data_sha512, now)
        contents = Contents(
            metadata=self._seal(metadata, MediaType.JSON.value, "metadata")[0],
            data=data,
            attachments={each.attachment_id: each.sealed for each in self._enclosed()},
            form=self._sealer.form,
        )
        service = self._cover.service
        return Submission(
            submission_id=new_id(now),
            case_id=new_id(now) if self._desk is None else self._desk.case.case_id,
            destination_id=self._destination.destination_id,
            sender=self._cover.sender,
            door=Door.PLAIN,
            service=Service(identifier=service, name=self._route.table.services.name(service)),
            area=self._cover.area,
            contents=contents,
            submitted_at=now,
            schema=schema,
            table_version=self._route.table_version,
            callback=at_rest(application.cover.callback, self._tools.keys),
        )

    def _seal(self, plaintext: bytes, content_type: str, name: str) -> tuple[Sealed, str]:
        filename = f"{name}.{content_type.rpartition('/')[2]}"
        return sealed_whole(plaintext, content_type, filename, sealer=self._sealer, blobs=self._contents)

    def _metadata(self, application: Application, schema: SchemaRef, data_sha512: str, now: datetime) -> bytes:
        """Return the metadata, checked: no receipt is given for what the authority must turn down.

        Raises:
            InvalidPayload: what the sender says in them violates their schema.
            KeyRefused: it wants replies sealed for a key that nobody may seal for.
            ConfigurationError: what the hub writes does, such as a schema's URI that is none.
        """
        composed = partial(
            compose,
            sender=self._cover.sender,
            schema=replace(schema, uri=self._offered_as),
            data_sha512=data_sha512,
            attachments=self._attachments,
            own=self._own,
        )
        document = composed(application.metadata)
        report = self._judged(document, now)
        if not report.valid and application.metadata and self._judged(composed({}), now).valid:
            raise InvalidPayload(
                Text(
                    "Der Teil „metadata“ verletzt das FIT-Connect-Metadatenschema 2.1.0.",
                    "The 'metadata' part violates FIT-Connect's metadata schema 2.1.0.",
                ),
                violations=[violation.as_json() for violation in report.violations],
                total=report.total,
            )
        if not report.valid:
            raise _unfit_metadata(report, schema)
        require_reply_key(document, now=now)
        return orjson.dumps(rendered(document, self._destination.metadata_versions))

    def _judged(self, document: dict[str, Any], now: datetime) -> Report:
        return self._tools.catalogs().check(
            media_type=MediaType.JSON,
            data=orjson.dumps(document),
            schema=METADATA_SCHEMA,
            service=None,
            on=now.date(),
        )

    def _enclosed(self) -> list[SealedAttachment]:
        """Return the sender's attachments, then what the hub encloses itself: a report, the note of a correction, a page."""
        return [*self._attachments, *(each.attachment for each in self._own)]

    def _claims(self, submission: Submission, events: Sequence[Event], report: Report) -> dict[str, Any]:
        return receipt_of(
            submission,
            events,
            issuer=self._tools.base_url,
            route=self._route,
            destination=self._destination,
            kid=self._key.kid,
            validation=verdict(report, self._route.rule.on_invalid),
            external_reference=self._cover.external_reference,
            in_case=self._in_case,
            scan=None if self._screen is None else self._screen.claim(),
            content=self._content,
            clock=self._tools.system_clock.reading(),
        )


def _unfit_metadata(report: Report, schema: SchemaRef) -> ConfigurationError:
    places = ", ".join(violation.path for violation in report.violations[:_PLACES])
    return ConfigurationError(
        Text(
            f"Die Metadaten, die der Hub schreibt, verletzen ihr Schema an {places}. Prüfen Sie das Schema {schema.uri} im "
            "Katalog.",
            f"The metadata that the hub writes violate their schema at {places}. Check the schema {schema.uri} in the "
            "catalogue.",
        )
    )


class Intake:
    """Opens a reception for each application."""

    def __init__(self, tools: IntakeTools) -> None:
        self.tools = tools
        self._drawn: ClerkPages | None = None

    def _pages(self) -> ClerkPages:
        """Return who draws pages for clerks; what that takes is loaded where the first destination wants one."""
        if self._drawn is None:
            from hub.forms.clerk_pages import ClerkPages

            self._drawn = ClerkPages()
        return self._drawn

    def open(self, cover: Cover, *, now: datetime) -> Reception | Replay:
        """Admit one application and find who is responsible; a repeat is recognised first.

        Raises:
            StoreUnavailable: the disk is nearly full.
            NotFound: the case that it names is not the sender's. Invalid: another authority has that case.
            NoRoute: nobody, or more than one, is responsible.
            Forbidden: the sender is a vendor's software, and the authority did not delegate that to the vendor.
            KeyUnavailable: the responsible authority has no usable key.
        """
        return self._replay(cover) or self._reception(cover, now)

    def accept(self, application: Application, *, now: datetime) -> Future[Accepted]:
        """Open and accept in one go what lies in memory whole; errors as :meth:`open` and ``Reception.accept``.

        The store's own gate recognises a repeat, so a new application, which nearly all are, is spared the look-up. One
        that is refused may still be a repeat: then the earlier answer holds, whatever was refused now.
        """
        try:
            with self._reception(application.cover, now) as reception:
                return self._taken(reception, application, now)
        except HubError:
            replay = self._replay(application.cover)
            if replay is None:
                raise
            with replay:
                return self._taken(replay, application, now)

    def _taken(self, opened: Reception | Replay, application: Application, now: datetime) -> Future[Accepted]:
        opened.take(len(application.data))
        return opened.accept(application, now=now)

    def _replay(self, cover: Cover) -> Replay | None:
        if cover.idempotency_key is None:
            return None
        known = self.tools.store.submissions.remembered(cover.sender, cover.idempotency_key)
        return None if known is None else Replay(self.tools, cover, known)

    def _reception(self, cover: Cover, now: datetime) -> Reception:
        tools = self.tools
        tools.admission.require_disk()
        if cover.callback is not None:
            tools.outbound.require_url(cover.callback.url)
        desk = CaseDesk.of(tools.store, cover)
        # What is said in a case goes on though nobody may begin one any more.
        table, area = tools.table(), Area.from_ars(cover.area)
        if desk is None:
            route = table.route(area, cover.service, now, sender=cover.sender)
        else:
            route = table.responsible(area, cover.service, now)
        destination = self._destination(route, cover, now)
        if desk is not None:
            desk.require_destination(destination)
        require_delegation(tools.directory, cover.sender, destination, service=cover.service, now=now)
        key = tools.directory.encryption_key(destination, now=now)
        return Reception(tools, cover, route, destination, key, self._pages, desk)

    def content_salt(self, claims: Mapping[str, Any]) -> str | None:
        """Return what the sender needs beside a receipt to show what was received; None for receipts without such a proof."""
        return content_salt_of(self.tools.keys, claims)

    def check(
        self, data: bytes, *, media_type: MediaType, schema: str | None, service: str | None, now: datetime
    ) -> Report:
        """Validate only; nothing is stored."""
        catalog = self.tools.catalogs()
        return catalog.check(media_type=media_type, data=data, schema=schema, service=service, on=now.date())

    def _destination(self, route: Route, cover: Cover, now: datetime) -> Destination:
        destination = self.tools.directory.destination(route.destination_id, now=now)
        if destination is None or destination.status != "active":
            raise takes_nothing(route.destination_id)
        offers = any(canonical_service(offered.identifier) == cover.service for offered in destination.services)
        if not offers and not route.rule.is_catch_all:
            raise service_not_offered(destination, cover.service)
        return destination
