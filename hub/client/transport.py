"""How requests leave: the values, the one method that is asked of a transport, and the transport on ``requests``.

A transport sends one request and hands out one answer, whatever its status; it follows no redirect. Where none came it raises
``Unavailable`` with the slug :data:`UNREACHABLE`, or something of its own, which passes through to whoever handed it in.

:class:`Direct` knows proxies, credentials and authorities from nowhere but its arguments. :class:`Retrying` repeats around any
other what may be repeated: a request says itself whether it may.
"""

from __future__ import annotations

import ssl
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from ipaddress import ip_address
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Protocol, Self
from urllib.parse import urlsplit

from hub import __version__
from hub.errors import ConfigurationError, Text, Unavailable
from hub.model import utc_now

# The library takes a tenth of a second, and whoever hands in a transport of his own does without it.
if TYPE_CHECKING:
    import requests

#: The slug of what never reached the other side, or whose answer never came.
UNREACHABLE = "hub-unreachable"
#: Statuses that pass by themselves (RFC 9110 section 15, RFC 6585).
PASSING = frozenset({408, 425, 429, 500, 502, 503, 504})
_CHUNK = 256 * 1024
_LONGEST_WISH = timedelta(hours=1)

#: A body: bytes, or what opens a stream of them anew at each call, so that a repeat sends the same.
Content = bytes | Callable[[], Iterable[bytes]]


@dataclass(frozen=True, kw_only=True, slots=True)
class Request:
    """One request. ``length``: bytes of a streamed ``content``, None if nobody knows; ``repeatable``: twice is as once."""

    method: str
    url: str
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    content: Content = field(default=b"", repr=False)
    length: int | None = None
    repeatable: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Response:
    """One answer: header names in lower case; ``chunks`` can be read once, within the exchange."""

    status: int
    headers: Mapping[str, str] = field(repr=False)
    chunks: Iterator[bytes] = field(repr=False)


class Transport(Protocol):
    """What sends requests."""

    def exchange(self, request: Request) -> AbstractContextManager[Response]:
        """Send ``request``; the answer may be read until the context ends.

        Raises:
            Unavailable: no answer came (slug :data:`UNREACHABLE`), also while the body is read.
        """
        ...


class Direct:
    """The transport on ``requests``: TLS against the system's authorities or ``ca_file`` (PEM), no proxy, no redirect.

    As a context manager it keeps connections open between requests; otherwise each request has its own. ``timeout``: seconds
    to connect, and between two pieces of an answer. Secrets and tokens go nowhere without TLS but to this very machine,
    unless ``allow_http`` (a network of one's own).
    """

    def __init__(
        self,
        *,
        ca_file: Path | None = None,
        timeout: tuple[float, float] = (10, 60),
        user_agent: str = f"rathaus-hub-client/{__version__}",
        allow_http: bool = False,
    ) -> None:
        self._ca_file = ca_file
        self._timeout = timeout
        self._user_agent = user_agent
        self._allow_http = allow_http
        self._kept: requests.Session | None = None

    def __enter__(self) -> Self:
        self._kept = self._session()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._kept is not None:
            self._kept.close()
            self._kept = None

    @contextmanager
    def exchange(self, request: Request) -> Iterator[Response]:
        """Send ``request``; ``ConfigurationError`` if its address is none to send secrets to."""
        if not self._allow_http:
            _require_tls(request.url)
        with ExitStack() as stack:
            session = self._kept or stack.enter_context(self._session())
            with _translated():
                answer = stack.enter_context(
                    session.request(
                        request.method,
                        request.url,
                        data=_body(request),
                        headers=dict(request.headers),
                        timeout=self._timeout,
                        stream=True,
                        allow_redirects=False,
                    )
                )
            headers = {name.lower(): value for name, value in answer.headers.items()}
            yield Response(status=answer.status_code, headers=headers, chunks=_chunks(answer))

    def _session(self) -> requests.Session:
        import requests

        session = requests.Session()
        session.trust_env = False  # What was handed in is all there is: no proxy, no .netrc.
        session.headers["User-Agent"] = self._user_agent
        if self._ca_file is not None:
            session.verify = str(self._ca_file)
        return session


def _require_tls(url: str) -> None:
    parts = urlsplit(url)
    if parts.scheme == "https" or (parts.scheme == "http" and is_loopback(parts.hostname)):
        return
    raise ConfigurationError(
        Text(
            "Die Adresse des Hubs muss mit https:// beginnen: Ohne TLS liest jeder auf dem Weg Zugangsdaten und Inhalte.",
            "The hub's address must begin with https://: without TLS everybody on the way reads secrets and contents.",
        )
    )


def is_loopback(host: str | None) -> bool:
    """Tell whether a host can only be this machine."""
    if host == "localhost":
        return True
    try:
        return host is not None and ip_address(host).is_loopback
    except ValueError:
        return False


class _Sized:
    """A stream whose length is known, so that it is announced and not sent in chunks."""

    def __init__(self, chunks: Iterable[bytes], length: int) -> None:
        self._chunks = chunks
        self._length = length

    def __len__(self) -> int:
        return self._length

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._chunks)


def _body(request: Request) -> Any:
    if isinstance(request.content, bytes):
        return request.content or None
    chunks = request.content()
    return iter(chunks) if request.length is None else _Sized(chunks, request.length)


def _chunks(answer: requests.Response) -> Iterator[bytes]:
    with _translated():
        yield from answer.iter_content(_CHUNK)


@contextmanager
def _translated() -> Iterator[None]:
    import requests

    try:
        yield
    except requests.RequestException as exc:
        raise Unavailable(_trouble(exc), slug=UNREACHABLE) from exc


def _trouble(error: BaseException) -> Text:
    fault = certificate_fault(error)
    if fault is None:
        return Text(
            "Der Hub ist nicht erreichbar. Prüfen Sie, ob er läuft, und seine Adresse.",
            "The hub cannot be reached. Check that it runs, and its address.",
        )
    return Text(
        f"Dem TLS-Zertifikat des Hubs wird nicht vertraut ({fault}). Nennen Sie in ca_file das Zertifikat seiner "
        "Zertifizierungsstelle, oder berichtigen Sie den Hostnamen.",
        f"The TLS certificate of the hub is not trusted ({fault}). Name its authority's certificate in ca_file, or correct "
        "the host name.",
    )


def certificate_fault(error: BaseException) -> str | None:
    """Return OpenSSL's words on a certificate behind ``error``, None if there is none; they quote nothing but the host."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return cause.verify_message.rstrip(".")
        cause = cause.__cause__ or cause.__context__
    return None


@dataclass(frozen=True, kw_only=True, slots=True)
class Patience:
    """How often a request is repeated at most, and how long a pause may be; it doubles from ``first`` on."""

    repeats: int = 3
    first: timedelta = timedelta(milliseconds=500)
    longest: timedelta = timedelta(seconds=30)


class Retrying:
    """Repeats around ``transport`` what may be repeated, where no answer came or one that passes by itself.

    The other side's ``Retry-After`` is kept to; where it asks for a longer pause than ``patience`` has, its answer counts.
    """

    def __init__(
        self, transport: Transport, *, patience: Patience | None = None, wait: Callable[[float], None] = time.sleep
    ) -> None:
        self._transport = transport
        self._patience = patience or Patience()
        self._wait = wait

    @contextmanager
    def exchange(self, request: Request) -> Iterator[Response]:
        """Send ``request``, several times if need be."""
        with ExitStack() as stack:
            yield self._last(request, stack)

    def _last(self, request: Request, stack: ExitStack) -> Response:
        pause = self._patience.first
        for _repeat in range(self._patience.repeats if request.repeatable else 0):
            with ExitStack() as attempt:
                wish = None
                try:
                    response = attempt.enter_context(self._transport.exchange(request))
                except Unavailable as exc:
                    if exc.slug != UNREACHABLE:
                        raise
                else:
                    wish = retry_after(response.headers, utc_now())
                    if response.status not in PASSING or (wish or pause) > self._patience.longest:
                        stack.push(attempt.pop_all())
                        return response
            self._wait((wish or pause).total_seconds())
            pause = min(2 * pause, self._patience.longest)
        return stack.enter_context(self._transport.exchange(request))


def retry_after(headers: Mapping[str, str], now: datetime) -> timedelta | None:
    """Return what ``Retry-After`` asks for (seconds or a date), an hour at most; None if it is absent, unreadable or past."""
    value = headers.get("retry-after", "")
    if value.isascii() and value.isdigit():
        return min(timedelta(seconds=int(value[:9])), _LONGEST_WISH)
    try:
        wait = parsedate_to_datetime(value).astimezone(UTC) - now
    except (ValueError, OverflowError):
        return None
    return min(wait, _LONGEST_WISH) if wait > timedelta(0) else None
