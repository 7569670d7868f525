"""A sender that hangs up is no failure of the hub: counted apart, in no alert's ratio, wherever it happens."""

from __future__ import annotations

import asyncio
import re
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from sealed_door import JOSE, SERVICE, Door, shared_door  # noqa: F401  # shared_door is a fixture
from stage import ANMELDEN, WIESBADEN

from hub import app
from hub.api.monitoring import Measured
from hub.observability.metrics import Meters
from hub.observability.tracing import NoTraces

_APPLICATIONS = f"/hub/v1/applications?service={ANMELDEN}&ars={WIESBADEN}"
_MULTIPART = "multipart/form-data; boundary=grenze"
_PART = b'--grenze\r\nContent-Disposition: form-data; name="a"; filename="a"\r\nContent-Type: text/plain\r\n\r\nabc'


def counted(meters: Meters) -> dict[tuple[str, str], float]:
    found = re.findall(r'hub_accepted_total{door="(\w+)",outcome="(\w+)"} (\S+)', meters.text().decode())
    return {(door, outcome): float(value) for door, outcome, value in found if float(value)}


def hang_up(application: Any, scope: dict[str, Any], pieces: list[bytes]) -> tuple[Meters, list[dict[str, Any]]]:
    """Send ``pieces`` of a body that would go on, and hang up."""
    meters, sent = Meters(), []
    left = list(pieces)

    async def receive() -> dict[str, Any]:
        await asyncio.sleep(0)
        if left:
            return {"type": "http.request", "body": left.pop(0), "more_body": True}
        return {"type": "http.disconnect"}

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    asyncio.run(Measured(application, meters=meters, traces=NoTraces())(scope, receive, send))
    return meters, sent


def scope(door: Door, method: str, target: str, kind: str, **more: str) -> dict[str, Any]:
    path, _, query = target.partition("?")
    headers = {**dict(door.sender.headers), "Content-Type": kind, "Transfer-Encoding": "chunked", **more}
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "scheme": "http",
        "method": method,
        "path": path,
        "raw_path": path.encode(),
        "query_string": query.encode(),
        "root_path": "",
        "headers": [(name.lower().encode(), value.encode()) for name, value in headers.items()],
        "client": ("127.0.0.1", 1),
        "server": ("hub.test", 80),
    }


@pytest.fixture(name="whole")
def with_pages(door: Door) -> Any:
    return app.asgi(door.hub, work=False)._app


@pytest.mark.parametrize("pieces", [[], [b"{"], [b"{", b" " * 300_000]], ids=["at once", "early", "late"])
@pytest.mark.parametrize("kind", ["application/json", "application/xml", _MULTIPART])
def test_a_sender_that_hangs_up_at_the_plain_door_is_counted_apart(door: Door, whole, kind, pieces):
    body = [_PART, b"x" * 300_000][: len(pieces)] if kind == _MULTIPART else pieces
    meters, sent = hang_up(whole, scope(door, "POST", _APPLICATIONS, kind), body)
    assert counted(meters) == {("plain", "aborted"): 1}
    assert sent == []
    assert "hub_refusals_total{" not in re.sub(r"hub_refusals_total{.*} 0.0", "", meters.text().decode())


def test_a_small_body_with_a_length_that_breaks_off_is_counted_apart(door: Door, whole):
    broken = scope(door, "POST", _APPLICATIONS, "application/json", **{"Content-Length": "100"})
    broken["headers"] = [each for each in broken["headers"] if each[0] != b"transfer-encoding"]
    assert counted(hang_up(whole, broken, [b"{"])[0]) == {("plain", "aborted"): 1}


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_a_sender_that_hangs_up_at_the_sealed_door_is_counted_apart(door: Door, whole, version):
    announced = door.announce()["submissionId"]
    meters, sent = hang_up(
        whole, scope(door, "PUT", f"/{version}/submissions/{announced}", "application/json"), [b'{"encryptedMetadata"']
    )
    assert (counted(meters), sent) == ({("sealed", "aborted"): 1}, [])


@pytest.mark.parametrize("case", ["upload", "announce", "token", "validation", "dry run", "a form of the pages"])
def test_whoever_hangs_up_anywhere_else_is_no_failure_either(door: Door, whole, case):
    attachment = str(uuid4())
    announced = door.announce(attachment)["submissionId"]
    form = "application/x-www-form-urlencoded"
    method, target, kind = {
        "upload": ("PUT", f"/v2/submissions/{announced}/attachments/{attachment}", JOSE),
        "announce": ("POST", "/v2/submissions", "application/json"),
        "token": ("POST", "/token", form),
        "validation": ("POST", f"/hub/v1/validations?service={SERVICE}", "application/xml"),
        "dry run": ("POST", "/validate", _MULTIPART),
        "a form of the pages": ("POST", "/admin/login", form),
    }[case]
    meters, _ = hang_up(whole, scope(door, method, target, kind), [_PART if kind == _MULTIPART else b"eyJ"])
    assert counted(meters) == {}
    assert 'slug="internal"} 0.0' in meters.text().decode()


def test_a_sender_that_is_gone_when_it_is_answered_is_no_failure(door: Door):
    meters = Meters()
    client = door.sender

    async def gone(_: Any) -> None:
        raise OSError("nobody there")

    async def deaf(scope: Any, receive: Any, _send: Any) -> None:
        await Measured(client.app, meters=meters, traces=NoTraces())(scope, receive, gone)

    with pytest.raises(IndexError):  # No answer came.
        replace(client, app=deaf).post(_APPLICATIONS, b"<bau", "application/xml")
    assert counted(meters) == {("plain", "refused"): 1}


def test_a_request_that_is_cancelled_is_counted_apart():
    meters = Meters()

    async def slow(scope: Any, _receive: Any, _send: Any) -> None:
        scope["extensions"]["connexion_routing"] = {"operation_id": "applications.create"}
        await asyncio.sleep(60)

    async def cancelled() -> None:
        work = Measured(slow, meters=meters, traces=NoTraces())
        task = asyncio.ensure_future(work({"type": "http", "path": "/", "method": "POST", "headers": []}, slow, slow))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(cancelled())
    assert counted(meters) == {("plain", "aborted"): 1}


def test_a_failure_of_the_hub_is_still_one():
    meters = Meters()

    async def broken(scope: Any, _receive: Any, _send: Any) -> None:
        scope["extensions"]["connexion_routing"] = {"operation_id": "applications.create"}
        raise ZeroDivisionError

    work = Measured(broken, meters=meters, traces=NoTraces())
    with pytest.raises(ZeroDivisionError):
        asyncio.run(work({"type": "http", "path": "/", "method": "POST", "headers": []}, broken, broken))
    assert counted(meters) == {("plain", "failed"): 1}


def test_no_alert_takes_those_who_hang_up_into_its_ratio():
    rules = (Path(app.__file__).parents[1] / "alerts.yaml").read_text()
    ratios = re.findall(r"(?:/|\*) *sum\(rate\(hub_accepted_total(.*?)\[", rules)
    assert ratios
    assert set(ratios) == {'{outcome!="aborted"}'}
