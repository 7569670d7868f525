"""Settings: frozen, typed, strict. Only ``app`` and ``cli`` read them.

Sources, later wins: the defaults below, ``hub.toml`` in the data folder, ``HUB_<NAME>`` in the environment, the command
line. A name that is not a setting is an error, so a typing mistake stops the start instead of being ignored. Secrets
are never settings: they are files in the data folder, or named by a ``*_file`` setting.
"""

from __future__ import annotations

import dataclasses
import socket
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any, get_type_hints

from hub.errors import ConfigurationError, Text
from hub.resources import shipped
from hub.transport.smtp import is_address

_PREFIX = "HUB_"
#: The settings file in the data folder.
SOURCE = "hub.toml"
#: Variables of ours that are not settings.
_NOT_SETTINGS = {"HUB_DATA"}
_ENVIRONMENTS = {"development", "production"}
_THIS_MACHINE = {"localhost", "127.0.0.1", "::1"}
#: Settings that take one of a few words.
_CHOICES = {
    "environment": _ENVIRONMENTS,
    "metrics": {"on", "loopback", "off"},
    "passwords": {"on", "off"},
    "public_validation": {"auto", "on", "off"},
    "smtp_security": {"starttls", "none"},
    "log_format": {"text", "json"},
    "log_level": {"info", "warning", "error"},
}
#: Settings that would let nobody in at nought.
_POSITIVE = ("connections", "head_seconds", "head_bytes", "pause_seconds", "body_seconds", "body_bytes_per_second")


@dataclass(frozen=True, kw_only=True, slots=True)
class Settings:
    """Everything an operator may set. Durations are seconds, sizes bytes."""

    #: Folder of database, blobs, keys and imported schemas.
    data: Path
    #: ``development`` allows self-signed keys, demo data and plain http; ``production`` refuses them.
    environment: str = "development"
    #: Address and port to listen on.
    host: str = "127.0.0.1"
    port: int = 8080
    #: Canonical address seen from outside, without a trailing slash; signed into tokens as ``iss``.
    base_url: str = ""
    #: SQLAlchemy URL; empty means SQLite in the data folder.
    database_url: str = ""
    #: Name of this node in leases and attempts.
    node: str = field(default_factory=socket.gethostname)
    #: Folder of areas, services and rules; empty means the shipped one, whose rules (the demo's) production leaves out.
    #: Rules are taken once, where there is no routing table yet.
    routing_rules: str = ""
    #: How long one delivery attempt may hold its lease.
    lease_seconds: int = 120
    #: How many deliveries one node attempts at once; with those that only wait for their receiver, up to four times as many.
    delivery_threads: int = 8
    #: First and longest wait between attempts, and when a delivery is given up.
    retry_first_seconds: int = 5
    retry_longest_seconds: int = 36_000
    give_up_seconds: int = 14 * 86_400
    #: Intake answers 503 while less than this is free on the data folder's disk.
    disk_watermark_bytes: int = 512 * 1024 * 1024
    #: How much plaintext may be in memory at once, over all requests of this process.
    memory_budget_bytes: int = 512 * 1024 * 1024
    #: Connections of one process at once; at the bound, those without a request make room for new ones.
    connections: int = 800
    #: How long a client may take to its first request, and between an answer and the end of its next request's header.
    head_seconds: int = 15
    #: The largest request line and header section together.
    head_bytes: int = 65_536
    #: How long the sender of a body may pause.
    pause_seconds: int = 30
    #: How long the sender of a body may take in all, and longer only as its bytes earn it.
    body_seconds: int = 30
    #: So many bytes of a body earn its sender another second.
    body_bytes_per_second: int = 8_000
    #: How long an idempotency key is remembered.
    idempotency_seconds: int = 30 * 86_400
    #: Retention (FIT-Connect section 15): incomplete, after the end, unanswered in a mailbox, tokens of a case.
    incomplete_seconds: int = 86_400
    finished_seconds: int = 7 * 86_400
    uncollected_seconds: int = 14 * 86_400
    case_seconds: int = 730 * 86_400
    #: Where large contents lie: ``local`` (the data folder) or ``s3://BUCKET/PREFIX``.
    blobs: str = "local"
    #: Address of the S3-compatible server.
    blobs_endpoint: str = ""
    #: Region that the S3-compatible server signs for.
    blobs_region: str = "eu-central-1"
    #: File with the key id for the bucket.
    blobs_key_id_file: str = ""
    #: File with the secret for the bucket.
    blobs_secret_file: str = ""
    #: Named point at which the process kills itself, to prove that nothing is lost. For tests only.
    crash_at: str = ""
    #: After so many failures in a row a destination gets a pause, growing from the first to the longest.
    circuit_failures: int = 5
    #: The first pause of a circuit breaker; it doubles with every further failure.
    circuit_first_seconds: int = 30
    #: The longest pause of a circuit breaker.
    circuit_longest_seconds: int = 3600
    #: A delivery of which so many attempts never ended is set aside instead of attempted again.
    poison_lapses: int = 3
    #: Who may read ``/metrics``: ``on`` everybody, ``loopback`` this machine alone, ``off`` nobody.
    metrics: str = "loopback"
    #: Whether anybody may check messages at ``/validate``: ``on``, ``off``, or ``auto`` (on in development only).
    public_validation: str = "auto"
    #: Port on 127.0.0.1 at which ``hub work`` shows the metrics of its process; 0 for none.
    work_metrics_port: int = 0
    #: Log lines as ``text`` for people or ``json`` for a log store.
    log_format: str = "text"
    #: The least urgent log lines that are written: ``info``, ``warning`` or ``error``.
    log_level: str = "warning"
    #: Mail server for notices to authorities and operators; empty for none: then the admin pages alone show them.
    smtp_host: str = ""
    #: Port of the mail server.
    smtp_port: int = 587
    #: ``starttls`` (required) or ``none``, which is for development and for a server on this machine.
    smtp_security: str = "starttls"
    #: Who the hub is at the mail server; empty for no login.
    smtp_user: str = ""
    #: File with the password for the mail server.
    smtp_password_file: str = ""
    #: File with the certificates that the mail server's must lead to; empty for those of the system.
    smtp_ca_file: str = ""
    #: Mail address that notices come from.
    mail_sender: str = ""
    #: Mail address of the hub's operators, for what concerns them and for parties without an address; empty for none.
    mail_operators: str = ""
    #: Where traces go (OTLP over HTTP, e.g. http://localhost:4318/v1/traces); empty for none.
    otel_endpoint: str = ""
    #: Issuer of the OpenID Connect provider by which people log in to the admin pages; empty for none.
    openid_issuer: str = ""
    #: The hub's client id there. The provider must allow exactly one redirect: base_url + /admin/oidc/callback.
    openid_client_id: str = ""
    #: File with the client's secret.
    openid_client_secret_file: str = ""
    #: The ID token's claim that says what a person may do: a name, or a JSON Pointer (/realm_access/roles).
    openid_roles_claim: str = "roles"
    #: TOML file that maps values of that claim to roles and a tenant.
    openid_roles_file: str = ""
    #: What is asked of the provider besides ``openid``, separated by blanks.
    openid_scopes: str = "profile"
    #: The provider may lie in a private network (in production over https all the same).
    openid_private_network: bool = False
    #: Whether local accounts log in by password: ``on``, or ``off`` where OpenID Connect is the only way in.
    passwords: str = "on"
    #: Callbacks and adapters may reach private addresses and plain http. For development and tests only.
    allow_private_addresses: bool = False

    @property
    def production(self) -> bool:
        """Whether the strict rules of a production system hold."""
        return self.environment == "production"

    @property
    def validates_publicly(self) -> bool:
        """Whether ``/validate`` is there."""
        return self.public_validation == "on" or (self.public_validation == "auto" and not self.production)

    @property
    def named_files(self) -> tuple[Path, ...]:
        """The files that ``*_file`` settings name: the hub's own secrets, and what says whom it trusts."""
        named = (getattr(self, each.name) for each in dataclasses.fields(self) if each.name.endswith("_file"))
        return tuple(Path(name) for name in named if name)

    @property
    def rules(self) -> Path:
        """Where areas, services and the rules for a first start lie."""
        return Path(self.routing_rules) if self.routing_rules else shipped("routing_rules")

    @property
    def seeds_rules(self) -> bool:
        """Whether a hub without any routing table begins with the rules of its folder: in production only with its own."""
        return bool(self.routing_rules) or not self.production

    @property
    def takes_passwords(self) -> bool:
        """Whether local accounts log in by password."""
        return self.passwords == "on"

    @property
    def database(self) -> str:
        """The SQLAlchemy URL that is really used."""
        return self.database_url or f"sqlite:///{self.data / 'hub.sqlite'}"

    @property
    def canonical_url(self) -> str:
        """The base URL that is really used."""
        return self.base_url or f"http://{self.host}:{self.port}"

    @property
    def lease(self) -> timedelta:
        """How long one attempt may take before another node may try."""
        return timedelta(seconds=self.lease_seconds)


def load_settings(data: Path, environ: Mapping[str, str], **overrides: Any) -> Settings:
    """Read settings from ``data/hub.toml``, ``HUB_*`` of ``environ`` and ``overrides``.

    Raises:
        ConfigurationError: an unknown name, a value of the wrong type, or a combination that production forbids.
    """
    values: dict[str, Any] = {}
    source = data / SOURCE
    if source.is_file():
        values.update(values_in(source))
    for name, text in environ.items():
        if name.startswith(_PREFIX) and name not in _NOT_SETTINGS:
            values[name.removeprefix(_PREFIX).lower()] = text
    values.update({name: value for name, value in overrides.items() if value is not None})
    settings = Settings(data=data.absolute(), **{name: _typed(name, value) for name, value in values.items()})
    _judge(settings)
    return settings


def values_in(source: Path) -> dict[str, Any]:
    """Return what a settings file says; raise ``ConfigurationError`` where it is no TOML."""
    try:
        return tomllib.loads(source.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigurationError(
            Text(f"{source} ist kein gültiges TOML: {error}", f"{source} is not valid TOML: {error}")
        ) from error


def _typed(name: str, value: Any) -> Any:
    """Return ``value`` as the type that the setting ``name`` declares."""
    hints = {key: hint for key, hint in get_type_hints(Settings).items() if key != "data"}
    if name not in {known.name for known in dataclasses.fields(Settings)} - {"data"}:
        known_names = ", ".join(sorted(hints))
        raise ConfigurationError(
            Text(
                f"Unbekannte Einstellung „{name}“. Bekannt sind: {known_names}.",
                f"Unknown setting '{name}'. Known are: {known_names}.",
            )
        )
    wanted = hints[name]
    if wanted is bool and isinstance(value, str) and value.lower() in {"true", "false", "1", "0"}:
        return value.lower() in {"true", "1"}
    if wanted is int and isinstance(value, str) and value.isdigit():
        return int(value)
    if type(value) is not wanted:
        raise ConfigurationError(
            Text(
                f"Die Einstellung „{name}“ muss vom Typ {wanted.__name__} sein.",
                f"Setting '{name}' must be of type {wanted.__name__}.",
            )
        )
    return value


def _judge(settings: Settings) -> None:
    for name in _POSITIVE:
        if getattr(settings, name) < 1:
            raise ConfigurationError(Text(f"{name} muss mindestens 1 sein.", f"{name} must be at least 1."))
    for name, known in _CHOICES.items():
        if getattr(settings, name) not in known:
            words = ", ".join(sorted(known))
            raise ConfigurationError(Text(f"{name} muss eines sein von: {words}.", f"{name} must be one of: {words}."))
    if settings.canonical_url.endswith("/"):
        raise ConfigurationError(Text("base_url darf nicht auf / enden.", "base_url must not end with a slash."))
    if settings.production and not settings.canonical_url.startswith("https://"):
        raise ConfigurationError(
            Text(
                "In production muss base_url gesetzt sein und mit https:// beginnen.",
                "In production base_url must be set and begin with https://.",
            )
        )
    if settings.production and settings.allow_private_addresses:
        raise ConfigurationError(
            Text(
                "allow_private_addresses ist in production nicht erlaubt.",
                "allow_private_addresses is not allowed in production.",
            )
        )
    if settings.production and settings.crash_at:
        raise ConfigurationError(
            Text("crash_at ist in production nicht erlaubt.", "crash_at is not allowed in production.")
        )
    if settings.production and settings.blobs != "local" and not settings.blobs_endpoint.startswith("https://"):
        raise ConfigurationError(
            Text(
                "In production muss blobs_endpoint mit https:// beginnen.",
                "In production blobs_endpoint must begin with https://.",
            )
        )
    _judge_mail(settings)
    _judge_openid(settings)


def _judge_mail(settings: Settings) -> None:
    for name in ("mail_sender", "mail_operators"):
        if getattr(settings, name) and not is_address(getattr(settings, name)):
            raise ConfigurationError(
                Text(f"{name} muss eine Mailadresse ohne Namen sein.", f"{name} must be a mail address without a name.")
            )
    if settings.smtp_host and (not settings.mail_sender or not 0 < settings.smtp_port < 65536):  # noqa: PLR2004  # TCP's
        raise ConfigurationError(
            Text(
                "smtp_host braucht mail_sender und 0 < smtp_port < 65536.",
                "smtp_host needs mail_sender and 0 < smtp_port < 65536.",
            )
        )
    if bool(settings.smtp_user) != bool(settings.smtp_password_file):
        raise ConfigurationError(
            Text("smtp_user und smtp_password_file gehören zusammen.", "smtp_user and smtp_password_file go together.")
        )
    if settings.smtp_security == "none" and settings.smtp_user:
        raise ConfigurationError(
            Text("Ohne STARTTLS meldet der Hub sich nirgends an.", "Without STARTTLS the hub logs in nowhere.")
        )
    if settings.production and settings.smtp_security == "none" and settings.smtp_host not in _THIS_MACHINE:
        raise ConfigurationError(
            Text(
                "smtp_security = none ist in production nur für einen Mailserver auf diesem Rechner erlaubt.",
                "smtp_security = none is allowed in production for a mail server on this machine only.",
            )
        )


def _judge_openid(settings: Settings) -> None:
    """Refuse half a configuration of the provider, and one that would lock everybody out."""
    needed = ("openid_client_id", "openid_client_secret_file", "openid_roles_file")
    missing = [name for name in needed if not getattr(settings, name)]
    if settings.openid_issuer and missing:
        names = ", ".join(missing)
        raise ConfigurationError(
            Text(f"Zu openid_issuer fehlt: {names}.", f"With openid_issuer there must be: {names}.")
        )
    if settings.production and settings.openid_issuer and not settings.openid_issuer.startswith("https://"):
        raise ConfigurationError(
            Text(
                "In production muss openid_issuer mit https:// beginnen.",
                "In production openid_issuer must begin with https://.",
            )
        )
    if settings.passwords == "off" and not settings.openid_issuer:
        raise ConfigurationError(
            Text(
                "Ohne openid_issuer käme mit passwords = off niemand mehr hinein.",
                "Without openid_issuer nobody could get in with passwords = off.",
            )
        )
