"""Handing a case on, for the authority that has it (``/hub/v1/cases/{caseId}/forwards``), and where it came from and went."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from connexion.lifecycle import ConnexionResponse

from hub.api import in_thread, json_answer, note, nothing
from hub.fit_connect.forwarding import BegunForward, Forwarding, ForwardWish, NextAuthority
from hub.identity import Caller
from hub.model import FORWARD_REASONS_BY_NAME, ForwardLink

_log = logging.getLogger(__name__)


class CaseForwards:
    """Handlers of the addresses below ``/hub/v1/cases/{caseId}`` by which a case is handed on."""

    def __init__(self, forwarding: Forwarding, *, caller: Callable[[], Caller], clock: Callable[[], datetime]) -> None:
        self._forwarding = forwarding
        self._caller = caller
        self._clock = clock

    async def begin(self, caseId: str, body: Mapping[str, Any]) -> ConnexionResponse:  # noqa: N803  # the contract's name
        """Open the new case with the next authority; with ``check`` only say which one that is."""
        wish = ForwardWish(
            request_id=UUID(body["requestId"]),
            case_id=UUID(caseId),
            submission_id=UUID(body["submissionId"]),
            service=body.get("service", ""),
            area=body.get("ars", ""),
            reason=body["reason"],
            announced=tuple(UUID(each) for each in body.get("announcedAttachments", ())),
        )
        note(submission=str(wish.submission_id), case=caseId)
        if body.get("check", False):
            found = await in_thread(self._forwarding.check, wish, caller=self._caller(), now=self._clock())
            return json_answer(_authority(found))
        begun = await in_thread(self._forwarding.begin, wish, caller=self._caller(), now=self._clock())
        _log.info("case handed on", extra={"case_id": caseId, "outcome": "begun"})
        return json_answer(_begun(begun), 201)

    async def complete(self, caseId: str, submissionId: str, body: Mapping[str, Any]) -> ConnexionResponse:  # noqa: N803, ARG002  # it says one thing alone
        """Take down that the next authority has all of it: 204."""
        note(submission=submissionId, case=caseId)
        await in_thread(
            self._forwarding.complete, UUID(caseId), UUID(submissionId), caller=self._caller(), now=self._clock()
        )
        _log.info("case handed on", extra={"case_id": caseId, "outcome": "complete"})
        return nothing()

    async def links(self, caseId: str) -> ConnexionResponse:  # noqa: N803
        """Say where a case came from and where it went."""
        links = await in_thread(self._forwarding.links, UUID(caseId), caller=self._caller())
        came = links.came_from
        return json_answer(
            {
                **({} if came is None else {"cameFrom": _came(*came)}),
                "wentTo": [_went(link, name) for link, name in links.went_to],
            }
        )


def _authority(found: NextAuthority) -> dict[str, Any]:
    return {
        "destinationId": str(found.destination.destination_id),
        "name": found.destination.name,
        "ars": found.area,
        "areaName": found.area_name,
        "rule": found.rule,
    }


def _begun(begun: BegunForward) -> dict[str, Any]:
    link, destination = begun.link, begun.destination
    return {
        "submissionId": str(link.submission_id),
        "caseId": str(link.case_id),
        "destinationId": str(link.destination_id),
        "name": destination.name,
        "ars": link.area,
        "state": begun.state.value,
        "encryptionKid": destination.encryption_kid,
        "metadataVersions": list(destination.metadata_versions),
        "receivedAt": _written(link.received_at),
        "receipt": begun.receipt,
    }


def _came(link: ForwardLink, name: str) -> dict[str, Any]:
    return {
        **_at(link),
        "caseId": str(link.from_case_id),
        "submissionId": str(link.from_submission_id),
        "destinationId": str(link.from_destination_id),
        "name": name,
        "receivedAt": _written(link.received_at),
    }


def _went(link: ForwardLink, name: str) -> dict[str, Any]:
    return {
        **_at(link),
        "caseId": str(link.case_id),
        "submissionId": str(link.submission_id),
        "destinationId": str(link.destination_id),
        "name": name,
    }


def _at(link: ForwardLink) -> dict[str, Any]:
    reason = FORWARD_REASONS_BY_NAME.get(link.reason)
    title = {"de": link.reason, "en": link.reason} if reason is None else {"de": reason.title.de, "en": reason.title.en}
    return {"at": _written(link.completed_at or link.begun_at), "reason": link.reason, "reasonText": title}


def _written(moment: datetime) -> str:
    return moment.isoformat(timespec="milliseconds")
