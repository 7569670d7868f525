"""Proof: signs the hub's events late, hands out event logs as tokens, and verifies logs offline.

The hub's tokens are PS512 (2 ms each), so they are signed off the accept path and at the latest when first read. PS512 is
randomised: the first stored signature wins (compare-and-set) and is what everybody gets from then on.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from hub.client import event_tokens
from hub.crypto import HubKeys, VerificationKey, verification_key
from hub.errors import HubError, SealBroken, Text, Unavailable, UnreadableRow
from hub.model import GENESIS, Event
from hub.observability.metrics import Meters
from hub.store import Page, Store, all_items

#: Events that one call signs at most: a second or two of one core.
_MOST = 500
#: Tokens that are stored with one statement: more would make a claim or an application wait behind them.
_TOGETHER = 25
#: Cases that one round leaves out before it gives up for now.
_MOST_REFUSED = 100

_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True)
class LogFinding:
    """One thing that is wrong with a log: where, and what."""

    case_id: UUID
    seq: int
    text: Text


@dataclass(frozen=True, kw_only=True, slots=True)
class LogReport:
    """What a verification saw. ``unsigned`` counts hub events that nobody has read yet and that wait for their signature."""

    cases: int
    events: int
    signatures: int
    unsigned: int
    findings: tuple[LogFinding, ...]


class Notary:
    """Signs and verifies the event logs of all cases."""

    def __init__(self, *, store: Store, keys: HubKeys, meters: Meters | None = None) -> None:
        self._store = store
        self._checkpoints = store.checkpoints
        self._keys = keys
        self._meters = meters
        #: Cases whose log is not signed, until a restart or their repair.
        self._refused: set[UUID] = set()

    def tokens(self, case_id: UUID, *, subject_id: UUID | None = None, offset: int = 0, limit: int = 500) -> Page[str]:
        """Return the case's log as compact tokens, oldest first; what is unsigned yet gets signed now."""
        page = self._store.event_log.events(case_id, subject_id=subject_id, offset=offset, limit=limit)
        tokens = tuple(self._tokens(page.items))
        return Page(items=tokens, offset=page.offset, total=page.total, unreadable=page.unreadable)

    def token(self, event: Event) -> str:
        """Return the event's token, signing it if it has none."""
        return self._tokens([event])[0]

    def _tokens(self, events: Sequence[Event]) -> list[str]:
        """Return the events' tokens, signing those that have none; a commit is shared by all of them."""
        bare = [event for event in events if event.jws is None]
        fresh = dict(zip(map(_place, bare), self._kept(bare), strict=True))
        return [event.jws or fresh[_place(event)] for event in events]

    def _kept(self, events: Sequence[Event]) -> list[str]:
        for case_id in {event.case_id for event in events}:
            if not self._fits(case_id):
                raise _contradicted(case_id)
        return self._signed_and_kept(events)

    def _signed_and_kept(self, events: Sequence[Event]) -> list[str]:
        tokens: list[str] = []
        for first in range(0, len(events), _TOGETHER):
            some = events[first : first + _TOGETHER]
            tokens += self._store.event_log.keep_tokens([(one.case_id, one.seq, self._signed(one)) for one in some])
        return tokens

    def pending(self) -> bool:
        """Whether an event waits for its signature; a look that writes nothing."""
        return self._store.event_log.waits_for_signature()

    def sign_pending(self, *, limit: int = _MOST) -> int:
        """Sign up to ``limit`` events that nobody has read yet, oldest first; return how many."""
        number = 0
        refused: set[UUID] = set()
        while number < limit and len(refused) < _MOST_REFUSED:
            pending = self._store.event_log.unsigned(min(_TOGETHER, limit - number), besides=refused)
            wrong = {case_id for case_id in {event.case_id for event in pending} if not self._fits(case_id)}
            good = [event for event in pending if event.case_id not in wrong]
            refused |= wrong
            self._signed_and_kept(good)
            number += len(good)
            if not pending:
                break
        return number

    def _fits(self, case_id: UUID) -> bool:
        """Whether a log's chain holds from its first event, and its newest leaf in a checkpoint stands in it.

        An event that nobody has signed yet could be changed, and the chain behind it computed anew, by whoever writes to the
        database; the hub's signature must not make that true.
        """
        log = list(self._whole_log(case_id))
        leaf = self._checkpoints.newest_head(case_id)
        head = GENESIS
        for seq, event in enumerate(log, start=1):
            if event.seq != seq or event.previous != head or event.entry_hash() != event.hash:
                return self._refuse(case_id)
            head = event.hash
        if leaf is not None and (len(log) < leaf.seq or log[leaf.seq - 1].hash != leaf.hash):
            return self._refuse(case_id)
        self._refused.discard(case_id)
        return True

    def _refuse(self, case_id: UUID) -> bool:
        if case_id not in self._refused:
            self._refused.add(case_id)
            _log.error("case %s: its log contradicts itself or a signed checkpoint; it is not signed", case_id)
            if self._meters is not None:
                self._meters.contradicted()
        return False

    def _signed(self, event: Event) -> str:
        return event_tokens.sign(self._keys.signing, event)

    def verify(self, case_ids: Iterable[UUID]) -> LogReport:
        """Verify chains, tokens and stored digests of the given cases, without any network."""
        cases = events = signatures = unsigned = 0
        findings: list[LogFinding] = []
        for case_id in case_ids:
            log = list(self._whole_log(case_id))
            cases += 1
            events += len(log)
            signatures += sum(1 for event in log if event.jws is not None)
            unsigned += sum(1 for event in log if event.jws is None)
            findings += self._verify_case(case_id, log)
        return LogReport(cases=cases, events=events, signatures=signatures, unsigned=unsigned, findings=tuple(findings))

    def _whole_log(self, case_id: UUID) -> Iterator[Event]:
        return all_items(lambda start: self._store.event_log.events(case_id, offset=start, limit=500))

    def _verify_case(self, case_id: UUID, log: list[Event]) -> Iterator[LogFinding]:
        head = GENESIS
        for seq, event in enumerate(log, start=1):
            for text in self._wrong_with(event, seq, head):
                yield LogFinding(case_id=case_id, seq=event.seq, text=text)
            head = event.hash
        try:
            case = self._store.submissions.case(case_id)
        except UnreadableRow as error:
            yield LogFinding(case_id=case_id, seq=len(log), text=error.detail)
            return
        if case is not None and (case.head != head or case.seq != len(log)):
            yield LogFinding(
                case_id=case_id,
                seq=len(log),
                text=Text(
                    "Das Ende der Kette passt nicht zum Vorgang: Ereignisse fehlen oder sind zu viel.",
                    "The chain's end does not fit the case: events are missing or too many.",
                ),
            )

    def _wrong_with(self, event: Event, seq: int, head: str) -> Iterator[Text]:
        if event.seq != seq or event.previous != head or event.entry_hash() != event.hash:
            yield Text(
                "Der Eintrag passt nicht in die Hash-Kette: Er wurde geändert, vertauscht oder gelöscht.",
                "The entry does not fit the hash chain: it was changed, moved or removed.",
            )
        if event.jws is not None:
            yield from self._wrong_with_token(event, event.jws)

    def _wrong_with_token(self, event: Event, token: str) -> Iterator[Text]:
        try:
            found = event_tokens.read(token)
            event_tokens.verify(token, self._key(event, found.kid))
        except HubError as error:
            yield Text(f"Die Signatur ist ungültig: {error.detail.de}", f"The signature is invalid: {error.detail.en}")
            return
        if event.by_hub and found.claims != event.claims():
            yield Text(
                "Das signierte Ereignis sagt etwas anderes als der Eintrag.",
                "The signed event says something else than the entry.",
            )

    def _key(self, event: Event, kid: str) -> VerificationKey:
        if event.by_hub:
            return self._keys.verification_key(kid)
        jwk = self._store.parties.key(UUID(event.issuer), kid)
        if jwk is None:
            raise SealBroken(
                Text(
                    f"Der Schlüssel {kid} des Ausstellers ist nicht hinterlegt.",
                    f"The issuer's key {kid} is not on record.",
                )
            )
        return verification_key(jwk)


def _contradicted(case_id: UUID) -> Unavailable:
    return Unavailable(
        Text(
            f"Das Protokoll des Vorgangs {case_id} passt nicht zu einem unterschriebenen Prüfpunkt und wird nicht "
            "unterschrieben. Der Betrieb des Hubs ist benachrichtigt.",
            f"The log of case {case_id} does not fit a signed checkpoint and is not signed. The hub's operators are alerted.",
        ),
        retry_after=timedelta(hours=1),
        slug="log-contradicted",
    )


def _place(event: Event) -> tuple[UUID, int]:
    return event.case_id, event.seq
