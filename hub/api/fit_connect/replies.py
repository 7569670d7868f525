"""FIT-Connect's replies: messages in either direction inside a case (section 7 of its wire)."""

from __future__ import annotations

from functools import partial
from typing import Any
from uuid import UUID

from connexion.lifecycle import ConnexionResponse
from starlette.responses import Response

from hub.api.answers import json_answer, paged
from hub.api.fit_connect.messages import Messages
from hub.api.fit_connect.versions import reply, reply_row
from hub.api.threads import in_thread, until_stored
from hub.fit_connect.submissions import ReplyWish
from hub.model.events import Subject


class Replies(Messages):
    """Handlers of ``/v1/replies`` or ``/v2/replies``: messages in either direction inside a case."""

    kind = Subject.REPLY

    async def announce(self, body: dict[str, Any]) -> ConnexionResponse:
        """Announce a reply to the other party of a case: 201 with its ids."""
        wish = ReplyWish(
            case_id=UUID(body["caseId"]),
            announced=tuple(UUID(each) for each in body.get("announcedAttachments") or ()),
            callback=self.callback(body),
        )
        announce = self.counter.announcing.announce_reply
        message = await until_stored(partial(announce, wish, caller=self.counter.caller(), now=self.counter.clock()))
        answer = {
            "destinationId": str(message.destination_id),
            "replyId": str(message.id),
            "caseId": str(message.case_id),
        }
        return json_answer(answer, 201)

    async def upload(self, replyId: str, attachmentId: str) -> ConnexionResponse:  # noqa: N803
        """Take an attachment: 204, also where it replaces an earlier one."""
        return await self.take_attachment(replyId, attachmentId)

    async def submit(self, replyId: str) -> ConnexionResponse:  # noqa: N803
        """Complete a reply; the same once more is answered as the first time."""
        return json_answer(reply(await self.complete(replyId)), self.dialect.submitted)

    async def waiting(
        self,
        caseId: str | None = None,  # noqa: N803
        offset: int = 0,
        limit: int = 100,
    ) -> ConnexionResponse:
        """List replies that wait for the caller."""
        page = await in_thread(
            self.counter.collection.replies,
            caller=self.counter.caller(),
            case_id=UUID(caseId) if caseId else None,
            offset=offset,
            limit=limit,
        )
        return json_answer(paged("replies", page, [reply_row(message) for message in page.items]))

    async def show(self, replyId: str) -> ConnexionResponse:  # noqa: N803
        """Hand out a reply."""
        return await self.collect(replyId, reply)

    async def attachment(self, replyId: str, attachmentId: str) -> Response:  # noqa: N803
        """Hand out an attachment, byte for byte as it was uploaded."""
        return await self.hand_out(replyId, attachmentId)

    async def attachment_facts(self, replyId: str, attachmentId: str) -> Response:  # noqa: N803
        """Tell an attachment's size."""
        return await self.look_at(replyId, attachmentId)

    async def events(self, replyId: str, offset: int = 0, limit: int = 100) -> ConnexionResponse:  # noqa: N803
        """Return the events of one reply, oldest first."""
        return await self.log(replyId, offset, limit)
