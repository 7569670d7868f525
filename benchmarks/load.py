"""A small load generator: many kept-open HTTP/1.1 connections, one request at a time on each.

Made by hand because it shares two cores with what it measures: general clients cost more than the server.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class Load:
    """What was seen: answers by status, seconds, and the latency of each answer in seconds, sorted."""

    statuses: dict[int, int]
    seconds: float
    latencies: tuple[float, ...]

    def rate(self, status: int) -> float:
        """Answers of ``status`` a second."""
        return self.statuses.get(status, 0) / self.seconds

    def percentile(self, share: float) -> float:
        """Latency in milliseconds that ``share`` of the answers do not exceed."""
        return 1000 * self.latencies[min(len(self.latencies) - 1, int(len(self.latencies) * share))]


def post(port: int, request: Callable[[int], bytes], *, connections: int, seconds: float) -> Load:
    """Send ``request(n)`` over and over for ``seconds``; bounded by that time and by nothing else."""
    return asyncio.run(_run(port, request, connections, seconds))


async def _run(port: int, request: Callable[[int], bytes], connections: int, seconds: float) -> Load:
    statuses: dict[int, int] = {}
    latencies: list[float] = []
    counter = iter(range(10**9))
    started = time.perf_counter()
    end = started + seconds

    async def one() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        while time.perf_counter() < end:
            sent = time.perf_counter()
            writer.write(request(next(counter)))
            head = await reader.readuntil(b"\r\n\r\n")
            length = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
            await reader.readexactly(length)
            latencies.append(time.perf_counter() - sent)
            status = int(head[9:12])
            statuses[status] = statuses.get(status, 0) + 1
        writer.close()

    await asyncio.gather(*(one() for _ in range(connections)))
    return Load(statuses=statuses, seconds=time.perf_counter() - started, latencies=tuple(sorted(latencies)))
