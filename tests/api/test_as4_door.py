"""The door for access points of AS4: who may send, what is taken, and that nothing is taken twice or half."""

from __future__ import annotations

import re
import shutil
import socket
import zlib
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

import pytest
from as4_parties import CONTENT, make, related, replaced, side, signed_anew, written_agreement
from stage import BAUANTRAG, BAUEN, CANARY, NAMING, TAUNUSSTEIN, Stage, VirtualClock, serving, staged

from hub import app
from hub.config import load_settings
from hub.errors import ConfigurationError
from hub.soap.as4_reader import ENVELOPE_LIMIT, read_envelope
from hub.soap.ebms import INITIATOR, RESPONDER, Agent, PartInfo
from hub.soap.pmode import read_agreements

_WHO = {
    "sender": "bauamt",
    "receiver": "hub",
    "by": Agent(party="bauamt", role=INITIATOR),
    "to": Agent(party="hub", role=RESPONDER),
    "service": BAUEN,
    "service_kind": "",
}


def application(contents=None, **changes):
    """Return a message that the hub takes, from the access point ``bauamt``."""
    contents = {"antrag@bauamt": BAUANTRAG} if contents is None else contents
    kinds = {cid: "application/xml" if cid == next(iter(contents)) else "application/pdf" for cid in contents}
    parts = tuple(
        PartInfo(cid=cid, media_type=kind, properties={"FileName": "lageplan.pdf"}) for cid, kind in kinds.items()
    )
    return make(contents, **{**_WHO, "properties": {"ars": TAUNUSSTEIN}, "parts": parts, **changes})


@pytest.fixture
def door(made_once, tmp_path):
    """A hub to which the access point ``bauamt`` may send, behind a real server."""
    folder = written_agreement(tmp_path / "as4")
    with staged(made_once, tmp_path, as4_folder=str(folder)) as stage:
        stage.clock.now = datetime.now(UTC)
        agreed = folder / "bauamt.toml"
        agreed.write_text(agreed.read_text().replace("CLIENT", stage.sender))
        with serving(stage) as served:
            yield served


def sent(door, made, *, envelope=None, sealed=None):
    body, content_type = related(made.envelope.content if envelope is None else envelope, made.sealed | (sealed or {}))
    return door.post("/as4", data=body, headers={"Content-Type": content_type, "Authorization": None})


def said(answer):
    """Return what an answer says, proven by the hub's certificate."""
    assert answer.headers["Content-Type"].startswith("application/soap+xml")
    return read_envelope(answer.content).signal(side("hub").peer, now=datetime.now(UTC))


def stored(door):
    return door.stage.hub.store.submissions.cases(limit=10).total


def kept(door):
    """Return the files with contents that lie in the data folder."""
    return [path for path in (door.stage.data / "blobs").rglob("*") if path.is_file()]


def test_a_message_is_an_application_and_its_receipt_repeats_what_was_signed(door):
    made = application({"antrag@bauamt": NAMING, "plan@bauamt": CONTENT * 4000})
    answer = sent(door, made)
    assert (answer.status_code, said(answer).refers_to) == (200, made.message.message_id)
    assert said(answer).digests == made.envelope.digests
    listed = door.get("/hub/v1/applications").json()["applications"]
    assert [(each["service"], each["ars"]) for each in listed] == [(BAUEN, TAUNUSSTEIN)]
    message = door.stage.hub.store.submissions.message(UUID(listed[0]["submissionId"]))
    assert len(message.contents.attachments) == 1


def test_a_message_that_comes_again_gets_a_receipt_again_also_at_another_node(door, tmp_path):
    made = application()
    first = said(sent(door, made))
    again = said(sent(door, made))
    assert (again.refers_to, again.digests, stored(door)) == (first.refers_to, first.digests, 1)
    settings = load_settings(
        door.stage.data, {}, allow_private_addresses=True, disk_watermark_bytes=0, node="second",
        as4_folder=str(tmp_path / "as4"),
    )  # fmt: skip
    other = app.build(settings, clock=VirtualClock(door.stage.clock()))
    try:
        with serving(Stage(hub=other, clock=door.stage.clock, cast=door.stage.cast, data=door.stage.data)) as second:
            assert said(sent(second, made)).digests == first.digests
    finally:
        other.close()
    assert stored(door) == 1


def test_another_message_under_the_same_id_is_refused(door):
    made = application()
    sent(door, made)
    other = application({"antrag@bauamt": BAUANTRAG + b"\n"}, message_id=made.message.message_id)
    assert (said(sent(door, other)).codes, stored(door)) == (("EBMS:0004",), 1)


@pytest.mark.parametrize(
    ("changes", "code", "slug"),
    [
        ({"contents": {"antrag@bauamt": b"<bau/>"}}, "EBMS:0004", "schema"),
        ({"properties": {}}, "EBMS:0004", "malformed"),
        ({"properties": {"ars": "000000000000"}}, "EBMS:0004", "invalid"),
        ({"service": "urn:de:fim:leika:leistung:99000000000000"}, "EBMS:0004", "route"),
        ({"properties": {"ars": TAUNUSSTEIN, "schema": "urn:nobody"}}, "EBMS:0004", "schema"),
    ],
    ids=["invalid", "without an area", "no such area", "nobody's service", "unknown schema"],
)
def test_what_the_plain_door_refuses_is_refused_in_a_signed_error(changes, code, slug, door):
    made = application(**changes)
    answer = sent(door, made)
    signal = said(answer)
    assert (signal.signed, signal.refers_to, signal.codes, stored(door)) == (True, made.message.message_id, (code,), 0)
    detail = re.search(rb"<eb:ErrorDetail>([a-z-]+): ", answer.content)
    assert detail is not None
    assert slug in detail[1].decode()
    assert b"Zwitscher" not in answer.content


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"sender": "eve"}, "EBMS:0101"),
        ({"by": Agent(party="eve", role=INITIATOR)}, "EBMS:0010"),
        ({"to": Agent(party="other", role=RESPONDER)}, "EBMS:0010"),
        ({"action": "another"}, "EBMS:0010"),
        ({"agreement": "urn:example:other"}, "EBMS:0010"),
    ],
    ids=["another certificate", "another sender", "for another", "another action", "another agreement"],
)
def test_a_stranger_gets_an_unsigned_word_and_has_no_part_read(changes, code, door):
    made = application(**changes)
    body, content_type = related(made.envelope.content, made.sealed)
    begun = body[: body.index(b"Content-ID")]
    address = (door.base_url.partition("//")[2].split(":")[0], int(door.base_url.rpartition(":")[2]))
    with socket.create_connection(address, timeout=20) as line:
        head = f"POST /as4 HTTP/1.1\r\nHost: hub\r\nContent-Type: {content_type}\r\nContent-Length: {len(body) + 10**6}\r\n\r\n"
        line.sendall(head.encode() + begun)
        answer = b""
        while b"</S12:Envelope>" not in answer:
            answer += line.recv(65536)
    assert answer.startswith(b"HTTP/1.1 400 ")
    signal = read_envelope(answer.partition(b"\r\n\r\n")[2]).signal(side("hub").peer, now=datetime.now(UTC))
    assert (signal.signed, signal.codes, signal.refers_to) == (False, (code,), "")
    assert stored(door) == 0


def test_a_part_that_was_changed_on_its_way_leaves_nothing_behind(door):
    made = application({"antrag@bauamt": NAMING, "plan@bauamt": CONTENT * 4000})
    before = kept(door)
    changed = bytearray(made.sealed["plan@bauamt"])
    changed[-1] ^= 1
    signal = said(sent(door, made, sealed={"plan@bauamt": bytes(changed)}))
    assert (signal.signed, signal.codes, stored(door), kept(door)) == (True, ("EBMS:0102",), 0, before)


def test_parts_are_those_that_were_signed_no_fewer_and_no_more(door):
    made = application({"antrag@bauamt": NAMING, "plan@bauamt": CONTENT})
    more = sent(door, made, sealed={"stranger@bauamt": made.sealed["plan@bauamt"]})
    body, content_type = related(made.envelope.content, {"antrag@bauamt": made.sealed["antrag@bauamt"]})
    fewer = door.post("/as4", data=body, headers={"Content-Type": content_type})
    cut = door.post("/as4", data=body[:-20], headers={"Content-Type": content_type})
    assert [said(each).codes for each in (more, fewer, cut)] == [("EBMS:0007",), ("EBMS:0007",), ("EBMS:0004",)]
    assert stored(door) == 0


def test_an_application_that_unpacks_without_end_is_refused(door):
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    bomb = b"".join([*(packer.compress(bytes(1 << 20)) for _ in range(120)), packer.flush()])
    made = application({"antrag@bauamt": bomb}, compressed=True)
    assert (said(sent(door, made)).codes, stored(door)) == (("EBMS:0303",), 0)


def test_a_sender_that_was_locked_out_is_nobody(door):
    door.stage.hub.store.parties.disable_client(door.stage.sender, door.stage.clock())
    assert (said(sent(door, application())).codes, stored(door)) == (("EBMS:0010",), 0)


def test_no_room_is_told_by_http_so_that_it_comes_again(door):
    made = application()
    door.stage.hub.admission._watermark = 1 << 60
    answer = sent(door, made)
    assert (answer.status_code, int(answer.headers["Retry-After"]) > 0, answer.content) == (503, True, b"")
    door.stage.hub.admission._watermark = 0
    assert (said(sent(door, made)).digests, stored(door)) == (made.envelope.digests, 1)


@pytest.mark.parametrize(
    "body",
    [
        lambda envelope: envelope + b" " * ENVELOPE_LIMIT,
        lambda envelope: b'<!DOCTYPE x [<!ENTITY a "aaaa">]>' + envelope,
        lambda envelope: replaced(envelope, r"<eb:Messaging .*</eb:Messaging>", ""),
        lambda envelope: replaced(envelope, r"<wsse:Security .*</wsse:Security>", ""),
        lambda envelope: signed_anew(envelope.replace(BAUEN.encode(), b"urn:other"), side("eve").key),
    ],
    ids=["too large", "a document type", "no message", "no signature", "signed by another"],
)
def test_an_envelope_that_nobody_agreed_on_is_refused_unsigned(body, door):
    made = application()
    answer = sent(door, made, envelope=body(made.envelope.content))
    assert (answer.status_code, said(answer).signed, stored(door)) == (400, False, 0)


@pytest.mark.parametrize("kind", ["", "application/soap+xml", "multipart/form-data; boundary=x", "multipart/related"])
def test_what_is_no_related_multipart_is_refused(kind, door):
    answer = door.post("/as4", data=b"--x\r\n\r\n", headers={"Content-Type": kind})
    assert (answer.status_code, said(answer).codes) == (400, ("EBMS:0007",))


def test_other_methods_are_not_known_and_without_agreements_there_is_no_door(door, made_once, tmp_path):
    assert door.get("/as4").status_code == 405
    with staged(made_once, tmp_path / "other") as stage, serving(stage) as shut:
        assert shut.get("/as4").status_code == 404


def test_nothing_of_a_message_lies_open_on_the_disk(door):
    named = BAUANTRAG.replace(b"Mustermann", CANARY.encode())
    assert said(sent(door, application({"antrag@bauamt": named, "plan@bauamt": CANARY.encode() * 90000}))).digests
    for path in door.stage.data.rglob("*"):
        assert not path.is_file() or CANARY.encode() not in path.read_bytes(), path


@pytest.mark.parametrize(
    ("spoil", "word"),
    [
        (lambda folder: (folder / "bauamt.toml").unlink(), "as4_folder"),
        (lambda folder: _changed(folder, 'client = "CLIENT"\n', ""), "peer.client"),
        (lambda folder: shutil.copy(folder / "bauamt.toml", folder / "twin.toml"), "two agree"),
        (lambda folder: _changed(folder, "edelivery-1.15", "edelivery-0.1"), "profile"),
    ],
    ids=["none", "without a client", "two the same", "another profile"],
)
def test_agreements_that_are_not_wholly_understood_stop_the_start(spoil, word, tmp_path):
    folder = written_agreement(tmp_path / "as4")
    spoil(folder)
    with pytest.raises(ConfigurationError, match=word):
        read_agreements(folder)


def _changed(folder: Path, old: str, new: str) -> None:
    agreed = folder / "bauamt.toml"
    assert old in agreed.read_text()
    agreed.write_text(agreed.read_text().replace(old, new))
