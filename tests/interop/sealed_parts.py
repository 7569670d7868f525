"""What a FIT-Connect client makes and reads besides HTTP: JWEs, metadata, Security Event Tokens (jwcrypto as the tool).

Facts: FIT-Connect's wire, sections 8 and 9.
"""

from __future__ import annotations

import hashlib
import json
import time
import uuid
from collections.abc import Mapping, Sequence
from typing import Any

from jwcrypto import jwe, jwk, jws  # type: ignore[import-untyped]  # ships no annotations

EVENTS = "https://schema.fitko.de/fit-connect/events/"
PROBLEMS = "https://schema.fitko.de/fit-connect/events/problems/"
METADATA = "https://schema.fitko.de/fit-connect/metadata/{}/metadata.schema.json"
SET_SCHEMA = "https://schema.fitko.de/fit-connect/set-payload/1.2.2/set-payload.schema.json"


def seal(content: bytes, key: Mapping[str, Any], content_type: str = "application/json") -> str:
    """Encrypt ``content`` to a public JWK: compact JWE with the key's own kid, without compression."""
    header = {"alg": "RSA-OAEP-256", "enc": "A256GCM", "kid": key["kid"], "cty": content_type}
    return str(jwe.JWE(content, protected=json.dumps(header), recipient=jwk.JWK(**key)).serialize(compact=True))


def unseal(token: str, key: Mapping[str, Any]) -> bytes:
    """Decrypt a compact JWE with a private JWK."""
    opened = jwe.JWE()
    opened.deserialize(token, key=jwk.JWK(**key))
    return bytes(opened.payload)


def tag(token: str) -> str:
    """Give a compact JWE's authentication tag: its fifth part."""
    return token.split(".")[4]


def metadata(
    data: bytes,
    schema_uri: str,
    media_type: str,
    attachments: Mapping[str, bytes],
    version: str = "2.1.0",
) -> bytes:
    """Describe ``data`` and ``attachments`` (id -> content) as FIT-Connect metadata."""
    document = {
        "$schema": METADATA.format(version),
        "contentStructure": {
            "data": {"hash": _hash(data), "submissionSchema": {"schemaUri": schema_uri, "mimeType": media_type}},
            "attachments": [
                {
                    "attachmentId": attachment_id,
                    "hash": _hash(content),
                    "purpose": "attachment",
                    "mimeType": "application/pdf",
                    "filename": f"{attachment_id}.pdf",
                }
                for attachment_id, content in attachments.items()
            ],
        },
    }
    return json.dumps(document).encode()


def _hash(content: bytes) -> dict[str, str]:
    return {"type": "sha512", "content": hashlib.sha512(content).hexdigest()}


def event_token(
    kind: str,
    payload: Mapping[str, Any],
    *,
    issuer: str,
    submission_id: str,
    case_id: str,
    key: Mapping[str, Any],
) -> str:
    """Sign one event (e.g. ``accept-submission``) as the destination ``issuer`` would."""
    claims = {
        "$schema": SET_SCHEMA,
        "jti": str(uuid.uuid4()),
        "iss": issuer,
        "iat": int(time.time()),
        "sub": f"submission:{submission_id}",
        "txn": f"case:{case_id}",
        "events": {EVENTS + kind: payload},
    }
    token = jws.JWS(json.dumps(claims).encode())
    header = {"alg": "PS512", "typ": "secevent+jwt", "kid": key["kid"]}
    token.add_signature(jwk.JWK(**key), protected=json.dumps(header))
    return str(token.serialize(compact=True))


def tags(metadata_token: str, data_token: str, attachments: Mapping[str, str]) -> dict[str, Any]:
    """Give the ``authenticationTags`` of a submission as accept-submission repeats them."""
    given: dict[str, Any] = {"metadata": tag(metadata_token), "data": tag(data_token)}
    if attachments:
        given["attachments"] = {attachment_id: tag(token) for attachment_id, token in attachments.items()}
    return given


def claims(token: str) -> dict[str, Any]:
    """Read a token's claims without verifying it."""
    unverified = jws.JWS()
    unverified.deserialize(token)
    read: dict[str, Any] = json.loads(unverified.objects["payload"])
    return read


def event_kinds(log: Sequence[str], subject_id: str) -> list[str]:
    """Give the kinds of a submission's events, oldest first."""
    events = [claims(token) for token in log]
    return [next(iter(c["events"])).removeprefix(EVENTS) for c in events if c["sub"].endswith(subject_id)]
