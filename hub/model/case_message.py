"""A later message in a case: what kind it is, and what it is about.

A sender writes further messages into the case that its application opened: an application of the same service once more, a
correction that takes the place of an earlier one, a withdrawal, an answer to a reply. The last two have no schema of their
service's; they follow the hub's own (:data:`MESSAGE_SCHEMA`), which every authority is sent. With a correction the hub encloses
a message of the same schema, so that the authority sees what is replaced.

What an authority writes back is a :class:`ReplyMessage`, sealed for the sender; its kinds are data (:data:`REPLY_KINDS`).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date
from enum import StrEnum
from typing import Any, Self
from uuid import UUID

import orjson

from hub.errors import Text

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


#: The schema of what an authority writes back; the hub never sees it, for it is sealed for the sender.
REPLY_SCHEMA = "https://schema.rathaus-hub.example/rathaus-antwort/1.0/antwort.schema.json"
#: Characters of a reply's text.
LONGEST_REPLY = 20_000


@dataclass(frozen=True, kw_only=True, slots=True)
class ReplyKind:
    """A kind of reply. ``asks``: an answer is expected, by a deadline if one is named; ``closes``: the case ends with it.

    ``follows`` from something else that is done, and is not for anybody to choose.
    """

    name: str
    title: Text
    asks: bool = False
    closes: bool = False
    follows: bool = False


#: What an authority may write, in the order in which it is offered.
REPLY_KINDS = (
    ReplyKind(name="question", title=Text("Rückfrage", "Question"), asks=True),
    ReplyKind(name="documents", title=Text("Unterlagen nachfordern", "Further documents wanted"), asks=True),
    ReplyKind(name="status", title=Text("Sachstand", "Status")),
    ReplyKind(name="participation", title=Text("Beteiligung anderer Stellen", "Participation of other authorities")),
    ReplyKind(name="fee", title=Text("Gebührenbescheid", "Fee notice")),
    ReplyKind(name="decision", title=Text("Bescheid", "Decision"), closes=True),
    ReplyKind(name="rejection", title=Text("Ablehnung der Annahme", "Not accepted"), closes=True, follows=True),
    ReplyKind(
        name="forwarded", title=Text("Abgabe an eine andere Stelle", "Handed on to another authority"), follows=True
    ),
)
#: The same by their names.
REPLY_KINDS_BY_NAME = {each.name: each for each in REPLY_KINDS}


@dataclass(frozen=True, kw_only=True, slots=True)
class ReplyMessage:
    """What an authority writes: ``about`` is the submission, ``deadline`` the last day for an answer."""

    kind: str
    about: UUID
    text: str = field(repr=False)
    deadline: date | None = None

    def content(self) -> bytes:
        """Return it as JSON of :data:`REPLY_SCHEMA`."""
        said = {"$schema": REPLY_SCHEMA, "kind": self.kind, "about": str(self.about), "text": self.text}
        return orjson.dumps(said | ({"deadline": self.deadline.isoformat()} if self.deadline else {}))

    @classmethod
    def read(cls, content: bytes) -> Self | None:
        """Return what JSON of the schema says; None for anything else."""
        try:
            said = orjson.loads(content)
            last = said.get("deadline")
            return cls(
                kind=str(said["kind"]),
                about=UUID(said["about"]),
                text=str(said["text"]),
                deadline=None if last is None else date.fromisoformat(last),
            )
        except (ValueError, KeyError, TypeError, AttributeError):
            return None
