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
from hub.connector.handing_on import Casework, HandingOn
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


def casework(
    settings: ConnectorSettings,
    journal: Journal,
    *,
    keys: Mapping[UUID, Keys],
    hub: Subscriber,
    door: Forwarder,
    reopen: Callable[[Entry], OpenedSubmission],
) -> Casework:
    """Open the books beside the journal; what no book knows of replies is leftovers of a crash, and goes."""
    book, sealed = CaseBook(journal), SealedReplies(settings.journal.with_suffix(".replies"))
    sealed.sweep(book.reply_ids())
    return Casework(
        journal=journal,
        book=book,
        forwards=ForwardBook(journal),
        sealed=sealed,
        keys=keys,
        hub=hub,
        door=door,
        reopen=reopen,
    )


def _forward_policy(settings: ConnectorSettings) -> KeyPolicy | None:
    anchors = settings.forward_anchors
    return KeyPolicy.from_files(anchors, allow_self_signed=False) if anchors else None


def _outbox(settings: ConnectorSettings, desk: Desk) -> Outbox | None:
    way = settings.handover
    place = way.outbox if isinstance(way, FolderHandover) and settings.decider is Decider.SYSTEM else None
    return None if place is None else Outbox(place, desk)


@dataclass(frozen=True, kw_only=True, slots=True)
class MunicipalSay:
    """The parts. ``gather`` and ``send`` are the walk's; the desk is for everybody."""

    settings: ConnectorSettings
    work: Casework
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
        work: Casework,
        *,
        envelopes: Envelopes,
        receipt_keys: Callable[[str], Mapping[str, Any]],
        drawn: Callable[[OpenedSubmission], bytes | None],
        wake: Callable[[], None],
        clock: Callable[[], datetime],
    ) -> Self:
        """Open what belongs to the book, with all that the settings name."""
        deadlines = CaseDeadlines(work.journal, public_session(settings.hub))
        steps = AiStepBook(work.journal, keys=work.keys, door=work.door)
        desk = Desk(work, settings, steps=steps, deadlines=deadlines, drawn=drawn, wake=wake, clock=clock)
        return cls(
            settings=settings,
            work=work,
            envelopes=envelopes,
            desk=desk,
            sending=ReplySending(work.book, work.sealed, work.hub, keeps=settings.decider is Decider.CLERK),
            steps=steps,
            handing_on=HandingOn(work, policy=_forward_policy(settings)),
            arriving=Arriving(work.forwards, work.door, receipt_keys),
            deadlines=deadlines,
            outbox=_outbox(settings, desk),
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
        self.work.book.receive(entry, reply_key_of(opened, now), now)

    def gather(self, now: datetime) -> None:
        """Take what the local system has put into the outbox, and forget what has been closed for long."""
        if self.outbox is not None:
            self.outbox.gather()
        kept = _KEPT if self.settings.clerk is None else self.settings.clerk.keep
        submissions, replies = self.work.book.forget(now - kept)
        for one in submissions:
            self.envelopes.drop(one)
        for one in replies:
            self.work.sealed.drop(one)
        if submissions:
            self.deadlines.sweep()

    def send(self, now: datetime) -> None:
        """Hand on what is to go, and send the replies and the steps of AI systems that are due."""
        self.handing_on.run_once(now)
        self.sending.run_once(now)
        self.steps.run_once(now)
