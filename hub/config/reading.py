"""Settings are read, and judged: all that is wrong is said at once.

Sources, later wins: the defaults, ``hub.toml`` in the data folder, ``HUB_<NAME>`` in the environment, the command line. A
name that is not a setting is an error, so a typing mistake stops the start instead of being ignored. Secrets are never
settings: they are files in the data folder, or named by a ``*_file`` setting.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hub.config.settings import DECLARED, KEPT, PREFIX, Settings
from hub.errors import ConfigurationError, HubError, Text
from hub.files.settings import holds_secret, secret_as_value, unknown, unusable_all
from hub.model import Role
from hub.scanning import policies_by_owner, policies_by_size, scanner_address
from hub.scanning.kinds import allow_list

#: The settings file in the data folder.
SOURCE = "hub.toml"
#: Variables of ours that are not settings.
_NOT_SETTINGS = {"HUB_DATA"}
_THIS_MACHINE = {"localhost", "127.0.0.1", "::1"}
_SCAN_LIMITS = re.compile(r"(?=.{0,300}\Z)(?:[A-Za-z]+=[A-Za-z0-9]+(?: [A-Za-z]+=[A-Za-z0-9]+)*)?")


@dataclass(frozen=True, kw_only=True, slots=True)
class SettingsRead:
    """What was read: the settings, where each that was given came from, and everything that is wrong."""

    settings: Settings
    origins: Mapping[str, str]
    faults: tuple[Text, ...]


def read_settings(data: Path, environ: Mapping[str, str], **overrides: Any) -> SettingsRead:
    """Read settings from ``data/hub.toml``, ``HUB_*`` of ``environ`` and ``overrides``, and judge all of them.

    Raises:
        ConfigurationError: the file is no TOML, so nothing can be said of what stands in it.
    """
    known = {each.name: each for each in DECLARED}
    values: dict[str, Any] = {}
    faults: list[Text] = []
    origins: dict[str, str] = {}
    for name, (origin, value) in _given(data, environ, overrides).items():
        if name not in known:
            faults.append(unknown(name, known))
            continue
        try:
            values[name] = known[name].typed(value)
            origins[name] = origin
        except ValueError:
            faults.append(known[name].fault())
    settings = Settings(data=data.absolute(), **values)
    return SettingsRead(settings=settings, origins=origins, faults=(*faults, *_combined(settings)))


def load_settings(data: Path, environ: Mapping[str, str], **overrides: Any) -> Settings:
    """Read settings as :func:`read_settings` does.

    Raises:
        ConfigurationError: unknown names, values of another type, or combinations that cannot be; says all of them.
    """
    read = read_settings(data, environ, **overrides)
    if read.faults:
        raise unusable_all(read.faults)
    return read.settings


def _given(data: Path, environ: Mapping[str, str], overrides: Mapping[str, Any]) -> dict[str, tuple[str, Any]]:
    """Return what is given by name, with its origin; later origins win."""
    source = data / SOURCE
    given = {name: (SOURCE, value) for name, value in (values_in(source) if source.is_file() else {}).items()}
    for variable, text in environ.items():
        if variable.startswith(PREFIX) and variable not in _NOT_SETTINGS:
            given[variable.removeprefix(PREFIX).lower()] = (variable, text)
    given.update({name: ("command line", value) for name, value in overrides.items() if value is not None})
    return given


def values_in(source: Path) -> dict[str, Any]:
    """Return what a settings file says; raise ``ConfigurationError`` where it is no TOML."""
    try:
        return tomllib.loads(source.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigurationError(
            Text(f"{source} ist kein gültiges TOML: {error}", f"{source} is not valid TOML: {error}")
        ) from error


def _combined(settings: Settings) -> Iterator[Text]:
    """Yield what cannot stand together, or not in production."""
    yield from _addresses(settings)
    for entry in settings.kept_days.split():
        if not KEPT.fullmatch(entry):
            yield Text(
                f"kept_days: „{entry}“ ist nicht URN=TAGE, 1 bis 9999.",
                f"kept_days: '{entry}' is not URN=DAYS, 1 to 9999.",
            )
    if settings.production:
        yield from _in_production(settings)
    yield from _mail(settings)
    yield from _openid(settings)
    strange = sorted(set(settings.second_factor_roles.split()) - {role.value for role in Role})
    if strange or (settings.second_factor == "roles" and not settings.second_factor_roles.split()):
        yield Text(
            f"second_factor_roles: nennt Rollen, die es nicht gibt, oder keine: {' '.join(strange) or '–'}.",
            f"second_factor_roles: names roles that do not exist, or none: {' '.join(strange) or '–'}.",
        )
    yield from _scan(settings)
    yield from _xta(settings)
    yield from _timestamps(settings)


def _addresses(settings: Settings) -> Iterator[Text]:
    for each in DECLARED:
        if holds_secret(getattr(settings, each.name)):
            yield secret_as_value(each.name, "database_password_file" if each.name == "database_url" else "")
    if settings.canonical_url.endswith("/"):
        yield Text("base_url: darf nicht auf / enden.", "base_url: must not end with a slash.")
    if settings.database_password_file and "@" not in settings.database_url:
        yield Text(
            "database_password_file: braucht database_url = postgresql://NUTZER@RECHNER:PORT/NAME.",
            "database_password_file: needs database_url = postgresql://USER@HOST:PORT/NAME.",
        )


def _in_production(settings: Settings) -> Iterator[Text]:
    for name in ("base_url", "blobs_endpoint", "openid_issuer"):
        wanted = {"base_url": True, "blobs_endpoint": settings.blobs != "local"}.get(name, bool(settings.openid_issuer))
        if wanted and not getattr(settings, name).startswith("https://"):
            yield Text(
                f"{name}: muss in production gesetzt sein und mit https:// beginnen.",
                f"{name}: must be set in production and begin with https://.",
            )
    for name in ("allow_private_addresses", "crash_at"):
        if getattr(settings, name):
            yield Text(f"{name}: ist in production nicht erlaubt.", f"{name}: is not allowed in production.")
    if settings.smtp_security == "none" and settings.smtp_host not in _THIS_MACHINE:
        yield Text(
            "smtp_security: none ist in production nur für einen Mailserver auf diesem Rechner erlaubt.",
            "smtp_security: none is allowed in production for a mail server on this machine only.",
        )


def _mail(settings: Settings) -> Iterator[Text]:
    for name in ("mail_sender", "mail_operators"):
        if getattr(settings, name) and not _is_mail_address(getattr(settings, name)):
            yield Text(
                f"{name}: muss eine Mailadresse ohne Namen sein.", f"{name}: must be a mail address without a name."
            )
    if settings.smtp_host and (not settings.mail_sender or not settings.smtp_port):
        yield Text(
            "smtp_host: braucht mail_sender und 0 < smtp_port < 65536.",
            "smtp_host: needs mail_sender and 0 < smtp_port < 65536.",
        )
    if bool(settings.smtp_user) != bool(settings.smtp_password_file):
        yield Text(
            "smtp_user: gehört mit smtp_password_file zusammen.", "smtp_user: goes together with smtp_password_file."
        )
    if settings.smtp_security == "none" and settings.smtp_user:
        yield Text(
            "smtp_security: Ohne STARTTLS meldet der Hub sich nirgends an.",
            "smtp_security: without STARTTLS the hub logs in nowhere.",
        )


def _is_mail_address(said: str) -> bool:
    # Each command reads its settings, and most of them are short and send no mail.
    from hub.transport.smtp import is_address

    return is_address(said)


def _xta(settings: Settings) -> Iterator[Text]:
    """Yield what is missing where mailboxes are to be emptied by XTA."""
    missing = [name for name in ("xta_certificate_file", "xta_clients_file") if not getattr(settings, name)]
    if settings.xta_port and missing:
        names = ", ".join(missing)
        yield Text(f"xta_port: dazu gehört auch {names}.", f"xta_port: {names} is needed as well.")


def _scan(settings: Settings) -> Iterator[Text]:
    """Yield what cannot be read of where the scanner is, of what is done about it, and of the kinds that are taken."""
    readers: Mapping[str, Callable[[], object]] = {
        "scan": lambda: scanner_address(settings.scan) if settings.scan else None,
        "scan_services": lambda: policies_by_owner(settings.scan_services),
        "scan_tenants": lambda: policies_by_owner(settings.scan_tenants),
        "scan_sizes": lambda: policies_by_size(settings.scan_sizes),
        "attachment_kinds": lambda: allow_list(settings.attachment_kinds),
    }
    for name, read in readers.items():
        try:
            read()
        except HubError as error:
            yield Text(f"{name}: {error.detail.de}.", f"{name}: {error.detail.en}.")
    if not _SCAN_LIMITS.fullmatch(settings.scan_limits):
        yield Text(
            "scan_limits: erwartet wird NAME=WERT, durch Leerzeichen getrennt, höchstens 300 Zeichen.",
            "scan_limits: expected is NAME=VALUE, separated by blanks, at most 300 characters.",
        )


def _timestamps(settings: Settings) -> Iterator[Text]:
    """Yield half a configuration of a time-stamping authority, and an address that is none."""
    if bool(settings.timestamp_url) != bool(settings.timestamp_roots_file):
        yield Text(
            "timestamp_url und timestamp_roots_file gehören zusammen.",
            "timestamp_url and timestamp_roots_file belong together.",
        )
    if settings.timestamp_url:
        from hub.transport.connection import Outbound

        try:
            Outbound(allow_private_addresses=settings.allow_private_addresses, any_port=True).require_url(
                settings.timestamp_url
            )
        except HubError as error:
            yield Text(f"timestamp_url: {error.detail.de}", f"timestamp_url: {error.detail.en}")


def _openid(settings: Settings) -> Iterator[Text]:
    """Yield half a configuration of the provider, and one that would lock everybody out."""
    needed = ("openid_client_id", "openid_client_secret_file", "openid_roles_file")
    missing = ", ".join(name for name in needed if not getattr(settings, name))
    if settings.openid_issuer and missing:
        yield Text(f"openid_issuer: dazu fehlt {missing}.", f"openid_issuer: lacks {missing}.")
    if settings.passwords == "off" and not settings.openid_issuer:
        yield Text(
            "passwords: Ohne openid_issuer käme mit off niemand mehr hinein.",
            "passwords: without openid_issuer nobody could get in with off.",
        )
