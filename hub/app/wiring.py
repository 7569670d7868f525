"""The hub's objects, built from settings in the order in which they depend on each other.

What settings name, opened: places, keys, servers, adapters. Everything else is wired from these.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial
from importlib.metadata import entry_points
from pathlib import Path

from hub import __version__
from hub.administration.accounts import AccountService
from hub.administration.adapters import AdapterApproval
from hub.administration.clients import ClientService
from hub.administration.costs import Costs
from hub.administration.deliveries import DeadLetters
from hub.administration.destinations import Destinations, DestinationService
from hub.administration.disclosure import Operation
from hub.administration.keys import KeyApproval
from hub.administration.lost_keys import LostKeys
from hub.administration.offers import Offers
from hub.administration.routing_tables import RoutingTableVersions, open_book
from hub.administration.service_versions import ServiceVersions
from hub.administration.tenants import TenantService
from hub.administration.usage import UsageReports
from hub.admission import Admission
from hub.app.processes import Member
from hub.areas import Gazetteer, GazetteerBook
from hub.config import Settings
from hub.crypto import HubKeys, KeyPolicy
from hub.crypto.development import InsecureDevelopmentAuthority
from hub.delivery.attempt import AdapterPool, InstalledAdapters, Rules
from hub.delivery.dispatcher import Dispatcher
from hub.errors import ConfigurationError, Text
from hub.files import vault
from hub.fit_connect.collection import Cases
from hub.fit_connect.sender_cases import SenderCases
from hub.identity import Accounts, Clients, Directory, PersonTokens
from hub.identity.invitations import Invitations
from hub.identity.openid.login import CALLBACK_PATH, Grants, OpenIdLogin
from hub.identity.passkeys import Passkeys
from hub.identity.second_factors import FactorDemand, FactorRule, SecondFactors
from hub.identity.two_steps import TwoSteps
from hub.intake import Intake
from hub.intake.screening import Screening
from hub.intake.status import StatusDesk
from hub.intake.uploads import UploadDesk, UploadRules
from hub.jobs.gauges import Facts, Gauges, Readiness
from hub.jobs.retention import Periods, RetentionJob, Undelivered
from hub.jobs.scheduler import Clock, Duty, sweep_orphans
from hub.jobs.usage import RefusalTally, RollUp
from hub.jobs.watch import Watch
from hub.model import Breaker, Destination, Role, Schedule, Sealing, utc_now
from hub.notifications.callbacks import CallbackWorker, CallbackWriter
from hub.notifications.mail import MailedLinks, MailServer, Noticeboard, Postman
from hub.observability import crashes
from hub.observability.metrics import LOGINS, Meters
from hub.observability.tracing import open_traces
from hub.openid.provider import Provider, Registration
from hub.proof.checkpoints import Checkpoints
from hub.proof.evidence import Evidences, Notary
from hub.resources import shipped
from hub.routing import CurrentServices, RoutingTable
from hub.scanning import Scanner, Times, open_scanner, scanner_address
from hub.scanning.kinds import allow_list
from hub.services import ServiceCatalogue
from hub.services.ai_systems import AiRegister
from hub.store import Blobs, LocalBlobs, Store, UploadQuota, WatchPatience
from hub.store.engine import sqlite_file
from hub.supervision import Supervisor
from hub.transport.connection import Outbound, dial_own
from hub.validation.catalog import CatalogBook, SchemaCatalog

_log = logging.getLogger(__name__)
_LONGEST_SECRET = 4096  # Bytes
_PROVIDER_ANSWER_LIMIT = 256 * 1024  # Bytes; keys with their certificate chains take some 30 kB.


def process_of(settings: Settings) -> str:
    """Name this process in leases: two processes of one machine are two holders."""
    return f"{settings.node}/{os.getpid()}"


def installed_adapters() -> InstalledAdapters:
    """Return every installed adapter by name (entry-point group ``hub.adapters``)."""
    return InstalledAdapters(entry_points(group="hub.adapters"))


def open_blobs(settings: Settings, supervisor: Supervisor | None = None) -> Blobs:
    """Open the place of large contents; raise ``ConfigurationError`` for one that cannot be used."""
    if settings.blobs == "local":
        return LocalBlobs(settings.data / "blobs")
    try:
        from hub.store.blobs.s3 import S3Blobs, S3Place
    except ImportError as error:
        raise ConfigurationError(
            Text(
                "Für Inhalte in einem Eimer fehlt das Zusatzpaket: Installieren Sie rathaus-hub[s3].",
                "Contents in a bucket need an extra package: install rathaus-hub[s3].",
            )
        ) from error
    place = S3Place.from_files(
        settings.blobs,
        endpoint=settings.blobs_endpoint,
        region=settings.blobs_region,
        key_id_file=settings.blobs_key_id_file,
        secret_file=settings.blobs_secret_file,
    )
    return S3Blobs(place, supervisor=supervisor)


def postal_codes_of(settings: Settings) -> Path:
    """Return where an operator's list of postal codes lies, if there is one."""
    return settings.data / "areas" / "postal_codes.csv"


def parts_of(settings: Settings) -> Path:
    """Return where an operator's list of parts of municipalities lies, if there is one."""
    return settings.data / "areas" / "parts.csv"


def development_authority(settings: Settings, *, now: datetime) -> InsecureDevelopmentAuthority:
    """Return the development PKI of the data folder, made there if missing; refused in production."""
    folder = settings.data / "pki" / "development-ca"
    return InsecureDevelopmentAuthority.load_or_create(folder, now=now, production=settings.production)


def key_policy(settings: Settings, now: datetime) -> KeyPolicy:
    """Trust the operator's anchors; in development also the development PKI and self-signed certificates."""
    policy = KeyPolicy.from_files(sorted((settings.data / "anchors").glob("*.pem")), allow_self_signed=False)
    if settings.production:
        return policy
    anchor = development_authority(settings, now=now).certificate
    return replace(policy, trust_anchors=(*policy.trust_anchors, anchor), allow_self_signed=True)


#: The setting of the store under which the address stands that this hub signs as.
_ADDRESS = "canonical-address"


def canonical_address(settings: Settings, store: Store, *, listens: bool) -> str:
    """Return the address that the hub signs as: one for all processes on a store, so that all are one issuer.

    Where no ``base_url`` is set, it follows from where the hub ``listens``, and only the process that does knows: it writes it
    down, and commands and workers beside it take it from there.
    """
    known = store.settings.value(_ADDRESS)
    address = settings.canonical_url if settings.base_url or listens or not known else known
    if listens and address != known:
        store.settings.set(_ADDRESS, address)
    return address


def open_login(
    settings: Settings, store: Store, accounts: Accounts, keys: HubKeys, *, base_url: str, failed: Callable[[], None]
) -> OpenIdLogin | None:
    """Log people in by the configured provider; raise ``ConfigurationError`` for files that cannot be used.

    ``failed`` is told of each log-in that fails.
    """
    if not settings.openid_issuer:
        return None
    try:
        secret = vault.read_text(Path(settings.openid_client_secret_file), most=_LONGEST_SECRET)
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(
            Text("openid_client_secret_file ist nicht lesbar.", "openid_client_secret_file cannot be read.")
        ) from error
    registration = Registration(
        issuer=settings.openid_issuer,
        client_id=settings.openid_client_id,
        secret=secret,
        redirect_uri=f"{base_url}{CALLBACK_PATH}",
        scopes=tuple(settings.openid_scopes.split()),
    )
    outbound = Outbound(
        allow_private_addresses=settings.allow_private_addresses or settings.openid_private_network,
        any_port=True,
        answer_limit=_PROVIDER_ANSWER_LIMIT,
    )
    return OpenIdLogin(
        store=store,
        accounts=accounts,
        box=keys,
        provider=Provider(registration=registration, outbound=outbound),
        grants=Grants.load(Path(settings.openid_roles_file), settings.openid_roles_claim),
        failed=failed,
    )


def open_hub_scanner(settings: Settings) -> Scanner | None:
    """Return the scanner for malware of the settings, None where there is none; nothing is connected to yet."""
    if not settings.scan:
        return None
    times = Times(answer=settings.scan_seconds, wait=settings.scan_wait_seconds)
    return open_scanner(scanner_address(settings.scan), dial=dial_own, times=times, most=settings.scan_bytes)


def open_board(settings: Settings, store: Store) -> Noticeboard:
    """Return where people are told of what they have to know."""
    return Noticeboard(
        store=store,
        actor=f"hub:{settings.node}",
        mails=bool(settings.smtp_host),
        operators=settings.mail_operators,
    )


def _factor_rule(settings: Settings) -> FactorRule:
    return FactorRule(
        demand=FactorDemand(settings.second_factor), roles=frozenset(map(Role, settings.second_factor_roles.split()))
    )


def open_links(settings: Settings, base_url: str) -> MailedLinks | None:
    """Return who mails links; None where no mail server is set up."""
    server = open_mail_server(settings)
    return None if server is None else MailedLinks(server=server, base_url=base_url)


def open_mail_server(settings: Settings) -> MailServer | None:
    """Return the mail server of the settings, None where there is none; ``ConfigurationError`` for files of no use."""
    if not settings.smtp_host:
        return None
    return MailServer.from_files(
        host=settings.smtp_host,
        port=settings.smtp_port,
        sender=settings.mail_sender,
        starttls=settings.smtp_security == "starttls",
        user=settings.smtp_user,
        password_file=settings.smtp_password_file,
        ca_file=settings.smtp_ca_file,
    )


_ATTACHMENT_LIMIT = 375_000_000  # 500 MB once sealed: base64url makes 4 bytes of 3 (FIT-Connect section 15)
_ORPHAN_GRACE = timedelta(hours=24)
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
        #: The areas; ``gazetteers`` gives them with the operator's lists of the moment, for those who search.
        self.gazetteer = Gazetteer.load(settings.rules / "areas")
        self.ai_register = _ai_register(settings)
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
            factors=SecondFactors(store=store, box=keys, rule=_factor_rule(settings)),
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
        )
        self.openid = open_login(settings, store, self.accounts, keys, base_url=self.base_url, failed=by_openid)
        self.person_tokens = PersonTokens(store=store, accounts=self.accounts)
        self.service_book = _open_services(self)
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
        self.evidences = Evidences(
            store=store, keys=keys, issuer=self.base_url, meters=self.meters, scans=bool(settings.scan)
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

    def table(self) -> RoutingTable:
        """Return the routing table in force."""
        return self.book.active(self.clock())


class Context(Shared):
    """Everything that a process is built of, each once, in the order in which it depends on each other.

    Whoever needs something new of it finds it here, or adds a line here and nowhere else: a consumer says in its own file
    what it needs, and is handed the whole. What was set once stays.
    """

    def __init__(self, settings: Settings, clock: Callable[[], datetime], purpose: Purpose) -> None:
        super().__init__(settings, clock, purpose)
        store = self.store
        self.attachment_limit = _ATTACHMENT_LIMIT
        self.screening = _screening(self)
        self.intake = Intake(self)
        self.uploads = UploadDesk(
            store=store, blobs=self.blobs, admission=self.admission, rules=_upload_rules(settings), clock=self.clock
        )
        self.desk = StatusDesk(
            store=store, evidences=self.evidences, clock=self.clock, silent=_patience(settings).silent
        )
        self.cases = Cases(store=store, notary=self.notary)
        self.sender_cases = SenderCases(
            store=store, blobs=self.blobs, callback_writer=self.callback_writer, issuer=self.base_url
        )
        self.key_approval = KeyApproval(store=store, policy=self.policy)
        self.lost_keys = LostKeys(store=store, blobs=self.blobs, callbacks=self.callback_writer, base_url=self.base_url)
        self.adapter_approval = AdapterApproval(
            store=store, adapters=self.installed, files=settings.data / "secrets", own=settings.named_files
        )
        self.destinations = Destinations(store=store, policy=self.policy)
        self.destination_service = _destination_service(self, self.adapter_approval)
        self.client_service = ClientService(store)
        self.tenant_service = TenantService(store=store, gazetteer=self.gazetteers, book=self.book)
        self.dead_letters = DeadLetters(store=store)
        #: What the record of processing activities says of this hub.
        self.operation = _operation(self)
        self.dispatcher = _dispatcher(self)
        # Where another process delivers, that one is woken.
        store.on_delivery_due(self.dispatcher.wake if self.member is None else self.member.board.wake)
        self.messenger = _messenger(self)
        self.postman = _postman(self)
        self.roll_up = RollUp(store=store)
        self.watch = Watch(store=store, board=self.board, patience=_patience(settings))
        self.refusals = RefusalTally(store=store, clock=clock)
        self.usage_reports = UsageReports(
            store=store,
            gazetteer=self.gazetteers,
            service_name=self.book.services.name,
            services=lambda: self.book.services,
            costs=_costs(settings, self.gazetteer),
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


def _screening(hub: Shared) -> Screening:
    settings = hub.settings
    return Screening(
        scanner=open_hub_scanner(settings),
        policies=settings.scan_policies,
        kinds=allow_list(settings.attachment_kinds),
        limits=settings.scan_limits,
        services=hub.services,
        meters=hub.meters,
    )


def _ai_register(settings: Settings) -> AiRegister:
    """Return the AI systems of the rules' folder and the operator's own; where an older folder has none, those that ship."""
    seeded = settings.rules / "ai_systems"
    return AiRegister.load(
        seeded if seeded.is_dir() else shipped("routing_rules/ai_systems"), settings.data / "ai_systems"
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
        rules=_rules(hub.settings, hub.base_url),
        clock=hub.clock,
        meters=hub.meters,
        traces=hub.traces,
        supervisor=hub.supervisor,
    )


def _rules(settings: Settings, base_url: str) -> Rules:
    return Rules(
        node=process_of(settings),
        lease=settings.lease,
        schedule=Schedule(
            first=timedelta(seconds=settings.retry_first_seconds),
            longest=timedelta(seconds=settings.retry_longest_seconds),
            give_up=timedelta(seconds=settings.give_up_seconds),
        ),
        threads=settings.delivery_threads,
        base_url=base_url,
        breaker=Breaker(
            threshold=settings.circuit_failures,
            first=timedelta(seconds=settings.circuit_first_seconds),
            longest=timedelta(seconds=settings.circuit_longest_seconds),
        ),
        most_lapses=settings.poison_lapses,
    )


def _periods(settings: Settings) -> Periods:
    return Periods(
        incomplete=timedelta(seconds=settings.incomplete_seconds),
        finished=timedelta(seconds=settings.finished_seconds),
        unanswered=timedelta(seconds=settings.uncollected_seconds),
        case=timedelta(seconds=settings.case_seconds),
        by_service=settings.kept_by_service,
    )


def _upload_rules(settings: Settings) -> UploadRules:
    return UploadRules(
        kept=timedelta(seconds=settings.upload_seconds),
        remembered=timedelta(seconds=settings.idempotency_seconds),
        quota=UploadQuota(
            number=settings.uploads_per_client, size=settings.upload_bytes_per_client, largest=_ATTACHMENT_LIMIT
        ),
        pause=settings.pause_seconds,
    )


def _operation(hub: Shared) -> Operation:
    settings = hub.settings
    return Operation(
        base_url=hub.base_url,
        environment=settings.environment,
        operators=settings.mail_operators,
        database="SQLite" if sqlite_file(settings.database) is not None else "PostgreSQL",
        contents=settings.blobs,
        periods=_periods(settings),
        idempotency=timedelta(seconds=settings.idempotency_seconds),
    )


def _retention(hub: Shared) -> RetentionJob:
    return RetentionJob(
        store=hub.store,
        callback_writer=hub.callback_writer,
        board=hub.board,
        keys=hub.keys,
        base_url=hub.base_url,
        periods=_periods(hub.settings),
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
    return [Duty(name="checkpoint", every=every, run=hub.checkpoints.make, pending=hub.checkpoints.pending)]


def _clearing(hub: Context) -> list[Duty]:
    store = hub.store
    remembered = timedelta(seconds=hub.settings.idempotency_seconds)
    give_up = timedelta(seconds=hub.settings.give_up_seconds)
    undelivered = Undelivered(store=store, board=hub.board, meters=hub.meters, give_up=give_up)
    sweep = sweep_orphans(store, hub.blobs, grace=_ORPHAN_GRACE)
    return [
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


def _costs(settings: Settings, gazetteer: Gazetteer) -> Costs:
    """Return the allocation key of the settings; one that cannot be used stops the start, not the end of a month."""

    def known(ars: str) -> tuple[str, int | None]:
        place = gazetteer.find(ars)
        return (ars, None) if place is None else (place.name, place.inhabitants)

    return Costs.load(Path(settings.costs_file), known) if settings.costs_file else Costs()


def _counting(hub: Context) -> list[Duty]:
    every = timedelta(hours=1)
    return [
        Duty(name="usage", every=every, run=hub.roll_up.run),
        Duty(name="watch", every=every, run=hub.watch.run),
    ]


def _patience(settings: Settings) -> WatchPatience:
    return WatchPatience(
        silent=timedelta(days=settings.silent_days),
        mailbox=timedelta(days=settings.mailbox_days),
        sender=timedelta(days=settings.quiet_sender_days),
        unused=timedelta(days=settings.unused_days),
    )


def unconfined(hub: Context) -> DestinationService:
    """Return who administers destinations from the command line: whoever may use it could change the database anyway.

    So options of adapters name any file, and nothing waits for a second person on account of an address.
    """
    ways = AdapterApproval(store=hub.store, adapters=hub.installed, files=None, own=hub.settings.named_files)
    return _destination_service(hub, ways)


def _destination_service(hub: Context, ways: AdapterApproval) -> DestinationService:
    return DestinationService(
        store=hub.store, policy=hub.policy, destinations=hub.destinations, keys=hub.key_approval, ways=ways
    )
