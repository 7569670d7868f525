"""A hub in a process of its own, as it is measured: its data folder, its clients, its CPU time and its memory."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import requests

from benchmarks import payload
from hub import app
from hub.config import load_settings
from hub.crypto.keys import KeyPolicy, judge_encryption_key
from hub.demo.cast import prepare
from hub.model.parties import OfferedService
from hub.model.submission import MediaType

SERVICE = "urn:de:fim:leika:leistung:99012008001000"
ARS = "064140000000"
#: The destination that the service and the area lead to; its submissions wait in a mailbox.
WIESBADEN = UUID("7b1c9e04-2d58-4c7a-8f31-5a9e0c406414")
_KIB = 1024
_MEBI = 1024 * 1024


@dataclass(frozen=True, kw_only=True, slots=True)
class Served:
    """A running server."""

    pid: int
    port: int
    data: Path

    def cpu_seconds(self) -> float:
        """Return the CPU time that the process has used so far."""
        # The clock of another process, to the nanosecond; /proc counts in hundredths of a second (clock_getcpuclockid(3)).
        return time.clock_gettime(~self.pid << 3 | 2)

    def resident_mebibytes(self) -> float:
        """Return the memory that the process holds now."""
        status = Path(f"/proc/{self.pid}/status").read_text(encoding="ascii")
        return int(status.partition("VmRSS:")[2].split()[0]) * _KIB / _MEBI

    @contextmanager
    def watched(self) -> Iterator[list[float]]:
        """Look at the memory while the block runs; the list then holds its growth at the highest, in MiB."""
        before, grown, over = self.resident_mebibytes(), [0.0], threading.Event()

        def look() -> None:
            while not over.wait(0.02):
                grown[0] = max(grown[0], self.resident_mebibytes() - before)

        watcher = threading.Thread(target=look)
        watcher.start()
        try:
            yield grown
        finally:
            over.set()
            watcher.join()

    def token(self, role: str) -> str:
        """Return an access token of the demo's ``sender`` or ``subscriber``."""
        client = json.loads((self.data / "demo.json").read_text(encoding="utf-8"))[role]
        login = {"grant_type": "client_credentials", **client}
        answer = requests.post(f"http://127.0.0.1:{self.port}/token", data=login, timeout=30)
        token: str = answer.json()["access_token"]
        return token


def prepare_data(data: Path, message: payload.Message) -> dict[str, Any]:
    """Set up a hub whose Wiesbaden destination takes the message; return the destination's public key."""
    hub = app.build(load_settings(data, {}))
    prepare(hub, say=lambda _: None)
    hub.close()
    message.install(data / "schemas", SERVICE)
    hub = app.build(load_settings(data, {}))
    stored = hub.store.parties.destination(WIESBADEN)
    assert stored is not None
    offered = OfferedService(
        identifier=SERVICE, regions=("DE06",), schemas=((message.schema_uri(hub.catalog), MediaType.XML.value),)
    )
    hub.store.parties.replace_destination(replace(stored, services=(offered,)))
    jwk = hub.store.parties.key(WIESBADEN, stored.encryption_kid)
    hub.close()
    assert jwk is not None
    return dict(jwk)


def sealing_key(jwk: dict[str, Any]) -> Any:
    """Return the destination's key, ready for use."""
    bare = {name: value for name, value in jwk.items() if name != "x5c"}
    policy = KeyPolicy(allow_self_signed=True)
    return judge_encryption_key(bare, now=datetime.now(UTC), policy=policy, require_x5c=False)


@contextmanager
def serving(data: Path, *, work: bool = True) -> Iterator[Served]:
    """Serve from a process of its own; with ``work`` it delivers, too."""
    port = 18_480 + os.getpid() % 1000
    command = [sys.executable, "-m", "hub.cli", "serve", "--workers", "1", "--data", str(data), "--port", str(port)]
    command.append("--work" if work else "--no-work")
    with running(command, port, path="/health/ready") as process:
        yield Served(pid=process.pid, port=port, data=data)


@contextmanager
def running(command: list[str], port: int, *, path: str, cwd: Path | None = None) -> Iterator[subprocess.Popen[bytes]]:
    """Run a server, in the folder ``cwd``, until the end of the block; wait until it answers."""
    environment = {**os.environ, "HUB_DISK_WATERMARK_BYTES": "0", "PYTHONWARNINGS": "ignore"}
    process = subprocess.Popen(command, env=environment, cwd=cwd)
    try:
        _wait(f"http://127.0.0.1:{port}{path}")
        yield process
    finally:
        process.terminate()
        process.wait(timeout=60)


def _wait(url: str) -> None:
    for _ in range(900):
        try:
            if requests.get(url, timeout=1).ok:
                return
        except requests.RequestException:
            pass
        time.sleep(0.1)
    raise TimeoutError("the server did not get ready")
