"""Idempotency: the same key and body get the same answer, another body is a conflict."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson

from hub.crypto.hmacs import idempotency_mac
from hub.crypto.keyring import HubKeys
from hub.crypto.receipts import claims_of
from hub.errors import IdempotencyConflict, Text
from hub.intake.attachments import AttachmentFacts
from hub.model.submission import Application
from hub.store import Remembered


@dataclass(frozen=True, kw_only=True, slots=True)
class Accepted:
    """What the sender gets: the signed receipt and its claims.

    ``again`` says that an earlier request had already been accepted.
    """

    receipt: str = field(repr=False)
    claims: Mapping[str, Any] = field(repr=False)
    again: bool = False


def fingerprint(
    keys: HubKeys, application: Application, attachments: Iterable[AttachmentFacts], *, data_sha512: str
) -> str:
    """Fingerprint a request by its parameters and the hashes of all parts: a multipart boundary changes on every retry.

    ``data_sha512`` is the SHA-512 (hex) of the application's data.
    """
    cover = application.cover
    parts = [
        cover.service,
        cover.area,
        cover.schema or "",
        cover.callback.url if cover.callback else "",
        application.media_type.value,
        data_sha512,
        hashlib.sha512(orjson.dumps(dict(application.metadata), option=orjson.OPT_SORT_KEYS)).hexdigest(),
    ]
    for attachment in attachments:
        parts += [
            attachment.part_name,
            attachment.filename or "",
            attachment.media_type,
            attachment.plaintext_sha512,
        ]
    return idempotency_mac(keys.idempotency, [part.encode() for part in parts])


def again(earlier: Remembered, mac: str) -> Accepted:
    """Return the earlier answer.

    Raises:
        IdempotencyConflict: the earlier request had another fingerprint.
    """
    if not hmac.compare_digest(earlier.mac, mac):
        raise IdempotencyConflict(
            Text(
                "Dieser Idempotency-Key wurde schon mit einem anderen Inhalt verwendet. "
                "Nehmen Sie für einen neuen Antrag einen neuen.",
                "This Idempotency-Key was already used with another body. Use a new one for a new application.",
            )
        )
    return Accepted(receipt=earlier.receipt, claims=claims_of(earlier.receipt), again=True)
