"""A small load generator: many kept-open HTTP/1.1 connections, one request at a time on each.

Made by hand because it shares two cores with what it measures: requests are put together by joining bytes, answers are
told apart by their status line and length, and one ``epoll`` waits for all. It takes about a fiftieth of the server's time.
"""

from __future__ import annotations

import select
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass, field

_READ = 65536
#: Seconds without any answer after which a run is given up.
_PATIENCE = 60.0
_END_OF_HEAD = b"\r\n\r\n"
_LENGTH = b"content-length: "


@dataclass(frozen=True, kw_only=True, slots=True)
class Load:
    """What was seen: answers by status, seconds, the latency of each answer in seconds, sorted, and own CPU seconds."""

    statuses: dict[int, int]
    seconds: float
    latencies: tuple[float, ...]
    cpu_seconds: float

    def rate(self, status: int) -> float:
        """Answers of ``status`` a second."""
        return self.statuses.get(status, 0) / self.seconds

    def percentile(self, share: float) -> float:
        """Latency in milliseconds that ``share`` of the answers do not exceed."""
        return 1000 * self.latencies[min(len(self.latencies) - 1, int(len(self.latencies) * share))]


@dataclass(kw_only=True, slots=True)
class _Connection:
    """One connection; ``sent`` is when its request left, ``came`` what is there of the answer."""

    socket: socket.socket
    sent: float = 0.0
    came: bytearray = field(default_factory=bytearray)

    def send(self, request: bytes) -> None:
        self.came.clear()
        self.sent = time.perf_counter()
        self.socket.sendall(request)

    def receive(self) -> int | None:
        """Read what came; return the status once the answer is complete."""
        piece = self.socket.recv(_READ)
        if not piece:
            raise ConnectionError("the server hung up")
        self.came += piece
        head = self.came.find(_END_OF_HEAD)
        if head < 0:
            return None
        at = self.came.find(_LENGTH, 0, head) + len(_LENGTH)
        length = int(self.came[at : self.came.index(b"\r", at)])
        return int(self.came[9:12]) if len(self.came) >= head + len(_END_OF_HEAD) + length else None


def post(port: int, request: Callable[[int], bytes], *, connections: int, seconds: float) -> Load:
    """Send ``request(n)`` over and over for ``seconds``; bounded by that time and by nothing else."""
    statuses: dict[int, int] = {}
    latencies: list[float] = []
    number = 0
    cpu, started = time.process_time(), time.perf_counter()
    with select.epoll() as poll:
        running = {}
        for _ in range(connections):
            opened = _Connection(socket=socket.create_connection(("127.0.0.1", port)))
            running[opened.socket.fileno()] = opened
            poll.register(opened.socket, select.EPOLLIN)
            opened.send(request(number))
            number += 1
        while running:
            ready = poll.poll(_PATIENCE)
            if not ready:
                raise TimeoutError("no answer came")
            for handle, _ in ready:
                connection = running[handle]
                status = connection.receive()
                if status is None:
                    continue
                now = time.perf_counter()
                latencies.append(now - connection.sent)
                statuses[status] = statuses.get(status, 0) + 1
                if now < started + seconds:
                    connection.send(request(number))
                    number += 1
                else:
                    poll.unregister(handle)
                    running.pop(handle).socket.close()
    return Load(
        statuses=statuses,
        seconds=time.perf_counter() - started,
        latencies=tuple(sorted(latencies)),
        cpu_seconds=time.process_time() - cpu,
    )


def paced(port: int, request: Callable[[int], bytes], *, connections: int, seconds: float, pace: float) -> Load:
    """Send ``request(n)`` ``pace`` times a second for ``seconds``, each when it is due and a connection is free."""
    statuses: dict[int, int] = {}
    latencies: list[float] = []
    cpu, started, number = time.process_time(), time.perf_counter(), 0
    free = [_Connection(socket=socket.create_connection(("127.0.0.1", port))) for _ in range(connections)]
    busy: dict[int, _Connection] = {}
    with select.epoll() as poll:
        for each in free:
            poll.register(each.socket, select.EPOLLIN)
        while busy or time.perf_counter() < started + seconds:
            while free and time.perf_counter() >= (due := started + number / pace) and due < started + seconds:
                connection = free.pop(0)  # By turns, so that none rests until the server hangs up.
                busy[connection.socket.fileno()] = connection
                connection.send(request(number))
                number += 1
            next_due = started + number / pace - time.perf_counter()
            for handle, _ in poll.poll(min(_PATIENCE, max(0.0, next_due)) if free else _PATIENCE):
                status = busy[handle].receive()
                if status is not None:
                    connection = busy.pop(handle)
                    latencies.append(time.perf_counter() - connection.sent)
                    statuses[status] = statuses.get(status, 0) + 1
                    free.append(connection)
        for each in free:
            each.socket.close()
    return Load(
        statuses=statuses,
        seconds=time.perf_counter() - started,
        latencies=tuple(sorted(latencies)),
        cpu_seconds=time.process_time() - cpu,
    )
