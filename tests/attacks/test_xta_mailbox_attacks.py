"""What may be tried at the mailbox over XTA: by strangers, by other authorities, and by what a request is made of."""

from __future__ import annotations

import http.client
import socket
import ssl
from datetime import UTC, datetime
from uuid import UUID

import pytest
from sqlalchemy import update
from stage import staged
from xta_mailbox import READER, SPACES, envelope, give, serving_boxes

from hub.crypto.development import InsecureThrowawayAuthority
from hub.model import DeadCause, State, Subject
from hub.soap.mailbox import REQUEST_LIMIT, BoxOperation
from hub.store import tables

BOX = "/services/XTAService/MsgBoxPort"
LIST = "<o:MsgBoxStatusListRequest/>"


@pytest.fixture(scope="module")
def box(made_once, tmp_path_factory):
    folder = tmp_path_factory.mktemp("boxes")
    with staged(made_once, folder) as stage, serving_boxes(stage, folder) as box:
        yield box


@pytest.fixture(scope="module")
def neighbour(box):
    """Another authority with a mailbox and a certificate of its own."""
    pair = box.authority.issue("127.0.0.3")
    give(box.stage, box.stage.destination_id("Wiesbaden"), pair[0], "bau:064140000000")
    return pair


def state_of(box, message_id):
    return box.stage.hub.store.submissions.message(UUID(message_id.rpartition(":")[2]), Subject.SUBMISSION).state


def test_nobody_gets_in_without_a_certificate(box):
    context = ssl.create_default_context(cafile=str(box.authority.ca_file))
    line = http.client.HTTPSConnection("127.0.0.1", box.port, context=context, timeout=30)

    def ask():
        line.request("POST", BOX, body=envelope(BoxOperation.LIST.action, LIST))
        line.getresponse()

    with pytest.raises(OSError):  # TLS says so in several ways
        ask()
    line.close()


def test_nobody_gets_in_with_a_certificate_of_their_own_making(box, tmp_path):
    forged = InsecureThrowawayAuthority(tmp_path / "forger", now=datetime.now(UTC)).issue("127.0.0.2")
    with pytest.raises(OSError):  # TLS says so in several ways
        box.ask(BoxOperation.LIST, LIST, pair=forged)


def test_a_good_certificate_that_no_mailbox_names_gets_nothing_and_its_body_is_not_read(box):
    stranger = box.authority.issue("127.0.0.9")
    line = box.dial(stranger)
    line.putrequest("POST", BOX)
    line.putheader("Content-Length", "5000")
    line.endheaders()
    answer = line.getresponse()  # Not a byte of the body was sent.
    assert (answer.status, b"PermissionDenied" in answer.read()) == (500, True)
    line.close()


def test_one_authority_cannot_ask_as_another(box, neighbour):
    mine = box.accepted()
    assert box.ask(BoxOperation.LIST, LIST, pair=neighbour, author=READER).exception == "PermissionDenied"
    assert box.get(mine, pair=neighbour, author=READER).exception == "PermissionDenied"
    assert box.close_message(mine, pair=neighbour, author=READER).exception == "PermissionDenied"


def test_another_authoritys_message_is_not_there_whoever_knows_its_id(box, neighbour):
    mine, theirs = box.accepted(), "bau:064140000000"
    box.get(mine)
    assert box.get(mine, pair=neighbour, author=theirs).exception == "InvalidMessageID"
    assert box.close_message(mine, pair=neighbour, author=theirs).exception == "InvalidMessageID"
    report = box.ask(BoxOperation.REPORT, f"<a:MessageID>{mine}</a:MessageID>", pair=neighbour, author=theirs)
    assert report.exception == "InvalidMessageID"
    assert state_of(box, mine) is State.SUBMITTED


def test_a_certificate_that_is_taken_out_of_the_mailbox_opens_nothing_from_the_next_request_on(box):
    leaving = box.authority.issue("127.0.0.4")
    place = box.stage.destination_id("Frankfurt")
    give(box.stage, place, leaving[0], "bau:064120000000")
    ask = {"pair": leaving, "author": "bau:064120000000"}
    assert box.ask(BoxOperation.LIST, LIST, **ask).status == 200
    give(box.stage, place, box.authority.issue("127.0.0.5")[0], "bau:064120000000")
    assert box.ask(BoxOperation.LIST, LIST, **ask).exception == "PermissionDenied"


def test_what_was_never_handed_out_cannot_be_closed_away(box):
    collected, unseen = box.accepted(), box.accepted()
    box.get(collected)
    assert box.close_message(collected, unseen).exception == "InvalidMessageID"
    assert (state_of(box, collected), state_of(box, unseen)) == (State.SUBMITTED, State.SUBMITTED)


def test_quarantined_submissions_are_neither_listed_nor_handed_out(box):
    kept_back = box.accepted()
    store = box.stage.hub.store
    delivery = store.deliveries.of(UUID(kept_back.rpartition(":")[2]))

    table = tables.deliveries
    dead = update(table).where(table.c.delivery_id == str(delivery.delivery_id))
    values = {"state": "dead", "cause": DeadCause.PAYLOAD.value, "next_attempt_at": None, "attempts": 0}
    store.database.write(lambda connection: connection.execute(dead.values(values)))
    assert kept_back not in box.list().ids
    assert box.get(kept_back).exception == "InvalidMessageID"
    assert box.close_message(kept_back).exception == "InvalidMessageID"


@pytest.mark.parametrize(
    "before",
    [
        '<!DOCTYPE s [<!ENTITY f SYSTEM "file:///etc/hostname">]>',
        "<!DOCTYPE s [" + "".join(f'<!ENTITY e{n} "{f"&e{n - 1};" * 10 if n else "x"}">' for n in range(12)) + "]>",
        '<!DOCTYPE s SYSTEM "https://evil.example/x.dtd">',
    ],
    ids=["a file", "a bomb", "elsewhere"],
)
def test_document_types_are_refused(box, before):
    answer = box.send(BOX, envelope(BoxOperation.LIST.action, LIST, before=before))
    assert (answer.status, answer.exception) == (400, "ParameterIsNotValid")


ACTION = f'<a:Action xmlns:a="{SPACES["a"]}">'


@pytest.mark.parametrize(
    ("body", "more"),
    [
        (envelope(BoxOperation.LIST.action, LIST, header=f"{ACTION}{BoxOperation.CLOSE.action}</a:Action>"), {}),
        (envelope(BoxOperation.LIST.action, LIST), {"SOAPAction": f'"{BoxOperation.CLOSE.action}"'}),
        (
            envelope(BoxOperation.LIST.action, LIST),
            {"Content_Type": f'application/soap+xml; action="{BoxOperation.GET.action}"'},
        ),
        (envelope(BoxOperation.LIST.action, '<o:MsgBoxCloseRequest MsgBoxRequestID="1"/>'), {}),
        (envelope(BoxOperation.LIST.action, LIST + '<o:MsgBoxCloseRequest MsgBoxRequestID="1"/>'), {}),
        (envelope(BoxOperation.LIST.action, LIST + LIST), {}),
        (envelope(BoxOperation.LIST.action, f"<w>{LIST}</w>"), {}),
        (envelope(BoxOperation.ACTIVE.action, ""), {}),
        (
            envelope(
                BoxOperation.LIST.action,
                LIST,
                header='<m:Author><m:Identifier type="xoev">bau:1</m:Identifier></m:Author>',
            ),
            {},
        ),
        (envelope(BoxOperation.LIST.action, LIST).replace(b"</s:Body>", b"</s:Body><s:Body/>"), {}),
        (envelope(BoxOperation.LIST.action, LIST).replace(b"http://www.w3.org/2003/05/soap-envelope", b"urn:soap"), {}),
        (envelope(BoxOperation.LIST.action, "<b>" * 2000 + "</b>" * 2000), {}),
        (
            envelope(
                BoxOperation.LIST.action, f"<o:MsgBoxStatusListRequest>{'<b/>' * 5000}</o:MsgBoxStatusListRequest>"
            ),
            {},
        ),
        (envelope(BoxOperation.LIST.action, '<o:MsgBoxStatusListRequest maxListItems="-1"/>'), {}),
        (b"\xff" * 100, {}),
        (b"x" * (REQUEST_LIMIT + 1), {}),
    ],
    ids=[
        *("two actions", "another action in SOAPAction", "another action in Content-Type", "another body"),
        *("two bodies' worth", "the same twice", "wrapped", "of the other port", "two authors", "two bodies"),
        *("another SOAP", "deep", "many", "a negative number", "no text", "too long"),
    ],
)
def test_a_request_that_says_two_things_or_none_is_refused(box, body, more):
    answer = box.send(BOX, body, **more)
    assert (answer.status, answer.exception) == (400, "ParameterIsNotValid")


@pytest.mark.parametrize("named", ["1", "urn:x:&lt;b&gt;", "urn:ü", "urn:" + "x" * 500, "https://evil.example", ""])
def test_message_ids_that_are_no_plain_urns_are_refused(box, named):
    answer = box.ask(
        BoxOperation.GET,
        f"<o:MsgBoxFetchRequest><o:MsgSelector><a:MessageID>{named}</a:MessageID></o:MsgSelector></o:MsgBoxFetchRequest>",
    )
    assert answer.exception == "ParameterIsNotValid"


@pytest.mark.parametrize("place", ["urn:rathaus-hub:xta:after:' OR 1=1", "urn:rathaus-hub:xta:after:", "", "x" * 5000])
def test_a_list_does_not_go_on_at_a_place_that_is_none(box, place):
    answer = box.ask(BoxOperation.NEXT_LIST, f'<o:MsgBoxGetNextRequest MsgBoxRequestID="{place}"/>')
    (none,) = answer.all("s:Header/o:MsgBoxResponse/o:NoMessageAvailable")
    assert (none.get("reason").rpartition("/")[2], answer.ids) == ("RequestIdInvalid", [])


def test_no_answer_repeats_what_was_asked(box):
    related = envelope(BoxOperation.LIST.action, LIST).replace(b"urn:uuid:1", b"urn:x:&lt;script&gt;")
    assert b"script" not in repr(box.send(BOX, related).headers).encode()
    assert not box.send(BOX, related).all(".//a:RelatesTo")


def test_a_body_that_does_not_come_is_not_waited_for(box, monkeypatch):
    monkeypatch.setattr("hub.api.xta_mailbox._BODY_SECONDS", 0.2)
    line = box.dial()
    line.putrequest("POST", BOX)
    line.putheader("Content-Length", "5000")
    line.endheaders()
    line.send(b"<")
    assert line.getresponse().status == 408
    line.close()


def test_other_paths_and_methods_are_not_there(box):
    line = box.dial()
    for method, path, status in (("GET", BOX, 405), ("POST", "/hub/v1/applications", 404), ("POST", f"{BOX}/..", 404)):
        line.request(method, path, body=b"")
        answer = line.getresponse()
        answer.read()
        assert answer.status == status
    line.close()


def test_plain_http_at_the_port_gets_nothing(box):
    with socket.create_connection(("127.0.0.1", box.port), timeout=30) as line:
        line.sendall(f"POST {BOX} HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n".encode())
        assert b"200" not in line.recv(1000)
