"""What an authority says of its cases at the hub alone: whom it hands one on to, and where a step of an AI system was.

This is the hub's own API, none of FIT-Connect's: another delivery service does not know it, and it does not lie below the
address of FIT-Connect's. What goes into the new case of a hand-on the caller seals and submits.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import orjson

from hub.client.fit_connect import require_uuid
from hub.client.session import JSON, Session, listed, unreadable

_ROOT, _JOSE = "/hub/v1/cases", "application/jose"


@dataclass(frozen=True, kw_only=True, slots=True)
class Destined:
    """Whom a case would go to, by the hub's rules; ``ars`` is the area that counts."""

    destination_id: UUID
    name: str
    ars: str
    area_name: str
    rule: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Forwarded:
    """A case that is being handed on: the new case's ids, whom it is sealed for, and the old submission's receipt.

    ``submitted``: the next authority has all of it already. ``received_at`` is when the first case of the chain was received.
    """

    submission_id: UUID
    case_id: UUID
    destination_id: UUID
    name: str
    submitted: bool
    encryption_kid: str
    metadata_versions: tuple[str, ...]
    received_at: datetime
    receipt: str = field(repr=False)


@dataclass(frozen=True, kw_only=True, slots=True)
class CaseOrigin:
    """Where a case came from, as the hub says it."""

    case_id: UUID
    submission_id: UUID
    destination_id: UUID
    name: str
    reason: str
    at: datetime
    received_at: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class ForwardRequest:
    """What is to be handed on, where to and why; ``request_id`` tells a repeat. Empty ``service`` and ``ars``: the case's."""

    request_id: UUID
    case_id: UUID
    submission_id: UUID
    service: str
    ars: str
    reason: str


class Forwarder:
    """Hands on, and says where AI took part.

    ``session`` leads to the hub's root, with the token of the client that owns the case's destination.
    """

    def __init__(self, session: Session) -> None:
        self._session = session

    def check(self, wish: ForwardRequest) -> Destined:
        """Return whom a case would go to.

        Raises:
            Refused: the hub says why it would go nowhere; its slug tells (``forward-to-oneself``, ``forward-loop`` …).
        """
        found = self._session.json("POST", f"{_ROOT}/{wish.case_id}/forwards", body=_said(wish) | {"check": True})
        return Destined(
            destination_id=require_uuid(found.get("destinationId"), "destinationId"),
            name=_text(found, "name"),
            ars=_text(found, "ars"),
            area_name=_text(found, "areaName"),
            rule=_text(found, "rule"),
        )

    def begin(self, wish: ForwardRequest, attachments: Sequence[UUID]) -> Forwarded:
        """Open the new case; the same request again is the one that there is. Errors as :meth:`check`."""
        body = _said(wish) | {"announcedAttachments": [str(one) for one in attachments]}
        found = self._session.json("POST", f"{_ROOT}/{wish.case_id}/forwards", body=body)
        return Forwarded(
            submission_id=require_uuid(found.get("submissionId"), "submissionId"),
            case_id=require_uuid(found.get("caseId"), "caseId"),
            destination_id=require_uuid(found.get("destinationId"), "destinationId"),
            name=_text(found, "name"),
            submitted=found.get("state") != "incomplete",
            encryption_kid=_text(found, "encryptionKid"),
            metadata_versions=tuple(str(each) for each in listed(found, "metadataVersions")),
            received_at=_moment(found, "receivedAt"),
            receipt=_text(found, "receipt"),
        )

    def complete(self, case_id: UUID, submission_id: UUID) -> None:
        """Say that all of the new submission is there; a repeat changes nothing."""
        document = orjson.dumps({"state": "complete"})
        path = f"{_ROOT}/{case_id}/forwards/{submission_id}"
        self._session.send("PUT", path, content=document, headers={"Content-Type": JSON})

    def post_ai_step(self, case_id: UUID, token: str) -> None:
        """Post a signed step of an AI system into a case's log; the same token again changes nothing.

        Raises:
            Invalid: the hub's register does not have the system so (``ai-system-not-registered``), or the token is wrong.
            Conflict: the submission is closed.
        """
        path = f"{_ROOT}/{case_id}/ai-steps"
        self._session.send("POST", path, content=token.encode("ascii"), headers={"Content-Type": _JOSE})

    def origin(self, case_id: UUID) -> CaseOrigin | None:
        """Return where a case came from, None where nobody handed it on."""
        came = self._session.json("GET", f"{_ROOT}/{case_id}/links").get("cameFrom")
        if came is None:
            return None
        if not isinstance(came, dict):
            raise unreadable()
        return CaseOrigin(
            case_id=require_uuid(came.get("caseId"), "caseId"),
            submission_id=require_uuid(came.get("submissionId"), "submissionId"),
            destination_id=require_uuid(came.get("destinationId"), "destinationId"),
            name=_text(came, "name"),
            reason=_text(came, "reason"),
            at=_moment(came, "at"),
            received_at=_moment(came, "receivedAt"),
        )


def _said(wish: ForwardRequest) -> dict[str, Any]:
    said = {
        "requestId": str(wish.request_id),
        "submissionId": str(wish.submission_id),
        "service": wish.service,
        "reason": wish.reason,
    }
    return said | ({"ars": wish.ars} if wish.ars else {})


def _text(found: Mapping[str, Any], name: str) -> str:
    value = found.get(name)
    if not isinstance(value, str):
        raise unreadable()
    return value


def _moment(found: Mapping[str, Any], name: str) -> datetime:
    try:
        return datetime.fromisoformat(_text(found, name)).astimezone(UTC)
    except ValueError as exc:
        raise unreadable() from exc
