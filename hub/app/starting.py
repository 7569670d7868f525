"""How a process starts: what is judged before it serves, and what one that only works shows.

What a server process does before it serves: it judges whose files it stands on, stays alone on SQLite, says what it is.

What a process that only works shows: its metrics and its health, judged as where applications are taken.
"""

from __future__ import annotations

import fcntl
import logging
import os
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import orjson

from hub.app.wiring import Context
from hub.config import Settings
from hub.errors import ConfigurationError, Text, Unavailable
from hub.files import vault
from hub.files.settings import unusable_all
from hub.jobs.gauges import RETRY_AFTER, Readiness
from hub.model import EVERYTHING
from hub.observability import logs
from hub.store.engine import address_of, sqlite_file
from hub.supervision import Loop
from hub.web.listening import small_server

_LOCK = ".serving"
_LONGEST_MARK = 8192  # Bytes
#: Folders of the data folder in which a file of somebody else's would be believed.
_BELIEVED = ("pki", "anchors", "secrets")
_LONGEST_SECRET = 4096  # Bytes
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
        ConfigurationError: files or folders as :func:`file_faults` tells of; says all of them.
    """
    faults = tuple(file_faults(settings))
    if faults:
        raise unusable_all(faults)
    if not settings.production:
        for fault in _open(settings.data):
            _log.warning("%s / %s", fault.de, fault.en)


def file_faults(settings: Settings) -> Iterator[Text]:
    """Yield what is wrong with files and folders: open to other accounts, or secrets that are named and cannot be read."""
    if settings.production:
        yield from _open(settings.data)
    for name in _BELIEVED:
        yield from _open(settings.data / name)
    for name, file in settings.secret_files.items():
        try:
            vault.read_text(file, most=_LONGEST_SECRET)
        except ConfigurationError as error:
            yield Text(f"{name}: {error.detail.de}", f"{name}: {error.detail.en}")
        except (OSError, UnicodeDecodeError):
            yield Text(
                f"{name}: Die Datei {file} ist nicht lesbar. Prüfen Sie, ob es sie gibt und wem sie gehört.",
                f"{name}: the file {file} cannot be read. Check that it exists, and whose it is.",
            )
    if not settings.database_password_file:
        database = sqlite_file(settings.database)
        beside = [] if database is None else [database, *(Path(f"{database}-{end}") for end in ("wal", "shm"))]
        for file in beside:
            yield from _open(file)


def _open(path: Path) -> Iterator[Text]:
    try:
        vault.require_privacy(path)
    except ConfigurationError as error:
        yield error.detail


def refuse_demo(hub: Context) -> None:
    """Refuse to run in production on what the demo made: its keys and passwords lie in the folder for all to read.

    Raises:
        ConfigurationError: the demo was here.
    """
    if not hub.settings.production:
        return
    left = next((name for name in _OF_THE_DEMO if (hub.settings.data / name).exists()), None)
    made = hub.store.audit.entries(scope=EVERYTHING, action="demo.", limit=1).total
    # Folders from before the demo left a mark: nobody else adds accounts under that name.
    made = (
        made
        or hub.store.audit.entries(scope=EVERYTHING, actor="demo", action="account.", target="demo-", limit=1).total
    )
    if left or made:
        raise _made_by_demo(hub.settings.data, left or "hub.sqlite")


def _made_by_demo(data: Path, what: str) -> ConfigurationError:
    return ConfigurationError(
        Text(
            f"Der Datenordner {data} stammt aus der Vorführung „hub run“ ({what}): Ihre Schlüssel, Clients "
            "und Konten sind nicht geheim. Beginnen Sie production mit einem leeren Ordner und einer leeren Datenbank.",
            f"The data folder {data} was made by the demo 'hub run' ({what}): its keys, clients and accounts "
            "are no secret. Begin production with an empty folder (--data) and an empty database.",
        )
    )


@contextmanager
def alone(settings: Settings, *, listens: bool) -> Iterator[None]:
    """Hold the data folder, and a SQLite database, for this process and those that it starts.

    The system frees both however these processes end; a mark that outlives its owner does not exist. Commands that look or
    administer do not ask for it. With PostgreSQL any number of processes may hold one folder, if they are one hub: who
    ``listens`` signs as its address, and would refuse the tokens of one that signs as another.

    Raises:
        Unavailable: another process serves from this database, or another hub from this folder.
    """
    vault.make_folder(settings.data)
    with _one_database(sqlite_file(settings.database)), _one_hub(settings, listens=listens):
        yield


@contextmanager
def _one_database(database: Path | None) -> Iterator[None]:
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
            raise _runs_already(database) from exc
        yield
    finally:
        os.close(descriptor)


def _runs_already(database: Path) -> Unavailable:
    return Unavailable(
        Text(
            f"Auf der Datenbank {database} läuft schon ein Hub. SQLite bedient genau einen (serve, work oder "
            "run): Beenden Sie den anderen, nennen Sie einen anderen Ordner (--data), oder nehmen Sie PostgreSQL.",
            f"A hub runs on the database {database} already. SQLite serves exactly one (serve, work or run): "
            "stop the other, name another folder (--data), or use PostgreSQL.",
        )
    )


@contextmanager
def _one_hub(settings: Settings, *, listens: bool) -> Iterator[None]:
    """Hold the data folder together with processes of the same hub: the first says what that is, in the file it holds."""
    database = sqlite_file(settings.database)
    mine = {
        # Of servers the kind alone: one may be named in many ways.
        "database": "postgresql" if database is None else str(database.absolute()),
        # Whoever only works signs as the one that listens, unless told otherwise.
        "address": settings.canonical_url if listens or settings.base_url else "",
    }
    descriptor = os.open(settings.data / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        with vault.locked(settings.data):
            first = {} if _held_alone(descriptor) else _said(os.pread(descriptor, _LONGEST_MARK, 0))
            _require_same(settings.data, mine, first)
            if not first.get("address"):
                os.ftruncate(descriptor, 0)
                os.pwrite(descriptor, orjson.dumps(mine), 0)
            fcntl.flock(descriptor, fcntl.LOCK_SH)
        yield
    finally:
        os.close(descriptor)


def _held_alone(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _said(mark: bytes) -> dict[str, str]:
    """Return what the first one wrote; nothing where that cannot be read (a full disk)."""
    try:
        found = orjson.loads(mark)
    except orjson.JSONDecodeError:
        return {}
    return found if isinstance(found, dict) else {}


def _require_same(folder: Path, mine: Mapping[str, str], first: Mapping[str, str]) -> None:
    if first.get("database", mine["database"]) != mine["database"]:
        raise _other_database(folder)
    theirs = first.get("address")
    if theirs and mine["address"] and theirs != mine["address"]:
        raise Unavailable(
            Text(
                f"Aus dem Ordner {folder} läuft schon ein Hub mit der Adresse {theirs}; dieser hieße {mine['address']}, und "
                "jeder wiese die Tokens des anderen zurück. Setzen Sie base_url bei beiden gleich, beenden Sie den anderen, "
                "oder nennen Sie einen anderen Ordner (--data).",
                f"A hub runs from the folder {folder} already, with the address {theirs}; this one would be "
                f"{mine['address']}, and each would refuse the other's tokens. Set the same base_url for both, stop the "
                "other, or name another folder (--data).",
            )
        )


def _other_database(folder: Path) -> Unavailable:
    return Unavailable(
        Text(
            f"Aus dem Ordner {folder} läuft schon ein Hub auf einer anderen Datenbank; beide unterschrieben mit denselben "
            "Schlüsseln. Beenden Sie den anderen, nennen Sie dieselbe Datenbank (database_url) oder einen anderen Ordner "
            "(--data).",
            f"A hub runs from the folder {folder} already, on another database; both would sign with the same keys. Stop "
            "the other, name the same database (database_url) or another folder (--data).",
        )
    )


def announce(hub: Context, what: str) -> None:
    """Say once, at the start, what runs: version, mode, address, database without its password, routing table.

    ``what`` is the command. Development is warned about, because it is what runs where nobody said anything.
    """
    facts = {
        "Zuständigkeitstabelle / routing table": _table(hub),
        "Tabellen / tables": hub.store.schema_revision() or "-",
        "Adapter / adapters": " ".join(hub.installed.registered),
    }
    for level, line in lines(hub.settings, what, facts=facts, address=hub.base_url):
        _log.log(level, line)


def lines(settings: Settings, what: str, *, facts: Mapping[str, str], address: str = "") -> Iterator[tuple[int, str]]:
    """Yield what :func:`announce` says, each with its level."""
    named = {
        "hub": what,
        "Modus / mode": settings.environment,
        "Adresse / address": address or settings.canonical_url,
        "lauscht / listens": f"{settings.host}:{settings.port}" if what != "work" else "-",
        "Datenbank / database": address_of(settings.database),
        **facts,
    }
    yield logging.INFO, logs.what_runs(named)
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


_POLL = 0.2  # Seconds within which it notices that it is to stop.
_JSON = ("Content-Type", "application/json")
_TEXT = ("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
_FRESH = ("Cache-Control", "no-store")


def begin(hub: Context, port: int, *, host: str = "127.0.0.1") -> tuple[Loop, int]:
    """Show the pages at ``host`` and ``port`` (0: any that is free); return the loop, and the port.

    Raises:
        OSError: The port cannot be had.
    """
    pages = _pages(metrics=hub.meters.text, ready=hub.readiness, allowed=hub.settings.metrics)
    server = small_server(host, port, pages)
    server.timeout = _POLL

    def run(stop: threading.Event) -> None:
        while not stop.is_set():
            server.handle_request()
            server.end_overdue()
        server.server_close()

    return hub.supervisor.begin("worker-pages", run, daemon=True), server.server_port


def _pages(
    *, metrics: Callable[[], bytes], ready: Readiness, allowed: str
) -> Callable[[dict[str, Any], Any], Iterable[bytes]]:
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
        if path in {"/metrics", "/"} and may_read(allowed, environ.get("REMOTE_ADDR", "")):
            start("200 OK", [_TEXT, _FRESH])
            return [metrics()]
        start("404 Not Found", [_TEXT])
        return [b"/metrics, /health/ready, /health/live\n"]

    return answer


def may_read(allowed: str, address: str) -> bool:
    """Say whether whoever asks from an address may read the metrics, by the setting; this machine always may.

    A port that shows them is opened on purpose.
    """
    return allowed == "on" or ip_address(address).is_loopback
