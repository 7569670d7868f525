"""A sender's cases at the plain door: what it sent, and the replies that came back.

A reply is sealed for the key that the sender named in its application's ``replyChannel``; the private half opens it here and
lies nowhere else. Before anything is opened the case's signed log has to prove what came: a submit event by the hub with the
tags of these very parts (:mod:`hub.client.verification`). Opening compares the hashes that the metadata name.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any
from uuid import UUID

import orjson

from hub.client.fit_connect import Collected, Named, Sender, sealed_stream
from hub.client.session import JSON, Session, unreadable
from hub.client.verification import Problem
from hub.model import State, Subject
from hub.model.ai_step import AiStep

_CASES = "/hub/v1/cases"


@dataclass(frozen=True, kw_only=True, slots=True)
class CaseReply:
    """One reply in a case. ``readable``: its contents can be fetched yet; ``finished_at``: when it was answered, if so."""

    reply_id: UUID
    case_id: UUID
    destination_id: UUID
    state: State
    readable: bool
    submitted_at: datetime
    finished_at: datetime | None


@dataclass(frozen=True, kw_only=True, slots=True)
class SentInCase:
    """One submission in a case; ``kind`` and ``about`` are None of the first, ``ars`` and ``schema`` if the hub knows none."""

    submission_id: UUID
    service: str
    ars: str | None
    schema: str | None
    state: State
    submitted_at: datetime
    kind: str | None
    about: UUID | None


@dataclass(frozen=True, kw_only=True, slots=True)
class CaseAiStep:
    """A step of an AI system in a case: ``step`` as the authority signed it; ``seq`` is its number in the log."""

    at: datetime
    seq: int
    submission_id: UUID
    step: AiStep


@dataclass(frozen=True, kw_only=True, slots=True)
class OwnCase:
    """A case that this sender opened: what it sent and what came back, the oldest first."""

    case_id: UUID
    destination_id: UUID
    created_at: datetime
    submissions: tuple[SentInCase, ...]
    replies: tuple[CaseReply, ...]


class OwnCases:
    """The cases of one sender. ``session`` leads to the hub's address, ``issuer`` is that as which it signs its logs.

    Errors as :class:`Session`; ``NotFound`` for whatever is not this sender's.
    """

    def __init__(self, session: Session, *, issuer: str | None = None) -> None:
        self._session = session
        self._log = Sender(session, issuers=frozenset({issuer or session.base_url}))

    def show(self, case_id: UUID) -> OwnCase:
        """Return a case."""
        found = self._session.json("GET", f"{_CASES}/{case_id}")
        try:
            return OwnCase(
                case_id=UUID(found["caseId"]),
                destination_id=UUID(found["destinationId"]),
                created_at=datetime.fromisoformat(found["createdAt"]),
                submissions=tuple(_sent(each) for each in found["submissions"]),
                replies=tuple(_reply(each) for each in found["replies"]),
            )
        except (KeyError, TypeError, ValueError, AttributeError) as exc:
            raise unreadable() from exc

    def replies(self, case_id: UUID) -> Iterator[CaseReply]:
        """Yield the replies in a case, oldest first; pages are fetched as they are needed."""
        for each in self._session.pages(f"{_CASES}/{case_id}/replies", "replies"):
            yield _reply(each)

    def ai_steps(self, case_id: UUID) -> tuple[CaseAiStep, ...]:
        """Return the steps of AI systems that the authority wrote into a case's log, oldest first; empty: none is recorded."""
        found = self._session.json("GET", f"{_CASES}/{case_id}/ai-steps")
        try:
            return tuple(_ai_step(each) for each in found["steps"])
        except (KeyError, TypeError, ValueError, AttributeError) as exc:
            raise unreadable() from exc

    @contextmanager
    def collect(self, case_id: UUID, reply_id: UUID) -> Iterator[Collected]:
        """Collect a reply into a temporary folder, ciphertext only, proven by the signed log; ``open`` it with the private key.

        Raises:
            NotFound: there is none for this sender, or its contents are gone.
            SealBroken: the log proves nothing, or something else than what came.
            Unavailable: a key of the hub cannot be fetched now.
        """
        path = f"{_CASES}/{case_id}/replies/{reply_id}"
        named = Named(subject=Subject.REPLY, message_id=reply_id, case_id=case_id)
        found = self._session.json("GET", path)
        if found.get("replyId") != str(reply_id):
            raise unreadable()
        fetch = partial(_attachment, self._session, path)
        with self._log.collected_as(named, found, fetch) as collected:
            self._log.verify(collected)
            yield collected

    def acknowledge(self, case_id: UUID, reply_id: UUID) -> None:
        """Say that the reply is taken; it stays readable for some days. ``Conflict`` if it was answered before."""
        self._answer(case_id, reply_id, {"outcome": "accepted"})

    def refuse(self, case_id: UUID, reply_id: UUID, problems: Sequence[Problem]) -> None:
        """Say why the reply cannot be taken; ``Conflict`` if it was answered before."""
        said = [problem.as_event() for problem in problems]
        self._answer(case_id, reply_id, {"outcome": "rejected", "problems": said})

    def _answer(self, case_id: UUID, reply_id: UUID, body: Mapping[str, Any]) -> None:
        path = f"{_CASES}/{case_id}/replies/{reply_id}/acknowledgement"
        self._session.send("POST", path, content=orjson.dumps(body), headers={"Content-Type": JSON})


def _attachment(session: Session, path: str, attachment_id: UUID) -> Iterator[bytes]:
    return sealed_stream(session, f"{path}/attachments/{attachment_id}")


def _reply(document: Mapping[str, Any]) -> CaseReply:
    try:
        finished = document["finishedAt"]
        return CaseReply(
            reply_id=UUID(document["replyId"]),
            case_id=UUID(document["caseId"]),
            destination_id=UUID(document["destinationId"]),
            state=State(document["state"]),
            readable=document["readable"] is True,
            submitted_at=datetime.fromisoformat(document["submittedAt"]),
            finished_at=None if finished is None else datetime.fromisoformat(finished),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as exc:
        raise unreadable() from exc


def _ai_step(document: Mapping[str, Any]) -> CaseAiStep:
    names = ("system", "version", "purpose", "output", "decided")
    return CaseAiStep(
        at=datetime.fromisoformat(document["at"]),
        seq=int(document["seq"]),
        submission_id=UUID(document["submissionId"]),
        step=AiStep.read({name: document[name] for name in names}),
    )


def _sent(document: Mapping[str, Any]) -> SentInCase:
    said = document["inCase"] or {"kind": None, "about": None}
    return SentInCase(
        submission_id=UUID(document["submissionId"]),
        service=str(document["service"]),
        ars=document["ars"],
        schema=document["schema"],
        state=State(document["state"]),
        submitted_at=datetime.fromisoformat(document["submittedAt"]),
        kind=said["kind"],
        about=None if said["about"] is None else UUID(said["about"]),
    )
