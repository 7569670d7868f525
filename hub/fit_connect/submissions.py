"""Announcing submissions and replies: the first step, which makes ids and, where needed, a case."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from hub.errors import Forbidden, Invalid, Text
from hub.fit_connect.limits import too_many_attachments
from hub.fit_connect.sending import SendingTools
from hub.identity.access import case_not_found, insist_on_sending, owns
from hub.identity.clients import Caller
from hub.model.events import EventKind, Subject
from hub.model.parties import Callback, Destination
from hub.model.submission import Door, Service, canonical_service, new_id
from hub.store import Announcement, Case, MakeEvents

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
        self._tools = tools

    def at_hand(self, wish: SubmissionWish, *, now: datetime) -> Destination | None:
        """Return the destination if :meth:`announce`, given it, looks nothing up: then it waits for its commit alone."""
        return self._tools.receivers.at_hand(wish.destination_id, now=now) if wish.case_id is None else None

    def announce(
        self, wish: SubmissionWish, *, caller: Caller, now: datetime, destination: Destination | None = None
    ) -> Future[Announcement]:
        """Announce a submission in a new or an existing case; the future resolves after the commit.

        ``destination`` is what :meth:`at_hand` returned, None to look it up.

        Raises:
            NotFound: no such destination, or no such case of the caller's with it.
            Forbidden: the token is bound to other regions or services.
            Invalid: the destination does not take submissions now (``destination-state-invalid``), or only by the plain door.
            TooLarge: too many attachments. StoreUnavailable: the disk is nearly full.
        """
        self._tools.admission.check_disk()
        destination = destination or self._tools.receivers.existing(wish.destination_id, now=now)
        # Without a region of its own a submission is for those of the destination.
        areas = _areas(destination) if wish.region is None else [wish.region]
        insist_on_sending(caller, service=wish.service.identifier, areas=areas)
        self._insist_on_open(destination)
        wanted = canonical_service(wish.service.identifier)
        if not any(canonical_service(offered.identifier) == wanted for offered in destination.services):
            # The sender's own library checks this; the real service lets it pass, and the receiver decides.
            _log.info("destination %s is sent a service that it does not offer", destination.destination_id)
        if wish.case_id is not None:
            self._insist_on_case(wish.case_id, wish.destination_id, caller)
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
            Invalid: the case has nobody who could receive it. TooLarge, StoreUnavailable: as :meth:`announce`.
        """
        self._tools.admission.check_disk()
        case = self._tools.store.case(wish.case_id)
        if case is None or case.tombstone is not None:
            raise case_not_found()
        destination = self._tools.receivers.existing(case.destination_id, now=now)
        message = Announcement(
            kind=Subject.REPLY,
            id=new_id(now),
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
        return self._announced_in_store(message, now)

    def _announced_in_store(self, message: Announcement, now: datetime) -> Future[Announcement]:
        stored = self._tools.store.announce(message, self._creating(message, now))
        stored.add_done_callback(self._remember)
        return stored

    def _remember(self, stored: Future[Announcement]) -> None:
        if stored.exception() is None:
            self._tools.recent.note(stored.result())

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
        self._tools.insist_on_jwe(destination)

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

    def _creating(self, message: Announcement, now: datetime) -> MakeEvents:
        event = self._tools.event(message.case_id, message.kind, message.id, EventKind.CREATE, now)
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
        raise Invalid(
            Text(
                "Die Behörde empfängt keine Antworten: Ihrem Zustellpunkt ist kein Client zugeordnet.",
                "The authority receives no replies: no client is linked to its destination.",
            ),
            slug="destination-state-invalid",
        )
    return destination.owner
