"""``hub run|serve|work``: the hub's processes."""

from __future__ import annotations

import logging
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote

import click

from hub import app
from hub.admission import usable_cores
from hub.cli.options import data_option, settings_for, tune_interpreter
from hub.config import Settings
from hub.errors import ConfigurationError, Text
from hub.observability import logs
from hub.observability.metrics import count_as, share

#: What uvicorn, too, exits with where a server could not start.
_NOT_STARTED = 3
#: Seconds that processes have to finish what they began, once told to end: less than service managers wait (90).
GRACE = 80.0
#: Connections that may wait to be taken.
_BACKLOG = 2048


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
    with app.alone(settings, listens=True):
        app.judge_files(settings)
        code = run_demo(Demo(settings=settings, once=once, traffic=demo_traffic))
    raise SystemExit(code)


@click.command(short_help="Schnittstellen bedienen / serve the interfaces.")
@click.option("--host", help="Address to listen on.")
@click.option("--port", type=int, help="Port to listen on.")
@click.option(
    "--processes",
    "--workers",
    type=click.IntRange(1, 64),
    help="Processes that serve, beside one that delivers; 1: one that does all.  [default: usable cores]",
)
@click.option("--work/--no-work", default=True, show_default=True, help="Also deliver and keep the periodic duties.")
@data_option
def serve(host: str | None, port: int | None, processes: int | None, work: bool, data: Path) -> None:
    """Serve the interfaces."""
    settings = settings_for(data, host=host, port=port, processes=processes)
    _log_as(settings)
    number = settings.processes or usable_cores()
    if number > 1:
        raise SystemExit(_serve_together(settings, number, work=work))
    app.require_free_port(settings.host, settings.port)
    with app.alone(settings, listens=True):
        app.judge_files(settings)
        _serve_alone(settings, work=work)


def _serve_alone(settings: Settings, *, work: bool) -> None:
    server = app.server(application(settings, work=work), settings)
    with suppress(KeyboardInterrupt):  # It has ended, as it was told to.
        server.run()
    if not server.started:
        raise SystemExit(_NOT_STARTED)


def _serve_together(settings: Settings, number: int, *, work: bool) -> int:
    """Serve by several processes on one socket; return the exit code of the one that started them."""
    import hub.app.interfaces  # noqa: F401  # once, before the children are forked

    # Descriptors are inherited: the socket listens and the folder is held for as long as one of the family lives.
    with app.bound(settings.host, settings.port) as listener, app.alone(settings, listens=True):
        app.judge_files(settings)
        os.environ.update(share(settings.data / "metrics" / quote(f"{settings.node}-{settings.port}", safe="")))
        listener.listen(_BACKLOG)
        family = app.Parent(
            board=app.Board(app.serving_names(number, work=work)),
            prepare=lambda: _prepared(settings).close(),
            work=partial(_child, settings.data, settings.host, settings.port, listener),
            grace=GRACE,
        )
        return family.run()


def _child(data: Path, host: str, port: int, listener: app.Listener, member: app.Member) -> None:
    """Do what one of several processes does, until it is told to end. Settings are read anew for each."""
    settings = settings_for(data, host=host, port=port)
    count_as(member.name)
    hub = app.build(settings, listens=True, member=member)
    if member.delivers:
        listener.close()
        try:
            with app.working(hub), app.woken(hub.dispatcher.wake, hub.supervisor, member.board):
                member.begun()
                app.until_ended(member)
        finally:
            hub.close()
        return
    server = app.sharing_server(app.asgi(hub, work=False), settings, listener=listener, member=member)
    tune_interpreter()
    # The library passes the signal on once all is over; then this process goes on to its orderly end.
    signal.signal(signal.SIGTERM, lambda *_: None)
    server.run()
    if not server.started:
        raise SystemExit(_NOT_STARTED)


@click.command(short_help="Zustellen, ohne zu bedienen / deliver without serving.")
@data_option
def work(data: Path) -> None:
    """Deliver and keep the periodic duties, without serving; any number of nodes may run it (PostgreSQL)."""
    settings = settings_for(data)
    _log_as(settings)
    if settings.work_metrics_port:
        app.require_free_port(settings.work_metrics_host, settings.work_metrics_port)
    with app.alone(settings, listens=False):
        app.judge_files(settings)
        hub = _prepared(settings, what="work")
        try:
            with app.working(hub), _shown(hub):
                app.until_ended()
        finally:
            hub.close()


def application(settings: Settings, *, work: bool) -> Any:
    """Build the application of a process that is alone, and set the process for it."""
    hub = _prepared(settings)
    built = app.asgi(hub, work=work)
    tune_interpreter()
    return built


def _prepared(settings: Settings, *, what: str = "serve") -> app.Context:
    """Build the hub, judge what it stands on and say what it is."""
    hub = app.build(settings, listens=what != "work")
    try:
        app.refuse_demo(hub)
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
    """Show this process's metrics and health: without an interface of its own, nobody else could."""
    port = hub.settings.work_metrics_port
    if not port:
        yield
        return
    loop, _ = app.show_worker(hub, port, host=hub.settings.work_metrics_host)
    try:
        yield
    finally:
        loop.end()


COMMANDS = (run, serve, work)
