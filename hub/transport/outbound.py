"""The way out to addresses that others chose: no way inward, no way round (server-side request forgery).

A request follows no redirect, asks no proxy, sends no credentials of its own, and ends at a deadline however slowly the
other side answers, its name's look-up included (:class:`~hub.transport.connection.Line`). An address is judged when it is
entered, and by the same rules when it is used.
"""

from __future__ import annotations

import http.client
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import SplitResult

from hub.errors import Invalid, Text
from hub.model import reasons
from hub.model.reasons import Reason
from hub.transport.addresses import is_public, may_reach
from hub.transport.connection import Line, reason_for
from hub.transport.hosts import literal, url_parts
from hub.transport.resolving import RESOLVER, Resolver

_PORTS = {"http": 80, "https": 443}
#: Beside https's own port, addresses that others chose may name those that no service of a system has (RFC 6335).
_FIRST_FREE_PORT = 1024


@dataclass(frozen=True, kw_only=True, slots=True)
class Posted:
    """What came of one request: the answer's status, or None and a note (no payload, no secret) where there was none.

    ``content`` is the answer's body as far as it was read.
    """

    status: int | None
    note: str
    content: bytes = field(repr=False, default=b"")

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

    def check(self, url: str) -> None:
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
        content = answer.read(self.answer_limit)
        return Posted(status=answer.status, note=reasons.http_note(answer.status), content=content)

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
            self.sock = ssl.create_default_context().wrap_socket(dialled, server_hostname=self.host)


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


__all__ = ["Outbound", "Posted", "is_public"]
