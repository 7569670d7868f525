"""Replies through the sealed door, for several tests."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

from sealed_door import Door, Sent, post, put, put_jose
from stand_in import Client


def reply_to(door: Door, sent: Sent, author: Client, *contents: bytes, version: str = "v1", **more: Any) -> Sent:
    """Write a reply in the case of ``sent``; the returned value's ``submission_id`` is the reply's id."""
    attachments = {str(uuid4()): door.seal(content, "application/pdf") for content in contents}
    body = {"caseId": sent.case_id, "announcedAttachments": list(attachments), **more}
    announced = post(author, f"/{version}/replies", body)
    assert announced.status == 201, announced.body
    reply_id = announced.json["replyId"]
    for attachment_id, jwe in attachments.items():
        assert put_jose(author, f"/{version}/replies/{reply_id}/attachments/{attachment_id}", jwe).status == 204
    reply = Sent(reply_id, sent.case_id, door.seal(b'{"reply": 1}'), door.seal(b'{"bescheid": 1}'), attachments)
    parts = {"encryptedMetadata": reply.metadata, "encryptedData": reply.data}
    answer = put(author, f"/{version}/replies/{reply_id}", parts)
    assert answer.status == (202 if version == "v1" else 200), answer.body
    return reply
