"""What a test delivery holds: a harmless content, marked as a test, sealed in the form that a destination is given."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime
from typing import Any
from uuid import UUID

from hub import __version__
from hub.crypto import cms, jwe
from hub.crypto.keys import EncryptionKey
from hub.errors import KeyRefused, Text
from hub.model.parties import Destination
from hub.model.submission import Contents, Door, Form, Package, Sealed, Service, Submission, new_id

_JSON = "application/json"
#: No service of any authority: a receiver that decides by services leaves it alone.
SERVICE = Service(
    identifier="urn:de:rathaus-hub:testzustellung", name="TESTZUSTELLUNG – keine echte Einreichung, bitte verwerfen"
)
SCHEMA = "https://schema.rathaus-hub.example/testzustellung/1.0/testzustellung.schema.json"
_SENDER = "Rathaus-Hub (Testzustellung)"
#: All that a test says: no data of any person.
CONTENT = {
    "testzustellung": True,
    "hinweis": "Dies ist eine Testzustellung des Rathaus-Hubs und keine Einreichung. Bitte verwerfen.",
    "note": "This is a test delivery of Rathaus-Hub and no submission. Please discard.",
}


def trial_package(
    destination: Destination, contents: Contents, *, trial_id: UUID, now: datetime, base_url: str
) -> Package:
    """Return what an adapter is given: a first attempt at a submission that was never made."""
    submission = Submission(
        submission_id=trial_id,
        case_id=new_id(now),
        destination_id=destination.destination_id,
        sender=_SENDER,
        door=Door.PLAIN,
        service=SERVICE,
        area=None,
        contents=contents,
        submitted_at=now,
    )
    return Package(
        delivery_id=trial_id,
        attempt=1,
        repeat=False,
        submission=submission,
        destination=destination,
        event_log=(),
        read=_read,
        base_url=base_url,
    )


def _metadata(data_sha512: str) -> dict[str, Any]:
    return {
        "$schema": "https://schema.fitko.de/fit-connect/metadata/2.1.0/metadata.schema.json",
        "contentStructure": {
            "data": {
                "hash": {"type": "sha512", "content": data_sha512},
                "submissionSchema": {"schemaUri": SCHEMA, "mimeType": "application/json"},
            },
            "attachments": [],
        },
        "author": {
            "name": _SENDER,
            "product": {"name": "Rathaus-Hub", "version": __version__, "manufacturer": "Rathaus-Hub"},
        },
    }


def _encoded(document: dict[str, Any]) -> bytes:
    return json.dumps(document, ensure_ascii=False).encode("utf-8")


def trial_contents(key: EncryptionKey, form: Form) -> Contents:
    """Seal the test in one form; raise ``KeyRefused`` for a key that cannot be sealed to in it."""
    data, plaintext_sha512 = _sealed(key, form, _encoded(CONTENT), "testzustellung.json")
    metadata, _ = _sealed(key, form, _encoded(_metadata(plaintext_sha512)), "metadata.json")
    return Contents(form=form, metadata=metadata, data=data)


def _sealed(key: EncryptionKey, form: Form, plaintext: bytes, filename: str) -> tuple[Sealed, str]:
    """Return one part and the SHA-512 of its plaintext."""
    if form is Form.JOSE:
        content, seal = jwe.encrypt(key, plaintext, _JSON)
    else:
        pieces: list[bytes] = []
        try:
            writer = cms.CmsWriter(key, content_type=_JSON, filename=filename, sink=pieces.append)
            writer.write(plaintext)
            seal = writer.finish()
        except (TypeError, ValueError) as error:  # What the library says of a certificate that it cannot seal to.
            raise _no_cms() from error
        content = b"".join(pieces)
    return Sealed(tag=seal.tag, sha512=seal.sha512, size=seal.size, jwe=content), seal.plaintext_sha512


def _read(sealed: Sealed) -> Iterator[bytes]:
    return iter([sealed.jwe or b""])


def _no_cms() -> KeyRefused:
    return KeyRefused(
        Text(
            "Mit dem Zertifikat dieses Schlüssels lässt sich nicht als CMS versiegeln. Hinterlegen Sie ein S/MIME-Zertifikat "
            "mit RSA-Schlüssel.",
            "The certificate of this key cannot be sealed to as CMS. Deposit an S/MIME certificate with an RSA key.",
        )
    )
