"""Attacks on resumable uploads, by name. A file is large, so each is judged before its bytes, and stays within its caps."""

from __future__ import annotations

import base64
import http.client
import secrets
from typing import Any

import pytest
from sqlalchemy import create_engine, text
from stage import serving, staged
from test_uploads import Uploading

from hub.errors import Malformed
from hub.intake import uploads as intake_uploads
from hub.uploads import Description, UploadKey, read_description

CHUNK = "application/offset+octet-stream"
HUGE = str((1 << 53) - 1)


class Attacker:
    """Somebody with a sender's token, and whatever headers they like."""

    def __init__(self, served: Any) -> None:
        self.served = served

    def ask(self, method: str, path: str = "/hub/v1/uploads", *, body: bytes = b"", **headers: str) -> Any:
        fields = {"Tus-Resumable": "1.0.0"} | {name.replace("_", "-"): value for name, value in headers.items()}
        if body:
            fields.setdefault("Content-Type", CHUNK)
        url = path if path.startswith("http") else f"{self.served.base_url}{path}"
        return self.served.session.request(method, url, data=body or None, headers=fields, timeout=30)

    def begin(self, length: int = 10, **headers: str) -> str:
        answer = self.ask("POST", Upload_Length=str(length), **headers)
        assert answer.status_code == 201, answer.text
        return str(answer.headers["Location"])

    def whole(self, content: bytes, **headers: str) -> str:
        url = self.begin(len(content), **headers)
        assert self.ask("PATCH", url, body=content, Upload_Offset="0").status_code == 204
        return url


@pytest.fixture
def attacker(served) -> Attacker:
    return Attacker(served)


def slug(answer: Any) -> tuple[int, str]:
    return answer.status_code, answer.json()["type"].rpartition(":")[2]


def under_way(attacker: Attacker) -> int:
    stage = attacker.served.stage
    stage.clock.pass_(days=8)
    return int(stage.hub.uploads.expire(stage.clock()))


def test_a_guessed_address_is_none(attacker):
    attacker.begin()
    for guess in (UploadKey.new().text, "A" * 43):
        assert attacker.ask("HEAD", f"/hub/v1/uploads/{guess}").status_code == 404
        assert slug(attacker.ask("PATCH", f"/hub/v1/uploads/{guess}", body=b"x", Upload_Offset="0")) == (
            404,
            "upload-not-found",
        )
    for none in ("A" * 42, "A" * 44, "..", "A" * 42 + "B", "%2e%2e", "A" * 41 + "%2F"):
        assert attacker.ask("HEAD", f"/hub/v1/uploads/{none}").status_code in {400, 404}, none


def test_the_hash_that_names_an_upload_in_the_database_opens_nothing(attacker):
    url = attacker.whole(b"0123456789")
    key = UploadKey.read(url[-43:])
    assert key is not None
    stolen = base64.urlsafe_b64encode(bytes.fromhex(key.upload_id)).rstrip(b"=").decode()
    assert attacker.ask("HEAD", f"/hub/v1/uploads/{stolen}").status_code == 404
    assert key.text not in repr(key)


def test_a_foreign_clients_upload_does_not_exist(attacker):
    url, part = attacker.whole(b"0123456789"), attacker.whole(b"0123456789", Upload_Concat="partial")
    stage = attacker.served.stage
    find, drop = stage.hub.uploads.show, stage.hub.uploads.drop
    for do in (lambda: find(url[-43:], "another"), lambda: drop(url[-43:], "another")):
        with pytest.raises(intake_uploads.HubError) as refused:
            do()
        assert refused.value.slug == "upload-not-found"
    concat = intake_uploads.Concat(kind=intake_uploads.ConcatKind.FINAL, parts=(part[-43:],))
    with pytest.raises(intake_uploads.HubError) as refused:
        stage.hub.uploads.begin("another", length=None, description=Description(), concat=concat)
    assert refused.value.slug == "upload-not-found"
    assert attacker.ask("HEAD", url).headers["Upload-Offset"] == "10"


def test_an_upload_of_somebody_else_becomes_nobodys_attachment(attacker):
    """Who has learned an address of another client's, and names it in an application, is told that there is none."""
    tus, stage = Uploading(attacker.served), attacker.served.stage
    url = attacker.whole(b"0123456789")
    before = stage.hub.store.submissions.cases(limit=1).total
    with create_engine(stage.hub.settings.database).begin() as connection:
        owner = connection.execute(text("SELECT client_id FROM uploads")).scalar_one()
        connection.execute(text("UPDATE uploads SET client_id = 'another'"))
    assert slug(tus.apply(url))[1] == "upload-not-found"
    assert stage.hub.store.submissions.cases(limit=1).total == before
    with create_engine(stage.hub.settings.database).begin() as connection:
        connection.execute(text("UPDATE uploads SET client_id = :owner"), {"owner": owner})
    assert tus.apply(url).status_code == 202  # Its owner still has it.


def test_without_a_token_no_byte_is_read(attacker):
    url = attacker.begin()
    del attacker.served.session.headers["Authorization"]
    for method in ("HEAD", "PATCH", "DELETE"):
        assert attacker.ask(method, url, Upload_Offset="0").status_code == 401
    assert attacker.ask("POST", Upload_Length="10").status_code == 401


def test_a_receiver_uploads_nothing(attacker):
    token = attacker.served.token("subscriber")
    assert attacker.ask("POST", Upload_Length="10", Authorization=f"Bearer {token}").status_code == 403


def test_an_offset_that_is_no_number_or_beyond_the_end_is_refused(attacker):
    url = attacker.begin()
    for offset in ("-1", "+0", "0x0", "1e1", "", "0 1", HUGE, "9" * 16, "9" * 17, "²", "0,0"):
        assert attacker.ask("PATCH", url, body=b"x", Upload_Offset=offset).status_code in {400, 409}, offset
    assert attacker.ask("HEAD", url).headers["Upload-Offset"] == "0"


def test_a_negative_or_huge_length_begins_nothing(attacker):
    wrong = {"-1": 400, "375000001": 413, HUGE: 413, "9" * 16: 400, "9" * 17: 400, "1.5": 400, "": 400}
    for length, status in wrong.items():
        assert attacker.ask("POST", Upload_Length=length).status_code == status, length
    assert attacker.ask("POST").status_code == attacker.ask("POST", Upload_Defer_Length="2").status_code == 400
    assert attacker.ask("POST", Upload_Length="1", Upload_Defer_Length="1").status_code == 400
    assert under_way(attacker) == 0


def test_more_than_was_announced_is_not_kept(attacker):
    url = attacker.begin(10)
    assert slug(attacker.ask("PATCH", url, body=b"x" * 11, Upload_Offset="0")) == (413, "payload-too-large")

    def chunks():
        yield b"x" * 6
        yield b"y" * 6

    answer = attacker.ask("PATCH", url, body=chunks(), Upload_Offset="0")
    assert slug(answer) == (413, "payload-too-large")
    assert attacker.ask("HEAD", url).headers["Upload-Offset"] == "0"


def test_the_length_is_not_changed_afterwards(attacker):
    url = attacker.begin(10)
    for other in ("5", "11", HUGE):
        answer = attacker.ask("PATCH", url, body=b"x", Upload_Offset="0", Upload_Length=other)
        assert answer.status_code == 400, other
    deferred = attacker.ask("POST", Upload_Defer_Length="1").headers["Location"]
    assert attacker.ask("PATCH", deferred, body=b"x" * 5, Upload_Offset="0").status_code == 204
    assert attacker.ask("PATCH", deferred, body=b"", Upload_Offset="5", Upload_Length="4").status_code == 400
    assert slug(attacker.ask("PATCH", deferred, Upload_Offset="5", Upload_Length=HUGE)) == (413, "payload-too-large")


def test_a_concatenation_bomb_does_not_go_off(attacker):
    part = attacker.whole(b"0123456789", Upload_Concat="partial")
    for bomb in (f"final;{part} {part}", "final;" + " ".join([part] * 90), "final;", "final; ", "partial;x"):
        assert attacker.ask("POST", Upload_Concat=bomb).status_code == 400, bomb
    many = "final;" + " ".join(f"/hub/v1/uploads/{UploadKey.new().text}" for _ in range(101))
    assert slug(attacker.ask("POST", Upload_Concat=many)) == (413, "payload-too-large")
    whole = attacker.whole(b"0123456789")
    assert slug(attacker.ask("POST", Upload_Concat=f"final;{part} {whole}")) == (403, "upload-not-partial")
    half = attacker.begin(10, Upload_Concat="partial")
    assert slug(attacker.ask("POST", Upload_Concat=f"final;{part} {half}")) == (403, "upload-not-partial")
    final = attacker.ask("POST", Upload_Concat=f"final;{part}").headers["Location"]
    other = attacker.whole(b"x", Upload_Concat="partial")
    assert slug(attacker.ask("POST", Upload_Concat=f"final;{part} {other}")) == (409, "upload-joined")
    assert slug(attacker.ask("POST", Upload_Concat=f"final;{final} {other}")) == (403, "upload-not-partial")


def test_a_concatenation_of_addresses_elsewhere_is_none(attacker):
    for url in (
        "http://127.0.0.1:9/files/1",
        "file:///etc/passwd",
        f"/hub/v1/uploads/{UploadKey.new().text}?x=1",
        f"javascript:/hub/v1/uploads/{UploadKey.new().text}",
        "http://[::1/hub",
    ):
        assert attacker.ask("POST", Upload_Concat=f"final;{url}").status_code == 400, url


def test_many_tiny_chunks_come_to_an_end(stage, monkeypatch):
    monkeypatch.setattr(intake_uploads, "MOST_PIECES", 5)
    desk = stage.hub.uploads
    begun = desk.begin(stage.sender, length=100, description=Description(), concat=intake_uploads.Concat())

    def send(offset: int) -> None:
        held = desk.take(begun.key.text, stage.sender)
        try:
            writer = desk.receive(held, intake_uploads.Chunk(offset=offset))
            writer.write(b"x")
            writer.finish()
        finally:
            held.release()

    for offset in range(5):
        send(offset)
    with pytest.raises(intake_uploads.TooLarge, match="in more than 5 pieces"):
        send(5)


def test_a_metadata_bomb_is_too_large(attacker):
    long = "filename " + base64.b64encode(b"x" * 4000).decode()
    many = ",".join(f"k{number}" for number in range(33))
    for bomb, refused in ((long, (400, "schema-violation")), (many, (413, "payload-too-large"))):
        assert slug(attacker.ask("POST", Upload_Length="1", Upload_Metadata=bomb)) == refused


@pytest.mark.parametrize("said", ["a b c", "filename !!!!", "a,a", "a =", ",", "filename dGVzdA", "ä dGVzdA=="])
def test_metadata_that_can_be_read_in_two_ways_are_refused(said: str):
    with pytest.raises(Malformed):
        read_description(said)


@pytest.mark.parametrize(
    ("name", "safe"),
    [
        ("../../etc/passwd", "passwd"),
        ("C:\\Windows\\system.ini", "system.ini"),
        ("plan\x00.pdf\r\nSet-Cookie: a=b", "plan.pdfSet-Cookie: a=b"),
        ("\u202efdp.exe", "fdp.exe"),
        (".htaccess", "htaccess"),
        ("..", None),
        ("a" * 400 + ".pdf", "a" * 251 + ".pdf"),
    ],
)
def test_path_characters_in_a_file_name_lead_nowhere(name: str, safe: str | None):
    assert read_description("filename " + base64.b64encode(name.encode()).decode()).filename == safe


def test_a_kind_that_is_none_counts_as_no_kind_when_it_is_sealed():
    said = read_description("filetype " + base64.b64encode(b"x" * 300).decode())
    assert said.media_type == "application/octet-stream"


def test_a_method_in_a_header_is_not_obeyed(attacker):
    url = attacker.whole(b"0123456789")
    for method, path in (("POST", "/hub/v1/uploads"), ("HEAD", url), ("PATCH", url), ("DELETE", url)):
        answer = attacker.ask(method, path, X_HTTP_Method_Override="DELETE", Upload_Length="1", Upload_Offset="10")
        assert answer.status_code == 400, method
    assert attacker.ask("HEAD", url).headers["Upload-Offset"] == "10"
    assert attacker.ask("TRACE", url).status_code == 405
    assert attacker.ask("POST", url, X_HTTP_Method_Override="PATCH").status_code == 405


def test_a_slow_chunk_is_given_up_and_what_came_is_kept(made_once, tmp_path):
    with staged(made_once, tmp_path, pause_seconds=1) as stage, serving(stage) as served:
        attacker = Attacker(served)
        url = attacker.begin(100)
        place = served.base_url.removeprefix("http://").split(":")
        line = http.client.HTTPConnection(place[0], int(place[1]), timeout=10)
        line.putrequest("PATCH", url)
        for name, value in {
            "Authorization": served.session.headers["Authorization"],
            "Tus-Resumable": "1.0.0",
            "Content-Type": CHUNK,
            "Content-Length": "100",
            "Upload-Offset": "0",
        }.items():
            line.putheader(name, value)
        line.endheaders()
        line.send(b"x" * 40)
        answer = line.getresponse()
        assert answer.status == 408
        line.close()
        assert attacker.ask("HEAD", url).headers["Upload-Offset"] == "40"


def test_one_client_cannot_fill_the_disk(made_once, tmp_path):
    chosen = {"uploads_per_client": 3, "upload_bytes_per_client": 1_000}
    with staged(made_once, tmp_path, **chosen) as stage, serving(stage) as served:
        attacker = Attacker(served)
        assert slug(attacker.ask("POST", Upload_Length="1001")) == (413, "upload-quota")
        assert slug(attacker.ask("POST", Upload_Defer_Length="1")) == (413, "upload-quota")
        first = attacker.begin(900)
        assert slug(attacker.ask("POST", Upload_Length="101")) == (413, "upload-quota")
        attacker.begin(50)
        attacker.begin(50)
        assert slug(attacker.ask("POST", Upload_Length="0")) == (413, "upload-quota")
        assert attacker.ask("DELETE", first).status_code == 204
        attacker.begin(900)


def test_below_the_disks_watermark_no_upload_goes_on(attacker, monkeypatch):
    url = attacker.begin()
    admission = attacker.served.stage.hub.admission
    monkeypatch.setattr(admission, "_watermark", 1 << 60)
    monkeypatch.setattr(admission, "_looked", float("-inf"))
    assert slug(attacker.ask("POST", Upload_Length="1")) == (503, "store-unavailable")
    assert slug(attacker.ask("PATCH", url, body=b"x", Upload_Offset="0")) == (503, "store-unavailable")


def test_a_piece_in_another_place_opens_nothing(stage):
    """Whoever may write to the database cannot have one upload's bytes stand in another, or at another offset."""
    key, other, segment = UploadKey.new(), UploadKey.new(), secrets.token_bytes(1000)
    sealed = key.seal(0, segment)
    assert key.open(0, 1000, sealed) == segment
    for reader, offset, content in ((other, 0, sealed), (key, 1000, sealed), (key, 0, sealed[:-1] + b"x")):
        with pytest.raises(intake_uploads.HubError):
            reader.open(offset, 1000, content)
    assert key.seal(0, segment) != sealed, "what is sent again is sealed under another nonce"
