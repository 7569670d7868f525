"""Processes that are measured: started, watched by their CPU time and memory, and ended by their handle."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from benchmarks.crash.nodes import BYTECODE

_TICKS = os.sysconf("SC_CLK_TCK")
#: The interpreter with what the hub is compared with, and with what draws; ``make bench-full`` puts it there.
YARDSTICK = str(Path(sys.prefix) / "yardstick" / "bin" / "python")
_ENVIRONMENT = {
    "HUB_ALLOW_PRIVATE_ADDRESSES": "true",
    "HUB_DISK_WATERMARK_BYTES": "0",
    "PYTHONWARNINGS": "ignore",
    **BYTECODE,
}


@contextmanager
def running(
    *module: str, python: str = sys.executable, env: dict[str, str] | None = None, quiet: bool = False
) -> Iterator[subprocess.Popen[bytes]]:
    """Run ``python -m module …``; at the end it is killed, for nobody waits for what it has under way."""
    process = subprocess.Popen(
        [python, "-m", *module],
        env={**os.environ, **_ENVIRONMENT, **(env or {})},
        stdin=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL if quiet else None,
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait(timeout=60)


def called(module: Sequence[str], *, python: str, seconds: float) -> None:
    """Run ``python -m module …`` to its end."""
    subprocess.run([python, "-m", *module], env={**os.environ, **_ENVIRONMENT}, check=True, timeout=seconds)


def cpu_seconds(process: subprocess.Popen[bytes]) -> float:
    """Return the CPU time that a process has used so far."""
    fields = Path(f"/proc/{process.pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def tree_cpu_seconds(*pids: int) -> float:
    """Return the CPU time of processes and of every process that they started and that lives."""
    found = 0.0
    for pid in _tree(pids):
        for each in Path(f"/proc/{pid}/task").glob("*"):
            with contextlib.suppress(OSError):  # A thread, or a process, that has just ended.
                found += int((each / "schedstat").read_text(encoding="ascii").split()[0]) / 1e9
    return found


def tree_resident_mebibytes(*pids: int) -> float:
    """Return the memory that processes and all that they started hold now; what they share counts for each."""
    found = 0.0
    for pid in _tree(pids):
        with contextlib.suppress(OSError, ValueError, IndexError):  # It has just ended.
            found += _resident(pid)
    return found


def _tree(pids: Sequence[int]) -> Iterator[int]:
    waiting = list(pids)
    while waiting:
        pid = waiting.pop()
        yield pid
        for each in Path(f"/proc/{pid}/task").glob("*"):
            with contextlib.suppress(OSError):
                waiting += [int(child) for child in (each / "children").read_text(encoding="ascii").split()]


def resident_mebibytes(process: subprocess.Popen[bytes]) -> float:
    """Return the memory that a process holds now."""
    return _resident(process.pid)


def _resident(pid: int) -> float:
    status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    return int(status.partition("VmRSS:")[2].split()[0]) / 1024
