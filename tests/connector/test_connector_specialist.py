from __future__ import annotations

from uuid import uuid4

import orjson
import pytest
import requests
from stage import NOW

from hub.connector.demo_system import SpecialistSystem

SECRET = "0123456789abcdef"


@pytest.fixture
def system(tmp_path):
    server = SpecialistSystem(port=0, folder=tmp_path / "cases", secret=SECRET, now=lambda: NOW)
    server.base = f"http://127.0.0.1:{server.port}"
    server.folder = tmp_path / "cases"
    yield server
    server.close()


def antrag(submission_id, name: str = "Hundesteuer") -> bytes:
    return orjson.dumps(
        {
            "submissionId": str(submission_id),
            "publicService": {"identifier": "urn:x", "name": name},
            "data": {"schemaUri": "https://schema.example/a"},
            "attachments": [],
            "validation": {"checked": False, "report": None},
        }
    )


def hand_over(system, submission_id, *, name: str = "Hundesteuer", file: str = "plan.pdf", **headers):
    parts = [
        ("antrag", ("antrag.json", antrag(submission_id, name), "application/json")),
        ("data", ("data.json", b"{}", "application/json")),
        ("attachment", (file, b"%PDF", "application/pdf")),
    ]
    sent = {"Idempotency-Key": str(submission_id), "Repeat": "false", "Authorization": f"Bearer {SECRET}", **headers}
    return requests.post(system.base + "/cases", files=parts, headers=sent, timeout=5)


@pytest.mark.parametrize(
    ("status", "headers"),
    [
        (401, {"Authorization": "Bearer guess"}),
        (400, {"Idempotency-Key": "../../etc"}),
        (400, {"Content-Type": "application/json"}),
        (400, {"Content-Type": "multipart/form-data; boundary=another"}),
        (404, {"Host": "evil.example"}),
    ],
)
def test_a_strange_handover_is_refused_and_leaves_nothing(status, headers, system):
    assert hand_over(system, uuid4(), **headers).status_code == status
    assert list(system.folder.iterdir()) == []


def test_a_page_elsewhere_cannot_read_it(system):
    assert requests.get(system.base + "/cases.json", headers={"Host": "evil.example"}, timeout=5).status_code == 403


def test_an_unknown_page_is_not_found(system):
    assert requests.get(system.base + "/../../etc/passwd", timeout=5).status_code == 404


def test_a_file_name_cannot_leave_its_case(system):
    submission_id = uuid4()
    assert hand_over(system, submission_id, file="../../../escaped.pdf").status_code == 201
    names = {path.name for path in (system.folder / str(submission_id) / "attachments").iterdir()}
    assert names == {"escaped.pdf"}


def test_what_a_hand_over_says_in_two_ways_is_refused(system):
    submission_id = uuid4()
    head = '--b\r\nContent-Disposition: form-data; name="{0}"; filename="{0}.json"\r\n\r\n'
    whole = head.format("antrag").encode() + antrag(submission_id) + b"\r\n--b--\r\n"
    headers = {
        "Idempotency-Key": str(submission_id),
        "Authorization": f"Bearer {SECRET}",
        "Content-Type": "multipart/form-data; boundary=b",
    }
    for rest in (b"epilogue", head.format("data").encode() + b"{}\r\n--b--\r\n"):
        assert requests.post(system.base + "/cases", data=whole + rest, headers=headers, timeout=5).status_code == 400
        assert list(system.folder.iterdir()) == []
    twice = whole.replace(b"Content-Disposition", b"Content-Disposition: x\r\nContent-Disposition")
    assert requests.post(system.base + "/cases", data=twice, headers=headers, timeout=5).status_code == 400
    assert requests.post(system.base + "/cases", data=whole + b"\r\n", headers=headers, timeout=5).status_code == 201


@pytest.mark.parametrize(
    "names", [("plan.pdf", "plan.pdf"), ("plan.pdf", "../plan.pdf")], ids=["the same", "the same once they are safe"]
)
def test_two_attachments_of_one_name_are_refused_with_a_reason(names, system):
    files = [("antrag", ("antrag.json", antrag(uuid4()), "application/json"))]
    files += [("attachment", (name, b"%PDF", "application/pdf")) for name in names]
    assert_refused_for_its_names(system, files)


@pytest.mark.parametrize("name", ["antrag.json", "received.json", "attachments"])
def test_a_part_named_as_what_lies_there_already_is_refused_with_a_reason(name, system):
    files = [
        ("antrag", ("antrag.json", antrag(uuid4()), "application/json")),
        ("data", (name, b"{}", "application/json")),
    ]
    assert_refused_for_its_names(system, files)


def assert_refused_for_its_names(system, files):
    headers = {"Idempotency-Key": str(uuid4()), "Authorization": f"Bearer {SECRET}"}
    answer = requests.post(system.base + "/cases", files=files, headers=headers, timeout=5)
    assert answer.status_code == 400
    assert "denselben Dateinamen" in answer.text
    assert "the same file name" in answer.text
    assert "plan" not in answer.text
    assert list(system.folder.iterdir()) == []


def test_a_repeat_makes_no_second_case(system):
    submission_id = uuid4()
    assert hand_over(system, submission_id).status_code == 201
    assert hand_over(system, submission_id, Repeat="true").status_code == 200
    assert len(requests.get(system.base + "/cases.json", timeout=5).json()["cases"]) == 1


def test_the_page_escapes_what_it_shows(system):
    hand_over(system, uuid4(), name="<script>alert(1)</script>")
    page = requests.get(system.base + "/", timeout=5)
    assert "<script>" not in page.text
    assert "&lt;script&gt;" in page.text
    assert page.headers["Content-Security-Policy"].startswith("default-src 'none'")


def test_an_empty_page_says_so(system):
    assert "Noch nichts eingegangen" in requests.get(system.base + "/", timeout=5).text
