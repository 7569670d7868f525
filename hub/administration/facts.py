"""The destinations as a check of the table needs them: status, services, and how long their key is good.

:func:`open_book` puts a book together with them.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from datetime import UTC, datetime
from uuid import UUID

from hub.administration.routing_tables import TableBook
from hub.administration.shelf import Sources
from hub.areas import Gazetteer
from hub.crypto.keys import KeyPolicy, judge_encryption_key
from hub.errors import KeyRefused, UnreadableRow
from hub.model.parties import Destination
from hub.routing import DestinationFacts, ServiceRegister
from hub.store import Store, all_items

_PAGE = 500
#: A key without a certificate has no end (development only; production refuses it).
_NEVER = datetime.max.replace(tzinfo=UTC)


def open_book(
    *,
    store: Store,
    policy: KeyPolicy,
    gazetteer: Gazetteer,
    services: ServiceRegister,
    schemas: Callable[[], Collection[str]],
) -> TableBook:
    """Return the book of tables over what the store and the key policy say of destinations."""
    sources = Sources(
        gazetteer=gazetteer,
        services=services,
        facts=lambda now: destination_facts(store, policy, now),
        schemas=schemas,
    )
    return TableBook(store=store, sources=sources)


def destination_facts(store: Store, policy: KeyPolicy, now: datetime) -> dict[UUID, DestinationFacts]:
    """Return the facts of all destinations, their keys judged as of ``now``."""
    return {
        each.destination_id: DestinationFacts.of(each, key_valid_until=key_valid_until(store, policy, each, now))
        for each in all_items(lambda start: store.destinations(offset=start, limit=_PAGE))
    }


def key_valid_until(store: Store, policy: KeyPolicy, destination: Destination, now: datetime) -> datetime | None:
    """Return when the destination's encryption key ends; None if it has none that is good now, and can be read."""
    try:
        jwk = store.usable_key(destination.destination_id, destination.encryption_kid)
        return None if jwk is None else judge_encryption_key(jwk, now=now, policy=policy).expires_at or _NEVER
    except (KeyRefused, UnreadableRow):
        return None
