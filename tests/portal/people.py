"""What people of the portal do, and what their authority does, for several tests."""

from __future__ import annotations

import hashlib
import re
from dataclasses import replace
from typing import Any
from uuid import uuid4

import orjson
from portal_pages import PortalSite, Visitor
from sealed_door import Door, post, put, put_jose
from stage import BAUANTRAG, BAUEN, TAUNUSSTEIN

from hub.client.plain import Application
from hub.crypto import EncryptionKey, encrypt
from hub.crypto.jwk import public_rsa_key
from hub.model import MediaType
from hub.portal.session import FormSession, Running
from hub.portal.storage import FormKey

PAGE = f"/leistung/{BAUEN[-14:]}?ars={TAUNUSSTEIN}"
_CODE = {name: re.compile(rf'id="{name}">([0-9A-Z-]+)<') for name in ("reference", "code")}
_HIDDEN = re.compile(r'name="key" value="([^"]+)"')


def begun(site: PortalSite) -> Visitor:
    """Somebody who has begun an application."""
    visitor = site.visitor()
    answer = visitor.post("/antrag", at=PAGE, service=BAUEN, ars=TAUNUSSTEIN, allow_redirects=False)
    assert answer.status_code == 303, answer.text
    return visitor


def session_of(site: PortalSite, visitor: Visitor) -> FormSession:
    """The running form of somebody's cookie."""
    key = FormKey.read(next(iter(visitor.http.cookies)).value)
    kept = site.portal.storage.read(key, now=site.clock())
    return FormSession(key=key, running=Running.read(kept.content, revision=kept.revision))


def answered(site: PortalSite, visitor: Visitor, **changes: Any) -> FormSession:
    """Somebody's form with something written into it."""
    session = session_of(site, visitor)
    return site.portal.sessions.write(session, replace(session.running, **changes), site.clock())


def typed_on(page: str) -> dict[str, str]:
    """Reference and code as a page shows them."""
    return {name: found.search(page)[1] for name, found in _CODE.items()}


def follow_on(page: str) -> dict[str, str]:
    """Reference and code by which an application is followed, as its receipt page shows them."""
    return {name: re.search(rf'id="follow-{name}">([0-9A-Z-]+)<', page)[1] for name in _CODE}


def key_on(page: str) -> str:
    """The key that a page carries in its forms."""
    return _HIDDEN.search(page)[1]


def sent_by(site: PortalSite, session: FormSession, pair: tuple[dict, dict]) -> tuple[Running, dict[str, Any]]:
    """Have a form's application sent, with a way back for the authority; return the form and what the hub said."""
    channel = {"fitConnect": {"processStandards": ["urn:x:y"], "encryptionPublicKey": pair[0]}}
    receipt = site.portal.doors.submit(
        Application(
            data=BAUANTRAG,
            media_type=MediaType.XML,
            service=BAUEN,
            ars=TAUNUSSTEIN,
            metadata={"replyChannel": channel},
        )
    )
    sent = {
        "submissionId": str(receipt.submission_id),
        "caseId": str(receipt.case_id),
        "destination": receipt.destination,
        "acceptedAt": receipt.accepted_at.isoformat(),
        "receipt": receipt.token,
    }
    return replace(session.running, reply_key=pair[1]), sent


def write_reply(door: Door, case_id: str, public: dict, data: bytes, *files: tuple[str, bytes]) -> str:
    """Have the authority write a reply, sealed for whoever holds the private key; return its id."""
    key = EncryptionKey(kid=public["kid"], jwk=public, public_key=public_rsa_key(public))

    def seal(content: bytes, kind: str = "application/json") -> str:
        return encrypt(key, content, kind)[0].decode()

    attachments = {str(uuid4()): (name, content) for name, content in files}
    body = {"caseId": case_id, "announcedAttachments": list(attachments)}
    author = door.client("subscriber")  # With a token of this moment: tests let days pass.
    announced = post(author, "/v2/replies", body)
    assert announced.status == 201, announced.body
    reply_id: str = announced.json["replyId"]
    for attachment_id, (_, content) in attachments.items():
        path = f"/v2/replies/{reply_id}/attachments/{attachment_id}"
        assert put_jose(author, path, seal(content, "application/pdf")).status == 204
    schema = {"schemaUri": "https://schema.example/antwort", "mimeType": "application/json"}
    metadata = {
        "contentStructure": {
            "data": {"hash": _sha512(data), "submissionSchema": schema},
            "attachments": [
                {
                    "attachmentId": attachment_id,
                    "purpose": "attachment",
                    "mimeType": "application/pdf",
                    "filename": name,
                    "hash": _sha512(content),
                }
                for attachment_id, (name, content) in attachments.items()
            ],
        }
    }
    parts = {"encryptedMetadata": seal(orjson.dumps(metadata)), "encryptedData": seal(data)}
    answer = put(author, f"/v2/replies/{reply_id}", parts)
    assert answer.status == 200, answer.body
    return reply_id


def _sha512(content: bytes) -> dict[str, str]:
    return {"type": "sha512", "content": hashlib.sha512(content).hexdigest()}
