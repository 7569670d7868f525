"""The hub's self-check (``hub doctor``): what it stands on, what it connects to, and how it is reached from outside.

Looks and changes nothing, but for a file in the data folder and an object in the bucket that it removes again. Each check has a
limit of time, and what depends on a database that does not answer is left out. Secrets and contents are never said.
"""

from __future__ import annotations

import base64
import importlib
import os
import secrets
import ssl
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from importlib.metadata import entry_points
from pathlib import Path
from urllib.parse import urlsplit
from uuid import UUID

import orjson

from hub.app.opening import open_blobs, open_hub_scanner, open_mail_server
from hub.app.starting import file_faults
from hub.config import Settings
from hub.crypto import HubKeys, expires_at
from hub.crypto.certificates import read_file
from hub.errors import ConfigurationError, Text, Unavailable
from hub.files import vault
from hub.forms.pdf import missing_for_pdf
from hub.model import EVERYTHING, Destination, OutcomeKind
from hub.observability.diagnosis import (
    MARK,
    SELF_CHECK,
    Check,
    Diagnosis,
    away,
    bounded,
    doubtful,
    faulty,
    of_error,
    well,
)
from hub.observability.legal_time import ClockReading, ask_kernel, diagnosed
from hub.scanning import signatures_made
from hub.store import Store, StoredKey, all_items
from hub.store.engine import address_of, sqlite_file
from hub.store.migration import head_revision
from hub.transport.connection import Line, Outbound, Posted, reason_for
from hub.transport.smtp import greet

#: Seconds for one check.
_LIMIT = 15.0
_CONNECT = 5.0
#: Clocks that differ by more than the first make others wonder; by more than the second, tokens and receipts are refused.
_SKEW, _MOST_SKEW = timedelta(seconds=5), timedelta(minutes=2)
#: So long before its end a key or certificate is warned about.
_SOON = timedelta(days=30)
#: Destinations that are connected to; more would take minutes.
_MOST_DIALLED = 20
_PROBE = b"rathaus-hub self-check"
#: Libraries in native code, and what each is for.
_NATIVE = ("cryptography", "httptools", "jsonschema_rs", "lxml", "orjson", "sqlite3", "uvloop")
_OLDEST_SQLITE = (3, 38, 0)
#: Options of adapters that name a server to speak TLS with, and files with certificates that end.
_URL_OPTIONS = ("url", "submission_api", "endpoint", "token_url")
_CERTIFICATE_OPTIONS = ("client_cert_file", "ca_file")
_HTTPS = 443
_PAGE = 100


@dataclass(frozen=True, kw_only=True, slots=True)
class _Server:
    """Where TLS is spoken, and whose authority is trusted there."""

    about: str
    host: str
    port: int
    ca_file: str = ""


class Doctor:
    """Looks after one hub; ``now`` is the machine's clock."""

    def __init__(
        self,
        settings: Settings,
        *,
        now: Callable[[], datetime],
        system_clock: Callable[[], ClockReading] = ask_kernel,
    ) -> None:
        self._settings = settings
        self._system_clock = system_clock
        self._now = now
        #: The hub is the operator's own, and so are the servers that it names.
        self._outbound = Outbound(allow_private_addresses=True, any_port=True, timeout=_CONNECT)
        self._store: Store | None = None

    def examine(self, *names: str) -> Iterator[Diagnosis]:
        """Yield what each check finds, or what those of some names do, in the order in which one would mend it."""
        checks = self._checks()
        try:
            for about, check in checks.items():
                if not names or about in names:
                    yield from bounded(about, check, seconds=_LIMIT)
        finally:
            if self._store is not None:
                self._store.close()

    def _checks(self) -> dict[str, Check]:
        return {
            "files": self._files,
            "disk": self._disk,
            "database": self._database,
            "tables": self._tables,
            "clock": self._clock,
            "keys": self._keys,
            "own address": self._own_address,
            "mail": self._mail,
            "bucket": self._bucket,
            "scanner": self._scanner,
            "adapters": self._adapters,
            "libraries": _libraries,
            "peers": self._peers,
            "certificates": self._certificates,
        }

    def _files(self) -> Iterator[Diagnosis]:
        faults = list(file_faults(self._settings))
        yield from (faulty("files", fault) for fault in faults)
        if not faults:
            yield well("files", "Rechte von Dateien und Ordnern stimmen", "modes of files and folders are right")
        if not self._settings.production:
            yield doubtful(
                "mode",
                Text("Entwicklungsmodus, nicht für echte Anträge", "development mode, not for real applications"),
                Text("environment = production setzen", "set environment = production"),
            )

    def _disk(self) -> Iterator[Diagnosis]:
        folder, least = self._settings.data, self._settings.disk_watermark_bytes
        probe = folder / f".self-check-{secrets.token_hex(4)}"
        try:
            vault.write(probe, _PROBE)
            probe.unlink()
            room = os.statvfs(folder)
        except OSError as error:
            why = os.strerror(error.errno or 0)
            yield faulty(
                "disk",
                Text(f"{folder} lässt sich nicht beschreiben ({why})", f"{folder} cannot be written ({why})"),
                Text("Platz und Rechte prüfen", "check room and modes"),
            )
            return
        yield self._judged_room(room.f_bavail * room.f_frsize, least)

    def _judged_room(self, free: int, least: int) -> Diagnosis:
        said = Text(f"{free >> 20} MiB frei, schreibt dauerhaft", f"{free >> 20} MiB free, writes durably")
        if free < least:
            return faulty(
                "disk",
                Text(
                    f"nur {free >> 20} MiB frei: Die Annahme antwortet 503",
                    f"only {free >> 20} MiB free: intake answers 503",
                ),
                Text("Platz schaffen oder disk_watermark_bytes senken", "make room, or lower disk_watermark_bytes"),
            )
        if free < 2 * least:
            return doubtful("disk", said, Text("bald Platz schaffen", "make room soon"))
        return well("disk", said.de, said.en)

    def _database(self) -> Iterator[Diagnosis]:
        url = self._settings.database
        file, address = sqlite_file(url), address_of(url)
        if file is not None and not file.exists():
            yield doubtful(
                "database",
                Text(f"{address}: noch nicht da", f"{address}: not there yet"),
                Text("entsteht beim ersten hub serve", "is made by the first hub serve"),
            )
            return
        store = Store(url)
        try:
            store.schema_revision()
        except Unavailable as error:
            store.close()
            yield of_error("database", error)
            return
        self._store = store
        yield well("database", f"{address} antwortet", f"{address} answers")

    def _tables(self) -> Iterator[Diagnosis]:
        if self._store is None:
            return
        current, head = self._store.schema_revision(), head_revision()
        if current == head:
            yield well("tables", f"Stand {current}", f"at {current}")
        elif current is not None and self._store.carries_this_version():
            yield well(
                "tables", f"Stand {current}, trägt auch dieses Programm", f"at {current}, carries this program, too"
            )
        elif current is not None and current > (head or ""):
            yield _newer_tables(current, head)
        else:
            yield doubtful(
                "tables",
                Text(
                    f"Stand {current or '–'}, dieses Programm hat {head}",
                    f"at {current or '–'}, this program has {head}",
                ),
                Text("sichern, dann hub migrate", "back up, then hub migrate"),
            )

    def _clock(self) -> Iterator[Diagnosis]:
        yield well("clock", f"{self._now():%Y-%m-%d %H:%M:%S} UTC", f"{self._now():%Y-%m-%d %H:%M:%S} UTC")
        yield diagnosed(self._system_clock())
        theirs = None if self._store is None else self._store.clock()
        if theirs is not None:
            yield _skew("clock", theirs - self._now(), Text("Datenbank", "database"))
        said = self._asked("/health/live").headers.get("date", "") if self._settings.base_url else ""
        if said:
            yield _skew(
                "clock", parsedate_to_datetime(said).astimezone(UTC) - self._now(), Text("base_url", "base_url")
            )

    def _keys(self) -> Iterator[Diagnosis]:
        folder = self._settings.data / "pki"
        if not folder.exists():
            yield doubtful(
                "keys",
                Text("noch keine", "none yet"),
                Text("entstehen beim ersten hub serve", "are made by the first hub serve"),
            )
            return
        keys = HubKeys.load_or_create(folder, now=self._now(), create=False)
        faults = keys.faults()
        yield from (faulty("keys", fault.detail) for fault in faults)
        if not faults:
            yield well("keys", "eigene Schlüssel lesbar und geheim", "own keys readable and secret")
        for jwk in (*keys.fit_connect_jwks()["keys"], *keys.portal_jwks()["keys"]):
            ends = expires_at(jwk)
            if ends is not None:
                yield from self.ending("keys", f"kid {jwk['kid']}", ends, Text("hub keys rotate", "hub keys rotate"))

    def _own_address(self) -> Iterator[Diagnosis]:
        """Ask the hub over its own address, as others do."""
        address = self._settings.canonical_url
        word = secrets.token_hex(16)
        mark = self._settings.data / MARK
        vault.write(mark, word.encode("ascii"))
        try:
            answer = self._asked("/health/live", {SELF_CHECK: word})
        finally:
            mark.unlink(missing_ok=True)
        if answer.status is None:
            yield _no_answer(address, answer.note)
            return
        yield from self._certified("own address", answer.certificate)
        yield from self._recognised(answer)

    def _recognised(self, answer: Posted) -> Iterator[Diagnosis]:
        """Judge whether it is this hub that answered, and what stands between."""
        address = self._settings.canonical_url
        seen = answer.headers.get(SELF_CHECK.lower(), "")
        if not answer.taken or not seen:
            yield faulty(
                "own address",
                Text(
                    f"unter {address} antwortet nicht dieser Hub (HTTP {answer.status})",
                    f"at {address} answers something else than this hub (HTTP {answer.status})",
                ),
                Text("base_url und den Proxy prüfen", "check base_url and the proxy"),
            )
            return
        yield from self.forwarded(orjson.loads(seen))
        yield from self._hidden_metrics()

    def _hidden_metrics(self) -> Iterator[Diagnosis]:
        if (
            urlsplit(self._settings.canonical_url).scheme == "https"
            and self._settings.metrics == "loopback"
            and self._asked("/metrics").taken
        ):
            yield faulty(
                "proxy",
                Text(
                    "/metrics steht jedem offen: Der Proxy nennt nicht, wer fragt",
                    "/metrics is open to all: the proxy hides who asks",
                ),
                Text("X-Forwarded-For setzen lassen", "have X-Forwarded-For set"),
            )

    def forwarded(self, seen: Mapping[str, str]) -> Iterator[Diagnosis]:
        """Judge how a request over the hub's own address arrived (``client``, ``scheme``, ``x-forwarded-for``)."""
        named = urlsplit(self._settings.canonical_url)
        said, client = seen.get("x-forwarded-for", ""), seen.get("client", "")
        if named.scheme == "https" and not said:
            yield _silent_proxy()
        elif said and client not in {each.strip() for each in said.split(",")}:
            yield _unbelieved_proxy(client)
        elif said and seen.get("scheme") != named.scheme:
            yield faulty(
                "proxy",
                Text(f"kommt als {seen.get('scheme')} an", f"arrives as {seen.get('scheme')}"),
                Text("X-Forwarded-Proto setzen lassen", "have X-Forwarded-Proto set"),
            )
        else:
            yield well("proxy", "Anfragen kommen richtig an", "requests arrive as they were sent")

    def _mail(self) -> Iterator[Diagnosis]:
        server = open_mail_server(self._settings)
        if server is None:
            yield _no_mail_server()
            return
        where = f"{server.host}:{server.port}"
        hello = server.sender.partition("@")[2]
        with Line(timeout=_CONNECT, public_only=False) as line:
            outcome = greet(line, server.tls, (server.host, server.port), server.login, hello=hello)
        if outcome.kind is OutcomeKind.DELIVERED:
            yield well("mail", f"{where} nimmt Mails an", f"{where} takes mails")
        else:
            verdict = away if outcome.cause is None else faulty
            yield verdict(
                "mail",
                Text(f"{where}: {outcome.note}", f"{where}: {outcome.note}"),
                Text("smtp_* prüfen", "check smtp_*"),
            )

    def _bucket(self) -> Iterator[Diagnosis]:
        if self._settings.blobs == "local":
            return
        with closing(open_blobs(self._settings)) as blobs:
            writer = blobs.writer()
            writer.write(_PROBE)
            name = writer.commit()
            same = b"".join(blobs.read(name)) == _PROBE
            blobs.delete(name)
        where = self._settings.blobs
        if same:
            yield well("bucket", f"{where} schreibt, liest und löscht", f"{where} writes, reads and deletes")
        else:
            yield faulty("bucket", Text(f"{where} gibt anderes zurück", f"{where} gives back something else"))

    def _scanner(self) -> Iterator[Diagnosis]:
        scanner = open_hub_scanner(self._settings)
        if scanner is None:
            return
        version = scanner.version()
        if version is None:
            yield _silent_scanner(str(scanner.place))
            return
        made, most = signatures_made(version), timedelta(days=self._settings.scan_signature_days)
        if made is not None and most and self._now() - made > most:
            yield doubtful(
                "scanner",
                Text(f"{version}: Signaturen vom {made:%d.%m.%Y}", f"{version}: signatures of {made:%Y-%m-%d}"),
                Text("läuft freshclam?", "does freshclam run?"),
            )
            return
        said = "" if made is not None else " (ohne Datum / no date)"
        yield well("scanner", f"{version}{said} antwortet", f"{version}{said} answers")

    def _adapters(self) -> Iterator[Diagnosis]:
        used = set() if self._store is None else {each.adapter for each in self._destinations()}
        for entry in sorted(entry_points(group="hub.adapters"), key=lambda each: each.name):
            try:
                entry.load()
            except (ImportError, AttributeError) as error:
                lacks = getattr(error, "name", None) or type(error).__name__
                text = Text(f"{entry.name}: es fehlt {lacks}", f"{entry.name}: lacks {lacks}")
                todo = Text(
                    f"rathaus-hub[{entry.name.partition('_')[0]}] installieren",
                    f"install rathaus-hub[{entry.name.partition('_')[0]}]",
                )
                yield faulty("adapters", text, todo) if entry.name in used else doubtful("adapters", text, todo)
        missing = used - {entry.name for entry in entry_points(group="hub.adapters")}
        for name in sorted(missing):
            yield faulty("adapters", Text(f"{name}: nicht installiert", f"{name}: not installed"))
        yield well(
            "adapters", f"in Gebrauch: {', '.join(sorted(used)) or '–'}", f"in use: {', '.join(sorted(used)) or '–'}"
        )

    def _peers(self) -> Iterator[Diagnosis]:
        """Speak TLS with what the hub connects to, and look at the certificates there."""
        for server in list(dict.fromkeys(self._servers()))[:_MOST_DIALLED]:
            try:
                certificate = _greeted(server)
            except (OSError, ValueError) as error:
                why = _distrust(error) or reason_for(error, late=False).text
                yield doubtful(
                    "peers",
                    Text(
                        f"{server.about}: {server.host}:{server.port} {why.de}",
                        f"{server.about}: {server.host}:{server.port} {why.en}",
                    ),
                )
                continue
            yield well(
                "peers", f"{server.about}: {server.host}:{server.port}", f"{server.about}: {server.host}:{server.port}"
            )
            yield from self._certified(server.about, certificate)

    def _servers(self) -> Iterator[_Server]:
        settings = self._settings
        for about, url in (("openid_issuer", settings.openid_issuer), ("blobs_endpoint", settings.blobs_endpoint)):
            yield from _server(about, url)
        for destination in self._destinations():
            options = destination.adapter_config
            for name in _URL_OPTIONS:
                yield from _server(f"{destination.name}", str(options.get(name, "")), str(options.get("ca_file") or ""))

    def _certificates(self) -> Iterator[Diagnosis]:
        """Look when certificates in files end, and the keys of destinations. Lists of revoked ones (CRL) are not used."""
        for about, file in self._certificate_files():
            try:
                found = read_file(file)
            except (OSError, ConfigurationError):
                yield faulty("certificates", Text(f"{about}: nicht lesbar", f"{about}: cannot be read"))
                continue
            for each in found:
                yield from self.ending("certificates", about, each.not_valid_after_utc)
        for destination in self._destinations():
            for key in self._keys_of(destination.destination_id):
                ends = expires_at(key.jwk)
                if ends is not None:
                    yield from self.ending("certificates", f"{destination.name}, kid {key.kid}", ends)
        yield well("certificates", "Fristen angesehen", "ends of validity looked at")

    def _certificate_files(self) -> Iterator[tuple[str, Path]]:
        for file in sorted((self._settings.data / "anchors").glob("*.pem")):
            yield f"anchors/{file.name}", file
        if self._settings.smtp_ca_file:
            yield "smtp_ca_file", Path(self._settings.smtp_ca_file)
        for destination in self._destinations():
            for name in _CERTIFICATE_OPTIONS:
                if destination.adapter_config.get(name):
                    yield f"{destination.name} {name}", Path(str(destination.adapter_config[name]))

    def _destinations(self) -> Iterator[Destination]:
        store = self._store
        if store is not None and store.carries_this_version():
            yield from all_items(lambda start: store.parties.destinations(scope=EVERYTHING, offset=start, limit=_PAGE))

    def _keys_of(self, destination_id: UUID) -> list[StoredKey]:
        found = [] if self._store is None else self._store.parties.keys(destination_id)
        return [key for key in found if key.retired_at is None]

    def _asked(self, path: str, headers: Mapping[str, str] | None = None) -> Posted:
        return self._outbound.get(self._settings.canonical_url + path, headers or {})

    def _certified(self, about: str, certificate: bytes) -> Iterator[Diagnosis]:
        if certificate:
            ends = expires_at({"x5c": [base64.b64encode(certificate).decode("ascii")]})
            if ends is not None:
                yield from self.ending("TLS", about, ends)

    def ending(self, about: str, what: str, ends: datetime, todo: Text | None = None) -> Iterator[Diagnosis]:
        """Warn of what ends soon, and tell of what has ended; what lasts is not worth a line."""
        left = ends - self._now()
        todo = todo or Text("rechtzeitig erneuern", "renew it in time")
        if left <= timedelta():
            yield faulty(
                about, Text(f"{what}: abgelaufen am {ends:%d.%m.%Y}", f"{what}: ended on {ends:%Y-%m-%d}"), todo
            )
        elif left < _SOON:
            yield doubtful(
                about, Text(f"{what}: läuft am {ends:%d.%m.%Y} ab", f"{what}: ends on {ends:%Y-%m-%d}"), todo
            )


def _no_answer(address: str, note: str) -> Diagnosis:
    return away(
        "own address",
        Text(f"{address} antwortet nicht ({note})", f"{address} does not answer ({note})"),
        Text(
            "läuft hub serve? base_url, Proxy und TLS prüfen",
            "does hub serve run? check base_url, proxy and TLS",
        ),
    )


def _newer_tables(current: str, head: str | None) -> Diagnosis:
    return faulty(
        "tables",
        Text(
            f"Stand {current}, neuer als dieses Programm ({head})",
            f"at {current}, newer than this program ({head})",
        ),
        Text("das neuere Programm nehmen", "take the newer program"),
    )


def _silent_proxy() -> Diagnosis:
    return faulty(
        "proxy",
        Text("der Proxy sagt nicht, wer fragt", "the proxy does not say who asks"),
        Text(
            "X-Forwarded-For und X-Forwarded-Proto setzen lassen",
            "have X-Forwarded-For and X-Forwarded-Proto set",
        ),
    )


def _unbelieved_proxy(client: str) -> Diagnosis:
    return faulty(
        "proxy",
        Text(
            f"dem Proxy {client} wird nicht geglaubt: Alle Fragenden gelten als einer",
            f"the proxy {client} is not believed: all who ask count as one",
        ),
        Text(f"FORWARDED_ALLOW_IPS={client} setzen", f"set FORWARDED_ALLOW_IPS={client}"),
    )


def _no_mail_server() -> Diagnosis:
    return doubtful(
        "mail",
        Text(
            "kein Mailserver: Hinweise nur auf den Verwaltungsseiten",
            "no mail server: notices on the admin pages only",
        ),
        Text("smtp_host setzen", "set smtp_host"),
    )


def _silent_scanner(place: str) -> Diagnosis:
    return away(
        "scanner",
        Text(f"{place} antwortet nicht", f"{place} does not answer"),
        Text(
            "läuft der Scanner? scan prüfen: Rechte des Sockets, Name des ICAP-Dienstes (er muss 204 erlauben)",
            "does it run? check scan: the socket's modes, the ICAP service's name (it has to allow 204)",
        ),
    )


def _skew(about: str, difference: timedelta, whose: Text) -> Diagnosis:
    seconds = difference.total_seconds()
    text = Text(
        f"{whose.de}: {seconds:+.1f} s gegen diesen Rechner", f"{whose.en}: {seconds:+.1f} s against this machine"
    )
    todo = Text("Uhren mit NTP stellen", "set clocks by NTP")
    if abs(difference) > _MOST_SKEW:
        return faulty(about, text, todo)
    return doubtful(about, text, todo) if abs(difference) > _SKEW else well(about, text.de, text.en)


#: Why a certificate is not trusted, by OpenSSL's numbers (X509_V_ERR_…).
_DISTRUST = {
    9: Text("TLS-Zertifikat gilt noch nicht", "TLS certificate is not valid yet"),
    10: Text("TLS-Zertifikat ist abgelaufen", "TLS certificate has expired"),
    62: Text("TLS-Zertifikat ist auf einen anderen Namen ausgestellt", "TLS certificate is issued to another name"),
    64: Text("TLS-Zertifikat ist auf eine andere Adresse ausgestellt", "TLS certificate is issued to another address"),
} | dict.fromkeys(
    (7, 18, 19, 20, 21),
    Text(
        "TLS-Zertifikat stammt von keiner Stelle, der hier vertraut wird (ca_file, SSL_CERT_FILE)",
        "TLS certificate comes from no authority that is trusted here (ca_file, SSL_CERT_FILE)",
    ),
)


def _distrust(error: Exception) -> Text | None:
    return _DISTRUST.get(error.verify_code) if isinstance(error, ssl.SSLCertVerificationError) else None


def _server(about: str, url: str, ca_file: str = "") -> Iterator[_Server]:
    parts = urlsplit(url)
    if parts.scheme == "https" and parts.hostname:
        yield _Server(about=about, host=parts.hostname, port=parts.port or _HTTPS, ca_file=ca_file)


def _greeted(server: _Server) -> bytes:
    """Return the certificate of a server that speaks TLS and is trusted; ``OSError`` says why there is none."""
    context = ssl.create_default_context(cafile=server.ca_file or None)
    with (
        Line(timeout=_CONNECT, public_only=False) as line,
        line.dial(server.host, server.port) as dialled,
        context.wrap_socket(dialled, server_hostname=server.host) as spoken,
    ):
        return spoken.getpeercert(binary_form=True) or b""


def _libraries() -> Iterator[Diagnosis]:
    """Load what is native code: a wrong platform or a half installation shows here and not at the first application."""
    found = []
    for name in _NATIVE:
        try:
            module = importlib.import_module(name)
        except (ImportError, OSError) as error:
            yield faulty(
                "libraries",
                Text(
                    f"{name} lässt sich nicht laden ({type(error).__name__})",
                    f"{name} cannot be loaded ({type(error).__name__})",
                ),
                Text("rathaus-hub neu installieren", "install rathaus-hub anew"),
            )
            continue
        found.append(f"{name} {getattr(module, 'sqlite_version', None) or getattr(module, '__version__', '')}".strip())
    yield from _lacking()
    yield well("libraries", ", ".join(found), ", ".join(found))


def _lacking() -> Iterator[Diagnosis]:
    import sqlite3

    if sqlite3.sqlite_version_info < _OLDEST_SQLITE:
        yield faulty(
            "libraries",
            Text("SQLite ist älter als 3.38", "SQLite is older than 3.38"),
            Text("aktualisieren", "update it"),
        )
    if (missing := missing_for_pdf()) and "weasyprint" not in missing:
        names = ", ".join(missing)
        yield doubtful(
            "libraries",
            Text(f"für PDF fehlen {names}", f"PDF needs {names}"),
            Text("diese Pakete des Systems installieren", "install these packages of the system"),
        )
