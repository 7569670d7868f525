"""What the hub publishes: schemas, the routing table's explanations, and its public keys."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

import orjson
from connexion.lifecycle import ConnexionResponse

from hub.api.places import area_of
from hub.areas import Gazetteer
from hub.crypto.keyring import HubKeys
from hub.routing import Explanation, RoutingTable
from hub.validation.catalog import SchemaCatalog, SchemaEntry


class Catalogues:
    """Handlers of the public look-ups."""

    def __init__(
        self,
        *,
        catalog: SchemaCatalog,
        table: RoutingTable,
        gazetteer: Gazetteer,
        keys: HubKeys,
        clock: Callable[[], datetime],
    ) -> None:
        self._catalog = catalog
        self._table = table
        self._gazetteer = gazetteer
        self._keys = keys
        self._clock = clock

    async def schemas(self) -> dict[str, Any]:
        """List all schemas in all versions."""
        return {"schemas": [_entry_json(entry) for entry in self._catalog.entries()]}

    async def schema(self, uri: str) -> dict[str, Any]:
        """Show one schema."""
        return _entry_json(self._catalog.entry(uri))

    async def explain(self, service: str, ars: str | None = None, ags: str | None = None) -> dict[str, Any]:
        """Explain which authority is responsible, and why."""
        area = area_of(ars, ags, self._gazetteer)
        return _explanation_json(self._table.explain(area, service, self._clock()))

    async def hub_keys(self) -> ConnexionResponse:
        """Return the keys that verify receipts (and everything else that the hub signs)."""
        return _published(self._keys.hub_jwks())

    async def submission_keys(self) -> ConnexionResponse:
        """Return the keys that verify the hub's event tokens (FIT-Connect)."""
        return _published(self._keys.fit_connect_jwks())

    async def portal_keys(self) -> ConnexionResponse:
        """Return the keys that verify addressing information (FIT-Connect portal)."""
        return _published(self._keys.portal_jwks())


def _entry_json(entry: SchemaEntry) -> dict[str, Any]:
    return {
        "uri": entry.ref.uri,
        "standard": entry.ref.standard,
        "version": entry.ref.version,
        "sha256": entry.ref.sha256,
        "mediaType": entry.ref.media_type.value,
    }


def _explanation_json(explanation: Explanation) -> dict[str, Any]:
    destination_id = explanation.destination_id
    return {
        "area": explanation.area.ars,
        "areaName": explanation.area_name,
        "service": explanation.service,
        "serviceName": explanation.service_name,
        "tableVersion": explanation.table_version,
        "destinationId": str(destination_id) if destination_id is not None else None,
        "rule": explanation.rule.id if explanation.rule is not None else None,
        "lines": {"de": explanation.lines("de"), "en": explanation.lines("en")},
    }


def _published(jwks: Any) -> ConnexionResponse:
    return ConnexionResponse(
        status_code=200,
        body=orjson.dumps(jwks),
        content_type="application/json",
        headers={"Cache-Control": "public, max-age=300"},
    )
