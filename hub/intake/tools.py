"""What the plain door works with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from hub.admission import Admission
from hub.crypto.keyring import HubKeys
from hub.identity.directory import Directory
from hub.model.delivery import Sealing
from hub.model.parties import Destination
from hub.notifications.callbacks import Herald
from hub.routing import RoutingTable
from hub.store import Blobs, Store
from hub.transport.connection import Outbound
from hub.validation.catalog import SchemaCatalog


@dataclass(frozen=True, kw_only=True, slots=True)
class Tools:
    """What the plain door works with. ``catalog`` and ``table`` are asked anew each time, so a reload drops no request."""

    store: Store
    blobs: Blobs
    keys: HubKeys
    directory: Directory
    catalog: Callable[[], SchemaCatalog]
    table: Callable[[], RoutingTable]
    admission: Admission
    outbound: Outbound
    herald: Herald
    base_url: str
    attachment_limit: int
    #: How the destination's adapter wants its contents sealed.
    sealing: Callable[[Destination], Sealing]
