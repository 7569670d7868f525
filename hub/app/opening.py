"""What settings name, opened: places, keys, servers; and what they say, as the values that rooms take."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from importlib.metadata import entry_points
from pathlib import Path

from hub.administration.ai_versions import AiVersions
from hub.administration.costs import Costs
from hub.areas import Gazetteer
from hub.config import Settings
from hub.crypto import HubKeys, KeyPolicy
from hub.crypto.development import InsecureDevelopmentAuthority
from hub.crypto.timestamps import Roots, read_roots, require_package
from hub.delivery.attempt import InstalledAdapters, Rules
from hub.errors import ConfigurationError, Text
from hub.files import vault
from hub.identity import Accounts
from hub.identity.openid.login import CALLBACK_PATH, Grants, OpenIdLogin
from hub.identity.second_factors import FactorDemand, FactorRule
from hub.intake.uploads import UploadRules
from hub.jobs.retention import Periods
from hub.jobs.stamping import Stamping
from hub.model import Breaker, Role, Schedule
from hub.notifications.mail import MailedLinks, MailServer, Noticeboard
from hub.openid.provider import Provider, Registration
from hub.resources import shipped
from hub.scanning import Scanner, Times, open_scanner, scanner_address
from hub.services.ai_systems import AiRegister
from hub.store import Blobs, LocalBlobs, Store, UploadQuota, WatchPatience
from hub.supervision import Supervisor
from hub.transport.connection import Outbound, dial_own

#: Bytes of an attachment: 500 MB once sealed, for base64url makes 4 bytes of 3 (FIT-Connect section 15).
ATTACHMENT_LIMIT = 375_000_000
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
    secret = _openid_secret(settings)
    registration = _registration(settings, secret, base_url=base_url)
    outbound = _to_provider(settings)
    return OpenIdLogin(
        store=store,
        accounts=accounts,
        box=keys,
        provider=Provider(registration=registration, outbound=outbound),
        grants=Grants.load(Path(settings.openid_roles_file), settings.openid_roles_claim),
        failed=failed,
    )


def _openid_secret(settings: Settings) -> str:
    try:
        secret = vault.read_text(Path(settings.openid_client_secret_file), most=_LONGEST_SECRET)
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(
            Text("openid_client_secret_file ist nicht lesbar.", "openid_client_secret_file cannot be read.")
        ) from error
    return secret


def _registration(settings: Settings, secret: str, *, base_url: str) -> Registration:
    return Registration(
        issuer=settings.openid_issuer,
        client_id=settings.openid_client_id,
        secret=secret,
        redirect_uri=f"{base_url}{CALLBACK_PATH}",
        scopes=tuple(settings.openid_scopes.split()),
    )


def _to_provider(settings: Settings) -> Outbound:
    return Outbound(
        allow_private_addresses=settings.allow_private_addresses or settings.openid_private_network,
        any_port=True,
        answer_limit=_PROVIDER_ANSWER_LIMIT,
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


def factor_rule(settings: Settings) -> FactorRule:
    """Return whose accounts need a second factor."""
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


def open_ai_register(settings: Settings, store: Store, *, now: datetime) -> AiVersions:
    """Return the versions of the register of AI systems.

    At a first start what the rules' folder and the operator's own hold is published; an older folder has what ships.
    """
    seeded = settings.rules / "ai_systems"
    book = AiVersions(store=store, broken=store.ai_links.broken)
    shipping = seeded if seeded.is_dir() else shipped("routing_rules/ai_systems")
    book.begin_with(AiRegister.load(shipping, settings.data / "ai_systems"), now=now)
    return book


def delivery_rules(settings: Settings, base_url: str) -> Rules:
    """Return by what the dispatcher attempts, waits and gives up."""
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


def periods(settings: Settings) -> Periods:
    """Return how long contents and cases are kept."""
    return Periods(
        incomplete=timedelta(seconds=settings.incomplete_seconds),
        finished=timedelta(seconds=settings.finished_seconds),
        unanswered=timedelta(seconds=settings.uncollected_seconds),
        case=timedelta(seconds=settings.case_seconds),
        by_service=settings.kept_by_service,
    )


def upload_rules(settings: Settings) -> UploadRules:
    """Return how long uploads stay, and how many a client may have."""
    return UploadRules(
        kept=timedelta(seconds=settings.upload_seconds),
        remembered=timedelta(seconds=settings.idempotency_seconds),
        quota=UploadQuota(
            number=settings.uploads_per_client, size=settings.upload_bytes_per_client, largest=ATTACHMENT_LIMIT
        ),
        pause=settings.pause_seconds,
    )


def allocation_key(settings: Settings, gazetteer: Gazetteer) -> Costs:
    """Return the allocation key of the settings; one that cannot be used stops the start, not the end of a month."""

    def known(ars: str) -> tuple[str, int | None]:
        place = gazetteer.find(ars)
        return (ars, None) if place is None else (place.name, place.inhabitants)

    return Costs.load(Path(settings.costs_file), known) if settings.costs_file else Costs()


def patience(settings: Settings) -> WatchPatience:
    """Return after how long what lies still is told."""
    return WatchPatience(
        silent=timedelta(days=settings.silent_days),
        mailbox=timedelta(days=settings.mailbox_days),
        sender=timedelta(days=settings.quiet_sender_days),
        unused=timedelta(days=settings.unused_days),
    )


def open_stamping(settings: Settings, store: Store, outbound: Outbound) -> Stamping | None:
    """Return who stamps checkpoints; None where the settings name no time-stamping authority.

    Raises:
        ConfigurationError: its root certificates cannot be read, or the package that stamps need is missing.
    """
    if not settings.timestamp_url:
        return None
    require_package()
    roots = _stamp_roots(settings)
    return Stamping(
        store=store,
        outbound=replace(outbound, any_port=True),
        url=settings.timestamp_url,
        roots=roots,
        every=timedelta(seconds=settings.timestamp_seconds),
    )


def _stamp_roots(settings: Settings) -> Roots:
    try:
        roots = read_roots(Path(settings.timestamp_roots_file).read_bytes())
    except OSError as exc:
        raise ConfigurationError(
            Text("timestamp_roots_file ist nicht lesbar.", "timestamp_roots_file cannot be read.")
        ) from exc
    return roots
