"""Push to a receiving system over HTTPS: one JSON envelope per delivery, holding sealed contents only.

The receiver knows the hub by an HMAC over timestamp and body (``secret_file``), by a client certificate, by an access
token for which the hub signs an assertion (``token_url``, RFC 7523), or by any of them together. What an answer means
stands in :func:`hub.transport.http.judge`. Of no answer's body is anything read but a conflict's: a 409 that names the
delivery's id in its JSON, and no ``Retry-After``, says that an earlier attempt arrived.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any

import orjson

from hub.crypto import SigningKey, read_signing_key, sign_callback
from hub.errors import KeyRefused, Unavailable
from hub.model import Adapter, Outcome, OutcomeKind, Package
from hub.model.adapter import (
    ADDRESS,
    PLAIN,
    MixedUp,
    message,
    not_readable,
    read_options,
    read_private_file,
    read_secret,
    require,
    require_envelope,
    require_readable,
    unusable,
)
from hub.transport.connection import Line
from hub.transport.http import Connections, Silence, already_taken, client_tls, judge, require_address, require_timeout
from hub.transport.oauth import NoToken, OAuthTokens, by_assertion

_SECRET_LENGTHS = range(32, 513)  # FIT-Connect's rule for callback secrets, in bytes.


@dataclass(frozen=True, kw_only=True, slots=True)
class HttpsOptions:
    """``timeout``: seconds for a whole attempt; ``inline_limit``: bytes above which attachments go by URL.

    ``envelope`` 2 is proven by the receipt, 1 by signed event tokens. ``signing_key_file`` holds a private JWK (PS512).
    ``allow_http`` and ``allow_private_addresses`` are for tests and for receivers inside the hub's own network.
    """

    url: str
    secret_file: str | None = None
    client_cert_file: str | None = None
    client_key_file: str | None = None
    token_url: str | None = None
    client_id: str | None = field(default=None, metadata=PLAIN)
    signing_key_file: str | None = None
    ca_file: str | None = field(default=None, metadata=ADDRESS)
    timeout: float = field(default=30.0, metadata=PLAIN)
    inline_limit: int = field(default=8 * 1024 * 1024, metadata=PLAIN)
    envelope: int = field(default=1, metadata=PLAIN)
    readable: str = field(default="", metadata=PLAIN)
    allow_http: bool = False
    allow_private_addresses: bool = False

    def __post_init__(self) -> None:
        for option, address in (("url", self.url), ("token_url", self.token_url)):
            require_address("https", option, address, allow_http=self.allow_http)
        require_timeout("https", self.timeout, 600)  # Ten minutes hold a worker long enough.
        require_envelope("https", self.envelope)
        require_readable("https", self.readable)
        require("https", self.inline_limit >= 0, "braucht inline_limit >= 0", "needs inline_limit >= 0")
        together = "token_url, client_id, signing_key_file"
        unset = {self.token_url is None, self.client_id is None, self.signing_key_file is None}
        require("https", len(unset) == 1, f"braucht {together} zusammen", f"needs {together} together")
        ways = "secret_file, client_cert_file, token_url"
        known = self.secret_file or self.client_cert_file or self.token_url
        require("https", known, f"braucht eine der Optionen {ways}", f"needs one of the options {ways}")


class Https:
    """POST deliveries to ``url`` with the delivery id as Idempotency-Key."""

    name = "https"
    options = HttpsOptions

    def __init__(self, config: Mapping[str, Any]) -> None:
        self._options = read_options(self.name, HttpsOptions, config)
        self._secret: str | None = None
        self._tokens: OAuthTokens | None = None
        self._connections = Connections(self._options.url)

    def open(self) -> None:
        """Read the secret, the key and the TLS files; ``ConfigurationError`` if they cannot be used."""
        options = self._options
        self._tls = client_tls(
            self.name, options.ca_file, certificate=options.client_cert_file, key=options.client_key_file
        )
        if options.secret_file is not None:
            self._secret = read_secret(self.name, "secret_file", options.secret_file)
            fits = len(self._secret.encode()) in _SECRET_LENGTHS
            require(self.name, fits, "braucht ein Geheimnis von 32 bis 512 Byte", "needs a secret of 32 to 512 bytes")
        if options.token_url is not None:
            proof = by_assertion(options.client_id or "", self._signing_key(), options.token_url)
            self._tokens = OAuthTokens(options.token_url, proof)

    def deliver(self, package: Package) -> Outcome:
        """Make one attempt."""
        options = self._options
        try:
            body = message(package, options.inline_limit, version=options.envelope)
        except (MixedUp, Unavailable) as exc:
            return not_readable(exc)
        with Line(timeout=options.timeout, public_only=not options.allow_private_addresses) as line:
            try:
                headers = self._headers(package, body, line)
                answer = self._connections.post(line, self._tls, headers, body)
            except Silence as silence:
                return silence.outcome()
            except NoToken as refusal:
                return refusal.outcome
        if answer.status == HTTPStatus.UNAUTHORIZED and self._tokens is not None:
            self._tokens.forget()
        if already_taken(answer, package.delivery_id):
            return Outcome(kind=OutcomeKind.DELIVERED, note="was already there")
        return judge(answer, datetime.now(UTC))

    def close(self) -> None:
        """Close the connections that were kept; what is in use is closed when its attempt is over."""
        self._connections.close()

    def _headers(self, package: Package, body: bytes, line: Line) -> dict[str, str]:
        headers = {"Content-Type": "application/json", "Idempotency-Key": str(package.delivery_id)}
        if self._tokens is not None:
            headers["Authorization"] = f"Bearer {self._tokens.get(line, self._tls)}"
        if self._secret is not None:
            timestamp = int(time.time())  # An adapter is the edge: the receiver compares this with its own clock.
            headers["Callback-Timestamp"] = str(timestamp)
            headers["Callback-Authentication"] = sign_callback(self._secret, timestamp, body)
        return headers

    def _signing_key(self) -> SigningKey:
        content = read_private_file(self.name, "signing_key_file", self._options.signing_key_file or "")
        try:
            return read_signing_key(dict(orjson.loads(content)))
        except (ValueError, TypeError, KeyRefused) as exc:
            raise unusable(
                self.name,
                "braucht in signing_key_file einen privaten JWK für PS512",
                "needs a private JWK for PS512 in signing_key_file",
            ) from exc


_: type[Adapter] = Https
