"""The sealed door beside the plain one: CPU time of the server for one message, in turns on one server.

Once one after the other, where each request pays for a commit of its own, and once with several senders at once, who share
commits as they do on a busy hub. The sealed door takes two requests and two commits where the plain door takes one, and so
does an authority's reply in a case. What a case costs to open that holds 500 events is measured afterwards.
"""

from __future__ import annotations

import itertools
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from uuid import uuid4

import requests

from benchmarks import accept, payload
from benchmarks.served import SERVICE, WIESBADEN, Served, prepare_data, sealing_key, serving
from hub.crypto import encrypt

#: Submits one submission with each step.
Door = Callable[[], Iterator[None]]

_EACH = 400
_SENDERS = (1, 8)
_TURNS = 2
#: Replies of a measured case; and the events of the long one.
_REPLIES, _LONG = 5, 500


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
                "reply": lambda: _replied(served, message, jwk),
            }
            spent = {senders: _spent(served, doors, senders) for senders in _SENDERS}
            opened = _opened(served, message, jwk)
    print(f"sealed: {message.name}, CPU of the server")
    results: dict[str, float] = {}
    for senders, each in spent.items():
        ratio = each["sealed"] / each["plain"]
        print(
            f"  {senders} at once   plain door (accept) {each['plain']:.2f} ms, "
            f"sealed door (announce + submit) {each['sealed']:.2f} ms, ratio {ratio:.2f} (aim: at most 1)"
        )
        reply = each["reply"] / each["plain"]
        print(f"             a reply (announce + submit) {each['reply']:.2f} ms, ratio {reply:.2f} (aim: at most 1.3)")
        results |= {f"{name}_{senders}_cpu_ms": value for name, value in each.items()}
        results |= {f"sealed_{senders}_ratio": ratio, f"reply_{senders}_ratio": reply}
    for name, milliseconds in opened.items():
        print(f"  a case of {_LONG} events, {name}: {milliseconds:.0f} ms of CPU (aim: at most 100)")
        results[f"long_case_{name.replace(' ', '_')}_ms"] = milliseconds
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
        _posted(session, f"http://127.0.0.1:{served.port}", make(number))
        number += 1
        yield


def _posted(session: requests.Session, base: str, request: bytes) -> requests.Response:
    """Send an application at the plain door as the load generator writes it."""
    head, _, body = request.partition(b"\r\n\r\n")
    first, *lines = head.decode().split("\r\n")
    headers = dict(line.split(": ", 1) for line in lines)
    answer = session.post(base + first.split()[1], data=body, headers=headers)
    assert answer.status_code == 202, answer.text
    return answer


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


class _Authority:
    """Who has a case, and writes into it; the sender of it reads."""

    def __init__(self, served: Served, message: payload.Message, jwk: dict[str, Any]) -> None:
        self._base = f"http://127.0.0.1:{served.port}"
        self._make = accept.request(served, message)
        self._applied = itertools.count(uuid4().int % 10**9)
        key = sealing_key(jwk)
        self._contents = json.dumps(
            {
                "encryptedMetadata": encrypt(key, b'{"contentStructure": {}}', "application/json")[0].decode(),
                "encryptedData": encrypt(key, b"{}", "application/json")[0].decode(),
            }
        )
        self._authority, self.sender = requests.Session(), requests.Session()
        kind = {"Content-Type": "application/json"}
        self._authority.headers.update({"Authorization": f"Bearer {served.token('subscriber')}", **kind})
        self.sender.headers["Authorization"] = f"Bearer {served.token('sender')}"

    def applied(self) -> dict[str, str]:
        """Have a case opened; return what the hub says of it."""
        found: dict[str, str] = _posted(self.sender, self._base, self._make(next(self._applied))).json()
        return found

    def case(self) -> str:
        """Have a case opened; return its id."""
        return self.applied()["caseId"]

    def reply(self, case_id: str) -> None:
        """Write into a case, as a connector does: what is sealed was sealed before."""
        replies = f"{self._base}/submission-api/v2/replies"
        announced = self._authority.post(replies, data=json.dumps({"caseId": case_id, "announcedAttachments": []}))
        assert announced.status_code == 201, announced.text
        submitted = self._authority.put(f"{replies}/{announced.json()['replyId']}", data=self._contents)
        assert submitted.ok, submitted.text

    def get(self, path: str, query: str = "") -> requests.Response:
        """Read as the sender."""
        answer = self.sender.get(f"{self._base}{path}{query}")
        assert answer.ok, answer.text
        return answer


def _replied(served: Served, message: payload.Message, jwk: dict[str, Any]) -> Iterator[None]:
    """Yield after each reply; cases are opened before, and each gets a few."""
    authority = _Authority(served, message, jwk)
    cases = [authority.case() for _ in range(_EACH * (_TURNS + 1) // _REPLIES)]
    for case_id in itertools.cycle(cases):
        authority.reply(case_id)
        yield


def _opened(served: Served, message: payload.Message, jwk: dict[str, Any]) -> dict[str, float]:
    """Return the milliseconds of CPU that the views of a long case cost, each read for the second time."""
    authority = _Authority(served, message, jwk)
    opened = authority.applied()
    case_id = opened["caseId"]
    views: dict[str, Callable[[], requests.Response]] = {
        "as its sender sees it": lambda: authority.get(f"/hub/v1/cases/{case_id}"),
        "its status": lambda: authority.get(f"/hub/v1/applications/{opened['submissionId']}"),
        "its replies": lambda: authority.get(f"/hub/v1/cases/{case_id}/replies", "?limit=100"),
        "its signed log": lambda: authority.get(f"/submission-api/v2/cases/{case_id}/events", "?limit=500"),
    }
    while views["its signed log"]().json()["totalCount"] < _LONG:
        for _ in range(20):
            authority.reply(case_id)
    spent = {}
    for name, read in views.items():
        read()
        before = served.cpu_seconds()
        read()
        spent[name] = (served.cpu_seconds() - before) * 1000
    short = authority.case()
    shown = [_shown(served, each) - _shown(served, short) for each in [case_id] * _TURNS]
    return spent | {"hub case show beyond a case of three": statistics.median(shown)}


def _shown(served: Served, case_id: str) -> float:
    """Return the milliseconds of CPU that the command for a case takes, which begins anew each time."""
    client = json.loads((served.data / "demo.json").read_text(encoding="utf-8"))["sender"]
    secret = served.data.parent / "sender.secret"
    secret.touch(mode=0o600)
    secret.write_text(client["client_secret"], encoding="ascii")
    who = {"HUB_URL": f"http://127.0.0.1:{served.port}", "HUB_CLIENT_ID": client["client_id"]}
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(
        [sys.executable, "-m", "hub.cli", "case", "show", case_id],
        env={**os.environ, **who, "HUB_CLIENT_SECRET_FILE": str(secret)},
        stdout=subprocess.DEVNULL,
        check=True,
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return (after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime) * 1000
