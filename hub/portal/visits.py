"""How much of the portal one network address may take: pages, forms it begins, bodies it sends at once, room for all that.

Each is counted by address and, ten times as wide, by the block of addresses that one may rent (``hub.web.neighbours``). What
lasts, begun forms and what they take up, is counted in the database, where every portal of several sees it; what ends with
its connection is counted by the process that holds the connection.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta

from starlette.types import Message, Receive

from hub.errors import TooMany, too_slow
from hub.forms.form_file import EasyText
from hub.portal.codes import GuessBounds, Guesses
from hub.portal.database import PortalDatabase
from hub.web.neighbours import block, neighbourhood

_MINUTE = timedelta(minutes=1)
#: Addresses that are counted at once; all others share one count.
_MOST_ADDRESSES = 20_000
_REST = "everybody else"
#: What a block may take, in shares of one address of it.
_WIDER = 10
#: Within which begun forms are counted.
_BEGUN_WITHIN = timedelta(minutes=15)
#: Within which it is counted what somebody has the portal keep; in units that a column of 32 bits holds two terabytes of.
_KEPT_WITHIN, _KIB = timedelta(days=1), 1024
#: Seconds that a body may not come on for, and for which it may come as slowly as it likes; then bytes a second, on average.
_PAUSE, _PATIENCE, _RATE = 30.0, 60.0, 1_024


class VisitCounts:
    """Counts requests by address within a minute; bounded, and forgotten with the minute."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._lock = threading.Lock()
        self._ends: datetime | None = None
        self.counts: dict[str, int] = {}

    def require_room(self, address: str, now: datetime) -> None:
        """Count one request; ``TooMany`` where it is one too many."""
        with self._lock:
            if self._ends is None or now >= self._ends or now < self._ends - _MINUTE:
                self.counts.clear()
                self._ends = now + _MINUTE
            who = neighbourhood(address)
            if who not in self.counts and len(self.counts) >= _MOST_ADDRESSES:
                who = _REST
            self.counts[who] = self.counts.get(who, 0) + 1
            if self.counts[who] > self._limit:
                raise TooMany(_TOO_OFTEN, retry_after=self._ends - now)


class BodiesAtOnce:
    """Counts the bodies that come in from an address at this moment; ``most`` of one address, ten times that of a block."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._lock = threading.Lock()
        self.counts: dict[str, int] = {}

    @contextmanager
    def one(self, address: str) -> Iterator[None]:
        """Count one body for as long as it comes in; ``TooMany`` where it is one too many.

        Nothing has been read of it then, so that whoever sends it holds a connection alone, which ends soon.
        """
        bounds = {neighbourhood(address): self._most, f"block {block(address)}": self._most * _WIDER}
        with self._lock:
            if any(self.counts.get(name, 0) >= most for name, most in bounds.items()):
                raise TooMany(_AT_ONCE, retry_after=_MINUTE, for_people=True)
            for name in bounds:
                self.counts[name] = self.counts.get(name, 0) + 1
        try:
            yield
        finally:
            with self._lock:
                for name in bounds:
                    self.counts[name] -= 1
                    if not self.counts[name]:
                        del self.counts[name]


class BegunForms:
    """Counts the forms that an address begins within a quarter of an hour, for all portals on one database."""

    def __init__(self, database: PortalDatabase, most: int) -> None:
        self._most = most
        self._counts = Guesses(database, GuessBounds(window=_BEGUN_WITHIN))

    def require_room(self, address: str, now: datetime) -> None:
        """Count one form; ``TooMany`` where it is one too many."""
        near, wide = ("begun", neighbourhood(address)), ("begun-block", block(address))
        self._counts.count({near: self._most, wide: self._most * _WIDER}, now, refusal=_too_many_begun)


class StoredShares:
    """Counts the bytes that an address has the portal keep within a day, for all portals on one database.

    ``most`` bytes of one address; a block of addresses may have ten times that, and never more than half of ``all_of_it``. What
    has ended meanwhile counts, too: whose it was is not written down beside it.
    """

    def __init__(self, database: PortalDatabase, most: int, *, all_of_it: int) -> None:
        self._most = max(1, most // _KIB)
        self._widest = max(self._most, min(self._most * _WIDER, all_of_it // 2 // _KIB))
        self._counts = Guesses(database, GuessBounds(window=_KEPT_WITHIN))

    def require_room(self, address: str, size: int, now: datetime) -> None:
        """Count ``size`` bytes, full KiB of them; ``TooMany`` where they are too many."""
        if size >= _KIB:
            bounds: dict[tuple[str, ...], int] = {
                ("kept", neighbourhood(address)): self._most,
                ("kept-block", block(address)): self._widest,
            }
            self._counts.count(bounds, now, refusal=_too_much_kept, more=size // _KIB, refused_too=False)


def paced(receive: Receive, *, clock: Callable[[], float] = time.monotonic, pause: float = _PAUSE) -> Receive:
    """Return a ``receive`` that ends a body that does not come on (``Malformed``, 408), however it spends its time."""
    waited, seen = 0.0, 0

    async def received() -> Message:
        nonlocal waited, seen
        began = clock()
        try:
            async with asyncio.timeout(pause):
                message = await receive()
        except TimeoutError as error:
            raise too_slow(_TOO_SLOW) from error
        waited += clock() - began
        seen += len(message.get("body", b""))
        if waited > _PATIENCE and seen < _RATE * (waited - _PATIENCE):
            raise too_slow(_TOO_SLOW)
        return message

    return received


def _too_many_begun(wait: timedelta) -> TooMany:
    minutes = max(1, -(-wait // _MINUTE))
    return TooMany(
        EasyText(
            f"Von Ihrer Adresse wurden in kurzer Zeit sehr viele Anträge angefangen. Versuchen Sie es in {minutes} "
            f"{'Minute' if minutes == 1 else 'Minuten'} noch einmal.",
            f"Very many applications were begun from your address in a short time. Try again in {minutes} "
            f"{'minute' if minutes == 1 else 'minutes'}.",
            easy="Es wurden sehr viele Anträge angefangen. "
            f"Warten Sie {minutes} {'Minute' if minutes == 1 else 'Minuten'}. Versuchen Sie es dann noch einmal.",
        ),
        retry_after=wait,
        for_people=True,
    )


def _too_much_kept(wait: timedelta) -> TooMany:
    hours = max(1, -(-wait // timedelta(hours=1)))
    return TooMany(
        EasyText(
            "Von Ihrer Adresse kamen innerhalb eines Tages sehr viele Dateien. Was Sie bisher angegeben haben, bleibt. Nehmen "
            f"Sie kleinere Dateien, oder versuchen Sie es in {hours} {'Stunde' if hours == 1 else 'Stunden'} noch einmal.",
            "Very many files came from your address within a day. What you have entered so far stays. Take smaller files, or "
            f"try again in {hours} {'hour' if hours == 1 else 'hours'}.",
            easy="Heute kamen schon sehr viele Dateien. Ihre Angaben sind noch da. Nehmen Sie kleinere Dateien. "
            f"Oder warten Sie {hours} {'Stunde' if hours == 1 else 'Stunden'}.",
        ),
        retry_after=wait,
        for_people=True,
    )


_TOO_OFTEN = EasyText(
    "Von Ihrer Adresse kamen in kurzer Zeit zu viele Anfragen. Warten Sie eine Minute.",
    "Too many requests came from your address in a short time. Wait a minute.",
    easy="Das war zu schnell. Warten Sie eine Minute.",
)
_AT_ONCE = EasyText(
    "Von Ihrer Adresse wird gerade sehr viel zugleich gesendet. Warten Sie eine Minute, und senden Sie Ihre Seite noch einmal.",
    "Very much is being sent from your address at the same time. Wait a minute, then send your page again.",
    easy="Gerade kommt zu viel auf einmal. Warten Sie eine Minute. Senden Sie die Seite dann noch einmal.",
)
_TOO_SLOW = EasyText(
    "Was Sie senden, kommt nur sehr langsam an oder gar nicht mehr.",
    "What you send comes in very slowly, or not any more.",
    easy="Ihre Daten kommen sehr langsam an. Versuchen Sie es noch einmal.",
)
