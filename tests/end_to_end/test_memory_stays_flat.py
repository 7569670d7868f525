"""Large attachments through a real process: streamed both ways, refused early, never in memory as a whole, gone if broken."""

from __future__ import annotations

import hashlib
import json
import resource
import shutil
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Self
from uuid import uuid4

import pytest
import requests
from processes import HubProcess, wait_for

from hub.crypto.jwe import encrypt
from hub.crypto.jwk import public_rsa_key
from hub.crypto.keys import EncryptionKey

SERVICE = "urn:de:fim:leika:leistung:99012008001000"
#: Each of the parallel attachments, in bytes of the sealed form; several times what memory may grow by.
SIZE, PARALLEL = 96_000_000, 3
GROWTH_MIB = 64
_PIECE = 1_000_000

pytestmark = pytest.mark.timeout(300)


@pytest.fixture(scope="module")
def running(made_once: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[HubProcess]:
    data = tmp_path_factory.mktemp("memory") / "data"
    shutil.copytree(made_once, data)
    with HubProcess(data) as process:
        yield process


@pytest.fixture(scope="module")
def party(running: HubProcess) -> dict[str, requests.Session]:
    cast = json.loads((running.data / "demo.json").read_text())
    found = {}
    for name in ("sender", "subscriber"):
        login = {"grant_type": "client_credentials", **{k: cast[name][k] for k in ("client_id", "client_secret")}}
        token = requests.post(f"{running.base_url}/token", data=login, timeout=30).json()["access_token"]
        found[name] = requests.Session()
        found[name].headers["Authorization"] = f"Bearer {token}"
    return found


class Sealing:
    """The demo's mailbox: its id, and JWEs for it."""

    def __init__(self, running: HubProcess) -> None:
        cast = json.loads((running.data / "demo.json").read_text())
        self.destination_id = next(one["destination_id"] for one in cast["destinations"] if one["adapter"] == "mailbox")
        base = f"{running.base_url}/v2/destinations/{self.destination_id}"
        kid = requests.get(base, timeout=30).json()["encryptionKid"]
        jwk = requests.get(f"{base}/keys/{kid}", timeout=30).json()
        self._key = EncryptionKey(kid=jwk["kid"], jwk=jwk, public_key=public_rsa_key(jwk))

    def jwe(self, content: bytes = b"{}") -> str:
        return encrypt(self._key, content, "application/json")[0].decode()

    def pieces(self, size: int) -> Iterator[bytes]:
        """A JWE of about ``size`` bytes, made piece by piece: the hub cannot open it, so its ciphertext may be anything."""
        *front, _ciphertext, tag = self.jwe().split(".")
        yield (".".join(front) + ".").encode()
        for number in range(size // _PIECE):
            yield (f"{number:08d}" * (_PIECE // 8)).encode()
        yield f".{tag}".encode()


@pytest.fixture(scope="module")
def sealing(running: HubProcess) -> Sealing:
    return Sealing(running)


def announce(running: HubProcess, party: dict[str, requests.Session], sealing: Sealing, *ids: str) -> str:
    body = {
        "destinationId": sealing.destination_id,
        "announcedAttachments": list(ids),
        "publicService": {"identifier": SERVICE},
    }
    answer = party["sender"].post(f"{running.base_url}/v2/submissions", json=body, timeout=30)
    assert answer.status_code == 201, answer.text
    path: str = f"{running.base_url}/v2/submissions/{answer.json()['submissionId']}"
    return path


class Watch:
    """The most that a process's memory grows by while a block runs, in MiB."""

    def __init__(self, process: HubProcess) -> None:
        self._status = Path(f"/proc/{process.process.pid}/status")
        self._over = threading.Event()
        self.grown = 0.0

    def __enter__(self) -> Self:
        self._before = self._resident()
        self._thread = threading.Thread(target=self._look)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._over.wait(0.02):
            self.grown = max(self.grown, self._resident() - self._before)

    def _resident(self) -> float:
        return int(self._status.read_text().partition("VmRSS:")[2].split()[0]) / 1024


def test_parallel_uploads_and_downloads_leave_memory_flat(
    running: HubProcess, party: dict[str, requests.Session], sealing: Sealing
):
    if not Path("/proc/self/status").exists():
        pytest.skip("the memory of a process is read from /proc")
    ids = [str(uuid4()) for _ in range(PARALLEL)]
    path = announce(running, party, sealing, *ids)
    headers = {"Content-Type": "application/jose"}
    authorization = {name: dict(session.headers) for name, session in party.items()}

    def upload(attachment_id: str) -> tuple[int, str]:
        digest = hashlib.sha512()

        def read() -> Iterator[bytes]:
            for piece in sealing.pieces(SIZE):
                digest.update(piece)
                yield piece

        url, sent = f"{path}/attachments/{attachment_id}", authorization["sender"] | headers
        return requests.put(url, data=read(), headers=sent, timeout=200).status_code, digest.hexdigest()

    def download(attachment_id: str) -> str:
        digest = hashlib.sha512()
        url = f"{path}/attachments/{attachment_id}"
        with requests.get(url, headers=authorization["subscriber"], stream=True, timeout=200) as answer:
            assert answer.status_code == 200, answer.text
            for piece in answer.iter_content(_PIECE):
                digest.update(piece)
        return digest.hexdigest()

    with ThreadPoolExecutor(PARALLEL) as pool:
        assert upload(ids[0])[0] == 204  # Once before the watch: buffers and threads are there to stay.
        with Watch(running) as up:
            uploaded = list(pool.map(upload, ids))
        parts = {"encryptedMetadata": sealing.jwe(), "encryptedData": sealing.jwe()}
        assert party["sender"].put(path, json=parts, timeout=60).status_code == 200
        with Watch(running) as down:
            downloaded = list(pool.map(download, ids))
    assert [status for status, _ in uploaded] == [204] * PARALLEL
    assert downloaded == [digest for _, digest in uploaded]
    assert (up.grown < GROWTH_MIB, down.grown < GROWTH_MIB) == (True, True), (up.grown, down.grown)


def test_a_body_that_says_it_is_too_large_is_refused_before_it_comes(
    running: HubProcess, party: dict[str, requests.Session], sealing: Sealing
):
    attachment_id = str(uuid4())
    path = announce(running, party, sealing, attachment_id).removeprefix(running.base_url)
    head = {
        "Host": "127.0.0.1",
        "Authorization": party["sender"].headers["Authorization"],
        "Content-Type": "application/jose",
        "Content-Length": "500000001",
    }
    lines = [f"PUT {path}/attachments/{attachment_id} HTTP/1.1", *(f"{k}: {v}" for k, v in head.items()), "", ""]
    with socket.create_connection(("127.0.0.1", running.port), timeout=20) as line:
        line.sendall("\r\n".join(lines).encode("latin-1"))
        answer = line.recv(65_536)
    assert answer.startswith(b"HTTP/1.1 413 ")


def test_a_body_that_does_not_say_how_large_it_is_is_counted(
    running: HubProcess, party: dict[str, requests.Session], sealing: Sealing
):
    """501 pieces of a megabyte without a length: the answer comes when the limit is reached, and nothing is kept."""
    attachment_id = str(uuid4())
    path = announce(running, party, sealing, attachment_id).removeprefix(running.base_url)
    before = _kept(running)
    head = (
        f"PUT {path}/attachments/{attachment_id} HTTP/1.1\r\nHost: 127.0.0.1\r\n"
        f"Authorization: {party['sender'].headers['Authorization']}\r\n"
        "Content-Type: application/jose\r\nTransfer-Encoding: chunked\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", running.port), timeout=60) as line:
        line.sendall(head.encode("latin-1"))
        _pour(line, sealing.pieces(502_000_000))
        answer = line.recv(65_536)
    assert answer.startswith(b"HTTP/1.1 413 ")
    wait_for(lambda: _kept(running) == before, running.log)


def _put(running: HubProcess, party: dict[str, requests.Session], sealing: Sealing, size: int) -> str:
    """The head of an upload of ``size`` bytes to a new submission."""
    attachment_id = str(uuid4())
    path = announce(running, party, sealing, attachment_id).removeprefix(running.base_url)
    return (
        f"PUT {path}/attachments/{attachment_id} HTTP/1.1\r\nHost: 127.0.0.1\r\n"
        f"Authorization: {party['sender'].headers['Authorization']}\r\n"
        f"Content-Type: application/jose\r\nContent-Length: {size}\r\n\r\n"
    )


def test_a_sender_that_goes_away_midway_leaves_nothing(
    running: HubProcess, party: dict[str, requests.Session], sealing: Sealing
):
    before = _kept(running)
    head = _put(running, party, sealing, 60_000_000)
    with socket.create_connection(("127.0.0.1", running.port), timeout=60) as line:
        line.sendall(head.encode("latin-1"))
        for piece in sealing.pieces(30_000_000):
            line.sendall(piece)
        wait_for(lambda: _kept(running) != before, running.log)
    wait_for(lambda: _kept(running) == before, running.log)


def test_a_disk_that_takes_no_more_midway_is_told_and_leaves_nothing(
    running: HubProcess, party: dict[str, requests.Session], sealing: Sealing
):
    before = _kept(running)
    content = b"".join(sealing.pieces(40_000_000))
    pid, limits = running.process.pid, resource.prlimit(running.process.pid, resource.RLIMIT_FSIZE)

    def upload() -> bytes:
        head = _put(running, party, sealing, len(content))
        with socket.create_connection(("127.0.0.1", running.port), timeout=60) as line:
            line.sendall(head.encode("latin-1") + content)
            return line.recv(65_536)

    resource.prlimit(pid, resource.RLIMIT_FSIZE, (24_000_000, limits[1]))
    try:
        refused = upload()
    finally:
        resource.prlimit(pid, resource.RLIMIT_FSIZE, limits)
    assert refused.startswith(b"HTTP/1.1 503 ")
    wait_for(lambda: _kept(running) == before, running.log)
    assert upload().startswith(b"HTTP/1.1 204 ")


def _pour(line: socket.socket, pieces: Iterator[bytes]) -> None:
    try:
        for piece in pieces:
            line.sendall(f"{len(piece):x}\r\n".encode() + piece + b"\r\n")
    except ConnectionError:
        return  # The answer came before the end.
    line.sendall(b"0\r\n\r\n")


def _kept(running: HubProcess) -> set[Any]:
    return {file.name for file in (running.data / "blobs").rglob("*") if file.is_file()}
