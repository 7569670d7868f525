"""``hub connector``: the municipal side, on a machine of the municipality's own; nothing of the hub itself is loaded."""

from __future__ import annotations

import dataclasses
import json
import signal
import threading
from contextlib import closing
from pathlib import Path

import click

from hub.connector import Connector
from hub.model import utc_now
from hub.observability import logs


@click.group()
def connector() -> None:
    """Konnektor in der Kommune / the municipal side."""


@connector.command("run")
@click.option("--config", type=click.Path(exists=True, dir_okay=False, path_type=Path), required=True)
@click.option("--once", is_flag=True, help="Collect and hand over what waits now, then stop.")
def run_connector(config: Path, once: bool) -> None:
    """Collect from the hub (or take pushes), open, check, hand over, and accept or reject."""
    running = Connector.from_config(config)
    logs.starting().info("%s", logs.what_runs({"hub": "connector", **running.facts()}))
    with closing(running):
        if once:
            _run_once(running)
            return
        stop = threading.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: stop.set())
        running.run(stop)


def _run_once(running: Connector) -> None:
    counts = running.run_once(utc_now())
    click.echo(json.dumps(dataclasses.asdict(counts)))
    trouble = running.trouble()
    if trouble is not None:
        raise trouble


COMMANDS = (connector,)
