"""``make bench-memory``: what a serving process holds after hostile and heavy input, beside what it held when it was fresh.

Real ``hub serve`` processes on loopback, one build after the other, each in the state that its own code makes. Every step is
bounded and ends with what the process holds then; at the end it is left alone for a while, as an allocator and a collector
need. With ``BASE=PATH`` another checkout of the hub, with a ``.venv`` of its own, goes through the same first.
"""

from __future__ import annotations

import argparse
import base64
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any
from uuid import uuid4

import requests

from benchmarks.payload import building_application
from benchmarks.served import Served, running

_ROOT = Path(__file__).parents[1]
_BUILDING = "urn:de:fim:leika:leistung:99012008001000"
_MOVING = "urn:de:fim:leika:leistung:99115005104000"
_TAUNUSSTEIN, _WIESBADEN = "064390015015", "064140000000"
_MEGA = 1_000_000
#: Requests of one kind that are under way at once.
_AT_ONCE = 2
#: Seconds that a process is left alone before its memory is looked at for the last time.
_QUIET = 16
_AIM = 1.5
#: An element of which millions do not fill the machine.
_SMALL = b"<b c='" + b"d" * 40 + b"'>" + b"e" * 44 + b"</b>"
_PREPARE = """
import sys
from pathlib import Path
from hub import app
from hub.config import load_settings
from hub.demo.cast import prepare
hub = app.build(load_settings(Path(sys.argv[1]), {}))
prepare(hub, say=lambda _: None)
hub.close()
"""
Step = tuple[str, Callable[[], None], int]


@dataclass(frozen=True, kw_only=True, slots=True)
class Held:
    """MiB that a process held: when it was fresh, at the highest, after each step, and at the end."""

    fresh: float
    peak: float
    steps: dict[str, float]
    after: float

    @property
    def ratio(self) -> float:
        """What it holds at the end, beside what it held when it was fresh."""
        return self.after / self.fresh


class _Load:
    """What is sent to one server. Whatever it answers is right: it is its memory that counts."""

    def __init__(self, server: Served) -> None:
        self._url = f"http://127.0.0.1:{server.port}"
        self._token = {"Authorization": f"Bearer {server.token('sender')}"}
        cast = json.loads((server.data / "demo.json").read_text(encoding="utf-8"))
        self._mailbox = next(each for each in cast["destinations"] if each["adapter"] == "mailbox")
        self.answers: dict[int, int] = {}

    def steps(self) -> list[Step]:
        """Return every kind of input, with how often it is sent."""
        return [
            ("hostile XML, 30 MB", self.hostile_xml, 4),
            ("hostile JSON, 1 MB", self.hostile_json, 4),
            ("100 MB, valid", self.large_valid, 2),
            ("multipart, 2 x 60 MB", self.multipart, 2),
            ("sealed uploads, 100 MB", self.upload, 2),
            ("validations, 30 MB", self.validation, 3),
            ("posts to the pages, 15 MB", self.page, 4),
        ]

    def small(self) -> None:
        """Send one ordinary application at each door, so that what is loaded at first need is there."""
        self._post("/hub/v1/applications", _building(), "application/xml", service=_BUILDING, ars=_TAUNUSSTEIN)
        self._post("/hub/v1/applications", _moving(), "application/json", service=_MOVING, ars=_WIESBADEN)
        self._post("/hub/v1/validations", _building(), "application/xml", service=_BUILDING)
        self._upload(1000)

    def hostile_xml(self) -> None:
        """30 MB of small elements; of the smallest there are, each would take a hundred times its text."""
        body = b"<a>" + _SMALL * (30 * _MEGA // len(_SMALL)) + b"</a>"
        self._post("/hub/v1/applications", body, "application/xml", service=_BUILDING, ars=_TAUNUSSTEIN)

    def hostile_json(self) -> None:
        """Small objects where none belong; kept short, for a report on them takes far more memory than they."""
        body = b'{"a":[' + b'{"name":["value",1]},' * (_MEGA // 21) + b"0]}"
        self._post("/hub/v1/applications", body, "application/json", service=_MOVING, ars=_WIESBADEN)

    def large_valid(self) -> None:
        """An application of nearly 100 MB that is accepted."""
        body = _building() + b"\n" * (99 * _MEGA)
        self._post("/hub/v1/applications", body, "application/xml", service=_BUILDING, ars=_TAUNUSSTEIN)

    def multipart(self) -> None:
        """Two large attachments with a small application."""
        self._send("POST", "/hub/v1/applications", _parts(), _MULTIPART, service=_MOVING, ars=_WIESBADEN)

    def upload(self) -> None:
        """A large attachment at the sealed door."""
        self._upload(100 * _MEGA)

    def validation(self) -> None:
        """30 MB of a document that is invalid everywhere."""
        body = b"<a>" + _SMALL * (30 * _MEGA // len(_SMALL)) + b"</a>"
        self._post("/hub/v1/validations", body, "application/xml", service=_BUILDING)

    def page(self) -> None:
        """A form without a session."""
        self._post("/admin/login", b"name=" + b"x" * (15 * _MEGA), "application/x-www-form-urlencoded")

    def _upload(self, size: int) -> None:
        attachment = str(uuid4())
        service = {"identifier": _BUILDING, "name": "Bauantrag"}
        wish = {
            "destinationId": self._mailbox["destination_id"],
            "announcedAttachments": [attachment],
            "publicService": service,
        }
        made = requests.post(f"{self._url}/v2/submissions", json=wish, headers=self._token, timeout=120)
        path = f"/v2/submissions/{made.json()['submissionId']}/attachments/{attachment}"
        self._send("PUT", path, _jwe(size), "application/jose")

    def _post(self, path: str, body: bytes, kind: str, **query: str) -> None:
        self._send("POST", path, body, kind, **query)

    def _send(self, method: str, path: str, body: bytes | Iterator[bytes], kind: str, **query: str) -> None:
        headers = {**self._token, "Content-Type": kind}
        try:
            answer = requests.request(
                method, f"{self._url}{path}", data=body, headers=headers, params=query, timeout=120
            )
        except requests.RequestException:
            self.answers[0] = self.answers.get(0, 0) + 1  # The server hung up before it was sent all: it may.
        else:
            self.answers[answer.status_code] = self.answers.get(answer.status_code, 0) + 1


def run(*, base: Path | None) -> dict[str, Any]:
    """Measure and print; return the figures."""
    builds = [("this build", _ROOT, Path(sys.executable))]
    if base is not None:
        builds.insert(0, ("base", base, base / ".venv" / "bin" / "python"))
    found = {}
    for name, root, python in builds:
        held = _measured(root, python)
        found[f"memory {name}"] = {"fresh": held.fresh, "peak": held.peak, "after": held.after, "ratio": held.ratio}
        print(
            f"{name:12} fresh {held.fresh:.0f} MiB, highest {held.peak:.0f}, after all and {_QUIET} s of rest "
            f"{held.after:.0f} = x {held.ratio:.2f} (aim: x {_AIM})"
        )
        print("".join(f"{'':14}{step:28}{size:6.0f} MiB\n" for step, size in held.steps.items()), flush=True)
    return found


def _measured(root: Path, python: Path) -> Held:
    with tempfile.TemporaryDirectory() as name:
        data = Path(name) / "data"
        subprocess.run([python, "-W", "ignore", "-c", _PREPARE, data], cwd=root, check=True, stdout=subprocess.DEVNULL)
        port = 18_480 + os.getpid() % 1000
        command = [
            str(python),
            "-m",
            "hub.cli",
            "serve",
            "--workers",
            "1",
            "--data",
            str(data),
            "--port",
            str(port),
            "--no-work",
        ]
        with running(command, port, path="/health/ready", cwd=root) as process:
            return _loaded(Served(pid=process.pid, port=port, data=data))


def _loaded(server: Served) -> Held:
    load = _Load(server)
    load.small()
    time.sleep(2)
    fresh, steps = server.resident_mebibytes(), {}
    with server.watched() as grown:
        for name, send, times in load.steps():
            load.answers = {}
            with ThreadPoolExecutor(_AT_ONCE) as senders:
                for sent in [senders.submit(send) for _ in range(times)]:
                    sent.result()
            steps[f"{name} {sorted(load.answers.items())}"] = server.resident_mebibytes()
    time.sleep(_QUIET)
    return Held(fresh=fresh, peak=fresh + grown[0], steps=steps, after=server.resident_mebibytes())


_BOUNDARY = "memory"
_MULTIPART = f"multipart/form-data; boundary={_BOUNDARY}"


def _parts() -> Iterator[bytes]:
    piece = os.urandom(_MEGA)
    for number in range(2):
        yield _head(f"plan-{number}", "application/octet-stream")
        for _ in range(60):
            yield piece
        yield b"\r\n"
    yield _head("data", "application/json") + _moving() + f"\r\n--{_BOUNDARY}--\r\n".encode()


def _head(name: str, kind: str) -> bytes:
    said = f'--{_BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"; filename="{name}"\r\nContent-Type: {kind}'
    return f"{said}\r\n\r\n".encode()


def _jwe(size: int) -> Iterator[bytes]:
    """Yield a compact JWE in form; nobody opens it."""
    header = {"alg": "RSA-OAEP-256", "enc": "A256GCM", "kid": "memory", "cty": "application/pdf"}
    first = b".".join(_encoded(part) for part in (json.dumps(header).encode(), os.urandom(512), os.urandom(12)))
    yield first + b"."
    piece = _encoded(os.urandom(750_000))
    for left in count(size, -_MEGA):
        if left <= 0:
            break
        yield piece[: min(left, _MEGA) // 4 * 4]
    yield b"." + _encoded(os.urandom(16))


def _encoded(content: bytes) -> bytes:
    return base64.urlsafe_b64encode(content).rstrip(b"=")


def _building() -> bytes:
    return building_application()


def _moving() -> bytes:
    return (_ROOT / "schemas/fim-wohnsitz/1.0/examples/good-umzug.json").read_bytes()


def main() -> None:
    """Measure this build, and another beside it if one is named."""
    parser = argparse.ArgumentParser(prog="make bench-memory", description=__doc__)
    parser.add_argument("--base", type=Path, help="another checkout, with a .venv of its own, to be measured first")
    run(base=parser.parse_args().base)


if __name__ == "__main__":
    main()
