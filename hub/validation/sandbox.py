"""A process of its own, with limits, for what others wrote: schemas that are compiled, patterns and conditions that are run.

What drives a compiler to gigabytes or hours ends that process and nothing else. It gets no environment, leaves no core dump,
and is put an end to with everything that it started. Question and answer are JSON; bytes may follow the question.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import orjson

from hub.observability import crashes

#: What a process of this kind finds in its environment.
ENVIRONMENT: Mapping[str, str] = {}
_LENGTH = 8
#: Seconds of processor time between the signal that says why and the one that nobody survives.
_GRACE = 2


@dataclass(frozen=True, kw_only=True, slots=True)
class Bounds:
    """What a process may use: bytes of addresses, seconds of processor time, seconds on the clock."""

    memory: int
    cpu: int
    seconds: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Ended:
    """How a process ended: its code (below 0: the signal), what it wrote, and whether it was late."""

    code: int
    answer: bytes
    late: bool

    @property
    def out_of_time(self) -> bool:
        """Whether it used up its time on the clock or on the processor."""
        return self.late or self.code == -signal.SIGXCPU


def ask(module: str, question: Mapping[str, Any], data: bytes = b"", *, bounds: Bounds) -> Ended:
    """Run ``python -m module`` on a question, which it reads by :func:`question_of`, and wait for its end."""
    limits = {"memory": bounds.memory, "cpu": bounds.cpu}
    encoded = orjson.dumps({"limits": limits, "question": dict(question)})
    child = subprocess.Popen(
        [sys.executable, "-P", "-m", module],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=dict(ENVIRONMENT),
        start_new_session=True,
    )
    late = False
    try:
        answer, _ = child.communicate(len(encoded).to_bytes(_LENGTH, "big") + encoded + data, timeout=bounds.seconds)
    except subprocess.TimeoutExpired:
        late = True
        _end(child)
        answer, _ = child.communicate()
    finally:
        if child.returncode != 0:
            _end(child)
            child.wait()
    return Ended(code=child.returncode, answer=answer, late=late)


def question_of() -> tuple[Any, bytes]:
    """In the child: set the limits, and return the question and the bytes that follow it."""
    head = sys.stdin.buffer.read(_LENGTH)
    frame = orjson.loads(sys.stdin.buffer.read(int.from_bytes(head, "big")))
    confine(memory=frame["limits"]["memory"], cpu=frame["limits"]["cpu"])
    return frame["question"], sys.stdin.buffer.read()


def confine(*, memory: int | None = None, cpu: int | None = None) -> None:
    """Limit this process: no core dump, so many bytes of addresses and seconds of processor time.

    What it starts inherits the limit on addresses, and may widen it by :func:`unconfine_addresses`.
    """
    crashes.forbid()
    try:
        import resource
    except ImportError:
        # Not every system has it; the parent's clock still holds.
        return
    if memory is not None:
        _, most = resource.getrlimit(resource.RLIMIT_AS)
        resource.setrlimit(resource.RLIMIT_AS, (_least(memory, most), most))
    if cpu is not None:
        _, most = resource.getrlimit(resource.RLIMIT_CPU)
        resource.setrlimit(resource.RLIMIT_CPU, (_least(cpu, most), _least(cpu + _GRACE, most)))


def unconfine_addresses() -> None:
    """Take an inherited limit on addresses away, for a process that reserves far more of them than it uses."""
    try:
        import resource
    except ImportError:
        return
    _, most = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (most, most))


def _least(wanted: int, most: int) -> int:
    # Below 0 stands for no limit.
    return wanted if most < 0 else min(wanted, most)


def _end(child: subprocess.Popen[bytes]) -> None:
    """Kill a process and whatever it started: they are a session of their own."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(child.pid, signal.SIGKILL)
