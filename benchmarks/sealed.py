"""The sealed door beside the plain one: CPU time of the server for one submission, in turns on one server.

Once one after the other, where each request pays for a commit of its own, and once with several senders at once, who share
commits as they do on a busy hub. The sealed door takes two requests and two commits where the plain door takes one.
"""

from __future__ import annotations

import json
import statistics
import tempfile
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import requests

from benchmarks import accept, payload
from benchmarks.served import SERVICE, WIESBADEN, Served, prepare_data, sealing_key, serving
from hub.crypto import encrypt

#: Submits one submission with each step.
Door = Callable[[], Iterator[None]]

_EACH = 400
_SENDERS = (1, 8)
_TURNS = 2


def run() -> dict[str, float]:
    """Measure and print; return the figures."""
    message = payload.message()
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "data"
        jwk = prepare_data(data, message)
        # Nothing is delivered meanwhile: what follows acceptance is the same for both doors.
        with serving(data, work=False) as served:
            doors: dict[str, Door] = {
                "plain": lambda: _plain(served, message),
                "sealed": lambda: _sealed(served, message, jwk),
            }
            spent = {senders: _spent(served, doors, senders) for senders in _SENDERS}
    print(f"sealed: {message.name}, CPU of the server")
    results: dict[str, float] = {}
    for senders, each in spent.items():
        ratio = each["sealed"] / each["plain"]
        print(
            f"  {senders} at once   plain door (accept) {each['plain']:.2f} ms, "
            f"sealed door (announce + submit) {each['sealed']:.2f} ms, ratio {ratio:.2f} (aim: at most 1)"
        )
        results |= {f"{name}_{senders}_cpu_ms": value for name, value in each.items()}
        results[f"sealed_{senders}_ratio"] = ratio
    print()
    return results


def _spent(served: Served, doors: Mapping[str, Door], senders: int) -> dict[str, float]:
    """Return the CPU milliseconds of one submission through each door, with so many senders at once."""
    open_ = {name: [door() for _ in range(senders)] for name, door in doors.items()}
    spent: dict[str, list[float]] = {name: [] for name in doors}
    with ThreadPoolExecutor(senders) as pool:
        for turn in range(_TURNS + 1):
            for name, senders_of in open_.items():
                before = served.cpu_seconds()
                list(pool.map(lambda one: [next(one) for _ in range(_EACH // senders)], senders_of))
                if turn:  # The first turn warms.
                    spent[name].append((served.cpu_seconds() - before) * 1000 / (_EACH // senders * senders))
    return {name: statistics.median(each) for name, each in spent.items()}


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
