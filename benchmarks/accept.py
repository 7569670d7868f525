"""Accepted applications a second over HTTP with everything on, beside the raw composite of the same steps.

The raw composite does what cannot be left out, on the same payload and in the same number of processes (one): libxml2
validates, OpenSSL seals what the hub has to seal (data and metadata, a JWE each), one row is inserted and committed
durably. The hub does that, and HTTP, tokens, contract, routing, metadata, receipt, event chain, queue and delivery besides.
It commits in groups, which only a queue of many requests allows; the composite has threads for both cores and no HTTP.

They run in turns (raw, hub, raw, ...), each hub run beside the mean of the raw runs before and after it, so that drift of
the machine shows instead of flattering anybody. CPU each is what one item takes of both cores together, in user and
system time; it moves less with the machine's load than the rate does.
"""

from __future__ import annotations

import sqlite3
import statistics
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

from lxml import etree

from benchmarks import load, payload
from benchmarks.served import ARS, SERVICE, Served, prepare_data, sealing_key, serving
from hub.crypto import encrypt

_CONNECTIONS = 16
_RAW_THREADS = 2
_TURNS = 3
#: About the size of the metadata that the hub writes without attachments.
METADATA = 700


def run(*, seconds: float) -> dict[str, Any]:
    """Measure and print; return the figures."""
    message = payload.message()
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "data"
        jwk = prepare_data(data, message)
        with serving(data) as served:
            post = request(served, message)
            load.post(served.port, post, connections=_CONNECTIONS, seconds=1.0)  # Warm: schemas, caches, tables.
            composite = _Composite(Path(folder), data / "schemas", message, jwk)
            raw = [composite.run(seconds)]
            hub, cpu = [], []
            for _ in range(_TURNS):
                before = served.cpu_seconds()
                hub.append(load.post(served.port, post, connections=_CONNECTIONS, seconds=seconds))
                cpu.append((served.cpu_seconds() - before) * 1000 / max(1, sum(hub[-1].statuses.values())))
                raw.append(composite.run(seconds))
    for one in hub:
        assert set(one.statuses) == {202}, one.statuses
    ratios = [one.rate(202) * 2 / (raw[turn].rate + raw[turn + 1].rate) for turn, one in enumerate(hub)]
    raw_cpu, hub_cpu = statistics.median(one.cpu for one in raw), statistics.median(cpu)
    print(f"accept: {message.name}, {len(message.data)} bytes, {_CONNECTIONS} connections, SQLite (synchronous=FULL)")
    rates = ", ".join(f"{one.rate:.0f}" for one in raw)
    print(f"  raw composite   {rates} /s   (validate + 2 JWE + durable insert, {_RAW_THREADS} threads, no HTTP)")
    for one, ratio, milliseconds in zip(hub, ratios, cpu, strict=True):
        answered = sum(one.statuses.values())
        print(
            f"  hub over HTTP   {one.rate(202):.0f} /s   p50 {one.percentile(0.5):.1f} ms   "
            f"p99 {one.percentile(0.99):.1f} ms   {milliseconds:.2f} ms CPU each   ratio {ratio:.2f}   "
            f"(load generator {one.cpu_seconds * 1000 / answered:.2f} ms)"
        )
    print(f"  CPU each        raw {raw_cpu:.2f} ms, hub {hub_cpu:.2f} ms: {raw_cpu / hub_cpu:.2f}")
    print(f"  ratio           {statistics.median(ratios):.2f}    (aim 0.5, stretch 0.7)\n")
    return {
        "accept_per_second": statistics.median(one.rate(202) for one in hub),
        "accept_cpu_ms": hub_cpu,
        "raw_per_second": statistics.median(one.rate for one in raw),
        "raw_cpu_ms": raw_cpu,
        "accept_ratio": statistics.median(ratios),
    }


def request(served: Served, message: payload.Message) -> Callable[[int], bytes]:
    """Return what makes requests to the plain door; every one is a new application, whatever its number."""
    head = (
        f"POST /hub/v1/applications?service={SERVICE}&ars={ARS} HTTP/1.1\r\nHost: 127.0.0.1:{served.port}\r\n"
        f"Authorization: Bearer {served.token('sender')}\r\nContent-Type: application/xml\r\n"
        f"Content-Length: {len(message.data)}\r\n"
    )
    return lambda _: f"{head}Idempotency-Key: {uuid4()}\r\n\r\n".encode() + message.data


@dataclass(frozen=True, kw_only=True, slots=True)
class _Raw:
    """What one run of the composite came to: items a second, and CPU milliseconds of each."""

    rate: float
    cpu: float


class _Composite:
    """The yardstick: validate, seal, insert durably, in as many threads as there are cores."""

    def __init__(self, folder: Path, schemas: Path, message: payload.Message, jwk: dict[str, Any]) -> None:
        self._folder = folder
        self._message = message
        self._key = sealing_key(jwk)
        self._schema = message.compiled(schemas)

    def run(self, seconds: float) -> _Raw:
        """Run on a new database for ``seconds``."""
        connection = sqlite3.connect(
            self._folder / f"raw-{uuid4()}.sqlite", check_same_thread=False, isolation_level=None
        )
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute("CREATE TABLE submissions (id TEXT PRIMARY KEY, data BLOB, metadata BLOB)")
        lock, done = threading.Lock(), []
        cpu, started = time.process_time(), time.perf_counter()

        def work() -> None:
            count = 0
            while time.perf_counter() < started + seconds:
                data, metadata = self._sealed()
                with lock:
                    connection.execute("INSERT INTO submissions VALUES (?, ?, ?)", (str(uuid4()), data, metadata))
                count += 1
            done.append(count)

        threads = [threading.Thread(target=work) for _ in range(_RAW_THREADS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        cpu, took = time.process_time() - cpu, time.perf_counter() - started
        connection.close()
        return _Raw(rate=sum(done) / took, cpu=cpu * 1000 / sum(done))

    def _sealed(self) -> tuple[bytes, bytes]:
        assert self._schema.validate(etree.fromstring(self._message.data))
        data, _ = encrypt(self._key, self._message.data, "application/xml")
        metadata, _ = encrypt(self._key, bytes(METADATA), "application/json")
        return data, metadata
