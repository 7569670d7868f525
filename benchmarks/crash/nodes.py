"""Hub processes that may die: started, killed, paused and started again, each by its own handle."""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import requests

_PATIENCE = 120.0
#: A process that is started again and again reads the bytecode that the first one wrote, whatever its surroundings say;
#: compiling anew takes longer than everything else of a start. Beside the interpreter: as trusted as what it runs.
BYTECODE = {"PYTHONDONTWRITEBYTECODE": "", "PYTHONPYCACHEPREFIX": str(Path(sys.prefix) / "bytecode")}
HUB = ("hub.cli",)  # The module that a process runs.


def free_port() -> int:
    """Return a loopback port that nobody uses now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def surroundings(tree: Path | None) -> dict[str, str]:
    """Return what makes the interpreter run the program of another release's tree, and one process of it."""
    if tree is None:
        return {"HUB_PROCESSES": "1"}
    knows = "processes:" in (tree / "hub" / "config.py").read_text(encoding="utf-8")
    return {"PYTHONPATH": str(tree)} | ({"HUB_PROCESSES": "1"} if knows else {})


class Node:
    """One ``hub serve`` or ``hub work``; ``start`` may be called again after an end, on the same port.

    It runs the program of ``tree``, another release's; None for this one's. ``data`` None: the command says itself where.
    """

    def __init__(
        self,
        name: str,
        data: Path | None,
        command: tuple[str, ...],
        env: dict[str, str],
        logs: Path,
        *,
        program: tuple[str, ...] = HUB,
    ) -> None:
        self.name = name
        self._program = program
        self.serves = "serve" in command
        self.port = free_port() if self.serves else 0
        self.base_url = f"http://127.0.0.1:{self.port}"
        self._data = data
        self._command = command
        self._env = {"HUB_NODE": name, **BYTECODE, **env}
        self.tree: Path | None = None
        self.log = logs / f"{name}.log"
        self.process: subprocess.Popen[bytes] | None = None
        self.kills = 0

    def start(self, *, crash_at: str = "", wait: bool = True) -> None:
        """Start it; with ``wait`` a serving one is ready afterwards (or has died, if it was told to)."""
        where = ("--port", str(self.port)) if self.serves else ()
        if self._data is not None:
            where += ("--data", str(self._data))
        extra = {"HUB_CRASH_AT": crash_at} if crash_at else {}
        with self.log.open("ab") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", *self._program, *self._command, *where],
                env=self.environment() | extra,
                cwd=self.tree,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        if wait and self.serves:
            self.wait_until_ready()

    def know(self, **env: str) -> None:
        """Have it start with these, too."""
        self._env |= env

    def environment(self) -> dict[str, str]:
        """Return what it starts with."""
        return {**os.environ, **surroundings(self.tree), **self._env}

    def wait_until_ready(self) -> None:
        """Wait until it takes applications; return at once if it has ended."""
        end = time.monotonic() + _PATIENCE
        while time.monotonic() < end and self.alive:
            try:
                if requests.get(f"{self.base_url}/health/ready", timeout=2).ok:
                    return
            except requests.RequestException:
                pass
            time.sleep(0.05)
        if self.alive:
            raise TimeoutError(f"{self.name} did not get ready; log: {self.log.read_text()[-2000:]}")

    @property
    def alive(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def kill(self) -> None:
        """End it as a power cut would."""
        if self.alive and self.process is not None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait(_PATIENCE)
            self.kills += 1

    def children(self) -> list[int]:
        """Return the processes that one hub of several has begun: ids, in no order."""
        pid = self.process.pid if self.process is not None else 0
        with contextlib.suppress(OSError):
            return [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
        return []

    def kill_child(self, pid: int) -> None:
        """End one of its processes as a lack of memory would."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
            self.kills += 1

    def died_by_itself(self, seconds: float) -> bool:
        """Wait for an armed process to kill itself; say whether it did."""
        if self.process is None:
            return False
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(seconds)
        if self.process.returncode == -signal.SIGKILL:
            self.kills += 1
            return True
        return False

    def limit_file_size(self, size: int) -> None:
        """Let no file of the running process grow beyond ``size`` bytes: a quota where no small disk can be had."""
        if self.process is not None:
            resource.prlimit(self.process.pid, resource.RLIMIT_FSIZE, (size, size))

    def pause(self) -> None:
        """Stop its time."""
        if self.alive and self.process is not None:
            os.killpg(self.process.pid, signal.SIGSTOP)

    def resume(self) -> None:
        """Let its time go on."""
        if self.alive and self.process is not None:
            os.killpg(self.process.pid, signal.SIGCONT)

    def end(self) -> None:
        """End it in order; what is under way is finished."""
        if self.alive and self.process is not None:
            self.process.terminate()
            try:
                self.process.wait(_PATIENCE)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
