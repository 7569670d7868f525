"""An adapter that reads what it is given and says that it was delivered: the queue is measured, not a receiver."""

from __future__ import annotations

import argparse
import os
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hub import app
from hub.config import load_settings
from hub.delivery.attempt import AdapterPool, Rules
from hub.delivery.dispatcher import Dispatcher
from hub.model.clock import utc_now
from hub.model.delivery import Adapter, Schedule
from hub.model.submission import Outcome, OutcomeKind, Package
from hub.notifications.callbacks import CallbackWriter


class Sink:
    """Read every part."""

    name = "sink"

    def __init__(self, config: Mapping[str, Any]) -> None:
        assert not config

    def open(self) -> None:
        """Hold nothing."""

    def deliver(self, package: Package) -> Outcome:
        """Read and be content."""
        size = sum(len(chunk) for _, part in package.submission.contents.parts() for chunk in package.read(part))
        return Outcome(kind=OutcomeKind.DELIVERED, note=f"{size} bytes")

    def close(self) -> None:
        """Hold nothing."""


_: type[Adapter] = Sink


def main() -> None:
    """``python -m benchmarks.full.sink DATA URL``: one process that delivers to the sink until it is ended."""
    parser = argparse.ArgumentParser()
    parser.add_argument("data", type=Path)
    parser.add_argument("url")
    parser.add_argument("--until-ended", action="store_true")
    options = parser.parse_args()
    settings = load_settings(options.data, {}, database_url=options.url)
    hub = app.build(settings)
    dispatcher = Dispatcher(
        store=hub.store,
        blobs=hub.blobs,
        adapters=AdapterPool({"sink": Sink}),
        notary=hub.notary,
        evidences=hub.evidences,
        callback_writer=CallbackWriter(store=hub.store),
        rules=Rules(
            node=f"sink/{os.getpid()}",
            lease=settings.lease,
            schedule=Schedule(),
            threads=settings.delivery_threads,
            base_url=settings.canonical_url,
        ),
        clock=utc_now,
    )
    dispatcher.run(threading.Event())


if __name__ == "__main__":
    main()
