"""Handing a case on to another authority: why, and how the two cases are linked.

An authority that is not responsible hands on what it got. There it is a *new* case, sealed by the authority's connector for
the next one; both logs name each other (``forwarded-to``, ``forwarded-from``), and the time of receipt is the first case's.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from hub.errors import Text

#: How often one application may be handed on: whoever is not found by then has to be found by people.
MOST_FORWARDS = 5
#: The name of the note by which an authority tells the next one what it hands on; a later one of the same case has a number.
FORWARD_FILENAME = "abgabe.json"
#: Bytes of such a note: receipt, entries of the log, texts.
LARGEST_FORWARD_NOTE = 4 * 1024 * 1024


@dataclass(frozen=True, kw_only=True, slots=True)
class ForwardReason:
    """Why a case is handed on; it stands in both logs, so it is one of a list."""

    name: str
    title: Text


#: The reason of a notification that a permit procedure has to follow.
NOT_FREED = "not-freed"
#: What may be chosen, in this order.
FORWARD_REASONS = (
    ForwardReason(name="not-responsible", title=Text("Sachlich nicht zuständig", "Not responsible for the matter")),
    ForwardReason(name="other-area", title=Text("Liegt in einem anderen Gebiet", "Lies in another area")),
    ForwardReason(
        name=NOT_FREED,
        title=Text(
            "Keine Freistellung: Ein Genehmigungsverfahren ist nötig", "Not freed: a permit procedure is needed"
        ),
    ),
    ForwardReason(
        name="succession",
        title=Text("Zuständigkeit ist übergegangen", "Another authority has taken over the responsibility"),
    ),
    ForwardReason(name="other", title=Text("Anderer Grund", "Another reason")),
)
#: The same by their names.
FORWARD_REASONS_BY_NAME = {each.name: each for each in FORWARD_REASONS}


@dataclass(frozen=True, kw_only=True, slots=True)
class ForwardLink:
    """One case handed on: ``from_…`` is the old case and submission, the rest the new one.

    ``received_at`` is when the hub took the first submission of the chain; ``depth`` how often it was handed on, this time
    included. ``completed_at`` is None until the next authority has all of it.
    """

    submission_id: UUID
    case_id: UUID
    destination_id: UUID
    from_submission_id: UUID
    from_case_id: UUID
    from_destination_id: UUID
    client_id: str
    request_id: UUID
    service: str
    area: str
    reason: str
    depth: int
    received_at: datetime
    begun_at: datetime
    completed_at: datetime | None = None
