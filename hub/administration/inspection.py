"""What somebody who sends to a destination relies on, looked at piece by piece: key, chain, revocation, offers, signature."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from hub.crypto import (
    HubKeys,
    KeyPolicy,
    expires_at,
    judge_encryption_key,
    judge_signature_key,
    verification_key,
    verify_ps512,
)
from hub.crypto.certificates import read_chain
from hub.crypto.revocation import RevocationState, judged_by
from hub.errors import HubError, Text, not_found
from hub.fit_connect.addressing import AddressBook
from hub.identity import Person, Right
from hub.model import Destination
from hub.store import Store, StoredKey

_SOON = timedelta(days=30)


@dataclass(frozen=True, kw_only=True, slots=True)
class InspectedPiece:
    """One piece: its name, whether it is good (None: nothing was brought to judge it by), and what is so."""

    piece: str
    good: bool | None
    text: Text


class DestinationInspector:
    """Looks at destinations. It reads and judges; nothing is changed, and nothing is fetched."""

    def __init__(self, *, store: Store, keys: HubKeys, policy: KeyPolicy, base_url: str) -> None:
        self._store = store
        self._keys = keys
        self._policy = policy
        self._book = AddressBook(store=store, keys=keys, base_url=base_url)

    def inspect(
        self,
        destination_id: UUID,
        person: Person,
        *,
        lists: Sequence[bytes] = (),
        answers: Sequence[bytes] = (),
        now: datetime,
    ) -> list[InspectedPiece]:
        """Return how a destination's pieces stand. ``lists`` are CRLs, ``answers`` of OCSP, as files' contents.

        Raises:
            NotFound: no such destination in the person's scope.
        """
        person.require(Right.SEE)
        found = self._store.parties.visible_destination(destination_id, scope=person.scope)
        if found is None:
            raise not_found("destination-not-found", destination_id)
        return [
            self._status(found),
            self._offers(found),
            *self._keys_of(found, lists, answers, now),
            self._signature(found, now),
        ]

    def _status(self, destination: Destination) -> InspectedPiece:
        text = Text(f"Stand: {destination.status}", f"state: {destination.status}")
        return InspectedPiece(piece="status", good=destination.status == "active", text=text)

    def _offers(self, destination: Destination) -> InspectedPiece:
        number = len(destination.services)
        bare = [each.identifier for each in destination.services if not each.schemas or not each.regions]
        good = number > 0 and not bare
        text = Text(
            f"{number} Leistungen; ohne Schema oder Gebiet: {', '.join(bare) or 'keine'}",
            f"{number} services; without schema or region: {', '.join(bare) or 'none'}",
        )
        return InspectedPiece(piece="services", good=good, text=text)

    def _keys_of(
        self, destination: Destination, lists: Sequence[bytes], answers: Sequence[bytes], now: datetime
    ) -> list[InspectedPiece]:
        pieces: list[InspectedPiece] = []
        stored = [each for each in self._store.parties.keys(destination.destination_id) if each.retired_at is None]
        sealing = [each for each in stored if each.kid == destination.encryption_kid]
        signing = [each for each in stored if each.use == "verify"]
        if not sealing:
            pieces.append(_missing("encryption-key"))
        if not signing:
            pieces.append(_missing("signature-key"))
        judges: tuple[tuple[str, Callable[..., object], list[StoredKey]], ...] = (
            ("encryption-key", judge_encryption_key, sealing),
            ("signature-key", judge_signature_key, signing),
        )
        for name, judge, keys in judges:
            for key in keys:
                pieces.append(self._judged(name, key, judge, now))
                pieces += _certificates(name, key, _Brought(lists=lists, answers=answers), now)
        return pieces

    def _judged(self, name: str, key: StoredKey, judge: Callable[..., object], now: datetime) -> InspectedPiece:
        try:
            judge(dict(key.jwk), now=now, policy=self._policy)
        except HubError as error:
            return InspectedPiece(piece=name, good=False, text=_of(key.kid, error.detail))
        return InspectedPiece(
            piece=name, good=True, text=_of(key.kid, Text("alle zwölf Prüfungen", "all twelve checks"))
        )

    def _signature(self, destination: Destination, now: datetime) -> InspectedPiece:
        """Verify what the Routing API says of the destination as a sender does, and compare it with the record."""
        try:
            signature = self._book.entry(destination, now=now, parameters=False).signature
            key = verification_key(self._keys.portal.public_jwk())
            said = json.loads(verify_ps512(signature, key, typ="jwt"))
        except (HubError, ValueError) as error:
            detail = error.detail if isinstance(error, HubError) else Text("unlesbar", "unreadable")
            return InspectedPiece(piece="addressing-signature", good=False, text=detail)
        good = said.get("destinationId") == str(destination.destination_id) and len(said.get("services", ())) == len(
            destination.services
        )
        text = Text(f"PS512, Schlüssel {key.kid}", f"PS512, key {key.kid}")
        return InspectedPiece(piece="addressing-signature", good=good, text=text)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Brought:
    """Contents of the files that somebody brought to judge revocation by."""

    lists: Sequence[bytes]
    answers: Sequence[bytes]


def _certificates(name: str, key: StoredKey, brought: _Brought, now: datetime) -> list[InspectedPiece]:
    kid, jwk = key.kid, dict(key.jwk)
    if "x5c" not in jwk:
        text = Text("ohne Zertifikat", "without a certificate")
        return [InspectedPiece(piece=f"{name}.chain", good=False, text=_of(kid, text))]
    try:
        chain = read_chain(jwk["x5c"])
    except HubError as error:
        return [InspectedPiece(piece=f"{name}.chain", good=False, text=_of(kid, error.detail))]
    until = expires_at(jwk)
    soon = until is not None and until - now < _SOON
    day = "-" if until is None else f"{until:%Y-%m-%d}"
    chained = Text(f"{len(chain)} Zertifikate, bis {day}", f"{len(chain)} certificates, until {day}")
    pieces = [InspectedPiece(piece=f"{name}.chain", good=not soon, text=_of(kid, chained))]
    if brought.lists or brought.answers:
        state = judged_by(chain, brought.lists, brought.answers, now=now)
        pieces.append(
            InspectedPiece(
                piece=f"{name}.revocation", good=state is RevocationState.GOOD, text=_of(kid, _STATES[state])
            )
        )
    else:
        nothing = Text("keine Sperrliste und keine OCSP-Antwort vorgelegt", "no CRL and no OCSP answer was brought")
        pieces.append(InspectedPiece(piece=f"{name}.revocation", good=None, text=_of(kid, nothing)))
    return pieces


_STATES = {
    RevocationState.GOOD: Text("nicht gesperrt", "not revoked"),
    RevocationState.REVOKED: Text("gesperrt", "revoked"),
    RevocationState.UNKNOWN: Text(
        "die Dateien sagen über diese Kette nichts, was zählt (Aussteller, Signatur, Gültigkeit)",
        "the files say nothing of this chain that counts (issuer, signature, validity)",
    ),
}


def _missing(name: str) -> InspectedPiece:
    return InspectedPiece(piece=name, good=False, text=Text("nicht hinterlegt", "not on record"))


def _of(kid: str, text: Text) -> Text:
    return Text(f"{kid}: {text.de}", f"{kid}: {text.en}")
