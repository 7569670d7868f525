"""Callbacks (FIT-Connect, section 11): who is told what, and the outbox worker that tells them.

A callback is written in the transaction of the event that causes it, so neither is there without the other. It is sent later,
repeated until it is answered with 2xx, and its failure never touches the request that caused it. Receivers tell repeats by
the ids in the body.
"""

from __future__ import annotations

import logging
import threading
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID, uuid4

import orjson

from hub.crypto import HubKeys, sign_callback
from hub.errors import SealBroken
from hub.model import Callback, Destination, Schedule, Subject, Submission, reasons
from hub.notifications.mail import Noticeboard
from hub.notifications.outbox import SCHEDULE, Carried, OutboxWorker
from hub.store import AuditEntry, CallbackClaim, NoticeKind, OutgoingCallback, Store, StoredMessage, Telling
from hub.transport.connection import Outbound, Posted

_log = logging.getLogger(__name__)
_TYPES = "https://schema.fitko.de/fit-connect/submission-api/callbacks/"
#: What a sealed callback secret is bound to; it travels from the party's record to the outbox as it is.
_CONTEXT = "callback"
#: A host that gave no answer is left alone for this long, or a hung receiver with many callbacks would hold up all others; so
#: is a party several of whose hosts did not.
_REST = timedelta(minutes=1)
_MOST_SILENT = 3
_MOST_RESTING = 10_000
#: What finds its host's share taken is due again after this.
_TURN = timedelta(seconds=2)


def at_rest(callback: Callback | None, keys: HubKeys) -> Callback | None:
    """Return a callback with its secret encrypted, as the store keeps it; what came in open must not stay so."""
    if callback is None:
        return None
    return Callback(url=callback.url, secret=keys.seal_secret(callback.secret.encode(), context=_CONTEXT))


class CallbackWriter:
    """Writes the callbacks that an event causes (section 11.3); the caller hands them to the store with the event."""

    def __init__(self, *, store: Store) -> None:
        self._store = store

    def submitted(
        self, *, submission_id: UUID, case_id: UUID, destination: Destination, now: datetime
    ) -> list[OutgoingCallback]:
        """submit-submission: the destination learns of a new submission."""
        row = _row(destination.destination_id, submission_id, case_id)
        body = _body("new-submissions", submissions=[row])
        return _outgoing(destination.callback, str(destination.destination_id), body, case_id, now)

    def notified(self, submission: Submission, *, now: datetime) -> list[OutgoingCallback]:
        """notify-submission: the sender learns that the receiver was told, or got it."""
        row = _row(submission.destination_id, submission.submission_id, submission.case_id)
        body = _body("new-events", submissions=[row])
        return _outgoing(submission.callback, submission.sender, body, submission.case_id, now)

    def answered(self, message: StoredMessage, *, now: datetime) -> list[OutgoingCallback]:
        """Tell the author of a forward, accept or reject by the receiver."""
        body = _news(message)
        if message.callback is not None:
            return _outgoing(message.callback, message.sender, body, message.case_id, now)
        if message.kind is not Subject.REPLY:
            return []
        destination = self._store.parties.destination(message.destination_id)
        return self._to_party(message, destination, message.sender, body, now)

    def ended(self, message: StoredMessage, *, now: datetime) -> list[OutgoingCallback]:
        """Tell both sides of a reject or delete by the hub."""
        destination = self._store.parties.destination(message.destination_id)
        if message.kind is Subject.SUBMISSION:
            news = [] if destination is None else self._to_destination(destination, message, now)
        else:
            news = self._to_party(message, destination, message.addressee or "", _news(message), now)
        return [*news, *self.answered(message, now=now)]

    def replied(self, message: StoredMessage, *, destination: Destination, now: datetime) -> list[OutgoingCallback]:
        """submit-reply: the receiver of the reply learns of it."""
        body = _body("new-replies", replies=[_reply_row(message)])
        return self._to_party(message, destination, message.addressee or "", body, now)

    def _to_destination(
        self, destination: Destination, message: StoredMessage, now: datetime
    ) -> list[OutgoingCallback]:
        party = str(destination.destination_id)
        return _outgoing(destination.callback, party, _news(message), message.case_id, now)

    def _to_party(  # whom, of what, when
        self, message: StoredMessage, destination: Destination | None, client_id: str, body: str, now: datetime
    ) -> list[OutgoingCallback]:
        """Tell the subscriber at its destination's callback, the online service at the one that it gave in the case."""
        if destination is not None and destination.owner == client_id:
            return _outgoing(destination.callback, str(destination.destination_id), body, message.case_id, now)
        callback = self._store.submissions.callback(message.case_id, client_id)
        return _outgoing(callback, client_id, body, message.case_id, now)


#: Callbacks that one wish has sent again at most, and the pause before the same one is sent again by another wish.
MOST_RESENT = 10
_SETTLED = timedelta(minutes=1)


class Resending:
    """Has the last callbacks about a submission sent again, for whoever lost them."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def again(self, message: StoredMessage, *, party: str | None, last: int, actor: str, now: datetime) -> int:
        """Make the ``last`` callbacks due again (to ``party``, if one is named), audited; return how many there were.

        What is still to be sent is left alone, and so is what was sent within the last minute.
        """
        target = f"submission:{message.id}"
        return self._store.callbacks.resend(
            message.case_id,
            message.id,
            party=party,
            most=min(last, MOST_RESENT),
            settled_before=now - _SETTLED,
            now=now,
            audit=lambda number: AuditEntry(
                at=now, actor=actor, action="callback.resend", target=target, after={"resent": number}
            ),
        )


#: Longer than one attempt can take.
_LEASE = timedelta(minutes=2)


class _Rests:
    """Who is left alone for a while: hosts that gave no answer, and parties several of whose hosts in a row gave none."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._until: dict[str, datetime] = {}
        self._silent: dict[str, set[str]] = {}

    def rests(self, party: str, host: str, now: datetime) -> bool:
        """Tell whether neither is to be asked now."""
        with self._lock:
            return any(self._until.get(key, now) > now for key in _keys(party, host))

    def note(self, party: str, host: str, *, answered: bool, now: datetime) -> None:
        """Note whether a host gave an answer, whatever it said."""
        with self._lock:
            if answered:
                self._silent.pop(party, None)
                return
            self._make_room(now)
            for_host, for_party = _keys(party, host)
            self._until[for_host] = now + _REST
            silent = self._silent.setdefault(party, set())
            silent.add(host)
            if len(silent) >= _MOST_SILENT:
                self._until[for_party] = now + _REST
                self._silent.pop(party)

    def _make_room(self, now: datetime) -> None:
        if len(self._until) >= _MOST_RESTING:
            self._until = {key: until for key, until in self._until.items() if until > now}
        if len(self._until) >= _MOST_RESTING or len(self._silent) >= _MOST_RESTING:
            self._until.clear()
            self._silent.clear()


class CallbackWorker(OutboxWorker[CallbackClaim]):
    """Posts the callbacks of the outbox.

    Receivers are strangers. No party and no host has more than its share under way, those that give no answer are left
    alone for a minute, and the claim takes parties in turns: who is slow delays nobody else, also with many addresses.
    """

    carries = "callback"

    def __init__(
        self,
        *,
        store: Store,
        keys: HubKeys,
        outbound: Outbound,
        board: Noticeboard,
        node: str,
        clock: Callable[[], datetime],
        schedule: Schedule = SCHEDULE,
        lease: timedelta = _LEASE,
        batch: int = 16,
        share: int = 4,
    ) -> None:
        """``board`` tells people of a callback that was given up. Of ``batch`` slots, one party and one host get ``share``."""
        super().__init__(clock=clock, schedule=schedule, slots=batch)
        self._store = store
        self._keys = keys
        self._outbound = outbound
        self._board = board
        self._node = node
        self._lease = lease
        self._share = share
        self._rests = _Rests()

    def claim(self, now: datetime, *, room: int) -> Sequence[CallbackClaim]:
        """Lease what is due; what finds its host's share taken waits for its turn."""
        callbacks = self._store.callbacks
        claims = callbacks.claim(now, lease=self._lease, node=self._node, limit=room, share=self._share)
        hosts = Counter(host_of(claim.callback.url) for claim in self.under_way())
        begun: list[CallbackClaim] = []
        waiting: list[CallbackClaim] = []
        for claim in claims:
            host = host_of(claim.callback.url)
            (begun if hosts[host] < self._share else waiting).append(claim)
            hosts[host] += 1
        if waiting:
            callbacks.postpone(waiting, now + _TURN)
        return begun

    def carry(self, claim: CallbackClaim) -> Carried:
        """Post one callback, unless its receiver gave no answer just now."""
        callback, host = claim.callback, host_of(claim.callback.url)
        if self._rests.rests(callback.party, host, self._steady()):
            return Carried(taken=False, note=reasons.RESTING.note)
        posted = self._post(callback)
        if posted is None:
            return Carried(taken=False, note="secret cannot be opened")
        if posted.note != reasons.NO_ADDRESS.note:  # An address that is refused took nobody's time.
            self._rests.note(callback.party, host, answered=posted.status is not None, now=self._steady())
        return Carried(taken=posted.taken, note=posted.note)

    def record(self, claim: CallbackClaim, carried: Carried, *, again: datetime | None, now: datetime) -> None:
        """Record an attempt, and with the last one in vain what people are told of it."""
        given_up = not carried.taken and again is None
        telling = self._telling(claim, carried, now) if given_up else None
        kept = self._store.callbacks.record(
            claim, sent=carried.taken, next_attempt_at=again, note=carried.note, now=now, telling=telling
        )
        if not kept:
            return
        callback, fate = claim.callback, "sent" if carried.taken else "given up" if given_up else "again later"
        level = logging.WARNING if given_up else logging.INFO
        about = _about(callback) | {"outcome": "called" if carried.taken else "not-called", "attempt": claim.attempt}
        line = "callback %s to %s: %s, %s"
        _log.log(level, line, callback.callback_id, callback.party, carried.note, fate, extra=about)

    def _telling(self, claim: CallbackClaim, carried: Carried, now: datetime) -> Telling:
        callback = claim.callback
        facts = {
            "callbackId": str(callback.callback_id),
            "attempts": claim.attempt,
            "days": self._schedule.give_up.days,
            "note": carried.note,
        }
        # An address that is dead takes all its callbacks with it: one notice a week speaks for them, the audit log of each.
        week = "{}-{}".format(*now.isocalendar()[:2])
        occasion = f"{callback.url} {week}"
        return self._board.telling(NoticeKind.CALLBACK_UNREACHABLE, callback.party, facts, occasion=occasion, now=now)

    def _post(self, callback: OutgoingCallback) -> Posted | None:
        """Post; None where the hub cannot read the secret, which is no fault of the receiver's."""
        try:
            secret = self._keys.open_secret(callback.secret, context=_CONTEXT).decode()
        except SealBroken:
            return None
        body = callback.body.encode()
        timestamp = int(self._clock().timestamp())
        headers = {
            "Content-Type": "application/json",
            "Callback-Authentication": sign_callback(secret, timestamp, body),
            "Callback-Timestamp": str(timestamp),
            "User-Agent": "rathaus-hub",
        }
        return self._outbound.post(callback.url, body, headers)


def _keys(party: str, host: str) -> tuple[str, str]:
    return f"host:{host}", f"party:{party}"


def host_of(url: str) -> str:
    """Return the host of an address as shares count it; all addresses that have none are one."""
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""


def _about(callback: OutgoingCallback) -> dict[str, Any]:
    """Return the ids by which a line of the log speaks of a callback: those of its body, which names one message."""
    try:
        body = orjson.loads(callback.body)
    except orjson.JSONDecodeError:  # An earlier version's, or a test's.
        return {}
    rows = [*body.get("submissions", ()), *body.get("replies", ())]
    ids = rows[0] if rows else {}
    said = {"submission": "submissionId", "reply": "replyId", "case": "caseId", "destination": "destinationId"}
    return {name: ids[member] for name, member in said.items() if member in ids}


def _outgoing(callback: Callback | None, party: str, body: str, case_id: UUID, now: datetime) -> list[OutgoingCallback]:
    if callback is None:
        return []
    return [
        OutgoingCallback(
            callback_id=uuid4(),
            party=party,
            url=callback.url,
            secret=callback.secret,
            body=body,
            created_at=now,
            case_id=case_id,
        )
    ]


def _news(message: StoredMessage) -> str:
    if message.kind is Subject.REPLY:
        return _body("new-events", submissions=[], replies=[_reply_row(message)])
    return _body("new-events", submissions=[_row(message.destination_id, message.id, message.case_id)])


def _row(destination_id: UUID, submission_id: UUID, case_id: UUID) -> dict[str, str]:
    return {"destinationId": str(destination_id), "submissionId": str(submission_id), "caseId": str(case_id)}


def _reply_row(message: StoredMessage) -> dict[str, str]:
    return {"destinationId": str(message.destination_id), "replyId": str(message.id), "caseId": str(message.case_id)}


def _body(kind: str, **rows: Sequence[Mapping[str, str]]) -> str:
    """Write a body on one line: a known receiver reads it line by line before it checks the HMAC."""
    document: dict[str, Any] = {"type": f"{_TYPES}{kind}"}
    if "submissions" in rows:
        # Deprecated, but version 1 of the API still promises it.
        document["submissionIds"] = [row["submissionId"] for row in rows["submissions"]]
    return orjson.dumps(document | rows).decode()
