"""The dispatcher: from the queue to the receiver. Any number of nodes may run it.

From the queue to the receiver: claim, attempt, record. Any number of nodes may run it.

A claim is a lease with a fencing number: a node that dies loses nothing (the lease runs out and another node tries), a
node that comes back late loses its say (its record is refused). Each destination has its own limit of concurrent attempts,
so a hung receiver never slows another. Claims are made ahead and results are recorded behind the attempts, so that many
share a commit and no attempt waits for one.

What a node holds of the queue: deliveries that wait for a slot, attempts under way, results that are not recorded yet.

A claim costs a commit, whatever it brings, so a node claims ahead; but only as much as it has got through in the last
moment, so that nothing waits here for long while another node is idle. Attempts have slots. A receiver that hangs would
hold its share of them until its time is out, and some such receivers all of them; an attempt that has run for a second
is waiting, not working, and up to a bound another may begin beside it.

How much one receiver gets at once is found out from its answers: who answers soon and says yes is given more by and by, up to
a bound; who says no for now, or nothing, half as much. Each process finds out by itself and forgets at its end; what it
holds is a matter of leases, as all of the queue is.

Circuit breakers at work: what an attempt means for the next ones to the same destination, and who hears of it.
"""

from __future__ import annotations

import logging
import queue
import threading
from collections import Counter, OrderedDict, deque
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from typing import TypeAlias
from uuid import UUID

from hub.delivery.attempt import INSTANT, AdapterPool, Attempting, Leases, Rules, is_instant
from hub.errors import Unavailable
from hub.model import Breaker, Outcome, OutcomeKind, Standing, next_standing, reason_of
from hub.notifications.callbacks import CallbackWriter
from hub.observability.crashes import reach
from hub.observability.metrics import Meters
from hub.observability.tracing import NoTraces, Traces
from hub.proof.evidence import Evidences, Notary
from hub.store import AttemptResult, AuditEntry, Blobs, Circuit, Claim, Store
from hub.supervision import Supervisor

#: A claim: its delivery and its fencing number.
_Key: TypeAlias = tuple[UUID, int]
#: An attempt that has run for so long is waiting for its receiver.
_SLOW = timedelta(seconds=1)
#: What a receiver is given at once at first, and at most.
USUAL, WIDEST = 4, 16
_MOST_WIDTHS = 10_000
_TAKEN = frozenset({OutcomeKind.DELIVERED, OutcomeKind.WAITING})
#: So many times the slots may be under way in all, the waiting ones included: each holds a thread and a delivery's contents.
_STRETCH = 4
#: What ended within this time is what a node is sure to begin soon.
_MOMENT = timedelta(milliseconds=100)
#: Deliveries that wait here at most, in slots: their contents lie in memory, and after a crash each counts as a repeat.
_AHEAD = 8
#: Results that wait to be recorded at most, in slots: beyond it the store is slower than the receivers.
_UNRECORDED = 16


class Widths:
    """How many deliveries each receiver is given at once, by what came of those before. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        #: Those that are not given the usual number; the one that answered last at the end.
        self._widths: OrderedDict[UUID, float] = OrderedDict()

    def of(self, destination_id: UUID) -> int:
        """Return a receiver's number."""
        with self._lock:
            return int(self._widths.get(destination_id, USUAL))

    def unusual(self, but: Collection[UUID] = ()) -> dict[UUID, int]:
        """Return the numbers that are not the usual one; those in ``but`` get no more than that."""
        with self._lock:
            found = {each: int(width) for each, width in self._widths.items()}
        return {each: width for each, width in found.items() if width < USUAL or (width > USUAL and each not in but)}

    def note(self, destination_id: UUID, outcome: Outcome, *, took: timedelta) -> None:
        """Widen by one for as many prompt successes as the number is, halve at each failure; a slow success widens nothing."""
        with self._lock:
            width = self._widths.pop(destination_id, float(USUAL))
            if outcome.kind in _TAKEN:
                width = min(float(WIDEST), width + 1 / width) if took < _SLOW else max(min(width, USUAL), width / 2)
            elif outcome.kind is not OutcomeKind.REFUSED:
                width = max(1.0, width / 2)
            self._widths[destination_id] = width
            if len(self._widths) > _MOST_WIDTHS:
                self._widths.popitem(last=False)


class ClaimBuffer:
    """Counts and keeps. ``number`` attempts work at once; ``most`` is the bound with those that wait for their receivers.

    Of one receiver more than the usual number are under way only while none of them waits, and a quarter of the slots stays
    free for others: one that falls silent holds little more than it did before it was found to be quick.

    What has waited here for longer than ``patience``, well within a lease, is for another node, or for later. ``clock`` is
    one that is never set back (``SteadyClock``). A delivery that was claimed anew after its lease ran out is another one here.
    """

    def __init__(self, number: int, *, patience: timedelta, clock: Callable[[], datetime]) -> None:
        self._number = number
        self._patience = patience
        self.most = number * _STRETCH
        self._clock = clock
        self._lock = threading.Lock()
        self._waiting: deque[tuple[Claim, datetime]] = deque()
        self._since: dict[_Key, tuple[UUID, datetime]] = {}
        self._unrecorded: set[_Key] = set()
        self._ended: deque[datetime] = deque(maxlen=number * _AHEAD)
        self._suspects: set[_Key] = set()

    def room(self) -> int:
        """Return how many deliveries to claim now: none while enough wait."""
        now = self._clock()
        with self._lock:
            ahead = self._ahead(now)
            # What waits behind a silent receiver keeps nobody else from being claimed.
            waiting = len(self._waiting) - self._stuck(now)
            if len(self._unrecorded) > self._number * _UNRECORDED or 2 * waiting > ahead:
                return 0
            return max(0, self._free(now) + ahead - waiting)

    def silent(self) -> set[UUID]:
        """Return the receivers that an attempt under way waits for."""
        now = self._clock()
        with self._lock:
            return self._silent(now)

    def suspicious(self) -> bool:
        """Say whether a delivery is here that its workers may have died of: it is attempted without another such."""
        with self._lock:
            return bool(self._suspects)

    def take(self, claims: Iterable[Claim]) -> None:
        """Keep what was claimed until :meth:`begin` asks for it."""
        now = self._clock()
        with self._lock:
            for claim in claims:
                self._waiting.append((claim, now))
                if claim.suspect:
                    self._suspects.add(_key(claim))

    def startable(self) -> int:
        """Return how many attempts may begin now."""
        now = self._clock()
        with self._lock:
            return min(self._free(now), len(self._waiting) - self._stuck(now))

    def begin(self) -> Claim | None:
        """Return the delivery whose attempt begins now; None where no slot is free, or nothing waits."""
        now = self._clock()
        with self._lock:
            free = self._free(now) if self._waiting else 0
            if not free:
                return None
            position = self._next(now, free)
            if position is None:
                return None
            claim, _ = self._waiting[position]
            del self._waiting[position]
            self._since[_key(claim)] = (claim.destination.destination_id, now)
            return claim

    def end(self, claim: Claim) -> None:
        """Note that an attempt is over, which frees its slot; its result is still to be recorded."""
        now = self._clock()
        with self._lock:
            if self._since.pop(_key(claim), None) is not None:
                self._ended.append(now)
                self._unrecorded.add(_key(claim))

    def settle(self, claim: Claim) -> None:
        """Note that a result is recorded, or cannot be."""
        with self._lock:
            self._unrecorded.discard(_key(claim))
            self._suspects.discard(_key(claim))

    def idle(self) -> bool:
        """Say whether nothing waits here, and nothing is under way."""
        with self._lock:
            return not self._waiting and not self._since

    def give_back(self, *, everything: bool = False) -> list[Claim]:
        """Return what has waited too long, or all that waits, and keep it no more."""
        now = self._clock()
        kept: list[Claim] = []
        with self._lock:
            while self._waiting and (everything or now - self._waiting[0][1] >= self._patience):
                claim, _ = self._waiting.popleft()
                self._suspects.discard(_key(claim))
                kept.append(claim)
        return kept

    def _free(self, now: datetime) -> int:
        working = sum(now - since < _SLOW for _, since in self._since.values())
        return max(0, min(self._number - working, self.most - len(self._since)))

    def _next(self, now: datetime, free: int) -> int | None:
        """Return where the first stands that may begin."""
        under_way = Counter(there for there, _ in self._since.values())
        silent = self._silent(now)
        spare = free > self._number // 4
        for position, (claim, _) in enumerate(self._waiting):
            there = claim.destination.destination_id
            if under_way[there] < USUAL or (spare and there not in silent):
                return position
        return None

    def _stuck(self, now: datetime) -> int:
        """Return how many wait for a receiver that has its usual number under way and is silent."""
        silent = self._silent(now) if self._waiting else set()
        if not silent:
            return 0
        under_way = Counter(there for there, _ in self._since.values())
        full = {there for there in silent if under_way[there] >= USUAL}
        return sum(claim.destination.destination_id in full for claim, _ in self._waiting)

    def _silent(self, now: datetime) -> set[UUID]:
        return {there for there, since in self._since.values() if now - since >= _SLOW}

    def _ahead(self, now: datetime) -> int:
        return sum(now - ended < _MOMENT for ended in self._ended)


def _key(claim: Claim) -> _Key:
    return claim.delivery_id, claim.fencing


_log = logging.getLogger(__name__)


class Breakers:
    """Keeps the circuits of all destinations in the store."""

    def __init__(self, *, store: Store, meters: Meters, breaker: Breaker, node: str) -> None:
        self._store = store
        self._meters = meters
        self._breaker = breaker
        self._node = node

    def note(self, claim: Claim, outcome: Outcome, *, now: datetime) -> None:
        """Take an attempt's outcome into account.

        A success at a closed circuit, the usual case, costs nothing: the claim tells how the circuit stood.
        """
        if self._next(outcome, claim.circuit, now) == claim.circuit:
            return
        before = claim.circuit

        def change(circuit: Circuit) -> Circuit:
            nonlocal before
            before = circuit.standing
            after = self._next(outcome, before, now)
            return replace(
                circuit,
                failures=after.failures,
                open_until=after.open_until,
                fault=after.fault,
                fault_since=after.fault_since,
            )

        destination_id = claim.destination.destination_id
        try:
            changed = self._store.circuits.change(destination_id, change, now)
            self._announce(changed, before, outcome, now)
        except Unavailable as error:
            # The next attempt will say the same.
            _log.warning("destination %s: circuit not changed: %s", destination_id, error)
        except Exception:  # noqa: BLE001  # a circuit only saves attempts; the delivery's result is recorded
            _log.exception("destination %s: circuit not changed", destination_id)

    def _next(self, outcome: Outcome, standing: Standing, now: datetime) -> Standing:
        return next_standing(outcome, standing, now=now, breaker=self._breaker)

    def _announce(self, circuit: Circuit, before: Standing, outcome: Outcome, now: datetime) -> None:
        after = circuit.standing
        if after.is_disabled(now, self._breaker):
            if not before.is_disabled(now, self._breaker):
                self._alarm(circuit, outcome, now)
        elif after.fault is not None and before.fault is None:
            self._complain(circuit, outcome, now)
        elif after.is_open(now) and after != before:
            self._meters.circuit_opened(_why(after, outcome))
            _log.warning(
                "destination %s: circuit open until %s after %d failures",
                circuit.destination_id,
                after.open_until,
                after.failures,
            )
        elif before.open_until is not None and after.open_until is None:
            _log.warning("destination %s: circuit closed, the receiver works again", circuit.destination_id)

    def _complain(self, circuit: Circuit, outcome: Outcome, now: datetime) -> None:
        """Say at once that a destination's settings are at fault: waiting mends nothing."""
        self._meters.circuit_opened("configuration")
        _log.error(
            "destination %s: %s; its settings have to be mended, deliveries pause", circuit.destination_id, outcome.note
        )
        self._audit("circuit.pause", circuit, outcome, now)

    def _alarm(self, circuit: Circuit, outcome: Outcome, now: datetime) -> None:
        """Say three times over that a receiver is gone for good: only a person may try it again."""
        self._meters.circuit_opened("gone")
        _log.error("destination %s: the receiver says it is gone, deliveries stop", circuit.destination_id)
        self._audit("circuit.disable", circuit, outcome, now)

    def _audit(self, action: str, circuit: Circuit, outcome: Outcome, now: datetime) -> None:
        self._store.audit.append(
            AuditEntry(
                at=now,
                actor=f"hub:{self._node}",
                action=action,
                target=f"destination:{circuit.destination_id}",
                after={"note": outcome.note},
            )
        )


def _why(standing: Standing, outcome: Outcome) -> str:
    if standing.fault is not None:
        return "configuration"
    return "failures" if outcome.retry_after is None else "wish"


#: Look again at least this often, for what another node accepted.
_LOOK_AGAIN = timedelta(seconds=1)
#: Seconds to wait for further slots once one got free.
_COMPANY = 0.003
#: Seconds to wait for company after deliveries that took no time: a look at the queue and a commit cost as much for one as
#: for dozens, and both come off what accepts applications.
_GATHER = 0.02
#: What was claimed and waits for a slot for so long is given back, sooner where leases are short.
_PATIENCE = timedelta(seconds=5)


def _bounded(due: datetime | None, now: datetime) -> float:
    """Return seconds until ``due``, but to the next look at most; what is due and was not claimed waits for a slot."""
    longest = _LOOK_AGAIN.total_seconds()
    return longest if due is None or due <= now else min((due - now).total_seconds(), longest)


class Dispatcher:
    """Attempts what is due."""

    def __init__(
        self,
        *,
        store: Store,
        blobs: Blobs,
        adapters: AdapterPool,
        notary: Notary,
        evidences: Evidences,
        callback_writer: CallbackWriter,
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
        self._buffer = ClaimBuffer(rules.threads, patience=min(_PATIENCE, rules.lease / 4), clock=self._leases.steady)
        self._widths = Widths()
        #: Workers that were called and have not looked for a delivery yet.
        self._called = 0
        self._calling = threading.Lock()
        self._results: queue.SimpleQueue[tuple[AttemptResult, Future[bool]] | None] = queue.SimpleQueue()
        self._wake = threading.Event()
        self.attempting = Attempting(
            blobs=blobs,
            adapters=adapters,
            notary=notary,
            evidences=evidences,
            callback_writer=callback_writer,
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
            with self._concluding(), ThreadPoolExecutor(self._buffer.most, thread_name_prefix="deliver") as pool:
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
                room = self._buffer.room()
                claims = self._hand_out(pool, room)
                pause = self._pause_after(claims, room)
            except Unavailable as error:
                _log.warning("queue: %s", error)
                claims, pause = [], _LOOK_AGAIN.total_seconds()
            if pause:
                # Attempts that share a commit end together: one claim for all their slots costs as much as for one.
                stop.wait(_COMPANY if self._rest(pause, stop) else 0)
            elif all(map(is_instant, claims)):
                stop.wait(_GATHER)

    def _rest(self, pause: float, stop: threading.Event) -> bool:
        """Wait to be woken; return False where it is time to claim again without.

        Other nodes wake nobody here, so the queue is looked at. A claim writes: where nothing is under way it waits until
        something is due.
        """
        while not self._wake.wait(pause):
            now = self._clock()
            due = self._next_due()
            if stop.is_set() or not self._buffer.idle() or (due is not None and due <= now):
                return False
            pause = _bounded(due, now)
        return True

    def _next_due(self) -> datetime | None:
        try:
            return self._store.queue.next_due()
        except Unavailable as error:
            _log.warning("queue: %s", error)
            return None

    def _hand_out(self, pool: ThreadPoolExecutor, room: int) -> list[Claim]:
        """Claim ``room`` at most, and begin as many attempts as there are slots."""
        self._give_back()
        begun = self._leases.steady()
        claims = self._claim(self._clock(), room, suspects=not self._buffer.suspicious())
        lasting = [claim for claim in claims if not is_instant(claim)]
        self._leases.taken(lasting, at=begun)
        self._buffer.take(lasting)
        self._call(pool)
        self._settle([claim for claim in claims if is_instant(claim)])
        return claims

    def _call(self, pool: ThreadPoolExecutor) -> None:
        """Begin as many attempts as there are slots; who was called and is on the way is not called twice."""
        with self._calling:
            number = self._buffer.startable() - self._called
        for _ in range(number):
            self._count(1)
            try:
                pool.submit(self._work)
            except RuntimeError:  # No thread to be had; whoever is under way goes on with what waits.
                self._count(-1)
                raise

    def _count(self, change: int) -> None:
        with self._calling:
            self._called = max(0, self._called + change)

    def _give_back(self, *, everything: bool = False) -> None:
        """Let others have what waits in vain: not begun, it must not look like an attempt of unknown end."""
        claims = self._buffer.give_back(everything=everything)
        if not claims:
            return
        self._leases.let_go(claims)
        try:
            self._store.queue.give_back(claims, self._clock())
        except Unavailable as error:
            _log.warning("queue: %d deliveries wait for their leases' end: %s", len(claims), error)

    def _pause_after(self, claims: Sequence[Claim], asked: int) -> float:
        """Return seconds to wait before the next look, unless woken."""
        # What is over at once may be followed by more; an attempt that ends wakes us.
        if any(map(is_instant, claims)):
            return 0.0
        if not self._buffer.room():
            return _LOOK_AGAIN.total_seconds()
        # Where less came than was asked for, the next claim would write for nothing.
        return self._pause(self._clock()) if len(claims) < asked or not asked else 0.0

    def _claim(self, now: datetime, limit: int, *, suspects: bool = True) -> list[Claim]:
        return self._store.queue.claim(
            now,
            lease=self._rules.lease,
            node=self._rules.node,
            limit=limit,
            per_destination=USUAL,
            widths=self._widths.unusual(self._buffer.silent()),
            instant=INSTANT,
            suspects=suspects,
        )

    def _pause(self, now: datetime) -> float:
        """Return seconds to wait: what is due but was not claimed waits for a slot, which wakes us when it gets free."""
        return _bounded(self._store.queue.next_due(), now)

    def _work(self) -> None:
        """Make attempts, one after the other, for as long as any waits and a slot is free."""
        self._count(-1)
        while (claim := self._buffer.begin()) is not None:
            try:
                with self._leases.held(claim):
                    result = self.attempting.attempt(claim)
                self._buffer.end(claim)
                self._results.put((result, self._recording(result)))
            except BaseException:  # noqa: BLE001  # nobody waits for this thread; the lease runs out: outcome unknown
                _log.exception(
                    "delivery %s: the attempt was not brought to its end", claim.delivery_id, extra=claim.ids
                )
                self._buffer.end(claim)
                self._buffer.settle(claim)
            if self._buffer.room():
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
            self._buffer.settle(result.claim)
        return True

    def _settle(self, claims: Iterable[Claim]) -> None:
        """Make one attempt for each claim and record them all; what is recorded together shares a commit."""
        attempts = [(result, self._recording(result)) for result in map(self.attempting.attempt, claims)]
        for result, recording in attempts:
            self._concluded(result, recording)

    def _recording(self, result: AttemptResult) -> Future[bool]:
        reach("before-record")
        return self._store.queue.recording(result)

    def _concluded(self, result: AttemptResult, recording: Future[bool]) -> None:
        """Conclude one attempt; what that dies of is its own and costs no other."""
        try:
            self._conclude(result, recording)
        except Exception:  # noqa: BLE001  # as with attempts
            claim = result.claim
            _log.exception("delivery %s: the attempt was not brought to its end", claim.delivery_id, extra=claim.ids)

    def _unrecorded(self, result: AttemptResult, error: Exception) -> None:
        """End what cannot be recorded, for a row of its case cannot be read: else it would be sent again for ever."""
        note = f"{result.outcome.note}; not recorded: {type(error).__name__}, its case cannot be read by this version"
        here, ids = result.claim.delivery_id, result.claim.ids
        _log.error("delivery %s: the attempt cannot be recorded", here, exc_info=error, extra=ids)
        try:
            self._store.queue.give_up_recording(result, note)
        except Unavailable as unavailable:
            _log.warning("delivery %s: %s", here, unavailable, extra=ids)

    def _conclude(self, result: AttemptResult, recording: Future[bool]) -> None:
        claim = result.claim
        try:
            kept = recording.result()
        except Unavailable as error:
            # Nothing was recorded: the lease runs out and the attempt counts as unknown.
            _log.warning("delivery %s: %s", claim.delivery_id, error, extra=claim.ids)
            return
        except Exception as error:  # noqa: BLE001  # whatever it is, it would be the same at the next attempt
            self._unrecorded(result, error)
            return
        reach("after-record")
        if not kept:
            _log.warning("delivery %s: lease was lost, the late result is dropped", claim.delivery_id, extra=claim.ids)
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
        self._widths.note(claim.destination.destination_id, result.outcome, took=result.ended_at - result.started_at)


def _facts(result: AttemptResult) -> dict[str, str | int]:
    """Return what stands in members of its own in a line of the log: ids, and codes for machines."""
    claim, outcome = result.claim, result.outcome
    cause = result.step.cause or outcome.cause
    return {
        **claim.ids,
        "outcome": outcome.kind.value,
        "reason": reason_of(outcome.note).code,
        "cause": "" if cause is None else cause.value,
    }
