"""Editions of a standard: what the folder of one holds, and which one an XML document states where several are in force.

An edition is loaded once from ``<standard>/<version>/``. XÖV standards fix the version as an attribute of the message or of its
header (``version``, ``xjustizVersion``); others name it in an element (XRechnung's ``CustomizationID``), which the schema's
entry declares. Only the beginning of a document is looked at.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from fnmatch import fnmatchcase
from functools import cache, partial
from io import BytesIO
from pathlib import Path
from typing import Any

import orjson
from lxml import etree

from hub.errors import ConfigurationError, Text
from hub.model import MediaType, SchemaRef
from hub.validation.attachments import ANY, JsonAttachmentNames, XmlAttachmentNames
from hub.validation.code_lists import CodeList, read_code_list
from hub.validation.json.documents import JsonSchema, addresses, id_of
from hub.validation.manifest import NAME as MANIFEST_NAME
from hub.validation.manifest import (
    Kind,
    Manifest,
    Reader,
    SchemaItem,
    read_manifest,
    read_pinned,
    verify_files,
)
from hub.validation.report import Report
from hub.validation.schematron.rules import BusinessRules
from hub.validation.xml.documents import XmlDocument
from hub.validation.xml.places import PlaceTable, PlaceTables, tables_from_json
from hub.validation.xml.versions import mark_of, may_name_version
from hub.validation.xml.xsd import XSD, XsdSchema, XsdSource, parse_schema_document, tables_of
from hub.validation.xml.xsd11 import Xsd11Schema

#: Elements and bytes at the beginning of a document that are looked at, and characters of what one states.
_ELEMENTS, _BYTES, _LONGEST = 200, 256 * 1024, 500
#: The message, its header, and what the header holds.
_DEPTH = 3
_WORD, _NO_STANDARD = "version", "listversionid"


@dataclass(frozen=True, kw_only=True, slots=True)
class Stated:
    """What the beginning of a document states: attributes by local name, and texts of elements by their paths."""

    attributes: frozenset[tuple[str, str]] = field(repr=False)
    texts: Mapping[str, str] = field(repr=False)

    def fits(self, declared: Mapping[str, tuple[str, ...]], fixed: Collection[tuple[str, str]]) -> bool:
        """Whether a document of a version states it: in an element that its entry declares, else in an attribute it fixes."""
        if declared:
            return any(
                fnmatchcase(self.texts.get(place, ""), value) for place, values in declared.items() for value in values
            )
        return not self.attributes.isdisjoint(fixed)


def stated_by(document: XmlDocument, places: Iterable[str]) -> Stated:
    """Read what a document states; ``places`` are paths of elements as ``/{namespace}message/{namespace}header``."""
    wanted = frozenset(places)
    attributes: set[tuple[str, str]] = set()
    texts: dict[str, str] = {}
    path: list[str] = []
    elements = 0
    parser = etree.iterparse(
        BytesIO(document.data[:_BYTES]),
        events=("start", "end"),
        resolve_entities=False,
        no_network=True,
        load_dtd=False,
    )
    try:
        for event, node in parser:
            if event == "start":
                elements += 1
                path.append(str(node.tag))
                if len(path) <= _DEPTH:
                    attributes.update(_versions(node))
                continue
            place = "".join(f"/{step}" for step in path)
            if place in wanted and len(node.text or "") <= _LONGEST:
                texts.setdefault(place, (node.text or "").strip())
            path.pop()
            if elements >= _ELEMENTS:
                break
    except etree.XMLSyntaxError:
        # Only the beginning was read, or the document is not well-formed, which its check will tell.
        pass
    return Stated(attributes=frozenset(attributes), texts=texts)


def _versions(node: Any) -> Iterable[tuple[str, str]]:
    for name, value in node.attrib.items():
        local = etree.QName(name).localname
        if _is_version(local) and len(value) <= _LONGEST:
            yield local, value.strip()


def _is_version(name: str) -> bool:
    folded = name.casefold()
    return folded.endswith(_WORD) and folded != _NO_STANDARD


def fixed_versions(source: XsdSource) -> frozenset[tuple[str, str]]:
    """Return the attributes for a version that the documents of a schema fix, with their values."""
    found: set[tuple[str, str]] = set()
    for name in source.closure:
        content = source.read(name)
        if not _holds(content, b"fixed"):
            continue
        for node in parse_schema_document(content, name).iter(f"{XSD}attribute"):
            called, value = node.get("name") or "", node.get("fixed")
            if value is not None and _is_version(called):
                found.add((called, value.strip()))
    return frozenset(found)


class FileRole(StrEnum):
    """What a file of an edition is there for."""

    #: The schema itself.
    SCHEMA = "schema"
    #: What the schema includes, imports or refers to.
    PART = "part"
    #: Business rules (Schematron).
    RULES = "rules"
    #: The table of identifiers that was derived from the schema.
    IDENTIFIERS = "identifiers"
    #: A code list.
    CODE_LIST = "code-list"
    #: A payload that keeps the schema.
    EXAMPLE = "example"
    #: How people are asked what the schema wants.
    FORM = "form"
    #: What the edition is, and what its files hash to.
    MANIFEST = "manifest"


@dataclass(frozen=True, kw_only=True, slots=True)
class EditionFile:
    """A file of an edition that anybody may have: what payloads are judged by, and what stands beside it.

    ``uri`` is the address by which others refer to it, where there is one; ``sha256`` (lower-case hex) is that of its bytes,
    which ``read`` returns: it raises ``ConfigurationError`` where they are not those.
    """

    name: str
    role: FileRole
    media_type: str
    sha256: str
    read: Callable[[], bytes] = field(repr=False, compare=False)
    uri: str | None = None


#: Examples that are offered with a schema, and bytes of each.
_EXAMPLES, _EXAMPLE_BYTES = 50, 1024 * 1024
#: The file that puts a schema's questions, beside it.
FORM_FILE = "form.yaml"
#: Where examples lie, and which of them keep their schema.
_EXAMPLE_FOLDER, _KEEPS = "examples", "good-"


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

    def files(self) -> tuple[EditionFile, ...]:
        """Return the schema, all that judges with it, the code lists of its edition, and examples; the schema comes first."""
        manifest, known = self.manifest, {name: address for address, name in self.manifest.locations.items()}
        lists = {each.file: each.uri for each in manifest.code_lists}
        names = dict.fromkeys((self.item.file, *manifest.judging(self.item), *sorted(lists)))
        pinned = (
            EditionFile(
                name=name,
                role=self._role(name),
                media_type=self._media_type(name),
                sha256=manifest.files[name],
                read=partial(read_pinned, self.folder, manifest, name),
                uri=self.uri if name == self.item.file else lists.get(name) or known.get(name),
            )
            for name in names
        )
        return (*pinned, *self._beside(), *self._examples())

    def called(self) -> Iterator[tuple[str, EditionFile]]:
        """Yield the files that others refer to, by their addresses; each file of JSON is read for what it calls itself."""
        for each in self.files():
            if each.uri is not None:
                yield each.uri, each
            if each.role is FileRole.PART and self.manifest.kind is Kind.JSON_SCHEMA:
                called = id_of(_schema_document(partial(read_pinned, self.folder, self.manifest), each.name))
                if called is not None:
                    yield called.removesuffix("#"), each

    def _role(self, name: str) -> FileRole:
        if name == self.item.file:
            return FileRole.SCHEMA
        if name in self.item.closure:
            return FileRole.PART
        if name == self.manifest.identifiers:
            return FileRole.IDENTIFIERS
        return FileRole.RULES if name in self.manifest.rules else FileRole.CODE_LIST

    def _media_type(self, name: str) -> str:
        if name in self.item.closure and self.manifest.kind is Kind.JSON_SCHEMA:
            return "application/schema+json"
        return _media_type_of(name)

    def _beside(self) -> Iterator[EditionFile]:
        """Yield what somebody needs besides who judges elsewhere, or asks people: the form file and the manifest."""
        for name, role in ((FORM_FILE, FileRole.FORM), (MANIFEST_NAME, FileRole.MANIFEST)):
            path = self.folder / name
            if path.is_file() and not path.is_symlink():
                yield _unpinned(path, name, role)

    def _examples(self) -> Iterator[EditionFile]:
        folder = self.folder / _EXAMPLE_FOLDER
        if folder.is_symlink() or not folder.is_dir():
            return
        found = [path for path in sorted(folder.glob(f"{_KEEPS}*")) if _is_offered(path)]
        for path in found[:_EXAMPLES]:
            yield _unpinned(path, f"{_EXAMPLE_FOLDER}/{path.name}", FileRole.EXAMPLE)

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
    #: The files of code lists that came without schemas.
    list_files: tuple[EditionFile, ...] = ()
    #: Whether a list of its package could not be taken over.
    lacks_lists: bool = False


def load_version(folder: Path, *, judged: bool = False) -> Version:
    """Load one version of one standard and verify its pinned hashes; ``judged`` says that its kind was found out just now.

    Raises:
        ConfigurationError: Its manifest is unusable, or a file is changed.
    """
    manifest = read_manifest(folder)
    if (folder.parent.name, folder.name) != (manifest.standard, manifest.version):
        raise _wrong_folder(folder, manifest)
    verify_files(folder, manifest)
    # Files may be read for the first time long after they were verified, and again later.
    read = partial(read_pinned, folder, manifest)
    if manifest.kind is Kind.XSD and not judged and _written_in_1_1(read, manifest):
        # It came in before every mark of XML Schema 1.1 was known.
        manifest = replace(manifest, kind=Kind.XSD11)
    if manifest.kind is Kind.CODE_LISTS:
        lists = tuple(_code_list(read, item) for item in manifest.schemas)
        files = tuple(_list_file(folder, manifest, item) for item in manifest.schemas)
        return Version(code_lists=lists, list_files=files, lacks_lists=bool(manifest.left_out))
    tables = _places(read, folder, manifest) if manifest.kind.media_type is MediaType.XML else dict
    rules = BusinessRules({name: read(name) for name in manifest.rules}) if manifest.rules else None
    lists = tuple(read_code_list(read(each.file), each.file, closed=each.closed) for each in manifest.code_lists)
    coded = {name for name in manifest.files if name.lower().endswith(".xsd") and _holds(read(name), b"listURI")}
    return Version(
        entries=tuple(
            replace(_entry(folder, manifest, item, tables), rules=rules, coded=not coded.isdisjoint(item.closure))
            for item in manifest.schemas
        ),
        code_lists=lists,
        lacks_lists=bool(manifest.left_out),
    )


def _wrong_folder(folder: Path, manifest: Manifest) -> ConfigurationError:
    return ConfigurationError(
        Text(
            f"{folder} enthält {manifest.standard} {manifest.version}. Benennen Sie den Ordner danach.",
            f"{folder} holds {manifest.standard} {manifest.version}. Name the folder after it.",
        )
    )


def _holds(content: bytes, word: bytes) -> bool:
    """Whether a schema document holds a word, in UTF-16 as well."""
    return word in content or (b"\0" in content and word in content.replace(b"\0", b""))


def _written_in_1_1(read: Reader, manifest: Manifest) -> bool:
    for name in sorted({name for item in manifest.schemas for name in item.closure}):
        content = read(name)
        if (b"\0" in content or may_name_version(content)) and mark_of(
            parse_schema_document(content, name)
        ) is not None:
            return True
    return False


def _is_offered(path: Path) -> bool:
    return not path.is_symlink() and path.is_file() and path.stat().st_size <= _EXAMPLE_BYTES


def _unpinned(path: Path, name: str, role: FileRole) -> EditionFile:
    return EditionFile(
        name=name,
        role=role,
        media_type=_media_type_of(name),
        sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
        read=path.read_bytes,
    )


def _media_type_of(name: str) -> str:
    if name.lower().endswith(".yaml"):
        return "application/yaml"
    kind = MediaType.JSON if name.lower().endswith(".json") else MediaType.XML
    return kind.value


def _list_file(folder: Path, manifest: Manifest, item: SchemaItem) -> EditionFile:
    return EditionFile(
        name=item.file,
        role=FileRole.CODE_LIST,
        media_type=_media_type_of(item.file),
        sha256=manifest.files[item.file],
        read=partial(read_pinned, folder, manifest, item.file),
        uri=item.uri,
    )


def _code_list(read: Reader, item: SchemaItem) -> CodeList:
    return read_code_list(read(item.file), item.file, closed=item.closed)


def _entry(folder: Path, manifest: Manifest, item: SchemaItem, tables: Callable[[], PlaceTables]) -> SchemaEntry:
    ref = _ref(manifest, item)
    judge = _judge(folder, manifest, item, lambda: tables()[item.file])
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
    folder: Path, manifest: Manifest, item: SchemaItem, places: Callable[[], PlaceTable]
) -> XsdSchema | Xsd11Schema | JsonSchema:
    read = partial(read_pinned, folder, manifest)
    if manifest.kind is Kind.JSON_SCHEMA:
        return JsonSchema(_schema_document(read, item.file), resources=lambda: _resources(read, item), name=item.file)
    source = XsdSource(file=item.file, closure=item.closure, read=read, locations=manifest.locations)
    if manifest.kind is Kind.XSD11:
        return Xsd11Schema(source, folder=folder, roots=item.roots, places=places)
    return XsdSchema(source, roots=item.roots, places=places)


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
            yield from addresses(_schema_document(read, name), name)


def _schema_document(read: Reader, name: str) -> Mapping[str, Any]:
    try:
        document = orjson.loads(read(name))
    except orjson.JSONDecodeError as error:
        raise ConfigurationError(Text(f"{name} ist kein JSON.", f"{name} is not JSON."), file=name) from error
    if not isinstance(document, dict):
        raise ConfigurationError(Text(f"{name} ist kein Schema-Objekt.", f"{name} is not a schema object."), file=name)
    return document


def _places(read: Reader, folder: Path, manifest: Manifest) -> Callable[[], PlaceTables]:
    """Return what gives the tables of places of a version: as they were stored, or, of an earlier release, derived anew."""
    stored = _stored_places(read, folder, manifest.identifiers) if manifest.identifiers is not None else None
    if stored is not None and all(item.file in stored for item in manifest.schemas):
        return lambda: stored
    files = tuple(item.file for item in manifest.schemas)
    closure = tuple({name for item in manifest.schemas for name in item.closure})
    source = XsdSource(file=files[0], closure=closure, read=read, locations=manifest.locations)
    return cache(lambda: tables_of(files, source))


def _stored_places(read: Reader, folder: Path, name: str) -> PlaceTables | None:
    try:
        return tables_from_json(orjson.loads(read(name)))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        path = folder / name
        raise ConfigurationError(
            Text(f"{path} ist keine Tabelle der Kennungen.", f"{path} is not a table of identifiers."), file=str(path)
        ) from error
