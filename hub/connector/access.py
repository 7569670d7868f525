"""How the connector reaches its hub, and what it says when that fails, in the words of its settings."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import requests

from hub.client.fit_connect import Subscriber
from hub.client.forwarding import Forwarder
from hub.client.session import UNREADABLE, Session, Tokens, bare_text, listed
from hub.client.transport import UNREACHABLE, Direct, certificate_fault
from hub.connector.settings import LONGEST_SECRET, Hub, unusable
from hub.crypto import read_jws_header
from hub.errors import HubError, Refused, Text, Unavailable
from hub.files import vault

#: How long a list of keys is not asked for again.
_KEYS_LAST = timedelta(minutes=5)
#: Statuses that speak of the request itself: it will not be taken as it is, however often it is sent.
_FINAL = frozenset({400, 404, 409, 413, 415, 422})


def subscriber(hub: Hub, clock: Callable[[], datetime]) -> Subscriber:
    """Return the client of this connector; nothing is asked yet. Errors as :func:`tokens`."""
    session = Session(hub.base_url + hub.submission_api, transport=transport(hub), tokens=tokens(hub, clock))
    return Subscriber(session, issuers=frozenset({hub.issuer, hub.issuer + hub.submission_api}), clock=clock)


def public_session(hub: Hub) -> Session:
    """Return by what this connector asks its hub for what anybody may read."""
    return Session(hub.base_url, transport=transport(hub))


def forwarder(hub: Hub, clock: Callable[[], datetime]) -> Forwarder:
    """Return by what this connector hands cases on; nothing is asked yet. Errors as :func:`tokens`."""
    return Forwarder(Session(hub.base_url, transport=transport(hub), tokens=tokens(hub, clock)))


def tokens(hub: Hub, clock: Callable[[], datetime]) -> Tokens:
    """Return where this connector gets its token.

    Raises:
        ConfigurationError: the secret's file or ``ca_file`` cannot be used.
    """
    try:
        secret = vault.read_text(hub.client_secret_file, most=LONGEST_SECRET)
    except (OSError, UnicodeDecodeError) as exc:
        raise unusable("hub.client_secret_file", "ist nicht lesbar", "cannot be read") from exc
    _require_certificates(hub.ca_file)
    return Tokens(hub.token_url, client_id=hub.client_id, client_secret=secret, clock=clock)


def transport(hub: Hub) -> Direct:
    """Return how requests go to the hub."""
    return Direct(ca_file=hub.ca_file, user_agent="rathaus-hub-connector")


class ReceiptKeys:
    """The keys by which the configured hub signs receipts, read from it and from nobody else. For one thread."""

    def __init__(self, hub: Hub, clock: Callable[[], datetime]) -> None:
        self._session = Session(hub.base_url, transport=transport(hub))
        self._clock = clock
        self._read_at = datetime.min.replace(tzinfo=UTC)
        self._jwks: Mapping[str, Any] = {"keys": []}

    def for_receipt(self, receipt: str) -> Mapping[str, Any]:
        """Return the JWK set (RFC 7517), read anew where it is old, or does not name the receipt's key.

        Raises:
            SealBroken: that is no receipt. Unavailable: the hub cannot be asked now.
        """
        kid, now = read_jws_header(receipt).kid, self._clock()
        known = any(isinstance(key, dict) and key.get("kid") == kid for key in self._jwks["keys"])
        if not known or now - self._read_at > _KEYS_LAST:
            document = self._session.json("GET", "/hub/v1/jwks.json")
            listed(document, "keys")
            self._jwks, self._read_at = document, now
        return self._jwks


def _require_certificates(file: Path | None) -> None:
    """Try what every request will do with the file, which else would end in an error of the library's."""
    try:
        if file is not None:
            ssl.create_default_context(cafile=str(file))
    except OSError as exc:  # ``ssl.SSLError`` is one.
        raise unusable(
            "hub.ca_file", "ist keine PEM-Datei mit Zertifikaten", "is no PEM file with certificates"
        ) from exc


def own_words(error: HubError) -> HubError:
    """Return what an error means here: names of settings where they are to be looked at, and nothing that the hub wrote."""
    status = error.members.get("status")
    if status is not None:
        return _answered(error, status)
    if error.slug == UNREACHABLE:
        return Unavailable(_unreachable(error), slug=UNREACHABLE)
    if error.slug == UNREADABLE:
        return Unavailable(
            Text(
                "Die Antwort des Hubs ist nicht lesbar. Prüfen Sie hub.base_url und hub.token_url.",
                "The hub's answer cannot be read. Check hub.base_url and hub.token_url.",
            )
        )
    return error


def _answered(error: HubError, status: int) -> HubError:
    text = bare_text(status)
    if isinstance(error, Unavailable):
        return Unavailable(text, retry_after=error.retry_after)
    return Refused(text) if status in _FINAL else Unavailable(text)


def _unreachable(error: HubError) -> Text:
    fault = certificate_fault(error)
    if fault is not None:
        return Text(
            f"Dem TLS-Zertifikat des Hubs wird nicht vertraut ({fault}). Nennen Sie in hub.ca_file die Datei mit dem "
            "Zertifikat seiner Zertifizierungsstelle (PEM), oder berichtigen Sie den Hostnamen in hub.base_url und "
            "hub.token_url.",
            f"The TLS certificate of the hub is not trusted ({fault}). Name in hub.ca_file the file with its authority's "
            "certificate (PEM), or correct the host name in hub.base_url and hub.token_url.",
        )
    if isinstance(error.__cause__, requests.exceptions.SSLError):
        return Text(
            "Mit dem Hub kommt keine TLS-Verbindung zustande. Prüfen Sie hub.base_url und hub.token_url, auch den Port.",
            "No TLS connection to the hub comes about. Check hub.base_url and hub.token_url, the port as well.",
        )
    return Text(
        "Der Hub ist nicht erreichbar. Prüfen Sie, ob er läuft, und hub.base_url und hub.token_url.",
        "The hub cannot be reached. Check that it runs, and hub.base_url and hub.token_url.",
    )
