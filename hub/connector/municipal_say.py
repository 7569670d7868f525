"""What a connector has besides its walk where people or the local system decide: the book, the desk, and the ways to them.

Put together of the settings: the page for clerks, the loopback interface and the outbox are opened only where they are wanted,
and what they need is loaded only then.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Protocol, Self
from uuid import UUID

from hub.client.fit_connect import Subscriber
from hub.client.forwarding import Forwarder
from hub.connector.access import public_session
from hub.connector.ai_steps import AiStepBook
from hub.connector.arriving import Arriving
from hub.connector.casebook import CaseBook
from hub.connector.deadlines import CaseDeadlines
from hub.connector.declarations import Decider
from hub.connector.desk import Desk, reply_key_of
from hub.connector.envelope import Envelopes
from hub.connector.forwards import ForwardBook
from hub.connector.handing_on import HandingOn
from hub.connector.journal import Entry, Journal
from hub.connector.opening import Keys, OpenedSubmission
from hub.connector.outbox import Outbox
from hub.connector.replies import SealedReplies
from hub.connector.sending import ReplySending
from hub.connector.settings import ConnectorSettings, FolderHandover
from hub.crypto import KeyPolicy
from hub.supervision import Supervisor

#: How long closed cases are kept where no page for clerks says otherwise.
_KEPT = timedelta(days=90)


class Closing(Protocol):
    """A service in threads of its own."""

    def close(self) -> None:
        """Stop it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class MunicipalSay:
    """The parts. ``gather`` and ``send`` are the walk's; the desk is for everybody."""

    settings: ConnectorSettings
    journal: Journal
    book: CaseBook
    sealed: SealedReplies
    envelopes: Envelopes
    desk: Desk
    sending: ReplySending
    steps: AiStepBook
    handing_on: HandingOn
    outbox: Outbox | None
    arriving: Arriving
    deadlines: CaseDeadlines

    @classmethod
    def of(
        cls,
        settings: ConnectorSettings,
        *,
        journal: Journal,
        envelopes: Envelopes,
        keys: Mapping[UUID, Keys],
        hub: Subscriber,
        door: Forwarder,
        receipt_keys: Callable[[str], Mapping[str, Any]],
        reopen: Callable[[Entry], OpenedSubmission],
        drawn: Callable[[OpenedSubmission], bytes | None],
        wake: Callable[[], None],
        clock: Callable[[], datetime],
    ) -> Self:
        """Open the book and what belongs to it; what no book knows of replies is leftovers of a crash, and goes."""
        book, forwards = CaseBook(journal), ForwardBook(journal)
        deadlines = CaseDeadlines(journal, public_session(settings.hub))
        sealed = SealedReplies(settings.journal.with_suffix(".replies"))
        sealed.sweep(book.reply_ids())
        steps = AiStepBook(journal, keys=keys, door=door)
        desk = Desk(
            journal=journal,
            book=book,
            steps=steps,
            sealed=sealed,
            keys=keys,
            reopen=reopen,
            drawn=drawn,
            wake=wake,
            decider=settings.decider,
            hands_over=settings.handover is not None,
            largest_reply=settings.largest_reply,
            clock=clock,
            forwards=forwards,
            deadlines=deadlines,
            door=door,
            two_for_forwards=settings.two_for_forwards,
        )
        handing_on = HandingOn(
            journal=journal,
            book=book,
            forwards=forwards,
            sealed=sealed,
            keys=keys,
            hub=hub,
            door=door,
            reopen=reopen,
            policy=KeyPolicy.from_files(settings.forward_anchors, allow_self_signed=False)
            if settings.forward_anchors
            else None,
        )
        sending = ReplySending(book, sealed, hub, keeps=settings.decider is Decider.CLERK)
        way = settings.handover
        place = way.outbox if isinstance(way, FolderHandover) and settings.decider is Decider.SYSTEM else None
        return cls(
            settings=settings,
            journal=journal,
            book=book,
            sealed=sealed,
            envelopes=envelopes,
            desk=desk,
            sending=sending,
            steps=steps,
            handing_on=handing_on,
            arriving=Arriving(forwards, door, receipt_keys),
            deadlines=deadlines,
            outbox=None if place is None else Outbox(place, desk),
        )

    def services(self, supervisor: Supervisor) -> list[Closing]:
        """Open the ways in that the settings name, whose loops ``supervisor`` keeps up.

        Raises:
            ConfigurationError: an address, a file or a folder cannot be used.
        """
        services: list[Any] = []
        if self.settings.decider is Decider.SYSTEM and self.settings.local is not None:
            from hub.connector.local_api import LocalApi

            services.append(LocalApi(self.settings.local, self.desk, supervisor=supervisor))
        if self.settings.clerk is not None and self.settings.decider is Decider.CLERK:
            from hub.connector.clerk.site import ClerkServer

            services.append(ClerkServer(self.settings.clerk, self.desk, supervisor=supervisor))
        return services

    def receive(self, entry: Entry, opened: OpenedSubmission, now: datetime) -> None:
        """Note what was opened as something to decide on, and where another authority handed it on, since when it counts."""
        self.arriving.note(opened)
        origin = self.desk.forwards.origin(entry.case_id)
        submitted = opened.envelope.submitted_at
        if origin is not None or submitted is not None:
            received = datetime.fromisoformat(submitted or "") if origin is None else origin.received_at
            self.deadlines.note(entry.case_id, opened.envelope.service.get("identifier", ""), received)
        self.book.receive(entry, reply_key_of(opened, now), now)

    def gather(self, now: datetime) -> None:
        """Take what the local system has put into the outbox, and forget what has been closed for long."""
        if self.outbox is not None:
            self.outbox.gather()
        kept = _KEPT if self.settings.clerk is None else self.settings.clerk.keep
        submissions, replies = self.book.forget(now - kept)
        for one in submissions:
            self.envelopes.drop(one)
        for one in replies:
            self.sealed.drop(one)
        if submissions:
            self.deadlines.sweep()

    def send(self, now: datetime) -> None:
        """Hand on what is to go, and send the replies and the steps of AI systems that are due."""
        self.handing_on.run_once(now)
        self.sending.run_once(now)
        self.steps.run_once(now)
