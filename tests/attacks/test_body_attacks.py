"""Bodies sent to be read before anybody has asked by whom, or whether there is room, and bodies that never end."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest
import requests
from raw_http import PATIENCE, Wire
from sealed_door import JOSE, Door, put, shared_door  # noqa: F401  # shared_door is a fixture
from stage import BAUANTRAG, BAUEN, TAUNUSSTEIN, Served, serving, staged

from hub.admin.application import PAGES

MIB = 1024 * 1024
HUGE = b"Content-Length: 60000000\r\n\r\n"
FORM = b"Content-Type: application/x-www-form-urlencoded\r\n"


@pytest.fixture(scope="module")
def tight(made_once: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A hub with room for one megabyte of plaintext, and with little patience."""
    short = {"pause_seconds": 1, "body_seconds": 2, "body_bytes_per_second": 1_000_000, "head_seconds": 3}
    folder = tmp_path_factory.mktemp("tight")
    with staged(made_once, folder, memory_budget_bytes=1_000_000, **short) as stage, serving(stage) as served:
        yield served


def wire(served: Served) -> Wire:
    return Wire(int(served.base_url.rpartition(":")[2]))


def head(method: str, path: str, *lines: bytes) -> bytes:
    return f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n".encode() + b"".join(lines)


def bearer(served: Served) -> bytes:
    return f"Authorization: {served.session.headers['Authorization']}\r\n".encode()


# --- room ------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/hub/v1/validations", f"/hub/v1/applications?service={BAUEN}&ars={TAUNUSSTEIN}"])
def test_a_message_that_there_is_no_room_for_is_refused_before_it_comes(tight: Served, path: str):
    with wire(tight) as connection:
        connection.send(
            head("POST", path, bearer(tight), b"Content-Type: application/xml\r\n", b"Content-Length: 20000000\r\n\r\n")
        )
        reply = connection.reply()
        assert (reply.status, reply.slug) == (503, "overloaded")


def test_a_validation_without_a_length_is_refused_where_the_room_ends(tight: Served):
    def body() -> Iterator[bytes]:
        for _ in range(20):
            yield b"x" * MIB

    try:
        answer = tight.post("/hub/v1/validations", data=body(), headers={"Content-Type": "application/xml"})
    except requests.ConnectionError:
        return  # The hub has hung up on the sender: refused as well.
    assert (answer.status_code, answer.json()["type"].rpartition(":")[2]) == (503, "overloaded")


def test_large_validations_are_judged_and_give_their_room_back(tight: Served):
    padded = BAUANTRAG + b" " * 600_000
    for _ in range(4):
        answer = tight.post("/hub/v1/validations", data=padded, headers={"Content-Type": "application/xml"})
        assert (answer.status_code, answer.json()["valid"]) == (200, True)


@pytest.mark.parametrize("pieces", [1, 10])
def test_an_upload_that_there_is_no_room_for_leaves_nothing_behind(door: Door, pieces: int):
    attachment_id, jwe = str(uuid4()), door.seal(b"x" * 300_000, "application/pdf")
    submission_id = door.announce(attachment_id)["submissionId"]
    path = f"/v2/submissions/{submission_id}/attachments/{attachment_id}"
    size = -(-len(jwe) // pieces)
    body = [jwe.encode()[start : start + size] for start in range(0, len(jwe), size)]
    room, budget = door.hub.admission.reserve(), door.hub.settings.memory_budget_bytes
    room.grow(budget - 100_000)
    answer = door.sender.ask("PUT", path, ("Content-Type", JOSE), body=body)
    assert (answer.status, answer.slug) == (503, "overloaded")
    room.release()
    assert door.sender.ask("PUT", path, ("Content-Type", JOSE), body=body).status == 204
    room.grow(budget)
    room.release()


# --- pages -----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", [page.path for page in PAGES if page.method == "POST" and page.right is not None])
def test_the_form_of_somebody_who_is_not_logged_in_is_not_read(tight: Served, path: str):
    target = "/admin" + path.replace("{", "").replace("}", "")
    with wire(tight) as connection:
        connection.send(head("POST", target, FORM, HUGE))
        reply = connection.reply()
        assert (reply.status, reply.fields["location"]) == (303, "/admin/login")


def test_the_form_for_logging_in_is_small(tight: Served):
    with wire(tight) as connection:
        connection.send(head("POST", "/admin/login", FORM, HUGE))
        assert connection.reply().status == 413
    with wire(tight) as connection:
        connection.send(head("POST", "/admin/login", FORM, b"Transfer-Encoding: chunked\r\n\r\n"))
        connection.send(b"8000\r\n" + b"a" * 0x8000 + b"\r\n")
        assert connection.reply().status == 413


def test_a_form_from_another_site_is_not_read(tight: Served):
    with wire(tight) as connection:
        connection.send(head("POST", "/admin/login", FORM, b"Origin: https://evil.example\r\n", HUGE))
        assert connection.reply().status == 403


@pytest.mark.parametrize("dripped", [b"", b"a"])
def test_a_form_for_logging_in_that_does_not_come_ends(tight: Served, dripped: bytes):
    with wire(tight) as connection:
        connection.send(head("POST", "/admin/login", FORM, b"Content-Length: 9999\r\n\r\n"))
        assert connection.drip(dripped) < PATIENCE
        assert connection.reply().status == 408


def test_a_form_that_the_person_has_no_right_to_send_is_not_read(pages):
    viewer = pages.as_("viktor")
    cookies = "; ".join(f"{name}={value}" for name, value in viewer.http.cookies.items())
    with Wire(int(pages.base.split(":")[2].partition("/")[0])) as connection:
        connection.send(head("POST", "/admin/schemas/import", f"Cookie: {cookies}\r\n".encode(), FORM, HUGE))
        assert connection.reply().status == 403


def test_a_form_that_there_is_no_room_for_is_refused_and_its_room_is_given_back(pages):
    operator, admission = pages.as_("otto"), pages.stage.hub.admission
    room = admission.reserve()
    room.grow(pages.stage.hub.settings.memory_budget_bytes - 20_000)
    answer = operator.post("/schemas/import", files={"package": ("a.zip", b"x" * 100_000)})
    assert (answer.status_code, int(answer.headers["retry-after"]) > 0) == (503, True)
    room.release()
    assert operator.post("/schemas/import", files={"package": ("a.zip", b"x" * 100_000)}).status_code in {400, 422}
    room.grow(pages.stage.hub.settings.memory_budget_bytes)
    room.release()


# --- the page for trying messages --------------------------------------------------------------------------------------------


def test_slow_strangers_on_the_page_for_trying_messages_cost_no_application_its_place(tight: Served):
    slow = [wire(tight) for _ in range(12)]
    for connection in slow:
        connection.send(
            head(
                "POST",
                "/validate",
                b"Content-Type: multipart/form-data; boundary=b\r\n",
                b"Content-Length: 900000\r\n\r\n",
            ),
            b'--b\r\nContent-Disposition: form-data; name="text"\r\n\r\n<a>' + b"x" * 60_000,
        )
    assert tight.submit().status_code == 202
    for connection in slow:
        assert connection.reply().status == 408
        connection.__exit__()


@pytest.mark.parametrize(
    ("target", "kind"),
    [
        ("/token", FORM),
        ("/hub/v1/persons/token", FORM),
        ("/validate", b"Content-Type: multipart/form-data; boundary=b\r\n"),
    ],
)
def test_an_open_form_that_drips_ends(tight: Served, target: str, kind: bytes):
    with wire(tight) as connection:
        connection.send(head("POST", target, kind, b"Content-Length: 9999\r\n\r\n"))
        assert connection.drip(b"\r\n") < PATIENCE
        assert connection.reply().status == 408


# --- what a little text grows to ----------------------------------------------------------------------------------------------


def many_values(number: int) -> bytes:
    return b'{"x":[' + b"{}," * number + b"0]}"


def test_metadata_of_an_application_are_read_no_further_than_they_may_go(served: Served):
    """Parsed whole, on the event loop, they took thirty times their size before their size was looked at."""
    parts = {
        "data": ("antrag.xml", BAUANTRAG, "application/xml"),
        "metadata": ("m.json", b"no JSON at all" * 100_000, "application/json"),
    }
    answer = served.post("/hub/v1/applications", params={"service": BAUEN, "ars": TAUNUSSTEIN}, files=parts)
    assert answer.status_code == 400
    assert "at most 1 MB" in answer.json()["detailEn"], "its size is what is wrong, and not what nobody has parsed"


def test_a_sealed_body_of_very_many_values_is_not_parsed(door: Door):
    """Its text has room in the memory budget; what it is parsed into would be thirty times as large."""
    submission_id = door.announce()["submissionId"]
    path = f"/v2/submissions/{submission_id}"
    answer = door.sender.ask("PUT", path, ("Content-Type", "application/json"), body=[many_values(300_000)])
    assert (answer.status, answer.slug) == (413, "payload-too-large")


def test_sealed_parts_full_of_commas_are_no_values(door: Door):
    submission_id = door.announce()["submissionId"]
    answer = put(door.sender, f"/v2/submissions/{submission_id}", {"encryptedMetadata": "," * 300_000})
    assert answer.slug == "data-missing", "it was read"
