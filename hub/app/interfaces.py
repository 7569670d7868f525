"""The ASGI application: which method answers each operation of the contract, and the pages beside it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, nullcontext
from pathlib import Path
from typing import Any

import uvicorn

from hub import __version__, admin
from hub.api import application, caller
from hub.api.administration.accounts import AccountAdmin
from hub.api.administration.ai_register import AiRegisterAdmin
from hub.api.administration.destinations import DeadLetterDesk, DestinationAdmin
from hub.api.administration.onboarding import OnboardingAdmin
from hub.api.administration.parties import ClientAdmin, People, person
from hub.api.administration.routing_tables import TableAdmin
from hub.api.administration.tenants import TenantAdmin
from hub.api.administration.vendors import VendorAdmin
from hub.api.ai_register import AiSystems
from hub.api.applications import Applications
from hub.api.as4 import As4Door, PartLimits
from hub.api.cases import CaseAiSteps, CaseReplies
from hub.api.catalogue import Catalogues
from hub.api.deprecation import Endings
from hub.api.feed import Feed
from hub.api.fit_connect import handlers as fit_connect
from hub.api.fit_connect.destinations import Quota
from hub.api.fit_connect.messages import Proofs
from hub.api.fit_connect.oauth import OAuth
from hub.api.forwards import CaseForwards
from hub.api.guards import Unhurried
from hub.api.monitoring import Health, Measured, Metrics
from hub.api.pages import Pages
from hub.api.problems import server_options as options_within
from hub.api.readiness import ReadinessAdmin
from hub.api.services import PublicServices
from hub.api.uploads import ResumableUploads
from hub.api.usage import PublicFigures, UsageDesk
from hub.api.validation_page import ValidationPage
from hub.app.processes import Member
from hub.app.wiring import Context, working
from hub.config import Settings
from hub.observability.diagnosis import MARK
from hub.resources import shipped
from hub.soap.pmode import read_agreements
from hub.web.protocol import ConnectionBounds, Listener, SharingServer, SteadyServer
from hub.web.responses import TEST_INSTANCE

_TABLE_OPERATIONS = (
    *("active", "history", "list", "show", "create", "rules", "export", "replace_rules", "put_rule", "drop_rule"),
    *("findings", "diff", "refresh", "discard", "approve", "activate", "rollback", "cancel"),
)
_AI_OPERATIONS = ("list", "show", "systems", "create", "put_systems", "withdraw", "approve", "publish")
#: Bytes that messages tried by strangers may take up: a budget of their own, so that they never cost an application its place.
_TRIED = 32 * 1024 * 1024
#: Bytes of forms with which somebody still unknown asks for a token.
_SMALL_FORMS = {"oauth.token": 16 * 1024, "persons.token": 16 * 1024}
_ONBOARDING_OPERATIONS = (*("list", "show", "hand_in", "runs", "run", "release", "refuse", "go_live", "test", "pack"),)
_ACCOUNT_OPERATIONS = (
    *("list", "show", "lock", "unlock", "reset_factors", "vouch", "set_roles"),
    *("sessions", "end_sessions", "end_session", "invitations", "invite", "withdraw"),
)
_TENANT_OPERATIONS = ("list", "show", "create", "rename", "preview", "move", "dissolve", "grant", "revoke")
_VENDOR_OPERATIONS = (
    *("list", "show", "create", "delegate", "withdraw", "set_client", "drop_client", "propose_key", "decide_key"),
)
_DESTINATION_OPERATIONS = (
    *("list", "show", "create", "change", "put_service", "drop_service"),
    *("add_key", "activate_key", "retire_key", "close_circuit"),
)


def asgi(hub: Context, *, work: bool) -> Any:
    """Return the ASGI application; with ``work`` its process also delivers and keeps the periodic duties."""
    oauth = OAuth(clients=hub.clients, clock=hub.clock)
    people = people_desk(hub, oauth)
    limits = _limits(hub.settings)
    served = application.build(
        handlers(hub, oauth, people),
        specification=shipped("openapi.yaml"),
        base_url=hub.base_url,
        token_info=people.token_info,
        production=hub.settings.production,
        said=TEST_INSTANCE if hub.settings.is_test else None,
        limits=limits,
        admission=hub.admission,
        identities=oauth.identities,
        lifespan=_lifespan(hub, work=work),
    )
    pages = admin.build(admin_desks(hub))
    mounted = _with_as4(hub, admin.Mounted(Unhurried(pages, limits=limits), served), limits)
    return Measured(mounted, meters=hub.meters, traces=hub.traces, refused=hub.refusals, used=hub.ending_uses)


def _with_as4(hub: Context, served: Any, limits: application.RequestLimits) -> Any:
    """Return the application with the door for access points of AS4, where there are any."""
    if not hub.settings.as4_folder:
        return served
    door = As4Door(
        served,
        agreements=read_agreements(Path(hub.settings.as4_folder)),
        intake=hub.intake,
        directory=hub.directory,
        admission=hub.admission,
        gazetteer=hub.gazetteer,
        clock=hub.clock,
        limits=PartLimits(data=limits.data_part, attachment=limits.attachment),
    )
    return Unhurried(door, limits=limits)


def server_options(settings: Settings) -> dict[str, Any]:
    """Return how uvicorn serves the application; host, port and number of processes are for the caller to add."""
    bounds = ConnectionBounds(
        head_bytes=settings.head_bytes, head_seconds=settings.head_seconds, connections=settings.connections
    )
    return {**options_within(bounds), "lifespan": "on"}


def server(application: Any, settings: Settings) -> SteadyServer:
    """Return the server of one process for an ASGI application, or for ``MODULE:FACTORY`` that builds it."""
    options = server_options(settings)
    factory = isinstance(application, str)
    return SteadyServer(uvicorn.Config(application, factory=factory, host=settings.host, port=settings.port, **options))


def sharing_server(application: Any, settings: Settings, *, listener: Listener, member: Member) -> SharingServer:
    """Return the server of one of several processes that share ``listener``."""
    return SharingServer(uvicorn.Config(application, **server_options(settings)), listener=listener, siblings=member)


def _limits(settings: Settings) -> application.RequestLimits:
    return application.RequestLimits(
        pause=settings.pause_seconds,
        body_seconds=settings.body_seconds,
        body_rate=settings.body_bytes_per_second,
        overrides=_SMALL_FORMS,
    )


def admin_desks(hub: Context) -> admin.Tools:
    """Return what the pages work with."""
    settings = hub.settings
    return admin.Tools(
        hub=hub,
        production=settings.production,
        is_test=settings.is_test,
        version=__version__,
        disk_watermark=settings.disk_watermark_bytes,
        passwords=settings.takes_passwords,
        adapters=hub.adapter_settings,
        trials=hub.trials,
        arrivals=hub.arrivals,
        standings=hub.standings,
    )


def people_desk(hub: Context, oauth: OAuth) -> People:
    """Return the look-up of everybody who may call: persons, and clients by ``oauth``."""
    return People(
        person_tokens=hub.person_tokens,
        directory=hub.directory,
        tenants=hub.store.tenants,
        of_client=oauth.token_info,
        clock=hub.clock,
    )


def handlers(
    hub: Context, oauth: OAuth, people: People, *, quota: Quota | None = None
) -> dict[str, Callable[..., Any]]:
    """Map every other operationId of ``openapi.yaml`` to the method that answers it."""
    quota = quota or Quota(leases=hub.store.logins)
    return {
        "oauth.token": oauth.token,
        **_plain_door(hub),
        **_look_ups(hub, quota),
        **_public_pages(hub),
        **_operation(hub),
        **fit_connect.handlers(hub, caller=caller, quota=quota),
        **_administration(hub, people),
    }


def _plain_door(hub: Context) -> dict[str, Callable[..., Any]]:
    """Map the operationIds of senders: applications, their uploads and their cases."""
    applications = Applications(
        intake=hub.intake,
        desk=hub.desk,
        endings=Endings(hub.catalogs),
        gazetteer=hub.gazetteer,
        caller=caller,
        clock=hub.clock,
        base_url=hub.base_url,
        data_limit=application.RequestLimits().data_part,
        uploads=hub.uploads,
    )
    uploads = ResumableUploads(hub.uploads, caller=caller, base_url=hub.base_url)
    own_cases = CaseReplies(hub.sender_cases, caller=caller, clock=hub.clock)
    ai_steps = CaseAiSteps(hub.ai_steps, caller=caller, clock=hub.clock)
    forwards = CaseForwards(hub.forwarding, caller=caller, clock=hub.clock)
    proofs = Proofs(cases=hub.cases, checkpoints=hub.checkpoints, caller=caller)
    return {
        **_named("applications", applications, "create", "list", "status", "receipt", "call_back"),
        "applications.create_parts": applications.create,
        "validations.create": applications.validate,
        **_named("uploads", uploads, "options", "create", "show", "append", "drop"),
        "cases.proof": proofs.show,
        **_named("ai_steps", ai_steps, "post", "list"),
        **_named("cases", own_cases, "show", "replies", "reply", "attachment", "acknowledge"),
        **_named("forwards", forwards, "begin", "complete", "links"),
    }


def _look_ups(hub: Context, quota: Quota) -> dict[str, Callable[..., Any]]:
    """Map the operationIds of what anybody may look up: schemas, areas, services, responsibilities and keys."""
    catalogues = Catalogues(
        catalog=hub.catalogs,
        table=hub.table,
        table_at=hub.book.at,
        gazetteer=hub.gazetteers,
        keys=hub.keys,
        clock=hub.clock,
    )
    services = PublicServices(
        services=hub.services,
        table=hub.table,
        gazetteer=hub.gazetteers,
        destination=hub.destinations.find,
        catalog=hub.catalogs,
        quota=quota,
        clock=hub.clock,
    )
    return {
        "schemas.list": catalogues.schemas,
        "schemas.show": catalogues.schema,
        "schemas.document": catalogues.document,
        "schemas.diff": catalogues.differences,
        "schemas.calendar": catalogues.calendar,
        "areas.search": catalogues.areas,
        **_named("services", services, "search", "show"),
        "routes.explain": catalogues.explain,
        "keys.hub": catalogues.hub_keys,
        "keys.submission": catalogues.submission_keys,
        "keys.portal": catalogues.portal_keys,
    }


def _public_pages(hub: Context) -> dict[str, Callable[..., Any]]:
    """Map the operationIds of what anybody may read."""
    dry_run = ValidationPage(
        catalog=hub.catalogs,
        memory_budget=_TRIED,
        clock=hub.clock,
        allowed=hub.settings.validates_publicly,
        ledger=None if hub.member is None else hub.member.tried,
    )
    ai_systems = AiSystems(hub.ai_book, clock=hub.clock, base_url=hub.base_url)
    pages = Pages(closed=_closed(hub.settings), portal=hub.settings.portal_url)
    feed = Feed(
        store=hub.store,
        catalog=hub.catalogs,
        activations=hub.book.history,
        clock=hub.clock,
        base_url=hub.base_url,
        version=__version__,
    )
    return {
        "pages.home": pages.home,
        "problems.list": pages.problems,
        "problems.show": pages.problem,
        "feed.show": feed.show,
        **_named("dry_run", dry_run, "form", "judge"),
        **_named("ai_systems", ai_systems, "list", "page", "publication", "versions"),
        **_named("public_figures", PublicFigures(hub.usage_reports), "show", "page"),
    }


def _operation(hub: Context) -> dict[str, Callable[..., Any]]:
    """Map the operationIds of who runs the hub: its health, its metrics, what could not be delivered."""
    dead_letters = DeadLetterDesk(dead_letters=hub.dead_letters, store=hub.store, caller=caller, clock=hub.clock)
    metrics = Metrics(meters=hub.meters, gauges=hub.gauges, allowed=hub.settings.metrics)
    return {
        **_named("dead_letters", dead_letters, "list", "redrive", "redrive_all"),
        **_named("metrics", metrics, "show"),
        **_named("health", Health(hub.readiness, mark=hub.settings.data / MARK), "live", "ready"),
    }


def _closed(settings: Settings) -> list[str]:
    """Return the addresses that this hub answers with 404 on purpose."""
    return [] if settings.validates_publicly else ["/validate"]


def _administration(hub: Context, people: People) -> dict[str, Callable[..., Any]]:
    """Map the operationIds of administrators' operations to the methods that answer them."""
    tables = TableAdmin(book=hub.book, person=person, clock=hub.clock)
    ai_register = AiRegisterAdmin(book=hub.ai_book, person=person, clock=hub.clock)
    usage = UsageDesk(reports=hub.usage_reports, person=person)
    ready = ReadinessAdmin(desk=hub.readiness_desk, person=person, clock=hub.clock)
    registered = ClientAdmin(registry=hub.client_service, person=person, clock=hub.clock)
    destinations = DestinationAdmin(
        destination_service=hub.destination_service, offers=lambda: hub.offers, person=person, clock=hub.clock
    )
    accounts = AccountAdmin(desk=hub.account_service, person=person, clock=hub.clock)
    tenants = TenantAdmin(service=hub.tenant_service, person=person, clock=hub.clock)
    vendors = VendorAdmin(service=hub.vendor_service, person=person, clock=hub.clock)
    taken_in = OnboardingAdmin(desk=hub.onboarding, person=person, clock=hub.clock)
    return {
        **_named("accounts", accounts, *_ACCOUNT_OPERATIONS),
        **_named("tenants", tenants, *_TENANT_OPERATIONS),
        **_named("vendors", vendors, *_VENDOR_OPERATIONS),
        **_named("onboarding", taken_in, *_ONBOARDING_OPERATIONS),
        "persons.token": people.token,
        "persons.revoke": people.revoke,
        "usage.show": usage.show,
        **_named("readiness", ready, "show", "uses"),
        **_named("tables", tables, *_TABLE_OPERATIONS),
        **_named("ai_register", ai_register, *_AI_OPERATIONS),
        **_named("clients", registered, "list", "show", "create", "rotate", "disable"),
        **_named("destinations", destinations, *_DESTINATION_OPERATIONS),
    }


def _named(room: str, desk: object, *names: str) -> dict[str, Callable[..., Any]]:
    return {f"{room}.{name}": getattr(desk, name) for name in names}


def _lifespan(hub: Context, *, work: bool) -> Callable[[Any], Any]:
    @asynccontextmanager
    async def lifespan(_: Any) -> AsyncIterator[None]:
        try:
            with working(hub) if work else nullcontext():
                yield
        finally:
            hub.close()

    return lifespan
