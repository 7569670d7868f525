"""What an XTA server, or who stands in its way, may answer: nothing of it is expanded, believed or passed on."""

from __future__ import annotations

import pytest

from hub.adapter_kit.xta import refused, said
from hub.soap import xta

_DETAIL = (
    '<x:PermissionDeniedException xmlns:x="http://xoev.de/transport/xta/211"><x:errorCode><code>9011</code></x:errorCode>'
    "</x:PermissionDeniedException>"
)


def envelope(body, *, before="", head=""):
    return (
        f'{before}<s:Envelope xmlns:s="{xta.SOAP}" xmlns:a="{xta.ADDRESSING}"><s:Header>{head}</s:Header>'
        f"<s:Body>{body}</s:Body></s:Envelope>"
    ).encode()


def test_an_entity_that_reads_a_file_is_refused_with_its_document_type():
    answer = envelope(
        "<a:MessageID>urn:x:&f;</a:MessageID>", before='<!DOCTYPE s [<!ENTITY f SYSTEM "file:///etc/hostname">]>'
    )
    with pytest.raises(xta.Unreadable):
        xta.read_message_id(answer)


def test_a_bomb_of_entities_is_refused_before_it_is_expanded():
    nested = "".join(f'<!ENTITY e{n} "{f"&e{n - 1};" * 10 if n else "urn:x"}">' for n in range(12))
    with pytest.raises(xta.Unreadable):
        xta.read_message_id(envelope("<a:MessageID>&e11;</a:MessageID>", before=f"<!DOCTYPE s [{nested}]>"))


def test_an_external_document_type_is_refused():
    with pytest.raises(xta.Unreadable):
        xta.read_report(envelope("", before='<!DOCTYPE s SYSTEM "https://evil.example/x.dtd">'))


@pytest.mark.parametrize("body", ["<b>" * 2000 + "</b>" * 2000, "<b/>" * 5000], ids=["deep", "many"])
def test_depth_and_number_of_elements_are_bounded(body):
    with pytest.raises(xta.Unreadable):
        xta.read_message_id(envelope(body + "<a:MessageID>urn:x:1</a:MessageID>"))


def test_a_message_id_that_is_wrapped_elsewhere_is_not_taken():
    hidden = "<a:MessageID>urn:x:1</a:MessageID>"
    for answer in (envelope("", head=hidden), envelope(f"<w>{hidden}</w>"), hidden.encode()):
        with pytest.raises(xta.Unreadable):
            xta.read_message_id(answer)


def test_of_two_message_ids_the_first_counts():
    twice = "<a:MessageID>urn:x:1</a:MessageID><a:MessageID>urn:x:2</a:MessageID>"
    assert xta.read_message_id(envelope(twice)) == "urn:x:1"


@pytest.mark.parametrize(
    "value",
    ["", "1", "urn:x:\n1", "urn:x:1\x85", "urn:x:&lt;b&gt;", "urn:x:ü", "urn:" + "x" * 500, "https://evil.example"],
)
def test_a_message_id_that_is_no_plain_urn_is_not_passed_on(value):
    with pytest.raises(xta.Unreadable):
        xta.read_message_id(envelope(f"<a:MessageID>{value}</a:MessageID>"))


@pytest.mark.parametrize(
    "body",
    [
        f"<s:Fault><s:Reason>{_DETAIL}</s:Reason></s:Fault>",
        f"<w><s:Fault><s:Detail>{_DETAIL}</s:Detail></s:Fault></w>",
        f"<s:Fault><s:Detail>{_DETAIL.replace('transport/xta/211', 'evil')}</s:Detail></s:Fault>",
        f"<s:Fault><s:Detail><w>{_DETAIL}</w></s:Detail></s:Fault>",
    ],
    ids=["in the reason", "wrapped", "in another namespace", "below the detail"],
)
def test_an_exception_that_stands_elsewhere_is_none(body):
    assert xta.read_fault(envelope(body)) is None


def test_a_number_that_is_none_of_xtas_is_not_passed_on():
    assert xta.read_fault(refused("PermissionDenied", "Erika Mustermann").body) == xta.XtaFault(
        name="PermissionDenied", code=""
    )


@pytest.mark.parametrize(
    "spoil",
    [
        lambda body: body[:-60],
        lambda body: body.replace(b"\r\n\r\n", b"\r\n"),
        lambda _body: b"--",
        lambda _body: b"\xff\xfe" * 50,
        lambda body: body.replace(b"--uuid", b"--other", 1),
    ],
    ids=["cut short", "without a head's end", "a marker alone", "no text", "another marker"],
)
def test_a_multipart_answer_that_is_broken_is_no_answer(spoil):
    good = said("<a:MessageID>urn:x:1</a:MessageID>").body
    assert xta.read_message_id(good) == "urn:x:1"
    with pytest.raises(xta.Unreadable):
        xta.read_message_id(spoil(good))
    assert xta.read_fault(spoil(refused("PermissionDenied", "9011").body)) is None
