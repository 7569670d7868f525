"""A dispatcher on a store, with an adapter that takes everything, and what waits for its work."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar

from store_values import HUB, LEASE, NOW

from hub.delivery.attempt import AdapterPool, Rules
from hub.delivery.dispatcher import Dispatcher
from hub.model import Outcome, OutcomeKind, Schedule
from hub.notifications.callbacks import CallbackWriter
from hub.store import LocalBlobs

PATIENCE = 60


class Taking:
    """An adapter that takes everything, and raises what it is told to before; ``got`` are the packages that it took."""

    name = "taking"
    opening: ClassVar[list[BaseException]] = []
    delivering: ClassVar[list[BaseException]] = []
    got: ClassVar[list[Any]] = []

    def __init__(self, config: Any) -> None:
        self.config = config

    @classmethod
    def begin(cls) -> None:
        cls.opening, cls.delivering, cls.got = [], [], []

    @classmethod
    def submissions(cls) -> list[str]:
        """The ids of the submissions that it took, in order."""
        return [str(package.submission.submission_id) for package in cls.got]

    def open(self) -> None:
        if self.opening:
            raise self.opening.pop(0)

    def deliver(self, package: Any) -> Outcome:
        if self.delivering:
            raise self.delivering.pop(0)
        self.got.append(package)
        return Outcome(kind=OutcomeKind.DELIVERED, note="taken")

    def close(self) -> None:
        pass


def dispatcher(store: Any, folder: Path, **changes: Any) -> Dispatcher:
    """One that signs nothing and stands still at ``NOW``, unless told otherwise; its contents lie in ``folder``."""
    parts: dict[str, Any] = {
        "store": store,
        "blobs": LocalBlobs(folder / "blobs"),
        "adapters": AdapterPool({"taking": Taking, "mailbox": Taking}),
        "notary": None,
        "evidences": None,
        "callback_writer": CallbackWriter(store=store),
        "rules": Rules(node="node-1", lease=LEASE, schedule=Schedule(jitter=0), threads=4, base_url=HUB),
        "clock": lambda: NOW,
    }
    return Dispatcher(**(parts | changes))


@contextmanager
def running(working: Any) -> Iterator[None]:
    """Run a loop in a thread of its own meanwhile."""
    stop = threading.Event()
    thread = threading.Thread(target=working.run, args=[stop])
    thread.start()
    try:
        yield
    finally:
        stop.set()
        working.wake()
        thread.join(PATIENCE)
    assert not thread.is_alive()


def until(condition: Callable[[], Any]) -> Any:
    """Wait for a condition and return what it came to."""
    deadline = time.monotonic() + PATIENCE
    while not (found := condition()):
        assert time.monotonic() < deadline, "it did not come to be"
        time.sleep(0.01)
    return found
