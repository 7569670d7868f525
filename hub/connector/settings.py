"""The connector's settings: one strict TOML file; an unknown or missing key stops the start, and all of them are said at once.

Paths may be relative to the file. Secrets and keys stand in files of their own, never in the settings. ``DECLARED`` is all that
is said of a setting anywhere: the reference, the file that ``hub connector init`` writes, and the reading are made of it.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from enum import StrEnum
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit
from uuid import UUID

from hub.client.transport import is_loopback
from hub.errors import ConfigurationError, Text
from hub.files import vault
from hub.files.settings import DeclaredTable, Setting, ValueForm, unusable_all

_LARGEST_FILE = 1024 * 1024  # Bytes; a settings file is a page or two.


class Mode(StrEnum):
    """How submissions come in."""

    #: Asks the hub, every ``poll_seconds``.
    COLLECT = "collect"
    #: Takes what the hub pushes.
    LISTEN = "listen"
    #: Both; what came one way is not taken again the other way.
    BOTH = "both"


class Polling(StrEnum):
    """What the hub is asked for when the connector collects."""

    #: For each destination that is served here.
    EACH = "each"
    #: Once for all that are the client's; what is not served here stays where it is.
    ALL = "all"


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
    """Hand over into a directory that the local system watches; ``pdf``: with the page for people as PDF, too."""

    path: Path
    pdf: bool = False


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


def _declared(name: str, form: ValueForm, de: str, en: str, *, since: str = "0.1.0", **more: Any) -> Setting:
    return Setting(name=name, form=form, text=Text(de, en), since=since, **more)


#: Every setting, in the order of the file that ``init`` writes.
DECLARED = (
    _declared(
        "mode",
        ValueForm.TEXT,
        "Wie Einreichungen hereinkommen: der Konnektor fragt (collect), nimmt Zustellungen an (listen) oder beides (both).",
        "How submissions come in: the connector asks (collect), takes what the hub pushes (listen), or both.",
        default=str(Mode.COLLECT),
        choices=tuple(Mode),
    ),
    _declared(
        "journal",
        ValueForm.PATH,
        "Datei, in der steht, was aus jeder Einreichung wurde; daneben liegt Verschlüsseltes.",
        "File that says what became of each submission; what is sealed lies beside it.",
        required=True,
    ),
    _declared(
        "schema_roots",
        ValueForm.PATHS,
        "Ordner mit Schemata; ohne sie werden Daten ungeprüft übergeben.",
        "Folders of schemas; without them data are handed over unchecked.",
        default=[],
    ),
    _declared(
        "poll_seconds",
        ValueForm.NUMBER,
        "Pause zwischen zwei Fragen an den Hub.",
        "Pause between two questions to the hub.",
        default=10,
        unit="s",
        least=1,
        most=86_400,
    ),
    _declared(
        "poll_for",
        ValueForm.TEXT,
        "Wonach gefragt wird: nach jedem Zustellpunkt (each) oder einmal nach allen des Clients (all), wenn es viele sind.",
        "What is asked for: each destination, or all of the client's at once, where there are many.",
        since="0.3.0",
        default=str(Polling.EACH),
        choices=tuple(Polling),
    ),
    _declared(
        "hub.base_url",
        ValueForm.ADDRESS,
        "Adresse des Hubs.",
        "Address of the hub.",
        required=True,
    ),
    _declared(
        "hub.submission_api",
        ValueForm.TEXT,
        "Weg der FIT-Connect-Schnittstelle hinter base_url.",
        "Path of the FIT-Connect interface behind base_url.",
        default="/submission-api",
    ),
    _declared(
        "hub.token_url",
        ValueForm.ADDRESS,
        "Adresse, an der es Zugriffstoken gibt.",
        "Address that gives access tokens.",
        required=True,
    ),
    _declared(
        "hub.client_id",
        ValueForm.TEXT,
        "Name des Konnektors am Hub.",
        "Name of the connector at the hub.",
        required=True,
    ),
    _declared(
        "hub.client_secret_file",
        ValueForm.SECRET_FILE,
        "Datei mit dem Geheimnis dazu.",
        "File with the secret that belongs to it.",
        required=True,
    ),
    _declared(
        "hub.issuer",
        ValueForm.TEXT,
        "Als wer der Hub unterschreibt.",
        "Who the hub signs as.",
        shown=Text("wie hub.base_url", "as hub.base_url"),
    ),
    _declared(
        "hub.ca_file",
        ValueForm.PATH,
        "PEM-Datei mit der Zertifizierungsstelle des Hubs, wenn es keine öffentliche ist.",
        "PEM file with the authority of the hub's TLS certificate, if it is no public one.",
        shown=Text("die öffentlichen", "the public ones"),
    ),
    _declared(
        "destinations.destination_id",
        ValueForm.ID,
        "Zustellpunkt, der hier bedient wird.",
        "Destination that is served here.",
        required=True,
    ),
    _declared(
        "destinations.decryption_key_files",
        ValueForm.PATHS,
        "Private Schlüssel zum Öffnen (JWK, PEM oder PKCS#12), während eines Wechsels auch die früheren.",
        "Private keys to open with (JWK, PEM or PKCS#12), the earlier ones too while keys roll over.",
        required=True,
    ),
    _declared(
        "destinations.signing_key_file",
        ValueForm.PATH,
        "Privater Schlüssel, mit dem Antworten unterschrieben werden (JWK, PEM oder PKCS#12).",
        "Private key that answers are signed with (JWK, PEM or PKCS#12).",
        required=True,
    ),
    _declared(
        "destinations.key_password_file",
        ValueForm.SECRET_FILE,
        "Datei mit dem Passwort dieser Schlüsseldateien.",
        "File with the password of these key files.",
        since="0.3.0",
    ),
    _declared(
        "destinations.signing_key_id",
        ValueForm.TEXT,
        "Unter welchem Namen (kid) der Hub den Unterschriftsschlüssel kennt.",
        "Name (kid) under which the hub knows the signing key.",
        since="0.3.0",
        shown=Text("der des JWK, sonst der des Zertifikats", "the JWK's, else the certificate's"),
    ),
    _declared(
        "listen.address",
        ValueForm.TEXT,
        "Adresse, an der Zustellungen angenommen werden.",
        "Address at which pushes are taken.",
        default="127.0.0.1",
    ),
    _declared(
        "listen.port",
        ValueForm.NUMBER,
        "Port dazu; 0: irgendein freier.",
        "Port of it; 0: any that is free.",
        default=0,
        least=0,
        most=65_535,
    ),
    _declared(
        "listen.secret_file",
        ValueForm.SECRET_FILE,
        "Datei mit dem Geheimnis, das der Zustellpunkt am Hub als secret_file hat.",
        "File with the secret that the destination has at the hub as its secret_file.",
        required=True,
    ),
    _declared(
        "listen.certificate_file",
        ValueForm.PATH,
        "TLS-Zertifikat (PEM); Pflicht für eine Adresse im Netz.",
        "TLS certificate (PEM); a must for an address in the network.",
    ),
    _declared("listen.key_file", ValueForm.PATH, "Schlüssel dazu (PEM).", "Key of it (PEM)."),
    _declared(
        "listen.largest_megabytes",
        ValueForm.NUMBER,
        "Größter angenommener Umschlag.",
        "The largest envelope that is taken.",
        default=64,
        unit="MiB",
        least=1,
        most=1024,
    ),
    _declared(
        "handover.kind",
        ValueForm.TEXT,
        "Wohin Geöffnetes geht: in einen Ordner (folder) oder per HTTP an das Fachverfahren (http).",
        "Where what is opened goes: into a folder, or by HTTP to the specialist system.",
        required=True,
        choices=("folder", "http"),
    ),
    _declared(
        "handover.path",
        ValueForm.PATH,
        "Ordner der Übergabe; er muss da sein.",
        "Folder of the hand-over; it must be there.",
        required=True,
        only=("kind", "folder"),
    ),
    _declared(
        "handover.pdf",
        ValueForm.TRUTH,
        "Neben antrag.html auch antrag.pdf (PDF/A-3) in den Ordner legen; braucht das Extra portal und kostet je Antrag ein "
        "bis zwei Sekunden.",
        "Put antrag.pdf (PDF/A-3) into the folder beside antrag.html; needs the extra portal and costs a second or two an "
        "application.",
        default=False,
        since="0.3.0",
        only=("kind", "folder"),
    ),
    _declared(
        "handover.url",
        ValueForm.ADDRESS,
        "Adresse des Fachverfahrens.",
        "Address of the specialist system.",
        required=True,
        only=("kind", "http"),
    ),
    _declared(
        "handover.secret_file",
        ValueForm.SECRET_FILE,
        "Datei mit einem Geheimnis, das als Bearer mitgeht.",
        "File with a secret that is sent as Bearer.",
        only=("kind", "http"),
    ),
    _declared(
        "handover.allowed_hosts",
        ValueForm.TEXTS,
        "Andere Rechner als dieser, die url nennen darf.",
        "Other hosts than this machine that url may name.",
        default=[],
        only=("kind", "http"),
    ),
    _declared(
        "policy.on_invalid",
        ValueForm.TEXT,
        "Was aus Daten wird, die ihr Schema verletzen: zurückweisen oder mit Prüfbericht übergeben.",
        "What becomes of data that break their schema: rejected, or handed over with the report.",
        default=str(InvalidHandling.REJECT),
        choices=tuple(InvalidHandling),
    ),
    _declared(
        "opening.largest_megabytes",
        ValueForm.NUMBER,
        "So groß darf eine Einreichung geöffnet werden, alle Teile zusammen.",
        "How large one submission may become when opened, all parts together.",
        since="0.2.0",
        default=2_000,
        unit="MB",
        least=1,
        most=100_000,
    ),
    _declared(
        "opening.largest_ratio",
        ValueForm.NUMBER,
        "Und so viel Mal so groß wie versiegelt.",
        "And how many times its sealed size.",
        since="0.2.0",
        default=100,
        least=1,
        most=1_099,
    ),
    _declared(
        "opening.free_megabytes",
        ValueForm.NUMBER,
        "Erst darüber zählt largest_ratio: ein kurzes Formular voller Wiederholungen ist kein Angriff.",
        "Beyond these largest_ratio counts: a short form of many repetitions is no attack.",
        since="0.2.0",
        default=32,
        unit="MiB",
        least=1,
        most=100_000,
    ),
    _declared(
        "specialist.port",
        ValueForm.NUMBER,
        "Port des vorgeführten Fachverfahrens auf diesem Rechner.",
        "Port of the demonstration specialist system on this machine.",
        default=0,
        least=0,
        most=65_535,
    ),
    _declared(
        "specialist.folder",
        ValueForm.PATH,
        "Ordner seiner Fälle.",
        "Folder of its cases.",
        required=True,
    ),
)
_BY_NAME = {each.name: each for each in DECLARED}
#: What a table is for, in the file that ``init`` writes.
TABLES: Mapping[str, Text] = {
    "hub": Text("Der Hub, und wer der Konnektor dort ist", "The hub, and who the connector is there"),
    "destinations": Text("Je Zustellpunkt eine Tabelle", "One table for each destination"),
    "listen": Text("Nur für mode = listen oder both", "Only for mode = listen or both"),
    "handover": Text("Übergabe an das Fachverfahren", "Hand-over to the specialist system"),
    "policy": Text("Regeln", "Rules"),
    "opening": Text("Grenzen beim Öffnen", "Bounds of opening"),
    "specialist": Text("Nur für die Vorführung", "For the demonstration only"),
}


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
    polling: Polling = Polling.EACH
    inflation: Inflation = field(default_factory=Inflation)

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
        settings = cls(
            hub=_hub(top.table("hub")),
            destinations=tuple(_address(entry) for entry in top.tables("destinations")),
            mode=mode,
            handover=_handover(top.table("handover")),
            on_invalid=InvalidHandling(top.table("policy").only("on_invalid")),
            journal=top.path("journal"),
            schema_roots=top.paths("schema_roots"),
            poll=timedelta(seconds=top.take("poll_seconds")),
            polling=Polling(top.take("poll_for")),
            listen=_listen(top.optional("listen")),
            specialist=_specialist(top.optional("specialist")),
            inflation=_inflation(top.table("opening")),
        )
        top.finish()
        if mode is not Mode.COLLECT and "listen" not in document:
            faults.append(
                Text(
                    f"listen: fehlt, obwohl mode = {mode} Zustellungen annimmt. Nötig ist [listen] mit secret_file.",
                    f"listen: is missing though mode = {mode} takes pushes. Needed is [listen] with secret_file.",
                )
            )
        if faults:
            raise unusable_all(faults)
        return settings


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
_EVER = frozenset({"policy", "opening"})
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


def _handover(table: DeclaredTable) -> FolderHandover | HttpHandover:
    handover: FolderHandover | HttpHandover
    if table.take("kind") == "folder":
        handover = FolderHandover(path=table.path("path"), pdf=table.take("pdf"))
    else:
        hosts = tuple(table.take("allowed_hosts"))
        handover = HttpHandover(url=_url(table, "url", hosts), secret_file=table.optional_path("secret_file"))
        host = urlsplit(handover.url).hostname
        if handover.url.startswith("https://") and not is_loopback(host) and host not in hosts:
            table.note(
                "url",
                "nennt einen Rechner, der nicht in allowed_hosts steht.",
                "names a host that is not in allowed_hosts.",
            )
    table.finish()
    return handover


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


def _specialist(table: DeclaredTable | None) -> Specialist | None:
    if table is None:
        return None
    specialist = Specialist(port=table.take("port"), folder=table.path("folder"))
    table.finish()
    return specialist
