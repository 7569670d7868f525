"""The connector's settings: one strict TOML file; an unknown or missing key stops the start, and all of them are said at once.

Paths may be relative to the file. Secrets and keys stand in files of their own, never in the settings. What a setting is said
to be stands in :mod:`hub.connector.declarations`.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit
from uuid import UUID

from hub.client.transport import is_loopback
from hub.connector.declarations import DECLARED, WAIT, Decider, InvalidHandling, Mode, Polling
from hub.errors import ConfigurationError, Text
from hub.files import vault
from hub.files.settings import DeclaredTable, Setting, unusable_all
from hub.scanning import Consequence, Policy, ScannerAddress, scanner_address

_LARGEST_FILE = 1024 * 1024  # Bytes; a settings file is a page or two.


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
    """One destination that this connector serves, and its private keys (several to decrypt while keys roll over).

    ``signing_key_id`` is what the hub calls the signing key, empty where its file says that.
    """

    destination_id: UUID
    decryption_key_files: tuple[Path, ...]
    signing_key_file: Path
    key_password_file: Path | None = None
    signing_key_id: str = ""


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
    """Hand over into a directory that the local system watches; ``pdf``: with the page for people as PDF, too.

    ``outbox`` is where the local system puts what it answers.
    """

    path: Path
    pdf: bool = False
    outbox: Path | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class HttpHandover:
    """Hand over by POST to a local address; the plaintext never leaves this machine unless a host is named."""

    url: str
    secret_file: Path | None


@dataclass(frozen=True, kw_only=True, slots=True)
class ClerkSite:
    """Where clerks find their page, who they are, and how long closed cases stay readable."""

    address: str
    port: int
    hosts: tuple[str, ...]
    accounts_file: Path
    certificate_file: Path | None
    key_file: Path | None
    keep: timedelta


@dataclass(frozen=True, kw_only=True, slots=True)
class LocalInterface:
    """Where the local system decides and replies: on loopback alone."""

    port: int
    token_file: Path


@dataclass(frozen=True, kw_only=True, slots=True)
class Specialist:
    """The demonstration specialist system, served from the same process on loopback."""

    port: int
    folder: Path


@dataclass(frozen=True, kw_only=True, slots=True)
class MalwareScan:
    """Who scans what was opened, and what becomes of what is found; ``waits``: for a scanner that does not answer.

    ``largest`` is bytes of a part, ``limits`` are the scanner's own, in the operator's words.
    """

    place: ScannerAddress
    policy: Policy
    waits: bool
    largest: int
    seconds: float
    limits: str


_BY_NAME = {each.name: each for each in DECLARED}


@dataclass(frozen=True, kw_only=True, slots=True)
class ConnectorSettings:
    """Everything that the connector is told."""

    hub: Hub
    destinations: tuple[Address, ...]
    mode: Mode
    handover: FolderHandover | HttpHandover | None
    on_invalid: InvalidHandling
    journal: Path
    schema_roots: tuple[Path, ...]
    poll: timedelta
    listen: Listen | None
    specialist: Specialist | None
    polling: Polling = Polling.EACH
    inflation: Inflation = field(default_factory=Inflation)
    #: None: nobody scans for malware.
    scan: MalwareScan | None = None
    decider: Decider = Decider.AUTO
    #: Whether the file says who decides; files of before 0.4.0 do not.
    names_decider: bool = True
    clerk: ClerkSite | None = None
    local: LocalInterface | None = None
    #: Whether a second clerk has to agree before a case is handed on.
    two_for_forwards: bool = False
    #: Certificates by which keys of other authorities are judged; none: the hub's word counts.
    forward_anchors: tuple[Path, ...] = ()
    #: Bytes of the largest reply.
    largest_reply: int = 50 * 1024 * 1024

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read a settings file; ``ConfigurationError`` says which keys are wrong."""
        return cls.parse(_document(path), path.resolve().parent)

    @classmethod
    def parse(cls, document: Mapping[str, Any], folder: Path) -> Self:
        """Build settings from a parsed document; relative paths start at ``folder``."""
        faults: list[Text] = []
        top = DeclaredTable(_BY_NAME, document, folder, faults)
        mode = Mode(top.take("mode"))
        below = document.get("handover")
        decider, handover = _handover(top.table("handover"))
        forwarding = top.table("forwarding")
        settings = cls(
            hub=_hub(top.table("hub")),
            destinations=tuple(_address(entry) for entry in top.tables("destinations")),
            mode=mode,
            handover=handover,
            decider=decider,
            names_decider=isinstance(below, Mapping) and "mode" in below,
            clerk=_clerk(top.table("clerk")) if decider is Decider.CLERK or "clerk" in document else None,
            local=_local(top.optional("api")),
            two_for_forwards=forwarding.take("second_person"),
            forward_anchors=forwarding.paths("anchor_files"),
            largest_reply=top.table("replies").only("largest_megabytes") * 1024 * 1024,
            on_invalid=InvalidHandling(top.table("policy").only("on_invalid")),
            journal=top.path("journal"),
            schema_roots=top.paths("schema_roots"),
            poll=timedelta(seconds=top.take("poll_seconds")),
            polling=Polling(top.take("poll_for")),
            listen=_listen(top.optional("listen")),
            specialist=_specialist(top.optional("specialist")),
            inflation=_inflation(top.table("opening")),
            scan=_scan(top.optional("scan")),
        )
        forwarding.finish()
        top.finish()
        if mode is not Mode.COLLECT and "listen" not in document:
            faults.append(
                Text(
                    f"listen: fehlt, obwohl mode = {mode} Zustellungen annimmt. Nötig ist [listen] mit secret_file.",
                    f"listen: is missing though mode = {mode} takes pushes. Needed is [listen] with secret_file.",
                )
            )
        _require_way_back(settings, faults)
        if faults:
            raise unusable_all(faults)
        return settings


def _require_way_back(settings: ConnectorSettings, faults: list[Text]) -> None:
    """Note it where the local system shall decide, and has nowhere to say so."""
    outbox = isinstance(settings.handover, FolderHandover) and settings.handover.outbox is not None
    if settings.decider is Decider.SYSTEM and settings.local is None and not outbox:
        faults.append(
            Text(
                "handover.mode: system braucht einen Weg zurück: [api] mit token_file, oder handover.outbox.",
                "handover.mode: system needs a way back: [api] with token_file, or handover.outbox.",
            )
        )


def _document(path: Path) -> Mapping[str, Any]:
    try:
        vault.require_integrity(path)
        with path.open("rb") as file:
            text = file.read(_LARGEST_FILE)
        return tomllib.loads(text.decode("utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as exc:
        raise unusable(str(path), f"ist nicht lesbares TOML ({exc})", f"is not readable TOML ({exc})") from exc


def in_force(path: Path) -> Iterator[tuple[Setting, Any, bool]]:
    """Yield each setting with its value, and whether the file gives it; for a file that can be read, table by table."""
    document = _document(path)
    for each in DECLARED:
        table, _, key = each.name.rpartition(".")
        places = document if not table else document.get(table, {} if table in _EVER else [])
        for number, place in enumerate(places if isinstance(places, list) else [places]):
            if each.only is not None and place.get(each.only[0]) != each.only[1]:
                continue
            name = f"{table}[{number}].{key}" if isinstance(places, list) else each.name
            yield replace(each, name=name), place.get(key, each.default), key in place


#: Tables whose defaults count where they are missing.
_EVER = frozenset({"policy", "opening", "replies", "forwarding"})
#: Bytes of a file with one secret.
LONGEST_SECRET = 4096


def unusable(where: str, de: str, en: str) -> ConfigurationError:
    """Say which setting cannot be used, and why."""
    return ConfigurationError(Text(f"Einstellung {where}: {de}.", f"Setting {where}: {en}."), setting=where)


def _url(table: DeclaredTable, key: str, hosts: tuple[str, ...] = ()) -> str:
    """Return an https address, or an http one that cannot leave this machine or leads to one of ``hosts``."""
    value: str = table.take(key).rstrip("/")
    try:
        parts = urlsplit(value)
        parts.port  # noqa: B018  # raises for one that is none
    except ValueError:
        table.note(key, "ist keine Adresse.", "is no address.")
        return value
    local = is_loopback(parts.hostname) or parts.hostname in hosts
    if not parts.hostname or parts.scheme not in ({"https", "http"} if local else {"https"}):
        table.note(
            key,
            "braucht eine Adresse mit https:// (http:// nur zu diesem Rechner).",
            "needs an address with https:// (http:// to this machine only).",
        )
    elif parts.username or parts.password or parts.query or parts.fragment:
        table.note(key, "erlaubt nur Host und Pfad.", "allows only host and path.")
    return value


def _hub(table: DeclaredTable) -> Hub:
    base_url = _url(table, "base_url")
    hub = Hub(
        base_url=base_url,
        submission_api=table.take("submission_api"),
        token_url=_url(table, "token_url"),
        client_id=table.take("client_id"),
        client_secret_file=table.path("client_secret_file"),
        issuer=table.take("issuer") or base_url,
        ca_file=table.optional_path("ca_file"),
    )
    table.finish()
    return hub


def _address(table: DeclaredTable) -> Address:
    files = table.paths("decryption_key_files")
    if not files:
        table.note("decryption_key_files", "braucht mindestens eine Datei.", "needs at least one file.")
    address = Address(
        destination_id=UUID(table.take("destination_id")),
        decryption_key_files=files,
        signing_key_file=table.path("signing_key_file"),
        key_password_file=table.optional_path("key_password_file"),
        signing_key_id=table.take("signing_key_id") or "",
    )
    table.finish()
    return address


def _handover(table: DeclaredTable) -> tuple[Decider, FolderHandover | HttpHandover | None]:
    decider, kind = Decider(table.take("mode")), table.take("kind")
    handover: FolderHandover | HttpHandover | None = None
    if kind == "folder":
        handover = FolderHandover(path=table.path("path"), pdf=table.take("pdf"), outbox=table.optional_path("outbox"))
    elif kind == "http":
        handover = _http(table)
    elif decider is not Decider.CLERK:
        table.note(
            "kind",
            "fehlt. Nennen Sie folder oder http, oder setzen Sie mode = clerk.",
            "is missing. Name folder or http, or set mode = clerk.",
        )
    table.finish()
    return decider, handover


def _http(table: DeclaredTable) -> HttpHandover:
    hosts = tuple(table.take("allowed_hosts"))
    handover = HttpHandover(url=_url(table, "url", hosts), secret_file=table.optional_path("secret_file"))
    host = urlsplit(handover.url).hostname
    if handover.url.startswith("https://") and not is_loopback(host) and host not in hosts:
        table.note(
            "url",
            "nennt einen Rechner, der nicht in allowed_hosts steht.",
            "names a host that is not in allowed_hosts.",
        )
    return handover


def _clerk(table: DeclaredTable) -> ClerkSite:
    site = ClerkSite(
        address=table.take("address"),
        port=table.take("port"),
        hosts=tuple(name.lower() for name in table.take("hosts")),
        accounts_file=table.path("accounts_file"),
        certificate_file=table.optional_path("certificate_file"),
        key_file=table.optional_path("key_file"),
        keep=timedelta(days=table.take("keep_days")),
    )
    table.finish()
    if not is_loopback(site.address) and site.certificate_file is None:
        table.note("certificate_file", "fehlt für eine Adresse im Netz.", "is missing for a network address.")
    return site


def _local(table: DeclaredTable | None) -> LocalInterface | None:
    if table is None:
        return None
    local = LocalInterface(port=table.take("port"), token_file=table.path("token_file"))
    table.finish()
    return local


def _listen(table: DeclaredTable | None) -> Listen | None:
    if table is None:
        return None
    listen = Listen(
        address=table.take("address"),
        port=table.take("port"),
        secret_file=table.path("secret_file"),
        certificate_file=table.optional_path("certificate_file"),
        key_file=table.optional_path("key_file"),
        largest=table.take("largest_megabytes") * 1024 * 1024,
    )
    table.finish()
    if not is_loopback(listen.address) and listen.certificate_file is None:
        table.note("certificate_file", "fehlt für eine Adresse im Netz.", "is missing for a network address.")
    return listen


def _inflation(table: DeclaredTable) -> Inflation:
    inflation = Inflation(
        total=table.take("largest_megabytes") * 1_000_000,
        ratio=table.take("largest_ratio"),
        free=table.take("free_megabytes") * 1024 * 1024,
    )
    table.finish()
    return inflation


def _scan(table: DeclaredTable | None) -> MalwareScan | None:
    if table is None:
        return None
    place = ScannerAddress()
    try:
        place = scanner_address(table.take("address"))
    except ConfigurationError as exc:
        table.note("address", f"{exc.detail.de}.", f"{exc.detail.en}.")
    waits = table.take("down") == WAIT
    scan = MalwareScan(
        place=place,
        policy=_policy(table),
        waits=waits,
        largest=table.take("largest_megabytes") * 1024 * 1024,
        seconds=table.take("seconds"),
        limits=table.take("limits"),
    )
    table.finish()
    return scan


def _policy(table: DeclaredTable) -> Policy:
    return Policy(
        infected=Consequence(table.take("infected")),
        down=Consequence.MARK,  # Unless it is waited for.
        unscannable=Consequence(table.take("unscannable")),
    )


def _specialist(table: DeclaredTable | None) -> Specialist | None:
    if table is None:
        return None
    specialist = Specialist(port=table.take("port"), folder=table.path("folder"))
    table.finish()
    return specialist
