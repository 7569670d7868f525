"""What is proven of an accepted application: the first events of its case and the claims of its receipt."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from hub.model.events import Event, EventKind, Subject, chain
from hub.model.parties import Destination
from hub.model.submission import Form, Sealed, Submission, random_id
from hub.routing import Route


def first_events(submission: Submission, *, issuer: str) -> list[Event]:
    """Return the chained create and submit events of a new case."""

    def event(kind: EventKind, **more: Any) -> Event:
        return Event(
            case_id=submission.case_id,
            seq=0,
            jti=random_id(),
            subject=Subject.SUBMISSION,
            subject_id=submission.submission_id,
            kind=kind,
            issuer=issuer,
            by_hub=True,
            issued_at=submission.submitted_at,
            **more,
        )

    submitted = event(
        EventKind.SUBMIT,
        payload={"authenticationTags": submission.contents.authentication_tags()},
        digests={part: sealed.sha512 for part, sealed in submission.contents.parts()},
    )
    return chain([event(EventKind.CREATE), submitted])


def receipt_claims(
    submission: Submission,
    events: Sequence[Event],
    *,
    issuer: str,
    route: Route,
    destination: Destination,
    kid: str,
    validation: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Return what the receipt says: what was received, when, under which schema, for whom by which rule, and its hashes.

    ``validation`` is the verdict on what was accepted although it breaks its schema or was not checked completely.
    """
    schema = submission.schema
    claims = {
        "iss": issuer,
        "jti": str(random_id()),
        "iat": int(submission.submitted_at.timestamp()),
        "sub": f"submission:{submission.submission_id}",
        "txn": f"case:{submission.case_id}",
        "acceptedAt": submission.submitted_at.isoformat(timespec="milliseconds"),
        "sender": submission.sender,
        "destination": {"destinationId": str(submission.destination_id), "name": destination.name},
        "publicService": submission.service.identifier,
        "area": submission.area,
        "route": {"table": route.table_version, "rule": route.rule.id},
        "schema": schema
        and {"uri": schema.uri, "standard": schema.standard, "version": schema.version, "sha256": schema.sha256},
        "encryptionKid": kid,
        "contents": {part: _proven(sealed) for part, sealed in submission.contents.parts()},
        "eventLog": {"seq": events[-1].seq, "hash": events[-1].hash},
    }
    if submission.contents.form is not Form.JOSE:
        claims["sealedAs"] = submission.contents.form.value
    return claims if validation is None else claims | {"validation": dict(validation)}


def _proven(sealed: Sealed) -> dict[str, Any]:
    proven: dict[str, Any] = {"sha512": sealed.sha512, "size": sealed.size}
    if sealed.tag:
        proven["authenticationTag"] = sealed.tag
    return proven
