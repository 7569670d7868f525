"""Destinations, their judged keys and clients, read at most a second ago: both doors, and all who ask who calls, look here.

The accept path needs them for every application; reading and judging a key each time would cost more than sealing.
A change (a key withdrawn, a client disabled) is seen at once by the node that makes it, for its store tells
:meth:`Directory.forget`, and by every other node within :data:`FRESH`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any, TypeVar
from uuid import UUID

from hub.crypto.keys import EncryptionKey, KeyPolicy, judge_encryption_key
from hub.errors import KeyRefused, KeyUnavailable, Text
from hub.model.parties import Client, Destination
from hub.store import Store

#: How old an answer may be.
FRESH = timedelta(seconds=1)
_MOST = 20_000
_NOTHING: Mapping[str, tuple[datetime, Any]] = {}

#: A destination by its id, or a client by its.
Party = UUID | str
T = TypeVar("T")


class Directory:
    """Looks up parties, with answers at most :data:`FRESH` old."""

    def __init__(self, *, store: Store, policy: KeyPolicy) -> None:
        self._store = store
        self._policy = policy
        self._answers: dict[Party, dict[str, tuple[datetime, Any]]] = {}
        self._changes = 0

    def forget(self, party: Party) -> None:
        """Look this destination or client, and its keys, up anew next time."""
        self._changes += 1
        self._answers.pop(party, None)

    def client(self, client_id: str, *, now: datetime) -> Client | None:
        """Return the client, or None."""
        return self._fresh(client_id, "client", now, lambda: self._store.client(client_id))

    def destination(self, destination_id: UUID, *, now: datetime) -> Destination | None:
        """Return the destination, or None."""
        return self._fresh(destination_id, "destination", now, lambda: self._store.destination(destination_id))

    def at_hand(self, destination_id: UUID, *, now: datetime) -> Destination | None:
        """Return the destination if that takes no look into the store; None says nothing."""
        known = self._answer(destination_id, "destination", now)
        answer: Destination | None = None if known is None else known[1]
        return answer

    def encryption_key(self, destination: Destination, *, now: datetime) -> EncryptionKey:
        """Return the destination's current key, judged good for use now.

        Raises:
            KeyUnavailable: there is none, or the key policy refuses it. No other key is tried: an authority that
                rotates its key means it.
        """
        name = f"key {destination.encryption_kid}"
        return self._fresh(destination.destination_id, name, now, lambda: self._judged(destination, now))

    def _judged(self, destination: Destination, now: datetime) -> EncryptionKey:
        jwk = self._store.usable_key(destination.destination_id, destination.encryption_kid)
        if jwk is None:
            raise _no_key(destination, Text("Er ist nicht hinterlegt.", "It is not on record."))
        try:
            return judge_encryption_key(jwk, now=now, policy=self._policy)
        except KeyRefused as error:
            raise _no_key(destination, error.detail) from error

    def _fresh(self, party: Party, name: str, now: datetime, read: Callable[[], T]) -> T:
        known = self._answer(party, name, now)
        if known is not None:
            answer: T = known[1]
            return answer
        before = self._changes
        answer = read()
        # What was changed while it was read may be the state of before; it answers this once and is not kept.
        if self._changes == before:
            if len(self._answers) >= _MOST:
                self._answers.clear()
            self._answers.setdefault(party, {})[name] = (now, answer)
        return answer

    def _answer(self, party: Party, name: str, now: datetime) -> tuple[datetime, Any] | None:
        known = self._answers.get(party, _NOTHING).get(name)
        return known if known is not None and now - FRESH < known[0] <= now else None


def _no_key(destination: Destination, why: Text) -> KeyUnavailable:
    return KeyUnavailable(
        Text(
            f"Für {destination.name} ist kein verwendbarer Schlüssel hinterlegt. {why.de} Der Betrieb des Hubs muss "
            "handeln.",
            f"There is no usable key for {destination.name}. {why.en} The hub's operators have to act.",
        ),
        retry_after=timedelta(hours=1),
        destinationId=str(destination.destination_id),
    )
