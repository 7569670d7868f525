"""Accepted applications a second over HTTP with everything on, beside the raw composite of the same steps.

The raw composite does what cannot be left out, on the same payload and in the same number of processes (one): libxml2
validates, OpenSSL seals, one row is inserted durably. The hub does that, and tokens, contract, routing, metadata,
receipt, event chain and queue besides. Both run for the same time, one after the other, in this order: raw, hub, raw;
the ratio is against the mean of both raw runs, so that drift of the machine shows instead of flattering anybody.
"""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import requests
from lxml import etree

from benchmarks import load, payload
from hub import app
from hub.config import load_settings
from hub.crypto.jose import encrypt
from hub.crypto.keys import KeyPolicy, judge_encryption_key
from hub.demo.cast import prepare
from hub.parties import OfferedService
from hub.submission import MediaType

_CONNECTIONS = 16
_RAW_THREADS = 2
_SERVICE = "urn:de:fim:leika:leistung:99012008001000"
_ARS = "064140000000"
_WIESBADEN = UUID("7b1c9e04-2d58-4c7a-8f31-5a9e0c406414")


def run(*, seconds: float, profile: bool) -> dict[str, Any]:
    """Measure and print; return the figures."""
    message = payload.message()
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "data"
        jwk = _prepare(data, message)
        first = _raw(Path(folder) / "raw-1.sqlite", data / "schemas", message, jwk, seconds)
        accepted = _hub(data, message, seconds, profile=profile)
        second = _raw(Path(folder) / "raw-2.sqlite", data / "schemas", message, jwk, seconds)
    raw = (first + second) / 2
    rate = accepted.rate(202)
    print(f"accept: {message.name}, {len(message.data)} bytes, {_CONNECTIONS} connections, SQLite (synchronous=FULL)")
    print(
        f"  raw composite   {first:8.0f} /s and {second:.0f} /s (validate + JWE + durable insert, {_RAW_THREADS} threads)"
    )
    print(
        f"  hub over HTTP   {rate:8.0f} /s   p50 {accepted.percentile(0.5):.1f} ms   p99 {accepted.percentile(0.99):.1f} ms"
    )
    print(f"  ratio           {rate / raw:8.2f}    (aim 0.5, stretch 0.7)\n")
    assert set(accepted.statuses) == {202}, accepted.statuses
    return {"accept_per_second": rate, "raw_per_second": raw, "accept_ratio": rate / raw}


def _prepare(data: Path, message: payload.Message) -> dict[str, Any]:
    """Set up a hub whose Wiesbaden destination takes the message; return the destination's public key."""
    hub = app.build(load_settings(data, {}))
    prepare(hub, say=lambda _: None)
    hub.close()
    message.install(data / "schemas", _SERVICE)
    hub = app.build(load_settings(data, {}))
    stored = hub.store.destination(_WIESBADEN)
    assert stored is not None
    offered = OfferedService(
        identifier=_SERVICE, regions=("DE06",), schemas=((message.schema_uri(hub.catalog), MediaType.XML.value),)
    )
    hub.store.replace_destination(_with(stored, services=(offered,)))
    jwk = hub.store.key(_WIESBADEN, stored.encryption_kid)
    hub.close()
    assert jwk is not None
    return dict(jwk)


def _with(value: Any, **changes: Any) -> Any:
    from dataclasses import replace

    return replace(value, **changes)


def _raw(database: Path, schemas: Path, message: payload.Message, jwk: dict[str, Any], seconds: float) -> float:
    """Run the raw composite and return its rate."""
    bare = {name: value for name, value in jwk.items() if name != "x5c"}
    key = judge_encryption_key(bare, now=datetime.now(UTC), policy=KeyPolicy(allow_self_signed=True), require_x5c=False)
    schema = message.compiled(schemas)
    connection = sqlite3.connect(database, check_same_thread=False, isolation_level=None)
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


def _hub(data: Path, message: payload.Message, seconds: float, *, profile: bool) -> load.Load:
    """Serve from a process of its own and load it."""
    port = 18_480 + os.getpid() % 1000
    command = [sys.executable, "-m", "hub.cli", "serve", "--data", str(data), "--port", str(port)]
    if profile:
        command = [
            sys.executable,
            "-m",
            "cProfile",
            "-o",
            str(Path(__file__).parent / "out" / "accept.prof"),
            *command[1:],
        ]
    process = subprocess.Popen(command, env={**os.environ, "HUB_DISK_WATERMARK_BYTES": "0"})
    try:
        _wait(port)
        request = _request(port, json.loads((data / "demo.json").read_text(encoding="utf-8"))["sender"], message)
        load.post(port, request, connections=_CONNECTIONS, seconds=1.0)  # Warm: compiled schemas, caches, tables.
        return load.post(port, request, connections=_CONNECTIONS, seconds=seconds)
    finally:
        process.terminate()
        process.wait(timeout=60)


def _request(port: int, sender: dict[str, str], message: payload.Message) -> Any:
    login = {"grant_type": "client_credentials", **sender}
    token = requests.post(f"http://127.0.0.1:{port}/token", data=login, timeout=30).json()["access_token"]
    head = (
        f"POST /hub/v1/applications?service={_SERVICE}&ars={_ARS} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n"
        f"Authorization: Bearer {token}\r\nContent-Type: application/xml\r\nContent-Length: {len(message.data)}\r\n"
    )
    run_id = uuid4()
    return lambda number: f"{head}Idempotency-Key: {run_id}-{number}\r\n\r\n".encode() + message.data


def _wait(port: int) -> None:
    for _ in range(300):
        try:
            if requests.get(f"http://127.0.0.1:{port}/health/ready", timeout=1).ok:
                return
        except requests.RequestException:
            time.sleep(0.1)
    raise TimeoutError("the hub did not get ready")
