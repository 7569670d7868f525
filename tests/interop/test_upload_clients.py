"""Clients of TUS that nobody here wrote, unmodified, on a line that breaks off: npm's tus-js-client and PyPI's tuspy.

Each connection leads to another node of the same store. ``make uploads-full`` sends 300 MB, the suite a few.
"""

from __future__ import annotations

import http.client
import itertools
import json
import os
import random
import shutil
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from client_maker import run
from stage import BAUANTRAG, BAUEN, TAUNUSSTEIN, Stage, serving
from tusclient import client as tuspy
from tusclient.exceptions import TusCommunicationError, TusUploadFailed

from hub import app
from hub.config import load_settings
from hub.crypto import JweReader, read_decryption_key

HERE = Path(__file__).parent / "uploads"
SIZE = int(os.environ.get("UPLOAD_MEGABYTES", "4")) * 1_000_000
BREAKS = 5
pytestmark = pytest.mark.timeout(120 if SIZE < 10_000_000 else 900)


class Line:
    """A line from the client to the nodes, by turns, that breaks off when so many bytes more went up."""

    def __init__(self, *ports: int) -> None:
        self._nodes = itertools.cycle(ports)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.cuts: list[int] = []
        self.spoil = 0
        self.broken = 0
        self._up = 0
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._listener.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                here, _ = self._listener.accept()
                there = socket.create_connection(("127.0.0.1", next(self._nodes)))
                for source, target, up in ((here, there, True), (there, here, False)):
                    threading.Thread(target=self._carry, args=(source, target, up), daemon=True).start()

    def _carry(self, source: socket.socket, target: socket.socket, up: bool) -> None:
        with suppress(OSError):
            while piece := source.recv(65536):
                if up:
                    self._up += len(piece)
                    if self.spoil and len(piece) > 10_000:
                        self.spoil -= 1
                        piece = piece[:-1] + bytes([piece[-1] ^ 1])
                    if self.cuts and self._up > self.cuts[0]:
                        self._up = 0
                        self.cuts.pop(0)
                        self.broken += 1
                        break
                target.sendall(piece)
        for end in (source, target):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()


@contextmanager
def two_nodes(stage: Stage) -> Iterator[tuple[Any, Line]]:
    settings = load_settings(stage.data, {}, allow_private_addresses=True, disk_watermark_bytes=0)
    other = Stage(hub=app.build(settings, clock=stage.clock), clock=stage.clock, cast=stage.cast, data=stage.data)
    with serving(stage) as first, serving(other) as second:
        ports = [urlsplit(each.base_url).port for each in (first, second)]
        line = Line(*(port for port in ports if port is not None))
        yield first, line
        line.close()


@pytest.fixture
def content(tmp_path: Path) -> Path:
    file = tmp_path / "Lageplan.pdf"
    source = random.Random(1)
    with file.open("wb") as target:
        for _ in range(SIZE // 1_000_000):
            target.write(source.randbytes(1_000_000))
    return file


def token_of(served: Any) -> str:
    return str(served.session.headers["Authorization"].removeprefix("Bearer "))


def taken(served: Any, file: Path, *urls: str) -> bool:
    """Whether an application with these uploads is accepted, and its receiver finds the file in each."""
    notes = {f"plan-{number}": {"upload": url} for number, url in enumerate(urls)}
    answer = served.post(
        "/hub/v1/applications",
        params={"service": BAUEN, "ars": TAUNUSSTEIN},
        files={
            "data": ("a.xml", BAUANTRAG, "application/xml"),
            "metadata": ("m", json.dumps({"attachments": notes}), "application/json"),
        },
    )
    assert answer.status_code == 202, answer.text
    stage, content = served.stage, file.read_bytes()
    contents = stage.hub.store.submissions.message(answer.json()["submissionId"]).contents
    key = read_decryption_key(stage.destination("Rheingau")["private_decryption_jwk"], written_by_us=True)
    found = [
        b"".join(JweReader(partial(stage.hub.blobs.chunks, each), [key], max_output=10**9).plaintext())
        for each in contents.attachments.values()
    ]
    return [len(each) for each in found] == [len(content)] * len(urls) and all(each == content for each in found)


def test_tus_js_client_survives_five_breaks_and_another_node(stage, content):
    if not shutil.which("npm"):
        pytest.skip("no npm on this machine")
    run("npm", "ci", "--silent", folder=HERE, optional=True)
    with two_nodes(stage) as (served, line):
        line.cuts = [SIZE // 8] * BREAKS
        endpoint = f"http://127.0.0.1:{line.port}/hub/v1/uploads"
        old = tuspy.TusClient(
            f"{served.base_url}/hub/v1/uploads", headers={"Authorization": f"Bearer {token_of(served)}"}
        )
        with content.open("rb") as file:
            expired = old.uploader(file_stream=file).create_url()
        stage.hub.uploads.drop(expired.rpartition("/")[2], stage.sender)
        wish = {"endpoint": endpoint, "token": token_of(served), "file": str(content), "expired": expired}
        said = json.loads(run("node", "send.mjs", json.dumps(wish), folder=HERE))
        assert (line.broken, line.cuts) == (BREAKS, [])
        assert said["retried"] >= BREAKS
        assert said["gone"] == 404
        head = served.session.head(said["ended"].replace(str(line.port), served.base_url.rpartition(":")[2]))
        assert head.status_code in {404, 412}
        assert taken(served, content, said["broken"], said["parallel"])


def test_tuspy_survives_breaks_spoilt_bytes_and_a_pause_of_days(stage, content):
    with two_nodes(stage) as (served, line), content.open("rb") as file:
        client = tuspy.TusClient(
            f"http://127.0.0.1:{line.port}/hub/v1/uploads", headers={"Authorization": f"Bearer {token_of(served)}"}
        )
        line.cuts = [SIZE // 8] * BREAKS
        more: dict[str, Any] = {"chunk_size": SIZE // 5, "retries": 40, "retry_delay": 0.1, "upload_checksum": True}
        first = client.uploader(file_stream=file, metadata={"filename": "Lageplan.pdf"}, **more)
        first.upload(stop_at=SIZE // 2)
        stage.clock.pass_(days=5)
        client.set_headers({"Authorization": f"Bearer {served.token('sender')}"})
        served.session.headers["Authorization"] = f"Bearer {served.token('sender')}"
        line.spoil = 1
        later = client.uploader(file_stream=file, url=first.url, **more)
        assert later.offset == first.offset > 0, "what came is there, days later and at another node"
        later.upload()
        assert line.spoil == 0, "a byte was spoilt on its way, and its chunk was sent again"
        assert taken(served, content, first.url)
        with pytest.raises(TusCommunicationError):
            client.uploader(file_stream=file, url=first.url)
        late = client.uploader(file_stream=file, chunk_size=1000)
        late.upload(stop_at=1000)
        stage.clock.pass_(days=8)
        client.set_headers({"Authorization": f"Bearer {served.token('sender')}"})
        with pytest.raises(TusUploadFailed):
            late.upload(stop_at=2000)


def test_tuspy_is_told_of_a_wrong_offset_and_of_another_writer(stage, content):
    with two_nodes(stage) as (served, _line), content.open("rb") as file:
        headers = {"Authorization": f"Bearer {token_of(served)}"}
        client = tuspy.TusClient(f"{served.base_url}/hub/v1/uploads", headers=headers)
        first = client.uploader(file_stream=file, chunk_size=1000)
        first.upload_chunk()
        stray = client.uploader(file_stream=file, url=first.url, chunk_size=1000)
        stray.offset = 500
        with pytest.raises(TusUploadFailed) as refused:
            stray.upload_chunk()
        assert refused.value.status_code == 409
        assert other_writer_is_refused(client, first.url, file, headers)


def other_writer_is_refused(client: Any, url: str, file: Any, headers: dict[str, str]) -> bool:
    """Whether the client hears 423 while somebody else is in the middle of a chunk."""
    place = urlsplit(url)
    for pause in (0.2, 1, 5, 20):  # Nobody says when the hub has begun to read.
        later = client.uploader(file_stream=file, url=url, chunk_size=1000)
        holder = http.client.HTTPConnection(place.hostname or "", place.port or 0, timeout=30)
        holder.putrequest("PATCH", place.path)
        fields = {"Tus-Resumable": "1.0.0", "Content-Type": "application/offset+octet-stream", "Content-Length": "1000"}
        for name, value in {**headers, **fields, "Upload-Offset": str(later.offset)}.items():
            holder.putheader(name, value)
        holder.endheaders()
        holder.send(b"x" * 10)  # It goes on writing, and does not end.
        time.sleep(pause)
        try:
            later.upload_chunk()
        except TusUploadFailed as refused:
            return refused.status_code == 423
        finally:
            holder.close()
    return False
