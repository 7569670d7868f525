"""Accepted applications a second over HTTP with everything on, beside the raw composite of the same steps.

The raw composite does what cannot be left out, on the same payload and in the same number of processes (one): libxml2
validates, OpenSSL seals, one row is inserted durably. The hub does that, and tokens, contract, routing, metadata,
receipt, event chain, queue and delivery besides. They run in turns (raw, hub, raw, hub, raw), each hub run beside the mean
of the raw runs before and after it, so that drift of the machine shows instead of flattering anybody.
"""

from __future__ import annotations

import sqlite3
import statistics
import tempfile
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

from lxml import etree

from benchmarks import load, payload
from benchmarks.served import ARS, SERVICE, Served, prepare_data, serving
from hub.crypto.jose import encrypt
from hub.crypto.keys import KeyPolicy, judge_encryption_key

_CONNECTIONS = 16
_RAW_THREADS = 2
_TURNS = 2


def run(*, seconds: float) -> dict[str, Any]:
    """Measure and print; return the figures."""
    message = payload.message()
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "data"
        jwk = prepare_data(data, message)
        with serving(data) as served:
            post = request(served, message)
            load.post(served.port, post, connections=_CONNECTIONS, seconds=1.0)  # Warm: schemas, caches, tables.
            raw = [_raw(Path(folder), data / "schemas", message, jwk, seconds)]
            hub, cpu = [], []
            for _ in range(_TURNS):
                before = served.cpu_seconds()
                hub.append(load.post(served.port, post, connections=_CONNECTIONS, seconds=seconds))
                cpu.append((served.cpu_seconds() - before) * 1000 / max(1, sum(hub[-1].statuses.values())))
                raw.append(_raw(Path(folder), data / "schemas", message, jwk, seconds))
    ratios = [one.rate(202) * 2 / (raw[turn] + raw[turn + 1]) for turn, one in enumerate(hub)]
    print(f"accept: {message.name}, {len(message.data)} bytes, {_CONNECTIONS} connections, SQLite (synchronous=FULL)")
    rates = ", ".join(f"{rate:.0f}" for rate in raw)
    print(f"  raw composite   {rates} /s   (validate + JWE + durable insert, {_RAW_THREADS} threads)")
    for one, ratio, milliseconds in zip(hub, ratios, cpu, strict=True):
        print(
            f"  hub over HTTP   {one.rate(202):.0f} /s   p50 {one.percentile(0.5):.1f} ms   "
            f"p99 {one.percentile(0.99):.1f} ms   {milliseconds:.2f} ms CPU each   ratio {ratio:.2f}"
        )
        assert set(one.statuses) == {202}, one.statuses
    print(f"  ratio           {statistics.mean(ratios):.2f}    (aim 0.5, stretch 0.7)\n")
    return {
        "accept_per_second": statistics.mean(one.rate(202) for one in hub),
        "accept_cpu_ms": statistics.mean(cpu),
        "raw_per_second": statistics.mean(raw),
        "accept_ratio": statistics.mean(ratios),
    }


def request(served: Served, message: payload.Message) -> Callable[[int], bytes]:
    """Return what makes requests to the plain door; every one is a new application, whatever its number."""
    head = (
        f"POST /hub/v1/applications?service={SERVICE}&ars={ARS} HTTP/1.1\r\nHost: 127.0.0.1:{served.port}\r\n"
        f"Authorization: Bearer {served.token('sender')}\r\nContent-Type: application/xml\r\n"
        f"Content-Length: {len(message.data)}\r\n"
    )
    return lambda _: f"{head}Idempotency-Key: {uuid4()}\r\n\r\n".encode() + message.data


def _raw(folder: Path, schemas: Path, message: payload.Message, jwk: dict[str, Any], seconds: float) -> float:
    """Run the raw composite on a new database and return its rate."""
    bare = {name: value for name, value in jwk.items() if name != "x5c"}
    key = judge_encryption_key(bare, now=datetime.now(UTC), policy=KeyPolicy(allow_self_signed=True), require_x5c=False)
    schema = message.compiled(schemas)
    connection = sqlite3.connect(folder / f"raw-{uuid4()}.sqlite", check_same_thread=False, isolation_level=None)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute("CREATE TABLE submissions (id TEXT PRIMARY KEY, jwe BLOB)")
    lock, done = threading.Lock(), []
    end = time.perf_counter() + seconds

    def work() -> None:
        count = 0
        while time.perf_counter() < end:
            assert schema.validate(etree.fromstring(message.data))
            jwe, _ = encrypt(key, message.data, "application/xml")
            with lock:
                connection.execute("INSERT INTO submissions VALUES (?, ?)", (str(uuid4()), jwe))
            count += 1
        done.append(count)

    threads = [threading.Thread(target=work) for _ in range(_RAW_THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    connection.close()
    return sum(done) / seconds
