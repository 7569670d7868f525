"""What is said of an accepted application: in its proof, and of its flaws.

What is proven of an accepted application: the first events of its case and the claims of its receipt.

Applications that are not flawless: they break their schema, were not checked completely, or lack attachments they name.

The first are refused unless the rule that routes them says otherwise (``OnInvalid``). The others are accepted, since nothing
speaks against them; receipt, answer and authority are told which checks were not done, and how many attachments are missing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import uuid4

import orjson

from hub.errors import InvalidPayload, Text
from hub.intake.sealing import AttachmentFacts, SealedAttachment, Sealer, sealed_whole
from hub.model import Destination, Event, EventKind, Subject, Submission, chain, own_event
from hub.proof.evidence import receipt_claims
from hub.routing import OnInvalid, Route
from hub.store import Beginning
from hub.validation.report import Report


def first_events(submission: Submission, *, issuer: str) -> list[Event]:
    """Return the chained create and submit events of a new case."""

    def event(kind: EventKind, **more: Any) -> Event:
        return own_event(
            kind,
            case_id=submission.case_id,
            subject=(Subject.SUBMISSION, submission.submission_id),
            issuer=issuer,
            now=submission.submitted_at,
            **more,
        )

    submitted = event(
        EventKind.SUBMIT,
        payload={"authenticationTags": submission.contents.authentication_tags()},
        digests={part: sealed.sha512 for part, sealed in submission.contents.parts()},
    )
    return chain([event(EventKind.CREATE), submitted])


def receipt_of(
    submission: Submission,
    events: Sequence[Event],
    *,
    issuer: str,
    route: Route,
    destination: Destination,
    kid: str,
    validation: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Return what the receipt says: what that of either door does, and by which rule and for which key.

    ``validation`` is the verdict on what was accepted although it breaks its schema or was not checked completely.
    """
    claims = receipt_claims(
        submission, events[-1], issuer=issuer, destination=destination.name, issued_at=submission.submitted_at
    )
    claims |= {"route": {"table": route.table_version, "rule": route.rule.id}, "encryptionKid": kid}
    return claims if validation is None else claims | {"validation": dict(validation)}


#: The name under which a receiver finds the report.
REPORT_FILENAME = "validierungsbericht.json"
_MEDIA_TYPE = "application/json"


def refusal(report: Report) -> InvalidPayload:
    """Return the refusal of an invalid application: every violation, no value."""
    missing = report.missing_attachments
    detail = Text(
        f"Der Antrag verletzt sein Schema an {report.total} Stelle(n). "
        "Beheben Sie die genannten Verstöße und senden Sie ihn neu.",
        f"The application violates its schema in {report.total} place(s). Mend what is listed and send it again.",
    )
    if missing == report.total:
        detail = Text(
            f"Der Antrag nennt an {missing} Stelle(n) Anlagen, die fehlen. Senden Sie ihn mit diesen Anlagen neu.",
            f"The application names attachments in {missing} place(s) that are missing. Send it again with them.",
        )
    return InvalidPayload(
        detail,
        violations=[violation.as_json() for violation in report.violations],
        total=report.total,
        schema={"uri": report.schema.uri, "version": report.schema.version},
    )


def sealed_report(report: Report, *, sealer: Sealer, blobs: Beginning) -> SealedAttachment:
    """Return the report as an attachment for the authority alone.

    It has no part name: it is none of the sender's, so it counts neither for idempotency nor for what the sender may say.
    """
    content = orjson.dumps(report.as_json())
    sealed, plaintext_sha512 = sealed_whole(content, _MEDIA_TYPE, REPORT_FILENAME, sealer=sealer, blobs=blobs)
    facts = AttachmentFacts(
        part_name="", filename=REPORT_FILENAME, media_type=_MEDIA_TYPE, plaintext_sha512=plaintext_sha512
    )
    return SealedAttachment(attachment_id=uuid4(), facts=facts, sealed=sealed)


def verdict(report: Report, policy: OnInvalid) -> dict[str, Any] | None:
    """Return what the receipt says of a check: None if it was complete, found no error, and every attachment named came.

    Its size is bounded: counts, and of each check that was not done the hub's own words.
    """
    if report.valid and report.complete and not report.missing_attachments:
        return None
    invalid = {} if report.valid else {"violations": report.total, "onInvalid": policy.value}
    unchecked = [each.as_json() for each in report.unchecked]
    missing = {"missingAttachments": report.missing_attachments} if report.missing_attachments else {}
    return {"valid": report.valid, "complete": report.complete, **invalid, **missing, "unchecked": unchecked}
