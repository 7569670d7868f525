"""The throttle on failed log-ins: one for clients at the token endpoint and for people at pages and API.

Failures are counted in the store, so that all processes and nodes share them and a restart forgets none. What counts is a
subject (a client id, an account's name) together with the network address that tries it: a stranger elsewhere keeps nobody
out. An outer bound counts each address whatever the subjects, so that guessed names and ids meet it too; where a subject has
a bound over all addresses, those from which it logged in of late are exempt.

The window begins with its first failure. Where the clock steps back further than a window, what was counted before is
forgotten; so nobody is kept out for longer than two windows.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from hub.errors import RatePolicy, Text, TooMany
from hub.store import Counted, Failure, Store
from hub.web.neighbours import neighbourhood

#: Rows that one kind of subjects may fill; beyond, failures are counted in shared rows and what stands there stays.
_MOST_ROWS = 10_000
_SHARED_ROWS = 256
#: How long an address counts as one from which a subject logged in.
_FAMILIAR = timedelta(days=30)


@dataclass(frozen=True, kw_only=True, slots=True)
class ThrottleBounds:
    """How many failures within ``window`` turn a subject away: from one address, an address altogether, and everywhere.

    ``kind`` names the subjects (``client``, ``person``); ``by_subject`` None: no bound over all addresses.
    """

    kind: str
    window: timedelta
    by_pair: int
    by_address: int
    by_subject: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class _Counter:
    """One thing that is counted: its own row and bound, and the row and bound of all that find no room for their own.

    ``spares``: an address from which the subject logged in of late is exempt.
    """

    own: str
    shared: str
    most: int
    most_shared: int
    spares: bool


class Throttle:
    """Counts failed log-ins and turns away who fails too often."""

    def __init__(
        self,
        *,
        store: Store,
        bounds: ThrottleBounds,
        most_rows: int = _MOST_ROWS,
        failed: Callable[[], None] = lambda: None,
    ) -> None:
        """``failed`` is told of each failure that is noted."""
        self._failed = failed
        self._logins = store.logins
        self._bounds = bounds
        self._most_rows = most_rows

    def refuse(self, *, subject: str = "", address: str, now: datetime) -> None:
        """Raise ``TooMany`` after too many failures of ``subject`` from ``address``, or from there altogether.

        Without a ``subject`` the address alone counts.
        """
        counters, familiar = self._counters(subject, address), self._familiar(subject, address)
        found = self._logins.counted([familiar, *(name for one in counters for name in (one.own, one.shared))])
        exempt = familiar in found and found[familiar].counts(now, window=_FAMILIAR)
        live = {name: row for name, row in found.items() if row.counts(now, window=self._bounds.window)}
        for one in counters:
            own = live.get(one.own)
            row, most = (own, one.most) if own is not None else (live.get(one.shared), one.most_shared)
            if exempt and (one.spares or own is None):
                continue
            if row is not None and row.failures >= most:
                raise self._too_many(row, now, most)

    def note(self, *, subject: str = "", address: str, now: datetime) -> None:
        """Count a failed log-in of ``subject`` from ``address``."""
        self._failed()
        failures = [Failure(own=one.own, shared=one.shared) for one in self._counters(subject, address)]
        self._logins.note(
            failures, kind=self._bounds.kind, window=self._bounds.window, most_rows=self._most_rows, now=now
        )

    def passed(self, *, subject: str, address: str, now: datetime) -> None:
        """Note that ``subject`` logged in from ``address``: bounds that others fill do not hold there for a while."""
        self._logins.remember(
            self._familiar(subject, address), kind=f"{self._bounds.kind}-familiar", until=now + _FAMILIAR, now=now
        )

    def sweep(self, now: datetime) -> int:
        """Forget what counts no more (a periodic duty); return how many rows."""
        return self._logins.forget(now)

    def _counters(self, subject: str, address: str) -> list[_Counter]:
        bounds, near = self._bounds, neighbourhood(address)
        counters = [self._counter("address", near, most=bounds.by_address)]
        if subject:
            counters.append(self._counter("pair", subject, near, most=bounds.by_pair))
        if subject and bounds.by_subject is not None:
            counters.append(self._counter("subject", subject, most=bounds.by_subject, spares=True))
        return counters

    def _counter(self, what: str, *parts: str, most: int, spares: bool = False) -> _Counter:
        own = _name(self._bounds.kind, what, *parts)
        return _Counter(
            own=own,
            shared=f"{self._bounds.kind}:{what}:{int(own[:8], 16) % _SHARED_ROWS}",
            most=most,
            most_shared=max(most, self._bounds.by_address),
            spares=spares,
        )

    def _familiar(self, subject: str, address: str) -> str:
        return _name(self._bounds.kind, "familiar", subject, neighbourhood(address))

    def _too_many(self, row: Counted, now: datetime, most: int) -> TooMany:
        wait = min(row.expires_at - now, self._bounds.window)
        minutes = max(1, -(-wait // timedelta(minutes=1)))
        return TooMany(
            Text(
                f"Zu viele Fehlversuche. Warten Sie {minutes} {'Minute' if minutes == 1 else 'Minuten'}.",
                f"Too many failed attempts. Wait for {minutes} {'minute' if minutes == 1 else 'minutes'}.",
            ),
            retry_after=wait,
            policy=RatePolicy(f"{self._bounds.kind}-log-in-failures", most, self._bounds.window),
        )


def _name(*parts: str) -> str:
    """Return a row's name: of fixed length whatever is tried, and no list of addresses to whoever reads the table."""
    joined = "\0".join(parts).encode("utf-8", "surrogatepass")
    return hashlib.blake2b(joined, digest_size=20).hexdigest()
