"""How a process starts: what is judged before it serves, and what one that only works shows.

What a server process does before it serves: it judges whose files it stands on, stays alone on SQLite, says what it is.

What a process that only works shows on loopback: its metrics and its health, judged as where applications are taken.
"""

from __future__ import annotations

import errno
import fcntl
import logging
import os
import socket
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from socketserver import ThreadingMixIn
from typing import Any
from urllib.parse import parse_qs, urlsplit
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

import orjson

from hub.app.wiring import Context
from hub.config import SOURCE, Settings, values_in
from hub.errors import ConfigurationError, Text, Unavailable
from hub.files import vault
from hub.jobs.gauges import RETRY_AFTER, Readiness
from hub.observability import logs
from hub.store.engine import address_of, sqlite_file
from hub.supervision import Loop

_LOCK = ".serving"
#: Query parameters of a database address that are secrets (libpq).
_SECRET_PARAMETERS = {"password", "sslpassword"}
#: What the demo leaves in a data folder: its parties' private keys and passwords.
_OF_THE_DEMO = ("demo.json", "demo")

_DEVELOPMENT = (
    "Entwicklungsmodus: selbst ausgestellte Schlüssel gelten, nichts hier ist für echte Anträge. Für den Betrieb "
    "environment = production setzen. / Development mode: self-issued keys count, nothing here is for real applications. "
    "Set environment = production to operate."
)
_NO_MAIL = (
    "Kein Mailserver eingestellt (smtp_host): Hinweise stehen nur im Prüfprotokoll und auf den Verwaltungsseiten. / "
    "No mail server is set (smtp_host): notices stand in the audit log and on the admin pages only."
)

_log = logs.starting()


def judge_files(settings: Settings) -> None:
    """Refuse secrets that other accounts can read or replace; in development a data folder made by hand is warned about.

    Raises:
        ConfigurationError: the database file, or a ``hub.toml`` with a secret in it, is open to others; in production, others
            may write into the data folder.
    """
    database = sqlite_file(settings.database)
    for file in [] if database is None else [database, *(Path(f"{database}-{end}") for end in ("wal", "shm"))]:
        vault.require_privacy(file)
    source = settings.data / SOURCE
    if source.is_file() and any(_holds_secret(value) for value in values_in(source).values()):
        vault.require_privacy(source)
    try:
        vault.require_privacy(settings.data)
    except ConfigurationError as error:
        if settings.production:
            raise
        _log.warning("%s / %s", error.detail.de, error.detail.en)


def refuse_demo(hub: Context) -> None:
    """Refuse to run in production on what the demo made: its keys and passwords lie in the folder for all to read.

    Raises:
        ConfigurationError: the demo was here.
    """
    if not hub.settings.production:
        return
    left = next((name for name in _OF_THE_DEMO if (hub.settings.data / name).exists()), None)
    made = hub.store.audit.entries(action="demo.", limit=1).total
    # Folders from before the demo left a mark: nobody else adds accounts under that name.
    made = made or hub.store.audit.entries(actor="demo", action="account.", target="demo-", limit=1).total
    if left or made:
        what = left or "hub.sqlite"
        raise ConfigurationError(
            Text(
                f"Der Datenordner {hub.settings.data} stammt aus der Vorführung „hub run“ ({what}): Ihre Schlüssel, Clients "
                "und Konten sind nicht geheim. Beginnen Sie production mit einem leeren Ordner und einer leeren Datenbank.",
                f"The data folder {hub.settings.data} was made by the demo 'hub run' ({what}): its keys, clients and accounts "
                "are no secret. Begin production with an empty folder (--data) and an empty database.",
            )
        )


@contextmanager
def alone(settings: Settings) -> Iterator[None]:
    """Hold the SQLite database for this process as the one that serves; the system frees it however the process ends.

    Commands that look or administer do not ask for it. With PostgreSQL any number of processes may serve.

    Raises:
        Unavailable: another process serves from this database.
    """
    database = sqlite_file(settings.database)
    if database is None:
        yield
        return
    vault.make_folder(database.parent)
    # Beside the database and named after it, so a backup leaves it out; never removed, or two would each lock their own.
    descriptor = os.open(database.with_name(database.name + _LOCK), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as exc:
            raise Unavailable(
                Text(
                    f"Auf der Datenbank {database} läuft schon ein Hub. SQLite bedient genau einen Prozess (serve, work oder "
                    "run): Beenden Sie den anderen, nennen Sie einen anderen Ordner (--data), oder nehmen Sie PostgreSQL.",
                    f"A hub runs on the database {database} already. SQLite serves exactly one process (serve, work or run): "
                    "stop the other, name another folder (--data), or use PostgreSQL.",
                )
            ) from exc
        yield
    finally:
        os.close(descriptor)


def require_free_port(host: str, port: int) -> None:
    """Refuse an address that cannot be listened at, before anything is built.

    Raises:
        Unavailable: another process listens there. ConfigurationError: this machine has no such address, or may not use it.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as exc:
            if exc.errno == errno.EADDRINUSE:
                raise Unavailable(
                    Text(
                        f"An {host}, Port {port}, lauscht schon ein anderer Prozess. Beenden Sie ihn, oder wählen Sie mit "
                        "--port einen anderen.",
                        f"Another process listens at {host}, port {port}. Stop it, or choose another one with --port.",
                    )
                ) from exc
            raise ConfigurationError(
                Text(
                    f"An {host}, Port {port}, lässt sich nicht lauschen ({os.strerror(exc.errno or 0)}). "
                    "Prüfen Sie host und port.",
                    f"Cannot listen at {host}, port {port} ({os.strerror(exc.errno or 0)}). Check host and port.",
                )
            ) from exc


def announce(hub: Context, what: str) -> None:
    """Say once, at the start, what runs: version, mode, address, database without its password, routing table.

    ``what`` is the command. Development is warned about, because it is what runs where nobody said anything.
    """
    for level, line in lines(hub.settings, what, table=_table(hub), address=hub.base_url):
        _log.log(level, line)


def lines(settings: Settings, what: str, *, table: str, address: str = "") -> Iterator[tuple[int, str]]:
    """Yield what :func:`announce` says, each with its level."""
    facts = {
        "hub": what,
        "Modus / mode": settings.environment,
        "Adresse / address": address or settings.canonical_url,
        "lauscht / listens": f"{settings.host}:{settings.port}" if what != "work" else "-",
        "Datenbank / database": address_of(settings.database),
        "Zuständigkeitstabelle / routing table": table,
    }
    yield logging.INFO, logs.what_runs(facts)
    if not settings.production:
        yield logging.WARNING, _DEVELOPMENT
    if not settings.smtp_host and what != "run":
        yield logging.WARNING, _NO_MAIL


def _table(hub: Context) -> str:
    found = hub.book.in_force(hub.clock())
    if found is None:
        return "nicht lesbar / unreadable"
    _, table = found
    return table.version[:12] if len(table) else "keine / none"


def _holds_secret(value: object) -> bool:
    """Whether a setting carries a password, which only an address can."""
    if not isinstance(value, str) or "://" not in value:
        return False
    try:
        parts = urlsplit(value)
    except ValueError:
        return True
    return bool(parts.password) or not _SECRET_PARAMETERS.isdisjoint(parse_qs(parts.query))


_POLL = 0.2  # Seconds within which it notices that it is to stop.
_JSON = ("Content-Type", "application/json")
_TEXT = ("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
_FRESH = ("Cache-Control", "no-store")


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True


class _Silent(WSGIRequestHandler):
    timeout = 30

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  # the name that http.server has
        """Log nothing: who asks every few seconds would fill the log."""


def begin(hub: Context, port: int) -> tuple[Loop, int]:
    """Show the pages at 127.0.0.1 and ``port`` (0: any that is free); return the loop, and the port.

    Raises:
        OSError: The port cannot be had.
    """
    pages = _pages(metrics=hub.meters.text, ready=hub.readiness)
    server = make_server("127.0.0.1", port, pages, server_class=_Server, handler_class=_Silent)
    server.timeout = _POLL

    def run(stop: threading.Event) -> None:
        while not stop.is_set():
            server.handle_request()
        server.server_close()

    return hub.supervisor.begin("worker-pages", run, daemon=True), server.server_port


def _pages(*, metrics: Callable[[], bytes], ready: Readiness) -> Callable[[dict[str, Any], Any], Iterable[bytes]]:
    def answer(environ: dict[str, Any], start: Any) -> Iterable[bytes]:
        path = environ.get("PATH_INFO", "")
        if path == "/health/live":
            start("200 OK", [_JSON, _FRESH])
            return [orjson.dumps({"status": "ok"})]
        if path == "/health/ready":
            well, body = ready.judge()
            fields = [_JSON, _FRESH] if well else [_JSON, _FRESH, ("Retry-After", str(RETRY_AFTER))]
            start("200 OK" if well else "503 Service Unavailable", fields)
            return [orjson.dumps(body)]
        if path in {"/metrics", "/"}:
            start("200 OK", [_TEXT, _FRESH])
            return [metrics()]
        start("404 Not Found", [_TEXT])
        return [b"/metrics, /health/ready, /health/live\n"]

    return answer
