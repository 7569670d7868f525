"""Settings: frozen, typed, strict. Only ``app`` and ``cli`` read them.

Sources, later wins: the defaults below, ``hub.toml`` in the data folder, ``HUB_<NAME>`` in the environment, the command
line. A name that is not a setting is an error, so a typing mistake stops the start instead of being ignored. Secrets
are never settings: they are files in the data folder, or named by a ``*_file`` setting.

What stands here is all that is said of a setting anywhere: ``hub config reference`` and docs/reference are made of it.
"""

from __future__ import annotations

import dataclasses
import re
import socket
import tomllib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, get_type_hints
from urllib.parse import quote, urlsplit

from hub.errors import ConfigurationError, HubError, Text
from hub.files import vault
from hub.files.settings import (
    Setting,
    ValueForm,
    holds_secret,
    secret_as_value,
    setting,
    unknown,
    unusable_all,
)
from hub.model import Role, canonical_service
from hub.resources import shipped
from hub.scanning import Consequence, Policies, Policy, policy_from, scanner_address
from hub.scanning.kinds import allow_list
from hub.transport.smtp import is_address

_PREFIX = "HUB_"
#: The settings file in the data folder.
SOURCE = "hub.toml"
#: Variables of ours that are not settings.
_NOT_SETTINGS = {"HUB_DATA"}
_THIS_MACHINE = {"localhost", "127.0.0.1", "::1"}
_MOST_PORT = 65_535
#: Bytes of a file with a password.
_LONGEST_SECRET = 4096
_DAY = 86_400
#: One entry of ``kept_days``.
_KEPT = re.compile(r"(?P<service>urn:\S+)=(?P<days>[1-9][0-9]{0,3})")
_MIB = 1024 * 1024
_SCAN_LIMITS = re.compile(r"(?=.{0,300}\Z)(?:[A-Za-z]+=[A-Za-z0-9]+(?: [A-Za-z]+=[A-Za-z0-9]+)*)?")


@dataclass(frozen=True, kw_only=True, slots=True)
class Settings:
    """Everything an operator may set. Durations are seconds, sizes bytes."""

    #: Folder of database, blobs, keys and imported schemas.
    data: Path
    environment: str = setting(
        "development",
        "production verlangt https, geprüfte Schlüssel und eigene Regeln; development nimmt auch selbst ausgestellte.",
        "production asks for https, judged keys and rules of your own; development takes self-issued keys as well.",
        choices=("development", "production"),
    )
    host: str = setting("127.0.0.1", "Adresse, an der gelauscht wird.", "Address to listen at.")
    port: int = setting(8080, "Port, an dem gelauscht wird.", "Port to listen at.", least=0, most=_MOST_PORT)
    base_url: str = setting(
        "",
        "Adresse des Hubs von außen, ohne / am Ende; sie steht als Aussteller in jedem Token.",
        "Address of the hub from outside, without a slash at its end; every token names it as its issuer.",
        shown=Text("http://host:port", "http://host:port"),
    )
    portal_url: str = setting(
        "",
        "Adresse des Bürgerportals; die Startseite verweist darauf.",
        "Address of the citizens' portal; the start page links to it.",
        since="0.3.0",
    )
    processes: int = setting(
        0,
        "Prozesse, die bedienen, neben einem, der zustellt; 1: einer, der alles tut; 0: einer je nutzbarem Kern.",
        "Processes that serve, beside one that delivers; 1: one that does all; 0: one for each usable core.",
        since="0.2.0",
        least=0,
        most=64,
    )
    database_url: str = setting(
        "",
        "Adresse der Datenbank: sqlite:///DATEI oder postgresql://NUTZER@RECHNER:PORT/NAME, ohne Passwort.",
        "Address of the database: sqlite:///FILE or postgresql://USER@HOST:PORT/NAME, without a password.",
        shown=Text("hub.sqlite im Datenordner", "hub.sqlite in the data folder"),
    )
    database_password_file: str = setting(
        "",
        "Datei mit dem Passwort für die Datenbank.",
        "File with the password for the database.",
        since="0.3.0",
        form=ValueForm.SECRET_FILE,
    )
    node: str = setting(
        "",
        "Name dieses Knotens in Zustellversuchen.",
        "Name of this node in attempts to deliver.",
        factory=socket.gethostname,
        shown=Text("Name des Rechners", "name of the machine"),
    )
    routing_rules: str = setting(
        "",
        "Ordner mit Gebieten, Leistungen und Regeln für den ersten Start; in production gelten nur eigene Regeln.",
        "Folder of areas, services and rules for a first start; in production only rules of your own count.",
        form=ValueForm.PATH,
        shown=Text("der mitgelieferte", "the shipped one"),
    )
    lease_seconds: int = setting(
        120,
        "So lange darf ein Zustellversuch dauern, bevor ein anderer Knoten ihn übernimmt.",
        "How long one attempt to deliver may take before another node takes it over.",
        unit="s",
        least=1,
    )
    delivery_threads: int = setting(
        8,
        "Zustellungen, die ein Knoten zugleich versucht; die nur noch auf ihren Empfänger warten, bis zum Vierfachen.",
        "Deliveries that one node attempts at once; with those that only wait for their receiver, up to four times as many.",
        least=1,
    )
    retry_first_seconds: int = setting(
        5, "Erste Pause vor einem neuen Versuch.", "First pause before another attempt.", unit="s", least=0
    )
    retry_longest_seconds: int = setting(
        36_000, "Längste Pause zwischen zwei Versuchen.", "Longest pause between two attempts.", unit="s", least=0
    )
    give_up_seconds: int = setting(
        14 * _DAY,
        "Danach wird eine Zustellung aufgegeben und gemeldet.",
        "After this a delivery is given up and reported.",
        unit="s",
        least=0,
    )
    disk_watermark_bytes: int = setting(
        512 * _MIB,
        "Ist auf dem Datenträger des Datenordners weniger frei, antwortet die Annahme mit 503.",
        "Intake answers 503 while less than this is free on the data folder's disk.",
        unit="byte",
        least=0,
    )
    memory_budget_bytes: int = setting(
        512 * _MIB,
        "Klartext, der zugleich im Speicher sein darf, über alle Prozesse eines Starts.",
        "Plaintext that may be in memory at once, over all processes of one start.",
        unit="byte",
        least=0,
    )
    connections: int = setting(
        800,
        "Verbindungen eines Prozesses zugleich; an der Grenze machen die ohne Anfrage neuen Platz.",
        "Connections of one process at once; at the bound, those without a request make room for new ones.",
        since="0.2.0",
        least=1,
    )
    head_seconds: int = setting(
        15,
        "Zeit bis zur ersten Anfrage, und von einer Antwort bis zum Ende des nächsten Anfragekopfs.",
        "Time to the first request, and from an answer to the end of the next request's header.",
        since="0.2.0",
        unit="s",
        least=1,
    )
    head_bytes: int = setting(
        65_536,
        "Größte Anfragezeile samt Kopfzeilen.",
        "The largest request line and header section together.",
        since="0.2.0",
        unit="byte",
        least=1,
    )
    pause_seconds: int = setting(
        30,
        "So lange darf der Absender eines Inhalts stocken.",
        "How long the sender of a body may pause.",
        since="0.2.0",
        unit="s",
        least=1,
    )
    body_seconds: int = setting(
        30,
        "So lange darf ein Inhalt insgesamt brauchen; seine Bytes verdienen ihm mehr.",
        "How long the sender of a body may take in all, and longer only as its bytes earn it.",
        since="0.2.0",
        unit="s",
        least=1,
    )
    body_bytes_per_second: int = setting(
        8_000,
        "So viele Bytes eines Inhalts verdienen eine weitere Sekunde.",
        "So many bytes of a body earn its sender another second.",
        since="0.2.0",
        unit="byte/s",
        least=1,
    )
    idempotency_seconds: int = setting(
        30 * _DAY,
        "So lange wird ein Idempotency-Key erkannt.",
        "How long an idempotency key is remembered.",
        unit="s",
        least=0,
    )
    incomplete_seconds: int = setting(
        _DAY,
        "Angekündigtes, das nicht eingereicht wurde, wird danach gelöscht.",
        "What was announced and never submitted is deleted after this.",
        unit="s",
        least=0,
    )
    upload_seconds: int = setting(
        7 * _DAY,
        "So lange bleibt ein Upload, der in keinen Antrag kommt.",
        "How long an upload stays that goes into no application.",
        since="0.4.0",
        unit="s",
        least=60,
    )
    uploads_per_client: int = setting(
        1000,
        "So viele Uploads darf ein Client zugleich offen haben.",
        "How many uploads a client may have under way at once.",
        since="0.4.0",
        least=1,
    )
    upload_bytes_per_client: int = setting(
        50_000_000_000,
        "So viele Byte dürfen die offenen Uploads eines Clients zusammen haben.",
        "How many bytes the uploads that a client has under way may have together.",
        since="0.4.0",
        unit="byte",
        least=1,
    )
    finished_seconds: int = setting(
        7 * _DAY,
        "Inhalte abgeschlossener Vorgänge werden danach gelöscht.",
        "Contents of finished cases are deleted after this.",
        unit="s",
        least=0,
    )
    uncollected_seconds: int = setting(
        14 * _DAY,
        "Was so lange unbeantwortet im Postfach liegt, wird zurückgewiesen.",
        "What lies in a mailbox unanswered for so long is rejected.",
        unit="s",
        least=0,
    )
    case_seconds: int = setting(
        730 * _DAY,
        "Die Ereignisse eines Vorgangs werden danach gelöscht.",
        "The events of a case are deleted after this.",
        unit="s",
        least=0,
    )
    kept_days: str = setting(
        "",
        "Leistungen, deren Inhalte nach ihrem Ende anders als nach finished_seconds gelöscht werden: URN=TAGE, durch "
        "Leerzeichen getrennt.",
        "Services whose contents are deleted at another time after their end than finished_seconds: URN=DAYS, separated by "
        "blanks.",
        since="0.3.0",
    )
    blobs: str = setting(
        "local",
        "Wo große Inhalte liegen: local (Datenordner) oder s3://EIMER/PRÄFIX.",
        "Where large contents lie: local (the data folder) or s3://BUCKET/PREFIX.",
    )
    blobs_endpoint: str = setting("", "Adresse des S3-Servers.", "Address of the S3-compatible server.")
    blobs_region: str = setting(
        "eu-central-1", "Region, für die der S3-Server signiert.", "Region that the S3-compatible server signs for."
    )
    blobs_key_id_file: str = setting(
        "", "Datei mit der Schlüssel-ID des Eimers.", "File with the key id for the bucket.", form=ValueForm.SECRET_FILE
    )
    blobs_secret_file: str = setting(
        "", "Datei mit dem Geheimnis des Eimers.", "File with the secret for the bucket.", form=ValueForm.SECRET_FILE
    )
    crash_at: str = setting(
        "",
        "Nur für Tests: benannter Punkt, an dem der Prozess sich selbst beendet.",
        "For tests only: named point at which the process kills itself.",
    )
    circuit_failures: int = setting(
        5,
        "Nach so vielen Fehlschlägen hintereinander pausiert ein Zustellpunkt.",
        "After so many failures in a row a destination gets a pause.",
        least=1,
    )
    circuit_first_seconds: int = setting(
        30,
        "Erste Pause eines Zustellpunkts; sie verdoppelt sich mit jedem Fehlschlag.",
        "The first pause of a destination; it doubles with every further failure.",
        unit="s",
        least=0,
    )
    circuit_longest_seconds: int = setting(
        3600, "Längste Pause eines Zustellpunkts.", "The longest pause of a destination.", unit="s", least=0
    )
    poison_lapses: int = setting(
        3,
        "Eine Zustellung, bei der so viele Versuche nie endeten, wird zur Seite gelegt.",
        "A delivery of which so many attempts never ended is set aside instead of attempted again.",
        least=0,
    )
    metrics: str = setting(
        "loopback",
        "Wer /metrics lesen darf: alle (on), dieser Rechner (loopback) oder niemand (off).",
        "Who may read /metrics: everybody (on), this machine alone (loopback), or nobody (off).",
        choices=("loopback", "off", "on"),
    )
    public_validation: str = setting(
        "auto",
        "Ob jeder unter /validate prüfen darf; auto: nur in development.",
        "Whether anybody may check messages at /validate; auto: in development only.",
        choices=("auto", "off", "on"),
    )
    work_metrics_host: str = setting(
        "127.0.0.1",
        "Adresse, an der hub work Messwerte und Zustand zeigt; wer die Messwerte lesen darf, sagt metrics.",
        "Address at which hub work shows metrics and health; who may read the metrics, metrics says.",
        since="0.3.0",
    )
    work_metrics_port: int = setting(
        0,
        "Port, an dem hub work Messwerte und Zustand zeigt; 0: keiner.",
        "Port at which hub work shows metrics and health; 0: none.",
        least=0,
        most=_MOST_PORT,
    )
    log_format: str = setting(
        "text",
        "Protokollzeilen für Menschen (text) oder für eine Protokollablage (json).",
        "Log lines for people (text) or for a log store (json).",
        choices=("json", "text"),
    )
    log_level: str = setting(
        "warning",
        "Ab welchem Gewicht Protokollzeilen geschrieben werden.",
        "The least urgent log lines that are written.",
        choices=("info", "warning", "error"),
    )
    smtp_host: str = setting(
        "",
        "Mailserver für Hinweise an Behörden und Betrieb; leer: nur auf den Verwaltungsseiten.",
        "Mail server for notices to authorities and operators; empty: the admin pages alone show them.",
    )
    smtp_port: int = setting(587, "Port des Mailservers.", "Port of the mail server.", least=0, most=_MOST_PORT)
    smtp_security: str = setting(
        "starttls",
        "starttls ist Pflicht; none nur für development und einen Mailserver auf diesem Rechner.",
        "starttls is required; none is for development and for a server on this machine.",
        choices=("none", "starttls"),
    )
    smtp_user: str = setting(
        "",
        "Wer der Hub am Mailserver ist; leer: keine Anmeldung.",
        "Who the hub is at the mail server; empty: no login.",
    )
    smtp_password_file: str = setting(
        "",
        "Datei mit dem Passwort am Mailserver.",
        "File with the password for the mail server.",
        form=ValueForm.SECRET_FILE,
    )
    smtp_ca_file: str = setting(
        "",
        "Zertifikate (PEM), zu denen das des Mailservers führen muss; leer: die des Systems.",
        "Certificates (PEM) that the mail server's must lead to; empty: those of the system.",
        form=ValueForm.PATH,
    )
    mail_sender: str = setting("", "Absenderadresse der Hinweise.", "Mail address that notices come from.")
    mail_operators: str = setting(
        "", "Mailadresse des Betriebs; leer: keine.", "Mail address of the hub's operators; empty: none."
    )
    otel_endpoint: str = setting(
        "",
        "Wohin Spuren gehen (OTLP über HTTP); leer: nirgends.",
        "Where traces go (OTLP over HTTP); empty: nowhere.",
    )
    openid_issuer: str = setting(
        "",
        "Aussteller des OpenID-Connect-Anbieters, über den sich Menschen anmelden; leer: keiner.",
        "Issuer of the OpenID Connect provider by which people log in; empty: none.",
    )
    openid_client_id: str = setting(
        "",
        "Client-ID des Hubs dort; als Redirect ist genau base_url + /admin/oidc/callback erlaubt.",
        "The hub's client id there; the one redirect that is allowed is base_url + /admin/oidc/callback.",
    )
    openid_client_secret_file: str = setting(
        "", "Datei mit dem Geheimnis dieses Clients.", "File with that client's secret.", form=ValueForm.SECRET_FILE
    )
    openid_roles_claim: str = setting(
        "roles",
        "Angabe im ID-Token, die sagt, was jemand darf: ein Name oder ein JSON-Pointer.",
        "The ID token's claim that says what a person may do: a name, or a JSON Pointer.",
    )
    openid_roles_file: str = setting(
        "",
        "TOML-Datei, die deren Werte auf Rollen und einen Mandanten abbildet.",
        "TOML file that maps its values to roles and a tenant.",
        form=ValueForm.PATH,
    )
    openid_scopes: str = setting(
        "profile",
        "Was außer openid erbeten wird, durch Leerzeichen getrennt.",
        "What is asked of the provider besides openid, separated by blanks.",
    )
    openid_private_network: bool = setting(
        default=False,
        de="Der Anbieter darf im eigenen Netz liegen (in production auch dann mit https).",
        en="The provider may lie in a private network (in production over https all the same).",
    )
    scan: str = setting(
        "",
        "Scanner für Schadsoftware am offenen Eingang: clamd:/PFAD/DES/SOCKETS oder clamd://RECHNER:PORT; leer: keiner.",
        "Scanner for malware at the plain door: clamd:/PATH/OF/SOCKET or clamd://HOST:PORT; empty: none.",
        since="0.4.0",
    )
    scan_infected: str = setting(
        "refuse",
        "Was mit Befallenem geschieht: ablehnen (refuse), versiegelt zurückhalten (quarantine) oder mit Hinweis zustellen "
        "(mark).",
        "What is done about malware: refuse, keep sealed for an operator (quarantine), or deliver and say so (mark).",
        since="0.4.0",
        choices=("mark", "quarantine", "refuse"),
    )
    scan_down: str = setting(
        "refuse",
        "Was geschieht, während der Scanner nicht antwortet: 503 mit Retry-After (refuse) oder ungeprüft mit Hinweis "
        "annehmen (mark).",
        "What is done while the scanner does not answer: 503 with Retry-After (refuse), or take it unscanned and say so "
        "(mark).",
        since="0.4.0",
        choices=("mark", "refuse"),
    )
    scan_unscannable: str = setting(
        "mark",
        "Was mit Teilen geschieht, die sich nicht ganz prüfen lassen: größer als scan_bytes, jenseits der Grenzen des "
        "Scanners, verschlüsselt.",
        "What is done about parts that cannot be scanned completely: larger than scan_bytes, beyond the scanner's limits, "
        "encrypted.",
        since="0.4.0",
        choices=("mark", "quarantine", "refuse"),
    )
    scan_services: str = setting(
        "",
        "Leistungen mit eigener Regel: URN=BEFALLEN/GESTÖRT/UNPRÜFBAR, je wie scan_infected, scan_down und scan_unscannable, "
        "durch Leerzeichen getrennt.",
        "Services with a policy of their own: URN=INFECTED/DOWN/UNSCANNABLE, each as scan_infected, scan_down and "
        "scan_unscannable, separated by blanks.",
        since="0.4.0",
    )
    scan_bytes: int = setting(
        100 * _MIB,
        "Größere Teile gelten als unprüfbar; nicht mehr als StreamMaxLength von clamd.",
        "Larger parts count as not scannable; no more than clamd's StreamMaxLength.",
        since="0.4.0",
        unit="byte",
        least=1,
    )
    scan_seconds: int = setting(
        30,
        "So lange darf der Scanner für einen Schritt und für sein Urteil über einen Teil brauchen.",
        "How long the scanner may take for one step, and for its verdict on a part.",
        since="0.4.0",
        unit="s",
        least=1,
        most=600,
    )
    scan_wait_seconds: int = setting(
        2,
        "So lange wird auf einen Scanner gewartet, der gerade nicht lauscht.",
        "How long a scanner is waited for that does not listen at the moment.",
        since="0.4.0",
        unit="s",
        least=0,
        most=60,
    )
    scan_limits: str = setting(
        "",
        "Grenzen des Scanners, wie sie in Eingangsbestätigungen stehen, etwa MaxScanSize=400M MaxRecursion=8 MaxFiles=1000.",
        "The scanner's limits as receipts name them, such as MaxScanSize=400M MaxRecursion=8 MaxFiles=1000.",
        since="0.4.0",
    )
    scan_signature_days: int = setting(
        3,
        "So alt dürfen die Signaturen des Scanners sein, bevor hub doctor warnt; 0: beliebig.",
        "How old the scanner's signatures may be before hub doctor warns; 0: any age.",
        since="0.4.0",
        unit="days",
        least=0,
    )
    attachment_kinds: str = setting(
        "any",
        "Arten von Anlagen, nach ihrem Inhalt: any (nichts wird geprüft), standard (PDF, JPEG, PNG, TIFF, Text, JSON, XML, "
        "Office ohne Makros) oder Medientypen; eine Leistung kann eigene nennen (kinds).",
        "Kinds of attachments, by their content: any (nothing is judged), standard (PDF, JPEG, PNG, TIFF, text, JSON, XML, "
        "office documents without macros), or media types; a service may name its own (kinds).",
        since="0.4.0",
    )
    passwords: str = setting(
        "on",
        "Ob örtliche Konten sich mit Passwort anmelden; off: nur über OpenID Connect.",
        "Whether local accounts log in by password; off: by OpenID Connect only.",
        choices=("off", "on"),
    )
    second_factor: str = setting(
        "optional",
        "Wessen örtliches Konto einen zweiten Faktor haben muss; wer ihn nicht hat, richtet ihn bei der Anmeldung ein.",
        "Whose local account must have a second factor; who has none sets it up at the log-in.",
        since="0.4.0",
        choices=("optional", "roles", "everybody"),
    )
    second_factor_roles: str = setting(
        "approver operator",
        "Bei second_factor = roles: die Rollen, durch Leerzeichen getrennt (viewer, editor, approver, operator).",
        "With second_factor = roles: the roles, separated by blanks (viewer, editor, approver, operator).",
        since="0.4.0",
    )
    silent_days: int = setting(
        7,
        "Zugestellt und so viele Tage nicht bestätigt: das Fachverfahren schweigt; 0: nicht melden.",
        "Delivered and not acknowledged for so many days: the specialist system is silent; 0: do not tell.",
        since="0.4.0",
        least=0,
        most=365,
    )
    mailbox_days: int = setting(
        3,
        "So viele Tage im Postfach und nicht abgeholt: niemand leert es; 0: nicht melden.",
        "So many days in a mailbox and not collected: nobody empties it; 0: do not tell.",
        since="0.4.0",
        least=0,
        most=365,
    )
    quiet_sender_days: int = setting(
        14,
        "Ein Absender, der regelmäßig sandte, tut es so viele Tage nicht mehr; 0: nicht melden.",
        "A sender that sent regularly has not for so many days; 0: do not tell.",
        since="0.4.0",
        least=0,
        most=365,
    )
    unused_days: int = setting(
        90,
        "Ein aktiver Zustellpunkt bekommt so viele Tage nichts; 0: nicht melden.",
        "An active destination gets nothing for so many days; 0: do not tell.",
        since="0.4.0",
        least=0,
        most=3650,
    )
    costs_file: str = setting(
        "",
        "Verteilungsschlüssel der zentralen Kosten (YAML); leer: keiner.",
        "Allocation key of the central costs (YAML); empty: none.",
        since="0.4.0",
        form=ValueForm.PATH,
    )
    allow_private_addresses: bool = setting(
        default=False,
        de="Nur für development und Tests: Rückrufe und Adapter dürfen ins eigene Netz und ohne TLS sprechen.",
        en="For development and tests only: callbacks and adapters may reach private addresses and plain http.",
    )

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
    def secret_files(self) -> Mapping[str, Path]:
        """The files with secrets, by the setting that names each."""
        named = {each.name: getattr(self, each.name) for each in DECLARED if each.form is ValueForm.SECRET_FILE}
        return {name: Path(path) for name, path in named.items() if path}

    @property
    def rules(self) -> Path:
        """Where areas, services and the rules for a first start lie."""
        return Path(self.routing_rules) if self.routing_rules else shipped("routing_rules")

    @property
    def seeds_rules(self) -> bool:
        """Whether a hub without any routing table begins with the rules of its folder: in production only with its own."""
        return bool(self.routing_rules) or not self.production

    @property
    def kept_by_service(self) -> Mapping[str, timedelta]:
        """How long contents are kept after their end, by service, where that is not ``finished_seconds``."""
        found = map(_KEPT.fullmatch, self.kept_days.split())
        return {canonical_service(one["service"]): timedelta(days=int(one["days"])) for one in found if one}

    @property
    def scan_policies(self) -> Policies:
        """What is done about what a scan finds, by service."""
        general = Policy(
            infected=Consequence(self.scan_infected),
            down=Consequence(self.scan_down),
            unscannable=Consequence(self.scan_unscannable),
        )
        entries = (each.rpartition("=") for each in self.scan_services.split())
        return Policies(
            general=general,
            by_service={canonical_service(service): policy_from(said) for service, _, said in entries},
        )

    @property
    def takes_passwords(self) -> bool:
        """Whether local accounts log in by password."""
        return self.passwords == "on"

    @property
    def database(self) -> str:
        """The SQLAlchemy URL that is really used, with the password; ``ConfigurationError`` where its file is of no use."""
        address = self.database_url or f"sqlite:///{self.data / 'hub.sqlite'}"
        return _with_password(address, Path(self.database_password_file)) if self.database_password_file else address

    @property
    def canonical_url(self) -> str:
        """The base URL that is really used."""
        return self.base_url or f"http://{self.host}:{self.port}"

    @property
    def lease(self) -> timedelta:
        """How long one attempt may take before another node may try."""
        return timedelta(seconds=self.lease_seconds)


def _declared() -> tuple[Setting, ...]:
    hints = get_type_hints(Settings)
    forms = {str: ValueForm.TEXT, int: ValueForm.NUMBER, bool: ValueForm.TRUTH}
    return tuple(
        Setting(
            name=each.name,
            environment=f"{_PREFIX}{each.name.upper()}",
            **{"form": forms[hints[each.name]], **each.metadata["setting"]},
        )
        for each in dataclasses.fields(Settings)
        if "setting" in each.metadata
    )


#: Every setting, as it stands in :class:`Settings`; ``data`` is none: it says where the settings lie.
DECLARED = _declared()


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
        if variable.startswith(_PREFIX) and variable not in _NOT_SETTINGS:
            given[variable.removeprefix(_PREFIX).lower()] = (variable, text)
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


def _with_password(address: str, file: Path) -> str:
    try:
        password = vault.read_text(file, most=_LONGEST_SECRET)
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(
            Text(
                f"database_password_file: Die Datei {file} ist nicht lesbar. Prüfen Sie, ob es sie gibt und wem sie gehört.",
                f"database_password_file: the file {file} cannot be read. Check that it exists, and whose it is.",
            )
        ) from error
    parts = urlsplit(address)
    user, _, place = parts.netloc.rpartition("@")
    return parts._replace(netloc=f"{user}:{quote(password, safe='')}@{place}").geturl()


def _combined(settings: Settings) -> Iterator[Text]:
    """Yield what cannot stand together, or not in production."""
    yield from _addresses(settings)
    for entry in settings.kept_days.split():
        if not _KEPT.fullmatch(entry):
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
        if getattr(settings, name) and not is_address(getattr(settings, name)):
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


def _scan(settings: Settings) -> Iterator[Text]:
    """Yield what cannot be read of where the scanner is, of what is done about it, and of the kinds that are taken."""
    readers: Mapping[str, Callable[[], object]] = {
        "scan": lambda: scanner_address(settings.scan) if settings.scan else None,
        "scan_services": lambda: settings.scan_policies,
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
