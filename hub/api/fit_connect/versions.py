"""The two versions of FIT-Connect's API as two ways to write one store (sections 4.2, 5 and 6 of its wire).

Each writes exactly the members of its version: a known client refuses those that it does not know.
"""

from __future__ import annotations

from typing import Any, Protocol

from hub.fit_connect.messages import LENIENT, STRICT, Profile
from hub.model import Callback, Destination, OfferedService, Service
from hub.store import Case, StoredMessage

_NO_REGION = "DE"


class WireVersion(Protocol):
    """What differs between the versions."""

    profile: Profile
    #: Status of an accepted submit.
    submitted: int

    def destination(self, destination: Destination, *, private: bool) -> dict[str, Any]:
        """Write a destination; ``private`` for its owner."""

    def submission(self, message: StoredMessage) -> dict[str, Any]:
        """Write a submission without its contents."""


class V1:
    """Version 1.1.3 and the later line of 1.x."""

    profile = LENIENT
    submitted = 202

    def destination(self, destination: Destination, *, private: bool) -> dict[str, Any]:
        """Write a destination; contact and callback are for its owner."""
        document: dict[str, Any] = {
            "destinationId": str(destination.destination_id),
            "status": destination.status,
            "services": [_offered(service) for service in destination.services],
            "encryptionKid": destination.encryption_kid,
            "metadataVersions": list(destination.metadata_versions),
        }
        if destination.reply_channels:
            document["replyChannels"] = dict(destination.reply_channels)
        if private:
            document["contactInformation"] = dict(destination.contact)
            document |= _callback(destination.callback)
        return document

    def submission(self, message: StoredMessage) -> dict[str, Any]:
        """Write a submission: ``serviceType``, and the callback's address."""
        service = message.service
        document = _submission(message)
        document["serviceType"] = {"name": service.name, "identifier": service.identifier} | _description(service)
        return document | _callback(message.callback)


class V2:
    """Version 2."""

    profile = STRICT
    submitted = 200

    def destination(self, destination: Destination, *, private: bool) -> dict[str, Any]:
        """Write a destination; the callback's address is for its owner."""
        document: dict[str, Any] = {
            "destinationId": str(destination.destination_id),
            "name": destination.name,
            "status": destination.status,
            "encryptionKid": destination.encryption_kid,
            "metadataVersions": list(destination.metadata_versions),
            "contactInformation": dict(destination.contact),
            "publicServices": [_offered(service) for service in destination.services],
        }
        return document | (_callback(destination.callback) if private else {})

    def submission(self, message: StoredMessage) -> dict[str, Any]:
        """Write a submission: ``publicService`` and ``region``."""
        document = _submission(message)
        document["publicService"] = {"identifier": message.service.identifier, "name": message.service.name}
        if message.area is not None:
            document["region"] = _NO_REGION + message.area
        return document


def submission_row(message: StoredMessage) -> dict[str, str]:
    """Write a submission as a row of a list."""
    return {
        "destinationId": str(message.destination_id),
        "submissionId": str(message.id),
        "caseId": str(message.case_id),
    }


def reply_row(message: StoredMessage) -> dict[str, str]:
    """Write a reply as a row of a list."""
    return {
        "destinationId": str(message.destination_id),
        "replyId": str(message.id),
        "caseId": str(message.case_id),
    }


def reply(message: StoredMessage) -> dict[str, Any]:
    """Write a reply without its contents; the same in both versions."""
    return {**reply_row(message), "attachments": _attachments(message)}


def case_row(case: Case) -> dict[str, str]:
    """Write a case as a row of a list."""
    return {"caseId": str(case.case_id), "destinationId": str(case.destination_id)}


def _submission(message: StoredMessage) -> dict[str, Any]:
    return {**submission_row(message), "attachments": _attachments(message)}


def _attachments(message: StoredMessage) -> list[str]:
    return [str(attachment_id) for attachment_id in message.announced]


def _offered(service: OfferedService) -> dict[str, Any]:
    return {
        "identifier": service.identifier,
        "regions": list(service.regions),
        "submissionSchemas": [{"schemaUri": uri, "mimeType": media_type} for uri, media_type in service.schemas],
    }


def _description(service: Service) -> dict[str, str]:
    return {} if service.description is None else {"description": service.description}


def _callback(callback: Callback | None) -> dict[str, Any]:
    return {} if callback is None else {"callback": {"url": callback.url}}
