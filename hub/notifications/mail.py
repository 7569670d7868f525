"""Who is told of what."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid5

from hub.errors import UnreadableRow
from hub.model.parties import Destination
from hub.store import AuditEntry, Lagging, Notice, NoticeKind, Store, Telling
from hub.transport.smtp import is_address

#: Ids of notices follow from their occasion (RFC 9562, version 5): of two who decide the same, one writes it.
_OCCASIONS = UUID("5c2f0f0e-8f0c-5a1e-9d0b-5f6f6a6d2a41")
_ACTIONS: Mapping[NoticeKind, str] = {
    NoticeKind.UNCOLLECTED: "delivery.uncollected",
    NoticeKind.OVERDUE: "delivery.overdue",
    NoticeKind.GIVEN_UP: "delivery.give-up",
    NoticeKind.CALLBACK_UNREACHABLE: "callback.unreachable",
}
#: What the hub's operators have to know as well: somebody's system is away.
_FOR_OPERATORS = {NoticeKind.OVERDUE, NoticeKind.GIVEN_UP, NoticeKind.CALLBACK_UNREACHABLE}


@dataclass(frozen=True, kw_only=True, slots=True)
class Noticeboard:
    """Makes notices. ``mails`` says whether a mail server is set up; ``operators`` is their mail address, or empty.

    The authority is told at the address of its contact information. An online service has none, so its operators are
    told by those of the hub.
    """

    store: Store
    actor: str = "hub"
    mails: bool = False
    operators: str = ""

    def telling(
        self, kind: NoticeKind, party: str, facts: Mapping[str, Any], *, occasion: str, now: datetime
    ) -> Telling:
        """Return what is to be written of one decision about ``party``, the id of a destination or client.

        ``facts`` are ids, numbers and dates. One ``occasion`` gives each recipient one notice, however often it is told.
        """
        about = f"destination:{party}"
        try:
            destination = self._destination(party)
            about = about if destination is not None else f"client:{party}"
        except UnreadableRow:
            # Nobody knows the authority's address any more; the hub's operators are told in its place.
            destination = None
        entry = AuditEntry(at=now, actor=self.actor, action=_ACTIONS[kind], target=about, after=dict(facts))
        notices = tuple(
            Notice(
                notice_id=uuid5(_OCCASIONS, f"{kind} {about} {occasion} {recipient}"),
                kind=kind,
                about=about,
                recipient=recipient,
                facts=dict(facts),
                created_at=now,
            )
            for recipient in self._recipients(kind, destination)
        )
        return Telling(entry=entry, notices=notices)

    def tell_of_lag(
        self,
        kind: NoticeKind,
        destination_id: UUID,
        *,
        number: int,
        period: timedelta,
        then: Mapping[str, timedelta],
        now: datetime,
    ) -> int:
        """Give a destination notice ``number`` (from 1) of all that lags for a ``period``; return of how many submissions.

        ``then`` says what follows after how many days. What falls due later that day waits for the next day's notice.
        """

        def make(lag: Lagging) -> Telling:
            facts = {
                "deliveries": lag.number,
                "notice": number,
                "days": period.days,
                "since": lag.oldest_at.date().isoformat(),
                **{name: after.days for name, after in then.items()},
            }
            occasion = f"{number} {now.date().isoformat()}"
            return self.telling(kind, str(destination_id), facts, occasion=occasion, now=now)

        return self.store.give_notice(kind, now - period, destination_id=destination_id, number=number, make=make)

    def _recipients(self, kind: NoticeKind, destination: Destination | None) -> list[str]:
        """Return each address once; one empty text where nobody can be mailed."""
        if not self.mails:
            return [""]
        contact = str(destination.contact.get("email", "")) if destination is not None else ""
        authority = contact if is_address(contact) else ""
        operators = self.operators if kind in _FOR_OPERATORS or not authority else ""
        return list(dict.fromkeys(each for each in (authority, operators) if each)) or [""]

    def _destination(self, party: str) -> Destination | None:
        try:
            return self.store.destination(UUID(party))
        except ValueError:
            return None
