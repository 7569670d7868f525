"""The one dialler: every connection that the hub opens goes where it may, and all of one attempt end at one deadline.

The address that is judged is the one that is connected to, and not a name that is looked up once more, which leaves no gap
for DNS rebinding. Looking up counts against the deadline. The watch is a second handle on each connection: shutting it
down ends a handshake, a send or a read that hangs, also inside a library. One thread watches all deadlines of the process.

The way out to addresses that others chose: no way inward, no way round (server-side request forgery).

A request follows no redirect, asks no proxy, sends no credentials of its own, and ends at a deadline however slowly the
other side answers, its name's look-up included (:class:`~hub.transport.connection.Line`). An address is judged when it is
entered, and by the same rules when it is used.

Looking names up within a time limit, by few threads: the system's resolver knows no deadline.

A look-up that hangs goes on in its thread after nobody waits for it any more. So there are at most so many at once, those
for one name share one, and those below one domain get a part of them: somebody whose name server is silent holds up
nobody else's names for longer than their own time.
"""

from __future__ import annotations

import contextlib
import http.client
import logging
import math
import socket
import ssl
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Self
from urllib.parse import SplitResult

from hub.errors import Invalid, Text
from hub.model import reasons
from hub.model.reasons import Reason
from hub.transport.addresses import host_fault, is_public, literal, may_reach, url_parts

_log = logging.getLogger(__name__)

#: Look-ups under way at once, and of names that share their last two labels.
_MOST = 32
_MOST_OF_DOMAIN = 8
#: Addresses of one name that are judged and tried; nobody needs more.
_MOST_ADDRESSES = 64
#: Contexts of TLS kept: one for each file of authorities, in the state that it was read in.
_MOST_CONTEXTS = 128

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
        found: Sequence[str] = ()
        fault: BaseException | None = None
        try:
            found = self._look_up(host)
        except BaseException as exc:  # noqa: BLE001  # whoever waits hears of it
            fault = exc
        with self._room:
            # Before anybody hears the answer: who asks after that asks anew, and is not given this one again.
            self._end(host, domain)
        if fault is None:
            asked.set_result(found)
        else:
            asked.set_exception(fault)

    def _end(self, host: str, domain: str) -> None:
        self._under_way.pop(host, None)
        self._domains[domain] -= 1
        if not self._domains[domain]:
            del self._domains[domain]
        self._room.notify_all()


#: The process's own.
RESOLVER = Resolver()


class Deadlines:
    """What is to be done at which time of the monotonic clock, unless it is taken back; on one thread, begun at the first need.

    What is done must not wait: all other deadlines wait for it.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._due: dict[object, tuple[float, Callable[[], None]]] = {}
        self._next = math.inf
        self._thread: threading.Thread | None = None

    def put(self, key: object, at: float, act: Callable[[], None]) -> None:
        """Have ``act`` done at ``at``; ``key`` takes it back.

        Raises:
            OSError: there is no thread to be had, so nothing would watch.
        """
        with self._changed:
            self._due[key] = (at, act)
            # Also after a fork, which takes no thread along.
            if self._thread is None or not self._thread.is_alive():
                self._begin(key)
            elif at < self._next:
                self._changed.notify()

    def take_back(self, key: object) -> None:
        """Do not do it; it may be under way."""
        with self._changed:
            self._due.pop(key, None)

    def _begin(self, key: object) -> None:
        # A daemon: what it waits for must not keep the process from ending.
        self._thread = threading.Thread(target=self._run, name="deadlines", daemon=True)
        try:
            self._thread.start()
        except RuntimeError as exc:
            self._thread = None
            del self._due[key]
            raise OSError from exc

    def _run(self) -> None:
        while True:
            for act in self._over():
                try:
                    act()
                except Exception:  # noqa: BLE001  # one of them must not cost the others their ends
                    _log.exception("a deadline passed without what was to be done")

    def _over(self) -> list[Callable[[], None]]:
        """Wait for the next time and return what is due, which is taken away."""
        with self._changed:
            now = time.monotonic()
            self._next = min((at for at, _ in self._due.values()), default=math.inf)
            if self._next > now:
                # What is put later, and is due later, wakes nobody: the usual case costs no change of threads.
                self._changed.wait(None if self._next == math.inf else self._next - now)
                now = time.monotonic()
            over = [key for key, (at, _) in self._due.items() if at <= now]
            return [self._due.pop(key)[1] for key in over]


#: The process's own.
DEADLINES = Deadlines()


#: Addresses of one name that are tried, each with its share of the time that is left.
_TRIED = 4
_SHORTEST = 0.001


class Inward(OSError):
    """The name leads to an address that may not be reached: not public, and the settings do not open the own network."""


class NoHost(OSError):
    """Nothing can have such a name or address."""


class Line:
    """Dials out; usable as a context manager that hangs up.

    ``timeout``: seconds until everything is cut. ``public_only`` keeps it out of private networks; without it, it may reach
    the organisation's own networks (:func:`hub.transport.addresses.is_own`), and link-local addresses never.
    """

    def __init__(self, *, timeout: float, public_only: bool, resolver: Resolver = RESOLVER) -> None:
        self._deadline = time.monotonic() + timeout
        self._public_only = public_only
        self._resolver = resolver
        self._lock = threading.Lock()
        self._watches: list[socket.socket] = []
        self._borrowed: list[socket.socket] = []
        self._cut_off = False
        self._hung_up = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.hang_up()

    @property
    def late(self) -> bool:
        """Whether the deadline has passed."""
        return self._cut_off or self.left() <= 0

    def left(self) -> float:
        """Return the seconds that are left; not positive when late."""
        return self._deadline - time.monotonic()

    def addresses(self, host: str, port: int) -> list[tuple[str, int]]:
        """Return the judged addresses of a host.

        Raises:
            Inward: one of them may not be reached (one among several is an attempt, not an accident).
            NoHost: the name can be nobody's.
            OSError: the name is not found, or not in time (:class:`~hub.transport.connection.LookUpLate`).
        """
        written = literal(host)
        if written is not None and not may_reach(written, private=not self._public_only):
            raise Inward
        if host_fault(host) is not None:
            raise NoHost
        found = [host] if written is not None else self._resolver.addresses(host, within=self.left())
        judged = [literal(address) for address in found]
        if not all(each is not None and may_reach(each, private=not self._public_only) for each in judged):
            raise Inward
        return [(address, port) for address in found]

    def dial(self, host: str, port: int) -> socket.socket:
        """Connect to the first address that answers; errors as :meth:`addresses`, or OSError if none does."""
        addresses = self.addresses(host, port)[:_TRIED]
        for waiting, address in zip(range(len(addresses) - 1, 0, -1), addresses, strict=False):
            with contextlib.suppress(OSError):
                return self._watched(address, self.left() / (waiting + 1))
        return self._watched(addresses[-1], self.left())

    def watch(self, handle: socket.socket) -> None:
        """Cut a connection that was dialled before at this deadline, too; ``handle`` is its owner's, who closes it.

        Raises:
            OSError: there is nobody to watch.
        """
        with self._lock:
            if self._hung_up:
                raise ConnectionAbortedError
            self._borrowed.append(handle)
        DEADLINES.put(self, self._deadline, self._cut)

    def hang_up(self) -> None:
        """Stop watching; connections are closed by those who hold them. What is being dialled meanwhile is given up."""
        DEADLINES.take_back(self)
        # Who cuts holds the lock, too: no number of a handle is anybody else's by then.
        with self._lock:
            self._hung_up = True
            self._borrowed.clear()
            for watch in self._watches:
                watch.close()
            self._watches.clear()

    def _watched(self, address: tuple[str, int], within: float) -> socket.socket:
        dialled = socket.create_connection(address, timeout=max(_SHORTEST, within))
        try:
            dialled.settimeout(max(_SHORTEST, self.left()))
            dialled.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with self._lock:
                if self._hung_up:
                    raise ConnectionAbortedError
                self._watches.append(dialled.dup())
            DEADLINES.put(self, self._deadline, self._cut)
        except OSError:
            dialled.close()
            raise
        return dialled

    def _cut(self) -> None:
        self._cut_off = True
        with self._lock:
            for watch in (*self._watches, *self._borrowed):
                with contextlib.suppress(OSError):
                    watch.shutdown(socket.SHUT_RDWR)


#: What an error of the system or a library means, the first that fits.
_REASONS: Mapping[type[BaseException], Reason] = {
    Inward: reasons.NOT_PUBLIC,
    NoHost: reasons.NO_HOST,
    UnicodeError: reasons.NO_HOST,
    LookUpLate: reasons.LOOKUP_LATE,
    socket.gaierror: reasons.NOT_FOUND,
    ssl.SSLCertVerificationError: reasons.TLS_NOT_TRUSTED,
    ssl.SSLEOFError: reasons.CONNECTION_LOST,
    ssl.SSLZeroReturnError: reasons.CONNECTION_LOST,
    ssl.SSLError: reasons.TLS_REFUSED,
    ConnectionRefusedError: reasons.CONNECTION_REFUSED,
    ConnectionError: reasons.CONNECTION_LOST,
    TimeoutError: reasons.TIMED_OUT,
}
#: They tell nothing of the other side: nothing was sent, and nothing is known of when it would be.
BEFORE_CONNECTING = frozenset({reasons.NOT_PUBLIC, reasons.NO_HOST, reasons.NOT_FOUND, reasons.LOOKUP_LATE})
#: What only a person can mend, on either side.
CONFIGURED = frozenset({reasons.NOT_PUBLIC, reasons.NO_HOST, reasons.TLS_NOT_TRUSTED, reasons.TLS_REFUSED})


def reason_for(error: BaseException, *, late: bool) -> Reason:
    """Say why a connection that ended with ``error`` came to nothing. Libraries' own words may quote what was sent.

    ``late``: the deadline was over, so that what broke was broken by the hub.
    """
    found = next((reason for kind, reason in _REASONS.items() if isinstance(error, kind)), reasons.NOT_REACHABLE)
    return reasons.TIMED_OUT if late and found not in BEFORE_CONNECTING else found


_PORTS = {"http": 80, "https": 443}
#: Beside https's own port, addresses that others chose may name those that no service of a system has (RFC 6335).
_FIRST_FREE_PORT = 1024


@dataclass(frozen=True, kw_only=True, slots=True)
class Posted:
    """What came of one request: the answer's status, or None and a note (no payload, no secret) where there was none.

    ``content`` is the answer's body as far as it was read, ``headers`` its header fields by their names in lower case,
    ``certificate`` the other side's, in DER, where TLS was spoken.
    """

    status: int | None
    note: str
    content: bytes = field(repr=False, default=b"")
    headers: Mapping[str, str] = field(repr=False, default_factory=dict)
    certificate: bytes = field(repr=False, default=b"")

    @property
    def taken(self) -> bool:
        """Whether the other side said yes (2xx)."""
        return self.status is not None and 200 <= self.status < 300  # noqa: PLR2004  # HTTP's own numbers


@dataclass(frozen=True, kw_only=True, slots=True)
class Outbound:
    """Sends requests to foreign addresses.

    ``allow_private_addresses`` opens private networks and plain http; for development and tests only. ``any_port`` opens the
    ports of system services, for addresses that an operator chose. ``timeout`` is for the whole request, in seconds; of the
    answer at most ``answer_limit`` bytes are read.
    """

    allow_private_addresses: bool = False
    any_port: bool = False
    timeout: float = 10.0
    answer_limit: int = 16 * 1024
    resolver: Resolver = field(repr=False, default=RESOLVER)

    def require_url(self, url: str) -> None:
        """Judge an address by its form, before anything is sent to it.

        Raises:
            Invalid: no https URL, or one with credentials, an impossible host or port, or an address that is not public.
        """
        self._parsed(url)

    def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> Posted:
        """Post ``body`` once and say what came of it."""
        return self._send("POST", url, body, headers)

    def get(self, url: str, headers: Mapping[str, str]) -> Posted:
        """Ask for ``url`` once and say what came of it."""
        return self._send("GET", url, None, headers)

    def _send(self, method: str, url: str, body: bytes | None, headers: Mapping[str, str]) -> Posted:
        try:
            target = self._parsed(url)
        except Invalid:
            return _silent(reasons.NO_ADDRESS)
        with Line(timeout=self.timeout, public_only=not self.allow_private_addresses, resolver=self.resolver) as line:
            connection = _Connection(line, target)
            # Headers are the hub's own: one that cannot be sent is a bug, and raises before anything is sent.
            connection.begin(method, target, body, headers)
            try:
                return self._heard(connection, body)
            except Exception as error:  # noqa: BLE001  # whatever a library raises at what a stranger sends, it is no answer
                return _silent(_why(error, late=line.late))
            finally:
                connection.close()

    def _heard(self, connection: _Connection, body: bytes | None) -> Posted:
        connection.endheaders(body)
        answer = connection.getresponse()
        spoken = connection.sock
        certificate = spoken.getpeercert(binary_form=True) if isinstance(spoken, ssl.SSLSocket) else None
        content = answer.read(self.answer_limit)
        return Posted(
            status=answer.status,
            note=reasons.http_note(answer.status),
            content=content,
            headers={name.lower(): value for name, value in answer.getheaders()},
            certificate=certificate or b"",
        )

    def _parsed(self, url: str) -> SplitResult:
        try:
            target = url_parts(url, _PORTS if self.allow_private_addresses else {"https"})
        except Invalid as exc:
            raise _refused(exc.detail) from exc
        address = literal(target.hostname or "")
        if address is not None and not may_reach(address, private=self.allow_private_addresses):
            raise _refused(_NOT_PUBLIC)
        usual = target.port is None or target.port == _PORTS[target.scheme] or target.port >= _FIRST_FREE_PORT
        if not usual and not self.any_port and not self.allow_private_addresses:
            raise _refused(_WRONG_PORT)
        return target


def dial_own(host: str, port: int, seconds: float) -> socket.socket:
    """Connect to a server that only the operator names: into the own network, and never to where clouds give credentials.

    Raises:
        OSError: the address may not be reached, or nobody answers within so many seconds.
    """
    with Line(timeout=seconds, public_only=False) as line:
        return line.dial(host, port)


def client_context(ca_file: str | None = None) -> ssl.SSLContext:
    """Return the client's side of TLS, trusting ``ca_file`` alone or, without one, the system's authorities.

    All who trust the same share it, for reading the system's authorities takes longer than a delivery. Nothing of a receiver's
    own belongs into it: who shows a certificate makes a context for that. A file that changed is read anew.

    Raises:
        OSError: the file cannot be read, or holds no certificates (``ssl.SSLError`` is one).
    """
    system = ssl.get_default_verify_paths()
    places = (ca_file,) if ca_file else (system.cafile, system.capath)
    return _client_context(ca_file, tuple(map(_state, places)))


@lru_cache(maxsize=_MOST_CONTEXTS)
def _client_context(ca_file: str | None, _states: tuple[object, ...]) -> ssl.SSLContext:
    """Read the authorities; ``_states`` are those of their places, so that what changed is read anew."""
    return ssl.create_default_context(cafile=ca_file)


def _state(place: str | None) -> tuple[object, ...]:
    """Return what differs when a file or folder was changed or replaced."""
    try:
        seen = Path(place).stat() if place else None
    except OSError:
        return (place,)
    return (place, seen and (seen.st_dev, seen.st_ino, seen.st_size, seen.st_mtime_ns))


class _Connection(http.client.HTTPConnection):
    """One request's connection on a line."""

    def __init__(self, line: Line, target: SplitResult) -> None:
        super().__init__(target.hostname or "", target.port or _PORTS[target.scheme])
        self._line = line
        self._secure = target.scheme == "https"

    def begin(self, method: str, target: SplitResult, body: bytes | None, headers: Mapping[str, str]) -> None:
        """Write the head, which sends nothing yet."""
        path = (target.path or "/") + (f"?{target.query}" if target.query else "")
        self.putrequest(method, path)
        length = {} if body is None else {"Content-Length": str(len(body))}
        for name, value in {**length, **headers}.items():
            self.putheader(name, value)

    def connect(self) -> None:
        """Dial."""
        dialled = self._line.dial(self.host, self.port)
        self.sock = dialled
        if self._secure:
            self.sock = client_context().wrap_socket(dialled, server_hostname=self.host)


def _why(error: Exception, *, late: bool) -> Reason:
    """Name a failure for operators; messages of libraries may quote what was sent."""
    if isinstance(error, http.client.HTTPException) and not isinstance(error, ConnectionError):
        return reasons.SILENT_IN_TIME if late else reasons.NOT_SPOKEN
    found = reason_for(error, late=late)
    return _AS_CALLED.get(found.code, found)


#: Nobody here knows how far a request got, and whether an address is refused before or after its name was looked up.
_AS_CALLED = {
    reasons.TIMED_OUT.code: reasons.SILENT_IN_TIME,
    reasons.NOT_PUBLIC.code: reasons.NO_ADDRESS,
    reasons.NO_HOST.code: reasons.NO_ADDRESS,
}


def _silent(reason: Reason) -> Posted:
    return Posted(status=None, note=reason.note)


_NOT_PUBLIC = Text("Sie muss im öffentlichen Netz liegen.", "It must lie in the public network.")
_WRONG_PORT = Text(
    f"Als Port sind 443 und die ab {_FIRST_FREE_PORT} möglich.",
    f"Its port may be 443 or one from {_FIRST_FREE_PORT} on.",
)


def _refused(fault: Text) -> Invalid:
    return Invalid(
        Text(
            f"Die Adresse wird nicht angenommen. {fault.de} Geben Sie eine https-Adresse im öffentlichen Netz an.",
            f"The address is not taken. {fault.en} Give an https address in the public network.",
        ),
        slug="callback-url-refused",
    )


__all__ = ["Outbound", "Posted", "dial_own", "is_public"]
