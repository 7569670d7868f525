"""What another authority handed on, as it arrives: since when it counts, by the hub's word and a signed receipt.

That a note (``abgabe.json``) is enclosed proves nothing: anybody may enclose a file of that name, with a receipt of something
else. What counts is that the hub's log says that the case came from another one, and that a receipt which the hub signed is of
that submission and of that time.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import orjson

from hub.client.forwarding import CaseOrigin, Forwarder
from hub.connector.forwards import CameFrom, ForwardBook
from hub.connector.handing_on import is_forward_note
from hub.connector.opening import OpenedSubmission
from hub.crypto import verify_receipt
from hub.errors import KeyRefused, NotFound, SealBroken
from hub.model import LARGEST_FORWARD_NOTE, MOST_FORWARDS

_log = logging.getLogger(__name__)


class Arriving:
    """Notes where cases came from. ``receipt_keys`` returns the hub's keys for a receipt (RFC 7517)."""

    def __init__(
        self, forwards: ForwardBook, door: Forwarder, receipt_keys: Callable[[str], Mapping[str, Any]]
    ) -> None:
        self._forwards = forwards
        self._door = door
        self._receipt_keys = receipt_keys

    def note(self, opened: OpenedSubmission) -> None:
        """Note where a submission came from, if it says so and the hub does.

        Raises:
            Unavailable: the hub cannot be asked now.
        """
        notes = list(_notes(opened))
        case_id = opened.envelope.case_id
        if not notes:
            return
        try:
            origin = self._door.origin(case_id)
        except NotFound:
            origin = None  # A hub that hands nothing on.
        if origin is None or not self._is_proven(notes, origin):
            _log.warning("case %s: it says that it was handed on, and nothing proves that", case_id)
            return
        self._forwards.came(_came_from(case_id, origin))

    def _is_proven(self, notes: list[Mapping[str, Any]], origin: CaseOrigin) -> bool:
        """Whether one receipt is of the submission that was handed on, and the earliest of them of the time that counts."""
        claims = [said for each in notes if (said := self._claims(each.get("receipt"))) is not None]
        subjects = {(each.get("sub"), each.get("txn")) for each in claims}
        times = [_moment(each.get("acceptedAt")) for each in claims]
        known = [each for each in times if each is not None]
        wanted = f"submission:{origin.submission_id}", f"case:{origin.case_id}"
        return wanted in subjects and bool(known) and min(known) == origin.received_at

    def _claims(self, receipt: Any) -> Mapping[str, Any] | None:
        if not isinstance(receipt, str):
            return None
        try:
            return verify_receipt(receipt, self._receipt_keys(receipt))
        except (SealBroken, KeyRefused):
            return None


def _came_from(case_id: UUID, origin: CaseOrigin) -> CameFrom:
    return CameFrom(
        case_id=case_id,
        from_case=origin.case_id,
        from_name=origin.name,
        reason=origin.reason,
        handed_at=origin.at,
        received_at=origin.received_at,
    )


def _notes(opened: OpenedSubmission) -> Iterator[Mapping[str, Any]]:
    found = [each for each in opened.attachments if is_forward_note(each.file_name, each.purpose)]
    for each in found[: MOST_FORWARDS + 1]:
        if each.size > LARGEST_FORWARD_NOTE:
            continue
        try:
            said = orjson.loads(b"".join(each.chunks()))
        except orjson.JSONDecodeError:
            continue
        if isinstance(said, dict):
            yield said


def _moment(text: Any) -> datetime | None:
    try:
        moment = datetime.fromisoformat(text)
    except (TypeError, ValueError):
        return None
    return None if moment.tzinfo is None else moment.astimezone(UTC)
