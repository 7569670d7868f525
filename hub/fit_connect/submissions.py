"""Submissions and replies on their way in: announced, uploaded, submitted.

Announcing submissions and replies: the first step, which makes ids and, where needed, a case.

Submitting: sealed metadata and data complete a message, and its delivery begins.

Uploading attachments: ciphertext is split, judged and stored while it streams by.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from hub.admission import usable_cores
from hub.crypto import JweScanner
from hub.errors import (
    Forbidden,
    Invalid,
    SealBroken,
    Text,
    already_submitted,
    attachment_not_announced,
    case_goes_on,
    destination_state,
    not_found,
)
from hub.fit_connect.messages import Profile, SendingTools, sealed_of, too_large_together, too_many_attachments
from hub.identity import Caller, own_message, owns, require_delegation, require_sending
from hub.model import (
    INLINE_LIMIT,
    Callback,
    Contents,
    Destination,
    Door,
    Event,
    EventKind,
    MediaType,
    Sealed,
    Service,
    State,
    Subject,
    canonical_service,
    new_id,
)
from hub.store import (
    Announcement,
    Case,
    CaseHead,
    MakeCompletion,
    MakeEvents,
    OutgoingCallback,
    Provisional,
    SpillingSink,
    StoredMessage,
)

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


class Announcing:
    """Takes announcements."""

    def __init__(self, tools: SendingTools) -> None:
        self.tools = tools

    def at_hand(self, wish: SubmissionWish, *, caller: Caller, now: datetime) -> Destination | None:
        """Return the destination if :meth:`announce`, given it, looks nothing up: then it waits for its commit alone.

        So it does for who is no vendor's client: for whom a vendor may act is looked up.
        """
        receivers = self.tools.receivers
        soon = wish.case_id is None and receivers.is_nobodys_software(caller.client_id, now=now)
        return receivers.at_hand(wish.destination_id, now=now) if soon else None

    def announce(
        self, wish: SubmissionWish, *, caller: Caller, now: datetime, destination: Destination | None = None
    ) -> Future[Announcement]:
        """Announce a submission in a new or an existing case; the future resolves after the commit.

        ``destination`` is what :meth:`at_hand` returned, None to look it up.

        Raises:
            NotFound: no such destination, or no such case of the caller's with it.
            Forbidden: the token is bound to other regions or services, or the client is software of a vendor who may not act
                for the destination.
            Invalid: the case was handed on (``case-goes-on``), or the destination does not take submissions now
                (``destination-state-invalid``), or only by the plain door.
            TooLarge: too many attachments. StoreUnavailable: the disk is nearly full.
        """
        self.tools.hub.admission.require_disk()
        nobodys = destination is not None
        destination = destination or self.tools.receivers.existing(wish.destination_id, now=now)
        # Without a region of its own a submission is for those of the destination.
        areas = _areas(destination) if wish.region is None else [wish.region]
        require_sending(caller, service=wish.service.identifier, areas=areas)
        wanted = canonical_service(wish.service.identifier)
        if not nobodys:
            require_delegation(self.tools.hub.directory, caller.client_id, destination, service=wanted, now=now)
        self._require_open(destination)
        if not any(canonical_service(offered.identifier) == wanted for offered in destination.services):
            # The sender's own library checks this; the real service lets it pass, and the receiver decides.
            _log.info("destination %s is sent a service that it does not offer", destination.destination_id)
        if wish.case_id is not None:
            self._require_case(wish.case_id, wish.destination_id, caller)
        message = Announcement(
            kind=Subject.SUBMISSION,
            id=new_id(now),
            case_id=wish.case_id or new_id(now),
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
        return self._announced_in_store(message, now)

    def announce_reply(self, wish: ReplyWish, *, caller: Caller, now: datetime) -> Future[Announcement]:
        """Announce a reply to the other party of a case; the future resolves after the commit.

        Raises:
            NotFound: no such case. Forbidden: the caller is no party of it.
            Invalid: the case has nobody who could receive it, or it was handed on and the caller is its sender.
            TooLarge, StoreUnavailable: as :meth:`announce`.
        """
        self.tools.hub.admission.require_disk()
        case = self.tools.hub.store.submissions.case(wish.case_id)
        if case is None or case.tombstone is not None:
            raise not_found("case-not-found")
        destination = self.tools.receivers.existing(case.destination_id, now=now)
        addressee = _other_party(case, destination, caller)
        require_delegation(self.tools.hub.directory, caller.client_id, destination, service="", now=now)
        if addressee != case.sender:
            self._require_kept(case.case_id)
        message = Announcement(
            kind=Subject.REPLY,
            id=new_id(now),
            case_id=case.case_id,
            new_case=False,
            destination_id=case.destination_id,
            sender=caller.client_id,
            addressee=addressee,
            door=Door.SEALED,
            service=Service(identifier=""),
            announced=self._announced(wish.announced),
            created_at=now,
            callback=wish.callback,
        )
        return self._announced_in_store(message, now)

    def _announced_in_store(self, message: Announcement, now: datetime) -> Future[Announcement]:
        stored = self.tools.hub.store.submissions.announce(message, self._creating(message, now))
        stored.add_done_callback(self._remember)
        return stored

    def _remember(self, stored: Future[Announcement]) -> None:
        if stored.exception() is None:
            self.tools.recent.note(stored.result())

    def _announced(self, ids: Sequence[UUID]) -> tuple[UUID, ...]:
        """Return each id once: a public client announces one id for all of its attachments."""
        distinct = tuple(dict.fromkeys(ids))
        if len(distinct) > self.tools.limits.attachments:
            raise too_many_attachments(self.tools.limits.attachments)
        return distinct

    def _require_open(self, destination: Destination) -> None:
        if destination.status != "active":
            raise destination_state(
                Invalid,
                Text(
                    "Er nimmt zurzeit keine Einreichungen an. Fragen Sie die Behörde, die ihn betreibt.",
                    "It does not take submissions at present. Ask the authority that runs it.",
                ),
            )
        self.tools.require_jwe(destination)

    def _require_case(self, case_id: UUID, destination_id: UUID, caller: Caller) -> None:
        case = self.tools.hub.store.submissions.case(case_id)
        known = case is not None and case.tombstone is None
        if case is None or not known or case.destination_id != destination_id:
            raise not_found("case-not-found")
        if case.sender != caller.client_id:
            raise Forbidden(
                Text(
                    "Dieser Vorgang gehört einem anderen Client. Lassen Sie caseId weg, um einen neuen zu beginnen.",
                    "This case belongs to another client. Leave caseId out to begin a new one.",
                )
            )
        self._require_kept(case_id)

    def _require_kept(self, case_id: UUID) -> None:
        """Refuse what a sender says in a case that was handed on: whoever had it looks there no more."""
        gone = self.tools.hub.store.forwardings.gone_to(case_id)
        if gone is not None:
            raise case_goes_on(gone.case_id)

    def _creating(self, message: Announcement, now: datetime) -> MakeEvents:
        event = self.tools.event(message.case_id, message.kind, message.id, EventKind.CREATE, now)
        return lambda _head, _state: (event,)


def _areas(destination: Destination) -> list[str]:
    """Return the areas of a destination, as ARS or the beginning of one."""
    return [region.removeprefix("DE") for offered in destination.services for region in offered.regions]


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
        raise destination_state(
            Invalid,
            Text(
                "Ihm ist kein Client zugeordnet, der Antworten empfängt. Fragen Sie die Behörde, die ihn betreibt.",
                "No client that receives replies is linked to it. Ask the authority that runs it.",
            ),
        )
    return destination.owner


#: Bytes of a body that are parsed and scanned in the time that a change of thread takes; none of its parts spills into a blob.
_SMALL = INLINE_LIMIT


@dataclass(frozen=True, kw_only=True, slots=True)
class Looked:
    """What was looked up of a message for one submit, at one moment."""

    message: StoredMessage
    destination: Destination


class Submitting:
    """Completes messages."""

    def __init__(self, tools: SendingTools) -> None:
        self._tools = tools

    def at_hand(
        self, message_id: UUID, size: int, *, now: datetime, kind: Subject = Subject.SUBMISSION
    ) -> Looked | None:
        """Return what :meth:`submit` of a body of ``size`` bytes looks up, if it is at hand and the rest soon done.

        Given it, it waits for nothing but its commit. Replies are not: who hears of one is looked up; nor is what a vendor's
        client sends.
        """
        message = self._tools.recent.at_hand(message_id)
        if message is None or kind is not Subject.SUBMISSION or message.kind is not kind or size > _SMALL:
            return None
        receivers = self._tools.receivers
        soon = receivers.is_nobodys_software(message.sender, now=now)
        destination = receivers.at_hand(message.destination_id, now=now) if soon else None
        return None if destination is None else Looked(message=message, destination=destination)

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
        looked: Looked | None = None,
    ) -> Future[StoredMessage]:
        """Complete a message with its sealed metadata and data; the future holds it, as announced, after the commit.

        The very same parts once more are answered as the first time. ``looked`` is what :meth:`at_hand` returned.

        Raises:
            NotFound, Forbidden: no such message of the caller's, or a vendor's software that may not act there any more.
            SealBroken: a part is no JWE of the profile (``invalid-jwe-header``). TooLarge: over a limit, or the receiver's.
            Invalid: data are missing, or the destination takes what the plain door seals, and nothing else.
            In the future: Conflict (submitted already, with other parts), Invalid (attachments are missing), TooLarge
            (all parts together).
        """
        self._tools.hub.admission.require_disk()
        message = own_message(looked.message if looked else self._tools.recent.find(message_id, kind), caller)
        destination = looked.destination if looked else self._tools.receivers.existing(message.destination_id, now=now)
        if message.state is State.INCOMPLETE and looked is None:
            # It may have been withdrawn since the announcement.
            service = canonical_service(message.service.identifier)
            require_delegation(self._tools.hub.directory, caller.client_id, destination, service=service, now=now)
        if kind is Subject.SUBMISSION and message.state is State.INCOMPLETE:
            # Its adapter may have changed since the announcement.
            self._tools.require_jwe(destination, size=len(metadata) + len(data or ""))
        if data is None and profile.require_data:
            raise _no_data()
        contents = Provisional(self._tools.hub.blobs)
        try:
            stored = self._tools.hub.store.submissions.complete(
                message_id,
                metadata=self._part(metadata, profile, {MediaType.JSON}, contents),
                data=None if data is None else self._part(data, profile, set(MediaType), contents),
                make=self._submitting(message, now),
                first_attempt_at=now if kind is Subject.SUBMISSION else None,
                callbacks=self._news(message, destination, now),
            )
        except BaseException:
            contents.give_up()
            raise
        stored.add_done_callback(lambda _: self._tools.recent.forget(message.id))
        # Parts that no row refers to are given up: a repeat of what was submitted before, or a refusal.
        return contents.follow(stored, lambda _: message, repeated=lambda first: not first)

    def _part(self, jwe: str, profile: Profile, media_types: set[MediaType], contents: Provisional) -> Sealed:
        scanner = JweScanner(
            allow_zip=profile.allow_zip,
            require_cty=profile.require_cty,
            require_kid=profile.require_kid,
            limit=self._tools.limits.inline,
        )
        sink = SpillingSink(contents)
        try:
            content = _ascii(jwe)
            scanner.feed(content)
            scanned = scanner.finish()
            if profile.require_cty and scanned.header.cty not in media_types:
                raise _bad_cty(media_types)
        except SealBroken as exc:
            raise SealBroken(exc.detail, slug="invalid-jwe-header", **exc.members) from exc
        sink.write(content)
        return sealed_of(scanned, sink)

    def _require_total(self, contents: Contents) -> None:
        if sum(sealed.size for _, sealed in contents.parts()) > self._tools.limits.total:
            raise too_large_together(self._tools.limits.total)

    def _news(self, message: StoredMessage, destination: Destination, now: datetime) -> list[OutgoingCallback]:
        if message.kind is Subject.REPLY:
            return self._tools.hub.callback_writer.replied(message, destination=destination, now=now)
        return self._tools.hub.callback_writer.submitted(
            submission_id=message.id, case_id=message.case_id, destination=destination, now=now
        )

    def _submitting(self, message: StoredMessage, now: datetime) -> MakeCompletion:
        def make(_head: CaseHead, contents: Contents) -> Sequence[Event]:
            self._require_total(contents)
            return (
                self._tools.event(
                    message.case_id,
                    message.kind,
                    message.id,
                    EventKind.SUBMIT,
                    now,
                    payload={"authenticationTags": contents.authentication_tags()},
                    digests={part: sealed.sha512 for part, sealed in contents.parts()},
                ),
            )

        return make


def _no_data() -> Invalid:
    return Invalid(
        Text(
            "encryptedData fehlt. Version 2 verlangt Metadaten und Daten.",
            "encryptedData is missing. Version 2 requires metadata and data.",
        ),
        slug="data-missing",
    )


def _ascii(jwe: str) -> bytes:
    try:
        return jwe.encode("ascii")
    except UnicodeEncodeError as exc:
        raise SealBroken(
            Text(
                "Der Inhalt ist keine JWE: Er enthält fremde Zeichen.",
                "The content is no JWE: it holds foreign characters.",
            )
        ) from exc


def _bad_cty(media_types: set[MediaType]) -> SealBroken:
    allowed = ", ".join(sorted(media_types))
    return SealBroken(
        Text(
            f"Die Angabe „cty“ im JWE-Header muss hier {allowed} sein.",
            f'Member "cty" of the JWE header must be {allowed} here.',
        ),
        member="cty",
    )


class AttachmentUpload:
    """One attachment on its way in: ciphertext, split, judged and stored as it streams by."""

    def __init__(self, contents: Provisional, scanner: JweScanner, store: Callable[[Sealed], None]) -> None:
        self._contents = contents
        self._sink = SpillingSink(contents)
        self._scanner = scanner
        self._store = store

    def write(self, chunk: bytes) -> None:
        """Take the next piece.

        Raises:
            TooLarge: over the limit. SealBroken: no JWE of the profile. StoreUnavailable: no room.
        """
        self._scanner.feed(chunk)
        self._sink.write(chunk)

    def finish(self) -> None:
        """Judge the end and store; errors as :meth:`write`, and Conflict where the message was submitted meanwhile."""
        sealed = sealed_of(self._scanner.finish(), self._sink)
        # From here on a request that is cancelled changes nothing: what the commit comes to says what stays.
        self._contents.own()
        try:
            self._store(sealed)
        except BaseException as error:
            self._contents.judge(error)
            raise
        self._contents.keep()

    def abort(self) -> None:
        """Leave no trace of what was not finished, at once and without waiting: may be called at any time, in any thread."""
        self._contents.abandon()


class Uploading:
    """Begins uploads. Large ones are hashed by a pool of as many threads as there are cores to use."""

    def __init__(self, tools: SendingTools) -> None:
        self._tools = tools
        self._hashing = ThreadPoolExecutor(usable_cores(), thread_name_prefix="hashing")

    def begin(
        self,
        kind: Subject,
        message_id: UUID,
        attachment_id: UUID,
        *,
        declared: int | None,
        caller: Caller,
        profile: Profile,
    ) -> AttachmentUpload:
        """Begin an upload of ``declared`` bytes, if the client said how many; a later one replaces an earlier.

        Raises:
            NotFound, Forbidden: no such message of the caller's. Conflict: it is submitted already.
            Invalid: not announced (``attachment-not-announced``). TooLarge: over a limit, by what was declared.
            StoreUnavailable: the disk is nearly full.
        """
        self._tools.hub.admission.require_disk()
        message = self._open_message(kind, message_id, caller)
        if attachment_id not in message.announced:
            raise attachment_not_announced(attachment_id)
        limit = self._room(message, attachment_id)
        if declared is not None and declared > limit:
            raise too_large_together(limit)
        scanner = JweScanner(
            allow_zip=profile.allow_zip,
            require_cty=False,
            require_kid=profile.require_kid,
            limit=limit,
            pool=self._hashing,
        )

        def store(sealed: Sealed) -> None:
            replaced = self._tools.hub.store.submissions.put_attachment(message_id, attachment_id, sealed)
            if replaced is not None:
                self._tools.hub.blobs.discard(replaced)

        return AttachmentUpload(Provisional(self._tools.hub.blobs), scanner, store)

    def _open_message(self, kind: Subject, message_id: UUID, caller: Caller) -> StoredMessage:
        message = own_message(self._tools.hub.store.submissions.message(message_id, kind), caller)
        if message.state is not State.INCOMPLETE:
            raise already_submitted()
        return message

    def _room(self, message: StoredMessage, attachment_id: UUID) -> int:
        others = sum(sealed.size for key, sealed in message.uploaded.items() if key != attachment_id)
        room = min(self._tools.limits.attachment, self._tools.limits.total - others)
        if room <= 0:
            raise too_large_together(self._tools.limits.total)
        return room
