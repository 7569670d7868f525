"""The hub's objects, built from settings in the order in which they depend on each other.

What settings name, opened: places, keys, servers, adapters. Everything else is wired from these.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from importlib.metadata import entry_points
from pathlib import Path

from hub import __version__
from hub.administration.adapters import AdapterApproval
from hub.administration.clients import ClientService
from hub.administration.dead_letters import DeadLetters
from hub.administration.destinations import DestinationService
from hub.administration.keys import KeyApproval
from hub.administration.offers import Offers
from hub.administration.routing_tables import RoutingTableVersions, open_book
from hub.admission import Admission
from hub.areas import Gazetteer, GazetteerBook
from hub.config import Settings
from hub.crypto import HubKeys, KeyPolicy
from hub.crypto.development import InsecureDevelopmentAuthority
from hub.delivery.adapters import AdapterPool, InstalledAdapters
from hub.delivery.attempt import Rules
from hub.delivery.dispatcher import Dispatcher
from hub.errors import ConfigurationError, Text
from hub.files import vault
from hub.fit_connect.collection import Cases
from hub.identity import Accounts, Clients, Directory, PersonTokens
from hub.identity.openid.login import CALLBACK_PATH, Grants, OpenIdLogin
from hub.identity.openid.provider import Provider, Registration
from hub.intake import Intake, IntakeTools
from hub.intake.status import StatusDesk
from hub.jobs.gauges import Facts, Gauges, Readiness
from hub.jobs.retention import Periods, RetentionJob, Undelivered
from hub.jobs.scheduler import Clock, Duty, sweep_orphans
from hub.model import Adapter, Breaker, Schedule, utc_now
from hub.notifications.callbacks import CallbackWorker, CallbackWriter
from hub.notifications.mail import MailServer, Noticeboard, Postman
from hub.observability import crashpoints
from hub.observability.metrics import Meters
from hub.observability.tracing import Traces, open_traces
from hub.proof.checkpoints import Checkpoints
from hub.proof.event_log import Notary
from hub.resources import shipped
from hub.routing import RoutingTable
from hub.store import Blobs, LocalBlobs, Store
from hub.supervision import Supervisor
from hub.transport.connection import Outbound
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


def open_login(settings: Settings, store: Store, accounts: Accounts, keys: HubKeys) -> OpenIdLogin | None:
    """Log people in by the configured provider; raise ``ConfigurationError`` for files that cannot be used."""
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
        redirect_uri=f"{settings.canonical_url}{CALLBACK_PATH}",
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
    )


def open_board(settings: Settings, store: Store) -> Noticeboard:
    """Return where people are told of what they have to know."""
    return Noticeboard(
        store=store,
        actor=f"hub:{settings.node}",
        mails=bool(settings.smtp_host),
        operators=settings.mail_operators,
    )


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


@dataclass(frozen=True, kw_only=True, slots=True)
class Context:
    """Everything that a process is built of, each once, in the order in which it depends on each other.

    Whoever needs something new of it finds it here, or adds it here and nowhere else.
    """

    settings: Settings
    clock: Callable[[], datetime]
    store: Store
    blobs: Blobs
    keys: HubKeys
    policy: KeyPolicy
    directory: Directory
    admission: Admission
    outbound: Outbound
    clients: Clients
    catalogs: CatalogBook
    #: The areas; :attr:`gazetteers` gives them with the postal codes of the moment, for those who search.
    gazetteer: Gazetteer
    gazetteers: GazetteerBook
    #: What the folder of rules holds for a first start; :attr:`book` knows the table of the moment.
    table: RoutingTable
    book: RoutingTableVersions
    accounts: Accounts
    openid: OpenIdLogin | None
    notary: Notary
    checkpoints: Checkpoints
    callback_writer: CallbackWriter
    cases: Cases
    intake: Intake
    desk: StatusDesk
    #: Every adapter that is installed, by name; :attr:`adapters` holds those that destinations have.
    installed: Mapping[str, type[Adapter]]
    adapters: AdapterPool
    key_approval: KeyApproval
    adapter_approval: AdapterApproval
    destination_service: DestinationService
    client_service: ClientService
    dead_letters: DeadLetters
    person_tokens: PersonTokens
    dispatcher: Dispatcher
    messenger: CallbackWorker
    postman: Postman | None
    duties: Clock
    meters: Meters
    traces: Traces
    supervisor: Supervisor

    @property
    def catalog(self) -> SchemaCatalog:
        """The schema catalogue of the moment."""
        return self.catalogs()

    @property
    def offers(self) -> Offers:
        """The judge of what destinations offer, by what the hub knows at the moment."""
        return Offers(
            register=self.book.services, gazetteer=self.gazetteer, catalog=self.catalog, on=self.clock().date()
        )

    def close(self) -> None:
        """Write out what waits and let go of files and connections."""
        self.store.close()
        self.blobs.settle()
        self.blobs.close()
        self.traces.close()


def build(settings: Settings, *, clock: Callable[[], datetime] = utc_now, serves: bool = True) -> Context:
    """Wire the hub from its settings; creates the data folder, its keys and its tables where they are missing.

    Who ``serves`` (or works) brings older tables up to this version and is stopped by a bad key file. For commands that look
    and mend, tables have to be of this version already, and a bad key file fails what needs it.

    Raises:
        ConfigurationError: something that settings name, a key file or the tables cannot be used; names it.
    """
    vault.make_folder(settings.data)
    crashpoints.arm(settings.crash_at)
    meters = Meters()
    supervisor = Supervisor(fell=meters.loop_fell)
    blobs = open_blobs(settings, supervisor)
    store = Store(settings.database, blobs=blobs, supervisor=supervisor)
    store.on_unreadable(meters.unreadable)
    store.migrate() if serves else store.require_tables()
    # New keys would silently void old proof: where there are cases, a missing keyring is an error, not a first start.
    first_start = store.submissions.cases(limit=1).total == 0
    keys = HubKeys.load_or_create(settings.data / "pki", now=clock(), create=first_start)
    if serves:
        keys.require()
    policy = key_policy(settings, clock())
    directory = Directory(store=store, policy=policy)
    store.on_party_changed(directory.forget)
    catalogs = CatalogBook(shipped("schemas"), settings.data / "schemas")
    rules = settings.rules
    gazetteer = Gazetteer.load(rules / "areas")
    table = RoutingTable.load(rules, gazetteer, empty=not settings.seeds_rules)
    book = open_book(
        store=store, policy=policy, gazetteer=gazetteer, services=table.services, schemas=lambda: catalogs().names()
    )
    if len(table):
        book.begin(table, now=clock())
    accounts = Accounts(store=store, box=keys, passwords=settings.takes_passwords)
    notary = Notary(store=store, keys=keys, meters=meters)
    checkpoints = Checkpoints(store=store, keys=keys, issuer=settings.canonical_url)
    traces = open_traces(settings.otel_endpoint, node=settings.node, version=__version__)
    installed = installed_adapters()
    pool = AdapterPool(installed)
    callback_writer = CallbackWriter(store=store)
    dispatcher = _dispatcher(
        settings,
        store,
        blobs,
        notary,
        clock,
        callback_writer=callback_writer,
        pool=pool,
        meters=meters,
        traces=traces,
        supervisor=supervisor,
    )
    store.on_delivery_due(dispatcher.wake)
    board = open_board(settings, store)
    outbound = Outbound(allow_private_addresses=settings.allow_private_addresses)
    admission = Admission(
        memory_budget=settings.memory_budget_bytes,
        free_bytes=blobs.free_bytes,
        disk_watermark=settings.disk_watermark_bytes,
    )
    tools = IntakeTools(
        store=store,
        blobs=blobs,
        keys=keys,
        directory=directory,
        catalog=catalogs,
        table=lambda: book.active(clock()),
        admission=admission,
        outbound=outbound,
        callback_writer=callback_writer,
        base_url=settings.canonical_url,
        attachment_limit=_ATTACHMENT_LIMIT,
        sealing=pool.sealing,
    )
    key_approval = KeyApproval(store=store, policy=policy)
    adapter_approval = AdapterApproval(
        store=store, adapters=installed, files=settings.data / "secrets", own=settings.named_files
    )
    return Context(
        settings=settings,
        clock=clock,
        store=store,
        blobs=blobs,
        keys=keys,
        policy=policy,
        directory=directory,
        admission=admission,
        outbound=outbound,
        clients=Clients(store=store, directory=directory, keys=keys, issuer=settings.canonical_url),
        catalogs=catalogs,
        gazetteer=gazetteer,
        gazetteers=GazetteerBook(gazetteer, postal_codes_of(settings)),
        table=table,
        book=book,
        accounts=accounts,
        openid=open_login(settings, store, accounts, keys),
        notary=notary,
        checkpoints=checkpoints,
        callback_writer=callback_writer,
        cases=Cases(store=store, notary=notary),
        intake=Intake(tools),
        desk=StatusDesk(store=store),
        installed=installed,
        adapters=pool,
        key_approval=key_approval,
        adapter_approval=adapter_approval,
        destination_service=DestinationService(store=store, policy=policy, keys=key_approval, ways=adapter_approval),
        client_service=ClientService(store),
        dead_letters=DeadLetters(store=store),
        person_tokens=PersonTokens(store=store, accounts=accounts),
        dispatcher=dispatcher,
        messenger=_messenger(settings, store, keys, outbound=outbound, board=board, clock=clock),
        postman=_postman(settings, store, clock),
        duties=Clock(
            store=store,
            node=process_of(settings),
            duties=_duties(
                settings,
                store,
                blobs,
                board=board,
                accounts=accounts,
                meters=meters,
                checkpoints=checkpoints,
                notary=notary,
                retention=_retention(
                    settings, store, keys, callback_writer=callback_writer, board=board, meters=meters
                ),
            ),
            clock=clock,
            supervisor=supervisor,
            meters=meters,
        ),
        meters=meters,
        traces=traces,
        supervisor=supervisor,
    )


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


def readiness(hub: Context) -> Readiness:
    """Return who judges whether this process can do its job."""
    return Readiness(
        store=hub.store,
        blobs=hub.blobs,
        watermark=hub.settings.disk_watermark_bytes,
        faults=hub.keys.faults,
        down=hub.supervisor.down,
    )


def gauges(hub: Context) -> Gauges:
    """Return what the store knows, as gauges."""
    facts = Facts(
        version=__version__,
        table=lambda: hub.book.active(hub.clock()).version,
        schemas=lambda: [(entry.ref.standard, entry.ref.version) for entry in hub.catalog.entries()],
        keys_usable=lambda: not hub.keys.faults(),
    )
    return Gauges(store=hub.store, blobs=hub.blobs, facts=facts, clock=hub.clock)


def _dispatcher(
    settings: Settings,
    store: Store,
    blobs: Blobs,
    notary: Notary,
    clock: Callable[[], datetime],
    *,
    callback_writer: CallbackWriter,
    pool: AdapterPool,
    meters: Meters,
    traces: Traces,
    supervisor: Supervisor,
) -> Dispatcher:
    return Dispatcher(
        store=store,
        blobs=blobs,
        adapters=pool,
        notary=notary,
        callback_writer=callback_writer,
        rules=Rules(
            node=process_of(settings),
            lease=settings.lease,
            schedule=Schedule(
                first=timedelta(seconds=settings.retry_first_seconds),
                longest=timedelta(seconds=settings.retry_longest_seconds),
                give_up=timedelta(seconds=settings.give_up_seconds),
            ),
            threads=settings.delivery_threads,
            base_url=settings.canonical_url,
            breaker=Breaker(
                threshold=settings.circuit_failures,
                first=timedelta(seconds=settings.circuit_first_seconds),
                longest=timedelta(seconds=settings.circuit_longest_seconds),
            ),
            most_lapses=settings.poison_lapses,
        ),
        clock=clock,
        meters=meters,
        traces=traces,
        supervisor=supervisor,
    )


def _retention(
    settings: Settings,
    store: Store,
    keys: HubKeys,
    *,
    callback_writer: CallbackWriter,
    board: Noticeboard,
    meters: Meters,
) -> RetentionJob:
    periods = Periods(
        incomplete=timedelta(seconds=settings.incomplete_seconds),
        finished=timedelta(seconds=settings.finished_seconds),
        unanswered=timedelta(seconds=settings.uncollected_seconds),
        case=timedelta(seconds=settings.case_seconds),
    )
    return RetentionJob(
        store=store,
        callback_writer=callback_writer,
        board=board,
        keys=keys,
        base_url=settings.canonical_url,
        periods=periods,
        meters=meters,
    )


def _messenger(
    settings: Settings,
    store: Store,
    keys: HubKeys,
    *,
    outbound: Outbound,
    board: Noticeboard,
    clock: Callable[[], datetime],
) -> CallbackWorker:
    node = process_of(settings)
    return CallbackWorker(store=store, keys=keys, outbound=outbound, board=board, node=node, clock=clock)


def _postman(settings: Settings, store: Store, clock: Callable[[], datetime]) -> Postman | None:
    """Return who sends notices; None where there is no mail server."""
    server = open_mail_server(settings)
    if server is None:
        return None
    node, base_url = process_of(settings), settings.canonical_url
    return Postman(store=store, server=server, base_url=base_url, node=node, clock=clock)


def _duties(
    settings: Settings,
    store: Store,
    blobs: Blobs,
    *,
    board: Noticeboard,
    accounts: Accounts,
    meters: Meters,
    checkpoints: Checkpoints,
    notary: Notary,
    retention: RetentionJob,
) -> list[Duty]:
    remembered = timedelta(seconds=settings.idempotency_seconds)
    give_up = timedelta(seconds=settings.give_up_seconds)
    undelivered = Undelivered(store=store, board=board, meters=meters, give_up=give_up)
    return [
        Duty(name="checkpoint", every=timedelta(seconds=5), run=checkpoints.make, pending=checkpoints.pending),
        Duty(
            name="sign-events",
            every=timedelta(seconds=5),
            run=lambda _: notary.sign_pending(),
            pending=notary.pending,
        ),
        Duty(
            name="sweep-blobs",
            every=timedelta(hours=1),
            run=sweep_orphans(store, blobs, grace=_ORPHAN_GRACE),
            deletes=True,
        ),
        Duty(name="undelivered", every=timedelta(minutes=10), run=undelivered.run, deletes=True),
        Duty(name="sweep-sessions", every=timedelta(hours=1), run=accounts.sweep),
        Duty(
            name="retention",
            every=timedelta(minutes=10),
            run=retention.run,
            deletes=True,
        ),
        Duty(
            name="forget-idempotency",
            every=timedelta(hours=1),
            run=lambda now: store.retention.forget_idempotency(now - remembered),
            deletes=True,
        ),
    ]


def unconfined(hub: Context) -> DestinationService:
    """Return who administers destinations from the command line: whoever may use it could change the database anyway.

    So options of adapters name any file, and nothing waits for a second person on account of an address.
    """
    ways = AdapterApproval(store=hub.store, adapters=hub.installed, files=None, own=hub.settings.named_files)
    return DestinationService(store=hub.store, policy=hub.policy, keys=hub.key_approval, ways=ways)
