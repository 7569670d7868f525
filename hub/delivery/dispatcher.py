"""From the queue to the receiver: claim, attempt, record. Any number of nodes may run it.

A claim is a lease with a fencing number: a node that dies loses nothing (the lease runs out and another node tries), a
node that comes back late loses its say (its record is refused). Each destination has its own limit of concurrent attempts,
so a hung receiver never slows another. Claims are made ahead and results are recorded behind the attempts, so that many
share a commit and no attempt waits for one.
"""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from datetime import datetime, timedelta
from functools import partial

from hub.delivery.adapters import AdapterPool
from hub.delivery.attempt import INSTANT, Attempting, Rules, is_instant
from hub.delivery.breakers import Breakers
from hub.delivery.hand import Hand
from hub.delivery.leases import Leases
from hub.errors import Unavailable
from hub.model.reasons import reason_of
from hub.notifications.callbacks import Herald
from hub.observability.crashpoints import reach
from hub.observability.metrics import Meters
from hub.observability.tracing import NoTraces, Traces
from hub.proof.event_log import Notary
from hub.store import AttemptResult, Blobs, Claim, Store
from hub.supervision import Supervisor

_log = logging.getLogger(__name__)
#: Look again at least this often, for what another node accepted.
_LOOK_AGAIN = timedelta(seconds=1)
#: Seconds to wait for further slots once one got free.
_COMPANY = 0.003
#: Seconds to wait for company after deliveries that took no time: a look at the queue and a commit cost as much for one as
#: for dozens, and both come off what accepts applications.
_GATHER = 0.02
_PER_DESTINATION = 4
#: What was claimed and waits for a slot for so long is given back, sooner where leases are short.
_PATIENCE = timedelta(seconds=5)


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
        supervisor: Supervisor | None = None,
    ) -> None:
        self._supervisor = supervisor or Supervisor()
        self._store = store
        self._adapters = adapters
        self._rules = rules
        self._clock = clock
        self._meters = meters or Meters()
        self._breakers = Breakers(store=store, meters=self._meters, breaker=rules.breaker, node=rules.node)
        self._leases = Leases(store=store, lease=rules.lease, longest=rules.longest_attempt, clock=clock)
        self._hand = Hand(rules.threads, patience=min(_PATIENCE, rules.lease / 4), clock=self._leases.steady)
        self._results: queue.SimpleQueue[tuple[AttemptResult, Future[bool]] | None] = queue.SimpleQueue()
        self._wake = threading.Event()
        self._attempting = Attempting(
            blobs=blobs,
            adapters=adapters,
            notary=notary,
            herald=herald,
            leases=self._leases,
            rules=rules,
            clock=clock,
            meters=self._meters,
            traces=traces or NoTraces(),
        )

    def wake(self) -> None:
        """Look at the queue now instead of at the next tick."""
        self._wake.set()

    def run(self, stop: threading.Event) -> None:
        """Work until ``stop`` is set; attempts under way are finished and recorded, what only waits is given back.

        Its loops are kept up by the supervisor, each by itself: what one dies of costs the others nothing.
        """
        keeper = self._supervisor.begin("leases", self._leases.run)
        try:
            with self._concluding(), ThreadPoolExecutor(self._hand.most, thread_name_prefix="deliver") as pool:
                self._supervisor.attend("dispatcher", partial(self._work_until, pool), stop)
                self._give_back(everything=True)
        finally:
            keeper.end()
            self._adapters.close()

    def run_once(self) -> int:
        """Attempt what is due now, one after the other; return how many attempts were made."""
        claims = self._claim(self._clock(), self._rules.threads)
        self._settle([claim for claim in claims if is_instant(claim)])
        for claim in claims:
            if not is_instant(claim):
                self._settle([claim])
        return len(claims)

    def _work_until(self, pool: ThreadPoolExecutor, stop: threading.Event) -> None:
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
            elif all(map(is_instant, claims)):
                stop.wait(_GATHER)

    def _hand_out(self, pool: ThreadPoolExecutor) -> list[Claim]:
        """Claim what the hand has room for, and begin as many attempts as there are slots."""
        self._give_back()
        begun = self._leases.steady()
        claims = self._claim(self._clock(), self._hand.room(), suspects=not self._hand.suspicious())
        lasting = [claim for claim in claims if not is_instant(claim)]
        self._leases.taken(lasting, at=begun)
        self._hand.take(lasting)
        for _ in range(self._hand.startable()):
            pool.submit(self._work)
        self._settle([claim for claim in claims if is_instant(claim)])
        return claims

    def _give_back(self, *, everything: bool = False) -> None:
        """Let others have what waits in vain: not begun, it must not look like an attempt of unknown end."""
        claims = self._hand.give_back(everything=everything)
        if not claims:
            return
        self._leases.let_go(claims)
        try:
            self._store.give_back(claims, self._clock())
        except Unavailable as error:
            _log.warning("queue: %d deliveries wait for their leases' end: %s", len(claims), error)

    def _pause_after(self, claims: Sequence[Claim]) -> float:
        """Return seconds to wait before the next look, unless woken."""
        if not claims and self._hand.room():
            return self._pause(self._clock())
        # An attempt that ends wakes us; what is over at once may be followed by more.
        full = not self._hand.room() and not any(map(is_instant, claims))
        return _LOOK_AGAIN.total_seconds() if full else 0.0

    def _claim(self, now: datetime, limit: int, *, suspects: bool = True) -> list[Claim]:
        return self._store.claim(
            now,
            lease=self._rules.lease,
            node=self._rules.node,
            limit=limit,
            per_destination=_PER_DESTINATION,
            instant=INSTANT,
            suspects=suspects,
        )

    def _pause(self, now: datetime) -> float:
        """Return seconds to wait: what is due but was not claimed waits for a slot, which wakes us when it gets free."""
        due = self._store.next_due()
        if due is None or due <= now:
            return _LOOK_AGAIN.total_seconds()
        return min((due - now).total_seconds(), _LOOK_AGAIN.total_seconds())

    def _work(self) -> None:
        """Make attempts, one after the other, for as long as any waits and a slot is free."""
        while (claim := self._hand.begin()) is not None:
            try:
                with self._leases.held(claim):
                    result = self._attempting.attempt(claim)
                self._hand.end(claim)
                self._results.put((result, self._recording(result)))
            except BaseException:  # noqa: BLE001  # nobody waits for this thread; the lease runs out: outcome unknown
                _log.exception("delivery %s: the attempt was not brought to its end", claim.delivery_id)
                self._hand.end(claim)
                self._hand.settle(claim)
            if self._hand.room():
                self._wake.set()

    @contextmanager
    def _concluding(self) -> Iterator[None]:
        """Follow results into the store, on a thread of its own, until those of the block are there."""
        loop = self._supervisor.begin("results", self._conclude_all)
        try:
            yield
        finally:
            loop.stop.set()
            self._results.put(None)
            loop.end()
            # Only where it died at the very end does anything wait here still.
            while not self._results.empty():
                self._conclude_next()

    def _conclude_all(self, _stop: threading.Event) -> None:
        """Work to the end of all results, which is a mark behind the last one."""
        while self._conclude_next():
            if self._results.empty():
                self._wake.set()

    def _conclude_next(self) -> bool:
        following = self._results.get()
        if following is None:
            return False
        result, recording = following
        try:
            self._concluded(result, recording)
        finally:
            self._hand.settle(result.claim)
        return True

    def _settle(self, claims: Iterable[Claim]) -> None:
        """Make one attempt for each claim and record them all; what is recorded together shares a commit."""
        attempts = [(result, self._recording(result)) for result in map(self._attempting.attempt, claims)]
        for result, recording in attempts:
            self._concluded(result, recording)

    def _recording(self, result: AttemptResult) -> Future[bool]:
        reach("before-record")
        return self._store.recording(result)

    def _concluded(self, result: AttemptResult, recording: Future[bool]) -> None:
        """Conclude one attempt; what that dies of is its own and costs no other."""
        try:
            self._conclude(result, recording)
        except Exception:  # noqa: BLE001  # as with attempts
            _log.exception("delivery %s: the attempt was not brought to its end", result.claim.delivery_id)

    def _unrecorded(self, result: AttemptResult, error: Exception) -> None:
        """End what cannot be recorded, for a row of its case cannot be read: else it would be sent again for ever."""
        note = f"{result.outcome.note}; not recorded: {type(error).__name__}, its case cannot be read by this version"
        _log.error("delivery %s: the attempt cannot be recorded", result.claim.delivery_id, exc_info=error)
        try:
            self._store.give_up_recording(result, note)
        except Unavailable as unavailable:
            _log.warning("delivery %s: %s", result.claim.delivery_id, unavailable)

    def _conclude(self, result: AttemptResult, recording: Future[bool]) -> None:
        claim = result.claim
        try:
            kept = recording.result()
        except Unavailable as error:
            # Nothing was recorded: the lease runs out and the attempt counts as unknown.
            _log.warning("delivery %s: %s", claim.delivery_id, error)
            return
        except Exception as error:  # noqa: BLE001  # whatever it is, it would be the same at the next attempt
            self._unrecorded(result, error)
            return
        reach("after-record")
        if not kept:
            _log.warning("delivery %s: lease was lost, the late result is dropped", claim.delivery_id)
            return
        _log.info(
            "delivery %s: attempt %d to %s was %s: %s, next: %s",
            claim.delivery_id,
            claim.attempt,
            claim.destination.destination_id,
            result.outcome.kind.value,
            result.outcome.note,
            result.step.kind.value,
            extra=_facts(result),
        )
        self._meters.attempted(
            adapter=claim.destination.adapter,
            outcome=result.outcome.kind.value,
            took=result.ended_at - result.started_at,
        )
        self._breakers.note(claim, result.outcome, now=result.ended_at)


def _facts(result: AttemptResult) -> dict[str, str | int]:
    """Return what stands in members of its own in a line of the log: ids, and codes for machines."""
    claim, outcome = result.claim, result.outcome
    cause = result.step.cause or outcome.cause
    return {
        "submission": str(claim.submission.submission_id),
        "delivery": str(claim.delivery_id),
        "destination": str(claim.destination.destination_id),
        "attempt": claim.attempt,
        "outcome": outcome.kind.value,
        "reason": reason_of(outcome.note).code,
        "cause": "" if cause is None else cause.value,
    }
