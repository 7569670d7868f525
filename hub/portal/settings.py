"""The portal's settings: one strict TOML file; an unknown or missing key stops the start, and all of them are said at once.

Paths may be relative to the file. Secrets stand in files of their own. ``DECLARED`` is all that is said of a setting anywhere:
the reference and the reading are made of it.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

from hub.client.transport import is_loopback
from hub.errors import ConfigurationError, Text
from hub.files.settings import DeclaredTable, Setting, ValueForm, unusable_all
from hub.portal.login_settings import LOGIN_SETTINGS, PortalLogin, read_login
from hub.portal.look import COLOUR, COLOUR_DARK, PAGES, TenantLook, colour_fault, logo_fault

_LARGEST_FILE = 1024 * 1024  # Bytes; a settings file is a page or two.
_SINCE = "0.3.0"
_MIB = 1024 * 1024
_MOST_PORT = 65_535


@dataclass(frozen=True, kw_only=True, slots=True)
class PortalHub:
    """Where the hub is, and as whom the portal submits there."""

    base_url: str
    client_id: str
    client_secret_file: Path
    ca_file: Path | None


@dataclass(frozen=True, kw_only=True, slots=True)
class FormPlace:
    """Where running and saved forms lie, as ciphertext: SQLite in ``folder`` unless ``url`` names another database."""

    folder: Path
    url: str
    password_file: Path | None


@dataclass(frozen=True, kw_only=True, slots=True)
class PortalMail:
    """By which server the portal tells people that something happened."""

    host: str
    port: int
    security: str
    user: str
    password_file: Path | None
    sender: str


@dataclass(frozen=True, kw_only=True, slots=True)
class PortalLimits:
    """What one person, and all together, may take up."""

    idle: timedelta
    saved: timedelta
    requests_per_minute: int
    bodies_at_once: int
    begun_per_address: int
    unanswered: timedelta
    forms: int
    stored_bytes: int
    stored_per_address: int
    attachment_bytes: int
    attachments: int
    form_bytes: int


def _declared(name: str, form: ValueForm, de: str, en: str, **more: Any) -> Setting:
    return Setting(**{"name": name, "form": form, "text": Text(de, en), "since": _SINCE, **more})


def _number(  # noqa: PLR0917  # what a row of the table says, in its order
    name: str, default: int, least: int, most: int, de: str, en: str, unit: str = "", since: str = _SINCE
) -> Setting:
    return _declared(name, ValueForm.NUMBER, de, en, default=default, least=least, most=most, unit=unit, since=since)


def _looks(table: str) -> tuple[Setting, ...]:
    """Declare what a look consists of, for the portal itself and for each domain of its own."""
    of_domain = table == "tenants"
    where = Text("unter dieser Domain", "under this domain") if of_domain else Text("im Portal", "in the portal")
    as_above: dict[str, Any] = {"shown": Text("wie [look]", "as [look]")} if of_domain else {}
    return (
        _declared(
            f"{table}.name",
            ValueForm.TEXT,
            f"Wie das Portal heißt, {where.de}.",
            f"What the portal is called, {where.en}.",
            **(as_above or {"default": "Bürgerportal"}),
        ),
        _declared(
            f"{table}.colour",
            ValueForm.TEXT,
            f"Farbe von Links und Knöpfen {where.de} (#rrggbb); Kontrast zum hellen Grund mindestens 4,5 : 1.",
            f"Colour of links and buttons {where.en} (#rrggbb); contrast with the light ground at least 4.5 : 1.",
            **(as_above or {"default": COLOUR}),
        ),
        _declared(
            f"{table}.colour_dark",
            ValueForm.TEXT,
            f"Dieselbe Farbe für dunkle Bildschirme {where.de}; Kontrast zum dunklen Grund mindestens 4,5 : 1.",
            f"The same colour for dark screens {where.en}; contrast with the dark ground at least 4.5 : 1.",
            **(as_above or {"default": COLOUR_DARK}),
        ),
        _declared(
            f"{table}.logo",
            ValueForm.PATH,
            f"Bilddatei {where.de} neben dem Namen (SVG, PNG, höchstens 100 KiB).",
            f"Image {where.en} beside the name (SVG, PNG, 100 KiB at most).",
        ),
    )


#: Every setting.
DECLARED = (
    _declared(
        "environment",
        ValueForm.TEXT,
        "production verlangt https; development ist für diesen Rechner.",
        "production asks for https; development is for this machine.",
        default="development",
        choices=("development", "production"),
    ),
    _declared(
        "log_format",
        ValueForm.TEXT,
        "Zeilen des Protokolls für Menschen (text) oder für Programme (json).",
        "Lines of the log for people (text) or for programs (json).",
        default="text",
        choices=("text", "json"),
    ),
    _declared(
        "schema_roots",
        ValueForm.PATHS,
        "Ordner mit Schemata und Formularen außer den mitgelieferten.",
        "Folders of schemas and forms besides those that ship.",
        default=[],
    ),
    _declared("hub.base_url", ValueForm.ADDRESS, "Adresse des Hubs.", "Address of the hub.", required=True),
    _declared(
        "hub.client_id",
        ValueForm.TEXT,
        "Name des Portals am Hub (ein Client der Art sender).",
        "Name of the portal at the hub (a client of the kind sender).",
        required=True,
    ),
    _declared(
        "hub.client_secret_file",
        ValueForm.SECRET_FILE,
        "Datei mit dem Geheimnis, das der Hub dem Portal gab.",
        "File with the secret that the hub gave the portal.",
        required=True,
    ),
    _declared(
        "hub.ca_file",
        ValueForm.PATH,
        "PEM-Datei mit der Zertifizierungsstelle des Hubs, wenn es keine öffentliche ist.",
        "PEM file with the authority of the hub's TLS certificate, if it is no public one.",
        shown=Text("die öffentlichen", "the public ones"),
    ),
    _declared(
        "serve.host",
        ValueForm.TEXT,
        "Adresse, an der das Portal lauscht.",
        "Address that the portal listens at.",
        default="127.0.0.1",
    ),
    _number("serve.port", 8081, 0, _MOST_PORT, "Port, an dem das Portal lauscht.", "Port that the portal listens at."),
    _declared(
        "serve.public_url",
        ValueForm.ADDRESS,
        "Adresse des Portals von außen, ohne Pfad; die einzige, unter der es antwortet, außer denen in [[tenants]].",
        "Address of the portal from outside, without a path; the only one that it answers under, besides those in [[tenants]].",
        shown=Text("http://host:port", "http://host:port"),
    ),
    _declared(
        "storage.folder",
        ValueForm.PATH,
        "Ordner für verschlüsselte Formulare und zwischengespeicherte Schemata.",
        "Folder of encrypted forms and of schemas that were fetched.",
        default="portal-data",
    ),
    _declared(
        "storage.url",
        ValueForm.TEXT,
        "Datenbank der verschlüsselten Formulare: postgresql://NUTZER@RECHNER:PORT/NAME, ohne Passwort.",
        "Database of encrypted forms: postgresql://USER@HOST:PORT/NAME, without a password.",
        default="",
        shown=Text("SQLite in storage.folder", "SQLite in storage.folder"),
    ),
    _declared(
        "storage.password_file",
        ValueForm.SECRET_FILE,
        "Datei mit dem Passwort dieser Datenbank.",
        "File with the password of this database.",
    ),
    *_looks("look"),
    *(
        _declared(f"pages.{name}", ValueForm.PATH, f"Textdatei: {de}.", f"Text file: {en}.")
        for name, (de, en) in {
            "imprint": ("Impressum (Absätze, Überschriften mit #)", "imprint (paragraphs, headings with #)"),
            "privacy": ("Datenschutzerklärung", "privacy notice"),
            "accessibility": ("Erklärung zur Barrierefreiheit", "accessibility statement"),
        }.items()
    ),
    _declared(
        "tenants.domain",
        ValueForm.TEXT,
        "Weitere Domain, unter der das Portal antwortet, mit eigenem Aussehen (rechner oder rechner:port).",
        "Another domain that the portal answers under, with a look of its own (host or host:port).",
        required=True,
    ),
    *_looks("tenants"),
    *(
        _declared(
            f"tenants.{name}",
            ValueForm.PATH,
            f"Datei für die Seite „{name}“ dieser Domain.",
            f"File of this domain's page '{name}'.",
            shown=Text("wie [pages]", "as [pages]"),
        )
        for name in PAGES
    ),
    _declared("mail.host", ValueForm.TEXT, "Mailserver für Hinweise.", "Mail server for notices.", required=True),
    _number("mail.port", 587, 1, _MOST_PORT, "Port des Mailservers für Hinweise.", "Port of the server for notices."),
    _declared(
        "mail.security",
        ValueForm.TEXT,
        "starttls ist Pflicht; none nur für einen Mailserver auf diesem Rechner in development.",
        "starttls is required; none is for a mail server on this machine in development.",
        default="starttls",
        choices=("starttls", "none"),
    ),
    _declared("mail.user", ValueForm.TEXT, "Konto am Mailserver.", "Account at the mail server.", default=""),
    _declared(
        "mail.password_file", ValueForm.SECRET_FILE, "Datei mit dessen Passwort.", "File with that account's password."
    ),
    _declared(
        "mail.sender",
        ValueForm.TEXT,
        "Absenderadresse der Hinweise an Bürger.",
        "Sender's address of notices to citizens.",
        required=True,
    ),
    *LOGIN_SETTINGS,
    _number(
        "limits.idle_minutes",
        60,
        5,
        24 * 60,
        "So lange bleibt ein angefangenes Formular ohne eine Eingabe.",
        "For so long a begun form stays without any input.",
        "min",
    ),
    _number(
        "limits.saved_days",
        28,
        1,
        365,
        "So lange bleibt ein gespeichertes Formular.",
        "For so long a saved form stays.",
        "d",
    ),
    _number(
        "limits.requests_per_minute",
        300,
        10,
        100_000,
        "Seitenaufrufe einer Adresse in der Minute.",
        "Requests of one address within a minute.",
    ),
    _number(
        "limits.bodies_at_once",
        40,
        1,
        10_000,
        "Formulare und Dateien, die von einer Adresse zugleich ankommen; von einem Adressblock zehnmal so viele.",
        "Forms and files that come in from one address at once; ten times as many from a block of addresses.",
        since="0.4.0",
    ),
    _number(
        "limits.begun_per_address",
        200,
        1,
        1_000_000,
        "Anträge, die von einer Adresse in einer Viertelstunde angefangen werden; von einem Adressblock zehnmal so viele.",
        "Applications that are begun from one address in a quarter of an hour; ten times as many from a block of addresses.",
        since="0.4.0",
    ),
    _number(
        "limits.unanswered_minutes",
        30,
        5,
        24 * 60,
        "So lange bleibt ein angefangenes Formular, von dem noch keine Seite abgeschickt wurde.",
        "For so long a begun form stays of which no page was sent yet.",
        "min",
        since="0.4.0",
    ),
    _number(
        "limits.forms",
        50_000,
        100,
        10_000_000,
        "Angefangene und gespeicherte Formulare zugleich.",
        "Begun and saved forms at once.",
    ),
    _number(
        "limits.stored_megabytes",
        10_000,
        100,
        10_000_000,
        "So viel nehmen alle Formulare mit Anlagen zusammen ein.",
        "How much all forms with their attachments take up together.",
        "MiB",
    ),
    _number(
        "limits.stored_megabytes_per_address",
        2_000,
        1,
        10_000_000,
        "So viel davon nimmt innerhalb eines Tages in Anspruch, wer von einer Adresse kommt; ein Adressblock zehnmal so viel, "
        "höchstens die Hälfte.",
        "How much of that whoever comes from one address takes up within a day; a block of addresses ten times as much, half "
        "of it at most.",
        "MiB",
        since="0.4.0",
    ),
    _number(
        "limits.attachment_megabytes",
        20,
        1,
        500,
        "So groß darf eine Anlage sein.",
        "How large one attachment may be.",
        "MiB",
    ),
    _number("limits.attachments", 20, 1, 100, "So viele Anlagen darf ein Antrag haben.", "Attachments of one form."),
    _number(
        "limits.form_megabytes",
        64,
        1,
        2_000,
        "So groß dürfen alle Anlagen eines Antrags zusammen sein.",
        "How large all attachments of one form may be together.",
        "MiB",
    ),
)
_BY_NAME = {each.name: each for each in DECLARED}
#: Tables whose defaults count where they are missing.
_EVER = frozenset({"serve", "storage", "look", "pages", "limits"})


@dataclass(frozen=True, kw_only=True, slots=True)
class PortalSettings:
    """Everything that the portal is told. ``looks`` are by domain as a Host header names it; the first is its own."""

    hub: PortalHub
    environment: str
    log_format: str
    host: str
    port: int
    public_url: str
    storage: FormPlace
    looks: Mapping[str, TenantLook]
    mail: PortalMail | None
    limits: PortalLimits
    login: PortalLogin | None = None
    schema_roots: tuple[Path, ...] = ()

    @property
    def production(self) -> bool:
        """Whether it serves people outside."""
        return self.environment == "production"

    @property
    def secure(self) -> bool:
        """Whether it is reached by https alone, as everywhere but on this machine in development."""
        return self.public_url.startswith("https://")

    @classmethod
    def read(cls, path: Path, **given: Any) -> Self:
        """Read a settings file; ``given`` (``host``, ``port``) win over it. ``ConfigurationError`` says all that is wrong."""
        document = _document(path)
        served = {name: value for name, value in given.items() if value is not None}
        if served:
            document = {**document, "serve": {**document.get("serve", {}), **served}}
        return cls.parse(document, path.resolve().parent)

    @classmethod
    def parse(cls, document: Mapping[str, Any], folder: Path) -> Self:
        """Build settings from a parsed document; relative paths start at ``folder``."""
        faults: list[Text] = []
        top = DeclaredTable(_BY_NAME, document, folder, faults)
        environment = top.take("environment")
        log_format, schema_roots = top.take("log_format"), top.paths("schema_roots")
        hub = _hub(top.table("hub"))
        host, port, public_url = _served(top.table("serve"), production=environment == "production")
        storage = _storage(top.table("storage"))
        first = _look(top.table("look"), _pages(top.table("pages")), None)
        tenants = top.tables("tenants") if "tenants" in document else []
        mail = _mail(top.optional("mail"), production=environment == "production")
        login = read_login(top.optional("login"), _address)
        limits = _limits(top.table("limits"))
        looks = {urlsplit(public_url).netloc: first}
        for table in tenants:
            domain = _domain(table, looks)
            looks[domain] = _look(table, None, first)
        top.finish()
        if faults:
            raise unusable_all(faults)
        return cls(
            hub=hub,
            environment=environment,
            log_format=log_format,
            host=host,
            port=port,
            public_url=public_url,
            storage=storage,
            looks=looks,
            mail=mail,
            login=login,
            limits=limits,
            schema_roots=schema_roots,
        )


def in_force(path: Path) -> Iterator[tuple[Setting, Any, bool]]:
    """Yield each setting with its value, and whether the file gives it; for a file that can be read, table by table."""
    document = _document(path)
    for each in DECLARED:
        table, _, key = each.name.rpartition(".")
        places = document if not table else document.get(table, {} if table in _EVER else [])
        for number, place in enumerate(places if isinstance(places, list) else [places]):
            name = f"{table}[{number}].{key}" if isinstance(places, list) else each.name
            yield replace(each, name=name), place.get(key, each.default), key in place


def _document(path: Path) -> Mapping[str, Any]:
    try:
        with path.open("rb") as file:
            text = file.read(_LARGEST_FILE)
        return tomllib.loads(text.decode("utf-8"))
    except FileNotFoundError as exc:
        raise ConfigurationError(
            Text(
                f"Die Einstellungen {path} gibt es nicht. Nennen Sie sie mit --config; docs/buergerportal.md zeigt eine.",
                f"The settings {path} do not exist. Name them with --config; docs/buergerportal.md shows an example.",
            ),
            setting=str(path),
        ) from exc
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as exc:
        raise ConfigurationError(
            Text(f"{path}: ist nicht lesbares TOML ({exc}).", f"{path}: is not readable TOML ({exc})."),
            setting=str(path),
        ) from exc


def _address(table: DeclaredTable, key: str, value: str, *, path: bool) -> str:
    """Return an address with https, or with http to this machine; ``path``: whether one may stand behind the host."""
    try:
        parts = urlsplit(value)
        parts.port  # noqa: B018  # raises for one that is none
    except ValueError:
        table.note(key, "ist keine Adresse.", "is no address.")
        return "http://localhost"
    local = is_loopback(parts.hostname)
    if not parts.hostname or parts.scheme not in ({"https", "http"} if local else {"https"}):
        table.note(
            key,
            "braucht eine Adresse mit https:// (http:// nur zu diesem Rechner).",
            "needs an address with https:// (http:// to this machine only).",
        )
    elif parts.username or parts.password or parts.query or parts.fragment or (parts.path and not path):
        allowed = ("Host und Pfad", "host and path") if path else ("Host und Port", "host and port")
        table.note(key, f"erlaubt nur {allowed[0]}.", f"allows only {allowed[1]}.")
    return value


def _hub(table: DeclaredTable) -> PortalHub:
    hub = PortalHub(
        base_url=_address(table, "base_url", table.take("base_url").rstrip("/"), path=True),
        client_id=table.take("client_id"),
        client_secret_file=table.path("client_secret_file"),
        ca_file=table.optional_path("ca_file"),
    )
    table.finish()
    return hub


def _served(table: DeclaredTable, *, production: bool) -> tuple[str, int, str]:
    host, port, named = table.take("host"), table.take("port"), table.take("public_url")
    table.finish()
    public_url = _address(table, "public_url", (named or f"http://{host}:{port}").rstrip("/"), path=False)
    if production and not public_url.startswith("https://"):
        table.note(
            "public_url",
            "muss in production gesetzt sein und mit https:// beginnen.",
            "must be set in production and begin with https://.",
        )
    return host, port, public_url


def _storage(table: DeclaredTable) -> FormPlace:
    place = FormPlace(
        folder=table.path("folder"), url=table.take("url"), password_file=table.optional_path("password_file")
    )
    table.finish()
    if place.url and not place.url.startswith("postgresql://"):
        table.note("url", "beginnt mit postgresql://.", "begins with postgresql://.")
    if place.password_file is not None and "@" not in place.url:
        table.note(
            "password_file",
            "braucht url = postgresql://NUTZER@RECHNER:PORT/NAME.",
            "needs url = postgresql://USER@HOST:PORT/NAME.",
        )
    return place


def _pages(table: DeclaredTable) -> Mapping[str, Path | None]:
    pages = {name: _file(table, name) for name in PAGES}
    table.finish()
    return pages


def _file(table: DeclaredTable, key: str) -> Path | None:
    path = table.optional_path(key)
    if path is not None and not path.is_file():
        table.note(key, "Die Datei gibt es nicht.", "the file does not exist.")
    return path


def _look(table: DeclaredTable, pages: Mapping[str, Path | None] | None, above: TenantLook | None) -> TenantLook:
    """Read a look; what a domain's own does not say, it has from ``above``."""
    colours = _colours(table)
    name, logo = table.take("name"), _file(table, "logo")
    if logo is not None and logo.is_file() and (fault := logo_fault(logo)) is not None:
        table.note("logo", fault.de, fault.en)
    if pages is None:
        pages = {key: _file(table, key) for key in PAGES}
    table.finish()
    if above is None:
        return TenantLook(
            name=name, colour=colours["colour"], colour_dark=colours["colour_dark"], logo=logo, pages=pages
        )
    return TenantLook(
        name=name or above.name,
        colour=colours["colour"] or above.colour,
        colour_dark=colours["colour_dark"] or above.colour_dark,
        logo=logo or above.logo,
        pages={key: pages[key] or above.pages[key] for key in PAGES},
    )


def _colours(table: DeclaredTable) -> dict[str, Any]:
    colours = {}
    for key, dark in (("colour", False), ("colour_dark", True)):
        value = table.take(key)
        fault = None if value is None else colour_fault(value, dark=dark)
        if fault is not None:
            table.note(key, fault.de, fault.en)
        colours[key] = value
    return colours


def _domain(table: DeclaredTable, known: Mapping[str, TenantLook]) -> str:
    domain: str = table.take("domain").lower()
    try:
        parts = urlsplit(f"//{domain}")
        plain = parts.netloc == domain and bool(parts.hostname) and "@" not in domain and (parts.port or True)
    except ValueError:
        plain = False
    if not plain:
        table.note("domain", "nur Rechner oder Rechner:Port, ohne https://.", "host or host:port only, no https://.")
    elif domain in known:
        table.note("domain", "steht schon da.", "stands there already.")
    return domain


def _mail(table: DeclaredTable | None, *, production: bool) -> PortalMail | None:
    if table is None:
        return None
    server = PortalMail(
        host=table.take("host"),
        port=table.take("port"),
        security=table.take("security"),
        user=table.take("user"),
        password_file=table.optional_path("password_file"),
        sender=table.take("sender"),
    )
    table.finish()
    if server.security == "none" and (production or not is_loopback(server.host)):
        table.note(
            "security",
            "none ist nur in development für einen Mailserver auf diesem Rechner erlaubt.",
            "none is allowed in development and for a mail server on this machine only.",
        )
    if bool(server.user) != (server.password_file is not None):
        table.note("user", "gehört mit password_file zusammen.", "goes together with password_file.")
    return server


def _limits(table: DeclaredTable) -> PortalLimits:
    limits = PortalLimits(
        idle=timedelta(minutes=table.take("idle_minutes")),
        saved=timedelta(days=table.take("saved_days")),
        requests_per_minute=table.take("requests_per_minute"),
        bodies_at_once=table.take("bodies_at_once"),
        begun_per_address=table.take("begun_per_address"),
        unanswered=timedelta(minutes=table.take("unanswered_minutes")),
        forms=table.take("forms"),
        stored_bytes=table.take("stored_megabytes") * _MIB,
        stored_per_address=table.take("stored_megabytes_per_address") * _MIB,
        attachment_bytes=table.take("attachment_megabytes") * _MIB,
        attachments=table.take("attachments"),
        form_bytes=table.take("form_megabytes") * _MIB,
    )
    table.finish()
    return limits
