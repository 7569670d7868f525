"""Leases of attempts that take long: renewed while the attempt runs, so that no other node begins the same one.

An adapter ends every attempt by a deadline of its own, at most an hour; a lease is minutes, so that the deliveries of a
node that died wait no longer. What runs beyond the longest attempt is let go of: the lease runs out, another node tries.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from uuid import UUID

from hub.errors import Unavailable
from hub.model import SteadyClock
from hub.store import Claim, Store

_log = logging.getLogger(__name__)
#: So many times a lease is renewed before it would run out: one lost renewal does no harm.
_TIMES = 3


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
            _log.exception("delivery %s: lease not renewed", claim.delivery_id)
            return False

    def _renewed(self, claim: Claim, since: datetime, now: datetime) -> bool:
        if now - since >= self._longest:
            _log.error("delivery %s: the attempt hangs since %s, its lease runs out", claim.delivery_id, since)
            return False
        try:
            kept = self._store.queue.renew(claim, self._clock() + self._lease)
        except Unavailable as error:
            _log.warning("delivery %s: lease not renewed: %s", claim.delivery_id, error)
            return False
        if kept:
            self.taken([claim], at=now)
        else:
            _log.warning("delivery %s: the lease is not ours any more", claim.delivery_id)
        return kept
