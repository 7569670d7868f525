"""The entries of a catalogue, loaded from folders ``<standard>/<version>/``."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import orjson

from hub.errors import ConfigurationError, Text
from hub.model.submission import SchemaRef
from hub.validation.attachment_names import JsonAttachmentNames, XmlAttachmentNames
from hub.validation.attachments import ANY
from hub.validation.code_lists import CodeList, read_code_list
from hub.validation.json.documents import JsonSchema
from hub.validation.manifest import Kind, Manifest, Reader, SchemaItem, read_manifest, read_pinned, verify_files
from hub.validation.report import Report
from hub.validation.schematron.rules import BusinessRules
from hub.validation.xml.identifiers import IdentifierTable
from hub.validation.xml.xsd import XsdSchema, XsdSource, parse_schema_document
from hub.validation.xml.xsd11 import Xsd11Schema
from hub.validation.xml.xsd_versions import mark_of, may_be_marked


@dataclass(frozen=True, kw_only=True, slots=True)
class SchemaEntry:
    """One schema of the catalogue: its item, the version it belongs to, and its folder."""

    item: SchemaItem
    manifest: Manifest
    folder: Path
    judge: XsdSchema | Xsd11Schema | JsonSchema = field(repr=False, compare=False)
    #: What is recorded with a payload that was checked.
    ref: SchemaRef
    #: The report of every payload that breaks no rule.
    clean: Report = field(repr=False, compare=False)
    #: Business rules for every message of the version.
    rules: BusinessRules | None = field(repr=False, compare=False, default=None)
    #: Whether messages name code lists (listURI), so that those of the catalogue have a say.
    coded: bool = False
    #: Finds the attachments that documents name, where the manifest declares where they do.
    named: JsonAttachmentNames | XmlAttachmentNames | None = field(repr=False, compare=False, default=None)

    @property
    def uri(self) -> str:
        """The schema's URI."""
        return self.item.uri

    @property
    def uris(self) -> tuple[str, ...]:
        """Every URI under which senders may name the schema; that of its version included."""
        version = (self.manifest.uri,) if self.manifest.uri else ()
        return (self.item.uri, *self.item.aliases, *version)

    def pinned_with(self, code_lists: str | None) -> SchemaEntry:
        """Return the entry with the hash of all code lists in what is recorded, if its messages are judged by them."""
        if code_lists is None or not self.coded:
            return self
        both = f"{self.ref.sha256} schema\n{code_lists} code-lists\n"
        ref = replace(self.ref, sha256=hashlib.sha256(both.encode()).hexdigest())
        return replace(self, ref=ref, clean=replace(self.clean, schema=ref))

    def serves(self, service: str | None) -> bool:
        """Whether payloads for a service may use the schema; without a service they may."""
        return service is None or self.item.services is None or service in self.item.services


@dataclass(frozen=True, kw_only=True, slots=True)
class Version:
    """What one folder of a catalogue holds."""

    entries: tuple[SchemaEntry, ...] = ()
    code_lists: tuple[CodeList, ...] = ()


def load_version(folder: Path) -> Version:
    """Load one version of one standard and verify its pinned hashes.

    Raises:
        ConfigurationError: Its manifest is unusable, or a file is changed.
    """
    manifest = read_manifest(folder)
    if (folder.parent.name, folder.name) != (manifest.standard, manifest.version):
        raise ConfigurationError(
            Text(
                f"{folder} enthält {manifest.standard} {manifest.version}. Benennen Sie den Ordner danach.",
                f"{folder} holds {manifest.standard} {manifest.version}. Name the folder after it.",
            )
        )
    verify_files(folder, manifest)
    # Files may be read for the first time long after they were verified, and again later.
    read = partial(read_pinned, folder, manifest)
    if manifest.kind is Kind.XSD and _written_in_1_1(read, manifest):
        # It came in before every mark of XML Schema 1.1 was known.
        manifest = replace(manifest, kind=Kind.XSD11)
    if manifest.kind is Kind.CODE_LISTS:
        return Version(code_lists=tuple(_code_list(read, item) for item in manifest.schemas))
    table = _identifiers(read, folder, manifest)
    rules = BusinessRules({name: read(name) for name in manifest.rules}) if manifest.rules else None
    coded = {name for name in manifest.files if name.lower().endswith(".xsd") and b"listURI" in read(name)}
    return Version(
        entries=tuple(
            replace(_entry(folder, manifest, item, table), rules=rules, coded=not coded.isdisjoint(item.closure))
            for item in manifest.schemas
        )
    )


def _written_in_1_1(read: Reader, manifest: Manifest) -> bool:
    for name in sorted({name for item in manifest.schemas for name in item.closure}):
        content = read(name)
        if may_be_marked(content) and mark_of(parse_schema_document(content, name)) is not None:
            return True
    return False


def _code_list(read: Reader, item: SchemaItem) -> CodeList:
    return read_code_list(read(item.file), item.file, closed=item.closed)


def _entry(folder: Path, manifest: Manifest, item: SchemaItem, table: IdentifierTable | None) -> SchemaEntry:
    ref = _ref(manifest, item)
    judge = _judge(folder, manifest, item, table)
    return SchemaEntry(
        item=item,
        manifest=manifest,
        folder=folder,
        judge=judge,
        ref=ref,
        clean=Report(schema=ref),
        named=_attachment_names(folder, manifest, item),
    )


def _attachment_names(
    folder: Path, manifest: Manifest, item: SchemaItem
) -> JsonAttachmentNames | XmlAttachmentNames | None:
    if not item.attachments:
        return None
    if manifest.kind is Kind.JSON_SCHEMA:
        return JsonAttachmentNames(item.attachments)
    for place in item.attachments:
        if place.steps[0] not in (ANY, *item.roots):
            raise ConfigurationError(
                Text(
                    f"{folder}: {place.at} führt nicht zu Anlagen, denn es beginnt mit keiner Nachricht von {item.file}. "
                    "Beginnen Sie den Pfad mit einem der Elemente, die unter roots stehen.",
                    f"{folder}: {place.at} does not lead to attachments, for it begins with no message of {item.file}. "
                    "Begin the path with one of the elements that stand under roots.",
                ),
                file=item.file,
            )
    return XmlAttachmentNames(item.attachments)


def _judge(
    folder: Path, manifest: Manifest, item: SchemaItem, table: IdentifierTable | None
) -> XsdSchema | Xsd11Schema | JsonSchema:
    read = partial(read_pinned, folder, manifest)
    if manifest.kind is Kind.JSON_SCHEMA:
        return JsonSchema(_schema_document(read, item.file), resources=lambda: _resources(read, item))
    source = XsdSource(file=item.file, closure=item.closure, read=read, locations=manifest.locations)
    if manifest.kind is Kind.XSD11:
        return Xsd11Schema(source, folder=folder, roots=item.roots)
    return XsdSchema(source, roots=item.roots, identifiers=table)


def _ref(manifest: Manifest, item: SchemaItem) -> SchemaRef:
    return SchemaRef(
        uri=item.uri,
        standard=manifest.standard,
        version=manifest.version,
        sha256=manifest.recorded_hash(item),
        media_type=manifest.kind.media_type,
    )


def _resources(read: Reader, item: SchemaItem) -> Iterator[tuple[str, Any]]:
    for name in item.closure:
        if name != item.file:
            document = _schema_document(read, name)
            yield str(document.get("$id", name)), document


def _schema_document(read: Reader, name: str) -> Mapping[str, Any]:
    try:
        document = orjson.loads(read(name))
    except orjson.JSONDecodeError as error:
        raise ConfigurationError(Text(f"{name} ist kein JSON.", f"{name} is not JSON."), file=name) from error
    if not isinstance(document, dict):
        raise ConfigurationError(Text(f"{name} ist kein Schema-Objekt.", f"{name} is not a schema object."), file=name)
    return document


def _identifiers(read: Reader, folder: Path, manifest: Manifest) -> IdentifierTable | None:
    if manifest.identifiers is None:
        return None
    try:
        return IdentifierTable.from_json(orjson.loads(read(manifest.identifiers)))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        path = folder / manifest.identifiers
        raise ConfigurationError(
            Text(f"{path} ist keine Tabelle der Kennungen.", f"{path} is not a table of identifiers."), file=str(path)
        ) from error
