"""Store each delivery at a receiving system with one PUT, so that a repeat replaces instead of doubling."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from hub.errors import Unavailable
from hub.model import Adapter, Outcome, OutcomeKind, Package
from hub.model.adapter import MixedUp, message, not_readable, read_options, read_secret
from hub.transport.connection import Line
from hub.transport.http import (
    Silence,
    already_taken,
    client_tls,
    judge,
    pieces,
    request,
    require_address,
    require_timeout,
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Options:
    """``url``: where deliveries go; ``token_file``: what the receiver knows the hub by; ``timeout``: seconds in all."""

    url: str
    token_file: str
    ca_file: str | None = None
    timeout: float = 30.0
    allow_private_addresses: bool = False

    def __post_init__(self) -> None:
        """Judge what types alone do not."""
        require_address("put", "url", self.url, allow_http=False)
        require_timeout("put", self.timeout, 600)


class Put:
    """PUT deliveries below ``url``."""

    name = "put"
    options = Options

    def __init__(self, config: Mapping[str, Any]) -> None:
        self._options = read_options(self.name, Options, config)

    def open(self) -> None:
        """Read the token and the certificate."""
        self._token = read_secret(self.name, "token_file", self._options.token_file)
        self._tls = client_tls(self.name, self._options.ca_file)

    def deliver(self, package: Package) -> Outcome:
        """Make one attempt."""
        options = self._options
        url = f"{options.url}/{package.delivery_id}"
        headers = {"Authorization": f"Bearer {self._token}", "Content-Type": "application/json"}
        with Line(timeout=options.timeout, public_only=not options.allow_private_addresses) as line:
            try:
                body = message(package, inline_limit=8 * 1024 * 1024)
                answer = request(line, self._tls, "PUT", url, headers, pieces(body), length=len(body), fault_limit=4096)
            except (MixedUp, Unavailable) as exc:
                return not_readable(exc)
            except Silence as silence:
                return silence.outcome()
        if already_taken(answer, package.delivery_id):
            return Outcome(kind=OutcomeKind.DELIVERED, note="was already there")
        return judge(answer, datetime.now(UTC))

    def close(self) -> None:
        """Hold nothing."""


_: type[Adapter] = Put
