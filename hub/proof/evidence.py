"""Evidence of a submission: its receipt, and the entries of its case's log that the receipt names the end of.

A receipt says what the hub took, when, for whom, and with which hashes. It is signed with Ed25519, which costs a fiftieth of an
event token's PS512, so it is what travels with a pushed delivery. Whoever has it and the log's entries from the submission's
create event to its submit event can check the chain without asking the hub.

The plain door signs a receipt before it answers. The sealed door's clients know nothing of receipts: theirs is made when
somebody first needs it, off the store's writer, and only once the entry has been computed anew from its row and compared
with the contents that are stored. The first stored receipt wins, whoever made it.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from hub.crypto import HubKeys, claims_of, make_receipt
from hub.errors import SealBroken, Unavailable
from hub.model import Event, EventKind, Evidence, Form, Sealed, Submission, canonical_entry, random_id
from hub.observability.metrics import Meters
from hub.proof.event_log import contradicted
from hub.store import Store

_log = logging.getLogger(__name__)
#: What a receipt's claims are written in; those that name no version are of the first.
RECEIPT_VERSION = 2


def receipt_claims(
    submission: Submission, end: Event, *, issuer: str, destination: str, issued_at: datetime
) -> dict[str, Any]:
    """Return what a receipt of either door says; ``end`` is the submit event, ``destination`` the receiver's name.

    What was received, when, for whom, under which schema, its hashes, and where it stands in its case's log. ``iat`` is when
    the receipt was made, ``acceptedAt`` when the hub took the submission. Members that a reader does not know are to be passed
    over; ``contentProof``, ``scan``, ``clock`` and ``timestamp`` are kept free for what a hub may prove besides.
    """
    schema, contents = submission.schema, submission.contents
    claims = {
        "ver": RECEIPT_VERSION,
        "door": submission.door.value,
        "iss": issuer,
        "jti": str(random_id()),
        "iat": int(issued_at.timestamp()),
        "sub": f"submission:{submission.submission_id}",
        "txn": f"case:{submission.case_id}",
        "acceptedAt": submission.submitted_at.isoformat(timespec="milliseconds"),
        "sender": submission.sender,
        "destination": {"destinationId": str(submission.destination_id), "name": destination},
        "publicService": submission.service.identifier,
        "area": submission.area,
        "schema": schema
        and {"uri": schema.uri, "standard": schema.standard, "version": schema.version, "sha256": schema.sha256},
        "contents": {part: _proven(sealed) for part, sealed in contents.parts()},
        "eventLog": {"seq": end.seq, "hash": end.hash},
    }
    return claims if contents.form is Form.JOSE else claims | {"sealedAs": contents.form.value}


def _proven(sealed: Sealed) -> dict[str, Any]:
    proven: dict[str, Any] = {"sha512": sealed.sha512, "size": sealed.size}
    if sealed.tag:
        proven["authenticationTag"] = sealed.tag
    return proven


class Evidences:
    """Brings the evidence of submissions, from several threads."""

    def __init__(self, *, store: Store, keys: HubKeys, issuer: str, meters: Meters | None = None) -> None:
        self._store = store
        self._keys = keys
        self._issuer = issuer
        self._meters = meters

    def of(self, submission: Submission, *, receipt: str | None, destination: str, now: datetime) -> Evidence:
        """Return what proves a submission; ``receipt`` is the stored one, None where it has still to be made.

        Raises:
            Unavailable: log, receipt and contents contradict each other (``log-contradicted``); that is never sent.
        """
        run = self._run(submission)
        if receipt is None:
            receipt = self._made(submission, run[-1], destination=destination, now=now)
        elif not _names(receipt, run[-1], submission):
            raise self._contradicted(submission)
        entries = tuple(canonical_entry(event.entry()).decode("utf-8") for event in run)
        return Evidence(receipt=receipt, previous=run[0].previous, entries=entries)

    def receipt(self, submission: Submission, *, destination: str, now: datetime) -> str:
        """Return the receipt of a submission that has none stored, made now; errors as :meth:`of`."""
        return self._made(submission, self._run(submission)[-1], destination=destination, now=now)

    def _made(self, submission: Submission, end: Event, *, destination: str, now: datetime) -> str:
        claims = receipt_claims(submission, end, issuer=self._issuer, destination=destination, issued_at=now)
        made = make_receipt(self._keys.receipt, claims)
        return self._store.submissions.keep_receipt(submission.submission_id, made)

    def _run(self, submission: Submission) -> Sequence[Event]:
        """Return the entries from the submission's create event to its submit event, once they hold together.

        The rows are not what is believed: each entry is computed anew, hashed behind the one before, and the last one's
        digests are those of the contents that are about to be sent.
        """
        run = self._store.event_log.run(submission.case_id, submission.submission_id)
        if not run or not _holds(run) or not _submits(run[-1], submission):
            raise self._contradicted(submission)
        return run

    def _contradicted(self, submission: Submission) -> Unavailable:
        _log.error(
            "submission %s: its log, its receipt and its contents contradict each other", submission.submission_id
        )
        if self._meters is not None:
            self._meters.contradicted()
        return contradicted(submission.case_id)


def _holds(run: Sequence[Event]) -> bool:
    """Whether entries follow each other in number and hash, each as its row says it."""
    head, seq = run[0].previous, run[0].seq
    for event in run:
        if event.seq != seq or event.previous != head or event.entry_hash() != event.hash:
            return False
        head, seq = event.hash, seq + 1
    return run[0].kind is EventKind.CREATE


def _submits(end: Event, submission: Submission) -> bool:
    digests = {part: sealed.sha512 for part, sealed in submission.contents.parts()}
    ours = end.by_hub and end.kind is EventKind.SUBMIT and end.subject_id == submission.submission_id
    return ours and dict(end.digests) == digests


def _names(receipt: str, end: Event, submission: Submission) -> bool:
    """Whether a stored receipt is of this submission and of this end of its log."""
    try:
        claims: Mapping[str, Any] = claims_of(receipt)
    except SealBroken:
        return False
    named = claims.get("sub"), claims.get("eventLog")
    return named == (f"submission:{submission.submission_id}", {"seq": end.seq, "hash": end.hash})
