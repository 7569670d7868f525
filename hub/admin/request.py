"""One request of a person: who asks, what was sent, and how the answer is made.

What a person may see: every query of the pages goes through here and is bounded by the person's scope.

Whatever lies outside does not exist for the person: the answer is "not found", never "forbidden".
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Literal, Protocol
from urllib.parse import urlencode
from uuid import UUID

from jinja2 import Environment
from starlette.responses import HTMLResponse, RedirectResponse, Response

from hub.administration.accounts import AccountService
from hub.administration.adapters import AdapterApproval, AdapterSettings
from hub.administration.ai_versions import AiVersions
from hub.administration.clients import ClientService
from hub.administration.dead_letters import DeadLetters
from hub.administration.destinations import DestinationService
from hub.administration.keys import By, KeyApproval
from hub.administration.onboarding import OnboardingService
from hub.administration.readiness import ReadinessDesk
from hub.administration.registration import SelfRegistration
from hub.administration.routing_tables import RoutingTableVersions
from hub.administration.service_versions import ServiceVersions
from hub.administration.tenants import TenantService
from hub.administration.trials import TestDelivery
from hub.administration.usage import UsageReports
from hub.administration.vendors import VendorService
from hub.admission import Admission
from hub.areas import Gazetteer
from hub.crypto import KeyPolicy
from hub.errors import Forbidden, Invalid, Malformed, NotFound, Text
from hub.identity import Accounts, Person, PersonSession, Right, people_who_may
from hub.identity.invitations import Invitations
from hub.identity.openid.login import CALLBACK_PATH, OpenIdLogin
from hub.identity.passkeys import Passkeys
from hub.identity.two_steps import TwoSteps
from hub.jobs.ai_links import LinkWatch
from hub.model import Client, DeadCause, Destination, Event, Tenant
from hub.services import ServiceCatalogue
from hub.services.ai_systems import AiRegister
from hub.store import (
    Activity,
    AuditEntry,
    AuditRecord,
    Backlog,
    Blobs,
    CallbackView,
    Circuit,
    CircuitChange,
    DeliveryState,
    DeliveryView,
    FindingKind,
    NoticeView,
    OutgoingCallback,
    Page,
    Read,
    Store,
    StoredKey,
    StoredMessage,
    Sums,
    Wanted,
    WatchFinding,
    all_items,
)
from hub.validation.arrivals import Arrivals
from hub.validation.catalog import CatalogBook
from hub.validation.standing_changes import StandingChanges

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


class Reads:
    """Reads for one person."""

    def __init__(self, *, store: Store, person: Person) -> None:
        self._store = store
        self._overview = store.overview
        self._scope = person.scope

    def destinations(self) -> list[Destination]:
        """Return all visible destinations, by name."""
        found = all_items(lambda start: self._store.parties.destinations(scope=self._scope, offset=start, limit=_PAGE))
        return sorted(found, key=lambda each: each.name)

    def destination(self, destination_id: UUID) -> Destination:
        """Return a visible destination; raise ``NotFound``."""
        found = self._store.parties.visible_destination(destination_id, scope=self._scope)
        if found is None:
            raise _nothing()
        return found

    def keys(self, destination: Destination) -> list[StoredKey]:
        """Return a visible destination's keys, the current one first."""
        return self._store.parties.keys(self.destination(destination.destination_id).destination_id)

    def circuit(self, destination: Destination) -> Circuit:
        """Return a visible destination's circuit breaker."""
        return self._store.circuits.circuit(self.destination(destination.destination_id).destination_id)

    def dossier(self, destination: Destination, *, since: datetime) -> DestinationDossier:
        """Return what else is known of a visible destination; what it collected is looked for from ``since`` on."""
        here = self.destination(destination.destination_id).destination_id
        dossier = self._store.dossier
        return DestinationDossier(
            callback_states=dossier.callback_states(here),
            callbacks=dossier.callbacks(here),
            circuit_changes=self._store.circuits.changes(here),
            last_collected=dossier.last_collected(here, since=since),
        )

    def backlog(self, destination: Destination) -> dict[str, int]:
        """Return how many deliveries of a visible destination are queued, waiting or dead."""
        here = self.destination(destination.destination_id).destination_id
        return {one.state.value: one.count for one in self.waiting() if one.destination_id == here}

    def troubled(self) -> list[Circuit]:
        """Return the circuits of visible destinations that are not closed or have counted failures."""
        return self._store.figures.troubled(limit=_PAGE, scope=self._scope)

    def sums(self) -> Sums:
        """Return what waits besides deliveries; it speaks of everybody."""
        self.require_no_tenant()
        return self._store.figures.sums()

    def schema_use(self, *, since: datetime) -> dict[str, int]:
        """Return how many visible submissions since then were checked against each schema, by its URI."""
        return self._overview.schema_use(since=since, scope=self._scope)

    def dead_callbacks(self, destination: Destination) -> list[OutgoingCallback]:
        """Return the callbacks to a visible destination that were given up, oldest first."""
        party = str(self.destination(destination.destination_id).destination_id)
        return list(self._store.callbacks.dead(party=party, limit=_PAGE).items)

    def notices(self, destination: Destination, *, limit: int) -> Page[NoticeView]:
        """Return what people were told about a visible destination, newest first."""
        about = f"destination:{self.destination(destination.destination_id).destination_id}"
        return self._store.notices.given(about=about, limit=limit)

    def tenants(self) -> list[Tenant]:
        """Return all visible tenants, by name; the root first, where it is visible."""
        return self._store.tenants.tree(scope=self._scope)

    def clients(self) -> list[Client]:
        """Return all visible clients, by name."""
        found = all_items(lambda start: self._store.parties.clients(scope=self._scope, offset=start, limit=_PAGE))
        return sorted(found, key=lambda each: each.name)

    def client(self, client_id: str) -> Client:
        """Return a visible client; raise ``NotFound``."""
        found = self._store.parties.visible_client(client_id, scope=self._scope)
        if found is None:
            raise _nothing()
        return found

    def submissions(self, wanted: Wanted, *, offset: int, limit: int) -> Page[StoredMessage]:
        """Return one page of visible submissions, newest first."""
        return self._overview.submissions(wanted, scope=self._scope, offset=offset, limit=limit)

    def trace(self, submission_id: UUID) -> Trace:
        """Return everything that happened to a visible submission; raise ``NotFound``."""
        message = self._overview.submission(submission_id, scope=self._scope)
        if message is None:
            raise _nothing()
        return Trace(
            message=message,
            destination=self._store.parties.destination(message.destination_id),
            events=self._store.event_log.events(message.case_id, limit=_PAGE).items,
            delivery=self._store.deliveries.of(submission_id),
            reads=self._store.audit.reads(submission_id, limit=_PAGE).items,
            callbacks=self._store.callbacks.of_case(message.case_id),
        )

    def activity(self, *, since: datetime, span: timedelta) -> Activity:
        """Count what happened at visible destinations."""
        return self._overview.activity(since=since, span=span, scope=self._scope)

    def waiting(self) -> list[Backlog]:
        """Return what is queued, waiting or dead at visible destinations."""
        return self._overview.waiting(scope=self._scope)

    def dead(self, cause: DeadCause | None, *, offset: int, limit: int) -> Page[DeliveryView]:
        """Return one page of visible dead letters, oldest first."""
        return self._overview.dead(cause, scope=self._scope, offset=offset, limit=limit)

    def dead_causes(self) -> dict[str, int]:
        """Return how many visible dead letters each cause has."""
        return self._overview.dead_causes(scope=self._scope)

    def delivery(self, delivery_id: UUID) -> DeliveryView:
        """Return a visible delivery; raise ``NotFound``."""
        found = self._overview.delivery(delivery_id, scope=self._scope)
        if found is None:
            raise _nothing()
        return found

    def findings(self, kind: FindingKind | None, about: str | None) -> list[WatchFinding]:
        """Return what lies still at visible destinations and of visible senders, oldest first."""
        return self._store.findings.open(kind=kind, about=about, scope=self._scope, limit=_PAGE)

    def finding_counts(self) -> dict[FindingKind, int]:
        """Return how many visible destinations or senders each kind is open for."""
        return self._store.findings.counts(scope=self._scope)

    def audit(
        self, *, offset: int, limit: int, actor: str = "", action: str = "", target: str = ""
    ) -> Page[AuditRecord]:
        """Return one page of what the audit log says of what is visible, newest first."""
        return self._store.audit.entries(
            scope=self._scope, actor=actor, action=action, target=target, offset=offset, limit=limit, newest_first=True
        )

    def require_no_tenant(self) -> None:
        """Raise ``Forbidden`` for people who are bound to a tenant."""
        if not self._scope.is_everything:
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


Language = Literal["de", "en"]
#: Where the pages live.
ROOT = "/admin"
#: Where the OpenID Connect provider sends people back to.
CALLBACK = CALLBACK_PATH.removeprefix(ROOT)
#: A page of these pages, and nothing else: no scheme, no host, no second slash that a browser takes for one, no step up.
_INSIDE = re.compile(r"/admin(/[A-Za-z0-9_-][A-Za-z0-9_.-]*)*/?(\?[A-Za-z0-9_.=&%+-]*)?")
_LONGEST_FIELD = 2_000
#: Rows on one page of a list.
ROWS = 50
#: What a page with this status says of itself is enough.
_UNAVAILABLE = 503


class Administered(Protocol):
    """What the pages need of the hub. Catalogue and areas are asked for anew each time, so a reload drops no request."""

    store: Store
    blobs: Blobs
    base_url: str
    admission: Admission
    policy: KeyPolicy
    accounts: Accounts
    #: Logging in by a provider; None where none is configured.
    openid: OpenIdLogin | None
    book: RoutingTableVersions
    service_book: ServiceVersions
    ai_book: AiVersions
    link_watch: LinkWatch
    destination_service: DestinationService
    client_service: ClientService
    account_service: AccountService
    invitations: Invitations
    two_steps: TwoSteps
    tenant_service: TenantService
    vendor_service: VendorService
    #: How vendors register themselves; None but at a test instance.
    registration: SelfRegistration | None
    onboarding: OnboardingService
    passkeys: Passkeys
    dead_letters: DeadLetters
    key_approval: KeyApproval
    adapter_approval: AdapterApproval
    catalogs: CatalogBook
    usage_reports: UsageReports
    readiness_desk: ReadinessDesk

    def clock(self) -> datetime:
        """Return the time."""

    def services(self) -> ServiceCatalogue:
        """Return the public services of the moment."""

    def ai_register(self) -> AiRegister:
        """Return the register of AI systems of the moment."""

    def gazetteers(self) -> Gazetteer:
        """Return the areas, with the postal codes of the moment."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Tools:
    """What the pages work with: the hub, and what is theirs alone."""

    hub: Administered
    production: bool
    #: Whether this is a test instance, and says so on every page.
    is_test: bool
    version: str
    disk_watermark: int
    #: Whether local accounts log in by password.
    passwords: bool
    adapters: AdapterSettings
    trials: TestDelivery
    arrivals: Arrivals
    standings: StandingChanges
    #: A tree of a land shows all its municipalities; one of more than these only those that were asked for.
    most_in_tree: int = 1_500


@dataclass(frozen=True, kw_only=True, slots=True)
class SentForm:
    """What was sent: single values by name, uploaded files by name, and all files of each field in their order."""

    fields: Mapping[str, str] = field(repr=False, default_factory=dict)
    files: Mapping[str, tuple[str, bytes]] = field(repr=False, default_factory=dict)
    uploads: Mapping[str, tuple[tuple[str, bytes], ...]] = field(repr=False, default_factory=dict)

    def text(self, name: str, *, longest: int = _LONGEST_FIELD) -> str:
        """Return a field without blanks at its ends; empty if it was not sent. Raise ``Invalid`` if it is too long."""
        value = self.fields.get(name, "").strip()
        if len(value) > longest:
            raise Invalid(
                Text(
                    f"Das Feld „{name}“ ist zu lang (höchstens {longest} Zeichen).",
                    f"The field '{name}' is too long (at most {longest} characters).",
                )
            )
        return value

    def number(self, name: str, default: int = 0) -> int:
        """Return a field as a number of at most nine digits; raise ``Malformed`` for anything else."""
        value = self.fields.get(name, "").strip()
        if not value:
            return default
        if not value.isascii() or not value.isdigit() or len(value) > 9:  # noqa: PLR2004  # fits every database
            raise Malformed(Text(f"„{name}“ ist keine Zahl.", f"'{name}' is not a number."))
        return int(value)


@dataclass(frozen=True, kw_only=True, slots=True)
class Visit:
    """A request, its session (none before the log-in) and everything needed to answer."""

    tools: Tools
    pages: Environment
    path: str
    parts: Mapping[str, str]
    query: SentForm
    form: SentForm
    language: Language
    now: datetime
    address: str
    secure: bool
    partial: bool
    session: PersonSession | None = None
    token: str = field(repr=False, default="")
    #: The cookie of a log-in under way at the provider.
    ticket: str = field(repr=False, default="")
    #: The cookie of a log-in that waits for its second factor.
    step: str = field(repr=False, default="")
    #: The cookie of somebody who is invited and chooses a password.
    invitation: str = field(repr=False, default="")
    #: What the browser says of itself, shortened.
    device: str = ""
    #: (table, key) of stored rows that could not be read for the page; it fills while the page is made.
    unreadable: Collection[tuple[str, str]] = ()

    @property
    def person(self) -> Person:
        """Who is logged in; only pages that need a session ask."""
        if self.session is None:
            raise NotFound(Text("Diese Seite gibt es nicht.", "There is no such page."))
        return self.session.person

    @property
    def lacks_factor(self) -> bool:
        """Whether whoever is logged in must set up a second factor first."""
        return self.session is not None and self.session.lacks_factor

    @property
    def hub(self) -> Administered:
        """What the pages need of the hub."""
        return self.tools.hub

    @property
    def scope(self) -> Reads:
        """What the person may see: the one way from a page to the store."""
        return Reads(store=self.hub.store, person=self.person)

    def say(self, text: Text) -> str:
        """Return a text in the visitor's language."""
        return text.de if self.language == "de" else text.en

    def page(self, template: str, *, status: int = 200, **values: Any) -> Response:
        """Return a rendered page."""
        session = self.session
        common = {
            "visit": self,
            "person": session.person if session is not None else None,
            "restricted": self.lacks_factor,
            "csrf": session.csrf if session is not None else "",
            "unreadable": 0 if status == _UNAVAILABLE else len(self.unreadable),
            # No refusal here: this is how a refusal is shown, too.
            "note": _NOTES.get(self.query.fields.get("note", "")),
            "Right": Right,
            "t": self._t,
            "say": self.say,
            "now": self.now,
        }
        return HTMLResponse(self.pages.get_template(template).render(common | values), status_code=status)

    def to(self, path: str, *, note: str = "", **query: Any) -> Response:
        """Return a redirect to another page of these pages, which shows a note."""
        wanted = {name: value for name, value in {"note": note, **query}.items() if value not in ("", None)}
        return RedirectResponse(f"{ROOT}{path}" + (f"?{urlencode(wanted)}" if wanted else ""), status_code=303)

    def id(self, name: str) -> UUID:
        """Return a path part as a UUID; raise ``NotFound`` for anything else."""
        try:
            return UUID(self.parts[name])
        except ValueError as exc:
            raise NotFound(Text("Diese Seite gibt es nicht.", "There is no such page.")) from exc

    def offset(self) -> int:
        """Return from which row on a list is shown."""
        return min(self.query.number("from"), 1_000_000)

    def audit(self, action: str, target: str, **after: Any) -> AuditEntry:
        """Return the audit entry of what the person does."""
        return AuditEntry(at=self.now, actor=self.person.name, action=action, target=target, after=after)

    def approvers(self) -> list[str]:
        """Return the names of those who may approve what the person sees, for whoever is told that something waits."""
        return people_who_may(self.hub.store, Right.APPROVE, within=self.person.scope)

    def by(self) -> By:
        """Return who acts now, with the text that the form gives as the reason."""
        return By(actor=self.person.name, now=self.now, text=self.form.text("text", longest=500))

    def _t(self, de: str, en: str) -> str:
        return de if self.language == "de" else en


def inside(path: str) -> str:
    """Return ``path`` if it is a page of these pages, else the first one (no open redirect)."""
    leads_on = _INSIDE.fullmatch(path) and not path.startswith((f"{ROOT}/log", f"{ROOT}/oidc"))
    return path if leads_on else f"{ROOT}/"


_NOTES: Mapping[str, Text] = {
    "saved": Text("Gespeichert.", "Saved."),
    "drafted": Text("Entwurf angelegt.", "Draft made."),
    "links-checked": Text("Verweise geprüft.", "Links checked."),
    "approved": Text("Freigegeben.", "Approved."),
    "activated": Text("Aktiviert.", "Activated."),
    "rolled-back": Text("Zurückgenommen.", "Rolled back."),
    "cancelled": Text("Abgesagt.", "Cancelled."),
    "discarded": Text("Verworfen.", "Discarded."),
    "refreshed": Text("Auf den aktiven Stand gebracht.", "Brought up to the active table."),
    "redriven": Text("Wird erneut zugestellt.", "Will be delivered again."),
    "resent": Text("Die Rückrufe gehen noch einmal hinaus.", "The callbacks go out once more."),
    "unsent": Text(
        "Nichts zu tun: Sie sind noch zu senden oder gerade erst gesendet.",
        "Nothing to do: they are still to be sent, or were sent just now.",
    ),
    "disabled": Text("Gesperrt.", "Disabled."),
    "created": Text("Angelegt.", "Created."),
    "key-proposed": Text(
        "Vorgeschlagen. Eine zweite Person muss zustimmen.", "Proposed. A second person has to approve it."
    ),
    "key-stored": Text(
        "Hinterlegt. Verwendet wird der Schlüssel erst, wenn zwei Personen das sagen.",
        "Recorded. The key is used once two persons say so.",
    ),
    "key-approved": Text("Freigegeben und wirksam.", "Approved and in effect."),
    "way-proposed": Text(
        "Vorgeschlagen. Eine zweite Person muss zustimmen; bis dahin bleibt der Zustellweg, wie er ist.",
        "Proposed. A second person has to approve it; until then the way of delivery stays as it is.",
    ),
    "way-approved": Text("Freigegeben und wirksam.", "Approved and in effect."),
    "way-refused": Text("Die Änderung ist verworfen.", "The change is dropped."),
    "key-refused": Text("Die Änderung ist verworfen.", "The change is dropped."),
    "standing-proposed": Text(
        "Vorgeschlagen. Eine zweite Person muss zustimmen; bis dahin bleibt die Version, wie sie ist.",
        "Proposed. A second person has to approve it; until then the version stays as it is.",
    ),
    "standing-approved": Text("Freigegeben. Es gilt binnen einer Sekunde.", "Approved. It counts within a second."),
    "standing-refused": Text("Die Änderung ist verworfen.", "The change is dropped."),
    "standing-back": Text(
        "Zurückgenommen. Die Version steht wieder, wie sie davor stand.",
        "Taken back. The version stands as it did before.",
    ),
    "admitted": Text("Das Paket steht im Katalog.", "The package is in the catalogue."),
    "welcome": Text(
        "Ihr Konto ist angelegt. Richten Sie jetzt den zweiten Faktor ein.",
        "Your account is made. Set up the second factor now.",
    ),
    "key-removed": Text("Der Schlüssel ist entfernt.", "The key is removed."),
    "withdrawn": Text("Die Einladung ist zurückgenommen.", "The invitation is taken back."),
    "locked": Text("Gesperrt; die Sitzungen sind beendet.", "Locked; the sessions have ended."),
    "unlocked": Text("Wieder freigegeben.", "Unlocked."),
    "reset": Text(
        "Die zweiten Faktoren sind entfernt, die Sitzungen beendet.",
        "The second factors are removed, the sessions ended.",
    ),
    "vouched": Text(
        "Bestätigt: Das Konto zählt als eigene Person.", "Vouched for: the account counts as a human of its own."
    ),
    "ended": Text("Beendet.", "Ended."),
    "factor-off": Text("Der zweite Faktor ist entfernt.", "The second factor is removed."),
    "closed": Text("Die Sicherung ist wieder geschlossen.", "The circuit is closed again."),
    "password": Text("Das Passwort ist geändert. Melden Sie sich neu an.", "The password is changed. Log in again."),
    "handed-in": Text(
        "Eingereicht. Eine zweite Person muss freigeben.", "Handed in. A second person has to release it."
    ),
    "unchanged": Text("Alles ist schon so; geändert wurde nichts.", "All is so already; nothing was changed."),
    "logged-out": Text("Sie sind abgemeldet.", "You are logged out."),
}
