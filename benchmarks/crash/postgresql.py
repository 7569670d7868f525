"""A PostgreSQL cluster in a temporary folder that can be stopped, killed and started again. Loopback: a unix socket only."""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import psycopg

_MEMORY = Path("/dev/shm")
_UNPRIVILEGED = ("postgres", "nobody")
_SETTINGS = ("listen_addresses=", "max_connections=80", "shared_buffers=32MB")
_PATIENCE = 60.0


def binaries() -> Path | None:
    """Return the folder of initdb and postgres, None where PostgreSQL is not installed."""
    found = shutil.which("initdb")
    known = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: path.parts[-2].zfill(3))
    folders = ([Path(found).resolve().parent] if found else []) + known[::-1]
    return next((folder for folder in folders if (folder / "initdb").exists() and (folder / "postgres").exists()), None)


class Postgresql:
    """One cluster, in memory unless a ``parent`` folder is named. PostgreSQL refuses to run as root: root lends it a user."""

    def __init__(self, programs: Path, *, parent: Path | None = None, settings: Sequence[str] = _SETTINGS) -> None:
        self._programs = programs
        self._settings = settings
        memory = _MEMORY if os.access(_MEMORY, os.W_OK) else None
        self.folder = Path(tempfile.mkdtemp(prefix="hub-pg-", dir=parent or memory))
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
        self._process = self._launched()
        end = time.monotonic() + _PATIENCE
        while True:
            try:
                psycopg.connect(f"host={self.folder} user=hub dbname=postgres", connect_timeout=2).close()
                break
            except psycopg.OperationalError:
                if time.monotonic() > end:
                    raise
                if self._process.poll() is not None:
                    # After a kill it gives up if a process of before has not ended yet.
                    self._process = self._launched()
                time.sleep(0.05)

    def _launched(self) -> subprocess.Popen[bytes]:
        settings = [part for one in (*self._settings, f"unix_socket_directories={self.folder}") for part in ("-c", one)]
        return subprocess.Popen(
            [str(self._programs / "postgres"), "-D", "data", *settings],
            cwd=self.folder,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            **self._as,
        )

    def cpu_seconds(self) -> float:
        """Return the CPU time of the server, its backends included, also of those that have ended."""
        assert self._process is not None
        found = 0.0
        for pid in (self._process.pid, *_children(self._process.pid)):
            with contextlib.suppress(OSError):  # A backend that has just ended counts with its parent's children.
                fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
                found += sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")
        return found

    def stop(self) -> None:
        """Shut down as an operator does: running transactions are rolled back, connections are cut."""
        self._end(signal.SIGINT)

    def kill(self) -> None:
        """End all its processes as a power cut would."""
        if self._process is not None:
            # Each backend leads a session of its own, so the group is not all of them; the parent goes first, lest it recover.
            backends = _children(self._process.pid)
            for pid in (self._process.pid, *backends):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
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


def _children(pid: int) -> list[int]:
    """Return the processes whose parent is ``pid``."""
    tasks = Path(f"/proc/{pid}/task").glob("*/children")
    return [int(child) for file in tasks for child in file.read_text(encoding="ascii").split()]
