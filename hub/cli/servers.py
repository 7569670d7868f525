"""``hub run``, ``hub serve``, ``hub work``, ``hub migrate``: the hub's processes, and the tables they need."""

from __future__ import annotations

import logging
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import click
import uvicorn

from hub import app
from hub.cli.options import data_option, settings_for, tune_interpreter
from hub.config import Settings
from hub.errors import ConfigurationError, Text
from hub.observability import coredumps, logs
from hub.observability.metrics import share
from hub.store import Store

_APPLICATION = "hub.cli.servers:application"
#: What uvicorn, too, exits with where a server of several processes could not start.
_NOT_STARTED = 3


@click.command(short_help="Vorführung: Hub, Fachverfahren, Anträge / the demo, all in one.")
@click.option("--host", help="Address to listen on.  [default: 127.0.0.1]")
@click.option("--port", type=int, help="Port to listen on.  [default: 8080]")
@click.option(
    "--once", is_flag=True, help="Send the demo applications, show what happens, exit 0 only if all went well."
)
@click.option(
    "--demo-traffic/--no-demo-traffic",
    default=True,
    help="Play the other sides too: send applications, collect and answer them.",
)
@data_option
def run(host: str | None, port: int | None, once: bool, demo_traffic: bool, data: Path) -> None:
    """Run everything in one place for a first look: hub, demo specialist system, demo applications."""
    from hub.demo import Demo, run_demo  # With the connector and the parties, which a hub that serves never needs.

    settings = settings_for(data, host=host, port=port, allow_private_addresses=True)
    if settings.production:
        raise ConfigurationError(
            Text(
                "„hub run“ ist die Vorführung und läuft nicht in production. Nehmen Sie „hub serve“.",
                "'hub run' is the demo and does not run in production. Use 'hub serve'.",
            )
        )
    app.require_free_port(settings.host, settings.port)
    with app.alone(settings):
        app.judge_files(settings)
        code = run_demo(Demo(settings=settings, once=once, traffic=demo_traffic))
    raise SystemExit(code)


@click.command(short_help="Schnittstellen bedienen / serve the interfaces.")
@click.option("--host", help="Address to listen on.")
@click.option("--port", type=int, help="Port to listen on.")
@click.option(
    "--workers", type=click.IntRange(1, 64), default=1, show_default=True, help="Processes (PostgreSQL only)."
)
@click.option("--work/--no-work", default=True, show_default=True, help="Also deliver and keep the periodic duties.")
@data_option
def serve(host: str | None, port: int | None, workers: int, work: bool, data: Path) -> None:
    """Serve the interfaces."""
    settings = settings_for(data, host=host, port=port)
    if workers > 1 and settings.database.startswith("sqlite"):
        raise ConfigurationError(
            Text(
                "SQLite erlaubt genau einen dienenden Prozess. Nehmen Sie PostgreSQL für mehrere.",
                "SQLite allows exactly one serving process. Use PostgreSQL for several.",
            )
        )
    _log_as(settings)
    app.require_free_port(settings.host, settings.port)
    with app.alone(settings):
        app.judge_files(settings)
        if workers > 1:
            # Several processes could each only fail on their own, and be started again for ever.
            _prepared(settings, announced=True).close()
        _run(settings, workers=workers, work=work)


def _run(settings: Settings, *, workers: int, work: bool) -> None:
    os.environ.update(_handed_on(settings, work=work, announced=workers > 1))
    if workers > 1:
        os.environ.update(share(settings.data / "metrics"))
    if workers > 1:
        uvicorn.run(
            _APPLICATION,
            factory=True,
            host=settings.host,
            port=settings.port,
            workers=workers,
            **app.server_options(settings),
        )
        return
    server = app.server(_APPLICATION, settings)
    with suppress(KeyboardInterrupt):  # It has ended, as it was told to.
        server.run()
    if not server.started:
        raise SystemExit(_NOT_STARTED)


@click.command(short_help="Zustellen, ohne zu bedienen / deliver without serving.")
@data_option
def work(data: Path) -> None:
    """Deliver and keep the periodic duties, without serving; any number of nodes may run it (PostgreSQL)."""
    settings = settings_for(data)
    _log_as(settings)
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    with app.alone(settings):
        app.judge_files(settings)
        hub = _prepared(settings, announced=True, what="work")
        try:
            with app.working(hub), _shown(hub):
                stop.wait()
        finally:
            hub.close()


def application() -> object:
    """Build the application in a worker process; the environment carries what the command line said."""
    settings = settings_for(Path(os.environ["HUB_DATA"]))
    coredumps.forbid()
    _log_as(settings)
    hub = _prepared(settings, announced=os.environ.get("_HUB_ANNOUNCED") != "1")
    built = app.asgi(hub, work=os.environ.get("_HUB_WORK") == "1")
    tune_interpreter()
    return built


def _prepared(settings: Settings, *, announced: bool, what: str = "serve") -> app.Context:
    """Build the hub and judge what it stands on; ``announced`` says it to whoever started it."""
    hub = app.build(settings, listens=what != "work")
    try:
        app.refuse_demo(hub)
        if announced:
            app.announce(hub, what)
    except BaseException:
        hub.close()
        raise
    return hub


def _log_as(settings: Settings) -> None:
    """Write log lines as the settings say; what ``--verbose`` asked for before is not taken back."""
    level = min(logging.getLogger().level, logging.getLevelNamesMapping()[settings.log_level.upper()])
    logs.set_up(as_json=settings.log_format == "json", level=level)


@contextmanager
def _shown(hub: app.Context) -> Iterator[None]:
    """Show this process's metrics and health on loopback: without an interface of its own, nobody else could."""
    port = hub.settings.work_metrics_port
    if not port:
        yield
        return
    loop, _ = app.show_worker(hub, port)
    try:
        yield
    finally:
        loop.end()


def _handed_on(settings: Settings, *, work: bool, announced: bool) -> dict[str, str]:
    return {
        "HUB_DATA": str(settings.data),
        "HUB_HOST": settings.host,
        "HUB_PORT": str(settings.port),
        "_HUB_WORK": "1" if work else "0",
        "_HUB_ANNOUNCED": "1" if announced else "0",
    }


@click.command(short_help="Tabellen auf diesen Stand bringen / bring the tables up to this version.")
@data_option
def migrate(data: Path) -> None:
    """Bring the tables to this version. ``serve``, ``work`` and ``run`` do so at their start; no other command does.

    Nodes of the version before go on working on the new tables. Back up first.
    """
    store = Store(settings_for(data).database)
    try:
        before = store.schema_revision()
        store.migrate()
        after = store.schema_revision()
    finally:
        store.close()
    if before == after:
        click.echo(f"Stand {after}, nichts zu tun / {after}, nothing to do.")
    else:
        click.echo(f"{before or '–'} → {after}")


COMMANDS = (run, serve, work, migrate)
