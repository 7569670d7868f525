"""Who calls with a client certificate: the authority whose mailbox names that certificate and the identifier that is given.

A certificate alone may serve a data centre with many authorities, so the identifier chooses among the mailboxes that name it.
Nothing is remembered: whoever takes a certificate out of a destination's options has shut the door with the next request.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from hub.errors import Forbidden, Text
from hub.identity.clients import Caller
from hub.model import ClientKind, Destination
from hub.store import Store

#: The adapter whose destinations are collected from, and what its options call certificate and identifier.
_ADAPTER, _CERTIFICATE, _IDENTIFIER = "mailbox", "xta_certificate", "xta_identifier"


@dataclass(frozen=True, kw_only=True, slots=True)
class CertificateHolder:
    """Who calls: the destination, the identifier that its mailbox has, and the rights of its client, bound to it alone."""

    destination: Destination
    identifier: str
    caller: Caller


class CertificateHolders:
    """Finds out whose a certificate is."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def holders(self, certificate: bytes) -> list[CertificateHolder]:
        """Return all that a client certificate (DER) may act for; those without a client of their own are not among them."""
        fingerprint = hashlib.sha256(certificate).hexdigest()
        found = []
        for destination in self._store.parties.mentioning(_ADAPTER, fingerprint):
            named, identifier = _named(destination.adapter_config)
            if fingerprint in named and identifier and destination.owner is not None:
                found.append(
                    CertificateHolder(destination=destination, identifier=identifier, caller=_caller(destination))
                )
        return found


def choose(holders: list[CertificateHolder], identifier: str | None) -> CertificateHolder:
    """Return who asks as ``identifier``; without one, the only one there is.

    Raises:
        Forbidden: nobody, or nobody can tell who of several.
    """
    meant = [each for each in holders if identifier is None or each.identifier == identifier]
    if len(meant) != 1:
        raise Forbidden(
            Text(
                "Zu diesem Zertifikat gehört kein Postfach mit dieser Kennung. Der Betrieb des Hubs trägt beide ein.",
                "No mailbox with this identifier belongs to this certificate. The hub's operators enter both.",
            )
        )
    return meant[0]


def _named(config: Any) -> tuple[list[str], str]:
    certificates, identifier = config.get(_CERTIFICATE), config.get(_IDENTIFIER)
    if not isinstance(certificates, str) or not isinstance(identifier, str):
        return [], ""
    return certificates.split(","), identifier


def _caller(destination: Destination) -> Caller:
    return Caller(
        client_id=destination.owner or "",
        kind=ClientKind.SUBSCRIBER,
        scopes=(f"subscribe:destination:{destination.destination_id}",),
        expires_at=datetime.max.replace(tzinfo=UTC),
    )
