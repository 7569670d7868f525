"""The sealed door beside the plain one: CPU time of the server for one submission, in turns on one server."""

from __future__ import annotations

import json
import statistics
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import requests

from benchmarks import accept, payload
from benchmarks.served import SERVICE, WIESBADEN, Served, prepare_data, sealing_key, serving
from hub.crypto.jose import encrypt

_EACH = 250
_TURNS = 4


def run() -> dict[str, float]:
    """Measure and print; return the figures."""
    message = payload.message()
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "data"
        jwk = prepare_data(data, message)
        # Nothing is delivered meanwhile: what follows acceptance is the same for both doors.
        with serving(data, work=False) as served:
            doors = {"plain": _plain(served, message), "sealed": _sealed(served, message, jwk)}
            spent: dict[str, list[float]] = {"plain": [], "sealed": []}
            for turn in range(_TURNS + 1):
                for name, door in doors.items():
                    before = served.cpu_seconds()
                    for _ in range(_EACH):
                        next(door)
                    if turn:  # The first turn warms.
                        spent[name].append((served.cpu_seconds() - before) * 1000 / _EACH)
    plain, sealed = statistics.median(spent["plain"]), statistics.median(spent["sealed"])
    print(f"sealed: {message.name}, one after the other, CPU of the server")
    print(f"  plain door      {plain:8.2f} ms   (accept)")
    print(f"  sealed door     {sealed:8.2f} ms   (announce + submit)")
    print(f"  ratio           {sealed / plain:8.2f}    (aim: at most 1)\n")
    return {"plain_cpu_ms": plain, "sealed_cpu_ms": sealed, "sealed_ratio": sealed / plain}


def announcement(*attachments: str) -> dict[str, Any]:
    """Return the body that announces a submission."""
    return {
        "destinationId": str(WIESBADEN),
        "announcedAttachments": list(attachments),
        "publicService": {"identifier": SERVICE, "name": "Bauantrag"},
    }


def _plain(served: Served, message: payload.Message) -> Iterator[None]:
    session, make, number = requests.Session(), accept.request(served, message), 0
    while True:
        head, _, body = make(number).partition(b"\r\n\r\n")
        first, *lines = head.decode().split("\r\n")
        headers = dict(line.split(": ", 1) for line in lines)
        answer = session.post(f"http://127.0.0.1:{served.port}{first.split()[1]}", data=body, headers=headers)
        assert answer.status_code == 202, answer.text
        number += 1
        yield


def _sealed(served: Served, message: payload.Message, jwk: dict[str, Any]) -> Iterator[None]:
    key = sealing_key(jwk)
    contents = {
        "encryptedMetadata": encrypt(key, b'{"contentStructure": {}}', "application/json")[0].decode(),
        "encryptedData": encrypt(key, message.data, "application/xml")[0].decode(),
    }
    session, base = requests.Session(), f"http://127.0.0.1:{served.port}/submission-api/v2/submissions"
    session.headers.update({"Authorization": f"Bearer {served.token('sender')}", "Content-Type": "application/json"})
    first, second = json.dumps(announcement()), json.dumps(contents)
    while True:
        announced = session.post(base, data=first)
        assert announced.status_code == 201, announced.text
        submitted = session.put(f"{base}/{announced.json()['submissionId']}", data=second)
        assert submitted.ok, submitted.text
        yield
