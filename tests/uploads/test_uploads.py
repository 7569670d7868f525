"""Resumable uploads over HTTP, as TUS 1.0.0 words them, and the application that takes them."""

from __future__ import annotations

import base64
import hashlib
import http.client
import itertools
import json
import random
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

import pytest
from stage import BAUANTRAG, BAUEN, CANARY, TAUNUSSTEIN, Stage, serving

from hub import app
from hub.config import load_settings
from hub.crypto import decrypt, read_decryption_key
from hub.intake import uploads as intake_uploads

CHUNK = "application/offset+octet-stream"
MIB = 1024 * 1024
FILE = random.Random(19).randbytes(3 * MIB + 12_345)


def named(**said: str) -> str:
    return ",".join(f"{name} {base64.b64encode(value.encode()).decode()}" for name, value in said.items())


PLAN = named(filename="Lageplan.pdf", filetype="application/pdf")


@dataclass
class Uploading:
    """A sender who speaks TUS by hand."""

    served: Any

    def ask(self, method: str, path: str, *, body: bytes = b"", token: str | None = None, **headers: str) -> Any:
        fields = {"Tus-Resumable": "1.0.0", **{name.replace("_", "-"): value for name, value in headers.items()}}
        fields = {name: value for name, value in fields.items() if value}
        if token is not None:
            fields["Authorization"] = f"Bearer {token}"
        if body:
            fields.setdefault("Content-Type", CHUNK)
        return self.served.session.request(
            method, f"{self.served.base_url}{path}", data=body or None, headers=fields, timeout=30
        )

    def begin(self, length: int, **headers: str) -> str:
        answer = self.ask("POST", "/hub/v1/uploads", Upload_Length=str(length), **headers)
        assert answer.status_code == 201, answer.text
        return str(answer.headers["Location"])

    def send(self, url: str, offset: int, body: bytes, **headers: str) -> Any:
        return self.ask("PATCH", url, body=body, Upload_Offset=str(offset), **headers)

    def offset(self, url: str) -> int:
        answer = self.ask("HEAD", url)
        assert answer.status_code == 200
        return int(answer.headers["Upload-Offset"])

    def whole(self, content: bytes = FILE, **headers: str) -> str:
        url = self.begin(len(content), **headers)
        assert self.send(url, 0, content).status_code == 204
        return url

    def apply(self, *urls: str, key: str = "", **said: Any) -> Any:
        notes = {f"anlage-{number}": {"upload": url, **said} for number, url in enumerate(urls, start=1)}
        return self.served.post(
            "/hub/v1/applications",
            params={"service": BAUEN, "ars": TAUNUSSTEIN},
            files={
                "data": ("antrag.xml", BAUANTRAG, "application/xml"),
                "metadata": ("m.json", json.dumps({"attachments": notes}), "application/json"),
            },
            headers={"Idempotency-Key": key} if key else {},
        )


@pytest.fixture
def tus(served) -> Uploading:
    return Uploading(served)


def problem(answer: Any) -> tuple[int, str]:
    return answer.status_code, answer.json()["type"].rpartition(":")[2]


def opened(stage: Stage, accepted: Any) -> list[tuple[str, str, bytes]]:
    """What the authority finds: name, kind and content of each attachment."""
    contents = stage.hub.store.submissions.message(UUID(accepted.json()["submissionId"])).contents
    key = read_decryption_key(stage.destination("Rheingau")["private_decryption_jwk"], written_by_us=True)
    metadata = json.loads(decrypt(contents.metadata.jwe, [key], max_output=10**6))
    found = []
    for said in metadata["contentStructure"]["attachments"]:
        sealed = contents.attachments[UUID(said["attachmentId"])]
        plain = decrypt(b"".join(stage.hub.blobs.chunks(sealed)), [key], max_output=10**8)
        assert hashlib.sha512(plain).hexdigest() == said["hash"]["content"]
        found.append((said["filename"], said["mimeType"], plain))
    return found


def resting(served: Any) -> bytes:
    """Everything that lies in the data folder, keys and all."""
    return b"".join(path.read_bytes() for path in sorted(served.stage.data.rglob("*")) if path.is_file())


def test_the_hub_says_what_it_can_do_to_anybody(tus):
    del tus.served.session.headers["Authorization"]
    answer = tus.ask("OPTIONS", "/hub/v1/uploads", Tus_Resumable="")
    assert answer.status_code == 204
    assert answer.headers["Tus-Version"] == answer.headers["Tus-Resumable"] == "1.0.0"
    assert set(answer.headers["Tus-Extension"].split(",")) == {
        *("creation", "creation-with-upload", "creation-defer-length", "termination"),
        *("expiration", "checksum", "concatenation"),
    }
    assert answer.headers["Tus-Checksum-Algorithm"] == "sha1,sha256,sha512"
    assert answer.headers["Tus-Max-Size"] == "375000000"


def test_an_upload_in_chunks_becomes_an_attachment_and_is_no_more(tus):
    url = tus.begin(len(FILE), Upload_Metadata=PLAN)
    cuts = [0, 1, 70_000, 2 * MIB, len(FILE)]
    for begin, end in itertools.pairwise(cuts):
        assert tus.offset(url) == begin
        answer = tus.send(url, begin, FILE[begin:end])
        assert (answer.status_code, answer.headers["Upload-Offset"]) == (204, str(end))
    head = tus.ask("HEAD", url).headers
    assert (head["Upload-Length"], head["Upload-Metadata"], head["Cache-Control"]) == (str(len(FILE)), PLAN, "no-store")
    assert head["Upload-Expires"] == "Fri, 27 Nov 2026 12:00:00 GMT"
    accepted = tus.apply(url)
    assert accepted.status_code == 202, accepted.text
    assert opened(tus.served.stage, accepted) == [("Lageplan.pdf", "application/pdf", FILE)]
    assert problem(tus.ask("GET", url)) == (405, "method-not-allowed")
    assert tus.ask("HEAD", url).status_code == 410
    assert problem(tus.send(url, len(FILE), b"x")) == (410, "upload-gone")
    assert problem(tus.apply(url)) == (410, "upload-gone")


def test_a_repeat_gets_the_same_answer_though_its_upload_is_gone(tus):
    url = tus.whole(Upload_Metadata=PLAN)
    first = tus.apply(url, key="eins")
    again = tus.apply(url, key="eins")
    assert first.status_code == again.status_code == 202
    assert first.json() == again.json()
    assert problem(tus.apply(tus.whole(FILE + b"!", Upload_Metadata=PLAN), key="eins")) == (409, "idempotency-conflict")
    anew = tus.apply(tus.whole(Upload_Metadata=PLAN), key="eins")
    assert anew.json() == first.json(), "the same content, uploaded once more, is the same request"


def test_what_a_refused_application_names_stays_for_the_next(tus):
    url = tus.whole()
    assert tus.apply(url, purpose="nonsense").status_code == 422
    assert tus.apply(url).status_code == 202


def test_an_incomplete_upload_makes_no_attachment(tus):
    url = tus.begin(len(FILE))
    tus.send(url, 0, FILE[:-1])
    assert problem(tus.apply(url)) == (409, "upload-incomplete")
    assert tus.send(url, len(FILE) - 1, FILE[-1:]).status_code == 204
    assert tus.apply(url).status_code == 202


def test_what_broke_off_is_kept_and_with_a_checksum_dropped(tus, monkeypatch):
    arrived, write = threading.Event(), intake_uploads.ChunkWriter.write

    def noticed(self: Any, segment: bytes) -> None:
        write(self, segment)
        arrived.set()

    monkeypatch.setattr(intake_uploads.ChunkWriter, "write", noticed)
    for checksum in (False, True):
        url = tus.begin(len(FILE))
        place = urlsplit(tus.served.base_url)
        line = http.client.HTTPConnection(place.hostname, place.port, timeout=10)
        line.putrequest("PATCH", url)
        fields = {
            "Authorization": tus.served.session.headers["Authorization"],
            "Tus-Resumable": "1.0.0",
            "Content-Type": CHUNK,
            "Content-Length": str(len(FILE)),
            "Upload-Offset": "0",
        }
        if checksum:
            fields["Upload-Checksum"] = "sha256 " + base64.b64encode(hashlib.sha256(FILE).digest()).decode()
        for name, value in fields.items():
            line.putheader(name, value)
        line.endheaders()
        arrived.clear()
        line.send(FILE[:1_500_000])
        assert arrived.wait(20), "a segment is there"
        line.close()
        while (answer := tus.send(url, 0, b"")).status_code == 423:
            assert problem(answer) == (423, "upload-locked")
        kept = tus.offset(url)
        assert kept == 0 if checksum else MIB <= kept <= 1_500_000
        assert tus.send(url, kept, FILE[kept:]).status_code == 204
        assert tus.offset(url) == len(FILE)


@pytest.mark.parametrize("algorithm", ["sha1", "sha256", "sha512"])
def test_a_wrong_checksum_discards_the_chunk(tus, algorithm: str):
    url = tus.begin(len(FILE))
    right = base64.b64encode(hashlib.new(algorithm, FILE).digest()).decode()
    wrong = base64.b64encode(hashlib.new(algorithm, b"other").digest()).decode()
    assert problem(tus.send(url, 0, FILE, Upload_Checksum=f"{algorithm} {wrong}")) == (460, "upload-checksum")
    assert tus.offset(url) == 0
    assert tus.send(url, 0, FILE, Upload_Checksum=f"{algorithm} {right}").status_code == 204
    stage = tus.served.stage
    stage.hub.blobs.settle()
    assert len(list(stage.hub.blobs.names(stage.clock.now.max))) == 1, "what was discarded lies nowhere"
    assert problem(tus.send(url, 0, b"", Upload_Checksum="crc32 AAAA")) == (400, "malformed")


def test_of_two_writers_one_is_told(tus, monkeypatch):
    url = tus.begin(2 * len(FILE))
    begun, go = threading.Event(), threading.Event()
    write = intake_uploads.ChunkWriter.write

    def waiting(self: Any, segment: bytes) -> None:
        begun.set()
        assert go.wait(10)
        write(self, segment)

    monkeypatch.setattr(intake_uploads.ChunkWriter, "write", waiting)
    answers: list[Any] = []
    first = threading.Thread(target=lambda: answers.append(tus.send(url, 0, FILE)))
    first.start()
    assert begun.wait(10)
    assert problem(tus.send(url, 0, FILE)) == (423, "upload-locked")
    assert problem(tus.ask("DELETE", url)) == (423, "upload-locked")
    assert tus.offset(url) == 0
    go.set()
    first.join()
    assert answers[0].status_code == 204
    refused = tus.send(url, 0, FILE)
    assert (problem(refused), refused.json()["offset"]) == ((409, "upload-offset"), len(FILE))
    assert tus.send(url, len(FILE), FILE).status_code == 204


def test_who_lost_its_turn_writes_nothing_any_more(stage):
    """A node that slept through its lease comes back while another one writes."""
    desk, client = stage.hub.uploads, stage.sender
    begun = desk.begin(client, length=10, description=intake_uploads.Description(), concat=intake_uploads.Concat())
    asleep = desk.take(begun.key.text, client)
    writer = desk.receive(asleep, intake_uploads.Chunk(offset=0))
    stage.clock.pass_(seconds=desk.rules.lease.total_seconds() + 1)
    awake = desk.take(begun.key.text, client)
    desk.receive(awake, intake_uploads.Chunk(offset=0)).write(b"awake")
    with pytest.raises(intake_uploads.Conflict, match="Another request"):
        writer.write(b"asleep")
    asleep.release()
    assert desk.show(begun.key.text, client).offset == 5
    with pytest.raises(intake_uploads.Conflict):
        desk.take(begun.key.text, client)


def test_first_bytes_may_come_with_the_beginning(tus):
    answer = tus.ask("POST", "/hub/v1/uploads", body=FILE[:5000], Upload_Length=str(len(FILE)))
    assert (answer.status_code, answer.headers["Upload-Offset"]) == (201, "5000")
    url = answer.headers["Location"]
    assert tus.send(url, 5000, FILE[5000:]).status_code == 204
    assert tus.apply(url).status_code == 202


def test_the_length_may_be_said_later_and_once(tus):
    answer = tus.ask("POST", "/hub/v1/uploads", Upload_Defer_Length="1")
    url = answer.headers["Location"]
    assert tus.send(url, 0, FILE[:100]).status_code == 204
    assert "Upload-Length" not in tus.ask("HEAD", url).headers
    assert problem(tus.apply(url)) == (409, "upload-incomplete")
    assert tus.send(url, 100, FILE[100:200], Upload_Length="300").status_code == 204
    assert problem(tus.send(url, 200, b"x", Upload_Length="301")) == (400, "malformed")
    assert problem(tus.send(url, 200, b"x" * 101)) == (413, "payload-too-large")
    assert tus.send(url, 200, FILE[200:300], Upload_Length="300").status_code == 204
    assert tus.apply(url).status_code == 202


def parts_of(tus: Uploading, *contents: bytes) -> list[str]:
    return [tus.whole(content, Upload_Concat="partial") for content in contents]


def test_partial_uploads_are_put_together(tus):
    one, two = parts_of(tus, FILE[:MIB], FILE[MIB:])
    assert tus.ask("HEAD", one).headers["Upload-Concat"] == "partial"
    joined = f"final;{one} {tus.served.base_url}{two}"
    answer = tus.ask("POST", "/hub/v1/uploads", Upload_Concat=joined, Upload_Metadata=PLAN)
    assert answer.status_code == 201, answer.text
    url = answer.headers["Location"]
    head = tus.ask("HEAD", url).headers
    assert (head["Upload-Offset"], head["Upload-Length"]) == (str(len(FILE)), str(len(FILE)))
    assert head["Upload-Concat"] == f"final;{one} {two}"
    assert problem(tus.send(url, len(FILE), b"x")) == (403, "upload-final")
    assert problem(tus.send(one, MIB, b"x")) == (409, "upload-joined")
    again = tus.ask("POST", "/hub/v1/uploads", Upload_Concat=joined, Upload_Metadata=PLAN).headers["Location"]
    assert tus.ask("HEAD", url).status_code == 404, "whoever did not hear of it asked again, and got another"
    first, second = tus.apply(again, key="k"), tus.apply(tus.whole(Upload_Metadata=PLAN), key="k")
    assert first.status_code == 202, first.text
    assert first.json() == second.json(), "put together it is the same file, by digest, name and kind"
    assert tus.ask("HEAD", one).status_code == 404


def test_a_deleted_upload_is_gone_with_its_pieces(tus):
    url = tus.whole()
    one, two = parts_of(tus, FILE, FILE)
    final = tus.ask("POST", "/hub/v1/uploads", Upload_Concat=f"final;{one} {two}").headers["Location"]
    for each in (url, final):
        assert tus.ask("DELETE", each).status_code == 204
        assert tus.ask("HEAD", each).status_code == 404
    stage = tus.served.stage
    stage.hub.blobs.settle()
    assert list(stage.hub.blobs.names(stage.clock.now.max)) == []
    assert tus.ask("HEAD", one).status_code == 404


def test_uploads_under_way_are_counted_until_an_application_has_them(tus):
    url, clock = tus.begin(len(FILE)), tus.served.stage.clock
    tus.send(url, 0, FILE[:100])

    def shown() -> tuple[bool, bool]:
        clock.pass_(minutes=1)
        text = tus.served.get("/metrics").text
        return "\nhub_uploads 1.0\n" in text, "\nhub_upload_bytes 100.0\n" in text

    assert shown() == (True, True)
    tus.send(url, 100, FILE[100:])
    assert shown() == (True, False)
    assert tus.apply(url).status_code == 202
    assert shown() == (False, False)


def test_what_nobody_uses_expires(tus):
    url = tus.begin(len(FILE))
    tus.send(url, 0, FILE[:MIB])
    stage = tus.served.stage
    stage.clock.pass_(days=6, hours=23)
    tus.served.session.headers["Authorization"] = f"Bearer {tus.served.token('sender')}"
    assert tus.offset(url) == MIB, "days later it goes on"
    assert stage.hub.uploads.expire(stage.clock()) == 0
    stage.clock.pass_(hours=2)
    tus.served.session.headers["Authorization"] = f"Bearer {tus.served.token('sender')}"
    assert problem(tus.send(url, MIB, b"x")) == (410, "upload-gone")
    assert stage.hub.uploads.expire(stage.clock()) == 1
    assert tus.ask("HEAD", url).status_code == 404
    stage.hub.blobs.settle()
    assert list(stage.hub.blobs.names(stage.clock.now.max)) == []


def test_the_sweep_leaves_pieces_that_are_told_of(stage):
    desk, client = stage.hub.uploads, stage.sender
    begun = desk.begin(
        client, length=len(FILE), description=intake_uploads.Description(), concat=intake_uploads.Concat()
    )
    held = desk.take(begun.key.text, client)
    writer = desk.receive(held, intake_uploads.Chunk(offset=0))
    writer.write(FILE[:MIB])
    writer.finish()
    held.release()
    names = list(stage.hub.blobs.names(stage.clock.now.max))
    assert len(names) == 1
    assert stage.hub.store.retention.unreferenced([*names, "0" * 32]) == {"0" * 32}


def test_another_node_goes_on_where_the_first_one_stopped(tus):
    stage = tus.served.stage
    url = tus.begin(len(FILE), Upload_Metadata=PLAN)
    tus.send(url, 0, FILE[:MIB])
    settings = load_settings(stage.data, {}, allow_private_addresses=True, disk_watermark_bytes=0)
    other = Stage(hub=app.build(settings, clock=stage.clock), clock=stage.clock, cast=stage.cast, data=stage.data)
    with serving(other) as second:
        there = Uploading(second)
        assert there.offset(url) == MIB
        assert there.send(url, MIB, FILE[MIB:]).status_code == 204
    accepted = tus.apply(url)
    assert accepted.status_code == 202
    assert opened(stage, accepted) == [("Lageplan.pdf", "application/pdf", FILE)]


def test_nothing_at_rest_says_what_was_uploaded(tus):
    content = (CANARY.encode() * 80_000)[: 2 * MIB]
    url = tus.begin(len(content) + 100, Upload_Metadata=named(filename=f"{CANARY}.txt"))
    tus.send(url, 0, content)
    tus.send(url, len(content), CANARY.encode())
    lies = resting(tus.served)
    assert CANARY.encode() not in lies
    assert url.rpartition("/")[2].encode() not in lies, "the secret stands in the URL alone"
    rows = tus.served.stage.hub.store.uploads.pieces(intake_uploads.UploadKey.read(url[-43:]).upload_id)
    assert [(piece.length, piece.blob is None) for piece in rows] == [(2 * MIB, False), (len(CANARY), True)]


def lines_of(caplog: pytest.LogCaptureFixture) -> Iterator[str]:
    for record in caplog.records:
        yield json.dumps({name: str(value) for name, value in vars(record).items()})


def test_no_log_line_and_no_refusal_holds_an_uploads_address(tus, caplog):
    caplog.set_level("DEBUG")
    url = tus.begin(len(FILE))
    secret = url.rpartition("/")[2]
    answers = [
        tus.send(url, 5, b"x"),
        tus.send(url, 0, FILE + b"x"),
        tus.ask("PATCH", url, body=b"x", Upload_Offset="0", Content_Type="text/plain"),
        tus.ask("DELETE", url, Tus_Resumable="0.2"),
        tus.apply(url, url),
        tus.apply(url),
        tus.ask("DELETE", url),
        tus.ask("DELETE", url),
    ]
    assert [answer.status_code for answer in answers] == [409, 413, 415, 412, 400, 409, 204, 404]
    assert not any(secret in answer.text for answer in answers)
    assert all(answer.headers["Referrer-Policy"] == "no-referrer" for answer in answers[:4])
    assert all(answer.headers["Tus-Resumable"] == "1.0.0" for answer in answers[:4])
    ours = [line for line in lines_of(caplog) if '"name": "urllib3' not in line]
    assert not any(secret in line for line in ours)
