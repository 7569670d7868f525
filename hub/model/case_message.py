"""A later message in a case: what kind it is, and what it is about.

A sender writes further messages into the case that its application opened: an application of the same service once more, a
correction that takes the place of an earlier one, a withdrawal, an answer to a reply. The last two have no schema of their
service's; they follow the hub's own (:data:`MESSAGE_SCHEMA`), which every authority is sent. With a correction the hub encloses
a message of the same schema, so that the authority sees what is replaced.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Self
from uuid import UUID

import orjson

#: The schema of withdrawals, answers and the hub's own note of a correction; it ships with the hub.
MESSAGE_SCHEMA = "https://schema.rathaus-hub.example/rathaus-nachricht/1.0/nachricht.schema.json"
#: The name under which a receiver finds the note that the hub encloses with a correction.
MESSAGE_FILENAME = "nachricht.json"
#: Bytes of such a note and of a message: the longest text in UTF-8, and its members.
LARGEST_MESSAGE = 128 * 1024


class CaseMessageKind(StrEnum):
    """What a later message in a case is."""

    #: Another application of the case's service, or further documents.
    APPLICATION = "application"
    #: An application that takes the place of an earlier one.
    CORRECTION = "correction"
    #: The sender takes an application back.
    WITHDRAWAL = "withdrawal"
    #: The sender answers a reply.
    ANSWER = "answer"


@dataclass(frozen=True, kw_only=True, slots=True)
class InCase:
    """What the receipt says of a later message: its kind, and the submission or reply that it is about, if any."""

    kind: CaseMessageKind
    about: UUID | None = None

    def as_claim(self) -> dict[str, Any]:
        """Return it as the receipt has it."""
        return {"kind": self.kind.value, "about": None if self.about is None else str(self.about)}


@dataclass(frozen=True, kw_only=True, slots=True)
class CaseMessage:
    """A message of the hub's own schema. ``about``: the submission withdrawn or replaced, or the reply answered."""

    kind: CaseMessageKind
    about: UUID
    text: str = field(default="", repr=False)

    def content(self) -> bytes:
        """Return it as JSON of :data:`MESSAGE_SCHEMA`."""
        said = {"$schema": MESSAGE_SCHEMA, "kind": self.kind.value, "about": str(self.about)}
        return orjson.dumps(said | ({"text": self.text} if self.text else {}))

    @classmethod
    def read(cls, content: bytes) -> Self | None:
        """Return what JSON of the schema says; None for anything else."""
        try:
            said = orjson.loads(content)
            return cls(kind=CaseMessageKind(said["kind"]), about=UUID(said["about"]), text=str(said.get("text", "")))
        except (ValueError, KeyError, TypeError, AttributeError):
            return None
