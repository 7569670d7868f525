"""The author's side, for submissions and replies alike: announce, upload, submit (FIT-Connect, section 4.3)."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

from hub.admission import Admission
from hub.callbacks import Herald
from hub.clients import Caller
from hub.crypto.scanner import JweScanner, Scanned
from hub.errors import Conflict, Forbidden, Invalid, NotFound, SealBroken, Text
from hub.events import Event, EventKind, Subject
from hub.exchange.access import (
    case_not_found,
    existing_destination,
    insist_on_sending,
    own_message,
    owns,
)
from hub.exchange.limits import ExchangeLimits, Profile, too_large_together, too_many_attachments
from hub.parties import Callback, Destination
from hub.store import (
    Announcement,
    Blobs,
    Case,
    CaseHead,
    MakeCompletion,
    MakeEvents,
    OutgoingCallback,
    SpillingSink,
    Store,
    StoredMessage,
)
from hub.submission import Contents, Door, MediaType, Sealed, Service, State

_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True)
class SubmissionWish:
    """What a sender announces. ``region`` is an ARS without ``DE``; ``callback`` holds a sealed secret."""

    destination_id: UUID
    service: Service
    announced: tuple[UUID, ...]
    region: str | None = None
    case_id: UUID | None = None
    callback: Callback | None = field(repr=False, default=None)


@dataclass(frozen=True, kw_only=True, slots=True)
class ReplyWish:
    """What the author of a reply announces."""

    case_id: UUID
    announced: tuple[UUID, ...]
    callback: Callback | None = field(repr=False, default=None)


@dataclass(frozen=True, kw_only=True, slots=True)
class SendingTools:
    """What sending works with."""

    store: Store
    blobs: Blobs
    herald: Herald
    admission: Admission
    base_url: str
    limits: ExchangeLimits = field(default_factory=ExchangeLimits)
    #: Whether a destination's adapter needs the plaintext sealed in another form, which only the plain door can give.
    wants_plaintext: Callable[[Destination], bool] = lambda _: False


class Upload:
    """One attachment on its way in: ciphertext, split, judged and stored as it streams by."""

    def __init__(self, sink: SpillingSink, scanner: JweScanner, keep: Callable[[Scanned, SpillingSink], None]) -> None:
        self._sink = sink
        self._scanner = scanner
        self._keep = keep

    def write(self, chunk: bytes) -> None:
        """Take the next piece.

        Raises:
            TooLarge: over the limit. SealBroken: no JWE of the profile. StoreUnavailable: no room.
        """
        self._scanner.feed(chunk)
        self._sink.write(chunk)

    def finish(self) -> None:
        """Judge the end and store; errors as :meth:`write`, and Conflict where the message was submitted meanwhile."""
        try:
            scanned = self._scanner.finish()
        except SealBroken:
            self.abort()
            raise
        self._keep(scanned, self._sink)

    def abort(self) -> None:
        """Leave no trace."""
        self._sink.abort()


class Sending:
    """Takes announcements, attachments and submissions."""

    def __init__(self, tools: SendingTools) -> None:
        self._tools = tools

    def announce(self, wish: SubmissionWish, *, caller: Caller, now: datetime) -> Announcement:
        """Announce a submission in a new or an existing case.

        Raises:
            NotFound: no such destination, or no such case of the caller's with it.
            Forbidden: the token is bound to other regions or services.
            Invalid: the destination does not take submissions now (``destination-state-invalid``), or only by the plain door.
            TooLarge: too many attachments. StoreUnavailable: the disk is nearly full.
        """
        self._tools.admission.check_disk()
        destination = existing_destination(self._tools.store, wish.destination_id)
        insist_on_sending(caller, service=wish.service.identifier, area=wish.region)
        self._insist_on_open(destination)
        if not any(offered.identifier == wish.service.identifier for offered in destination.services):
            # The sender's own library checks this; the real service lets it pass, and the receiver decides.
            _log.info("destination %s is sent a service that it does not offer", destination.destination_id)
        if wish.case_id is not None:
            self._insist_on_case(wish.case_id, wish.destination_id, caller)
        message = Announcement(
            kind=Subject.SUBMISSION,
            id=uuid4(),
            case_id=wish.case_id or uuid4(),
            new_case=wish.case_id is None,
            destination_id=wish.destination_id,
            sender=caller.client_id,
            door=Door.SEALED,
            service=wish.service,
            announced=self._announced(wish.announced),
            created_at=now,
            area=wish.region,
            callback=wish.callback,
        )
        self._tools.store.announce(message, self._creating(message, now))
        return message

    def announce_reply(self, wish: ReplyWish, *, caller: Caller, now: datetime) -> Announcement:
        """Announce a reply to the other party of a case.

        Raises:
            NotFound: no such case. Forbidden: the caller is no party of it.
            Invalid: the case has nobody who could receive it. TooLarge, StoreUnavailable: as :meth:`announce`.
        """
        self._tools.admission.check_disk()
        case = self._tools.store.case(wish.case_id)
        if case is None or case.tombstone is not None:
            raise case_not_found()
        destination = existing_destination(self._tools.store, case.destination_id)
        message = Announcement(
            kind=Subject.REPLY,
            id=uuid4(),
            case_id=case.case_id,
            new_case=False,
            destination_id=case.destination_id,
            sender=caller.client_id,
            addressee=_other_party(case, destination, caller),
            door=Door.SEALED,
            service=Service(identifier=""),
            announced=self._announced(wish.announced),
            created_at=now,
            callback=wish.callback,
        )
        self._tools.store.announce(message, self._creating(message, now))
        return message

    def upload(
        self,
        kind: Subject,
        message_id: UUID,
        attachment_id: UUID,
        *,
        declared: int | None,
        caller: Caller,
        profile: Profile,
    ) -> Upload:
        """Begin an upload of ``declared`` bytes, if the client said how many; a later one replaces an earlier.

        Raises:
            NotFound, Forbidden: no such message of the caller's. Conflict: it is submitted already.
            Invalid: not announced (``attachment-not-announced``). TooLarge: over a limit, by what was declared.
            StoreUnavailable: the disk is nearly full.
        """
        self._tools.admission.check_disk()
        message = self._open_message(kind, message_id, caller)
        if attachment_id not in message.announced:
            raise Invalid(
                Text(
                    "Diese Anlage wurde nicht angekündigt. Nennen Sie alle in announcedAttachments.",
                    "This attachment was not announced. Name all of them in announcedAttachments.",
                ),
                slug="attachment-not-announced",
            )
        limit = self._room(message, attachment_id)
        if declared is not None and declared > limit:
            raise too_large_together(limit)
        scanner = JweScanner(
            allow_zip=profile.allow_zip, require_cty=False, require_kid=profile.require_kid, limit=limit
        )

        def keep(scanned: Scanned, sink: SpillingSink) -> None:
            sealed = _sealed(scanned, sink)
            replaced = self._keep(message_id, attachment_id, sealed)
            if replaced is not None:
                self._tools.blobs.delete(replaced)

        return Upload(SpillingSink(self._tools.blobs), scanner, keep)

    def submit(
        self,
        kind: Subject,
        message_id: UUID,
        *,
        metadata: str,
        data: str | None,
        caller: Caller,
        profile: Profile,
        now: datetime,
    ) -> tuple[StoredMessage, Future[bool]]:
        """Complete a message with its sealed metadata and data; the future resolves after the commit.

        The very same parts once more are answered as the first time; the future then holds False.

        Raises:
            NotFound, Forbidden: no such message of the caller's.
            SealBroken: a part is no JWE of the profile (``invalid-jwe-header``). TooLarge: over a limit.
            Invalid: data are missing, or the destination does not take submissions any more.
            In the future: Conflict (submitted already, with other parts), Invalid (attachments are missing).
        """
        self._tools.admission.check_disk()
        message = own_message(self._tools.store.message(message_id, kind), caller)
        destination = existing_destination(self._tools.store, message.destination_id)
        if data is None and profile.require_data:
            raise _no_data()
        parts: list[Sealed] = []
        try:
            parts.append(self._part(metadata, profile, {MediaType.JSON}))
            if data is not None:
                parts.append(self._part(data, profile, set(MediaType)))
            self._insist_on_total(message, parts)
        except (SealBroken, Invalid):
            self._drop(parts)
            raise
        stored = self._tools.store.complete(
            message_id,
            metadata=parts[0],
            data=parts[1] if data is not None else None,
            make=self._submitting(message, now),
            first_attempt_at=now if kind is Subject.SUBMISSION else None,
            callbacks=self._news(message, destination, now),
        )
        stored.add_done_callback(lambda done: self._settle(done, parts))
        return message, stored

    def _announced(self, ids: Sequence[UUID]) -> tuple[UUID, ...]:
        """Return each id once: a public client announces one id for all of its attachments."""
        distinct = tuple(dict.fromkeys(ids))
        if len(distinct) > self._tools.limits.attachments:
            raise too_many_attachments(self._tools.limits.attachments)
        return distinct

    def _insist_on_open(self, destination: Destination) -> None:
        if destination.status != "active":
            raise Invalid(
                Text(
                    "Der Zustellpunkt nimmt zurzeit keine Einreichungen an. Fragen Sie die Behörde, die ihn betreibt.",
                    "The destination does not take submissions at present. Ask the authority that runs it.",
                ),
                slug="destination-state-invalid",
            )
        if self._tools.wants_plaintext(destination):
            raise Invalid(
                Text(
                    "Dieser Zustellpunkt braucht eine andere Verschlüsselung (CMS). Senden Sie über /hub/v1/applications.",
                    "This destination needs another encryption (CMS). Send by /hub/v1/applications.",
                ),
                slug="destination-needs-plain-door",
            )

    def _insist_on_case(self, case_id: UUID, destination_id: UUID, caller: Caller) -> None:
        case = self._tools.store.case(case_id)
        known = case is not None and case.tombstone is None
        if case is None or not known or case.destination_id != destination_id:
            raise case_not_found()
        if case.sender != caller.client_id:
            raise Forbidden(
                Text(
                    "Dieser Vorgang gehört einem anderen Client. Lassen Sie caseId weg, um einen neuen zu beginnen.",
                    "This case belongs to another client. Leave caseId out to begin a new one.",
                )
            )

    def _open_message(self, kind: Subject, message_id: UUID, caller: Caller) -> StoredMessage:
        message = own_message(self._tools.store.message(message_id, kind), caller)
        if message.state is not State.INCOMPLETE:
            raise Conflict(
                Text(
                    "Die Einreichung ist schon abgeschlossen und nimmt nichts mehr auf. Kündigen Sie eine neue an.",
                    "The submission is complete already and takes nothing more. Announce a new one.",
                ),
                slug="invalid-state-transition",
            )
        return message

    def _room(self, message: StoredMessage, attachment_id: UUID) -> int:
        others = sum(sealed.size for key, sealed in message.uploaded.items() if key != attachment_id)
        room = min(self._tools.limits.attachment, self._tools.limits.total - others)
        if room <= 0:
            raise too_large_together(self._tools.limits.total)
        return room

    def _keep(self, message_id: UUID, attachment_id: UUID, sealed: Sealed) -> str | None:
        try:
            return self._tools.store.put_attachment(message_id, attachment_id, sealed)
        except (Conflict, Invalid, NotFound):
            self._drop([sealed])
            raise

    def _part(self, jwe: str, profile: Profile, media_types: set[MediaType]) -> Sealed:
        scanner = JweScanner(
            allow_zip=profile.allow_zip,
            require_cty=profile.require_cty,
            require_kid=profile.require_kid,
            limit=self._tools.limits.inline,
        )
        sink = SpillingSink(self._tools.blobs)
        try:
            content = jwe.encode("ascii")
            scanner.feed(content)
            scanned = scanner.finish()
            if profile.require_cty and scanned.header.cty not in media_types:
                raise _bad_cty(media_types)
        except UnicodeEncodeError as exc:
            raise _no_jwe() from exc
        except SealBroken as exc:
            raise SealBroken(exc.detail, slug="invalid-jwe-header", **exc.members) from exc
        sink.write(content)
        return _sealed(scanned, sink)

    def _insist_on_total(self, message: StoredMessage, parts: Sequence[Sealed]) -> None:
        total = sum(sealed.size for sealed in (*message.uploaded.values(), *parts))
        if message.state is State.INCOMPLETE and total > self._tools.limits.total:
            self._drop(parts)
            raise too_large_together(self._tools.limits.total)

    def _news(self, message: StoredMessage, destination: Destination, now: datetime) -> list[OutgoingCallback]:
        if message.kind is Subject.REPLY:
            return self._tools.herald.replied(message, now=now)
        return self._tools.herald.submitted(
            submission_id=message.id, case_id=message.case_id, destination=destination, now=now
        )

    def _creating(self, message: Announcement, now: datetime) -> MakeEvents:
        event = self._event(message.case_id, message.kind, message.id, EventKind.CREATE, now)
        return lambda _head, _state: (event,)

    def _submitting(self, message: StoredMessage, now: datetime) -> MakeCompletion:
        jti = uuid4()

        def make(_head: CaseHead, contents: Contents) -> Sequence[Event]:
            return (
                self._event(
                    message.case_id,
                    message.kind,
                    message.id,
                    EventKind.SUBMIT,
                    now,
                    jti=jti,
                    payload={"authenticationTags": contents.authentication_tags()},
                    digests={part: sealed.sha512 for part, sealed in contents.parts()},
                ),
            )

        return make

    def _event(
        self,
        case_id: UUID,
        subject: Subject,
        subject_id: UUID,
        kind: EventKind,
        now: datetime,
        *,
        jti: UUID | None = None,
        payload: Mapping[str, Any] | None = None,
        digests: Mapping[str, str] | None = None,
    ) -> Event:
        return Event(
            case_id=case_id,
            seq=0,
            jti=jti or uuid4(),
            subject=subject,
            subject_id=subject_id,
            kind=kind,
            issuer=self._tools.base_url,
            by_hub=True,
            issued_at=now,
            payload=payload or {},
            digests=digests or {},
        )

    def _settle(self, done: Future[bool], parts: Sequence[Sealed]) -> None:
        """Drop parts that no row refers to: a repeat of what was submitted before, or a refusal."""
        error = done.exception()
        repeated = error is None and not done.result()
        if repeated or isinstance(error, Conflict | Invalid | NotFound):
            self._drop(parts)

    def _drop(self, parts: Sequence[Sealed]) -> None:
        for sealed in parts:
            if sealed.blob is not None:
                self._tools.blobs.delete(sealed.blob)


def _other_party(case: Case, destination: Destination, caller: Caller) -> str:
    if owns(caller, destination):
        return case.sender
    if case.sender != caller.client_id:
        raise Forbidden(
            Text(
                "Antworten schreiben nur die Beteiligten eines Vorgangs.",
                "Only the parties of a case write replies.",
            )
        )
    if destination.owner is None:
        raise Invalid(
            Text(
                "Die Behörde empfängt keine Antworten: Ihrem Zustellpunkt ist kein Client zugeordnet.",
                "The authority receives no replies: no client is linked to its destination.",
            ),
            slug="destination-state-invalid",
        )
    return destination.owner


def _sealed(scanned: Scanned, sink: SpillingSink) -> Sealed:
    jwe, blob = sink.finish()
    return Sealed(tag=scanned.tag, sha512=scanned.sha512, size=scanned.size, jwe=jwe, blob=blob)


def _no_data() -> Invalid:
    return Invalid(
        Text(
            "encryptedData fehlt. Version 2 verlangt Metadaten und Daten.",
            "encryptedData is missing. Version 2 requires metadata and data.",
        ),
        slug="data-missing",
    )


def _no_jwe() -> SealBroken:
    return SealBroken(
        Text(
            "Der Inhalt ist keine JWE: Er enthält fremde Zeichen.",
            "The content is no JWE: it holds foreign characters.",
        ),
        slug="invalid-jwe-header",
    )


def _bad_cty(media_types: set[MediaType]) -> SealBroken:
    allowed = ", ".join(sorted(media_types))
    return SealBroken(
        Text(
            f"Die Angabe „cty“ im JWE-Header muss hier {allowed} sein.",
            f'Member "cty" of the JWE header must be {allowed} here.',
        ),
        member="cty",
    )
