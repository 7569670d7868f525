"""Attachments up and down, 1 and 4 at once, beside a server that only streams and syncs; and the memory that it takes.

Raw and hub run in turns on the same disk, and what either has stored stays there to the end: a file that is deleted leaves
warm memory behind, in which the next one is written twice as fast. What is sent is one real JWE; the hub reads its header,
checks every character of it, and hashes it on the way in.
"""

from __future__ import annotations

import os
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import uuid4

import requests

from benchmarks import payload
from benchmarks.sealed import announcement
from benchmarks.served import Served, prepare_data, running, sealing_key, serving
from hub.crypto.jose import encrypt
from hub.crypto.jwe import JweWriter

_PARALLEL = (1, 4)
_PIECE = 1024 * 1024
_TURNS = 2
_MOST_GROWTH = 64
_AIM = 0.6


def run(*, megabytes: int) -> dict[str, Any]:
    """Measure and print; return the figures."""
    message = payload.message()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        jwk = prepare_data(folder / "data", message)
        jwe = folder / "attachment.jwe"
        _write_jwe(jwe, sealing_key(jwk), megabytes * 1_000_000)
        port = 19_480 + os.getpid() % 1000
        os.environ["RAW_FOLDER"] = str(folder)
        command = [sys.executable, "-m", "uvicorn", "benchmarks.raw_stream:application", "--port", str(port)]
        command += ["--no-access-log", "--log-level", "warning", "--lifespan", "off"]
        with running(command, port, path="/"), serving(folder / "data", work=False) as served:
            return _report(_Hub(served, sealing_key(jwk)), port, jwe, megabytes)


def _report(hub: _Hub, raw_port: int, jwe: Path, megabytes: int) -> dict[str, Any]:
    print(f"attachments: {megabytes} MB each")
    results: dict[str, Any] = {"attachment_megabytes": megabytes}
    for parallel in _PARALLEL:
        raw: dict[str, list[float]] = {"up": [], "down": []}
        ours: dict[str, list[float]] = {"up": [], "down": []}
        with hub.served.watched() as grown:
            for _ in range(_TURNS):
                names = [uuid4().hex for _ in range(parallel)]
                raw["up"].append(_all([_upload(raw_port, f"/{name}", "", jwe) for name in names]))
                raw["down"].append(_all([_download(raw_port, f"/{name}", "", jwe) for name in names]))
                paths = hub.announce(parallel)
                ours["up"].append(_all([_upload(hub.served.port, path, hub.sender, jwe) for path in paths]))
                hub.submit(paths[0])
                ours["down"].append(_all([_download(hub.served.port, path, hub.subscriber, jwe) for path in paths]))
        for way in ("up", "down"):
            ratio = min(raw[way]) / min(ours[way])
            speed = megabytes * parallel / min(ours[way])
            print(
                f"  {way:4} {parallel} at once: raw {megabytes * parallel / min(raw[way]):5.0f} MB/s, hub {speed:5.0f} MB/s, "
                f"ratio {ratio:.2f} (aim {_AIM})"
            )
            results |= {
                f"attachment_{way}_{parallel}_ratio": ratio,
                f"attachment_{way}_{parallel}_mb_per_second": speed,
            }
        print(f"  memory at {parallel} at once: +{grown[0]:.0f} MiB (aim: at most {_MOST_GROWTH})")
        results[f"attachment_{parallel}_growth_mib"] = grown[0]
    print()
    return results


class _Hub:
    """The hub's side: announces, names paths, submits."""

    def __init__(self, served: Served, key: Any) -> None:
        self.served = served
        self.sender, self.subscriber = served.token("sender"), served.token("subscriber")
        content = encrypt(key, b'{"contentStructure": {}}', "application/json")[0].decode()
        self._contents = {"encryptedMetadata": content, "encryptedData": content}
        self._base = "/submission-api/v2/submissions"

    def announce(self, count: int) -> list[str]:
        """Announce a submission; return its attachments' paths."""
        ids = [str(uuid4()) for _ in range(count)]
        answer = self._call("POST", self._base, announcement(*ids))
        return [f"{self._base}/{answer.json()['submissionId']}/attachments/{one}" for one in ids]

    def submit(self, path: str) -> None:
        """Complete the submission of an attachment's path."""
        self._call("PUT", path.partition("/attachments/")[0], self._contents)

    def _call(self, method: str, path: str, body: dict[str, Any]) -> requests.Response:
        headers = {"Authorization": f"Bearer {self.sender}"}
        url = f"http://127.0.0.1:{self.served.port}{path}"
        answer = requests.request(method, url, json=body, headers=headers, timeout=60)
        assert answer.ok, answer.text
        return answer


def _all(transfers: list[Callable[[], None]]) -> float:
    """Run all at once; return the seconds until the last has ended."""
    failed: list[BaseException] = []

    def one(transfer: Callable[[], None]) -> None:
        try:
            transfer()
        except BaseException as error:  # noqa: BLE001  # told to the thread that waits
            failed.append(error)

    threads = [threading.Thread(target=one, args=[transfer]) for transfer in transfers]
    started = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failed:
        raise failed[0]
    return time.perf_counter() - started


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
