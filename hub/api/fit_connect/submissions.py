"""FIT-Connect's Submission API: announce, upload, submit; list, collect, download; the log of one submission."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any
from uuid import UUID

from connexion.lifecycle import ConnexionResponse
from starlette.responses import Response

from hub.api.answers import json_answer, paged
from hub.api.fit_connect.messages import Messages
from hub.api.fit_connect.versions import submission_row
from hub.api.threads import in_thread, until_stored
from hub.errors import Malformed, Text
from hub.fit_connect.submissions import SubmissionWish
from hub.model.events import Subject
from hub.model.submission import Service


class Submissions(Messages):
    """Handlers of ``/v1/submissions`` or ``/v2/submissions``."""

    kind = Subject.SUBMISSION

    async def announce(self, body: dict[str, Any]) -> ConnexionResponse:
        """Announce a submission: 201 with its ids."""
        wish = self._wish(body)
        announcing, now = self.counter.announcing, self.counter.clock()
        destination = announcing.at_hand(wish, now=now)
        announce = partial(announcing.announce, wish, caller=self.counter.caller(), now=now, destination=destination)
        message = await until_stored(announce, here=destination is not None)
        answer = {
            "destinationId": str(message.destination_id),
            "submissionId": str(message.id),
            "caseId": str(message.case_id),
        }
        echoed = body.get("senderDestinationId")
        if echoed is not None and self.dialect.profile.require_data:
            answer["senderDestinationId"] = echoed
        return json_answer(answer, 201)

    async def upload(self, submissionId: str, attachmentId: str) -> ConnexionResponse:  # noqa: N803  # the contract's names
        """Take an attachment: 204, also where it replaces an earlier one."""
        return await self.take_attachment(submissionId, attachmentId)

    async def submit(self, submissionId: str) -> ConnexionResponse:  # noqa: N803
        """Complete a submission; the same once more is answered as the first time."""
        message = await self.complete(submissionId)
        return json_answer(self.dialect.submission(message), self.dialect.submitted)

    async def waiting(
        self,
        destinationId: str | None = None,  # noqa: N803
        offset: int = 0,
        limit: int = 100,
    ) -> ConnexionResponse:
        """List submitted submissions of own destinations."""
        page = await in_thread(
            self.counter.collection.waiting,
            caller=self.counter.caller(),
            destination_id=UUID(destinationId) if destinationId else None,
            offset=offset,
            limit=limit,
        )
        return json_answer(paged("submissions", page, [submission_row(message) for message in page.items]))

    async def show(self, submissionId: str) -> ConnexionResponse:  # noqa: N803
        """Hand out a submission."""
        return await self.collect(submissionId, self.dialect.submission)

    async def attachment(self, submissionId: str, attachmentId: str) -> Response:  # noqa: N803
        """Hand out an attachment, byte for byte as it was uploaded."""
        return await self.hand_out(submissionId, attachmentId)

    async def attachment_facts(self, submissionId: str, attachmentId: str) -> Response:  # noqa: N803
        """Tell an attachment's size."""
        return await self.look_at(submissionId, attachmentId)

    async def events(self, submissionId: str, offset: int = 0, limit: int = 100) -> ConnexionResponse:  # noqa: N803
        """Return the events of one submission, oldest first."""
        return await self.log(submissionId, offset, limit)

    def _wish(self, body: Mapping[str, Any]) -> SubmissionWish:
        """Read an announcement; either name of the service is understood in either version."""
        service = body.get("publicService") or body.get("serviceType")
        if service is None:
            raise Malformed(
                Text(
                    "Die Leistung fehlt: serviceType (Version 1) oder publicService (Version 2).",
                    "The service is missing: serviceType (version 1) or publicService (version 2).",
                ),
                slug="schema-violation",
            )
        region, case_id = body.get("region"), body.get("caseId")
        return SubmissionWish(
            destination_id=UUID(body["destinationId"]),
            service=Service(
                identifier=service["identifier"],
                name=service.get("name") or "",
                description=service.get("description"),
            ),
            announced=tuple(UUID(each) for each in body["announcedAttachments"]),
            region=None if region is None else region.removeprefix("DE"),
            case_id=None if case_id is None else UUID(case_id),
            callback=self.callback(body),
        )
