"""Puts the demo on stage: hub in this process, specialist system in another, then the walk."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import click
import requests
import uvicorn

from hub import __version__, app
from hub.config import Settings
from hub.demo.cast import Cast, adapter_config, prepare, roles
from hub.demo.municipality import write_config
from hub.demo.walk import Walk
from hub.errors import StoreUnavailable, Text

_START_SECONDS = 30
_TICK = 0.1


@dataclass(frozen=True, kw_only=True, slots=True)
class Demo:
    """What to show.

    ``once`` stops after the walk. ``traffic`` plays the other sides: sends applications, collects and answers them; without
    it the mailboxes are left to whoever is pointed at the demo.
    """

    settings: Settings
    once: bool
    traffic: bool


def run_demo(demo: Demo) -> int:
    """Run the demo; return the exit code: 0 only if everything that was shown really happened."""
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    settings = demo.settings
    click.secho(f"\nRathaus-Hub {__version__} · Vorführung / demo", bold=True)
    click.echo(f"  Daten / data        {settings.data}")
    click.echo(f"  Adresse / address   {settings.canonical_url}\n")
    first_start = not (settings.data / "demo.json").is_file()
    if first_start:
        click.echo(
            "Erster Start: Schlüssel und Zustellpunkte werden angelegt. / First start: making keys and destinations."
        )
    hub = app.build(settings)
    app.announce(hub, "run")
    cast = prepare(hub, say=click.echo)
    with ExitStack() as stack:
        specialist_url = _prepare_municipality(hub, cast)
        stack.enter_context(_serving(hub))
        if demo.traffic:
            stack.enter_context(_specialist_system(cast.folder / "connector.toml", cast.folder / "connector.log"))
        _wait_for(f"{settings.canonical_url}/health/ready")
        if demo.traffic:
            _wait_for(f"{specialist_url}/cases.json")
        code = 0
        if demo.once or (first_start and demo.traffic):
            code = Walk(hub=hub, cast=cast, specialist_url=specialist_url, stop=stop).run()
        if not demo.once:
            _say_what_next(settings, specialist_url)
            stop.wait()
            click.echo("\nBeendet. / Stopped.")
    return code


def _prepare_municipality(hub: app.Hub, cast: Cast) -> str:
    """Choose ports, point the pushing destinations at them and write the connector's configuration."""
    listen, desk = _free_port(hub.settings.port + 1), _free_port(hub.settings.port + 2)
    for role in roles():
        stored = hub.store.destination(role.destination_id)
        if stored is not None and stored.adapter == "https":
            config = adapter_config(role, cast.folder, push_url=f"http://127.0.0.1:{listen}/deliveries")
            hub.store.replace_destination(replace(stored, adapter_config=config, updated_at=hub.clock()))
    write_config(cast, hub.settings, listen_port=listen, desk_port=desk)
    return f"http://127.0.0.1:{desk}"


@contextmanager
def _serving(hub: app.Hub) -> Iterator[None]:
    """Serve in a thread; leaving stops the server, which stops dispatcher and clock and closes the hub."""
    config = uvicorn.Config(
        app.asgi(hub, work=True),
        host=hub.settings.host,
        port=hub.settings.port,
        **app.server_options(hub.settings),
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, name="server")
    thread.start()
    try:
        yield
    finally:
        server.should_exit = True
        thread.join()


@contextmanager
def _specialist_system(config: Path, log: Path) -> Iterator[None]:
    """Run connector and demo specialist system as a process of their own, reached over HTTP only."""
    command = [sys.executable, "-m", "hub.cli", "-v", "connector", "run", "--config", str(config)]
    with log.open("ab") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output)
    try:
        yield
    finally:
        process.terminate()
        process.wait(timeout=_START_SECONDS)


def _wait_for(url: str) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline:
        try:
            if requests.get(url, timeout=2).ok:
                return
        except requests.RequestException:
            pass
        time.sleep(_TICK)
    raise StoreUnavailable(
        Text(
            f"{url} antwortet nach {_START_SECONDS} Sekunden nicht. Ist der Port frei?",
            f"{url} does not answer after {_START_SECONDS} seconds. Is the port free?",
        )
    )


def _free_port(wish: int) -> int:
    for port in (wish, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            chosen: int = probe.getsockname()[1]
            return chosen
    raise AssertionError("the system has no free port")


def _say_what_next(settings: Settings, specialist_url: str) -> None:
    data = "" if settings.data == Path("data").absolute() else f" --data {settings.data}"
    click.secho("\nWie weiter / what next", bold=True)
    for what, how in (
        ("Schnittstellen / interfaces", f"{settings.canonical_url}/docs"),
        ("Verwaltung / administration", f"{settings.canonical_url}/admin"),
        ("  Konten / accounts", str(settings.data / "demo" / "accounts.json")),
        ("Fachverfahren / specialist system", f"{specialist_url}/"),
        ("Betriebszustand / health", f"{settings.canonical_url}/health/ready"),
        (
            "Zuständigkeit / responsibility",
            f".venv/bin/hub route explain --service urn:de:fim:leika:leistung:99012008001000 --ars 064390001001{data}",
        ),
        ("Prüfen / validate", f".venv/bin/hub validate schemas/bauantrag/1.0/examples/good-einfamilienhaus.xml{data}"),
        ("Protokolle prüfen / verify logs", f".venv/bin/hub log verify{data}"),
        ("Zugangsdaten / credentials", str(settings.data / "demo.json")),
        ("  eigener Client / a client of your own", "reserved_for_tests"),
    ):
        click.echo(f"  {what:<36} {how}")
    click.echo("  Strg-C beendet. / Ctrl-C stops.")
