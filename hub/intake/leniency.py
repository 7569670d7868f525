"""Applications that are not flawless: they break their schema, were not checked completely, or lack attachments they name.

The first are refused unless the rule that routes them says otherwise (``OnInvalid``). The others are accepted, since nothing
speaks against them; receipt, answer and authority are told which checks were not done, and how many attachments are missing.
"""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import orjson

from hub.errors import InvalidPayload, Text
from hub.intake.attachments import AttachmentFacts, SealedAttachment, sealed_whole
from hub.intake.sealing import Sealer
from hub.routing import OnInvalid
from hub.store import Beginning
from hub.validation.report import Report

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
