"""What settings name, opened: places, keys, servers, adapters. Everything else is wired from these."""

from __future__ import annotations

import logging
import os
from dataclasses import replace
from datetime import UTC, datetime
from importlib.metadata import entry_points
from pathlib import Path

from hub import admin
from hub.config import Settings
from hub.crypto.development import InsecureDevelopmentAuthority
from hub.crypto.keyring import HubKeys
from hub.crypto.keys import KeyPolicy
from hub.errors import ConfigurationError, Text
from hub.files import vault
from hub.identity.accounts import Accounts
from hub.identity.openid.login import Grants, OpenIdLogin
from hub.identity.openid.provider import Provider, Registration
from hub.model.delivery import Adapter
from hub.notifications.mail import MailServer, Noticeboard
from hub.store import Blobs, LocalBlobs, Store
from hub.transport.connection import Outbound

_log = logging.getLogger(__name__)
_LONGEST_SECRET = 4096  # Bytes
_PROVIDER_ANSWER_LIMIT = 256 * 1024  # Bytes; keys with their certificate chains take some 30 kB.


def utc_now() -> datetime:
    """Return the time; the only place that asks the machine for it."""
    return datetime.now(UTC)


def process_of(settings: Settings) -> str:
    """Name this process in leases: two processes of one machine are two holders."""
    return f"{settings.node}/{os.getpid()}"


def installed_adapters() -> dict[str, type[Adapter]]:
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


def open_blobs(settings: Settings) -> Blobs:
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
    return S3Blobs(place)


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
        redirect_uri=f"{settings.canonical_url}{admin.OPENID_CALLBACK}",
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
