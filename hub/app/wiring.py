"""The hub's objects, built from settings in the order in which they depend on each other.

``opening`` beside this opens what settings name; everything else is wired from that.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from hub import __version__
from hub.administration.accounts import AccountService
from hub.administration.adapters import AdapterApproval, AdapterSettings
from hub.administration.clients import ClientService
from hub.administration.dead_letters import DeadLetters
from hub.administration.destinations import Destinations, DestinationService
from hub.administration.disclosure import Operation
from hub.administration.keys import KeyApproval
from hub.administration.lost_keys import LostKeys
from hub.administration.offers import Offers
from hub.administration.onboarding import OnboardingService
from hub.administration.readiness import ReadinessDesk
from hub.administration.routing_tables import RoutingTableVersions, open_book
from hub.administration.service_versions import ServiceVersions
from hub.administration.tenants import TenantService
from hub.administration.trials import TestDelivery
from hub.administration.usage import UsageReports
from hub.administration.vendors import VendorService
from hub.admission import Admission
from hub.app.onboarding import onboarding, open_registration
from hub.app.opening import (
    ATTACHMENT_LIMIT,
    allocation_key,
    canonical_address,
    delivery_rules,
    factor_rule,
    installed_adapters,
    key_policy,
    open_ai_register,
    open_blobs,
    open_board,
    open_hub_scanner,
    open_links,
    open_login,
    open_mail_server,
    open_stamping,
    parts_of,
    patience,
    periods,
    postal_codes_of,
    process_of,
    upload_rules,
)
from hub.app.processes import Member
from hub.areas import Gazetteer, GazetteerBook
from hub.config import Settings
from hub.crypto import HubKeys
from hub.delivery.attempt import AdapterPool
from hub.delivery.dispatcher import Dispatcher
from hub.files import vault
from hub.fit_connect.ai_steps import AiSteps
from hub.fit_connect.boxes import MessageBoxes
from hub.fit_connect.collection import Cases
from hub.fit_connect.forwarding import Forwarding
from hub.fit_connect.sender_cases import SenderCases
from hub.identity import Accounts, Clients, Directory, PersonTokens
from hub.identity.certificates import CertificateHolders
from hub.identity.invitations import Invitations
from hub.identity.passkeys import Passkeys
from hub.identity.second_factors import SecondFactors
from hub.identity.two_steps import TwoSteps
from hub.intake import Intake
from hub.intake.screening import Screening
from hub.intake.shadow import Shadow
from hub.intake.status import StatusDesk
from hub.intake.uploads import UploadDesk
from hub.jobs.ai_links import LinkWatch
from hub.jobs.gauges import Facts, Gauges, Readiness
from hub.jobs.retention import Periods, RetentionJob, Undelivered
from hub.jobs.scheduler import Clock, Duty, sweep_orphans
from hub.jobs.usage import RefusalTally, RollUp
from hub.jobs.watch import Watch
from hub.model import Destination, Sealing, utc_now
from hub.notifications.callbacks import CallbackWorker, CallbackWriter
from hub.notifications.mail import Postman
from hub.observability import crashes
from hub.observability.legal_time import SystemClock
from hub.observability.metrics import LOGINS, Meters
from hub.observability.tracing import open_traces
from hub.proof.checkpoints import Checkpoints
from hub.proof.evidence import Evidences, Notary
from hub.resources import shipped
from hub.routing import CurrentServices, RoutingTable
from hub.scanning.kinds import allow_list
from hub.services import ServiceCatalogue
from hub.services.ai_systems import AiRegister
from hub.store import Store
from hub.store.engine import sqlite_file
from hub.supervision import Supervisor
from hub.transport.connection import Outbound
from hub.validation.arrivals import Arrivals
from hub.validation.catalog import CatalogBook, SchemaCatalog
from hub.validation.manifest import Manifest, write_standing
from hub.validation.standing_changes import StandingChanges

_log = logging.getLogger(__name__)
_ORPHAN_GRACE = timedelta(hours=24)
#: The hour (UTC) in which a test instance deletes, and how often it looks whether that is.
_NIGHT, _NIGHTLY_LOOK = 1, timedelta(minutes=50)
#: How often the ends of logs are put under a signature.
_CHECKPOINTS_EVERY = timedelta(seconds=5)


@dataclass(frozen=True, kw_only=True, slots=True)
class Purpose:
    """What a process is built for; see :func:`build`."""

    serves: bool = True
    listens: bool = False
    member: Member | None = None


class Foundation:
    """What settings name, opened: places, keys, adapters, and what lies in the data folder and beside the code."""

    def __init__(self, settings: Settings, clock: Callable[[], datetime], purpose: Purpose) -> None:
        vault.make_folder(settings.data)
        crashes.arm(settings.crash_at)
        self.settings = settings
        self.clock = clock
        #: This process among several that are one hub; None where it is alone.
        self.member = member = purpose.member
        self.meters = Meters() if member is None else Meters(beside=member.metrics)
        self.supervisor = Supervisor(fell=self.meters.loop_fell, changed=None if member is None else member.tell_down)
        self.blobs = open_blobs(settings, self.supervisor)
        # A server that is alone takes no turns with commands beside it, which write seldom and wait.
        turns = member is not None or not purpose.serves
        self.store = Store(settings.database, blobs=self.blobs, supervisor=self.supervisor, turns=turns)
        self.store.on_unreadable(self.meters.unreadable)
        self.store.migrate() if purpose.serves else self.store.require_tables()
        self.base_url = canonical_address(settings, self.store, listens=purpose.listens)
        # New keys would silently void old proof: where there are cases, a missing keyring is an error, not a first start.
        first_start = self.store.submissions.cases(limit=1).total == 0
        self.keys = HubKeys.load_or_create(settings.data / "pki", now=clock(), create=first_start)
        if purpose.serves:
            self.keys.require()
        self.policy = key_policy(settings, clock())
        self.catalogs = CatalogBook(shipped("schemas"), settings.data / "schemas")
        #: Judges what arrives by what is announced, beside the answer.
        self.shadow = Shadow(store=self.store, catalogs=self.catalogs)
        #: The areas; ``gazetteers`` gives them with the operator's lists of the moment, for those who search.
        self.gazetteer = Gazetteer.load(settings.rules / "areas")
        #: What is known of the machine's clock.
        self.system_clock = SystemClock()
        self.gazetteers = GazetteerBook(self.gazetteer, postal_codes_of(settings), parts_of(settings))
        self.traces = open_traces(settings.otel_endpoint, node=settings.node, version=__version__)
        #: Every adapter that is installed, by name; ``adapters`` holds those that destinations have.
        self.installed = installed_adapters()
        self.adapters = AdapterPool(self.installed)
        self.outbound = Outbound(allow_private_addresses=settings.allow_private_addresses)
        self.admission = Admission(
            memory_budget=settings.memory_budget_bytes,
            free_bytes=self.blobs.free_bytes,
            disk_watermark=settings.disk_watermark_bytes,
            ledger=None if member is None else member.memory,
        )

    @property
    def catalog(self) -> SchemaCatalog:
        """The schema catalogue of the moment."""
        return self.catalogs()

    def sealing(self, destination: Destination) -> Sealing:
        """Return how the destination's adapter wants its contents sealed."""
        return self.adapters.sealing(destination)

    def close(self) -> None:
        """Write out what waits and let go of files and connections."""
        self.shadow.close()
        self.store.close()
        self.blobs.settle()
        self.blobs.close()
        self.traces.close()


class Shared(Foundation):
    """What the use cases have in common: who calls, who is responsible, what can be shown later, who is told."""

    def __init__(self, settings: Settings, clock: Callable[[], datetime], purpose: Purpose) -> None:
        super().__init__(settings, clock, purpose)
        store, keys = self.store, self.keys
        self.directory = Directory(store=store, policy=self.policy)
        store.on_party_changed(self.directory.forget)
        by_password, by_client, by_openid = (partial(self.meters.login_failed, way) for way in LOGINS)
        self.clients = Clients(store=store, directory=self.directory, keys=keys, issuer=self.base_url, failed=by_client)
        self.accounts = Accounts(
            store=store,
            box=keys,
            passwords=settings.takes_passwords,
            factors=SecondFactors(store=store, box=keys, rule=factor_rule(settings)),
            failed=by_password,
        )
        self.two_steps = TwoSteps(store=store, accounts=self.accounts)
        self.passkeys = Passkeys(store=store, accounts=self.accounts, base_url=self.base_url)
        self.invitations = Invitations(store=store, accounts=self.accounts)
        self.account_service = AccountService(
            store=store,
            accounts=self.accounts,
            invitations=self.invitations,
            base_url=self.base_url,
            links=partial(open_links, settings, self.base_url),
            reset_counts=timedelta(days=settings.reset_counts_days),
        )
        self.openid = open_login(settings, store, self.accounts, keys, base_url=self.base_url, failed=by_openid)
        self.person_tokens = PersonTokens(store=store, accounts=self.accounts)
        self.service_book = _open_services(self)
        self.ai_book = open_ai_register(settings, store, now=self.clock())
        self.book = _open_book(self)
        self.checkpoints = Checkpoints(store=store, keys=keys, issuer=self.base_url)
        self.notary = Notary(
            store=store,
            keys=keys,
            checkpoints=self.checkpoints,
            clock=self.clock,
            interval=_CHECKPOINTS_EVERY,
            meters=self.meters,
        )
        #: What every receipt says besides: one of a test instance is none of a hub that counts.
        self.receipt_marks: Mapping[str, Any] = {"environment": settings.environment} if settings.is_test else {}
        self.link_watch = LinkWatch(links=store.ai_links, register=self.ai_register, outbound=self.outbound)
        self.stamping = open_stamping(settings, store, self.outbound)
        self.evidences = Evidences(
            store=store,
            keys=keys,
            issuer=self.base_url,
            meters=self.meters,
            scans=bool(settings.scan),
            marks=self.receipt_marks,
        )
        self.board = open_board(settings, store)
        self.callback_writer = CallbackWriter(store=store)

    @property
    def offers(self) -> Offers:
        """The judge of what destinations offer, by what the hub knows at the moment."""
        return Offers(
            register=self.book.services, gazetteer=self.gazetteer, catalog=self.catalog, on=self.clock().date()
        )

    def services(self) -> ServiceCatalogue:
        """Return the public services of the moment."""
        return self.service_book.active(self.clock())

    def ai_register(self) -> AiRegister:
        """Return the register of AI systems of the moment."""
        return self.ai_book.active(self.clock())

    def table(self) -> RoutingTable:
        """Return the routing table in force."""
        return self.book.active(self.clock())


class UseCases(Shared):
    """What callers and people do, whatever they do it through."""

    def __init__(self, settings: Settings, clock: Callable[[], datetime], purpose: Purpose) -> None:
        super().__init__(settings, clock, purpose)
        store = self.store
        self.attachment_limit = ATTACHMENT_LIMIT
        self.screening = _screening(self)
        self.intake = Intake(self)
        self.uploads = UploadDesk(
            store=store, blobs=self.blobs, admission=self.admission, rules=upload_rules(settings), clock=self.clock
        )
        self.desk = StatusDesk(
            store=store,
            evidences=self.evidences,
            clock=self.clock,
            silent=patience(settings).silent,
            services=self.services,
        )
        self.cases = Cases(store=store, notary=self.notary)
        self.sender_cases = SenderCases(
            store=store, blobs=self.blobs, callback_writer=self.callback_writer, issuer=self.base_url
        )
        self.forwarding = Forwarding(self)
        self.ai_steps = AiSteps(store=store, register=self.ai_register)
        self.key_approval = KeyApproval(store=store, policy=self.policy)
        self.lost_keys = LostKeys(store=store, blobs=self.blobs, callbacks=self.callback_writer, base_url=self.base_url)
        self.adapter_approval = AdapterApproval(
            store=store, adapters=self.installed, files=settings.data / "secrets", own=settings.named_files
        )
        self.destinations = Destinations(store=store, policy=self.policy)
        self.destination_service = _destination_service(self, self.adapter_approval)
        self.client_service = ClientService(store)
        self.tenant_service = TenantService(store=store, gazetteer=self.gazetteers, book=self.book)
        self.vendor_service = VendorService(store=store, policy=self.policy)
        #: The installed adapters, by their options; and who tries destinations' ways with them.
        self.adapter_settings = AdapterSettings(self.installed)
        self.trials = TestDelivery(
            store=store, policy=self.policy, adapters=self.adapter_settings, base_url=self.base_url
        )
        self.onboarding = onboarding(self, self.destination_service, self.adapter_approval)
        self.registration = open_registration(self, self.vendor_service) if settings.is_test else None
        self.dead_letters = DeadLetters(store=store)
        own_schemas = settings.data / "schemas"
        self.arrivals = Arrivals(
            settings.data / "schema-arrivals", own_schemas, catalog=self.catalogs, convert=_import_packed
        )
        self.standings = StandingChanges(settings.data / "schema-standings", partial(write_standing, own_schemas))


class Context(UseCases):
    """Everything that a process is built of, each once, in the order in which it depends on each other.

    Whoever needs something new of it finds it here, or adds a line here and nowhere else: a consumer says in its own file
    what it needs, and is handed the whole. What was set once stays.
    """

    def __init__(self, settings: Settings, clock: Callable[[], datetime], purpose: Purpose) -> None:
        super().__init__(settings, clock, purpose)
        store = self.store
        #: What the record of processing activities says of this hub.
        self.operation = _operation(self)
        self.dispatcher = _dispatcher(self)
        self._night = _retention(self, over=True) if settings.is_test else None
        # Where another process delivers, that one is woken.
        store.on_delivery_due(self.dispatcher.wake if self.member is None else self.member.board.wake)
        self.messenger = _messenger(self)
        self.postman = _postman(self)
        self.roll_up = RollUp(store=store)
        self.watch = Watch(
            store=store,
            board=self.board,
            patience=patience(settings),
            decisions=lambda: self.services().decisions(),
        )
        self.refusals = RefusalTally(note=store.usage.note_refusals, clock=clock)
        #: Who uses what will end.
        self.ending_uses = RefusalTally(note=store.readiness.note_uses, clock=clock)
        self.readiness_desk = ReadinessDesk(store=store, catalogs=self.catalogs)
        self.usage_reports = UsageReports(
            store=store,
            gazetteer=self.gazetteers,
            service_name=self.book.services.name,
            services=lambda: self.book.services,
            costs=allocation_key(settings, self.gazetteer),
            clock=clock,
        )
        self.duties = _duties(self)
        self.readiness = Readiness(
            store=store,
            blobs=self.blobs,
            watermark=settings.disk_watermark_bytes,
            faults=self.keys.faults,
            down=self._down,
        )
        self.gauges = Gauges(store=store, blobs=self.blobs, facts=_facts(self), clock=clock)

    def night(self, now: datetime) -> int:
        """Delete, in the night's hour, what vendors left at a test instance: also what waits, and logs."""
        return self._night.run(now) if self._night is not None and now.hour == _NIGHT else 0

    def _down(self) -> tuple[str, ...]:
        """Name what should live and is dead at the moment: loops here, and of other processes of this hub."""
        return self.supervisor.down() + (() if self.member is None else self.member.down())


def build(
    settings: Settings,
    *,
    clock: Callable[[], datetime] = utc_now,
    serves: bool = True,
    listens: bool = False,
    member: Member | None = None,
) -> Context:
    """Wire the hub from its settings; creates the data folder, its keys and its tables where they are missing.

    Who ``serves`` (or works) brings older tables up to this version and is stopped by a bad key file. For commands that look
    and mend, tables have to be of this version already, and a bad key file fails what needs it. Who ``listens`` says under
    which address all processes on this store sign.

    Raises:
        ConfigurationError: something that settings name, a key file or the tables cannot be used; names it.
    """
    return Context(settings, clock, Purpose(serves=serves, listens=listens, member=member))


@contextmanager
def working(hub: Context) -> Iterator[None]:
    """Deliver, tell and keep the periodic duties for as long as the block runs; what is under way is finished first."""
    # It keeps up its own loops and ends them in their order; whether those could begin at all is watched like any other.
    dispatching = hub.supervisor.begin("dispatching", hub.dispatcher.run)
    outbox_workers = [hub.supervisor.begin("callbacks", hub.messenger.run)]
    if hub.postman is not None:
        outbox_workers.append(hub.supervisor.begin("notices", hub.postman.run))
    hub.duties.start()
    try:
        with _listening_for_xta(hub):
            yield
    finally:
        dispatching.stop.set()
        hub.dispatcher.wake()
        for worker in outbox_workers:
            worker.stop.set()
        dispatching.end()
        for worker in outbox_workers:
            worker.end()
        hub.duties.stop()


@contextmanager
def _listening_for_xta(hub: Context) -> Iterator[None]:
    """Let authorities empty their mailboxes by XTA for as long as the block runs, if the settings say where."""
    settings = hub.settings
    if not settings.xta_port:
        yield
        return
    from hub.api.xta_mailbox import XtaMailbox, XtaServer, server_tls  # few hubs ever need it

    application = XtaMailbox(boxes=MessageBoxes(hub), holders=CertificateHolders(hub.store), clock=hub.clock)
    tls = server_tls(settings.xta_certificate_file, settings.xta_key_file, settings.xta_clients_file)
    server = XtaServer(application, host=settings.xta_host, port=settings.xta_port, tls=tls, supervisor=hub.supervisor)
    try:
        yield
    finally:
        server.close()


def _import_packed(*arguments: Any, **named: Any) -> Manifest | None:
    from hub.forms.fim_form import import_packed  # With all that draws forms, which few hubs ever need.

    return import_packed(*arguments, **named)


def _screening(hub: Shared) -> Screening:
    settings = hub.settings
    return Screening(
        scanner=open_hub_scanner(settings),
        policies=settings.scan_policies,
        kinds=allow_list(settings.attachment_kinds),
        limits=settings.scan_limits,
        services=hub.services,
        meters=hub.meters,
        above=hub.store.tenants.above,
    )


def _open_services(hub: Shared) -> ServiceVersions:
    """Return the versions of the services; at a first start what the folder of rules holds is published."""
    seed = ServiceCatalogue.load(hub.settings.rules)
    book = ServiceVersions(store=hub.store, ruled=lambda now: hub.book.active(now).routed_services)
    book.begin_with(seed, now=hub.clock())
    return book


def _open_book(hub: Shared) -> RoutingTableVersions:
    """Return the versions of the routing table; at a first start what the folder of rules holds comes into force."""
    table = RoutingTable.load(hub.settings.rules, hub.gazetteer, empty=not hub.settings.seeds_rules)
    book = open_book(
        store=hub.store,
        policy=hub.policy,
        gazetteer=hub.gazetteer,
        services=CurrentServices(hub.services),
        schemas=lambda: hub.catalogs().names(),
    )
    if len(table):
        book.begin(table, now=hub.clock())
    return book


def _facts(hub: Context) -> Facts:
    return Facts(
        version=__version__,
        table=lambda: hub.table().version,
        schemas=lambda: [(entry.ref.standard, entry.ref.version) for entry in hub.catalog.entries()],
        keys_usable=lambda: not hub.keys.faults(),
        key_ends=lambda: {kind.value: end for kind, end in hub.keys.ends().items()},
        scanner=None if hub.screening.scanner is None else hub.screening.scanner.version,
    )


def _dispatcher(hub: Shared) -> Dispatcher:
    return Dispatcher(
        store=hub.store,
        blobs=hub.blobs,
        adapters=hub.adapters,
        notary=hub.notary,
        evidences=hub.evidences,
        callback_writer=hub.callback_writer,
        rules=delivery_rules(hub.settings, hub.base_url),
        clock=hub.clock,
        meters=hub.meters,
        traces=hub.traces,
        supervisor=hub.supervisor,
    )


def _operation(hub: Shared) -> Operation:
    settings = hub.settings
    return Operation(
        base_url=hub.base_url,
        environment=settings.environment,
        operators=settings.mail_operators,
        database="SQLite" if sqlite_file(settings.database) is not None else "PostgreSQL",
        contents=settings.blobs,
        periods=periods(settings),
        idempotency=timedelta(seconds=settings.idempotency_seconds),
    )


#: What a test instance keeps when its night comes: nothing, and nobody is reminded of it.
_NOTHING_KEPT = Periods(
    incomplete=timedelta(0),
    reminders=(),
    unanswered=timedelta(0),
    finished=timedelta(0),
    case=timedelta(0),
    outboxes=timedelta(0),
)


def _retention(hub: Shared, *, over: bool = False) -> RetentionJob:
    """Return who deletes what is over; with ``over``, everything is."""
    return RetentionJob(
        store=hub.store,
        callback_writer=hub.callback_writer,
        board=hub.board,
        keys=hub.keys,
        base_url=hub.base_url,
        periods=_NOTHING_KEPT if over else periods(hub.settings),
        meters=hub.meters,
    )


def _messenger(hub: Shared) -> CallbackWorker:
    return CallbackWorker(
        store=hub.store,
        keys=hub.keys,
        outbound=hub.outbound,
        board=hub.board,
        node=process_of(hub.settings),
        clock=hub.clock,
    )


def _postman(hub: Shared) -> Postman | None:
    """Return who sends notices; None where there is no mail server."""
    server = open_mail_server(hub.settings)
    if server is None:
        return None
    node = process_of(hub.settings)
    return Postman(store=hub.store, server=server, base_url=hub.base_url, node=node, clock=hub.clock)


def _duties(hub: Context) -> Clock:
    return Clock(
        store=hub.store,
        node=process_of(hub.settings),
        duties=[*_proving(hub), *_clearing(hub), *_counting(hub)],
        clock=hub.clock,
        supervisor=hub.supervisor,
        meters=hub.meters,
    )


def _proving(hub: Shared) -> list[Duty]:
    every = _CHECKPOINTS_EVERY
    duties = [Duty(name="checkpoint", every=every, run=hub.checkpoints.make, pending=hub.checkpoints.pending)]
    stamping = hub.stamping
    if stamping is not None:
        duties.append(Duty(name="timestamp", every=timedelta(minutes=1), run=stamping.run, pending=stamping.pending))
    return duties


def _clearing(hub: Context) -> list[Duty]:
    store = hub.store
    remembered = timedelta(seconds=hub.settings.idempotency_seconds)
    give_up = timedelta(seconds=hub.settings.give_up_seconds)
    undelivered = Undelivered(store=store, board=hub.board, meters=hub.meters, give_up=give_up)
    sweep = sweep_orphans(store, hub.blobs, grace=_ORPHAN_GRACE)
    duties = [
        Duty(name="sweep-blobs", every=timedelta(hours=1), run=sweep, deletes=True),
        Duty(name="undelivered", every=timedelta(minutes=10), run=undelivered.run, deletes=True),
        Duty(name="sweep-sessions", every=timedelta(hours=1), run=hub.accounts.sweep),
        Duty(
            name="expire-uploads",
            every=timedelta(minutes=10),
            run=hub.uploads.expire,
            deletes=True,
        ),
        Duty(name="retention", every=timedelta(minutes=10), run=_retention(hub).run, deletes=True),
        Duty(
            name="forget-idempotency",
            every=timedelta(hours=1),
            run=lambda now: store.retention.forget_idempotency(now - remembered),
            deletes=True,
        ),
    ]
    if hub.settings.is_test:
        duties.append(Duty(name="test-night", every=_NIGHTLY_LOOK, run=hub.night, deletes=True))
    return duties


def _counting(hub: Context) -> list[Duty]:
    every, going = timedelta(hours=1), hub.onboarding.going
    return [
        Duty(name="place-strays", every=timedelta(minutes=5), run=lambda _: hub.store.tenants.place_strays()),
        Duty(name="go-live", every=timedelta(minutes=1), run=going.resume, pending=going.pending),
        Duty(name="usage", every=every, run=hub.roll_up.run),
        Duty(name="watch", every=every, run=hub.watch.run),
        Duty(name="forget-readiness", every=timedelta(days=1), run=hub.readiness_desk.forget, deletes=True),
        Duty(name="ai-links", every=every, run=hub.link_watch.run, pending=hub.link_watch.pending),
    ]


def unconfined(hub: Context) -> DestinationService:
    """Return who administers destinations from the command line: whoever may use it could change the database anyway.

    So options of adapters name any file, and nothing waits for a second person on account of an address.
    """
    ways = AdapterApproval(store=hub.store, adapters=hub.installed, files=None, own=hub.settings.named_files)
    return _destination_service(hub, ways)


def unconfined_onboarding(hub: Context) -> OnboardingService:
    """Return who takes authorities in from the command line; what it may is as for :func:`unconfined`."""
    ways = AdapterApproval(store=hub.store, adapters=hub.installed, files=None, own=hub.settings.named_files)
    return onboarding(hub, _destination_service(hub, ways), ways)


def _destination_service(hub: UseCases, ways: AdapterApproval) -> DestinationService:
    return DestinationService(
        store=hub.store, policy=hub.policy, destinations=hub.destinations, keys=hub.key_approval, ways=ways
    )
