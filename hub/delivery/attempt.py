"""The adapters of this process, and one attempt: what an adapter makes of a delivery, what follows, and what is recorded.

There is one adapter for each destination, as its settings say now. The lease of an attempt that takes long is renewed while the
attempt runs, so that no other node begins the same one. An adapter
ends every attempt by a deadline of its own, at most an hour; a lease is minutes, so that the deliveries of a node that died
wait no longer. What runs beyond the longest attempt is let go of: the lease runs out, another node tries.
"""

from __future__ import annotations

import json
import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import cached_property, partial
from importlib.metadata import EntryPoint
from typing import Any, overload
from uuid import UUID

from hub.errors import ConfigurationError, Text, Unavailable
from hub.model import (
    Adapter,
    Breaker,
    DeadCause,
    Destination,
    Event,
    EventKind,
    Evidence,
    Outcome,
    OutcomeKind,
    Package,
    Schedule,
    Sealing,
    SteadyClock,
    StepKind,
    Subject,
    next_step,
    own_event,
    sealing_of,
)
from hub.model.adapter import MixedUp, Reading, not_readable
from hub.notifications.callbacks import CallbackWriter
from hub.observability.crashes import reach
from hub.observability.metrics import Meters
from hub.observability.tracing import Traces
from hub.proof.evidence import Evidences, Notary
from hub.store import AttemptResult, Blobs, Claim, OutgoingCallback, Store

#: Adapters that are kept open at most; beyond it the one that was not used for the longest time is closed.
_MOST = 1_000


class InstalledAdapters(Mapping[str, "type[Adapter]"]):
    """The adapters that are installed, by name; each is loaded when it is first asked for, with whatever library it needs.

    One whose optional library is not installed is left out; a destination that names it is told which there are.
    """

    def __init__(self, entries: Iterable[EntryPoint]) -> None:
        self._entries = {entry.name: entry for entry in entries}
        self._loaded: dict[str, type[Adapter] | None] = {}

    def __getitem__(self, name: str) -> type[Adapter]:
        entry = self._entries[name]
        if name not in self._loaded:
            try:
                self._loaded[name] = entry.load()
            except ImportError as error:
                _log.info("adapter %s is not available: %s", name, error)
                self._loaded[name] = None
        found = self._loaded[name]
        if found is None:
            raise KeyError(name)
        return found

    @property
    def registered(self) -> tuple[str, ...]:
        """Their names, of those too whose library is missing: nothing is loaded for it."""
        return tuple(sorted(self._entries))

    def __iter__(self) -> Iterator[str]:
        return (name for name in self._entries if name in self)

    def __len__(self) -> int:
        return sum(1 for _ in self)


class _Place:
    """Where one adapter is kept, with a lock of its own: one that takes long to open holds up its own destination alone.

    ``users`` are the attempts that have it, counted under the pool's lock; ``since`` is the age of its settings.
    """

    def __init__(self, name: str, since: datetime) -> None:
        self.name = name
        self.since = since
        self.users = 0
        self.lock = threading.Lock()
        self.adapter: Adapter | None = None


class AdapterPool:
    """Builds and keeps one adapter per destination. Other settings take its place, and close it once nobody uses it."""

    def __init__(self, known: Mapping[str, type[Adapter]], *, most: int = _MOST) -> None:
        self._known = known
        self._most = most
        self._lock = threading.Lock()
        #: By destination, the one that was used last at the end.
        self._places: OrderedDict[UUID, _Place] = OrderedDict()

    @contextmanager
    def lent(self, destination: Destination) -> Iterator[Adapter]:
        """Give the open adapter for ``destination``; it stays open for as long as the block runs.

        Raises:
            ConfigurationError: no adapter of that name, or options that it does not take.
        """
        place = self._taken(destination)
        try:
            with place.lock:
                if place.adapter is None:
                    adapter = self._build(destination)
                    adapter.open()
                    place.adapter = adapter
            yield place.adapter
        finally:
            self._given_back(destination.destination_id, place)

    def of(self, destination: Destination) -> Adapter:
        """Return the open adapter for ``destination``, which others' settings may close; errors as :meth:`lent`."""
        with self.lent(destination) as adapter:
            return adapter

    def sealing(self, destination: Destination) -> Sealing:
        """Return how to seal for ``destination``; where this process lacks its adapter, as for all that have no wishes.

        Raises:
            Unavailable: its adapter does not take its options, so nobody knows.
        """
        kind = self._known.get(destination.adapter)
        if kind is None:
            return Sealing()
        try:
            return sealing_of(kind, destination.adapter_config)
        except ConfigurationError as error:
            raise Unavailable(
                Text(
                    f"{destination.name} ist im Hub nicht richtig eingerichtet. Der Betrieb des Hubs muss handeln.",
                    f"{destination.name} is not set up properly in the hub. The hub's operators have to act.",
                ),
                retry_after=timedelta(hours=1),
                slug="destination-misconfigured",
                destinationId=str(destination.destination_id),
            ) from error

    def close(self) -> None:
        """Close all adapters; one that fails to is logged and keeps no other open."""
        with self._lock:
            places = list(self._places.values())
            self._places.clear()
        for place in places:
            _close(place)

    def _taken(self, destination: Destination) -> _Place:
        """Return the place of ``destination`` with one user more; what it displaces and nobody uses is closed."""
        name = json.dumps([destination.adapter, dict(destination.adapter_config)], sort_keys=True)
        here = destination.destination_id
        displaced: list[_Place] = []
        with self._lock:
            place = self._places.get(here)
            if place is None or place.name != name:
                new = _Place(name, destination.updated_at)
                # A delivery that was claimed before a change brings the old settings: it must not displace the new ones.
                if place is None or place.since <= new.since:
                    displaced += [] if place is None else [place]
                    self._places[here] = new
                place = new
            place.since = max(place.since, destination.updated_at)
            place.users += 1
            if self._places.get(here) is place:
                self._places.move_to_end(here)
            displaced += self._crowded_out()
            unused = [each for each in displaced if not each.users]
        for each in unused:
            _close(each)
        return place

    def _crowded_out(self) -> list[_Place]:
        """Take away what was not used for the longest time, as far as there is too much; whatever is in use stays."""
        over = len(self._places) - self._most
        idle = [here for here, place in self._places.items() if not place.users] if over > 0 else []
        return [self._places.pop(here) for here in idle[:over]]

    def _given_back(self, here: UUID, place: _Place) -> None:
        with self._lock:
            place.users -= 1
            over = not place.users and self._places.get(here) is not place
        if over:
            _close(place)

    def _build(self, destination: Destination) -> Adapter:
        kind = self._known.get(destination.adapter)
        if kind is None:
            known = ", ".join(sorted(self._known))
            raise ConfigurationError(
                Text(
                    f"Es gibt keinen Adapter „{destination.adapter}“. Bekannt sind: {known}.",
                    f"There is no adapter '{destination.adapter}'. Known are: {known}.",
                )
            )
        return kind(destination.adapter_config)


def _close(place: _Place) -> None:
    """Close what is open there, once; an adapter that fails to is its own affair, whoever wrote it."""
    adapter, place.adapter = place.adapter, None
    if adapter is None:
        return
    try:
        adapter.close()
    except BaseException:  # noqa: BLE001  # the others are closed all the same, and whoever displaced it goes on
        _log.exception("adapter %s does not close", adapter.name)


_log = logging.getLogger(__name__)
#: Characters of a note; one line for operators.
_LONGEST_NOTE = 200
#: Bytes of what a receiver signed; an AS4 receipt for a hundred parts takes 60 KB.
_LARGEST_PROOF = 256 * 1024
#: Adapters that do nothing but say so: their deliveries need no thread and no bulkhead, and are settled many at once.
INSTANT = frozenset({"mailbox"})
#: So many times a lease is renewed before it would run out: one lost renewal does no harm.
_TIMES = 3
_ARRIVED = frozenset({OutcomeKind.DELIVERED, OutcomeKind.WAITING})


@dataclass(frozen=True, kw_only=True, slots=True)
class Rules:
    """How this node works: its name, its leases, its schedule, its concurrency.

    ``longest_attempt`` is how long a lease is renewed at most; ``most_lapses`` how many leases of a delivery may run out in
    a row before it is set aside, for it may be what its workers die of.
    """

    node: str
    lease: timedelta
    schedule: Schedule
    threads: int
    base_url: str
    breaker: Breaker = field(default_factory=Breaker)
    longest_attempt: timedelta = timedelta(minutes=70)
    most_lapses: int = 3


class Leases:
    """Renews what is held. ``longest`` is how long an attempt may run at all."""

    def __init__(
        self,
        *,
        store: Store,
        lease: timedelta,
        longest: timedelta,
        clock: Callable[[], datetime],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._lease = lease
        self._longest = longest
        self._clock = clock
        #: How long something has been held is measured by a clock that nobody sets back.
        self.steady = SteadyClock(clock, monotonic=monotonic)
        self._lock = threading.Lock()
        self._held: dict[tuple[UUID, int], tuple[Claim, datetime]] = {}
        self._until: dict[tuple[UUID, int], datetime] = {}

    def taken(self, claims: Iterable[Claim], *, at: datetime) -> None:
        """Note when the leases of ``claims`` run out, taken ``at`` a time of ``steady``; each is held next, or let go of."""
        with self._lock:
            self._until.update({(claim.delivery_id, claim.fencing): at + self._lease for claim in claims})

    def lapsed(self, claim: Claim) -> bool:
        """Say whether the lease has run out: who slept through it must not begin, another node may have sent already."""
        with self._lock:
            until = self._until.get((claim.delivery_id, claim.fencing))
        return until is not None and self.steady() >= until

    def let_go(self, claims: Iterable[Claim]) -> None:
        """Forget the leases of what was given back."""
        with self._lock:
            for claim in claims:
                self._until.pop((claim.delivery_id, claim.fencing), None)

    def keep(self, claim: Claim, known_as: str | None) -> None:
        """Write down how the receiver knows a delivery; raise ``Unavailable`` where another node has the delivery by now."""
        if not self._store.queue.keep(claim, known_as):
            raise Unavailable(Text("Die Zustellung hat ein anderer Knoten.", "Another node has the delivery."))

    @contextmanager
    def held(self, claim: Claim) -> Iterator[None]:
        """Keep the lease of ``claim`` alive for as long as the block runs."""
        with self._lock:
            self._held[claim.delivery_id, claim.fencing] = (claim, self.steady())
        try:
            yield
        finally:
            with self._lock:
                self._held.pop((claim.delivery_id, claim.fencing), None)
                self._until.pop((claim.delivery_id, claim.fencing), None)

    def run(self, stop: threading.Event) -> None:
        """Renew until ``stop`` is set."""
        while not stop.wait(self._lease.total_seconds() / _TIMES):
            self.renew()

    def renew(self) -> int:
        """Renew what is held now; return how many leases were."""
        now = self.steady()
        with self._lock:
            held = list(self._held.values())
        renewed = 0
        for claim, since in held:
            # A young one has most of its lease before it; most attempts are over by then.
            if now - since >= self._lease / _TIMES:
                renewed += self._guarded(claim, since, now)
        return renewed

    def _guarded(self, claim: Claim, since: datetime, now: datetime) -> bool:
        try:
            return self._renewed(claim, since, now)
        except Exception:  # noqa: BLE001  # one lease that cannot be renewed must not cost the others theirs
            _log.exception("delivery %s: lease not renewed", claim.delivery_id, extra=claim.ids)
            return False

    def _renewed(self, claim: Claim, since: datetime, now: datetime) -> bool:
        if now - since >= self._longest:
            _log.error(
                "delivery %s: the attempt hangs since %s, its lease runs out", claim.delivery_id, since, extra=claim.ids
            )
            return False
        try:
            kept = self._store.queue.renew(claim, self._clock() + self._lease)
        except Unavailable as error:
            _log.warning("delivery %s: lease not renewed: %s", claim.delivery_id, error, extra=claim.ids)
            return False
        if kept:
            self.taken([claim], at=now)
        else:
            _log.warning("delivery %s: the lease is not ours any more", claim.delivery_id, extra=claim.ids)
        return kept


@dataclass(frozen=True, kw_only=True, slots=True)
class Attempting:
    """Makes attempts, from several threads."""

    blobs: Blobs
    adapters: AdapterPool
    notary: Notary
    evidences: Evidences
    callback_writer: CallbackWriter
    leases: Leases
    rules: Rules
    clock: Callable[[], datetime]
    meters: Meters
    traces: Traces

    def attempt(self, claim: Claim) -> AttemptResult:
        """Make one attempt and decide what comes next; whatever it dies of is its outcome, it never raises."""
        started = self.clock()
        outcome = self._deliver(claim)
        ended = self.clock()
        step = next_step(
            outcome,
            attempt=claim.attempt,
            accepted_at=claim.accepted_at,
            now=ended,
            schedule=self.rules.schedule,
            faulty_since=claim.circuit.fault_since or ended,
        )
        done = step.kind is StepKind.FINISH
        return AttemptResult(
            claim=claim,
            outcome=outcome,
            step=step,
            started_at=started,
            ended_at=ended,
            events=[self._notified(claim, ended)] if done else (),
            callbacks=self._callbacks(claim, ended) if done else (),
        )

    def _callbacks(self, claim: Claim, now: datetime) -> Sequence[OutgoingCallback]:
        try:
            return self.callback_writer.notified(claim.submission, now=now)
        except Exception:  # noqa: BLE001  # the receiver has it, which must be recorded
            _log.exception("delivery %s: its sender is not called back", claim.delivery_id, extra=claim.ids)
            return ()

    def _deliver(self, claim: Claim) -> Outcome:
        if claim.lapses >= self.rules.most_lapses and not is_instant(claim):
            return self._set_aside(claim)
        outcome = Outcome(kind=OutcomeKind.UNREACHABLE, note="not attempted", cause=DeadCause.HUB)
        try:
            with self.traces.deliver(**_facts(claim)) as span:
                outcome = self._try(claim)
                span.tell(outcome=outcome.kind.value)
        except Exception:  # noqa: BLE001  # a trace's failure is none of the delivery's
            _log.exception("delivery %s: the attempt was not traced", claim.delivery_id, extra=claim.ids)
        return outcome

    def _set_aside(self, claim: Claim) -> Outcome:
        """Do not attempt what workers may have died of; a person decides (what needs no adapter's code kills nobody)."""
        self.meters.isolated()
        _log.error(
            "delivery %s: set aside, %d attempts of it never ended", claim.delivery_id, claim.lapses, extra=claim.ids
        )
        note = f"not attempted: {claim.lapses} leases ran out, its workers may have died of it"
        return Outcome(kind=OutcomeKind.REFUSED, note=note, cause=DeadCause.HUB)

    def _try(self, claim: Claim) -> Outcome:
        with ExitStack() as until_done:
            try:
                ready = self._ready(claim, until_done)
            except BaseException as error:  # noqa: BLE001  # whatever a library raises; certainly nothing was sent
                _log.exception("delivery %s: the adapter does not open", claim.delivery_id, extra=claim.ids)
                note = f"adapter does not open: {type(error).__name__}"
                return Outcome(kind=OutcomeKind.UNREACHABLE, note=note, cause=DeadCause.HUB)
            return ready if isinstance(ready, Outcome) else self._handed_over(ready, claim)

    def _handed_over(self, adapter: Adapter, claim: Claim) -> Outcome:
        contents = Reading(self.blobs.chunks)
        try:
            outcome = as_reported(adapter.deliver(self._package(claim, contents)))
            reach("after-send")
        except BaseException as error:  # noqa: BLE001  # an adapter's bug must not stop the others; it is recorded as unknown
            broken = contents.broken or error
            if isinstance(broken, MixedUp):
                return not_readable(broken)
            _log.exception("delivery %s: the adapter failed", claim.delivery_id, extra=claim.ids)
            note = f"adapter failed: {type(error).__name__}"
            return Outcome(kind=OutcomeKind.UNKNOWN, note=note, cause=DeadCause.HUB)
        if contents.broken is not None and outcome.kind not in _ARRIVED:
            # The fault is on this side, whatever the adapter made of it.
            return not_readable(contents.broken)
        return outcome

    def _ready(self, claim: Claim, until_done: ExitStack) -> Adapter | Outcome:
        """Return the open adapter, or why there is no attempt."""
        try:
            adapter = until_done.enter_context(self.adapters.lent(claim.destination))
            takes = self.adapters.sealing(claim.destination).takes
        except ConfigurationError as error:
            return Outcome(kind=OutcomeKind.REFUSED, note=error.detail.en, cause=DeadCause.CONFIGURATION)
        form = claim.submission.contents.form
        if form not in takes:
            # Its adapter was changed since: what is sealed cannot be sealed anew.
            note = f"not attempted: sealed as {form.value}, which {claim.destination.adapter} does not take here"
            return Outcome(kind=OutcomeKind.REFUSED, note=note, cause=DeadCause.CONFIGURATION)
        if self.leases.lapsed(claim):
            note = "not attempted: this node slept through its lease"
            return Outcome(kind=OutcomeKind.UNREACHABLE, note=note, cause=DeadCause.HUB)
        reach("before-send")
        return adapter

    def _package(self, claim: Claim, contents: Reading) -> Package:
        return Package(
            delivery_id=claim.delivery_id,
            attempt=claim.attempt,
            repeat=claim.repeat,
            submission=claim.submission,
            destination=claim.destination,
            event_log=_LateLog(self.notary, claim.submission.case_id),
            evidence=partial(self._evidence, claim),
            read=contents.chunks,
            base_url=self.rules.base_url,
            known_as=claim.known_as,
            keep=partial(self.leases.keep, claim),
        )

    def _evidence(self, claim: Claim) -> Evidence:
        return self.evidences.of(
            claim.submission,
            receipt=claim.receipt,
            destination=claim.destination.name,
            now=self.clock(),
            run=claim.run,
        )

    def _notified(self, claim: Claim, now: datetime) -> Event:
        """Return the event that says that the receiver was told or got it (FIT-Connect section 9.2)."""
        about = claim.submission
        return own_event(
            EventKind.NOTIFY,
            case_id=about.case_id,
            subject=(Subject.SUBMISSION, about.submission_id),
            issuer=self.rules.base_url,
            now=now,
        )


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


def as_reported(outcome: Any) -> Outcome:
    """Return what an adapter said, if it is an outcome at all; anybody may have written it."""
    if not isinstance(outcome, Outcome) or not isinstance(outcome.kind, OutcomeKind):
        return Outcome(kind=OutcomeKind.UNKNOWN, note="adapter reports no outcome", cause=DeadCause.HUB)
    said = outcome.note if isinstance(outcome.note, str) else type(outcome.note).__name__
    note = (said if said.isprintable() else repr(said))[:_LONGEST_NOTE]
    wish = outcome.retry_after if isinstance(outcome.retry_after, timedelta) else None
    cause = outcome.cause if isinstance(outcome.cause, DeadCause) else None
    proof = outcome.proof if isinstance(outcome.proof, bytes) and len(outcome.proof) <= _LARGEST_PROOF else None
    return replace(outcome, note=note, retry_after=wish, cause=cause, disable=outcome.disable is True, proof=proof)


def _facts(claim: Claim) -> dict[str, str | int]:
    """Return what a trace may say of an attempt: identifiers."""
    return {
        "delivery_id": str(claim.delivery_id),
        "submission_id": str(claim.submission.submission_id),
        "destination_id": str(claim.destination.destination_id),
        "adapter": claim.destination.adapter,
        "attempt": claim.attempt,
    }


def is_instant(claim: Claim) -> bool:
    """Say whether an attempt is over at once, by nobody's doing."""
    return claim.destination.adapter in INSTANT
