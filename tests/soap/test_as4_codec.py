"""AS4's codec: what goes out comes in again, is canonical as it stands, and is understood by programs of others."""

from __future__ import annotations

import os
import zlib
from datetime import UTC, datetime

import pytest
from as4_parties import CONTENT, NOW, make, side
from lxml import etree
from signxml import SignatureConfiguration, XMLVerifier

from hub.soap.as4 import write_error, write_receipt
from hub.soap.as4_reader import read_envelope
from hub.soap.ebms import EBMS, SOAP, Flaw, Unacceptable

_DS = "http://www.w3.org/2000/09/xmldsig#"


def read(made, *, sender="hub", receiver="bauamt", limit=10**7):
    """Read a message whole; return it and its contents by content id."""
    message = read_envelope(made.envelope.content).message(side(sender).peer, now=NOW)
    parts, contents = message.open(side(receiver).key, limit=limit), {}
    for cid, sealed in made.sealed.items():
        reader = parts.reader(cid)
        contents[cid] = b"".join([*reader.write(sealed), *reader.finish()])
    parts.finish()
    return message, contents


def test_what_goes_out_comes_in():
    large = os.urandom(300_000)
    made = make({"one@hub": CONTENT, "two@hub": b"", "three@hub": large})
    message, contents = read(made)
    assert message.message == made.message
    assert contents == {"one@hub": CONTENT, "two@hub": b"", "three@hub": large}


@pytest.mark.parametrize("size", [1, 7, 28, 29, 4096])
def test_parts_may_come_in_pieces_of_any_size(size):
    made = make()
    parts = (
        read_envelope(made.envelope.content).message(side("hub").peer, now=NOW).open(side("bauamt").key, limit=10**6)
    )
    reader, sealed, content = parts.reader("one@hub"), made.sealed["one@hub"], []
    for start in range(0, len(sealed), size):
        content += reader.write(sealed[start : start + size])
    assert b"".join([*content, *reader.finish()]) == CONTENT


def test_claims_are_what_the_message_says():
    made = make()
    claims = read_envelope(made.envelope.content).claims()
    assert (claims.message_id, claims.sender, claims.receiver, claims.agreement, claims.service, claims.action) == (
        made.message.message_id, made.message.sender, made.message.receiver, made.message.agreement,
        made.message.service, made.message.action,
    )  # fmt: skip


def test_what_is_written_is_canonical_as_it_stands():
    made = make()
    receipt = write_receipt(
        "r@bauamt", NOW, refers_to=made.message.message_id, references=read(made)[0].references, key=side("bauamt").key
    )
    error = write_error(
        "e@bauamt", NOW, refers_to=made.message.message_id, flaw=Flaw.WRONG_DIGEST, key=side("bauamt").key
    )
    for content in (made.envelope.content, receipt, error):
        root = etree.fromstring(content)
        signed = [
            root.find(path) for path in (f".//{{{EBMS}}}Messaging", f".//{{{SOAP}}}Body", f".//{{{_DS}}}SignedInfo")
        ]
        for element in signed:
            assert etree.tostring(element, method="c14n", exclusive=True) in content


def test_signxml_verifies_what_is_written():
    made = make()
    packer = zlib.compressobj(1, zlib.DEFLATED, 31)
    compressed = packer.compress(CONTENT) + packer.flush()  # What is signed of a part is its compressed form.
    root = etree.fromstring(made.envelope.content)
    for number, element in enumerate((root, _receipt_of(made))):
        found = XMLVerifier().verify(
            element,
            x509_cert=side("hub").pem.decode(),
            id_attribute="Id",
            expect_config=SignatureConfiguration(require_x509=True, location=".//"),
            expect_references=2 if number else 3,
            uri_resolver=lambda _uri: compressed,
        )
        assert [each.signed_xml.tag for each in found[:2]] == [f"{{{EBMS}}}Messaging", f"{{{SOAP}}}Body"]


def _receipt_of(made):
    references = read(made)[0].references
    return etree.fromstring(
        write_receipt("r@hub", NOW, refers_to=made.message.message_id, references=references, key=side("hub").key)
    )


def test_a_receipt_repeats_what_was_signed():
    made = make()
    message, _contents = read(made)
    receipt = write_receipt(
        "r@bauamt", NOW, refers_to=made.message.message_id, references=message.references, key=side("bauamt").key
    )
    signal = read_envelope(receipt).signal(side("bauamt").peer, now=NOW)
    assert (signal.refers_to, signal.digests) == (made.message.message_id, made.envelope.digests)


def test_an_error_names_a_number_and_repeats_nothing():
    error = write_error(
        "e@bauamt", datetime.now(UTC), refers_to="m@hub", flaw=Flaw.NOT_DECRYPTED, key=side("bauamt").key
    )
    signal = read_envelope(error).signal(side("bauamt").peer, now=NOW)
    assert (signal.refers_to, signal.codes, signal.signed) == ("m@hub", ("EBMS:0102",), True)


def test_a_message_for_another_access_point_is_not_opened():
    message = read_envelope(make().envelope.content).message(side("hub").peer, now=NOW)
    with pytest.raises(Unacceptable) as refused:
        message.open(side("hub").key, limit=10)
    assert refused.value.flaw is Flaw.NOT_DECRYPTED
