"""Push to a receiving system over HTTPS: one signed JSON envelope per delivery, holding sealed contents only.

An attempt makes one connection and ends by its deadline, whatever the other side does. What an answer means stands in
:func:`judge`; no answer after the whole body went out is *unknown*, before that *unreachable*. The
body of an answer is never read.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import ipaddress
import socket
import ssl
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from functools import partial
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import orjson
import requests
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection

from hub.crypto.hmacs import sign_callback
from hub.delivery import Adapter
from hub.errors import ConfigurationError, Text, Unavailable
from hub.outbound import is_public
from hub.submission import DeadCause, Outcome, OutcomeKind, Package, Sealed

_SECRET_LENGTHS = range(32, 513)  # FIT-Connect's rule for callback secrets, in bytes.
_LONGEST_WISH = timedelta(days=1)  # A receiver's Retry-After beyond this is capped.
_TYPES: Mapping[str, Any] = {
    **dict.fromkeys(("url", "secret_file", "client_cert_file", "client_key_file", "ca_file"), str),
    **dict.fromkeys(("allow_http", "allow_private_addresses"), bool),
    "timeout": (int, float),
    "inline_limit": int,
}
#: What an answer means; a status that is not named counts by its class (a redirect is not followed).
_MEANINGS: Mapping[int, tuple[OutcomeKind, DeadCause | None]] = {
    **dict.fromkeys((400, 413, 415, 422), (OutcomeKind.REFUSED, DeadCause.PAYLOAD)),
    # Wrong credentials or path heal once somebody corrects either side.
    **dict.fromkeys((401, 403, 404, 407), (OutcomeKind.UNREACHABLE, DeadCause.CONFIGURATION)),
    **dict.fromkeys((408, 425, 429), (OutcomeKind.UNREACHABLE, None)),
    # Another attempt with this key is being worked on, or was.
    409: (OutcomeKind.UNKNOWN, None),
    410: (OutcomeKind.REFUSED, DeadCause.RECEIVER),
}
_CLASSES: Mapping[int, tuple[OutcomeKind, DeadCause | None]] = {
    2: (OutcomeKind.DELIVERED, None),
    5: (OutcomeKind.UNREACHABLE, None),
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Options:
    """``timeout``: seconds for a whole attempt; ``inline_limit``: bytes above which attachments go by URL.

    ``allow_http`` and ``allow_private_addresses`` are for tests and for receivers inside the hub's own network.
    """

    url: str
    secret_file: str
    client_cert_file: str | None = None
    client_key_file: str | None = None
    ca_file: str | None = None
    timeout: float = 30.0
    inline_limit: int = 8 * 1024 * 1024
    allow_http: bool = False
    allow_private_addresses: bool = False

    def __post_init__(self) -> None:
        parts = urlsplit(self.url)
        if parts.scheme not in ({"https", "http"} if self.allow_http else {"https"}) or not parts.hostname:
            raise _unusable("braucht in url eine https-Adresse", "needs an https address in url")
        if parts.username or parts.password or parts.query or parts.fragment:
            raise _unusable("erlaubt in url nur Host und Pfad", "allows only host and path in url")
        if not 0 < self.timeout <= 600 or self.inline_limit < 0:  # noqa: PLR2004  # Ten minutes hold a worker long enough.
            raise _unusable(
                "braucht 0 < timeout <= 600 und inline_limit >= 0", "needs 0 < timeout <= 600, inline_limit >= 0"
            )


class Https:
    """POST deliveries to ``url`` with Idempotency-Key and an HMAC-SHA512 over timestamp and body."""

    name = "https"

    def __init__(self, config: Mapping[str, Any]) -> None:
        wrong = {key for key, value in config.items() if not isinstance(value, _TYPES.get(key, ()))}
        wrong |= {"url", "secret_file"} - set(config)
        if wrong:
            names = ", ".join(sorted(wrong))
            raise _unusable(f"hat falsche oder fehlende Optionen: {names}", f"has wrong or missing options: {names}")
        self._options = Options(**config)

    def open(self) -> None:
        """Read the secret and the TLS files; ``ConfigurationError`` if they cannot be used."""
        options = self._options
        try:
            self._secret = Path(options.secret_file).read_text("utf-8").strip()
            self._tls = ssl.create_default_context(cafile=options.ca_file)
            if options.client_cert_file is not None:
                self._tls.load_cert_chain(options.client_cert_file, options.client_key_file)
        except (OSError, UnicodeDecodeError) as exc:
            raise _unusable("kann seine Dateien nicht lesen", "cannot read its files") from exc
        if len(self._secret.encode()) not in _SECRET_LENGTHS:
            raise _unusable("braucht ein Geheimnis von 32 bis 512 Byte", "needs a secret of 32 to 512 bytes")

    def deliver(self, package: Package) -> Outcome:
        """Make one attempt."""
        try:
            body = io.BytesIO(envelope(package, self._options.inline_limit))
        except _Mixed:
            return Outcome(kind=OutcomeKind.REFUSED, note="stored content does not match", cause=DeadCause.HUB)
        except Unavailable as exc:
            return Outcome(kind=OutcomeKind.UNREACHABLE, note=f"content not readable: {exc.slug}", cause=DeadCause.HUB)
        line = _Line(self._tls, self._options)
        with requests.Session() as session:
            session.trust_env = False  # A proxy or .netrc of the environment would bypass the address check.
            session.mount("https://", line)
            session.mount("http://", line)
            return self._post(session, line, body, self._headers(package, body.getvalue()))

    def close(self) -> None:
        """Hold no connection between attempts."""

    def _headers(self, package: Package, body: bytes) -> dict[str, str]:
        timestamp = int(time.time())  # An adapter is the edge: the receiver compares this with its own clock.
        return {
            "Content-Type": "application/json",
            "User-Agent": "rathaus-hub",
            "Idempotency-Key": str(package.delivery_id),
            "Callback-Timestamp": str(timestamp),
            "Callback-Authentication": sign_callback(self._secret, timestamp, body),
        }

    def _post(self, session: requests.Session, line: _Line, body: io.BytesIO, headers: dict[str, str]) -> Outcome:
        options = self._options
        try:
            with session.post(
                options.url, data=body, headers=headers, timeout=options.timeout, allow_redirects=False, stream=True
            ) as answer:
                if line.late:  # A head that was cut short by hanging up can look whole.
                    return Outcome(kind=OutcomeKind.UNKNOWN, note="no answer in time")
                return judge(answer.status_code, answer.headers.get("Retry-After"), datetime.now(UTC))
        except requests.RequestException as exc:
            return line.explain(exc, taken=body.tell(), size=len(body.getvalue()))
        finally:
            line.hang_up()


def judge(status: int, retry_after: str | None, now: datetime) -> Outcome:
    """Say what an answer means for the delivery (RFC 9110 § 15, RFC 6585)."""
    kind, cause = _MEANINGS.get(status) or _CLASSES.get(status // 100, (OutcomeKind.REFUSED, DeadCause.CONFIGURATION))
    wish = _wish(retry_after, now) if kind is OutcomeKind.UNREACHABLE else None
    return Outcome(kind=kind, note=f"HTTP {status}", retry_after=wish, disable=status == HTTPStatus.GONE, cause=cause)


def _wish(value: str | None, now: datetime) -> timedelta | None:
    """Read Retry-After (seconds or HTTP date), capped; None if absent, unreadable or past."""
    try:
        if value is None:
            return None
        if value.isascii() and value.isdigit():
            return timedelta(seconds=min(int(value[:9]), _LONGEST_WISH.total_seconds()))
        wait = parsedate_to_datetime(value).astimezone(UTC) - now
    except (ValueError, OverflowError):
        return None
    return min(wait, _LONGEST_WISH) if wait > timedelta(0) else None


def envelope(package: Package, inline_limit: int) -> bytes:
    """Build the JSON envelope; attachments that would take it past ``inline_limit`` bytes go by URL."""
    submission = package.submission
    contents = submission.contents
    room = inline_limit - contents.metadata.size - (contents.data.size if contents.data else 0)
    attachments: list[dict[str, Any]] = []
    for attachment_id, sealed in contents.attachments.items():
        entry: dict[str, Any] = {"attachmentId": attachment_id, "sha512": sealed.sha512, "size": sealed.size}
        if sealed.size <= room:
            room -= sealed.size
            entry["jwe"] = _whole(package, sealed)
        else:
            path = f"/submission-api/v2/submissions/{submission.submission_id}/attachments/{attachment_id}"
            entry["url"] = package.base_url + path
        attachments.append(entry)
    document = {
        "version": 1,
        "deliveryId": package.delivery_id,
        "attempt": package.attempt,
        "repeat": package.repeat,
        "submissionId": submission.submission_id,
        "caseId": submission.case_id,
        "destinationId": submission.destination_id,
        "publicService": {"identifier": submission.service.identifier, "name": submission.service.name},
        "submittedAt": submission.submitted_at,
        "eventLog": list(package.event_log),
        "encryptedMetadata": _whole(package, contents.metadata),
        "encryptedData": None if contents.data is None else _whole(package, contents.data),
        "attachments": attachments,
    }
    return orjson.dumps(document)


def _whole(package: Package, sealed: Sealed) -> str:
    """Read one content and make sure that it is the one that the submission names (its tag alone binds nothing)."""
    content = b"".join(package.read(sealed))
    if hashlib.sha512(content).hexdigest() != sealed.sha512:
        raise _Mixed
    return content.decode("ascii")


class _Mixed(Exception):  # Never leaves this file.
    """A stored content is not the one that the submission names."""


def _unusable(de: str, en: str) -> ConfigurationError:
    return ConfigurationError(Text(f"Der Adapter https {de}.", f"The adapter https {en}."))


class _Line(HTTPAdapter):
    """One attempt's way out: connects only to addresses it has judged itself, and hangs up at the deadline.

    Judging the address that is then connected to (and not a name that is looked up once more) leaves no gap for DNS
    rebinding. The watch is a second handle on the same connection: shutting it down ends handshakes, sends and reads.
    """

    def __init__(self, tls: ssl.SSLContext, options: Options) -> None:
        self._context = tls
        self._public_only = not options.allow_private_addresses
        self._deadline = time.monotonic() + options.timeout
        self._watch: socket.socket | None = None
        self._timer: threading.Timer | None = None
        self._inward = False
        self.late = False
        super().__init__()

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs, ssl_context=self._context)

    def cert_verify(self, conn: Any, *_args: Any) -> None:
        conn.cert_reqs = "CERT_REQUIRED"  # The context has the trust anchors; requests would add its own bundle.

    def get_connection_with_tls_context(self, *args: Any, **kwargs: Any) -> Any:
        pool: Any = super().get_connection_with_tls_context(*args, **kwargs)
        pool.ConnectionCls = partial(_Tls if pool.scheme == "https" else _Plain, dial=self._dial)
        return pool

    def _dial(self, host: str, port: int) -> socket.socket:
        addresses = [found[4][:2] for found in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]
        self._inward = self._public_only and not all(_judged(address) for address, _port in addresses)
        if self._inward:
            raise OSError("address not public")  # urllib3 catches it; explain() speaks.
        dialled = _first(addresses, self._deadline)
        self._watch = dialled.dup()
        self._timer = threading.Timer(max(0.0, self._deadline - time.monotonic()), self._cut)
        self._timer.daemon = True
        self._timer.start()
        return dialled

    def _cut(self) -> None:
        self.late = True
        if self._watch is not None:
            with contextlib.suppress(OSError):
                self._watch.shutdown(socket.SHUT_RDWR)

    def hang_up(self) -> None:
        """Stop the watch."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer.join()
        if self._watch is not None:
            self._watch.close()

    def explain(self, exc: requests.RequestException, *, taken: int, size: int) -> Outcome:
        """Say what a failed attempt means, where ``taken`` of the body's ``size`` bytes had gone out."""
        if self._inward:
            note = "address is not public"
            return Outcome(kind=OutcomeKind.UNREACHABLE, note=note, cause=DeadCause.CONFIGURATION)
        # With TLS 1.3 the refusal of a client certificate arrives as an alert after the request was sent.
        if isinstance(exc, requests.exceptions.SSLError) and (taken == 0 or "ALERT" in str(exc).upper()):
            return Outcome(kind=OutcomeKind.UNREACHABLE, note="TLS refused", cause=DeadCause.CONFIGURATION)
        late = self.late or time.monotonic() >= self._deadline
        if taken == size:
            return Outcome(kind=OutcomeKind.UNKNOWN, note="no answer in time" if late else "no answer")
        return Outcome(kind=OutcomeKind.UNREACHABLE, note="timed out" if late else "not reachable")


class _Plain(HTTPConnection):
    def __init__(self, *args: Any, dial: Callable[[str, int], socket.socket], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._dial = dial

    def _new_conn(self) -> socket.socket:
        return self._dial(self.host, self.port or self.default_port)


class _Tls(HTTPSConnection):
    def __init__(self, *args: Any, dial: Callable[[str, int], socket.socket], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._dial = dial

    def _new_conn(self) -> socket.socket:
        return self._dial(self.host, self.port or self.default_port)


def _first(addresses: list[Any], deadline: float) -> socket.socket:
    """Connect to the first address that answers."""
    for address in addresses[:-1]:
        with contextlib.suppress(OSError):
            return socket.create_connection(address, timeout=max(0.001, deadline - time.monotonic()))
    return socket.create_connection(addresses[-1], timeout=max(0.001, deadline - time.monotonic()))


def _judged(address: object) -> bool:
    return is_public(ipaddress.ip_address(str(address).partition("%")[0]))


_: type[Adapter] = Https
