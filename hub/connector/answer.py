"""The receiver's word in the case: accept-submission or reject-submission, signed with the destination's key."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

import orjson

from hub.connector.event_log import TYP
from hub.connector.verdict import Verdict
from hub.crypto.jose import sign_ps512
from hub.crypto.keys import SigningKey
from hub.model.events import Event, EventKind, Subject


def sign_answer(
    verdict: Verdict,
    *,
    submission_id: UUID,
    case_id: UUID,
    destination_id: UUID,
    key: SigningKey,
    accept: bool,
    now: datetime,
) -> tuple[UUID, str]:
    """Return the id and the compact token of the answer (FIT-Connect, sections 9.1, 9.2 and 9.6)."""
    payload: Mapping[str, Any] = (
        {"authenticationTags": dict(verdict.tags)}
        if accept
        else {"problems": [problem.as_event() for problem in verdict.problems]}
    )
    event = Event(
        case_id=case_id,
        seq=0,
        jti=uuid4(),
        subject=Subject.SUBMISSION,
        subject_id=submission_id,
        kind=EventKind.ACCEPT if accept else EventKind.REJECT,
        issuer=str(destination_id),
        by_hub=False,
        issued_at=now,
        payload=payload,
    )
    return event.jti, sign_ps512(key, orjson.dumps(event.claims()), typ=TYP)
