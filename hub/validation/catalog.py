"""The schema catalogue: which schemas there are, which one a payload belongs to, and whether it keeps it.

Loaded once from folders ``<root>/<standard>/<version>/`` and never changed; a reload is a new catalogue. Checking is a
pure function of its arguments, touches no network, and is safe from several threads.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any, NamedTuple

import orjson

from hub.errors import ConfigurationError, Text, UnknownSchema
from hub.submission import MediaType, SchemaRef
from hub.validation.identifiers import IdentifierTable
from hub.validation.json import JsonSchema, read_json
from hub.validation.limits import Limits
from hub.validation.manifest import Kind, Manifest, SchemaItem, Status, read_manifest, verify_files
from hub.validation.report import Report
from hub.validation.xml import XmlDocument, read_xml
from hub.validation.xsd import XsdSchema, XsdSource

#: Known schemas that a refusal lists.
_LISTED = 50
#: Answers that are remembered: schema, service and root or $schema, by day.
_REMEMBERED = 4096


@dataclass(frozen=True, kw_only=True, slots=True)
class SchemaEntry:
    """One schema of the catalogue: its item, the version it belongs to, and its folder."""

    item: SchemaItem
    manifest: Manifest
    folder: Path
    judge: XsdSchema | JsonSchema = field(repr=False, compare=False)
    #: What is recorded with a payload that was checked.
    ref: SchemaRef
    #: The report of every payload that breaks no rule.
    clean: Report = field(repr=False, compare=False)

    @property
    def uri(self) -> str:
        """The schema's URI."""
        return self.item.uri

    @property
    def uris(self) -> tuple[str, ...]:
        """Every URI under which senders may name the schema; that of its version included."""
        version = (self.manifest.uri,) if self.manifest.uri else ()
        return (self.item.uri, *self.item.aliases, *version)

    def serves(self, service: str | None) -> bool:
        """Whether payloads for a service may use the schema; without a service they may."""
        return service is None or self.item.services is None or service in self.item.services


class _Asked(NamedTuple):
    """What a sender said of a payload, and what the payload says of itself (root or ``$schema``)."""

    media_type: MediaType
    schema: str | None
    service: str | None
    on: date
    mark: str | None


class SchemaCatalog:
    """All schemas that the hub knows. Thread-safe."""

    def __init__(self, entries: Iterable[SchemaEntry], *, limits: Limits | None = None) -> None:
        self._limits = limits or Limits()
        self._entries = tuple(sorted(entries, key=_age, reverse=True))
        self._by_uri = _index(self._entries, lambda entry: entry.uris)
        self._by_root = _index(self._entries, lambda entry: entry.item.roots)
        self._by_service = _index(self._entries, lambda entry: entry.item.services or ())
        # The catalogue never changes, so neither does an answer; only what was found is remembered.
        self._chosen: dict[_Asked, SchemaEntry] = {}
        _refuse_shared_uris(self._entries)

    @classmethod
    def load(cls, *roots: Path, limits: Limits | None = None) -> SchemaCatalog:
        """Load every version below the given folders and verify every pinned hash. A missing folder is empty.

        Raises:
            ConfigurationError: A manifest is unusable, a file is changed, or two schemas share a URI.
        """
        folders = [path.parent for root in roots if root.is_dir() for path in sorted(root.glob("*/*/catalog.yaml"))]
        return cls((entry for folder in folders for entry in _load(folder)), limits=limits)

    def entries(self) -> tuple[SchemaEntry, ...]:
        """Return every schema, newest version first."""
        return self._entries

    def uris(self) -> tuple[str, ...]:
        """Return every schema's URI, sorted."""
        return tuple(sorted(entry.uri for entry in self._entries))

    def entry(self, uri: str) -> SchemaEntry:
        """Return the schema of a URI or alias, in force or not.

        Raises:
            UnknownSchema: There is none.
        """
        found = self._by_uri.get(uri, ())
        if not found:
            raise self._unknown(_NOT_NAMED, found)
        return found[0]

    def ref(self, uri: str) -> SchemaRef:
        """Return what is recorded for a URI or alias.

        Raises:
            UnknownSchema: There is none.
        """
        return self.entry(uri).ref

    def find(
        self, *, media_type: MediaType, data: bytes, schema: str | None, service: str | None, on: date
    ) -> SchemaEntry:
        """Return a payload's schema: XML by its root, JSON by ``$schema``, else the service's only one.

        Raises:
            Malformed: The payload cannot be read.
            TooLarge: The payload is over a cap.
            UnknownSchema: No schema in force fits, or more than one.
        """
        document = self._read(media_type, data)
        return self._choose(_Asked(media_type, schema, service, on, _mark(document)))

    def check(self, *, media_type: MediaType, data: bytes, schema: str | None, service: str | None, on: date) -> Report:
        """Check a payload against its schema; a report that is not ``valid`` names every violation.

        Raises:
            Malformed: The payload cannot be read.
            TooLarge: The payload is over a cap.
            UnknownSchema: No schema in force fits, or more than one.
        """
        document = self._read(media_type, data)
        entry = self._choose(_Asked(media_type, schema, service, on, _mark(document)))
        if isinstance(entry.judge, XsdSchema):
            found = entry.judge.check(document, self._limits)
            if not found.violations and not found.notes:
                return entry.clean
            return Report(
                schema=entry.ref,
                violations=found.violations,
                total=found.total,
                notes=found.notes,
                namespaces=found.namespaces,
            )
        violations, total = entry.judge.check(document, data, self._limits)
        if not violations:
            return entry.clean
        return Report(schema=entry.ref, violations=violations, total=total)

    def _read(self, media_type: MediaType, data: bytes) -> Any:
        return read_xml(data, self._limits) if media_type is MediaType.XML else read_json(data, self._limits)

    def _choose(self, asked: _Asked) -> SchemaEntry:
        chosen = self._chosen.get(asked)
        if chosen is None:
            chosen = self._chosen_anew(asked)
            if len(self._chosen) >= _REMEMBERED:
                self._chosen.clear()
            self._chosen[asked] = chosen
        return chosen

    def _chosen_anew(self, asked: _Asked) -> SchemaEntry:
        candidates = [entry for entry in self._candidates(asked) if entry.manifest.kind.media_type is asked.media_type]
        if not candidates:
            raise self._unknown(_NOT_NAMED if asked.schema else _NOT_FOUND, ())
        in_force = [entry for entry in candidates if entry.manifest.in_force(asked.on)]
        if not in_force:
            raise self._unknown(_not_in_force(candidates[0]), candidates)
        serving = [entry for entry in in_force if entry.serves(asked.service)]
        if not serving:
            raise self._unknown(_WRONG_SERVICE, in_force)
        if not asked.schema and not asked.mark and len(serving) > 1:
            raise self._unknown(_AMBIGUOUS, serving)
        return serving[0]

    def _candidates(self, asked: _Asked) -> Iterable[SchemaEntry]:
        if asked.schema is not None:
            named = self._by_uri.get(asked.schema, ())
            marked = [entry for entry in named if asked.mark in entry.item.roots]
            # A named schema whose roots are others still judges: its report says which root it wants.
            return marked or named
        if asked.media_type is MediaType.XML:
            return self._by_root.get(asked.mark or "", ())
        if asked.mark is not None:
            return self._by_uri.get(asked.mark, ())
        return self._by_service.get(asked.service or "", ())

    def _unknown(self, detail: Text, near: Iterable[SchemaEntry]) -> UnknownSchema:
        listed = [entry.uri for entry in near] or list(self.uris())
        return UnknownSchema(detail, known=sorted(set(listed))[:_LISTED])


def _load(folder: Path) -> Iterator[SchemaEntry]:
    manifest = read_manifest(folder)
    if (folder.parent.name, folder.name) != (manifest.standard, manifest.version):
        raise ConfigurationError(
            Text(
                f"{folder} enthält {manifest.standard} {manifest.version}. Benennen Sie den Ordner danach.",
                f"{folder} holds {manifest.standard} {manifest.version}. Name the folder after it.",
            )
        )
    verify_files(folder, manifest)
    table = _identifiers(folder, manifest)
    for item in manifest.schemas:
        judge, ref = _judge(folder, manifest, item, table), _ref(manifest, item)
        clean = Report(schema=ref)
        yield SchemaEntry(item=item, manifest=manifest, folder=folder, judge=judge, ref=ref, clean=clean)


def _judge(folder: Path, manifest: Manifest, item: SchemaItem, table: IdentifierTable | None) -> XsdSchema | JsonSchema:
    def read(name: str) -> bytes:
        return (folder / name).read_bytes()

    if manifest.kind is Kind.JSON_SCHEMA:
        return JsonSchema(_schema_document(folder / item.file), resources=lambda: _resources(folder, item))
    source = XsdSource(file=item.file, closure=item.closure, read=read, locations=manifest.locations)
    return XsdSchema(source, roots=item.roots, identifiers=table)


def _ref(manifest: Manifest, item: SchemaItem) -> SchemaRef:
    return SchemaRef(
        uri=item.uri,
        standard=manifest.standard,
        version=manifest.version,
        sha256=item.sha256,
        media_type=manifest.kind.media_type,
    )


def _resources(folder: Path, item: SchemaItem) -> Iterator[tuple[str, Any]]:
    for name in item.closure:
        if name != item.file:
            document = _schema_document(folder / name)
            yield str(document.get("$id", name)), document


def _schema_document(path: Path) -> Mapping[str, Any]:
    try:
        document = orjson.loads(path.read_bytes())
    except orjson.JSONDecodeError as error:
        raise ConfigurationError(Text(f"{path} ist kein JSON.", f"{path} is not JSON.")) from error
    if not isinstance(document, dict):
        raise ConfigurationError(Text(f"{path} ist kein Schema-Objekt.", f"{path} is not a schema object."))
    return document


def _identifiers(folder: Path, manifest: Manifest) -> IdentifierTable | None:
    if manifest.identifiers is None:
        return None
    return IdentifierTable.from_json(orjson.loads((folder / manifest.identifiers).read_bytes()))


def _mark(document: Any) -> str | None:
    """Return what a payload says of its schema: the XML root, or the JSON member ``$schema``."""
    if isinstance(document, XmlDocument):
        return document.root
    named = document.get("$schema") if isinstance(document, dict) else None
    return named if isinstance(named, str) else None


def _age(entry: SchemaEntry) -> tuple[date, tuple[int, ...], str]:
    numbers = tuple(int(part) for part in entry.manifest.version.split(".") if part.isdecimal())
    return entry.manifest.valid_from or date.min, numbers, entry.uri


def _index(entries: Iterable[SchemaEntry], keys: Any) -> Mapping[str, tuple[SchemaEntry, ...]]:
    index: dict[str, tuple[SchemaEntry, ...]] = {}
    for entry in entries:
        for key in keys(entry):
            index[key] = (*index.get(key, ()), entry)
    return index


def _refuse_shared_uris(entries: Iterable[SchemaEntry]) -> None:
    seen: set[str] = set()
    for entry in entries:
        for uri in (entry.item.uri, *entry.item.aliases):
            if uri in seen:
                raise ConfigurationError(
                    Text(f"Zwei Schemata haben die URI {uri}.", f"Two schemas have the URI {uri}."), uri=uri
                )
            seen.add(uri)


def _not_in_force(entry: SchemaEntry) -> Text:
    manifest = entry.manifest
    if manifest.status is Status.WITHDRAWN:
        return Text(
            f"{manifest.standard} {manifest.version} ist zurückgezogen. Senden Sie eine gültige Fassung.",
            f"{manifest.standard} {manifest.version} is withdrawn. Send a version in force.",
        )
    begin, end = manifest.valid_from or "…", manifest.valid_until or "…"
    return Text(
        f"{manifest.standard} {manifest.version} gilt heute nicht (gültig {begin} bis {end}). "
        "Senden Sie eine gültige Fassung.",
        f"{manifest.standard} {manifest.version} is not in force today (valid {begin} to {end}). "
        "Send a version in force.",
    )


_NOT_NAMED = Text(
    "Das genannte Schema steht nicht im Katalog dieses Medientyps. Nennen Sie eine der bekannten URIs (known).",
    "The schema that you name is not in the catalogue of this media type. Name one of the known URIs (known).",
)
_NOT_FOUND = Text(
    "Zu diesem Dokument ist kein Schema bekannt: weder sein Wurzelelement noch $schema noch die Leistung nennt eines. "
    "Nennen Sie das Schema im Parameter schema.",
    "No schema is known for this document: neither its root element nor $schema nor the service names one. "
    "Name the schema in the parameter schema.",
)
_WRONG_SERVICE = Text(
    "Das Schema dieses Dokuments gehört nicht zu dieser Leistung. Prüfen Sie Leistung und Schema.",
    "The schema of this document does not belong to this service. Check service and schema.",
)
_AMBIGUOUS = Text(
    "Zu dieser Leistung gibt es mehrere Schemata. Nennen Sie eines davon in $schema oder im Parameter schema.",
    "There are several schemas for this service. Name one of them in $schema or in the parameter schema.",
)
