"""Real hub processes on free ports, ended by their handles."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Self

import requests

from benchmarks.crash.nodes import BYTECODE

HUB = [sys.executable, "-m", "hub.cli"]
_PATIENCE = 90.0


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class HubProcess:
    """One ``hub serve`` on a data folder."""

    def __init__(self, data: Path, *, port: int | None = None, wrapper: tuple[str, ...] = (), **env: str) -> None:
        self.data = data
        self.port = port or free_port()
        self.base_url = f"http://127.0.0.1:{self.port}"
        self.log = data.parent / f"hub-{self.port}.log"
        settings = {
            "HUB_ALLOW_PRIVATE_ADDRESSES": "true",
            "HUB_DISK_WATERMARK_BYTES": "0",
            "HUB_BASE_URL": self.base_url,
        }
        command = [*wrapper, *HUB, "-v", "serve", "--data", str(data), "--port", str(self.port)]
        self._output = self.log.open("ab")
        self.process = subprocess.Popen(
            command,
            env={**os.environ, **BYTECODE, **settings, **env},
            stdout=self._output,
            stderr=self._output,
            start_new_session=True,
        )

    def __enter__(self) -> Self:
        wait_for(lambda: requests.get(f"{self.base_url}/health/ready", timeout=2).ok, self.log)
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            # The whole group: a wrapper such as strace does not pass signals on.
            os.killpg(self.process.pid, signal.SIGTERM)
            self.process.wait(timeout=_PATIENCE)
        self._output.close()

    def kill(self) -> None:
        """End it as a power cut would."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(timeout=_PATIENCE)

    def sender(self) -> requests.Session:
        """Return a session with the demo sender's token."""
        cast = json.loads((self.data / "demo.json").read_text())
        session = requests.Session()
        login = {"grant_type": "client_credentials", **cast["sender"]}
        answer = session.post(f"{self.base_url}/token", data=login, timeout=30)
        session.headers["Authorization"] = f"Bearer {answer.json()['access_token']}"
        return session


def wait_for(happened: Any, log: Path | None = None, patience: float = _PATIENCE) -> Any:
    """Wait until ``happened()`` is true; bounded."""
    deadline = time.monotonic() + patience
    while time.monotonic() < deadline:
        try:
            found = happened()
        except requests.RequestException:
            found = None
        if found:
            return found
        time.sleep(0.1)
    raise AssertionError(f"did not happen in {patience} s" + (f"; log:\n{log.read_text()[-3000:]}" if log else ""))
