"""Looking names up within a time limit, by few threads: the system's resolver knows no deadline.

A look-up that hangs goes on in its thread after nobody waits for it any more. So there are at most so many at once, those
for one name share one, and those below one domain get a part of them: somebody whose name server is silent holds up
nobody else's names for longer than their own time.
"""

from __future__ import annotations

import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import Future

#: Look-ups under way at once, and of names that share their last two labels.
_MOST = 32
_MOST_OF_DOMAIN = 8
#: Addresses of one name that are judged and tried; nobody needs more.
_MOST_ADDRESSES = 64

#: Returns the addresses of a name; raises ``OSError`` if there is none.
LookUp = Callable[[str], Sequence[str]]


class LookUpLate(TimeoutError):
    """The name's addresses were not known in time."""


def _ask_system(host: str) -> Sequence[str]:
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except (UnicodeError, ValueError) as exc:  # A name that none can have.
        raise socket.gaierror(socket.EAI_NONAME, "no name") from exc
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))[:_MOST_ADDRESSES]


class Resolver:
    """Looks names up. Thread-safe; shared by all connections of a process."""

    def __init__(
        self, look_up: LookUp = _ask_system, *, most: int = _MOST, most_of_domain: int = _MOST_OF_DOMAIN
    ) -> None:
        self._look_up = look_up
        self._most = most
        self._most_of_domain = most_of_domain
        self._room = threading.Condition()
        self._under_way: dict[str, Future[Sequence[str]]] = {}
        self._domains: Counter[str] = Counter()

    def addresses(self, host: str, *, within: float) -> Sequence[str]:
        """Return the addresses of a name, as text.

        Raises:
            LookUpLate: they were not known ``within`` so many seconds.
            OSError: there are none.
        """
        until = time.monotonic() + within
        asked = self._asked(host.lower(), until)
        try:
            return asked.result(max(0.0, until - time.monotonic()))
        except TimeoutError as exc:
            if asked.done():
                raise
            raise LookUpLate from exc

    def under_way(self) -> int:
        """Return how many look-ups have not ended, whether somebody waits for them or not."""
        with self._room:
            return len(self._under_way)

    def _asked(self, host: str, until: float) -> Future[Sequence[str]]:
        """Return the look-up of a name that is under way, or begin one as soon as there is room."""
        domain = ".".join(host.split(".")[-2:])
        with self._room:
            while host not in self._under_way:
                if len(self._under_way) < self._most and self._domains[domain] < self._most_of_domain:
                    return self._begin(host, domain)
                left = until - time.monotonic()
                if left <= 0 or not self._room.wait(left):
                    raise LookUpLate
            return self._under_way[host]

    def _begin(self, host: str, domain: str) -> Future[Sequence[str]]:
        asked: Future[Sequence[str]] = Future()
        # A daemon: a look-up that hangs must not keep the process from ending.
        thread = threading.Thread(target=self._work, args=[host, domain, asked], name="resolve", daemon=True)
        self._under_way[host] = asked
        self._domains[domain] += 1
        try:
            thread.start()
        except RuntimeError as exc:  # No thread to be had.
            self._end(host, domain)
            raise LookUpLate from exc
        return asked

    def _work(self, host: str, domain: str, asked: Future[Sequence[str]]) -> None:
        try:
            found = self._look_up(host)
        except BaseException as exc:  # noqa: BLE001  # whoever waits hears of it
            asked.set_exception(exc)
        else:
            asked.set_result(found)
        finally:
            with self._room:
                self._end(host, domain)

    def _end(self, host: str, domain: str) -> None:
        self._under_way.pop(host, None)
        self._domains[domain] -= 1
        if not self._domains[domain]:
            del self._domains[domain]
        self._room.notify_all()


#: The process's own.
RESOLVER = Resolver()
