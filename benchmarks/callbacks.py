"""One callback host that is slow beside others: how long everybody else's callbacks take, with it and without, in turns.

An outbox worker on its own store carries callbacks to receivers on loopback, each at an address of its own. Latency is from the
commit of a callback to its arrival. The slow host answers each after five seconds and has a hundred pending from the start.
"""

from __future__ import annotations

import itertools
import shutil
import statistics
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, cast
from uuid import uuid4

from hub.crypto.keyring import HubKeys
from hub.notifications.callbacks import CallbackWorker
from hub.notifications.mail import Noticeboard
from hub.store import OutgoingCallback, Store
from hub.transport.connection import Outbound

_PARTIES = 5
_PENDING = 100
_SLOW_SECONDS = 5.0
_TURNS = 3
_TURN_SECONDS = 5.0
#: Seconds between two callbacks of the other parties: 50 a second.
_EVERY = 0.02
#: Seconds that a turn waits at its end for what has not arrived; longer than that counts as that.
_PATIENCE = 10.0


def run() -> dict[str, float]:
    """Measure and print; return the figures."""
    taken: dict[bool, list[float]] = {False: [], True: []}
    ratios = []
    with tempfile.TemporaryDirectory() as folder:
        empty = Path(folder) / "hub.sqlite"
        store = Store(f"sqlite:///{empty}")
        store.migrate()
        store.close()
        for _ in range(_TURNS):
            turn = {slow: _turn(empty, slow=slow) for slow in (False, True)}
            ratios.append(_p99(turn[True]) / _p99(turn[False]))
            for slow, latencies in turn.items():
                taken[slow] += latencies
    alone, beside = (_p99(taken[slow]) * 1000 for slow in (False, True))
    ratio = beside / alone
    print(f"callbacks: {_PARTIES} parties, {1 / _EVERY:.0f} a second; one host answers after {_SLOW_SECONDS:.0f} s")
    for name, slow in (("without", False), ("with", True)):
        median, p99 = statistics.median(taken[slow]) * 1000, _p99(taken[slow]) * 1000
        print(f"  {name:8} the slow host   median {median:.0f} ms, p99 {p99:.0f} ms, {len(taken[slow])} callbacks")
    shown = ", ".join(f"{each:.2f}" for each in ratios)
    print(f"  others' p99 with it against without: {ratio:.2f} (turns {shown}; aim: at most 2)\n")
    return {"callbacks_p99_alone_ms": alone, "callbacks_p99_beside_slow_ms": beside, "callbacks_slow_host_ratio": ratio}


def _turn(empty: Path, *, slow: bool) -> list[float]:
    """Return the seconds that each of the other parties' callbacks took in one turn, on a copy of the store ``empty``."""
    over, arrived = threading.Event(), dict[str, float]()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        hosts = [stack.enter_context(_receiver(f"127.0.1.{n + 1}", arrived)) for n in range(_PARTIES)]
        held = stack.enter_context(_receiver("127.0.2.1", {}, over))
        store = Store(f"sqlite:///{shutil.copy(empty, folder)}")
        stack.callback(store.close)
        for number in range(_PENDING if slow else 0):
            _put(store, "slow", f"{held}/{number}")
        stop = threading.Event()
        working = threading.Thread(target=_courier(store).run, args=[stop])
        working.start()
        try:
            committed = _sent(store, hosts)
            end = time.monotonic() + _PATIENCE
            while len(arrived) < len(committed) and time.monotonic() < end:
                time.sleep(_EVERY)
        finally:
            over.set()
            stop.set()
            working.join()
    return [arrived.get(path, at + _PATIENCE) - at for path, at in committed.items()]


def _sent(store: Store, hosts: list[str]) -> dict[str, float]:
    """Write the callbacks of the other parties at an even pace; return when each was committed."""
    committed: dict[str, float] = {}
    began = time.monotonic()
    for number in itertools.count():
        due = began + number * _EVERY
        if due > began + _TURN_SECONDS:
            return committed
        time.sleep(max(0.0, due - time.monotonic()))
        _put(store, f"party{number % _PARTIES}", f"{hosts[number % _PARTIES]}/{number}")
        committed[f"/{number}"] = time.monotonic()
    raise AssertionError


def _put(store: Store, party: str, url: str) -> None:
    now = datetime.now(UTC)
    store.callbacks.add(
        OutgoingCallback(callback_id=uuid4(), party=party, url=url, secret="s", body="{}", created_at=now, case_id=None)
    )


def _courier(store: Store) -> CallbackWorker:
    return CallbackWorker(
        store=store,
        keys=cast("HubKeys", _Keys()),
        outbound=Outbound(allow_private_addresses=True),
        board=Noticeboard(store=store),
        node="bench",
        clock=lambda: datetime.now(UTC),
    )


class _Keys:
    """Opens every secret: the keyring is not what is measured."""

    def open_secret(self, _sealed: str, *, context: str) -> bytes:
        del context
        return b"x" * 32


@contextmanager
def _receiver(address: str, arrived: dict[str, float], over: threading.Event | None = None) -> Iterator[str]:
    """Serve on a loopback address and note when each path is asked first; with ``over``, answer late, or when that is set."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            arrived.setdefault(self.path, time.monotonic())
            self.rfile.read(int(self.headers["Content-Length"]))
            if over is not None:
                over.wait(_SLOW_SECONDS)
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer((address, 0), Handler)
    serving = threading.Thread(target=server.serve_forever, args=[0.05])
    serving.start()
    try:
        yield f"http://{address}:{server.server_port}"
    finally:
        server.shutdown()
        serving.join()
        server.server_close()


def _p99(latencies: list[float]) -> float:
    return sorted(latencies)[int(len(latencies) * 0.99)]
