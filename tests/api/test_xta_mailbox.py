"""An authority empties its mailbox by XTA 2.1.1: it lists, collects and closes, and what it closed is taken over."""

from __future__ import annotations

import json
import os
import re
import threading
import time
from hashlib import sha512
from pathlib import Path
from uuid import UUID

import pytest
import uvicorn
from lxml import etree
from shared_data import SHARED, needs_shared_data
from stage import staged
from xta_mailbox import READER, SPACES, serving_boxes

from hub.api.xta_mailbox import server_tls
from hub.config import load_settings
from hub.errors import ConfigurationError, StoreUnavailable, Text
from hub.fit_connect.boxes import MessageBoxes
from hub.identity import Caller
from hub.model import EventKind, State, Subject
from hub.soap.mailbox import BoxOperation
from hub.soap.xta import XtaPart


@pytest.fixture(scope="module")
def box(made_once, tmp_path_factory):
    folder = tmp_path_factory.mktemp("boxes")
    with staged(made_once, folder) as stage, serving_boxes(stage, folder) as box:
        yield box


@pytest.fixture(autouse=True)
def empty(box):
    """Nothing waits from the test before."""
    yield
    for each in box.list().ids:
        box.get(each)
        box.close_message(each)


def message_of(box, message_id):
    return box.stage.hub.store.submissions.message(UUID(message_id.rpartition(":")[2]), Subject.SUBMISSION)


def events_of(box, message):
    return box.stage.hub.store.event_log.events(message.case_id).items


def test_what_waits_is_listed_collected_and_closed(box):
    first, second = box.accepted(), box.accepted()
    assert box.list().ids == [first, second]
    got = box.get(first)
    named = got.text("s:Header/m:MessageMetaData/m:MsgIdentification/a:MessageID")
    assert (got.status, named, got.headers["cache-control"]) == (200, first, "no-store")
    assert message_of(box, first).collected_at is not None
    assert box.list().ids == [first, second], "collecting takes nothing away"
    assert box.close_message(first).status == 200
    assert box.list().ids == [second]
    assert message_of(box, first).state is State.ACCEPTED
    assert box.close_message(first).status == 200, "closing twice is closing once"
    kinds = [each.kind for each in events_of(box, message_of(box, first))]
    assert (kinds[-1], kinds.count(EventKind.ACCEPT)) == (EventKind.ACCEPT, 1)
    assert box.get(first).exception == "InvalidMessageID"


def test_closing_writes_what_the_sealed_door_writes_and_tells_the_sender(box):
    first = box.accepted()
    before = message_of(box, first)
    box.get(first)
    box.close_message(first)
    event = events_of(box, before)[-1]
    assert event.by_hub
    assert event.payload["authenticationTags"] == before.contents.authentication_tags()
    client = box.stage.hub.store.parties.client(box.stage.sender)
    sender = Caller(client_id=client.client_id, kind=client.kind, scopes=client.scopes, expires_at=box.stage.clock())
    assert box.stage.hub.desk.progress(before.id, caller=sender).state is State.ACCEPTED


def test_parts_are_those_that_are_sealed_and_the_manifest_proves_them(box):
    first = box.accepted()
    contents = message_of(box, first).contents
    got = box.get(first)
    manifest = json.loads(got.parts["part-0@hub"])
    sent = {sha512(part).hexdigest() for name, part in got.parts.items() if name != "part-0@hub"}
    assert sent == {sealed.sha512 for _part, sealed in contents.parts()}
    assert {facts["sha512"] for facts in manifest["files"].values()} == sent
    assert (manifest["version"], manifest["destinationId"]) == (2, str(box.destination_id))
    assert manifest["receipt"].count(".") == 2
    names = [each.get("filename") for each in got.all("s:Body/x:GenericContentContainer/x:ContentContainer/*")]
    assert names == ["manifest.json", *manifest["files"]]
    sizes = [int(each.get("size")) for each in got.all("s:Body/x:GenericContentContainer/x:ContentContainer/*")]
    assert sizes == [len(part) for part in got.parts.values()]


def test_a_request_as_clients_of_cxf_send_it_in_multipart_is_understood(box):
    first = box.accepted()
    plain = f"""<s:Envelope xmlns:s="{SPACES["s"]}" xmlns:a="{SPACES["a"]}" xmlns:m="{SPACES["m"]}"><s:Header>
    <a:Action>{BoxOperation.LIST.action}</a:Action><m:Author><m:Identifier type="xoev">{READER}</m:Identifier></m:Author>
    </s:Header><s:Body><q:MsgBoxStatusListRequest xmlns:q="{SPACES["o"]}"/></s:Body></s:Envelope>"""
    body = f"--uuid:1\r\nContent-Type: application/xop+xml\r\nContent-ID: <r>\r\n\r\n{plain}\r\n--uuid:1--\r\n"
    action = BoxOperation.LIST.action
    start = f'start-info="application/soap+xml; action=\\"{action}\\""'
    kind = f'multipart/related; type="application/xop+xml"; boundary="uuid:1"; {start}'
    answer = box.send("/services/XTAService/MsgBoxPort", body.encode(), Content_Type=kind, SOAPAction=action)
    assert answer.ids == [first]


def going_on(box, operation, answer):
    request_id = answer.all("s:Header/o:MsgBoxResponse")[0].get("MsgBoxRequestID")
    return box.ask(operation, f'<o:MsgBoxGetNextRequest MsgBoxRequestID="{request_id}"/>')


def test_long_lists_go_on_where_they_ended_also_after_what_was_closed_meanwhile(box):
    ids = [box.accepted() for _ in range(5)]
    answer = box.list('ListForm="MessageMetaData" maxListItems="2"')
    assert (answer.ids, answer.text("s:Header/o:MsgBoxResponse/o:ItemsPending")) == (ids[:2], "3")
    for each in ids[:2]:
        box.get(each)
    box.close_message(*ids[:2])
    answer = going_on(box, BoxOperation.NEXT_LIST, answer)
    assert answer.ids == ids[2:]
    last = going_on(box, BoxOperation.NEXT_LIST, answer)
    assert (last.ids, len(last.all("s:Header/o:MsgBoxResponse/o:NoMessageAvailable"))) == ([], 1)


def test_messages_can_be_collected_one_after_the_other_without_a_list(box):
    ids = [box.accepted() for _ in range(2)]
    path = "s:Header/m:MessageMetaData/m:MsgIdentification/a:MessageID"
    first = box.get()
    second = going_on(box, BoxOperation.NEXT, first)
    assert [first.text(path), second.text(path)] == ids
    assert going_on(box, BoxOperation.NEXT, second).exception == "InvalidMessageID"


def test_lists_choose_what_was_never_collected_and_by_ids(box):
    ids = [box.accepted() for _ in range(3)]
    box.get(ids[0])
    assert box.list(selector='<o:MsgSelector newEntry="true"/>').ids == ids[1:]
    chosen = f"<o:MsgSelector><a:MessageID>{ids[2]}</a:MessageID></o:MsgSelector>"
    assert box.list(selector=chosen).ids == ids[2:]


def test_the_short_form_of_a_list_says_sizes_and_times(box):
    first = box.accepted()
    answer = box.list('ListForm="MsgAtrributes"')  # as the schema spells it
    (listed,) = answer.all("s:Body/o:MsgStatusList/o:MsgAttributes")
    total = sum(sealed.size for _part, sealed in message_of(box, first).contents.parts())
    assert listed.findtext("o:MsgSize", namespaces=SPACES) == str(total)
    assert listed.findtext("a:MessageID", namespaces=SPACES) == first


def test_the_management_port_says_who_is_there_what_is_taken_and_what_became_of_it(box):
    first = box.accepted()
    assert box.ask(BoxOperation.ACTIVE).status == 200
    asked = f"<a:MessageID>{first}</a:MessageID>"
    assert box.ask(BoxOperation.REPORT, asked).text("s:Body/x:TransportReport/x:MessageStatus/x:Status") == "0"
    box.get(first)
    box.close_message(first)
    assert box.ask(BoxOperation.REPORT, asked).text("s:Body/x:TransportReport/x:MessageStatus/x:Status") == "1"
    assert box.ask(BoxOperation.CANCEL, asked).exception == "CancelDenied"
    assert box.ask(BoxOperation.NEW_ID).exception == "PermissionDenied"
    service = message_of(box, first).service.identifier
    wanted = "".join(
        f'<x:LookupServiceRequestList><x:LookupService><m:Reader><m:Identifier type="xoev">{READER}</m:Identifier></m:Reader>'
        f"<x:ServiceType>{each}</x:ServiceType></x:LookupService></x:LookupServiceRequestList>"
        for each in (service, "urn:none")
    )
    answer = box.ask(BoxOperation.SERVICES, f"<x:LookupServiceRequest>{wanted}</x:LookupServiceRequest>")
    assert [each.text for each in answer.all(".//x:ServiceIsAvailable")] == ["true", "false"]


def test_what_cannot_be_stored_now_is_no_loss_and_is_closed_by_the_next_try(box, monkeypatch):
    first = box.accepted()
    box.get(first)
    log = box.stage.hub.store.event_log

    def refuse(*_args, **_named):
        raise StoreUnavailable(Text("Nein.", "No."))

    with monkeypatch.context() as patched:
        patched.setattr(type(log), "append", refuse)
        assert box.close_message(first).exception == "XTAWSTechnicalProblem"
    assert message_of(box, first).state is State.SUBMITTED
    assert box.close_message(first).status == 200


def resident(name):
    return int(re.search(rf"{name}:\s+(\d+) kB", Path("/proc/self/status").read_text())[1])


def test_a_large_part_is_streamed(box, monkeypatch):
    """Who collects reads as it comes: neither the part nor the answer is ever held."""
    first = box.accepted()
    box.get(first)  # What any request takes is taken.
    piece, number = os.urandom(64 * 1024), 16 * 64
    hand_out = MessageBoxes.hand_out

    def with_a_large_part(self, *args, **named):
        message, parts = hand_out(self, *args, **named)
        chunks = (bytes(bytearray(piece)) for _ in range(number))
        return message, [*parts, XtaPart(name="large", media_type="a/b", size=number * len(piece), chunks=chunks)]

    monkeypatch.setattr(MessageBoxes, "hand_out", with_a_large_part)
    line = box.dial()
    body = box.fetching(first)
    Path("/proc/self/clear_refs").write_text("5")  # The peak is counted from here on.
    before, received = resident("VmRSS"), 0
    line.request("POST", "/services/XTAService/MsgBoxPort", body=body, headers={"Content-Type": "application/soap+xml"})
    answer = line.getresponse()
    while came := answer.read(64 * 1024):
        received += len(came)
    line.close()
    assert received == int(answer.headers["content-length"]) > number * len(piece)
    assert resident("VmHWM") - before <= 16 * 1024


@needs_shared_data
def test_answers_are_valid_by_the_schemas_of_the_standard(box):
    box.accepted()
    first = box.accepted()
    xta, osci = (
        etree.XMLSchema(file=str(SHARED / "xta" / name))
        for name in ("XTA-Webservice-Globale-Elemente.xsd", "OSCI2_02.xsd")
    )
    faults = etree.XMLSchema(file=str(SHARED / "xta" / "XTA-Webservice-Exceptions.xsd"))
    for form in ("MessageMetaData", "MsgAtrributes"):
        listed = box.list(f'ListForm="{form}"')
        osci.assertValid(etree.ElementTree(listed.all("s:Body/o:MsgStatusList")[0]))
        osci.assertValid(etree.ElementTree(listed.all("s:Header/o:MsgBoxResponse")[0]))
    got = box.get(first)
    for include in got.all(".//{http://www.w3.org/2004/08/xop/include}Include"):
        include.getparent().text = "eA=="
        include.getparent().remove(include)
    xta.assertValid(etree.ElementTree(got.all("s:Body/x:GenericContentContainer")[0]))
    osci.assertValid(etree.ElementTree(got.all("s:Header/o:MsgBoxResponse")[0]))
    xta.assertValid(
        etree.ElementTree(box.ask(BoxOperation.REPORT, f"<a:MessageID>{first}</a:MessageID>").all("s:Body/*")[0])
    )
    faults.assertValid(etree.ElementTree(box.get("urn:none").all("s:Body/s:Fault/s:Detail/*")[0]))


def test_a_server_whose_loop_dies_listens_again(box, monkeypatch):
    died, tick = threading.Event(), uvicorn.Server.on_tick

    async def dying(server, counter):
        if not died.is_set():
            died.set()
            raise MemoryError
        return await tick(server, counter)

    first = box.server
    monkeypatch.setattr(uvicorn.Server, "on_tick", dying)
    assert died.wait(30)
    deadline = time.monotonic() + 30
    while box.server is first or not box.server.started:  # Nobody calls meanwhile: a loop that ends takes nothing on.
        assert time.monotonic() < deadline, "the mailbox did not come back"
        time.sleep(0.02)
    assert box.ask(BoxOperation.ACTIVE).status == 200


@pytest.mark.parametrize("missing", ["certificate", "clients", "pair"])
def test_a_port_without_its_files_stops_the_start(box, tmp_path, missing):
    certificate, key = map(str, box.server_pair)
    clients = str(box.authority.ca_file)
    files = {
        "certificate": (str(tmp_path / "none.pem"), key, clients),
        "clients": (certificate, key, str(tmp_path / "none.pem")),
        "pair": (certificate, str(box.pair[1]), clients),
    }
    with pytest.raises(ConfigurationError):
        server_tls(*files[missing])


def test_a_port_whose_files_nobody_named_is_a_fault_of_the_settings(tmp_path):
    with pytest.raises(ConfigurationError) as refused:
        load_settings(tmp_path, {}, xta_port=8443)
    assert "xta_certificate_file, xta_clients_file" in refused.value.detail.en
