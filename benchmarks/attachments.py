"""Attachments up and down, 1 and 4 at once, beside a server that only streams and syncs; and the memory that it takes.

Raw and hub run in turns on the same disk and in the same order of steps; who begins changes from turn to turn, and ratios are
taken between neighbours. Before each upload as much memory as it will fill is touched and given back, and what was stored is
deleted after its download: so both write into memory that the machine has at hand. In a virtual machine a page that was never
used costs ten times its copy: that would hide what either does, and spare it to whoever comes second after a deletion. What is
sent is one real JWE; the hub reads its header, checks every character of it, and hashes it on the way in.
"""

from __future__ import annotations

import mmap
import os
import socket
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import requests

from benchmarks import payload
from benchmarks.sealed import announcement
from benchmarks.served import Served, prepare_data, running, sealing_key, serving
from hub.crypto import JweWriter, encrypt

_PARALLEL = (1, 4)
_PIECE = 1024 * 1024
_TURNS = 3
_MOST_GROWTH = 64
_AIM = 0.6
_WAYS = ("up", "down")


@dataclass(frozen=True, kw_only=True, slots=True)
class Run:
    """One way of one side: seconds until the last transfer had ended, and CPU seconds of the server."""

    seconds: float
    cpu: float


def run(*, megabytes: int, turns: int = _TURNS) -> dict[str, Any]:
    """Measure and print; return the figures."""
    message = payload.message()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        jwk = prepare_data(folder / "data", message)
        jwe = folder / "attachment.jwe"
        _write_jwe(jwe, sealing_key(jwk), megabytes * 1_000_000)
        (folder / "raw").mkdir()
        port = 19_480 + os.getpid() % 1000
        os.environ["RAW_FOLDER"] = str(folder / "raw")
        command = [sys.executable, "-m", "uvicorn", "benchmarks.raw_stream:application", "--port", str(port)]
        command += ["--no-access-log", "--log-level", "warning", "--lifespan", "off"]
        with running(command, port, path="/") as process, serving(folder / "data", work=False) as served:
            raw = _Raw(Served(pid=process.pid, port=port, data=folder / "raw"))
            return _report(raw, _Hub(served, sealing_key(jwk)), jwe, megabytes, turns)


def _report(raw: _Raw, hub: _Hub, jwe: Path, megabytes: int, turns: int) -> dict[str, Any]:
    print(f"attachments: {megabytes} MB each, median of {turns} turns")
    results: dict[str, Any] = {"attachment_megabytes": megabytes}
    for parallel in _PARALLEL:
        sides: list[_Raw | _Hub] = [raw, hub]
        runs: dict[_Raw | _Hub, list[dict[str, Run]]] = {raw: [], hub: []}
        others, begun = _others(sides), time.perf_counter()
        with hub.served.watched() as grown:
            for _ in range(turns):
                for side in sides:
                    runs[side].append(_turn(side, parallel, jwe))
                sides.reverse()
        lost = (_others(sides) - others) / (time.perf_counter() - begun) / (os.cpu_count() or 1)
        for way in _WAYS:
            pairs = [(one[way], other[way]) for one, other in zip(runs[raw], runs[hub], strict=True)]
            results |= _figures(way, parallel, pairs, megabytes * parallel)
        print(
            f"  memory at {parallel} at once: +{grown[0]:.0f} MiB (aim: at most {_MOST_GROWTH}); "
            f"{lost:.0%} of the cores went to others"
        )
        results |= {f"attachment_{parallel}_growth_mib": grown[0], f"attachment_{parallel}_cores_lost": lost}
    print()
    return results


def _figures(way: str, parallel: int, pairs: list[tuple[Run, Run]], megabytes: int) -> dict[str, Any]:
    """Print one line; ``pairs`` are raw and hub, turn by turn."""
    ratios = [raw.seconds / hub.seconds for raw, hub in pairs]
    ratio = statistics.median(ratios)
    speeds, costs = zip(
        *(
            (
                megabytes / statistics.median(one.seconds for one in side),
                1000 * statistics.median(one.cpu for one in side) / megabytes,
            )
            for side in zip(*pairs, strict=True)
        ),
        strict=True,
    )
    print(
        f"  {way:4} {parallel} at once: raw {speeds[0]:5.0f} MB/s at {costs[0]:.2f} ms CPU a MB, "
        f"hub {speeds[1]:5.0f} MB/s at {costs[1]:.2f}, ratio {ratio:.2f} "
        f"(turns {', '.join(f'{one:.2f}' for one in ratios)}; aim {_AIM})"
    )
    name = f"attachment_{way}_{parallel}"
    return {
        f"{name}_ratio": ratio,
        f"{name}_ratios": ratios,
        f"{name}_mb_per_second": speeds[1],
        f"{name}_raw_mb_per_second": speeds[0],
        f"{name}_cpu_ms": costs[1],
        f"{name}_raw_cpu_ms": costs[0],
    }


def _turn(side: _Raw | _Hub, parallel: int, jwe: Path) -> dict[str, Run]:
    """Send, fetch, and delete ``parallel`` attachments."""
    paths, port = side.begin(parallel), side.served.port
    _touch(parallel * jwe.stat().st_size)
    found = {"up": all_at_once(side.served, [_upload(port, path, side.sender, jwe) for path in paths])}
    side.complete(paths)
    found["down"] = all_at_once(side.served, [_download(port, path, side.receiver, jwe) for path in paths])
    side.forget()
    return found


def _others(sides: list[_Raw | _Hub]) -> float:
    """Return the CPU seconds so far of whatever is neither measured nor measures: neighbours, and the kernel's own threads."""
    fields = Path("/proc/stat").read_text(encoding="ascii").splitlines()[0].split()
    user, nice, system, _idle, _waiting, irq, softirq = map(int, fields[1:8])
    busy = (user + nice + system + irq + softirq) / os.sysconf("SC_CLK_TCK")
    return busy - sum(side.served.cpu_seconds() for side in sides) - time.process_time()


def _touch(size: int) -> None:
    """Use ``size`` bytes of memory and give them back."""
    with mmap.mmap(-1, size) as memory:
        for at in range(0, size, mmap.PAGESIZE):
            memory[at] = 1


class _Raw:
    """The yardstick's side."""

    sender = receiver = ""

    def __init__(self, served: Served) -> None:
        self.served = served

    def begin(self, count: int) -> list[str]:
        """Return paths to send to."""
        return [f"/{uuid4().hex}" for _ in range(count)]

    def complete(self, paths: list[str]) -> None:
        """Do nothing: what was sent can be fetched."""

    def forget(self) -> None:
        """Delete what was sent."""
        emptied(self.served.data)


class _Hub:
    """The hub's side: announces, names paths, submits."""

    def __init__(self, served: Served, key: Any) -> None:
        self.served = served
        self.sender, self.receiver = served.token("sender"), served.token("subscriber")
        content = encrypt(key, b'{"contentStructure": {}}', "application/json")[0].decode()
        self._contents = {"encryptedMetadata": content, "encryptedData": content}
        self._base = "/submission-api/v2/submissions"

    def begin(self, count: int) -> list[str]:
        """Announce a submission; return its attachments' paths."""
        ids = [str(uuid4()) for _ in range(count)]
        answer = self._call("POST", self._base, announcement(*ids))
        return [f"{self._base}/{answer.json()['submissionId']}/attachments/{one}" for one in ids]

    def complete(self, paths: list[str]) -> None:
        """Complete the submission of the attachments."""
        self._call("PUT", paths[0].partition("/attachments/")[0], self._contents)

    def forget(self) -> None:
        """Delete the contents, behind the hub's back."""
        emptied(self.served.data / "blobs")

    def _call(self, method: str, path: str, body: dict[str, Any]) -> requests.Response:
        headers = {"Authorization": f"Bearer {self.sender}"}
        url = f"http://127.0.0.1:{self.served.port}{path}"
        answer = requests.request(method, url, json=body, headers=headers, timeout=60)
        assert answer.ok, answer.text
        return answer


def emptied(folder: Path) -> None:
    for file in folder.rglob("*"):
        if file.is_file():
            file.unlink()


def all_at_once(served: Served, transfers: list[Callable[[], None]]) -> Run:
    """Run all at once, and tell what it took until the last had ended."""
    with ThreadPoolExecutor(len(transfers)) as pool:
        cpu, started = served.cpu_seconds(), time.perf_counter()
        for ended in [pool.submit(transfer) for transfer in transfers]:
            ended.result()
        return Run(seconds=time.perf_counter() - started, cpu=served.cpu_seconds() - cpu)


def _upload(port: int, path: str, token: str, jwe: Path) -> Callable[[], None]:
    def transfer() -> None:
        with socket.create_connection(("127.0.0.1", port)) as connection, jwe.open("rb") as file:
            head = f"Content-Type: application/jose\r\nContent-Length: {jwe.stat().st_size}\r\n"
            connection.sendall(_head("PUT", path, token, head))
            connection.sendfile(file)
            answer = connection.recv(65536)
            assert answer[9:10] == b"2", answer

    return transfer


def _download(port: int, path: str, token: str, jwe: Path) -> Callable[[], None]:
    def transfer() -> None:
        with socket.create_connection(("127.0.0.1", port)) as connection:
            connection.sendall(_head("GET", path, token, "Accept: application/jose\r\n"))
            buffer = bytearray(_PIECE)
            size = connection.recv_into(buffer)
            assert buffer[9:10] == b"2", bytes(buffer[:size])
            while got := connection.recv_into(buffer):
                size += got
            assert size > jwe.stat().st_size

    return transfer


def _head(method: str, path: str, token: str, more: str) -> bytes:
    authorization = f"Authorization: Bearer {token}\r\n" if token else ""
    return f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n{authorization}{more}\r\n".encode()


def _write_jwe(target: Path, key: Any, size: int) -> None:
    """Write a JWE of about ``size`` bytes; random content, as if it were a compressed picture."""
    with target.open("wb") as file:
        writer = JweWriter(key, content_type="application/pdf", sink=file.write)
        left = size * 3 // 4 - 4096
        while left > 0:
            piece = os.urandom(min(left, _PIECE))
            writer.write(piece)
            left -= len(piece)
        writer.finish()
