"""Submitting: sealed metadata and data complete a message, and its delivery begins."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from hub.crypto.jwe_scanner import JweScanner
from hub.errors import Invalid, SealBroken, Text
from hub.fit_connect.limits import Profile, too_large_together
from hub.fit_connect.sending import SendingTools, sealed_of
from hub.identity.access import own_message
from hub.identity.clients import Caller
from hub.model.events import Event, EventKind, Subject
from hub.model.parties import Destination
from hub.model.submission import INLINE_LIMIT, Contents, MediaType, Sealed, State
from hub.store import CaseHead, MakeCompletion, OutgoingCallback, Provisional, SpillingSink, StoredMessage

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

        Given it, it waits for nothing but its commit. Replies are not: who hears of one is looked up.
        """
        message = self._tools.recent.at_hand(message_id)
        if message is None or kind is not Subject.SUBMISSION or message.kind is not kind or size > _SMALL:
            return None
        destination = self._tools.receivers.at_hand(message.destination_id, now=now)
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
            NotFound, Forbidden: no such message of the caller's.
            SealBroken: a part is no JWE of the profile (``invalid-jwe-header``). TooLarge: over a limit, or the receiver's.
            Invalid: data are missing, or the destination takes what the plain door seals, and nothing else.
            In the future: Conflict (submitted already, with other parts), Invalid (attachments are missing), TooLarge
            (all parts together).
        """
        self._tools.admission.check_disk()
        message = own_message(looked.message if looked else self._tools.recent.find(message_id, kind), caller)
        destination = looked.destination if looked else self._tools.receivers.existing(message.destination_id, now=now)
        if kind is Subject.SUBMISSION and message.state is State.INCOMPLETE:
            # Its adapter may have changed since the announcement.
            self._tools.insist_on_jwe(destination, size=len(metadata) + len(data or ""))
        if data is None and profile.require_data:
            raise _no_data()
        contents = Provisional(self._tools.blobs)
        try:
            stored = self._tools.store.complete(
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
        return sealed_of(scanned, sink)

    def _insist_on_total(self, contents: Contents) -> None:
        if sum(sealed.size for _, sealed in contents.parts()) > self._tools.limits.total:
            raise too_large_together(self._tools.limits.total)

    def _news(self, message: StoredMessage, destination: Destination, now: datetime) -> list[OutgoingCallback]:
        if message.kind is Subject.REPLY:
            return self._tools.herald.replied(message, now=now)
        return self._tools.herald.submitted(
            submission_id=message.id, case_id=message.case_id, destination=destination, now=now
        )

    def _submitting(self, message: StoredMessage, now: datetime) -> MakeCompletion:
        def make(_head: CaseHead, contents: Contents) -> Sequence[Event]:
            self._insist_on_total(contents)
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
