"""A PostgreSQL cluster in a temporary folder that can be stopped, killed and started again. Loopback: a unix socket only."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any, Self

import psycopg

_MEMORY = Path("/dev/shm")
_UNPRIVILEGED = ("postgres", "nobody")
_SETTINGS = ("listen_addresses=", "max_connections=80", "shared_buffers=32MB")
_PATIENCE = 20.0


def binaries() -> Path | None:
    """Return the folder of initdb and postgres, None where PostgreSQL is not installed."""
    found = shutil.which("initdb")
    known = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: path.parts[-2].zfill(3))
    folders = ([Path(found).resolve().parent] if found else []) + known[::-1]
    return next((folder for folder in folders if (folder / "initdb").exists() and (folder / "postgres").exists()), None)


class Postgresql:
    """One cluster. PostgreSQL refuses to run as root, so root lends it another user."""

    def __init__(self, programs: Path) -> None:
        self._programs = programs
        self.folder = Path(tempfile.mkdtemp(prefix="hub-pg-", dir=_MEMORY if os.access(_MEMORY, os.W_OK) else None))
        self._as: dict[str, Any] = {}
        if os.geteuid() == 0:
            names = {entry.pw_name for entry in pwd.getpwall()}
            self._as = {"user": next(name for name in _UNPRIVILEGED if name in names), "extra_groups": []}
            shutil.chown(self.folder, user=self._as["user"])
        command = [str(programs / "initdb"), "-D", "data", "-U", "hub", "-A", "trust", "-E", "UTF8", "--locale=C"]
        subprocess.run([*command, "--no-sync"], cwd=self.folder, check=True, capture_output=True, **self._as)
        self._process: subprocess.Popen[bytes] | None = None
        self.start()

    @property
    def url(self) -> str:
        return f"postgresql+psycopg://hub@/postgres?host={self.folder}"

    def start(self) -> None:
        """Start and wait until it answers."""
        settings = [part for one in (*_SETTINGS, f"unix_socket_directories={self.folder}") for part in ("-c", one)]
        self._process = subprocess.Popen(
            [str(self._programs / "postgres"), "-D", "data", *settings],
            cwd=self.folder,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            **self._as,
        )
        end = time.monotonic() + _PATIENCE
        while True:
            try:
                psycopg.connect(f"host={self.folder} user=hub dbname=postgres", connect_timeout=2).close()
                break
            except psycopg.OperationalError:
                if time.monotonic() > end:
                    raise
                time.sleep(0.05)

    def stop(self) -> None:
        """Shut down as an operator does: running transactions are rolled back, connections are cut."""
        self._end(signal.SIGINT)

    def kill(self) -> None:
        """End all its processes as a power cut would."""
        if self._process is not None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait(_PATIENCE)
            self._process = None

    def close(self) -> None:
        """Stop it and remove its folder."""
        self._end(signal.SIGINT)
        shutil.rmtree(self.folder, ignore_errors=True)

    def _end(self, number: int) -> None:
        if self._process is not None:
            self._process.send_signal(number)
            self._process.wait(_PATIENCE)
            self._process = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
