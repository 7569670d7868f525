"""A sender's own cases: ``/hub/v1/cases``, what it sent in one, the replies that came back, and whether it took them.

Replies stay sealed: metadata and data are compact JWEs in the answer, attachments are streams of ciphertext.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from connexion.lifecycle import ConnexionResponse
from starlette.responses import Response

from hub.api import FRESH, etag, in_thread, json_answer, known_states, note, nothing, paged, visit
from hub.api.downloads import Download
from hub.api.fit_connect.messages import contents, token_body
from hub.fit_connect.ai_steps import AiSteps, RecordedStep
from hub.fit_connect.collection import Unchanged
from hub.fit_connect.sender_cases import READABLE, SenderCases
from hub.identity import Caller
from hub.intake.status import in_case_of
from hub.store import StoredMessage

_log = logging.getLogger(__name__)


class CaseReplies:
    """Handlers of ``/hub/v1/cases/{caseId}`` and of the replies below it."""

    def __init__(self, cases: SenderCases, *, caller: Callable[[], Caller], clock: Callable[[], datetime]) -> None:
        self._cases = cases
        self._caller = caller
        self._clock = clock

    async def show(self, caseId: str) -> ConnexionResponse:  # noqa: N803  # the contract's name
        """Show a case, what was sent in it and what came back."""
        found = await in_thread(self._cases.show, UUID(caseId), caller=self._caller())
        return json_answer(
            {
                "caseId": str(found.case.case_id),
                "destinationId": str(found.case.destination_id),
                "createdAt": _written(found.case.created_at),
                "submissions": [_submission(message) for message in found.submissions],
                "replies": [_row(message) for message in found.replies],
            }
        )

    async def replies(self, caseId: str, offset: int = 0, limit: int = 100) -> ConnexionResponse:  # noqa: N803
        """List the replies to the caller in a case."""
        page = await in_thread(self._cases.replies, UUID(caseId), caller=self._caller(), offset=offset, limit=limit)
        return json_answer(paged("replies", page, [_row(message) for message in page.items]))

    async def reply(self, caseId: str, replyId: str) -> ConnexionResponse:  # noqa: N803
        """Hand out a reply, sealed; 304 to who has it (RFC 9110, 13.1.2)."""
        note(reply=replyId, case=caseId)
        collected = await in_thread(
            self._cases.collect,
            UUID(caseId),
            UUID(replyId),
            caller=self._caller(),
            known=known_states(),
            now=self._clock(),
        )
        headers = {**FRESH, **etag(collected.state)}
        if isinstance(collected, Unchanged):
            return nothing(304, headers=headers)
        message = collected.message
        _log.info("reply collected", extra=message.ids | {"outcome": "collected"})
        attachments = [str(attachment_id) for attachment_id in message.announced]
        return json_answer({**_row(message), "attachments": attachments} | contents(collected), headers=headers)

    async def attachment(self, caseId: str, replyId: str, attachmentId: str) -> Response:  # noqa: N803
        """Hand out an attachment of a reply as a stream, byte for byte as it was uploaded."""
        note(reply=replyId, case=caseId)
        download = Download(visit().headers)
        sealed, chunks = await in_thread(
            self._cases.attachment,
            UUID(caseId),
            UUID(replyId),
            UUID(attachmentId),
            caller=self._caller(),
            now=self._clock(),
            begin=download.begin,
        )
        return download.answer(sealed, chunks)

    async def acknowledge(self, caseId: str, replyId: str, body: Mapping[str, Any]) -> ConnexionResponse:  # noqa: N803
        """Take down whether the sender took a reply: 204."""
        outcome: str = body["outcome"]
        note(reply=replyId, case=caseId, outcome=outcome)
        await in_thread(
            self._cases.acknowledge,
            UUID(caseId),
            UUID(replyId),
            problems=body.get("problems", []) if outcome == "rejected" else None,
            caller=self._caller(),
            now=self._clock(),
        )
        return nothing()


class CaseAiSteps:
    """Handlers of ``/hub/v1/cases/{caseId}/ai-steps``: an authority writes them, both sides read them."""

    def __init__(self, steps: AiSteps, *, caller: Callable[[], Caller], clock: Callable[[], datetime]) -> None:
        self._steps = steps
        self._caller = caller
        self._clock = clock

    async def post(self, caseId: str) -> ConnexionResponse:  # noqa: N803
        """Take a signed step into the case's log: 204, also for the same one again."""
        note(case=caseId)
        token = await token_body()
        await in_thread(self._steps.post, UUID(caseId), token, caller=self._caller(), now=self._clock())
        return nothing()

    async def list(self, caseId: str) -> ConnexionResponse:  # noqa: N803
        """List the steps of a case, oldest first; none is said as none."""
        found = await in_thread(self._steps.of_case, UUID(caseId), caller=self._caller())
        return json_answer({"caseId": caseId, "total": len(found), "steps": [_step(each) for each in found]})


def _step(recorded: RecordedStep) -> dict[str, Any]:
    event = recorded.event
    return {
        "at": _written(event.issued_at),
        "seq": event.seq,
        "submissionId": str(event.subject_id),
        "destinationId": event.issuer,
        **recorded.step.payload(),
    }


def _row(message: StoredMessage) -> dict[str, Any]:
    return {
        "replyId": str(message.id),
        "caseId": str(message.case_id),
        "destinationId": str(message.destination_id),
        "state": message.state.value,
        "readable": message.state in READABLE and message.deleted_at is None,
        "submittedAt": _written(message.submitted_at or message.created_at),
        "finishedAt": None if message.finished_at is None else _written(message.finished_at),
    }


def _submission(message: StoredMessage) -> dict[str, Any]:
    return {
        "submissionId": str(message.id),
        "service": message.service.identifier,
        "ars": message.area,
        "schema": None if message.schema is None else message.schema.uri,
        "state": message.state.value,
        "submittedAt": _written(message.submitted_at or message.created_at),
        "inCase": in_case_of(message.receipt),
    }


def _written(moment: datetime) -> str:
    return moment.isoformat(timespec="milliseconds")
