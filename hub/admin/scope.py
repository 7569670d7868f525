"""What a person may see: every query of the pages goes through here and is bounded by the person's tenant.

Whatever lies outside does not exist for the person: the answer is "not found", never "forbidden".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from hub.errors import Forbidden, NotFound, Text
from hub.identity.accounts import Person
from hub.model.events import Event
from hub.model.parties import Client, Destination
from hub.model.submission import DeadCause
from hub.store import (
    AuditRecord,
    Backlog,
    CallbackView,
    Circuit,
    DeliveryState,
    DeliveryView,
    NoticeView,
    OutgoingCallback,
    Page,
    Read,
    Store,
    StoredKey,
    StoredMessage,
    all_items,
)
from hub.store.deliveries import CircuitChange, CircuitHistory
from hub.store.parties import Dossier
from hub.store.reports import Activity, Figures, Overview, Sums, Wanted

_PAGE = 500


@dataclass(frozen=True, kw_only=True, slots=True)
class Trace:
    """Everything that happened to one submission: no contents."""

    message: StoredMessage
    destination: Destination | None
    events: Sequence[Event]
    delivery: DeliveryView | None
    reads: Sequence[Read]
    callbacks: Sequence[CallbackView]


@dataclass(frozen=True, kw_only=True, slots=True)
class DestinationDossier:
    """What is known of a destination besides its record."""

    callback_states: Mapping[DeliveryState, int]
    callbacks: Sequence[CallbackView]
    circuit_changes: Sequence[CircuitChange]
    last_collected: datetime | None


class Scope:
    """Reads for one person."""

    def __init__(self, *, store: Store, person: Person) -> None:
        self._store = store
        self._overview = Overview(store)
        self._tenant = person.tenant

    def destinations(self) -> list[Destination]:
        """Return all visible destinations, by name."""
        found = all_items(lambda start: self._store.destinations(tenant=self._tenant, offset=start, limit=_PAGE))
        return sorted(found, key=lambda each: each.name)

    def destination(self, destination_id: UUID) -> Destination:
        """Return a visible destination; raise ``NotFound``."""
        found = self._store.destination(destination_id)
        if found is None or not found.tenant.startswith(self._tenant):
            raise _nothing()
        return found

    def keys(self, destination: Destination) -> list[StoredKey]:
        """Return a visible destination's keys, the current one first."""
        return self._store.keys(self.destination(destination.destination_id).destination_id)

    def circuit(self, destination: Destination) -> Circuit:
        """Return a visible destination's circuit breaker."""
        return self._store.circuit(self.destination(destination.destination_id).destination_id)

    def dossier(self, destination: Destination, *, since: datetime) -> DestinationDossier:
        """Return what else is known of a visible destination; what it collected is looked for from ``since`` on."""
        here = self.destination(destination.destination_id).destination_id
        dossier = Dossier(self._store)
        return DestinationDossier(
            callback_states=dossier.callback_states(here),
            callbacks=dossier.callbacks(here),
            circuit_changes=CircuitHistory(self._store).of(here),
            last_collected=dossier.last_collected(here, since=since),
        )

    def backlog(self, destination: Destination) -> dict[str, int]:
        """Return how many deliveries of a visible destination are queued, waiting or dead."""
        here = self.destination(destination.destination_id).destination_id
        return {one.state.value: one.count for one in self.waiting() if one.destination_id == here}

    def troubled(self) -> list[Circuit]:
        """Return the circuits of visible destinations that are not closed or have counted failures."""
        return Figures(self._store).troubled(limit=_PAGE, tenant=self._tenant)

    def sums(self) -> Sums:
        """Return what waits besides deliveries; it speaks of everybody."""
        self.insist_on_everything()
        return Figures(self._store).sums()

    def schema_use(self, *, since: datetime) -> dict[str, int]:
        """Return how many visible submissions since then were checked against each schema, by its URI."""
        return self._overview.schema_use(since=since, tenant=self._tenant)

    def dead_callbacks(self, destination: Destination) -> list[OutgoingCallback]:
        """Return the callbacks to a visible destination that were given up, oldest first."""
        party = str(self.destination(destination.destination_id).destination_id)
        return list(self._store.dead_callbacks(party=party, limit=_PAGE).items)

    def notices(self, destination: Destination, *, limit: int) -> Page[NoticeView]:
        """Return what people were told about a visible destination, newest first."""
        about = f"destination:{self.destination(destination.destination_id).destination_id}"
        return self._store.notices(about=about, limit=limit)

    def clients(self) -> list[Client]:
        """Return all visible clients, by name."""
        found = all_items(lambda start: self._store.clients(offset=start, limit=_PAGE))
        return sorted((each for each in found if each.tenant.startswith(self._tenant)), key=lambda each: each.name)

    def client(self, client_id: str) -> Client:
        """Return a visible client; raise ``NotFound``."""
        found = self._store.client(client_id)
        if found is None or not found.tenant.startswith(self._tenant):
            raise _nothing()
        return found

    def submissions(self, wanted: Wanted, *, offset: int, limit: int) -> Page[StoredMessage]:
        """Return one page of visible submissions, newest first."""
        return self._overview.submissions(wanted, tenant=self._tenant, offset=offset, limit=limit)

    def trace(self, submission_id: UUID) -> Trace:
        """Return everything that happened to a visible submission; raise ``NotFound``."""
        message = self._overview.submission(submission_id, tenant=self._tenant)
        if message is None:
            raise _nothing()
        return Trace(
            message=message,
            destination=self._store.destination(message.destination_id),
            events=self._store.events(message.case_id, limit=_PAGE).items,
            delivery=self._store.delivery(submission_id),
            reads=self._store.reads(submission_id, limit=_PAGE).items,
            callbacks=self._store.case_callbacks(message.case_id),
        )

    def activity(self, *, since: datetime, span: timedelta) -> Activity:
        """Count what happened at visible destinations."""
        return self._overview.activity(since=since, span=span, tenant=self._tenant)

    def waiting(self) -> list[Backlog]:
        """Return what is queued, waiting or dead at visible destinations."""
        return self._overview.waiting(tenant=self._tenant)

    def dead(self, cause: DeadCause | None, *, offset: int, limit: int) -> Page[DeliveryView]:
        """Return one page of visible dead letters, oldest first."""
        return self._overview.dead(cause, tenant=self._tenant, offset=offset, limit=limit)

    def dead_causes(self) -> dict[str, int]:
        """Return how many visible dead letters each cause has."""
        return self._overview.dead_causes(tenant=self._tenant)

    def delivery(self, delivery_id: UUID) -> DeliveryView:
        """Return a visible delivery; raise ``NotFound``."""
        found = self._overview.delivery(delivery_id, tenant=self._tenant)
        if found is None:
            raise _nothing()
        return found

    def audit(
        self, *, offset: int, limit: int, actor: str = "", action: str = "", target: str = ""
    ) -> Page[AuditRecord]:
        """Return one page of the audit log, newest first; it speaks of everybody, so a tenant's people do not see it."""
        self.insist_on_everything()
        return self._store.audit(
            actor=actor, action=action, target=target, offset=offset, limit=limit, newest_first=True
        )

    def insist_on_everything(self) -> None:
        """Raise ``Forbidden`` for people who are bound to a tenant."""
        if self._tenant:
            raise Forbidden(
                Text(
                    "Diese Seite spricht von allen Mandanten; Ihr Konto ist auf einen beschränkt.",
                    "This page speaks of all tenants; your account is bound to one.",
                )
            )


def _nothing() -> NotFound:
    return NotFound(
        Text(
            "Das gibt es nicht, oder nicht in Ihrem Zuständigkeitsbereich.",
            "There is no such thing, or not within your scope.",
        )
    )
