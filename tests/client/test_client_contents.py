"""What a message holds: which metadata are written, and that nothing is released that was changed."""

from __future__ import annotations

from io import BytesIO
from uuid import uuid4

import orjson
import pytest

from hub.client.contents import Attachment, Message, newest_version, open_message, sealed_file
from hub.crypto import encrypt
from hub.errors import Invalid, Malformed, SealBroken
from hub.model import MediaType

VERSIONS = {
    "whoever lists nothing gets the newest": ([], "2.1.0"),
    "the newest that both know": (["1.0.0", "2.0.0", "2.1.0", "3.0.0"], "2.1.0"),
    "numbers are compared as numbers": (["1.3.0", "1.10.0"], "1.10.0"),
    "what is no version counts for nothing": (["latest", "1.3.0"], "1.3.0"),
}


@pytest.mark.parametrize(("listed", "chosen"), VERSIONS.values(), ids=VERSIONS)
def test_metadata_are_written_in_a_version_that_is_read(listed, chosen):
    assert newest_version(listed) == chosen


def test_nobody_gets_metadata_that_he_does_not_read():
    with pytest.raises(Invalid):
        newest_version(["3.0.0"])


def test_a_sealed_attachment_can_be_read_as_often_as_it_is_sent(encryption_key):
    content = bytes(5_000_000)  # More than is kept in memory.
    plan = Attachment(open=lambda: BytesIO(content), filename="plan.bin")
    with sealed_file(encryption_key, plan) as (read, seal):
        first, second = b"".join(read()), b"".join(read())
    assert first == second
    assert len(first) == seal.size
    assert first.endswith(b"." + seal.tag.encode())


def sealed(encryption_key, **attachments: bytes):
    plans = [Attachment(open=lambda each=each: BytesIO(each), filename=name) for name, each in attachments.items()]
    message = Message(data=b'{"a": 1}', media_type=MediaType.JSON, schema_uri="urn:a", attachments=plans)
    parts, seals = {}, {}
    for each in plans:
        with sealed_file(encryption_key, each) as (read, seal):
            parts[each.attachment_id], seals[each.attachment_id] = b"".join(read()), seal
    return message.sealed(encryption_key, seals), {one: lambda jwe=jwe: iter([jwe]) for one, jwe in parts.items()}


def test_what_was_exchanged_for_another_content_is_not_released(encryption_key, decryption_key):
    (metadata, data), attachments = sealed(encryption_key, a=b"one", b=b"two")
    opened = open_message(metadata, data, attachments, [decryption_key])
    assert [b"".join(each.chunks()) for each in opened.attachments] == [b"one", b"two"]
    first, second = attachments
    exchanged = {first: attachments[second], second: attachments[first]}
    for each in open_message(metadata, data, exchanged, [decryption_key]).attachments:
        with pytest.raises(SealBroken):
            next(each.chunks())
    other = encrypt(encryption_key, b'{"a": 2}', "application/json")[0].decode()
    with pytest.raises(SealBroken):
        open_message(metadata, other, attachments, [decryption_key])


ODD = {
    "no object": [],
    "no structure": {},
    "data without a hash": {"contentStructure": {"data": {}}},
    "attachments that are no list": {"contentStructure": {"attachments": 7}},
    "an attachment that did not come": {
        "contentStructure": {
            "attachments": [
                {"attachmentId": str(uuid4()), "mimeType": "a/b", "purpose": "form", "hash": {"content": "0" * 128}}
            ]
        }
    },
}


@pytest.mark.parametrize("document", ODD.values(), ids=ODD)
def test_metadata_of_another_form_are_refused(document, encryption_key, decryption_key):
    metadata = encrypt(encryption_key, orjson.dumps(document), "application/json")[0].decode()
    with pytest.raises(Malformed):
        open_message(metadata, None, {}, [decryption_key])
