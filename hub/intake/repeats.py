"""Idempotency: the same key and body get the same answer, another body is a conflict that says what differs."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any
from uuid import UUID

import orjson

from hub.crypto import HubKeys, claims_of, idempotency_mac
from hub.errors import IdempotencyConflict, Text
from hub.intake.sealing import AttachmentFacts
from hub.intake.status import in_case_of, reference_in
from hub.model import Application, Callback, CaseMessageKind, Cover
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
    keys: HubKeys, application: Application, attachments: Iterable[AttachmentFacts], cover: Cover, *, data_sha512: str
) -> str:
    """Fingerprint a request by its parameters and the hashes of all parts: a multipart boundary changes on every retry.

    ``data_sha512`` is the SHA-512 (hex) of the application's data; ``cover`` is the application's, or another one under which
    the same contents are looked at.
    """
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
    named = {"externalReference": cover.external_reference, "caseId": cover.case_id, "replaces": cover.replaces}
    for name, value in named.items():
        if value is not None:
            parts += [name, str(value)]
    return idempotency_mac(keys.idempotency, [part.encode() for part in parts])


#: Fingerprints a request's contents under a cover.
MacOf = Callable[[Cover], str]


def again(earlier: Remembered, cover: Cover, mac_of: MacOf) -> Accepted:
    """Return the earlier answer.

    Raises:
        IdempotencyConflict: the earlier request had another fingerprint; ``differs`` says in what.
    """
    if not hmac.compare_digest(earlier.mac, mac_of(cover)):
        differs = _differences(earlier, cover, mac_of)
        german = ", ".join("Inhalt" if each == _BODY else each for each in differs)
        raise IdempotencyConflict(
            Text(
                f"Dieser Idempotency-Key wurde schon mit einer anderen Anfrage verwendet; anders ist: {german}. "
                "Nehmen Sie für einen neuen Antrag einen neuen.",
                f"This Idempotency-Key was already used with another request; what differs: {', '.join(differs)}. "
                "Use a new one for a new application.",
            ),
            differs=differs,
        )
    return Accepted(receipt=earlier.receipt, claims=claims_of(earlier.receipt), again=True)


#: What differs where the parameters are the same: the data, the metadata or an attachment.
_BODY = "body"


def _differences(earlier: Remembered, cover: Cover, mac_of: MacOf) -> list[str]:
    """Return the names of the parameters that an earlier request had otherwise, and ``body`` unless these are all."""
    url = None if cover.callback is None else cover.callback.url
    reference, (case_id, replaces) = reference_in(earlier.receipt), _case_of(earlier)
    pairs = {
        "service": (cover.service, earlier.service),
        "ars": (cover.area, earlier.area),
        "Callback-Url": (url, earlier.callback_url),
        "externalReference": (cover.external_reference, reference),
        "caseId": (cover.case_id, case_id),
        "replaces": (cover.replaces, replaces),
    }
    found = [name for name, (now, then) in pairs.items() if now != then]
    callback = None if earlier.callback_url is None else Callback(url=earlier.callback_url, secret="")
    as_then = replace(
        cover,
        service=earlier.service,
        area=earlier.area or "",
        callback=callback,
        external_reference=reference,
        case_id=case_id,
        replaces=replaces,
    )
    if found and hmac.compare_digest(earlier.mac, mac_of(as_then)):
        return found
    # Which schema the earlier request named is known only as what it came to.
    schemas = {None, earlier.schema_uri} - {cover.schema}
    if any(hmac.compare_digest(earlier.mac, mac_of(replace(as_then, schema=schema))) for schema in schemas):
        return [*found, "schema"]
    return [*found, _BODY]


def _case_of(earlier: Remembered) -> tuple[UUID | None, UUID | None]:
    """Return the case that an earlier request named, and what it replaced, as its receipt says."""
    in_case = in_case_of(earlier.receipt)
    if in_case is None:
        return None, None
    case_id = UUID(claims_of(earlier.receipt)["txn"].removeprefix("case:"))
    return case_id, UUID(in_case["about"]) if in_case["kind"] == CaseMessageKind.CORRECTION else None
