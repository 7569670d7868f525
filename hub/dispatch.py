"""From the queue to the receiver: claim, deliver, decide, record. Any number of nodes may run it.

A claim is a lease with a fencing number: a node that dies loses nothing (the lease runs out and another node tries), a
node that comes back late loses its say (its record is refused). Each destination has its own limit of concurrent attempts,
so a hung receiver never slows another.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any, overload
from uuid import UUID, uuid4

from hub.adapter_pool import AdapterPool
from hub.breakers import Breakers
from hub.callbacks import Herald
from hub.circuit import Breaker
from hub.crashpoints import reach
from hub.delivery import Schedule, StepKind, next_step
from hub.errors import ConfigurationError, Unavailable
from hub.events import Event, EventKind, Subject
from hub.leases import Leases
from hub.meters import Meters
from hub.proof import Notary
from hub.slots import Slots
from hub.store import AttemptResult, Blobs, Claim, Store
from hub.submission import DeadCause, Outcome, OutcomeKind, Package
from hub.traces import NoTraces, Traces

_log = logging.getLogger(__name__)
#: Look again at least this often, for what another node accepted.
_LOOK_AGAIN = timedelta(seconds=1)
#: Seconds to wait for further slots once one got free.
_COMPANY = 0.003
#: Seconds to wait for company after deliveries that took no time: a look at the queue and a commit cost as much for one as
#: for dozens, and both come off what accepts applications.
_GATHER = 0.02
_PER_DESTINATION = 4
#: Characters of a note; one line for operators.
_LONGEST_NOTE = 200
#: Adapters that do nothing but say so: their deliveries need no thread and no bulkhead, and are settled many at once.
_INSTANT = frozenset({"mailbox"})


class _LateLog(Sequence[str]):
    """A case's event log, signed only when an adapter looks at it: what waits in a mailbox needs no token yet."""

    def __init__(self, notary: Notary, case_id: UUID) -> None:
        self._notary = notary
        self._case_id = case_id

    @cached_property
    def _tokens(self) -> Sequence[str]:
        return self._notary.tokens(self._case_id).items

    @overload
    def __getitem__(self, index: int) -> str: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[str]: ...

    def __getitem__(self, index: int | slice) -> str | Sequence[str]:
        return self._tokens[index]

    def __len__(self) -> int:
        return len(self._tokens)


@dataclass(frozen=True, kw_only=True, slots=True)
class Rules:
    """How this node works: its name, its leases, its schedule, its concurrency.

    ``longest_attempt`` is how long a lease is renewed at most; ``most_lapses`` how many leases of a delivery may run out
    before it is set aside, for it may be what its workers die of.
    """

    node: str
    lease: timedelta
    schedule: Schedule
    threads: int
    base_url: str
    breaker: Breaker = field(default_factory=Breaker)
    longest_attempt: timedelta = timedelta(minutes=70)
    most_lapses: int = 3


class Dispatcher:
    """Attempts what is due."""

    def __init__(
        self,
        *,
        store: Store,
        blobs: Blobs,
        adapters: AdapterPool,
        notary: Notary,
        herald: Herald,
        rules: Rules,
        clock: Callable[[], datetime],
        meters: Meters | None = None,
        traces: Traces | None = None,
    ) -> None:
        self._store = store
        self._blobs = blobs
        self._adapters = adapters
        self._notary = notary
        self._herald = herald
        self._rules = rules
        self._clock = clock
        self._meters = meters or Meters()
        self._traces = traces or NoTraces()
        self._breakers = Breakers(store=store, meters=self._meters, breaker=rules.breaker, node=rules.node)
        self._leases = Leases(store=store, lease=rules.lease, longest=rules.longest_attempt, clock=clock)
        self._slots = Slots(rules.threads, clock=clock)
        self._wake = threading.Event()

    def wake(self) -> None:
        """Look at the queue now instead of at the next tick."""
        self._wake.set()

    def run(self, stop: threading.Event) -> None:
        """Work until ``stop`` is set; attempts under way are finished first."""
        over = threading.Event()
        keeper = threading.Thread(target=self._leases.run, args=[over], name="leases")
        keeper.start()
        try:
            self._work_until(stop)
        finally:
            over.set()
            keeper.join()
            self._adapters.close()

    def _work_until(self, stop: threading.Event) -> None:
        with ThreadPoolExecutor(self._slots.most, thread_name_prefix="deliver") as pool:
            while not stop.is_set():
                self._wake.clear()
                try:
                    claims = self._hand_out(pool)
                    pause = self._pause_after(claims)
                except Unavailable as error:
                    _log.warning("queue: %s", error)
                    claims, pause = [], _LOOK_AGAIN.total_seconds()
                if pause:
                    # Attempts that share a commit end together: one claim for all their slots costs as much as for one.
                    stop.wait(_COMPANY if self._wake.wait(pause) else 0)
                elif all(map(_is_instant, claims)):
                    stop.wait(_GATHER)

    def run_once(self) -> int:
        """Attempt what is due now, one after the other; return how many attempts were made."""
        claims = self._claim(self._clock(), self._rules.threads)
        self._settle([claim for claim in claims if _is_instant(claim)])
        for claim in claims:
            if not _is_instant(claim):
                self._settle([claim])
        return len(claims)

    def _hand_out(self, pool: ThreadPoolExecutor) -> list[Claim]:
        """Claim for the slots that are free now, and begin what was claimed."""
        now = self._clock()
        claims = self._claim(now, self._slots.free())
        lasting = [claim for claim in claims if not _is_instant(claim)]
        self._leases.taken(lasting, at=now)
        self._slots.take(claim.delivery_id for claim in lasting)
        for claim in lasting:
            pool.submit(self._work, claim)
        self._settle([claim for claim in claims if _is_instant(claim)])
        return claims

    def _pause_after(self, claims: Sequence[Claim]) -> float:
        """Return seconds to wait before the next look, unless woken."""
        if not claims:
            return self._pause(self._clock())
        # An attempt that ends wakes us; what is over at once may be followed by more.
        full = not self._slots.free() and not any(map(_is_instant, claims))
        return _LOOK_AGAIN.total_seconds() if full else 0.0

    def _work(self, claim: Claim) -> None:
        try:
            with self._leases.held(claim):
                self._settle([claim])
        except Exception:  # noqa: BLE001  # nobody waits for this thread's end; the lease runs out: outcome unknown
            _log.exception("delivery %s: the attempt was not brought to its end", claim.delivery_id)
        finally:
            self._slots.give_back(claim.delivery_id)
            self._wake.set()

    def _claim(self, now: datetime, limit: int) -> list[Claim]:
        return self._store.claim(
            now,
            lease=self._rules.lease,
            node=self._rules.node,
            limit=limit,
            per_destination=_PER_DESTINATION,
            instant=_INSTANT,
        )

    def _pause(self, now: datetime) -> float:
        """Return seconds to wait: what is due but was not claimed waits for a slot, which wakes us when it gets free."""
        due = self._store.next_due(now)
        if due is None or due <= now:
            return _LOOK_AGAIN.total_seconds()
        return min((due - now).total_seconds(), _LOOK_AGAIN.total_seconds())

    def _settle(self, claims: Iterable[Claim]) -> None:
        """Make one attempt for each claim and record them all; what is recorded together shares a commit."""
        attempts = [(result, self._recording(result)) for result in map(self._attempted, claims)]
        for result, recording in attempts:
            self._conclude(result, recording)

    def _attempted(self, claim: Claim) -> AttemptResult:
        started = self._clock()
        outcome = self._deliver(claim)
        ended = self._clock()
        step = next_step(
            outcome,
            attempt=claim.attempt,
            accepted_at=claim.accepted_at,
            now=ended,
            schedule=self._rules.schedule,
        )
        done = step.kind is StepKind.FINISH
        return AttemptResult(
            claim=claim,
            outcome=outcome,
            step=step,
            started_at=started,
            ended_at=ended,
            events=[self._notified(claim, ended)] if done else (),
            callbacks=self._herald.notified(claim.submission, now=ended) if done else (),
        )

    def _recording(self, result: AttemptResult) -> Future[bool]:
        reach("before-record")
        return self._store.recording(result)

    def _conclude(self, result: AttemptResult, recording: Future[bool]) -> None:
        claim = result.claim
        try:
            kept = recording.result()
        except Unavailable as error:
            # Nothing was recorded: the lease runs out and the attempt counts as unknown.
            _log.warning("delivery %s: %s", claim.delivery_id, error)
            return
        reach("after-record")
        if not kept:
            _log.warning("delivery %s: lease was lost, the late result is dropped", claim.delivery_id)
            return
        _log.info(
            "delivery %s: attempt %d to %s was %s, next: %s",
            claim.delivery_id,
            claim.attempt,
            claim.destination.destination_id,
            result.outcome.kind.value,
            result.step.kind.value,
        )
        self._meters.attempted(
            adapter=claim.destination.adapter,
            outcome=result.outcome.kind.value,
            took=result.ended_at - result.started_at,
        )
        self._breakers.note(claim, result.outcome, now=result.ended_at)

    def _deliver(self, claim: Claim) -> Outcome:
        if claim.lapses >= self._rules.most_lapses and not _is_instant(claim):
            return self._set_aside(claim)
        with self._traces.deliver(**_facts(claim)) as span:
            outcome = self._try(claim)
            span.tell(outcome=outcome.kind.value)
            return outcome

    def _set_aside(self, claim: Claim) -> Outcome:
        """Do not attempt what workers may have died of; a person decides (what needs no adapter's code kills nobody)."""
        self._meters.isolated()
        _log.error("delivery %s: set aside, %d attempts of it never ended", claim.delivery_id, claim.lapses)
        note = f"not attempted: {claim.lapses} leases ran out, its workers may have died of it"
        return Outcome(kind=OutcomeKind.REFUSED, note=note, cause=DeadCause.HUB)

    def _try(self, claim: Claim) -> Outcome:
        try:
            adapter = self._adapters.of(claim.destination)
        except ConfigurationError as error:
            return Outcome(kind=OutcomeKind.REFUSED, note=error.detail.en, cause=DeadCause.CONFIGURATION)
        except Exception as error:  # noqa: BLE001  # as below, and certainly nothing was sent
            _log.exception("delivery %s: the adapter does not open", claim.delivery_id)
            note = f"adapter does not open: {type(error).__name__}"
            return Outcome(kind=OutcomeKind.UNREACHABLE, note=note, cause=DeadCause.HUB)
        form = claim.submission.contents.form
        if form not in self._adapters.sealing(claim.destination).takes:
            # Its adapter was changed since: what is sealed cannot be sealed anew.
            note = f"not attempted: sealed as {form.value}, which {claim.destination.adapter} does not take here"
            return Outcome(kind=OutcomeKind.REFUSED, note=note, cause=DeadCause.CONFIGURATION)
        if self._leases.lapsed(claim):
            note = "not attempted: this node slept through its lease"
            return Outcome(kind=OutcomeKind.UNREACHABLE, note=note, cause=DeadCause.HUB)
        reach("before-send")
        try:
            outcome = adapter.deliver(self._package(claim))
        except Exception as error:  # noqa: BLE001  # an adapter's bug must not stop the others; it is recorded as unknown
            _log.exception("delivery %s: the adapter failed", claim.delivery_id)
            return Outcome(
                kind=OutcomeKind.UNKNOWN, note=f"adapter failed: {type(error).__name__}", cause=DeadCause.HUB
            )
        reach("after-send")
        return _as_reported(outcome)

    def _package(self, claim: Claim) -> Package:
        return Package(
            delivery_id=claim.delivery_id,
            attempt=claim.attempt,
            repeat=claim.repeat,
            submission=claim.submission,
            destination=claim.destination,
            event_log=_LateLog(self._notary, claim.submission.case_id),
            read=self._blobs.chunks,
            base_url=self._rules.base_url,
        )

    def _notified(self, claim: Claim, now: datetime) -> Event:
        """Return the event that says that the receiver was told or got it (FIT-Connect section 9.2)."""
        return Event(
            case_id=claim.submission.case_id,
            seq=0,
            jti=uuid4(),
            subject=Subject.SUBMISSION,
            subject_id=claim.submission.submission_id,
            kind=EventKind.NOTIFY,
            issuer=self._rules.base_url,
            by_hub=True,
            issued_at=now,
        )


def _as_reported(outcome: Any) -> Outcome:
    """Return what an adapter said, if it is an outcome at all; anybody may have written it."""
    if not isinstance(outcome, Outcome):
        return Outcome(kind=OutcomeKind.UNKNOWN, note="adapter reports no outcome", cause=DeadCause.HUB)
    note = outcome.note if outcome.note.isprintable() else repr(outcome.note)
    return (
        outcome if note == outcome.note and len(note) <= _LONGEST_NOTE else replace(outcome, note=note[:_LONGEST_NOTE])
    )


def _facts(claim: Claim) -> dict[str, str | int]:
    """Return what a trace may say of an attempt: identifiers."""
    return {
        "delivery_id": str(claim.delivery_id),
        "submission_id": str(claim.submission.submission_id),
        "destination_id": str(claim.destination.destination_id),
        "adapter": claim.destination.adapter,
        "attempt": claim.attempt,
    }


def _is_instant(claim: Claim) -> bool:
    return claim.destination.adapter in _INSTANT
