"""What the hub publishes: schemas, the routing table's explanations, and its public keys."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime
from typing import Any
from urllib.parse import urlencode

import anyio
import anyio.to_thread
import orjson
from connexion.lifecycle import ConnexionResponse

from hub.api import area_of, etag, known_states, moment_of, nothing
from hub.api.deprecation import Endings
from hub.areas import Gazetteer, Place, look_up
from hub.crypto import HubKeys
from hub.errors import Text
from hub.routing import Explanation, RoutingTable
from hub.validation.calendar import calendar, calendar_document
from hub.validation.catalog import SchemaCatalog, SchemaEntry
from hub.validation.comparison import Change
from hub.validation.editions import EditionFile, FileRole

#: Changes that one answer lists; the total is always told.
_CHANGES = 2_000
#: Comparisons under way at once: each walks through two whole standards.
_COMPARING = 1
#: Tables of other moments read at once: anybody may ask, and each has to be put together again.
_RECALLING = 1
#: Files of schemas read at once: the largest have some megabytes, and each is hashed before it is given out.
_READING = 2
#: Where the files of schemas are.
_DOCUMENT = "/hub/v1/schemas/document"


class Catalogues:
    """Handlers of the public look-ups."""

    def __init__(
        self,
        *,
        catalog: Callable[[], SchemaCatalog],
        table: Callable[[], RoutingTable],
        table_at: Callable[[datetime], RoutingTable],
        gazetteer: Callable[[], Gazetteer],
        keys: HubKeys,
        clock: Callable[[], datetime],
    ) -> None:
        self._catalog = catalog
        self._table = table
        self._table_at = table_at
        self._gazetteer = gazetteer
        self._keys = keys
        self._clock = clock
        self._endings = Endings(catalog)
        self._comparing = anyio.CapacityLimiter(_COMPARING)
        self._recalling = anyio.CapacityLimiter(_RECALLING)
        self._reading = anyio.CapacityLimiter(_READING)

    async def schemas(self, standard: str | None = None) -> dict[str, Any]:
        """List all schemas in all versions, or those of one standard."""
        today = self._clock().date()
        entries = self._catalog().entries()
        wanted = (entry for entry in entries if standard is None or entry.ref.standard == standard)
        return {"schemas": [_entry_json(entry, today) for entry in wanted]}

    async def schema(self, uri: str) -> dict[str, Any]:
        """Show one schema, and all files that go with it."""
        entry = self._catalog().entry(uri)
        self._endings.tell(uri, self._clock().date())
        files = await anyio.to_thread.run_sync(entry.files, limiter=self._reading)
        shown = {
            name: [_file_json(entry, each) for each in files if each.role in roles]
            for name, roles in _BESIDE_EACH_OTHER.items()
        }
        return _entry_json(entry, self._clock().date()) | shown

    async def document(self, uri: str, file: str | None = None) -> ConnexionResponse:
        """Give the very bytes of a schema, or of a file that goes with it."""
        catalog = self._catalog()
        found = await anyio.to_thread.run_sync(catalog.file, uri, file, limiter=self._reading)
        if found.role is FileRole.SCHEMA:
            self._endings.tell(uri, self._clock().date())
        headers = {**etag(found.sha256), "Cache-Control": "public, max-age=300"}
        if found.role is FileRole.SCHEMA:
            entry = catalog.entry(uri)
            beside = await anyio.to_thread.run_sync(entry.files, limiter=self._reading)
            headers |= _links([_link(entry, each) for each in beside if each.role in _RELATIONS])
        if found.sha256 in known_states():
            return nothing(304, headers)
        content = await anyio.to_thread.run_sync(found.read, limiter=self._reading)
        return ConnexionResponse(status_code=200, body=content, content_type=found.media_type, headers=headers)

    async def differences(self, standard: str, old: str, new: str) -> dict[str, Any]:
        """Tell what a sender of a standard must and may change from one version to another."""
        compare = self._catalog().diff
        changes = await anyio.to_thread.run_sync(compare, standard, old, new, limiter=self._comparing)
        return {
            "standard": standard,
            "old": old,
            "new": new,
            "total": len(changes),
            "changes": [_change_json(change) for change in changes[:_CHANGES]],
        }

    async def calendar(self) -> dict[str, Any]:
        """Say which version of which standard becomes binding when, and until when."""
        entries = calendar(self._catalog(), self._clock().date())
        return calendar_document(entries)

    async def explain(
        self, service: str, ars: str | None = None, ags: str | None = None, at: str | None = None
    ) -> dict[str, Any]:
        """Explain which authority is responsible, was or will be, and why."""
        area = area_of(ars, ags, self._table().gazetteer)
        if at is None:
            return _explanation_json(self._table().explain(area, service, self._clock()))
        moment = moment_of(at)
        table = await anyio.to_thread.run_sync(self._table_at, moment, limiter=self._recalling)
        return _explanation_json(table.explain(area, service, moment))

    async def areas(self, q: str, offset: int = 0, limit: int = 100) -> dict[str, Any]:
        """Look areas up by key, postal code or name."""
        gazetteer = await anyio.to_thread.run_sync(self._gazetteer)
        found = await anyio.to_thread.run_sync(look_up, gazetteer, q)
        shown = found.places[offset : offset + limit]
        note = {} if found.note is None else {"note": {"de": found.note.de, "en": found.note.en}}
        return note | {
            "total": len(found.places),
            "choice": found.choice,
            "areas": [_area_json(gazetteer, place, found.parts) for place in shown],
        }

    async def hub_keys(self) -> ConnexionResponse:
        """Return the keys that verify receipts (and everything else that the hub signs)."""
        return _published(self._keys.hub_jwks())

    async def submission_keys(self) -> ConnexionResponse:
        """Return the keys that verify the hub's event tokens (FIT-Connect); ``Link`` leads to those of all proof."""
        return _published(self._keys.fit_connect_jwks(), Link='</hub/v1/jwks.json>; rel="related"')

    async def portal_keys(self) -> ConnexionResponse:
        """Return the keys that verify addressing information (FIT-Connect portal)."""
        return _published(self._keys.portal_jwks())


#: What a schema's entry lists, by the files' roles.
_BESIDE_EACH_OTHER = {
    "documents": (FileRole.SCHEMA, FileRole.PART, FileRole.RULES, FileRole.IDENTIFIERS),
    "codeLists": (FileRole.CODE_LIST,),
    "examples": (FileRole.EXAMPLE,),
    "forms": (FileRole.FORM, FileRole.MANIFEST),
}
#: How what stands beside a schema relates to it (RFC 8288), and how many are linked in a header field; the entry has all.
_RELATIONS = {FileRole.CODE_LIST: "related", FileRole.EXAMPLE: "example"}
_LINKS = 20


def _document_of(entry: SchemaEntry, file: EditionFile) -> str:
    return f"{_DOCUMENT}?{urlencode({'uri': entry.uri, 'file': file.name})}"


def _link(entry: SchemaEntry, file: EditionFile) -> str:
    return f'<{_document_of(entry, file)}>; rel="{_RELATIONS[file.role]}"; type="{file.media_type}"'


def _links(links: list[str]) -> dict[str, str]:
    return {"Link": ", ".join(links[:_LINKS])} if links else {}


def _file_json(entry: SchemaEntry, file: EditionFile) -> dict[str, Any]:
    return {
        "file": file.name,
        "uri": file.uri,
        "role": file.role.value,
        "mediaType": file.media_type,
        "sha256": file.sha256,
        "href": _document_of(entry, file),
    }


def _entry_json(entry: SchemaEntry, today: date) -> dict[str, Any]:
    manifest = entry.manifest
    return {
        "uri": entry.ref.uri,
        "standard": entry.ref.standard,
        "version": entry.ref.version,
        "sha256": entry.ref.sha256,
        "mediaType": entry.ref.media_type.value,
        "title": entry.item.title,
        "status": manifest.status.value,
        "validFrom": _iso(manifest.valid_from),
        "validUntil": _iso(manifest.valid_until),
        "inForce": manifest.in_force(today),
        "licence": manifest.licence,
        "provenance": manifest.provenance,
        "messages": len(entry.item.roots),
        "businessRules": bool(manifest.rules),
        "attachments": [place.as_document() for place in entry.item.attachments],
    }


def _change_json(change: Change) -> dict[str, Any]:
    return {
        "kind": change.kind,
        "place": change.place,
        "must": change.must,
        "text": {"de": change.text.de, "en": change.text.en},
    }


def _area_json(gazetteer: Gazetteer, place: Place, parts: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    def change(ars: str, on: date) -> dict[str, str]:
        return {"ars": ars, "name": gazetteer.name(ars), "on": on.isoformat()}

    return {
        "ars": place.area.ars,
        "ags": place.area.ags,
        "name": place.name,
        "kind": place.kind.value,
        "inhabitants": place.inhabitants,
        "validFrom": _iso(place.valid_from),
        "validUntil": _iso(place.valid_until),
        "postalCodes": list(place.postal_codes),
        "parts": list(parts.get(place.area.ars, ())),
        "distinction": _text_json(gazetteer.distinction(place)),
        "within": [{"ars": each.area.ars, "name": each.name} for each in gazetteer.above(place.area)],
        "cameFrom": [change(one.old.area.ars, one.on) for one in gazetteer.came_from(place.area)],
        "became": [change(one.new.ars, one.on) for one in gazetteer.became(place.area)],
    }


def _text_json(text: Text) -> dict[str, str]:
    return {"de": text.de, "en": text.en}


def _iso(day: date | None) -> str | None:
    return None if day is None else day.isoformat()


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
        "access": explanation.access.value if explanation.access is not None else None,
        "lines": {"de": explanation.lines("de"), "en": explanation.lines("en")},
    }


def _published(jwks: Any, **headers: str) -> ConnexionResponse:
    return ConnexionResponse(
        status_code=200,
        body=orjson.dumps(jwks),
        content_type="application/json",
        headers={"Cache-Control": "public, max-age=300", **headers},
    )
