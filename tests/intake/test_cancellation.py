"""A request that is cancelled, wherever it is, leaves everything or nothing, and whoever sends it again gets a right answer.

Each test cancels one request at its first await, the next at its second, and so on to the end of the way.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Coroutine
from dataclasses import replace
from itertools import count
from typing import Any
from uuid import UUID, uuid4

import pytest
from cancelling import WAYS, cancelled
from sealed_door import JOSE, Door, shared_door  # noqa: F401  # shared_door is a fixture
from stage import ANMELDEN, ANMELDUNG, WIESBADEN
from stand_in import Answer, Client

from hub.model.submission import INLINE_LIMIT, State

APPLICATIONS = f"/hub/v1/applications?service={ANMELDEN}&ars={WIESBADEN}"
BOUNDARY = "grenze"

Ask = Callable[[], Coroutine[Any, Any, Answer]]


def suspending(client: Client) -> Client:
    """The client with a body that has to be waited for, piece by piece, as one of the network."""
    whole = client.app

    async def app(scope: Any, receive: Any, send: Any) -> None:
        async def later() -> Any:
            await asyncio.sleep(0)
            return await receive()

        await whole(scope, later, send)

    return replace(client, app=app)


def request(client: Client, method: str, target: str, *headers: tuple[str, str], body: list[bytes]) -> Ask:
    return lambda: suspending(client).asked(method, target, list(headers), body)


def multipart(**parts: tuple[str, bytes]) -> list[bytes]:
    pieces = []
    for name, (kind, content) in parts.items():
        head = (
            f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"; filename="{name}"\r\nContent-Type: {kind}'
        )
        pieces += [f"{head}\r\n\r\n".encode(), content, b"\r\n"]
    return [*pieces, f"--{BOUNDARY}--\r\n".encode()]


def small() -> tuple[str, list[bytes]]:
    return "application/json", [ANMELDUNG]


def large() -> tuple[str, list[bytes]]:
    return "application/json", [ANMELDUNG, *[b" " * 100_000] * 4]


def attached() -> tuple[str, list[bytes]]:
    plan = ("application/octet-stream", bytes(INLINE_LIMIT + 70_000))
    body = multipart(plan=plan, data=("application/json", ANMELDUNG), nachweis=plan, notiz=("text/plain", b"klein"))
    return f"multipart/form-data; boundary={BOUNDARY}", body


def unreferenced(door: Door) -> set[str]:
    hub = door.hub
    return {
        name for name in hub.blobs.names(door.clock().replace(year=2999)) if not hub.store.retention.refers_to(name)
    }


def nothing_is_left_over(door: Door, patience: float = 30) -> bool:
    """Whether no content stays that no row refers to, once the threads that went on have ended."""
    end = time.monotonic() + patience
    while unreferenced(door):
        if time.monotonic() > end:
            return False
        time.sleep(0.02)
    return True


def is_whole(door: Door, submission_id: UUID) -> bool:
    """Whether all that a submission refers to is there."""
    message = door.hub.store.submissions.message(submission_id)
    parts = [] if message.contents is None else [sealed for _, sealed in message.contents.parts()]
    for sealed in (*parts, *message.uploaded.values()):
        assert sum(len(chunk) for chunk in door.hub.blobs.chunks(sealed)) == sealed.size
    if message.state is State.INCOMPLETE:
        return message.contents is None or not parts
    return door.hub.store.deliveries.of(submission_id) is not None


@pytest.mark.timeout(600)
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("body", [small, large, attached])
def test_an_application_that_is_cancelled_is_there_whole_or_not_at_all(door: Door, body, way):
    store, client_id = door.hub.store, door.stage.sender
    for at in count(1):
        kind, pieces = body()
        key = f"{body.__name__}-{way[:4]}-{at}"
        headers = (("Content-Type", kind), ("Idempotency-Key", key.replace(" ", "-")))
        ask = request(door.sender, "POST", APPLICATIONS, *headers, body=pieces)
        was_cancelled = cancelled(ask(), at, way)
        known = store.submissions.remembered(client_id, headers[1][1])
        if known is not None:
            assert is_whole(door, known.submission_id)

        again = asyncio.run(ask())
        assert again.status == 202, again.body
        remembered = store.submissions.remembered(client_id, headers[1][1])
        assert UUID(again.json["submissionId"]) == remembered.submission_id
        assert (
            again.json["receipt"] == remembered.receipt == store.submissions.message(remembered.submission_id).receipt
        )
        assert is_whole(door, remembered.submission_id)
        assert known is None or known == remembered
        if not was_cancelled:
            break
    assert at > 2
    assert nothing_is_left_over(door)
    keys = [
        store.submissions.message(message.id).receipt
        for message in store.submissions.messages(sender=client_id, limit=500).items
    ]
    assert len(keys) == len(set(keys))


@pytest.mark.timeout(600)
@pytest.mark.parametrize("way", WAYS)
def test_an_announcement_that_is_cancelled_is_there_with_its_case_or_not_at_all(door: Door, way):
    store = door.hub.store
    body = {
        "destinationId": str(door.destination_id),
        "announcedAttachments": [],
        "publicService": {"identifier": "urn:de:fim:leika:leistung:99012008001000", "name": "Bauantrag"},
    }
    for at in count(1):
        json_ = ("Content-Type", "application/json")
        ask = request(door.sender, "POST", "/v2/submissions", json_, body=[json.dumps(body).encode()])
        was_cancelled = cancelled(ask(), at, way)
        answer = asyncio.run(ask())
        assert answer.status == 201
        assert store.submissions.message(UUID(answer.json["submissionId"])).state is State.INCOMPLETE
        if not was_cancelled:
            break
    assert at > 2
    for message in store.submissions.messages(state=State.INCOMPLETE, limit=500).items:
        assert store.event_log.events(message.case_id).total >= 1


@pytest.mark.timeout(600)
@pytest.mark.parametrize("way", WAYS)
def test_an_upload_that_is_cancelled_can_be_repeated_and_submitted(door: Door, way):
    attachment_id = str(uuid4())
    jwe = door.seal(bytes(3_000_000), "application/pdf").encode()
    announced = door.announce(attachment_id)["submissionId"]
    target = f"/v2/submissions/{announced}/attachments/{attachment_id}"
    pieces = [jwe[start : start + 700_000] for start in range(0, len(jwe), 700_000)]
    ask = request(door.sender, "PUT", target, ("Content-Type", JOSE), body=pieces)
    for at in count(1):
        was_cancelled = cancelled(ask(), at, way)
        assert is_whole(door, UUID(announced))
        if at % 5 == 0:
            assert asyncio.run(ask()).status == 204
            assert is_whole(door, UUID(announced))
        if not was_cancelled:
            break
    assert at > 4
    assert asyncio.run(ask()).status == 204
    assert nothing_is_left_over(door)
    assert door.submit(announced, door.seal(b"{}"), door.seal(b"{}")).status == 200
    (sealed,) = door.hub.store.submissions.message(UUID(announced)).contents.attachments.values()
    assert b"".join(door.hub.blobs.chunks(sealed)) == jwe


@pytest.mark.timeout(600)
@pytest.mark.parametrize("size", [100, INLINE_LIMIT], ids=["small, on the loop", "large, in a blob"])
@pytest.mark.parametrize("way", WAYS)
def test_a_submit_that_is_cancelled_is_done_or_can_be_done(door: Door, way, size):
    for at in count(1):
        announced = door.announce()["submissionId"]
        body = {"encryptedMetadata": door.seal(b"{}"), "encryptedData": door.seal(bytes(size))}
        json_ = ("Content-Type", "application/json")
        raw = json.dumps(body).encode()
        pieces = [raw] if size == 100 else [raw[:9000], raw[9000:]]
        ask = request(door.sender, "PUT", f"/v2/submissions/{announced}", json_, body=pieces)
        was_cancelled = cancelled(ask(), at, way)
        assert is_whole(door, UUID(announced))
        again = asyncio.run(ask())
        assert again.status == 200, again.body
        assert is_whole(door, UUID(announced))
        data = door.hub.store.submissions.message(UUID(announced)).contents.data
        assert b"".join(door.hub.blobs.chunks(data)) == body["encryptedData"].encode()
        if not was_cancelled:
            break
    assert at > 2
    assert nothing_is_left_over(door)
