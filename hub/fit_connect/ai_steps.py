"""Steps of AI systems in a case: written by its authority, read by both sides, never among FIT-Connect's events.

A step is an event token signed by the key of the case's own destination (RFC 8417), taken in byte for byte, as accept and
reject are; its event URI is the house's. What is written is a promise that the register kept: the system stands in it, is in
use in that version on that day, and takes part in the case's service.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from hub.client.event_tokens import Claimed, invalid_claim, read_house_token
from hub.errors import Forbidden, Invalid, Text, TooLarge
from hub.fit_connect.messages import claimed_event, require_own_case, require_signed
from hub.identity import Caller, owns
from hub.model import Event, EventKind, Subject
from hub.model.ai_step import AiStep
from hub.routing import legal_day
from hub.services.ai_systems import AiRegister, SystemKind, SystemStatus
from hub.store import Store, StoredMessage, all_items

_log = logging.getLogger(__name__)
#: Bytes of one token, and steps of one case: a case room, no log of a machine.
_LARGEST_TOKEN, _MOST_STEPS = 16 * 1024, 500
#: How far the authority's clock may be ahead.
_SKEW = timedelta(minutes=5)


@dataclass(frozen=True, kw_only=True, slots=True)
class RecordedStep:
    """A step in a case's log."""

    event: Event
    step: AiStep


class AiSteps:
    """Takes steps, and lists those of a case. ``register`` is the register of AI systems of the moment."""

    def __init__(self, *, store: Store, register: Callable[[], AiRegister]) -> None:
        self._store = store
        self._register = register

    def post(self, case_id: UUID, token: str, *, caller: Caller, now: datetime) -> None:
        """Judge ``token`` and append it to the case's log, byte for byte as it came; the same one again changes nothing.

        The checks, in order:

         1. the case exists, and the caller is one of its parties;
         2. the token is not too large, and a strict compact JWS of the profile with exactly one event, ``ai-step``;
         3. ``txn`` is the case of the address; ``sub`` is a submission in it;
         4. ``iss`` is the case's own destination, and that belongs to the caller;
         5. the key that the header names is a key of that destination for ``verify``, and the signature verifies;
         6. the payload is a step, nothing else; ``iat`` is not ahead of the hub's clock;
         7. the register has the system as an AI system in use, in that version today, for the case's service;
         8. the submission is not closed, the case has not too many steps, and the ``jti`` is new (in the transaction).

        Raises:
            NotFound: (1). TooLarge, Malformed, SealBroken: (2). Invalid: (2), (3), (6), (7). Forbidden: (1), (4).
            SealBroken: (5). Conflict: (8). TooLarge: (8).
        """
        require_own_case(self._store, case_id, caller)
        if len(token) > _LARGEST_TOKEN:
            raise TooLarge(
                Text(f"Höchstens {_LARGEST_TOKEN} Byte.", f"At most {_LARGEST_TOKEN} bytes."), limit=_LARGEST_TOKEN
            )
        claimed = read_house_token(token, EventKind.AI_STEP)
        message = self._message(case_id, claimed)
        self._require_issuer(claimed, message, caller)
        step = self._step(claimed, now)
        known = self._events(case_id)
        if any(event.jws == token for event in known):
            return
        self._require_registered(step, message, now)
        if len(known) >= _MOST_STEPS:
            raise TooLarge(
                Text(
                    f"Ein Vorgang hält höchstens {_MOST_STEPS} KI-Schritte. Fassen Sie gleichartige zusammen.",
                    f"A case holds at most {_MOST_STEPS} AI steps. Join those of one kind.",
                ),
                limit=_MOST_STEPS,
            )
        self._store.event_log.append(case_id, message.id, claimed_event(claimed))
        _log.info("ai-step of %s recorded", step.system, extra=message.ids | {"outcome": "ai-step"})

    def of_case(self, case_id: UUID, *, caller: Caller) -> list[RecordedStep]:
        """Return the steps of a case, oldest first, for its sender and its authority.

        Raises:
            NotFound: there is no such case. Forbidden: the caller is none of its parties.
        """
        require_own_case(self._store, case_id, caller)
        return [RecordedStep(event=event, step=AiStep.read(event.payload)) for event in self._events(case_id)]

    def _message(self, case_id: UUID, claimed: Claimed) -> StoredMessage:
        if claimed.case_id != case_id:
            raise invalid_claim("txn", "ist nicht der Vorgang der Adresse", "is not the case of the address")
        found = None
        if claimed.subject is Subject.SUBMISSION:
            found = self._store.submissions.message(claimed.subject_id, Subject.SUBMISSION)
        if found is None or found.case_id != case_id:
            raise invalid_claim("sub", "ist keine Einreichung dieses Vorgangs", "is no submission of this case")
        return found

    def _require_issuer(self, claimed: Claimed, message: StoredMessage, caller: Caller) -> None:
        """Require the case's own destination to speak, with its own key, for a client that it belongs to."""
        destination = self._store.parties.destination(message.destination_id)
        if destination is None or claimed.issuer != str(message.destination_id) or not owns(caller, destination):
            raise Forbidden(
                Text(
                    "iss muss der Zustellpunkt des Vorgangs sein, und er muss zu Ihrem Client gehören.",
                    "iss must be the case's own destination, and it must belong to your client.",
                ),
                issue={"claim": "iss"},
            )
        require_signed(self._store, claimed, destination.destination_id)

    def _step(self, claimed: Claimed, now: datetime) -> AiStep:
        if claimed.issued_at > now + _SKEW:
            raise invalid_claim("iat", "liegt in der Zukunft", "lies in the future")
        try:
            return AiStep.read(claimed.payload)
        except ValueError as exc:
            raise invalid_claim(
                f"events.{exc}",
                "fehlt, ist zu lang oder nicht so, wie der Vertrag es hat",
                "is missing, too long, or not as the contract has it",
            ) from exc

    def _require_registered(self, step: AiStep, message: StoredMessage, now: datetime) -> None:
        system = self._register().find(step.system)
        if system is None or system.kind is not SystemKind.AI_SYSTEM:
            raise _unregistered(
                Text("steht nicht als KI-System im Register", "does not stand in the register as an AI system")
            )
        if system.status is not SystemStatus.IN_USE:
            raise _unregistered(Text("ist zurückgezogen oder noch nicht in Gebrauch", "is withdrawn or not in use yet"))
        if not system.in_use(step.version, legal_day(now)):
            raise _unregistered(Text("ist in dieser Version nicht in Gebrauch", "is not in use in this version"))
        if message.service.identifier not in system.services:
            raise _unregistered(
                Text("ist für die Leistung dieses Vorgangs nicht eingetragen", "is not listed for this case's service")
            )

    def _events(self, case_id: UUID) -> list[Event]:
        return list(
            all_items(
                lambda start: self._store.event_log.events(
                    case_id, kinds=frozenset({EventKind.AI_STEP}), offset=start, limit=500
                )
            )
        )


def _unregistered(why: Text) -> Invalid:
    return Invalid(
        Text(
            f"Das System {why.de}. Tragen Sie es im KI-Register (/ai) ein, bevor es in einem Vorgang mitwirkt.",
            f"The system {why.en}. List it in the register of AI systems (/ai) before it takes part in a case.",
        ),
        slug="ai-system-not-registered",
    )
