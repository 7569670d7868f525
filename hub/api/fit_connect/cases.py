"""FIT-Connect's cases: the list, one case, its event log, and events that receivers write."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any
from uuid import UUID

from connexion import context
from connexion.lifecycle import ConnexionResponse

from hub.api.answers import ids, json_answer, nothing, paged
from hub.api.fit_connect.versions import Dialect, case_row
from hub.api.threads import in_thread
from hub.errors import Malformed, Text
from hub.fit_connect.collection import Cases, CaseView
from hub.fit_connect.events import Acknowledgement
from hub.identity.clients import Caller


class CaseFiles:
    """Handlers of ``/v1/cases`` or ``/v2/cases``."""

    def __init__(
        self,
        *,
        cases: Cases,
        acknowledgement: Acknowledgement,
        dialect: Dialect,
        caller: Callable[[], Caller],
        clock: Callable[[], datetime],
    ) -> None:
        self._cases = cases
        self._acknowledgement = acknowledgement
        self._dialect = dialect
        self._caller = caller
        self._clock = clock

    async def list(self, offset: int = 0, limit: int = 100) -> ConnexionResponse:
        """List the caller's cases."""
        page = await in_thread(self._cases.of_party, caller=self._caller(), offset=offset, limit=limit)
        return json_answer(paged("cases", page, [case_row(case) for case in page.items]))

    async def show(self, caseId: str) -> ConnexionResponse:  # noqa: N803  # the contract's name
        """Show one case and what was sent in it."""
        view: CaseView = await in_thread(self._cases.show, UUID(caseId), caller=self._caller())
        body: dict[str, Any] = {
            **case_row(view.case),
            "submissions": [{"submissionId": each} for each in ids(view.submission_ids)],
            "replies": [{"replyId": each} for each in ids(view.reply_ids)],
        }
        if view.case.tombstone is not None:
            body["tombstone"] = view.case.tombstone
        return json_answer(body)

    async def events(self, caseId: str, offset: int = 0, limit: int = 100) -> ConnexionResponse:  # noqa: N803
        """Return the case's event log, oldest first."""
        page = await in_thread(self._cases.log, UUID(caseId), caller=self._caller(), offset=offset, limit=limit)
        return json_answer(paged("eventLog", page, page.items))

    async def post_event(self, caseId: str) -> ConnexionResponse:  # noqa: N803
        """Take an event token of a receiver into the log: 204."""
        token = await _token()
        await in_thread(
            self._acknowledgement.post,
            UUID(caseId),
            token,
            caller=self._caller(),
            profile=self._dialect.profile,
            now=self._clock(),
        )
        return nothing()


async def _token() -> str:
    """Read a compact token; the edge has counted its bytes."""
    body = b"".join([chunk async for chunk in context.request.stream()])
    try:
        # Some clients end the body with a line break; it is no part of the token.
        return body.strip(b"\r\n").decode("ascii")
    except UnicodeDecodeError as exc:
        raise Malformed(
            Text(
                "Der Inhalt muss ein kompaktes JWS sein, ohne Anführungszeichen.",
                "The body must be a compact JWS, without quotes.",
            )
        ) from exc
