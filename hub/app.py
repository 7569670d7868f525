"""The composition root: settings in, objects wired, ASGI application out. Nothing else builds the hub."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, nullcontext
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

from connexion import context

from hub import __version__, admin, crashpoints
from hub.accounts import Accounts
from hub.adapter_pool import AdapterPool
from hub.admission import Admission
from hub.api import edge, fit_connect
from hub.api.applications import Applications
from hub.api.catalogues import Catalogues
from hub.api.client_admin import ClientAdmin
from hub.api.dead_letters import DeadLetterDesk
from hub.api.destination_admin import DestinationAdmin
from hub.api.dryrun import DryRun
from hub.api.health import Health
from hub.api.measure import Measured
from hub.api.metrics import Metrics
from hub.api.oauth import OAuth
from hub.api.pages import Pages
from hub.api.people import People, person
from hub.api.proofs import Proofs
from hub.api.table_admin import TableAdmin
from hub.areas import Gazetteer
from hub.bearers import Bearers
from hub.callbacks import CallbackTools, CallbackWorker, Herald
from hub.checkpoints import Checkpoints
from hub.circuit import Breaker
from hub.clients import Caller, Clients
from hub.config import Settings
from hub.crypto.keyring import HubKeys
from hub.crypto.keys import KeyPolicy
from hub.crypto.pki import InsecureDevelopmentAuthority
from hub.dead_letters import DeadLetters
from hub.delivery import Adapter, Schedule
from hub.directory import Directory
from hub.dispatch import Dispatcher, Rules
from hub.duties import Clock, Duty, sweep_orphans
from hub.errors import ConfigurationError, Text
from hub.exchange.adapter_settings import AdapterSettings
from hub.exchange.cases import Cases
from hub.exchange.key_changes import KeyDesk
from hub.exchange.stewardship import Stewardship
from hub.exchange.trials import Trials
from hub.gauges import Facts, Gauges
from hub.intake import Intake, Tools
from hub.meters import Meters
from hub.notices import MailServer, Noticeboard, Postman
from hub.openid import Grants, OpenIdLogin, Provider, Registration
from hub.outbound import Outbound
from hub.proof import Notary
from hub.registry import Registry
from hub.resources import shipped
from hub.retention import Periods, Retention
from hub.routing import RoutingTable
from hub.status import StatusDesk
from hub.store import Blobs, LocalBlobs, Store
from hub.tables import TableBook, open_book
from hub.traces import Traces, open_traces
from hub.undelivered import Undelivered
from hub.validation.arrivals import Arrivals
from hub.validation.book import CatalogBook
from hub.validation.catalog import SchemaCatalog
from hub.validation.standing import write_standing

_log = logging.getLogger(__name__)
_ATTACHMENT_LIMIT = 375_000_000  # 500 MB once sealed: base64url makes 4 bytes of 3 (FIT-Connect section 15)
_PROVIDER_ANSWER_LIMIT = 256 * 1024  # Bytes; keys with their certificate chains take some 30 kB.
_ORPHAN_GRACE = timedelta(hours=24)


def utc_now() -> datetime:
    """Return the time; the only place that asks the machine for it."""
    return datetime.now(UTC)


@dataclass(frozen=True, kw_only=True, slots=True)
class Hub:
    """Everything built, in the order in which it depends on each other."""

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
    gazetteer: Gazetteer
    table: RoutingTable
    book: TableBook
    accounts: Accounts
    openid: OpenIdLogin | None
    notary: Notary
    checkpoints: Checkpoints
    intake: Intake
    desk: StatusDesk
    adapters: AdapterPool
    dispatcher: Dispatcher
    messenger: CallbackWorker
    postman: Postman | None
    duties: Clock
    meters: Meters
    traces: Traces

    @property
    def catalog(self) -> SchemaCatalog:
        """The schema catalogue of the moment."""
        return self.catalogs()

    def close(self) -> None:
        """Write out what waits and let go of files and connections."""
        self.store.close()
        self.traces.close()


def build(settings: Settings, *, clock: Callable[[], datetime] = utc_now) -> Hub:
    """Wire the hub from its settings; creates the data folder, its keys and its tables where they are missing."""
    settings.data.mkdir(mode=0o700, parents=True, exist_ok=True)
    crashpoints.arm(settings.crash_at)
    blobs = open_blobs(settings)
    store = Store(settings.database, blobs=blobs)
    store.migrate()
    # New keys would silently void old proof: where there are cases, a missing keyring is an error, not a first start.
    first_start = store.cases(limit=1).total == 0
    keys = HubKeys.load_or_create(settings.data / "pki", now=clock(), create=first_start)
    policy = _key_policy(settings, clock())
    directory = Directory(store=store, policy=policy)
    catalogs = CatalogBook(shipped("schemas"), settings.data / "schemas")
    rules = Path(settings.routing_rules) if settings.routing_rules else shipped("routing_rules")
    gazetteer = _gazetteer(settings, rules / "areas")
    table = RoutingTable.load(rules, gazetteer)
    book = open_book(
        store=store, policy=policy, gazetteer=gazetteer, services=table.services, schemas=lambda: catalogs().uris()
    )
    book.begin(table, now=clock())
    accounts = Accounts(store=store, box=keys, passwords=settings.takes_passwords)
    notary = Notary(store=store, keys=keys)
    checkpoints = Checkpoints(store=store, keys=keys, issuer=settings.canonical_url)
    meters = Meters()
    traces = open_traces(settings.otel_endpoint, node=settings.node, version=__version__)
    pool = AdapterPool(_adapters())
    dispatcher = _dispatcher(settings, store, blobs, notary, clock, pool=pool, meters=meters, traces=traces)
    store.on_delivery_due(dispatcher.wake)
    server = _mail_server(settings)
    board = _noticeboard(settings, store)
    outbound = Outbound(allow_private_addresses=settings.allow_private_addresses)
    admission = Admission(
        memory_budget=settings.memory_budget_bytes,
        free_bytes=blobs.free_bytes,
        disk_watermark=settings.disk_watermark_bytes,
    )
    intake = Intake(
        Tools(
            store=store,
            blobs=blobs,
            keys=keys,
            directory=directory,
            catalog=catalogs,
            table=lambda: book.active(clock()),
            admission=admission,
            outbound=outbound,
            herald=Herald(store=store),
            base_url=settings.canonical_url,
            attachment_limit=_ATTACHMENT_LIMIT,
            sealing=pool.sealing,
        )
    )
    return Hub(
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
        table=table,
        book=book,
        accounts=accounts,
        openid=_openid(settings, store, accounts, keys),
        notary=notary,
        checkpoints=checkpoints,
        intake=intake,
        desk=StatusDesk(store=store),
        adapters=pool,
        dispatcher=dispatcher,
        messenger=CallbackWorker(
            CallbackTools(store=store, keys=keys, outbound=outbound, board=board, node=_process(settings), clock=clock)
        ),
        postman=None
        if server is None
        else Postman(store=store, server=server, base_url=settings.canonical_url, node=_process(settings), clock=clock),
        duties=Clock(
            store=store,
            node=_process(settings),
            duties=_duties(
                settings,
                store=store,
                blobs=blobs,
                keys=keys,
                board=board,
                notary=notary,
                checkpoints=checkpoints,
                accounts=accounts,
                meters=meters,
            ),
            clock=clock,
        ),
        meters=meters,
        traces=traces,
    )


def gauges(hub: Hub) -> Gauges:
    """Return what the store knows, as gauges."""
    facts = Facts(
        version=__version__,
        table=lambda: hub.book.active(hub.clock()).version,
        schemas=lambda: [(entry.ref.standard, entry.ref.version) for entry in hub.catalog.entries()],
    )
    return Gauges(store=hub.store, blobs=hub.blobs, facts=facts, clock=hub.clock)


def asgi(hub: Hub, *, work: bool) -> Any:
    """Return the ASGI application; with ``work`` its process also delivers and keeps the periodic duties."""
    oauth = OAuth(clients=hub.clients, clock=hub.clock)
    application = edge.build(
        _handlers(hub, oauth),
        specification=shipped("openapi.yaml"),
        base_url=hub.settings.canonical_url,
        token_info=_people(hub, oauth).token_info,
        production=hub.settings.production,
        limits=edge.Limits(),
        lifespan=_lifespan(hub, work=work),
    )
    pages = admin.build(
        admin.Tools(
            store=hub.store,
            accounts=hub.accounts,
            tables=hub.book,
            catalog=lambda: hub.catalog,
            policy=hub.policy,
            gazetteer=hub.gazetteer,
            clock=hub.clock,
            base_url=hub.settings.canonical_url,
            production=hub.settings.production,
            version=__version__,
            free_bytes=hub.blobs.free_bytes,
            disk_watermark=hub.settings.disk_watermark_bytes,
            openid=hub.openid,
            passwords=hub.settings.takes_passwords,
            **admin_desks(hub),
        )
    )
    return Measured(admin.Mounted(pages, application), meters=hub.meters, traces=hub.traces)


def _people(hub: Hub, oauth: OAuth) -> People:
    """Return the look-up of everybody who may call: persons, and clients by ``oauth``."""
    bearers = Bearers(store=hub.store, accounts=hub.accounts)
    return People(bearers=bearers, directory=hub.directory, of_client=oauth.token_info, clock=hub.clock)


def _administration(hub: Hub, people: People) -> dict[str, Callable[..., Any]]:
    """Map the operationIds of administrators' operations to the methods that answer them."""
    tables = TableAdmin(book=hub.book, person=person, clock=hub.clock)
    registered = ClientAdmin(registry=Registry(hub.store), person=person, clock=hub.clock)
    destinations = DestinationAdmin(stewardship=stewardship(hub), person=person, clock=hub.clock)
    return {
        "persons.token": people.token,
        "persons.revoke": people.revoke,
        **_named("tables", tables, *_TABLE_OPERATIONS),
        **_named("clients", registered, "list", "show", "create", "rotate", "disable"),
        **_named("destinations", destinations, *_DESTINATION_OPERATIONS),
    }


_TABLE_OPERATIONS = (
    *("active", "history", "list", "show", "create", "rules", "export", "replace_rules", "put_rule", "drop_rule"),
    *("findings", "diff", "refresh", "discard", "approve", "activate", "rollback", "cancel"),
)
_DESTINATION_OPERATIONS = (
    *("list", "show", "create", "change", "add_key", "activate_key", "retire_key", "close_circuit"),
)


def _named(room: str, desk: object, *names: str) -> dict[str, Callable[..., Any]]:
    return {f"{room}.{name}": getattr(desk, name) for name in names}


def stewardship(hub: Hub, *, confined: bool = True) -> Stewardship:
    """Return who administers destinations; ``confined`` to files that the operators put into the folder ``secrets``."""
    files = hub.settings.data / "secrets" if confined else None
    return Stewardship(store=hub.store, policy=hub.policy, adapters=_adapters, files=files)


def admin_desks(hub: Hub) -> dict[str, Any]:
    """Return what the pages change destinations, keys and schemas with."""
    adapters = AdapterSettings(_adapters())
    mine = hub.settings.data / "schemas"
    return {
        "stewardship": stewardship(hub),
        "keys": KeyDesk(store=hub.store, policy=hub.policy),
        "adapters": adapters,
        "trials": Trials(store=hub.store, policy=hub.policy, adapters=adapters, base_url=hub.settings.canonical_url),
        "arrivals": Arrivals(hub.settings.data / "schema-arrivals", mine, catalog=lambda: hub.catalog),
        "set_standing": partial(write_standing, mine),
    }


def _handlers(hub: Hub, oauth: OAuth) -> dict[str, Callable[..., Any]]:
    """Map every other operationId of ``openapi.yaml`` to the method that answers it."""
    applications = Applications(
        intake=hub.intake,
        desk=hub.desk,
        gazetteer=hub.gazetteer,
        caller=_caller,
        clock=hub.clock,
        base_url=hub.settings.canonical_url,
        data_limit=edge.Limits().data_part,
    )
    catalogues = Catalogues(
        catalog=hub.catalogs,
        table=lambda: hub.book.active(hub.clock()),
        table_at=hub.book.at,
        gazetteer=hub.gazetteer,
        keys=hub.keys,
        clock=hub.clock,
    )
    health = Health(store=hub.store, blobs=hub.blobs, watermark=hub.settings.disk_watermark_bytes)
    letters = DeadLetterDesk(letters=DeadLetters(store=hub.store), store=hub.store, caller=_caller, clock=hub.clock)
    metrics = Metrics(meters=hub.meters, gauges=gauges(hub), allowed=hub.settings.metrics)
    proofs = Proofs(cases=Cases(store=hub.store, notary=hub.notary), checkpoints=hub.checkpoints, caller=_caller)
    dry_run = DryRun(
        catalog=hub.catalogs, admission=hub.admission, clock=hub.clock, allowed=hub.settings.validates_publicly
    )
    pages = Pages(docs=not hub.settings.production)
    return {
        "applications.create": applications.create,
        "applications.status": applications.status,
        "applications.receipt": applications.receipt,
        "validations.create": applications.validate,
        "cases.proof": proofs.show,
        "schemas.list": catalogues.schemas,
        "schemas.show": catalogues.schema,
        "schemas.diff": catalogues.differences,
        "areas.search": catalogues.areas,
        "routes.explain": catalogues.explain,
        "keys.hub": catalogues.hub_keys,
        "keys.submission": catalogues.submission_keys,
        "keys.portal": catalogues.portal_keys,
        "oauth.token": oauth.token,
        "dead_letters.list": letters.list,
        "dead_letters.redrive": letters.redrive,
        "dead_letters.redrive_all": letters.redrive_all,
        "metrics.show": metrics.show,
        "health.live": health.live,
        "health.ready": health.ready,
        "pages.home": pages.home,
        "dry_run.form": dry_run.form,
        "dry_run.judge": dry_run.judge,
        **fit_connect.handlers(_fit_connect(hub)),
        **_administration(hub, _people(hub, oauth)),
    }


def _fit_connect(hub: Hub) -> fit_connect.Parts:
    return fit_connect.Parts(
        store=hub.store,
        blobs=hub.blobs,
        keys=hub.keys,
        notary=hub.notary,
        policy=hub.policy,
        gazetteer=hub.gazetteer,
        table=lambda: hub.book.active(hub.clock()),
        admission=hub.admission,
        outbound=hub.outbound,
        base_url=hub.settings.canonical_url,
        caller=_caller,
        clock=hub.clock,
        sealing=hub.adapters.sealing,
    )


def _caller() -> Caller:
    """Return who makes the request that is being handled."""
    caller: Caller = context.context["token_info"]["caller"]
    return caller


@contextmanager
def working(hub: Hub) -> Iterator[None]:
    """Deliver, tell and keep the periodic duties for as long as the block runs; what is under way is finished first."""
    stop = threading.Event()
    workers = [
        threading.Thread(target=hub.dispatcher.run, args=[stop], name="dispatcher"),
        threading.Thread(target=hub.messenger.run, args=[stop], name="callbacks"),
    ]
    if hub.postman is not None:
        workers.append(threading.Thread(target=hub.postman.run, args=[stop], name="notices"))
    for worker in workers:
        worker.start()
    hub.duties.start()
    try:
        yield
    finally:
        stop.set()
        hub.dispatcher.wake()
        for worker in workers:
            worker.join()
        hub.duties.stop()


def _lifespan(hub: Hub, *, work: bool) -> Callable[[Any], Any]:
    @asynccontextmanager
    async def lifespan(_: Any) -> AsyncIterator[None]:
        try:
            with working(hub) if work else nullcontext():
                yield
        finally:
            hub.close()

    return lifespan


def open_blobs(settings: Settings) -> Blobs:
    """Open the place of large contents; raise ``ConfigurationError`` for one that cannot be used."""
    if settings.blobs == "local":
        return LocalBlobs(settings.data / "blobs")
    try:
        from hub.store.s3blobs import S3Blobs, S3Place
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
    return S3Blobs(place)


def postal_codes_of(settings: Settings) -> Path:
    """Return where an operator's list of postal codes lies, if there is one."""
    return settings.data / "areas" / "postal_codes.csv"


def _gazetteer(settings: Settings, folder: Path) -> Gazetteer:
    """Read the areas, and the postal codes if there are any; codes that do not fit the areas do not stop the start."""
    gazetteer, codes = Gazetteer.load(folder), postal_codes_of(settings)
    if not codes.is_file():
        return gazetteer
    try:
        return gazetteer.with_postal_codes(codes)
    except ConfigurationError as error:
        _log.warning("no postal codes, import them anew (hub areas import-postal-codes): %s", error)
        return gazetteer


def _openid(settings: Settings, store: Store, accounts: Accounts, keys: HubKeys) -> OpenIdLogin | None:
    """Log people in by the configured provider; raise ``ConfigurationError`` for files that cannot be used."""
    if not settings.openid_issuer:
        return None
    try:
        secret = Path(settings.openid_client_secret_file).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(
            Text("openid_client_secret_file ist nicht lesbar.", "openid_client_secret_file cannot be read.")
        ) from error
    registration = Registration(
        issuer=settings.openid_issuer,
        client_id=settings.openid_client_id,
        secret=secret,
        redirect_uri=f"{settings.canonical_url}{admin.OPENID_CALLBACK}",
        scopes=tuple(settings.openid_scopes.split()),
    )
    outbound = Outbound(
        allow_private_addresses=settings.allow_private_addresses or settings.openid_private_network,
        answer_limit=_PROVIDER_ANSWER_LIMIT,
    )
    return OpenIdLogin(
        store=store,
        accounts=accounts,
        box=keys,
        provider=Provider(registration=registration, outbound=outbound),
        grants=Grants.load(Path(settings.openid_roles_file), settings.openid_roles_claim),
    )


def _process(settings: Settings) -> str:
    """Name this process in leases: two processes of one machine are two holders."""
    return f"{settings.node}/{os.getpid()}"


def development_authority(settings: Settings, *, now: datetime) -> InsecureDevelopmentAuthority:
    """Return the development PKI of the data folder, made there if missing; refused in production."""
    folder = settings.data / "pki" / "development-ca"
    return InsecureDevelopmentAuthority.load_or_create(folder, now=now, production=settings.production)


def _key_policy(settings: Settings, now: datetime) -> KeyPolicy:
    """Trust the operator's anchors; in development also the development PKI and self-signed certificates."""
    policy = KeyPolicy.from_files(sorted((settings.data / "anchors").glob("*.pem")), allow_self_signed=False)
    if settings.production:
        return policy
    anchor = development_authority(settings, now=now).certificate
    return replace(policy, trust_anchors=(*policy.trust_anchors, anchor), allow_self_signed=True)


def _dispatcher(
    settings: Settings,
    store: Store,
    blobs: Blobs,
    notary: Notary,
    clock: Callable[[], datetime],
    *,
    pool: AdapterPool,
    meters: Meters,
    traces: Traces,
) -> Dispatcher:
    return Dispatcher(
        store=store,
        blobs=blobs,
        adapters=pool,
        notary=notary,
        herald=Herald(store=store),
        rules=Rules(
            node=_process(settings),
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
    )


def _retention(settings: Settings, store: Store, keys: HubKeys, board: Noticeboard) -> Callable[[datetime], int]:
    periods = Periods(
        incomplete=timedelta(seconds=settings.incomplete_seconds),
        finished=timedelta(seconds=settings.finished_seconds),
        unanswered=timedelta(seconds=settings.uncollected_seconds),
        case=timedelta(seconds=settings.case_seconds),
    )
    herald, base_url = Herald(store=store), settings.canonical_url
    return Retention(store=store, herald=herald, board=board, keys=keys, base_url=base_url, periods=periods).run


def _noticeboard(settings: Settings, store: Store) -> Noticeboard:
    return Noticeboard(
        store=store,
        actor=f"hub:{settings.node}",
        mails=bool(settings.smtp_host),
        operators=settings.mail_operators,
    )


def _mail_server(settings: Settings) -> MailServer | None:
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


def _adapters() -> dict[str, type[Adapter]]:
    """Load every installed adapter by name (entry-point group ``hub.adapters``).

    One whose optional library is not installed is left out; a destination that names it is told which there are.
    """
    found = {}
    for entry in entry_points(group="hub.adapters"):
        try:
            found[entry.name] = entry.load()
        except ImportError as error:
            _log.info("adapter %s is not available: %s", entry.name, error)
    return found


def _duties(
    settings: Settings,
    *,
    store: Store,
    blobs: Blobs,
    keys: HubKeys,
    board: Noticeboard,
    notary: Notary,
    checkpoints: Checkpoints,
    accounts: Accounts,
    meters: Meters,
) -> list[Duty]:
    remembered = timedelta(seconds=settings.idempotency_seconds)
    give_up = timedelta(seconds=settings.give_up_seconds)
    undelivered = Undelivered(store=store, board=board, meters=meters, give_up=give_up)
    return [
        Duty(name="checkpoint", every=timedelta(seconds=5), run=checkpoints.make),
        Duty(name="sign-events", every=timedelta(seconds=5), run=lambda _: notary.sign_pending()),
        Duty(name="sweep-blobs", every=timedelta(hours=1), run=sweep_orphans(store, blobs, grace=_ORPHAN_GRACE)),
        Duty(name="undelivered", every=timedelta(minutes=10), run=undelivered.run),
        Duty(name="sweep-sessions", every=timedelta(hours=1), run=accounts.sweep),
        Duty(name="retention", every=timedelta(minutes=10), run=_retention(settings, store, keys, board)),
        Duty(
            name="forget-idempotency",
            every=timedelta(hours=1),
            run=lambda now: store.forget_idempotency(now - remembered),
        ),
    ]
