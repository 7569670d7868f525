"""The connector's settings: one strict TOML file; an unknown or missing key stops the start.

Paths may be relative to the file. Secrets and keys stand in files of their own, never in the settings.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from pathlib import Path
from typing import Any, Self, TypeVar
from urllib.parse import urlsplit
from uuid import UUID

from hub.client.transport import is_loopback
from hub.errors import ConfigurationError, Text

T = TypeVar("T")
_LARGEST_FILE = 1024 * 1024  # Bytes; a settings file is a page or two.


class Mode(StrEnum):
    """How submissions come in."""

    #: Asks the hub, every ``poll_seconds``.
    COLLECT = "collect"
    #: Takes what the hub pushes.
    LISTEN = "listen"
    #: Both; what came one way is not taken again the other way.
    BOTH = "both"


class InvalidHandling(StrEnum):
    """What becomes of data that break their schema."""

    #: The sender gets a reject event with the reason.
    REJECT = "reject"
    #: The local system gets it all the same, with the report in ``antrag.json``.
    HAND_OVER = "hand_over_with_report"


@dataclass(frozen=True, kw_only=True, slots=True)
class Hub:
    """Where the hub is and who the connector is there. ``issuer`` is what the hub signs as (default: ``base_url``)."""

    base_url: str
    submission_api: str
    token_url: str
    client_id: str
    client_secret_file: Path
    issuer: str
    ca_file: Path | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Address:
    """One destination that this connector serves, and its private keys (JWK files; several while keys roll over)."""

    destination_id: UUID
    decryption_key_files: tuple[Path, ...]
    signing_key_file: Path


@dataclass(frozen=True, kw_only=True, slots=True)
class Listen:
    """Where pushes arrive; ``largest`` is the most bytes of one envelope."""

    address: str
    port: int
    secret_file: Path
    certificate_file: Path | None
    key_file: Path | None
    largest: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Inflation:
    """How much one submission may hold once it is opened: bytes of all parts together, and how many times its sealed size.

    The ratio counts beyond ``free`` bytes: a short form of many repetitions is no attack.
    """

    total: int = 2_000_000_000
    ratio: int = 100
    free: int = 32 * 1024 * 1024

    def most(self, sealed: int) -> int:
        """Return how many bytes a submission of ``sealed`` bytes may hold."""
        return min(self.total, max(self.free, self.ratio * sealed))


@dataclass(frozen=True, kw_only=True, slots=True)
class FolderHandover:
    """Hand over into a directory that the local system watches."""

    path: Path


@dataclass(frozen=True, kw_only=True, slots=True)
class HttpHandover:
    """Hand over by POST to a local address; the plaintext never leaves this machine unless a host is named."""

    url: str
    secret_file: Path | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Specialist:
    """The demonstration specialist system, served from the same process on loopback."""

    port: int
    folder: Path


@dataclass(frozen=True, kw_only=True, slots=True)
class ConnectorSettings:
    """Everything that the connector is told."""

    hub: Hub
    destinations: tuple[Address, ...]
    mode: Mode
    handover: FolderHandover | HttpHandover
    on_invalid: InvalidHandling
    journal: Path
    schema_roots: tuple[Path, ...]
    poll: timedelta
    listen: Listen | None
    specialist: Specialist | None
    inflation: Inflation = field(default_factory=Inflation)

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read a settings file; ``ConfigurationError`` says which key is wrong."""
        try:
            with path.open("rb") as file:
                text = file.read(_LARGEST_FILE)
            document = tomllib.loads(text.decode("utf-8"))
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as exc:
            raise unusable(str(path), "ist nicht lesbares TOML", "is not readable TOML") from exc
        return cls.parse(document, path.resolve().parent)

    @classmethod
    def parse(cls, document: Mapping[str, Any], folder: Path) -> Self:
        """Build settings from a parsed document; relative paths start at ``folder``."""
        top = _Table(document, "", folder)
        mode = top.choice("mode", Mode, Mode.COLLECT)
        settings = cls(
            hub=_hub(top.table("hub")),
            destinations=tuple(_address(entry) for entry in top.tables("destinations")),
            mode=mode,
            handover=_handover(top.table("handover")),
            on_invalid=_policy(top.optional("policy")),
            journal=top.path("journal"),
            schema_roots=tuple(top.paths("schema_roots", ())),
            poll=timedelta(seconds=top.number("poll_seconds", 10, range(1, 86_401))),
            listen=_listen(top.optional("listen")),
            specialist=_specialist(top.optional("specialist")),
            inflation=_inflation(top.optional("opening")),
        )
        top.finish()
        if mode is not Mode.COLLECT and settings.listen is None:
            raise unusable("listen", "fehlt, obwohl mode Zustellungen annimmt", "is missing though mode takes pushes")
        return settings


#: Bytes of a file with one secret.
LONGEST_SECRET = 4096


def unusable(where: str, de: str, en: str) -> ConfigurationError:
    """Say which setting cannot be used, and why."""
    return ConfigurationError(Text(f"Einstellung {where}: {de}.", f"Setting {where}: {en}."), setting=where)


class _Table:
    """One table of the document; remembers what was asked for, so that the rest is an error."""

    def __init__(self, values: Mapping[str, Any], name: str, folder: Path) -> None:
        self._values = dict(values)
        self._name = name
        self._folder = folder

    def where(self, key: str) -> str:
        return f"{self._name}.{key}" if self._name else key

    def take(self, key: str, kind: type[T], default: T | None = None) -> T:
        value = self._values.pop(key, default)
        if value is None:
            raise unusable(self.where(key), "fehlt", "is missing")
        if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
            raise unusable(self.where(key), "hat den falschen Typ", "has the wrong type")
        return value

    def table(self, key: str) -> _Table:
        return _Table(self.take(key, dict), self.where(key), self._folder)

    def optional(self, key: str) -> _Table | None:
        return self.table(key) if key in self._values else None

    def tables(self, key: str) -> list[_Table]:
        entries = self.take(key, list)
        if not entries or not all(isinstance(entry, dict) for entry in entries):
            raise unusable(self.where(key), "braucht mindestens einen Eintrag", "needs at least one entry")
        return [_Table(entry, f"{self.where(key)}[{number}]", self._folder) for number, entry in enumerate(entries)]

    def path(self, key: str) -> Path:
        return self._folder / self.take(key, str)

    def optional_path(self, key: str) -> Path | None:
        return self.path(key) if key in self._values else None

    def paths(self, key: str, default: tuple[str, ...] | None = None) -> list[Path]:
        names = self.take(key, list, None if default is None else list(default))
        if not all(isinstance(name, str) for name in names):
            raise unusable(self.where(key), "hat den falschen Typ", "has the wrong type")
        return [self._folder / name for name in names]

    def number(self, key: str, default: int, allowed: range) -> int:
        value = self.take(key, int, default)
        if value not in allowed:
            low, high = allowed.start, allowed.stop - 1
            raise unusable(self.where(key), f"muss zwischen {low} und {high} liegen", f"must be {low} to {high}")
        return value

    def choice(self, key: str, kind: type[T], default: T) -> T:
        text = self.take(key, str, str(default))
        try:
            return kind(text)  # type: ignore[call-arg]  # Every kind here is a StrEnum.
        except ValueError:
            raise unusable(self.where(key), "kennt diesen Wert nicht", "does not know this value") from None

    def url(self, key: str, hosts: tuple[str, ...] = ()) -> str:
        """Return an https address, or an http one that cannot leave this machine or leads to one of ``hosts``."""
        value = self.take(key, str).rstrip("/")
        parts = urlsplit(value)
        local = is_loopback(parts.hostname) or parts.hostname in hosts
        if not parts.hostname or parts.scheme not in ({"https", "http"} if local else {"https"}):
            raise unusable(self.where(key), "braucht eine https-Adresse", "needs an https address")
        if parts.username or parts.password or parts.query or parts.fragment:
            raise unusable(self.where(key), "erlaubt nur Host und Pfad", "allows only host and path")
        return value

    def finish(self) -> None:
        if self._values:
            names = ", ".join(sorted(self.where(key) for key in self._values))
            raise unusable(
                names, "ist unbekannt; entfernen oder berichtigen Sie sie", "is unknown; remove or correct it"
            )


def _hub(table: _Table) -> Hub:
    base_url = table.url("base_url")
    hub = Hub(
        base_url=base_url,
        submission_api=table.take("submission_api", str, "/submission-api"),
        token_url=table.url("token_url"),
        client_id=table.take("client_id", str),
        client_secret_file=table.path("client_secret_file"),
        issuer=table.take("issuer", str, base_url),
        ca_file=table.optional_path("ca_file"),
    )
    table.finish()
    return hub


def _address(table: _Table) -> Address:
    try:
        destination_id = UUID(table.take("destination_id", str))
    except ValueError:
        raise unusable(table.where("destination_id"), "ist keine UUID", "is no UUID") from None
    files = tuple(table.paths("decryption_key_files"))
    if not files:
        raise unusable(table.where("decryption_key_files"), "braucht eine Datei", "needs a file")
    address = Address(
        destination_id=destination_id, decryption_key_files=files, signing_key_file=table.path("signing_key_file")
    )
    table.finish()
    return address


def _handover(table: _Table) -> FolderHandover | HttpHandover:
    handover: FolderHandover | HttpHandover
    kind = table.take("kind", str)
    if kind == "folder":
        handover = FolderHandover(path=table.path("path"))
    elif kind == "http":
        hosts = tuple(str(host) for host in table.take("allowed_hosts", list, []))
        handover = HttpHandover(url=table.url("url", hosts), secret_file=table.optional_path("secret_file"))
        host = urlsplit(handover.url).hostname
        if not is_loopback(host) and host not in hosts:
            raise unusable(
                table.where("url"), "nennt einen Host außerhalb von allowed_hosts", "host not in allowed_hosts"
            )
    else:
        raise unusable(table.where("kind"), "muss folder oder http sein", "must be folder or http")
    table.finish()
    return handover


def _policy(table: _Table | None) -> InvalidHandling:
    if table is None:
        return InvalidHandling.REJECT
    choice = table.choice("on_invalid", InvalidHandling, InvalidHandling.REJECT)
    table.finish()
    return choice


def _listen(table: _Table | None) -> Listen | None:
    if table is None:
        return None
    listen = Listen(
        address=table.take("address", str, "127.0.0.1"),
        port=table.number("port", 0, range(65_536)),
        secret_file=table.path("secret_file"),
        certificate_file=table.optional_path("certificate_file"),
        key_file=table.optional_path("key_file"),
        largest=table.number("largest_megabytes", 64, range(1, 1025)) * 1024 * 1024,
    )
    table.finish()
    if not is_loopback(listen.address) and listen.certificate_file is None:
        raise unusable("listen.certificate_file", "fehlt für eine Adresse im Netz", "is missing for a network address")
    return listen


def _inflation(table: _Table | None) -> Inflation:
    if table is None:
        return Inflation()
    inflation = Inflation(
        total=table.number("largest_megabytes", 2_000, range(1, 100_001)) * 1_000_000,
        ratio=table.number("largest_ratio", 100, range(1, 1_100)),
        free=table.number("free_megabytes", 32, range(1, 100_001)) * 1024 * 1024,
    )
    table.finish()
    return inflation


def _specialist(table: _Table | None) -> Specialist | None:
    if table is None:
        return None
    specialist = Specialist(port=table.number("port", 0, range(65_536)), folder=table.path("folder"))
    table.finish()
    return specialist
