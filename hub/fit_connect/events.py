"""Events that receivers write: accept, reject, forward (FIT-Connect, section 9.4), judged and added to the log."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from hub.client import event_tokens
from hub.client.event_tokens import Claimed, invalid_claim, read_token
from hub.crypto import verification_key
from hub.errors import Forbidden, SealBroken, Text, not_found
from hub.fit_connect.sending import Profile
from hub.identity import Caller, owns, require_party
from hub.model import RECEIVER_MAY_WRITE, Destination, Event, EventKind, State, Subject, next_state
from hub.notifications.callbacks import CallbackWriter
from hub.store import CaseHead, Store, StoredMessage

_MOST_PROBLEMS = 500


class Acknowledgement:
    """Takes receivers' events into the log of their case."""

    def __init__(self, *, store: Store, callback_writer: CallbackWriter) -> None:
        self._store = store
        self._callback_writer = callback_writer

    def post(self, case_id: UUID, token: str, *, caller: Caller, profile: Profile, now: datetime) -> None:
        """Judge ``token`` and append it to the log, byte for byte as it came.

        The checks, in order:

         1. the case exists, and the caller is one of its parties;
         2. the token is a strict compact JWS; its header names PS512, ``secevent+jwt`` and a key, and nothing forbidden;
         3. its payload is one JSON object; every claim has its form; ``$schema`` is a 1.x; there is exactly one event;
         4. ``txn`` is the case of the address; ``sub`` is a message of that case;
         5. the event is one that receivers write (forward in version 1 only, and of submissions only);
         6. ``iss`` is the receiving destination, and that belongs to the caller;
         7. the key that the header names is a key of that destination for ``verify``;
         8. the signature verifies;
         9. accept repeats the authentication tags of what is stored; reject lists problems; nothing else has a payload.
            In version 1 an old token, without ``$schema``, has no payload whatever it says (FIT-Connect, section 9.1);
        10. the step fits the state, and the ``jti`` is new (in the transaction that appends).

        Raises:
            NotFound: (1). Forbidden: (1), (5), (6). TooLarge, Malformed: (2), (3).
            SealBroken: (2), (7), (8). Invalid: (3), (4), (9); ``issue`` names the claim. Conflict: (10).
        """
        self._require_case(case_id, caller)
        claimed = read_token(token)
        message = self._message(case_id, claimed)
        _require_writer(claimed, profile)
        issuer = self._issuer(claimed, message, caller)
        self._verify(claimed, issuer)
        if not (claimed.bare and profile.takes_bare_events):
            _require_payload(claimed, message)
        news = self._callback_writer.answered(message, now=now)
        self._store.event_log.append(case_id, message.id, _appending(claimed), callbacks=news)

    def _require_case(self, case_id: UUID, caller: Caller) -> None:
        case = self._store.submissions.case(case_id)
        if case is None:
            raise not_found("case-not-found")
        require_party(self._store, case, caller)

    def _message(self, case_id: UUID, claimed: Claimed) -> StoredMessage:
        if claimed.case_id != case_id:
            raise invalid_claim("txn", "ist nicht der Vorgang der Adresse", "is not the case of the address")
        message = self._store.submissions.message(claimed.subject_id, claimed.subject)
        if message is None or message.case_id != case_id:
            raise invalid_claim("sub", "gehört nicht zu diesem Vorgang", "does not belong to this case")
        return message

    def _issuer(self, claimed: Claimed, message: StoredMessage, caller: Caller) -> Destination:
        """Return the destination that signs: the case's own, or one of the caller's for a reply that it receives."""
        destination = self._store.parties.destination(_destination_id(claimed))
        if destination is None or not owns(caller, destination):
            raise _foreign_issuer()
        receives = message.addressee == caller.client_id
        if message.kind is Subject.REPLY and not receives:
            raise _foreign_issuer()
        if message.kind is Subject.SUBMISSION and destination.destination_id != message.destination_id:
            raise _foreign_issuer()
        return destination

    def _verify(self, claimed: Claimed, issuer: Destination) -> None:
        jwk = self._store.parties.usable_key(issuer.destination_id, claimed.kid)
        if jwk is None or jwk.get("key_ops") != ["verify"]:
            raise SealBroken(
                Text(
                    "Unter dieser kid hat der Zustellpunkt keinen gültigen Signaturschlüssel. Hinterlegen Sie ihn zuerst.",
                    "The destination has no valid signature key under this kid. Add the key first.",
                ),
                issue={"header": "kid"},
            )
        event_tokens.verify(claimed.token, verification_key(jwk))


def _appending(claimed: Claimed) -> Any:
    def make(head: CaseHead, state: State | None) -> Sequence[Event]:
        next_state(state, claimed.kind)
        return (
            Event(
                case_id=head.case_id,
                seq=0,
                jti=claimed.jti,
                subject=claimed.subject,
                subject_id=claimed.subject_id,
                kind=claimed.kind,
                issuer=claimed.issuer,
                by_hub=False,
                issued_at=claimed.issued_at,
                payload=claimed.payload,
                jws=claimed.token,
            ),
        )

    return make


def _require_writer(claimed: Claimed, profile: Profile) -> None:
    if claimed.kind in RECEIVER_MAY_WRITE and (claimed.kind is not EventKind.FORWARD or _forwards(claimed, profile)):
        return
    raise Forbidden(
        Text(
            f"Das Ereignis {claimed.kind}-{claimed.subject} schreiben Empfänger hier nicht; accept und reject sind möglich.",
            f"Receivers do not write event {claimed.kind}-{claimed.subject} here; accept and reject are possible.",
        ),
        issue={"claim": "events"},
    )


def _forwards(claimed: Claimed, profile: Profile) -> bool:
    return profile.may_forward and claimed.subject is Subject.SUBMISSION


def _destination_id(claimed: Claimed) -> UUID:
    try:
        destination_id = UUID(claimed.issuer)
    except ValueError as exc:
        raise _foreign_issuer() from exc
    if str(destination_id) != claimed.issuer.lower():
        raise _foreign_issuer()
    return destination_id


def _require_payload(claimed: Claimed, message: StoredMessage) -> None:
    if claimed.kind is EventKind.ACCEPT:
        _require_tags(claimed.payload.get("authenticationTags"), message)
    elif claimed.kind is EventKind.REJECT:
        _require_problems(claimed.payload.get("problems"))


def _require_tags(tags: Any, message: StoredMessage) -> None:
    """Compare tags; an empty group and a missing one mean the same."""
    if message.contents is None:
        return  # Nothing is stored to compare with, so the state machine refuses.
    given = tags if isinstance(tags, Mapping) else {}
    wanted = message.contents.authentication_tags()
    same = all(given.get(name) == wanted.get(name) for name in ("metadata", "data"))
    if not same or (given.get("attachments") or {}) != wanted.get("attachments", {}):
        raise invalid_claim(
            "authenticationTags",
            "stimmt nicht mit den gespeicherten Inhalten überein. Laden Sie die Einreichung neu und prüfen Sie sie",
            "does not agree with the stored contents. Download the submission again and check it",
        )


def _require_problems(problems: Any) -> None:
    """Check the shape only: the list of problem types is open (FIT-Connect, section 9.6)."""
    shaped = isinstance(problems, list) and all(
        isinstance(problem, dict) and isinstance(problem.get("type"), str) for problem in problems
    )
    if not shaped or len(problems) > _MOST_PROBLEMS:
        raise invalid_claim(
            "problems",
            f"muss eine Liste von höchstens {_MOST_PROBLEMS} Problemen mit je einem type sein",
            f"must be a list of at most {_MOST_PROBLEMS} problems, each with a type",
        )


def _foreign_issuer() -> Forbidden:
    return Forbidden(
        Text(
            "iss muss der empfangende Zustellpunkt sein, und er muss zu Ihrem Client gehören.",
            "iss must be the receiving destination, and it must belong to your client.",
        ),
        issue={"claim": "iss"},
    )
